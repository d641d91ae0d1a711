/* Objectives against torch's autograd, and what they refuse. */
#include "objective.h"

#include "golden.h"

#include <math.h>

#define BOUND 1e-5 /* of a gradient, relative to its norm */

static struct gv_error e;

struct cases {
	struct gv_st *st;
	int32_t *at, *start;
	float *reward, *logp, *old, *drawn, *ref;
	size_t groups, n, T;
};

static float *
floats(const struct cases *c, const char *name, const char *what, size_t *n)
{
	char path[96];

	snprintf(path, sizeof path, "%s%s", name, what);
	return golden_get(c->st, path, GV_F32, n);
}

static void
open_cases(struct cases *c, const char *argv0)
{
	char dir[MOST_DIR], path[MOST_DIR + 32];
	size_t n;

	golden_dir(dir, argv0, "../objective");
	snprintf(path, sizeof path, "%s/cases.safetensors", dir);
	must(gv_st_open(&c->st, path, &e), &e);
	c->at = golden_get(c->st, "at", GV_I32, &n);
	c->groups = n - 1;
	c->start = golden_get(c->st, "start", GV_I32, &n);
	c->n = n - 1;
	c->reward = floats(c, "reward", "", NULL);
	c->logp = floats(c, "logp", "", &c->T);
	c->old = floats(c, "old", "", NULL);
	c->drawn = floats(c, "drawn", "", NULL);
	c->ref = floats(c, "ref", "", NULL);
}

static void
close_cases(struct cases *c)
{
	free(c->at);
	free(c->start);
	free(c->reward);
	free(c->logp);
	free(c->old);
	free(c->drawn);
	free(c->ref);
	gv_st_close(&c->st);
}

static struct gv_policy_law
law_of(const struct cases *c, const char *name)
{
	float *v = floats(c, name, ".law", NULL);
	struct gv_policy_law w = {(enum gv_objective)v[0], (enum gv_scale)v[1],
	    v[2] != 0, (double)v[3], (double)v[4], (double)v[5], (int64_t)v[6],
	    (enum gv_correct)v[7], (double)v[8], (double)v[9]};

	free(v);
	return w;
}

/* |a - b| / |b| of n values. */
static double
off(const float *a, const float *b, size_t n)
{
	double d = 0, s = 0;
	size_t i;

	for (i = 0; i < n; i++) {
		d += ((double)a[i] - (double)b[i]) *
		     ((double)a[i] - (double)b[i]);
		s += (double)b[i] * (double)b[i];
	}
	return sqrt(d / s);
}

/* Advantages of the case's groups, and its gradients with `order`: 1 as they
 * stand, -1 from the last sample to the first. */
static void
run(const struct cases *c, const struct gv_policy_law *w, int order,
    double *advantage, float *g, struct gv_policy_sums *u)
{
	double reward[64];
	size_t at[16], i, k;

	for (i = 0; i <= c->groups; i++)
		at[i] = (size_t)c->at[i];
	for (i = 0; i < c->n; i++)
		reward[i] = (double)c->reward[i];
	must(gv_policy_advantages(w, reward, at, c->groups, advantage, &e), &e);
	memset(u, 0, sizeof *u);
	for (k = 0; k < c->n; k++) {
		struct gv_policy_sample s;
		size_t from;

		i = order > 0 ? k : c->n - 1 - k;
		from = (size_t)c->start[i];
		s = (struct gv_policy_sample){(size_t)c->start[i + 1] - from,
		    c->logp + from, c->old + from, c->drawn + from,
		    c->ref + from, advantage[i]};
		must(gv_policy_grad(
			 w, &s, (int64_t)c->n, (int64_t)c->T, g + from, u, &e),
		    &e);
	}
}

static void
test_case(const struct cases *c, const char *name)
{
	float *want = floats(c, name, ".g", NULL);
	float *a = floats(c, name, ".advantage", NULL);
	float *loss = floats(c, name, ".loss", NULL), got[64];
	float *g = calloc(c->T, sizeof *g);
	struct gv_policy_law w = law_of(c, name), other = w;
	struct gv_policy_sums u, v;
	double advantage[64];
	size_t i;

	run(c, &w, 1, advantage, g, &u);
	for (i = 0; i < c->n; i++)
		got[i] = (float)advantage[i];
	printf("# %-16s advantage %.1e gradient %.1e\n", name,
	    off(got, a, c->n), off(g, want, c->T));
	ok(off(got, a, c->n) <= BOUND, "%s: advantages", name);
	ok(off(g, want, c->T) <= BOUND, "%s: gradient", name);
	near(u.loss, (double)loss[0], 1e-5 * fabs((double)loss[0]) + 1e-7,
	    "%s: loss", name);
	is_int(u.tokens, (long long)c->T, "%s: all tokens are counted", name);
	run(c, &w, -1, advantage, g, &v);
	ok(off(g, want, c->T) <= BOUND && fabs(u.loss - v.loss) < 1e-12,
	    "%s: the order of samples doesn't matter", name);
	/* and a test that can fail */
	other.kl += 0.01;
	run(c, &other, 1, advantage, g, &v);
	ok(!(off(g, want, c->T) <= BOUND), "%s: another beta is seen", name);
	free(want);
	free(a);
	free(loss);
	free(g);
}

