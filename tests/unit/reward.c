/* Rewards by their definitions: against what the official implementations say
 * (tests/golden/reward, made by compare_metrics.py), and where those say
 * nothing.
 */
#include "json.h"
#include "mem.h"
#include "must.h"
#include "reward.h"
#include "reward_ptb_priv.h"

#include <dirent.h>
#include <stdlib.h>
#include <unistd.h>

static const struct gv_reward_opts none;

/* ---- one text ------------------------------------------------------------ */

static double
judge_by(const char *task, const struct gv_reward_opts *o, const char *text,
    const char *a, const char *b)
{
	struct gv_span answers[2] = {
	    {a, strlen(a)}, {b ? b : "", b ? strlen(b) : 0}};
	struct gv_judged in = {.text = {text, strlen(text)},
	    .answers = answers,
	    .nanswers = (size_t)(b ? 2 : 1)};
	struct gv_error e = {0};
	struct gv_reward *r;
	struct gv_verdict v = {.reward = -1};

	if (gv_reward_open(&r, task, o, false, &e))
		return -2;
	if (gv_reward_judge(r, &in, &v, &e) || v.nparts != gv_reward_parts(r))
		v.reward = -3;
	gv_reward_close(&r);
	return v.reward;
}

static void
exact(void)
{
	static const struct {
		const char *text, *a, *b;
		double want;
	} row[] = {
	    {"yes", "yes", NULL, 1},
	    {"yes", "no", NULL, 0},
	    {"yes", "no", "yes", 1},
	    {"yes", "yes", "no", 1},
	    {" Yes.\n", "yes", NULL, 1},
	    {"yes", "\tYES .", NULL, 1},
	    {"yes .", "yes", NULL, 1},
	    {"yes..", "yes", NULL, 0},
	    {"yes..", "yes.", NULL, 0},
	    {"yes!", "yes", NULL, 0},
	    {"yes it is", "yes", NULL, 0},
	    {"yes", "yes it is", NULL, 0},
	    {"ye s", "yes", NULL, 0},
	    {"", "", NULL, 0},
	    {" \n", "", "yes", 0},
	    {".", ".", NULL, 0},
	    {"", "yes", NULL, 0},
	    {"3.14", "3.14.", NULL, 1},
	    {"\303\211t\303\251", "\303\251t\303\251", NULL, 0},
	    {"\303\251T\303\251", "\303\251t\303\251", NULL, 1},
	    {"steel blue", "Steel Blue", NULL, 1},
	};
	size_t i;

	for (i = 0; i < sizeof row / sizeof *row; i++)
		near(judge_by("exact", &none, row[i].text, row[i].a, row[i].b),
		    row[i].want, 0, "exact row %zu", i);
}

static void
gsm8k(void)
{
	near(judge_by("gsm8k", &none, "#### 1,200", "1200", NULL), 1, 0,
	    "an answer without its mark is a number");
	near(judge_by("gsm8k", &none, "#### 12", "ab\n#### 7", "#### 12"), 1, 0,
	    "any of several answers");
	near(judge_by("gsm8k", &none, "1200", "1200", NULL), 0, 0,
	    "but the text needs the mark");
}

static void
format(void)
{
	const struct gv_reward_opts o = {
	    .pattern = "^<think>(?s:.*)</think>\\s*\\d+$"};
	struct gv_reward_opts bad = {.pattern = "(a+"};
	struct gv_reward *r = NULL;
	struct gv_error e = {0};

	near(judge_by("format", &o, "<think>a\nb</think> 7", "", NULL), 1, 0,
	    "a pattern matches");
	near(judge_by("format", &o, "<think>a\nb</think> x", "", NULL), 0, 0,
	    "or not");
	near(judge_by("format", &o, "", "", NULL), 0, 0, "nothing");
	is_int(gv_reward_open(&r, "format", &bad, false, &e), GV_ERR_USAGE,
	    "a pattern that is none");
	is_str(e.msg,
	    "--format: missing closing parenthesis at character 3 of the "
	    "pattern",
	    "is said");
	gv_error_clear(&e);
	is_int(gv_reward_open(&r, "format", &none, false, &e), GV_ERR_USAGE,
	    "no pattern");
	bad.pattern = "(a+)+$";
	near(judge_by("format", &bad, "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab",
		 "", NULL),
	    -3, 0, "a pattern that takes forever is given up");
}

