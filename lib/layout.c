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

static size_t
larger(size_t a, size_t b)
{
	return a > b ? a : b;
}

static int64_t
max64(int64_t a, int64_t b)
{
	return a > b ? a : b;
}

/* The part is in the model, and its memory was asked for. */
static bool
has(const struct gv_model *m, enum gv_part p)
{
	return m->part[p].n && m->priv->alloc & 1u << p;
}

/* Ranges of rows that are those of any batch. */
static void
fixed(const struct gv_model *m, const struct gv_limits *l, struct acts *a,
    struct arena *r)
{
	int64_t B = l->images;

	a->v_at = I32(B + 1);
	a->v_len = I32(B);
	a->r_q = I32(B + 1);
	a->r_len = I32(B);
	a->latent_id = I32(B * m->cfg.R);
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
	if (has(m, GV_PROJECTOR))
		n = larger(n, (size_t)(v->P * v->C) * m->priv->esize);
	return n;
}

static void
inputs(const struct gv_model *m, const struct gv_limits *l, struct inputs *x,
    struct arena *r)
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
	x->seed = take(r, draws, sizeof *x->seed);
	x->counter = take(r, draws, sizeof *x->counter);
	x->r_k = I32(B);
	x->bytes = r->at - start;
	x->image = take(r, B, image_bytes(m));
}

size_t
gv_layout_inputs(const struct gv_model *m, const struct gv_limits *l,
    struct inputs *x, void *base)
{
	struct arena r = {base, 0};

	inputs(m, l, x, &r);
	return r.at;
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
vision_kept(const struct gv_model *m, const struct gv_limits *l, struct acts *a,
    struct arena *r)
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
static void
vision_scratch(const struct gv_model *m, const struct gv_limits *l,
    struct acts *a, struct arena *r)
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

static void
vision_back(const struct gv_model *m, const struct gv_limits *l, struct acts *a,
    struct arena *r)
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
    bool back, struct arena *r)
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
    struct acts *a, struct arena *r)
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
static void
connector(const struct gv_model *m, const struct gv_limits *l, struct acts *a,
    bool back, struct arena *r)
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

static void
connector_back(const struct gv_model *m, const struct gv_limits *l,
    struct acts *a, struct arena *r)
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

/* Rows of a layer.  Behind the attention of the last one there are those that
 * the head reads, which may be more than all, if it reads some twice. */
static int64_t
lm_rows(const struct gv_limits *l)
{
	return max64(l->tokens, l->outs);
}

/* What a layer computes, apart from its input. */
static void
lm_block(const struct gv_model *m, struct lm_acts *x, int64_t N, bool back,
    struct arena *r)
{
	const struct gv_text_config *t = &m->cfg.text;

	*x = (struct lm_acts){0};
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
language_kept(const struct gv_model *m, const struct gv_limits *l,
    struct acts *a, struct arena *r)
{
	const struct gv_text_config *t = &m->cfg.text;
	int64_t N = lm_rows(l), i;
	bool back = l->backward && back_language(m);

	for (i = 0; i < t->L; i++) {
		if (i == 0 || (back && !l->recompute))
			lm_block(m, &a->lm[i], N, back, r);
		else
			a->lm[i] = a->lm[0];
		if (i == 0 || back)
			a->lm[i].res = ACT(N * t->C);
	}
	a->x = back ? ACT(N * t->C) : a->lm[0].res;
	a->dh = a->x; /* which the head has read by then */
	for (i = 0; l->kv_rows && i < t->L; i++) {
		a->kc[i] = ACT(l->kv_rows * t->G * t->D);
		a->vc[i] = ACT(l->kv_rows * t->G * t->D);
	}
}

static void
layers_scratch(const struct gv_model *m, const struct gv_limits *l,
    struct acts *a, struct arena *r)
{
	const struct gv_text_config *t = &m->cfg.text;
	int64_t N = lm_rows(l), M = l->outs;

	a->n = ACT(N * t->C);
	a->sw = ACT(N * t->F);
	a->sel_att = ACT(M * t->H * t->D);
	a->sel_res = ACT(M * t->C);
	if (!l->backward || !back_language(m))
		return;
	a->dn = ACT(N * t->C);
	a->dqkv = ACT(N * (t->H + 2 * t->G) * t->D);
	a->datt = ACT(N * t->H * t->D);
	a->dsw = ACT(N * t->F);
}

static void
head_scratch(const struct gv_model *m, const struct gv_limits *l,
    struct acts *a, struct arena *r)
{
	const struct gv_text_config *t = &m->cfg.text;
	int64_t M = l->outs;

	a->sel_n = ACT(M * t->C);
	a->sel_rstd = F32(M);
	if (l->logits)
		a->logits = F32(M * t->V);
	if (l->backward && back_language(m))
		a->dsel = ACT(M * t->C);
	a->head_ws = take(r, (int64_t)gvk_xent_ws(m->k, M, t->C, t->V), 1);
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
	int64_t B = l->images, P = c->vision.P, R = c->R;
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

/* Arrays that only one stretch of a step needs lie over each other: the tower's
 * forward pass, the decoder's layers both ways, the head between them, and the
 * way back from the embeds to the pixels. */
static void
scratch(const struct gv_model *m, const struct gv_limits *l, struct acts *a,
    struct arena *r)
{
	size_t start = r->at, most = start;
	bool tower = has(m, GV_VISION), language = has(m, GV_LANGUAGE);
	bool joined = has(m, GV_PROJECTOR);
	int stretch;

	for (stretch = 0; stretch < 4; stretch++) {
		r->at = gv_overlay(start, r->at);
		if (stretch == 0 && tower && !(l->backward && back_vision(m)))
			vision_scratch(m, l, a, r);
		if (stretch == 0 && joined)
			connector(m, l, a, false, r);
		if (stretch == 1 && language)
			layers_scratch(m, l, a, r);
		if (stretch == 2 && language)
			head_scratch(m, l, a, r);
		if (stretch == 3 && joined && l->backward && back_projector(m))
			connector_back(m, l, a, r);
		if (stretch == 3 && l->backward && back_vision(m))
			vision_back(m, l, a, r);
		most = larger(most, r->at);
	}
	r->at = most;
}

size_t
gv_layout(const struct gv_model *m, const struct gv_limits *l, struct acts *a,
    void *base)
{
	struct arena arena = {base, 0}, *r = &arena;
	const struct gv_config *c = &m->cfg;
	int i;

	fixed(m, l, a, r);
	for (i = 0; i < (gvk_is_host(m->k) ? 1 : SLOTS); i++)
		inputs(m, l, &a->slot[i], r);
	a->in = a->slot[0];
	a->logp = F32(l->outs);
	a->entropy = F32(l->outs);
	if (has(m, GV_VISION))
		vision_kept(m, l, a, r);
	if (has(m, GV_PROJECTOR)) {
		a->own_embeds = ACT(l->images * c->R * c->text.C);
		connector(m, l, a, true, r);
	}
	if (has(m, GV_LANGUAGE))
		language_kept(m, l, a, r);
	a->ws = take(r, (int64_t)workspace(m, l), 1);
	scratch(m, l, a, r);
	return r->at;
}
