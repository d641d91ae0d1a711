/* Rewards: how good is a sampled text, and how good are they all?
 *
 * A reward is opened by its name and judges one text after the other; what it
 * needs beyond the record (a program, document frequencies) belongs to the
 * opened reward.  Definitions:
 *
 *	exact	1 if text and one of the answers are equal after white space at
 *		both ends is dropped, then one full stop at the end, then white
 *		space before it, and A-Z are made lower case; else 0.  White
 *		space is ASCII's; other letters are compared as they are.
 *
 * A text of which nothing is left scores 0, whatever the answers.
 */
#ifndef GV_REWARD_H
#define GV_REWARD_H

#include "err.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct gv_reward;

/* Opens a reward; an unknown name is GV_ERR_NOSUP and the message lists the
 * known ones. */
int gv_reward_open(
    struct gv_reward **r, const char *name, struct gv_error *e) GV_USE_RESULT;
const char *gv_reward_name(const struct gv_reward *r);
void gv_reward_close(struct gv_reward **r);

/* "exact": the names, for messages and manuals. */
const char *gv_reward_names(void);

/* A text with its reference answers: spans of `n` bytes, any content. */
struct gv_span {
	const char *s;
	size_t n;
};
struct gv_judged {
	struct gv_span text;
	const struct gv_span *answers;
	size_t nanswers;
};

/* The reward and the named parts it is the sum of, at most GV_REWARD_PARTS. */
#define GV_REWARD_PARTS 8
struct gv_verdict {
	double reward;
	size_t nparts;
	struct {
		const char *name; /* the reward's */
		double value;
	} part[GV_REWARD_PARTS];
};

/* Judges.  No answers are GV_ERR_FORMAT. */
int gv_reward_judge(struct gv_reward *r, const struct gv_judged *in,
    struct gv_verdict *out, struct gv_error *e) GV_USE_RESULT;

/* What `exact` compares: writes the normalised text of `n` bytes to dst (n
 * bytes of room) and returns its length. */
size_t gv_reward_normalise(char *dst, const char *s, size_t n);

/* ---- all of them --------------------------------------------------------- */

/* The ends of the Wilson score interval of 95 % for `sum` successes among n
 * (z = 1.96).  For rewards between 0 and 1 that are not all 0 or 1 it is wider
 * than need be, never narrower.  n = 0 gives 0 and 1.
 * Source: Wilson, JASA 22 (1927), 209-212. */
void gv_wilson(double sum, uint64_t n, double *low, double *high);

/* Sums by task and type of answer.  Zero it first. */
struct gv_tally {
	struct gv_tally_row {
		char *task, *type; /* type "" where records have none */
		uint64_t n;
		double sum;
	} * row;
	size_t nrows, cap;
};

/* More different rows than this are GV_ERR_LIMIT. */
#define GV_TALLY_ROWS 10000

/* Counts a reward; task and type are UTF-8, type may be NULL. */
int gv_tally_add(struct gv_tally *t, const char *task, const char *type,
    double reward, struct gv_error *e) GV_USE_RESULT;
void gv_tally_free(struct gv_tally *t);

/* A new object:
 *	{"n", "accuracy", "low", "high",
 *	 "tasks": [{"task", "n", "accuracy", "low", "high",
 *	            "types": [{"type", "n", "accuracy", "low", "high"}]}]}
 * in order of task and type; "types" only where a record had one; accuracy is
 * the mean reward, null if n is 0.  NULL without memory. */
json_t *gv_tally_json(const struct gv_tally *t);

#ifdef __cplusplus
}
#endif
#endif
