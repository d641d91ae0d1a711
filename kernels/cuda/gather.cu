/* Rows copied from, and to, the places of an index.
 *
 * Bound by memory: 4 bytes an element.  A block copies one row or a part of
 * it, 16 bytes a thread where rows are aligned to that, else element by
 * element.  The next rung: several rows a block where they are short.
 */
#include "cuda.h"

template <class T, bool Scatter>
static __global__ void __launch_bounds__(256)
    move_kernel(T *__restrict__ y, const T *__restrict__ x, const int32_t *__restrict__ at,
	int64_t C, int64_t ldy, int64_t ldx, unsigned per_row)
{
	struct cuda_place p = row_at<1>(per_row);
	int64_t other = at[p.row];

	if (p.col >= C)
		return;
	if (Scatter)
		y[other * ldy + p.col] = x[p.row * ldx + p.col];
	else
		y[p.row * ldy + p.col] = x[other * ldx + p.col];
}

template <bool Scatter>
static void
move(struct gvk_stream *s, void *y, const void *x, const int32_t *at, int64_t M, int64_t C,
    int64_t ldy, int64_t ldx)
{
	bool wide = cuda_vec8(y, ldy) && cuda_vec8(x, ldx) && C % 8 == 0;
	struct cuda_rows g;

	if (M <= 0 || C <= 0)
		return;
	cuda_of(s);
	g = cuda_grid(M, C, wide ? 8 : 1);
	if (wide)
		CUDA_LAUNCH(s, (move_kernel<uint4, Scatter>), g.blocks, g.threads, 0, (uint4 *)y,
		    (const uint4 *)x, at, C / 8, ldy / 8, ldx / 8, g.per_row);
	else
		CUDA_LAUNCH(s, (move_kernel<uint16_t, Scatter>), g.blocks, g.threads, 0,
		    (uint16_t *)y, (const uint16_t *)x, at, C, ldy, ldx, g.per_row);
}

void
gvk_cuda_gather(struct gvk_stream *s, void *y, const void *x, const int32_t *at, int64_t M,
    int64_t C, int64_t ldy, int64_t ldx)
{
	move<false>(s, y, x, at, M, C, ldy, ldx);
}

void
gvk_cuda_scatter(struct gvk_stream *s, void *y, const void *x, const int32_t *at, int64_t M,
    int64_t C, int64_t ldy, int64_t ldx)
{
	move<true>(s, y, x, at, M, C, ldy, ldx);
}
