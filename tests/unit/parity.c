/* Every family that we read against transformers' own classes: hidden states,
 * logits, loss, every gradient, ten training steps and greedy text, from the
 * files that save_pretrained() wrote; and that a wrong weight or a wrong value
 * in config.json shows.
 */
#include "parity.h"

#define STEPS 10

static const struct fixture fixtures[] = {
    {"qwen2", 1.5e-6, 1.3e-6, 1.5e-7, 1.4e-5, 5.9e-5,
	"rope_parameters.rope_theta", "900000.0"},
    {"qwen2-yarn", 1.4e-6, 1.9e-6, 2.2e-7, 7.8e-6, 6.5e-5,
	"rope_parameters.factor", "4.5"},
    {"qwen3", 1.3e-6, 1.7e-6, 2.4e-7, 6.2e-6, 6.3e-5, "rms_norm_eps", "1e-4"},
    {"qwen3-64", 0, 1.9e-6, 9.2e-8, 3.9e-6, 5.0e-5, "rms_norm_eps", "1e-4"},
    {"llama2", 9.4e-7, 1.6e-6, 2.5e-7, 3.4e-6, 6.3e-5,
	"rope_parameters.rope_theta", "11000.0"},
    {"llama3", 1.3e-6, 1.6e-6, 1.3e-7, 5.1e-6, 5.6e-5,
	"rope_parameters.high_freq_factor", "4.1"},
    {"smollm2", 8.7e-7, 1.2e-6, 6.2e-8, 3.9e-6, 5.4e-5, "rms_norm_eps", "2e-5"},
    {"llama-linear", 1.4e-6, 1.7e-6, 1.9e-7, 5.3e-6, 5.8e-5,
	"rope_parameters.factor", "4.1"},
    {"mistral", 1.5e-6, 2.1e-6, 2.0e-7, 6.2e-6, 5.4e-5, "rms_norm_eps", "2e-5"},
    {"nanochat", 8.0e-7, 1.2e-6, 2.1e-7, 2.8e-6, 1.2e-5,
	"final_logit_softcapping", "2.6"},
    {"llava", 1.2e-6, 1.4e-6, 4.9e-8, 5.7e-6, 1.0e-4, "vision_feature_layer",
	"-3"},
    {"llava-siglip", 1.4e-6, 1.4e-6, 2.7e-7, 9.3e-6, 1.0e-4,
	"vision_config.layer_norm_eps", "1e-4"},
    {"idefics3", 1.6e-6, 2.0e-6, 3.6e-7, 1.1e-5, 1.0e-4,
	"vision_config.hidden_act", "\"gelu\""},
    {"smolvlm", 1.9e-6, 2.2e-6, 1.2e-7, 8.4e-6, 1.0e-4,
	"text_config.rms_norm_eps", "2e-5"},
    {"ghost-shuffle", 1.4e-6, 2.6e-6, 1.6e-7, 8.4e-6, 1.0e-4,
	"vision_feature_layer", "-3"},
    {"ghost-qwen3", 1.9e-6, 2.1e-6, 2.0e-7, 1.8e-5, 1.0e-4,
	"text_config.rms_norm_eps", "2e-5"},
    {"ghost-nano", 1.2e-6, 1.1e-6, 8.4e-8, 6.0e-6, 1.0e-4,
	"text_config.final_logit_softcapping", "3.1"},
    {"idefics2", 3.3e-6, 4.0e-6, 2.4e-7, 1.7e-5, 1.0e-4,
	"perceiver_config.rms_norm_eps", "1e-4"},
};

/* ---- forward and backward ------------------------------------------------ */

static void
test_images(struct parity *p)
{
	const struct gv_config *c = &p->m->cfg;
	size_t n = (size_t)(p->b.b.B * c->vision.P * c->vision.C);
	size_t r = (size_t)(p->b.b.B * c->R * c->text.C);
	float *out = floats(n > r ? n : r);

	must(gv_model_vision(p->m, &p->b.b, GV_IN_FEATURES, out, &p->e), &p->e);
	within(parity_error(p, "features", out), p->f->hidden, "features",
	    p->f->name);
	must(gv_model_vision(p->m, &p->b.b, GV_IN_EMBEDS, out, &p->e), &p->e);
	within(
	    parity_error(p, "embeds", out), p->f->hidden, "embeds", p->f->name);
	free(out);
}

