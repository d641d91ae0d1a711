/* Attention backward: for each block of keys, all queries that see it; five
 * products, with the probabilities recomputed from lse.
 *
 * A key block's dk and dv are summed by one part, so nothing is atomic.  A
 * part is (unit, key/value head): a unit is a chain of sequences that are tied
 * by prefixes, such as a prompt and the samples that follow it.  dq collects
 * over key blocks in its place.  Where there are few units a part takes every
 * splits-th key block only; each split has its dq in ws, and they are added in
 * order at the end.
 */
#include "attention.h"

#include <assert.h>

#define ROWS     32 /* pairs at a time, if a row's heads are not more */
#define ENOUGH   8 /* parts: then units are not split */
#define ADD_ROWS 64

struct job {
	const struct gvk_attn *a;
	struct gvk_pool *pool;
	float *dq, *dk, *dv;
	const float *dout, *o, *lse, *q, *k, *v;
	int64_t splits, lddq;
	float *ws; /* (splits, rows, H*D), or NULL */
};

/* A part's scratch: the key block's, then the query rows'. */
struct work {
	const struct job *j;
	int64_t g, hg, D, Dp, rows; /* rows at a time */
	float *dq; /* row 0 of where dq is summed */
	float *kt, *vt, *k; /* (D, LDS) twice, (KEYS, Dp) */
	float *dk, *dv; /* (KEYS, Dp) */
	float *q, *dout, *dqs; /* (pairs, Dp) */
	float *p, *ds; /* (pairs, LDS) */
	float *lse, *delta; /* (pairs) */
};

static void
carve(struct work *w, float *at)
{
	int64_t pairs = w->rows * w->hg;
	struct {
		float **p;
		int64_t n;
	} piece[] = {
	    {&w->kt, w->D * LDS},
	    {&w->vt, w->D * LDS},
	    {&w->k, KEYS * w->Dp},
	    {&w->dk, KEYS * w->Dp},
	    {&w->dv, KEYS * w->Dp},
	    {&w->q, pairs * w->Dp},
	    {&w->dout, pairs * w->Dp},
	    {&w->dqs, pairs * w->Dp},
	    {&w->p, pairs * LDS},
	    {&w->ds, pairs * LDS},
	    {&w->lse, pairs},
	    {&w->delta, pairs},
	};
	const float *end = at + GVK_SCRATCH / sizeof *at;
	size_t i;

	for (i = 0; i < sizeof piece / sizeof *piece; i++) {
		*piece[i].p = at;
		at += tile_up(piece[i].n, 16);
	}
	assert(at <= end);
	(void)end;
}

/* ---- keys --------------------------------------------------------------- */

static void
load_keys(struct work *w, int64_t at, int64_t n)
{
	const struct job *j = w->j;
	const float *k = j->k + at * j->a->ldk + w->g * w->D;
	const float *v = j->v + at * j->a->ldv + w->g * w->D;
	int64_t i;

	tile_transpose(w->kt, LDS, k, j->a->ldk, n, w->D, tile_up(n, TILE_V));
	tile_transpose(w->vt, LDS, v, j->a->ldv, n, w->D, tile_up(n, TILE_V));
	tile_copy(w->k, w->Dp, k, j->a->ldk, n, w->D, w->Dp);
	for (i = 0; i < n * w->Dp; i++)
		w->dk[i] = w->dv[i] = 0;
}

static void
store_keys(const struct work *w, int64_t at, int64_t n)
{
	const struct job *j = w->j;

	tile_copy(j->dk + at * j->a->ldk + w->g * w->D, j->a->ldk, w->dk, w->Dp,
	    n, w->D, w->D);
	tile_copy(j->dv + at * j->a->ldv + w->g * w->D, j->a->ldv, w->dv, w->Dp,
	    n, w->D, w->D);
}

/* ---- queries ------------------------------------------------------------ */

static void
load_queries(struct work *w, int64_t r0, int64_t r1)
{
	const struct job *j = w->j;
	const struct gvk_attn *a = j->a;
	int64_t r, h, d, pair = 0;

	gather_pairs(w->q, j->q, a->ldq, a, w->g, r0, r1, a->scale);
	gather_pairs(w->dout, j->dout, a->ldo, a, w->g, r0, r1, 1);
	for (r = r0; r < r1; r++)
		for (h = w->g * w->hg; h < (w->g + 1) * w->hg; h++, pair++) {
			const float *o = j->o + r * a->ldo + h * w->D;
			const float *dout = w->dout + pair * w->Dp;
			float lse = j->lse[r * a->H + h], sum = 0;

#pragma omp simd reduction(+ : sum)
			for (d = 0; d < w->D; d++)
				sum += o[d] * dout[d];
			w->delta[pair] = sum;
			/* Sees nothing: exp(score - inf) = 0. */
			w->lse[pair] =
			    lse > -INFINITY || lse != lse ? lse : INFINITY;
		}
}

