/* The header of a safetensors file: nothing is believed unchecked. */
#include "safetensors_priv.h"

#include "json.h"
#include "mem.h"
#include "banned.h"

/* ---- JSON within bounds -------------------------------------------------- */

/* The parser's memory grows with values, not bytes ("[[],[],..." is a hundred
 * to one), so they are counted first: every value but an object's or array's
 * first follows a comma.  An entry has three members, a shape MAX_RANK. */
static int
within_budget(const char *s, size_t n, const char *path, const char *what,
    struct gv_error *e)
{
	const size_t max = GV_ST_MAX_TENSORS + 16;
	const size_t limit[] = {max, max, 3 * max, 9 * max};
	size_t i, depth = 0, comma[4] = {0}, opened = 0;

	for (i = 0; i < n; i++) {
		if (s[i] == '"') {
			for (i++; i < n && s[i] != '"'; i++)
				i += s[i] == '\\';
		} else if (s[i] == '{' || s[i] == '[') {
			opened++;
			if (++depth > 3)
				return gv_fail(e, GV_ERR_FORMAT,
				    "'%s': %s is nested too deep", path, what);
		} else if (s[i] == '}' || s[i] == ']') {
			depth -= depth > 0;
		} else if (s[i] == ',' && ++comma[depth] > limit[depth]) {
			break;
		}
	}
	if (i < n || opened > 3 * max)
		return gv_fail(e, GV_ERR_LIMIT,
		    "'%s': %s describes more than %d tensors", path, what,
		    GV_ST_MAX_TENSORS);
	return 0;
}

json_t *
gv_st_object(const char *s, size_t n, const char *path, const char *what,
    struct gv_error *e)
{
	json_t *o;

	if (within_budget(s, n, path, what, e))
		return NULL;
	if (gv_json_parse(&o, s, n, e)) {
		gv_fail_in(e, "'%s': %s", path, what);
		return NULL;
	}
	if (!json_is_object(o)) {
		json_decref(o);
		gv_fail(e, GV_ERR_FORMAT, "'%s': %s is not a JSON object", path,
		    what);
		return NULL;
	}
	return o;
}
/* ---- one tensor ---------------------------------------------------------- */

/* Faults of an entry are reported by these two words in front. */
struct place {
	const char *path;
	char name[80]; /* quoted */
};

static int
read_shape(struct gv_tensor *t, const json_t *shape, const struct place *at,
    struct gv_error *e)
{
	size_t i, rank = json_array_size(shape);

	if (!json_is_array(shape))
		return gv_fail(e, GV_ERR_FORMAT,
		    "'%s': tensor '%s' has no shape", at->path, at->name);
	if (rank > GV_MAX_RANK)
		return gv_fail(e, GV_ERR_LIMIT,
		    "'%s': tensor '%s' has rank %zu, the limit is %d", at->path,
		    at->name, rank, GV_MAX_RANK);
	t->rank = (int)rank;
	for (i = 0; i < rank; i++) {
		const json_t *v = json_array_get(shape, i);

		t->shape[i] = json_integer_value(v);
		if (!json_is_integer(v) || t->shape[i] < 0)
			return gv_fail(e, GV_ERR_FORMAT,
			    "'%s': tensor '%s': dimension %zu of its shape "
			    "is not a size",
			    at->path, at->name, i);
	}
	if (!gv_shape_bytes(t->dtype, t->shape, t->rank, &t->bytes))
		return gv_fail(e, GV_ERR_FORMAT,
		    "'%s': tensor '%s': its shape overflows", at->path,
		    at->name);
	return 0;
}

static int
read_offsets(struct gv_st_named *en, const json_t *range,
    const struct place *at, struct gv_error *e)
{
	const json_t *a = json_array_get(range, 0);
	const json_t *b = json_array_get(range, 1);
	json_int_t begin = json_integer_value(a), end = json_integer_value(b);
	char shape[128];

	if (json_array_size(range) != 2 || !json_is_integer(a) ||
	    !json_is_integer(b) || begin < 0 || end < begin)
		return gv_fail(e, GV_ERR_FORMAT,
		    "'%s': tensor '%s': data_offsets are not [begin, end]",
		    at->path, at->name);
	en->begin = (size_t)begin;
	en->end = (size_t)end;
	if (en->end - en->begin != en->t.bytes)
		return gv_fail(e, GV_ERR_FORMAT,
		    "'%s': tensor '%s': %s %s takes %zu bytes, its "
		    "data_offsets span %zu",
		    at->path, at->name, gv_dtype_name(en->t.dtype),
		    gv_shape_text(shape, sizeof shape, en->t.shape, en->t.rank),
		    en->t.bytes, en->end - en->begin);
	return 0;
}

static int
read_entry(struct gv_st_named *en, const char *name, const json_t *o,
    const char *path, struct gv_error *e)
{
	const json_t *dtype = json_object_get(o, "dtype");
	const char *s = json_string_value(dtype);
	struct place at = {path, ""};
	char q[40];

	gv_quote(at.name, sizeof at.name, name, strlen(name));
	if (!s)
		return gv_fail(e, GV_ERR_FORMAT,
		    "'%s': tensor '%s' has no dtype", path, at.name);
	en->t.dtype = gv_dtype_parse(s, strlen(s));
	if (en->t.dtype == GV_NONE)
		return gv_fail(e, GV_ERR_NOSUP,
		    "'%s': tensor '%s': dtype '%s' is not supported", path,
		    at.name, gv_quote(q, sizeof q, s, strlen(s)));
	if (json_object_size(o) != 3)
		return gv_fail(e, GV_ERR_FORMAT,
		    "'%s': tensor '%s' needs dtype, shape and data_offsets, "
		    "and nothing else",
		    path, at.name);
	if (read_shape(&en->t, json_object_get(o, "shape"), &at, e))
		return e->code;
	return read_offsets(en, json_object_get(o, "data_offsets"), &at, e);
}
/* ---- one file ------------------------------------------------------------ */

