/* Attention forward on Hopper: a persistent grid of blocks, in each one
 * warpgroup that fetches and GROUPS warpgroups that multiply.
 *
 *	item = (sequence, key/value head, 64 GROUPS pairs (query row, head))
 *	S (64,128) = Q K^T	wgmma, both from shared memory
 *	P = exp2(S - max)	in registers, where it is the next operand
 *	O (64,D) += P V		wgmma, P from registers
 *
 * The heads that share a key/value head are rows of one tile, so that short
 * sequences fill it and keys are read once for all of them.
 *
 * Bound by the matrix units: 4 D FLOP a pair and key.  Next to them stand the
 * exponentials, 16 a clock, half the time of the products at D = 128 and all
 * of it at D = 64; so while one warpgroup is at its softmax another has the
 * matrix units (they take turns, `turn`), and within a warpgroup S of the next
 * keys is multiplied before P of these.
 *
 * Keys come in tiles of 128 rows through a ring in shared memory.  A tile that
 * lies inside its range is one tensor copy a panel.  The last, partial one is
 * copied row by row, for rows behind a range may be anybody's, or hold NaN,
 * which no mask would keep out of O: such rows of V are zeros, and scores of
 * such keys are dropped.
 *
 * Items are drawn by ticket, the longest of a section first.  A section is as
 * many sequences as have keys and values that stay in the second-level cache.
 * Sequences are looked at 32 at once, one a lane, so that places in the bounds
 * max_q and S that have no queries cost nothing.
 */
#include "attention.cuh"
#include "attention_ways.cuh"
#include "hopper.cuh"

#define KEYS 128 /* rows of a tile of keys */

/* What the host knows. */
struct forward {
	bf16 *o;
	float *lse; /* or NULL */
	const bf16 *q, *k, *v;
	struct gvk_attn a;
	unsigned *ticket; /* or NULL: items are dealt in turn */
	int hg; /* query heads a key/value head */
	unsigned by_hg; /* 2^32 / hg, rounded up */
	int section; /* sequences of a section: 1, 2, 4, ... 32 */
	float scale2; /* scale in powers of two */
};

/* Sizes and places in shared memory. */
template <int DP, int GROUPS> struct shape {
	static constexpr int PANELS = (DP + 63) / 64;
	static constexpr int ROWS = 64 * GROUPS; /* pairs of an item */
	static constexpr int THREADS = HOPPER_GROUP * (GROUPS + 1);
	static constexpr int Q_PANEL = ROWS * 128, KEY_PANEL = KEYS * 128; /* bytes */
	static constexpr int Q_BYTES = PANELS * Q_PANEL, KEY_BYTES = PANELS * KEY_PANEL;
	static constexpr int STAGES = PANELS == 1 ? 3 : 2;
	static constexpr int K = Q_BYTES, V = K + STAGES * KEY_BYTES;
	static constexpr int O = V + STAGES * KEY_BYTES, BARS = O + Q_BYTES;
};

/* Barriers, at 8 bytes each from the first on; then an item and two tickets. */
template <int STAGES> struct bars {
	static constexpr int Q_FULL = 0, Q_EMPTY = 8, K_FULL = 16, K_EMPTY = K_FULL + 8 * STAGES,
			     V_FULL = K_EMPTY + 8 * STAGES, V_EMPTY = V_FULL + 8 * STAGES,
			     ITEM = V_EMPTY + 8 * STAGES, BYTES = ITEM + 64;
};

template <int DP, int GROUPS>
static constexpr int
shared_bytes(void)
{
	typedef shape<DP, GROUPS> Z;

	return 1024 + Z::BARS + bars<Z::STAGES>::BYTES; /* to align to 1024 */
}

#if HOPPER

/* A place in a ring. */
template <int STAGES> struct ring {
	int at;
	unsigned phase;

	__device__ __forceinline__ void next(void)
	{
		if (++at == STAGES) {
			at = 0;
			phase ^= 1;
		}
	}
};

