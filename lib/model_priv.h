/* Inside the model: where tensors and activations are.
 *
 * Offsets (size_t) are elements from the start of a part's buffers; pointers
 * are device memory of the activation block.  Shapes in comments.
 */
#ifndef GV_MODEL_PRIV_H
#define GV_MODEL_PRIV_H

#include "model.h"

/* Offsets of a decoder layer.  wqkv ((H+2G)D,C), wgu (2F,C), or (F,C) without
 * a gate; qn, kn (D).  What its facts leave out is 0. */
struct lm_layer {
	size_t n1, wqkv, bqkv, qn, kn, wo, bo, n2, wgu, wd;
};

/* Offsets of a block with norms, attention and an MLP: a vision layer, or a
 * Perceiver block (which has wq and wkv apart, and a context norm).  Idefics2's
 * has no biases, and gate and up (2F,C) as w1. */
struct vit_layer {
	size_t nc_w, nc_b; /* Perceiver: norm of the context */
	size_t n1_w, n1_b, wqkv, bqkv, wq, wkv, wo, bo;
	size_t n2_w, n2_b, w1, b1, w2, b2;
};

struct offsets {
	/* language */
	size_t embed, norm, head;
	struct lm_layer *lm;
	/* vision */
	size_t patch_w, patch_b, class_row, pos, pre_w, pre_b, post_w, post_b;
	struct vit_layer *vit;
	/* resampler; front: gate and up (2 rs_front,Dv), down */
	size_t front_gu, front_down, latents, rs_norm_w, rs_norm_b;
	struct vit_layer *rs;
	/* projector */
	size_t p1_w, p1_b, p2_w, p2_b;
};

/* Activations of a decoder layer over N rows.  Where no backward pass follows
 * all layers share one set. */
struct lm_acts {
	void *res; /* (N,C) input of the layer */
	void *mid; /* (N,C) after attention */
	void *qkv; /* (N,(H+2G)D), after rope */
	/* (N,(H+G)D): with norms of queries and keys these after norm and rope,
	 * of which qkv keeps the input; only with the backward pass */
	void *qk;
	void *att; /* (N,HD) */
	void *gu; /* (N,2F); (N,F) without a gate */
	float *rstd1, *rstd2; /* (N); with the backward pass, else NULL */
	float *lse; /* (N,H); likewise */
};

/* Kept activations of a vision layer or Perceiver block over `rows` rows.
 * Perceiver: q (BR,HD), kv (BP+BR,2GD), att (BR,HD), n1 (BP+BR,C); Idefics2's
 * `pre` is gate and up (BR,2F). */
struct vit_acts {
	void *res, *n1, *qkv, *att, *mid, *n2, *pre, *act;
	void *q, *kv;
	float *mean1, *rstd1, *mean2, *rstd2, *lse;
	float *mean_c, *rstd_c; /* Perceiver: of the context norm, (BP) */
};

/* What a batch brings: on the device, or on its way there.  All but `image`
 * lies in one region of `bytes` bytes that starts at `id`. */
struct inputs {
	int32_t *id, *pos, *kv_row; /* (N) */
	int32_t *q_at, *k_at, *k_len, *p_at, *p_len; /* (S+1), (S) */
	int32_t *out, *target; /* (M) */
	float *g; /* (M) */
	uint64_t *seed, *counter; /* (M), with logits */
	int32_t *r_k; /* (B) where the latents of each image are */
	size_t bytes;
	void *image; /* pixels, features or embeds, as they come */
};

#define SLOTS 2 /* batches on the device: one in work, one on its way */

