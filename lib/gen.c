/* The generator: prompts wait, are admitted, decode, and are handed out. */
#include "gen_priv.h"

#include "mem.h"
#include "philox.h"
#include "utf8.h"
#include "banned.h"

#include <math.h>

#define MAX_WAITING 4096 /* prompts whose result waits for an older one */

/* What one pass takes in at least, if so much waits: a processor is busy with
 * little, and a GPU's products want thousands of rows. */
struct intake {
	int64_t images; /* encoded together */
	int64_t tokens; /* of prompts; or the longest prompt */
};

static struct intake
intake(const struct gv_gen *g)
{
	if (gvk_is_host(g->m->k))
		return (struct intake){16, 1024};
	return (struct intake){64, 8192};
}

static int
no_memory(struct gv_error *e)
{
	return gv_fail(e, GV_ERR_NOMEM, "no memory for a prompt");
}

/* ---- opening ------------------------------------------------------------- */

size_t
gv_gen_stops(const struct gv_model *m, const struct gv_tokenizer *t,
    int32_t *id, size_t cap)
{
	size_t n = t ? gv_tokenizer_stops(t, id, cap) : 0, have, i;
	int j;

	have = n < cap ? n : cap;
	for (j = 0; j < m->cfg.neos; j++) {
		for (i = 0; i < have && id[i] != m->cfg.eos[j]; i++)
			;
		if (i < have)
			continue;
		if (have < cap)
			id[have++] = m->cfg.eos[j];
		n++;
	}
	return n;
}

static int
check_law(const struct gv_gen_law *l, struct gv_error *e)
{
	if (!(l->temperature >= 0) || !isfinite(l->temperature) ||
	    !(l->top_p > 0 && l->top_p <= 1) || l->top_k < 0 ||
	    !(l->min_p >= 0 && l->min_p <= 1) || !(l->repetition >= 0) ||
	    !isfinite(l->repetition))
		return gv_fail(
		    e, GV_ERR_USAGE, "a sampling law outside its range");
	if (l->group < 1 || l->group > 65536 || l->rows < 1 ||
	    l->rows > 65536 || l->max_tokens < 1 ||
	    l->max_tokens > GV_MAX_POSITIONS)
		return gv_fail(e, GV_ERR_USAGE,
		    "a group, batch or length outside its range");
	return 0;
}

/* Marks the ids that are never drawn. */
static int
ban(struct gv_gen *g, const struct gv_tokenizer *t, struct gv_error *e)
{
	int32_t V = (int32_t)g->m->cfg.text.V, id;
	size_t i;

	if (t && gv_tokenizer_size(t) > V)
		return gv_fail(e, GV_ERR_MATCH,
		    "the tokenizer has %d ids, but the model %d",
		    (int)gv_tokenizer_size(t), (int)V);
	g->banned = gv_alloc((size_t)V, 1);
	if (!g->banned)
		return no_memory(e);
	for (id = 0; t && id < V; id++)
		g->banned[id] = id >= gv_tokenizer_size(t) ||
				gv_tokenizer_is_special(t, id);
	g->nstop =
	    gv_gen_stops(g->m, t, g->stop, sizeof g->stop / sizeof *g->stop);
	if (g->nstop > sizeof g->stop / sizeof *g->stop)
		return gv_fail(e, GV_ERR_LIMIT, "%zu stop ids", g->nstop);
	for (i = 0; i < g->nstop; i++)
		if (g->stop[i] >= 0 && g->stop[i] < V)
			g->banned[g->stop[i]] = 0;
	if (g->m->cfg.image_token >= 0 && g->m->cfg.image_token < V)
		g->banned[g->m->cfg.image_token] = 1;
	return 0;
}

int
gv_gen_open(struct gv_gen **out, struct gv_model *m,
    const struct gv_tokenizer *t, const struct gv_gen_law *law,
    struct gv_error *e)
{
	struct gv_gen *g;

