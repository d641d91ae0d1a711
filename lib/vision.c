/* From pixels to embeds: vision tower, resampler, projector; and back. */
#include "model_priv.h"

#include "banned.h"

#include <math.h>

#define VP(off) param(m, GV_VISION, off)
#define VG(off) grad(m, GV_VISION, off)
#define RP(off) param(m, GV_RESAMPLER, off)
#define RG(off) grad(m, GV_RESAMPLER, off)
#define PP(off) param(m, GV_PROJECTOR, off)
#define PG(off) grad(m, GV_PROJECTOR, off)

/* Vision activations by gvk's names. */
static enum gvk_act
gelu_of(enum gv_act a)
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

/* Every patch of an image sees every other. */
static struct gvk_attn
patch_attention(const struct gv_model *m, int64_t B)
{
	const struct gv_vision_config *v = &m->cfg.vision;
	struct acts *a = &m->priv->a;
	struct gvk_attn t = {0};

	t.S = (int32_t)B;
	t.H = t.G = (int32_t)v->H;
	t.D = (int32_t)(v->C / v->H);
	t.max_q = t.max_k = (int32_t)v->P;
	t.q_at = a->v_at;
	t.k_at = a->v_at;
	t.k_len = a->v_len;
	t.scale = 1 / sqrtf((float)t.D);
	t.ldq = t.ldk = t.ldv = 3 * v->C;
	t.ldo = v->C;
	return t;
}

/* ---- tower --------------------------------------------------------------- */

/* Where no backward pass follows, images go through the tower in steps of at
 * most STEP_ROWS patches, which keeps its memory small; on a device two steps
 * run side by side, so that one has work for the processors that the last
 * tiles of a product of the other leave idle.  More rows than these make
 * products no faster. */
#define STEP_ROWS 8192
#define LANES     2

int64_t
gv_vision_step(const struct gv_model *m, const struct gv_limits *l)
{
	int64_t n = STEP_ROWS / m->cfg.vision.P;

	if (l->backward && back_vision(m))
		return l->images;
	n = n < 1 ? 1 : n;
	n *= gvk_is_host(m->k) ? 1 : LANES;
	return n < l->images ? n : l->images;
}

/* Images of a step side by side with another: half of those that there is
 * memory for. */
static int64_t
lane_images(const struct gv_model *m)
{
	return gv_vision_step(m, &m->priv->lim) / LANES;
}

/* True if so many images are better taken in two lanes than in one step. */
static bool
in_lanes(const struct gv_model *m, int64_t images)
{
	bool back = m->priv->lim.backward && back_vision(m);

	return !gvk_is_host(m->k) && !back && images >= LANES &&
	       images * m->cfg.vision.P >= STEP_ROWS / LANES;
}

int
gv_vision_reserve(struct gv_model *m, struct gv_error *e)
{
	struct gv_model_priv *p = m->priv;

	if (!p->side && (p->alloc & 1u << GV_VISION) &&
	    in_lanes(m, p->lim.images) && gvk_stream_open(m->k, &p->side))
		return gv_fail(e, GV_ERR_NOMEM, "no memory for a stream on %s",
		    gvk_name(m->k));
	return 0;
}

/* A part of the rows of the tower's buffers, and the stream that it is on. */
struct lane {
	struct gvk_stream *s;
	int64_t at; /* first row */
};

static struct lane
lane_of(const struct gv_model *m, int i)
{
	return (struct lane){
	    i ? m->priv->side : m->s, i * lane_images(m) * m->cfg.vision.P};
}

/* The residual stream before layer l; before layer v->layer, what comes out,
 * for the images from `first` on.  Without a backward pass all layers share
 * their buffers, and the stream goes to and fro between two of them. */
static void *
tower_stream(
    const struct gv_model *m, const struct lane *n, int64_t l, int64_t first)
{
	const struct gv_vision_config *v = &m->cfg.vision;
	const struct acts *a = &m->priv->a;

	if (l < v->layer)
		return row(m, a->vit[l].res, n->at * v->C);
	if (v->post_norm)
		return row(m, a->v_fin, n->at * v->C);
	return row(m, a->features, first * v->P * v->C);
}

