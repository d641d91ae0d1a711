/* seccomp(2) and landlock(7), by their system calls. */
#include "sandbox.h"

#include "mem.h"
#include "banned.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZER 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || \
    __has_feature(memory_sanitizer)
#define SANITIZER 1
#endif
#endif
#ifndef SANITIZER
#define SANITIZER 0
#endif

#if defined(__x86_64__)
#define ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define ARCH AUDIT_ARCH_AARCH64
#else
#define ARCH 0 /* no filter */
#endif

/* ---- system calls -------------------------------------------------------- */

enum { MOST = 512 }; /* instructions */

struct filter {
	struct sock_filter op[MOST];
	unsigned short n;
};

static void
add(struct filter *f, uint16_t code, uint32_t k, uint8_t yes, uint8_t no)
{
	f->op[f->n++] = (struct sock_filter){code, yes, no, k};
}

static void
result(struct filter *f, uint32_t what)
{
	add(f, BPF_RET | BPF_K, what, 0, 0);
}

/* The number of the call is loaded; what is called by it has this result. */
static void
call(struct filter *f, long nr, uint32_t what)
{
	add(f, BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)nr, 0, 1);
	result(f, what);
}

/* The low half of argument `i` decides between allowed and EPERM: by whether
 * it has one of some bits, or by whether it is a number. */
static void
call_if(struct filter *f, long nr, unsigned i, uint16_t test, uint32_t k,
    bool allowed)
{
	uint32_t at = (uint32_t)(offsetof(struct seccomp_data, args) + 8 * i);
	uint32_t no = SECCOMP_RET_ERRNO | EPERM;

#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
	at += 4;
#endif
	add(f, BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)nr, 0, 4);
	add(f, BPF_LD | BPF_W | BPF_ABS, at, 0, 0);
	add(f, BPF_JMP | test | BPF_K, k, 0, 1);
	result(f, allowed ? SECCOMP_RET_ALLOW : no);
	result(f, allowed ? no : SECCOMP_RET_ALLOW);
}

/* What reading, decoding, writing and ending take.  The most frequent first. */
static const long allowed[] = {SYS_futex, SYS_clock_gettime, SYS_read,
    SYS_write, SYS_close, SYS_newfstatat, SYS_fstat, SYS_munmap, SYS_madvise,
    SYS_mremap, SYS_brk, SYS_lseek, SYS_pread64, SYS_readv, SYS_writev,
    SYS_fcntl, SYS_ppoll, SYS_pselect6, SYS_sched_yield, SYS_nanosleep,
    SYS_clock_nanosleep, SYS_clock_getres, SYS_gettimeofday, SYS_getrandom,
    SYS_rt_sigaction, SYS_rt_sigprocmask, SYS_rt_sigreturn, SYS_sigaltstack,
    SYS_restart_syscall, SYS_set_robust_list, SYS_sched_getaffinity,
    SYS_sched_getparam, SYS_sched_getscheduler, SYS_getpid, SYS_gettid,
    SYS_getrusage, SYS_sysinfo, SYS_uname, SYS_exit, SYS_exit_group, SYS_fsync,
    SYS_fdatasync, SYS_unlinkat, SYS_renameat2, SYS_faccessat, SYS_readlinkat,
#ifdef SYS_statx
    SYS_statx,
#endif
#ifdef SYS_rseq
    SYS_rseq,
#endif
#ifdef SYS_renameat
    SYS_renameat,
#endif
#ifdef __x86_64__
    SYS_stat, SYS_lstat, SYS_poll, SYS_select, SYS_access, SYS_rename,
    SYS_unlink, SYS_time, SYS_getcpu
#endif
};

static const long deadly[] = {SYS_execve, SYS_execveat, SYS_socket,
    SYS_socketpair, SYS_ptrace, SYS_process_vm_readv, SYS_process_vm_writev,
    SYS_bpf, SYS_mount, SYS_unshare, SYS_setns,
#ifdef __x86_64__
    SYS_fork, SYS_vfork
#endif
};

static void
program(struct filter *f)
{
	const uint32_t writes =
	    O_WRONLY | O_RDWR | O_CREAT | O_TRUNC | O_APPEND;
	uint32_t me = (uint32_t)getpid();
	size_t i;

	f->n = 0;
	add(f, BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch), 0,
	    0);
	add(f, BPF_JMP | BPF_JEQ | BPF_K, ARCH, 1, 0);
	result(f, SECCOMP_RET_KILL_PROCESS);
	add(f, BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr), 0,
	    0);
	for (i = 0; i < sizeof allowed / sizeof *allowed; i++)
		call(f, allowed[i], SECCOMP_RET_ALLOW);
	call_if(f, SYS_openat, 2, BPF_JSET, writes, false);
#ifdef SYS_open
	call_if(f, SYS_open, 1, BPF_JSET, writes, false);
