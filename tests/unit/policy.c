/* Steps on groups of samples: the gradient against one computed sample by
 * sample, however the samples are dealt into micro-batches; what a step drops,
 * refuses and reports; and a run that goes on.
 */
#include "dir.h"
#include "golden.h"
#include "groups.h"
#include "model_priv.h"
#include "plan.h"
#include "train.h"

#define GROUPS  5
#define MOST    4 /* samples of a group */
#define PROMPT  10
#define LONGEST 18 /* prompt and sample */
#define SAME    2 /* the group whose rewards are equal */

static struct gv_error e;
static char dir[MOST_DIR], path[] = "/tmp/gv-policy-XXXXXX", run[64];
static struct gvk *k;

/* ---- the stream ---------------------------------------------------------- */

struct sample {
	int32_t token[LONGEST];
	uint8_t mask[LONGEST];
	float logp[LONGEST], ref[LONGEST];
	int64_t T;
	double reward;
};

static struct sample samples[GROUPS][MOST];
static const int sizes[GROUPS] = {4, 2, 3, 4, 3};

/* Something like noise, the same everywhere. */
static double
noise(unsigned i)
{
	i = i * 2654435761u + 12345;
	i ^= i >> 15;
	i *= 2246822519u;
	i ^= i >> 13;
	return (double)(i % 10007) / 10007;
}

static void
make_samples(void)
{
	int g, d, t;

	for (g = 0; g < GROUPS; g++)
		for (d = 0; d < sizes[g]; d++) {
			struct sample *s = &samples[g][d];
			unsigned at = (unsigned)(1000 * g + 100 * d);

			s->T = PROMPT + 3 + (g + 2 * d) % 6;
			s->reward =
			    g == SAME ? 1 : (double)(float)noise(at + 99);
			for (t = 0; t < s->T; t++) {
				unsigned from =
				    t < PROMPT ? (unsigned)(1000 * g) : at;

				s->token[t] =
				    (int32_t)(16 * noise(from + (unsigned)t));
				/* one token that a tool forced */
				s->mask[t] = t >= PROMPT && t != PROMPT + 1;
				s->logp[t] =
				    (float)(-2 -
					    1.5 * noise(at + 50 + (unsigned)t));
				s->ref[t] = s->logp[t] - 0.3f;
			}
		}
}

/* What the stream of a test has that is wrong or odd. */
struct odd {
	bool nan, alone, no_size, flat;
	int64_t policy, group;
};

static void
write_sample(struct gv_writer *w, int g, int d, const struct odd *odd)
{
	const struct sample *s = &samples[g][d];
	float reward = odd->nan && g == 1 ? NAN : (float)s->reward;
	json_t *parts = odd->flat ? json_string("exact")
				  : json_pack("{s:f}", "exact", s->reward);

	must(gv_writer_begin(w, "", &e), &e);
	must(gv_writer_tensor(w, "tokens", 1, &s->T, s->token, &e), &e);
	must(gv_writer_tensor(w, "loss_mask", 1, &s->T, s->mask, &e), &e);
	must(gv_writer_tensor(w, "logp", 1, &s->T, s->logp, &e), &e);
	must(gv_writer_tensor(w, "logp_ref", 1, &s->T, s->ref, &e), &e);
	must(gv_writer_tensor(w, "reward", 0, NULL, &reward, &e), &e);
	must(gv_writer_json(w, "rewards", parts, &e), &e);
	must(gv_writer_int(w, "group", odd->group + g, &e), &e);
	must(gv_writer_int(w, "sample", d, &e), &e);
	must(gv_writer_int(w, "policy", odd->policy, &e), &e);
	if (!odd->no_size)
		must(gv_writer_int(w, "group_size", sizes[g], &e), &e);
	must(gv_writer_end_rec(w, &e), &e);
	json_decref(parts);
}

