/* Rotary embedding, then keys and values to their caches. */
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
