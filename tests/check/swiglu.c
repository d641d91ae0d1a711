/* SwiGLU, forward and backward. */
#include "check.h"

#include <math.h>

struct swiglu {
	int64_t N, F;
	double *gu, *dy, *y, *dgu;
};

static void
ref_fwd(struct swiglu *a)
{
	int64_t F = a->F;

	for (int64_t n = 0; n < a->N; n++)
		for (int64_t f = 0; f < F; f++) {
			double g = a->gu[n * 2 * F + f];
			double u = a->gu[n * 2 * F + F + f];

			a->y[n * F + f] = g / (1 + exp(-g)) * u;
		}
}

static void
ref_bwd(struct swiglu *a)
{
	int64_t F = a->F;

	for (int64_t n = 0; n < a->N; n++)
		for (int64_t f = 0; f < F; f++) {
			double g = a->gu[n * 2 * F + f];
			double u = a->gu[n * 2 * F + F + f];
			double s = 1 / (1 + exp(-g)), dy = a->dy[n * F + f];

			a->dgu[n * 2 * F + f] = dy * u * s * (1 + g * (1 - s));
			a->dgu[n * 2 * F + F + f] = dy * g * s;
		}
}

static double
loss(void *arg)
{
	struct swiglu *a = arg;
	double sum = 0;

	ref_fwd(a);
	for (int64_t i = 0; i < a->N * a->F; i++)
		sum += a->dy[i] * a->y[i];
	return sum;
}

static void
check_shape(struct chk *c, int64_t N, int64_t F)
{
	size_t n = (size_t)(N * F);
	struct swiglu a = {N, F, chk_rand(c, 2 * n, 2), chk_rand(c, n, 1),
	    chk_zeros(c, n), chk_zeros(c, 2 * n)};
	struct chk_buf *gu = chk_in(c, a.gu, 2 * n), *dy = chk_in(c, a.dy, n);
	struct chk_buf *y = chk_out(c, n), *dgu = chk_out(c, 2 * n);

	gvk_swiglu(c->s, y->p, gu->p, N, F);
	gvk_swiglu_bwd(c->s, dgu->p, dy->p, gu->p, N, F);
	if (c->ref) {
		ref_fwd(&a);
		ref_bwd(&a);
	}
	chk_near(c, y, a.y, CHK_ELEM, "y, N %d, F %d", (int)N, (int)F);
	chk_near(c, dgu, a.dgu, CHK_ELEM, "dgu");
	if (n < 100)
		chk_fd(c, loss, &a, a.gu, a.dgu, 2 * n, "differences");
	chk_end(c);
}

/* Far out silu is 0 or g; NaN on either side comes through. */
static void
limits(struct chk *c)
{
	double gu[] = {-1e4, 1e4, (double)NAN, 1, 3, 3, 1, (double)NAN};
	double one[] = {1, 1, 1, 1}, *y, *d;
	struct chk_buf *GU = chk_in(c, gu, 8), *DY = chk_in(c, one, 4);
	struct chk_buf *Y = chk_out(c, 4), *D = chk_out(c, 8);

	gvk_swiglu(c->s, Y->p, GU->p, 1, 4);
	gvk_swiglu_bwd(c->s, D->p, DY->p, GU->p, 1, 4);
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
	static const int64_t rows[] = {0, 1, 3, 257};
	static const int64_t width[] = {1, 7, 33, 96, 130};

	for (int i = 0; i < 4; i++)
		for (int j = 0; j < 5; j++)
			check_shape(c, rows[i], width[j]);
	limits(c);
}

int
main(int argc, char **argv)
{
	return chk_main(argc, argv, check);
}
