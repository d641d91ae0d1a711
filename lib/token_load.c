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
	if (t->nfc && gv_nfc(s, n, &norm, &len, e))
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
gv_token_load(struct gv_tokenizer *t, const json_t *o,
    const struct gv_token_text *x, struct gv_error *e)
{
	const json_t *m = json_object_get(o, "model");
	const json_t *added = json_object_get(o, "added_tokens");
	const json_t *dec = json_object_get(o, "decoder");
	size_t i;

	gv_token_no_added(&t->raw);
	gv_token_no_added(&t->normal);
	if (!json_is_object(m))
		return gv_fail(e, GV_ERR_FORMAT, "it has no 'model'");
	if (!absent(dec) && !type_is(dec, "ByteLevel"))
		return nosup(e, "decoder", json_object_get(dec, "type"));
	t->ignore_merges = json_is_true(json_object_get(m, "ignore_merges"));
	if (check_model(m, e) ||
	    load_normalizer(t, json_object_get(o, "normalizer"), e) ||
	    load_pre_tokenizer(t, json_object_get(o, "pre_tokenizer"), e) ||
	    gv_token_vocab(t, json_object_get(m, "vocab"), x, e) ||
	    gv_token_merges(t, json_object_get(m, "merges"), x, e))
		return e->code;
	gv_token_mark_whole(t);
	for (i = 0; i < json_array_size(added); i++)
		if (load_added(t, json_array_get(added, i), e))
			return e->code;
	return 0;
}
