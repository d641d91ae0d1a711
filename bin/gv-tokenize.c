/* gv-tokenize: text and conversations to token ids, and back. */
#include "cli.h"
#include "config.h"
#include "dir.h"
#include "io.h"
#include "mem.h"
#include "render.h"
#include "stream.h"
#include "token.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAX_LINE ((size_t)64 << 20) /* of ids to decode */

static struct gv_opt_common common;
static const char *model;
static bool chat, prompt, text, decode, jsonl, whole, ids, specials;
static int64_t image_rows, max_length;

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
    {"image-rows", 0, GV_OPT_INT, &image_rows, "N",
	"placeholders an image takes (from config.json)", 1, 65536, NULL},
    {"max-length", 0, GV_OPT_INT, &max_length, "N",
	"cut the text of longer sequences", 1, INT32_MAX, NULL},
    {"jsonl", 0, GV_OPT_FLAG, &jsonl, NULL,
	"with --text: all input is JSON lines", 0, 0, NULL},
    {"whole", 0, GV_OPT_FLAG, &whole, NULL,
	"with --text: each file is one document", 0, 0, NULL},
    {"ids", 0, GV_OPT_FLAG, &ids, NULL,
	"with --decode: the input is lines of decimal ids", 0, 0, NULL},
    {"specials", 0, GV_OPT_FLAG, &specials, NULL,
	"with --decode: show special tokens", 0, 0, NULL},
    {0}};

