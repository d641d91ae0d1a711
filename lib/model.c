/* The parameter table of a configuration, and the buffers behind it. */
#include "model_priv.h"

#include "mem.h"
#include "philox.h"
#include "banned.h"

#include <math.h>
#include <stdarg.h>

/* Parameters start at multiples of this, so that rows stay aligned. */
#define PARAM_ALIGN 64

static const char *const part_names[GV_PARTS] = {
    "vision", "resampler", "projector", "language"};

const char *
gv_part_name(enum gv_part p)
{
	return part_names[p];
}

/* ---- the table ----------------------------------------------------------- */

struct table {
	struct gv_model *m;
	size_t cap;
	bool failed;
	bool used;
};

static const char *
prefix(const struct gv_model *m, enum gv_part p)
{
	static const char *const names[GV_PARTS] = {
	    "vision_tower.", "resampler.", "projector.", "language_model."};

	return strcmp(m->cfg.model_type, "ghostvis") ? "" : names[p];
}

/* A tensor's start, shape and first values. */
struct spec {
	enum gv_part part;
	enum gv_init init;
	double std;
	bool joined; /* right behind the one before */
};

/* Appends a tensor of (d0), or (d0,d1) if d1 is not 0; returns its offset. */
static size_t add(struct table *t, struct spec s, int64_t d0, int64_t d1,
    const char *fmt, ...) GV_PRINTF(5, 6);

static size_t
add(struct table *t, struct spec s, int64_t d0, int64_t d1, const char *fmt,
    ...)
{
	struct gv_model *m = t->m;
	struct gv_model_part *part = &m->part[s.part];
	struct gv_param *p;
	void *v = m->param;
	va_list ap;
	size_t len;

	if (t->failed || gv_grow(&v, &t->cap, m->nparams + 1, sizeof *p)) {
		t->failed = true;
		return 0;
	}
	m->param = v;
	p = &m->param[m->nparams++];
	memset(p, 0, sizeof *p);
	snprintf(p->name, sizeof p->name, "%s", prefix(m, s.part));
	len = strlen(p->name);
	va_start(ap, fmt);
	vsnprintf(p->name + len, sizeof p->name - len, fmt, ap);
	va_end(ap);
	p->part = s.part;
	p->rank = d1 ? 2 : 1;
	p->shape[0] = d0;
	p->shape[1] = d1;
	p->n = (size_t)d0 * (size_t)(d1 ? d1 : 1);
	p->init = s.init;
	p->std = (float)s.std;
	p->used = t->used;
	if (!s.joined)
		part->n =
		    (part->n + PARAM_ALIGN - 1) / PARAM_ALIGN * PARAM_ALIGN;
	p->at = part->n;
	part->n += p->n;
	return p->at;
}

static struct spec
normal(enum gv_part part, double std)
{
	return (struct spec){part, GV_INIT_NORMAL, std, false};
}

/* A matrix that reads C channels; one that writes to the residual stream of a
 * tower of `layers` layers starts smaller (0: it doesn't). */
static struct spec
matrix(const struct gv_config *c, enum gv_part part, int64_t C, int64_t layers)
{
	double std = c->init.gain / sqrt((double)C);

	if (layers)
		std /= sqrt(2 * (double)layers);
	if (c->init.gain == 0)
		std =
		    part == GV_LANGUAGE ? c->text.init_std : c->vision.init_std;
	return normal(part, std);
}

/* A table of rows, by its own standard deviation. */
static struct spec
rows(const struct gv_config *c, enum gv_part part, double std)
{
	struct spec s = matrix(c, part, 1, 0);

	if (c->init.gain != 0)
		s.std = std;
	return s;
}

static struct spec
ones(enum gv_part part)
{
	return (struct spec){part, GV_INIT_ONE, 0, false};
}

static struct spec
zeros(enum gv_part part)
{
	return (struct spec){part, GV_INIT_ZERO, 0, false};
}

static struct spec
joined(struct spec s)
{
	s.joined = true;
	return s;
}

