/* Passes over groups in micro-batches: scores and gradients. */
#include "policy_impl.h"

#include "mem.h"
#include "banned.h"

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
keep_scores(struct gv_policy *p, enum gv_policy_pass pass)
{
	const float *from = p->logp;
	size_t i;
	int32_t t;

	for (i = 0; i < p->pieces; i++) {
		struct gv_group *g = &p->group[p->piece[i].g];
		float *to = pass == GV_POLICY_SCORE_OLD ? g->old : g->ref;
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
		const struct gv_policy_piece *c = &p->piece[i];

		for (d = c->d0; d < c->d1; d++)
			if (sample_grad(p, &p->group[c->g], d,
				p->advantage[c->g][d], first, &at, e))
				return e->code;
	}
	return 0;
}

/* Runs what the packer holds, and empties it. */
static int
run_batch(struct gv_policy *p, enum gv_policy_pass pass, bool first,
    struct gv_policy_step *s, struct gv_error *e)
{
	struct gv_model *m = pass == GV_POLICY_SCORE_REF ? p->run.ref : p->m;
	const int32_t *bytes;
	struct gv_batch b;

	gv_packer_batch(p->packer, 0, &b, &bytes);
	if (b.M && pass != GV_POLICY_UPDATE) {
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
	s->flops += gv_model_flops(m, &b, pass == GV_POLICY_UPDATE);
	gv_packer_reset(p->packer);
	p->pieces = 0;
	return 0;
}

static int
note_piece(struct gv_policy *p, struct gv_policy_piece c, struct gv_error *e)
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
add(struct gv_policy *p, struct gv_policy_piece c, enum gv_policy_pass pass,
    bool first, struct gv_policy_step *s, struct gv_error *e)
{
	struct gv_example x;
	struct gv_policy_piece half = c;
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

int
gv_policy_pass(struct gv_policy *p, size_t from, size_t to,
    enum gv_policy_pass pass, bool first, struct gv_policy_step *s,
    struct gv_error *e)
{
	size_t i;

	gv_packer_reset(p->packer);
	p->pieces = 0;
	for (i = from; i < to; i++)
		if (add(p, (struct gv_policy_piece){i, 0, p->group[i].ex.D},
			pass, first, s, e))
			return e->code;
	return run_batch(p, pass, first, s, e);
}
