/* Streams of tokens, written. */
#ifndef GV_TOKEN_STREAM_H
#define GV_TOKEN_STREAM_H

#include "documents.h"
#include "err.h"
#include "io.h"
#include "render.h"
#include "stream.h"
#include "token.h"

#include <stdbool.h>

#ifdef __cplusplus
extern "C" {
#endif

/* How many placeholders an image takes in the model in `dir`: 0 if that holds
 * nothing but a tokenizer, and with GV_ERR_NOSUP if the model is none of those
 * that are known. */
int gv_tokens_rows(
    const char *dir, int *rows, struct gv_error *e) GV_USE_RESULT;

/* Starts a stream of kind "tokens" for the records that `how` renders; their
 * fields are described in gv-tokenize(1).  The provenance chain says how, in
 * that program's options. */
int gv_tokens_open(struct gv_writer **w, struct gv_out *o,
    const struct gv_render *how, enum gv_docs_form form,
    struct gv_error *e) GV_USE_RESULT;

/* Writes a record that `how` rendered. */
int gv_tokens_put(struct gv_writer *w, const struct gv_render *how,
    const struct gv_record *r, struct gv_error *e) GV_USE_RESULT;

#ifdef __cplusplus
}
#endif
#endif
