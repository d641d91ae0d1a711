/* Shared copies of the weights, and the page that says which is which. */
#include "publish.h"

#include "clock.h"
#include "digest.h"
#include "dir.h"
#include "mem.h"
#include "sha.h"
#include "banned.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/futex.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define MAGIC    "gv-pub1"
#define COPIES   2
#define BLOCK    ((size_t)2 << 20) /* the least that a device shares */
#define PATIENCE 250 /* milliseconds between looks at the trainer's lock */

/* RUN/weights, mapped by all.  What is above the line is written once, before
 * the file has its name. */
struct page {
	char magic[8];
	uint32_t size; /* of this struct */
	int32_t pid, fd; /* where host copies are; fd -1: on a device */
	uint32_t dtype; /* enum gvk_dtype */
	uint64_t bytes; /* of one copy */
	char layout[GV_DIGEST]; /* of the tensors' names and places */
	char frozen[GV_PARTS][GV_DIGEST]; /* "" where the part trains */
	unsigned char handle[COPIES][GVK_HANDLE];
	/* ------------------------------------------------------------------ */
	_Atomic uint32_t event; /* changes with all below */
	_Atomic uint32_t finished;
	_Atomic uint64_t wanted, used, next;
	_Atomic int64_t version; /* -1: none yet; stored last */
	/* version + 1 of each copy, before and after it was written */
	_Atomic int64_t began[COPIES], ended[COPIES];
};

/* Of "RUN/weights" and a tail; a run whose name is too long ends in "". */
static void
path_of(char path[GV_PATH_MAX], const char *run, const char *tail)
{
	if (snprintf(path, GV_PATH_MAX, "%s/weights%s", run, tail) >=
	    GV_PATH_MAX)
		path[0] = '\0';
}

/* ---- what both sides compute --------------------------------------------- */

/* The tensors of the parts in `parts`: their names, and where they are. */
static int
layout_digest(const struct gv_model *m, unsigned parts, char out[GV_DIGEST],
    struct gv_error *e)
{
	size_t cap = m->nparams * (sizeof m->param->name + 64) + 1, n = 0, i;
	char *s = gv_alloc(cap, 1);
	int r = 0;

	if (!s)
		return gv_fail(e, GV_ERR_NOMEM, "out of memory");
	for (i = 0; i < m->nparams; i++) {
		const struct gv_param *p = &m->param[i];

		if (parts & 1u << p->part)
			n += (size_t)snprintf(s + n, cap - n, "%s %zu %zu\n",
			    p->name, p->at, p->n);
	}
	if (!gv_sha_of(s, n, out))
		r = gv_fail(e, GV_ERR_NOMEM, "out of memory");
	gv_free(s);
	return r;
}

static size_t
part_bytes(const struct gv_model *m, int part)
{
	return gv_align(m->part[part].n * gvk_dtype_size(m->wtype));
}

