/* Command lines: every type, every way to be wrong, and --help. */
#include "opt.h"

#include "mem.h"
#include "tap.h"

#include <stdlib.h>

static bool flag;
static int count, word;
static int64_t size;
static double rate;
static const char *name;
static struct gv_opt_list list;

static const struct gv_opt opts[] = {
    {"flag", 'g', GV_OPT_FLAG, &flag, NULL, "a flag", 0, 0, NULL},
    {"count", 0, GV_OPT_COUNT, &count, NULL, "a count", 0, 0, NULL},
    {"size", 's', GV_OPT_INT, &size, "N", "a size", -10, 1e6, NULL},
    {"rate", 0, GV_OPT_F64, &rate, "X", "a rate", 0, 1, NULL},
    {"name", 'o', GV_OPT_STR, &name, "NAME", "a name", 0, 0, NULL},
    {"word", 0, GV_OPT_WORD, &word, NULL, "a word", 0, 0, "one|two|three"},
    {"list", 0, GV_OPT_LIST, &list, "X", "a list", 0, 0, NULL}, {0}};

static const struct gv_opt_prog prog = {"gv-test", "[FILE ...]", "test",
    GV_OPT_C_SEED | GV_OPT_C_OUTPUT | GV_OPT_C_JSON | GV_OPT_C_DEVICE, opts};

static struct gv_opt_common common;
static struct gv_error e;
static char *args[32];
static int nargs;

/* Parses the words of a line, split at spaces. */
static int
parse(const char *line)
{
	static char copy[512];
	char *p = copy;
	int n = 1;

	gv_error_clear(&e);
	flag = false;
	count = word = 0;
	size = 0;
	rate = 0.5;
	name = "unset";
	list.n = 0;
	snprintf(copy, sizeof copy, "%s", line);
	args[0] = copy;
	while (*p && n < 31) {
		args[n++] = p;
		p += strcspn(p, " ");
		if (*p)
			*p++ = '\0';
	}
	args[n] = NULL;
	return gv_opt_parse(&prog, &common, n, args, &nargs, &e);
}

static int
wrong(const char *line, const char *words)
{
	int code = parse(line);
	int right = code == GV_ERR_USAGE && strstr(e.msg, words);

	if (!right)
		printf("# %d: %s\n", code, e.msg);
	return right;
}

static void
test_values(void)
{
	ok(!parse("--flag --count --count --size 1.5k --rate=0.25 --name a=b "
		  "--word three --list x --list=y in1 in2"),
	    "all types");
	ok(flag && count == 2 && size == 1500 && rate <= 0.25 && word == 2,
	    "their values");
	is_str(name, "a=b", "a text with a =");
	ok(list.n == 2 && !strcmp(list.v[1], "y"), "a list");
	ok(nargs == 2 && !strcmp(args[1], "in1") && !strcmp(args[2], "in2"),
	    "operands");
	ok(!parse("a --flag b - -- --size c") && nargs == 5 && flag &&
		!strcmp(args[3], "-") && !strcmp(args[4], "--size"),
	    "operands between and after options");
	ok(!parse("-gs-3") && flag && size == -3, "letters, a glued value");
	ok(!parse("-s 7 -o x") && size == 7 && !strcmp(name, "x"),
	    "a program's own letter wins");
	ok(!common.output, "and the common one has none");
	ok(!parse("--output f --seed 2Ki --json --device cpu -q -vv") &&
		!strcmp(common.output, "f") && common.seed == 2048 &&
		common.json && common.quiet && common.verbose == 2 &&
		!strcmp(common.device, "cpu"),
	    "common options");
	ok(!parse("") && !strcmp(common.device, "auto") && !common.json,
	    "defaults");
	setenv("GV_DEVICE", "cuda:1", 1);
	ok(!parse("") && !strcmp(common.device, "cuda:1"), "GV_DEVICE");
	unsetenv("GV_DEVICE");
	ok(!parse("--help --nonsense") && common.help, "--help comes first");
	ok(!parse("--version") && common.version, "--version");
}

static void
test_wrong(void)
{
	ok(wrong("--sise 1", "'--sise'"), "an unknown option");
	ok(wrong("-x", "'-x'"), "an unknown letter");
	ok(wrong("--siz 1", "'--siz'"), "no abbreviations");
	ok(wrong("--threads 2", "'--threads'"), "a common one not taken");
	ok(wrong("--size", "needs a value"), "no value");
	ok(wrong("--size=", "whole number"), "an empty number");
	ok(wrong("--size 1x", "'1x'"), "junk after a number");
	ok(wrong("--size 0x10", "'0x10'"), "hexadecimal");
	ok(wrong("--size 1.5", "whole"), "a fraction");
	ok(wrong("--size 1000001", "between -10 and 1000000"), "too large");
	ok(!parse("--size 1000000"), "the limit is allowed");
	ok(wrong("--size 99999999999999999999", "whole"), "an overflow");
	ok(wrong("--seed 9007199254740993", "whole"), "beyond 2^53");
	ok(wrong("--rate nan", "'nan'"), "NaN");
	ok(wrong("--rate 1e999", "number"), "infinity");
	ok(wrong("--rate 1.5", "between"), "a rate too large");
	ok(wrong("--word four", "one|two|three"), "another word");
	ok(wrong("--word on", "one|two|three"), "part of a word");
	ok(wrong("--word=", "one|two|three"), "no word");
	ok(wrong("--name=", "empty"), "an empty text");
	ok(wrong("--flag=1", "takes no value"), "a value for a flag");
	ok(wrong("--x\x1b[2J", "\\x1b[2J"), "controls are quoted");
}

static void
test_help(void)
{
	char text[4096] = "";
	FILE *f = fmemopen(text, sizeof text, "w");
	const struct gv_opt *o;
	char row[64];
	int all = 1;

	gv_opt_help(&prog, f);
	fclose(f);
	for (o = opts; o->name; o++) {
		snprintf(row, sizeof row, "--%s", o->name);
		all &= strstr(text, row) && strstr(text, o->help);
	}
	ok(all, "help names every option");
	ok(strstr(text, "usage: gv-test [FILE ...]\ntest\n") != NULL,
	    "and the use");
	ok(strstr(text, "-s, --size N") && strstr(text, "one|two|three"),
	    "letters and values");
	ok(strstr(text, "--seed") && strstr(text, "-h, --help"),
	    "common options that are taken");
	ok(!strstr(text, "--threads"), "and no others");
	ok(!strstr(text, "-o, --output") && strstr(text, "--output FILE"),
	    "a letter is listed once");
}

int
main(void)
{
	int64_t v;

	test_values();
	test_wrong();
	test_help();
	ok(!gv_opt_i64("2Gi", &v) && v == 2147483648, "Gi");
	ok(!gv_opt_i64("1e6", &v) && v == 1000000, "an exponent");
	ok(gv_opt_i64("", &v) && gv_opt_i64("-", &v) && gv_opt_i64("k", &v) &&
		gv_opt_i64("1ki ", &v) && gv_opt_i64(" 1", &v),
	    "no numbers");
	gv_free(list.v);
	return done();
}
