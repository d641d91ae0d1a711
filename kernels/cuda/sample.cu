/* Sampling: a penalty for repetition, temperature, top-k, top-p, min-p and an
 * inverse transform, a cluster of blocks a row.
 *
 *	row of V: |part 0|part 1| ... |part 7|	each in its block's shared memory
 *
 * The row is read once; what log softmax and the draw sum up is summed on the
 * way.  Nothing is sorted.  Order is (larger logit, lower id); what is kept is
 * a first part of it, so it ends at one (logit, id), the "cut".  A logit
 * becomes an integer key of the same order, and the cut is found from the top
 * down by histograms, 11 bits a pass, over the keys that it can be among: not
 * below the least of the warps' largest for top-k, not where all the rest
 * together has too little mass for top-p.  As soon as a bin has LIST
 * candidates or fewer, they are compared with each other.  min-p is a bound to
 * the logit alone.
 *
 * Counts and masses of a bin are integers (a mass in units of 2^-31 of the
 * weight at the bin's upper end), so that the order of additions is free; all
 * other sums have an order that depends on V only.  So ids don't depend on the
 * batch, and are those of the CPU but where a sum lies within rounding of its
 * bound.
 *
 * Bound by latency for one row (launch, three to a dozen cluster barriers with
 * what lies between them), by reading 4V bytes a row for many.  An H100 takes,
 * for 1 and 64 rows of 151,936: greedy 10 and 35 us, temperature 15 and 51,
 * min-p 17 and 59, top-k 29 and 98, top-p 36 and 122 where logits are spread
 * (standard deviation 3.5), up to 55 and 180 where many ids are needed (2); a
 * penalty adds 2 and 8 (2026-11-23); reading is 13 us of 64 rows.
 * Without clusters, or where eight blocks can't hold a row, one block has it
 * all, with a copy in ws.  Next rung: less code (instructions are fetched cold)
 * and loads that the compiler knows to be from shared memory.
 */
#include "cluster.cuh"

#include <float.h>

/* C for the host; the device takes it as well. */
#define inline __host__ __device__ __inline__
#include "law.h"
#undef inline

#define THREADS 512
#define WARPS   (THREADS / CUDA_WARP)
#define PARTS   8
#define TILE    5 /* groups of 4 logits that a thread loads at a time */
#define LOG2_E  1.4426950408889634f
#define BITS    11
#define BINS    (1 << BITS)
#define LEAST   0x00800000u /* the key above minus infinity's */
#define LIST    128 /* candidates that are compared with each other */

struct sampler {
	int32_t *id;
	float *logp; /* or NULL */
	const float *logits;
	const uint8_t *ban; /* or NULL */
	uint32_t *seen; /* (B,words) or NULL */
	const uint64_t *seed, *counter;
	struct gvk_sampler law;
	int64_t V, words;
	int64_t size; /* of a part, a multiple of 4 */
	float *copy; /* (B,V), ws; NULL: rows are in shared memory */
	float rate; /* log2(e) / temperature */
	float depth; /* min-p keeps logits of max + depth or more */
	bool wide; /* rows begin at multiples of 16 bytes */
};

struct part { /* of a row: the block's */
	float *z; /* (n) logits; minus infinity = never drawn */
	int64_t at; /* its first id */
	int n, rank;
	int from, to, run; /* what the thread owns where the order of ids counts */
};

/* What a row's largest logits are, and the sums relative to them. */
struct peak {
	float max; /* of all; NaN passed over */
	double sum; /* of exp(z - max) over all */
	double mass; /* of weights of those that may be drawn */
	uint32_t key; /* of the first that may be drawn; 0: there is none */
	int id;
	int nan; /* the last NaN that may be drawn, or -1 */
	uint32_t least; /* the least of the warps' `key` */
};

struct bin { /* one that the search stopped at */
	uint32_t bin;
	double above; /* what has been summed before it */
	unsigned long long tally;
};

/* Kept: what is above `key`, and of what is equal ids up to `id`. */
struct cut {
	uint32_t key;
	int id;
};

struct room { /* shared memory, static */
	struct peak warp[WARPS], mine, all;
	double sums[WARPS], total;
	int first, last; /* threads */
	int from; /* what the chosen one of them owns, and the sum before it */
	double before;
	int found;
	struct bin bin;
	int candidates; /* more than LIST: not all are in the list */
	uint64_t list[LIST]; /* the block's, (key, ~id) */
	uint64_t every[LIST]; /* all blocks' */
	uint32_t value[LIST];
	struct cut cut;
};

