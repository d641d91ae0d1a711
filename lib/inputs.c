/* Several streams as one; records that outlive their reader's memory. */
#include "inputs.h"

#include "mem.h"
#include "banned.h"

int
gv_inputs_open(
    struct gv_inputs *in, char *const *path, int n, struct gv_error *e)
{
	*in = (struct gv_inputs){.path = path, .n = n, .at = 1};
	if (gv_reader_open(&in->first, n ? path[0] : NULL, e))
		return e->code;
	in->now = in->first;
	return 0;
}

static void
tie(const struct gv_inputs *in)
{
	if (in->now && in->tied)
		gv_reader_tie(in->now, in->tied);
	else if (in->now)
		gv_reader_watch(in->now, in->watched);
}

void
gv_inputs_tie(struct gv_inputs *in, struct gv_out *o)
{
	in->tied = o;
	in->watched = NULL;
	tie(in);
}

void
gv_inputs_watch(struct gv_inputs *in, const struct gv_out *o)
{
	in->tied = NULL;
	in->watched = o;
	tie(in);
}

/* Ends the present input and opens the next: 1, or 0 if there is none. */
static int
advance(struct gv_inputs *in, struct gv_error *e)
{
	const struct gv_schema *a = gv_reader_schema(in->first), *b;

	in->bad += gv_reader_bad(in->now);
	if (in->now != in->first)
		gv_reader_close(&in->now);
	in->now = NULL;
	if (in->at >= in->n)
		return 0;
	if (gv_reader_open(&in->now, in->path[in->at++], e))
		return e->code;
	tie(in);
	b = gv_reader_schema(in->now);
	if (gv_schema_same(a, b, e) || gv_schema_agree(a, b, e))
		return gv_fail_in(e, "cannot join '%s' to '%s'",
		    gv_reader_name(in->now), gv_reader_name(in->first));
	return 1;
}

int
gv_inputs_next(struct gv_inputs *in, struct gv_rec *rec, struct gv_error *e)
{
	int r = 0;

	while (in->now && (r = gv_reader_next(in->now, rec, e)) == 0) {
		r = advance(in, e);
		if (r <= 0)
			return r;
	}
	if (r > 0)
		rec->n = in->records++;
	return r;
}

void
gv_inputs_close(struct gv_inputs *in)
{
	if (in->now != in->first)
		gv_reader_close(&in->now);
	gv_reader_close(&in->first);
	in->now = NULL;
}

/* ---- kept records -------------------------------------------------------- */

static size_t
value_bytes(const struct gv_value *v)
{
	return v->plain ? v->plain_bytes : v->t.bytes;
}

int
gv_keep(struct gv_kept *k, const struct gv_rec *rec, const bool *keep,
    size_t nfields, struct gv_error *e)
{
	struct gv_kept new = {.n = rec->n, .nfields = nfields};
	size_t i, bytes = 0;

	/* a record is at most GV_MAX_RECORD: the sum can't overflow */
	for (i = 0; i < nfields; i++)
		if (keep[i])
			bytes += gv_align(value_bytes(&rec->v[i]));
	new.key = gv_strdup(rec->key);
	new.v = gv_alloc(nfields, sizeof *new.v);
	new.all = gv_alloc(bytes, 1);
	if (!new.key || !new.v || !new.all) {
		gv_kept_free(&new);
		return gv_fail(e, GV_ERR_NOMEM, "no memory for a record");
	}
	for (i = 0, bytes = 0; i < nfields; i++) {
		struct gv_value *v = &new.v[i];
		uint8_t *to = (uint8_t *)new.all + bytes;

		if (!keep[i])
			continue;
		*v = rec->v[i];
		if (!value_bytes(v))
			continue;
		memcpy(to, v->plain ? (const void *)v->plain : v->t.data,
		    value_bytes(v));
		bytes += gv_align(value_bytes(v));
		if (v->plain)
			v->plain = to;
		else
			v->t.data = to;
	}
	*k = new;
	return 0;
}

void
gv_kept_free(struct gv_kept *k)
{
	gv_free(k->key);
	gv_free(k->v);
	gv_free(k->all);
	*k = (struct gv_kept){0};
}
