/* What a training run needs: memory, known exactly before anything is taken,
 * and time, by the first step's.
 */
#ifndef GV_PLAN_H
#define GV_PLAN_H

#include "io.h"
#include "train.h"

#ifdef __cplusplus
extern "C" {
#endif

struct gv_plan {
	size_t weights, gradients, optimizer, activations; /* bytes */
	size_t reference_weights, reference_activations; /* law.policy.ref's */
	int64_t params[GV_PARTS];
	bool trains[GV_PARTS];
};

/* What a run needs that trains `parts`, and its reference; before
 * gv_model_reserve(). */
int gv_plan(struct gv_model *m, unsigned parts, const struct gv_train_law *law,
    struct gv_plan *p, struct gv_error *e) GV_USE_RESULT;

/* GV_ERR_NOMEM, saying what is needed and what is there, if a device has not
 * the memory that the plan takes beside all weights, which are there. */
int gv_plan_fits(const struct gv_model *m, const struct gv_plan *p,
    struct gv_error *e) GV_USE_RESULT;

/* Of one step, times `steps`. */
struct gv_plan_time {
	double flops, seconds;
	int64_t steps;
};

/* The plan for people, a line a number; or as a JSON object. */
int gv_plan_write(struct gv_out *o, const struct gv_plan *p,
    const struct gv_plan_time *t, bool json, struct gv_error *e) GV_USE_RESULT;

#ifdef __cplusplus
}
#endif
#endif
