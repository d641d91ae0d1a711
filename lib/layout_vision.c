/* Activation memory of tower, resampler and projector. */
#include "layout_priv.h"

#include "banned.h"

/* What a block of the tower keeps for its backward pass. */
static void
vit_block(const struct gv_model *m, struct vit_acts *x, int64_t rows, int64_t C,
    int64_t F, int64_t H, struct gv_arena *r)
{
	x->res = ACT(rows * C);
	x->n1 = ACT(rows * C);
	x->qkv = ACT(rows * 3 * C);
	x->att = ACT(rows * C);
	x->mid = ACT(rows * C);
	x->n2 = ACT(rows * C);
	x->pre = ACT(rows * F);
	x->act = ACT(rows * F);
	x->mean1 = F32(rows);
	x->rstd1 = F32(rows);
	x->mean2 = F32(rows);
	x->rstd2 = F32(rows);
	x->lse = F32(rows * H);
}

/* Without one a block has its stream, what its products read, and what they
 * write; the next block the same. */
static void
vit_pass(const struct gv_model *m, struct vit_acts *x, int64_t rows, int64_t C,
    int64_t F, struct gv_arena *r)
{
	*x = (struct vit_acts){0};
	x->res = ACT(rows * C);
	x->mid = ACT(rows * C);
	x->n1 = x->att = x->n2 = ACT(rows * C);
	x->qkv = x->act = ACT(rows * max64(3 * C, F));
}

void
gv_layout_vision(const struct gv_model *m, const struct gv_limits *l,
    struct acts *a, struct gv_arena *r)
{
	const struct gv_vision_config *v = &m->cfg.vision;
	int64_t rows = l->images * v->T, out = l->images * v->P, i;

	a->own_features = ACT(out * v->C);
	if (!l->backward || !back_vision(m))
		return;
	a->patches = ACT(rows * 3 * v->patch * v->patch);
	if (v->pre_norm) {
		a->v_pre = ACT(rows * v->C);
		a->pre_mean = F32(rows);
		a->pre_rstd = F32(rows);
	}
	a->v_fin = ACT(rows * v->C);
	if (v->post_norm && out < rows)
		a->v_sel = ACT(out * v->C);
	a->v_mean = F32(out);
	a->v_rstd = F32(out);
	for (i = 0; i < v->layer; i++)
		vit_block(m, &a->vit[i], rows, v->C, v->F, v->H, r);
}

/* What only the forward pass through a tower that doesn't train needs. */
void
gv_layout_vision_pass(const struct gv_model *m, const struct gv_limits *l,
    struct acts *a, struct gv_arena *r)
{
	const struct gv_vision_config *v = &m->cfg.vision;
	int64_t rows = gv_vision_step(m, l) * v->T, i;
	struct vit_acts x;

	a->patches = ACT(rows * 3 * v->patch * v->patch);
	vit_pass(m, &x, rows, v->C, v->F, r);
	a->v_fin = x.res;
	a->v_pre = a->v_sel = x.n1; /* before the first layer, after the last */
	for (i = 0; i < v->layer; i++)
		a->vit[i] = x;
}

void
gv_layout_vision_back(const struct gv_model *m, const struct gv_limits *l,
    struct acts *a, struct gv_arena *r)
{
	const struct gv_vision_config *v = &m->cfg.vision;
	int64_t rows = l->images * v->T;

	a->v_dh = ACT(rows * v->C);
	a->v_dn = ACT(rows * v->C);
	a->v_dqkv = ACT(rows * 3 * v->C);
	a->v_datt = ACT(rows * v->C);
	a->v_dpre = ACT(rows * v->F);
}

/* ---- resampler and projector --------------------------------------------- */