/* The buffers of layer l. */
static struct vit_acts
tower_buffers(const struct gv_model *m, const struct lane *n, int64_t l)
{
	const struct gv_vision_config *v = &m->cfg.vision;
	int64_t C = n->at * v->C,
		wide = 3 * C > n->at * v->F ? 3 * C : n->at * v->F;
	struct vit_acts u = m->priv->a.vit[l];

	u.res = row(m, u.res, C);
	u.mid = row(m, u.mid, C);
	u.n1 = row(m, u.n1, C);
	u.att = row(m, u.att, C);
	u.n2 = row(m, u.n2, C);
	u.qkv = row(m, u.qkv, wide);
	u.act = row(m, u.act, wide);
	return u; /* what the backward pass needs: in lanes there is none */
}

/* Runs layer l, from u->res to `out`. */
static void
tower_layer(struct gv_model *m, struct gvk_stream *s, const struct vit_layer *o,
    const struct vit_acts *u, void *out, int64_t B)
{
	const struct gv_vision_config *v = &m->cfg.vision;
	struct gvk_attn t = patch_attention(m, B);
	int64_t N = B * v->P, C = v->C;
	float eps = (float)v->eps;

	gvk_layernorm(s, u->n1, NULL, u->mean1, u->rstd1, u->res, NULL,
	    VP(o->n1_w), VP(o->n1_b), eps, N, C);
	gvk_linear(s, u->qkv, NULL, u->n1, VP(o->wqkv), VP(o->bqkv), NULL,
	    GVK_ACT_NONE, N, C, 3 * C);
	gvk_attention(s, u->att, u->lse, u->qkv, row(m, u->qkv, C),
	    row(m, u->qkv, 2 * C), &t);
	gvk_linear(s, u->mid, NULL, u->att, VP(o->wo), VP(o->bo), u->res,
	    GVK_ACT_NONE, N, C, C);
	gvk_layernorm(s, u->n2, NULL, u->mean2, u->rstd2, u->mid, NULL,
	    VP(o->n2_w), VP(o->n2_b), eps, N, C);
	gvk_linear(s, u->act, u->pre, u->n2, VP(o->w1), VP(o->b1), NULL,
	    gelu_of(v->act), N, C, v->F);
	gvk_linear(s, out, NULL, u->act, VP(o->w2), VP(o->b2), u->mid,
	    GVK_ACT_NONE, N, v->F, C);
}

/* B images from `first` on through the tower. */
static void
tower_step(struct gv_model *m, const struct lane *n, int64_t first, int64_t B)
{
	const struct gv_vision_config *v = &m->cfg.vision;
	struct gv_model_priv *p = m->priv;
	struct acts *a = &p->a;
	int64_t N = B * v->P, C = v->C, K = 3 * v->patch * v->patch, l;
	const uint8_t *image =
	    (const uint8_t *)a->in.image + first * v->image * v->image * 3;
	void *x = tower_stream(m, n, 0, first),
	     *cut = row(m, a->patches, n->at * K);
	float mul[3], add[3];
	int c;

	for (c = 0; c < 3; c++) {
		mul[c] = (float)(1 / (255 * v->std[c]));
		add[c] = (float)(-v->mean[c] / v->std[c]);
	}
	gvk_patchify(
	    n->s, cut, image, mul, add, B, v->image, v->image, v->patch);
	gvk_linear(n->s, x, NULL, cut, VP(p->at.patch_w), VP(p->at.patch_b),
	    NULL, GVK_ACT_NONE, N, K, C);
	gvk_add_pos(n->s, x, VP(p->at.pos), N, v->P, C);
	for (l = 0; l < v->layer; l++) {
		struct vit_acts u = tower_buffers(m, n, l);

		tower_layer(m, n->s, &p->at.vit[l], &u,
		    tower_stream(m, n, l + 1, first), B);
	}
	if (v->post_norm)
		gvk_layernorm(n->s, row(m, a->features, first * v->P * C), NULL,
		    a->v_mean, a->v_rstd, tower_stream(m, n, v->layer, first),
		    NULL, VP(p->at.post_w), VP(p->at.post_b), (float)v->eps, N,
		    C);
}

