/* Activation memory: one pass over this list counts it, a second assigns it. */
#include "model_priv.h"

#include "mem.h"
#include "banned.h"

struct arena {
	char *base;
	size_t at;
};

static void *
take(struct arena *r, int64_t n, size_t size)
{
	size_t at = r->at;

	r->at += gv_align((size_t)n * size);
	return r->base ? r->base + at : NULL;
}

/* Short names for the arrays of one element type. */
#define ACT(n) take(r, n, m->priv->esize)
#define F32(n) take(r, n, sizeof(float))
#define I32(n) take(r, n, sizeof(int32_t))

static int64_t
max64(int64_t a, int64_t b)
{
	return a > b ? a : b;
}

static void
uploads(const struct gv_model *m, const struct gv_limits *l, struct acts *a,
    struct arena *r)
{
	const struct gv_vision_config *v = &m->cfg.vision;
	int64_t B = l->images, N = l->tokens, S = l->seqs, M = l->outs;

	a->image = take(r, B * v->image * v->image, 3);
	a->id = I32(N);
	a->pos = I32(N);
	a->kv_row = I32(l->kv_rows ? N : 0);
	a->out = I32(M);
	a->target = I32(M);
	a->g = F32(M);
	a->logp = F32(M);
	a->entropy = F32(M);
	a->q_at = I32(S + 1);
	a->k_at = I32(S);
	a->k_len = I32(S);
	a->p_at = I32(S);
	a->p_len = I32(S);
	a->v_at = I32(B + 1);
	a->v_len = I32(B);
	a->r_q = I32(B + 1);
	a->r_k = I32(B);
	a->r_len = I32(B);
	a->latent_id = I32(B * m->cfg.R);
}

/* What a block of the tower keeps for its backward pass. */
static void
vit_block(const struct gv_model *m, struct vit_acts *x, int64_t rows, int64_t C,
    int64_t F, int64_t H, struct arena *r)
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
    int64_t F, struct arena *r)
{
	*x = (struct vit_acts){0};
	x->res = ACT(rows * C);
	x->mid = ACT(rows * C);
	x->n1 = x->att = x->n2 = ACT(rows * C);
	x->qkv = x->act = ACT(rows * max64(3 * C, F));
}

static void
vision(const struct gv_model *m, const struct gv_limits *l, struct acts *a,
    struct arena *r)
{
	const struct gv_vision_config *v = &m->cfg.vision;
	int64_t rows = gv_vision_step(m, l) * v->P, i;
	bool back = l->backward && back_vision(m);

	a->features = ACT(l->images * v->P * v->C);
	if (!(m->priv->alloc & 1u << GV_VISION))
		return;
	a->patches = ACT(rows * 3 * v->patch * v->patch);
	if (!back) {
		struct vit_acts x;

		vit_pass(m, &x, rows, v->C, v->F, r);
		a->v_fin = x.res;
		for (i = 0; i < v->layer; i++)
			a->vit[i] = x;
		return;
	}
	a->v_fin = ACT(rows * v->C);
	a->v_mean = F32(rows);
	a->v_rstd = F32(rows);
	for (i = 0; i < v->layer; i++)
		vit_block(m, &a->vit[i], rows, v->C, v->F, v->H, r);
	a->v_dh = ACT(rows * v->C);
	a->v_dn = ACT(rows * v->C);
	a->v_dqkv = ACT(rows * 3 * v->C);
	a->v_datt = ACT(rows * v->C);
	a->v_dpre = ACT(rows * v->F);
}

/* A block of the Perceiver: BP rows of patches and BR of latents. */
static void
perceiver_block(const struct gv_model *m, struct vit_acts *x, int64_t BP,
    int64_t BR, bool back, struct arena *r)
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
    struct arena *r)
{
	const struct gv_vision_config *v = &m->cfg.vision;
	int64_t BR = l->images * m->cfg.R, BP = l->images * v->P, C = v->C, i;
	bool back = l->backward && back_resampler(m);

	for (i = 0; i < m->cfg.rs_L; i++)
		if (i == 0 || back)
			perceiver_block(m, &a->rs[i], BP, BR, back, r);
		else
			a->rs[i] = a->rs[0];
	if (!back) {
		a->rs_fin = a->rs[0].res;
		return;
	}
	a->rs_fin = ACT(BR * C);
	a->rs_mean = F32(BR);
	a->rs_rstd = F32(BR);
	a->dlat = ACT(BR * C);
	a->dq = ACT(BR * C);
	a->dkv = ACT((BP + BR) * 2 * C);
	a->dctx = ACT((BP + BR) * C);
}
static void
connector(const struct gv_model *m, const struct gv_limits *l, struct acts *a,
    struct arena *r)
{
	const struct gv_config *c = &m->cfg;
	int64_t BR = l->images * c->R, Dv = c->vision.C;
	int64_t BP = l->images * c->vision.P;