struct item {
	int first, pairs; /* of the tile; of the sequence and head */
	int q0, nq;
	int g;
	struct attn_range own, prefix;
};

static __device__ __forceinline__ int
row_of(const struct forward &f, int pair)
{
	return f.hg == 1 ? pair : (int)__umulhi((unsigned)pair, f.by_hg);
}

/* The own keys that some pair of the item sees. */
static __device__ __forceinline__ int
own_end(const struct forward &f, const struct item &t, int rows)
{
	int last = t.first + rows < t.pairs ? t.first + rows : t.pairs;

	return attn_seen(f.a.causal, row_of(f, last - 1), t.nq, t.own.n);
}

/* ---- the producer ------------------------------------------------------- */

/* Where the tickets drawn so far have come to: a warp's, a sequence a lane. */
struct queue {
	int base; /* the 32 sequences base..base + 31 */
	int q0, nq; /* of the lane's */
	int tiles; /* of the lane's, if in the section, else 0 */
	int section; /* first lane of the section */
	int level; /* tiles of number `level` are given out */
	unsigned lanes; /* that have one */
	int passed; /* tickets before this level */
};

static __device__ __forceinline__ int
tiles_of(const struct forward &f, int nq, int rows)
{
	return (nq * f.hg + rows - 1) / rows;
}

/* The section that starts at lane q.section of the sequences from q.base. */
static __device__ __forceinline__ void
queue_section(const struct forward &f, struct queue &q, int rows)
{
	int lane = threadIdx.x % 32;
	bool in = lane >= q.section && lane < q.section + f.section;

	q.tiles = in ? tiles_of(f, q.nq, rows) : 0;
	q.level = (int)__reduce_max_sync(CUDA_ALL, (unsigned)q.tiles);
	q.lanes = 0;
}

static __device__ __forceinline__ void
queue_sequences(const struct forward &f, struct queue &q, int rows)
{
	int s = q.base + (int)(threadIdx.x % 32);

	q.q0 = q.nq = 0;
	if (s < f.a.S) {
		q.q0 = f.a.q_at[s];
		q.nq = f.a.q_at[s + 1] - q.q0;
	}
	q.section = 0;
	queue_section(f, q, rows);
}

/* The item of a ticket; tickets ascend.  False: there is none any more. */
static __device__ __forceinline__ bool
queue_item(const struct forward &f, struct queue &q, int ticket, int rows, struct item &t)
{
	const int mine = threadIdx.x % 32;
	int lane, s;

	while (ticket >= q.passed + __popc(q.lanes) * f.a.G) {
		q.passed += __popc(q.lanes) * f.a.G;
		while (q.level == 0) {
			q.section += f.section;
			if (q.section < 32) {
				queue_section(f, q, rows);
				continue;
			}
			q.base += 32;
			if (q.base >= f.a.S)
				return false;
			queue_sequences(f, q, rows);
		}
		q.level--;
		q.lanes = __ballot_sync(CUDA_ALL, q.tiles > q.level);
	}
	ticket -= q.passed;
	lane =
	    __ffs((int)__ballot_sync(CUDA_ALL,
		(q.lanes >> mine & 1) && __popc(q.lanes & ((1u << mine) - 1)) == ticket / f.a.G)) -
	    1;
	s = q.base + lane;
	t.g = ticket % f.a.G;
	t.q0 = __shfl_sync(CUDA_ALL, q.q0, lane);
	t.nq = __shfl_sync(CUDA_ALL, q.nq, lane);
	t.pairs = t.nq * f.hg;
	t.first = q.level * rows;
	t.own = attn_own(f.a, s);
	t.prefix = attn_prefix(f.a, s);
	return true;
}

