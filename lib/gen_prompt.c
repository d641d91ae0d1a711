/* The generator's prompts: checked, queued, freed. */
#include "gen_priv.h"

#include "banned.h"
#include "mem.h"
#include "philox.h"

void
gv_gen_drop_prefix(struct gv_gen *g, struct prefix **p)
{
	struct prefix *x = *p;

	*p = NULL;
	if (!x || --x->refs > 0)
		return;
	gv_rows_give(&g->rows, x->at, x->n);
	gv_visual_drop(&x->visual);
	gv_free(x->token);
	gv_free(x);
}

void
gv_gen_free_prompt(struct gv_gen *g, struct prompt **pp)
{
	struct prompt *p = *pp;
	int32_t i;

	*pp = NULL;
	if (!p)
		return;
	for (i = 0; p->sample && i < g->law.group; i++)
		gv_gen_free_sample(&p->sample[i]);
	gv_gen_drop_prefix(g, &p->prefix);
	gv_visual_drop(&p->visual);
	gv_free(p->token);
	gv_free(p->image_at);
	gv_free(p->sample);
	gv_free(p->out);
	gv_free(p);
}

int
gv_gen_check_images(const struct gv_config *c, const int32_t *token, size_t n,
    const int32_t *image_at, size_t images, struct gv_error *e)
{
	size_t i, want = images * (size_t)c->R, have = 0, end = 0;

	for (i = 0; i < n; i++) {
		if (token[i] < 0 || token[i] >= c->text.V)
			return gv_fail(e, GV_ERR_MATCH,
			    "token %zu is %d, but the model has %lld ids", i,
			    (int)token[i], (long long)c->text.V);
		have += c->image_token >= 0 && token[i] == c->image_token;
	}
	if (have != want)
		return gv_fail(e, GV_ERR_MATCH,
		    "%zu image placeholders, but %zu images of %lld rows", have,
		    images, (long long)c->R);
	for (i = 0; i < images; i++) {
		size_t at = (size_t)image_at[i], j;

		if (image_at[i] < 0 || at < end || at + (size_t)c->R > n)
			return gv_fail(e, GV_ERR_FORMAT,
			    "field 'image_at': image %zu at %d of %zu tokens",
			    i, (int)image_at[i], n);
		end = at + (size_t)c->R;
		for (j = at; j < end; j++)
			if (token[j] != c->image_token)
				return gv_fail(e, GV_ERR_MATCH,
				    "token %zu of image %zu is no image "
				    "placeholder",
				    j, i);
	}
	return 0;
}

static int
check_prompt(
    const struct gv_gen *g, const struct gv_gen_prompt *p, struct gv_error *e)
{
	const struct gv_config *c = &g->m->cfg;
	size_t visuals =
	    p->visual && p->visual->rank ? (size_t)p->visual->shape[0] : 0;

	if (!p->n)
		return gv_fail(e, GV_ERR_FORMAT, "a prompt without tokens");
	if (p->n >= (size_t)c->text.max_T)
		return gv_fail(e, GV_ERR_LIMIT,
		    "%zu tokens leave no position of the model's %lld", p->n,
		    (long long)c->text.max_T);
	if (p->images != visuals)
		return gv_fail(e, GV_ERR_MATCH,
		    "the text has %zu images, but %zu are given", p->images,
		    visuals);
	return gv_gen_check_images(
	    c, p->token, p->n, p->image_at, p->images, e);
}

/* A prompt with its samples, from what the caller gave. */
static struct prompt *
new_prompt(const struct gv_gen *g, const struct gv_gen_prompt *q)
{
	struct prompt *p = gv_alloc(1, sizeof *p);
	int64_t most = g->m->cfg.text.max_T - (int64_t)q->n;
	int32_t i;

	if (!p)
		return NULL;
	p->number = q->number;
	p->first = q->sample;
	p->user = q->user;
	p->n = q->n;
	p->images = q->images;
	p->left = g->law.group;
	p->max_new =
	    (int32_t)(most < g->law.max_tokens ? most : g->law.max_tokens);
	p->token = gv_alloc(q->n, sizeof *p->token);
	p->image_at = gv_alloc(q->images, sizeof *p->image_at);
	p->sample = gv_alloc((size_t)g->law.group, sizeof *p->sample);
	p->out = gv_alloc((size_t)g->law.group, sizeof *p->out);
	if (!p->token || !p->image_at || !p->sample || !p->out)
		return p;
	memcpy(p->token, q->token, q->n * sizeof *p->token);
	if (q->images)
		memcpy(
		    p->image_at, q->image_at, q->images * sizeof *p->image_at);
	for (i = 0; i < g->law.group; i++) {
		uint32_t r[4];

		gv_philox(g->law.seed,
		    (uint64_t)(q->sample + (uint32_t)i) << 8 |
			GV_PURPOSE_SAMPLE,
		    q->number, r);
		p->sample[i].seed = (uint64_t)r[0] << 32 | r[1];
		p->sample[i].prompt = p;
	}
	return p;
}

int
gv_gen_submit(
    struct gv_gen *g, const struct gv_gen_prompt *q, struct gv_error *e)
{
	struct gv_visual *v = NULL;
	struct prompt *p;

	if (check_prompt(g, q, e))
		return e->code;
	if (q->images &&
	    gv_visual_take(&v, g->m, q->input, q->visual, g->last, e))
		return e->code;
	p = new_prompt(g, q);
	if (!p || !p->token || !p->image_at || !p->sample || !p->out) {
		gv_visual_drop(&v);
		gv_gen_free_prompt(g, &p);
		return gv_gen_no_memory(e);
	}
	p->visual = v;
	if (v && v != g->last) {
		gv_visual_drop(&g->last);
		v->refs++;
		g->last = v;
	}
	if (g->tail)
		g->tail->next = p;
	else
		g->head = p;
	g->tail = p;
	if (!g->queue)
		g->queue = p;
	g->prompts++;
	g->queued++;
	return 0;
}
