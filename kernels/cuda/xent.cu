/* The output head and its loss, a chunk of rows at a time: F32 logits in ws, a
 * cluster of blocks a row for the softmax, the logits' gradient as bf16 in
 * their place, and two products that carry it on.
 *
 *	row of V F32: |part 0|part 1| ... |part 7|	each in its block's
 *	becomes:      |bf16 of 0..7 | free |		shared memory
 *
 * Bound by the products, 6NCV FLOP.  The softmax reads a row once and writes
 * half of it, 6 bytes a logit (4 without gradients): what is needed twice is
 * in shared memory.  Logits stay F32: as bf16 they would save 3 of 40 ms (C =
 * 1536, V = 151936, N = 16384 on an H100), and cost log-probabilities their
 * last 16 bits (a logit of 20 would be off by up to 0.06).
 *
 * Each chunk reads w twice and reads and writes dw (12CV bytes), which takes
 * about 2,000 rows to hide; CHUNK_FLOATS hold 2,816 rows of V = 151936.  There
 * an H100 takes 39.4 ms with gradients, about 6 of them in the softmax, and
 * 15.1 without, 3.5 of them (2026-11-23).
 *
 * In place: a row's blocks write after row_sync(), when all have their parts.
 * Without clusters, or where eight blocks can't hold a row, one block works in
 * the row itself, in stripes: stripe t's bf16 lie on F32 of stripes <= t only,
 * which have been read when the barrier between reading and writing is passed.
 *
 * Next rung: maximum and sum inside the product, so that without gradients
 * logits are never written, and with them one read is the last.
 */
#include "cluster.cuh"
#include "product.cuh"

#define CHUNK_FLOATS ((int64_t)409 << 20) /* logits of a chunk, if it has */
#define CHUNK_LEAST  ((int64_t)128) /* more rows than this; */
#define CHUNK_MOST   ((int64_t)8192) /* multiples of CHUNK_LEAST */
#define THREADS      512
#define PARTS        8
#define STRIPE       (THREADS * 4)
#define TILE         4 /* stripes that a thread loads at a time */
#define LOG2_E       1.4426950408889634f

/* Rows of logits begin at multiples of 16 bytes. */
static int64_t
padded(int64_t V)
{
	return cuda_div_up(V, 4) * 4;
}

static int64_t
chunk_rows(int64_t N, int64_t V)
{
	int64_t rows = CHUNK_FLOATS / padded(V) / CHUNK_LEAST * CHUNK_LEAST;

	return cuda_min(N, cuda_min(cuda_max(rows, CHUNK_LEAST), CHUNK_MOST));
}

/* At least what chunk_rows() rows take, and never less for more rows or a
 * larger vocabulary. */
size_t
gvk_cuda_xent_ws(const struct gvk *k, int64_t N, int64_t C, int64_t V)
{
	int64_t most = cuda_max(CHUNK_LEAST * padded(V), CHUNK_FLOATS);
	int64_t rows = cuda_min(N, CHUNK_MOST);

	(void)k;
	(void)C;
	return (size_t)cuda_min(rows * padded(V), most) * sizeof(float);
}

/* ---- the softmax of a row -------------------------------------------------- */

struct rows { /* of a chunk */
	float *z; /* (rows, ld) raw logits */
	float *logp, *entropy;
	const int32_t *target;
	const float *g;
	float cap;
	int64_t V, ld;
	int64_t size; /* of a part, a multiple of 4 */
	bool grad;
};

struct part { /* of a row: the block's */
	float *row; /* its first logit in memory */
	float *z; /* where its capped logits are kept: shared, or `row` */
	int n; /* logits */
	int64_t at; /* the first one's id */
};

/* Sums over logits: of e = exp(z - max), and of e (z - max).  In F64, so that
 * where one logit has all the mass, what the others have is not lost beside
 * its 1: log-probabilities and entropies near 0 are right to their last
 * digits. */
struct stats {
	float max;
	double sum, dot;
};

struct room { /* shared memory, static */
	struct stats mine, all;
	float maxima[32];
	double sums[32];
};

static __device__ __forceinline__ float
capped(float z, float cap)
{
	return cap > 0 ? cap * tanhf(z / cap) : z;
}

/* exp(d) for d <= 0 to 2 units in the last place and what rounding 1.44 d
 * does, in two instructions. */
static __device__ __forceinline__ float
exp_fast(float d)
{
	float e;

	asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(e) : "f"(d * LOG2_E));
	return e;
}

/* Brings the part into p.z, capped, minus infinity behind its end; returns the
 * thread's largest. */
