/* SwiGLU: y = silu(g) u, and the gradients of g and u.
 *
 *	row of gu:  | g, F columns | u, F columns |	row of y: | F columns |
 *	a thread reads V of g and the V of u below them
 *
 * Bound by memory: 6 bytes an output element forward (g, u, y), 10 backward
 * (dy, g, u, dg, du).  Rows of F a multiple of 8 go 16 bytes a load.  The next
 * rung: interleave the columns of g and u in the weights, and do it in the
 * epilogue of the product.
 */
#include "cuda.h"

template <int V>
static __global__ void __launch_bounds__(256)
    swiglu_kernel(bf16 *__restrict__ y, const bf16 *__restrict__ gu, int64_t F, unsigned per_row)
{
	struct cuda_place p = row_at<V>(per_row);
	const bf16 *g_at = gu + p.row * 2 * F + p.col;
	float g[V], u[V];

	if (p.col >= F)
		return;
	load<V>(g, g_at);
	load<V>(u, g_at + F);
#pragma unroll
	for (int k = 0; k < V; k++)
		g[k] = g[k] * sigmoid(g[k]) * u[k];
	store<V>(y + p.row * F + p.col, g);
}

template <int V>
static __global__ void __launch_bounds__(256) swiglu_bwd_kernel(bf16 *__restrict__ dgu,
    const bf16 *__restrict__ dy, const bf16 *__restrict__ gu, int64_t F, unsigned per_row)
{
	struct cuda_place p = row_at<V>(per_row);
	int64_t at = p.row * 2 * F + p.col;
	float g[V], u[V], d[V];

	if (p.col >= F)
		return;
	load<V>(g, gu + at);
	load<V>(u, gu + at + F);
	load<V>(d, dy + p.row * F + p.col);
#pragma unroll
	for (int k = 0; k < V; k++) {
		float sig = sigmoid(g[k]), silu = g[k] * sig;

		g[k] = d[k] * u[k] * (sig + silu * (1 - sig));
		u[k] = d[k] * silu;
	}
	store<V>(dgu + at, g);
	store<V>(dgu + at + F, u);
}

template <int V>
static void
forward(struct gvk_stream *s, void *y, const void *gu, int64_t N, int64_t F)
{
	struct cuda_rows g = cuda_grid(N, F, V);

	CUDA_LAUNCH(
	    s, swiglu_kernel<V>, g.blocks, g.threads, 0, (bf16 *)y, (const bf16 *)gu, F, g.per_row);
}

template <int V>
static void
backward(struct gvk_stream *s, void *dgu, const void *dy, const void *gu, int64_t N, int64_t F)
{
	struct cuda_rows g = cuda_grid(N, F, V);

	CUDA_LAUNCH(s, swiglu_bwd_kernel<V>, g.blocks, g.threads, 0, (bf16 *)dgu, (const bf16 *)dy,
	    (const bf16 *)gu, F, g.per_row);
}

void
gvk_cuda_swiglu(struct gvk_stream *s, void *y, const void *gu, int64_t N, int64_t F)
{
	if (N <= 0 || F <= 0)
		return;
	cuda_of(s);
	if (cuda_vec8(y, F) && cuda_vec8(gu, F))
		forward<8>(s, y, gu, N, F);
	else
		forward<1>(s, y, gu, N, F);
}

void
gvk_cuda_swiglu_bwd(
    struct gvk_stream *s, void *dgu, const void *dy, const void *gu, int64_t N, int64_t F)
{
	if (N <= 0 || F <= 0 || !dgu)
		return;
	cuda_of(s);
	if (cuda_vec8(dgu, F) && cuda_vec8(dy, F) && cuda_vec8(gu, F))
		backward<8>(s, dgu, dy, gu, N, F);
	else
		backward<1>(s, dgu, dy, gu, N, F);
}