struct histogram { /* shared memory, dynamic: 64-bit sums */
	uint32_t low[BINS], high[BINS];
};

static __device__ __forceinline__ int
lane_of(void)
{
	return (int)threadIdx.x % CUDA_WARP;
}

static __device__ __forceinline__ int
warp_of(void)
{
	return (int)threadIdx.x / CUDA_WARP;
}

/* An integer of the same order as z, which is not NaN; -0 is 0. */
static __device__ __forceinline__ uint32_t
key_of(float z)
{
	uint32_t u = __float_as_uint(z + 0.f);

	return u & 0x80000000u ? ~u : u | 0x80000000u;
}

static __device__ __forceinline__ float
of_key(uint32_t key)
{
	return __uint_as_float(key & 0x80000000u ? key & 0x7fffffffu : ~key);
}

/* 2^x for x <= 0; NaN stays. */
static __device__ __forceinline__ float
exp2_fast(float x)
{
	float e;

	asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(e) : "f"(x));
	return e;
}

/* exp((z - max) / temperature), z <= max; 0 for minus infinity. */
static __device__ __forceinline__ float
weight(float z, float max, float rate)
{
	return z == max ? 1.f : exp2_fast((z - max) * rate);
}

/* ---- the peak ------------------------------------------------------------ */

static __device__ __forceinline__ struct peak
no_peak(void)
{
	struct peak k = {-INFINITY, 0, 0, 0, INT32_MAX, -1, UINT32_MAX};

	return k;
}

/* The weight of a peak's first under another's that is not below it. */
static __device__ __forceinline__ double
share_of(uint32_t key, uint32_t most, float rate)
{
	return key >= LEAST ? (double)weight(of_key(key), of_key(most), rate) : 0;
}

static __device__ __forceinline__ struct peak
merge(const struct peak &a, const struct peak &b, float rate)
{
	struct peak k = a;
	float base;

	if (b.key > a.key || (b.key == a.key && b.id < a.id)) {
		k.key = b.key;
		k.id = b.id;
	}
	k.nan = max(a.nan, b.nan);
	k.least = min(a.least, b.least);
	k.max = fmaxf(a.max, b.max);
	base = k.max > -INFINITY ? k.max : 0;
	k.sum = a.sum * (double)expf(a.max - base) + b.sum * (double)expf(b.max - base);
	k.mass = a.mass * share_of(a.key, k.key, rate) + b.mass * share_of(b.key, k.key, rate);
	return k;
}

/* Lane 0's is the merge of all. */
static __device__ __forceinline__ struct peak
warp_merge(struct peak k, float rate)
{
#pragma unroll
	for (int i = 16; i > 0; i >>= 1) {
		struct peak other;

		other.max = __shfl_down_sync(CUDA_ALL, k.max, i);
		other.sum = __shfl_down_sync(CUDA_ALL, k.sum, i);
		other.mass = __shfl_down_sync(CUDA_ALL, k.mass, i);
		other.key = __shfl_down_sync(CUDA_ALL, k.key, i);
		other.id = __shfl_down_sync(CUDA_ALL, k.id, i);
		other.nan = __shfl_down_sync(CUDA_ALL, k.nan, i);
		other.least = __shfl_down_sync(CUDA_ALL, k.least, i);
		k = merge(k, other, rate);
	}
	return k;
}

/* Of all threads of the row's blocks. */
template <int P>
static __device__ struct peak
row_merge(struct peak k, struct room *r, float rate)
{
	k = warp_merge(k, rate);
	k.least = k.key;
	if (lane_of() == 0)
		r->warp[warp_of()] = k;
	__syncthreads();
	if (warp_of() == 0) {
		k = warp_merge(lane_of() < WARPS ? r->warp[lane_of()] : no_peak(), rate);
		if (lane_of() == 0)
			r->mine = k;
	}
	row_sync<P>();
	if (warp_of() == 0) {
		k = warp_merge(lane_of() < P ? *row_peer<P>(&r->mine, lane_of()) : no_peak(), rate);
		if (lane_of() == 0)
			r->all = k;
	}
	__syncthreads();
	return r->all;
}

/* Logits i..i+3 of a part and, as bits, which may not be drawn; those behind
 * its end are minus infinity and may not. */
