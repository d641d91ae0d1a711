/* Weights at the speed of memory, or of the bus.
 *
 * Host: the limit is memory bandwidth: each byte of the file is read once, each
 * byte of the parameters written once, right after its page was faulted in.
 *
 * Device: the pinned memory is a ring of GROUPS groups of slots, one piece a
 * slot.  Readers take pieces in order and fill them as their slots come free;
 * the caller queues a group's copies as its pieces get ready, and then waits
 * for the group before, whose slots it gives back:
 *
 *	readers		fill group g+1 (and g+2)
 *	bus		copies group g
 *	caller		waits for group g-1, then for the pieces of g+1
 */
#include "model_load.h"

#include "blocks.h"
#include "mem.h"
#include "banned.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <unistd.h>

#define PIECE       ((size_t)1 << 20) /* numbers, at least a row */
#define GROUPS      3
#define GROUP       8 /* slots */
#define MAX_READERS 16
#define CHUNK       4096 /* numbers that are converted through the stack */

/* Numbers begin .. begin + n of a parameter. */
struct piece {
	uint32_t param;
	size_t begin, n;
};

struct load {
	struct gv_model *m;
	const struct gv_source *src;
	struct piece *piece;
	size_t n, cap;
	atomic_size_t next; /* piece */
	/* device: `ready` counts pieces that stand in each slot, in turn; those
	 * before `free` may be overwritten */
	uint8_t *ring;
	size_t slot_bytes;
	pthread_mutex_t lock;
	pthread_cond_t change;
	size_t freed; /* pieces whose copies have arrived */
	bool *ready; /* by piece */
	bool stop;
};

/* ---- what goes where ----------------------------------------------------- */

/* A parameter is read into its master if that keeps more of it. */
static bool
to_master(const struct load *l, const struct piece *p)
{
	const struct gv_param *q = &l->m->param[p->param];

	return l->m->part[q->part].master &&
	       l->src[p->param].t->dtype != GV_BF16;
}

static enum gv_dtype
type_of(const struct load *l, const struct piece *p)
{
	if (to_master(l, p) || l->m->wtype == GVK_F32)
		return GV_F32;
	return GV_BF16;
}

static void *
place_of(const struct load *l, const struct piece *p)
{
	const struct gv_param *q = &l->m->param[p->param];

	if (to_master(l, p))
		return l->m->part[q->part].master + q->at + p->begin;
	return param(l->m, q->part, q->at + p->begin);
}

/* The other of weights and master, from the one that was read. */
static void
derive(struct load *l, const struct piece *p, struct gvk_stream *s)
{
	const struct gv_param *q = &l->m->param[p->param];
	enum gvk_dtype t = l->m->wtype;
	float *master = l->m->part[q->part].master;
	void *w = param(l->m, q->part, q->at + p->begin);

	if (!master)
		return;
	master += q->at + p->begin;
	if (to_master(l, p))
		gvk_convert(s, w, t, master, GVK_F32, p->n);
	else
		gvk_convert(s, master, GVK_F32, w, t, p->n);
}

static int
cut(struct load *l, size_t i)
{
	const struct gv_param *p = &l->m->param[i];
	/* whole rows, which are whole blocks */
	size_t row = (size_t)p->shape[p->rank - 1];
	size_t most = row < PIECE ? PIECE / row * row : row, at, n;
	void *v = l->piece;

	for (at = 0; at < p->n; at += n) {
		n = p->n - at < most ? p->n - at : most;
		if (gv_grow(&v, &l->cap, l->n + 1, sizeof *l->piece))
			return GV_ERR_NOMEM;
		l->piece = v;
		l->piece[l->n++] = (struct piece){(uint32_t)i, at, n};
		if (n * sizeof(float) > l->slot_bytes)
			l->slot_bytes = gv_align(n * sizeof(float));
	}
	return 0;
}

/* ---- reading ------------------------------------------------------------- */

