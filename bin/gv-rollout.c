/* gv-rollout: samples answers to prompt records, or scores given tokens. */
#include "cli.h"
#include "gen.h"
#include "inputs.h"
#include "logits.h"
#include "mem.h"
#include "prompts.h"
#include "prov.h"
#include "publish.h"
#include "score.h"

#include <string.h>
#include <time.h>

static struct gv_opt_common common;
static const char *model_dir, *run_dir, *score_as = "logp";
static int64_t group = 1, top_k, max_tokens = 256, batch = 64, largest = -1;
static double temperature = 1, top_p = 1, patience = 600;
static bool scoring, pass_images;

static const struct gv_opt opts[] = {
    {"model", 'm', GV_OPT_STR, &model_dir, "DIR", "the model's directory", 0, 0,
	NULL},
    {"group", 0, GV_OPT_INT, &group, "G", "samples a prompt (1)", 1, 65536,
	NULL},
    {"temperature", 0, GV_OPT_F64, &temperature, "T",
	"divides the logits; 0 takes the largest (1)", 0, 1e6, NULL},
    {"top-k", 0, GV_OPT_INT, &top_k, "K",
	"draw among the K likeliest; 0: all (0)", 0, GV_MAX_VOCAB, NULL},
    {"top-p", 0, GV_OPT_F64, &top_p, "P",
	"draw among the likeliest of mass P; 1: all (1)", 1e-9, 1, NULL},
    {"max-tokens", 0, GV_OPT_INT, &max_tokens, "N",
	"tokens of a sample at most (256)", 1, GV_MAX_POSITIONS, NULL},
    {"batch", 0, GV_OPT_INT, &batch, "N", "samples that decode together (64)",
	1, 65536, NULL},
    {"follow", 0, GV_OPT_STR, &run_dir, "RUN",
	"sample with the weights that gv-train --publish RUN has now", 0, 0,
	NULL},
    {"wait", 0, GV_OPT_F64, &patience, "S",
	"seconds that the first of them may take (600)", 0, 1e9, NULL},
    {"images", 0, GV_OPT_FLAG, &pass_images, NULL,
	"pass on what the prompts have of images, for gv-train", 0, 0, NULL},
    {"score", 0, GV_OPT_FLAG, &scoring, NULL,
	"add the log-probabilities of the records' own tokens", 0, 0, NULL},
    {"score-as", 0, GV_OPT_STR, &score_as, "NAME",
	"the field that --score writes (logp)", 0, 0, NULL},
    {"logits", 0, GV_OPT_INT, &largest, "K",
	"add the K largest logits of every position; 0: all", 0, GV_MAX_VOCAB,
	NULL},
    {0}};

/* Whether records are looked at as they are, and nothing is drawn. */
static bool
reading(void)
{
	return scoring || largest >= 0;
}

static const struct gv_opt_prog prog = {
    "gv-rollout",
    "-m MODEL [--group G] [-o FILE] [FILE ...]",
    "sample answers to prompts, or score given ones",
    GV_OPT_C_OUTPUT | GV_OPT_C_SEED | GV_OPT_C_DEVICE | GV_OPT_C_THREADS |
	GV_OPT_C_ERRORS,
    opts,
};

/* What a run holds. */
struct run {
	struct gv_inputs in;
	struct gv_prompt_fields fields;
	struct gvk *k;
	struct gv_model *m;
	struct gv_tokenizer *t;
	struct gv_gen *g;
	struct gv_out *o;
	struct gv_writer *w;
	bool keep[GV_MAX_FIELDS]; /* fields of the input that are passed on */
	uint64_t bad, tokens;
	/* with --follow */
	struct gv_follow *follow;
	int64_t version; /* of the weights in use */
	uint64_t fed, next; /* prompts that samples were drawn for; the first
	                     * that counts */
	bool ended; /* the input has */
};

/* ---- the start ----------------------------------------------------------- */

