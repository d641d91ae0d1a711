/* AdamW over ranges, ten steps against the formula in double; what BF16 state
 * may be rounded to, and that it is right on average. */
#include "check.h"

#include <math.h>
#include <string.h>

#define STEPS 10

static const struct gvk_range ranges[] = {
    {3, 7, 1e-3f, .05f},
    {16, 0, 1e-2f, .1f},
    {16, 1, 1e-2f, .1f},
    {33, 40001, 2e-3f, 0},
    {40040, 130, 0, .3f},
    {40200, 33, 5e-2f, .5f},
};

#define RANGES (sizeof ranges / sizeof *ranges)
#define ALL    40240 /* elements of the buffers */

struct state {
	double *p, *m, *v, *g;
};

/* An element that no range covers is to stay: NaN. */
static void
mark_others(double *x)
{
	size_t at = 0;

	for (size_t r = 0; r <= RANGES; r++) {
		size_t end = r < RANGES ? (size_t)ranges[r].at : ALL;

		for (; at < end; at++)
			x[at] = (double)NAN;
		if (r < RANGES)
			at = (size_t)(ranges[r].at + ranges[r].n);
	}
}

static void
ref_step(struct state *a, const struct gvk_adamw *o, double scale)
{
	double b1 = (double)o->beta1, b2 = (double)o->beta2;

	for (size_t r = 0; r < RANGES && scale != 0; r++) {
		double lr = (double)ranges[r].lr, wd = (double)ranges[r].wd;

		for (int64_t k = 0; k < ranges[r].n; k++) {
			int64_t i = ranges[r].at + k;
			double g = a->g[i] * scale, mh, vh;

			a->m[i] = b1 * a->m[i] + (1 - b1) * g;
			a->v[i] = b2 * a->v[i] + (1 - b2) * g * g;
			mh = a->m[i] / (1 - pow(b1, (double)o->t));
			vh = a->v[i] / (1 - pow(b2, (double)o->t));
			a->p[i] = a->p[i] * (1 - lr * wd) -
				  lr * mh / (sqrt(vh) + (double)o->eps);
		}
	}
}

/* What g should be afterwards: 0 in the ranges. */
static void
clear_ranges(double *g)
{
	for (size_t r = 0; r < RANGES; r++)
		for (int64_t k = 0; k < ranges[r].n; k++)
			g[ranges[r].at + k] = 0;
}

/* Runs steps first..last with new gradients each time.  With rounded storage
 * the exact parameters are a master copy. */
static void
check_steps(struct chk *c, int first, int last, float scale)
{
	bool exact = gvk_dtype(c->k) == GVK_F32;
	struct state a = {chk_rand_f32(c, ALL, 1), chk_rand_f32(c, ALL, .1),
	    chk_rand_f32(c, ALL, .1), NULL};
	struct chk_buf *P, *MASTER = NULL, *M, *V;
	struct chk_buf *R = chk_in_bytes(c, ranges, sizeof ranges);
	double scales[] = {(double)scale, 7};
	struct chk_buf *SCALE = chk_in_f32(c, scales, 2);

	for (size_t i = 0; i < ALL; i++) {
		a.m[i] = first == 1 ? 0 : a.m[i];
		a.v[i] = first == 1 ? 0 : fabs(a.v[i]);
	}
	P = chk_inout(c, a.p, ALL);
	if (!exact)
		MASTER = chk_inout_f32(c, a.p, ALL);
	M = chk_inout_f32(c, a.m, ALL);
	V = chk_inout_f32(c, a.v, ALL);
	for (int t = first; t <= last; t++) {
		struct gvk_adamw o = {.9f, .98f, 1e-8f, t, GVK_F32, 0};
		struct chk_buf *G;

		a.g = chk_rand_f32(c, ALL, 3);
		G = chk_inout_f32(c, a.g, ALL);
		gvk_adamw(c->s, P->p, exact ? NULL : MASTER->p, M->p, V->p,
		    G->p, SCALE->p, R->p, RANGES, &o);
		if (c->ref)
			ref_step(&a, &o, (double)scale);
		clear_ranges(a.g);
		chk_near(c, G, a.g, CHK_EXACT, "gradients are cleared");
	}
	mark_others(a.p);
	mark_others(a.m);
	mark_others(a.v);
	chk_near(c, P, a.p, CHK_SUM, "p, steps %d..%d, scale %g", first, last,
	    (double)scale);
	if (MASTER)
		chk_near(c, MASTER, a.p, CHK_SUM, "master");
	chk_near(c, M, a.m, CHK_SUM, "m");
	chk_near(c, V, a.v, CHK_SUM, "v");
	chk_end(c);
}

