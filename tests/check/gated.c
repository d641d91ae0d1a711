/* SwiGLU behind its product, and backward behind the product that gives the
 * gradient of its output. */
#include "check.h"

#include <math.h>

struct gated {
	int64_t N, C, F;
	double *x, *w; /* (N,C), (2F,C) */
	double *gu, *y; /* (N,2F), (N,F) */
	double *dz, *down, *dgu; /* (N,C), (C,F), (N,2F) */
};

static double
silu(double g)
{
	return g / (1 + exp(-g));
}

static void
ref_y(struct gated *a)
{
	int64_t F = a->F;

	for (int64_t n = 0; n < a->N; n++)
		for (int64_t f = 0; f < F; f++) {
			const double *gu = a->gu + n * 2 * F + f;

			a->y[n * F + f] = silu(gu[0]) * gu[F];
		}
}

static void
ref_fwd(struct gated *a)
{
	for (int64_t n = 0; n < a->N; n++)
		for (int64_t o = 0; o < 2 * a->F; o++) {
			double sum = 0;

			for (int64_t c = 0; c < a->C; c++)
				sum += a->x[n * a->C + c] * a->w[o * a->C + c];
			a->gu[n * 2 * a->F + o] = sum;
		}
	ref_y(a);
}

static void
ref_bwd(struct gated *a)
{
	int64_t F = a->F;

	for (int64_t n = 0; n < a->N; n++)
		for (int64_t f = 0; f < F; f++) {
			double g = a->gu[n * 2 * F + f];
			double u = a->gu[n * 2 * F + F + f];
			double s = 1 / (1 + exp(-g)), dy = 0;

			for (int64_t c = 0; c < a->C; c++)
				dy += a->dz[n * a->C + c] * a->down[c * F + f];
			a->dgu[n * 2 * F + f] = dy * u * s * (1 + g * (1 - s));
			a->dgu[n * 2 * F + F + f] = dy * g * s;
		}
}

/* Of z = y down^T, weighted with dz. */
static double
loss(void *arg)
{
	struct gated *a = arg;
	double sum = 0;

	ref_y(a);
	for (int64_t n = 0; n < a->N; n++)
		for (int64_t c = 0; c < a->C; c++)
			for (int64_t f = 0; f < a->F; f++)
				sum += a->dz[n * a->C + c] *
				       a->y[n * a->F + f] *
				       a->down[c * a->F + f];
	return sum;
}

static void
check_fwd(struct chk *c, int64_t N, int64_t C, int64_t F, bool keep)
{
	struct gated a = {.N = N, .C = C, .F = F};
	size_t nf = (size_t)(N * F), nc = (size_t)(N * C);
	size_t fc = (size_t)(2 * F * C);
	struct chk_buf *y = chk_out(c, nf), *gu;

	gu = keep ? chk_out(c, 2 * nf)
		  : chk_ws(c, 2 * nf * gvk_dtype_size(gvk_dtype(c->k)));
	a.x = chk_rand(c, nc, 2);
	a.w = chk_rand(c, fc, 1 / sqrt((double)C));
	a.gu = chk_zeros(c, 2 * nf);
	a.y = chk_zeros(c, nf);
	gvk_gated(c->s, y->p, gu->p, keep, chk_in(c, a.x, nc)->p,
	    chk_in(c, a.w, fc)->p, N, C, F);
	if (c->ref)
		ref_fwd(&a);
	chk_near(c, y, a.y, CHK_STORED, "y, (%d,%d), F %d%s", (int)N, (int)C,
	    (int)F, keep ? ", gu kept" : "");
	if (keep)
		chk_near(c, gu, a.gu, CHK_SUM, "gu");
	chk_end(c);
}

static void
check_bwd(
    struct chk *c, int64_t N, int64_t C, int64_t F, bool in_place, bool again)
{
	struct gated a = {.N = N, .C = C, .F = F};
	size_t nf = (size_t)(N * F), nc = (size_t)(N * C);
	size_t cf = (size_t)(C * F);
	struct chk_buf *dgu, *gu, *y = chk_out(c, nf);
	struct chk_buf *dy = chk_ws(c, nf * gvk_dtype_size(gvk_dtype(c->k)));

