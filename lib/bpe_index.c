/* The tables of the search from the left: how merging comes to each token, and
 * the trie of them all. */
#include "bpe_priv.h"

#include "mem.h"
#include "utf8.h"
#include "banned.h"

#include <stdlib.h>

/* ---- the trie ------------------------------------------------------------ */

#define OPEN  (16 * GV_TRIE_BLOCK) /* slots that are searched for room */
#define TRIES 100

static inline uint64_t
make_slot(uint32_t label, int32_t token, size_t base)
{
	return label | (uint64_t)(token + 1) << 9 | (uint64_t)base << 30;
}

/* A node whose children are to be placed: tokens sorted[lo .. hi) begin alike,
 * with `depth` bytes. */
struct node {
	size_t slot; /* 0: the root */
	uint32_t lo, hi, depth;
	int32_t token; /* the longest that ends here or before; -1 */
};

struct build {
	struct gv_tokenizer *t;
	int32_t *sorted;
	size_t n;
	struct node *node; /* a queue */
	size_t nodes, node_cap;
	size_t slots, cap; /* of t->trie, in blocks */
	uint8_t *used; /* bits: bases that are taken */
	size_t used_cap, from; /* slots below this one are taken */
};

static bool
is_free(const struct build *b, size_t slot)
{
	return GV_SLOT_LABEL(b->t->trie[slot]) == GV_NO_LABEL;
}

static int
add_block(struct build *b, struct gv_error *e)
{
	size_t i;

	if (gv_room(&b->t->trie, &b->cap, b->slots + GV_TRIE_BLOCK,
		sizeof *b->t->trie, e) ||
	    gv_room(
		&b->used, &b->used_cap, (b->slots + GV_TRIE_BLOCK) / 8, 1, e))
		return e->code;
	for (i = b->slots; i < b->slots + GV_TRIE_BLOCK; i++)
		b->t->trie[i] = make_slot(GV_NO_LABEL, -1, 0);
	memset(b->used + b->slots / 8, 0, GV_TRIE_BLOCK / 8);
	b->slots += GV_TRIE_BLOCK;
	return 0;
}

static bool
room_at(const struct build *b, size_t base, const uint8_t *c, size_t n)
{
	size_t i;

	if (b->used[base / 8] >> base % 8 & 1)
		return false;
	for (i = 0; i < n && is_free(b, base ^ c[i]); i++)
		;
	return i == n;
}

/* A base with room for children by these bytes, in blocks that aren't full.
 * Few are tried, so that this doesn't take long. */
static int
find_base(struct build *b, const uint8_t *c, size_t n, size_t *base,
    struct gv_error *e)
{
	size_t at, tries = 0;

	while (b->from < b->slots && !is_free(b, b->from))
		b->from++;
	for (at = b->from; at < b->slots && tries < TRIES; at++) {
		if (!is_free(b, at))
			continue;
		*base = at ^ c[0];
		if (room_at(b, *base, c, n))
			goto found;
		tries++;
	}
	*base = b->slots;
	if (add_block(b, e))
		return e->code;
	if (b->slots - b->from > OPEN)
		b->from = b->slots - OPEN;
found:
	b->used[*base / 8] |= (uint8_t)(1 << *base % 8);
	return 0;
}

static const char *
bytes_of(const struct build *b, uint32_t i)
{
	return b->t->blob + b->t->tok[b->sorted[i]].off;
}

static uint32_t
length_of(const struct build *b, uint32_t i)
{
	return b->t->tok[b->sorted[i]].len;
}

static int
push_node(struct build *b, struct node k, struct gv_error *e)
{
	if (gv_room(&b->node, &b->node_cap, b->nodes + 1, sizeof *b->node, e))
		return e->code;
	b->node[b->nodes++] = k;
	return 0;
}

