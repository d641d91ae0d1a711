/* Encoding: cut and merges.
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

/* A piece of at most 24 bytes, as three words filled up with zeros. */
#define PIECE_BYTES ((size_t)24)
#define PIECE_IDS   8

struct key {
	uint64_t w[3];
	uint32_t bytes;
};

/* A fixed table of one cache line an entry, filled until it is full and never
 * changed: `tag` is 0 (empty), 1 (being written) or from the piece's hash, and
 * its store releases the rest.  Threads share it without locks, and what it
 * answers doesn't depend on who came first. */
#define CACHE_SLOTS (1u << 19)
#define CACHE_PROBE 8

struct entry {
	_Atomic uint32_t tag;
	uint16_t bytes, ids;
	uint64_t w[3];
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
	/* zero pages, which cost nothing until they are used; a probe of the
	 * last slots goes on behind them */
	p = mmap(NULL, (CACHE_SLOTS + CACHE_PROBE) * sizeof(struct entry),
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
	munmap((*c)->slot, (CACHE_SLOTS + CACHE_PROBE) * sizeof(struct entry));
	gv_free(*c);
	*c = NULL;
}

/* The key of n <= PIECE_BYTES bytes at s, behind which `room` bytes can be
 * read. */
static inline void
make_key(struct key *k, const char *s, size_t n, size_t room)
{
	static const uint8_t mask[2 * PIECE_BYTES] = {255, 255, 255, 255, 255,
	    255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255,
	    255, 255, 255, 255, 255, 255};
	uint64_t m[3];
	int i;

	k->bytes = (uint32_t)n;
	if (room < PIECE_BYTES) {
		memset(k->w, 0, sizeof k->w);
		memcpy(k->w, s, n);
		return;
	}
	memcpy(k->w, s, PIECE_BYTES);
	memcpy(m, mask + PIECE_BYTES - n, PIECE_BYTES);
	for (i = 0; i < 3; i++)
		k->w[i] &= m[i];
}

static inline uint32_t
tag_of(const struct key *k)
{
	uint64_t h = (k->w[0] ^ k->bytes) * 0x9e3779b97f4a7c15u;

	h ^= (k->w[1] ^ h >> 32) * 0xff51afd7ed558ccdu;
	h ^= (k->w[2] ^ h >> 32) * 0xc4ceb9fe1a85ec53u;
	h = (h ^ h >> 29) * 0x9e3779b97f4a7c15u;
	return (uint32_t)(h >> 32) | 2;
}

static inline struct entry *
home(const struct gv_piece_cache *c, uint32_t tag)
{
	return &c->slot[tag >> 2 & (CACHE_SLOTS - 1)];
}

static inline const struct entry *
recall(const struct gv_piece_cache *c, uint32_t tag, const struct key *k)
{
	const struct entry *it = home(c, tag), *end = it + CACHE_PROBE;

	for (; it < end; it++) {
		uint32_t got =
		    atomic_load_explicit(&it->tag, memory_order_acquire);

		if (got == tag && it->bytes == k->bytes &&
		    !((it->w[0] ^ k->w[0]) | (it->w[1] ^ k->w[1]) |
			(it->w[2] ^ k->w[2])))
			return it;
		if (!got)
			return NULL;
	}
	return NULL;
}

static void
remember(struct gv_piece_cache *c, uint32_t tag, const struct key *k,
    const int32_t *id, size_t ids)
{
	struct entry *it = home(c, tag), *end = it + CACHE_PROBE;

	if (ids > PIECE_IDS)
		return;
	for (; it < end; it++) {
		uint32_t none = 0;

		if (!atomic_compare_exchange_strong(&it->tag, &none, 1))
			continue;
		it->bytes = (uint16_t)k->bytes;
		it->ids = (uint16_t)ids;
		memcpy(it->w, k->w, sizeof it->w);
		memcpy(it->id, id, ids * sizeof *id);
		atomic_store_explicit(&it->tag, tag, memory_order_release);
		return;
	}
}

/* ---- merging ------------------------------------------------------------- */

#define SHORT_PIECE 48 /* bytes that are merged without a heap */

/* rank[i] is that of the pair (id[i], id[i + 1]). */
static size_t
merge_short(const struct gv_tokenizer *t, int32_t *id, size_t n)
{
	uint32_t rank[SHORT_PIECE];
	size_t i, best;

	for (i = 0; i + 1 < n; i++)
		rank[i] = gv_token_rank(t, id[i], id[i + 1]);
	while (n > 1) {
		for (best = 0, i = 1; i + 1 < n; i++)
			if (rank[i] < rank[best])
				best = i;
		if (rank[best] == GV_NO_RANK)
			break;
		id[best] = t->merged[rank[best]];
		n--;
		for (i = best + 1; i < n; i++) {
			id[i] = id[i + 1];
			rank[i - 1] = rank[i];
		}
		if (best + 1 < n)
			rank[best] = gv_token_rank(t, id[best], id[best + 1]);
		if (best)
			rank[best - 1] =
			    gv_token_rank(t, id[best - 1], id[best]);
	}
	return n;
}

/* A long piece is a doubly linked list in arrays; the heap holds candidate
 * merges, of which those whose pair has changed meanwhile are passed over.  A
 * candidate is its rank and, in the lower half, its place: the smallest number
 * goes first.  Each node of the heap has four children, which are one line of
 * memory. */
struct list {
	int32_t *id; /* -1: merged into its left neighbour */
	uint32_t *next, *prev;
	uint64_t *heap;
	size_t n;
};

static uint64_t
candidate(const struct list *l, const struct gv_tokenizer *t, uint32_t at,
    uint32_t right)
{
	uint32_t rank = gv_token_rank(t, l->id[at], l->id[right]);

	return rank == GV_NO_RANK ? UINT64_MAX : (uint64_t)rank << 32 | at;
}

/* Each merge adds at most two candidates and takes one away, and there are
 * fewer merges than bytes: the heap was made large enough. */
static void
offer(struct list *l, const struct gv_tokenizer *t, uint32_t at, uint32_t right)
{
	uint64_t c = candidate(l, t, at, right);
	size_t i, up;

	if (c == UINT64_MAX)
		return;
	for (i = l->n++; i; i = up) {
		up = (i - 1) / 4;
		if (c >= l->heap[up])
			break;
		l->heap[i] = l->heap[up];
	}
	l->heap[i] = c;
}

/* Puts c at i or below it. */
static void
sink(struct list *l, size_t i, uint64_t c)
{
	size_t kid, k, least;

	for (; (kid = 4 * i + 1) < l->n; i = least) {
		size_t end = kid + 4 < l->n ? kid + 4 : l->n;

		for (least = kid, k = kid + 1; k < end; k++)
			least = l->heap[k] < l->heap[least] ? k : least;
		if (l->heap[least] >= c)
			break;
		l->heap[i] = l->heap[least];
	}
	l->heap[i] = c;
}

static uint64_t
take(struct list *l)
{
	uint64_t top = l->heap[0];

	l->n--;
	if (l->n)
		sink(l, 0, l->heap[l->n]);
	return top;
}

static void
merge_list(const struct gv_tokenizer *t, struct list *l, uint32_t n)
{
	uint32_t i;
	size_t k;

	for (i = 0; i < n; i++) {
		l->next[i] = i + 1;
		l->prev[i] = i - 1;
	}
	for (i = 0; i + 1 < n; i++) {
		l->heap[l->n] = candidate(l, t, i, i + 1);
		l->n += l->heap[l->n] != UINT64_MAX;
	}
	for (k = l->n / 4 + 1; k-- > 0;)
		if (k < l->n)
			sink(l, k, l->heap[k]);
	while (l->n) {
		uint64_t c = take(l);
		uint32_t rank = (uint32_t)(c >> 32), at = (uint32_t)c;
		uint32_t r = l->next[at];

		if (l->id[at] < 0 || r >= n ||
		    gv_token_rank(t, l->id[at], l->id[r]) != rank)
			continue;
		l->id[at] = t->merged[rank];
		l->id[r] = -1;
		l->next[at] = l->next[r];
		if (l->next[r] < n) {
			l->prev[l->next[r]] = at;
			offer(l, t, at, l->next[r]);
		}
		if (at)
			offer(l, t, l->prev[at], at);
	}
}

/* The ids of the bytes of a character, if the vocabulary has all of them;
 * false if not. */
static bool
fall_back(const struct gv_tokenizer *t, const char *s, size_t n, int32_t *id)
{
	size_t i;

	for (i = 0; t->byte_fallback && i < n; i++) {
		id[i] = t->byte_id[(unsigned char)s[i]];
		if (id[i] < 0)
			return false;
	}
	return t->byte_fallback;
}

/* The ids of single characters.  An unknown one is held back until a known one
 * follows, so bytes that were fallen back to overtake it, and those that are
 * held are one if the vocabulary fuses them: it is the reference that does so,
 * and models have learned from it. */
static size_t
ids_of_chars(const struct gv_tokenizer *t, const char *s, size_t n, int32_t *id)
{
	bool held = false;
	size_t k = 0, len;
	uint32_t c;

	for (; n; s += len, n -= len) {
		int32_t known;

		len = gv_utf8_next(s, n, &c);
		known = gv_token_find(t, s, len);
		if (known >= 0) {
			if (held)
				id[k++] = t->unk;
			held = false;
			id[k++] = known;
		} else if (fall_back(t, s, len, id + k)) {
			k += len;
		} else if (t->unk >= 0) {
			if (held && !t->fuse_unk)
				id[k++] = t->unk;
			held = true;
		}
	}
	if (held)
		id[k++] = t->unk;
	return k;
}

/* The ids of single bytes; one that the vocabulary lacks is left out, as
 * Hugging Face does (SmolLM's lacks control bytes).  Returns how many. */
static size_t
first_ids(const struct gv_tokenizer *t, const char *s, size_t n, int32_t *id)
{
	size_t i, k = 0;

	if (t->chars)
		return ids_of_chars(t, s, n, id);
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
		n = first_ids(t, s, n, l.id);
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

/* The ids of a piece of at most SHORT_PIECE bytes. */
static size_t
short_piece(const struct gv_tokenizer *t, const char *s, size_t n,
    int32_t id[SHORT_PIECE])
{
	int32_t whole = gv_token_find(t, s, n);

	if (whole >= 0 &&
	    (t->ignore_merges || t->tok[whole].flags & GV_TOK_WHOLE)) {
		id[0] = whole;
		return 1;
	}
	return merge_short(t, id, first_ids(t, s, n, id));
}

void
gv_token_mark_whole(struct gv_tokenizer *t)
{
	int32_t id[SHORT_PIECE], i;
	uint32_t k;

	for (k = 0; k <= t->by_mask; k++) {
		struct gv_tok *tok;
		size_t n;

		i = t->by_bytes[k];
		if (i < 0 || t->tok[i].len > SHORT_PIECE)
			continue;
		tok = &t->tok[i];
		n = merge_short(
		    t, id, first_ids(t, t->blob + tok->off, tok->len, id));
		if (n == 1 && id[0] == i)
			tok->flags |= GV_TOK_WHOLE;
	}
}

static inline int
room(struct gv_ids *out, size_t more, struct gv_error *e)
{
	void *p = out->id;

	if (out->cap - out->n >= more)
		return 0;
	if (gv_grow(&p, &out->cap, out->n + more, sizeof *out->id))
		return no_memory(e);
	out->id = p;
	return 0;
}

/* A piece that the cache doesn't know. */
static int
new_piece(const struct gv_tokenizer *t, const char *s, size_t n,
    const struct key *key, uint32_t tag, struct gv_ids *out, struct gv_error *e)
{
	int32_t id[SHORT_PIECE];
	size_t k;

	if (n > SHORT_PIECE) {
		if (!t->ignore_merges || n > GV_MAX_TOKEN ||
		    (id[0] = gv_token_find(t, s, n)) < 0)
			return merge_long(t, s, n, out, e);
		k = 1;
	} else {
		k = short_piece(t, s, n, id);
	}
	if (n <= PIECE_BYTES)
		remember(t->cache, tag, key, id, k);
	if (room(out, k, e))
		return e->code;
	memcpy(out->id + out->n, id, k * sizeof *id);
	out->n += k;
	return 0;
}

/* ---- from text to pieces ------------------------------------------------- */

/* Pieces are looked up by the batch, so that the memory of the cache's entries
 * is asked for well before it is read. */
#define BATCH 64

struct batch {
	size_t at[BATCH + 1]; /* piece i is s[at[i] .. at[i + 1]) */
	struct key key[BATCH];
	uint32_t tag[BATCH];
};

static int
encode_batch(const struct gv_tokenizer *t, const char *s, size_t n,
    struct batch *b, size_t pieces, struct gv_ids *out, struct gv_error *e)
{
	size_t i;

	for (i = 0; i < pieces; i++) {
		size_t at = b->at[i], bytes = b->at[i + 1] - at;

		if (bytes > PIECE_BYTES)
			continue;
		make_key(&b->key[i], s + at, bytes, n - at);
		b->tag[i] = tag_of(&b->key[i]);
		__builtin_prefetch(home(t->cache, b->tag[i]));
	}
	for (i = 0; i < pieces; i++) {
		size_t at = b->at[i], bytes = b->at[i + 1] - at;
		const struct entry *it = NULL;

		if (room(out, PIECE_IDS, e))
			return e->code;
		if (bytes <= PIECE_BYTES)
			it = recall(t->cache, b->tag[i], &b->key[i]);
		if (it) {
			/* all eight, since a fixed number is fast */
			memcpy(out->id + out->n, it->id, sizeof it->id);
			out->n += it->ids;
		} else if (new_piece(t, s + at, bytes, &b->key[i], b->tag[i],
			       out, e)) {
			return e->code;
		}
	}
	return 0;
}

int
gv_token_pieces(const struct gv_tokenizer *t, const char *s, size_t n,
    struct gv_ids *out, struct gv_error *e)
{
	struct gv_splitter w;
	struct batch b;
	int got;

	if (!n)
		return 0;
	if (!t->split) {
		b.at[0] = 0;
		b.at[1] = n;
		return encode_batch(t, s, n, &b, 1, out, e);
	}
	if (gv_splitter_open(&w, t->split, s, n, e))
		return e->code;
	while ((got = gv_splitter_fill(&w, b.at, BATCH, e)) > 0)
		if (encode_batch(t, s, n, &b, (size_t)got, out, e))
			break;
	gv_splitter_close(&w);
	return e->code;
}
