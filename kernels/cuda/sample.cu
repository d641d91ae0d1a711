/* Sampling: temperature, top-k, top-p and an inverse transform, a block a row.
 *
 * Nothing is sorted.  Order is (larger logit, lower id); what is kept is a
 * first part of it, so it ends at one (logit, id), the "cut".  A logit becomes
 * an integer of the same order, and the cut's is found bit by bit: the largest
 * one at or above which there are k candidates, or there is the mass asked
 * for.  Counts are exact and masses are F64 sums of F32 weights in an order
 * that depends on V only, so they never fall as the bound falls, and ids are
 * those of the CPU but where a sum lies within rounding of its bound.
 *
 * Bound by reading a row from L2: 64 passes of 8V bytes with top-k and top-p,
 * 5 without.  Estimated, not measured: 10 us a pass for a row of 152,000 on one
 * multiprocessor.
 *
 * Ids in order: warp i of a block has the i-th of WARPS segments of a row.
 *
 * Next rung: histograms of 11 bits a pass (3 passes instead of 32), several
 * blocks a row.
 */
#include "cuda.h"

#define THREADS 512
#define WARPS   (THREADS / CUDA_WARP)

struct sampler {
	int32_t *id;
	float *logp; /* or NULL */
	const float *logits;
	const uint8_t *ban; /* or NULL */
	const uint64_t *seed, *counter;
	struct gvk_sampler law;
	int64_t V;
	float *weight; /* (B,V), ws */
};

struct row { /* the block's */
	const float *z;
	float *w; /* weights: 0 = never drawn */
	int64_t V;
	int64_t from, to; /* the warp's segment */
	double *sums; /* (WARPS) shared, for block sums */
	int *counts;
	float *maxima;
};

size_t
gvk_cuda_sample_ws(const struct gvk *k, int64_t B, int64_t V)
{
	(void)k;
	return (size_t)(B * V) * sizeof(float);
}

/* An integer of the same order as z, which is not NaN; -0 is 0. */
static __device__ __forceinline__ uint32_t
order_of(float z)
{
	uint32_t u = __float_as_uint(z + 0.f);

	return u & 0x80000000u ? ~u : u | 0x80000000u;
}

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

/* ---- the largest -------------------------------------------------------- */

/* A place in the order: of two, the better one is kept. */
struct best {
	uint32_t order;
	int id; /* -1: none */
};

static __device__ __forceinline__ struct best
better(struct best x, struct best y)
{
	if (y.id < 0)
		return x;
	if (x.id < 0 || y.order > x.order || (y.order == x.order && y.id < x.id))
		return y;
	return x;
}

static __device__ __forceinline__ struct best
warp_best(struct best b)
{
#pragma unroll
	for (int i = 16; i > 0; i >>= 1) {
		struct best other;

		other.order = __shfl_xor_sync(CUDA_ALL, b.order, i);
		other.id = __shfl_xor_sync(CUDA_ALL, b.id, i);
		b = better(b, other);
	}
	return b;
}

/* The first in order of those that may be drawn; of NaN alone, as the CPU, the
 * last id; 0 if all are banned. */
static __device__ int
largest(const struct row &r, const uint8_t *ban)
{
	__shared__ struct best shared[WARPS];
	__shared__ int shared_nan[WARPS];
	struct best b = {0, -1};
	int nan = -1;

	for (int64_t i = threadIdx.x; i < r.V; i += THREADS) {
		struct best here = {0, (int)i};

		if (ban && ban[i])
			continue;
		if (r.z[i] != r.z[i]) {
			nan = (int)i;
			continue;
		}
		here.order = order_of(r.z[i]);
		b = better(b, here);
	}
	b = warp_best(b);
#pragma unroll
	for (int i = 16; i > 0; i >>= 1)
		nan = max(nan, __shfl_xor_sync(CUDA_ALL, nan, i));
	if (lane_of() == 0) {
		shared[warp_of()] = b;
		shared_nan[warp_of()] = nan;
	}
	__syncthreads();
	if (lane_of() < WARPS) {
		b = shared[lane_of()];
		nan = shared_nan[lane_of()];
	} /* the others hold one of theirs already */
	b = warp_best(b);
#pragma unroll
	for (int i = 16; i > 0; i >>= 1)
		nan = max(nan, __shfl_xor_sync(CUDA_ALL, nan, i));
	return b.id >= 0 ? b.id : nan >= 0 ? nan : 0;
}

/* ---- weights ------------------------------------------------------------ */

static __device__ __forceinline__ float
exp_flush(float x)
{
	return x < -87.f ? 0.f : expf(x); /* NaN stays */
}

/* w = exp((z - max) / temperature); 0 where banned or NaN.  Threads keep to
 * their places in the warp's segment from here on. */
