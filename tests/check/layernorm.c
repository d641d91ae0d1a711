/* LayerNorm with residual, forward and backward. */
#include "check.h"

#include <math.h>

struct ln {
	int64_t N, C;
	float eps;
	double *x, *r, *w, *b, *dy, *dres; /* h = x + r */
	double *y, *h, *mean, *rstd, *dh, *dw, *db;
};

static void
ref_fwd(struct ln *a)
{
	int64_t C = a->C;

	for (int64_t n = 0; n < a->N; n++) {
		double *h = a->h + n * C, mean = 0, var = 0;

		for (int64_t c = 0; c < C; c++) {
			h[c] = a->x[n * C + c] + (a->r ? a->r[n * C + c] : 0);
			mean += h[c] / (double)C;
		}
		for (int64_t c = 0; c < C; c++)
			var += (h[c] - mean) * (h[c] - mean) / (double)C;
		a->mean[n] = mean;
		a->rstd[n] = 1 / sqrt(var + (double)a->eps);
		for (int64_t c = 0; c < C; c++)
			a->y[n * C + c] =
			    (h[c] - mean) * a->rstd[n] * a->w[c] + a->b[c];
	}
}

static void
ref_bwd(struct ln *a)
{
	int64_t C = a->C;

	for (int64_t n = 0; n < a->N; n++) {
		const double *h = a->h + n * C, *dy = a->dy + n * C;
		double sum_g = 0, sum_gz = 0, rstd = a->rstd[n];

		for (int64_t c = 0; c < C; c++) {
			double z = (h[c] - a->mean[n]) * rstd;

			sum_g += dy[c] * a->w[c];
			sum_gz += dy[c] * a->w[c] * z;
			a->dw[c] += dy[c] * z;
			a->db[c] += dy[c];
		}
		for (int64_t c = 0; c < C; c++) {
			double z = (h[c] - a->mean[n]) * rstd;
			double dres = a->dres ? a->dres[n * C + c] : 0;

			a->dh[n * C + c] =
			    dres + rstd * (dy[c] * a->w[c] - sum_g / (double)C -
					      z * sum_gz / (double)C);
		}
	}
}

/* sum of dy y + dres h, whose gradients dh, dw and db are. */
static double
loss(void *arg)
{
	struct ln *a = arg;
	double sum = 0;

	ref_fwd(a);
	for (int64_t i = 0; i < a->N * a->C; i++)
		sum +=
		    a->dy[i] * a->y[i] + (a->dres ? a->dres[i] * a->h[i] : 0);
	return sum;
}

static struct ln
draw(struct chk *c, int64_t N, int64_t C, bool residual)
{
	size_t n = (size_t)(N * C), channels = (size_t)C, rows = (size_t)N;
	struct ln a = {.N = N, .C = C, .x = chk_rand(c, n, 2)};

	/* One channel has no variance: a usual eps would magnify by 300 the
	 * rounding of a difference that is zero. */
	a.eps = C == 1 ? 1 : 1e-5f;
	a.r = residual ? chk_rand(c, n, 1) : NULL;
	/* a mean four times the deviation, in eighths that BF16 has, too */
	for (size_t i = 0; i < n && !residual; i++)
		a.x[i] = rint((a.x[i] + 8) * 8) / 8;
	a.w = chk_rand(c, channels, 1);
	a.b = chk_rand(c, channels, 1);
	a.dy = chk_rand(c, n, 1);
	a.y = chk_zeros(c, n);
	a.h = chk_zeros(c, n);
	a.dh = chk_zeros(c, n);
	a.mean = chk_zeros(c, rows);
	a.rstd = chk_zeros(c, rows);
	a.dw = chk_zeros(c, channels);
	a.db = chk_zeros(c, channels);
	return a;
}

