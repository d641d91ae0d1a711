/* y += x. */
#include "check.h"

static void
check(struct chk *c)
{
	static const size_t sizes[] = {0, 1, 7, 33, 257, 16384, 40001};

	for (int i = 0; i < 7; i++) {
		size_t n = sizes[i];
		double *x = chk_rand(c, n, 1), *y = chk_rand(c, n, 1);
		struct chk_buf *X = chk_in(c, x, n), *Y = chk_inout(c, y, n);

		gvk_add(c->s, Y->p, X->p, (int64_t)n);
		for (size_t k = 0; k < n && c->ref; k++)
			y[k] += x[k];
		chk_near(c, Y, y, CHK_ELEM, "n %zu", n);
		chk_end(c);
	}
}

int
main(int argc, char **argv)
{
	return chk_main(argc, argv, check);
}
