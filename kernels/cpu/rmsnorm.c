/* RMSNorm with the residual addition before it, forward and backward.
 *
 * A row stays in the first-level cache between its passes, so the ops move
 * each operand through memory once.
 */
#include <math.h>

#include "part.h"
#include "weights.h"

struct fwd {
	struct gvk_pool *pool;
	float *y, *h, *rstd;
	const float *x, *r;
	const void *w;
	enum gvk_dtype w_type;
	float eps;
	int64_t N, C;
};

/* h = x + r; returns the sum of h^2. */
static inline float
add_row(float *h, const float *x, const float *r, int64_t C)
{
	float sum = 0;

#pragma omp simd reduction(+ : sum)
	for (int64_t c = 0; c < C; c++) {
		float v = x[c] + r[c];

		h[c] = v;
		sum += v * v;
	}
	return sum;
}

static inline float
sum_squares(const float *h, int64_t C)
{
	float sum = 0;

#pragma omp simd reduction(+ : sum)
	for (int64_t c = 0; c < C; c++)
		sum += h[c] * h[c];
	return sum;
}

static void
fwd_part(void *arg, int64_t part, int thread)
{
	const struct fwd *a = arg;
	int64_t C = a->C, rows = cpu_rows(C);
	int64_t end = cpu_min(a->N, (part + 1) * rows);
	const float *w = cpu_weights(
	    gvk_pool_scratch(a->pool, thread), a->w, a->w_type, 0, C);

	for (int64_t n = part * rows; n < end; n++) {
		const float *h = (a->r ? a->h : a->x) + n * C;
		float *y = a->y + n * C;
		float sum =
		    a->r ? add_row(a->h + n * C, a->x + n * C, a->r + n * C, C)
			 : sum_squares(h, C);
		float rstd = 1 / sqrtf(sum / (float)C + a->eps);

#pragma omp simd
		for (int64_t c = 0; c < C; c++)
			y[c] = h[c] * rstd * w[c];
		if (a->rstd)
			a->rstd[n] = rstd;
	}
}

void
CPU(rmsnorm)(struct gvk_stream *s, void *y, void *h, float *rstd, const void *x,
    const void *r, const void *w, float eps, int64_t N, int64_t C)
{
	struct gvk_pool *pool = gvk_pool_of(s);
	struct fwd a = {pool, y, h, rstd, x, r, w, s->wtype, eps, N, C};

	assert((size_t)C * sizeof(float) <= GVK_SCRATCH);
	gvk_pool_run(pool, cpu_parts(N, cpu_rows(C)), fwd_part, &a);
}

struct bwd {
	float *dh, *dw, *y;
	const float *dy, *dres, *h, *rstd, *w;
	int64_t N, C;
	struct cpu_colsum sum; /* dw */
};

/* With z = h rstd and g = dy w, the gradient through the norm is
 * rstd (g - z mean(g z)). */
static inline void
bwd_row(const struct bwd *a, int64_t n)
{
	int64_t C = a->C;
	const float *dy = a->dy + n * C, *h = a->h + n * C, *w = a->w;
	float *dh = a->dh + n * C;
	float rstd = a->rstd[n], sum = 0;

#pragma omp simd reduction(+ : sum)
	for (int64_t c = 0; c < C; c++)
		sum += dy[c] * w[c] * (h[c] * rstd);
	sum /= (float)C;
	if (a->dres) {
		const float *dres = a->dres + n * C;

#pragma omp simd
		for (int64_t c = 0; c < C; c++)
			dh[c] =
			    dres[c] + rstd * (dy[c] * w[c] - h[c] * rstd * sum);
	} else {
#pragma omp simd
		for (int64_t c = 0; c < C; c++)
			dh[c] = rstd * (dy[c] * w[c] - h[c] * rstd * sum);
	}
}

/* dw += dy z. */
static inline void
param_row(const struct bwd *a, float *dw, int64_t n)
{
	int64_t C = a->C;
	const float *dy = a->dy + n * C, *h = a->h + n * C;
	float rstd = a->rstd[n];

#pragma omp simd
	for (int64_t c = 0; c < C; c++)
		dw[c] += dy[c] * (h[c] * rstd);
}

/* The forward pass's output. */
static inline void
output_row(const struct bwd *a, int64_t n)
{
	int64_t C = a->C;
	const float *h = a->h + n * C, *w = a->w;
	float *y = a->y + n * C, rstd = a->rstd[n];

#pragma omp simd
	for (int64_t c = 0; c < C; c++)
		y[c] = h[c] * rstd * w[c];
}

static void
bwd_part(void *arg, int64_t part, int thread)
{
	struct bwd *a = arg;
	int64_t begin = part * a->sum.rows;
	int64_t end = cpu_min(a->N, begin + a->sum.rows);
	float *dw = a->dw ? cpu_colsum_row(&a->sum, part) : NULL;

	(void)thread;
	for (int64_t n = begin; n < end; n++) {
		if (dw)
			param_row(a, dw, n);
		if (a->y)
			output_row(a, n);
		if (a->dh)
			bwd_row(a, n);
	}
	if (dw && cpu_colsum_last(&a->sum))
		cpu_colsum_add(a->dw, &a->sum, 0, a->C);
}

void
CPU(rmsnorm_bwd)(struct gvk_stream *s, void *dh, float *dw, void *y,
    const void *dy, const void *dres, const void *h, const float *rstd,
    const void *w, int64_t N, int64_t C)
{
	struct gvk_pool *p = gvk_pool_of(s);
	struct bwd a = {dh, dw, y, dy, dres, h, rstd, w, N, C, {0}};

	assert(s->wtype == GVK_F32);
	cpu_colsum_init(&a.sum, p, N, C);
	gvk_pool_run(p, a.sum.parts, bwd_part, &a);
}