/* Pairs of the item, zeros behind the last one and behind D. */
template <int DP, int GROUPS>
static __device__ __forceinline__ void
fetch_q(const struct forward &f, const struct item &t, unsigned smem)
{
	typedef shape<DP, GROUPS> Z;
	const bf16 *base = f.q + (int64_t)t.g * f.hg * f.a.D;

#pragma unroll 4
	for (int i = threadIdx.x % HOPPER_GROUP; i < Z::ROWS * (DP / 8); i += HOPPER_GROUP) {
		int r = i / (DP / 8), c = i % (DP / 8), pair = t.first + r, row = row_of(f, pair);
		bool there = pair < t.pairs && c * 8 < f.a.D;
		const bf16 *from =
		    base + (int64_t)(t.q0 + row) * f.a.ldq + (pair - row * f.hg) * f.a.D + c * 8;

		hopper_copy16(
		    smem + c / 8 * Z::Q_PANEL + hopper_at(r, c % 8), there ? from : base, there);
	}
}

/* The n < KEYS rows at `from`; behind them zeros if `clear`, else anything. */
template <int DP>
static __device__ __forceinline__ void
fetch_part(unsigned to, const bf16 *from, int64_t ld, int n, int D, bool clear)
{
	const int end = clear ? KEYS : n;

#pragma unroll 4
	for (int i = threadIdx.x % HOPPER_GROUP; i < end * (DP / 8); i += HOPPER_GROUP) {
		int r = i / (DP / 8), c = i % (DP / 8);
		bool there = r < n && c * 8 < D;

		hopper_copy16(to + c / 8 * (KEYS * 128) + hopper_at(r, c % 8),
		    there ? from + r * ld + c * 8 : from, there);
	}
}

/* Tile `j` of the item's keys or values into a stage: four warps arrive at
 * `full`. */
template <int DP>
static __device__ __forceinline__ void
fetch_keys(const struct forward &f, const struct item &t, int j, unsigned to, unsigned full,
    const CUtensorMap *map, const bf16 *x, int64_t ld, bool clear)
{
	const int PANELS = (DP + 63) / 64, before = (t.prefix.n + KEYS - 1) / KEYS;
	const struct attn_range keys = j < before ? t.prefix : t.own;
	const int at = (j < before ? j : j - before) * KEYS;
	const bool first = threadIdx.x % HOPPER_GROUP == 0;

	if (keys.n - at >= KEYS) {
		if (first) {
			hopper_bar_expect(full, PANELS * KEYS * 128);
#pragma unroll
			for (int i = 0; i < PANELS; i++)
				hopper_load(to + i * KEYS * 128, map, full, i * 64, t.g,
				    keys.at + at, HOPPER_NORMAL);
		} else if (threadIdx.x % 32 == 0) {
			hopper_bar_arrive(full);
		}
		return;
	}
	fetch_part<DP>(
	    to, x + (int64_t)(keys.at + at) * ld + t.g * f.a.D, ld, keys.n - at, f.a.D, clear);
	hopper_copy_commit();
	hopper_copy_wait<0>();
	hopper_fence_async();
	__syncwarp();
	if (threadIdx.x % 32 == 0)
		hopper_bar_arrive(full);
}

/* The next ticket for all of the producer; `slot` alternates. */
static __device__ __forceinline__ int
draw(const struct forward &f, int ticket, unsigned mine, volatile int *slot)
{
	if (!f.ticket)
		return ticket + (int)gridDim.x;
	if (threadIdx.x % HOPPER_GROUP == 0)
		*slot = (int)(mine + gridDim.x);
	hopper_sync(1, HOPPER_GROUP);
	return *slot;
}

