/* Attention of a few queries a sequence against many keys, as in decoding.
 *
 *	cluster of 1 to 8 blocks = (sequence, key/value head, 16 pairs of query
 *	row and head); block = 4 warps
 *	warp: every (4 x blocks)-th group of 16 keys, read once, from global
 *	memory straight into the registers that mma wants:
 *	    S (16 pairs, 16 keys) = Q K^T -> running maximum -> P -> O += P V
 *	o, maximum and sum of 4 warps -> shared memory -> the block's
 *	of all blocks -> over the cluster's shared memory -> o / sum
 *
 * Bound by reading keys and values, 4 D bytes a key and head, and for short
 * contexts by latency: one trip for Q and the lengths, one for K and V.  A warp
 * has 8 KB on their way, and asks for the next keys when it has multiplied
 * these; a block 32 KB, a multiprocessor two blocks.  A lane reads 16 bytes of a row: of K, columns
 * 8 t..8 t + 7 of row r (mma.cuh); of V, columns 8 r.. of the rows 2 t, 2 t + 1,
 * 2 t + 8, 2 t + 9, from which pairs of keys are made by byte permutation.
 *
 * A result depends on its sequence alone and on the number of blocks that
 * share a sequence, which follows from S, G and the longest sequence.  P is
 * rounded to bf16, its sum is not.
 *
 * Next rung: samples that share a prefix read it once from L2 as well, not
 * only from memory; more than 8 blocks a sequence, merged by a second kernel,
 * for one long context.
 */
#include "attention.cuh"
#include "attention_ways.cuh"
#include "mma.cuh"

#define WARPS 4
#define THREADS (WARPS * CUDA_WARP)
#define ROWS 16 /* pairs of a block */
#define KEYS 16 /* of a warp's step */
#define SHARE 8 /* most blocks of a cluster */

struct few {
	bf16 *o;
	float *lse; /* or NULL */
	const bf16 *q, *k, *v;
	struct gvk_attn a;
	int hg, tiles; /* heads a group; blocks of ROWS pairs a sequence */
	int share;     /* blocks of a cluster */
	float scale2;  /* scale in powers of two */
};

/* What a block works on. */
struct place {
	int64_t s, g;
	int first, n;	/* pairs first .. first + n - 1 */
	int q0, nq;
	int keys; /* that the last pair sees, prefix first */
	struct attn_range prefix, own;
};

/* What came out for 16 pairs; sums and products are relative to exp2(max). */
template <int C> struct part {
	float o[ROWS][32 * C + 4];
	float2 max_sum[ROWS];
};

template <int C> struct shared {
	struct part<C> warp[WARPS], block;
};

static __device__ __forceinline__ uint4
read16(const bf16 *p, bool in)
{
	return in ? *reinterpret_cast<const uint4 *>(p) : make_uint4(0, 0, 0, 0);
}

/* The row of key j. */
static __device__ __forceinline__ int64_t
key_row(const struct place &b, int j)
{
	return j < b.prefix.n ? b.prefix.at + j : b.own.at + (j - b.prefix.n);
}

/* Keys that a pair sees. */
static __device__ __forceinline__ int
seen_by(const struct few &f, const struct place &b, int pair)
{
	return b.prefix.n + attn_seen(f.a.causal, pair / f.hg, b.nq, b.own.n);
}

static __device__ __forceinline__ struct place
place_of(const struct few &f)
{
	int64_t at = blockIdx.x / f.share;
	struct place b;

	b.first = (int)(at % f.tiles) * ROWS;
	at /= f.tiles;
	b.g = at % f.a.G;
	b.s = at / f.a.G;
	b.q0 = f.a.q_at[b.s];
	b.nq = f.a.q_at[b.s + 1] - b.q0;
	b.own = attn_own(f.a, b.s);
	b.prefix = {0, 0};
	if (f.a.p_len)
		b.prefix = {f.a.p_at[b.s], f.a.p_len[b.s]}; /* at once, not in turn */
	b.n = b.nq * f.hg - b.first;
	b.n = b.n < ROWS ? b.n : ROWS;
	b.keys = b.n > 0 ? seen_by(f, b, b.first + b.n - 1) : 0;
	return b;
}

