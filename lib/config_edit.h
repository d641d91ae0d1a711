/* A configuration on its way to a fresh model: read by name, fitted to a
 * vocabulary, given another vision tower, changed value by value.
 *
 * All of these work on config.json's object, before gv_config_parse() checks
 * it.  A user's mistake is GV_ERR_USAGE.
 */
#ifndef GV_CONFIG_EDIT_H
#define GV_CONFIG_EDIT_H

#include "err.h"
#include "token.h"

#include <jansson.h>
#include <stdbool.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A preset of gv_config_preset(), or the object in a file, as a new reference.
 * What is neither is GV_ERR_USAGE with the presets' names. */
int gv_config_read(
    json_t **out, const char *name, struct gv_error *e) GV_USE_RESULT;

/* False for a vision tower alone. */
bool gv_config_wants_tokenizer(const json_t *o);

/* Fills in what a vocabulary decides where it is absent: vocab_size, and with
 * a vision tower image_token_id.  Values that are there and don't fit, a
 * vocabulary larger than vocab_size among them, are GV_ERR_MATCH. */
int gv_config_fit(
    json_t *o, const struct gv_tokenizer *t, struct gv_error *e) GV_USE_RESULT;

/* Puts a published tower (gv_config_tower()) in the place of vision_config; a
 * Perceiver gets as many heads as it. */
int gv_config_take_tower(
    json_t *o, const char *tower, struct gv_error *e) GV_USE_RESULT;

/* Changes values by "KEY=VALUE": the key is a path such as
 * "text_config.hidden_size", the value JSON or else plain text.  Keys that
 * would mean nothing are refused, so a misspelt one is not lost; what is set
 * before counts, so that a model_type brings its keys.  The object must be one
 * that gv_config_parse() takes. */
int gv_config_set(json_t *o, const char *const *set, size_t n,
    struct gv_error *e) GV_USE_RESULT;

#ifdef __cplusplus
}
#endif
#endif
