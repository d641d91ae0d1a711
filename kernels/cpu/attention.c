/* Attention forward: blocks of keys stream past a chunk of queries that stays
 * in scratch (online softmax), so no length is too long.
 *
 * Bound by the two products and, nearly as much, by the exponentials between
 * them.  A part is (run of sequences, key/value head, chunk of its queries).
 * A run is up to RUN consecutive short sequences with one prefix (or none):
 * the prefix is packed once and its product has the rows of all of them.
 */
#include "attention.h"

#include <assert.h>

#define RUN          16 /* sequences of a run */
#define RUN_MAX_Q    128 /* with more queries a sequence is its own run */
#define CHUNK        256 /* query rows of a part */
#define CHUNK_FLOATS (1 << 19) /* and at most so many floats of queries */
#define ROWS         24 /* pairs at a time */

struct job {
	const struct gvk_attn *a;
	struct gvk_pool *pool;
	float *o, *lse;
	const float *q, *k, *v;
	int64_t run, chunk, chunks;
};

/* A part's scratch. */
struct work {
	const struct job *j;
	int64_t g, r0, r1; /* key/value head, query rows */
	int64_t hg, D, Dp; /* heads a group, width, padded */
	float *q, *o; /* (pairs, Dp) */
	float *max, *sum; /* (pairs) of the softmax so far */
	float *s; /* (ROWS, LDS) scores */
	float *kt, *v; /* (D, LDS), (KEYS, Dp) the block's keys, values */
};

static void
carve(struct work *w, float *scratch)
{
	int64_t pairs = (w->r1 - w->r0) * w->hg, i;

	w->s = scratch;
	w->kt = w->s + ROWS * LDS;
	w->v = w->kt + w->D * LDS;
	w->q = w->v + KEYS * w->Dp;
	w->o = w->q + pairs * w->Dp;
	w->max = w->o + pairs * w->Dp;
	w->sum = w->max + pairs;
	for (i = 0; i < pairs; i++) {
		w->max[i] = -INFINITY;
		w->sum[i] = 0;
	}
	for (i = 0; i < pairs * w->Dp; i++)
		w->o[i] = 0;
}

static void
load_keys(struct work *w, int64_t at, int64_t n)
{
	const struct job *j = w->j;

	tile_transpose(w->kt, LDS, j->k + at * j->a->ldk + w->g * w->D,
	    j->a->ldk, n, w->D, tile_up(n, TILE_V));
	tile_copy(w->v, w->Dp, j->v + at * j->a->ldv + w->g * w->D, j->a->ldv,
	    n, w->D, w->Dp);
}

/* Scores of one pair become exp(score - max), the first `seen` of n (a
 * multiple of TILE_V); what was summed under the old maximum is rescaled. */
static void
softmax_row(struct work *w, float *s, int64_t pair, int seen, int n)
{
	float max = -INFINITY, sum = 0, old = w->max[pair], scale;
	int i;

	n &= ~(TILE_V - 1);
#pragma omp simd reduction(max : max)
	for (i = 0; i < n; i++)
		max = i < seen && s[i] > max ? s[i] : max;
	if (max < old)
		max = old;
	if (max > -INFINITY && old < max) {
		float *o = w->o + pair * w->Dp;
		int64_t d;

		scale = vm_exp(old - max);
		w->max[pair] = max;
		w->sum[pair] *= scale;
		for (d = 0; old > -INFINITY && d < w->Dp; d++)
			o[d] *= scale;
	}
	/* All -infinity: nothing to take away. */
	if (!(max > -INFINITY))
		max = 0;
#pragma omp simd reduction(+ : sum)
	for (i = 0; i < n; i++) {
		float e = vm_exp_flush(s[i] - max);

		e = i < seen ? e : 0.f;
		s[i] = e;
		sum += e;
	}
	w->sum[pair] += sum;
}

/* Query rows r0..r1-1 meet the loaded block: keys j..j+n-1 of sequence s, or,
 * with s < 0, of the prefix, all of which they see. */
