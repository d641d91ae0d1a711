/* Weights to a file: the header, padded for its data, then the data. */
#include "safetensors_priv.h"

#include "json.h"
#include "mem.h"
#include "banned.h"

struct gv_st_writer {
	struct gv_out *out;
	size_t want, put; /* bytes of data declared, and given */
};

/* A string that jansson refuses is not UTF-8, unless memory is out; both end
 * here. */
static int
refused(struct gv_error *e, const char *what, const char *name)
{
	json_t *again = json_string(name);
	bool utf8 = again != NULL;

	json_decref(again);
	if (utf8)
		return gv_fail(e, GV_ERR_NOMEM, "out of memory");
	return gv_fail(e, GV_ERR_FORMAT, "%s '%s' is not UTF-8", what, name);
}

static json_t *
shape_json(const struct gv_st_entry *t)
{
	json_t *shape = json_array();
	int i, bad = shape == NULL;

	for (i = 0; i < t->rank && !bad; i++)
		bad = json_array_append_new(shape, json_integer(t->shape[i]));
	if (!bad)
		return shape;
	json_decref(shape);
	return NULL;
}

static int
add_entry(
    json_t *header, const struct gv_st_entry *t, size_t *at, struct gv_error *e)
{
	size_t bytes, end;
	json_t *shape, *o;

	if (t->rank < 0 || t->rank > GV_MAX_RANK ||
	    !gv_shape_bytes(t->dtype, t->shape, t->rank, &bytes) ||
	    !gv_add(*at, bytes, &end) || end > INT64_MAX)
		return gv_fail(
		    e, GV_ERR_LIMIT, "tensor '%s' is too large", t->name);
	if (!strcmp(t->name, "__metadata__") ||
	    json_object_get(header, t->name))
		return gv_fail(
		    e, GV_ERR_MATCH, "tensor '%s' is named twice", t->name);
	shape = shape_json(t);
	o = shape ? json_pack("{s:s, s:o, s:[I,I]}", "dtype",
			gv_dtype_name(t->dtype), "shape", shape, "data_offsets",
			(json_int_t)*at, (json_int_t)end)
		  : NULL;
	if (!o)
		return gv_fail(e, GV_ERR_NOMEM, "out of memory");
	if (json_object_set_new(header, t->name, o))
		return refused(e, "tensor name", t->name);
	*at = end;
	return 0;
}

static json_t *
make_header(const struct gv_st_entry *t, size_t n, const char *const (*meta)[2],
    size_t nmeta, size_t *bytes, struct gv_error *e)
{
	json_t *header = json_object(), *m;
	size_t i;

	if (!header) {
		gv_fail(e, GV_ERR_NOMEM, "out of memory");
		return NULL;
	}
	m = nmeta ? json_object() : NULL;
	if (nmeta && json_object_set_new(header, "__metadata__", m))
		gv_fail(e, GV_ERR_NOMEM, "out of memory");
	for (i = 0; i < nmeta && !e->code; i++)
		if (json_object_set_new(m, meta[i][0], json_string(meta[i][1])))
			refused(e, "metadata", meta[i][1]);
	*bytes = 0;
	for (i = 0; i < n && !e->code; i++)
		add_entry(header, &t[i], bytes, e);
	if (!e->code)
		return header;
	json_decref(header);
	return NULL;
}

static int
write_header(struct gv_out *o, const json_t *header, const char *path,
    struct gv_error *e)
{
	char *s = gv_json_text(header, JSON_COMPACT), pad[GV_ALIGN];
	uint8_t len[GV_ST_PREFIX];
	size_t n, all;
	int i, r;

	if (!s)
		return gv_st_no_memory(e, path);
	n = strlen(s);
	all = gv_align(GV_ST_PREFIX + n);
	for (i = 0; i < GV_ST_PREFIX; i++)
		len[i] = (uint8_t)((uint64_t)(all - GV_ST_PREFIX) >> (8 * i));
	memset(pad, ' ', sizeof pad);
	if (all - GV_ST_PREFIX > GV_ST_MAX_HEADER)
		r = gv_fail(e, GV_ERR_LIMIT,
		    "'%s': header of %zu bytes, the limit is %zu", path,
		    all - GV_ST_PREFIX, GV_ST_MAX_HEADER);
	else
		r = gv_out_write(o, len, sizeof len, e);
	if (!r)
		r = gv_out_write(o, s, n, e);
	if (!r)
		r = gv_out_write(o, pad, all - GV_ST_PREFIX - n, e);
	gv_free(s);
	return r;
}

int
gv_st_writer_open(struct gv_st_writer **out, const char *path,
    const struct gv_st_entry *t, size_t n, const char *const (*meta)[2],
    size_t nmeta, struct gv_error *e)
{
	struct gv_st_writer *w;
	json_t *header;

	if (n > GV_ST_MAX_TENSORS)
		return gv_fail(e, GV_ERR_LIMIT, "'%s': more than %d tensors",
		    path, GV_ST_MAX_TENSORS);
	w = gv_alloc(1, sizeof *w);
	if (!w)
		return gv_st_no_memory(e, path);
	header = make_header(t, n, meta, nmeta, &w->want, e);
	if (header && !gv_out_open(&w->out, path, true, false, e))
		write_header(w->out, header, path, e);
	json_decref(header);
	if (e->code) {
		gv_st_writer_abort(&w);
		return e->code;
	}
	*out = w;
	return 0;
}

int
gv_st_writer_data(
    struct gv_st_writer *w, const void *data, size_t bytes, struct gv_error *e)
{
	if (bytes > w->want - w->put)
		return gv_fail(e, GV_ERR_MATCH,
		    "'%s': more data than the %zu bytes declared",
		    gv_out_name(w->out), w->want);
	w->put += bytes;
	return gv_out_write(w->out, data, bytes, e);
}

int
gv_st_writer_close(struct gv_st_writer **out, struct gv_error *e)
{
	struct gv_st_writer *w = *out;
	int r;

	*out = NULL;
	if (w->put != w->want) {
		r = gv_fail(e, GV_ERR_CUT,
		    "'%s': %zu bytes of data given, %zu declared",
		    gv_out_name(w->out), w->put, w->want);
		gv_out_abort(&w->out);
	} else {
		r = gv_out_commit(&w->out, e);
	}
	gv_free(w);
	return r;
}

void
gv_st_writer_abort(struct gv_st_writer **out)
{
	struct gv_st_writer *w = *out;

	if (!w)
		return;
	*out = NULL;
	gv_out_abort(&w->out);
	gv_free(w);
}
