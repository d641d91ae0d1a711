/* Attention forward on Hopper: a persistent grid of blocks, in each one
 * two warps that fetch and GROUPS warpgroups that multiply.
 *
 *	item = (sequence, key/value head, rows of queries of all its heads)
 *	S (64,KEYS) = Q K^T	wgmma, both from shared memory
 *	P = exp2(S - max)	in registers, where it is the next operand
 *	O (64,D) += P V		wgmma, P from registers
 *
 * The heads that share a key/value head are rows of one tile, as many rows of
 * queries as fit into 64 GROUPS, so that short sequences fill it and keys are
 * read once for all heads.
 *
 * Bound by the matrix units: 4 D FLOP a pair and key; short sequences by
 * memory, 4 D bytes a pair and key row.  Next to the products stand the
 * exponentials, 16 a clock, half the time of the products at D = 128 and all
 * of it at D = 64; so while one warpgroup is at its softmax another has the
 * matrix units (they take turns), and within a warpgroup S of the next keys is
 * multiplied before P of these, from one item to the next, too.
 *
 * One thread fetches keys and values, another draws items and fetches Q, all by
 * tensor copies, in rings of shared memory; O leaves through the place of Q.
 * A copy moves a box of fixed size, and what lies behind a range must not be
 * touched: it may be no memory at all, or hold NaN, which no mask would keep
 * out of O.  So each tensor has maps with four sizes of boxes, and a partial
 * tile is put together from several.  Behind its rows of V come zeros: boxes
 * outside of the tensor; behind its rows of K anything, for those scores are
 * dropped.
 *
 * Items are drawn by ticket, the longest of a section first.  A section is as
 * many sequences as have keys and values that stay in the second-level cache.
 * Sequences are looked at 32 at once, one a lane, so that places in the bounds
 * max_q and S that have no queries cost nothing.
 *
 * Measured, H100, 2026-11-23, TFLOP/s (of 989) for 12 heads of 128 on 2, causal:
 * 726 at 2 x 8192, 594 at 8 x 2048, 475 at 16 x 1024 tokens; 16 heads, full:
 * 475 at 8 x 2048 of 64, 322 at 256 x 256 of 64 (86 % of what memory allows),
 * 347 at 64 x 729 of 72.
 */
#include "attention.cuh"
#include "attention_ways.cuh"
#include "hopper.cuh"

/* What the host knows. */
struct forward {
	bf16 *o;
	float *lse; /* or NULL */
	const bf16 *q, *k, *v;
	struct gvk_attn a;
	unsigned *ticket; /* a zero */
	int hg; /* query heads a key/value head */
	int by_hg; /* 2^16 / hg, rounded up */
	int rows; /* of queries in a tile */
	int section; /* sequences of a section: 1, 2, 4, ... 32 */
	float scale2; /* scale in powers of two */
};

/* Boxes of each tensor: a whole tile, and parts of it, in rows. */
#define BOXES              4
#define BOX_ROWS(i, whole) ((i) == 0 ? (whole) : (i) == 1 ? 32 : (i) == 2 ? 8 : 1)

struct maps {
	CUtensorMap q[BOXES], k[BOXES], v[BOXES];
};

/* Sizes and places in shared memory. */
template <int DP, int KEYS, int GROUPS> struct shape {
	static constexpr int PANELS = (DP + 63) / 64;
	static constexpr int PAIRS = 64 * GROUPS; /* of an item, at most */
	static constexpr int THREADS = HOPPER_GROUP * (GROUPS + 1);
	static constexpr int Q_PANEL = PAIRS * 128, KEY_PANEL = KEYS * 128; /* bytes */
	static constexpr int Q_BYTES = PANELS * Q_PANEL, KEY_BYTES = PANELS * KEY_PANEL;
	/* Places of the rings of items and of Q, and of those of K and of V. */
	static constexpr int ROOM = 225 * 1024;
	static constexpr int ITEMS = ROOM - 3 * Q_BYTES >= 4 * KEY_BYTES ? 3 : 2;
	static constexpr int FIT = (ROOM - ITEMS * Q_BYTES) / (2 * KEY_BYTES);
	static constexpr int STAGES = FIT < 4 ? FIT : 4;
	static constexpr int K = ITEMS * Q_BYTES, V = K + STAGES * KEY_BYTES;
	/* Registers a thread: of the 64 K, in multiples of 8. */
	static constexpr int FETCH_REGS = GROUPS == 2 ? 56 : GROUPS == 3 ? 32 : 24;
	static constexpr int REGS = GROUPS == 2 ? 224 : GROUPS == 3 ? 160 : 112;
	static constexpr int BARS = V + STAGES * KEY_BYTES;
};

