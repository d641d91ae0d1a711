/* Groups to advantages, micro-batches and updates. */
#include "policy.h"

#include "clock.h"
#include "groups.h"
#include "mem.h"
#include "banned.h"

#include <math.h>

#define MOST_READ 10 /* times the groups of a step, when equal ones drop */

/* Samples d0..d1-1 of group g, as they stand in a micro-batch. */
struct piece {
	size_t g;
	int32_t d0, d1;
};

struct gv_policy {
	struct gv_model *m;
	struct gv_policy_run run;
	struct gv_groups *in;
	struct gv_packer *packer;
	/* the groups of a step */
	struct gv_group *group;
	double **advantage; /* of each group, into `values` */
	double *values;
	size_t n, cap;
	uint64_t read, wanted; /* groups since the open */
	int64_t next; /* the number after the last one's */
	/* a micro-batch */
	struct piece *piece;
	size_t pieces, piece_cap;
	float *logp, *entropy, *g; /* pinned, (micro_tokens) */
	float *gathered; /* (3 micro_tokens): a sample's drawn, old, ref */
	json_t *parts; /* of the last step */
	/* of the minibatch in work */
	int64_t samples, tokens;
	struct gv_policy_sums sums;
	double entropy_sum;
};

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

/* ---- the groups of a step ------------------------------------------------ */

/* What is known of all groups of a step, dropped ones too. */
struct seen {
	int64_t groups, samples, dropped;
	double sum, squares, lag;
};

static bool
equal_rewards(const struct gv_group *g)
{
	int32_t i;

	for (i = 1; i < g->ex.D; i++)
		if (g->reward[i] != g->reward[0])
			return false;
	return true;
}

static int
check_lag(const struct gv_policy *p, const struct gv_group *g, int64_t version,
    struct gv_error *e)
{
	int64_t lag = version - g->oldest;

	if (p->run.max_lag < 0)
		return 0;
	if (lag < 0)
		return gv_fail(e, GV_ERR_MATCH,
		    "group %lld was sampled by policy %lld, newer than the "
		    "trainer's %lld",
		    (long long)g->number, (long long)g->oldest,
		    (long long)version);
	if (lag <= p->run.max_lag)
		return 0;
	return gv_fail(e, GV_ERR_MATCH,
	    "group %lld was sampled by policy %lld, %lld behind the trainer's "
	    "%lld (--max-lag %lld; -1 takes any)",
	    (long long)g->number, (long long)g->oldest, (long long)lag,
	    (long long)version, (long long)p->run.max_lag);
}

static int
note(struct gv_policy *p, const struct gv_group *g, int64_t version,
    struct seen *s, struct gv_error *e)
{
	const char *key;
	json_t *v;
	int32_t i;

	if (check_lag(p, g, version, e))
		return e->code;
	if (g->ex.D < 2)
		return gv_fail(e, GV_ERR_MATCH,
		    "group %lld has only one sample: an advantage is a "
		    "comparison with others of the same prompt",
		    (long long)g->number);
	s->groups++;
	s->samples += g->ex.D;
	s->lag += (double)(version - g->oldest);
	for (i = 0; i < g->ex.D; i++) {
		s->sum += g->reward[i];
		s->squares += g->reward[i] * g->reward[i];
	}
	json_object_foreach(g->parts, key, v)
	{
		double was = json_number_value(json_object_get(p->parts, key));

		json_object_set_new(
		    p->parts, key, json_real(was + json_number_value(v)));
	}
	return 0;
}

static int
room_for_group(struct gv_policy *p, struct gv_error *e)
{
	size_t was = p->cap;

	if (gv_room(&p->group, &p->cap, p->n + 1, sizeof *p->group, e))
		return e->code;
	memset(p->group + was, 0, (p->cap - was) * sizeof *p->group);
	return 0;
}

static int
want(struct gv_policy *p, int64_t more, struct gv_error *e)
{
	p->wanted = p->read + (uint64_t)more;
	return p->run.want ? p->run.want(p->run.arg, p->wanted, e) : 0;
}

/* Reads groups until there are enough that can be learned from.  The input's
 * end makes the last step a smaller one, and so do too many that can't: no more
 * are wanted then, but those that are come still, of this step's weights. */
static int
collect(
    struct gv_policy *p, int64_t version, struct seen *s, struct gv_error *e)
{
	int64_t need = p->run.groups;
	int r = 1;

