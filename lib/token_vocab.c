/* Reading tokenizer.json: the tables of tokens and merges. */
#include "token_impl.h"

#include "mem.h"
#include "utf8.h"
#include "banned.h"

#define MAX_PAIRS ((size_t)1 << 26)

/* ---- the byte alphabet --------------------------------------------------- */

static bool
printable(uint32_t b)
{
	return (b >= 0x21 && b <= 0x7e) || (b >= 0xa1 && b <= 0xac) ||
	       (b >= 0xae && b <= 0xff);
}

/* The others follow U+00FF in their order: 00-20, 7f-a0, ad. */
uint32_t
gv_byte_to_char(uint8_t b)
{
	if (printable(b))
		return b;
	if (b <= 0x20)
		return 0x100u + b;
	return b == 0xad ? 0x143 : 0x121u + (b - 0x7fu);
}

int
gv_char_to_byte(uint32_t c)
{
	if (c < 0x100)
		return printable(c) ? (int)c : -1;
	if (c <= 0x120)
		return (int)(c - 0x100);
	if (c <= 0x142)
		return (int)(c - 0x121 + 0x7f);
	return c == 0x143 ? 0xad : -1;
}

/* <0x0A>: the byte, or -1. */
static int
byte_token(const char *s, size_t n)
{
	static const char hex[] = "0123456789ABCDEF";
	const char *hi, *lo;

	if (n != 6 || memcmp(s, "<0x", 3) || s[5] != '>' || !s[3] || !s[4])
		return -1;
	hi = strchr(hex, s[3]);
	lo = strchr(hex, s[4]);
	return hi && lo ? (int)(hi - hex) << 4 | (int)(lo - hex) : -1;
}

/* A token of characters: U+2581 is a blank.  Text leads to none with a true
 * blank, and to bytes only by falling back. */
static size_t
spell_chars(const struct gv_tokenizer *t, char *dst, const char *s, size_t n,
    uint8_t *flags)
{
	int byte = t->byte_fallback ? byte_token(s, n) : -1;
	size_t i, k = 0;

	*flags = memchr(s, ' ', n) ? GV_TOK_RAW : 0;
	if (byte >= 0) {
		*flags = GV_TOK_RAW;
		*dst = (char)byte;
		return 1;
	}
	for (i = 0; i < n; k++) {
		if (n - i >= 3 && !memcmp(s + i, "\xe2\x96\x81", 3)) {
			dst[k] = ' ';
			i += 3;
		} else {
			dst[k] = s[i++];
		}
	}
	return k;
}

#define WORD_END "</w>" /* a blank here */

/* Writes the bytes that `n` bytes of alphabet spell to dst (room for n) and
 * returns how many.  A token with other characters stands for itself, and
 * *flags says that no text leads to it. */
static size_t
spell(const struct gv_tokenizer *t, char *dst, const char *s, size_t n,
    uint8_t *flags)
{
	size_t i = 0, k = 0, end = n;

	if (t->chars)
		return spell_chars(t, dst, s, n, flags);
	*flags = 0;
	if (t->clip && n > 4 && !memcmp(s + n - 4, WORD_END, 4))
		end -= 4;
	while (i < end) {
		uint32_t c = (unsigned char)s[i];
		int b;

		/* ASCII stands for itself, or for nothing */
		i += c < 0x80 ? 1 : gv_utf8_next(s + i, end - i, &c);
		b = gv_char_to_byte(c);
		if (b < 0) {
			memcpy(dst, s, n);
			*flags = GV_TOK_RAW;
			return n;
		}
		dst[k++] = (char)b;
	}
	if (end < n)
		dst[k++] = ' ';
	return k;
}

/* ---- ids ----------------------------------------------------------------- */

/* The last bytes, at most 7, as a number. */
static inline uint64_t
few_bytes(const char *s, size_t n)
{
	uint32_t a = 0, b = 0;

	if (n >= 4) {
		memcpy(&a, s, 4);
		memcpy(&b, s + n - 4, 4);
		return (uint64_t)a << 32 | b;
	}
	if (!n)
		return 0;
	return (uint64_t)(uint8_t)s[0] << 16 |
	       (uint64_t)(uint8_t)s[n / 2] << 8 | (uint8_t)s[n - 1];
}

