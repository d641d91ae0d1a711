/* Documents from files, some at a time. */
#include "documents.h"

#include "json.h"
#include "mem.h"

#include <inttypes.h>
#include <unistd.h>

#include "banned.h"

#define MAX_LINE  ((size_t)64 << 20)
#define MAX_WHOLE ((size_t)1 << 30)
#define BATCH     ((size_t)256 << 10) /* of lines, bytes that are enough */
#define BLOCK     ((size_t)1 << 20)

struct gv_docs {
	const char *const *file;
	size_t files, at; /* the file that is being read */
	enum gv_docs_form form;
	const struct gv_out *watched;
	struct gv_lines *lines; /* of that file ... */
	int fd; /* ... or its descriptor, -1 if none is open, ... */
	const char *name; /* ... for messages */
	char *rest; /* what was read behind the last block */
	size_t left;
	uint64_t running;
	struct gv_error late; /* for when a last batch has been handed on */
};

int
gv_docs_open(struct gv_docs **out, const char *const *file, size_t files,
    enum gv_docs_form form, struct gv_error *e)
{
	struct gv_docs *d = gv_alloc(1, sizeof *d);

	if (d)
		d->rest = gv_alloc(form == GV_DOCS_BLOCKS ? BLOCK : 0, 1);
	if (!d || !d->rest) {
		gv_free(d);
		return gv_fail(e, GV_ERR_NOMEM, "out of memory");
	}
	d->file = file;
	d->files = files;
	d->form = form;
	d->fd = -1;
	*out = d;
	return 0;
}

static void
close_file(struct gv_docs *d)
{
	gv_lines_close(&d->lines);
	if (d->fd > STDIN_FILENO)
		close(d->fd);
	d->fd = -1;
	d->left = 0;
	d->at++;
}

void
gv_docs_close(struct gv_docs **d)
{
	if (!*d)
		return;
	close_file(*d);
	gv_free((*d)->rest);
	gv_free(*d);
	*d = NULL;
}

void
gv_docs_watch(struct gv_docs *d, const struct gv_out *o)
{
	d->watched = o;
}

void
gv_docs_free(struct gv_docs_batch *b)
{
	gv_free(b->text);
	memset(b, 0, sizeof *b);
}

static bool
is_jsonl(const char *file)
{
	size_t n = strlen(file);

	return n > 6 && !strcmp(file + n - 6, ".jsonl");
}

static bool
is_blank(const char *s, size_t n)
{
	while (n && (*s == ' ' || *s == '\t' || *s == '\r'))
		s++, n--;
	return !n;
}

/* ---- lines and files ----------------------------------------------------- */

static int
add(struct gv_docs_batch *b, const char *s, size_t n, uint64_t number,
    uint64_t running, struct gv_error *e)
{
	struct gv_doc *doc = &b->doc[b->docs];

	if (gv_room(&b->text, &b->cap, b->n + n + 1, 1, e))
		return e->code;
	memcpy(b->text + b->n, s, n);
	doc->at = b->n;
	doc->n = n;
	doc->number = number;
	doc->running = running;
	b->n += n;
	b->docs++;
	return 0;
}

static int
read_whole(struct gv_docs *d, struct gv_docs_batch *b, struct gv_error *e)
{
	char *s;
	size_t n;

	if (gv_slurp(b->file, MAX_WHOLE, &s, &n, e))
		return e->code;
	(void)!add(b, s, n, 1, ++d->running, e); /* the code is in e */
	gv_free(s);
	close_file(d);
	return e->code;
}

/* Lines of the current file until the batch is full, the file at its end, or
 * nothing more to be had without waiting. */
static int
read_lines(struct gv_docs *d, struct gv_docs_batch *b, struct gv_error *e)
{
	const char *s;
	size_t n;
	int got;

	if (!d->lines) {
		if (gv_lines_open(&d->lines, b->file, MAX_LINE, e))
			return e->code;
		gv_lines_watch(d->lines, d->watched);
	}
	while (b->docs < GV_DOCS_BATCH && b->n < BATCH) {
		b->rests = b->docs && gv_lines_rests(d->lines);
		if (b->rests)
			return 0;
		got = gv_lines_next(d->lines, &s, &n, e);
		if (got < 0)
			return got;
		if (!got) {
			close_file(d);
			return 0;
		}
		d->running++;
		if (!is_blank(s, n) &&
		    add(b, s, n, gv_lines_number(d->lines), d->running, e))
			return e->code;
	}
	return 0;
}

