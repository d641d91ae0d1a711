/* Passes of the decoder that end in draws: two under way, recorded by shape. */
#include "draw.h"

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

/* The decoder's part of a pass that decodes, of one shape. */
struct record {
	int64_t rows;
	int32_t max_k;
	struct gvk_graph *graph; /* NULL: it has run, unrecorded */
};

struct gv_draw {
	struct gv_model *m;
	struct gvk_sampler law;
	int64_t outs; /* most draws of a pass */
	int32_t spare; /* the cache's rows from here on are to fill up */
	bool graphs; /* the backend may have them */
	uint8_t *ban; /* device (V) */
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

static int
sync(struct gvk_stream *s, struct gv_error *e)
{
	char err[256];

	if (gvk_sync(s, err, sizeof err))
		return gv_fail(e, GV_ERR_DEVICE, "%s", err);
	return 0;
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
	return s->id && s->logp && s->id_host && s->logp_host;
}

static int
open_memory(struct gv_draw *d, const struct gv_limits *l, const uint8_t *ban,
    struct gv_error *e)
{
	int64_t V = d->m->cfg.text.V;
	struct gvk *k = d->m->k;
	bool good;
	int i;

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
	return sync(d->m->s, e);
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

/* Queues the way of a slot to the device.  What decodes always comes to the
 * same place, which the records know: passes run one after the other. */
static void
bring(struct gv_draw *d, const struct gv_batch *b, int slot)
{
	struct gv_model_priv *p = d->m->priv;
	const struct inputs *to = &p->a.slot[0];

	if (!d->graphs || !decodes(b)) {
		gv_stage_put(d->m, b, slot);
		gv_stage_use(d->m, b, slot);
		return;
	}
	gvk_put(d->m->s, to->id, p->staged[slot].id, to->bytes);
	gv_stage_use(d->m, b, 0);
}

/* Queues the pass up to its logits. */
static void
forward(struct gv_model *m, const struct gv_batch *b)
{
	const struct gv_text_config *t = &m->cfg.text;
	struct acts *a = &m->priv->a;

	gv_decoder_forward(m, b);
	gvk_logits(m->s, a->logits, a->sel_n,
	    param(m, GV_LANGUAGE, m->priv->at.head), 0, b->M, t->C, t->V);
}

/* The graph of a batch's shape, made when that comes for the second time, or
 * NULL. */
static struct gvk_graph *
recorded(struct gv_draw *d, const struct gv_batch *b)
{
	struct gvk_stream *s = d->m->s;
	struct record *r = d->record;

	while (r < d->record + d->records &&
	       (r->rows != b->N || r->max_k != b->max_k))
		r++;
	if (r == d->record + d->records) {
		if (d->records == GRAPHS)
			forget(d);
		d->record[d->records++] = (struct record){b->N, b->max_k, NULL};
		return NULL; /* all its ops have to run once before */
	}
	if (!r->graph && gvk_graph_begin(s)) {
		forward(d->m, b);
		if (!gvk_graph_end(s, &r->graph))
			r->graph = NULL;
	}
	return r->graph;
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
	int64_t k = round_up(b->max_k), most = d->m->priv->lim.max_k;
	struct gv_batch r = *b;

	r.every = decodes(b);
	if (!d->graphs || !r.every)
		return r;
	r.N = r.S = r.M = round_up(b->N);
	r.max_k = (int32_t)(k < most ? k : most);
	return r;
}

int
gv_draw_put(struct gv_draw *d, const struct gv_batch *b, bool chained,
    struct gv_error *e)
{
	struct slot *s = &d->slot[d->put % GV_DRAW_DEPTH];
	const struct slot *last = &d->slot[(d->put - 1) % GV_DRAW_DEPTH];
	struct gv_batch r = usual(d, b);
	struct gv_model *m = d->m;
	struct gvk_graph *graph = NULL;
	struct acts *a = &m->priv->a;
	int slot = gvk_is_host(m->k) ? 0 : (int)(d->put % GV_DRAW_DEPTH);

	assert(d->put - d->taken < GV_DRAW_DEPTH && (!chained || d->put));
	if (d->fetched < d->put)
		fetch(d);
	if (stage(d, b, &r, slot, e))
		return e->code;
	s->M = b->M;
	bring(d, &r, slot);
	if (chained)
		gvk_copy(m->s, a->in.id, last->id,
		    (size_t)last->M * sizeof *last->id);
	if (d->graphs && decodes(&r))
		graph = recorded(d, &r);
	if (graph)
		gvk_graph_run(m->s, graph);
	else
		forward(m, &r);
	gvk_sample(m->s, s->id, s->logp, a->logits, d->ban, a->in.seed,
	    a->in.counter, &d->law, r.M, m->cfg.text.V, d->ws);
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
	if (sync(d->down, e))
		return e->code;
	d->taken++;
	*id = s->id_host;
	*logp = s->logp_host;
	return 0;
}
