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

/* at[i] = start + i * step for i = 0..n-1. */
static void
steps(int32_t *at, int64_t start, int64_t step, int64_t n)
{
	int64_t i;

	for (i = 0; i < n; i++)
		at[i] = (int32_t)(start + i * step);
}

/* at[i]: the patch of image b that is the i-th of factor^2 in a row, for all
 * rows. */
static void
shuffle(const struct gv_config *c, int32_t *at, int64_t b)
{
	int64_t f = c->factor, side = c->vision.grid / f, i, y, x;

	for (i = 0; i < c->vision.P; i++) {
		y = i / (f * f) / side * f + i % (f * f) / f;
		x = i / (f * f) % side * f + i % f;
		at[i] = (int32_t)(b * c->vision.P + y * c->vision.grid + x);
	}
}

/* ids[0] = 0, the class token, then ~patch of image b, of ascending patches. */
static void
class_ids(int32_t *ids, int64_t b, int64_t T)
{
	int64_t i;

	ids[0] = 0;
	for (i = 1; i < T; i++)
		ids[i] = (int32_t) ~(b * (T - 1) + i - 1);
}

/* Where an array at the start of the activation block is in a copy of that. */
static int32_t *
in_copy(const struct gv_model *m, char *copy, const int32_t *array)
{
	const char *block = m->priv->block;

	return (int32_t *)(void *)(copy + ((const char *)array - block));
}

/* Which rows each image has: in the tower, of features, and its latents, which
 * are rows 0..R-1 of their table for every image. */
static void
fill_fixed(const struct gv_model *m, char *copy)
{
	const struct acts *a = &m->priv->a;
	const struct gv_vision_config *v = &m->cfg.vision;
	int64_t B = m->priv->lim.images, T = v->T, P = v->P, R = m->cfg.R, i;
	int32_t *latent = in_copy(m, copy, a->latent_id);
	int32_t *class_id = in_copy(m, copy, a->class_id);
	int32_t *patch_at = in_copy(m, copy, a->patch_at);
	int32_t *shuffle_at = in_copy(m, copy, a->shuffle_at);

	steps(in_copy(m, copy, a->t_at), 0, T, B + 1);
	steps(in_copy(m, copy, a->t_len), T, 0, B);
	steps(in_copy(m, copy, a->f_at), 0, P, B + 1);
	steps(in_copy(m, copy, a->f_len), P, 0, B);
	steps(in_copy(m, copy, a->r_q), 0, R, B + 1);
	steps(in_copy(m, copy, a->r_len), R, 0, B);
	for (i = 0; i < B; i++) {
		steps(latent + i * R, 0, 1, R);
		if (P < T)
			steps(patch_at + i * P, i * T + 1, 1, P);
		if (v->class_token)
			class_ids(class_id + i * T, i, T);
		if (m->cfg.resampler == GV_RESAMPLER_SHUFFLE)
			shuffle(&m->cfg, shuffle_at + i * P, i);
	}
}

static int
put_fixed(struct gv_model *m, struct gv_error *e)
{
	size_t bytes = m->priv->a.fixed_bytes;
	char *copy = gv_alloc(bytes, 1);
	int r;

	if (!copy)
		return gv_fail(e, GV_ERR_NOMEM, "out of memory");
	fill_fixed(m, copy);
	gvk_put(m->s, m->priv->block, copy, bytes);
	r = gv_model_sync(m, e);
	gv_free(copy);
	return r;
}

/* Where batches are staged: pinned memory beside the device's, or that itself
 * where it is the host's. */
static int
reserve_staging(struct gv_model *m, struct gv_error *e)
{
	struct gv_model_priv *p = m->priv;
	size_t bytes;
	int i;

	gvk_host_free(m->k, p->pinned);
	p->pinned = NULL;
	if (gvk_is_host(m->k)) {
		p->staged[0] = p->a.slot[0];
		return 0;
	}
	bytes = gv_layout_inputs(m, &p->lim, &p->staged[0], NULL);
	p->pinned = gvk_host_alloc(m->k, SLOTS * bytes);
	if (!p->pinned)
		return gv_fail(e, GV_ERR_NOMEM,
		    "out of memory: batches need %.1f MiB of pinned host "
		    "memory",
		    (double)(SLOTS * bytes) / 1048576);
	for (i = 0; i < SLOTS; i++)
		gv_layout_inputs(m, &p->lim, &p->staged[i],
		    (char *)p->pinned + (size_t)i * bytes);
	return 0;
}