static void
add_dq(const struct work *w, int64_t r0, int64_t r1)
{
	const float scale = w->j->a->scale, *from = w->dqs;
	int64_t r, h, d;

	for (r = r0; r < r1; r++)
		for (h = w->g * w->hg; h < (w->g + 1) * w->hg; h++) {
			float *to = w->dq + r * w->j->lddq + h * w->D;

#pragma omp simd
			for (d = 0; d < w->D; d++)
				to[d] += scale * from[d];
			from += w->Dp;
		}
}

/* p = exp(s - lse) and ds = p (dp - delta) for the first `seen` of n (a
 * multiple of TILE_V), zeros after them. */
static void
softmax_bwd(float *restrict s, float *restrict ds, float lse, float delta,
    int seen, int n)
{
	int i;

	n &= ~(TILE_V - 1);
#pragma omp simd
	for (i = 0; i < n; i++) {
		float e = vm_exp_flush(s[i] - lse), d;

		e = i < seen ? e : 0.f;
		d = i < seen ? ds[i] - delta : 0.f;
		s[i] = e;
		ds[i] = e * d;
	}
}

/* m pairs and n keys: p, ds, then dv += p^T dout, dk += ds^T q, dq = ds k. */
static void
products(struct work *w, int64_t m, int64_t n)
{
	struct tile t = {.rs = 1, .cs = LDS, .ldb = w->Dp, .ldc = w->Dp};

	t.k = m;
	t.add = true;
	t.a = w->p;
	t.b = w->dout;
	t.c = w->dv;
	tile_mul(t, n, w->Dp);
	t.a = w->ds;
	t.b = w->q;
	t.c = w->dk;
	tile_mul(t, n, w->Dp);
	t.rs = LDS;
	t.cs = 1;
	t.b = w->k;
	t.c = w->dqs;
	t.k = n;
	t.add = false;
	tile_mul(t, m, w->Dp);
}

/* Query rows r0..r1-1 meet the loaded block: keys j..j+n-1 of sequence s, or,
 * with s < 0, of a prefix. */
static void
meet(struct work *w, int64_t s, int64_t r0, int64_t r1, int64_t j, int64_t n)
{
	const struct gvk_attn *a = w->j->a;
	int64_t end, most, pairs, wide, i, seen;

	for (; r0 < r1; r0 = end) {
		struct tile t = {.rs = w->Dp, .cs = 1, .ldb = LDS, .ldc = LDS};

		end = cpu_min(r1, r0 + w->rows);
		most = s < 0 ? n : cpu_min(n, keys_seen(a, s, end - 1) - j);
		pairs = (end - r0) * w->hg;
		wide = tile_up(most, TILE_V);
		load_queries(w, r0, end);
		t.k = w->D;
		t.a = w->q;
		t.b = w->kt;
		t.c = w->p;
		tile_mul(t, pairs, wide);
		t.a = w->dout;
		t.b = w->vt;
		t.c = w->ds;
		tile_mul(t, pairs, wide);
		for (i = 0; i < pairs; i++) {
			seen = most;
			if (s >= 0)
				seen = cpu_min(
				    most, keys_seen(a, s, r0 + i / w->hg) - j);
			softmax_bwd(w->p + i * LDS, w->ds + i * LDS, w->lse[i],
			    w->delta[i], (int)seen, (int)wide);
		}
		products(w, pairs, most);
		add_dq(w, r0, end);
	}
}

/* ---- units -------------------------------------------------------------- */

/* Does sequence s belong to the unit of s - 1? */
static bool
tied(const struct gvk_attn *a, int64_t s)
{
	struct range p = prefix_range(a, s);

	return p.n > 0 && (same_range(p, prefix_range(a, s - 1)) ||
			      same_range(p, own_range(a, s - 1)));
}

/* The sequences s, s+1, ... that have `p` as their prefix end here. */
static int64_t
family_end(const struct gvk_attn *a, int64_t s, struct range p)
{
	while (s < a->S && p.n > 0 && same_range(p, prefix_range(a, s)))
		s++;
	return s;
}

/* All blocks of one range of keys: sequence s owns it (or nobody, s < 0), and
 * the family first..last-1 has it as its prefix. */
