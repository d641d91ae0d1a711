/* A GGUF file's vocabulary as tokenizer.json. */
#include "gguf_priv.h"

#include "split.h"
#include "banned.h"

#define MAX_IDS    ((uint64_t)1 << 20)
#define MAX_MERGES ((uint64_t)1 << 21)

enum { TYPE_UNKNOWN = 2, TYPE_CONTROL = 3, TYPE_USER = 4 };

/* How text is cut, by tokenizer.ggml.pre.  SmolLM takes each digit alone
 * before it cuts as GPT-2 does; in one pattern, spaces before a digit stay
 * together. */
static const struct cut {
	const char *pre, *pattern;
	bool nfc, ignore_merges;
} cuts[] = {
    {"smollm", gv_split_smollm, false, false},
    {"qwen2", gv_split_qwen2, true, false},
    {"llama-bpe", gv_split_llama3, false, true},
    {"gpt-2", gv_split_gpt2, false, false},
};

static int
no_memory(struct gv_error *e)
{
	return gv_fail(e, GV_ERR_NOMEM, "out of memory");
}

/* A text of the file as JSON; what is not UTF-8 or holds a NUL is refused. */
static json_t *
text(const struct gv_gguf *g, const char *what, const char *s, size_t n,
    struct gv_error *e)
{
	json_t *v = NULL, *probe;

	if (!memchr(s, 0, n))
		v = json_stringn(s, n);
	if (v)
		return v;
	/* what fails of a plain text, too, is memory */
	probe = json_string("x");
	if (probe)
		gv_fail(e, GV_ERR_FORMAT, "'%s': %s is not UTF-8 text",
		    gguf_path(g), what);
	else
		no_memory(e);
	json_decref(probe);
	return NULL;
}

static int
need_text(const struct gv_gguf *g, const char *key, const char **s, size_t *n,
    struct gv_error *e)
{
	if (gguf_get_text(g, key, s, n, e))
		return e->code;
	return *s ? 0
		  : gv_fail(e, GV_ERR_FORMAT, "'%s' has no '%s'", gguf_path(g),
			key);
}

static int
find_cut(const struct gv_gguf *g, const struct cut **cut, struct gv_error *e)
{
	const char *s;
	char q[40];
	size_t n, i;

	if (need_text(g, "tokenizer.ggml.model", &s, &n, e))
		return e->code;
	if (n != 4 || memcmp(s, "gpt2", 4))
		return gv_fail(e, GV_ERR_NOSUP,
		    "'%s': a vocabulary of kind '%s' is not supported (gpt2 "
		    "is); a tokenizer.json beside the file is taken instead",
		    gguf_path(g), gv_quote(q, sizeof q, s, n));
	if (need_text(g, "tokenizer.ggml.pre", &s, &n, e))
		return e->code;
	for (i = 0; i < sizeof cuts / sizeof *cuts; i++)
		if (strlen(cuts[i].pre) == n && !memcmp(cuts[i].pre, s, n)) {
			*cut = &cuts[i];
			return 0;
		}
	return gv_fail(e, GV_ERR_NOSUP,
	    "'%s': 'tokenizer.ggml.pre' of '%s' is not supported (smollm, "
	    "qwen2, llama-bpe and gpt-2 are); a tokenizer.json beside the file "
	    "is taken instead",
	    gguf_path(g), gv_quote(q, sizeof q, s, n));
}

/* The kinds of the tokens: I32 as they stand, or NULL. */
static int
find_types(const struct gv_gguf *g, uint64_t tokens, const uint8_t **types,
    struct gv_error *e)
{
	static const char key[] = "tokenizer.ggml.token_type";
	const struct gguf_value *x = gguf_get(g, key);

	*types = NULL;
	if (!x)
		return 0;
	if (x->type != GGUF_LIST || x->of != GGUF_I32)
		return gv_fail(e, GV_ERR_FORMAT,
		    "'%s': '%s' is not a list of I32", gguf_path(g), key);
	if (x->count != tokens)
		return gv_fail(e, GV_ERR_MATCH,
		    "'%s': %llu tokens, but %llu of '%s'", gguf_path(g),
		    (unsigned long long)tokens, (unsigned long long)x->count,
		    key);
	*types = x->data;
	return 0;
}

/* Where tokens go as they are read. */
struct tokens {
	const struct gv_gguf *g;
	json_t *vocab, *added;
	struct gv_error *e;
};

static int
add_token(struct tokens *t, int64_t id, int kind, const char *s, size_t n)
{
	json_t *content = text(t->g, "a token", s, n, t->e), *o;
	bool special = kind == TYPE_CONTROL || kind == TYPE_UNKNOWN;
	const char *key;
	char q[80];
	int bad;

	if (!content)
		return t->e->code;
	key = json_string_value(content);
	if (json_object_get(t->vocab, key)) {
		json_decref(content);
		return gv_fail(t->e, GV_ERR_FORMAT,
		    "'%s': the token '%s' is there twice", gguf_path(t->g),
		    gv_quote(q, sizeof q, s, n));
	}
	bad = json_object_set_new(t->vocab, key, json_integer(id));
	if (special || kind == TYPE_USER) {
		o = json_pack("{s:I, s:O, s:b, s:b, s:b, s:b, s:b}", "id",
		    (json_int_t)id, "content", content, "single_word", 0,
		    "lstrip", 0, "rstrip", 0, "normalized", 0, "special",
		    (int)special);
		bad |= json_array_append_new(t->added, o);
	}
	json_decref(content);
	return bad ? no_memory(t->e) : 0;
}

