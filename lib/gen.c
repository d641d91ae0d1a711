/* The generator: prompts wait, are admitted, decode, and are handed out. */
#include "gen_priv.h"

#include "banned.h"
#include "mem.h"

#include <math.h>

#define MAX_WAITING 4096 /* prompts whose result waits for an older one */

struct gv_gen_intake
gv_gen_intake(const struct gv_gen *g)
{
	if (gvk_is_host(g->m->k))
		return (struct gv_gen_intake){16, 1024};
	return (struct gv_gen_intake){64, 8192};
}

int
gv_gen_no_memory(struct gv_error *e)
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

/* What is looked for in the texts, if ids are text. */
static int
watch(struct gv_gen *g, const struct gv_tokenizer *t, struct gv_error *e)
{
	const struct gv_gen_law *l = &g->law;
	struct gv_watch_law law = {.stop = l->stop, .stops = l->stops};

	if (!t && (l->stops || l->tool))
		return gv_fail(
		    e, GV_ERR_USAGE, "stop strings and tools need a tokenizer");
	if (!t)
		return 0;
	if (l->tool) {
		law.start = gv_tool_marks(l->tool)->start;
		law.end = gv_tool_marks(l->tool)->end;
	}
	return gv_watch_open(&g->watch, t, &law, e);
}

/* Marks the ids that are never drawn. */
static int
ban(struct gv_gen *g, const struct gv_tokenizer *t, struct gv_error *e)
{
	int32_t V = (int32_t)g->m->cfg.text.V, id;
	int32_t size = t ? gv_tokenizer_size(t) : V;
	size_t i;

	if (size > V)
		return gv_fail(e, GV_ERR_MATCH,
		    "the tokenizer has %d ids, but the model %d", (int)size,
		    (int)V);
	g->banned = gv_alloc((size_t)V, 1);
	if (!g->banned)
		return gv_gen_no_memory(e);
	for (id = 0; t && id < V; id++)
		g->banned[id] =
		    id >= size || (gv_tokenizer_is_special(t, id) &&
				      !gv_watch_is_mark(g->watch, id));
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
		return gv_gen_no_memory(e);
	g->m = m;
	g->law = *law;
	g->wait_end = &g->wait;
	g->ahead = !gvk_is_host(m->k);
	g->active = gv_alloc((size_t)law->rows, sizeof *g->active);
	if (!g->active)
		gv_gen_no_memory(e);
	if (e->code || watch(g, t, e) || ban(g, t, e)) {
		gv_gen_close(&g);
		return e->code;
	}
	*out = g;
	return 0;
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
		gv_gen_free_prompt(g, &p);
	}
	gv_gen_free_prompt(g, &g->taken);
	gv_gen_drop_prefix(g, &g->shared);
	gv_visual_drop(&g->last);
	gv_gen_release(g);
	gv_rows_free(&g->rows);
	gv_free(g->active);
	gv_free(g->banned);
	gv_watch_close(&g->watch);
	gv_ids_free(&g->forced);
	gv_free(g);
}

void
gv_gen_forget(struct gv_gen *g)
{
	gv_gen_free_prompt(g, &g->taken);
	gv_gen_drop_prefix(g, &g->shared);
	gv_visual_drop(&g->last);
}

bool
gv_gen_room(const struct gv_gen *g)
{
	return g->queued < (size_t)(g->law.rows + gv_gen_intake(g).images) &&
	       g->prompts < MAX_WAITING + 2 * (size_t)g->law.rows;
}

size_t
gv_gen_pending(const struct gv_gen *g)
{
	return g->prompts;
}

/* ---- decoding ------------------------------------------------------------ */

static void
let_wait(struct gv_gen *g, struct sample *s)
{
	s->next = NULL;
	*g->wait_end = s;
	g->wait_end = &s->next;
}

/* Samples that have a first token, or forced ones, take the free rows of the
 * batch. */
static void
activate(struct gv_gen *g)
{
	int64_t tokens = gv_gen_due(g);

	while (g->wait && g->nactive < g->law.rows) {
		struct sample *s = g->wait;

		tokens += gv_gen_owes(s);
		if (tokens > g->size.tokens)
			break; /* never for the first: reserve() sees to it */
		g->wait = s->next;
		if (!g->wait)
			g->wait_end = &g->wait;
		g->active[g->nactive++] = s;
	}
}

/* Takes the draws of the oldest pass.  If another is under way already, its
 * rows are those that go on, and those that have just ended are struck out, as
 * are those that tokens were forced upon: what it draws for them is dropped. */
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
		enum gv_gen_next next =
		    s ? gv_gen_draw(g, s, id[i], logp[i], e) : GV_GEN_ENDS;

		g->stats.drawn += s != NULL;
		if (ahead)
			ahead->whose[i] = next == GV_GEN_GOES_ON ? s : NULL;
		else if (next == GV_GEN_GOES_ON && i < p->had)
			g->active[g->nactive++] = s;
		else if (next == GV_GEN_GOES_ON)
			let_wait(g, s);
		if (next == GV_GEN_FORCED)
			let_wait(g, s);
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
	bool more = g->wait || (g->queue && !g->stuck);
	int64_t i;

	if (!g->ahead || g->begun - g->ended != 1 || p->M > g->law.rows ||
	    (more && p->M < g->law.rows))
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
	if (g->begun == g->ended && (gv_gen_admit(g, e) || gv_gen_pass(g, e)))
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

	gv_gen_free_prompt(g, &g->taken);
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
