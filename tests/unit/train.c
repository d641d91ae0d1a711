/* The training loop and the thread that reads for it: where an input ends,
 * where it is damaged, and a device that fails in the middle of a step.
 */
#include "backend.h"
#include "dir.h"
#include "golden.h"
#include "train.h"

#define RECORDS 14
#define TOKENS  12
#define BATCH   3

static struct gv_error e;
static char dir[MOST_DIR], path[] = "/tmp/gv-train-XXXXXX", run[64];
static struct gvk *k;

/* RECORDS records of TOKENS tokens, each trained on the one after it. */
static void
write_stream(void)
{
	int32_t tok[TOKENS + 1];
	int64_t n = TOKENS;
	struct gv_schema s;
	struct gv_writer *w;
	struct gv_out *o;
	int i, j;

	must(gv_schema_init(&s, "tokens", &e), &e);
	must(gv_schema_field(&s, "tokens", "I32 (T)", "", &e), &e);
	must(gv_schema_field(&s, "targets", "I32 (T)", "", &e), &e);
	must(gv_out_open(&o, path, true, true, &e), &e);
	must(gv_writer_open(&w, o, &s, &e), &e);
	for (i = 0; i < RECORDS; i++) {
		for (j = 0; j <= TOKENS; j++)
			tok[j] = (i * 7 + j * 3) % 16;
		must(gv_writer_begin(w, "", &e), &e);
		must(gv_writer_tensor(w, "tokens", 1, &n, tok, &e), &e);
		must(gv_writer_tensor(w, "targets", 1, &n, tok + 1, &e), &e);
		must(gv_writer_end_rec(w, &e), &e);
	}
	must(gv_writer_close(&w, 0, &e), &e);
	must(gv_out_commit(&o, &e), &e);
	gv_schema_free(&s);
}

/* A trainer of all of a small text model, over the stream. */
struct test {
	struct gv_reader *in;
	struct gv_model *m;
	struct gv_train *t;
};

static void
begin(struct test *x, int64_t steps)
{
	struct gv_train_law w = {.batch = BATCH,
	    .micro_tokens = 2 * TOKENS, /* two micro-batches a step */
	    .micro_images = 1,
	    .max_length = TOKENS,
	    .keep = 2};

	w.optim.lr[GV_LANGUAGE] = 1e-3;
	w.optim.beta1 = 0.9;
	w.optim.beta2 = 0.95;
	w.optim.eps = 1e-8;
	w.schedule.kind = GV_CONSTANT;
	w.schedule.total = steps;
	must(gv_reader_open(&x->in, path, &e), &e);
	must(gv_model_open(&x->m, k, dir, ~0u, &e), &e);
	must(gv_model_train(x->m, 1u << GV_LANGUAGE, &e), &e);
	must(gv_train_open(&x->t, x->m, x->in, &w, &e), &e);
}

static void
end(struct test *x)
{
	gv_train_close(&x->t);
	gv_model_close(&x->m);
	gv_reader_close(&x->in);
	gv_error_clear(&e);
}

/* Steps until one fails or the input ends; *r is what the last one gave. */
static int
count_steps(struct test *x, int most, int *r)
{
	struct gv_train_step s;
	int n = 0;

	for (*r = 1; n < most; n++) {
		*r = gv_train_step(x->t, &s, &e);
		if (*r <= 0)
			break;
	}
	return n;
}

static void
test_end(void)
{
	struct gv_train_step s;
	struct test x;
	int r;

	begin(&x, 100);
	is_int(count_steps(&x, 100, &r), (RECORDS + BATCH - 1) / BATCH,
	    "steps to the end of the input");
	is_int(r, 0, "which is no error");
	is_int(gv_train_step(x.t, &s, &e), 0, "and stays the end");
	is_int(gv_train_drain(x.t, &e), 0, "nothing is behind it");
	end(&x);
	begin(&x, 2);
	count_steps(&x, 2, &r);
	is_int(gv_train_drain(x.t, &e), 1, "records behind the last step");
	end(&x);
	begin(&x, 100);
	count_steps(&x, 2, &r);
	is_int(gv_train_drain(x.t, &e), 1, "... that were read ahead");
	end(&x);
	begin(&x, 100);
	end(&x);
	ok(true, "a trainer that never began ends");
}