static const struct gv_opt_prog prog = {
    "gv-tokenize",
    "-m DIR --chat|--prompt|--text|--decode [-o FILE] [FILE ...]\n"
    "       gv-tokenize train --vocab N -o DIR [FILE ...]",
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

static void
die_in(struct gv_error *e, const char *file)
{
	char q[256];

	gv_fail_in(e, "'%s'",
	    !strcmp(file, "-") ? "standard input"
			       : gv_quote(q, sizeof q, file, strlen(file)));
	cli_die(e);
}

/* ---- writing ------------------------------------------------------------- */

static json_t *
arguments(void)
{
	json_t *list = json_array();
	char n[2][32];
	const char *a[8];
	int k = 0, i, bad = !list;

	a[k++] = chat ? "--chat" : prompt ? "--prompt" : "--text";
	if (image_rows) {
		snprintf(n[0], sizeof n[0], "%" PRId64, image_rows);
		a[k++] = "--image-rows";
		a[k++] = n[0];
	}
	if (max_length) {
		snprintf(n[1], sizeof n[1], "%" PRId64, max_length);
		a[k++] = "--max-length";
		a[k++] = n[1];
	}
	if (jsonl)
		a[k++] = "--jsonl";
	if (whole)
		a[k++] = "--whole";
	for (i = 0; i < k && !bad; i++)
		bad = json_array_append_new(list, json_string(a[i]));
	return list;
}

static int
make_schema(
    struct gv_schema *s, const struct gv_tokenizer *t, struct gv_error *e)
{
	static const char *const plain[] = {"messages", "answers", "task"};
	size_t i;

	if (gv_schema_init(s, "tokens", e) ||
	    gv_schema_field(s, "tokens", "I32 (T)", "", e))
		return e->code;
	if (!prompt && (gv_schema_field(s, "targets", "I32 (T)", "", e) ||
			   gv_schema_field(s, "bytes", "I32 (T)", "", e)))
		return e->code;
	/* conversations about the same images repeat their placeholders: the
	 * runs (M) are not as many as the images of the record (N) */
	if (!text && gv_schema_field(
			 s, "image_at", prompt ? "I32 (N)" : "I32 (M)", "", e))
		return e->code;
	if (chat && gv_schema_field(s, "starts", "I32 (S)", "", e))
		return e->code;
	for (i = 0; prompt && i < 3; i++)
		if (gv_schema_field(s, plain[i], "plain", "", e))
			return e->code;
	return gv_schema_prog(s, "gv-tokenize", arguments(),
	    json_pack("{s:s}", "tokenizer", gv_tokenizer_digest(t)), e);
}

static int
put_vector(struct gv_writer *w, const char *field, size_t n,
    const int32_t *data, struct gv_error *e)
{
	int64_t shape = (int64_t)n;

	return gv_writer_tensor(w, field, 1, &shape, data, e);
}

static int
put_record(struct gv_writer *w, const struct gv_record *r, struct gv_error *e)
{
	const struct gv_rendered *s = &r->seq;

	if (gv_writer_begin(w, r->key, e) ||
	    put_vector(w, "tokens", s->n, s->token, e))
		return e->code;
	if (!prompt && (put_vector(w, "targets", s->n, s->target, e) ||
			   put_vector(w, "bytes", s->n, s->bytes, e)))
		return e->code;
	if (!text && put_vector(w, "image_at", s->images, s->image_at, e))
		return e->code;
	if (chat && put_vector(w, "starts", r->starts, r->start, e))
		return e->code;
	if (prompt && (gv_writer_json(w, "messages", r->messages, e) ||
			  gv_writer_json(w, "answers", r->answers, e) ||
			  gv_writer_json(w, "task", r->task, e)))
		return e->code;
	return gv_writer_end_rec(w, e);
}

/* R of the model, where it is one that we know; a tokenizer may stand alone. */
static int
rows_of_model(void)
{
	struct gv_error e = {0};
	struct gv_config c;
	size_t cap = strlen(model) + 16;
	char *path = gv_alloc(cap, 1);
	int rows;

	if (!path) {
		(void)gv_fail(&e, GV_ERR_NOMEM, "out of memory");
		cli_die(&e);
	}
	snprintf(path, cap, "%s/config.json", model);
	rows = access(path, F_OK);
	gv_free(path);
	if (rows)
		return 0;
	if (gv_config_open(&c, model, &e)) {
		if (e.code != GV_ERR_NOSUP)
			cli_die(&e);
		cli_say(1, "%s; --image-rows is not known", e.msg);
		return 0;
	}
	rows = (int)c.R;
	gv_config_free(&c);
	return rows;
}

/* Writes all records; how many lines were let pass. */
static uint64_t
put_all(struct gv_writer *w, struct gv_render_files *f)
{
	struct gv_error e = {0}, bad;
	uint64_t records = 0, tokens = 0, passed = 0;
	const struct gv_record *r;
	int got;

	while ((got = gv_render_next(f, &r, &bad, &e)) > 0) {
		if (!r) {
			if ((int64_t)passed >= common.max_errors)
				cli_die(&bad);
			cli_warn("%s", bad.msg);
			passed++;
			continue;
		}
		if (put_record(w, r, &e))
			cli_die(&e);
		records++;
		tokens += r->seq.n;
		cli_progress(
		    "%" PRIu64 " records, %" PRIu64 " tokens", records, tokens);
	}
	if (got < 0)
		cli_die(&e);
	cli_say(1, "%" PRIu64 " records, %" PRIu64 " tokens, %" PRIu64 " bad",
	    records, tokens, passed);
	return passed;
}

static int
tokenize(const struct gv_tokenizer *t, const char *const *file, int files)
{
	struct gv_render how = {.tokenizer = t, .max_length = max_length};
	struct gv_error e = {0};
	struct gv_render_files *f;
	struct gv_schema schema;
	struct gv_writer *w;
	struct gv_out *out;

	how.mode = chat     ? GV_RENDER_CHAT
		   : prompt ? GV_RENDER_PROMPT
		   : jsonl  ? GV_RENDER_JSON
			    : GV_RENDER_TEXT;
	if (!text)
		how.image_rows = image_rows ? (int)image_rows : rows_of_model();
	if (make_schema(&schema, t, &e) ||
	    gv_out_open(&out, common.output, true, common.force, &e) ||
	    gv_writer_open(&w, out, &schema, &e) ||
	    gv_render_open(&f, &how, file, (size_t)files,
		whole ? GV_RENDER_WHOLE : GV_RENDER_LINES,
		(size_t)common.threads, &e))
		cli_die(&e);
	gv_schema_free(&schema);
	if (gv_writer_close(&w, put_all(w, f), &e) || gv_out_commit(&out, &e))
		cli_die(&e);
	gv_render_close(&f);
	return cli_finish();
}

/* ---- decoding ------------------------------------------------------------ */

static void
put_text(const struct gv_tokenizer *t, struct gv_out *out, const int32_t *id,
    size_t n, struct gv_error *e)
{
	size_t len;
	char *s;

	if (gv_decode(t, id, n, specials, &s, &len, e))
		return;
	if (!gv_out_write(out, s, len, e))
		(void)!gv_out_write(out, "\n", 1, e);
	gv_free(s);
}

static void
decode_stream(
    const struct gv_tokenizer *t, struct gv_out *out, const char *file)
{
	struct gv_error e = {0};
	const char *made;
	struct gv_reader *r;
	struct gv_rec rec;
	size_t at;
	int got;

	if (gv_reader_open(&r, file, &e) ||
	    gv_reader_need(r, "tokens", "I32 (T)", &at, &e))
		cli_die(&e);
	made = gv_schema_digest(gv_reader_schema(r), "tokenizer");
	if (made && strcmp(made, gv_tokenizer_digest(t))) {
		(void)gv_fail(
		    &e, GV_ERR_MATCH, "its tokens are of another vocabulary");
		die_in(&e, file);
	}
	while ((got = gv_reader_next(r, &rec, &e)) > 0) {
		const struct gv_tensor *v = &rec.v[at].t;

		put_text(t, out, v->data, v->bytes / sizeof(int32_t), &e);
		if (e.code) {
			gv_fail_in(&e, "record %" PRIu64, rec.n);
			die_in(&e, file);
		}
	}
	if (got < 0)
		cli_die(&e);
	gv_reader_close(&r);
}

static void
parse_ids(const char *s, struct gv_ids *list, struct gv_error *e)
{
	list->n = 0;
	for (;;) {
		char *end, q[32];
		long v;
		size_t n;

		s += strspn(s, " \t\r");
		if (!*s)
			return;
		n = strcspn(s, " \t\r");
		errno = 0;
		v = strtol(s, &end, 10);
		if (end != s + n || errno || v < 0 || v > INT32_MAX) {
			(void)gv_fail(e, GV_ERR_FORMAT, "'%s' is not an id",
			    gv_quote(q, sizeof q, s, n));
			return;
		}
		if (gv_ids_push(list, (int32_t)v, e))
			return;
		s = end;
	}
}

static void
decode_ids(const struct gv_tokenizer *t, struct gv_out *out, const char *file)
{
	struct gv_error e = {0};
	struct gv_ids list = {0};
	struct gv_lines *l;
	const char *s;
	size_t n;
	int got;

	if (gv_lines_open(&l, file, MAX_LINE, &e))
		cli_die(&e);
	while ((got = gv_lines_next(l, &s, &n, &e)) > 0) {
		if (strlen(s) != n)
			(void)gv_fail(&e, GV_ERR_FORMAT, "a NUL byte");
		else
			parse_ids(s, &list, &e);
		if (!e.code)
			put_text(t, out, list.id, list.n, &e);
		if (e.code) {
			gv_fail_in(&e, "line %" PRIu64, gv_lines_number(l));
			die_in(&e, file);
		}
	}
	if (got < 0)
		cli_die(&e);
	gv_ids_free(&list);
	gv_lines_close(&l);
}

static int
decode_all(const struct gv_tokenizer *t, const char *const *file, int files)
{
	struct gv_error e = {0};
	struct gv_out *out;
	int i;

	if (gv_out_open(&out, common.output, false, true, &e))
		cli_die(&e);
	for (i = 0; i < files; i++) {
		if (ids)
			decode_ids(t, out, file[i]);
		else
			decode_stream(t, out, file[i]);
	}
	if (gv_out_commit(&out, &e))
		cli_die(&e);
	return cli_finish();
}

/* ---- training ------------------------------------------------------------ */

static const char *dir;
static int64_t vocab;
static int template_word;

static const struct gv_opt train_opts[] = {
    {"vocab", 'v', GV_OPT_INT, &vocab, "N",
	"ids of the vocabulary, special tokens included", 1, 1 << 20, NULL},
    {"template", 0, GV_OPT_WORD, &template_word, NULL,
	"whose special tokens and chat template (nano)", 0, 0, "nano|chatml"},
    {"output", 'o', GV_OPT_STR, &dir, "DIR",
	"write tokenizer.json and tokenizer_config.json there", 0, 0, NULL},
    {"jsonl", 0, GV_OPT_FLAG, &jsonl, NULL, "all input is JSON lines", 0, 0,
	NULL},
    {0}};

static const struct gv_opt_prog train_prog = {
    "gv-tokenize",
    "train --vocab N [--template nano|chatml] -o DIR [FILE ...]",
    "learn a vocabulary from text",
    0,
    train_opts,
};

/* A new directory appears with all its files; in one that is there, as that of
 * a model, each file is replaced. */
static int
write_vocabulary(struct gv_bpe_train *b, struct gv_error *e)
{
	struct gv_dir *d;

	if (!access(dir, F_OK))
		return gv_bpe_train_write(b, dir, e);
	if (gv_dir_begin(&d, dir, e))
		return e->code;
	if (gv_bpe_train_write(b, gv_dir_tmp(d), e)) {
		gv_dir_abort(&d);
		return e->code;
	}
	return gv_dir_commit(&d, e);
}

static int
train(int argc, char **argv)
{
	static const char *const names[] = {"nano", "chatml"};
	struct gv_error e = {0};
	int n = cli_start(&train_prog, &common, argc, argv), i;
	const char *const *file = inputs(&n, argv);
	struct gv_bpe_train *b;
	int32_t size;

	if (!vocab || !dir)
		cli_usage("train needs --vocab N and -o DIR");
	if (gv_bpe_train_open(&b, (int32_t)vocab, names[template_word], &e))
		cli_die(&e);
	for (i = 0; i < n; i++)
		if (gv_render_learn(
			b, file[i], jsonl || gv_render_is_jsonl(file[i]), &e))
			cli_die(&e);
	if (gv_bpe_train_learn(b, &size, &e))
		cli_die(&e);
	if (write_vocabulary(b, &e))
		cli_die(&e);
	cli_say(1, "a vocabulary of %d ids%s", (int)size,
	    size < vocab ? ": no pair of tokens is left that occurs twice"
			 : "");
	gv_bpe_train_close(&b);
	return cli_finish();
}

/* ---- main ---------------------------------------------------------------- */

static void
check_options(void)
{
	if (chat + prompt + text + decode != 1)
		cli_usage("one of --chat, --prompt, --text and --decode is "
			  "needed");
	if (!model)
		cli_usage("-m DIR is needed");
	if (image_rows && !chat && !prompt)
		cli_usage("--image-rows goes with --chat or --prompt");
	if ((jsonl || whole) && !text)
		cli_usage("--jsonl and --whole go with --text");
	if (jsonl && whole)
		cli_usage("--jsonl and --whole exclude each other");
	if ((ids || specials) && !decode)
		cli_usage("--ids and --specials go with --decode");
	if (max_length && decode)
		cli_usage("--max-length doesn't go with --decode");
}

int
main(int argc, char **argv)
{
	struct gv_error e = {0};
	const char *const *file;
	struct gv_tokenizer *t;
	int n, rc;

	if (argc > 1 && !strcmp(argv[1], "train"))
		return train(argc - 1, argv + 1);
	n = cli_start(&prog, &common, argc, argv);
	check_options();
	if (gv_tokenizer_open(&t, model, &e))
		cli_die(&e);
	file = inputs(&n, argv);
	rc = decode ? decode_all(t, file, n) : tokenize(t, file, n);
	gv_tokenizer_close(&t);
	return rc;
}
