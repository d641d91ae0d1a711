/* RMSNorm with residual, forward and backward. */
#include "check.h"

#include <math.h>

struct rms {
	int64_t N, C;
	float eps;
	double *x, *r, *w, *dy, *dres; /* h = x + r */
	double *y, *h, *rstd, *dh, *dw;
};

static void
ref_fwd(struct rms *a)
{
	int64_t C = a->C;

	for (int64_t n = 0; n < a->N; n++) {
		double *h = a->h + n * C, mean = 0;

		for (int64_t c = 0; c < C; c++) {
			h[c] = a->x[n * C + c] + (a->r ? a->r[n * C + c] : 0);
			mean += h[c] * h[c] / (double)C;
		}
		a->rstd[n] = 1 / sqrt(mean + (double)a->eps);
		for (int64_t c = 0; c < C; c++)
			a->y[n * C + c] = h[c] * a->rstd[n] * a->w[c];
	}
}

static void
ref_bwd(struct rms *a)
{
	int64_t C = a->C;

	for (int64_t n = 0; n < a->N; n++) {
		const double *h = a->h + n * C, *dy = a->dy + n * C;
		double sum = 0, rstd = a->rstd[n];

		for (int64_t c = 0; c < C; c++) {
			sum += dy[c] * a->w[c] * h[c] * rstd;
			a->dw[c] += dy[c] * h[c] * rstd;
		}
		for (int64_t c = 0; c < C; c++) {
			double z = h[c] * rstd;
			double dres = a->dres ? a->dres[n * C + c] : 0;

			a->dh[n * C + c] =
			    dres +
			    rstd * (dy[c] * a->w[c] - z * sum / (double)C);
		}
	}
}

/* sum of dy y + dres h, whose gradients dh and dw are. */
static double
loss(void *arg)
{
	struct rms *a = arg;
	double sum = 0;

	ref_fwd(a);
	for (int64_t i = 0; i < a->N * a->C; i++)
		sum +=
		    a->dy[i] * a->y[i] + (a->dres ? a->dres[i] * a->h[i] : 0);
	return sum;
}

static struct rms
draw(struct chk *c, int64_t N, int64_t C, bool residual)
{
	size_t n = (size_t)(N * C), channels = (size_t)C, rows = (size_t)N;
	struct rms a = {.N = N, .C = C, .eps = C == 1 ? 1 : 1e-5f};

	a.x = chk_rand(c, n, 2);
	a.r = residual ? chk_rand(c, n, 1) : NULL;
	a.w = chk_rand(c, channels, 1);
	a.dy = chk_rand(c, n, 1);
	a.y = chk_zeros(c, n);
	a.h = chk_zeros(c, n);
	a.dh = chk_zeros(c, n);
	a.rstd = chk_zeros(c, rows);
	a.dw = chk_zeros(c, channels);
	return a;
}

/* h goes: 0 nowhere (no r), 1 to a buffer of its own, 2 over x, 3 over r. */
static void
forward(struct chk *c, int64_t N, int64_t C, int where)
{
	struct rms a = draw(c, N, C, where != 0);
	size_t n = (size_t)(N * C), rows = (size_t)N;
	struct chk_buf *x =
	    where == 2 ? chk_inout(c, a.x, n) : chk_in(c, a.x, n);
	struct chk_buf *r = where == 3 ? chk_inout(c, a.r, n)
			    : where    ? chk_in(c, a.r, n)
				       : NULL;
	struct chk_buf *h = where == 2 ? x : where == 3 ? r : chk_out(c, n);
	struct chk_buf *y = chk_out(c, n), *rstd = NULL;
	struct chk_buf *w = chk_in(c, a.w, (size_t)C);

	if (where != 2)
		rstd = chk_out_f32(c, rows);
	gvk_rmsnorm(c->s, y->p, where ? h->p : NULL, rstd ? rstd->p : NULL,
	    x->p, r ? r->p : NULL, w->p, a.eps, N, C);
	if (c->ref)
		ref_fwd(&a);
	chk_near(
	    c, y, a.y, CHK_SUM, "y, N %d, C %d, h %d", (int)N, (int)C, where);
	if (where)
		chk_near(c, h, a.h, CHK_ELEM, "h");
	if (rstd)
		chk_near(c, rstd, a.rstd, CHK_SUM, "rstd");
	chk_end(c);
}

/* An output that is added to: buffer and expectation. */
static struct chk_buf *
gradient(struct chk *c, bool given, double **want, size_t n)
{
	*want = chk_rand_f32(c, n, 1);
	if (n == 1) /* alone it must not come near 0, for the tolerance */
		**want += 128;
	return given ? chk_inout_f32(c, *want, n) : NULL;
}

static void
check_param(struct chk *c, struct chk_buf *got, double *before,
    const double *grad, size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++)
		before[i] += grad[i];
	if (got)
		chk_near(c, got, before, CHK_SUM, "%s", name);
}

