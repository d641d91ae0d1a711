/* Learning vocabularies: what Hugging Face's trainer learns, whatever the
 * order, and the edges. */
#include "tokens.h"

#include <time.h>

/* tokenizer.json of a vocabulary learned from documents. */
static json_t *
learn_by(const struct gv_bpe_law *law, const char *const *doc, size_t docs,
    struct gv_bpe_result *result)
{
	struct gv_error e = {0};
	struct gv_bpe_train *b;
	char path[MOST_PATH];
	json_error_t je;
	json_t *o;
	size_t i;

	must(gv_bpe_train_open(&b, law, &e), &e);
	for (i = 0; i < docs; i++)
		must(gv_bpe_train_add(b, doc[i], strlen(doc[i]), &e), &e);
	must(gv_bpe_train_learn(b, result, &e), &e);
	must(gv_bpe_train_write(b, scratch, &e), &e);
	gv_bpe_train_close(&b);
	o = json_load_file(in_scratch(path, "tokenizer.json"), 0, &je);
	if (!o)
		bail(path, je.text);
	return o;
}

static json_t *
learn(int32_t vocab, const char *tmpl, const char *const *doc, size_t docs,
    int32_t *size)
{
	struct gv_bpe_law law = {.vocab = vocab, .chat_template = tmpl};
	struct gv_bpe_result result;
	json_t *o = learn_by(&law, doc, docs, &result);

	*size = result.size;
	return o;
}

static const json_t *
part(const json_t *o, const char *key)
{
	return json_object_get(json_object_get(o, "model"), key);
}

static void
as_reference(const char *argv0)
{
	char path[MOST_PATH], a[200], b[200], *corpus;
	struct gv_error e = {0};
	size_t n, i = 0;
	int32_t size;
	json_t *o;
	FILE *f;
	bool same = true;

	must(gv_slurp(
		 golden(path, argv0, "corpus.txt"), 1 << 20, &corpus, &n, &e),
	    &e);
	o = learn(610, "nano", (const char *const *)&corpus, 1, &size);
	is_int(size, 610, "all ids that were asked for");
	f = fopen(golden(path, argv0, "merges.txt"), "r");
	if (!f)
		bail(path, "cannot be read");
	for (; fscanf(f, "%199s %199s", a, b) == 2; i++) {
		const json_t *m = json_array_get(part(o, "merges"), i);
		const char *x = json_string_value(json_array_get(m, 0));
		const char *y = json_string_value(json_array_get(m, 1));

		if (same && (!x || !y || strcmp(x, a) || strcmp(y, b)))
			printf(
			    "# merge %zu: %s %s, want %s %s\n", i, x, y, a, b);
		same = same && x && y && !strcmp(x, a) && !strcmp(y, b);
	}
	ok(same && i == json_array_size(part(o, "merges")) && i == 344,
	    "the merges of tokenizers' BpeTrainer");
	is_int((long long)json_object_size(part(o, "vocab")), 600,
	    "the vocabulary");
	fclose(f);
	gv_free(corpus);
	json_decref(o);
}

static void
order(void)
{
	static const char *const ab[] = {"low lower lowest", "new newer",
	    "wide wider widest\n", "caf\xc3\xa9", "newest low"};
	static const char *const ba[] = {"newest low", "cafe\xcc\x81",
	    "wide wider widest\n", "new newer", "low lower lowest"};
	int32_t n, m;
	json_t *x = learn(400, "chatml", ab, 5, &n);
	json_t *y = learn(400, "chatml", ba, 5, &m);
	json_t *z = learn(256 + 6 + 3, "chatml", ab, 5, &m);
	const json_t *first;

	ok(json_equal(x, y), "documents in any order, NFC or not");
	ok(n < 400 && n > 270, "fewer ids where no pair occurs twice (%d)",
	    (int)n);
	is_int((long long)json_array_size(part(z, "merges")), 3, "3 merges");
	first = json_array_get(part(z, "merges"), 0);
	/* "lo", "ow" and "we" occur 4 times; then "lo w" and "w e" do */
	is_str(json_string_value(json_array_get(first, 0)), "l",
	    "of equals the smaller left id:");
	is_str(json_string_value(json_array_get(first, 1)), "o", "l o");
	first = json_array_get(part(z, "merges"), 1);
	is_str(json_string_value(json_array_get(first, 0)), "w",
	    "bytes before new tokens:");
	is_str(json_string_value(json_array_get(first, 1)), "e", "w e");
	json_decref(x);
	json_decref(y);
	json_decref(z);
}

