/* Whole directories put into place with one rename. */
#include "dir.h"

#include "io.h"
#include "mem.h"
#include "banned.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define MARKER    "config.json"
#define MAX_DEPTH 16
#define MAX_OPEN  8

struct gv_dir {
	char *path, *parent, *tmp;
	int fd; /* of tmp; holds its flock */
	int slot; /* in building[], or -1 */
};

/* Directories and lock files that a dying process must remove. */
static _Atomic(char *) building[MAX_OPEN];

/* Enters a path there; its slot, or -1 if all are taken. */
static int
remember(char *path)
{
	int i;

	for (i = 0; i < MAX_OPEN; i++) {
		char *none = NULL;

		if (atomic_compare_exchange_strong(&building[i], &none, path))
			return i;
	}
	return -1;
}

static void
forget(int slot)
{
	if (slot >= 0)
		atomic_store(&building[slot], NULL);
}

static int
no_memory(struct gv_error *e)
{
	return gv_fail(e, GV_ERR_NOMEM, "out of memory");
}

/* ---- removing ------------------------------------------------------------ */

static int remove_at(int at, const char *name, int depth);

/* One pass over an open directory; the number of entries that went, or -1. */
static int
empty_once(int fd, int depth)
{
	union {
		char bytes[4096];
		struct dirent64 align;
	} buf;
	ssize_t n, i;
	int gone = 0;

	if (lseek(fd, 0, SEEK_SET) < 0)
		return -1;
	while ((n = getdents64(fd, buf.bytes, sizeof buf.bytes)) > 0)
		for (i = 0; i < n;) {
			const struct dirent64 *d =
			    (const void *)(buf.bytes + i);

			i += d->d_reclen;
			if (!strcmp(d->d_name, ".") || !strcmp(d->d_name, ".."))
				continue;
			if (remove_at(fd, d->d_name, depth + 1))
				return -1;
			gone++;
		}
	return n < 0 ? -1 : gone;
}

/* Removes a name and what is below it; 0, or -1 with errno.  Uses no heap, so
 * that a signal handler may call it. */
static int
remove_at(int at, const char *name, int depth)
{
	int fd, n, saved;

	if (!unlinkat(at, name, 0))
		return 0;
	if (errno != EISDIR && errno != EPERM)
		return -1;
	if (depth == MAX_DEPTH) {
		errno = ELOOP;
		return -1;
	}
	fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return -1;
	/* removing while reading may hide entries: until a pass finds none */
	while ((n = empty_once(fd, depth)) > 0)
		;
	saved = errno;
	close(fd);
	errno = saved;
	return n < 0 ? -1 : unlinkat(at, name, AT_REMOVEDIR);
}

int
gv_remove_tree(const char *path, struct gv_error *e)
{
	if (remove_at(AT_FDCWD, path, 0) && errno != ENOENT)
		return gv_fail(e, GV_ERR_SYS, "cannot remove '%s':", path);
	return 0;
}

void
gv_dir_cleanup(void)
{
	int i;

	for (i = 0; i < MAX_OPEN; i++) {
		char *p = atomic_load(&building[i]);

		if (p)
			(void)remove_at(AT_FDCWD, p, 0);
	}
}

/* ---- what others left ---------------------------------------------------- */

/* The process number in NAME.tmp.PID or NAME.trash.PID, 0 if it is no such
 * name.  base: NAME must be this; NULL: any. */
static pid_t
owner_of(const char *name, const char *base)
{
	static const char *const mark[] = {".tmp.", ".trash."};
	size_t i, len = base ? strlen(base) : 0;
	const char *at;
	char *end;
	long pid;

	if (base && strncmp(name, base, len))
		return 0;
	for (i = 0; i < 2; i++) {
		at = strstr(name + len, mark[i]);
		if (!at || at == name || (base && at != name + len))
			continue;
		at += strlen(mark[i]);
		if (*at < '1' || *at > '9')
			continue;
		pid = strtol(at, &end, 10);
		if (!*end && pid < INT32_MAX)
			return (pid_t)pid;
	}
	return 0;
}

/* A zombie has a number still, but nothing that it could write.  Where /proc
 * doesn't say, a process counts as alive. */
