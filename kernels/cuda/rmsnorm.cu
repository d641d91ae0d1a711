/* RMSNorm with the residual addition before it, forward and backward; the
 * kernels are norm.cuh's.
 *
 * Bound by memory: 8 bytes an element forward (x, r, h, y; 4 without r), 8
 * backward (dy, h, dres, dh) and 2 more for y.  On an H100 (November 2026), in
 * shares of what a copy reaches (2.97 TB/s): 16,384 x 1536 forward 97 %,
 * backward 102 % without dw, 94 % with dw, 88 % with y, too; 4,096 x 1024
 * forward 85 %, backward 68 %, where starts and ends count.  A row in a chain of
 * small kernels takes 1.2 us.  The next rung: norms in the epilogues of products.
 */
#include "norm.cuh"

void
gvk_cuda_rmsnorm(struct gvk_stream *s, void *y, void *h, float *rstd, const void *x, const void *r,
    const void *w, float eps, int64_t N, int64_t C)
{
	struct norm a = {(bf16 *)y, (bf16 *)h, NULL, rstd, (const bf16 *)x, (const bf16 *)r,
	    (const bf16 *)w, NULL, eps, 1 / (float)C, N, C};

	norm_forward<false>(s, &a);
}

void
gvk_cuda_rmsnorm_bwd(struct gvk_stream *s, void *dh, float *dw, void *y, const void *dy,
    const void *dres, const void *h, const float *rstd, const void *w, int64_t N, int64_t C)
{
	struct norm_bwd a = {(bf16 *)dh, (bf16 *)y, NULL, (const bf16 *)dy, (const bf16 *)dres,
	    (const bf16 *)h, (const bf16 *)w, NULL, rstd, 1 / (float)C, N, C, 0};

	norm_backward<false>(s, &a, dw, NULL);
}