static void
specials(void)
{
	static const char *const nano[] = {"<|bos|>", "<|user_start|>",
	    "<|user_end|>", "<|assistant_start|>", "<|assistant_end|>",
	    "<|python_start|>", "<|python_end|>", "<|output_start|>",
	    "<|output_end|>", "<|image|>"};
	static const char *const chatml[] = {"<|endoftext|>", "<|im_start|>",
	    "<|im_end|>", "<|vision_start|>", "<|vision_end|>",
	    "<|image_pad|>"};
	struct gv_tokenizer *t;
	int32_t size, i, stop[4];

	json_decref(learn(266, "nano", NULL, 0, &size));
	is_int(size, 266, "nothing to learn from: bytes and specials");
	t = open_tokenizer(scratch);
	is_int(gv_tokenizer_size(t), 266, "and that can be opened");
	for (i = 0; i < 10; i++)
		is_int(
		    gv_tokenizer_special(t, nano[i]), 256 + i, "%s", nano[i]);
	is_int(gv_tokenizer_image(t), 265, "the image's id");
	is_int((long long)gv_tokenizer_stops(t, stop, 4), 2, "two stops");
	ok(stop[0] == 260 && stop[1] == 256, "turn and text");
	gv_tokenizer_close(&t);
	json_decref(learn(262, "chatml", NULL, 0, &size));
	t = open_tokenizer(scratch);
	for (i = 0; i < 6; i++)
		is_int(gv_tokenizer_special(t, chatml[i]), 256 + i, "%s",
		    chatml[i]);
	is_int((long long)gv_tokenizer_stops(t, stop, 4), 2, "two stops");
	ok(stop[0] == 258 && stop[1] == 256, "turn and text");
	gv_tokenizer_close(&t);
}

/* What the law asks for is refused: `what` is wrong about it. */
static void
refused(const struct gv_bpe_law *law, int code, const char *what)
{
	struct gv_bpe_train *b = NULL;
	struct gv_error e = {0};

	ok(gv_bpe_train_open(&b, law, &e) == code && !b, "%s: %s", what, e.msg);
}

static void
bad_laws(void)
{
	static const char *const twice[] = {"<a>", "<a>"};
	static const char *const template[] = {"<|bos|>"};
	static const char *const empty[] = {""};
	static const char *const byte[] = {"\xc4\xa0"};
	static const char *const bad[] = {"a\xff"};
	struct gv_bpe_law law = {.vocab = 300, .chat_template = "nano"};
	struct gv_bpe_law v = law;

	v.vocab = 265;
	refused(&v, GV_ERR_USAGE, "too small");
	v.vocab = (1 << 20) + 1;
	refused(&v, GV_ERR_USAGE, "too large");
	v.vocab = -1;
	refused(&v, GV_ERR_USAGE, "negative");
	v = law;
	v.chat_template = "vicuna";
	refused(&v, GV_ERR_USAGE, "no template");
	v = law;
	v.split = "(";
	refused(&v, GV_ERR_NOSUP, "no pattern");
	v = law;
	v.memory = 1;
	refused(&v, GV_ERR_USAGE, "no memory");
	v = law;
	v.special = twice;
	v.specials = 2;
	refused(&v, GV_ERR_USAGE, "twice");
	v.specials = 1;
	v.vocab = 266;
	refused(&v, GV_ERR_USAGE, "no room for one more");
	v.vocab = 300;
	v.special = template;
	refused(&v, GV_ERR_USAGE, "one of the template's");
	v.special = empty;
	refused(&v, GV_ERR_USAGE, "an empty one");
	v.special = byte;
	refused(&v, GV_ERR_USAGE, "a blank's spelling");
	v.special = bad;
	refused(&v, GV_ERR_USAGE, "broken UTF-8");
}