static void
write_stream(const struct odd *odd)
{
	static const char *const plain[] = {
	    "rewards", "group", "sample", "policy", "group_size"};
	struct gv_schema s;
	struct gv_writer *w;
	struct gv_out *o;
	int g, d, i;

	must(gv_schema_init(&s, "samples", &e), &e);
	must(gv_schema_field(&s, "tokens", "I32 (T)", "", &e), &e);
	must(gv_schema_field(&s, "loss_mask", "U8 (T)", "", &e), &e);
	must(gv_schema_field(&s, "logp", "F32 (T)", "nat", &e), &e);
	must(gv_schema_field(&s, "logp_ref", "F32 (T)", "nat", &e), &e);
	must(gv_schema_field(&s, "reward", "F32 ()", "", &e), &e);
	for (i = 0; i < 5 - odd->no_size; i++)
		must(gv_schema_field(&s, plain[i], "plain", "", &e), &e);
	must(gv_out_open(&o, path, true, true, &e), &e);
	must(gv_writer_open(&w, o, &s, &e), &e);
	for (g = 0; g < GROUPS; g++)
		for (d = 0; d < sizes[g]; d++)
			if (!odd->alone || g != 1 || d == 0)
				write_sample(w, g, d, odd);
	must(gv_writer_close(&w, 0, &e), &e);
	must(gv_out_commit(&o, &e), &e);
	gv_schema_free(&s);
}

/* ---- a trainer ----------------------------------------------------------- */

struct test {
	struct gv_reader *in;
	struct gv_model *m, *ref;
	struct gv_train *t;
};

static struct gv_train_law
law_of(enum gv_objective objective)
{
	struct gv_train_law w = {.batch = GROUPS,
	    .micro_tokens = 256,
	    .micro_images = 1,
	    .max_length = LONGEST,
	    .keep = 2};

	w.optim.lr[GV_LANGUAGE] = 1e-3;
	w.optim.beta1 = 0.9;
	w.optim.beta2 = 0.95;
	w.optim.eps = 1e-8;
	w.schedule.kind = GV_CONSTANT;
	w.schedule.total = 100;
	w.policy.law = gv_policy_law(objective);
	w.policy.minibatches = w.policy.epochs = 1;
	return w;
}

static int
begin(struct test *x, struct gv_train_law *w, bool ref)
{
	memset(x, 0, sizeof *x);
	must(gv_reader_open(&x->in, path, &e), &e);
	must(gv_model_open(&x->m, k, dir, ~0u, &e), &e);
	if (ref)
		must(gv_model_open(&x->ref, k, dir, ~0u, &e), &e);
	w->policy.ref = x->ref;
	must(gv_model_train(x->m, 1u << GV_LANGUAGE, &e), &e);
	return gv_train_open(&x->t, x->m, x->in, w, &e);
}

static void
end(struct test *x)
{
	gv_train_close(&x->t);
	gv_model_close(&x->m);
	gv_model_close(&x->ref);
	gv_reader_close(&x->in);
	gv_error_clear(&e);
}

/* ---- the gradient -------------------------------------------------------- */

/* A batch of one sample; `out` and `target` are its trained positions. */
static void
batch_of(const struct sample *s, struct gv_batch *b, int32_t pos[LONGEST],
    int32_t q_at[2], int32_t out[LONGEST], int32_t target[LONGEST])
{
	int32_t t;

	memset(b, 0, sizeof *b);
	q_at[0] = 0;
	q_at[1] = (int32_t)s->T;
	for (t = 0; t < s->T; t++) {
		pos[t] = t;
		if (t + 1 < s->T && s->mask[t + 1]) {
			out[b->M] = t;
			target[b->M++] = s->token[t + 1];
		}
	}
	b->N = s->T;
	b->id = s->token;
	b->pos = pos;
	b->S = 1;
	b->q_at = q_at;
	b->max_q = b->max_k = (int32_t)s->T;
	b->out = out;
	b->target = target;
}

/* Adds the gradient of one sample: the same definition, another way there. */
static void
add_sample(struct gv_model *m, const struct gv_policy_run *p,
    const struct sample *s, double A, int64_t n, int64_t T,
    struct gv_policy_sums *sums)
{
	int32_t pos[LONGEST], q_at[2], out[LONGEST], target[LONGEST];
	float logp[LONGEST], old[LONGEST], ref[LONGEST], g[LONGEST];
	struct gv_policy_sample x = {0};
	struct gv_batch b;
	int64_t i;

