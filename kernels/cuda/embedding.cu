/* Rows by id from a table or from outside, and the gradients of both.
 *
 * Forward is a copy, 4 bytes an element.  Backward, each row of a gradient is
 * the work of one block a column part, that of the id's first place:
 *
 *	block (n, part):  id[0..n-1] has id[n]?  leave
 *	                  else for m = n..N-1 in order, where id[m] = id[n]:
 *	                      sum[columns of part] += dy[m]
 *
 * so additions run in ascending n, nothing is sorted, and no block writes
 * what another writes.  The scans read N ids a block out of the L2 cache: N^2
 * ids in all at worst, 1 GB at N = 16,384, under a millisecond; the sums 2
 * bytes an element of dy and 8 of each gradient row that is met.  An id that
 * fills most of the batch is one block's work.  The next rung: sort (id, n)
 * once a batch on the loader's side, or cut long runs.
 */
#include "cuda.h"

#define THREADS 256
#define COLUMNS 8 /* a thread, THREADS apart */

template <class T>
static __global__ void __launch_bounds__(256)
    embedding_kernel(T *__restrict__ y, const T *__restrict__ w, const T *__restrict__ e,
	const int32_t *__restrict__ id, int64_t C, unsigned per_row)
{
	struct cuda_place p = row_at<1>(per_row);
	int64_t i = id[p.row];
	const T *row = i >= 0 ? w + i * C : e + ~i * C;

	if (p.col < C)
		y[p.row * C + p.col] = row[p.col];
}

void
gvk_cuda_embedding(struct gvk_stream *s, void *y, const void *w, const void *e, const int32_t *id,
    int64_t N, int64_t C)
{
	bool wide = cuda_vec8(y, C) && cuda_vec8(w, C) && cuda_vec8(e, C);
	struct cuda_rows g;

	if (N <= 0 || C <= 0)
		return;
	cuda_of(s);
	g = cuda_grid(N, C, wide ? 8 : 1);
	if (wide)
		CUDA_LAUNCH(s, embedding_kernel<uint4>, g.blocks, g.threads, 0, (uint4 *)y,
		    (const uint4 *)w, (const uint4 *)e, id, C / 8, g.per_row);
	else
		CUDA_LAUNCH(s, embedding_kernel<uint16_t>, g.blocks, g.threads, 0, (uint16_t *)y,
		    (const uint16_t *)w, (const uint16_t *)e, id, C, g.per_row);
}

/* ---- backward ----------------------------------------------------------- */

/* Whether some m < n has the same id; the answer is the block's. */
static __device__ __forceinline__ bool
seen_before(const int32_t *id, int64_t n)
{
	int32_t own = id[n];

	for (int64_t m = 0; m < n; m += THREADS) {
		int64_t i = m + threadIdx.x;

		if (__syncthreads_or(i < n && id[i] == own))
			return true;
	}
	return false;
}

/* Adds dy[m] for the places m of the tile at `base` whose id is `own`, in
 * order.  mask: one bit a place. */
static __device__ __forceinline__ void
add_tile(float sum[COLUMNS], const unsigned mask[THREADS / 32], const bf16 *dy, int64_t base,
    int64_t C, int64_t col)
{
	for (int w = 0; w < THREADS / 32; w++)
		for (unsigned left = mask[w]; left; left &= left - 1) {
			int64_t m = base + 32 * w + __ffs((int)left) - 1;
			const bf16 *row = dy + m * C;

#pragma unroll
			for (int k = 0; k < COLUMNS; k++)
				if (col + k * THREADS < C)
					sum[k] += to_f(row[col + k * THREADS]);
		}
}

static __global__ void
__launch_bounds__(THREADS) embedding_bwd_kernel(float *dw, bf16 *de, const bf16 *__restrict__ dy,
    const int32_t *__restrict__ id, int64_t N, int64_t C, unsigned parts)
{
	__shared__ unsigned mask[THREADS / 32];
	int64_t n = blockIdx.x / parts;
	int64_t col = (int64_t)(blockIdx.x % parts) * (THREADS * COLUMNS) + threadIdx.x;
	int32_t own = id[n];
	float sum[COLUMNS], *dw_row = dw + (int64_t)own * C;
	bf16 *de_row = de + (int64_t)~own * C;

	if (own >= 0 ? !dw : !de)
		return;
	if (seen_before(id, n))
		return;
#pragma unroll
	for (int k = 0; k < COLUMNS; k++) {
		sum[k] = 0;
		if (own >= 0 && col + k * THREADS < C)
			sum[k] = dw_row[col + k * THREADS];
	}
	for (int64_t m = n; m < N; m += THREADS) {
		int64_t i = m + threadIdx.x;
		unsigned bits = __ballot_sync(CUDA_ALL, i < N && id[i] == own);

		if (threadIdx.x % 32 == 0)
			mask[threadIdx.x / 32] = bits;
		__syncthreads();
		add_tile(sum, mask, dy, m, C, col);
		__syncthreads();
	}
#pragma unroll
	for (int k = 0; k < COLUMNS; k++) {
		if (col + k * THREADS >= C)
			continue;
		if (own >= 0)
			dw_row[col + k * THREADS] = sum[k];
		else
			de_row[col + k * THREADS] = to_b(sum[k]);
	}
}

void
gvk_cuda_embedding_bwd(struct gvk_stream *s, float *dw, void *de, const void *dy, const int32_t *id,
    int64_t N, int64_t C, int64_t V, int64_t E)
{
	struct cuda_stream *c = cuda_of(s);
	size_t bytes = (size_t)(E * C) * sizeof(bf16);
	unsigned parts;

	(void)V;
	if (de && bytes && !cuda_ok(s, cudaMemsetAsync(de, 0, bytes, c->st), "embedding_bwd"))
		return;
	if (N <= 0 || C <= 0 || (!dw && !de))
		return;
	parts = cuda_blocks(C, THREADS * COLUMNS);
	CUDA_LAUNCH(s, embedding_bwd_kernel, cuda_blocks(N * parts, 1), THREADS, 0, dw, (bf16 *)de,
	    (const bf16 *)dy, id, N, C, parts);
}
