/* Whole models forward and backward against PyTorch in F64, whatever is frozen;
 * and that every tensor matters.
 */
#include "golden.h"

/* Bounds are four times the largest error measured with sse4.2, avx2 and
 * avx512 in both packings, relative by Euclidean norms; `grad` is that of the
 * worst tensor. */
struct fixture {
	const char *name;
	double features, embeds, logits, logp, entropy, grad;
};
static const struct fixture fixtures[] = {
    {"tied", 0, 0, 1.6e-6, 4.2e-7, 3.1e-7, 6.0e-6},
    {"untied", 0, 0, 1.5e-6, 5.0e-7, 2.1e-7, 3.7e-6},
    {"avgpool", 1.0e-6, 1.0e-6, 1.4e-6, 4.4e-7, 2.9e-7, 8.5e-6},
    {"perceiver", 9.8e-7, 1.7e-6, 2.8e-6, 6.0e-7, 3.3e-7, 1.1e-5},
    {"none", 9.9e-7, 1.2e-6, 1.3e-6, 3.3e-7, 2.3e-7, 5.2e-6},
};

/* What all tests of a model need. */
struct test {
	const struct fixture *f;
	struct gv_model *m;
	struct gv_st *gold;
	float *logp, *entropy, *logits; /* (M), (M), (M,V) */
	struct gv_error *e;
};

static double
against(const struct test *t, const char *name, const float *got, double floor)
{
	size_t n;
	float *want = golden_get(t->gold, name, GV_F32, &n);
	double d = distance(got, want, n, floor);

	free(want);
	return d;
}

static void
run_logits(struct test *t, const struct gv_batch *b)
{
	size_t n = (size_t)(b->M * t->m->cfg.text.V) * sizeof(float);
	float *dev;

	must(gv_model_logits(t->m, b, &dev, t->e), t->e);
	gvk_get(t->m->s, t->logits, dev, n);
	must(gv_model_sync(t->m, t->e), t->e);
}

static void
test_forward(struct test *t, const struct gv_batch *b, const char *kind)
{
	const struct fixture *f = t->f;
	const struct gv_config *c = &t->m->cfg;
	char what[64];

	if (b->B) {
		size_t n = (size_t)(b->B * c->vision.P * c->vision.C);
		size_t r = (size_t)(b->B * c->R * c->text.C);
		float *out = malloc((n > r ? n : r) * sizeof *out);

		if (!out)
			bail("features", "out of memory");
		must(gv_model_vision(t->m, b, GV_IN_FEATURES, out, t->e), t->e);
		within(against(t, "features", out, 0), f->features, "features",
		    f->name);
		must(gv_model_vision(t->m, b, GV_IN_EMBEDS, out, t->e), t->e);
		within(
		    against(t, "embeds", out, 0), f->embeds, "embeds", f->name);
		free(out);
	}
	run_logits(t, b);
	snprintf(what, sizeof what, "%s logits", kind);
	within(against(t, "logits", t->logits, 0), f->logits, what, f->name);
	must(gv_model_loss(t->m, b, false, t->logp, t->entropy, t->e), t->e);
	snprintf(what, sizeof what, "%s logp", kind);
	within(against(t, "logp", t->logp, 0), f->logp, what, f->name);
	snprintf(what, sizeof what, "%s entropy", kind);
	within(against(t, "entropy", t->entropy, 0), f->entropy, what, f->name);
}

/* ---- gradients ---------------------------------------------------------- */

/* The gradient of a parameter, to be freed. */
static float *
gradient(struct test *t, const struct gv_param *p)
{
	float *g = malloc(p->n * sizeof *g);

	if (!g)
		bail(p->name, "out of memory");
	gvk_get(t->m->s, g, t->m->part[p->part].grad + p->at, p->n * sizeof *g);
	must(gv_model_sync(t->m, t->e), t->e);
	return g;
}

/* Where positions are not rotated softmax is blind to the keys' bias. */
static bool
blind_to(const struct gv_param *p)
{
	return p->part == GV_VISION && strstr(p->name, "k_proj.bias");
}

/* The error of a gradient.  What would be zero but for rounding is measured
 * against the gradient of its matrix. */
