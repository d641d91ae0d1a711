/* The decoder's way back: from the hidden rows that the head reads to the
 * embedding table and the image rows.
 */
#include "decoder_priv.h"

#include "banned.h"

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

/* The gradient of u->gu from that of the MLP's output, and a->sw again. */
static void *
act_back(struct gv_model *m, int64_t l, const void *dh, int64_t N)
{
	const struct gv_text_config *c = &m->cfg.text;
	const struct lm_layer *o = &m->priv->at.lm[l];
	struct acts *a = &m->priv->a;
	void *gu = a->lm[l].gu, *sw = again(m, a->sw);

	if (c->gated) {
		gvk_gated_bwd(
		    m->s, gu, sw, a->dsw, dh, gu, LP(o->wd), N, c->F, c->C);
		return gu;
	}
	gvk_linear_bwd(m->s, a->dsw, NULL, NULL, dh, NULL, gu, LP(o->wd),
	    GVK_RELU2, false, N, c->F, c->C);
	if (sw)
		gvk_gelu(m->s, sw, gu, GVK_RELU2, N * c->F);
	return a->dsw;
}

/* dh: gradient of the stream after the MLP of layer l, becomes that before;
 * N rows. */
static void
mlp_back(struct gv_model *m, int64_t l, void *dh, int64_t N)
{
	const struct gv_text_config *c = &m->cfg.text;
	const struct lm_layer *o = &m->priv->at.lm[l];
	struct acts *a = &m->priv->a;
	struct lm_acts *u = &a->lm[l];
	int64_t C = c->C, U = up_width(c);
	void *dgu = act_back(m, l, dh, N);

	weight_back(m, o->wd, NULL, dh, a->sw, N, c->F, C);
	input_back(m, a->dn, dgu, o->wgu, N, C, U);
	gvk_rmsnorm_bwd(m->s, dh, norm_grad(m, o->n2), again(m, a->n), a->dn,
	    dh, u->mid, u->rstd2, norm_of(m, o->n2), N, C);
	weight_back(m, o->wgu, NULL, dgu, a->n, N, C, U);
}

/* The output product of attention: a->datt from dh. */
static void
out_back(struct gv_model *m, const struct gv_batch *b, int64_t l, void *dh)
{
	const struct gv_text_config *c = &m->cfg.text;
	const struct lm_layer *o = &m->priv->at.lm[l];
	struct acts *a = &m->priv->a;

	input_back(m, a->datt, dh, o->wo, b->N, c->H * c->D, c->C);
	weight_back(m, o->wo, c->o_bias ? LG(o->bo) : NULL, dh, a->lm[l].att,
	    b->N, c->H * c->D, c->C);
}

/* The same where dh has the rows of b->out: afterwards it has all. */
static void
last_out_back(struct gv_model *m, const struct gv_batch *b, int64_t l, void *dh)
{
	const struct gv_text_config *c = &m->cfg.text;
	const struct lm_layer *o = &m->priv->at.lm[l];
	struct acts *a = &m->priv->a;
	struct gvk_stream *s = m->s;
	int64_t M = b->M, HD = c->H * c->D, C = c->C;
	size_t esize = m->priv->esize;
	void *dsel_att = a->dqkv; /* which is written after that */

	gvk_gather(s, a->sel_att, a->lm[l].att, a->in.out, M, HD, HD, HD);
	input_back(m, dsel_att, dh, o->wo, M, HD, C);
	weight_back(
	    m, o->wo, c->o_bias ? LG(o->bo) : NULL, dh, a->sel_att, M, HD, C);
	gvk_zero(s, a->datt, (size_t)(b->N * HD) * esize);
	gvk_scatter(s, a->datt, dsel_att, a->in.out, M, HD, HD, HD);
	gvk_copy(s, a->dn, dh, (size_t)(M * C) * esize);
	gvk_zero(s, dh, (size_t)(b->N * C) * esize);
	gvk_scatter(s, dh, a->dn, a->in.out, M, C, C, C);
}

/* Through the norm of each head: a->dqk to the queries' and keys' columns of
 * a->dqkv. */
