/* gv-sample: answers a prompt about images, as text that streams. */
#include "chat.h"
#include "cli.h"
#include "gen.h"
#include "image.h"
#include "inputs.h"
#include "mem.h"
#include "prompts.h"
#include "prov.h"
#include "score.h"
#include "utf8.h"

#include <math.h>
#include <stdio.h>
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

static const struct gv_opt opts[] = {
    {"model", 'm', GV_OPT_STR, &model_dir, "DIR", "the model's directory", 0, 0,
	NULL},
    {"prompt", 'p', GV_OPT_STR, &prompt, "TEXT",
	"what to ask (standard input; a chat on a terminal)", 0, 0, NULL},
    {"raw", 0, GV_OPT_FLAG, &raw, NULL,
	"complete the prompt as plain text, not as a chat", 0, 0, NULL},
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
	struct gv_gen *g;
	struct gv_inputs in; /* --records */
	struct gv_prompt_fields fields;
	struct gv_tensor images; /* U8 (N,H,W,3) */
	uint8_t *px;
	json_t *messages; /* the chat so far */
	uint64_t turn;
	bool terminal; /* standard output is one */
};

/* ---- text as it comes ---------------------------------------------------- */

/* Bytes of an unfinished character, and where they go. */
struct printer {
	const struct run *r;
	char held[8];
	size_t n;
};

/* One character; what could steer a terminal is shown instead. */
static void
put_char(const struct printer *p, uint32_t c, const char *s, size_t n)
{
	if (c == GV_UTF8_BAD)
		fputs("\xef\xbf\xbd", stdout);
	else if (p->r->terminal && c != '\n' && c != '\t' &&
		 (c < 32 || (c >= 0x7f && c < 0xa0)))
		printf("\\x%02x", (unsigned)c);
	else
		fwrite(s, 1, n, stdout);
}

/* Prints the whole characters of what is held and `n` bytes more; at the end
 * all of it. */
static void
print(struct printer *p, const char *s, size_t n, bool end)
{
	char buf[256];
	size_t at = 0, k;
	uint32_t c;

	while (n || (end && p->n)) {
		size_t some = n < sizeof buf - p->n ? n : sizeof buf - p->n;
		size_t all = p->n + some, whole;

		memcpy(buf, p->held, p->n);
		if (some)
			memcpy(buf + p->n, s, some);
		s += some;
		n -= some;
		whole = end && !n ? all : gv_utf8_whole(buf, all);
		for (at = 0; at < whole; at += k) {
			k = gv_utf8_next(buf + at, whole - at, &c);
			if (c == GV_UTF8_BAD)
				k = gv_utf8_broken(buf + at, whole - at);
			put_char(p, c, buf + at, k);
		}
		p->n = all - whole;
		memcpy(p->held, buf + whole, p->n);
	}
	fflush(stdout);
}

static void
on_text(void *arg, uint64_t number, uint32_t sample, const char *s, size_t n)
{
	(void)number;
	(void)sample;
	print(arg, s, n, false);
}

/* ---- the start ----------------------------------------------------------- */

/* Reads the operands as the model wants its pixels. */
static int
read_images(struct run *r, char *const *path, int n, struct gv_error *e)
{
	const struct gv_image_rule *rule = &r->m->cfg.rule;
	int64_t shape[4] = {n, rule->height, rule->width, 3};
	size_t bytes = (size_t)(shape[1] * shape[2] * 3);
	struct gv_image im;
	int i;

	r->px = gv_alloc((size_t)n, bytes);
	if (!r->px)
		return gv_fail(e, GV_ERR_NOMEM, "no memory for images");
	for (i = 0; i < n; i++) {
		if (gv_image_read(&im, path[i], NULL, e))
			return e->code;
		if (gv_image_resize(r->px + (size_t)i * bytes, &im, rule, e))
			gv_fail_in(e, "cannot resize '%s'", path[i]);
		gv_image_free(&im);
		if (e->code)
			return e->code;
	}
	return gv_tensor_set(&r->images, GV_U8, 4, shape, r->px, e);
}

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

