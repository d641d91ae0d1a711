/* Scoring: sequences packed into batches. */
#include "score.h"

#include "gen.h"
#include "mem.h"
#include "banned.h"

/* What one batch holds, or the longest sequence: a processor is busy with
 * little, and a GPU's products want thousands of rows. */
struct budget {
	size_t tokens, images;
};

static struct budget
budget_of(const struct gv_model *m)
{
	if (gvk_is_host(m->k))
		return (struct budget){2048, 16};
	return (struct budget){16384, 64};
}

int
gv_score_check(
    const struct gv_model *m, const struct gv_score_item *s, struct gv_error *e)
{
	const struct gv_config *c = &m->cfg;
	size_t have = s->visual ? (size_t)s->visual->n : 0, i;

	if (s->n > (size_t)c->text.max_T)
		return gv_fail(e, GV_ERR_LIMIT,
		    "%zu tokens, but the model has %lld positions", s->n,
		    (long long)c->text.max_T);
	for (i = 0; i < s->n; i++)
		if (s->target[i] < -1 || s->target[i] >= c->text.V)
			return gv_fail(e, GV_ERR_MATCH,
			    "target %zu is %d, but the model has %lld ids", i,
			    (int)s->target[i], (long long)c->text.V);
	if (s->images != have)
		return gv_fail(e, GV_ERR_MATCH,
		    "the text has %zu images, but %zu are given", s->images,
		    have);
	return gv_gen_check_images(
	    c, s->token, s->n, s->image_at, s->images, e);
}

/* The arrays of one batch. */
struct work {
	struct gv_batch b;
	int32_t *id, *pos, *q_at, *out, *target;
	void *embeds;
	float *logp, *entropy;
};

static int64_t
count_outs(const struct gv_score_item *s)
{
	int64_t n = 0;
	size_t i;

	for (i = 0; i < s->n; i++)
		n += s->target[i] >= 0;
	return n;
}

/* Images that item[i] of a batch adds: none if it is about those of the item
 * before it. */
static size_t
new_images(const struct gv_score_item *item, size_t i)
{
	return i && item[i].visual == item[i - 1].visual ? 0 : item[i].images;
}

/* What items[0..n) need together. */
static void
measure(const struct gv_score_item *item, size_t n, struct gv_limits *l)
{
	size_t i;

	for (i = 0; i < n; i++) {
		int64_t T = (int64_t)item[i].n;

		l->tokens += T;
		l->outs += count_outs(&item[i]);
		l->images += (int64_t)new_images(item, i);
		l->max_q = T > l->max_q ? T : l->max_q;
	}
	l->seqs = (int64_t)n;
	l->max_k = l->max_q;
}

/* How many items from the first on make one batch. */
static size_t
batch_of(const struct gv_score_item *item, size_t n, const struct budget *most)
{
	size_t tokens = 0, images = 0, i;

	for (i = 0; i < n; i++) {
		tokens += item[i].n;
		images += new_images(item, i);
		if (i && (tokens > most->tokens || images > most->images))
			break;
	}
	return i;
}

static void
add_item(struct work *w, const struct gv_config *c,
    const struct gv_score_item *s, size_t new)
{
	struct gv_batch *b = &w->b;
	int64_t R = c->R, first, j;
	size_t bytes = (size_t)(R * c->text.C) * gv_dtype_size(b->dtype);
	size_t i;

	if (new) {
		memcpy((char *)w->embeds + (size_t)b->B * bytes,
		    s->visual->embeds, new *bytes);
		b->B += (int64_t) new;
	}
	first = (b->B - (int64_t)s->images) * R;

	for (i = 0; i < s->n; i++) {
		w->id[b->N + (int64_t)i] = s->token[i];
		w->pos[b->N + (int64_t)i] = (int32_t)i;
		if (s->target[i] >= 0) {
			w->out[b->M] = (int32_t)b->N + (int32_t)i;
			w->target[b->M++] = s->target[i];
		}
	}
	for (i = 0; i < s->images; i++)
		for (j = 0; j < R; j++)
			w->id[b->N + s->image_at[i] + j] =
			    ~(int32_t)(first + (int64_t)i * R + j);
	b->N += (int64_t)s->n;
	w->q_at[++b->S] = (int32_t)b->N;
	if ((int32_t)s->n > b->max_q)
		b->max_q = b->max_k = (int32_t)s->n;
}

