/* A training run, from its directories to its directory. */
#include "training.h"

#include "clock.h"
#include "dir.h"
#include "files.h"
#include "gguf.h"
#include "mem.h"
#include "plan.h"
#include "prov.h"
#include "publish.h"
#include "say.h"
#include "banned.h"

#include <math.h>
#include <unistd.h>

struct gv_training {
	struct gv_training_opts o;
	struct gvk *k;
	struct gv_model *m, *reference;
	struct gv_reader *in;
	struct gv_plan plan;
	struct gv_train *t;
	struct gv_lock *lock;
	char dir[GV_PATH_MAX]; /* of checkpoints */
	json_t *args;
	struct gv_log *log;
	struct gv_publish *publish;
	uint64_t before; /* groups used up by the run that is resumed */
};

/* ---- opening ------------------------------------------------------------- */

/* Refuses tokens of another vocabulary, and features of other weights, than
 * those of the model in `dir`. */
static int
check_input(const struct gv_reader *in, const struct gv_model *m,
    const char *dir, struct gv_error *e)
{
	const struct gv_schema *s = gv_reader_schema(in);
	struct gv_tokenizer *tok = NULL;
	struct gv_facts f = {dir, &m->cfg, NULL};
	enum gv_input form = gv_reader_has(in, "embeds") >= 0 ? GV_IN_EMBEDS
			     : gv_reader_has(in, "features") >= 0
				 ? GV_IN_FEATURES
			     : gv_reader_has(in, "image") >= 0 ? GV_IN_IMAGE
							       : GV_IN_NONE;

	if (gv_schema_digest(s, "tokenizer") &&
	    gv_open_vocabulary(&tok, dir, e))
		return e->code;
	f.tokenizer = tok;
	if (gv_prov_check_input(s, &f, form, e))
		gv_fail_in(
		    e, "cannot train '%s' on '%s'", dir, gv_reader_name(in));
	gv_tokenizer_close(&tok);
	return e->code;
}

static int
check_eval(const struct gv_training *r, struct gv_error *e)
{
	struct gv_reader *eval;

	if (!r->o.eval)
		return 0;
	if (gv_reader_open(&eval, r->o.eval, e))
		return e->code;
	check_input(eval, r->m, r->o.model, e);
	gv_reader_close(&eval);
	return e->code;
}

/* The vocabulary in a GGUF file goes along with the trained model: one that
 * can't be read is told now, and not when there is something to lose. */
static int
check_vocabulary(const struct gv_training_opts *o, struct gv_error *e)
{
	struct gv_tokenizer *t = NULL;

	if (o->output && gv_gguf_named(o->model) &&
	    gv_open_vocabulary(&t, o->model, e))
		return e->code;
	gv_tokenizer_close(&t);
	return 0;
}

static int
open_models(struct gv_training *r, struct gv_error *e)
{
	const struct gv_training_opts *o = &r->o;

	if (gv_reader_open(&r->in, o->input, e) || check_vocabulary(o, e) ||
	    gv_backend_open(&r->k, o->device, o->threads, e) ||
	    gv_model_open(&r->m, r->k, o->model, ~0u, e) ||
	    (o->reference &&
		gv_model_open(&r->reference, r->k, o->reference, ~0u, e)))
		return e->code;
	gv_say(r->o.say, 1, "%s", gvk_name(r->k));
	if (check_input(r->in, r->m, o->model, e) ||
	    (o->reference && check_input(r->in, r->reference, o->reference, e)))
		return e->code;
	return check_eval(r, e);
}

/* How many steps a mapped input has, when the law doesn't say. */
static int
count_steps(struct gv_training *r, int64_t *steps, struct gv_error *e)
{
	const struct gv_train_law *w = &r->o.law;
	uint64_t n;

	if (*steps)
		return 0;
	if (w->batch_tokens || !w->batch || w->policy.law.objective != GV_LM ||
	    !gv_reader_mapped(r->in))
		return gv_fail(e, GV_ERR_USAGE,
		    "--steps is needed: the input's length in steps can't be "
		    "told");
	if (gv_reader_index(r->in, &n, e))
		return e->code;
	*steps = ((int64_t)n + w->batch - 1) / w->batch;
	return 0;
}

