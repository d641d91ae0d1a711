/* From records to batches: examples are read, dealt into micro-batches, and
 * packed without padding.
 *
 * An example is one record of a tokens stream (gv-fields(5)): one or several
 * sequences, with their images.  In a batch
 *	- sequences stand end to end, each sees itself only;
 *	- equal images are one image: it is encoded once for all sequences of
 *	  the batch that show it, forward and backward;
 *	- neighbouring sequences of an example that begin alike (an image and
 *	  what precedes it, or a prompt) share those rows, as gvk_attn's
 *	  prefix: the result is that of separate sequences.
 */
#ifndef GV_BATCH_H
#define GV_BATCH_H

#include "model.h"
#include "stream.h"

#ifdef __cplusplus
extern "C" {
#endif

/* One record, copied out of its stream.  Zero it first. */
struct gv_example {
	char key[GV_MAX_KEY + 1];
	int32_t T; /* tokens of all sequences */
	int32_t *token, *target, *bytes; /* (T); bytes NULL if unknown */
	int32_t D, *start; /* (D+1) sequences; start[D] = T */
	int32_t runs, *image_at; /* placeholder runs of all sequences */
	int32_t N; /* images */
	enum gv_input input;
	enum gv_dtype dtype; /* of image: GV_U8 for pixels, else as opened */
	void *image; /* N x image_bytes */
	size_t image_bytes;
	int32_t trained; /* targets that are not -1 */
	size_t cap[5]; /* of the arrays above */
};
void gv_example_free(struct gv_example *x);

/* Reads examples from one stream for one model. */
struct gv_examples;

/* Checks the stream's fields against the model: GV_ERR_MATCH names what is
 * missing or has another size.  Where `targets` is missing `loss_mask` says
 * which tokens are trained on.  The reader stays the caller's.  Sequences
 * longer than max_length tokens are cut: text into pieces that are all kept,
 * sequences with images at the end (their count is gv_examples_cut()); an
 * image that would be cut is an error.  Features and embeds are given as
 * `rows`: GV_F32 or GV_BF16. */
int gv_examples_open(struct gv_examples **x, struct gv_reader *r,
    const struct gv_config *c, int32_t max_length, enum gv_dtype rows,
    struct gv_error *e) GV_USE_RESULT;
/* 1: *ex holds the next record; 0: end of the stream; negative: an error that
 * names the record. */
int gv_examples_next(struct gv_examples *x, struct gv_example *ex,
    struct gv_error *e) GV_USE_RESULT;
/* The same of a record that the caller has read from that stream: 0, or an
 * error. */
int gv_examples_take(struct gv_examples *x, struct gv_example *ex,
    const struct gv_rec *rec, struct gv_error *e) GV_USE_RESULT;
uint64_t gv_examples_cut(const struct gv_examples *x);
void gv_examples_close(struct gv_examples **x);

/* ---- packing ------------------------------------------------------------- */

/* Builds batches in memory that it keeps and reuses. */
struct gv_packer;

/* limits: tokens (rows) and images that a batch may have at most. */
int gv_packer_open(struct gv_packer **p, const struct gv_config *c,
    int64_t max_tokens, int64_t max_images, struct gv_error *e) GV_USE_RESULT;
void gv_packer_close(struct gv_packer **p);

/* Empties the batch. */
void gv_packer_reset(struct gv_packer *p);

/* Adds an example; what is needed of it is copied.  1: it is in; 0: it
 * does not fit into what is left (and nothing changed); GV_ERR_LIMIT: it does
 * not fit an empty batch, the message names the option that helps. */
int gv_packer_add(struct gv_packer *p, const struct gv_example *x,
    struct gv_error *e) GV_USE_RESULT;

/* The batch so far; valid until the next add or reset.  b.g is filled with
 * `weight` for every trained position.  bytes (M) are those of the targets,
 * or NULL if an example lacks them. */
void gv_packer_batch(struct gv_packer *p, float weight, struct gv_batch *b,
    const int32_t **bytes);

/* What gv_model_reserve() needs for batches of this packer. */
void gv_packer_limits(
    const struct gv_packer *p, bool backward, struct gv_limits *l);

#ifdef __cplusplus
}
#endif
#endif
