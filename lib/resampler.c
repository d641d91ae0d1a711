/* From features to the rows of the resampler, and back. */
#include "model_priv.h"

#include "banned.h"

#include <math.h>

#define RP(off) param(m, GV_RESAMPLER, off)
#define RG(off) grad(m, GV_RESAMPLER, off)

/* ---- Perceivers ---------------------------------------------------------- */

/* The two kinds differ in their norms, in the MLP of a block, and in where the
 * context comes from. */
static bool
gated(const struct gv_model *m)
{
	return m->cfg.resampler == GV_RESAMPLER_IDEFICS2;
}

/* What latents attend to: the features, or what an MLP made of them. */
static void *
context_of(const struct gv_model *m)
{
	return gated(m) ? m->priv->a.context : m->priv->a.features;
}

static void *
dcontext_of(const struct gv_model *m)
{
	return gated(m) ? m->priv->a.dcontext : m->priv->a.dfeat;
}

/* Latents attend to [context; latents]: the rows of n1, q and kv are all
 * patches of the batch, then all latents; an image's patches are the prefix. */
static struct gvk_attn
latent_attention(const struct gv_model *m, int64_t B)
{
	const struct gv_config *c = &m->cfg;
	struct acts *a = &m->priv->a;
	struct gvk_attn t = {0};

	t.S = (int32_t)B;
	t.H = (int32_t)c->rs_H;
	t.G = (int32_t)c->rs_G;
	t.D = (int32_t)c->rs_D;
	t.max_q = (int32_t)c->R;
	t.max_k = (int32_t)(c->R + c->vision.P);
	t.q_at = a->r_q;
	t.k_at = a->in.r_k;
	t.k_len = a->r_len;
	t.p_at = a->f_at;
	t.p_len = a->f_len;
	t.scale = 1 / sqrtf((float)t.D);
	t.ldq = t.ldo = c->rs_H * c->rs_D;
	t.ldk = t.ldv = 2 * c->rs_G * c->rs_D;
	return t;
}

static void
norm(struct gv_model *m, void *y, float *mean, float *rstd, const void *x,
    size_t w, size_t b, int64_t N)
{
	const struct gv_config *c = &m->cfg;
	float eps = (float)c->rs_eps;

	if (gated(m))
		gvk_rmsnorm(
		    m->s, y, NULL, rstd, x, NULL, RP(w), eps, N, c->rs_C);
	else
		gvk_layernorm(m->s, y, NULL, mean, rstd, x, NULL, RP(w), RP(b),
		    eps, N, c->rs_C);
}

static void
norm_back(struct gv_model *m, void *dh, const void *dy, const void *dres,
    const void *h, const float *mean, const float *rstd, size_t w, size_t b,
    int64_t N)
{
	int64_t C = m->cfg.rs_C;

	if (gated(m))
		gvk_rmsnorm_bwd(
		    m->s, dh, RG(w), NULL, dy, dres, h, rstd, RP(w), N, C);
	else
		gvk_layernorm_bwd(m->s, dh, RG(w), RG(b), dy, dres, h, mean,
		    rstd, RP(w), N, C);
}

/* From u->n2 and u->mid to `out`. */
static void
mlp(struct gv_model *m, const struct vit_layer *o, struct vit_acts *u,
    void *out, int64_t BR)
{
	int64_t C = m->cfg.rs_C, F = m->cfg.rs_F;

	if (gated(m)) {
		gvk_gated(m->s, u->act, u->pre, m->priv->keep, u->n2, RP(o->w1),
		    BR, C, F);
		gvk_linear(m->s, out, NULL, u->act, RP(o->w2), NULL, u->mid,
		    GVK_ACT_NONE, BR, F, C);
		return;
	}
	gvk_linear(m->s, u->act, u->pre, u->n2, RP(o->w1), RP(o->b1), NULL,
	    GVK_GELU_ERF, BR, C, F);
	gvk_linear(m->s, out, NULL, u->act, RP(o->w2), RP(o->b2), u->mid,
	    GVK_ACT_NONE, BR, F, C);
}

/* dn: gradient of u->n2, from dh, that of the block's output. */
static void
mlp_back(struct gv_model *m, const struct vit_layer *o,
    const struct vit_acts *u, void *dn, const void *dh, int64_t BR)
{
	int64_t C = m->cfg.rs_C, F = m->cfg.rs_F;
	struct acts *a = &m->priv->a;
	struct gvk_stream *s = m->s;
	void *dgu = u->pre;

	if (!gated(m)) {
		gvk_linear_bwd(s, a->dpj, RG(o->w2), RG(o->b2), dh, u->act,
		    u->pre, RP(o->w2), GVK_GELU_ERF, false, BR, F, C);
		gvk_linear_bwd(s, dn, RG(o->w1), RG(o->b1), a->dpj, u->n2, NULL,
		    RP(o->w1), GVK_ACT_NONE, false, BR, C, F);
		return;
	}
	gvk_gated_bwd(s, dgu, NULL, a->dpj, dh, u->pre, RP(o->w2), BR, F, C);
	if (RG(o->w2))
		gvk_linear_bwd(s, NULL, RG(o->w2), NULL, dh, u->act, NULL,
		    RP(o->w2), GVK_ACT_NONE, false, BR, F, C);
	gvk_linear_bwd(s, dn, RG(o->w1), NULL, dgu, u->n2, NULL, RP(o->w1),
	    GVK_ACT_NONE, false, BR, C, 2 * F);
}