static void
decoder_layer(struct table *t, struct lm_layer *o, int i)
{
	const struct gv_config *f = &t->m->cfg;
	const struct gv_text_config *c = &f->text;
	int64_t Q = c->H * c->D, K = c->G * c->D;
	struct spec w = matrix(f, GV_LANGUAGE, c->C, 0);
	struct spec out = matrix(f, GV_LANGUAGE, Q, c->L);
	struct spec down = matrix(f, GV_LANGUAGE, c->F, c->L);
	struct spec one = ones(GV_LANGUAGE), zero = zeros(GV_LANGUAGE);
#define L "model.layers.%d."

	o->n1 = add(t, one, c->C, 0, L "input_layernorm.weight", i);
	o->wqkv = add(t, w, Q, c->C, L "self_attn.q_proj.weight", i);
	add(t, joined(w), K, c->C, L "self_attn.k_proj.weight", i);
	add(t, joined(w), K, c->C, L "self_attn.v_proj.weight", i);
	if (c->qkv_bias) {
		o->bqkv = add(t, zero, Q, 0, L "self_attn.q_proj.bias", i);
		add(t, joined(zero), K, 0, L "self_attn.k_proj.bias", i);
		add(t, joined(zero), K, 0, L "self_attn.v_proj.bias", i);
	}
	o->wo = add(t, out, c->C, Q, L "self_attn.o_proj.weight", i);
	o->n2 = add(t, one, c->C, 0, L "post_attention_layernorm.weight", i);
	o->wgu = add(t, w, c->F, c->C, L "mlp.gate_proj.weight", i);
	add(t, joined(w), c->F, c->C, L "mlp.up_proj.weight", i);
	o->wd = add(t, down, c->C, c->F, L "mlp.down_proj.weight", i);
#undef L
}

static void
decoder_table(struct table *t)
{
	struct gv_model *m = t->m;
	const struct gv_text_config *c = &m->cfg.text;
	struct offsets *o = &m->priv->at;
	struct spec w = rows(&m->cfg, GV_LANGUAGE, m->cfg.init.embedding);
	int i;

	o->embed = add(t, w, c->V, c->C, "model.embed_tokens.weight");
	for (i = 0; i < c->L; i++)
		decoder_layer(t, &o->lm[i], i);
	o->norm = add(t, ones(GV_LANGUAGE), c->C, 0, "model.norm.weight");
	o->head = o->embed;
	if (!c->tied)
		o->head = add(t, w, c->V, c->C, "lm_head.weight");
}

static void
vision_layer(struct table *t, struct vit_layer *o, int i)
{
	const struct gv_config *f = &t->m->cfg;
	const struct gv_vision_config *c = &f->vision;
	struct spec w = matrix(f, GV_VISION, c->C, 0);
	struct spec out = matrix(f, GV_VISION, c->C, c->L);
	struct spec down = matrix(f, GV_VISION, c->F, c->L);
	struct spec one = ones(GV_VISION), zero = zeros(GV_VISION);
	int64_t C = c->C;
#define L "vision_model.encoder.layers.%d."

	o->n1_w = add(t, one, C, 0, L "layer_norm1.weight", i);
	o->n1_b = add(t, zero, C, 0, L "layer_norm1.bias", i);
	o->wqkv = add(t, w, C, C, L "self_attn.q_proj.weight", i);
	add(t, joined(w), C, C, L "self_attn.k_proj.weight", i);
	add(t, joined(w), C, C, L "self_attn.v_proj.weight", i);
	o->bqkv = add(t, zero, C, 0, L "self_attn.q_proj.bias", i);
	add(t, joined(zero), C, 0, L "self_attn.k_proj.bias", i);
	add(t, joined(zero), C, 0, L "self_attn.v_proj.bias", i);
	o->wo = add(t, out, C, C, L "self_attn.out_proj.weight", i);
	o->bo = add(t, zero, C, 0, L "self_attn.out_proj.bias", i);
	o->n2_w = add(t, one, C, 0, L "layer_norm2.weight", i);
	o->n2_b = add(t, zero, C, 0, L "layer_norm2.bias", i);
	o->w1 = add(t, w, c->F, C, L "mlp.fc1.weight", i);
	o->b1 = add(t, zero, c->F, 0, L "mlp.fc1.bias", i);
	o->w2 = add(t, down, C, c->F, L "mlp.fc2.weight", i);
	o->b2 = add(t, zero, C, 0, L "mlp.fc2.bias", i);
#undef L
}

