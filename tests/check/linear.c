/* Linear layers forward and backward: products cut in every way that the
 * shapes ask for, with bias, activations, frozen parts and residual sums. */
#include "check.h"

#include <math.h>

struct lin {
	int64_t N, C, O;
	enum gvk_act act; /* of the output, forward; of x, backward */
	double *x, *w, *b, *r; /* b, r may be NULL */
	double *y, *pre; /* forward's results */
	double *dy, *z; /* x = act(z) if z */
	double *dx, *dw, *db; /* backward's results, added to */
};

static const char *const act_name[] = {
    "none", "gelu tanh", "gelu erf", "gelu quick", "silu", "relu2"};

static double
act(enum gvk_act a, double x)
{
	switch (a) {
	case GVK_ACT_NONE:
		break;
	case GVK_GELU_TANH:
		return x / 2 *
		       (1 + tanh(sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
	case GVK_GELU_ERF:
		return x / 2 * (1 + erf(x / sqrt(2)));
	case GVK_GELU_QUICK:
		return x / (1 + exp(-1.702 * x));
	case GVK_SILU:
		return x / (1 + exp(-x));
	case GVK_RELU2:
		return fmax(x, 0) * x;
	}
	return x;
}

/* Analytic derivatives, held against central differences of act() below. */
static double
act_grad(enum gvk_act a, double x)
{
	double u, t, s;

	switch (a) {
	case GVK_ACT_NONE:
		break;
	case GVK_GELU_TANH:
		u = sqrt(2 / M_PI);
		t = tanh(u * (x + 0.044715 * x * x * x));
		return (1 + t) / 2 +
		       x / 2 * (1 - t * t) * u * (1 + 3 * 0.044715 * x * x);
	case GVK_GELU_ERF:
		return (1 + erf(x / sqrt(2))) / 2 +
		       x * exp(-x * x / 2) / sqrt(2 * M_PI);
	case GVK_GELU_QUICK:
		s = 1 / (1 + exp(-1.702 * x));
		return s + 1.702 * x * s * (1 - s);
	case GVK_SILU:
		s = 1 / (1 + exp(-x));
		return s + x * s * (1 - s);
	case GVK_RELU2:
		return 2 * fmax(x, 0);
	}
	return 1;
}

static void
ref_fwd(struct lin *l)
{
	for (int64_t n = 0; n < l->N; n++)
		for (int64_t o = 0; o < l->O; o++) {
			double sum = l->b ? l->b[o] : 0;

			for (int64_t c = 0; c < l->C; c++)
				sum += l->x[n * l->C + c] * l->w[o * l->C + c];
			l->pre[n * l->O + o] = sum;
			l->y[n * l->O + o] =
			    act(l->act, sum) + (l->r ? l->r[n * l->O + o] : 0);
		}
}

static void
ref_bwd(struct lin *l)
{
	for (int64_t n = 0; n < l->N; n++)
		for (int64_t c = 0; c < l->C; c++) {
			double sum = 0;

			for (int64_t o = 0; o < l->O; o++) {
				double dy = l->dy[n * l->O + o];

				sum += dy * l->w[o * l->C + c];
				l->dw[o * l->C + c] += dy * l->x[n * l->C + c];
				if (c == 0)
					l->db[o] += dy;
			}
			if (l->z)
				sum *= act_grad(l->act, l->z[n * l->C + c]);
			l->dx[n * l->C + c] += sum;
		}
}

enum { BIAS = 1, KEEP = 2, RESIDUAL = 4, IN_PLACE = 8 };

static void
check_fwd(
    struct chk *c, int64_t N, int64_t C, int64_t O, enum gvk_act a, int with)
{
	struct lin l = {.N = N, .C = C, .O = O, .act = a};
	size_t nc = (size_t)(N * C), no = (size_t)(N * O);
	bool keep = with & KEEP, in_place = with & IN_PLACE;
	struct chk_buf *y, *r = NULL, *pre = chk_out(c, no);

	l.x = chk_rand(c, nc, 1);
	l.w = chk_rand(c, (size_t)(O * C), 1 / sqrt((double)C));
	l.b = with & BIAS ? chk_rand(c, (size_t)O, 1) : NULL;
	l.r = with & (RESIDUAL | IN_PLACE) ? chk_rand(c, no, 1) : NULL;
	l.y = chk_zeros(c, no);
	l.pre = chk_zeros(c, no);
	y = in_place ? chk_inout(c, l.r, no) : chk_out(c, no);
	if (l.r)
		r = in_place ? y : chk_in(c, l.r, no);
	gvk_linear(c->s, y->p, keep ? pre->p : NULL, chk_in(c, l.x, nc)->p,
	    chk_in(c, l.w, (size_t)(O * C))->p,
	    l.b ? chk_in(c, l.b, (size_t)O)->p : NULL, r ? r->p : NULL, a, N, C,
	    O);
	if (c->ref)
		ref_fwd(&l);
	chk_near(c, y, l.y, CHK_SUM, "y, (%d,%d)x(%d), %s, %d", (int)N, (int)C,
	    (int)O, act_name[a], with);
	if (keep && a != GVK_ACT_NONE)
		chk_near(c, pre, l.pre, CHK_SUM, "pre");
	chk_end(c);
}

enum { WANT_DX = 1, WANT_DW = 2, WANT_DB = 4, ADD = 8 };

static void
check_bwd(
    struct chk *c, int64_t N, int64_t C, int64_t O, enum gvk_act a, int want)
{
	struct lin l = {.N = N, .C = C, .O = O, .act = a};
	size_t nc = (size_t)(N * C), no = (size_t)(N * O);
	size_t oc = (size_t)(O * C), i;
	struct chk_buf *dx, *dw, *db;

	l.x = chk_rand(c, nc, 1);
	l.w = chk_rand(c, oc, 1);
	l.dy = chk_rand(c, no, 1);
	l.z = a != GVK_ACT_NONE ? chk_rand(c, nc, 2) : NULL;
	l.dx = want & ADD ? chk_rand(c, nc, 1) : chk_zeros(c, nc);
	l.dw = chk_rand_f32(c, oc, 1);
	l.db = chk_rand_f32(c, (size_t)O, 1);
	dx = want & ADD ? chk_inout(c, l.dx, nc) : chk_out(c, nc);
	dw = chk_inout_f32(c, l.dw, oc);
	db = chk_inout_f32(c, l.db, (size_t)O);
	gvk_linear_bwd(c->s, want & WANT_DX ? dx->p : NULL,
	    want & WANT_DW ? dw->p : NULL, want & WANT_DB ? db->p : NULL,
	    chk_in(c, l.dy, no)->p, chk_in(c, l.x, nc)->p,
	    l.z ? chk_in(c, l.z, nc)->p : NULL, chk_in(c, l.w, oc)->p, a,
	    (want & ADD) != 0, N, C, O);
	if (c->ref)
		ref_bwd(&l);
	for (i = 0; i < nc && !(want & WANT_DX); i++)
		l.dx[i] = (double)NAN; /* untouched */
	for (i = 0; i < oc && !(want & WANT_DW); i++)
		l.dw[i] = (double)NAN;
	for (i = 0; i < (size_t)O && !(want & WANT_DB); i++)
		l.db[i] = (double)NAN;
	/* RELU2's slope stretches the largest errors. */
	chk_near(c, dx, l.dx, a == GVK_RELU2 ? CHK_DEEP : CHK_SUM,
	    "dx, (%d,%d)x(%d), %s, %d", (int)N, (int)C, (int)O, act_name[a],
	    want);
	chk_near(c, dw, l.dw, CHK_SUM, "dw");
	chk_near(c, db, l.db, CHK_SUM, "db");
	chk_end(c);
}

/* The references' gradient of sum(dy * y), y = act2(act(z) w^T + b) with the
 * outer activation left out, against differences. */
struct loss {
	struct lin f;
	const double *dy, *z;
	enum gvk_act inner;
};

static double
loss(void *arg)
{
	struct loss *s = arg;
	double sum = 0;

	for (int64_t i = 0; i < s->f.N * s->f.C; i++)
		s->f.x[i] = act(s->inner, s->z[i]);
	ref_fwd(&s->f);
	for (int64_t i = 0; i < s->f.N * s->f.O; i++)
		sum += s->f.y[i] * s->dy[i];
	return sum;
}

static void
check_reference(struct chk *c, enum gvk_act a)
{
	int64_t N = 5, C = 7, O = 6;
	struct lin l = {.N = N, .C = C, .O = O, .act = a};
	struct loss s;

	l.x = chk_zeros(c, 35);
	l.z = chk_rand(c, 35, 2);
	l.w = chk_rand(c, 42, 1);
	l.b = chk_rand(c, 6, 1);
	l.dy = chk_rand(c, 30, 1);
	l.y = chk_zeros(c, 30);
	l.pre = chk_zeros(c, 30);
	l.dx = chk_zeros(c, 35);
	l.dw = chk_zeros(c, 42);
	l.db = chk_zeros(c, 6);
	for (int i = 0; i < 35; i++)
		l.x[i] = act(a, l.z[i]);
	ref_bwd(&l);
	s = (struct loss){.f = l, .dy = l.dy, .z = l.z, .inner = a};
	s.f.act = GVK_ACT_NONE;
	chk_fd(c, loss, &s, l.z, l.dx, 35, "reference dx, %s", act_name[a]);
	chk_fd(c, loss, &s, l.w, l.dw, 42, "reference dw, %s", act_name[a]);
	chk_fd(c, loss, &s, l.b, l.db, 6, "reference db, %s", act_name[a]);
	chk_end(c);
}

/* The paths of the backends: dot products and packed blocks on the CPU; few
 * rows, tensor cores with whole and cut tiles, and the plain kernel (widths
 * that are no multiple of 8) on CUDA. */
static void
check(struct chk *c)
{
	static const int64_t shape[][3] = {{1, 1, 1}, {1, 128, 96}, {3, 17, 5},
	    {8, 33, 67}, {9, 64, 129}, {40, 31, 13}, {97, 48, 40},
	    {131, 70, 33}, {300, 24, 97}, {520, 33, 50}, {13, 600, 21},
	    {33, 520, 1030}, {1100, 21, 30}, {400, 300, 64}, {1, 24, 17},
	    {2, 72, 255}, {7, 8, 1}, {16, 24, 255}, {17, 72, 40}, {64, 136, 24},
	    {65, 64, 264}, {129, 136, 264}, {384, 72, 520}, {136, 2056, 256}};
	size_t i;
	int a, want;

	for (i = 0; i < sizeof shape / sizeof *shape; i++) {
		const int64_t *s = shape[i];

		a = (int)(i % 6);
		check_fwd(c, s[0], s[1], s[2], a,
		    (i % 2 ? BIAS : 0) | (i % 3 ? KEEP : 0));
		check_fwd(c, s[0], s[1], s[2], GVK_ACT_NONE,
		    (i % 2 ? 0 : BIAS) | (i % 3 ? RESIDUAL : IN_PLACE));
		check_bwd(c, s[0], s[1], s[2], a, 7);
	}
	for (a = GVK_ACT_NONE; a <= GVK_RELU2; a++) {
		check_fwd(c, 37, 19, 23, a, BIAS | KEEP);
		check_fwd(c, 5, 19, 23, a, 0);
		check_fwd(c, 260, 72, 136, a, BIAS | KEEP);
		check_fwd(c, 70, 136, 264, a, 0);
		check_bwd(c, 37, 19, 23, a, 7);
		check_bwd(c, 136, 200, 72, a, 7);
		check_reference(c, a);
	}
	for (want = 0; want < 16; want++) {
		check_fwd(c, 21, 34, 45, GVK_ACT_NONE, want);
		check_fwd(c, 150, 80, 136, GVK_ACT_NONE, want);
		check_bwd(c, 21, 34, 45, GVK_ACT_NONE, want);
		check_bwd(c, 150, 136, 80, GVK_ACT_NONE, want);
	}
	check_fwd(c, 0, 8, 8, GVK_ACT_NONE, BIAS);
	check_bwd(c, 0, 8, 8, GVK_ACT_NONE, 7);
}

int
main(int argc, char **argv)
{
	return chk_main(argc, argv, check);
}
