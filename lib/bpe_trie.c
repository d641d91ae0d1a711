/* The trie of all tokens that merging arrives at, as a double array.
 *
 * A node's tokens are sorted by the next byte when its children are placed, so
 * a byte of a token is looked at once; and by depth, so that a few tokens'
 * bytes are looked at together.  Of the last blocks it is known by the bit
 * which slots are free: each in turn is tried for the first child.
 *
 * Source: Aoe, "An efficient digital search algorithm by using a double-array
 * structure" (1989); by exclusive or, as Yoshinaga's cedar has it.
 */
#include "bpe_priv.h"

#include "mem.h"
#include "banned.h"

#define OPEN  16 /* blocks that are searched for room */
#define WORDS (GV_TRIE_BLOCK / 64)
#define FEW   24 /* tokens that are sorted by insertion */

static inline uint64_t
make_slot(uint32_t label, int32_t token, size_t base)
{
	return label | (uint64_t)(token + 1) << 9 | (uint64_t)base << 30;
}

/* A node whose children are to be placed: tokens list[lo .. hi) begin with its
 * `depth` bytes and go on. */
struct node {
	size_t slot; /* 0: the root */
	uint32_t lo, hi, depth;
	int32_t token; /* the longest that ends here or before; -1 */
};

/* A block's slots without a label, and its bases that no node has. */
struct room {
	uint64_t slot[WORDS], base[WORDS];
	size_t slots; /* that are free */
};

struct build {
	struct gv_tokenizer *t;
	int32_t *list; /* tokens */
	int32_t *other; /* room for sorting them ... */
	uint8_t *key; /* ... by these */
	struct node *node; /* a stack */
	size_t nodes, node_cap, slots_cap;
	struct room *room; /* of each block */
	size_t blocks, room_cap, from; /* blocks below this one are full */
};

static int
add_block(struct build *b, struct gv_error *e)
{
	struct gv_tokenizer *t = b->t;
	size_t i;

	if (gv_room(&t->trie, &b->slots_cap, t->slots + GV_TRIE_BLOCK,
		sizeof *t->trie, e) ||
	    gv_room(&b->room, &b->room_cap, b->blocks + 1, sizeof *b->room, e))
		return e->code;
	for (i = 0; i < GV_TRIE_BLOCK; i++)
		t->trie[t->slots++] = make_slot(GV_NO_LABEL, -1, 0);
	memset(&b->room[b->blocks], 0xff, sizeof *b->room);
	b->room[b->blocks++].slots = GV_TRIE_BLOCK;
	if (b->blocks - b->from > OPEN)
		b->from = b->blocks - OPEN;
	return 0;
}

static bool
has(const uint64_t bits[WORDS], size_t i)
{
	return bits[i / 64] >> i % 64 & 1;
}

/* A base in this block for children by these bytes; false if there is none. */
static bool
base_in(const struct room *r, const uint8_t *c, size_t n, size_t *base)
{
	size_t w, i;

	for (w = 0; w < WORDS && r->slots >= n; w++) {
		uint64_t rest = r->slot[w];

		for (; rest; rest &= rest - 1) {
			*base = (w * 64 + (size_t)__builtin_ctzll(rest)) ^ c[0];
			if (!has(r->base, *base))
				continue;
			for (i = 1; i < n && has(r->slot, *base ^ c[i]); i++)
				;
			if (i == n)
				return true;
		}
	}
	return false;
}

static void
take(uint64_t bits[WORDS], size_t i)
{
	bits[i / 64] &= ~((uint64_t)1 << i % 64);
}

/* Takes a base with room for these children. */
static int
find_base(struct build *b, const uint8_t *c, size_t n, size_t *base,
    struct gv_error *e)
{
	size_t block, i;
	struct room *r;

	while (b->from < b->blocks && !b->room[b->from].slots)
		b->from++;
	for (block = b->from; block < b->blocks; block++)
		if (base_in(&b->room[block], c, n, base))
			break;
	if (block == b->blocks) {
		if (add_block(b, e))
			return e->code;
		*base = 0;
	}
	r = &b->room[block];
	take(r->base, *base);
	for (i = 0; i < n; i++)
		take(r->slot, *base ^ c[i]);
	r->slots -= n;
	*base += block * GV_TRIE_BLOCK;
	return 0;
}

/* A node's tokens by their next byte: those of byte c[i] are list[start[i] ..
 * start[i + 1]). */
struct kids {
	size_t n;
	uint8_t c[256];
	uint32_t start[257];
};

static uint8_t
byte_at(const struct build *b, int32_t token, uint32_t depth)
{
	const struct gv_tokenizer *t = b->t;

	return (uint8_t)t->blob[t->tok[token].off + depth];
}

