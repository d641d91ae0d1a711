/* Attention of a few queries a sequence against many keys, as in decoding.
 *
 *	unit = sequence, key/value head, 16 pairs of query row and head; to it
 *	belongs a cluster of 1 to 8 blocks, or several; block = 4 warps
 *	warp: every so-many-th group of 16 keys, read once, from global memory
 *	straight into the registers that mma wants:
 *	    S (16 pairs, 16 keys) = Q K^T -> running maximum -> P -> O += P V
 *	o, maximum and sum of a warp -> shared memory of the blocks of the
 *	cluster, each some columns -> sum over warps, in order -> o / sum
 *	several clusters: their sums -> scratch -> the last block adds them up
 *
 * Bound by reading keys and values, 4 D bytes a key and head, and for short
 * contexts by latency: a trip for the lengths, one for Q, K and V, and then some
 * thousand instructions of a warp or two a scheduler, which is why places are
 * worked out with shifts.  A warp has 8 KB on their way, a multiprocessor two
 * blocks.  A lane reads 16 bytes of a row: of K, columns 8 t..8 t + 7 of row r
 * (mma.cuh); of V, columns 8 r.. of the rows 2 t, 2 t + 1, 2 t + 8, 2 t + 9, from
 * which pairs of keys are made by byte permutation.
 *
 * A result depends on its sequence alone and on the number of blocks that
 * share a sequence, which follows from S, G and the longest sequence.  P is
 * rounded to bf16, its sum is not.
 *
 * H100, 2026-11-23, H 12, G 2, D 128, 300 keys a sequence, in a chain of graph
 * nodes: 1 sequence 5.1 us, 8 7.6, 64 13.0 (1.5 TB/s), 256 38 (2.1 TB/s); 8192
 * keys of one sequence 15.3 us.  Next rung: what makes 16 sequences cost 13 us;
 * samples that share a prefix read it once from L2, too, not only from memory.
 */
#include "attention.cuh"
#include "attention_ways.cuh"
#include "mma.cuh"

#define WARPS   4
#define THREADS (WARPS * CUDA_WARP)
#define ROWS    16 /* pairs of a block */
#define KEYS    16 /* of a warp's step */
#define SHARE   8 /* most blocks of a cluster */
#define BLOCKS  264 /* of all: two a multiprocessor of the H100 */
#define UNITS   16 /* most that several clusters share: our counters, */
#define TICKET  16 /* from this one on */

struct few {
	bf16 *o;
	float *lse; /* or NULL */
	const bf16 *q, *k, *v;
	struct gvk_attn a;
	int hg, tiles; /* heads a group; blocks of ROWS pairs a sequence */
	int per_hg; /* 2^16 / hg, rounded up: pairs are few */
	int rows; /* most pairs of a block */
	int share_log; /* blocks of a cluster, a power of two */
	int parts; /* clusters that share a sequence */
	float2 *max_sum; /* parts > 1: (units, parts, ROWS); a unit is a sequence, */
	float *sums; /* group and tile; (units, parts, ROWS, D) */
	unsigned *ticket; /* (units) */
	float scale2; /* scale in powers of two */
};

/* What a block works on. */
struct place {
	int unit, part, g;
	int first, n; /* pairs first .. first + n - 1 */
	int q0, nq;
	int keys; /* that the last pair sees, prefix first */
	struct attn_range prefix, own;
};

/* What the warps of a cluster make of a unit's pairs, as much as one of its
 * blocks merges: of o, in groups of 8 columns, every share-th group.  Sums and
 * products are relative to exp2(max).  Kept small, so that blocks of the kernels
 * before and behind find room beside it. */
struct shared {
	float2 *max_sum; /* (warps, rows) */
	float *o; /* (warps, rows, groups, 8) */
	int rows, groups;
};

static __device__ __forceinline__ uint4
read16(const bf16 *p, bool in)
{
	return in ? *reinterpret_cast<const uint4 *>(p) : make_uint4(0, 0, 0, 0);
}

/* The row of key j. */
static __device__ __forceinline__ int
key_row(const struct place &b, int j)
{
	return j + (j < b.prefix.n ? b.prefix.at : b.own.at - b.prefix.n);
}

