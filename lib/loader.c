/* A thread that packs ahead of the training loop. */
#include "loader.h"

#include "mem.h"

#include <pthread.h>
#include <signal.h>

#include "banned.h"

#define MICROS 4 /* two that the caller holds, one packed, one being packed */

/* Micro-batches are numbered; number i lives in slot i % MICROS.
 * given <= taken <= packed <= given + MICROS. */
struct gv_loader {
	struct gv_reader *in;
	struct gv_examples *examples;
	struct gv_loader_law law;
	/* the thread's */
	struct gv_example *ex; /* of the step in work */
	size_t n, cap;
	bool eof;
	struct gv_packer *packer[MICROS];
	/* both sides', under `lock` */
	struct gv_micro micro[MICROS];
	uint64_t given, taken, packed;
	uint64_t wanted, begun; /* steps */
	bool busy; /* the thread is in a step */
	bool ended, stop;
	int status; /* once ended: 0 or the error's code */
	size_t partial; /* records read of a step that an error cut off */
	struct gv_error error;
	pthread_t thread;
	bool started;
	pthread_mutex_t lock;
	pthread_cond_t change;
};

/* ---- the thread ---------------------------------------------------------- */

/* Examples beyond the old capacity start as zeros, as they must. */
static int
room_for_example(struct gv_loader *l, struct gv_error *e)
{
	size_t was = l->cap;
	void *p = l->ex;

	if (gv_grow(&p, &l->cap, l->n + 1, sizeof *l->ex))
		return gv_fail(e, GV_ERR_NOMEM, "out of memory");
	l->ex = p;
	if (l->cap > was)
		memset(l->ex + was, 0, (l->cap - was) * sizeof *l->ex);
	return 0;
}

/* Reads the records of one step into l->ex[0..n-1]; *tokens counts what they
 * train on.  1, or 0 if the input has ended before the step. */
static int
collect(struct gv_loader *l, int64_t *tokens, struct gv_error *e)
{
	const struct gv_loader_law *w = &l->law;
	int r;

	l->n = 0;
	*tokens = 0;
	while (!l->eof) {
		if (room_for_example(l, e))
			return e->code;
		r = gv_examples_next(l->examples, &l->ex[l->n], e);
		if (r < 0)
			return r;
		if (r == 0) {
			l->eof = true;
			break;
		}
		*tokens += l->ex[l->n++].trained;
		if ((w->batch && (int64_t)l->n >= w->batch) ||
		    (w->batch_tokens && *tokens >= w->batch_tokens))
			break;
	}
	return l->n > 0;
}

/* Waits until the next slot is free; false if there is no use in going on. */
static bool
wait_for_slot(struct gv_loader *l)
{
	bool go;

	pthread_mutex_lock(&l->lock);
	while (!l->stop && l->packed - l->given == MICROS)
		pthread_cond_wait(&l->change, &l->lock);
	go = !l->stop;
	pthread_mutex_unlock(&l->lock);
	if (go)
		gv_packer_reset(l->packer[l->packed % MICROS]);
	return go;
}

/* Hands the slot's batch over. */
static void
publish(struct gv_loader *l, const struct gv_micro *step, bool last)
{
	size_t slot = l->packed % MICROS;
	struct gv_micro m = *step;

	gv_packer_batch(l->packer[slot], m.tokens ? -1 / (float)m.tokens : 0,
	    &m.b, &m.bytes);
	m.last = last;
	pthread_mutex_lock(&l->lock);
	l->micro[slot] = m;
	l->packed++;
	if (last)
		l->busy = false;
	pthread_cond_broadcast(&l->change);
	pthread_mutex_unlock(&l->lock);
}

/* Deals the examples of a step into micro-batches. */
static int
pack(struct gv_loader *l, const struct gv_micro *step, struct gv_error *e)
{
	size_t i;
	int r;

	if (!wait_for_slot(l))
		return 0;
	for (i = 0; i<l->n; i += r> 0) {
		r = gv_packer_add(l->packer[l->packed % MICROS], &l->ex[i], e);
		if (r < 0)
			return r;
		if (r)
			continue;
		publish(l, step, false);
		if (!wait_for_slot(l))
			return 0;
	}
	publish(l, step, true);
	return 0;
}

/* Reads and packs one step: 1, 0 at the end, or an error. */
static int
load_step(struct gv_loader *l, struct gv_error *e)
{
	struct gv_micro step = {0};
	uint64_t cut = gv_examples_cut(l->examples);
	int r = collect(l, &step.tokens, e);

	if (r <= 0)
		return r;
	step.records = l->n;
	step.cut = gv_examples_cut(l->examples) - cut;
	r = pack(l, &step, e);
	return r ? r : 1;
}