/* Places the children of a node, and queues those that have some. */
static int
place_children(struct build *b, struct node k, struct gv_error *e)
{
	uint32_t i = k.lo, start[257];
	size_t n = 0, base = GV_TRIE_ROOT, j;
	uint8_t c[256];

	for (; i < k.hi; i++) {
		uint8_t byte = (uint8_t)bytes_of(b, i)[k.depth];

		if (n && byte == c[n - 1])
			continue;
		start[n] = i;
		c[n++] = byte;
	}
	start[n] = k.hi;
	if (k.slot) {
		uint64_t own = b->t->trie[k.slot];

		if (find_base(b, c, n, &base, e))
			return e->code;
		b->t->trie[k.slot] = make_slot(
		    (uint32_t)GV_SLOT_LABEL(own), GV_SLOT_TOKEN(own), base);
	}
	for (j = 0; j < n; j++) {
		struct node kid = {
		    base ^ c[j], start[j], start[j + 1], k.depth + 1, k.token};
		int32_t token = -1;

		/* the shortest comes first, and no two are the same */
		if (length_of(b, kid.lo) == kid.depth) {
			token = b->sorted[kid.lo++];
			b->t->made[token].shorter = k.token;
			kid.token = token;
		}
		b->t->trie[kid.slot] = make_slot(c[j], token, 0);
		if (kid.lo < kid.hi && push_node(b, kid, e))
			return e->code;
	}
	return 0;
}

static int
by_bytes(const void *p, const void *q, void *ctx)
{
	const struct gv_tokenizer *t = ctx;
	const struct gv_tok *a = &t->tok[*(const int32_t *)p];
	const struct gv_tok *b = &t->tok[*(const int32_t *)q];
	size_t n = a->len < b->len ? a->len : b->len;
	int d = memcmp(t->blob + a->off, t->blob + b->off, n);

	return d ? d : (a->len > b->len) - (a->len < b->len);
}

/* The trie of all tokens that merging arrives at. */
static int
build_trie(struct gv_tokenizer *t, struct gv_error *e)
{
	struct build b = {.t = t, .from = 2 * GV_TRIE_BLOCK};
	size_t i, k;

	b.sorted = gv_alloc((size_t)t->size, sizeof *b.sorted);
	if (!b.sorted)
		return gv_fail(e, GV_ERR_NOMEM, "out of memory");
	for (i = 0; i < (size_t)t->size; i++)
		if (t->made[i].when != GV_NEVER)
			b.sorted[b.n++] = (int32_t)i;
	qsort_r(b.sorted, b.n, sizeof *b.sorted, by_bytes, t);
	if (!add_block(&b, e) && !add_block(&b, e) && b.n)
		(void)!push_node(
		    &b, (struct node){0, 0, (uint32_t)b.n, 0, -1}, e);
	for (k = 0; k < b.nodes && !e->code; k++)
		(void)!place_children(&b, b.node[k], e);
	t->slots = b.slots;
	gv_free(b.sorted);
	gv_free(b.node);
	gv_free(b.used);
	return e->code;
}

/* ---- how tokens come about ----------------------------------------------- */

/* Symbols, which no merge makes: bytes, or characters. */
static void
find_symbols(struct gv_tokenizer *t)
{
	uint32_t k, c;
	int b;

	for (b = 0; b < 256 && !t->chars; b++)
		if (t->byte_id[b] >= 0)
			t->made[t->byte_id[b]].when = 0;
	for (k = 0; t->chars && k <= t->by_mask; k++) {
		const struct gv_tok *tok;

		if (t->by_bytes[k] < 0)
			continue;
		tok = &t->tok[t->by_bytes[k]];
		if (gv_utf8_next(t->blob + tok->off, tok->len, &c) == tok->len)
			t->made[t->by_bytes[k]].when = 0;
	}
}

static int
ascending(const void *p, const void *q)
{
	uint64_t a = *(const uint64_t *)p, b = *(const uint64_t *)q;

	return (a > b) - (a < b);
}

/* A merge, so that numbers are in the order of ranks. */
struct rule {
	int32_t a, b, c;
	uint32_t rank;
};

static struct rule
rule_of(const struct gv_tokenizer *t, uint64_t v)
{
	uint32_t rank = (uint32_t)(v >> 40);

	return (struct rule){(int32_t)(v >> 20 & 0xfffff),
	    (int32_t)(v & 0xfffff), t->merged[rank], rank};
}

/* A token is made by the first merge whose sides are there and stay apart
 * until then; others that would make it never come to it. */
