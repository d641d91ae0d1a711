/* Logits in F32, with and without the soft cap. */
#include "check.h"

#include <math.h>

static void
reference(double *z, const double *x, const double *w, double cap, int64_t N,
    int64_t C, int64_t V)
{
	for (int64_t n = 0; n < N; n++)
		for (int64_t v = 0; v < V; v++) {
			double sum = 0;

			for (int64_t c = 0; c < C; c++)
				sum += x[n * C + c] * w[v * C + c];
			z[n * V + v] = cap > 0 ? cap * tanh(sum / cap) : sum;
		}
}

static void
one(struct chk *c, int64_t N, int64_t C, int64_t V, float cap)
{
	size_t nc = (size_t)(N * C), vc = (size_t)(V * C);
	size_t nv = (size_t)(N * V);
	double *x = chk_rand(c, nc, 3), *w = chk_rand(c, vc, 1);
	double *z = chk_zeros(c, nv);
	struct chk_buf *Z = chk_out_f32(c, nv);

	gvk_logits(
	    c->s, Z->p, chk_in(c, x, nc)->p, chk_in(c, w, vc)->p, cap, N, C, V);
	if (c->ref)
		reference(z, x, w, (double)cap, N, C, V);
	chk_near(c, Z, z, CHK_SUM, "logits (%d,%d), vocabulary %d, cap %g",
	    (int)N, (int)C, (int)V, (double)cap);
	chk_end(c);
}

static void
check(struct chk *c)
{
	one(c, 1, 64, 288, 0);
	one(c, 1, 37, 301, 5);
	one(c, 3, 16, 77, 30);
	one(c, 17, 40, 123, 0);
	one(c, 64, 33, 290, 10);
	one(c, 2, 72, 1031, 0);
	one(c, 65, 64, 520, 0);
	one(c, 150, 136, 1032, 0);
	one(c, 0, 8, 8, 0);
}

int
main(int argc, char **argv)
{
	return chk_main(argc, argv, check);
}
