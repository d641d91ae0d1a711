/* A text that is cut gives the ids of the whole, wherever it may be cut, and so
 * does one that several threads encode. */
#include "tokens.h"
#include "token_impl.h"

#define MOST 160

static const char *const part[] = {"a", "b", "Word", "the", " ", " ", "  ",
    "\n", "\t", "1", "23", "'s", "'ll", "'", ".", "--", "a b", "a1",
    "e\xcc\x81", "\xcc\x81", "\xc3\xa9", "\xc5\xbf", "\xe4\xb8\xad",
    "\xe6\x96\x87", "\xe3\x80\x82", "\xef\xbc\x8c", "\xe3\x80\x81",
    "\xe4\xb8\xad\xe3\x80\x82", "\xe5..", "\xe3\x80", "\xff", "\xea\xb0\x80",
    "\xe1\x86\xa8", "\xe3\x82\x99", "\xe3\x81\x8b", "\xf0\x9f\x99\x82",
    "<|bos|>", "<|im_end|>", "<|endoftext|>"};

static size_t
text(struct draw *r, char *s, size_t most)
{
	uint32_t parts = sizeof part / sizeof *part;
	uint32_t few = 2 + draw(r, 14), base = draw(r, parts);
	size_t n = 0;

	while (n + 16 < most) {
		const char *p = part[(base + draw(r, few)) % parts];

		memcpy(s + n, p, strlen(p));
		n += strlen(p);
	}
	return n;
}

static void
cuts(const struct gv_tokenizer *t, const char *name)
{
	struct gv_ids whole = {0}, both = {0};
	struct gv_error e = {0};
	struct draw r = {6};
	int k, wrong = 0, tried = 0;
	char s[MOST];
	size_t n, i;

	for (k = 0; k < 4000; k++) {
		n = text(&r, s, MOST);
		whole.n = 0;
		must(gv_encode(t, s, n, true, &whole, &e), &e);
		for (i = 3; i < n - 3; i++) {
			if (!gv_token_cut(s, i))
				continue;
			both.n = 0;
			must(gv_encode(t, s, i, true, &both, &e), &e);
			must(gv_encode(t, s + i, n - i, true, &both, &e), &e);
			tried++;
			wrong +=
			    both.n != whole.n ||
			    memcmp(both.id, whole.id, both.n * sizeof *both.id);
		}
	}
	ok(tried > 1000 && !wrong, "%s: %d of %d cuts change ids", name, wrong,
	    tried);
	gv_ids_free(&whole);
	gv_ids_free(&both);
}

static void
threads(const struct gv_tokenizer *t, const char *name)
{
	size_t most = (size_t)3 << 20, n, k;
	struct gv_ids one = {0}, many = {0};
	struct gv_error e = {0};
	struct draw r = {7};
	char *s = malloc(most);

	if (!s)
		bail("threads", "out of memory");
	for (n = 0; n + MOST < most;)
		n += text(&r, s + n, MOST);
	must(gv_encode(t, s, n, true, &one, &e), &e);
	for (k = 2; k < 5; k++) {
		must(gv_ids_push(&many, 7, &e), &e);
		must(gv_encode_threads(t, s, n, true, k, &many, &e), &e);
		ok(many.n == one.n + 1 && many.id[0] == 7 &&
			!memcmp(many.id + 1, one.id, one.n * sizeof *one.id),
		    "%s: %zu threads give the same %zu ids", name, k, one.n);
		many.n = 0;
	}
	/* no place to cut at: one chunk */
	memset(s, 'x', most);
	one.n = 0;
	must(gv_encode(t, s, most, true, &one, &e), &e);
	must(gv_encode_threads(t, s, most, true, 2, &many, &e), &e);
	ok(many.n == one.n && !memcmp(many.id, one.id, one.n * sizeof *one.id),
	    "%s: one long word", name);
	gv_ids_free(&one);
	gv_ids_free(&many);
	free(s);
}

int
main(int argc, char **argv)
{
	static const char *const name[] = {"qwen2", "gpt2", "llama3"};
	char path[MOST_PATH], sub[64];
	struct gv_tokenizer *t;
	size_t i;

	(void)argc;
	for (i = 0; i < sizeof name / sizeof *name; i++) {
		snprintf(sub, sizeof sub, "%s/tokenizer.json", name[i]);
		golden(path, argv[0], sub);
		*strrchr(path, '/') = '\0';
		t = open_tokenizer(path);
		cuts(t, name[i]);
		threads(t, name[i]);
		gv_tokenizer_close(&t);
	}
	return done();
}