/* Where the head of a pair is in a tensor of query rows. */
static __device__ __forceinline__ int64_t
pair_at(const struct few &f, const struct place &b, int pair, int64_t ld)
{
	return (b.q0 + pair / f.hg) * ld + (b.g * f.hg + pair % f.hg) * f.a.D;
}

template <int C>
static __device__ __forceinline__ void
read_q(uint4 (&q)[2][C], const struct few &f, const struct place &b)
{
	const int lane = threadIdx.x % CUDA_WARP;

#pragma unroll
	for (int h = 0; h < 2; h++) {
		const int r = lane / 4 + 8 * h;
		const bf16 *p = f.q + pair_at(f, b, b.first + (r < b.n ? r : 0), f.a.ldq);

#pragma unroll
		for (int c = 0; c < C; c++) {
			const int d = 32 * c + lane % 4 * 8;

			q[h][c] = read16(p + d, r < b.n && d < f.a.D);
		}
	}
}

template <int C>
static __device__ __forceinline__ void
read_k(uint4 (&k)[2][C], const struct few &f, const struct place &b, int j)
{
	const int lane = threadIdx.x % CUDA_WARP;

#pragma unroll
	for (int h = 0; h < 2; h++) {
		const int key = j + lane / 4 + 8 * h;
		const bf16 *p = f.k + key_row(b, key) * f.a.ldk + b.g * f.a.D;

#pragma unroll
		for (int c = 0; c < C; c++) {
			const int d = 32 * c + lane % 4 * 8;

			k[h][c] = read16(p + d, key < b.keys && d < f.a.D);
		}
	}
}

/* Of the keys 2t, 2t + 1, 2t + 8, 2t + 9. */
template <int C>
static __device__ __forceinline__ void
read_v(uint4 (&v)[4][(C + 1) / 2], const struct few &f, const struct place &b, int j)
{
	const int lane = threadIdx.x % CUDA_WARP;

#pragma unroll
	for (int i = 0; i < 4; i++) {
		const int key = j + lane % 4 * 2 + i % 2 + i / 2 * 8;
		const bf16 *p = f.v + key_row(b, key) * f.a.ldv + b.g * f.a.D;

#pragma unroll
		for (int c = 0; c < (C + 1) / 2; c++) {
			const int d = 64 * c + lane / 4 * 8;

			v[i][c] = read16(p + d, key < b.keys && d < f.a.D);
		}
	}
}

/* The scores of two tiles of 8 keys from j on become P in bf16, as mma's a;
 * max and sum move along.  Returns by what to multiply what has been summed. */
static __device__ __forceinline__ void
softmax(unsigned (&p)[4], float (&f)[2], const float (&z)[2][4], float (&max)[2], float (&sum)[2],
    const int (&seen)[2], int j, float scale2)
{
	const int t = threadIdx.x % 4;

#pragma unroll
	for (int h = 0; h < 2; h++) {
		float x[4], m = max[h], base;

#pragma unroll
		for (int i = 0; i < 4; i++) {
			bool in = j + i / 2 * 8 + 2 * t + i % 2 < seen[h];

			x[i] = in ? z[i / 2][2 * h + i % 2] * scale2 : -INFINITY;
			m = fmaxf(m, x[i]);
		}
		m = fmaxf(m, __shfl_xor_sync(CUDA_ALL, m, 1));
		m = fmaxf(m, __shfl_xor_sync(CUDA_ALL, m, 2));
		base = m > -INFINITY ? m : 0.f; /* nothing seen: exp2 = 0 */
		f[h] = exp2f(max[h] - base);
		max[h] = m;
		sum[h] *= f[h];
#pragma unroll
		for (int i = 0; i < 2; i++) {
			const float lo = exp2f(x[2 * i] - base), hi = exp2f(x[2 * i + 1] - base);

			p[2 * i + h] = pack2(lo, hi);
			sum[h] += lo + hi;
		}
	}
}

