/* y += x.
 *
 *	a block: THREADS * AHEAD chunks of 8; thread t: chunks t, t + THREADS, ...
 *
 * Bound by memory: 6 bytes an element (y read and written, x read), so 2 us a
 * million elements at 3 TB/s.  All loads of a thread are under way before the
 * first sum: 102 % of a copy's speed on an H100 (November 2026).  A block that
 * is not whole or not aligned goes one by one.  The next rung is not to call
 * it: linear's epilogue and the norms add residuals in passing.
 */
#include "cuda.h"

#define THREADS 256
#define AHEAD   4
#define TILE    ((int64_t)THREADS * AHEAD * 8) /* elements a block */

static __global__ void
__launch_bounds__(THREADS) add_kernel(bf16 *y, const bf16 *x, int64_t n, bool wide)
{
	int64_t at = blockIdx.x * TILE, end = at + TILE < n ? at + TILE : n;
	uint4 a[AHEAD], b[AHEAD];

	cuda_follow();
	if (!wide || at + TILE > n) {
		for (int64_t i = at + threadIdx.x; i < end; i += THREADS)
			y[i] = to_b(to_f(y[i]) + to_f(x[i]));
		return;
	}
	at += 8 * threadIdx.x;
#pragma unroll
	for (int k = 0; k < AHEAD; k++) {
		a[k] = *reinterpret_cast<const uint4 *>(y + at + k * 8 * THREADS);
		b[k] = *reinterpret_cast<const uint4 *>(x + at + k * 8 * THREADS);
	}
	cuda_lead();
#pragma unroll
	for (int k = 0; k < AHEAD; k++) {
		float f[8], g[8];

		load8(f, reinterpret_cast<const bf16 *>(&a[k]));
		load8(g, reinterpret_cast<const bf16 *>(&b[k]));
#pragma unroll
		for (int j = 0; j < 8; j++)
			f[j] += g[j];
		store8(y + at + k * 8 * THREADS, f);
	}
}

void
gvk_cuda_add(struct gvk_stream *s, void *y, const void *x, int64_t n)
{
	bool wide = cuda_vec8(y, 0) && cuda_vec8(x, 0);

	if (n <= 0)
		return;
	cuda_of(s);
	CUDA_LAUNCH_SOON(
	    s, add_kernel, cuda_blocks(n, TILE), THREADS, 0, (bf16 *)y, (const bf16 *)x, n, wide);
}
