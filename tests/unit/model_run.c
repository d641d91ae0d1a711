/* One model run in different ways gives the same: shared prefixes, a cache,
 * micro-batches, features from outside, other threads, dirty memory; and ten
 * steps of AdamW end where PyTorch's do.
 */
#include "golden.h"
#include "model_priv.h"
#include "optim.h"

static const char *const models[] = {"tied", "untied", "avgpool", "perceiver",
    "none", "../family/qwen3", "../family/nanochat"};

/* A model with its batch in both packings. */
struct test {
	const char *name, *dir;
	struct gvk *k;
	struct gv_model *m;
	struct gv_st *gold;
	struct golden_batch shared, flat;
	struct gv_error *e;
};

static void *
get(size_t n, size_t size)
{
	void *p = calloc(n + 1, size);

	if (!p)
		bail("memory", "there is none");
	return p;
}

/* What a pass gives. */
struct result {
	size_t M, grads;
	float *logp, *entropy;
	float *grad; /* of all parts that train, one after the other */
};

static void
result_free(struct result *r)
{
	free(r->logp);
	free(r->entropy);
	free(r->grad);
}

static void
get_grads(struct test *t, struct result *r)
{
	size_t at = 0;
	int i;

	for (i = 0; i < GV_PARTS; i++)
		r->grads += t->m->part[i].trains ? t->m->part[i].n : 0;
	r->grad = get(r->grads, sizeof *r->grad);
	for (i = 0; i < GV_PARTS; i++) {
		const struct gv_model_part *p = &t->m->part[i];

		if (!p->trains)
			continue;
		gvk_get(t->m->s, r->grad + at, p->grad, p->n * sizeof *r->grad);
		at += p->n;
	}
	must(gv_model_sync(t->m, t->e), t->e);
}

/* Gradients from zero, in memory that is already reserved. */
static struct result
run_more(struct test *t, const struct gv_batch *b, bool backward)
{
	struct result r = {.M = (size_t)b->M};

	r.logp = get(r.M, sizeof *r.logp);
	r.entropy = get(r.M, sizeof *r.entropy);
	must(gv_model_loss(t->m, b, backward, r.logp, r.entropy, t->e), t->e);
	get_grads(t, &r);
	return r;
}

static struct result
run(struct test *t, const struct gv_batch *b, unsigned parts)
{
	struct gv_limits l = limits_of(b, true);

	must(gv_model_train(t->m, parts, t->e), t->e);
	must(gv_model_reserve(t->m, &l, t->e), t->e);
	return run_more(t, b, true);
}

static bool
same(const struct result *a, const struct result *b)
{
	return a->M == b->M && a->grads == b->grads &&
	       !memcmp(a->logp, b->logp, a->M * sizeof *a->logp) &&
	       !memcmp(a->entropy, b->entropy, a->M * sizeof *a->entropy) &&
	       !memcmp(a->grad, b->grad, a->grads * sizeof *a->grad);
}

static unsigned
all_parts(const struct gv_model *m)
{
	unsigned all = 0;
	int i;

	for (i = 0; i < GV_PARTS; i++)
		all |= m->part[i].n ? 1u << i : 0;
	return all;
}

/* ---- the same to the bit ------------------------------------------------ */

static void
test_repeat(struct test *t)
{
	unsigned all = all_parts(t->m);
	const struct gv_batch *b = &t->shared.b;
	struct result a = run(t, b, all), c, d;
	struct gv_limits big = limits_of(b, true);
	size_t n;

	gv_model_zero_grad(t->m);
	c = run_more(t, b, true);
	ok(same(&a, &c), "%s: twice, the same bits", t->name);
	big.tokens *= 3;
	must(gv_model_need(t->m, &big, &n, t->e), t->e);
	gv_model_zero_grad(t->m);
	d = run_more(t, b, true);
	ok(same(&a, &d), "%s: asking for sizes changes nothing", t->name);
	result_free(&c);
	result_free(&d);
	gv_model_zero_grad(t->m);
	c = run_more(t, b, false);
	ok(!memcmp(a.logp, c.logp, a.M * sizeof *a.logp) &&
		!memcmp(a.entropy, c.entropy, a.M * sizeof *a.entropy),
	    "%s: without a backward pass, the same log-probabilities", t->name);
	for (n = 0; n < c.grads && fabsf(c.grad[n]) <= 0; n++)
		;
	is_int(
	    (long long)n, (long long)c.grads, "%s: and no gradients", t->name);
	result_free(&c);
	must(gv_model_reserve(t->m, &big, t->e), t->e);
	gv_model_zero_grad(t->m);
	c = run_more(t, b, true);
	ok(same(&a, &c), "%s: the same in more memory", t->name);
	result_free(&a);
	result_free(&c);
}