static void
norm_heads_back(struct gv_model *m, int64_t l, int64_t N)
{
	const struct gv_text_config *c = &m->cfg.text;
	const struct lm_layer *o = &m->priv->at.lm[l];
	struct acts *a = &m->priv->a;
	void *qkv = a->lm[l].qkv;
	int64_t HD = c->H * c->D, Q = qkv_width(c), K = qk_width(c);
	float eps = (float)c->eps;

	if (c->bare_norm) {
		gvk_headnorm_bwd(m->s, a->dqkv, NULL, a->dqk, qkv, NULL, eps, N,
		    c->H + c->G, c->D, Q, K, Q);
		return;
	}
	gvk_headnorm_bwd(m->s, a->dqkv, LG(o->qn), a->dqk, qkv, LP(o->qn), eps,
	    N, c->H, c->D, Q, K, Q);
	gvk_headnorm_bwd(m->s, row(m, a->dqkv, HD), LG(o->kn),
	    row(m, a->dqk, HD), row(m, qkv, HD), LP(o->kn), eps, N, c->G, c->D,
	    Q, K, Q);
}

/* dh: gradient of the stream after the attention of layer l, becomes that
 * before; a->datt is the gradient of u->att. */
static void
attend_back(struct gv_model *m, const struct gv_batch *b, int64_t l, void *dh)
{
	const struct gv_text_config *c = &m->cfg.text;
	const struct lm_layer *o = &m->priv->at.lm[l];
	struct gvk_attn t = gv_decoder_attention(m, b);
	struct acts *a = &m->priv->a;
	struct lm_acts *u = &a->lm[l];
	int64_t N = b->N, C = c->C, Q = qkv_width(c), HD = c->H * c->D;
	int64_t K = qk_width(c);
	void *qk = apart(m) ? u->qk : u->qkv;
	void *dqk = apart(m) ? a->dqk : a->dqkv;

	gvk_attention_bwd(m->s, dqk, row(m, dqk, HD), row(m, a->dqkv, K),
	    a->datt, u->att, u->lse, qk, row(m, qk, HD), row(m, u->qkv, K), &t,
	    a->ws);
	gvk_rope(m->s, dqk, a->in.pos, m->priv->freq, true, N, c->H + c->G,
	    c->D, t.ldq);
	if (c->qk_norm)
		norm_heads_back(m, l, N);
	input_back(m, a->dn, a->dqkv, o->wqkv, N, C, Q);
	gvk_rmsnorm_bwd(m->s, dh, norm_grad(m, o->n1), again(m, a->n), a->dn,
	    dh, u->res, u->rstd1, norm_of(m, o->n1), N, C);
	weight_back(m, o->wqkv, c->qkv_bias ? LG(o->bqkv) : NULL, a->dqkv, a->n,
	    N, C, Q);
}

/* From the first layer's input to the tables: a->dh. */
static void
embed_back(struct gv_model *m, const struct gv_batch *b)
{
	const struct gv_text_config *c = &m->cfg.text;
	struct gv_model_priv *p = m->priv;
	struct acts *a = &p->a;
	bool down = back_projector(m) && b->B > 0;
	void *dx = a->dh;

	if (!down && !LG(p->at.embed))
		return;
	if (c->embed_norm) { /* whose input was not kept */
		gvk_embedding(m->s, a->n, LP(p->at.embed), a->embeds, a->in.id,
		    b->N, c->C);
		dx = a->lm[0].res; /* which nobody needs any more */
		gvk_rmsnorm_bwd(m->s, dx, NULL, NULL, a->dh, NULL, a->n,
		    a->e_rstd, p->ones, b->N, c->C);
	}
	gvk_embedding_bwd(m->s, LG(p->at.embed), down ? a->dembeds : NULL, dx,
	    a->in.id, b->N, c->C, c->V, b->B * m->cfg.R);
}

void
gv_decoder_backward(struct gv_model *m, const struct gv_batch *b)
{
	const struct gv_text_config *c = &m->cfg.text;
	struct gv_model_priv *p = m->priv;
	struct acts *a = &p->a;
	int64_t C = c->C, l = c->L - 1;
	void *dlast = a->sel_n; /* which nobody needs any more */

	gvk_rmsnorm_bwd(m->s, dlast, norm_grad(m, p->at.norm), NULL, a->dsel,
	    NULL, a->x, a->sel_rstd, norm_of(m, p->at.norm), b->M, C);
	gvk_copy(m->s, a->dh, dlast, (size_t)(b->M * C) * p->esize);
	mlp_back(m, l, a->dh, b->M);
	if (b->every)
		out_back(m, b, l, a->dh);
	else
		last_out_back(m, b, l, a->dh);
	attend_back(m, b, l, a->dh);
	while (l-- > 0) {
		if (p->lim.recompute)
			gv_decoder_layer(m, b, l, true);
		mlp_back(m, l, a->dh, b->N);
		out_back(m, b, l, a->dh);
		attend_back(m, b, l, a->dh);
	}
	embed_back(m, b);
}
