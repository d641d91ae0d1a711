/* Tensors into the files of a new model. */
#include "shards.h"

#include "blocks.h"
#include "dir.h"
#include "files.h"
#include "mem.h"
#include "positions.h"
#include "banned.h"

#include <math.h>

#define F16_END 65520.0f /* from here on it rounds to infinity */
#define CHUNK   ((size_t)1 << 16) /* numbers converted at a time, or a row */

/* ---- the list ------------------------------------------------------------ */

void
gv_items_free(struct gv_items *list)
{
	size_t i;

	for (i = 0; i < sizeof list->own / sizeof *list->own; i++)
		gv_free(list->own[i]);
	gv_free(list->v);
	memset(list, 0, sizeof *list);
}

static bool
is_floating(enum gv_dtype t)
{
	return t == GV_F32 || t == GV_BF16 || t == GV_F16 || t == GV_F64 ||
	       gv_block_numbers(t) > 1;
}

static struct gv_item *
append(struct gv_items *list, const char *name, struct gv_error *e)
{
	void *v = list->v;
	struct gv_item *it;

	if (gv_grow(&v, &list->cap, list->n + 1, sizeof *list->v)) {
		gv_fail(e, GV_ERR_NOMEM, "out of memory");
		return NULL;
	}
	list->v = v;
	it = &list->v[list->n++];
	memset(it, 0, sizeof *it);
	snprintf(it->name, sizeof it->name, "%s", name);
	it->part = GV_PARTS;
	it->fill = -1;
	return it;
}

int
gv_items_add(struct gv_items *list, const char *name,
    const struct gv_source *src, enum gv_dtype dtype, struct gv_error *e)
{
	struct gv_item *it = append(list, name, e);

	if (!it)
		return e->code;
	it->t = *src->t;
	it->paired = src->paired;
	it->rank = it->t.rank;
	memcpy(it->shape, it->t.shape, sizeof it->shape);
	it->dtype = dtype && is_floating(it->t.dtype) ? dtype : it->t.dtype;
	if (gv_block_numbers(it->dtype) > 1)
		it->dtype = GV_F32;
	return 0;
}

/* A table of positions, interpolated for m's images. */
static int
resize(struct gv_items *list, struct gv_item *it, const struct gv_model *m,
    struct gv_error *e)
{
	const size_t most = sizeof list->own / sizeof *list->own;
	size_t i = 0;

	while (i < most && list->own[i])
		i++;
	if (i == most)
		return gv_fail(
		    e, GV_ERR_LIMIT, "more than %zu tables of positions", most);
	return gv_positions_resize(&it->t, &list->own[i], m, &it->t, e);
}

/* The model's shape for an item; only rows of a vocabulary may be missing. */
static int
fit(struct gv_items *list, struct gv_item *it, const struct gv_model *m,
    const struct gv_param *p, const struct gv_origin *from, struct gv_error *e)
{
	char got[96], want[96];
	struct gv_name at;
	int64_t rows = p->shape[0];
	bool vocabulary;

	gv_name_read(&at, p->name);
	vocabulary = at.part == GV_LANGUAGE &&
		     (!strcmp(at.name, "lm_head.weight") ||
			 !strcmp(at.name, "model.embed_tokens.weight"));
	if (gv_positions_differ(m, p, &rows) && it->t.shape[0] == rows &&
	    resize(list, it, m, e))
		return e->code;
	if (it->t.rank != p->rank ||
	    memcmp(it->t.shape + 1, p->shape + 1,
		(size_t)(p->rank - 1) * sizeof *p->shape) ||
	    (it->t.shape[0] != p->shape[0] &&
		!(vocabulary && it->t.shape[0] < p->shape[0])))
		return gv_fail(e, GV_ERR_MATCH,
		    "tensor '%s' is %s in '%s', the new model's is %s", at.name,
		    gv_shape_text(got, sizeof got, it->t.shape, it->t.rank),
		    gv_origin_dir(from),
		    gv_shape_text(want, sizeof want, p->shape, p->rank));
	it->shape[0] = p->shape[0];
	return 0;
}

static int
take(struct gv_items *list, const struct gv_model *m, const struct gv_param *p,
    const struct gv_origin *from, enum gv_dtype dtype, struct gv_error *e)
{
	const struct gv_source *src;
	struct gv_item *it;
	struct gv_name at;

	gv_name_read(&at, p->name);
	src = gv_origin_find(from, &at);
	if (!src)
		return gv_fail(e, GV_ERR_MATCH, "tensor '%s' is not in '%s'",
		    p->name, gv_origin_dir(from));
	if (gv_items_add(list, p->name, src, dtype, e))
		return e->code;
	it = &list->v[list->n - 1];
	it->part = p->part;
	if (fit(list, it, m, p, from, e))
		return e->code;
	/* what was interpolated isn't rounded either */
	if (!dtype && it->t.dtype == GV_F32)
		it->dtype = GV_F32;
	return 0;
}