template <int DP, int GROUPS>
static __device__ __forceinline__ void
produce(const struct forward &f, const CUtensorMap *mk, const CUtensorMap *mv, char *shared)
{
	typedef shape<DP, GROUPS> Z;
	typedef bars<Z::STAGES> B;
	const unsigned smem = hopper_smem(shared), bar = smem + Z::BARS;
	struct item *slot = (struct item *)(shared + Z::BARS + B::ITEM);
	volatile int *tickets = (volatile int *)(slot + 1);
	struct ring<Z::STAGES> k = {0, 1}, v = {
		0, 1
	};
	struct queue q = {};
	struct item t;
	unsigned q_phase = 1, mine = 0;
	int ticket = (int)blockIdx.x;
	const bool first = threadIdx.x % HOPPER_GROUP == 0;

	queue_sequences(f, q, Z::ROWS);
	for (int n = 0; queue_item(f, q, ticket, Z::ROWS, t); n ^= 1) {
		int tiles =
		    (t.prefix.n + KEYS - 1) / KEYS + (own_end(f, t, Z::ROWS) + KEYS - 1) / KEYS;

		if (f.ticket && first)
			mine = atomicAdd(f.ticket, 1);
		hopper_bar_wait(bar + B::Q_EMPTY, q_phase);
		fetch_q<DP, GROUPS>(f, t, smem);
		hopper_copy_commit();
		for (int j = 0; j <= tiles; j++) {
			if (j < tiles) {
				hopper_bar_wait(bar + B::K_EMPTY + 8 * k.at, k.phase);
				fetch_keys<DP>(f, t, j, smem + Z::K + k.at * Z::KEY_BYTES,
				    bar + B::K_FULL + 8 * k.at, mk, f.k, f.a.ldk, false);
				k.next();
			}
			if (j == 0) {
				if (first)
					*slot = t;
				hopper_copy_wait<0>();
				hopper_fence_async();
				__syncwarp();
				if (threadIdx.x % 32 == 0)
					hopper_bar_arrive(bar + B::Q_FULL);
				continue;
			}
			hopper_bar_wait(bar + B::V_EMPTY + 8 * v.at, v.phase);
			fetch_keys<DP>(f, t, j - 1, smem + Z::V + v.at * Z::KEY_BYTES,
			    bar + B::V_FULL + 8 * v.at, mv, f.v, f.a.ldv, true);
			v.next();
		}
		q_phase ^= 1;
		ticket = draw(f, ticket, mine, tickets + n);
	}
	hopper_bar_wait(bar + B::Q_EMPTY, q_phase);
	if (first)
		slot->pairs = 0; /* the end */
	__syncwarp();
	if (threadIdx.x % 32 == 0)
		hopper_bar_arrive(bar + B::Q_FULL);
}

/* ---- the consumers ------------------------------------------------------ */

static __device__ __forceinline__ float
exp2_(float x)
{
	float y;

	asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
	return y;
}

/* Scores of keys from `end` on are dropped, for each of the thread's rows. */
static __device__ __forceinline__ void
mask(float (&s)[KEYS / 2], int end0, int end1)
{
	const int col = 2 * (threadIdx.x % 4);

#pragma unroll
	for (int i = 0; i < KEYS / 2; i += 4) {
		int c = col + 2 * i;

		s[i] = c < end0 ? s[i] : -INFINITY;
		s[i + 1] = c + 1 < end0 ? s[i + 1] : -INFINITY;
		s[i + 2] = c < end1 ? s[i + 2] : -INFINITY;
		s[i + 3] = c + 1 < end1 ? s[i + 3] : -INFINITY;
	}
}

/* Scores become exp2(scale2 (score - max)); max[r] moves to the new maximum of
 * row r and sum[r], the thread's own, along; by scale[r] O is to be
 * multiplied. */
static __device__ __forceinline__ void
softmax(float (&s)[KEYS / 2], float (&max)[2], float (&sum)[2], float (&scale)[2], float scale2)
{
#pragma unroll
	for (int r = 0; r < 2; r++) {
		float m = max[r], base, l = 0;

#pragma unroll
		for (int i = 2 * r; i < KEYS / 2; i += 4)
			m = fmaxf(m, fmaxf(s[i], s[i + 1]));
		m = fmaxf(m, __shfl_xor_sync(CUDA_ALL, m, 1));
		m = fmaxf(m, __shfl_xor_sync(CUDA_ALL, m, 2));
		base = m == -INFINITY ? 0.f : m * scale2; /* nothing seen: exp2 = 0 */
		scale[r] = exp2_(max[r] * scale2 - base);
		max[r] = m;
#pragma unroll
		for (int i = 2 * r; i < KEYS / 2; i += 4) {
			s[i] = exp2_(s[i] * scale2 - base);
			s[i + 1] = exp2_(s[i + 1] * scale2 - base);
			l += s[i] + s[i + 1];
		}
		sum[r] = sum[r] * scale[r] + l;
	}
}

