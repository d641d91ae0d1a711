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
	t.q_at = a->in.q_at;
	t.k_at = b->kv_row ? a->in.k_at : a->in.q_at;
	t.k_len = a->in.k_len;
	t.p_at = b->p_at ? a->in.p_at : NULL;
	t.p_len = b->p_at ? a->in.p_len : NULL;
	t.causal = true;
	t.scale = 1 / sqrtf((float)c->D);
	t.ldq = (c->H + 2 * c->G) * c->D;
	t.ldk = t.ldv = b->kv_row ? c->G * c->D : t.ldq;
	t.ldo = c->H * c->D;
	return t;
}

/* Rotates, and attends to the batch's own keys, or to the cache after putting
 * the batch's keys there. */
static void
attend(struct gv_model *m, const struct gv_batch *b, int64_t l)
{
	const struct gv_text_config *c = &m->cfg.text;
	struct gvk_attn t = attention_of(m, b);
	struct acts *a = &m->priv->a;
	struct lm_acts *u = &a->lm[l];
	void *k = row(m, u->qkv, c->H * c->D);
	void *v = row(m, k, c->G * c->D);

	if (b->kv_row) {
		k = a->kc[l];
		v = a->vc[l];
		gvk_rope_cache(m->s, u->qkv, k, v, a->in.pos, m->priv->freq,
		    a->in.kv_row, b->N, c->H, c->G, c->D);
	} else {
		gvk_rope(m->s, u->qkv, a->in.pos, m->priv->freq, false, b->N,
		    c->H + c->G, c->D, t.ldq);
	}
	gvk_attention(m->s, u->att, u->lse, u->qkv, k, v, &t);
}

/* The residual stream before layer l; before layer L, what comes out. */
static void *
stream(const struct gv_model *m, int64_t l)
{
	const struct acts *a = &m->priv->a;

	return l < m->cfg.text.L ? a->lm[l].res : a->x;
}

/* Runs layer l up to its gate, from u->res to a->sw and, to be kept, u->gu. */
static void
layer(struct gv_model *m, const struct gv_batch *b, int64_t l, bool keep)
{
	const struct gv_text_config *c = &m->cfg.text;
	const struct lm_layer *o = &m->priv->at.lm[l];
	struct acts *a = &m->priv->a;
	struct lm_acts *u = &a->lm[l];
	struct gvk_stream *s = m->s;
	int64_t N = b->N, C = c->C, Q = (c->H + 2 * c->G) * c->D;
	float eps = (float)c->eps;

	gvk_rmsnorm(
	    s, a->n, NULL, u->rstd1, u->res, NULL, LP(o->n1), eps, N, C);
	gvk_linear(s, u->qkv, NULL, a->n, LP(o->wqkv),
	    c->qkv_bias ? LP(o->bqkv) : NULL, NULL, GVK_ACT_NONE, N, C, Q);
	attend(m, b, l);
	gvk_linear(s, u->mid, NULL, u->att, LP(o->wo), NULL, u->res,
	    GVK_ACT_NONE, N, c->H * c->D, C);
	gvk_rmsnorm(
	    s, a->n, NULL, u->rstd2, u->mid, NULL, LP(o->n2), eps, N, C);
	gvk_gated(s, a->sw, u->gu, keep, a->n, LP(o->wgu), N, C, c->F);
}

void
gv_decoder_forward(struct gv_model *m, const struct gv_batch *b)
{
	const struct gv_text_config *c = &m->cfg.text;
	struct gv_model_priv *p = m->priv;
	struct acts *a = &p->a;
	int64_t C = c->C, l;

	gvk_embedding(
	    m->s, stream(m, 0), LP(p->at.embed), a->embeds, a->in.id, b->N, C);
	for (l = 0; l < c->L; l++) {
		/* of the layers that are run again only the last is kept */
		layer(m, b, l, p->keep && (!p->lim.recompute || l == c->L - 1));
		gvk_linear(m->s, stream(m, l + 1), NULL, a->sw,
		    LP(p->at.lm[l].wd), NULL, a->lm[l].mid, GVK_ACT_NONE, b->N,
		    c->F, C);
	}
	/* only the rows that the head reads are normalised */
	gvk_gather(m->s, a->sel_h, a->x, a->in.out, b->M, C, C, C);
	gvk_rmsnorm(m->s, a->sel_n, NULL, a->sel_rstd, a->sel_h, NULL,
	    LP(p->at.norm), (float)c->eps, b->M, C);
}

/* The weight gradients of a layer take what its norms and its gate gave: the
 * backward ops give that again, where there is such a gradient. */
static void *
again(const struct gv_model *m, void *p)
{
	return m->part[GV_LANGUAGE].trains ? p : NULL;
}

