/* Passes of the decoder that end in draws: two under way, recorded by shape. */
#include "draw.h"

#include "history.h"
#include "mem.h"
#include "model_priv.h"

#include <assert.h>

#include "banned.h"

#define GRAPHS 64 /* kept */

/* A pass under way, and what it draws. */
struct slot {
	int64_t M; /* draws that are asked for */
	int32_t *id; /* device (outs) */
	float *logp; /* device (outs) */
	int32_t *id_host;
	float *logp_host;
};

/* A pass that decodes, with what decides its kernels and their addresses. */
struct record {
	int64_t rows;
	int slot;
	bool chained;
	struct gvk_graph *graph; /* NULL: it has run, unrecorded */
};

struct gv_draw {
	struct gv_model *m;
	struct gvk_sampler law;
	int64_t outs; /* most draws of a pass */
	int32_t spare; /* the cache's rows from here on are to fill up */
	bool graphs; /* the backend may have them */
	uint8_t *ban; /* device (V) */
	struct gv_history seen; /* open if the law has a penalty */
	void *ws;
	struct gvk_stream *down; /* copies; the work is done on m->s */
	struct slot slot[GV_DRAW_DEPTH];
	uint64_t put, fetched, taken; /* passes; fetched: on the way back */
	struct record record[GRAPHS];
	int records;
};

/* The next 2^i or 3 * 2^i. */
static int64_t
round_up(int64_t n)
{
	int64_t p = 1;

	while (p < n)
		p *= 2;
	return p >= 4 && p / 4 * 3 >= n ? p / 4 * 3 : p;
}

/* ---- opening ------------------------------------------------------------- */

static bool
open_slot(struct gv_draw *d, struct slot *s)
{
	size_t n = (size_t)d->outs;
	struct gvk *k = d->m->k;

	s->id = gvk_alloc(k, n * sizeof *s->id);
	s->logp = gvk_alloc(k, n * sizeof *s->logp);
	s->id_host = gvk_host_alloc(k, n * sizeof *s->id);
	s->logp_host = gvk_host_alloc(k, n * sizeof *s->logp);
	if (!s->id || !s->logp || !s->id_host || !s->logp_host)
		return false;
	/* a chained pass that is filled up reads more ids than were drawn */
	gvk_zero(d->m->s, s->id, n * sizeof *s->id);
	return true;
}

static int
open_memory(struct gv_draw *d, const struct gv_limits *l, const uint8_t *ban,
    struct gv_error *e)
{
	int64_t V = d->m->cfg.text.V;
	struct gvk *k = d->m->k;
	bool good;
	int i;

	if (d->law.repetition > 0 && d->law.repetition != 1 &&
	    gv_history_open(&d->seen, k, l->outs, l->max_k, V, e))
		return e->code;
	d->ban = gvk_alloc(k, (size_t)V);
	d->ws = gvk_alloc(k, gvk_sample_ws(k, l->outs, V) + 1);
	good = d->ban && d->ws && !gvk_stream_open(k, &d->down);
	for (i = 0; good && i < GV_DRAW_DEPTH; i++)
		good = open_slot(d, &d->slot[i]);
	if (!good)
		return gv_fail(e, GV_ERR_NOMEM,
		    "no device memory to sample from %lld rows",
		    (long long)l->outs);
	gvk_put(d->m->s, d->ban, ban, (size_t)V);
	return gv_sync(d->m->s, e);
}

int
gv_draw_open(struct gv_draw **out, struct gv_model *m,
    const struct gv_limits *limits, const uint8_t *ban,
    const struct gvk_sampler *law, struct gv_error *e)
{
	struct gv_draw *d = gv_alloc(1, sizeof *d);
	struct gv_limits l = *limits;

	if (!d)
		return gv_fail(e, GV_ERR_NOMEM, "no memory to sample");
	d->m = m;
	d->law = *law;
	d->spare = (int32_t)l.kv_rows;
	d->graphs = !gvk_is_host(m->k);
	l.logits = true;
	if (d->graphs) {
		int64_t n = round_up(l.outs);

		l.outs = n;
		l.tokens = l.tokens > n ? l.tokens : n;
		l.seqs = l.seqs > n ? l.seqs : n;
		l.kv_rows += n / 3 + 1;
	}
	d->outs = l.outs;
	if (open_memory(d, &l, ban, e) || gv_model_reserve(m, &l, e)) {
		gv_draw_close(&d);
		return e->code;
	}
	*out = d;
	return 0;
}

