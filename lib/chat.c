/* Conversations to ids and targets, by construction.
 *
 * A turn is special tokens and stretches of text between them.  A stretch is
 * encoded as one piece of text, since that is what a tokenizer sees of the
 * rendered template; which of its tokens are trained on is known from where
 * they start, never found by looking for text.
 */
#include "token_impl.h"

#include "mem.h"
#include "banned.h"

enum style { CHATML, NANO };

struct chat {
	const struct gv_tokenizer *t;
	struct gv_rendered *r;
	struct gv_error *e;
	enum style style;
	size_t start; /* where this sequence begins in r */
	int image_rows;
	bool prompt;
	char *text; /* the stretch since the last special token */
	size_t n, cap;
	size_t head; /* bytes of it that are never trained on */
	bool trained; /* is the rest? */
	struct gv_ids ids;
};

/* ---- what comes out ------------------------------------------------------ */

void
gv_rendered_free(struct gv_rendered *r)
{
	gv_free(r->token);
	gv_free(r->target);
	gv_free(r->bytes);
	gv_free(r->image_at);
	memset(r, 0, sizeof *r);
}

static int
room(struct gv_rendered *r, size_t more, struct gv_error *e)
{
	int32_t **list[3] = {&r->token, &r->target, &r->bytes};
	size_t cap = r->cap, i;

	if (r->n + more <= r->cap)
		return 0;
	for (i = 0; i < 3; i++) {
		void *p = *list[i];

		cap = r->cap;
		if (gv_grow(&p, &cap, r->n + more, sizeof(int32_t)))
			return gv_fail(e, GV_ERR_NOMEM, "out of memory");
		*list[i] = p;
	}
	r->cap = cap;
	return 0;
}

/* Says that position `at` is to predict `id`. */
static void
aim(const struct gv_tokenizer *t, struct gv_rendered *r, size_t at, int32_t id)
{
	size_t n;

	gv_token_bytes(t, id, &n);
	r->target[at] = id;
	r->bytes[at] = gv_tokenizer_is_special(t, id) ? 0 : (int32_t)n;
}

/* Appends one token of the sequence that began at `start`. */
static int
put(const struct gv_tokenizer *t, struct gv_rendered *r, size_t start,
    int32_t id, bool trained, struct gv_error *e)
{
	if (room(r, 1, e))
		return e->code;
	r->token[r->n] = id;
	r->target[r->n] = -1;
	r->bytes[r->n] = 0;
	if (trained && r->n > start)
		aim(t, r, r->n - 1, id);
	r->n++;
	return 0;
}

/* ---- stretches ----------------------------------------------------------- */

static int
add_text(struct chat *c, const char *s, size_t n)
{
	void *p = c->text;

	if (gv_grow(&p, &c->cap, c->n + n, 1))
		return gv_fail(c->e, GV_ERR_NOMEM, "out of memory");
	c->text = p;
	if (n)
		memcpy(c->text + c->n, s, n);
	c->n += n;
	return 0;
}

/* Encodes the stretch.  A token that starts in the untrained head is not
 * trained on, even if it reaches beyond: the prompt already holds its start.
 * Token lengths count the head's bytes rightly because it is ASCII, which
 * normalisation leaves alone. */
static int
flush(struct chat *c)
{
	size_t i, at = 0, n;

	c->ids.n = 0;
	if (gv_encode(c->t, c->text, c->n, false, &c->ids, c->e))
		return c->e->code;
	for (i = 0; i < c->ids.n; i++) {
		if (put(c->t, c->r, c->start, c->ids.id[i],
			c->trained && at >= c->head, c->e))
			return c->e->code;
		gv_token_bytes(c->t, c->ids.id[i], &n);
		at += n;
	}
	c->n = 0;
	c->head = 0;
	return 0;
}

static int
special(struct chat *c, const char *name, bool trained)
{
	int32_t id = gv_tokenizer_special(c->t, name);

	if (id < 0)
		return gv_fail(
		    c->e, GV_ERR_NOSUP, "the vocabulary has no '%s'", name);
	if (flush(c))
		return c->e->code;
	return put(c->t, c->r, c->start, id, trained && !c->prompt, c->e);
}