static void
wake(struct page *g)
{
	atomic_fetch_add(&g->event, 1);
	syscall(SYS_futex, &g->event, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
}

/* ---- the trainer --------------------------------------------------------- */

struct gv_publish {
	struct gv_model *m;
	struct page *page;
	int fd; /* of the page's file, which holds the lock */
	int mem; /* memfd, or -1 */
	char *copy[COPIES]; /* host or device */
	uint64_t turn;
	double took;
	char path[GV_PATH_MAX];
};

/* Where the two copies are: one memfd, or two blocks of the device. */
static int
open_copies(struct gv_publish *p, struct gv_error *e)
{
	size_t bytes = p->page->bytes;
	char err[256];
	void *v;
	int i;

	p->page->fd = -1;
	if (gvk_is_host(p->m->k)) {
		p->mem = memfd_create("gv-weights", MFD_CLOEXEC);
		if (p->mem < 0 || ftruncate(p->mem, (off_t)(COPIES * bytes)))
			return gv_fail(e, GV_ERR_SYS, "no shared memory:");
		v = mmap(NULL, COPIES * bytes, PROT_READ | PROT_WRITE,
		    MAP_SHARED, p->mem, 0);
		if (v == MAP_FAILED)
			return gv_fail(e, GV_ERR_SYS, "no shared memory:");
		for (i = 0; i < COPIES; i++)
			p->copy[i] = (char *)v + (size_t)i * bytes;
		p->page->pid = getpid();
		p->page->fd = p->mem;
		return 0;
	}
	for (i = 0; i < COPIES; i++) {
		p->copy[i] = gvk_alloc(p->m->k, bytes < BLOCK ? BLOCK : bytes);
		if (!p->copy[i])
			return gv_fail(e, GV_ERR_NOMEM,
			    "no device memory for published weights");
		if (gvk_share(p->m->k, p->copy[i], p->page->handle[i], err,
			sizeof err))
			return gv_fail(e, GV_ERR_DEVICE, "%s", err);
	}
	return 0;
}

static void
close_copies(struct gv_publish *p)
{
	int i;

	if (p->mem >= 0) {
		if (p->copy[0])
			munmap(p->copy[0], COPIES * p->page->bytes);
		close(p->mem);
		return;
	}
	for (i = 0; i < COPIES; i++)
		gvk_free(p->m->k, p->copy[i]);
}

static int
fill_page(struct gv_publish *p, const char *model_dir, struct gv_error *e)
{
	struct page *g = p->page;
	unsigned parts = 0;
	int i;

	memcpy(g->magic, MAGIC, sizeof g->magic);
	g->size = sizeof *g;
	g->dtype = (uint32_t)p->m->wtype;
	atomic_store(&g->version, -1);
	for (i = 0; i < GV_PARTS; i++) {
		if (p->m->part[i].trains) {
			parts |= 1u << i;
			g->bytes += part_bytes(p->m, i);
		} else if (p->m->part[i].n &&
			   gv_digest_part(
			       model_dir, (enum gv_part)i, g->frozen[i], e)) {
			return e->code;
		}
	}
	return layout_digest(p->m, parts, g->layout, e);
}

/* Nobody may publish where somebody does. */
static int
check_free(const char *path, struct gv_error *e)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC), r;

	if (fd < 0)
		return 0;
	r = flock(fd, LOCK_SH | LOCK_NB); /* as samplers look at it, too */
	close(fd);
	if (!r)
		return 0;
	return gv_fail(
	    e, GV_ERR_MATCH, "another process publishes weights at '%s'", path);
}