static __device__ __forceinline__ void
pack(unsigned (&p)[KEYS / 16][4], const float (&s)[KEYS / 2])
{
#pragma unroll
	for (int i = 0; i < KEYS / 4; i++)
		p[i / 4][i % 4] = pack2(s[2 * i], s[2 * i + 1]);
}

template <int DP>
static __device__ __forceinline__ void
scores(float (&s)[KEYS / 2], unsigned q, int q_panel, unsigned k)
{
	hopper_mma_fence();
#pragma unroll
	for (int i = 0; i < DP / 16; i++)
		hopper_mma<0, 0>(s, hopper_rows(q + i / 4 * q_panel) + i % 4 * HOPPER_ROWS_STEP,
		    hopper_rows(k + i / 4 * KEYS * 128) + i % 4 * HOPPER_ROWS_STEP, i > 0);
	hopper_mma_commit();
}

template <int DP>
static __device__ __forceinline__ void
values(float (&o)[DP / 2], const unsigned (&p)[KEYS / 16][4], unsigned v)
{
	const uint64_t at = hopper_cols(v, KEYS * 128);

	hopper_mma_fence();
#pragma unroll
	for (int i = 0; i < KEYS / 16; i++)
		hopper_mma<1>(o, p[i], at + i * HOPPER_COLS_STEP, true);
	hopper_mma_commit();
}

/* O over the sum of P, by way of the warpgroup's rows of shared memory. */
template <int DP, int GROUPS>
static __device__ __forceinline__ void
finish(const struct forward &f, const struct item &t, float (&o)[DP / 2], const float (&max)[2],
    float (&sum)[2], unsigned smem)
{
	typedef shape<DP, GROUPS> Z;
	const int group = threadIdx.x / HOPPER_GROUP - 1, thread = threadIdx.x % HOPPER_GROUP;
	const int lane = threadIdx.x % 32, row = 16 * (thread / 32) + lane / 4;
	const int first = t.first + 64 * group;
	const unsigned at = smem + Z::O + group * (64 * 128);

#pragma unroll
	for (int r = 0; r < 2; r++) {
		int pair = first + row + 8 * r, i = row_of(f, pair);
		float l = sum[r];

		l += __shfl_xor_sync(CUDA_ALL, l, 1);
		l += __shfl_xor_sync(CUDA_ALL, l, 2);
		if (f.lse && lane % 4 == 0 && pair < t.pairs)
			f.lse[(int64_t)(t.q0 + i) * f.a.H + t.g * f.hg + pair - i * f.hg] =
			    l == 0 ? -INFINITY : (max[r] * f.scale2 + log2f(l)) * (1 / ATTN_LOG2E);
		sum[r] = l == 0 ? 0 : 1 / l;
	}
	hopper_sync(2 + group, HOPPER_GROUP); /* the last item's have been read */
#pragma unroll
	for (int i = 0; i < DP / 16; i++) {
		const int r = 16 * (thread / 32) + lane % 16, c = 2 * i + lane / 16;

		hopper_put4(at + c / 8 * Z::Q_PANEL + hopper_at(r, c % 8),
		    pack2(o[8 * i] * sum[0], o[8 * i + 1] * sum[0]),
		    pack2(o[8 * i + 2] * sum[1], o[8 * i + 3] * sum[1]),
		    pack2(o[8 * i + 4] * sum[0], o[8 * i + 5] * sum[0]),
		    pack2(o[8 * i + 6] * sum[1], o[8 * i + 7] * sum[1]));
	}
	hopper_sync(2 + group, HOPPER_GROUP);
	for (int i = thread; i < 64 * (DP / 8); i += HOPPER_GROUP) {
		int r = i / (DP / 8), c = i % (DP / 8), pair = first + r, n = row_of(f, pair);
		uint4 x;

		if (pair >= t.pairs || c * 8 >= f.a.D)
			continue;
		asm volatile("ld.shared.v4.b32 {%0, %1, %2, %3}, [%4];"
			     : "=r"(x.x), "=r"(x.y), "=r"(x.z), "=r"(x.w)
			     : "r"(at + c / 8 * Z::Q_PANEL + hopper_at(r, c % 8)));
		*reinterpret_cast<uint4 *>(f.o + (int64_t)(t.q0 + n) * f.a.ldo +
					   (t.g * f.hg + pair - n * f.hg) * f.a.D + c * 8) = x;
	}
}