static int
sync_up(struct gv_model *m, struct gv_error *e)
{
	return m->priv->up ? gv_sync(m->priv->up, e) : 0;
}

int
gv_model_reserve(
    struct gv_model *m, const struct gv_limits *l, struct gv_error *e)
{
	struct gv_model_priv *p = m->priv;
	size_t bytes;

	if (gv_model_sync(m, e) || sync_up(m, e))
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
	p->turn = 0;
	p->fed = false;
	if (reserve_staging(m, e) || put_fixed(m, e) || gv_vision_reserve(m, e))
		return e->code;
	p->reserved = true;
	return 0;
}

/* ---- batches ------------------------------------------------------------- */

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

int
gv_check_parts(const struct gv_model *m, const struct gv_batch *b,
    enum gv_input to, struct gv_error *e)
{
	if (b->B && b->input == GV_IN_IMAGE && has_part(m, GV_VISION, e))
		return e->code;
	if (!b->B || b->input == GV_IN_EMBEDS || to != GV_IN_EMBEDS)
		return 0;
	if (m->part[GV_RESAMPLER].n && has_part(m, GV_RESAMPLER, e))
		return e->code;
	if (m->part[GV_PROJECTOR].n || !is_joined(m))
		return has_part(m, GV_PROJECTOR, e);
	return 0;
}

/* An array that a batch may lack. */
static void
copy(void *dst, const void *src, int64_t n, size_t size)
{
	if (src && n)
		memcpy(dst, src, (size_t)n * size);
}

/* Elements of an image in the form that it comes in. */
static size_t
image_elements(const struct gv_model *m, enum gv_input input)
{
	const struct gv_config *c = &m->cfg;
	const struct gv_vision_config *v = &c->vision;

	switch (input) {
	case GV_IN_IMAGE:
		return (size_t)(v->image * v->image * 3);
	case GV_IN_FEATURES:
		return (size_t)(v->P * v->C);
	case GV_IN_EMBEDS:
		return (size_t)(c->R * c->text.C);
	case GV_IN_NONE:
		break;
	}
	return 0;
}

/* Bytes of a batch's images on the device. */
static size_t
image_bytes(const struct gv_model *m, const struct gv_batch *b)
{
	return (size_t)b->B * image_elements(m, b->input) *
	       (b->input == GV_IN_IMAGE ? 1 : m->priv->esize);
}

/* Images in the type that the device takes them in. */
static int
stage_images(struct gv_model *m, const struct gv_batch *b, struct inputs *x,
    struct gv_error *e)
{
	bool bf16 = gvk_dtype(m->k) == GVK_BF16;
	size_t n = (size_t)b->B * image_elements(m, b->input);

	if (!n)
		return 0;
	steps(x->r_k, b->B * m->cfg.vision.P, m->cfg.R, b->B);
	if (b->input != GV_IN_IMAGE && b->dtype != GV_BF16)
		return gv_from_f32(
		    x->image, bf16 ? GV_BF16 : GV_F32, b->image, n, e);
	if (b->input != GV_IN_IMAGE && !bf16)
		return gv_fail(e, GV_ERR_MATCH,
		    "a batch of BF16 rows on a device that stores F32");
	memcpy(x->image, b->image, image_bytes(m, b));
	return 0;
}

int
gv_stage(
    struct gv_model *m, const struct gv_batch *b, int slot, struct gv_error *e)
{
	struct inputs *x = &m->priv->staged[slot];
	int64_t i;

