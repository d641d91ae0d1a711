/* Activations element by element, and their gradients.
 *
 * Bound by memory: 4 bytes an element forward, 6 backward; some 20
 * instructions an element stay below that.  A thread does 8 neighbours, 16
 * bytes a load; the tail of n is done one by one.  The next rung is the
 * epilogue of linear, which saves the whole pass.
 */
#include "cuda.h"

#define THREADS 256

template <enum gvk_act A>
static __global__ void
__launch_bounds__(THREADS) gelu_kernel(bf16 *y, const bf16 *x, int64_t n, bool wide)
{
	int64_t i = ((int64_t)blockIdx.x * THREADS + threadIdx.x) * 8;
	float a[8];

	if (wide && i + 8 <= n) {
		load8(a, x + i);
#pragma unroll
		for (int k = 0; k < 8; k++)
			a[k] = act_fwd(A, a[k]);
		store8(y + i, a);
		return;
	}
	for (int k = 0; k < 8 && i + k < n; k++)
		y[i + k] = to_b(act_fwd(A, to_f(x[i + k])));
}

template <enum gvk_act A>
static __global__ void
__launch_bounds__(THREADS)
    gelu_bwd_kernel(bf16 *dx, const bf16 *dy, const bf16 *x, int64_t n, bool wide)
{
	int64_t i = ((int64_t)blockIdx.x * THREADS + threadIdx.x) * 8;
	float a[8], g[8];

	if (wide && i + 8 <= n) {
		load8(a, x + i);
		load8(g, dy + i);
#pragma unroll
		for (int k = 0; k < 8; k++)
			g[k] *= act_slope(A, a[k]);
		store8(dx + i, g);
		return;
	}
	for (int k = 0; k < 8 && i + k < n; k++)
		dx[i + k] = to_b(to_f(dy[i + k]) * act_slope(A, to_f(x[i + k])));
}

template <enum gvk_act A>
static void
forward(struct gvk_stream *s, bf16 *y, const bf16 *x, int64_t n)
{
	bool wide = cuda_vec8(y, 0) && cuda_vec8(x, 0);

	CUDA_LAUNCH(s, gelu_kernel<A>, cuda_blocks(n, 8 * THREADS), THREADS, 0, y, x, n, wide);
}

template <enum gvk_act A>
static void
backward(struct gvk_stream *s, bf16 *dx, const bf16 *dy, const bf16 *x, int64_t n)
{
	bool wide = cuda_vec8(dx, 0) && cuda_vec8(dy, 0) && cuda_vec8(x, 0);

	CUDA_LAUNCH(
	    s, gelu_bwd_kernel<A>, cuda_blocks(n, 8 * THREADS), THREADS, 0, dx, dy, x, n, wide);
}

void
gvk_cuda_gelu(struct gvk_stream *s, void *y, const void *x, enum gvk_act act, int64_t n)
{
	if (n <= 0)
		return;
	cuda_of(s);
	if (act == GVK_ACT_NONE)
		forward<GVK_ACT_NONE>(s, (bf16 *)y, (const bf16 *)x, n);
	else
		CUDA_BY_ACT(act, forward, s, (bf16 *)y, (const bf16 *)x, n);
}

void
gvk_cuda_gelu_bwd(
    struct gvk_stream *s, void *dx, const void *dy, const void *x, enum gvk_act act, int64_t n)
{
	if (n <= 0 || !dx)
		return;
	cuda_of(s);
	if (act == GVK_ACT_NONE)
		backward<GVK_ACT_NONE>(s, (bf16 *)dx, (const bf16 *)dy, (const bf16 *)x, n);
	else
		CUDA_BY_ACT(act, backward, s, (bf16 *)dx, (const bf16 *)dy, (const bf16 *)x, n);
}
