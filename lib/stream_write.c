/* Writing streams: what is put is checked, and at its record's end packed and
 * written, or in a part kept until that is joined.
 */
#include "stream.h"

#include "mem.h"
#include "pack.h"
#include "stream_pack_priv.h"
#include "banned.h"

struct gv_writer {
	struct gv_out *out; /* NULL: of a part */
	const struct gv_writer *whole; /* what it is a part of */
	struct gv_schema schema;
	struct gv_packed packed;
	uint64_t start, recs; /* the segment's first byte; records written */
	bool open; /* between begin and end_rec */
	bool failed;
	char key[GV_MAX_KEY + 1];
};

static int
no_memory(struct gv_error *e)
{
	return gv_fail(e, GV_ERR_NOMEM, "out of memory");
}

static int
out_of_turn(const char *what, struct gv_error *e)
{
	return gv_fail(e, GV_ERR_USAGE, "%s of a record out of turn", what);
}

/* Without HEAD. */
static int
open_writer(
    struct gv_writer **out, const struct gv_schema *s, struct gv_error *e)
{
	struct gv_writer *w = gv_alloc(1, sizeof *w);

	if (!w)
		return no_memory(e);
	if (gv_schema_copy(&w->schema, s, e) ||
	    gv_packed_open(&w->packed, &w->schema, e)) {
		gv_writer_abort(&w);
		return e->code;
	}
	*out = w;
	return 0;
}

int
gv_writer_open(struct gv_writer **out, struct gv_out *o,
    const struct gv_schema *s, struct gv_error *e)
{
	struct gv_writer *w;
	struct gv_pack head;

	if (open_writer(&w, s, e))
		return e->code;
	w->out = o;
	w->start = gv_out_offset(o);
	gv_pack_init(&head);
	gv_pack_head(&head, &w->schema);
	if (head.failed)
		no_memory(e);
	else if (head.n > GV_MAX_RECORD)
		gv_fail(e, GV_ERR_LIMIT, "HEAD is too large");
	else
		(void)!gv_out_write(o, head.p, head.n, e);
	gv_pack_free(&head);
	if (e->code)
		gv_writer_abort(&w);
	else
		*out = w;
	return e->code;
}

int
gv_writer_part(
    struct gv_writer **part, const struct gv_writer *w, struct gv_error *e)
{
	if (open_writer(part, &w->schema, e))
		return e->code;
	(*part)->whole = w;
	return 0;
}

int
gv_writer_begin(struct gv_writer *w, const char *key, struct gv_error *e)
{
	size_t n = strlen(key), i;

	if (w->open || w->failed)
		return out_of_turn("begin", e);
	if (n > GV_MAX_KEY)
		return gv_fail(e, GV_ERR_LIMIT,
		    "a key of %zu bytes (the limit is %d)", n, GV_MAX_KEY);
	if (!gv_utf8_valid(key, n))
		return gv_fail(e, GV_ERR_FORMAT, "a key is not UTF-8");
	memcpy(w->key, key, n + 1);
	for (i = 0; i < w->schema.nfields; i++)
		w->packed.slot[i].put = false;
	w->packed.plain.n = 0;
	w->open = true;
	return 0;
}

void
gv_writer_drop(struct gv_writer *w)
{
	w->open = false;
}

/* The slot for a field that is to be put now. */
static int
slot(struct gv_writer *w, const char *field, bool tensor, size_t *i,
    struct gv_error *e)
{
	const struct gv_field *f = gv_schema_find(&w->schema, field);

	if (!w->open)
		return out_of_turn("put", e);
	if (!f)
		return gv_fail(
		    e, GV_ERR_MATCH, "the stream has no field '%s'", field);
	if (tensor != (f->dtype != GV_NONE))
		return gv_fail(e, GV_ERR_MATCH, "field '%s' is %s", field,
		    tensor ? "plain, not a tensor" : "a tensor, not plain");
	*i = (size_t)(f - w->schema.fields);
	if (w->packed.slot[*i].put)
		return gv_fail(e, GV_ERR_MATCH, "field '%s' put twice", field);
	return 0;
}

