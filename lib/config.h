/* A model directory's facts: config.json, preprocessor_config.json and
 * generation_config.json as one checked struct.
 *
 * One decoder and one vision tower are driven by this table; there is no file
 * a family.  What a config asks for and we can't do is GV_ERR_NOSUP by name; a
 * value of the wrong type or outside its range GV_ERR_FORMAT or GV_ERR_LIMIT
 * with its key ("text_config.hidden_size"); values that contradict each other
 * GV_ERR_MATCH.
 *
 * Model types: the text models `qwen2`, `qwen3`, `llama`, `mistral` and
 * `nanochat` (or `nano`) as Hugging Face lays them out; the towers
 * `siglip_vision_model` and `clip_vision_model`, and `siglip` and `clip`, of
 * which only vision_config is used; `llava`, `idefics2`, `idefics3` and
 * `smolvlm` for square images of one size; and `ghostvis`, ours, which
 * gv-model(5) specifies:
 *
 *	{"model_type": "ghostvis",
 *	 "text_config": {a text model's keys},
 *	 "vision_config": {SiglipVisionConfig's keys},
 *	 "resampler": {"type": "perceiver", "rows": 64, "blocks": 1,
 *	     "heads": 16},
 *	 "projector": {"hidden_size": 1536, "act": "gelu"},
 *	 "image_token_id": 151655,
 *	 "vision_feature_layer": -1, "vision_post_norm": true}
 *
 * Keys of vision_config that are absent have the values of Hugging Face's
 * class, since its files leave them out.  So have a text model's sizes within
 * `llava` and the like; else they must be there.
 */
#ifndef GV_CONFIG_H
#define GV_CONFIG_H

#include "err.h"
#include "tile.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Limits against absurdity; products of sizes within them fit an int64_t. */
#define GV_MAX_LAYERS    1024
#define GV_MAX_WIDTH     65536
#define GV_MAX_HEADS     1024
#define GV_MAX_FFN       (1 << 20)
#define GV_MAX_VOCAB     (1 << 20)
#define GV_MAX_POSITIONS (1 << 24)
#define GV_MAX_GRID      1024
#define GV_MAX_ROWS      65536

enum gv_act {
	GV_ACT_GELU_TANH, /* gelu_pytorch_tanh */
	GV_ACT_GELU_ERF, /* gelu */
	GV_ACT_GELU_QUICK, /* quick_gelu: x sigmoid(1.702 x) */
	GV_ACT_SILU
};

/* How positions turn queries and keys, by Hugging Face's names.  gv_rope()
 * makes the frequencies. */
enum gv_rope_type {
	GV_ROPE_DEFAULT,
	GV_ROPE_LINEAR, /* all frequencies divided by the factor */
	GV_ROPE_DYNAMIC, /* default up to max_T, and further nothing goes */
	GV_ROPE_LLAMA3, /* the slow ones divided, smoothly from some on */
	GV_ROPE_YARN /* likewise, and what attention sees is sharpened */
};

struct gv_rope_config {
	enum gv_rope_type type;
	bool reversed; /* turns the other way (nanochat) */
	bool truncate; /* yarn: the ramp has whole ends */
	double theta; /* rope_theta */
	double factor; /* 1 for the default */
	/* llama3, yarn: original_max_position_embeddings; else 0 */
	int64_t original;
	/* llama3: low_freq_factor, high_freq_factor, in turns over the
	 * original positions; yarn: beta_slow, beta_fast; else 0 */
	double low, high;
	/* yarn: attention_factor, of every sine and cosine; else 1 */
	double attention;
};

/* The decoder.  Letters: V C L H G D F. */
struct gv_text_config {
	char type[32]; /* "qwen2", "qwen3", "llama", "mistral", "nanochat" */
	int64_t V; /* vocab_size */
	int64_t C; /* hidden_size */
	int64_t L; /* num_hidden_layers */
	int64_t H, G, D; /* heads, key/value heads, head width (even) */
	int64_t F; /* intermediate_size */
	int64_t max_T; /* max_position_embeddings, or a window below it */
	int64_t window; /* that window; 0: none */
	struct gv_rope_config rope;
	double eps; /* of all norms */
	bool tied; /* tie_word_embeddings */
	/* what distinguishes the families */
	bool qkv_bias, o_bias; /* of attention's products */
	bool bare_norm; /* the RMSNorms have no weights */
	bool qk_norm; /* queries and keys have an RMSNorm, each head */
	bool embed_norm; /* so has what enters the first layer */
	bool gated; /* the MLP is silu(gate) * up; else max(up, 0)^2 */
	double softcap; /* of logits: final_logit_softcapping; 0: none */
	double init_std; /* initializer_range, .02 */
};

/* How a model's makers draw from it (generation_config.json): defaults for
 * those who sample.  Where the file says anything of it, what it leaves out is
 * as transformers takes it: no sampling, temperature 1, top_k 50, top_p 1,
 * min_p 0, no penalty. */
struct gv_sampling_config {
	bool given; /* the file says anything of it; else all is as above */
	bool sample; /* do_sample; false: the most likely token */
	double temperature; /* 0..100 */
	int64_t top_k; /* 0: all */
	double top_p, min_p; /* over 0, to 1; 0..1 */
	double penalty; /* repetition_penalty, 1: none */
};

