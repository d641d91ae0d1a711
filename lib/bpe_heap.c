/* A heap of pairs, the one to be merged next on top. */
#include "bpe_train_priv.h"

#include "mem.h"

#include "banned.h"

static bool
goes_first(const struct gv_bpe_pair *x, const struct gv_bpe_pair *y)
{
	if (x->count != y->count)
		return x->count > y->count;
	return x->a != y->a ? x->a < y->a : x->b < y->b;
}

int
gv_bpe_heap_push(
    struct gv_bpe_heap *h, const struct gv_bpe_pair *p, struct gv_error *e)
{
	size_t i, up;

	if (gv_room(&h->pair, &h->cap, h->n + 1, sizeof *h->pair, e))
		return e->code;
	for (i = h->n++; i; i = up) {
		up = (i - 1) / 2;
		if (!goes_first(p, &h->pair[up]))
			break;
		h->pair[i] = h->pair[up];
	}
	h->pair[i] = *p;
	return 0;
}

struct gv_bpe_pair
gv_bpe_heap_pop(struct gv_bpe_heap *h)
{
	struct gv_bpe_pair first = h->pair[0], last = h->pair[--h->n];
	size_t i = 0, kid;

	for (; (kid = 2 * i + 1) < h->n; i = kid) {
		if (kid + 1 < h->n &&
		    goes_first(&h->pair[kid + 1], &h->pair[kid]))
			kid++;
		if (!goes_first(&h->pair[kid], &last))
			break;
		h->pair[i] = h->pair[kid];
	}
	h->pair[i] = last;
	return first;
}