static int
by_offset(const void *a, const void *b)
{
	const struct gv_st_named *x = a, *y = b;

	/* an empty tensor comes before the one that starts where it does */
	if (x->begin != y->begin)
		return x->begin < y->begin ? -1 : 1;
	return x->end < y->end ? -1 : x->end > y->end;
}

/* The entries cover [0, bytes) without hole or overlap; sorts them. */
static int
check_cover(struct gv_st_named *en, size_t n, size_t bytes, const char *path,
    struct gv_error *e)
{
	size_t i, at = 0;
	char q[80];

	if (n)
		qsort(en, n, sizeof *en, by_offset);
	for (i = 0; i < n; i++) {
		if (en[i].begin != at)
			return gv_fail(e, GV_ERR_FORMAT,
			    "'%s': tensor '%s' starts at byte %zu of the "
			    "data, expected %zu",
			    path,
			    gv_quote(
				q, sizeof q, en[i].name, strlen(en[i].name)),
			    en[i].begin, at);
		at = en[i].end;
	}
	if (at > bytes)
		return gv_fail(e, GV_ERR_CUT,
		    "'%s': its tensors take %zu bytes, only %zu are there",
		    path, at, bytes);
	if (at < bytes)
		return gv_fail(e, GV_ERR_FORMAT,
		    "'%s': %zu bytes behind the last tensor", path, bytes - at);
	return 0;
}

static int
read_meta(struct gv_st *s, json_t *meta, const char *path, struct gv_error *e)
{
	const char *key;
	json_t *v;

	if (!json_is_object(meta))
		return gv_fail(e, GV_ERR_FORMAT,
		    "'%s': __metadata__ is not an object", path);
	json_object_foreach(meta, key, v)
	{
		if (!json_is_string(v))
			return gv_fail(e, GV_ERR_FORMAT,
			    "'%s': __metadata__ holds a value that is not text",
			    path);
	}
	if (!s->meta)
		s->meta = json_incref(meta);
	return 0;
}

/* Adds the entries of a parsed header; what was added stays in s->entry and is
 * freed with it. */
static int
read_header(
    struct gv_st *s, json_t *header, const char *path, struct gv_error *e)
{
	const char *name;
	json_t *v;

	json_object_foreach(header, name, v)
	{
		struct gv_st_named *en;

		if (!strcmp(name, "__metadata__")) {
			if (read_meta(s, v, path, e))
				return e->code;
			continue;
		}
		en = gv_st_new(s, name, path, e);
		if (!en || read_entry(en, name, v, path, e))
			return e->code;
	}
	return 0;
}

/* Where the data starts, once the length in front of the header is sane. */
static int
find_header(
    const struct gv_map *m, size_t *data, const char *path, struct gv_error *e)
{
	uint64_t len = 0;
	int i;

	if (m->size < GV_ST_PREFIX)
		return gv_fail(e, GV_ERR_CUT,
		    "'%s' is no safetensors file: %zu bytes", path, m->size);
	for (i = GV_ST_PREFIX - 1; i >= 0; i--)
		len = len << 8 | m->data[i];
	if (len > GV_ST_MAX_HEADER)
		return gv_fail(e, GV_ERR_LIMIT,
		    "'%s': header of %llu bytes, the limit is %zu", path,
		    (unsigned long long)len, GV_ST_MAX_HEADER);
	if (len > m->size - GV_ST_PREFIX)
		return gv_fail(e, GV_ERR_CUT,
		    "'%s' ends in its header: %llu bytes expected, %zu there",
		    path, (unsigned long long)len, m->size - GV_ST_PREFIX);
	if (!len || m->data[GV_ST_PREFIX] != '{')
		return gv_fail(e, GV_ERR_FORMAT,
		    "'%s' is no safetensors file: its header does not start "
		    "with '{'",
		    path);
	*data = GV_ST_PREFIX + (size_t)len;
	return 0;
}

int
gv_st_add(struct gv_st *s, const char *path, struct gv_error *e)
{
	size_t i, data = 0, first = s->n;
	struct gv_st_opened *f;
	json_t *header;

	if (gv_st_begin(s, path, e))
		return e->code;
	f = &s->file[s->nfiles - 1];
	if (gv_map_open(&f->map, path, e) ||
	    find_header(&f->map, &data, path, e))
		return e->code;
	header = gv_st_object((const char *)f->map.data + GV_ST_PREFIX,
	    data - GV_ST_PREFIX, path, "header", e);
	if (!header)
		return e->code;
	if (!read_header(s, header, path, e))
		check_cover(s->entry + first, s->n - first, f->map.size - data,
		    path, e);
	json_decref(header);
	if (e->code)
		return e->code;
	for (i = first; i < s->n; i++)
		s->entry[i].t.data = f->map.data + data + s->entry[i].begin;
	return 0;
}
