/* Models in files: fresh, saved, loaded, in part; and every fault by name. */
#include "dir.h"
#include "golden.h"

#include <errno.h>
#include <sys/stat.h>

static char root[] = "/tmp/gv-model-XXXXXX";

struct test {
	const char *argv0;
	struct gvk *k;
	struct gv_error *e;
};

static char *
below(char path[MOST_DIR], const char *name)
{
	snprintf(path, MOST_DIR, "%s/%s", root, name);
	return path;
}

static struct gv_model *
golden_model(struct test *t, const char *name, unsigned parts)
{
	char dir[MOST_DIR];
	struct gv_model *m;

	golden_dir(dir, t->argv0, name);
	must(gv_model_open(&m, t->k, dir, parts, t->e), t->e);
	return m;
}

static float *
values(struct test *t, struct gv_model *m, const struct gv_param *p)
{
	float *v = malloc(p->n * sizeof *v);

	if (!v)
		bail(p->name, "out of memory");
	gvk_get(m->s, v, (float *)m->part[p->part].w + p->at, p->n * sizeof *v);
	must(gv_model_sync(m, t->e), t->e);
	return v;
}

/* Tensors that differ in any bit, after both went through `dtype`. */
static int
differing(struct test *t, struct gv_model *a, struct gv_model *b, bool bf16)
{
	size_t i, j;
	int n = a->nparams != b->nparams;

	for (i = 0; i < a->nparams && i < b->nparams; i++) {
		float *x = values(t, a, &a->param[i]);
		float *y = values(t, b, &b->param[i]);

		for (j = 0; bf16 && j < a->param[i].n; j++)
			x[j] = gv_bf16_to_f32(gv_f32_to_bf16(x[j]));
		n += strcmp(a->param[i].name, b->param[i].name) ||
		     memcmp(x, y, a->param[i].n * sizeof *x);
		free(x);
		free(y);
	}
	return n;
}

/* ---- saving ------------------------------------------------------------- */

static void
test_round_trip(struct test *t, const char *name)
{
	struct gv_model *m = golden_model(t, name, ~0u), *back;
	char dir[MOST_DIR], path[MOST_DIR + 32];
	struct gv_st *st;
	struct gv_dir *d;
	int bf16;

	for (bf16 = 0; bf16 < 2; bf16++) {
		must(gv_dir_begin(&d, below(dir, "saved"), t->e), t->e);
		must(gv_model_save(
			 m, gv_dir_tmp(d), bf16 ? GV_BF16 : GV_F32, t->e),
		    t->e);
		must(gv_dir_commit(&d, t->e), t->e);
		must(gv_model_open(&back, t->k, dir, ~0u, t->e), t->e);
		is_int(differing(t, m, back, bf16), 0,
		    "%s: saved as %s and read: the same bits", name,
		    bf16 ? "BF16" : "F32");
		is_int(
		    memcmp(&m->cfg.text, &back->cfg.text, sizeof m->cfg.text) ||
			memcmp(&m->cfg.vision, &back->cfg.vision,
			    sizeof m->cfg.vision),
		    0, "%s: and the same configuration", name);
		gv_model_close(&back);
		snprintf(path, sizeof path, "%s/model.safetensors", dir);
		must(gv_st_open(&st, path, t->e), t->e);
		is_int((long long)gv_st_count(st), (long long)m->nparams,
		    "%s: all tensors are in the file", name);
		is_str(gv_st_meta(st, "format"), "pt",
		    "%s: marked as others expect", name);
		gv_st_close(&st);
	}
	gv_model_close(&m);
}

static void
test_save_grads(struct test *t)
{
	struct gv_model *m = golden_model(t, "avgpool", ~0u);
	const struct gv_param *p = &m->param[0];
	char path[MOST_DIR];
	struct gv_st *st;
	const struct gv_tensor *g;
	float v = 0;
	size_t i, n = 0;

	while (p->part != GV_PROJECTOR)
		p++;
	must(gv_model_train(m, 1u << GV_PROJECTOR, t->e), t->e);
	gvk_put(m->s, m->part[GV_PROJECTOR].grad + p->at + 1, &(float){0.3F},
	    sizeof v);
	must(gv_model_sync(m, t->e), t->e);
	below(path, "grads.safetensors");
	must(gv_model_save_grads(m, path, t->e), t->e);
	must(gv_st_open(&st, path, t->e), t->e);
	for (i = 0; i < m->nparams; i++)
		n += m->param[i].part == GV_PROJECTOR;
	is_int((long long)gv_st_count(st), (long long)n,
	    "gradients of the part that trains are saved, no others");
	g = gv_st_find(st, p->name);
	ok(g && g->dtype == GV_F32 && g->bytes == p->n * sizeof v,
	    "under the name of their parameter, F32");
	if (g)
		memcpy(&v, (const char *)g->data + sizeof v, sizeof v);
	near((double)v, (double)0.3F, 0, "with their values");
	gv_st_close(&st);
	gv_model_close(&m);
}