static void
visit_range(struct work *w, struct range keys, int64_t s, int64_t first,
    int64_t last, int64_t split, int64_t *block)
{
	const struct gvk_attn *a = w->j->a;
	int64_t j, n;

	for (j = 0; j < keys.n; j += n) {
		n = cpu_min(keys.n - j, KEYS);
		if ((*block)++ % w->j->splits != split)
			continue;
		load_keys(w, keys.at + j, n);
		if (s >= 0)
			meet(w, s, first_viewer(a, s, j), a->q_at[s + 1], j, n);
		if (first < last)
			meet(w, -1, a->q_at[first], a->q_at[last], 0, n);
		store_keys(w, keys.at + j, n);
	}
}

static void
visit_unit(struct work *w, int64_t first, int64_t last, int64_t split)
{
	const struct gvk_attn *a = w->j->a;
	int64_t s, block = 0;

	for (s = first; s < last; s++) {
		struct range p = prefix_range(a, s), own = own_range(a, s);

		/* A unit's first prefix, if any, is nobody's own range. */
		if (p.n > 0 && s == first)
			visit_range(
			    w, p, -1, s, family_end(a, s, p), split, &block);
		visit_range(
		    w, own, s, s + 1, family_end(a, s + 1, own), split, &block);
	}
}

static void
clear_dq(const struct work *w, int64_t r0, int64_t r1)
{
	int64_t r, i;

	for (r = r0; r < r1; r++) {
		float *dq = w->dq + r * w->j->lddq + w->g * w->hg * w->D;

		for (i = 0; i < w->hg * w->D; i++)
			dq[i] = 0;
	}
}

static void
part(void *arg, int64_t i, int thread)
{
	const struct job *j = arg;
	const struct gvk_attn *a = j->a;
	int64_t split = i % j->splits, g = i / j->splits % a->G;
	int64_t first = i / j->splits / a->G, last = first + 1;
	struct work w = {.j = j, .g = g, .hg = a->H / a->G, .D = a->D};

	if (first > 0 && tied(a, first))
		return;
	while (last < a->S && tied(a, last))
		last++;
	w.Dp = tile_up(w.D, TILE_H);
	w.rows = w.hg < ROWS ? ROWS / w.hg : 1;
	w.dq = j->dq;
	if (j->splits > 1)
		w.dq = j->ws + split * a->q_at[a->S] * j->lddq;
	carve(&w, gvk_pool_scratch(j->pool, thread));
	clear_dq(&w, a->q_at[first], a->q_at[last]);
	visit_unit(&w, first, last, split);
}

/* dq = the sum of the splits', in order. */
static void
add_part(void *arg, int64_t i, int thread)
{
	const struct job *j = arg;
	const struct gvk_attn *a = j->a;
	int64_t r = a->q_at[0] + i * ADD_ROWS, rows = a->q_at[a->S], n, x;
	int64_t end = cpu_min(rows, r + ADD_ROWS), width = j->lddq;

	(void)thread;
	for (; r < end; r++)
		for (x = 0; x < width; x++) {
			float sum = 0;

			for (n = 0; n < j->splits; n++)
				sum += j->ws[(n * rows + r) * width + x];
			j->dq[r * a->ldq + x] = sum;
		}
}

static int64_t
most_splits(const struct gvk_attn *a)
{
	return a->G < 4 ? (3 + a->G) / a->G : 1;
}

size_t
CPU(attention_bwd_ws)(const struct gvk *k, const struct gvk_attn *a, int64_t Nq)
{
	int64_t splits = most_splits(a);

	(void)k;
	if (splits == 1)
		return 0;
	return (size_t)(splits * Nq * a->H * a->D) * sizeof(float);
}

void
CPU(attention_bwd)(struct gvk_stream *s, void *dq, void *dk, void *dv,
    const void *dout, const void *o, const float *lse, const void *q,
    const void *k, const void *v, const struct gvk_attn *a, void *ws)
{
	struct job j = {a, gvk_pool_of(s), dq, dk, dv, dout, o, lse, q, k, v,
	    most_splits(a), a->ldq, ws};
	int64_t units = 0, i;

	assert(a->S >= 0 && a->G > 0 && a->H % a->G == 0);
	assert(a->D > 0 && a->D <= MAX_D);
	for (i = 0; i < a->S; i++)
		units += i == 0 || !tied(a, i);
	if (units * a->G >= ENOUGH)
		j.splits = 1;
	if (j.splits > 1)
		j.lddq = (int64_t)a->H * a->D;
	gvk_pool_run(j.pool, a->S * a->G * j.splits, part, &j);
	if (j.splits > 1 && a->S > 0)
		gvk_pool_run(j.pool,
		    (a->q_at[a->S] - a->q_at[0] + ADD_ROWS - 1) / ADD_ROWS,
		    add_part, &j);
}
