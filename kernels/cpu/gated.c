/* SwiGLU with the product before it, and its gradient with the product that
 * gives dy: y = silu(g) u.
 *
 * The two columns of a pair lie F apart, in different blocks of the product,
 * so the rest is a pass of its own over rows.  The backward pass needs one
 * sigmoid s: silu = g s, silu' = s + g s (1 - s).
 */
#include "gemm.h"
#include "part.h"
#include "vmath.h"

struct gated {
	float *y, *dgu; /* y may be NULL backward */
	const float *dy, *gu;
	int64_t N, F;
};

static void
fwd_part(void *arg, int64_t part, int thread)
{
	const struct gated *a = arg;
	int64_t F = a->F, rows = cpu_rows(F);
	int64_t end = cpu_min(a->N, (part + 1) * rows);

	(void)thread;
	for (int64_t n = part * rows; n < end; n++) {
		const float *g = a->gu + n * 2 * F, *u = g + F;
		float *y = a->y + n * F;

#pragma omp simd
		for (int64_t f = 0; f < F; f++)
			y[f] = vm_silu(g[f]) * u[f];
	}
}

void
CPU(gated)(struct gvk_stream *s, void *y, void *gu, bool keep, const void *x,
    const void *w, int64_t N, int64_t C, int64_t F)
{
	struct gvk_pool *pool = gvk_pool_of(s);
	struct gated a = {.y = y, .gu = gu, .N = N, .F = F};
	struct gemm g = {
	    .kind = GEMM_NT,
	    .M = N,
	    .N = 2 * F,
	    .K = C,
	    .a = x,
	    .lda = C,
	    .b = w,
	    .b_type = s->wtype,
	    .ldb = C,
	    .c = gu,
	    .ldc = 2 * F,
	};

	(void)keep; /* gu always holds the product */
	assert(N >= 0 && C > 0 && F > 0);
	CPU(gemm)(pool, &g);
	gvk_pool_run(pool, cpu_parts(N, cpu_rows(F)), fwd_part, &a);
}

/* A pair's gradients take its place when dgu is gu. */
static inline void
bwd_row(float *dg, float *du, const float *dy, const float *g, const float *u,
    int64_t F)
{
#pragma omp simd
	for (int64_t f = 0; f < F; f++) {
		float sig = vm_sigmoid(g[f]), silu = g[f] * sig, d = dy[f];
		float slope = sig + silu * (1 - sig);

		dg[f] = d * u[f] * slope;
		du[f] = d * silu;
	}
}

static inline void
bwd_row_y(float *dg, float *du, float *y, const float *dy, const float *g,
    const float *u, int64_t F)
{
#pragma omp simd
	for (int64_t f = 0; f < F; f++) {
		float sig = vm_sigmoid(g[f]), silu = g[f] * sig, d = dy[f];
		float slope = sig + silu * (1 - sig), uf = u[f];

		dg[f] = d * uf * slope;
		du[f] = d * silu;
		y[f] = silu * uf;
	}
}

static void
bwd_part(void *arg, int64_t part, int thread)
{
	const struct gated *a = arg;
	int64_t F = a->F, rows = cpu_rows(F);
	int64_t end = cpu_min(a->N, (part + 1) * rows);

	(void)thread;
	for (int64_t n = part * rows; n < end; n++) {
		const float *g = a->gu + n * 2 * F, *u = g + F;
		const float *dy = a->dy + n * F;
		float *dg = a->dgu + n * 2 * F, *du = dg + F;

		if (a->y)
			bwd_row_y(dg, du, a->y + n * F, dy, g, u, F);
		else
			bwd_row(dg, du, dy, g, u, F);
	}
}

void
CPU(gated_bwd)(struct gvk_stream *s, void *dgu, void *y, void *dy,
    const void *dz, const void *gu, const void *w, int64_t N, int64_t F,
    int64_t C)
{
	struct gvk_pool *pool = gvk_pool_of(s);
	struct gated a = {
	    .y = y, .dgu = dgu, .dy = dy, .gu = gu, .N = N, .F = F};
	struct gemm g = {
	    .kind = GEMM_NN,
	    .M = N,
	    .N = F,
	    .K = C,
	    .a = dz,
	    .lda = C,
	    .b = w,
	    .ldb = F,
	    .c = dy,
	    .ldc = F,
	};

	assert(N >= 0 && C > 0 && F > 0 && s->wtype == GVK_F32);
	CPU(gemm)(pool, &g);
	gvk_pool_run(pool, cpu_parts(N, cpu_rows(F)), bwd_part, &a);
}
