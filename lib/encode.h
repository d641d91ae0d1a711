/* Images through a model's vision tower, one batch after another: while one
 * is computed the next is read and uploaded, and the one before it is brought
 * back.
 *
 *	gv_encoder_open(&x, m, GV_IN_FEATURES, GV_BF16, 64, e);
 *	for (;;) {
 *		gv_encoder_put(x, image, n, e);
 *		if (this is not the first)
 *			gv_encoder_take(x, &rows, e);	... of the last but one
 *	}
 *	gv_encoder_take(x, &rows, e);			... of the last
 *
 * On a backend with graphs a batch that has the size of the one before it is
 * one call to the device.
 */
#ifndef GV_ENCODE_H
#define GV_ENCODE_H

#include "err.h"
#include "model.h"
#include "tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

#define GV_ENCODER_DEPTH 2 /* batches that may have been put and not taken */

struct gv_encoder;

/* `to` is GV_IN_FEATURES or GV_IN_EMBEDS, `as` GV_F32 or GV_BF16; `batch`
 * images go through the model in one pass.  The model's memory is reserved for
 * that; it must outlive the encoder, which alone may run it meanwhile.  A model
 * without the parts is GV_ERR_MATCH. */
int gv_encoder_open(struct gv_encoder **x, struct gv_model *m, enum gv_input to,
    enum gv_dtype as, int64_t batch, struct gv_error *e) GV_USE_RESULT;
void gv_encoder_close(struct gv_encoder **x);

/* Queues `n` images (n,H,W,3) U8, any number of them, in memory of
 * gvk_host_alloc() if it is to be fast.  When the call returns they have been
 * read. */
int gv_encoder_put(struct gv_encoder *x, const uint8_t *image, int64_t n,
    struct gv_error *e) GV_USE_RESULT;

/* Waits for the oldest batch: (n,P,Dv) or (n,R,C), valid until the next call
 * with this encoder. */
int gv_encoder_take(
    struct gv_encoder *x, const void **rows, struct gv_error *e) GV_USE_RESULT;

#ifdef __cplusplus
}
#endif
#endif
