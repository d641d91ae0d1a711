/* Encoding: from text to pieces, and from pieces to ids.
 *
 * Nearly all pieces of a text have been there before: a cache knows what they
 * gave.  The others are looked up and searched by bpe_match.c, or merged by
 * bpe_merge.c where that can't be.
 */
#include "token_impl.h"

#include "mem.h"
#include "banned.h"

#include <stdatomic.h>
#include <sys/mman.h>

/* ---- the cache ----------------------------------------------------------- */

/* A piece of at most 15 bytes, filled up with zeros, and its length. */
#define PIECE_BYTES ((size_t)15)
#define PIECE_IDS   4

struct key {
	uint64_t w[2];
};

/* The length is the last byte in memory. */
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define LAST(n) ((uint64_t)(n) << 56)
#else
#define LAST(n) ((uint64_t)(n))
#endif

/* A fixed table of half a cache line an entry, filled until it is full and
 * never changed.  `last` is the key's second word, or 0 (empty) or BUSY (being
 * written); its store releases the rest.  Threads share it without locks, and
 * what it answers doesn't depend on who came first.  id[0] has the number of
 * ids above its own bits, or 0 if they are in the table of wide entries. */
#define CACHE_BITS  20
#define CACHE_PROBE 8
#define BUSY        LAST(255)

struct entry {
	uint64_t first;
	_Atomic uint64_t last;
	uint32_t id[PIECE_IDS];
};
_Static_assert(sizeof(struct entry) == 32, "two entries are a cache line");
_Static_assert(
    GV_MAX_IDS <= 1 << GV_ID_BITS, "ids leave room for their number");

/* The same for pieces of up to 31 bytes, and for those of more ids: few, but
 * dear to make. */
#define WIDE_BYTES ((size_t)31)
#define WIDE_IDS   8
#define WIDE_BITS  16
#define WIDE_PROBE 4

struct wide_key {
	uint64_t w[4];
};

struct wide {
	uint64_t first[3];
	_Atomic uint64_t last;
	uint32_t id[WIDE_IDS];
};
_Static_assert(sizeof(struct wide) == 64, "an entry is a cache line");

/* Probes of the last slots go on behind them. */
struct gv_piece_cache {
	struct entry slot[((size_t)1 << CACHE_BITS) + CACHE_PROBE];
	struct wide wide[((size_t)1 << WIDE_BITS) + WIDE_PROBE];
};

#define LARGE_PAGE ((size_t)2 << 20)
#define CACHE_BYTES \
	((sizeof(struct gv_piece_cache) + LARGE_PAGE - 1) & ~(LARGE_PAGE - 1))

int
gv_piece_cache_open(struct gv_piece_cache **out, struct gv_error *e)
{
	char *p, *at, *end;

	/* zero pages, which cost nothing until they are used; large ones, since
	 * small ones miss more often in the TLB than in the caches */
	p = mmap(NULL, CACHE_BYTES + LARGE_PAGE, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p == MAP_FAILED)
		return gv_fail(e, GV_ERR_NOMEM, "out of memory");
	at = p + (-(uintptr_t)p & (LARGE_PAGE - 1));
	end = at + CACHE_BYTES;
	if (at > p)
		munmap(p, (size_t)(at - p));
	if (end < p + CACHE_BYTES + LARGE_PAGE)
		munmap(end, (size_t)(p + CACHE_BYTES + LARGE_PAGE - end));
	(void)madvise(at, CACHE_BYTES, MADV_HUGEPAGE); /* if there are any */
	*out = (struct gv_piece_cache *)(void *)at;
	return 0;
}

void
gv_piece_cache_close(struct gv_piece_cache **c)
{
	if (*c)
		munmap(*c, CACHE_BYTES);
	*c = NULL;
}

/* The key of n <= PIECE_BYTES bytes at s, behind which `room` bytes can be
 * read. */
