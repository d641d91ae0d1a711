/* Tensors from other files into a new model's: converted on the way, in one
 * file or in shards with an index, a piece at a time.
 *
 *	struct gv_items list = {0};
 *
 *	gv_items_model(&list, m, origin, GV_BF16, e)	or gv_items_add()
 *	gv_shards_write(dir, &list, 5000000000, e)
 *	gv_items_free(&list)
 */
#ifndef GV_SHARDS_H
#define GV_SHARDS_H

#include "err.h"
#include "model.h"
#include "names.h"
#include "origin.h"

#ifdef __cplusplus
extern "C" {
#endif

/* A tensor to be written.  Rows are those of its outermost dimension. */
struct gv_item {
	char name[GV_NAME_MAX];
	enum gv_part part; /* GV_PARTS: none; for reports */
	bool fresh; /* values of gv_model_init(); for reports */
	enum gv_dtype dtype; /* to be written */
	int rank;
	int64_t shape[GV_MAX_RANK];
	struct gv_tensor t; /* the values: fewer rows, or as many */
	int64_t paired; /* as in struct gv_source */
	/* rows that have `row` instead: this one, and those that t lacks */
	int64_t fill; /* -1: no other */
	const float *row;
};

/* Zero it first.  What its items point to must live as long as it does. */
struct gv_items {
	struct gv_item *v;
	size_t n, cap;
	float *own[4]; /* numbers of its own */
};
void gv_items_free(struct gv_items *list);

/* Appends an item with these values, all of them, under this name.  A dtype of
 * GV_NONE, or numbers that aren't floating, keep their type; but blocks, which
 * safetensors has no word for, become F32, which holds them exactly. */
int gv_items_add(struct gv_items *list, const char *name,
    const struct gv_source *src, enum gv_dtype dtype,
    struct gv_error *e) GV_USE_RESULT;

/* Appends every parameter of `m`, under its names, from the origin of its part
 * or, where that is NULL, from the model's own buffers (on a host, F32).
 * Positions are interpolated where m's configuration says so.  A tensor that an
 * origin lacks or has in another shape is GV_ERR_MATCH by name; only the
 * embedding and head may have fewer rows, and these items' `row` is for the
 * caller to set. */
int gv_items_model(struct gv_items *list, const struct gv_model *m,
    const struct gv_origin *const from[GV_PARTS], enum gv_dtype dtype,
    struct gv_error *e) GV_USE_RESULT;

/* The type of all parameters; F32 if they differ. */
enum gv_dtype gv_items_dtype(const struct gv_items *list);

/* Writes DIR/model.safetensors or, if `most` is not 0 and less than all data,
 * DIR/model-0000I-of-0000N.safetensors of at most so many bytes of data each (a
 * single tensor may have more) and DIR/model.safetensors.index.json.  A number
 * that F16 can't hold is GV_ERR_LIMIT with its tensor. */
int gv_shards_write(const char *dir, const struct gv_items *list, int64_t most,
    struct gv_error *e) GV_USE_RESULT;

#ifdef __cplusplus
}
#endif
#endif
