/* What chat templates read: roles, content, calls of tools. */
#include "chat_impl.h"

#include "image_refs.h"
#include "utf8.h"
#include "banned.h"

/* ---- roles --------------------------------------------------------------- */

bool
gv_role_is(const json_t *message, const char *role)
{
	const char *s = json_string_value(json_object_get(message, "role"));

	return s && !strcmp(s, role);
}

const char *
gv_pen_role(struct gv_pen *p, const json_t *message, const char *list)
{
	const char *role = json_string_value(json_object_get(message, "role"));
	size_t n = role ? strlen(role) : 0;
	const char *s = list;
	char q[64];

	if (!role) {
		gv_fail(p->e, GV_ERR_FORMAT, "it has no 'role'");
		return NULL;
	}
	for (; n && (s = strstr(s, role)); s += n)
		if ((s == list || s[-1] == '|') && (!s[n] || s[n] == '|'))
			return role;
	gv_fail(p->e, GV_ERR_NOSUP, "role '%s' is not supported in %s",
	    gv_quote(q, sizeof q, role, n), p->form->name);
	return NULL;
}

/* ---- content ------------------------------------------------------------- */

/* The bytes at one end of the text that are a character which Python's
 * str.isspace() knows. */
static size_t
space_at(const char *s, size_t n, bool last)
{
	size_t from = last && n ? n - 1 : 0, len;
	uint32_t c;

	while (from && n - from < 4 && (s[from] & 0xc0) == 0x80)
		from--;
	if (!n)
		return 0;
	len = gv_utf8_next(s + from, n - from, &c);
	if (last && from + len != n)
		return 0;
	if ((c >= 0x1c && c <= 0x1f) || gv_utf8_class(c) == GV_CLASS_SPACE)
		return len;
	return 0;
}

void
gv_strip(const char **s, size_t *n)
{
	size_t k;

	while ((k = space_at(*s, *n, false)) > 0) {
		*s += k;
		*n -= k;
	}
	while ((k = space_at(*s, *n, true)) > 0)
		*n -= k;
}

int
gv_pen_part(
    struct gv_pen *p, const json_t *content, size_t i, struct gv_part *part)
{
	const json_t *o, *text = content;

	*part = (struct gv_part){.type = "text"};
	if (json_is_string(content) && i)
		return 0;
	if (!json_is_string(content) && !json_is_array(content))
		return gv_fail(p->e, GV_ERR_FORMAT,
		    "'content' is neither text nor a list");
	if (json_is_array(content)) {
		if (i == json_array_size(content))
			return 0;
		o = json_array_get(content, i);
		part->type = json_string_value(json_object_get(o, "type"));
		text = json_object_get(o, "text");
	}
	if (!part->type)
		return gv_fail(
		    p->e, GV_ERR_FORMAT, "a part of the content has no 'type'");
	if (gv_image_part(part->type)) {
		part->type = "image";
		return 1;
	}
	if (strcmp(part->type, "text") && strcmp(part->type, "python") &&
	    strcmp(part->type, "python_output")) {
		char q[64];

		return gv_fail(p->e, GV_ERR_NOSUP,
		    "content of type '%s' is not supported",
		    gv_quote(q, sizeof q, part->type, strlen(part->type)));
	}
	if (!json_is_string(text))
		return gv_fail(p->e, GV_ERR_FORMAT,
		    "a part of type '%s' has no 'text'", part->type);
	part->s = json_string_value(text);
	part->n = json_string_length(text);
	return 1;
}

/* A mark that is encoded by itself, with its special tokens: what is forced
 * upon the model. */
static int
mark(struct gv_pen *p, const char *s, bool trained)
{
	size_t i;

	if (gv_pen_flush(p))
		return p->e->code;
	p->begun = true;
	p->ids.n = 0;
	if (s && gv_encode_on(p->t, s, strlen(s), true, &p->ids, p->e))
		return p->e->code;
	for (i = 0; i < p->ids.n; i++)
		if (gv_rendered_put(
			p->t, p->r, p->start, p->ids.id[i], trained, p->e))
			return p->e->code;
	return 0;
}

