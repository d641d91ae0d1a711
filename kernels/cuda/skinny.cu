/* Products with up to 16 rows, z = x w^T: bound by reading w once.
 *
 *	block = 8 warps; tiles of 8 NB rows of w, one after the other
 *	warp: every eighth chunk of 32 columns; a lane reads 16 bytes a row, and
 *	reads back from shared memory what it has copied there itself
 *	mma m16n8k16 (mma.cuh): a = rows of x, b = rows of w
 *
 *	w, past L1 -> ring, DEPTH steps ahead \
 *	x, through L1 -> ring ----------------- mma -> parts of 8 warps -> end
 *
 * Each lane owns its places in the ring, so that no barrier is needed but the
 * one for the parts.  At any time a block has 48 KB of w on their way, also
 * while it ends a tile, and two blocks are on a multiprocessor.  The first
 * steps of w are read before the kernel's predecessor has ended.
 *
 * With a norm before the product (cuda_skinny_norm) each block normalises x
 * itself while its first rows of w are on their way, and keeps all of it: that
 * costs less than the start of another kernel.
 *
 * A result depends on its row of x and on w alone: whatever M is, chunk i of a
 * warp follows chunk i - 1, and the parts are added from warp 0 to warp 7.
 *
 * H100, 2026-11-23, share of 3.0 TB/s with 1, 8 and 16 rows: 151936 x 1536 94,
 * 91 and 88 %; gate and up, 17920 x 1536, 92, 88 and 82 %; 1536 x 8960 71, 62
 * and 58 %; 2048 x 1536 takes 3.9 to 6.1 us, of which 2.1 are reading.
 */
#include "mma.cuh"
#include "skinny.cuh"

#define WARPS   8
#define THREADS (WARPS * CUDA_WARP)
#define CHUNK   32 /* columns a warp takes at once */
#define STEP    (WARPS * CHUNK) /* columns a block takes at once */

#define NORM_CHUNKS 8 /* of 256 columns: the widest row that is normalised */

struct skinny {
	struct product p;
	const bf16 *norm; /* or NULL */
	float eps;
	int tiles, end; /* end: K rounded up to whole steps */
	int stride; /* columns of all blocks' tiles */
};

/* With a norm all of x lies behind it: (chunks, MB, lanes). */
template <int MB, int NB, int DEPTH, bool NORM> struct shared {
	uint4 ring[WARPS][DEPTH][NORM ? NB : NB + MB][CUDA_WARP]; /* w, then x */
	float part[2][WARPS][8 * MB][8 * NB]; /* of a tile, and of the next */
};

/* The column that a thread ends of a tile. */
template <int MB, int NB>
static __device__ __forceinline__ struct ending
ending_of(const struct product &p, int tile)
{
	const int cols = p.end == PRODUCT_GATED ? 4 * NB : 8 * NB, m = threadIdx.x / cols;

	return ending_at(p, m, (int64_t)tile * cols + threadIdx.x % cols, m < 8 * MB);
}

template <int COLS, int ROWS>
static __device__ __forceinline__ float
sum_parts(const float (*part)[ROWS][COLS], int m, int n)
{
	float z = part[0][m][n];

#pragma unroll
	for (int w = 1; w < WARPS; w++)
		z += part[w][m][n];
	return z;
}

template <int MB, int NB>
static __device__ __forceinline__ void
finish(const struct product &p, const struct ending &e, const float (*part)[8 * MB][8 * NB])
{
	const int cols = p.end == PRODUCT_GATED ? 4 * NB : 8 * NB;
	const int m = (int)e.m, j = threadIdx.x % cols;

	if (!e.in)
		return;
	if (p.end == PRODUCT_GATED)
		end_gated(p, e, sum_parts(part, m, j), sum_parts(part, m, 4 * NB + j));
	else
		end_plain(p, e, sum_parts(part, m, j));
}

/* Where a lane reads w: its rows' columns k, for the tile that is read. */
template <int NB> struct reader {
	const bf16 *w[NB];
	int n[NB], k; /* behind N or K there is nothing */
};

template <int NB>
static __device__ __forceinline__ struct reader<NB>
reader_of(const struct product &p, int k0) {
	const int cols = p.end == PRODUCT_GATED ? 4 * NB : 8 * NB;
	struct reader<NB> r;

	r.k = k0;
#pragma unroll
	for (int b = 0; b < NB; b++) {
		int j = b * 8 + threadIdx.x % CUDA_WARP / 4;
		int64_t half = j < cols ? 0 : p.N;

		r.n[b] = (int)blockIdx.x * cols + j % cols;
		r.w[b] = p.b + (half + r.n[b]) * p.ldb;
	}
	return r;
}

