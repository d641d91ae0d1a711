/* RMSNorm with the residual addition before it, forward and backward.
 *
 *	one block a row:  |V|V|V| ... |V|	thread t: chunks t, t + T, ...
 *	pass 1: mean of (x + r)^2   pass 2: h and y
 *
 * Bound by memory: 8 bytes an element forward (x, r, h, y; 4 without r), 8
 * backward (dy, h, dres, dh) and 4 more for dw, whose sums run over the other
 * direction (colsum.cuh).  The second pass finds its row in the first-level
 * cache.  Statistics and y are of the exact x + r, not of what h keeps of it.
 * The next rung: the row in registers, and dw in the same pass as dh.
 */
#include "colsum.cuh"

/* V of x + r; r may be NULL.  No __restrict__: h may be x or r. */
template <int V>
static __device__ __forceinline__ void
load_sum(float f[V], const bf16 *x, const bf16 *r, int64_t i)
{
	float g[V];

	load<V>(f, x + i);
	if (!r)
		return;
	load<V>(g, r + i);
#pragma unroll
	for (int k = 0; k < V; k++)
		f[k] += g[k];
}

struct rmsnorm {
	bf16 *y, *h;
	float *rstd;
	const bf16 *x, *r, *w;
	float eps;
	int64_t C;
};

template <int V> static __global__ void __launch_bounds__(256) rmsnorm_kernel(struct rmsnorm a)
{
	__shared__ float shared[32];
	int64_t at = blockIdx.x * a.C, first = (int64_t)threadIdx.x * V;
	int64_t step = (int64_t)blockDim.x * V;
	float sum = 0, v[V], w[V], rstd;

	for (int64_t c = first; c < a.C; c += step) {
		load_sum<V>(v, a.x, a.r, at + c);
#pragma unroll
		for (int k = 0; k < V; k++)
			sum += v[k] * v[k];
	}
	rstd = 1 / sqrtf(block_sum(sum, shared) / (float)a.C + a.eps);
	for (int64_t c = first; c < a.C; c += step) {
		load_sum<V>(v, a.x, a.r, at + c);
		if (a.r)
			store<V>(a.h + at + c, v);
		load<V>(w, a.w + c);
#pragma unroll
		for (int k = 0; k < V; k++)
			v[k] *= rstd * w[k];
		store<V>(a.y + at + c, v);
	}
	if (threadIdx.x == 0 && a.rstd)
		a.rstd[blockIdx.x] = rstd;
}

/* Threads for a row of C columns, V a thread. */
static unsigned
threads_of(int64_t C, int V)
{
	return cuda_grid(1, C, V).threads;
}

void
gvk_cuda_rmsnorm(struct gvk_stream *s, void *y, void *h, float *rstd, const void *x, const void *r,
    const void *w, float eps, int64_t N, int64_t C)
{
	struct rmsnorm a = {
	    (bf16 *)y, (bf16 *)h, rstd, (const bf16 *)x, (const bf16 *)r, (const bf16 *)w, eps, C};

	if (N <= 0)
		return;
	cuda_of(s);
	if (cuda_vec8(y, C) && (!r || cuda_vec8(h, C)) && cuda_vec8(x, C) && cuda_vec8(r, C) &&
	    cuda_vec8(w, C))
		CUDA_LAUNCH(s, rmsnorm_kernel<8>, cuda_blocks(N, 1), threads_of(C, 8), 0, a);
	else
		CUDA_LAUNCH(s, rmsnorm_kernel<1>, cuda_blocks(N, 1), threads_of(C, 1), 0, a);
}

/* ---- backward ----------------------------------------------------------- */

struct rmsnorm_bwd {
	bf16 *dh; /* may be dres */
	bf16 *y;
	const bf16 *dy, *dres, *h, *w;
	const float *rstd;
	int64_t C;
};

/* With z = h rstd and g = dy w, the gradient through the norm is
 * rstd (g - z mean(g z)).  Loads g and z of V columns. */