static void
test_forward(struct parity *p)
{
	const struct fixture *f = p->f;
	float *got = parity_logits(p), *want;
	double loss;

	within(parity_error(p, "logits", got), f->logits, "logits", f->name);
	free(got);
	loss = parity_loss(p, false);
	want = golden_get(p->gold, "loss", GV_F32, NULL);
	within(fabs(loss / (double)*want - 1), f->loss, "loss", f->name);
	free(want);
	within(parity_layers(p, "hidden", p->m->cfg.text.L, decoder_input),
	    f->hidden, "hidden states", f->name);
	if (p->b.b.B) {
		within(parity_layers(
			   p, "vision", p->m->cfg.vision.layer, tower_input),
		    f->hidden, "the tower's hidden states", f->name);
		test_images(p);
	}
}

static void
test_backward(struct parity *p)
{
	const char *whose;
	double all, worst;

	gv_model_zero_grad(p->m);
	parity_loss(p, true);
	worst = parity_gradients(p, &all, &whose);
	within(worst, p->f->grad, "every gradient", p->f->name);
	printf("#   worst: %s; all together %.2e\n", whose, all);
}

/* The batch in another packing: sequences share the rows that they begin with.
 */
static void
test_shared(struct parity *p)
{
	const char *whose;
	double all, worst;
	float *got;

	golden_batch_free(&p->b);
	golden_batch(&p->b, p->gold, "shared");
	parity_reserve(p);
	got = parity_logits(p);
	within(parity_error(p, "logits", got), p->f->logits, "shared logits",
	    p->f->name);
	free(got);
	parity_loss(p, true);
	worst = parity_gradients(p, &all, &whose);
	within(worst, p->f->grad, "shared gradients", p->f->name);
	printf("#   worst: %s; all together %.2e\n", whose, all);
}

/* ---- ten steps ----------------------------------------------------------- */

static float
number(const struct parity *p, const char *name, size_t i)
{
	float *v = golden_get(p->gold, name, GV_F32, NULL), x = v[i];

	free(v);
	return x;
}

/* The parameters as they are: a copy a part. */
static void
copy_parts(struct parity *p, float *to[GV_PARTS])
{
	int i;

	for (i = 0; i < GV_PARTS; i++)
		to[i] = fetch(p, p->m->part[i].w, GVK_F32, p->m->part[i].n);
}

static void
free_parts(float *v[GV_PARTS])
{
	int i;

	for (i = 0; i < GV_PARTS; i++)
		free(v[i]);
}

/* What the steps have moved against what torch's have; the worst tensor.  But
 * for biases of keys: softmax is blind to them, save for what rotation makes
 * of them, and AdamW divides what is left by its own size. */
static double
moved(struct parity *p, float *was[GV_PARTS], const char **whose)
{
	double worst = 0, d;
	float *now[GV_PARTS];
	size_t i, j;

	*whose = "";
	copy_parts(p, now);
	for (i = 0; i < p->m->nparams; i++) {
		const struct gv_param *x = &p->m->param[i];
		const char *name = parity_name(p, "adam", x);
		float *v = now[x->part] + x->at;

		if (!name || strstr(x->name, "k_proj.bias"))
			continue;
		for (j = 0; j < x->n; j++)
			v[j] -= was[x->part][x->at + j];
		d = parity_error(p, name, v);
		if (!(d <= worst)) {
			worst = d;
			*whose = x->name;
		}
	}
	free_parts(now);
	return worst;
}

static void
test_steps(struct parity *p)
{
	const struct gv_schedule_law s = {GV_COSINE, 3, 0, STEPS, 0};
	struct gv_optim_law law = {.state = GVK_F32};
	double loss, norm, rate, worst[3] = {0};
	const char *whose;
	float *was[GV_PARTS];
	struct gv_optim *o;
	size_t i;

	for (i = 0; i < GV_PARTS; i++)
		law.lr[i] = (double)number(p, "adam/lr", i);
	law.weight_decay = (double)number(p, "adam/law", 0);
	law.beta1 = (double)number(p, "adam/law", 1);
	law.beta2 = (double)number(p, "adam/law", 2);
	law.eps = (double)number(p, "adam/law", 3);
	law.clip = (double)number(p, "adam/law", 4);
	copy_parts(p, was);
	must(gv_optim_open(&o, p->m, &law, &p->e), &p->e);
	gv_model_zero_grad(p->m);
	for (i = 0; i < STEPS; i++) {
		loss = parity_loss(p, true);
		rate = gv_schedule_at(&s, (int64_t)i);
		must(gv_optim_step(o, rate, &norm, &p->e), &p->e);
		loss = fabs(loss / (double)number(p, "adam/loss", i) - 1);
		norm = fabs(norm / (double)number(p, "adam/norm", i) - 1);
		rate = fabs(rate - (double)number(p, "adam/rate", i));
		worst[0] = loss <= worst[0] ? worst[0] : loss;
		worst[1] = norm <= worst[1] ? worst[1] : norm;
		worst[2] = rate <= worst[2] ? worst[2] : rate;
	}
	gv_optim_close(&o);
	within(worst[0], p->f->move, "loss in ten steps", p->f->name);
	within(worst[1], p->f->move, "norm in ten steps", p->f->name);
	within(worst[2], 1e-6, "rate in ten steps", p->f->name);
	within(moved(p, was, &whose), p->f->move, "what ten steps move",
	    p->f->name);
	printf("#   worst: %s\n", whose);
	free_parts(was);
}

