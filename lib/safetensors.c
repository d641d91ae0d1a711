/* Weights as mapped files: the files and tensors of a set. */
#include "safetensors_priv.h"

#include "gguf.h"
#include "mem.h"
#include "banned.h"

#include <sys/stat.h>

int
gv_st_no_memory(struct gv_error *e, const char *path)
{
	return gv_fail(e, GV_ERR_NOMEM, "out of memory for '%s'", path);
}

/* ---- opening ------------------------------------------------------------- */

int
gv_st_begin(struct gv_st *s, const char *path, struct gv_error *e)
{
	void *p = s->file;
	struct gv_st_opened *f;
	struct stat st;

	if (gv_grow(&p, &s->file_cap, s->nfiles + 1, sizeof *f))
		return gv_st_no_memory(e, path);
	s->file = p;
	f = &s->file[s->nfiles];
	memset(f, 0, sizeof *f);
	s->nfiles++;
	if (stat(path, &st))
		return gv_fail(e, GV_ERR_SYS, "cannot open '%s':", path);
	f->path = gv_strdup(path);
	if (!f->path)
		return gv_st_no_memory(e, path);
	f->facts.path = f->path;
	f->facts.bytes = (uint64_t)st.st_size;
	f->facts.inode = (uint64_t)st.st_ino;
	f->facts.mtime_ns =
	    (int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec;
	f->facts.ctime_ns =
	    (int64_t)st.st_ctim.tv_sec * 1000000000 + st.st_ctim.tv_nsec;
	return 0;
}

struct gv_st_named *
gv_st_new(
    struct gv_st *s, const char *name, const char *path, struct gv_error *e)
{
	void *p = s->entry;
	struct gv_st_named *en;

	if (s->n == GV_ST_MAX_TENSORS) {
		gv_fail(e, GV_ERR_LIMIT, "'%s': more than %d tensors", path,
		    GV_ST_MAX_TENSORS);
		return NULL;
	}
	if (gv_grow(&p, &s->entry_cap, s->n + 1, sizeof *en)) {
		gv_st_no_memory(e, path);
		return NULL;
	}
	s->entry = p;
	en = &s->entry[s->n];
	memset(en, 0, sizeof *en);
	en->name = gv_strdup(name);
	if (!en->name) {
		gv_st_no_memory(e, path);
		return NULL;
	}
	en->file = s->nfiles - 1;
	s->n++;
	return en;
}

static int
by_name(const void *a, const void *b)
{
	return strcmp(((const struct gv_st_named *)a)->name,
	    ((const struct gv_st_named *)b)->name);
}

void
gv_st_sort(struct gv_st *s)
{
	if (s->n)
		qsort(s->entry, s->n, sizeof *s->entry, by_name);
}

int
gv_st_open_by(struct gv_st **out, const char *path,
    int (*add)(struct gv_st *s, const char *path, struct gv_error *e),
    struct gv_error *e)
{
	struct gv_st *s = gv_alloc(1, sizeof *s);

	if (!s)
		return gv_st_no_memory(e, path);
	if (add(s, path, e)) {
		gv_st_close(&s);
		return e->code;
	}
	gv_st_sort(s);
	*out = s;
	return 0;
}

int
gv_st_open(struct gv_st **out, const char *path, struct gv_error *e)
{
	return gv_st_open_by(out, path, gv_st_add, e);
}

void
gv_st_close(struct gv_st **out)
{
	struct gv_st *s = *out;
	size_t i;

	if (!s)
		return;
	*out = NULL;
	for (i = 0; i < s->n; i++)
		gv_free(s->entry[i].name);
	for (i = 0; i < s->nfiles; i++) {
		gv_map_close(&s->file[i].map);
		gv_free(s->file[i].path);
	}
	json_decref(s->meta);
	gv_gguf_close(&s->gguf);
	gv_free(s->entry);
	gv_free(s->file);
	gv_free(s);
}

/* ---- looking ------------------------------------------------------------- */

size_t
gv_st_count(const struct gv_st *s)
{
	return s->n;
}

const char *
gv_st_name(const struct gv_st *s, size_t i)
{
	return s->entry[i].name;
}

const struct gv_tensor *
gv_st_tensor(const struct gv_st *s, size_t i)
{
	return &s->entry[i].t;
}

int64_t
gv_st_paired(const struct gv_st *s, size_t i)
{
	return s->entry[i].paired;
}

const struct gv_tensor *
gv_st_find(const struct gv_st *s, const char *name)
{
	size_t lo = 0, hi = s->n;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		int c = strcmp(name, s->entry[mid].name);

		if (!c)
			return &s->entry[mid].t;
		if (c < 0)
			hi = mid;
		else
			lo = mid + 1;
	}
	return NULL;
}

const char *
gv_st_meta(const struct gv_st *s, const char *key)
{
	return json_string_value(json_object_get(s->meta, key));
}

size_t
gv_st_files(const struct gv_st *s)
{
	return s->nfiles;
}

const struct gv_st_file *
gv_st_file(const struct gv_st *s, size_t i)
{
	return &s->file[i].facts;
}
