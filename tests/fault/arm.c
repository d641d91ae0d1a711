/* Which call fails: reads the environment once, counts from main() on. */
#include "fault.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

typedef int main_fn(int, char **, char **);
typedef int start_fn(main_fn *, int, char **, void (*)(void), void (*)(void),
    void (*)(void), void *);

int __libc_start_main(main_fn *m, int argc, char **argv, void (*init)(void),
    void (*fini)(void), void (*rtld_fini)(void), void *stack_end);

static const struct {
	const char *name;
	int number;
} errors[] = {
    {"EIO", EIO},
    {"ENOSPC", ENOSPC},
    {"EINTR", EINTR},
    {"EAGAIN", EAGAIN},
    {"ENOMEM", ENOMEM},
    {"EMFILE", EMFILE},
    {"EDQUOT", EDQUOT},
    {"EACCES", EACCES},
    {"SHORT", FAULT_SHORT},
};

static main_fn *real_main;
static const void *own_base;
static char call[16];
static int error;
static uint64_t first;
static bool forever;
static _Atomic(uint64_t) *count;

int
fault_due(const char *name)
{
	uint64_t n;

	if (!count || strcmp(name, call) != 0)
		return 0;
	n = atomic_fetch_add(count, 1) + 1;
	return n == first || (forever && n > first) ? error : 0;
}

bool
fault_is_own(const void *address)
{
	Dl_info i;

	return dladdr(address, &i) && i.dli_fbase == own_base;
}

/* Splits CALL[:ERROR]:N[+]; false if it is none. */
static bool
parse(const char *s)
{
	const char *colon = strchr(s, ':');
	size_t i, n = colon ? (size_t)(colon - s) : sizeof call;
	char *end;

	if (n >= sizeof call)
		return false;
	memcpy(call, s, n);
	error = ENOMEM;
	if (strcmp(call, "alloc") != 0) {
		s = colon + 1;
		colon = strchr(s, ':');
		n = colon ? (size_t)(colon - s) : 0;
		for (i = 0; i < sizeof errors / sizeof *errors; i++)
			if (strlen(errors[i].name) == n &&
			    !strncmp(errors[i].name, s, n))
				break;
		if (i == sizeof errors / sizeof *errors)
			return false;
		error = errors[i].number;
	}
	first = strtoull(colon + 1, &end, 10);
	forever = *end == '+';
	return first && !end[forever];
}

static int
armed_main(int argc, char **argv, char **envp)
{
	const char *what = getenv("GV_FAULT"), *fd = getenv("GV_FAULT_FD");
	Dl_info i;
	void *p;

	if (dladdr((void *)(uintptr_t)real_main, &i))
		own_base = i.dli_fbase;
	if (what && fd) {
		p = (void *)syscall(SYS_mmap, NULL, sizeof *count,
		    PROT_READ | PROT_WRITE, MAP_SHARED, atoi(fd), 0L);
		if (p == MAP_FAILED || !parse(what))
			abort();
		count = p;
	}
	return real_main(argc, argv, envp);
}

int
__libc_start_main(main_fn *m, int argc, char **argv, void (*init)(void),
    void (*fini)(void), void (*rtld_fini)(void), void *stack_end)
{
	void *p = dlsym(RTLD_NEXT, "__libc_start_main");
	start_fn *start;

	memcpy(&start, &p, sizeof p);
	real_main = m;
	return start(armed_main, argc, argv, init, fini, rtld_fini, stack_end);
}