static void
wrong_order(void)
{
	struct gv_bpe_law law = {.vocab = 300, .chat_template = "nano"};
	struct gv_bpe_result result;
	struct gv_bpe_train *b = NULL;
	struct gv_error e = {0};

	must(gv_bpe_train_open(&b, &law, &e), &e);
	ok(gv_bpe_train_write(b, scratch, &e) == GV_ERR_USAGE,
	    "writing before learning: %s", e.msg);
	gv_error_clear(&e);
	must(gv_bpe_train_learn(b, &result, &e), &e);
	ok(gv_bpe_train_add(b, "a", 1, &e) == GV_ERR_USAGE, "adding after: %s",
	    e.msg);
	gv_error_clear(&e);
	ok(gv_bpe_train_learn(b, &result, &e) == GV_ERR_USAGE,
	    "learning again: %s", e.msg);
	gv_error_clear(&e);
	ok(gv_bpe_train_write(b, "/nonexistent/dir", &e) == GV_ERR_SYS,
	    "no directory: %s", e.msg);
	gv_bpe_train_close(&b);
	ok(!b, "closed");
}

/* Every family is written so that it can be opened and gives text back; what
 * is learned differs. */
static void
families(void)
{
	static const char *const doc[] = {
	    "I'll HE'S 12345 1234 ab12\r\n\r\n  x  \tcafe\xcc\x81 "
	    "caf\xc3\xa9 caf\xc3\xa9 foo_bar FooBar FooBar; //\n//\n"};
	static const char *const name[] = {"gpt2", "smollm", "qwen2", "llama3",
	    "cl100k", "o200k", "\\p{L}+|\\s|\\d\\d", ".+"};
	static const char *const special[] = {"<|end|>", "Foo"};
	struct gv_bpe_result result;
	struct gv_error e = {0};
	size_t i, n;

	for (i = 0; i < sizeof name / sizeof *name; i++) {
		struct gv_bpe_law law = {.vocab = 300,
		    .split = name[i],
		    .normalizer = GV_BPE_NONE,
		    .special = special,
		    .specials = 2};
		json_t *o = learn_by(&law, doc, 1, &result);
		struct gv_tokenizer *t = open_tokenizer(scratch);
		struct gv_ids ids = {0};
		char *back = NULL;

		ok(json_is_null(json_object_get(o, "normalizer")),
		    "%s: not normalised", name[i]);
		ok(!json_object_get(part(o, "vocab"), "Foo") &&
			json_object_get(part(o, "vocab"), "oo"),
		    "%s: what is spelled as a special token isn't learned",
		    name[i]);
		is_int(gv_tokenizer_special(t, "Foo"), result.size - 1,
		    "%s: that is the last", name[i]);
		must(gv_encode(t, doc[0], strlen(doc[0]), false, &ids, &e), &e);
		must(gv_decode(t, ids.id, ids.n, true, &back, &n, &e), &e);
		ok(n == strlen(doc[0]) && !memcmp(back, doc[0], n),
		    "%s: the text comes back from %zu ids", name[i], ids.n);
		gv_free(back);
		gv_ids_free(&ids);
		gv_tokenizer_close(&t);
		json_decref(o);
	}
}

static const json_t *
merge_at(const json_t *o, size_t i, int side)
{
	return json_array_get(
	    json_array_get(part(o, "merges"), i), (size_t)side);
}