static void
vision_table(struct table *t)
{
	struct gv_model *m = t->m;
	const struct gv_vision_config *c = &m->cfg.vision;
	struct offsets *o = &m->priv->at;
	struct spec w = rows(&m->cfg, GV_VISION, m->cfg.init.patch);
	struct spec pos = rows(&m->cfg, GV_VISION, m->cfg.init.position);
	struct spec one = ones(GV_VISION), zero = zeros(GV_VISION);
	size_t first;
	int i;
#define E "vision_model.embeddings."
#define N "vision_model.post_layernorm."

	o->patch_w = add(
	    t, w, c->C, 3 * c->patch * c->patch, E "patch_embedding.weight");
	first = m->nparams - 1;
	if (!t->failed) {
		/* a convolution's shape; flat, it is the matrix that we use */
		m->param[first].rank = 4;
		m->param[first].shape[1] = 3;
		m->param[first].shape[2] = c->patch;
		m->param[first].shape[3] = c->patch;
	}
	o->patch_b = add(t, zero, c->C, 0, E "patch_embedding.bias");
	o->pos = add(t, pos, c->P, c->C, E "position_embedding.weight");
	for (i = 0; i < c->L; i++) {
		t->used = i < c->layer;
		vision_layer(t, &o->vit[i], i);
	}
	t->used = c->post_norm;
	o->post_w = add(t, one, c->C, 0, N "weight");
	o->post_b = add(t, zero, c->C, 0, N "bias");
	t->used = true;
#undef E
#undef N
}

static void
perceiver_table(struct table *t)
{
	struct gv_model *m = t->m;
	struct offsets *o = &m->priv->at;
	const struct gv_config *f = &m->cfg;
	int64_t C = f->vision.C;
	struct spec w = matrix(f, GV_RESAMPLER, C, 0);
	struct spec out = matrix(f, GV_RESAMPLER, C, f->rs_L);
	struct spec down = matrix(f, GV_RESAMPLER, 4 * C, f->rs_L);
	struct spec one = ones(GV_RESAMPLER), zero = zeros(GV_RESAMPLER);
	int i;
#define L "layers.%d."

	o->latents = add(t, rows(f, GV_RESAMPLER, 1), m->cfg.R, C, "latents");
	for (i = 0; i < m->cfg.rs_L; i++) {
		struct vit_layer *u = &o->rs[i];

		u->nc_w = add(t, one, C, 0, L "norm_context.weight", i);
		u->nc_b = add(t, zero, C, 0, L "norm_context.bias", i);
		u->n1_w = add(t, one, C, 0, L "norm_latents.weight", i);
		u->n1_b = add(t, zero, C, 0, L "norm_latents.bias", i);
		u->wq = add(t, w, C, C, L "attn.q_proj.weight", i);
		u->wkv = add(t, w, C, C, L "attn.k_proj.weight", i);
		add(t, joined(w), C, C, L "attn.v_proj.weight", i);
		u->wo = add(t, out, C, C, L "attn.o_proj.weight", i);
		u->n2_w = add(t, one, C, 0, L "norm_mlp.weight", i);
		u->n2_b = add(t, zero, C, 0, L "norm_mlp.bias", i);
		u->w1 = add(t, w, 4 * C, C, L "mlp.fc1.weight", i);
		u->b1 = add(t, zero, 4 * C, 0, L "mlp.fc1.bias", i);
		u->w2 = add(t, down, C, 4 * C, L "mlp.fc2.weight", i);
		u->b2 = add(t, zero, C, 0, L "mlp.fc2.bias", i);
	}
	o->rs_norm_w = add(t, one, C, 0, "norm.weight");
	o->rs_norm_b = add(t, zero, C, 0, "norm.bias");
#undef L
}

