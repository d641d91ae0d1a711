/* Plain values of a record as C types and as JSON. */
#include "pack.h"

#include "banned.h"

static bool
json_list(struct gv_walk *w, uint64_t n, int depth, json_t *list)
{
	json_t *x;

	for (; n; n--) {
		if (!gv_walk_json(w, depth, &x))
			return false;
		if (json_array_append_new(list, x))
			return gv_walk_fail(w, GV_ERR_NOMEM, "out of memory");
	}
	return true;
}

static bool
json_map(struct gv_walk *w, uint64_t n, int depth, json_t *map)
{
	char key[GV_MAX_KEY + 1];
	size_t off, len;
	json_t *x;

	for (; n; n--) {
		if (!gv_walk_text(w, &off, &len))
			return false;
		if (len > GV_MAX_KEY)
			return gv_walk_fail(
			    w, GV_ERR_LIMIT, "a map key is too long");
		memcpy(key, w->base + off, len);
		key[len] = '\0';
		if (strlen(key) != len)
			return gv_walk_fail(
			    w, GV_ERR_FORMAT, "a map key holds a NUL");
		if (json_object_get(map, key))
			return gv_walk_fail(
			    w, GV_ERR_FORMAT, "a map key appears twice");
		if (!gv_walk_json(w, depth, &x))
			return false;
		if (json_object_set_new(map, key, x))
			return gv_walk_fail(w, GV_ERR_NOMEM, "out of memory");
	}
	return true;
}

static bool
json_container(
    struct gv_walk *w, const struct gv_item *it, int depth, json_t **out)
{
	json_t *v;
	bool fine;

	if (depth < 1)
		return gv_walk_fail(w, GV_ERR_LIMIT, "nested too deep");
	v = it->type == GV_ITEM_ARRAY ? json_array() : json_object();
	if (!v)
		return gv_walk_fail(w, GV_ERR_NOMEM, "out of memory");
	fine = it->type == GV_ITEM_ARRAY ? json_list(w, it->u, depth - 1, v)
					 : json_map(w, it->u, depth - 1, v);
	if (!fine) {
		json_decref(v);
		return false;
	}
	*out = v;
	return true;
}

static json_t *
json_text(struct gv_walk *w, size_t at)
{
	size_t off, n;

	w->at = at;
	if (!gv_walk_text(w, &off, &n))
		return NULL;
	return json_stringn((const char *)w->base + off, n);
}

bool
gv_walk_json(struct gv_walk *w, int depth, json_t **out)
{
	size_t at = w->at;
	struct gv_item it;
	json_t *v = NULL;

	if (!gv_walk_item(w, &it))
		return false;
	switch (it.type) {
	case GV_ITEM_ARRAY:
	case GV_ITEM_MAP:
		return json_container(w, &it, depth, out);
	case GV_ITEM_NIL:
		v = json_null();
		break;
	case GV_ITEM_BOOL:
		v = json_boolean(it.u);
		break;
	case GV_ITEM_UINT:
		if (it.u > INT64_MAX)
			return gv_walk_fail(
			    w, GV_ERR_FORMAT, "a number above 2^63 - 1");
		v = json_integer((json_int_t)it.u);
		break;
	case GV_ITEM_INT:
		v = json_integer(it.i);
		break;
	case GV_ITEM_F64:
		v = json_real(it.f);
		if (!v)
			return gv_walk_fail(
			    w, GV_ERR_FORMAT, "a number that is not finite");
		break;
	case GV_ITEM_STR:
		v = json_text(w, at);
		if (w->code)
			return false;
		break;
	case GV_ITEM_BIN:
		return gv_walk_fail(w, GV_ERR_FORMAT, "binary data");
	}
	if (!v)
		return gv_walk_fail(w, GV_ERR_NOMEM, "out of memory");
	*out = v;
	return true;
}

/* The header of a plain value; false if it is none. */
static bool
header(const struct gv_value *v, struct gv_walk *w, struct gv_item *it)
{
	if (!v->present || !v->plain)
		return false;
	gv_walk_init(w, v->plain, v->plain_bytes);
	return gv_walk_item(w, it);
}

int
gv_value_int(const struct gv_value *v, int64_t *out)
{
	struct gv_walk w;
	struct gv_item it;

	if (!header(v, &w, &it))
		return GV_ERR_FORMAT;
	if (it.type == GV_ITEM_INT)
		*out = it.i;
	else if (it.type == GV_ITEM_UINT && it.u <= INT64_MAX)
		*out = (int64_t)it.u;
	else
		return GV_ERR_FORMAT;
	return 0;
}

int
gv_value_f64(const struct gv_value *v, double *out)
{
	struct gv_walk w;
	struct gv_item it;

	if (!header(v, &w, &it))
		return GV_ERR_FORMAT;
	if (it.type == GV_ITEM_F64)
		*out = it.f;
	else if (it.type == GV_ITEM_INT)
		*out = (double)it.i;
	else if (it.type == GV_ITEM_UINT)
		*out = (double)it.u;
	else
		return GV_ERR_FORMAT;
	return 0;
}

int
gv_value_text(const struct gv_value *v, const char **s, size_t *n)
{
	struct gv_walk w;
	struct gv_item it;
	size_t off;

	if (!header(v, &w, &it) || it.type != GV_ITEM_STR ||
	    !gv_walk_span(&w, (size_t)it.u, &off))
		return GV_ERR_FORMAT;
	*s = (const char *)w.base + off;
	*n = (size_t)it.u;
	return 0;
}

int
gv_value_json(const struct gv_value *v, json_t **out)
{
	struct gv_walk w;

	if (!v->present || !v->plain)
		return GV_ERR_FORMAT;
	gv_walk_init(&w, v->plain, v->plain_bytes);
	if (!gv_walk_json(&w, GV_MAX_DEPTH - 1, out))
		return w.code == GV_ERR_NOMEM ? GV_ERR_NOMEM : GV_ERR_FORMAT;
	return 0;
}