#define GUARD 4096

/* Moves the activations to a block that is full of NaN (and ids of -1) and
 * ends in a guard. */
static unsigned char *
plant(struct test *t, const struct gv_limits *l)
{
	struct gv_model_priv *p = t->m->priv;
	unsigned char *block;
	size_t bytes;

	must(gv_model_need(t->m, l, &bytes, t->e), t->e);
	is_int((long long)bytes, (long long)p->block_bytes,
	    "%s: what is needed is what is taken", t->name);
	block = gvk_alloc(t->k, bytes + GUARD);
	if (!block)
		bail("memory", "there is none");
	memset(block, 0xff, bytes);
	memset(block + bytes, 0xa5, GUARD);
	/* reserve wrote these once */
	memcpy(block, p->block, p->a.fixed_bytes);
	gvk_free(t->k, p->block);
	p->block = block;
	gv_layout(t->m, l, &p->a, block);
	p->staged[0] = p->a.slot[0];
	return block + bytes;
}

/* Layers that are run again on the way back, in memory full of NaN. */
static void
test_recompute(struct test *t)
{
	const struct gv_batch *b = &t->shared.b;
	struct result a = run(t, b, all_parts(t->m)), c;
	struct gv_limits l = limits_of(b, true);
	size_t most, least;

	must(gv_model_need(t->m, &l, &most, t->e), t->e);
	l.recompute = true;
	must(gv_model_need(t->m, &l, &least, t->e), t->e);
	ok(least < most, "%s: recomputation takes less memory", t->name);
	must(gv_model_reserve(t->m, &l, t->e), t->e);
	plant(t, &l);
	gv_model_zero_grad(t->m);
	c = run_more(t, b, true);
	ok(same(&a, &c), "%s: recomputation gives the same bits", t->name);
	result_free(&a);
	result_free(&c);
}

/* Every row trained on, said or unsaid. */
static void
test_every(struct test *t)
{
	struct gv_batch b = t->flat.b;
	size_t n = (size_t)b.N, i;
	int32_t *out = get(n, sizeof *out), *target = get(n, sizeof *target);
	float *g = get(n, sizeof *g);
	struct result x, y;

	for (i = 0; i < n; i++) {
		out[i] = (int32_t)i;
		target[i] = (int32_t)(i % (size_t)t->m->cfg.text.V);
		g[i] = -1 / (float)n;
	}
	b.M = b.N;
	b.out = out;
	b.target = target;
	b.g = g;
	x = run(t, &b, all_parts(t->m));
	b.every = true;
	y = run(t, &b, all_parts(t->m));
	ok(same(&x, &y), "%s: every row, said or unsaid", t->name);
	result_free(&x);
	result_free(&y);
	free(out);
	free(target);
	free(g);
}

/* A batch that is fed ahead, and one that was and is not run after all. */
static void
test_feed(struct test *t)
{
	const struct gv_batch *x = &t->flat.b, *y = &t->shared.b;
	struct gv_limits l = limits_of(x, false);
	struct result a, b, c;

	l.tokens += y->N;
	l.seqs += y->S;
	l.max_q += y->max_q;
	l.max_k += y->max_k;
	must(gv_model_train(t->m, 0, t->e), t->e);
	must(gv_model_reserve(t->m, &l, t->e), t->e);
	a = run_more(t, x, false);
	b = run_more(t, y, false);
	must(gv_model_feed(t->m, y, t->e), t->e);
	c = run_more(t, y, false);
	ok(same(&b, &c), "%s: the same fed ahead", t->name);
	result_free(&c);
	must(gv_model_feed(t->m, y, t->e), t->e);
	gv_model_unfeed(t->m);
	c = run_more(t, x, false);
	ok(same(&a, &c), "%s: nothing is left of a batch taken back", t->name);
	result_free(&a);
	result_free(&b);
	result_free(&c);
}

