/* Worker threads that start a job in about a microsecond and sleep when idle.
 *
 * A job is a number of parts.  `left` holds how many are not taken yet: who
 * lowers it by compare-and-swap owns a part, and only then reads the job,
 * which the caller keeps in place until all parts are done.  So nobody has to
 * acknowledge a job, and a worker that wakes up late costs nothing.
 *
 * Ops follow each other within microseconds, so a worker spins SPIN_NS before
 * it sleeps.  The sleeper raises `asleep` and then reads `left`; the caller
 * writes `left` and then reads `asleep`: one of the two sees the other.
 */
#include "backend.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>

#define SPIN_NS   40000
#define HUGE_PAGE ((size_t)2 << 20)

struct worker {
	struct gvk_pool *pool;
	int index;
	pthread_t thread;
	void *scratch;
};

struct gvk_pool {
	int threads, started;
	struct worker *worker; /* [0] is the caller */
	pthread_mutex_t caller; /* one job at a time */

	/* The job; fixed while `left` > 0 or a part is unfinished. */
	void (*fn)(void *arg, int64_t part, int thread);
	void *arg;
	int64_t parts;

	_Alignas(64) _Atomic int64_t left; /* parts not taken */
	_Alignas(64) _Atomic int64_t done; /* parts finished */
	_Alignas(64) _Atomic int asleep; /* workers in cond_wait */
	_Atomic bool waiting; /* the caller is, for `done` */
	_Atomic bool stop;
	pthread_mutex_t lock;
	pthread_cond_t work, finished;
};

static inline void
relax(void)
{
#if defined(__x86_64__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	__asm__ volatile("yield");
#endif
}

static int64_t
now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* Takes parts until none is left. */
static void
take_parts(struct gvk_pool *p, int index)
{
	int64_t left, parts;

	left = atomic_load(&p->left);
	while (left > 0) {
		if (!atomic_compare_exchange_weak(&p->left, &left, left - 1))
			continue;
		parts = p->parts;
		p->fn(p->arg, parts - left, index);
		if (atomic_fetch_add(&p->done, 1) + 1 == parts &&
		    atomic_load(&p->waiting)) {
			pthread_mutex_lock(&p->lock);
			pthread_cond_signal(&p->finished);
			pthread_mutex_unlock(&p->lock);
		}
		left = atomic_load(&p->left);
	}
}

/* Spins for SPIN_NS; true as soon as there is a part to take. */
static bool
spin_for_work(struct gvk_pool *p)
{
	int64_t end = now_ns() + SPIN_NS;
	int i;

	do {
		for (i = 0; i < 64; i++) {
			if (atomic_load_explicit(
				&p->left, memory_order_relaxed) > 0 ||
			    atomic_load_explicit(
				&p->stop, memory_order_relaxed))
				return true;
			relax();
		}
	} while (now_ns() < end);
	return false;
}

static void
sleep_for_work(struct gvk_pool *p)
{
	pthread_mutex_lock(&p->lock);
	atomic_fetch_add(&p->asleep, 1);
	while (atomic_load(&p->left) <= 0 && !atomic_load(&p->stop))
		pthread_cond_wait(&p->work, &p->lock);
	atomic_fetch_sub(&p->asleep, 1);
	pthread_mutex_unlock(&p->lock);
}

static void *
work(void *arg)
{
	struct worker *w = arg;
	struct gvk_pool *p = w->pool;

	while (!atomic_load(&p->stop)) {
		take_parts(p, w->index);
		if (!spin_for_work(p))
			sleep_for_work(p);
	}
	return NULL;
}

static void
wait_for_parts(struct gvk_pool *p)
{
	int64_t end = now_ns() + SPIN_NS;
	int i;

	do {
		for (i = 0; i < 64; i++) {
			if (atomic_load(&p->done) == p->parts)
				return;
			relax();
		}
	} while (now_ns() < end);
	pthread_mutex_lock(&p->lock);
	atomic_store(&p->waiting, true);
	while (atomic_load(&p->done) != p->parts)
		pthread_cond_wait(&p->finished, &p->lock);
	atomic_store(&p->waiting, false);
	pthread_mutex_unlock(&p->lock);
}

void
gvk_pool_run(struct gvk_pool *p, int64_t parts,
    void (*fn)(void *arg, int64_t part, int thread), void *arg)
{
	int64_t i;

	if (parts <= 0)
		return;
	pthread_mutex_lock(&p->caller);
	if (parts == 1 || p->threads == 1) {
		for (i = 0; i < parts; i++)
			fn(arg, i, 0);
		pthread_mutex_unlock(&p->caller);
		return;
	}
	p->fn = fn;
	p->arg = arg;
	p->parts = parts;
	atomic_store(&p->done, 0);
	atomic_store(&p->left, parts);
	if (atomic_load(&p->asleep) > 0) {
		pthread_mutex_lock(&p->lock);
		pthread_cond_broadcast(&p->work);
		pthread_mutex_unlock(&p->lock);
	}
	take_parts(p, 0);
	wait_for_parts(p);
	pthread_mutex_unlock(&p->caller);
}

int
gvk_pool_threads(const struct gvk_pool *p)
{
	return p->threads;
}

void *
gvk_pool_scratch(struct gvk_pool *p, int thread)
{
	return p->worker[thread].scratch;
}

int
gvk_pool_open(struct gvk_pool **out, int threads)
{
	struct gvk_pool *p;
	int i;

	p = aligned_alloc(64, (sizeof *p + 63) & ~(size_t)63);
	if (!p)
		return -1;
	*p = (struct gvk_pool){.threads = threads};
	pthread_mutex_init(&p->caller, NULL);
	pthread_mutex_init(&p->lock, NULL);
	pthread_cond_init(&p->work, NULL);
	pthread_cond_init(&p->finished, NULL);
	p->worker = calloc((size_t)threads, sizeof *p->worker);
	for (i = 0; p->worker && i < threads; i++) {
		struct worker *w = &p->worker[i];

		w->pool = p;
		w->index = i;
		w->scratch = aligned_alloc(HUGE_PAGE, GVK_SCRATCH);
		if (!w->scratch)
			break;
		madvise(w->scratch, GVK_SCRATCH, MADV_HUGEPAGE);
		if (i > 0 && pthread_create(&w->thread, NULL, work, w))
			break;
		p->started = i + 1;
	}
	*out = p;
	if (p->started == threads)
		return 0;
	gvk_pool_close(out);
	return -1;
}

void
gvk_pool_close(struct gvk_pool **pp)
{
	struct gvk_pool *p = *pp;
	int i;

	*pp = NULL;
	if (!p)
		return;
	pthread_mutex_lock(&p->lock);
	atomic_store(&p->stop, true);
	pthread_cond_broadcast(&p->work);
	pthread_mutex_unlock(&p->lock);
	for (i = 1; i < p->started; i++)
		pthread_join(p->worker[i].thread, NULL);
	for (i = 0; p->worker && i < p->threads; i++)
		free(p->worker[i].scratch);
	free(p->worker);
	pthread_cond_destroy(&p->finished);
	pthread_cond_destroy(&p->work);
	pthread_mutex_destroy(&p->lock);
	pthread_mutex_destroy(&p->caller);
	free(p);
}
