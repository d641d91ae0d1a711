/* Sums of columns over rows, in a fixed order: gradients of biases, norms and
 * learned positions.
 *
 *	        32 V columns a block
 *	row 0   |warp 0         |	a warp sums rows w, w + 8, ... of the
 *	row 1   |warp 1         |	block's part of the rows, V columns a
 *	 ...    | ...           |	thread; then the 8 warps are added in
 *	row 7   |warp 7         |	order, into part[p][w][column]
 *
 * A second launch adds the parts to the gradient (colsum.cu), unless there is
 * one part only.  How rows are
 * cut depends on the shape only, so equal inputs give equal bits.  Bound by
 * reading the inputs once (82 to 98 % of a copy's speed on an H100, November
 * 2026, for 67 to 400 MB); a thread has the loads of COLSUM_AHEAD rows under
 * way at a time.
 */
#ifndef GVK_CUDA_COLSUM_CUH
#define GVK_CUDA_COLSUM_CUH

#include "cuda.h"

#define COLSUM_WARPS  8
#define COLSUM_AHEAD  8
#define COLSUM_BLOCKS 4 /* on a multiprocessor */

/* f.load(n, c) is what row n has in columns c..c+V-1, an F::item, and
 * f.add(acc, item) adds its terms to W sums. */
template <int V, int W, class F>
static __global__ void __launch_bounds__(32 * COLSUM_WARPS, COLSUM_BLOCKS) colsum_kernel(F f,
    float *__restrict__ part, bool add, int64_t N, int64_t C, int64_t rows, unsigned col_blocks)
{
	__shared__ float shared[W][COLSUM_WARPS][32 * V];
	int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
	unsigned p = blockIdx.x / col_blocks;
	int64_t col = (int64_t)(blockIdx.x - p * col_blocks) * (32 * V);
	int64_t c = col + lane * V, n = p * rows + warp, end = (p + 1) * rows;
	float acc[W][V] = {};

	cuda_follow();
	end = end < N ? end : N;
	if (c < C) { /* V divides C, so the V columns are inside too */
		constexpr int step = COLSUM_AHEAD * COLSUM_WARPS;

		for (; n < end; n += step) {
			typename F::item x[COLSUM_AHEAD];

#pragma unroll
			for (int i = 0; i < COLSUM_AHEAD; i++) {
				x[i] = {}; /* adds nothing */
				if (n + i * COLSUM_WARPS < end)
					x[i] = f.load(n + i * COLSUM_WARPS, c);
			}
#pragma unroll
			for (int i = 0; i < COLSUM_AHEAD; i++)
				f.add(acc, x[i]);
		}
	}
	cuda_lead();
#pragma unroll
	for (int w = 0; w < W; w++)
#pragma unroll
		for (int k = 0; k < V; k++)
			shared[w][warp][lane * V + k] = acc[w][k];
	__syncthreads();
	for (int i = threadIdx.x; i < W * 32 * V; i += 32 * COLSUM_WARPS) {
		int w = i / (32 * V), k = i % (32 * V);
		float sum = 0;

#pragma unroll
		for (int j = 0; j < COLSUM_WARPS; j++)
			sum += shared[w][j][k];
		if (col + k < C) {
			float *to = part + ((int64_t)p * W + w) * C + col + k;

			*to = add ? *to + sum : sum;
		}
	}
}

/* How N rows of C columns with W sums are cut: at least 64 rows a part, blocks
 * that fill 132 processors once, and what the scratch holds. */
static inline int64_t
colsum_rows(int64_t N, int64_t C, int W)
{
	int64_t col_blocks = cuda_div_up(C, 256);
	int64_t room = (int64_t)(CUDA_SCRATCH / sizeof(float)) / (W * C);
	int64_t parts = cuda_min(cuda_div_up(N, 64), 132 * COLSUM_BLOCKS / col_blocks);

	assert(room > 0);
	return cuda_div_up(N, cuda_max(1, cuda_min(parts, room)));
}

/* Fills the scratch with (parts, W, C) sums and returns the number of parts.
 * If there is one part only and `out` is given, its sums are added to out
 * (W, C), and 0 is returned. */
template <int V, int W, class F>
static int64_t
colsum_parts(struct gvk_stream *s, float *out, F f, int64_t N, int64_t C)
{
	float *part = (float *)cuda_of(s)->scratch;
	int64_t rows = colsum_rows(N, C, W), parts = cuda_div_up(N, rows);
	unsigned col_blocks = cuda_blocks(C, 32 * V);
	bool add = parts == 1 && out;

	CUDA_LAUNCH_SOON(s, (colsum_kernel<V, W, F>), cuda_blocks(parts * col_blocks, 1),
	    32 * COLSUM_WARPS, 0, f, add ? out : part, add, N, C, rows, col_blocks);
	return add ? 0 : parts;
}

/* Adds parts of ld columns: the first C to `first`, and if `second` is not NULL
 * the next C to that. */
struct colsum_out {
	float *first, *second;
	int64_t C, ld;
};
void colsum_add(struct gvk_stream *s, struct colsum_out o, const float *part, int64_t parts);

#endif
