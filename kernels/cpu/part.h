/* How the light ops of the CPU backend are cut into parts for the pool.
 *
 * Sizes are fixed, so a part is the same rows or elements whatever the number
 * of threads.  A part of about 64 KiB of floats keeps its operands in a
 * core's second-level cache and hides what handing it out costs.
 */
#ifndef GVK_CPU_PART_H
#define GVK_CPU_PART_H

#include <assert.h>
#include <stdatomic.h>
#include <string.h>

#include "cpu.h"

#define CPU_CHUNK 16384 /* elements in a part */

static inline int64_t
cpu_parts(int64_t n, int64_t size)
{
	return (n + size - 1) / size;
}

/* Rows of C elements in a part: a multiple of 4, as near to CPU_CHUNK elements
 * as it gets. */
static inline int64_t
cpu_rows(int64_t C)
{
	int64_t rows = CPU_CHUNK / (C > 0 ? C : 1) & ~(int64_t)3;

	return rows > 4 ? rows : 4;
}

/* Sums over rows, in two steps with a fixed order: every part adds up its rows
 * into a partial row of `width` floats, and the part that ends last adds the
 * partial rows, in order, to the result:
 *
 *	float *row = cpu_colsum_row(s, part);	cleared
 *	...					row[c] += ... over its rows
 *	if (cpu_colsum_last(s))
 *		cpu_colsum_add(dw, s, 0, C);	dw[c] += sum of row[0 + c]
 *
 * The partial rows lie one after the other in the scratch memory of thread 0:
 * parts that do this use no scratch otherwise, and all is done inside one
 * gvk_pool_run, so no other call of an op comes between.  At most 64 of them
 * keep the second step cheap; width * 4 <= GVK_SCRATCH. */
struct cpu_colsum {
	float *partial; /* (parts, width) */
	int64_t rows; /* of the op, in a part */
	int64_t parts, width;
	_Atomic int64_t left; /* parts not ended */
};

static inline void
cpu_colsum_init(
    struct cpu_colsum *s, struct gvk_pool *p, int64_t N, int64_t width)
{
	int64_t most = (int64_t)(GVK_SCRATCH / sizeof *s->partial) / width;

	assert(most > 0);
	s->partial = gvk_pool_scratch(p, 0);
	s->rows = (cpu_parts(N, cpu_min(64, most)) + 3) & ~(int64_t)3;
	s->rows = s->rows > 16 ? s->rows : 16;
	s->parts = cpu_parts(N, s->rows);
	s->width = width;
	atomic_init(&s->left, s->parts);
}

static inline float *
cpu_colsum_row(const struct cpu_colsum *s, int64_t part)
{
	float *row = s->partial + part * s->width;

	memset(row, 0, (size_t)s->width * sizeof *row);
	return row;
}

static inline bool
cpu_colsum_last(struct cpu_colsum *s)
{
	return atomic_fetch_sub(&s->left, 1) == 1;
}

static inline void
cpu_colsum_add(float *dst, const struct cpu_colsum *s, int64_t at, int64_t n)
{
	for (int64_t lo = 0; lo < n; lo += 256) {
		int64_t m = cpu_min(256, n - lo);
		float sum[256] = {0};

		for (int64_t i = 0; i < s->parts; i++) {
			const float *row = s->partial + i * s->width + at + lo;

#pragma omp simd
			for (int64_t c = 0; c < m; c++)
				sum[c] += row[c];
		}
#pragma omp simd
		for (int64_t c = 0; c < m; c++)
			dst[lo + c] += sum[c];
	}
}

#endif