/* The page's file, not yet under its name, locked. */
static int
open_page(struct gv_publish *p, const char *tmp, struct gv_error *e)
{
	void *v;

	p->fd = open(tmp, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (p->fd < 0 || ftruncate(p->fd, sizeof *p->page) ||
	    flock(p->fd, LOCK_EX | LOCK_NB))
		return gv_fail(e, GV_ERR_SYS, "cannot write '%s':", tmp);
	v = mmap(NULL, sizeof *p->page, PROT_READ | PROT_WRITE, MAP_SHARED,
	    p->fd, 0);
	if (v == MAP_FAILED)
		return gv_fail(e, GV_ERR_SYS, "cannot map '%s':", tmp);
	p->page = v;
	return 0;
}

/* Makes RUN and takes its lock, which keeps those apart who begin at the same
 * time: its descriptor, or -1. */
static int
lock_run(const char *run, struct gv_error *e)
{
	int fd;

	if (mkdir(run, 0777) && errno != EEXIST) {
		gv_fail(e, GV_ERR_SYS, "cannot make '%s':", run);
		return -1;
	}
	fd = open(run, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || flock(fd, LOCK_EX)) {
		gv_fail(e, GV_ERR_SYS, "cannot lock '%s':", run);
		if (fd >= 0)
			close(fd);
		return -1;
	}
	return fd;
}

int
gv_publish_open(struct gv_publish **out, struct gv_model *m, const char *run,
    const char *model_dir, struct gv_error *e)
{
	struct gv_publish *p = gv_alloc(1, sizeof *p);
	char tmp[GV_PATH_MAX], tail[32];
	int lock;

	if (!p)
		return gv_fail(e, GV_ERR_NOMEM, "out of memory");
	p->m = m;
	p->fd = p->mem = -1;
	*out = p;
	snprintf(tail, sizeof tail, ".tmp.%d", (int)getpid());
	path_of(tmp, run, tail);
	path_of(p->path, run, "");
	lock = lock_run(run, e);
	if (!e->code && !check_free(p->path, e) && !open_page(p, tmp, e) &&
	    !fill_page(p, model_dir, e) && !open_copies(p, e) &&
	    rename(tmp, p->path))
		gv_fail(e, GV_ERR_SYS, "cannot name '%s':", p->path);
	if (e->code) {
		unlink(tmp);
		p->path[0] = '\0';
		gv_publish_close(out);
	}
	if (lock >= 0)
		close(lock);
	return e->code;
}

int
gv_publish(struct gv_publish *p, int64_t version, uint64_t groups,
    uint64_t next, struct gv_error *e)
{
	uint32_t slot = (uint32_t)(p->turn++ % COPIES);
	double start = gv_now();
	struct page *g = p->page;
	size_t at = 0;
	int i;

	atomic_store(&g->began[slot], version + 1);
	atomic_thread_fence(memory_order_seq_cst);
	for (i = 0; i < GV_PARTS; i++) {
		const struct gv_model_part *part = &p->m->part[i];
		size_t bytes = part->n * gvk_dtype_size(p->m->wtype);

		if (!part->trains)
			continue;
		gvk_copy(p->m->s, p->copy[slot] + at, part->w, bytes);
		at += part_bytes(p->m, i);
	}
	if (gv_model_sync(p->m, e))
		return e->code;
	atomic_store(&g->ended[slot], version + 1);
	atomic_store(&g->used, groups);
	atomic_store(&g->next, next);
	atomic_store(&g->version, version);
	wake(g);
	p->took = gv_now() - start;
	return 0;
}

void
gv_publish_want(struct gv_publish *p, uint64_t groups)
{
	if (groups <= atomic_load(&p->page->wanted))
		return;
	atomic_store(&p->page->wanted, groups);
	wake(p->page);
}

void
gv_publish_finish(struct gv_publish *p)
{
	atomic_store(&p->page->finished, 1);
	wake(p->page);
}

void
gv_publish_close(struct gv_publish **out)
{
	struct gv_publish *p = *out;
	struct stat own, there;

	if (!p)
		return;
	*out = NULL;
	/* which may be another trainer's by now */
	if (p->path[0] && !fstat(p->fd, &own) && !stat(p->path, &there) &&
	    own.st_ino == there.st_ino && own.st_dev == there.st_dev)
		unlink(p->path);
	if (p->page) {
		close_copies(p);
		munmap(p->page, sizeof *p->page);
	}
	if (p->fd >= 0)
		close(p->fd);
	gv_free(p);
}

double
gv_publish_seconds(const struct gv_publish *p)
{
	return p->took;
}

/* ---- a sampler ----------------------------------------------------------- */

struct gv_follow {
	struct gv_model *m;
	struct page *page;
	int fd; /* of the page's file */
	char *copy[COPIES];
	const struct gv_out *out; /* or NULL */
	int64_t version; /* the model's, -1: its own */
	double took;
	char run[GV_PATH_MAX - 64];
};

/* Somebody holds the trainer's lock. */
static bool
alive(int fd)
{
	if (flock(fd, LOCK_SH | LOCK_NB))
		return true;
	flock(fd, LOCK_UN);
	return false;
}

/* Waits up to PATIENCE for a change since `event`. */
static void
await(struct page *g, uint32_t event)
{
	struct timespec t = {0, PATIENCE * 1000000L};

	syscall(SYS_futex, &g->event, FUTEX_WAIT, event, &t, NULL, 0);
}

/* Maps RUN/weights if a trainer is behind it: 1, or 0 if not yet. */
static int
try_page(struct gv_follow *f, const char *path, struct gv_error *e)
{
	struct stat st;
	void *v;

	f->fd = open(path, O_RDWR | O_CLOEXEC);
	if (f->fd < 0)
		return errno == ENOENT
			   ? 0
			   : gv_fail(e, GV_ERR_SYS, "cannot open '%s':", path);
	if (fstat(f->fd, &st) || !alive(f->fd)) {
		close(f->fd);
		f->fd = -1;
		return 0;
	}
	if (st.st_size != (off_t)sizeof *f->page)
		return gv_fail(e, GV_ERR_MATCH,
		    "'%s' is not from a trainer of this version", path);
	v = mmap(NULL, sizeof *f->page, PROT_READ | PROT_WRITE, MAP_SHARED,
	    f->fd, 0);
	if (v == MAP_FAILED)
		return gv_fail(e, GV_ERR_SYS, "cannot map '%s':", path);
	f->page = v;
	if (memcmp(f->page->magic, MAGIC, sizeof f->page->magic) ||
	    f->page->size != sizeof *f->page)
		return gv_fail(e, GV_ERR_MATCH,
		    "'%s' is not from a trainer of this version", path);
	return 1;
}

static int
gone(const struct gv_follow *f, struct gv_error *e)
{
	return gv_fail(e, GV_ERR_DEVICE,
	    "the trainer that publishes into '%s' has died", f->run);
}

/* Nobody takes the samples any more. */
static int
unread(const struct gv_follow *f, struct gv_error *e)
{
	return f->out ? gv_out_unread(f->out, e) : 0;
}

/* One look for a trainer, or for its first weights, and a while: 1: they are
 * there; 0: not yet. */
static int
look_for_first(struct gv_follow *f, const char *path, struct gv_error *e)
{
	const struct timespec nap = {0, 20000000L};
	uint32_t event;
	int r = f->page ? 1 : try_page(f, path, e);

	if (r < 0 || unread(f, e))
		return e->code;
	if (!r) {
		nanosleep(&nap, NULL);
		return 0;
	}
	event = atomic_load(&f->page->event);
	if (atomic_load(&f->page->version) >= 0)
		return 1;
	if (!alive(f->fd))
		return gone(f, e);
	await(f->page, event);
	return 0;
}

/* Waits for a trainer and its first weights. */
static int
wait_for_first(
    struct gv_follow *f, const struct gv_follow_opts *o, struct gv_error *e)
{
	double start = gv_now(), waited = 0;
	bool told = !o->late;
	char path[GV_PATH_MAX];
	int r;

	path_of(path, f->run, "");
	while ((r = look_for_first(f, path, e)) == 0 && waited < o->patience) {
		waited = gv_now() - start;
		if (told || waited <= o->soon)
			continue;
		o->late(o->arg);
		told = true;
	}
	if (r)
		return r < 0 ? r : 0;
	return gv_fail(e, GV_ERR_DEVICE,
	    "no trainer has published weights into '%s' within %.0f s", f->run,
	    o->patience);
}

/* The model is the trainer's but for the weights that train. */
static int
check_model(
    const struct gv_follow *f, const char *model_dir, struct gv_error *e)
{
	const struct page *g = f->page;
	char digest[GV_DIGEST], layout[GV_DIGEST];
	unsigned parts = 0;
	size_t bytes = 0;
	int i;

	for (i = 0; i < GV_PARTS; i++) {
		if (!f->m->part[i].n)
			continue;
		if (!g->frozen[i][0]) {
			parts |= 1u << i;
			bytes += part_bytes(f->m, i);
		} else if (f->m->part[i].w) {
			if (gv_digest_part(
				model_dir, (enum gv_part)i, digest, e))
				return e->code;
			if (memcmp(digest, g->frozen[i], sizeof digest))
				return gv_fail(e, GV_ERR_MATCH,
				    "the %s part of '%s' is not the one that "
				    "the trainer of '%s' has",
				    gv_part_name((enum gv_part)i), model_dir,
				    f->run);
		}
	}
	if (layout_digest(f->m, parts, layout, e))
		return e->code;
	if (bytes != g->bytes || memcmp(layout, g->layout, sizeof layout))
		return gv_fail(e, GV_ERR_MATCH,
		    "the model that is published into '%s' has other tensors "
		    "than '%s', or is on another device",
		    f->run, model_dir);
	if (g->dtype != (uint32_t)f->m->wtype ||
	    gvk_is_host(f->m->k) != (g->fd >= 0))
		return gv_fail(e, GV_ERR_MATCH,
		    "the trainer of '%s' is on another device (--device)",
		    f->run);
	return 0;
}

/* The memory of the trainer's process. */
static int
map_host(struct gv_follow *f, struct gv_error *e)
{
	size_t bytes = f->page->bytes;
	char path[64];
	struct stat st;
	void *v = MAP_FAILED;
	int fd, i;

	snprintf(path, sizeof path, "/proc/%d/fd/%d", (int)f->page->pid,
	    (int)f->page->fd);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd >= 0 && !fstat(fd, &st) &&
	    (uint64_t)st.st_size == COPIES * (uint64_t)bytes)
		v = mmap(NULL, COPIES * bytes, PROT_READ, MAP_SHARED, fd, 0);
	if (fd >= 0)
		close(fd);
	if (v == MAP_FAILED)
		return gv_fail(e, GV_ERR_DEVICE,
		    "cannot share the memory of the trainer that publishes "
		    "into '%s'",
		    f->run);
	for (i = 0; i < COPIES; i++)
		f->copy[i] = (char *)v + (size_t)i * bytes;
	return 0;
}