	a->embeds = ACT(BR * c->text.C);
	if (!(m->priv->alloc & 1u << GV_PROJECTOR))
		return;
	a->rows = ACT(BR * Dv);
	if (c->resampler == GV_RESAMPLER_PERCEIVER)
		perceiver(m, l, a, r);
	a->p_act = ACT(BR * c->pj_C);
	if (!l->backward || !back_projector(m))
		return;
	a->p_pre = ACT(BR * c->pj_C);
	a->dembeds = ACT(BR * c->text.C);
	a->dpj = ACT(BR * max64(c->pj_C, 4 * Dv));
	a->drows = ACT(BR * Dv);
	a->dfeat = ACT(BP * Dv);
}

static void
lm_block(const struct gv_model *m, struct lm_acts *x, int64_t N, bool back,
    struct arena *r)
{
	const struct gv_text_config *t = &m->cfg.text;

	*x = (struct lm_acts){0};
	x->res = ACT(N * t->C);
	x->mid = ACT(N * t->C);
	x->qkv = ACT(N * (t->H + 2 * t->G) * t->D);
	x->att = ACT(N * t->H * t->D);
	x->gu = ACT(N * 2 * t->F);
	if (!back)
		return;
	x->rstd1 = F32(N);
	x->rstd2 = F32(N);
	x->lse = F32(N * t->H);
}

static void
language(const struct gv_model *m, const struct gv_limits *l, struct acts *a,
    struct arena *r)
{
	const struct gv_text_config *t = &m->cfg.text;
	int64_t N = l->tokens, M = l->outs, i;
	bool back = l->backward && back_language(m);

	for (i = 0; i < t->L; i++)
		if (i == 0 || back)
			lm_block(m, &a->lm[i], N, back, r);
		else
			a->lm[i] = a->lm[0];
	a->x = back ? ACT(N * t->C) : a->lm[0].res;
	a->n = ACT(N * t->C);
	a->sw = ACT(N * t->F);
	a->sel_h = ACT(M * t->C);
	a->sel_n = ACT(M * t->C);
	a->sel_rstd = F32(M);
	if (l->logits)
		a->logits = F32(M * t->V);
	for (i = 0; l->kv_rows && i < t->L; i++) {
		a->kc[i] = ACT(l->kv_rows * t->G * t->D);
		a->vc[i] = ACT(l->kv_rows * t->G * t->D);
	}
	if (!back)
		return;
	a->dsel = ACT(M * t->C);
	a->dh = a->x; /* which the head has read by then */
	a->dn = ACT(N * t->C);
	a->dqkv = ACT(N * (t->H + 2 * t->G) * t->D);
	a->datt = ACT(N * t->H * t->D);
	a->dsw = ACT(N * t->F);
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

static size_t
larger(size_t a, size_t b)
{
	return a > b ? a : b;
}

/* The largest scratch that any op of a step asks for. */
static size_t
workspace(const struct gv_model *m, const struct gv_limits *l)
{
	const struct gv_config *c = &m->cfg;
	const struct gv_text_config *t = &c->text;
	int64_t B = l->images, P = c->vision.P, R = c->R;
	struct gvk_attn a = {0};
	size_t need = 0;

	if (c->has_text)
		need = gvk_xent_ws(m->k, l->outs, t->C, t->V);
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
		need = larger(need, attention_ws(m, a, B, P, P, B * P));
	}
	if (l->backward && back_resampler(m) &&
	    c->resampler == GV_RESAMPLER_PERCEIVER) {
		a.H = a.G = (int32_t)c->rs_H;
		a.D = (int32_t)(c->vision.C / c->rs_H);
		need = larger(need, attention_ws(m, a, B, R, P + R, B * R));
	}
	return need;
}

size_t
gv_layout(const struct gv_model *m, const struct gv_limits *l, struct acts *a,
    void *base)
{
	struct arena arena = {base, 0}, *r = &arena;

	uploads(m, l, a, r);
	if (m->cfg.has_vision)
		vision(m, l, a, r);
	if (m->cfg.has_vision && m->cfg.has_text)
		connector(m, l, a, r);
	if (m->cfg.has_text && (m->priv->alloc & 1u << GV_LANGUAGE))
		language(m, l, a, r);
	a->ws_bytes = workspace(m, l);
	a->ws = take(r, (int64_t)a->ws_bytes, 1);
	return r->at;
}
