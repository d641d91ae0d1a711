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
}

/* n keys from row `at` on become columns col.. of the block; up to three
 * columns behind the padding may be cleared too. */
static void
load_keys(struct work *w, int64_t at, int64_t n, int64_t col)
{
	const struct gvk_attn *a = w->j->a;

	tile_transpose(w->kt + col, LDS, w->j->k + at * a->ldk + w->g * w->D,
	    a->ldk, n, w->D, tile_up(tile_up(col + n, TILE_V) - col, 4));
	tile_copy(w->v + col * w->Dp, w->Dp,
	    w->j->v + at * a->ldv + w->g * w->D, a->ldv, n, w->D, w->Dp);
}

/* What is summed under the old maximum is rescaled to the new one. */
static void
raise_max(struct work *w, int64_t pair, float max)
{
	float scale = vm_exp(w->max[pair] - max), *o = w->o + pair * w->Dp;
	int64_t d;

	w->max[pair] = max;
	w->sum[pair] *= scale;
#pragma omp simd
	for (d = 0; d < w->Dp; d++)
		o[d] *= scale;
}

/* Scores of one pair become exp(score - max): the first `seen` of n, which is
 * a multiple of TILE_V; the others 0. */
static inline void
softmax_row(struct work *w, float *s, int64_t pair, int seen, int n)
{
	float max = w->max[pair], sum = 0;
	int i;

	n &= ~(TILE_V - 1);
#pragma omp simd reduction(max : max)
	for (i = 0; i < n; i++)
		max = i < seen && s[i] > max ? s[i] : max;
	if (max > w->max[pair]) {
		if (w->max[pair] > -INFINITY)
			raise_max(w, pair, max);
		w->max[pair] = max;
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

/* What the loaded block holds: `lead` keys of the prefix, which all queries
 * see, then n own keys of sequence s, from its key j on. */
struct block {
	int64_t lead, s, j, n;
	bool first; /* the queries have met no block before */
};

/* How many of the block's keys query row r sees; rows see no fewer than the
 * rows before them. */
static inline int64_t
block_seen(const struct work *w, const struct block *b, int64_t r)
{
	int64_t own = b->n > 0 ? keys_seen(w->j->a, b->s, r) - b->j : 0;

	own = own < 0 ? 0 : cpu_min(own, b->n);
	return b->lead + own;
}

/* Query rows r0..r1-1 meet the loaded block. */
static void
meet(struct work *w, const struct block *b, int64_t r0, int64_t r1)
{
	int64_t pair = (r0 - w->r0) * w->hg, end = (r1 - w->r0) * w->hg;
	int64_t r = r0, h = 0, m, i, most, seen, wide;

	for (; pair < end; pair += m) {
		float *q = w->q + pair * w->Dp, *o = w->o + pair * w->Dp;

		m = cpu_min(end - pair, ROWS);
		most = block_seen(w, b, w->r0 + (pair + m - 1) / w->hg);
		wide = tile_up(most, TILE_V);
		tile_mul((struct tile){q, w->Dp, 1, w->kt, LDS, w->s, LDS, w->D,
			     false},
		    m, wide);
		seen = block_seen(w, b, r);
		for (i = 0; i < m; i++) {
			softmax_row(
			    w, w->s + i * LDS, pair + i, (int)seen, (int)wide);
			if (++h == w->hg) {
				h = 0;
				seen = block_seen(w, b, ++r);
			}
		}
		tile_mul((struct tile){w->s, LDS, 1, w->v, w->Dp, o, w->Dp,
			     most, !b->first},
		    m, w->Dp);
	}
}

/* Sequence s's queries and own keys.  The block's first `lead` columns hold
 * the end of the prefix. */
static void
attend_own(struct work *w, int64_t s, int64_t lead, bool first)
{
	const struct gvk_attn *a = w->j->a;
	int64_t start = a->q_at[s] < w->r0 ? w->r0 : a->q_at[s], from;
	int64_t end = cpu_min(w->r1, a->q_at[s + 1]), keys;
	struct block b = {.lead = lead, .s = s, .first = first};

	if (start >= end)
		return;
	keys = keys_seen(a, s, end - 1);
	do {
		b.n = cpu_min(keys - b.j, KEYS - b.lead);
		from = b.lead > 0 ? start : first_viewer(a, s, b.j);
		from = from < start ? start : from;
		if (from >= end || b.lead + b.n == 0)
			break;
		load_keys(w, a->k_at[s] + b.j, b.n, b.lead);
		meet(w, &b, from, end);
		b.j += b.n;
		b.lead = 0;
		b.first = false;
	} while (b.j < keys);
}

static void
attend(struct work *w, int64_t first, int64_t last)
{
	const struct gvk_attn *a = w->j->a;
	struct range p = prefix_range(a, first);
	int64_t full = p.n / KEYS * KEYS, lead = p.n - full, s;
	struct block b = {.lead = KEYS, .first = true};
	bool loaded = false;

	for (; b.j < full; b.j += KEYS, b.first = false) {
		load_keys(w, p.at + b.j, KEYS, 0);
		meet(w, &b, w->r0, w->r1);
	}
	for (s = first; s < last; s++) {
		if (lead > 0 && !loaded)
			load_keys(w, p.at + full, lead, 0);
		attend_own(w, s, lead, b.first);
		/* Own keys that went on from column 0 took its place. */
		loaded = a->k_len[s] <= KEYS - lead;
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
			float sum = w->sum[pair], inv = 1.f / sum;

			/* o was never written where nothing was seen. */
#pragma omp simd
			for (d = 0; d < w->D; d++)
				to[d] = sum == 0 ? 0.f : o[d] * inv;
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
	assert(a->q_at[last] - a->q_at[first] <= j->run * a->max_q);
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