static inline struct key
make_key(const char *s, size_t n, size_t room)
{
	static const uint8_t mask[PIECE_BYTES + 16] = {255, 255, 255, 255, 255,
	    255, 255, 255, 255, 255, 255, 255, 255, 255, 255};
	struct key k = {{0, 0}};
	uint64_t m[2];

	if (room >= sizeof k.w) {
		memcpy(k.w, s, sizeof k.w);
		memcpy(m, mask + PIECE_BYTES - n, sizeof m);
		k.w[0] &= m[0];
		k.w[1] &= m[1];
	} else {
		memcpy(k.w, s, n);
	}
	k.w[1] |= LAST(n);
	return k;
}

static inline struct entry *
home(struct gv_piece_cache *c, struct key k)
{
	uint64_t h = k.w[0] * 0x9e3779b97f4a7c15u ^
		     (k.w[1] ^ k.w[1] >> 29) * 0xff51afd7ed558ccdu;

	h = (h ^ h >> 32) * 0xc4ceb9fe1a85ec53u;
	return &c->slot[h >> (64 - CACHE_BITS)];
}

static inline const struct entry *
recall(const struct entry *it, struct key k)
{
	const struct entry *end = it + CACHE_PROBE;

	for (; it < end; it++) {
		uint64_t last =
		    atomic_load_explicit(&it->last, memory_order_acquire);

		if (last == k.w[1] && it->first == k.w[0])
			return it;
		if (!last)
			return NULL;
	}
	return NULL;
}

static void
remember(struct entry *it, struct key k, const int32_t *id, size_t ids)
{
	struct entry *end = it + CACHE_PROBE;
	size_t i;

	for (; it < end; it++) {
		uint64_t none = 0;

		if (!atomic_compare_exchange_strong(&it->last, &none, BUSY))
			continue;
		it->first = k.w[0];
		if (ids > PIECE_IDS)
			ids = 0;
		for (i = 0; i < ids; i++)
			it->id[i] = (uint32_t)id[i];
		it->id[0] |= (uint32_t)ids << GV_ID_BITS;
		atomic_store_explicit(&it->last, k.w[1], memory_order_release);
		return;
	}
}

/* ---- wide entries -------------------------------------------------------- */

static inline struct wide_key
make_wide_key(const char *s, size_t n)
{
	struct wide_key k = {{0, 0, 0, 0}};

	memcpy(k.w, s, n);
	k.w[3] |= LAST(n);
	return k;
}

static inline struct wide *
wide_home(struct gv_piece_cache *c, const struct wide_key *k)
{
	uint64_t h = 0;
	int i;

	for (i = 0; i < 4; i++)
		h = (h ^ k->w[i] ^ k->w[i] >> 29) * 0x9e3779b97f4a7c15u;
	return &c->wide[(h ^ h >> 32) * 0xc4ceb9fe1a85ec53u >>
			(64 - WIDE_BITS)];
}

static const struct wide *
recall_wide(const struct wide *it, const struct wide_key *k)
{
	const struct wide *end = it + WIDE_PROBE;

	for (; it < end; it++) {
		uint64_t last =
		    atomic_load_explicit(&it->last, memory_order_acquire);

		if (last == k->w[3] && !memcmp(it->first, k->w, 24))
			return it;
		if (!last)
			return NULL;
	}
	return NULL;
}

static void
remember_wide(
    struct wide *it, const struct wide_key *k, const int32_t *id, size_t ids)
{
	struct wide *end = it + WIDE_PROBE;
	size_t i;

	for (; it < end; it++) {
		uint64_t none = 0;

		if (!atomic_compare_exchange_strong(&it->last, &none, BUSY))
			continue;
		memcpy(it->first, k->w, sizeof it->first);
		for (i = 0; i < ids; i++)
			it->id[i] = (uint32_t)id[i];
		it->id[0] |= (uint32_t)ids << GV_ID_BITS;
		atomic_store_explicit(&it->last, k->w[3], memory_order_release);
		return;
	}
}

