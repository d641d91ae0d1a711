/* Models of BF16 files that only run forward: their weights stay BF16, and all
 * that they give has the bits of the same weights widened; when they stay so,
 * and what such a model refuses.
 */
#include "dir.h"
#include "gen.h"
#include "golden.h"

#include <dirent.h>

static char root[] = "/tmp/gv-weights-XXXXXX";
static const char *argv0;
static struct gvk *k;
static struct gv_error e;

static char *
below(char path[MOST_DIR], const char *name)
{
	snprintf(path, MOST_DIR, "%s/%s", root, name);
	return path;
}

static void *
get(size_t n, size_t size)
{
	void *p = calloc(n + 1, size);

	if (!p)
		bail("memory", "there is none");
	return p;
}

static struct gv_model *
open_model(const char *dir, unsigned parts, bool forward)
{
	struct gv_model *m;

	must(forward ? gv_model_open_forward(&m, k, dir, parts, &e)
		     : gv_model_open(&m, k, dir, parts, &e),
	    &e);
	return m;
}

static void
save(struct gv_model *m, const char *dir, enum gv_dtype dtype)
{
	struct gv_dir *d;

	must(gv_dir_begin(&d, dir, &e), &e);
	must(gv_model_save(m, gv_dir_tmp(d), dtype, &e), &e);
	must(gv_dir_commit(&d, &e), &e);
}

/* ---- what models give ---------------------------------------------------- */

/* Log-probabilities, entropies, logits and image rows of a batch. */
static float *
forward(struct gv_model *m, const struct gv_batch *b, size_t *n)
{
	size_t V = (size_t)m->cfg.text.V, M = (size_t)b->M;
	size_t rows = (size_t)(b->B * m->cfg.R * m->cfg.text.C);
	struct gv_limits l = limits_of(b, false);
	float *v, *logits;

	*n = 2 * M + M * V + rows;
	v = get(*n, sizeof *v);
	must(gv_model_reserve(m, &l, &e), &e);
	must(gv_model_loss(m, b, false, v, v + M, &e), &e);
	must(gv_model_logits(m, b, &logits, &e), &e);
	gvk_get(m->s, v + 2 * M, logits, M * V * sizeof *v);
	must(gv_model_sync(m, &e), &e);
	if (b->B)
		must(gv_model_vision(m, b, GV_IN_EMBEDS, v + 2 * M + M * V, &e),
		    &e);
	return v;
}

#define MOST 24 /* tokens of a sample */

/* A prompt continued in three samples, greedily and drawn. */
static float *
continued(struct gv_model *m, const struct gv_batch *b, size_t *n)
{
	const int32_t prompt[] = {5, 9, 6, 7, 5};
	struct gv_gen_law law = {.temperature = 0,
	    .top_p = 1,
	    .group = 3,
	    .max_tokens = MOST,
	    .rows = 3,
	    .seed = 3};
	struct gv_gen_prompt p = {.token = prompt, .n = 5};
	float *v = get(*n = 2 * 3 * 2 * MOST, sizeof *v), *to = v;
	struct gv_gen_result r;
	struct gv_gen *g;
	int32_t i;
	size_t j;

	(void)b;
	for (; to < v + *n; law.temperature = 1) {
		must(gv_gen_open(&g, m, NULL, &law, &e), &e);
		must(gv_gen_submit(g, &p, &e), &e);
		while (!gv_gen_take(g, &r))
			must(gv_gen_step(g, &e), &e);
		for (i = 0; i < law.group; i++, to += 2 * MOST)
			for (j = 0; j < r.sample[i].n; j++) {
				to[2 * j] = (float)r.sample[i].token[j];
				to[2 * j + 1] = r.sample[i].logp[j];
			}
		gv_gen_close(&g);
	}
	return v;
}

