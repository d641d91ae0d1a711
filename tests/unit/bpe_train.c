/* Learning vocabularies: what Hugging Face's trainer learns, whatever the
 * order, and the edges. */
#include "tokens.h"

#include <time.h>

/* tokenizer.json of a vocabulary learned from documents. */
static json_t *
learn(int32_t vocab, const char *tmpl, const char *const *doc, size_t docs,
    int32_t *size)
{
	struct gv_error e = {0};
	struct gv_bpe_train *b;
	char path[MOST_PATH];
	json_error_t je;
	json_t *o;
	size_t i;

	must(gv_bpe_train_open(&b, vocab, tmpl, &e), &e);
	for (i = 0; i < docs; i++)
		must(gv_bpe_train_add(b, doc[i], strlen(doc[i]), &e), &e);
	must(gv_bpe_train_learn(b, size, &e), &e);
	must(gv_bpe_train_write(b, scratch, &e), &e);
	gv_bpe_train_close(&b);
	o = json_load_file(in_scratch(path, "tokenizer.json"), 0, &je);
	if (!o)
		bail(path, je.text);
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

static void
errors(void)
{
	struct gv_bpe_train *b = NULL;
	struct gv_error e = {0};
	int32_t size;

	ok(gv_bpe_train_open(&b, 265, "nano", &e) == GV_ERR_USAGE && !b,
	    "too small: %s", e.msg);
	gv_error_clear(&e);
	ok(gv_bpe_train_open(&b, (1 << 20) + 1, "nano", &e) == GV_ERR_USAGE,
	    "too large: %s", e.msg);
	gv_error_clear(&e);
	ok(gv_bpe_train_open(&b, 300, "vicuna", &e) == GV_ERR_USAGE,
	    "no template: %s", e.msg);
	gv_error_clear(&e);
	must(gv_bpe_train_open(&b, 300, "nano", &e), &e);
	ok(gv_bpe_train_write(b, scratch, &e) == GV_ERR_USAGE,
	    "writing before learning: %s", e.msg);
	gv_error_clear(&e);
	must(gv_bpe_train_learn(b, &size, &e), &e);
	ok(gv_bpe_train_add(b, "a", 1, &e) == GV_ERR_USAGE, "adding after: %s",
	    e.msg);
	gv_error_clear(&e);
	ok(gv_bpe_train_write(b, "/nonexistent/dir", &e) == GV_ERR_SYS,
	    "no directory: %s", e.msg);
	gv_bpe_train_close(&b);
	ok(!b, "closed");
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
	errors();
	worst();
	cleanup();
	return done();
}
