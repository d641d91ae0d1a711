/* gv-tokenize: text and conversations to token ids, and back. */
#include "cli.h"
#include "io.h"
#include "json.h"
#include "mem.h"
#include "render_files.h"
#include "stream.h"
#include "token.h"
#include "token_decode.h"
#include "token_learn.h"
#include "token_show.h"
#include "token_stats.h"
#include "token_stream.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct gv_opt_common common;
static const char *model, *tiles;
static bool chat, prompt, text, decode, show, jsonl, whole, ids, specials;
static int64_t image_rows;
static struct gv_opt_list keep;
static struct gv_render how;

static const struct gv_opt opts[] = {
    {"model", 'm', GV_OPT_STR, &model, "DIR",
	"the directory with tokenizer.json", 0, 0, NULL},
    {"chat", 0, GV_OPT_FLAG, &chat, NULL,
	"JSON lines with conversations to train on", 0, 0, NULL},
    {"prompt", 0, GV_OPT_FLAG, &prompt, NULL,
	"JSON lines with messages to answer", 0, 0, NULL},
    {"text", 0, GV_OPT_FLAG, &text, NULL,
	"documents: a line each, or \"text\" in .jsonl files", 0, 0, NULL},
    {"decode", 0, GV_OPT_FLAG, &decode, NULL,
	"streams of tokens to text, a line a record", 0, 0, NULL},
    {"show", 0, GV_OPT_FLAG, &show, NULL,
	"print tokens to look at instead of a stream", 0, 0, NULL},
    {"template", 0, GV_OPT_STR, &how.chat.form, "NAME",
	"the chat template (the model's): chatml, qwen2.5, llama3.1, ...", 0, 0,
	NULL},
    {"no-thinking", 0, GV_OPT_FLAG, &how.chat.no_thinking, NULL,
	"qwen3: answers begin with an empty block of thoughts", 0, 0, NULL},
    {"date", 0, GV_OPT_STR, &how.chat.date, "TEXT",
	"llama3.1: today's date (26 Jul 2024)", 0, 0, NULL},
    {"tool-start", 0, GV_OPT_STR, &how.chat.marks.start, "TEXT",
	"begins a \"python\" part (<|python_start|>)", 0, 0, NULL},
    {"tool-end", 0, GV_OPT_STR, &how.chat.marks.end, "TEXT",
	"ends it (<|python_end|>)", 0, 0, NULL},
    {"tool-output-start", 0, GV_OPT_STR, &how.chat.marks.out_start, "TEXT",
	"begins a \"python_output\" part (<|output_start|>)", 0, 0, NULL},
    {"tool-output-end", 0, GV_OPT_STR, &how.chat.marks.out_end, "TEXT",
	"ends it (<|output_end|>)", 0, 0, NULL},
    {"image-rows", 0, GV_OPT_INT, &image_rows, "N",
	"placeholders an image takes (from config.json)", 1, 65536, NULL},
    {"tiles", 0, GV_OPT_STR, &tiles, "STREAM",
	"how gv-decode cut the pictures, by the lines' ids", 0, 0, NULL},
    {"max-length", 0, GV_OPT_INT, &how.max_length, "N",
	"cut the text of longer sequences", 1, INT32_MAX, NULL},
    {"keep", 0, GV_OPT_LIST, &keep, "KEY",
	"with --prompt: pass this key of the lines on as a field", 0, 0, NULL},
    {"jsonl", 0, GV_OPT_FLAG, &jsonl, NULL,
	"with --text: all input is JSON lines", 0, 0, NULL},
    {"whole", 0, GV_OPT_FLAG, &whole, NULL,
	"with --text: each file is one document", 0, 0, NULL},
    {"strict", 0, GV_OPT_FLAG, &how.strict, NULL,
	"with --text: text that isn't UTF-8 is an error", 0, 0, NULL},
    {"ids", 0, GV_OPT_FLAG, &ids, NULL,
	"with --decode: the input is lines of decimal ids", 0, 0, NULL},
    {"specials", 0, GV_OPT_FLAG, &specials, NULL,
	"with --decode: show special tokens", 0, 0, NULL},
    {0}};

static const struct gv_opt_prog prog = {
    "gv-tokenize",
    "-m DIR --chat|--prompt|--text [--show] [-o FILE] [FILE ...]\n"
    "       gv-tokenize -m DIR --decode [-o FILE] [FILE ...]\n"
    "       gv-tokenize train --vocab N -o DIR [FILE ...]\n"
    "       gv-tokenize stats -m DIR [--against DIR] [FILE ...]",
    "turn text into token ids, and back",
    GV_OPT_C_OUTPUT | GV_OPT_C_THREADS | GV_OPT_C_ERRORS,
    opts,
};