static __device__ __forceinline__ unsigned
load_four(float v[4], const struct sampler &s, const struct part &p, const float *z, int i)
{
	unsigned never = 0;

	if (s.wide && i + 4 <= p.n) {
		float4 u = *reinterpret_cast<const float4 *>(z + i);

		v[0] = u.x;
		v[1] = u.y;
		v[2] = u.z;
		v[3] = u.w;
	} else {
#pragma unroll
		for (int j = 0; j < 4; j++) {
			v[j] = i + j < p.n ? z[i + j] : -INFINITY;
			never |= (unsigned)(i + j >= p.n) << j;
		}
	}
	if (s.ban) {
#pragma unroll
		for (int j = 0; j < 4; j++)
			if (i + j < p.n && s.ban[p.at + i + j])
				never |= 1u << j;
	}
	return never;
}

static __device__ __forceinline__ void
store_four(const struct sampler &s, const struct part &p, int i, const float v[4])
{
	if (s.wide && i + 4 <= p.n) {
		*reinterpret_cast<float4 *>(p.z + i) = make_float4(v[0], v[1], v[2], v[3]);
		return;
	}
#pragma unroll
	for (int j = 0; j < 4; j++)
		if (i + j < p.n)
			p.z[i + j] = v[j];
}

/* Bits of logits i..i+3 of a part, whose ids the row has seen; i and the part's
 * first id are multiples of 4. */
static __device__ __forceinline__ unsigned
load_seen(const struct part &p, const uint32_t *seen, int i)
{
	const unsigned id = (unsigned)p.at + (unsigned)i;

	return i < p.n ? seen[id / 32] >> id % 32 & 15 : 0;
}

static __device__ __forceinline__ void
penalise_four(float v[4], unsigned seen, float penalty)
{
#pragma unroll
	for (int j = 0; j < 4; j++)
		if (seen >> j & 1)
			v[j] = gvk_penalised(v[j], penalty);
}

/* Takes logits into a thread's peak; those that are never drawn become minus
 * infinity. */
static __device__ __forceinline__ void
take_four(struct peak *k, float v[4], unsigned never, int64_t id)
{
#pragma unroll
	for (int j = 0; j < 4; j++) {
		if (never >> j & 1) {
			v[j] = -INFINITY;
		} else if (v[j] != v[j]) {
			k->nan = (int)id + j;
			v[j] = -INFINITY;
		} else if (key_of(v[j]) > k->key) {
			k->key = key_of(v[j]);
			k->id = (int)id + j;
		}
	}
}

/* A maximum that something may be relative to. */
static __device__ __forceinline__ float
finite(float max)
{
	return max > -INFINITY ? max : 0;
}

/* Brings the block's part of a row into p.z, REPEL: with the penalty for what
 * is in `seen`. */
template <bool REPEL>
static __device__ struct peak
take_part(const struct sampler &s, const struct part &p, const float *z, const uint32_t *seen)
{
	struct peak k = no_peak();
	float max = -INFINITY, top = -INFINITY; /* of all, of those to draw from */

	for (int base = threadIdx.x * 4; base < p.n; base += THREADS * 4 * TILE) {
		const float max_was = max, top_was = top;
		float v[TILE][4], sum = 0, mass = 0;
		unsigned never[TILE], again[TILE];

#pragma unroll
		for (int t = 0; t < TILE; t++) {
			never[t] = load_four(v[t], s, p, z, base + t * THREADS * 4);
			if constexpr (REPEL)
				again[t] = load_seen(p, seen, base + t * THREADS * 4);
		}
#pragma unroll
		for (int t = 0; t < TILE; t++)
			max = fmaxf(max, fmaxf(fmaxf(v[t][0], v[t][1]), fmaxf(v[t][2], v[t][3])));
#pragma unroll
		for (int t = 0; t < TILE; t++) {
#pragma unroll
			for (int j = 0; j < 4; j++)
				sum += exp2_fast((v[t][j] - finite(max)) * LOG2_E);
			if constexpr (REPEL)
				penalise_four(v[t], again[t], s.law.repetition);
			take_four(&k, v[t], never[t], p.at + base + t * THREADS * 4);
			store_four(s, p, base + t * THREADS * 4, v[t]);
		}
		k.sum = k.sum * (double)exp2_fast((max_was - finite(max)) * LOG2_E) + (double)sum;
		if (!(s.rate > 0))
			continue; /* nothing will be drawn */
		top = k.key > 0 ? of_key(k.key) : top;
#pragma unroll
		for (int t = 0; t < TILE; t++)
#pragma unroll
			for (int j = 0; j < 4; j++)
				mass += weight(v[t][j], finite(top), s.rate);
		k.mass = k.mass * (double)weight(top_was, finite(top), s.rate) + (double)mass;
	}
	k.max = max;
	return k;
}

