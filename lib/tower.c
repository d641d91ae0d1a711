/* From pixels to features: the vision tower, and back. */
#include "model_priv.h"

#include "banned.h"

#include <math.h>

#define VP(off) param(m, GV_VISION, off)
#define VG(off) grad(m, GV_VISION, off)
/* Where the class token is not among the features. */
static bool
drops_class(const struct gv_vision_config *v)
{
	return v->P < v->T;
}

static int64_t
patches_of(const struct gv_vision_config *v)
{
	return v->grid * v->grid;
}

/* Every row of an image sees every other. */
static struct gvk_attn
patch_attention(const struct gv_model *m, int64_t B)
{
	const struct gv_vision_config *v = &m->cfg.vision;
	struct acts *a = &m->priv->a;
	struct gvk_attn t = {0};

	t.S = (int32_t)B;
	t.H = t.G = (int32_t)v->H;
	t.D = (int32_t)(v->C / v->H);
	t.max_q = t.max_k = (int32_t)v->T;
	t.q_at = a->t_at;
	t.k_at = a->t_at;
	t.k_len = a->t_len;
	t.scale = 1 / sqrtf((float)t.D);
	t.ldq = t.ldk = t.ldv = 3 * v->C;
	t.ldo = v->C;
	return t;
}

/* Where no backward pass follows, images go through the tower in steps of at
 * most STEP_ROWS rows, which keeps its memory small; on a device two steps
 * run side by side, so that one has work for the processors that the last
 * tiles of a product of the other leave idle.  More rows than these make
 * products no faster. */
#define STEP_ROWS 8192
#define LANES     2

int64_t
gv_vision_step(const struct gv_model *m, const struct gv_limits *l)
{
	int64_t n = STEP_ROWS / m->cfg.vision.T;

	if (l->backward && back_vision(m))
		return l->images;
	n = n < 1 ? 1 : n;
	n *= gvk_is_host(m->k) ? 1 : LANES;
	return n < l->images ? n : l->images;
}

/* Images of a step side by side with another: half of those that there is
 * memory for. */
static int64_t
lane_images(const struct gv_model *m)
{
	return gv_vision_step(m, &m->priv->lim) / LANES;
}

/* True if so many images are better taken in two lanes than in one step. */
static bool
in_lanes(const struct gv_model *m, int64_t images)
{
	bool back = m->priv->lim.backward && back_vision(m);

	return !gvk_is_host(m->k) && !back && images >= LANES &&
	       images * m->cfg.vision.T >= STEP_ROWS / LANES;
}

int
gv_vision_reserve(struct gv_model *m, struct gv_error *e)
{
	struct gv_model_priv *p = m->priv;

	if (!p->side && (p->alloc & 1u << GV_VISION) &&
	    in_lanes(m, p->lim.images) && gvk_stream_open(m->k, &p->side))
		return gv_fail(e, GV_ERR_NOMEM, "no memory for a stream on %s",
		    gvk_name(m->k));
	return 0;
}

/* A part of the rows of the tower's buffers, and the stream that it is on. */
struct lane {
	struct gvk_stream *s;
	int64_t at; /* first row */
};

static struct lane
lane_of(const struct gv_model *m, int i)
{
	return (struct lane){
	    i ? m->priv->side : m->s, i * lane_images(m) * m->cfg.vision.T};
}

/* The residual stream before layer l; before layer v->layer, what comes out,
 * for the images from `first` on.  Without a backward pass all layers share
 * their buffers, and the stream goes to and fro between two of them. */
static void *
tower_stream(
    const struct gv_model *m, const struct lane *n, int64_t l, int64_t first)
{
	const struct gv_vision_config *v = &m->cfg.vision;
	const struct acts *a = &m->priv->a;

	if (l < v->layer)
		return row(m, a->vit[l].res, n->at * v->C);
	if (v->post_norm || drops_class(v))
		return row(m, a->v_fin, n->at * v->C);
	return row(m, a->features, first * v->P * v->C);
}