/* The operands; standard input where there are none. */
static const char *const *
inputs(int *n, char **argv)
{
	static const char *const std[] = {"-"};

	if (*n)
		return (const char *const *)argv + 1;
	*n = 1;
	return std;
}

/* ---- tokenizing ---------------------------------------------------------- */

/* R of the model, where it is one that we know; a tokenizer may stand alone. */
static int
rows_of_model(void)
{
	struct gv_error e = {0};
	int rows;

	if (gv_tokens_rows(model, &rows, &e)) {
		if (e.code != GV_ERR_NOSUP)
			cli_die(&e);
		cli_say(1, "%s; --image-rows is not known", e.msg);
	}
	return rows;
}

/* Writes all records, to a stream or to be looked at; how many lines were let
 * pass. */
static uint64_t
put_all(struct gv_render_files *f, struct gv_writer *w,
    const struct gv_tokens_view *view)
{
	uint64_t records = 0, tokens = 0, passed = 0;
	const struct gv_render_some *some;
	struct gv_error e = {0};
	size_t i;
	int got;

	while ((got = gv_render_next(f, &some, &e)) > 0) {
		for (i = 0; i < some->bads; i++) {
			if ((int64_t)passed++ >= common.max_errors)
				cli_die(&some->bad[i]);
			cli_warn("%s", some->bad[i].msg);
		}
		for (i = 0; !w && i < some->recs; i++)
			if (gv_tokens_show(view, &some->rec[i], &e))
				cli_die(&e);
		if ((w && gv_writer_join(w, some->part, &e)) ||
		    (some->rests && gv_out_flush(view->out, &e)))
			cli_die(&e);
		records += some->recs;
		tokens += some->tokens;
		if (w)
			cli_progress("%" PRIu64 " records, %" PRIu64 " tokens",
			    records, tokens);
	}
	if (got < 0)
		cli_die(&e);
	cli_say(1, "%" PRIu64 " records, %" PRIu64 " tokens, %" PRIu64 " bad",
	    records, tokens, passed);
	return passed;
}

/* May text be coloured?  Only where it is looked at. */
static bool
in_colour(void)
{
	const char *never = getenv("NO_COLOR"), *term = getenv("TERM");

	return isatty(STDOUT_FILENO) && !(never && *never) &&
	       !(term && !strcmp(term, "dumb"));
}

static int
tokenize(const struct gv_tokenizer *t, const char *const *file, int files)
{
	enum gv_docs_form form = whole ? GV_DOCS_WHOLE : GV_DOCS_LINES;
	struct gv_tokens_view view = {.tokenizer = t};
	struct gv_tile_table *table = NULL;
	struct gv_error e = {0};
	struct gv_render_files *f;
	struct gv_writer *w = NULL;
	struct gv_out *out;
	uint64_t bad;

	how.tokenizer = t;
	how.keep = keep.v;
	how.nkeep = keep.n;
	how.mode = chat     ? GV_RENDER_CHAT
		   : prompt ? GV_RENDER_PROMPT
		   : jsonl  ? GV_RENDER_JSON
			    : GV_RENDER_TEXT;
	if (!text) {
		how.chat.image_rows =
		    image_rows ? (int)image_rows : rows_of_model();
		if (gv_chat_check(t, &how.chat, &e) ||
		    (tiles && gv_tile_table_open(&table, tiles, &e)))
			cli_die(&e);
	}
	how.tiles = table;
	if (gv_out_open(&out, common.output, !show, common.force, &e) ||
	    (!show && gv_tokens_open(&w, out, &how, form, &e)) ||
	    gv_render_open(&f, &how, file, (size_t)files, form,
		(size_t)common.threads, w, out, &e))
		cli_die(&e);
	view.out = out;
	view.colour = !common.output && in_colour();
	bad = put_all(f, w, &view);
	if ((w && gv_writer_close(&w, bad, &e)) || gv_out_commit(&out, &e))
		cli_die(&e);
	gv_render_close(&f);
	gv_tile_table_close(&table);
	gv_free(keep.v);
	return cli_finish();
}

/* ---- decoding ------------------------------------------------------------ */

static int
decode_all(const struct gv_tokenizer *t, const char *const *file, int files)
{
	struct gv_tokens_text to = {.tokenizer = t, .specials = specials};
	struct gv_error e = {0};
	int i;

	if (gv_out_open(&to.out, common.output, false, true, &e))
		cli_die(&e);
	for (i = 0; i < files; i++)
		if (ids ? gv_tokens_decode_ids(&to, file[i], &e)
			: gv_tokens_decode(&to, file[i], &e))
			cli_die(&e);
	if (gv_out_commit(&to.out, &e))
		cli_die(&e);
	return cli_finish();
}

/* ---- training ------------------------------------------------------------ */

static const char *dir, *split;
static int64_t vocab, memory;
static int template_word, normalizer_word;
static bool lines;
static struct gv_opt_list special;