template <int P>
static __device__ __forceinline__ float
take_part(const struct rows &r, const struct part &p)
{
	float max = -INFINITY;

	for (int base = threadIdx.x * 4; base < p.n; base += STRIPE * TILE) {
		float4 v[TILE];

#pragma unroll
		for (int t = 0; t < TILE; t++)
			if (base + t * STRIPE < p.n)
				v[t] = __ldcg(
				    reinterpret_cast<const float4 *>(p.row + base + t * STRIPE));
#pragma unroll
		for (int t = 0; t < TILE; t++) {
			const int i = base + t * STRIPE;

			if (i >= p.n)
				break;
			if (r.cap > 0) {
				v[t].x = capped(v[t].x, r.cap);
				v[t].y = capped(v[t].y, r.cap);
				v[t].z = capped(v[t].z, r.cap);
				v[t].w = capped(v[t].w, r.cap);
			}
			v[t].y = i + 1 < p.n ? v[t].y : -INFINITY;
			v[t].z = i + 2 < p.n ? v[t].z : -INFINITY;
			v[t].w = i + 3 < p.n ? v[t].w : -INFINITY;
			max = fmaxf(max, fmaxf(fmaxf(v[t].x, v[t].y), fmaxf(v[t].z, v[t].w)));
			if (P > 1 || r.cap > 0 || i + 4 > p.n)
				*reinterpret_cast<float4 *>(p.z + i) = v[t];
		}
	}
	return max;
}

/* The thread's sums, relative to `max`.  Ones are counted apart from what is
 * below, which F32 can then sum. */
static __device__ __forceinline__ struct stats
thread_stats(const struct part &p, float max)
{
	struct stats s = {max, 0, 0};
	float rest = 0, dot = 0;
	int ones = 0;

	if (!(max > -INFINITY))
		max = 0;
#pragma unroll 4
	for (int i = threadIdx.x * 4; i < p.n; i += STRIPE) {
		const float4 v = *reinterpret_cast<const float4 *>(p.z + i);
		const float z[4] = {v.x, v.y, v.z, v.w};

#pragma unroll
		for (int j = 0; j < 4; j++) {
			const float d = z[j] - max, e = exp_fast(d);

			ones += d == 0;
			rest += d == 0 ? 0.f : e;
			dot += e * fmaxf(d, -200.f); /* minus infinity: 0 */
		}
	}
	s.sum = (double)ones + (double)rest;
	s.dot = (double)dot;
	return s;
}

/* The sums of all blocks of a row, relative to the row's largest; called by one
 * warp.  The same bits in all of them. */
template <int P>
static __device__ __forceinline__ struct stats
row_stats(const struct room *room)
{
	const int lane = threadIdx.x % CUDA_WARP;
	struct stats none = {-INFINITY, 0, 0};
	struct stats s = lane < P ? *row_peer<P>(&room->mine, lane) : none;
	const float max = warp_max(s.max);
	const double d = s.max > -INFINITY ? (double)(s.max - max) : 0;
	const double f = lane < P ? (double)expf((float)d) : 0;

	s.dot = warp_sum((s.dot + s.sum * d) * f);
	s.sum = warp_sum(s.sum * f);
	s.max = max;
	return s;
}

/* d(g logp)/d(raw logit) = g (1[target] - p) (1 - (z/cap)^2), into the row,
 * whose bf16 begin at `to`; target counts from the part's first logit. */
template <int P>
static __device__ __forceinline__ void
part_grad(bf16 *to, const struct rows &r, const struct part &p, int64_t target, float g, float max,
    float inv)
{
	const float icap = r.cap > 0 ? 1.f / r.cap : 0.f, scale = -g * inv;

	for (int base = 0; base < p.n; base += STRIPE) {
		const int i = base + (int)threadIdx.x * 4;
		float z[4] = {};

		if (i < p.n) {
			const float4 v = *reinterpret_cast<const float4 *>(p.z + i);
			const float u[4] = {v.x, v.y, v.z, v.w};

#pragma unroll
			for (int j = 0; j < 4; j++)
				z[j] = scale * exp_fast(u[j] - max);
			if ((uint64_t)(target - i) < 4) {
#pragma unroll
				for (int j = 0; j < 4; j++)
					z[j] += i + j == target ? g : 0.f;
			}
			if (r.cap > 0) {
#pragma unroll
				for (int j = 0; j < 4; j++)
					z[j] *=
					    i + j < p.n ? 1.f - u[j] * icap * (u[j] * icap) : 0.f;
			}
		}
		if (P == 1)
			__syncthreads();
		if (i < p.n)
			*reinterpret_cast<uint2 *>(to + i) =
			    make_uint2(pack2(z[0], z[1]), pack2(z[2], z[3]));
	}
}