/* ---- fresh -------------------------------------------------------------- */

static struct gv_model *
fresh(struct test *t, const char *name, uint64_t seed)
{
	char dir[MOST_DIR];
	struct gv_config c;
	struct gv_model *m;

	golden_dir(dir, t->argv0, name);
	must(gv_config_open(&c, dir, t->e), t->e);
	must(gv_model_new(&m, t->k, &c, ~0u, t->e), t->e);
	must(gv_model_init(m, seed, t->e), t->e);
	return m;
}

/* Tensors whose values are not what their kind of start says. */
static int
odd_starts(struct test *t, struct gv_model *m)
{
	size_t i, j;
	int odd = 0;

	for (i = 0; i < m->nparams; i++) {
		const struct gv_param *p = &m->param[i];
		float *v = values(t, m, p);
		double n = (double)p->n, s = 0, q = 0, mean, std;

		for (j = 0; j < p->n; j++) {
			s += (double)v[j];
			q += (double)v[j] * (double)v[j];
		}
		mean = s / n;
		std = sqrt(fabs(q / n - mean * mean));
		if (p->init == GV_INIT_NORMAL)
			/* five standard errors */
			j = fabs(mean) > 5 * (double)p->std / sqrt(n) ||
			    fabs(std / (double)p->std - 1) > 5 / sqrt(2 * n);
		else
			j = fabs(mean - (p->init == GV_INIT_ONE)) > 0 ||
			    std > 0;
		if (j)
			printf("# %s: mean %g, deviation %g of %g\n", p->name,
			    mean, std, (double)p->std);
		odd += j != 0;
		free(v);
	}
	return odd;
}

/* No matrix starts as another does: each has random numbers of its own. */
static int
equal_starts(struct test *t, struct gv_model *m)
{
	size_t i, j;
	int n = 0;

	for (i = 0; i < m->nparams; i++)
		for (j = 0; j < i; j++) {
			float *x, *y;

			if (m->param[i].init != GV_INIT_NORMAL ||
			    m->param[j].init != GV_INIT_NORMAL)
				continue;
			x = values(t, m, &m->param[i]);
			y = values(t, m, &m->param[j]);
			/* their signs agree in one of 2^32 by chance */
			n += !memcmp(x, y, 8 * sizeof *x);
			free(x);
			free(y);
		}
	return n;
}

static void
test_init(struct test *t)
{
	struct gv_model *a = fresh(t, "perceiver", 7);
	struct gv_model *b = fresh(t, "perceiver", 7);
	struct gv_model *c = fresh(t, "perceiver", 8);

	is_int(odd_starts(t, a), 0, "fresh tensors start as they should");
	is_int(equal_starts(t, a), 0, "each with numbers of its own");
	is_int(differing(t, a, b, false), 0, "the same from the same seed");
	ok(differing(t, a, c, false) > 20, "others from another");
	gv_model_close(&a);
	gv_model_close(&b);
	gv_model_close(&c);
}

/* ---- parts -------------------------------------------------------------- */

static void
refused(struct test *t, int got, int want, const char *text, const char *what)
{
	ok(got == want && t->e->code == want && strstr(t->e->msg, text),
	    "refused: %s", what);
	printf("# %s\n", t->e->msg);
	gv_error_clear(t->e);
}

static float *
features(struct test *t, struct gv_model *m, const struct gv_batch *b)
{
	float *out = calloc(
	    (size_t)(b->B * m->cfg.vision.P * m->cfg.vision.C), sizeof *out);
	const struct gv_batch only = {
	    .input = b->input, .B = b->B, .image = b->image};
	struct gv_limits l = {.images = b->B};

	if (!out)
		bail("features", "out of memory");
	must(gv_model_reserve(m, &l, t->e), t->e);
	must(gv_model_vision(m, &only, GV_IN_FEATURES, out, t->e), t->e);
	return out;
}

/* How write_model() departs from the model. */
struct edit {
	const char *drop; /* this tensor is not written */
	const char *shorten; /* this one has a row less */
	const char *extra[6]; /* these are there too, of one element */
	unsigned parts; /* only tensors of these */
	size_t strip; /* bytes of their names that are left out */
};

