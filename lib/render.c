/* JSON lines to records of token ids. */
#include "render.h"

#include "documents.h"
#include "mem.h"
#include "render_images.h"
#include "utf8.h"
#include "banned.h"

void
gv_record_free(struct gv_record *r)
{
	gv_rendered_free(&r->seq);
	gv_free(r->start);
	json_decref(r->plain);
	memset(r, 0, sizeof *r);
}

static void
empty(struct gv_record *r)
{
	json_decref(r->plain);
	r->key[0] = '\0';
	r->plain = NULL;
	r->seq.n = r->seq.images = r->starts = 0;
}

static int
no_memory(struct gv_error *e)
{
	return gv_fail(e, GV_ERR_NOMEM, "out of memory");
}

/* ---- keys ---------------------------------------------------------------- */

static int
take_key(struct gv_record *r, const json_t *o, struct gv_error *e)
{
	const json_t *id = json_object_get(o, "id");

	if (!id || json_is_null(id))
		return 0;
	if (json_is_integer(id)) {
		snprintf(r->key, sizeof r->key, "%" JSON_INTEGER_FORMAT,
		    json_integer_value(id));
		return 0;
	}
	if (!json_is_string(id))
		return gv_fail(
		    e, GV_ERR_FORMAT, "'id' is neither text nor a number");
	if (json_string_length(id) > GV_MAX_KEY)
		return gv_fail(e, GV_ERR_LIMIT, "'id' is longer than %d bytes",
		    GV_MAX_KEY);
	snprintf(r->key, sizeof r->key, "%s", json_string_value(id));
	return 0;
}

/* ---- sequences ----------------------------------------------------------- */

static int
begin(struct gv_record *r, struct gv_error *e)
{
	void *p = r->start;

	if (r->seq.n > INT32_MAX)
		return gv_fail(e, GV_ERR_LIMIT, "more than 2^31 tokens");
	if (gv_grow(&p, &r->start_cap, r->starts + 1, sizeof *r->start))
		return no_memory(e);
	r->start = p;
	r->start[r->starts++] = (int32_t)r->seq.n;
	return 0;
}

/* Cuts the sequence that was rendered last.  The last target that is left
 * stands: what comes next is known, only not shown. */
static int
shorten(const struct gv_render *how, struct gv_record *r, struct gv_error *e)
{
	size_t start = (size_t)r->start[r->starts - 1], end = 0;
	size_t n = r->seq.n - start, max = (size_t)how->max_length;

	if (!how->max_length || n <= max)
		return 0;
	if (how->mode == GV_RENDER_PROMPT)
		return gv_fail(e, GV_ERR_LIMIT,
		    "a prompt of %zu tokens is longer than %zu", n, max);
	if (r->seq.images)
		end = (size_t)r->seq.image_at[r->seq.images - 1] +
		      (size_t)how->chat.image_rows;
	if (end > start + max)
		return gv_fail(e, GV_ERR_LIMIT,
		    "the images don't fit into %zu tokens", max);
	r->seq.n = start + max;
	return 0;
}

/* The grids of the pictures in messages that have so many images. */
static int
find_tiles(const struct gv_render *how, const char *key, size_t images,
    struct gv_chat_how *chat, struct gv_error *e)
{
	char q[64];

	if (!how->tiles || !images)
		return 0;
	if (!gv_tile_table_find(how->tiles, key, &chat->tiles, &chat->pictures))
		return gv_fail(e, GV_ERR_MATCH, "'%s' has no record of tiles",
		    gv_quote(q, sizeof q, key, strlen(key)));
	if (chat->pictures == images)
		return 0;
	return gv_fail(e, GV_ERR_MATCH,
	    "%zu images in the messages, but tiles of %zu pictures", images,
	    chat->pictures);
}

static int
conversation(const struct gv_render *how, json_t *messages, const json_t *tools,
    size_t images, struct gv_record *r, struct gv_error *e)
{
	struct gv_chat_how chat = how->chat;
	json_t *m;
	int rc;

	if (gv_images_place(messages, images, &m, e) || begin(r, e)) {
		json_decref(m);
		return e->code;
	}
	chat.prompt = how->mode == GV_RENDER_PROMPT;
	if (find_tiles(how, r->key, gv_images_placed(m), &chat, e)) {
		json_decref(m);
		return e->code;
	}
	rc = gv_chat(how->tokenizer, &chat, m, tools, &r->seq, e);
	json_decref(m);
	return rc ? rc : shorten(how, r, e);
}

static int
chat(const struct gv_render *how, const json_t *o, size_t images,
    struct gv_record *r, struct gv_error *e)
{
	json_t *one = json_object_get(o, "messages");
	json_t *many = json_object_get(o, "conversations");
	const json_t *tools = json_object_get(o, "tools");
	size_t i;

	if (one && many)
		return gv_fail(
		    e, GV_ERR_FORMAT, "both 'messages' and 'conversations'");
	if (one)
		return conversation(how, one, tools, images, r, e);
	if (!json_array_size(many))
		return gv_fail(
		    e, GV_ERR_FORMAT, "neither 'messages' nor 'conversations'");
	for (i = 0; i < json_array_size(many); i++)
		if (conversation(
			how, json_array_get(many, i), tools, images, r, e))
			return gv_fail_in(e, "conversation %zu", i + 1);
	return 0;
}

/* ---- prompts ------------------------------------------------------------- */

