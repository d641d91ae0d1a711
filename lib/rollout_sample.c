/* Prompts in, records of samples out. */
#include "mem.h"
#include "rollout_priv.h"
#include "banned.h"

/* Fields that a sample has besides those of its prompt. */
static const struct gv_rollout_field fields[] = {
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
    {"min_p", "plain", ""},
    {"repetition_penalty", "plain", ""},
};

const struct gv_rollout_field *
gv_rollout_fields(size_t *n)
{
	*n = sizeof fields / sizeof *fields;
	return fields;
}

/* ---- prompts ------------------------------------------------------------- */

static int
submit(struct gv_rollout *r, const struct gv_rec *rec, struct gv_error *e)
{
	struct gv_gen_prompt p = {.number = rec->n};
	struct gv_kept *k = gv_alloc(1, sizeof *k);

	if (!k)
		return gv_fail(e, GV_ERR_NOMEM, "no memory for a record");
	p.user = k;
	if (!gv_prompt_of(&p, &r->fields, rec, e) &&
	    !gv_keep(
		k, rec, r->keep, gv_reader_schema(r->in->first)->nfields, e) &&
	    !gv_gen_submit(r->g, &p, e)) {
		r->fed++;
		return 0;
	}
	gv_kept_free(k);
	gv_free(k);
	return gv_rollout_bad(r, rec->n, e);
}

/* A bad record that may pass counts as fed. */
static int
feed(void *arg, struct gv_error *e)
{
	struct gv_rollout *r = arg;
	struct gv_rec rec;
	int more = gv_inputs_next(r->in, &rec, e);

	r->ended = more == 0;
	if (more <= 0)
		return more;
	if (rec.n < r->next)
		return 1; /* the trainer has learned from it */
	return submit(r, &rec, e) ? e->code : 1;
}

/* ---- samples ------------------------------------------------------------- */

/* Tokens, mask and log-probabilities of prompt and sample as one sequence. */
static int
put_sequence(struct gv_rollout *r, const struct gv_gen_result *p,
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
	memcpy(mask + p->n, s->mask, s->n);
	if (gv_writer_tensor(r->w, "tokens", 1, shape, token, e) ||
	    gv_writer_tensor(r->w, "logp", 1, shape, logp, e))
		return e->code;
	return gv_writer_tensor(r->w, "loss_mask", 1, shape, mask, e);
}

static int
put_text(
    struct gv_rollout *r, const struct gv_gen_sample *s, struct gv_error *e)
{
	const char *stop = gv_gen_stop_name(s->stop);

	if (gv_writer_text(r->w, "text", s->text, s->bytes, e))
		return e->code;
	return gv_writer_text(r->w, "stop", stop, strlen(stop), e);
}

/* By which law it was drawn. */
static int
put_law(struct gv_rollout *r, struct gv_error *e)
{
	const struct gv_rollout_law *l = &r->o.law;
	struct gv_writer *w = r->w;

	if (gv_writer_int(w, "seed", l->seed, e) ||
	    gv_writer_f64(w, "temperature", l->temperature, e) ||
	    gv_writer_int(w, "top_k", l->top_k, e) ||
	    gv_writer_f64(w, "top_p", l->top_p, e) ||
	    gv_writer_f64(w, "min_p", l->min_p, e))
		return e->code;
	return gv_writer_f64(w, "repetition_penalty", l->repetition_penalty, e);
}

static int
write_sample(struct gv_rollout *r, const struct gv_gen_result *p, int64_t i,
    struct gv_error *e)
{
	const struct gv_gen_sample *s = &p->sample[i];
	const struct gv_kept *k = p->user;
	int64_t N[1] = {(int64_t)p->images};
	struct gv_writer *w = r->w;
	void *mem = NULL;

	if (!gv_writer_begin(w, k->key, e) && !put_sequence(r, p, s, &mem, e) &&
	    !put_text(r, s, e) && !gv_rollout_put_kept(r, k, e) &&
	    !gv_writer_tensor(w, "image_at", 1, N, p->image_at, e) &&
	    !gv_writer_int(w, "group", (int64_t)p->number, e) &&
	    !gv_writer_int(w, "sample", i, e) &&
	    !gv_writer_int(w, "group_size", r->o.law.group, e) &&
	    !gv_writer_int(w, "policy", r->version, e) && !put_law(r, e) &&
	    !gv_writer_end_rec(w, e))
		r->tokens += s->n;
	gv_free(mem);
	return e->code;
}

static int
write_result(void *arg, const struct gv_gen_result *p, struct gv_error *e)
{
	struct gv_rollout *r = arg;
	struct gv_kept *k = p->user;
	int64_t i;

	for (i = 0; i < r->o.law.group; i++)
		if (write_sample(r, p, i, e))
			break;
	gv_kept_free(k);
	gv_free(k);
	if (r->o.progress)
		r->o.progress(r->in->records, r->tokens);
	return e->code;
}

int
gv_rollout_sample(struct gv_rollout *r, struct gv_error *e)
{
	const struct gv_rollout_law *l = &r->o.law;
	const struct gv_gen_law law = {.temperature = (float)l->temperature,
	    .top_p = (float)l->top_p,
	    .top_k = (int32_t)l->top_k,
	    .min_p = (float)l->min_p,
	    .repetition = (float)l->repetition_penalty,
	    .group = (int32_t)l->group,
	    .max_tokens = l->max_tokens,
	    .rows = r->o.batch,
	    .seed = (uint64_t)l->seed,
	    .stop = l->stop,
	    .stops = l->stops,
	    .tool = r->tool};
	const struct gv_gen_work work = {feed, write_result, r};

	if (gv_gen_open(&r->g, r->m, r->t, &law, e))
		return gv_fail_in(e, "cannot sample from '%s'", r->o.model);
	if (r->follow ? gv_rollout_follow(r, &work, e)
		      : gv_gen_run(r->g, &work, e))
		return e->code;
	return r->tool ? gv_tool_finish(r->tool, e) : 0;
}
