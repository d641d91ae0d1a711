/* Linear layers: one product forward, two backward.
 *
 * Bound by the products (product.cu).  A bias alone is added in the product's
 * epilogue.  With an activation, or a derivative, the product goes in F32 to
 * the stream's scratch, as many rows at a time as it holds, and a pass of its
 * own rounds once from there: 10 bytes an element forward (8 without `pre`),
 * 8 backward, most of them in L2; of a layer with C = 1024 about a tenth of
 * the time.
 *
 * Next rung: GELU and its derivative in the product's epilogue
 * (CUBLASLT_EPILOGUE_GELU_AUX_BIAS, _DGELU), and the column sums of dy there
 * too (_BGRADA).
 */
#include "product.cuh"

/* V floats at z, which is aligned to 4 V bytes. */
template <int V>
static __device__ __forceinline__ void
load_f32(float x[V], const float *z)
{
	if constexpr (V == 8) {
		float4 lo = *reinterpret_cast<const float4 *>(z);
		float4 hi = *reinterpret_cast<const float4 *>(z + 4);

		x[0] = lo.x;
		x[1] = lo.y;
		x[2] = lo.z;
		x[3] = lo.w;
		x[4] = hi.x;
		x[5] = hi.y;
		x[6] = hi.z;
		x[7] = hi.w;
	} else {
		x[0] = *z;
	}
}

/* z + b becomes pre, and its activation y, for n elements in rows of O. */
template <int V>
static __global__ void __launch_bounds__(256) linear_act(
    bf16 *y, bf16 *pre, const float *z, const bf16 *b, enum gvk_act act, int64_t n, int64_t O)
{
	int64_t i = ((int64_t)blockIdx.x * 256 + threadIdx.x) * V;
	float x[V], bias[V];

	if (i >= n)
		return;
	load_f32<V>(x, z + i);
	if (b) {
		load<V>(bias, b + i % O);
#pragma unroll
		for (int j = 0; j < V; j++)
			x[j] += bias[j];
	}
	if (pre)
		store<V>(pre + i, x);
#pragma unroll
	for (int j = 0; j < V; j++)
		x[j] = act_fwd(act, x[j]);
	store<V>(y + i, x);
}

/* dx = z act'(pre), n elements. */
template <int V>
static __global__ void __launch_bounds__(256)
    linear_slope(bf16 *dx, const float *z, const bf16 *pre, enum gvk_act act, int64_t n)
{
	int64_t i = ((int64_t)blockIdx.x * 256 + threadIdx.x) * V;
	float x[V], p[V];

	if (i >= n)
		return;
	load_f32<V>(x, z + i);
	load<V>(p, pre + i);
#pragma unroll
	for (int j = 0; j < V; j++)
		x[j] *= act_slope(act, p[j]);
	store<V>(dx + i, x);
}

/* Rows of `width` floats that the scratch holds; a multiple of 8 if it can be,
 * so that rows that follow stay aligned. */
static int64_t
scratch_rows(int64_t width)
{
	int64_t rows = (int64_t)(CUDA_SCRATCH / sizeof(float)) / width;

	assert(rows > 0);
	return rows > 8 ? rows / 8 * 8 : rows;
}

/* y = act(x w^T + b), a chunk of rows at a time; p is set but for its rows. */
static void
forward_act(struct gvk_stream *s, bf16 *y, bf16 *pre, const bf16 *b, enum gvk_act act,
    struct product p, int64_t N)
{
	float *z = (float *)cuda_of(s)->scratch;
	const int64_t most = scratch_rows(p.N);
	const bf16 *x = p.a;

	p.c = z;
	p.f32 = true;
	for (int64_t at = 0; at < N; at += most) {
		int64_t rows = cuda_min(most, N - at), n = rows * p.N;
		bf16 *yc = y + at * p.N, *pc = pre ? pre + at * p.N : NULL;

		p.M = rows;
		p.a = x + at * p.lda;
		cuda_product(s, &p);
		if (p.N % 8 == 0 && cuda_vec8(yc, 0) && cuda_vec8(pc, 0) && cuda_vec8(b, 0))
			CUDA_LAUNCH(s, linear_act<8>, cuda_blocks(n, 8 * 256), 256, 0, yc, pc, z, b,
			    act, n, p.N);
		else
			CUDA_LAUNCH(s, linear_act<1>, cuda_blocks(n, 256), 256, 0, yc, pc, z, b,
			    act, n, p.N);
	}
}