static void
forget(struct gv_draw *d)
{
	int i;

	for (i = 0; i < d->records; i++)
		gvk_graph_free(d->m->k, &d->record[i].graph);
	d->records = 0;
}

void
gv_draw_close(struct gv_draw **dp)
{
	struct gv_draw *d = *dp;
	struct gvk *k;
	int i;

	*dp = NULL;
	if (!d)
		return;
	k = d->m->k;
	/* a stream ends with its work done, and memory goes after that */
	if (d->down)
		gvk_wait(d->down, d->m->s);
	gvk_stream_close(&d->down);
	forget(d);
	for (i = 0; i < GV_DRAW_DEPTH; i++) {
		struct slot *s = &d->slot[i];

		gvk_free(k, s->id);
		gvk_free(k, s->logp);
		gvk_host_free(k, s->id_host);
		gvk_host_free(k, s->logp_host);
	}
	gv_history_close(&d->seen);
	gvk_free(k, d->ban);
	gvk_free(k, d->ws);
	gv_free(d);
}

/* ---- input --------------------------------------------------------------- */

/* Sets p[from..to-1] to value, value + step, ... */
static void
fill(int32_t *p, int64_t from, int64_t to, int64_t value, int32_t step)
{
	for (; from < to; from++, value += step)
		p[from] = (int32_t)value;
}

/* Writes the batch `b` to a slot; where `run` has more rows, each of these is
 * a sequence of its own, about one key and value in a spare row of the
 * cache. */
static int
stage(struct gv_draw *d, const struct gv_batch *b, const struct gv_batch *run,
    int slot, struct gv_error *e)
{
	const struct inputs *in = &d->m->priv->staged[slot];
	int64_t n = b->M, to = run->M;

	if (gv_stage(d->m, b, slot, e))
		return e->code;
	if (n == to)
		return 0;
	fill(in->id, n, to, 0, 0);
	fill(in->pos, n, to, 0, 0);
	fill(in->kv_row, n, to, d->spare, 1);
	fill(in->q_at, n + 1, to + 1, n + 1, 1);
	fill(in->k_at, n, to, d->spare, 1);
	fill(in->k_len, n, to, 1, 0);
	fill(in->p_at, n, to, 0, 0);
	fill(in->p_len, n, to, 0, 0);
	fill(in->out, n, to, n, 1);
	memset(in->seed + n, 0, (size_t)(to - n) * sizeof *in->seed);
	memset(in->counter + n, 0, (size_t)(to - n) * sizeof *in->counter);
	return 0;
}

/* ---- passes -------------------------------------------------------------- */

/* True if every sequence has one new token, which is drawn from. */
static bool
decodes(const struct gv_batch *b)
{
	return b->max_q == 1 && b->N == b->S && b->M == b->N && !b->B;
}

/* Queues the way of the model's slot to the device; if the pass starts from
 * ids that `last` draws, they take the place of its first ones. */
static void
bring(struct gv_draw *d, const struct gv_batch *b, int slot,
    const struct slot *last)
{
	struct gv_model_priv *p = d->m->priv;
	const struct inputs *to = &p->a.slot[slot];
	struct gvk_stream *s = d->m->s;

	if (p->up && !b->B) { /* while the pass before is computed */
		gvk_put(p->up, to->id, p->staged[slot].id, to->bytes);
		gvk_wait(s, p->up);
	} else {
		gv_stage_put(d->m, b, slot);
	}
	gv_stage_use(d->m, b, slot);
	if (last && decodes(b))
		p->a.in.id = last->id;
	else if (last)
		gvk_copy(s, p->a.in.id, last->id,
		    (size_t)last->M * sizeof *last->id);
}

/* Queues a pass whose input has been brought. */
static void
run(struct gv_draw *d, const struct gv_batch *b, const struct slot *s)
{
	const struct gv_text_config *t = &d->m->cfg.text;
	struct gv_model *m = d->m;
	struct acts *a = &m->priv->a;

	gv_decoder_forward(m, b);
	gvk_logits(m->s, a->logits, a->sel_n,
	    param(m, GV_LANGUAGE, m->priv->at.head), (float)t->softcap, b->M,
	    t->C, t->V);
	gvk_sample(m->s, s->id, s->logp, a->logits, d->ban, d->seen.seen,
	    a->in.seed, a->in.counter, &d->law, b->M, t->V, d->ws);
}