template <int V>
static __device__ __forceinline__ void
load_gz(float g[V], float z[V], const struct rmsnorm_bwd &a, int64_t at, int64_t c, float rstd)
{
	float w[V];

	load<V>(g, a.dy + at + c);
	load<V>(w, a.w + c);
	load<V>(z, a.h + at + c);
#pragma unroll
	for (int k = 0; k < V; k++) {
		g[k] *= w[k];
		z[k] *= rstd;
	}
}

template <int V>
static __global__ void __launch_bounds__(256) rmsnorm_bwd_kernel(struct rmsnorm_bwd a)
{
	__shared__ float shared[32];
	int64_t at = blockIdx.x * a.C, first = (int64_t)threadIdx.x * V;
	int64_t step = (int64_t)blockDim.x * V;
	float rstd = a.rstd[blockIdx.x], sum = 0, g[V], z[V], d[V];

	for (int64_t c = first; c < a.C; c += step) {
		load_gz<V>(g, z, a, at, c, rstd);
#pragma unroll
		for (int k = 0; k < V; k++)
			sum += g[k] * z[k];
	}
	sum = block_sum(sum, shared) / (float)a.C;
	for (int64_t c = first; c < a.C; c += step) {
		load_gz<V>(g, z, a, at, c, rstd);
#pragma unroll
		for (int k = 0; k < V; k++)
			d[k] = 0;
		if (a.dres)
			load<V>(d, a.dres + at + c);
#pragma unroll
		for (int k = 0; k < V; k++)
			d[k] += rstd * (g[k] - z[k] * sum);
		store<V>(a.dh + at + c, d);
	}
}

/* The forward pass's output again. */
template <int V> static __global__ void __launch_bounds__(256) again_kernel(struct rmsnorm_bwd a)
{
	int64_t at = blockIdx.x * a.C, step = (int64_t)blockDim.x * V;
	float rstd = a.rstd[blockIdx.x], v[V], w[V];

	for (int64_t c = (int64_t)threadIdx.x * V; c < a.C; c += step) {
		load<V>(v, a.h + at + c);
		load<V>(w, a.w + c);
#pragma unroll
		for (int k = 0; k < V; k++)
			v[k] *= rstd * w[k];
		store<V>(a.y + at + c, v);
	}
}

/* dw = sum of dy z. */
template <int V> struct rmsnorm_params {
	const bf16 *dy, *h;
	const float *rstd;
	int64_t C;

	__device__ __forceinline__ void add(float acc[1][V], int64_t n, int64_t c) const
	{
		float r = rstd[n], d[V], z[V];

		load<V>(d, dy + n * C + c);
		load<V>(z, h + n * C + c);
#pragma unroll
		for (int k = 0; k < V; k++)
			acc[0][k] += d[k] * (z[k] * r);
	}
};

template <int V>
static void
backward(struct gvk_stream *s, const struct rmsnorm_bwd *a, float *dw, int64_t N)
{
	float *part = (float *)cuda_of(s)->scratch;
	int64_t C = a->C, parts;

	if (dw) {
		parts = colsum_parts<V, 1>(s, rmsnorm_params<V>{a->dy, a->h, a->rstd, C}, N, C);
		cuda_colsum_add(s, dw, part, parts, C, C);
	}
	if (a->y)
		CUDA_LAUNCH(s, again_kernel<V>, cuda_blocks(N, 1), threads_of(C, V), 0, *a);
	if (a->dh)
		CUDA_LAUNCH(s, rmsnorm_bwd_kernel<V>, cuda_blocks(N, 1), threads_of(C, V), 0, *a);
}

void
gvk_cuda_rmsnorm_bwd(struct gvk_stream *s, void *dh, float *dw, void *y, const void *dy,
    const void *dres, const void *h, const float *rstd, const void *w, int64_t N, int64_t C)
{
	struct rmsnorm_bwd a = {(bf16 *)dh, (bf16 *)y, (const bf16 *)dy, (const bf16 *)dres,
	    (const bf16 *)h, (const bf16 *)w, rstd, C};

	if (N <= 0)
		return;
	if (cuda_vec8(dh, C) && cuda_vec8(y, C) && cuda_vec8(dy, C) && cuda_vec8(dres, C) &&
	    cuda_vec8(h, C) && cuda_vec8(w, C))
		backward<8>(s, &a, dw, N);
	else
		backward<1>(s, &a, dw, N);
}
