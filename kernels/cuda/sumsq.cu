/* Sum of squares in F64, in a fixed order.
 *
 *	x: |part 0|part 1| ... |part P-1|	P from n alone
 *	a part: 256 threads, each sums its groups of 4, then block_sum
 *	last: one block sums the parts, thread t those of t, t + 256, ...
 *
 * Bound by memory: 4 bytes an element; F64 products run at half the rate of
 * F32 on a data-centre GPU and stay below that.  An H100 reads 2.95 to 3.08
 * TB/s, 91 to 95 % of what reading alone reaches (2026-11-23); below a million
 * elements the two launches, 8 us, are all.  The next rung: the last block to
 * finish does the second launch's work.
 */
#include "cuda.h"

#define THREADS 256
#define PARTS   2048 /* at most */
#define SMALL   8192 /* elements of a part, at least */

static __device__ __forceinline__ double
square(float x)
{
	return (double)x * (double)x;
}

static __global__ void
__launch_bounds__(THREADS)
    sumsq_kernel(double *part, const float *__restrict__ x, int64_t n, int64_t size, bool wide)
{
	__shared__ double shared[32];
	int64_t at = blockIdx.x * size;
	int64_t end = at + size < n ? at + size : n;
	double sum = 0;

	for (int64_t i = at + threadIdx.x * 4; i < end; i += THREADS * 4) {
		if (wide && i + 4 <= end) {
			float4 v = *reinterpret_cast<const float4 *>(x + i);

			sum += square(v.x);
			sum += square(v.y);
			sum += square(v.z);
			sum += square(v.w);
			continue;
		}
		for (int k = 0; k < 4 && i + k < end; k++)
			sum += square(x[i + k]);
	}
	sum = block_sum(sum, shared);
	if (threadIdx.x == 0)
		part[blockIdx.x] = sum;
}

static __global__ void
__launch_bounds__(THREADS) last_kernel(double *out, const double *part, int parts, bool add)
{
	__shared__ double shared[32];
	double sum = 0;

	cuda_follow();
	for (int i = threadIdx.x; i < parts; i += THREADS)
		sum += part[i];
	sum = block_sum(sum, shared);
	if (threadIdx.x == 0)
		*out = add ? *out + sum : sum;
}

void
gvk_cuda_sumsq(struct gvk_stream *s, double *sum, const float *x, int64_t n, bool add)
{
	struct cuda_stream *c = cuda_of(s);
	double *part = (double *)c->scratch;
	int64_t size = cuda_max(SMALL, cuda_div_up(n, PARTS));
	int64_t parts;

	size = cuda_div_up(size, 4) * 4;
	parts = cuda_div_up(n, size);
	if (parts > 0)
		CUDA_LAUNCH(s, sumsq_kernel, (unsigned)parts, THREADS, 0, part, x, n, size,
		    cuda_vec8(x, 0));
	CUDA_LAUNCH_SOON(s, last_kernel, 1, THREADS, 0, sum, (const double *)part, (int)parts, add);
}