static int
open_gen(struct run *r, int64_t rows, struct printer *p, struct gv_error *e)
{
	struct gv_gen_law law = {.group = 1,
	    .max_tokens = max_tokens,
	    .rows = rows,
	    .seed = (uint64_t)common.seed,
	    .stop = stops.v,
	    .stops = stops.n,
	    .on_text = p ? on_text : NULL,
	    .arg = p};

	settle_law(&law, &r->m->cfg.sampling);
	if (gv_gen_open(&r->g, r->m, r->t, &law, e))
		return gv_fail_in(e, "cannot sample from '%s'", model_dir);
	return 0;
}

/* ---- prompts ------------------------------------------------------------- */

/* Adds a turn; the first one shows the images. */
static int
say(struct run *r, const char *role, const char *text, size_t n,
    struct gv_error *e)
{
	json_t *part = json_stringn(text, n), *content;
	int64_t i, images = r->images.rank ? r->images.shape[0] : 0;

	if (!part)
		return gv_fail(e, GV_ERR_FORMAT, "the text is not UTF-8");
	if (!images || json_array_size(r->messages)) {
		content = part;
	} else {
		content = json_array();
		for (i = 0; i < images; i++)
			json_array_append_new(
			    content, json_pack("{ss}", "type", "image"));
		json_array_append_new(
		    content, json_pack("{ssso}", "type", "text", "text", part));
	}
	if (json_array_append_new(r->messages,
		json_pack("{ssso}", "role", role, "content", content)))
		return gv_fail(e, GV_ERR_NOMEM, "no memory for a message");
	return 0;
}

/* A document that goes on: what begins one, and the text, without the token
 * that would end it. */
static int
render_raw(const struct run *r, const char *s, size_t n,
    struct gv_rendered *out, struct gv_error *e)
{
	if (gv_document(r->t, s, n, out, e))
		return e->code;
	if (!n)
		out->n = out->n > 1 ? 1 : out->n;
	else if (gv_tokenizer_is_special(r->t, out->token[out->n - 1]))
		out->n--;
	return 0;
}

/* Renders the chat, or `s` as it is. */
static int
render(const struct run *r, const char *s, size_t n, bool open,
    struct gv_rendered *out, struct gv_error *e)
{
	const struct gv_chat_how how = {
	    .image_rows = (int)r->m->cfg.R, .prompt = open};

	if (raw)
		return render_raw(r, s, n, out, e);
	return gv_chat(r->t, &how, r->messages, NULL, out, e);
}

/* ---- answering ----------------------------------------------------------- */

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

/* Samples an answer to the chat or text, printing it as it comes, and adds it
 * to the chat. */
static int
reply(struct run *r, const char *s, size_t n, struct printer *out,
    struct gv_error *e)
{
	struct gv_gen_prompt p = {.number = r->turn++};
	struct gv_rendered x = {0};
	struct gv_gen_result got;