static void
sort_few(struct build *b, const struct node *k, struct kids *to)
{
	int32_t *list = b->list + k->lo;
	uint32_t n = k->hi - k->lo, i, j;
	uint8_t key[FEW];

	for (i = 0; i < n; i++) {
		int32_t token = list[i];
		uint8_t c = byte_at(b, token, k->depth);

		for (j = i; j && key[j - 1] > c; j--) {
			key[j] = key[j - 1];
			list[j] = list[j - 1];
		}
		key[j] = c;
		list[j] = token;
	}
	for (i = 0; i < n; i++) {
		if (i && key[i] == key[i - 1])
			continue;
		to->c[to->n] = key[i];
		to->start[to->n++] = k->lo + i;
	}
}

static void
sort_many(struct build *b, const struct node *k, struct kids *to)
{
	uint32_t count[256] = {0}, at = k->lo, i, c;

	for (i = k->lo; i < k->hi; i++) {
		b->key[i] = byte_at(b, b->list[i], k->depth);
		count[b->key[i]]++;
	}
	for (c = 0; c < 256; c++) {
		uint32_t n = count[c];

		count[c] = at;
		if (n) {
			to->c[to->n] = (uint8_t)c;
			to->start[to->n++] = at;
		}
		at += n;
	}
	for (i = k->lo; i < k->hi; i++)
		b->other[count[b->key[i]]++] = b->list[i];
	memcpy(b->list + k->lo, b->other + k->lo,
	    (k->hi - k->lo) * sizeof *b->list);
}

/* Sorts them; those of one byte stay in their order, which is that of their
 * lengths. */
static void
sort_tokens(struct build *b, const struct node *k, struct kids *to)
{
	to->n = 0;
	if (k->hi - k->lo > FEW)
		sort_many(b, k, to);
	else
		sort_few(b, k, to);
	to->start[to->n] = k->hi;
}

static int
push_node(struct build *b, struct node k, struct gv_error *e)
{
	if (gv_room(&b->node, &b->node_cap, b->nodes + 1, sizeof *b->node, e))
		return e->code;
	b->node[b->nodes++] = k;
	return 0;
}

/* Places the children of a node, and stacks those that have some. */
static int
place_children(struct build *b, struct node k, struct gv_error *e)
{
	struct gv_tokenizer *t = b->t;
	size_t base = GV_TRIE_ROOT, i;
	struct kids to;

	sort_tokens(b, &k, &to);
	if (k.slot) {
		uint64_t own = t->trie[k.slot];

		if (find_base(b, to.c, to.n, &base, e))
			return e->code;
		t->trie[k.slot] = make_slot(
		    (uint32_t)GV_SLOT_LABEL(own), GV_SLOT_TOKEN(own), base);
	}
	for (i = 0; i < to.n; i++) {
		struct node kid = {base ^ to.c[i], to.start[i], to.start[i + 1],
		    k.depth + 1, k.token};
		int32_t token = -1;

		/* the shortest comes first, and no two are the same */
		if (t->tok[b->list[kid.lo]].len == kid.depth) {
			token = b->list[kid.lo++];
			t->made[token].shorter = k.token;
			kid.token = token;
		}
		t->trie[kid.slot] = make_slot(to.c[i], token, 0);
		if (kid.lo < kid.hi && push_node(b, kid, e))
			return e->code;
	}
	return 0;
}

/* The tokens that merging arrives at, by length; how many. */
static uint32_t
list_tokens(struct build *b, uint32_t *to)
{
	const struct gv_tokenizer *t = b->t;
	uint32_t at = 0, len;
	int32_t i;

	for (i = 0; i < t->size; i++)
		if (t->made[i].when != GV_NEVER)
			to[t->tok[i].len]++;
	for (len = 0; len <= GV_MAX_TOKEN; len++) {
		uint32_t n = to[len];

		to[len] = at;
		at += n;
	}
	for (i = 0; i < t->size; i++)
		if (t->made[i].when != GV_NEVER)
			b->list[to[t->tok[i].len]++] = i;
	return at;
}

int
gv_bpe_trie(struct gv_tokenizer *t, struct gv_error *e)
{
	struct build b = {.t = t};
	uint32_t *to = gv_alloc(GV_MAX_TOKEN + 1, sizeof *to), n;

	b.list = gv_alloc((size_t)t->size, sizeof *b.list);
	b.other = gv_alloc((size_t)t->size, sizeof *b.other);
	b.key = gv_alloc((size_t)t->size, 1);
	if (!to || !b.list || !b.other || !b.key) {
		gv_fail(e, GV_ERR_NOMEM, "out of memory");
	} else if (!add_block(&b, e) && !add_block(&b, e)) {
		/* the blocks of no children, and of the root's */
		b.from = b.blocks;
		n = list_tokens(&b, to);
		if (n)
			(void)!push_node(&b, (struct node){0, 0, n, 0, -1}, e);
	}
	while (b.nodes && !e->code)
		(void)!place_children(&b, b.node[--b.nodes], e);
	gv_free(to);
	gv_free(b.list);
	gv_free(b.other);
	gv_free(b.key);
	gv_free(b.node);
	gv_free(b.room);
	return e->code;
}
