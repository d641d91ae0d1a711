/* Reading tokenizer.json: added tokens, normaliser, cut. */
#include "token_impl.h"

#include "mem.h"
#include "utf8.h"
#include "banned.h"

/* ---- added tokens -------------------------------------------------------- */

static int
remember_added(struct gv_tokenizer *t, int32_t id, const char *s, size_t n,
    bool normalized, struct gv_error *e)
{
	char *norm = NULL;
	size_t len = n;
	int rc;

	if (!normalized)
		return gv_token_enter(&t->raw, id, s, n, e);
	/* a Metaspace pre-tokeniser comes behind the search for these */
	if ((!t->chars || t->prefix == GV_PREFIX_NORMAL) &&
	    gv_token_normal(t, s, n, &norm, &len, e))
		return e->code;
	rc = gv_token_enter(&t->normal, id, norm ? norm : s, len, e);
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
		if (gv_token_add(t, v, s, n, flags, e))
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

static bool
text_is(const json_t *o, const char *key, const char *want)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s && !strcmp(s, want);
}

#define MARK "\xe2\x96\x81" /* SentencePiece's blank */

/* {"type": "Replace", "pattern": {"String": from}, "content": to} */
static bool
replaces(const json_t *o, const char *from, const char *to)
{
	return type_is(o, "Replace") && text_is(o, "content", to) &&
	       text_is(json_object_get(o, "pattern"), "String", from);
}

/* Llama 2's: a mark in front, and marks for blanks. */
static bool
marks_blanks(const json_t *o)
{
	const json_t *list = json_object_get(o, "normalizers");
	const json_t *first = json_array_get(list, 0);

	return type_is(o, "Sequence") && json_array_size(list) == 2 &&
	       type_is(first, "Prepend") && text_is(first, "prepend", MARK) &&
	       replaces(json_array_get(list, 1), " ", MARK);
}

static int
load_normalizer(struct gv_tokenizer *t, const json_t *o, struct gv_error *e)
{
	const json_t *list = json_object_get(o, "normalizers");

	/* a list of one, or of none, says the same */
	if (type_is(o, "Sequence") && json_array_size(list) < 2)
		o = json_array_get(list, 0);
	t->nfc = type_is(o, "NFC");
	if (absent(o) || t->nfc)
		return 0;
	if (marks_blanks(o)) {
		t->chars = true;
		t->prefix = GV_PREFIX_NORMAL;
		return 0;
	}
	return nosup(e, "normalizer", json_object_get(o, "type"));
}

/* SentencePiece's, as newer files have it. */
static int
load_metaspace(struct gv_tokenizer *t, const json_t *o, struct gv_error *e)
{
	const json_t *scheme = json_object_get(o, "prepend_scheme");

	if (!text_is(o, "replacement", MARK))
		return nosup(e, "pre-tokenizer 'Metaspace' with replacement",
		    json_object_get(o, "replacement"));
	if (t->nfc || t->chars)
		return gv_fail(e, GV_ERR_NOSUP,
		    "pre-tokenizer 'Metaspace' behind a normalizer is not "
		    "supported");
	t->chars = true;
	if (absent(scheme) || text_is(o, "prepend_scheme", "always"))
		t->prefix = GV_PREFIX_ALWAYS;
	else if (text_is(o, "prepend_scheme", "first"))
		t->prefix = GV_PREFIX_FIRST;
	else if (!text_is(o, "prepend_scheme", "never"))
		return nosup(
		    e, "pre-tokenizer 'Metaspace' with prepend_scheme", scheme);
	if (json_is_false(json_object_get(o, "split")))
		return 0;
	return gv_split_open(&t->split, gv_split_blanks, e);
}

/* Patterns that cut one after the other, with a NUL between two. */
struct cuts {
	char *text;
	size_t n, cap;
};

static int
add_cut(struct cuts *c, const char *pattern, struct gv_error *e)
{
	size_t len = strlen(pattern) + 1;

	if (gv_room(&c->text, &c->cap, c->n + len, 1, e))
		return e->code;
	memcpy(c->text + c->n, pattern, len);
	c->n += len;
	return 0;
}

/* A text as a pattern that matches nothing else. */
static int
add_literal(struct cuts *c, const char *s, struct gv_error *e)
{
	char *p = gv_alloc(strlen(s) + 1, 2);
	size_t k = 0;

	if (!p)
		return gv_fail(e, GV_ERR_NOMEM, "out of memory");
	for (; *s; s++) {
		if (strchr("\\^$.|?*+()[]{}-#&~/ ", *s))
			p[k++] = '\\';
		p[k++] = *s;
	}
	(void)!add_cut(c, p, e);
	gv_free(p);
	return e->code;
}

