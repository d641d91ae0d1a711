/* Weights from one process to another: versions, what is wanted, a trainer that
 * finishes, dies, comes again; and what doesn't fit.
 *
 *	publish.t [device]
 */
#include "dir.h"
#include "golden.h"
#include "publish.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>

static struct gv_error e;
static char dir[MOST_DIR], other[MOST_DIR], run[] = "/tmp/gv-publish-XXXXXX";
static const char *self, *device;
static struct gvk *k;

static struct gv_model *
open_model(const char *from, bool trains)
{
	struct gv_model *m;

	must(gv_model_open(&m, k, from, ~0u, &e), &e);
	if (trains)
		must(gv_model_train(m, 1u << GV_LANGUAGE, &e), &e);
	return m;
}

/* The bytes of weights that tell versions apart, in host memory. */
static unsigned char *
bytes_of(const struct gv_model *m, int version, size_t *n)
{
	unsigned char *p;
	size_t i;

	*n = m->part[GV_LANGUAGE].n * gvk_dtype_size(m->wtype);
	p = malloc(*n);
	if (!p)
		bail("weights", "out of memory");
	for (i = 0; i < *n; i++)
		p[i] = (unsigned char)(i * 7 + (size_t)version * 101);
	return p;
}

static void
fill(struct gv_model *m, int version)
{
	size_t n;
	unsigned char *p = bytes_of(m, version, &n);

	gvk_put(m->s, m->part[GV_LANGUAGE].w, p, n);
	must(gv_model_sync(m, &e), &e);
	free(p);
}

/* All weights are those of a version. */
static bool
filled(struct gv_model *m, int version)
{
	size_t n;
	unsigned char *want = bytes_of(m, version, &n), *got = malloc(n);
	bool same;

	if (!got)
		bail("weights", "out of memory");
	gvk_get(m->s, got, m->part[GV_LANGUAGE].w, n);
	must(gv_model_sync(m, &e), &e);
	same = !memcmp(got, want, n);
	free(want);
	free(got);
	return same;
}

/* A trainer in a process of its own, which does one step a byte that it reads
 * and tells that it has done it; ended by EOF (finish) or a signal. */
struct trainer {
	pid_t pid;
	int ask, told;
};

static void
train(int ask, int told)
{
	struct gv_model *m = open_model(dir, true);
	struct gv_publish *p;
	int64_t version = 0;
	char c;

	if (gv_publish_open(&p, m, run, dir, &e))
		_exit(1);
	for (;;) {
		fill(m, (int)version);
		if (gv_publish(p, version, (uint64_t)(4 * version),
			(uint64_t)(5 * version), &e))
			_exit(1);
		gv_publish_want(p, (uint64_t)(4 * version + 4));
		version++;
		if (write(told, "", 1) != 1 || read(ask, &c, 1) != 1)
			break;
	}
	gv_publish_finish(p);
	gv_publish_close(&p);
	gv_model_close(&m);
	_exit(0);
}

static void
start(struct trainer *t)
{
	char ask[16], told[16];
	int a[2], b[2];

	if (pipe(a) || pipe(b))
		bail("pipe", "no pipes");
	fflush(stdout);
	t->pid = fork();
	if (t->pid < 0)
		bail("fork", "no process");
	if (!t->pid) {
		close(a[1]);
		close(b[0]);
		snprintf(ask, sizeof ask, "%d", a[0]);
		snprintf(told, sizeof told, "%d", b[1]);
		execl("/proc/self/exe", self, device, run, ask, told,
		    (char *)NULL);
		_exit(1);
	}
	close(a[0]);
	close(b[1]);
	t->ask = a[1];
	t->told = b[0];
}

static void
wait_step(const struct trainer *t)
{
	char c;

	if (read(t->told, &c, 1) != 1)
		bail("trainer", "it has ended");
}

static void
step(const struct trainer *t)
{
	if (write(t->ask, "", 1) != 1)
		bail("trainer", "it doesn't listen");
	wait_step(t);
}

static int
end(struct trainer *t, int sig)
{
	int status;

	if (sig)
		kill(t->pid, sig);
	close(t->ask);
	waitpid(t->pid, &status, 0);
	close(t->told);
	return status;
}

static int late; /* times that somebody was told of a wait */

static void
count_late(void *arg)
{
	++*(int *)arg;
}

static int
follow(struct gv_follow **f, struct gv_model *m, const char *from, double limit,
    const struct gv_out *out)
{
	const struct gv_follow_opts o = {.run = run,
	    .model = from,
	    .patience = limit,
	    .out = out,
	    .late = count_late,
	    .arg = &late,
	    .soon = 0.05};

	late = 0;

	return gv_follow_open(f, m, &o, &e);
}