static void
projector_table(struct table *t)
{
	struct gv_model *m = t->m;
	struct offsets *o = &m->priv->at;
	int64_t Hp = m->cfg.pj_C;
	struct spec w1 = matrix(&m->cfg, GV_PROJECTOR, m->cfg.vision.C, 0);
	struct spec w2 = matrix(&m->cfg, GV_PROJECTOR, Hp, 0);
	struct spec zero = zeros(GV_PROJECTOR);

	o->p1_w = add(t, w1, Hp, m->cfg.vision.C, "fc1.weight");
	o->p1_b = add(t, zero, Hp, 0, "fc1.bias");
	o->p2_w = add(t, w2, m->cfg.text.C, Hp, "fc2.weight");
	o->p2_b = add(t, zero, m->cfg.text.C, 0, "fc2.bias");
}

static int
build_table(struct gv_model *m, struct gv_error *e)
{
	struct gv_model_priv *p = m->priv;
	const struct gv_config *c = &m->cfg;
	struct table t = {m, 0, false, true};

	p->at.lm = gv_alloc((size_t)c->text.L, sizeof *p->at.lm);
	p->at.vit = gv_alloc((size_t)c->vision.L, sizeof *p->at.vit);
	p->at.rs = gv_alloc((size_t)c->rs_L, sizeof *p->at.rs);
	p->lm_store = gv_alloc((size_t)c->text.L, sizeof *p->lm_store);
	p->vit_store = gv_alloc((size_t)c->vision.L, sizeof *p->vit_store);
	p->rs_store = gv_alloc((size_t)c->rs_L, sizeof *p->rs_store);
	p->cache_store = gv_alloc((size_t)c->text.L, 2 * sizeof(void *));
	if (!p->at.lm || !p->at.vit || !p->at.rs || !p->lm_store ||
	    !p->vit_store || !p->rs_store || !p->cache_store)
		return gv_fail(e, GV_ERR_NOMEM, "out of memory");
	if (c->has_vision)
		vision_table(&t);
	if (c->has_vision && c->has_text) {
		if (c->resampler == GV_RESAMPLER_PERCEIVER)
			perceiver_table(&t);
		projector_table(&t);
	}
	if (c->has_text)
		decoder_table(&t);
	if (t.failed)
		return gv_fail(e, GV_ERR_NOMEM, "out of memory");
	return 0;
}

/* ---- buffers ------------------------------------------------------------- */

static int
device_oom(const struct gv_model *m, const char *what, size_t bytes,
    struct gv_error *e)
{
	size_t total, avail;

	gvk_memory(m->k, &total, &avail);
	return gv_fail(e, GV_ERR_NOMEM,
	    "out of memory: %s need %.1f MiB, and %.1f of %.1f MiB are free",
	    what, (double)bytes / 1048576, (double)avail / 1048576,
	    (double)total / 1048576);
}

#define STREAM_BYTES ((size_t)256 << 20) /* more than a stream ever takes */

/* The stream that everything runs on, and on a device the one of the copies to
 * it. */
static int
open_streams(struct gv_model *m, struct gv_error *e)
{
	size_t total, avail;

	if (!gvk_stream_open(m->k, &m->s) &&
	    (gvk_is_host(m->k) || !gvk_stream_open(m->k, &m->priv->up)))
		return 0;
	gvk_memory(m->k, &total, &avail);
	if (gvk_is_host(m->k) || avail < STREAM_BYTES)
		return device_oom(m, "streams", STREAM_BYTES, e);
	return gv_fail(
	    e, GV_ERR_DEVICE, "cannot open a stream on %s", gvk_name(m->k));
}

static int
rope_table(struct gv_model *m, struct gv_error *e)
{
	const struct gv_text_config *c = &m->cfg.text;
	int64_t half = c->D / 2, i;
	float *f = gv_alloc((size_t)half, sizeof *f);

	m->priv->freq = gvk_alloc(m->k, (size_t)half * sizeof *f);
	if (!f || !m->priv->freq) {
		gv_free(f);
		return gv_fail(e, GV_ERR_NOMEM, "out of memory");
	}
	for (i = 0; i < half; i++)
		f[i] = (float)pow(c->rope_theta, -2 * (double)i / (double)c->D);
	gvk_put(m->s, m->priv->freq, f, (size_t)half * sizeof *f);
	if (gv_model_sync(m, e)) {
		gv_free(f);
		return e->code;
	}
	gv_free(f);
	return 0;
}

