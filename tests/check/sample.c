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
	struct gvk_sampler s;
	int64_t V;
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

/* p = the probabilities of the documented law; `order` has room for V. */
static void
reference(struct law *l, int *order)
{
	int n = 0, keep;
	double sum = 0, mass = 0;

	for (int i = 0; i < l->V; i++) {
		l->p[i] = 0;
		if (!(l->ban && l->ban[i]) && l->z[i] > -INFINITY)
			order[n++] = i;
	}
	sort_z = l->z;
	qsort(order, (size_t)n, sizeof *order, by_logit);
	if (l->s.temperature <= 0)
		n = 1;
	keep = l->s.top_k > 0 && l->s.top_k < n ? l->s.top_k : n;
	for (int i = 0; i < keep; i++) {
		double T = n > 1 ? (double)l->s.temperature : 1;

		l->p[order[i]] = exp((l->z[order[i]] - l->z[order[0]]) / T);
		sum += l->p[order[i]];
	}
	for (int i = 0; i < keep; i++) {
		bool out =
		    i > 0 && l->s.top_p < 1 && mass >= (double)l->s.top_p * sum;

		mass += l->p[order[i]];
		if (out)
			l->p[order[i]] = 0;
	}
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
	struct chk_buf *id, *logp;
	uint64_t *seed, *counter;
};

static struct call
draw(struct chk *c, const double *z, const uint8_t *ban, struct gvk_sampler law,
    int64_t B, int64_t V, uint64_t first)
{
	struct call r = {chk_out_i32(c, (size_t)B), chk_out_f32(c, (size_t)B),
	    (uint64_t *)(void *)chk_zeros(c, (size_t)B),
	    (uint64_t *)(void *)chk_zeros(c, (size_t)B)};

	for (int64_t b = 0; b < B; b++) {
		r.seed[b] = 77 + (uint64_t)b / 100;
		r.counter[b] = first + (uint64_t)b;
	}
	gvk_sample(c->s, r.id->p, r.logp->p,
	    chk_in_f32(c, z, (size_t)(B * V))->p,
	    ban ? chk_in_u8(c, ban, (size_t)V)->p : NULL,
	    chk_in_bytes(c, r.seed, (size_t)B * 8)->p,
	    chk_in_bytes(c, r.counter, (size_t)B * 8)->p, &law, B, V,
	    chk_ws(c, gvk_sample_ws(c->k, B, V))->p);
	return r;
}

/* Random rows, each draw against the law. */
static void
draws(struct chk *c, int64_t B, int64_t V, bool with_ban, bool ties,
    struct gvk_sampler s)
{
	double *z = chk_rand_f32(c, (size_t)(B * V), 2), *id, *logp;
	uint8_t *ban = (uint8_t *)(void *)chk_zeros(c, (size_t)V);
	int *order = (int *)(void *)chk_zeros(c, (size_t)V);
	struct law l = {.ban = with_ban ? ban : NULL,
	    .s = s,
	    .V = V,
	    .p = chk_zeros(c, (size_t)V)};
	bool right = true, near = true;
	struct call r;

	for (int64_t i = 0; i < B * V && ties; i++)
		z[i] = round(z[i]);
	for (int64_t i = 1; i < V; i++)
		ban[i] = chk_below(c, 3) == 0;
	r = draw(c, z, l.ban, s, B, V, 5);
	id = chk_get(c, r.id);
	logp = chk_get(c, r.logp);
	for (int64_t b = 0; b < B && c->ref; b++) {
		int32_t i = (int32_t)id[b];
		double u = gvk_philox_uniform(
		    r.seed[b], GVK_SAMPLE_PURPOSE, r.counter[b]);

		l.z = z + b * V;
		reference(&l, order);
		right = right && right_draw(&l, u, i);
		near = near && right && fabs(logp[b] - log_prob(&l, i)) <= 2e-5;
	}
	chk_ok(c, right, "%d draws of %d: T %g, top-k %d, top-p %g%s%s", (int)B,
	    (int)V, (double)s.temperature, s.top_k, (double)s.top_p,
	    with_ban ? ", bans" : "", ties ? ", ties" : "");
	chk_ok(c, near, "their log-probabilities");
	chk_end(c);
}

/* One law, many counters: chi-square of the frequencies. */
static void
frequencies(struct chk *c, struct gvk_sampler s)
{
	enum { B = 6000, V = 9 };
	double *row = chk_rand_f32(c, V, 1.5), chi = 0, *id;
	double *z = chk_zeros(c, B * V);
	int order[V], count[V] = {0}, free_ = -1;
	struct law l = {.z = row, .s = s, .V = V, .p = chk_zeros(c, V)};

	for (int i = 0; i < B * V; i++)
		z[i] = row[i % V];
	id = chk_get(c, draw(c, z, NULL, s, B, V, 0).id);
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
	    "frequencies of T %g, top-k %d, top-p %g: chi2 %.1f of %d",
	    (double)s.temperature, s.top_k, (double)s.top_p, chi, free_);
	chk_end(c);
}

/* The same (seed, counter) in a batch of one. */
static void
batches(struct chk *c)
{
	enum { B = 12, V = 40 };
	double *z = chk_rand_f32(c, B * V, 1), *all, *one;
	struct gvk_sampler s = {.8f, .9f, 0};
	bool same = true;

	all = chk_get(c, draw(c, z, NULL, s, B, V, 3).id);
	for (int b = 0; b < B; b++) {
		one = chk_get(
		    c, draw(c, z + b * V, NULL, s, 1, V, 3 + (uint64_t)b).id);
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
	struct gvk_sampler cold = {0, 1, 0}, one = {1, 1, 1};
	struct gvk_sampler hot = {1.3f, .95f, 3};
	double *id;

	chk_same_i32(c, draw(c, z, NULL, cold, 4, 4, 0).id, greedy,
	    "temperature 0 takes the largest, lowest id first");
	chk_same_i32(c, draw(c, z, ban, cold, 4, 4, 0).id, greedy_ban,
	    "and never a banned one");
	chk_same_i32(
	    c, draw(c, z, NULL, one, 4, 4, 0).id, greedy, "so does top-k 1");
	id = chk_get(c, draw(c, z, ban, hot, 4, 4, 9).id);
	chk_ok(
	    c, id[0] == 2 && id[2] == 1, "no mass on minus infinity or bans");
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
	static const struct gvk_sampler law[] = {{1, 1, 0}, {.7f, 1, 0},
	    {1, 1, 5}, {1, .8f, 0}, {1.5f, .6f, 20}, {1, 0, 0}, {0, 1, 0},
	    {1, .999f, 0}, {.01f, .9f, 3}};

	philox(c);
	for (size_t i = 0; i < sizeof law / sizeof *law; i++) {
		draws(c, 40, 33, false, false, law[i]);
		draws(c, 20, 65, true, true, law[i]);
		draws(c, 2, 5003, true, false, law[i]);
		if (law[i].temperature > .1f && law[i].top_p > 0)
			frequencies(c, law[i]);
	}
	draws(c, 3, 1, false, false, law[0]);
	/* Sizes ascend, so that none profits from what a larger one set up. */
	draws(c, 2, 60000, false, true, law[3]);
	draws(c, 2, 60000, true, true, law[4]);
	for (size_t i = 0; i < sizeof law / sizeof *law; i += 2)
		draws(c, 2, i % 4 ? 100003 : 151936, i % 4, false, law[i]);
	batches(c);
	corners(c);
}

int
main(int argc, char **argv)
{
	return chk_main(argc, argv, check);
}