/* Fields that a sample has besides those of its prompt. */
static const struct {
	const char *name, *spec, *unit;
} sample_fields[] = {
    {"tokens", "I32 (T)", ""},
    {"loss_mask", "U8 (T)", ""},
    {"logp", "F32 (T)", "nat"},
    {"image_at", "I32 (N)", ""},
    {"text", "plain", ""},
    {"stop", "plain", ""},
    {"group", "plain", ""},
    {"sample", "plain", ""},
    {"group_size", "plain", ""},
    {"policy", "plain", ""},
    {"seed", "plain", ""},
    {"temperature", "plain", ""},
    {"top_k", "plain", ""},
    {"top_p", "plain", ""},
};
#define SAMPLE_FIELDS (sizeof sample_fields / sizeof *sample_fields)

static bool
rewritten(const struct gv_field *f)
{
	size_t i;

	for (i = 0; i < SAMPLE_FIELDS; i++)
		if (!strcmp(f->name, sample_fields[i].name))
			return true;
	return gv_prompt_spent(f) && !(pass_images && gv_visual_is(f->name));
}

/* What --score and --logits write, whether the input has it or not. */
static bool
added(const struct gv_field *f)
{
	if (scoring && !strcmp(f->name, score_as))
		return true;
	return largest >= 0 &&
	       (!strcmp(f->name, "logits") || !strcmp(f->name, "logit_ids"));
}

static int
add_fields(struct gv_schema *s, struct gv_error *e)
{
	size_t i;

	for (i = 0; i < SAMPLE_FIELDS && !reading(); i++)
		if (gv_schema_field(s, sample_fields[i].name,
			sample_fields[i].spec, sample_fields[i].unit, e))
			return e->code;
	if (scoring && gv_schema_field(s, score_as, "F32 (T)", "nat", e))
		return gv_fail_in(e, "cannot write field '%s'", score_as);
	if (largest >= 0 && gv_schema_field(s, "logits",
				largest ? "F32 (T,K)" : "F32 (T,V)", "", e))
		return e->code;
	if (largest > 0)
		return gv_schema_field(s, "logit_ids", "I32 (T,K)", "", e);
	return 0;
}

/* Leaves in `s` the fields that are passed on, and marks them. */
static void
choose_fields(struct run *r, struct gv_schema *s)
{
	size_t i, n = 0;

	for (i = 0; i < s->nfields; i++) {
		const struct gv_field *f = &s->fields[i];

		r->keep[i] = reading() ? !gv_visual_is(f->name) && !added(f)
				       : !rewritten(f);
		if (r->keep[i])
			s->fields[n++] = *f;
	}
	s->nfields = n;
}

/* The arguments that decide what comes out. */
static json_t *
arguments(void)
{
	json_t *a;

	if (reading()) {
		a = scoring ? json_pack("[ss]", "--score-as", score_as)
			    : json_array();
		if (largest < 0)
			return a;
		json_array_append_new(a, json_string("--logits"));
		json_array_append_new(
		    a, json_sprintf("%lld", (long long)largest));
		return a;
	}
	return json_pack("[sosososososo]", "--group",
	    json_sprintf("%lld", (long long)group), "--temperature",
	    json_sprintf("%.17g", temperature), "--top-k",
	    json_sprintf("%lld", (long long)top_k), "--top-p",
	    json_sprintf("%.17g", top_p), "--max-tokens",
	    json_sprintf("%lld", (long long)max_tokens), "--seed",
	    json_sprintf("%lld", (long long)common.seed));
}

/* What the model's part in the output depends on. */
static int
add_digests(const struct run *r, json_t *digests, const struct gv_facts *f,
    struct gv_error *e)
{
	enum gv_input in = r->fields.input;

	if (gv_prov_add(digests, f, "language", e) ||
	    gv_prov_add(digests, f, "tokenizer", e))
		return e->code;
	if (in == GV_IN_IMAGE && gv_prov_add(digests, f, "vision", e))
		return e->code;
	if ((in == GV_IN_IMAGE || in == GV_IN_FEATURES) &&
	    (gv_prov_add(digests, f, "resampler", e) ||
		gv_prov_add(digests, f, "projector", e)))
		return e->code;
	return 0;
}