/* Numbers begin .. begin + n of a tensor as they stand in the file. */
static void
convert(void *dst, enum gv_dtype to, const struct gv_tensor *t, size_t begin,
    size_t n)
{
	size_t per = gv_block_numbers(t->dtype);
	const char *src =
	    (const char *)t->data + begin / per * gv_block_bytes(t->dtype);
	size_t size = gv_dtype_size(to), i, k;
	struct gv_error none = {0};
	float v[CHUNK];

	if (t->dtype == to) {
		memcpy(dst, src, n * size);
		return;
	}
	/* types were checked by gv_names_match(): nothing fails here */
	if (to == GV_F32) {
		(void)!gv_blocks_to_f32(dst, src, t->dtype, n, &none);
		return;
	}
	for (i = 0; i < n; i += k) {
		k = n - i < CHUNK ? n - i : CHUNK;
		(void)!gv_blocks_to_f32(v,
		    src + i / per * gv_block_bytes(t->dtype), t->dtype, k,
		    &none);
		(void)!gv_from_f32((char *)dst + i * size, to, v, k, &none);
	}
}

/* The same where rows of a head stand in pairs, see gv_gguf_paired(). */
static void
convert_paired(void *dst, enum gv_dtype to, const struct gv_source *s,
    size_t begin, size_t n)
{
	size_t row = (size_t)s->t->shape[s->t->rank - 1];
	size_t rows = s->t->rank > 1 ? (size_t)s->t->shape[0] : row, i;
	size_t D = rows / (size_t)s->paired;

	row = s->t->rank > 1 ? row : 1;
	for (i = begin / row; i < (begin + n) / row; i++) {
		size_t head = i / D, r = i % D;
		size_t from = head * D + r % (D / 2) * 2 + r / (D / 2);

		convert(dst, to, s->t, from * row, row);
		dst = (char *)dst + row * gv_dtype_size(to);
	}
}

/* Many pages a call are a third of the work of one fault after the other. */
void
gv_load_touch(const void *data, size_t bytes)
{
#ifdef MADV_POPULATE_READ
	uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
	uintptr_t at = (uintptr_t)data / page * page;

	(void)!madvise(
	    (void *)at, (uintptr_t)data + bytes - at, MADV_POPULATE_READ);
#else
	(void)data;
	(void)bytes;
#endif
}

static void
read_piece(const struct load *l, const struct piece *p, void *dst)
{
	const struct gv_source *s = &l->src[p->param];
	size_t per = gv_block_numbers(s->t->dtype);
	size_t size = gv_block_bytes(s->t->dtype);

	if (!s->made)
		gv_load_touch((const char *)s->t->data + p->begin / per * size,
		    p->n / per * size);
	if (s->paired)
		convert_paired(dst, type_of(l, p), s, p->begin, p->n);
	else
		convert(dst, type_of(l, p), s->t, p->begin, p->n);
}

/* A reader for a host: to where the values belong. */
static void *
read_all(void *arg)
{
	struct load *l = arg;
	size_t i;

	while ((i = atomic_fetch_add(&l->next, 1)) < l->n)
		read_piece(l, &l->piece[i], place_of(l, &l->piece[i]));
	return NULL;
}

static void *
slot_of(const struct load *l, size_t i)
{
	return l->ring + i % (GROUPS * GROUP) * l->slot_bytes;
}

/* A reader for a device: into slots as they come free. */
static void *
fill_slots(void *arg)
{
	struct load *l = arg;
	bool stop = false;
	size_t i;

	while (!stop && (i = atomic_fetch_add(&l->next, 1)) < l->n) {
		pthread_mutex_lock(&l->lock);
		while (i >= l->freed + GROUPS * GROUP && !l->stop)
			pthread_cond_wait(&l->change, &l->lock);
		stop = l->stop;
		pthread_mutex_unlock(&l->lock);
		if (stop)
			break;
		read_piece(l, &l->piece[i], slot_of(l, i));
		pthread_mutex_lock(&l->lock);
		l->ready[i] = true;
		pthread_cond_broadcast(&l->change);
		pthread_mutex_unlock(&l->lock);
	}
	return NULL;
}

/* ---- copying to a device ------------------------------------------------- */

static void
copy_group(struct load *l, size_t first, size_t end, struct gvk_stream *s)
{
	size_t i;

	for (i = first; i < end; i++) {
		const struct piece *p = &l->piece[i];

		pthread_mutex_lock(&l->lock);
		while (!l->ready[i])
			pthread_cond_wait(&l->change, &l->lock);
		pthread_mutex_unlock(&l->lock);
		gvk_put(s, place_of(l, p), slot_of(l, i),
		    p->n * gv_dtype_size(type_of(l, p)));
		derive(l, p, s);
	}
}