static void
test_steps(void)
{
	struct gv_model *m = open_model(dir, false);
	struct gv_follow_state s;
	struct gv_follow *f;
	struct trainer t;
	int64_t version = -1;

	start(&t);
	must(follow(&f, m, dir, 20, NULL), &e);
	wait_step(&t);
	is_int(gv_follow_update(f, &version, &e), 1, "there are first weights");
	is_int(version, 0, "... of version 0");
	ok(filled(m, 0), "... and they are in the model");
	is_int(gv_follow_update(f, &version, &e), 0, "and no newer ones");
	gv_follow_state(f, &s);
	is_int((long long)s.wanted, 4, "what is wanted");
	is_int(gv_follow_wait(f, 3, &e), 1, "a fourth group is wanted at once");
	step(&t);
	is_int(gv_follow_wait(f, 8, &e), 1, "newer weights end a wait");
	step(&t);
	is_int(gv_follow_update(f, &version, &e), 1, "one may be missed");
	is_int(version, 2, "... the newest counts");
	ok(filled(m, 2), "... as a whole");
	gv_follow_state(f, &s);
	is_int((long long)s.used, 8, "what has been used up");
	is_int((long long)s.next, 10, "and where to go on");
	is_int(end(&t, 0), 0, "the trainer finishes");
	is_int(gv_follow_wait(f, 100, &e), 0, "that ends a wait");
	gv_follow_close(&f);
	is_int(follow(&f, m, dir, 0.3, NULL), GV_ERR_DEVICE,
	    "where nobody publishes nothing is waited for long: %s", e.msg);
	is_int(late, 1, "... and the wait is told of once");
	gv_error_clear(&e);
	gv_model_close(&m);
}

static void
test_death(void)
{
	struct gv_model *m = open_model(dir, false);
	struct gv_follow *f;
	struct trainer t;
	int64_t version;

	start(&t);
	must(follow(&f, m, dir, 20, NULL), &e);
	wait_step(&t);
	is_int(gv_follow_update(f, &version, &e), 1, "a trainer's weights");
	step(&t);
	end(&t, SIGKILL);
	is_int(gv_follow_update(f, &version, &e), 1,
	    "when it is killed its last ones are still there");
	is_int(gv_follow_wait(f, 100, &e), GV_ERR_DEVICE, "but a wait ends: %s",
	    e.msg);
	gv_error_clear(&e);
	gv_follow_close(&f);
	start(&t);
	must(follow(&f, m, dir, 20, NULL), &e);
	ok(f != NULL, "another one takes its place");
	wait_step(&t);
	{
		struct gv_model *m2 = open_model(dir, true);
		struct gv_publish *p = NULL;

		is_int(gv_publish_open(&p, m2, run, dir, &e), GV_ERR_MATCH,
		    "where one publishes no other may: %s", e.msg);
		gv_error_clear(&e);
		gv_model_close(&m2);
	}
	end(&t, 0);
	gv_follow_close(&f);
	gv_model_close(&m);
}

/* Samples that nobody takes. */
static void
test_unread(void)
{
	struct gv_model *m = open_model(dir, false);
	struct gv_follow *f = NULL;
	struct gv_out *o;
	int end[2], was = dup(1), r;

	fflush(stdout);
	if (was < 0 || pipe(end) || dup2(end[1], 1) < 0)
		bail("pipe", "no pipe");
	close(end[1]);
	close(end[0]);
	must(gv_out_open(&o, NULL, true, true, &e), &e);
	r = follow(&f, m, dir, 20, o);
	gv_out_abort(&o);
	dup2(was, 1);
	close(was);
	is_int(r, GV_ERR_PIPE, "who isn't read doesn't wait for weights");
	gv_error_clear(&e);
	gv_model_close(&m);
}

static void
test_strangers(void)
{
	struct gv_model *m = open_model(other, false);
	struct gv_follow *f = NULL;
	struct trainer t;
	char path[128];
	FILE *file;

	start(&t);
	wait_step(&t);
	is_int(follow(&f, m, other, 5, NULL), GV_ERR_MATCH, "another model: %s",
	    e.msg);
	gv_error_clear(&e);
	end(&t, 0);
	snprintf(path, sizeof path, "%s/weights", run);
	file = fopen(path, "w");
	if (!file)
		bail(path, "cannot be written");
	fputs("not a page", file);
	fclose(file);
	is_int(follow(&f, m, other, 0.1, NULL), GV_ERR_DEVICE,
	    "a file that nobody holds is passed over: %s", e.msg);
	gv_error_clear(&e);
	unlink(path);
	gv_model_close(&m);
}

int
main(int argc, char **argv)
{
	self = argv[0];
	device = argc > 1 ? argv[1] : "cpu";
	golden_dir(dir, argv[0], "untied");
	golden_dir(other, argv[0], "tied");
	must(gv_backend_open(&k, device, 1, &e), &e);
	if (argc == 5) {
		memcpy(run, argv[2], sizeof run);
		train(atoi(argv[3]), atoi(argv[4]));
	}
	if (!mkdtemp(run))
		bail(run, "cannot be made");
	test_steps();
	test_death();
	test_unread();
	test_strangers();
	gvk_close(&k);
	must(gv_dir_remove(run, &e), &e);
	return done();
}