	if (check(m, b, e))
		return e->code;
	copy(x->id, b->id, b->N, sizeof *x->id);
	copy(x->pos, b->pos, b->N, sizeof *x->pos);
	copy(x->kv_row, b->kv_row, b->N, sizeof *x->kv_row);
	copy(x->q_at, b->q_at, b->N ? b->S + 1 : 0, sizeof *x->q_at);
	copy(x->p_at, b->p_at, b->S, sizeof *x->p_at);
	copy(x->p_len, b->p_len, b->S, sizeof *x->p_len);
	copy(x->k_at, b->k_at, b->S, sizeof *x->k_at);
	copy(x->k_len, b->k_len, b->S, sizeof *x->k_len);
	for (i = 0; !b->kv_row && i < b->S; i++)
		x->k_len[i] = b->q_at[i + 1] - b->q_at[i];
	copy(x->out, b->out, b->M, sizeof *x->out);
	copy(x->target, b->target, b->M, sizeof *x->target);
	copy(x->g, b->g, b->M, sizeof *x->g);
	copy(x->seed, b->seed, b->M, sizeof *x->seed);
	copy(x->counter, b->counter, b->M, sizeof *x->counter);
	return stage_images(m, b, x, e);
}

static void
put(struct gv_model *m, struct gvk_stream *s, const struct gv_batch *b,
    int slot)
{
	const struct inputs *from = &m->priv->staged[slot];
	const struct inputs *to = &m->priv->a.slot[slot];

	if (gvk_is_host(m->k))
		return; /* it is there */
	gvk_put(s, to->id, from->id, to->bytes);
	if (b->B)
		gvk_put(s, to->image, from->image, image_bytes(m, b));
}

void
gv_stage_put(struct gv_model *m, const struct gv_batch *b, int slot)
{
	put(m, m->s, b, slot);
}

void
gv_stage_use(struct gv_model *m, const struct gv_batch *b, int slot)
{
	struct acts *a = &m->priv->a;

	a->in = a->slot[slot];
	a->features =
	    b->input == GV_IN_FEATURES ? a->in.image : a->own_features;
	a->embeds = b->input == GV_IN_EMBEDS ? a->in.image : a->own_embeds;
}

/* On a device batches take the slots in turn.  Their copies run on a stream of
 * their own, which waits before each for the end of the batch that had the slot
 * before, and the batch for its copies. */
int
gv_model_feed(struct gv_model *m, const struct gv_batch *b, struct gv_error *e)
{
	struct gv_model_priv *p = m->priv;

	/* what the slot staged last must have left */
	if (sync_up(m, e) || gv_stage(m, b, p->turn, e))
		return e->code;
	if (p->up)
		put(m, p->up, b, p->turn);
	p->fed = true;
	return 0;
}

void
gv_model_unfeed(struct gv_model *m)
{
	m->priv->fed = false;
}

/* The batch is what the next pass runs on. */
static int
take(struct gv_model *m, const struct gv_batch *b, struct gv_error *e)
{
	struct gv_model_priv *p = m->priv;

	if (!p->fed && gv_model_feed(m, b, e))
		return e->code;
	p->fed = false;
	p->slot = p->turn;
	gv_stage_use(m, b, p->slot);
	if (p->up) {
		gvk_wait(m->s, p->up);
		gvk_wait(p->up, m->s); /* up to the batch before */
		p->turn = (p->turn + 1) % SLOTS;
	}
	return 0;
}

/* ---- passes -------------------------------------------------------------- */

/* Queues the images' way to `to`: where that is, and its elements. */
static int
see(struct gv_model *m, const struct gv_batch *b, enum gv_input to, void **src,
    size_t *n, struct gv_error *e)
{
	const struct gv_config *c = &m->cfg;
	struct acts *a = &m->priv->a;

	if (gv_check_parts(m, b, to, e) || take(m, b, e))
		return e->code;
	gv_vision_forward(m, b, to);
	*n = to == GV_IN_FEATURES ? (size_t)(b->B * c->vision.P * c->vision.C)
				  : (size_t)(b->B * c->R * c->text.C);
	*src = to == GV_IN_FEATURES ? a->features : a->embeds;
	return 0;
}

