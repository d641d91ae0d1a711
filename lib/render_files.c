/* Files of lines, rendered by several threads. */
#include "render.h"

#include "documents.h"
#include "mem.h"
#include "ordered.h"
#include "banned.h"

#include <inttypes.h>

struct batch {
	struct gv_docs_batch docs;
	struct gv_record rec[GV_DOCS_BATCH];
	struct gv_error err[GV_DOCS_BATCH];
};

struct gv_render_files {
	struct gv_render how;
	struct gv_docs *docs;
	struct gv_ordered *q;
	struct batch *b; /* what is being given out */
	size_t given;
};

static int
next_batch(void *ctx, void *item, struct gv_error *e)
{
	struct gv_render_files *f = ctx;
	struct batch *b = item;

	return gv_docs_next(f->docs, &b->docs, e);
}

static void
render_batch(void *ctx, void *item)
{
	struct gv_render_files *f = ctx;
	struct batch *b = item;
	struct gv_render how = f->how;
	size_t i;

	if (b->docs.json && how.mode == GV_RENDER_TEXT)
		how.mode = GV_RENDER_JSON;
	for (i = 0; i < b->docs.docs; i++) {
		const struct gv_doc *d = &b->docs.doc[i];
		struct gv_record *r = &b->rec[i];

		gv_error_clear(&b->err[i]);
		if (gv_render(&how, b->docs.text + d->at, d->n, r, &b->err[i]))
			gv_docs_in(&b->docs, d, &b->err[i]);
		else if (!r->key[0])
			snprintf(r->key, sizeof r->key, "%" PRIu64, d->running);
	}
}

static void
drop_batch(void *item)
{
	struct batch *b = item;
	size_t i;

	for (i = 0; i < GV_DOCS_BATCH; i++)
		gv_record_free(&b->rec[i]);
	gv_docs_free(&b->docs);
}

/* ---- records in order ---------------------------------------------------- */

int
gv_render_open(struct gv_render_files **out, const struct gv_render *how,
    const char *const *file, size_t files, enum gv_docs_form form,
    size_t threads, struct gv_error *e)
{
	struct gv_render_files *f = gv_alloc(1, sizeof *f);

	if (!f)
		return gv_fail(e, GV_ERR_NOMEM, "out of memory");
	f->how = *how;
	f->how.threads = threads;
	if (how->mode == GV_RENDER_JSON)
		form = GV_DOCS_JSON;
	if (gv_docs_open(&f->docs, file, files, form, e) ||
	    gv_ordered_open(&f->q, threads, sizeof(struct batch), next_batch,
		render_batch, drop_batch, f, e)) {
		gv_docs_close(&f->docs);
		gv_free(f);
		return e->code;
	}
	*out = f;
	return 0;
}

int
gv_render_next(struct gv_render_files *f, const struct gv_record **rec,
    struct gv_error *bad, struct gv_error *e)
{
	void *p;
	int got;

	if (!f->b || f->given == f->b->docs.docs) {
		got = gv_ordered_take(f->q, &p, e);
		if (got <= 0)
			return got;
		f->b = p;
		f->given = 0;
	}
	*bad = f->b->err[f->given];
	*rec = bad->code ? NULL : &f->b->rec[f->given];
	f->given++;
	return bad->code == GV_ERR_NOMEM
		   ? gv_fail(e, GV_ERR_NOMEM, "%s", bad->msg)
		   : 1;
}

bool
gv_render_rests(const struct gv_render_files *f)
{
	return f->b->docs.rests && f->given == f->b->docs.docs;
}

void
gv_render_close(struct gv_render_files **f)
{
	if (!*f)
		return;
	gv_ordered_close(&(*f)->q);
	gv_docs_close(&(*f)->docs);
	gv_free(*f);
	*f = NULL;
}
