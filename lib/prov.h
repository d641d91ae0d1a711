/* Provenance of model parts: what a stream's rows and ids were made with, and
 * whether that is what a model has.
 *
 * A digest's name and value:
 *	vision resampler projector language	SHA-256 of the part's tensors
 *	tokenizer				SHA-256 of the vocabulary
 *	preprocess				the rule, "64x64 squash bicubic"
 *	features				what they are of the tower:
 *		"layer 23/24 norm class", the last two if the norm behind the
 *		last layer is applied and if the class token is one of them,
 *		then mean and deviation of pixels
 */
#ifndef GV_PROV_H
#define GV_PROV_H

#include "config.h"
#include "err.h"
#include "model.h"
#include "stream.h"
#include "token.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Where a model's digests come from.  `tokenizer` may be NULL. */
struct gv_facts {
	const char *dir;
	const struct gv_config *config;
	const struct gv_tokenizer *tokenizer;
};

/* Sets digests[name] to the model's.  A part that the model lacks, or a
 * tokenizer that isn't open, is left out. */
int gv_prov_add(json_t *digests, const struct gv_facts *f, const char *name,
    struct gv_error *e) GV_USE_RESULT;

/* GV_ERR_MATCH, saying which field is stale and why, unless what the stream's
 * provenance says of the digest is what the model has.  A stream that says
 * nothing of it passes: it was made by a program that keeps no provenance. */
int gv_prov_check(const struct gv_schema *s, const struct gv_facts *f,
    const char *name, struct gv_error *e) GV_USE_RESULT;

/* Checks all that tokens and images which enter a model as `input` depend on:
 * the tokenizer; the rule for pixels; for features the tower and what of it
 * they are, too; for embeds also resampler and projector. */
int gv_prov_check_input(const struct gv_schema *s, const struct gv_facts *f,
    enum gv_input input, struct gv_error *e) GV_USE_RESULT;

#ifdef __cplusplus
}
#endif
#endif