static void
same(struct gv_model *a, struct gv_model *b, const struct gv_batch *batch,
    float *(*of)(struct gv_model *, const struct gv_batch *, size_t *),
    const char *name, const char *what)
{
	size_t n, n2, i = 0;
	float *x = of(a, batch, &n), *y = of(b, batch, &n2);

	while (i < n && isfinite(x[i]))
		i++;
	ok(n == n2 && i == n && !memcmp(x, y, n * sizeof *x),
	    "%s: the same %s from BF16 as from F32", name, what);
	free(x);
	free(y);
}

/* Makes every number of the decoder, in F32, half or twice as large. */
static void
spoil(struct gv_model *m)
{
	uint32_t *w = m->part[GV_LANGUAGE].w;
	size_t i;

	for (i = 0; i < m->part[GV_LANGUAGE].n; i++)
		w[i] ^= 1u << 23;
}

static void
test_model(const char *name)
{
	char dir[MOST_DIR], bf16[MOST_DIR], path[MOST_DIR + 32];
	struct gv_model *m, *wide, *raw;
	struct golden_batch b;
	struct gv_st *gold, *st;
	float *x, *y;
	size_t n;

	golden_dir(dir, argv0, name);
	snprintf(path, sizeof path, "%s/golden.safetensors", dir);
	must(gv_st_open(&gold, path, &e), &e);
	if (!gv_st_find(gold, "flat.id")) { /* a tower alone */
		gv_st_close(&gold);
		return;
	}
	golden_batch(&b, gold, "flat");
	m = open_model(dir, ~0u, false);
	save(m, below(bf16, "bf16"), GV_BF16);
	gv_model_close(&m);
	wide = open_model(bf16, ~0u, false);
	raw = open_model(bf16, ~0u, true);
	ok(wide->wtype == GVK_F32 && raw->wtype == GVK_BF16 &&
		gvk_wtype(raw->s) == GVK_BF16,
	    "%s: weights stay BF16 where the model only runs forward", name);
	same(wide, raw, &b.b, forward, name, "logits and image rows");
	same(wide, raw, &b.b, continued, name, "text");
	x = forward(raw, &b.b, &n);
	spoil(wide);
	save(wide, bf16, GV_BF16);
	gv_model_close(&raw);
	raw = open_model(bf16, ~0u, true);
	y = forward(raw, &b.b, &n);
	ok(memcmp(x, y, n * sizeof *x), "%s: and others from others", name);
	free(x);
	free(y);
	/* into a file, and other values in the same place */
	save(raw, bf16, GV_BF16);
	gv_model_close(&wide);
	wide = open_model(bf16, ~0u, false);
	same(wide, raw, &b.b, forward, name, "logits, saved and read");
	must(gv_st_open_dir(&st, dir, &e), &e);
	must(gv_model_load(raw, st, ~0u, &e), &e);
	gv_st_close(&st);
	save(raw, bf16, GV_BF16);
	gv_model_close(&wide);
	wide = open_model(bf16, ~0u, false);
	same(wide, raw, &b.b, forward, name, "logits, read in place");
	gv_model_close(&raw);
	gv_model_close(&wide);
	golden_batch_free(&b);
	gv_st_close(&gold);
}

/* ---- when weights stay BF16 ---------------------------------------------- */

/* A copy of the model in BF16 with one tensor, of this number, in F32. */
static void
save_mixed(struct gv_model *m, const char *dir, size_t which)
{
	char path[MOST_DIR + 32], out[GV_PATH_MAX];
	struct gv_st_entry *t = get(m->nparams, sizeof *t);
	struct gv_st_writer *w;
	struct gv_st *st;
	struct gv_dir *d;
	size_t i;

	save(m, dir, GV_BF16);
	snprintf(path, sizeof path, "%s/model.safetensors", dir);
	must(gv_st_open(&st, path, &e), &e);
	must(gv_dir_begin(&d, dir, &e), &e);
	must(gv_config_write(&m->cfg, gv_dir_tmp(d), &e), &e);
	for (i = 0; i < m->nparams; i++) {
		const struct gv_param *p = &m->param[i];

		t[i].name = p->name;
		t[i].dtype = i == which ? GV_F32 : GV_BF16;
		t[i].rank = p->rank;
		memcpy(t[i].shape, p->shape, sizeof p->shape);
	}
	gv_dir_path(d, "model.safetensors", out);
	must(gv_st_writer_open(&w, out, t, m->nparams, NULL, 0, &e), &e);
	for (i = 0; i < m->nparams; i++) {
		const struct gv_tensor *v = gv_st_find(st, t[i].name);
		float *wide = get(m->param[i].n, sizeof *wide);

		must(gv_to_f32(wide, v->data, v->dtype, m->param[i].n, &e), &e);
		must(gv_st_writer_data(w, i == which ? wide : v->data,
			 m->param[i].n * gv_dtype_size(t[i].dtype), &e),
		    &e);
		free(wide);
	}
	must(gv_st_writer_close(&w, &e), &e);
	must(gv_dir_commit(&d, &e), &e);
	gv_st_close(&st);
	free(t);
}