/* Barriers, from BARS on, for each place of a ring one; then the items. */
template <int ITEMS, int STAGES> struct bars {
	static constexpr int ITEM_FULL = 0, ITEM_EMPTY = ITEM_FULL + 8 * ITEMS,
			     Q_FULL = ITEM_EMPTY + 8 * ITEMS, K_FULL = Q_FULL + 8 * ITEMS,
			     K_EMPTY = K_FULL + 8 * STAGES, V_FULL = K_EMPTY + 8 * STAGES,
			     V_EMPTY = V_FULL + 8 * STAGES, ITEM = V_EMPTY + 8 * STAGES,
			     BYTES = ITEM + ITEMS * 64;
};

template <int DP, int KEYS, int GROUPS>
static constexpr int
shared_bytes(void)
{
	typedef shape<DP, KEYS, GROUPS> Z;

	static_assert(Z::STAGES > 1, "too large");
	return 1024 + Z::BARS + bars<Z::ITEMS, Z::STAGES>::BYTES; /* to align to 1024 */
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
	int pairs; /* (query row, head), row by row; 0: the end */
	int first; /* row of queries, of the sequence */
	int q0, nq;
	int g;
	int before, tiles; /* tiles of keys of the prefix, and all */
	struct attn_range own, prefix;
};

/* The row, from the tile's first, of a pair of the tile. */
static __device__ __forceinline__ int
row_of(const struct forward &f, int pair)
{
	return pair * f.by_hg >> 16;
}

/* ---- items -------------------------------------------------------------- */

/* Where the tickets drawn so far have come to: a warp's, a sequence a lane. */
struct queue {
	int base; /* the 32 sequences base..base + 31 */
	int q0, nq; /* of the lane's */
	struct attn_range own, prefix;
	int tiles; /* of the lane's, if in the section, else 0 */
	int section; /* first lane of the section */
	int level; /* tiles of number `level` are given out */
	unsigned lanes; /* that have one */
	int passed; /* tickets before this level */
};

static __device__ __forceinline__ int
tiles_of(const struct forward &f, int nq)
{
	return (nq + f.rows - 1) / f.rows;
}

/* The section that starts at lane q.section of the sequences from q.base. */
static __device__ __forceinline__ void
queue_section(const struct forward &f, struct queue &q)
{
	int lane = threadIdx.x % 32;
	bool in = lane >= q.section && lane < q.section + f.section;

	q.tiles = in ? tiles_of(f, q.nq) : 0;
	q.level = (int)__reduce_max_sync(CUDA_ALL, (unsigned)q.tiles);
	q.lanes = 0;
}

static __device__ __forceinline__ void
queue_sequences(const struct forward &f, struct queue &q)
{
	int s = q.base + (int)(threadIdx.x % 32);

	q.nq = 0;
	if (s < f.a.S) {
		q.q0 = f.a.q_at[s];
		q.nq = f.a.q_at[s + 1] - q.q0;
		q.own = attn_own(f.a, s);
		q.prefix = attn_prefix(f.a, s);
	}
	q.section = 0;
	queue_section(f, q);
}

