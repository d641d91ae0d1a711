/* A text model and a vision tower as one vision-language model.
 *
 * The decoder of one directory (or GGUF file) and the tower of another keep
 * their numbers, and stand together in a `ghostvis` model (gv-model(5)); what
 * belongs between them, resampler and projector, is fresh: random by a seed,
 * to be trained.  Either may come out of a vision-language model.
 *
 * The features are the tower's own choice if its configuration makes one
 * (vision_feature_layer, vision_post_norm), else the family's: SigLIP's last
 * layer after its norm, CLIP's last but one without class token and norm.
 *
 * An image row needs a token: one of the vocabulary, or a new one, which gets
 * the id behind all others, never one in between.  Its rows of embedding and
 * head, in padding that is there or behind the last, are the means of those of
 * all old tokens.
 */
#ifndef GV_JOIN_H
#define GV_JOIN_H

#include "err.h"
#include "tensor.h"

#include <jansson.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct gv_join_law {
	const char *resampler; /* type; NULL: "perceiver" */
	const char *image_token; /* its text; NULL: see gv_tokenizer_image(),
	                          * or <|image_pad|> for ChatML vocabularies
	                          * and <|image|> for others */
	const char *const *set; /* KEY=VALUE, see gv_config_set() */
	size_t nset;
	uint64_t seed; /* of what is fresh */
	enum gv_dtype dtype; /* of all; GV_NONE: as it is, what is fresh F32 */
	int64_t shard_bytes; /* as in gv_shards_write() */
};

/* Makes the directory `to` (gv_dir_begin()'s rules).  Where the parts don't fit
 * what law->set asks for, or each other, GV_ERR_MATCH.  *report is a new object
 * as gv_items_report() makes it, and besides
 *	{"image_token": {"text", "id", "new": bool},
 *	 "from": {"language": TEXT, "vision": VISION},
 *	 "rows": how many rows of embedding (and head) are means,
 *	 "unused": {"language": n, "vision": n}} */
int gv_join(const char *text, const char *vision, const char *to,
    const struct gv_join_law *law, json_t **report,
    struct gv_error *e) GV_USE_RESULT;

#ifdef __cplusplus
}
#endif
#endif
