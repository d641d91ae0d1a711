/* The buffers behind a model's parameter table, and their values. */
#include "model_load.h"
#include "model_table.h"

#include "mem.h"
#include "names.h"
#include "philox.h"
#include "rope.h"
#include "banned.h"

#include <stdatomic.h>

static const char *const part_names[GV_PARTS] = {
    "vision", "resampler", "projector", "language"};

const char *
gv_part_name(enum gv_part p)
{
	return part_names[p];
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

/* What the decoder reads besides parameters: frequencies, and the weights of
 * norms that have none. */
static int
text_tables(struct gv_model *m, struct gv_error *e)
{
	const struct gv_text_config *c = &m->cfg.text;
	struct gv_model_priv *p = m->priv;
	int64_t half = c->D / 2, i;
	float *f = gv_alloc((size_t)(half + c->C), sizeof *f);
	int r = 0;

	p->freq = gvk_alloc(m->k, (size_t)half * sizeof *f);
	if (c->bare_norm)
		p->ones = gvk_alloc(m->k, (size_t)c->C * p->wsize);
	if (!f || !p->freq || (c->bare_norm && !p->ones)) {
		gv_free(f);
		return gv_fail(e, GV_ERR_NOMEM, "out of memory");
	}
	for (i = 0; i < half; i++)
		f[i] = (float)gv_rope(&c->rope, i, c->D);
	for (i = 0; i < c->C; i++)
		f[half + i] = 1;
	gvk_put(m->s, p->freq, f, (size_t)half * sizeof *f);
	if (p->ones)
		r = gv_put_f32(m, p->ones, f + half, (size_t)c->C, e);
	if (!r)
		r = gv_model_sync(m, e);
	gv_free(f);
	return r;
}

int
gv_model_alloc(struct gv_model *m, unsigned parts, struct gv_error *e)
{
	struct gv_model_priv *p = m->priv;
	int i;

	p->alloc = parts;
	p->wsize = gvk_dtype_size(m->wtype);
	for (i = 0; i < GV_PARTS; i++) {
		size_t bytes = m->part[i].n * p->wsize;

		if (!m->part[i].n || !(parts & 1u << i))
			continue;
		m->part[i].w = gvk_alloc(m->k, bytes);
		if (!m->part[i].w)
			return device_oom(m, "weights", bytes, e);
	}
	return m->cfg.has_text ? text_tables(m, e) : 0;
}

/* A model without buffers. */
static int
new_model(struct gv_model **out, struct gvk *k, struct gv_config *cfg,
    struct gv_error *e)
{
	struct gv_model *m = gv_alloc(1, sizeof *m);

	if (m)
		m->priv = gv_alloc(1, sizeof *m->priv);
	if (!m || !m->priv) {
		gv_free(m);
		return gv_fail(e, GV_ERR_NOMEM, "out of memory");
	}
	m->k = k;
	m->wtype = gvk_dtype(k);
	m->priv->esize = gvk_dtype_size(gvk_dtype(k));
	m->cfg = *cfg;
	memset(cfg, 0, sizeof *cfg);
	if (open_streams(m, e) || gv_table_build(m, e)) {
		gv_model_close(&m);
		return e->code;
	}
	*out = m;
	return 0;
}

int
gv_model_new(struct gv_model **m, struct gvk *k, struct gv_config *cfg,
    unsigned parts, struct gv_error *e)
{
	int i;

	if (new_model(m, k, cfg, e))
		return e->code;
	if (gv_model_alloc(*m, parts, e)) {
		gv_model_close(m);
		return e->code;
	}
	for (i = 0; i < GV_PARTS; i++)
		if ((*m)->part[i].w)
			gvk_zero((*m)->s, (*m)->part[i].w,
			    (*m)->part[i].n * (*m)->priv->wsize);
	return 0;
}

/* Weights stay BF16 if all tensors of these parts are. */
static int
keep_bf16(struct gv_model *m, const struct gv_st *st, unsigned parts,
    struct gv_error *e)
{
	struct gv_source *src;
	bool all = true;
	size_t i;

	if (gv_names_match(&src, m, st, e))
		return e->code;
	for (i = 0; i < m->nparams && all; i++)
		all = !(parts & 1u << m->param[i].part) ||
		      src[i].t->dtype == GV_BF16;
	gv_free(src);
	if (all && gvk_set_wtype(m->s, GVK_BF16))
		m->wtype = GVK_BF16;
	return 0;
}

static int
open_model(struct gv_model **m, struct gvk *k, const char *dir, unsigned parts,
    bool forward, struct gv_error *e)
{
	struct gv_config cfg;
	struct gv_st *st;

	if (gv_config_open(&cfg, dir, e))
		return e->code;
	if (gv_st_open_dir(&st, dir, e)) {
		gv_config_free(&cfg);
		return e->code;
	}
	if (new_model(m, k, &cfg, e)) {
		gv_config_free(&cfg);
		gv_st_close(&st);
		return e->code;
	}
	/* what may be wrong with the files is found before there are buffers */
	if (!gv_model_load(*m, st, 0, e) &&
	    (!forward || !keep_bf16(*m, st, parts, e))) {
		if (forward && gvk_is_host(k)) {
			if (!gv_model_map(*m, st, parts, e))
				st = NULL; /* the model's now */
		} else if (!gv_model_alloc(*m, parts, e)) {
			(void)!gv_model_load(*m, st, parts, e);
		}
	}
	if (e->code)
		gv_model_close(m);
	gv_st_close(&st);
	return e->code;
}

int
gv_model_open(struct gv_model **m, struct gvk *k, const char *dir,
    unsigned parts, struct gv_error *e)
{
	return open_model(m, k, dir, parts, false, e);
}

int
gv_model_open_forward(struct gv_model **m, struct gvk *k, const char *dir,
    unsigned parts, struct gv_error *e)
{
	return open_model(m, k, dir, parts, true, e);
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
	gvk_free(m->k, p->ones);
	gv_st_close(&p->st);
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

	if (parts && m->wtype != gvk_dtype(m->k))
		return gv_fail(e, GV_ERR_NOSUP,
		    "a model that was opened to run forward can't train");
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

#define PIECE ((size_t)1 << 22) /* numbers drawn at a time ... */
#define SOME  ((size_t)1 << 16) /* ... and by one thread */

int
gv_put_f32(
    struct gv_model *m, void *dst, const float *v, size_t n, struct gv_error *e)
{
	static const enum gv_dtype as[] = {GV_F32, GV_BF16};
	enum gvk_dtype t = m->wtype;
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
		gvk_put(m->s, dst, tmp, n * m->priv->wsize);
		r = gv_model_sync(m, e);
	}
	gv_free(tmp);
	return r;
}

/* Numbers of a fresh tensor, drawn by several threads: number i comes from
 * block i of the tensor's walk, whoever draws it. */
struct drawing {
	const struct gv_param *p;
	uint64_t seed, purpose;
	size_t from, n; /* of the tensor's numbers these go to v */
	float *v;
	atomic_size_t next;
};

static void *
draw_some(void *arg)
{
	struct drawing *d = arg;
	struct gv_rng r;
	size_t i, at, end;

	while ((at = atomic_fetch_add(&d->next, SOME)) < d->n) {
		end = d->n - at < SOME ? d->n : at + SOME;
		gv_rng_init(&r, d->seed, d->purpose);
		r.lo = d->from + at;
		for (i = at; i < end; i++)
			d->v[i] = d->p->init == GV_INIT_NORMAL
				      ? d->p->std * (float)gv_rng_normal(&r)
				      : d->p->init == GV_INIT_ONE;
	}
	return NULL;
}

int
gv_model_init(struct gv_model *m, uint64_t seed, struct gv_error *e)
{
	struct drawing d = {.seed = seed, .v = gv_alloc(PIECE, sizeof *d.v)};
	size_t i;
	int r = 0;

	if (!d.v)
		return gv_fail(e, GV_ERR_NOMEM, "out of memory");
	for (i = 0; i < m->nparams && !r; i++) {
		d.p = &m->param[i];
		/* the tensor's place in the table is part of the purpose */
		d.purpose = GV_PURPOSE_INIT | (uint64_t)i << 32;
		if (!m->part[d.p->part].w)
			continue;
		for (d.from = 0; d.from < d.p->n && !r; d.from += d.n) {
			d.n = d.p->n - d.from < PIECE ? d.p->n - d.from : PIECE;
			atomic_store(&d.next, 0);
			gv_load_run(m, (d.n + SOME - 1) / SOME, draw_some, &d);
			r = gv_put_f32(m, param(m, d.p->part, d.p->at + d.from),
			    d.v, d.n, e);
		}
	}
	gv_free(d.v);
	return r;
}