/* The HEAD of the output. */
static int
begin(struct run *r, const struct gv_facts *f, struct gv_error *e)
{
	json_t *digests = json_object();
	struct gv_schema s;

	if (gv_schema_copy(&s, gv_reader_schema(r->in.first), e))
		return e->code;
	choose_fields(r, &s);
	if (!reading())
		snprintf(s.kind, sizeof s.kind, "samples");
	if (!add_fields(&s, e) && !add_digests(r, digests, f, e) &&
	    !gv_schema_prog(
		&s, prog.name, arguments(), json_incref(digests), e) &&
	    !gv_out_open(&r->o, common.output, true, common.force, e) &&
	    gv_writer_open(&r->w, r->o, &s, e))
		r->w = NULL;
	if (!e->code)
		gv_inputs_tie(&r->in, r->o);
	json_decref(digests);
	gv_schema_free(&s);
	return e->code;
}

/* Prompts may not bring what weights that train have made. */
static int
check_trained(const struct run *r, struct gv_error *e)
{
	enum gv_input in = r->fields.input;
	int p;

	for (p = GV_VISION; p <= GV_PROJECTOR; p++)
		if (gv_follow_trains(r->follow, (enum gv_part)p) &&
		    (in == GV_IN_EMBEDS ||
			(in == GV_IN_FEATURES && p == GV_VISION)))
			return gv_fail(e, GV_ERR_MATCH,
			    "the trainer of '%s' trains the %s part, so "
			    "prompts must bring what it starts from",
			    run_dir, gv_part_name((enum gv_part)p));
	return 0;
}

/* The model of a trainer, which waits for the HEAD of the output. */
static int
open_followed(struct run *r, unsigned parts, struct gv_error *e)
{
	struct gv_follow_state s;

	if (gv_out_flush(r->o, e) ||
	    gv_model_open(&r->m, r->k, model_dir, parts, e) ||
	    gv_follow_open(&r->follow, r->m, run_dir, model_dir, patience, e) ||
	    check_trained(r, e))
		return e->code;
	gv_follow_state(r->follow, &s);
	r->fed = s.used;
	r->next = s.next;
	return 0;
}

static int
open_weights(struct run *r, struct gv_error *e)
{
	unsigned parts = gv_visual_parts(r->fields.input);

	if (gv_backend_open(&r->k, common.device, common.threads, e))
		return e->code;
	return run_dir
		   ? open_followed(r, parts, e)
		   : gv_model_open_forward(&r->m, r->k, model_dir, parts, e);
}

static int
open_model(struct run *r, struct gv_error *e)
{
	const struct gv_reader *in = r->in.first;
	struct gv_config c;
	struct gv_facts f;

	if (gv_prompt_fields(&r->fields, in, e))
		return e->code;
	if (scoring && r->fields.loss_mask < 0 && r->fields.targets < 0)
		return gv_fail(e, GV_ERR_MATCH,
		    "'%s' has neither 'loss_mask' nor 'targets' to score",
		    gv_reader_name(in));
	/* all that may be wrong with the input is found before the weights
	 * are read */
	if (gv_config_open(&c, model_dir, e))
		return e->code;
	if (!gv_tokenizer_open(&r->t, model_dir, e)) {
		f = (struct gv_facts){model_dir, &c, r->t};
		if (gv_prov_check_input(
			gv_reader_schema(in), &f, r->fields.input, e))
			gv_fail_in(e, "cannot use '%s'", gv_reader_name(in));
		else if (largest > c.text.V)
			gv_fail(e, GV_ERR_MATCH,
			    "--logits %lld, but the model has %lld ids",
			    (long long)largest, (long long)c.text.V);
		else if (!begin(r, &f, e) && !open_weights(r, e))
			cli_say(1, "%s", gvk_name(r->k));
	}
	gv_config_free(&c);
	return e->code;
}