	batch_of(s, &b, pos, q_at, out, target);
	for (i = 0; i < b.M; i++) {
		old[i] = s->logp[out[i] + 1];
		ref[i] = s->ref[out[i] + 1];
	}
	must(gv_model_loss(m, &b, false, logp, NULL, &e), &e);
	x.n = (size_t)b.M;
	x.logp = logp;
	x.old = p->old == GV_OLD_SAMPLER ? old : NULL;
	x.drawn = p->old == GV_OLD_SAMPLER ? NULL : old;
	x.ref = p->law.kl != 0 ? (p->ref ? logp : ref) : NULL;
	x.advantage = A;
	must(gv_policy_grad(&p->law, &x, n, T, g, sums, &e), &e);
	b.g = g;
	must(gv_model_loss(m, &b, true, logp, NULL, &e), &e);
}

/* The gradient of all groups but `drop` (-1: of all), sample by sample. */
static float *
plain_gradient(
    const struct gv_policy_run *p, int drop, struct gv_policy_sums *sums)
{
	struct gv_limits l = {.backward = true,
	    .tokens = LONGEST,
	    .seqs = 1,
	    .outs = LONGEST,
	    .max_q = LONGEST,
	    .max_k = LONGEST};
	double reward[GROUPS * MOST], A[GROUPS * MOST];
	size_t at[GROUPS + 1] = {0}, n = 0, groups = 0;
	int64_t T = 0;
	struct gv_model *m;
	float *grad;
	int g, d, t;

	must(gv_model_open(&m, k, dir, ~0u, &e), &e);
	must(gv_model_train(m, 1u << GV_LANGUAGE, &e), &e);
	must(gv_model_reserve(m, &l, &e), &e);
	for (g = 0; g < GROUPS; g++) {
		if (g == drop)
			continue;
		for (d = 0; d < sizes[g]; d++) {
			reward[n++] = samples[g][d].reward;
			for (t = 0; t < samples[g][d].T; t++)
				T += samples[g][d].mask[t];
		}
		at[++groups] = n;
	}
	must(gv_policy_advantages(&p->law, reward, at, groups, A, &e), &e);
	memset(sums, 0, sizeof *sums);
	n = 0;
	for (g = 0; g < GROUPS; g++)
		for (d = 0; g != drop && d < sizes[g]; d++, n++)
			add_sample(m, p, &samples[g][d], A[n],
			    (int64_t)at[groups], T, sums);
	grad = malloc(m->part[GV_LANGUAGE].n * sizeof *grad);
	if (!grad)
		bail("gradient", "out of memory");
	memcpy(grad, m->part[GV_LANGUAGE].grad,
	    m->part[GV_LANGUAGE].n * sizeof *grad);
	gv_model_close(&m);
	return grad;
}

static void
same_gradient(struct gv_train_law w, bool ref, int drop, const char *what)
{
	struct gv_policy_sums sums;
	struct gv_train_step s;
	struct test x;
	float *want;

	must(begin(&x, &w, ref), &e);
	w.policy.ref = x.ref;
	want = plain_gradient(&w.policy, drop, &sums);
	is_int(gv_train_grads(x.t, &s, &e), 1, "%s: a step", what);
	within(distance(x.m->part[GV_LANGUAGE].grad, want,
		   x.m->part[GV_LANGUAGE].n, 1e-12),
	    2e-6, what, "gradient");
	near(s.policy.loss, sums.loss, 1e-6, "%s: loss", what);
	is_int(s.tokens, sums.tokens, "%s: tokens", what);
	is_int(s.policy.dropped, drop >= 0, "%s: dropped groups", what);
	free(want);
	end(&x);
}

