/* AdamW over the flat buffers of the parts that train. */
#include "optim.h"

#include "mem.h"
#include "banned.h"

#include <math.h>

#define PIECE ((size_t)4 << 20) /* bytes moved at a time */

struct gv_optim {
	struct gv_model *m;
	struct gv_optim_law law;
	int64_t t; /* updates done */
	void *mom[GV_PARTS], *var[GV_PARTS]; /* of type law.state */
	struct gvk_range *range[GV_PARTS]; /* host */
	int64_t ranges[GV_PARTS];
	struct gvk_range *dev; /* device, all parts' ranges */
	double *sum; /* device */
	float *scale; /* device [2] */
};

double
gv_schedule_at(const struct gv_schedule_law *s, int64_t step)
{
	double span = (double)(s->total - s->warmup - s->flat), x, y;

	if (step < s->warmup)
		return (double)(step + 1) / (double)s->warmup;
	if (s->kind == GV_CONSTANT || step < s->warmup + s->flat)
		return 1;
	x = span > 0 ? (double)(step - s->warmup - s->flat) / span : 1;
	x = x > 1 ? 1 : x;
	y = s->kind == GV_COSINE ? 0.5 * (1 + cos(3.141592653589793 * x))
				 : 1 - x;
	return s->floor + (1 - s->floor) * y;
}

static bool
decays(const struct gv_param *p)
{
	return p->rank >= 2 && !strstr(p->name, "position_embedding") &&
	       !strstr(p->name, "latents");
}

/* Runs of parameters with one decay.  What lies between two tensors of a part
 * is padding that stays zero, so a run may cover it. */
static int
find_ranges(struct gv_optim *o, enum gv_part part, struct gv_error *e)
{
	const struct gv_model *m = o->m;
	struct gvk_range *r = gv_alloc(m->nparams, sizeof *r);
	int64_t n = 0;
	size_t i;

	if (!r)
		return gv_fail(e, GV_ERR_NOMEM, "out of memory");
	for (i = 0; i < m->nparams; i++) {
		const struct gv_param *p = &m->param[i];
		float wd = decays(p) ? (float)o->law.weight_decay : 0;

		if (p->part != part || !p->used)
			continue;
		if (n && !(r[n - 1].wd < wd || r[n - 1].wd > wd) && i &&
		    m->param[i - 1].used) {
			r[n - 1].n = (int64_t)(p->at + p->n) - r[n - 1].at;
			continue;
		}
		r[n].at = (int64_t)p->at;
		r[n].n = (int64_t)p->n;
		r[n++].wd = wd;
	}
	o->range[part] = r;
	o->ranges[part] = n;
	return 0;
}

/* Storage rounds, so that exact parameters are kept beside it. */
static bool
needs_master(const struct gv_model *m)
{
	return gvk_dtype(m->k) != GVK_F32;
}

size_t
gv_optim_need(const struct gv_model *m, const struct gv_optim_law *law)
{
	size_t bytes = 0, each = 2 * gvk_dtype_size(law->state);
	int i;

	each += needs_master(m) ? sizeof(float) : 0;
	for (i = 0; i < GV_PARTS; i++)
		if (m->part[i].trains)
			bytes += each * m->part[i].n;
	return bytes;
}

static int
open_part(struct gv_optim *o, enum gv_part i, struct gv_error *e)
{
	struct gv_model *m = o->m;
	struct gv_model_part *p = &m->part[i];
	size_t bytes = p->n * gvk_dtype_size(o->law.state);

	o->mom[i] = gvk_alloc(m->k, bytes);
	o->var[i] = gvk_alloc(m->k, bytes);
	if (needs_master(m))
		p->master = gvk_alloc(m->k, p->n * sizeof(float));
	if (!o->mom[i] || !o->var[i] || (needs_master(m) && !p->master))
		return gv_fail(e, GV_ERR_NOMEM,
		    "out of memory: the optimizer needs %.1f MiB",
		    (double)gv_optim_need(m, &o->law) / 1048576);
	gvk_zero(m->s, o->mom[i], bytes);
	gvk_zero(m->s, o->var[i], bytes);
	if (p->master)
		gvk_convert(
		    m->s, p->master, GVK_F32, p->w, gvk_dtype(m->k), p->n);
	return find_ranges(o, i, e);
}

