/* Tensors by any of the names that published files give them.
 *
 * The same tower, decoder or projector is spelled differently by who saved it:
 * with the prefix of the model that it stands in, without the prefix of a
 * class that transformers has since dropped, or in GGUF's or nanochat's words.
 * gv_name_read() brings a spelling to its part and one name within the part,
 *
 *	vision		vision_model.embeddings, .encoder, .post_layernorm
 *	resampler	as behind "resampler." or "model.connector."
 *	projector	as behind "projector.", "multi_modal_projector."
 *	language	model.embed_tokens, .layers, .norm; lm_head
 *
 * by the spelling alone, without the configuration:
 *
 *	Qwen, Llama	model.layers.  language_model.model.layers.
 *			model.language_model.layers.  model.text_model.layers.
 *			layers.
 *	towers		vision_model.  vision_tower.vision_model.
 *			vision_tower.  model.vision_tower.
 *			model.vision_model.  encoder.
 *	nanochat	transformer.h.N.attn.c_q
 *	GGUF		blk.N.attn_q
 *
 * Names that no rule knows stay as they are.
 */
#ifndef GV_NAMES_H
#define GV_NAMES_H

#include "err.h"
#include "model.h"
#include "safetensors.h"

#include <stdbool.h>

#ifdef __cplusplus
extern "C" {
#endif

#define GV_NAME_MAX 160 /* as in struct gv_param, with its NUL */

struct gv_name {
	enum gv_part part; /* GV_PARTS: no rule knows it */
	/* it changes no result: rotary tables, position numbers, SigLIP's and
	 * CLIP's text towers, pooling heads and logit scales */
	bool idle;
	char name[GV_NAME_MAX]; /* within the part; "" if it is too long */
};

void gv_name_read(struct gv_name *n, const char *spelled);

/* Where a parameter's values are. */
struct gv_source {
	const struct gv_tensor *t;
	int64_t paired; /* gv_st_paired() */
	bool made; /* not the file's own: it doesn't stay */
};

/* Finds the tensor of every parameter of `m`: an array of m->nparams, freed
 * with gv_free(); its tensors live as long as `st`.
 *
 * All tensors of the file are looked at, and none of the data but for the last
 * case.  GV_ERR_MATCH by name: a tensor that is missing, one of another shape,
 * one that the model has no place for, two spellings of the same.  May be
 * missing: the embedding of a tied model, if lm_head.weight is there.  May be
 * there besides: what gv_name_read() calls idle, and a tied model's
 * lm_head.weight if it is the embedding's equal, bit by bit.  A tensor that
 * is needed and neither F32, F16, BF16 nor quantised as blocks.h says is
 * GV_ERR_NOSUP. */
int gv_names_match(struct gv_source **src, const struct gv_model *m,
    const struct gv_st *st, struct gv_error *e) GV_USE_RESULT;

#ifdef __cplusplus
}
#endif
#endif
