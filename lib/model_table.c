/* The parameter table of a configuration. */
#include "model_table.h"

#include "mem.h"
#include "banned.h"

#include <math.h>
#include <stdarg.h>

/* Parameters start at multiples of this, so that rows stay aligned. */
#define PARAM_ALIGN 64

/* How a family's files call a part's tensors: those whose name within the part
 * starts with `own` have `disk` instead.  Names within a part are the same in
 * all families, and those of a model that is this part alone; the first that
 * fits counts. */
struct naming {
	enum gv_part part;
	const char *own, *disk;
};

static const struct naming ghostvis[] = {
    {GV_VISION, "", "vision_tower."},
    {GV_RESAMPLER, "", "resampler."},
    {GV_PROJECTOR, "", "projector."},
    {GV_LANGUAGE, "", "language_model."},
    {GV_PARTS, NULL, NULL},
};

static const struct naming llava[] = {
    {GV_VISION, "", "vision_tower."},
    {GV_PROJECTOR, "fc1.", "multi_modal_projector.linear_1."},
    {GV_PROJECTOR, "fc2.", "multi_modal_projector.linear_2."},
    {GV_LANGUAGE, "", "language_model."},
    {GV_PARTS, NULL, NULL},
};

static const struct naming idefics[] = {
    {GV_VISION, "", "model."},
    {GV_RESAMPLER, "", "model.connector."},
    {GV_PROJECTOR, "", "model.connector.modality_projection."},
    {GV_LANGUAGE, "model.", "model.text_model."},
    {GV_PARTS, NULL, NULL},
};

static const struct {
	const char *type;
	const struct naming *n;
} families[] = {
    {"ghostvis", ghostvis},
    {"llava", llava},
    {"idefics2", idefics},
    {"idefics3", idefics},
    {"smolvlm", idefics},
};

/* The name on disk of a tensor by its name within its part. */
static void
name_of(const struct gv_model *m, enum gv_part part, const char *own, char *to,
    size_t cap)
{
	const struct naming *n = NULL;
	size_t i;

	for (i = 0; i < sizeof families / sizeof *families; i++)
		if (!strcmp(families[i].type, m->cfg.model_type))
			n = families[i].n;
	while (n && n->own &&
	       (n->part != part || strncmp(own, n->own, strlen(n->own))))
		n++;
	if (n && n->own)
		snprintf(to, cap, "%s%s", n->disk, own + strlen(n->own));
	else
		snprintf(to, cap, "%s", own);
}

size_t
gv_table_add(struct gv_table *t, struct gv_spec s, int64_t d0, int64_t d1,
    const char *fmt, ...)
{
	struct gv_model *m = t->m;
	struct gv_model_part *part = &m->part[s.part];
	struct gv_param *p;
	void *v = m->param;
	char own[sizeof p->name];
	va_list ap;

	if (t->failed || gv_grow(&v, &t->cap, m->nparams + 1, sizeof *p)) {
		t->failed = true;
		return 0;
	}
	m->param = v;
	p = &m->param[m->nparams++];
	memset(p, 0, sizeof *p);
	va_start(ap, fmt);
	vsnprintf(own, sizeof own, fmt, ap);
	va_end(ap);
	name_of(m, s.part, own, p->name, sizeof p->name);
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
	p->joined = s.joined;
	p->at = t->place ? t->place[m->nparams - 1] : part->n;
	part->n += p->n;
	return p->at;
}

struct gv_spec
gv_spec_normal(enum gv_part part, double std)
{
	return (struct gv_spec){part, GV_INIT_NORMAL, std, false};
}

/* A matrix that reads C channels; one that writes to the residual stream of a
 * tower of `layers` layers starts smaller (0: it doesn't). */
struct gv_spec
gv_spec_matrix(
    const struct gv_config *c, enum gv_part part, int64_t C, int64_t layers)
{
	double std = c->init.gain / sqrt((double)C);

	if (layers)
		std /= sqrt(2 * (double)layers);
	if (c->init.gain == 0)
		std =
		    part == GV_LANGUAGE ? c->text.init_std : c->vision.init_std;
	return gv_spec_normal(part, std);
}

/* A table of rows, by its own standard deviation. */
struct gv_spec
gv_spec_rows(const struct gv_config *c, enum gv_part part, double std)
{
	struct gv_spec s = gv_spec_matrix(c, part, 1, 0);

	if (c->init.gain != 0)
		s.std = std;
	return s;
}

struct gv_spec
gv_spec_ones(enum gv_part part)
{
	return (struct gv_spec){part, GV_INIT_ONE, 0, false};
}

struct gv_spec
gv_spec_zeros(enum gv_part part)
{
	return (struct gv_spec){part, GV_INIT_ZERO, 0, false};
}

struct gv_spec
gv_spec_joined(struct gv_spec s)
{
	s.joined = true;
	return s;
}

/* Adds all tensors of the configuration. */
static int
add_all(struct gv_table *t, struct gv_error *e)
{
	const struct gv_config *c = &t->m->cfg;

	if (c->has_vision)
		gv_table_vision(t);
	if (c->has_vision && c->has_text) {
		gv_table_resampler(t);
		gv_table_projector(t);
	}
	if (c->has_text)
		gv_table_decoder(t);
	return t->failed ? gv_fail(e, GV_ERR_NOMEM, "out of memory") : 0;
}

int
gv_table_place(struct gv_model *m, const size_t *place, struct gv_error *e)
{
	struct gv_table t = {
	    .m = m, .cap = m->nparams, .used = true, .place = place};
	int i;

	m->nparams = 0;
	for (i = 0; i < GV_PARTS; i++)
		m->part[i].n = 0;
	return add_all(&t, e);
}

int
gv_table_build(struct gv_model *m, struct gv_error *e)
{
	struct gv_model_priv *p = m->priv;
	const struct gv_config *c = &m->cfg;
	struct gv_table t = {.m = m, .used = true};

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
	return add_all(&t, e);
}
