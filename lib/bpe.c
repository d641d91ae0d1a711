/* Encoding: added tokens, normalisation, cut, merges.
 *
 * A piece is merged as the reference does it: always the pair of the lowest
 * rank, the leftmost of equals.  Short pieces by searching a row of ranks,
 * long ones with a heap, so that a megabyte of one letter takes n log n.  Most
 * pieces never get there: a cache knows what they gave the last time.
 */
#include "token_impl.h"

#include "mem.h"
#include "utf8.h"
#include "banned.h"

#include <stdatomic.h>
#include <sys/mman.h>

static int
no_memory(struct gv_error *e)
{
	return gv_fail(e, GV_ERR_NOMEM, "out of memory");
}

/* ---- the cache ----------------------------------------------------------- */

/* A fixed table of one cache line an entry, filled until it is full and never
 * changed: `tag` is 0 (empty), 1 (being written) or the piece's hash, and its
 * store releases the rest.  Threads share it without locks, and what it
 * answers doesn't depend on who came first. */
#define CACHE_SLOTS (1u << 17)
#define CACHE_PROBE 4
#define PIECE_BYTES 30
#define PIECE_IDS   7

struct entry {
	_Atomic uint32_t tag;
	uint8_t bytes, ids;
	char s[PIECE_BYTES];
	int32_t id[PIECE_IDS];
};
_Static_assert(sizeof(struct entry) == 64, "an entry is one cache line");

struct gv_piece_cache {
	struct entry *slot;
};

int
gv_piece_cache_open(struct gv_piece_cache **out, struct gv_error *e)
{
	struct gv_piece_cache *c = gv_alloc(1, sizeof *c);
	void *p;

	if (!c)
		return no_memory(e);
	/* zero pages, which cost nothing until they are used */
	p = mmap(NULL, CACHE_SLOTS * sizeof(struct entry),
	    PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p == MAP_FAILED) {
		gv_free(c);
		return no_memory(e);
	}
	c->slot = p;
	*out = c;
	return 0;
}

void
gv_piece_cache_close(struct gv_piece_cache **c)
{
	if (!*c)
		return;
	munmap((*c)->slot, CACHE_SLOTS * sizeof(struct entry));
	gv_free(*c);
	*c = NULL;
}

static uint32_t
tag_of(const char *s, size_t n)
{
	uint32_t h = gv_token_hash(s, n);

	return h < 2 ? h + 2 : h;
}

static const struct entry *
recall(const struct gv_piece_cache *c, uint32_t tag, const char *s, size_t n)
{
	uint32_t i;

	for (i = 0; i < CACHE_PROBE; i++) {
		const struct entry *it =
		    &c->slot[(tag + i) & (CACHE_SLOTS - 1)];
		uint32_t got =
		    atomic_load_explicit(&it->tag, memory_order_acquire);

		if (got == tag && it->bytes == n && !memcmp(it->s, s, n))
			return it;
		if (!got)
			return NULL;
	}
	return NULL;
}

static void
remember(struct gv_piece_cache *c, uint32_t tag, const char *s, size_t n,
    const int32_t *id, size_t ids)
{
	uint32_t i;

	if (ids > PIECE_IDS)
		return;
	for (i = 0; i < CACHE_PROBE; i++) {
		struct entry *it = &c->slot[(tag + i) & (CACHE_SLOTS - 1)];
		uint32_t none = 0;

		if (!atomic_compare_exchange_strong(&it->tag, &none, 1))
			continue;
		it->bytes = (uint8_t)n;
		it->ids = (uint8_t)ids;
		memcpy(it->s, s, n);
		memcpy(it->id, id, ids * sizeof *id);
		atomic_store_explicit(&it->tag, tag, memory_order_release);
		return;
	}
}

/* ---- merging ------------------------------------------------------------- */

#define SHORT_PIECE 48 /* bytes that are merged without a heap */
#define NO_RANK     UINT32_MAX

/* rank[i] is that of the pair (id[i], id[i + 1]). */
static size_t
merge_short(const struct gv_tokenizer *t, int32_t *id, size_t n)
{
	uint32_t rank[SHORT_PIECE];
	size_t i, best;

	for (i = 0; i + 1 < n; i++) {
		const struct gv_merge *m = gv_token_merge(t, id[i], id[i + 1]);

		rank[i] = m ? m->rank : NO_RANK;
	}
	while (n > 1) {
		const struct gv_merge *m;

		for (best = 0, i = 1; i + 1 < n; i++)
			if (rank[i] < rank[best])
				best = i;
		if (rank[best] == NO_RANK)
			break;
		m = gv_token_merge(t, id[best], id[best + 1]);
		id[best] = m->id;
		n--;
		memmove(
		    id + best + 1, id + best + 2, (n - best - 1) * sizeof *id);
		memmove(rank + best, rank + best + 1,
		    (n - best - 1) * sizeof *rank);
		if (best + 1 < n) {
			m = gv_token_merge(t, id[best], id[best + 1]);
			rank[best] = m ? m->rank : NO_RANK;
		}
		if (best) {
			m = gv_token_merge(t, id[best - 1], id[best]);
			rank[best - 1] = m ? m->rank : NO_RANK;
		}
	}
	return n;
}