static size_t
declare(const struct gv_model *m, const struct edit *x, struct gv_st_entry *to)
{
	size_t n = 0, i;

	for (i = 0; i < m->nparams; i++) {
		const struct gv_param *p = &m->param[i];

		if (!(x->parts & 1u << p->part) ||
		    (x->drop && !strcmp(p->name, x->drop)))
			continue;
		to[n].name = p->name + x->strip;
		to[n].dtype = GV_F32;
		to[n].rank = p->rank;
		memcpy(to[n].shape, p->shape, sizeof p->shape);
		if (x->shorten && !strcmp(p->name, x->shorten))
			to[n].shape[0]--;
		n++;
	}
	for (i = 0; i < 6 && x->extra[i]; i++, n++)
		to[n] = (struct gv_st_entry){.name = x->extra[i],
		    .dtype = GV_F32,
		    .rank = 1,
		    .shape = {1}};
	return n;
}

/* A model's tensors below root/name, with the edits. */
static char *
write_model(struct test *t, struct gv_model *m, const struct edit *x,
    const char *name, char dir[MOST_DIR])
{
	struct gv_st_entry *entry = calloc(m->nparams + 6, sizeof *entry);
	size_t n = entry ? declare(m, x, entry) : 0, i, j;
	char path[MOST_DIR + 32];
	struct gv_st_writer *w;

	below(dir, name);
	if (!n || (mkdir(dir, 0777) && errno != EEXIST))
		bail(dir, "cannot be made");
	must(gv_config_write(&m->cfg, dir, t->e), t->e);
	snprintf(path, sizeof path, "%s/model.safetensors", dir);
	must(gv_st_writer_open(&w, path, entry, n, NULL, 0, t->e), t->e);
	for (i = 0; i < n; i++) {
		size_t bytes;
		float one = 1, *v = NULL;

		for (j = 0; j < m->nparams && !v; j++)
			if (entry[i].name == m->param[j].name + x->strip)
				v = values(t, m, &m->param[j]);
		if (!gv_shape_bytes(
			GV_F32, entry[i].shape, entry[i].rank, &bytes))
			bail(entry[i].name, "has no size");
		must(gv_st_writer_data(w, v ? v : &one, bytes, t->e), t->e);
		free(v);
	}
	must(gv_st_writer_close(&w, t->e), t->e);
	free(entry);
	return dir;
}

static void
test_parts(struct test *t)
{
	struct gv_model *m = golden_model(t, "avgpool", ~0u);
	struct gv_model *part = golden_model(t, "avgpool", 1u << GV_VISION);
	char dir[MOST_DIR], path[MOST_DIR + 32];
	struct golden_batch g;
	struct gv_st *gold;
	float *x, *y;

	golden_dir(dir, t->argv0, "avgpool");
	snprintf(path, sizeof path, "%s/golden.safetensors", dir);
	must(gv_st_open(&gold, path, t->e), t->e);
	golden_batch(&g, gold, "flat");
	x = features(t, m, &g.b);
	y = features(t, part, &g.b);
	is_int(memcmp(x, y,
		   (size_t)(g.b.B * m->cfg.vision.P * m->cfg.vision.C) *
		       sizeof *x),
	    0, "a tower read without the rest gives the same features");
	free(y);
	ok(!part->part[GV_LANGUAGE].w && part->part[GV_LANGUAGE].n > 0,
	    "and has no memory for the rest");
	refused(t, gv_model_save(part, root, GV_F32, t->e), GV_ERR_MATCH,
	    "was not read", "to save a model that was read in part");
	refused(t, gv_model_train(part, 1u << GV_LANGUAGE, t->e), GV_ERR_MATCH,
	    "no language part", "to train what was not read");
	gv_model_close(&part);
	free(x);
	golden_batch_free(&g);
	gv_st_close(&gold);
	gv_model_close(&m);
}

/* config.json of a SigLIP as published, around a vision_config of ours. */
static void
write_siglip(const struct gv_model *m, const char *dir)
{
	char path[MOST_DIR + 32];
	json_t *o = json_pack("{s:s, s:O}", "model_type", "siglip",
	    "vision_config", json_object_get(m->cfg.json, "vision_config"));

	snprintf(path, sizeof path, "%s/config.json", dir);
	if (!o || json_dump_file(o, path, 0))
		bail(path, "cannot be written");
	json_decref(o);
}

/* A published SigLIP has a text tower, a pooling head and a logit scale, which
 * are passed over. */