/* The record of such a pass, made if there is none.  *ran: all its ops have
 * run with its sizes. */
static struct record *
record_of(struct gv_draw *d, int64_t rows, int slot, bool chained, bool *ran)
{
	struct record *r;

	*ran = false;
	for (r = d->record; r < d->record + d->records; r++) {
		*ran = *ran || r->rows == rows;
		if (r->rows == rows && r->slot == slot && r->chained == chained)
			return r;
	}
	if (d->records == GRAPHS)
		forget(d);
	r = &d->record[d->records++];
	*r = (struct record){rows, slot, chained, NULL};
	return r;
}

/* Queues a pass that decodes, as its record as soon as there can be one. */
static void
replay(struct gv_draw *d, const struct gv_batch *b, int slot, bool chained)
{
	struct gvk_stream *to = d->m->s;
	struct record *r;
	bool ran;

	r = record_of(d, b->N, slot, chained, &ran);
	if (ran && !r->graph && gvk_graph_begin(to)) {
		run(d, b, &d->slot[slot]);
		if (!gvk_graph_end(to, &r->graph))
			r->graph = NULL;
	}
	if (r->graph)
		gvk_graph_run(to, r->graph);
	else
		run(d, b, &d->slot[slot]);
}

/* Queues the way back of the oldest pass that isn't on it: what has been
 * queued so far is what it waits for. */
static void
fetch(struct gv_draw *d)
{
	struct slot *s = &d->slot[d->fetched++ % GV_DRAW_DEPTH];
	size_t M = (size_t)s->M;

	gvk_wait(d->down, d->m->s);
	gvk_get(d->down, s->id_host, s->id, M * sizeof *s->id);
	gvk_get(d->down, s->logp_host, s->logp, M * sizeof *s->logp);
}

/* What is run for a batch: the same, or one that has a usual shape. */
static struct gv_batch
usual(const struct gv_draw *d, const struct gv_batch *b)
{
	struct gv_batch r = *b;

	r.every = decodes(b);
	if (!d->graphs || !r.every)
		return r;
	r.N = r.S = r.M = round_up(b->N);
	r.max_k = (int32_t)d->m->priv->lim.max_k;
	return r;
}

void
gv_draw_seen(struct gv_draw *d, int64_t row, const int32_t *token, size_t n)
{
	assert(d->taken == d->put);
	if (d->seen.seen)
		gv_history_add(&d->seen, row, token, n);
}

int
gv_draw_put(struct gv_draw *d, const struct gv_batch *b, bool chained,
    struct gv_error *e)
{
	int turn = (int)(d->put % GV_DRAW_DEPTH);
	/* a host has one slot: its passes have run when they have been put */
	int slot = gvk_is_host(d->m->k) ? 0 : turn;
	struct slot *s = &d->slot[turn];
	struct gv_batch r = usual(d, b);

	assert(d->put - d->taken < GV_DRAW_DEPTH && (!chained || d->put));
	if (d->fetched < d->put)
		fetch(d);
	if (stage(d, b, &r, slot, e))
		return e->code;
	s->M = b->M;
	if (d->seen.seen && !chained)
		gv_history_put(&d->seen, d->m->s, b->M);
	bring(d, &r, slot,
	    chained ? &d->slot[(d->put - 1) % GV_DRAW_DEPTH] : NULL);
	if (d->graphs && decodes(&r))
		replay(d, &r, turn, chained);
	else
		run(d, &r, s);
	d->put++;
	return 0;
}

int
gv_draw_take(struct gv_draw *d, const int32_t **id, const float **logp,
    struct gv_error *e)
{
	const struct slot *s = &d->slot[d->taken % GV_DRAW_DEPTH];

	assert(d->taken < d->put);
	if (d->fetched == d->taken)
		fetch(d);
	if (gv_sync(d->down, e))
		return e->code;
	d->taken++;
	*id = s->id_host;
	*logp = s->logp_host;
	return 0;
}