static int64_t
share(double x, int64_t steps)
{
	return x < 1 ? (int64_t)(x * (double)steps + 0.5) : (int64_t)x;
}

/* Samplers may be ahead by the lag's steps. */
static int
want(void *arg, uint64_t groups, struct gv_error *e)
{
	const struct gv_training *r = arg;
	const struct gv_train_law *w = &r->o.law;
	int64_t lag = w->policy.max_lag > 0 ? w->policy.max_lag : 0;

	(void)e;
	if (r->publish)
		gv_publish_want(r->publish,
		    r->before + groups + (uint64_t)(lag * w->batch));
	return 0;
}

/* What of the law input and model decide. */
static int
complete_law(struct gv_training *r, struct gv_error *e)
{
	struct gv_train_law *w = &r->o.law;
	int64_t positions = r->m->cfg.text.max_T;

	if (count_steps(r, &w->schedule.total, e))
		return e->code;
	w->schedule.warmup = share(r->o.warmup, w->schedule.total);
	w->schedule.flat = share(r->o.flat, w->schedule.total);
	if (w->max_length > positions)
		return gv_fail(e, GV_ERR_USAGE,
		    "--max-length %d is more than the model's %lld positions",
		    (int)w->max_length, (long long)positions);
	if (!w->max_length)
		w->max_length = (int32_t)positions;
	w->policy.ref = r->reference;
	w->policy.want = want;
	w->policy.arg = r;
	w->live = r->o.publish != NULL;
	return 0;
}

/* Takes the output for this run.  One that can't be written is better known
 * before the run than after it. */
static int
claim_output(struct gv_training *r, struct gv_error *e)
{
	const char *output = r->o.output;
	struct gv_dir *d;

	if (!output)
		return 0;
	if (gv_dir_begin(&d, output, e))
		return e->code;
	gv_dir_abort(&d);
	snprintf(r->dir, sizeof r->dir, "%s.run", output);
	/* the new run's checkpoints would mix with the old one's */
	if (!r->o.resume && !access(r->dir, F_OK))
		return gv_fail(e, GV_ERR_MATCH,
		    "'%s' holds an earlier run: go on with --resume, or "
		    "remove it",
		    r->dir);
	return gv_lock(&r->lock, output, e);
}

static int
open_all(struct gv_training *r, struct gv_error *e)
{
	const struct gv_training_opts *o = &r->o;

	if (open_models(r, e) || complete_law(r, e) || claim_output(r, e) ||
	    gv_plan(r->m, o->parts, &o->law, &r->plan, e) ||
	    gv_plan_fits(r->m, &r->plan, e) ||
	    gv_model_train(r->m, o->parts, e) ||
	    gv_train_open(&r->t, r->m, r->in, &o->law, e))
		return e->code;
	gvk_profile_on(r->k, o->profile);
	return 0;
}

int
gv_training_open(struct gv_training **out, const struct gv_training_opts *o,
    struct gv_error *e)
{
	struct gv_training *r = gv_alloc(1, sizeof *r);

	if (!r)
		return gv_fail(e, GV_ERR_NOMEM, "out of memory");
	r->o = *o;
	*out = r;
	if (open_all(r, e))
		gv_training_close(out);
	return e->code;
}

void
gv_training_close(struct gv_training **out)
{
	struct gv_training *r = *out;
	struct gv_error unheard = {0}; /* lines are written as they come */

	if (!r)
		return;
	*out = NULL;
	gv_publish_close(&r->publish);
	(void)!gv_log_close(&r->log, &unheard);
	json_decref(r->args);
	gv_train_close(&r->t);
	gv_model_close(&r->m);
	gv_model_close(&r->reference);
	gvk_close(&r->k);
	gv_reader_close(&r->in);
	gv_unlock(&r->lock);
	gv_free(r);
}

