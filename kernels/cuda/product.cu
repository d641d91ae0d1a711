/* Matrix products: the fastest of the ways to make each, and the passes behind a
 * maker that lacks an end.
 *
 * Bound by the tensor cores: 2MNK FLOP against 2(MK + NK) + 2..4 MN bytes.
 *
 * A product of some size that is met for the first time is made in every way
 * there is, some of cuBLASLt's and our own, each a few times, and the fastest
 * is remembered (choice.cu).
 *
 * A pass is bound by memory.  ACT and SLOPE go in F32 to the stream's scratch,
 * as many rows at a time as it holds, and are rounded once from there: 10
 * bytes an element with `pre`, 8 without, most of them in L2.  GATED reads
 * what the product has written, 6 bytes an element of c; GATED_BWD 10, 12 with
 * y.
 */
#include "choice.cuh"
#include "product.cuh"

#include <string.h>

#define THREADS  256
#define WORTH_IT 2e9 /* FLOP from which on ways are timed */
#define RUNS     2 /* in a row, timed together */
#define ROUNDS   5 /* of them; the median counts */
#define WAYS     (CUDA_LT_WAYS + 2)

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
static __global__ void
__launch_bounds__(THREADS) act_pass(
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
static __global__ void
__launch_bounds__(THREADS)
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
static __global__ void
__launch_bounds__(THREADS)
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
static __global__ void
__launch_bounds__(THREADS)
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

static void choose_and_make(struct gvk_stream *s, const struct product *p);

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
		choose_and_make(s, &q);
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
	choose_and_make(s, &q);
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
	choose_and_make(s, &q);
	if (wide)
		CUDA_LAUNCH(s, gated_bwd_pass<8>, g.blocks, g.threads, 0, dgu, p->y, dy, p->gu,
		    p->N, g.per_row);
	else
		CUDA_LAUNCH(s, gated_bwd_pass<1>, g.blocks, g.threads, 0, dgu, p->y, dy, p->gu,
		    p->N, g.per_row);
}