/* dw += dy^T x, db likewise. */
static void
weight_back(struct gv_model *m, size_t w, float *db, const void *dy,
    const void *x, int64_t N, int64_t C, int64_t O)
{
	if (LG(w))
		gvk_linear_bwd(m->s, NULL, LG(w), db, dy, x, NULL, LP(w),
		    GVK_ACT_NONE, false, N, C, O);
}

/* dx = dy w. */
static void
input_back(struct gv_model *m, void *dx, const void *dy, size_t w, int64_t N,
    int64_t C, int64_t O)
{
	gvk_linear_bwd(m->s, dx, NULL, NULL, dy, NULL, NULL, LP(w),
	    GVK_ACT_NONE, false, N, C, O);
}

/* dh: gradient of the stream after the MLP of layer l, becomes that before. */
static void
mlp_back(struct gv_model *m, const struct gv_batch *b, int64_t l, void *dh)
{
	const struct gv_text_config *c = &m->cfg.text;
	const struct lm_layer *o = &m->priv->at.lm[l];
	struct acts *a = &m->priv->a;
	struct lm_acts *u = &a->lm[l];
	int64_t N = b->N, C = c->C, F = c->F;
	void *dgu = u->gu;

	gvk_gated_bwd(
	    m->s, dgu, again(m, a->sw), a->dsw, dh, u->gu, LP(o->wd), N, F, C);
	weight_back(m, o->wd, NULL, dh, a->sw, N, F, C);
	input_back(m, a->dn, dgu, o->wgu, N, C, 2 * F);
	gvk_rmsnorm_bwd(m->s, dh, LG(o->n2), again(m, a->n), a->dn, dh, u->mid,
	    u->rstd2, LP(o->n2), N, C);
	weight_back(m, o->wgu, NULL, dgu, a->n, N, C, 2 * F);
}

/* dh: gradient of the stream after the attention of layer l, becomes that
 * before. */
static void
attend_back(struct gv_model *m, const struct gv_batch *b, int64_t l, void *dh)
{
	const struct gv_text_config *c = &m->cfg.text;
	const struct lm_layer *o = &m->priv->at.lm[l];
	struct gvk_attn t = attention_of(m, b);
	struct acts *a = &m->priv->a;
	struct lm_acts *u = &a->lm[l];
	int64_t N = b->N, C = c->C, Q = t.ldq;
	int64_t HD = c->H * c->D, GD = c->G * c->D;

	input_back(m, a->datt, dh, o->wo, N, HD, C);
	weight_back(m, o->wo, NULL, dh, u->att, N, HD, C);
	gvk_attention_bwd(m->s, a->dqkv, row(m, a->dqkv, HD),
	    row(m, a->dqkv, HD + GD), a->datt, u->att, u->lse, u->qkv,
	    row(m, u->qkv, HD), row(m, u->qkv, HD + GD), &t, a->ws);
	gvk_rope(m->s, a->dqkv, a->in.pos, m->priv->freq, true, N, c->H + c->G,
	    c->D, Q);
	input_back(m, a->dn, a->dqkv, o->wqkv, N, C, Q);
	gvk_rmsnorm_bwd(m->s, dh, LG(o->n1), again(m, a->n), a->dn, dh, u->res,
	    u->rstd1, LP(o->n1), N, C);
	weight_back(m, o->wqkv, c->qkv_bias ? LG(o->bqkv) : NULL, a->dqkv, a->n,
	    N, C, Q);
}

void
gv_decoder_backward(struct gv_model *m, const struct gv_batch *b)
{
	const struct gv_text_config *c = &m->cfg.text;
	struct gv_model_priv *p = m->priv;
	struct acts *a = &p->a;
	int64_t C = c->C, E = b->B * m->cfg.R, l;
	bool down = back_projector(m) && b->B > 0;
	void *dsel = a->sel_n; /* which nobody needs any more */

	gvk_rmsnorm_bwd(m->s, dsel, LG(p->at.norm), NULL, a->dsel, NULL,
	    a->sel_h, a->sel_rstd, LP(p->at.norm), b->M, C);
	gvk_zero(m->s, a->dh, (size_t)(b->N * C) * p->esize);
	gvk_scatter(m->s, a->dh, dsel, a->in.out, b->M, C, C, C);
	for (l = c->L - 1; l >= 0; l--) {
		if (p->lim.recompute && l < c->L - 1)
			layer(m, b, l, true);
		mlp_back(m, b, l, a->dh);
		attend_back(m, b, l, a->dh);
	}
	if (down || LG(p->at.embed))
		gvk_embedding_bwd(m->s, LG(p->at.embed),
		    down ? a->dembeds : NULL, a->dh, a->in.id, b->N, C, c->V,
		    E);
}