	if (!render(r, s, n, true, &x, e)) {
		p.token = x.token;
		p.n = x.n;
		p.image_at = x.image_at;
		p.images = x.images;
		p.input = r->px ? GV_IN_IMAGE : GV_IN_NONE;
		p.visual = r->px ? &r->images : NULL;
		n = (size_t)gv_gen_submit(r->g, &p, e);
	}
	gv_rendered_free(&x);
	if (e->code)
		return e->code;
	do
		if (gv_gen_step(r->g, e))
			return e->code;
	while (!gv_gen_take(r->g, &got));
	if (common.json)
		return print_json(got.sample, e);
	print(out, "", 0, true);
	putchar('\n');
	if (raw)
		return 0;
	return say(r, "assistant", got.sample->text, got.sample->bytes, e);
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

/* A chat on the terminal.  A turn that can't be answered is taken back. */
static int
chat(struct run *r, struct printer *out, struct gv_error *e)
{
	size_t cap = 0, n, before;
	char *line = NULL;

	while (ask(&line, &cap, &n)) {
		if (!n)
			continue;
		if (!strcmp(line, "/reset")) {
			json_array_clear(r->messages);
			continue;
		}
		before = json_array_size(r->messages);
		if (!raw && say(r, "user", line, n, e))
			break;
		if (!reply(r, line, n, out, e))
			continue;
		if (e->code != GV_ERR_LIMIT || gv_gen_pending(r->g))
			break;
		cli_warn("%s (/reset starts over)", e->msg);
		gv_error_clear(e);
		while (json_array_size(r->messages) > before)
			json_array_remove(
			    r->messages, json_array_size(r->messages) - 1);
	}
	free(line);
	return e->code;
}

/* ---- scoring ------------------------------------------------------------- */

/* Appends TEXT's own tokens to a plain text, each one a target. */
static int
append_text(const struct run *r, const char *s, struct gv_rendered *x,
    struct gv_ids *all, int32_t **target, int32_t **bytes, struct gv_error *e)
{
	size_t i, n, first;

	for (i = 0; i < x->n; i++)
		if (gv_ids_push(all, x->token[i], e))
			return e->code;
	first = all->n ? all->n : 1; /* nothing precedes the first token */
	if (gv_encode(r->t, s, strlen(s), false, all, e))
		return e->code;
	*target = gv_alloc(all->n + 1, sizeof **target);
	*bytes = gv_alloc(all->n + 1, sizeof **bytes);
	if (!*target || !*bytes)
		return gv_fail(e, GV_ERR_NOMEM, "no memory for a text");
	for (i = 0; i < all->n; i++)
		(*target)[i] = -1;
	for (i = first; i < all->n; i++) {
		(*target)[i - 1] = all->id[i];
		gv_token_bytes(r->t, all->id[i], &n);
		(*bytes)[i - 1] = (int32_t)n;
	}
	return 0;
}

/* The sums of a score. */
struct sums {
	double logp, text; /* of all tokens, and of those that spell bytes */
	long long tokens, bytes;
};

/* Adds the scored tokens up, and lists them in `ids` and `logps`. */
static void
add_up(const struct run *r, const struct gv_score_item *s, const int32_t *bytes,
    struct sums *to, json_t *ids, json_t *logps)
{
	char quoted[128];
	size_t i, n;