static void
meet(struct work *w, int64_t s, int64_t r0, int64_t r1, int64_t j, int64_t n)
{
	const struct gvk_attn *a = w->j->a;
	int64_t pair = (r0 - w->r0) * w->hg, end = (r1 - w->r0) * w->hg;
	int64_t m, i, most, seen;

	for (; pair < end; pair += m) {
		m = cpu_min(end - pair, ROWS);
		most = n;
		if (s >= 0)
			most = cpu_min(
			    n, keys_seen(a, s, w->r0 + (pair + m - 1) / w->hg) -
				   j);
		tile_mul((struct tile){.a = w->q + pair * w->Dp,
			     .rs = w->Dp,
			     .cs = 1,
			     .b = w->kt,
			     .ldb = LDS,
			     .c = w->s,
			     .ldc = LDS,
			     .k = w->D},
		    m, tile_up(most, TILE_V));
		for (i = 0; i < m; i++) {
			seen = most;
			if (s >= 0)
				seen = cpu_min(
				    most, keys_seen(a, s,
					      w->r0 + (pair + i) / w->hg) -
					      j);
			softmax_row(w, w->s + i * LDS, pair + i, (int)seen,
			    (int)tile_up(most, TILE_V));
		}
		tile_mul((struct tile){.a = w->s,
			     .rs = LDS,
			     .cs = 1,
			     .b = w->v,
			     .ldb = w->Dp,
			     .c = w->o + pair * w->Dp,
			     .ldc = w->Dp,
			     .k = most,
			     .add = true},
		    m, w->Dp);
	}
}

static void
attend(struct work *w, int64_t first, int64_t last)
{
	const struct gvk_attn *a = w->j->a;
	struct range p = prefix_range(a, first);
	int64_t j, n, s;

	for (j = 0; j < p.n; j += n) {
		n = cpu_min(p.n - j, KEYS);
		load_keys(w, p.at + j, n);
		meet(w, -1, w->r0, w->r1, j, n);
	}
	for (s = first; s < last; s++) {
		struct range own = own_range(a, s);
		int64_t end = cpu_min(w->r1, a->q_at[s + 1]), from;

		if (end <= w->r0 || a->q_at[s] >= w->r1)
			continue;
		own.n = keys_seen(a, s, end - 1);
		for (j = 0; j < own.n; j += n) {
			n = cpu_min(own.n - j, KEYS);
			from = first_viewer(a, s, j);
			from = from < w->r0 ? w->r0 : from;
			if (from >= end)
				break;
			load_keys(w, own.at + j, n);
			meet(w, s, from, end, j, n);
		}
	}
}

static void
store(const struct work *w)
{
	const struct job *j = w->j;
	const float *o = w->o;
	int64_t r, h, d, pair = 0;

	for (r = w->r0; r < w->r1; r++)
		for (h = w->g * w->hg; h < (w->g + 1) * w->hg; h++, pair++) {
			float *to = j->o + r * j->a->ldo + h * w->D;
			float sum = w->sum[pair];
			float inv = sum > 0 || sum != sum ? 1.f / sum : 0.f;

#pragma omp simd
			for (d = 0; d < w->D; d++)
				to[d] = o[d] * inv;
			o += w->Dp;
			if (j->lse)
				j->lse[r * j->a->H + h] =
				    w->max[pair] + logf(sum);
		}
}

static void
part(void *arg, int64_t i, int thread)
{
	const struct job *j = arg;
	const struct gvk_attn *a = j->a;
	int64_t chunk = i % j->chunks, g = i / j->chunks % a->G;
	int64_t first = i / j->chunks / a->G, last = first + 1;
	struct work w = {.j = j, .g = g, .hg = a->H / a->G, .D = a->D};

	/* Runs begin where the prefix changes, and every `run` sequences. */
	if (first % j->run &&
	    same_range(prefix_range(a, first - 1), prefix_range(a, first)))
		return;
	while (last < a->S && last % j->run &&
	       same_range(prefix_range(a, first), prefix_range(a, last)))
		last++;
	w.r0 = a->q_at[first] + chunk * j->chunk;
	w.r1 = cpu_min(a->q_at[last], w.r0 + j->chunk);
	if (w.r0 >= w.r1)
		return;
	w.Dp = tile_up(w.D, TILE_H);
	carve(&w, gvk_pool_scratch(j->pool, thread));
	gather_pairs(w.q, j->q, a->ldq, a, g, w.r0, w.r1, a->scale);
	attend(&w, first, last);
	store(&w);
}

void
CPU(attention)(struct gvk_stream *s, void *o, float *lse, const void *q,
    const void *k, const void *v, const struct gvk_attn *a)
{
	struct job j = {a, gvk_pool_of(s), o, lse, q, k, v, 1, CHUNK, 1};
	int64_t floats = (a->H / a->G) * tile_up(a->D, TILE_H);

	assert(a->S >= 0 && a->G > 0 && a->H % a->G == 0);
	assert(a->D > 0 && a->D <= MAX_D && floats <= CHUNK_FLOATS);
	if (a->S == 0 || a->max_q <= 0)
		return;
	if (a->max_q < RUN_MAX_Q)
		j.run = RUN;
	j.chunk = cpu_min(CHUNK, CHUNK_FLOATS / floats);
	j.chunks = (j.run * a->max_q + j.chunk - 1) / j.chunk;
	gvk_pool_run(j.pool, a->S * a->G * j.chunks, part, &j);
}
