/* gv-sample: answers a prompt about images, as text that streams. */
#include "cli.h"
#include "dialogue.h"
#include "inputs.h"
#include "mem.h"
#include "prompts.h"
#include "prov.h"
#include "trickle.h"
#include "visual.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MAX_PROMPT ((size_t)64 << 20)

static struct gv_opt_common common;
static const char *model_dir, *prompt, *answer;
static int64_t max_tokens = 256, batch = 64;
/* The law; below 0: not given. */
static int64_t top_k = -1;
static double temperature = -1, top_p = -1, min_p = -1, penalty = -1;
static struct gv_opt_list stops;
static bool raw, records;
static struct gv_chat_how how;

static const struct gv_opt opts[] = {
    {"model", 'm', GV_OPT_STR, &model_dir, "DIR", "the model's directory", 0, 0,
	NULL},
    {"prompt", 'p', GV_OPT_STR, &prompt, "TEXT",
	"what to ask (standard input; a chat on a terminal)", 0, 0, NULL},
    {"raw", 0, GV_OPT_FLAG, &raw, NULL,
	"complete the prompt as plain text, not as a chat", 0, 0, NULL},
    {"template", 0, GV_OPT_STR, &how.form, "NAME",
	"the chat template (the model's): chatml, qwen2.5, llama3.1, ...", 0, 0,
	NULL},
    {"no-thinking", 0, GV_OPT_FLAG, &how.no_thinking, NULL,
	"qwen3: answers begin with an empty block of thoughts", 0, 0, NULL},
    {"date", 0, GV_OPT_STR, &how.date, "TEXT",
	"llama3.1: today's date (26 Jul 2024)", 0, 0, NULL},
    {"records", 0, GV_OPT_FLAG, &records, NULL,
	"operands are streams of prompts; write JSON lines", 0, 0, NULL},
    {"score", 0, GV_OPT_STR, &answer, "TEXT",
	"don't sample: say how likely TEXT is as the answer", 0, 0, NULL},
    {"temperature", 0, GV_OPT_F64, &temperature, "T",
	"divides the logits; 0 takes the largest (the model's, or 0.7)", 0, 1e6,
	NULL},
    {"top-k", 0, GV_OPT_INT, &top_k, "K",
	"draw among the K likeliest; 0: all (the model's, or 0)", 0,
	GV_MAX_VOCAB, NULL},
    {"top-p", 0, GV_OPT_F64, &top_p, "P",
	"draw among the likeliest of mass P; 1: all (the model's, or 1)", 1e-9,
	1, NULL},
    {"min-p", 0, GV_OPT_F64, &min_p, "P",
	"draw what is at least P times as likely as the likeliest (the "
	"model's, or 0)",
	0, 1, NULL},
    {"repetition-penalty", 0, GV_OPT_F64, &penalty, "F",
	"make ids that are there already less likely (the model's, or 1)",
	0.001, 1000, NULL},
    {"stop", 0, GV_OPT_LIST, &stops, "TEXT",
	"end an answer before TEXT; may be repeated", 0, 0, NULL},
    {"max-tokens", 0, GV_OPT_INT, &max_tokens, "N",
	"tokens of an answer at most (256)", 1, GV_MAX_POSITIONS, NULL},
    {"batch", 0, GV_OPT_INT, &batch, "N",
	"records that are answered together (64)", 1, 65536, NULL},
    {0}};

static const struct gv_opt_prog prog = {
    "gv-sample",
    "-m MODEL [-p TEXT] [IMAGE ...]",
    "answer a prompt, about images or not, as text",
    GV_OPT_C_JSON | GV_OPT_C_SEED | GV_OPT_C_DEVICE | GV_OPT_C_THREADS,
    opts,
};

struct run {
	struct gvk *k;
	struct gv_model *m;
	struct gv_tokenizer *t;
	struct gv_dialogue *d;
	struct gv_trickle out;
	/* --records */
	struct gv_inputs in;
	struct gv_prompt_fields fields;
	struct gv_gen *g;
};

/* ---- the start ----------------------------------------------------------- */