/* The keys of tile j that each of the thread's rows sees, counted from the
 * tile's first: they may be less than 0 and more than KEYS. */
struct view {
	int before; /* tiles of the prefix */
	int prefix; /* rows */
	int own[2]; /* own keys seen by the thread's rows */
	int own_least; /* by the warpgroup's first row */
};

static __device__ __forceinline__ void
look(float (&s)[KEYS / 2], const struct view &w, int j)
{
	const bool own = j >= w.before;
	const int at = (own ? j - w.before : j) * KEYS;

	if ((own ? w.own_least : w.prefix) - at < KEYS)
		mask(s, (own ? w.own[0] : w.prefix) - at, (own ? w.own[1] : w.prefix) - at);
}

/* The warp needs no longer what a barrier guards. */
static __device__ __forceinline__ void
done(unsigned bar)
{
	if (threadIdx.x % 32 == 0)
		hopper_bar_arrive(bar);
}

template <int DP, int GROUPS>
static __device__ __forceinline__ void
consume(const struct forward &f, char *shared)
{
	typedef shape<DP, GROUPS> Z;
	typedef bars<Z::STAGES> B;
	const unsigned smem = hopper_smem(shared), bar = smem + Z::BARS;
	const struct item *slot = (const struct item *)(shared + Z::BARS + B::ITEM);
	const int group = threadIdx.x / HOPPER_GROUP - 1, thread = threadIdx.x % HOPPER_GROUP;
	const unsigned q = smem + group * (64 * 128);
	const int turn = 5 + group, next = 5 + (group + 1) % GROUPS;
	struct ring<Z::STAGES> k = {0, 0}, v = {
		0, 0
	};
	unsigned q_phase = 0, p[KEYS / 16][4];
	float s[KEYS / 2], o[DP / 2], max[2], sum[2], scale[2];

	if (GROUPS > 1 && group == GROUPS - 1)
		hopper_arrive(next, 2 * HOPPER_GROUP);
	for (;; q_phase ^= 1) {
		struct item t;
		struct view w;
		int tiles;

		hopper_bar_wait(bar + B::Q_FULL, q_phase);
		t = *slot;
		if (t.pairs == 0)
			break;
		w.before = (t.prefix.n + KEYS - 1) / KEYS;
		w.prefix = t.prefix.n;
		tiles = w.before + (own_end(f, t, Z::ROWS) + KEYS - 1) / KEYS;
#pragma unroll
		for (int r = 0; r < 3; r++) {
			int row = r < 2 ? 16 * (thread / 32) + thread % 32 / 4 + 8 * r : 0;
			int pair = t.first + 64 * group + row;
			int last = pair < t.pairs ? pair : t.pairs - 1;
			int seen = attn_seen(f.a.causal, row_of(f, last), t.nq, t.own.n);

			if (r < 2)
				w.own[r] = seen;
			else
				w.own_least = seen;
		}
#pragma unroll
		for (int r = 0; r < 2; r++) {
			max[r] = -INFINITY;
			sum[r] = 0;
		}
#pragma unroll
		for (int i = 0; i < DP / 2; i++)
			o[i] = 0;
		if (tiles > 0) {
			hopper_bar_wait(bar + B::K_FULL + 8 * k.at, k.phase);
			scores<DP>(s, q, Z::Q_PANEL, smem + Z::K + k.at * Z::KEY_BYTES);
			hopper_mma_wait<0>();
			hopper_mma_hold(s);
			done(bar + B::K_EMPTY + 8 * k.at);
			k.next();
			look(s, w, 0);
			softmax(s, max, sum, scale, f.scale2);
			pack(p, s);
		}
		for (int j = 1; j < tiles; j++) {
			if (GROUPS > 1)
				hopper_sync(turn, 2 * HOPPER_GROUP);
			hopper_bar_wait(bar + B::K_FULL + 8 * k.at, k.phase);
			scores<DP>(s, q, Z::Q_PANEL, smem + Z::K + k.at * Z::KEY_BYTES);
			hopper_bar_wait(bar + B::V_FULL + 8 * v.at, v.phase);
			values<DP>(o, p, smem + Z::V + v.at * Z::KEY_BYTES);
			if (GROUPS > 1)
				hopper_arrive(next, 2 * HOPPER_GROUP);
			hopper_mma_wait<1>();
			hopper_mma_hold(s);
			done(bar + B::K_EMPTY + 8 * k.at);
			k.next();
			look(s, w, j);
			softmax(s, max, sum, scale, f.scale2);
			hopper_mma_wait<0>();
			hopper_mma_hold(o);
			done(bar + B::V_EMPTY + 8 * v.at);
			v.next();
#pragma unroll
			for (int i = 0; i < DP / 2; i++)
				o[i] *= scale[i / 2 % 2];
			pack(p, s);
		}
		__syncwarp(); /* all have read the item */
		done(bar + B::Q_EMPTY);
		if (tiles > 0) {
			hopper_bar_wait(bar + B::V_FULL + 8 * v.at, v.phase);
			values<DP>(o, p, smem + Z::V + v.at * Z::KEY_BYTES);
			hopper_mma_wait<0>();
			hopper_mma_hold(o);
			done(bar + B::V_EMPTY + 8 * v.at);
			v.next();
		}
		finish<DP, GROUPS>(f, t, o, max, sum, smem);
	}
}