static int
load_split(struct cuts *c, const json_t *o, struct gv_error *e)
{
	const json_t *p = json_object_get(o, "pattern");
	const char *re = json_string_value(json_object_get(p, "Regex"));
	const char *text = json_string_value(json_object_get(p, "String"));
	const char *how = json_string_value(json_object_get(o, "behavior"));

	if (!how || strcmp(how, "Isolated"))
		return nosup(e, "pre-tokenizer 'Split' with behavior",
		    json_object_get(o, "behavior"));
	if (json_is_true(json_object_get(o, "invert")))
		return gv_fail(e, GV_ERR_NOSUP,
		    "pre-tokenizer 'Split': 'invert' is not supported");
	if (re)
		return add_cut(c, re, e);
	if (text && *text)
		return add_literal(c, text, e);
	return gv_fail(e, GV_ERR_NOSUP,
	    "pre-tokenizer 'Split' without a pattern is not supported");
}

/* ByteLevel: GPT-2's pattern, unless it is to be left out. */
static int
load_byte_level(struct cuts *c, const json_t *o, struct gv_error *e)
{
	if (!type_is(o, "ByteLevel"))
		return nosup(e, "pre-tokenizer", json_object_get(o, "type"));
	if (json_is_true(json_object_get(o, "add_prefix_space")))
		return gv_fail(e, GV_ERR_NOSUP,
		    "pre-tokenizer 'ByteLevel': 'add_prefix_space' is not "
		    "supported");
	if (json_is_false(json_object_get(o, "use_regex")))
		return 0;
	return add_cut(c, gv_split_gpt2, e);
}

/* One of those that may stand before ByteLevel. */
static int
load_cut(struct cuts *c, const json_t *o, struct gv_error *e)
{
	const json_t *each = json_object_get(o, "individual_digits");

	if (type_is(o, "Digits"))
		return add_cut(c, json_is_true(each) ? "\\p{N}" : "\\p{N}+", e);
	if (type_is(o, "Split"))
		return load_split(c, o, e);
	return nosup(e, "pre-tokenizer", json_object_get(o, "type"));
}

static int
load_cuts(struct gv_tokenizer *t, const json_t *o, struct gv_error *e)
{
	const json_t *list = json_object_get(o, "pretokenizers");
	struct cuts c = {0};
	size_t n = json_array_size(list), i;

	if (!type_is(o, "Sequence"))
		(void)!load_byte_level(&c, o, e);
	else if (!n)
		gv_fail(e, GV_ERR_NOSUP,
		    "pre-tokenizer 'Sequence' of nothing is not supported");
	for (i = 0; i + 1 < n && !e->code; i++)
		(void)!load_cut(&c, json_array_get(list, i), e);
	if (n && !e->code)
		(void)!load_byte_level(&c, json_array_get(list, n - 1), e);
	if (!e->code && c.n)
		(void)!gv_split_open_chain(&t->split, c.text, c.n - 1, e);
	gv_free(c.text);
	return e->code;
}

static int
load_pre_tokenizer(struct gv_tokenizer *t, const json_t *o, struct gv_error *e)
{
	if (type_is(o, "Metaspace"))
		return load_metaspace(t, o, e);
	if (t->chars)
		return absent(o) ? 0
				 : nosup(e, "pre-tokenizer behind marks",
				       json_object_get(o, "type"));
	if (absent(o))
		return gv_fail(e, GV_ERR_NOSUP,
		    "a vocabulary without pre-tokenizer is not supported");
	return load_cuts(t, o, e);
}

/* How text is prepared and cut. */
static int
load_rules(struct gv_tokenizer *t, const json_t *o, struct gv_error *e)
{
	t->clip = gv_clip_json(o);
	if (t->clip)
		return gv_split_open(&t->split, gv_split_ends, e);
	if (load_normalizer(t, json_object_get(o, "normalizer"), e))
		return e->code;
	return load_pre_tokenizer(t, json_object_get(o, "pre_tokenizer"), e);
}