/* Scatters a batch's results to its items. */
static void
hand_out(const struct work *w, const struct gv_score_item *item, size_t n)
{
	size_t at = 0, i, k;

	for (k = 0; k < n; k++)
		for (i = 0; i < item[k].n; i++) {
			bool asked = item[k].target[i] >= 0;

			item[k].logp[i] = asked ? w->logp[at] : 0;
			if (item[k].entropy)
				item[k].entropy[i] = asked ? w->entropy[at] : 0;
			at += asked;
		}
}

static int
run(struct gv_model *m, struct work *w, const struct gv_score_item *item,
    size_t n, struct gv_error *e)
{
	size_t i;

	w->b = (struct gv_batch){.image = w->embeds,
	    .dtype = gv_visual_dtype(m),
	    .id = w->id,
	    .pos = w->pos,
	    .q_at = w->q_at,
	    .out = w->out,
	    .target = w->target};
	w->q_at[0] = 0;
	for (i = 0; i < n; i++)
		add_item(w, &m->cfg, &item[i], new_images(item, i));
	w->b.input = w->b.B ? GV_IN_EMBEDS : GV_IN_NONE;
	if (w->b.M && gv_model_loss(m, &w->b, false, w->logp, w->entropy, e))
		return e->code;
	hand_out(w, item, n);
	return 0;
}

static void
free_work(struct work *w)
{
	gv_free(w->id);
	gv_free(w->pos);
	gv_free(w->q_at);
	gv_free(w->out);
	gv_free(w->target);
	gv_free(w->embeds);
	gv_free(w->logp);
	gv_free(w->entropy);
}

static int
make_work(struct work *w, const struct gv_model *m, const struct gv_limits *l,
    struct gv_error *e)
{
	const struct gv_config *c = &m->cfg;
	size_t N = (size_t)l->tokens, M = (size_t)l->outs;

	w->id = gv_alloc(N, sizeof *w->id);
	w->pos = gv_alloc(N, sizeof *w->pos);
	w->q_at = gv_alloc((size_t)l->seqs + 1, sizeof *w->q_at);
	w->out = gv_alloc(M, sizeof *w->out);
	w->target = gv_alloc(M, sizeof *w->target);
	w->logp = gv_alloc(M, sizeof *w->logp);
	w->entropy = gv_alloc(M, sizeof *w->entropy);
	w->embeds = gv_alloc((size_t)(l->images * c->R * c->text.C),
	    gv_dtype_size(gv_visual_dtype(m)));
	if (w->id && w->pos && w->q_at && w->out && w->target && w->logp &&
	    w->entropy && w->embeds)
		return 0;
	return gv_fail(e, GV_ERR_NOMEM, "no memory to score %zu tokens", N);
}

int
gv_score_encode(struct gv_model *m, const struct gv_score_item *item, size_t n,
    int64_t batch, struct gv_error *e)
{
	struct gv_visual **v = gv_alloc(n, sizeof *v);
	size_t i;
	int r;

	if (!v)
		return gv_fail(e, GV_ERR_NOMEM, "no memory for images");
	for (i = 0; i < n; i++)
		v[i] = item[i].visual;
	r = gv_visual_encode(m, v, n, batch, e);
	gv_free(v);
	return r;
}

int
gv_score(struct gv_model *m, const struct gv_score_item *item, size_t n,
    struct gv_error *e)
{
	const struct budget most = budget_of(m);
	struct gv_limits all = {0}, one;
	struct work w = {0};
	size_t at, k;

	for (at = 0; at < n; at += k) {
		one = (struct gv_limits){0};
		k = batch_of(item + at, n - at, &most);
		measure(item + at, k, &one);
		all.tokens = one.tokens > all.tokens ? one.tokens : all.tokens;
		all.outs = one.outs > all.outs ? one.outs : all.outs;
		all.images = one.images > all.images ? one.images : all.images;
		all.seqs = one.seqs > all.seqs ? one.seqs : all.seqs;
		all.max_q = one.max_q > all.max_q ? one.max_q : all.max_q;
	}
	all.max_k = all.max_q;
	if (all.images && all.images < (int64_t)most.images)
		all.images = (int64_t)most.images;
	if (!n || gv_model_reserve(m, &all, e) ||
	    gv_score_encode(m, item, n, (int64_t)most.images, e))
		return e->code;
	if (!make_work(&w, m, &all, e))
		for (at = 0; at < n && !e->code; at += k) {
			k = batch_of(item + at, n - at, &most);
			if (run(m, &w, item + at, k, e))
				break;
		}
	free_work(&w);
	return e->code;
}
