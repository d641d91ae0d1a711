/* Reading tokenizer.json: vocabulary, merges, added tokens, cut. */
#include "token_impl.h"

#include "mem.h"
#include "utf8.h"
#include "banned.h"

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

/* Writes the bytes that `n` bytes of alphabet spell to dst (room for n) and
 * returns how many.  A token with other characters stands for itself, and
 * *flags says that no text leads to it. */
static size_t
spell(char *dst, const char *s, size_t n, uint8_t *flags)
{
	size_t i = 0, k = 0;

	*flags = 0;

	while (i < n) {
		uint32_t c;
		int b;

		i += gv_utf8_next(s + i, n - i, &c);
		b = gv_char_to_byte(c);
		if (b < 0) {
			memcpy(dst, s, n);
			*flags = GV_TOK_RAW;
			return n;
		}
		dst[k++] = (char)b;
	}
	return k;
}

/* ---- ids ----------------------------------------------------------------- */

uint32_t
gv_token_hash(const char *s, size_t n)
{
	uint64_t h = 0x9e3779b97f4a7c15u ^ n, w;

	for (; n >= 8; s += 8, n -= 8) {
		memcpy(&w, s, 8);
		h = (h ^ w) * 0xff51afd7ed558ccdu;
		h ^= h >> 32;
	}
	w = 0;
	memcpy(&w, s, n);
	h = (h ^ w) * 0xff51afd7ed558ccdu;
	h ^= h >> 32;
	return (uint32_t)(h ^ h >> 29);
}

int32_t
gv_token_find(const struct gv_tokenizer *t, const char *s, size_t n)
{
	uint32_t i = gv_token_hash(s, n) & t->by_mask;

	for (; t->by_bytes[i] >= 0; i = (i + 1) & t->by_mask) {
		const struct gv_tok *k = &t->tok[t->by_bytes[i]];

		if (k->len == n && !memcmp(t->blob + k->off, s, n))
			return t->by_bytes[i];
	}
	return -1;
}

static int
no_memory(struct gv_error *e)
{
	return gv_fail(e, GV_ERR_NOMEM, "out of memory");
}

