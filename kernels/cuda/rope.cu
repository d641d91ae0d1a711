/* Rotary position embedding in place, sines and cosines once a row.
 *
 *	block (X,Y): X frequencies of Y rows; a thread turns its frequency's
 *	pair (i, i + D/2) of every head of the row
 *
 * Bound by memory: 4 bytes an element of the rotated heads; neighbouring
 * threads touch neighbouring elements.  The next rung: pairs of frequencies a
 * thread, heads over the grid where rows are few.
 */
#include "rope.cuh"

#define THREADS 256

struct rope {
	bf16 *x;
	const int32_t *pos;
	const float *freq;
	float sign;
	int64_t N, heads, D, ld;
};

static __global__ void
__launch_bounds__(THREADS) rope_kernel(struct rope r)
{
	int64_t n = (int64_t)blockIdx.x * blockDim.y + threadIdx.y;
	int64_t half = r.D / 2;
	float pos, s, c;

	if (n >= r.N)
		return;
	pos = (float)r.pos[n];
	for (int64_t i = threadIdx.x; i < half; i += blockDim.x) {
		bf16 *lo = r.x + n * r.ld + i, *hi = lo + half;

		rope_sincos(__fmul_rn(pos, r.freq[i]), &s, &c);
		s *= r.sign;
		for (int64_t h = 0; h < r.heads; h++, lo += r.D, hi += r.D) {
			float a = to_f(*lo), b = to_f(*hi);

			*lo = to_b(a * c - b * s);
			*hi = to_b(b * c + a * s);
		}
	}
}

void
gvk_cuda_rope(struct gvk_stream *s, void *x, const int32_t *pos, const float *freq, bool inverse,
    int64_t N, int64_t heads, int64_t D, int64_t ld)
{
	struct rope r = {(bf16 *)x, pos, freq, inverse ? -1.f : 1.f, N, heads, D, ld};
	unsigned across = (unsigned)cuda_min(THREADS, cuda_div_up(D / 2, 32) * 32);
	dim3 block(across, THREADS / across);

	if (N <= 0 || D < 2 || heads <= 0)
		return;
	cuda_of(s);
	CUDA_LAUNCH(s, rope_kernel, cuda_blocks(N, block.y), block, 0, r);
}