#endif /* HOPPER */

template <int DP, int GROUPS>
static __global__ void
__launch_bounds__(shape<DP, GROUPS>::THREADS, 1) attention(const __grid_constant__ struct forward f,
    const __grid_constant__ CUtensorMap mk, const __grid_constant__ CUtensorMap mv)
{
#if HOPPER
	typedef shape<DP, GROUPS> Z;
	typedef bars<Z::STAGES> B;
	extern __shared__ char memory[];
	char *shared = memory + (1024 - (hopper_smem(memory) & 1023)) % 1024;

	if (threadIdx.x == 0) {
		const unsigned bar = hopper_smem(shared) + Z::BARS;

		hopper_prefetch_map(&mk);
		hopper_prefetch_map(&mv);
		hopper_bar_init(bar + B::Q_FULL, 4); /* warps of the producer */
		hopper_bar_init(bar + B::Q_EMPTY, 4 * GROUPS);
		for (int i = 0; i < 8 * Z::STAGES; i += 8) {
			hopper_bar_init(bar + B::K_FULL + i, 4);
			hopper_bar_init(bar + B::V_FULL + i, 4);
			hopper_bar_init(bar + B::K_EMPTY + i, 4 * GROUPS);
			hopper_bar_init(bar + B::V_EMPTY + i, 4 * GROUPS);
		}
		hopper_bar_made();
	}
	__syncthreads();
	if (threadIdx.x < HOPPER_GROUP) {
		hopper_regs_give<GROUPS == 2 ? 56 : 32>();
		produce<DP, GROUPS>(f, &mk, &mv, shared);
	} else {
		hopper_regs_take<GROUPS == 2 ? 224 : 160>();
		consume<DP, GROUPS>(f, shared);
	}
#endif
}

/* ---- the host ----------------------------------------------------------- */

/* Keys (rows, G, D) in boxes of a panel of one head.  How many rows there are
 * is not known here; the kernel asks for rows that are there only. */