/* h goes: 0 nowhere (no r), 1 to a buffer of its own, 2 over x, 3 over r. */
static void
forward(struct chk *c, int64_t N, int64_t C, int where)
{
	struct ln a = draw(c, N, C, where != 0);
	size_t n = (size_t)(N * C), rows = (size_t)N;
	struct chk_buf *x =
	    where == 2 ? chk_inout(c, a.x, n) : chk_in(c, a.x, n);
	struct chk_buf *r = where == 3 ? chk_inout(c, a.r, n)
			    : where    ? chk_in(c, a.r, n)
				       : NULL;
	struct chk_buf *h = where == 2 ? x : where == 3 ? r : chk_out(c, n);
	struct chk_buf *y = chk_out(c, n), *mean = NULL, *rstd = NULL;
	struct chk_buf *w = chk_in(c, a.w, (size_t)C);
	struct chk_buf *b = chk_in(c, a.b, (size_t)C);

	if (where < 2)
		mean = chk_out_f32(c, rows);
	if (where != 2)
		rstd = chk_out_f32(c, rows);
	gvk_layernorm(c->s, y->p, where ? h->p : NULL, mean ? mean->p : NULL,
	    rstd ? rstd->p : NULL, x->p, r ? r->p : NULL, w->p, b->p, a.eps, N,
	    C);
	if (c->ref)
		ref_fwd(&a);
	chk_near(
	    c, y, a.y, CHK_SUM, "y, N %d, C %d, h %d", (int)N, (int)C, where);
	if (where)
		chk_near(c, h, a.h, CHK_ELEM, "h");
	if (mean)
		chk_near(c, mean, a.mean, CHK_SUM, "mean");
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

/* dres: 0 none, 1 in a buffer of its own, 2 where dh goes.  Bits of params:
 * 1 dw, 2 db, 4 dh. */
static void
backward(struct chk *c, int64_t N, int64_t C, int dres, int params)
{
	struct ln a = draw(c, N, C, false);
	size_t n = (size_t)(N * C), rows = (size_t)N, channels = (size_t)C;
	double *dw0, *db0;
	struct chk_buf *dw = gradient(c, params & 1, &dw0, channels);
	struct chk_buf *db = gradient(c, params & 2, &db0, channels);
	struct chk_buf *h = chk_in(c, a.x, n), *dy = chk_in(c, a.dy, n);
	struct chk_buf *w = chk_in(c, a.w, channels), *res = NULL, *dh;
	struct chk_buf *mean, *rstd;

	a.dres = dres ? chk_rand(c, n, 1) : NULL;
	if (n == 1 && dres)
		a.dres[0] = 8; /* like the parameters' */
	ref_fwd(&a);
	mean = chk_in_f32(c, a.mean, rows);
	rstd = chk_in_f32(c, a.rstd, rows);
	dh = dres == 2 ? chk_inout(c, a.dres, n) : chk_out(c, n);
	if (dres)
		res = dres == 2 ? dh : chk_in(c, a.dres, n);
	gvk_layernorm_bwd(c->s, params & 4 ? dh->p : NULL, dw ? dw->p : NULL,
	    db ? db->p : NULL, dy->p, res ? res->p : NULL, h->p, mean->p,
	    rstd->p, w->p, N, C);
	if (c->ref)
		ref_bwd(&a);
	if (params & 4)
		chk_near(c, dh, a.dh, CHK_SUM, "dh, N %d, C %d, dres %d",
		    (int)N, (int)C, dres);
	check_param(c, dw, dw0, a.dw, channels, "dw");
	check_param(c, db, db0, a.db, channels, "db");
	chk_end(c);
}

/* The reference's own gradients. */
static void
differences(struct chk *c)
{
	struct ln a = draw(c, 5, 11, true);
	size_t n = (size_t)(a.N * a.C), channels = (size_t)a.C;

	a.dres = chk_rand(c, n, 1);
	ref_fwd(&a);
	ref_bwd(&a);
	chk_fd(c, loss, &a, a.x, a.dh, n, "differences by x");
	chk_fd(c, loss, &a, a.r, a.dh, n, "differences by r");
	chk_fd(c, loss, &a, a.w, a.dw, channels, "differences by w");
	chk_fd(c, loss, &a, a.b, a.db, channels, "differences by b");
	chk_end(c);
}

/* A row with a NaN or an infinity is all NaN, and no other row is. */
static void
not_finite(struct chk *c)
{
	struct ln a = draw(c, 9, 33, false);
	size_t n = (size_t)(a.N * a.C), channels = (size_t)a.C;
	struct chk_buf *x, *y = chk_out(c, n);
	struct chk_buf *w = chk_in(c, a.w, channels);
	struct chk_buf *b = chk_in(c, a.b, channels);
	double *got;
	bool good = true;

	a.x[2 * a.C + 32] = (double)NAN;
	a.x[5 * a.C] = (double)INFINITY;
	x = chk_in(c, a.x, n);
	gvk_layernorm(c->s, y->p, NULL, NULL, NULL, x->p, NULL, w->p, b->p,
	    a.eps, a.N, a.C);
	got = chk_get(c, y);
	for (int64_t i = 0; i < a.N * a.C; i++)
		good =
		    good && !isfinite(got[i]) == (i / a.C == 2 || i / a.C == 5);
	chk_ok(c, good, "NaN and infinity stay in their rows");
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
			/* One channel: the norm's gradient is 0. */
			backward(c, rows[i], channels[j],
			    j ? (i + j) % 3 : 1 + i % 2, 7);
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
