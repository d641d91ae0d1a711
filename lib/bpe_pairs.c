/* Pairs of tokens, the words that hold them, and a heap of them. */
#include "bpe_train_priv.h"

#include "mem.h"

#include "banned.h"

#define MIN_FREQUENCY 2
#define BLOCK_BYTES   ((size_t)1 << 20) /* of lists, allocated at a time */

/* Memory for lists, which all live until the end: a merge shortens a word by
 * one and adds it to two lists, so there are at most three entries a byte. */
struct gv_bpe_block {
	struct gv_bpe_block *next;
};

void
gv_bpe_pairs_free(struct gv_bpe_pairs *p)
{
	struct gv_bpe_block *k;

	while ((k = p->block)) {
		p->block = k->next;
		gv_free(k);
	}
	gv_free(p->pair);
	gv_free(p->slot);
	gv_free(p->heap.top);
	memset(p, 0, sizeof *p);
}

/* ---- the table ----------------------------------------------------------- */

static size_t
place(const struct gv_bpe_pairs *p, int32_t x, int32_t y)
{
	uint64_t h =
	    ((uint64_t)(uint32_t)x << 32 | (uint32_t)y) * 0x9e3779b97f4a7c15u;
	size_t i = (size_t)(h >> 32) & p->mask;

	for (; p->slot[i]; i = (i + 1) & p->mask) {
		const struct gv_bpe_pair *v = &p->pair[p->slot[i] - 1];

		if (v->a == x && v->b == y)
			break;
	}
	return i;
}

/* Doubles the table before it is more than half full. */
static int
widen(struct gv_bpe_pairs *p, struct gv_error *e)
{
	size_t size = p->slot ? 2 * (p->mask + 1) : 1 << 12, i;

	if (p->slot && 2 * p->n <= p->mask)
		return 0;
	if (p->n >= UINT32_MAX / 4)
		return gv_fail(e, GV_ERR_LIMIT, "more than 2^30 pairs");
	gv_free(p->slot);
	p->slot = gv_alloc(size, sizeof *p->slot);
	if (!p->slot)
		return gv_fail(e, GV_ERR_NOMEM, "out of memory");
	p->mask = size - 1;
	for (i = 0; i < p->n; i++)
		p->slot[place(p, p->pair[i].a, p->pair[i].b)] = (uint32_t)i + 1;
	return 0;
}

int
gv_bpe_pairs_add(struct gv_bpe_pairs *p, int32_t x, int32_t y, int64_t count,
    uint32_t *at, struct gv_error *e)
{
	size_t i;

	if (widen(p, e))
		return e->code;
	i = place(p, x, y);
	if (!p->slot[i]) {
		struct gv_bpe_pair v = {x, y, 0, NULL};

		if (gv_room(&p->pair, &p->cap, p->n + 1, sizeof *p->pair, e))
			return e->code;
		p->pair[p->n++] = v;
		p->slot[i] = (uint32_t)p->n;
	}
	*at = p->slot[i] - 1;
	p->pair[*at].count += count;
	return 0;
}

/* ---- lists --------------------------------------------------------------- */

static int
make_room(struct gv_bpe_pairs *p, size_t need, struct gv_error *e)
{
	size_t all = need + sizeof(struct gv_bpe_block);
	struct gv_bpe_block *k;

	if (need <= p->left)
		return 0;
	if (all < BLOCK_BYTES)
		all = BLOCK_BYTES;
	k = gv_alloc(all, 1);
	if (!k)
		return gv_fail(e, GV_ERR_NOMEM, "out of memory");
	k->next = p->block;
	p->block = k;
	p->room = (char *)(k + 1);
	p->left = all - sizeof *k;
	return 0;
}

struct gv_bpe_list *
gv_bpe_pairs_list(
    struct gv_bpe_pairs *p, uint32_t at, uint32_t words, struct gv_error *e)
{
	struct gv_bpe_list *l;
	size_t need = sizeof *l + words * sizeof *l->word;

	need = (need + sizeof(void *) - 1) & ~(sizeof(void *) - 1);
	if (make_room(p, need, e))
		return NULL;
	l = (struct gv_bpe_list *)(void *)p->room;
	p->room += need;
	p->left -= need;
	l->next = p->pair[at].first;
	l->n = 0;
	p->pair[at].first = l;
	return l;
}

/* ---- the heap ------------------------------------------------------------ */

static bool
goes_first(const struct gv_bpe_top *x, const struct gv_bpe_top *y)
{
	if (x->count != y->count)
		return x->count > y->count;
	return x->a != y->a ? x->a < y->a : x->b < y->b;
}

static int
push(struct gv_bpe_heap *h, const struct gv_bpe_top *t, struct gv_error *e)
{
	size_t i, up;

	if (gv_room(&h->top, &h->cap, h->n + 1, sizeof *h->top, e))
		return e->code;
	for (i = h->n++; i; i = up) {
		up = (i - 1) / 2;
		if (!goes_first(t, &h->top[up]))
			break;
		h->top[i] = h->top[up];
	}
	h->top[i] = *t;
	return 0;
}

static struct gv_bpe_top
pop(struct gv_bpe_heap *h)
{
	struct gv_bpe_top first = h->top[0], last = h->top[--h->n];
	size_t i = 0, kid;

	for (; (kid = 2 * i + 1) < h->n; i = kid) {
		if (kid + 1 < h->n &&
		    goes_first(&h->top[kid + 1], &h->top[kid]))
			kid++;
		if (!goes_first(&h->top[kid], &last))
			break;
		h->top[i] = h->top[kid];
	}
	h->top[i] = last;
	return first;
}

int
gv_bpe_pairs_push(struct gv_bpe_pairs *p, uint32_t at, struct gv_error *e)
{
	const struct gv_bpe_pair *v = &p->pair[at];
	struct gv_bpe_top t = {v->count, v->a, v->b, at};

	return t.count < MIN_FREQUENCY ? 0 : push(&p->heap, &t, e);
}

int
gv_bpe_pairs_pop(struct gv_bpe_pairs *p, uint32_t *at, struct gv_error *e)
{
	while (p->heap.n) {
		struct gv_bpe_top t = pop(&p->heap);

		*at = t.pair;
		if (p->pair[t.pair].count == t.count)
			return 1;
		if (gv_bpe_pairs_push(p, t.pair, e))
			return e->code;
	}
	return 0;
}