static void *
work(void *arg)
{
	struct gv_loader *l = arg;
	struct gv_error e = {0};
	int r = 1;

	pthread_mutex_lock(&l->lock);
	while (r > 0 && !l->stop) {
		if (l->begun == l->wanted) {
			pthread_cond_wait(&l->change, &l->lock);
			continue;
		}
		l->begun++;
		l->busy = true;
		pthread_mutex_unlock(&l->lock);
		r = load_step(l, &e);
		pthread_mutex_lock(&l->lock);
	}
	l->busy = false;
	l->ended = true;
	l->status = r < 0 ? r : 0;
	l->partial = r < 0 ? l->n : 0;
	l->error = e;
	pthread_cond_broadcast(&l->change);
	pthread_mutex_unlock(&l->lock);
	return NULL;
}

/* Signals are the caller's thread's. */
static int
start(struct gv_loader *l, struct gv_error *e)
{
	sigset_t all, was;
	int r;

	sigfillset(&all);
	sigdelset(&all, SIGBUS); /* a mapped file that someone cut */
	pthread_sigmask(SIG_SETMASK, &all, &was);
	r = pthread_create(&l->thread, NULL, work, l);
	pthread_sigmask(SIG_SETMASK, &was, NULL);
	if (r)
		return gv_fail(e, GV_ERR_NOMEM, "cannot start a thread");
	l->started = true;
	return 0;
}

/* ---- the caller's side --------------------------------------------------- */

int
gv_loader_open(struct gv_loader **out, struct gv_reader *in,
    struct gv_examples *x, const struct gv_config *c,
    const struct gv_loader_law *law, struct gv_error *e)
{
	struct gv_loader *l = gv_alloc(1, sizeof *l);
	int i, r = 0;

	if (!l)
		return gv_fail(e, GV_ERR_NOMEM, "out of memory");
	l->in = in;
	l->examples = x;
	l->law = *law;
	pthread_mutex_init(&l->lock, NULL);
	pthread_cond_init(&l->change, NULL);
	for (i = 0; i < MICROS && !r; i++)
		r = gv_packer_open(
		    &l->packer[i], c, law->micro_tokens, law->micro_images, e);
	*out = l;
	if (r)
		gv_loader_close(out);
	return r;
}

void
gv_loader_close(struct gv_loader **out)
{
	struct gv_loader *l = *out;
	size_t i;

	if (!l)
		return;
	*out = NULL;
	pthread_mutex_lock(&l->lock);
	l->stop = true;
	pthread_cond_broadcast(&l->change);
	pthread_mutex_unlock(&l->lock);
	if (l->started)
		pthread_join(l->thread, NULL);
	pthread_mutex_destroy(&l->lock);
	pthread_cond_destroy(&l->change);
	for (i = 0; i < MICROS; i++)
		gv_packer_close(&l->packer[i]);
	for (i = 0; i < l->cap; i++)
		gv_example_free(&l->ex[i]);
	gv_free(l->ex);
	gv_free(l);
}

int
gv_loader_want(struct gv_loader *l, uint64_t wanted, struct gv_error *e)
{
	if (!l->started && start(l, e))
		return e->code;
	pthread_mutex_lock(&l->lock);
	if (wanted > l->wanted)
		l->wanted = wanted;
	pthread_cond_broadcast(&l->change);
	pthread_mutex_unlock(&l->lock);
	return 0;
}

/* Under the lock: what the thread has ended with. */
static int
ending(const struct gv_loader *l, struct gv_error *e)
{
	if (l->status && !e->code)
		*e = l->error;
	return l->status;
}

int
gv_loader_take(struct gv_loader *l, struct gv_micro *m, struct gv_error *e)
{
	int r = 1;

	pthread_mutex_lock(&l->lock);
	while (l->taken == l->packed && !l->ended)
		pthread_cond_wait(&l->change, &l->lock);
	if (l->taken < l->packed)
		*m = l->micro[l->taken++ % MICROS];
	else
		r = ending(l, e);
	pthread_mutex_unlock(&l->lock);
	return r;
}

bool
gv_loader_ready(struct gv_loader *l)
{
	bool ready;

	pthread_mutex_lock(&l->lock);
	ready = l->taken < l->packed;
	pthread_mutex_unlock(&l->lock);
	return ready;
}

void
gv_loader_give(struct gv_loader *l)
{
	pthread_mutex_lock(&l->lock);
	l->given++;
	pthread_cond_broadcast(&l->change);
	pthread_mutex_unlock(&l->lock);
}

int
gv_loader_drain(struct gv_loader *l, struct gv_error *e)
{
	struct gv_rec rec;
	bool idle = false; /* the thread is, and the reader ours */
	int r = 1;

	pthread_mutex_lock(&l->lock);
	while (l->taken == l->packed && !l->ended &&
	       (l->busy || l->begun < l->wanted))
		pthread_cond_wait(&l->change, &l->lock);
	if (l->taken == l->packed && l->ended)
		r = l->partial ? 1 : ending(l, e);
	else
		idle = l->taken == l->packed;
	pthread_mutex_unlock(&l->lock);
	if (!idle)
		return r;
	return l->eof ? 0 : gv_reader_next(l->in, &rec, e);
}