static void
test_threads(struct test *t)
{
	unsigned all = all_parts(t->m);
	struct result a = run(t, &t->shared.b, all), b;
	struct gv_model *was = t->m;
	struct gvk *k;

	must(gv_backend_open(&k, "cpu", 3, t->e), t->e);
	must(gv_model_open(&t->m, k, t->dir, ~0u, t->e), t->e);
	b = run(t, &t->shared.b, all);
	ok(same(&a, &b), "%s: the same bits with 3 threads", t->name);
	gv_model_close(&t->m);
	gvk_close(&k);
	t->m = was;
	result_free(&a);
	result_free(&b);
}

static void
test_memory(struct test *t)
{
	const struct gv_batch *b = &t->shared.b;
	struct gv_limits l = limits_of(b, true);
	struct result a, c;
	unsigned char *guard;
	unsigned parts;
	size_t i;

	for (parts = 0; parts < 1u << GV_PARTS; parts++) {
		if (parts & ~all_parts(t->m))
			continue;
		a = run(t, b, parts);
		guard = plant(t, &l);
		gv_model_zero_grad(t->m);
		c = run_more(t, b, true);
		ok(same(&a, &c), "%s: memory full of NaN is not read (%x)",
		    t->name, parts);
		for (i = 0; i < GUARD && guard[i] == 0xa5; i++)
			;
		is_int((long long)i, GUARD, "%s: nothing behind it is written",
		    t->name);
		result_free(&a);
		result_free(&c);
	}
}

/* Features, or embeds, that come from outside: the bits that the image gives,
 * for the parts that are left. */
static void
test_inputs(struct test *t)
{
	static const enum gv_input to[] = {GV_IN_FEATURES, GV_IN_EMBEDS};
	struct gv_batch b = t->shared.b;
	const struct gv_config *c = &t->m->cfg;
	size_t n = (size_t)(b.B * c->vision.P * c->vision.C);
	size_t m = (size_t)(b.B * c->R * c->text.C);
	float *out = get(n > m ? n : m, sizeof *out);
	unsigned parts = all_parts(t->m) & ~(1u << GV_VISION);
	int i;

	for (i = 0; i < 2; i++) {
		struct result x, y;

		x = run(t, &t->shared.b, parts);
		must(gv_model_vision(t->m, &t->shared.b, to[i], out, t->e),
		    t->e);
		b.input = to[i];
		b.image = out;
		y = run(t, &b, parts);
		ok(same(&x, &y), "%s: the same from %s", t->name,
		    i ? "embeds" : "features");
		result_free(&x);
		result_free(&y);
		parts = 1u << GV_LANGUAGE;
	}
	free(out);
}

/* ---- the same but for rounding ------------------------------------------ */

/* Bounds: four times the largest measured, of all models and instruction sets.
 * Log-probabilities came out equal; what they may differ by is what they may
 * differ from PyTorch's. */
#define SAME_LOGP   6.0e-7
#define SHARED_GRAD 8.1e-7
#define MICRO_GRAD  6.7e-7
#define CACHE       1.9e-6

static void
test_shared(struct test *t)
{
	unsigned all = all_parts(t->m);
	struct result a = run(t, &t->shared.b, all);
	struct result b = run(t, &t->flat.b, all);

	within(distance(a.logp, b.logp, a.M, 0), SAME_LOGP,
	    "shared prefixes, log-probabilities", t->name);
	within(distance(a.grad, b.grad, a.grads, 0), SHARED_GRAD,
	    "shared prefixes, gradients", t->name);
	result_free(&a);
	result_free(&b);
}

