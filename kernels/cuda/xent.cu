/* The output head and its loss, a chunk of rows at a time: F32 logits in ws,
 * one block a row for the softmax, the logits' gradient as bf16 in their
 * place, and two products that carry it on.
 *
 * Bound by the products, 6NCV FLOP.  The softmax reads a row twice and writes
 * half of it: 10 bytes a logit of N V, against 3C/150 bytes' worth of product
 * time (C = 1536: a quarter of the whole).  Each chunk reads w twice and reads
 * and writes dw (8CV bytes), so chunks have as many rows as CHUNK_FLOATS hold.
 *
 * In place: a row of Vp F32 becomes a row of V bf16 at stride 2 Vp.  A block
 * walks the row in stripes; stripe t's bf16 lie on F32 of stripes <= t only,
 * which have been read when the barrier between reading and writing is passed.
 *
 * Next rung: maximum and sum inside the product (a row of tiles a block), so
 * that logits are never written; dw in bf16 pairs.
 */
#include "product.cuh"

#define CHUNK_FLOATS ((int64_t)1 << 27) /* logits of a chunk, if it has */
#define CHUNK_LEAST  ((int64_t)128) /* more rows than this */
#define CHUNK_MOST   ((int64_t)1024)
#define THREADS      512

/* Rows of logits begin at multiples of 16 bytes. */
static int64_t
padded(int64_t V)
{
	return cuda_div_up(V, 4) * 4;
}

static int64_t
chunk_rows(int64_t N, int64_t V)
{
	int64_t rows = cuda_max(CHUNK_LEAST, CHUNK_FLOATS / padded(V));

	return cuda_min(N, cuda_min(rows, CHUNK_MOST));
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

struct rows { /* of a chunk */
	float *z; /* (rows, ld) raw logits */
	float *logp, *entropy;
	const int32_t *target;
	const float *g;
	float cap;
	int64_t V, ld;
	bool grad;
};

/* Sums over the logits seen so far: of e = exp(z - max), and of e (z - max).
 * In F64, so that where one logit has all the mass, what the others have is
 * not lost beside its 1: entropies near 0 are right to their last digits. */
struct stats {
	float max;
	double sum, dot;
};

/* The sums under another maximum, not below theirs and not -infinity. */
static __device__ __forceinline__ struct stats
rescaled(struct stats s, float max)
{
	float d = s.max - max, f = expf(d);

	if (s.max > -INFINITY) {
		s.dot = (s.dot + s.sum * (double)d) * (double)f;
		s.sum *= (double)f;
	}
	s.max = max;
	return s;
}

static __device__ __forceinline__ void
take(struct stats *s, float z)
{
	float d = z - (s->max > -INFINITY ? s->max : 0.f), e = expf(d);

	s->sum += (double)e;
	s->dot += (double)(d < -87.f ? 0.f : e * d); /* -infinity: 0 */
}

static __device__ __forceinline__ float
capped(float z, float cap)
{
	return cap > 0 ? cap * tanhf(z / cap) : z;
}

/* Logits i..i+3 of a row, capped; -infinity behind its end. */
static __device__ __forceinline__ void
four(float z[4], const float *row, int64_t i, const struct rows &r)
{
	if (i + 4 <= r.V) {
		float4 v = *reinterpret_cast<const float4 *>(row + i);

		z[0] = capped(v.x, r.cap);
		z[1] = capped(v.y, r.cap);
		z[2] = capped(v.z, r.cap);
		z[3] = capped(v.w, r.cap);
		return;
	}
#pragma unroll
	for (int j = 0; j < 4; j++)
		z[j] = i + j < r.V ? capped(row[i + j], r.cap) : -INFINITY;
}

static __device__ __forceinline__ struct stats
thread_stats(const float *row, const struct rows &r)
{
	struct stats s = {-INFINITY, 0, 0};

	for (int64_t i = threadIdx.x * 4; i < r.V; i += THREADS * 4) {
		float z[4], max;

		four(z, row, i, r);
		max = fmaxf(fmaxf(z[0], z[1]), fmaxf(z[2], z[3]));
		if (max > s.max)
			s = rescaled(s, max);
#pragma unroll
		for (int j = 0; j < 4; j++)
			if (i + j < r.V)
				take(&s, z[j]);
	}
	return s;
}

/* d(g logp)/d(raw logit) = g (1[target] - p) (1 - (z/cap)^2), into the row. */
static __device__ __forceinline__ void
row_grad(float *row, const struct rows &r, int64_t n, float max, float inv)
{
	const float g = r.g[n], icap = r.cap > 0 ? 1.f / r.cap : 0.f;
	const int64_t target = r.target[n];
	bf16 *to = reinterpret_cast<bf16 *>(row);

	for (int64_t base = 0; base < r.V; base += THREADS * 4) {
		int64_t i = base + threadIdx.x * 4;
		float z[4];

		four(z, row, i, r);
#pragma unroll
		for (int j = 0; j < 4; j++) {
			float p = __expf(z[j] - max) * inv, u = z[j] * icap;

			z[j] = g * (i + j == target ? 1.f - p : -p) * (1.f - u * u);
		}
		__syncthreads();
		if (i + 4 <= r.V) {
			uint2 v = make_uint2(pack2(z[0], z[1]), pack2(z[2], z[3]));

			*reinterpret_cast<uint2 *>(to + i) = v;
		} else {
#pragma unroll
			for (int j = 0; j < 4; j++)
				if (i + j < r.V)
					to[i + j] = to_b(z[j]);
		}
	}
}

static __global__ void
__launch_bounds__(THREADS) xent_rows(const struct rows r)
{
	__shared__ float shared_max[32];
	__shared__ double shared_sum[32];
	const int64_t n = blockIdx.x;
	float *row = r.z + n * r.ld;
	const float at_target = capped(row[r.target[n]], r.cap);
	struct stats s = thread_stats(row, r);
	float max = block_max(s.max, shared_max);
	double sum, dot;

	if (s.max > -INFINITY)
		s = rescaled(s, max);
	sum = block_sum(s.sum, shared_sum);
	dot = block_sum(s.dot, shared_sum);
	if (threadIdx.x == 0 && r.logp)
		r.logp[n] = (float)((double)at_target - (double)max - log(sum));
	if (threadIdx.x == 0 && r.entropy)
		r.entropy[n] = (float)(log(sum) - dot / sum);
	if (r.grad) /* all have read their logits: block_sum has barriers */
		row_grad(row, r, n, max, (float)(1 / sum));
}

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

	assert(N >= 0 && C > 0 && V > 0);
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
		CUDA_LAUNCH(s, xent_rows, (unsigned)n, THREADS, 0, r);
		if (r.grad)
			gradients(s, (const bf16 *)ws, 2 * ld, dx ? (bf16 *)dx + at * C : NULL, dw,
			    xc, (const bf16 *)w, n, C, V);
	}
}
