/* The compiled form of a vocabulary: its tables as they lie in memory.
 *
 * A file for this machine alone: a head, then the tables, each at a multiple of
 * 64 bytes.  It is mapped and used in place.  Its numbers are checked as if an
 * enemy had written them, so a bad file costs time and nothing else.
 */
#include "token_impl.h"

#include "crc.h"
#include "dir.h"
#include "mem.h"
#include "banned.h"

#include <time.h>

#define WORTH_BYTES ((int64_t)1 << 19) /* smaller files are parsed at once */
#define YOUNG_NS    2000000000LL /* the coarsest clock of a file system */

/* To be changed with the layout, or with what loading makes of a file. */
static const char magic[16] = "gv-tokenizer 8\n";

enum {
	TOK,
	BLOB,
	BY_BYTES,
	PAIR,
	SIEVE,
	MERGED,
	MADE,
	TRIE,
	ADDED,
	ADDED_TEXT,
	CUT,
	TABLES
};

struct head {
	char magic[16];
	uint32_t crc; /* of all that follows */
	uint32_t cut; /* is there a split pattern? */
	int64_t source[8]; /* struct gv_token_source: state */
	uint64_t bytes[TABLES];
	int32_t size;
	uint32_t by_mask, pair_mask, merges, nfc, ignore_merges;
	uint32_t chars, byte_fallback, fuse_unk, strip, prefix, by_rank, clip;
	int32_t unk;
	int32_t byte_id[256];
	char digest[GV_DIGEST + 7];
};
_Static_assert(sizeof(struct head) % 8 == 0, "no bytes between or behind");

/* An added token: its text is `len` bytes of ADDED_TEXT, in this order. */
struct added {
	int32_t id;
	uint32_t len, normal;
};

/* Of a whole file. */
static uint32_t
crc_of(const uint8_t *data, size_t n)
{
	size_t from = offsetof(struct head, cut);

	return gv_crc(0, data + from, n - from);
}

/* ---- checking ------------------------------------------------------------ */

/* A table of 2^k slots, k below 31. */
static bool
is_mask(uint32_t m)
{
	return m < 1u << 30 && !(m & (m + 1));
}

/* Do the tables fill the file, and have the sizes that the head says? */
static bool
sizes_fit(const struct head *h, size_t file)
{
	size_t at = gv_align(sizeof *h), i;

	for (i = 0; i < TABLES; i++) {
		if (h->bytes[i] > file)
			return false;
		at += gv_align(h->bytes[i]);
	}
	return at == file && h->size > 0 && h->size <= GV_MAX_IDS &&
	       is_mask(h->by_mask) && is_mask(h->pair_mask) &&
	       h->merges <= (uint32_t)GV_MAX_IDS &&
	       h->bytes[TOK] == (uint64_t)h->size * sizeof(struct gv_tok) &&
	       h->bytes[BLOB] <= UINT32_MAX &&
	       h->bytes[BY_BYTES] == ((uint64_t)h->by_mask + 1) * 4 &&
	       h->bytes[PAIR] == ((uint64_t)h->pair_mask + 1) * 8 &&
	       h->bytes[SIEVE] == GV_SIEVE_WORDS * sizeof(uint64_t) &&
	       h->bytes[MERGED] == (uint64_t)h->merges * 4 &&
	       (!h->bytes[MADE] ||
		   h->bytes[MADE] ==
		       (uint64_t)h->size * sizeof(struct gv_made)) &&
	       h->bytes[TRIE] % sizeof(uint64_t) == 0 &&
	       h->bytes[ADDED] % sizeof(struct added) == 0 &&
	       h->digest[GV_DIGEST - 1] == '\0' &&
	       strspn(h->digest, "0123456789abcdef") == GV_DIGEST - 1;
}

/* Are all ids, offsets and ranks within bounds, and has each hash table an
 * empty slot to end at?  Without branches, so that it takes no time. */
static bool
tables_fit(const struct gv_tokenizer *t)
{
	uint32_t size = (uint32_t)t->size, i, bad = 0, empty = 0, free = 0;

	for (i = 0; i < size; i++)
		bad |= t->tok[i].len > GV_MAX_TOKEN ||
		       (uint64_t)t->tok[i].off + t->tok[i].len > t->blob_bytes;
	for (i = 0; i <= t->by_mask; i++) {
		int32_t id = gv_by_bytes_id(t->by_bytes[i]);

		empty |= id < 0;
		bad |= id >= t->size;
	}
	for (i = 0; i <= t->pair_mask; i++) {
		uint64_t p = t->pair[i];

		free |= p == UINT64_MAX;
		bad |= p != UINT64_MAX && (p & 0xffffff) >= t->merges;
	}
	for (i = 0; i < t->merges; i++)
		bad |= (uint32_t)t->merged[i] >= size;
	for (i = 0; i < 256; i++)
		bad |= t->byte_id[i] != -1 && (uint32_t)t->byte_id[i] >= size;
	bad |= t->unk < -1 || t->unk >= t->size;
	return !bad && empty && free && (!t->made || gv_bpe_index_sound(t));
}

