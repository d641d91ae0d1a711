/* The generator against the model without a cache, against itself in other
 * batches, and its prompts, images, laws and ends. */
#include "draw.h"
#include "generate.h"
#include "rows.h"
#include "score.h"

/* ---- without a cache ----------------------------------------------------- */

/* Logits after a whole sequence, computed from its start; the model has been
 * reserved. */
static float *
logits_of(const struct gv_gen_prompt *p, const int32_t *more, size_t n)
{
	int32_t id[256], pos[256], q_at[2] = {0}, out;
	struct gv_batch b = {.image = p->visual->data,
	    .id = id,
	    .pos = pos,
	    .q_at = q_at,
	    .S = 1,
	    .M = 1,
	    .out = &out};
	size_t i, rows = (size_t)m->cfg.R, T = p->n + n;
	float *logits;

	memcpy(id, p->token, p->n * sizeof *id);
	if (n)
		memcpy(id + p->n, more, n * sizeof *id);
	for (i = 0; i < p->images * rows; i++)
		id[(size_t)p->image_at[i / rows] + i % rows] = ~(int32_t)i;
	for (i = 0; i < T; i++)
		pos[i] = (int32_t)i;
	b.B = (int64_t)p->images;
	b.input = b.B ? GV_IN_IMAGE : GV_IN_NONE;
	b.N = (int64_t)T;
	q_at[1] = b.max_q = b.max_k = (int32_t)T;
	out = (int32_t)T - 1;
	if (gv_model_logits(m, &b, &logits, &e) || gv_model_sync(m, &e))
		fatal("gv_model_logits");
	return logits;
}

static void
reserve(void)
{
	const struct gv_limits l = {.images = 2,
	    .tokens = 256,
	    .seqs = 1,
	    .outs = 1,
	    .max_q = 256,
	    .max_k = 256,
	    .logits = true};

	if (gv_model_reserve(m, &l, &e))
		fatal("gv_model_reserve");
}

static bool
stops_at(int32_t id)
{
	size_t i;

	for (i = 0; i < nstops && stops[i] != id; i++)
		;
	return i < nstops;
}

static bool
may(int32_t id)
{
	return stops_at(id) ||
	       (id < gv_tokenizer_size(t) && !gv_tokenizer_is_special(t, id));
}

static int32_t
argmax(const float *logits, bool all)
{
	int32_t best = -1, i;

	for (i = 0; i < (int32_t)m->cfg.text.V; i++)
		if ((all || may(i)) && (best < 0 || logits[i] > logits[best]))
			best = i;
	return best;
}

/* Divides or multiplies the logits of all ids of the prompt and of what has
 * been drawn, each once. */
static void
repel(float *z, const struct gv_gen_prompt *p, const struct got *g, float r)
{
	bool *seen = gv_alloc((size_t)m->cfg.text.V, sizeof *seen);
	size_t i;

	if (!seen)
		fatal("gv_alloc");
	for (i = 0; i < p->n + g->n; i++) {
		int32_t id = i < p->n ? p->token[i] : g->token[i - p->n];

		if (!seen[id])
			z[id] = z[id] > 0 ? z[id] / r : z[id] * r;
		seen[id] = true;
	}
	gv_free(seen);
}

static void
greedy(float penalty)
{
	struct gv_gen_law law = law_of(1, 4, 0);
	struct gv_gen_prompt p[PROMPTS];
	struct got got[PROMPTS], want;
	size_t i;

	all_prompts(p);
	law.repetition = penalty;
	ok(run(&law, p, PROMPTS, got, NULL), "results come in order");
	reserve();
	for (i = 0; i < PROMPTS; i++) {
		memset(&want, 0, sizeof want);
		while (want.n < 12 && !want.stop) {
			float *z = logits_of(&p[i], want.token, want.n);
			int32_t id;

			repel(z, &p[i], &want, penalty);
			id = argmax(z, false);
			want.token[want.n++] = id;
			want.stop = stops_at(id);
		}
		ok(want.n == got[i].n && want.stop == got[i].stop &&
			!memcmp(want.token, got[i].token, sizeof want.token),
		    "prompt %zu: greedy ids as without a cache, penalty %g", i,
		    (double)penalty);
	}
}