uint32_t
gv_token_hash(const char *s, size_t n)
{
	uint64_t h = 0x9e3779b97f4a7c15u ^ n, w;

	for (; n >= 8; s += 8, n -= 8) {
		memcpy(&w, s, 8);
		h = (h ^ w) * 0xff51afd7ed558ccdu;
		h ^= h >> 32;
	}
	h = (h ^ few_bytes(s, n)) * 0xff51afd7ed558ccdu;
	h ^= h >> 32;
	return (uint32_t)(h ^ h >> 29);
}

/* The slot of by_bytes with the token of these bytes, or an empty one. */
static uint32_t
find_slot(const struct gv_tokenizer *t, const char *s, size_t n, uint32_t hash)
{
	uint32_t i = hash & t->by_mask;
	int32_t tag = gv_by_bytes_tag(hash), slot;

	for (; (slot = t->by_bytes[i]) >= 0; i = (i + 1) & t->by_mask) {
		const struct gv_tok *k = &t->tok[gv_by_bytes_id(slot)];

		if ((slot ^ tag) >> GV_ID_BITS)
			continue;
		if (k->len == n && !memcmp(t->blob + k->off, s, n))
			break;
	}
	return i;
}

int32_t
gv_token_find(const struct gv_tokenizer *t, const char *s, size_t n)
{
	uint32_t i = find_slot(t, s, n, gv_token_hash(s, n));

	return gv_by_bytes_id(t->by_bytes[i]);
}

static int
no_memory(struct gv_error *e)
{
	return gv_fail(e, GV_ERR_NOMEM, "out of memory");
}

/* A power of two with room for n entries at a load of two thirds. */
static uint32_t
table_size(size_t n)
{
	uint32_t k = 16;

	while (k < n + n / 2 && k < 1u << 30)
		k *= 2;
	return k;
}

/* Gives id `id` these bytes, which must lie in the blob's free room: the
 * caller wrote them at blob + blob_bytes. */
static int
take_id(struct gv_tokenizer *t, int64_t id, size_t n, uint8_t flags,
    struct gv_error *e)
{
	size_t cap = (size_t)t->tok_cap;
	void *p = t->tok;

	if (id < 0 || id >= GV_MAX_IDS)
		return gv_fail(e, GV_ERR_LIMIT,
		    "token id %lld is not between 0 and %d", (long long)id,
		    GV_MAX_IDS - 1);
	if (gv_grow(&p, &cap, (size_t)id + 1, sizeof *t->tok))
		return no_memory(e);
	t->tok = p;
	if (cap > (size_t)t->tok_cap)
		memset(t->tok + t->tok_cap, 0,
		    (cap - (size_t)t->tok_cap) * sizeof *t->tok);
	t->tok_cap = (int32_t)cap;
	if (t->tok[id].flags & GV_TOK_PRESENT)
		return gv_fail(e, GV_ERR_FORMAT,
		    "token id %lld stands for two tokens", (long long)id);
	t->tok[id].off = (uint32_t)t->blob_bytes;
	t->tok[id].len = (uint32_t)n;
	t->tok[id].flags = flags | GV_TOK_PRESENT;
	t->blob_bytes += n;
	if (id >= t->size)
		t->size = (int32_t)id + 1;
	return 0;
}

/* Makes room for n bytes more in the blob. */
static int
blob_room(struct gv_tokenizer *t, const char *s, size_t n, struct gv_error *e)
{
	void *p = t->blob;
	char q[64];

	if (n > GV_MAX_TOKEN)
		return gv_fail(e, GV_ERR_LIMIT,
		    "token '%s' is longer than %zu bytes",
		    gv_quote(q, sizeof q, s, n), GV_MAX_TOKEN);
	if (t->blob_bytes + n > UINT32_MAX ||
	    gv_grow(&p, &t->blob_cap, t->blob_bytes + n, 1))
		return no_memory(e);
	t->blob = p;
	return 0;
}

int
gv_token_add(struct gv_tokenizer *t, int64_t id, const char *s, size_t n,
    uint8_t flags, struct gv_error *e)
{
	if (blob_room(t, s, n, e))
		return e->code;
	memcpy(t->blob + t->blob_bytes, s, n);
	return take_id(t, id, n, flags, e);
}

/* A token of the model, spelled in the byte alphabet. */
static int
take_token(struct gv_tokenizer *t, const char *s, size_t n, int64_t id,
    struct gv_error *e)
{
	uint8_t flags;
	int byte;