/* O (16, 64 a group) += P (16,16) V (16 keys, 64): column 8 r + i of a group
 * is column r of tile i. */
template <int V>
static __device__ __forceinline__ void
times_v(float (&o)[V][8][4], const unsigned (&p)[4], const uint4 (&v)[4][V])
{
#pragma unroll
	for (int c = 0; c < V; c++) {
		const unsigned w[4][4] = {{v[0][c].x, v[0][c].y, v[0][c].z, v[0][c].w},
		    {v[1][c].x, v[1][c].y, v[1][c].z, v[1][c].w},
		    {v[2][c].x, v[2][c].y, v[2][c].z, v[2][c].w},
		    {v[3][c].x, v[3][c].y, v[3][c].z, v[3][c].w}};

#pragma unroll
		for (int i = 0; i < 8; i++) {
			const unsigned pick = i % 2 ? 0x7632 : 0x5410;

			mma16(o[c][i], p[0], p[1], p[2], p[3],
			    __byte_perm(w[0][i / 2], w[1][i / 2], pick),
			    __byte_perm(w[2][i / 2], w[3][i / 2], pick));
		}
	}
}

/* A warp's share of the keys. */
template <int C>
static __device__ __forceinline__ void
attend(struct part<C> &to, const struct few &f, const struct place &b, int worker, int workers)
{
	constexpr int V = (C + 1) / 2;
	const int lane = threadIdx.x % CUDA_WARP, r = lane / 4, t = lane % 4;
	float o[V][8][4] = {}, max[2] = {-INFINITY, -INFINITY}, sum[2] = {};
	uint4 q[2][C], k[2][C], v[4][V];
	int seen[2], j = worker * KEYS;

#pragma unroll
	for (int h = 0; h < 2; h++)
		seen[h] = r + 8 * h < b.n ? seen_by(f, b, b.first + r + 8 * h) : 0;
	read_q<C>(q, f, b);
	read_k<C>(k, f, b, j);
	read_v<C>(v, f, b, j);
	for (; j < b.keys; j += workers * KEYS) {
		float z[2][4] = {}, by[2];
		unsigned p[4];

#pragma unroll
		for (int h = 0; h < 2; h++)
#pragma unroll
			for (int c = 0; c < C; c++)
				mma32(z[h], q[0][c], q[1][c], k[h][c]);
		read_k<C>(k, f, b, j + workers * KEYS);
		softmax(p, by, z, max, sum, seen, j, f.scale2);
#pragma unroll
		for (int c = 0; c < V; c++)
#pragma unroll
			for (int i = 0; i < 8; i++)
#pragma unroll
				for (int e = 0; e < 4; e++)
					o[c][i][e] *= by[e / 2];
		times_v<V>(o, p, v);
		read_v<C>(v, f, b, j + workers * KEYS);
	}
#pragma unroll
	for (int h = 0; h < 2; h++) {
		float *row = to.o[r + 8 * h];

		sum[h] += __shfl_xor_sync(CUDA_ALL, sum[h], 1);
		sum[h] += __shfl_xor_sync(CUDA_ALL, sum[h], 2);
		if (r + 8 * h >= b.n)
			continue;
		if (t == 0)
			to.max_sum[r + 8 * h] = make_float2(max[h], sum[h]);
#pragma unroll
		for (int c = 0; c < V; c++)
#pragma unroll
			for (int e = 0; e < 2; e++) {
				const int d = 64 * c + 16 * t + 8 * e;

				if (d >= 32 * C)
					continue;
#pragma unroll
				for (int i = 0; i < 8; i += 4)
					*reinterpret_cast<float4 *>(row + d + i) =
					    make_float4(o[c][i][2 * h + e], o[c][i + 1][2 * h + e],
						o[c][i + 2][2 * h + e], o[c][i + 3][2 * h + e]);
			}
	}
}

/* Four numbers of a row of products, summed over parts with their maxima. */
struct sum4 {
	float max, sum;
	float4 o;
};

