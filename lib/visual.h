/* The images of a prompt on their way to embeds: shared by the prompts that
 * are about the same images, and encoded once for all of them.
 */
#ifndef GV_VISUAL_H
#define GV_VISUAL_H

#include "err.h"
#include "model.h"
#include "tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

/* N images of one record: pixels, features or embeds, and once they are
 * encoded their embeds.  Counted references. */
struct gv_visual {
	enum gv_input input;
	enum gv_dtype dtype; /* of what isn't pixels: the backend stores it */
	int64_t n; /* images, at least 1 */
	size_t bytes;
	void *data; /* as in struct gv_batch: U8 pixels, or rows */
	void *embeds; /* (n*R,C), NULL until encoded */
	int refs;
};

/* The type of rows that a model's batches take as they are. */
enum gv_dtype gv_visual_dtype(const struct gv_model *m);

/* Takes a field's tensor: image U8 (N,H,W,3), features (N,P,Dv) or embeds
 * (N,R,C), the latter in BF16, F16 or F32.  What doesn't fit the model is
 * GV_ERR_MATCH with both sizes.  *v is `last` with one reference more if that
 * holds the same content (`last` may be NULL), else a new one with a copy, or
 * NULL if N = 0.  The caller drops it with gv_visual_drop(). */
int gv_visual_take(struct gv_visual **v, const struct gv_model *m,
    enum gv_input input, const struct gv_tensor *t, struct gv_visual *last,
    struct gv_error *e) GV_USE_RESULT;
void gv_visual_drop(struct gv_visual **v); /* NULL is allowed */

/* Makes the embeds of the `n` visuals that don't have them yet, at most
 * `batch` images in a forward pass.  The model must have been reserved for
 * that many.  All visuals have one kind of input. */
int gv_visual_encode(struct gv_model *m, struct gv_visual *const *v, size_t n,
    int64_t batch, struct gv_error *e) GV_USE_RESULT;

/* The field of a stream that holds an input: "image", "features", "embeds". */
const char *gv_visual_field(enum gv_input input);

/* True for the name of such a field. */
bool gv_visual_is(const char *field);

/* Parts of a model that an input needs, as for gv_model_open(); the decoder
 * included. */
unsigned gv_visual_parts(enum gv_input input);

#ifdef __cplusplus
}
#endif
#endif
