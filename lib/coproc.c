/* A coprocess: three pipes, a process group, and a clock. */
#include "coproc_priv.h"

#include "mem.h"
#include "banned.h"

#include <errno.h>
#include <math.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/wait.h>
#include <unistd.h>

#define MAX_RUNNING 16

/* ---- time ---------------------------------------------------------------- */

static int64_t
now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static int64_t
deadline(const struct gv_coproc *c)
{
	return now_ms() + (int64_t)ceil(c->l.timeout * 1000);
}

static int
left(int64_t until)
{
	int64_t ms = until - now_ms();

	return ms < 0 ? 0 : ms > 3600000 ? 3600000 : (int)ms;
}

/* ---- those that run ------------------------------------------------------ */

/* Groups that a dying process must kill, 0: a free slot.  One that finds none
 * is killed without its children, by the kernel. */
static _Atomic(pid_t) running[MAX_RUNNING];

void
gv_coproc_cleanup(void)
{
	int i;

	for (i = 0; i < MAX_RUNNING; i++) {
		pid_t group = atomic_load(&running[i]);

		if (group)
			kill(-group, SIGKILL);
	}
}

static void
replace(pid_t from, pid_t to)
{
	int i;

	for (i = 0; i < MAX_RUNNING; i++) {
		pid_t was = from;

		if (atomic_compare_exchange_strong(&running[i], &was, to))
			return;
	}
}

/* ---- the start ----------------------------------------------------------- */

/* Where children are reaped unseen, nobody learns how they ended. */
static void
see_children(void)
{
	struct sigaction a;

	if (sigaction(SIGCHLD, NULL, &a) ||
	    (a.sa_handler != SIG_IGN && !(a.sa_flags & SA_NOCLDWAIT)))
		return;
	a.sa_flags &= ~SA_NOCLDWAIT;
	if (a.sa_handler == SIG_IGN)
		a.sa_handler = SIG_DFL;
	sigaction(SIGCHLD, &a, NULL);
}

int
gv_coproc_open(struct gv_coproc **out, const char *command,
    const struct gv_coproc_limits *limits, struct gv_error *e)
{
	struct gv_coproc *c = gv_alloc(1, sizeof *c);

	if (!c)
		return gv_fail(e, GV_ERR_NOMEM, "out of memory");
	c->pidfd = c->in = c->out = c->err = -1;
	c->l = *limits;
	if (!(c->l.timeout > 0))
		c->l.timeout = 10;
	if (!c->l.memory)
		c->l.memory = (uint64_t)4 << 30;
	if (!c->l.file)
		c->l.file = (uint64_t)64 << 20;
	if (!c->l.files)
		c->l.files = 256;
	if (!c->l.answer)
		c->l.answer = (size_t)1 << 20;
	see_children();
	if (gv_coproc_start(c, command, e)) {
		gv_free(c);
		return e->code;
	}
	replace(0, c->pid);
	*out = c;
	return 0;
}

/* ---- the end ------------------------------------------------------------- */