int
gv_model_new(struct gv_model **out, struct gvk *k, struct gv_config *cfg,
    unsigned parts, struct gv_error *e)
{
	struct gv_model *m = gv_alloc(1, sizeof *m);
	int i;

	if (m)
		m->priv = gv_alloc(1, sizeof *m->priv);
	if (!m || !m->priv) {
		gv_free(m);
		return gv_fail(e, GV_ERR_NOMEM, "out of memory");
	}
	m->k = k;
	m->priv->esize = gvk_dtype_size(gvk_dtype(k));
	m->priv->alloc = parts;
	m->cfg = *cfg;
	memset(cfg, 0, sizeof *cfg);
	if (open_streams(m, e) || build_table(m, e))
		goto fail;
	for (i = 0; i < GV_PARTS; i++) {
		size_t bytes = m->part[i].n * m->priv->esize;

		if (!m->part[i].n || !(parts & 1u << i))
			continue;
		m->part[i].w = gvk_alloc(k, bytes);
		if (!m->part[i].w) {
			device_oom(m, "weights", bytes, e);
			goto fail;
		}
		gvk_zero(m->s, m->part[i].w, bytes);
	}
	if (m->cfg.has_text && rope_table(m, e))
		goto fail;
	*out = m;
	return 0;
fail:
	gv_model_close(&m);
	return e->code;
}

int
gv_model_open(struct gv_model **m, struct gvk *k, const char *dir,
    unsigned parts, struct gv_error *e)
{
	struct gv_config cfg;
	struct gv_st *st;

	if (gv_config_open(&cfg, dir, e))
		return e->code;
	if (gv_st_open_dir(&st, dir, e)) {
		gv_config_free(&cfg);
		return e->code;
	}
	if (gv_model_new(m, k, &cfg, parts, e)) {
		gv_config_free(&cfg);
		gv_st_close(&st);
		return e->code;
	}
	if (gv_model_load(*m, st, parts, e))
		gv_model_close(m);
	gv_st_close(&st);
	return e->code;
}

void
gv_model_close(struct gv_model **out)
{
	struct gv_model *m = *out;
	struct gv_model_priv *p;
	int i;

	if (!m)
		return;
	*out = NULL;
	p = m->priv;
	for (i = 0; i < GV_PARTS; i++) {
		gvk_free(m->k, m->part[i].w);
		gvk_free(m->k, m->part[i].grad);
	}
	if (p->up)
		gvk_stream_close(&p->up);
	if (p->side)
		gvk_stream_close(&p->side);
	gvk_host_free(m->k, p->pinned);
	gvk_free(m->k, p->block);
	gvk_free(m->k, p->freq);
	gvk_stream_close(&m->s);
	gv_config_free(&m->cfg);
	gv_free(p->at.lm);
	gv_free(p->at.vit);
	gv_free(p->at.rs);
	gv_free(p->lm_store);
	gv_free(p->vit_store);
	gv_free(p->rs_store);
	gv_free(p->cache_store);
	gv_free(m->param);
	gv_free(p);
	gv_free(m);
}

int
gv_model_train(struct gv_model *m, unsigned parts, struct gv_error *e)
{
	int i;

	for (i = 0; i < GV_PARTS; i++) {
		struct gv_model_part *p = &m->part[i];
		bool on = (parts & 1u << i) != 0;

		if (on && !p->w)
			return gv_fail(e, GV_ERR_MATCH,
			    "this model has no %s part to train",
			    part_names[i]);
		if (on && !p->grad) {
			p->grad = gvk_alloc(m->k, p->n * sizeof(float));
			if (!p->grad)
				return device_oom(
				    m, "gradients", p->n * sizeof(float), e);
		} else if (!on) {
			gvk_free(m->k, p->grad);
			p->grad = NULL;
		}
		p->trains = on;
	}
	m->priv->reserved = false;
	gv_model_zero_grad(m);
	return 0;
}

void
gv_model_zero_grad(struct gv_model *m)
{
	int i;

	for (i = 0; i < GV_PARTS; i++)
		if (m->part[i].grad)
			gvk_zero(m->s, m->part[i].grad,
			    m->part[i].n * sizeof(float));
}

