/* Whole directories put into place with one rename. */
#include "dir_priv.h"

#include "io.h"
#include "mem.h"
#include "banned.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define MARKER "config.json"

struct gv_dir {
	char *path, *parent, *tmp;
	int fd; /* of tmp; holds its flock */
	int slot; /* see gv_cleanup_add() */
};

static int
no_memory(struct gv_error *e)
{
	return gv_fail(e, GV_ERR_NOMEM, "out of memory");
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
	d->slot = gv_cleanup_add(d->tmp);
	d->fd = open(d->tmp, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (d->fd < 0 || flock(d->fd, LOCK_EX | LOCK_NB)) {
		gv_fail(e, GV_ERR_SYS, "cannot lock '%s':", d->tmp);
		(void)gv_remove_at(AT_FDCWD, d->tmp);
	}
	return e->code;
}

static void
dir_free(struct gv_dir *d)
{
	gv_cleanup_drop(d->slot);
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
	gv_dir_sweep_of(d->parent, base ? base + 1 : d->path);
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
int
gv_dir_sync(const char *path, struct gv_error *e)
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
		r = gv_dir_sync(d->tmp, e);
	if (!r)
		r = put_in_place(d, trash, e);
	if (r) {
		gv_free(trash);
		gv_dir_abort(out);
		return r;
	}
	/* the name tmp is not ours any more */
	*out = NULL;
	r = gv_dir_sync(d->parent, e);
	if (!r) {
		(void)gv_remove_at(AT_FDCWD, trash);
		(void)gv_remove_at(AT_FDCWD, d->tmp);
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
	(void)gv_remove_at(AT_FDCWD, d->tmp);
	dir_free(d);
}

void
gv_dir_hold(struct gv_dir *d)
{
	gv_cleanup_drop(d->slot);
	d->slot = -1;
}

void
gv_dir_leave(struct gv_dir **out)
{
	dir_free(*out);
	*out = NULL;
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
	gv_dir_sweep_of(parent, base ? base + 1 : path);
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
	r = gv_dir_sync(parent, e);
out:
	gv_free(tmp);
	gv_free(parent);
	return r;
}
