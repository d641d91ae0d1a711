/* Schedules: the rate at each step; and the optimizer's state in files. */
#include "golden.h"
#include "optim.h"

static void
test_schedules(void)
{
	struct gv_schedule_law s = {GV_LINEAR, 10, 0, 110, 0};

	near(gv_schedule_at(&s, 0), 0.1, 1e-12, "warm-up starts at 1/n");
	near(gv_schedule_at(&s, 9), 1, 1e-12, "warm-up ends at the peak");
	near(gv_schedule_at(&s, 10), 1, 1e-12, "linear starts at the peak");
	near(gv_schedule_at(&s, 60), 0.5, 1e-12, "linear, half way");
	near(gv_schedule_at(&s, 110), 0, 1e-12, "linear ends at 0");
	near(gv_schedule_at(&s, 500), 0, 1e-12, "... and stays there");
	s.floor = 0.2;
	near(gv_schedule_at(&s, 60), 0.6, 1e-12, "half way to the floor");
	near(gv_schedule_at(&s, 110), 0.2, 1e-12, "the floor");
	s.kind = GV_COSINE;
	s.floor = 0;
	near(gv_schedule_at(&s, 35), 0.853553390593, 1e-9, "cosine, 1/4");
	near(gv_schedule_at(&s, 60), 0.5, 1e-12, "cosine, half way");
	s.kind = GV_CONSTANT;
	near(gv_schedule_at(&s, 109), 1, 1e-12, "constant");
	s.kind = GV_LINEAR;
	s.flat = 50;
	near(gv_schedule_at(&s, 59), 1, 1e-12, "flat before the fall");
	near(gv_schedule_at(&s, 85), 0.5, 1e-12, "then linear over the rest");
	s.warmup = 0;
	near(gv_schedule_at(&s, 0), 1, 1e-12, "without warm-up");
}

/* ---- state --------------------------------------------------------------- */

struct test {
	struct gv_model *m;
	struct gv_error *e;
	char path[64];
};

static float *
array(size_t n)
{
	float *v = calloc(n + 1, sizeof *v);

	if (!v)
		bail("memory", "there is none");
	return v;
}

static struct gv_optim *
opened(struct test *t, enum gvk_dtype state)
{
	struct gv_optim_law law = {.lr = {0, 0, 0, .01},
	    .beta1 = .9,
	    .beta2 = .999,
	    .eps = 1e-8,
	    .weight_decay = .1,
	    .state = state,
	    .seed = 5};
	struct gv_optim *o;

	is_int((long long)gv_optim_need(t->m, &law),
	    (long long)(2 * gvk_dtype_size(state) * t->m->part[GV_LANGUAGE].n),
	    "two moments a parameter, of %zu bytes", gvk_dtype_size(state));
	must(gv_optim_open(&o, t->m, &law, t->e), t->e);
	return o;
}

/* One update by gradients that depend on `step`; true if they are zero
 * afterwards. */
static bool
update(struct test *t, struct gv_optim *o, int step)
{
	struct gv_model_part *p = &t->m->part[GV_LANGUAGE];
	float *g = array(p->n);
	bool zero = true;
	double norm;
	size_t i, j;

	for (i = 0; i < t->m->nparams; i++) {
		const struct gv_param *x = &t->m->param[i];

		for (j = x->at; j < x->at + x->n; j++)
			g[j] = sinf((float)(j % 1000) * .37f + (float)step);
	}
	gvk_put(t->m->s, p->grad, g, p->n * sizeof *g);
	must(gv_optim_step(o, 1, &norm, t->e), t->e);
	gvk_get(t->m->s, g, p->grad, p->n * sizeof *g);
	must(gv_model_sync(t->m, t->e), t->e);
	for (i = 0; i < p->n; i++)
		zero = zero && fabsf(g[i]) <= 0;
	free(g);
	return zero;
}

static float *
parameters(struct test *t)
{
	const struct gv_model_part *p = &t->m->part[GV_LANGUAGE];
	float *v = array(p->n);

	gvk_get(t->m->s, v, p->w, p->n * sizeof *v);
	must(gv_model_sync(t->m, t->e), t->e);
	return v;
}

/* Two updates, or one, the state through a file, and the other: the same. */
static void
test_file(struct test *t, enum gvk_dtype state)
{
	const char *name = state == GVK_BF16 ? "BF16" : "F32";
	const struct gv_model_part *p = &t->m->part[GV_LANGUAGE];
	struct gv_optim *o = opened(t, state);
	float *start, *want, *got;

	ok(update(t, o, 1), "%s: an update clears the gradients", name);
	start = parameters(t);
	must(gv_optim_save(o, t->path, t->e), t->e);
	ok(update(t, o, 2), "%s: so does the next", name);
	want = parameters(t);
	ok(memcmp(start, want, p->n * sizeof *want), "%s: it moves", name);
	gv_optim_close(&o);

	gvk_put(t->m->s, p->w, start, p->n * sizeof *start);
	o = opened(t, state);
	must(gv_optim_load(o, t->path, 1, t->e), t->e);
	update(t, o, 2);
	got = parameters(t);
	ok(!memcmp(got, want, p->n * sizeof *want),
	    "%s: saved, loaded and gone on: the same bits", name);
	gv_optim_close(&o);
	free(start);
	free(want);
	free(got);
}

/* A file of the other type, as test_file() left it. */
static void
test_refusal(struct test *t, enum gvk_dtype state, const char *want)
{
	struct gv_optim *o = opened(t, state);
	char line[256];

	is_int(gv_optim_load(o, t->path, 1, t->e), GV_ERR_MATCH,
	    "a file of the other type is refused");
	snprintf(
	    line, sizeof line, "'%s' holds 'm.language' in %s", t->path, want);
	is_str(t->e->msg, line, "... by name");
	memset(t->e, 0, sizeof *t->e);
	gv_optim_close(&o);
}

static void
test_state(const char *argv0)
{
	struct gv_error e = {0};
	struct test t = {.e = &e};
	char dir[MOST_DIR];
	struct gvk *k;
	int fd;

	snprintf(t.path, sizeof t.path, "/tmp/gv-optim-XXXXXX");
	fd = mkstemp(t.path);
	if (fd < 0)
		bail(t.path, "cannot be made");
	close(fd);
	golden_dir(dir, argv0, "tied");
	must(gv_backend_open(&k, "cpu", 1, &e), &e);
	must(gv_model_open(&t.m, k, dir, ~0u, &e), &e);
	must(gv_model_train(t.m, 1u << GV_LANGUAGE, &e), &e);
	test_file(&t, GVK_F32);
	test_refusal(&t, GVK_BF16, "F32, and BF16 is asked for");
	test_file(&t, GVK_BF16);
	test_refusal(&t, GVK_F32, "BF16, and F32 is asked for");
	unlink(t.path);
	gv_model_close(&t.m);
	gvk_close(&k);
}

int
main(int argc, char **argv)
{
	test_schedules();
	test_state(argc ? argv[0] : "");
	return done();
}
