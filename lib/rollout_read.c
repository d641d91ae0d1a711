/* Records as they are, with scores and logits of their own tokens. */
#include "logits.h"
#include "mem.h"
#include "rollout_priv.h"
#include "score.h"
#include "banned.h"

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
columns(const struct gv_rollout *r)
{
	return r->o.logits ? r->o.logits : r->m->cfg.text.V;
}

/* Whether the logits of n tokens fit a record, beside all else. */
static int
check_room(const struct gv_rollout *r, size_t n, struct gv_error *e)
{
	size_t room = GV_MAX_RECORD - GV_MAX_RECORD / 16;
	size_t row =
	    (size_t)columns(r) *
	    (r->o.logits ? sizeof(float) + sizeof(int32_t) : sizeof(float));

	if (r->o.logits < 0 || n <= room / row)
		return 0;
	return gv_fail(e, GV_ERR_LIMIT,
	    "the logits of %zu tokens are %.1f GB, which no record holds; "
	    "--logits K keeps the K largest of each",
	    n, (double)n * (double)row / 1e9);
}

/* Copies a record and says what is to be scored in it. */
static int
take(struct gv_rollout *r, struct waiting *w, const struct waiting *before,
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
		gv_reader_schema(r->in->first)->nfields, e) ||
	    (r->o.score && gv_prompt_targets(w->target, &r->fields, rec, e)) ||
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
put_logp(struct gv_rollout *r, struct waiting *w, struct gv_error *e)
{
	int64_t T[1] = {(int64_t)w->item.n};
	float *logp = w->item.logp;

	if (w->item.n)
		memmove(logp + 1, logp, (w->item.n - 1) * sizeof *logp);
	logp[0] = 0;
	return gv_writer_tensor(r->w, r->o.score_as, 1, T, logp, e);
}

static int
put_logits(struct gv_rollout *r, const struct waiting *w, struct gv_error *e)
{
	int64_t shape[2] = {(int64_t)w->item.n, columns(r)};

	if (gv_writer_tensor(r->w, "logits", 2, shape, w->logits, e) ||
	    !r->o.logits)
		return e->code;
	return gv_writer_tensor(r->w, "logit_ids", 2, shape, w->id, e);
}

static int
write_read(struct gv_rollout *r, struct waiting *w, struct gv_error *e)
{
	if (!gv_writer_begin(r->w, w->kept.key, e) &&
	    !gv_rollout_put_kept(r, &w->kept, e) &&
	    (!r->o.score || !put_logp(r, w, e)) &&
	    (r->o.logits < 0 || !put_logits(r, w, e)) &&
	    !gv_writer_end_rec(r->w, e))
		r->tokens += w->item.n;
	return e->code;
}

/* What take_logits() works on. */
struct logits_of {
	struct gv_rollout *r;
	struct waiting *w;
};

/* Keeps some rows of logits, or the largest of each, until the record is
 * complete and can be written. */
static int
take_logits(void *arg, size_t item, size_t at, size_t n, const float *logits,
    struct gv_error *e)
{
	const struct logits_of *l = arg;
	struct gv_rollout *r = l->r;
	struct waiting *w = &l->w[item];
	size_t K = (size_t)columns(r), V = (size_t)r->m->cfg.text.V, i;

	if (!at) {
		w->logits = gv_alloc(w->item.n * K, sizeof *w->logits);
		w->id =
		    gv_alloc(r->o.logits ? w->item.n * K : 0, sizeof *w->id);
		if (!w->logits || !w->id)
			return gv_fail(e, GV_ERR_NOMEM, "no memory for logits");
	}
	for (i = 0; i < n; i++) {
		float *row = w->logits + (at + i) * K;

		if (r->o.logits)
			gv_logits_top(row, w->id + (at + i) * K, r->o.logits,
			    logits + i * V, (int64_t)V);
		else
			memcpy(row, logits + i * V, V * sizeof *row);
	}
	if (at + n < w->item.n)
		return 0;
	write_read(r, w, e);
	free_waiting(w);
	return e->code;
}

static int
read_batch(
    struct gv_rollout *r, struct waiting *w, size_t n, struct gv_error *e)
{
	struct gv_score_item *item = gv_alloc(n, sizeof *item);
	struct logits_of l = {r, w};
	size_t i;

	if (!item)
		return gv_fail(e, GV_ERR_NOMEM, "no memory for a batch");
	for (i = 0; i < n; i++)
		item[i] = w[i].item;
	if ((!r->o.score || !gv_score(r->m, item, n, e)) &&
	    (r->o.logits < 0 || !gv_logits(r->m, item, n, take_logits, &l, e)))
		for (i = 0; r->o.logits < 0 && i < n; i++)
			if (write_read(r, &w[i], e))
				break;
	for (i = 0; i < n; i++)
		free_waiting(&w[i]);
	gv_free(item);
	return e->code;
}

int
gv_rollout_read(struct gv_rollout *r, struct gv_error *e)
{
	struct waiting *w = gv_alloc((size_t)r->o.batch, sizeof *w);
	struct gv_rec rec;
	size_t n = 0, i;

	if (!w)
		return gv_fail(e, GV_ERR_NOMEM, "no memory for a batch");
	while (gv_inputs_next(r->in, &rec, e) > 0) {
		if (!take(r, &w[n], n ? &w[n - 1] : NULL, &rec, e)) {
			n++;
		} else {
			free_waiting(&w[n]);
			if (gv_rollout_bad(r, rec.n, e))
				break;
		}
		if (n == (size_t)r->o.batch) {
			if (read_batch(r, w, n, e))
				break;
			n = 0;
		}
		if (r->o.progress)
			r->o.progress(r->in->records, r->tokens);
	}
	if (!e->code && n)
		(void)!read_batch(r, w, n, e);
	for (i = 0; i < (size_t)r->o.batch; i++)
		free_waiting(&w[i]);
	gv_free(w);
	return e->code;
}
