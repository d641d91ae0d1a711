/* Attention backward on Hopper's matrix units: two kernels, each of which makes
 * the probabilities again and owns what it writes: nothing is added in memory,
 * and results are the same each time.
 *
 *	dq	two units of 64 queries of one head, of the same key/value head;
 *		tiles of 128 keys (the last may be one of 64) stream past:
 *		S = Q K^T, dP = dO V^T, dQ += dS K
 *	dkv	128 keys of a range and a key/value head; tiles of 64 queries of
 *		all heads of the group stream past.  Keys are rows, so that P'
 *		and dS' are register operands as they come:
 *		S' = K Q^T, dP' = V dO^T, dV += P' dO, dK += dS' Q
 *	with	P = exp(S - lse), dS = P (dP - delta), delta = rowsum(dO o)
 *
 * dq comes first and leaves lse and delta of each query and head for dkv, in
 * tiles of 64 queries of a sequence, so that a tile is one copy.
 *
 * A block stays on its processor and takes jobs off a list, long ones first:
 * one warp finds out what a job is and keeps tensor copies running through a
 * ring of slots, from one job into the next; two warpgroups compute, 64 rows
 * each.  What a job holds is `fixed`, what streams goes through slots:
 *	fixed	dq: Q and dO, dkv: K and V, (128,D)
 *	slot	dq: o (128,D), once; then K or V (128,D)
 *		dkv: Q and dO (64,D) and their lse and delta
 *
 * A range can end where its buffer ends, and behind it may be anything.  So the
 * maps of tensors have rows twice, as y and as z of the same stride, and y has
 * the height of one box: n < height rows are asked for at y = height - n, and
 * the others come as zeros and are not read.
 *
 * Bound by the matrix units: 14 D FLOP a query, head and key seen, of which 10 D
 * count (S and dP twice is the price of not adding dQ in memory); sequences of
 * up to 128 by memory.  TFLOP/s that count, H100 SXM, 2026-11-23: 12 heads on 2
 * of 128, causal: 433 at 8 x 2048, 359 at 16 x 1024, 204 at 64 x 320, 105 at
 * 128 x 128; 12 of 128, full: 482 at 8 x 2048, which is 675 of products; 16 of
 * 64, full: 216 at 64 x 256.
 *
 * Next rung: Q and dO of dq in registers and tiles of 64 keys, so that the next
 * job's come while this one is computed: dq was 6 % faster at 8 x 2048, but
 * ptxas 13.0 laid dS over Q for heads of 64 (W / 16 = 4 operands each; 80 to 128
 * were right), and at 128 delta was wrong once in many runs, perhaps since fixed
 * was given back before ldmatrix had delivered.  Then a list without the empty
 * jobs that sequences of unequal length leave; and for sequences of up to 128
 * keys one pass that makes dQ, dK and dV together.
 */
#include "attention_ways.cuh"
#include "hopper.cuh"

#define BWD_Q       64 /* queries of a tile, and of a warpgroup */
#define BWD_K       128 /* keys of a tile */
#define BWD_GROUPS  2 /* warpgroups that compute */
#define BWD_WARPS   (BWD_GROUPS * 4)
#define BWD_THREADS ((BWD_GROUPS + 1) * HOPPER_GROUP)
#define BWD_STATS   (2 * BWD_Q) /* floats of a tile: 64 lse, 64 delta */
#define BWD_TICKETS 32 /* the first of two of the stream's */
#define BWD_LOG2E   1.4426950408889634f

enum bwd_kind { BWD_DQ, BWD_DKV, BWD_END };

struct bwd {
	bf16 *dq, *dk, *dv;
	float *stats; /* (tile, H, BWD_STATS): lse in powers of two, delta */
	const float *lse;
	unsigned *ticket; /* of each kind: jobs drawn, less one a block */
	struct gvk_attn a;
	float scale2; /* scale in powers of two */
	int hg; /* query heads a key/value head */
	int kinds; /* of key ranges: own, and if there are any, prefixes */
	int chunk; /* sequences whose jobs are sorted by length */
	int chunks;
	int q_tiles, k_tiles, q_blocks; /* of a sequence at most */
	int jobs[2]; /* of each kind */
};

struct bwd_maps {
	CUtensorMap q, dout, o, k, v;
};

/* ---- what both sides of a block know ------------------------------------ */

/* Sizes for heads of up to W, in bytes. */
template <int W> struct bwd_size {
	static const int panels = (W + HOPPER_PANEL - 1) / HOPPER_PANEL;
	static const int panel = BWD_K * 128; /* of 128 rows */
	static const int half = panel / 2; /* of 64 rows */
	static const int tile = panels * panel;
	static const int slots = panels == 1 ? 8 : 4;
	static const int stats = BWD_STATS * (int)sizeof(float);
	static const int all = 1024 + (2 + slots) * tile + slots * stats + 256;
};

struct bwd_job {
	int kind, g;
	int row, n; /* dkv: keys row..row + n - 1; dq: queries likewise */
	/* dkv: tiles of own queries that may see these keys; tiles of others,
	 * which see all.  Key j of the job is seen by query c of own tile x if
	 * c >= edge + j - 64 x. */
	int own, others, edge;
	/* dq: sequence; units unit, unit + 1; own keys and prefix, tiles. */
	int s, unit, keys, prefix, key_tiles, prefix_tiles;
};

#define BWD_ALL_SEEN (-(1 << 30)) /* an edge */

#if HOPPER

/* Stats of a tile of 64 queries of sequence s, which begins at query row `at`:
 * no two sequences share one. */
static __device__ __forceinline__ float *
bwd_stats(const struct bwd &f, int at, int s, int tile, int head)
{
	return f.stats + ((int64_t)(at / BWD_Q + s + tile) * f.a.H + head) * BWD_STATS;
}

