/* drive: runs a program over and over with bad luck, and sees it fail well.
 *
 *	drive [OPTION...] MODE -- COMMAND [ARG...]
 *
 * Modes, each of which runs COMMAND at least once:
 *
 *	once			as it is
 *	cut GOOD IN		IN holds each shorter beginning of GOOD
 *	flip GOOD IN		IN is GOOD with each bit flipped
 *	fault CALL[:ERROR][+]	the first, second, ... call fails (see
 *				fault.h), until a run in which none did
 *	drip GOOD		standard input is GOOD, a byte at a time
 *				through a pipe that doesn't block
 *
 *	-c CODES	exit codes that are right, one digit each (1; 01 for
 *			faults, 0 to drip)
 *	-e CODE		what stands for the 1 in all these: the exit code of
 *			this program's failures (1)
 *	-o FILE		the output of COMMAND; it holds "old" before a run
 *	-O DIR		the same, a directory that isn't there before
 *	-w WANT		what the output (standard output, without -o) of a run
 *			that succeeds must equal, a file or flat directory
 *	-i FILE		standard input (/dev/null)
 *	-l PATTERN	names that a run may leave behind
 *	-n STEP		only every STEP-th byte or bit (1); of faults the first
 *			STEP ones, then ever fewer (100)
 *	-m MIB		most memory that a run may touch (128)
 *
 * What every run must do: end by itself, with a right exit code, in two
 * seconds of processor time; say one line on stderr if it fails; leave no new
 * name in the current directory; if it fails leave its output alone, unless
 * that is whole already; and not end a stream on standard output that it could
 * not finish.  Prints what went
 * wrong on stderr and a summary on stdout; exits 1 if anything did.
 */
#include "stream.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define HANG_S   20
#define CPU_S    2.0
#define FAULT_FD 200
#define OLD      "old\n"

struct bytes {
	uint8_t *p;
	size_t n;
};

static const char *codes, *target, *want, *input = "/dev/null", *leave = "";
static int failure = 1;
static bool target_is_dir;
static size_t step;
static long most_mib = 128;
static char **command;
static struct bytes wanted; /* the content of `want`, if a file */
static char **names; /* of the current directory before all */
static int nnames;

static const char *what = ""; /* is done to the present run */
static size_t place;
static int in_fd = -1, out_fd, err_fd; /* of the present run */
static uint64_t *fault_count;
static size_t runs, bad, succeeded;

static _Noreturn void
die(const char *why)
{
	fprintf(stderr, "drive: %s: %s\n", why, strerror(errno));
	exit(1);
}

/* A run that did not do what it must. */
static void __attribute__((format(printf, 1, 2))) wrong(const char *fmt, ...)
{
	va_list ap;

	if (bad++ >= 8)
		return;
	fprintf(stderr, "%s %zu: ", what, place);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
}

static struct bytes
load_fd(int fd)
{
	struct stat st;
	struct bytes b;

	if (fstat(fd, &st))
		die("fstat");
	b.n = (size_t)st.st_size;
	b.p = malloc(b.n + 1);
	if (!b.p || pread(fd, b.p, b.n, 0) != (ssize_t)b.n)
		die("read");
	b.p[b.n] = '\0';
	return b;
}

static bool
load(const char *path, struct bytes *b)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return false;
	*b = load_fd(fd);
	close(fd);
	return true;
}

static void
store(const char *path, const void *p, size_t n)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);

	if (fd < 0 || write(fd, p, n) != (ssize_t)n || close(fd))
		die(path);
}

/* ---- names ------------------------------------------------------------- */

static int
visible(const struct dirent *d)
{
	return strcmp(d->d_name, ".") != 0 && strcmp(d->d_name, "..") != 0;
}

static bool
is_known(const char *name)
{
	int i;

	for (i = 0; i < nnames; i++)
		if (!strcmp(names[i], name))
			return true;
	return (target && !strcmp(name, target)) || !fnmatch(leave, name, 0);
}

/* Removes a file or a directory of any depth. */
static void
scrap(const char *path)
{
	struct dirent **d;
	char sub[4096];
	int i, n;

	if (!unlink(path) || errno == ENOENT)
		return;
	n = scandir(path, &d, visible, NULL);
	for (i = 0; i < n; i++) {
		snprintf(sub, sizeof sub, "%s/%s", path, d[i]->d_name);
		scrap(sub);
		free(d[i]);
	}
	if (n >= 0)
		free(d);
	if (rmdir(path))
		die(path);
}

