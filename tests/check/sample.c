/* Sampling: each draw against the law computed in double from sorted logits,
 * frequencies against probabilities, and what must never be drawn. */
#include "check.h"
#include "random.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct law {
	const double *z; /* (V) one row */
	const uint8_t *ban;
	const uint32_t *seen; /* the row's, or NULL */
	struct gvk_sampler s;
	int64_t V;
	double *q; /* (V) z after the penalty */
	double *p; /* (V) result */
};

static const double *sort_z;

static int
by_logit(const void *a, const void *b)
{
	int x = *(const int *)a, y = *(const int *)b;

	if (sort_z[x] != sort_z[y])
		return sort_z[x] < sort_z[y] ? 1 : -1;
	return x < y ? -1 : 1;
}

/* q, of which equal logits and min-p's bound depend: in F32. */
static void
repel(struct law *l)
{
	float r = l->s.repetition;

	for (int i = 0; i < l->V; i++) {
		float z = (float)l->z[i];

		if (r > 0 && l->seen && l->seen[i / 32] >> i % 32 & 1)
			z = z > 0 ? z / r : z * r;
		l->q[i] = (double)z;
	}
}

/* p = the probabilities of the documented law; `order` has room for V. */
static void
reference(struct law *l, int *order)
{
	int n = 0, keep;
	double sum = 0, mass = 0;
	float bound;

	repel(l);
	for (int i = 0; i < l->V; i++) {
		l->p[i] = 0;
		if (!(l->ban && l->ban[i]) && l->q[i] > -INFINITY)
			order[n++] = i;
	}
	sort_z = l->q;
	qsort(order, (size_t)n, sizeof *order, by_logit);
	if (l->s.temperature <= 0)
		n = 1;
	keep = l->s.top_k > 0 && l->s.top_k < n ? l->s.top_k : n;
	for (int i = 0; i < keep; i++) {
		double T = n > 1 ? (double)l->s.temperature : 1;

		l->p[order[i]] = exp((l->q[order[i]] - l->q[order[0]]) / T);
		sum += l->p[order[i]];
	}
	for (int i = 0; i < keep; i++) {
		bool out =
		    i > 0 && l->s.top_p < 1 && mass >= (double)l->s.top_p * sum;

		mass += l->p[order[i]];
		if (out)
			l->p[order[i]] = 0;
	}
	bound = (float)l->q[order[0]] +
		(float)((double)l->s.temperature * log((double)l->s.min_p));
	for (int i = 1; i < keep && l->s.min_p > 0; i++)
		if ((float)l->q[order[i]] < bound)
			l->p[order[i]] = 0;
	for (sum = 0, n = 0; n < l->V; n++)
		sum += l->p[n];
	for (n = 0; n < l->V; n++)
		l->p[n] /= sum;
}

/* Is id the one where the cumulated probability passes u?  Where u is within
 * rounding of a step, its neighbours are right too. */
static bool
right_draw(const struct law *l, double u, int32_t id)
{
	double below = 0;

	if (id < 0 || id >= l->V || !(l->p[id] > 0))
		return false;
	for (int32_t i = 0; i < id; i++)
		below += l->p[i];
	return u >= below - 1e-5 && u <= below + l->p[id] + 1e-5;
}

static double
log_prob(const struct law *l, int32_t id)
{
	double max = -INFINITY, sum = 0;

	for (int64_t i = 0; i < l->V; i++)
		max = fmax(max, l->z[i]);
	for (int64_t i = 0; i < l->V; i++)
		sum += exp(l->z[i] - max);
	return l->z[id] - max - log(sum);
}

struct call {
	struct chk_buf *id, *logp, *seen;
	uint64_t *seed, *counter;
};

static int64_t
words(int64_t V)
{
	return (V + 31) / 32;
}