template <int P>
static __device__ __forceinline__ void
xent_row(const struct rows &r, float *smem)
{
	__shared__ struct room room;
	const int64_t n = blockIdx.x / P;
	const int rank = (int)(blockIdx.x % P);
	const int64_t target = r.target[n];
	float *row = r.z + n * r.ld;
	float at_target = 0, max;
	struct stats s;
	struct part p;

	p.at = min(r.V, rank * r.size);
	p.n = (int)min(r.size, r.V - p.at);
	p.row = row + p.at;
	p.z = P > 1 ? smem : p.row;
	if (rank == 0 && threadIdx.x == 0)
		at_target = capped(row[target], r.cap);
	if (P == 1)
		__syncthreads(); /* then it is capped in place */
	max = block_max(take_part<P>(r, p), room.maxima);
	s = thread_stats(p, max);
	s.sum = block_sum(s.sum, room.sums);
	s.dot = block_sum(s.dot, room.sums);
	if (threadIdx.x == 0)
		room.mine = s;
	row_sync<P>();
	if (threadIdx.x < CUDA_WARP) {
		s = row_stats<P>(&room);
		if (threadIdx.x == 0)
			room.all = s;
	}
	row_sync<P>(); /* `mine` has been read, and the row */
	s = room.all;
	if (rank == 0 && threadIdx.x == 0) {
		if (r.logp)
			r.logp[n] = (float)((double)at_target - (double)s.max - log(s.sum));
		if (r.entropy)
			r.entropy[n] = (float)(log(s.sum) - s.dot / s.sum);
	}
	if (r.grad)
		part_grad<P>(reinterpret_cast<bf16 *>(row) + p.at, r, p, target - p.at, r.g[n],
		    s.max, (float)(1 / s.sum));
}

static __global__ void
CLUSTER(PARTS) __launch_bounds__(THREADS, 3) xent_clusters(const struct rows r)
{
	extern __shared__ float4 dynamic[];

	xent_row<PARTS>(r, (float *)dynamic);
}

static __global__ void
__launch_bounds__(THREADS, 3) xent_blocks(const struct rows r)
{
	xent_row<1>(r, NULL);
}

/* Of `n` rows. */
static void
softmax(struct gvk_stream *s, struct rows *r, int64_t n)
{
	const struct cuda_device *dev = ((struct cuda_stream *)s->priv)->dev;
	size_t smem;

	r->size = cuda_div_up(r->V, 4 * PARTS) * 4;
	smem = (size_t)r->size * sizeof(float);
	if (dev->sm >= 90 && smem + sizeof(struct room) <= dev->smem) {
		if (CUDA_SMEM(s, xent_clusters, smem))
			CUDA_LAUNCH(s, xent_clusters, (unsigned)(n * PARTS), THREADS, smem, *r);
		return;
	}
	r->size = r->V;
	CUDA_LAUNCH(s, xent_blocks, (unsigned)n, THREADS, 0, *r);
}

/* ---- the op ---------------------------------------------------------------- */

/* dx (rows,C) = dz (rows,V) w (V,C), dw (V,C) += dz^T x (rows,C). */
static void
gradients(struct gvk_stream *s, const bf16 *dz, int64_t ld, bf16 *dx, float *dw, const bf16 *x,
    const bf16 *w, int64_t rows, int64_t C, int64_t V)
{
	struct product p = {};

	p.kind = PRODUCT_NN;
	p.M = rows;
	p.N = C;
	p.K = V;
	p.a = dz;
	p.lda = ld;
	p.b = w;
	p.ldb = C;
	p.c = dx;
	p.ldc = C;
	if (dx)
		cuda_product(s, &p);
	p.kind = PRODUCT_TN;
	p.M = V;
	p.K = rows;
	p.b = x;
	p.c = dw;
	p.f32 = true;
	p.add = true;
	if (dw)
		cuda_product(s, &p);
}

static void
logits(struct gvk_stream *s, float *z, int64_t ld, const bf16 *x, const bf16 *w, int64_t rows,
    int64_t C, int64_t V)
{
	struct product p = {};

	p.kind = PRODUCT_NT;
	p.M = rows;
	p.N = V;
	p.K = C;
	p.a = x;
	p.lda = C;
	p.b = w;
	p.ldb = C;
	p.c = z;
	p.ldc = ld;
	p.f32 = true;
	cuda_product(s, &p);
}

void
gvk_cuda_xent(struct gvk_stream *s, float *logp, float *entropy, void *dx, float *dw, const void *x,
    const void *w, const int32_t *target, const float *g, float cap, int64_t N, int64_t C,
    int64_t V, void *ws)
{
	const int64_t most = chunk_rows(N, V), ld = padded(V);

	assert(N >= 0 && C > 0 && V > 0 && V <= 1 << 30);
	cuda_of(s);
	for (int64_t at = 0; at < N; at += most) {
		const bf16 *xc = (const bf16 *)x + at * C;
		const int64_t n = cuda_min(most, N - at);
		struct rows r = {};

		r.z = (float *)ws;
		r.logp = logp ? logp + at : NULL;
		r.entropy = entropy ? entropy + at : NULL;
		r.target = target + at;
		r.g = g ? g + at : NULL;
		r.cap = cap;
		r.V = V;
		r.ld = ld;
		r.grad = dx || dw;
		logits(s, r.z, ld, xc, (const bf16 *)w, n, C, V);
		softmax(s, &r, n);
		if (r.grad)
			gradients(s, (const bf16 *)ws, 2 * ld, dx ? (bf16 *)dx + at * C : NULL, dw,
			    xc, (const bf16 *)w, n, C, V);
	}
}