static void
tower_forward(struct gv_model *m, const struct gv_batch *b)
{
	struct lane lane[LANES] = {lane_of(m, 0), lane_of(m, 1)};
	int64_t most = gv_vision_step(m, &m->priv->lim), step, at;
	bool two = in_lanes(m, b->B);
	int i = 0;

	if (!b->B)
		return;
	if (two) {
		most = lane_images(m);
		gvk_wait(lane[1].s, m->s);
	}
	/* an even number of steps of nearly the same size */
	step = (b->B + most - 1) / most;
	step += two && step % LANES;
	step = (b->B + step - 1) / step;
	for (at = 0; at < b->B; at += step, i = two && !i)
		tower_step(
		    m, &lane[i], at, b->B - at < step ? b->B - at : step);
	if (two)
		gvk_wait(m->s, lane[1].s);
}

/* dh: gradient of the stream after the layer, becomes that before it. */
static void
tower_layer_back(struct gv_model *m, const struct vit_layer *o,
    const struct vit_acts *u, void *dh, int64_t B)
{
	const struct gv_vision_config *v = &m->cfg.vision;
	struct gvk_attn t = patch_attention(m, B);
	struct acts *a = &m->priv->a;
	struct gvk_stream *s = m->s;
	int64_t N = B * v->P, C = v->C;

	gvk_linear_bwd(s, a->v_dpre, VG(o->w2), VG(o->b2), dh, u->act, u->pre,
	    VP(o->w2), gelu_of(v->act), false, N, v->F, C);
	gvk_linear_bwd(s, a->v_dn, VG(o->w1), VG(o->b1), a->v_dpre, u->n2, NULL,
	    VP(o->w1), GVK_ACT_NONE, false, N, C, v->F);
	gvk_layernorm_bwd(s, dh, VG(o->n2_w), VG(o->n2_b), a->v_dn, dh, u->mid,
	    u->mean2, u->rstd2, VP(o->n2_w), N, C);
	gvk_linear_bwd(s, a->v_datt, VG(o->wo), VG(o->bo), dh, u->att, NULL,
	    VP(o->wo), GVK_ACT_NONE, false, N, C, C);
	gvk_attention_bwd(s, a->v_dqkv, row(m, a->v_dqkv, C),
	    row(m, a->v_dqkv, 2 * C), a->v_datt, u->att, u->lse, u->qkv,
	    row(m, u->qkv, C), row(m, u->qkv, 2 * C), &t, a->ws);
	gvk_linear_bwd(s, a->v_dn, VG(o->wqkv), VG(o->bqkv), a->v_dqkv, u->n1,
	    NULL, VP(o->wqkv), GVK_ACT_NONE, false, N, C, 3 * C);
	gvk_layernorm_bwd(s, dh, VG(o->n1_w), VG(o->n1_b), a->v_dn, dh, u->res,
	    u->mean1, u->rstd1, VP(o->n1_w), N, C);
}

/* From a->dfeat. */
static void
tower_backward(struct gv_model *m, const struct gv_batch *b)
{
	const struct gv_vision_config *v = &m->cfg.vision;
	struct gv_model_priv *p = m->priv;
	struct acts *a = &p->a;
	int64_t N = b->B * v->P, C = v->C, K = 3 * v->patch * v->patch, l;
	void *dh = a->v_dh;

	if (v->post_norm)
		gvk_layernorm_bwd(m->s, dh, VG(p->at.post_w), VG(p->at.post_b),
		    a->dfeat, NULL, a->v_fin, a->v_mean, a->v_rstd,
		    VP(p->at.post_w), N, C);
	else
		gvk_copy(m->s, dh, a->dfeat, (size_t)(N * C) * p->esize);
	for (l = v->layer - 1; l >= 0; l--)
		tower_layer_back(m, &p->at.vit[l], &a->vit[l], dh, b->B);
	gvk_add_pos_bwd(m->s, VG(p->at.pos), dh, N, v->P, C);
	gvk_linear_bwd(m->s, NULL, VG(p->at.patch_w), VG(p->at.patch_b), dh,
	    a->patches, NULL, VP(p->at.patch_w), GVK_ACT_NONE, false, N, K, C);
}