/* A bad record: counted and named while --max-errors lets it pass. */
static int
bad_record(struct run *r, uint64_t n, struct gv_error *e)
{
	gv_fail_in(e, "cannot use '%s': record %llu", gv_reader_name(r->in.now),
	    (unsigned long long)n);
	if ((e->code != GV_ERR_MATCH && e->code != GV_ERR_FORMAT &&
		e->code != GV_ERR_LIMIT) ||
	    r->bad >= (uint64_t)common.max_errors)
		return e->code;
	cli_warn("%s", e->msg);
	gv_error_clear(e);
	r->bad++;
	return 0;
}

/* ---- sampling ------------------------------------------------------------ */

static int
submit(struct run *r, const struct gv_rec *rec, struct gv_error *e)
{
	struct gv_gen_prompt p = {.number = rec->n};
	struct gv_kept *k = gv_alloc(1, sizeof *k);

	if (!k)
		return gv_fail(e, GV_ERR_NOMEM, "no memory for a record");
	p.user = k;
	if (!gv_prompt_of(&p, &r->fields, rec, e) &&
	    !gv_keep(
		k, rec, r->keep, gv_reader_schema(r->in.first)->nfields, e) &&
	    !gv_gen_submit(r->g, &p, e)) {
		r->fed++;
		return 0;
	}
	gv_kept_free(k);
	gv_free(k);
	return bad_record(r, rec->n, e);
}

/* A bad record that may pass counts as fed. */
static int
feed(void *arg, struct gv_error *e)
{
	struct run *r = arg;
	struct gv_rec rec;
	int more = gv_inputs_next(&r->in, &rec, e);

	r->ended = more == 0;
	if (more <= 0)
		return more;
	if (rec.n < r->next)
		return 1; /* the trainer has learned from it */
	return submit(r, &rec, e) ? e->code : 1;
}

/* Tokens, mask and log-probabilities of prompt and sample as one sequence. */
static int
put_sequence(struct run *r, const struct gv_gen_result *p,
    const struct gv_gen_sample *s, void **mem, struct gv_error *e)
{
	size_t T = p->n + s->n;
	int64_t shape[1] = {(int64_t)T};
	int32_t *token = gv_alloc(T, 9); /* token, logp, mask */
	float *logp;
	uint8_t *mask;

	*mem = token;
	if (!token)
		return gv_fail(e, GV_ERR_NOMEM, "no memory for a sample");
	logp = (float *)(void *)(token + T);
	mask = (uint8_t *)(logp + T);
	memcpy(token, p->token, p->n * sizeof *token);
	memcpy(token + p->n, s->token, s->n * sizeof *token);
	memcpy(logp + p->n, s->logp, s->n * sizeof *logp);
	memset(mask + p->n, 1, s->n);
	if (gv_writer_tensor(r->w, "tokens", 1, shape, token, e) ||
	    gv_writer_tensor(r->w, "logp", 1, shape, logp, e))
		return e->code;
	return gv_writer_tensor(r->w, "loss_mask", 1, shape, mask, e);
}

static int
put_text(struct run *r, const struct gv_gen_sample *s, struct gv_error *e)
{
	const char *stop = gv_gen_stop_name(s->stop);
	size_t n;
	char *text;

	if (gv_gen_text(r->t, s->token, s->n, &text, &n, e))
		return e->code;
	if (!gv_writer_text(r->w, "text", text, n, e))
		n = (size_t)gv_writer_text(r->w, "stop", stop, strlen(stop), e);
	gv_free(text);
	return e->code;
}

static int
put_kept(struct run *r, const struct gv_kept *k, struct gv_error *e)
{
	const struct gv_schema *s = gv_reader_schema(r->in.first);
	size_t i;

	for (i = 0; i < k->nfields; i++)
		if (r->keep[i] &&
		    gv_writer_value(r->w, s->fields[i].name, &k->v[i], e))
			break;
	return e->code;
}

static int
write_sample(
    struct run *r, const struct gv_gen_result *p, int64_t i, struct gv_error *e)
{
	const struct gv_gen_sample *s = &p->sample[i];
	const struct gv_kept *k = p->user;
	int64_t N[1] = {(int64_t)p->images};
	struct gv_writer *w = r->w;
	void *mem = NULL;