static void
give_back(struct load *l, size_t freed, bool stop)
{
	pthread_mutex_lock(&l->lock);
	l->freed = freed;
	l->stop |= stop;
	pthread_cond_broadcast(&l->change);
	pthread_mutex_unlock(&l->lock);
}

/* Copies all pieces, groups in turn on two streams. */
static int
copy_all(struct load *l, struct gv_error *e)
{
	struct gvk_stream *s[2] = {l->m->s, l->m->priv->up};
	size_t at, end = 0, group = 0;
	int r = 0;

	for (at = 0; at < l->n && !r; at = end, group++) {
		end = l->n - at < GROUP ? l->n : at + GROUP;
		copy_group(l, at, end, s[group % 2]);
		if (group) {
			r = gv_sync(s[(group + 1) % 2], e);
			give_back(l, at, r != 0);
		}
	}
	if (!r)
		r = gv_sync(s[0], e);
	if (!r)
		r = gv_sync(s[1], e);
	return r;
}

/* ---- threads ------------------------------------------------------------- */

static int
readers_of(const struct gv_model *m, size_t jobs)
{
	long n = sysconf(_SC_NPROCESSORS_ONLN);

	if (gvk_is_host(m->k))
		n = gvk_threads(m->k);
	n = n < MAX_READERS ? n : MAX_READERS;
	n = (size_t)n < jobs ? n : (long)jobs;
	return n > 1 ? (int)n : 1;
}

/* Runs fn(arg) on `n` more threads, or fewer where there are no more; returns
 * how many. */
static int
start(void *(*fn)(void *), void *arg, pthread_t *thread, int n)
{
	int i;

	for (i = 0; i < n; i++)
		if (pthread_create(&thread[i], NULL, fn, arg))
			break;
	return i;
}

void
gv_load_run(
    const struct gv_model *m, size_t jobs, void *(*fn)(void *), void *arg)
{
	pthread_t thread[MAX_READERS];
	int n = start(fn, arg, thread, readers_of(m, jobs) - 1);

	fn(arg);
	while (n > 0)
		pthread_join(thread[--n], NULL);
}

static int
load_host(struct load *l)
{
	size_t i;

	gv_load_run(l->m, l->n, read_all, l);
	for (i = 0; i < l->n; i++)
		derive(l, &l->piece[i], l->m->s);
	return 0;
}

static int
load_device(struct load *l, struct gv_error *e)
{
	size_t slots = l->n < GROUPS * GROUP ? l->n : GROUPS * GROUP;
	pthread_t thread[MAX_READERS];
	int n, r;

	l->ready = gv_alloc(l->n, sizeof *l->ready);
	l->ring = gvk_host_alloc(l->m->k, slots * l->slot_bytes);
	if (!l->ready || !l->ring) {
		r = gv_fail(e, GV_ERR_NOMEM,
		    "out of memory: no %zu MiB to copy weights through",
		    slots * l->slot_bytes >> 20);
	} else {
		pthread_mutex_init(&l->lock, NULL);
		pthread_cond_init(&l->change, NULL);
		n = start(fill_slots, l, thread, readers_of(l->m, l->n));
		if (n)
			r = copy_all(l, e);
		else
			r = gv_fail(e, GV_ERR_NOMEM, "cannot start a thread");
		give_back(l, l->freed, true);
		while (n > 0)
			pthread_join(thread[--n], NULL);
		pthread_cond_destroy(&l->change);
		pthread_mutex_destroy(&l->lock);
	}
	gvk_host_free(l->m->k, l->ring);
	gv_free(l->ready);
	return r;
}

int
gv_load_tensors(struct gv_model *m, const struct gv_source *src, unsigned parts,
    struct gv_error *e)
{
	struct load l = {.m = m, .src = src};
	size_t i;
	int r = 0;

	for (i = 0; i < m->nparams && !r; i++)
		if (parts & 1u << m->param[i].part &&
		    m->part[m->param[i].part].w && src[i].t)
			r = cut(&l, i);
	if (r)
		gv_fail(e, GV_ERR_NOMEM, "out of memory");
	else if (l.n && gvk_is_host(m->k))
		r = load_host(&l);
	else if (l.n)
		r = load_device(&l, e);
	gv_free(l.piece);
	return r;
}
