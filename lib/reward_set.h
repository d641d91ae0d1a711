/* The rewards of a run: one for all records, or each record's own.
 *
 * A reward that a record names is opened when it first is named, and kept:
 * programs and tables live as long as the set.
 */
#ifndef GV_REWARD_SET_H
#define GV_REWARD_SET_H

#include "err.h"
#include "reward.h"
#include "reward_record.h"

#ifdef __cplusplus
extern "C" {
#endif

struct gv_reward_set;

#define GV_REWARD_SET 64 /* different rewards in one run */

/* `task` is for all records; NULL takes their field `task`.  The options and
 * what they point to must outlive the set. */
int gv_reward_set_open(struct gv_reward_set **s, const char *task,
    const struct gv_reward_opts *o, struct gv_error *e) GV_USE_RESULT;

/* Judges a record, and says by which reward, which is the set's.  Errors are
 * those of gv_reward_judge(), gv_reward_take() and gv_reward_open(); a record
 * that names no task is GV_ERR_FORMAT. */
int gv_reward_set_judge(struct gv_reward_set *s,
    const struct gv_reward_fields *f, const struct gv_rec *rec,
    const struct gv_reward **reward, struct gv_verdict *v,
    struct gv_error *e) GV_USE_RESULT;

/* gv_reward_finish() of all. */
int gv_reward_set_finish(
    struct gv_reward_set *s, struct gv_error *e) GV_USE_RESULT;
void gv_reward_set_close(struct gv_reward_set **s);

#ifdef __cplusplus
}
#endif
#endif