/* The item of a ticket; tickets ascend.  False: there is none any more. */
static __device__ __forceinline__ bool
queue_item(const struct forward &f, struct queue &q, int ticket, int keys, struct item &t)
{
	const int mine = threadIdx.x % 32;
	int lane, rows, seen;

	while (ticket >= q.passed + __popc(q.lanes) * f.a.G) {
		q.passed += __popc(q.lanes) * f.a.G;
		while (q.level == 0) {
			q.section += f.section;
			if (q.section < 32) {
				queue_section(f, q);
				continue;
			}
			q.base += 32;
			if (q.base >= f.a.S)
				return false;
			queue_sequences(f, q);
		}
		q.level--;
		q.lanes = __ballot_sync(CUDA_ALL, q.tiles > q.level);
	}
	ticket -= q.passed;
	lane =
	    __ffs((int)__ballot_sync(CUDA_ALL,
		(q.lanes >> mine & 1) && __popc(q.lanes & ((1u << mine) - 1)) == ticket / f.a.G)) -
	    1;
	t.g = ticket % f.a.G;
	t.q0 = __shfl_sync(CUDA_ALL, q.q0, lane);
	t.nq = __shfl_sync(CUDA_ALL, q.nq, lane);
	t.first = q.level * f.rows;
	rows = t.nq - t.first < f.rows ? t.nq - t.first : f.rows;
	t.pairs = rows * f.hg;
	t.own.at = __shfl_sync(CUDA_ALL, q.own.at, lane);
	t.own.n = __shfl_sync(CUDA_ALL, q.own.n, lane);
	t.prefix.at = __shfl_sync(CUDA_ALL, q.prefix.at, lane);
	t.prefix.n = __shfl_sync(CUDA_ALL, q.prefix.n, lane);
	seen = attn_seen(f.a.causal, t.first + rows - 1, t.nq, t.own.n);
	t.before = (t.prefix.n + keys - 1) / keys;
	t.tiles = t.before + (seen + keys - 1) / keys;
	t.tiles = t.tiles > 0 ? t.tiles : 1; /* one to be masked: all ends there */
	return true;
}

/* ---- fetching ----------------------------------------------------------- */

/* A role's place in the ring of items. */
template <int DP, int KEYS, int GROUPS> struct place {
	typedef shape<DP, KEYS, GROUPS> Z;
	typedef bars<Z::ITEMS, Z::STAGES> B;
	struct item *items;
	unsigned smem, bar;
	struct ring<Z::ITEMS> i;

	__device__ __forceinline__ place(char *shared, unsigned phase)
	    : items((struct item *)(shared + Z::BARS + B::ITEM)), smem(hopper_smem(shared)),
	      bar(hopper_smem(shared) + Z::BARS), i{0, phase}
	{
	}
};

/* n rows from `row` on, heads from `head` on, to the panels at `to`, in boxes
 * of maps m[0..3]; a row of a box has `heads` heads. */
template <int PANELS>
static __device__ __forceinline__ void
fetch_rows(unsigned to, int panel, const CUtensorMap *m, unsigned full, int head, int heads,
    int row, int n, int whole)
{
	for (int i = 0; i < BOXES; i++) {
		const int rows = BOX_ROWS(i, whole);

		for (; n >= rows; n -= rows) {
#pragma unroll
			for (int p = 0; p < PANELS; p++)
				hopper_load(to + p * panel, m + i, full, p * HOPPER_PANEL, head,
				    row, HOPPER_NORMAL);
			to += rows * heads * 128;
			row += rows;
		}
	}
}

/* Warp 1: items and their Q. */
template <int DP, int KEYS, int GROUPS>
static __device__ __forceinline__ void
fetch_items(const struct forward &f, char *shared, const CUtensorMap *m)
{
	typedef shape<DP, KEYS, GROUPS> Z;
	typedef bars<Z::ITEMS, Z::STAGES> B;
	place<DP, KEYS, GROUPS> w(shared, 1);
	struct queue q = {};
	const bool one = threadIdx.x % 32 == 0;
	unsigned mine = blockIdx.x;
	struct item t;

	cuda_lead();
	for (queue_sequences(f, q);; w.i.next()) {
		const int ticket = (int)__shfl_sync(CUDA_ALL, mine, 0);
		const bool more = queue_item(f, q, ticket, KEYS, t);
		const unsigned full = w.bar + B::Q_FULL + 8 * w.i.at;

		if (more && one) /* early: it takes a while to come back */
			mine = gridDim.x + atomicAdd(f.ticket, 1);
		hopper_bar_wait(w.bar + B::ITEM_EMPTY + 8 * w.i.at, w.i.phase);
		if (!more) {
			t.pairs = 0;
			/* Of as many draws as items this is the last. */
			if (one && ticket - (int)gridDim.x == q.passed - 1)
				*f.ticket = 0;
		}
		if (one) {
			w.items[w.i.at] = t;
			hopper_bar_arrive(w.bar + B::ITEM_FULL + 8 * w.i.at);
		}
		if (!more)
			break;
		if (one) {
			hopper_bar_expect(full, t.pairs * Z::PANELS * 128);
			fetch_rows<Z::PANELS>(w.smem + w.i.at * Z::Q_BYTES, Z::Q_PANEL, m, full,
			    t.g * f.hg, f.hg, t.q0 + t.first, t.pairs / f.hg, f.rows);
		}
	}
}

