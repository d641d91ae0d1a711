/* Activation memory: one pass over this list counts it, a second assigns it. */
#include "layout_priv.h"

#include "banned.h"

/* Ranges of rows that are those of any batch. */
static void
fixed(const struct gv_model *m, const struct gv_limits *l, struct acts *a,
    struct gv_arena *r)
{
	int64_t B = l->images;
	const struct gv_vision_config *v = &m->cfg.vision;
	bool shuffles = m->cfg.resampler == GV_RESAMPLER_SHUFFLE;

	a->t_at = I32(B + 1);
	a->t_len = I32(B);
	a->f_at = I32(B + 1);
	a->f_len = I32(B);
	a->r_q = I32(B + 1);
	a->r_len = I32(B);
	a->latent_id = I32(B * m->cfg.R);
	a->class_id = I32(v->class_token ? B * v->T : 0);
	a->patch_at = I32(v->P < v->T ? B * v->P : 0);
	a->shuffle_at = I32(shuffles ? B * v->P : 0);
	a->fixed_bytes = r->at;
}

/* The largest form that an image can come in. */
static size_t
image_bytes(const struct gv_model *m)
{
	const struct gv_config *c = &m->cfg;
	const struct gv_vision_config *v = &c->vision;
	size_t n = 0;

	if (has(m, GV_VISION))
		n = 3 * (size_t)(v->image * v->image);
	if (c->has_text)
		n = larger(n, (size_t)(c->R * c->text.C) * m->priv->esize);
	if (is_joined(m))
		n = larger(n, (size_t)(v->P * v->C) * m->priv->esize);
	return n;
}

static void
inputs(const struct gv_model *m, const struct gv_limits *l, struct inputs *x,
    struct gv_arena *r)
{
	int64_t B = l->images, N = l->tokens, S = l->seqs, M = l->outs;
	int64_t draws = l->logits ? M : 0;
	size_t start = r->at;

	x->id = I32(N);
	x->pos = I32(N);
	x->kv_row = I32(l->kv_rows ? N : 0);
	x->q_at = I32(S + 1);
	x->k_at = I32(S);
	x->k_len = I32(S);
	x->p_at = I32(S);
	x->p_len = I32(S);
	x->out = I32(M);
	x->target = I32(M);
	x->g = F32(M);
	x->seed = gv_take(r, draws, sizeof *x->seed);
	x->counter = gv_take(r, draws, sizeof *x->counter);
	x->r_k = I32(B);
	x->bytes = r->at - start;
	x->image = gv_take(r, B, image_bytes(m));
}

size_t
gv_layout_inputs(const struct gv_model *m, const struct gv_limits *l,
    struct inputs *x, void *base)
{
	struct gv_arena r = {base, 0};

	inputs(m, l, x, &r);
	return r.at;
}

/* Scratch of attention's backward pass; a has the heads. */
static size_t
attention_ws(const struct gv_model *m, struct gvk_attn a, int64_t S,
    int64_t max_q, int64_t max_k, int64_t rows)
{
	a.S = (int32_t)S;
	a.max_q = (int32_t)max_q;
	a.max_k = (int32_t)max_k;
	return gvk_attention_bwd_ws(m->k, &a, rows);
}

/* The largest scratch that attention of any kind asks for. */
static size_t
workspace(const struct gv_model *m, const struct gv_limits *l)
{
	const struct gv_config *c = &m->cfg;
	const struct gv_text_config *t = &c->text;
	int64_t B = l->images, T = c->vision.T, P = c->vision.P, R = c->R;
	struct gvk_attn a = {0};
	size_t need = 0;

	if (c->has_text && l->backward && back_language(m)) {
		a.H = (int32_t)t->H;
		a.G = (int32_t)t->G;
		a.D = (int32_t)t->D;
		need = larger(need,
		    attention_ws(m, a, l->seqs, l->max_q, l->max_k, l->tokens));
	}
	if (l->backward && back_vision(m)) {
		a.H = a.G = (int32_t)c->vision.H;
		a.D = (int32_t)(c->vision.C / c->vision.H);
		need = larger(need, attention_ws(m, a, B, T, T, B * T));
	}
	if (l->backward && back_resampler(m) && c->rs_L) {
		a.H = (int32_t)c->rs_H;
		a.G = (int32_t)c->rs_G;
		a.D = (int32_t)c->rs_D;
		need = larger(need, attention_ws(m, a, B, R, P + R, B * R));
	}
	return need;
}

/* Arrays that only one stretch of a step needs lie over each other: the tower's
 * forward pass, the decoder's layers both ways, the head between them, and the
 * way back from the embeds to the pixels. */
static void
scratch(const struct gv_model *m, const struct gv_limits *l, struct acts *a,
    struct gv_arena *r)
{
	size_t start = r->at, most = start;
	bool tower = has(m, GV_VISION), language = has(m, GV_LANGUAGE);
	bool joined = is_joined(m);
	int stretch;

	for (stretch = 0; stretch < 4; stretch++) {
		r->at = gv_overlay(start, r->at);
		if (stretch == 0 && tower && !(l->backward && back_vision(m)))
			gv_layout_vision_pass(m, l, a, r);
		if (stretch == 0 && joined)
			gv_layout_connector(m, l, a, false, r);
		if (stretch == 1 && language)
			gv_layout_layers(m, l, a, r);
		if (stretch == 2 && language)
			gv_layout_head(m, l, a, r);
		if (stretch == 3 && joined && l->backward && back_projector(m))
			gv_layout_connector_back(m, l, a, r);
		if (stretch == 3 && l->backward && back_vision(m))
			gv_layout_vision_back(m, l, a, r);
		most = larger(most, r->at);
	}
	r->at = most;
}

size_t
gv_layout(const struct gv_model *m, const struct gv_limits *l, struct acts *a,
    void *base)
{
	struct gv_arena arena = {base, 0}, *r = &arena;
	const struct gv_config *c = &m->cfg;
	int i;

	fixed(m, l, a, r);
	for (i = 0; i < (gvk_is_host(m->k) ? 1 : SLOTS); i++)
		inputs(m, l, &a->slot[i], r);
	a->in = a->slot[0];
	a->logp = F32(l->outs);
	a->entropy = F32(l->outs);
	if (has(m, GV_VISION))
		gv_layout_vision(m, l, a, r);
	if (is_joined(m)) {
		a->own_embeds = ACT(l->images * c->R * c->text.C);
		gv_layout_connector(m, l, a, true, r);
	}
	if (has(m, GV_LANGUAGE))
		gv_layout_text(m, l, a, r);
	a->ws = gv_take(r, (int64_t)workspace(m, l), 1);
	scratch(m, l, a, r);
	return r->at;
}
