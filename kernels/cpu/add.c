/* y += x. */
#include "part.h"

struct add {
	float *y;
	const float *x;
	int64_t n;
};

static void
add_part(void *arg, int64_t part, int thread)
{
	const struct add *a = arg;
	float *y = a->y;
	const float *x = a->x;
	int64_t end = cpu_min(a->n, (part + 1) * CPU_CHUNK);

	(void)thread;
#pragma omp simd
	for (int64_t i = part * CPU_CHUNK; i < end; i++)
		y[i] += x[i];
}

void
CPU(add)(struct gvk_stream *s, void *y, const void *x, int64_t n)
{
	struct add a = {y, x, n};

	gvk_pool_run(gvk_pool_of(s), cpu_parts(n, CPU_CHUNK), add_part, &a);
}
