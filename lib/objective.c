/* Advantages, and the gradients of policy losses by token. */
#include "objective.h"

#include "banned.h"

#include <math.h>

#define TINY  1e-4 /* beside the deviation */
#define ABOVE 1e-3 /* a log-probability may be this much above 0 */

const char gv_objective_names[] = "reinforce|grpo|dr-grpo|dapo|gspo|cispo";

struct gv_policy_law
gv_policy_law(enum gv_objective objective)
{
	struct gv_policy_law w = {.objective = objective,
	    .scale = GV_SCALE_GROUP,
	    .low = 0.2,
	    .high = 0.2,
	    .longest = 1,
	    .correct_high = 2};

	switch (objective) {
	case GV_LM:
	case GV_REINFORCE:
	case GV_DR_GRPO:
		w.scale = GV_SCALE_NONE;
		break;
	case GV_DAPO:
		w.high = 0.28;
		break;
	case GV_GSPO:
		w.low = 3e-4;
		w.high = 4e-4;
		break;
	case GV_CISPO:
	case GV_GRPO:
		break;
	}
	return w;
}

/* ---- advantages ---------------------------------------------------------- */

/* torch's std: of n > 1 values, dividing by n - 1. */
static double
deviation(const double *v, size_t n)
{
	double mean = 0, sum = 0;
	size_t i;

	for (i = 0; i < n; i++)
		mean += v[i] / (double)n;
	for (i = 0; i < n; i++)
		sum += (v[i] - mean) * (v[i] - mean);
	return n > 1 ? sqrt(sum / (double)(n - 1)) : 0;
}

/* R - mean of a group; zeros, exactly, if all are equal. */
static void
centre(const double *reward, size_t n, bool leave_one_out, double *a)
{
	double sum = 0, mean;
	bool equal = true;
	size_t i;

	for (i = 0; i < n; i++) {
		sum += reward[i];
		equal = equal && reward[i] == reward[0];
	}
	for (i = 0; i < n; i++) {
		mean = leave_one_out ? (sum - reward[i]) / (double)(n - 1)
				     : sum / (double)n;
		a[i] = equal ? 0 : reward[i] - mean;
	}
}

/* Refuses rewards that are no numbers and groups of one. */
static int
check_groups(const struct gv_policy_law *law, const double *reward,
    const size_t *at, size_t groups, struct gv_error *e)
{
	bool alone =
	    law->scale == GV_SCALE_NONE && !law->leave_one_out && groups == 1;
	size_t i, g;

	for (i = at[0]; i < at[groups]; i++)
		if (!isfinite(reward[i]))
			return gv_fail(e, GV_ERR_FORMAT,
			    "the reward of sample %zu is not a finite number",
			    i - at[0]);
	for (g = 0; g < groups; g++)
		if (at[g + 1] - at[g] < 2 && !alone)
			return gv_fail(e, GV_ERR_MATCH,
			    "group %zu has only one sample: an advantage is a "
			    "comparison with others of the same prompt",
			    g);
	return 0;
}

int
gv_policy_advantages(const struct gv_policy_law *law, const double *reward,
    const size_t *at, size_t groups, double *a, struct gv_error *e)
{
	double tiny = law->objective == GV_DAPO ? 0 : TINY, s;
	size_t i, g;

	if (check_groups(law, reward, at, groups, e))
		return e->code;
	s = deviation(reward + at[0], at[groups] - at[0]);
	for (g = 0; g < groups; g++) {
		size_t k = at[g + 1] - at[g];

		centre(reward + at[g], k, law->leave_one_out, a + at[g]);
		if (law->scale == GV_SCALE_GROUP)
			s = deviation(reward + at[g], k);
		for (i = at[g]; i < at[g + 1]; i++)
			if (law->scale != GV_SCALE_NONE && a[i] != 0)
				a[i] /= s + tiny;
	}
	return 0;
}

/* ---- gradients ----------------------------------------------------------- */

static bool
sane(const float *p, size_t n)
{
	size_t i;

	for (i = 0; p && i < n; i++)
		if (!isfinite(p[i]) || p[i] > ABOVE)
			return false;
	return true;
}

/* What every token of a sample is weighted with. */
static double
weight(
    const struct gv_policy_law *law, size_t n, int64_t samples, int64_t tokens)
{
	switch (law->objective) {
	case GV_GRPO:
	case GV_GSPO:
		return 1 / ((double)samples * (double)n);
	case GV_DR_GRPO:
		return 1 / ((double)samples * (double)law->longest);
	case GV_LM:
	case GV_REINFORCE:
	case GV_DAPO:
	case GV_CISPO:
		break;
	}
	return 1 / (double)tokens;
}

/* min(x A, clip(x) A) and whether x itself is what counts there. */
static double
clipped(const struct gv_policy_law *law, double x, double A, bool *free,
    int64_t *low, int64_t *high)
{
	double lo = 1 - law->low, hi = 1 + law->high;

	*free = !(A > 0 && x > hi) && !(A < 0 && x < lo);
	if (*free)
		return x * A;
	if (A > 0)
		++*high;
	else
		++*low;
	return (A > 0 ? hi : lo) * A;
}

