/* What a run says of itself: its law, its steps, its evaluations. */
#include "digest.h"
#include "train.h"
#include "banned.h"

#include <math.h>

/* ---- the law ------------------------------------------------------------- */

/* What an objective on samples adds; NULL without memory. */
static json_t *
policy_json(const struct gv_policy_run *p)
{
	const struct gv_policy_law *w = &p->law;

	return json_pack("{s:i,s:b,s:f,s:f,s:f,s:I,s:i,s:f,s:f,s:I,s:I,s:b,s:i,"
			 "s:I}",
	    "scale", (int)w->scale, "leave-one-out", w->leave_one_out,
	    "clip-low", w->low, "clip-high", w->high, "kl", w->kl, "longest",
	    (json_int_t)w->longest, "correct", (int)w->correct, "correct-low",
	    w->correct_low, "correct-high", w->correct_high, "minibatches",
	    (json_int_t)p->minibatches, "epochs", (json_int_t)p->epochs,
	    "equal-groups", p->drop_equal, "old", (int)p->old, "max-lag",
	    (json_int_t)p->max_lag);
}

/* By the names of the options, which a message may name. */
static json_t *
law_json(const struct gv_train_law *w)
{
	const struct gv_optim_law *a = &w->optim;

	return json_pack(
	    "{s:i,s:[f,f,f,f],s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:f,s:f,s:f,"
	    "s:f,s:f,s:f,s:i}",
	    "objective", (int)w->policy.law.objective, "train", a->lr[0],
	    a->lr[1], a->lr[2], a->lr[3], "batch", (json_int_t)w->batch,
	    "batch-tokens", (json_int_t)w->batch_tokens, "micro-tokens",
	    (json_int_t)w->micro_tokens, "micro-images",
	    (json_int_t)w->micro_images, "max-length",
	    (json_int_t)w->max_length, "steps", (json_int_t)w->schedule.total,
	    "schedule", (json_int_t)w->schedule.kind, "warmup",
	    (json_int_t)w->schedule.warmup, "flat",
	    (json_int_t)w->schedule.flat, "min-lr", w->schedule.floor, "beta1",
	    a->beta1, "beta2", a->beta2, "eps", a->eps, "weight-decay",
	    a->weight_decay, "clip", a->clip, "optimizer-state", (int)a->state);
}

/* Adds the digests of a model's parts. */
static int
add_digests(json_t *o, const char *key, const char *dir, struct gv_error *e)
{
	json_t *list = json_array();
	char digest[GV_DIGEST];
	int p;

	for (p = 0; p < GV_PARTS && !e->code; p++)
		if (!gv_digest_part(dir, (enum gv_part)p, digest, e))
			json_array_append_new(list, json_string(digest));
	if (!e->code && json_object_set(o, key, list))
		gv_fail(e, GV_ERR_NOMEM, "out of memory");
	json_decref(list);
	return e->code;
}

int
gv_train_args(json_t **args, const struct gv_train_law *law,
    const char *model_dir, const char *reference_dir, struct gv_error *e)
{
	bool samples = law->policy.law.objective != GV_LM;
	json_t *o = law_json(law);
	json_t *more = samples ? policy_json(&law->policy) : NULL;

	if (!o || (samples && json_object_update(o, more)))
		gv_fail(e, GV_ERR_NOMEM, "out of memory");
	else if (!add_digests(o, "model", model_dir, e) && reference_dir)
		add_digests(o, "reference", reference_dir, e);
	json_decref(more);
	if (e->code)
		json_decref(o);
	else
		*args = o;
	return e->code;
}

/* ---- lines of the log ---------------------------------------------------- */

/* What a step on samples adds to its line; NULL without memory. */
static json_t *
samples_json(const struct gv_policy_step *p)
{
	json_t *v = json_pack(
	    "{s:f,s:f,s:O,s:I,s:I,s:I,s:I,s:f,s:f,s:f,s:f,s:f,s:f,s:f,s:f,s:f,"
	    "s:f}",
	    "reward", p->reward, "reward_std", p->reward_std, "rewards",
	    p->parts, "groups", (json_int_t)p->groups, "samples",
	    (json_int_t)p->samples, "dropped", (json_int_t)p->dropped,
	    "updates", (json_int_t)p->updates, "length", p->length, "entropy",
	    p->entropy, "clip_low", p->clip_low, "clip_high", p->clip_high,
	    "ratio_max", p->ratio, "gap", p->gap, "gap_k3", p->gap_k3,
	    "gap_max", p->gap_max, "corrected", p->corrected, "lag", p->lag);

	if (v && isfinite(p->kl))
		json_object_set_new(v, "kl", json_real(p->kl));
	return v;
}

static int
complete(json_t **out, json_t *o, struct gv_error *e)
{
	if (!o)
		return gv_fail(e, GV_ERR_NOMEM, "out of memory");
	*out = o;
	return 0;
}

int
gv_train_step_json(
    json_t **out, const struct gv_train_step *s, struct gv_error *e)
{
	json_t *o = json_pack("{s:I,s:f,s:f,s:f,s:I,s:I,s:I,s:f,s:f,s:f}",
	    "step", (json_int_t)s->step, "loss", s->loss, "lr", s->lr, "norm",
	    s->norm, "tokens", (json_int_t)s->tokens, "images",
	    (json_int_t)s->images, "records", (json_int_t)s->records, "flops",
	    s->flops, "seconds", s->seconds, "waited", s->waited);
	json_t *more;

	if (o && isfinite(s->bpb))
		json_object_set_new(o, "bpb", json_real(s->bpb));
	if (o && s->policy.updates) {
		more = samples_json(&s->policy);
		if (json_object_update(o, more)) {
			json_decref(o);
			o = NULL;
		}
		json_decref(more);
	}
	return complete(out, o, e);
}

int
gv_eval_json(
    json_t **out, const struct gv_eval *v, int64_t step, struct gv_error *e)
{
	json_t *o = json_pack("{s:I,s:f,s:I}", "step", (json_int_t)step,
	    "eval_loss", v->loss, "eval_tokens", (json_int_t)v->tokens);

	if (o && isfinite(v->bpb))
		json_object_set_new(o, "eval_bpb", json_real(v->bpb));
	return complete(out, o, e);
}
