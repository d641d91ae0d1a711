/* Prompts and scored sequences in the records of a stream. */
#ifndef GV_PROMPTS_H
#define GV_PROMPTS_H

#include "err.h"
#include "gen.h"
#include "stream.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Where a stream's records hold what the model takes: indices into gv_rec.v,
 * -1 for a field that isn't there. */
struct gv_prompt_fields {
	int tokens, image_at;
	enum gv_input input; /* by which of the three fields is there: embeds,
	                      * else features, else image */
	int visual;
	int loss_mask, targets; /* for scoring */
	int starts;
};

/* Looks the fields up in a stream's schema; GV_ERR_MATCH if there are no
 * tokens, or a field has another type than gv-fields(5) says. */
int gv_prompt_fields(struct gv_prompt_fields *f, const struct gv_reader *r,
    struct gv_error *e) GV_USE_RESULT;

/* A record as a prompt: points into the record.  Everything but number,
 * sample and user is set.  GV_ERR_NOSUP for a record of several sequences. */
int gv_prompt_of(struct gv_gen_prompt *p, const struct gv_prompt_fields *f,
    const struct gv_rec *rec, struct gv_error *e) GV_USE_RESULT;

/* What is to be scored in a record: target[i] (n) is token[i+1] where the
 * loss mask of i+1 is set; without a mask field, where the targets say so (a
 * target of the last token has no token to stand beside, and is left out).
 * GV_ERR_FORMAT if the first token is marked, which nothing precedes, or the
 * targets are not the tokens shifted by one. */
int gv_prompt_targets(int32_t *target, const struct gv_prompt_fields *f,
    const struct gv_rec *rec, struct gv_error *e) GV_USE_RESULT;

/* True for a field that a program which has used the images and rewritten the
 * tokens doesn't pass on: image, features, embeds, and all that has one value
 * a token (a dimension called T). */
bool gv_prompt_spent(const struct gv_field *f);

#ifdef __cplusplus
}
#endif
#endif