/* ---- instead of a run ---------------------------------------------------- */

int
gv_training_plan(
    struct gv_training *r, struct gv_out *o, bool json, struct gv_error *e)
{
	struct gv_plan_time t = {.steps = r->o.law.schedule.total};
	struct gv_train_step s;
	double start = gv_now();

	if (gv_train_grads(r->t, &s, e) < 0)
		return e->code;
	t.seconds = gv_now() - start;
	t.flops = s.flops;
	return gv_plan_write(o, &r->plan, &t, json, e);
}

int
gv_training_grads(struct gv_training *r, const char *path, struct gv_error *e)
{
	struct gv_train_step s;

	if (gv_train_grads(r->t, &s, e) < 0)
		return e->code;
	return gv_model_save_grads(r->m, path, e);
}

/* ---- the run ------------------------------------------------------------- */

static int
checkpoint(struct gv_training *r, struct gv_error *e)
{
	return gv_train_save(r->t, r->dir, r->args, r->o.model, e);
}

static int
resume(struct gv_training *r, struct gv_error *e)
{
	char warning[512];
	uint64_t next;
	int k =
	    gv_train_resume(r->t, r->dir, r->args, warning, sizeof warning, e);

	if (k < 0)
		return k;
	if (warning[0])
		gv_say(r->o.say, 0, "%s", warning);
	r->before = gv_train_groups(r->t, &next);
	if (k)
		gv_say(r->o.say, 1, "resumed after step %lld",
		    (long long)gv_train_steps(r->t));
	return 0;
}

/* The weights as they are now, for those who follow. */
static int
publish(struct gv_training *r, struct gv_error *e)
{
	uint64_t next, groups = gv_train_groups(r->t, &next);

	return r->publish ? gv_publish(r->publish, gv_train_steps(r->t), groups,
				next, e)
			  : 0;
}

static int
log_step(
    struct gv_training *r, const struct gv_train_step *s, struct gv_error *e)
{
	json_t *o;

	if (gv_train_step_json(&o, s, e))
		return e->code;
	if (r->publish)
		json_object_set_new(o, "publish_seconds",
		    json_real(gv_publish_seconds(r->publish)));
	(void)!gv_log_line(r->log, o, e);
	json_decref(o);
	return e->code;
}

static int
evaluate(struct gv_training *r, struct gv_error *e)
{
	int64_t step = gv_train_steps(r->t);
	struct gv_eval v;
	json_t *o;

	if (gv_train_eval(r->t, r->o.eval, &v, e) ||
	    gv_eval_json(&o, &v, step, e))
		return e->code;
	if (!gv_log_line(r->log, o, e) && isfinite(v.bpb))
		gv_say(r->o.say, 0,
		    "step %lld: eval loss %.4f, %.4f bits a byte",
		    (long long)step, v.loss, v.bpb);
	else if (!e->code)
		gv_say(r->o.say, 0, "step %lld: eval loss %.4f",
		    (long long)step, v.loss);
	json_decref(o);
	return e->code;
}

/* What comes behind a step: 1, or 0 if it was the last for now. */
static int
after_step(
    struct gv_training *r, const struct gv_train_step *s, struct gv_error *e)
{
	const struct gv_training_opts *o = &r->o;
	int64_t total = o->law.schedule.total;
	bool eval = o->eval && o->eval_every && s->step % o->eval_every == 0 &&
		    s->step < total;

	if (publish(r, e) || log_step(r, s, e))
		return e->code;
	if (o->progress)
		o->progress(s, total);
	if (o->stopped && o->stopped()) {
		if (checkpoint(r, e))
			return e->code;
		gv_say(r->o.say, 0, "stopped after step %lld; --resume goes on",
		    (long long)s->step);
		return 0;
	}
	if ((eval || (o->save_every && s->step % o->save_every == 0)) &&
	    checkpoint(r, e))
		return e->code;
	return eval && evaluate(r, e) ? e->code : 1;
}