/* ---- batches, groups, seeds ---------------------------------------------- */

static void
batches(void)
{
	static const int64_t rows[] = {1, 2, 5, 64};
	struct got a[PROMPTS], b[PROMPTS];
	struct gv_gen_prompt p[PROMPTS];
	struct gv_gen_law law = law_of(1, 3, 1);
	struct gv_gen_stats st;
	size_t i;

	all_prompts(p);
	run(&law, p, PROMPTS, a, NULL);
	for (i = 0; i < 8; i++) {
		law.rows = rows[i / 2];
		ahead = i % 2;
		run(&law, p, PROMPTS, b, &st);
		ok(same(a, b, PROMPTS), "%lld rows give the samples of 3%s",
		    (long long)rows[i / 2], ahead ? ", queued ahead" : "");
	}
	ahead = false;
	/* pictures 0, 1, pair 1-2, 0 again: consecutive ones only */
	is_int((long long)st.images, 5, "images are encoded once");
	ok(st.shared > 0, "prefixes are shared");
	law.rows = 3;
	law.seed = 6;
	run(&law, p, PROMPTS, b, NULL);
	ok(!same(a, b, PROMPTS), "another seed gives other samples");
}

static void
groups(void)
{
	struct got one[PROMPTS * 6], got[PROMPTS * 6];
	struct gv_gen_law law = law_of(6, 4, 2);
	struct gv_gen_prompt p[PROMPTS], q;
	struct gv_gen_law single = law_of(1, 4, 2);
	size_t i, distinct = 0;
	uint32_t g;

	all_prompts(p);
	ok(run(&law, p, PROMPTS, got, NULL), "groups larger than the batch");
	for (i = 0; i < PROMPTS; i++) {
		size_t first = 0;

		for (g = 0; g < 6; g++) {
			q = p[i];
			q.sample = g;
			run(&single, &q, 1, &one[i * 6 + g], NULL);
			first += got[i * 6 + g].token[0] != got[i * 6].token[0];
		}
		distinct += first > 0;
	}
	ok(same(one, got, PROMPTS * 6),
	    "a group from one prefill is that of separate prompts");
	ok(distinct >= PROMPTS - 1,
	    "first tokens of a group differ (%zu of %d)", distinct, PROMPTS);
	law.rows = 17;
	run(&law, p, PROMPTS, one, NULL);
	ok(same(one, got, PROMPTS * 6), "groups don't depend on the batch");
}

/* ---- passes in a chain --------------------------------------------------- */

#define DRAWS 3

/* Three sequences with the prompt's first 5, 6 and 7 tokens, in a cache of 16
 * rows each; then `steps` tokens more.  Chained passes are put before the
 * draws they start from are known, with other ids in their place. */
static void
chain(bool chained, float penalty, int steps, int32_t (*id)[DRAWS],
    float (*logp)[DRAWS])
{
	const struct gv_limits l = {.tokens = 18,
	    .seqs = DRAWS,
	    .outs = DRAWS,
	    .max_q = 7,
	    .max_k = 16,
	    .kv_rows = 16 * DRAWS};
	const struct gvk_sampler law = {
	    .temperature = 1, .top_p = 1, .repetition = penalty};
	int32_t in[18], pos[18], kv[18], q_at[DRAWS + 1],
	    p_at[DRAWS] = {0}, p_len[DRAWS] = {0}, k_at[DRAWS],
	    k_len[DRAWS] = {0}, out[DRAWS];
	uint64_t seed[DRAWS] = {1, 2, 3}, counter[DRAWS];
	struct gv_batch b = {.id = in,
	    .pos = pos,
	    .q_at = q_at,
	    .p_at = p_at,
	    .p_len = p_len,
	    .k_at = k_at,
	    .k_len = k_len,
	    .kv_row = kv,
	    .max_k = 16,
	    .out = out,
	    .seed = seed,
	    .counter = counter};
	uint8_t *ban = gv_alloc((size_t)m->cfg.text.V, 1);
	const int32_t *drawn;
	const float *p;
	struct gv_draw *d;
	int i, s, n, put;

	if (!ban || gv_draw_open(&d, m, &l, ban, &law, &e))
		fatal("gv_draw_open");
	for (put = i = 0; i <= steps; i++) {
		b.N = b.S = b.M = 0;
		for (q_at[0] = s = 0; s < DRAWS; s++) {
			for (n = i ? 1 : 5 + s; n; n--, b.N++) {
				in[b.N] = i && !chained
					      ? id[i - 1][s]
					      : prompt[4].token[k_len[s]];
				pos[b.N] = k_len[s];
				k_at[s] = 16 * s;
				kv[b.N] = k_at[s] + k_len[s]++;
			}
			out[b.M++] = (int32_t)b.N - 1;
			counter[s] = (uint64_t)k_len[s];
			q_at[++b.S] = (int32_t)b.N;
		}
		b.max_q = i ? 1 : 7;
		for (s = 0; s < DRAWS && !(chained && i); s++) {
			gv_draw_seen(d, s, prompt[4].token, 5 + (size_t)s);
			for (n = 0; n < i; n++)
				gv_draw_seen(d, s, &id[n][s], 1);
		}
		if (gv_draw_put(d, &b, chained && i, &e))
			fatal("gv_draw_put");
		for (put++; put > (chained && i < steps); put--) {
			if (gv_draw_take(d, &drawn, &p, &e))
				fatal("gv_draw_take");
			memcpy(id[i + 1 - put], drawn, sizeof *id);
			memcpy(logp[i + 1 - put], p, sizeof *logp);
		}
	}
	gv_draw_close(&d);
	gv_free(ban);
}

