/* How a tokenizer.json prepares and cuts text, and decodes: its normaliser,
 * pre-tokeniser and decoder. */
#include "token_impl.h"

#include "mem.h"
#include "banned.h"

int
gv_token_nosup(struct gv_error *e, const char *what, const json_t *type)
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
	return gv_token_nosup(e, "normalizer", json_object_get(o, "type"));
}

/* SentencePiece's, as newer files have it. */
static int
load_metaspace(struct gv_tokenizer *t, const json_t *o, struct gv_error *e)
{
	const json_t *scheme = json_object_get(o, "prepend_scheme");

	if (!text_is(o, "replacement", MARK))
		return gv_token_nosup(e,
		    "pre-tokenizer 'Metaspace' with replacement",
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
		return gv_token_nosup(
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
		return gv_token_nosup(e, "pre-tokenizer 'Split' with behavior",
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
		return gv_token_nosup(
		    e, "pre-tokenizer", json_object_get(o, "type"));
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
	return gv_token_nosup(e, "pre-tokenizer", json_object_get(o, "type"));
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
		return absent(o)
			   ? 0
			   : gv_token_nosup(e, "pre-tokenizer behind marks",
				 json_object_get(o, "type"));
	if (absent(o))
		return gv_fail(e, GV_ERR_NOSUP,
		    "a vocabulary without pre-tokenizer is not supported");
	return load_cuts(t, o, e);
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
	return gv_token_nosup(e, "decoder", json_object_get(o, "type"));
}

int
gv_token_rules(struct gv_tokenizer *t, const json_t *o, struct gv_error *e)
{
	t->clip = gv_clip_json(o);
	if (t->clip) {
		if (gv_split_open(&t->split, gv_split_ends, e))
			return e->code;
	} else if (load_normalizer(t, json_object_get(o, "normalizer"), e) ||
		   load_pre_tokenizer(
		       t, json_object_get(o, "pre_tokenizer"), e)) {
		return e->code;
	}
	return load_decoder(t, json_object_get(o, "decoder"), e);
}
