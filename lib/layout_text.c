/* Activation memory of the decoder and the head. */
#include "layout_priv.h"

#include "banned.h"

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
    struct gv_arena *r)
{
	const struct gv_text_config *t = &m->cfg.text;

	*x = (struct lm_acts){0};
	x->mid = ACT(N * t->C);
	x->qkv = ACT(N * (t->H + 2 * t->G) * t->D);
	x->att = ACT(N * t->H * t->D);
	x->gu = ACT(N * (t->gated ? 2 : 1) * t->F);
	if (!back)
		return;
	if (t->qk_norm)
		x->qk = ACT(N * (t->H + t->G) * t->D);
	x->rstd1 = F32(N);
	x->rstd2 = F32(N);
	x->lse = F32(N * t->H);
}

void
gv_layout_text(const struct gv_model *m, const struct gv_limits *l,
    struct acts *a, struct gv_arena *r)
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
	if (back && t->embed_norm)
		a->e_rstd = F32(N);
	a->x = back ? ACT(N * t->C) : a->lm[0].res;
	a->dh = a->x; /* which the head has read by then */
	for (i = 0; l->kv_rows && i < t->L; i++) {
		a->kc[i] = ACT(l->kv_rows * t->G * t->D);
		a->vc[i] = ACT(l->kv_rows * t->G * t->D);
	}
}

void
gv_layout_layers(const struct gv_model *m, const struct gv_limits *l,
    struct acts *a, struct gv_arena *r)
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
	if (t->qk_norm)
		a->dqk = ACT(N * (t->H + t->G) * t->D);
	a->datt = ACT(N * t->H * t->D);
	a->dsw = ACT(N * t->F);
}

void
gv_layout_head(const struct gv_model *m, const struct gv_limits *l,
    struct acts *a, struct gv_arena *r)
{
	const struct gv_text_config *t = &m->cfg.text;
	int64_t M = l->outs;

	a->sel_n = ACT(M * t->C);
	a->sel_rstd = F32(M);
	if (l->logits)
		a->logits = F32(M * t->V);
	if (l->backward && back_language(m))
		a->dsel = ACT(M * t->C);
	a->head_ws = gv_take(r, (int64_t)gvk_xent_ws(m->k, M, t->C, t->V), 1);
}