	for (i = 0; i < s->n; i++) {
		double logp = (double)s->logp[i];
		const char *b;

		if (s->target[i] < 0)
			continue;
		b = gv_token_bytes(r->t, s->target[i], &n);
		cli_say(1, "%10.5f  '%s'", logp,
		    gv_quote(quoted, sizeof quoted, b, n));
		json_array_append_new(ids, json_integer(s->target[i]));
		json_array_append_new(logps, json_real(logp));
		to->tokens++;
		to->logp += logp;
		to->text += bytes[i] ? logp : 0;
		to->bytes += bytes[i];
	}
}

static int
print_score(const struct run *r, const struct gv_score_item *s,
    const int32_t *bytes, struct gv_error *e)
{
	json_t *ids = json_array(), *logps = json_array(), *o;
	struct sums sum = {0};
	double ppl, per_byte;

	add_up(r, s, bytes, &sum, ids, logps);
	if (!sum.tokens) {
		json_decref(ids);
		json_decref(logps);
		return gv_fail(
		    e, GV_ERR_FORMAT, "the text has no token to score");
	}
	ppl = exp(-sum.logp / (double)sum.tokens);
	per_byte = sum.bytes ? -sum.text / log(2) / (double)sum.bytes : 0;
	o = json_pack("{sI,sI,sf,sf,sf,so,so}", "tokens",
	    (json_int_t)sum.tokens, "bytes", (json_int_t)sum.bytes, "logp",
	    sum.logp, "perplexity", ppl, "bits_per_byte", per_byte, "ids", ids,
	    "logps", logps);
	if (!o)
		return gv_fail(e, GV_ERR_NOMEM, "no memory for JSON");
	if (!common.json)
		printf("tokens %lld\nbytes %lld\nlogp %.6f\n"
		       "perplexity %.6g\nbits_per_byte %.6g\n",
		    sum.tokens, sum.bytes, sum.logp, ppl, per_byte);
	else if (json_dumpf(o, stdout, JSON_REAL_PRECISION(9)))
		gv_fail(e, GV_ERR_NOMEM, "no memory for JSON");
	else
		putchar('\n');
	json_decref(o);
	return e->code;
}

/* How likely the answer is after the chat or text. */
static int
score(struct run *r, const char *s, size_t n, struct gv_error *e)
{
	int32_t *target = NULL, *bytes = NULL;
	struct gv_score_item item = {0};
	struct gv_rendered x = {0};
	struct gv_ids all = {0};

	if (!raw && say(r, "assistant", answer, strlen(answer), e))
		return e->code;
	if (!render(r, s, n, false, &x, e) &&
	    (!raw || !append_text(r, answer, &x, &all, &target, &bytes, e)) &&
	    (!r->px || !gv_visual_take(&item.visual, r->m, GV_IN_IMAGE,
			   &r->images, NULL, e))) {
		item.token = raw ? all.id : x.token;
		item.target = raw ? target : x.target;
		item.n = raw ? all.n : x.n;
		item.image_at = x.image_at;
		item.images = x.images;
		item.logp = gv_alloc(item.n, sizeof *item.logp);
		if (!item.logp)
			gv_fail(e, GV_ERR_NOMEM, "no memory for a text");
		else if (!gv_score_check(r->m, &item, e) &&
			 !gv_score(r->m, &item, 1, e))
			n = (size_t)print_score(
			    r, &item, raw ? bytes : x.bytes, e);
	}
	gv_visual_drop(&item.visual);
	gv_free(item.logp);
	gv_free(target);
	gv_free(bytes);
	gv_ids_free(&all);
	gv_rendered_free(&x);
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
	if (open_gen(r, batch, NULL, e))
		return e->code;
	return gv_gen_run(r->g, &work, e);
}

/* ---- main ---------------------------------------------------------------- */

/* The prompt of the command line, or all of standard input. */
static int
run_prompt(struct run *r, struct printer *out, struct gv_error *e)
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
	if (!e->code && (raw || !say(r, "user", s, n, e)))
		n = (size_t)(answer ? score(r, s, n, e)
				    : reply(r, s, n, out, e));
	gv_free(given);
	return e->code;
}

static int
run_text(struct run *r, char *const *path, int n, struct gv_error *e)
{
	struct printer out = {.r = r};

	if (open_model(r, n ? GV_IN_IMAGE : GV_IN_NONE, e) ||
	    (n && read_images(r, path, n, e)))
		return e->code;
	r->messages = json_array();
	if (!answer && open_gen(r, 1, common.json ? NULL : &out, e))
		return e->code;
	if (!prompt && !answer && isatty(STDIN_FILENO))
		return chat(r, &out, e);
	return run_prompt(r, &out, e);
}

int
main(int argc, char **argv)
{
	int n = cli_start(&prog, &common, argc, argv);
	struct gv_error e = {0};
	struct run r = {.terminal = isatty(STDOUT_FILENO)};

	if (!model_dir)
		cli_usage("no model: -m DIR");
	if (records && (prompt || raw || answer || common.json))
		cli_usage("--records goes with none of -p, --raw, --score and "
			  "--json");
	if (raw && n)
		cli_usage("--raw takes no images");
	if (records ? run_records(&r, argv + 1, n, &e)
		    : run_text(&r, argv + 1, n, &e))
		cli_die(&e);
	json_decref(r.messages);
	gv_free(r.px);
	gv_gen_close(&r.g);
	gv_free(stops.v);
	gv_model_close(&r.m);
	gv_tokenizer_close(&r.t);
	gvk_close(&r.k);
	gv_inputs_close(&r.in);
	return cli_finish();
}
