/* Merging the tables of pieces and what was written of them. */
#include "piece_priv.h"

#include "mem.h"

#include <errno.h>
#include <unistd.h>

#include "banned.h"

#define BUFFER ((size_t)64 << 10) /* of a run, read at a time */

/* Where a table or a run stands in the walk. */
struct gv_piece_source {
	const struct gv_piece_counter *table; /* NULL: a run */
	size_t slot; /* the table's next */
	struct gv_piece_run run; /* what has not been read */
	char *buf;
	size_t at, fill; /* what has been read and not been given out */
	struct gv_piece_head head; /* the piece at hand */
	const char *s;
};

void
gv_pieces_close(struct gv_pieces **pp)
{
	struct gv_pieces *p = *pp;
	struct gv_piece_counter *c;
	size_t i;

	if (!p)
		return;
	while ((c = p->idle)) {
		p->idle = c->next;
		gv_free(c->slot);
		gv_free(c->text);
		gv_free(c);
	}
	for (i = 0; i < p->sources; i++)
		gv_free(p->source[i].buf);
	gv_free(p->source);
	gv_free(p->heap);
	gv_free(p->run);
	if (p->fd >= 0)
		close(p->fd);
	pthread_mutex_destroy(&p->lock);
	gv_free(p);
	*pp = NULL;
}

/* ---- sources ------------------------------------------------------------- */

/* Fills the buffer from the file: it is small, and a record is smaller. */
static int
refill(struct gv_piece_source *x, int fd, struct gv_error *e)
{
	memmove(x->buf, x->buf + x->at, x->fill - x->at);
	x->fill -= x->at;
	x->at = 0;
	while (x->fill < BUFFER && x->run.at < x->run.end) {
		uint64_t left = x->run.end - x->run.at;
		size_t n = BUFFER - x->fill;
		ssize_t got = pread(fd, x->buf + x->fill, n < left ? n : left,
		    (off_t)x->run.at);

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return gv_fail(e, GV_ERR_SYS,
			    got ? "cannot read a temporary file:"
				: "a temporary file became shorter");
		x->fill += (size_t)got;
		x->run.at += (uint64_t)got;
	}
	return 0;
}

static int
next_of_run(struct gv_piece_source *x, int fd, struct gv_error *e)
{
	if (x->fill - x->at < sizeof x->head + GV_MAX_PIECE &&
	    x->run.at < x->run.end && refill(x, fd, e))
		return e->code;
	if (x->at == x->fill)
		return 0;
	memcpy(&x->head, x->buf + x->at, sizeof x->head);
	x->s = x->buf + x->at + sizeof x->head;
	x->at += sizeof x->head + x->head.n;
	return 1;
}

static int
next_of_table(struct gv_piece_source *x)
{
	const struct gv_piece_counter *c = x->table;

	for (; x->slot < c->slots; x->slot++) {
		const struct gv_piece_slot *v = &c->slot[x->slot];

		if (!v->count)
			continue;
		x->head.count = v->count;
		x->head.hash = v->hash;
		x->head.n = v->n;
		x->s = gv_piece_bytes(c, v);
		x->slot++;
		return 1;
	}
	return 0;
}

/* 1 if the source has another piece, 0 if not, or an error. */
static int
advance(struct gv_pieces *p, struct gv_piece_source *x, struct gv_error *e)
{
	return x->table ? next_of_table(x) : next_of_run(x, p->fd, e);
}

/* ---- the heap of sources ------------------------------------------------- */

static int
compare(const struct gv_piece_source *x, const struct gv_piece_source *y)
{
	if (x->head.hash != y->head.hash)
		return x->head.hash < y->head.hash ? -1 : 1;
	if (x->head.n != y->head.n)
		return x->head.n < y->head.n ? -1 : 1;
	return memcmp(x->s, y->s, x->head.n);
}

/* Puts the source at i, which may go behind those below it, in its place. */
static void
sink(struct gv_pieces *p, size_t i)
{
	struct gv_piece_source *x = p->heap[i];
	size_t kid;

	for (; (kid = 2 * i + 1) < p->heaped; i = kid) {
		if (kid + 1 < p->heaped &&
		    compare(p->heap[kid + 1], p->heap[kid]) < 0)
			kid++;
		if (compare(x, p->heap[kid]) <= 0)
			break;
		p->heap[i] = p->heap[kid];
	}
	p->heap[i] = x;
}

/* Moves the first source on. */
static int
step(struct gv_pieces *p, struct gv_error *e)
{
	int got = advance(p, p->heap[0], e);

	if (got < 0)
		return got;
	if (!got)
		p->heap[0] = p->heap[--p->heaped];
	if (p->heaped)
		sink(p, 0);
	return 0;
}

/* ---- the walk ------------------------------------------------------------ */