static void
chains(void)
{
	int32_t a[6][DRAWS], b[6][DRAWS];
	float pa[6][DRAWS], pb[6][DRAWS];

	chain(false, 1, 5, a, pa);
	chain(true, 1, 5, b, pb);
	ok(!memcmp(a, b, sizeof a) && !memcmp(pa, pb, sizeof pa),
	    "a chained pass starts from the draws before it");
	ok(a[0][0] != a[1][0] || a[1][0] != a[2][0] || a[2][0] != a[3][0],
	    "and they are not all the same");
	chain(false, 3, 5, b, pb);
	ok(memcmp(a, b, sizeof a) != 0, "a penalty changes what is drawn");
	chain(true, 3, 5, a, pa);
	ok(!memcmp(a, b, sizeof a) && !memcmp(pa, pb, sizeof pa),
	    "a chained pass goes on with the histories before it");
}

/* ---- laws ---------------------------------------------------------------- */

static size_t
distinct_first(const struct gv_gen_law *law)
{
	struct gv_gen_prompt p = prompt_of(0);
	struct got *got = calloc((size_t)law->group, sizeof *got);
	bool seen[1024] = {0};
	size_t n = 0;
	int32_t i;

	run(law, &p, 1, got, NULL);
	for (i = 0; i < law->group; i++) {
		n += !seen[got[i].token[0]];
		seen[got[i].token[0]] = true;
		if (!may(got[i].token[0]))
			n += 1000;
	}
	free(got);
	return n;
}

static void
laws(void)
{
	struct gv_gen_law law = law_of(200, 8, 0);

	law.max_tokens = 1;
	is_int((long long)distinct_first(&law), 1, "temperature 0: one id");
	law.temperature = 1;
	law.top_k = 1;
	is_int((long long)distinct_first(&law), 1, "top-k 1: one id");
	law.top_k = 3;
	is_int((long long)distinct_first(&law), 3, "top-k 3: three ids");
	law.top_k = 0;
	law.top_p = 1e-6f;
	is_int((long long)distinct_first(&law), 1, "a tiny top-p: one id");
	law.top_p = 1;
	law.min_p = 1;
	is_int((long long)distinct_first(&law), 1, "min-p 1: one id");
	law.min_p = 0;
	law.temperature = 1e-3f;
	is_int((long long)distinct_first(&law), 1, "a cold draw: one id");
	law.temperature = 50;
	ok(distinct_first(&law) > 80 && distinct_first(&law) < 1000,
	    "a hot draw: many ids, none of them reserved");
}

/* ---- log-probabilities --------------------------------------------------- */

