/* Learning a vocabulary from files, and writing it where a model is. */
#ifndef GV_TOKEN_LEARN_H
#define GV_TOKEN_LEARN_H

#include "bpe_train.h"
#include "documents.h"
#include "err.h"

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Files whose text is given to a vocabulary that is being learned. */
struct gv_learn;

/* Text is read in one of the forms of documents.h, running text
 * (GV_DOCS_BLOCKS) being the usual one: newlines are learned from there.  Of
 * JSON lines it is their "text", and the content of their "messages" and
 * "conversations".  Works with `threads` threads, 0: one a core; the law that
 * `b` was opened with should name as many. */
int gv_learn_open(struct gv_learn **l, struct gv_bpe_train *b,
    const char *const *file, size_t files, enum gv_docs_form form,
    size_t threads, struct gv_error *e) GV_USE_RESULT;

/* Learns from some more: 1, or 0 at the end, or the error of the first bad
 * document.  *bytes are added to. */
int gv_learn_next(
    struct gv_learn *l, uint64_t *bytes, struct gv_error *e) GV_USE_RESULT;
void gv_learn_close(struct gv_learn **l);

/* Fails at once where gv_learn_write() would when all has been learned: where
 * `dir` can't be written or made, or has something else by the names of its
 * files.  GV_ERR_MATCH where it holds the template of
 * another vocabulary in a file of its own, which would go on to be used. */
int gv_learn_check(const char *dir, struct gv_error *e) GV_USE_RESULT;

/* Writes what was learned.  A new directory appears with both its files.  In
 * one that is there, as that of a model, they are replaced when both are
 * complete, and after an error are what they were, unless the message says that
 * only the last sync failed.  Death between the last renames can leave the
 * directory without a tokenizer.json, and the old pair in
 * .tokenizer.tmp.PID/old, but not with files of two vocabularies; and so can an
 * error there, if the old pair can't be put back either. */
int gv_learn_write(
    struct gv_bpe_train *b, const char *dir, struct gv_error *e) GV_USE_RESULT;

#ifdef __cplusplus
}
#endif
#endif
