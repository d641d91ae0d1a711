/* Document frequencies: in the references of how many images does a run of one
 * to four words stand?  CIDEr weighs words by them.
 *
 * The file is text: a line "gv-df 1 IMAGES RUNS", and a line for each run that
 * is in the references of two images or more, in order: how many, a tab, and
 * the words (those of lib/reward_ptb_priv.h) with spaces between them.  One
 * image counts the same as none, since a weight is log(IMAGES / max(1, count)).
 */
#ifndef GV_REWARD_DF_H
#define GV_REWARD_DF_H

#include "err.h"
#include "io.h"
#include "reward.h"

#ifdef __cplusplus
extern "C" {
#endif

struct gv_df;

/* Counts of nothing yet. */
int gv_df_open(struct gv_df **d, struct gv_error *e) GV_USE_RESULT;
void gv_df_close(struct gv_df **d);

/* Counts a reference; `next` if it is of another image than the one before. */
int gv_df_add(struct gv_df *d, struct gv_span text, bool next,
    struct gv_error *e) GV_USE_RESULT;

/* Writes what was counted; no image is GV_ERR_FORMAT. */
int gv_df_write(
    const struct gv_df *d, struct gv_out *o, struct gv_error *e) GV_USE_RESULT;

/* Reads a file of at most 4 GiB.  What isn't whole and right is GV_ERR_FORMAT
 * with its line. */
int gv_df_load(
    struct gv_df **d, const char *path, struct gv_error *e) GV_USE_RESULT;

uint64_t gv_df_images(const struct gv_df *d);

/* The images whose references have a run, words with a space between them; for
 * one it may be 0. */
uint64_t gv_df_of(const struct gv_df *d, struct gv_span run);

#ifdef __cplusplus
}
#endif
#endif