static void
scores(void)
{
	struct gv_score_item item[PROMPTS] = {0};
	struct gv_gen_law law = law_of(1, 4, 1);
	struct gv_gen_prompt p[PROMPTS];
	int32_t token[PROMPTS][256], target[PROMPTS][256];
	static float logp[PROMPTS][256], entropy[PROMPTS][256];
	struct got got[PROMPTS];
	double worst = 0, least = 1;
	size_t i, j;

	all_prompts(p);
	run(&law, p, PROMPTS, got, NULL);
	memset(target, -1, sizeof target);
	for (i = 0; i < PROMPTS; i++) {
		memcpy(token[i], p[i].token, p[i].n * sizeof **token);
		memcpy(
		    token[i] + p[i].n, got[i].token, got[i].n * sizeof **token);
		for (j = 0; j < got[i].n; j++)
			target[i][p[i].n - 1 + j] = got[i].token[j];
		item[i] = (struct gv_score_item){token[i], target[i],
		    p[i].n + got[i].n, p[i].image_at, p[i].images, NULL,
		    logp[i], entropy[i]};
		if (gv_visual_take(&item[i].visual, m, GV_IN_IMAGE, &visual[i],
			i ? item[i - 1].visual : NULL, &e) ||
		    gv_score_check(m, &item[i], &e))
			fatal("score");
	}
	if (gv_score(m, item, PROMPTS, &e))
		fatal("gv_score");
	for (i = 0; i < PROMPTS; i++) {
		for (j = 0; j < got[i].n; j++) {
			size_t at = p[i].n - 1 + j;

			worst = fmax(worst,
			    fabs((double)got[i].logp[j] - (double)logp[i][at]));
			least = fmin(least, (double)entropy[i][at]);
		}
		ok(logp[i][0] == 0, "what isn't asked for is 0");
		gv_visual_drop(&item[i].visual);
	}
	near(worst, 0, 1e-5, "logp of the draw is that of scoring");
	ok(least > 0, "entropies come, too");
}

/* ---- features and embeds ------------------------------------------------- */

static void
inputs(void)
{
	static const enum gv_input as[] = {GV_IN_FEATURES, GV_IN_EMBEDS};
	const struct gv_limits l = {.images = 2};
	struct gv_gen_law law = law_of(1, 4, 1);
	struct gv_gen_prompt p = prompt_of(5);
	struct gv_batch b = {.input = GV_IN_IMAGE, .B = 2, .image = px[1]};
	struct got want, got;
	struct gv_tensor rows;
	float *out;
	size_t i;

	run(&law, &p, 1, &want, NULL);
	for (i = 0; i < 2; i++) {
		int64_t P[3] = {2, m->cfg.vision.P, m->cfg.vision.C};
		int64_t R[3] = {2, m->cfg.R, m->cfg.text.C};
		int64_t *shape = as[i] == GV_IN_EMBEDS ? R : P;

		out = gv_alloc((size_t)(2 * shape[1] * shape[2]), sizeof *out);
		if (gv_model_reserve(m, &l, &e) ||
		    gv_model_vision(m, &b, as[i], out, &e) ||
		    gv_tensor_set(&rows, GV_F32, 3, shape, out, &e))
			fatal("gv_model_vision");
		p.input = as[i];
		p.visual = &rows;
		run(&law, &p, 1, &got, NULL);
		ok(same(&got, &want, 1), "%s give what pixels give",
		    gv_visual_field(as[i]));
		gv_free(out);
	}
}

/* ---- ends and bans ------------------------------------------------------- */

/* The row of the embedding table (tied: also of the head) of an id. */
static float *
embedding(int32_t id)
{
	size_t i;

	for (i = 0; i < m->nparams; i++)
		if (strstr(m->param[i].name, "embed_tokens.weight"))
			return (float *)m->part[GV_LANGUAGE].w +
			       m->param[i].at + (int64_t)id * m->cfg.text.C;
	return NULL;
}

/* Makes `id` likelier than `than` wherever that has a positive logit; the old
 * row goes to `was`. */
static void
favour(int32_t id, int32_t than, float *was)
{
	float *a = embedding(id), *b = embedding(than);
	int64_t i;

	for (i = 0; i < m->cfg.text.C; i++) {
		was[i] = a[i];
		a[i] = 2 * b[i];
	}
}