/* ---- sums in the order of ids -------------------------------------------- */

/* The inclusive sums of x over the lanes of a warp. */
static __device__ __forceinline__ double
warp_scan(double x)
{
#pragma unroll
	for (int i = 1; i < CUDA_WARP; i <<= 1) {
		double below = __shfl_up_sync(CUDA_ALL, x, i);

		if (lane_of() >= i)
			x += below;
	}
	return x;
}

/* The same over the threads of a block, and the sum of all. */
static __device__ __forceinline__ double
block_scan(double x, struct room *r, double *total)
{
	double warps, before;

	x = warp_scan(x);
	if (lane_of() == CUDA_WARP - 1)
		r->sums[warp_of()] = x;
	__syncthreads();
	warps = warp_scan(lane_of() < WARPS ? r->sums[lane_of()] : 0);
	*total = __shfl_sync(CUDA_ALL, warps, WARPS - 1);
	before = __shfl_sync(CUDA_ALL, warps, warp_of() > 0 ? warp_of() - 1 : 0);
	return warp_of() > 0 ? before + x : x;
}

/* Where sums in order reach a goal. */
struct reach {
	int part; /* the one where they do; the last with a sum, if none; or -1 */
	double before; /* the sum of the parts before it */
	double goal;
};

/* Of the parts' totals; the goal is given, or with `share` a share of the sum
 * of all. */
template <int P>
static __device__ __forceinline__ struct reach
reach_part(const double t[P], double goal, bool share)
{
	struct reach to = {-1, 0, 0};
	double at = 0;

#pragma unroll
	for (int q = 0; q < P; q++)
		at += t[q];
	to.goal = share ? goal * at : goal;
	at = 0;
#pragma unroll
	for (int q = 0; q < P; q++)
		if (t[q] > 0 && (to.part < 0 || at < to.goal)) {
			to.part = q;
			to.before = at;
			at += t[q];
		}
	return to;
}

template <int P>
static __device__ __forceinline__ void
totals(double t[P], const struct room *r)
{
#pragma unroll
	for (int q = 0; q < P; q++)
		t[q] = *row_peer<P>(&r->total, q);
}

/* In the part where the goal is reached: the thread whose share of the sums,
 * `mine`, which end at `end` in the row, reaches it; else the last with any.
 * All threads of that part call it. */
static __device__ __forceinline__ int
reach_thread(struct room *r, double mine, double end, double goal)
{
	if (mine > 0 && end >= goal)
		atomicMin(&r->first, (int)threadIdx.x);
	if (mine > 0)
		atomicMax(&r->last, (int)threadIdx.x);
	__syncthreads();
	return r->first < THREADS ? r->first : r->last;
}

/* In the part where the goal is reached: the id, given to all threads.  mine =
 * f summed over what the thread owns, end = the inclusive sum of that in the
 * block.  One warp looks through what the chosen thread owns. */
template <class F>
static __device__ int
reach_id(const struct part &p, struct room *r, F f, double mine, double end, struct reach to)
{
	const int who = reach_thread(r, mine, to.before + end, to.goal);

	if (who == (int)threadIdx.x) {
		r->from = p.from;
		r->before = to.before + end - mine;
	}
	__syncthreads();
	if (warp_of() == 0) {
		const int from = r->from;
		double at = r->before;
		int id = 0;

		for (int i = from; i < from + p.run && i < p.n; i += CUDA_WARP) {
			const int j = i + lane_of();
			const double x = j < min(p.n, from + p.run) ? (double)f(j) : 0;
			const double sum = at + warp_scan(x);
			const unsigned some = __ballot_sync(CUDA_ALL, x > 0);
			const unsigned past = __ballot_sync(CUDA_ALL, x > 0 && sum >= to.goal);

			if (some)
				id = i + 31 - __clz((int)some);
			if (past) {
				id = i + __ffs((int)past) - 1;
				break;
			}
			at = __shfl_sync(CUDA_ALL, sum, 31);
		}
		if (lane_of() == 0)
			r->found = (int)p.at + id;
	}
	__syncthreads();
	return r->found;
}

/* f summed over what the thread owns. */
template <class F>
static __device__ __forceinline__ double
own_sum(const struct part &p, F f)
{
	float mine = 0;

#pragma unroll 4
	for (int i = p.from; i < p.to; i++)
		mine += f(i);
	return (double)mine;
}

