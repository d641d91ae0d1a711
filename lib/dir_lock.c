/* One writer at a time: a lock beside what is written. */
#include "dir_priv.h"

#include "mem.h"
#include "banned.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

struct gv_lock {
	int fd, slot; /* see gv_cleanup_add() */
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
		return gv_fail(e, GV_ERR_NOMEM, "out of memory");
	while (n > 1 && path[n - 1] == '/')
		n--;
	l->file = gv_alloc(n + 6, 1);
	if (!l->file) {
		gv_free(l);
		return gv_fail(e, GV_ERR_NOMEM, "out of memory");
	}
	snprintf(l->file, n + 6, "%.*s.lock", (int)n, path);
	if (take(l, path, e)) {
		gv_free(l->file);
		gv_free(l);
		return e->code;
	}
	l->slot = gv_cleanup_add(l->file);
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
	gv_cleanup_drop(l->slot);
	close(l->fd);
	gv_free(l->file);
	gv_free(l);
}