/* ---- text ---------------------------------------------------------------- */

/* The golden prompt, with placeholders where rows of the first image are. */
static void
prompt_of(struct parity *p, struct gv_gen_prompt *x, int32_t *token,
    int32_t *image_at, struct gv_tensor *visual)
{
	const struct gv_tensor *px = gv_st_find(p->gold, "pixels");
	size_t i;

	x->token = token;
	x->image_at = image_at;
	for (i = 0; i < x->n; i++) {
		if (token[i] >= 0)
			continue;
		if (token[i] == ~0) {
			*image_at = (int32_t)i;
			x->images = 1;
		}
		token[i] = p->m->cfg.image_token;
	}
	if (!x->images)
		return;
	*visual = *px;
	visual->shape[0] = 1;
	visual->bytes /= (size_t)px->shape[0];
	visual->data = p->b.b.image;
	x->input = GV_IN_IMAGE;
	x->visual = visual;
}

static void
test_text(struct parity *p)
{
	const struct gv_gen_law law = {
	    .top_p = 1, .group = 1, .max_tokens = 64, .rows = 1};
	struct gv_gen_prompt x = {0};
	struct gv_gen_result r;
	struct gv_tensor visual;
	struct gv_gen *g;
	int32_t image_at, *token, *want;
	size_t n, same = 0;

	token = golden_get(p->gold, "greedy/prompt", GV_I32, &x.n);
	want = golden_get(p->gold, "greedy/ids", GV_I32, &n);
	prompt_of(p, &x, token, &image_at, &visual);
	must(gv_gen_open(&g, p->m, NULL, &law, &p->e), &p->e);
	must(gv_gen_submit(g, &x, &p->e), &p->e);
	do
		must(gv_gen_step(g, &p->e), &p->e);
	while (!gv_gen_take(g, &r));
	while (same < n && same < r.sample->n &&
	       r.sample->token[same] == want[same])
		same++;
	is_int((long long)r.sample->n, (long long)n,
	    "%s: as many tokens of greedy text", p->f->name);
	is_int((long long)same, (long long)n, "%s: the same ones", p->f->name);
	printf("# %-12s %zu of %zu greedy ids\n", p->f->name, same, n);
	gv_gen_close(&g);
	free(token);
	free(want);
}

/* ---- planted faults ------------------------------------------------------ */

/* An element that results depend on: of the embedding table one in the row of
 * a token that is there. */
static size_t
element(const struct gv_param *x, const struct gv_batch *b)
{
	int64_t i = 0;

	if (!strstr(x->name, "embed_tokens"))
		return x->n / 2;
	while (b->id[i] < 0)
		i++;
	return (size_t)(b->id[i] * x->shape[1]);
}

static double
logits_error(struct parity *p)
{
	float *v = parity_logits(p);
	double d = parity_error(p, "logits", v);

	free(v);
	return d;
}

/* Moves one element of every tensor: the logits must show it, unless the
 * tensor takes no part. */
static void
test_weights(struct parity *p)
{
	int blind = 0, bound = 0;
	size_t i;

	for (i = 0; i < p->m->nparams; i++) {
		const struct gv_param *x = &p->m->param[i];
		float *at = (float *)p->m->part[x->part].w + x->at +
			    element(x, &p->b.b),
		      was = *at;
		double d;

		*at += 0.02f;
		d = logits_error(p);
		*at = was;
		if (x->used && !parity_blind(x) && !(d > p->f->logits)) {
			printf("# blind to %s: %g\n", x->name, d);
			blind++;
		}
		bound += !x->used && !(d <= p->f->logits);
	}
	is_int(blind, 0, "%s: 0.02 on one element of any tensor shows",
	    p->f->name);
	is_int(bound, 0, "%s: but not on one that is not used", p->f->name);
}