/* Shared memory of a block by addresses; barriers are 8 bytes each. */
template <int W> struct bwd_smem {
	unsigned fixed, slot, stats;
	unsigned held, let; /* fixed is there; is not used any more */
	unsigned full, empty; /* the same for slots */
	struct bwd_job *job; /* goes with fixed */

	__device__ __forceinline__ bwd_smem(unsigned char *raw)
	{
		typedef bwd_size<W> z;
		const unsigned at = hopper_smem(raw), pad = (1024 - at % 1024) % 1024;

		fixed = at + pad;
		slot = fixed + 2 * z::tile;
		stats = slot + z::slots * z::tile;
		held = stats + z::slots * z::stats;
		let = held + 8;
		full = let + 8;
		empty = full + z::slots * 8;
		job = reinterpret_cast<struct bwd_job *>(raw + (empty + z::slots * 8 - at));
	}
};

/* A place in the ring: the slot, and the parity of its use. */
template <int W> struct bwd_ring {
	unsigned i, parity;

	__device__ __forceinline__ bwd_ring(void) : i(0), parity(0)
	{
	}
	__device__ __forceinline__ void step(void)
	{
		if (++i == bwd_size<W>::slots) {
			i = 0;
			parity ^= 1;
		}
	}
};

/* ---- the warp that loads ------------------------------------------------ */

struct bwd_range {
	int at, n;
};

/* A number of the warp's: the compiler shall know that it is the same for all
 * lanes, and keep it and what follows from it in uniform registers. */
static __device__ __forceinline__ int
bwd_same(int x)
{
	return __shfl_sync(CUDA_ALL, x, 0);
}

static __device__ __forceinline__ struct bwd_range
bwd_own(const struct gvk_attn &a, int s)
{
	return {bwd_same(a.k_at[s]), bwd_same(a.k_len[s])};
}

static __device__ __forceinline__ struct bwd_range
bwd_prefix(const struct gvk_attn &a, int s)
{
	if (!a.p_len)
		return {0, 0};
	return {bwd_same(a.p_at[s]), bwd_same(a.p_len[s])};
}

/* The queries of a sequence. */
static __device__ __forceinline__ struct bwd_range
bwd_queries(const struct gvk_attn &a, int s)
{
	const int at = bwd_same(a.q_at[s]);

	return {at, bwd_same(a.q_at[s + 1]) - at};
}

static __device__ __forceinline__ bool
bwd_equal(struct bwd_range x, struct bwd_range y)
{
	return x.n == y.n && x.at == y.at;
}

static __device__ __forceinline__ int
bwd_tiles(int n, int by)
{
	return (n + by - 1) / by;
}

/* Key ranges: the own one of each sequence (range 0), and a prefix that nobody
 * owns (1), at the first sequence that has it. */
static __device__ __forceinline__ bool
bwd_has_range(const struct gvk_attn &a, int s, int which, struct bwd_range keys)
{
	if (which == 0 || keys.n <= 0 || s == 0)
		return keys.n > 0;
	return !bwd_equal(keys, bwd_prefix(a, s - 1)) && !bwd_equal(keys, bwd_own(a, s - 1));
}

/* Tiles of queries of the sequences s, s + 1, ... that have `keys` as their
 * prefix. */
static __device__ __forceinline__ int
bwd_family(const struct gvk_attn &a, int s, struct bwd_range keys)
{
	int tiles = 0;

	while (a.p_len) {
		const int mine = s + (int)(threadIdx.x % CUDA_WARP);
		const bool in = mine < a.S && a.p_at[mine] == keys.at && a.p_len[mine] == keys.n;
		const unsigned out = __ballot_sync(CUDA_ALL, !in);
		const int run = out ? __ffs((int)out) - 1 : CUDA_WARP;

		tiles += __reduce_add_sync(CUDA_ALL,
		    mine < s + run ? bwd_tiles(a.q_at[mine + 1] - a.q_at[mine], BWD_Q) : 0);
		s += run;
		if (run < CUDA_WARP)
			break;
	}
	return tiles;
}

/* Where a job stands in the list: chunks of sequences, in a chunk by tile.  Keys
 * begin with the last chunk, which queries have ended with: some of it is still
 * in the cache. */
struct bwd_place {
	int s, tile, which, g;
};

template <int KIND>
static __device__ __forceinline__ struct bwd_place
bwd_place(const struct bwd &f, int job)
{
	const int row = KIND == BWD_DKV ? f.kinds * f.a.G : f.a.G;
	const int level = f.chunk * row, chunk = level * (KIND == BWD_DKV ? f.k_tiles : f.q_blocks);
	const int c = job / chunk;
	struct bwd_place p;

	p.s = (KIND == BWD_DKV ? f.chunks - 1 - c : c) * f.chunk + job % level / row;
	p.tile = job % chunk / level;
	p.which = job % row / f.a.G;
	p.g = job % f.a.G;
	return p;
}

/* Loads the box of 64 columns from x on of `height` rows at `row`, of which n
 * are there. */
static __device__ __forceinline__ void
bwd_load(
    unsigned to, const CUtensorMap *m, unsigned bar, int x, int head, int height, int row, int n)
{
	const int y = n < height ? height - n : 0;

	asm volatile("cp.async.bulk.tensor.4d.shared::cluster.global.mbarrier::complete_tx::bytes"
		     " [%0], [%1, {%3, %4, %5, %6}], [%2];" ::"r"(to),
		     "l"(m), "r"(bar), "r"(x), "r"(head), "r"(y), "r"(row + height - y)
		     : "memory");
}

