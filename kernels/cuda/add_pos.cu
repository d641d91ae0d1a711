/* Learned positions: added to every sequence, their gradient summed over all.
 *
 *	a thread: V columns of position p in AHEAD sequences
 *
 * Bound by memory: 4 bytes an element of y forward (pos is read once in AHEAD
 * sequences, from the L2 cache), 2 an element of dy backward.  The backward
 * pass sees dy (N,C) as (N/P, P C) and sums its columns (colsum.cuh).  99 % and
 * 96 % of a copy's speed on an H100 (November 2026).  The next rung is
 * to add in the epilogue of the patch embedding's product.
 */
#include "cuda.h"

#define AHEAD 4

/* y and pos as rows of `C` columns: (B, P C) and (1, P C). */
template <int V>
static __global__ void __launch_bounds__(256) add_pos_kernel(
    bf16 *__restrict__ y, const bf16 *__restrict__ pos, int64_t B, int64_t C, unsigned per_row)
{
	struct cuda_place p = row_at<V>(per_row);
	bf16 *row = y + p.row * AHEAD * C + p.col;
	float a[AHEAD][V], b[V];

	cuda_follow();
	if (p.col >= C)
		return;
#pragma unroll
	for (int i = 0; i < AHEAD; i++)
		if (p.row * AHEAD + i < B)
			load<V>(a[i], row + i * C);
	load<V>(b, pos + p.col);
	cuda_lead();
#pragma unroll
	for (int i = 0; i < AHEAD; i++) {
		if (p.row * AHEAD + i >= B)
			break;
#pragma unroll
		for (int k = 0; k < V; k++)
			a[i][k] += b[k];
		store<V>(row + i * C, a[i]);
	}
}

template <int V>
static void
forward(struct gvk_stream *s, void *y, const void *pos, int64_t B, int64_t C)
{
	struct cuda_rows g = cuda_grid(cuda_div_up(B, AHEAD), C, V);

	CUDA_LAUNCH_SOON(s, add_pos_kernel<V>, g.blocks, g.threads, 0, (bf16 *)y, (const bf16 *)pos,
	    B, C, g.per_row);
}

void
gvk_cuda_add_pos(struct gvk_stream *s, void *y, const void *pos, int64_t N, int64_t P, int64_t C)
{
	if (N <= 0 || C <= 0)
		return;
	cuda_of(s);
	if (cuda_vec8(y, P * C) && cuda_vec8(pos, 0))
		forward<8>(s, y, pos, N / P, P * C);
	else
		forward<1>(s, y, pos, N / P, P * C);
}

void
gvk_cuda_add_pos_bwd(
    struct gvk_stream *s, float *dpos, const void *dy, int64_t N, int64_t P, int64_t C)
{
	if (dpos && N > 0)
		cuda_colsum(s, dpos, (const bf16 *)dy, N / P, P * C, P * C);
}
