/* Logits of the vocabulary: a product into F32, then the soft cap in place.
 *
 * Decoding (N small) is bound by reading w: 2VC bytes; the cap reads and
 * writes 8NV bytes more.
 *
 * Next rung: the cap inside sampling, which reads the logits anyway.
 */
#include "product.cuh"

static __global__ void __launch_bounds__(256) soft_cap(float *z, float cap, int64_t n)
{
	int64_t i = (int64_t)blockIdx.x * 256 + threadIdx.x;

	if (i < n)
		z[i] = cap * tanhf(z[i] / cap);
}

void
gvk_cuda_logits(struct gvk_stream *s, float *logits, const void *x, const void *w, float cap,
    int64_t N, int64_t C, int64_t V)
{
	struct product p = product_dense(PRODUCT_NT, logits, x, w, N, V, C);

	assert(N >= 0 && C > 0 && V > 0);
	cuda_of(s);
	if (N == 0)
		return;
	p.f32 = true;
	cuda_product(s, &p);
	if (cap > 0)
		CUDA_LAUNCH(s, soft_cap, cuda_blocks(N * V, 256), 256, 0, logits, cap, N * V);
}
