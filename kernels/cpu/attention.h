/* What forward and backward of attention share: which rows belong together,
 * and how keys and queries are packed for the tile kernel.
 *
 * Query heads that share a key/value head are treated as more rows: a "pair"
 * is (query row, head of the group), numbered row by row, so products with
 * grouped queries are as large as they can be.
 */
#ifndef GVK_ATTENTION_H
#define GVK_ATTENTION_H

#include "cpu.h"
#include "tile.h"
#include "vmath.h"

#include <math.h>

#define KEYS  256 /* of a block */
#define LDS   (KEYS + 16) /* floats: rows don't fall on the same cache sets */
#define MAX_D 1024 /* so that scratch holds any chunk */

/* Key rows [at, at + n). */
struct range {
	int64_t at, n;
};

static inline struct range
own_range(const struct gvk_attn *a, int64_t s)
{
	return (struct range){a->k_at[s], a->k_len[s]};
}

static inline struct range
prefix_range(const struct gvk_attn *a, int64_t s)
{
	if (!a->p_len || a->p_len[s] <= 0)
		return (struct range){0, 0};
	return (struct range){a->p_at[s], a->p_len[s]};
}

static inline bool
same_range(struct range x, struct range y)
{
	return x.n == y.n && (x.n == 0 || x.at == y.at);
}

/* How many own keys query row r of sequence s sees. */
static inline int64_t
keys_seen(const struct gvk_attn *a, int64_t s, int64_t r)
{
	int64_t n = a->k_len[s], seen;

	if (!a->causal)
		return n;
	seen = r - a->q_at[s] + n - (a->q_at[s + 1] - a->q_at[s]) + 1;
	return seen < 0 ? 0 : cpu_min(seen, n);
}

/* The first query row of sequence s that sees own key j. */
static inline int64_t
first_viewer(const struct gvk_attn *a, int64_t s, int64_t j)
{
	int64_t r = a->q_at[s];

	if (a->causal)
		r += j - a->k_len[s] + (a->q_at[s + 1] - a->q_at[s]);
	return r < a->q_at[s] ? a->q_at[s] : r;
}

/* Rows r0..r1-1 of x, heads of group g, times mul, as (pairs, Dp) in dst:
 * row r's heads are D apart. */
static inline void
gather_pairs(float *dst, const float *x, int64_t ld, const struct gvk_attn *a,
    int64_t g, int64_t r0, int64_t r1, float mul)
{
	int64_t hg = a->H / a->G, D = a->D, Dp = tile_up(D, TILE_H), r, h, d;

	for (r = r0; r < r1; r++)
		for (h = 0; h < hg; h++, dst += Dp) {
			const float *from = x + r * ld + (g * hg + h) * D;

#pragma omp simd
			for (d = 0; d < D; d++)
				dst[d] = from[d] * mul;
			for (d = D; d < Dp; d++)
				dst[d] = 0;
		}
}

#endif