/* ---- pieces -------------------------------------------------------------- */

static int
encode_piece(const struct gv_tokenizer *t, const char *s, size_t n,
    struct gv_ids *out, struct gv_error *e)
{
	bool done = false;
	int32_t whole;

	if (t->ignore_merges && n <= GV_MAX_TOKEN &&
	    (whole = gv_token_find(t, s, n)) >= 0)
		return gv_ids_push(out, whole, e);
	if (t->made && gv_bpe_match(t, s, n, out, &done, e))
		return e->code;
	return done ? 0 : gv_bpe_merge(t, s, n, out, e);
}

/* The same for a piece that the table of entries has no room for. */
static int
encode_wide(const struct gv_tokenizer *t, const char *s, size_t n,
    struct gv_ids *out, struct gv_error *e)
{
	const uint32_t bits = (1 << GV_ID_BITS) - 1;
	const struct wide *it;
	struct wide_key k;
	struct wide *slot;
	size_t had = out->n, i;

	if (n > WIDE_BYTES)
		return encode_piece(t, s, n, out, e);
	k = make_wide_key(s, n);
	slot = wide_home(t->cache, &k);
	it = recall_wide(slot, &k);
	if (!it) {
		if (!encode_piece(t, s, n, out, e) && out->n - had <= WIDE_IDS)
			remember_wide(slot, &k, out->id + had, out->n - had);
		return e->code;
	}
	if (gv_ids_room(out, WIDE_IDS, e))
		return e->code;
	out->n += it->id[0] >> GV_ID_BITS;
	for (i = had; i < out->n; i++)
		out->id[i] = (int32_t)(it->id[i - had] & bits);
	return 0;
}

/* Pieces are looked up by the batch, so that the memory of the cache's entries
 * is asked for well before it is read. */
#define BATCH 64

struct batch {
	size_t at[BATCH + 1]; /* piece i is s[at[i] .. at[i + 1]) */
	struct key key[BATCH];
	struct entry *home[BATCH]; /* NULL: too long a piece */
};

static void
look_ahead(const struct gv_tokenizer *t, const char *s, size_t n,
    struct batch *b, size_t pieces)
{
	size_t i;

	for (i = 0; i < pieces; i++) {
		size_t at = b->at[i], bytes = b->at[i + 1] - at;

		b->home[i] = NULL;
		if (bytes > PIECE_BYTES)
			continue;
		b->key[i] = make_key(s + at, bytes, n - at);
		b->home[i] = home(t->cache, b->key[i]);
		__builtin_prefetch(b->home[i]);
	}
}

static int
encode_batch(const struct gv_tokenizer *t, const char *s, size_t n,
    struct batch *b, size_t pieces, struct gv_ids *out, struct gv_error *e)
{
	size_t i;

	look_ahead(t, s, n, b, pieces);
	if (gv_ids_room(out, pieces * PIECE_IDS, e))
		return e->code;
	for (i = 0; i < pieces; i++) {
		size_t at = b->at[i], bytes = b->at[i + 1] - at, had = out->n;
		const struct entry *it = NULL;

		if (b->home[i])
			it = recall(b->home[i], b->key[i]);
		if (it && it->id[0] >> GV_ID_BITS) {
			/* all four, since a fixed number is fast */
			memcpy(out->id + had, it->id, sizeof it->id);
			out->id[had] &= (1 << GV_ID_BITS) - 1;
			out->n += it->id[0] >> GV_ID_BITS;
			continue;
		}
		if ((it || !b->home[i]
			    ? encode_wide(t, s + at, bytes, out, e)
			    : encode_piece(t, s + at, bytes, out, e)) ||
		    gv_ids_room(out, (pieces - i) * PIECE_IDS, e))
			return e->code;
		if (b->home[i] && !it)
			remember(
			    b->home[i], b->key[i], out->id + had, out->n - had);
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
