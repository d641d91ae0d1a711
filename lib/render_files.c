/* Files of lines, rendered by several threads. */
#include "render_impl.h"

#include "io.h"
#include "mem.h"
#include "ordered.h"
#include "banned.h"

#include <inttypes.h>

#define MAX_LINE    ((size_t)64 << 20)
#define MAX_WHOLE   ((size_t)1 << 30)
#define BATCH_LINES 64 /* what a thread works on at a time */
#define BATCH_BYTES ((size_t)256 << 10)

bool
gv_render_is_jsonl(const char *file)
{
	size_t n = strlen(file);

	return n > 6 && !strcmp(file + n - 6, ".jsonl");
}

bool
gv_render_blank(const char *s, size_t n)
{
	while (n && (*s == ' ' || *s == '\t' || *s == '\r'))
		s++, n--;
	return !n;
}

int
gv_render_in_file(struct gv_error *e, const char *file)
{
	char q[256];

	return gv_fail_in(e, "'%s'",
	    !strcmp(file, "-") ? "standard input"
			       : gv_quote(q, sizeof q, file, strlen(file)));
}

/* ---- batches ------------------------------------------------------------- */

struct line {
	size_t at, n;
	uint64_t number, running; /* in the file, in all files */
};

struct batch {
	const char *file;
	bool json, whole;
	char *text;
	size_t n, cap, lines;
	struct line line[BATCH_LINES];
	struct gv_record rec[BATCH_LINES];
	struct gv_error err[BATCH_LINES];
};

struct gv_render_files {
	const struct gv_render *how;
	const char *const *file;
	size_t files, at; /* the file that is being read */
	enum gv_render_form form;
	struct gv_lines *l;
	uint64_t running;
	struct gv_error late; /* for when a last batch has been handed on */
	struct gv_ordered *q;
	struct batch *b; /* what is being given out */
	size_t given;
};

static int
add_line(struct batch *b, const char *s, size_t n, uint64_t number,
    uint64_t running, struct gv_error *e)
{
	struct line *l = &b->line[b->lines];
	void *p = b->text;

	if (gv_grow(&p, &b->cap, b->n + n + 1, 1))
		return gv_fail(e, GV_ERR_NOMEM, "out of memory");
	b->text = p;
	memcpy(b->text + b->n, s, n);
	l->at = b->n;
	l->n = n;
	l->number = number;
	l->running = running;
	b->n += n;
	b->lines++;
	return 0;
}

static int
read_whole(struct gv_render_files *f, struct batch *b, struct gv_error *e)
{
	char *s;
	size_t n;

	if (gv_slurp(b->file, MAX_WHOLE, &s, &n, e))
		return e->code;
	(void)!add_line(b, s, n, 1, ++f->running, e);
	gv_free(s);
	f->at++;
	return e->code;
}

/* Lines of the current file until the batch is full or the file at its end. */
static int
read_lines(struct gv_render_files *f, struct batch *b, struct gv_error *e)
{
	const char *s;
	size_t n;
	int got;

	if (!f->l && gv_lines_open(&f->l, b->file, MAX_LINE, e))
		return e->code;
	while (b->lines < BATCH_LINES && b->n < BATCH_BYTES) {
		got = gv_lines_next(f->l, &s, &n, e);
		if (got < 0)
			return got;
		if (!got) {
			gv_lines_close(&f->l);
			f->at++;
			return 0;
		}
		f->running++;
		if (!gv_render_blank(s, n) &&
		    add_line(b, s, n, gv_lines_number(f->l), f->running, e))
			return e->code;
	}
	return 0;
}

static int
next_batch(void *ctx, void *item, struct gv_error *e)
{
	struct gv_render_files *f = ctx;
	struct batch *b = item;

	b->n = b->lines = 0;
	while (!b->lines && !f->late.code && f->at < f->files) {
		b->file = f->file[f->at];
		b->whole = f->form == GV_RENDER_WHOLE;
		b->json = f->how->mode == GV_RENDER_JSON ||
			  (!b->whole && gv_render_is_jsonl(b->file));
		(void)!(b->whole ? read_whole(f, b, &f->late)
				 : read_lines(f, b, &f->late));
	}
	if (b->lines)
		return 1;
	if (f->late.code)
		*e = f->late;
	return e->code;
}

static void
render_batch(void *ctx, void *item)
{
	struct gv_render_files *f = ctx;
	struct batch *b = item;
	struct gv_render how = *f->how;
	size_t i;

	if (b->json && how.mode == GV_RENDER_TEXT)
		how.mode = GV_RENDER_JSON;
	for (i = 0; i < b->lines; i++) {
		const struct line *l = &b->line[i];
		struct gv_record *r = &b->rec[i];

		gv_error_clear(&b->err[i]);
		if (!gv_render(&how, b->text + l->at, l->n, r, &b->err[i])) {
			if (!r->key[0])
				snprintf(r->key, sizeof r->key, "%" PRIu64,
				    l->running);
			continue;
		}
		if (!b->whole)
			gv_fail_in(&b->err[i], "line %" PRIu64, l->number);
		gv_render_in_file(&b->err[i], b->file);
	}
}

static void
drop_batch(void *item)
{
	struct batch *b = item;
	size_t i;

	for (i = 0; i < BATCH_LINES; i++)
		gv_record_free(&b->rec[i]);
	gv_free(b->text);
}

/* ---- records in order ---------------------------------------------------- */

int
gv_render_open(struct gv_render_files **out, const struct gv_render *how,
    const char *const *file, size_t files, enum gv_render_form form,
    size_t threads, struct gv_error *e)
{
	struct gv_render_files *f = gv_alloc(1, sizeof *f);

	if (!f)
		return gv_fail(e, GV_ERR_NOMEM, "out of memory");
	f->how = how;
	f->file = file;
	f->files = files;
	f->form = form;
	if (gv_ordered_open(&f->q, threads, sizeof(struct batch), next_batch,
		render_batch, drop_batch, f, e)) {
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

	if (!f->b || f->given == f->b->lines) {
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

void
gv_render_close(struct gv_render_files **f)
{
	if (!*f)
		return;
	gv_ordered_close(&(*f)->q);
	gv_lines_close(&(*f)->l);
	gv_free(*f);
	*f = NULL;
}
