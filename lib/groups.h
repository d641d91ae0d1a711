/* Groups: the samples of one prompt with their rewards, read from the stream of
 * gv-reward(1), for objectives that compare them.
 *
 * A group's samples stand together, in order.  Where records say how many there
 * are (`group_size`), the last one ends the group; else the next group's first
 * record, or the end of the stream, does.
 */
#ifndef GV_GROUPS_H
#define GV_GROUPS_H

#include "batch.h"

#ifdef __cplusplus
extern "C" {
#endif

/* One group.  Zero it first; gv_group_free() at the end. */
struct gv_group {
	struct gv_example ex; /* one sequence a sample, D of them */
	int64_t number; /* the field `group` */
	int64_t oldest; /* the smallest `policy` among the samples */
	double *reward; /* (D) */
	/* (T) of the token that position t is trained on, else 0 */
	float *drawn; /* the field `logp` */
	float *ref; /* `logp_ref`; 0 if the stream has none */
	float *old; /* not set here: the trainer's own */
	json_t *parts; /* sums over the samples of what `rewards` has */
	size_t cap_reward, cap_token; /* of the arrays */
};
void gv_group_free(struct gv_group *g);

struct gv_groups;

/* Checks the stream's fields against the model: GV_ERR_MATCH says what is
 * missing: tokens, loss_mask, logp, reward, group, sample, policy, and with
 * `ref` logp_ref.  The reader stays the caller's.  Sequences longer than
 * max_length are errors.  Features and embeds are given as `rows`. */
int gv_groups_open(struct gv_groups **x, struct gv_reader *r,
    const struct gv_config *c, int32_t max_length, enum gv_dtype rows, bool ref,
    struct gv_error *e) GV_USE_RESULT;
void gv_groups_close(struct gv_groups **x);

/* 1: *g is the next group; 0: end of the stream; negative: an error that names
 * the record: a reward or log-probability that is not finite, samples of a
 * group that show different images, records that are out of order. */
int gv_groups_next(
    struct gv_groups *x, struct gv_group *g, struct gv_error *e) GV_USE_RESULT;

/* Records read for the groups that were handed out. */
uint64_t gv_groups_records(const struct gv_groups *x);

/* The samples d0..d1-1 of a group's example as an example of their own; the
 * tokens and images stay the group's.  gv_slice_free() frees what is new. */
int gv_slice(struct gv_example *out, const struct gv_example *ex, int32_t d0,
    int32_t d1, struct gv_error *e) GV_USE_RESULT;
void gv_slice_free(struct gv_example *out);

#ifdef __cplusplus
}
#endif
#endif