	memset(s, 0, sizeof *s);
	p->n = 0;
	json_decref(p->parts);
	p->parts = json_object();
	if (!p->parts)
		return gv_fail(e, GV_ERR_NOMEM, "out of memory");
	while ((int64_t)p->n < need) {
		bool more = s->groups < MOST_READ * need;
		struct gv_group *g;

		if (!more && p->read == p->wanted)
			break;
		if ((more && want(p, need - (int64_t)p->n, e)) ||
		    room_for_group(p, e))
			return e->code;
		g = &p->group[p->n];
		r = gv_groups_next(p->in, g, e);
		if (r <= 0)
			break;
		p->read++;
		p->next = g->number + 1;
		if (note(p, g, version, s, e))
			return e->code;
		if (p->run.drop_equal && equal_rewards(g))
			s->dropped++;
		else
			p->n++;
	}
	if (r < 0)
		return r;
	if (r > 0 && !p->n)
		return gv_fail(e, GV_ERR_MATCH,
		    "all of %lld groups have equal rewards: there is nothing "
		    "to learn from",
		    (long long)s->groups);
	return p->n > 0;
}

/* Advantages of all samples, by group. */
static int
advantages(struct gv_policy *p, struct gv_error *e)
{
	size_t *at = gv_alloc(p->n + 1, sizeof *at), i, total = 0;
	double *reward;
	int r;

	for (i = 0; i < p->n; i++)
		total += (size_t)p->group[i].ex.D;
	gv_free(p->advantage);
	gv_free(p->values);
	p->advantage = gv_alloc(p->n, sizeof *p->advantage);
	p->values = gv_alloc(2 * total, sizeof *p->values);
	if (!at || !p->advantage || !p->values) {
		gv_free(at);
		return gv_fail(e, GV_ERR_NOMEM, "out of memory");
	}
	reward = p->values + total;
	for (i = 0; i < p->n; i++) {
		size_t D = (size_t)p->group[i].ex.D;

		memcpy(reward + at[i], p->group[i].reward, D * sizeof *reward);
		p->advantage[i] = p->values + at[i];
		at[i + 1] = at[i] + D;
	}
	r = gv_policy_advantages(&p->run.law, reward, at, p->n, p->values, e);
	gv_free(at);
	return r;
}

/* ---- micro-batches ------------------------------------------------------- */

/* What is done with each. */
enum pass {
	SCORE_OLD, /* log-probabilities, into group.old */
	SCORE_REF, /* ... of the reference, into group.ref */
	UPDATE /* gradients */
};

/* The trained tokens of a sample: their places in the group's arrays. */
struct span {
	int32_t lo, hi;
};

static struct span
span_of(const struct gv_group *g, int32_t d)
{
	return (struct span){g->ex.start[d], g->ex.start[d + 1]};
}

static void
keep_scores(struct gv_policy *p, enum pass pass)
{
	const float *from = p->logp;
	size_t i;
	int32_t t;

	for (i = 0; i < p->pieces; i++) {
		struct gv_group *g = &p->group[p->piece[i].g];
		float *to = pass == SCORE_OLD ? g->old : g->ref;
		int32_t hi = g->ex.start[p->piece[i].d1];

		for (t = g->ex.start[p->piece[i].d0]; t < hi; t++)
			if (g->ex.target[t] >= 0)
				to[t] = *from++;
	}
}

/* The numbers of a sample's trained tokens, next to each other; returns how
 * many there are. */
static size_t
gather(float *to, const float *from, const struct gv_group *g, struct span s)
{
	size_t n = 0;
	int32_t t;

	for (t = s.lo; t < s.hi; t++)
		if (g->ex.target[t] >= 0)
			to[n++] = from[t];
	return n;
}

/* Gradients of one sample whose log-probabilities start at p->logp[*at], which
 * moves on to the next one's. */
static int
sample_grad(struct gv_policy *p, const struct gv_group *g, int32_t d, double A,
    bool first, size_t *at, struct gv_error *e)
{
	bool trainer = p->run.old == GV_OLD_TRAINER;
	struct span s = span_of(g, d);
	float *drawn = p->gathered, *old, *ref;
	struct gv_policy_sample x = {.logp = p->logp + *at, .advantage = A};
	size_t n = gather(drawn, g->drawn, g, s), i;

	old = drawn + n;
	ref = old + n;
	x.n = n;
	x.drawn = trainer ? drawn : NULL;
	if (!trainer)
		x.old = drawn;
	else if (!first && gather(old, g->old, g, s))
		x.old = old; /* before that they are what they are now */
	if (p->run.law.kl != 0 && gather(ref, g->ref, g, s))
		x.ref = ref;
	if (gv_policy_grad(&p->run.law, &x, p->samples, p->tokens, p->g + *at,
		&p->sums, e))
		return gv_fail_in(
		    e, "group %lld, sample %d", (long long)g->number, (int)d);
	for (i = 0; i < n; i++)
		p->entropy_sum += (double)p->entropy[*at + i];
	for (i = 0; !trainer && first && i < n; i++)
		gv_policy_note_gap(
		    &p->sums, (double)x.logp[i] - (double)drawn[i]);
	*at += n;
	return 0;
}