static int
open_model(struct run *r, enum gv_input input, struct gv_error *e)
{
	if (gv_backend_open(&r->k, common.device, common.threads, e) ||
	    gv_tokenizer_open(&r->t, model_dir, e) ||
	    gv_model_open_forward(
		&r->m, r->k, model_dir, gv_visual_parts(input), e))
		return e->code;
	cli_say(1, "%s", gvk_name(r->k));
	if (!r->m->cfg.has_text)
		return gv_fail(
		    e, GV_ERR_MATCH, "'%s' has no language model", model_dir);
	if (input != GV_IN_NONE && !r->m->cfg.has_vision)
		return gv_fail(
		    e, GV_ERR_MATCH, "'%s' has no vision tower", model_dir);
	return 0;
}

/* The law by which tokens are drawn: what the command line leaves out is the
 * model's own, from generation_config.json, or where that says nothing ours. */
static void
settle_law(struct gv_gen_law *law, const struct gv_sampling_config *own)
{
	bool model = own->given && (temperature < 0 || top_k < 0 || top_p < 0 ||
				       min_p < 0 || penalty < 0);

	if (temperature < 0)
		temperature = !own->given   ? .7
			      : own->sample ? own->temperature
					    : 0;
	if (top_k < 0)
		top_k = own->given ? own->top_k : 0;
	if (top_p < 0)
		top_p = own->given ? own->top_p : 1;
	if (min_p < 0)
		min_p = own->given ? own->min_p : 0;
	if (penalty < 0)
		penalty = own->given ? own->penalty : 1;
	cli_say(1,
	    "temperature %g, top-k %lld, top-p %g, min-p %g, repetition "
	    "penalty %g%s",
	    temperature, (long long)top_k, top_p, min_p, penalty,
	    model ? ", as generation_config.json says" : "");
	law->temperature = (float)temperature;
	law->top_p = (float)top_p;
	law->top_k = (int32_t)top_k;
	law->min_p = (float)min_p;
	law->repetition = (float)penalty;
}

static void
on_text(void *arg, uint64_t number, uint32_t sample, const char *s, size_t n)
{
	(void)number;
	(void)sample;
	gv_trickle_put(arg, s, n);
}

/* The law; `out` is told the text while it comes, or nobody. */
static struct gv_gen_law
law_of(const struct run *r, int64_t rows, struct gv_trickle *out)
{
	struct gv_gen_law law = {.group = 1,
	    .max_tokens = max_tokens,
	    .rows = rows,
	    .seed = (uint64_t)common.seed,
	    .stop = stops.v,
	    .stops = stops.n,
	    .on_text = out ? on_text : NULL,
	    .arg = out};

	settle_law(&law, &r->m->cfg.sampling);
	return law;
}

/* ---- answers ------------------------------------------------------------- */

static int
print_json(const struct gv_gen_sample *s, struct gv_error *e)
{
	double logp = 0;
	json_t *o;
	size_t i;

	for (i = 0; i < s->n; i++)
		logp += (double)s->logp[i];
	o = json_pack("{ss%sssIsf}", "text", s->text, s->bytes, "stop",
	    gv_gen_stop_name(s->stop), "tokens", (json_int_t)s->n, "logp",
	    logp);
	if (!o || json_dumpf(o, stdout, 0))
		gv_fail(e, GV_ERR_NOMEM, "no memory for JSON");
	putchar('\n');
	json_decref(o);
	return e->code;
}

/* Asks, and ends what has been printed while the answer came. */
static int
reply(struct run *r, const char *s, size_t n, struct gv_error *e)
{
	const struct gv_gen_sample *got;

	if (gv_dialogue_ask(r->d, s, n, &got, e))
		return e->code;
	if (common.json)
		return print_json(got, e);
	gv_trickle_end(&r->out);
	putchar('\n');
	return 0;
}

/* One line from the terminal, without its newline; false at the end. */
static bool
ask(char **line, size_t *cap, size_t *n)
{
	ssize_t got;

	fputs("> ", stdout);
	fflush(stdout);
	got = getline(line, cap, stdin);
	if (got < 0) {
		putchar('\n');
		return false;
	}
	*n = (size_t)got;
	while (*n && ((*line)[*n - 1] == '\n' || (*line)[*n - 1] == '\r'))
		(*line)[--*n] = '\0';
	return true;
}

