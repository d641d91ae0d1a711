/* Steps of reinforcement learning on groups of samples: what gv_train_step()
 * does where the objective is not cross-entropy.
 *
 * A step takes the next groups, computes their advantages, and updates the
 * weights once for each minibatch of each epoch.  All that a loss is divided
 * by is counted over the minibatch, so micro-batches don't change it.
 */
#ifndef GV_POLICY_H
#define GV_POLICY_H

#include "objective.h"
#include "optim.h"
#include "stream.h"

#include <jansson.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Where `old` comes from: what the sampler recorded, or the trainer's own pass
 * over a step's samples before its first update (with one update a step, that
 * update's).  Only then the correction has something to correct. */
enum gv_old { GV_OLD_SAMPLER, GV_OLD_TRAINER };

struct gv_policy_run {
	struct gv_policy_law law;
	int64_t groups; /* a step */
	int64_t minibatches, epochs; /* of a step, at least 1 */
	bool drop_equal; /* groups of equal rewards don't count */
	enum gv_old old;
	int64_t max_lag; /* steps that weights may be behind; -1: any */
	int64_t micro_tokens, micro_images; /* of a micro-batch at most */
	int32_t max_length;
	struct gv_model *ref; /* the reference, frozen; NULL: if law.kl is not
	                       * 0 the records have logp_ref */
	/* Called before the stream is read, with the groups that this step
	 * will have taken since the open if no more are dropped: a sampler that
	 * waits for weights must not wait before that many.  May be NULL. */
	int (*want)(void *arg, uint64_t groups, struct gv_error *e);
	void *arg;
};

/* As the objective has it: its law, what it drops and where its ratios start
 * from; one update a step, of groups of those very weights.  gspo's clip is
 * narrower than two programs' differences, so it starts from the trainer. */
struct gv_policy_run gv_policy_run(enum gv_objective objective);

/* What a step saw, and did.  Means are over samples, or trained tokens. */
struct gv_policy_step {
	int64_t groups, samples; /* that were learned from */
	int64_t dropped; /* groups of equal rewards */
	int64_t updates;
	double reward, reward_std; /* mean and deviation, dropped ones too */
	json_t *parts; /* means of what `rewards` had; owned by the trainer */
	double length; /* trained tokens of a sample */
	double entropy; /* nat a token, under the weights before each update */
	double kl; /* k3 to the reference, a token; NaN without one */
	double clip_low, clip_high; /* shares of tokens held back */
	double ratio; /* the largest */
	double gap, gap_k3, gap_max; /* trainer to sampler, before updates */
	double corrected; /* share of tokens out of the correction's range */
	double lag; /* of the groups' oldest samples, mean */
	double norm; /* of the last update's gradient */
	double loss; /* mean over updates */
	int64_t tokens, rows, images; /* over all updates */
	double flops, waited;
	uint64_t records, read; /* of the input: records, groups */
	int64_t next; /* the number after the last group's */
};

struct gv_policy;

/* Memory for the model's batches must have been reserved (gv_packer_limits()
 * of such micro-batches, backward); that of run->ref is reserved here, which
 * must have the model's vocabulary, its positions as far as max_length goes,
 * and images in its form (GV_ERR_MATCH).  All pointers stay the caller's. */
int gv_policy_open(struct gv_policy **p, struct gv_model *m,
    struct gv_reader *in, const struct gv_policy_run *run,
    struct gv_error *e) GV_USE_RESULT;
void gv_policy_close(struct gv_policy **p);

/* One step from the weights of `version`, with updates at `factor` times the
 * rates.  1: done; 0: the input has ended before it; GV_ERR_MATCH: a group is
 * older than max_lag allows, or newer than the weights.  After an error the
 * weights are those of some update of the step. */
int gv_policy_step(struct gv_policy *p, struct gv_optim *o, double factor,
    int64_t version, struct gv_policy_step *s,
    struct gv_error *e) GV_USE_RESULT;

/* Only the gradients of the first minibatch, left in the model. */
int gv_policy_grads(struct gv_policy *p, int64_t version,
    struct gv_policy_step *s, struct gv_error *e) GV_USE_RESULT;

#ifdef __cplusplus
}
#endif
#endif
