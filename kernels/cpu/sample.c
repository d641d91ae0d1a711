/* Sampling: a penalty for repetition, temperature, top-k, top-p, min-p and an
 * inverse transform, a row a part.
 *
 * Weights are F32, their sums F64 in a fixed order.  The candidates are not
 * sorted: a quickselect finds the k-th, and one that weighs the side it leaves
 * out finds where the mass reaches top-p.  Both end in one threshold (logit,
 * id), and the draw walks the ids upwards.
 */
#include "cpu.h"
#include "law.h"
#include "random.h"
#include "vmath.h"

#include <assert.h>
#include <math.h>
#include <string.h>

struct job {
	int32_t *id;
	float *logp;
	const float *logits;
	const uint8_t *ban;
	uint32_t *seen; /* (B, words) or NULL */
	const uint64_t *seed, *counter;
	const struct gvk_sampler *law;
	int64_t V, words;
	float *weight; /* (B, V) in ws */
	int32_t *order; /* (B, V) in ws */
	float *repelled; /* (B, V) in ws: logits with the penalty */
};

size_t
CPU(sample_ws)(const struct gvk *k, int64_t B, int64_t V)
{
	(void)k;
	return (size_t)(B * V) * (2 * sizeof(float) + sizeof(int32_t));
}

/* Does x come before y: the larger logit, then the lower id. */
static inline bool
before(const float *z, int32_t x, int32_t y)
{
	return z[x] > z[y] || (z[x] == z[y] && x < y);
}

/* Moves what comes before a pivot of order[lo..hi-1] to its left; returns the
 * pivot's place.  The median of three makes sorted input cheap. */
static int64_t
partition(const float *z, int32_t *order, int64_t lo, int64_t hi)
{
	int64_t mid = lo + (hi - lo) / 2, at = lo, i;
	int32_t a = order[lo], b = order[mid], c = order[hi - 1], pivot, swap;
	int64_t p;

	if (before(z, a, b))
		p = before(z, b, c) ? mid : before(z, a, c) ? hi - 1 : lo;
	else
		p = before(z, a, c) ? lo : before(z, b, c) ? hi - 1 : mid;
	pivot = order[p];
	order[p] = order[hi - 1];
	for (i = lo; i < hi - 1; i++)
		if (before(z, order[i], pivot)) {
			swap = order[i];
			order[i] = order[at];
			order[at++] = swap;
		}
	order[hi - 1] = order[at];
	order[at] = pivot;
	return at;
}

/* The k first of n stand in order[0..k-1] afterwards. */
static void
select_count(const float *z, int32_t *order, int64_t n, int64_t k)
{
	int64_t lo = 0, hi = n, p;

	while (hi - lo > 1) {
		p = partition(z, order, lo, hi);
		if (p == k)
			return;
		if (p > k)
			hi = p;
		else
			lo = p + 1;
	}
}

/* The fewest first of n whose weights reach `mass`: how many; at least 1. */
static int64_t
select_mass(
    const float *z, const float *w, int32_t *order, int64_t n, double mass)
{
	int64_t lo = 0, hi = n, p, i;
	double sum = 0, left;

	while (lo < hi) {
		p = partition(z, order, lo, hi);
		for (left = sum, i = lo; i < p; i++)
			left += (double)w[order[i]];
		if (p > lo && left >= mass) {
			hi = p;
			continue;
		}
		sum = left + (double)w[order[p]];
		lo = p + 1;
		if (sum >= mass)
			break;
	}
	return lo;
}

static bool
banned(const struct job *j, int64_t i)
{
	return j->ban && j->ban[i];
}

/* The largest logit that may be drawn, the lowest id first. */
static int32_t
best(const struct job *j, const float *z)
{
	int64_t i, b = -1;

	for (i = 0; i < j->V; i++)
		if (!banned(j, i) && (b < 0 || z[i] > z[b] || z[b] != z[b]))
			b = i;
	return b < 0 ? 0 : (int32_t)b;
}

/* w = exp((z - max) / temperature), 0 where banned. */
static void
weigh(const struct job *j, float *w, const float *z, float max)
{
	const float inv = 1.f / j->law->temperature;
	int64_t i;

#pragma omp simd
	for (i = 0; i < j->V; i++) {
		float d = (z[i] - max) * inv;

		w[i] = vm_exp_flush(z[i] == max ? 0.f : d);
	}
	for (i = 0; i < j->V; i++)
		if (banned(j, i) || w[i] != w[i])
			w[i] = 0;
}