int
gv_optim_open(struct gv_optim **out, struct gv_model *m,
    const struct gv_optim_law *law, struct gv_error *e)
{
	struct gv_optim *o = gv_alloc(1, sizeof *o);
	int64_t n = 0;
	int i;

	if (!o)
		return gv_fail(e, GV_ERR_NOMEM, "out of memory");
	o->m = m;
	o->law = *law;
	*out = o;
	for (i = 0; i < GV_PARTS; i++) {
		if (m->part[i].trains && open_part(o, (enum gv_part)i, e)) {
			gv_optim_close(out);
			return e->code;
		}
		n += o->ranges[i];
	}
	o->dev = gvk_alloc(m->k, ((size_t)n + 1) * sizeof *o->dev);
	o->sum = gvk_alloc(m->k, sizeof *o->sum);
	o->scale = gvk_alloc(m->k, 2 * sizeof *o->scale);
	if (!o->dev || !o->sum || !o->scale) {
		gv_optim_close(out);
		return gv_fail(e, GV_ERR_NOMEM, "out of memory");
	}
	return 0;
}

void
gv_optim_close(struct gv_optim **out)
{
	struct gv_optim *o = *out;
	int i;

	if (!o)
		return;
	*out = NULL;
	for (i = 0; i < GV_PARTS; i++) {
		gvk_free(o->m->k, o->mom[i]);
		gvk_free(o->m->k, o->var[i]);
		gvk_free(o->m->k, o->m->part[i].master);
		o->m->part[i].master = NULL;
		gv_free(o->range[i]);
	}
	gvk_free(o->m->k, o->dev);
	gvk_free(o->m->k, o->sum);
	gvk_free(o->m->k, o->scale);
	gv_free(o);
}

/* Elements are counted anew in each part, so parts differ by the seed. */
static void
update_part(struct gv_optim *o, int i, struct gvk_range *dev, double factor)
{
	struct gvk_adamw law = {(float)o->law.beta1, (float)o->law.beta2,
	    (float)o->law.eps, o->t, o->law.state,
	    o->law.seed * GV_PARTS + (uint64_t)i};
	struct gv_model *m = o->m;
	int64_t n = o->ranges[i], k;

	for (k = 0; k < n; k++)
		o->range[i][k].lr = (float)(o->law.lr[i] * factor);
	gvk_put(m->s, dev, o->range[i], (size_t)n * sizeof *dev);
	gvk_adamw(m->s, m->part[i].w, m->part[i].master, o->mom[i], o->var[i],
	    m->part[i].grad, o->scale, dev, n, &law);
}

int
gv_optim_step(
    struct gv_optim *o, double factor, double *norm, struct gv_error *e)
{
	struct gv_model *m = o->m;
	struct gvk_range *dev = o->dev;
	float scale[2];
	bool add = false;
	int i;

	for (i = 0; i < GV_PARTS; i++)
		if (m->part[i].trains) {
			gvk_sumsq(m->s, o->sum, m->part[i].grad,
			    (int64_t)m->part[i].n, add);
			add = true;
		}
	gvk_clip(m->s, o->scale, o->sum, (float)o->law.clip);
	o->t++;
	for (i = 0; i < GV_PARTS; i++)
		if (m->part[i].trains) {
			update_part(o, i, dev, factor);
			dev += o->ranges[i];
		}
	gvk_get(m->s, scale, o->scale, sizeof scale);
	if (gv_model_sync(m, e))
		return e->code;
	*norm = (double)scale[1];
	if (isfinite(scale[1]))
		return 0;
	o->t--;
	return gv_fail(e, GV_ERR_FORMAT,
	    "the gradient is not finite: the weights are as before");
}

