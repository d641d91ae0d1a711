/* RMSNorm and the product behind it: against double, rows of one and of many
 * blocks, widths that a row of one kernel holds and wider ones. */
#include "check.h"

#include <math.h>

struct shape {
	int64_t N, C, O;
};

static const float eps = 1e-5f;

/* h = rmsnorm(x) w, not rounded. */
static void
ref_norm(double *h, const double *x, const double *w, int64_t N, int64_t C)
{
	for (int64_t n = 0; n < N; n++) {
		double sum = 0;

		for (int64_t c = 0; c < C; c++)
			sum += x[n * C + c] * x[n * C + c];
		for (int64_t c = 0; c < C; c++)
			h[n * C + c] = x[n * C + c] * w[c] /
				       sqrt(sum / (double)C + (double)eps);
	}
}

/* y = h w^T + b. */
static void
ref_linear(double *y, const double *h, const double *w, const double *b,
    const struct shape *a)
{
	for (int64_t n = 0; n < a->N; n++)
		for (int64_t o = 0; o < a->O; o++) {
			double z = b ? b[o] : 0;

			for (int64_t c = 0; c < a->C; c++)
				z += h[n * a->C + c] * w[o * a->C + c];
			y[n * a->O + o] = z;
		}
}

static void
check_linear(struct chk *c, struct shape a, bool bias)
{
	size_t nx = (size_t)(a.N * a.C), ny = (size_t)(a.N * a.O);
	double *x = chk_rand(c, nx, 2), *wn = chk_rand(c, (size_t)a.C, 1);
	double *w = chk_rand(c, (size_t)(a.O * a.C), 0.1);
	double *b = chk_rand(c, (size_t)a.O, 1), *h = chk_zeros(c, nx);
	double *y = chk_zeros(c, ny);
	struct chk_buf *Y = chk_out(c, ny), *H = chk_out(c, nx);
	struct chk_buf *X = chk_in(c, x, nx), *WN = chk_in(c, wn, (size_t)a.C);
	struct chk_buf *W = chk_in(c, w, (size_t)(a.O * a.C));
	struct chk_buf *B = chk_in(c, b, (size_t)a.O);

	gvk_norm_linear(c->s, Y->p, H->p, X->p, WN->p, eps, W->p,
	    bias ? B->p : NULL, a.N, a.C, a.O);
	if (c->ref) {
		ref_norm(h, x, wn, a.N, a.C);
		ref_linear(y, h, w, bias ? b : NULL, &a);
	}
	chk_near(c, Y, y, CHK_STORED, "linear: N %d, C %d, O %d%s", (int)a.N,
	    (int)a.C, (int)a.O, bias ? ", bias" : "");
	chk_end(c);
}

static void
check_gated(struct chk *c, struct shape a)
{
	const struct shape both = {a.N, a.C, 2 * a.O};
	size_t nx = (size_t)(a.N * a.C), ny = (size_t)(a.N * a.O);
	double *x = chk_rand(c, nx, 2), *wn = chk_rand(c, (size_t)a.C, 1);
	double *w = chk_rand(c, (size_t)(2 * a.O * a.C), 0.1);
	double *h = chk_zeros(c, nx), *gu = chk_zeros(c, 2 * ny);
	double *y = chk_zeros(c, ny);
	struct chk_buf *Y = chk_out(c, ny), *GU = chk_out(c, 2 * ny);
	struct chk_buf *H = chk_out(c, nx), *X = chk_in(c, x, nx);
	struct chk_buf *WN = chk_in(c, wn, (size_t)a.C);
	struct chk_buf *W = chk_in(c, w, (size_t)(2 * a.O * a.C));

	gvk_norm_gated(
	    c->s, Y->p, GU->p, H->p, X->p, WN->p, eps, W->p, a.N, a.C, a.O);
	if (c->ref) {
		ref_norm(h, x, wn, a.N, a.C);
		ref_linear(gu, h, w, NULL, &both);
	}
	for (int64_t i = 0; i < a.N * a.O; i++) {
		const double *row = gu + i / a.O * 2 * a.O + i % a.O;

		y[i] = row[0] / (1 + exp(-row[0])) * row[a.O];
	}
	chk_near(c, Y, y, CHK_DEEP, "gated: N %d, C %d, F %d", (int)a.N,
	    (int)a.C, (int)a.O);
	chk_end(c);
}

static void
check(struct chk *c)
{
	static const struct shape shape[] = {
	    {0, 8, 8},
	    {1, 8, 1},
	    {1, 1536, 70},
	    {3, 72, 17},
	    {8, 264, 255},
	    {9, 128, 33},
	    {7, 33, 20},
	    {2, 2056, 19},
	    {1, 96, 8200},
	    {70, 64, 24},
	};

	for (size_t i = 0; i < sizeof shape / sizeof *shape; i++) {
		check_linear(c, shape[i], i & 1);
		check_gated(c, shape[i]);
	}
}

int
main(int argc, char **argv)
{
	return chk_main(argc, argv, check);
}