static int
map_copies(struct gv_follow *f, struct gv_error *e)
{
	char err[256];
	int i;

	if (f->page->fd >= 0)
		return map_host(f, e);
	for (i = 0; i < COPIES; i++) {
		f->copy[i] = gvk_shared_open(
		    f->m->k, f->page->handle[i], err, sizeof err);
		if (!f->copy[i])
			return gv_fail(e, GV_ERR_DEVICE,
			    "cannot share the GPU memory of the trainer that "
			    "publishes into '%s': %s",
			    f->run, err);
	}
	return 0;
}

int
gv_follow_open(struct gv_follow **out, struct gv_model *m,
    const struct gv_follow_opts *o, struct gv_error *e)
{
	struct gv_follow *f = gv_alloc(1, sizeof *f);

	if (!f)
		return gv_fail(e, GV_ERR_NOMEM, "out of memory");
	f->m = m;
	f->fd = -1;
	f->version = -1;
	f->out = o->out;
	snprintf(f->run, sizeof f->run, "%s", o->run);
	*out = f;
	if (wait_for_first(f, o, e) || check_model(f, o->model, e) ||
	    map_copies(f, e))
		gv_follow_close(out);
	return e->code;
}

void
gv_follow_close(struct gv_follow **out)
{
	struct gv_follow *f = *out;
	int i;

	if (!f)
		return;
	*out = NULL;
	if (f->page && f->page->fd >= 0 && f->copy[0])
		munmap(f->copy[0], COPIES * f->page->bytes);
	for (i = 0; f->page && f->page->fd < 0 && i < COPIES; i++)
		if (f->copy[i])
			gvk_shared_close(f->m->k, f->copy[i]);
	if (f->page)
		munmap(f->page, sizeof *f->page);
	if (f->fd >= 0)
		close(f->fd);
	gv_free(f);
}

