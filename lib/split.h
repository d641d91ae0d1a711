/* Pre-tokenisation: cutting text into the pieces that merges never cross.
 *
 * A tokenizer names its cut by a regular expression, or by several, each of
 * which cuts the pieces of the one before as if they were texts.  Those that
 * the families we know use are coded by hand (exactly the matches that a
 * backtracking engine finds, in linear time); any other goes through PCRE2 with
 * JIT, where general categories, \s, \d and \w are those of Unicode 16 as the
 * reference has them.  Text that no match covers is a piece of its own
 * ("Isolated").  Bytes that are not UTF-8 are, by hand, characters that are
 * neither letter, number nor space; to PCRE2 they are what no match covers.
 */
#ifndef GV_SPLIT_H
#define GV_SPLIT_H

#include "err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Of the families by name.  A ByteLevel pre-tokeniser cuts with GPT-2's; SmolLM
 * takes each digit alone before it does so, which is one pattern here. */
extern const char gv_split_gpt2[], gv_split_smollm[];
extern const char gv_split_qwen2[], gv_split_llama3[];
extern const char gv_split_cl100k[], gv_split_o200k[];

/* SentencePiece's: before each run of blanks, and before each blank. */
extern const char gv_split_words[];
extern const char gv_split_blanks[];
/* Behind each blank, as token_clip.c sets them. */
extern const char gv_split_ends[];

/* A compiled cut; immutable, so threads may share it. */
struct gv_split;

/* GV_ERR_NOSUP, with what PCRE2 says, for a pattern that doesn't compile, and
 * for what PCRE2 and the reference read otherwise. */
int gv_split_open(
    struct gv_split **s, const char *pattern, struct gv_error *e) GV_USE_RESULT;
/* The same of several patterns, at most eight, in n bytes: a NUL stands between
 * two, and one behind the last, which n doesn't count. */
int gv_split_open_chain(struct gv_split **s, const char *patterns, size_t n,
    struct gv_error *e) GV_USE_RESULT;
void gv_split_close(struct gv_split **s);
const char *gv_split_patterns(const struct gv_split *s, size_t *n);

/* Is this GPT-2's, Qwen2's, o200k's or one of their kin alone?  Then a piece
 * ends behind any letter that is followed by a number, by a blank and a letter,
 * or by a mark that is none of these, and what comes doesn't change what it is.
 */
bool gv_split_by_words(const struct gv_split *s);

/* A walk over the pieces of one text, which must stay where it is. */
struct gv_splitter {
	const struct gv_split *split;
	const char *s;
	size_t n, at; /* the text; where the next piece starts */
	struct gv_level *level; /* of the patterns, unless one by hand is all */
};

int gv_splitter_open(struct gv_splitter *w, const struct gv_split *split,
    const char *s, size_t n, struct gv_error *e) GV_USE_RESULT;

/* 1 and the next piece [*at, *end), never empty; 0 at the end of the text; or
 * an error: a pattern that takes more than a thousand steps for each byte of
 * the text. */
int gv_splitter_next(struct gv_splitter *w, size_t *at, size_t *end,
    struct gv_error *e) GV_USE_RESULT;
/* The next pieces, at most `most`, in one call: their number, 0 at the end, or
 * an error.  Piece i is [at[i], at[i + 1]); `at` has room for most + 1. */
int gv_splitter_fill(struct gv_splitter *w, size_t *at, int most,
    struct gv_error *e) GV_USE_RESULT;
void gv_splitter_close(struct gv_splitter *w);

#ifdef __cplusplus
}
#endif
#endif