/* `seen` (B,words) or NULL is what the rows have seen before. */
static struct call
draw(struct chk *c, const double *z, const uint8_t *ban, const uint32_t *seen,
    struct gvk_sampler law, int64_t B, int64_t V, uint64_t first)
{
	size_t bytes = (size_t)(B * words(V)) * sizeof *seen;
	struct call r = {chk_out_i32(c, (size_t)B), chk_out_f32(c, (size_t)B),
	    seen ? chk_out_bytes(c, bytes) : NULL,
	    (uint64_t *)(void *)chk_zeros(c, (size_t)B),
	    (uint64_t *)(void *)chk_zeros(c, (size_t)B)};

	for (int64_t b = 0; b < B; b++) {
		r.seed[b] = 77 + (uint64_t)b / 100;
		r.counter[b] = first + (uint64_t)b;
	}
	if (seen)
		gvk_put(c->s, r.seen->p, seen, bytes);
	gvk_sample(c->s, r.id->p, r.logp->p,
	    chk_in_f32(c, z, (size_t)(B * V))->p,
	    ban ? chk_in_u8(c, ban, (size_t)V)->p : NULL,
	    seen ? r.seen->p : NULL, chk_in_bytes(c, r.seed, (size_t)B * 8)->p,
	    chk_in_bytes(c, r.counter, (size_t)B * 8)->p, &law, B, V,
	    chk_ws(c, gvk_sample_ws(c->k, B, V))->p);
	return r;
}

enum { BAN = 1, TIES = 2, SEEN = 4 };

/* Random histories of B rows: a third of the ids each. */
static uint32_t *
histories(struct chk *c, int64_t B, int64_t V)
{
	uint32_t *seen =
	    (uint32_t *)(void *)chk_zeros(c, (size_t)(B * words(V) + 1) / 2);

	for (int64_t b = 0; b < B; b++)
		for (int64_t i = 0; i < V; i++)
			if (chk_below(c, 3) == 0)
				seen[b * words(V) + i / 32] |= (uint32_t)1
							       << i % 32;
	return seen;
}

/* Random rows, each draw against the law, and what the histories are then. */
static void
draws(struct chk *c, int64_t B, int64_t V, int with, struct gvk_sampler s)
{
	double *z = chk_rand_f32(c, (size_t)(B * V), 2), *id, *logp;
	uint8_t *ban = (uint8_t *)(void *)chk_zeros(c, (size_t)V);
	int *order = (int *)(void *)chk_zeros(c, (size_t)V);
	uint32_t *seen = with & SEEN ? histories(c, B, V) : NULL;
	struct law l = {.ban = with & BAN ? ban : NULL,
	    .s = s,
	    .V = V,
	    .q = chk_zeros(c, (size_t)V),
	    .p = chk_zeros(c, (size_t)V)};
	bool right = true, near = true;
	struct call r;

	for (int64_t i = 0; i < B * V && with & TIES; i++)
		z[i] = round(z[i]);
	for (int64_t i = 1; i < V; i++)
		ban[i] = chk_below(c, 3) == 0;
	r = draw(c, z, l.ban, seen, s, B, V, 5);
	id = chk_get(c, r.id);
	logp = chk_get(c, r.logp);
	for (int64_t b = 0; b < B && c->ref; b++) {
		int32_t i = (int32_t)id[b];
		double u = gvk_philox_uniform(
		    r.seed[b], GVK_SAMPLE_PURPOSE, r.counter[b]);

		l.z = z + b * V;
		l.seen = seen ? seen + b * words(V) : NULL;
		reference(&l, order);
		right = right && right_draw(&l, u, i);
		near = near && right && fabs(logp[b] - log_prob(&l, i)) <= 2e-5;
		if (seen && right)
			seen[b * words(V) + i / 32] |= (uint32_t)1 << i % 32;
	}
	chk_ok(c, right,
	    "%d draws of %d: T %g, top-k %d, top-p %g, min-p %g, "
	    "repetition %g%s%s%s",
	    (int)B, (int)V, (double)s.temperature, s.top_k, (double)s.top_p,
	    (double)s.min_p, (double)s.repetition, with & BAN ? ", bans" : "",
	    with & TIES ? ", ties" : "", with & SEEN ? ", histories" : "");
	chk_ok(c, near, "their log-probabilities");
	if (seen)
		chk_same_bytes(c, r.seen, seen, "and the histories then");
	chk_end(c);
}