/* ---- opening ------------------------------------------------------------- */

static bool
take_added(struct gv_tokenizer *t, const struct added *a, size_t n,
    const char *text, size_t bytes)
{
	struct gv_error quiet = {0};
	bool fine = true;
	size_t i;

	for (i = 0; i < n && fine; text += a[i].len, bytes -= a[i++].len)
		fine = a[i].len && a[i].len <= bytes && a[i].id >= 0 &&
		       a[i].id < t->size &&
		       !gv_token_enter(a[i].normal ? &t->normal : &t->raw,
			   a[i].id, text, a[i].len, &quiet);
	gv_error_clear(&quiet);
	return fine;
}

/* The tables of the mapped file; t->map is set. */
static bool
take_tables(struct gv_tokenizer *t, const struct head *h)
{
	uint8_t *at = (uint8_t *)(uintptr_t)t->map.data;
	struct gv_error quiet = {0};
	void *table[TABLES];
	size_t i;
	bool fine;

	for (at += gv_align(sizeof *h), i = 0; i < TABLES; i++) {
		table[i] = at;
		at += gv_align(h->bytes[i]);
	}
	t->tok = table[TOK];
	t->blob = table[BLOB];
	t->by_bytes = table[BY_BYTES];
	t->pair = table[PAIR];
	t->sieve = table[SIEVE];
	t->merged = table[MERGED];
	t->made = h->bytes[MADE] ? table[MADE] : NULL;
	t->trie = table[TRIE];
	t->slots = h->bytes[TRIE] / sizeof *t->trie;
	t->size = h->size;
	t->blob_bytes = h->bytes[BLOB];
	t->by_mask = h->by_mask;
	t->pair_mask = h->pair_mask;
	t->merges = h->merges;
	t->nfc = h->nfc;
	t->ignore_merges = h->ignore_merges;
	t->chars = h->chars;
	t->byte_fallback = h->byte_fallback;
	t->fuse_unk = h->fuse_unk;
	t->strip = h->strip;
	t->prefix = (enum gv_prefix)h->prefix;
	t->by_rank = h->by_rank;
	t->clip = (enum gv_clip)h->clip;
	t->unk = h->unk;
	memcpy(t->byte_id, h->byte_id, sizeof t->byte_id);
	memcpy(t->digest, h->digest, sizeof t->digest);
	/* a pattern and its NUL lie before the file's end */
	fine =
	    tables_fit(t) &&
	    take_added(t, table[ADDED], h->bytes[ADDED] / sizeof(struct added),
		table[ADDED_TEXT], h->bytes[ADDED_TEXT]) &&
	    (!h->cut ||
		(h->bytes[CUT] && !((char *)table[CUT])[h->bytes[CUT] - 1] &&
		    !gv_split_open_chain(
			&t->split, table[CUT], h->bytes[CUT] - 1, &quiet)));
	gv_error_clear(&quiet);
	return fine;
}

bool
gv_token_image_open(struct gv_tokenizer *t, const struct gv_token_source *from)
{
	struct gv_error quiet = {0};
	struct head h;

	if (from->state[0] < WORTH_BYTES)
		return false;
	if (gv_map_open(&t->map, from->image, &quiet)) {
		memset(&t->map, 0, sizeof t->map);
		gv_error_clear(&quiet);
		return false;
	}
	if (t->map.size >= gv_align(sizeof h)) {
		memcpy(&h, t->map.data, sizeof h);
		if (!memcmp(h.magic, magic, sizeof magic) &&
		    !memcmp(h.source, from->state, sizeof h.source) &&
		    sizes_fit(&h, t->map.size) &&
		    h.crc == crc_of(t->map.data, t->map.size) &&
		    take_tables(t, &h))
			return true;
	}
	gv_token_clear(t);
	return false;
}

/* ---- saving -------------------------------------------------------------- */

/* The file under construction, in memory. */
struct image {
	uint8_t *data;
	size_t n, cap;
	struct head head;
};

static bool
put(struct image *m, int table, const void *data, size_t n)
{
	void *p = m->data;
	size_t to = gv_align(m->n + n);

	if (gv_grow(&p, &m->cap, to, 1))
		return false;
	m->data = p;
	if (n)
		memcpy(m->data + m->n, data, n);
	memset(m->data + m->n + n, 0, to - m->n - n);
	m->n = to;
	m->head.bytes[table] = n;
	return true;
}

/* In the order that gives the same sets again: the longer first of those that
 * start alike, so any will do. */
