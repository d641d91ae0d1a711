/* The trainer's side: shared copies of the weights, and the page that says
 * which is which. */
#include "publish_priv.h"

#include "clock.h"
#include "mem.h"
#include "sha.h"
#include "banned.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/futex.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define BLOCK ((size_t)2 << 20) /* the least that a device shares */

/* ---- what both sides compute --------------------------------------------- */

void
gv_page_path(char path[GV_PATH_MAX], const char *run, const char *tail)
{
	if (snprintf(path, GV_PATH_MAX, "%s/weights%s", run, tail) >=
	    GV_PATH_MAX)
		path[0] = '\0';
}

int
gv_page_layout(const struct gv_model *m, unsigned parts, char out[GV_DIGEST],
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

size_t
gv_page_part(const struct gv_model *m, int part)
{
	return gv_align(m->part[part].n * gvk_dtype_size(m->wtype));
}

/* ---- the trainer --------------------------------------------------------- */

struct gv_publish {
	struct gv_model *m;
	struct gv_page *page;
	int fd; /* of the page's file, which holds the lock */
	int mem; /* memfd, or -1 */
	char *copy[GV_PAGE_COPIES]; /* host or device */
	uint64_t turn;
	double took;
	char path[GV_PATH_MAX];
};

static void
wake(struct gv_page *g)
{
	atomic_fetch_add(&g->event, 1);
	syscall(SYS_futex, &g->event, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
}

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
		if (p->mem < 0 ||
		    ftruncate(p->mem, (off_t)(GV_PAGE_COPIES * bytes)))
			return gv_fail(e, GV_ERR_SYS, "no shared memory:");
		v = mmap(NULL, GV_PAGE_COPIES * bytes, PROT_READ | PROT_WRITE,
		    MAP_SHARED, p->mem, 0);
		if (v == MAP_FAILED)
			return gv_fail(e, GV_ERR_SYS, "no shared memory:");
		for (i = 0; i < GV_PAGE_COPIES; i++)
			p->copy[i] = (char *)v + (size_t)i * bytes;
		p->page->pid = getpid();
		p->page->fd = p->mem;
		return 0;
	}
	for (i = 0; i < GV_PAGE_COPIES; i++) {
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
			munmap(p->copy[0], GV_PAGE_COPIES * p->page->bytes);
		close(p->mem);
		return;
	}
	for (i = 0; i < GV_PAGE_COPIES; i++)
		gvk_free(p->m->k, p->copy[i]);
}

static int
fill_page(struct gv_publish *p, const char *model_dir, struct gv_error *e)
{
	struct gv_page *g = p->page;
	unsigned parts = 0;
	int i;

	memcpy(g->magic, GV_PAGE_MAGIC, sizeof g->magic);
	g->size = sizeof *g;
	g->dtype = (uint32_t)p->m->wtype;
	atomic_store(&g->version, -1);
	for (i = 0; i < GV_PARTS; i++) {
		if (p->m->part[i].trains) {
			parts |= 1u << i;
			g->bytes += gv_page_part(p->m, i);
		} else if (p->m->part[i].n &&
			   gv_digest_part(
			       model_dir, (enum gv_part)i, g->frozen[i], e)) {
			return e->code;
		}
	}
	return gv_page_layout(p->m, parts, g->layout, e);
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
	gv_page_path(tmp, run, tail);
	gv_page_path(p->path, run, "");
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
	uint32_t slot = (uint32_t)(p->turn++ % GV_PAGE_COPIES);
	double start = gv_now();
	struct gv_page *g = p->page;
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
		at += gv_page_part(p->m, i);
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
