/* Rewards: how good is a sampled text?
 *
 * A reward is opened by its description and judges one text after the other:
 *
 *	gv_reward_open(&r, "vqa:0.8,format:0.2", &opts, e)
 *	gv_reward_judge(r, &in, &verdict, e)		for each text
 *	gv_reward_finish(r, e)				before success is told
 *	gv_reward_close(&r)
 *
 * A description is one task, or several with commas between them, each with a
 * weight behind a colon (1 without one); the reward is the weighted sum.  A
 * weight of 0 makes a column that doesn't count.  `exec:COMMAND` takes all that
 * follows as its command, so it stands last; where that is a number it is a
 * weight, and the command comes from the options.
 *
 * The tasks (SPEC numbers are of the definitions they follow, quirks included):
 *
 *	exact		1 if text and an answer are equal after white space at
 *			both ends is dropped, then one full stop at the end,
 *			then white space before it, and A-Z are made lower
 *			case.  White space is ASCII's.
 *	vqa		VQAv2's accuracy by the other annotators (2.1)
 *	textvqa		the same after EvalAI's normalisation (2.2)
 *	mmmu		MMMU's parser and judge (2.3); where it finds no option
 *			it guesses, as the original does, by a Mersenne twister
 *			of seed 42 in the order of the texts
 *	mmmu-strict	the same, and no option is a wrong one
 *	gsm8k		the first "#### N", as openai/grade-school-math (2.5)
 *	gsm8k-flexible	the last number, as lm-evaluation-harness (2.5)
 *	cider		CIDEr-D against fixed document frequencies (2.4), 0..10
 *	format		1 if a regular expression matches
 *	length		DAPO's penalty for answers too long (2.6), -1..0
 *	exec		what a program says
 *
 * A text that is empty or only white space scores 0 in all of them but length
 * and exec, whatever the answers are.
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

/* What tasks need besides the records; zeros and NULL where not given. */
struct gv_reward_opts {
	const char *pattern; /* format: PCRE2, UTF-8; it may match anywhere */
	const char *df; /* cider: path of a file of lib/reward_df.h */
	int64_t max_length; /* length: tokens from which on it is -1 */
	int64_t length_margin; /* length: over so many tokens it falls to -1 */
	const char *command; /* exec: for /bin/sh -c, where the task names none
	                      */
	double timeout; /* exec: seconds for one answer */
	int64_t memory; /* exec: bytes of address space, 0: 4 GiB */
};

/* Opens a reward.  An unknown task is GV_ERR_NOSUP, a wrong description or an
 * option that is missing GV_ERR_USAGE.  `trusted` allows exec:COMMAND: never
 * set it for a description that came with data. */
int gv_reward_open(struct gv_reward **r, const char *description,
    const struct gv_reward_opts *opts, bool trusted,
    struct gv_error *e) GV_USE_RESULT;

/* The description it was opened by. */
const char *gv_reward_name(const struct gv_reward *r);

/* What it needs to know of a text, or'ed. */
enum {
	GV_NEED_ANSWERS = 1,
	GV_NEED_LENGTH = 2,
	GV_NEED_RECORD = 4
};
unsigned gv_reward_needs(const struct gv_reward *r);

/* Its tasks, 1 to GV_REWARD_PARTS of them, with their weights. */
#define GV_REWARD_PARTS 8
size_t gv_reward_parts(const struct gv_reward *r);
const char *gv_reward_part(const struct gv_reward *r, size_t i, double *weight);

/* Ends a program that judges: it must end well, within its time limit, and have
 * nothing more to say.  GV_ERR_SYS if not. */
int gv_reward_finish(struct gv_reward *r, struct gv_error *e) GV_USE_RESULT;
void gv_reward_close(struct gv_reward **r);

/* "exact vqa ...": the names, for messages and manuals. */
const char *gv_reward_names(void);

/* A text and what is known of it: spans of `n` bytes of UTF-8.  What the reward
 * doesn't need may be missing. */
struct gv_span {
	const char *s;
	size_t n;
};
struct gv_judged {
	struct gv_span text;
	const struct gv_span *answers;
	size_t nanswers;
	/* mmmu: the options of a multiple-choice question, whose answers are
	 * letters; NULL for an open one */
	const struct gv_span *options;
	size_t noptions;
	int64_t length; /* tokens of the sampled text */
	struct gv_span record; /* all of it, as JSON without line feeds */
};

/* The reward and what its parts said, before their weights. */
struct gv_verdict {
	double reward;
	size_t nparts;
	double part[GV_REWARD_PARTS]; /* in the order of gv_reward_part() */
};

/* Judges.  GV_ERR_FORMAT: this text can't be judged (no answers, not ten of
 * them ...), others can.  GV_ERR_SYS: a program failed, and the reward with
 * it. */
int gv_reward_judge(struct gv_reward *r, const struct gv_judged *in,
    struct gv_verdict *out, struct gv_error *e) GV_USE_RESULT;

#ifdef __cplusplus
}
#endif
#endif