/* ---- Perceiver ----------------------------------------------------------- */

/* Latents attend to [patches; latents]: the rows of n1, q and kv are all
 * patches of the batch, then all latents; an image's patches are the prefix. */
static struct gvk_attn
latent_attention(const struct gv_model *m, int64_t B)
{
	struct acts *a = &m->priv->a;
	struct gvk_attn t = {0};
	int64_t C = m->cfg.vision.C;

	t.S = (int32_t)B;
	t.H = t.G = (int32_t)m->cfg.rs_H;
	t.D = (int32_t)(C / m->cfg.rs_H);
	t.max_q = (int32_t)m->cfg.R;
	t.max_k = (int32_t)(m->cfg.R + m->cfg.vision.P);
	t.q_at = a->r_q;
	t.k_at = a->in.r_k;
	t.k_len = a->r_len;
	t.p_at = a->v_at;
	t.p_len = a->v_len;
	t.scale = 1 / sqrtf((float)t.D);
	t.ldq = t.ldo = C;
	t.ldk = t.ldv = 2 * C;
	return t;
}

/* From the latents u->res to `out`. */
static void
perceiver_block(struct gv_model *m, const struct vit_layer *o,
    struct vit_acts *u, void *out, int64_t B)
{
	struct gvk_attn t = latent_attention(m, B);
	struct acts *a = &m->priv->a;
	struct gvk_stream *s = m->s;
	int64_t C = m->cfg.vision.C, BP = B * m->cfg.vision.P;
	int64_t BR = B * m->cfg.R;
	float eps = (float)m->cfg.vision.eps;
	void *lat = row(m, u->n1, BP * C);

	gvk_layernorm(s, u->n1, NULL, u->mean_c, u->rstd_c, a->features, NULL,
	    RP(o->nc_w), RP(o->nc_b), eps, BP, C);
	gvk_layernorm(s, lat, NULL, u->mean1, u->rstd1, u->res, NULL,
	    RP(o->n1_w), RP(o->n1_b), eps, BR, C);
	gvk_linear(
	    s, u->q, NULL, lat, RP(o->wq), NULL, NULL, GVK_ACT_NONE, BR, C, C);
	gvk_linear(s, u->kv, NULL, u->n1, RP(o->wkv), NULL, NULL, GVK_ACT_NONE,
	    BP + BR, C, 2 * C);
	gvk_attention(s, u->att, u->lse, u->q, u->kv, row(m, u->kv, C), &t);
	gvk_linear(s, u->mid, NULL, u->att, RP(o->wo), NULL, u->res,
	    GVK_ACT_NONE, BR, C, C);
	gvk_layernorm(s, u->n2, NULL, u->mean2, u->rstd2, u->mid, NULL,
	    RP(o->n2_w), RP(o->n2_b), eps, BR, C);
	gvk_linear(s, u->act, u->pre, u->n2, RP(o->w1), RP(o->b1), NULL,
	    GVK_GELU_ERF, BR, C, 4 * C);
	gvk_linear(s, out, NULL, u->act, RP(o->w2), RP(o->b2), u->mid,
	    GVK_ACT_NONE, BR, 4 * C, C);
}

static void *
latent_stream(const struct gv_model *m, int64_t i)
{
	const struct acts *a = &m->priv->a;

	return i < m->cfg.rs_L ? a->rs[i].res : a->rs_fin;
}

