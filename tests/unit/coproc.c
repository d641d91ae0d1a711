/* A coprocess: questions and answers, every way to fail, and what is promised
 * of its restrictions.
 */
#include "coproc.h"
#include "tap.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static struct gv_error e;

static double
seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static struct gv_coproc *
start(const char *command, double timeout, size_t answer)
{
	struct gv_coproc_limits l = {.timeout = timeout, .answer = answer};
	struct gv_coproc *c = NULL;

	gv_error_clear(&e);
	if (gv_coproc_open(&c, command, &l, &e)) {
		printf("Bail out! %s\n", e.msg);
		exit(1);
	}
	return c;
}

static const char *
ask(struct gv_coproc *c, const char *line)
{
	const char *s;
	size_t n;

	if (gv_coproc_ask(c, line, strlen(line), &s, &n, &e))
		return NULL;
	return strlen(s) == n ? s : "with a NUL";
}

/* Is a process there, and not just its remains? */
static bool
lives(pid_t pid)
{
	char path[64], line[256] = "";
	const char *state;
	FILE *f;

	snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
	f = fopen(path, "r");
	if (!f)
		return false;
	if (!fgets(line, sizeof line, f))
		line[0] = '\0';
	fclose(f);
	state = strrchr(line, ')');
	return state && state[2] != 'Z' && state[2] != 'X';
}

static bool
soon_dead(pid_t pid)
{
	int i;

	for (i = 0; i < 200 && lives(pid); i++)
		usleep(10000);
	return i < 200;
}

static void
talk(void)
{
	struct gv_coproc *c =
	    start("while read -r l; do echo \"<$l>\"; done", 5, 0);
	size_t n = 300000, m;
	char *big = malloc(n + 1);
	const char *s;

	is_str(ask(c, "one"), "<one>", "an answer");
	is_str(ask(c, ""), "<>", "to nothing");
	is_str(ask(c, "back\\slash"), "<back\\slash>", "to what it is");
	is_int(gv_coproc_finish(c, &e), 0, "its end");
	is_str(e.msg, "", "is quiet");
	ok(!ask(c, "more"), "it is asked no more");
	gv_coproc_close(&c);
	gv_coproc_close(&c);

	c = start("exec cat", 20, 0);
	memset(big, 'x', n);
	is_int(gv_coproc_ask(c, big, n, &s, &m, &e), 0,
	    "more than a pipe holds, both ways");
	ok(m == n && !memcmp(s, big, n), "and comes back whole");
	is_int(gv_coproc_ask(c, "a\0b", 3, &s, &m, &e), 0, "a NUL");
	ok(m == 3 && !memcmp(s, "a\0b", 4), "does, too");
	is_int(gv_coproc_finish(c, &e), 0, "its end");
	gv_coproc_close(&c);
	free(big);

	c = start("read l; head -c 2000000 /dev/zero >&2; echo ok", 20, 0);
	is_str(ask(c, "x"), "ok", "much on standard error is in no way");
	gv_coproc_close(&c);
}

