/* RMSNorm of heads, forward and backward. */
#include "check.h"

#include <math.h>

/* Rows of `heads` heads; strides leave room behind them. */
struct heads {
	int64_t N, heads, D, ldx, ldy, lddx;
	float eps;
	double *x, *dy, *w; /* w NULL: ones */
	double *y, *dx, *dw;
};

static double
weight(const struct heads *a, int64_t i)
{
	return a->w ? a->w[i] : 1;
}

static double
rstd_of(const struct heads *a, const double *x)
{
	double sum = 0;

	for (int64_t i = 0; i < a->D; i++)
		sum += x[i] * x[i];
	return 1 / sqrt(sum / (double)a->D + (double)a->eps);
}

static void
ref_fwd(struct heads *a)
{
	for (int64_t n = 0; n < a->N; n++)
		for (int64_t h = 0; h < a->heads; h++) {
			const double *x = a->x + n * a->ldx + h * a->D;
			double *y = a->y + n * a->ldy + h * a->D;
			double rstd = rstd_of(a, x);

			for (int64_t i = 0; i < a->D; i++)
				y[i] = x[i] * rstd * weight(a, i);
		}
}

static void
ref_bwd(struct heads *a)
{
	for (int64_t n = 0; n < a->N; n++)
		for (int64_t h = 0; h < a->heads; h++) {
			const double *x = a->x + n * a->ldx + h * a->D;
			const double *dy = a->dy + n * a->ldy + h * a->D;
			double *dx = a->dx + n * a->lddx + h * a->D;
			double rstd = rstd_of(a, x), mean = 0;

			for (int64_t i = 0; i < a->D; i++) {
				double z = x[i] * rstd;

				mean += dy[i] * weight(a, i) * z / (double)a->D;
				a->dw[i] += dy[i] * z;
			}
			for (int64_t i = 0; i < a->D; i++)
				dx[i] = rstd * (dy[i] * weight(a, i) -
						   x[i] * rstd * mean);
		}
}

/* What is behind the heads must stay: NaN in what is wanted. */
static void
spare(const struct heads *a, double *y, int64_t ld)
{
	for (int64_t n = 0; n < a->N; n++)
		for (int64_t i = a->heads * a->D; i < ld; i++)
			y[n * ld + i] = (double)NAN;
}

static struct heads
draw(struct chk *c, int64_t N, int64_t heads, int64_t D, bool weights,
    int64_t morex, int64_t morey)
{
	struct heads a = {.N = N,
	    .heads = heads,
	    .D = D,
	    .ldx = heads * D + morex,
	    .ldy = heads * D + morey,
	    .lddx = heads * D + morex + morey,
	    .eps = D == 1 ? 1 : 1e-5f}; /* of one channel nothing is left */

	a.x = chk_rand(c, (size_t)(N * a.ldx), 2);
	a.dy = chk_rand(c, (size_t)(N * a.ldy), 1);
	a.w = weights ? chk_rand(c, (size_t)D, 1) : NULL;
	a.y = chk_zeros(c, (size_t)(N * a.ldy));
	a.dx = chk_zeros(c, (size_t)(N * a.lddx));
	a.dw = chk_zeros(c, (size_t)D);
	return a;
}

/* In place, y has x's stride. */
static void
forward(struct chk *c, struct heads a, bool in_place)
{
	size_t n = (size_t)(a.N * a.ldy);
	struct chk_buf *x = in_place ? chk_inout(c, a.x, n)
				     : chk_in(c, a.x, (size_t)(a.N * a.ldx));
	struct chk_buf *y = in_place ? x : chk_out(c, n);
	struct chk_buf *w = a.w ? chk_in(c, a.w, (size_t)a.D) : NULL;

	gvk_headnorm(c->s, y->p, x->p, w ? w->p : NULL, a.eps, a.N, a.heads,
	    a.D, a.ldy, a.ldx);
	if (c->ref)
		ref_fwd(&a);
	spare(&a, a.y, a.ldy);
	chk_near(c, y, a.y, CHK_SUM, "y, %d x %d heads of %d%s%s", (int)a.N,
	    (int)a.heads, (int)a.D, a.w ? "" : ", ones",
	    in_place ? ", in place" : "");
	chk_end(c);
}

enum { WANT_DX = 1, WANT_DW = 2, IN_PLACE = 4 };

