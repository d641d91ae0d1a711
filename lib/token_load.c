/* Reading tokenizer.json: its model and added tokens. */
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

/* ---- the model ----------------------------------------------------------- */

static int
check_model(struct gv_tokenizer *t, const json_t *m, struct gv_error *e)
{
	/* CLIP's ends of words are known */
	static const char *const affix[] = {
	    "continuing_subword_prefix", "end_of_word_suffix"};
	size_t affixes = t->clip ? 1 : 2;
	const json_t *type = json_object_get(m, "type");
	const char *name = json_string_value(type);
	size_t i;

	if (type && (!name || strcmp(name, "BPE") != 0))
		return gv_token_nosup(e, "model", type);
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
	if (gv_token_rules(t, o, e) || check_model(t, m, e) ||
	    gv_token_vocab(t, json_object_get(m, "vocab"), x, e) ||
	    gv_token_merges(t, json_object_get(m, "merges"), x, e) ||
	    load_unknown(t, m, e))
		return e->code;
	for (i = 0; i < json_array_size(added); i++)
		if (load_added(t, json_array_get(added, i), e))
			return e->code;
	return gv_bpe_index(t, e);
}
