/* Logits of whole sequences, piece by piece through the key/value cache. */
#include "logits.h"

#include "mem.h"
#include "banned.h"

#include <math.h>

#define PIECE_BYTES  ((size_t)64 << 20) /* of logits that are worked on */
#define PIECE_TOKENS 2048
#define IMAGES       16 /* that are encoded at once */

/* The arrays of a piece. */
struct work {
	int32_t *id, *pos, *row; /* (piece), and 0, 1, 2 ... */
	float *host; /* (piece,V) */
	size_t piece;
};

static size_t
piece_of(const struct gv_model *m)
{
	size_t n = PIECE_BYTES / ((size_t)m->cfg.text.V * sizeof(float));

	return n < 1 ? 1 : n > PIECE_TOKENS ? PIECE_TOKENS : n;
}

/* ---- one piece ----------------------------------------------------------- */

/* The ids of token[at..at+n), image rows as ~row; true if there are any. */
static bool
put_ids(
    int32_t *id, const struct gv_score_item *s, size_t at, size_t n, int64_t R)
{
	bool images = false;
	size_t i, k;

	for (i = 0; i < n; i++)
		id[i] = s->token[at + i];
	for (k = 0; k < s->images; k++) {
		size_t first = (size_t)s->image_at[k];

		for (i = 0; i < (size_t)R; i++) {
			if (first + i < at || first + i >= at + n)
				continue;
			id[first + i - at] = ~(int32_t)(k * (size_t)R + i);
			images = true;
		}
	}
	return images;
}

/* Runs the positions at..at+n-1, whose keys join those before them. */
static int
run(struct gv_model *m, struct work *w, const struct gv_score_item *s,
    size_t at, size_t n, struct gv_error *e)
{
	const int32_t q_at[2] = {0, (int32_t)n}, none = 0,
		      seen = (int32_t)(at + n);
	struct gv_batch b = {.N = (int64_t)n,
	    .id = w->id,
	    .pos = w->pos,
	    .S = 1,
	    .q_at = q_at,
	    .k_at = &none,
	    .k_len = &seen,
	    .kv_row = w->pos,
	    .max_q = (int32_t)n,
	    .max_k = seen,
	    .M = (int64_t)n,
	    .out = w->row,
	    .every = true};
	float *logits;
	size_t i;

	for (i = 0; i < n; i++)
		w->pos[i] = (int32_t)(at + i);
	if (put_ids(w->id, s, at, n, m->cfg.R)) {
		b.input = GV_IN_EMBEDS;
		b.B = (int64_t)s->images;
		b.image = s->visual->embeds;
		b.dtype = gv_visual_dtype(m);
	}
	if (gv_model_logits(m, &b, &logits, e))
		return e->code;
	gvk_get(
	    m->s, w->host, logits, n * (size_t)m->cfg.text.V * sizeof *logits);
	return gv_model_sync(m, e);
}

/* ---- all of them --------------------------------------------------------- */

/* Takes the memory that the largest item needs. */
static int
reserve(struct gv_model *m, struct work *w, const struct gv_score_item *item,
    size_t n, struct gv_error *e)
{
	size_t longest = 1, images = 0, i;
	struct gv_limits l = {.seqs = 1, .logits = true};

	for (i = 0; i < n; i++) {
		longest = item[i].n > longest ? item[i].n : longest;
		images = item[i].images > images ? item[i].images : images;
	}
	w->piece = piece_of(m);
	w->piece = w->piece < longest ? w->piece : longest;
	l.tokens = l.outs = l.max_q = (int64_t)w->piece;
	l.max_k = l.kv_rows = (int64_t)longest;
	l.images = (int64_t)(images && images < IMAGES ? IMAGES : images);
	w->id = gv_alloc(w->piece, sizeof *w->id);
	w->pos = gv_alloc(w->piece, sizeof *w->pos);
	w->row = gv_alloc(w->piece, sizeof *w->row);
	w->host = gv_alloc(w->piece, (size_t)m->cfg.text.V * sizeof *w->host);
	if (!w->id || !w->pos || !w->row || !w->host)
		return gv_fail(e, GV_ERR_NOMEM,
		    "no memory for the logits of %zu tokens", w->piece);
	for (i = 0; i < w->piece; i++)
		w->row[i] = (int32_t)i;
	return gv_model_reserve(m, &l, e);
}

/* Item number k, of no tokens in one empty piece. */
static int
take(struct gv_model *m, struct work *w, const struct gv_score_item *item,
    size_t k, gv_logits_rows *rows, void *arg, struct gv_error *e)
{
	size_t left = item[k].n, at = 0, some;

	do {
		some = left < w->piece ? left : w->piece;
		if ((some && run(m, w, &item[k], at, some, e)) ||
		    rows(arg, k, at, some, w->host, e))
			return e->code;
		at += some;
		left -= some;
	} while (left);
	return 0;
}

int
gv_logits(struct gv_model *m, const struct gv_score_item *item, size_t n,
    gv_logits_rows *rows, void *arg, struct gv_error *e)
{
	struct work w = {0};
	size_t k;

	if (!reserve(m, &w, item, n, e) &&
	    !gv_score_encode(m, item, n, IMAGES, e))
		for (k = 0; k < n; k++)
			if (take(m, &w, item, k, rows, arg, e))
				break;
	gv_free(w.id);
	gv_free(w.pos);
	gv_free(w.row);
	gv_free(w.host);
	return e->code;
}

/* ---- the largest --------------------------------------------------------- */

/* True if a comes behind b. */
static bool
behind(float a, int32_t ida, float b, int32_t idb)
{
	if (isnan(a) || isnan(b))
		return isnan(a) && (!isnan(b) || ida > idb);
	return a < b || (!(a > b) && ida > idb);
}

/* Lets the entry at i of a heap of k, whose root is the last of all, sink to
 * its place. */
static void
sink(float *v, int32_t *id, int64_t i, int64_t k)
{
	for (;;) {
		int64_t j = 2 * i + 1;
		float x = v[i];
		int32_t y = id[i];

		if (j >= k)
			return;
		if (j + 1 < k && behind(v[j + 1], id[j + 1], v[j], id[j]))
			j++;
		if (!behind(v[j], id[j], x, y))
			return;
		v[i] = v[j];
		id[i] = id[j];
		v[j] = x;
		id[j] = y;
		i = j;
	}
}

void
gv_logits_top(
    float *top, int32_t *id, int64_t k, const float *logits, int64_t V)
{
	int64_t i;

	for (i = 0; i < k; i++) {
		top[i] = logits[i];
		id[i] = (int32_t)i;
	}
	for (i = k / 2; i-- > 0;)
		sink(top, id, i, k);
	for (i = k; i < V; i++)
		if (behind(top[0], id[0], logits[i], (int32_t)i)) {
			top[0] = logits[i];
			id[0] = (int32_t)i;
			sink(top, id, 0, k);
		}
	/* the root goes behind the rest, again and again */
	for (i = k - 1; i > 0; i--) {
		float x = top[0];
		int32_t y = id[0];

		top[0] = top[i];
		id[0] = id[i];
		top[i] = x;
		id[i] = y;
		sink(top, id, 0, i);
	}
}
