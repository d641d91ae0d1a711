/* SwiGLU: y = silu(g) u, and the gradients of g and u.
 *
 * The backward pass needs one sigmoid s: silu = g s, silu' = s + g s (1 - s).
 */
#include "part.h"
#include "vmath.h"

struct swiglu {
	float *y;
	const float *dy, *gu;
	int64_t N, F;
};

static void
fwd_part(void *arg, int64_t part, int thread)
{
	const struct swiglu *a = arg;
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
CPU(swiglu)(struct gvk_stream *s, void *y, const void *gu, int64_t N, int64_t F)
{
	struct swiglu a = {y, NULL, gu, N, F};

	gvk_pool_run(gvk_pool_of(s), cpu_parts(N, cpu_rows(F)), fwd_part, &a);
}

/* Here y is dgu. */
static void
bwd_part(void *arg, int64_t part, int thread)
{
	const struct swiglu *a = arg;
	int64_t F = a->F, rows = cpu_rows(F);
	int64_t end = cpu_min(a->N, (part + 1) * rows);

	(void)thread;
	for (int64_t n = part * rows; n < end; n++) {
		const float *g = a->gu + n * 2 * F, *u = g + F;
		const float *dy = a->dy + n * F;
		float *dg = a->y + n * 2 * F, *du = dg + F;

#pragma omp simd
		for (int64_t f = 0; f < F; f++) {
			float sig = vm_sigmoid(g[f]), silu = g[f] * sig;

			dg[f] = dy[f] * u[f] * (sig + silu * (1 - sig));
			du[f] = dy[f] * silu;
		}
	}
}

void
CPU(swiglu_bwd)(struct gvk_stream *s, void *dgu, const void *dy, const void *gu,
    int64_t N, int64_t F)
{
	struct swiglu a = {dgu, dy, gu, N, F};

	if (dgu)
		gvk_pool_run(
		    gvk_pool_of(s), cpu_parts(N, cpu_rows(F)), bwd_part, &a);
}