	if (!gv_writer_begin(w, k->key, e) && !put_sequence(r, p, s, &mem, e) &&
	    !put_text(r, s, e) && !put_kept(r, k, e) &&
	    !gv_writer_tensor(w, "image_at", 1, N, p->image_at, e) &&
	    !gv_writer_int(w, "group", (int64_t)p->number, e) &&
	    !gv_writer_int(w, "sample", i, e) &&
	    !gv_writer_int(w, "group_size", group, e) &&
	    !gv_writer_int(w, "policy", r->version, e) &&
	    !gv_writer_int(w, "seed", common.seed, e) &&
	    !gv_writer_f64(w, "temperature", temperature, e) &&
	    !gv_writer_int(w, "top_k", top_k, e) &&
	    !gv_writer_f64(w, "top_p", top_p, e) && !gv_writer_end_rec(w, e))
		r->tokens += s->n;
	gv_free(mem);
	return e->code;
}

static int
write_result(void *arg, const struct gv_gen_result *p, struct gv_error *e)
{
	struct run *r = arg;
	struct gv_kept *k = p->user;
	int64_t i;

	for (i = 0; i < group; i++)
		if (write_sample(r, p, i, e))
			break;
	gv_kept_free(k);
	gv_free(k);
	cli_progress("%llu prompts read, %llu tokens sampled",
	    (unsigned long long)r->in.records, (unsigned long long)r->tokens);
	return e->code;
}

/* A prompt, unless nobody wants it yet or newer weights wait for the others to
 * be done. */
static int
feed_wanted(void *arg, struct gv_error *e)
{
	struct run *r = arg;
	struct gv_follow_state s;

	gv_follow_state(r->follow, &s);
	if (s.version != r->version || r->fed >= s.wanted || s.finished)
		return 0;
	return feed(r, e);
}

/* Takes new weights between prompts; ends with the input, or the trainer. */
static int
follow(struct run *r, struct gv_error *e)
{
	const struct gv_gen_work work = {feed_wanted, write_result, r};
	int go = 1, updated;

	while (go > 0 && !r->ended) {
		updated = gv_follow_update(r->follow, &r->version, e);
		if (updated < 0)
			return updated;
		if (updated) {
			gv_gen_forget(r->g);
			cli_say(2, "policy %lld, copied in %.1f ms",
			    (long long)r->version,
			    1e3 * gv_follow_seconds(r->follow));
		}
		if (gv_gen_run(r->g, &work, e) || gv_out_flush(r->o, e))
			return e->code;
		if (!r->ended)
			go = gv_follow_wait(r->follow, r->fed, e);
	}
	return go < 0 ? go : 0;
}

static int
sample(struct run *r, struct gv_error *e)
{
	const struct gv_gen_law law = {.temperature = (float)temperature,
	    .top_p = (float)top_p,
	    .top_k = (int32_t)top_k,
	    .group = (int32_t)group,
	    .max_tokens = max_tokens,
	    .rows = batch,
	    .seed = (uint64_t)common.seed};
	const struct gv_gen_work work = {feed, write_result, r};

	if (gv_gen_open(&r->g, r->m, r->t, &law, e))
		return gv_fail_in(e, "cannot sample from '%s'", model_dir);
	return r->follow ? follow(r, e) : gv_gen_run(r->g, &work, e);
}

/* ---- scores and logits --------------------------------------------------- */

/* A record that waits for its scores or logits. */
struct waiting {
	struct gv_kept kept;
	struct gv_score_item item;
	int32_t *target;
	float *logits; /* (T,K) or (T,V), while they come */
	int32_t *id; /* (T,K) */
};

static void
free_waiting(struct waiting *w)
{
	gv_kept_free(&w->kept);
	gv_visual_drop(&w->item.visual);
	gv_free(w->target);
	gv_free(w->item.logp);
	gv_free(w->logits);
	gv_free(w->id);
	*w = (struct waiting){0};
}

/* Logits of a position that are written. */
static int64_t
columns(const struct run *r)
{
	return largest ? largest : r->m->cfg.text.V;
}