static void
learn_names(void)
{
	struct dirent **d;
	int i;

	nnames = scandir(".", &d, visible, NULL);
	names = calloc((size_t)nnames + 1, sizeof *names);
	for (i = 0; i < nnames; i++)
		names[i] = strdup(d[i]->d_name);
}

/* Names what the run left, and makes the directory what it was. */
static void
check_names(void)
{
	struct dirent **d;
	int i, n = scandir(".", &d, visible, NULL);

	for (i = 0; i < n; i++) {
		const char *name = d[i]->d_name;

		if (!is_known(name)) {
			wrong("leaves '%s'", name);
			scrap(name);
		} else if (*leave && !fnmatch(leave, name, 0)) {
			scrap(name);
		}
		free(d[i]);
	}
	free(d);
}

/* ---- outputs ----------------------------------------------------------- */

static bool
same(const struct bytes *a, const struct bytes *b)
{
	return a->n == b->n && !memcmp(a->p, b->p, a->n);
}

static bool
same_file(const char *path, const struct bytes *b)
{
	struct bytes got;
	bool r = load(path, &got) && same(&got, b);

	if (r)
		free(got.p);
	return r;
}

static bool
same_dir(const char *got, const char *ref)
{
	struct dirent **d, **x;
	char path[4096];
	struct bytes b;
	int i, n = scandir(ref, &d, visible, NULL);
	bool r = n > 0 && scandir(got, &x, visible, NULL) == n;

	for (i = 0; r && i < n; i++) {
		snprintf(path, sizeof path, "%s/%s", ref, d[i]->d_name);
		if (!load(path, &b))
			die(path);
		snprintf(path, sizeof path, "%s/%s", got, d[i]->d_name);
		r = same_file(path, &b);
		free(b.p);
	}
	return r;
}

static void
prepare_target(void)
{
	if (!target)
		return;
	scrap(target);
	if (!target_is_dir)
		store(target, OLD, strlen(OLD));
}

static bool
target_is_whole(void)
{
	return target_is_dir ? same_dir(target, want)
			     : same_file(target, &wanted);
}

static void
check_success(const struct bytes *out)
{
	succeeded++;
	if (!want)
		return;
	if (target ? !target_is_whole() : !same(out, &wanted))
		wrong("exits 0 with another output");
}

static void
check_failure(const struct bytes *out)
{
	static const struct bytes old = {(uint8_t *)OLD, sizeof OLD - 1};
	struct gv_error e = {0};
	struct gv_reader *r;
	struct gv_rec rec;
	char path[40];

	/* what fails after the last rename leaves the new output, whole */
	if (target &&
	    !(target_is_dir ? access(target, F_OK) != 0
			    : same_file(target, &old)) &&
	    !(want && target_is_whole()))
		wrong("changes its output although it fails");
	/* a close that fails comes after all was written */
	if (!out->n || (want && same(out, &wanted)))
		return;
	snprintf(path, sizeof path, "/proc/self/fd/%d", out_fd);
	if (gv_reader_open(&r, path, &e))
		return;
	while (gv_reader_next(r, &rec, &e) > 0)
		;
	gv_reader_close(&r);
	if (!e.code)
		wrong("ends its stream although it fails");
}

/* ---- a run ------------------------------------------------------------- */

static int
make_file(const char *name)
{
	int fd = memfd_create(name, MFD_CLOEXEC);

	if (fd < 0)
		die("memfd_create");
	return fd;
}

static pid_t
start(const char *spec)
{
	pid_t pid;

	prepare_target();
	out_fd = out_fd >= 0 ? out_fd : make_file("out");
	err_fd = make_file("err");
	pid = fork();
	if (pid < 0)
		die("fork");
	if (pid)
		return pid;
	if (in_fd < 0)
		in_fd = open(input, O_RDONLY | O_CLOEXEC);
	if (in_fd < 0 || dup2(in_fd, 0) < 0 || dup2(out_fd, 1) < 0 ||
	    dup2(err_fd, 2) < 0)
		_exit(126);
	if (spec) {
		setenv("GV_FAULT", spec, 1);
		setenv("LD_PRELOAD", getenv("GV_FAULT_SO"), 1);
	}
	alarm(HANG_S);
	execvp(command[0], command);
	_exit(127);
}

