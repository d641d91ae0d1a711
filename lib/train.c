/* Steps over a stream of examples. */
#include "train.h"

#include "clock.h"
#include "digest.h"
#include "json.h"
#include "loader.h"
#include "mem.h"
#include "sha.h"
#include "banned.h"

#include <math.h>

#define AHEAD 2 /* steps that are read before they are run */

struct gv_train {
	struct gv_model *m;
	struct gv_examples *examples;
	struct gv_loader *loader;
	struct gv_policy *policy; /* instead of these two; or NULL */
	struct gv_packer *packer; /* of evaluations */
	struct gv_optim *optim;
	struct gv_train_law law;
	struct gv_run_state state;
	struct gv_reader *in;
	uint64_t begun; /* steps since the open */
	/* records and groups that an earlier run has used */
	uint64_t resumed, resumed_groups;
	uint64_t cut;
	struct gv_micro next; /* taken from the loader, if `held` */
	bool held;
	float *logp; /* pinned: of all micro-batches of a step */
	size_t logp_cap;
};

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
gv_train_limits(const struct gv_model *m, const struct gv_train_law *law,
    struct gv_limits *l, struct gv_error *e)
{
	struct gv_packer *k;

	if (gv_packer_open(
		&k, &m->cfg, law->micro_tokens, law->micro_images, e))
		return e->code;
	gv_packer_limits(k, true, l);
	l->recompute = law->recompute;
	gv_packer_close(&k);
	return 0;
}

/* Features and embeds come in the type that the device stores. */
static enum gv_dtype
rows_type(const struct gv_train *t)
{
	return gvk_dtype(t->m->k) == GVK_BF16 ? GV_BF16 : GV_F32;
}

static bool
is_policy(const struct gv_train *t)
{
	return t->law.policy.law.objective != GV_LM;
}

/* What reads the input. */
static int
open_examples(struct gv_train *t, struct gv_error *e)
{
	const struct gv_train_law *law = &t->law;
	struct gv_loader_law w = {law->batch, law->batch_tokens,
	    law->micro_tokens, law->micro_images};

	if (gv_examples_open(&t->examples, t->in, &t->m->cfg, law->max_length,
		rows_type(t), e))
		return e->code;
	return gv_loader_open(
	    &t->loader, t->in, t->examples, &t->m->cfg, &w, e);
}

static int
open_policy(struct gv_train *t, struct gv_error *e)
{
	struct gv_policy_run *run = &t->law.policy;

	run->groups = t->law.batch;
	run->micro_tokens = t->law.micro_tokens;
	run->micro_images = t->law.micro_images;
	run->max_length = t->law.max_length;
	return gv_policy_open(&t->policy, t->m, t->in, run, e);
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
	if ((is_policy(t) ? open_policy(t, e) : open_examples(t, e)) ||
	    gv_packer_open(
		&t->packer, &m->cfg, law->micro_tokens, law->micro_images, e) ||
	    input_digest(in, t->state.input, e) ||
	    gv_optim_open(&t->optim, m, &law->optim, e) ||
	    gv_train_limits(m, law, &l, e) || gv_model_reserve(m, &l, e))
		gv_train_close(out);
	return e->code;
}

/* A tensor of a part that trains is exact in the file, and not in storage. */
static bool
finer(const struct gv_model *m, const struct gv_st *st)
{
	size_t i;

	for (i = 0; i < m->nparams; i++) {
		const struct gv_param *p = &m->param[i];
		const struct gv_tensor *t = gv_st_find(st, p->name);

		if (m->part[p->part].master && t && t->dtype != GV_BF16)
			return true;
	}
	return false;
}

int
gv_train_exact(struct gv_train *t, const char *model_dir, struct gv_error *e)
{
	unsigned parts = 0;
	struct gv_st *st;
	int i, r = 0;

	for (i = 0; i < GV_PARTS; i++)
		if (t->m->part[i].master)
			parts |= 1u << i;
	if (!parts)
		return 0;
	if (gv_st_open_dir(&st, model_dir, e))
		return e->code;
	if (finer(t->m, st))
		r = gv_model_load(t->m, st, parts, e);
	gv_st_close(&st);
	return r;
}