/* Queues the copies of one step of w, and goes to the next one. */
template <int NB>
static __device__ __forceinline__ void
read_w(struct reader<NB> &r, const struct skinny &s, uint4 *to, int k0)
{
	const struct product &p = s.p;

#pragma unroll
	for (int b = 0; b < NB; b++) {
		bool in = r.k < p.K && r.n[b] < p.N;

		copy_past(to + b * CUDA_WARP, in ? r.w[b] + r.k : p.b, in);
	}
	r.k += STEP;
	if (r.k < s.end)
		return;
	r.k = k0;
#pragma unroll
	for (int b = 0; b < NB; b++) {
		r.n[b] += s.stride;
		r.w[b] += s.stride * p.ldb;
	}
}

/* Queues the copies of the columns k of x; a row behind the last is the last
 * one. */
template <int MB>
static __device__ __forceinline__ void
read_x(const struct product &p, uint4 *to, int k)
{
	const int row = threadIdx.x % CUDA_WARP / 4;

#pragma unroll
	for (int a = 0; a < MB; a++) {
		int64_t m = a * 8 + row < p.M ? a * 8 + row : p.M - 1;

		copy_through(to + a * CUDA_WARP, p.a + m * p.lda + (k < p.K ? k : 0), k < p.K);
	}
}

/* A lane's share of a row: chunks of 8 columns. */
static __device__ __forceinline__ void
read_row(uint4 (&v)[NORM_CHUNKS], const bf16 *row, int K)
{
#pragma unroll
	for (int i = 0; i < NORM_CHUNKS; i++) {
		int k = (i * CUDA_WARP + threadIdx.x % CUDA_WARP) * 8;

		v[i] = make_uint4(0, 0, 0, 0);
		if (k < K)
			v[i] = *reinterpret_cast<const uint4 *>(row + k);
	}
}

/* Rows of x, normalised and rounded as gvk_rmsnorm does, where mma's lanes find
 * them.  A warp has every eighth row. */
template <int MB>
static __device__ __forceinline__ void
normalise(uint4 *to, const struct skinny &s, const uint4 (&w)[NORM_CHUNKS])
{
	const int lane = threadIdx.x % CUDA_WARP, warp = threadIdx.x / CUDA_WARP;
	const int K = (int)s.p.K;

#pragma unroll
	for (int a = 0; a < MB; a++) {
		const int m = a * 8 + warp;
		uint4 v[NORM_CHUNKS];
		float f[8], g[8], sum = 0, rstd;

		if (m >= s.p.M)
			break;
		read_row(v, s.p.a + m * s.p.lda, K);
#pragma unroll
		for (int i = 0; i < NORM_CHUNKS; i++) {
			load8(f, reinterpret_cast<const bf16 *>(&v[i]));
#pragma unroll
			for (int j = 0; j < 8; j++)
				sum += f[j] * f[j];
		}
		rstd = rsqrtf(warp_sum(sum) / (float)K + s.eps);
#pragma unroll
		for (int i = 0; i < NORM_CHUNKS; i++) {
			const int at = i * CUDA_WARP + lane;

			if (at * 8 >= K)
				continue;
			load8(f, reinterpret_cast<const bf16 *>(&v[i]));
			load8(g, reinterpret_cast<const bf16 *>(&w[i]));
#pragma unroll
			for (int j = 0; j < 8; j++)
				f[j] *= rstd * g[j];
			to[(at / 4 * MB + a) * CUDA_WARP + warp * 4 + at % 4] =
			    make_uint4(pack2(f[0], f[1]), pack2(f[2], f[3]), pack2(f[4], f[5]),
				pack2(f[6], f[7]));
		}
	}
	__syncthreads();
}

