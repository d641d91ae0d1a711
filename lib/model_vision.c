/* The tensors of tower, resampler and projector. */
#include "model_table.h"

#include "banned.h"

static void
vision_layer(struct gv_table *t, struct vit_layer *o, int i)
{
	const struct gv_config *f = &t->m->cfg;
	const struct gv_vision_config *c = &f->vision;
	struct gv_spec w = gv_spec_matrix(f, GV_VISION, c->C, 0);
	struct gv_spec out = gv_spec_matrix(f, GV_VISION, c->C, c->L);
	struct gv_spec down = gv_spec_matrix(f, GV_VISION, c->F, c->L);
	struct gv_spec one = gv_spec_ones(GV_VISION),
		       zero = gv_spec_zeros(GV_VISION);
	int64_t C = c->C;
#define L "vision_model.encoder.layers.%d."

	o->n1_w = gv_table_add(t, one, C, 0, L "layer_norm1.weight", i);
	o->n1_b = gv_table_add(t, zero, C, 0, L "layer_norm1.bias", i);
	o->wqkv = gv_table_add(t, w, C, C, L "self_attn.q_proj.weight", i);
	gv_table_add(
	    t, gv_spec_joined(w), C, C, L "self_attn.k_proj.weight", i);
	gv_table_add(
	    t, gv_spec_joined(w), C, C, L "self_attn.v_proj.weight", i);
	o->bqkv = gv_table_add(t, zero, C, 0, L "self_attn.q_proj.bias", i);
	gv_table_add(
	    t, gv_spec_joined(zero), C, 0, L "self_attn.k_proj.bias", i);
	gv_table_add(
	    t, gv_spec_joined(zero), C, 0, L "self_attn.v_proj.bias", i);
	o->wo = gv_table_add(t, out, C, C, L "self_attn.out_proj.weight", i);
	o->bo = gv_table_add(t, zero, C, 0, L "self_attn.out_proj.bias", i);
	o->n2_w = gv_table_add(t, one, C, 0, L "layer_norm2.weight", i);
	o->n2_b = gv_table_add(t, zero, C, 0, L "layer_norm2.bias", i);
	o->w1 = gv_table_add(t, w, c->F, C, L "mlp.fc1.weight", i);
	o->b1 = gv_table_add(t, zero, c->F, 0, L "mlp.fc1.bias", i);
	o->w2 = gv_table_add(t, down, C, c->F, L "mlp.fc2.weight", i);
	o->b2 = gv_table_add(t, zero, C, 0, L "mlp.fc2.bias", i);
#undef L
}

void
gv_table_vision(struct gv_table *t)
{
	struct gv_model *m = t->m;
	const struct gv_vision_config *c = &m->cfg.vision;
	struct offsets *o = &m->priv->at;
	struct gv_spec w = gv_spec_rows(&m->cfg, GV_VISION, m->cfg.init.patch);
	struct gv_spec pos =
	    gv_spec_rows(&m->cfg, GV_VISION, m->cfg.init.position);
	struct gv_spec one = gv_spec_ones(GV_VISION),
		       zero = gv_spec_zeros(GV_VISION);
	size_t first;
	int i;
#define E "vision_model.embeddings."
#define F "vision_model.pre_layrnorm." /* so spelled in all files */
#define N "vision_model.post_layernorm."

	o->patch_w = gv_table_add(
	    t, w, c->C, 3 * c->patch * c->patch, E "patch_embedding.weight");
	first = m->nparams - 1;
	if (!t->failed) {
		/* a convolution's shape; flat, it is the matrix that we use */
		m->param[first].rank = 4;
		m->param[first].shape[1] = 3;
		m->param[first].shape[2] = c->patch;
		m->param[first].shape[3] = c->patch;
	}
	if (c->patch_bias)
		o->patch_b =
		    gv_table_add(t, zero, c->C, 0, E "patch_embedding.bias");
	if (c->class_token)
		o->class_row =
		    gv_table_add(t, pos, c->C, 0, E "class_embedding");
	o->pos =
	    gv_table_add(t, pos, c->T, c->C, E "position_embedding.weight");
	if (c->pre_norm) {
		o->pre_w = gv_table_add(t, one, c->C, 0, F "weight");
		o->pre_b = gv_table_add(t, zero, c->C, 0, F "bias");
	}
	for (i = 0; i < c->L; i++) {
		t->used = i < c->layer;
		vision_layer(t, &o->vit[i], i);
	}
	t->used = c->post_norm;
	o->post_w = gv_table_add(t, one, c->C, 0, N "weight");
	o->post_b = gv_table_add(t, zero, c->C, 0, N "bias");
	t->used = true;
#undef E
#undef F
#undef N
}

