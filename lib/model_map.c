/* Weights where the file's mapping has them.
 *
 * A decoder of 3 GB whose weights are BF16 in the file and in use is ready as
 * soon as its pages are in the page table: nothing is copied but matrices that
 * are one here and not neighbours in the file (queries, keys and values in most
 * files, a twentieth of all), and nothing is allocated for the rest.
 */
#include "model_load.h"
#include "model_table.h"

#include "mem.h"
#include "banned.h"

#include <stdatomic.h>

#define ALIGN 64 /* numbers, as the table's own offsets */

/* Numbers of this parameter can be used as the file has them. */
static bool
usable(const struct gv_model *m, const struct gv_source *s)
{
	enum gv_dtype as = m->wtype == GVK_BF16 ? GV_BF16 : GV_F32;

	return s->t->dtype == as && !s->made && !s->paired &&
	       (uintptr_t)s->t->data % gv_dtype_size(as) == 0;
}

/* The end of the parameters that lie one behind the other from `i` on. */
static size_t
group_end(const struct gv_model *m, size_t i)
{
	for (i++; i < m->nparams && m->param[i].joined; i++)
		;
	return i;
}

static bool
group_usable(
    const struct gv_model *m, const struct gv_source *src, size_t i, size_t end)
{
	const char *next = src[i].t->data;

	for (; i < end; i++) {
		if (!usable(m, &src[i]) || src[i].t->data != next)
			return false;
		next += src[i].t->bytes;
	}
	return true;
}

/* ---- pages --------------------------------------------------------------- */

struct touch {
	const struct gv_model *m;
	const struct gv_source *src;
	const bool *mapped;
	atomic_size_t next;
};

static void *
touch(void *arg)
{
	struct touch *a = arg;
	size_t i;

	while ((i = atomic_fetch_add(&a->next, 1)) < a->m->nparams)
		if (a->mapped[i])
			gv_load_touch(a->src[i].t->data, a->src[i].t->bytes);
	return NULL;
}

/* ---- the table ----------------------------------------------------------- */

struct map {
	struct gv_model *m;
	struct gv_source *rest; /* what is copied; no tensor: mapped */
	size_t *place; /* offsets to be, by parameter */
	bool *mapped;
};

/* Decides about each parameter, and where copies go; n counts them by part. */
static void
sort_out(struct map *x, const struct gv_source *src, unsigned parts,
    size_t n[GV_PARTS])
{
	struct gv_model *m = x->m;
	size_t i, end;

	for (i = 0; i < m->nparams; i = end) {
		enum gv_part part = m->param[i].part;
		bool usable;

		end = group_end(m, i);
		if (!(parts & 1u << part)) {
			i = end;
			continue;
		}
		usable = group_usable(m, src, i, end);
		n[part] = (n[part] + ALIGN - 1) / ALIGN * ALIGN;
		for (; i < end; i++) {
			x->mapped[i] = usable;
			if (usable)
				continue;
			x->rest[i] = src[i];
			x->place[i] = n[part];
			n[part] += m->param[i].n;
		}
	}
}

static int
no_memory(const struct gv_model *m, size_t bytes, struct gv_error *e)
{
	return gv_fail(e, GV_ERR_NOMEM,
	    "out of memory: weights need %.1f MiB on %s",
	    (double)bytes / 1048576, gvk_name(m->k));
}

static int
alloc_parts(struct gv_model *m, unsigned parts, const size_t n[GV_PARTS],
    struct gv_error *e)
{
	int i;

	for (i = 0; i < GV_PARTS; i++) {
		size_t bytes = n[i] * m->priv->wsize;

		if (!m->part[i].n || !(parts & 1u << i))
			continue;
		m->part[i].w = gvk_alloc(m->k, bytes);
		if (!m->part[i].w)
			return no_memory(m, bytes, e);
	}
	return 0;
}

/* The offset, in numbers, from a part's buffer to where the file has a
 * parameter.  param() adds it in the same unsigned arithmetic. */
static size_t
offset_of(const struct gv_model *m, size_t i, const struct gv_tensor *t)
{
	const void *base = m->part[m->param[i].part].w;

	return ((uintptr_t)t->data - (uintptr_t)base) / m->priv->wsize;
}

static int
lay_out(struct map *x, const struct gv_source *src, unsigned parts,
    struct gv_error *e)
{
	struct gv_model *m = x->m;
	struct touch pages = {m, src, x->mapped, 0};
	size_t n[GV_PARTS] = {0}, i;

	sort_out(x, src, parts, n);
	if (alloc_parts(m, parts, n, e))
		return e->code;
	for (i = 0; i < m->nparams; i++)
		if (x->mapped[i])
			x->place[i] = offset_of(m, i, src[i].t);
	if (gv_table_place(m, x->place, e))
		return e->code;
	gv_load_run(m, m->nparams, touch, &pages);
	return gv_load_tensors(m, x->rest, parts, e);
}

int
gv_map_tensors(struct gv_model *m, const struct gv_source *src, unsigned parts,
    struct gv_error *e)
{
	struct map x = {m, gv_alloc(m->nparams, sizeof *x.rest),
	    gv_alloc(m->nparams, sizeof *x.place),
	    gv_alloc(m->nparams, sizeof *x.mapped)};

	if (!x.rest || !x.place || !x.mapped)
		gv_fail(e, GV_ERR_NOMEM, "out of memory");
	else if (!gv_model_alloc(m, 0, e)) {
		m->priv->alloc = parts;
		(void)!lay_out(&x, src, parts, e);
	}
	gv_free(x.rest);
	gv_free(x.place);
	gv_free(x.mapped);
	return e->code;
}

int
gv_map_end(struct gv_model *m, struct gv_error *e)
{
	size_t n[GV_PARTS];
	int i;

	if (gv_table_place(m, NULL, e))
		return e->code;
	for (i = 0; i < GV_PARTS; i++) {
		gvk_free(m->k, m->part[i].w);
		m->part[i].w = NULL;
		n[i] = m->part[i].n;
	}
	return alloc_parts(m, m->priv->alloc, n, e);
}