/* The stream cut in the middle of record `whole`. */
static void
cut(int whole)
{
	struct gv_reader *in;
	struct gv_rec rec;
	long size = 0, step;
	FILE *f;

	write_stream();
	f = fopen(path, "rb");
	if (!f || fseek(f, 0, SEEK_END) || (size = ftell(f)) < 0)
		bail(path, "cannot be read");
	fclose(f);
	/* records have one size, the HEAD less than two */
	step = size / (RECORDS + 1);
	for (;; size -= 64) {
		int n = 0;

		if (size < step || truncate(path, size))
			bail(path, "cannot be cut");
		must(gv_reader_open(&in, path, &e), &e);
		while (gv_reader_next(in, &rec, &e) > 0)
			n++;
		gv_reader_close(&in);
		gv_error_clear(&e);
		if (n == whole)
			return;
	}
}

static void
test_damage(void)
{
	struct test x;
	int r;

	cut(2 * BATCH + 1); /* the third step has one record */
	begin(&x, 100);
	is_int(count_steps(&x, 100, &r), 2, "steps before the damage");
	ok(r < 0 && e.code == r, "which the next one finds");
	end(&x);
	begin(&x, 2);
	count_steps(&x, 2, &r);
	is_int(gv_train_drain(x.t, &e), 1, "a record before the damage");
	end(&x);
	begin(&x, 100);
	count_steps(&x, 2, &r);
	is_int(gv_train_drain(x.t, &e), 1, "... the same when it was read");
	end(&x);
	cut(2 * BATCH);
	begin(&x, 2);
	count_steps(&x, 2, &r);
	ok(gv_train_drain(x.t, &e) < 0, "damage right behind the last step");
	end(&x);
	begin(&x, 100);
	count_steps(&x, 2, &r);
	ok(gv_train_drain(x.t, &e) < 0, "... the same when it was read");
	end(&x);
	write_stream();
}

/* All parameters of the language part, to be freed. */
static float *
weights(const struct test *x, size_t *n)
{
	float *v;

	*n = x->m->part[GV_LANGUAGE].n;
	v = calloc(*n, sizeof *v);
	if (!v)
		bail("weights", "out of memory");
	gvk_get(x->m->s, v, x->m->part[GV_LANGUAGE].w, *n * sizeof *v);
	must(gv_model_sync(x->m, &e), &e);
	return v;
}

/* A device that fails while a step is queued, and the run that goes on. */
static void
test_fault(void)
{
	char warning[256];
	json_t *args = json_object();
	struct gv_train_step s;
	struct test x;
	float *want, *got;
	size_t n;
	int r;

	begin(&x, 100);
	count_steps(&x, 4, &r);
	want = weights(&x, &n);
	end(&x);
	begin(&x, 100);
	count_steps(&x, 2, &r);
	must(gv_train_save(x.t, run, args, dir, &e), &e);
	gvk_stream_fail(x.m->s, "the device fell off the bus");
	is_int(gv_train_step(x.t, &s, &e), GV_ERR_DEVICE,
	    "a device that fails in a step");
	ok(strstr(e.msg, "fell off the bus") != NULL, "is named: %s", e.msg);
	gv_error_clear(&e);
	is_int(gv_train_save(x.t, run, args, dir, &e), GV_ERR_DEVICE,
	    "no checkpoint is made of what it left");
	end(&x);
	begin(&x, 100);
	is_int(gv_train_resume(x.t, run, args, warning, sizeof warning, &e), 1,
	    "the one before is there");
	ok(!warning[0], "and whole");
	count_steps(&x, 2, &r);
	got = weights(&x, &n);
	ok(!memcmp(got, want, n * sizeof *got), "the same bits after it");
	end(&x);
	free(got);
	free(want);
	json_decref(args);
}

int
main(int argc, char **argv)
{
	int fd = mkstemp(path);

	if (fd < 0)
		bail(path, "cannot be made");
	close(fd);
	snprintf(run, sizeof run, "%s.run", path);
	golden_dir(dir, argc ? argv[0] : "", "tied");
	must(gv_backend_open(&k, "cpu", 2, &e), &e);
	write_stream();
	test_end();
	test_damage();
	test_fault();
	gvk_close(&k);
	must(gv_dir_remove(run, &e), &e);
	unlink(path);
	return done();
}
