/* Finding pictures in JSON values. */
#include "image_refs.h"

#include "mem.h"
#include "banned.h"

#include <string.h>

enum { DEEPEST = 8 };

static int
add(struct gv_image_refs *l, const json_t *v, bool bytes, struct gv_error *e)
{
	const char *s = json_string_value(v);
	void *p = l->ref;

	if (!s || !*s)
		return gv_fail(e, GV_ERR_FORMAT,
		    "neither a path nor a data URL, nor a list of them");
	if (gv_grow(&p, &l->cap, l->n + 1, sizeof *l->ref))
		return gv_fail(e, GV_ERR_NOMEM, "out of memory");
	l->ref = p;
	l->ref[l->n++] = (struct gv_image_ref){s, bytes};
	return 0;
}

bool
gv_image_part(const char *type)
{
	return !strcmp(type, "image") || !strcmp(type, "image_url") ||
	       !strcmp(type, "input_image");
}

/* Where an object keeps its picture, or NULL. */
static const json_t *
inner(const json_t *o)
{
	static const char *const keys[] = {"path", "url", "image_url", "image"};
	size_t i;

	for (i = 0; i < sizeof keys / sizeof *keys; i++) {
		const json_t *v = json_object_get(o, keys[i]);

		if (v && !json_is_null(v))
			return v;
	}
	return NULL;
}

/* Members of a list may be texts only where a text is a picture: in a message
 * it is what somebody says. */
static int
find(struct gv_image_refs *l, const json_t *v, int depth, bool texts,
    struct gv_error *e)
{
	const json_t *content = json_object_get(v, "content"), *in;
	const json_t *bytes = json_object_get(v, "bytes");
	const char *type = json_string_value(json_object_get(v, "type"));
	size_t i;

	if (depth > DEEPEST)
		return gv_fail(
		    e, GV_ERR_LIMIT, "nested deeper than %d", DEEPEST);
	if (!v || json_is_null(v) || (json_is_string(v) && !texts))
		return 0;
	if (json_is_array(v)) {
		for (i = 0; i < json_array_size(v); i++)
			if (find(l, json_array_get(v, i), depth + 1, texts, e))
				return e->code;
		return 0;
	}
	if (!json_is_object(v))
		return add(l, v, false, e);
	if (content)
		return find(l, content, depth + 1, false, e);
	if (type && !gv_image_part(type))
		return 0;
	if (bytes && !json_is_null(bytes))
		return add(l, bytes, true, e);
	in = inner(v);
	if (!in)
		return gv_fail(
		    e, GV_ERR_FORMAT, "an object that names no picture");
	return find(l, in, depth + 1, true, e);
}

int
gv_image_refs(struct gv_image_refs *l, const json_t *v, struct gv_error *e)
{
	l->n = 0;
	return find(l, v, 0, true, e);
}
