/* Weights on their way from a trainer to its samplers on the same machine,
 * without files of them.
 *
 * A trainer publishes into RUN, a directory: RUN/weights says where the weights
 * are, which version they have, and how many groups (prompts) of samples the
 * trainer will take by then; the weights themselves are in shared memory (the
 * CPU) or in the GPU's, mapped by both.  A sampler follows RUN: it takes new
 * weights when it has no sample under way, and draws no sample of a group that
 * nobody wants yet, so samples are at most as old as the trainer allows.
 *
 *	trainer			sampler
 *	open
 *	publish 0		open: waits for the first weights, goes on with
 *	want(n)			     the prompt that is next
 *	read n groups		while (group < wanted) sample
 *	update			wait: for weights, or for more that is wanted
 *	publish 1, want(2n)	update
 *	...
 *	finish			wait gives 0: the stream ends
 *
 * Two copies of the weights take turns, and each carries the version that it is
 * of, before and after: a sampler that was too slow to copy one whole sees that
 * and takes the next.
 *
 * A trainer that dies, however, gives up its lock (flock(2) of RUN/weights):
 * its samplers see that within a second and fail with GV_ERR_DEVICE.  Shared
 * memory goes with the processes that hold it.  A new trainer may take the same
 * RUN.  Samplers come and go as they like.
 */
#ifndef GV_PUBLISH_H
#define GV_PUBLISH_H

#include "err.h"
#include "io.h"
#include "model.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- the trainer --------------------------------------------------------- */

struct gv_publish;

/* Makes RUN (its parent must be there) and takes its lock: GV_ERR_MATCH if
 * another trainer has it.  Takes memory for two copies of the parts of `m`
 * that train, on its backend.  The frozen parts are those of model_dir, which
 * samplers must have, too. */
int gv_publish_open(struct gv_publish **p, struct gv_model *m, const char *run,
    const char *model_dir, struct gv_error *e) GV_USE_RESULT;

/* The model's weights, as they are in order of its stream, are version
 * `version` from now on; `groups` groups have been used up to make them, and
 * prompt `next` is the first that has not.  Waits until they are there. */
int gv_publish(struct gv_publish *p, int64_t version, uint64_t groups,
    uint64_t next, struct gv_error *e) GV_USE_RESULT;

/* That many groups in all are wanted. */
void gv_publish_want(struct gv_publish *p, uint64_t groups);

/* No more weights come, and no more groups are wanted. */
void gv_publish_finish(struct gv_publish *p);

/* Gives back memory and lock; NULL is allowed.  Without gv_publish_finish()
 * before it, samplers take it for a death. */
void gv_publish_close(struct gv_publish **p);

/* Seconds that the last gv_publish() took. */
double gv_publish_seconds(const struct gv_publish *p);

/* ---- a sampler ----------------------------------------------------------- */

struct gv_follow;

/* What is known of the trainer. */
struct gv_follow_state {
	int64_t version; /* of the newest weights */
	uint64_t used; /* groups used up when they were made */
	uint64_t next; /* the first prompt that was not */
	uint64_t wanted; /* groups in all */
	bool finished;
};

struct gv_follow_opts {
	const char *run, *model; /* directories; those of the trainer */
	double patience; /* seconds that the first weights may take */
	/* Looked at while it waits: if nobody reads it any more no weights
	 * will come, and that is GV_ERR_PIPE.  NULL: nothing is. */
	const struct gv_out *out;
	/* Called once if they take longer than `soon` seconds; or NULL. */
	void (*late)(void *arg);
	void *arg;
	double soon;
};

/* Waits for a trainer's first weights, and checks that they fit `m`, opened
 * from o->model with gv_model_open(): the same tensors, the same frozen parts,
 * the same device (GV_ERR_MATCH).  Nothing is copied yet.  Only `out` must
 * outlive the call. */
int gv_follow_open(struct gv_follow **f, struct gv_model *m,
    const struct gv_follow_opts *o, struct gv_error *e) GV_USE_RESULT;
void gv_follow_close(struct gv_follow **f);

/* The trainer trains this part. */
bool gv_follow_trains(const struct gv_follow *f, enum gv_part part);

void gv_follow_state(const struct gv_follow *f, struct gv_follow_state *s);

/* Takes the newest weights into the model if they are newer than its own:
 * 1 it did, and *version is theirs; 0 there are none.  The model must not be
 * running anything. */
int gv_follow_update(
    struct gv_follow *f, int64_t *version, struct gv_error *e) GV_USE_RESULT;

/* Waits until there are newer weights than the model's or more than `have`
 * groups are wanted: 1; 0: the trainer has finished; GV_ERR_DEVICE: it is
 * gone. */
int gv_follow_wait(
    struct gv_follow *f, uint64_t have, struct gv_error *e) GV_USE_RESULT;

/* Seconds that the last gv_follow_update() took to copy. */
double gv_follow_seconds(const struct gv_follow *f);

#ifdef __cplusplus
}
#endif
#endif