#endif
	call_if(f, SYS_mmap, 2, BPF_JSET, PROT_EXEC, false);
	call_if(f, SYS_mprotect, 2, BPF_JSET, PROT_EXEC, false);
	call_if(f, SYS_ioctl, 1, BPF_JEQ, TCGETS, true);
	call_if(f, SYS_prlimit64, 2, BPF_JEQ, 0, true); /* asks only */
	call_if(f, SYS_kill, 0, BPF_JEQ, me, true);
	call_if(f, SYS_tgkill, 0, BPF_JEQ, me, true);
	/* Threads, not processes; clone3() hides which, and glibc then takes
	 * clone(). */
	call_if(f, SYS_clone, 0, BPF_JSET, CLONE_THREAD, true);
#ifdef SYS_clone3
	call(f, SYS_clone3, SECCOMP_RET_ERRNO | ENOSYS);
#endif
	for (i = 0; i < sizeof deadly / sizeof *deadly; i++)
		call(f, deadly[i], SECCOMP_RET_KILL_PROCESS);
	result(f, SECCOMP_RET_ERRNO | EPERM);
}

/* Whether calls are filtered from now on. */
static int
filter_calls(bool *done, struct gv_error *e)
{
	static struct filter f;
	struct sock_fprog p = {0, f.op};

	*done = false;
	if (!ARCH)
		return 0;
	program(&f);
	p.len = f.n;
	if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &p)) {
		if (errno == EINVAL || errno == ENOSYS)
			return 0; /* a kernel without */
		return gv_fail(e, GV_ERR_SYS, "cannot filter system calls:");
	}
	*done = true;
	return 0;
}

/* ---- paths --------------------------------------------------------------- */

/* linux/landlock.h, which may be older than the kernel, or missing. */
enum {
	READ_FILE = 1 << 2,
	READ_DIR = 1 << 3,
	WRITE_FILE = 1 << 1,
	REMOVE_FILE = 1 << 5,
	MAKE_REG = 1 << 8,
	ASK_VERSION = 1,
	BENEATH = 1
};

struct rules {
	uint64_t paths, ports, scopes;
};

struct beneath {
	uint64_t allowed;
	int32_t fd;
} __attribute__((packed));

#ifdef SYS_landlock_create_ruleset

/* All that this version of Landlock rules over. */
static struct rules
handled(long version)
{
	struct rules r = {0};

	r.paths = (1 << 13) - 1;
	if (version >= 2)
		r.paths |= 1 << 13; /* to another directory */
	if (version >= 3)
		r.paths |= 1 << 14; /* truncate */
	if (version >= 4)
		r.ports = 3;
	if (version >= 5)
		r.paths |= 1 << 15; /* a device's ioctl */
	if (version >= 6)
		r.scopes = 3;
	return r;
}

static int
allow(int rules, const char *dir, uint64_t what, struct gv_error *e)
{
	struct beneath b = {what, open(dir, O_PATH | O_CLOEXEC)};
	int r = 0;

	if (b.fd < 0 || syscall(SYS_landlock_add_rule, rules, BENEATH, &b, 0))
		r = gv_fail(e, GV_ERR_SYS, "cannot confine to '%s':", dir);
	if (b.fd >= 0)
		close(b.fd);
	return r;
}

/* The directory that a file is in, freed with gv_free(). */
static char *
directory(const char *path)
{
	const char *slash = strrchr(path, '/');

	if (!slash)
		return gv_strdup(".");
	return gv_strndup(path, (size_t)(slash - path) + 1);
}

static int
rule_paths(bool *done, const char *output, struct gv_error *e)
{
	long version =
	    syscall(SYS_landlock_create_ruleset, NULL, 0, ASK_VERSION);
	struct rules r;
	char *dir = NULL;
	int fd;

	*done = false;
	if (version < 1)
		return 0; /* a kernel without */
	r = handled(version);
	fd = (int)syscall(SYS_landlock_create_ruleset, &r, sizeof r, 0);
	if (fd < 0)
		return gv_fail(e, GV_ERR_SYS, "cannot rule over paths:");
	if (allow(fd, "/", READ_FILE | READ_DIR, e))
		goto out;
	if (output && strcmp(output, "-") != 0) {
		dir = directory(output);
		if (!dir)
			gv_fail(e, GV_ERR_NOMEM, "out of memory");
		else
			(void)allow(fd, dir,
			    READ_FILE | READ_DIR | WRITE_FILE | MAKE_REG |
				REMOVE_FILE,
			    e);
		gv_free(dir);
	}
	if (!e->code && syscall(SYS_landlock_restrict_self, fd, 0))
		gv_fail(e, GV_ERR_SYS, "cannot rule over paths:");
	*done = !e->code;
out:
	close(fd);
	return e->code;
}

#else

static int
rule_paths(bool *done, const char *output, struct gv_error *e)
{
	(void)output;
	(void)e;
	*done = false;
	return 0;
}

#endif

int
gv_sandbox_enter(const char *output, unsigned *in_force, struct gv_error *e)
{
	const struct rlimit none = {0, 0};
	bool paths = false, calls = false;

	*in_force = 0;
	if (SANITIZER)
		return 0;
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
	    setrlimit(RLIMIT_CORE, &none))
		return gv_fail(e, GV_ERR_SYS, "cannot give up privileges:");
	if (rule_paths(&paths, output, e) || filter_calls(&calls, e))
		return e->code;
	*in_force =
	    (paths ? GV_SANDBOX_PATHS : 0u) | (calls ? GV_SANDBOX_CALLS : 0u);
	return 0;
}
