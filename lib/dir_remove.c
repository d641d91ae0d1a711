/* Removing directories, and what processes that died left of theirs. */
#include "dir_priv.h"

#include "banned.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAX_DEPTH 16
#define MAX_OPEN  8

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
gv_remove_at(int at, const char *name)
{
	return remove_at(at, name, 0);
}

int
gv_remove_tree(const char *path, struct gv_error *e)
{
	if (gv_remove_at(AT_FDCWD, path) && errno != ENOENT)
		return gv_fail(e, GV_ERR_SYS, "cannot remove '%s':", path);
	return 0;
}

/* ---- when the process dies ----------------------------------------------- */

/* Directories and lock files that a dying process must remove. */
static _Atomic(char *) building[MAX_OPEN];

int
gv_cleanup_add(char *path)
{
	int i;

	for (i = 0; i < MAX_OPEN; i++) {
		char *none = NULL;

		if (atomic_compare_exchange_strong(&building[i], &none, path))
			return i;
	}
	return -1;
}

void
gv_cleanup_drop(int slot)
{
	if (slot >= 0)
		atomic_store(&building[slot], NULL);
}

void
gv_dir_cleanup(void)
{
	int i;

	for (i = 0; i < MAX_OPEN; i++) {
		char *p = atomic_load(&building[i]);

		if (p)
			(void)gv_remove_at(AT_FDCWD, p);
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
		(void)gv_remove_at(parent, name);
	close(fd);
}

void
gv_dir_sweep_of(const char *parent, const char *base)
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
	gv_dir_sweep_of(parent, NULL);
}