/* Whether the logits of n tokens fit a record, beside all else. */
static int
check_room(const struct run *r, size_t n, struct gv_error *e)
{
	size_t room = GV_MAX_RECORD - GV_MAX_RECORD / 16;
	size_t row =
	    (size_t)columns(r) *
	    (largest ? sizeof(float) + sizeof(int32_t) : sizeof(float));

	if (largest < 0 || n <= room / row)
		return 0;
	return gv_fail(e, GV_ERR_LIMIT,
	    "the logits of %zu tokens are %.1f GB, which no record holds; "
	    "--logits K takes the K largest",
	    n, (double)n * (double)row / 1e9);
}

/* Copies a record and says what is to be scored in it. */
static int
take(struct run *r, struct waiting *w, const struct waiting *before,
    const struct gv_rec *rec, struct gv_error *e)
{
	struct gv_score_item *s = &w->item;
	struct gv_gen_prompt p = {0};
	struct gv_rec own;
	size_t i;

	if (gv_prompt_of(&p, &r->fields, rec, e))
		return e->code;
	w->target = gv_alloc(p.n, sizeof *w->target);
	s->logp = gv_alloc(p.n + 1, sizeof *s->logp);
	if (!w->target || !s->logp)
		return gv_fail(e, GV_ERR_NOMEM, "no memory for a record");
	for (i = 0; i < p.n; i++)
		w->target[i] = -1;
	if (gv_keep(&w->kept, rec, r->keep,
		gv_reader_schema(r->in.first)->nfields, e) ||
	    (scoring && gv_prompt_targets(w->target, &r->fields, rec, e)) ||
	    (p.images && gv_visual_take(&s->visual, r->m, p.input, p.visual,
			     before ? before->item.visual : NULL, e)))
		return e->code;
	own = (struct gv_rec){.v = w->kept.v};
	p.visual = NULL;
	s->n = p.n;
	s->token = own.v[r->fields.tokens].t.data;
	s->images = p.images;
	if (p.images)
		s->image_at = own.v[r->fields.image_at].t.data;
	s->target = w->target;
	if (check_room(r, p.n, e))
		return e->code;
	return gv_score_check(r->m, s, e);
}

/* logp[i] is of the token after i; a stream has it beside its token. */
static int
put_logp(struct run *r, struct waiting *w, struct gv_error *e)
{
	int64_t T[1] = {(int64_t)w->item.n};
	float *logp = w->item.logp;

	if (w->item.n)
		memmove(logp + 1, logp, (w->item.n - 1) * sizeof *logp);
	logp[0] = 0;
	return gv_writer_tensor(r->w, score_as, 1, T, logp, e);
}

static int
put_logits(struct run *r, const struct waiting *w, struct gv_error *e)
{
	int64_t shape[2] = {(int64_t)w->item.n, columns(r)};

	if (gv_writer_tensor(r->w, "logits", 2, shape, w->logits, e) ||
	    !largest)
		return e->code;
	return gv_writer_tensor(r->w, "logit_ids", 2, shape, w->id, e);
}

static int
write_read(struct run *r, struct waiting *w, struct gv_error *e)
{
	if (!gv_writer_begin(r->w, w->kept.key, e) &&
	    !put_kept(r, &w->kept, e) && (!scoring || !put_logp(r, w, e)) &&
	    (largest < 0 || !put_logits(r, w, e)) &&
	    !gv_writer_end_rec(r->w, e))
		r->tokens += w->item.n;
	return e->code;
}

/* What take_logits() works on. */
struct logits_of {
	struct run *r;
	struct waiting *w;
};

/* Keeps some rows of logits, or the largest of each, until the record is
 * complete and can be written. */
static int
take_logits(void *arg, size_t item, size_t at, size_t n, const float *logits,
    struct gv_error *e)
{
	const struct logits_of *l = arg;
	struct waiting *w = &l->w[item];
	size_t K = (size_t)columns(l->r), V = (size_t)l->r->m->cfg.text.V, i;