static double
gradient_error(const struct test *t, const struct gv_param *p, const float *g)
{
	char name[192];
	double floor = 0;
	size_t n;
	float *w;

	if (blind_to(p)) {
		snprintf(name, sizeof name, "grad.%.*sweight",
		    (int)(strlen(p->name) - strlen("bias")), p->name);
		w = golden_get(t->gold, name, GV_F32, &n);
		while (n-- > 0)
			floor += (double)w[n] * (double)w[n];
		free(w);
	}
	snprintf(name, sizeof name, "grad.%s", p->name);
	return against(t, name, g, sqrt(floor));
}

/* The largest error of a tensor's gradient over the parts that train; *name
 * is whose.  A tensor that PyTorch has no gradient for must have zeros. */
static double
worst_gradient(struct test *t, const char **name)
{
	double worst = 0, d;
	char path[192];
	size_t i, j;

	*name = "";
	for (i = 0; i < t->m->nparams; i++) {
		const struct gv_param *p = &t->m->param[i];
		float *g;

		if (!t->m->part[p->part].trains)
			continue;
		g = gradient(t, p);
		snprintf(path, sizeof path, "grad.%s", p->name);
		if (p->used) {
			d = gradient_error(t, p, g);
		} else {
			d = gv_st_find(t->gold, path) ? INFINITY : 0;
			for (j = 0; j < p->n; j++)
				d += fabs((double)g[j]);
		}
		if (!(d <= worst)) {
			worst = d;
			*name = p->name;
		}
		free(g);
	}
	return worst;
}

static void
backward(struct test *t, const struct gv_batch *b, unsigned parts)
{
	struct gv_limits l = limits_of(b, true);

	must(gv_model_train(t->m, parts, t->e), t->e);
	must(gv_model_reserve(t->m, &l, t->e), t->e);
	must(gv_model_loss(t->m, b, true, t->logp, t->entropy, t->e), t->e);
}

static unsigned
parts_of(const struct gv_model *m)
{
	unsigned all = 0;
	int i;

	for (i = 0; i < GV_PARTS; i++)
		all |= m->part[i].n ? 1u << i : 0;
	return all;
}

/* Trains a subset: the others have no gradients, these have those that they
 * have when everything trains. */
static void
test_subset(
    struct test *t, const struct gv_batch *b, const char *kind, unsigned parts)
{
	char what[128];
	const char *worst;
	size_t at;
	double d;
	int i, frozen = 1;

	at = (size_t)snprintf(what, sizeof what, "%s gradients of", kind);
	for (i = 0; i < GV_PARTS; i++)
		if (parts & 1u << i)
			at += (size_t)snprintf(what + at, sizeof what - at,
			    " %s", gv_part_name((enum gv_part)i));
	backward(t, b, parts);
	d = worst_gradient(t, &worst);
	within(d, t->f->grad, what, t->f->name);
	printf("#   worst: %s\n", worst);
	for (i = 0; i < GV_PARTS; i++)
		frozen =
		    frozen && (parts & 1u << i ? t->m->part[i].grad != NULL
					       : t->m->part[i].grad == NULL);
	ok(frozen, "%s: exactly the parts that train have gradients",
	    t->f->name);
	d = against(t, "logp", t->logp, 0);
	ok(d <= t->f->logp, "%s: and the same log-probabilities", t->f->name);
}

static void
test_gradients(struct test *t, const struct gv_batch *b, const char *kind)
{
	static const unsigned subset[] = {
	    1u << GV_RESAMPLER | 1u << GV_PROJECTOR, 1u << GV_PROJECTOR,
	    1u << GV_RESAMPLER, 1u << GV_LANGUAGE, 1u << GV_VISION,
	    1u << GV_VISION | 1u << GV_PROJECTOR,
	    1u << GV_VISION | 1u << GV_LANGUAGE};
	unsigned all = parts_of(t->m), seen = all, i;

	test_subset(t, b, kind, all);
	for (i = 0; i < sizeof subset / sizeof *subset; i++) {
		unsigned s = subset[i] & all;

		/* without a resampler some of these are the same */
		if (s == 0 || s == all || s == seen)
			continue;
		test_subset(t, b, kind, s);
		seen = s;
	}
}

/* ---- planted faults ----------------------------------------------------- */

/* An element that the batch's results depend on: of the embedding table one
 * in the row of a token that is there. */
static size_t
element(const struct gv_param *p, const struct gv_batch *b)
{
	int64_t i = 0;

	if (!strstr(p->name, "embed_tokens"))
		return p->n / 2;
	while (b->id[i] < 0)
		i++;
	return (size_t)(b->id[i] * p->shape[1]);
}