/* The buffers of layer l. */
static struct vit_acts
tower_buffers(const struct gv_model *m, const struct lane *n, int64_t l)
{
	const struct gv_vision_config *v = &m->cfg.vision;
	int64_t C = n->at * v->C,
		wide = 3 * C > n->at * v->F ? 3 * C : n->at * v->F;
	struct vit_acts u = m->priv->a.vit[l];

	u.res = row(m, u.res, C);
	u.mid = row(m, u.mid, C);
	u.n1 = row(m, u.n1, C);
	u.att = row(m, u.att, C);
	u.n2 = row(m, u.n2, C);
	u.qkv = row(m, u.qkv, wide);
	u.act = row(m, u.act, wide);
	return u; /* what the backward pass needs: in lanes there is none */
}

/* Pixels to the stream before the first layer.  Where there is a class token
 * the patches wait for it in layer 0's `mid`, which is written after this. */
static void
embed(struct gv_model *m, const struct lane *n, int64_t first, int64_t B)
{
	const struct gv_vision_config *v = &m->cfg.vision;
	struct gv_model_priv *p = m->priv;
	struct acts *a = &p->a;
	int64_t N = B * patches_of(v), C = v->C, K = 3 * v->patch * v->patch;
	const uint8_t *image =
	    (const uint8_t *)a->in.image + first * v->image * v->image * 3;
	void *x = tower_stream(m, n, 0, first), *y = x, *patches = x,
	     *cut = row(m, a->patches, n->at * K);
	float mul[3], add[3];
	int c;

	if (v->class_token)
		patches = row(m, a->vit[0].mid, n->at * C);
	if (v->pre_norm)
		y = row(m, a->v_pre, n->at * C);
	for (c = 0; c < 3; c++) {
		mul[c] = (float)(1 / (255 * v->std[c]));
		add[c] = (float)(-v->mean[c] / v->std[c]);
	}
	gvk_patchify(
	    n->s, cut, image, mul, add, B, v->image, v->image, v->patch);
	gvk_linear(n->s, patches, NULL, cut, VP(p->at.patch_w),
	    v->patch_bias ? VP(p->at.patch_b) : NULL, NULL, GVK_ACT_NONE, N, K,
	    C);
	if (v->class_token)
		gvk_embedding(n->s, y, VP(p->at.class_row), patches,
		    a->class_id, B * v->T, C);
	gvk_add_pos(n->s, y, VP(p->at.pos), B * v->T, v->T, C);
	if (v->pre_norm)
		gvk_layernorm(n->s, x, NULL, a->pre_mean, a->pre_rstd, y, NULL,
		    VP(p->at.pre_w), VP(p->at.pre_b), (float)v->eps, B * v->T,
		    C);
}

/* Runs layer l, from u->res to `out`. */
static void
tower_layer(struct gv_model *m, struct gvk_stream *s, const struct vit_layer *o,
    const struct vit_acts *u, void *out, int64_t B)
{
	const struct gv_vision_config *v = &m->cfg.vision;
	struct gvk_attn t = patch_attention(m, B);
	int64_t N = B * v->T, C = v->C;
	float eps = (float)v->eps;

	gvk_layernorm(s, u->n1, NULL, u->mean1, u->rstd1, u->res, NULL,
	    VP(o->n1_w), VP(o->n1_b), eps, N, C);
	gvk_linear(s, u->qkv, NULL, u->n1, VP(o->wqkv), VP(o->bqkv), NULL,
	    GVK_ACT_NONE, N, C, 3 * C);
	gvk_attention(s, u->att, u->lse, u->qkv, row(m, u->qkv, C),
	    row(m, u->qkv, 2 * C), &t);
	gvk_linear(s, u->mid, NULL, u->att, VP(o->wo), VP(o->bo), u->res,
	    GVK_ACT_NONE, N, C, C);
	gvk_layernorm(s, u->n2, NULL, u->mean2, u->rstd2, u->mid, NULL,
	    VP(o->n2_w), VP(o->n2_b), eps, N, C);
	gvk_linear(s, u->act, u->pre, u->n2, VP(o->w1), VP(o->b1), NULL,
	    gv_act_of(v->act), N, C, v->F);
	gvk_linear(s, out, NULL, u->act, VP(o->w2), VP(o->b2), u->mid,
	    GVK_ACT_NONE, N, v->F, C);
}