static void
backward(struct chk *c, struct heads a, int want)
{
	int64_t ld = want & IN_PLACE ? a.ldy : a.lddx;
	size_t ny = (size_t)(a.N * a.ldy), n = (size_t)(a.N * ld);
	size_t d = (size_t)a.D;
	struct chk_buf *dy =
	    want & IN_PLACE ? chk_inout(c, a.dy, ny) : chk_in(c, a.dy, ny);
	struct chk_buf *dx = want & IN_PLACE ? dy : chk_out(c, n);
	struct chk_buf *x = chk_in(c, a.x, (size_t)(a.N * a.ldx));
	struct chk_buf *w = a.w ? chk_in(c, a.w, d) : NULL, *dw;
	double *sum = chk_rand_f32(c, d, 1);

	a.lddx = ld;
	if (d == 1) /* alone it must not come near 0, for the tolerance */
		*sum += 128;
	dw = chk_inout_f32(c, sum, d);
	gvk_headnorm_bwd(c->s, want & WANT_DX ? dx->p : NULL,
	    want & WANT_DW ? dw->p : NULL, dy->p, x->p, w ? w->p : NULL, a.eps,
	    a.N, a.heads, a.D, a.lddx, a.ldy, a.ldx);
	if (c->ref)
		ref_bwd(&a);
	for (size_t i = 0; i < n && !(want & WANT_DX); i++)
		a.dx[i] = (double)NAN; /* untouched */
	for (size_t i = 0; i < d; i++)
		sum[i] = want & WANT_DW ? sum[i] + a.dw[i] : (double)NAN;
	spare(&a, a.dx, a.lddx);
	chk_near(c, dx, a.dx, CHK_SUM, "dx, %d x %d heads of %d%s, want %d",
	    (int)a.N, (int)a.heads, (int)a.D, a.w ? "" : ", ones", want);
	chk_near(c, dw, sum, CHK_SUM, "dw");
	chk_end(c);
}

/* sum of dy y, whose gradients dx and dw are. */
static double
loss(void *arg)
{
	struct heads *a = arg;
	double sum = 0;

	ref_fwd(a);
	for (int64_t i = 0; i < a->N * a->ldy; i++)
		sum += a->dy[i] * a->y[i];
	return sum;
}

/* The reference's own gradients. */
static void
differences(struct chk *c)
{
	struct heads a = draw(c, 3, 2, 11, true, 0, 0);

	ref_bwd(&a);
	chk_fd(c, loss, &a, a.x, a.dx, 66, "differences by x");
	chk_fd(c, loss, &a, a.w, a.dw, 11, "differences by w");
	chk_end(c);
}

/* A NaN fills its head, not its neighbours; zeros stay zeros. */
static void
not_finite(struct chk *c, int64_t D)
{
	struct heads a = draw(c, 3, 4, D, false, 8, 0);
	struct chk_buf *y = chk_out(c, (size_t)(3 * a.ldy));
	bool good = true;
	double *got;

	a.x[a.ldx + 2 * D + D - 1] = (double)NAN; /* head 2 of row 1 */
	for (int64_t i = 0; i < D; i++)
		a.x[2 * a.ldx + i] = 0; /* head 0 of row 2 */
	gvk_headnorm(c->s, y->p, chk_in(c, a.x, (size_t)(3 * a.ldx))->p, NULL,
	    a.eps, 3, 4, D, a.ldy, a.ldx);
	got = chk_get(c, y);
	for (int64_t i = 0; i < 12 * D; i++) {
		good = good && isnan(got[i]) == (i / D == 6);
		good = good && (i / D != 8 || got[i] == 0);
	}
	chk_ok(c, good, "a head's NaN and zeros stay in it, D %d", (int)D);
	chk_end(c);
}

static void
check(struct chk *c)
{
	/* Widths of every kind: one lane group after the other, cut ones, what
	 * is no multiple of 8, what is too wide for registers. */
	static const int64_t width[] = {
	    1, 7, 8, 33, 40, 64, 72, 80, 128, 136, 256, 264, 600};
	static const int64_t rows[] = {0, 1, 5, 37};
	static const int64_t heads[] = {1, 3, 16};
	static const int64_t more[] = {0, 8, 5};

	for (int i = 0; i < 13; i++)
		for (int j = 0; j < 4; j++) {
			int64_t N = rows[j], D = width[i];
			int64_t H = heads[(i + j) % 3];
			int64_t mx = more[i % 3], my = more[j % 3];
			bool w = (i + j) & 1;

			forward(c, draw(c, N, H, D, w, mx, my), false);
			forward(c, draw(c, N, H, D, !w, mx, mx), true);
			backward(c, draw(c, N, H, D, w, mx, my), 3);
			backward(c, draw(c, N, H, D, !w, mx, my), 7);
		}
	for (int want = 0; want < 8; want++) {
		backward(c, draw(c, 9, 4, 64, want & 1, 16, 24), want);
		backward(c, draw(c, 9, 4, 50, want & 1, 3, 1), want);
	}
	/* More heads than the device works on at a time. */
	forward(c, draw(c, 1100, 9, 24, true, 8, 0), false);
	backward(c, draw(c, 2050, 9, 24, true, 8, 0), 7);
	backward(c, draw(c, 1500, 3, 20, true, 0, 4), 3);
	differences(c);
	not_finite(c, 24);
	not_finite(c, 21);
}

int
main(int argc, char **argv)
{
	return chk_main(argc, argv, check);
}