/* One law, many counters: chi-square of the frequencies. */
static void
frequencies(struct chk *c, struct gvk_sampler s)
{
	enum { B = 6000, V = 9 };
	double *row = chk_rand_f32(c, V, 1.5), chi = 0, *id;
	double *z = chk_zeros(c, B * V);
	uint32_t *seen = (uint32_t *)(void *)chk_zeros(c, B / 2);
	int order[V], count[V] = {0}, free_ = -1;
	struct law l = {.z = row,
	    .seen = seen,
	    .s = s,
	    .V = V,
	    .q = chk_zeros(c, V),
	    .p = chk_zeros(c, V)};

	for (int i = 0; i < B * V; i++)
		z[i] = row[i % V];
	for (int i = 0; i < B; i++)
		seen[i] = 0x0d2;
	id = chk_get(c, draw(c, z, NULL, seen, s, B, V, 0).id);
	reference(&l, order);
	for (int b = 0; b < B; b++)
		count[(int)id[b]]++;
	for (int i = 0; i < V; i++) {
		double want = l.p[i] * B, d = count[i] - want;

		if (want > 0) {
			chi += d * d / want;
			free_++;
		} else if (count[i]) {
			chi = INFINITY;
		}
	}
	/* Five standard deviations above the mean of chi-square. */
	chk_ok(c, chi <= free_ + 5 * sqrt(2.0 * free_ + 1),
	    "frequencies of T %g, top-k %d, top-p %g, min-p %g, "
	    "repetition %g: chi2 %.1f of %d",
	    (double)s.temperature, s.top_k, (double)s.top_p, (double)s.min_p,
	    (double)s.repetition, chi, free_);
	chk_end(c);
}

/* The same (seed, counter) in a batch of one. */
static void
batches(struct chk *c)
{
	enum { B = 12, V = 40 };
	double *z = chk_rand_f32(c, B * V, 1), *all, *one;
	uint32_t *seen = histories(c, B, V);
	struct gvk_sampler s = {.8f, .9f, 0, .05f, 1.4f};
	bool same = true;

	all = chk_get(c, draw(c, z, NULL, seen, s, B, V, 3).id);
	for (int b = 0; b < B; b++) {
		one = chk_get(c, draw(c, z + b * V, NULL, seen + b * words(V),
				     s, 1, V, 3 + (uint64_t)b)
				     .id);
		same = same && one[0] == all[b];
	}
	chk_ok(c, same, "a row gives the same id in any batch");
	chk_end(c);
}

/* Rows that leave little or no choice. */
static void
corners(struct chk *c)
{
	static const double z[4 * 4] = {-INFINITY, -INFINITY, 3, -INFINITY, 1,
	    1, 1, 1, 1e30, 0, -1e30, 0, -INFINITY, 2, 2, -INFINITY};
	static const uint8_t ban[4] = {1, 0, 0, 1};
	static const int32_t greedy[4] = {2, 0, 0, 1};
	static const int32_t greedy_ban[4] = {2, 1, 1, 1};
	struct gvk_sampler cold = {0, 1, 0, 0, 1}, one = {1, 1, 1, 0, 1};
	struct gvk_sampler hot = {1.3f, .95f, 3, 0, 1};
	double *id;

	chk_same_i32(c, draw(c, z, NULL, NULL, cold, 4, 4, 0).id, greedy,
	    "temperature 0 takes the largest, lowest id first");
	chk_same_i32(c, draw(c, z, ban, NULL, cold, 4, 4, 0).id, greedy_ban,
	    "and never a banned one");
	chk_same_i32(c, draw(c, z, NULL, NULL, one, 4, 4, 0).id, greedy,
	    "so does top-k 1");
	one.top_k = 0;
	one.min_p = .999f;
	id = chk_get(c, draw(c, z, ban, NULL, one, 4, 4, 9).id);
	chk_ok(c, id[0] == 2 && id[2] == 1 && (id[3] == 1 || id[3] == 2),
	    "min-p near 1 keeps the largest and its equals");
	id = chk_get(c, draw(c, z, ban, NULL, hot, 4, 4, 9).id);
	chk_ok(
	    c, id[0] == 2 && id[2] == 1, "no mass on minus infinity or bans");
	chk_end(c);
}

