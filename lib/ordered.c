/* A ring of items: claimed in order, worked on in any, taken in order. */
#include "ordered.h"

#include "mem.h"

#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>

#include "banned.h"

#define PER_THREAD 4 /* items under way */

/* Items are numbered; number i lives in slot i % cap.  taken <= claimed <=
 * taken + cap.  The taker still holds item taken - 1 while it is `held`. */
struct gv_ordered {
	gv_ordered_next *next;
	gv_ordered_work *work;
	gv_ordered_drop *drop;
	void *ctx;
	size_t item_bytes, cap, threads, started;
	uint8_t *item; /* cap items */
	bool *done; /* of each slot */
	uint64_t claimed; /* items that next() has filled in */
	uint64_t taken;
	bool held, ended, stop;
	struct gv_error error; /* of next(), once ended */
	pthread_t *thread;
	pthread_mutex_t input; /* held around next(); taken before `lock` */
	pthread_mutex_t lock; /* for all the state above */
	pthread_cond_t room; /* one thread, that has `input`, waits for it */
	pthread_cond_t ready; /* the taker waits for it: for item `taken` */
};

static void *
slot(struct gv_ordered *o, uint64_t i)
{
	return o->item + (size_t)(i % o->cap) * o->item_bytes;
}

/* Waits for a free slot and fills it: 1 and its number, or 0. */
static int
claim(struct gv_ordered *o, uint64_t *number)
{
	struct gv_error e = {0};
	int r = 0;

	pthread_mutex_lock(&o->input);
	pthread_mutex_lock(&o->lock);
	while (
	    !o->stop && !o->ended && o->claimed - o->taken + o->held >= o->cap)
		pthread_cond_wait(&o->room, &o->lock);
	if (!o->stop && !o->ended) {
		*number = o->claimed;
		pthread_mutex_unlock(&o->lock);
		r = o->next(o->ctx, slot(o, *number), &e);
		pthread_mutex_lock(&o->lock);
		if (r > 0) {
			o->done[*number % o->cap] = false;
			o->claimed++;
		} else {
			o->ended = true;
			o->error = e;
			pthread_cond_signal(&o->ready);
		}
	}
	pthread_mutex_unlock(&o->lock);
	pthread_mutex_unlock(&o->input);
	return r > 0;
}

static void *
worker(void *arg)
{
	struct gv_ordered *o = arg;
	uint64_t i;

	while (claim(o, &i)) {
		o->work(o->ctx, slot(o, i));
		pthread_mutex_lock(&o->lock);
		o->done[i % o->cap] = true;
		if (i == o->taken)
			pthread_cond_signal(&o->ready);
		pthread_mutex_unlock(&o->lock);
	}
	return NULL;
}

static size_t
cores(void)
{
	cpu_set_t set;

	if (sched_getaffinity(0, sizeof set, &set))
		return 1;
	return (size_t)CPU_COUNT(&set);
}

static int
start(struct gv_ordered *o, struct gv_error *e)
{
	pthread_mutex_init(&o->input, NULL);
	pthread_mutex_init(&o->lock, NULL);
	pthread_cond_init(&o->room, NULL);
	pthread_cond_init(&o->ready, NULL);
	if (o->threads < 2)
		return 0;
	for (; o->started < o->threads; o->started++)
		if (pthread_create(&o->thread[o->started], NULL, worker, o))
			break;
	if (!o->started)
		return gv_fail(e, GV_ERR_NOMEM, "cannot start a thread");
	return 0;
}

int
gv_ordered_open(struct gv_ordered **o, size_t threads, size_t item_bytes,
    gv_ordered_next *next, gv_ordered_work *work, gv_ordered_drop *drop,
    void *ctx, struct gv_error *e)
{
	struct gv_ordered *n = gv_alloc(1, sizeof *n);

	if (!n)
		return gv_fail(e, GV_ERR_NOMEM, "out of memory");
	n->next = next;
	n->work = work;
	n->drop = drop;
	n->ctx = ctx;
	n->threads = threads ? threads : cores();
	n->cap = n->threads > 1 ? n->threads * PER_THREAD : 1;
	n->item_bytes = item_bytes;
	n->item = gv_alloc(n->cap, item_bytes);
	n->done = gv_alloc(n->cap, sizeof *n->done);
	n->thread = gv_alloc(n->threads, sizeof *n->thread);
	if (!n->item || !n->done || !n->thread)
		gv_fail(e, GV_ERR_NOMEM, "out of memory");
	else if (!start(n, e)) {
		*o = n;
		return 0;
	}
	gv_free(n->item);
	gv_free(n->done);
	gv_free(n->thread);
	gv_free(n);
	return e->code;
}

static int
take_inline(struct gv_ordered *o, void **item, struct gv_error *e)
{
	if (!o->ended) {
		int r = o->next(o->ctx, o->item, &o->error);

		if (r > 0) {
			o->work(o->ctx, o->item);
			*item = o->item;
			return 1;
		}
		o->ended = true;
	}
	if (o->error.code && !e->code)
		*e = o->error;
	return o->error.code;
}

int
gv_ordered_take(struct gv_ordered *o, void **item, struct gv_error *e)
{
	int r;

	if (o->threads < 2)
		return take_inline(o, item, e);
	pthread_mutex_lock(&o->lock);
	o->held = false;
	pthread_cond_signal(&o->room);
	while (o->taken < o->claimed ? !o->done[o->taken % o->cap] : !o->ended)
		pthread_cond_wait(&o->ready, &o->lock);
	r = o->taken < o->claimed;
	if (r) {
		*item = slot(o, o->taken++);
		o->held = true;
	} else if (o->error.code) {
		r = o->error.code;
		if (!e->code)
			*e = o->error;
	}
	pthread_mutex_unlock(&o->lock);
	return r;
}

void
gv_ordered_close(struct gv_ordered **op)
{
	struct gv_ordered *o = *op;
	size_t i;

	if (!o)
		return;
	pthread_mutex_lock(&o->lock);
	o->stop = true;
	pthread_cond_broadcast(&o->room);
	pthread_mutex_unlock(&o->lock);
	for (i = 0; i < o->started; i++)
		pthread_join(o->thread[i], NULL);
	for (i = 0; i < o->cap && o->drop; i++)
		o->drop(o->item + i * o->item_bytes);
	pthread_mutex_destroy(&o->input);
	pthread_mutex_destroy(&o->lock);
	pthread_cond_destroy(&o->room);
	pthread_cond_destroy(&o->ready);
	gv_free(o->item);
	gv_free(o->done);
	gv_free(o->thread);
	gv_free(o);
	*op = NULL;
}