template <int W> struct bwd_loader {
	typedef bwd_size<W> z;
	const struct bwd &f;
	const struct bwd_maps &m;
	const struct bwd_smem<W> sm;
	struct bwd_ring<W> ring;
	struct bwd_job j;
	int n; /* dq: units of it */
	int ahead; /* slots that are filled before it is fixed */
	unsigned jobs; /* parity of them */

	__device__ __forceinline__ bwd_loader(
	    const struct bwd &f_, const struct bwd_maps &m_, const struct bwd_smem<W> &sm_)
	    : f(f_), m(m_), sm(sm_), jobs(0)
	{
	}

	/* 64 queries into a slot. */
	__device__ __forceinline__ void queries(int s, struct bwd_range q, int tile, int head)
	{
		const unsigned to = sm.slot + ring.i * z::tile, bar = sm.full + ring.i * 8;
		const int row = q.at + tile * BWD_Q, there = q.n - tile * BWD_Q;

		hopper_bar_wait(sm.empty + ring.i * 8, ring.parity ^ 1);
		if (threadIdx.x % CUDA_WARP == 0) {
			hopper_bar_expect(bar, z::tile + z::stats);
#pragma unroll
			for (int p = 0; p < z::panels; p++) {
				bwd_load(
				    to + p * z::half, &m.q, bar, p * 64, head, BWD_Q, row, there);
				bwd_load(to + z::tile / 2 + p * z::half, &m.dout, bar, p * 64, head,
				    BWD_Q, row, there);
			}
			hopper_load_bytes(sm.stats + ring.i * z::stats,
			    bwd_stats(f, q.at, s, tile, head), z::stats, bar);
		}
		ring.step();
	}

	/* Outputs of a job's units into a slot. */
	__device__ __forceinline__ void outputs(void)
	{
		hopper_bar_wait(sm.empty + ring.i * 8, ring.parity ^ 1);
		if (threadIdx.x % CUDA_WARP == 0) {
			hopper_bar_expect(sm.full + ring.i * 8, n * z::tile / 2);
			units(sm.slot + ring.i * z::tile, &m.o, sm.full + ring.i * 8);
		}
		ring.step();
	}

	/* 128 keys into a slot, or values. */
	__device__ __forceinline__ void keys(const CUtensorMap *map, int g, int row, int n)
	{
		const unsigned to = sm.slot + ring.i * z::tile, bar = sm.full + ring.i * 8;

		hopper_bar_wait(sm.empty + ring.i * 8, ring.parity ^ 1);
		if (threadIdx.x % CUDA_WARP == 0) {
			hopper_bar_expect(bar, z::tile);
#pragma unroll
			for (int p = 0; p < z::panels; p++)
				bwd_load(to + p * z::panel, map, bar, p * 64, g, BWD_K, row, n);
		}
		ring.step();
	}

	/* Waits until the last job is done with what was fixed, and tells of this
	 * one, to which that many bytes belong. */
	__device__ __forceinline__ void begin(unsigned bytes)
	{
		hopper_bar_wait(sm.let, jobs ^ 1);
		if (threadIdx.x % CUDA_WARP == 0) {
			*sm.job = j;
			hopper_bar_expect(sm.held, bytes);
		}
		jobs ^= 1;
	}

	/* What is fixed comes behind the first tiles, for which there is room before
	 * the last job is done. */
	template <int KIND> __device__ __forceinline__ void next_tile(void)
	{
		if (ahead-- != 0)
			return;
		if (KIND == BWD_DKV)
			fix_keys();
		else
			fix_queries();
	}

	__device__ __forceinline__ void fix_keys(void)
	{
		begin(2 * z::tile);
		if (threadIdx.x % CUDA_WARP != 0)
			return;
#pragma unroll
		for (int i = 0; i < z::panels; i++) {
			bwd_load(
			    sm.fixed + i * z::panel, &m.k, sm.held, i * 64, j.g, BWD_K, j.row, j.n);
			bwd_load(sm.fixed + z::tile + i * z::panel, &m.v, sm.held, i * 64, j.g,
			    BWD_K, j.row, j.n);
		}
	}

	/* 64 queries of each of the job's units, from one of q, dout, o. */
	__device__ __forceinline__ void units(unsigned to, const CUtensorMap *map, unsigned bar)
	{
#pragma unroll 1
		for (int i = 0; i < n; i++) {
			const int u = j.unit + i, at = u / f.hg * BWD_Q;

#pragma unroll
			for (int p = 0; p < z::panels; p++)
				bwd_load(to + p * z::panel + i * z::half, map, bar, p * 64,
				    j.g * f.hg + u % f.hg, BWD_Q, j.row + at, j.n - at);
		}
	}

	__device__ __forceinline__ void fix_queries(void)
	{
		begin(n * z::tile);
		if (threadIdx.x % CUDA_WARP != 0)
			return;
		units(sm.fixed, &m.q, sm.held);
		units(sm.fixed + z::tile, &m.dout, sm.held);
	}

	__device__ __forceinline__ void dkv(const struct bwd_place &p)
	{
		const struct bwd_range range =
		    p.which == 0 ? bwd_own(f.a, p.s) : bwd_prefix(f.a, p.s);
		const int j0 = p.tile * BWD_K;
		struct bwd_range q = bwd_queries(f.a, p.s);
		int s = p.s - p.which, tile = 0;

		if (j0 >= range.n || !bwd_has_range(f.a, p.s, p.which, range))
			return;
		j.kind = BWD_DKV;
		j.g = p.g;
		j.row = range.at + j0;
		j.n = range.n - j0 < BWD_K ? range.n - j0 : BWD_K;
		j.own = p.which == 0 ? bwd_tiles(q.n, BWD_Q) : 0;
		j.others = bwd_family(f.a, s + 1, range);
		j.edge = BWD_ALL_SEEN;
		if (p.which == 0 && f.a.causal) {
			const int edge = j0 + q.n - range.n; /* the first query that sees j0 */

			tile = edge > 0 ? edge / BWD_Q : 0;
			tile = tile < j.own ? tile : j.own;
			j.own -= tile;
			j.edge = edge - tile * BWD_Q;
		}
		ahead = z::slots - 1;
		tile += j.own;
		for (int x = j.own + j.others; x > 0; x--) {
			if (x > j.others) {
				tile--;
			} else if (x == j.others || ++tile * BWD_Q >= q.n) {
				do
					q = bwd_queries(f.a, ++s);
				while (q.n <= 0);
				tile = 0;
			}
			for (int h = 0; h < f.hg; h++) {
				next_tile<BWD_DKV>();
				queries(s, q, tile, p.g * f.hg + h);
			}
		}
		if (ahead >= 0)
			fix_keys();
	}

	__device__ __forceinline__ void dq(const struct bwd_place &p)
	{
		const struct bwd_range own = bwd_own(f.a, p.s), prefix = bwd_prefix(f.a, p.s);
		const struct bwd_range q = bwd_queries(f.a, p.s);
		int last, end;

		j.unit = (f.q_blocks - 1 - p.tile) * BWD_GROUPS;
		n = bwd_tiles(q.n, BWD_Q) * f.hg - j.unit;
		if (n <= 0)
			return;
		n = n < BWD_GROUPS ? n : BWD_GROUPS;
		last = ((j.unit + n - 1) / f.hg + 1) * BWD_Q - 1;
		last = last < q.n ? last : q.n - 1;
		end = f.a.causal ? last + own.n - q.n + 1 : own.n;
		end = end < own.n ? end : own.n;
		j.kind = BWD_DQ;
		j.g = p.g;
		j.s = p.s;
		j.row = q.at;
		j.n = q.n;
		j.keys = own.n;
		j.prefix = prefix.n;
		j.key_tiles = end > 0 ? bwd_tiles(end, BWD_K) : 0;
		j.prefix_tiles = bwd_tiles(prefix.n, BWD_K);
		ahead = z::slots - 2;
		outputs();
		for (int x = 0; x < 2 * (j.prefix_tiles + j.key_tiles); x++) {
			const bool pre = x / 2 < j.prefix_tiles;
			const int j0 = (pre ? x / 2 : x / 2 - j.prefix_tiles) * BWD_K;

			next_tile<BWD_DQ>();
			keys(x % 2 ? &m.v : &m.k, p.g, (pre ? prefix.at : own.at) + j0,
			    (pre ? prefix.n : own.n) - j0);
		}
		if (ahead >= 0)
			fix_queries();
	}

	/* The next job, drawn when all of the last one has been asked for, so that
	 * who is done first takes it.  As many are drawn as there are jobs: the last
	 * leaves a zero. */
	__device__ __forceinline__ int draw(unsigned *ticket, int jobs)
	{
		int mine = 0;

		if (threadIdx.x % CUDA_WARP == 0) {
			mine = (int)atomicAdd(ticket, 1);
			if (mine == jobs - 1)
				atomicExch(ticket, 0);
		}
		return bwd_same(mine);
	}

	template <int KIND> __device__ __forceinline__ void run(void)
	{
		struct bwd_place p;
		int job = (int)blockIdx.x;

		while (job < f.jobs[KIND]) {
			p = bwd_place<KIND>(f, job);
			if (p.s < f.a.S) {
				if (KIND == BWD_DKV)
					dkv(p);
				else
					dq(p);
			}
			job = draw(f.ticket + KIND, f.jobs[KIND]) + (int)gridDim.x;
		}
		j.kind = BWD_END;
		begin(0);
	}
};

