/* Reading streams: records, walked over and checked in full. */
#include "stream_priv.h"

#include "mem.h"
#include "banned.h"

/* What a tensor begins with, step by step, to say what is wrong with it. */
static bool
walk_lead(struct gv_walk *w, const struct gv_field *f)
{
	struct gv_item it;

	if (!gv_walk_item(w, &it))
		return false;
	if (it.type != GV_ITEM_MAP || it.u != 6)
		return gv_walk_fail(
		    w, GV_ERR_FORMAT, "not a tensor, a map of six pairs");
	if (!gv_walk_is_bin(w, "nd", "no 'nd'") || !gv_walk_item(w, &it))
		return false;
	if (it.type != GV_ITEM_BOOL || !it.u)
		return gv_walk_fail(w, GV_ERR_FORMAT, "'nd' is not true");
	if (!gv_walk_is_bin(w, "type", "no 'type'") ||
	    !gv_walk_is(
		w, gv_dtype_wire(f->dtype), "another type than in HEAD") ||
	    !gv_walk_is_bin(w, "kind", "no 'kind'") ||
	    !gv_walk_is_bin(w, "", "'kind' is not empty") ||
	    !gv_walk_is_bin(w, "shape", "no 'shape'") || !gv_walk_item(w, &it))
		return false;
	if (it.type != GV_ITEM_ARRAY || it.u != (uint64_t)f->rank)
		return gv_walk_fail(
		    w, GV_ERR_FORMAT, "a shape of another rank than in HEAD");
	return true;
}

/* Steps over the n bytes at `lead` if they are what follows. */
static bool
is_lead(struct gv_walk *w, const uint8_t *lead, size_t n)
{
	if (n > w->have - w->at || n > w->limit - w->at ||
	    memcmp(w->base + w->at, lead, n))
		return false;
	w->at += n;
	return true;
}

static bool
walk_sizes(struct gv_walk *w, const struct gv_field *f, int64_t *shape)
{
	int i;

	for (i = 0; i < f->rank; i++) {
		uint64_t u;

		if (!gv_walk_uint(w, &u, "a dimension is not a size"))
			return false;
		if (u > INT64_MAX)
			return gv_walk_fail(
			    w, GV_ERR_LIMIT, "a dimension is too large");
		shape[i] = (int64_t)u;
		if (f->shape[i] != GV_ANY && f->shape[i] != shape[i])
			return gv_walk_fail(w, GV_ERR_FORMAT,
			    "another size of a dimension than in HEAD");
	}
	return true;
}

/* A map of nd, type, kind, shape, pad, data. */
static bool
walk_tensor(struct gv_reader *r, size_t i, struct gv_tensor *t, size_t *at)
{
	const struct gv_field *f = &r->schema.fields[i];
	size_t lead = r->lead_end[i];
	struct gv_walk *w = &r->w;
	struct gv_item it;

	if (!is_lead(w, r->lead.p + lead, r->lead_end[i + 1] - lead) &&
	    !walk_lead(w, f))
		return false;
	if (!walk_sizes(w, f, t->shape))
		return false;
	t->dtype = f->dtype;
	t->rank = f->rank;
	if (!gv_shape_bytes(t->dtype, t->shape, t->rank, &t->bytes))
		return gv_walk_fail(w, GV_ERR_LIMIT, "the shape is too large");
	if (!gv_walk_pad(w, true) || !gv_walk_is_bin(w, "data", "no 'data'") ||
	    !gv_walk_item(w, &it))
		return false;
	if (it.tag != 0xc6)
		return gv_walk_fail(w, GV_ERR_FORMAT, "'data' is not bin 32");
	if (it.u != t->bytes)
		return gv_walk_fail(
		    w, GV_ERR_FORMAT, "'data' is not of the shape's size");
	if (w->at % GV_ALIGN)
		return gv_walk_fail(
		    w, GV_ERR_FORMAT, "'data' is not aligned to 64 bytes");
	return gv_walk_span(w, t->bytes, at);
}

static bool
walk_value(struct gv_reader *r, size_t i)
{
	const struct gv_field *f = &r->schema.fields[i];
	struct gv_value *v = &r->v[i];
	struct gv_walk *w = &r->w;

	memset(v, 0, sizeof *v);
	v->present = true;
	r->field = f->name;
	if (f->dtype != GV_NONE) {
		if (!walk_tensor(r, i, &v->t, &r->v_at[i]))
			return false;
	} else {
		r->v_at[i] = w->at;
		if (!gv_walk_skip(w, GV_MAX_DEPTH - 1, false))
			return false;
		v->plain_bytes = w->at - r->v_at[i];
	}
	r->field = NULL;
	return true;
}

