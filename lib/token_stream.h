/* Streams of tokens: records written, and their ids turned back into text. */
#ifndef GV_TOKEN_STREAM_H
#define GV_TOKEN_STREAM_H

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
 * fields are described in gv-tokenize(1).  The provenance chain says how in that
 * program's options. */
int gv_tokens_open(struct gv_writer **w, struct gv_out *o,
    const struct gv_render *how, enum gv_docs_form form,
    struct gv_error *e) GV_USE_RESULT;

/* Writes a record that `how` rendered. */
int gv_tokens_put(struct gv_writer *w, const struct gv_render *how,
    const struct gv_record *r, struct gv_error *e) GV_USE_RESULT;

/* Where decoded text goes, a line a record. */
struct gv_tokens_text {
	const struct gv_tokenizer *tokenizer;
	bool specials; /* show special tokens */
	struct gv_out *out;
};

/* Decodes the field `tokens` of a stream's records: GV_ERR_MATCH if they are of
 * another vocabulary.  What is decoded is written out before the input is
 * waited for. */
int gv_tokens_decode(const struct gv_tokens_text *to, const char *file,
    struct gv_error *e) GV_USE_RESULT;

/* Decodes lines of decimal ids, at most 64 MiB each. */
int gv_tokens_decode_ids(const struct gv_tokens_text *to, const char *file,
    struct gv_error *e) GV_USE_RESULT;

#ifdef __cplusplus
}
#endif
#endif