bool
gv_follow_trains(const struct gv_follow *f, enum gv_part part)
{
	return f->m->part[part].n && !f->page->frozen[part][0];
}

void
gv_follow_state(const struct gv_follow *f, struct gv_follow_state *s)
{
	s->version = atomic_load(&f->page->version);
	s->used = atomic_load(&f->page->used);
	s->next = atomic_load(&f->page->next);
	s->wanted = atomic_load(&f->page->wanted);
	s->finished = atomic_load(&f->page->finished);
}

/* Queues the copy of one slot and waits for it. */
static int
take_copy(struct gv_follow *f, uint32_t slot, struct gv_error *e)
{
	size_t at = 0;
	int i;

	for (i = 0; i < GV_PARTS; i++) {
		const struct gv_model_part *part = &f->m->part[i];

		if (!part->n || f->page->frozen[i][0])
			continue;
		if (part->w)
			gvk_copy(f->m->s, part->w, f->copy[slot] + at,
			    part->n * gvk_dtype_size(f->m->wtype));
		at += part_bytes(f->m, i);
	}
	return gv_model_sync(f->m, e);
}

/* The copy that holds a version: one, unless newer ones are on their way. */
static int
slot_of(const struct page *g, int64_t version)
{
	int i;

	for (i = 0; i < COPIES; i++)
		if (atomic_load(&g->ended[i]) == version + 1)
			return i;
	return -1;
}

int
gv_follow_update(struct gv_follow *f, int64_t *version, struct gv_error *e)
{
	struct page *g = f->page;
	double start = gv_now();
	int64_t v;
	int slot;

	if (atomic_load(&g->version) == f->version)
		return 0;
	do {
		v = atomic_load(&g->version);
		slot = slot_of(g, v);
		if (slot >= 0 && take_copy(f, (uint32_t)slot, e))
			return e->code;
		atomic_thread_fence(memory_order_seq_cst);
	} while (slot < 0 || atomic_load(&g->began[slot]) != v + 1);
	*version = f->version = v;
	f->took = gv_now() - start;
	return 1;
}

int
gv_follow_wait(struct gv_follow *f, uint64_t have, struct gv_error *e)
{
	struct page *g = f->page;

	for (;;) {
		uint32_t event = atomic_load(&g->event);

		if (atomic_load(&g->finished))
			return 0;
		if (atomic_load(&g->version) != f->version ||
		    atomic_load(&g->wanted) > have)
			return 1;
		if (!alive(f->fd))
			return gone(f, e);
		if (unread(f, e))
			return e->code;
		await(g, event);
	}
}

double
gv_follow_seconds(const struct gv_follow *f)
{
	return f->took;
}