static bool
walk_key(struct gv_reader *r)
{
	struct gv_walk *w = &r->w;
	size_t off, n;

	if (!gv_walk_text(w, &off, &n))
		return false;
	if (n > GV_MAX_KEY)
		return gv_walk_fail(w, GV_ERR_LIMIT, "'key' is too long");
	memcpy(r->key, w->base + off, n);
	r->key[n] = '\0';
	if (strlen(r->key) != n)
		return gv_walk_fail(w, GV_ERR_FORMAT, "'key' holds a NUL");
	return true;
}

/* The known keys of a record by number: n, key, the fields, pad, crc. */
static const char *
known_key(const struct gv_reader *r, size_t i)
{
	size_t nf = r->schema.nfields;

	return i == 0        ? "n"
	       : i == 1      ? "key"
	       : i < nf + 2  ? r->schema.fields[i - 2].name
	       : i == nf + 2 ? "pad"
			     : "crc";
}

static bool
same(const struct gv_walk *w, size_t off, size_t n, const char *s)
{
	return strlen(s) == n && !memcmp(w->base + off, s, n);
}

static bool
walk_known(struct gv_reader *r, size_t i, size_t key_at, bool check)
{
	struct gv_walk *w = &r->w;
	size_t nf = r->schema.nfields;
	uint64_t u;

	if (i == 0) {
		if (!gv_walk_uint(w, &u, "'n' is not a number"))
			return false;
		if (u != r->seg_recs)
			return gv_walk_fail(
			    w, GV_ERR_FORMAT, "'n' is out of sequence");
		return true;
	}
	if (i == 1)
		return walk_key(r);
	if (i < nf + 2)
		return walk_value(r, i - 2);
	if (i == nf + 2) {
		/* gv_walk_pad reads the key as well */
		w->at = key_at;
		return gv_walk_pad(w, false);
	}
	return gv_reader_walk_crc(w, key_at, check);
}

/* Dimensions of one name have one size. */
static bool
dims_agree(struct gv_reader *r)
{
	size_t i, j;
	int a;

	for (i = 0; i < r->ndims; i++)
		r->dim_size[i] = -1;
	for (i = 0; i < r->schema.nfields; i++)
		for (a = 0; a < r->schema.fields[i].rank; a++) {
			int64_t have = r->v[i].t.shape[a];

			if (r->schema.fields[i].shape[a] != GV_ANY)
				continue;
			j = r->dim_slot[i * GV_MAX_RANK + (size_t)a];
			if (r->dim_size[j] >= 0 && r->dim_size[j] != have) {
				r->field = r->schema.fields[i].name;
				return gv_walk_fail(&r->w, GV_ERR_FORMAT,
				    "two sizes of one named dimension");
			}
			r->dim_size[j] = have;
		}
	return true;
}

bool
gv_reader_walk_rec(struct gv_reader *r, uint64_t pairs, bool check)
{
	struct gv_walk *w = &r->w;
	size_t total = r->schema.nfields + 4, next = 0, off, n, i, at;

	for (pairs--; pairs; pairs--) {
		at = w->at;
		if (!gv_walk_text(w, &off, &n))
			return false;
		if (next < total && same(w, off, n, known_key(r, next))) {
			if (!walk_known(r, next++, at, check))
				return false;
			continue;
		}
		for (i = 0; i < total; i++)
			if (same(w, off, n, known_key(r, i))) {
				r->field = known_key(r, i < next ? i : next);
				w->at = at;
				return gv_walk_fail(w, GV_ERR_FORMAT,
				    i < next ? "twice"
					     : "missing or out of order");
			}
		if (next == total)
			break;
		if (!gv_walk_skip(w, GV_MAX_DEPTH - 1, true))
			return false;
	}
	if (pairs)
		return gv_walk_fail(
		    w, GV_ERR_FORMAT, "'crc' is not the last key");
	if (next < total) {
		r->field = known_key(r, next);
		return gv_walk_fail(w, GV_ERR_FORMAT, "missing");
	}
	return dims_agree(r);
}