/* A power of two with room for n entries at a load of a half; 0 if absurd. */
static uint32_t
table_size(size_t n)
{
	uint32_t k = 16;

	while (k < 2 * n && k < 1u << 30)
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

static int
load_vocab(struct gv_tokenizer *t, json_t *vocab, struct gv_error *e)
{
	const char *key;
	json_t *v;
	size_t n = json_object_size(vocab), len;
	uint8_t flags;
	int32_t id;
	char q[64];

	if (!n || n > (size_t)GV_MAX_IDS)
		return gv_fail(e, GV_ERR_LIMIT,
		    "a vocabulary of %zu tokens is not supported", n);
	json_object_foreach(vocab, key, v)
	{
		len = strlen(key);
		if (!json_is_integer(v) || !len)
			return gv_fail(e, GV_ERR_FORMAT,
			    "vocab: the id of token '%s' is not a number",
			    gv_quote(q, sizeof q, key, len));
		if (blob_room(t, key, len, e))
			return e->code;
		len = spell(t->blob + t->blob_bytes, key, len, &flags);
		if (take_id(t, json_integer_value(v), len, flags, e))
			return e->code;
	}
	t->by_mask = table_size(n) - 1;
	t->by_bytes = gv_alloc((size_t)t->by_mask + 1, sizeof *t->by_bytes);
	if (!t->by_bytes)
		return no_memory(e);
	memset(
	    t->by_bytes, 0xff, ((size_t)t->by_mask + 1) * sizeof *t->by_bytes);
	for (id = 0; id < t->size; id++) {
		const struct gv_tok *k = &t->tok[id];
		uint32_t i;

		if (!k->flags || k->flags & GV_TOK_RAW)
			continue;
		i = gv_token_hash(t->blob + k->off, k->len) & t->by_mask;
		while (t->by_bytes[i] >= 0)
			i = (i + 1) & t->by_mask;
		t->by_bytes[i] = id;
	}
	return 0;
}

static void
find_bytes(struct gv_tokenizer *t)
{
	int b;

	for (b = 0; b < 256; b++) {
		char c = (char)b;

		t->byte_id[b] = gv_token_find(t, &c, 1);
	}
}

/* ---- merges -------------------------------------------------------------- */

static uint32_t
pair_hash(int32_t a, int32_t b)
{
	uint64_t h = (uint64_t)(uint32_t)a << 32 | (uint32_t)b;

	h *= 0x9e3779b97f4a7c15u;
	return (uint32_t)(h >> 32);
}

/* The slot of (a, b): its merge, or the empty one where it belongs. */
static uint32_t
merge_slot(const struct gv_tokenizer *t, int32_t a, int32_t b)
{
	uint32_t i = pair_hash(a, b) & t->merge_mask;

	while (
	    t->merge[i].id >= 0 && (t->merge[i].a != a || t->merge[i].b != b))
		i = (i + 1) & t->merge_mask;
	return i;
}

const struct gv_merge *
gv_token_merge(const struct gv_tokenizer *t, int32_t a, int32_t b)
{
	const struct gv_merge *m = &t->merge[merge_slot(t, a, b)];

	return m->id >= 0 ? m : NULL;
}

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

static int
load_merge(struct gv_tokenizer *t, const json_t *v, uint32_t rank, char *buf,
    struct gv_error *e)
{
	const char *side[2];
	size_t len[2], n[2];
	int32_t id[3];
	uint8_t flags;
	uint32_t slot;

	if (!sides(v, side, len))
		return gv_fail(
		    e, GV_ERR_FORMAT, "merge %u is not a pair of tokens", rank);
	if (len[0] > GV_MAX_TOKEN || len[1] > GV_MAX_TOKEN)
		return gv_fail(e, GV_ERR_LIMIT,
		    "merge %u is longer than %zu bytes", rank, GV_MAX_TOKEN);
	n[0] = spell(buf, side[0], len[0], &flags);
	n[1] = spell(buf + n[0], side[1], len[1], &flags);
	id[0] = gv_token_find(t, buf, n[0]);
	id[1] = gv_token_find(t, buf + n[0], n[1]);
	id[2] = gv_token_find(t, buf, n[0] + n[1]);
	if (id[0] < 0 || id[1] < 0 || id[2] < 0)
		return gv_fail(e, GV_ERR_FORMAT,
		    "merge %u uses a token that is not in the vocabulary",
		    rank);
	/* of two entries for one pair the later counts, as elsewhere */
	slot = merge_slot(t, id[0], id[1]);
	t->merge[slot].a = id[0];
	t->merge[slot].b = id[1];
	t->merge[slot].id = id[2];
	t->merge[slot].rank = rank;
	t->order[rank] = (int32_t)slot;
	return 0;
}

static int
load_merges(struct gv_tokenizer *t, const json_t *list, struct gv_error *e)
{
	size_t n = json_array_size(list), i;
	char *buf;
	int rc = 0;

	if (!json_is_array(list))
		return gv_fail(e, GV_ERR_FORMAT, "'merges' is not a list");
	if (n > (size_t)GV_MAX_IDS)
		return gv_fail(
		    e, GV_ERR_LIMIT, "%zu merges are not supported", n);
	t->merges = (uint32_t)n;
	t->merge_mask = table_size(n) - 1;
	t->merge = gv_alloc((size_t)t->merge_mask + 1, sizeof *t->merge);
	t->order = gv_alloc(n, sizeof *t->order);
	buf = gv_alloc(2 * GV_MAX_TOKEN, 1);
	if (!t->merge || !t->order || !buf) {
		gv_free(buf);
		return no_memory(e);
	}
	for (i = 0; i <= t->merge_mask; i++)
		t->merge[i].id = -1;
	for (i = 0; i < n && !rc; i++)
		rc =
		    load_merge(t, json_array_get(list, i), (uint32_t)i, buf, e);
	gv_free(buf);
	return rc;
}

/* ---- added tokens -------------------------------------------------------- */

static int
add_item(struct gv_added *set, int32_t id, const char *s, size_t n,
    struct gv_error *e)
{
	unsigned char c = (unsigned char)s[0];
	struct gv_added_item *it;
	int32_t *link;
	void *p = set->item;

	if (gv_grow(&p, &set->cap, set->n + 1, sizeof *set->item))
		return no_memory(e);
	set->item = p;
	it = &set->item[set->n];
	it->text = gv_strndup(s, n);
	if (!it->text)
		return no_memory(e);
	it->id = id;
	it->len = (uint32_t)n;
	if (set->first[c] < 0) {
		set->starts++;
		set->start = s[0];
	}
	link = &set->first[c];
	while (*link >= 0 && set->item[*link].len >= n)
		link = &set->item[*link].next;
	it->next = *link;
	*link = (int32_t)set->n++;
	return 0;
}

static int
remember_added(struct gv_tokenizer *t, int32_t id, const char *s, size_t n,
    bool normalized, struct gv_error *e)
{
	char *norm = NULL;
	size_t len = n;
	int rc;

	if (!normalized)
		return add_item(&t->raw, id, s, n, e);
	if (t->nfc && gv_nfc(s, n, &norm, &len, e))
		return e->code;
	rc = add_item(&t->normal, id, norm ? norm : s, len, e);
	gv_free(norm);
	return rc;
}

/* Only what changes the ids of text is looked at; spaces beside a token and
 * words around it are left alone by every byte-level vocabulary we know. */
static int
load_added(struct gv_tokenizer *t, const json_t *o, struct gv_error *e)
{
	static const char *const no[] = {"single_word", "lstrip", "rstrip"};
	const json_t *id = json_object_get(o, "id");
	const json_t *text = json_object_get(o, "content");
	bool special = json_is_true(json_object_get(o, "special"));
	const json_t *norm = json_object_get(o, "normalized");
	uint8_t flags = GV_TOK_ADDED | (special ? GV_TOK_SPECIAL : 0);
	const char *s = json_string_value(text);
	size_t n = json_string_length(text), i;
	int64_t v = json_integer_value(id);
	char q[64];

	if (!json_is_integer(id) || !s || !n)
		return gv_fail(
		    e, GV_ERR_FORMAT, "an added token lacks 'id' or 'content'");
	gv_quote(q, sizeof q, s, n);
	for (i = 0; i < sizeof no / sizeof *no; i++)
		if (json_is_true(json_object_get(o, no[i])))
			return gv_fail(e, GV_ERR_NOSUP,
			    "added token '%s': '%s' is not supported", q,
			    no[i]);
	if (v >= 0 && v < t->size && t->tok[v].flags) {
		const struct gv_tok *k = &t->tok[v];

		/* in the vocabulary as well: it must be the same token */
		if (k->flags & GV_TOK_ADDED || k->len != n ||
		    memcmp(t->blob + k->off, s, n))
			return gv_fail(e, GV_ERR_FORMAT,
			    "added token '%s' has the id of another token", q);
		t->tok[v].flags |= flags;
	} else {
		if (blob_room(t, s, n, e))
			return e->code;
		memcpy(t->blob + t->blob_bytes, s, n);
		if (take_id(t, v, n, flags, e))
			return e->code;
	}
	return remember_added(
	    t, (int32_t)v, s, n, norm ? json_is_true(norm) : !special, e);
}

/* ---- the rest ------------------------------------------------------------ */

static int
nosup(struct gv_error *e, const char *what, const json_t *type)
{
	const char *s = json_string_value(type);
	char q[64];

	return gv_fail(e, GV_ERR_NOSUP, "%s '%s' is not supported", what,
	    gv_quote(q, sizeof q, s ? s : "?", s ? strlen(s) : 1));
}

static bool
type_is(const json_t *o, const char *type)
{
	const char *s = json_string_value(json_object_get(o, "type"));

	return s && !strcmp(s, type);
}

static bool
absent(const json_t *v)
{
	return !v || json_is_null(v);
}

static int
load_normalizer(struct gv_tokenizer *t, const json_t *o, struct gv_error *e)
{
	t->nfc = type_is(o, "NFC");
	if (absent(o) || t->nfc)
		return 0;
	return nosup(e, "normalizer", json_object_get(o, "type"));
}

/* ByteLevel, alone with GPT-2's pattern or behind a Split. */
static int
load_byte_level(struct gv_tokenizer *t, const json_t *o, struct gv_error *e)
{
	const json_t *re = json_object_get(o, "use_regex");
	bool cut = !json_is_false(re);

	if (!type_is(o, "ByteLevel"))
		return nosup(e, "pre-tokenizer", json_object_get(o, "type"));
	if (json_is_true(json_object_get(o, "add_prefix_space")))
		return gv_fail(e, GV_ERR_NOSUP,
		    "pre-tokenizer 'ByteLevel': 'add_prefix_space' is not "
		    "supported");
	if (!cut)
		return 0;
	if (t->split)
		return gv_fail(e, GV_ERR_NOSUP,
		    "pre-tokenizer 'Sequence': two split patterns are not "
		    "supported");
	return gv_split_open(&t->split, gv_split_gpt2, e);
}

static int
load_split(struct gv_tokenizer *t, const json_t *o, struct gv_error *e)
{
	const json_t *p = json_object_get(o, "pattern");
	const json_t *re = json_object_get(p, "Regex");
	const char *how = json_string_value(json_object_get(o, "behavior"));

	if (!type_is(o, "Split"))
		return nosup(e, "pre-tokenizer", json_object_get(o, "type"));
	if (!json_is_string(re))
		return gv_fail(e, GV_ERR_NOSUP,
		    "pre-tokenizer 'Split' without a regular expression is "
		    "not supported");
	if (!how || strcmp(how, "Isolated"))
		return nosup(e, "pre-tokenizer 'Split' with behavior",
		    json_object_get(o, "behavior"));
	if (json_is_true(json_object_get(o, "invert")))
		return gv_fail(e, GV_ERR_NOSUP,
		    "pre-tokenizer 'Split': 'invert' is not supported");
	return gv_split_open(&t->split, json_string_value(re), e);
}

static int
load_pre_tokenizer(struct gv_tokenizer *t, const json_t *o, struct gv_error *e)
{
	const json_t *list = json_object_get(o, "pretokenizers");

	if (absent(o))
		return gv_fail(e, GV_ERR_NOSUP,
		    "a vocabulary without pre-tokenizer is not supported");
	if (!type_is(o, "Sequence"))
		return load_byte_level(t, o, e);
	if (json_array_size(list) != 2)
		return gv_fail(e, GV_ERR_NOSUP,
		    "pre-tokenizer 'Sequence' of %zu parts is not supported",
		    json_array_size(list));
	if (load_split(t, json_array_get(list, 0), e))
		return e->code;
	return load_byte_level(t, json_array_get(list, 1), e);
}

static int
check_model(const json_t *m, struct gv_error *e)
{
	static const char *const affix[] = {
	    "continuing_subword_prefix", "end_of_word_suffix"};
	const json_t *type = json_object_get(m, "type");
	size_t i;

	if (type && !type_is(m, "BPE"))
		return nosup(e, "model", type);
	if (!json_is_object(json_object_get(m, "vocab")) ||
	    !json_object_get(m, "merges"))
		return gv_fail(
		    e, GV_ERR_FORMAT, "'model' lacks 'vocab' or 'merges'");
	if (json_number_value(json_object_get(m, "dropout")) != 0)
		return gv_fail(
		    e, GV_ERR_NOSUP, "model: 'dropout' is not supported");
	if (json_is_true(json_object_get(m, "byte_fallback")))
		return gv_fail(
		    e, GV_ERR_NOSUP, "model: 'byte_fallback' is not supported");
	for (i = 0; i < 2; i++) {
		const json_t *v = json_object_get(m, affix[i]);

		if (json_string_length(v))
			return gv_fail(e, GV_ERR_NOSUP,
			    "model: '%s' is not supported", affix[i]);
	}
	return 0;
}

int
gv_token_load(struct gv_tokenizer *t, const json_t *o, struct gv_error *e)
{
	const json_t *m = json_object_get(o, "model");
	const json_t *added = json_object_get(o, "added_tokens");
	const json_t *dec = json_object_get(o, "decoder");
	size_t i;

	memset(t->raw.first, 0xff, sizeof t->raw.first);
	memset(t->normal.first, 0xff, sizeof t->normal.first);
	if (!json_is_object(m))
		return gv_fail(e, GV_ERR_FORMAT, "it has no 'model'");
	if (!absent(dec) && !type_is(dec, "ByteLevel"))
		return nosup(e, "decoder", json_object_get(dec, "type"));
	t->ignore_merges = json_is_true(json_object_get(m, "ignore_merges"));
	if (check_model(m, e) ||
	    load_normalizer(t, json_object_get(o, "normalizer"), e) ||
	    load_pre_tokenizer(t, json_object_get(o, "pre_tokenizer"), e) ||
	    load_vocab(t, json_object_get(m, "vocab"), e) ||
	    load_merges(t, json_object_get(m, "merges"), e))
		return e->code;
	find_bytes(t);
	for (i = 0; i < json_array_size(added); i++)
		if (load_added(t, json_array_get(added, i), e))
			return e->code;
	return 0;
}
