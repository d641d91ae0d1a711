/* Products of 17 to 32 rows, z = x w^T: bound by reading w once.
 *
 *	cluster of 1 to 8 blocks = 32 NT rows of w; each block a slice of K
 *	block = 4 warps, each 8 NT rows of w and all rows of x
 *	stage = 64 columns of both, in units of 8 rows x 32 columns as mma's
 *	lanes want them (mma.cuh), so that no access conflicts with another
 *
 *	w, x -> STAGES - 1 stages ahead -> mma -> F32 tile in shared memory
 *	tiles of the cluster's blocks -> sum in order -> end
 *
 * The first stages of w are read before the kernel's predecessor has ended.  x
 * comes from L2 once a block, which is a quarter of w's bytes for NT = 4.
 * Clusters are for matrices of few rows: their size follows from N and K.
 *
 * H100, 2026-11-23, 32 rows: gate and up, 17920 x 1536, 28.5 us (64 % of 3.0
 * TB/s), 1536 x 8960 15.7 us, 2048 x 1536 7.1 us; cuBLASLt takes 22.7, 14.0 and
 * 5.3 us, but breaks the chain of kernels that start early.  At 64 rows (35, 23
 * and 9.5 us) a step of decoding is faster with cuBLASLt all the same.  Bound by
 * the latency of one warp a scheduler; the next rung is wgmma, with x multicast
 * to the blocks of a cluster, and then 64 rows.
 */
#include "mma.cuh"
#include "skinny.cuh"

#define WARPS   4
#define THREADS (WARPS * CUDA_WARP)
#define CHUNK   64 /* columns a stage */
#define STAGES  4
#define SHARE   8 /* most blocks of a cluster */

struct tile {
	struct product p;
	int share; /* blocks of a cluster */
	int slice; /* columns of a block: whole chunks */
};

/* 16 MT rows of x and 32 NT rows of w, in units. */
template <int MT, int NT> struct stage {
	uint4 x[2 * MT][2][CUDA_WARP], w[4 * NT][2][CUDA_WARP];
};

template <int MT, int NT> union shared {
	struct stage<MT, NT> stage[STAGES];
	float z[16 * MT][32 * NT + 4];
};

/* Row of w behind row j of the block's tile: of gated products, each warp has
 * 8 gates and the 8 rows that they gate.  -1: none. */
template <int NT>
static __device__ __forceinline__ int64_t
row_of(const struct product &p, int tile, int j)
{
	int64_t n;

	if (p.end != PRODUCT_GATED) {
		n = (int64_t)tile * (32 * NT) + j;
		return n < p.N ? n : -1;
	}
	n = (int64_t)tile * (16 * NT) + j / 16 * 8 + j % 8;
	return n >= p.N ? -1 : j % 16 < 8 ? n : p.N + n;
}

/* Where a thread copies from: unit i of a stage is rows 8 (i / 2).. and columns
 * 32 (i % 2)..; warp w copies the units w, w + 4, ... */
template <int MT, int NT> struct reader {
	const bf16 *x[MT], *w[2 * NT];
	bool in_x[MT], in_w[2 * NT];
	int k, end;
};

template <int MT, int NT>
static __device__ __forceinline__ void
read_w(const struct reader<MT, NT> &r, struct stage<MT, NT> &to, int k)
{
	const int lane = threadIdx.x % CUDA_WARP, warp = threadIdx.x / CUDA_WARP;
	const bool in = k < r.end;

#pragma unroll
	for (int i = 0; i < 2 * NT; i++)
		copy_past(&to.w[0][0][lane] + (i * WARPS + warp) * CUDA_WARP, r.w[i] + (in ? k : 0),
		    in && r.in_w[i]);
}

template <int MT, int NT>
static __device__ __forceinline__ void
read_x(const struct reader<MT, NT> &r, struct stage<MT, NT> &to, int k)
{
	const int lane = threadIdx.x % CUDA_WARP, warp = threadIdx.x / CUDA_WARP;
	const bool in = k < r.end;

#pragma unroll
	for (int i = 0; i < MT; i++)
		copy_past(&to.x[0][0][lane] + (i * WARPS + warp) * CUDA_WARP, r.x[i] + (in ? k : 0),
		    in && r.in_x[i]);
	copy_commit();
}