static int
image(struct chat *c)
{
	int32_t id = gv_tokenizer_image(c->t);
	struct gv_rendered *r = c->r;
	bool framed = c->style == CHATML &&
		      gv_tokenizer_special(c->t, "<|vision_start|>") >= 0;
	void *p = r->image_at;
	int i;

	if (id < 0)
		return gv_fail(c->e, GV_ERR_NOSUP,
		    "the vocabulary has no token for images");
	if (c->image_rows < 1)
		return gv_fail(c->e, GV_ERR_MATCH,
		    "an image in the messages, but no rows for images");
	if (framed && special(c, "<|vision_start|>", false))
		return c->e->code;
	if (flush(c))
		return c->e->code;
	if (r->n > INT32_MAX ||
	    gv_grow(&p, &r->image_cap, r->images + 1, sizeof *r->image_at))
		return gv_fail(c->e, GV_ERR_NOMEM, "out of memory");
	r->image_at = p;
	r->image_at[r->images++] = (int32_t)r->n;
	for (i = 0; i < c->image_rows; i++)
		if (put(c->t, r, c->start, id, false, c->e))
			return c->e->code;
	return framed ? special(c, "<|vision_end|>", false) : 0;
}

/* ---- content ------------------------------------------------------------- */

/* A tool call is trained on with its marks, what the tool gave back is not. */
static int
tool_part(struct chat *c, const char *type, const json_t *text)
{
	bool call = !strcmp(type, "python");
	bool trained = c->trained;

	if (c->style != NANO)
		return gv_fail(c->e, GV_ERR_NOSUP,
		    "content of type '%s' is not supported in ChatML", type);
	if (special(c, call ? "<|python_start|>" : "<|output_start|>",
		call && trained))
		return c->e->code;
	c->trained = call && trained;
	if (add_text(c, json_string_value(text), json_string_length(text)) ||
	    special(
		c, call ? "<|python_end|>" : "<|output_end|>", call && trained))
		return c->e->code;
	c->trained = trained;
	return 0;
}

static int
part(struct chat *c, const json_t *o, bool assistant)
{
	const char *type = json_string_value(json_object_get(o, "type"));
	const json_t *text = json_object_get(o, "text");
	char q[64];

	if (!type)
		return gv_fail(
		    c->e, GV_ERR_FORMAT, "a part of the content has no 'type'");
	if (!strcmp(type, "image"))
		return image(c);
	if (strcmp(type, "text") && strcmp(type, "python") &&
	    strcmp(type, "python_output"))
		return gv_fail(c->e, GV_ERR_NOSUP,
		    "content of type '%s' is not supported",
		    gv_quote(q, sizeof q, type, strlen(type)));
	if (!json_is_string(text))
		return gv_fail(c->e, GV_ERR_FORMAT,
		    "a part of type '%s' has no 'text'", type);
	if (!strcmp(type, "text"))
		return add_text(
		    c, json_string_value(text), json_string_length(text));
	if (!assistant)
		return gv_fail(c->e, GV_ERR_FORMAT,
		    "content of type '%s' outside the assistant's turn", type);
	return tool_part(c, type, text);
}

static int
content(struct chat *c, const json_t *v, bool assistant)
{
	size_t i;

	if (json_is_string(v))
		return add_text(c, json_string_value(v), json_string_length(v));
	if (!json_is_array(v))
		return gv_fail(c->e, GV_ERR_FORMAT,
		    "'content' is neither text nor a list");
	for (i = 0; i < json_array_size(v); i++)
		if (part(c, json_array_get(v, i), assistant))
			return c->e->code;
	return 0;
}

static const char *const roles[] = {"system", "user", "assistant"};

/* The index in roles[], or an error. */
static int
role_of(struct chat *c, const json_t *m)
{
	const char *role = json_string_value(json_object_get(m, "role"));
	int i;
	char q[64];

	if (!role)
		return gv_fail(c->e, GV_ERR_FORMAT, "it has no 'role'");
	for (i = 0; i < 3; i++)
		if (!strcmp(role, roles[i]))
			return i;
	return gv_fail(c->e, GV_ERR_NOSUP, "role '%s' is not supported",
	    gv_quote(q, sizeof q, role, strlen(role)));
}

/* ---- ChatML -------------------------------------------------------------- */

static int
chatml_open(struct chat *c, const char *role)
{
	if (special(c, "<|im_start|>", false) ||
	    add_text(c, role, strlen(role)) || add_text(c, "\n", 1))
		return c->e->code;
	c->head = c->n;
	return 0;
}

static int
chatml_close(struct chat *c, bool trained)
{
	if (special(c, "<|im_end|>", trained))
		return c->e->code;
	c->trained = false;
	return add_text(c, "\n", 1);
}

static int
chatml_turn(struct chat *c, const json_t *m, size_t i)
{
	int role = role_of(c, m);
	bool assistant = role == 2;

	if (role < 0)
		return role;
	if (i == 0 && role != 0 && c->t->system &&
	    (chatml_open(c, "system") ||
		add_text(c, c->t->system, strlen(c->t->system)) ||
		chatml_close(c, false)))
		return c->e->code;
	if (chatml_open(c, roles[role]))
		return c->e->code;
	c->trained = assistant && !c->prompt;
	if (content(c, json_object_get(m, "content"), assistant))
		return c->e->code;
	return chatml_close(c, assistant);
}