/* ---- the warps that compute --------------------------------------------- */

static __device__ __forceinline__ float
bwd_exp2(float x)
{
	float y;

	asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
	return y;
}

/* Two floats of shared memory. */
static __device__ __forceinline__ float2
bwd_two(unsigned at)
{
	float2 x;

	asm volatile("ld.shared.v2.f32 {%0, %1}, [%2];" : "=f"(x.x), "=f"(x.y) : "r"(at));
	return x;
}

/* The product of eight bf16 of shared memory with eight others. */
static __device__ __forceinline__ float
bwd_dot8(unsigned x, unsigned y)
{
	unsigned a[4], b[4];
	float sum = 0;

	asm volatile("ld.shared.v4.u32 {%0, %1, %2, %3}, [%4];"
		     : "=r"(a[0]), "=r"(a[1]), "=r"(a[2]), "=r"(a[3])
		     : "r"(x));
	asm volatile("ld.shared.v4.u32 {%0, %1, %2, %3}, [%4];"
		     : "=r"(b[0]), "=r"(b[1]), "=r"(b[2]), "=r"(b[3])
		     : "r"(y));
#pragma unroll
	for (int i = 0; i < 4; i++) {
		sum += __uint_as_float(a[i] << 16) * __uint_as_float(b[i] << 16);
		sum += __uint_as_float(a[i] & 0xffff0000u) * __uint_as_float(b[i] & 0xffff0000u);
	}
	return sum;
}

/* D (64 rows, to be rounded) as left operands of products. */
template <int N>
static __device__ __forceinline__ void
bwd_pack(unsigned (&a)[N / 8][4], const float (&d)[N])
{
#pragma unroll
	for (int i = 0; i < N / 2; i++)
		a[i / 4][i % 4] = pack2(d[2 * i], d[2 * i + 1]);
}

/* d = A B^T over the width: both in panels of these bytes. */
template <int W, int N>
static __device__ __forceinline__ void
bwd_scores(float (&d)[N], uint64_t a, uint64_t b, int a_panel, int b_panel)
{
#pragma unroll
	for (int k = 0; k < W / 16; k++)
		hopper_mma<0, 0>(d, a + (k / 4 * a_panel >> 4) + k % 4 * HOPPER_ROWS_STEP,
		    b + (k / 4 * b_panel >> 4) + k % 4 * HOPPER_ROWS_STEP, k > 0);
	hopper_mma_commit();
}