/* ---- blocks -------------------------------------------------------------- */

static bool
is_visible(char c)
{
	return c > ' ' && c < 0x7f;
}

static bool
is_word(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	       (c >= '0' && c <= '9');
}

/* Where a block of n bytes that are not the last ones ends. */
static size_t
cut(const char *s, size_t n)
{
	size_t i;

	for (i = n - 1; i > 1; i--)
		if (s[i - 1] == '\n' && is_visible(s[i - 2]) && is_word(s[i]))
			return i;
	for (i = n - 2; i > 0; i--)
		if (s[i] == ' ' && is_word(s[i - 1]) && is_word(s[i + 1]))
			return i;
	for (i = n - 1; i > n - 4; i--)
		if (((unsigned char)s[i] & 0xc0) != 0x80)
			return i;
	return n;
}

static int
read_block(struct gv_docs *d, struct gv_docs_batch *b, struct gv_error *e)
{
	ssize_t got;
	size_t n;

	if (d->fd < 0 && gv_input_open(b->file, &d->name, &d->fd, e))
		return e->code;
	if (gv_room(&b->text, &b->cap, BLOCK, 1, e))
		return e->code;
	memcpy(b->text, d->rest, d->left);
	got = gv_read_full(d->fd, b->text + d->left, BLOCK - d->left);
	if (got < 0)
		return gv_fail(e, GV_ERR_SYS, "cannot read '%s':", d->name);
	n = d->left + (size_t)got;
	b->n = n < BLOCK ? n : cut(b->text, n);
	d->left = n - b->n;
	memcpy(d->rest, b->text + b->n, d->left);
	b->doc[0].at = 0;
	b->doc[0].n = b->n;
	b->doc[0].number = 1;
	b->doc[0].running = d->running;
	b->docs = b->n > 0;
	if (n < BLOCK)
		close_file(d);
	return 0;
}

/* ---- batches ------------------------------------------------------------- */

static int
read_some(struct gv_docs *d, struct gv_docs_batch *b, struct gv_error *e)
{
	b->file = d->file[d->at];
	b->json = d->form == GV_DOCS_JSON ||
		  (d->form != GV_DOCS_WHOLE && is_jsonl(b->file));
	b->lines = b->json || d->form == GV_DOCS_LINES;
	if (b->lines)
		return read_lines(d, b, e);
	return d->form == GV_DOCS_WHOLE ? read_whole(d, b, e)
					: read_block(d, b, e);
}

int
gv_docs_next(struct gv_docs *d, struct gv_docs_batch *b, struct gv_error *e)
{
	b->n = b->docs = 0;
	b->rests = false;
	while (!b->docs && !d->late.code && d->at < d->files)
		(void)!read_some(d, b, &d->late);
	if (b->docs)
		return 1;
	if (d->late.code)
		*e = d->late;
	return e->code;
}

int
gv_docs_parse(json_t **o, const char *s, size_t n, struct gv_error *e)
{
	if (gv_json_parse(o, s, n, e))
		return e->code;
	if (json_is_object(*o))
		return 0;
	json_decref(*o);
	return gv_fail(e, GV_ERR_FORMAT, "not a JSON object");
}

int
gv_docs_in_file(struct gv_error *e, const char *file)
{
	char q[256];

	return gv_fail_in(e, "'%s'",
	    !strcmp(file, "-") ? "standard input"
			       : gv_quote(q, sizeof q, file, strlen(file)));
}

int
gv_docs_in(
    const struct gv_docs_batch *b, const struct gv_doc *doc, struct gv_error *e)
{
	if (b->lines)
		gv_fail_in(e, "line %" PRIu64, doc->number);
	return gv_docs_in_file(e, b->file);
}

int
gv_docs_each(const struct gv_docs_batch *b, gv_docs_work work, void *ctx,
    struct gv_error *e)
{
	size_t i;

	for (i = 0; i < b->docs; i++) {
		const struct gv_doc *doc = &b->doc[i];

		if (work(ctx, b->text + doc->at, doc->n, b->json, e))
			return gv_docs_in(b, doc, e);
	}
	return 0;
}
