/* Pre-tokenisation: cutting text into the pieces that merges never cross.
 *
 * A tokenizer names its cut by a regular expression.  Those that the families
 * we know use are coded by hand (exactly the matches that a backtracking
 * engine finds, in linear time); any other goes through PCRE2 with JIT.  Text
 * that no match covers is a piece of its own ("Isolated").  Bytes that are not
 * UTF-8 are, by hand, characters that are neither letter, number nor space; to
 * PCRE2 they are what no match covers.
 */
#ifndef GV_SPLIT_H
#define GV_SPLIT_H

#include "err.h"

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The pattern of `gv-tokenize train`, which is Qwen2's. */
extern const char gv_split_qwen2[];
/* What a ByteLevel pre-tokeniser cuts with: GPT-2's. */
extern const char gv_split_gpt2[];

/* SentencePiece's: before each run of blanks, and before each blank. */
extern const char gv_split_words[];
extern const char gv_split_blanks[];

/* A compiled cut; immutable, so threads may share it. */
struct gv_split;

/* GV_ERR_NOSUP, with what PCRE2 says, for a pattern that doesn't compile. */
int gv_split_open(
    struct gv_split **s, const char *pattern, struct gv_error *e) GV_USE_RESULT;
void gv_split_close(struct gv_split **s);
const char *gv_split_pattern(const struct gv_split *s);

/* A walk over the pieces of one text, which must stay where it is. */
struct gv_splitter {
	const struct gv_split *split;
	const char *s;
	size_t n, at; /* the text; where the next piece starts */
	size_t lo, hi; /* PCRE2: the match ahead, if lo >= at */
	void *md; /* PCRE2: match data and JIT stack of this walk */
};

int gv_splitter_open(struct gv_splitter *w, const struct gv_split *split,
    const char *s, size_t n, struct gv_error *e) GV_USE_RESULT;

/* 1 and the next piece [*at, *end), never empty; 0 at the end of the text; or
 * an error: a pattern that exceeds PCRE2's limits on this text. */
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