/* d += A B. */
template <int K, int N>
static __device__ __forceinline__ void
bwd_add(float (&d)[N], const unsigned (&a)[K][4], uint64_t b)
{
#pragma unroll
	for (int k = 0; k < K; k++)
		hopper_mma<1>(d, a[k], b + k * HOPPER_COLS_STEP, true);
	hopper_mma_commit();
}

/* Rows of d, times `by`, go to `to`, the first of the warp's 16, of which n are
 * there.  The four lanes of a row turn four times 8 columns among themselves,
 * so that each writes 8 neighbours. */
template <int W>
static __device__ __forceinline__ void
bwd_store(bf16 *to, int64_t ld, int n, int D, const float (&d)[W / 2], float by)
{
	const int lane = threadIdx.x % CUDA_WARP, t = lane % 4;
	const bool odd = t & 1, high = t & 2;

#pragma unroll
	for (int i = 0; i < 2; i++) {
		const int row = lane / 4 + 8 * i;

#pragma unroll
		for (int c = 0; c < W / 8; c += 4) {
			unsigned w[4], x, y;
			uint4 v;

#pragma unroll
			for (int k = 0; k < 4; k++)
				w[k] = c + k < W / 8 ? pack2(d[4 * (c + k) + 2 * i] * by,
							   d[4 * (c + k) + 2 * i + 1] * by)
						     : 0u;
			x = __shfl_xor_sync(CUDA_ALL, odd ? w[0] : w[1], 1);
			y = __shfl_xor_sync(CUDA_ALL, odd ? w[2] : w[3], 1);
			w[0] = odd ? x : w[0];
			w[1] = odd ? w[1] : x;
			w[2] = odd ? y : w[2];
			w[3] = odd ? w[3] : y;
			x = __shfl_xor_sync(CUDA_ALL, high ? w[0] : w[2], 2);
			y = __shfl_xor_sync(CUDA_ALL, high ? w[1] : w[3], 2);
			v.x = high ? x : w[0];
			v.y = high ? y : w[1];
			v.z = high ? w[2] : x;
			v.w = high ? w[3] : y;
			if (row < n && 8 * (c + t) < D)
				*reinterpret_cast<uint4 *>(to + row * ld + 8 * (c + t)) = v;
		}
	}
}

static __device__ __forceinline__ void
bwd_read(struct bwd_job &j, const struct bwd_job *from)
{
	const int *x = reinterpret_cast<const int *>(from);
	int *y = reinterpret_cast<int *>(&j);

#pragma unroll
	for (int i = 0; i < (int)(sizeof j / sizeof(int)); i++)
		y[i] = bwd_same(x[i]);
}

