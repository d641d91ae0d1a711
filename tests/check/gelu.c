/* Activations, forward and backward, in place and not. */
#include "check.h"

#include <math.h>

static double
sigmoid(double x)
{
	return 1 / (1 + exp(-x));
}

static double
ref_act(enum gvk_act act, double x)
{
	switch (act) {
	case GVK_GELU_TANH:
		return x / 2 *
		       (1 + tanh(sqrt(2 / acos(-1)) *
				 (x + .044715 * x * x * x)));
	case GVK_GELU_ERF:
		return x / 2 * erfc(-x / sqrt(2));
	case GVK_GELU_QUICK:
		return x * sigmoid(1.702 * x);
	case GVK_SILU:
		return x * sigmoid(x);
	case GVK_RELU2:
		return fmax(x, 0) * x;
	case GVK_ACT_NONE:
		break;
	}
	return x;
}

static double
ref_grad(enum gvk_act act, double x)
{
	double k = sqrt(2 / acos(-1)), t, s;

	switch (act) {
	case GVK_GELU_TANH:
		t = tanh(k * (x + .044715 * x * x * x));
		return (1 + t) / 2 +
		       x / 2 * (1 - t * t) * k * (1 + 3 * .044715 * x * x);
	case GVK_GELU_ERF:
		return erfc(-x / sqrt(2)) / 2 +
		       x * exp(-x * x / 2) / sqrt(2 * acos(-1));
	case GVK_GELU_QUICK:
		s = sigmoid(1.702 * x);
		return s + 1.702 * x * s * (1 - s);
	case GVK_SILU:
		s = sigmoid(x);
		return s + x * s * (1 - s);
	case GVK_RELU2:
		return 2 * fmax(x, 0);
	case GVK_ACT_NONE:
		break;
	}
	return 1;
}

static void
check_act(struct chk *c, enum gvk_act act, int64_t count, bool in_place)
{
	size_t n = (size_t)count;
	double *x = chk_rand(c, n, 3), *dy = chk_rand(c, n, 1);
	double *y = chk_zeros(c, n), *dx = chk_zeros(c, n);
	struct chk_buf *X = chk_in(c, x, n), *DY, *DX, *XY, *Y;

	DY = in_place ? chk_inout(c, dy, n) : chk_in(c, dy, n);
	DX = in_place ? DY : chk_out(c, n);
	XY = in_place ? chk_inout(c, x, n) : X;
	Y = in_place ? XY : chk_out(c, n);
	gvk_gelu(c->s, Y->p, XY->p, act, count);
	gvk_gelu_bwd(c->s, DX->p, DY->p, X->p, act, count);
	for (size_t i = 0; i < n && c->ref; i++) {
		y[i] = ref_act(act, x[i]);
		dx[i] = dy[i] * ref_grad(act, x[i]);
	}
	chk_near(c, Y, y, CHK_ELEM, "y, act %d, n %d%s", (int)act, (int)count,
	    in_place ? ", in place" : "");
	chk_near(c, DX, dx, CHK_SUM, "dx");
	chk_end(c);
}

struct point {
	enum gvk_act act;
	double x;
};

static double
loss(void *arg)
{
	struct point *p = arg;

	return ref_act(p->act, p->x);
}

/* The reference's own gradients; not at 0, where RELU2's bends. */
static void
differences(struct chk *c, enum gvk_act act)
{
	for (int i = -4; i <= 4; i++) {
		struct point p = {act, .7 * i + .05};
		double grad = ref_grad(act, p.x);

		chk_fd(c, loss, &p, &p.x, &grad, 1, "differences at %g, act %d",
		    p.x, (int)act);
	}
}

/* Far out an activation is 0 or x, with derivative 0 or 1, but RELU2, which is
 * 0 or x^2; NaN stays NaN. */
static void
limits(struct chk *c, enum gvk_act act)
{
	double x[] = {-1e4, -200, 0, 200, 1e4, (double)NAN};
	double one[] = {1, 1, 1, 1, 1, 1}, *y, *dx;
	struct chk_buf *X = chk_in(c, x, 6), *DY = chk_in(c, one, 6);
	struct chk_buf *Y = chk_out(c, 6), *DX = chk_out(c, 6);

	gvk_gelu(c->s, Y->p, X->p, act, 6);
	gvk_gelu_bwd(c->s, DX->p, DY->p, X->p, act, 6);
	y = chk_get(c, Y);
	dx = chk_get(c, DX);
	for (int i = 0; i < 5; i++) {
		double slope = i == 2 ? .5 : x[i] > 0, to = fmax(x[i], 0);

		if (act == GVK_RELU2) {
			slope = 2 * to;
			to *= to;
		}
		chk_ok(c, fabs(y[i] - to) <= fabs(to) / 256 + 1e-9,
		    "limit at %g, act %d", x[i], (int)act);
		chk_ok(c, fabs(dx[i] - slope) <= slope / 256 + 1e-9,
		    "its derivative");
	}
	chk_ok(c, isnan(y[5]) && isnan(dx[5]), "NaN stays, act %d", (int)act);
	chk_end(c);
}

static void
check(struct chk *c)
{
	static const int64_t sizes[] = {0, 1, 3, 257, 16384 + 7};

	for (int act = GVK_ACT_NONE; act <= GVK_RELU2; act++) {
		for (int i = 0; i < 5; i++)
			check_act(
			    c, (enum gvk_act)act, sizes[i], (i + act) & 1);
		check_act(c, (enum gvk_act)act, 100, true);
		check_act(c, (enum gvk_act)act, 100, false);
		if (act == GVK_ACT_NONE)
			continue;
		differences(c, (enum gvk_act)act);
		limits(c, (enum gvk_act)act);
	}
}

int
main(int argc, char **argv)
{
	return chk_main(argc, argv, check);
}