static int
put_tensor(struct gv_writer *w, size_t i, int rank, const int64_t *shape,
    const void *data, struct gv_error *e)
{
	const struct gv_field *f = &w->schema.fields[i];
	struct gv_tensor t;
	char text[128];
	int a;

	if (gv_tensor_set(&t, f->dtype, rank, shape, data, e))
		return gv_fail_in(e, "field '%s'", f->name);
	if (rank != f->rank)
		return gv_fail(e, GV_ERR_MATCH,
		    "field '%s' is of rank %d, not %d", f->name, f->rank, rank);
	for (a = 0; a < rank; a++)
		if (f->shape[a] != GV_ANY && f->shape[a] != shape[a])
			return gv_fail(e, GV_ERR_MATCH,
			    "shape %s of field '%s' does not fit the stream",
			    gv_shape_text(text, sizeof text, shape, rank),
			    f->name);
	w->packed.slot[i].t = t;
	w->packed.slot[i].put = true;
	return 0;
}

int
gv_writer_tensor(struct gv_writer *w, const char *field, int rank,
    const int64_t *shape, const void *data, struct gv_error *e)
{
	size_t i;

	if (slot(w, field, true, &i, e))
		return e->code;
	return put_tensor(w, i, rank, shape, data, e);
}

/* Closes the plain value that begins at `off`. */
static int
put_plain(struct gv_writer *w, size_t i, size_t off, struct gv_error *e)
{
	if (w->packed.plain.failed)
		return no_memory(e);
	w->packed.slot[i].off = off;
	w->packed.slot[i].n = w->packed.plain.n - off;
	w->packed.slot[i].put = true;
	return 0;
}

int
gv_writer_int(
    struct gv_writer *w, const char *field, int64_t v, struct gv_error *e)
{
	size_t i, off = w->packed.plain.n;

	if (slot(w, field, false, &i, e))
		return e->code;
	msgpack_pack_int64(&w->packed.plain.pk, v);
	return put_plain(w, i, off, e);
}

int
gv_writer_f64(
    struct gv_writer *w, const char *field, double v, struct gv_error *e)
{
	size_t i, off = w->packed.plain.n;

	if (slot(w, field, false, &i, e))
		return e->code;
	msgpack_pack_double(&w->packed.plain.pk, v);
	return put_plain(w, i, off, e);
}

int
gv_writer_text(struct gv_writer *w, const char *field, const char *s, size_t n,
    struct gv_error *e)
{
	size_t i, off = w->packed.plain.n;

	if (slot(w, field, false, &i, e))
		return e->code;
	if (n > GV_MAX_RECORD)
		return gv_fail(
		    e, GV_ERR_LIMIT, "field '%s' is too large", field);
	if (!gv_utf8_valid(s, n))
		return gv_fail(
		    e, GV_ERR_FORMAT, "field '%s' is not UTF-8", field);
	gv_pack_text(&w->packed.plain, s, n);
	return put_plain(w, i, off, e);
}

int
gv_writer_json(
    struct gv_writer *w, const char *field, const json_t *v, struct gv_error *e)
{
	size_t i, off = w->packed.plain.n;

	if (slot(w, field, false, &i, e))
		return e->code;
	if (gv_pack_json(&w->packed.plain, v, GV_MAX_DEPTH - 1)) {
		w->packed.plain.n = off;
		return gv_fail(e, GV_ERR_LIMIT,
		    "field '%s' is nested too deep or has too many keys",
		    field);
	}
	return put_plain(w, i, off, e);
}

static int
put_value(
    struct gv_writer *w, size_t i, const struct gv_value *v, struct gv_error *e)
{
	const struct gv_field *f = &w->schema.fields[i];
	size_t off = w->packed.plain.n;

	if (!v->present)
		return gv_fail(
		    e, GV_ERR_MATCH, "field '%s' has no value", f->name);
	if ((v->plain ? GV_NONE : v->t.dtype) != f->dtype)
		return gv_fail(
		    e, GV_ERR_MATCH, "field '%s' is of another type", f->name);
	if (!v->plain)
		return put_tensor(w, i, v->t.rank, v->t.shape, v->t.data, e);
	gv_pack_raw(&w->packed.plain, v->plain, v->plain_bytes);
	return put_plain(w, i, off, e);
}

int
gv_writer_value(struct gv_writer *w, const char *field,
    const struct gv_value *v, struct gv_error *e)
{
	size_t i;

	if (slot(w, field, !v->plain, &i, e))
		return e->code;
	return put_value(w, i, v, e);
}

