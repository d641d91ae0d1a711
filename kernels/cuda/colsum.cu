/* Sums of columns: of a BF16 matrix, and of the parts that colsum.cuh leaves.
 * The second is 4 bytes a part and column, which the L2 cache still holds. */
#include "colsum.cuh"

#define SLAB ((int64_t)4 << 20) /* columns at a time: 16 MiB a part */

/* One column a thread; warp w adds parts w, w + W, ..., then the warps' sums
 * are added in order.  W is 32 for many parts, 8 else. */
template <int W>
static __global__ void __launch_bounds__(32 * W)
    add_kernel(struct colsum_out o, const float *__restrict__ part, int64_t parts)
{
	__shared__ float shared[W][32];
	int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
	int64_t c = (int64_t)blockIdx.x * 32 + lane;
	float *out = c < o.C ? o.first + c : o.second + (c - o.C), sum = 0;
	bool in = c < (o.second ? 2 * o.C : o.C);

	cuda_follow();
	cuda_lead();
	if (in)
#pragma unroll 8
		for (int64_t p = warp; p < parts; p += W)
			sum += part[p * o.ld + c];
	shared[warp][lane] = sum;
	__syncthreads();
	if (warp > 0 || !in)
		return;
	sum = 0;
#pragma unroll
	for (int j = 0; j < W; j++)
		sum += shared[j][lane];
	*out += sum;
}

void
colsum_add(struct gvk_stream *s, struct colsum_out o, const float *part, int64_t parts)
{
	unsigned blocks;

	if (parts <= 0 || o.C <= 0)
		return;
	cuda_of(s);
	blocks = cuda_blocks(o.second ? 2 * o.C : o.C, 32);
	if (parts > 64)
		CUDA_LAUNCH_SOON(s, add_kernel<32>, blocks, 32 * 32, 0, o, part, parts);
	else
		CUDA_LAUNCH_SOON(s, add_kernel<8>, blocks, 32 * 8, 0, o, part, parts);
}

void
cuda_colsum_add(
    struct gvk_stream *s, float *out, const float *part, int64_t parts, int64_t C, int64_t ld)
{
	colsum_add(s, {out, NULL, C, ld}, part, parts);
}

template <int V> struct colsum_plain {
	struct alignas(V * sizeof(bf16)) item {
		bf16 x[V];
	};
	const bf16 *x;
	int64_t ld;

	__device__ __forceinline__ item load(int64_t n, int64_t c) const
	{
		return *reinterpret_cast<const item *>(x + n * ld + c);
	}

	__device__ __forceinline__ void add(float acc[1][V], const item &q) const
	{
#pragma unroll
		for (int k = 0; k < V; k++)
			acc[0][k] += to_f(q.x[k]);
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
			parts = colsum_parts<8, 1>(s, out + at, colsum_plain<8>{x + at, ld}, N, m);
		else
			parts = colsum_parts<1, 1>(s, out + at, colsum_plain<1>{x + at, ld}, N, m);
		cuda_colsum_add(s, out + at, part, parts, m, m);
	}
}