/* A part's text; NULL if it is of another type. */
static const json_t *
part_text(const json_t *part)
{
	const char *type = json_string_value(json_object_get(part, "type"));
	const json_t *text = json_object_get(part, "text");

	return type && !strcmp(type, "text") && json_is_string(text) ? text
								     : NULL;
}

/* The text of a message's content, parts of other types left out. */
static json_t *
text_of(const json_t *content)
{
	size_t n = 0, at = 0, i;
	const json_t *text;
	json_t *all;
	char *s;

	if (json_is_string(content))
		return json_stringn(
		    json_string_value(content), json_string_length(content));
	for (i = 0; i < json_array_size(content); i++)
		if ((text = part_text(json_array_get(content, i))))
			n += json_string_length(text);
	if (!(s = gv_alloc(n, 1)))
		return NULL;
	for (i = 0; i < json_array_size(content); i++)
		if ((text = part_text(json_array_get(content, i)))) {
			memcpy(s + at, json_string_value(text),
			    json_string_length(text));
			at += json_string_length(text);
		}
	all = json_stringn(s, n);
	gv_free(s);
	return all;
}

const char *
gv_render_plain(const struct gv_render *how, size_t i)
{
	static const char *const always[] = {
	    "messages", "answers", "task", "options"};
	const size_t n = sizeof always / sizeof *always;

	if (i < n)
		return always[i];
	return i - n < how->nkeep ? how->keep[i - n] : NULL;
}

/* How many lists and objects stand in each other. */
static int
depth(const json_t *v)
{
	json_t *o = (json_t *)(uintptr_t)v, *inner;
	const char *key;
	int most = 0, d;
	size_t i;

	for (i = 0; i < json_array_size(v); i++)
		if ((d = depth(json_array_get(v, i))) > most)
			most = d;
	json_object_foreach(o, key, inner) if ((d = depth(inner)) > most) most =
	    d;
	return json_is_array(v) || json_is_object(v) ? most + 1 : 0;
}

/* The line's plain data, null where it has none. */
static json_t *
plain(const struct gv_render *how, const json_t *o)
{
	json_t *all = json_object();
	const char *key;
	size_t i;

	for (i = 0; all && (key = gv_render_plain(how, i)); i++) {
		json_t *v = json_object_get(o, key);

		if (!json_object_set_new(
			all, key, v ? json_incref(v) : json_null()))
			continue;
		json_decref(all);
		all = NULL;
	}
	return all;
}

/* Takes the assistant's last message away from what is to be answered. */
static int
take_answer(json_t *all, const json_t *list, const json_t *last)
{
	json_t *messages = json_copy((json_t *)(uintptr_t)list);

	if (!messages ||
	    json_array_remove(messages, json_array_size(messages) - 1) ||
	    json_object_set(all, "messages", messages)) {
		json_decref(messages);
		return GV_ERR_NOMEM;
	}
	json_decref(messages);
	if (!json_is_null(json_object_get(all, "answers")))
		return 0;
	return json_object_set_new(all, "answers",
	    json_pack("[o]", text_of(json_object_get(last, "content"))));
}

static int
prompt(const struct gv_render *how, const json_t *o, size_t images,
    struct gv_record *r, struct gv_error *e)
{
	const json_t *list = json_object_get(o, "messages");
	size_t n = json_array_size(list);
	const json_t *last = json_array_get(list, n ? n - 1 : 0);
	const char *role = json_string_value(json_object_get(last, "role"));

	if (!n)
		return gv_fail(
		    e, GV_ERR_FORMAT, "'messages' is not a list of turns");
	r->plain = plain(how, o);
	if (depth(r->plain) > GV_MAX_DEPTH)
		return gv_fail(e, GV_ERR_LIMIT,
		    "lists and objects are nested deeper than %d",
		    GV_MAX_DEPTH - 1);
	if (!r->plain || (role && !strcmp(role, "assistant") &&
			     take_answer(r->plain, list, last)))
		return no_memory(e);
	return conversation(how, json_object_get(r->plain, "messages"),
	    json_object_get(o, "tools"), images, r, e);
}

/* ---- lines --------------------------------------------------------------- */

static int
document(const struct gv_render *how, const char *s, size_t n,
    struct gv_record *r, struct gv_error *e)
{
	size_t bad = how->strict ? gv_utf8_check(s, n) : n;

	if (bad < n)
		return gv_fail(
		    e, GV_ERR_FORMAT, "byte %zu is not UTF-8", bad + 1);
	if (begin(r, e) ||
	    gv_document(how->tokenizer, s, n, how->threads, &r->seq, e))
		return e->code;
	return shorten(how, r, e);
}

int
gv_render(const struct gv_render *how, const char *line, size_t n,
    struct gv_record *r, struct gv_error *e)
{
	const json_t *text;
	size_t images = 0;
	json_t *o;

	empty(r);
	if (how->mode == GV_RENDER_TEXT)
		return document(how, line, n, r, e);
	if (gv_docs_parse(&o, line, n, e))
		return e->code;
	if (take_key(r, o, e) || gv_line_images(o, &images, e))
		goto done;
	switch (how->mode) {
	case GV_RENDER_CHAT:
		(void)!chat(how, o, images, r, e);
		break;
	case GV_RENDER_PROMPT:
		(void)!prompt(how, o, images, r, e);
		break;
	default:
		text = json_object_get(o, "text");
		if (!json_is_string(text))
			gv_fail(e, GV_ERR_FORMAT, "no 'text'");
		else
			(void)!document(how, json_string_value(text),
			    json_string_length(text), r, e);
	}
done:
	json_decref(o);
	return e->code;
}