void
gv_train_close(struct gv_train **out)
{
	struct gv_train *t = *out;

	if (!t)
		return;
	*out = NULL;
	gv_loader_close(&t->loader);
	gv_policy_close(&t->policy);
	gvk_host_free(t->m->k, t->logp);
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
gv_train_groups(const struct gv_train *t, uint64_t *next)
{
	*next = t->state.next;
	return t->state.groups;
}

uint64_t
gv_train_cut(const struct gv_train *t)
{
	return t->cut;
}

/* ---- a step -------------------------------------------------------------- */

/* Sums over a pass. */
struct sums {
	double nll, bytes;
	bool bytes_known;
};

static void
finish_sums(const struct sums *sum, int64_t tokens, double *loss, double *bpb)
{
	*loss = tokens ? sum->nll / (double)tokens : 0;
	*bpb = sum->bytes_known && sum->bytes > 0
		   ? sum->nll / log(2) / sum->bytes
		   : (double)NAN;
}

/* Pinned memory for the log-probabilities of a step. */
static int
room_for_logp(struct gv_train *t, int64_t tokens, struct gv_error *e)
{
	size_t need = (size_t)tokens + (size_t)tokens / 4;

	if ((size_t)tokens <= t->logp_cap)
		return 0;
	gvk_host_free(t->m->k, t->logp);
	t->logp_cap = 0;
	t->logp = gvk_host_alloc(t->m->k, need * sizeof *t->logp);
	if (!t->logp)
		return gv_fail(e, GV_ERR_NOMEM, "out of memory");
	t->logp_cap = need;
	return 0;
}

/* The next micro-batch, which waits in t->next until it has been queued. */
static int
hold(struct gv_train *t, struct gv_train_step *s, struct gv_error *e)
{
	double start;
	int r = 1;

	if (t->held)
		return 1;
	start = gv_now();
	r = gv_loader_take(t->loader, &t->next, e);
	s->waited += gv_now() - start;
	t->held = r > 0;
	return r;
}

/* While the device works on what is queued the next micro-batch goes there, if
 * it is packed; one of this step is worth waiting for. */
static int
feed_ahead(
    struct gv_train *t, bool last, struct gv_train_step *s, struct gv_error *e)
{
	int r;

	if (last && !gv_loader_ready(t->loader))
		return 0;
	r = hold(t, s, e);
	if (r > 0 && t->next.b.M)
		r = gv_model_feed(t->m, &t->next.b, e);
	return r < 0 ? r : 0;
}

/* Queues all of a step: 1, or 0 if the input has ended before it.  Sums know
 * the bytes, and after the next gv_model_sync() t->logp the rest. */
static int
queue_step(struct gv_train *t, struct gv_train_step *s, struct sums *sum,
    struct gv_error *e)
{
	struct gv_micro cur;
	int64_t i;
	int r;

	do {
		r = hold(t, s, e);
		if (r <= 0)
			return r;
		cur = t->next;
		if (room_for_logp(t, cur.tokens, e))
			return e->code;
		if (cur.b.M && gv_model_queue_loss(t->m, &cur.b, true,
				   t->logp + s->tokens, NULL, e))
			return e->code;
		for (i = 0; cur.bytes && i < cur.b.M; i++)
			sum->bytes += cur.bytes[i];
		sum->bytes_known = sum->bytes_known && (cur.bytes || !cur.b.M);
		s->tokens += cur.b.M;
		s->rows += cur.b.N;
		s->images += cur.b.B;
		s->flops += gv_model_flops(t->m, &cur.b, true);
		t->held = false;
		gv_loader_give(t->loader);
		if (feed_ahead(t, cur.last, s, e))
			return e->code;
	} while (!cur.last);
	s->records = cur.records;
	t->cut += cur.cut;
	return 1;
}

/* What a step's log-probabilities, which are there, say. */
static int
read_loss(const struct gv_train *t, struct gv_train_step *s, struct sums *sum,
    struct gv_error *e)
{
	int64_t i;

	for (i = 0; i < s->tokens; i++)
		sum->nll -= (double)t->logp[i];
	finish_sums(sum, s->tokens, &s->loss, &s->bpb);
	if (isfinite(s->loss))
		return 0;
	gv_error_clear(e);
	return gv_fail(e, GV_ERR_FORMAT, "the loss of step %lld is not finite",
	    (long long)t->state.step + 1);
}

/* Lets the loader begin with a step, and with `ahead` more. */
static int
begin(struct gv_train *t, int64_t ahead, struct gv_error *e)
{
	t->begun++;
	return gv_loader_want(t->loader, t->begun + (uint64_t)ahead, e);
}

/* What a step of policy.c says, in the terms of all steps. */
static void
of_policy(struct gv_train_step *s, double seconds)
{
	const struct gv_policy_step *p = &s->policy;

	s->records = p->records;
	s->tokens = p->tokens;
	s->rows = p->rows;
	s->images = p->images;
	s->loss = p->loss;
	s->bpb = (double)NAN;
	s->norm = p->norm;
	s->flops = p->flops;
	s->waited = p->waited;
	s->seconds = seconds;
}

int
gv_train_grads(struct gv_train *t, struct gv_train_step *s, struct gv_error *e)
{
	struct sums sum = {0, 0, true};
	double start = gv_now();
	int r;

	memset(s, 0, sizeof *s);
	if (t->policy) {
		r = gv_policy_grads(t->policy, t->state.step, &s->policy, e);
		of_policy(s, gv_now() - start);
		return r;
	}
	if (begin(t, 0, e))
		return e->code;
	r = queue_step(t, s, &sum, e);
	if (r <= 0)
		return r;
	if (gv_model_sync(t->m, e) || read_loss(t, s, &sum, e))
		return e->code;
	return 1;
}

static int
policy_step(struct gv_train *t, struct gv_train_step *s, struct gv_error *e)
{
	double start = gv_now();
	uint64_t before = t->state.records;
	int r;

	s->lr = gv_schedule_at(&t->law.schedule, t->state.step);
	r = gv_policy_step(
	    t->policy, t->optim, s->lr, t->state.step, &s->policy, e);
	if (r < 0)
		return gv_fail_in(e, "step %lld", (long long)t->state.step + 1);
	if (r == 0)
		return 0;
	of_policy(s, gv_now() - start);
	s->records += t->resumed;
	t->state.step++;
	t->state.updates += s->policy.updates;
	t->state.groups = t->resumed_groups + s->policy.read;
	t->state.next = (uint64_t)s->policy.next;
	t->state.records = s->records > before ? s->records : before;
	t->state.tokens += (uint64_t)s->tokens;
	s->step = t->state.step;
	return 1;
}

int
gv_train_step(struct gv_train *t, struct gv_train_step *s, struct gv_error *e)
{
	double start = gv_now(), norm = 0, factor;
	int64_t left = t->law.schedule.total - t->state.step - 1;
	struct sums sum = {0, 0, true};
	int r;

	memset(s, 0, sizeof *s);
	if (t->policy)
		return policy_step(t, s, e);
	/* the next step goes to the device while the one after it is packed */
	if (begin(t, left < 0 ? 0 : left < AHEAD ? left : AHEAD, e))
		return e->code;
	r = queue_step(t, s, &sum, e);
	if (r <= 0)
		return r;
	factor = gv_schedule_at(&t->law.schedule, t->state.step);
	/* the one wait of a step */
	r = gv_optim_step(t->optim, factor, &norm, e);
	if (r != GV_ERR_DEVICE && read_loss(t, s, &sum, e))
		return e->code;
	if (r)
		return gv_fail_in(e, "step %lld", (long long)t->state.step + 1);
	t->state.step++;
	t->state.updates++;
	t->state.records += s->records;
	t->state.tokens += (uint64_t)s->tokens;
	s->step = t->state.step;
	s->records = t->state.records;
	s->lr = factor;
	s->norm = norm;
	s->seconds = gv_now() - start;
	return 1;
}

int
gv_train_drain(struct gv_train *t, struct gv_error *e)
{
	struct gv_rec rec;
	int r = 1;

	while (t->policy && (r = gv_reader_next(t->in, &rec, e)) > 0)
		if (!t->law.live)
			break;
	if (t->policy)
		return r;
	return t->held ? 1 : gv_loader_drain(t->loader, e);
}

/* ---- evaluation ---------------------------------------------------------- */

static int
eval_batch(
    struct gv_train *t, int64_t *tokens, struct sums *sum, struct gv_error *e)
{
	const int32_t *bytes;
	struct gv_batch b;
	int64_t i;

	gv_packer_batch(t->packer, 0, &b, &bytes);
	if (b.M) {
		if (room_for_logp(t, b.M, e) ||
		    gv_model_loss(t->m, &b, false, t->logp, NULL, e))
			return e->code;
		sum->bytes_known = sum->bytes_known && bytes;
	}
	for (i = 0; i < b.M; i++) {
		sum->nll -= (double)t->logp[i];
		sum->bytes += bytes ? bytes[i] : 0;
	}
	*tokens += b.M;
	gv_packer_reset(t->packer);
	return 0;
}

static int
eval_stream(struct gv_train *t, struct gv_examples *x, struct gv_eval *r,
    struct gv_error *e)
{
	struct sums sum = {0, 0, true};
	struct gv_example ex = {0};
	int k;

	gv_packer_reset(t->packer);
	while ((k = gv_examples_next(x, &ex, e)) > 0) {
		r->records++;
		k = gv_packer_add(t->packer, &ex, e);
		if (k == 0)
			k = eval_batch(t, &r->tokens, &sum, e)
				? e->code
				: gv_packer_add(t->packer, &ex, e);
		if (k < 0)
			break;
	}
	if (k == 0)
		k = eval_batch(t, &r->tokens, &sum, e);
	gv_example_free(&ex);
	if (k < 0)
		return k;
	finish_sums(&sum, r->tokens, &r->loss, &r->bpb);
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

	gv_model_unfeed(t->m); /* the next step's batch goes there again */
	if (gv_reader_open(&in, path, e))
		return e->code;
	k = gv_examples_open(
	    &x, in, &t->m->cfg, t->law.max_length, rows_type(t), e);
	if (!k)
		k = eval_stream(t, x, &got, e);
	gv_examples_close(&x);
	gv_reader_close(&in);
	if (!k && !isfinite(got.loss))
		k = gv_fail(
		    e, GV_ERR_FORMAT, "the loss on '%s' is not finite", path);
	if (!k)
		*r = got;
	return k;
}

/* ---- checkpoints --------------------------------------------------------- */

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
	t->state.updates = s.updates;
	t->state.records = t->resumed = s.records;
	t->state.tokens = s.tokens;
	t->state.groups = t->resumed_groups = s.groups;
	t->state.next = s.next;
	r = t->law.live ? 0 : gv_reader_skip(t->in, s.records, e);
	return r ? r : 1;
}
