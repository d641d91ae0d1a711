/* A step of policy optimisation in its parts: groups (policy_groups.c), passes
 * over micro-batches of them (policy_pass.c), updates (policy.c). */
#ifndef GV_POLICY_IMPL_H
#define GV_POLICY_IMPL_H

#include "policy.h"

#include "groups.h"

/* Samples d0..d1-1 of group g, as they stand in a micro-batch. */
struct gv_policy_piece {
	size_t g;
	int32_t d0, d1;
};

struct gv_policy {
	struct gv_model *m;
	struct gv_policy_run run;
	struct gv_groups *in;
	struct gv_packer *packer;
	/* the groups of a step */
	struct gv_group *group;
	double **advantage; /* of each group, into `values` */
	double *values;
	size_t n, cap;
	uint64_t read, wanted; /* groups since the open */
	int64_t next; /* the number after the last one's */
	/* a micro-batch */
	struct gv_policy_piece *piece;
	size_t pieces, piece_cap;
	float *logp, *entropy, *g; /* pinned, (micro_tokens) */
	float *gathered; /* (3 micro_tokens): a sample's drawn, old, ref */
	json_t *parts; /* of the last step */
	/* of the minibatch in work */
	int64_t samples, tokens;
	struct gv_policy_sums sums;
	double entropy_sum;
};

/* What is known of all groups of a step, dropped ones too. */
struct gv_policy_seen {
	int64_t groups, samples, dropped;
	double sum, squares, lag;
};

/* What is done with each micro-batch. */
enum gv_policy_pass {
	GV_POLICY_SCORE_OLD, /* log-probabilities, into group.old */
	GV_POLICY_SCORE_REF, /* ... of the reference, into group.ref */
	GV_POLICY_UPDATE /* gradients */
};

/* Reads groups until there are enough that can be learned from.  The input's
 * end makes the last step a smaller one, and so do too many that can't: no more
 * are wanted then, but those that are come still, of this step's weights. */
int gv_policy_collect(struct gv_policy *p, int64_t version,
    struct gv_policy_seen *s, struct gv_error *e) GV_USE_RESULT;

/* Advantages of all samples, by group. */
int gv_policy_weigh(struct gv_policy *p, struct gv_error *e) GV_USE_RESULT;

/* One pass over groups from..to-1; first: the weights are still those of the
 * step's start, whose scores were not taken by a pass of their own. */
int gv_policy_pass(struct gv_policy *p, size_t from, size_t to,
    enum gv_policy_pass pass, bool first, struct gv_policy_step *s,
    struct gv_error *e) GV_USE_RESULT;

#endif
