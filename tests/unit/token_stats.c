/* Statistics of vocabularies against counts by hand. */
#include "token_stats.h"

#include "bpe_train.h"
#include "tokens.h"

#include <math.h>

static char path[MOST_PATH];

/* A vocabulary of bytes, and of " a", " ab" and what `more` asks for. */
static void
make_vocabulary(int32_t more)
{
	static const char text[] = " ab ab ab ab a a a";
	struct gv_bpe_law law = {.vocab = 256 + more + 1, .split = "gpt2"};
	static const char *const end[] = {"<|end|>"};
	struct gv_bpe_result result;
	struct gv_bpe_train *b;
	struct gv_error e = {0};

	law.special = end;
	law.specials = 1;
	must(gv_bpe_train_open(&b, &law, &e), &e);
	must(gv_bpe_train_add(b, text, sizeof text - 1, &e), &e);
	must(gv_bpe_train_learn(b, &result, &e), &e);
	must(gv_bpe_train_write(b, scratch, &e), &e);
	gv_bpe_train_close(&b);
}

/* The report on a text, which is read in that form from a file that is called
 * so; NULL if that fails, with the error in *e. */
static json_t *
report(const char *name, const char *text, enum gv_docs_form form,
    size_t threads, size_t models, struct gv_error *e)
{
	const char *model[2] = {scratch, scratch}, *file = path;
	struct gv_token_stats *s;
	uint64_t bytes = 0;
	json_t *o = NULL;
	int got;

	write_file(in_scratch(path, name), text, strlen(text));
	must(gv_token_stats_open(&s, model, models, &file, 1, form, threads, e),
	    e);
	while ((got = gv_token_stats_next(s, &bytes, e)) > 0)
		;
	if (!got) {
		o = gv_token_stats_report(s, e);
		is_int((long long)bytes,
		    json_integer_value(json_object_get(o, "bytes")),
		    "bytes of %s", name);
	}
	gv_token_stats_close(&s);
	unlink(path);
	return o;
}

static long long
number(const json_t *o, const char *key)
{
	const json_t *v = json_object_get(o, key);

	return json_is_integer(v) ? json_integer_value(v) : -1;
}

/* `want` is what the report says of kinds: tokens, bytes, ids of each. */
static void
are_kinds(const json_t *v, const char *want)
{
	static const char *const name[] = {
	    "letters", "numbers", "blanks", "other", "mixed", "broken"};
	const json_t *kinds = json_object_get(v, "kinds");
	char text[200];
	size_t n = 0, i;

	for (i = 0; i < 6; i++) {
		const json_t *k = json_object_get(kinds, name[i]);

		n += (size_t)snprintf(text + n, sizeof text - n,
		    "%s %lld/%lld/%lld%s", name[i], number(k, "tokens"),
		    number(k, "bytes"), number(k, "used"), i < 5 ? " " : "");
	}
	is_str(text, want, "kinds");
}

static void
numbers(void)
{
	struct gv_error e = {0};
	json_t *o, *v, *d, *x;

	make_vocabulary(2);
	/* " ab" " ab" | " a" "," "1" | "x" "y" "\xc3" "\xa9" " " " " */
	o = report(
	    "a.txt", " ab ab\n\n a,1\nxy\xc3\xa9  \n", GV_DOCS_LINES, 1, 2, &e);
	is_int(number(o, "documents"), 3, "documents");
	is_int(number(o, "bytes"), 6 + 4 + 6, "bytes");
	is_int((long long)json_array_size(json_object_get(o, "vocabularies")),
	    2, "vocabularies");
	v = json_array_get(json_object_get(o, "vocabularies"), 0);
	ok(json_equal(v, json_array_get(json_object_get(o, "vocabularies"), 1)),
	    "the same one gives the same");
	is_str(json_string_value(json_object_get(v, "model")), scratch,
	    "its name");
	is_int(number(v, "size"), 258, "ids but for the special one");
	is_int(number(v, "tokens"), 11, "tokens");
	is_int(number(v, "used"), 9, "ids that occur");
	is_int(number(v, "single"), 8, "of one byte");
	ok(fabs(json_real_value(json_object_get(v, "bytes_per_token")) -
		16.0 / 11) < 1e-12,
	    "bytes a token");
	d = json_object_get(v, "document");
	ok(fabs(json_real_value(json_object_get(d, "mean")) - 11.0 / 3) < 1e-12,
	    "tokens a document");
	ok(number(d, "min") == 2 && number(d, "p5") == 2 &&
		number(d, "p25") == 2 && number(d, "p50") == 3 &&
		number(d, "p75") == 6 && number(d, "p99") == 6 &&
		number(d, "max") == 6,
	    "quantiles");
	are_kinds(v, "letters 5/10/4 numbers 1/1/1 blanks 2/2/1 other 1/1/1 "
		     "mixed 0/0/0 broken 2/2/2");
	x = json_array_get(json_object_get(v, "longest"), 0);
	ok(number(x, "bytes") == 3 && number(x, "count") == 2,
	    "the longest token");
	is_str(json_string_value(json_object_get(x, "text")), " ab", "is");
	is_int((long long)json_array_size(json_object_get(v, "longest")), 9,
	    "all that occur are named");
	json_decref(o);
}

