/* Files of documents, rendered by several threads. */
#include "render_files.h"

#include "mem.h"
#include "ordered.h"
#include "token_stream.h"
#include "banned.h"

struct batch {
	struct gv_docs_batch docs;
	struct gv_render_some some; /* what is given out; it points here: */
	struct gv_record *rec; /* all, or with a stream the last one ... */
	size_t recs; /* ... of which there is room for so many */
	struct gv_error *bad;
	size_t bad_cap;
	struct gv_error error; /* no memory */
};

struct gv_render_files {
	struct gv_render how;
	const struct gv_writer *w;
	struct gv_docs *docs;
	struct gv_ordered *q;
};

/* ---- in the threads ------------------------------------------------------ */

static int
next_batch(void *ctx, void *item, struct gv_error *e)
{
	struct gv_render_files *f = ctx;
	struct batch *b = item;

	return gv_docs_next(f->docs, &b->docs, e);
}

/* As "%" PRIu64, for each document: sixty nanoseconds less. */
static void
number_key(char *key, uint64_t number)
{
	char digit[20];
	int n = 0;

	do
		digit[n++] = (char)('0' + number % 10);
	while (number /= 10);
	while (n)
		*key++ = digit[--n];
	*key = '\0';
}

/* Renders document i into *r and, if there is one, the stream. */
static int
render(const struct gv_render_files *f, const struct gv_render *how,
    struct batch *b, size_t i, struct gv_record *r, struct gv_error *e)
{
	const struct gv_doc *d = &b->docs.doc[i];

	if (gv_render(how, b->docs.text + d->at, d->n, r, e))
		return gv_docs_in(&b->docs, d, e);
	if (!r->key[0])
		number_key(r->key, d->running);
	if (!f->w || !gv_tokens_put(b->some.part, how, r, e))
		return 0;
	gv_writer_drop(b->some.part);
	return gv_docs_in(&b->docs, d, e);
}

/* Keeps why a document can't be rendered, unless that isn't its fault. */
static int
keep_bad(struct batch *b, const struct gv_error *why)
{
	if (why->code == GV_ERR_NOMEM)
		b->error = *why;
	else if (!gv_room(&b->bad, &b->bad_cap, b->some.bads + 1,
		     sizeof *b->bad, &b->error))
		b->bad[b->some.bads++] = *why;
	return b->error.code;
}

/* What a batch needs besides its documents, when it is used first. */
static int
prepare(const struct gv_render_files *f, struct batch *b)
{
	if (b->rec || b->error.code)
		return b->error.code;
	b->recs = f->w ? 1 : GV_DOCS_BATCH;
	b->rec = gv_alloc(b->recs, sizeof *b->rec);
	if (!b->rec)
		return gv_fail(&b->error, GV_ERR_NOMEM, "out of memory");
	return f->w ? gv_writer_part(&b->some.part, f->w, &b->error) : 0;
}

static void
render_batch(void *ctx, void *item)
{
	const struct gv_render_files *f = ctx;
	struct batch *b = item;
	struct gv_render_some *s = &b->some;
	struct gv_render how = f->how;
	struct gv_error e = {0};
	size_t i;

	if (prepare(f, b))
		return;
	if (b->docs.json && how.mode == GV_RENDER_TEXT)
		how.mode = GV_RENDER_JSON;
	s->recs = s->bads = 0;
	s->tokens = 0;
	for (i = 0; i < b->docs.docs; i++) {
		struct gv_record *r = &b->rec[s->recs % b->recs];

		if (!render(f, &how, b, i, r, &e)) {
			s->recs++;
			s->tokens += r->seq.n;
			continue;
		}
		if (keep_bad(b, &e))
			return;
		gv_error_clear(&e);
	}
	s->rec = f->w ? NULL : b->rec;
	s->bad = b->bad;
	s->rests = b->docs.rests;
}

static void
drop_batch(void *item)
{
	struct batch *b = item;
	size_t i;

	for (i = 0; b->rec && i < b->recs; i++)
		gv_record_free(&b->rec[i]);
	gv_free(b->rec);
	gv_free(b->bad);
	gv_writer_abort(&b->some.part);
	gv_docs_free(&b->docs);
}

/* ---- in order ------------------------------------------------------------ */

int
gv_render_open(struct gv_render_files **fp, const struct gv_render *how,
    const char *const *file, size_t files, enum gv_docs_form form,
    size_t threads, const struct gv_writer *w, const struct gv_out *out,
    struct gv_error *e)
{
	struct gv_render_files *f = gv_alloc(1, sizeof *f);

	if (!f)
		return gv_fail(e, GV_ERR_NOMEM, "out of memory");
	f->how = *how;
	f->how.threads = threads;
	f->w = w;
	if (how->mode == GV_RENDER_JSON)
		form = GV_DOCS_JSON;
	if (!gv_docs_open(&f->docs, file, files, form, e))
		gv_docs_watch(f->docs, out);
	if (e->code || gv_ordered_open(&f->q, threads, sizeof(struct batch),
			   next_batch, render_batch, drop_batch, f, e)) {
		gv_docs_close(&f->docs);
		gv_free(f);
		return e->code;
	}
	*fp = f;
	return 0;
}

int
gv_render_next(struct gv_render_files *f, const struct gv_render_some **some,
    struct gv_error *e)
{
	struct batch *b;
	void *p;
	int got = gv_ordered_take(f->q, &p, e);

	if (got <= 0)
		return got;
	b = p;
	*some = &b->some;
	return b->error.code ? gv_fail(e, b->error.code, "%s", b->error.msg)
			     : 1;
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
