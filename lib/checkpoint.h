/* Checkpoints: whole, verified, and with all that a bit-identical resume
 * needs.
 *
 *	RUN/step-00001200/	a model directory, and in it
 *		optimizer.safetensors	moments of the trained parts
 *		state.json		step, records used, arguments, input
 *		manifest.json		size and SHA-256 of every file
 *	RUN/latest -> step-00001200
 *
 * A checkpoint is built beside its place and renamed, so it is there as a
 * whole or not at all; loading verifies the manifest, and falls back to the
 * checkpoint before if the newest is damaged.
 */
#ifndef GV_CHECKPOINT_H
#define GV_CHECKPOINT_H

#include "model.h"
#include "optim.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Where a run is.  All randomness of a run is counter-based or upstream, so
 * these numbers are its whole state besides the tensors. */
struct gv_run_state {
	int64_t step; /* steps done */
	int64_t updates; /* of the weights; one a step, or several */
	uint64_t records; /* records of the input used */
	uint64_t tokens; /* trained tokens seen */
	uint64_t groups, next; /* of samples: used, and the prompt after
	                        * them */
	json_t *args; /* object: what must be the same to go on */
	char input[65]; /* digest of the input's HEAD */
};

/* Writes RUN/step-N and RUN/latest, then removes all but the newest `keep`
 * checkpoints.  model_dir is where tokenizer files are copied from. */
int gv_checkpoint_save(const char *run, struct gv_model *m, struct gv_optim *o,
    const struct gv_run_state *s, const char *model_dir, int keep,
    struct gv_error *e) GV_USE_RESULT;

/* Loads the newest checkpoint that verifies.  1: loaded; 0: there is none
 * (nothing changed); negative: checkpoints are there, and none can be used.
 * args and input of *s must be set: a checkpoint of another command line or
 * input is GV_ERR_MATCH and names what differs.  If a damaged one was passed
 * over, `warning` (cap bytes) says which and why, else it is "". */
int gv_checkpoint_load(const char *run, struct gv_model *m, struct gv_optim *o,
    struct gv_run_state *s, char *warning, size_t cap,
    struct gv_error *e) GV_USE_RESULT;

#ifdef __cplusplus
}
#endif
#endif