/* From the latents u->res to `out`. */
static void
block(struct gv_model *m, const struct vit_layer *o, struct vit_acts *u,
    void *out, int64_t B)
{
	const struct gv_config *c = &m->cfg;
	struct gvk_attn t = latent_attention(m, B);
	struct gvk_stream *s = m->s;
	int64_t C = c->rs_C, BP = B * c->vision.P, BR = B * c->R;
	int64_t Q = c->rs_H * c->rs_D, K = c->rs_G * c->rs_D;
	void *lat = row(m, u->n1, BP * C);

	norm(m, u->n1, u->mean_c, u->rstd_c, context_of(m), o->nc_w, o->nc_b,
	    BP);
	norm(m, lat, u->mean1, u->rstd1, u->res, o->n1_w, o->n1_b, BR);
	gvk_linear(
	    s, u->q, NULL, lat, RP(o->wq), NULL, NULL, GVK_ACT_NONE, BR, C, Q);
	gvk_linear(s, u->kv, NULL, u->n1, RP(o->wkv), NULL, NULL, GVK_ACT_NONE,
	    BP + BR, C, 2 * K);
	gvk_attention(s, u->att, u->lse, u->q, u->kv, row(m, u->kv, K), &t);
	gvk_linear(s, u->mid, NULL, u->att, RP(o->wo), NULL, u->res,
	    GVK_ACT_NONE, BR, Q, C);
	norm(m, u->n2, u->mean2, u->rstd2, u->mid, o->n2_w, o->n2_b, BR);
	mlp(m, o, u, out, BR);
}

static void *
latent_stream(const struct gv_model *m, int64_t i)
{
	const struct acts *a = &m->priv->a;

	return i < m->cfg.rs_L ? a->rs[i].res : a->rs_fin;
}

/* Idefics2's MLP in front: features to the context. */
static void
front(struct gv_model *m, int64_t B)
{
	const struct gv_config *c = &m->cfg;
	struct gv_model_priv *p = m->priv;
	struct acts *a = &p->a;
	int64_t N = B * c->vision.P;

	gvk_gated(m->s, a->front, a->front_gu, p->keep, a->features,
	    RP(p->at.front_gu), N, c->vision.C, c->rs_front);
	gvk_linear(m->s, a->context, NULL, a->front, RP(p->at.front_down), NULL,
	    NULL, GVK_ACT_NONE, N, c->rs_front, c->rs_C);
}

/* From a->dcontext to a->dfeat. */
static void
front_back(struct gv_model *m, int64_t B)
{
	const struct gv_config *c = &m->cfg;
	struct offsets *o = &m->priv->at;
	struct acts *a = &m->priv->a;
	int64_t N = B * c->vision.P, F = c->rs_front;
	void *dgu = a->front_gu;

	gvk_gated_bwd(m->s, dgu, NULL, a->dfront, a->dcontext, a->front_gu,
	    RP(o->front_down), N, F, c->rs_C);
	if (RG(o->front_down))
		gvk_linear_bwd(m->s, NULL, RG(o->front_down), NULL, a->dcontext,
		    a->front, NULL, RP(o->front_down), GVK_ACT_NONE, false, N,
		    F, c->rs_C);
	gvk_linear_bwd(m->s, back_vision(m) ? a->dfeat : NULL, RG(o->front_gu),
	    NULL, dgu, a->features, NULL, RP(o->front_gu), GVK_ACT_NONE, false,
	    N, c->vision.C, 2 * F);
}

static void
perceiver(struct gv_model *m, int64_t B)
{
	struct gv_model_priv *p = m->priv;
	struct acts *a = &p->a;
	int64_t BR = B * m->cfg.R, i;

	if (gated(m))
		front(m, B);
	gvk_embedding(m->s, latent_stream(m, 0), RP(p->at.latents), NULL,
	    a->latent_id, BR, m->cfg.rs_C);
	for (i = 0; i < m->cfg.rs_L; i++)
		block(m, &p->at.rs[i], &a->rs[i], latent_stream(m, i + 1), B);
	norm(m, a->rows, a->rs_mean, a->rs_rstd, a->rs_fin, p->at.rs_norm_w,
	    p->at.rs_norm_b, BR);
}

/* dh: gradient of the latents after the block, becomes that before it; the
 * gradient of the context is added to its own unless `first` (then set). */