static int
batch_grad(struct gv_policy *p, bool first, struct gv_error *e)
{
	size_t i, at = 0;
	int32_t d;

	for (i = 0; i < p->pieces; i++) {
		const struct piece *c = &p->piece[i];

		for (d = c->d0; d < c->d1; d++)
			if (sample_grad(p, &p->group[c->g], d,
				p->advantage[c->g][d], first, &at, e))
				return e->code;
	}
	return 0;
}

/* Runs what the packer holds, and empties it. */
static int
run_batch(struct gv_policy *p, enum pass pass, bool first,
    struct gv_policy_step *s, struct gv_error *e)
{
	struct gv_model *m = pass == SCORE_REF ? p->run.ref : p->m;
	const int32_t *bytes;
	struct gv_batch b;

	gv_packer_batch(p->packer, 0, &b, &bytes);
	if (b.M && pass != UPDATE) {
		if (gv_model_loss(m, &b, false, p->logp, NULL, e))
			return e->code;
		keep_scores(p, pass);
	} else if (b.M) {
		if (gv_model_loss_forward(m, &b, p->logp, p->entropy, e) ||
		    batch_grad(p, first, e) ||
		    gv_model_loss_backward(m, &b, p->g, e))
			return e->code;
		s->tokens += b.M;
	}
	s->rows += b.N;
	s->images += b.B;
	s->flops += gv_model_flops(m, &b, pass == UPDATE);
	gv_packer_reset(p->packer);
	p->pieces = 0;
	return 0;
}

static int
note_piece(struct gv_policy *p, struct piece c, struct gv_error *e)
{
	if (gv_room(
		&p->piece, &p->piece_cap, p->pieces + 1, sizeof *p->piece, e))
		return e->code;
	p->piece[p->pieces++] = c;
	return 0;
}

/* Adds samples d0..d1-1 of a group, in halves if they don't fit a batch
 * together. */
static int
add(struct gv_policy *p, struct piece c, enum pass pass, bool first,
    struct gv_policy_step *s, struct gv_error *e)
{
	struct gv_example x;
	struct piece half = c;
	int r;

	if (gv_slice(&x, &p->group[c.g].ex, c.d0, c.d1, e))
		return e->code;
	r = gv_packer_add(p->packer, &x, e);
	if (!r && !run_batch(p, pass, first, s, e))
		r = gv_packer_add(p->packer, &x, e);
	gv_slice_free(&x);
	if (r > 0)
		return note_piece(p, c, e);
	if (r != GV_ERR_LIMIT || c.d1 - c.d0 < 2)
		return e->code;
	gv_error_clear(e);
	half.d1 = c.d0 + (c.d1 - c.d0) / 2;
	if (add(p, half, pass, first, s, e))
		return e->code;
	half.d0 = half.d1;
	half.d1 = c.d1;
	return add(p, half, pass, first, s, e);
}

/* One pass over groups from..to-1. */
static int
each_group(struct gv_policy *p, size_t from, size_t to, enum pass pass,
    bool first, struct gv_policy_step *s, struct gv_error *e)
{
	size_t i;

	gv_packer_reset(p->packer);
	p->pieces = 0;
	for (i = from; i < to; i++)
		if (add(p, (struct piece){i, 0, p->group[i].ex.D}, pass, first,
			s, e))
			return e->code;
	return run_batch(p, pass, first, s, e);
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
	return each_group(p, from, to, UPDATE, first, s, e);
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
report(struct gv_policy *p, const struct seen *seen,
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
prepare(struct gv_policy *p, int64_t version, struct seen *seen,
    struct gv_policy_step *s, struct gv_error *e)
{
	bool several = p->run.minibatches * p->run.epochs > 1;
	double start = gv_now();
	int r = collect(p, version, seen, e);

	s->waited = gv_now() - start;
	if (r <= 0)
		return r;
	if (advantages(p, e))
		return e->code;
	if (p->run.old == GV_OLD_TRAINER && several &&
	    each_group(p, 0, p->n, SCORE_OLD, false, s, e))
		return e->code;
	if (p->run.ref && p->run.law.kl != 0 &&
	    each_group(p, 0, p->n, SCORE_REF, false, s, e))
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
	struct seen seen;
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
	struct seen seen;
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