/* Sequences [lo, hi) of the flat batch; arrays to be freed. */
static struct gv_batch
slice(
    const struct gv_batch *b, int64_t lo, int64_t hi, int32_t **q, int32_t **o)
{
	struct gv_batch x = *b;
	int32_t at = b->q_at[lo];
	int64_t i;

	*q = get((size_t)(hi - lo), sizeof **q);
	*o = get((size_t)b->M, sizeof **o);
	x.id += at;
	x.pos += at;
	x.N = b->q_at[hi] - at;
	x.S = hi - lo;
	x.p_at = x.p_len = NULL;
	for (i = lo; i <= hi; i++)
		(*q)[i - lo] = b->q_at[i] - at;
	for (i = 0; i < b->M && b->out[i] < at; i++)
		;
	x.target += i;
	x.g += i;
	for (x.M = 0; i < b->M && b->out[i] < b->q_at[hi]; i++)
		(*o)[x.M++] = b->out[i] - at;
	x.q_at = *q;
	x.out = *o;
	return x;
}

static void
test_micro(struct test *t)
{
	const struct gv_batch *b = &t->flat.b;
	struct result a = run(t, b, all_parts(t->m)), c = {0};
	int64_t half = b->S / 2, i;

	gv_model_zero_grad(t->m);
	for (i = 0; i < 2; i++) {
		int32_t *q, *o;
		struct gv_batch x =
		    slice(b, i ? half : 0, i ? b->S : half, &q, &o);

		must(gv_model_loss(t->m, &x, true, c.logp = get((size_t)x.M, 4),
			 NULL, t->e),
		    t->e);
		ok(distance(c.logp, a.logp + (x.target - b->target),
		       (size_t)x.M, 0) <= SAME_LOGP,
		    "%s: half a batch, the same log-probabilities", t->name);
		free(c.logp);
		free(q);
		free(o);
	}
	c.logp = NULL;
	get_grads(t, &c);
	within(distance(c.grad, a.grad, a.grads, 0), MICRO_GRAD,
	    "two halves, gradients", t->name);
	result_free(&a);
	result_free(&c);
}

/* The first sequence without an image, alone: a batch of text in a model that
 * sees.  What is only for images gets no gradient. */
static void
test_text_only(struct test *t)
{
	const struct gv_batch *b = &t->flat.b;
	unsigned all = all_parts(t->m);
	struct result a = run(t, b, all), c;
	struct gv_batch x;
	int32_t *q, *o;
	int64_t s = 0, i;
	size_t n, seen = 0;

	for (i = 0; i < b->q_at[s + 1]; i++)
		if (b->id[i] < 0)
			i = b->q_at[++s] - 1;
	x = slice(b, s, s + 1, &q, &o);
	x.input = GV_IN_NONE;
	x.image = NULL;
	x.B = 0;
	c = run(t, &x, all);
	ok(x.M > 0 && distance(c.logp, a.logp + (x.target - b->target),
			  (size_t)x.M, 0) <= SAME_LOGP,
	    "%s: text alone, the same log-probabilities", t->name);
	n = c.grads - t->m->part[GV_LANGUAGE].n; /* the last part */
	while (n-- > 0)
		seen += !(fabsf(c.grad[n]) <= 0);
	is_int((long long)seen, 0, "%s: and no gradient but the decoder's",
	    t->name);
	free(q);
	free(o);
	result_free(&a);
	result_free(&c);
}

/* ---- key/value cache ---------------------------------------------------- */

/* A batch of some tokens of the shared packing, as it goes to the cache. */
struct pass {
	struct gv_batch b;
	int32_t *id, *pos, *q_at, *p_at, *p_len, *k_at, *k_len, *kv_row, *out;
	int32_t *from; /* (N) token of the whole batch */
};

