/* The clip factor and the norm, by torch's rule. */
#include "check.h"

#include <math.h>

/* What cannot be left to a tolerance is given: 0 for a norm that is not
 * finite in F32. */
static void
check_sum(struct chk *c, double sum, float max_norm)
{
	struct chk_buf *S = chk_in_bytes(c, &sum, sizeof sum);
	struct chk_buf *SCALE = chk_out_f32(c, 2);
	double norm = sqrt(sum), factor = 1, *got;
	bool finite = isfinite((float)norm);

	if (max_norm > 0)
		factor = fmin(1, (double)max_norm / (norm + 1e-6));
	gvk_clip(c->s, SCALE->p, S->p, max_norm);
	got = chk_get(c, SCALE);
	chk_ok(c, finite ? fabs(got[0] - factor) <= 1e-6 * factor : got[0] == 0,
	    "factor, sum %g, at most %g", sum, (double)max_norm);
	if (finite)
		chk_ok(c, fabs(got[1] - norm) <= 1e-6 * norm, "norm");
	else
		chk_ok(c, isnan(norm) ? isnan(got[1]) : isinf(got[1]),
		    "norm that is not finite");
	chk_end(c);
}

static void
check(struct chk *c)
{
	static const double sums[] = {0, 1e-20, .01, 1, 4, 1e9, 1e60, 1e80,
	    (double)INFINITY, (double)NAN};
	static const float most[] = {-1, 0, 1e-3f, 1, 2, 1e30f, INFINITY};

	for (size_t i = 0; i < sizeof sums / sizeof *sums; i++)
		for (size_t j = 0; j < sizeof most / sizeof *most; j++)
			check_sum(c, sums[i], most[j]);
}

int
main(int argc, char **argv)
{
	return chk_main(argc, argv, check);
}
