/* RMSNorm and the product behind it, for forward passes that keep nothing: in
 * one kernel for the few rows of decoding (skinny.cu), else one after the other.
 *
 * Bound by what the products are bound by; the kernel that is saved is 1.5 us of
 * a chain of 2 to 20 us kernels.
 */
#include "skinny.cuh"

void
gvk_cuda_norm_linear(struct gvk_stream *s, void *y, void *h, const void *x, const void *wn,
    float eps, const void *w, const void *b, int64_t N, int64_t C, int64_t O)
{
	struct product p = product_dense(PRODUCT_NT, y, x, w, N, O, C);

	p.bias = (const bf16 *)b;
	if (N <= 0 || cuda_skinny_norm(s, &p, (const bf16 *)wn, eps))
		return;
	gvk_cuda_rmsnorm(s, h, NULL, NULL, x, NULL, wn, eps, N, C);
	gvk_cuda_linear(s, y, NULL, h, w, b, NULL, GVK_ACT_NONE, N, C, O);
}

void
gvk_cuda_norm_gated(struct gvk_stream *s, void *y, void *gu, void *h, const void *x, const void *wn,
    float eps, const void *w, int64_t N, int64_t C, int64_t F)
{
	struct product p = product_dense(PRODUCT_NT, y, x, w, N, F, C);

	p.end = PRODUCT_GATED;
	if (N <= 0 || cuda_skinny_norm(s, &p, (const bf16 *)wn, eps))
		return;
	gvk_cuda_rmsnorm(s, h, NULL, NULL, x, NULL, wn, eps, N, C);
	gvk_cuda_gated(s, y, gu, false, h, w, N, C, F);
}