static void
pass_new(struct pass *p, const struct gv_batch *b)
{
	size_t n = (size_t)b->N + 1;

	memset(p, 0, sizeof *p);
	p->b.id = p->id = get(n, sizeof *p->id);
	p->b.pos = p->pos = get(n, sizeof *p->pos);
	p->b.q_at = p->q_at = get(n, sizeof *p->q_at);
	p->b.p_at = p->p_at = get(n, sizeof *p->p_at);
	p->b.p_len = p->p_len = get(n, sizeof *p->p_len);
	p->b.k_at = p->k_at = get(n, sizeof *p->k_at);
	p->b.k_len = p->k_len = get(n, sizeof *p->k_len);
	p->b.kv_row = p->kv_row = get(n, sizeof *p->kv_row);
	p->b.out = p->out = get(n, sizeof *p->out);
	p->from = get(n, sizeof *p->from);
}

static void
pass_free(struct pass *p)
{
	free(p->id);
	free(p->pos);
	free(p->q_at);
	free(p->p_at);
	free(p->p_len);
	free(p->k_at);
	free(p->k_len);
	free(p->kv_row);
	free(p->out);
	free(p->from);
}

/* Sequences have their rows in the cache in reverse order, behind some that
 * nobody has. */
#define FIRST_ROW 3

static int32_t
cache_row(const struct gv_batch *b, int64_t s)
{
	return FIRST_ROW + (int32_t)b->N - b->q_at[s + 1];
}

/* The sequence whose own rows are the prefix of s. */
static int64_t
prefix_owner(const struct gv_batch *b, int64_t s)
{
	int64_t i = 0;

	while (b->q_at[i] != b->p_at[s])
		i++;
	return i;
}

/* Adds tokens [lo, hi) of sequence s, those before them being in the cache. */
static void
pass_add(
    struct pass *p, const struct gv_batch *b, int64_t s, int32_t lo, int32_t hi)
{
	int64_t S = p->b.S;
	int32_t i;

	if (lo >= hi)
		return;
	for (i = lo; i < hi; i++) {
		int64_t n = p->b.N++, at = b->q_at[s] + i;

		p->id[n] = b->id[at];
		p->pos[n] = b->pos[at];
		p->kv_row[n] = cache_row(b, s) + i;
		p->out[n] = (int32_t)n;
		p->from[n] = (int32_t)at;
	}
	p->b.M = p->b.N;
	p->k_at[S] = cache_row(b, s);
	p->k_len[S] = hi;
	p->p_len[S] = b->p_len[s];
	p->p_at[S] = b->p_len[s] ? cache_row(b, prefix_owner(b, s)) : 0;
	p->q_at[S + 1] = (int32_t)p->b.N;
	p->b.S++;
	if (hi - lo > p->b.max_q)
		p->b.max_q = hi - lo;
	if (hi + b->p_len[s] > p->b.max_k)
		p->b.max_k = hi + b->p_len[s];
}

/* Runs it and puts the logits where the whole batch has them. */
static void
pass_run(struct test *t, struct pass *p, float *logits)
{
	const size_t V = (size_t)t->m->cfg.text.V;
	float *out = get((size_t)p->b.N * V, sizeof *out), *dev;
	int64_t n;

	must(gv_model_logits(t->m, &p->b, &dev, t->e), t->e);
	gvk_get(t->m->s, out, dev, (size_t)p->b.N * V * sizeof *out);
	must(gv_model_sync(t->m, t->e), t->e);
	for (n = 0; n < p->b.N; n++)
		memcpy(logits + (size_t)p->from[n] * V, out + (size_t)n * V,
		    V * sizeof *out);
	free(out);
}

/* Prompts in two passes, the second with keys of the first; then everything
 * that has a prefix, a token a pass, several sequences at once. */
static void
fill_cache(struct test *t, float *logits)
{
	const struct gv_batch *b = &t->shared.b;
	int32_t step = 0;
	int64_t s, left = 1;
	struct pass p;

	for (step = 0; step < 2; step++) {
		pass_new(&p, b);
		p.b.input = b->input;
		p.b.B = b->B;
		p.b.image = b->image;
		for (s = 0; s < b->S; s++) {
			int32_t n = b->q_at[s + 1] - b->q_at[s];

			if (!b->p_len[s])
				pass_add(&p, b, s, step ? n / 3 : 0,
				    step ? n : n / 3);
		}
		pass_run(t, &p, logits);
		pass_free(&p);
	}
	for (step = 0; left; step++) {
		pass_new(&p, b);
		for (s = 0; s < b->S; s++)
			if (b->p_len[s] && b->q_at[s] + step < b->q_at[s + 1])
				pass_add(&p, b, s, step, step + 1);
		left = p.b.N;
		if (left)
			pass_run(t, &p, logits);
		pass_free(&p);
	}
}