/* The first id where the sums of f over lower ids and itself reach `share` of
 * the sum over all, left in r->found of the part that it returns.  f(i) >= 0
 * of an index in the part; some f(i) > 0. */
template <int P, class F>
static __device__ int
reach_share(const struct part &p, struct room *r, F f, double share)
{
	const double mine = own_sum(p, f);
	double end, total, t[P];
	struct reach to;

	end = block_scan(mine, r, &total);
	if (threadIdx.x == 0) {
		r->total = total;
		r->first = THREADS;
		r->last = -1;
	}
	row_sync<P>();
	totals<P>(t, r);
	to = reach_part<P>(t, share, true);
	if (to.part == p.rank)
		reach_id(p, r, f, mine, end, to);
	return to.part;
}

/* The sum of f over a row. */
template <int P, class F>
static __device__ double
row_sum(const struct part &p, struct room *r, F f)
{
	double total, t[P], sum = 0;
	float mine = 0;

#pragma unroll 4
	for (int i = threadIdx.x; i < p.n; i += THREADS)
		mine += f(i);
	block_scan((double)mine, r, &total);
	if (threadIdx.x == 0)
		r->total = total;
	row_sync<P>();
	totals<P>(t, r);
#pragma unroll
	for (int q = 0; q < P; q++)
		sum += t[q];
	return sum;
}

/* ---- the cut ------------------------------------------------------------- */

/* How weights come from logits. */
struct scale {
	float max, rate;
};

/* Keys least..hi: bin b has those with (hi - key) >> shift == b. */
struct window {
	uint32_t hi, least;
	int shift;
};

/* A cut has a key of LEAST or more: minus infinity is never kept. */
static __device__ __forceinline__ bool
kept(uint32_t key, int64_t id, struct cut c)
{
	return key > c.key || (key == c.key && id <= c.id);
}

static __device__ __forceinline__ float
kept_weight(const struct part &p, int i, struct cut c, struct scale s)
{
	return kept(key_of(p.z[i]), p.at + i, c) ? weight(p.z[i], s.max, s.rate) : 0.f;
}

/* Sums counts, or with MASS weights, of the kept ones in the bins of w. */
template <bool MASS>
static __device__ __forceinline__ void
tally(const struct part &p, struct histogram *h, struct cut c, struct scale s, struct window w)
{
#pragma unroll 4
	for (int i = threadIdx.x; i < p.n; i += THREADS) {
		const float z = p.z[i];
		const uint32_t key = key_of(z), b = (w.hi - key) >> w.shift;
		uint32_t x = 1, was;

		if (key > w.hi || key < w.least || b >= BINS || !kept(key, p.at + i, c))
			continue;
		if (MASS)
			x = __float2uint_rn(
			    0x1p31f * weight(z, of_key(w.hi - (b << w.shift)), s.rate));
		was = atomicAdd(&h->low[b], x);
		if (was + x < was)
			atomicAdd(&h->high[b], 1u);
	}
}

/* What the bin has in all blocks. */
template <int P>
static __device__ __forceinline__ unsigned long long
bin_tally(const struct histogram *h, int b)
{
	unsigned long long low = 0, high = 0;

#pragma unroll
	for (int q = 0; q < P; q++) {
		low += *row_peer<P>(&h->low[b], q);
		high += *row_peer<P>(&h->high[b], q);
	}
	return low + (high << 32);
}

template <bool MASS>
static __device__ __forceinline__ double
bin_value(unsigned long long t, int b, struct scale s, struct window w)
{
	float top = of_key(w.hi - ((uint32_t)b << w.shift));

	if (!MASS)
		return (double)t;
	return t == 0 ? 0 : (double)t * 0x1p-31 * (double)weight(top, s.max, s.rate);
}

/* The bin in which what is summed from the top down, with `above` before bin
 * 0, reaches `goal`; the last with anything, if none does. */
template <int P, bool MASS>
static __device__ struct bin
reach_bin(const struct part &p, struct room *r, struct histogram *h, struct cut c, struct scale s,
    struct window w, double above, double goal)
{
	const int each = BINS / P > THREADS ? BINS / P / THREADS : 1; /* bins a thread */
	const int b0 = BINS / P * p.rank + (int)threadIdx.x * each;
	const bool has = (int)threadIdx.x * each < BINS / P;
	double mine = 0, end, total, t[P];
	struct reach to;