static void
make_tokens(struct gv_tokenizer *t, const uint64_t *order, size_t n)
{
	struct gv_made *p = t->made;
	size_t i;

	for (i = 0; i < n; i++) {
		struct rule r = rule_of(t, order[i]);

		if (p[r.c].when != GV_NEVER || p[r.a].when == GV_NEVER ||
		    p[r.b].when == GV_NEVER ||
		    !gv_bpe_fits(t, r.a, r.b, r.rank + 1))
			continue;
		p[r.c].left = r.a;
		p[r.c].right = r.b;
		p[r.c].when = r.rank + 1;
	}
}

/* Does merging go through the ranks once?  Not where a merge waits for a side
 * of a higher rank, unless its token has been made by then. */
static bool
in_order(const struct gv_tokenizer *t, const uint64_t *order, size_t n)
{
	const struct gv_made *p = t->made;
	size_t i;

	for (i = 0; i < n; i++) {
		struct rule r = rule_of(t, order[i]);
		uint32_t a = p[r.a].when, b = p[r.b].when;
		uint32_t both = a > b ? a : b;

		if (both > r.rank && both < p[r.c].when)
			return false;
		if (t->tok[r.a].len + t->tok[r.b].len != t->tok[r.c].len)
			return false;
	}
	return true;
}

static int
make_sieve(struct gv_tokenizer *t, struct gv_error *e)
{
	uint32_t i, bit;

	t->sieve = gv_alloc(GV_SIEVE_WORDS, sizeof *t->sieve);
	if (!t->sieve)
		return gv_fail(e, GV_ERR_NOMEM, "out of memory");
	for (i = 0; i <= t->pair_mask; i++) {
		if (t->pair[i] == UINT64_MAX)
			continue;
		bit = gv_sieve_bit(gv_pair_hash(t->pair[i] >> 24));
		t->sieve[bit / 64] |= (uint64_t)1 << bit % 64;
	}
	return 0;
}

int
gv_bpe_index(struct gv_tokenizer *t, struct gv_error *e)
{
	size_t slots = (size_t)t->pair_mask + 1, n = 0, i;
	uint64_t *order = gv_alloc(slots, sizeof *order);

	t->made = gv_alloc((size_t)t->size, sizeof *t->made);
	if (!order || !t->made) {
		gv_free(order);
		return gv_fail(e, GV_ERR_NOMEM, "out of memory");
	}
	for (i = 0; i < (size_t)t->size; i++)
		t->made[i] =
		    (struct gv_made){-1, -1, GV_NEVER, -1, t->tok[i].len};
	for (i = 0; i < slots; i++)
		if (t->pair[i] != UINT64_MAX)
			order[n++] = t->pair[i] << 40 | t->pair[i] >> 24;
	qsort(order, n, sizeof *order, ascending);
	if (make_sieve(t, e)) {
		gv_free(order);
		return e->code;
	}
	find_symbols(t);
	make_tokens(t, order, n);
	if (in_order(t, order, n)) {
		(void)!build_trie(t, e);
	} else {
		gv_free(t->made);
		t->made = NULL;
	}
	gv_free(order);
	return e->code;
}

bool
gv_bpe_index_sound(const struct gv_tokenizer *t)
{
	uint32_t size = (uint32_t)t->size, bad = 0, i;
	size_t k;

	for (i = 0; i < size; i++) {
		const struct gv_made *p = &t->made[i];
		uint32_t l = (uint32_t)p->left, r = (uint32_t)p->right;

		if (p->when == GV_NEVER)
			continue;
		bad |= !p->len || p->len != t->tok[i].len;
		if (p->when)
			bad |= l >= size || r >= size ||
			       t->made[l].when >= p->when ||
			       t->made[r].when >= p->when;
		if (p->shorter != -1)
			bad |= (uint32_t)p->shorter >= size ||
			       t->made[p->shorter].when == GV_NEVER ||
			       t->made[p->shorter].len >= p->len;
	}
	for (k = 0; k < t->slots; k++) {
		int32_t token = GV_SLOT_TOKEN(t->trie[k]);

		bad |= GV_SLOT_BASE(t->trie[k]) >= t->slots ||
		       token >= t->size ||
		       (token >= 0 && t->made[token].when == GV_NEVER);
	}
	return !bad && t->slots % GV_TRIE_BLOCK == 0 &&
	       t->slots >= 2 * GV_TRIE_BLOCK;
}