/* dres: 0 none, 1 in a buffer of its own, 2 where dh goes.  Bits of outs:
 * 1 dw, 2 dh, 4 y. */
static void
backward(struct chk *c, int64_t N, int64_t C, int dres, int outs)
{
	struct rms a = draw(c, N, C, false);
	size_t n = (size_t)(N * C), rows = (size_t)N, channels = (size_t)C;
	double *dw0;
	struct chk_buf *dw = gradient(c, outs & 1, &dw0, channels);
	struct chk_buf *h = chk_in(c, a.x, n), *dy = chk_in(c, a.dy, n);
	struct chk_buf *w = chk_in(c, a.w, channels), *res = NULL, *dh;
	struct chk_buf *rstd, *y = outs & 4 ? chk_out(c, n) : NULL;

	a.dres = dres ? chk_rand(c, n, 1) : NULL;
	if (n == 1 && dres)
		a.dres[0] = 8; /* like the parameters' */
	ref_fwd(&a);
	rstd = chk_in_f32(c, a.rstd, rows);
	dh = dres == 2 ? chk_inout(c, a.dres, n) : chk_out(c, n);
	if (dres)
		res = dres == 2 ? dh : chk_in(c, a.dres, n);
	gvk_rmsnorm_bwd(c->s, outs & 2 ? dh->p : NULL, dw ? dw->p : NULL,
	    y ? y->p : NULL, dy->p, res ? res->p : NULL, h->p, rstd->p, w->p, N,
	    C);
	if (c->ref)
		ref_bwd(&a);
	if (outs & 2)
		chk_near(c, dh, a.dh, CHK_SUM, "dh, N %d, C %d, dres %d",
		    (int)N, (int)C, dres);
	check_param(c, dw, dw0, a.dw, channels, "dw");
	if (y)
		chk_near(c, y, a.y, CHK_SUM, "y again");
	chk_end(c);
}

/* The reference's own gradients. */
static void
differences(struct chk *c)
{
	struct rms a = draw(c, 5, 11, true);
	size_t n = (size_t)(a.N * a.C), channels = (size_t)a.C;

	a.dres = chk_rand(c, n, 1);
	ref_fwd(&a);
	ref_bwd(&a);
	chk_fd(c, loss, &a, a.x, a.dh, n, "differences by x");
	chk_fd(c, loss, &a, a.r, a.dh, n, "differences by r");
	chk_fd(c, loss, &a, a.w, a.dw, channels, "differences by w");
	chk_end(c);
}

/* A row with a NaN is all NaN; infinity over infinity is NaN too. */
static void
not_finite(struct chk *c)
{
	struct rms a = draw(c, 9, 33, false);
	size_t n = (size_t)(a.N * a.C), channels = (size_t)a.C;
	struct chk_buf *x, *y = chk_out(c, n);
	struct chk_buf *w = chk_in(c, a.w, channels);
	double *got;
	bool good = true;

	a.x[2 * a.C + 32] = (double)NAN;
	a.x[5 * a.C] = (double)INFINITY;
	x = chk_in(c, a.x, n);
	gvk_rmsnorm(c->s, y->p, NULL, NULL, x->p, NULL, w->p, a.eps, a.N, a.C);
	got = chk_get(c, y);
	for (int64_t i = 0; i < a.N * a.C; i++)
		good = good && isnan(got[i]) == (i / a.C == 2 || i == 5 * a.C);
	chk_ok(c, good, "NaN comes through, in its row");
	chk_end(c);
}

static void
check(struct chk *c)
{
	static const int64_t rows[] = {0, 1, 3, 257};
	static const int64_t channels[] = {1, 7, 33, 96, 130};

	for (int i = 0; i < 4; i++)
		for (int j = 0; j < 5; j++) {
			forward(c, rows[i], channels[j], (i + j) % 4);
			/* One channel: the norm's gradient is nearly 0,
			 * the more so the less eps is. */
			backward(c, rows[i], channels[j],
			    j ? (i + j) % 3 : 1 + i % 2, 3 + 4 * (j % 2));
		}
	for (int i = 0; i < 4; i++)
		forward(c, 13, 65, i);
	for (int i = 0; i < 3 * 8; i++)
		backward(c, 37, 65, i / 8, i % 8);
	/* One to four pieces of a row a thread, and one that is too long. */
	for (int i = 0; i < 6; i++) {
		static const int64_t wide[] = {
		    1152, 1536, 1537, 2056, 4104, 8200};

		forward(c, 21, wide[i], i % 4);
		backward(c, 21, wide[i], i % 3, 7);
	}
	forward(c, 2100, 40, 1);
	backward(c, 2100, 40, 1, 7);
	backward(c, 4099, 264, 2, 7);
	differences(c);
	not_finite(c);
}

int
main(int argc, char **argv)
{
	return chk_main(argc, argv, check);
}
