/* How good are all of them: means, intervals and pass@k of judged texts, by
 * task and by type of question.
 *
 * Texts that answer one prompt are a group: they aren't independent, and with n
 * of them, c of which pass, pass@k is 1 - C(n-c,k) / C(n,k), the unbiased
 * estimate of the chance that one of k samples passes (Chen et al. 2021); its
 * mean over groups is told.
 *
 * The interval is of 95 %.  If all rewards are between 0 and 1 it is Wilson's
 * score interval for as many independent texts as the groups are worth: with
 * mean m and N texts in G groups of n_g texts and sum s_g,
 *
 *	n_eff = m (1 - m) N^2 / sum_g (s_g - m n_g)^2, at most N
 *
 * (G if m is 0 or 1).  That is N where every text is a group of its own; for
 * fractions it is then wider than need be, never narrower.  Other rewards get
 * m +- z sqrt(G / (G-1) sum_g (s_g - m n_g)^2) / N, the normal interval with
 * errors clustered by group, and none if G < 2.
 */
#ifndef GV_REWARD_TALLY_H
#define GV_REWARD_TALLY_H

#include "err.h"
#include "io.h"
#include "reward.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The ends of Wilson's score interval of 95 % (z = 1.96) for a share p of n
 * trials, which need not be whole.  n = 0 gives 0 and 1.
 * Source: Wilson, JASA 22 (1927), 209-212. */
void gv_wilson(double p, double n, double *low, double *high);

/* 1 - C(n-c,k) / C(n,k), for 0 <= c <= n and 1 <= k <= n. */
double gv_pass_at(uint64_t n, uint64_t c, uint64_t k);

struct gv_tally;

#define GV_TALLY_KS   32 /* values of k, at most */
#define GV_TALLY_BY   8 /* fields to break down by, at most */
#define GV_TALLY_ROWS 10000 /* different tasks and types, at most */

struct gv_tally_opts {
	double pass; /* a text passes from this reward on */
	const int64_t *k; /* ascending, from 1 on */
	size_t nk; /* 0: powers of two up to the smallest group, and its size,
	            * if any group has two texts */
};

int gv_tally_open(struct gv_tally **t, const struct gv_tally_opts *o,
    struct gv_error *e) GV_USE_RESULT;
void gv_tally_close(struct gv_tally **t);

/* A judged text.  Its reward must stay open until the tally is closed. */
struct gv_counted {
	const struct gv_reward *reward;
	const struct gv_verdict *verdict;
	const char *group; /* any text; NULL: a group of its own */
	size_t nby; /* fields that it has, of those to break down by */
	struct {
		const char *field, *value;
	} by[GV_TALLY_BY];
};

/* More than GV_TALLY_ROWS rows are GV_ERR_LIMIT.  After an error the text may
 * count in some of its rows: the tally is of no more use. */
int gv_tally_add(struct gv_tally *t, const struct gv_counted *c,
    struct gv_error *e) GV_USE_RESULT;

/* What it comes to, once: the tally is then only to be closed.  A new object:
 *	{"n", "accuracy", "low", "high", "interval",
 *	 "tasks": [{"task", "n", "accuracy", "low", "high", "interval",
 *	            "groups", "pass": {"1", ...}, "parts": {NAME: mean},
 *	            "types": [{"field", "type", ... as a task}]}]}
 * in order of task, field and type.  accuracy is the mean reward, null without
 * texts; low and high are null where there is no interval, which is "wilson",
 * "normal" or null.  "groups" and "pass" are there if pass@k is told, "parts"
 * of sums, "types" where a text had one.  A k larger than some group is
 * GV_ERR_MATCH. */
int gv_tally_json(
    struct gv_tally *t, json_t **out, struct gv_error *e) GV_USE_RESULT;

/* Prints that object as a table; an integer "bad" in it, if not 0, too. */
int gv_tally_print(
    const json_t *tally, struct gv_out *o, struct gv_error *e) GV_USE_RESULT;

#ifdef __cplusplus
}
#endif
#endif
