/* The decoder's tensors. */
#include "model_table.h"

#include "banned.h"

/* One layer's tensors on their way into the table. */
struct adding {
	struct gv_table *t;
	int layer;
};

static size_t
add(const struct adding *a, struct gv_spec s, int64_t d0, int64_t d1,
    const char *name)
{
	return gv_table_add(
	    a->t, s, d0, d1, "model.layers.%d.%s", a->layer, name);
}

static void
attention(const struct adding *a, struct lm_layer *o)
{
	const struct gv_config *f = &a->t->m->cfg;
	const struct gv_text_config *c = &f->text;
	int64_t C = c->C, D = c->D, Q = c->H * D, K = c->G * D;
	struct gv_spec w = gv_spec_matrix(f, GV_LANGUAGE, C, 0);
	struct gv_spec out = gv_spec_matrix(f, GV_LANGUAGE, Q, c->L);
	struct gv_spec one = gv_spec_ones(GV_LANGUAGE);
	struct gv_spec zero = gv_spec_zeros(GV_LANGUAGE);

	o->wqkv = add(a, w, Q, C, "self_attn.q_proj.weight");
	add(a, gv_spec_joined(w), K, C, "self_attn.k_proj.weight");
	add(a, gv_spec_joined(w), K, C, "self_attn.v_proj.weight");
	if (c->qkv_bias) {
		o->bqkv = add(a, zero, Q, 0, "self_attn.q_proj.bias");
		add(a, gv_spec_joined(zero), K, 0, "self_attn.k_proj.bias");
		add(a, gv_spec_joined(zero), K, 0, "self_attn.v_proj.bias");
	}
	if (c->qk_norm && !c->bare_norm) {
		o->qn = add(a, one, D, 0, "self_attn.q_norm.weight");
		o->kn = add(a, one, D, 0, "self_attn.k_norm.weight");
	}
	o->wo = add(a, out, C, Q, "self_attn.o_proj.weight");
	if (c->o_bias)
		o->bo = add(a, zero, C, 0, "self_attn.o_proj.bias");
}

static void
mlp(const struct adding *a, struct lm_layer *o)
{
	const struct gv_config *f = &a->t->m->cfg;
	const struct gv_text_config *c = &f->text;
	int64_t C = c->C, F = c->F;
	struct gv_spec w = gv_spec_matrix(f, GV_LANGUAGE, C, 0);
	struct gv_spec down = gv_spec_matrix(f, GV_LANGUAGE, F, c->L);

	if (!c->gated) {
		o->wgu = add(a, w, F, C, "mlp.fc1.weight");
		o->wd = add(a, down, C, F, "mlp.fc2.weight");
		return;
	}
	o->wgu = add(a, w, F, C, "mlp.gate_proj.weight");
	add(a, gv_spec_joined(w), F, C, "mlp.up_proj.weight");
	o->wd = add(a, down, C, F, "mlp.down_proj.weight");
}

static void
decoder_layer(struct gv_table *t, struct lm_layer *o, int i)
{
	const struct gv_text_config *c = &t->m->cfg.text;
	struct gv_spec one = gv_spec_ones(GV_LANGUAGE);
	struct adding a = {t, i};

	if (!c->bare_norm)
		o->n1 = add(&a, one, c->C, 0, "input_layernorm.weight");
	attention(&a, o);
	if (!c->bare_norm)
		o->n2 =
		    add(&a, one, c->C, 0, "post_attention_layernorm.weight");
	mlp(&a, o);
}

void
gv_table_decoder(struct gv_table *t)
{
	struct gv_model *m = t->m;
	const struct gv_text_config *c = &m->cfg.text;
	struct offsets *o = &m->priv->at;
	struct gv_spec w =
	    gv_spec_rows(&m->cfg, GV_LANGUAGE, m->cfg.init.embedding);
	int i;

	o->embed = gv_table_add(t, w, c->V, c->C, "model.embed_tokens.weight");
	for (i = 0; i < c->L; i++)
		decoder_layer(t, &o->lm[i], i);
	if (!c->bare_norm)
		o->norm = gv_table_add(
		    t, gv_spec_ones(GV_LANGUAGE), c->C, 0, "model.norm.weight");
	o->head = o->embed;
	if (!c->tied)
		o->head = gv_table_add(t, w, c->V, c->C, "lm_head.weight");
}