static const struct gv_opt train_opts[] = {
    {"vocab", 'v', GV_OPT_INT, &vocab, "N",
	"ids of the vocabulary, special tokens included", 1, 1 << 20, NULL},
    {"output", 'o', GV_OPT_STR, &dir, "DIR",
	"write tokenizer.json and tokenizer_config.json there", 0, 0, NULL},
    {"split", 0, GV_OPT_STR, &split, "NAME|REGEX",
	GV_BPE_FAMILIES ", or a pattern (qwen2)", 0, 0, NULL},
    {"normalizer", 0, GV_OPT_WORD, &normalizer_word, NULL,
	"of the text (as the family has it)", 0, 0, "usual|nfc|none"},
    {"template", 0, GV_OPT_WORD, &template_word, NULL,
	"whose special tokens and chat template (nano)", 0, 0,
	"nano|chatml|none"},
    {"special", 0, GV_OPT_LIST, &special, "TEXT",
	"one more special token; may be repeated", 0, 0, NULL},
    {"jsonl", 0, GV_OPT_FLAG, &jsonl, NULL, "all input is JSON lines", 0, 0,
	NULL},
    {"lines", 0, GV_OPT_FLAG, &lines, NULL,
	"each line is a document: learn from no newline", 0, 0, NULL},
    {"memory", 0, GV_OPT_INT, &memory, "BYTES", "memory to use, about (2Gi)",
	(double)GV_BPE_LEAST_MEMORY, 9007199254740992.0, NULL},
    {0}};

static const struct gv_opt_prog train_prog = {
    "gv-tokenize",
    "train --vocab N [--split NAME|REGEX] [--special TEXT] -o DIR "
    "[FILE ...]",
    "learn a vocabulary from text",
    GV_OPT_C_THREADS,
    train_opts,
};

static void
learn_files(struct gv_bpe_train *b, const char *const *file, int files)
{
	struct gv_error e = {0};
	struct gv_learn *l;
	uint64_t bytes = 0;
	int got;

	if (gv_learn_open(&l, b, file, (size_t)files,
		jsonl   ? GV_DOCS_JSON
		: lines ? GV_DOCS_LINES
			: GV_DOCS_BLOCKS,
		(size_t)common.threads, &e))
		cli_die(&e);
	while ((got = gv_learn_next(l, &bytes, &e)) > 0)
		cli_progress("%" PRIu64 " MB read", bytes / 1000000);
	if (got < 0)
		cli_die(&e);
	cli_progress_end();
	gv_learn_close(&l);
}

static int
train(int argc, char **argv)
{
	static const char *const names[] = {"nano", "chatml", NULL};
	static const enum gv_bpe_normalizer normal[] = {
	    GV_BPE_USUAL, GV_BPE_NFC, GV_BPE_NONE};
	struct gv_error e = {0};
	int n = cli_start(&train_prog, &common, argc, argv);
	const char *const *file = inputs(&n, argv);
	struct gv_bpe_law law = {(int32_t)vocab, split, normal[normalizer_word],
	    names[template_word], special.v, special.n, (size_t)common.threads,
	    (size_t)memory};
	struct gv_bpe_result result;
	struct gv_bpe_train *b;

	if (!vocab || !dir)
		cli_usage("train needs --vocab N and -o DIR");
	if (jsonl && lines)
		cli_usage("--jsonl and --lines exclude each other");
	if (gv_bpe_train_open(&b, &law, &e) || gv_learn_check(dir, &e))
		cli_die(&e);
	learn_files(b, file, n);
	if (gv_bpe_train_learn(b, &result, &e) || gv_learn_write(b, dir, &e))
		cli_die(&e);
	if (result.least > 1)
		cli_warn(
		    "%.2g %% of the text's words, none of which occurs %" PRIu64
		    " times, did not fit into the memory",
		    result.left_out * 100, result.least);
	cli_say(1, "a vocabulary of %d ids%s", (int)result.size,
	    result.size < vocab
		? ": no pair of tokens is left that occurs twice"
		: "");
	gv_bpe_train_close(&b);
	gv_free(special.v);
	return cli_finish();
}

/* ---- statistics ---------------------------------------------------------- */

static struct gv_opt_list against;

static const struct gv_opt stats_opts[] = {
    {"model", 'm', GV_OPT_STR, &model, "DIR",
	"the directory with tokenizer.json", 0, 0, NULL},
    {"against", 0, GV_OPT_LIST, &against, "DIR",
	"another one, beside it; may be repeated", 0, 0, NULL},
    {"jsonl", 0, GV_OPT_FLAG, &jsonl, NULL, "all input is JSON lines", 0, 0,
	NULL},
    {"whole", 0, GV_OPT_FLAG, &whole, NULL, "each file is one document", 0, 0,
	NULL},
    {0}};