static void
test_cache(struct test *t)
{
	struct gv_batch b = t->shared.b;
	size_t V = (size_t)t->m->cfg.text.V, n = (size_t)b.N * V;
	float *whole = get(n, sizeof *whole), *cached = get(n, sizeof *cached);
	int32_t *every = get((size_t)b.N, sizeof *every);
	struct gv_limits l;
	float *dev;
	int64_t i;

	for (i = 0; i < b.N; i++)
		every[i] = (int32_t)i;
	b.out = every;
	b.M = b.N;
	b.target = NULL;
	b.g = NULL;
	l = limits_of(&b, false);
	must(gv_model_train(t->m, 0, t->e), t->e);
	must(gv_model_reserve(t->m, &l, t->e), t->e);
	must(gv_model_logits(t->m, &b, &dev, t->e), t->e);
	gvk_get(t->m->s, whole, dev, n * sizeof *whole);
	must(gv_model_sync(t->m, t->e), t->e);
	l.kv_rows = FIRST_ROW + b.N;
	must(gv_model_reserve(t->m, &l, t->e), t->e);
	memset(cached, 0xff, n * sizeof *cached);
	fill_cache(t, cached);
	within(distance(cached, whole, n, 0), CACHE,
	    "token by token with a cache", t->name);
	free(whole);
	free(cached);
	free(every);
}

/* ---- work --------------------------------------------------------------- */

/* What the kernels counted since they began to; attention that goes back
 * computes its probabilities a second time, a fifth of its products, which is
 * no work of the model's. */
static double
counted(const struct test *t)
{
	struct gvk_profile row[64];
	size_t n = gvk_profile_get(t->k, row, 64), i;
	double f = 0;

	for (i = 0; i < n; i++)
		f += strcmp(row[i].op, "attention_bwd") ? row[i].flops
							: 0.8 * row[i].flops;
	return f;
}

static void
test_flops(struct test *t)
{
	const struct gv_batch *b = &t->shared.b;
	float *logp = get((size_t)b->M, sizeof *logp);
	struct gv_limits l = limits_of(b, true);
	unsigned parts, all = all_parts(t->m);
	int wrong = 0;

	gvk_profile_on(t->k, true);
	for (parts = 0; parts <= all; parts++) {
		double was = counted(t), want;

		if (parts & ~all)
			continue;
		must(gv_model_train(t->m, parts, t->e), t->e);
		must(gv_model_reserve(t->m, &l, t->e), t->e);
		must(gv_model_loss(t->m, b, true, logp, NULL, t->e), t->e);
		want = counted(t) - was;
		if (!(fabs(gv_model_flops(t->m, b, true) / want - 1) <=
			1e-12)) {
			printf("# %x: %g, the kernels count %g\n", parts,
			    gv_model_flops(t->m, b, true), want);
			wrong++;
		}
	}
	gvk_profile_on(t->k, false);
	is_int(wrong, 0, "%s: work as the kernels count it", t->name);
	free(logp);
}

/* ---- refusals ----------------------------------------------------------- */

static void
refused(struct test *t, int got, int want, const char *text, const char *what)
{
	ok(got == want && t->e->code == want && strstr(t->e->msg, text),
	    "%s: refuses %s", t->name, what);
	if (!strstr(t->e->msg, text))
		printf("# got '%s'\n", t->e->msg);
	gv_error_clear(t->e);
}

