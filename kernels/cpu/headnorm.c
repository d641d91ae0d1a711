/* RMSNorm of each head of a row, forward and backward.
 *
 * A head stays in the first-level cache between its passes, so the ops move
 * each operand through memory once.
 */
#include <math.h>

#include "part.h"
#include "weights.h"

struct fwd {
	struct gvk_pool *pool;
	float *y;
	const float *x;
	const void *w; /* or NULL */
	enum gvk_dtype w_type;
	float eps;
	int64_t N, heads, D, ldy, ldx;
};

static inline float
head_rstd(const float *h, float eps, int64_t D)
{
	float sum = 0;

#pragma omp simd reduction(+ : sum)
	for (int64_t i = 0; i < D; i++)
		sum += h[i] * h[i];
	return 1 / sqrtf(sum / (float)D + eps);
}

/* y may be h. */
static inline void
scale_head(float *y, const float *h, const float *w, float rstd, int64_t D)
{
	if (w) {
#pragma omp simd
		for (int64_t i = 0; i < D; i++)
			y[i] = h[i] * rstd * w[i];
	} else {
#pragma omp simd
		for (int64_t i = 0; i < D; i++)
			y[i] = h[i] * rstd;
	}
}

static void
fwd_part(void *arg, int64_t part, int thread)
{
	const struct fwd *a = arg;
	int64_t D = a->D, rows = cpu_rows(a->heads * D);
	int64_t end = cpu_min(a->N, (part + 1) * rows);
	float *wide = gvk_pool_scratch(a->pool, thread);
	const float *w = a->w ? cpu_weights(wide, a->w, a->w_type, 0, D) : NULL;

	for (int64_t n = part * rows; n < end; n++)
		for (int64_t at = 0; at < a->heads * D; at += D) {
			const float *h = a->x + n * a->ldx + at;
			float rstd = head_rstd(h, a->eps, D);

			scale_head(a->y + n * a->ldy + at, h, w, rstd, D);
		}
}

void
CPU(headnorm)(struct gvk_stream *s, void *y, const void *x, const void *w,
    float eps, int64_t N, int64_t heads, int64_t D, int64_t ldy, int64_t ldx)
{
	struct gvk_pool *pool = gvk_pool_of(s);
	struct fwd a = {pool, y, x, w, s->wtype, eps, N, heads, D, ldy, ldx};

	assert(N >= 0 && heads >= 0 && D > 0);
	assert(ldy >= heads * D && ldx >= heads * D);
	assert((size_t)D * sizeof(float) <= GVK_SCRATCH);
	gvk_pool_run(pool, cpu_parts(N, cpu_rows(heads * D)), fwd_part, &a);
}

struct bwd {
	float *dx, *dw; /* either may be NULL */
	const float *dy, *x, *w;
	float eps;
	int64_t N, heads, D, lddx, lddy, ldx;
	struct cpu_colsum sum; /* dw */
};

/* With z = h rstd and g = dy w, dh = rstd (g - z mean(g z)); dh may be dy. */
static inline void
grad_head(float *dh, const float *dy, const float *h, const float *w,
    float rstd, int64_t D)
{
	float sum = 0;

	if (w) {
#pragma omp simd reduction(+ : sum)
		for (int64_t i = 0; i < D; i++)
			sum += dy[i] * w[i] * (h[i] * rstd);
		sum /= (float)D;
#pragma omp simd
		for (int64_t i = 0; i < D; i++)
			dh[i] = rstd * (dy[i] * w[i] - h[i] * rstd * sum);
	} else {
#pragma omp simd reduction(+ : sum)
		for (int64_t i = 0; i < D; i++)
			sum += dy[i] * (h[i] * rstd);
		sum /= (float)D;
#pragma omp simd
		for (int64_t i = 0; i < D; i++)
			dh[i] = rstd * (dy[i] - h[i] * rstd * sum);
	}
}

static void
bwd_row(const struct bwd *a, float *dw, int64_t n)
{
	int64_t D = a->D;

	for (int64_t at = 0; at < a->heads * D; at += D) {
		const float *dy = a->dy + n * a->lddy + at;
		const float *h = a->x + n * a->ldx + at;
		float rstd = head_rstd(h, a->eps, D);

		if (dw) {
#pragma omp simd
			for (int64_t i = 0; i < D; i++)
				dw[i] += dy[i] * (h[i] * rstd);
		}
		if (a->dx)
			grad_head(
			    a->dx + n * a->lddx + at, dy, h, a->w, rstd, D);
	}
}

static void
bwd_part(void *arg, int64_t part, int thread)
{
	struct bwd *a = arg;
	int64_t begin = part * a->sum.rows;
	int64_t end = cpu_min(a->N, begin + a->sum.rows);
	float *dw = a->dw ? cpu_colsum_row(&a->sum, part) : NULL;

	(void)thread;
	for (int64_t n = begin; n < end; n++)
		bwd_row(a, dw, n);
	if (dw && cpu_colsum_last(&a->sum))
		cpu_colsum_add(a->dw, &a->sum, 0, a->D);
}

void
CPU(headnorm_bwd)(struct gvk_stream *s, void *dx, float *dw, const void *dy,
    const void *x, const void *w, float eps, int64_t N, int64_t heads,
    int64_t D, int64_t lddx, int64_t lddy, int64_t ldx)
{
	struct gvk_pool *p = gvk_pool_of(s);
	struct bwd a = {
	    dx, dw, dy, x, w, eps, N, heads, D, lddx, lddy, ldx, {0}};

	assert(N >= 0 && heads >= 0 && D > 0);
	assert(lddx >= heads * D && lddy >= heads * D && ldx >= heads * D);
	cpu_colsum_init(&a.sum, p, N, D);
	gvk_pool_run(p, a.sum.parts, bwd_part, &a);
}