static __device__ void
weigh(const struct row &r, const uint8_t *ban, float max, float temperature)
{
	const float inv = 1.f / temperature;

	for (int64_t i = r.from + lane_of(); i < r.to; i += CUDA_WARP) {
		float z = r.z[i], w = exp_flush(z == max ? 0.f : (z - max) * inv);

		r.w[i] = (ban && ban[i]) || w != w ? 0.f : w;
	}
}

/* ---- the cut ------------------------------------------------------------ */

/* Kept: what is above `order`, and of what is equal ids up to `id`. */
struct cut {
	uint32_t order;
	int id;
};

static __device__ __forceinline__ bool
kept(const struct row &r, int64_t i, struct cut c)
{
	uint32_t o;

	if (!(r.w[i] > 0))
		return false;
	o = order_of(r.z[i]);
	return o > c.order || (o == c.order && i <= c.id);
}

/* Over the kept ones from `least` on: how many, and their mass. */
static __device__ __forceinline__ int
count_from(const struct row &r, struct cut c, uint32_t least)
{
	int n = 0;

	for (int64_t i = r.from + lane_of(); i < r.to; i += CUDA_WARP)
		n += kept(r, i, c) && order_of(r.z[i]) >= least;
	return block_sum(n, r.counts);
}

static __device__ __forceinline__ double
mass_from(const struct row &r, struct cut c, uint32_t least)
{
	double m = 0;

	for (int64_t i = r.from + lane_of(); i < r.to; i += CUDA_WARP)
		if (kept(r, i, c) && order_of(r.z[i]) >= least)
			m += (double)r.w[i];
	return block_sum(m, r.sums);
}

/* The id of the n-th (from 1), in ascending order, of the kept ones that have
 * this order; there are at least n. */
static __device__ int
nth_equal(const struct row &r, struct cut c, uint32_t order, int n)
{
	__shared__ int counts[WARPS], found;
	int mine = 0, before = 0;

	for (int64_t i = r.from + lane_of(); i < r.to; i += CUDA_WARP)
		mine += kept(r, i, c) && order_of(r.z[i]) == order;
	mine = warp_sum(mine);
	__syncthreads(); /* found may still be read from before */
	if (lane_of() == 0)
		counts[warp_of()] = mine;
	__syncthreads();
	for (int i = 0; i < warp_of(); i++)
		before += counts[i];
	if (before < n && n <= before + mine) {
		for (int64_t at = r.from; at < r.to; at += CUDA_WARP) {
			int64_t i = at + lane_of();
			bool is = i < r.to && kept(r, i, c) && order_of(r.z[i]) == order;
			unsigned all = __ballot_sync(CUDA_ALL, is);
			unsigned lower = all & ((1u << lane_of()) - 1);

			if (is && before + __popc(lower) + 1 == n)
				found = (int)i;
			before += __popc(all);
		}
	}
	__syncthreads();
	return found;
}

/* The largest order from which on there are k kept ones. */
static __device__ uint32_t
order_of_count(const struct row &r, struct cut c, int k)
{
	uint32_t order = 0;

	for (uint32_t bit = 0x80000000u; bit; bit >>= 1)
		if (count_from(r, c, order | bit) >= k)
			order |= bit;
	return order;
}

static __device__ uint32_t
order_of_mass(const struct row &r, struct cut c, double mass)
{
	uint32_t order = 0;

	for (uint32_t bit = 0x80000000u; bit; bit >>= 1)
		if (mass_from(r, c, order | bit) >= mass)
			order |= bit;
	return order;
}

static __device__ struct cut
cut_count(const struct row &r, struct cut c, int k)
{
	struct cut to;
	int above;

	if (count_from(r, c, 0) <= k)
		return c;
	to.order = order_of_count(r, c, k);
	above = to.order == UINT32_MAX ? 0 : count_from(r, c, to.order + 1);
	to.id = nth_equal(r, c, to.order, k - above);
	return to;
}

/* The fewest first whose mass is at least `share` of the mass, but one. */
static __device__ struct cut
cut_mass(const struct row &r, struct cut c, double share, int best)
{
	const double mass = mass_from(r, c, 0) * share;
	struct cut to = {order_of(r.z[best]), best};
	double above;
	int equal, n, low = 1;
	float w;

	if (!(mass > 0))
		return to;
	to.order = order_of_mass(r, c, mass);
	above = to.order == UINT32_MAX ? 0 : mass_from(r, c, to.order + 1);
	equal = count_from(r, c, to.order) -
		(to.order == UINT32_MAX ? 0 : count_from(r, c, to.order + 1));
	/* Equal logits have equal weights: the first one's. */
	w = r.w[nth_equal(r, c, to.order, 1)];
	n = equal;
	while (low < n) { /* the least n with above + n w >= mass, or all */
		int mid = low + (n - low) / 2;

		if (above + mid * (double)w >= mass)
			n = mid;
		else
			low = mid + 1;
	}
	to.id = nth_equal(r, c, to.order, n);
	return to;
}