static __device__ __forceinline__ int
row_of(const struct few &f, int pair)
{
	return pair * f.per_hg >> 16;
}

/* Keys that a pair sees. */
static __device__ __forceinline__ int
seen_by(const struct few &f, const struct place &b, int pair)
{
	return b.prefix.n + attn_seen(f.a.causal, row_of(f, pair), b.nq, b.own.n);
}

/* Grid: (blocks of a sequence, groups and tiles, sequences). */
static __device__ __forceinline__ struct place
place_of(const struct few &f)
{
	const int s = (int)blockIdx.z;
	struct place b;

	b.part = (int)blockIdx.x >> f.share_log;
	b.unit = s * (int)gridDim.y + (int)blockIdx.y;
	b.first = 0;
	b.g = (int)blockIdx.y;
	if (f.tiles > 1) {
		b.first = b.g / f.a.G * ROWS;
		b.g %= f.a.G;
	}
	b.q0 = f.a.q_at[s];
	b.nq = f.a.q_at[s + 1] - b.q0;
	b.own = attn_own(f.a, s);
	b.prefix = {0, 0};
	if (f.a.p_len)
		b.prefix = {f.a.p_at[s], f.a.p_len[s]}; /* at once, not in turn */
	b.n = b.nq * f.hg - b.first;
	b.n = b.n < ROWS ? b.n : ROWS;
	b.keys = b.n > 0 ? seen_by(f, b, b.first + b.n - 1) : 0;
	return b;
}