template <int MT, int NT>
static __device__ __forceinline__ struct reader<MT, NT>
reader_of(const struct tile &t, int tile, int rank) {
	const struct product &p = t.p;
	const int lane = threadIdx.x % CUDA_WARP, warp = threadIdx.x / CUDA_WARP;
	struct reader<MT, NT> r;

	r.k = rank * t.slice + warp % 2 * 32 + lane % 4 * 8;
	r.end = min((int)p.K, (rank + 1) * t.slice);
#pragma unroll
	for (int i = 0; i < 2 * NT; i++) {
		int64_t n = row_of<NT>(p, tile, (i * WARPS + warp) / 2 * 8 + lane / 4);

		r.in_w[i] = n >= 0;
		r.w[i] = p.b + (n >= 0 ? n * p.ldb : 0);
	}
#pragma unroll
	for (int i = 0; i < MT; i++) {
		int64_t m = (i * WARPS + warp) / 2 * 8 + lane / 4;

		r.in_x[i] = m < p.M;
		r.x[i] = p.a + (m < p.M ? m * p.lda : 0);
	}
	return r;
}

/* A warp's 8 NT columns of z. */
template <int MT, int NT>
static __device__ __forceinline__ void
multiply(float (&z)[MT][NT][4], const struct stage<MT, NT> &s)
{
	const int lane = threadIdx.x % CUDA_WARP, warp = threadIdx.x / CUDA_WARP;

#pragma unroll
	for (int c = 0; c < 2; c++) {
		uint4 w[NT];

#pragma unroll
		for (int b = 0; b < NT; b++)
			w[b] = s.w[NT * warp + b][c][lane];
#pragma unroll
		for (int m = 0; m < MT; m++) {
			const uint4 lo = s.x[2 * m][c][lane], hi = s.x[2 * m + 1][c][lane];

#pragma unroll
			for (int b = 0; b < NT; b++)
				mma32(z[m][b], lo, hi, w[b]);
		}
	}
}

template <int MT, int NT>
static __device__ __forceinline__ void
put(float (*to)[32 * NT + 4], const float (&z)[MT][NT][4])
{
	const int lane = threadIdx.x % CUDA_WARP, warp = threadIdx.x / CUDA_WARP;
	const int col = warp * (8 * NT) + lane % 4 * 2;

#pragma unroll
	for (int m = 0; m < MT; m++)
#pragma unroll
		for (int b = 0; b < NT; b++)
#pragma unroll
			for (int h = 0; h < 2; h++)
				*reinterpret_cast<float2 *>(
				    &to[16 * m + 8 * h + lane / 4][col + 8 * b]) =
				    make_float2(z[m][b][2 * h], z[m][b][2 * h + 1]);
}

/* All threads of all blocks of a cluster. */
static __device__ __forceinline__ void
cluster_sync(int share)
{
#if __CUDA_ARCH__ >= 900
	if (share > 1) {
		asm volatile("barrier.cluster.arrive.release;\n"
			     "barrier.cluster.wait.acquire;" ::
				 : "memory");
		return;
	}
#endif
	(void)share;
	__syncthreads();
}

/* The sum over the cluster's blocks of *z, block by block. */
static __device__ __forceinline__ float
sum_blocks(const float *z, int share)
{
#if __CUDA_ARCH__ >= 900
	float x[SHARE], sum = 0;

	if (share == 1)
		return *z;
#pragma unroll
	for (int i = 0; i < SHARE; i++)
		if (i < share)
			asm volatile("{\n"
				     ".reg .b32 there;\n"
				     "mapa.shared::cluster.u32 there, %1, %2;\n"
				     "ld.shared::cluster.f32 %0, [there];\n"
				     "}"
				     : "=f"(x[i])
				     : "r"((unsigned)__cvta_generic_to_shared(z)), "r"(i)
				     : "memory");
#pragma unroll
	for (int i = 0; i < SHARE; i++)
		sum += i < share ? x[i] : 0.f;
	return sum;
#else
	(void)share;
	return *z;
#endif
}

/* Block `rank` of the cluster ends the rows rank, rank + share, ... */
template <int NT>
static __device__ __forceinline__ void
finish(const struct tile &t, const float (*z)[32 * NT + 4], int tile, int rank)
{
	const bool gated = t.p.end == PRODUCT_GATED;
	const int cols = gated ? 16 * NT : 32 * NT, j = threadIdx.x % cols;
	const int at = gated ? j / 8 * 16 + j % 8 : j, step = THREADS / cols * t.share;

#pragma unroll 2
	for (int m = rank + threadIdx.x / cols * t.share; m < (int)t.p.M; m += step) {
		const struct ending e = ending_at(t.p, m, (int64_t)tile * cols + j, true);
		const float x = sum_blocks(&z[m][at], t.share);

		if (!e.in)
			continue;
		if (gated)
			end_gated(t.p, e, x, sum_blocks(&z[m][at + 8], t.share));
		else
			end_plain(t.p, e, x);
	}
}

