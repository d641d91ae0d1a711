/* Ids turned back into text, as they come. */
#include "token_decode.h"

#include "documents.h"
#include "mem.h"
#include "stream.h"
#include "token_impl.h"
#include "utf8.h"
#include "banned.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

/* ---- records ------------------------------------------------------------- */

static int
put_text(const struct gv_tokens_text *to, const int32_t *id, size_t n,
    struct gv_error *e)
{
	size_t len;
	char *s;

	if (gv_decode(to->tokenizer, id, n, to->specials, &s, &len, e))
		return e->code;
	if (!gv_out_write(to->out, s, len, e))
		(void)!gv_out_write(to->out, "\n", 1, e);
	gv_free(s);
	return e->code;
}

static int
same_vocabulary(
    const struct gv_reader *r, const struct gv_tokenizer *t, struct gv_error *e)
{
	const char *made = gv_schema_digest(gv_reader_schema(r), "tokenizer");

	if (!made || !strcmp(made, gv_tokenizer_digest(t)))
		return 0;
	return gv_fail(e, GV_ERR_MATCH, "its tokens are of another vocabulary");
}

static int
decode_records(const struct gv_tokens_text *to, struct gv_reader *r, size_t at,
    const char *file, struct gv_error *e)
{
	struct gv_rec rec;

	while (gv_reader_next(r, &rec, e) > 0) {
		const struct gv_tensor *v = &rec.v[at].t;

		if (!put_text(to, v->data, v->bytes / sizeof(int32_t), e))
			continue;
		gv_fail_in(e, "record %" PRIu64, rec.n);
		return gv_docs_in_file(e, file);
	}
	return e->code;
}

int
gv_tokens_decode(
    const struct gv_tokens_text *to, const char *file, struct gv_error *e)
{
	struct gv_reader *r;
	size_t at;

	if (gv_reader_open(&r, file, e))
		return e->code;
	if (!gv_reader_need(r, "tokens", "I32 (T)", &at, e)) {
		gv_reader_tie(r, to->out);
		if (same_vocabulary(r, to->tokenizer, e))
			gv_docs_in_file(e, file);
		else
			(void)!decode_records(to, r, at, file, e);
	}
	gv_reader_close(&r);
	return e->code;
}

/* ---- numbers ------------------------------------------------------------- */

#define WORD 12 /* bytes of a number that can be an id, and one more */

/* Numbers are decoded one by one.  Bytes of a character wait for the rest of
 * it, so that a reader never sees a part. */
struct ids {
	const struct gv_tokens_text *to;
	const char *name;
	int fd;
	uint64_t line;
	char word[WORD]; /* the number that is being read */
	size_t digits;
	bool begun, first; /* has the line an end to come, its text a start? */
	char *text; /* what waits */
	size_t n, cap;
	char in[65536];
};

/* Writes what waits: whole characters, but for the blank that CLIP's words end
 * with, which is dropped at the end. */
static int
let_go(struct ids *d, bool end, struct gv_error *e)
{
	size_t n = end ? d->n : gv_utf8_whole(d->text, d->n), blank;

	blank = d->to->tokenizer->clip && n && d->text[n - 1] == ' ';
	if (gv_out_write(d->to->out, d->text, n - blank, e))
		return e->code;
	d->n -= end ? n : n - blank;
	memmove(d->text, d->text + n - blank, d->n);
	return 0;
}

static int
put_id(struct ids *d, int32_t id, struct gv_error *e)
{
	const struct gv_tokenizer *t = d->to->tokenizer;
	size_t n;
	const char *s = gv_token_bytes(t, id, &n);

	if (!s)
		return gv_fail(
		    e, GV_ERR_MATCH, "id %d is not in the vocabulary", (int)id);
	if (!n || (!d->to->specials && gv_tokenizer_is_special(t, id)))
		return 0;
	if (d->first && t->strip && *s == ' ')
		s++, n--;
	d->first = false;
	if (gv_room(&d->text, &d->cap, d->n + n + 1, 1, e))
		return e->code;
	memcpy(d->text + d->n, s, n);
	d->n += n;
	return let_go(d, false, e);
}

/* The number that has ended here, if one was begun. */
static int
end_word(struct ids *d, struct gv_error *e)
{
	size_t n = d->digits;
	char *end, q[64];
	long v;

	d->digits = 0;
	if (!n)
		return 0;
	d->word[n] = '\0';
	v = strtol(d->word, &end, 10);
	if (d->word[0] < '0' || d->word[0] > '9' || end != d->word + n ||
	    n == WORD - 1 || v > INT32_MAX)
		return gv_fail(e, GV_ERR_FORMAT, "'%s%s' is not an id",
		    gv_quote(q, sizeof q, d->word, n),
		    n == WORD - 1 ? "..." : "");
	return put_id(d, (int32_t)v, e);
}

static int
end_line(struct ids *d, struct gv_error *e)
{
	if (end_word(d, e) || let_go(d, true, e) ||
	    gv_out_write(d->to->out, "\n", 1, e))
		return e->code;
	d->line++;
	d->begun = false;
	d->first = true;
	return 0;
}

static int
take(struct ids *d, const char *s, size_t n, struct gv_error *e)
{
	for (; n && !e->code; s++, n--) {
		d->begun = true;
		if (*s == '\n')
			(void)!end_line(d, e);
		else if (*s == ' ' || *s == '\t' || *s == '\r')
			(void)!end_word(d, e);
		else if (d->digits < WORD - 1)
			d->word[d->digits++] = *s;
	}
	return e->code;
}

/* Text goes out before what is still to come is waited for. */
static int
wait_for(const struct ids *d, struct gv_error *e)
{
	struct pollfd p = {d->fd, POLLIN, 0};

	if (poll(&p, 1, 0) != 0)
		return 0;
	return gv_out_flush(d->to->out, e) ? e->code
					   : gv_out_wait(d->to->out, d->fd, e);
}

static int
decode_numbers(struct ids *d, struct gv_error *e)
{
	ssize_t n;

	for (;;) {
		if (wait_for(d, e))
			return e->code;
		n = read(d->fd, d->in, sizeof d->in);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return gv_fail(
			    e, GV_ERR_SYS, "cannot read '%s':", d->name);
		if (!n)
			return d->begun ? end_line(d, e) : 0;
		if (take(d, d->in, (size_t)n, e)) {
			gv_fail_in(e, "line %" PRIu64, d->line);
			return gv_fail_in(e, "'%s'", d->name);
		}
	}
}

int
gv_tokens_decode_ids(
    const struct gv_tokens_text *to, const char *file, struct gv_error *e)
{
	struct ids *d = gv_alloc(1, sizeof *d);

	if (!d)
		return gv_fail(e, GV_ERR_NOMEM, "out of memory");
	d->to = to;
	d->line = 1;
	d->first = true;
	if (!gv_input_open(file, &d->name, &d->fd, e)) {
		(void)!decode_numbers(d, e);
		if (d->fd != STDIN_FILENO)
			close(d->fd);
	}
	gv_free(d->text);
	gv_free(d);
	return e->code;
}