/* What is planned for the reference is what it takes. */
static void
test_plan(void)
{
	struct gv_train_law w = law_of(GV_GRPO);
	struct gv_plan p;
	struct test x;

	write_stream(&(struct odd){0});
	w.policy.law.kl = 0.1;
	w.recompute = true; /* which is not for the reference */
	must(begin(&x, &w, true), &e);
	must(gv_plan(x.m, 1u << GV_LANGUAGE, &w, &p, &e), &e);
	is_int((long long)p.reference_activations,
	    (long long)x.ref->priv->block_bytes,
	    "the reference's activations are planned");
	is_int((long long)p.activations, (long long)x.m->priv->block_bytes,
	    "as are the model's");
	is_int((long long)p.reference_weights, (long long)p.weights,
	    "and its weights");
	end(&x);
}

static void
test_gradients(void)
{
	struct gv_train_law w = law_of(GV_GRPO);

	write_stream(&(struct odd){0});
	same_gradient(w, false, -1, "grpo");
	w.micro_tokens = 40; /* groups that don't fit are cut in halves */
	same_gradient(w, false, -1, "grpo, small batches");
	w.policy.law.kl = 0.1;
	same_gradient(w, false, -1, "grpo, reference of records");
	same_gradient(w, true, -1, "grpo, reference of a model");
	w = law_of(GV_REINFORCE);
	same_gradient(w, false, -1, "reinforce");
	w = law_of(GV_DAPO);
	w.batch = GROUPS - 1;
	w.policy.drop_equal = true;
	same_gradient(w, false, SAME, "dapo, dropping");
	w = law_of(GV_GSPO);
	w.policy.old = GV_OLD_TRAINER;
	w.policy.law.correct = GV_CORRECT_TRUNCATE;
	same_gradient(w, false, -1, "gspo, corrected");
	w = law_of(GV_CISPO);
	write_stream(&(struct odd){.no_size = true});
	same_gradient(w, false, -1, "cispo, group sizes untold");
}

/* ---- steps --------------------------------------------------------------- */

static void
test_step(void)
{
	struct gv_train_law w = law_of(GV_GRPO);
	struct gv_train_step s;
	double sum = 0;
	struct test x;
	int g, d;

	write_stream(&(struct odd){0});
	w.policy.minibatches = 2;
	w.policy.epochs = 3;
	w.policy.old = GV_OLD_TRAINER;
	must(begin(&x, &w, false), &e);
	is_int(gv_train_step(x.t, &s, &e), 1, "a step of all groups");
	for (g = 0; g < GROUPS; g++)
		for (d = 0; d < sizes[g]; d++)
			sum += samples[g][d].reward / 16;
	near(s.policy.reward, sum, 1e-12, "its mean reward");
	near(json_number_value(json_object_get(s.policy.parts, "exact")), sum,
	    1e-9, "... also by its parts");
	is_int(s.policy.updates, 6, "two minibatches, three epochs");
	is_int(s.policy.groups, GROUPS, "groups");
	is_int(s.policy.samples, 16, "samples");
	is_int((long long)s.records, 16, "records of the input");
	ok(s.policy.ratio > 1.0001, "after an update ratios move");
	ok(s.policy.gap > 0.1, "the recorded numbers are not the model's");
	ok(s.policy.entropy > 1, "entropy is measured");
	is_int(gv_train_step(x.t, &s, &e), 0, "then the input has ended");
	is_int(gv_train_drain(x.t, &e), 0, "... where it should");
	end(&x);
}

static void
refuses(struct gv_train_law w, const struct odd *odd, const char *says,
    const char *what)
{
	struct gv_train_step s;
	struct test x;
	int r;

	write_stream(odd);
	r = begin(&x, &w, false);
	if (!r)
		r = gv_train_step(x.t, &s, &e);
	ok(r < 0 && strstr(e.msg, says), "%s: %s", what, e.msg);
	end(&x);
}

