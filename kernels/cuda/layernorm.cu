/* LayerNorm with the residual addition before it, forward and backward; the
 * kernels are norm.cuh's.
 *
 * Bound by memory: 8 bytes an element forward (x, r, h, y; 4 without r), 8
 * backward (dy, h, dres, dh).
 */
#include "norm.cuh"

void
gvk_cuda_layernorm(struct gvk_stream *s, void *y, void *h, float *mean, float *rstd, const void *x,
    const void *r, const void *w, const void *b, float eps, int64_t N, int64_t C)
{
	struct norm a = {(bf16 *)y, (bf16 *)h, mean, rstd, (const bf16 *)x, (const bf16 *)r,
	    (const bf16 *)w, (const bf16 *)b, eps, 1 / (float)C, N, C};

	norm_forward<true>(s, &a);
}

void
gvk_cuda_layernorm_bwd(struct gvk_stream *s, void *dh, float *dw, float *db, const void *dy,
    const void *dres, const void *h, const float *mean, const float *rstd, const void *w, int64_t N,
    int64_t C)
{
	struct norm_bwd a = {(bf16 *)dh, NULL, NULL, (const bf16 *)dy, (const bf16 *)dres,
	    (const bf16 *)h, (const bf16 *)w, mean, rstd, 1 / (float)C, N, C, 0};

	norm_backward<true>(s, &a, dw, db);
}