static const struct gv_opt_prog stats_prog = {
    "gv-tokenize",
    "stats -m DIR [--against DIR] [--json] [FILE ...]",
    "say what a vocabulary makes of text",
    GV_OPT_C_OUTPUT | GV_OPT_C_JSON | GV_OPT_C_THREADS,
    stats_opts,
};

/* Encodes all files with the vocabularies, of which there are n. */
static json_t *
measure(const char *const *dirs, size_t n, const char *const *file, int files)
{
	struct gv_error e = {0};
	struct gv_token_stats *s;
	uint64_t bytes = 0;
	json_t *report;
	int got;

	if (gv_token_stats_open(&s, dirs, n, file, (size_t)files,
		jsonl   ? GV_DOCS_JSON
		: whole ? GV_DOCS_WHOLE
			: GV_DOCS_LINES,
		(size_t)common.threads, &e))
		cli_die(&e);
	while ((got = gv_token_stats_next(s, &bytes, &e)) > 0)
		cli_progress("%" PRIu64 " MB read", bytes / 1000000);
	report = got < 0 ? NULL : gv_token_stats_report(s, &e);
	if (!report)
		cli_die(&e);
	cli_progress_end();
	gv_token_stats_close(&s);
	return report;
}

static int
stats(int argc, char **argv)
{
	struct gv_error e = {0};
	int n = cli_start(&stats_prog, &common, argc, argv);
	const char *const *file = inputs(&n, argv);
	struct gv_opt_list dirs = {0};
	struct gv_out *out;
	json_t *report;
	size_t i;

	if (!model)
		cli_usage("stats needs -m DIR");
	if (jsonl && whole)
		cli_usage("--jsonl and --whole exclude each other");
	if (gv_room(&dirs.v, &dirs.cap, against.n + 1, sizeof *dirs.v, &e) ||
	    gv_out_open(&out, common.output, false, true, &e))
		cli_die(&e);
	dirs.v[dirs.n++] = model;
	for (i = 0; i < against.n; i++)
		dirs.v[dirs.n++] = against.v[i];
	report = measure(dirs.v, dirs.n, file, n);
	if (common.json ? gv_json_write(out, report,
			      JSON_COMPACT | JSON_REAL_PRECISION(15), &e)
			: gv_token_stats_print(out, report, &e))
		cli_die(&e);
	if (gv_out_commit(&out, &e))
		cli_die(&e);
	json_decref(report);
	gv_free(dirs.v);
	gv_free(against.v);
	return cli_finish();
}

/* ---- main ---------------------------------------------------------------- */

static void
check_options(void)
{
	const struct gv_chat_how *c = &how.chat;
	const struct gv_tool_marks *k = &c->marks;
	bool marked = k->start || k->end || k->out_start || k->out_end;

	if (chat + prompt + text + decode != 1)
		cli_usage(
		    "exactly one of --chat, --prompt, --text and --decode is "
		    "needed");
	if (!model)
		cli_usage("-m DIR is needed");
	if ((image_rows || tiles || c->form || c->no_thinking || c->date ||
		marked) &&
	    !chat && !prompt)
		cli_usage("--image-rows, --tiles, --template, --no-thinking, "
			  "--date and marks of tools go with --chat or "
			  "--prompt");
	if (!k->start != !k->end)
		cli_usage("--tool-start and --tool-end go together");
	if ((jsonl || whole || how.strict) && !text)
		cli_usage("--jsonl, --whole and --strict go with --text");
	if (jsonl && whole)
		cli_usage("--jsonl and --whole exclude each other");
	if ((ids || specials) && !decode)
		cli_usage("--ids and --specials go with --decode");
	if (keep.n && !prompt)
		cli_usage("--keep goes with --prompt");
	if ((how.max_length || show || common.max_errors) && decode)
		cli_usage("--max-length, --max-errors and --show don't go with "
			  "--decode");
}

/* What has options of its own. */
static const struct {
	const char *name;
	int (*run)(int argc, char **argv);
} commands[] = {{"train", train}, {"stats", stats}};

int
main(int argc, char **argv)
{
	struct gv_error e = {0};
	const char *const *file;
	struct gv_tokenizer *t;
	size_t i;
	int n, rc;

	for (i = 0; argc > 1 && i < sizeof commands / sizeof *commands; i++)
		if (!strcmp(argv[1], commands[i].name))
			return commands[i].run(argc - 1, argv + 1);
	n = cli_start(&prog, &common, argc, argv);
	check_options();
	if (gv_tokenizer_open(&t, model, &e))
		cli_die(&e);
	file = inputs(&n, argv);
	rc = decode ? decode_all(t, file, n) : tokenize(t, file, n);
	gv_tokenizer_close(&t);
	return rc;
}
