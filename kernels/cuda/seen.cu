/* Bitmaps of the ids that rows have seen, a block a row.
 *
 * A row is V/8 bytes of stores and its ids, set one by one by atomics on words,
 * whose order is free; both are small beside starting a kernel.
 */
#include "cuda.h"

#define THREADS 512

static __global__ void
__launch_bounds__(THREADS)
    seen_kernel(uint32_t *seen, const int32_t *id, const int32_t *at, int64_t V)
{
	const int64_t words = (V + 31) / 32;
	uint32_t *row = seen + blockIdx.x * words;
	int32_t end;

	cuda_follow();
	for (int64_t i = threadIdx.x; i < words; i += THREADS)
		row[i] = 0;
	__syncthreads();
	end = at[blockIdx.x + 1];
	for (int32_t i = at[blockIdx.x] + (int32_t)threadIdx.x; i < end; i += THREADS) {
		int32_t x = id[i];

		if (x >= 0 && x < V)
			atomicOr(&row[x / 32], 1u << x % 32);
	}
	cuda_lead();
}

void
gvk_cuda_seen(struct gvk_stream *s, uint32_t *seen, const int32_t *id, const int32_t *at, int64_t B,
    int64_t V)
{
	assert(B >= 0 && V > 0);
	if (B == 0)
		return;
	cuda_of(s);
	CUDA_LAUNCH_SOON(s, seen_kernel, cuda_blocks(B, 1), THREADS, 0, seen, id, at, V);
}