/* Where the head of a pair is in a tensor of query rows. */
static __device__ __forceinline__ int64_t
pair_at(const struct few &f, const struct place &b, int pair, int64_t ld)
{
	const int row = row_of(f, pair);

	return (b.q0 + row) * ld + (b.g * f.hg + pair - row * f.hg) * f.a.D;
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

/* The barrier of all threads of all blocks of a cluster, in two halves. */
static __device__ __forceinline__ void
cluster_arrive(int share_log)
{
#if __CUDA_ARCH__ >= 900
	if (share_log > 0)
		asm volatile("barrier.cluster.arrive.release;" ::: "memory");
#else
	(void)share_log;
#endif
}

static __device__ __forceinline__ void
cluster_wait(int share_log)
{
#if __CUDA_ARCH__ >= 900
	if (share_log > 0)
		asm volatile("barrier.cluster.wait.acquire;" ::: "memory");
#else
	(void)share_log;
#endif
}

/* *to = x in the block `rank` of this cluster. */
static __device__ __forceinline__ void
put4(float *to, int rank, float4 x)
{
#if __CUDA_ARCH__ >= 900
	asm volatile("{\n"
		     ".reg .b32 there;\n"
		     "mapa.shared::cluster.u32 there, %0, %1;\n"
		     "st.shared::cluster.v4.f32 [there], {%2, %3, %4, %5};\n"
		     "}" ::"r"((unsigned)__cvta_generic_to_shared(to)),
		     "r"(rank), "f"(x.x), "f"(x.y), "f"(x.z), "f"(x.w)
		     : "memory");
#else
	(void)rank;
	*reinterpret_cast<float4 *>(to) = x;
#endif
}

static __device__ __forceinline__ void
put2(float2 *to, int rank, float2 x)
{
#if __CUDA_ARCH__ >= 900
	asm volatile("{\n"
		     ".reg .b32 there;\n"
		     "mapa.shared::cluster.u32 there, %0, %1;\n"
		     "st.shared::cluster.v2.f32 [there], {%2, %3};\n"
		     "}" ::"r"((unsigned)__cvta_generic_to_shared(to)),
		     "r"(rank), "f"(x.x), "f"(x.y)
		     : "memory");
#else
	(void)rank;
	*to = x;
#endif
}

static __device__ __forceinline__ struct shared
shared_of(float4 *smem, const struct few &f)
{
	struct shared m;

	m.rows = f.rows;
	m.groups = (f.a.D / 8 + (1 << f.share_log) - 1) >> f.share_log;
	m.o = reinterpret_cast<float *>(smem);
	m.max_sum =
	    reinterpret_cast<float2 *>(m.o + (WARPS << f.share_log) * f.rows * m.groups * 8);
	return m;
}

static size_t
shared_bytes(const struct few &f)
{
	const int share = 1 << f.share_log;
	const size_t groups = (size_t)cuda_div_up(f.a.D / 8, share);

	return (size_t)(WARPS * share * f.rows) * (groups * 8 * sizeof(float) + sizeof(float2));
}

/* A warp's part goes to the blocks that merge it. */
template <int C>
static __device__ __forceinline__ void
push(const struct shared &m, const struct few &f, const struct place &b, int worker,
    const float (&o)[(C + 1) / 2][8][4], const float (&max)[2], const float (&sum)[2])
{
	const int lane = threadIdx.x % CUDA_WARP, t = lane % 4, last = (1 << f.share_log) - 1;

#pragma unroll
	for (int h = 0; h < 2; h++) {
		const int r = lane / 4 + 8 * h;
		float *row = m.o + (worker * m.rows + r) * m.groups * 8;

		if (r >= b.n)
			continue;
		for (int rank = t; rank <= last; rank += 4)
			put2(m.max_sum + worker * m.rows + r, rank, make_float2(max[h], sum[h]));
#pragma unroll
		for (int i = 0; i < (C + 1) / 2 * 2; i++) {
			const int c = i / 2, e = 2 * h + i % 2;
			const int group = 8 * c + 2 * t + i % 2, rank = group & last;
			float *to = row + (group >> f.share_log) * 8;

			if (group * 8 >= f.a.D)
				continue;
			put4(to, rank, make_float4(o[c][0][e], o[c][1][e], o[c][2][e], o[c][3][e]));
			put4(to + 4, rank,
			    make_float4(o[c][4][e], o[c][5][e], o[c][6][e], o[c][7][e]));
		}
	}
}

/* A warp's share of the keys. */
template <int C>
static __device__ __forceinline__ void
attend(const struct shared &m, const struct few &f, const struct place &b, int worker)
{
	const int step = f.parts * (WARPS << f.share_log) * KEYS;
	constexpr int V = (C + 1) / 2;
	const int lane = threadIdx.x % CUDA_WARP, r = lane / 4;
	float o[V][8][4] = {}, max[2] = {-INFINITY, -INFINITY}, sum[2] = {};
	uint4 q[2][C], k[2][C], v[4][V];
	int seen[2], j = (b.part * (WARPS << f.share_log) + worker) * KEYS;

#pragma unroll
	for (int h = 0; h < 2; h++)
		seen[h] = r + 8 * h < b.n ? seen_by(f, b, b.first + r + 8 * h) : 0;
	read_q<C>(q, f, b);
	read_k<C>(k, f, b, j);
	read_v<C>(v, f, b, j);
	for (; j < b.keys; j += step) {
		float z[2][4] = {}, by[2];
		unsigned p[4];

#pragma unroll
		for (int h = 0; h < 2; h++)
#pragma unroll
			for (int c = 0; c < C; c++)
				mma32(z[h], q[0][c], q[1][c], k[h][c]);
		read_k<C>(k, f, b, j + step);
		softmax(p, by, z, max, sum, seen, j, f.scale2);
#pragma unroll
		for (int c = 0; c < V; c++)
#pragma unroll
			for (int i = 0; i < 8; i++)
#pragma unroll
				for (int e = 0; e < 4; e++)
					o[c][i][e] *= by[e / 2];
		times_v<V>(o, p, v);
		read_v<C>(v, f, b, j + step);
	}
	for (int h = 0; h < 2; h++) {
		sum[h] += __shfl_xor_sync(CUDA_ALL, sum[h], 1);
		sum[h] += __shfl_xor_sync(CUDA_ALL, sum[h], 2);
	}
	cluster_wait(f.share_log);
	push<C>(m, f, b, worker, o, max, sum);
}

/* Column d of a pair, of which `sum` and the product x are relative to
 * exp2(max). */
static __device__ __forceinline__ void
result(const struct few &f, const struct place &b, int r, int d, float max, float sum, float x)
{
	const int pair = b.first + r;

	f.o[pair_at(f, b, pair, f.a.ldo) + d] = to_b(sum > 0 ? x / sum : 0.f);
	if (f.lse && d == 0)
		f.lse[(b.q0 + pair / f.hg) * f.a.H + b.g * f.hg + pair % f.hg] =
		    sum > 0 ? (max + log2f(sum)) * (1 / ATTN_LOG2E) : -INFINITY;
}

/* The parts 0 .. n - 1 of a column, in this order: maximum and sum of part w
 * are ms[w step_ms], its product x[w step_x].  Read past L1 what other blocks
 * have written. */
template <bool GLOBAL>
static __device__ __forceinline__ void
merge(float *max, float *sum, float *x, int n, const float2 *ms, int step_ms, const float *o,
    int step_o)
{
	float base;

	*max = -INFINITY;
	*sum = *x = 0;
#pragma unroll 4
	for (int w = 0; w < n; w++)
		*max = fmaxf(*max, GLOBAL ? __ldcg(ms + w * step_ms).x : ms[w * step_ms].x);
	base = *max > -INFINITY ? *max : 0.f; /* no keys: exp2 = 0 */
#pragma unroll 4
	for (int w = 0; w < n; w++) {
		const float2 one = GLOBAL ? __ldcg(ms + w * step_ms) : ms[w * step_ms];
		const float by = exp2f(one.x - base);

		*sum += by * one.y;
		*x += by * (GLOBAL ? __ldcg(o + w * step_o) : o[w * step_o]);
	}
}

/* What the warps of the cluster have made of this block's columns: the result,
 * or a part of it. */
static __device__ __forceinline__ void
merge_warps(const struct shared &m, const struct few &f, const struct place &b, int rank)
{
	const int width = m.groups * 8;
	const int64_t at_part = (int64_t)(b.unit * f.parts + b.part) * ROWS;
	int r = (int)threadIdx.x / width, at = (int)threadIdx.x - r * width;

	for (; r < b.n; at += THREADS) {
		float max, sum, x;
		int d;

		for (; at >= width; at -= width)
			r++;
		d = ((at / 8 << f.share_log) + rank) * 8 + at % 8;
		if (r >= b.n || d >= f.a.D)
			continue;
		merge<false>(&max, &sum, &x, WARPS << f.share_log, m.max_sum + r, m.rows,
		    m.o + r * width + at, m.rows * width);
		if (f.parts == 1) {
			result(f, b, r, d, max, sum, x);
			continue;
		}
		f.sums[(at_part + r) * f.a.D + d] = x;
		if (d == 0)
			f.max_sum[at_part + r] = make_float2(max, sum);
	}
}

/* The last block of a unit to come here merges its parts.  The counter is zero
 * again behind it. */
static __device__ __forceinline__ void
merge_parts(const struct few &f, const struct place &b)
{
	const unsigned last = gridDim.x - 1;
	const int64_t at_unit = (int64_t)b.unit * f.parts * ROWS;
	__shared__ unsigned before;

	__threadfence();
	__syncthreads();
	if (threadIdx.x == 0)
		before = atomicInc(f.ticket + b.unit, last);
	__syncthreads();
	if (before != last)
		return;
	__threadfence();
	for (int i = threadIdx.x; i < b.n * f.a.D; i += THREADS) {
		const int r = i / f.a.D, d = i - r * f.a.D;
		float max, sum, x;

		merge<true>(&max, &sum, &x, f.parts, f.max_sum + at_unit + r, ROWS,
		    f.sums + (at_unit + r) * f.a.D + d, ROWS * f.a.D);
		result(f, b, r, d, max, sum, x);
	}
}

template <int C>
static __global__ void
__launch_bounds__(THREADS, 2) attention_few(const __grid_constant__ struct few f)
{
	extern __shared__ float4 smem[];
	const struct shared m = shared_of(smem, f);
	const int rank = blockIdx.x & ((1 << f.share_log) - 1), warp = threadIdx.x / CUDA_WARP;
	struct place b;

	cluster_arrive(f.share_log); /* from then on others may write here */
	cuda_follow();
	cuda_lead();
	b = place_of(f);
	if (b.n <= 0)
		return; /* and so do the others of the cluster */
	attend<C>(m, f, b, rank * WARPS + warp);
	cluster_arrive(f.share_log);
	cluster_wait(f.share_log);
	if (f.share_log == 0)
		__syncthreads();
	merge_warps(m, f, b, rank);
	if (f.parts > 1)
		merge_parts(f, b);
}

template <int C>
static void
launch(struct gvk_stream *s, const struct few &f)
{
	struct cuda_stream *c = (struct cuda_stream *)s->priv;
	cudaLaunchAttribute attr[2] = {};
	cudaLaunchConfig_t to = {};

	attr[0].id = cudaLaunchAttributeClusterDimension;
	attr[0].val.clusterDim.x = 1u << f.share_log;
	attr[0].val.clusterDim.y = 1;
	attr[0].val.clusterDim.z = 1;
	attr[1].id = cudaLaunchAttributeProgrammaticStreamSerialization;
	attr[1].val.programmaticStreamSerializationAllowed = 1;
	to.gridDim =
	    dim3((unsigned)f.parts << f.share_log, (unsigned)(f.a.G * f.tiles), (unsigned)f.a.S);
	to.blockDim = dim3(THREADS);
	to.dynamicSmemBytes = shared_bytes(f);
	to.stream = c->st;
	to.attrs = attr;
	to.numAttrs = c->dev->sm < 90 ? 0 : c->soon ? 2 : 1;
	c->soon = true;
	if (CUDA_SMEM(s, attention_few<C>, shared_bytes(f)))
		cuda_ok(s, cudaLaunchKernelEx(&to, attention_few<C>, f), "attention_few");
}

/* Blocks a sequence: so many that each warp has a step or two, as long as all
 * blocks fit the device at once.  A few long sequences take several clusters,
 * of which each has four steps of its warps, up to a block a multiprocessor. */
static void
divide(struct few *f, const struct cuda_stream *c)
{
	const int64_t units = (int64_t)f->a.S * f->a.G * f->tiles;
	const int64_t keys = f->a.max_k;
	int share = 1;

	f->parts = 1;
	while (c->dev->sm >= 90 && share < SHARE && share * WARPS * KEYS < keys &&
	       2 * share * units <= BLOCKS)
		share *= 2;
	while (share == SHARE && units <= UNITS && f->parts * SHARE * WARPS * KEYS * 4 < keys &&
	       4 * f->parts * SHARE * units <= BLOCKS)
		f->parts *= 2;
	f->share_log = share == 8 ? 3 : share / 2;
	f->ticket = c->ticket + TICKET;
	f->sums = (float *)c->scratch;
	f->max_sum = (float2 *)(f->sums + units * f->parts * ROWS * f->a.D);
}

bool
cuda_attention_few(struct gvk_stream *s, bf16 *o, float *lse, const bf16 *q, const bf16 *k,
    const bf16 *v, const struct gvk_attn *a)
{
	const struct cuda_stream *c = cuda_of(s);
	struct few f;

	if ((int64_t)a->max_q * (a->H / a->G) > 4 * ROWS || a->D % 8 || a->D < 40 || a->D > 128 ||
	    a->S > UINT16_MAX || !cuda_vec8(q, a->ldq) || !cuda_vec8(k, a->ldk) ||
	    !cuda_vec8(v, a->ldv) || !cuda_vec8(o, a->ldo))
		return false;
	f.o = o;
	f.lse = lse;
	f.q = q;
	f.k = k;
	f.v = v;
	f.a = *a;
	f.hg = a->H / a->G;
	f.per_hg = (65536 + f.hg - 1) / f.hg;
	f.tiles = (int)cuda_div_up((int64_t)a->max_q * f.hg, ROWS);
	f.rows = (int)cuda_min(ROWS, (int64_t)a->max_q * f.hg);
	f.scale2 = a->scale * ATTN_LOG2E;
	divide(&f, c);
	if (a->D <= 64)
		launch<2>(s, f);
	else if (a->D <= 96)
		launch<3>(s, f);
	else
		launch<4>(s, f);
	return true;
}
