/* Groups to advantages, micro-batches and updates. */
#include "policy_impl.h"

#include "clock.h"
#include "mem.h"
#include "banned.h"

#include <math.h>

struct gv_policy_run
gv_policy_run(enum gv_objective objective)
{
	return (struct gv_policy_run){.law = gv_policy_law(objective),
	    .minibatches = 1,
	    .epochs = 1,
	    .drop_equal = objective == GV_DAPO,
	    .old = objective == GV_GSPO ? GV_OLD_TRAINER : GV_OLD_SAMPLER};
}

/* ---- opening ------------------------------------------------------------- */

/* The reference gets the batches of the model. */
static int
check_ref(const struct gv_policy *p, struct gv_error *e)
{
	const struct gv_config *m = &p->m->cfg, *r = &p->run.ref->cfg;

	if (!r->has_text || r->text.V != m->text.V)
		return gv_fail(e, GV_ERR_MATCH,
		    "the reference has %lld ids, and the model %lld",
		    (long long)(r->has_text ? r->text.V : 0),
		    (long long)m->text.V);
	if (r->text.max_T < p->run.max_length)
		return gv_fail(e, GV_ERR_MATCH,
		    "the reference has %lld positions, and sequences may have "
		    "%d (--max-length)",
		    (long long)r->text.max_T, (int)p->run.max_length);
	if (r->has_vision == m->has_vision && r->R == m->R &&
	    r->vision.image == m->vision.image && r->vision.P == m->vision.P &&
	    r->vision.C == m->vision.C && r->text.C == m->text.C)
		return 0;
	return gv_fail(e, GV_ERR_MATCH,
	    "the reference takes images in another form than the model");
}

/* Memory of the reference, which only scores. */
static int
reserve_ref(struct gv_policy *p, struct gv_error *e)
{
	struct gv_limits l;

	if (!p->run.ref)
		return 0;
	if (check_ref(p, e))
		return e->code;
	gv_packer_limits(p->packer, false, &l);
	return gv_model_reserve(p->run.ref, &l, e);
}

static int
open_arrays(struct gv_policy *p, struct gv_error *e)
{
	size_t bytes = (size_t)p->run.micro_tokens * sizeof(float);

	p->logp = gvk_host_alloc(p->m->k, bytes);
	p->entropy = gvk_host_alloc(p->m->k, bytes);
	p->g = gvk_host_alloc(p->m->k, bytes);
	p->gathered = gv_alloc(3 * (size_t)p->run.micro_tokens, sizeof(float));
	if (p->logp && p->entropy && p->g && p->gathered)
		return 0;
	return gv_fail(e, GV_ERR_NOMEM, "out of memory");
}

int
gv_policy_open(struct gv_policy **out, struct gv_model *m, struct gv_reader *in,
    const struct gv_policy_run *run, struct gv_error *e)
{
	struct gv_policy *p = gv_alloc(1, sizeof *p);
	enum gv_dtype rows = gvk_dtype(m->k) == GVK_BF16 ? GV_BF16 : GV_F32;
	bool ref = run->law.kl != 0 && !run->ref;

	if (!p)
		return gv_fail(e, GV_ERR_NOMEM, "out of memory");
	p->m = m;
	p->run = *run;
	*out = p;
	if (gv_groups_open(
		&p->in, in, &m->cfg, run->max_length, rows, ref, e) ||
	    gv_packer_open(
		&p->packer, &m->cfg, run->micro_tokens, run->micro_images, e) ||
	    reserve_ref(p, e) || open_arrays(p, e))
		gv_policy_close(out);
	return e->code;
}

void
gv_policy_close(struct gv_policy **out)
{
	struct gv_policy *p = *out;
	size_t i;

	if (!p)
		return;
	*out = NULL;
	for (i = 0; i < p->cap; i++)
		gv_group_free(&p->group[i]);
	gv_free(p->group);
	gv_free(p->advantage);
	gv_free(p->values);
	gv_free(p->piece);
	gvk_host_free(p->m->k, p->logp);
	gvk_host_free(p->m->k, p->entropy);
	gvk_host_free(p->m->k, p->g);
	gv_free(p->gathered);
	json_decref(p->parts);
	gv_packer_close(&p->packer);
	gv_groups_close(&p->in);
	gv_free(p);
}

/* ---- a step -------------------------------------------------------------- */

/* Gradients of groups from..to-1. */
static int
minibatch(struct gv_policy *p, size_t from, size_t to, bool first,
    struct gv_policy_step *s, struct gv_error *e)
{
	size_t i;

	p->samples = p->tokens = 0;
	for (i = from; i < to; i++) {
		p->samples += p->group[i].ex.D;
		p->tokens += p->group[i].ex.trained;
	}
	return gv_policy_pass(p, from, to, GV_POLICY_UPDATE, first, s, e);
}

/* Sums of an update into those of the step. */
static void
add_sums(struct gv_policy_sums *all, const struct gv_policy_sums *u)
{
	all->loss += u->loss;
	all->k3 += u->k3;
	all->tokens += u->tokens;
	all->samples += u->samples;
	all->low += u->low;
	all->high += u->high;
	all->ratio_max = fmax(all->ratio_max, u->ratio_max);
	all->corrected += u->corrected;
}