/* The activation block, laid out for some limits. */
struct acts {
	/* written once, at the start of the block */
	int32_t *t_at, *t_len; /* (B+1), (B): rows of each image in the tower */
	int32_t *f_at, *f_len; /* (B+1), (B): features of each */
	int32_t *r_q, *r_len; /* (B+1), (B): latents of each */
	int32_t *class_id; /* (BT): 0 where a class token is, else ~patch */
	int32_t *patch_at; /* (BP): where the features are in the tower */
	int32_t *shuffle_at; /* (BP): whose turn a patch is in its row */
	int32_t *latent_id; /* (BR) */
	size_t fixed_bytes; /* of these */
	/* batches */
	struct inputs slot[SLOTS], in; /* `in` is the one in work */
	float *logp, *entropy;
	/* vision */
	void *patches; /* (BT,3pp) */
	void *v_pre; /* (BT,Dv): before the norm in front of the layers */
	float *pre_mean, *pre_rstd;
	struct vit_acts *vit; /* [layers] */
	void *v_fin; /* (BT,Dv) behind the last layer */
	void *v_sel; /* (BP,Dv) of it, before the last norm */
	void *features, *own_features; /* (BP,Dv): in.image, or the tower's */
	float *v_mean, *v_rstd;
	/* resampler and projector */
	void *front_gu, *front; /* (BP,2 rs_front), (BP,rs_front) */
	void *context; /* (BP,rs_C): from that in front */
	struct vit_acts *rs;
	void *rs_fin, *rows; /* (BR,rs_C); without a projector own_embeds */
	float *rs_mean, *rs_rstd;
	void *p_pre, *p_act; /* (BR,pj_C) */
	void *embeds, *own_embeds; /* (BR,C): in.image, or the projector's */
	/* decoder */
	float *e_rstd; /* (N) of the embedding's norm */
	struct lm_acts *lm;
	void *x; /* (M,C) after the last layer */
	void *sel_att, *sel_res; /* (M,HD), (M,C) of it, if M is not all */
	void *n; /* (N,C) what a norm gives; nobody keeps it */
	void *sw; /* (N,F) what the gate gives; likewise */
	void *sel_n; /* (M,C) what the head reads */
	float *sel_rstd;
	float *logits; /* (M,V) */
	/* scratch of the backward pass */
	void *dh; /* (N,C) */
	void *dn, *dqkv, *dqk, *datt, *dsw, *dsel, *dembeds;
	void *drows, *dlat, *dkv, *dq, *dctx, *datt_rs, *dpj, *dfeat;
	void *dcontext, *dfront;
	void *v_dh, *v_dn, *v_dqkv, *v_datt, *v_dpre;
	void *ws, *head_ws; /* of attention_bwd, xent */
	/* key/value cache: [L] of (kv_rows,GD) */
	void **kc, **vc;
};

struct gv_model_priv {
	struct gv_st *st; /* what parameters are mapped from, or NULL */
	struct offsets at;
	size_t esize; /* bytes of a storage element */
	size_t wsize; /* bytes of a parameter */
	unsigned alloc; /* parts whose buffers exist */
	float *freq; /* device (D/2) */
	void *ones; /* (C) weights: of norms without weights, else NULL */
	struct gv_limits lim;
	bool reserved;
	struct acts a;
	void *block; /* activations */
	size_t block_bytes;
	/* batches on their way, run.c */
	struct gvk_stream *up; /* copies run here; NULL on a host */
	struct gvk_stream *side; /* tower.c's second, or NULL */
	struct inputs staged[SLOTS]; /* pinned host memory */
	void *pinned;
	int turn; /* slot of the next batch */
	int slot; /* of the batch in work */
	bool fed; /* it is on its way */
	bool keep; /* a backward pass follows the forward pass */
	struct vit_acts *vit_store, *rs_store;
	struct lm_acts *lm_store;
	void **cache_store;
};

/* A tower and a decoder, with what joins them, which may have no parameters. */
static inline bool
is_joined(const struct gv_model *m)
{
	return m->cfg.has_text && m->cfg.has_vision &&
	       m->priv->alloc & 1u << GV_PROJECTOR;
}

/* Activations by gvk's names. */
static inline enum gvk_act
gv_act_of(enum gv_act a)
{
	switch (a) {
	case GV_ACT_GELU_ERF:
		return GVK_GELU_ERF;
	case GV_ACT_GELU_QUICK:
		return GVK_GELU_QUICK;
	case GV_ACT_SILU:
		return GVK_SILU;
	case GV_ACT_GELU_TANH:
		break;
	}
	return GVK_GELU_TANH;
}

/* Which parts a backward pass goes through (not only: trains). */
static inline bool
back_vision(const struct gv_model *m)
{
	return m->part[GV_VISION].trains;
}

static inline bool
back_resampler(const struct gv_model *m)
{
	return m->part[GV_RESAMPLER].trains || back_vision(m);
}

static inline bool
back_projector(const struct gv_model *m)
{
	return m->part[GV_PROJECTOR].trains || back_resampler(m);
}

static inline bool
back_language(const struct gv_model *m)
{
	return m->part[GV_LANGUAGE].trains || back_projector(m);
}

/* Parameter and gradient at an offset; the gradient of a frozen part is NULL,
 * which gvk takes as "not wanted". */
static inline void *
param(const struct gv_model *m, enum gv_part p, size_t at)
{
	/* in unsigned arithmetic: of a mapped model, see model_load.h, the way
	 * to a parameter may lead backwards */
	return (void *)((uintptr_t)m->part[p].w + at * m->priv->wsize);
}

static inline float *
grad(const struct gv_model *m, enum gv_part p, size_t at)
{
	return m->part[p].trains ? m->part[p].grad + at : NULL;
}

/* Rows of a device buffer. */
static inline void *
row(const struct gv_model *m, void *p, int64_t elements)
{
	return (char *)p + (size_t)elements * m->priv->esize;
}

/* model.c: takes the buffers of some parts, of m->wtype, for a model that has
 * none yet. */
