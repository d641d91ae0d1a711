/* Matrix products: who makes them, and the passes behind a maker that lacks an
 * end.
 *
 * Bound by the tensor cores: 2MNK FLOP against 2(MK + NK) + 2..4 MN bytes.
 * A pass is bound by memory.  ACT and SLOPE go in F32 to the stream's scratch,
 * as many rows at a time as it holds, and are rounded once from there: 10
 * bytes an element with `pre`, 8 without, most of them in L2.  GATED reads
 * what the product has written, 6 bytes an element of c; GATED_BWD 10, 12 with
 * y.
 */
#include "product.cuh"

#define THREADS 256

/* ---- passes ------------------------------------------------------------- */

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
static __global__ void __launch_bounds__(THREADS) act_pass(
    bf16 *y, bf16 *pre, const float *z, const bf16 *b, enum gvk_act act, int64_t n, int64_t O)
{
	int64_t i = ((int64_t)blockIdx.x * THREADS + threadIdx.x) * V;
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
static __global__ void __launch_bounds__(THREADS)
    slope_pass(bf16 *dx, const float *z, const bf16 *pre, enum gvk_act act, int64_t n)
{
	int64_t i = ((int64_t)blockIdx.x * THREADS + threadIdx.x) * V;
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

/* y = silu(g) u.
 *
 *	row of gu:  | g, F columns | u, F columns |	row of y: | F columns |
 *	a thread reads V of g and the V of u below them
 */
template <int V>
static __global__ void __launch_bounds__(THREADS)
    gated_pass(bf16 *__restrict__ y, const bf16 *__restrict__ gu, int64_t F, unsigned per_row)
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

/* dgu may be gu; y may be NULL. */
template <int V>
static __global__ void __launch_bounds__(THREADS)
    gated_bwd_pass(bf16 *dgu, bf16 *y, const bf16 *dy, const bf16 *gu, int64_t F, unsigned per_row)
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
		float dg = d[k] * u[k] * (sig + silu * (1 - sig));

		g[k] = dg;
		dg = d[k] * silu;
		d[k] = silu * u[k];
		u[k] = dg;
	}
	store<V>(dgu + at, g);
	store<V>(dgu + at + F, u);
	if (y)
		store<V>(y + p.row * F + p.col, d);
}

/* ---- a product and its pass --------------------------------------------- */

static void
plain(struct gvk_stream *s, const struct product *p)
{
	if (!cuda_lt(s, p))
		cuda_plain(s, p);
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

/* The pass of ACT or SLOPE over `rows` rows of z. */
static void
pass_f32(
    struct gvk_stream *s, const struct product *p, const float *z, bf16 *c, bf16 *pre, int64_t rows)
{
	int64_t n = rows * p->N;
	bool wide = p->N % 8 == 0 && cuda_vec8(c, 0) && cuda_vec8(pre, 0) && cuda_vec8(p->bias, 0);
	unsigned blocks = cuda_blocks(n, wide ? 8 * THREADS : THREADS);

	if (p->end == PRODUCT_ACT && wide)
		CUDA_LAUNCH(
		    s, act_pass<8>, blocks, THREADS, 0, c, pre, z, p->bias, p->act, n, p->N);
	else if (p->end == PRODUCT_ACT)
		CUDA_LAUNCH(
		    s, act_pass<1>, blocks, THREADS, 0, c, pre, z, p->bias, p->act, n, p->N);
	else if (wide)
		CUDA_LAUNCH(s, slope_pass<8>, blocks, THREADS, 0, c, z, pre, p->act, n);
	else
		CUDA_LAUNCH(s, slope_pass<1>, blocks, THREADS, 0, c, z, pre, p->act, n);
}

/* ACT and SLOPE, whose a is stored in rows of M, a chunk of rows at a time. */
static void
through_f32(struct gvk_stream *s, const struct product *p)
{
	struct cuda_stream *cs = (struct cuda_stream *)s->priv;
	const int64_t most = scratch_rows(p->N);
	struct product q = *p;

	assert(p->kind != PRODUCT_TN && p->ldc == p->N);
	q.end = PRODUCT_PLAIN;
	q.c = cs->scratch;
	q.f32 = true;
	q.bias = NULL;
	for (int64_t at = 0; at < p->M; at += most) {
		bf16 *pre = p->pre ? p->pre + at * p->N : NULL;

		q.M = cuda_min(most, p->M - at);
		q.a = p->a + at * p->lda;
		plain(s, &q);
		pass_f32(s, p, (float *)cs->scratch, (bf16 *)p->c + at * p->N, pre, q.M);
	}
}

static void
gated(struct gvk_stream *s, const struct product *p)
{
	bf16 *gu = p->gu ? p->gu : (bf16 *)p->tmp, *y = (bf16 *)p->c;
	bool wide = cuda_vec8(y, p->N) && cuda_vec8(gu, p->N);
	struct cuda_rows g = cuda_grid(p->M, p->N, wide ? 8 : 1);
	struct product q = *p;

	assert(p->ldc == p->N);
	q.end = PRODUCT_PLAIN;
	q.N = q.ldc = 2 * p->N;
	q.c = gu;
	plain(s, &q);
	if (wide)
		CUDA_LAUNCH(s, gated_pass<8>, g.blocks, g.threads, 0, y, gu, p->N, g.per_row);
	else
		CUDA_LAUNCH(s, gated_pass<1>, g.blocks, g.threads, 0, y, gu, p->N, g.per_row);
}

static void
gated_bwd(struct gvk_stream *s, const struct product *p)
{
	bf16 *dgu = (bf16 *)p->c, *dy = (bf16 *)p->tmp;
	bool wide = cuda_vec8(dgu, p->N) && cuda_vec8(dy, p->N) && cuda_vec8(p->gu, p->N) &&
		    cuda_vec8(p->y, p->N);
	struct cuda_rows g = cuda_grid(p->M, p->N, wide ? 8 : 1);
	struct product q = *p;

	assert(p->ldc == 2 * p->N);
	q.end = PRODUCT_PLAIN;
	q.c = dy;
	q.ldc = p->N;
	plain(s, &q);
	if (wide)
		CUDA_LAUNCH(s, gated_bwd_pass<8>, g.blocks, g.threads, 0, dgu, p->y, dy, p->gu,
		    p->N, g.per_row);
	else
		CUDA_LAUNCH(s, gated_bwd_pass<1>, g.blocks, g.threads, 0, dgu, p->y, dy, p->gu,
		    p->N, g.per_row);
}

void
cuda_product(struct gvk_stream *s, const struct product *p)
{
	assert(p->M > 0 && p->N > 0 && p->K > 0);
	assert(!(p->f32 || p->add) || (p->end == PRODUCT_PLAIN && !p->bias && !p->r));
	if (cuda_skinny(s, p))
		return;
	switch (p->end) {
	case PRODUCT_PLAIN:
		plain(s, p);
		break;
	case PRODUCT_ACT:
	case PRODUCT_SLOPE:
		through_f32(s, p);
		break;
	case PRODUCT_GATED:
		gated(s, p);
		break;
	case PRODUCT_GATED_BWD:
		gated_bwd(s, p);
		break;
	}
}
