/* Reads ahead: a thread takes records from a stream, closes them into steps and
 * packs the micro-batches of the next steps while the caller works on this one.
 *
 *	gv_loader_want(l)			the thread begins with a step
 *	while ((r = gv_loader_take(l, &m, e)) > 0) {
 *		... run m.b ...
 *		gv_loader_give(l);
 *		if (m.last) break;
 *	}
 *
 * What comes out is what reading without a thread gives: the same batches in
 * the same order, the end of the stream after its last step, and an error at
 * the step in which it lies.  The thread reads no record of a step that nobody
 * wants yet, and is at most MICROS micro-batches ahead.
 */
#ifndef GV_LOADER_H
#define GV_LOADER_H

#include "batch.h"

#ifdef __cplusplus
extern "C" {
#endif

/* How records become steps and micro-batches. */
struct gv_loader_law {
	int64_t batch; /* records a step; 0: no limit */
	int64_t batch_tokens; /* trained tokens a step; 0: no limit */
	int64_t micro_tokens, micro_images; /* of a micro-batch at most */
};

/* A micro-batch, and the step that it is of. */
struct gv_micro {
	struct gv_batch b; /* M = 0: nothing of the step is trained on */
	const int32_t *bytes; /* (M) of the targets, or NULL if unknown */
	bool last; /* the step's last */
	size_t records; /* of the step */
	int64_t tokens; /* trained, of the step; g = -1 / tokens */
	uint64_t cut; /* gv_examples_cut() of the step's records */
};

struct gv_loader;

/* Takes over nothing: `in` and `x`, which reads it, stay the caller's, who
 * keeps off them while a step is wanted that has not ended. */
int gv_loader_open(struct gv_loader **l, struct gv_reader *in,
    struct gv_examples *x, const struct gv_config *c,
    const struct gv_loader_law *law, struct gv_error *e) GV_USE_RESULT;

/* Ends the thread: after the record that it is waiting for, if it is. */
void gv_loader_close(struct gv_loader **l);

/* Wants `steps` steps in all since the open. */
int gv_loader_want(
    struct gv_loader *l, uint64_t steps, struct gv_error *e) GV_USE_RESULT;

/* 1: *m is the next micro-batch, valid until it is given back; 0: the input
 * has ended before the step; negative: the step's records are damaged, or too
 * large.  The last two stay.  Waits.  Two may be held at a time. */
int gv_loader_take(
    struct gv_loader *l, struct gv_micro *m, struct gv_error *e) GV_USE_RESULT;

/* There is a micro-batch: taking it doesn't wait. */
bool gv_loader_ready(struct gv_loader *l);

/* Gives back the micro-batch that was taken first. */
void gv_loader_give(struct gv_loader *l);

/* Looks past the steps taken: 0: there the input ends, complete; 1: it has
 * more records; negative: it is damaged there.  Waits. */
int gv_loader_drain(struct gv_loader *l, struct gv_error *e) GV_USE_RESULT;

#ifdef __cplusplus
}
#endif
#endif