static void
perceiver_forward(struct gv_model *m, int64_t B)
{
	struct gv_model_priv *p = m->priv;
	struct acts *a = &p->a;
	int64_t C = m->cfg.vision.C, BR = B * m->cfg.R, i;

	gvk_embedding(m->s, latent_stream(m, 0), RP(p->at.latents), NULL,
	    a->latent_id, BR, C);
	for (i = 0; i < m->cfg.rs_L; i++)
		perceiver_block(
		    m, &p->at.rs[i], &a->rs[i], latent_stream(m, i + 1), B);
	gvk_layernorm(m->s, a->rows, NULL, a->rs_mean, a->rs_rstd, a->rs_fin,
	    NULL, RP(p->at.rs_norm_w), RP(p->at.rs_norm_b),
	    (float)m->cfg.vision.eps, BR, C);
}

/* dh: gradient of the latents after the block, becomes that before it; the
 * gradient of the features is added to a->dfeat unless `first` (then set). */
static void
perceiver_block_back(struct gv_model *m, const struct vit_layer *o,
    const struct vit_acts *u, void *dh, int64_t B, bool first)
{
	struct gvk_attn t = latent_attention(m, B);
	struct acts *a = &m->priv->a;
	struct gvk_stream *s = m->s;
	int64_t C = m->cfg.vision.C, BP = B * m->cfg.vision.P;
	int64_t BR = B * m->cfg.R;
	void *lat = row(m, u->n1, BP * C), *dlat = row(m, a->dctx, BP * C);

	gvk_linear_bwd(s, a->dpj, RG(o->w2), RG(o->b2), dh, u->act, u->pre,
	    RP(o->w2), GVK_GELU_ERF, false, BR, 4 * C, C);
	gvk_linear_bwd(s, dlat, RG(o->w1), RG(o->b1), a->dpj, u->n2, NULL,
	    RP(o->w1), GVK_ACT_NONE, false, BR, C, 4 * C);
	gvk_layernorm_bwd(s, dh, RG(o->n2_w), RG(o->n2_b), dlat, dh, u->mid,
	    u->mean2, u->rstd2, RP(o->n2_w), BR, C);
	gvk_linear_bwd(s, dlat, RG(o->wo), NULL, dh, u->att, NULL, RP(o->wo),
	    GVK_ACT_NONE, false, BR, C, C);
	gvk_attention_bwd(s, a->dq, a->dkv, row(m, a->dkv, C), dlat, u->att,
	    u->lse, u->q, u->kv, row(m, u->kv, C), &t, a->ws);
	gvk_linear_bwd(s, a->dctx, RG(o->wkv), NULL, a->dkv, u->n1, NULL,
	    RP(o->wkv), GVK_ACT_NONE, false, BP + BR, C, 2 * C);
	gvk_linear_bwd(s, dlat, RG(o->wq), NULL, a->dq, lat, NULL, RP(o->wq),
	    GVK_ACT_NONE, true, BR, C, C);
	gvk_layernorm_bwd(s, dh, RG(o->n1_w), RG(o->n1_b), dlat, dh, u->res,
	    u->mean1, u->rstd1, RP(o->n1_w), BR, C);
	gvk_layernorm_bwd(s, a->dfeat, RG(o->nc_w), RG(o->nc_b), a->dctx,
	    first ? NULL : a->dfeat, a->features, u->mean_c, u->rstd_c,
	    RP(o->nc_w), BP, C);
}

static void
perceiver_backward(struct gv_model *m, int64_t B)
{
	struct gv_model_priv *p = m->priv;
	struct acts *a = &p->a;
	int64_t C = m->cfg.vision.C, BR = B * m->cfg.R, i;
	void *dh = a->dlat;

	gvk_layernorm_bwd(m->s, dh, RG(p->at.rs_norm_w), RG(p->at.rs_norm_b),
	    a->drows, NULL, a->rs_fin, a->rs_mean, a->rs_rstd,
	    RP(p->at.rs_norm_w), BR, C);
	for (i = m->cfg.rs_L - 1; i >= 0; i--)
		perceiver_block_back(
		    m, &p->at.rs[i], &a->rs[i], dh, B, i == m->cfg.rs_L - 1);
	if (RG(p->at.latents))
		gvk_embedding_bwd(m->s, RG(p->at.latents), NULL, dh,
		    a->latent_id, BR, C, m->cfg.R, 0);
}