int
gv_items_model(struct gv_items *list, const struct gv_model *m,
    const struct gv_origin *const from[GV_PARTS], enum gv_dtype dtype,
    struct gv_error *e)
{
	size_t i;

	for (i = 0; i < m->nparams; i++) {
		const struct gv_param *p = &m->param[i];
		struct gv_source own = {0};
		struct gv_tensor t;

		if (from[p->part]) {
			if (take(list, m, p, from[p->part], dtype, e))
				return e->code;
			continue;
		}
		own.t = &t;
		if (gv_tensor_set(&t, GV_F32, p->rank, p->shape,
			(const float *)m->part[p->part].w + p->at, e) ||
		    gv_items_add(list, p->name, &own, dtype, e))
			return e->code;
		list->v[list->n - 1].part = p->part;
		list->v[list->n - 1].fresh = true;
	}
	return 0;
}

enum gv_dtype
gv_items_dtype(const struct gv_items *list)
{
	enum gv_dtype t = list->n ? list->v[0].dtype : GV_F32;
	size_t i;

	for (i = 0; i < list->n; i++)
		if (list->v[i].part < GV_PARTS && list->v[i].dtype != t)
			t = GV_F32;
	return t;
}

/* ---- values -------------------------------------------------------------- */

/* Rounds n numbers to the item's type; one too large for it would be lost. */
static int
narrow(void *out, const float *v, const struct gv_item *it, size_t n,
    struct gv_error *e)
{
	size_t i;

	for (i = 0; i < n && it->dtype == GV_F16; i++)
		if (fabsf(v[i]) >= F16_END && !isinf(v[i]))
			return gv_fail(e, GV_ERR_LIMIT,
			    "tensor '%s' has a number of %g, which F16 can't "
			    "hold",
			    it->name, (double)v[i]);
	return gv_from_f32(out, it->dtype, v, n, e);
}

/* Numbers of the source from `at` on, n of them, in whole blocks. */
static int
convert(void *out, float *v, const struct gv_item *it, size_t at, size_t n,
    struct gv_error *e)
{
	const char *src =
	    (const char *)it->t.data +
	    at / gv_block_numbers(it->t.dtype) * gv_block_bytes(it->t.dtype);

	if (it->t.dtype == it->dtype) {
		memcpy(out, src, n * gv_dtype_size(it->dtype));
		return 0;
	}
	return gv_blocks_to_f32(v, src, it->t.dtype, n, e) ||
		       narrow(out, v, it, n, e)
		   ? e->code
		   : 0;
}

/* What convert() needs for n numbers. */
struct room {
	void *out;
	float *v;
};

static int
write_numbers(struct gv_st_writer *w, const struct gv_item *it,
    const struct room *x, size_t at, size_t n, struct gv_error *e)
{
	return convert(x->out, x->v, it, at, n, e) ||
		       gv_st_writer_data(
			   w, x->out, n * gv_dtype_size(it->dtype), e)
		   ? e->code
		   : 0;
}

static int
write_row(struct gv_st_writer *w, const struct gv_item *it,
    const struct room *x, int64_t i, size_t n, struct gv_error *e)
{
	if (i == it->fill || i >= it->t.shape[0])
		return narrow(x->out, it->row, it, n, e) ||
			       gv_st_writer_data(
				   w, x->out, n * gv_dtype_size(it->dtype), e)
			   ? e->code
			   : 0;
	if (it->paired) {
		/* see gv_gguf_paired() */
		int64_t D = it->shape[0] / it->paired, r = i % D;

		i += r % (D / 2) * 2 + r / (D / 2) - r;
	}
	return write_numbers(w, it, x, (size_t)i * n, n, e);
}

