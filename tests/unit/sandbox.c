/* What a contained process can still do, and what it can't: tried out, each
 * time in a child. */
#include "io.h"
#include "sandbox.h"
#include "tap.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char dir[] = "/tmp/gv-sandbox-XXXXXX";
static char inside[64], outside[64], other[64];

/* Each returns whether it succeeded. */

static bool
reads(void)
{
	char c;
	int fd = open("/etc/passwd", O_RDONLY);

	return fd >= 0 && read(fd, &c, 1) == 1 && !close(fd);
}

static void *
thread(void *p)
{
	*(int *)p = 7;
	return p;
}

static bool
threads(void)
{
	pthread_t t;
	int v = 0;

	return !pthread_create(&t, NULL, thread, &v) &&
	       !pthread_join(t, NULL) && v == 7;
}

static bool
memory(void)
{
	char *p = calloc(64, 1 << 20);
	bool got = p != NULL;

	free(p);
	return got;
}

static bool
commits(void)
{
	struct gv_error e = {0};
	struct gv_out *o = NULL;

	/* the output of run() is open already; this one comes from within */
	return gv_out_open(&o, other, true, true, &e) == 0;
}

static bool
writes(void)
{
	return open(outside, O_WRONLY) >= 0;
}

static bool
makes(void)
{
	return open(outside, O_WRONLY | O_CREAT | O_TRUNC, 0600) >= 0;
}

static bool
removes(void)
{
	return !unlink(outside);
}

static bool
moves(void)
{
	return !rename(outside, inside);
}

static bool
links(void)
{
	return !symlink("/etc", other) || !link(outside, other);
}

static bool
modes(void)
{
	return !chmod(outside, 0777);
}

static bool
executable(void)
{
	return mmap(NULL, 4096, PROT_READ | PROT_EXEC,
		   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != MAP_FAILED;
}

static bool
signals(void)
{
	return !kill(getppid(), 0);
}

static bool
limits(void)
{
	struct rlimit l = {1, 1};

	return !setrlimit(RLIMIT_CORE, &l);
}

static bool
runs(void)
{
	execl("/bin/true", "true", (char *)NULL);
	return false;
}

static bool
forks(void)
{
	return fork() >= 0;
}

static bool
connects(void)
{
	return socket(AF_UNIX, SOCK_STREAM, 0) >= 0;
}

static bool
traces(void)
{
	return !ptrace(PTRACE_TRACEME, 0, NULL, NULL);
}

/* ---- ------------------------------------------------------------------- */

enum { YES, NO, KILLED };

static unsigned
enter(void)
{
	struct gv_error e = {0};
	unsigned got = 0;

	if (gv_sandbox_enter(inside, &got, &e)) {
		printf("# %s\n", e.msg);
		fflush(stdout);
		_exit(99);
	}
	return got;
}

/* How it ends for a process that is contained, or not. */
static int
outcome(bool (*what)(void), bool contained)
{
	pid_t pid = fork();
	int status;

	if (!pid) {
		if (contained)
			(void)enter();
		_exit(what() ? YES : NO);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		return -1;
	if (WIFSIGNALED(status))
		return WTERMSIG(status) == SIGSYS ? KILLED : -2;
	return WEXITSTATUS(status);
}

/* An output that is open before is finished from within. */
static void
finishes(void)
{
	struct gv_error e = {0};
	struct gv_out *o = NULL;
	struct stat st;
	int status = -1;
	pid_t pid = fork();

	if (!pid) {
		if (gv_out_open(&o, inside, true, true, &e))
			_exit(1);
		(void)enter();
		_exit(gv_out_write(o, "abc", 3, &e) || gv_out_commit(&o, &e));
	}
	ok(waitpid(pid, &status, 0) == pid && !status, "finishes its output");
	ok(!stat(inside, &st) && st.st_size == 3, "which is there");
}

/* The means that there are here, as a contained child says. */
static unsigned
means(void)
{
	pid_t pid = fork();
	int status;

	if (!pid)
		_exit((int)enter());
	if (waitpid(pid, &status, 0) != pid || !WIFEXITED(status))
		return 0;
	return (unsigned)WEXITSTATUS(status);
}

int
main(void)
{
	static const struct {
		const char *name;
		bool (*f)(void);
		unsigned by; /* one of these must be there to prevent it */
		int outcome;
	} t[] = {{"reads", reads, 0, YES}, {"starts a thread", threads, 0, YES},
	    {"takes memory", memory, 0, YES},
	    {"writes a file of others", writes, GV_SANDBOX_WHOLE, NO},
	    {"makes a file elsewhere", makes, GV_SANDBOX_WHOLE, NO},
	    {"opens another output", commits, GV_SANDBOX_CALLS, NO},
	    {"moves a file from elsewhere", moves, GV_SANDBOX_PATHS, NO},
	    {"links", links, GV_SANDBOX_WHOLE, NO},
	    {"changes a mode", modes, GV_SANDBOX_CALLS, NO},
	    {"maps executable memory", executable, GV_SANDBOX_CALLS, NO},
	    {"signals its parent", signals, GV_SANDBOX_CALLS, NO},
	    {"raises a limit", limits, GV_SANDBOX_CALLS, NO},
	    {"forks", forks, GV_SANDBOX_CALLS, NO},
	    {"runs a program", runs, GV_SANDBOX_CALLS, KILLED},
	    {"opens a socket", connects, GV_SANDBOX_CALLS, KILLED},
	    {"lets itself be traced", traces, GV_SANDBOX_CALLS, KILLED},
	    {"removes a file elsewhere", removes, GV_SANDBOX_PATHS, NO}};
	unsigned have;
	char away[64];
	size_t i;
	int fd;

	if (!mkdtemp(dir))
		return 1;
	snprintf(away, sizeof away, "%s/away", dir);
	snprintf(inside, sizeof inside, "%s/in/out", dir);
	snprintf(other, sizeof other, "%s/in/other", dir);
	snprintf(outside, sizeof outside, "%s/away/file", dir);
	*strrchr(inside, '/') = '\0';
	if (mkdir(away, 0700) || mkdir(inside, 0700))
		return 1;
	inside[strlen(inside)] = '/';
	fd = open(outside, O_WRONLY | O_CREAT, 0600);
	if (fd < 0)
		return 1;
	close(fd);

	have = means();
	printf("# system calls %s, paths %s\n",
	    have & GV_SANDBOX_CALLS ? "filtered" : "free",
	    have & GV_SANDBOX_PATHS ? "ruled over" : "free");
	ok(have <= GV_SANDBOX_WHOLE, "enters");
	finishes();
	for (i = 0; i < sizeof t / sizeof *t; i++) {
		if (t[i].outcome == YES || have & t[i].by)
			is_int(outcome(t[i].f, true), t[i].outcome,
			    "contained, it %s%s", t[i].name,
			    t[i].outcome ? ": no" : "");
		else
			ok(1, "# SKIP %s: no means here", t[i].name);
	}
	/* or the refusals above would show nothing */
	for (i = 0; i < sizeof t / sizeof *t; i++)
		if (t[i].f != moves && t[i].f != limits && t[i].f != runs)
			is_int(outcome(t[i].f, false), YES, "free, it %s",
			    t[i].name);
	unlink(inside);
	unlink(outside);
	unlink(other);
	rmdir(away);
	*strrchr(inside, '/') = '\0';
	rmdir(inside);
	rmdir(dir);
	return done();
}
