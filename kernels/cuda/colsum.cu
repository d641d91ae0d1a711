/* Sums of columns: of a BF16 matrix, and of the parts that colsum.cuh leaves.
 * The second is 4 bytes a part and column, which the L2 cache still holds. */
#include "colsum.cuh"

#define SLAB ((int64_t)4 << 20) /* columns at a time: 16 MiB a part */

/* One column a thread; warp w adds parts w, w + 8, ..., then the warps' sums
 * are added in order. */
static __global__ void __launch_bounds__(32 * COLSUM_WARPS)
    add_kernel(float *out, const float *__restrict__ part, int64_t parts, int64_t C, int64_t ld)
{
	__shared__ float shared[COLSUM_WARPS][32];
	int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
	int64_t c = (int64_t)blockIdx.x * 32 + lane;
	float sum = 0;

	if (c < C)
		for (int64_t p = warp; p < parts; p += COLSUM_WARPS)
			sum += part[p * ld + c];
	shared[warp][lane] = sum;
	__syncthreads();
	if (warp > 0 || c >= C)
		return;
	sum = 0;
	for (int j = 0; j < COLSUM_WARPS; j++)
		sum += shared[j][lane];
	out[c] += sum;
}

void
cuda_colsum_add(
    struct gvk_stream *s, float *out, const float *part, int64_t parts, int64_t C, int64_t ld)
{
	if (parts <= 0 || C <= 0)
		return;
	cuda_of(s);
	CUDA_LAUNCH(
	    s, add_kernel, cuda_blocks(C, 32), 32 * COLSUM_WARPS, 0, out, part, parts, C, ld);
}

template <int V> struct colsum_plain {
	const bf16 *x;
	int64_t ld;

	__device__ __forceinline__ void add(float acc[1][V], int64_t n, int64_t c) const
	{
		float v[V];

		load<V>(v, x + n * ld + c);
#pragma unroll
		for (int k = 0; k < V; k++)
			acc[0][k] += v[k];
	}
};

void
cuda_colsum(struct gvk_stream *s, float *out, const bf16 *x, int64_t N, int64_t C, int64_t ld)
{
	float *part = (float *)cuda_of(s)->scratch;
	bool wide = cuda_vec8(x, ld) && C % 8 == 0;

	for (int64_t at = 0; at < C && N > 0; at += SLAB) {
		int64_t m = cuda_min(SLAB, C - at), parts;

		if (wide)
			parts = colsum_parts<8, 1>(s, colsum_plain<8>{x + at, ld}, N, m);
		else
			parts = colsum_parts<1, 1>(s, colsum_plain<1>{x + at, ld}, N, m);
		cuda_colsum_add(s, out + at, part, parts, m, m);
	}
}