	a.gu = chk_rand(c, 2 * nf, 2);
	a.dz = chk_rand(c, nc, 1);
	a.down = chk_rand(c, cf, 1 / sqrt((double)C));
	a.dgu = chk_zeros(c, 2 * nf);
	a.y = chk_zeros(c, nf);
	gu = in_place ? chk_inout(c, a.gu, 2 * nf) : chk_in(c, a.gu, 2 * nf);
	dgu = in_place ? gu : chk_out(c, 2 * nf);
	gvk_gated_bwd(c->s, dgu->p, again ? y->p : NULL, dy->p,
	    chk_in(c, a.dz, nc)->p, gu->p, chk_in(c, a.down, cf)->p, N, F, C);
	if (c->ref) {
		ref_bwd(&a);
		ref_y(&a);
	}
	chk_near(c, dgu, a.dgu, CHK_STORED, "dgu, (%d,%d), F %d%s", (int)N,
	    (int)C, (int)F, in_place ? ", in place" : "");
	if (again)
		chk_near(c, y, a.y, CHK_ELEM, "y again");
	if (nf < 100)
		chk_fd(c, loss, &a, a.gu, a.dgu, 2 * nf, "differences");
	chk_end(c);
}

/* Far out silu is 0 or g; NaN on either side comes through. */
static void
limits(struct chk *c)
{
	double gu[] = {-1e4, 1e4, (double)NAN, 1, 3, 3, 1, (double)NAN};
	double one[] = {1, 1, 1, 1}, *y, *d;
	struct chk_buf *GU = chk_in(c, gu, 8), *ONE = chk_in(c, one, 1);
	struct chk_buf *W = chk_in(c, gu, 8), *DOWN = chk_in(c, one, 4);
	struct chk_buf *Y = chk_out(c, 4), *D = chk_out(c, 8);
	struct chk_buf *Z = chk_ws(c, 32), *AGAIN = chk_out(c, 4);
	struct chk_buf *KEPT = chk_out(c, 8);

	gvk_gated(c->s, Y->p, KEPT->p, true, ONE->p, W->p, 1, 1, 4);
	gvk_gated_bwd(
	    c->s, D->p, AGAIN->p, Z->p, ONE->p, GU->p, DOWN->p, 1, 4, 1);
	y = chk_get(c, Y);
	d = chk_get(c, D);
	chk_ok(c, fabs(y[0]) <= 1e-9 && fabs(d[0]) <= 1e-9, "g far below 0");
	chk_ok(c, fabs(y[1] - 3e4) <= 128 && d[1] == 3, "g far above 0");
	chk_ok(c, isnan(y[2]) && isnan(d[2]) && isnan(d[6]), "g NaN");
	chk_ok(c, isnan(y[3]) && isnan(d[3]) && !isnan(d[7]), "u NaN");
	chk_end(c);
}

static void
check(struct chk *c)
{
	static const int64_t shape[][3] = {{0, 8, 8}, {1, 1, 1}, {1, 24, 7},
	    {2, 72, 17}, {3, 9, 33}, {7, 40, 96}, {8, 8, 130}, {17, 24, 40},
	    {33, 136, 8}, {64, 40, 255}, {65, 64, 128}, {129, 72, 136},
	    {257, 33, 40}, {300, 200, 264}};

	for (size_t i = 0; i < sizeof shape / sizeof *shape; i++) {
		const int64_t *s = shape[i];

		for (int j = 0; j < 2; j++)
			check_fwd(c, s[0], s[1], s[2], j);
		for (int j = 0; j < 4; j++)
			check_bwd(c, s[0], s[1], s[2], j & 1, j & 2);
	}
	limits(c);
}

int
main(int argc, char **argv)
{
	return chk_main(argc, argv, check);
}