template <int MT, int NT>
static __global__ void
__launch_bounds__(THREADS, 2) skinny_tile(const __grid_constant__ struct tile t)
{
	extern __shared__ uint4 smem[];
	union shared<MT, NT> &s = *reinterpret_cast<union shared<MT, NT> *>(smem);
	const int rank = blockIdx.x % t.share, tile = blockIdx.x / t.share;
	const int begin = rank * t.slice;
	const int left = (int)t.p.K - begin;
	const int k = left < t.slice ? left : t.slice; /* may be 0 or less */
	struct reader<MT, NT> r = reader_of<MT, NT>(t, tile, rank);
	float z[MT][NT][4] = {};

#pragma unroll
	for (int i = 0; i < STAGES - 1; i++)
		read_w<MT, NT>(r, s.stage[i], r.k + i * CHUNK);
	cuda_follow();
	cuda_lead();
#pragma unroll
	for (int i = 0; i < STAGES - 1; i++)
		read_x<MT, NT>(r, s.stage[i], r.k + i * CHUNK);
	for (int i = 0; i * CHUNK < k; i++) {
		const int ahead = i + STAGES - 1;

		copy_wait<STAGES - 2>();
		__syncthreads(); /* stage i is there, and stage i - 1 has been read */
		read_w<MT, NT>(r, s.stage[ahead % STAGES], r.k + ahead * CHUNK);
		read_x<MT, NT>(r, s.stage[ahead % STAGES], r.k + ahead * CHUNK);
		multiply<MT, NT>(z, s.stage[i % STAGES]);
	}
	copy_wait<0>();
	__syncthreads(); /* the tile lies where stages were */
	put<MT, NT>(s.z, z);
	cluster_sync(t.share);
	finish<NT>(t, s.z, tile, rank);
	if (t.share > 1)
		cluster_sync(t.share); /* others may still read this one's */
}

template <int MT, int NT>
static void
launch(struct gvk_stream *s, const struct tile &t, int64_t tiles)
{
	struct cuda_stream *c = (struct cuda_stream *)s->priv;
	cudaLaunchAttribute attr[2] = {};
	cudaLaunchConfig_t to = {};

	attr[0].id = cudaLaunchAttributeClusterDimension;
	attr[0].val.clusterDim.x = (unsigned)t.share;
	attr[0].val.clusterDim.y = 1;
	attr[0].val.clusterDim.z = 1;
	attr[1].id = cudaLaunchAttributeProgrammaticStreamSerialization;
	attr[1].val.programmaticStreamSerializationAllowed = 1;
	to.gridDim = dim3(cuda_blocks(tiles * t.share, 1));
	to.blockDim = dim3(THREADS);
	to.dynamicSmemBytes = sizeof(union shared<MT, NT>);
	to.stream = c->st;
	to.attrs = attr;
	to.numAttrs = c->dev->sm < 90 ? 0 : c->soon ? 2 : 1;
	c->soon = true;
	if (CUDA_SMEM(s, (skinny_tile<MT, NT>), (sizeof(union shared<MT, NT>))))
		cuda_ok(s, cudaLaunchKernelEx(&to, skinny_tile<MT, NT>, t), "skinny_tile");
}

template <int NT>
static void
launch_for(struct gvk_stream *s, struct tile *t, bool clusters)
{
	const struct product *p = &t->p;
	const int64_t rows = p->end == PRODUCT_GATED ? 2 * p->N : p->N;
	const int64_t tiles = cuda_div_up(rows, 32 * NT);

	t->share = 1;
	while (
	    clusters && t->share < SHARE && tiles * t->share < 100 && p->K >= 2 * CHUNK * t->share)
		t->share *= 2;
	t->slice = (int)cuda_div_up(p->K, (int64_t)CHUNK * t->share) * CHUNK;
	launch<2, NT>(s, *t, tiles);
}

void
cuda_skinny_tile(struct gvk_stream *s, const struct product *p)
{
	struct cuda_stream *c = (struct cuda_stream *)s->priv;
	struct tile t;

	t.p = *p;
	if (p->N >= 8192)
		launch_for<4>(s, &t, c->dev->sm >= 90);
	else
		launch_for<2>(s, &t, c->dev->sm >= 90);
}
