/* CLIP's vocabulary: words in lower case whose last byte carries a mark.
 *
 * The reference is Hugging Face's CLIPTokenizer: NFC, lower case, then the
 * words that its pattern finds, without what stands between them; a word's last
 * symbol is written with </w>.  Here </w> is a blank behind each word, and a
 * byte with it is the first merge of all, which gives the same ids.
 */
#include "token_impl.h"

#include "mem.h"
#include "utf8.h"
#include "banned.h"

#define ZLIB_CONST
#include <zlib.h>

#define MAX_UNPACKED ((size_t)64 << 20)
#define MERGES       (49152 - 256 - 2) /* OpenAI's list goes on */

static const char *const special[] = {"<|startoftext|>", "<|endoftext|>"};

#define WORDS "'s|'t|'re|'ve|'m|'ll|'d|[\\p{L}]+|[\\p{N}]|[^\\s\\p{L}\\p{N}]+"
static const char pattern_words[] = WORDS;
static const char pattern_marks[] =
    "<\\|startoftext\\|>|<\\|endoftext\\|>|" WORDS;

/* ---- text ---------------------------------------------------------------- */

int
gv_clip_normal(
    const char *s, size_t n, char **out, size_t *len, struct gv_error *e)
{
	char *nfc;
	size_t k;

	if (gv_nfc(s, n, &nfc, &k, e))
		return e->code;
	*out = gv_utf8_lower(nfc ? nfc : s, k, len);
	gv_free(nfc);
	return *out ? 0 : gv_fail(e, GV_ERR_NOMEM, "out of memory");
}

/* The end of the run of one class from i. */
static size_t
run(const char *s, size_t i, size_t n, enum gv_class want)
{
	size_t len;
	uint32_t c;

	for (; i < n; i += len) {
		len = gv_utf8_next(s + i, n - i, &c);
		if (gv_utf8_class(c) != want)
			break;
	}
	return i;
}

/* The length of one of these at s[0..n), or 0. */
static size_t
one_of(const char *const *list, size_t k, const char *s, size_t n)
{
	size_t i;

	for (i = 0; i < k; i++) {
		size_t len = strlen(list[i]);

		if (len <= n && !memcmp(s, list[i], len))
			return len;
	}
	return 0;
}

/* The end of the word at i; *space says that it is none. */
static size_t
word(const char *s, size_t i, size_t n, bool *space)
{
	static const char *const endings[] = {
	    "'s", "'t", "'re", "'ve", "'m", "'ll", "'d"};
	enum gv_class k;
	size_t len = s[i] == '\'' ? one_of(endings, 7, s + i, n - i) : 0;
	uint32_t c;

	*space = false;
	if (len)
		return i + len;
	len = gv_utf8_next(s + i, n - i, &c);
	k = gv_utf8_class(c);
	*space = k == GV_CLASS_SPACE;
	return k == GV_CLASS_NUMBER ? i + len : run(s, i, n, k);
}

int
gv_clip_words(enum gv_clip how, const char *s, size_t n, char **out,
    size_t *len, struct gv_error *e)
{
	char *to = gv_alloc(n + 1, 2); /* a blank behind each byte at most */
	size_t i, end, stop = 0;
	bool space;

	*out = to;
	if (!to)
		return gv_fail(e, GV_ERR_NOMEM, "out of memory");
	/* a mark is a word to the pattern, and three to GPT-2's, which the
	 * reference has behind it: what stands beside it stays apart */
	for (i = 0; i < n; i = end) {
		if (how == GV_CLIP_MARKS && i >= stop && s[i] == '<')
			stop = i + one_of(special, 2, s + i, n - i);
		end = word(s, i, i < stop ? stop : n, &space);
		if (space)
			continue;
		memcpy(to, s + i, end - i);
		to += end - i;
		*to++ = ' ';
	}
	*len = (size_t)(to - *out);
	return 0;
}

/* ---- tokenizer.json ------------------------------------------------------ */

static bool
is(const json_t *o, const char *key, const char *want)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s && !strcmp(s, want);
}

static bool
normalises(const json_t *o)
{
	const json_t *list = json_object_get(o, "normalizers");
	const json_t *blanks = json_array_get(list, 1);

	return is(o, "type", "Sequence") && json_array_size(list) == 3 &&
	       is(json_array_get(list, 0), "type", "NFC") &&
	       is(blanks, "type", "Replace") &&
	       is(json_object_get(blanks, "pattern"), "Regex", "\\s+") &&
	       is(blanks, "content", " ") &&
	       is(json_array_get(list, 2), "type", "Lowercase");
}