	if (blob_room(t, s, n, e))
		return e->code;
	byte = t->chars && t->byte_fallback ? byte_token(s, n) : -1;
	n = spell(t, t->blob + t->blob_bytes, s, n, &flags);
	if (take_id(t, id, n, flags, e))
		return e->code;
	if (byte >= 0 && t->byte_id[byte] >= 0)
		return gv_fail(e, GV_ERR_FORMAT,
		    "the token of byte 0x%02X is there twice", (unsigned)byte);
	if (byte >= 0)
		t->byte_id[byte] = (int32_t)id;
	return 0;
}

static int
from_json(struct gv_tokenizer *t, json_t *vocab, struct gv_error *e)
{
	const char *key;
	json_t *v;
	char q[64];

	json_object_foreach(vocab, key, v)
	{
		size_t n = strlen(key);

		if (!n)
			return gv_fail(
			    e, GV_ERR_FORMAT, "vocab: a token without bytes");
		if (!json_is_integer(v))
			return gv_fail(e, GV_ERR_FORMAT,
			    "vocab: the id of token '%s' is not a number",
			    gv_quote(q, sizeof q, key, n));
		if (take_token(t, key, n, json_integer_value(v), e))
			return e->code;
	}
	return 0;
}

/* What the text parser doesn't take the tree parser judges: any error will do.
 */
static int
not_plain(struct gv_error *e)
{
	return gv_fail(e, GV_ERR_FORMAT, "not plain");
}

static int
from_text(struct gv_tokenizer *t, const struct gv_token_text *x, size_t *tokens,
    struct gv_error *e)
{
	const char *p = x->vocab, *end = p + x->vocab_bytes, *s;
	char *buf = gv_alloc(GV_MAX_TOKEN, 1);
	int64_t id;
	size_t n;

	*tokens = 0;
	if (!buf)
		return no_memory(e);
	for (; gv_scan_char(&p, end, *tokens ? ',' : '{'); ++*tokens)
		if (!gv_scan_string(&p, end, buf, &s, &n) || !n ||
		    !gv_scan_char(&p, end, ':') ||
		    !gv_scan_number(&p, end, &id)) {
			not_plain(e);
			break;
		} else if (take_token(t, s, n, id, e)) {
			break;
		}
	gv_free(buf);
	if (!e->code && (!gv_scan_char(&p, end, '}') || p != end))
		not_plain(e);
	return e->code;
}

/* <0x0A> and the like. */
static bool
is_byte(const struct gv_tokenizer *t, const struct gv_tok *k)
{
	return t->chars && t->byte_fallback && k->len == 1;
}

/* Enters all tokens that text can lead to.  Of text, which nobody has searched
 * for keys that occur twice yet, these and the others aren't plain. */
static int
index_tokens(
    struct gv_tokenizer *t, size_t n, bool unsearched, struct gv_error *e)
{
	size_t bytes;
	int32_t id;

	t->by_mask = table_size(n) - 1;
	bytes = ((size_t)t->by_mask + 1) * sizeof *t->by_bytes;
	t->by_bytes = gv_alloc(bytes, 1);
	if (!t->by_bytes)
		return no_memory(e);
	memset(t->by_bytes, 0xff, bytes);
	for (id = 0; id < t->size; id++) {
		const struct gv_tok *k = &t->tok[id];
		const char *s = t->blob + k->off;
		uint32_t hash, i;

		if (!k->flags)
			continue;
		if (unsearched && k->flags & GV_TOK_RAW && !is_byte(t, k))
			return not_plain(e);
		if (k->flags & GV_TOK_RAW)
			continue;
		hash = gv_token_hash(s, k->len);
		i = find_slot(t, s, k->len, hash);
		if (unsearched && t->by_bytes[i] >= 0)
			return gv_fail(e, GV_ERR_FORMAT,
			    "token id %d is the same as another", (int)id);
		if (t->by_bytes[i] < 0)
			t->by_bytes[i] = gv_by_bytes_tag(hash) | id;
	}
	return 0;
}

/* The tokens of single bytes: found as text, or noted by take_token(). */
static void
find_bytes(struct gv_tokenizer *t)
{
	int b;

	for (b = 0; b < 256 && !t->chars; b++) {
		char c = (char)b;

		t->byte_id[b] = gv_token_find(t, &c, 1);
	}
}

