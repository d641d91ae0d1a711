/* Head and loss in chunks: log-probabilities, entropy and both gradients. */
#include "check.h"

#include <math.h>

struct xent {
	int64_t N, C, V;
	double cap;
	double *x, *w, *g;
	int32_t *target;
	double *logp, *entropy, *dx, *dw;
};

/* Raw and capped logits of a row, and log sum exp of the capped ones. */
static double
row_logits(const struct xent *a, int64_t n, double *z)
{
	double max = -INFINITY, sum = 0;

	for (int64_t v = 0; v < a->V; v++) {
		double s = 0;

		for (int64_t c = 0; c < a->C; c++)
			s += a->x[n * a->C + c] * a->w[v * a->C + c];
		z[v] = a->cap > 0 ? a->cap * tanh(s / a->cap) : s;
		max = fmax(max, z[v]);
	}
	for (int64_t v = 0; v < a->V; v++)
		sum += exp(z[v] - max);
	return max + log(sum);
}

static void
reference(struct xent *a, double *z)
{
	for (int64_t n = 0; n < a->N; n++) {
		double lse = row_logits(a, n, z);

		a->logp[n] = z[a->target[n]] - lse;
		a->entropy[n] = 0;
		for (int64_t v = 0; v < a->V; v++) {
			double p = exp(z[v] - lse), d;

			a->entropy[n] -= p * (z[v] - lse);
			d = a->g[n] * ((v == a->target[n]) - p);
			if (a->cap > 0)
				d *= 1 - z[v] * z[v] / a->cap / a->cap;
			for (int64_t c = 0; c < a->C; c++) {
				a->dx[n * a->C + c] += d * a->w[v * a->C + c];
				a->dw[v * a->C + c] += d * a->x[n * a->C + c];
			}
		}
	}
}

static void
set_up(struct chk *c, struct xent *a)
{
	a->x = chk_rand(c, (size_t)(a->N * a->C), 2);
	a->w = chk_rand(c, (size_t)(a->V * a->C), 2 / sqrt((double)a->C));
	a->g = chk_rand_f32(c, (size_t)a->N, 1);
	a->target = chk_rand_ids(c, (size_t)a->N, (int32_t)a->V);
	a->logp = chk_zeros(c, (size_t)a->N);
	a->entropy = chk_zeros(c, (size_t)a->N);
	a->dx = chk_zeros(c, (size_t)(a->N * a->C));
	a->dw = chk_rand_f32(c, (size_t)(a->V * a->C), 1);
}

enum { LOGP = 1, ENTROPY = 2, DX = 4, DW = 8 };

static void
one(struct chk *c, int64_t N, int64_t C, int64_t V, float cap, int want)
{
	struct xent a = {.N = N, .C = C, .V = V, .cap = (double)cap};
	size_t nc = (size_t)(N * C), vc = (size_t)(V * C), i;
	struct chk_buf *logp, *entropy, *dx, *dw;
	bool grad = want & (DX | DW);

	set_up(c, &a);
	logp = chk_out_f32(c, (size_t)N);
	entropy = chk_out_f32(c, (size_t)N);
	dx = chk_out(c, nc);
	dw = chk_inout_f32(c, a.dw, vc);
	gvk_xent(c->s, want & LOGP ? logp->p : NULL,
	    want & ENTROPY ? entropy->p : NULL, want & DX ? dx->p : NULL,
	    want & DW ? dw->p : NULL, chk_in(c, a.x, nc)->p,
	    chk_in(c, a.w, vc)->p, chk_in_i32(c, a.target, (size_t)N)->p,
	    grad ? chk_in_f32(c, a.g, (size_t)N)->p : NULL, cap, N, C, V,
	    chk_ws(c, gvk_xent_ws(c->k, N, C, V))->p);
	if (c->ref)
		reference(&a, chk_zeros(c, (size_t)V));
	for (i = 0; i < (size_t)N; i++) {
		a.logp[i] = want & LOGP ? a.logp[i] : (double)NAN;
		a.entropy[i] = want & ENTROPY ? a.entropy[i] : (double)NAN;
	}
	for (i = 0; i < nc && !(want & DX); i++)
		a.dx[i] = (double)NAN;
	for (i = 0; i < vc && !(want & DW); i++)
		a.dw[i] = (double)NAN;
	chk_near(c, logp, a.logp, CHK_SUM, "logp (%d,%d)x%d cap %g, %d", (int)N,
	    (int)C, (int)V, (double)cap, want);
	chk_near(c, entropy, a.entropy, CHK_SUM, "entropy");
	chk_near(c, dx, a.dx, CHK_STORED, "dx");
	chk_near(c, dw, a.dw, CHK_STORED, "dw");
	chk_end(c);
}

struct loss {
	struct xent a;
	double *z;
};

static double
loss(void *arg)
{
	struct loss *s = arg;
	double sum = 0;

	for (int64_t n = 0; n < s->a.N; n++)
		sum += s->a.g[n] * (s->z[0] = row_logits(&s->a, n, s->z + 1),
				       s->z[1 + s->a.target[n]] - s->z[0]);
	return sum;
}

static void
check_reference(struct chk *c, double cap)
{
	struct xent a = {.N = 6, .C = 5, .V = 9, .cap = cap};
	struct loss s;
	size_t i;

	set_up(c, &a);
	for (i = 0; i < 45; i++)
		a.dw[i] = 0;
	s = (struct loss){a, chk_zeros(c, 10)};
	reference(&a, chk_zeros(c, 9));
	chk_fd(c, loss, &s, a.x, a.dx, 30, "reference dx, cap %g", cap);
	chk_fd(c, loss, &s, a.w, a.dw, 45, "reference dw, cap %g", cap);
	chk_end(c);
}

static void
check(struct chk *c)
{
	int want;

	check_reference(c, 0);
	check_reference(c, 4);
	one(c, 1, 8, 3, 0, 15);
	one(c, 7, 19, 301, 0, 15);
	one(c, 150, 12, 77, 6, 15);
	one(c, 1100, 5, 50, 0, 15); /* two chunks */
	one(c, 70, 4, 40003, 0, LOGP | DW); /* of 64 rows */
	one(c, 9001, 3, 20, 0, LOGP | DX); /* and of 8192 */
	one(c, 2, 4, 98304, 0, LOGP); /* parts of 48 KiB, and of more */
	one(c, 3, 8, 151936, 0, 15);
	one(c, 2, 8, 151937, 30, 15);
	for (want = 0; want < 16; want++)
		one(c, 9, 16, 40, want % 2 ? 3 : 0, want);
	one(c, 0, 8, 8, 0, 15);
}

int
main(int argc, char **argv)
{
	return chk_main(argc, argv, check);
}
