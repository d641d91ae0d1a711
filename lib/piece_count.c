/* Tables of pieces and their counts, written out when they get too large. */
#include "piece_priv.h"

#include "io.h"
#include "mem.h"
#include "temporary.h"

#include <unistd.h>

#include "banned.h"

#define LEAST_SHARE ((size_t)1 << 20)
#define FIRST_BITS  10 /* a table starts with 2^10 slots ... */
#define MOST_BITS   31 /* ... and has at most 2^31 */
#define BEYOND      ((size_t)64) /* slots behind the place of the last hash */
#define BLOCK       ((size_t)256 << 10) /* of a run, written at a time */

int
gv_pieces_open(
    struct gv_pieces **out, size_t threads, size_t memory, struct gv_error *e)
{
	struct gv_pieces *p = gv_alloc(1, sizeof *p);

	if (!p)
		return gv_fail(e, GV_ERR_NOMEM, "out of memory");
	p->fd = -1;
	p->share = memory / (threads ? threads : 1);
	if (p->share < LEAST_SHARE)
		p->share = LEAST_SHARE;
	pthread_mutex_init(&p->lock, NULL);
	*out = p;
	return 0;
}

int
gv_pieces_take(
    struct gv_pieces *p, struct gv_piece_counter **out, struct gv_error *e)
{
	struct gv_piece_counter *c;

	pthread_mutex_lock(&p->lock);
	c = p->idle;
	if (c)
		p->idle = c->next;
	pthread_mutex_unlock(&p->lock);
	if (!c) {
		c = gv_alloc(1, sizeof *c);
		if (!c)
			return gv_fail(e, GV_ERR_NOMEM, "out of memory");
		c->all = p;
	}
	*out = c;
	return 0;
}

void
gv_pieces_give(struct gv_pieces *p, struct gv_piece_counter *c)
{
	pthread_mutex_lock(&p->lock);
	c->next = p->idle;
	p->idle = c;
	pthread_mutex_unlock(&p->lock);
}

/* ---- writing out --------------------------------------------------------- */

/* Appends all pieces of the table to the file; the lock is held. */
static int
write_run(const struct gv_piece_counter *c, char *block, struct gv_error *e)
{
	struct gv_pieces *p = c->all;
	size_t used = 0, i;

	if (p->fd < 0)
		p->fd = gv_temporary(e);
	if (p->fd < 0 ||
	    gv_room(&p->run, &p->run_cap, p->runs + 1, sizeof *p->run, e))
		return e->code;
	p->run[p->runs].at = p->end;
	for (i = 0; i <= c->slots; i++) {
		const struct gv_piece_slot *x = &c->slot[i];
		struct gv_piece_head h;

		if (i == c->slots || used > BLOCK) {
			if (gv_write_full(p->fd, block, used))
				return gv_fail(e, GV_ERR_SYS,
				    "cannot write a temporary file:");
			p->end += used;
			used = 0;
		}
		if (i == c->slots || !x->count)
			continue;
		h.count = x->count;
		h.hash = x->hash;
		h.n = x->n;
		memcpy(block + used, &h, sizeof h);
		memcpy(block + used + sizeof h, gv_piece_bytes(c, x), x->n);
		used += sizeof h + x->n;
	}
	p->run[p->runs++].end = p->end;
	return 0;
}

static int
spill(struct gv_piece_counter *c, struct gv_error *e)
{
	char *block =
	    gv_alloc(BLOCK + sizeof(struct gv_piece_head) + GV_MAX_PIECE, 1);

	if (!block)
		return gv_fail(e, GV_ERR_NOMEM, "out of memory");
	pthread_mutex_lock(&c->all->lock);
	(void)!write_run(c, block, e); /* the code is in e */
	pthread_mutex_unlock(&c->all->lock);
	gv_free(block);
	if (e->code)
		return e->code;
	memset(c->slot, 0, c->slots * sizeof *c->slot);
	c->used = c->bytes = 0;
	return 0;
}

/* ---- tables -------------------------------------------------------------- */

static uint32_t
hash(const char *s, size_t n)
{
	uint64_t h = n, w;

	for (; n > 8; s += 8, n -= 8) {
		memcpy(&w, s, 8);
		h = (h ^ w) * 0x9e3779b97f4a7c15u;
		h ^= h >> 32;
	}
	w = 0;
	memcpy(&w, s, n);
	h = (h ^ w) * 0x9e3779b97f4a7c15u;
	h = (h ^ h >> 32) * 0xd6e8feb86659fd93u;
	return (uint32_t)(h >> 32);
}

