/* A training run: all that gv-train does behind its command line.
 *
 *	gv_training_open(&r, &opts, &e)		all is checked, memory is taken
 *	gv_training_run(r, &e)			steps, checkpoints, the model
 *	gv_training_close(&r)
 *
 * The output's directory is claimed before anything is read that takes long,
 * and appears whole when the last step is done.  Until then the run is in
 * OUTPUT.run (checkpoint.h), from which another one goes on.
 */
#ifndef GV_TRAINING_H
#define GV_TRAINING_H

#include "io.h"
#include "train.h"

#ifdef __cplusplus
extern "C" {
#endif

struct gv_training_opts {
	const char *model; /* the directory that it starts from */
	const char *input; /* a stream; NULL: standard input */
	const char *output; /* a directory; NULL: only plans and gradients */
	const char *device;
	int64_t threads;
	unsigned parts; /* that train, a bit each */
	/* Of it the reference, `live` and the callback are set here; of 0
	 * steps those of the input, which must be a file then; of a max_length
	 * of 0 the model's positions. */
	struct gv_train_law law;
	double warmup, flat; /* steps, or below 1 their share of all */
	const char *reference; /* a directory; NULL: the records' logp_ref */
	const char *publish; /* a RUN for samplers (publish.h), or NULL */
	const char *eval; /* a stream to evaluate at the end, or NULL; */
	int64_t eval_every; /* and so often on the way, 0: not */
	int64_t save_every; /* steps between checkpoints; 0: none */
	const char *log; /* a file that lines are appended to, or NULL */
	enum gv_dtype dtype; /* of the weights that are written */
	bool resume; /* go on from the newest checkpoint, if there is one */
	bool keep_run; /* leave OUTPUT.run when the run has finished */
	bool profile; /* tell where the time went */
	/* Lines for the user (say.h).  stopped(), asked between steps: not 0
	 * ends the run behind a checkpoint.  progress() is told each step.
	 * Each may be NULL. */
	void (*say)(int level, const char *line);
	int (*stopped)(void);
	void (*progress)(const struct gv_train_step *s, int64_t steps);
};

struct gv_training;

/* GV_ERR_USAGE for a law that needs what the input or model doesn't tell;
 * GV_ERR_MATCH for an input of another vocabulary or other weights, and for a
 * directory that holds an earlier run without `resume`.  All that opts points
 * to must outlive it. */
int gv_training_open(struct gv_training **r, const struct gv_training_opts *o,
    struct gv_error *e) GV_USE_RESULT;

/* 1: the model is written; 0: stopped(), and saved. */
int gv_training_run(struct gv_training *r, struct gv_error *e) GV_USE_RESULT;

/* Instead of a run: what it would need (plan.h), its time by one real step
 * without an update; and the first step's gradients, as safetensors. */
int gv_training_plan(struct gv_training *r, struct gv_out *o, bool json,
    struct gv_error *e) GV_USE_RESULT;
int gv_training_grads(
    struct gv_training *r, const char *path, struct gv_error *e) GV_USE_RESULT;

void gv_training_close(struct gv_training **r); /* NULL is allowed */

#ifdef __cplusplus
}
#endif
#endif