/* How a pattern shows in the merges. */
static void
cuts(void)
{
	static const char *const doc[] = {"12 12 12 a'B a'B"};
	struct gv_bpe_law law = {.vocab = 257, .split = "llama3"};
	struct gv_bpe_result result;
	json_t *o = learn_by(&law, doc, 1, &result);

	is_str(json_string_value(merge_at(o, 0, 0)), "1", "llama3: 1 ...");
	is_str(json_string_value(merge_at(o, 0, 1)), "2", "... and 2");
	json_decref(o);
	law.split = "qwen2";
	o = learn_by(&law, doc, 1, &result);
	is_str(json_string_value(merge_at(o, 0, 0)), "'", "qwen2: ' ...");
	is_str(json_string_value(merge_at(o, 0, 1)), "B", "... and B");
	json_decref(o);
	law.split = "smollm";
	o = learn_by(&law, doc, 1, &result);
	is_str(json_string_value(merge_at(o, 0, 0)), "\xc4\xa0",
	    "smollm: a blank ...");
	is_str(json_string_value(merge_at(o, 0, 1)), "a", "... and a");
	json_decref(o);
}

/* Blanks and words of 3 to 20 letters, half of them of few kinds. */
static char *
many_words(size_t words)
{
	char *s = malloc(words * 24);
	struct draw r = {9};
	size_t n = 0, i, k;

	if (!s)
		bail("many_words", "out of memory");
	for (i = 0; i < words; i++) {
		size_t len = 3 + draw(&r, 18);
		bool common = !draw(&r, 2);

		s[n++] = ' ';
		for (k = 0; k < len; k++)
			s[n++] = (char)('a' + (common ? (len + k) % 26
						      : draw(&r, 26)));
	}
	s[n] = '\0';
	return s;
}

/* Words too many for the memory: the rare ones go, whatever the order. */
static void
little_memory(void)
{
	struct gv_bpe_law law = {.vocab = 400,
	    .memory = GV_BPE_LEAST_MEMORY,
	    .chat_template = "nano"};
	struct gv_bpe_result one, two, all;
	char *s = many_words(150000), *half = s + strlen(s) / 2;
	const char *there[2] = {s, NULL}, *back[2] = {NULL, s};
	json_t *x, *y;

	while (*half != ' ')
		half++;
	*half++ = '\0'; /* and each half begins with a word */
	there[1] = back[0] = half;
	x = learn_by(&law, there, 2, &one);
	ok(one.least == 2 && one.left_out > 0.05 && one.left_out < 0.5,
	    "some words that occur less than %d times are left out, %.2f of "
	    "all",
	    (int)one.least, one.left_out);
	y = learn_by(&law, back, 2, &two);
	ok(json_equal(x, y) && two.pieces == one.pieces,
	    "the same ones in another order");
	json_decref(y);
	law.memory *= 4;
	y = learn_by(&law, there, 2, &all);
	ok(all.least == 1 && all.left_out == 0 && all.pieces > one.pieces,
	    "all %zu fit into more", all.pieces);
	ok(!json_equal(x, y), "and that makes a difference");
	json_decref(x);
	json_decref(y);
	free(s);
}

/* A megabyte without a gap, of one letter and of four. */
static void
worst(void)
{
	size_t n = 1 << 20, i;
	char *s = malloc(n + 1);
	const char *doc = s;
	struct draw r = {4};
	clock_t c = clock();
	int32_t size;

	if (!s)
		bail("worst", "out of memory");
	memset(s, 'a', n);
	s[n] = '\0';
	json_decref(learn(400, "nano", &doc, 1, &size));
	ok((double)(clock() - c) / CLOCKS_PER_SEC < 5 && size < 300,
	    "one letter (%d ids)", (int)size);
	for (i = 0; i < n; i++)
		s[i] = (char)('a' + draw(&r, 4));
	c = clock();
	json_decref(learn(1000, "nano", &doc, 1, &size));
	ok((double)(clock() - c) / CLOCKS_PER_SEC < 20 && size == 1000,
	    "four letters (%d ids, %.1f s)", (int)size,
	    (double)(clock() - c) / CLOCKS_PER_SEC);
	free(s);
}

int
main(int argc, char **argv)
{
	(void)argc;
	make_scratch();
	as_reference(argv[0]);
	order();
	specials();
	bad_laws();
	wrong_order();
	families();
	cuts();
	little_memory();
	worst();
	cleanup();
	return done();
}