int
gv_sync(struct gvk_stream *s, struct gv_error *e)
{
	char err[256];

	if (gvk_sync(s, err, sizeof err))
		return gv_fail(e, GV_ERR_DEVICE, "%s", err);
	return 0;
}

int
gv_model_sync(struct gv_model *m, struct gv_error *e)
{
	return gv_sync(m->s, e);
}

int
gv_backend_open(
    struct gvk **k, const char *device, int64_t threads, struct gv_error *e)
{
	char err[256];
	bool host = !strcmp(device, "cpu") || !strcmp(device, "auto");

	/* auto ends at the cpu: what fails there is the system */
	if (gvk_open(device, (int)threads, k, err, sizeof err))
		return gv_fail(
		    e, host ? GV_ERR_NOMEM : GV_ERR_DEVICE, "%s", err);
	return 0;
}

/* ---- values -------------------------------------------------------------- */

#define PIECE ((size_t)1 << 18) /* elements moved at a time */

int
gv_put_f32(
    struct gv_model *m, void *dst, const float *v, size_t n, struct gv_error *e)
{
	static const enum gv_dtype as[] = {GV_F32, GV_BF16};
	enum gvk_dtype t = gvk_dtype(m->k);
	void *tmp;
	int r;

	if (t == GVK_F32) {
		gvk_put(m->s, dst, v, n * sizeof *v);
		return gv_model_sync(m, e);
	}
	tmp = gv_alloc(n, sizeof(float));
	if (!tmp)
		return gv_fail(e, GV_ERR_NOMEM, "out of memory");
	r = gv_from_f32(tmp, as[t], v, n, e);
	if (!r) {
		gvk_put(m->s, dst, tmp, n * m->priv->esize);
		r = gv_model_sync(m, e);
	}
	gv_free(tmp);
	return r;
}

static void
fresh(const struct gv_param *p, struct gv_rng *r, float *v, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		v[i] = p->init == GV_INIT_NORMAL
			   ? p->std * (float)gv_rng_normal(r)
			   : p->init == GV_INIT_ONE;
}

int
gv_model_init(struct gv_model *m, uint64_t seed, struct gv_error *e)
{
	float *v = gv_alloc(PIECE, sizeof *v);
	size_t i, j, n;
	int err = 0;

	if (!v)
		return gv_fail(e, GV_ERR_NOMEM, "out of memory");
	for (i = 0; i < m->nparams && !err; i++) {
		const struct gv_param *p = &m->param[i];
		struct gv_rng r;

		/* the tensor's place in the table is part of the purpose */
		gv_rng_init(&r, seed, GV_PURPOSE_INIT | (uint64_t)i << 32);
		if (!m->part[p->part].w)
			continue;
		for (j = 0; j < p->n && !err; j += n) {
			n = p->n - j < PIECE ? p->n - j : PIECE;
			fresh(p, &r, v, n);
			err = gv_put_f32(
			    m, param(m, p->part, p->at + j), v, n, e);
		}
	}
	gv_free(v);
	return err;
}

/* ---- files --------------------------------------------------------------- */

static bool
ends_with(const char *s, const char *tail)
{
	size_t n = strlen(s), k = strlen(tail);

	return n >= k && !strcmp(s + n - k, tail);
}

/* Tensors that published checkpoints carry and that change nothing here. */
static bool
known_extra(const struct gv_model *m, const char *name)
{
	return ends_with(name, "rotary_emb.inv_freq") ||
	       ends_with(name, "position_ids") ||
	       (m->cfg.has_text && m->cfg.text.tied &&
		   ends_with(name, "lm_head.weight")) ||
	       strstr(name, "vision_model.head.") ||
	       !strncmp(name, "text_model.", 11) ||
	       !strcmp(name, "logit_scale") || !strcmp(name, "logit_bias");
}

static int
by_name(const void *a, const void *b)
{
	const struct gv_param *const *x = a, *const *y = b;

	return strcmp((*x)->name, (*y)->name);
}

