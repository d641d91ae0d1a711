/* Every family on the device: where storage is BF16, logits and gradients are
 * no further from what transformers' own classes compute in F64 than 1.5 times
 * what PyTorch's BF16 is.  tests/golden/make_family.py measured that.
 *
 *	family.t [SEED [DEVICE]]
 *
 * There is nothing random here; the seed is for likeness with its neighbours.
 */
#include "../unit/parity.h"

#define SHARE 1.5

static const char *const families[] = {"qwen2", "qwen2-yarn", "qwen3",
    "qwen3-64", "llama2", "llama3", "smollm2", "llama-linear", "mistral",
    "nanochat", "llava", "llava-siglip", "idefics2", "idefics3", "smolvlm",
    "ghost-shuffle", "ghost-qwen3", "ghost-nano"};

static void
judge(const char *name, const char *what, double err, double peer)
{
	ok(err <= SHARE * peer, "%s: %s: %.2e, PyTorch's BF16 %.2e", name, what,
	    err, peer);
}

static double
logits_error(struct parity *p, int gone)
{
	size_t n = (size_t)(p->b.b.M * p->m->cfg.text.V), i;
	float *v = parity_logits(p);
	double d;

	for (i = 0; gone && i < n; i += (size_t)gone)
		v[i] = 0;
	d = parity_error(p, "logits", v);
	free(v);
	return d;
}

static void
check_family(struct gvk *k, const char *name, const char *argv0)
{
	const struct fixture f = {.name = name};
	struct parity p;
	const char *whose;
	double all;
	float *peer;

	parity_open(&p, &f, k, argv0);
	golden_batch(&p.b, p.gold, "flat");
	parity_reserve(&p);
	peer = golden_get(p.gold, "bf16", GV_F32, NULL);
	judge(name, "logits", logits_error(&p, 0), (double)peer[0]);
	ok(!(logits_error(&p, 10) <= SHARE * (double)peer[0]),
	    "%s: logits of which a tenth is gone are refused", name);
	gv_model_zero_grad(p.m);
	parity_loss(&p, true);
	parity_gradients(&p, &all, &whose);
	judge(name, "all gradients", all, (double)peer[1]);
	gv_model_zero_grad(p.m);
	parity_gradients(&p, &all, &whose);
	ok(!(all <= SHARE * (double)peer[1]),
	    "%s: gradients that are zero are refused", name);
	free(peer);
	parity_close(&p);
}

int
main(int argc, char **argv)
{
	struct gv_error e = {0};
	struct gvk *k;
	size_t i;

	must(gv_backend_open(&k, argc > 2 ? argv[2] : "cpu", 1, &e), &e);
	printf("# %s\n", gvk_name(k));
	for (i = 0; i < sizeof families / sizeof *families; i++)
		check_family(k, families[i], argc ? argv[0] : "");
	gvk_close(&k);
	return done();
}