/* What the step's first passes know of the gap: each sample once. */
static void
add_gap(
    struct gv_policy_sums *all, const struct gv_policy_sums *u, int64_t *tokens)
{
	all->gap += u->gap;
	all->gap_k3 += u->gap_k3;
	all->gap_max = fmax(all->gap_max, u->gap_max);
	*tokens += u->tokens;
}

static double
share(double x, int64_t n)
{
	return n ? x / (double)n : 0;
}

static void
report(struct gv_policy *p, const struct gv_policy_seen *seen,
    const struct gv_policy_sums *all, int64_t gap_tokens,
    struct gv_policy_step *s)
{
	bool samples = p->run.law.objective == GV_GSPO;
	int64_t held = samples ? all->samples : all->tokens, trained = 0;
	double mean = share(seen->sum, seen->samples), var;
	const char *key;
	json_t *v;
	void *next;
	size_t i;

	for (i = 0; i < p->n; i++) {
		s->samples += p->group[i].ex.D;
		trained += p->group[i].ex.trained;
	}
	var = share(seen->squares, seen->samples) - mean * mean;
	s->groups = (int64_t)p->n;
	s->dropped = seen->dropped;
	s->reward = mean;
	s->reward_std = sqrt(fmax(var, 0));
	s->length = share((double)trained, s->samples);
	s->entropy = share(p->entropy_sum, all->tokens);
	s->kl = p->run.law.kl != 0 ? share(all->k3, all->tokens) : (double)NAN;
	s->clip_low = share((double)all->low, held);
	s->clip_high = share((double)all->high, held);
	s->ratio = all->ratio_max;
	s->gap = share(all->gap, gap_tokens);
	s->gap_k3 = share(all->gap_k3, gap_tokens);
	s->gap_max = all->gap_max;
	s->corrected = share((double)all->corrected, all->tokens);
	s->lag = share(seen->lag, seen->groups);
	s->loss = share(all->loss, s->updates);
	s->records = gv_groups_records(p->in);
	s->read = p->read;
	s->next = p->next;
	json_object_foreach_safe(p->parts, next, key, v)
	{
		json_object_set_new(p->parts, key,
		    json_real(share(json_number_value(v), seen->samples)));
	}
	s->parts = p->parts;
}

/* Reads a step and prepares it: 1, 0 at the end, or an error. */
static int
prepare(struct gv_policy *p, int64_t version, struct gv_policy_seen *seen,
    struct gv_policy_step *s, struct gv_error *e)
{
	bool several = p->run.minibatches * p->run.epochs > 1;
	double start = gv_now();
	int r = gv_policy_collect(p, version, seen, e);

	s->waited = gv_now() - start;
	if (r <= 0)
		return r;
	if (gv_policy_weigh(p, e))
		return e->code;
	if (p->run.old == GV_OLD_TRAINER && several &&
	    gv_policy_pass(p, 0, p->n, GV_POLICY_SCORE_OLD, false, s, e))
		return e->code;
	if (p->run.ref && p->run.law.kl != 0 &&
	    gv_policy_pass(p, 0, p->n, GV_POLICY_SCORE_REF, false, s, e))
		return e->code;
	return 1;
}

int
gv_policy_step(struct gv_policy *p, struct gv_optim *o, double factor,
    int64_t version, struct gv_policy_step *s, struct gv_error *e)
{
	int64_t K = p->run.minibatches, k, epoch, gap_tokens = 0;
	bool once = K * p->run.epochs == 1;
	struct gv_policy_sums all = {0};
	struct gv_policy_seen seen;
	int r;

	memset(s, 0, sizeof *s);
	r = prepare(p, version, &seen, s, e);
	if (r <= 0)
		return r;
	p->entropy_sum = 0;
	for (epoch = 0; epoch < p->run.epochs; epoch++)
		for (k = 0; k < K; k++) {
			size_t from = p->n * (size_t)k / (size_t)K;
			size_t to = p->n * (size_t)(k + 1) / (size_t)K;
			/* the weights are still those of the step's start */
			bool start = !s->updates;
			bool trainer = p->run.old == GV_OLD_TRAINER;

			if (from == to)
				continue;
			memset(&p->sums, 0, sizeof p->sums);
			if (minibatch(
				p, from, to, trainer ? once : start, s, e) ||
			    gv_optim_step(o, factor, &s->norm, e))
				return e->code;
			s->updates++;
			add_sums(&all, &p->sums);
			if (trainer ? !epoch : start)
				add_gap(&all, &p->sums, &gap_tokens);
		}
	report(p, &seen, &all, gap_tokens, s);
	return 1;
}

int
gv_policy_grads(struct gv_policy *p, int64_t version, struct gv_policy_step *s,
    struct gv_error *e)
{
	size_t K = (size_t)p->run.minibatches, to;
	bool once = K * (size_t)p->run.epochs == 1;
	struct gv_policy_seen seen;
	int r;

	memset(s, 0, sizeof *s);
	r = prepare(p, version, &seen, s, e);
	if (r <= 0)
		return r;
	to = p->n / K > 0 ? p->n / K : 1;
	p->entropy_sum = 0;
	memset(&p->sums, 0, sizeof p->sums);
	if (minibatch(p, 0, to, p->run.old == GV_OLD_SAMPLER || once, s, e) ||
	    gv_model_sync(p->m, e))
		return e->code;
	s->updates = 1;
	report(p, &seen, &p->sums, p->sums.tokens, s);
	return 1;
}
