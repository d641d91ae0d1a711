/* The calculator against Python's fractions, tools as programs, and what is
 * looked for in a growing text. */
#include "tool.h"

#include "bpe_train.h"
#include "golden.h"
#include "mem.h"
#include "tap.h"
#include "watch.h"

#include <stdlib.h>
#include <unistd.h>

static struct gv_error e;
static struct gv_tokenizer *nano, *chatml;

static void
fatal(const char *what)
{
	printf("Bail out! %s: %s\n", what, e.msg);
	exit(1);
}

/* ---- the calculator ------------------------------------------------------ */

static const char *
value(const char *s)
{
	static char out[GV_CALC_TEXT];

	return gv_calculate(s, strlen(s), out) ? out : "!";
}

static void
golden(const char *argv0)
{
	static char line[4096];
	long cases = 0, faults = 0;
	char path[MOST_DIR], *tab;
	FILE *f;

	golden_find(path, argv0, "GV_CALCULATOR", "calculator", "cases");
	f = fopen(path, "r");
	if (!f)
		fatal(path);
	while (fgets(line, sizeof line, f)) {
		line[strcspn(line, "\n")] = '\0';
		tab = strchr(line, '\t');
		if (!tab)
			fatal("a case without a value");
		*tab = '\0';
		cases++;
		if (!strcmp(value(line), tab + 1))
			continue;
		faults++;
		printf("# %s: %s, want %s\n", line, value(line), tab + 1);
	}
	fclose(f);
	ok(cases > 200 && !faults, "%ld expressions are what Python says",
	    cases);
}

static void
calculator(void)
{
	static const char *const is[][2] = {
	    {"48/2", "24"},
	    {"10/3", "3.33333333333"},
	    {" ( 1 + 2 ) * -3 ", "-9"},
	    {".1+.2", "0.3"},
	    {"-7//2", "-4"},
	    {"2-0.0000001*3", "1.9999997"},
	    {"99999999999999999999*99999999999999",
		"9999999999999899999900000000000001"},
	    {"0.9999999999996", "1"},
	    {"123456789012345.6", "123456789012346"},
	    {"-0.5/1000000000000000", "-0.0000000000000005"},
	    {"0-0", "0"},
	    {"\"strawberry\".count(\"r\")", "3"},
	    {"'aaaa' . count ( 'aa' )", "2"},
	    {"'\xc3\xa4x'.count('')", "3"},
	    {"'it\\'s a \\\\'.count('\\\\')", "1"},
	};
	static const char *const none[] = {"", " ", "1+", "2**3", "1/0",
	    "3//(1-1)", "1 2", "2(3)", "(1", "1)", ".", "1..2", "1e5", "x",
	    "1,000", "0x10", "1;2", "__import__('os')", "'a'", "'a'.count()",
	    "'a'.count('a", "'a'.upper('a')", "'a'.count('\\x41')", "1%2",
	    "'a'.count('a')+1", "9999999999*9999999999*9999999999*9999999999",
	    "1/99999999999999999999999999999999999999"};
	char deep[200], longest[5000];
	size_t i;

	for (i = 0; i < sizeof is / sizeof *is; i++)
		is_str(value(is[i][0]), is[i][1], "%s", is[i][0]);
	for (i = 0; i < sizeof none / sizeof *none; i++)
		is_str(value(none[i]), "!", "no value: '%s'", none[i]);
	memset(deep, '(', 100);
	memset(deep + 101, ')', 99);
	deep[100] = '1';
	deep[199] = '\0';
	is_str(value(deep), "!", "too deep");
	memset(longest, ' ', sizeof longest - 2);
	longest[sizeof longest - 2] = '1';
	longest[sizeof longest - 1] = '\0';
	is_str(value(longest), "!", "too long");
	is_str(value(longest + 1000), "1", "not too long");
}

/* ---- tools --------------------------------------------------------------- */

static struct gv_tool *
open_tool(const struct gv_tokenizer *t, const char *name, const char *start,
    const char *end)
{
	const struct gv_tool_opts o = {
	    .name = name, .timeout = .5, .marks = {start, end, NULL, NULL}};
	struct gv_tool *tool = NULL;

	if (gv_tool_open(&tool, &o, t, &e))
		return NULL;
	return tool;
}

