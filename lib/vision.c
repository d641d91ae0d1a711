/* From pixels to embeds: tower, resampler, projector; and back. */
#include "model_priv.h"

#include "banned.h"

#define PP(off) param(m, GV_PROJECTOR, off)
#define PG(off) grad(m, GV_PROJECTOR, off)

/* ---- projector: rows to embeds ------------------------------------------- */

static void
project(struct gv_model *m, int64_t BR)
{
	const struct gv_config *c = &m->cfg;
	struct offsets *o = &m->priv->at;
	struct acts *a = &m->priv->a;
	const void *b1 = c->pj_bias ? PP(o->p1_b) : NULL;
	const void *b2 = c->pj_bias ? PP(o->p2_b) : NULL;

	switch (c->projector) {
	case GV_PROJECTOR_MLP:
		gvk_linear(m->s, a->p_act, a->p_pre, a->rows, PP(o->p1_w), b1,
		    NULL, gv_act_of(c->pj_act), BR, c->rs_C, c->pj_C);
		gvk_linear(m->s, a->embeds, NULL, a->p_act, PP(o->p2_w), b2,
		    NULL, GVK_ACT_NONE, BR, c->pj_C, c->text.C);
		break;
	case GV_PROJECTOR_LINEAR:
		gvk_linear(m->s, a->embeds, NULL, a->rows, PP(o->p1_w), b1,
		    NULL, GVK_ACT_NONE, BR, c->rs_C, c->text.C);
		break;
	case GV_PROJECTOR_NONE:
		break; /* the rows are the embeds */
	}
}

/* From a->dembeds; to a->drows if `down`. */
static void
project_back(struct gv_model *m, int64_t BR, bool down)
{
	const struct gv_config *c = &m->cfg;
	struct offsets *o = &m->priv->at;
	struct acts *a = &m->priv->a;
	float *db1 = c->pj_bias ? PG(o->p1_b) : NULL;
	float *db2 = c->pj_bias ? PG(o->p2_b) : NULL;
	void *dx = down ? a->drows : NULL;

	switch (c->projector) {
	case GV_PROJECTOR_MLP:
		gvk_linear_bwd(m->s, a->dpj, PG(o->p2_w), db2, a->dembeds,
		    a->p_act, a->p_pre, PP(o->p2_w), gv_act_of(c->pj_act),
		    false, BR, c->pj_C, c->text.C);
		gvk_linear_bwd(m->s, dx, PG(o->p1_w), db1, a->dpj, a->rows,
		    NULL, PP(o->p1_w), GVK_ACT_NONE, false, BR, c->rs_C,
		    c->pj_C);
		break;
	case GV_PROJECTOR_LINEAR:
		gvk_linear_bwd(m->s, dx, PG(o->p1_w), db1, a->dembeds, a->rows,
		    NULL, PP(o->p1_w), GVK_ACT_NONE, false, BR, c->rs_C,
		    c->text.C);
		break;
	case GV_PROJECTOR_NONE:
		break;
	}
}

/* ---- all ----------------------------------------------------------------- */

void
gv_vision_forward(
    struct gv_model *m, const struct gv_batch *b, enum gv_input to)
{
	if (b->input == GV_IN_IMAGE)
		gv_tower_forward(m, b);
	if (to == GV_IN_FEATURES || b->input == GV_IN_EMBEDS)
		return;
	gv_resample(m, b->B);
	project(m, b->B * m->cfg.R);
}

void
gv_vision_backward(struct gv_model *m, const struct gv_batch *b)
{
	bool down = back_resampler(m);

	if (b->input == GV_IN_EMBEDS || !back_projector(m))
		return;
	project_back(m, b->B * m->cfg.R, down);
	if (!down)
		return;
	gv_resample_back(m, b->B);
	if (back_vision(m) && b->input == GV_IN_IMAGE)
		gv_tower_backward(m, b);
}
