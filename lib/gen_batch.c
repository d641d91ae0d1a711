/* One pass of the generator: its memory and its batch. */
#include "gen_priv.h"

#include "banned.h"
#include "mem.h"

/* ---- memory -------------------------------------------------------------- */

/* Lays the arrays out in one block; counts only if there is none. */
static size_t
lay_out(struct arrays *a, const struct gv_gen *g, const struct sizes *s)
{
	size_t row = (size_t)g->m->cfg.R * (size_t)g->m->cfg.text.C;
	size_t esize = gvk_dtype_size(gvk_dtype(g->m->k));
	size_t N = (size_t)s->tokens, S = (size_t)s->seqs;
	size_t M = (size_t)s->outs, B = (size_t)s->images, at = 0, i;
	const struct {
		void *p;
		size_t n, size;
	} all[] = {
	    {&a->id, N, sizeof *a->id},
	    {&a->pos, N, sizeof *a->pos},
	    {&a->kv_row, N, sizeof *a->kv_row},
	    {&a->q_at, S + 1, sizeof *a->q_at},
	    {&a->p_at, S, sizeof *a->p_at},
	    {&a->p_len, S, sizeof *a->p_len},
	    {&a->k_at, S, sizeof *a->k_at},
	    {&a->k_len, S, sizeof *a->k_len},
	    {&a->out, M, sizeof *a->out},
	    {&a->seed, M, sizeof *a->seed},
	    {&a->counter, M, sizeof *a->counter},
	    {&a->embeds, B * row, esize},
	    {&a->whose[0], M, sizeof *a->whose[0]},
	    {&a->whose[1], M, sizeof *a->whose[1]},
	};

	for (i = 0; i < sizeof all / sizeof *all; i++) {
		if (a->all) {
			void *p = (char *)a->all + at;

			memcpy(all[i].p, &p, sizeof p);
		}
		at += gv_align(all[i].n * all[i].size);
	}
	return at;
}

void
gv_gen_release(struct gv_gen *g)
{
	gv_draw_close(&g->draw);
	g->begun = g->ended = 0;
	gv_free(g->a.all);
	g->a = (struct arrays){0};
	gv_free(g->admitted);
	g->admitted = NULL;
	g->reserved = false;
}

int
gv_gen_reserve(struct gv_gen *g, const struct sizes *s, struct gv_error *e)
{
	const struct gvk_sampler law = {.temperature = g->law.temperature,
	    .top_p = g->law.top_p,
	    .top_k = g->law.top_k,
	    .min_p = g->law.min_p,
	    .repetition = g->law.repetition};
	const struct gv_limits l = {.images = s->images,
	    .tokens = s->tokens,
	    .seqs = s->seqs,
	    .outs = s->outs,
	    .max_q = g->law.tool && s->most > s->longest ? s->most : s->longest,
	    .max_k = s->longest + s->most,
	    .kv_rows = s->kv_rows};

	gv_gen_release(g);
	g->a.all = gv_alloc(lay_out(&g->a, g, s), 1);
	g->admitted = gv_alloc((size_t)s->outs, sizeof *g->admitted);
	if (!g->a.all || !g->admitted)
		return gv_fail(e, GV_ERR_NOMEM, "no memory for a batch");
	lay_out(&g->a, g, s);
	if (gv_draw_open(&g->draw, g->m, &l, g->banned, &law, e) ||
	    gv_rows_reset(&g->rows, (int32_t)s->kv_rows, e))
		return e->code;
	g->size = *s;
	g->reserved = true;
	return 0;
}

/* ---- the batch ----------------------------------------------------------- */

/* Adds a sequence that continues `before` tokens: the tokens of which `n` are
 * new have the positions before, ... and go into rows at, ... of the cache,
 * the last of `used` own rows. */
static void
add_sequence(struct gv_gen *g, int32_t n, int32_t before,
    const struct prefix *prefix, int32_t own_at, int32_t own_used)
{
	struct arrays *a = &g->a;
	struct gv_batch *b = &g->b;
	int32_t N = (int32_t)b->N, seen, i;

	for (i = 0; i < n; i++) {
		a->pos[N + i] = before + i;
		a->kv_row[N + i] = own_at + own_used - n + i;
	}
	a->p_at[b->S] = prefix ? prefix->at : 0;
	a->p_len[b->S] = prefix ? prefix->n : 0;
	a->k_at[b->S] = own_at;
	a->k_len[b->S] = own_used;
	seen = a->p_len[b->S] + own_used;
	b->max_q = n > b->max_q ? n : b->max_q;
	b->max_k = seen > b->max_k ? seen : b->max_k;
	b->N += n;
	a->q_at[++b->S] = (int32_t)b->N;
}

/* The tokens from..to-1 of a prompt, its image rows as ~row of the batch's
 * embeds, of which the prompt's start at `base`. */
static void
put_tokens(struct gv_gen *g, const struct prompt *p, int32_t from, int32_t to,
    int64_t base)
{
	int32_t *id = g->a.id + g->b.N, R = (int32_t)g->m->cfg.R, i, j;
	size_t k;

	for (i = from; i < to; i++)
		id[i - from] = p->token[i];
	for (k = 0; k < p->images; k++)
		for (j = 0; j < R; j++) {
			i = p->image_at[k] + j;
			if (i >= from && i < to)
				id[i - from] =
				    ~(int32_t)(base + (int64_t)k * R + j);
		}
}

