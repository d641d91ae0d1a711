/* RMSNorm and the product behind it, one after the other. */
#include "cpu.h"

void
CPU(norm_linear)(struct gvk_stream *s, void *y, void *h, const void *x,
    const void *wn, float eps, const void *w, const void *b, int64_t N,
    int64_t C, int64_t O)
{
	CPU(rmsnorm)(s, h, NULL, NULL, x, NULL, wn, eps, N, C);
	CPU(linear)(s, y, NULL, h, w, b, NULL, GVK_ACT_NONE, N, C, O);
}

void
CPU(norm_gated)(struct gvk_stream *s, void *y, void *gu, void *h, const void *x,
    const void *wn, float eps, const void *w, int64_t N, int64_t C, int64_t F)
{
	CPU(rmsnorm)(s, h, NULL, NULL, x, NULL, wn, eps, N, C);
	CPU(gated)(s, y, gu, false, h, w, N, C, F);
}