template <int MB, int NB, int DEPTH, bool NORM>
static __global__ void
__launch_bounds__(THREADS) skinny(const __grid_constant__ struct skinny s)
{
	extern __shared__ uint4 smem[];
	constexpr int SLOT = (NORM ? NB : NB + MB) * CUDA_WARP;
	struct shared<MB, NB, DEPTH, NORM> &m =
	    *reinterpret_cast<struct shared<MB, NB, DEPTH, NORM> *>(smem);
	const struct product &p = s.p;
	const int lane = threadIdx.x % CUDA_WARP, warp = threadIdx.x / CUDA_WARP;
	const int k0 = warp * CHUNK + lane % 4 * 8;
	uint4 *mine = &m.ring[warp][0][0][lane], *x = reinterpret_cast<uint4 *>(&m + 1);
	struct reader<NB> r = reader_of<NB>(p, k0);
	int flip = 0, slot = 0;

#pragma unroll 1
	for (int d = 0; d < DEPTH; d++) {
		read_w<NB>(r, s, mine + d * SLOT, k0);
		if (NORM)
			copy_commit();
	}
	if constexpr (NORM) {
		uint4 w[NORM_CHUNKS];

		read_row(w, s.norm, (int)p.K);
		cuda_follow();
		cuda_lead();
		normalise<MB>(x, s, w);
	} else {
		cuda_follow();
		cuda_lead();
#pragma unroll 1
		for (int d = 0, k = k0; d < DEPTH; d++) {
			read_x<MB>(p, mine + d * SLOT + NB * CUDA_WARP, k);
			copy_commit();
			k = k + STEP < s.end ? k + STEP : k0;
		}
	}
	for (int tile = blockIdx.x; tile < s.tiles; tile += gridDim.x, flip ^= 1) {
		const struct ending e = ending_of<MB, NB>(p, tile);
		float z[NB][4] = {};

		for (int k = 0; k < s.end; k += STEP) {
			uint4 v[2] = {}, *from = mine + slot * SLOT;
			const int then = r.k;

			copy_wait<DEPTH - 1>();
#pragma unroll
			for (int a = 0; a < MB; a++) {
				if (!NORM)
					v[a] = from[(NB + a) * CUDA_WARP];
				else if (k0 + k < p.K)
					v[a] = x[((k / CHUNK + warp) * MB + a) * CUDA_WARP + lane];
			}
#pragma unroll
			for (int b = 0; b < NB; b++)
				mma32(z[b], v[0], v[1], from[b * CUDA_WARP]);
			read_w<NB>(r, s, from, k0);
			if (!NORM)
				read_x<MB>(p, from + NB * CUDA_WARP, then);
			copy_commit();
			slot = slot + 1 == DEPTH ? 0 : slot + 1;
		}
#pragma unroll
		for (int b = 0; b < NB; b++)
#pragma unroll
			for (int a = 0; a < MB; a++)
				*reinterpret_cast<float2 *>(
				    &m.part[flip][warp][a * 8 + lane / 4][b * 8 + lane % 4 * 2]) =
				    make_float2(z[b][2 * a], z[b][2 * a + 1]);
		__syncthreads();
		finish<MB, NB>(p, e, m.part[flip]);
	}
}

template <int MB, int NB, int DEPTH, bool NORM>
static void
launch(struct gvk_stream *s, struct skinny *k)
{
	const struct cuda_stream *c = (struct cuda_stream *)s->priv;
	const int cols = (k->p.end == PRODUCT_GATED ? 4 : 8) * NB;
	const size_t x_bytes = NORM ? (size_t)(k->end / CHUNK * MB) * CUDA_WARP * sizeof(uint4) : 0;
	const size_t bytes = sizeof(struct shared<MB, NB, DEPTH, NORM>) + x_bytes;
	unsigned blocks;

	k->tiles = (int)cuda_div_up(k->p.N, cols);
	blocks = (unsigned)cuda_min(k->tiles, 2 * c->dev->processors);
	k->stride = (int)blocks * cols;
	if (CUDA_SMEM(s, (skinny<MB, NB, DEPTH, NORM>), bytes))
		CUDA_LAUNCH_SOON(s, (skinny<MB, NB, DEPTH, NORM>), blocks, THREADS, bytes, *k);
}

static bool
fits(const struct product *p, int most)
{
	return p->kind == PRODUCT_NT && !p->add && p->M <= most && p->K % 8 == 0 &&
	       cuda_vec8(p->a, p->lda) && cuda_vec8(p->b, p->ldb) && p->N <= INT32_MAX / 4 &&
	       p->K <= INT32_MAX / 4 &&
	       (p->end == PRODUCT_PLAIN || p->end == PRODUCT_ACT || p->end == PRODUCT_GATED);
}

bool
cuda_skinny(struct gvk_stream *s, const struct product *p)
{
	const bool wide = p->N >= (p->end == PRODUCT_GATED ? 4096 : 8192);
	struct skinny k;

	cuda_of(s);
	if (!fits(p, p->f32 ? 16 : 32))
		return false;
	k.p = *p;
	k.norm = NULL;
	k.eps = 0;
	k.end = (int)cuda_div_up(p->K, STEP) * STEP;
	if (p->M > 16)
		cuda_skinny_tile(s, p);
	else if (p->M > 8 && wide)
		launch<2, 2, 5, false>(s, &k);
	else if (p->M > 8)
		launch<2, 1, 6, false>(s, &k);
	else if (wide)
		launch<1, 2, 6, false>(s, &k);
	else if (p->K > 2048)
		launch<1, 1, 12, false>(s, &k);
	else
		launch<1, 1, 6, false>(s, &k);
	return true;
}

bool
cuda_skinny_norm(struct gvk_stream *s, const struct product *p, const bf16 *w, float eps)
{
	struct skinny k;

	cuda_of(s);
	if (!fits(p, 8) || p->K > NORM_CHUNKS * 8 * CUDA_WARP || !cuda_vec8(w, 0))
		return false;
	k.p = *p;
	k.norm = w;
	k.eps = eps;
	k.end = (int)cuda_div_up(p->K, STEP) * STEP;
	if (p->N >= (p->end == PRODUCT_GATED ? 4096 : 8192))
		launch<1, 2, 6, true>(s, &k);
	else
		launch<1, 1, 6, true>(s, &k);
	return true;
}