	for (int b = threadIdx.x; b < BINS; b += THREADS)
		h->low[b] = h->high[b] = 0;
	__syncthreads();
	tally<MASS>(p, h, c, s, w);
	row_sync<P>();
	for (int b = b0; has && b < b0 + each; b++)
		mine += bin_value<MASS>(bin_tally<P>(h, b), b, s, w);
	end = block_scan(mine, r, &total);
	if (threadIdx.x == 0) {
		r->total = total;
		r->first = THREADS;
		r->last = -1;
		r->candidates = 0;
	}
	row_sync<P>();
	totals<P>(t, r);
	to = reach_part<P>(t, goal - above, false);
	if (to.part == p.rank &&
	    reach_thread(r, mine, to.before + end, to.goal) == (int)threadIdx.x) {
		double at = to.before + end - mine;

		for (int b = b0; b < b0 + each; b++) {
			unsigned long long t = bin_tally<P>(h, b);

			if (t == 0)
				continue;
			r->bin = {(uint32_t)b, above + at, t};
			at += bin_value<MASS>(t, b, s, w);
			if (at >= to.goal)
				break;
		}
	}
	row_sync<P>();
	return *row_peer<P>(&r->bin, to.part);
}

/* The candidates in `low`..w.hi of all blocks, in every[] of each; how many.
 * If there are more than LIST, they are not there. */
template <int P>
static __device__ int
gather(const struct part &p, struct room *r, struct cut c, struct window w, uint32_t low)
{
	int n = 0;

#pragma unroll 4
	for (int i = threadIdx.x; i < p.n; i += THREADS) {
		const uint32_t key = key_of(p.z[i]);
		int at;

		if (key > w.hi || key < low || !kept(key, p.at + i, c))
			continue;
		at = atomicAdd(&r->candidates, 1);
		if (at < LIST)
			r->list[at] = (uint64_t)key << 32 | ~(uint32_t)(p.at + i);
	}
	row_sync<P>();
#pragma unroll
	for (int q = 0; q < P; q++) {
		const int more = *row_peer<P>(&r->candidates, q);

		if ((int)threadIdx.x >= n && (int)threadIdx.x < min(n + more, LIST))
			r->every[threadIdx.x] = *row_peer<P>(&r->list[threadIdx.x - n], q);
		n = min(n + more, LIST + 1);
	}
	__syncthreads();
	return n;
}

/* Among n listed candidates, the first ones that reach a goal in the units of
 * their values.  Sums are of integers: the list has no order. */
template <bool MASS>
static __device__ struct cut
cut_list(struct room *r, int n, struct scale s, struct window w, double goal)
{
	const int i = threadIdx.x;
	const uint64_t mine = i < n ? r->every[i] : 0;
	uint64_t to = 0, all = 0, x = 1;

	if (i < n) {
		if (MASS)
			x = __float2uint_rn(
			    0x1p31f * weight(of_key((uint32_t)(mine >> 32)), of_key(w.hi), s.rate));
		r->value[i] = (uint32_t)x;
	}
	__syncthreads();
	for (int j = 0; i < n && j < n; j++) {
		all += r->value[j];
		to += r->every[j] >= mine ? r->value[j] : 0;
	}
	goal = fmax(fmin(goal, (double)all), .5); /* rounding aside, it is */
	if (i < n && (double)to >= goal && (double)(to - x) < goal)
		r->cut = {(uint32_t)(mine >> 32), (int)~(uint32_t)mine};
	__syncthreads();
	return r->cut;
}

/* Of more equal logits than a list holds, the first `need`. */
template <int P>
static __device__ struct cut
cut_equal(
    const struct part &p, struct room *r, struct cut c, uint32_t key, double need, double there)
{
	struct cut to = {key, INT32_MAX};
	int part;

	if (need >= there)
		return to;
	part = reach_share<P>(
	    p, r,
	    [&](int i) {
		    uint32_t k = key_of(p.z[i]);

		    return k == key && kept(k, p.at + i, c) ? 1.f : 0.f;
	    },
	    (need - .5) / there);
	row_sync<P>();
	to.id = *row_peer<P>(&r->found, part);
	return to;
}

/* The first in order, as many as reach `goal`: a count, or a mass.  Their keys
 * are in least..most. */