/* With scale 0 nothing but the gradients changes, even if they are not
 * finite. */
static void
check_skip(struct chk *c)
{
	struct state a = {chk_rand(c, ALL, 1), chk_rand_f32(c, ALL, 1),
	    chk_rand_f32(c, ALL, 1), chk_rand_f32(c, ALL, 1)};
	double scales[] = {0, (double)INFINITY};
	struct chk_buf *P = chk_in(c, a.p, ALL), *M = chk_in_f32(c, a.m, ALL);
	struct chk_buf *MASTER = chk_in_f32(c, a.p, ALL);
	struct chk_buf *V = chk_in_f32(c, a.v, ALL), *G;
	struct chk_buf *R = chk_in_bytes(c, ranges, sizeof ranges);
	struct chk_buf *SCALE = chk_in_f32(c, scales, 2);
	struct gvk_adamw o = {.9f, .98f, 1e-8f, 5, GVK_F32, 0};
	bool exact = gvk_dtype(c->k) == GVK_F32;

	a.g[5] = (double)NAN;
	a.g[100] = (double)INFINITY;
	G = chk_inout_f32(c, a.g, ALL);
	gvk_adamw(c->s, P->p, exact ? NULL : MASTER->p, M->p, V->p, G->p,
	    SCALE->p, R->p, RANGES, &o);
	clear_ranges(a.g);
	chk_near(c, G, a.g, CHK_EXACT, "gradients are cleared with scale 0");
	chk_ok(c,
	    chk_unchanged(c, P) && chk_unchanged(c, MASTER) &&
		chk_unchanged(c, M) && chk_unchanged(c, V),
	    "nothing changes with scale 0");
	chk_end(c);
}

/* Where the gradient is 0 only the decay is left, p (1 - lr wd).  It takes 7e-5
 * off a step, so its rounding must not lean to one side: over a thousand steps
 * a factor that is off by 2e-8 shows. */
static void
check_decay(struct chk *c)
{
	bool exact = gvk_dtype(c->k) == GVK_F32;
	double *p = chk_rand_f32(c, 100, 1), *zero = chk_zeros(c, 100);
	double one[] = {1, 1}, decay;
	struct gvk_range range = {0, 100, 1e-3f, .07f};
	struct chk_buf *P = chk_inout(c, p, 100), *MASTER = NULL;
	struct chk_buf *M = chk_inout_f32(c, zero, 100);
	struct chk_buf *V = chk_inout_f32(c, zero, 100);
	struct chk_buf *G = chk_inout_f32(c, zero, 100);
	struct chk_buf *SCALE = chk_in_f32(c, one, 2);
	struct chk_buf *R = chk_in_bytes(c, &range, sizeof range);

	if (!exact)
		MASTER = chk_inout_f32(c, p, 100);
	for (int t = 1; t <= 1000; t++) {
		struct gvk_adamw o = {.9f, .98f, 1e-8f, t, GVK_F32, 0};

		gvk_adamw(c->s, P->p, exact ? NULL : MASTER->p, M->p, V->p,
		    G->p, SCALE->p, R->p, 1, &o);
	}
	decay = pow(1 - (double)range.lr * (double)range.wd, 1000);
	for (int i = 0; i < 100; i++)
		p[i] *= decay;
	chk_near(c, exact ? P : MASTER, p, CHK_SUM, "decay alone");
	chk_near(c, M, zero, CHK_EXACT, "m stays 0");
	chk_near(c, V, zero, CHK_EXACT, "v stays 0");
	chk_end(c);
}

/* ---- BF16 state ---------------------------------------------------------- */