int
gv_token_index(struct gv_tokenizer *t, struct gv_error *e)
{
	int b;

	if (!t->size)
		return gv_fail(
		    e, GV_ERR_FORMAT, "there are no tokens in the file");
	memset(t->byte_id, 0xff, sizeof t->byte_id);
	if (index_tokens(t, (size_t)t->size, true, e))
		return e->code;
	find_bytes(t);
	for (b = 0; b < 256; b++)
		if (t->byte_id[b] < 0)
			return gv_fail(e, GV_ERR_FORMAT,
			    "byte 0x%02x has no token", (unsigned)b);
	return 0;
}

int
gv_token_vocab(struct gv_tokenizer *t, json_t *vocab,
    const struct gv_token_text *x, struct gv_error *e)
{
	size_t n = json_object_size(vocab);

	memset(t->byte_id, 0xff, sizeof t->byte_id);
	if (x ? from_text(t, x, &n, e) : from_json(t, vocab, e))
		return e->code;
	if (!n || n > (size_t)GV_MAX_IDS)
		return gv_fail(e, GV_ERR_LIMIT,
		    "a vocabulary of %zu tokens is not supported", n);
	if (index_tokens(t, n, x != NULL, e))
		return e->code;
	find_bytes(t);
	return 0;
}

/* ---- merges -------------------------------------------------------------- */

/* The two sides of an entry: ["a", "b"], or "a b". */
static bool
sides(const json_t *v, const char *side[2], size_t len[2])
{
	const char *gap;
	int i;

	if (json_is_string(v)) {
		side[0] = json_string_value(v);
		gap = strchr(side[0], ' ');
		if (!gap || strchr(gap + 1, ' '))
			return false;
		side[1] = gap + 1;
		len[0] = (size_t)(gap - side[0]);
		len[1] = strlen(side[1]);
		return true;
	}
	if (json_array_size(v) != 2)
		return false;
	for (i = 0; i < 2; i++) {
		const json_t *s = json_array_get(v, (size_t)i);

		if (!json_is_string(s))
			return false;
		side[i] = json_string_value(s);
		len[i] = json_string_length(s);
	}
	return true;
}

/* A list under construction. */
struct merges {
	size_t n, cap;
	char *buf; /* room for two tokens */
};

/* The pair id[0], id[1] becomes id[2]. */
static int
put_merge(struct gv_tokenizer *t, struct merges *m, const int32_t id[3],
    struct gv_error *e)
{
	if (m->n >= (size_t)GV_MAX_IDS)
		return gv_fail(
		    e, GV_ERR_LIMIT, "%zu merges are not supported", m->n + 1);
	if (gv_room(&t->merged, &m->cap, m->n + 1, sizeof *t->merged, e))
		return e->code;
	t->merged[m->n] = id[2];
	return gv_token_pair(t, id[0], id[1], (uint32_t)m->n++, e);
}

static int
take_merge(struct gv_tokenizer *t, struct merges *m, const char *const side[2],
    const size_t len[2], struct gv_error *e)
{
	size_t n[2];
	int32_t id[3];
	uint8_t flags;

	if (len[0] > GV_MAX_TOKEN || len[1] > GV_MAX_TOKEN)
		return gv_fail(e, GV_ERR_LIMIT,
		    "merge %zu is longer than %zu bytes", m->n, GV_MAX_TOKEN);
	n[0] = spell(t, m->buf, side[0], len[0], &flags);
	n[1] = spell(t, m->buf + n[0], side[1], len[1], &flags);
	id[0] = gv_token_find(t, m->buf, n[0]);
	id[1] = gv_token_find(t, m->buf + n[0], n[1]);
	id[2] = gv_token_find(t, m->buf, n[0] + n[1]);
	if (id[0] < 0 || id[1] < 0 || id[2] < 0)
		return gv_fail(e, GV_ERR_FORMAT,
		    "merge %zu uses a token that is not in the vocabulary",
		    m->n);
	return put_merge(t, m, id, e);
}

/* CLIP's first: a byte and the blank behind a word. */
static int
merge_ends(struct gv_tokenizer *t, struct merges *m, struct gv_error *e)
{
	char s[2] = {0, ' '};
	int32_t id[3];
	int b;

	id[1] = t->byte_id[' '];
	for (b = 0; b < 256; b++) {
		s[0] = (char)b;
		id[0] = t->byte_id[b];
		id[2] = gv_token_find(t, s, 2);
		if (id[0] < 0 || id[2] < 0)
			return gv_fail(e, GV_ERR_NOSUP,
			    "a vocabulary with " WORD_END " that lacks bytes "
			    "is not supported");
		if (b != ' ' && put_merge(t, m, id, e))
			return e->code;
	}
	return 0;
}