static void
is_type(const char *dir, unsigned parts, enum gvk_dtype want, const char *what)
{
	struct gv_model *m = open_model(dir, parts, true);

	ok(m->wtype == want, "%s", what);
	gv_model_close(&m);
}

static size_t
first_of(const struct gv_model *m, enum gv_part part)
{
	size_t i = 0;

	while (m->param[i].part != part)
		i++;
	return i;
}

static void
test_types(void)
{
	const unsigned text = 1u << GV_LANGUAGE;
	char dir[MOST_DIR], mixed[MOST_DIR];
	struct gv_model *m, *raw;
	struct gv_limits l = {.tokens = 1, .seqs = 1, .outs = 1, .max_q = 1};
	size_t full, half;

	golden_dir(dir, argv0, "perceiver");
	is_type(dir, ~0u, GVK_F32, "F32 stays F32");
	m = open_model(dir, ~0u, false);
	below(mixed, "mixed");
	save_mixed(m, mixed, m->nparams - 1);
	is_type(mixed, ~0u, GVK_F32, "one tensor of F32 keeps all F32");
	save_mixed(m, mixed, first_of(m, GV_VISION));
	is_type(mixed, ~0u, GVK_F32, "in whichever part");
	is_type(mixed, text, GVK_BF16, "unless that part is not read");
	save(m, mixed, GV_BF16);
	raw = open_model(mixed, ~0u, true);
	is_int(
	    gv_model_train(raw, text, &e), GV_ERR_NOSUP, "it can't be trained");
	is_str(e.msg, "a model that was opened to run forward can't train",
	    "and says why");
	gv_error_clear(&e);
	must(gv_model_train(raw, 0, &e), &e);
	l.max_k = 1;
	must(gv_model_need(m, &l, &full, &e), &e);
	must(gv_model_need(raw, &l, &half, &e), &e);
	is_int((long long)half, (long long)full,
	    "activations take what they take otherwise");
	gv_model_close(&raw);
	gv_model_close(&m);
}

/* ---- all of it ----------------------------------------------------------- */

static void
test_families(void)
{
	char set[MOST_DIR], name[300];
	struct dirent *d;
	DIR *list;

	golden_find(set, argv0, "GV_GOLDEN_FAMILY", "family", ".");
	list = opendir(set);
	if (!list)
		bail(set, "can't be listed");
	while ((d = readdir(list)))
		if (d->d_name[0] != '.') {
			snprintf(name, sizeof name, "../family/%s", d->d_name);
			test_model(name);
		}
	closedir(list);
}

int
main(int argc, char **argv)
{
	static const char *const models[] = {
	    "tied", "untied", "avgpool", "perceiver", "none"};
	size_t i;

	argv0 = argc ? argv[0] : "";
	if (!mkdtemp(root))
		bail(root, "can't be made");
	must(gv_backend_open(&k, "cpu", 2, &e), &e);
	for (i = 0; i < sizeof models / sizeof *models; i++)
		test_model(models[i]);
	test_families();
	test_types();
	gvk_close(&k);
	ok(!gv_remove_tree(root, &e), "remove everything");
	return done();
}