template <int W> struct bwd_computer {
	typedef bwd_size<W> z;
	const struct bwd &f;
	const struct bwd_smem<W> sm;
	struct bwd_ring<W> ring;
	const int group, warp, lane;

	__device__ __forceinline__ bwd_computer(const struct bwd &f_, const struct bwd_smem<W> &sm_)
	    : f(f_), sm(sm_), group(bwd_same((int)threadIdx.x / HOPPER_GROUP)),
	      warp((int)threadIdx.x / CUDA_WARP % 4), lane((int)threadIdx.x % CUDA_WARP)
	{
	}

	/* Every lane for what it has read itself. */
	__device__ __forceinline__ void arrive(unsigned bar)
	{
		hopper_bar_arrive(bar);
	}

	__device__ __forceinline__ void wait_full(void)
	{
		hopper_bar_wait(sm.full + ring.i * 8, ring.parity);
	}

	/* Slots that this warpgroup has no use for. */
	__device__ __forceinline__ void pass(int n)
	{
		for (int i = 0; i < n; i++) {
			wait_full();
			arrive(sm.empty + ring.i * 8);
			ring.step();
		}
	}

	/* P' from S', for queries along the row; `edge` as for one tile. */
	__device__ __forceinline__ void dkv_exp(float (&s)[32], unsigned stats, int edge)
	{
		const int lim = edge + warp * 16 + lane / 4 - 2 * (lane % 4);

#pragma unroll
		for (int i = 0; i < 8; i++) {
			const float2 lse = bwd_two(stats + (8 * i + 2 * (lane % 4)) * 4);

			s[4 * i] = bwd_exp2(s[4 * i] * f.scale2 - lse.x);
			s[4 * i + 1] = bwd_exp2(s[4 * i + 1] * f.scale2 - lse.y);
			s[4 * i + 2] = bwd_exp2(s[4 * i + 2] * f.scale2 - lse.x);
			s[4 * i + 3] = bwd_exp2(s[4 * i + 3] * f.scale2 - lse.y);
		}
		if (edge + BWD_Q <= 1)
			return;
#pragma unroll
		for (int i = 0; i < 32; i++)
			if (i / 4 * 8 + i % 2 < lim + i / 2 % 2 * 8)
				s[i] = 0;
	}

	__device__ __forceinline__ void dkv_ds(
	    float (&s)[32], const float (&dp)[32], unsigned stats)
	{
#pragma unroll
		for (int i = 0; i < 8; i++) {
			const float2 d = bwd_two(stats + (BWD_Q + 8 * i + 2 * (lane % 4)) * 4);

			s[4 * i] *= dp[4 * i] - d.x;
			s[4 * i + 1] *= dp[4 * i + 1] - d.y;
			s[4 * i + 2] *= dp[4 * i + 2] - d.x;
			s[4 * i + 3] *= dp[4 * i + 3] - d.y;
		}
	}

	__device__ __forceinline__ void dkv(const struct bwd_job &j)
	{
		const uint64_t k = hopper_rows(sm.fixed + group * z::half);
		const uint64_t v = hopper_rows(sm.fixed + z::tile + group * z::half);
		const int first = group * BWD_Q; /* of the group's keys */
		int left = (j.own + j.others) * f.hg, h = f.hg, x = j.own - 1;
		int edge = x >= 0 ? j.edge + first - x * BWD_Q : BWD_ALL_SEEN;
		int used = -1; /* the slot that the products under way read */
		float dk[W / 2], dv[W / 2];

#pragma unroll
		for (int i = 0; i < W / 2; i++)
			dk[i] = dv[i] = 0;
		if (left == 0)
			arrive(sm.let);
		while (left > 0) {
			const unsigned at = sm.slot + ring.i * z::tile;
			const unsigned stats = sm.stats + ring.i * z::stats;
			float s[32], dp[32];
			unsigned a[4][4], b[4][4];

			if (edge >= BWD_Q || first >= j.n) { /* nothing is seen */
				hopper_mma_wait<0>();
				if (used >= 0)
					arrive(sm.empty + used * 8);
				used = -1;
				pass(1);
				if (--left == 0)
					arrive(sm.let);
			} else {
				wait_full();
				hopper_mma_fence();
				bwd_scores<W>(s, k, hopper_rows(at), z::panel, z::half);
				hopper_mma_wait<1>(); /* what the tile before began */
				if (used >= 0)
					arrive(sm.empty + used * 8);
				hopper_mma_fence();
				bwd_scores<W>(
				    dp, v, hopper_rows(at + z::tile / 2), z::panel, z::half);
				hopper_mma_wait<1>();
				hopper_mma_hold(s);
				dkv_exp(s, stats, edge);
				bwd_pack(a, s);
				hopper_mma_fence();
				bwd_add(dv, a, hopper_cols(at + z::tile / 2, z::half));
				hopper_mma_wait<1>();
				hopper_mma_hold(dp);
				if (--left == 0)
					arrive(sm.let);
				dkv_ds(s, dp, stats);
				bwd_pack(b, s);
				hopper_mma_fence();
				bwd_add(dk, b, hopper_cols(at, z::half));
				used = (int)ring.i;
				ring.step();
			}
			if (--h == 0) {
				h = f.hg;
				edge = --x >= 0 ? edge + BWD_Q : BWD_ALL_SEEN;
			}
		}
		hopper_mma_wait<0>();
		hopper_mma_hold(dk);
		hopper_mma_hold(dv);
		if (used >= 0)
			arrive(sm.empty + used * 8);
		const int row = first + warp * 16;
		const int64_t to = j.row + row;

		bwd_store<W>(
		    f.dk + to * f.a.ldk + j.g * f.a.D, f.a.ldk, j.n - row, f.a.D, dk, f.a.scale);
		bwd_store<W>(f.dv + to * f.a.ldv + j.g * f.a.D, f.a.ldv, j.n - row, f.a.D, dv, 1);
	}

	/* Own keys that query i sees. */
	__device__ __forceinline__ int seen(const struct bwd_job &j, int i)
	{
		const int n = f.a.causal ? i + j.keys - j.n + 1 : j.keys;

		return n < 0 ? 0 : n < j.keys ? n : j.keys;
	}

	/* A unit of the group's: 64 queries of a head. */
	struct dq_unit {
		int i0, head; /* its first query in the sequence */
		int tiles; /* of keys that it sees */
		int used; /* the slot that the products under way read */
		unsigned o_slot, o_parity;
		float lse[2], delta[2]; /* of the lane's two rows */
		float dq[W / 2];
	};

	/* Keys of the range behind tile t that queries up to row `i` of the unit
	 * see, from the tile's first key on. */
	__device__ __forceinline__ int dq_seen(
	    const struct bwd_job &j, const struct dq_unit &u, int t, int i)
	{
		return t < j.prefix_tiles ? j.prefix - t * BWD_K
					  : seen(j, u.i0 + i) - (t - j.prefix_tiles) * BWD_K;
	}

	/* delta from dO and O; with lse it goes to memory. */
	__device__ __forceinline__ void dq_stats(const struct bwd_job &j, struct dq_unit &u)
	{
		const int row = warp * 16 + lane / 4;
		const unsigned dout = sm.fixed + z::tile + group * z::half;
		const unsigned o = sm.slot + u.o_slot * z::tile + group * z::half;

		hopper_bar_wait(sm.full + u.o_slot * 8, u.o_parity);
#pragma unroll
		for (int i = 0; i < 2; i++) {
			u.delta[i] = 0;
#pragma unroll
			for (int c = 0; c < 2 * z::panels; c++) {
				/* Odd rows the other way round: no bank twice. */
				const unsigned at =
				    c / 2 * z::panel +
				    hopper_at(row + 8 * i, (c ^ row) % 2 * 4 + lane % 4);

				u.delta[i] += bwd_dot8(dout + at, o + at);
			}
			u.delta[i] += __shfl_xor_sync(CUDA_ALL, u.delta[i], 1);
			u.delta[i] += __shfl_xor_sync(CUDA_ALL, u.delta[i], 2);
		}
		__syncwarp();
		arrive(sm.empty + u.o_slot * 8);
		if (lane % 4 == 0 && u.i0 < j.n) {
			float *to = bwd_stats(f, j.row, j.s, u.i0 / BWD_Q, u.head) + row;

			to[0] = u.lse[0];
			to[8] = u.lse[1];
			to[BWD_Q] = u.delta[0];
			to[BWD_Q + 8] = u.delta[1];
		}
	}

	/* P from S, for the first N keys of tile t. */
	template <int N>
	__device__ __forceinline__ void dq_exp(
	    float (&s)[N / 2], const struct bwd_job &j, const struct dq_unit &u, int t)
	{
		const int row = warp * 16 + lane / 4;
		const int n[2] = {dq_seen(j, u, t, row), dq_seen(j, u, t, row + 8)};

#pragma unroll
		for (int i = 0; i < N / 2; i++)
			s[i] = bwd_exp2(s[i] * f.scale2 - u.lse[i / 2 % 2]);
		if (dq_seen(j, u, t, 0) >= N)
			return;
#pragma unroll
		for (int i = 0; i < N / 2; i++)
			if (i / 4 * 8 + i % 2 >= n[i / 2 % 2] - 2 * (lane % 4))
				s[i] = 0;
	}

	/* The first N keys of tile t, which are all that the unit sees of it. */
	template <int N>
	__device__ __forceinline__ void dq_tile(const struct bwd_job &j, struct dq_unit &u, int t)
	{
		const uint64_t q = hopper_rows(sm.fixed + group * z::half);
		const uint64_t dout = hopper_rows(sm.fixed + z::tile + group * z::half);
		const unsigned key = sm.slot + ring.i * z::tile;
		const int key_slot = (int)ring.i;
		float s[N / 2], dp[N / 2];
		unsigned a[N / 16][4];

		wait_full();
		hopper_mma_fence();
		bwd_scores<W>(s, q, hopper_rows(key), z::panel, z::panel);
		hopper_mma_wait<1>(); /* dQ of the tile before */
		if (u.used >= 0)
			arrive(sm.empty + u.used * 8);
		ring.step();
		wait_full();
		hopper_mma_fence();
		bwd_scores<W>(
		    dp, dout, hopper_rows(sm.slot + ring.i * z::tile), z::panel, z::panel);
		if (t == 0)
			dq_stats(j, u);
		hopper_mma_wait<1>();
		hopper_mma_hold(s);
		dq_exp<N>(s, j, u, t);
		hopper_mma_wait<0>();
		hopper_mma_hold(dp);
		arrive(sm.empty + ring.i * 8);
		ring.step();
		if (t == u.tiles - 1)
			arrive(sm.let);
#pragma unroll
		for (int i = 0; i < N / 2; i++)
			s[i] *= dp[i] - u.delta[i / 2 % 2];
		bwd_pack(a, s);
		hopper_mma_fence();
		bwd_add(u.dq, a, hopper_cols(key, z::panel));
		u.used = key_slot;
	}

	__device__ __forceinline__ void dq_begin(const struct bwd_job &j, struct dq_unit &u)
	{
		const int which = j.unit + group, row = warp * 16 + lane / 4;

		u.i0 = which / f.hg * BWD_Q;
		u.head = j.g * f.hg + which % f.hg;
		u.tiles = 0;
		if (u.i0 < j.n) {
			const int last = u.i0 + BWD_Q <= j.n ? u.i0 + BWD_Q - 1 : j.n - 1;

			u.tiles = j.prefix_tiles + (seen(j, last) + BWD_K - 1) / BWD_K;
		}
		u.used = -1;
		u.o_slot = ring.i;
		u.o_parity = ring.parity;
		ring.step();
#pragma unroll
		for (int i = 0; i < 2; i++) {
			const int r = u.i0 + row + 8 * i;
			const float lse =
			    r < j.n ? f.lse[(int64_t)(j.row + r) * f.a.H + u.head] : -INFINITY;

			u.lse[i] = lse == -INFINITY ? INFINITY : lse * BWD_LOG2E;
		}
#pragma unroll
		for (int i = 0; i < W / 2; i++)
			u.dq[i] = 0;
	}

	__device__ __forceinline__ void dq(const struct bwd_job &j)
	{
		struct dq_unit u;

		dq_begin(j, u);
		if (u.tiles == 0) {
			dq_stats(j, u);
			arrive(sm.let);
		}
		for (int t = 0; t < u.tiles; t++) {
			if (dq_seen(j, u, t, BWD_Q - 1) > BWD_K / 2)
				dq_tile<BWD_K>(j, u, t);
			else
				dq_tile<BWD_K / 2>(j, u, t);
		}
		hopper_mma_wait<0>();
		hopper_mma_hold(u.dq);
		if (u.used >= 0)
			arrive(sm.empty + u.used * 8);
		pass(2 * (j.prefix_tiles + j.key_tiles - u.tiles));
		if (u.i0 < j.n) {
			const int row = u.i0 + warp * 16;

			bwd_store<W>(f.dq + (int64_t)(j.row + row) * f.a.ldq + u.head * f.a.D,
			    f.a.ldq, j.n - row, f.a.D, u.dq, f.a.scale);
		}
	}

	template <int KIND> __device__ __forceinline__ void run(void)
	{
		for (unsigned parity = 0;; parity ^= 1) {
			struct bwd_job j;

			hopper_bar_wait(sm.held, parity);
			bwd_read(j, sm.job);
			__syncwarp();
			if (j.kind == BWD_END)
				return;
			if (KIND == BWD_DKV)
				dkv(j);
			else
				dq(j);
		}
	}
};