/* What is said when a program does not what it should. */
static void
faults(void)
{
	static const struct {
		const char *command, *want;
	} row[] = {
	    {"exit 3", "the program ended with status 3"},
	    {"read l; exit 3", "the program ended with status 3"},
	    {"read l; exit 0", "the program ended with status 0"},
	    {"read l; echo some >&2; echo 'bad thing' >&2; exit 1",
		"the program ended with status 1 (it said: bad thing)"},
	    {"read l; printf 5; exit 0", "the program ended with status 0"},
	    {"read l; kill -9 $$",
		"the program was killed by signal 9 (SIGKILL)"},
	    {"read l; kill -11 $$",
		"the program was killed by signal 11 (SIGSEGV)"},
	    {"exec 1>&-; sleep 100",
		"the program closed its output and lives on"},
	    {"sleep 100", "the program gave no answer in 0.3 s (it must flush "
			  "its output after each line)"},
	    {"read l; printf 5; sleep 100",
		"the program gave no answer in 0.3 s (it must flush its output "
		"after each line)"},
	    {"read l; echo 1; echo 2; sleep 100", NULL},
	    {"sleep 100 & exit 4", "the program ended with status 4"},
	    {"read l; printf '%0200d\\n' 1; sleep 100",
		"the program answered with a line of more than 100 bytes"},
	    {"read l; cat /dev/zero",
		"the program answered with a line of more than 100 bytes"},
	    {"trap '' TERM INT HUP PIPE; sleep 100; sleep 100",
		"the program gave no answer in 0.3 s (it must flush its output "
		"after each line)"},
	};
	size_t i;

	for (i = 0; i < sizeof row / sizeof *row; i++) {
		struct gv_coproc *c = start(row[i].command, 0.3, 100);
		double t = seconds();
		bool failed = !ask(c, "question");
		int k;

		/* a second line may come after the first was taken */
		for (k = 0; k < 2 && !failed && !row[i].want; k++)
			failed = !ask(c, "question");
		ok(failed, "%s", row[i].command);
		is_int(e.code, GV_ERR_SYS, "its code");
		if (row[i].want)
			is_str(e.msg, row[i].want, "is said");
		ok(seconds() - t < 3, "in time");
		gv_error_clear(&e);
		ok(!ask(c, "again") && e.code == GV_ERR_SYS, "and it stays so");
		gv_coproc_close(&c);
	}
}

static void
missing(void)
{
	struct gv_coproc *c = start("/no/such/judge -x", 5, 0);

	ok(!ask(c, "x"), "a program that isn't there");
	ok(strstr(e.msg, "ended with status 127 (it said: ") &&
		strstr(e.msg, "/no/such/judge"),
	    "is said");
	gv_coproc_close(&c);
}

static void
ends(void)
{
	static const struct {
		const char *command, *want;
	} row[] = {
	    {"cat", ""},
	    {"cat; exit 7", "the program ended with status 7"},
	    {"cat; echo more", "the program said more than it was asked"},
	    {"cat; sleep 100", "the program doesn't end when its input does"},
	    {"cat; exec 1>&-; sleep 100",
		"the program doesn't end when its input does"},
	    {"cat; sleep 100 & exit 0", ""},
	};
	size_t i;

	for (i = 0; i < sizeof row / sizeof *row; i++) {
		struct gv_coproc *c = start(row[i].command, 0.3, 100);

		is_str(ask(c, "x"), "x", "%s", row[i].command);
		is_int(gv_coproc_finish(c, &e), *row[i].want ? GV_ERR_SYS : 0,
		    "its end");
		is_str(e.msg, row[i].want, "is said");
		gv_coproc_close(&c);
	}
}

/* Nothing of a program's group outlives an error, a close, or us. */
static void
no_rest(void)
{
	static const char two[] =
	    "read l; sleep 1000 & echo $!; read l; sleep 1000";
	struct gv_coproc *c = start(two, 0.3, 0);
	const char *s = ask(c, "x");
	int fd[2], status = -1;
	char line[32] = "";
	pid_t pid = s ? (pid_t)strtol(s, NULL, 10) : 0, us;

	ok(pid > 1 && lives(pid), "a child of the program");
	ok(!ask(c, "y"), "it hangs");
	ok(soon_dead(pid), "and is ended with its children");
	gv_coproc_close(&c);

	c = start(two, 5, 0);
	s = ask(c, "x");
	pid = s ? (pid_t)strtol(s, NULL, 10) : 0;
	gv_coproc_close(&c);
	ok(pid > 1 && soon_dead(pid), "so it is when it is closed");

	if (pipe(fd)) {
		ok(0, "a pipe");
		return;
	}
	us = fork();
	if (!us) {
		c = start("read l; echo $$; exec sleep 1000", 5, 0);
		s = ask(c, "x");
		if (s && write(fd[1], s, strlen(s)) < 0)
			_exit(1);
		_exit(0); /* without a word to the program */
	}
	close(fd[1]);
	while (waitpid(us, &status, 0) < 0 && errno == EINTR)
		;
	is_int(read(fd[0], line, sizeof line - 1) > 0, 1, "its number");
	close(fd[0]);
	pid = (pid_t)strtol(line, NULL, 10);
	ok(pid > 1 && soon_dead(pid), "and when we die");
}