/* A chat on the terminal. */
static int
chat(struct run *r, struct gv_error *e)
{
	size_t cap = 0, n;
	char *line = NULL;

	while (ask(&line, &cap, &n)) {
		if (!n)
			continue;
		if (!strcmp(line, "/reset")) {
			gv_dialogue_reset(r->d);
			continue;
		}
		if (!reply(r, line, n, e))
			continue;
		if ((e->code != GV_ERR_LIMIT && e->code != GV_ERR_FORMAT) ||
		    gv_dialogue_stuck(r->d))
			break;
		cli_warn("%s (/reset starts over)", e->msg);
		gv_error_clear(e);
	}
	free(line);
	return e->code;
}

/* ---- scores -------------------------------------------------------------- */

static json_t *
score_json(const struct gv_likely *s)
{
	json_t *ids = json_array(), *logps = json_array();
	size_t i;

	for (i = 0; i < s->n; i++) {
		json_array_append_new(ids, json_integer(s->id[i]));
		json_array_append_new(logps, json_real((double)s->logp[i]));
	}
	return json_pack("{sI,sI,sf,sf,sf,so,so}", "tokens", (json_int_t)s->n,
	    "bytes", (json_int_t)s->bytes, "logp", s->sum, "perplexity",
	    s->perplexity, "bits_per_byte", s->bits_per_byte, "ids", ids,
	    "logps", logps);
}

static int
print_score(const struct run *r, const struct gv_likely *s, struct gv_error *e)
{
	json_t *o = common.json ? score_json(s) : NULL;
	char quoted[128];
	const char *b;
	size_t i, n;

	for (i = 0; i < s->n; i++) {
		b = gv_token_bytes(r->t, s->id[i], &n);
		cli_say(1, "%10.5f  '%s'", (double)s->logp[i],
		    gv_quote(quoted, sizeof quoted, b, n));
	}
	if (!common.json)
		printf("tokens %zu\nbytes %lld\nlogp %.6f\n"
		       "perplexity %.6g\nbits_per_byte %.6g\n",
		    s->n, (long long)s->bytes, s->sum, s->perplexity,
		    s->bits_per_byte);
	else if (!o || json_dumpf(o, stdout, JSON_REAL_PRECISION(9)))
		gv_fail(e, GV_ERR_NOMEM, "no memory for JSON");
	else
		putchar('\n');
	json_decref(o);
	return e->code;
}

static int
score(struct run *r, const char *s, size_t n, struct gv_error *e)
{
	struct gv_likely likely;

	if (gv_dialogue_score(r->d, s, n, answer, &likely, e))
		return e->code;
	print_score(r, &likely, e);
	gv_likely_free(&likely);
	return e->code;
}

/* ---- records ------------------------------------------------------------- */

static int
print_record(void *arg, const struct gv_gen_result *p, struct gv_error *e)
{
	const struct gv_gen_sample *s = p->sample;
	json_t *o;

	(void)arg;
	o = json_pack("{ssss%}", "id", p->user, "text", s->text, s->bytes);
	if (!o || json_dumpf(o, stdout, 0))
		gv_fail(e, GV_ERR_FORMAT, "key '%s' is not UTF-8",
		    (const char *)p->user);
	putchar('\n');
	json_decref(o);
	gv_free(p->user);
	/* why stdout failed is for cli_finish() to say */
	return e->code ? e->code : ferror(stdout) != 0;
}

static int
submit(struct run *r, const struct gv_rec *rec, struct gv_error *e)
{
	struct gv_gen_prompt p = {.number = rec->n};

	if (gv_prompt_of(&p, &r->fields, rec, e))
		return e->code;
	p.user = gv_strdup(rec->key);
	if (!p.user)
		return gv_fail(e, GV_ERR_NOMEM, "no memory for a record");
	if (!gv_gen_submit(r->g, &p, e))
		return 0;
	gv_free(p.user);
	return gv_fail_in(e, "cannot use '%s': record %llu",
	    gv_reader_name(r->in.now), (unsigned long long)rec->n);
}