static void
test_siglip(struct test *t)
{
	struct gv_model *m = golden_model(t, "avgpool", ~0u), *tower;
	const struct edit siglip = {.parts = 1u << GV_VISION,
	    .strip = strlen("vision_tower."),
	    .extra = {"logit_scale", "logit_bias", "text_model.head.bias",
		"vision_model.head.probe",
		"vision_model.embeddings.position_ids"}};
	char dir[MOST_DIR], path[MOST_DIR + 32];
	struct golden_batch g;
	struct gv_st *gold;
	float *x, *y;

	write_model(t, m, &siglip, "siglip", dir);
	write_siglip(m, dir);
	must(gv_model_open(&tower, t->k, dir, ~0u, t->e), t->e);
	golden_dir(dir, t->argv0, "avgpool");
	snprintf(path, sizeof path, "%s/golden.safetensors", dir);
	must(gv_st_open(&gold, path, t->e), t->e);
	golden_batch(&g, gold, "flat");
	x = features(t, m, &g.b);
	y = features(t, tower, &g.b);
	is_int(memcmp(x, y,
		   (size_t)(g.b.B * m->cfg.vision.P * m->cfg.vision.C) *
		       sizeof *x),
	    0, "a SigLIP of its own gives the features of the tower");
	free(x);
	free(y);
	golden_batch_free(&g);
	gv_st_close(&gold);
	gv_model_close(&tower);
	gv_model_close(&m);
}

/* ---- faults ------------------------------------------------------------- */

static void
test_faults(struct test *t)
{
	static const struct {
		const char *model, *what;
		struct edit x;
		const char *text; /* of the message; NULL: it is read */
	} fault[] = {
	    {"tied", "a tensor that is missing",
		{.drop = "model.layers.1.mlp.up_proj.weight"},
		"tensor 'model.layers.1.mlp.up_proj.weight' (36,24) is "
		"missing"},
	    {"perceiver", "latents that are missing",
		{.drop = "resampler.latents"},
		"tensor 'resampler.latents' (5,24) is missing"},
	    {"untied", "a head that is missing where it is not tied",
		{.drop = "lm_head.weight"},
		"tensor 'lm_head.weight' (47,20) is missing"},
	    {"untied", "a tensor of another shape",
		{.shorten = "model.norm.weight"},
		"tensor 'model.norm.weight' is (19), config.json asks for "
		"(20)"},
	    {"none", "a convolution of another shape",
		{.shorten = "vision_tower.vision_model.embeddings."
			    "patch_embedding.weight"},
		"is (19,3,4,4), config.json asks for (20,3,4,4)"},
	    {"none", "a tensor of an unused layer that is missing",
		{.drop = "vision_tower.vision_model.encoder.layers.2."
			 "mlp.fc1.bias"},
		"layers.2.mlp.fc1.bias' (28) is missing"},
	    {"tied", "a tensor that nobody knows",
		{.extra = {"model.layers.2.mlp.up_proj.weight"}},
		"unexpected tensor 'model.layers.2.mlp.up_proj.weight'"},
	    {"avgpool", "a tensor without the prefix of its part",
		{.extra = {"projector.fc3.weight"}},
		"unexpected tensor 'projector.fc3.weight'"},
	    {"tied", "a tied head's copy of another shape",
		{.extra = {"lm_head.weight"}},
		"tensor 'lm_head.weight' is (1), config.json asks for (53,24)"},
	    {"tied", "rotary tables",
		{.extra = {"model.layers.0.self_attn.rotary_emb.inv_freq"}},
		NULL},
	};
	struct gv_model *none;
	char dir[MOST_DIR];
	size_t i;

	for (i = 0; i < sizeof fault / sizeof *fault; i++) {
		struct gv_model *m = golden_model(t, fault[i].model, ~0u);
		struct gv_model *back = NULL;
		struct edit x = fault[i].x;
		int r;

		x.parts = ~0u;
		write_model(t, m, &x, fault[i].model, dir);
		r = gv_model_open(&back, t->k, dir, ~0u, t->e);
		if (fault[i].text) {
			refused(
			    t, r, GV_ERR_MATCH, fault[i].text, fault[i].what);
		} else {
			must(r, t->e);
			is_int(differing(t, m, back, false), 0, "read: %s",
			    fault[i].what);
			gv_model_close(&back);
		}
		gv_model_close(&m);
	}
	refused(t, gv_model_open(&none, t->k, below(dir, "nowhere"), ~0u, t->e),
	    GV_ERR_SYS, "nowhere/config.json", "a directory that is not there");
}

int
main(int argc, char **argv)
{
	static const char *const names[] = {
	    "tied", "untied", "avgpool", "perceiver", "none"};
	struct gv_error e = {0};
	struct test t = {.argv0 = argc ? argv[0] : "", .e = &e};
	size_t i;

	if (!mkdtemp(root))
		bail(root, "cannot be made");
	must(gv_backend_open(&t.k, "cpu", 0, &e), &e);
	for (i = 0; i < sizeof names / sizeof *names; i++)
		test_round_trip(&t, names[i]);
	test_save_grads(&t);
	test_init(&t);
	test_parts(&t);
	test_siglip(&t);
	test_faults(&t);
	gvk_close(&t.k);
	must(gv_remove_tree(root, &e), &e);
	return done();
}