template <int P, bool MASS>
static __device__ struct cut
cut_at(const struct part &p, struct room *r, struct histogram *h, struct cut c, struct scale s,
    uint32_t least, uint32_t most, double goal)
{
	struct window w = {most, least, max(0, 32 - __clz((int)(most - least)) - BITS)};
	struct bin b = {0, 0, 0};
	double unit;
	int n;

	for (;;) {
		b = reach_bin<P, MASS>(p, r, h, c, s, w, b.above, goal);
		w.hi -= b.bin << w.shift;
		unit = MASS ? 0x1p-31 * (double)weight(of_key(w.hi), s.max, s.rate) : 1;
		n = gather<P>(p, r, c, w, max(w.least, w.hi - ((1u << w.shift) - 1)));
		if (n <= LIST)
			return cut_list<MASS>(r, n, s, w, (goal - b.above) / unit);
		if (w.shift == 0)
			break;
		w.shift = max(0, w.shift - BITS);
	}
	if (MASS) { /* each has the weight of the bin's end */
		b.tally >>= 31;
		unit *= 0x1p31;
	}
	return cut_equal<P>(
	    p, r, c, w.hi, fmax(1.0, ceil((goal - b.above) / unit)), (double)b.tally);
}

/* What top-k, top-p and min-p leave.  `k` is the row's peak. */
template <int P>
static __device__ struct cut
cut_of(const struct part &p, struct room *r, struct histogram *h, const struct sampler &s,
    const struct peak &k, struct scale scale)
{
	const double share = (double)s.law.top_p;
	struct cut c = {LEAST, INT32_MAX};
	double mass = k.mass;

	/* As many as there are warps have a key of `least` or more. */
	if (s.law.top_k > 0 && s.law.top_k < s.V) {
		c = cut_at<P, false>(p, r, h, c, scale,
		    s.law.top_k <= P * WARPS ? max(k.least, LEAST) : LEAST, k.key,
		    (double)s.law.top_k);
		if (share > 0 && share < 1)
			mass = row_sum<P>(p, r, [&](int i) { return kept_weight(p, i, c, scale); });
	}
	if (share > 0 && share < 1) {
		/* All weights below this have less than half of what is left out. */
		float tail = log2f((float)((1 - share) * mass / (2 * (double)s.V)));
		uint32_t least = key_of(scale.max + tail / scale.rate);

		c = cut_at<P, true>(
		    p, r, h, c, scale, min(max(least, LEAST), k.key), k.key, share * mass);
	} else if (share <= 0) {
		c.key = k.key;
		c.id = k.id;
	}
	if (s.law.min_p > 0) {
		uint32_t least = key_of(scale.max + s.depth);

		if (least > c.key) /* so all that are equal are kept */
			c = {least, INT32_MAX};
	}
	return c;
}

/* ---- a row ---------------------------------------------------------------- */

/* Draws by the number u.  True in the part that has the id, left in
 * r->found. */
template <int P>
static __device__ bool
draw(const struct part &p, struct room *r, struct histogram *h, const struct sampler &s,
    const struct peak &k, double u)
{
	const struct scale scale = {of_key(k.key), s.rate};
	struct cut c = {LEAST, INT32_MAX};
	double t[P], mine, end;
	struct reach to;

	if (s.law.top_k > 0 || s.law.top_p < 1 || s.law.min_p > 0) {
		c = cut_of<P>(p, r, h, s, k, scale);
		return reach_share<P>(
			   p, r, [&](int i) { return kept_weight(p, i, c, scale); }, u) == p.rank;
	}
#pragma unroll
	for (int q = 0; q < P; q++) {
		const struct peak *of = row_peer<P>(&r->mine, q);

		t[q] = of->mass * share_of(of->key, k.key, s.rate);
	}
	to = reach_part<P>(t, u, true);
	if (to.part != p.rank)
		return false;
	if (threadIdx.x == 0) {
		r->first = THREADS;
		r->last = -1;
	}
	auto f = [&](int i) { return weight(p.z[i], scale.max, scale.rate); };
	mine = own_sum(p, f);
	end = block_scan(mine, r, &t[0]);
	reach_id(p, r, f, mine, end, to);
	return true;
}

