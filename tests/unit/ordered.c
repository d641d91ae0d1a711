/* Items come out in order, worked on, whatever the threads do. */
#include "ordered.h"
#include "mem.h"
#include "tap.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

struct item {
	int64_t number, result;
	int uses;
	void *buf;
};

struct source {
	int64_t at, count;
	int64_t fail_at; /* next() fails here; -1 never */
	int gate[2]; /* next() waits for a byte from item `wait` on */
	int64_t wait;
	atomic_int inside, most;
};

static atomic_int drops;

static int
next(void *ctx, void *p, struct gv_error *e)
{
	struct source *s = ctx;
	struct item *it = p;
	char c;

	if (s->at == s->fail_at)
		return gv_fail(
		    e, GV_ERR_FORMAT, "broken at %lld", (long long)s->at);
	if (s->at == s->count)
		return 0;
	if (s->wait >= 0 && s->at >= s->wait && read(s->gate[0], &c, 1) != 1)
		return gv_fail(e, GV_ERR_SYS, "gate:");
	it->number = s->at++;
	it->result = -1;
	return 1;
}

static void
work(void *ctx, void *p)
{
	struct source *s = ctx;
	struct item *it = p;
	struct timespec t = {0, (it->number * 7919 % 13) * 20000};
	int in = atomic_fetch_add(&s->inside, 1) + 1, most = s->most;

	while (in > most && !atomic_compare_exchange_weak(&s->most, &most, in))
		continue;
	nanosleep(&t, NULL);
	if (!it->buf)
		it->buf = malloc(16);
	it->uses++;
	it->result = it->number * it->number;
	atomic_fetch_sub(&s->inside, 1);
}

static void
drop(void *p)
{
	struct item *it = p;

	free(it->buf);
	atomic_fetch_add(&drops, 1);
}

/* Takes everything; returns how many items were right before the end. */
static int64_t
drain(struct gv_ordered *o, int *end, struct gv_error *e)
{
	int64_t n = 0;
	void *p;

	while ((*end = gv_ordered_take(o, &p, e)) > 0) {
		const struct item *it = p;

		if (it->number != n || it->result != n * n)
			break;
		n++;
	}
	return n;
}

static void
run(size_t threads, int64_t count, int64_t fail_at)
{
	struct source s = {.count = count, .fail_at = fail_at, .wait = -1};
	struct gv_ordered *o = NULL;
	struct gv_error e = {0};
	int64_t n;
	int end = 1;

	drops = 0;
	if (gv_ordered_open(
		&o, threads, sizeof(struct item), next, work, drop, &s, &e)) {
		ok(0, "open: %s", e.msg);
		return;
	}
	n = drain(o, &end, &e);
	is_int(n, fail_at >= 0 ? fail_at : count,
	    "%zu threads: %lld items in order", threads, (long long)n);
	is_int(end, fail_at >= 0 ? GV_ERR_FORMAT : 0, "... then the end");
	ok(!strcmp(e.msg, "") == (fail_at < 0), "... '%s'", e.msg);
	ok((size_t)s.most <= threads, "... %d at a time", s.most);
	if (threads > 1 && n > 50)
		ok(s.most > 1, "... more than one");
	gv_ordered_close(&o);
	ok(!o && drops == (threads > 1 ? 4 * (int)threads : 1),
	    "... all slots are dropped");
}

/* Finished items can be taken while next() waits for more input. */
static void
slow_input(void)
{
	struct source s = {.count = 10, .fail_at = -1, .wait = 3};
	struct gv_ordered *o = NULL;
	struct gv_error e = {0};
	void *p;
	int i, got = 0;

	ok(!pipe(s.gate) && !gv_ordered_open(&o, 2, sizeof(struct item), next,
				work, drop, &s, &e),
	    "an input that waits");
	for (i = 0; i < 3; i++)
		got += gv_ordered_take(o, &p, &e) == 1;
	is_int(got, 3, "three items come before it goes on");
	ok(write(s.gate[1], "1234567", 7) == 7, "it goes on");
	for (i = 3; i < 10; i++)
		got += gv_ordered_take(o, &p, &e) == 1;
	is_int(got, 10, "then come the others");
	is_int(gv_ordered_take(o, &p, &e), 0, "and the end");
	is_int(gv_ordered_take(o, &p, &e), 0, "... again");
	gv_ordered_close(&o);
	close(s.gate[0]);
	close(s.gate[1]);
}

int
main(void)
{
	static const size_t threads[] = {1, 2, 7};
	size_t i;

	for (i = 0; i < 3; i++) {
		run(threads[i], 200, -1);
		run(threads[i], 0, -1);
		run(threads[i], 1, -1);
		run(threads[i], 200, 77);
		run(threads[i], 200, 0);
	}
	slow_input();
	return done();
}