static void
forms(void)
{
	struct gv_error e = {0};
	json_t *o, *p;

	o = report("a.jsonl", "{\"text\": \" ab\"}\n{\"text\": \"\"}\n",
	    GV_DOCS_LINES, 1, 1, &e);
	is_int(number(o, "bytes"), 3, "text of JSON lines");
	is_int(number(o, "documents"), 2, "an empty one counts");
	json_decref(o);
	o = report("a.txt", " ab\n ab\n", GV_DOCS_WHOLE, 1, 1, &e);
	is_int(number(o, "documents"), 1, "a file");
	json_decref(o);
	o = report("a.txt", "", GV_DOCS_LINES, 1, 1, &e);
	p = json_array_get(json_object_get(o, "vocabularies"), 0);
	ok(json_is_null(json_object_get(p, "bytes_per_token")) &&
		json_is_null(
		    json_object_get(json_object_get(p, "document"), "max")),
	    "nothing has no mean");
	json_decref(o);
	ok(!report("a.jsonl", "{\"text\": \"a\"}\n{\"a\": 1}\n", GV_DOCS_JSON,
	       2, 1, &e) &&
		e.code == GV_ERR_FORMAT && strstr(e.msg, "line 2"),
	    "no text: %s", e.msg);
	gv_error_clear(&e);
	ok(!report("a.jsonl", "\n{\n", GV_DOCS_JSON, 1, 1, &e) &&
		e.code == GV_ERR_FORMAT && strstr(e.msg, "line 2"),
	    "no JSON: %s", e.msg);
}

static void
threads(void)
{
	size_t n = 300000, i;
	char *s = calloc(n + 1, 1);
	struct gv_error e = {0};
	struct draw r = {3};
	json_t *a, *b;

	if (!s)
		bail("threads", "out of memory");
	for (i = 0; i < n; i++)
		s[i] = " ab1,\n"[draw(&r, 6)];
	a = report("a.txt", s, GV_DOCS_LINES, 1, 2, &e);
	b = report("a.txt", s, GV_DOCS_LINES, 3, 2, &e);
	ok(a && json_equal(a, b), "the same by any number of threads");
	json_decref(a);
	json_decref(b);
	free(s);
}

/* The table has a line of `name` with `cell` at its end. */
static void
has_row(const char *table, const char *name, const char *cell)
{
	const char *at = strstr(table, name), *end = at ? strchr(at, '\n') : 0;
	size_t n = strlen(cell);

	ok(at && end && (size_t)(end - at) > n && !memcmp(end - n, cell, n),
	    "'%s' ends in %s", name, cell);
}

static void
table(void)
{
	struct gv_error e = {0};
	struct gv_out *out;
	char *text, to[MOST_PATH];
	json_t *o = report("a.txt", " ab ab x\n ab\n", GV_DOCS_LINES, 1, 2, &e);
	size_t n;

	must(gv_out_open(&out, in_scratch(to, "t"), false, true, &e), &e);
	must(gv_token_stats_print(out, o, &e), &e);
	must(gv_out_commit(&out, &e), &e);
	must(gv_slurp(to, 1 << 20, &text, &n, &e), &e);
	ok(!strncmp(text, "2 documents, 11 bytes\n", 22), "what was read");
	has_row(text, "tokens     ", "                   5");
	has_row(text, "bytes a token", "2.2000");
	has_row(text, "  share that is used", "1.16 %");
	has_row(text, "tokens of one byte", "40.00 %");
	has_row(text, "  letters", "2  80.00 %");
	has_row(text, "3 bytes,        3 times", "' ab'");
	unlink(to);
	gv_free(text);
	json_decref(o);
}

int
main(void)
{
	make_scratch();
	numbers();
	forms();
	threads();
	table();
	cleanup();
	return done();
}