/* The correction of one ratio old : drawn. */
static double
corrected(const struct gv_policy_law *law, double c, bool *out)
{
	double lo = law->correct_low, hi = law->correct_high;

	*out = law->correct != GV_CORRECT_NONE && (c < lo || c > hi);
	if (law->correct == GV_CORRECT_NONE)
		return 1;
	if (law->correct == GV_CORRECT_TRUNCATE)
		return c < lo ? lo : c > hi ? hi : c;
	return *out ? 0 : c;
}

static double
old_of(const struct gv_policy_sample *s, size_t i)
{
	return s->old ? s->old[i] : s->logp[i];
}

/* old - drawn summed over the sample. */
static double
gap_of(const struct gv_policy_sample *s)
{
	double sum = 0;
	size_t i;

	for (i = 0; s->drawn && i < s->n; i++)
		sum += old_of(s, i) - (double)s->drawn[i];
	return sum;
}

void
gv_policy_note_gap(struct gv_policy_sums *u, double gap)
{
	u->gap += fabs(gap);
	u->gap_k3 += exp(-gap) + gap - 1;
	u->gap_max = fmax(u->gap_max, fabs(gap));
}

/* c of token i, and what it says about the gap. */
static double
correction(const struct gv_policy_law *law, const struct gv_policy_sample *s,
    size_t i, double mean, struct gv_policy_sums *u)
{
	bool sample = law->objective == GV_GSPO;
	bool whole = sample || law->correct == GV_CORRECT_MASK_SAMPLE;
	double gap, c;
	bool out;

	if (!s->drawn)
		return 1;
	gap = old_of(s, i) - (double)s->drawn[i];
	gv_policy_note_gap(u, gap);
	c = corrected(law, exp(whole ? mean : gap), &out);
	u->corrected += out;
	/* a sample that stays has its tokens' own weights */
	return whole && !sample && !out ? exp(gap) : c;
}

/* Loss of a token, and what its gradient is before the weight. */
static double
token_loss(const struct gv_policy_law *law, double logp, double r, double A,
    double *dlogp, struct gv_policy_sums *u)
{
	double v;
	bool free = true;

	if (law->objective == GV_REINFORCE) {
		*dlogp = -A;
		return -A * logp;
	}
	if (law->objective == GV_CISPO) {
		double hi = 1 + law->high;

		u->high += r > hi;
		*dlogp = -fmin(r, hi) * A;
		return *dlogp * logp;
	}
	v = clipped(law, r, A, &free, &u->low, &u->high);
	*dlogp = free ? -r * A : 0;
	return -v;
}

/* gspo's ratio is one for the whole sample: its loss, and the gradient that
 * every token gets, both before c. */
static double
sample_loss(const struct gv_policy_law *law, const struct gv_policy_sample *s,
    double *dlogp, struct gv_policy_sums *u)
{
	double sum = 0, q, v;
	bool free = true;
	size_t i;

	for (i = 0; i < s->n; i++)
		sum += (double)s->logp[i] - old_of(s, i);
	q = exp(sum / (double)s->n);
	v = clipped(law, q, s->advantage, &free, &u->low, &u->high);
	*dlogp = free ? -q * s->advantage : 0;
	return -v;
}

int
gv_policy_grad(const struct gv_policy_law *law,
    const struct gv_policy_sample *s, int64_t samples, int64_t tokens, float *g,
    struct gv_policy_sums *sums, struct gv_error *e)
{
	double w = weight(law, s->n, samples, tokens), A = s->advantage;
	double whole = 0, dwhole = 0, mean;
	struct gv_policy_sums u = *sums;
	size_t i;

	if (!sane(s->logp, s->n) || !sane(s->old, s->n) ||
	    !sane(s->drawn, s->n) || !sane(s->ref, s->n))
		return gv_fail(e, GV_ERR_FORMAT,
		    "a log-probability is not a finite number up to 0");
	if (!s->n)
		return 0;
	mean = gap_of(s) / (double)s->n;
	if (law->objective == GV_GSPO)
		whole = sample_loss(law, s, &dwhole, &u);
	for (i = 0; i < s->n; i++) {
		double logp = (double)s->logp[i], r = exp(logp - old_of(s, i));
		double c = correction(law, s, i, mean, &u), dlogp = dwhole;
		double loss = law->objective == GV_GSPO
				  ? whole
				  : token_loss(law, logp, r, A, &dlogp, &u);
		double k3 = 0, dk3 = 0, d;

		if (law->kl != 0) {
			d = (double)s->ref[i] - logp;
			k3 = exp(d) - d - 1;
			dk3 = 1 - exp(d);
		}
		u.policy += w * c * loss;
		u.kl += w * k3;
		u.k3 += k3;
		u.ratio_max = fmax(u.ratio_max, r);
		g[i] = (float)(w * (c * dlogp + law->kl * dk3));
	}
	u.loss = u.policy + law->kl * u.kl;
	u.tokens += (int64_t)s->n;
	u.samples++;
	for (i = 0; i < s->n && isfinite(u.loss); i++)
		if (!isfinite(g[i]))
			u.loss = (double)NAN;
	if (!isfinite(u.loss) || !isfinite(u.gap_k3) || !isfinite(u.ratio_max))
		return gv_fail(e, GV_ERR_FORMAT,
		    "a sample's log-probabilities lie too far apart for a "
		    "finite loss");
	*sums = u;
	return 0;
}
