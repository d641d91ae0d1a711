/* Counting pieces against sorting them: in one table and in several, in memory
 * and on disk. */
#include "piece_count.h"

#include "tap.h"
#include "tokens.h"

#include <pthread.h>

#define TABLES 3 /* threads that count */
#define DRAWN  120000 /* pieces by each of them */

/* A piece: its length, then its bytes. */
struct drawn {
	uint16_t n;
	char s[34];
};

/* Pieces that are new, or known, short or long, or zeros. */
static void
draw_piece(struct draw *r, struct drawn *d)
{
	size_t i;

	memset(d, 0, sizeof *d);
	d->n = (uint16_t)(1 + draw(r, 34));
	switch (draw(r, 4)) {
	case 0: /* hardly ever twice */
		for (i = 0; i < d->n; i++)
			d->s[i] = (char)draw(r, 256);
		break;
	case 1: /* often */
		d->n = (uint16_t)(1 + d->n % 20);
		memset(d->s, 'a' + (int)draw(r, 3), d->n);
		break;
	case 2: /* differs at its end alone */
		memset(d->s, 'x', d->n);
		d->s[d->n - 1] = (char)draw(r, 256);
		break;
	default: /* zeros, as slots are padded by */
		break;
	}
}

static int
by_piece(const void *x, const void *y)
{
	const struct drawn *a = x, *b = y;

	return a->n != b->n ? a->n - b->n : memcmp(a->s, b->s, a->n);
}

struct work {
	struct gv_pieces *p;
	const struct drawn *d;
	struct gv_error e;
};

static void *
count_some(void *arg)
{
	struct work *w = arg;
	struct gv_piece_counter *c;
	size_t i;

	if (gv_pieces_take(w->p, &c, &w->e))
		return NULL;
	for (i = 0; i < DRAWN && !w->e.code; i++)
		(void)!gv_piece_count(c, w->d[i].s, w->d[i].n, &w->e);
	gv_pieces_give(w->p, c);
	return NULL;
}

static struct gv_pieces *
count_all(const struct drawn *d, size_t memory)
{
	struct gv_error e = {0};
	struct gv_pieces *p;
	struct work w[TABLES] = {{0}};
	pthread_t t[TABLES];
	size_t i;

	must(gv_pieces_open(&p, TABLES, memory, &e), &e);
	for (i = 0; i < TABLES; i++) {
		w[i].p = p;
		w[i].d = d + i * DRAWN;
		if (pthread_create(&t[i], NULL, count_some, &w[i]))
			bail("thread", "cannot be started");
	}
	for (i = 0; i < TABLES; i++) {
		pthread_join(t[i], NULL);
		must(w[i].e.code, &w[i].e);
	}
	return p;
}

/* How often `x` stands in the sorted list. */
static uint64_t
times(const struct drawn *sorted, const struct drawn *x)
{
	const struct drawn *at =
	    bsearch(x, sorted, TABLES * DRAWN, sizeof *sorted, by_piece);
	const struct drawn *lo = at, *hi = at;

	if (!at)
		return 0;
	while (lo > sorted && !by_piece(lo - 1, x))
		lo--;
	while (hi < sorted + TABLES * DRAWN && !by_piece(hi, x))
		hi++;
	return (uint64_t)(hi - lo);
}

/* One walk: every piece once, with its count.  Returns how many there were. */
static size_t
walk(struct gv_pieces *p, const struct drawn *sorted, const char *name)
{
	struct gv_error e = {0};
	struct gv_piece x;
	uint64_t total = 0;
	size_t n = 0, wrong = 0;
	int got;

	must(gv_pieces_walk(p, &e), &e);
	while ((got = gv_pieces_next(p, &x, &e)) > 0) {
		struct drawn d = {.n = (uint16_t)x.n};

		memcpy(d.s, x.s, x.n);
		wrong += times(sorted, &d) != x.count;
		total += x.count;
		n++;
	}
	must(got, &e);
	ok(!wrong && total == TABLES * DRAWN, "%s: %zu pieces, %zu wrong", name,
	    n, wrong);
	return n;
}

static void
fits(struct gv_pieces *p, size_t pieces)
{
	struct gv_pieces_fit f;
	struct gv_error e = {0};
	size_t n;

	must(gv_pieces_fit(p, SIZE_MAX / 2, 1, 1, &f, &e), &e);
	ok(f.least == 1 && f.pieces == pieces && !f.left &&
		f.total == TABLES * DRAWN,
	    "all of %zu fit", f.pieces);
	n = f.bytes;
	must(gv_pieces_fit(p, n + f.pieces - 1, 1, 1, &f, &e), &e);
	ok(f.least == 2 && f.pieces == pieces - 1 && f.bytes < n &&
		f.also > 1000 && f.left == 1,
	    "a byte less: all but one, which occurs once");
	ok(gv_pieces_fit(p, 0, 1, 1, &f, &e) == 0 && f.pieces == 0,
	    "none fit into nothing");
}

static void
edges(void)
{
	static const char longest[GV_MAX_PIECE] = {1};
	struct gv_error e = {0};
	struct gv_piece_counter *c;
	struct gv_pieces *p;
	struct gv_piece x;
	uint64_t i;

	must(gv_pieces_open(&p, 1, 0, &e), &e);
	must(gv_pieces_walk(p, &e), &e);
	is_int(gv_pieces_next(p, &x, &e), 0, "nothing counted");
	gv_pieces_close(&p);
	must(gv_pieces_open(&p, 0, 0, &e), &e);
	must(gv_pieces_take(p, &c, &e), &e);
	for (i = 0; i < 70000; i++)
		must(gv_piece_count(c, longest, GV_MAX_PIECE, &e), &e);
	gv_pieces_give(p, c);
	must(gv_pieces_walk(p, &e), &e);
	ok(gv_pieces_next(p, &x, &e) == 1 && x.n == GV_MAX_PIECE &&
		!memcmp(x.s, longest, x.n) && x.count == 70000,
	    "the longest piece");
	is_int(gv_pieces_next(p, &x, &e), 0, "alone");
	{
		struct gv_pieces_fit f;

		ok(gv_pieces_fit(p, 1, 1, 1, &f, &e) == GV_ERR_LIMIT,
		    "a frequent one that doesn't fit: %s", e.msg);
	}
	gv_pieces_close(&p);
	ok(!p, "closed");
}

int
main(void)
{
	struct drawn *d = calloc(TABLES * DRAWN, sizeof *d), *sorted;
	struct draw r = {7};
	struct gv_pieces *p;
	size_t i, n;

	sorted = calloc(TABLES * DRAWN, sizeof *d);
	if (!d || !sorted)
		bail("main", "out of memory");
	for (i = 0; i < TABLES * DRAWN; i++)
		draw_piece(&r, &d[i]);
	memcpy(sorted, d, TABLES * DRAWN * sizeof *d);
	qsort(sorted, TABLES * DRAWN, sizeof *d, by_piece);
	p = count_all(d, (size_t)1 << 30);
	n = walk(p, sorted, "in memory");
	ok(n > DRAWN / 2, "many pieces");
	is_int((long long)walk(p, sorted, "again"), (long long)n, "as many");
	fits(p, n);
	gv_pieces_close(&p);
	p = count_all(d, 0);
	is_int((long long)walk(p, sorted, "by a megabyte"), (long long)n,
	    "as many");
	is_int((long long)walk(p, sorted, "again"), (long long)n, "as many");
	fits(p, n);
	gv_pieces_close(&p);
	edges();
	free(d);
	free(sorted);
	return done();
}
