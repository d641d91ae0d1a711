/* What gv-rollout makes of records: samples of prompts, or records with the
 * scores and logits of their own tokens.  gv-rollout(1) says what is in them.
 *
 *	gv_inputs_open(&in, path, n, &e);
 *	gv_rollout_open(&r, &in, &opts, &e)	all is checked, HEAD is written
 *	gv_rollout_run(r, &e)
 *	gv_rollout_close(&r)
 *
 * The input is checked against the model's configuration before its weights are
 * read, and the HEAD of the output is written before them as well, so that
 * programs in a pipe start together.
 */
#ifndef GV_ROLLOUT_H
#define GV_ROLLOUT_H

#include "err.h"
#include "gen.h"
#include "inputs.h"
#include "stream.h"

#ifdef __cplusplus
extern "C" {
#endif

/* The law of the draws as it was asked for and is recorded; the generator's
 * numbers are these in F32. */
struct gv_rollout_law {
	double temperature, top_p, min_p, repetition_penalty;
	int64_t top_k, seed, group, max_tokens;
	const char *const *stop; /* (stops), UTF-8 */
	size_t stops;
	const char *tool; /* "calculator", a command, or NULL */
	double tool_timeout;
	struct gv_tool_marks marks;
};

struct gv_rollout_opts {
	const char *model; /* its directory */
	const char *device;
	int64_t threads;
	const char *output; /* NULL: standard output */
	bool force;
	int64_t batch;
	uint64_t max_errors;
	/* sampling */
	struct gv_rollout_law law;
	bool images; /* pass on what the prompts have of them */
	const char *follow; /* a trainer's RUN (publish.h), or NULL */
	double patience; /* seconds for its first weights */
	/* reading, if `score` or logits >= 0: nothing is drawn */
	bool score;
	const char *score_as; /* the field */
	int64_t logits; /* so many of each position; 0: all; below 0: none */
	/* Lines for the user (say.h), and how far it is, told now and then;
	 * either may be NULL. */
	void (*say)(int level, const char *line);
	void (*progress)(uint64_t records, uint64_t tokens);
};

struct gv_rollout;

/* Both must outlive it.  A failure leaves no output. */
int gv_rollout_open(struct gv_rollout **r, struct gv_inputs *in,
    const struct gv_rollout_opts *o, struct gv_error *e) GV_USE_RESULT;

/* All records, to the END of the output, which is complete then. */
int gv_rollout_run(struct gv_rollout *r, struct gv_error *e) GV_USE_RESULT;
void gv_rollout_close(struct gv_rollout **r); /* NULL is allowed */

#ifdef __cplusplus
}
#endif
#endif
