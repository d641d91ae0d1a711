/* Where the tensors of a new model come from. */
#include "origin.h"

#include "mem.h"
#include "banned.h"

/* A parameter by its name. */
struct entry {
	struct gv_name at;
	const struct gv_source *src;
};

struct gv_origin {
	char *dir;
	struct gv_st *st;
	struct gv_model *m; /* its table; without weights */
	struct gv_source *src;
	struct entry *entry; /* sorted */
};

static int
by_name(const void *a, const void *b)
{
	const struct gv_name *x = &((const struct entry *)a)->at;
	const struct gv_name *y = &((const struct entry *)b)->at;

	return x->part != y->part ? (x->part > y->part) - (x->part < y->part)
				  : strcmp(x->name, y->name);
}

static int
sort_entries(struct gv_origin *o, struct gv_error *e)
{
	const struct gv_model *m = o->m;
	size_t i;

	o->entry = gv_alloc(m->nparams, sizeof *o->entry);
	if (!o->entry)
		return gv_fail(e, GV_ERR_NOMEM, "out of memory");
	for (i = 0; i < m->nparams; i++) {
		gv_name_read(&o->entry[i].at, m->param[i].name);
		o->entry[i].src = &o->src[i];
	}
	if (m->nparams)
		qsort(o->entry, m->nparams, sizeof *o->entry, by_name);
	return 0;
}

int
gv_origin_open(
    struct gv_origin **out, const char *dir, struct gvk *k, struct gv_error *e)
{
	struct gv_origin *o = gv_alloc(1, sizeof *o);
	struct gv_config c = {0};

	if (!o || !(o->dir = gv_strdup(dir))) {
		gv_free(o);
		return gv_fail(e, GV_ERR_NOMEM, "out of memory");
	}
	if (!gv_config_open(&c, dir, e) && !gv_st_open_dir(&o->st, dir, e) &&
	    !gv_model_new(&o->m, k, &c, 0, e)) {
		if (gv_names_match(&o->src, o->m, o->st, e))
			gv_fail_in(e, "'%s'", dir);
		else
			(void)!sort_entries(o, e);
	}
	gv_config_free(&c);
	if (e->code)
		gv_origin_close(&o);
	else
		*out = o;
	return e->code;
}

void
gv_origin_close(struct gv_origin **out)
{
	struct gv_origin *o = *out;

	if (!o)
		return;
	*out = NULL;
	gv_free(o->entry);
	gv_free(o->src);
	gv_model_close(&o->m);
	gv_st_close(&o->st);
	gv_free(o->dir);
	gv_free(o);
}

const char *
gv_origin_dir(const struct gv_origin *o)
{
	return o->dir;
}

const struct gv_config *
gv_origin_config(const struct gv_origin *o)
{
	return &o->m->cfg;
}

const struct gv_st *
gv_origin_tensors(const struct gv_origin *o)
{
	return o->st;
}

const struct gv_source *
gv_origin_find(const struct gv_origin *o, const struct gv_name *at)
{
	struct entry want = {.at = *at};
	const struct entry *found;

	if (!o->m->nparams)
		return NULL;
	found =
	    bsearch(&want, o->entry, o->m->nparams, sizeof *o->entry, by_name);
	return found ? found->src : NULL;
}