/* Puts the embeds of a prompt into the batch; their first row. */
static int64_t
put_images(struct gv_gen *g, const struct prompt *p)
{
	int64_t R = g->m->cfg.R, C = g->m->cfg.text.C, base = g->b.B * R;
	size_t esize = gvk_dtype_size(gvk_dtype(g->m->k));

	if (!p->images)
		return 0;
	memcpy((char *)g->a.embeds + (size_t)(base * C) * esize,
	    p->visual->embeds, (size_t)(p->visual->n * R * C) * esize);
	g->b.B += p->visual->n;
	return base;
}

/* A draw from the last token of the batch, after `n` that the sample has. */
static void
add_out(struct gv_gen *g, struct pass *p, struct sample *s, size_t n)
{
	size_t M = (size_t)g->b.M++;

	g->a.out[M] = (int32_t)g->b.N - 1;
	g->a.seed[M] = s->seed;
	g->a.counter[M] = s->prompt->n + n;
	p->whose[M] = s;
}

/* A prompt's own tokens, and those of its prefix if nobody has computed them;
 * then a draw for each of its samples from the logits of the last. */
static void
add_prompt(struct gv_gen *g, struct pass *to, struct prompt *p)
{
	struct prefix *x = p->prefix;
	int64_t base = 0;
	int32_t i;

	if (x && x->fresh) {
		base = put_images(g, p);
		put_tokens(g, p, 0, x->n, base);
		add_sequence(g, x->n, 0, NULL, x->at, x->n);
		g->stats.prefill += (uint64_t)x->n;
		x->fresh = false;
	} else if (x) {
		g->stats.shared += (uint64_t)x->n;
	}
	if (p->suffix) {
		struct sample *s = p->sample;

		if (!x)
			base = put_images(g, p);
		put_tokens(
		    g, p, (int32_t)p->n - p->suffix, (int32_t)p->n, base);
		s->own_used = p->suffix;
		add_sequence(g, p->suffix, (int32_t)p->n - p->suffix, x,
		    s->own_at, s->own_used);
		g->stats.prefill += (uint64_t)p->suffix;
	}
	for (i = 0; i < g->law.group; i++)
		add_out(g, to, &p->sample[i], 0);
}

/* The first n tokens of a sample, as far as no pass has had them: the last one,
 * which it may be getting, and those that were forced. */
static void
add_sample(struct gv_gen *g, struct pass *p, struct sample *s, size_t n)
{
	size_t had = (size_t)(s->own_used - s->prompt->suffix), i;
	int32_t *id = g->a.id + g->b.N;

	for (i = had; i < n; i++)
		id[i - had] = i < s->out.n ? s->token[i] : 0;
	s->own_used += (int32_t)(n - had);
	add_sequence(g, (int32_t)(n - had), (int32_t)(s->prompt->n + had),
	    s->prompt->prefix, s->own_at, s->own_used);
	add_out(g, p, s, n);
}

static void
clear_batch(struct gv_gen *g)
{
	struct arrays *a = &g->a;

	g->b = (struct gv_batch){.image = a->embeds,
	    .dtype = gv_visual_dtype(g->m),
	    .id = a->id,
	    .pos = a->pos,
	    .q_at = a->q_at,
	    .p_at = a->p_at,
	    .p_len = a->p_len,
	    .k_at = a->k_at,
	    .k_len = a->k_len,
	    .kv_row = a->kv_row,
	    .out = a->out,
	    .seed = a->seed,
	    .counter = a->counter};
	a->q_at[0] = 0;
}

/* What the draws of a pass have before them; one that is chained to the last
 * pass goes on from there. */
static void
put_histories(struct gv_gen *g, const struct pass *p)
{
	int64_t i;

	for (i = 0; i < p->M; i++) {
		const struct sample *s = p->whose[i];

		gv_draw_seen(g->draw, i, s->prompt->token, s->prompt->n);
		gv_draw_seen(g->draw, i, s->token, s->out.n);
	}
}

int
gv_gen_pass(struct gv_gen *g, struct gv_error *e)
{
	const struct pass *last = &g->pass[(g->begun - 1) % GV_DRAW_DEPTH];
	struct pass *p = &g->pass[g->begun % GV_DRAW_DEPTH];
	bool ahead = g->begun > g->ended;
	size_t j;
	int64_t i;

	clear_batch(g);
	*p = (struct pass){.whose = g->a.whose[g->begun % GV_DRAW_DEPTH]};
	for (i = 0; ahead && i < last->M; i++)
		add_sample(g, p, last->whose[i], last->whose[i]->out.n + 1);
	for (i = 0; !ahead && i < g->nactive; i++)
		add_sample(g, p, g->active[i], g->active[i]->out.n);
	p->had = g->b.M;
	for (j = 0; !ahead && j < g->nadmitted; j++)
		add_prompt(g, p, g->admitted[j]);
	p->M = g->b.M;
	g->b.input = g->b.B ? GV_IN_EMBEDS : GV_IN_NONE;
	if (!p->M)
		return 0;
	if (!ahead)
		put_histories(g, p);
	if (gv_draw_put(g->draw, &g->b, ahead, e))
		return e->code;
	g->begun++;
	g->stats.passes++;
	return 0;
}