static void
length(void)
{
	const struct gv_reward_opts o = {
	    .max_length = 100, .length_margin = 20};
	static const struct {
		int64_t n;
		double want;
	} row[] = {{0, 0}, {79, 0}, {80, 0}, {81, -.05}, {90, -.5}, {99, -.95},
	    {100, -1}, {101, -1}, {100000, -1}};
	struct gv_error e = {0};
	struct gv_reward *r = NULL;
	struct gv_verdict v;
	size_t i;

	is_int(gv_reward_open(&r, "length", &o, false, &e), 0, "length");
	for (i = 0; i < sizeof row / sizeof *row; i++) {
		struct gv_judged in = {.length = row[i].n};

		v.reward = 9;
		is_int(gv_reward_judge(r, &in, &v, &e), 0, "judge");
		near(v.reward, row[i].want, 1e-15, "%lld tokens",
		    (long long)row[i].n);
	}
	gv_reward_close(&r);
	is_int(gv_reward_open(&r, "length", &none, false, &e), GV_ERR_USAGE,
	    "no length");
}

/* ---- sums ---------------------------------------------------------------- */

static void
sums(void)
{
	static const char *const wrong[] = {"", "exac", "exact,", ",exact",
	    "exact:", "exact:x", "exact:1:2", "exact:nan", "exact:inf",
	    "exact,exact", "exact:1,", "exact 1"};
	const struct gv_reward_opts o = {.pattern = "s$"};
	struct gv_span a = {"yes", 3};
	struct gv_judged in = {
	    .text = {"yes", 3}, .answers = &a, .nanswers = 1};
	struct gv_error e = {0};
	struct gv_reward *r = NULL;
	struct gv_verdict v;
	double w;
	size_t i;

	is_int(gv_reward_open(&r, "exact:0.75,format:0.2,gsm8k:0,length:-1",
		   &(struct gv_reward_opts){
		       .pattern = "s$", .max_length = 3, .length_margin = 2},
		   false, &e),
	    0, "a sum");
	is_int((long long)gv_reward_parts(r), 4, "of four");
	is_str(gv_reward_part(r, 1, &w), "format", "by name");
	near(w, 0.2, 0, "and weight");
	is_int(gv_reward_needs(r), GV_NEED_ANSWERS | GV_NEED_LENGTH, "needs");
	in.length = 2;
	is_int(gv_reward_judge(r, &in, &v, &e), 0, "judge");
	near(v.reward, 0.75 + 0.2 + 0.5, 1e-15, "their sum");
	near(v.part[0], 1, 0, "a part before its weight");
	near(v.part[2], 0, 0, "another");
	near(v.part[3], -0.5, 0, "the last");
	gv_reward_close(&r);
	for (i = 0; i < sizeof wrong / sizeof *wrong; i++) {
		gv_error_clear(&e);
		ok(gv_reward_open(&r, wrong[i], &o, true, &e) && e.msg[0],
		    "'%s' is none", wrong[i]);
	}
	gv_error_clear(&e);
	is_int(gv_reward_open(&r, "exact:3e38", &o, true, &e), 0,
	    "a weight that 32 bits hold");
	is_int(gv_reward_judge(r, &in, &v, &e), 0, "judge");
	gv_reward_close(&r);
	is_int(gv_reward_open(&r, "exact:1e39", &o, true, &e), 0,
	    "and one that they don't");
	is_int(gv_reward_judge(r, &in, &v, &e), GV_ERR_FORMAT, "judge");
	gv_reward_close(&r);
}

/* NUL bytes are content. */
static void
binary(void)
{
	struct gv_span a = {"a\0c", 3};
	struct gv_judged in = {
	    .text = {"a\0b", 3}, .answers = &a, .nanswers = 1};
	struct gv_error e = {0};
	struct gv_reward *r = NULL;
	struct gv_verdict v = {.reward = -1};

	is_int(gv_reward_open(&r, "exact", &none, false, &e), 0, "open");
	is_str(gv_reward_name(r), "exact", "its name");
	is_int(gv_reward_judge(r, &in, &v, &e), 0, "judge");
	near(v.reward, 0, 0, "bytes behind a NUL count");
	in.nanswers = 0;
	is_int(gv_reward_judge(r, &in, &v, &e), GV_ERR_FORMAT, "no answers");
	near(v.reward, 0, 0, "leave the verdict as it was");
	gv_reward_close(&r);
	gv_reward_close(&r);
	gv_error_clear(&e);
	is_int(gv_reward_open(&r, "exac", &none, false, &e), GV_ERR_NOSUP,
	    "no such task");
	ok(!strncmp(e.msg, "no task is called 'exac' (there are exact ", 42),
	    "is said");
}

