/* Logits of the vocabulary: a product, soft-capped while it is in the cache. */
#include "gemm.h"
#include "vmath.h"

#include <assert.h>

static void
soft_cap(const void *arg, float *z, int64_t row, int64_t at, int64_t n)
{
	const float cap = *(const float *)arg, inv = 1.f / cap;
	int64_t i;

	(void)row;
	z += at;
#pragma omp simd
	for (i = 0; i < n; i++)
		z[i] = cap * vm_tanh(z[i] * inv);
}

void
CPU(logits)(struct gvk_stream *s, float *logits, const void *x, const void *w,
    float cap, int64_t N, int64_t C, int64_t V)
{
	assert(N >= 0 && C > 0 && V > 0);
	CPU(gemm)
	(gvk_pool_of(s), &(struct gemm){
			     .kind = GEMM_NT,
			     .M = N,
			     .N = V,
			     .K = C,
			     .a = x,
			     .lda = C,
			     .b = w,
			     .b_type = s->wtype,
			     .ldb = C,
			     .c = logits,
			     .ldc = V,
			     .epilogue = cap > 0 ? soft_cap : NULL,
			     .arg = &cap,
			 });
}
