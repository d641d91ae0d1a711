/* malloc and its kin, each of which may find no memory. */
#include "fault.h"

#include <errno.h>
#include <malloc.h>
#include <stdlib.h>

/* What glibc's allocator is called where it is not in the way of others. */
void *__libc_malloc(size_t n);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *p, size_t n);
void *__libc_memalign(size_t align, size_t n);

static bool
none(void)
{
	int error = fault_due("alloc");

	if (error)
		errno = error;
	return error != 0;
}

void *
malloc(size_t n)
{
	return none() ? NULL : __libc_malloc(n);
}

void *
calloc(size_t n, size_t size)
{
	return none() ? NULL : __libc_calloc(n, size);
}

void *
realloc(void *p, size_t n)
{
	return none() ? NULL : __libc_realloc(p, n);
}

void *
memalign(size_t align, size_t n)
{
	return none() ? NULL : __libc_memalign(align, n);
}

void *
aligned_alloc(size_t align, size_t n)
{
	return memalign(align, n);
}

int
posix_memalign(void **p, size_t align, size_t n)
{
	void *q = memalign(align, n);

	if (!q)
		return ENOMEM;
	*p = q;
	return 0;
}