static void
test_without(void)
{
	struct gv_policy_law w = gv_policy_law(GV_GRPO);
	const float logp[2] = {-1, -2};
	struct gv_policy_sample s = {2, logp, NULL, NULL, NULL, 1.5};
	struct gv_policy_sums u = {0};
	float g[2] = {0};

	is_int(gv_policy_grad(&w, &s, 1, 2, g, &u, &e), 0,
	    "old, drawn and reference may be missing");
	near((double)g[0], -0.75, 1e-6, "then r and c are 1");
	near(u.policy, -1.5, 1e-6, "... and the loss is -A");
	near(u.ratio_max, 1, 0, "... and the largest ratio 1");
	s.n = 0;
	is_int(gv_policy_grad(&w, &s, 1, 2, g, &u, &e), 0,
	    "a sample of no tokens adds nothing");
	is_int(u.tokens, 2, "... to the count either");
}

static void
test_clip(void)
{
	struct gv_policy_law w = gv_policy_law(GV_GRPO);
	const float logp[4] = {-1, -1, -1, -1};
	const float old[4] = {-1.5f, -0.5f, -1.1f, -0.9f};
	struct gv_policy_sample s = {4, logp, old, NULL, NULL, 1};
	struct gv_policy_sums u = {0};
	float g[4];

	is_int(gv_policy_grad(&w, &s, 1, 4, g, &u, &e), 0, "four ratios");
	ok(g[0] == 0 && g[1] < 0 && g[2] < 0 && g[3] < 0,
	    "a good token that is likelier already is held back");
	is_int(u.high, 1, "... and counted");
	s.advantage = -1;
	is_int(gv_policy_grad(&w, &s, 1, 4, g, &u, &e), 0, "the same, bad");
	ok(g[0] > 0 && g[1] == 0 && g[2] > 0 && g[3] > 0,
	    "a bad token that is rarer already is held back");
	is_int(u.low, 1, "... and counted");
}

static void
refuses(int r, const char *says, const char *what)
{
	ok(r < 0 && strstr(e.msg, says), "%s: %s", what, e.msg);
	gv_error_clear(&e);
}

static void
test_bad(void)
{
	struct gv_policy_law w = gv_policy_law(GV_GRPO);
	double reward[3] = {1, NAN, 0}, a[3];
	const size_t at[2] = {0, 3}, one[3] = {0, 2, 3};
	float logp[2] = {-1, -2}, old[2] = {-1, -2000}, g[2];
	struct gv_policy_sample s = {2, logp, NULL, NULL, NULL, -1};
	struct gv_policy_sums u = {0}, was = u;

	refuses(gv_policy_advantages(&w, reward, at, 1, a, &e), "sample 1",
	    "a reward that is NaN");
	reward[1] = 0;
	refuses(gv_policy_advantages(&w, reward, one, 2, a, &e), "group 1",
	    "a group of one");
	logp[1] = NAN;
	refuses(gv_policy_grad(&w, &s, 1, 2, g, &u, &e), "log-probability",
	    "a log-probability that is NaN");
	logp[1] = 0.5f;
	refuses(gv_policy_grad(&w, &s, 1, 2, g, &u, &e), "log-probability",
	    "a log-probability above 0");
	logp[1] = -2;
	s.old = old;
	refuses(gv_policy_grad(&w, &s, 1, 2, g, &u, &e), "finite loss",
	    "a ratio beyond all bounds");
	s.advantage = 1; /* then the clip would make it finite */
	refuses(gv_policy_grad(&w, &s, 1, 2, g, &u, &e), "finite loss",
	    "... which the clip doesn't hide");
	ok(!memcmp(&u, &was, sizeof u), "after a refusal the sums are as they "
					"were");
}

int
main(int argc, char **argv)
{
	static const char *const names[] = {"reinforce", "reinforce-loo",
	    "reinforce-batch", "grpo", "grpo-kl", "grpo-loo", "dr-grpo", "dapo",
	    "dapo-mask", "dapo-batch", "gspo", "gspo-kl", "cispo", "cispo-kl"};
	struct cases c = {0};
	size_t i;

	(void)argc;
	open_cases(&c, argv[0]);
	for (i = 0; i < sizeof names / sizeof *names; i++)
		test_case(&c, names[i]);
	close_cases(&c);
	test_without();
	test_clip();
	test_bad();
	return done();
}