/* Warp 0: keys and values. */
template <int DP, int KEYS, int GROUPS>
static __device__ __forceinline__ void
fetch_keys(const struct forward &f, char *shared, const CUtensorMap *mk, const CUtensorMap *mv)
{
	typedef shape<DP, KEYS, GROUPS> Z;
	typedef bars<Z::ITEMS, Z::STAGES> B;
	place<DP, KEYS, GROUPS> w(shared, 0);
	struct ring<Z::STAGES> r = {
		0, 1
	};

	for (;; w.i.next()) {
		const struct item &t = w.items[w.i.at];

		hopper_bar_wait(w.bar + B::ITEM_FULL + 8 * w.i.at, w.i.phase);
		if (t.pairs == 0)
			break;
		for (int j = 0; j < t.tiles; j++, r.next()) {
			const struct attn_range keys = j < t.before ? t.prefix : t.own;
			const int at = (j < t.before ? j : j - t.before) * KEYS;
			const int n = keys.n - at < KEYS ? keys.n - at : KEYS;
			const unsigned k = w.smem + Z::K + r.at * Z::KEY_BYTES;
			const unsigned v = w.smem + Z::V + r.at * Z::KEY_BYTES;
			const unsigned k_full = w.bar + B::K_FULL + 8 * r.at;
			const unsigned v_full = w.bar + B::V_FULL + 8 * r.at;

			hopper_bar_wait(w.bar + B::K_EMPTY + 8 * r.at, r.phase);
			hopper_bar_expect(k_full, n * Z::PANELS * 128);
			fetch_rows<Z::PANELS>(
			    k, Z::KEY_PANEL, mk, k_full, t.g, 1, keys.at + at, n, KEYS);
			hopper_bar_wait(w.bar + B::V_EMPTY + 8 * r.at, r.phase);
			hopper_bar_expect(v_full, Z::KEY_BYTES);
			fetch_rows<Z::PANELS>(
			    v, Z::KEY_PANEL, mv, v_full, t.g, 1, keys.at + at, n, KEYS);
			/* Head G is none: zeros. */
			fetch_rows<Z::PANELS>(
			    v + n * 128, Z::KEY_PANEL, mv, v_full, f.a.G, 1, 0, KEYS - n, KEYS);
		}
		hopper_bar_arrive(w.bar + B::ITEM_EMPTY + 8 * w.i.at);
	}
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
template <int KEYS>
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

/* Scores become exp2(scale2 (score - max)), with max[r] of row r a number that
 * lies at most LAG below the row's maximum in powers of two: only where it
 * would lie lower it moves to the maximum, and with it the row's sum; then O is
 * to be multiplied by scale[r].  True if a row of the warp's moves; what
 * happens to a row depends on this row alone. */
#define LAG 8

template <int KEYS>
static __device__ __forceinline__ bool
softmax(float (&s)[KEYS / 2], float (&max)[2], float (&sum)[2], float (&scale)[2], float scale2)
{
	float m[2];
	bool moves[2], any;

#pragma unroll
	for (int r = 0; r < 2; r++) {
		m[r] = max[r];
#pragma unroll
		for (int i = 2 * r; i < KEYS / 2; i += 4)
			m[r] = fmaxf(m[r], fmaxf(s[i], s[i + 1]));
		m[r] = fmaxf(m[r], __shfl_xor_sync(CUDA_ALL, m[r], 1));
		m[r] = fmaxf(m[r], __shfl_xor_sync(CUDA_ALL, m[r], 2));
		moves[r] = m[r] * scale2 > max[r] * scale2 + LAG;
	}
	any = __any_sync(CUDA_ALL, moves[0] || moves[1]);
	if (any) {
#pragma unroll
		for (int r = 0; r < 2; r++) {
			scale[r] = moves[r] ? exp2_((max[r] - m[r]) * scale2) : 1.f;
			sum[r] *= scale[r];
			max[r] = moves[r] ? m[r] : max[r];
		}
	}
#pragma unroll
	for (int r = 0; r < 2; r++) {
		/* Nothing seen so far: zeros. */
		const float base = max[r] == -INFINITY ? 0.f : max[r] * scale2;
		float l = 0;

#pragma unroll
		for (int i = 2 * r; i < KEYS / 2; i += 4) {
			s[i] = exp2_(s[i] * scale2 - base);
			s[i + 1] = exp2_(s[i + 1] * scale2 - base);
			l += s[i] + s[i + 1];
		}
		sum[r] += l;
	}
	return any;
}

template <int KEYS>
static __device__ __forceinline__ void
pack(unsigned (&p)[KEYS / 16][4], const float (&s)[KEYS / 2])
{
#pragma unroll
	for (int i = 0; i < KEYS / 4; i++)
		p[i / 4][i % 4] = pack2(s[2 * i], s[2 * i + 1]);
}

template <int DP, int KEYS>
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

template <int DP, int KEYS>
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

/* O over the sum of P, by way of the warpgroup's rows of Q in shared memory. */
template <int DP, int KEYS, int GROUPS>
static __device__ __forceinline__ void
finish(const struct forward &f, const struct item &t, float (&o)[DP / 2], const float (&max)[2],
    float (&sum)[2], unsigned at, int group)
{
	typedef shape<DP, KEYS, GROUPS> Z;
	const int thread = threadIdx.x % HOPPER_GROUP;
	const int lane = threadIdx.x % 32;
	const int64_t q0 = t.q0 + t.first, head = t.g * f.hg;

#pragma unroll
	for (int r = 0; r < 2; r++) {
		const int pair = 64 * group + 16 * (thread / 32) + lane / 4 + 8 * r;
		const int row = row_of(f, pair);
		float l = sum[r];

		l += __shfl_xor_sync(CUDA_ALL, l, 1);
		l += __shfl_xor_sync(CUDA_ALL, l, 2);
		if (f.lse && lane % 4 == 0 && pair < t.pairs)
			f.lse[(q0 + row) * f.a.H + head + pair - row * f.hg] =
			    l == 0 ? -INFINITY : (max[r] * f.scale2 + log2f(l)) * (1 / ATTN_LOG2E);
		sum[r] = l == 0 ? 0 : 1 / l;
	}
	hopper_sync(2 + group, HOPPER_GROUP); /* Q has been read */
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
	constexpr int CHUNKS = DP > 64 ? 16 : 8; /* of 16 bytes, and room for more */
	const int c = thread % CHUNKS;

	if (c * 8 >= f.a.D)
		return;
#pragma unroll
	for (int r = thread / CHUNKS; r < 64; r += HOPPER_GROUP / CHUNKS) {
		const int pair = 64 * group + r, row = row_of(f, pair);
		uint4 x;

		if (pair >= t.pairs)
			break;
		asm volatile("ld.shared.v4.b32 {%0, %1, %2, %3}, [%4];"
			     : "=r"(x.x), "=r"(x.y), "=r"(x.z), "=r"(x.w)
			     : "r"(at + c / 8 * Z::Q_PANEL + hopper_at(r, c % 8)));
		*reinterpret_cast<uint4 *>(
		    f.o + (q0 + row) * f.a.ldo + (head + pair - row * f.hg) * f.a.D + c * 8) = x;
	}
}

/* What the warpgroup's rows see of an item's keys. */
struct view {
	int before; /* tiles of the prefix */
	int prefix; /* rows */
	int own[2]; /* own keys seen by the thread's two rows */
	int own_least; /* by the warpgroup's first row */
};

static __device__ __forceinline__ int
seen_by(const struct forward &f, const struct item &t, int pair)
{
	int last = pair < t.pairs ? pair : t.pairs - 1;

	return attn_seen(f.a.causal, t.first + row_of(f, last), t.nq, t.own.n);
}

static __device__ __forceinline__ struct view
view_of(const struct forward &f, const struct item &t, int group)
{
	const int pair = 64 * group + 16 * (threadIdx.x % HOPPER_GROUP / 32) + threadIdx.x % 32 / 4;

	return {t.before, t.prefix.n, {seen_by(f, t, pair), seen_by(f, t, pair + 8)},
	    seen_by(f, t, 64 * group)};
}

/* Masks the scores of tile j if they need it. */
template <int KEYS>
static __device__ __forceinline__ void
look(float (&s)[KEYS / 2], const struct view &w, int j)
{
	const bool own = j >= w.before;
	const int at = (own ? j - w.before : j) * KEYS;

	if ((own ? w.own_least : w.prefix) - at < KEYS)
		mask<KEYS>(s, (own ? w.own[0] : w.prefix) - at, (own ? w.own[1] : w.prefix) - at);
}

/* The warp needs no longer what a barrier guards. */
static __device__ __forceinline__ void
done(unsigned bar)
{
	if (threadIdx.x % 32 == 0)
		hopper_bar_arrive(bar);
}

/* A warpgroup's state, beside S, P and O. */
template <int DP, int KEYS, int GROUPS> struct worker {
	typedef shape<DP, KEYS, GROUPS> Z;
	typedef bars<Z::ITEMS, Z::STAGES> B;
	const struct forward &f;
	place<DP, KEYS, GROUPS> in;
	int group;
	struct ring<Z::STAGES> k, v;
	struct view w;
	int tiles;
	float max[2], sum[2], scale[2];

	__device__ __forceinline__ worker(const struct forward &f_, char *shared)
	    : f(f_), in(shared, 0),
	      group((int)__shfl_sync(CUDA_ALL, threadIdx.x, 0) / HOPPER_GROUP - 1), k{0, 0}, v{0, 0}
	{
	}
	/* Looks at the item of the ring's place; false: there is none any more. */
	__device__ __forceinline__ bool open(void)
	{
		const struct item &t = in.items[in.i.at];

		hopper_bar_wait(in.bar + B::ITEM_FULL + 8 * in.i.at, in.i.phase);
		if (t.pairs == 0)
			return false;
		hopper_bar_wait(in.bar + B::Q_FULL + 8 * in.i.at, in.i.phase);
		return true;
	}
	/* Begins with it. */
	__device__ __forceinline__ void begin(void)
	{
		tiles = in.items[in.i.at].tiles;
		w = view_of(f, in.items[in.i.at], group);
		max[0] = max[1] = -INFINITY;
		sum[0] = sum[1] = 0;
	}
	__device__ __forceinline__ unsigned q(int at)
	{
		return in.smem + at * Z::Q_BYTES + group * (64 * 128);
	}
	/* Starts S = Q K^T of the next tile. */
	__device__ __forceinline__ void start_scores(float (&s)[KEYS / 2])
	{
		hopper_bar_wait(in.bar + B::K_FULL + 8 * k.at, k.phase);
		scores<DP, KEYS>(s, q(in.i.at), Z::Q_PANEL, in.smem + Z::K + k.at * Z::KEY_BYTES);
	}
	/* S of tile j is there; it becomes P.  True: O is to be scaled. */
	__device__ __forceinline__ bool end_scores(float (&s)[KEYS / 2], int j)
	{
		bool moved;

		done(in.bar + B::K_EMPTY + 8 * k.at);
		k.next();
		look<KEYS>(s, w, j);
		moved = softmax<KEYS>(s, max, sum, scale, f.scale2);
		hopper_mma_hold(s);
		return moved;
	}
	/* Starts O += P V of the tile before. */
	__device__ __forceinline__ void start_values(
	    float (&o)[DP / 2], const unsigned (&p)[KEYS / 16][4])
	{
		hopper_bar_wait(in.bar + B::V_FULL + 8 * v.at, v.phase);
		values<DP, KEYS>(o, p, in.smem + Z::V + v.at * Z::KEY_BYTES);
	}
	/* O is there. */
	__device__ __forceinline__ void end_values(float (&o)[DP / 2])
	{
		/* This passes at once.  But it is a branch, without which the
		 * assembler puts the wait before the exponentials that are to run
		 * meanwhile. */
		hopper_bar_wait(in.bar + B::V_FULL + 8 * v.at, v.phase);
		hopper_mma_wait<0>();
		hopper_mma_hold(o);
		done(in.bar + B::V_EMPTY + 8 * v.at);
		v.next();
	}
	/* O of the item at place `at` is there: out with it. */
	__device__ __forceinline__ void close(
	    float (&o)[DP / 2], const float (&max_)[2], float (&sum_)[2], int at)
	{
		finish<DP, KEYS, GROUPS>(f, in.items[at], o, max_, sum_, q(at), group);
#pragma unroll
		for (int c = 0; c < DP / 2; c++)
			o[c] = 0;
		hopper_fence_async(); /* Q's place is for copies again */
		__syncwarp();
		done(in.bar + B::ITEM_EMPTY + 8 * at);
	}
};

template <int DP, int KEYS, int GROUPS>
static __device__ __forceinline__ void
consume(const struct forward &f, char *shared)
{
	worker<DP, KEYS, GROUPS> w(f, shared);
	const int turn = 8 + w.group, next = 8 + (w.group + 1) % GROUPS;
	unsigned p[KEYS / 16][4];
	float s[KEYS / 2], o[DP / 2] = {};

	if (!w.open())
		return;
	if (w.group == GROUPS - 1)
		hopper_arrive(next, 2 * HOPPER_GROUP);
	w.start_scores(s);
	w.begin();
	hopper_mma_wait<0>();
	hopper_mma_hold(s);
	w.end_scores(s, 0);
	pack<KEYS>(p, s);
	for (;;) {
		for (int j = 1; j < w.tiles; j++) {
			bool moved;

			hopper_sync(turn, 2 * HOPPER_GROUP);
			w.start_scores(s);
			w.start_values(o, p);
			hopper_arrive(next, 2 * HOPPER_GROUP);
			hopper_mma_wait<1>();
			hopper_mma_hold(s);
			moved = w.end_scores(s, j);
			w.end_values(o);
			if (moved)
#pragma unroll
				for (int c = 0; c < DP / 2; c++)
					o[c] *= w.scale[c / 2 % 2];
			pack<KEYS>(p, s);
		}
		const int last = w.in.i.at;
		const float max[2] = {w.max[0], w.max[1]};
		float sum[2] = {w.sum[0], w.sum[1]};

		w.in.i.next();
		if (!w.open()) {
			w.start_values(o, p);
			hopper_mma_wait<0>();
			hopper_mma_hold(o);
			w.close(o, max, sum, last);
			return;
		}
		hopper_sync(turn, 2 * HOPPER_GROUP);
		w.start_scores(s);
		w.start_values(o, p);
		hopper_arrive(next, 2 * HOPPER_GROUP);
		w.begin();
		hopper_mma_wait<1>();
		hopper_mma_hold(s);
		w.end_scores(s, 0);
		w.end_values(o);
		w.close(o, max, sum, last);
		pack<KEYS>(p, s);
	}
}

#endif /* HOPPER */

template <int DP, int KEYS, int GROUPS>
static __global__ void
__launch_bounds__(shape<DP, KEYS, GROUPS>::THREADS, 1)
    attention(const __grid_constant__ struct forward f, const __grid_constant__ struct maps m)
{
#if HOPPER
	typedef shape<DP, KEYS, GROUPS> Z;
	typedef bars<Z::ITEMS, Z::STAGES> B;
	extern __shared__ char memory[];
	char *shared = memory + (1024 - (hopper_smem(memory) & 1023)) % 1024;

	if (threadIdx.x == 0) {
		const unsigned bar = hopper_smem(shared) + Z::BARS;

		hopper_prefetch_map(m.q);
		hopper_prefetch_map(m.k);
		hopper_prefetch_map(m.v);
		for (int i = 0; i < 8 * Z::ITEMS; i += 8) {
			hopper_bar_init(bar + B::ITEM_FULL + i, 1);
			hopper_bar_init(bar + B::ITEM_EMPTY + i, 1 + 4 * GROUPS);
			hopper_bar_init(bar + B::Q_FULL + i, 1);
		}
		for (int i = 0; i < 8 * Z::STAGES; i += 8) {
			hopper_bar_init(bar + B::K_FULL + i, 1);
			hopper_bar_init(bar + B::V_FULL + i, 1);
			hopper_bar_init(bar + B::K_EMPTY + i, 4 * GROUPS);
			hopper_bar_init(bar + B::V_EMPTY + i, 4 * GROUPS);
		}
		hopper_bar_made();
	}
	cuda_follow();
	__syncthreads();
	if (threadIdx.x < HOPPER_GROUP) {
		hopper_regs_give<Z::FETCH_REGS>();
		if (threadIdx.x == 0)
			fetch_keys<DP, KEYS, GROUPS>(f, shared, m.k, m.v);
		else if (threadIdx.x / 32 == 1)
			fetch_items<DP, KEYS, GROUPS>(f, shared, m.q);
	} else {
		hopper_regs_take<Z::REGS>();
		consume<DP, KEYS, GROUPS>(f, shared);
	}
#endif
}

/* ---- the host ----------------------------------------------------------- */

/* A tensor (rows, heads, D) in boxes of `whole` rows, and of fewer, and of
 * `take` heads.  How many rows there are is not known here; the kernel asks for
 * such only as are there. */
static bool
map_rows(struct gvk_stream *s, CUtensorMap m[BOXES], const bf16 *x, int64_t ld, int D, int heads,
    int take, int whole)
{
	struct hopper_tensor t = {};

	t.p = x;
	t.type = CU_TENSOR_MAP_DATA_TYPE_BFLOAT16;
	t.swizzle = CU_TENSOR_MAP_SWIZZLE_128B;
	t.rank = 3;
	t.size[0] = (uint64_t)D;
	t.size[1] = (uint64_t)heads;
	t.size[2] = INT32_MAX;
	t.stride[1] = (uint64_t)D * sizeof(bf16);
	t.stride[2] = (uint64_t)ld * sizeof(bf16);
	t.box[0] = HOPPER_PANEL;
	t.box[1] = (uint32_t)take;
	for (int i = 0; i < BOXES; i++) {
		t.box[2] = (uint32_t)BOX_ROWS(i, whole);
		if (!hopper_map(s, &m[i], &t))
			return false;
	}
	return true;
}

template <int DP, int KEYS, int GROUPS>
static void
launch(struct gvk_stream *s, struct forward *f)
{
	typedef shape<DP, KEYS, GROUPS> Z;
	struct cuda_stream *c = cuda_of(s);
	const struct gvk_attn *a = &f->a;
	const size_t bytes = shared_bytes<DP, KEYS, GROUPS>();
	struct maps m;
	int64_t items;

	f->rows = Z::PAIRS / f->hg;
	items = a->S * a->G * cuda_div_up(a->max_q, f->rows);
	if (map_rows(s, m.q, f->q, a->ldq, a->D, a->H, f->hg, f->rows) &&
	    map_rows(s, m.k, f->k, a->ldk, a->D, a->G, 1, KEYS) &&
	    map_rows(s, m.v, f->v, a->ldv, a->D, a->G, 1, KEYS) &&
	    CUDA_SMEM(s, (attention<DP, KEYS, GROUPS>), bytes))
		CUDA_LAUNCH_SOON(s, (attention<DP, KEYS, GROUPS>),
		    cuda_blocks(cuda_min(items, c->dev->processors), 1), Z::THREADS, bytes, *f, m);
}

/* Sequences of a section: causal ones whose keys and values together stay in
 * the cache; else one, for all tiles are equally long. */
static int
section(const struct gvk_attn *a)
{
	const int64_t cache = (int64_t)32 << 20;
	int64_t one = (int64_t)a->max_k * a->G * a->D * 2 * (int64_t)sizeof(bf16);
	int n = 1;

	while (a->causal && n < 32 && 2 * n * one <= cache)
		n *= 2;
	return n;
}

/* False: the shape or the device is not for this way. */
static bool
prepare(struct forward *f, struct gvk_stream *s, bf16 *o, float *lse, const bf16 *q, const bf16 *k,
    const bf16 *v, const struct gvk_attn *a)
{
	struct cuda_stream *c = cuda_of(s);

	if (c->dev->sm != 90 || a->D > 128 || a->D % 8 || a->H / a->G > 64 || !(a->scale > 0) ||
	    !cuda_vec8(q, a->ldq) || !cuda_vec8(k, a->ldk) || !cuda_vec8(v, a->ldv) ||
	    !cuda_vec8(o, a->ldo))
		return false;
	f->o = o;
	f->lse = lse;
	f->q = q;
	f->k = k;
	f->v = v;
	f->a = *a;
	f->hg = a->H / a->G;
	f->by_hg = (65536 + f->hg - 1) / f->hg;
	f->ticket = c->ticket;
	f->section = section(a);
	f->scale2 = a->scale * ATTN_LOG2E;
	return true;
}

bool
cuda_attention_wgmma(struct gvk_stream *s, bf16 *o, float *lse, const bf16 *q, const bf16 *k,
    const bf16 *v, const struct gvk_attn *a)
{
	struct forward f = {};

	if (!prepare(&f, s, o, lse, q, k, v, a))
		return false;
	if (a->D > 96)
		launch<128, 80, 3>(s, &f);
	else if (a->D > 80)
		launch<96, 96, 3>(s, &f);
	else if (a->D > 64)
		launch<80, 96, 3>(s, &f);
	else if ((int64_t)a->max_q * f.hg > 128)
		launch<64, 64, 4>(s, &f);
	else
		launch<64, 64, 2>(s, &f);
	return true;
}
