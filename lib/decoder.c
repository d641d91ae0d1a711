/* The decoder: tokens and image rows to the hidden rows that the head needs,
 * and back.
 */
#include "model_priv.h"

#include "banned.h"

#include <math.h>

#define LP(off) param(m, GV_LANGUAGE, off)
#define LG(off) grad(m, GV_LANGUAGE, off)

static struct gvk_attn
attention_of(const struct gv_model *m, const struct gv_batch *b)
{
	const struct gv_text_config *c = &m->cfg.text;
	struct acts *a = &m->priv->a;
	struct gvk_attn t = {0};

	t.S = (int32_t)b->S;
	t.H = (int32_t)c->H;
	t.G = (int32_t)c->G;
	t.D = (int32_t)c->D;
	t.max_q = b->max_q;
	t.max_k = b->max_k;
	t.q_at = a->q_at;
	t.k_at = b->kv_row ? a->k_at : a->q_at;
	t.k_len = a->k_len;
	t.p_at = b->p_at ? a->p_at : NULL;
	t.p_len = b->p_at ? a->p_len : NULL;
	t.causal = true;
	t.scale = 1 / sqrtf((float)c->D);
	t.ldq = (c->H + 2 * c->G) * c->D;
	t.ldk = t.ldv = b->kv_row ? c->G * c->D : t.ldq;
	t.ldo = c->H * c->D;
	return t;
}

/* Attention over the batch's own keys, or over the cache after putting the
 * batch's keys there. */
static void
attend(struct gv_model *m, const struct gv_batch *b, int64_t l)
{
	const struct gv_text_config *c = &m->cfg.text;
	struct gvk_attn t = attention_of(m, b);
	struct acts *a = &m->priv->a;
	struct lm_acts *u = &a->lm[l];
	int64_t GD = c->G * c->D;
	void *k = row(m, u->qkv, c->H * c->D), *v = row(m, k, GD);

	if (b->kv_row) {
		gvk_scatter(m->s, a->kc[l], k, a->kv_row, b->N, GD, GD, t.ldq);
		gvk_scatter(m->s, a->vc[l], v, a->kv_row, b->N, GD, GD, t.ldq);
		k = a->kc[l];
		v = a->vc[l];
	}
	gvk_attention(m->s, u->att, u->lse, u->qkv, k, v, &t);
}

/* Runs layer l on the stream x + r; afterwards it is mid + r. */
static void
layer(struct gv_model *m, const struct gv_batch *b, int64_t l, const void *x,
    void *r)
{
	const struct gv_text_config *c = &m->cfg.text;
	const struct lm_layer *o = &m->priv->at.lm[l];
	struct acts *a = &m->priv->a;
	struct lm_acts *u = &a->lm[l];
	struct gvk_stream *s = m->s;
	int64_t N = b->N, C = c->C, Q = (c->H + 2 * c->G) * c->D;
	float eps = (float)c->eps;

	gvk_rmsnorm(s, u->n1, u->res, u->rstd1, x, r, LP(o->n1), eps, N, C);
	gvk_linear(s, u->qkv, NULL, u->n1, LP(o->wqkv),
	    c->qkv_bias ? LP(o->bqkv) : NULL, GVK_ACT_NONE, N, C, Q);
	gvk_rope(
	    s, u->qkv, a->pos, m->priv->freq, false, N, c->H + c->G, c->D, Q);
	attend(m, b, l);
	gvk_linear(s, a->ao, NULL, u->att, LP(o->wo), NULL, GVK_ACT_NONE, N,
	    c->H * c->D, C);
	gvk_rmsnorm(
	    s, u->n2, u->mid, u->rstd2, u->res, a->ao, LP(o->n2), eps, N, C);
	gvk_linear(s, u->gu, NULL, u->n2, LP(o->wgu), NULL, GVK_ACT_NONE, N, C,
	    2 * c->F);
	gvk_swiglu(s, u->sw, u->gu, N, c->F);
	gvk_linear(
	    s, r, NULL, u->sw, LP(o->wd), NULL, GVK_ACT_NONE, N, c->F, C);
}

