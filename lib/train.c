/* Steps over a stream of examples. */
#include "train.h"

#include "digest.h"
#include "json.h"
#include "mem.h"
#include "sha.h"
#include "banned.h"

#include <math.h>

struct gv_train {
	struct gv_model *m;
	struct gv_reader *in;
	struct gv_examples *examples;
	struct gv_packer *packer;
	struct gv_optim *optim;
	struct gv_train_law law;
	struct gv_run_state state;
	struct gv_example *ex; /* of the step in work */
	size_t n, cap;
	bool ended;
	float *logp;
};

static double
now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* The digest of what the input says it is; a resumed run must get the same. */
static int
input_digest(const struct gv_reader *r, char out[65], struct gv_error *e)
{
	const struct gv_schema *s = gv_reader_schema(r);
	json_t *o = json_pack("[s]", s->kind);
	char *text = NULL;
	size_t i;

	for (i = 0; i < s->nfields; i++)
		json_array_append_new(o, json_string(s->fields[i].name));
	for (i = 0; i < s->nprogs; i++)
		json_array_append_new(o,
		    json_pack("[s,s,O?,O?]", s->progs[i].name, s->progs[i].ver,
			s->progs[i].args, s->progs[i].digests));
	if (o)
		text = gv_json_text(o, JSON_COMPACT | JSON_SORT_KEYS);
	json_decref(o);
	if (!text || !gv_sha_of(text, strlen(text), out)) {
		gv_free(text);
		return gv_fail(e, GV_ERR_NOMEM, "out of memory");
	}
	gv_free(text);
	return 0;
}

int
gv_train_plan(const struct gv_model *m, const struct gv_train_law *law,
    struct gv_plan *p, struct gv_error *e)
{
	struct gv_packer *k;
	struct gv_limits l;
	int i;

	memset(p, 0, sizeof *p);
	if (gv_packer_open(
		&k, &m->cfg, law->micro_tokens, law->micro_images, e))
		return e->code;
	gv_packer_limits(k, true, &l);
	gv_packer_close(&k);
	for (i = 0; i < GV_PARTS; i++) {
		size_t n = m->part[i].n;

		p->params[i] = (int64_t)n;
		p->trains[i] = m->part[i].trains;
		if (m->part[i].w)
			p->weights += n * gvk_dtype_size(gvk_dtype(m->k));
		if (m->part[i].trains)
			p->gradients += n * sizeof(float);
	}
	p->optimizer = gv_optim_need(m, &law->optim);
	return gv_model_need(m, &l, &p->activations, e);
}

json_t *
gv_plan_json(const struct gv_plan *p, double flops_a_step,
    double seconds_a_step, int64_t steps)
{
	json_t *parts = json_object();
	int i;

	for (i = 0; i < GV_PARTS; i++)
		if (p->params[i])
			json_object_set_new(parts,
			    gv_part_name((enum gv_part)i),
			    json_pack("{s:I,s:b}", "parameters",
				(json_int_t)p->params[i], "trained",
				p->trains[i]));
	return json_pack("{s:o,s:I,s:I,s:I,s:I,s:I,s:f,s:f}", "parts", parts,
	    "weights_bytes", (json_int_t)p->weights, "gradients_bytes",
	    (json_int_t)p->gradients, "optimizer_bytes",
	    (json_int_t)p->optimizer, "activations_bytes",
	    (json_int_t)p->activations, "steps", (json_int_t)steps, "flops",
	    flops_a_step * (double)steps, "seconds",
	    seconds_a_step * (double)steps);
}

int
gv_train_open(struct gv_train **out, struct gv_model *m, struct gv_reader *in,
    const struct gv_train_law *law, struct gv_error *e)
{
	struct gv_train *t = gv_alloc(1, sizeof *t);
	struct gv_limits l;

	if (!t)
		return gv_fail(e, GV_ERR_NOMEM, "out of memory");
	t->m = m;
	t->in = in;
	t->law = *law;
	*out = t;
	if (gv_examples_open(&t->examples, in, &m->cfg, law->max_length, e) ||
	    gv_packer_open(
		&t->packer, &m->cfg, law->micro_tokens, law->micro_images, e) ||
	    input_digest(in, t->state.input, e) ||
	    gv_optim_open(&t->optim, m, &law->optim, e))
		goto fail;
	gv_packer_limits(t->packer, true, &l);
	if (gv_model_reserve(m, &l, e))
		goto fail;
	t->logp = gv_alloc((size_t)law->micro_tokens, sizeof *t->logp);
	if (!t->logp) {
		gv_fail(e, GV_ERR_NOMEM, "out of memory");
		goto fail;
	}
	return 0;
fail:
	gv_train_close(out);
	return e->code;
}

void
gv_train_close(struct gv_train **out)
{
	struct gv_train *t = *out;
	size_t i;

	if (!t)
		return;
	*out = NULL;
	for (i = 0; i < t->cap; i++)
		gv_example_free(&t->ex[i]);
	gv_free(t->ex);
	gv_free(t->logp);
	gv_optim_close(&t->optim);
	gv_packer_close(&t->packer);
	gv_examples_close(&t->examples);
	gv_free(t);
}

