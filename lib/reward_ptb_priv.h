/* Captions as words: what coco-caption's tokenizer makes of them.
 *
 * That is Stanford's PTBTokenizer (CoreNLP 3.4.1, -preserveLines -lowerCase)
 * followed by the removal of some punctuation.  Here are the rules of it that
 * matter in captions and plain English; tests/golden/compare_metrics.py counts
 * where the two differ.
 *
 * At each place the longest of these is the next token:
 *
 *	word		letters, then letters and digits; also across one of
 *			.!? before a letter ("end.no")
 *	compound	letters and digits joined by - or _; a part may begin
 *			with d', o' or l', or be an acronym ("u.s.-based")
 *	slashes		one or two of them between such ("and/or", "1/2")
 *	number		[-+]?(D+|D*([.:,]D+)+)
 *	acronym		single letters with full stops ("u.s.", "x.")
 *	abbreviation	of a list, with its full stop ("mr."); some before a
 *			digit only ("no. 5"); any word before ".," ".;" ".:"
 *	apostrophes	's 'm 'd 're 've 'll, n't behind its word; 'em 'n 'n'
 *			'til 'till 'cause 'tis 'twas '90s; ol' y' c'mon ma'am
 *	others		A&B of capitals; #tag @name; a@b.cc; http:// addresses;
 *			<tag>; smileys; runs of ! and ?, of * and of _; and any
 *			symbol by itself
 *
 * cannot gonna gotta gimme lemme wanna more'n are two words.  Brackets become
 * -lrb- -rrb- -lsb- -rsb- -lcb- -rcb- and stay, since the original removes them
 * in capitals only; pounds become #, euros $, cents "cents", a sign such as
 * U+00BD its fraction.  Quotes, dashes, full stops, commas, colons, semicolons
 * and a single ! or ? are removed.  Letters are made lower case.
 */
#ifndef GV_REWARD_PTB_PRIV_H
#define GV_REWARD_PTB_PRIV_H

#include "reward_priv.h"

/* Sets `out` to the words with single spaces between them.  `scratch` is memory
 * that may be used for one text after the other. */
int gv_ptb_words(struct gv_bytes *out, struct gv_bytes *scratch,
    struct gv_span text, struct gv_error *e) GV_USE_RESULT;

/* ---- rules --------------------------------------------------------------- */

/* The text as code points, with zeros behind its end. */
struct gv_ptb_text {
	const uint32_t *c;
	size_t n;
};

bool gv_ptb_apostrophe(uint32_t c); /* straight or curly */

/* Where the longest token at i ends; i if no rule but "any symbol" has one. */
size_t gv_ptb_longest(const struct gv_ptb_text *t, size_t i);

/* Where two words written as one end, and the first of them does; else i. */
size_t gv_ptb_assimilated(const struct gv_ptb_text *t, size_t i, size_t *first);

/* Where a 's, n't or the like at i ends; else i. */
size_t gv_ptb_verb_end(const struct gv_ptb_text *t, size_t i);

/* Where the token from i to `end` ends without the n of the n't behind it. */
size_t gv_ptb_without_nt(const struct gv_ptb_text *t, size_t i, size_t end);

/* ---- runs ---------------------------------------------------------------- */

#define GV_PTB_RUN 4 /* words of a run, at most */

/* Calls `each` for the runs of 1 to GV_PTB_RUN words, n of them, shortest
 * first, in order. */
int gv_ptb_runs(struct gv_span words,
    int (*each)(void *arg, struct gv_span run, int n, struct gv_error *e),
    void *arg, struct gv_error *e) GV_USE_RESULT;

#endif
