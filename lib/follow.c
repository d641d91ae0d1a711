/* A sampler's side: what the trainer's page says, and its weights. */
#include "publish_priv.h"

#include "clock.h"
#include "mem.h"
#include "banned.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define PATIENCE 250 /* milliseconds between looks at the trainer's lock */

struct gv_follow {
	struct gv_model *m;
	struct gv_page *page;
	int fd; /* of the page's file */
	char *copy[GV_PAGE_COPIES];
	const struct gv_out *out; /* or NULL */
	int64_t version; /* the model's, -1: its own */
	double took;
	char run[GV_PATH_MAX - 64];
};

/* ---- waiting ------------------------------------------------------------- */

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
await(struct gv_page *g, uint32_t event)
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
	if (memcmp(f->page->magic, GV_PAGE_MAGIC, sizeof f->page->magic) ||
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

	gv_page_path(path, f->run, "");
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

/* ---- opening ------------------------------------------------------------- */

/* The model is the trainer's but for the weights that train. */
static int
check_model(
    const struct gv_follow *f, const char *model_dir, struct gv_error *e)
{
	const struct gv_page *g = f->page;
	char digest[GV_DIGEST], layout[GV_DIGEST];
	unsigned parts = 0;
	size_t bytes = 0;
	int i;

	for (i = 0; i < GV_PARTS; i++) {
		if (!f->m->part[i].n)
			continue;
		if (!g->frozen[i][0]) {
			parts |= 1u << i;
			bytes += gv_page_part(f->m, i);
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
	if (gv_page_layout(f->m, parts, layout, e))
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
	    (uint64_t)st.st_size == GV_PAGE_COPIES * (uint64_t)bytes)
		v = mmap(
		    NULL, GV_PAGE_COPIES * bytes, PROT_READ, MAP_SHARED, fd, 0);
	if (fd >= 0)
		close(fd);
	if (v == MAP_FAILED)
		return gv_fail(e, GV_ERR_DEVICE,
		    "cannot share the memory of the trainer that publishes "
		    "into '%s'",
		    f->run);
	for (i = 0; i < GV_PAGE_COPIES; i++)
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
	for (i = 0; i < GV_PAGE_COPIES; i++) {
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
		munmap(f->copy[0], GV_PAGE_COPIES * f->page->bytes);
	for (i = 0; f->page && f->page->fd < 0 && i < GV_PAGE_COPIES; i++)
		if (f->copy[i])
			gvk_shared_close(f->m->k, f->copy[i]);
	if (f->page)
		munmap(f->page, sizeof *f->page);
	if (f->fd >= 0)
		close(f->fd);
	gv_free(f);
}

/* ---- following ----------------------------------------------------------- */

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
		at += gv_page_part(f->m, i);
	}
	return gv_model_sync(f->m, e);
}

/* The copy that holds a version: one, unless newer ones are on their way. */
static int
slot_of(const struct gv_page *g, int64_t version)
{
	int i;

	for (i = 0; i < GV_PAGE_COPIES; i++)
		if (atomic_load(&g->ended[i]) == version + 1)
			return i;
	return -1;
}

int
gv_follow_update(struct gv_follow *f, int64_t *version, struct gv_error *e)
{
	struct gv_page *g = f->page;
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
	struct gv_page *g = f->page;

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
