/* The search from the left gives what merging by rank gives, for vocabularies
 * of every kind that it takes on, and those that it can't take on are seen. */
#include "tokens.h"
#include "token_impl.h"

#include "pattern.h"

#define LETTERS   4
#define MOST_TEXT 200
#define MOST_TOK  96

/* A vocabulary under construction: tokens of the letters a to d, and merges as
 * pairs of their indices. */
struct words {
	char tok[MOST_TOK][24];
	int toks, left[MOST_TOK * 8], right[MOST_TOK * 8], merges;
};

static int
find(const struct words *w, const char *s)
{
	int i;

	for (i = 0; i < w->toks && strcmp(w->tok[i], s); i++)
		;
	return i < w->toks ? i : -1;
}

static void
add_letters(struct words *w)
{
	memset(w, 0, sizeof *w);
	for (; w->toks < LETTERS; w->toks++)
		w->tok[w->toks][0] = (char)('a' + w->toks);
}

static void
add_merge(struct words *w, int a, int b)
{
	w->left[w->merges] = a;
	w->right[w->merges++] = b;
}

/* A new token of two that are there; its index, or -1 if it is too long. */
static int
join(struct words *w, int a, int b)
{
	char s[48];

	snprintf(s, sizeof s, "%s%s", w->tok[a], w->tok[b]);
	if (strlen(s) >= sizeof w->tok[0] || find(w, s) >= 0)
		return -1;
	snprintf(w->tok[w->toks], sizeof w->tok[0], "%s", s);
	return w->toks++;
}

/* Merges as a trainer finds them: one a token, of tokens that are there. */
static void
trained(struct words *w, struct draw *r, int size)
{
	int a, b;

	add_letters(w);
	while (w->toks < size) {
		/* the young ones more often, so that tokens grow */
		a = (int)draw(r, (uint32_t)w->toks);
		b = w->toks - 1 - (int)draw(r, (uint32_t)(w->toks + 1) / 2);
		if (draw(r, 2)) {
			int c = a;

			a = b;
			b = c;
		}
		if (join(w, a, b) >= 0)
			add_merge(w, a, b);
	}
}

/* The same tokens with every pair that makes one, in the order of tokens, as
 * converters of rank files write them. */
static void
all_pairs(struct words *w)
{
	char head[24];
	int i, a, b;
	size_t n, k;

	w->merges = 0;
	for (i = LETTERS; i < w->toks; i++) {
		n = strlen(w->tok[i]);
		for (k = 1; k < n; k++) {
			snprintf(head, sizeof head, "%.*s", (int)k, w->tok[i]);
			a = find(w, head);
			b = find(w, w->tok[i] + k);
			if (a >= 0 && b >= 0 && w->merges < MOST_TOK * 8)
				add_merge(w, a, b);
		}
	}
}

static void
shuffle(struct words *w, struct draw *r)
{
	int i;

	for (i = w->merges - 1; i > 0; i--) {
		int k = (int)draw(r, (uint32_t)i + 1), v;

		v = w->left[i], w->left[i] = w->left[k], w->left[k] = v;
		v = w->right[i], w->right[i] = w->right[k], w->right[k] = v;
	}
}

/* `chars`: as a vocabulary of characters that falls back to bytes. */
static struct gv_tokenizer *
open_words(const struct words *w, bool chars)
{
	static char s[1 << 16];
	char path[MOST_PATH];
	size_t n = 0;
	int i;

#define PUT(...) n += (size_t)snprintf(s + n, sizeof s - n, __VA_ARGS__)
	PUT("{\"normalizer\":null,\"pre_tokenizer\":%s,\"decoder\":%s,"
	    "\"model\":{\"type\":\"BPE\",\"byte_fallback\":%s,\"vocab\":{",
	    chars ? "{\"type\":\"Metaspace\",\"replacement\":\"\\u2581\","
		    "\"prepend_scheme\":\"never\",\"split\":false}"
		  : "{\"type\":\"ByteLevel\",\"add_prefix_space\":false,"
		    "\"use_regex\":true}",
	    chars ? "{\"type\":\"Sequence\",\"decoders\":[{\"type\":"
		    "\"Replace\",\"pattern\":{\"String\":\"\\u2581\"},"
		    "\"content\":\" \"},{\"type\":\"ByteFallback\"},"
		    "{\"type\":\"Fuse\"}]}"
		  : "{\"type\":\"ByteLevel\"}",
	    chars ? "true" : "false");
	for (i = 0; i < w->toks; i++)
		PUT("%s\"%s\":%d", i ? "," : "", w->tok[i], i);
	for (i = 0; chars && i < 256; i++)
		PUT(",\"<0x%02X>\":%d", (unsigned)i, w->toks + i);
	PUT("},\"merges\":[");
	for (i = 0; i < w->merges; i++)
		PUT("%s\"%s %s\"", i ? "," : "", w->tok[w->left[i]],
		    w->tok[w->right[i]]);
	PUT("]}}");
#undef PUT
	write_file(in_scratch(path, "tokenizer.json"), s, n);
	return open_tokenizer(scratch);
}

