/* Learning a vocabulary from files, and writing it where a model is. */
#ifndef GV_TOKEN_LEARN_H
#define GV_TOKEN_LEARN_H

#include "err.h"
#include "token.h"

#include <stdbool.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Gives a file's text ("-": standard input) to a vocabulary that is being
 * learned: plain text, or if `jsonl` the "text", "messages" and
 * "conversations" of JSON lines.  For plain text the result is that of the
 * whole file as one document. */
int gv_learn_file(struct gv_bpe_train *b, const char *file, bool jsonl,
    struct gv_error *e) GV_USE_RESULT;

/* Writes what was learned.  A new directory appears with all its files; in one
 * that is there, as that of a model, each file is replaced. */
int gv_learn_write(
    struct gv_bpe_train *b, const char *dir, struct gv_error *e) GV_USE_RESULT;

#ifdef __cplusplus
}
#endif
#endif