/* ---- resampler and projector --------------------------------------------- */

static int64_t
pool_side(const struct gv_model *m)
{
	return (int64_t)(sqrt((double)m->cfg.R) + 0.5);
}

static void
resample(struct gv_model *m, int64_t B)
{
	const struct gv_vision_config *v = &m->cfg.vision;
	struct acts *a = &m->priv->a;
	int64_t side = pool_side(m);

	switch (m->cfg.resampler) {
	case GV_RESAMPLER_NONE:
		gvk_copy(m->s, a->rows, a->features,
		    (size_t)(B * v->P * v->C) * m->priv->esize);
		break;
	case GV_RESAMPLER_AVGPOOL:
		gvk_avgpool(m->s, a->rows, a->features, B, v->grid, v->grid,
		    side, side, v->C);
		break;
	case GV_RESAMPLER_PERCEIVER:
		perceiver_forward(m, B);
		break;
	}
}

static void
resample_back(struct gv_model *m, int64_t B)
{
	const struct gv_vision_config *v = &m->cfg.vision;
	struct acts *a = &m->priv->a;
	int64_t side = pool_side(m);

	switch (m->cfg.resampler) {
	case GV_RESAMPLER_NONE:
		gvk_copy(m->s, a->dfeat, a->drows,
		    (size_t)(B * v->P * v->C) * m->priv->esize);
		break;
	case GV_RESAMPLER_AVGPOOL:
		gvk_avgpool_bwd(m->s, a->dfeat, a->drows, B, v->grid, v->grid,
		    side, side, v->C);
		break;
	case GV_RESAMPLER_PERCEIVER:
		perceiver_backward(m, B);
		break;
	}
}

void
gv_vision_forward(
    struct gv_model *m, const struct gv_batch *b, enum gv_input to)
{
	struct offsets *o = &m->priv->at;
	struct acts *a = &m->priv->a;
	int64_t BR = b->B * m->cfg.R;

	if (b->input == GV_IN_IMAGE)
		tower_forward(m, b);
	if (to == GV_IN_FEATURES || b->input == GV_IN_EMBEDS)
		return;
	resample(m, b->B);
	gvk_linear(m->s, a->p_act, a->p_pre, a->rows, PP(o->p1_w), PP(o->p1_b),
	    NULL, GVK_GELU_ERF, BR, m->cfg.vision.C, m->cfg.pj_C);
	gvk_linear(m->s, a->embeds, NULL, a->p_act, PP(o->p2_w), PP(o->p2_b),
	    NULL, GVK_ACT_NONE, BR, m->cfg.pj_C, m->cfg.text.C);
}

void
gv_vision_backward(struct gv_model *m, const struct gv_batch *b)
{
	struct offsets *o = &m->priv->at;
	struct acts *a = &m->priv->a;
	int64_t BR = b->B * m->cfg.R;
	bool down = back_resampler(m) && (b->input != GV_IN_EMBEDS);

	if (b->input == GV_IN_EMBEDS || !back_projector(m))
		return;
	gvk_linear_bwd(m->s, a->dpj, PG(o->p2_w), PG(o->p2_b), a->dembeds,
	    a->p_act, a->p_pre, PP(o->p2_w), GVK_GELU_ERF, false, BR,
	    m->cfg.pj_C, m->cfg.text.C);
	gvk_linear_bwd(m->s, down ? a->drows : NULL, PG(o->p1_w), PG(o->p1_b),
	    a->dpj, a->rows, NULL, PP(o->p1_w), GVK_ACT_NONE, false, BR,
	    m->cfg.vision.C, m->cfg.pj_C);
	if (!down)
		return;
	resample_back(m, b->B);
	if (back_vision(m) && b->input == GV_IN_IMAGE)
		tower_backward(m, b);
}
