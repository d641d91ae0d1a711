/* Documents from files: every form, and where blocks end. */
#include "documents.h"

#include "split.h"
#include "tokens.h"

#define MB ((size_t)1 << 20)

static char path[MOST_PATH];

/* Reads all documents of `path` into one string, a '|' behind each. */
static char *
joined(enum gv_docs_form form, size_t *docs)
{
	static struct gv_docs_batch b;
	const char *file = path;
	struct gv_error e = {0};
	struct gv_docs *d;
	size_t n = 0, i, cap = 1;
	char *all = malloc(cap);
	int got;

	*docs = 0;
	must(gv_docs_open(&d, &file, 1, form, &e), &e);
	while ((got = gv_docs_next(d, &b, &e)) > 0)
		for (i = 0; i < b.docs; i++, ++*docs) {
			cap += b.doc[i].n + 1;
			all = realloc(all, cap);
			if (!all)
				bail("joined", "out of memory");
			memcpy(all + n, b.text + b.doc[i].at, b.doc[i].n);
			n += b.doc[i].n;
			all[n++] = '|';
		}
	must(got, &e);
	all[n] = '\0';
	gv_docs_free(&b);
	gv_docs_close(&d);
	return all;
}

static void
forms(void)
{
	static const char text[] = "one\n\n \t\r\n two \nthree";
	static const struct {
		const char *name, *want;
		enum gv_docs_form form;
	} v[] = {{"a.txt", "one| two |three|", GV_DOCS_LINES},
	    {"a.txt", "one| two |three|", GV_DOCS_JSON},
	    {"a.txt", "one\n\n \t\r\n two \nthree|", GV_DOCS_WHOLE},
	    {"a.txt", "one\n\n \t\r\n two \nthree|", GV_DOCS_BLOCKS},
	    {"a.jsonl", "one| two |three|", GV_DOCS_BLOCKS},
	    {"a.jsonl", "one\n\n \t\r\n two \nthree|", GV_DOCS_WHOLE}};
	size_t i, docs;

	for (i = 0; i < sizeof v / sizeof *v; i++) {
		char *all;

		in_scratch(path, v[i].name);
		write_file(path, text, sizeof text - 1);
		all = joined(v[i].form, &docs);
		is_str(
		    all, v[i].want, "%s, form %d", v[i].name, (int)v[i].form);
		free(all);
		unlink(path);
	}
}

/* Fills 3 MB with `unit` and writes them. */
static char *
repeat(const char *unit)
{
	size_t n = 3 * MB, len = strlen(unit), i;
	char *s = malloc(n);

	if (!s)
		bail("repeat", "out of memory");
	for (i = 0; i < n; i++)
		s[i] = unit[i % len];
	write_file(in_scratch(path, "b.txt"), s, n);
	return s;
}

/* Nothing is lost, and blocks begin with `first`. */
static void
blocks(const char *unit, const char *first, const char *name)
{
	char *s = repeat(unit), *all, *p;
	size_t docs, n = 0, bad = 0;

	all = joined(GV_DOCS_BLOCKS, &docs);
	for (p = all; *p; p = strchr(p, '|') + 1) {
		size_t len = (size_t)(strchr(p, '|') - p);

		bad += len > MB || memcmp(p, s + n, len);
		bad += p > all && strncmp(p, first, strlen(first));
		n += len;
	}
	ok(docs >= 3 && docs <= 5 && !bad && n == 3 * MB, "%s: %zu blocks",
	    name, docs);
	free(s);
	free(all);
	unlink(path);
}