/* What a call forces, as text; NULL after an error. */
static char *
answer(struct gv_tool *tool, const struct gv_tokenizer *t, const char *text)
{
	const struct gv_tool_call c = {
	    .prompt = 12, .sample = 3, .text = text, .n = strlen(text)};
	struct gv_ids ids = {0};
	char *s = NULL;
	size_t n;

	if (!gv_tool_call(tool, &c, &ids, &e) &&
	    gv_decode(t, ids.id, ids.n, true, &s, &n, &e))
		fatal("gv_decode");
	if (e.code && ids.n)
		printf("# ids after an error\n");
	gv_ids_free(&ids);
	return s;
}

static void
says(struct gv_tool *tool, const struct gv_tokenizer *t, const char *text,
    const char *want)
{
	char *s = answer(tool, t, text);

	if (!s)
		printf("# %s\n", e.msg);
	is_str(s, want, "answered: %s", want);
	gv_free(s);
	gv_error_clear(&e);
}

static void
fails(const char *command, const char *why)
{
	struct gv_tool *tool = open_tool(nano, command, NULL, NULL);
	char *s = answer(tool, nano, "6*7");

	ok(!s && e.code == GV_ERR_SYS && strstr(e.msg, why),
	    "a program that fails: %s", e.msg);
	gv_error_clear(&e);
	gv_tool_close(&tool);
}

static void
tools(void)
{
	struct gv_tool *tool = open_tool(nano, "calculator", NULL, NULL);
	struct gv_ids ids = {0};
	const struct gv_tool_call c = {.text = "6*7", .n = 3};

	says(tool, nano, "6*7", "<|output_start|>42<|output_end|>");
	says(tool, nano, "6*", "<|output_start|>error<|output_end|>");
	if (gv_tool_call(tool, &c, &ids, &e))
		fatal("gv_tool_call");
	is_int(ids.id[0], gv_tokenizer_special(nano, "<|output_start|>"),
	    "its mark is the token");
	gv_ids_free(&ids);
	gv_tool_close(&tool);
	ok(!open_tool(chatml, "calculator", NULL, NULL) &&
		e.code == GV_ERR_MATCH,
	    "refused: %s", e.msg);
	gv_error_clear(&e);
	ok(!open_tool(chatml, "calculator", "<<", NULL) &&
		e.code == GV_ERR_USAGE,
	    "refused: %s", e.msg);
	gv_error_clear(&e);
	tool = open_tool(chatml, "calculator", "<<", "=");
	says(tool, chatml, "6*7", "42");
	gv_tool_close(&tool);
}

static void
programs(void)
{
	struct gv_tool *tool;

	tool = open_tool(nano,
	    "while read -r l; do case $l in *12:3:0*6[*]7*) "
	    "echo '{\"id\":\"12:3:0\",\"output\":\"4<|bos|>2\"}';; *) "
	    "echo '{\"error\":\"no\"}';; esac; done",
	    NULL, NULL);
	says(tool, nano, "6*7", "<|output_start|>4<|bos|>2<|output_end|>");
	says(tool, nano, "\xff\n\"", "<|output_start|>error: no<|output_end|>");
	ok(!gv_tool_finish(tool, &e), "it ends when it is let");
	gv_tool_close(&tool);
	fails("exit 3", "tool: the program");
	fails("sleep 20", "tool: the program");
	fails("while read -r l; do echo 42; done", "tool: the program");
	fails("while read -r l; do echo '{\"output\":42}'; done", "'output'");
	fails("while read -r l; do echo '{\"output\":\"a\",\"error\":\"b\"}'; "
	      "done",
	    "'output'");
	fails(
	    "while read -r l; do echo '{\"output\":\"a\",\"id\":\"1\"}'; done",
	    "to call 12:3:0");
	fails("/no/such/program", "tool: the program");
}

/* ---- watching ------------------------------------------------------------ */

/* Feeds the tokens of `pieces`, each encoded by itself, and says in `log` what
 * happened after which: "3s2" a stop string at byte 2 after piece 3, "4c[x]" a
 * call of x. */