static void
test_refusals(struct test *t)
{
	const struct gv_batch *b = &t->shared.b;
	struct gv_limits l = limits_of(b, false);
	float *logp = get((size_t)b->M, sizeof *logp), *dev;
	struct gv_model *part;
	size_t bytes;

	must(gv_model_train(t->m, 0, t->e), t->e);
	refused(t, gv_model_loss(t->m, b, false, logp, NULL, t->e),
	    GV_ERR_MATCH, "no activation memory", "a batch before any memory");
	l.logits = false;
	must(gv_model_reserve(t->m, &l, t->e), t->e);
	refused(t, gv_model_logits(t->m, b, &dev, t->e), GV_ERR_MATCH, "logits",
	    "logits that were not planned");
	refused(t, gv_model_loss(t->m, b, true, logp, NULL, t->e), GV_ERR_MATCH,
	    "backward", "a backward pass that was not planned");
	l.tokens--;
	must(gv_model_reserve(t->m, &l, t->e), t->e);
	refused(t, gv_model_loss(t->m, b, false, logp, NULL, t->e),
	    GV_ERR_LIMIT, "exceeds", "a token too many");
	l.tokens = (int64_t)1 << 32;
	refused(t, gv_model_need(t->m, &l, &bytes, t->e), GV_ERR_LIMIT,
	    "32 bits", "rows that 32 bits don't count");
	if (!t->m->part[GV_RESAMPLER].n)
		refused(t, gv_model_train(t->m, 1u << GV_RESAMPLER, t->e),
		    GV_ERR_MATCH, "no resampler part",
		    "to train what is not there");
	if (b->B) {
		l = limits_of(b, false);
		must(gv_model_open(&part, t->k, t->dir, 1u << GV_VISION, t->e),
		    t->e);
		must(gv_model_reserve(part, &l, t->e), t->e);
		refused(t, gv_model_loss(part, b, false, logp, NULL, t->e),
		    GV_ERR_MATCH, "language", "a loss without a decoder");
		refused(t, gv_model_vision(part, b, GV_IN_EMBEDS, logp, t->e),
		    GV_ERR_MATCH, "was not read", "embeds without a projector");
		gv_model_close(&part);
	}
	free(logp);
}

/* ---- training ----------------------------------------------------------- */

/* Bounds: four times the largest measured. */
#define ADAM_LOSS 4.3e-7
#define ADAM_NORM 3.8e-6
#define ADAM_MOVE 7.2e-4

/* Where positions are not rotated softmax is blind to the keys' bias: its
 * gradient is rounding, which Adam's division blows up. */
static bool
blind(const struct gv_param *p)
{
	return p->part == GV_VISION && strstr(p->name, "k_proj.bias");
}

/* All parameters, to be freed. */
static float *
parameters(struct test *t, size_t *n)
{
	size_t at = 0, i;
	float *v;

	for (*n = 0, i = 0; i < t->m->nparams; i++)
		*n += t->m->param[i].n;
	v = get(*n, sizeof *v);
	for (i = 0; i < t->m->nparams; i++) {
		const struct gv_param *p = &t->m->param[i];

		gvk_get(t->m->s, v + at, (float *)t->m->part[p->part].w + p->at,
		    p->n * sizeof *v);
		at += p->n;
	}
	must(gv_model_sync(t->m, t->e), t->e);
	return v;
}

/* How far parameters are from where they should be, by how far they came from
 * where they were: the worst tensor. */
static void
compare_moves(struct test *t, float *was)
{
	const char *name = "";
	double worst = 0, d;
	char path[192];
	size_t at = 0, all, i, j;
	float *now = parameters(t, &all);

	for (i = 0; i < t->m->nparams; i++) {
		const struct gv_param *p = &t->m->param[i];
		float *want;

		snprintf(path, sizeof path, "adam.%s", p->name);
		want = golden_get(t->gold, path, GV_F32, NULL);
		for (j = 0; j < p->n; j++) {
			now[at + j] -= was[at + j];
			want[j] -= was[at + j];
		}
		d = distance(now + at, want, p->n, 0);
		if (!(d <= worst) && !blind(p)) {
			worst = d;
			name = p->name;
		}
		at += p->n;
		free(want);
	}
	within(worst, ADAM_MOVE, "moves under AdamW", t->name);
	printf("#   worst: %s\n", name);
	free(now);
}