/* From the stream behind the last layer to the features. */
static void
finish(struct gv_model *m, const struct lane *n, int64_t first, int64_t B)
{
	const struct gv_vision_config *v = &m->cfg.vision;
	struct gv_model_priv *p = m->priv;
	struct acts *a = &p->a;
	int64_t N = B * v->P, C = v->C;
	void *x = tower_stream(m, n, v->layer, first), *y = x,
	     *features = row(m, a->features, first * v->P * C);

	if (drops_class(v)) {
		y = v->post_norm ? row(m, a->v_sel, n->at * C) : features;
		gvk_gather(n->s, y, x, a->patch_at, N, C, C, C);
	}
	if (v->post_norm)
		gvk_layernorm(n->s, features, NULL, a->v_mean, a->v_rstd, y,
		    NULL, VP(p->at.post_w), VP(p->at.post_b), (float)v->eps, N,
		    C);
}

/* B images from `first` on through the tower. */
static void
tower_step(struct gv_model *m, const struct lane *n, int64_t first, int64_t B)
{
	int64_t l;

	embed(m, n, first, B);
	for (l = 0; l < m->cfg.vision.layer; l++) {
		struct vit_acts u = tower_buffers(m, n, l);

		tower_layer(m, n->s, &m->priv->at.vit[l], &u,
		    tower_stream(m, n, l + 1, first), B);
	}
	finish(m, n, first, B);
}

void
gv_tower_forward(struct gv_model *m, const struct gv_batch *b)
{
	struct lane lane[LANES] = {lane_of(m, 0), lane_of(m, 1)};
	int64_t most = gv_vision_step(m, &m->priv->lim), step, at;
	bool two = in_lanes(m, b->B);
	int i = 0;

	if (!b->B)
		return;
	if (two) {
		most = lane_images(m);
		gvk_wait(lane[1].s, m->s);
	}
	/* an even number of steps of nearly the same size */
	step = (b->B + most - 1) / most;
	step += two && step % LANES;
	step = (b->B + step - 1) / step;
	for (at = 0; at < b->B; at += step, i = two && !i)
		tower_step(
		    m, &lane[i], at, b->B - at < step ? b->B - at : step);
	if (two)
		gvk_wait(m->s, lane[1].s);
}

/* dh: gradient of the stream after the layer, becomes that before it. */
static void
tower_layer_back(struct gv_model *m, const struct vit_layer *o,
    const struct vit_acts *u, void *dh, int64_t B)
{
	const struct gv_vision_config *v = &m->cfg.vision;
	struct gvk_attn t = patch_attention(m, B);
	struct acts *a = &m->priv->a;
	struct gvk_stream *s = m->s;
	int64_t N = B * v->T, C = v->C;

	gvk_linear_bwd(s, a->v_dpre, VG(o->w2), VG(o->b2), dh, u->act, u->pre,
	    VP(o->w2), gv_act_of(v->act), false, N, v->F, C);
	gvk_linear_bwd(s, a->v_dn, VG(o->w1), VG(o->b1), a->v_dpre, u->n2, NULL,
	    VP(o->w1), GVK_ACT_NONE, false, N, C, v->F);
	gvk_layernorm_bwd(s, dh, VG(o->n2_w), VG(o->n2_b), a->v_dn, dh, u->mid,
	    u->mean2, u->rstd2, VP(o->n2_w), N, C);
	gvk_linear_bwd(s, a->v_datt, VG(o->wo), VG(o->bo), dh, u->att, NULL,
	    VP(o->wo), GVK_ACT_NONE, false, N, C, C);
	gvk_attention_bwd(s, a->v_dqkv, row(m, a->v_dqkv, C),
	    row(m, a->v_dqkv, 2 * C), a->v_datt, u->att, u->lse, u->qkv,
	    row(m, u->qkv, C), row(m, u->qkv, 2 * C), &t, a->ws);
	gvk_linear_bwd(s, a->v_dn, VG(o->wqkv), VG(o->bqkv), a->v_dqkv, u->n1,
	    NULL, VP(o->wqkv), GVK_ACT_NONE, false, N, C, 3 * C);
	gvk_layernorm_bwd(s, dh, VG(o->n1_w), VG(o->n1_b), a->v_dn, dh, u->res,
	    u->mean1, u->rstd1, VP(o->n1_w), N, C);
}