/* dx = (dy w) act'(pre), likewise. */
static void
backward_act(
    struct gvk_stream *s, bf16 *dx, const bf16 *pre, enum gvk_act act, struct product p, int64_t N)
{
	float *z = (float *)cuda_of(s)->scratch;
	const int64_t most = scratch_rows(p.N);
	const bf16 *dy = p.a;

	p.c = z;
	p.f32 = true;
	for (int64_t at = 0; at < N; at += most) {
		int64_t rows = cuda_min(most, N - at), n = rows * p.N;
		bf16 *to = dx + at * p.N;
		const bf16 *pc = pre + at * p.N;

		p.M = rows;
		p.a = dy + at * p.lda;
		cuda_product(s, &p);
		if (p.N % 8 == 0 && cuda_vec8(to, 0) && cuda_vec8(pc, 0))
			CUDA_LAUNCH(
			    s, linear_slope<8>, cuda_blocks(n, 8 * 256), 256, 0, to, z, pc, act, n);
		else
			CUDA_LAUNCH(
			    s, linear_slope<1>, cuda_blocks(n, 256), 256, 0, to, z, pc, act, n);
	}
}

void
gvk_cuda_linear(struct gvk_stream *s, void *y, void *pre, const void *x, const void *w,
    const void *b, enum gvk_act act, int64_t N, int64_t C, int64_t O)
{
	struct product p = {};

	assert(N >= 0 && C > 0 && O > 0);
	cuda_of(s);
	if (N == 0)
		return;
	p.kind = PRODUCT_NT;
	p.M = N;
	p.N = O;
	p.K = C;
	p.a = (const bf16 *)x;
	p.lda = C;
	p.b = (const bf16 *)w;
	p.ldb = C;
	p.c = y;
	p.ldc = O;
	if (act != GVK_ACT_NONE) {
		forward_act(s, (bf16 *)y, (bf16 *)pre, (const bf16 *)b, act, p, N);
		return;
	}
	p.bias = (const bf16 *)b;
	cuda_product(s, &p);
}

/* dx (N,C) = dy (N,O) w (O,C), times act'(pre) if there is one. */
static void
input_gradient(struct gvk_stream *s, void *dx, const void *dy, const void *pre, const void *w,
    enum gvk_act act, bool add, int64_t N, int64_t C, int64_t O)
{
	struct product p = {};

	p.kind = PRODUCT_NN;
	p.M = N;
	p.N = C;
	p.K = O;
	p.a = (const bf16 *)dy;
	p.lda = O;
	p.b = (const bf16 *)w;
	p.ldb = C;
	p.c = dx;
	p.ldc = C;
	p.add = add;
	if (pre && act != GVK_ACT_NONE)
		backward_act(s, (bf16 *)dx, (const bf16 *)pre, act, p, N);
	else
		cuda_product(s, &p);
}

/* dw (O,C) += dy^T (O,N) x (N,C). */
static void
weight_gradient(
    struct gvk_stream *s, float *dw, const void *dy, const void *x, int64_t N, int64_t C, int64_t O)
{
	struct product p = {};

	p.kind = PRODUCT_TN;
	p.M = O;
	p.N = C;
	p.K = N;
	p.a = (const bf16 *)dy;
	p.lda = O;
	p.b = (const bf16 *)x;
	p.ldb = C;
	p.c = dw;
	p.ldc = C;
	p.f32 = true;
	p.add = true;
	cuda_product(s, &p);
}

void
gvk_cuda_linear_bwd(struct gvk_stream *s, void *dx, float *dw, float *db, const void *dy,
    const void *x, const void *pre, const void *w, enum gvk_act act, bool add, int64_t N, int64_t C,
    int64_t O)
{
	assert(N >= 0 && C > 0 && O > 0 && !(add && pre));
	cuda_of(s);
	if (N == 0)
		return;
	if (dx)
		input_gradient(s, dx, dy, pre, w, act, add, N, C, O);
	if (dw)
		weight_gradient(s, dw, dy, x, N, C, O);
	if (db)
		cuda_colsum(s, db, (const bf16 *)dy, N, O, O);
}
