/* A batch through the decoder with its cache, and one id drawn from each of
 * its outputs, without the logits leaving the device.
 *
 *	gv_draw_open(&d, m, &limits, ban, &law, e);
 *	gv_draw_put(d, &batch, false, e);
 *	for (;;) {
 *		gv_draw_put(d, &next, true, e);
 *		gv_draw_take(d, &id, &logp, e);		... of `batch`
 *		...
 *
 * As many as two passes may be under way.  A chained pass starts from ids that
 * the pass before it draws: the device has them, and needn't wait until the
 * host does.
 *
 * On a backend with graphs a pass that only decodes (one new token a sequence,
 * each with a draw) is recorded once for its number of rows and is one call to
 * the device from then on.  So that these are few, it is filled up with rows
 * nobody looks at, to 2^i or 3 * 2^i of them.
 */
#ifndef GV_DRAW_H
#define GV_DRAW_H

#include "err.h"
#include "model.h"

#ifdef __cplusplus
extern "C" {
#endif

#define GV_DRAW_DEPTH 2 /* passes that may have been put and not taken */

struct gv_draw;

/* Reserves the model's memory for batches within `l` (logits needn't be asked
 * for), and what drawing takes besides.  ban (V) as gvk_sample has it, copied.
 * The model must outlive this, and run nothing else while passes are under
 * way. */
int gv_draw_open(struct gv_draw **d, struct gv_model *m,
    const struct gv_limits *l, const uint8_t *ban,
    const struct gvk_sampler *law, struct gv_error *e) GV_USE_RESULT;
void gv_draw_close(struct gv_draw **d);

/* With a law that penalises repetition: what draw `row` of the next pass has
 * before it, rows ascending, any number of calls a row, before a pass that
 * isn't chained is put; nothing may be under way.  A chained pass goes on with
 * the histories of the pass before it, draw by draw.  Without a penalty this
 * does nothing. */
void gv_draw_seen(
    struct gv_draw *d, int64_t row, const int32_t *token, size_t n);

/* Queues a pass.  b has a cache, prefixes (which may be empty), seeds, counters
 * and `out` ascending; everything is copied.  If `chained`, b->id[i] is not
 * looked at for i < M' of the pass before, whose draw i takes its place. */
int gv_draw_put(struct gv_draw *d, const struct gv_batch *b, bool chained,
    struct gv_error *e) GV_USE_RESULT;

/* Waits for the oldest pass: its draws and their log-probabilities (M), valid
 * until the next call with `d`. */
int gv_draw_take(struct gv_draw *d, const int32_t **id, const float **logp,
    struct gv_error *e) GV_USE_RESULT;

#ifdef __cplusplus
}
#endif
#endif
