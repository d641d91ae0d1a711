/* The inside of split.h: the patterns that are known by hand (split_hand.c,
 * split_mask.c) and all others (split_regex.c).  Not part of the library's
 * interface. */
#ifndef GV_SPLIT_PRIV_H
#define GV_SPLIT_PRIV_H

#include "split.h"

#include <stdbool.h>

/* One pattern of a cut. */
enum gv_cut {
	GV_CUT_GPT2,
	GV_CUT_QWEN2, /* and Llama 3's, cl100k_base's: they differ in flags */
	GV_CUT_O200K,
	GV_CUT_WORDS,
	GV_CUT_BLANKS,
	GV_CUT_ENDS,
	GV_CUT_REGEX
};

struct gv_stage {
	enum gv_cut cut;
	int digits; /* numbers a piece has at most; 0: any number */
	bool tail; /* blanks at the end are one piece, with their newlines */
	struct gv_regex *regex; /* GV_CUT_REGEX */
};

/* Fills in the stage if its pattern is known by hand. */
bool gv_stage_known(struct gv_stage *g, const char *pattern);

/* Cuts s[at[0]..n) by a known pattern: piece i is [at[i], at[i + 1]).  Returns
 * how many there are, at most `most`. */
int gv_stage_cut(
    const struct gv_stage *g, const char *s, size_t n, size_t *at, int most);

/* The same for GV_CUT_QWEN2, but only as far as that can be told quickly: 0
 * where it can't. */
int gv_mask_cut(
    const struct gv_stage *g, const char *s, size_t n, size_t *at, int most);

/* 's 't 're 've 'm 'll 'd at s[0] == '\'': bytes, or 0.  Without regard to
 * case, U+017F is an s. */
size_t gv_contraction(const char *s, size_t n, bool fold);

/* A pattern that PCRE2 matches, and what matching takes: one for each walk. */
int gv_regex_open(
    struct gv_regex **r, const char *pattern, struct gv_error *e) GV_USE_RESULT;
void gv_regex_close(struct gv_regex **r);

struct gv_matcher;
int gv_matcher_open(struct gv_matcher **m, const struct gv_regex *r,
    size_t bytes, struct gv_error *e) GV_USE_RESULT;
void gv_matcher_close(struct gv_matcher **m);

/* Begins with a new text s[0..n). */
void gv_matcher_text(struct gv_matcher *m, const char *s, size_t n);

/* The end of the piece that starts at `at`, behind the one before: a match or
 * what stands before the next.  Matching a walk's texts may cost so many steps
 * for each byte that gv_matcher_open() was told of; more is GV_ERR_LIMIT. */
int gv_matcher_cut(struct gv_matcher *m, size_t at, size_t *end,
    struct gv_error *e) GV_USE_RESULT;

#endif