static int
check_extras(
    const struct gv_model *m, const struct gv_st *st, struct gv_error *e)
{
	const struct gv_param **sorted = gv_alloc(m->nparams, sizeof *sorted);
	struct gv_param want, *w = &want;
	size_t i;

	if (!sorted)
		return gv_fail(e, GV_ERR_NOMEM, "out of memory");
	for (i = 0; i < m->nparams; i++)
		sorted[i] = &m->param[i];
	qsort(sorted, m->nparams, sizeof *sorted, by_name);
	for (i = 0; i < gv_st_count(st) && !e->code; i++) {
		const char *name = gv_st_name(st, i);

		snprintf(want.name, sizeof want.name, "%s", name);
		if (!bsearch(&w, sorted, m->nparams, sizeof *sorted, by_name) &&
		    !known_extra(m, name))
			gv_fail(e, GV_ERR_MATCH,
			    "unexpected tensor '%s' in the checkpoint", name);
	}
	gv_free(sorted);
	return e->code;
}

/* A tensor that is on the device as it is in the file, or whose master is:
 * copied from the mapped file, which must stay until the next gv_model_sync();
 * false if it is neither. */
static bool
put_as_is(
    struct gv_model *m, const struct gv_param *p, const struct gv_tensor *t)
{
	bool bf16 = gvk_dtype(m->k) == GVK_BF16;
	float *master = m->part[p->part].master;
	void *w = param(m, p->part, p->at);

	if (master)
		master += p->at;
	if (t->dtype == (bf16 ? GV_BF16 : GV_F32)) {
		gvk_put(m->s, w, t->data, t->bytes);
		if (master)
			gvk_convert(
			    m->s, master, GVK_F32, w, gvk_dtype(m->k), p->n);
		return true;
	}
	if (!master || t->dtype != GV_F32)
		return false;
	gvk_put(m->s, master, t->data, t->bytes);
	gvk_convert(m->s, w, gvk_dtype(m->k), master, GVK_F32, p->n);
	return true;
}

static int
load_one(struct gv_model *m, const struct gv_param *p, const struct gv_st *st,
    float *v, struct gv_error *e)
{
	const struct gv_tensor *t = gv_st_find(st, p->name);
	char want[96], got[96];
	size_t j, n, size;

	gv_shape_text(want, sizeof want, p->shape, p->rank);
	if (!t)
		return gv_fail(e, GV_ERR_MATCH, "tensor '%s' %s is missing",
		    p->name, want);
	if (t->rank != p->rank ||
	    memcmp(t->shape, p->shape, (size_t)p->rank * sizeof *p->shape))
		return gv_fail(e, GV_ERR_MATCH,
		    "tensor '%s' is %s, expected %s", p->name,
		    gv_shape_text(got, sizeof got, t->shape, t->rank), want);
	if (put_as_is(m, p, t))
		return 0;
	size = gv_dtype_size(t->dtype);
	for (j = 0; j < p->n; j += n) {
		n = p->n - j < PIECE ? p->n - j : PIECE;
		if (gv_to_f32(
			v, (const char *)t->data + j * size, t->dtype, n, e))
			return gv_fail_in(e, "tensor '%s'", p->name);
		if (gv_put_f32(m, param(m, p->part, p->at + j), v, n, e))
			return e->code;
	}
	if (m->part[p->part].master)
		gvk_convert(m->s, m->part[p->part].master + p->at, GVK_F32,
		    param(m, p->part, p->at), gvk_dtype(m->k), p->n);
	return 0;
}

int
gv_model_load(struct gv_model *m, const struct gv_st *st, unsigned parts,
    struct gv_error *e)
{
	float *v;
	size_t i;
	int r = 0;

	if (check_extras(m, st, e))
		return e->code;
	v = gv_alloc(PIECE, sizeof *v);
	if (!v)
		return gv_fail(e, GV_ERR_NOMEM, "out of memory");
	for (i = 0; i < m->nparams && !r; i++)
		if (parts & 1u << m->param[i].part &&
		    m->part[m->param[i].part].w)
			r = load_one(m, &m->param[i], st, v, e);
	if (!r)
		r = gv_model_sync(m, e); /* before the file goes */
	gv_free(v);
	return r;
}