static void
pass(struct gvk_stream *s, const struct product *p)
{
	switch (p->end) {
	case PRODUCT_PLAIN:
		cuda_plain(s, p);
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

/* ---- ways --------------------------------------------------------------- */

/* False, and nothing queued, if this way is not for it. */
static bool
make(struct gvk_stream *s, const struct product *p, const struct product_way *w)
{
	switch (w->maker) {
	case MAKER_LT:
		return cuda_lt(s, p, &w->algo);
	case MAKER_GEMM:
		return cuda_gemm(s, p);
	default:
		pass(s, p);
		return true;
	}
}

/* All ways, the first of which is taken where none is timed.  An end that
 * cuBLASLt has not is best in our own kernel. */
static int
list(struct gvk_stream *s, const struct product *p, struct product_way *way)
{
	cublasLtMatmulAlgo_t algo[CUDA_LT_WAYS];
	bool plain = p->end == PRODUCT_PLAIN, own = cuda_gemm_can(s, p);
	int ways = cuda_lt_ways(s, p, algo, CUDA_LT_WAYS), n = 0;

	memset(way, 0, WAYS * sizeof *way);
	if (own && !plain)
		way[n++].maker = MAKER_GEMM;
	for (int i = 0; i < ways; i++) {
		way[n].maker = MAKER_LT;
		way[n++].algo = algo[i];
	}
	if (own && plain)
		way[n++].maker = MAKER_GEMM;
	if (!plain || n == 0)
		way[n++].maker = MAKER_PASS;
	return n;
}

static bool
worth_timing(struct gvk_stream *s, const struct product *p)
{
	struct cuda_stream *c = (struct cuda_stream *)s->priv;
	double flops = 2.0 * (double)p->M * (double)p->N * (double)p->K;
	enum cudaStreamCaptureStatus capture;

	return flops >= WORTH_IT && cuda_product_tunes() && !s->err[0] &&
	       cudaStreamIsCapturing(c->st, &capture) == cudaSuccess &&
	       capture == cudaStreamCaptureStatusNone;
}

/* Makes *q of *p a product that can be made again and again.  One that adds to
 * c gets zeros for an operand, which must fit the scratch, and for the bias;
 * one that overwrites what it reads can't be. */
static bool
repeatable(struct gvk_stream *s, const struct product *p, struct product *q)
{
	struct cuda_stream *c = (struct cuda_stream *)s->priv;
	int64_t a = (p->kind == PRODUCT_TN ? p->K : p->M) * p->lda;
	int64_t b = (p->kind == PRODUCT_NT ? p->N : p->K) * p->ldb;
	size_t bytes = (size_t)cuda_max(p->N, cuda_min(a, b)) * sizeof(bf16);

	*q = *p;
	if (p->end == PRODUCT_GATED_BWD)
		return p->c != p->gu;
	if (!p->add && !(p->r && p->r == p->c))
		return true;
	if (p->end != PRODUCT_PLAIN || bytes > CUDA_SCRATCH)
		return false;
	if (a < b)
		q->a = (bf16 *)c->scratch;
	else
		q->b = (bf16 *)c->scratch;
	if (p->bias)
		q->bias = (bf16 *)c->scratch;
	c->soon = false;
	return cuda_ok(s, cudaMemsetAsync(c->scratch, 0, bytes, c->st), "zero");
}

/* Milliseconds of each of `runs` in a row; negative if it was refused. */
static float
time_runs(struct gvk_stream *s, const struct product *p, const struct product_way *w, int runs,
    const cudaEvent_t mark[2])
{
	struct cuda_stream *c = (struct cuda_stream *)s->priv;
	float ms = -1;

	if (!cuda_ok(s, cudaEventRecord(mark[0], c->st), "timing"))
		return -1;
	for (int i = 0; i < runs; i++)
		if (!make(s, p, w))
			return -1;
	if (!cuda_ok(s, cudaEventRecord(mark[1], c->st), "timing") ||
	    !cuda_ok(s, cudaEventSynchronize(mark[1]), "timing") ||
	    !cuda_ok(s, cudaEventElapsedTime(&ms, mark[0], mark[1]), "timing"))
		return -1;
	return ms / (float)runs;
}

/* The times of a way, ascending; n = 0: refused, or too slow. */
struct times {
	float ms[ROUNDS];
	int n;
};

static void
insert(struct times *t, float ms)
{
	int at = t->n++;

	for (; at > 0 && t->ms[at - 1] > ms; at--)
		t->ms[at] = t->ms[at - 1];
	t->ms[at] = ms;
}

/* Every way in turn, and again: the clock changes with what the chip has done
 * before.  The first round loads kernels and tells which are worth more. */
static void
time_ways(struct gvk_stream *s, const struct product *p, const struct product_way *way, int ways,
    const cudaEvent_t mark[2], struct times *t)
{
	float first[WAYS], best = INFINITY;

	for (int i = 0; i < ways; i++) {
		t[i].n = 0;
		first[i] = time_runs(s, p, &way[i], 1, mark);
		if (first[i] >= 0)
			first[i] = time_runs(s, p, &way[i], 1, mark);
		if (first[i] >= 0)
			best = fminf(best, first[i]);
	}
	for (int round = 0; round < ROUNDS; round++)
		for (int i = 0; i < ways; i++) {
			float ms = -1;

			if (first[i] >= 0 && first[i] <= 1.2f * best)
				ms = time_runs(s, p, &way[i], RUNS, mark);
			if (ms >= 0)
				insert(&t[i], ms);
		}
}

/* The fastest by the median; the first unless another is 2 percent faster, so
 * that noise does not decide. */
static bool
fastest(struct gvk_stream *s, const struct product *p, const struct product_way *way, int ways,
    struct product_way *w)
{
	cudaEvent_t mark[2] = {};
	struct times t[WAYS];
	float best = INFINITY;
	bool made;

	made = cuda_ok(s, cudaEventCreate(&mark[0]), "timing") &&
	       cuda_ok(s, cudaEventCreate(&mark[1]), "timing");
	if (made)
		time_ways(s, p, way, ways, mark, t);
	for (int i = 0; i < 2; i++)
		if (mark[i])
			cudaEventDestroy(mark[i]);
	if (!made || s->err[0])
		return false;
	for (int i = 0; i < ways; i++)
		if (t[i].n > 0)
			best = fminf(best, t[i].ms[t[i].n / 2]);
	for (int i = 0; i < ways; i++)
		if (t[i].n > 0 && t[i].ms[t[i].n / 2] <= 1.02f * best) {
			*w = way[i];
			w->timed = true;
			return true;
		}
	return false;
}

static void
choose(struct gvk_stream *s, const struct product *p, bool timing, struct product_way *w)
{
	struct product_way way[WAYS];
	int ways = list(s, p, way);
	struct product q;

	*w = way[0];
	w->timed = timing; /* or there is nothing to be found out */
	if (timing && ways > 1 && repeatable(s, p, &q))
		fastest(s, &q, way, ways, w);
}

static void
choose_and_make(struct gvk_stream *s, const struct product *p)
{
	int device = ((struct cuda_stream *)s->priv)->dev->n;
	struct product_key key = cuda_product_key(p);
	struct product_way w;
	bool known = cuda_choice(device, &key, &w), timing;

	if (!known || !w.timed) {
		timing = worth_timing(s, p);
		if (!known || timing) {
			choose(s, p, timing, &w);
			cuda_choose(device, &key, &w);
		}
	}
	if (make(s, p, &w))
		return;
	choose(s, p, false, &w); /* other rows of the same key, or a foreign file */
	if (!make(s, p, &w))
		pass(s, p);
}

void
cuda_product(struct gvk_stream *s, const struct product *p)
{
	assert(p->M > 0 && p->N > 0 && p->K > 0);
	assert(!(p->f32 || p->add) || (p->end == PRODUCT_PLAIN && !p->bias && !p->r));
	if (!cuda_skinny(s, p))
		choose_and_make(s, p);
}