/* The pieces of blocks are those of the whole. */
static void
same_pieces(const char *pattern, const char *name)
{
	char *s = repeat("x.\nA b1 \n\n'll  12\n34 a\r\nb !\n/c\nd\n"), *all;
	struct gv_splitter w, v;
	struct gv_error e = {0};
	struct gv_split *split;
	size_t docs, at, end, from, to, n = 0, differ = 0;
	char *p, *q;

	must(gv_split_open(&split, pattern, &e), &e);
	must(gv_splitter_open(&w, split, s, 3 * MB, &e), &e);
	all = joined(GV_DOCS_BLOCKS, &docs);
	for (p = all; *p; p = q + 1) {
		q = strchr(p, '|');
		must(gv_splitter_open(&v, split, p, (size_t)(q - p), &e), &e);
		while (gv_splitter_next(&v, &at, &end, &e) > 0)
			differ += gv_splitter_next(&w, &from, &to, &e) != 1 ||
				  from != n + at || to != n + end;
		gv_splitter_close(&v);
		n += (size_t)(q - p);
	}
	must(e.code, &e);
	ok(docs > 2 && !differ && n == 3 * MB,
	    "%s: %zu pieces differ in %zu blocks", name, differ, docs);
	gv_splitter_close(&w);
	gv_split_close(&split);
	free(s);
	free(all);
	unlink(path);
}

static void
errors(void)
{
	static struct gv_docs_batch b;
	const char *file[] = {path, "/nonexistent/file"};
	struct gv_error e = {0};
	struct gv_docs *d;
	json_t *o;

	write_file(in_scratch(path, "c.jsonl"), "{}\n[]\n", 6);
	must(gv_docs_open(&d, file, 2, GV_DOCS_BLOCKS, &e), &e);
	is_int(gv_docs_next(d, &b, &e), 1, "documents before a missing file");
	is_int(gv_docs_next(d, &b, &e), GV_ERR_SYS, "then that: %s", e.msg);
	is_int((long long)b.docs, 0, "and no document");
	gv_docs_close(&d);
	gv_error_clear(&e);
	is_int(gv_docs_parse(&o, "{\"a\": 1}", 8, &e), 0, "an object");
	json_decref(o);
	ok(gv_docs_parse(&o, "[]", 2, &e) == GV_ERR_FORMAT, "a list: %s",
	    e.msg);
	b.file = "c.jsonl";
	b.lines = true;
	b.doc[0].number = 7;
	gv_docs_in(&b, &b.doc[0], &e);
	is_str(e.msg, "'c.jsonl': line 7: not a JSON object", "where it is");
	gv_docs_free(&b);
	unlink(path);
}

/* Fails at the text "two". */
static int
until_two(void *ctx, const char *s, size_t n, bool json, struct gv_error *e)
{
	int *calls = ctx;

	++*calls;
	return !json && n == 3 && !memcmp(s, "two", 3)
		   ? gv_fail(e, GV_ERR_FORMAT, "found")
		   : 0;
}

static void
each(void)
{
	static struct gv_docs_batch b;
	const char *file = path;
	struct gv_error e = {0};
	struct gv_docs *d;
	int calls = 0;
	char want[MOST_PATH + 64];

	write_file(in_scratch(path, "each.txt"), "one\n\ntwo\nthree\n", 15);
	must(gv_docs_open(&d, &file, 1, GV_DOCS_LINES, &e), &e);
	is_int(gv_docs_next(d, &b, &e), 1, "a batch");
	is_int(gv_docs_each(&b, until_two, &calls, &e), GV_ERR_FORMAT,
	    "its second document fails");
	is_int(calls, 2, "the third isn't looked at");
	snprintf(want, sizeof want, "'%s': line 3: found", path);
	is_str(e.msg, want, "file and line are named");
	gv_docs_free(&b);
	gv_docs_close(&d);
	unlink(path);
}

int
main(void)
{
	make_scratch();
	forms();
	blocks("a line.\nAnother one\n", "", "lines");
	blocks("words of a text ", " ", "words");
	blocks("\xe4\xb8\xad", "\xe4\xb8\xad", "characters");
	blocks("a", "a", "a letter");
	same_pieces(gv_split_qwen2, "qwen2");
	same_pieces(gv_split_gpt2, "gpt2");
	same_pieces(gv_split_llama3, "llama3");
	same_pieces(gv_split_o200k, "o200k");
	same_pieces(gv_split_cl100k, "cl100k");
	same_pieces(gv_split_smollm, "smollm");
	errors();
	each();
	cleanup();
	return done();
}
