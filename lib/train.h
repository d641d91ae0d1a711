/* The training loop: steps over a stream of examples, or of groups of samples
 * with rewards, with accumulation, evaluation, checkpoints, resume and a log.
 *
 * A step takes `batch` records (or records up to `batch_tokens` trained
 * tokens), deals them into micro-batches that fit memory, and divides the loss
 * by the number of trained tokens of the whole step, so that neither
 * accumulation nor packing changes it.
 */
#ifndef GV_TRAIN_H
#define GV_TRAIN_H

#include "batch.h"
#include "checkpoint.h"
#include "log.h"
#include "optim.h"
#include "policy.h"

#ifdef __cplusplus
extern "C" {
#endif

struct gv_train_law {
	struct gv_optim_law optim;
	struct gv_schedule_law schedule; /* total: number of steps */
	int64_t batch; /* records a step; 0: no limit */
	int64_t batch_tokens; /* trained tokens a step; 0: no limit */
	int64_t micro_tokens, micro_images; /* memory of a micro-batch */
	bool recompute; /* as in struct gv_limits */
	int32_t max_length;
	int keep; /* checkpoints kept */
	/* With an objective other than GV_LM the input is groups of samples,
	 * and `batch` counts groups; micro_* and max_length are the above. */
	struct gv_policy_run policy;
	bool live; /* the input is made while it is read, for this run: a
	            * resumed run finds in it what comes next */
};

/* What a step did. */
struct gv_train_step {
	int64_t step; /* 1 is the first */
	uint64_t records; /* of the input, so far */
	int64_t tokens; /* trained in this step */
	int64_t rows; /* decoder rows computed */
	int64_t images; /* encoded */
	double loss; /* mean over trained tokens, nat */
	double bpb; /* bits per byte; NaN if bytes are unknown */
	double lr; /* factor of the peak rates */
	double norm; /* of the gradient before clipping */
	double seconds; /* of the step ... */
	double waited; /* ... and in them, for the input */
	double flops;
	struct gv_policy_step policy; /* of another objective than GV_LM */
};

struct gv_eval {
	double loss, bpb; /* as above, over the whole stream */
	int64_t tokens;
	uint64_t records;
};

struct gv_train;

/* A trainer of `m`, whose parts must have been declared (gv_model_train).
 * Takes all memory: optimizer state, activations.  `in` is the input, open;
 * both stay the caller's.  From the first step on a thread of the trainer's
 * reads `in`, at most two steps ahead and never past the schedule's end. */
int gv_train_open(struct gv_train **t, struct gv_model *m, struct gv_reader *in,
    const struct gv_train_law *law, struct gv_error *e) GV_USE_RESULT;
void gv_train_close(struct gv_train **t);

/* Where storage rounds: the optimizer's exact parameters from the directory
 * that the model was read from, which could but be rounded then. */
int gv_train_exact(struct gv_train *t, const char *model_dir,
    struct gv_error *e) GV_USE_RESULT;

/* One step.  1: done, *s filled; 0: the input has ended before it. */
int gv_train_step(struct gv_train *t, struct gv_train_step *s,
    struct gv_error *e) GV_USE_RESULT;

/* Looks past the last record used (of a live input: reads it to its end): 0:
 * there the input ends, complete; 1: it has more records; negative: it is
 * damaged there, or its writer failed. */
int gv_train_drain(struct gv_train *t, struct gv_error *e) GV_USE_RESULT;

/* Only the gradients of the next step's records, left in the model; the
 * optimizer doesn't run. */
int gv_train_grads(struct gv_train *t, struct gv_train_step *s,
    struct gv_error *e) GV_USE_RESULT;

/* The loss over a whole stream. */
int gv_train_eval(struct gv_train *t, const char *path, struct gv_eval *r,
    struct gv_error *e) GV_USE_RESULT;

/* What a resumed run must share with the one that it goes on, as a new object:
 * the law, by the names of gv-train's options, and the digests of the weights
 * that it starts from and, unless it is NULL, of the reference's. */
int gv_train_args(json_t **args, const struct gv_train_law *law,
    const char *model_dir, const char *reference_dir,
    struct gv_error *e) GV_USE_RESULT;

/* A step and an evaluation as lines of the log, new objects. */
int gv_train_step_json(json_t **o, const struct gv_train_step *s,
    struct gv_error *e) GV_USE_RESULT;
int gv_eval_json(json_t **o, const struct gv_eval *v, int64_t step,
    struct gv_error *e) GV_USE_RESULT;

/* Checkpoints; `args` is borrowed.  gv_train_resume() skips the records that
 * the checkpoint has used: 1 resumed, 0 there is none. */
int gv_train_save(struct gv_train *t, const char *run, const json_t *args,
    const char *model_dir, struct gv_error *e) GV_USE_RESULT;
int gv_train_resume(struct gv_train *t, const char *run, const json_t *args,
    char *warning, size_t cap, struct gv_error *e) GV_USE_RESULT;
int64_t gv_train_steps(const struct gv_train *t); /* done */
/* Groups of samples used up, and the number of the prompt after them. */
uint64_t gv_train_groups(const struct gv_train *t, uint64_t *next);
/* Sequences with images that lost their end to max_length since the open. */
uint64_t gv_train_cut(const struct gv_train *t);

/* The largest batches of a run, which its model's memory is taken for. */
int gv_train_limits(const struct gv_model *m, const struct gv_train_law *law,
    struct gv_limits *l, struct gv_error *e) GV_USE_RESULT;

#ifdef __cplusplus
}
#endif
#endif
