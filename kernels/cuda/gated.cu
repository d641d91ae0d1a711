/* SwiGLU with the product before it, and its gradient with the product that
 * gives dy: both are ends of a product (product.cuh).
 *
 * Bound by the products, 4NCF and 2NCF FLOP.  What the ends save against
 * passes of their own is 6 bytes an element of y forward (4 if gu is kept), 4
 * backward.
 */
#include "product.cuh"

void
gvk_cuda_gated(struct gvk_stream *s, void *y, void *gu, bool keep, const void *x, const void *w,
    int64_t N, int64_t C, int64_t F)
{
	struct product p = product_dense(PRODUCT_NT, y, x, w, N, F, C);

	assert(N >= 0 && C > 0 && F > 0);
	cuda_of(s);
	if (N == 0)
		return;
	p.end = PRODUCT_GATED;
	p.gu = keep ? (bf16 *)gu : NULL;
	p.tmp = gu;
	cuda_product(s, &p);
}

void
gvk_cuda_gated_bwd(struct gvk_stream *s, void *dgu, void *y, void *dy, const void *dz,
    const void *gu, const void *w, int64_t N, int64_t F, int64_t C)
{
	struct product p = product_dense(PRODUCT_NN, dgu, dz, w, N, F, C);

	assert(N >= 0 && C > 0 && F > 0);
	cuda_of(s);
	if (N == 0)
		return;
	p.end = PRODUCT_GATED_BWD;
	p.ldc = 2 * F;
	p.gu = (bf16 *)const_cast<void *>(gu);
	p.y = (bf16 *)y;
	p.tmp = dy;
	cuda_product(s, &p);
}
