/* A model's tensors out of files and into them. */
#include "model_priv.h"

#include "mem.h"
#include "banned.h"

#define PIECE ((size_t)1 << 18) /* elements moved at a time */

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
			    gv_part_name((enum gv_part)i));
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
