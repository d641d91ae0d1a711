/* Inside the layout of activation memory: an arena that counts or assigns. */
#ifndef GV_LAYOUT_PRIV_H
#define GV_LAYOUT_PRIV_H

#include "mem.h"
#include "model_priv.h"

/* Memory from `base` (NULL: it is only counted), of which `at` bytes are
 * taken. */
struct gv_arena {
	char *base;
	size_t at;
};

/* The next n elements of `size` bytes; NULL if they are only counted. */
static inline void *
gv_take(struct gv_arena *r, int64_t n, size_t size)
{
	size_t at = r->at;

	r->at += gv_align((size_t)n * size);
	return r->base ? r->base + at : NULL;
}

/* Short names for the arrays of one element type. */
#define ACT(n) gv_take(r, n, m->priv->esize)
#define F32(n) gv_take(r, n, sizeof(float))
#define I32(n) gv_take(r, n, sizeof(int32_t))

static inline size_t
larger(size_t a, size_t b)
{
	return a > b ? a : b;
}

static inline int64_t
max64(int64_t a, int64_t b)
{
	return a > b ? a : b;
}

/* The part is in the model, and its memory was asked for. */
static inline bool
has(const struct gv_model *m, enum gv_part p)
{
	return m->part[p].n && m->priv->alloc & 1u << p;
}

/* layout_vision.c: what the tower keeps for its backward pass, what it needs
 * for a forward pass alone, and on the way back. */
void gv_layout_vision(const struct gv_model *m, const struct gv_limits *l,
    struct acts *a, struct gv_arena *r);
void gv_layout_vision_pass(const struct gv_model *m, const struct gv_limits *l,
    struct acts *a, struct gv_arena *r);
void gv_layout_vision_back(const struct gv_model *m, const struct gv_limits *l,
    struct acts *a, struct gv_arena *r);

/* layout_vision.c: resampler and projector.  What the forward pass keeps for
 * the backward pass (`back`), or, where there is none, needs for itself. */
void gv_layout_connector(const struct gv_model *m, const struct gv_limits *l,
    struct acts *a, bool back, struct gv_arena *r);
void gv_layout_connector_back(const struct gv_model *m,
    const struct gv_limits *l, struct acts *a, struct gv_arena *r);

/* layout_text.c: what the decoder keeps, with the caches; what its layers need
 * both ways; and the head. */
void gv_layout_text(const struct gv_model *m, const struct gv_limits *l,
    struct acts *a, struct gv_arena *r);
void gv_layout_layers(const struct gv_model *m, const struct gv_limits *l,
    struct acts *a, struct gv_arena *r);
void gv_layout_head(const struct gv_model *m, const struct gv_limits *l,
    struct acts *a, struct gv_arena *r);

#endif