/* Below, at or above 0: the piece of a slot goes before this one, is it, or
 * goes behind it; both have the same hash. */
static int
compare(const struct gv_piece_counter *c, const struct gv_piece_slot *x,
    const char *s, size_t n)
{
	if (x->n != n)
		return x->n < n ? -1 : 1;
	return memcmp(gv_piece_bytes(c, x), s, n);
}

/* The slot of a piece, or the one that it should be put in. */
static struct gv_piece_slot *
place(const struct gv_piece_counter *c, uint32_t h, const char *s, size_t n,
    bool *there)
{
	struct gv_piece_slot *x = c->slot + (h >> c->shift);
	int d;

	*there = false;
	for (; x->count && x->hash <= h; x++) {
		if (x->hash < h)
			continue;
		d = compare(c, x, s, n);
		if (d < 0)
			continue;
		*there = !d;
		break;
	}
	return x;
}

/* Copies the pieces to `to`, in order; false if they don't leave two gaps at
 * its end. */
static bool
lay_out(const struct gv_piece_counter *c, struct gv_piece_slot *to,
    size_t slots, int shift)
{
	size_t i, next = 0;

	for (i = 0; i < c->slots; i++) {
		const struct gv_piece_slot *x = &c->slot[i];

		if (!x->count)
			continue;
		if (next < x->hash >> shift)
			next = x->hash >> shift;
		if (next + 2 >= slots)
			return false;
		to[next++] = *x;
	}
	return true;
}

/* Twice the slots, or more if the pieces want that; nothing happens where they
 * would exceed the table's share. */
static int
widen(struct gv_piece_counter *c, bool *done, struct gv_error *e)
{
	int bits = c->slot ? 32 - c->shift + 1 : FIRST_BITS;
	struct gv_piece_slot *to;
	size_t slots;

	*done = false;
	for (; bits <= MOST_BITS; bits++) {
		slots = ((size_t)1 << bits) + BEYOND;
		if (c->slot &&
		    (c->slots + slots) * sizeof *to + c->cap > c->all->share)
			return 0;
		to = gv_alloc(slots, sizeof *to);
		if (!to)
			return gv_fail(e, GV_ERR_NOMEM, "out of memory");
		if (lay_out(c, to, slots, 32 - bits)) {
			gv_free(c->slot);
			c->slot = to;
			c->slots = slots;
			c->shift = 32 - bits;
			*done = true;
			return 0;
		}
		gv_free(to);
	}
	return 0;
}

/* Makes sure that one more piece can be put in, if need be by writing out what
 * there is. */
static int
make_room(struct gv_piece_counter *c, size_t n, struct gv_error *e)
{
	size_t slots = c->slots * sizeof *c->slot;
	bool done = true;

	if (n > GV_SHORT_PIECE && c->bytes + n > c->cap &&
	    slots + (c->bytes + n) * 5 / 2 > c->all->share && c->used &&
	    spill(c, e))
		return e->code;
	if (n > GV_SHORT_PIECE &&
	    gv_room(&c->text, &c->cap, c->bytes + n, 1, e))
		return e->code;
	if (!c->slot || c->used >= c->slots / 4 * 3 ||
	    c->slot[c->slots - 2].count)
		if (widen(c, &done, e))
			return e->code;
	return done ? 0 : spill(c, e);
}

static void
put(struct gv_piece_counter *c, struct gv_piece_slot *x, uint32_t h,
    const char *s, size_t n)
{
	struct gv_piece_slot *gap = x;

	while (gap->count)
		gap++;
	memmove(x + 1, x, (size_t)(gap - x) * sizeof *x);
	memset(x, 0, sizeof *x);
	x->count = 1;
	x->hash = h;
	x->n = (uint32_t)n;
	if (n > GV_SHORT_PIECE) {
		x->u.at = c->bytes;
		memcpy(c->text + c->bytes, s, n);
		c->bytes += n;
	} else {
		memcpy(x->u.in, s, n);
	}
	c->used++;
}

int
gv_piece_count(
    struct gv_piece_counter *c, const char *s, size_t n, struct gv_error *e)
{
	uint32_t h = hash(s, n);
	struct gv_piece_slot *x;
	bool there;

	if (c->slot) {
		x = place(c, h, s, n, &there);
		if (there) {
			x->count++;
			return 0;
		}
	}
	if (make_room(c, n, e))
		return e->code;
	put(c, place(c, h, s, n, &there), h, s, n);
	return 0;
}
