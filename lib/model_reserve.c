/* Memory for batches: the activations' block, what never changes in it, and
 * where inputs are staged. */
#include "model_priv.h"

#include "mem.h"
#include "banned.h"

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

void
gv_count_up(int32_t *at, int64_t start, int64_t step, int64_t n)
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

	gv_count_up(in_copy(m, copy, a->t_at), 0, T, B + 1);
	gv_count_up(in_copy(m, copy, a->t_len), T, 0, B);
	gv_count_up(in_copy(m, copy, a->f_at), 0, P, B + 1);
	gv_count_up(in_copy(m, copy, a->f_len), P, 0, B);
	gv_count_up(in_copy(m, copy, a->r_q), 0, R, B + 1);
	gv_count_up(in_copy(m, copy, a->r_len), R, 0, B);
	for (i = 0; i < B; i++) {
		gv_count_up(latent + i * R, 0, 1, R);
		if (P < T)
			gv_count_up(patch_at + i * P, i * T + 1, 1, P);
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

int
gv_up_sync(struct gv_model *m, struct gv_error *e)
{
	return m->priv->up ? gv_sync(m->priv->up, e) : 0;
}

int
gv_model_reserve(
    struct gv_model *m, const struct gv_limits *l, struct gv_error *e)
{
	struct gv_model_priv *p = m->priv;
	size_t bytes;

	if (gv_model_sync(m, e) || gv_up_sync(m, e))
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