/* A long piece is a doubly linked list in arrays; the heap holds candidate
 * merges, of which those whose pair has changed meanwhile are passed over. */
struct cand {
	uint32_t rank, at;
	int32_t a, b;
};

struct list {
	int32_t *id; /* -1: merged into its left neighbour */
	uint32_t *next, *prev;
	struct cand *heap;
	size_t n, cap;
};

static bool
before(const struct cand *x, const struct cand *y)
{
	return x->rank < y->rank || (x->rank == y->rank && x->at < y->at);
}

/* Each merge adds at most two candidates and takes one away, and there are
 * fewer merges than bytes: the heap was made large enough. */
static void
offer(struct list *l, const struct gv_tokenizer *t, uint32_t at, uint32_t right)
{
	const struct gv_merge *m = gv_token_merge(t, l->id[at], l->id[right]);
	struct cand c;
	size_t i, up;

	if (!m)
		return;
	c.rank = m->rank;
	c.at = at;
	c.a = m->a;
	c.b = m->b;
	for (i = l->n++; i; i = up) {
		up = (i - 1) / 2;
		if (!before(&c, &l->heap[up]))
			break;
		l->heap[i] = l->heap[up];
	}
	l->heap[i] = c;
}

static struct cand
take(struct list *l)
{
	struct cand top = l->heap[0], c = l->heap[--l->n];
	size_t i = 0, kid;

	for (; (kid = 2 * i + 1) < l->n; i = kid) {
		if (kid + 1 < l->n && before(&l->heap[kid + 1], &l->heap[kid]))
			kid++;
		if (!before(&l->heap[kid], &c))
			break;
		l->heap[i] = l->heap[kid];
	}
	l->heap[i] = c;
	return top;
}

static void
merge_list(const struct gv_tokenizer *t, struct list *l, uint32_t n)
{
	uint32_t i;

	for (i = 0; i < n; i++) {
		l->next[i] = i + 1;
		l->prev[i] = i - 1;
	}
	for (i = 0; i + 1 < n; i++)
		offer(l, t, i, i + 1);
	while (l->n) {
		struct cand c = take(l);
		uint32_t r;

		if (l->id[c.at] != c.a)
			continue;
		r = l->next[c.at];
		if (r >= n || l->id[r] != c.b)
			continue;
		l->id[c.at] = gv_token_merge(t, c.a, c.b)->id;
		l->id[r] = -1;
		l->next[c.at] = l->next[r];
		if (l->next[r] < n) {
			l->prev[l->next[r]] = c.at;
			offer(l, t, c.at, l->next[r]);
		}
		if (c.at)
			offer(l, t, l->prev[c.at], c.at);
	}
}

/* The ids of single bytes; one that the vocabulary lacks is left out, as
 * Hugging Face does (SmolLM's lacks control bytes).  Returns how many. */
static size_t
ids_of_bytes(const struct gv_tokenizer *t, const char *s, size_t n, int32_t *id)
{
	size_t i, k = 0;

	for (i = 0; i < n; i++) {
		id[k] = t->byte_id[(unsigned char)s[i]];
		k += id[k] >= 0;
	}
	return k;
}

static int
merge_long(const struct gv_tokenizer *t, const char *s, size_t n,
    struct gv_ids *out, struct gv_error *e)
{
	struct list l = {0};
	int rc = 0;
	size_t i;

	l.id = gv_alloc(n, sizeof *l.id);
	l.next = gv_alloc(n, sizeof *l.next);
	l.prev = gv_alloc(n, sizeof *l.prev);
	l.heap = gv_alloc(2 * n, sizeof *l.heap);
	if (!l.id || !l.next || !l.prev || !l.heap) {
		rc = no_memory(e);
	} else {
		n = ids_of_bytes(t, s, n, l.id);
		merge_list(t, &l, (uint32_t)n);
	}
	for (i = 0; i < n && !rc; i++)
		if (l.id[i] >= 0)
			rc = gv_ids_push(out, l.id[i], e);
	gv_free(l.id);
	gv_free(l.next);
	gv_free(l.prev);
	gv_free(l.heap);
	return rc;
}

static int
encode_piece(const struct gv_tokenizer *t, const char *s, size_t n,
    struct gv_ids *out, struct gv_error *e)
{
	bool cached = n <= PIECE_BYTES;
	uint32_t tag = 0;
	int32_t id[SHORT_PIECE];
	size_t i, k;
	void *p;