/* The vision tower. */
struct gv_vision_config {
	char type[32]; /* "siglip_vision_model" */
	int64_t image, patch; /* pixels */
	/* interpolate_from: the size whose positions the weights on disk have,
	 * or 0: that is `image` */
	int64_t from;
	int64_t grid; /* patches a side: image / patch, rounded down */
	int64_t T; /* rows within: grid^2, and the class token */
	/* Rows of features: without the class token, except where
	 * vision_feature_select_strategy is "full". */
	int64_t P;
	bool class_token; /* CLIP: row 0 of T */
	bool patch_bias; /* not CLIP */
	bool pre_norm; /* CLIP: LayerNorm in front of the first layer */
	int64_t C, L, H, F;
	double eps;
	enum gv_act act;
	/* vision_feature_layer as the number of layers that run, 1..L: -1 is L,
	 * -2 is L - 1; what is not negative counts layers, as indices into
	 * Hugging Face's hidden_states do. */
	int64_t layer;
	/* vision_post_norm: apply post_layernorm to the features.  Where it is
	 * absent: true if all layers run and the family's own last hidden state
	 * is normalised, which CLIP's is not; false in LLaVA. */
	bool post_norm;
	double mean[3], std[3]; /* of pixels in 0..1; SigLIP's are .5 */
	double init_std; /* of the matrices; position embeddings too */
};

/* How fresh weights start ("init" in config.json, ours).  Small models that
 * are trained from nothing need matrices scaled by their width: gain /
 * sqrt(fan in), divided by sqrt(2 layers) where a block writes to the residual
 * stream.  A gain of 0 (no "init") means initializer_range for all. */
struct gv_init_config {
	double gain;
	double patch, position, embedding; /* standard deviations */
};

/* Patches (P,C) to rows (R,rs_C).  Only the last two have parameters. */
enum gv_resampler {
	GV_RESAMPLER_NONE, /* R = P */
	GV_RESAMPLER_AVGPOOL, /* adaptive, on the grid; R is a square <= P */
	GV_RESAMPLER_SHUFFLE, /* factor^2 patches side by side in a row */
	GV_RESAMPLER_PERCEIVER, /* LayerNorm, GELU; rs_C = C */
	GV_RESAMPLER_IDEFICS2 /* RMSNorm, grouped queries, gated MLPs: one to
	                       * the width rs_C, then Perceiver blocks */
};

/* Rows (R,rs_C) to embeds (R,text.C). */
enum gv_projector {
	GV_PROJECTOR_MLP, /* linear, GELU, linear */
	GV_PROJECTOR_LINEAR, /* one linear layer */
	GV_PROJECTOR_NONE /* rs_C = text.C */
};

struct gv_config {
	char model_type[32]; /* "qwen3", "ghostvis", "siglip_vision_model" */
	bool has_text, has_vision;
	struct gv_text_config text;
	struct gv_vision_config vision;
	/* what stands between them, when both are there; else 0 */
	enum gv_resampler resampler;
	int64_t R; /* rows an image takes in the text */
	int64_t rs_C; /* width of the resampler's rows */
	int64_t factor; /* pixel shuffle */
	int64_t rs_L, rs_H, rs_G, rs_D; /* Perceivers: blocks, heads, key/value
	                                 * heads, head width */
	int64_t rs_F; /* Perceivers: inner width of a block's MLP */
	int64_t rs_front; /* idefics2: inner width of the MLP in front */
	double rs_eps; /* Perceivers: of the norms */
	enum gv_projector projector;
	int64_t pj_C; /* MLP: hidden width */
	enum gv_act pj_act; /* MLP: between its layers */
	bool pj_bias;
	struct gv_init_config init;
	int32_t image_token; /* image_token_id; -1 without images */
	/* preprocessor_config.json; if absent squash to vision.image */
	struct gv_image_rule rule;
	struct gv_tile_rule tiles; /* what its processor makes besides */
	int32_t eos[8]; /* generation_config.json, else config.json */
	int neos;
	struct gv_sampling_config sampling;
	/* the files as read, owned; the last two NULL if absent */
	json_t *json, *preprocessor, *generation;
};

/* Reads DIR's files, or a file whose name ends in ".gguf".  Sizes are checked
 * against absurdity and each other.  On failure *c is untouched; on success
 * gv_config_free() frees what it owns. */
int gv_config_open(
    struct gv_config *c, const char *dir, struct gv_error *e) GV_USE_RESULT;

/* The same from config.json's object alone, such as a preset's; `o` is
 * copied. */
int gv_config_parse(
    struct gv_config *c, const json_t *o, struct gv_error *e) GV_USE_RESULT;
void gv_config_free(struct gv_config *c);

/* Writes config.json, preprocessor_config.json (with a vision tower) and
 * generation_config.json (with end ids, or a law to draw by) into an existing
 * directory: the files as they were read, with the values that the struct now
 * has.  Reading them gives the same struct. */
int gv_config_write(const struct gv_config *c, const char *dir,
    struct gv_error *e) GV_USE_RESULT;

/* config.json as gv_config_write() writes it, as a new object with every key
 * that this struct has a value for; NULL without memory. */
json_t *gv_config_json(const struct gv_config *c);

/* The configuration of a preset by name ("vlm_tiny", "vlm_small", "vlm_1.5b")
 * as a new JSON object, or NULL.  vlm_tiny and vlm_small leave out
 * text_config.vocab_size and image_token_id, which depend on the tokenizer:
 * set them before parsing. */
json_t *gv_config_preset(const char *name);

/* The vision_config of a published tower by name ("siglip-base-p16-224",
 * "siglip-large-p16-256", "siglip-so400m-p14-384", "clip-large-p14-224",
 * "clip-large-p14-336") as a new JSON object, or NULL. */
json_t *gv_config_tower(const char *name);

/* All names of the two, separated by ", ": for messages. */
const char *gv_config_presets(void);
const char *gv_config_towers(void);

#ifdef __cplusplus
}
#endif
#endif
