/* Batches through the model: uploads, loss, logits, features. */
#include "model_priv.h"

#include "mem.h"
#include "banned.h"

#include <math.h>

/* ---- memory -------------------------------------------------------------- */

static void
use_stores(const struct gv_model *m, struct acts *a)
{
	struct gv_model_priv *p = m->priv;

	memset(a, 0, sizeof *a);
	a->vit = p->vit_store;
	a->rs = p->rs_store;
	a->lm = p->lm_store;
	a->kc = p->cache_store;
	a->vc = p->cache_store ? p->cache_store + m->cfg.text.L : NULL;
}

int
gv_model_need(const struct gv_model *m, const struct gv_limits *l,
    size_t *bytes, struct gv_error *e)
{
	const int64_t most = INT32_MAX;
	struct acts a;

	if (l->images > most || l->tokens > most || l->seqs > most ||
	    l->outs > most || l->kv_rows > most)
		return gv_fail(e, GV_ERR_LIMIT,
		    "a batch of this size has "
		    "more rows than 32 bits count");
	use_stores(m, &a);
	*bytes = gv_layout(m, l, &a, NULL);
	/* counting has cleared the pointers of the layout in use */
	if (m->priv->block) {
		use_stores(m, &a);
		gv_layout(m, &m->priv->lim, &a, m->priv->block);
	}
	return 0;
}

/* Latents are rows 0..R-1 of their table for every image. */
static int
upload_latent_ids(struct gv_model *m, struct gv_error *e)
{
	int64_t n = m->priv->lim.images * m->cfg.R, i;
	int32_t *id;

	if (m->cfg.resampler != GV_RESAMPLER_PERCEIVER || !n)
		return 0;
	id = gv_alloc((size_t)n, sizeof *id);
	if (!id)
		return gv_fail(e, GV_ERR_NOMEM, "out of memory");
	for (i = 0; i < n; i++)
		id[i] = (int32_t)(i % m->cfg.R);
	gvk_put(m->s, m->priv->a.latent_id, id, (size_t)n * sizeof *id);
	if (gv_model_sync(m, e)) {
		gv_free(id);
		return e->code;
	}
	gv_free(id);
	return 0;
}

int
gv_model_reserve(
    struct gv_model *m, const struct gv_limits *l, struct gv_error *e)
{
	struct gv_model_priv *p = m->priv;
	size_t bytes;

	if (gv_model_sync(m, e))
		return e->code;
	gvk_free(m->k, p->block);
	p->block = NULL;
	p->reserved = false;
	if (gv_model_need(m, l, &bytes, e))
		return e->code;
	p->block = gvk_alloc(m->k, bytes);
	if (!p->block)
		return gv_fail(e, GV_ERR_NOMEM,
		    "out of memory: activations need %.1f MiB",
		    (double)bytes / 1048576);
	p->block_bytes = bytes;
	p->lim = *l;
	use_stores(m, &p->a);
	gv_layout(m, l, &p->a, p->block);
	p->reserved = true;
	return upload_latent_ids(m, e);
}

/* ---- uploads ------------------------------------------------------------- */

static int
check(const struct gv_model *m, const struct gv_batch *b, struct gv_error *e)
{
	const struct gv_limits *l = &m->priv->lim;

	if (!m->priv->reserved)
		return gv_fail(e, GV_ERR_MATCH, "no activation memory yet");
	if (b->B > l->images || b->N > l->tokens || b->S > l->seqs ||
	    b->M > l->outs || b->max_q > l->max_q || b->max_k > l->max_k ||
	    (b->kv_row && !l->kv_rows))
		return gv_fail(e, GV_ERR_LIMIT,
		    "a batch exceeds the memory planned for it");
	return 0;
}

static int
has_part(const struct gv_model *m, enum gv_part p, struct gv_error *e)
{
	if (m->part[p].w)
		return 0;
	return gv_fail(e, GV_ERR_MATCH, "the model's %s part was not read",
	    gv_part_name(p));
}

/* The parts that take the images of a batch to `to` must be here. */
static int
check_parts(const struct gv_model *m, const struct gv_batch *b,
    enum gv_input to, struct gv_error *e)
{
	if (b->B && b->input == GV_IN_IMAGE && has_part(m, GV_VISION, e))
		return e->code;
	if (!b->B || b->input == GV_IN_EMBEDS || to != GV_IN_EMBEDS)
		return 0;
	if (m->cfg.resampler == GV_RESAMPLER_PERCEIVER &&
	    has_part(m, GV_RESAMPLER, e))
		return e->code;
	return has_part(m, GV_PROJECTOR, e);
}

static void
put_i32(struct gv_model *m, int32_t *dst, const int32_t *src, int64_t n)
{
	if (src)
		gvk_put(m->s, dst, src, (size_t)n * sizeof *src);
}

/* at[i] = start + i * len for i = 0..n-1. */
static void
put_steps(struct gv_model *m, int32_t *dst, int64_t start, int64_t len,
    int64_t n, int32_t *tmp)
{
	int64_t i;

	for (i = 0; i < n; i++)
		tmp[i] = (int32_t)(start + i * len);
	put_i32(m, dst, tmp, n);
}