static void
shut(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

/* Reads what is there of its standard error, and keeps the end. */
static void
listen_to(struct gv_coproc *c)
{
	char part[4096];
	ssize_t n;

	while (c->err >= 0) {
		n = read(c->err, part, sizeof part);
		if (n < 0 && errno == EINTR)
			continue;
		if (!n || (n < 0 && errno != EAGAIN))
			shut(&c->err);
		if (n <= 0)
			return;
		if ((size_t)n >= sizeof c->said) {
			c->nsaid = sizeof c->said;
			memcpy(c->said, part + (size_t)n - c->nsaid, c->nsaid);
			continue;
		}
		if (c->nsaid + (size_t)n > sizeof c->said) {
			size_t over = c->nsaid + (size_t)n - sizeof c->said;

			memmove(c->said, c->said + over, c->nsaid - over);
			c->nsaid -= over;
		}
		memcpy(c->said + c->nsaid, part, (size_t)n);
		c->nsaid += (size_t)n;
	}
}

/* Ends the whole group.  The leader is waited for last, so that its number
 * stays the group's. */
static void
kill_it(struct gv_coproc *c)
{
	if (c->pid) {
		kill(-c->pid, SIGKILL);
		replace(c->pid, 0);
		while (waitpid(c->pid, &c->status, 0) < 0 && errno == EINTR)
			;
		c->pid = 0;
	}
	listen_to(c);
	shut(&c->pidfd);
	shut(&c->in);
	shut(&c->out);
	shut(&c->err);
}

/* The last line that it said on its standard error, as " (it said: ...)". */
static const char *
last_words(const struct gv_coproc *c, char *dst, size_t cap)
{
	size_t n = c->nsaid, from;
	char q[GV_LAST_WORDS + 40];

	dst[0] = '\0';
	while (n && (c->said[n - 1] == '\n' || c->said[n - 1] == ' '))
		n--;
	for (from = n; from && c->said[from - 1] != '\n'; from--)
		;
	if (from < n)
		snprintf(dst, cap, " (it said: %s)",
		    gv_quote(q, sizeof q, c->said + from, n - from));
	return dst;
}

static int
failed_before(struct gv_error *e)
{
	return gv_fail(e, GV_ERR_SYS, "the program has failed before");
}

/* Kills the program because of `why`, and says so. */
static int
give_up(struct gv_coproc *c, const char *why, struct gv_error *e)
{
	char words[GV_LAST_WORDS + 64];

	c->failed = true;
	kill_it(c);
	return gv_fail(e, GV_ERR_SYS, "the program %s%s", why,
	    last_words(c, words, sizeof words));
}

/* Waits for the program's end without taking its number away; false if it
 * lives on. */
static bool
wait_end(struct gv_coproc *c, int64_t until)
{
	struct pollfd p[2];
	siginfo_t how;

	for (;;) {
		how.si_pid = 0;
		if (waitid(P_PID, (id_t)c->pid, &how,
			WEXITED | WNOHANG | WNOWAIT) ||
		    how.si_pid)
			return true;
		if (!left(until))
			return false;
		p[0] = (struct pollfd){c->pidfd, POLLIN, 0};
		p[1] = (struct pollfd){c->err, POLLIN, 0};
		poll(p, 2, c->pidfd < 0 ? 1 : left(until));
		listen_to(c);
	}
}

/* Its input or output is closed: says how it ended. */
static int
it_ended(struct gv_coproc *c, int64_t until, struct gv_error *e)
{
	char why[64];

	if (!wait_end(c, until))
		return give_up(c, "closed its output and lives on", e);
	kill_it(c); /* children that it left behind */
	if (WIFSIGNALED(c->status))
		snprintf(why, sizeof why, "was killed by signal %d (SIG%s)",
		    WTERMSIG(c->status), sigabbrev_np(WTERMSIG(c->status)));
	else
		snprintf(why, sizeof why, "ended with status %d",
		    WEXITSTATUS(c->status));
	return give_up(c, why, e);
}

void
gv_coproc_close(struct gv_coproc **out)
{
	struct gv_coproc *c = *out;

	if (!c)
		return;
	*out = NULL;
	kill_it(c);
	gv_free(c->buf);
	gv_free(c);
}

/* ---- questions and answers ----------------------------------------------- */

/* write() without SIGPIPE, which is this process's own business. */
static ssize_t
quiet_write(int fd, const void *buf, size_t n)
{
	const struct timespec zero = {0, 0};
	sigset_t pipe, before, pending;
	bool was;
	ssize_t r;
	int err;

	sigemptyset(&pipe);
	sigaddset(&pipe, SIGPIPE);
	sigpending(&pending);
	was = sigismember(&pending, SIGPIPE);
	pthread_sigmask(SIG_BLOCK, &pipe, &before);
	r = write(fd, buf, n);
	err = errno;
	if (r < 0 && err == EPIPE && !was)
		while (sigtimedwait(&pipe, NULL, &zero) < 0 && errno == EINTR)
			;
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	errno = err;
	return r;
}

/* Reads what is there of its output: 1, 0 at its end, or an error. */
static int
hear(struct gv_coproc *c, struct gv_error *e)
{
	void *p = c->buf;
	ssize_t got;

	for (;;) {
		if (gv_grow(&p, &c->cap, c->n + 4096, 1)) {
			give_up(c, "is more than memory holds", e);
			e->code = GV_ERR_NOMEM;
			return e->code;
		}
		c->buf = p;
		got = read(c->out, c->buf + c->n, 4095);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0 && errno == EAGAIN)
			return 1;
		if (got <= 0)
			return 0;
		c->n += (size_t)got;
		if (c->n > c->l.answer + 4096)
			return 1; /* that is too much already */
	}
}