#define MANY 60000 /* elements of a law's check */

struct half { /* one update of n elements from the same start, cut at `cut` */
	double *p, *m, *v, *g;
	struct gvk_adamw o;
	int64_t n, cut;
};

/* The bits of a buffer of BF16. */
static const uint16_t *
bits_of(struct chk *c, struct chk_buf *b)
{
	const double *byte = chk_get(c, b);
	uint16_t *u = (uint16_t *)(void *)chk_zeros(c, b->n / 8 + 1);

	for (size_t i = 0; i < b->n / 2; i++)
		u[i] = (uint16_t)((int)byte[2 * i] | (int)byte[2 * i + 1] << 8);
	return u;
}

static double
value_of(uint16_t bits)
{
	uint32_t u = (uint32_t)bits << 16;
	float f;

	memcpy(&f, &u, sizeof f);
	return (double)f;
}

/* A buffer with BF16 copies of x, which are exact. */
static struct chk_buf *
state_of(struct chk *c, const double *x, size_t n)
{
	uint16_t *h = (uint16_t *)(void *)chk_zeros(c, n / 4 + 1);
	struct chk_buf *b;

	for (size_t i = 0; i < n; i++) {
		float f = (float)x[i];
		uint32_t u;

		memcpy(&u, &f, sizeof u);
		h[i] = (uint16_t)(u >> 16);
	}
	b = chk_out_bytes(c, n * sizeof *h);
	gvk_put(c->s, b->p, h, n * sizeof *h);
	return b;
}

struct state_bits {
	const uint16_t *m, *v;
};

static struct state_bits
run_half(struct chk *c, const struct half *a, double *p)
{
	bool exact = gvk_dtype(c->k) == GVK_F32;
	size_t n = (size_t)a->n;
	struct gvk_range two[] = {
	    {0, a->cut, 1e-3f, .1f}, {a->cut, a->n - a->cut, 1e-3f, .1f}};
	double one[] = {1, 1};
	struct chk_buf *P = chk_inout(c, a->p, n);
	struct chk_buf *MASTER = chk_inout_f32(c, a->p, n);
	struct chk_buf *M = state_of(c, a->m, n), *V = state_of(c, a->v, n);
	struct chk_buf *G = chk_inout_f32(c, a->g, n);
	struct state_bits b;

	gvk_adamw(c->s, P->p, exact ? NULL : MASTER->p, M->p, V->p, G->p,
	    chk_in_f32(c, one, 2)->p, chk_in_bytes(c, two, sizeof two)->p, 2,
	    &a->o);
	memcpy(p, chk_get(c, exact ? P : MASTER), n * sizeof *p);
	b.m = bits_of(c, M);
	b.v = bits_of(c, V);
	return b;
}

/* How far the BF16 are from `want`, in units of the gap between the two that
 * stand around it: each must be one of those, so less than 1 away (but for
 * what F32 rounds before), and the mean must be near 0. */
static void
check_law(struct chk *c, const uint16_t *got, const double *want, size_t n,
    const char *name)
{
	double sum = 0, mean, worst = 0;

	for (size_t i = 0; i < n; i++) {
		int e;
		double gap, d;

		frexp(want[i], &e);
		gap = ldexp(1, e - 8);
		d = (value_of(got[i]) - want[i]) / gap;
		sum += d;
		worst = fabs(d) > worst ? fabs(d) : worst;
	}
	/* Differences are uniform at most: variance under 1/4 each. */
	mean = sum / (double)n;
	chk_ok(c, worst < 1 + 1e-3, "%s is a neighbour, %g gaps away", name,
	    worst);
	chk_ok(c, fabs(mean) <= 5 * .5 / sqrt((double)n),
	    "%s is right on average: %g gaps", name, mean);
}

