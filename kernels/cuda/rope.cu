/* Rotary position embedding in place, sines and cosines once a row.
 *
 *	block (X,Y): X frequencies of Y rows; a thread turns its frequency's
 *	pair (i, i + D/2) of every head of the row
 *
 * Bound by memory: 4 bytes an element of the rotated heads; neighbouring
 * threads touch neighbouring elements.  The angle is the F32 product that the
 * interface names; its reduction is F64, because the angle of position 131071
 * has no more than 2^-7 of precision to give away, and the polynomials are
 * F32, without the library's slow path and its table in local memory.  The
 * next rung: pairs of frequencies a thread, heads over the grid where rows are
 * few, and q, k and the cache write in one kernel.
 */
#include "cuda.h"

#define THREADS 256

struct rope {
	bf16 *x;
	const int32_t *pos;
	const float *freq;
	float sign;
	int64_t N, heads, D, ld;
};

/* Sine and cosine of a F32 angle, |a| < 2^31: a = q pi/2 + t, |t| <= pi/4. */
static __device__ __forceinline__ void
sincos_one(float a, float *sine, float *cosine)
{
	double v = rint((double)a * 0.63661977236758134308);
	float t = (float)((double)a - v * 1.57079632679489661923);
	float t2 = t * t, s, c, swap;
	long long q = (long long)v;

	s = -1 / 5040.f + t2 * (1 / 362880.f);
	s = t + t * t2 * (-1 / 6.f + t2 * (1 / 120.f + t2 * s));
	c = -1 / 720.f + t2 * (1 / 40320.f - t2 * (1 / 3628800.f));
	c = 1 + t2 * (-.5f + t2 * (1 / 24.f + t2 * c));
	swap = s;
	s = q & 1 ? c : s;
	c = q & 1 ? swap : c;
	*sine = q & 2 ? -s : s;
	*cosine = (q + 1) & 2 ? -c : c;
}

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

		sincos_one(__fmul_rn(pos, r.freq[i]), &s, &c);
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