/* Parts 0 .. n - 1, n <= MOST, in this order; the part w comes from get(w). */
template <int MOST, class Get>
static __device__ __forceinline__ struct sum4
merge(int n, Get get)
{
	struct sum4 part[MOST], all = {-INFINITY, 0, make_float4(0, 0, 0, 0)};
	float base;

#pragma unroll
	for (int w = 0; w < MOST; w++) {
		part[w].max = -INFINITY;
		if (w < n)
			part[w] = get(w);
		all.max = fmaxf(all.max, part[w].max);
	}
	base = all.max > -INFINITY ? all.max : 0.f; /* no keys: exp2 = 0 */
#pragma unroll
	for (int w = 0; w < MOST; w++) {
		float by = exp2f(part[w].max - base);

		if (w >= n)
			continue;
		all.sum += by * part[w].sum;
		all.o.x += by * part[w].o.x;
		all.o.y += by * part[w].o.y;
		all.o.z += by * part[w].o.z;
		all.o.w += by * part[w].o.w;
	}
	return all;
}

/* The warps' parts become the block's. */
template <int C>
static __device__ __forceinline__ void
merge_warps(struct shared<C> &m, const struct few &f, const struct place &b)
{
	const int fours = f.a.D / 4;

	for (int i = threadIdx.x; i < b.n * fours; i += THREADS) {
		const int r = i / fours, d = (i - r * fours) * 4;
		struct sum4 x = merge<WARPS>(WARPS, [&](int w) {
			float2 ms = m.warp[w].max_sum[r];

			return sum4{ms.x, ms.y,
			    *reinterpret_cast<const float4 *>(&m.warp[w].o[r][d])};
		});

		*reinterpret_cast<float4 *>(&m.block.o[r][d]) = x.o;
		if (d == 0)
			m.block.max_sum[r] = make_float2(x.max, x.sum);
	}
}