/* Replace, ByteFallback, Fuse, and Strip where a blank was put in front. */
static bool
decodes_marks(struct gv_tokenizer *t, const json_t *o)
{
	const json_t *list = json_object_get(o, "decoders");
	const json_t *last = json_array_get(list, 3);
	size_t n = json_array_size(list);

	t->strip = n == 4;
	return type_is(o, "Sequence") && (n == 3 || n == 4) &&
	       replaces(json_array_get(list, 0), MARK, " ") &&
	       type_is(json_array_get(list, 1), "ByteFallback") &&
	       type_is(json_array_get(list, 2), "Fuse") &&
	       (n == 3 ||
		   (type_is(last, "Strip") && text_is(last, "content", " ") &&
		       json_integer_value(json_object_get(last, "start")) ==
			   1 &&
		       json_integer_value(json_object_get(last, "stop")) == 0));
}

static int
load_decoder(struct gv_tokenizer *t, const json_t *o, struct gv_error *e)
{
	if (t->chars ? decodes_marks(t, o)
		     : absent(o) || type_is(o, "ByteLevel"))
		return 0;
	return nosup(e, "decoder", json_object_get(o, "type"));
}

static int
check_model(struct gv_tokenizer *t, const json_t *m, struct gv_error *e)
{
	/* CLIP's ends of words are known */
	static const char *const affix[] = {
	    "continuing_subword_prefix", "end_of_word_suffix"};
	size_t affixes = t->clip ? 1 : 2;
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
	t->ignore_merges = json_is_true(json_object_get(m, "ignore_merges"));
	t->byte_fallback = json_is_true(json_object_get(m, "byte_fallback"));
	t->fuse_unk = json_is_true(json_object_get(m, "fuse_unk"));
	if (t->byte_fallback && !t->chars)
		return gv_fail(
		    e, GV_ERR_NOSUP, "model: 'byte_fallback' is not supported");
	for (i = 0; i < affixes; i++) {
		const json_t *v = json_object_get(m, affix[i]);

		if (json_string_length(v))
			return gv_fail(e, GV_ERR_NOSUP,
			    "model: '%s' is not supported", affix[i]);
	}
	return 0;
}

/* May text be cut before each run of blanks?  Only where no merge joins
 * something to a blank behind it, and a blank is a token of its own. */
static bool
merges_keep_words(const struct gv_tokenizer *t)
{
	uint32_t i;

	for (i = 0; i < t->merges; i++) {
		int32_t a = (int32_t)(t->order[i] >> 44);
		int32_t b = (int32_t)(t->order[i] >> 24 & 0xfffff);
		const struct gv_tok *l = &t->tok[a], *r = &t->tok[b];

		if (t->blob[l->off + l->len - 1] != ' ' &&
		    t->blob[r->off] == ' ')
			return false;
	}
	return gv_token_find(t, " ", 1) >= 0;
}

/* What stands for what the vocabulary lacks; and the words of vocabularies of
 * characters. */
static int
load_unknown(struct gv_tokenizer *t, const json_t *m, struct gv_error *e)
{
	const char *unk = json_string_value(json_object_get(m, "unk_token"));
	size_t n;
	int32_t i;

	if (!t->chars) {
		/* where a byte is missing the reference would put this */
		for (i = 0; unk && i < 256; i++)
			if (t->byte_id[i] < 0)
				return gv_fail(e, GV_ERR_NOSUP,
				    "model: 'unk_token' of a vocabulary that "
				    "lacks bytes is not supported");
		return 0;
	}
	for (i = 0; unk && i < t->size && t->unk < 0; i++) {
		const char *s = gv_token_bytes(t, i, &n);

		if (s && n == strlen(unk) && !memcmp(s, unk, n))
			t->unk = i;
	}
	if (unk && t->unk < 0)
		return gv_fail(
		    e, GV_ERR_FORMAT, "model: 'unk_token' is no token");
	if (!t->split && merges_keep_words(t))
		return gv_split_open(&t->split, gv_split_words, e);
	return 0;
}

int
gv_token_load(struct gv_tokenizer *t, const json_t *o,
    const struct gv_token_text *x, struct gv_error *e)
{
	const json_t *m = json_object_get(o, "model");
	const json_t *added = json_object_get(o, "added_tokens");
	size_t i;

	t->unk = -1;
	if (!json_is_object(m))
		return gv_fail(e, GV_ERR_FORMAT, "it has no 'model'");
	if (load_rules(t, o, e) ||
	    load_decoder(t, json_object_get(o, "decoder"), e) ||
	    check_model(t, m, e) ||
	    gv_token_vocab(t, json_object_get(m, "vocab"), x, e) ||
	    gv_token_merges(t, json_object_get(m, "merges"), x, e) ||
	    load_unknown(t, m, e))
		return e->code;
	for (i = 0; i < json_array_size(added); i++)
		if (load_added(t, json_array_get(added, i), e))
			return e->code;
	return gv_bpe_index(t, e);
}