static void
watch(const struct gv_tokenizer *t, const struct gv_watch_law *law,
    const char *const *piece, char *log, size_t cap)
{
	struct gv_watched s = {0};
	struct gv_ids ids = {0};
	struct gv_watch *w;
	size_t i, k, n = 0;

	log[0] = '\0';
	if (gv_watch_open(&w, t, law, &e))
		fatal("gv_watch_open");
	for (i = 0; piece[i]; i++) {
		bool force = piece[i][0] == '!';

		ids.n = 0;
		if (gv_encode(t, piece[i] + force, strlen(piece[i] + force),
			true, &ids, &e))
			fatal("gv_encode");
		if (force && gv_watch_force(w, &s, ids.id, ids.n, &e))
			fatal("gv_watch_force");
		for (k = 0; k < ids.n && !force; k++) {
			int event = gv_watch_add(w, &s, ids.id[k], &e);

			if (event == GV_WATCH_STOP) {
				snprintf(
				    log + n, cap - n, "%zus%zu", i, s.stop);
				goto out;
			}
			if (event == GV_WATCH_CALL)
				n += (size_t)snprintf(log + n, cap - n,
				    "%zuc[%.*s]", i, (int)(s.call_end - s.call),
				    s.s + s.call);
		}
		n += (size_t)snprintf(
		    log + n, cap - n, "|%zu", gv_watch_sure(w, &s));
	}
out:
	gv_ids_free(&ids);
	gv_watched_free(&s);
	gv_watch_close(&w);
}

#define PIECES(...) ((const char *const[]){__VA_ARGS__, NULL})

static void
watching(void)
{
	static const char *const one[] = {"\n\n"};
	static const char *const two[] = {"cde", "bcd"};
	struct gv_watch_law law = {.stop = one, .stops = 1};
	char log[200];

	watch(nano, &law, PIECES("a\n", "\n"), log, sizeof log);
	is_str(log, "|11s1", "a stop string across tokens");
	watch(nano, &law, PIECES("a\n", "!\n", "b\n"), log, sizeof log);
	is_str(log, "|1|3|4", "but not across what is forced");
	law.stop = two;
	law.stops = 2;
	watch(nano, &law, PIECES("ab", "c", "d"), log, sizeof log);
	is_str(log, "|1|12s1", "what may become one is held back");
	watch(nano, &law, PIECES("xcx", "xxb", "xcd", "e"), log, sizeof log);
	is_str(log, "|3|5|73s7", "until it is none");
	law = (struct gv_watch_law){
	    .start = "<|python_start|>", .end = "<|python_end|>"};
	watch(nano, &law,
	    PIECES("1", "<|python_start|>", "6*7", "<|python_end|>", "!42",
		"<|python_end|>"),
	    log, sizeof log);
	is_str(log, "|1|17|203c[6*7]|34|36|50", "a call between tokens");
	law.end = "=";
	watch(nano, &law,
	    PIECES("1=", "<|python", "_start|>1=", "<|python_start|>1",
		"+1==", "<|python_start|>="),
	    log, sizeof log);
	is_str(log, "|2|10|20|374c[1+1]|415c[]|58",
	    "spelled otherwise it is none; an empty one is");
	law = (struct gv_watch_law){.start = "<<", .end = "="};
	watch(chatml, &law, PIECES("1<", "<2", "+3", "=", "!5", "<<7=8=", "9="),
	    log, sizeof log);
	is_str(log, "|2|4|63c[2+3]|7|85c[7]|14|16", "a call between texts");
	law.stop = one;
	law.stops = 1;
	watch(chatml, &law, PIECES("<<1\n", "\n="), log, sizeof log);
	is_str(log, "|31s3", "a stop string within a call");
}

/* ---- set-up -------------------------------------------------------------- */

static struct gv_tokenizer *
make_tokenizer(const char *template)
{
	char dir[] = "/tmp/gv-tool-XXXXXX", path[64];
	struct gv_tokenizer *t;
	struct gv_bpe_law law = {.vocab = 280, .chat_template = template};
	struct gv_bpe_result result;
	struct gv_bpe_train *b;

	if (!mkdtemp(dir) || gv_bpe_train_open(&b, &law, &e) ||
	    gv_bpe_train_add(b, "error error", 11, &e) ||
	    gv_bpe_train_learn(b, &result, &e) ||
	    gv_bpe_train_write(b, dir, &e) || gv_tokenizer_open(&t, dir, &e))
		fatal("tokenizer");
	gv_bpe_train_close(&b);
	snprintf(path, sizeof path, "%s/tokenizer.json", dir);
	unlink(path);
	snprintf(path, sizeof path, "%s/tokenizer_config.json", dir);
	unlink(path);
	rmdir(dir);
	return t;
}

int
main(int argc, char **argv)
{
	(void)argc;
	nano = make_tokenizer("nano");
	chatml = make_tokenizer("chatml");
	golden(argv[0]);
	calculator();
	tools();
	programs();
	watching();
	gv_tokenizer_close(&nano);
	gv_tokenizer_close(&chatml);
	return done();
}
