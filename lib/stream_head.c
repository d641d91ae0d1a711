/* Reading HEAD: a schema from bytes that nobody has checked yet. */
#include "pack.h"

#include "mem.h"
#include "banned.h"

/* Copies a short str into a C string; no NUL may hide in it. */
static bool
short_text(struct gv_walk *w, char *dst, size_t cap)
{
	size_t off, n;

	if (!gv_walk_text(w, &off, &n))
		return false;
	if (n >= cap)
		return gv_walk_fail(w, GV_ERR_LIMIT, "a name is too long");
	if (n && memchr(w->base + off, 0, n))
		return gv_walk_fail(w, GV_ERR_FORMAT, "a name holds a NUL");
	memcpy(dst, w->base + off, n);
	dst[n] = '\0';
	return true;
}

/* The pairs that a later version may add after the known ones. */
static bool
skip_extra(struct gv_walk *w, uint64_t n, const char *const *known)
{
	char key[GV_MAX_KEY + 1];
	int i;

	for (; n; n--) {
		if (!short_text(w, key, sizeof key))
			return false;
		for (i = 0; known[i]; i++)
			if (!strcmp(key, known[i]))
				return gv_walk_fail(
				    w, GV_ERR_FORMAT, "a key appears twice");
		if (!gv_walk_skip(w, GV_MAX_DEPTH - 3, true))
			return false;
	}
	return true;
}

static bool
map_of(struct gv_walk *w, uint64_t least, uint64_t *n, const char *why)
{
	struct gv_item it;

	if (!gv_walk_item(w, &it))
		return false;
	if (it.type != GV_ITEM_MAP || it.u < least)
		return gv_walk_fail(w, GV_ERR_FORMAT, why);
	*n = it.u;
	return true;
}

static bool
array_of(struct gv_walk *w, uint64_t most, uint64_t *n, const char *why)
{
	struct gv_item it;

	if (!gv_walk_item(w, &it))
		return false;
	if (it.type != GV_ITEM_ARRAY)
		return gv_walk_fail(w, GV_ERR_FORMAT, why);
	if (it.u > most)
		return gv_walk_fail(w, GV_ERR_LIMIT, why);
	*n = it.u;
	return true;
}

static bool
dimension(struct gv_walk *w, struct gv_field *f, int i)
{
	struct gv_item it;
	size_t at = w->at;

	if (!gv_walk_item(w, &it))
		return false;
	if (it.type == GV_ITEM_UINT && it.u <= INT64_MAX) {
		f->shape[i] = (int64_t)it.u;
		return true;
	}
	if (it.type != GV_ITEM_STR)
		return gv_walk_fail(w, GV_ERR_FORMAT,
		    "a dimension is neither a size nor a name");
	w->at = at;
	f->shape[i] = GV_ANY;
	return short_text(w, f->dim[i], sizeof f->dim[i]);
}

static bool
field(struct gv_walk *w, struct gv_schema *s, struct gv_error *e)
{
	static const char *const known[] = {
	    "name", "dtype", "shape", "unit", NULL};
	struct gv_field f = {0};
	char dtype[16];
	uint64_t n = 0, rank = 0, i;

	if (!map_of(w, 4, &n, "a field is not a map of 4 keys or more") ||
	    !gv_walk_is(w, "name", "no 'name' of a field") ||
	    !short_text(w, f.name, sizeof f.name) ||
	    !gv_walk_is(w, "dtype", "no 'dtype' of a field") ||
	    !short_text(w, dtype, sizeof dtype) ||
	    !gv_walk_is(w, "shape", "no 'shape' of a field") ||
	    !array_of(w, GV_MAX_RANK, &rank, "a shape is no list of 0 to 8"))
		return false;
	f.dtype = gv_dtype_parse(dtype, strlen(dtype));
	if (f.dtype == GV_NONE && strcmp(dtype, gv_dtype_name(GV_NONE)))
		return gv_walk_fail(w, GV_ERR_NOSUP, "an unknown dtype");
	for (i = 0; i < rank; i++)
		if (!dimension(w, &f, (int)i))
			return false;
	f.rank = (int)rank;
	if (!gv_walk_is(w, "unit", "no 'unit' of a field") ||
	    !short_text(w, f.unit, sizeof f.unit) ||
	    !skip_extra(w, n - 4, known))
		return false;
	if (gv_schema_add_field(s, &f, e))
		return gv_walk_fail(w, e->code, e->msg);
	return true;
}