/* Dimensions of one name have one size within a record. */
static int
check_dims(const struct gv_writer *w, size_t i, int a, struct gv_error *e)
{
	const struct gv_field *f = w->schema.fields;
	size_t j;
	int b;

	for (j = 0; j <= i; j++)
		for (b = 0; b < f[j].rank; b++)
			if (f[j].shape[b] == GV_ANY &&
			    !strcmp(f[j].dim[b], f[i].dim[a]) &&
			    w->packed.slot[j].t.shape[b] !=
				w->packed.slot[i].t.shape[a])
				return gv_fail(e, GV_ERR_MATCH,
				    "fields '%s' and '%s' differ in the size "
				    "of '%s' (%lld and %lld)",
				    f[j].name, f[i].name, f[i].dim[a],
				    (long long)w->packed.slot[j].t.shape[b],
				    (long long)w->packed.slot[i].t.shape[a]);
	return 0;
}

static int
check_rec(const struct gv_writer *w, struct gv_error *e)
{
	const struct gv_field *f = w->schema.fields;
	size_t total = w->packed.plain.n, i;
	int a;

	if (!w->open || w->failed)
		return out_of_turn("end", e);
	for (i = 0; i < w->schema.nfields; i++)
		if (!w->packed.slot[i].put)
			return gv_fail(e, GV_ERR_MATCH,
			    "field '%s' has not been put", f[i].name);
	for (i = 0; i < w->schema.nfields; i++) {
		for (a = 0; a < f[i].rank; a++)
			if (f[i].shape[a] == GV_ANY && check_dims(w, i, a, e))
				return e->code;
		if (f[i].dtype != GV_NONE)
			total += w->packed.slot[i].t.bytes;
		/* names, shapes and pads are far below 1 KiB a field */
		total += 1024;
		if (total > GV_MAX_RECORD - 4096)
			return gv_fail(
			    e, GV_ERR_LIMIT, "a record larger than 1 GiB");
	}
	return 0;
}

/* Writes the records that have been packed, and forgets them. */
static int
write_packed(struct gv_writer *w, struct gv_packed *m, struct gv_error *e)
{
	size_t i;

	for (i = 0; i < m->n && !w->failed; i++)
		if (gv_packed_write(m, i, w->recs, w->out, e))
			w->failed = true;
		else
			w->recs++;
	gv_packed_empty(m);
	return w->failed ? e->code : 0;
}

int
gv_writer_end_rec(struct gv_writer *w, struct gv_error *e)
{
	if (check_rec(w, e) ||
	    gv_packed_add(&w->packed, w->key, w->out != NULL, e))
		return e->code;
	w->open = false;
	return w->out ? write_packed(w, &w->packed, e) : 0;
}

int
gv_writer_join(struct gv_writer *w, struct gv_writer *part, struct gv_error *e)
{
	if (w->open || w->failed || part->open || part->whole != w)
		return out_of_turn("join", e);
	return write_packed(w, &part->packed, e);
}

int
gv_writer_rec(struct gv_writer *w, const struct gv_rec *rec, struct gv_error *e)
{
	size_t i;

	if (gv_writer_begin(w, rec->key, e))
		return e->code;
	for (i = 0; i < w->schema.nfields; i++)
		if (put_value(w, i, &rec->v[i], e)) {
			gv_writer_drop(w);
			return e->code;
		}
	return gv_writer_end_rec(w, e);
}

int
gv_writer_close(struct gv_writer **wp, uint64_t bad, struct gv_error *e)
{
	struct gv_writer *w = *wp;
	struct gv_pack p;

	if (!w->out || w->open || w->failed) {
		out_of_turn("close", e);
	} else if (bad > UINT32_MAX) {
		gv_fail(e, GV_ERR_LIMIT, "too many bad records");
	} else {
		gv_pack_init(&p);
		msgpack_pack_map(&p.pk, 6);
		gv_pack_str(&p, "gv");
		gv_pack_str(&p, "end");
		gv_pack_str(&p, "recs");
		msgpack_pack_uint64(&p.pk, w->recs);
		gv_pack_str(&p, "bad");
		msgpack_pack_uint64(&p.pk, bad);
		gv_pack_str(&p, "bytes");
		msgpack_pack_uint64(&p.pk, gv_out_offset(w->out) - w->start);
		gv_pack_seal(&p);
		if (p.failed)
			no_memory(e);
		else if (gv_out_write(w->out, p.p, p.n, e))
			w->failed = true;
		gv_pack_free(&p);
	}
	gv_writer_abort(wp);
	return e->code;
}

void
gv_writer_abort(struct gv_writer **wp)
{
	struct gv_writer *w = *wp;

	if (!w)
		return;
	*wp = NULL;
	gv_schema_free(&w->schema);
	gv_packed_free(&w->packed);
	gv_free(w);
}
