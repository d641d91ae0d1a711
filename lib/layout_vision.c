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
	int64_t rows = l->images * v->P, i;

	a->own_features = ACT(rows * v->C);
	if (!l->backward || !back_vision(m))
		return;
	a->patches = ACT(rows * 3 * v->patch * v->patch);
	a->v_fin = ACT(rows * v->C);
	a->v_mean = F32(rows);
	a->v_rstd = F32(rows);
	for (i = 0; i < v->layer; i++)
		vit_block(m, &a->vit[i], rows, v->C, v->F, v->H, r);
}

/* What only the forward pass through a tower that doesn't train needs. */
void
gv_layout_vision_pass(const struct gv_model *m, const struct gv_limits *l,
    struct acts *a, struct gv_arena *r)
{
	const struct gv_vision_config *v = &m->cfg.vision;
	int64_t rows = gv_vision_step(m, l) * v->P, i;
	struct vit_acts x;

	a->patches = ACT(rows * 3 * v->patch * v->patch);
	vit_pass(m, &x, rows, v->C, v->F, r);
	a->v_fin = x.res;
	for (i = 0; i < v->layer; i++)
		a->vit[i] = x;
}

void
gv_layout_vision_back(const struct gv_model *m, const struct gv_limits *l,
    struct acts *a, struct gv_arena *r)
{
	const struct gv_vision_config *v = &m->cfg.vision;
	int64_t rows = l->images * v->P;

	a->v_dh = ACT(rows * v->C);
	a->v_dn = ACT(rows * v->C);
	a->v_dqkv = ACT(rows * 3 * v->C);
	a->v_datt = ACT(rows * v->C);
	a->v_dpre = ACT(rows * v->F);
}

/* A block of the Perceiver: BP rows of patches and BR of latents. */
static void
perceiver_block(const struct gv_model *m, struct vit_acts *x, int64_t BP,
    int64_t BR, bool back, struct gv_arena *r)
{
	int64_t C = m->cfg.vision.C;

	*x = (struct vit_acts){0};
	x->res = ACT(BR * C);
	x->n1 = ACT((BP + BR) * C);
	x->q = ACT(BR * C);
	x->kv = ACT((BP + BR) * 2 * C);
	x->att = ACT(BR * C);
	x->mid = ACT(BR * C);
	x->n2 = ACT(BR * C);
	x->act = ACT(BR * 4 * C);
	if (!back)
		return;
	x->pre = ACT(BR * 4 * C);
	x->mean1 = F32(BR);
	x->rstd1 = F32(BR);
	x->mean2 = F32(BR);
	x->rstd2 = F32(BR);
	x->mean_c = F32(BP);
	x->rstd_c = F32(BP);
	x->lse = F32(BR * m->cfg.rs_H);
}

static void
perceiver(const struct gv_model *m, const struct gv_limits *l, struct acts *a,
    bool back, struct gv_arena *r)
{
	const struct gv_vision_config *v = &m->cfg.vision;
	int64_t BR = l->images * m->cfg.R, BP = l->images * v->P, i;

	for (i = 0; i < m->cfg.rs_L; i++)
		if (i == 0 || back)
			perceiver_block(m, &a->rs[i], BP, BR, back, r);
		else
			a->rs[i] = a->rs[0];
	a->rs_fin = back ? ACT(BR * v->C) : a->rs[0].res;
	if (!back)
		return;
	a->rs_mean = F32(BR);
	a->rs_rstd = F32(BR);
}

static void
perceiver_back(const struct gv_model *m, const struct gv_limits *l,
    struct acts *a, struct gv_arena *r)
{
	int64_t C = m->cfg.vision.C, BR = l->images * m->cfg.R;
	int64_t BP = l->images * m->cfg.vision.P;

	a->dlat = ACT(BR * C);
	a->dq = ACT(BR * C);
	a->dkv = ACT((BP + BR) * 2 * C);
	a->dctx = ACT((BP + BR) * C);
}

/* Resampler and projector.  What the forward pass keeps for the backward pass,
 * or, where there is none, needs for itself. */
void
gv_layout_connector(const struct gv_model *m, const struct gv_limits *l,
    struct acts *a, bool back, struct gv_arena *r)
{
	const struct gv_config *c = &m->cfg;
	int64_t BR = l->images * c->R;
	bool perceiver_too = c->resampler == GV_RESAMPLER_PERCEIVER;

	if (perceiver_too && back == (l->backward && back_resampler(m)))
		perceiver(m, l, a, back, r);
	if (back != (l->backward && back_projector(m)))
		return;
	a->rows = ACT(BR * c->vision.C);
	a->p_act = ACT(BR * c->pj_C);
	if (back)
		a->p_pre = ACT(BR * c->pj_C);
}

void
gv_layout_connector_back(const struct gv_model *m, const struct gv_limits *l,
    struct acts *a, struct gv_arena *r)
{
	const struct gv_config *c = &m->cfg;
	int64_t BR = l->images * c->R, Dv = c->vision.C;

	a->dembeds = ACT(BR * c->text.C);
	a->dpj = ACT(BR * max64(c->pj_C, 4 * Dv));
	a->drows = ACT(BR * Dv);
	a->dfeat = ACT(l->images * c->vision.P * Dv);
	if (c->resampler == GV_RESAMPLER_PERCEIVER && back_resampler(m))
		perceiver_back(m, l, a, r);
}