static void
annotators(void)
{
	struct gv_span a[11];
	struct gv_judged in = {.text = {"a b", 3}, .answers = a};
	struct gv_error e = {0};
	struct gv_reward *r = NULL;
	struct gv_verdict v;
	size_t i;

	for (i = 0; i < 11; i++)
		a[i] = (struct gv_span){"B", 1};
	is_int(gv_reward_open(&r, "vqa", &none, false, &e), 0, "vqa");
	in.nanswers = 3;
	is_int(gv_reward_judge(r, &in, &v, &e), GV_ERR_FORMAT,
	    "three answers can't agree enough");
	gv_error_clear(&e);
	in.nanswers = 4;
	is_int(gv_reward_judge(r, &in, &v, &e), 0, "four can");
	near(v.reward, 0, 0, "equal answers are taken as they are");
	a[3] = (struct gv_span){"c", 1};
	is_int(gv_reward_judge(r, &in, &v, &e), 0, "but different ones");
	near(v.reward, (2. / 3 * 3 + 1) / 4, 1e-15, "are normalised");
	gv_reward_close(&r);
	is_int(gv_reward_open(&r, "textvqa", &none, false, &e), 0, "textvqa");
	for (in.nanswers = 9; in.nanswers <= 11; in.nanswers++) {
		gv_error_clear(&e);
		is_int(gv_reward_judge(r, &in, &v, &e),
		    in.nanswers == 10 ? 0 : GV_ERR_FORMAT, "%zu answers",
		    in.nanswers);
	}
	gv_reward_close(&r);
}

/* ---- cider --------------------------------------------------------------- */

static int
put_file(const char *path, const char *text)
{
	FILE *f = fopen(path, "w");

	return !f || fputs(text, f) == EOF || fclose(f) == EOF;
}

static void
cider(void)
{
	static const char *const wrong[] = {"", "gv-df 1", "gv-df 2 3 0\n",
	    "gv-df 1 0 0\n", "gv-df 1 -3 0\n", "gv-df 1 3 1\n",
	    "gv-df 1 3 0\n2\ta\n", "gv-df 1 3 1\n2\ta", "gv-df 1 3 1\n2 a\n",
	    "gv-df 1 3 1\n1\ta\n", "gv-df 1 3 1\n4\ta\n", "gv-df 1 3 1\n2\t\n",
	    "gv-df 1 3 2\n2\ta\n2\ta\n",
	    "gv-df 1 3 1\n99999999999999999999\ta\n"};
	char path[] = "/tmp/gv-df-XXXXXX";
	struct gv_reward_opts o = {.df = path};
	struct gv_reward *r = NULL;
	struct gv_error e = {0};
	int fd = mkstemp(path);
	size_t i;

	ok(fd >= 0 && !close(fd), "a file");
	for (i = 0; i < sizeof wrong / sizeof *wrong; i++) {
		ok(!put_file(path, wrong[i]), "with faults");
		gv_error_clear(&e);
		is_int(gv_reward_open(&r, "cider", &o, false, &e),
		    GV_ERR_FORMAT, "row %zu", i);
	}
	is_int(
	    put_file(path, "gv-df 1 4 2\n2\ta\n4\ta dog\n"), 0, "a right one");
	near(judge_by("cider", &o, "a dog", "A dog.", NULL), 10. / 4, 1e-14,
	    "runs that all have don't count, those of no length neither");
	near(judge_by("cider", &o, "a dog runs off", "A dog runs off!", NULL),
	    10, 1e-14, "the same text");
	near(judge_by("cider", &o, "cat", "dog", NULL), 0, 0, "another");
	near(judge_by("cider", &o, ".", ".", NULL), 0, 0, "no words");
	/* 2 against 1: cos of (2) and (1) is 1, clipped to 1/2; no pairs of the
	 * one, one of the other */
	near(judge_by("cider", &o, "dog dog", "dog", NULL),
	    10. / 4 / 2 * exp(-1. / 72), 1e-14, "clipping and length");
	gv_error_clear(&e);
	is_int(gv_reward_open(&r, "cider", &none, false, &e), GV_ERR_USAGE,
	    "no file");
	unlink(path);
	gv_error_clear(&e);
	ok(gv_reward_open(&r, "cider", &o, false, &e), "a missing one");
}

