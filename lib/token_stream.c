/* Streams of tokens, written. */
#include "token_stream.h"

#include "config.h"
#include "documents.h"
#include "mem.h"
#include "banned.h"

#include <inttypes.h>
#include <unistd.h>

/* ---- rows ---------------------------------------------------------------- */

int
gv_tokens_rows(const char *dir, int *rows, struct gv_error *e)
{
	size_t cap = strlen(dir) + sizeof "/config.json";
	char *path = gv_alloc(cap, 1);
	struct gv_config c;
	bool there;

	*rows = 0;
	if (!path)
		return gv_fail(e, GV_ERR_NOMEM, "out of memory");
	snprintf(path, cap, "%s/config.json", dir);
	there = !access(path, F_OK);
	gv_free(path);
	if (!there)
		return 0;
	if (gv_config_open(&c, dir, e))
		return e->code;
	*rows = (int)c.R;
	gv_config_free(&c);
	return 0;
}

/* ---- writing ------------------------------------------------------------- */

static int
fields(struct gv_schema *s, const struct gv_render *how, struct gv_error *e)
{
	bool prompt = how->mode == GV_RENDER_PROMPT;
	bool chat = how->mode == GV_RENDER_CHAT;
	const char *name;
	size_t i;

	if (gv_schema_field(s, "tokens", "I32 (T)", "", e))
		return e->code;
	if (!prompt && (gv_schema_field(s, "targets", "I32 (T)", "", e) ||
			   gv_schema_field(s, "bytes", "I32 (T)", "", e)))
		return e->code;
	/* conversations about the same images repeat their placeholders: the
	 * runs (M) are not as many as the images of the record (N) */
	if ((prompt || chat) && gv_schema_field(s, "image_at",
				    prompt ? "I32 (N)" : "I32 (M)", "", e))
		return e->code;
	if (chat && gv_schema_field(s, "starts", "I32 (S)", "", e))
		return e->code;
	for (i = 0; prompt && (name = gv_render_plain(how, i)); i++)
		if (gv_schema_field(s, name, "plain", "", e))
			return e->code;
	return 0;
}

static void
add(json_t *list, const char *option)
{
	json_array_append_new(list, json_string(option));
}

/* Nothing where the value is NULL. */
static void
add_value(json_t *list, const char *option, const char *value)
{
	if (!value)
		return;
	add(list, option);
	add(list, value);
}

static void
add_number(json_t *list, const char *option, int64_t v)
{
	char s[24];

	snprintf(s, sizeof s, "%" PRId64, v);
	add_value(list, option, v ? s : NULL);
}

/* The options that decide what is written. */
static json_t *
arguments(const struct gv_render *how, enum gv_docs_form form)
{
	static const char *const mode[] = {
	    [GV_RENDER_CHAT] = "--chat",
	    [GV_RENDER_PROMPT] = "--prompt",
	    [GV_RENDER_JSON] = "--text",
	    [GV_RENDER_TEXT] = "--text",
	};
	const struct gv_chat_how *c = &how->chat;
	json_t *list = json_array();
	size_t i;

	add(list, mode[how->mode]);
	add_value(list, "--template", c->form);
	if (c->no_thinking)
		add(list, "--no-thinking");
	add_value(list, "--date", c->date);
	add_value(list, "--tool-start", c->marks.start);
	add_value(list, "--tool-end", c->marks.end);
	add_value(list, "--tool-output-start", c->marks.out_start);
	add_value(list, "--tool-output-end", c->marks.out_end);
	add_number(list, "--image-rows", c->image_rows);
	if (how->tiles)
		add(list, "--tiles");
	add_number(list, "--max-length", how->max_length);
	for (i = 0; i < how->nkeep; i++)
		add_value(list, "--keep", how->keep[i]);
	if (how->mode == GV_RENDER_JSON)
		add(list, "--jsonl");
	if (form == GV_DOCS_WHOLE)
		add(list, "--whole");
	return list;
}

int
gv_tokens_open(struct gv_writer **w, struct gv_out *o,
    const struct gv_render *how, enum gv_docs_form form, struct gv_error *e)
{
	const char *digest = gv_tokenizer_digest(how->tokenizer);
	struct gv_schema s;

	if (gv_schema_init(&s, "tokens", e))
		return e->code;
	if (!gv_schema_prog(&s, "gv-tokenize", arguments(how, form),
		json_pack("{s:s}", "tokenizer", digest), e) &&
	    !fields(&s, how, e))
		(void)!gv_writer_open(w, o, &s, e);
	gv_schema_free(&s);
	return e->code;
}

static int
put_vector(struct gv_writer *w, const char *field, size_t n,
    const int32_t *data, struct gv_error *e)
{
	int64_t shape = (int64_t)n;

	return gv_writer_tensor(w, field, 1, &shape, data, e);
}

int
gv_tokens_put(struct gv_writer *w, const struct gv_render *how,
    const struct gv_record *r, struct gv_error *e)
{
	bool prompt = how->mode == GV_RENDER_PROMPT;
	bool chat = how->mode == GV_RENDER_CHAT;
	const struct gv_rendered *s = &r->seq;
	const char *name;
	size_t i;

	if (gv_writer_begin(w, r->key, e) ||
	    put_vector(w, "tokens", s->n, s->token, e))
		return e->code;
	if (!prompt && (put_vector(w, "targets", s->n, s->target, e) ||
			   put_vector(w, "bytes", s->n, s->bytes, e)))
		return e->code;
	if ((prompt || chat) &&
	    put_vector(w, "image_at", s->images, s->image_at, e))
		return e->code;
	if (chat && put_vector(w, "starts", r->starts, r->start, e))
		return e->code;
	for (i = 0; prompt && (name = gv_render_plain(how, i)); i++)
		if (gv_writer_json(w, name, json_object_get(r->plain, name), e))
			return e->code;
	return gv_writer_end_rec(w, e);
}
