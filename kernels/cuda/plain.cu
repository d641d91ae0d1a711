/* Plain products: tiles of 64 x 64 without tensor cores, for the shapes and
 * alignments that nothing faster takes.
 *
 * Bound by the multipliers: a block of 256 threads makes a tile of c, each
 * thread 4 x 4 of it, from slices of 16 of the inner index in shared memory.
 */
#include "product.cuh"

#define TILE  64
#define SLICE 16

/* a(m,k) at m * am + k * ak, b(k,n) at k * bk + n * bn. */
struct plain {
	int64_t M, N, K;
	const bf16 *a, *b, *bias, *r;
	int64_t am, ak, bk, bn, ldc;
	int64_t tiles_n;
	bool add;
};

static __device__ __forceinline__ float
stored(const float *c)
{
	return *c;
}

static __device__ __forceinline__ float
stored(const bf16 *c)
{
	return to_f(*c);
}

static __device__ __forceinline__ void
keep(float *c, float x)
{
	*c = x;
}

static __device__ __forceinline__ void
keep(bf16 *c, float x)
{
	*c = to_b(x);
}

/* Neighbouring threads read neighbouring elements, whichever index is dense:
 * `dense_k` says that the inner one is. */
static __device__ __forceinline__ void
plain_load(float (*to)[TILE + 1], const bf16 *x, int64_t stride, int64_t stride_k, int64_t at,
    int64_t end, int64_t k, int64_t K)
{
	bool dense_k = stride_k == 1;

	for (int i = threadIdx.x; i < TILE * SLICE; i += 256) {
		int r = dense_k ? i / SLICE : i % TILE;
		int p = dense_k ? i % SLICE : i / TILE;
		bool there = at + r < end && k + p < K;

		to[p][r] = there ? to_f(x[(at + r) * stride + (k + p) * stride_k]) : 0.f;
	}
}

template <class T>
static __global__ void __launch_bounds__(256) product_plain(T *c, const struct plain p)
{
	__shared__ float as[SLICE][TILE + 1], bs[SLICE][TILE + 1];
	int64_t m0 = blockIdx.x / p.tiles_n * TILE, n0 = blockIdx.x % p.tiles_n * TILE;
	int tx = threadIdx.x % 16, ty = threadIdx.x / 16;
	float acc[4][4] = {};

	for (int64_t k = 0; k < p.K; k += SLICE) {
		plain_load(as, p.a, p.am, p.ak, m0, p.M, k, p.K);
		plain_load(bs, p.b, p.bn, p.bk, n0, p.N, k, p.K);
		__syncthreads();
#pragma unroll
		for (int q = 0; q < SLICE; q++)
#pragma unroll
			for (int i = 0; i < 4; i++)
#pragma unroll
				for (int j = 0; j < 4; j++)
					acc[i][j] += as[q][ty + 16 * i] * bs[q][tx + 16 * j];
		__syncthreads();
	}
#pragma unroll
	for (int i = 0; i < 4; i++)
#pragma unroll
		for (int j = 0; j < 4; j++) {
			int64_t m = m0 + ty + 16 * i, n = n0 + tx + 16 * j;
			float x = acc[i][j];

			if (m >= p.M || n >= p.N)
				continue;
			if (p.bias)
				x += to_f(p.bias[n]);
			if (p.r)
				x += to_f(p.r[m * p.ldc + n]);
			if (p.add)
				x += stored(&c[m * p.ldc + n]);
			keep(&c[m * p.ldc + n], x);
		}
}

void
cuda_plain(struct gvk_stream *s, const struct product *p)
{
	struct plain g;
	unsigned blocks;

	g.M = p->M;
	g.N = p->N;
	g.K = p->K;
	g.a = p->a;
	g.b = p->b;
	g.bias = p->bias;
	g.r = p->r;
	g.am = p->kind == PRODUCT_TN ? 1 : p->lda;
	g.ak = p->kind == PRODUCT_TN ? p->lda : 1;
	g.bn = p->kind == PRODUCT_NT ? p->ldb : 1;
	g.bk = p->kind == PRODUCT_NT ? 1 : p->ldb;
	g.ldc = p->ldc;
	g.tiles_n = cuda_div_up(p->N, TILE);
	g.add = p->add;
	blocks = cuda_blocks(cuda_div_up(p->M, TILE) * g.tiles_n, 1);
	if (p->f32)
		CUDA_LAUNCH(s, product_plain, blocks, 256, 0, (float *)p->c, g);
	else
		CUDA_LAUNCH(s, product_plain, blocks, 256, 0, (bf16 *)p->c, g);
}
