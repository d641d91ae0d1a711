/* Byte strings numbered as they appear: a hash table beside one block of
 * bytes.
 */
#include "reward_priv.h"

#include "mem.h"
#include "banned.h"

/* FNV-1a, and a last mixing so that its low bits are good (Stafford's 13). */
static uint64_t
hash_of(struct gv_span s)
{
	uint64_t h = 0xcbf29ce484222325u;
	size_t i;

	for (i = 0; i < s.n; i++)
		h = (h ^ (unsigned char)s.s[i]) * 0x100000001b3u;
	h = (h ^ h >> 30) * 0xbf58476d1ce4e5b9u;
	h = (h ^ h >> 27) * 0x94d049bb133111ebu;
	return h ^ h >> 31;
}

/* The slot of a name, or the free one where it belongs. */
static size_t
find_slot(const struct gv_index *x, struct gv_span s, uint64_t hash)
{
	size_t i = hash & (x->slots - 1);

	for (; x->slot[i]; i = (i + 1) & (x->slots - 1)) {
		const struct gv_index_item *it = &x->item[x->slot[i] - 1];

		if (it->hash == hash && it->len == s.n &&
		    (!s.n || !memcmp(x->names.s + it->at, s.s, s.n)))
			break;
	}
	return i;
}

/* Keeps half of the slots free. */
static int
widen(struct gv_index *x, struct gv_error *e)
{
	size_t slots = x->slots ? 2 * x->slots : 64, i, k;
	uint32_t *slot;

	if (x->n < x->slots / 2)
		return 0;
	if (x->n >= UINT32_MAX / 2)
		return gv_fail(e, GV_ERR_LIMIT, "more than 2^31 names");
	slot = gv_alloc(slots, sizeof *slot);
	if (!slot)
		return gv_fail(e, GV_ERR_NOMEM, "out of memory");
	for (i = 0; i < x->n; i++) {
		for (k = x->item[i].hash & (slots - 1); slot[k];
		     k = (k + 1) & (slots - 1))
			;
		slot[k] = (uint32_t)(i + 1);
	}
	gv_free(x->slot);
	x->slot = slot;
	x->slots = slots;
	return 0;
}

int
gv_index_add(
    struct gv_index *x, struct gv_span name, size_t *number, struct gv_error *e)
{
	uint64_t hash = hash_of(name);
	size_t at, slot;
	void *p = x->item;

	if (widen(x, e))
		return e->code;
	slot = find_slot(x, name, hash);
	if (x->slot[slot]) {
		*number = x->slot[slot] - 1;
		return 0;
	}
	at = x->names.n;
	if (gv_grow(&p, &x->cap, x->n + 1, sizeof *x->item))
		return gv_fail(e, GV_ERR_NOMEM, "out of memory");
	x->item = p;
	if (gv_bytes_add(&x->names, name.s, name.n, e))
		return e->code;
	x->item[x->n] = (struct gv_index_item){hash, at, name.n};
	*number = x->n++;
	x->slot[slot] = (uint32_t)x->n;
	return 0;
}

size_t
gv_index_find(const struct gv_index *x, struct gv_span name)
{
	size_t slot;

	if (!x->slots)
		return SIZE_MAX;
	slot = find_slot(x, name, hash_of(name));
	return x->slot[slot] ? x->slot[slot] - 1 : SIZE_MAX;
}

struct gv_span
gv_index_name(const struct gv_index *x, size_t number)
{
	struct gv_span s = {
	    x->names.s + x->item[number].at, x->item[number].len};

	return s;
}

void
gv_index_clear(struct gv_index *x)
{
	if (x->slots)
		memset(x->slot, 0, x->slots * sizeof *x->slot);
	x->n = x->names.n = 0;
}

void
gv_index_free(struct gv_index *x)
{
	gv_free(x->names.s);
	gv_free(x->item);
	gv_free(x->slot);
	*x = (struct gv_index){0};
}