/* ---- nano ---------------------------------------------------------------- */

/* A system message waits in the stretch for the user turn to come. */
static int
nano_system(struct chat *c, const json_t *m, size_t i)
{
	const json_t *v = json_object_get(m, "content");

	if (i != 0)
		return gv_fail(
		    c->e, GV_ERR_FORMAT, "a system message is not the first");
	if (!json_is_string(v))
		return gv_fail(
		    c->e, GV_ERR_FORMAT, "the system message is not text");
	return 0;
}

static int
nano_turn(struct chat *c, const json_t *messages, size_t i)
{
	const json_t *m = json_array_get(messages, i), *sys;
	int role = role_of(c, m);
	bool assistant = role == 2;

	if (role < 0)
		return role;
	if (role == 0)
		return nano_system(c, m, i);
	if (special(
		c, assistant ? "<|assistant_start|>" : "<|user_start|>", false))
		return c->e->code;
	sys = json_array_get(messages, 0);
	if (i == 1 && role_of(c, sys) == 0) {
		const json_t *v = json_object_get(sys, "content");

		if (assistant)
			return gv_fail(c->e, GV_ERR_FORMAT,
			    "no user turn follows the system message");
		if (add_text(c, json_string_value(v), json_string_length(v)) ||
		    add_text(c, "\n\n", 2))
			return c->e->code;
	}
	c->trained = assistant && !c->prompt;
	if (content(c, json_object_get(m, "content"), assistant) ||
	    special(
		c, assistant ? "<|assistant_end|>" : "<|user_end|>", assistant))
		return c->e->code;
	c->trained = false;
	return 0;
}

/* ---- conversations ------------------------------------------------------- */

static int
render(struct chat *c, const json_t *messages)
{
	size_t n = json_array_size(messages), i;

	if (!n)
		return gv_fail(
		    c->e, GV_ERR_FORMAT, "'messages' is not a list of turns");
	if (c->style == NANO) {
		const json_t *last = json_array_get(messages, n - 1);

		if (special(c, "<|bos|>", false))
			return c->e->code;
		if (n == 1 && role_of(c, last) == 0)
			return gv_fail(c->e, GV_ERR_FORMAT,
			    "no user turn follows the system message");
	}
	for (i = 0; i < n; i++)
		if (c->style == CHATML
			? chatml_turn(c, json_array_get(messages, i), i)
			: nano_turn(c, messages, i))
			return gv_fail_in(c->e, "message %zu", i + 1);
	if (c->prompt && c->style == CHATML && chatml_open(c, "assistant"))
		return c->e->code;
	if (c->prompt && c->style == NANO &&
	    special(c, "<|assistant_start|>", false))
		return c->e->code;
	return flush(c);
}

int
gv_chat(const struct gv_tokenizer *t, const json_t *messages, int image_rows,
    bool prompt, struct gv_rendered *r, struct gv_error *e)
{
	struct chat c = {.t = t,
	    .r = r,
	    .e = e,
	    .start = r->n,
	    .image_rows = image_rows,
	    .prompt = prompt};
	size_t images = r->images;
	int rc;

	if (gv_tokenizer_special(t, "<|im_start|>") >= 0)
		c.style = CHATML;
	else if (gv_tokenizer_special(t, "<|user_start|>") >= 0)
		c.style = NANO;
	else
		return gv_fail(e, GV_ERR_NOSUP,
		    "the vocabulary has neither ChatML's nor nano's special "
		    "tokens");
	rc = render(&c, messages);
	gv_free(c.text);
	gv_ids_free(&c.ids);
	if (rc) {
		r->n = c.start;
		r->images = images;
	}
	return rc;
}

/* ---- documents ----------------------------------------------------------- */

int
gv_document(const struct gv_tokenizer *t, const char *s, size_t n,
    struct gv_rendered *r, struct gv_error *e)
{
	int32_t nano = gv_tokenizer_special(t, "<|bos|>");
	int32_t bos = nano >= 0 ? nano : t->add_bos ? t->bos : -1;
	int32_t end = gv_tokenizer_special(t, "<|endoftext|>");
	size_t start = r->n, i;
	struct gv_ids ids = {0};
	int rc;

	if (end < 0 && nano < 0)
		end = t->eos;
	rc = gv_encode(t, s, n, false, &ids, e);
	if (!rc && bos >= 0)
		rc = put(t, r, start, bos, false, e);
	for (i = 0; i < ids.n && !rc; i++)
		rc = put(t, r, start, ids.id[i], true, e);
	if (!rc && end >= 0)
		rc = put(t, r, start, end, true, e);
	gv_ids_free(&ids);
	if (rc)
		r->n = start;
	else if (end < 0 && nano >= 0)
		aim(t, r, r->n - 1, nano);
	return rc;
}
