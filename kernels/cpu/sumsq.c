/* Sum of squares in F64: the parts' sums, added in order. */
#include "part.h"

#define PARTS 64 /* at most */

struct sumsq {
	const float *x;
	double *sum;
	int64_t n, size;
};

static void
sumsq_part(void *arg, int64_t part, int thread)
{
	const struct sumsq *a = arg;
	const float *x = a->x;
	int64_t end = cpu_min(a->n, (part + 1) * a->size);
	double sum = 0;

	(void)thread;
#pragma omp simd reduction(+ : sum)
	for (int64_t i = part * a->size; i < end; i++)
		sum += (double)x[i] * (double)x[i];
	a->sum[part] = sum;
}

void
CPU(sumsq)(
    struct gvk_stream *s, double *sum, const float *x, int64_t n, bool add)
{
	double of_part[PARTS], total = add ? *sum : 0;
	struct sumsq a = {x, of_part, n, CPU_CHUNK};
	int64_t parts;

	if (cpu_parts(n, a.size) > PARTS)
		a.size = cpu_parts(n, PARTS);
	parts = cpu_parts(n, a.size);
	gvk_pool_run(gvk_pool_of(s), parts, sumsq_part, &a);
	for (int64_t i = 0; i < parts; i++)
		total += of_part[i];
	*sum = total;
}