static bool
right_code(int code)
{
	const char *c;

	for (c = codes; *c; c++)
		if (code == (*c == '1' ? failure : *c - '0'))
			return true;
	return false;
}

static void
check_exit(int status, const struct rusage *u, const struct bytes *err)
{
	double cpu = (double)(u->ru_utime.tv_sec + u->ru_stime.tv_sec) +
		     1e-6 * (double)(u->ru_utime.tv_usec + u->ru_stime.tv_usec);
	size_t i, lines = 0;

	for (i = 0; i < err->n; i++)
		lines += err->p[i] == '\n';
	if (WIFSIGNALED(status))
		wrong(WTERMSIG(status) == SIGALRM ? "hangs"
						  : "dies of signal %d: %s",
		    WTERMSIG(status), err->p);
	else if (!right_code(WEXITSTATUS(status)))
		wrong("exits %d: %s", WEXITSTATUS(status), err->p);
	else if (WEXITSTATUS(status) && lines != 1)
		wrong("fails with %zu lines: %s", lines, err->p);
	if (cpu > CPU_S)
		wrong("takes %.1f s", cpu);
	if (u->ru_maxrss > most_mib * 1024)
		wrong("takes %ld MiB", u->ru_maxrss / 1024);
}

static void
finish(pid_t pid, struct bytes *out)
{
	struct rusage u;
	struct bytes err;
	int status;

	if (wait4(pid, &status, 0, &u) != pid)
		die("wait4");
	runs++;
	err = load_fd(err_fd);
	check_exit(status, &u, &err);
	if (WIFEXITED(status) && !WEXITSTATUS(status))
		check_success(out);
	else
		check_failure(out);
	check_names();
	free(err.p);
	close(err_fd);
}

static void
run(const char *spec)
{
	struct bytes out;
	siginfo_t info;
	pid_t pid;

	out_fd = -1;
	pid = start(spec);
	if (waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT))
		die("waitid");
	out = load_fd(out_fd);
	finish(pid, &out);
	free(out.p);
	close(out_fd);
}

/* ---- modes ------------------------------------------------------------- */

static void
cut(const char *good, const char *in)
{
	struct bytes b;

	if (!load(good, &b))
		die(good);
	for (place = 0; place < b.n; place += step) {
		store(in, b.p, place);
		run(NULL);
	}
	free(b.p);
}

static void
flip(const char *good, const char *in)
{
	struct bytes b;

	if (!load(good, &b))
		die(good);
	for (place = 0; place < b.n * 8; place += step) {
		b.p[place / 8] ^= (uint8_t)(1u << place % 8);
		store(in, b.p, b.n);
		run(NULL);
		b.p[place / 8] ^= (uint8_t)(1u << place % 8);
	}
	free(b.p);
}

static void
fault(const char *spec)
{
	size_t n = strlen(spec);
	bool on = n && spec[n - 1] == '+';
	char arg[64], fd[16];

	if (!getenv("GV_FAULT_SO") || dup2(make_file("count"), FAULT_FD) < 0 ||
	    ftruncate(FAULT_FD, sizeof *fault_count))
		die("GV_FAULT_SO");
	fault_count = mmap(NULL, sizeof *fault_count, PROT_READ | PROT_WRITE,
	    MAP_SHARED, FAULT_FD, 0);
	snprintf(fd, sizeof fd, "%d", FAULT_FD);
	setenv("GV_FAULT_FD", fd, 1);
	for (place = 1;; place += place < step ? 1 : 1 + place / 8) {
		snprintf(arg, sizeof arg, "%.*s:%zu%s", (int)(n - on), spec,
		    place, on ? "+" : "");
		*fault_count = 0;
		run(arg);
		if (*fault_count < place)
			break;
	}
	if (succeeded == 0)
		wrong("no run succeeds");
}

static void
pipe_or_die(int fd[2])
{
	if (pipe2(fd, O_CLOEXEC | O_NONBLOCK))
		die("pipe");
}

