/* The decoder's tensors. */
#include "model_table.h"

#include "banned.h"

static void
decoder_layer(struct gv_table *t, struct lm_layer *o, int i)
{
	const struct gv_config *f = &t->m->cfg;
	const struct gv_text_config *c = &f->text;
	int64_t Q = c->H * c->D, K = c->G * c->D;
	struct gv_spec w = gv_spec_matrix(f, GV_LANGUAGE, c->C, 0);
	struct gv_spec out = gv_spec_matrix(f, GV_LANGUAGE, Q, c->L);
	struct gv_spec down = gv_spec_matrix(f, GV_LANGUAGE, c->F, c->L);
	struct gv_spec one = gv_spec_ones(GV_LANGUAGE),
		       zero = gv_spec_zeros(GV_LANGUAGE);
#define L "model.layers.%d."

	o->n1 = gv_table_add(t, one, c->C, 0, L "input_layernorm.weight", i);
	o->wqkv = gv_table_add(t, w, Q, c->C, L "self_attn.q_proj.weight", i);
	gv_table_add(
	    t, gv_spec_joined(w), K, c->C, L "self_attn.k_proj.weight", i);
	gv_table_add(
	    t, gv_spec_joined(w), K, c->C, L "self_attn.v_proj.weight", i);
	if (c->qkv_bias) {
		o->bqkv =
		    gv_table_add(t, zero, Q, 0, L "self_attn.q_proj.bias", i);
		gv_table_add(t, gv_spec_joined(zero), K, 0,
		    L "self_attn.k_proj.bias", i);
		gv_table_add(t, gv_spec_joined(zero), K, 0,
		    L "self_attn.v_proj.bias", i);
	}
	o->wo = gv_table_add(t, out, c->C, Q, L "self_attn.o_proj.weight", i);
	o->n2 = gv_table_add(
	    t, one, c->C, 0, L "post_attention_layernorm.weight", i);
	o->wgu = gv_table_add(t, w, c->F, c->C, L "mlp.gate_proj.weight", i);
	gv_table_add(
	    t, gv_spec_joined(w), c->F, c->C, L "mlp.up_proj.weight", i);
	o->wd = gv_table_add(t, down, c->C, c->F, L "mlp.down_proj.weight", i);
#undef L
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
	o->norm = gv_table_add(
	    t, gv_spec_ones(GV_LANGUAGE), c->C, 0, "model.norm.weight");
	o->head = o->embed;
	if (!c->tied)
		o->head = gv_table_add(t, w, c->V, c->C, "lm_head.weight");
}