/* Clears the weights that top-k and top-p leave out. */
static void
cut_tail(const struct job *j, float *w, int32_t *order, const float *z)
{
	const struct gvk_sampler *law = j->law;
	int64_t n = 0, kept, i;
	double mass = 0;
	int32_t last;

	for (i = 0; i < j->V; i++)
		if (w[i] > 0)
			order[n++] = (int32_t)i;
	kept = n;
	if (law->top_k > 0 && law->top_k < n) {
		kept = law->top_k;
		select_count(z, order, n, kept);
	}
	if (law->top_p < 1) {
		for (i = 0; i < kept; i++)
			mass += (double)w[order[i]];
		kept =
		    select_mass(z, w, order, kept, mass * (double)law->top_p);
	}
	if (kept == n)
		return;
	for (last = order[0], i = 1; i < kept; i++)
		if (before(z, last, order[i]))
			last = order[i];
	for (i = 0; i < j->V; i++)
		if (before(z, last, (int32_t)i))
			w[i] = 0;
}

/* Clears the weights of logits below min-p's bound. */
static void
cut_unlikely(float *w, const float *z, float bound, int64_t V)
{
	int64_t i;

#pragma omp simd
	for (i = 0; i < V; i++)
		w[i] = z[i] >= bound ? w[i] : 0.f;
}

static int32_t
draw(const float *w, int64_t V, double u)
{
	double sum = 0, at = 0;
	int64_t i, last = 0;

	for (i = 0; i < V; i++)
		sum += (double)w[i];
	for (i = 0; i < V; i++) {
		if (!(w[i] > 0))
			continue;
		at += (double)w[i];
		last = i;
		if (at > u * sum)
			break;
	}
	return (int32_t)last;
}

/* log softmax(z)[id], nothing banned. */
static float
log_prob(const float *z, int64_t V, int32_t id)
{
	double sum = 0;
	float max = -INFINITY;
	int64_t i, at, end;

#pragma omp simd reduction(max : max)
	for (i = 0; i < V; i++)
		max = z[i] > max ? z[i] : max;
	for (at = 0; at < V; at = end) {
		float part = 0;

		end = cpu_min(V, at + 256);
#pragma omp simd reduction(+ : part)
		for (i = at; i < end; i++)
			part += vm_exp_flush(z[i] - max);
		sum += (double)part;
	}
	return (float)((double)z[id] - (double)max - log(sum));
}

/* The row's logits after the penalty. */
static const float *
repel(const struct job *j, int64_t b)
{
	const float *z = j->logits + b * j->V;
	const uint32_t *seen;
	float *to;
	int64_t i, k;
	uint32_t bits;

	if (!gvk_law_repels(j->law, j->seen))
		return z;
	seen = j->seen + b * j->words;
	to = j->repelled + b * j->V;
	memcpy(to, z, (size_t)j->V * sizeof *to);
	for (k = 0; k < j->words; k++)
		for (bits = seen[k]; bits; bits &= bits - 1) {
			i = k * 32 + __builtin_ctz(bits);
			if (i < j->V)
				to[i] = gvk_penalised(z[i], j->law->repetition);
		}
	return to;
}

static void
sample_row(void *arg, int64_t b, int thread)
{
	const struct job *j = arg;
	const float *z = repel(j, b);
	float *w = j->weight + b * j->V;
	int32_t id = best(j, z);

	(void)thread;
	if (j->law->temperature > 0 && z[id] > -INFINITY) {
		weigh(j, w, z, z[id]);
		if (j->law->top_k > 0 || j->law->top_p < 1)
			cut_tail(j, w, j->order + b * j->V, z);
		if (j->law->min_p > 0)
			cut_unlikely(
			    w, z, z[id] + gvk_min_p_depth(j->law), j->V);
		id = draw(w, j->V,
		    gvk_philox_uniform(
			j->seed[b], GVK_SAMPLE_PURPOSE, j->counter[b]));
	}
	j->id[b] = id;
	if (j->seen)
		j->seen[b * j->words + id / 32] |= (uint32_t)1 << id % 32;
	if (j->logp)
		j->logp[b] = log_prob(j->logits + b * j->V, j->V, id);
}

void
CPU(sample)(struct gvk_stream *s, int32_t *id, float *logp, const float *logits,
    const uint8_t *ban, uint32_t *seen, const uint64_t *seed,
    const uint64_t *counter, const struct gvk_sampler *law, int64_t B,
    int64_t V, void *ws)
{
	struct job j = {.id = id,
	    .logp = logp,
	    .logits = logits,
	    .ban = ban,
	    .seen = seen,
	    .seed = seed,
	    .counter = counter,
	    .law = law,
	    .V = V,
	    .words = (V + 31) / 32,
	    .weight = ws,
	    .order = (int32_t *)ws + B * V,
	    .repelled = (float *)ws + 2 * B * V};

	assert(B >= 0 && V > 0 && law->repetition >= 0);
	gvk_pool_run(gvk_pool_of(s), B, sample_row, &j);
}
