/* Sum of squares in double. */
#include "check.h"

#include <math.h>
#include <string.h>

/* The double in a buffer of bytes. */
static double
value(struct chk *c, struct chk_buf *b)
{
	const double *byte = chk_get(c, b);
	unsigned char raw[sizeof(double)];
	double x;

	for (size_t i = 0; i < sizeof raw; i++)
		raw[i] = (unsigned char)byte[i];
	memcpy(&x, raw, sizeof x);
	return x;
}

/* Sums n elements twice, the second time onto the first sum. */
static void
check_size(struct chk *c, size_t n)
{
	double *x = chk_zeros(c, n), want = 0, once, twice;
	int32_t *id = chk_rand_ids(c, n, 1 << 24);
	struct chk_buf *X, *S = chk_out_bytes(c, sizeof(double));

	for (size_t i = 0; i < n; i++) {
		x[i] = (id[i] - (1 << 23)) * 0x1p-20;
		want += x[i] * x[i];
	}
	X = chk_in_f32(c, x, n);
	gvk_sumsq(c->s, S->p, X->p, (int64_t)n, false);
	once = value(c, S);
	gvk_sumsq(c->s, S->p, X->p, (int64_t)n, true);
	twice = value(c, S);
	chk_ok(c, fabs(once - want) <= 1e-12 * want, "n %zu", n);
	chk_ok(c, fabs(twice - 2 * want) <= 2e-12 * want, "added once more");
	chk_end(c);
}

/* Squares beyond the range of F32, and what is not finite. */
static void
check_range(struct chk *c)
{
	double x[] = {1e30, 3, 1e30, -1e-30}, tiny[] = {1e-30, 1e-30};
	struct chk_buf *X = chk_in_f32(c, x, 4), *T = chk_in_f32(c, tiny, 2);
	struct chk_buf *S = chk_out_bytes(c, sizeof(double)), *BAD;
	double sum;

	gvk_sumsq(c->s, S->p, X->p, 4, false);
	sum = value(c, S);
	chk_ok(c, fabs(sum - 2e60) <= 1e54, "large squares");
	gvk_sumsq(c->s, S->p, T->p, 2, false);
	sum = value(c, S);
	chk_ok(c, fabs(sum - 2e-60) <= 1e-66, "small squares");
	x[1] = (double)INFINITY;
	BAD = chk_in_f32(c, x, 4);
	gvk_sumsq(c->s, S->p, BAD->p, 4, false);
	sum = value(c, S);
	chk_ok(c, isinf(sum) && sum > 0, "infinity");
	x[1] = (double)NAN;
	BAD = chk_in_f32(c, x, 4);
	gvk_sumsq(c->s, S->p, BAD->p, 4, false);
	chk_ok(c, isnan(value(c, S)), "NaN");
	chk_end(c);
}

static void
check(struct chk *c)
{
	static const size_t sizes[] = {0, 1, 7, 33, 257, 16384, 40001, 1100003};

	for (int i = 0; i < 8; i++)
		check_size(c, sizes[i]);
	check_range(c);
}

int
main(int argc, char **argv)
{
	return chk_main(argc, argv, check);
}