/* From a->dfeat to the gradient of the stream behind the last layer. */
static void
finish_back(struct gv_model *m, int64_t B)
{
	const struct gv_vision_config *v = &m->cfg.vision;
	struct gv_model_priv *p = m->priv;
	struct acts *a = &p->a;
	int64_t N = B * v->P, C = v->C;
	bool drops = drops_class(v);
	void *dx = a->dfeat;

	if (v->post_norm) {
		dx = drops ? a->v_dn : a->v_dh;
		gvk_layernorm_bwd(m->s, dx, VG(p->at.post_w), VG(p->at.post_b),
		    a->dfeat, NULL, drops ? a->v_sel : a->v_fin, a->v_mean,
		    a->v_rstd, VP(p->at.post_w), N, C);
	}
	if (drops) {
		gvk_zero(m->s, a->v_dh, (size_t)(B * v->T * C) * p->esize);
		gvk_scatter(m->s, a->v_dh, dx, a->patch_at, N, C, C, C);
	} else if (!v->post_norm) {
		gvk_copy(m->s, a->v_dh, dx, (size_t)(N * C) * p->esize);
	}
}

/* From the gradient of the stream before the first layer, a->v_dh. */
static void
embed_back(struct gv_model *m, int64_t B)
{
	const struct gv_vision_config *v = &m->cfg.vision;
	struct gv_model_priv *p = m->priv;
	struct acts *a = &p->a;
	int64_t N = B * patches_of(v), C = v->C, K = 3 * v->patch * v->patch;
	void *dy = a->v_dh;

	if (v->pre_norm) {
		dy = a->v_dn;
		gvk_layernorm_bwd(m->s, dy, VG(p->at.pre_w), VG(p->at.pre_b),
		    a->v_dh, NULL, a->v_pre, a->pre_mean, a->pre_rstd,
		    VP(p->at.pre_w), B * v->T, C);
	}
	gvk_add_pos_bwd(m->s, VG(p->at.pos), dy, B * v->T, v->T, C);
	if (v->class_token) {
		gvk_embedding_bwd(m->s, VG(p->at.class_row), a->v_datt, dy,
		    a->class_id, B * v->T, C, 1, N);
		dy = a->v_datt;
	}
	gvk_linear_bwd(m->s, NULL, VG(p->at.patch_w),
	    v->patch_bias ? VG(p->at.patch_b) : NULL, dy, a->patches, NULL,
	    VP(p->at.patch_w), GVK_ACT_NONE, false, N, K, C);
}

void
gv_tower_backward(struct gv_model *m, const struct gv_batch *b)
{
	const struct acts *a = &m->priv->a;
	int64_t l;

	finish_back(m, b->B);
	for (l = m->cfg.vision.layer - 1; l >= 0; l--)
		tower_layer_back(
		    m, &m->priv->at.vit[l], &a->vit[l], a->v_dh, b->B);
	embed_back(m, b->B);
}