static int
feed(void *arg, struct gv_error *e)
{
	struct run *r = arg;
	struct gv_rec rec;
	int more = gv_inputs_next(&r->in, &rec, e);

	if (more <= 0)
		return more;
	return submit(r, &rec, e) ? e->code : 1;
}

static int
run_records(struct run *r, char *const *path, int n, struct gv_error *e)
{
	const struct gv_gen_work work = {feed, print_record, r};
	struct gv_facts f = {.dir = model_dir};
	struct gv_gen_law law;
	struct gv_reader *in;

	if (gv_inputs_open(&r->in, path, n, e))
		return e->code;
	in = r->in.first;
	if (gv_prompt_fields(&r->fields, in, e) ||
	    open_model(r, r->fields.input, e))
		return e->code;
	f.config = &r->m->cfg;
	f.tokenizer = r->t;
	if (gv_prov_check_input(gv_reader_schema(in), &f, r->fields.input, e))
		return gv_fail_in(e, "cannot use '%s'", gv_reader_name(in));
	law = law_of(r, batch, NULL);
	if (gv_gen_open(&r->g, r->m, r->t, &law, e))
		return gv_fail_in(e, "cannot sample from '%s'", model_dir);
	return gv_gen_run(r->g, &work, e);
}

/* ---- main ---------------------------------------------------------------- */

/* The prompt of the command line, or all of standard input. */
static int
run_prompt(struct run *r, struct gv_error *e)
{
	char *given = NULL;
	const char *s = prompt ? prompt : "";
	size_t n = strlen(s);

	if (!prompt && !(raw && answer)) {
		if (gv_slurp(NULL, MAX_PROMPT, &given, &n, e))
			return e->code;
		s = given;
		n -= n && s[n - 1] == '\n';
		if (!n)
			gv_fail(e, GV_ERR_CUT, "standard input has no prompt");
	}
	if (!e->code)
		(void)(answer ? score(r, s, n, e) : reply(r, s, n, e));
	gv_free(given);
	return e->code;
}

static int
run_text(struct run *r, char *const *path, int n, struct gv_error *e)
{
	struct gv_gen_law law;

	if (open_model(r, n ? GV_IN_IMAGE : GV_IN_NONE, e) ||
	    gv_dialogue_open(&r->d, r->m, r->t, raw ? NULL : &how, e) ||
	    (n && gv_dialogue_show(r->d, path, n, e)))
		return e->code;
	if (answer)
		return run_prompt(r, e);
	law = law_of(r, 1, common.json ? NULL : &r->out);
	if (gv_dialogue_law(r->d, &law, e))
		return gv_fail_in(e, "cannot sample from '%s'", model_dir);
	if (!prompt && isatty(STDIN_FILENO))
		return chat(r, e);
	return run_prompt(r, e);
}

int
main(int argc, char **argv)
{
	int n = cli_start(&prog, &common, argc, argv);
	struct gv_error e = {0};
	struct run r = {
	    .out = {.f = stdout, .terminal = isatty(STDOUT_FILENO)}};

	if (!model_dir)
		cli_usage("no model: -m DIR");
	if (records && (prompt || raw || answer || common.json))
		cli_usage("--records goes with none of -p, --raw, --score and "
			  "--json");
	if ((raw || records) && (how.form || how.no_thinking || how.date))
		cli_usage("--template, --no-thinking and --date are for chats");
	if (raw && n)
		cli_usage("--raw takes no images");
	if (records ? run_records(&r, argv + 1, n, &e)
		    : run_text(&r, argv + 1, n, &e))
		cli_die(&e);
	gv_dialogue_close(&r.d);
	gv_gen_close(&r.g);
	gv_free(stops.v);
	gv_model_close(&r.m);
	gv_tokenizer_close(&r.t);
	gvk_close(&r.k);
	gv_inputs_close(&r.in);
	return cli_finish();
}
