/* The tables of the search from the left: how merging comes to each token. */
#include "bpe_priv.h"

#include "mem.h"
#include "utf8.h"
#include "banned.h"

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
		int32_t id = gv_by_bytes_id(t->by_bytes[k]);
		const struct gv_tok *tok;

		if (id < 0)
			continue;
		tok = &t->tok[id];
		if (gv_utf8_next(t->blob + tok->off, tok->len, &c) == tok->len)
			t->made[id].when = 0;
	}
}

/* A merge: the pair a, b becomes c. */
struct rule {
	int32_t a, b, c;
	uint32_t rank;
};

static struct rule
rule_of(const struct gv_tokenizer *t, uint64_t pair)
{
	uint32_t rank = (uint32_t)pair & 0xffffff;

	return (struct rule){(int32_t)(pair >> 44),
	    (int32_t)(pair >> 24 & 0xfffff), t->merged[rank], rank};
}

/* Isn't there a later merge of the same pair? */
static bool
counts(const struct gv_tokenizer *t, struct rule r)
{
	return gv_token_rank(t, r.a, r.b) == r.rank;
}

/* A token is made by the first merge whose sides are there and stay apart
 * until then; others that would make it never come to it. */
static void
make_tokens(struct gv_tokenizer *t)
{
	struct gv_made *p = t->made;
	size_t i;

	for (i = 0; i < t->orders; i++) {
		struct rule r = rule_of(t, t->order[i]);

		if (p[r.c].when != GV_NEVER || p[r.a].when == GV_NEVER ||
		    p[r.b].when == GV_NEVER || !counts(t, r) ||
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
in_order(const struct gv_tokenizer *t)
{
	const struct gv_made *p = t->made;
	size_t i;

	for (i = 0; i < t->orders; i++) {
		struct rule r = rule_of(t, t->order[i]);
		uint32_t a = p[r.a].when, b = p[r.b].when;
		uint32_t both = a > b ? a : b;

		if (((both > r.rank && both < p[r.c].when) ||
			p[r.a].len + p[r.b].len != p[r.c].len) &&
		    counts(t, r))
			return false;
	}
	return true;
}

static int
make_sieve(struct gv_tokenizer *t, struct gv_error *e)
{
	uint32_t bit;
	size_t i;

	t->sieve = gv_alloc(GV_SIEVE_WORDS, sizeof *t->sieve);
	if (!t->sieve)
		return gv_fail(e, GV_ERR_NOMEM, "out of memory");
	for (i = 0; i < t->orders; i++) {
		bit = gv_sieve_bit(gv_pair_hash(t->order[i] >> 24));
		t->sieve[bit / 64] |= (uint64_t)1 << bit % 64;
	}
	return 0;
}

int
gv_bpe_index(struct gv_tokenizer *t, struct gv_error *e)
{
	int32_t i;

	if (make_sieve(t, e))
		return e->code;
	t->made = gv_alloc((size_t)t->size, sizeof *t->made);
	if (!t->made)
		return gv_fail(e, GV_ERR_NOMEM, "out of memory");
	for (i = 0; i < t->size; i++)
		t->made[i] =
		    (struct gv_made){-1, -1, GV_NEVER, -1, t->tok[i].len};
	find_symbols(t);
	make_tokens(t);
	if (in_order(t))
		return gv_bpe_trie(t, e);
	gv_free(t->made);
	t->made = NULL;
	return 0;
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
