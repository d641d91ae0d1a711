/* Document frequencies: counted, written and read. */
#include "reward_df.h"

#include "mem.h"
#include "reward_priv.h"
#include "reward_ptb_priv.h"
#include "banned.h"

#include <inttypes.h>

struct gv_df {
	uint64_t images;
	struct gv_index runs;
	struct count {
		uint64_t images; /* that have the run */
		uint64_t last; /* the number of the last of them */
	} * count; /* of runs.n */
	size_t cap;
	struct gv_bytes words, scratch;
};

int
gv_df_open(struct gv_df **out, struct gv_error *e)
{
	struct gv_df *d = gv_alloc(1, sizeof *d);

	if (!d)
		return gv_fail(e, GV_ERR_NOMEM, "out of memory");
	*out = d;
	return 0;
}

void
gv_df_close(struct gv_df **out)
{
	struct gv_df *d = *out;

	if (!d)
		return;
	*out = NULL;
	gv_index_free(&d->runs);
	gv_free(d->count);
	gv_free(d->words.s);
	gv_free(d->scratch.s);
	gv_free(d);
}

/* ---- counting ------------------------------------------------------------ */

static int
count_run(void *arg, struct gv_span run, int n, struct gv_error *e)
{
	struct gv_df *d = arg;
	void *p = d->count;
	size_t at, before = d->runs.n;

	(void)n;
	if (gv_grow(&p, &d->cap, before + 1, sizeof *d->count))
		return gv_fail(e, GV_ERR_NOMEM, "out of memory");
	d->count = p;
	if (gv_index_add(&d->runs, run, &at, e))
		return e->code;
	if (at == before)
		d->count[at] = (struct count){0, 0};
	if (d->count[at].last != d->images) {
		d->count[at].last = d->images;
		d->count[at].images++;
	}
	return 0;
}

int
gv_df_add(struct gv_df *d, struct gv_span text, bool next, struct gv_error *e)
{
	d->images += next;
	if (gv_ptb_words(&d->words, &d->scratch, text, e))
		return e->code;
	return gv_ptb_runs(gv_span_of(&d->words), count_run, d, e);
}

/* ---- the file ------------------------------------------------------------ */

struct entry {
	struct gv_span run;
	uint64_t images;
};

static int
by_run(const void *a, const void *b)
{
	const struct entry *x = a, *y = b;
	size_t n = x->run.n < y->run.n ? x->run.n : y->run.n;
	int c = memcmp(x->run.s, y->run.s, n);

	return c ? c : (x->run.n > y->run.n) - (x->run.n < y->run.n);
}

int
gv_df_write(const struct gv_df *d, struct gv_out *o, struct gv_error *e)
{
	struct entry *list;
	size_t i, n = 0;

	if (!d->images)
		return gv_fail(e, GV_ERR_FORMAT, "no references to count");
	list = gv_alloc(d->runs.n, sizeof *list);
	if (!list)
		return gv_fail(e, GV_ERR_NOMEM, "out of memory");
	for (i = 0; i < d->runs.n; i++)
		if (d->count[i].images > 1)
			list[n++] = (struct entry){
			    gv_index_name(&d->runs, i), d->count[i].images};
	if (n)
		qsort(list, n, sizeof *list, by_run);
	(void)!gv_out_printf(o, e, "gv-df 1 %" PRIu64 " %zu\n", d->images, n);
	for (i = 0; i < n && !e->code; i++)
		if (!gv_out_printf(o, e, "%" PRIu64 "\t", list[i].images) &&
		    !gv_out_write(o, list[i].run.s, list[i].run.n, e))
			(void)!gv_out_write(o, "\n", 1, e);
	gv_free(list);
	return e->code;
}

/* Reads digits up to the byte `end`; SIZE_MAX if there is something else. */
static uint64_t
digits(const char **s, const char *stop, char end)
{
	uint64_t v = 0;
	const char *p = *s;

	for (; p < stop && *p >= '0' && *p <= '9' && p - *s < 18; p++)
		v = 10 * v + (uint64_t)(*p - '0');
	if (p == *s || p == stop || *p != end)
		return UINT64_MAX;
	*s = p + 1;
	return v;
}

static int
bad_line(const char *path, size_t line, const char *why, struct gv_error *e)
{
	char q[256];

	return gv_fail(e, GV_ERR_FORMAT, "'%s': line %zu %s",
	    gv_quote(q, sizeof q, path, strlen(path)), line, why);
}

/* Reads the lines behind the first. */
static int
read_runs(struct gv_df *d, const char *path, const char *s, const char *stop,
    uint64_t runs, struct gv_error *e)
{
	size_t line = 1, at;

	for (; s < stop; line++) {
		const char *end;
		void *p = d->count;
		uint64_t images = digits(&s, stop, '\t');

		end = images == UINT64_MAX
			  ? NULL
			  : memchr(s, '\n', (size_t)(stop - s));
		if (!end || end == s)
			return bad_line(
			    path, line + 1, "is not a count and words", e);
		if (images < 2 || images > d->images)
			return bad_line(path, line + 1,
			    "has a count that is not of 2 to all images", e);
		if (gv_grow(&p, &d->cap, line, sizeof *d->count))
			return gv_fail(e, GV_ERR_NOMEM, "out of memory");
		d->count = p;
		if (gv_index_add(&d->runs,
			(struct gv_span){s, (size_t)(end - s)}, &at, e))
			return e->code;
		if (at != line - 1)
			return bad_line(
			    path, line + 1, "has words that were there", e);
		d->count[at] = (struct count){images, 0};
		s = end + 1;
	}
	if (line - 1 != runs)
		return bad_line(path, line, "is the last, and not all", e);
	return 0;
}

static int
parse(struct gv_df *d, const char *path, const char *s, size_t n,
    struct gv_error *e)
{
	static const char magic[] = "gv-df 1 ";
	const char *stop = s + n;
	uint64_t runs = UINT64_MAX;

	if (n >= sizeof magic - 1 && !memcmp(s, magic, sizeof magic - 1)) {
		s += sizeof magic - 1;
		d->images = digits(&s, stop, ' ');
		if (d->images != UINT64_MAX)
			runs = digits(&s, stop, '\n');
	}
	if (runs == UINT64_MAX || !d->images)
		return bad_line(
		    path, 1, "doesn't begin document frequencies", e);
	return read_runs(d, path, s, stop, runs, e);
}

int
gv_df_load(struct gv_df **out, const char *path, struct gv_error *e)
{
	struct gv_df *d = NULL;
	char *text;
	size_t n;

	if (gv_slurp(path, (size_t)4 << 30, &text, &n, e))
		return e->code;
	if (!gv_df_open(&d, e)) {
		if (parse(d, path, text, n, e))
			gv_df_close(&d);
		else
			*out = d;
	}
	gv_free(text);
	return e->code;
}

uint64_t
gv_df_images(const struct gv_df *d)
{
	return d->images;
}

uint64_t
gv_df_of(const struct gv_df *d, struct gv_span run)
{
	size_t at = gv_index_find(&d->runs, run);

	return at == SIZE_MAX ? 0 : d->count[at].images;
}
