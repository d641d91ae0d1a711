/* Inside config: values by key, and the pieces that config.c puts together. */
#ifndef GV_CONFIG_PRIV_H
#define GV_CONFIG_PRIV_H

#include "config.h"

/* ---- config_get.c: values by key ----------------------------------------- */

/* An object and how messages call it: "text_config." or "".  All functions
 * return 0 or a negative enum gv_err with the reason in *e. */
struct gv_obj {
	const json_t *o;
	const char *at;
	struct gv_error *e;
};

/* The value, or NULL if it is absent or null. */
json_t *gv_obj_get(const struct gv_obj *s, const char *key);

/* An optional value within lo..hi; *v keeps its default if it is absent. */
int gv_obj_int(const struct gv_obj *s, const char *key, int64_t lo, int64_t hi,
    int64_t *v) GV_USE_RESULT;
int gv_obj_f64(const struct gv_obj *s, const char *key, double lo, double hi,
    double *v) GV_USE_RESULT;
int gv_obj_bool(const struct gv_obj *s, const char *key, bool *v) GV_USE_RESULT;
/* *v is owned by the object. */
int gv_obj_text(
    const struct gv_obj *s, const char *key, const char **v) GV_USE_RESULT;

/* A size that must be there, 1..hi. */
int gv_obj_need_int(const struct gv_obj *s, const char *key, int64_t hi,
    int64_t *v) GV_USE_RESULT;

/* A member that is an object itself, called `at`. */
int gv_obj_need(const struct gv_obj *s, const char *key, const char *at,
    struct gv_obj *out) GV_USE_RESULT;

/* Failures: "'KEY' is missing"; "'KEY' is not WHAT"; "'KEY' of 'VALUE' is not
 * supported". */
int gv_obj_missing(const struct gv_obj *s, const char *key);
int gv_obj_bad(const struct gv_obj *s, const char *key, const char *what);
int gv_obj_nosup(const struct gv_obj *s, const char *key, const char *value);

/* ---- the pieces ---------------------------------------------------------- */

/* config_text.c: the decoder from the object that holds its keys.  _class()
 * gives the sizes that are absent the values of Hugging Face's class, as the
 * text_config of its vision-language models relies on. */
int gv_config_text(
    struct gv_text_config *t, const struct gv_obj *s) GV_USE_RESULT;
int gv_config_text_class(
    struct gv_text_config *t, const struct gv_obj *s) GV_USE_RESULT;
/* Whether a model type is a text model's, and whether the key attention_bias
 * means something to it. */
bool gv_config_is_text(const char *type);
bool gv_config_has_bias_key(const char *type);

/* config_rope.c: its rotation, once max_T is known; names by type. */
int gv_config_rope(
    struct gv_text_config *t, const struct gv_obj *s) GV_USE_RESULT;
extern const char *const gv_rope_name[];

/* config_generation.c: takes the object's end ids if it has any; a law to draw
 * by, before a file says anything, and what it says. */
int gv_config_eos(struct gv_config *c, const struct gv_obj *s) GV_USE_RESULT;
void gv_config_sampling_init(struct gv_sampling_config *g);
int gv_config_sampling(
    struct gv_sampling_config *g, const struct gv_obj *s) GV_USE_RESULT;

/* config_vision.c: the tower from the object that holds its keys, `type` where
 * it doesn't say its model_type; then, from the top, which layer's output the
 * features are. */
int gv_config_vision(struct gv_vision_config *v, const struct gv_obj *s,
    const char *type) GV_USE_RESULT;
int gv_config_layer(struct gv_config *c, const struct gv_obj *s) GV_USE_RESULT;
/* The same as LLaVA has it: -2 and no norm, if the keys are absent. */
int gv_config_layer_llava(
    struct gv_config *c, const struct gv_obj *s) GV_USE_RESULT;

/* What vision_post_norm is where the key is absent. */
bool gv_config_post_norm(const struct gv_config *c);

/* config_vision.c: an activation by Hugging Face's name; the other way NULL if
 * there is none. */
int gv_config_act(
    const struct gv_obj *s, const char *key, enum gv_act *act) GV_USE_RESULT;
const char *gv_config_act_name(enum gv_act act);

/* config_pixels.c: how pixels are prepared for c->vision: what holds without a
 * file, and what a file's object says. */
void gv_config_rule(struct gv_config *c);
#define GV_MAX_SIDE 32768 /* pixels, in a processor's sizes */
/* c->tiles as Idefics 3's processor makes them, unless its file turns them
 * off, and as LLaVA-NeXT's does. */
int gv_config_split(struct gv_config *c, const struct gv_obj *s) GV_USE_RESULT;
int gv_config_grids(struct gv_config *c, const struct gv_obj *s) GV_USE_RESULT;
int gv_config_preprocessor(
    struct gv_config *c, const struct gv_obj *s) GV_USE_RESULT;

/* A new object that says what c->rule and c->vision do: the one that was read,
 * changed where it says something else.  NULL without memory. */
json_t *gv_config_put_rule(const struct gv_config *c);

/* config_join.c: a model with both.  gv_config_joined() knows the type;
 * gv_config_joins() says whether it does. */
bool gv_config_joins(const char *type);
int gv_config_joined(
    struct gv_config *c, const struct gv_obj *top) GV_USE_RESULT;
/* What gv_config_joined() read, back into config.json's object. */
void gv_config_put_between(json_t *o, const struct gv_config *c);

/* config_write.c: sets a number unless it already has that value, so that what
 * was read stays as it was spelled. */
void gv_config_put_int(json_t *o, const char *key, int64_t v);
/* config_write.c: the member object, made if it is missing. */
json_t *gv_config_member(json_t *o, const char *key);

#endif
