/* Rotary embedding, if wanted behind the norm of heads, then keys and values to
 * their caches. */
#include <assert.h>

#include "cpu.h"

void
CPU(rope_cache)(struct gvk_stream *s, void *qkv, void *kc, void *vc,
    const int32_t *pos, const float *freq, const int32_t *kv_row, int64_t N,
    int64_t H, int64_t G, int64_t D)
{
	const int64_t ld = (H + 2 * G) * D;
	const float *k = (const float *)qkv + H * D;

	assert(D % 2 == 0);
	CPU(rope)(s, qkv, pos, freq, false, N, H + G, D, ld);
	CPU(scatter)(s, kc, k, kv_row, N, G * D, G * D, ld);
	CPU(scatter)(s, vc, k + G * D, kv_row, N, G * D, G * D, ld);
}

void
CPU(norm_rope_cache)(struct gvk_stream *s, void *qkv, void *kc, void *vc,
    const void *wq, const void *wk, float eps, const int32_t *pos,
    const float *freq, const int32_t *kv_row, int64_t N, int64_t H, int64_t G,
    int64_t D)
{
	const int64_t ld = (H + 2 * G) * D;
	float *k = (float *)qkv + H * D;

	CPU(headnorm)(s, qkv, qkv, wq, eps, N, H, D, ld, ld);
	CPU(headnorm)(s, k, k, wk, eps, N, G, D, ld, ld);
	CPU(rope_cache)(s, qkv, kc, vc, pos, freq, kv_row, N, H, G, D);
}