#endif /* HOPPER */

template <int W, int KIND>
static __global__ void
__launch_bounds__(BWD_THREADS, 1) attention_bwd_wgmma(
    const __grid_constant__ struct bwd f, const __grid_constant__ struct bwd_maps m)
{
#if HOPPER
	extern __shared__ unsigned char smem[];
	typedef bwd_size<W> z;
	const struct bwd_smem<W> sm(smem);

	if (threadIdx.x == 0) {
		hopper_bar_init(sm.held, 1);
		hopper_bar_init(sm.let, BWD_WARPS * CUDA_WARP);
		for (int i = 0; i < z::slots; i++) {
			hopper_bar_init(sm.full + i * 8, 1);
			hopper_bar_init(sm.empty + i * 8, BWD_WARPS * CUDA_WARP);
		}
		hopper_bar_made();
	}
	__syncthreads();
	cuda_follow(); /* dq after what made its inputs, dkv after dq */
	cuda_lead();
	if (threadIdx.x >= BWD_GROUPS * HOPPER_GROUP) {
		hopper_regs_give<24>();
		if (threadIdx.x < BWD_GROUPS * HOPPER_GROUP + CUDA_WARP)
			bwd_loader<W>(f, m, sm).template run<KIND>();
	} else {
		hopper_regs_take<240>();
		bwd_computer<W>(f, sm).template run<KIND>();
	}
#endif
}