void
gv_decoder_forward(struct gv_model *m, const struct gv_batch *b)
{
	const struct gv_text_config *c = &m->cfg.text;
	struct gv_model_priv *p = m->priv;
	struct acts *a = &p->a;
	int64_t C = c->C, l;
	void *x = a->x0, *r = a->mo;

	gvk_embedding(m->s, x, LP(p->at.embed), a->embeds, a->id, b->N, C);
	/* the stream enters the first layer as x + 0 */
	gvk_zero(m->s, r, (size_t)(b->N * C) * p->esize);
	for (l = 0; l < c->L; l++) {
		layer(m, b, l, x, r);
		x = a->lm[l].mid;
	}
	/* only the rows that the head reads are normalised */
	gvk_gather(m->s, a->sel_x, x, a->out, b->M, C, C, C);
	gvk_gather(m->s, a->sel_r, r, a->out, b->M, C, C, C);
	gvk_rmsnorm(m->s, a->sel_n, a->sel_h, a->sel_rstd, a->sel_x, a->sel_r,
	    LP(p->at.norm), (float)c->eps, b->M, C);
}

/* dh: gradient of the stream after layer l, becomes that before it. */
static void
layer_back(struct gv_model *m, const struct gv_batch *b, int64_t l, void *dh)
{
	const struct gv_text_config *c = &m->cfg.text;
	const struct lm_layer *o = &m->priv->at.lm[l];
	struct gvk_attn t = attention_of(m, b);
	struct acts *a = &m->priv->a;
	struct lm_acts *u = &a->lm[l];
	struct gvk_stream *s = m->s;
	int64_t N = b->N, C = c->C, Q = (c->H + 2 * c->G) * c->D;
	int64_t HD = c->H * c->D, GD = c->G * c->D;

	gvk_linear_bwd(s, a->dsw, LG(o->wd), NULL, dh, u->sw, NULL, LP(o->wd),
	    GVK_ACT_NONE, false, N, c->F, C);
	gvk_swiglu_bwd(s, a->dgu, a->dsw, u->gu, N, c->F);
	gvk_linear_bwd(s, a->dn, LG(o->wgu), NULL, a->dgu, u->n2, NULL,
	    LP(o->wgu), GVK_ACT_NONE, false, N, C, 2 * c->F);
	gvk_rmsnorm_bwd(
	    s, dh, LG(o->n2), a->dn, dh, u->mid, u->rstd2, LP(o->n2), N, C);
	gvk_linear_bwd(s, a->datt, LG(o->wo), NULL, dh, u->att, NULL, LP(o->wo),
	    GVK_ACT_NONE, false, N, HD, C);
	gvk_attention_bwd(s, a->dqkv, row(m, a->dqkv, HD),
	    row(m, a->dqkv, HD + GD), a->datt, u->att, u->lse, u->qkv,
	    row(m, u->qkv, HD), row(m, u->qkv, HD + GD), &t, a->ws);
	gvk_rope(
	    s, a->dqkv, a->pos, m->priv->freq, true, N, c->H + c->G, c->D, Q);
	gvk_linear_bwd(s, a->dn, LG(o->wqkv), c->qkv_bias ? LG(o->bqkv) : NULL,
	    a->dqkv, u->n1, NULL, LP(o->wqkv), GVK_ACT_NONE, false, N, C, Q);
	gvk_rmsnorm_bwd(
	    s, dh, LG(o->n1), a->dn, dh, u->res, u->rstd1, LP(o->n1), N, C);
}

void
gv_decoder_backward(struct gv_model *m, const struct gv_batch *b)
{
	const struct gv_text_config *c = &m->cfg.text;
	struct gv_model_priv *p = m->priv;
	struct acts *a = &p->a;
	int64_t C = c->C, E = b->B * m->cfg.R, l;
	bool down = back_projector(m) && b->B > 0;

	gvk_rmsnorm_bwd(m->s, a->dsel, LG(p->at.norm), a->dsel_n, NULL,
	    a->sel_h, a->sel_rstd, LP(p->at.norm), b->M, C);
	gvk_zero(m->s, a->dh, (size_t)(b->N * C) * p->esize);
	gvk_scatter(m->s, a->dh, a->dsel, a->out, b->M, C, C, C);
	for (l = c->L - 1; l >= 0; l--)
		layer_back(m, b, l, a->dh);
	if (down || LG(p->at.embed))
		gvk_embedding_bwd(m->s, LG(p->at.embed),
		    down ? a->dembeds : NULL, a->dh, a->id, b->N, C, c->V, E);
}
