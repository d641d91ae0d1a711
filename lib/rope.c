/* Frequencies of rotary positions, by the rope types of Hugging Face. */
#include "rope.h"

#include "banned.h"

#include <math.h>

#define TURN 6.28318530717958647692

/* Llama 3.1: a frequency stays if it turns `high` times over the original
 * positions, is divided if less than `low` times, and in between goes from the
 * one to the other. */
static double
llama3(const struct gv_rope_config *r, double f)
{
	double turns = (double)r->original * f / TURN;
	double t = (turns - r->low) / (r->high - r->low);

	t = t < 0 ? 0 : t > 1 ? 1 : t;
	return (1 - t) * f / r->factor + t * f;
}

/* The (fractional) index of the frequency that turns n times. */
static double
index_of(const struct gv_rope_config *r, double n, int64_t D)
{
	return (double)D * log((double)r->original / (n * TURN)) /
	       (2 * log(r->theta));
}

/* YaRN (Peng et al. 2023, arXiv 2309.00071): the same along a ramp over the
 * indices instead. */
static double
yarn(const struct gv_rope_config *r, double f, int64_t i, int64_t D)
{
	double from = index_of(r, r->high, D), to = index_of(r, r->low, D), t;

	if (r->truncate) {
		from = floor(from);
		to = ceil(to);
	}
	from = from < 0 ? 0 : from;
	to = to > (double)(D - 1) ? (double)(D - 1) : to;
	if (from == to)
		to += 0.001;
	t = ((double)i - from) / (to - from);
	t = t < 0 ? 0 : t > 1 ? 1 : t;
	return t * f / r->factor + (1 - t) * f;
}

double
gv_rope(const struct gv_rope_config *r, int64_t i, int64_t D)
{
	double f = pow(r->theta, -2 * (double)i / (double)D);

	switch (r->type) {
	case GV_ROPE_LINEAR:
		f /= r->factor;
		break;
	case GV_ROPE_LLAMA3:
		f = llama3(r, f);
		break;
	case GV_ROPE_YARN:
		f = yarn(r, f, i, D);
		break;
	case GV_ROPE_DEFAULT:
	case GV_ROPE_DYNAMIC: /* within the positions that it was made for */
		break;
	}
	return r->reversed ? -f : f;
}