/* ---- the op ------------------------------------------------------------- */

size_t
cuda_attention_bwd_wgmma_ws(const struct gvk *k, const struct gvk_attn *a, int64_t Nq)
{
	if (cuda_device_of(k)->sm != 90 || a->D > 128)
		return 0;
	return (size_t)((Nq / BWD_Q + a->S + 1) * a->H) * BWD_STATS * sizeof(float);
}

/* A tensor of `heads` heads, to be read in boxes of `height` rows and 64
 * columns of a head. */
static bool
bwd_map(
    struct gvk_stream *s, CUtensorMap *m, const void *p, int heads, int D, int64_t ld, int height)
{
	const uint64_t row = (uint64_t)ld * sizeof(bf16);
	struct hopper_tensor t = {};

	t.p = (const bf16 *)p - height * ld;
	t.type = CU_TENSOR_MAP_DATA_TYPE_BFLOAT16;
	t.swizzle = CU_TENSOR_MAP_SWIZZLE_128B;
	t.rank = 4;
	t.size[0] = (uint64_t)D;
	t.size[1] = (uint64_t)heads;
	t.size[2] = (uint64_t)height;
	t.size[3] = (uint64_t)1 << 31;
	t.stride[1] = (uint64_t)D * sizeof(bf16);
	t.stride[2] = t.stride[3] = row;
	t.box[0] = HOPPER_PANEL;
	t.box[1] = t.box[3] = 1;
	t.box[2] = (uint32_t)height;
	return hopper_map(s, m, &t);
}

template <int W, int KIND>
static void
bwd_launch(struct gvk_stream *s, const struct bwd *f, const struct bwd_maps *m)
{
	const int64_t blocks = cuda_min(f->jobs[KIND], cuda_of(s)->dev->processors);

	if (CUDA_SMEM(s, (attention_bwd_wgmma<W, KIND>), bwd_size<W>::all))
		CUDA_LAUNCH_SOON(s, (attention_bwd_wgmma<W, KIND>), (unsigned)blocks, BWD_THREADS,
		    bwd_size<W>::all, *f, *m);
}

template <int W>
static void
bwd_launch_both(struct gvk_stream *s, const struct bwd *f, const struct bwd_maps *m)
{
	bwd_launch<W, BWD_DQ>(s, f, m);
	bwd_launch<W, BWD_DKV>(s, f, m);
}

/* Jobs of a chunk are sorted by length, so that the last ones are short; more
 * than two or three hundred at once would only spread over memory. */
static void
bwd_plan(struct bwd *f)
{
	const struct gvk_attn *a = &f->a;

	f->hg = a->H / a->G;
	f->kinds = a->p_len ? 2 : 1;
	f->chunk = (int)cuda_min(a->S, cuda_div_up(16, a->G));
	f->chunks = (int)cuda_div_up(a->S, f->chunk);
	f->q_tiles = (int)cuda_div_up(a->max_q, BWD_Q);
	f->k_tiles = (int)cuda_div_up(a->max_k, BWD_K);
	f->q_blocks = (int)cuda_div_up((int64_t)f->q_tiles * f->hg, BWD_GROUPS);
}

bool
cuda_attention_bwd_wgmma(struct gvk_stream *s, bf16 *dq, bf16 *dk, bf16 *dv, const bf16 *dout,
    const bf16 *o, const float *lse, const bf16 *q, const bf16 *k, const bf16 *v,
    const struct gvk_attn *a, void *ws)
{
	struct bwd f = {dq, dk, dv, (float *)ws, lse, cuda_of(s)->ticket + BWD_TICKETS, *a, 0, 0, 0,
	    0, 0, 0, 0, 0, {0, 0}};
	struct bwd_maps m;
	int64_t rows, dkv, units;

	if (cuda_of(s)->dev->sm != 90 || a->D > 128 || a->D % 8 || a->max_q <= 0 || a->max_k <= 0)
		return false;
	if (!cuda_vec8(q, a->ldq) || !cuda_vec8(dq, a->ldq) || !cuda_vec8(k, a->ldk) ||
	    !cuda_vec8(dk, a->ldk) || !cuda_vec8(v, a->ldv) || !cuda_vec8(dv, a->ldv) ||
	    !cuda_vec8(o, a->ldo) || !cuda_vec8(dout, a->ldo))
		return false;
	bwd_plan(&f);
	f.scale2 = a->scale * BWD_LOG2E;
	rows = (int64_t)f.chunks * f.chunk * a->G;
	dkv = rows * f.kinds * f.k_tiles;
	units = rows * f.q_blocks;
	if (dkv > INT32_MAX / 2 || units > INT32_MAX / 2)
		return false;
	f.jobs[BWD_DKV] = (int)dkv;
	f.jobs[BWD_DQ] = (int)units;
	if (!bwd_map(s, &m.q, q, a->H, a->D, a->ldq, BWD_Q) ||
	    !bwd_map(s, &m.dout, dout, a->H, a->D, a->ldo, BWD_Q) ||
	    !bwd_map(s, &m.o, o, a->H, a->D, a->ldo, BWD_Q) ||
	    !bwd_map(s, &m.k, k, a->G, a->D, a->ldk, BWD_K) ||
	    !bwd_map(s, &m.v, v, a->G, a->D, a->ldv, BWD_K))
		return true; /* the stream has the failure */
	if (a->D <= 64)
		bwd_launch_both<64>(s, &f, &m);
	else if (a->D <= 80)
		bwd_launch_both<80>(s, &f, &m);
	else if (a->D <= 96)
		bwd_launch_both<96>(s, &f, &m);
	else
		bwd_launch_both<128>(s, &f, &m);
	return true;
}