/* ---- golden files -------------------------------------------------------- */

static struct gv_span
span(const json_t *v)
{
	struct gv_span s = {json_string_value(v), json_string_length(v)};

	return s;
}

static void
spans(struct gv_span *to, size_t *n, const json_t *v)
{
	size_t i;

	*n = json_is_string(v) ? 1 : json_array_size(v);
	if (*n > 32)
		bail("a golden file", "too many answers");
	for (i = 0; i < *n; i++)
		to[i] = span(json_is_string(v) ? v : json_array_get(v, i));
}

/* Captions and what the original tokenizer makes of them. */
static void
words(const json_t *list, const char *name)
{
	struct gv_bytes out = {0}, scratch = {0};
	struct gv_error e = {0};
	const json_t *c;
	size_t i, bad = 0;

	ok(json_array_size(list) >= 40, "%s: cases", name);
	json_array_foreach(list, i, c)
	{
		struct gv_span want = span(json_array_get(c, 1));

		if (gv_ptb_words(
			&out, &scratch, span(json_array_get(c, 0)), &e))
			bail(name, e.msg);
		if (out.n != want.n || memcmp(out.s, want.s, want.n) != 0) {
			printf("# got  '%.*s'\n# want '%s'\n", (int)out.n,
			    out.s, want.s);
			bad++;
		}
	}
	is_int((long long)bad, 0, "%s: differences", name);
	gv_free(out.s);
	gv_free(scratch.s);
}

static void
golden(const char *path, const char *name, const char *df)
{
	const struct gv_reward_opts opts = {.df = df};
	struct gv_error e = {0};
	struct gv_reward *r;
	struct gv_verdict v;
	json_t *o, *list, *c;
	size_t i, bad = 0;

	if (gv_json_load(&o, path, (size_t)1 << 20, &e))
		bail(name, e.msg);
	if (json_object_get(o, "words")) {
		words(json_object_get(o, "words"), name);
		json_decref(o);
		return;
	}
	if (gv_reward_open(&r, json_string_value(json_object_get(o, "task")),
		&opts, false, &e))
		bail(name, e.msg);
	list = json_object_get(o, "cases");
	ok(json_array_size(list) >= 20, "%s: cases", name);
	json_array_foreach(list, i, c)
	{
		double want = json_number_value(json_object_get(c, "want"));
		struct gv_span answers[32], options[32];
		struct gv_judged in = {.text = span(json_object_get(c, "text")),
		    .answers = answers};

		spans(answers, &in.nanswers, json_object_get(c, "answers"));
		if (json_array_size(json_object_get(c, "options"))) {
			in.options = options;
			spans(options, &in.noptions,
			    json_object_get(c, "options"));
		}
		if (gv_reward_judge(r, &in, &v, &e))
			bail(name, e.msg);
		if (!(fabs(v.reward - want) <= 1e-12)) {
			printf("# case %zu: got %.17g, want %.17g\n", i,
			    v.reward, want);
			bad++;
		}
	}
	is_int((long long)bad, 0, "%s: differences", name);
	gv_reward_close(&r);
	json_decref(o);
}

/* All of tests/golden/reward, found from here or from where this program is. */
static void
goldens(const char *argv0)
{
	const char *slash = strrchr(argv0, '/');
	char dir[4096] = "tests/golden/reward", path[8192], df[8192];
	struct dirent *d;
	int n = 0;
	DIR *f;

	if (access(dir, R_OK))
		snprintf(dir, sizeof dir, "%.*s/../../../tests/golden/reward",
		    slash ? (int)(slash - argv0) : 1, slash ? argv0 : ".");
	snprintf(df, sizeof df, "%s/cider.df", dir);
	f = opendir(dir);
	if (!f)
		bail(dir, "no such directory; run this from the source tree");
	while ((d = readdir(f))) {
		size_t len = strlen(d->d_name);

		if (len < 5 || strcmp(d->d_name + len - 5, ".json") != 0)
			continue;
		snprintf(path, sizeof path, "%s/%s", dir, d->d_name);
		golden(path, d->d_name, df);
		n++;
	}
	closedir(f);
	ok(n >= 10, "golden files");
}

int
main(int argc, char **argv)
{
	(void)argc;
	exact();
	gsm8k();
	format();
	length();
	sums();
	binary();
	annotators();
	cider();
	goldens(argv[0]);
	return done();
}
