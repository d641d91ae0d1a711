/* The small files of a model directory: JSON, and all of a vocabulary. */
#ifndef GV_FILES_H
#define GV_FILES_H

#include "err.h"
#include "token.h"

#include <jansson.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Writes DIR/name, which appears complete. */
int gv_json_save(const json_t *o, const char *dir, const char *name,
    struct gv_error *e) GV_USE_RESULT;

/* Copies what a model directory has besides weights and configuration
 * (tokenizer.json, tokenizer_config.json, and their like) from one directory
 * to another. */
int gv_model_copy_files(
    const char *from, const char *to, struct gv_error *e) GV_USE_RESULT;

/* Copies the vocabulary of a model to the directory `to`, with what belongs to
 * it.  That of a GGUF file is as gv_tokenizer_open() finds it. */
int gv_copy_tokenizer(
    const char *from, const char *to, struct gv_error *e) GV_USE_RESULT;

/* Opens the vocabulary of a model, in any form that gv_tokenizer_open() takes;
 * *t is NULL if there is none. */
int gv_open_vocabulary(
    struct gv_tokenizer **t, const char *dir, struct gv_error *e) GV_USE_RESULT;

/* GV_ERR_NOSUP, by the file's name, unless the copy of a model's vocabulary can
 * be given new tokens: a list of ranks or of merges has no place for them. */
int gv_check_extendable(const char *dir, struct gv_error *e) GV_USE_RESULT;

/* Appends a special token that stands for a row of an image to the vocabulary
 * in `dir`, behind all ids that there are, and says in tokenizer_config.json
 * that it is the `image_token`.  Errors as above. */
int gv_append_image_token(const char *dir, const char *text, int32_t id,
    struct gv_error *e) GV_USE_RESULT;

#ifdef __cplusplus
}
#endif
#endif
