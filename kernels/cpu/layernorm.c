/* LayerNorm with the residual addition before it, forward and backward.
 *
 * A row stays in the first-level cache between its passes, so the ops move
 * each operand through memory once.
 */
#include <math.h>

#include "part.h"
#include "weights.h"

struct fwd {
	struct gvk_pool *pool;
	float *y, *h, *mean, *rstd;
	const float *x, *r;
	const void *w, *b;
	enum gvk_dtype w_type; /* of b, too */
	float eps;
	int64_t N, C;
};

/* h = x + r; returns the sum of h. */
static inline float
add_row(float *h, const float *x, const float *r, int64_t C)
{
	float sum = 0;

#pragma omp simd reduction(+ : sum)
	for (int64_t c = 0; c < C; c++) {
		float v = x[c] + r[c];

		h[c] = v;
		sum += v;
	}
	return sum;
}

static inline float
sum_row(const float *h, int64_t C)
{
	float sum = 0;

#pragma omp simd reduction(+ : sum)
	for (int64_t c = 0; c < C; c++)
		sum += h[c];
	return sum;
}

static inline float
sum_squares(const float *h, float mean, int64_t C)
{
	float sum = 0;

#pragma omp simd reduction(+ : sum)
	for (int64_t c = 0; c < C; c++)
		sum += (h[c] - mean) * (h[c] - mean);
	return sum;
}

static void
fwd_part(void *arg, int64_t part, int thread)
{
	const struct fwd *a = arg;
	int64_t C = a->C, rows = cpu_rows(C);
	int64_t end = cpu_min(a->N, (part + 1) * rows);
	float *wide = gvk_pool_scratch(a->pool, thread);
	const float *w = cpu_weights(wide, a->w, a->w_type, 0, C);
	const float *b = cpu_weights(wide + C, a->b, a->w_type, 0, C);

	for (int64_t n = part * rows; n < end; n++) {
		const float *h = (a->r ? a->h : a->x) + n * C;
		float *y = a->y + n * C;
		float sum =
		    a->r ? add_row(a->h + n * C, a->x + n * C, a->r + n * C, C)
			 : sum_row(h, C);
		float mean = sum / (float)C;
		float var = sum_squares(h, mean, C) / (float)C;
		float rstd = 1 / sqrtf(var + a->eps);

#pragma omp simd
		for (int64_t c = 0; c < C; c++)
			y[c] = (h[c] - mean) * rstd * w[c] + b[c];
		if (a->mean)
			a->mean[n] = mean;
		if (a->rstd)
			a->rstd[n] = rstd;
	}
}

void
CPU(layernorm)(struct gvk_stream *s, void *y, void *h, float *mean, float *rstd,
    const void *x, const void *r, const void *w, const void *b, float eps,
    int64_t N, int64_t C)
{
	struct gvk_pool *pool = gvk_pool_of(s);
	struct fwd a = {
	    pool, y, h, mean, rstd, x, r, w, b, s->wtype, eps, N, C};

	assert(2 * (size_t)C * sizeof(float) <= GVK_SCRATCH);
	gvk_pool_run(pool, cpu_parts(N, cpu_rows(C)), fwd_part, &a);
}

struct bwd {
	float *dh, *dw, *db;
	const float *dy, *dres, *h, *mean, *rstd, *w;
	int64_t N, C;
	struct cpu_colsum sum; /* dw, then db */
};

/* With z = (h - mean) rstd and g = dy w, the gradient through the norm is
 * rstd (g - mean g - z mean(g z)). */
static inline void
bwd_row(const struct bwd *a, int64_t n)
{
	int64_t C = a->C;
	const float *dy = a->dy + n * C, *h = a->h + n * C, *w = a->w;
	float *dh = a->dh + n * C;
	float mean = a->mean[n], rstd = a->rstd[n], sum_g = 0, sum_gz = 0;

#pragma omp simd reduction(+ : sum_g, sum_gz)
	for (int64_t c = 0; c < C; c++) {
		float g = dy[c] * w[c];

		sum_g += g;
		sum_gz += g * ((h[c] - mean) * rstd);
	}
	sum_g /= (float)C;
	sum_gz /= (float)C;
	if (a->dres) {
		const float *dres = a->dres + n * C;

#pragma omp simd
		for (int64_t c = 0; c < C; c++) {
			float z = (h[c] - mean) * rstd;

			dh[c] = dres[c] +
				rstd * (dy[c] * w[c] - sum_g - z * sum_gz);
		}
	} else {
#pragma omp simd
		for (int64_t c = 0; c < C; c++) {
			float z = (h[c] - mean) * rstd;

			dh[c] = rstd * (dy[c] * w[c] - sum_g - z * sum_gz);
		}
	}
}

/* dw += dy z, db += dy. */
static inline void
param_row(const struct bwd *a, float *dw, float *db, int64_t n)
{
	int64_t C = a->C;
	const float *dy = a->dy + n * C, *h = a->h + n * C;
	float mean = a->mean[n], rstd = a->rstd[n];

#pragma omp simd
	for (int64_t c = 0; c < C; c++) {
		dw[c] += dy[c] * ((h[c] - mean) * rstd);
		db[c] += dy[c];
	}
}

static void
bwd_part(void *arg, int64_t part, int thread)
{
	struct bwd *a = arg;
	int64_t begin = part * a->sum.rows;
	int64_t end = cpu_min(a->N, begin + a->sum.rows);
	bool params = a->dw || a->db;
	float *dw = params ? cpu_colsum_row(&a->sum, part) : NULL;

	(void)thread;
	for (int64_t n = begin; n < end; n++) {
		if (params)
			param_row(a, dw, dw + a->C, n);
		if (a->dh)
			bwd_row(a, n);
	}
	if (!params || !cpu_colsum_last(&a->sum))
		return;
	if (a->dw)
		cpu_colsum_add(a->dw, &a->sum, 0, a->C);
	if (a->db)
		cpu_colsum_add(a->db, &a->sum, a->C, a->C);
}

void
CPU(layernorm_bwd)(struct gvk_stream *s, void *dh, float *dw, float *db,
    const void *dy, const void *dres, const void *h, const float *mean,
    const float *rstd, const void *w, int64_t N, int64_t C)
{
	struct gvk_pool *p = gvk_pool_of(s);
	struct bwd a = {dh, dw, db, dy, dres, h, mean, rstd, w, N, C, {0}};

	assert(s->wtype == GVK_F32);
	cpu_colsum_init(&a.sum, p, N, 2 * C);
	gvk_pool_run(p, a.sum.parts, bwd_part, &a);
}