static void
check_state(struct chk *c)
{
	struct half a = {chk_rand(c, MANY, 1), chk_zeros(c, MANY),
	    chk_zeros(c, MANY), chk_rand_f32(c, MANY, 1),
	    {.9f, .999f, 1e-8f, 7, GVK_BF16, 3}, MANY, 0};
	struct state x = {a.p, chk_zeros(c, MANY), chk_zeros(c, MANY), a.g};
	double *p = chk_zeros(c, MANY), *again = chk_zeros(c, MANY);
	struct state_bits b, other;
	size_t bytes = MANY * sizeof *b.m, differ = 0;

	for (size_t i = 0; i < MANY; i++) {
		a.m[i] = value_of((uint16_t)(0x3f00 + i % 199));
		a.v[i] = value_of((uint16_t)(0x3f80 + i % 97));
		x.m[i] = (double)a.o.beta1 * a.m[i] +
			 (1 - (double)a.o.beta1) * a.g[i];
		x.v[i] = (double)a.o.beta2 * a.v[i] +
			 (1 - (double)a.o.beta2) * a.g[i] * a.g[i];
	}
	b = run_half(c, &a, p);
	check_law(c, b.m, x.m, MANY, "m");
	check_law(c, b.v, x.v, MANY, "v");
	a.cut = 12343;
	other = run_half(c, &a, again);
	chk_ok(c,
	    memcmp(b.m, other.m, bytes) == 0 &&
		memcmp(b.v, other.v, bytes) == 0 &&
		memcmp(p, again, MANY * sizeof *p) == 0,
	    "the same bits however ranges are cut");
	a.o.t++;
	other = run_half(c, &a, again);
	for (size_t i = 0; i < MANY; i++)
		differ += b.v[i] != other.v[i];
	chk_ok(
	    c, differ > MANY / 10, "other bits at another step: %zu", differ);
	chk_end(c);
}

/* A second moment that nearest rounding would never let move: b2 = .9999 and
 * a gradient whose square is half of it.  A thousand steps take it to
 * .5 + .5 * .9999^1000. */
static void
check_drift(struct chk *c)
{
	enum { N = 2000, STEPS_DOWN = 1000 };
	double *p = chk_zeros(c, N), *m = chk_zeros(c, N), *v = chk_zeros(c, N);
	double *g = chk_zeros(c, N), one[] = {1, 1}, sum = 0, want;
	struct gvk_range all = {0, N, 0, 0};
	struct chk_buf *P = chk_inout(c, p, N), *M = state_of(c, m, N), *V;
	struct chk_buf *MASTER = chk_inout_f32(c, p, N);
	struct chk_buf *G = chk_inout_f32(c, g, N);
	struct chk_buf *SCALE = chk_in_f32(c, one, 2);
	struct chk_buf *R = chk_in_bytes(c, &all, sizeof all);
	float *grad = (float *)(void *)chk_zeros(c, N);
	const uint16_t *bits;

	for (int i = 0; i < N; i++) {
		v[i] = 1;
		grad[i] = (float)sqrt(.5);
	}
	V = state_of(c, v, N);
	for (int t = 1; t <= STEPS_DOWN; t++) {
		struct gvk_adamw o = {0, .9999f, 1e-8f, t, GVK_BF16, 20261123};

		gvk_put(c->s, G->p, grad, N * sizeof *grad);
		gvk_adamw(c->s, P->p,
		    gvk_dtype(c->k) == GVK_F32 ? NULL : MASTER->p, M->p, V->p,
		    G->p, SCALE->p, R->p, 1, &o);
	}
	bits = bits_of(c, V);
	for (int i = 0; i < N; i++)
		sum += value_of(bits[i]);
	want = .5 + .5 * pow((double).9999f, STEPS_DOWN);
	/* A step's variance is at most (2^-8)^2 d, d = 5e-5 / 2^-8 the share
	 * of elements that move: 1.4e-2 after a thousand, 3e-4 in the mean. */
	chk_ok(c, fabs(sum / N - want) <= 5 * 3.2e-4,
	    "small steps add up: %g, not %g", sum / N, want);
	chk_end(c);
}

static void
check(struct chk *c)
{
	check_steps(c, 1, STEPS, 1);
	check_steps(c, 1, 1, .25f);
	check_steps(c, 1000, 1002, .25f);
	check_steps(c, 3, 3, 0);
	check_skip(c);
	check_decay(c);
	check_state(c);
	check_drift(c);
}

int
main(int argc, char **argv)
{
	return chk_main(argc, argv, check);
}