static void
block_back(struct gv_model *m, const struct vit_layer *o,
    const struct vit_acts *u, void *dh, int64_t B, bool first)
{
	const struct gv_config *c = &m->cfg;
	struct gvk_attn t = latent_attention(m, B);
	struct acts *a = &m->priv->a;
	struct gvk_stream *s = m->s;
	int64_t C = c->rs_C, BP = B * c->vision.P, BR = B * c->R;
	int64_t Q = c->rs_H * c->rs_D, K = c->rs_G * c->rs_D;
	void *lat = row(m, u->n1, BP * C), *dlat = row(m, a->dctx, BP * C);
	void *dctx = dcontext_of(m), *datt = a->datt_rs;

	mlp_back(m, o, u, dlat, dh, BR);
	norm_back(
	    m, dh, dlat, dh, u->mid, u->mean2, u->rstd2, o->n2_w, o->n2_b, BR);
	gvk_linear_bwd(s, datt, RG(o->wo), NULL, dh, u->att, NULL, RP(o->wo),
	    GVK_ACT_NONE, false, BR, Q, C);
	gvk_attention_bwd(s, a->dq, a->dkv, row(m, a->dkv, K), datt, u->att,
	    u->lse, u->q, u->kv, row(m, u->kv, K), &t, a->ws);
	gvk_linear_bwd(s, a->dctx, RG(o->wkv), NULL, a->dkv, u->n1, NULL,
	    RP(o->wkv), GVK_ACT_NONE, false, BP + BR, C, 2 * K);
	gvk_linear_bwd(s, dlat, RG(o->wq), NULL, a->dq, lat, NULL, RP(o->wq),
	    GVK_ACT_NONE, true, BR, C, Q);
	norm_back(
	    m, dh, dlat, dh, u->res, u->mean1, u->rstd1, o->n1_w, o->n1_b, BR);
	norm_back(m, dctx, a->dctx, first ? NULL : dctx, context_of(m),
	    u->mean_c, u->rstd_c, o->nc_w, o->nc_b, BP);
}

static void
perceiver_back(struct gv_model *m, int64_t B)
{
	struct gv_model_priv *p = m->priv;
	struct acts *a = &p->a;
	int64_t BR = B * m->cfg.R, i;
	void *dh = a->dlat;

	norm_back(m, dh, a->drows, NULL, a->rs_fin, a->rs_mean, a->rs_rstd,
	    p->at.rs_norm_w, p->at.rs_norm_b, BR);
	for (i = m->cfg.rs_L - 1; i >= 0; i--)
		block_back(
		    m, &p->at.rs[i], &a->rs[i], dh, B, i == m->cfg.rs_L - 1);
	if (RG(p->at.latents))
		gvk_embedding_bwd(m->s, RG(p->at.latents), NULL, dh,
		    a->latent_id, BR, m->cfg.rs_C, m->cfg.R, 0);
	if (gated(m))
		front_back(m, B);
}

/* ---- all of them --------------------------------------------------------- */

static int64_t
pool_side(const struct gv_model *m)
{
	return (int64_t)(sqrt((double)m->cfg.R) + 0.5);
}

void
gv_resample(struct gv_model *m, int64_t B)
{
	const struct gv_vision_config *v = &m->cfg.vision;
	struct acts *a = &m->priv->a;
	int64_t side = pool_side(m), C = v->C;

	switch (m->cfg.resampler) {
	case GV_RESAMPLER_NONE:
		gvk_copy(m->s, a->rows, a->features,
		    (size_t)(B * v->P * C) * m->priv->esize);
		break;
	case GV_RESAMPLER_AVGPOOL:
		gvk_avgpool(m->s, a->rows, a->features, B, v->grid, v->grid,
		    side, side, C);
		break;
	case GV_RESAMPLER_SHUFFLE:
		gvk_gather(m->s, a->rows, a->features, a->shuffle_at, B * v->P,
		    C, C, C);
		break;
	case GV_RESAMPLER_PERCEIVER:
	case GV_RESAMPLER_IDEFICS2:
		perceiver(m, B);
		break;
	}
}

void
gv_resample_back(struct gv_model *m, int64_t B)
{
	const struct gv_vision_config *v = &m->cfg.vision;
	struct acts *a = &m->priv->a;
	int64_t side = pool_side(m), C = v->C;

	switch (m->cfg.resampler) {
	case GV_RESAMPLER_NONE:
		gvk_copy(m->s, a->dfeat, a->drows,
		    (size_t)(B * v->P * C) * m->priv->esize);
		break;
	case GV_RESAMPLER_AVGPOOL:
		gvk_avgpool_bwd(m->s, a->dfeat, a->drows, B, v->grid, v->grid,
		    side, side, C);
		break;
	case GV_RESAMPLER_SHUFFLE:
		gvk_scatter(
		    m->s, a->dfeat, a->drows, a->shuffle_at, B * v->P, C, C, C);
		break;
	case GV_RESAMPLER_PERCEIVER:
	case GV_RESAMPLER_IDEFICS2:
		perceiver_back(m, B);
		break;
	}
}