static void
ends(void)
{
	struct gv_gen_law law = law_of(1, 1, 0);
	struct gv_gen_prompt p = prompt_of(0);
	size_t width = (size_t)m->cfg.text.C * sizeof(float);
	int32_t id, never[3] = {image_id, (int32_t)m->cfg.text.V - 1,
			gv_tokenizer_special(t, "<|user_start|>")};
	struct got want, got;
	float was[1024];
	size_t i;

	run(&law, &p, 1, &want, NULL);
	id = want.token[0];
	for (i = 0; i < 3; i++) {
		favour(never[i], id, was);
		reserve();
		is_int(argmax(logits_of(&p, NULL, 0), true), never[i],
		    "the largest logit is that of id %d", (int)never[i]);
		run(&law, &p, 1, &got, NULL);
		/* the row of a special token is part of the prompt, too */
		ok(i == 2 ? may(got.token[0])
			  : !memcmp(got.token, want.token, sizeof got.token),
		    "and it isn't drawn");
		memcpy(embedding(never[i]), was, width);
	}
	favour(stop_id, id, was);
	run(&law, &p, 1, &got, NULL);
	ok(got.n == 1 && got.stop && got.token[0] == stop_id,
	    "a stop id ends a sample and is part of it");
	memcpy(embedding(stop_id), was, width);
	law.max_tokens = 3;
	run(&law, &p, 1, &got, NULL);
	ok(got.n == 3 && !got.stop && !memcmp(got.token, want.token, 12),
	    "so does the length");
}

/* ---- bad prompts --------------------------------------------------------- */

static void
refused(
    struct gv_gen *g, const struct gv_gen_prompt *p, int code, const char *why)
{
	int got = gv_gen_submit(g, p, &e);

	is_int(got, code, "refused: %s (%s)", why, e.msg);
	gv_error_clear(&e);
}

static void
bad_prompts(void)
{
	struct gv_gen_law law = law_of(1, 2, 1);
	struct gv_gen_prompt p;
	int32_t token[4096] = {0}, at = 3;
	struct gv_tensor small;
	int64_t shape[4] = {1, 32, 32, 3};
	struct gv_gen *g;

	if (gv_gen_open(&g, m, t, &law, &e))
		fatal("gv_gen_open");
	p = prompt_of(0);
	p.n = 0;
	refused(g, &p, GV_ERR_FORMAT, "no tokens");
	p = prompt_of(0);
	p.images = 0;
	refused(g, &p, GV_ERR_MATCH, "an image more than the text has");
	p.visual = NULL;
	refused(g, &p, GV_ERR_MATCH, "placeholders without an image");
	p = prompt_of(0);
	p.image_at = &at;
	refused(g, &p, GV_ERR_MATCH, "an image where no placeholders are");
	at = -1;
	refused(g, &p, GV_ERR_FORMAT, "an image before the text");
	p = prompt_of(0);
	if (gv_tensor_set(&small, GV_U8, 4, shape, px[0], &e))
		fatal("tensor");
	p.visual = &small;
	refused(g, &p, GV_ERR_MATCH, "pixels of another size");
	p = prompt_of(7);
	p.token = token;
	p.n = (size_t)m->cfg.text.max_T;
	refused(g, &p, GV_ERR_LIMIT, "a prompt as long as the model's context");
	p.n = 2;
	token[1] = (int32_t)m->cfg.text.V;
	refused(g, &p, GV_ERR_MATCH, "an id beyond the vocabulary");
	token[1] = -1;
	refused(g, &p, GV_ERR_MATCH, "a negative id");
	is_int((long long)gv_gen_pending(g), 0, "none of them is pending");
	gv_gen_close(&g);
	law.top_p = 0;
	is_int(gv_gen_open(&g, m, t, &law, &e), GV_ERR_USAGE, "top-p 0");
	law.top_p = 1;
	law.min_p = 1.5f;
	is_int(gv_gen_open(&g, m, t, &law, &e), GV_ERR_USAGE, "min-p 1.5");
	law.min_p = 0;
	law.repetition = -1;
	is_int(
	    gv_gen_open(&g, m, t, &law, &e), GV_ERR_USAGE, "a penalty of -1");
	gv_error_clear(&e);
}