int64_t
gv_train_steps(const struct gv_train *t)
{
	return t->state.step;
}

uint64_t
gv_train_cut(const struct gv_train *t)
{
	return gv_examples_cut(t->examples);
}

/* ---- a step -------------------------------------------------------------- */

/* Examples beyond the old capacity start as zeros, as they must. */
static int
room_for_example(struct gv_train *t, struct gv_error *e)
{
	size_t was = t->cap;
	void *p = t->ex;

	if (gv_grow(&p, &t->cap, t->n + 1, sizeof *t->ex))
		return gv_fail(e, GV_ERR_NOMEM, "out of memory");
	t->ex = p;
	if (t->cap > was)
		memset(t->ex + was, 0, (t->cap - was) * sizeof *t->ex);
	return 0;
}

/* Reads the records of one step into t->ex[0..n-1]; *tokens counts what they
 * train on. */
static int
collect(struct gv_train *t, int64_t *tokens, struct gv_error *e)
{
	const struct gv_train_law *w = &t->law;
	int r;

	t->n = 0;
	*tokens = 0;
	while (!t->ended) {
		if (room_for_example(t, e))
			return e->code;
		r = gv_examples_next(t->examples, &t->ex[t->n], e);
		if (r < 0)
			return r;
		if (r == 0) {
			t->ended = true;
			break;
		}
		*tokens += t->ex[t->n++].trained;
		if ((w->batch && (int64_t)t->n >= w->batch) ||
		    (w->batch_tokens && *tokens >= w->batch_tokens))
			break;
	}
	return t->n > 0;
}

/* Sums over a pass. */
struct sums {
	double nll, bytes;
	bool bytes_known;
};

static int
run_batch(struct gv_train *t, bool backward, float weight,
    struct gv_train_step *s, struct sums *sum, struct gv_error *e)
{
	const int32_t *bytes;
	struct gv_batch b;
	int64_t i;

	gv_packer_batch(t->packer, weight, &b, &bytes);
	if (!b.M) {
		gv_packer_reset(t->packer);
		return 0;
	}
	if (gv_model_loss(t->m, &b, backward, t->logp, NULL, e))
		return e->code;
	for (i = 0; i < b.M; i++) {
		sum->nll -= (double)t->logp[i];
		sum->bytes += bytes ? bytes[i] : 0;
	}
	sum->bytes_known = sum->bytes_known && bytes;
	s->tokens += b.M;
	s->rows += b.N;
	s->images += b.B;
	s->flops += gv_model_flops(t->m, &b, backward);
	gv_packer_reset(t->packer);
	return 0;
}

static void
finish_sums(const struct sums *sum, int64_t tokens, double *loss, double *bpb)
{
	*loss = tokens ? sum->nll / (double)tokens : 0;
	*bpb = sum->bytes_known && sum->bytes > 0
		   ? sum->nll / log(2) / sum->bytes
		   : (double)NAN;
}

/* Deals t->ex into micro-batches and runs them. */
static int
run_examples(struct gv_train *t, int64_t tokens, struct gv_train_step *s,
    struct gv_error *e)
{
	float weight = tokens ? -1 / (float)tokens : 0;
	struct sums sum = {0, 0, true};
	size_t i;
	int r;

	gv_packer_reset(t->packer);
	for (i = 0; i < t->n; i++) {
		r = gv_packer_add(t->packer, &t->ex[i], e);
		if (r < 0)
			return r;
		if (r)
			continue;
		if (run_batch(t, true, weight, s, &sum, e))
			return e->code;
		i--; /* into the empty batch */
	}
	if (run_batch(t, true, weight, s, &sum, e))
		return e->code;
	finish_sums(&sum, s->tokens, &s->loss, &s->bpb);
	if (!isfinite(s->loss))
		return gv_fail(e, GV_ERR_FORMAT,
		    "the loss of step %lld is not finite",
		    (long long)t->state.step + 1);
	return 0;
}

int
gv_train_grads(struct gv_train *t, struct gv_train_step *s, struct gv_error *e)
{
	int64_t tokens;
	int r = collect(t, &tokens, e);

	memset(s, 0, sizeof *s);
	if (r <= 0)
		return r;
	r = run_examples(t, tokens, s, e);
	return r ? r : 1;
}

int
gv_train_step(struct gv_train *t, struct gv_train_step *s, struct gv_error *e)
{
	double start = now(), norm = 0, factor;
	int r = gv_train_grads(t, s, e);

	if (r <= 0)
		return r;
	factor = gv_schedule_at(&t->law.schedule, t->state.step);
	r = gv_optim_step(t->optim, factor, &norm, e);
	if (r)
		return gv_fail_in(e, "step %lld", (long long)t->state.step + 1);
	t->state.step++;
	t->state.records += t->n;
	t->state.tokens += (uint64_t)s->tokens;
	s->step = t->state.step;
	s->records = t->state.records;
	s->lr = factor;
	s->norm = norm;
	s->seconds = now() - start;
	return 1;
}