static float
poke(struct test *t, const struct gv_param *p, size_t i, float v, bool add)
{
	float *at = (float *)t->m->part[p->part].w + p->at + i, was;

	gvk_get(t->m->s, &was, at, sizeof was);
	must(gv_model_sync(t->m, t->e), t->e);
	v += add ? was : 0;
	gvk_put(t->m->s, at, &v, sizeof v);
	must(gv_model_sync(t->m, t->e), t->e);
	return was;
}

/* Moves one element of every tensor: the comparison of logits must fail, or
 * hold to the bit for a tensor that takes no part. */
static void
test_perturbed(struct test *t, const struct gv_batch *b)
{
	double d, was = against(t, "logits", t->logits, 0);
	int blind = 0, bound = 0;
	size_t i, at;

	for (i = 0; i < t->m->nparams; i++) {
		const struct gv_param *p = &t->m->param[i];
		float v;

		at = element(p, b);
		v = poke(t, p, at, 0.02F, true);
		run_logits(t, b);
		poke(t, p, at, v, false);
		d = against(t, "logits", t->logits, 0);
		if (p->used && !blind_to(p) && !(d > t->f->logits)) {
			printf("# blind to %s: %g\n", p->name, d);
			blind++;
		}
		if (!p->used && !(d <= was && d >= was)) {
			printf("# moved by %s: %g\n", p->name, d);
			bound++;
		}
	}
	is_int(blind, 0, "%s: 0.02 on one element of any tensor shows",
	    t->f->name);
	is_int(bound, 0, "%s: but not on one that is not used", t->f->name);
}

/* The same for gradients, with one element moved. */
static void
test_perturbed_gradient(struct test *t, const struct gv_batch *b)
{
	const struct gv_param *p = &t->m->param[t->m->nparams / 3];
	const char *name;
	float v = poke(t, p, p->n / 2, 0.02F, true);
	double d;

	backward(t, b, parts_of(t->m));
	d = worst_gradient(t, &name);
	ok(d > t->f->grad, "%s: 0.02 on one element shows in gradients",
	    t->f->name);
	poke(t, p, p->n / 2, v, false);
}

/* ---- all of it ---------------------------------------------------------- */

static void
test_model(const struct fixture *f, struct gvk *k, const char *argv0)
{
	static const char *const kinds[] = {"shared", "flat"};
	struct gv_error e = {0};
	struct test t = {.f = f, .e = &e};
	char dir[MOST_DIR], path[MOST_DIR + 32];
	struct golden_batch g;
	struct gv_limits l;
	int i;

	golden_dir(dir, argv0, f->name);
	snprintf(path, sizeof path, "%s/golden.safetensors", dir);
	must(gv_st_open(&t.gold, path, &e), &e);
	must(gv_model_open(&t.m, k, dir, ~0u, &e), &e);
	for (i = 0; i < 2; i++) {
		golden_batch(&g, t.gold, kinds[i]);
		t.logp = calloc((size_t)g.b.M, sizeof(float));
		t.entropy = calloc((size_t)g.b.M, sizeof(float));
		t.logits =
		    calloc((size_t)(g.b.M * t.m->cfg.text.V), sizeof(float));
		if (!t.logp || !t.entropy || !t.logits)
			bail(f->name, "out of memory");
		l = limits_of(&g.b, false);
		must(gv_model_train(t.m, 0, &e), &e);
		must(gv_model_reserve(t.m, &l, &e), &e);
		test_forward(&t, &g.b, kinds[i]);
		if (i == 0)
			test_perturbed(&t, &g.b);
		test_gradients(&t, &g.b, kinds[i]);
		if (i == 0)
			test_perturbed_gradient(&t, &g.b);
		free(t.logp);
		free(t.entropy);
		free(t.logits);
		golden_batch_free(&g);
	}
	gv_model_close(&t.m);
	gv_st_close(&t.gold);
}

int
main(int argc, char **argv)
{
	struct gv_error e = {0};
	struct gvk *k;
	size_t i;

	must(gv_backend_open(&k, "cpu", 0, &e), &e);
	printf("# %s\n", gvk_name(k));
	for (i = 0; i < sizeof fixtures / sizeof *fixtures; i++)
		test_model(&fixtures[i], k, argc ? argv[0] : "");
	gvk_close(&k);
	return done();
}
