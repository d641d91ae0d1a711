/* Sums of columns over rows, in a fixed order: gradients of biases, norms and
 * learned positions.
 *
 *	        32 V columns a block
 *	row 0   |warp 0         |	a warp sums rows w, w + 8, ... of the
 *	row 1   |warp 1         |	block's part of the rows, V columns a
 *	 ...    | ...           |	thread; then the 8 warps are added in
 *	row 7   |warp 7         |	order, into part[p][w][column]
 *
 * A second launch adds the parts to the gradient (colsum.cu).  How rows are
 * cut depends on the shape only, so equal inputs give equal bits.  Bound by
 * reading the inputs once.
 */
#ifndef GVK_CUDA_COLSUM_CUH
#define GVK_CUDA_COLSUM_CUH

#include "cuda.h"

#define COLSUM_WARPS 8

/* `f.add(acc, n, c)` adds row n's terms of columns c..c+V-1 to W sums. */
template <int V, int W, class F>
static __global__ void __launch_bounds__(32 * COLSUM_WARPS)
colsum_kernel(F f, float *__restrict__ part, int64_t N, int64_t C,
    int64_t rows, unsigned col_blocks)
{
	__shared__ float shared[W][COLSUM_WARPS][32 * V];
	int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
	unsigned p = blockIdx.x / col_blocks;
	int64_t col = (int64_t)(blockIdx.x - p * col_blocks) * (32 * V);
	int64_t c = col + lane * V, end = (p + 1) * rows;
	float acc[W][V];

	end = end < N ? end : N;
#pragma unroll
	for (int w = 0; w < W; w++)
#pragma unroll
		for (int k = 0; k < V; k++)
			acc[w][k] = 0;
	if (c < C) /* V divides C, so the V columns are inside too */
		for (int64_t n = p * rows + warp; n < end; n += COLSUM_WARPS)
			f.add(acc, n, c);
#pragma unroll
	for (int w = 0; w < W; w++)
#pragma unroll
		for (int k = 0; k < V; k++)
			shared[w][warp][lane * V + k] = acc[w][k];
	__syncthreads();
	for (int i = threadIdx.x; i < W * 32 * V; i += 32 * COLSUM_WARPS) {
		int w = i / (32 * V), k = i % (32 * V);
		float sum = 0;

		for (int j = 0; j < COLSUM_WARPS; j++)
			sum += shared[w][j][k];
		if (col + k < C)
			part[((int64_t)p * W + w) * C + col + k] = sum;
	}
}

/* How N rows of C columns with W sums are cut: at least 64 rows a part, about
 * a thousand blocks, and what the scratch holds. */
static inline int64_t
colsum_rows(int64_t N, int64_t C, int W)
{
	int64_t col_blocks = cuda_div_up(C, 256);
	int64_t room = (int64_t)(CUDA_SCRATCH / sizeof(float)) / (W * C);
	int64_t parts = cuda_min(cuda_div_up(N, 64),
	    cuda_max(1, 1024 / col_blocks));

	assert(room > 0);
	return cuda_div_up(N, cuda_min(parts, room));
}

/* Fills the scratch with (parts, W, C) sums; returns the number of parts. */
template <int V, int W, class F>
static int64_t
colsum_parts(struct gvk_stream *s, F f, int64_t N, int64_t C)
{
	struct cuda_stream *c = cuda_of(s);
	int64_t rows = colsum_rows(N, C, W), parts = cuda_div_up(N, rows);
	unsigned col_blocks = cuda_blocks(C, 32 * V);

	CUDA_LAUNCH(s, (colsum_kernel<V, W, F>),
	    cuda_blocks(parts * col_blocks, 1), 32 * COLSUM_WARPS, 0, f,
	    (float *)c->scratch, N, C, rows, col_blocks);
	return parts;
}

#endif