enum gv_clip
gv_clip_json(const json_t *o)
{
	const json_t *cut = json_object_get(o, "pre_tokenizer");
	const json_t *list = json_object_get(cut, "pretokenizers");
	const json_t *split = json_array_get(list, 0);
	const json_t *level = json_array_get(list, 1);
	const json_t *re = json_object_get(split, "pattern");

	if (!normalises(json_object_get(o, "normalizer")) ||
	    !is(cut, "type", "Sequence") || json_array_size(list) != 2 ||
	    !is(split, "type", "Split") || !is(split, "behavior", "Removed") ||
	    !json_is_true(json_object_get(split, "invert")) ||
	    !is(level, "type", "ByteLevel") ||
	    json_is_true(json_object_get(level, "add_prefix_space")) ||
	    json_is_false(json_object_get(level, "use_regex")) ||
	    !is(json_object_get(o, "model"), "end_of_word_suffix", "</w>"))
		return GV_CLIP_NONE;
	return is(re, "Regex", pattern_words)   ? GV_CLIP_WORDS
	       : is(re, "Regex", pattern_marks) ? GV_CLIP_MARKS
						: GV_CLIP_NONE;
}

/* ---- OpenAI's list ------------------------------------------------------- */

static int
unpack(const char *s, size_t n, char **out, size_t *len, struct gv_error *e)
{
	z_stream z = {.next_in = (const Bytef *)s, .avail_in = (uInt)n};
	size_t cap = 0;
	void *p = NULL;
	int got = Z_OK;

	*len = 0;
	if (inflateInit2(&z, 16 + MAX_WBITS) != Z_OK)
		return gv_fail(e, GV_ERR_NOMEM, "out of memory");
	while (got == Z_OK && !e->code) {
		if (z.total_out >= MAX_UNPACKED) {
			gv_fail(e, GV_ERR_LIMIT,
			    "it unpacks to more than %zu bytes", MAX_UNPACKED);
		} else if (gv_grow(&p, &cap, z.total_out + 65536, 1)) {
			gv_fail(e, GV_ERR_NOMEM, "out of memory");
		} else {
			z.next_out = (Bytef *)p + z.total_out;
			z.avail_out =
			    (uInt)((cap < MAX_UNPACKED ? cap : MAX_UNPACKED) -
				   z.total_out);
			got = inflate(&z, Z_NO_FLUSH);
		}
	}
	*len = z.total_out;
	inflateEnd(&z);
	if (!e->code && got != Z_STREAM_END)
		gv_fail(e, GV_ERR_FORMAT, "it is damaged, or no gzip file");
	if (e->code)
		gv_free(p);
	else
		*out = p;
	return e->code;
}

/* tokenizer.json as CLIPTokenizer writes it, but for its two lists. */
static const char frame[] =
    "{\"version\": \"1.0\", \"truncation\": null, \"padding\": null,"
    "\"added_tokens\": [], \"normalizer\": {\"type\": \"Sequence\","
    "\"normalizers\": [{\"type\": \"NFC\"}, {\"type\": \"Replace\","
    "\"pattern\": {\"Regex\": \"\\\\s+\"}, \"content\": \" \"},"
    "{\"type\": \"Lowercase\"}]}, \"pre_tokenizer\": {\"type\": \"Sequence\","
    "\"pretokenizers\": [{\"type\": \"Split\", \"behavior\": \"Removed\","
    "\"invert\": true}, {\"type\": \"ByteLevel\", \"add_prefix_space\": false,"
    "\"trim_offsets\": true, \"use_regex\": true}]}, \"decoder\": {\"type\":"
    "\"ByteLevel\", \"add_prefix_space\": true, \"trim_offsets\": true,"
    "\"use_regex\": true}, \"model\": {\"type\": \"BPE\", \"dropout\": null,"
    "\"unk_token\": \"<|endoftext|>\", \"continuing_subword_prefix\": \"\","
    "\"end_of_word_suffix\": \"</w>\", \"fuse_unk\": false,"
    "\"byte_fallback\": false}}";