/* Is the line that it answered whole, and no more?  1, 0, or an error. */
static int
answered(struct gv_coproc *c, struct gv_error *e)
{
	const char *end = c->n ? memchr(c->buf, '\n', c->n) : NULL;
	char why[64];

	if ((end ? (size_t)(end - c->buf) : c->n) > c->l.answer) {
		snprintf(why, sizeof why,
		    "answered with a line of more than %zu bytes", c->l.answer);
		return give_up(c, why, e);
	}
	if (!end)
		return 0;
	c->used = (size_t)(end - c->buf) + 1;
	if (c->used < c->n)
		return give_up(c, "answered with more than one line", e);
	return 1;
}

/* Waits until something can go on. */
static void
wait_for(struct gv_coproc *c, bool more_to_send, int64_t until)
{
	struct pollfd p[] = {{more_to_send ? c->in : -1, POLLOUT, 0},
	    {c->out, POLLIN, 0}, {c->err, POLLIN, 0}, {c->pidfd, POLLIN, 0}};

	poll(p, 4, left(until));
	listen_to(c);
}

static int
too_late(struct gv_coproc *c, struct gv_error *e)
{
	char why[128];

	snprintf(why, sizeof why,
	    "gave no answer in %g s (it must flush its output after each line)",
	    c->l.timeout);
	return give_up(c, why, e);
}

static bool
is_dead(const struct gv_coproc *c)
{
	siginfo_t how;

	how.si_pid = 0;
	return waitid(P_PID, (id_t)c->pid, &how, WEXITED | WNOHANG | WNOWAIT) ||
	       how.si_pid;
}

int
gv_coproc_ask(struct gv_coproc *c, const char *line, size_t n,
    const char **answer, size_t *m, struct gv_error *e)
{
	int64_t until = deadline(c);
	size_t sent = 0; /* of n + 1 bytes */
	int r;

	if (c->failed)
		return failed_before(e);
	c->n = c->used = 0;
	if (hear(c, e) < 0)
		return e->code;
	if (c->n) /* it came after the last answer was taken */
		return give_up(c, "answered with more than one line", e);
	for (;;) {
		bool dead = is_dead(c); /* what it said before is read then */

		while (sent <= n) {
			ssize_t k =
			    sent < n ? quiet_write(c->in, line + sent, n - sent)
				     : quiet_write(c->in, "\n", 1);

			if (k < 0 && errno == EINTR)
				continue;
			if (k < 0 && errno == EAGAIN)
				break;
			if (k < 0)
				return it_ended(c, until, e);
			sent += (size_t)k;
		}
		r = hear(c, e);
		if (r < 0)
			return r;
		if (answered(c, e) < 0)
			return e->code;
		if (c->used && sent > n)
			break;
		if (!r || dead)
			return it_ended(c, until, e);
		if (!left(until))
			return too_late(c, e);
		wait_for(c, sent <= n, until);
	}
	c->buf[c->used - 1] = '\0';
	*answer = c->buf;
	*m = c->used - 1;
	return 0;
}

int
gv_coproc_finish(struct gv_coproc *c, struct gv_error *e)
{
	int64_t until = deadline(c);
	int r = 1;

	if (c->failed)
		return failed_before(e);
	shut(&c->in);
	c->n = c->used = 0;
	while (r && left(until) && !is_dead(c)) {
		wait_for(c, false, until);
		r = hear(c, e);
		if (r < 0)
			return r;
		if (c->n)
			break;
	}
	if (r && !c->n && hear(c, e) < 0)
		return e->code;
	if (c->n)
		return give_up(c, "said more than it was asked", e);
	if (!wait_end(c, until))
		return give_up(c, "doesn't end when its input does", e);
	kill_it(c);
	c->failed = true; /* it is to be asked no more */
	if (WIFEXITED(c->status) && !WEXITSTATUS(c->status))
		return 0;
	return it_ended(c, until, e);
}