/* A mark that the model writes: a token of its own, or text like other text. */
static int
own_mark(struct gv_pen *p, const char *s)
{
	return gv_tokenizer_special(p->t, s) >= 0 ? mark(p, s, p->trained)
						  : gv_pen_str(p, s);
}

/* A call of a tool is trained on with its marks, what came back is not. */
static int
tool_part(struct gv_pen *p, const struct gv_part *part)
{
	bool trained = p->trained;

	if (!p->marks.start &&
	    gv_tool_marks_of(&p->marks, &p->how->marks, p->t, p->e))
		return p->e->code;
	if (!strcmp(part->type, "python"))
		return own_mark(p, p->marks.start) ||
			       gv_pen_text(p, part->s, part->n) ||
			       own_mark(p, p->marks.end)
			   ? p->e->code
			   : 0;
	if (mark(p, p->marks.out_start, false) || gv_pen_train(p, false) ||
	    gv_pen_text(p, part->s, part->n) ||
	    mark(p, p->marks.out_end, false))
		return p->e->code;
	return gv_pen_train(p, trained);
}

int
gv_pen_content(
    struct gv_pen *p, const json_t *message, gv_pen_image_fn *image, bool trim)
{
	const json_t *content = json_object_get(message, "content");
	struct gv_part part;
	size_t i;
	int got;

	for (i = 0; (got = gv_pen_part(p, content, i, &part)) > 0; i++) {
		if (!strcmp(part.type, "image")) {
			if (image(p))
				return p->e->code;
		} else if (!strcmp(part.type, "text")) {
			if (trim)
				gv_strip(&part.s, &part.n);
			if (gv_pen_text(p, part.s, part.n))
				return p->e->code;
		} else if (!gv_role_is(message, "assistant")) {
			return gv_fail(p->e, GV_ERR_FORMAT,
			    "content of type '%s' outside the assistant's turn",
			    part.type);
		} else if (tool_part(p, &part)) {
			return p->e->code;
		}
	}
	return got;
}

int
gv_pen_plain(struct gv_pen *p, const json_t *message, bool trim)
{
	const json_t *content = json_object_get(message, "content");
	struct gv_part part;
	size_t i;
	int got;

	for (i = 0; (got = gv_pen_part(p, content, i, &part)) > 0; i++) {
		if (strcmp(part.type, "text") != 0)
			return gv_fail(p->e, GV_ERR_FORMAT,
			    "the %s message is not text",
			    json_string_value(
				json_object_get(message, "role")));
		if (trim)
			gv_strip(&part.s, &part.n);
		if (gv_pen_text(p, part.s, part.n))
			return p->e->code;
	}
	return got;
}

/* ---- tools --------------------------------------------------------------- */

const json_t *
gv_tool_calls(const json_t *message)
{
	const json_t *list = json_object_get(message, "tool_calls");

	return json_array_size(list) ? list : NULL;
}

int
gv_pen_call(struct gv_pen *p, const json_t *call, const char **name,
    const json_t **arguments)
{
	const json_t *inner = json_object_get(call, "function");

	if (inner)
		call = inner;
	*name = json_string_value(json_object_get(call, "name"));
	*arguments = json_object_get(call, "arguments");
	if (!*name || !*arguments)
		return gv_fail(p->e, GV_ERR_FORMAT,
		    "a call of a tool has no '%s'",
		    *name ? "arguments" : "name");
	return 0;
}

int
gv_pen_no_tools(struct gv_pen *p, const json_t *messages, const json_t *tools)
{
	size_t i;

	if (tools)
		return gv_fail(p->e, GV_ERR_NOSUP,
		    "%s has no place for 'tools'", p->form->name);
	for (i = 0; i < json_array_size(messages); i++)
		if (gv_tool_calls(json_array_get(messages, i)))
			return gv_fail(p->e, GV_ERR_NOSUP,
			    "message %zu: %s has no place for 'tool_calls'",
			    i + 1, p->form->name);
	return 0;
}