	if (check_law(law, e))
		return e->code;
	if (!m->cfg.has_text || !m->part[GV_LANGUAGE].n)
		return gv_fail(e, GV_ERR_MATCH, "the model has no decoder");
	g = gv_alloc(1, sizeof *g);
	if (!g)
		return no_memory(e);
	g->m = m;
	g->law = *law;
	g->wait_end = &g->wait;
	g->active = gv_alloc((size_t)law->rows, sizeof *g->active);
	if (!g->active)
		no_memory(e);
	if (e->code || ban(g, t, e)) {
		gv_gen_close(&g);
		return e->code;
	}
	*out = g;
	return 0;
}

/* ---- prompts ------------------------------------------------------------- */

static void
drop_prefix(struct gv_gen *g, struct prefix **p)
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

static void
free_prompt(struct gv_gen *g, struct prompt **pp)
{
	struct prompt *p = *pp;
	int32_t i;

	*pp = NULL;
	if (!p)
		return;
	for (i = 0; p->sample && i < g->law.group; i++) {
		gv_free(p->sample[i].token);
		gv_free(p->sample[i].logp);
	}
	drop_prefix(g, &p->prefix);
	gv_visual_drop(&p->visual);
	gv_free(p->token);
	gv_free(p->image_at);
	gv_free(p->sample);
	gv_free(p->out);
	gv_free(p);
}

void
gv_gen_close(struct gv_gen **gp)
{
	struct gv_gen *g = *gp;

	*gp = NULL;
	if (!g)
		return;
	while (g->head) {
		struct prompt *p = g->head;

		g->head = p->next;
		free_prompt(g, &p);
	}
	free_prompt(g, &g->taken);
	drop_prefix(g, &g->shared);
	gv_visual_drop(&g->last);
	gv_gen_release(g);
	gv_rows_free(&g->rows);
	gv_free(g->active);
	gv_free(g->banned);
	gv_free(g);
}

void
gv_gen_forget(struct gv_gen *g)
{
	free_prompt(g, &g->taken);
	drop_prefix(g, &g->shared);
	gv_visual_drop(&g->last);
}

bool
gv_gen_room(const struct gv_gen *g)
{
	return g->queued < (size_t)(g->law.rows + intake(g).images) &&
	       g->prompts < MAX_WAITING + 2 * (size_t)g->law.rows;
}