int
gv_model_vision(struct gv_model *m, const struct gv_batch *b, enum gv_input to,
    float *out, struct gv_error *e)
{
	void *src;
	size_t n;

	if (see(m, b, to, &src, &n, e))
		return e->code;
	return gv_get_f32(m, out, src, gvk_dtype(m->k), n, e);
}

int
gv_vision_rows(struct gv_model *m, const struct gv_batch *b, enum gv_input to,
    void *out, struct gv_error *e)
{
	void *src;
	size_t n;

	if (see(m, b, to, &src, &n, e))
		return e->code;
	gvk_get(m->s, out, src, n * m->priv->esize);
	return gv_model_sync(m, e);
}

/* Runs up to the hidden rows that the head reads. */
static int
forward(
    struct gv_model *m, const struct gv_batch *b, bool keep, struct gv_error *e)
{
	if (check(m, b, e) || has_part(m, GV_LANGUAGE, e) ||
	    gv_check_parts(m, b, GV_IN_EMBEDS, e) || take(m, b, e))
		return e->code;
	m->priv->keep = keep;
	if (b->B)
		gv_vision_forward(m, b, GV_IN_EMBEDS);
	gv_decoder_forward(m, b);
	return 0;
}

/* Memory for the way back was planned. */
static int
check_backward(const struct gv_model *m, struct gv_error *e)
{
	if (m->priv->lim.backward)
		return 0;
	return gv_fail(
	    e, GV_ERR_MATCH, "no memory was planned for a backward pass");
}

/* The head: log-probabilities, and with `back` the gradient of what it read. */
static void
head(struct gv_model *m, const struct gv_batch *b, bool entropy, bool back)
{
	const struct gv_text_config *c = &m->cfg.text;
	struct gv_model_priv *p = m->priv;
	struct acts *a = &p->a;

	gvk_xent(m->s, a->logp, entropy ? a->entropy : NULL,
	    back ? a->dsel : NULL,
	    back ? grad(m, GV_LANGUAGE, p->at.head) : NULL, a->sel_n,
	    param(m, GV_LANGUAGE, p->at.head), a->in.target,
	    back ? a->in.g : NULL, (float)c->softcap, b->M, c->C, c->V,
	    a->head_ws);
}

static void
get_logp(
    struct gv_model *m, const struct gv_batch *b, float *logp, float *entropy)
{
	size_t bytes = (size_t)b->M * sizeof *logp;

	gvk_get(m->s, logp, m->priv->a.logp, bytes);
	if (entropy)
		gvk_get(m->s, entropy, m->priv->a.entropy, bytes);
}

static void
backward_pass(struct gv_model *m, const struct gv_batch *b)
{
	gv_decoder_backward(m, b);
	if (b->B)
		gv_vision_backward(m, b);
}

int
gv_model_queue_loss(struct gv_model *m, const struct gv_batch *b, bool backward,
    float *logp, float *entropy, struct gv_error *e)
{
	bool back = backward && back_language(m);

	if ((backward && check_backward(m, e)) || forward(m, b, back, e))
		return e->code;
	head(m, b, entropy, back);
	if (back)
		backward_pass(m, b);
	get_logp(m, b, logp, entropy);
	return 0;
}

int
gv_model_loss_forward(struct gv_model *m, const struct gv_batch *b, float *logp,
    float *entropy, struct gv_error *e)
{
	if (check_backward(m, e) || forward(m, b, true, e))
		return e->code;
	head(m, b, entropy, false);
	get_logp(m, b, logp, entropy);
	return gv_model_sync(m, e);
}

int
gv_model_loss_backward(struct gv_model *m, const struct gv_batch *b,
    const float *g, struct gv_error *e)
{
	struct inputs *x = &m->priv->staged[m->priv->slot];
	struct acts *a = &m->priv->a;

	if (check_backward(m, e))
		return e->code;
	if (!back_language(m))
		return 0;
	copy(x->g, g, b->M, sizeof *g);
	if (!gvk_is_host(m->k))
		gvk_put(m->s, a->in.g, x->g, (size_t)b->M * sizeof *g);
	head(m, b, false, true);
	backward_pass(m, b);
	return 0;
}