static bool
put_added(struct image *m, const struct gv_tokenizer *t)
{
	const struct gv_added *set[2] = {&t->raw, &t->normal};
	size_t n = t->raw.n + t->normal.n, text = 0, i, k, at = 0;
	struct added *a = gv_alloc(n, sizeof *a);
	char *s;
	bool fine = a != NULL;

	for (k = 0; k < 2; k++)
		for (i = 0; i < set[k]->n; i++)
			text += set[k]->item[i].len;
	s = gv_alloc(text, 1);
	for (n = text = k = 0; fine && s && k < 2; k++)
		for (i = 0; i < set[k]->n; i++, n++) {
			const struct gv_added_item *it = &set[k]->item[i];

			a[n] = (struct added){it->id, it->len, (uint32_t)k};
			memcpy(s + at, it->text, it->len);
			at += it->len;
		}
	fine = fine && s && put(m, ADDED, a, n * sizeof *a) &&
	       put(m, ADDED_TEXT, s, at);
	gv_free(a);
	gv_free(s);
	return fine;
}

/* Has it changed just now? */
static bool
too_young(const int64_t state[4])
{
	struct timespec now;
	int64_t ns;

	clock_gettime(CLOCK_REALTIME, &now);
	ns = (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
	return ns - state[2] < YOUNG_NS || ns - state[3] < YOUNG_NS;
}

static void
write_image(const char *path, struct image *m)
{
	struct gv_error quiet = {0};
	struct gv_out *o;

	if (!gv_out_open(&o, path, true, false, &quiet)) {
		if (gv_out_write(o, m->data, m->n, &quiet))
			gv_out_abort(&o);
		else
			(void)!gv_out_commit(&o, &quiet);
	}
	gv_error_clear(&quiet);
}

/* A superuser's write would pass where a directory is read-only.  A FIFO by
 * this name would wait for a reader. */
static bool
may_write(const char *path)
{
	char dir[GV_PATH_MAX + 300];
	struct stat st;

	if (!lstat(path, &st) && !S_ISREG(st.st_mode))
		return false;
	snprintf(dir, sizeof dir, "%s", path);
	*strrchr(dir, '/') = '\0';
	return !stat(*dir ? dir : "/", &st) && st.st_mode & 0222;
}

void
gv_token_image_save(
    const struct gv_tokenizer *t, const struct gv_token_source *from)
{
	struct image m = {0};
	size_t cut_bytes = 0;
	const char *cut =
	    t->split ? gv_split_patterns(t->split, &cut_bytes) : "";
	struct head *h = &m.head;

	if (from->state[0] < WORTH_BYTES || too_young(from->state) ||
	    (from->state[4] && too_young(from->state + 4)) ||
	    !may_write(from->image))
		return;
	memcpy(h->magic, magic, sizeof magic);
	memcpy(h->source, from->state, sizeof h->source);
	h->cut = t->split != NULL;
	h->size = t->size;
	h->by_mask = t->by_mask;
	h->pair_mask = t->pair_mask;
	h->merges = t->merges;
	h->nfc = t->nfc;
	h->ignore_merges = t->ignore_merges;
	h->chars = t->chars;
	h->byte_fallback = t->byte_fallback;
	h->fuse_unk = t->fuse_unk;
	h->strip = t->strip;
	h->prefix = (uint32_t)t->prefix;
	h->by_rank = t->by_rank;
	h->clip = (uint32_t)t->clip;
	h->unk = t->unk;
	memcpy(h->byte_id, t->byte_id, sizeof h->byte_id);
	memcpy(h->digest, t->digest, sizeof t->digest);
	if (put(&m, TOK, h,
		sizeof *h) && /* the head's room; the table follows */
	    put(&m, TOK, t->tok, (size_t)t->size * sizeof *t->tok) &&
	    put(&m, BLOB, t->blob, t->blob_bytes) &&
	    put(&m, BY_BYTES, t->by_bytes,
		((size_t)t->by_mask + 1) * sizeof *t->by_bytes) &&
	    put(&m, PAIR, t->pair,
		((size_t)t->pair_mask + 1) * sizeof *t->pair) &&
	    put(&m, SIEVE, t->sieve, GV_SIEVE_WORDS * sizeof *t->sieve) &&
	    put(&m, MERGED, t->merged, t->merges * sizeof *t->merged) &&
	    put(&m, MADE, t->made,
		t->made ? (size_t)t->size * sizeof *t->made : 0) &&
	    put(&m, TRIE, t->trie, t->slots * sizeof *t->trie) &&
	    put_added(&m, t) && put(&m, CUT, cut, cut_bytes + 1)) {
		memcpy(m.data, h, sizeof *h);
		h->crc = crc_of(m.data, m.n);
		memcpy(m.data, h, sizeof *h);
		write_image(from->image, &m);
	}
	gv_free(m.data);
}