/* Row by row only where rows are moved or added. */
static int
write_item(struct gv_st_writer *w, const struct gv_item *it, struct gv_error *e)
{
	bool rows = it->row || it->paired, same = it->t.dtype == it->dtype;
	size_t n, row, at, k;
	struct room x;
	int64_t i;

	if (!rows && same)
		return gv_st_writer_data(w, it->t.data, it->t.bytes, e);
	if (!gv_shape_count(it->shape, it->rank, &n))
		return gv_fail(e, GV_ERR_LIMIT, "'%s' is too large", it->name);
	row = it->rank && it->shape[0] ? n / (size_t)it->shape[0] : n;
	k = rows && row > CHUNK ? row : CHUNK;
	x.out = gv_alloc(k, sizeof(double));
	x.v = gv_alloc(k, sizeof *x.v);
	if (!x.out || !x.v)
		gv_fail(e, GV_ERR_NOMEM, "out of memory");
	for (i = 0; rows && i < it->shape[0] && !e->code; i++)
		(void)!write_row(w, it, &x, i, row, e);
	for (at = 0; !rows && at < n && !e->code; at += k)
		(void)!write_numbers(w, it, &x, at, n - at < k ? n - at : k, e);
	gv_free(x.out);
	gv_free(x.v);
	return e->code;
}

/* ---- files --------------------------------------------------------------- */

static size_t
bytes_of(const struct gv_item *it)
{
	size_t bytes = 0;

	(void)gv_shape_bytes(it->dtype, it->shape, it->rank, &bytes);
	return bytes;
}

/* One past the last item of the shard that starts with `from`. */
static size_t
shard_end(const struct gv_items *list, size_t from, int64_t most)
{
	size_t i = from, sum = 0;

	while (i < list->n && (i == from || !most ||
				  sum + bytes_of(&list->v[i]) <= (size_t)most))
		sum += bytes_of(&list->v[i++]);
	return i;
}

static int
write_shard(const char *path, const struct gv_items *list, size_t from,
    size_t to, struct gv_error *e)
{
	static const char *const meta[1][2] = {{"format", "pt"}};
	struct gv_st_entry *t = gv_alloc(to - from, sizeof *t);
	struct gv_st_writer *w = NULL;
	size_t i;

	if (!t)
		return gv_fail(e, GV_ERR_NOMEM, "out of memory");
	for (i = from; i < to; i++) {
		const struct gv_item *it = &list->v[i];

		t[i - from].name = it->name;
		t[i - from].dtype = it->dtype;
		t[i - from].rank = it->rank;
		memcpy(t[i - from].shape, it->shape, sizeof it->shape);
	}
	(void)!gv_st_writer_open(&w, path, t, to - from, meta, 1, e);
	for (i = from; i < to && !e->code; i++)
		(void)!write_item(w, &list->v[i], e);
	if (!e->code)
		(void)!gv_st_writer_close(&w, e);
	gv_st_writer_abort(&w);
	gv_free(t);
	return e->code;
}

/* The shards' items go into the index as they are written. */
static int
write_shards(const char *dir, const struct gv_items *list, int64_t most,
    size_t shards, struct gv_error *e)
{
	json_t *map = json_object(), *index;
	char path[GV_PATH_MAX], name[64];
	size_t at = 0, end, i, k, total = 0;
	int bad = !map;

	for (k = 0; k < shards && !e->code && !bad; k++, at = end) {
		end = shard_end(list, at, most);
		snprintf(name, sizeof name, "model-%05zu-of-%05zu.safetensors",
		    k + 1, shards);
		snprintf(path, sizeof path, "%s/%s", dir, name);
		(void)!write_shard(path, list, at, end, e);
		for (i = at; i < end; i++) {
			total += bytes_of(&list->v[i]);
			bad |= json_object_set_new(
			    map, list->v[i].name, json_string(name));
		}
	}
	index = json_pack("{s:{s:I}, s:O}", "metadata", "total_size",
	    (json_int_t)total, "weight_map", map);
	json_decref(map);
	if (!e->code && (bad || !index))
		gv_fail(e, GV_ERR_NOMEM, "out of memory");
	else if (!e->code)
		(void)!gv_json_save(
		    index, dir, "model.safetensors.index.json", e);
	json_decref(index);
	return e->code;
}

int
gv_shards_write(const char *dir, const struct gv_items *list, int64_t most,
    struct gv_error *e)
{
	char path[GV_PATH_MAX];
	size_t at, shards = 0;

	for (at = 0; at < list->n; at = shard_end(list, at, most))
		shards++;
	if (shards > GV_ST_MAX_SHARDS)
		return gv_fail(e, GV_ERR_LIMIT,
		    "shards of %lld bytes would be %zu, the limit is %d",
		    (long long)most, shards, GV_ST_MAX_SHARDS);
	if (shards > 1)
		return write_shards(dir, list, most, shards, e);
	snprintf(path, sizeof path, "%s/model.safetensors", dir);
	return write_shard(path, list, 0, list->n, e);
}
