/* AdamW over ranges, ten steps against the formula in double. */
#include "check.h"

#include <math.h>

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
		struct gvk_adamw o = {.9f, .98f, 1e-8f, t};
		struct chk_buf *G;

		a.g = chk_rand_f32(c, ALL, 3);
		G = chk_in_f32(c, a.g, ALL);
		gvk_adamw(c->s, P->p, exact ? NULL : MASTER->p, M->p, V->p,
		    G->p, SCALE->p, R->p, RANGES, &o);
		if (c->ref)
			ref_step(&a, &o, (double)scale);
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

/* With scale 0 nothing changes, even if gradients are not finite. */
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
	struct gvk_adamw o = {.9f, .98f, 1e-8f, 5};
	bool exact = gvk_dtype(c->k) == GVK_F32;

	a.g[5] = (double)NAN;
	a.g[100] = (double)INFINITY;
	G = chk_in_f32(c, a.g, ALL);
	gvk_adamw(c->s, P->p, exact ? NULL : MASTER->p, M->p, V->p, G->p,
	    SCALE->p, R->p, RANGES, &o);
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
	struct chk_buf *G = chk_in_f32(c, zero, 100);
	struct chk_buf *SCALE = chk_in_f32(c, one, 2);
	struct chk_buf *R = chk_in_bytes(c, &range, sizeof range);

	if (!exact)
		MASTER = chk_inout_f32(c, p, 100);
	for (int t = 1; t <= 1000; t++) {
		struct gvk_adamw o = {.9f, .98f, 1e-8f, t};

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

static void
check(struct chk *c)
{
	check_steps(c, 1, STEPS, 1);
	check_steps(c, 1, 1, .25f);
	check_steps(c, 1000, 1002, .25f);
	check_steps(c, 3, 3, 0);
	check_skip(c);
	check_decay(c);
}

int
main(int argc, char **argv)
{
	return chk_main(argc, argv, check);
}