/* All steps: 1, or 0 if the run was stopped. */
static int
train(struct gv_training *r, struct gv_error *e)
{
	int64_t total = r->o.law.schedule.total;
	struct gv_train_step s;
	int k = 1;

	while (gv_train_steps(r->t) < total &&
	       (k = gv_train_step(r->t, &s, e)) > 0) {
		k = after_step(r, &s, e);
		if (k <= 0)
			return k;
	}
	if (k < 0)
		return k;
	if (!gv_train_steps(r->t))
		return gv_fail(e, GV_ERR_MATCH,
		    "the input ended before the first step%s: nothing was "
		    "learned",
		    r->o.law.policy.drop_equal
			? ", but for groups of equal rewards"
			: "");
	if (r->publish)
		gv_publish_finish(r->publish);
	/* an input used to its end is checked to its end */
	if (gv_train_steps(r->t) >= total)
		return gv_train_drain(r->t, e) < 0 ? e->code : 1;
	gv_say(r->o.say, 0, "the input ended after step %lld of %lld",
	    (long long)gv_train_steps(r->t), (long long)total);
	return 1;
}

/* Where the time of the steps went. */
static void
tell_profile(const struct gv_training *r)
{
	struct gvk_profile row[64];
	size_t n = gvk_profile_get(r->k, row, 64), i;
	double all = 0;

	n = n < 64 ? n : 64;
	for (i = 0; i < n; i++)
		all += (double)row[i].ns;
	for (i = 0; i < n && all > 0; i++)
		gv_say(r->o.say, 1,
		    "%-16s %5.1f %%  %8.3f s  %9llu calls  %7.1f GFLOP/s",
		    row[i].op, 100 * (double)row[i].ns / all,
		    1e-9 * (double)row[i].ns, (unsigned long long)row[i].calls,
		    row[i].flops / (double)(row[i].ns + 1));
}

/* The model appears whole; then the run's checkpoints are of no more use. */
static int
write_model(struct gv_training *r, struct gv_error *e)
{
	struct gv_dir *d;

	if (gv_dir_begin(&d, r->o.output, e))
		return e->code;
	if (gv_model_save(r->m, gv_dir_tmp(d), r->o.dtype, e) ||
	    gv_copy_tokenizer(r->o.model, gv_dir_tmp(d), e)) {
		gv_dir_abort(&d);
		return e->code;
	}
	if (gv_dir_commit(&d, e))
		return e->code;
	return r->o.keep_run ? 0 : gv_dir_remove(r->dir, e);
}

static int
begin(struct gv_training *r, struct gv_error *e)
{
	const struct gv_training_opts *o = &r->o;

	if (gv_train_exact(r->t, o->model, e) ||
	    gv_train_args(&r->args, &o->law, o->model, o->reference, e) ||
	    (o->log && gv_log_open(&r->log, o->log, e)) ||
	    (o->resume && resume(r, e)) ||
	    (o->publish &&
		gv_publish_open(&r->publish, r->m, o->publish, o->model, e)))
		return e->code;
	return publish(r, e);
}

int
gv_training_run(struct gv_training *r, struct gv_error *e)
{
	uint64_t cut;
	int k;

	if (begin(r, e))
		return e->code;
	k = train(r, e);
	if (k <= 0)
		return k;
	cut = gv_train_cut(r->t);
	if (cut)
		gv_say(r->o.say, 0,
		    "%llu sequences with images lost their end to --max-length",
		    (unsigned long long)cut);
	if ((r->o.eval && (checkpoint(r, e) || evaluate(r, e))) ||
	    write_model(r, e) || gv_log_close(&r->log, e))
		return e->code;
	tell_profile(r);
	return 1;
}