static int
make_sources(struct gv_pieces *p, struct gv_error *e)
{
	const struct gv_piece_counter *c;
	size_t n = p->runs, i;

	for (c = p->idle; c; c = c->next)
		n++;
	p->source = gv_alloc(n, sizeof *p->source);
	p->heap = gv_alloc(n, sizeof(void *));
	if (!p->source || !p->heap)
		return gv_fail(e, GV_ERR_NOMEM, "out of memory");
	for (c = p->idle; c; c = c->next)
		p->source[p->sources++].table = c;
	for (i = 0; i < p->runs; i++, p->sources++) {
		p->source[p->sources].buf = gv_alloc(BUFFER, 1);
		if (!p->source[p->sources].buf)
			return gv_fail(e, GV_ERR_NOMEM, "out of memory");
	}
	return 0;
}

int
gv_pieces_walk(struct gv_pieces *p, struct gv_error *e)
{
	size_t i;

	if (!p->source && make_sources(p, e))
		return e->code;
	p->heaped = 0;
	for (i = 0; i < p->sources; i++) {
		struct gv_piece_source *x = &p->source[i];
		int got;

		x->slot = x->at = x->fill = 0;
		if (!x->table)
			x->run = p->run[i - (p->sources - p->runs)];
		got = advance(p, x, e);
		if (got < 0)
			return got;
		if (got)
			p->heap[p->heaped++] = x;
	}
	for (i = p->heaped / 2; i-- > 0;)
		sink(p, i);
	return 0;
}

int
gv_pieces_next(struct gv_pieces *p, struct gv_piece *piece, struct gv_error *e)
{
	struct gv_piece_source first;

	if (!p->heaped)
		return 0;
	/* what the source holds goes when it moves on */
	first = *p->heap[0];
	memcpy(p->piece, first.s, first.head.n);
	first.s = p->piece;
	piece->s = p->piece;
	piece->n = first.head.n;
	piece->count = 0;
	do {
		piece->count += p->heap[0]->head.count;
		if (step(p, e))
			return e->code;
	} while (p->heaped && !compare(p->heap[0], &first));
	return 1;
}

/* ---- what fits ----------------------------------------------------------- */

#define MOST_COUNT ((size_t)1 << 16) /* pieces that have it or more are one */

struct bin {
	size_t pieces, bytes;
	uint64_t total;
};

static int
fill_bins(struct gv_pieces *p, struct bin *bin, struct gv_error *e)
{
	struct gv_piece x;
	int got;

	if (gv_pieces_walk(p, e))
		return e->code;
	while ((got = gv_pieces_next(p, &x, e)) > 0) {
		struct bin *b =
		    &bin[x.count < MOST_COUNT ? (size_t)x.count : MOST_COUNT];

		b->pieces++;
		b->bytes += x.n;
		b->total += x.count;
	}
	return got;
}

/* Do `pieces` of that many bytes together fit? */
static bool
fits(size_t pieces, size_t bytes, size_t memory, size_t each, size_t byte)
{
	return bytes <= memory / byte &&
	       pieces <= (memory - bytes * byte) / each;
}

/* Adds what still fits of the pieces that were counted `count` times. */
static int
add_some(struct gv_pieces *p, uint64_t count, size_t memory, size_t each,
    size_t byte, struct gv_pieces_fit *f, struct gv_error *e)
{
	struct gv_piece x;
	int got;

	if (gv_pieces_walk(p, e))
		return e->code;
	while ((got = gv_pieces_next(p, &x, e)) > 0) {
		if (x.count != count)
			continue;
		if (!fits(f->pieces + 1, f->bytes + x.n, memory, each, byte))
			break;
		f->also++;
		f->pieces++;
		f->bytes += x.n;
		f->left -= count;
	}
	return got < 0 ? got : 0;
}

int
gv_pieces_fit(struct gv_pieces *p, size_t memory, size_t each, size_t byte,
    struct gv_pieces_fit *fit, struct gv_error *e)
{
	struct bin *bin = gv_alloc(MOST_COUNT + 1, sizeof *bin);
	struct gv_pieces_fit f = {0};
	size_t i;

	if (!bin)
		return gv_fail(e, GV_ERR_NOMEM, "out of memory");
	if (fill_bins(p, bin, e)) {
		gv_free(bin);
		return e->code;
	}
	for (i = MOST_COUNT; i; i--) {
		size_t pieces = f.pieces + bin[i].pieces;
		size_t bytes = f.bytes + bin[i].bytes;

		if (!fits(pieces, bytes, memory, each, byte))
			break;
		f.pieces = pieces;
		f.bytes = bytes;
		f.least = i;
		f.total += bin[i].total;
	}
	for (; i; i--) {
		f.left += bin[i].total;
		f.total += bin[i].total;
	}
	gv_free(bin);
	if (!f.least)
		return gv_fail(e, GV_ERR_LIMIT,
		    "the words that occur %zu times or more don't fit into "
		    "%zu bytes of memory",
		    MOST_COUNT, memory);
	if (f.least > 1 && add_some(p, f.least - 1, memory, each, byte, &f, e))
		return e->code;
	*fit = f;
	return 0;
}