/* What has been seen falls behind: positive logits are divided, negative ones
 * multiplied; NaN, infinities and 0 stay what they are. */
static void
penalty(struct chk *c)
{
	static const double z[5 * 3] = {3, 2, 1, -1, -1.5, -4, 0, -1e-3, -1,
	    -INFINITY, 1e-3, (double)NAN, (double)INFINITY, 1e38, 2};
	static const uint32_t seen[5] = {1, 1, 1, 2, 1};
	static const uint32_t after[5] = {3, 3, 1, 2, 1};
	static const int32_t greedy[5] = {1, 1, 0, 1, 0};
	struct gvk_sampler cold = {0, 1, 0, 0, 2};
	struct call r = draw(c, z, NULL, seen, cold, 5, 3, 0);

	chk_same_i32(c, r.id, greedy, "the largest logit after the penalty");
	chk_same_bytes(c, r.seen, after, "is in the history then");
	chk_end(c);
}

/* Known answers of Philox4x32-10 from its authors' test vectors. */
static void
philox(struct chk *c)
{
	static const uint32_t zero[4] = {
	    0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8};
	static const uint32_t ones[4] = {
	    0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd};
	uint32_t out[4];

	gvk_philox(0, 0, 0, out);
	chk_ok(c, memcmp(out, zero, 16) == 0, "philox of zeros");
	gvk_philox(~(uint64_t)0, ~(uint64_t)0, ~(uint64_t)0, out);
	chk_ok(c, memcmp(out, ones, 16) == 0, "philox of ones");
}

static void
check(struct chk *c)
{
	static const struct gvk_sampler law[] = {{1, 1, 0, 0, 1},
	    {.7f, 1, 0, 0, 1.3f}, {1, 1, 5, 0, 1}, {1, .8f, 0, 0, 1},
	    {1.5f, .6f, 20, 0, .8f}, {1, 0, 0, 0, 1}, {0, 1, 0, 0, 2},
	    {1, .999f, 0, 0, 0}, {.01f, .9f, 3, 0, 1}, {1, 1, 0, .1f, 1},
	    {.7f, .9f, 0, .3f, 1.1f}, {2, .95f, 12, .2f, 3}, {1, 1, 5, .5f, 1},
	    {1, 1, 0, 1, 1.2f}};
	static const int laws = sizeof law / sizeof *law;

	philox(c);
	for (int i = 0; i < laws; i++) {
		draws(c, 40, 33, 0, law[i]);
		draws(c, 20, 65, BAN | TIES | SEEN, law[i]);
		draws(c, 20, 64, TIES | SEEN, law[i]);
		draws(c, 2, 5003, BAN | SEEN, law[i]);
		if (law[i].temperature > .1f && law[i].top_p > 0)
			frequencies(c, law[i]);
	}
	draws(c, 3, 1, SEEN, law[0]);
	/* Sizes ascend, so that none profits from what a larger one set up. */
	draws(c, 2, 60000, TIES, law[3]);
	draws(c, 2, 60000, BAN | TIES | SEEN, law[4]);
	draws(c, 2, 60000, TIES | SEEN, law[10]);
	for (int i = 0; i < laws; i += 2)
		draws(c, 2, i % 4 ? 100003 : 151936,
		    (i % 4 ? BAN : 0) | (i % 3 ? SEEN : 0), law[i]);
	/* More than a cluster of blocks holds. */
	draws(c, 1, 450001, BAN | SEEN, law[10]);
	draws(c, 1, 450004, TIES, law[2]);
	batches(c);
	corners(c);
	penalty(c);
}

int
main(int argc, char **argv)
{
	return chk_main(argc, argv, check);
}