/* Sets the value at a path of keys. */
static void
set_key(json_t *o, const char *key, const char *value)
{
	const char *dot;
	char part[64];

	while ((dot = strchr(key, '.'))) {
		snprintf(part, sizeof part, "%.*s", (int)(dot - key), key);
		o = json_object_get(o, part);
		key = dot + 1;
	}
	if (!json_object_get(o, key))
		bail(key, "is not in config.json");
	json_object_set_new(o, key, json_loads(value, JSON_DECODE_ANY, NULL));
}

/* Opens the fixture with one value of its configuration changed: error() must
 * then say more than `bound`. */
static void
test_config(struct parity *p, double (*error)(struct parity *), double bound)
{
	char dir[] = "/tmp/gv-parity-XXXXXX", path[MOST_DIR + 32];
	struct gv_model *own = p->m;
	json_t *o;

	snprintf(path, sizeof path, "%s/config.json", p->dir);
	o = json_load_file(path, 0, NULL);
	if (!o || !mkdtemp(dir))
		bail(path, "cannot be copied");
	set_key(o, p->f->key, p->f->wrong);
	link_files(p->dir, dir, "config.json", false);
	snprintf(path, sizeof path, "%s/config.json", dir);
	if (json_dump_file(o, path, 0))
		bail(path, "cannot be written");
	json_decref(o);
	must(gv_model_open(&p->m, p->k, dir, ~0u, &p->e), &p->e);
	ok(error(p) > bound, "%s: '%s' of %s shows", p->f->name, p->f->key,
	    p->f->wrong);
	gv_model_close(&p->m);
	p->m = own;
	unlink(path);
	link_files(p->dir, dir, "config.json", true);
	if (rmdir(dir))
		bail(dir, "cannot be removed");
}

/* logits_error() of a model that has no memory yet. */
static double
fresh_error(struct parity *p)
{
	struct gv_limits l = limits_of(&p->b.b, false);

	must(gv_model_reserve(p->m, &l, &p->e), &p->e);
	return logits_error(p);
}

/* ---- towers alone -------------------------------------------------------- */

static const struct fixture towers[] = {
    {"siglip", 8.6e-7, 0, 0, 0, 0, "hidden_act", "\"gelu\""},
    {"siglip2", 9.4e-7, 0, 0, 0, 0, "vision_config.layer_norm_eps", "1e-5"},
    {"clip", 9.4e-7, 0, 0, 0, 0, "hidden_act", "\"gelu\""},
    {"clip-both", 9.7e-7, 0, 0, 0, 0, "vision_config.layer_norm_eps", "1e-4"},
};

static double
features_error(struct parity *p)
{
	const struct gv_tensor *px = gv_st_find(p->gold, "pixels");
	const struct gv_config *c = &p->m->cfg;
	struct gv_batch b = {.input = GV_IN_IMAGE, .B = px->shape[0]};
	struct gv_limits l = {.images = b.B};
	void *image = golden_get(p->gold, "pixels", GV_U8, NULL);
	float *out = floats((size_t)(b.B * c->vision.P * c->vision.C));
	double d;

	b.image = image;
	must(gv_model_reserve(p->m, &l, &p->e), &p->e);
	must(gv_model_vision(p->m, &b, GV_IN_FEATURES, out, &p->e), &p->e);
	d = parity_error(p, "features", out);
	free(image);
	free(out);
	return d;
}

static void
test_tower(const struct fixture *f, struct gvk *k, const char *argv0)
{
	struct parity p;

	parity_open(&p, f, k, argv0);
	within(features_error(&p), f->hidden, "features", f->name);
	test_config(&p, features_error, f->hidden);
	parity_close(&p);
}

/* ---- all of it ----------------------------------------------------------- */

static void
test_family(const struct fixture *f, struct gvk *k, const char *argv0)
{
	struct parity p;

	parity_open(&p, f, k, argv0);
	golden_batch(&p.b, p.gold, "flat");
	test_text(&p);
	parity_reserve(&p);
	test_forward(&p);
	test_backward(&p);
	test_shared(&p);
	test_weights(&p);
	test_config(&p, fresh_error, f->logits);
	test_steps(&p);
	parity_close(&p);
}

/* Names on the command line are the fixtures to test. */
static bool
asked(const char *name, int argc, char **argv)
{
	int i;

	for (i = 1; i < argc; i++)
		if (!strcmp(argv[i], name))
			return true;
	return argc < 2;
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
		if (asked(fixtures[i].name, argc, argv))
			test_family(&fixtures[i], k, argv[0]);
	for (i = 0; i < sizeof towers / sizeof *towers; i++)
		if (asked(towers[i].name, argc, argv))
			test_tower(&towers[i], k, argv[0]);
	gvk_close(&k);
	return done();
}
