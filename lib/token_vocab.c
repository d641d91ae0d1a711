/* Reading tokenizer.json: the table of tokens. */
#include "token_impl.h"

#include "mem.h"
#include "banned.h"

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
	byte = t->chars && t->byte_fallback ? gv_token_byte(s, n) : -1;
	n = gv_token_spell(t, t->blob + t->blob_bytes, s, n, &flags);
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
			gv_scan_refuse(e);
			break;
		} else if (take_token(t, s, n, id, e)) {
			break;
		}
	gv_free(buf);
	if (!e->code && (!gv_scan_char(&p, end, '}') || p != end))
		gv_scan_refuse(e);
	return e->code;
}

/* <0x0A> and the like. */
static bool
is_byte(const struct gv_tokenizer *t, const struct gv_tok *k)
{
	return t->chars && t->byte_fallback && k->len == 1;
}

#define FEW_RAW 64

/* Tokens that no text leads to. */
struct raw {
	int32_t id[FEW_RAW];
	size_t n;
};

/* Notes one; false if one like it is there, or too many are. */
static bool
note_raw(const struct gv_tokenizer *t, struct raw *r, int32_t id)
{
	const struct gv_tok *k = &t->tok[id];
	size_t i;

	for (i = 0; i < r->n; i++) {
		const struct gv_tok *o = &t->tok[r->id[i]];

		if (o->len == k->len &&
		    !memcmp(t->blob + o->off, t->blob + k->off, k->len))
			return false;
	}
	if (r->n == FEW_RAW)
		return false;
	r->id[r->n++] = id;
	return true;
}

/* Enters all tokens that text can lead to.  Text that nobody has searched for
 * keys that occur twice yet isn't plain if one does, or if it has many tokens
 * of the other kind. */
static int
index_tokens(
    struct gv_tokenizer *t, size_t n, bool unsearched, struct gv_error *e)
{
	struct raw raw = {.n = 0};
	size_t bytes;
	int32_t id;

	t->by_mask = gv_table_size(n) - 1;
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
		if (unsearched && k->flags & GV_TOK_RAW && !is_byte(t, k) &&
		    !note_raw(t, &raw, id))
			return gv_scan_refuse(e);
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
		char s[1] = {(char)b};

		t->byte_id[b] = gv_token_find(t, s, 1);
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
