/* Inside the decoder: what the two ways share. */
#ifndef GV_DECODER_PRIV_H
#define GV_DECODER_PRIV_H

#include "model_priv.h"

/* Parameters at an offset, and their gradient. */
#define LP(off) param(m, GV_LANGUAGE, off)
#define LG(off) grad(m, GV_LANGUAGE, off)

/* Columns of a row of qkv, and of its queries and keys. */
static inline int64_t
qkv_width(const struct gv_text_config *c)
{
	return (c->H + 2 * c->G) * c->D;
}

static inline int64_t
qk_width(const struct gv_text_config *c)
{
	return (c->H + c->G) * c->D;
}

/* Columns of the MLP's first product. */
static inline int64_t
up_width(const struct gv_text_config *c)
{
	return (c->gated ? 2 : 1) * c->F;
}

/* The weights of a norm, and their gradient. */
static inline const void *
norm_of(const struct gv_model *m, size_t off)
{
	return m->cfg.text.bare_norm ? m->priv->ones : LP(off);
}

static inline float *
norm_grad(const struct gv_model *m, size_t off)
{
	return m->cfg.text.bare_norm ? NULL : LG(off);
}

/* Queries and keys have rows of their own: for the backward pass of their
 * norms qkv stays as the product gave it. */
static inline bool
apart(const struct gv_model *m)
{
	return m->cfg.text.qk_norm && m->priv->keep;
}

/* decoder.c: attention over a batch, with the row strides of what the last
 * forward pass keeps. */
struct gvk_attn gv_decoder_attention(
    const struct gv_model *m, const struct gv_batch *b);

/* decoder.c: layer l but for its last product, from its `res`; `keep`: with
 * what the backward pass of its MLP needs. */
void gv_decoder_layer(
    struct gv_model *m, const struct gv_batch *b, int64_t l, bool keep);

#endif
