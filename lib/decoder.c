/* The decoder: tokens and image rows to the hidden rows that the head needs. */
#include "decoder_priv.h"

#include "banned.h"

#include <math.h>

struct gvk_attn
gv_decoder_attention(const struct gv_model *m, const struct gv_batch *b)
{
	const struct gv_text_config *c = &m->cfg.text;
	struct acts *a = &m->priv->a;
	struct gvk_attn t = {0};
	float turn = (float)c->rope.attention;

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
	t.scale = turn * turn / sqrtf((float)c->D);
	t.ldq = apart(m) ? qk_width(c) : qkv_width(c);
	t.ldk = b->kv_row ? c->G * c->D : t.ldq;
	t.ldv = b->kv_row ? c->G * c->D : qkv_width(c);
	t.ldo = c->H * c->D;
	return t;
}

/* The norm of each head of queries and keys, from u->qkv to qk. */
static void
norm_heads(struct gv_model *m, int64_t l, void *qk, int64_t N, int64_t ld)
{
	const struct gv_text_config *c = &m->cfg.text;
	const struct lm_layer *o = &m->priv->at.lm[l];
	void *qkv = m->priv->a.lm[l].qkv;
	int64_t HD = c->H * c->D, Q = qkv_width(c);
	float eps = (float)c->eps;

	if (c->bare_norm) {
		gvk_headnorm(
		    m->s, qk, qkv, NULL, eps, N, c->H + c->G, c->D, ld, Q);
		return;
	}
	gvk_headnorm(m->s, qk, qkv, LP(o->qn), eps, N, c->H, c->D, ld, Q);
	gvk_headnorm(m->s, row(m, qk, HD), row(m, qkv, HD), LP(o->kn), eps, N,
	    c->G, c->D, ld, Q);
}

/* Norm, rotation, and the batch's keys and values into the cache. */
static void
put_cache(struct gv_model *m, const struct gv_batch *b, int64_t l)
{
	const struct gv_text_config *c = &m->cfg.text;
	const struct lm_layer *o = &m->priv->at.lm[l];
	const float *freq = m->priv->freq;
	struct acts *a = &m->priv->a;
	void *qkv = a->lm[l].qkv, *kc = a->kc[l], *vc = a->vc[l];

	if (c->qk_norm)
		gvk_norm_rope_cache(m->s, qkv, kc, vc,
		    c->bare_norm ? NULL : LP(o->qn),
		    c->bare_norm ? NULL : LP(o->kn), (float)c->eps, a->in.pos,
		    freq, a->in.kv_row, b->N, c->H, c->G, c->D);
	else
		gvk_rope_cache(m->s, qkv, kc, vc, a->in.pos, freq, a->in.kv_row,
		    b->N, c->H, c->G, c->D);
}

/* Attends to the cache after putting the batch's keys there, or to the batch's
 * own keys. */
static void
attend(struct gv_model *m, const struct gv_batch *b, int64_t l)
{
	const struct gv_text_config *c = &m->cfg.text;
	struct gvk_attn t = gv_decoder_attention(m, b);
	struct acts *a = &m->priv->a;
	struct lm_acts *u = &a->lm[l];
	void *q = apart(m) ? u->qk : u->qkv;

	if (b->kv_row) {
		put_cache(m, b, l);
		gvk_attention(m->s, u->att, u->lse, q, a->kc[l], a->vc[l], &t);
		return;
	}
	if (c->qk_norm)
		norm_heads(m, l, q, b->N, t.ldq);
	gvk_rope(m->s, q, a->in.pos, m->priv->freq, false, b->N, c->H + c->G,
	    c->D, t.ldq);
	gvk_attention(m->s, u->att, u->lse, q, row(m, q, c->H * c->D),
	    row(m, u->qkv, qk_width(c)), &t);
}

/* The first half of layer l: from u->res to u->att. */
static void
attend_layer(struct gv_model *m, const struct gv_batch *b, int64_t l)
{
	const struct gv_text_config *c = &m->cfg.text;
	const struct lm_layer *o = &m->priv->at.lm[l];
	struct acts *a = &m->priv->a;
	struct lm_acts *u = &a->lm[l];
	const void *bqkv = c->qkv_bias ? LP(o->bqkv) : NULL;
	int64_t Q = qkv_width(c);
	float eps = (float)c->eps;

	if (m->priv->keep) {
		gvk_rmsnorm(m->s, a->n, NULL, u->rstd1, u->res, NULL,
		    norm_of(m, o->n1), eps, b->N, c->C);
		gvk_linear(m->s, u->qkv, NULL, a->n, LP(o->wqkv), bqkv, NULL,
		    GVK_ACT_NONE, b->N, c->C, Q);
	} else {
		gvk_norm_linear(m->s, u->qkv, a->n, u->res, norm_of(m, o->n1),
		    eps, LP(o->wqkv), bqkv, b->N, c->C, Q);
	}
	attend(m, b, l);
}