int
gv_model_loss(struct gv_model *m, const struct gv_batch *b, bool backward,
    float *logp, float *entropy, struct gv_error *e)
{
	if (gv_model_queue_loss(m, b, backward, logp, entropy, e))
		return e->code;
	return gv_model_sync(m, e);
}

int
gv_model_logits(struct gv_model *m, const struct gv_batch *b, float **logits,
    struct gv_error *e)
{
	const struct gv_text_config *c = &m->cfg.text;
	struct gv_model_priv *p = m->priv;

	if (!p->lim.logits)
		return gv_fail(
		    e, GV_ERR_MATCH, "no memory was planned for logits");
	if (forward(m, b, false, e))
		return e->code;
	gvk_logits(m->s, p->a.logits, p->a.sel_n,
	    param(m, GV_LANGUAGE, p->at.head), (float)c->softcap, b->M, c->C,
	    c->V);
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
	double rows = (double)(b->B * v->T), C = (double)v->C;
	double patches = (double)(b->B * v->grid * v->grid);
	bool back = back_vision(m);

	return 2 * patches * 3 * (double)(v->patch * v->patch) * C *
		   times(backward, false, back) +
	       (double)v->layer * rows *
		   (8 * C * C + 4 * C * (double)v->F + 4 * (double)v->T * C) *
		   times(backward, back, back);
}

/* Products of a Perceiver: on patches P and latents R, with queries of width Q
 * and keys of width K. */
static double
perceiver_flops(
    const struct gv_model *m, const struct gv_batch *b, bool backward)
{
	const struct gv_config *c = &m->cfg;
	double P = (double)(b->B * c->vision.P), R = (double)(b->B * c->R);
	double C = (double)c->rs_C, Q = (double)(c->rs_H * c->rs_D);
	double K = (double)(c->rs_G * c->rs_D), F = (double)c->rs_F;
	double seen = (double)(c->vision.P + c->R), f;
	bool back = back_resampler(m), trains = m->part[GV_RESAMPLER].trains;
	bool gated = c->resampler == GV_RESAMPLER_IDEFICS2;

	f = 4 * R * C * Q + 4 * (P + R) * C * K + (gated ? 6 : 4) * R * C * F;
	f = f * times(backward, back, trains) +
	    4 * R * seen * Q * times(backward, back, back);
	return (double)c->rs_L * f +
	       2 * P * (double)c->rs_front *
		   (2 * (double)c->vision.C *
			   times(backward, back_vision(m), trains) +
		       C * times(backward, back, trains));
}

/* From images, or features, to embeds. */
static double
vision_flops(const struct gv_model *m, const struct gv_batch *b, bool backward)
{
	const struct gv_config *c = &m->cfg;
	double f = 0, rows = 2 * (double)(b->B * c->R);
	double in = (double)c->rs_C, out = (double)c->text.C;
	bool trains = m->part[GV_PROJECTOR].trains;
	double first = times(backward, back_resampler(m), trains);

	if (b->input == GV_IN_EMBEDS)
		return 0;
	if (b->input == GV_IN_IMAGE)
		f += tower_flops(m, b, backward);
	if (c->rs_L)
		f += perceiver_flops(m, b, backward);
	if (c->projector == GV_PROJECTOR_LINEAR)
		return f + rows * in * out * first;
	return f + rows * (double)c->pj_C *
		       (in * first +
			   out * times(backward, back_projector(m), trains));
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
	/* behind the last attention there are only the rows of the head */
	f = (double)c->L * N * 2 * C * (double)((c->H + 2 * c->G) * c->D);
	f += ((double)(c->L - 1) * N + (double)b->M) *
	     (2 * C * (double)(c->H * c->D) +
		 (c->gated ? 6 : 4) * C * (double)c->F);
	f += 2 * (double)b->M * C * (double)c->V;
	f *= times(backward, back, m->part[GV_LANGUAGE].trains);
	f += (double)c->L * 4 * pairs * (double)(c->H * c->D) *
	     times(backward, back, back);
	return b->B ? f + vision_flops(m, b, backward) : f;
}