static bool
strings_only(const json_t *v)
{
	const char *key;
	json_t *x;
	size_t i;

	if (json_is_array(v)) {
		json_array_foreach(
		    v, i, x) if (!json_is_string(x)) return false;
		return true;
	}
	json_object_foreach(
	    (json_t *)v, key, x) if (!json_is_string(x)) return false;
	return json_is_object(v);
}

static bool
program(struct gv_walk *w, struct gv_schema *s, struct gv_error *e)
{
	static const char *const known[] = {
	    "name", "ver", "args", "digests", NULL};
	char name[GV_MAX_KEY + 1], ver[GV_MAX_KEY + 1];
	json_t *args = NULL, *digests = NULL;
	uint64_t n = 0;

	if (!map_of(w, 4, &n, "a program is not a map of 4 keys or more") ||
	    !gv_walk_is(w, "name", "no 'name' of a program") ||
	    !short_text(w, name, sizeof name) ||
	    !gv_walk_is(w, "ver", "no 'ver' of a program") ||
	    !short_text(w, ver, sizeof ver) ||
	    !gv_walk_is(w, "args", "no 'args' of a program") ||
	    !gv_walk_json(w, 1, &args))
		goto fail;
	if (!json_is_array(args) || !strings_only(args)) {
		gv_walk_fail(w, GV_ERR_FORMAT, "'args' is no list of text");
		goto fail;
	}
	if (!gv_walk_is(w, "digests", "no 'digests' of a program") ||
	    !gv_walk_json(w, 1, &digests))
		goto fail;
	if (!json_is_object(digests) || !strings_only(digests)) {
		gv_walk_fail(w, GV_ERR_FORMAT, "'digests' is no map of text");
		goto fail;
	}
	if (!skip_extra(w, n - 4, known))
		goto fail;
	if (gv_schema_add_prog(s, name, ver, args, digests, e))
		return gv_walk_fail(w, e->code, e->msg);
	return true;
fail:
	json_decref(args);
	json_decref(digests);
	return false;
}

bool
gv_walk_head(struct gv_walk *w, struct gv_schema *s, struct gv_error *e)
{
	uint64_t ver, n, i;

	if (!gv_walk_is(w, "ver", "no 'ver'") ||
	    !gv_walk_uint(w, &ver, "'ver' is not a number"))
		return false;
	if (ver != 1)
		return gv_walk_fail(
		    w, GV_ERR_NOSUP, "another version of the format than 1");
	if (!gv_walk_is(w, "kind", "no 'kind'") ||
	    !short_text(w, s->kind, sizeof s->kind))
		return false;
	if (!gv_name_valid(s->kind, strlen(s->kind), sizeof s->kind - 1))
		return gv_walk_fail(w, GV_ERR_FORMAT, "'kind' is no name");
	if (!gv_walk_is(w, "fields", "no 'fields'") ||
	    !array_of(w, GV_MAX_FIELDS, &n, "'fields' is no list of 0 to 248"))
		return false;
	for (i = 0; i < n; i++)
		if (!field(w, s, e))
			return false;
	if (!gv_walk_is(w, "prog", "no 'prog'") ||
	    !array_of(w, GV_MAX_KEYS, &n, "'prog' is no list of 0 to 256"))
		return false;
	for (i = 0; i < n; i++)
		if (!program(w, s, e))
			return false;
	return true;
}

bool
gv_walk_pad(struct gv_walk *w, bool bin_key)
{
	struct gv_item it;
	size_t off, i;

	if (bin_key ? !gv_walk_is_bin(w, "pad", "no 'pad'")
		    : !gv_walk_is(w, "pad", "no 'pad'"))
		return false;
	if (!gv_walk_item(w, &it))
		return false;
	if (it.tag != 0xc4 || it.u >= GV_ALIGN)
		return gv_walk_fail(
		    w, GV_ERR_FORMAT, "'pad' is not bin 8 of 0 to 63 bytes");
	if (!gv_walk_span(w, (size_t)it.u, &off))
		return false;
	for (i = 0; i < it.u; i++)
		if (w->base[off + i])
			return gv_walk_fail(
			    w, GV_ERR_FORMAT, "'pad' is not zeros");
	return true;
}
