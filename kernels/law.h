/* What the backends share of gvk_sample's law, so that both round alike. */
#ifndef GVK_LAW_H
#define GVK_LAW_H

#include "gvk.h"

#include <math.h>

/* Are there ids with a penalty? */
static inline bool
gvk_law_repels(const struct gvk_sampler *law, const uint32_t *seen)
{
	return seen && law->repetition > 0 && law->repetition != 1;
}

/* The logit of an id of the history; NaN stays. */
static inline float
gvk_penalised(float logit, float penalty)
{
	return logit > 0 ? logit / penalty : logit * penalty;
}

/* min-p keeps logits of max + this or more. */
static inline float
gvk_min_p_depth(const struct gvk_sampler *law)
{
	double p = (double)law->min_p;

	if (!(p > 0))
		return -INFINITY;
	return p < 1 ? (float)((double)law->temperature * log(p)) : 0;
}

#endif
