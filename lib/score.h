/* Log-probabilities of given tokens under a model: many sequences at once. */
#ifndef GV_SCORE_H
#define GV_SCORE_H

#include "err.h"
#include "model.h"
#include "visual.h"

#ifdef __cplusplus
extern "C" {
#endif

/* One sequence.  target[i] is the id whose log-probability after token[0..i]
 * is asked for, or -1. */
struct gv_score_item {
	const int32_t *token, *target; /* (n) */
	size_t n;
	const int32_t *image_at; /* (images) first placeholder of each */
	size_t images;
	struct gv_visual
	    *visual; /* the images, NULL for none; not taken over */
	float *logp; /* (n) out: of target[i], 0 where that is -1 */
	float *entropy; /* (n) out, or NULL */
};

/* GV_ERR_MATCH, GV_ERR_FORMAT or GV_ERR_LIMIT for an item that doesn't fit the
 * model: an id outside the vocabulary, a sequence longer than it has
 * positions, placeholders that don't agree with the images. */
int gv_score_check(const struct gv_model *m, const struct gv_score_item *s,
    struct gv_error *e) GV_USE_RESULT;

/* Encodes the visuals of n items that haven't been, at most `batch` images at
 * a time. */
int gv_score_encode(struct gv_model *m, const struct gv_score_item *item,
    size_t n, int64_t batch, struct gv_error *e) GV_USE_RESULT;

/* Scores n items, which have been checked, in as few passes as a budget of
 * tokens allows.  Visuals are encoded first, each once.  The model's memory is
 * reserved for it: a generator on the same model must not be open. */
int gv_score(struct gv_model *m, const struct gv_score_item *item, size_t n,
    struct gv_error *e) GV_USE_RESULT;

#ifdef __cplusplus
}
#endif
#endif
