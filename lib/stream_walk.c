/* Reading streams: objects, HEAD and END, walked over and checked in full. */
#include "stream_priv.h"

#include "crc.h"
#include "mem.h"
#include "banned.h"

/* The map's header and the pair "gv". */
bool
gv_reader_walk_start(struct gv_reader *r, uint64_t *pairs)
{
	struct gv_walk *w = &r->w;
	struct gv_item it;
	size_t off, n;

	if (!gv_walk_item(w, &it))
		return false;
	if (it.type != GV_ITEM_MAP || it.u < 1)
		return gv_walk_fail(w, GV_ERR_FORMAT, "not a gv stream");
	*pairs = it.u;
	if (!gv_walk_is(w, "gv", "not a gv stream") ||
	    !gv_walk_text(w, &off, &n))
		return false;
	if (n == 3 && !memcmp(w->base + off, "rec", 3))
		r->what = GV_REC;
	else if (n == 4 && !memcmp(w->base + off, "head", 4))
		r->what = GV_HEAD;
	else if (n == 3 && !memcmp(w->base + off, "end", 3))
		r->what = GV_END;
	else
		return gv_walk_fail(w, GV_ERR_FORMAT, "an unknown object");
	return true;
}

bool
gv_reader_walk_crc(struct gv_walk *w, size_t upto, bool check)
{
	struct gv_item it;

	if (!gv_walk_item(w, &it))
		return false;
	if (it.tag != 0xce)
		return gv_walk_fail(w, GV_ERR_FORMAT, "'crc' is not uint 32");
	if (w->at % GV_ALIGN)
		return gv_walk_fail(w, GV_ERR_FORMAT, "not padded to 64 bytes");
	if (check && it.u != gv_crc(0, w->base, upto))
		return gv_walk_fail(w, GV_ERR_FORMAT, "CRC mismatch");
	return true;
}

static bool
walk_seal(struct gv_walk *w)
{
	size_t upto;

	if (!gv_walk_pad(w, false))
		return false;
	upto = w->at;
	return gv_walk_is(w, "crc", "no 'crc'") &&
	       gv_reader_walk_crc(w, upto, true);
}

static bool
number_after(struct gv_walk *w, const char *key, const char *why, uint64_t *u)
{
	return gv_walk_is(w, key, why) && gv_walk_uint(w, u, why);
}

bool
gv_reader_walk_end(struct gv_reader *r, uint64_t pairs)
{
	struct gv_walk *w = &r->w;
	uint64_t recs, bad, bytes;

	if (pairs != 6)
		return gv_walk_fail(w, GV_ERR_FORMAT, "not of six pairs");
	if (!number_after(w, "recs", "no 'recs'", &recs) ||
	    !number_after(w, "bad", "no 'bad'", &bad) ||
	    !number_after(w, "bytes", "no 'bytes'", &bytes) || !walk_seal(w))
		return false;
	if (w->at != 64)
		return gv_walk_fail(w, GV_ERR_FORMAT, "not of 64 bytes");
	if (recs != r->seg_recs)
		return gv_walk_fail(
		    w, GV_ERR_FORMAT, "another number of records was written");
	if (bytes != r->offset - r->seg_start)
		return gv_walk_fail(
		    w, GV_ERR_FORMAT, "another number of bytes was written");
	if (bad > UINT32_MAX)
		return gv_walk_fail(w, GV_ERR_LIMIT, "'bad' is too large");
	r->bad += bad;
	r->between = true;
	return true;
}

/* Packs what the schema's tensors begin with. */
static bool
prepare_leads(struct gv_reader *r)
{
	const struct gv_schema *s = &r->schema;
	size_t i;

	gv_pack_init(&r->lead);
	r->lead_end = gv_alloc(s->nfields + 1, sizeof *r->lead_end);
	for (i = 0; r->lead_end && i < s->nfields; i++) {
		if (s->fields[i].dtype != GV_NONE)
			gv_pack_tensor(&r->lead, &s->fields[i]);
		r->lead_end[i + 1] = r->lead.n;
	}
	return r->lead_end && !r->lead.failed;
}

/* Numbers the named dimensions of the schema. */
static int
prepare(struct gv_reader *r)
{
	const struct gv_schema *s = &r->schema;
	size_t nf = s->nfields, i, j;
	char(*names)[sizeof s->fields->dim[0]];
	int a;

	r->v = gv_alloc(nf, sizeof *r->v);
	r->v_at = gv_alloc(nf, sizeof *r->v_at);
	r->dim_slot = gv_alloc(nf * GV_MAX_RANK, sizeof *r->dim_slot);
	r->dim_size = gv_alloc(nf * GV_MAX_RANK, sizeof *r->dim_size);
	names = gv_alloc(nf * GV_MAX_RANK, sizeof *names);
	if (!r->v || !r->v_at || !r->dim_slot || !r->dim_size || !names ||
	    !prepare_leads(r)) {
		gv_free(names);
		return gv_reader_broken(r, GV_ERR_NOMEM, "no memory");
	}
	for (i = 0; i < nf; i++)
		for (a = 0; a < s->fields[i].rank; a++) {
			const char *name = s->fields[i].dim[a];

			if (s->fields[i].shape[a] != GV_ANY)
				continue;
			for (j = 0; j < r->ndims; j++)
				if (!strcmp(names[j], name))
					break;
			if (j == r->ndims)
				memcpy(names[r->ndims++], name, sizeof *names);
			r->dim_slot[i * GV_MAX_RANK + (size_t)a] = j;
		}
	gv_free(names);
	return 0;
}

int
gv_reader_head(struct gv_reader *r, uint64_t pairs)
{
	struct gv_schema s = {0};
	struct gv_error e = {0};
	int code = 0;

	if (pairs != 7)
		return gv_reader_broken(r, GV_ERR_FORMAT, "not of seven pairs");
	if (!gv_walk_head(&r->w, &s, &e) || !walk_seal(&r->w)) {
		code = gv_reader_broken_walk(r);
	} else if (!r->have_schema) {
		r->schema = s;
		r->have_schema = true;
		memset(&s, 0, sizeof s);
		code = prepare(r);
	} else if (gv_schema_same(&r->schema, &s, &e) ||
		   gv_schema_agree(&r->schema, &s, &e)) {
		code = gv_reader_broken(r, e.code, e.msg);
	}
	gv_schema_free(&s);
	r->between = false;
	r->seg_start = r->offset;
	r->seg_recs = 0;
	return code;
}