static int
read_tokens(struct tokens *t)
{
	struct gguf_strings l;
	const uint8_t *types;
	const char *s;
	int64_t id = 0;
	size_t n;

	if (gguf_get_strings(t->g, "tokenizer.ggml.tokens", &l, t->e))
		return t->e->code;
	if (l.left > MAX_IDS)
		return gv_fail(t->e, GV_ERR_LIMIT,
		    "'%s': %llu tokens, the limit is %llu", gguf_path(t->g),
		    (unsigned long long)l.left, (unsigned long long)MAX_IDS);
	if (find_types(t->g, l.left, &types, t->e))
		return t->e->code;
	for (; gguf_next_string(&l, &s, &n); id++)
		if (add_token(t, id, types ? types[4 * id] : 1, s, n))
			return t->e->code;
	return 0;
}

static int
read_merges(const struct gv_gguf *g, json_t *merges, struct gv_error *e)
{
	struct gguf_strings l;
	const char *s;
	size_t n;

	if (gguf_get_strings(g, "tokenizer.ggml.merges", &l, e))
		return e->code;
	if (l.left > MAX_MERGES)
		return gv_fail(e, GV_ERR_LIMIT,
		    "'%s': %llu merges, the limit is %llu", gguf_path(g),
		    (unsigned long long)l.left, (unsigned long long)MAX_MERGES);
	while (gguf_next_string(&l, &s, &n)) {
		json_t *v = text(g, "a merge", s, n, e);

		if (!v)
			return e->code;
		if (json_array_append_new(merges, v))
			return no_memory(e);
	}
	return 0;
}

/* tokenizer.json around its lists, which it holds; NULL without memory.  What
 * says nothing to us is for Hugging Face's library, which asks for it. */
static json_t *
assemble(const struct cut *cut, json_t *vocab, json_t *merges, json_t *added)
{
	json_t *nfc =
	    cut->nfc ? json_pack("{s:s}", "type", "NFC") : json_null();

	return json_pack("{s:s, s:o, s:{s:s, s:[{s:s, s:{s:s}, s:s, s:b}, "
			 "{s:s, s:b, s:b, s:b}]}, s:{s:s, s:b, s:b, s:b}, "
			 "s:O, s:{s:s, s:b, s:O, s:O}}",
	    "version", "1.0", "normalizer", nfc, "pre_tokenizer", "type",
	    "Sequence", "pretokenizers", "type", "Split", "pattern", "Regex",
	    cut->pattern, "behavior", "Isolated", "invert", 0, "type",
	    "ByteLevel", "add_prefix_space", 0, "trim_offsets", 1, "use_regex",
	    0, "decoder", "type", "ByteLevel", "add_prefix_space", 0,
	    "trim_offsets", 1, "use_regex", 0, "added_tokens", added, "model",
	    "type", "BPE", "ignore_merges", (int)cut->ignore_merges, "vocab",
	    vocab, "merges", merges);
}

/* The text of the token that a key names, if there is one. */
static int
named_token(const struct gv_gguf *g, const char *key, const char *as,
    json_t *config, struct gv_error *e)
{
	struct gguf_strings l;
	int64_t id = -1;
	const char *s;
	json_t *v;
	size_t n;

	if (gguf_get_int(g, key, &id, e) ||
	    gguf_get_strings(g, "tokenizer.ggml.tokens", &l, e))
		return e->code;
	if (id < 0)
		return 0;
	if ((uint64_t)id >= l.left)
		return gv_fail(e, GV_ERR_MATCH,
		    "'%s': '%s' %lld is not in the vocabulary of %llu",
		    gguf_path(g), key, (long long)id,
		    (unsigned long long)l.left);
	while (gguf_next_string(&l, &s, &n) && id-- > 0)
		;
	v = text(g, "a token", s, n, e);
	if (!v)
		return e->code;
	return json_object_set_new(config, as, v) ? no_memory(e) : 0;
}

static int
make_config(const struct gv_gguf *g, const struct cut *cut, json_t *config,
    struct gv_error *e)
{
	bool add_bos = cut->ignore_merges; /* Llama 3 starts with one */
	const char *s;
	json_t *v;
	size_t n;

	if (named_token(
		g, "tokenizer.ggml.bos_token_id", "bos_token", config, e) ||
	    named_token(
		g, "tokenizer.ggml.eos_token_id", "eos_token", config, e) ||
	    gguf_get_bool(g, "tokenizer.ggml.add_bos_token", &add_bos, e) ||
	    gguf_get_text(g, "tokenizer.chat_template", &s, &n, e))
		return e->code;
	if (json_object_set_new(
		config, "add_bos_token", json_boolean(add_bos)) ||
	    json_object_set_new(config, "tokenizer_class",
		json_string("PreTrainedTokenizerFast")))
		return no_memory(e);
	if (!s)
		return 0;
	v = text(g, "the chat template", s, n, e);
	if (!v)
		return e->code;
	return json_object_set_new(config, "chat_template", v) ? no_memory(e)
							       : 0;
}

int
gv_gguf_tokenizer(const struct gv_gguf *g, json_t **tokenizer, json_t **config,
    struct gv_error *e)
{
	struct tokens t = {g, json_object(), json_array(), e};
	json_t *merges = json_array(), *conf = json_object(), *o = NULL;
	const struct cut *cut = NULL;

	if (!t.vocab || !t.added || !merges || !conf) {
		no_memory(e);
	} else if (!find_cut(g, &cut, e) && !make_config(g, cut, conf, e) &&
		   tokenizer && !read_tokens(&t) &&
		   !read_merges(g, merges, e)) {
		o = assemble(cut, t.vocab, merges, t.added);
		if (!o)
			no_memory(e);
	}
	json_decref(t.vocab);
	json_decref(t.added);
	json_decref(merges);
	if (e->code) {
		json_decref(conf);
		return e->code;
	}
	if (tokenizer)
		*tokenizer = o;
	*config = conf;
	return 0;
}
