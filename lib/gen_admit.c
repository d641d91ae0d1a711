/* Prompts are let in: rows of the cache, images encoded, prefixes shared. */
#include "gen_priv.h"

#include "banned.h"
#include "mem.h"

/* Memory for what waits, with room to grow: reserving again empties the cache,
 * so it happens only when nothing is in it. */
static int
reserve(struct gv_gen *g, struct gv_error *e)
{
	int64_t rows = g->law.rows, G = g->law.group, max_T, live;
	const struct gv_gen_intake in = gv_gen_intake(g);
	struct sizes s = g->size;
	struct prompt *p;

	gv_gen_drop_prefix(g, &g->shared);
	s.longest += s.longest / 2;
	for (p = g->queue; p; p = p->next) {
		s.longest =
		    (int64_t)p->n > s.longest ? (int64_t)p->n : s.longest;
		s.images = (int64_t)p->images > s.images ? (int64_t)p->images
							 : s.images;
	}
	max_T = g->m->cfg.text.max_T;
	s.most = g->law.max_tokens < max_T ? g->law.max_tokens : max_T;
	s.longest = (s.longest + 63) / 64 * 64;
	s.longest = s.longest > max_T ? max_T : s.longest;
	if (s.images && s.images < in.images)
		s.images = in.images;
	s.tokens = rows + (s.longest > in.tokens             ? s.longest
			      : rows * s.longest < in.tokens ? rows * s.longest
							     : in.tokens);
	/* so that forced tokens of one sample always fit beside the others */
	if (g->law.tool && s.tokens < rows + s.most)
		s.tokens = rows + s.most;
	s.seqs = 3 * rows;
	s.outs = rows + G - 1;
	/* in groups most prompts that are alive have several samples */
	live = G == 1 ? rows : 2 * rows / G + 2;
	live = live < rows ? live : rows;
	s.kv_rows = s.outs * s.most + (live + 1) * s.longest;
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
	gv_gen_drop_prefix(g, &p->prefix);
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
			return gv_gen_no_memory(e);
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
		return gv_gen_no_memory(e);
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
		gv_gen_drop_prefix(g, &g->shared);
		known = false;
		r = place(g, p, e);
	}
	if (r <= 0)
		return r;
	if (p->prefix && g->law.group == 1 && !known) {
		gv_gen_drop_prefix(g, &g->shared);
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

int
gv_gen_admit(struct gv_gen *g, struct gv_error *e)
{
	struct load l = {.tokens = gv_gen_due(g), .samples = g->nactive};
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
	g->stuck = g->queue && !g->nadmitted;
	if (r == 0 && !l.samples)
		return gv_fail(
		    e, GV_ERR_LIMIT, "the cache has no room for one prompt");
	return r < 0 ? r : 0;
}