/* The second half for N rows: from att and the stream x to u->mid, a->sw and,
 * to be kept, u->gu. */
static void
mlp_layer(struct gv_model *m, int64_t l, const void *att, const void *x,
    int64_t N, bool keep)
{
	const struct gv_text_config *c = &m->cfg.text;
	const struct lm_layer *o = &m->priv->at.lm[l];
	const void *n2 = norm_of(m, o->n2);
	struct acts *a = &m->priv->a;
	struct lm_acts *u = &a->lm[l];
	float eps = (float)c->eps;

	gvk_linear(m->s, u->mid, NULL, att, LP(o->wo),
	    c->o_bias ? LP(o->bo) : NULL, x, GVK_ACT_NONE, N, c->H * c->D,
	    c->C);
	if (c->gated && !m->priv->keep) {
		gvk_norm_gated(m->s, a->sw, u->gu, a->n, u->mid, n2, eps,
		    LP(o->wgu), N, c->C, c->F);
		return;
	}
	gvk_rmsnorm(m->s, a->n, NULL, u->rstd2, u->mid, NULL, n2, eps, N, c->C);
	if (c->gated)
		gvk_gated(
		    m->s, a->sw, u->gu, keep, a->n, LP(o->wgu), N, c->C, c->F);
	else
		gvk_linear(m->s, a->sw, keep ? u->gu : NULL, a->n, LP(o->wgu),
		    NULL, NULL, GVK_RELU2, N, c->C, c->F);
}

void
gv_decoder_layer(
    struct gv_model *m, const struct gv_batch *b, int64_t l, bool keep)
{
	const struct lm_acts *u = &m->priv->a.lm[l];

	attend_layer(m, b, l);
	mlp_layer(m, l, u->att, u->res, b->N, keep);
}

/* ... and its end: to the stream `out`. */
static void
end_layer(struct gv_model *m, int64_t l, void *out, int64_t N)
{
	const struct gv_text_config *c = &m->cfg.text;

	gvk_linear(m->s, out, NULL, m->priv->a.sw, LP(m->priv->at.lm[l].wd),
	    NULL, m->priv->a.lm[l].mid, GVK_ACT_NONE, N, c->F, c->C);
}

/* The last layer: behind its attention only the rows that the head reads go
 * on. */
static void
last_layer(struct gv_model *m, const struct gv_batch *b, int64_t l)
{
	const struct gv_text_config *c = &m->cfg.text;
	struct acts *a = &m->priv->a;
	const struct lm_acts *u = &a->lm[l];
	int64_t HD = c->H * c->D, C = c->C;

	attend_layer(m, b, l);
	if (b->every) {
		mlp_layer(m, l, u->att, u->res, b->N, m->priv->keep);
		return;
	}
	gvk_gather(m->s, a->sel_att, u->att, a->in.out, b->M, HD, HD, HD);
	gvk_gather(m->s, a->sel_res, u->res, a->in.out, b->M, C, C, C);
	mlp_layer(m, l, a->sel_att, a->sel_res, b->M, m->priv->keep);
}

/* Token and image rows to the first layer; where a norm comes in between they
 * are in a->n. */
static void
embed(struct gv_model *m, const struct gv_batch *b)
{
	const struct gv_text_config *c = &m->cfg.text;
	struct gv_model_priv *p = m->priv;
	struct acts *a = &p->a;

	gvk_embedding(m->s, c->embed_norm ? a->n : a->lm[0].res,
	    LP(p->at.embed), a->embeds, a->in.id, b->N, c->C);
	if (c->embed_norm)
		gvk_rmsnorm(m->s, a->lm[0].res, NULL, a->e_rstd, a->n, NULL,
		    p->ones, (float)c->eps, b->N, c->C);
}

void
gv_decoder_forward(struct gv_model *m, const struct gv_batch *b)
{
	const struct gv_text_config *c = &m->cfg.text;
	struct gv_model_priv *p = m->priv;
	struct acts *a = &p->a;
	int64_t l;

	embed(m, b);
	for (l = 0; l < c->L - 1; l++) {
		gv_decoder_layer(m, b, l, p->keep && !p->lim.recompute);
		end_layer(m, l, a->lm[l + 1].res, b->N);
	}
	last_layer(m, b, l);
	end_layer(m, l, a->x, b->M);
	gvk_rmsnorm(m->s, a->sel_n, NULL, a->sel_rstd, a->x, NULL,
	    norm_of(m, p->at.norm), (float)c->eps, b->M, c->C);
}
