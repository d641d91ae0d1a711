/* A model's tensors out of files and into them. */
#include "model_load.h"

#include "mem.h"
#include "positions.h"
#include "banned.h"

#define PIECE ((size_t)1 << 18) /* elements moved at a time */

/* What lies between tensors of a buffer is zero, so that sums over all of it
 * mean something. */
static void
zero_gaps(struct gv_model *m, unsigned parts)
{
	size_t end[GV_PARTS] = {0}, i;

	for (i = 0; i < m->nparams; i++) {
		const struct gv_param *p = &m->param[i];
		size_t from = end[p->part];

		end[p->part] = p->at + p->n;
		if (!(parts & 1u << p->part) || !m->part[p->part].w ||
		    from == p->at)
			continue;
		gvk_zero(m->s, param(m, p->part, from),
		    (p->at - from) * m->priv->wsize);
	}
}

/* The sources of all parameters; a table of positions for another grid than
 * the model's is made into the model's. */
struct sources {
	struct gv_source *src;
	struct gv_tensor positions;
	float *data;
};

static void
free_sources(struct sources *s)
{
	gv_free(s->src);
	gv_free(s->data);
}

static int
find_sources(struct sources *s, const struct gv_model *m,
    const struct gv_st *st, unsigned parts, struct gv_error *e)
{
	int64_t rows;
	size_t i;

	memset(s, 0, sizeof *s);
	if (gv_names_match(&s->src, m, st, e))
		return e->code;
	for (i = 0; i < m->nparams && parts & 1u << GV_VISION; i++) {
		if (!gv_positions_differ(m, &m->param[i], &rows))
			continue;
		if (gv_positions_resize(
			&s->positions, &s->data, m, s->src[i].t, e)) {
			free_sources(s);
			return e->code;
		}
		s->src[i].t = &s->positions;
		s->src[i].made = true;
		break;
	}
	return 0;
}

int
gv_model_load(struct gv_model *m, const struct gv_st *st, unsigned parts,
    struct gv_error *e)
{
	struct sources s;

	if (find_sources(&s, m, st, parts, e))
		return e->code;
	if (parts && m->priv->st) {
		gv_st_close(&m->priv->st);
		(void)!gv_map_end(m, e);
	}
	if (!e->code) {
		zero_gaps(m, parts);
		(void)!gv_load_tensors(m, s.src, parts, e);
	}
	free_sources(&s);
	return e->code;
}

int
gv_model_map(
    struct gv_model *m, struct gv_st *st, unsigned parts, struct gv_error *e)
{
	struct sources s;

	if (find_sources(&s, m, st, parts, e))
		return e->code;
	if (!gv_map_tensors(m, s.src, parts, e))
		m->priv->st = st;
	free_sources(&s);
	return e->code;
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
		if (gv_get_f32(
			m, mv->v, src, exact ? GVK_F32 : m->wtype, n, e) ||
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
