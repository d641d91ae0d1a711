/* The logits of given tokens, all positions of a sequence: what the model says
 * before softmax, for comparison with other implementations.
 *
 * A sequence goes through the key/value cache in pieces, so that V floats a
 * position never need more than one piece's memory on the device.
 */
#ifndef GV_LOGITS_H
#define GV_LOGITS_H

#include "err.h"
#include "model.h"
#include "score.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Takes `n` rows of item number `item`: logits (n,V), row i is what the model
 * expects after token[at + i].  0, or an error. */
typedef int gv_logits_rows(void *arg, size_t item, size_t at, size_t n,
    const float *logits, struct gv_error *e);

/* Calls rows() for every item from its first position to its last, in order;
 * once, with n = 0, for an item without tokens.
 * The items have been checked (gv_score_check); their targets, logp and
 * entropy are not looked at.  Memory and images as gv_score(). */
int gv_logits(struct gv_model *m, const struct gv_score_item *item, size_t n,
    gv_logits_rows *rows, void *arg, struct gv_error *e) GV_USE_RESULT;

/* The k largest of V logits in descending order, and their ids; of equal ones
 * the lower id comes first, and NaN comes last.  0 < k <= V. */
void gv_logits_top(
    float *top, int32_t *id, int64_t k, const float *logits, int64_t V);

#ifdef __cplusplus
}
#endif
#endif