static void
test_adamw(struct test *t)
{
	const struct gv_batch *b = &t->flat.b;
	struct gv_limits l = limits_of(b, true);
	size_t steps, i, j;
	float *loss = golden_get(t->gold, "adam/loss", GV_F32, &steps);
	float *norm = golden_get(t->gold, "adam/norm", GV_F32, NULL);
	float *lr = golden_get(t->gold, "adam/lr", GV_F32, NULL);
	float *law = golden_get(t->gold, "adam/law", GV_F32, NULL);
	float *logp = get((size_t)b->M, sizeof *logp);
	struct gv_optim_law o = {.weight_decay = (double)law[0],
	    .beta1 = (double)law[1],
	    .beta2 = (double)law[2],
	    .eps = (double)law[3],
	    .clip = (double)law[4]};
	double worst[2] = {0, 0}, got, mean, d;
	struct gv_optim *opt;
	float *was = parameters(t, &i);

	for (i = 0; i < GV_PARTS; i++)
		o.lr[i] = (double)lr[i];
	must(gv_model_train(t->m, all_parts(t->m), t->e), t->e);
	must(gv_model_reserve(t->m, &l, t->e), t->e);
	must(gv_optim_open(&opt, t->m, &o, t->e), t->e);
	for (i = 0; i < steps; i++) {
		must(gv_model_loss(t->m, b, true, logp, NULL, t->e), t->e);
		must(gv_optim_step(opt, 1, &got, t->e), t->e);
		for (j = 0, mean = 0; j < (size_t)b->M; j++)
			mean -= (double)logp[j] / (double)b->M;
		d = fabs(mean / (double)loss[i] - 1);
		worst[0] = d <= worst[0] ? worst[0] : d;
		d = fabs(got / (double)norm[i] - 1);
		worst[1] = d <= worst[1] ? worst[1] : d;
	}
	is_int((long long)steps, 10, "%s: ten steps of AdamW", t->name);
	within(worst[0], ADAM_LOSS, "losses under AdamW", t->name);
	within(worst[1], ADAM_NORM, "norms under AdamW", t->name);
	compare_moves(t, was);
	free(was);
	gv_optim_close(&opt);
	free(loss);
	free(norm);
	free(lr);
	free(law);
	free(logp);
}

/* ---- all of it ---------------------------------------------------------- */

static void
test_model(struct test *t)
{
	char path[MOST_DIR + 32];

	snprintf(path, sizeof path, "%s/golden.safetensors", t->dir);
	must(gv_st_open(&t->gold, path, t->e), t->e);
	must(gv_model_open(&t->m, t->k, t->dir, ~0u, t->e), t->e);
	golden_batch(&t->shared, t->gold, "shared");
	golden_batch(&t->flat, t->gold, "flat");
	test_repeat(t);
	test_threads(t);
	test_memory(t);
	test_recompute(t);
	test_feed(t);
	test_every(t);
	if (t->shared.b.B) {
		test_inputs(t);
		test_text_only(t);
	}
	test_shared(t);
	test_micro(t);
	test_cache(t);
	test_flops(t);
	test_refusals(t);
	/* a fixture of a family has a law of its own: parity.c */
	if (gv_st_find(t->gold, "adam/loss") &&
	    !gv_st_find(t->gold, "adam/rate"))
		test_adamw(t);
	golden_batch_free(&t->shared);
	golden_batch_free(&t->flat);
	gv_model_close(&t->m);
	gv_st_close(&t->gold);
}

int
main(int argc, char **argv)
{
	struct gv_error e = {0};
	char dir[MOST_DIR];
	struct gvk *k;
	size_t i;

	must(gv_backend_open(&k, "cpu", 0, &e), &e);
	for (i = 0; i < sizeof models / sizeof *models; i++) {
		struct test t = {
		    .name = models[i], .dir = dir, .k = k, .e = &e};

		golden_dir(dir, argc ? argv[0] : "", models[i]);
		test_model(&t);
	}
	gvk_close(&k);
	return done();
}