/* The program's ends of both pipes don't block, and are small. */
static void
drip(const char *good)
{
	struct bytes b, out = {malloc(1 << 20), 0};
	struct pollfd p[2];
	int to[2], from[2];
	size_t at = 0;
	ssize_t r = 1;
	pid_t pid;

	if (!load(good, &b) || !out.p)
		die(good);
	pipe_or_die(to);
	pipe_or_die(from);
	in_fd = to[0];
	out_fd = from[1];
	pid = start(NULL);
	close(to[0]);
	close(from[1]);
	signal(SIGPIPE, SIG_IGN);
	while (r) {
		p[0] = (struct pollfd){from[0], POLLIN, 0};
		p[1] = (struct pollfd){at < b.n ? to[1] : -1, POLLOUT, 0};
		if (poll(p, 2, -1) < 0)
			die("poll");
		if (p[0].revents) {
			r = read(from[0], out.p + out.n,
			    out.n < (1 << 20) - 7 ? 7 : 0);
			out.n += r > 0 ? (size_t)r : 0;
		}
		if (p[1].revents && at < b.n &&
		    (write(to[1], b.p + at++, 1) < 0 || at == b.n)) {
			at = b.n;
			close(to[1]);
		}
	}
	out_fd = make_file("none");
	finish(pid, &out);
	free(b.p);
	free(out.p);
}

static const struct mode {
	const char *name;
	int nargs;
	const char *codes;
	size_t step;
} modes[] = {
    {"once", 0, "1", 1},
    {"cut", 2, "1", 1},
    {"flip", 2, "1", 1},
    {"fault", 1, "01", 100},
    {"drip", 1, "0", 1},
};

static _Noreturn void
usage(void)
{
	fputs("usage: drive [-c CODES] [-e CODE] [-o FILE | -O DIR] [-w WANT] "
	      "[-i FILE] "
	      "[-l PATTERN] [-n STEP] [-m MIB] MODE [ARG...] -- COMMAND\n",
	    stderr);
	exit(2);
}

/* Returns the place of the mode's name in argv. */
static int
options(int argc, char **argv)
{
	int c;

	while ((c = getopt(argc, argv, "+c:e:o:O:w:i:l:n:m:")) > 0)
		switch (c) {
		case 'c':
			codes = optarg;
			break;
		case 'e':
			failure = atoi(optarg);
			break;
		case 'o':
		case 'O':
			target = optarg;
			target_is_dir = c == 'O';
			break;
		case 'w':
			want = optarg;
			break;
		case 'i':
			input = optarg;
			break;
		case 'l':
			leave = optarg;
			break;
		case 'n':
			step = strtoull(optarg, NULL, 10);
			break;
		case 'm':
			most_mib = atol(optarg);
			break;
		default:
			usage();
		}
	return optind;
}

static void
learn_wanted(void)
{
	struct stat st;

	if (!want)
		return;
	if (stat(want, &st))
		die(want);
	if (!S_ISDIR(st.st_mode) && !load(want, &wanted))
		die(want);
}

static const struct mode *
find_mode(const char *name)
{
	size_t i;

	for (i = 0; i < sizeof modes / sizeof *modes; i++)
		if (!strcmp(modes[i].name, name))
			return &modes[i];
	usage();
}

int
main(int argc, char **argv)
{
	int at = options(argc, argv), n = 0;
	char **arg = argv + at + 1;
	const struct mode *m = find_mode(at < argc ? argv[at] : "");

	while (at + 1 + n < argc && strcmp(arg[n], "--") != 0)
		n++;
	if (at + 2 + n >= argc || n != m->nargs)
		usage();
	command = arg + n + 1;
	what = n == 1 ? arg[0] : m->name;
	codes = codes ? codes : m->codes;
	step = step ? step : m->step;
	if (n == 2)
		store(arg[1], "", 0);
	learn_wanted();
	learn_names();
	if (!strcmp(m->name, "once"))
		run(NULL);
	else if (!strcmp(m->name, "cut"))
		cut(arg[0], arg[1]);
	else if (!strcmp(m->name, "flip"))
		flip(arg[0], arg[1]);
	else if (!strcmp(m->name, "fault"))
		fault(arg[0]);
	else
		drip(arg[0]);
	printf("%zu runs, %zu succeeded, %zu wrong\n", runs, succeeded, bad);
	return bad != 0;
}
