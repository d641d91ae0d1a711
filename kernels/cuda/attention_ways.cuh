/* The ways of making attention.  gvk_cuda_attention() and its backward pass
 * try them in this order; each queues the op and returns true, or does nothing
 * and returns false if the shape or the device is not for it.  The last one,
 * attention.cu and attention_bwd.cu themselves, takes everything.
 *
 *	few	attention_few.cu: one or a few queries a sequence against many
 *		keys (decoding): keys split over blocks, samples that share a
 *		prefix read it once
 *	wgmma	attention_wgmma.cu, attention_bwd_wgmma.cu: Hopper's matrix
 *		units and tensor copies (sm_90a), heads to 128
 */
#ifndef GVK_CUDA_ATTENTION_WAYS_CUH
#define GVK_CUDA_ATTENTION_WAYS_CUH

#include "cuda.h"

bool cuda_attention_few(struct gvk_stream *s, bf16 *o, float *lse,
    const bf16 *q, const bf16 *k, const bf16 *v, const struct gvk_attn *a);
bool cuda_attention_wgmma(struct gvk_stream *s, bf16 *o, float *lse,
    const bf16 *q, const bf16 *k, const bf16 *v, const struct gvk_attn *a);

/* ws_bytes of scratch beside what the plain way wants (0 if the way is not for
 * this device or head width; never falls as sizes grow). */
size_t cuda_attention_bwd_wgmma_ws(const struct gvk *k,
    const struct gvk_attn *a, int64_t Nq);
bool cuda_attention_bwd_wgmma(struct gvk_stream *s, bf16 *dq, bf16 *dk,
    bf16 *dv, const bf16 *dout, const bf16 *o, const float *lse, const bf16 *q,
    const bf16 *k, const bf16 *v, const struct gvk_attn *a, void *ws);

#endif