static void
perceiver(struct gv_table *t)
{
	struct gv_model *m = t->m;
	struct offsets *o = &m->priv->at;
	const struct gv_config *f = &m->cfg;
	int64_t C = f->vision.C;
	struct gv_spec w = gv_spec_matrix(f, GV_RESAMPLER, C, 0);
	struct gv_spec out = gv_spec_matrix(f, GV_RESAMPLER, C, f->rs_L);
	struct gv_spec down = gv_spec_matrix(f, GV_RESAMPLER, 4 * C, f->rs_L);
	struct gv_spec one = gv_spec_ones(GV_RESAMPLER),
		       zero = gv_spec_zeros(GV_RESAMPLER);
	int i;
#define L "layers.%d."

	o->latents = gv_table_add(
	    t, gv_spec_rows(f, GV_RESAMPLER, 1), m->cfg.R, C, "latents");
	for (i = 0; i < m->cfg.rs_L; i++) {
		struct vit_layer *u = &o->rs[i];

		u->nc_w =
		    gv_table_add(t, one, C, 0, L "norm_context.weight", i);
		u->nc_b = gv_table_add(t, zero, C, 0, L "norm_context.bias", i);
		u->n1_w =
		    gv_table_add(t, one, C, 0, L "norm_latents.weight", i);
		u->n1_b = gv_table_add(t, zero, C, 0, L "norm_latents.bias", i);
		u->wq = gv_table_add(t, w, C, C, L "attn.q_proj.weight", i);
		u->wkv = gv_table_add(t, w, C, C, L "attn.k_proj.weight", i);
		gv_table_add(
		    t, gv_spec_joined(w), C, C, L "attn.v_proj.weight", i);
		u->wo = gv_table_add(t, out, C, C, L "attn.o_proj.weight", i);
		u->n2_w = gv_table_add(t, one, C, 0, L "norm_mlp.weight", i);
		u->n2_b = gv_table_add(t, zero, C, 0, L "norm_mlp.bias", i);
		u->w1 = gv_table_add(t, w, 4 * C, C, L "mlp.fc1.weight", i);
		u->b1 = gv_table_add(t, zero, 4 * C, 0, L "mlp.fc1.bias", i);
		u->w2 = gv_table_add(t, down, C, 4 * C, L "mlp.fc2.weight", i);
		u->b2 = gv_table_add(t, zero, C, 0, L "mlp.fc2.bias", i);
	}
	o->rs_norm_w = gv_table_add(t, one, C, 0, "norm.weight");
	o->rs_norm_b = gv_table_add(t, zero, C, 0, "norm.bias");
#undef L
}

