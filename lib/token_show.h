/* Records of tokens, printed for eyes, and which of them are trained on. */
#ifndef GV_TOKEN_SHOW_H
#define GV_TOKEN_SHOW_H

#include "err.h"
#include "io.h"
#include "render.h"
#include "token.h"

#include <stdbool.h>

#ifdef __cplusplus
extern "C" {
#endif

struct gv_tokens_view {
	const struct gv_tokenizer *tokenizer;
	struct gv_out *out;
	bool colour; /* ECMA-48's, else brackets */
};

/* Prints a line about the record, and its sequences.  A token stands in [],
 * one that is trained on in {}; with colour it is grey or green on one of two
 * shades in turn.  A run of an image's placeholders is one mark with its
 * length.  A token with a newline ends the line there; bytes that are not
 * UTF-8 by themselves, and controls, are spelled as escapes. */
int gv_tokens_show(const struct gv_tokens_view *v, const struct gv_record *r,
    struct gv_error *e) GV_USE_RESULT;

#ifdef __cplusplus
}
#endif
#endif