int
gv_get_f32(struct gv_model *m, float *v, const void *src, enum gvk_dtype t,
    size_t n, struct gv_error *e)
{
	uint16_t raw;
	size_t i;

	gvk_get(m->s, v, src, n * gvk_dtype_size(t));
	if (gv_model_sync(m, e))
		return e->code;
	/* widened in place, from the end */
	for (i = t == GVK_BF16 ? n : 0; i-- > 0;) {
		memcpy(&raw, (const char *)v + i * sizeof raw, sizeof raw);
		v[i] = gv_bf16_to_f32(raw);
	}
	return 0;
}

/* What write_tensors() moves data with. */
struct mover {
	struct gv_st_writer *w;
	float *v;
	void *o;
	enum gv_dtype dtype;
};

static int
write_one(struct gv_model *m, const struct gv_param *p, bool grads,
    struct mover *mv, struct gv_error *e)
{
	const struct gv_model_part *part = &m->part[p->part];
	const float *exact = grads ? part->grad : part->master;
	size_t j, n;

	for (j = 0; j < p->n; j += n) {
		const void *src = exact ? (const void *)(exact + p->at + j)
					: param(m, p->part, p->at + j);

		n = p->n - j < PIECE ? p->n - j : PIECE;
		if (gv_get_f32(m, mv->v, src, exact ? GVK_F32 : gvk_dtype(m->k),
			n, e) ||
		    gv_from_f32(mv->o, mv->dtype, mv->v, n, e) ||
		    gv_st_writer_data(
			mv->w, mv->o, n * gv_dtype_size(mv->dtype), e))
			return e->code;
	}
	return 0;
}

/* Streams parameters, or gradients, in table order into a safetensors file. */
static int
write_tensors(struct gv_model *m, const char *path, bool grads,
    enum gv_dtype dtype, struct gv_error *e)
{
	static const char *const meta[1][2] = {{"format", "pt"}};
	struct gv_st_entry *t = gv_alloc(m->nparams, sizeof *t);
	struct mover mv = {NULL, gv_alloc(PIECE, sizeof(float)),
	    gv_alloc(PIECE, sizeof(float)), dtype};
	size_t i, count = 0;
	int r = 0;

	if (!t || !mv.v || !mv.o)
		r = gv_fail(e, GV_ERR_NOMEM, "out of memory");
	for (i = 0; i < m->nparams && !r; i++) {
		const struct gv_param *p = &m->param[i];

		if (grads && !m->part[p->part].grad)
			continue;
		t[count].name = p->name;
		t[count].dtype = dtype;
		t[count].rank = p->rank;
		memcpy(t[count++].shape, p->shape, sizeof p->shape);
	}
	if (!r)
		r = gv_st_writer_open(&mv.w, path, t, count, meta, 1, e);
	for (i = 0; i < m->nparams && !r; i++)
		if (!grads || m->part[m->param[i].part].grad)
			r = write_one(m, &m->param[i], grads, &mv, e);
	if (!r)
		r = gv_st_writer_close(&mv.w, e);
	gv_st_writer_abort(&mv.w);
	gv_free(t);
	gv_free(mv.v);
	gv_free(mv.o);
	return r;
}

int
gv_model_save(struct gv_model *m, const char *dir, enum gv_dtype dtype,
    struct gv_error *e)
{
	size_t cap = strlen(dir) + 32;
	char *path;
	int i, r;

	for (i = 0; i < GV_PARTS; i++)
		if (m->part[i].n && !m->part[i].w)
			return gv_fail(e, GV_ERR_MATCH,
			    "cannot save a model whose %s part was not read",
			    part_names[i]);
	path = gv_alloc(cap, 1);
	if (!path)
		return gv_fail(e, GV_ERR_NOMEM, "out of memory");
	snprintf(path, cap, "%s/model.safetensors", dir);
	r = write_tensors(m, path, false, dtype, e);
	if (!r)
		r = gv_config_write(&m->cfg, dir, e);
	gv_free(path);
	return r;
}

int
gv_model_save_grads(struct gv_model *m, const char *path, struct gv_error *e)
{
	return write_tensors(m, path, true, GV_F32, e);
}
