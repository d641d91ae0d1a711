/* System calls, each of which may fail or, to read and write, fall short. */
#include "fault.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

/* The names that files with 64-bit offsets once had. */
int open64(const char *path, int flags, ...);
int openat64(int dir, const char *path, int flags, ...);
int ftruncate64(int fd, off_t n);
void *mmap64(void *p, size_t n, int prot, int flags, int fd, off_t at);

static bool
fails(const char *call)
{
	int error = fault_due(call);

	if (error)
		errno = error;
	return error != 0;
}

ssize_t
read(int fd, void *buf, size_t n)
{
	int error = fault_due("read");

	if (error == FAULT_SHORT && n > 1)
		n = 1;
	if (error > 0) {
		errno = error;
		return -1;
	}
	return syscall(SYS_read, fd, buf, n);
}

ssize_t
write(int fd, const void *buf, size_t n)
{
	int error = fault_due("write");

	if (error == FAULT_SHORT && n > 1)
		n = 1;
	if (error > 0) {
		errno = error;
		return -1;
	}
	return syscall(SYS_write, fd, buf, n);
}

static int
open_at(int dir, const char *path, int flags, va_list ap)
{
	bool makes = (flags & O_CREAT) || (flags & O_TMPFILE) == O_TMPFILE;
	mode_t mode = makes ? va_arg(ap, mode_t) : 0;

	if (fails("open"))
		return -1;
	return (int)syscall(SYS_openat, dir, path, flags, mode);
}

int
openat(int dir, const char *path, int flags, ...)
{
	va_list ap;
	int fd;

	va_start(ap, flags);
	fd = open_at(dir, path, flags, ap);
	va_end(ap);
	return fd;
}

int
openat64(int dir, const char *path, int flags, ...)
{
	va_list ap;
	int fd;

	va_start(ap, flags);
	fd = open_at(dir, path, flags, ap);
	va_end(ap);
	return fd;
}

int
open(const char *path, int flags, ...)
{
	va_list ap;
	int fd;

	va_start(ap, flags);
	fd = open_at(AT_FDCWD, path, flags, ap);
	va_end(ap);
	return fd;
}

int
open64(const char *path, int flags, ...)
{
	va_list ap;
	int fd;

	va_start(ap, flags);
	fd = open_at(AT_FDCWD, path, flags, ap);
	va_end(ap);
	return fd;
}

/* As Linux does it: an error is told after the descriptor has gone. */
int
close(int fd)
{
	int r = (int)syscall(SYS_close, fd);

	return fails("close") ? -1 : r;
}

int
fsync(int fd)
{
	return fails("fsync") ? -1 : (int)syscall(SYS_fsync, fd);
}

int
fdatasync(int fd)
{
	return fails("fsync") ? -1 : (int)syscall(SYS_fdatasync, fd);
}

int
renameat2(int from, const char *old, int to, const char *new, unsigned flags)
{
	if (fails("rename"))
		return -1;
	return (int)syscall(SYS_renameat2, from, old, to, new, flags);
}

int
renameat(int from, const char *old, int to, const char *new)
{
	return renameat2(from, old, to, new, 0);
}

int
rename(const char *old, const char *new)
{
	return renameat2(AT_FDCWD, old, AT_FDCWD, new, 0);
}

int
ftruncate(int fd, off_t n)
{
	return fails("ftruncate") ? -1 : (int)syscall(SYS_ftruncate, fd, n);
}

int
ftruncate64(int fd, off_t n)
{
	return ftruncate(fd, n);
}

void *
mmap(void *p, size_t n, int prot, int flags, int fd, off_t at)
{
	if (fault_is_own(__builtin_return_address(0)) && fails("mmap"))
		return MAP_FAILED;
	return (void *)syscall(SYS_mmap, p, n, prot, flags, fd, at);
}

void *
mmap64(void *p, size_t n, int prot, int flags, int fd, off_t at)
{
	if (fault_is_own(__builtin_return_address(0)) && fails("mmap"))
		return MAP_FAILED;
	return (void *)syscall(SYS_mmap, p, n, prot, flags, fd, at);
}
