/* A model directory's facts: config.json, preprocessor_config.json and
 * generation_config.json as one checked struct.
 *
 * One decoder and one vision tower are driven by this table; there is no file
 * a family.  What a config asks for and we can't do is GV_ERR_NOSUP by name.
 */
#ifndef GV_CONFIG_H
#define GV_CONFIG_H

#include "err.h"
#include "image.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum gv_act { GV_ACT_GELU_TANH, GV_ACT_GELU_ERF, GV_ACT_GELU_QUICK,
	GV_ACT_SILU };

/* The decoder.  Letters: V C L H G D F. */
struct gv_text_config {
	char type[32];      /* "qwen2" */
	int64_t V;          /* vocab_size */
	int64_t C;          /* hidden_size */
	int64_t L;          /* num_hidden_layers */
	int64_t H, G, D;    /* attention heads, key/value heads, head width */
	int64_t F;          /* intermediate_size */
	int64_t max_T;      /* max_position_embeddings */
	double rope_theta, eps;
	bool tied;          /* tie_word_embeddings */
	bool qkv_bias;      /* true for qwen2 */
	double init_std;    /* initializer_range */
};

/* The vision tower.  P = (image/patch)^2. */
struct gv_vision_config {
	char type[32];      /* "siglip_vision_model" */
	int64_t image, patch; /* pixels */
	int64_t grid, P;
	int64_t C, L, H, F;
	double eps;
	enum gv_act act;
	int64_t layer;      /* vision_feature_layer: layers that run, 1..L */
	bool post_norm;     /* apply post_layernorm to the features */
	double mean[3], std[3]; /* of pixels in 0..1 */
	double init_std;    /* of the matrices; position embeddings too */
};

enum gv_resampler { GV_RESAMPLER_NONE, GV_RESAMPLER_AVGPOOL,
	GV_RESAMPLER_PERCEIVER };

struct gv_config {
	char model_type[32];  /* "qwen2", "ghostvis", "siglip_vision_model" */
	bool has_text, has_vision;
	struct gv_text_config text;
	struct gv_vision_config vision;
	/* what stands between them, when both are there */
	enum gv_resampler resampler;
	int64_t R;            /* rows an image takes in the text */
	int64_t rs_L, rs_H;   /* Perceiver blocks and heads (width vision.C) */
	int64_t pj_C;         /* projector: hidden width of its 2-layer MLP */
	int32_t image_token;  /* image_token_id */
	struct gv_image_rule rule; /* preprocessor_config.json */
	int32_t eos[8];       /* generation_config.json or config.json */
	int neos;
	json_t *json;         /* config.json as read; owned */
};

/* Reads DIR's files.  Sizes are checked against absurdity and each other. */
int gv_config_open(struct gv_config *c, const char *dir, struct gv_error *e)
    GV_USE_RESULT;
/* The same from a JSON object such as the presets'; `o` is not kept. */
int gv_config_parse(struct gv_config *c, const json_t *o, struct gv_error *e)
    GV_USE_RESULT;
void gv_config_free(struct gv_config *c);

/* Writes config.json (c->json, with what changed), preprocessor_config.json
 * and generation_config.json into an existing directory. */
int gv_config_write(const struct gv_config *c, const char *dir,
    struct gv_error *e) GV_USE_RESULT;

/* The configuration of a preset by name ("vlm_tiny", "vlm_small", "vlm_1.5b")
 * as a new JSON object, or NULL. */
json_t *gv_config_preset(const char *name);

#ifdef __cplusplus
}
#endif
#endif