	if (cached && n > 1) {
		const struct entry *it;

		tag = tag_of(s, n);
		it = recall(t->cache, tag, s, n);
		if (it) {
			for (i = 0; i < it->ids; i++)
				if (gv_ids_push(out, it->id[i], e))
					return e->code;
			return 0;
		}
	}
	if (t->ignore_merges && n <= GV_MAX_TOKEN &&
	    (id[0] = gv_token_find(t, s, n)) >= 0) {
		k = 1;
	} else if (n > SHORT_PIECE) {
		return merge_long(t, s, n, out, e);
	} else {
		k = merge_short(t, id, ids_of_bytes(t, s, n, id));
	}
	if (cached && n > 1)
		remember(t->cache, tag, s, n, id, k);
	p = out->id;
	if (gv_grow(&p, &out->cap, out->n + k, sizeof *out->id))
		return no_memory(e);
	out->id = p;
	memcpy(out->id + out->n, id, k * sizeof *id);
	out->n += k;
	return 0;
}

/* ---- from text to pieces ------------------------------------------------- */

static int
encode_plain(const struct gv_tokenizer *t, const char *s, size_t n,
    struct gv_ids *out, struct gv_error *e)
{
	struct gv_splitter w;
	size_t at, end;
	int got, rc = 0;

	if (!n)
		return 0;
	if (!t->split)
		return encode_piece(t, s, n, out, e);
	if (gv_splitter_open(&w, t->split, s, n, e))
		return e->code;
	while (!rc && (got = gv_splitter_next(&w, &at, &end, e)) != 0)
		rc = got < 0 ? got : encode_piece(t, s + at, end - at, out, e);
	gv_splitter_close(&w);
	return rc;
}

/* The leftmost, longest added token of `set` at or behind *at: its item and,
 * in *at, where it stands; NULL if there is none. */
static const struct gv_added_item *
find_added(const struct gv_added *set, const char *s, size_t n, size_t *at)
{
	size_t i = *at;

	for (; i < n; i++) {
		int32_t k;

		if (set->starts == 1) {
			const char *p = memchr(s + i, set->start, n - i);

			if (!p)
				return NULL;
			i = (size_t)(p - s);
		}
		k = set->first[(unsigned char)s[i]];
		for (; k >= 0; k = set->item[k].next) {
			const struct gv_added_item *it = &set->item[k];

			if (it->len <= n - i &&
			    !memcmp(s + i, it->text, it->len)) {
				*at = i;
				return it;
			}
		}
	}
	return NULL;
}

typedef int inner(const struct gv_tokenizer *t, const char *s, size_t n,
    bool specials, struct gv_ids *out, struct gv_error *e);

/* Cuts the text at added tokens; `rest` encodes what lies between.  A special
 * token that is to stay text is stepped over whole, as the reference does. */
static int
cut_added(const struct gv_tokenizer *t, const struct gv_added *set,
    const char *s, size_t n, bool specials, inner *rest, struct gv_ids *out,
    struct gv_error *e)
{
	const struct gv_added_item *it;
	size_t from = 0, at = 0;

	while (set->n && (it = find_added(set, s, n, &at))) {
		if (specials || !(t->tok[it->id].flags & GV_TOK_SPECIAL)) {
			if (rest(t, s + from, at - from, specials, out, e) ||
			    gv_ids_push(out, it->id, e))
				return e->code;
			from = at + it->len;
		}
		at += it->len;
	}
	return rest(t, s + from, n - from, specials, out, e);
}

static int
last_step(const struct gv_tokenizer *t, const char *s, size_t n, bool specials,
    struct gv_ids *out, struct gv_error *e)
{
	(void)specials;
	return encode_plain(t, s, n, out, e);
}

static int
normal_step(const struct gv_tokenizer *t, const char *s, size_t n,
    bool specials, struct gv_ids *out, struct gv_error *e)
{
	char *norm = NULL;
	size_t len = n;
	int rc;

	if (t->nfc && gv_nfc(s, n, &norm, &len, e))
		return e->code;
	rc = cut_added(
	    t, &t->normal, norm ? norm : s, len, specials, last_step, out, e);
	gv_free(norm);
	return rc;
}

int
gv_encode(const struct gv_tokenizer *t, const char *s, size_t n, bool specials,
    struct gv_ids *out, struct gv_error *e)
{
	size_t had = out->n;

	if (n > GV_MAX_TEXT)
		return gv_fail(e, GV_ERR_LIMIT,
		    "a text of %zu bytes is too long (at most %zu)", n,
		    GV_MAX_TEXT);
	if (cut_added(t, &t->raw, s, n, specials, normal_step, out, e)) {
		out->n = had;
		return e->code;
	}
	return 0;
}