static int
merges_from_json(struct gv_tokenizer *t, const json_t *list, struct merges *m,
    struct gv_error *e)
{
	const char *side[2];
	const json_t *v;
	size_t len[2], i;

	if (!json_is_array(list))
		return gv_fail(e, GV_ERR_FORMAT, "'merges' is not a list");
	json_array_foreach(list, i, v)
	{
		if (!sides(v, side, len))
			return gv_fail(e, GV_ERR_FORMAT,
			    "merge %zu is not a pair of tokens", i);
		if (take_merge(t, m, side, len, e))
			return e->code;
	}
	return 0;
}

/* "a b": where one blank, and only one, divides it. */
static bool
halves(const char *s, size_t n, const char *side[2], size_t len[2])
{
	const char *gap = memchr(s, ' ', n);

	if (!gap)
		return false;
	side[0] = s;
	len[0] = (size_t)(gap - s);
	side[1] = gap + 1;
	len[1] = n - len[0] - 1;
	return !memchr(side[1], ' ', len[1]);
}

static int
merges_from_text(struct gv_tokenizer *t, const struct gv_token_text *x,
    struct merges *m, struct gv_error *e)
{
	const char *p = x->merges, *end = p + x->merges_bytes, *s, *side[2];
	char *buf = gv_alloc(2, GV_MAX_TOKEN);
	size_t n, len[2];
	bool fine, first = true;

	if (!buf)
		return no_memory(e);
	for (; !e->code && gv_scan_char(&p, end, first ? '[' : ',');
	     first = false) {
		if (gv_scan_char(&p, end, '['))
			fine =
			    gv_scan_string(&p, end, buf, &side[0], &len[0]) &&
			    gv_scan_char(&p, end, ',') &&
			    gv_scan_string(&p, end, buf + GV_MAX_TOKEN,
				&side[1], &len[1]) &&
			    gv_scan_char(&p, end, ']');
		else
			fine = gv_scan_string(&p, end, buf, &s, &n) &&
			       halves(s, n, side, len);
		if (fine)
			(void)!take_merge(t, m, side, len, e);
		else
			not_plain(e);
	}
	gv_free(buf);
	if (!e->code && (!gv_scan_char(&p, end, ']') || p != end))
		not_plain(e);
	return e->code;
}

int
gv_token_pair(struct gv_tokenizer *t, int32_t a, int32_t b, uint32_t rank,
    struct gv_error *e)
{
	if (gv_room(
		&t->order, &t->order_cap, t->orders + 1, sizeof *t->order, e))
		return e->code;
	t->order[t->orders++] = gv_pair_key(a, b) << 24 | rank;
	return 0;
}

/* Of two merges of one pair the later counts, as elsewhere. */
int
gv_token_index_pairs(struct gv_tokenizer *t, struct gv_error *e)
{
	size_t bytes, k;

	if (t->orders > MAX_PAIRS)
		return gv_fail(
		    e, GV_ERR_LIMIT, "%zu pairs are not supported", t->orders);
	t->pair_mask = table_size(t->orders) - 1;
	bytes = ((size_t)t->pair_mask + 1) * sizeof *t->pair;
	t->pair = gv_alloc(bytes, 1);
	if (!t->pair)
		return no_memory(e);
	memset(t->pair, 0xff, bytes);
	for (k = 0; k < t->orders; k++) {
		uint64_t key = t->order[k] >> 24;
		uint32_t i = gv_pair_hash(key) & t->pair_mask;

		while (t->pair[i] != UINT64_MAX && t->pair[i] >> 24 != key)
			i = (i + 1) & t->pair_mask;
		t->pair[i] = t->order[k];
	}
	return 0;
}

int
gv_token_merges(struct gv_tokenizer *t, const json_t *list,
    const struct gv_token_text *x, struct gv_error *e)
{
	struct merges m = {.buf = gv_alloc(2, GV_MAX_TOKEN)};

	if (!m.buf)
		return no_memory(e);
	if (t->clip)
		(void)!merge_ends(t, &m, e);
	if (!e->code && !(x ? merges_from_text(t, x, &m, e)
			    : merges_from_json(t, list, &m, e))) {
		t->merges = (uint32_t)m.n;
		(void)!gv_token_index_pairs(t, e);
	}
	gv_free(m.buf);
	return e->code;
}