	if (!at) {
		w->logits = gv_alloc(w->item.n * K, sizeof *w->logits);
		w->id = gv_alloc(largest ? w->item.n * K : 0, sizeof *w->id);
		if (!w->logits || !w->id)
			return gv_fail(e, GV_ERR_NOMEM, "no memory for logits");
	}
	for (i = 0; i < n; i++) {
		float *row = w->logits + (at + i) * K;

		if (largest)
			gv_logits_top(row, w->id + (at + i) * K, largest,
			    logits + i * V, (int64_t)V);
		else
			memcpy(row, logits + i * V, V * sizeof *row);
	}
	if (at + n < w->item.n)
		return 0;
	write_read(l->r, w, e);
	free_waiting(w);
	return e->code;
}

static int
read_batch(struct run *r, struct waiting *w, size_t n, struct gv_error *e)
{
	struct gv_score_item *item = gv_alloc(n, sizeof *item);
	struct logits_of l = {r, w};
	size_t i;

	if (!item)
		return gv_fail(e, GV_ERR_NOMEM, "no memory for a batch");
	for (i = 0; i < n; i++)
		item[i] = w[i].item;
	if ((!scoring || !gv_score(r->m, item, n, e)) &&
	    (largest < 0 || !gv_logits(r->m, item, n, take_logits, &l, e)))
		for (i = 0; largest < 0 && i < n; i++)
			if (write_read(r, &w[i], e))
				break;
	for (i = 0; i < n; i++)
		free_waiting(&w[i]);
	gv_free(item);
	return e->code;
}

static int
read_records(struct run *r, struct gv_error *e)
{
	struct waiting *w = gv_alloc((size_t)batch, sizeof *w);
	struct gv_rec rec;
	size_t n = 0;
	int more;

	if (!w)
		return gv_fail(e, GV_ERR_NOMEM, "no memory for a batch");
	while ((more = gv_inputs_next(&r->in, &rec, e)) > 0) {
		if (!take(r, &w[n], n ? &w[n - 1] : NULL, &rec, e)) {
			n++;
		} else {
			free_waiting(&w[n]);
			if (bad_record(r, rec.n, e))
				break;
		}
		if (n == (size_t)batch) {
			if (read_batch(r, w, n, e))
				break;
			n = 0;
		}
		cli_progress(
		    "%llu records read", (unsigned long long)r->in.records);
	}
	if (!e->code && n)
		more = read_batch(r, w, n, e);
	gv_free(w);
	return e->code;
}

/* ---- main ---------------------------------------------------------------- */

static double
seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void
report(const struct run *r, double start)
{
	struct gv_gen_stats s = {0};

	if (r->g)
		gv_gen_stats(r->g, &s);
	cli_say(1, "%llu records, %llu tokens %s in %.2f s",
	    (unsigned long long)r->in.records, (unsigned long long)r->tokens,
	    reading() ? "read" : "sampled", seconds() - start);
	if (r->g)
		cli_say(1,
		    "%llu passes; %llu prompt tokens computed, %llu shared; "
		    "%llu images encoded",
		    (unsigned long long)s.passes, (unsigned long long)s.prefill,
		    (unsigned long long)s.shared, (unsigned long long)s.images);
}

int
main(int argc, char **argv)
{
	int n = cli_start(&prog, &common, argc, argv);
	double start = seconds();
	struct gv_error e = {0};
	struct run r = {0};

	if (!model_dir)
		cli_usage("no model: -m DIR");
	if (run_dir && reading())
		cli_usage("--follow is for sampling");
	if (gv_inputs_open(&r.in, argv + 1, n, &e) || open_model(&r, &e) ||
	    (reading() ? read_records(&r, &e) : sample(&r, &e)))
		cli_die(&e);
	report(&r, start);
	if (gv_writer_close(&r.w, r.bad + r.in.bad, &e) ||
	    gv_out_commit(&r.o, &e))
		cli_die(&e);
	gv_gen_close(&r.g);
	gv_follow_close(&r.follow);
	gv_model_close(&r.m);
	gv_tokenizer_close(&r.t);
	gvk_close(&r.k);
	gv_inputs_close(&r.in);
	return cli_finish();
}