/* ---- the draw ----------------------------------------------------------- */

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

/* In the warp's segment: the first kept id where base and the sum so far pass
 * `goal`, else the last kept one. */
static __device__ int
pass_in_segment(const struct row &r, struct cut c, double base, double goal)
{
	int last = 0;

	for (int64_t at = r.from; at < r.to; at += CUDA_WARP) {
		int64_t i = at + lane_of();
		bool is = i < r.to && kept(r, i, c);
		double sum = warp_scan(is ? (double)r.w[i] : 0);
		unsigned there = __ballot_sync(CUDA_ALL, is);
		unsigned past = __ballot_sync(CUDA_ALL, is && base + sum > goal);

		if (past)
			return (int)at + __ffs((int)past) - 1;
		if (there)
			last = (int)at + 31 - __clz((int)there);
		base += __shfl_sync(CUDA_ALL, sum, 31);
	}
	return last;
}

static __device__ int
draw(const struct row &r, struct cut c, double u)
{
	__shared__ double sums[WARPS];
	__shared__ int found;
	double mine = 0, total = 0, base = 0, at = 0, goal;
	int chosen = 0;

	for (int64_t i = r.from + lane_of(); i < r.to; i += CUDA_WARP)
		mine += kept(r, i, c) ? (double)r.w[i] : 0;
	mine = warp_sum(mine);
	if (lane_of() == 0)
		sums[warp_of()] = mine;
	__syncthreads();
	for (int i = 0; i < WARPS; i++)
		total += sums[i];
	goal = u * total;
	for (int i = 0; i < WARPS; i++) {
		if (!(sums[i] > 0))
			continue;
		chosen = i; /* the last one, if none passes for rounding */
		base = at;
		at += sums[i];
		if (at > goal)
			break;
	}
	if (warp_of() == chosen) {
		int id = pass_in_segment(r, c, base, goal);

		if (lane_of() == 0)
			found = id;
	}
	__syncthreads();
	return found;
}

/* log softmax(z)[id], nothing banned. */
static __device__ float
log_prob(const struct row &r, int id)
{
	float max = -INFINITY;
	double sum = 0;

	for (int64_t i = threadIdx.x; i < r.V; i += THREADS)
		max = fmaxf(max, r.z[i]);
	max = block_max(max, r.maxima);
	for (int64_t i = threadIdx.x; i < r.V; i += THREADS)
		sum += (double)exp_flush(r.z[i] - max);
	sum = block_sum(sum, r.sums);
	return (float)((double)r.z[id] - (double)max - log(sum));
}

static __global__ void
__launch_bounds__(THREADS) sample_rows(const struct sampler s)
{
	__shared__ double sums[WARPS];
	__shared__ int counts[WARPS];
	__shared__ float maxima[WARPS];
	const int64_t b = blockIdx.x, segment = (s.V + WARPS - 1) / WARPS;
	struct row r;
	struct cut c = {0, INT32_MAX};
	float logp;
	int id;

	r.z = s.logits + b * s.V;
	r.w = s.weight + b * s.V;
	r.V = s.V;
	r.from = min(s.V, warp_of() * segment);
	r.to = min(s.V, r.from + segment);
	r.sums = sums;
	r.counts = counts;
	r.maxima = maxima;
	id = largest(r, s.ban);
	if (s.law.temperature > 0 && r.z[id] > -INFINITY) {
		weigh(r, s.ban, r.z[id], s.law.temperature);
		__syncthreads(); /* others' weights are read one by one */
		if (s.law.top_k > 0)
			c = cut_count(r, c, s.law.top_k);
		if (s.law.top_p < 1)
			c = cut_mass(r, c, (double)s.law.top_p, id);
		id = draw(r, c, gvk_philox_uniform(s.seed[b], GVK_SAMPLE_PURPOSE, s.counter[b]));
	}
	if (threadIdx.x == 0)
		s.id[b] = id;
	if (!s.logp)
		return;
	logp = log_prob(r, id);
	if (threadIdx.x == 0)
		s.logp[b] = logp;
}

void
gvk_cuda_sample(struct gvk_stream *s, int32_t *id, float *logp, const float *logits,
    const uint8_t *ban, const uint64_t *seed, const uint64_t *counter,
    const struct gvk_sampler *law, int64_t B, int64_t V, void *ws)
{
	struct sampler p;

	assert(B >= 0 && V > 0 && V < INT32_MAX);
	cuda_of(s);
	if (B == 0)
		return;
	p.id = id;
	p.logp = logp;
	p.logits = logits;
	p.ban = ban;
	p.seed = seed;
	p.counter = counter;
	p.law = *law;
	p.V = V;
	p.weight = (float *)ws;
	CUDA_LAUNCH(s, sample_rows, cuda_blocks(B, 1), THREADS, 0, p);
}