size_t
gv_gen_pending(const struct gv_gen *g)
{
	return g->prompts;
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
		free_prompt(g, &p);
		return no_memory(e);
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

/* ---- admission ----------------------------------------------------------- */

/* Memory for what waits, with room to grow: reserving again empties the cache,
 * so it happens only when nothing is in it. */
static int
reserve(struct gv_gen *g, struct gv_error *e)
{
	int64_t rows = g->law.rows, G = g->law.group, max_T, live;
	const struct intake in = intake(g);
	struct sizes s = g->size;
	struct prompt *p;

	drop_prefix(g, &g->shared);
	s.longest += s.longest / 2;
	for (p = g->queue; p; p = p->next) {
		s.longest =
		    (int64_t)p->n > s.longest ? (int64_t)p->n : s.longest;
		s.images = (int64_t)p->images > s.images ? (int64_t)p->images
							 : s.images;
	}
	max_T = g->m->cfg.text.max_T;
	s.longest = (s.longest + 63) / 64 * 64;
	s.longest = s.longest > max_T ? max_T : s.longest;
	if (s.images && s.images < in.images)
		s.images = in.images;
	s.tokens = rows + (s.longest > in.tokens             ? s.longest
			      : rows * s.longest < in.tokens ? rows * s.longest
							     : in.tokens);
	s.seqs = 3 * rows;
	s.outs = rows + G - 1;
	/* in groups most prompts that are alive have several samples */
	live = G == 1 ? rows : 2 * rows / G + 2;
	live = live < rows ? live : rows;
	s.kv_rows = s.outs * g->law.max_tokens + (live + 1) * s.longest;
	if (s.kv_rows > INT32_MAX)
		return gv_fail(e, GV_ERR_LIMIT,
		    "a cache of %lld rows: take a smaller batch or length",
		    (long long)s.kv_rows);
	return gv_gen_reserve(g, &s, e);
}

static struct prefix *
new_prefix(const struct prompt *p, int32_t n, int32_t at)
{
	struct prefix *x = gv_alloc(1, sizeof *x);

	if (!x)
		return NULL;
	x->token = gv_alloc((size_t)n, sizeof *x->token);
	if (!x->token) {
		gv_free(x);
		return NULL;
	}
	memcpy(x->token, p->token, (size_t)n * sizeof *x->token);
	x->at = at;
	x->n = n;
	x->refs = 1;
	x->fresh = true;
	x->visual = p->visual;
	if (x->visual)
		x->visual->refs++;
	return x;
}

/* Tokens up to the end of the last image, if something comes after them. */
static int32_t
image_end(const struct gv_gen *g, const struct prompt *p)
{
	int64_t end;

	if (!p->images || g->law.group > 1)
		return 0;
	end = p->image_at[p->images - 1] + g->m->cfg.R;
	return end < (int64_t)p->n ? (int32_t)end : 0;
}

/* The prefix of the last admission, if this prompt begins with it. */
static struct prefix *
same_prefix(const struct gv_gen *g, const struct prompt *p)
{
	int32_t n = image_end(g, p);
	struct prefix *x = g->shared;

	return n && x && x->n == n && x->visual == p->visual &&
		       !memcmp(x->token, p->token, (size_t)n * sizeof *x->token)
		   ? x
		   : NULL;
}

/* Gives back what a prompt holds of the cache. */
static void
unplace(struct gv_gen *g, struct prompt *p)
{
	int32_t i;

	for (i = 0; i < g->law.group; i++) {
		struct sample *s = &p->sample[i];

		gv_rows_give(&g->rows, s->own_at, s->own_n);
		s->own_n = 0;
	}
	drop_prefix(g, &p->prefix);
}

/* Takes a prompt's rows of the cache: 1, or 0 if there is no room now. */
static int
place(struct gv_gen *g, struct prompt *p, struct gv_error *e)
{
	int32_t n = g->law.group > 1 ? (int32_t)p->n : image_end(g, p);
	int32_t own, at, i;

	p->prefix = same_prefix(g, p);
	if (p->prefix) {
		p->prefix->refs++;
	} else if (n) {
		if (!gv_rows_take(&g->rows, n, &at))
			return 0;
		p->prefix = new_prefix(p, n, at);
		if (!p->prefix) {
			gv_rows_give(&g->rows, at, n);
			return no_memory(e);
		}
	}
	p->suffix = (int32_t)p->n - n;
	/* the last token's keys are never needed */
	own = p->suffix + p->max_new - 1;
	for (i = 0; i < g->law.group; i++) {
		struct sample *s = &p->sample[i];

		if (!gv_rows_take(&g->rows, own, &s->own_at)) {
			unplace(g, p);
			return 0;
		}
		s->own_n = own;
	}
	return 1;
}

/* Encodes the images of the queue's first prompt, and with them those of the
 * prompts after it. */
static int
encode_ahead(struct gv_gen *g, struct gv_error *e)
{
	struct gv_visual **v = gv_alloc(g->queued, sizeof *v);
	int64_t images = 0;
	struct prompt *p;
	size_t n = 0;
	int r;

	if (!v)
		return no_memory(e);
	for (p = g->queue; p; p = p->next) {
		if (!p->visual || p->visual->embeds ||
		    (n && v[n - 1] == p->visual))
			continue;
		if (images + p->visual->n > g->size.images)
			break;
		images += p->visual->n;
		v[n++] = p->visual;
	}
	g->stats.images += (uint64_t)images;
	r = gv_visual_encode(g->m, v, n, g->size.images, e);
	gv_free(v);
	return r;
}

/* What the batch that is being made already holds. */
struct load {
	int64_t tokens, images, samples;
};

static bool
fits(const struct gv_gen *g, const struct prompt *p, const struct load *l)
{
	const struct prefix *x = same_prefix(g, p);

	return l->samples < g->law.rows &&
	       l->tokens + (int64_t)p->n - (x ? x->n : 0) <= g->size.tokens &&
	       l->images + (x ? 0 : (int64_t)p->images) <= g->size.images;
}

/* Admits one prompt: 1, or 0 if it has to wait. */
static int
admit_one(
    struct gv_gen *g, struct prompt *p, struct load *l, struct gv_error *e)
{
	bool known = same_prefix(g, p) != NULL;
	int r;

	if (p->visual && !p->visual->embeds && encode_ahead(g, e))
		return e->code;
	r = place(g, p, e);
	if (r == 0 && g->shared) {
		drop_prefix(g, &g->shared);
		known = false;
		r = place(g, p, e);
	}
	if (r <= 0)
		return r;
	if (p->prefix && g->law.group == 1 && !known) {
		drop_prefix(g, &g->shared);
		p->prefix->refs++;
		g->shared = p->prefix;
	}
	l->tokens += (int64_t)p->n - (known ? p->prefix->n : 0);
	l->images += known ? 0 : (int64_t)p->images;
	l->samples += g->law.group;
	g->admitted[g->nadmitted++] = p;
	g->queue = p->next;
	g->queued--;
	return 1;
}

static int
admit(struct gv_gen *g, struct gv_error *e)
{
	struct load l = {.tokens = g->nactive, .samples = g->nactive};
	int r = 1;

	g->nadmitted = 0;
	while (r > 0 && g->queue && !g->wait) {
		struct prompt *p = g->queue;

		if (!g->reserved || (int64_t)p->n > g->size.longest ||
		    (int64_t)p->images > g->size.images) {
			if (l.samples)
				break; /* after these have ended */
			if (reserve(g, e))
				return e->code;
		}
		if (!fits(g, p, &l))
			break;
		r = admit_one(g, p, &l, e);
	}
	if (r == 0 && !l.samples)
		return gv_fail(
		    e, GV_ERR_LIMIT, "the cache has no room for one prompt");
	return r < 0 ? r : 0;
}

/* ---- decoding ------------------------------------------------------------ */

static void
end_prompt(struct gv_gen *g, struct prompt *p)
{
	int32_t i;

	drop_prefix(g, &p->prefix);
	for (i = 0; i < g->law.group; i++) {
		struct sample *s = &p->sample[i];

		s->out.token = s->token;
		s->out.logp = s->logp;
		p->out[i] = s->out;
	}
}

/* Takes a draw; true if the sample goes on. */
static bool
take_draw(struct gv_gen *g, struct sample *s, int32_t id, float logp,
    struct gv_error *e)
{
	struct prompt *p = s->prompt;
	size_t i;

	if (gv_grow((void **)&s->token, &s->cap_token, s->out.n + 1,
		sizeof *s->token) ||
	    gv_grow((void **)&s->logp, &s->cap_logp, s->out.n + 1,
		sizeof *s->logp)) {
		no_memory(e);
		return false;
	}
	s->token[s->out.n] = id;
	s->logp[s->out.n++] = logp;
	if (g->law.on_token)
		g->law.on_token(
		    g->law.arg, p->number, (uint32_t)(s - p->sample), id, logp);
	for (i = 0; i < g->nstop && g->stop[i] != id; i++)
		;
	s->out.stop = i < g->nstop;
	if (!s->out.stop && s->out.n < (size_t)p->max_new)
		return true;
	gv_rows_give(&g->rows, s->own_at, s->own_n);
	s->own_n = 0;
	if (--p->left == 0)
		end_prompt(g, p);
	return false;
}

/* Samples that have a first token take the free rows of the batch. */
static void
activate(struct gv_gen *g)
{
	while (g->wait && g->nactive < g->law.rows) {
		struct sample *s = g->wait;

		g->wait = s->next;
		if (!g->wait)
			g->wait_end = &g->wait;
		g->active[g->nactive++] = s;
	}
}

/* Takes the draws of the oldest pass.  If another is under way already, its
 * rows are those that go on, and those that have just ended are struck out. */
static void
advance(struct gv_gen *g, struct gv_error *e)
{
	const struct pass *p = &g->pass[g->ended % GV_DRAW_DEPTH];
	struct pass *ahead = NULL;
	const int32_t *id;
	const float *logp;
	int64_t i;
	size_t j;

	if (gv_draw_take(g->draw, &id, &logp, e))
		return;
	if (++g->ended < g->begun)
		ahead = &g->pass[g->ended % GV_DRAW_DEPTH];
	g->nactive = 0;
	for (i = 0; i < p->M && !e->code; i++) {
		struct sample *s = p->whose[i];
		bool on = s && take_draw(g, s, id[i], logp[i], e);

		g->stats.drawn += s != NULL;
		if (ahead) {
			ahead->whose[i] = on ? s : NULL;
		} else if (on && i < p->had) {
			g->active[g->nactive++] = s;
		} else if (on) {
			s->next = NULL;
			*g->wait_end = s;
			g->wait_end = &s->next;
		}
	}
	for (j = 0; j < g->nadmitted; j++)
		gv_visual_drop(&g->admitted[j]->visual);
	g->nadmitted = 0;
	if (!ahead)
		activate(g);
}

/* True if the next pass can be queued before the draws of the one under way
 * are known: it has the same samples.  Then the device goes on while we look
 * at the draws.  A sample that turns out to have ended is computed once too
 * often, into a row of the cache that is still its own in the order of the
 * device, and that draw is dropped. */
static bool
same_next(const struct gv_gen *g)
{
	const struct pass *p = &g->pass[g->ended % GV_DRAW_DEPTH];
	int64_t i;

	if (gvk_is_host(g->m->k) || g->begun - g->ended != 1 ||
	    p->M > g->law.rows || ((g->queue || g->wait) && p->M < g->law.rows))
		return false;
	for (i = 0; i < p->M; i++) {
		const struct sample *s = p->whose[i];

		if (!s || s->out.n + 1 >= (size_t)s->prompt->max_new)
			return false;
	}
	return true;
}

int
gv_gen_step(struct gv_gen *g, struct gv_error *e)
{
	if (g->begun == g->ended && (admit(g, e) || gv_gen_pass(g, e)))
		return e->code;
	if (g->begun == g->ended)
		return 0;
	if (same_next(g) && gv_gen_pass(g, e))
		return e->code;
	advance(g, e);
	return e->code;
}

bool
gv_gen_take(struct gv_gen *g, struct gv_gen_result *r)
{
	struct prompt *p = g->head;

	free_prompt(g, &g->taken);
	if (!p || p->left)
		return false;
	g->head = p->next;
	if (!g->head)
		g->tail = NULL;
	g->prompts--;
	g->taken = p;
	*r = (struct gv_gen_result){.number = p->number,
	    .user = p->user,
	    .token = p->token,
	    .n = p->n,
	    .image_at = p->image_at,
	    .images = p->images,
	    .sample = p->out};
	return true;
}

int
gv_gen_run(struct gv_gen *g, const struct gv_gen_work *w, struct gv_error *e)
{
	struct gv_gen_result r;
	int more = 1, k;

	for (;;) {
		while (more > 0 && gv_gen_room(g)) {
			more = w->feed(w->arg, e);
			if (more < 0)
				return more;
		}
		if (!gv_gen_pending(g))
			return 0;
		if (gv_gen_step(g, e))
			return e->code;
		while (gv_gen_take(g, &r)) {
			k = w->done(w->arg, &r, e);
			if (k)
				return k < 0 ? k : 0;
		}
	}
}

void
gv_gen_stats(const struct gv_gen *g, struct gv_gen_stats *s)
{
	*s = g->stats;
}

/* ---- text ---------------------------------------------------------------- */

int
gv_gen_text(const struct gv_tokenizer *t, const int32_t *id, size_t n,
    char **out, size_t *len, struct gv_error *e)
{
	size_t raw_len, at, k, put = 0;
	char *raw, *clean;
	uint32_t c;

	if (gv_decode(t, id, n, false, &raw, &raw_len, e))
		return e->code;
	clean = gv_alloc(raw_len + 1, 3);
	if (!clean) {
		gv_free(raw);
		return gv_fail(e, GV_ERR_NOMEM, "no memory for a text");
	}
	for (at = 0; at < raw_len; at += k) {
		k = gv_utf8_next(raw + at, raw_len - at, &c);
		if (c == GV_UTF8_BAD)
			put += gv_utf8_put(0xfffd, clean + put);
		else {
			memcpy(clean + put, raw + at, k);
			put += k;
		}
	}
	gv_free(raw);
	clean[put] = '\0';
	*out = clean;
	*len = put;
	return 0;
}