int gv_model_alloc(
    struct gv_model *m, unsigned parts, struct gv_error *e) GV_USE_RESULT;

/* model_file.c: parameters of some parts from the mapping of `st`, which the
 * model then owns; for a forward pass on a host. */
int gv_model_map(struct gv_model *m, struct gv_st *st, unsigned parts,
    struct gv_error *e) GV_USE_RESULT;

/* model.c: writes n F32 values of the host to parameters, rounded to their
 * type.  Waits, so `v` need not stay. */
int gv_put_f32(struct gv_model *m, void *dst, const float *v, size_t n,
    struct gv_error *e) GV_USE_RESULT;

/* The other way: n elements of type t (F32 or BF16) of device memory. */
int gv_get_f32(struct gv_model *m, float *v, const void *src, enum gvk_dtype t,
    size_t n, struct gv_error *e) GV_USE_RESULT;

/* model.c: waits for a stream; its failure is GV_ERR_DEVICE. */
int gv_sync(struct gvk_stream *s, struct gv_error *e) GV_USE_RESULT;

/* run.c: the parts that take the images of a batch to `to` must be here. */
int gv_check_parts(const struct gv_model *m, const struct gv_batch *b,
    enum gv_input to, struct gv_error *e) GV_USE_RESULT;

/* run.c: a batch to the device in three steps, of which the last two can be
 * recorded in a graph.
 *
 * gv_stage() checks a batch against what was reserved and writes it to the
 * pinned memory of a slot (0..SLOTS-1): no stream work.  What was put from
 * there before must have arrived.
 * gv_stage_put() queues the copies of a slot to the device on m->s: one of the
 * region of ids and the like, always all of it, and one of the images, if
 * there are any.
 * gv_stage_use() makes the slot's arrays those that the passes read: it sets
 * pointers, and must be called before a pass is queued. */
int gv_stage(struct gv_model *m, const struct gv_batch *b, int slot,
    struct gv_error *e) GV_USE_RESULT;
void gv_stage_put(struct gv_model *m, const struct gv_batch *b, int slot);
void gv_stage_use(struct gv_model *m, const struct gv_batch *b, int slot);

/* model_reserve.c: waits until what was staged has arrived on the device. */
int gv_up_sync(struct gv_model *m, struct gv_error *e) GV_USE_RESULT;

/* model_reserve.c: at[i] = start + i * step for i = 0..n-1. */
void gv_count_up(int32_t *at, int64_t start, int64_t step, int64_t n);

/* run.c: as gv_model_vision(), but rows of the storage type. */
int gv_vision_rows(struct gv_model *m, const struct gv_batch *b,
    enum gv_input to, void *out, struct gv_error *e) GV_USE_RESULT;

/* layout.c: arrays of a batch for limits `l`, from `base` (NULL to count
 * only); returns the bytes used. */
size_t gv_layout_inputs(const struct gv_model *m, const struct gv_limits *l,
    struct inputs *x, void *base);

/* layout.c: assigns all of `a` for limits `l` within `base` (NULL to count
 * only); returns the bytes used. */
size_t gv_layout(const struct gv_model *m, const struct gv_limits *l,
    struct acts *a, void *base);

/* tower.c: how many images the tower takes at once within limits `l`: all of
 * them if a backward pass goes through it, else as many as keep the device
 * busy. */
int64_t gv_vision_step(const struct gv_model *m, const struct gv_limits *l);

/* tower.c: what passes within p->lim need besides memory. */
int gv_vision_reserve(struct gv_model *m, struct gv_error *e) GV_USE_RESULT;

/* vision.c: image or features -> features, rows, embeds; and back from
 * a->dembeds. */
void gv_vision_forward(
    struct gv_model *m, const struct gv_batch *b, enum gv_input to);
void gv_vision_backward(struct gv_model *m, const struct gv_batch *b);

/* tower.c: images -> a->features; and back from a->dfeat. */
void gv_tower_forward(struct gv_model *m, const struct gv_batch *b);
void gv_tower_backward(struct gv_model *m, const struct gv_batch *b);

/* resampler.c: the features of B images -> a->rows; and back from a->drows. */
void gv_resample(struct gv_model *m, int64_t B);
void gv_resample_back(struct gv_model *m, int64_t B);

/* Where arrays begin that lie over others, which end at `at`: nobody needs the
 * ones when the others are in use. */
static inline size_t
gv_overlay(size_t start, size_t at)
{
	(void)at;
	return start;
}

/* decoder.c: ids and embeds -> the final hidden rows of b->out in a->sel_n;
 * decoder_back.c: and back from a->dsel, down to a->dembeds. */
void gv_decoder_forward(struct gv_model *m, const struct gv_batch *b);
void gv_decoder_backward(struct gv_model *m, const struct gv_batch *b);

#endif