/* *o and *ms of the block `rank` of this cluster. */
static __device__ __forceinline__ struct sum4
of_block(const float *o, const float2 *ms, int rank)
{
	struct sum4 x;

#if __CUDA_ARCH__ >= 900
	asm volatile("{\n"
		     ".reg .b32 o, ms;\n"
		     "mapa.shared::cluster.u32 o, %6, %8;\n"
		     "mapa.shared::cluster.u32 ms, %7, %8;\n"
		     "ld.shared::cluster.v4.f32 {%0, %1, %2, %3}, [o];\n"
		     "ld.shared::cluster.v2.f32 {%4, %5}, [ms];\n"
		     "}"
		     : "=f"(x.o.x), "=f"(x.o.y), "=f"(x.o.z), "=f"(x.o.w), "=f"(x.max), "=f"(x.sum)
		     : "r"((unsigned)__cvta_generic_to_shared(o)),
		     "r"((unsigned)__cvta_generic_to_shared(ms)), "r"(rank)
		     : "memory");
#else
	(void)rank;
	x = {ms->x, ms->y, *reinterpret_cast<const float4 *>(o)};
#endif
	return x;
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

/* The blocks' parts become the result, each block doing some of it. */
template <int C>
static __device__ __forceinline__ void
merge_blocks(const struct shared<C> &m, const struct few &f, const struct place &b, int rank)
{
	const int fours = f.a.D / 4;

	for (int i = rank * THREADS + threadIdx.x; i < b.n * fours; i += f.share * THREADS) {
		const int r = i / fours, d = (i - r * fours) * 4, pair = b.first + r;
		struct sum4 x = merge<SHARE>(f.share, [&](int w) {
			return of_block(&m.block.o[r][d], &m.block.max_sum[r], w);
		});
		const float by = x.sum > 0 ? 1 / x.sum : 0;
		uint2 two = make_uint2(pack2(x.o.x * by, x.o.y * by), pack2(x.o.z * by, x.o.w * by));

		*reinterpret_cast<uint2 *>(f.o + pair_at(f, b, pair, f.a.ldo) + d) = two;
		if (f.lse && d == 0)
			f.lse[(b.q0 + pair / f.hg) * f.a.H + b.g * f.hg + pair % f.hg] =
			    x.sum > 0 ? (x.max + log2f(x.sum)) * (1 / ATTN_LOG2E) : -INFINITY;
	}
}

template <int C>
static __global__ void
__launch_bounds__(THREADS, 2) attention_few(const __grid_constant__ struct few f)
{
	extern __shared__ float4 smem[];
	struct shared<C> &m = *reinterpret_cast<struct shared<C> *>(smem);
	const int rank = blockIdx.x % f.share, warp = threadIdx.x / CUDA_WARP;
	struct place b;

	cuda_follow();
	cuda_lead();
	b = place_of(f);
	if (b.n <= 0)
		return; /* and so do the others of the cluster */
	attend<C>(m.warp[warp], f, b, rank * WARPS + warp, f.share * WARPS);
	__syncthreads();
	merge_warps<C>(m, f, b);
	cluster_sync(f.share);
	merge_blocks<C>(m, f, b, rank);
	if (f.share > 1)
		cluster_sync(f.share); /* others may still read this one's */
}

template <int C>
static void
launch(struct gvk_stream *s, const struct few &f)
{
	struct cuda_stream *c = (struct cuda_stream *)s->priv;
	cudaLaunchAttribute attr[2] = {};
	cudaLaunchConfig_t to = {};

	attr[0].id = cudaLaunchAttributeClusterDimension;
	attr[0].val.clusterDim.x = (unsigned)f.share;
	attr[0].val.clusterDim.y = 1;
	attr[0].val.clusterDim.z = 1;
	attr[1].id = cudaLaunchAttributeProgrammaticStreamSerialization;
	attr[1].val.programmaticStreamSerializationAllowed = 1;
	to.gridDim = dim3(cuda_blocks((int64_t)f.a.S * f.a.G * f.tiles * f.share, 1));
	to.blockDim = dim3(THREADS);
	to.dynamicSmemBytes = sizeof(struct shared<C>);
	to.stream = c->st;
	to.attrs = attr;
	to.numAttrs = c->dev->sm < 90 ? 0 : c->soon ? 2 : 1;
	c->soon = true;
	if (CUDA_SMEM(s, attention_few<C>, sizeof(struct shared<C>)))
		cuda_ok(s, cudaLaunchKernelEx(&to, attention_few<C>, f), "attention_few");
}

/* Blocks a sequence: so many that each warp has a step or two, as long as all
 * blocks fit the device at once. */
static int
share_of(const struct gvk_attn *a, int64_t clusters)
{
	int n = 1;

	while (n < SHARE && n * WARPS * KEYS < a->max_k && 2 * n * clusters <= 264)
		n *= 2;
	return n;
}

bool
cuda_attention_few(struct gvk_stream *s, bf16 *o, float *lse, const bf16 *q, const bf16 *k,
    const bf16 *v, const struct gvk_attn *a)
{
	const struct cuda_stream *c = cuda_of(s);
	struct few f;

	if ((int64_t)a->max_q * (a->H / a->G) > 4 * ROWS || a->D % 8 || a->D < 40 || a->D > 128 ||
	    !cuda_vec8(q, a->ldq) || !cuda_vec8(k, a->ldk) || !cuda_vec8(v, a->ldv) || !cuda_vec8(o, a->ldo))
		return false;
	f.o = o;
	f.lse = lse;
	f.q = q;
	f.k = k;
	f.v = v;
	f.a = *a;
	f.hg = a->H / a->G;
	f.tiles = (int)cuda_div_up((int64_t)a->max_q * f.hg, ROWS);
	f.share = c->dev->sm < 90 ? 1 : share_of(a, (int64_t)a->S * a->G * f.tiles);
	f.scale2 = a->scale * ATTN_LOG2E;
	if (a->D <= 64)
		launch<2>(s, f);
	else if (a->D <= 96)
		launch<3>(s, f);
	else
		launch<4>(s, f);
	return true;
}