/* A block of a Perceiver: BP rows of context and BR of latents. */
static void
perceiver_block(const struct gv_model *m, struct vit_acts *x, int64_t BP,
    int64_t BR, bool back, struct gv_arena *r)
{
	const struct gv_config *c = &m->cfg;
	int64_t C = c->rs_C, F = c->rs_F;
	bool gated = c->resampler == GV_RESAMPLER_IDEFICS2;

	*x = (struct vit_acts){0};
	x->res = ACT(BR * C);
	x->n1 = ACT((BP + BR) * C);
	x->q = ACT(BR * c->rs_H * c->rs_D);
	x->kv = ACT((BP + BR) * 2 * c->rs_G * c->rs_D);
	x->att = ACT(BR * c->rs_H * c->rs_D);
	x->mid = ACT(BR * C);
	x->n2 = ACT(BR * C);
	x->act = ACT(BR * F);
	if (gated || back)
		x->pre = ACT(BR * (gated ? 2 : 1) * F);
	if (!back)
		return;
	x->rstd1 = F32(BR);
	x->rstd2 = F32(BR);
	x->rstd_c = F32(BP);
	x->lse = F32(BR * c->rs_H);
	if (gated)
		return; /* RMSNorm has no means */
	x->mean1 = F32(BR);
	x->mean2 = F32(BR);
	x->mean_c = F32(BP);
}

static void
perceiver(const struct gv_model *m, const struct gv_limits *l, struct acts *a,
    bool back, struct gv_arena *r)
{
	const struct gv_config *c = &m->cfg;
	int64_t BR = l->images * c->R, BP = l->images * c->vision.P, i;

	if (c->resampler == GV_RESAMPLER_IDEFICS2) {
		a->front_gu = ACT(BP * 2 * c->rs_front);
		a->front = ACT(BP * c->rs_front);
		a->context = ACT(BP * c->rs_C);
	}
	for (i = 0; i < c->rs_L; i++)
		if (i == 0 || back)
			perceiver_block(m, &a->rs[i], BP, BR, back, r);
		else
			a->rs[i] = a->rs[0];
	a->rs_fin = back ? ACT(BR * c->rs_C) : a->rs[0].res;
	if (!back)
		return;
	a->rs_mean = F32(BR);
	a->rs_rstd = F32(BR);
}

static void
perceiver_back(const struct gv_model *m, const struct gv_limits *l,
    struct acts *a, struct gv_arena *r)
{
	const struct gv_config *c = &m->cfg;
	int64_t C = c->rs_C, BR = l->images * c->R;
	int64_t BP = l->images * c->vision.P;

	a->dlat = ACT(BR * C);
	a->dq = ACT(BR * c->rs_H * c->rs_D);
	a->datt_rs = ACT(BR * c->rs_H * c->rs_D);
	a->dkv = ACT((BP + BR) * 2 * c->rs_G * c->rs_D);
	a->dctx = ACT((BP + BR) * C);
	if (c->resampler == GV_RESAMPLER_IDEFICS2) {
		a->dcontext = ACT(BP * C);
		a->dfront = ACT(BP * c->rs_front);
	}
}

/* What the forward pass keeps for the backward pass, or, where there is none,
 * needs for itself. */
void
gv_layout_connector(const struct gv_model *m, const struct gv_limits *l,
    struct acts *a, bool back, struct gv_arena *r)
{
	const struct gv_config *c = &m->cfg;
	int64_t BR = l->images * c->R;

	if (c->rs_L && back == (l->backward && back_resampler(m)))
		perceiver(m, l, a, back, r);
	if (c->projector == GV_PROJECTOR_NONE)
		a->rows = a->own_embeds;
	if (c->projector == GV_PROJECTOR_NONE ||
	    back != (l->backward && back_projector(m)))
		return;
	a->rows = ACT(BR * c->rs_C);
	if (c->projector != GV_PROJECTOR_MLP)
		return;
	a->p_act = ACT(BR * c->pj_C);
	if (back)
		a->p_pre = ACT(BR * c->pj_C);
}

void
gv_layout_connector_back(const struct gv_model *m, const struct gv_limits *l,
    struct acts *a, struct gv_arena *r)
{
	const struct gv_config *c = &m->cfg;
	int64_t BR = l->images * c->R;

	a->dembeds = ACT(BR * c->text.C);
	a->dpj = ACT(BR * max64(c->pj_C, c->rs_F));
	a->drows =
	    c->projector == GV_PROJECTOR_NONE ? a->dembeds : ACT(BR * c->rs_C);
	a->dfeat = ACT(l->images * c->vision.P * c->vision.C);
	if (c->rs_L && back_resampler(m))
		perceiver_back(m, l, a, r);
}