static void
test_bad(void)
{
	struct gv_train_law w = law_of(GV_GRPO), lag = w, no = w;

	refuses(w, &(struct odd){.nan = true}, "reward is not a finite number",
	    "a reward that is no number");
	refuses(w, &(struct odd){.alone = true, .no_size = true},
	    "group 1 has only one sample", "a group of one");
	refuses(w, &(struct odd){.policy = 3}, "newer",
	    "samples of weights to come");
	refuses(w, &(struct odd){.policy = -3}, "3 behind",
	    "samples of old weights");
	refuses(w, &(struct odd){.policy = INT64_MIN}, "field 'policy'",
	    "a policy that is no version");
	refuses(w, &(struct odd){.group = INT64_MAX - GROUPS}, "field 'group'",
	    "a group beyond all counts");
	refuses(w, &(struct odd){.flat = true}, "'rewards' is not a map",
	    "parts of a reward without names");
	w.max_length = LONGEST - 2;
	refuses(w, &(struct odd){0}, "--max-length", "a longer sequence");
	lag.policy.max_lag = 3;
	lag.policy.law.kl = 0.1;
	lag.batch = 100;
	write_stream(&(struct odd){.policy = -3});
	{
		struct gv_train_step s;
		struct test x;

		must(begin(&x, &lag, false), &e);
		is_int(gv_train_step(x.t, &s, &e), 1, "a lag that is allowed");
		near(s.policy.lag, 3, 0, "... and reported");
		ok(s.policy.kl > 0, "the divergence is reported, too");
		end(&x);
	}
	no.policy.drop_equal = true;
	no.batch = 1;
	for (int g = 0; g < GROUPS; g++)
		for (int d = 0; d < sizes[g]; d++)
			samples[g][d].reward = 0.5;
	write_stream(&(struct odd){0});
	{
		struct gv_train_step s;
		struct test x;

		must(begin(&x, &no, false), &e);
		is_int(gv_train_step(x.t, &s, &e), 0,
		    "nothing but equal groups is the end of the input");
		end(&x);
	}
	make_samples();
}

/* The weights after `steps` steps, the run being stopped after `stop`. */
static float *
weights_after(int steps, int stop, size_t *n)
{
	struct gv_train_law w = law_of(GV_GRPO);
	struct gv_train_step s;
	json_t *args = json_object();
	char warning[256];
	struct test x;
	float *v;
	int i;

	w.batch = 1;
	w.policy.minibatches = 1;
	w.policy.epochs = 2;
	w.policy.max_lag = -1;
	must(begin(&x, &w, false), &e);
	for (i = 0; i < steps; i++) {
		if (i == stop) {
			must(gv_train_save(x.t, run, args, dir, &e), &e);
			end(&x);
			must(begin(&x, &w, false), &e);
			is_int(gv_train_resume(
				   x.t, run, args, warning, sizeof warning, &e),
			    1, "resumed after %d steps", stop);
		}
		is_int(gv_train_step(x.t, &s, &e), 1, "step %d", i + 1);
	}
	*n = x.m->part[GV_LANGUAGE].n;
	v = malloc(*n * sizeof *v);
	if (!v)
		bail("weights", "out of memory");
	memcpy(v, x.m->part[GV_LANGUAGE].w, *n * sizeof *v);
	json_decref(args);
	end(&x);
	return v;
}

static void
test_resume(void)
{
	size_t n, m;
	float *a, *b;

	write_stream(&(struct odd){0});
	a = weights_after(4, -1, &n);
	b = weights_after(4, 2, &m);
	ok(n == m && !memcmp(a, b, n * sizeof *a),
	    "a resumed run has the same bits, with two updates a step");
	free(a);
	free(b);
}

int
main(int argc, char **argv)
{
	char err[256];
	int fd;

	(void)argc;
	golden_dir(dir, argv[0], "untied");
	if (gvk_open("cpu", 2, &k, err, sizeof err))
		bail("backend", err);
	fd = mkstemp(path);
	if (fd < 0)
		bail(path, "cannot be made");
	close(fd);
	snprintf(run, sizeof run, "%s.run", path);
	make_samples();
	test_gradients();
	test_plan();
	test_step();
	test_bad();
	test_resume();
	unlink(path);
	must(gv_dir_remove(run, &e), &e);
	gvk_close(&k);
	return done();
}