/* Texts: letters, or rows of a few tokens, and now and then what is none. */
static size_t
text(const struct words *w, struct draw *r, bool strange, char *s)
{
	uint32_t kind = draw(r, 3), k = 1 + draw(r, 12);
	size_t n = 0;

	while (k-- && n < MOST_TEXT - 32) {
		const char *tok = w->tok[kind ? draw(r, (uint32_t)w->toks)
					      : draw(r, LETTERS)];
		int times = kind == 2 ? 1 + (int)draw(r, 3) : 1;

		while (times-- && n < MOST_TEXT - 32) {
			memcpy(s + n, tok, strlen(tok));
			n += strlen(tok);
		}
		if (strange && !draw(r, 8))
			s[n++] = '?';
	}
	return n;
}

static bool
same(const struct gv_tokenizer *t, const char *s, size_t n, bool *done)
{
	struct gv_ids fast = {0}, slow = {0};
	struct gv_error e = {0};
	bool eq;

	must(gv_bpe_match(t, s, n, &fast, done, &e), &e);
	must(gv_bpe_merge(t, s, n, &slow, &e), &e);
	eq = !*done || (fast.n == slow.n &&
			   !memcmp(fast.id, slow.id, fast.n * sizeof *fast.id));
	eq = eq && (*done || !fast.n);
	gv_ids_free(&fast);
	gv_ids_free(&slow);
	return eq;
}

enum kind { TRAINED, PAIRS, SHUFFLED, CHARS, KINDS };

/* Returns how many vocabularies were taken on. */
static int
compare(enum kind kind, int vocabularies)
{
	static const char *const name[] = {"merges as trained", "all pairs",
	    "merges in any order", "characters"};
	struct draw r = {3 + (uint32_t)kind};
	int i, k, taken = 0, wrong = 0, left = 0;
	char s[MOST_TEXT];
	struct words w;
	bool done;

	for (i = 0; i < vocabularies; i++) {
		struct gv_tokenizer *t;

		trained(&w, &r, 6 + (int)draw(&r, MOST_TOK - 6));
		if (kind == PAIRS)
			all_pairs(&w);
		if (kind == SHUFFLED)
			shuffle(&w, &r);
		t = open_words(&w, kind == CHARS);
		taken += t->made != NULL;
		for (k = 0; t->made && k < 400; k++) {
			size_t n = text(&w, &r, kind == CHARS, s);

			wrong += !same(t, s, n, &done);
			left += !done;
		}
		gv_tokenizer_close(&t);
	}
	is_int(wrong, 0, "%s: the same ids in %d of %d vocabularies",
	    name[kind], taken, vocabularies);
	is_int(left, 0, "... and all of each text is covered");
	return taken;
}

/* A symbol that the vocabulary lacks leaves the piece to merging. */
static void
unknown(void)
{
	struct draw r = {1};
	struct gv_tokenizer *t;
	struct words w;
	bool done;

	trained(&w, &r, 20);
	t = open_words(&w, false);
	ok(t->made && same(t, "ab?ba", 5, &done) && !done,
	    "a byte without a token is left to merging");
	ok(same(t, "abba", 4, &done) && done, "others aren't");
	gv_tokenizer_close(&t);
}

/* Long texts, whose places no longer fit on the stack. */
static void
long_texts(void)
{
	size_t n = 100000, i;
	char *s = malloc(n);
	struct draw r = {2};
	struct gv_tokenizer *t;
	struct words w;
	bool done;
	int k;

	if (!s)
		bail("long_texts", "out of memory");
	trained(&w, &r, MOST_TOK);
	t = open_words(&w, false);
	for (k = 1; k <= LETTERS; k++) {
		for (i = 0; i < n; i++)
			s[i] = (char)('a' + (int)draw(&r, (uint32_t)k));
		ok(t->made && same(t, s, n, &done) && done,
		    "100,000 of %d letters", k);
	}
	gv_tokenizer_close(&t);
	free(s);
}

/* One letter again and again, of every length. */
static void
runs(void)
{
	struct draw r = {5};
	char s[MOST_TEXT * 2];
	int i, k, wrong = 0, tried = 0;
	struct words w;
	bool done;

	memset(s, 'a', sizeof s);
	for (i = 0; i < 40; i++) {
		struct gv_tokenizer *t;

		add_letters(&w);
		while (w.toks < LETTERS + 8) {
			int n = w.toks - LETTERS + 1;
			int a = (int)draw(&r, (uint32_t)n);
			int b = (int)draw(&r, (uint32_t)n);

			a += a ? LETTERS - 1 : 0;
			b += b ? LETTERS - 1 : 0;
			if (join(&w, a, b) >= 0)
				add_merge(&w, a, b);
		}
		t = open_words(&w, false);
		for (k = 1; t->made && k < (int)sizeof s; k++, tried++)
			wrong += !same(t, s, (size_t)k, &done) || !done;
		gv_tokenizer_close(&t);
	}
	ok(tried > 10000 && !wrong, "%d of %d runs of one letter differ", wrong,
	    tried);
}

int
main(void)
{
	int taken;

	make_scratch();
	is_int(compare(TRAINED, 150), 150, "trained merges are searched");
	taken = compare(PAIRS, 150);
	ok(taken > 75 && taken < 150, "all pairs are, mostly");
	taken = compare(SHUFFLED, 300);
	ok(taken > 0 && taken < 150, "of any order, some are");
	is_int(compare(CHARS, 60), 60, "characters are");
	runs();
	unknown();
	long_texts();
	cleanup();
	return done();
}