static void
idefics2_block(struct gv_table *t, struct vit_layer *u, int i)
{
	const struct gv_config *f = &t->m->cfg;
	int64_t C = f->rs_C, F = f->rs_F;
	int64_t Q = f->rs_H * f->rs_D, K = f->rs_G * f->rs_D;
	struct gv_spec w = gv_spec_matrix(f, GV_RESAMPLER, C, 0);
	struct gv_spec out = gv_spec_matrix(f, GV_RESAMPLER, Q, f->rs_L);
	struct gv_spec down = gv_spec_matrix(f, GV_RESAMPLER, F, f->rs_L);
	struct gv_spec one = gv_spec_ones(GV_RESAMPLER);
#define L "perceiver_resampler.layers.%d."

	u->n1_w = gv_table_add(t, one, C, 0, L "input_latents_norm.weight", i);
	u->nc_w = gv_table_add(t, one, C, 0, L "input_context_norm.weight", i);
	u->wq = gv_table_add(t, w, Q, C, L "self_attn.q_proj.weight", i);
	u->wkv = gv_table_add(t, w, K, C, L "self_attn.k_proj.weight", i);
	gv_table_add(
	    t, gv_spec_joined(w), K, C, L "self_attn.v_proj.weight", i);
	u->wo = gv_table_add(t, out, C, Q, L "self_attn.o_proj.weight", i);
	u->n2_w =
	    gv_table_add(t, one, C, 0, L "post_attention_layernorm.weight", i);
	u->w1 = gv_table_add(t, w, F, C, L "mlp.gate_proj.weight", i);
	gv_table_add(t, gv_spec_joined(w), F, C, L "mlp.up_proj.weight", i);
	u->w2 = gv_table_add(t, down, C, F, L "mlp.down_proj.weight", i);
#undef L
}

static void
idefics2(struct gv_table *t)
{
	const struct gv_config *f = &t->m->cfg;
	struct offsets *o = &t->m->priv->at;
	int64_t Dv = f->vision.C, C = f->rs_C, F = f->rs_front;
	struct gv_spec w = gv_spec_matrix(f, GV_RESAMPLER, Dv, 0);
	struct gv_spec down = gv_spec_matrix(f, GV_RESAMPLER, F, 0);
	int i;
#define M "modality_projection."
#define P "perceiver_resampler."

	o->front_gu = gv_table_add(t, w, F, Dv, M "gate_proj.weight");
	gv_table_add(t, gv_spec_joined(w), F, Dv, M "up_proj.weight");
	o->front_down = gv_table_add(t, down, C, F, M "down_proj.weight");
	o->latents = gv_table_add(
	    t, gv_spec_rows(f, GV_RESAMPLER, 1), f->R, C, P "latents");
	for (i = 0; i < f->rs_L; i++)
		idefics2_block(t, &o->rs[i], i);
	o->rs_norm_w =
	    gv_table_add(t, gv_spec_ones(GV_RESAMPLER), C, 0, P "norm.weight");
#undef M
#undef P
}

void
gv_table_resampler(struct gv_table *t)
{
	if (t->m->cfg.resampler == GV_RESAMPLER_PERCEIVER)
		perceiver(t);
	if (t->m->cfg.resampler == GV_RESAMPLER_IDEFICS2)
		idefics2(t);
}

void
gv_table_projector(struct gv_table *t)
{
	const struct gv_config *c = &t->m->cfg;
	struct offsets *o = &t->m->priv->at;
	int64_t Hp = c->pj_C, C = c->text.C;
	struct gv_spec w1 = gv_spec_matrix(c, GV_PROJECTOR, c->rs_C, 0);
	struct gv_spec w2 = gv_spec_matrix(c, GV_PROJECTOR, Hp, 0);
	struct gv_spec zero = gv_spec_zeros(GV_PROJECTOR);

	if (c->projector == GV_PROJECTOR_LINEAR) {
		o->p1_w = gv_table_add(t, w1, C, c->rs_C, "proj.weight");
		if (c->pj_bias)
			o->p1_b = gv_table_add(t, zero, C, 0, "proj.bias");
	}
	if (c->projector != GV_PROJECTOR_MLP)
		return;
	o->p1_w = gv_table_add(t, w1, Hp, c->rs_C, "fc1.weight");
	if (c->pj_bias)
		o->p1_b = gv_table_add(t, zero, Hp, 0, "fc1.bias");
	o->p2_w = gv_table_add(t, w2, C, Hp, "fc2.weight");
	if (c->pj_bias)
		o->p2_b = gv_table_add(t, zero, C, 0, "fc2.bias");
}