/* ---- state --------------------------------------------------------------- */

#define STATES 2

/* The state tensors of a part, "m.PART" and "v.PART"; `data` is NULL if the
 * part doesn't train. */
struct state {
	char name[32];
	void *data; /* device */
	size_t n;
};

static struct state
state(const struct gv_optim *o, int part, int k)
{
	struct state s = {
	    .data = k ? o->var[part] : o->mom[part], .n = o->m->part[part].n};

	snprintf(s.name, sizeof s.name, "%s.%s", k ? "v" : "m",
	    gv_part_name((enum gv_part)part));
	return s;
}

static enum gv_dtype
file_type(const struct gv_optim *o)
{
	return o->law.state == GVK_BF16 ? GV_BF16 : GV_F32;
}

static int
save_one(struct gv_optim *o, struct gv_st_writer *w, const struct state *x,
    void *tmp, struct gv_error *e)
{
	size_t total = x->n * gvk_dtype_size(o->law.state), at, n;

	for (at = 0; at < total; at += n) {
		n = total - at < PIECE ? total - at : PIECE;
		gvk_get(o->m->s, tmp, (const char *)x->data + at, n);
		if (gv_model_sync(o->m, e) || gv_st_writer_data(w, tmp, n, e))
			return e->code;
	}
	return 0;
}

int
gv_optim_save(struct gv_optim *o, const char *path, struct gv_error *e)
{
	struct gv_st_entry t[STATES * GV_PARTS];
	struct state x[STATES * GV_PARTS];
	struct gv_st_writer *w;
	size_t n = 0, k;
	void *tmp;
	int i, r = 0;

	memset(t, 0, sizeof t);
	for (i = 0; i < STATES * GV_PARTS; i++) {
		x[n] = state(o, i / STATES, i % STATES);
		if (!x[n].data)
			continue;
		t[n].name = x[n].name;
		t[n].dtype = file_type(o);
		t[n].rank = 1;
		t[n].shape[0] = (int64_t)x[n].n;
		n++;
	}
	tmp = gv_alloc(PIECE, 1);
	if (!tmp)
		return gv_fail(e, GV_ERR_NOMEM, "out of memory");
	if (gv_st_writer_open(&w, path, t, n, NULL, 0, e)) {
		gv_free(tmp);
		return e->code;
	}
	for (k = 0; k < n && !r; k++)
		r = save_one(o, w, &x[k], tmp, e);
	gv_free(tmp);
	if (!r)
		r = gv_st_writer_close(&w, e);
	gv_st_writer_abort(&w);
	return r;
}

static int
load_one(struct gv_optim *o, const struct gv_st *st, const struct state *x,
    const char *path, struct gv_error *e)
{
	const struct gv_tensor *t = gv_st_find(st, x->name);

	if (!t || t->rank != 1 || t->shape[0] != (int64_t)x->n)
		return gv_fail(e, GV_ERR_MATCH,
		    "'%s' has no '%s' for this model", path, x->name);
	if (t->dtype != file_type(o))
		return gv_fail(e, GV_ERR_MATCH,
		    "'%s' holds '%s' in %s, and %s is asked for", path, x->name,
		    gv_dtype_name(t->dtype), gv_dtype_name(file_type(o)));
	gvk_put(o->m->s, x->data, t->data, t->bytes);
	return 0;
}

int
gv_optim_load(
    struct gv_optim *o, const char *path, int64_t step, struct gv_error *e)
{
	struct gv_st *st;
	int i, r;

	r = gv_st_open(&st, path, e);
	if (r)
		return r;
	for (i = 0; i < STATES * GV_PARTS && !r; i++) {
		struct state x = state(o, i / STATES, i % STATES);

		if (x.data)
			r = load_one(o, st, &x, path, e);
	}
	if (!r)
		r = gv_model_sync(o->m, e);
	gv_st_close(&st);
	o->t = step;
	return r;
}
