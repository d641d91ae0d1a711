/* LayerNorm with the residual addition before it, forward and backward; the
 * kernels are norm.cuh's.
 *
 * Bound by memory: 8 bytes an element forward (x, r, h, y; 4 without r), 8
 * backward (dy, h, dres, dh).  On an H100 (November 2026), in shares of what a
 * copy reaches (2.97 TB/s): 65,536 x 1024 and 93,312 x 1152 forward 99 % (98 and
 * 96 % without r), backward 97 % and 99 %; 4,096 x 1024 forward 78 %, and 8.8 us
 * where x and r are in the L2 cache.  The next rung: norms in the epilogues of
 * products.
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