/* Which rows each image has: its patches, and its latents behind the patches
 * of all. */
static int
upload_ranges(struct gv_model *m, int64_t B, struct gv_error *e)
{
	struct acts *a = &m->priv->a;
	int64_t P = m->cfg.vision.P, R = m->cfg.R, n = B + 1;
	int32_t *tmp = gv_alloc((size_t)(5 * n), sizeof *tmp);
	int r;

	if (!tmp)
		return gv_fail(e, GV_ERR_NOMEM, "out of memory");
	put_steps(m, a->v_at, 0, P, n, tmp);
	put_steps(m, a->v_len, P, 0, B, tmp + n);
	put_steps(m, a->r_q, 0, R, n, tmp + 2 * n);
	put_steps(m, a->r_k, B * P, R, B, tmp + 3 * n);
	put_steps(m, a->r_len, R, 0, B, tmp + 4 * n);
	r = gv_model_sync(m, e); /* before tmp goes */
	gv_free(tmp);
	return r;
}

static int
upload_images(struct gv_model *m, const struct gv_batch *b, struct gv_error *e)
{
	const struct gv_vision_config *v = &m->cfg.vision;
	struct acts *a = &m->priv->a;
	int64_t B = b->B;

	if (!B)
		return 0;
	if (upload_ranges(m, B, e))
		return e->code;
	if (b->input == GV_IN_FEATURES)
		return gv_put_f32(
		    m, a->features, b->image, (size_t)(B * v->P * v->C), e);
	if (b->input == GV_IN_EMBEDS)
		return gv_put_f32(m, a->embeds, b->image,
		    (size_t)(B * m->cfg.R * m->cfg.text.C), e);
	gvk_put(
	    m->s, a->image, b->image, (size_t)(B * v->image * v->image * 3));
	return gv_model_sync(m, e);
}

static int
upload_tokens(struct gv_model *m, const struct gv_batch *b, struct gv_error *e)
{
	struct acts *a = &m->priv->a;
	int32_t *len = NULL;
	int64_t i;
	int r;

	put_i32(m, a->id, b->id, b->N);
	put_i32(m, a->pos, b->pos, b->N);
	put_i32(m, a->kv_row, b->kv_row, b->N);
	put_i32(m, a->q_at, b->q_at, b->S + 1);
	put_i32(m, a->p_at, b->p_at, b->S);
	put_i32(m, a->p_len, b->p_len, b->S);
	put_i32(m, a->out, b->out, b->M);
	put_i32(m, a->target, b->target, b->M);
	if (b->g)
		gvk_put(m->s, a->g, b->g, (size_t)b->M * sizeof *b->g);
	if (b->kv_row) {
		put_i32(m, a->k_at, b->k_at, b->S);
		put_i32(m, a->k_len, b->k_len, b->S);
		return gv_model_sync(m, e);
	}
	len = gv_alloc((size_t)b->S, sizeof *len);
	if (!len)
		return gv_fail(e, GV_ERR_NOMEM, "out of memory");
	for (i = 0; i < b->S; i++)
		len[i] = b->q_at[i + 1] - b->q_at[i];
	put_i32(m, a->k_len, len, b->S);
	r = gv_model_sync(m, e);
	gv_free(len);
	return r;
}

/* ---- passes -------------------------------------------------------------- */

int
gv_model_vision(struct gv_model *m, const struct gv_batch *b, enum gv_input to,
    float *out, struct gv_error *e)
{
	const struct gv_config *c = &m->cfg;
	struct acts *a = &m->priv->a;
	size_t n;
	void *src;

	if (check(m, b, e) || check_parts(m, b, to, e) ||
	    upload_images(m, b, e))
		return e->code;
	gv_vision_forward(m, b, to);
	n = to == GV_IN_FEATURES ? (size_t)(b->B * c->vision.P * c->vision.C)
				 : (size_t)(b->B * c->R * c->text.C);
	src = to == GV_IN_FEATURES ? a->features : a->embeds;
	return gv_get_f32(m, out, src, gvk_dtype(m->k), n, e);
}

/* Uploads and runs up to the hidden rows that the head reads. */
static int
forward(struct gv_model *m, const struct gv_batch *b, struct gv_error *e)
{
	if (check(m, b, e) || has_part(m, GV_LANGUAGE, e) ||
	    check_parts(m, b, GV_IN_EMBEDS, e) || upload_images(m, b, e) ||
	    upload_tokens(m, b, e))
		return e->code;
	if (b->B)
		gv_vision_forward(m, b, GV_IN_EMBEDS);
	gv_decoder_forward(m, b);
	return 0;
}