int
gv_train_drain(struct gv_train *t, struct gv_error *e)
{
	struct gv_rec rec;

	return t->ended ? 0 : gv_reader_next(t->in, &rec, e);
}

/* ---- evaluation ---------------------------------------------------------- */

static int
eval_stream(struct gv_train *t, struct gv_examples *x, struct gv_eval *r,
    struct gv_error *e)
{
	struct sums sum = {0, 0, true};
	struct gv_train_step s = {0};
	struct gv_example ex = {0};
	int k;

	gv_packer_reset(t->packer);
	while ((k = gv_examples_next(x, &ex, e)) > 0) {
		r->records++;
		k = gv_packer_add(t->packer, &ex, e);
		if (k == 0)
			k = run_batch(t, false, 0, &s, &sum, e)
				? e->code
				: gv_packer_add(t->packer, &ex, e);
		if (k < 0)
			break;
	}
	if (k == 0)
		k = run_batch(t, false, 0, &s, &sum, e);
	gv_example_free(&ex);
	if (k < 0)
		return k;
	r->tokens = s.tokens;
	finish_sums(&sum, s.tokens, &r->loss, &r->bpb);
	return 0;
}

int
gv_train_eval(
    struct gv_train *t, const char *path, struct gv_eval *r, struct gv_error *e)
{
	struct gv_examples *x = NULL;
	struct gv_reader *in;
	struct gv_eval got = {0};
	int k;

	if (gv_reader_open(&in, path, e))
		return e->code;
	k = gv_examples_open(&x, in, &t->m->cfg, t->law.max_length, e);
	if (!k)
		k = eval_stream(t, x, &got, e);
	gv_examples_close(&x);
	gv_reader_close(&in);
	if (!k)
		*r = got;
	return k;
}

/* ---- checkpoints --------------------------------------------------------- */

static json_t *
law_json(const struct gv_train_law *w)
{
	const struct gv_optim_law *a = &w->optim;

	return json_pack(
	    "{s:[f,f,f,f],s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:f,s:f,s:f,s:f,"
	    "s:f,s:f}",
	    "train", a->lr[0], a->lr[1], a->lr[2], a->lr[3], "batch",
	    (json_int_t)w->batch, "batch-tokens", (json_int_t)w->batch_tokens,
	    "micro-tokens", (json_int_t)w->micro_tokens, "micro-images",
	    (json_int_t)w->micro_images, "max-length",
	    (json_int_t)w->max_length, "steps", (json_int_t)w->schedule.total,
	    "schedule", (json_int_t)w->schedule.kind, "warmup",
	    (json_int_t)w->schedule.warmup, "flat",
	    (json_int_t)w->schedule.flat, "min-lr", w->schedule.floor, "beta1",
	    a->beta1, "beta2", a->beta2, "eps", a->eps, "weight-decay",
	    a->weight_decay, "clip", a->clip);
}

int
gv_train_args(json_t **args, const struct gv_train_law *law,
    const char *model_dir, struct gv_error *e)
{
	json_t *o = law_json(law), *model = json_array();
	char digest[GV_DIGEST];
	int p, r = 0;

	for (p = 0; p < GV_PARTS && !r; p++) {
		r = gv_digest_part(model_dir, (enum gv_part)p, digest, e);
		if (!r)
			json_array_append_new(model, json_string(digest));
	}
	if (!r && (!o || json_object_set(o, "model", model)))
		r = gv_fail(e, GV_ERR_NOMEM, "out of memory");
	json_decref(model);
	if (r)
		json_decref(o);
	else
		*args = o;
	return r;
}

int
gv_train_save(struct gv_train *t, const char *run, const json_t *args,
    const char *model_dir, struct gv_error *e)
{
	struct gv_run_state s = t->state;
	int r;

	s.args = gv_json_copy(args);
	if (!s.args)
		return gv_fail(e, GV_ERR_NOMEM, "out of memory");
	r = gv_checkpoint_save(
	    run, t->m, t->optim, &s, model_dir, t->law.keep, e);
	json_decref(s.args);
	return r;
}

int
gv_train_resume(struct gv_train *t, const char *run, const json_t *args,
    char *warning, size_t cap, struct gv_error *e)
{
	struct gv_run_state s = t->state;
	int r;

	s.args = gv_json_copy(args);
	if (!s.args)
		return gv_fail(e, GV_ERR_NOMEM, "out of memory");
	r = gv_checkpoint_load(run, t->m, t->optim, &s, warning, cap, e);
	json_decref(s.args);
	if (r <= 0)
		return r;
	t->state.step = s.step;
	t->state.records = s.records;
	t->state.tokens = s.tokens;
	r = gv_reader_skip(t->in, s.records, e);
	return r ? r : 1;
}
