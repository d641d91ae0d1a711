/* Batches through the model: uploads, loss, logits, features. */
#include "model_priv.h"

#include "mem.h"
#include "banned.h"

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
	gv_count_up(x->r_k, b->B * m->cfg.vision.P, m->cfg.R, b->B);
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
	if (gv_up_sync(m, e) || gv_stage(m, b, p->turn, e))
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