/* A long prompt after short ones makes the generator reserve again. */
static void
growth(void)
{
	struct gv_gen_law law = law_of(1, 2, 1);
	struct gv_gen_prompt p[4];
	int32_t token[700];
	struct got a[4], b[4];
	size_t i;

	for (i = 0; i < 700; i++)
		token[i] = (int32_t)(i % 250);
	for (i = 0; i < 4; i++)
		p[i] = prompt_of(i);
	p[2] = prompt_of(7);
	p[2].token = token;
	p[2].n = 700;
	/* one by one: each in a cache of its own size */
	for (i = 0; i < 4; i++)
		run(&law, &p[i], 1, &a[i], NULL);
	{
		struct gv_gen_result r;
		struct gv_gen *g;
		size_t in = 0, out = 0;

		if (gv_gen_open(&g, m, t, &law, &e))
			fatal("gv_gen_open");
		while (out < 4) {
			if (in < 4 && gv_gen_submit(g, &p[in++], &e))
				fatal("gv_gen_submit");
			if (gv_gen_step(g, &e))
				fatal("gv_gen_step");
			while (gv_gen_take(g, &r))
				keep(&b[out++], &r.sample[0]);
		}
		gv_gen_close(&g);
	}
	ok(same(a, b, 4), "a prompt longer than was reserved for");
}

/* Memory is for what a model's positions let a sample have, however much more
 * is allowed. */
static void
endless(void)
{
	struct gv_gen_law law = law_of(1, 256, 1);
	struct gv_gen_prompt p = prompt_of(7);
	struct gv_gen *g;

	law.max_tokens = GV_MAX_POSITIONS;
	if (gv_gen_open(&g, m, t, &law, &e) || gv_gen_submit(g, &p, &e))
		fatal("gv_gen_submit");
	is_int(gv_gen_step(g, &e), 0, "tokens without end");
	gv_error_clear(&e);
	gv_gen_close(&g);
}

/* ---- the cache's rows, text ---------------------------------------------- */

static void
cache_rows(void)
{
	static uint8_t used[500];
	struct gv_range have[64];
	struct gv_rows r = {0};
	struct gv_rng rng;
	size_t n = 0, i;
	int32_t at, step, faults = 0;

	gv_rng_init(&rng, 3, GV_PURPOSE_TEST);
	if (gv_rows_reset(&r, 500, &e))
		fatal("rows");
	for (step = 0; step < 5000; step++) {
		int32_t want = 1 + (int32_t)gv_rng_below(&rng, 40);

		if (n < 64 && gv_rng_below(&rng, 2) &&
		    gv_rows_take(&r, want, &at)) {
			for (i = 0; i < (size_t)want; i++)
				faults += used[(size_t)at + i]++ != 0;
			have[n++] = (struct gv_range){at, want};
		} else if (n) {
			i = gv_rng_below(&rng, n);
			gv_rows_give(&r, have[i].at, have[i].n);
			memset(used + have[i].at, 0, (size_t)have[i].n);
			have[i] = have[--n];
		}
	}
	while (n--)
		gv_rows_give(&r, have[n].at, have[n].n);
	is_int(faults, 0, "rows are never handed out twice");
	ok(gv_rows_take(&r, 500, &at) && at == 0 && !gv_rows_take(&r, 1, &at),
	    "given back, they are one range again");
	gv_rows_free(&r);
}

static void
text(void)
{
	struct gv_ids ids = {0};
	char *s;
	size_t n;

	if (gv_encode(t, "a\xc3(\xe2\x82", 5, false, &ids, &e) ||
	    gv_ids_push(&ids, stop_id, &e) ||
	    gv_gen_text(t, ids.id, ids.n, &s, &n, &e))
		fatal("gv_gen_text");
	ok(n == strlen(s) && !strncmp(s, "a\xef\xbf\xbd(\xef\xbf\xbd", 8),
	    "bytes that aren't UTF-8 become U+FFFD, specials nothing");
	gv_free(s);
	gv_ids_free(&ids);
}

int
main(void)
{
	gen_start("cpu");
	ok(nstops <= 8 && stops_at(stop_id), "the end of a turn is a stop id");
	greedy(1);
	greedy(1.5f);
	batches();
	groups();
	chains();
	laws();
	scores();
	inputs();
	ends();
	bad_prompts();
	growth();
	endless();
	cache_rows();
	text();
	gen_end();
	return done();
}
