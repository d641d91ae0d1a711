/* Rows by id from two tables; gradients added in ascending order. */
#include "check.h"

struct shape {
	int64_t N, C, V, E;
};

/* Ids 0..V-1 and ~0..~(E-1), with repeats. */
static int32_t *
draw_ids(struct chk *c, const struct shape *a)
{
	int32_t *id = chk_rand_ids(c, (size_t)a->N, (int32_t)(a->V + a->E));

	for (int64_t n = 0; n < a->N; n++)
		if (id[n] >= a->V)
			id[n] = ~(id[n] - (int32_t)a->V);
	return id;
}

static void
forward(struct chk *c, struct shape a)
{
	size_t n = (size_t)(a.N * a.C);
	size_t v = (size_t)(a.V * a.C), e = (size_t)(a.E * a.C);
	double *w = chk_rand(c, v, 1), *out = chk_rand(c, e, 1);
	double *y = chk_zeros(c, n);
	int32_t *id = draw_ids(c, &a);
	struct chk_buf *Y = chk_out(c, n), *W = chk_in(c, w, v);
	struct chk_buf *OUT = chk_in(c, out, e);
	struct chk_buf *ID = chk_in_i32(c, id, (size_t)a.N);

	gvk_embedding(c->s, Y->p, W->p, a.E ? OUT->p : NULL, ID->p, a.N, a.C);
	for (int64_t i = 0; i < a.N * a.C && c->ref; i++) {
		int64_t row = id[i / a.C], k = i % a.C;

		y[i] = row < 0 ? out[~row * a.C + k] : w[row * a.C + k];
	}
	chk_near(c, Y, y, CHK_EXACT, "y, N %d, C %d, E %d", (int)a.N, (int)a.C,
	    (int)a.E);
	chk_end(c);
}

/* dw is compared bit for bit with F32 additions in ascending order.  Bits of
 * which: 1 dw, 2 de. */
static void
backward(struct chk *c, struct shape a, int which)
{
	size_t n = (size_t)(a.N * a.C);
	size_t v = (size_t)(a.V * a.C), e = (size_t)(a.E * a.C);
	double *dy = chk_rand(c, n, 1), *dw = chk_rand_f32(c, v, 1);
	double *de = chk_zeros(c, e);
	int32_t *id = draw_ids(c, &a);
	struct chk_buf *DY = chk_in(c, dy, n), *DW = chk_inout_f32(c, dw, v);
	struct chk_buf *DE = chk_out(c, e);
	struct chk_buf *ID = chk_in_i32(c, id, (size_t)a.N);

	gvk_embedding_bwd(c->s, which & 1 ? DW->p : NULL,
	    which & 2 ? DE->p : NULL, DY->p, ID->p, a.N, a.C, a.V, a.E);
	for (int64_t i = 0; i < a.N * a.C && c->ref; i++) {
		int64_t row = id[i / a.C], k = i % a.C;

		if (row < 0)
			de[~row * a.C + k] += dy[i];
		else if (which & 1)
			dw[row * a.C + k] =
			    (double)(float)(dw[row * a.C + k] + dy[i]);
	}
	chk_near(c, DW, dw, CHK_EXACT, "dw, N %d, C %d, E %d, which %d",
	    (int)a.N, (int)a.C, (int)a.E, which);
	if (which & 2)
		chk_near(c, DE, de, CHK_SUM, "de");
	chk_end(c);
}

static void
check(struct chk *c)
{
	static const int64_t rows[] = {0, 1, 3, 257};
	static const int64_t channels[] = {1, 7, 33, 96, 130};

	for (int i = 0; i < 4; i++)
		for (int j = 0; j < 5; j++) {
			struct shape a = {rows[i], channels[j], 11, 5};

			forward(c, a);
			backward(c, a, 3);
			a.E = 0;
			forward(c, a);
			backward(c, a, 1);
		}
	/* Long runs of an id, and more places than are sorted at once. */
	backward(c, (struct shape){2500, 264, 3, 40}, 3);
	backward(c, (struct shape){2049, 40, 1, 0}, 1);
	backward(c, (struct shape){700, 33, 3, 2}, 3);
	backward(c, (struct shape){40000, 8, 500, 600}, 3);
	forward(c, (struct shape){2049, 264, 1000, 100});
	backward(c, (struct shape){65, 33, 11, 5}, 0);
	backward(c, (struct shape){65, 33, 11, 5}, 1);
	backward(c, (struct shape){65, 33, 11, 5}, 2);
}

int
main(int argc, char **argv)
{
	return chk_main(argc, argv, check);
}