static bool
map_keys(struct gvk_stream *s, CUtensorMap *m, const bf16 *x, int64_t ld, const struct gvk_attn *a)
{
	struct hopper_tensor t = {};

	t.p = x;
	t.type = CU_TENSOR_MAP_DATA_TYPE_BFLOAT16;
	t.swizzle = CU_TENSOR_MAP_SWIZZLE_128B;
	t.rank = 3;
	t.size[0] = (uint64_t)a->D;
	t.size[1] = (uint64_t)a->G;
	t.size[2] = INT32_MAX;
	t.stride[1] = (uint64_t)a->D * sizeof(bf16);
	t.stride[2] = (uint64_t)ld * sizeof(bf16);
	t.box[0] = HOPPER_PANEL;
	t.box[1] = 1;
	t.box[2] = KEYS;
	return hopper_map(s, m, &t);
}

template <int DP, int GROUPS>
static void
launch(struct gvk_stream *s, struct forward *f)
{
	typedef shape<DP, GROUPS> Z;
	struct cuda_stream *c = cuda_of(s);
	const struct gvk_attn *a = &f->a;
	int64_t items = a->S * a->G * cuda_div_up((int64_t)a->max_q * f->hg, Z::ROWS);
	unsigned blocks = cuda_blocks(cuda_min(items, c->dev->processors), 1);
	const size_t bytes = shared_bytes<DP, GROUPS>();
	CUtensorMap mk, mv;

	if (!map_keys(s, &mk, f->k, a->ldk, a) || !map_keys(s, &mv, f->v, a->ldv, a) ||
	    !CUDA_SMEM(s, (attention<DP, GROUPS>), bytes))
		return;
	if (items > blocks) {
		f->ticket = (unsigned *)c->scratch;
		if (!cuda_ok(
			s, cudaMemsetAsync(f->ticket, 0, sizeof *f->ticket, c->st), "attention"))
			return;
	}
	CUDA_LAUNCH(s, (attention<DP, GROUPS>), blocks, Z::THREADS, bytes, *f, mk, mv);
}

/* Sequences of a section: causal ones whose keys and values together stay in
 * the cache; else one, for all tiles are equally long. */
static int
section(const struct gvk_attn *a)
{
	const int64_t cache = (int64_t)24 << 20;
	int64_t one = (int64_t)a->max_k * a->G * a->D * 2 * (int64_t)sizeof(bf16);
	int n = 1;

	while (a->causal && n < 32 && 2 * n * one <= cache)
		n *= 2;
	return n;
}

/* Three warpgroups multiply where their tiles are filled as well as two's. */
static bool
three(int64_t pairs)
{
	return cuda_div_up(pairs, 192) * 192 <= cuda_div_up(pairs, 128) * 128;
}

bool
cuda_attention_wgmma(struct gvk_stream *s, bf16 *o, float *lse, const bf16 *q, const bf16 *k,
    const bf16 *v, const struct gvk_attn *a)
{
	struct cuda_stream *c = cuda_of(s);
	struct forward f = {};

	if (c->dev->sm != 90 || a->D > 128 || a->D % 8 || !(a->scale > 0) ||
	    !cuda_vec8(q, a->ldq) || !cuda_vec8(k, a->ldk) || !cuda_vec8(v, a->ldv) ||
	    !cuda_vec8(o, a->ldo))
		return false;
	f.o = o;
	f.lse = lse;
	f.q = q;
	f.k = k;
	f.v = v;
	f.a = *a;
	f.hg = a->H / a->G;
	f.by_hg = (unsigned)((((uint64_t)1 << 32) + f.hg - 1) / f.hg);
	f.section = section(a);
	f.scale2 = a->scale * ATTN_LOG2E;
	if (a->D > 96)
		launch<128, 2>(s, &f);
	else if (a->D > 80)
		launch<96, 2>(s, &f);
	else if (a->D > 64)
		launch<80, 2>(s, &f);
	else if (three((int64_t)a->max_q * f.hg))
		launch<64, 3>(s, &f);
	else
		launch<64, 2>(s, &f);
	return true;
}