static bool
alive(pid_t pid)
{
	char path[64], buf[512];
	const char *p;
	ssize_t n;
	int fd;

	if (kill(pid, 0) && errno == ESRCH)
		return false;
	snprintf(path, sizeof path, "/proc/%ld/stat", (long)pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return true;
	n = read(fd, buf, sizeof buf - 1);
	close(fd);
	if (n <= 0)
		return true;
	buf[n] = '\0';
	p = strrchr(buf, ')'); /* the name before it may hold anything */
	return !p || strncmp(p, ") Z", 3);
}

/* Alive processes keep theirs, and so does who holds the flock: a process of
 * our own number in another container, or this one. */
static void
sweep_one(int parent, const char *name, pid_t pid)
{
	struct stat st;
	int fd;

	if (pid != getpid() && alive(pid))
		return;
	if (fstatat(parent, name, &st, AT_SYMLINK_NOFOLLOW))
		return;
	if (S_ISLNK(st.st_mode)) {
		(void)unlinkat(parent, name, 0);
		return;
	}
	fd = openat(
	    parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return;
	if (!flock(fd, LOCK_EX | LOCK_NB))
		(void)remove_at(parent, name, 0);
	close(fd);
}

static void
sweep(const char *parent, const char *base)
{
	DIR *dir = opendir(parent);
	struct dirent *d;

	if (!dir)
		return;
	while ((d = readdir(dir))) {
		pid_t pid = owner_of(d->d_name, base);

		if (pid)
			sweep_one(dirfd(dir), d->d_name, pid);
	}
	closedir(dir);
}

void
gv_dir_sweep(const char *parent)
{
	sweep(parent, NULL);
}

/* ---- names --------------------------------------------------------------- */

/* "PATH.WHAT.PID" */
static char *
sibling(const char *path, const char *what)
{
	size_t cap = strlen(path) + strlen(what) + 24;
	char *s = gv_alloc(cap, 1);

	if (s)
		snprintf(s, cap, "%s.%s.%ld", path, what, (long)getpid());
	return s;
}

/* The directory part of a path, "." if it has none. */
static char *
parent_of(const char *path)
{
	const char *slash = strrchr(path, '/');

	if (!slash)
		return gv_strdup(".");
	return gv_strndup(path, slash == path ? 1 : (size_t)(slash - path));
}

/* d->path without trailing slashes, links followed. */
static int
set_path(struct gv_dir *d, const char *path, struct gv_error *e)
{
	size_t n = strlen(path);
	const char *base;
	struct stat st;
	char *real;

	while (n > 1 && path[n - 1] == '/')
		n--;
	d->path = gv_strndup(path, n);
	if (!d->path)
		return no_memory(e);
	if (!lstat(d->path, &st) && S_ISLNK(st.st_mode)) {
		real = realpath(d->path, NULL);
		if (!real)
			return gv_fail(
			    e, GV_ERR_SYS, "cannot follow '%s':", path);
		gv_free(d->path);
		d->path = gv_strdup(real);
		free(real);
		if (!d->path)
			return no_memory(e);
	}
	base = strrchr(d->path, '/');
	base = base ? base + 1 : d->path;
	if (!*base || !strcmp(base, ".") || !strcmp(base, ".."))
		return gv_fail(e, GV_ERR_MATCH,
		    "cannot replace directory '%s': it needs a name", path);
	if (strlen(d->path) > GV_PATH_MAX - 300)
		return gv_fail(
		    e, GV_ERR_LIMIT, "path '%.40s...' is too long", path);
	d->parent = parent_of(d->path);
	d->tmp = sibling(d->path, "tmp");
	return d->parent && d->tmp ? 0 : no_memory(e);
}

/* ---- building ------------------------------------------------------------ */

static bool
is_empty(const char *path)
{
	DIR *dir = opendir(path);
	struct dirent *d;
	bool empty = dir != NULL;

	if (!dir)
		return false;
	while (empty && (d = readdir(dir)))
		empty = !strcmp(d->d_name, ".") || !strcmp(d->d_name, "..");
	closedir(dir);
	return empty;
}

/* 1 if there is nothing at the path, 0 if what is there may be replaced. */
static int
replaceable(const char *path, struct gv_error *e)
{
	struct stat st;
	char buf[GV_PATH_MAX];

	if (lstat(path, &st)) {
		if (errno == ENOENT)
			return 1;
		return gv_fail(e, GV_ERR_SYS, "cannot write '%s':", path);
	}
	if (!S_ISDIR(st.st_mode))
		return gv_fail(e, GV_ERR_MATCH,
		    "not replacing '%s': it is not a directory", path);
	snprintf(buf, sizeof buf, "%s/" MARKER, path);
	if (lstat(buf, &st) && !is_empty(path))
		return gv_fail(e, GV_ERR_MATCH,
		    "not replacing directory '%s': it holds other things than "
		    "a model",
		    path);
	return 0;
}

static int
make_tmp(struct gv_dir *d, struct gv_error *e)
{
	if (mkdir(d->tmp, 0777)) {
		if (errno == EEXIST)
			return gv_fail(e, GV_ERR_SYS,
			    "'%s' is being written already", d->path);
		return gv_fail(e, GV_ERR_SYS, "cannot make '%s':", d->tmp);
	}
	d->slot = remember(d->tmp);
	d->fd = open(d->tmp, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (d->fd < 0 || flock(d->fd, LOCK_EX | LOCK_NB)) {
		gv_fail(e, GV_ERR_SYS, "cannot lock '%s':", d->tmp);
		(void)remove_at(AT_FDCWD, d->tmp, 0);
	}
	return e->code;
}

static void
dir_free(struct gv_dir *d)
{
	forget(d->slot);
	if (d->fd >= 0)
		close(d->fd);
	gv_free(d->path);
	gv_free(d->parent);
	gv_free(d->tmp);
	gv_free(d);
}

int
gv_dir_begin(struct gv_dir **out, const char *path, struct gv_error *e)
{
	struct gv_dir *d = gv_alloc(1, sizeof *d);
	const char *base;

	if (!d)
		return no_memory(e);
	d->fd = d->slot = -1;
	if (set_path(d, path, e) || replaceable(d->path, e) < 0)
		goto fail;
	base = strrchr(d->path, '/');
	sweep(d->parent, base ? base + 1 : d->path);
	if (make_tmp(d, e))
		goto fail;
	*out = d;
	return 0;
fail:
	dir_free(d);
	return e->code;
}

const char *
gv_dir_tmp(const struct gv_dir *d)
{
	return d->tmp;
}

char *
gv_dir_path(const struct gv_dir *d, const char *name, char buf[GV_PATH_MAX])
{
	/* set_path() left room for a name */
	snprintf(buf, GV_PATH_MAX, "%s/%.255s", d->tmp, name);
	return buf;
}

/* A file system that can't sync directories says EINVAL; that is no fault of
 * ours. */
static int
sync_path(const char *path, struct gv_error *e)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int r = fd < 0 ? -1 : fsync(fd);

	if (r && errno != EINVAL)
		gv_fail(e, GV_ERR_SYS, "cannot sync '%s':", path);
	if (fd >= 0)
		close(fd);
	return e->code;
}

/* No exchange here: the old one steps aside, and back if that fails. */
static int
step_aside(const struct gv_dir *d, const char *trash, struct gv_error *e)
{
	if (rename(d->path, trash))
		return gv_fail(e, GV_ERR_SYS, "cannot rename '%s':", d->path);
	if (!rename(d->tmp, d->path))
		return 0;
	gv_fail(e, GV_ERR_SYS, "cannot rename to '%s':", d->path);
	(void)!rename(trash, d->path);
	return e->code;
}

/* Puts tmp in OUT's place; what was there is then called `trash`. */
static int
put_in_place(const struct gv_dir *d, const char *trash, struct gv_error *e)
{
	int none = replaceable(d->path, e);

	if (none < 0)
		return none;
	if (none && !rename(d->tmp, d->path))
		return 0;
	if (none)
		return gv_fail(
		    e, GV_ERR_SYS, "cannot rename to '%s':", d->path);
	if (!renameat2(AT_FDCWD, d->tmp, AT_FDCWD, d->path, RENAME_EXCHANGE)) {
		/* if this fails the old one goes by the name tmp, as well */
		(void)!rename(d->tmp, trash);
		return 0;
	}
	if (errno != EINVAL && errno != ENOSYS && errno != ENOTSUP)
		return gv_fail(e, GV_ERR_SYS, "cannot exchange '%s':", d->path);
	return step_aside(d, trash, e);
}

int
gv_dir_commit(struct gv_dir **out, struct gv_error *e)
{
	struct gv_dir *d = *out;
	char *trash = sibling(d->path, "trash");
	int r;

	if (!trash)
		r = no_memory(e);
	else
		r = sync_path(d->tmp, e);
	if (!r)
		r = put_in_place(d, trash, e);
	if (r) {
		gv_free(trash);
		gv_dir_abort(out);
		return r;
	}
	/* the name tmp is not ours any more */
	*out = NULL;
	r = sync_path(d->parent, e);
	if (!r) {
		(void)remove_at(AT_FDCWD, trash, 0);
		(void)remove_at(AT_FDCWD, d->tmp, 0);
	}
	gv_free(trash);
	dir_free(d);
	return r;
}

void
gv_dir_abort(struct gv_dir **out)
{
	struct gv_dir *d = *out;

	if (!d)
		return;
	*out = NULL;
	(void)remove_at(AT_FDCWD, d->tmp, 0);
	dir_free(d);
}

/* ---- keeping house ------------------------------------------------------- */

int
gv_dir_remove(const char *path, struct gv_error *e)
{
	char *trash = sibling(path, "trash"), *parent = parent_of(path);
	const char *base = strrchr(path, '/');
	int r = 0;

	if (!trash || !parent) {
		gv_free(trash);
		gv_free(parent);
		return no_memory(e);
	}
	sweep(parent, base ? base + 1 : path);
	gv_free(parent);
	if (rename(path, trash) && errno != ENOENT)
		r = gv_fail(e, GV_ERR_SYS, "cannot remove '%s':", path);
	else
		r = gv_remove_tree(trash, e);
	gv_free(trash);
	return r;
}

int
gv_copy_file(const char *from, const char *to, struct gv_error *e)
{
	struct gv_out *o;
	struct gv_map m;
	int r;

	if (gv_map_open(&m, from, e))
		return e->code;
	r = gv_out_open(&o, to, true, false, e);
	if (!r) {
		r = gv_out_write(o, m.data, m.size, e);
		if (r)
			gv_out_abort(&o);
		else
			r = gv_out_commit(&o, e);
	}
	gv_map_close(&m);
	return r;
}

int
gv_link_replace(const char *link, const char *target, struct gv_error *e)
{
	char *tmp = sibling(link, "tmp"), *parent = parent_of(link);
	int r = 0;

	if (!tmp || !parent) {
		r = no_memory(e);
		goto out;
	}
	(void)unlink(tmp);
	if (symlink(target, tmp)) {
		r = gv_fail(e, GV_ERR_SYS, "cannot make link '%s':", link);
		goto out;
	}
	if (rename(tmp, link)) {
		r = gv_fail(e, GV_ERR_SYS, "cannot replace '%s':", link);
		(void)unlink(tmp);
		goto out;
	}
	r = sync_path(parent, e);
out:
	gv_free(tmp);
	gv_free(parent);
	return r;
}

/* ---- one writer ---------------------------------------------------------- */

struct gv_lock {
	int fd, slot; /* in building[], or -1 */
	char *file;
};

static int
held(int fd, const char *path, struct gv_error *e)
{
	char who[24] = "";
	ssize_t n;

	if (errno != EWOULDBLOCK)
		return gv_fail(e, GV_ERR_SYS, "cannot lock '%s':", path);
	n = pread(fd, who, sizeof who - 1, 0);
	who[n > 0 ? strspn(who, "0123456789") : 0] = '\0';
	return gv_fail(e, GV_ERR_SYS, "'%s' is in use by process %s", path,
	    *who ? who : "unknown");
}

/* An owner removes the file before it lets go, so a lock counts only while the
 * name still leads to the file that was locked. */
static int
take(struct gv_lock *l, const char *path, struct gv_error *e)
{
	struct stat a, b;
	int tries;

	for (tries = 0; tries < 100; tries++) {
		l->fd = open(l->file, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
		if (l->fd < 0)
			return gv_fail(
			    e, GV_ERR_SYS, "cannot open '%s':", l->file);
		if (flock(l->fd, LOCK_EX | LOCK_NB)) {
			held(l->fd, path, e);
			close(l->fd);
			return e->code;
		}
		if (!fstat(l->fd, &a) && !stat(l->file, &b) &&
		    a.st_dev == b.st_dev && a.st_ino == b.st_ino)
			return 0;
		close(l->fd);
	}
	return gv_fail(e, GV_ERR_SYS, "'%s' is in use", path);
}

int
gv_lock(struct gv_lock **out, const char *path, struct gv_error *e)
{
	struct gv_lock *l = gv_alloc(1, sizeof *l);
	size_t n = strlen(path);
	char text[24];

	if (!l)
		return no_memory(e);
	while (n > 1 && path[n - 1] == '/')
		n--;
	l->file = gv_alloc(n + 6, 1);
	if (!l->file) {
		gv_free(l);
		return no_memory(e);
	}
	snprintf(l->file, n + 6, "%.*s.lock", (int)n, path);
	if (take(l, path, e)) {
		gv_free(l->file);
		gv_free(l);
		return e->code;
	}
	l->slot = remember(l->file);
	/* only for the other's message: no fault if it can't be written */
	n = (size_t)snprintf(text, sizeof text, "%ld\n", (long)getpid());
	if (!ftruncate(l->fd, 0))
		(void)!pwrite(l->fd, text, n, 0);
	*out = l;
	return 0;
}

void
gv_unlock(struct gv_lock **out)
{
	struct gv_lock *l = *out;

	if (!l)
		return;
	*out = NULL;
	(void)unlink(l->file);
	forget(l->slot);
	close(l->fd);
	gv_free(l->file);
	gv_free(l);
}