int
gv_model_loss(struct gv_model *m, const struct gv_batch *b, bool backward,
    float *logp, float *entropy, struct gv_error *e)
{
	const struct gv_text_config *c = &m->cfg.text;
	struct gv_model_priv *p = m->priv;
	struct acts *a = &p->a;
	bool back = backward && back_language(m);
	size_t bytes = (size_t)b->M * sizeof *logp;

	if (backward && !p->lim.backward)
		return gv_fail(e, GV_ERR_MATCH,
		    "no memory was planned for a backward pass");
	if (forward(m, b, e))
		return e->code;
	gvk_xent(m->s, a->logp, entropy ? a->entropy : NULL,
	    back ? a->dsel : NULL,
	    back ? grad(m, GV_LANGUAGE, p->at.head) : NULL, a->sel_n,
	    param(m, GV_LANGUAGE, p->at.head), a->target, back ? a->g : NULL, 0,
	    b->M, c->C, c->V, a->ws);
	if (back) {
		gv_decoder_backward(m, b);
		if (b->B)
			gv_vision_backward(m, b);
	}
	gvk_get(m->s, logp, a->logp, bytes);
	if (entropy)
		gvk_get(m->s, entropy, a->entropy, bytes);
	return gv_model_sync(m, e);
}

int
gv_model_logits(struct gv_model *m, const struct gv_batch *b, float **logits,
    struct gv_error *e)
{
	struct gv_model_priv *p = m->priv;

	if (!p->lim.logits)
		return gv_fail(
		    e, GV_ERR_MATCH, "no memory was planned for logits");
	if (forward(m, b, e))
		return e->code;
	gvk_logits(m->s, p->a.logits, p->a.sel_n,
	    param(m, GV_LANGUAGE, p->at.head), 0, b->M, m->cfg.text.C,
	    m->cfg.text.V);
	*logits = p->a.logits;
	return 0;
}

/* ---- work ---------------------------------------------------------------- */

/* Work of an op by that of its forward pass: once more for the gradient of its
 * input, and of its weights.  Attention has two inputs, no weights. */
static double
times(bool backward, bool input, bool weights)
{
	return backward ? 1 + input + weights : 1;
}

static double
tower_flops(const struct gv_model *m, const struct gv_batch *b, bool backward)
{
	const struct gv_vision_config *v = &m->cfg.vision;
	double rows = (double)(b->B * v->P), C = (double)v->C;
	bool back = back_vision(m);

	return 2 * rows * 3 * (double)(v->patch * v->patch) * C *
		   times(backward, false, back) +
	       (double)v->layer * rows *
		   (8 * C * C + 4 * C * (double)v->F + 4 * (double)v->P * C) *
		   times(backward, back, back);
}

static double
perceiver_flops(
    const struct gv_model *m, const struct gv_batch *b, bool backward)
{
	double P = (double)(b->B * m->cfg.vision.P),
	       C = (double)m->cfg.vision.C;
	double R = (double)(b->B * m->cfg.R);
	double seen = (double)(m->cfg.vision.P + m->cfg.R);
	bool back = back_resampler(m), trains = m->part[GV_RESAMPLER].trains;

	return (double)m->cfg.rs_L *
	       ((20 * R * C * C + 4 * (P + R) * C * C) *
		       times(backward, back, trains) +
		   4 * R * seen * C * times(backward, back, back));
}

/* From images, or features, to embeds. */
static double
vision_flops(const struct gv_model *m, const struct gv_batch *b, bool backward)
{
	double f = 0, hidden = 2 * (double)(b->B * m->cfg.R * m->cfg.pj_C);
	bool trains = m->part[GV_PROJECTOR].trains;

	if (b->input == GV_IN_EMBEDS)
		return 0;
	if (b->input == GV_IN_IMAGE)
		f += tower_flops(m, b, backward);
	if (m->cfg.resampler == GV_RESAMPLER_PERCEIVER)
		f += perceiver_flops(m, b, backward);
	f += hidden * (double)m->cfg.vision.C *
	     times(backward, back_resampler(m), trains);
	return f + hidden * (double)m->cfg.text.C *
		       times(backward, back_projector(m), trains);
}

double
gv_model_flops(
    const struct gv_model *m, const struct gv_batch *b, bool backward)
{
	const struct gv_text_config *c = &m->cfg.text;
	double N = (double)b->N, C = (double)c->C, pairs = 0, f;
	bool back = back_language(m);
	int64_t s;

	for (s = 0; s < b->S; s++) {
		double q = b->q_at[s + 1] - b->q_at[s];
		double own = b->kv_row ? b->k_len[s] : q;

		pairs +=
		    q * (own - (q - 1) / 2) + (b->p_len ? q * b->p_len[s] : 0);
	}
	f = (double)c->L * N *
	    (2 * C * (double)((2 * c->H + 2 * c->G) * c->D) +
		6 * C * (double)c->F);
	f += 2 * (double)b->M * C * (double)c->V;
	f *= times(backward, back, m->part[GV_LANGUAGE].trains);
	f += (double)c->L * 4 * pairs * (double)(c->H * c->D) *
	     times(backward, back, back);
	return b->B ? f + vision_flops(m, b, backward) : f;
}