static void
restricted(void)
{
	static const char look[] =
	    "read l; i=3; f=; while [ $i -lt 64 ]; do"
	    " [ ! -e /proc/$$/fd/$i ] || f=$f,$i; i=$((i+1)); done;"
	    "echo fds=$f core=$(ulimit -c) nofile=$(ulimit -n)"
	    " as=$(ulimit -v) fsize=$(ulimit -f)"
	    " $(awk '/NoNewPrivs|SigBlk|SigIgn/ {printf \"%s%s \", $1, $2}'"
	    " /proc/$$/status)"
	    "own=$([ $(awk '{print $5}' /proc/$$/stat) = $$ ] && echo group)"
	    " py=$PYTHONUNBUFFERED";
	struct gv_coproc_limits l = {.timeout = 30,
	    .memory = (uint64_t)1 << 30,
	    .file = (uint64_t)1 << 20,
	    .files = 100};
	struct gv_coproc *c = NULL;
	int fd = open("/dev/null", O_RDONLY); /* not closed on exec */
	sigset_t all, before;
	char got[512], *own;

	setenv("PYTHONUNBUFFERED", "", 1);
	signal(SIGUSR1, SIG_IGN);
	sigfillset(&all);
	sigprocmask(SIG_BLOCK, &all, &before);
	gv_error_clear(&e);
	is_int(gv_coproc_open(&c, look, &l, &e), 0, "a program that looks");
	sigprocmask(SIG_SETMASK, &before, NULL);
	signal(SIGUSR1, SIG_DFL);
	/* signals 32 and 33 are the C library's own, which nobody can reset */
	snprintf(got, sizeof got, "%s", ask(c, "x"));
	own = strstr(got, "SigIgn:0000000180000000");
	if (own)
		memset(own + 14, '0', 3);
	is_str(got,
	    "fds= core=0 nofile=100 as=1048576 fsize=2048 "
	    "SigBlk:0000000000000000 SigIgn:0000000000000000 NoNewPrivs:1 "
	    "own=group py=1",
	    "what it sees");
	gv_coproc_close(&c);
	close(fd);

	c = start("read l; head -c 100000000 /dev/zero >\"$l\"; echo $?", 5, 0);
	{
		char path[] = "/tmp/gv-coproc-XXXXXX";
		int t = mkstemp(path);
		const char *s = ask(c, path);

		ok(s && strcmp(s, "0") != 0, "a file that is too large");
		ok(lseek(t, 0, SEEK_END) == (off_t)64 << 20, "is cut");
		close(t);
		unlink(path);
	}
	gv_coproc_close(&c);
}

/* A pipe that breaks is an error here, and no signal; a stopped reader of
 * children's ends is put right. */
static void
signals(void)
{
	struct gv_coproc *c;

	signal(SIGPIPE, SIG_DFL);
	c = start("exec 0<&-; sleep 0.1; exit 9", 5, 0);
	usleep(50000);
	ok(!ask(c, "x"), "a closed input");
	is_str(e.msg, "the program ended with status 9", "is said");
	gv_coproc_close(&c);

	signal(SIGCHLD, SIG_IGN);
	c = start("read l; echo y; exit 5", 5, 0);
	is_str(ask(c, "x"), "y", "with SIGCHLD ignored");
	is_int(gv_coproc_finish(c, &e), GV_ERR_SYS, "its end");
	is_str(e.msg, "the program ended with status 5", "is still seen");
	gv_coproc_close(&c);
}

int
main(void)
{
	talk();
	faults();
	missing();
	ends();
	no_rest();
	restricted();
	signals();
	return done();
}
