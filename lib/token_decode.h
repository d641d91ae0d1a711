/* Ids turned back into text, as they come. */
#ifndef GV_TOKEN_DECODE_H
#define GV_TOKEN_DECODE_H

#include "err.h"
#include "io.h"
#include "token.h"

#include <stdbool.h>

#ifdef __cplusplus
extern "C" {
#endif

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

/* Decodes lines of decimal ids ("-": standard input) of any length.  An id's
 * text is written out before the next id is waited for, but for the bytes of a
 * character that is not whole yet. */
int gv_tokens_decode_ids(const struct gv_tokens_text *to, const char *file,
    struct gv_error *e) GV_USE_RESULT;

#ifdef __cplusplus
}
#endif
#endif
