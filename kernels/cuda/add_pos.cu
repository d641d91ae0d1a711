/* Learned positions: added to every sequence, their gradient summed over all.
 *
 * Bound by memory: 4 bytes an element of y forward (pos stays in the L2
 * cache), 2 an element of dy backward.  The backward pass sees dy (N,C) as
 * (N/P, P C) and sums its columns (colsum.cuh).  The next rung is to add in
 * the epilogue of the patch embedding's product.
 */
#include "cuda.h"

template <int V>
static __global__ void __launch_bounds__(256) add_pos_kernel(
    bf16 *__restrict__ y, const bf16 *__restrict__ pos, int64_t P, int64_t C, unsigned per_row)
{
	struct cuda_place p = row_at<V>(per_row);
	float a[V], b[V];

	if (p.col >= C)
		return;
	load<V>(a, y + p.row * C + p.col);
	load<V>(b, pos + p.row % P * C + p.col);
#pragma unroll
	for (int k = 0; k < V; k++)
		a[k] += b[k];
	store<V>(y + p.row * C + p.col, a);
}

template <int V>
static void
forward(struct gvk_stream *s, void *y, const void *pos, int64_t N, int64_t P, int64_t C)
{
	struct cuda_rows g = cuda_grid(N, C, V);

	CUDA_LAUNCH(s, add_pos_kernel<V>, g.blocks, g.threads, 0, (bf16 *)y, (const bf16 *)pos, P,
	    C, g.per_row);
}

void
gvk_cuda_add_pos(struct gvk_stream *s, void *y, const void *pos, int64_t N, int64_t P, int64_t C)
{
	if (N <= 0 || C <= 0)
		return;
	cuda_of(s);
	if (cuda_vec8(y, C) && cuda_vec8(pos, C))
		forward<8>(s, y, pos, N, P, C);
	else
		forward<1>(s, y, pos, N, P, C);
}

void
gvk_cuda_add_pos_bwd(
    struct gvk_stream *s, float *dpos, const void *dy, int64_t N, int64_t P, int64_t C)
{
	if (dpos && N > 0)
		cuda_colsum(s, dpos, (const bf16 *)dy, N / P, P * C, P * C);
}