template <int P, bool REPEL>
static __device__ __forceinline__ void
sample_row(const struct sampler &s)
{
	extern __shared__ float4 dynamic[];
	__shared__ struct room room;
	const int64_t b = blockIdx.x / P;
	const float *z = s.logits + b * s.V;
	uint32_t *seen = s.seen ? s.seen + b * s.words : NULL;
	struct part p;
	struct peak k;
	bool mine;
	int id;

	p.rank = (int)(blockIdx.x % P);
	p.at = min(s.V, p.rank * s.size);
	p.n = (int)min(s.size, s.V - p.at);
	p.z = s.copy ? s.copy + b * s.V + p.at : (float *)dynamic;
	p.run = (p.n + THREADS - 1) / THREADS | 1; /* odd: no bank conflicts */
	p.from = min(p.n, (int)threadIdx.x * p.run);
	p.to = min(p.n, p.from + p.run);
	cuda_follow();
	k = row_merge<P>(take_part<REPEL>(s, p, z + p.at, seen), &room, s.rate);
	cuda_lead();
	id = k.key > 0 ? k.id : k.nan >= 0 ? k.nan : 0;
	mine = p.rank == 0;
	if (s.law.temperature > 0 && k.key >= LEAST) {
		struct histogram *h =
		    (struct histogram *)((float *)dynamic + (s.copy ? 0 : s.size));

		mine = draw<P>(p, &room, h, s, k,
		    gvk_philox_uniform(s.seed[b], GVK_SAMPLE_PURPOSE, s.counter[b]));
		id = room.found;
	}
	if (mine && threadIdx.x == 0) {
		s.id[b] = id;
		if (seen) /* all have read it before row_merge's barrier */
			seen[id / 32] |= 1u << id % 32;
		if (s.logp)
			s.logp[b] = (float)((double)z[id] - (double)k.max - log(k.sum));
	}
	row_sync<P>();
}

template <bool REPEL>
static __global__ void
CLUSTER(PARTS) __launch_bounds__(THREADS, 2) sample_clusters(const struct sampler s)
{
	sample_row<PARTS, REPEL>(s);
}

template <bool REPEL>
static __global__ void
__launch_bounds__(THREADS, 2) sample_blocks(const struct sampler s)
{
	sample_row<1, REPEL>(s);
}

/* ---- the op --------------------------------------------------------------- */

/* Of a row that `parts` blocks share. */
static int64_t
part_size(int64_t V, int parts)
{
	return cuda_div_up(V, 4 * parts) * 4;
}

/* Clusters hold rows of V in their shared memory. */
static bool
fits(const struct cuda_device *dev, int64_t V)
{
	size_t bytes = (size_t)part_size(V, PARTS) * sizeof(float);

	return dev->sm >= 90 && bytes + sizeof(struct histogram) + sizeof(struct room) <= dev->smem;
}

size_t
gvk_cuda_sample_ws(const struct gvk *k, int64_t B, int64_t V)
{
	return fits(cuda_device_of(k), V) ? 0 : (size_t)(B * V) * sizeof(float);
}

template <bool REPEL>
static void
launch(struct gvk_stream *s, struct sampler p, int64_t B, bool clusters, void *ws)
{
	const bool cut = p.law.temperature > 0 && (p.law.top_k > 0 || p.law.top_p < 1);
	size_t smem = cut ? sizeof(struct histogram) : 0;

	if (!clusters) {
		p.copy = (float *)ws;
		p.size = part_size(p.V, 1);
		CUDA_LAUNCH_SOON(s, sample_blocks<REPEL>, cuda_blocks(B, 1), THREADS, smem, p);
		return;
	}
	p.copy = NULL;
	p.size = part_size(p.V, PARTS);
	smem += (size_t)p.size * sizeof(float);
	if (CUDA_SMEM(s, sample_clusters<REPEL>, smem))
		CUDA_LAUNCH_SOON(
		    s, sample_clusters<REPEL>, cuda_blocks(B * PARTS, 1), THREADS, smem, p);
}

void
gvk_cuda_sample(struct gvk_stream *s, int32_t *id, float *logp, const float *logits,
    const uint8_t *ban, uint32_t *seen, const uint64_t *seed, const uint64_t *counter,
    const struct gvk_sampler *law, int64_t B, int64_t V, void *ws)
{
	const bool clusters = fits(cuda_of(s)->dev, V);
	struct sampler p;

	assert(B >= 0 && V > 0 && V <= 1 << 30 && law->repetition >= 0);
	if (B == 0)
		return;
	p.id = id;
	p.logp = logp;
	p.logits = logits;
	p.ban = ban;
	p.seen = seen;
	p.seed = seed;
	p.counter = counter;
	p.law = *law;
	p.V = V;
	p.words = (V + 31) / 32;
	p.depth = gvk_min_p_depth(law);
	p.rate = law->temperature > 0 ? fmaxf(LOG2_E / law->temperature, FLT_MIN) : 0;
	p.wide = cuda_vec8(logits, 0) && V % 4 == 0;
	if (gvk_law_repels(law, seen))
		launch<true>(s, p, B, clusters, ws);
	else
		launch<false>(s, p, B, clusters, ws);
}
