/* Rows gathered from, and scattered to, the places of an index. */
#include "check.h"

#include <math.h>

struct shape {
	int64_t M, C, ldy, ldx, rows; /* rows of the buffer with an index */
};

static void
check_gather(struct chk *c, struct shape a)
{
	size_t n = (size_t)(a.M * a.ldy), all = (size_t)(a.rows * a.ldx);
	double *x = chk_rand(c, all, 1), *y = chk_zeros(c, n);
	int32_t *at = chk_rand_ids(c, (size_t)a.M, (int32_t)a.rows);
	struct chk_buf *X = chk_in(c, x, all), *Y = chk_out(c, n);
	struct chk_buf *AT = chk_in_i32(c, at, (size_t)a.M);

	gvk_gather(c->s, Y->p, X->p, AT->p, a.M, a.C, a.ldy, a.ldx);
	for (int64_t i = 0; i < a.M * a.ldy; i++) {
		int64_t m = i / a.ldy, k = i % a.ldy;

		y[i] = k < a.C ? x[at[m] * a.ldx + k] : (double)NAN;
	}
	chk_near(c, Y, y, CHK_EXACT, "gather, M %d, C %d, ldy %d, ldx %d",
	    (int)a.M, (int)a.C, (int)a.ldy, (int)a.ldx);
	chk_end(c);
}

static void
check_scatter(struct chk *c, struct shape a)
{
	size_t n = (size_t)(a.M * a.ldx), all = (size_t)(a.rows * a.ldy);
	double *x = chk_rand(c, n, 1), *y = chk_zeros(c, all);
	int32_t *at = chk_shuffle(c, (size_t)a.rows);
	struct chk_buf *X = chk_in(c, x, n), *Y = chk_out(c, all);
	struct chk_buf *AT = chk_in_i32(c, at, (size_t)a.M);

	gvk_scatter(c->s, Y->p, X->p, AT->p, a.M, a.C, a.ldy, a.ldx);
	for (size_t i = 0; i < all; i++)
		y[i] = (double)NAN;
	for (int64_t i = 0; i < a.M * a.C; i++) {
		int64_t m = i / a.C, k = i % a.C;

		y[at[m] * a.ldy + k] = x[m * a.ldx + k];
	}
	chk_near(c, Y, y, CHK_EXACT, "scatter, M %d, C %d, ldy %d, ldx %d",
	    (int)a.M, (int)a.C, (int)a.ldy, (int)a.ldx);
	chk_end(c);
}

static void
check(struct chk *c)
{
	static const int64_t rows[] = {0, 1, 3, 257};
	static const int64_t channels[] = {1, 7, 33, 96, 130};

	for (int i = 0; i < 4; i++)
		for (int j = 0; j < 5; j++) {
			int64_t M = rows[i], C = channels[j];

			check_gather(c, (struct shape){M, C, C, C, 50});
			check_gather(
			    c, (struct shape){M, C, C + 8, C + 24, 50});
			check_scatter(c, (struct shape){M, C, C, C, M + 9});
			check_scatter(
			    c, (struct shape){M, C, C + 8, C + 24, M + 9});
		}
}

int
main(int argc, char **argv)
{
	return chk_main(argc, argv, check);
}