/* The lists under construction; ids are given in the order of entering. */
struct lists {
	json_t *vocab, *merges;
	json_int_t id;
};

static bool
enter(struct lists *l, const char *s, size_t n)
{
	return !json_object_setn_new_nocheck(
	    l->vocab, s, n, json_integer(l->id++));
}

/* All bytes, in the order of GPT-2's alphabet: those that stand for themselves
 * first; then the same at the end of a word. */
static bool
enter_bytes(struct lists *l)
{
	char s[8];
	uint32_t c;
	int end;
	size_t n;

	for (end = 0; end < 2; end++)
		for (c = 0; c < 0x144; c++) {
			if (gv_char_to_byte(c) < 0)
				continue;
			n = gv_utf8_put(c, s);
			memcpy(s + n, "</w>", 4);
			if (!enter(l, s, end ? n + 4 : n))
				return false;
		}
	return true;
}

/* "a b" makes the token "ab". */
static int
enter_merge(struct lists *l, const char *s, size_t n, struct gv_error *e)
{
	const char *gap = memchr(s, ' ', n);
	json_t *v = json_stringn(s, n);
	char *token = gv_strndup(s, n);
	size_t a = gap ? (size_t)(gap - s) : n;
	bool fine;

	if (!gap || !token || n > 2 * GV_MAX_TOKEN || gv_utf8_check(s, n) < n ||
	    memchr(s, 0, n)) {
		json_decref(v);
		gv_free(token);
		return gv_fail(e, GV_ERR_FORMAT, "it is no pair of tokens");
	}
	memmove(token + a, token + a + 1, n - a - 1);
	fine = !json_array_append_new(l->merges, v) && enter(l, token, n - 1);
	gv_free(token);
	return fine ? 0 : gv_fail(e, GV_ERR_NOMEM, "out of memory");
}

/* The line in front says "#version"; what follows the merges that are CLIP's is
 * passed over. */
static int
enter_merges(struct lists *l, const char *s, size_t n, struct gv_error *e)
{
	const char *end = s + n, *stop;
	int line;

	for (line = 0; s < end && line <= MERGES; s = stop + 1, line++) {
		stop = memchr(s, '\n', (size_t)(end - s));
		stop = stop ? stop : end;
		if (line && stop > s &&
		    enter_merge(l, s, (size_t)(stop - s), e))
			return gv_fail_in(e, "line %d", line + 1);
	}
	return 0;
}

/* Enters the lists and what goes with them into the frame. */
static bool
assemble(json_t *o, const struct lists *l)
{
	json_t *cut = json_object_get(o, "pre_tokenizer"), *re;
	json_t *model = json_object_get(o, "model");
	json_t *added = json_object_get(o, "added_tokens");
	int i;

	cut = json_array_get(json_object_get(cut, "pretokenizers"), 0);
	re = json_pack("{s:s}", "Regex", pattern_marks);
	if (json_object_set_new(cut, "pattern", re) ||
	    json_object_set(model, "vocab", l->vocab) ||
	    json_object_set(model, "merges", l->merges))
		return false;
	for (i = 0; i < 2; i++)
		if (json_array_append_new(
			added, json_pack("{s:I, s:s, s:b, s:b, s:b, s:b, s:b}",
				   "id", l->id - 2 + i, "content", special[i],
				   "single_word", 0, "lstrip", 0, "rstrip", 0,
				   "normalized", !i, "special", 1)))
			return false;
	return true;
}

int
gv_token_clip(
    struct gv_tokenizer *t, const char *s, size_t n, struct gv_error *e)
{
	struct lists l = {json_object(), json_array(), 0};
	json_t *o = json_loads(frame, 0, NULL);
	char *text = NULL;

	if (!l.vocab || !l.merges || !o || !enter_bytes(&l)) {
		gv_fail(e, GV_ERR_NOMEM, "out of memory");
	} else if (!unpack(s, n, &text, &n, e) &&
		   !enter_merges(&l, text, n, e)) {
		if (!enter(&l, special[0], strlen(special[0])) ||
		    !enter(&l, special[1], strlen(special[1])) ||
		    !assemble(o, &l))
			gv_fail(e, GV_ERR_NOMEM, "out of memory");
		else
			(void)!gv_token_load(t, o, NULL, e);
	}
	gv_free(text);
	json_decref(l.vocab);
	json_decref(l.merges);
	json_decref(o);
	return e->code;
}
