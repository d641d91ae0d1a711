/* How a coprocess begins: pipes, a fork, and what it must do without. */
#include "coproc_priv.h"

#include "mem.h"
#include "banned.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

static void
limit(int what, uint64_t to)
{
	struct rlimit r;

	if (getrlimit(what, &r))
		_exit(126);
	if (r.rlim_max == RLIM_INFINITY || (rlim_t)to < r.rlim_max)
		r.rlim_max = (rlim_t)to;
	r.rlim_cur = r.rlim_max;
	if (setrlimit(what, &r))
		_exit(126);
}

/* In the child, between fork() and exec(): only what is safe after a fork of a
 * process with threads.  fd[] are its 0, 1 and 2, all above 2. */
static _Noreturn void
become(const struct gv_coproc_limits *l, const int fd[3], char *const argv[],
    char *const envp[], pid_t parent)
{
	sigset_t none;
	int i, sig;

	if (setpgid(0, 0) || prctl(PR_SET_PDEATHSIG, SIGKILL) ||
	    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		_exit(126);
	if (getppid() != parent) /* it died before prctl() */
		_exit(126);
	for (i = 0; i < 3; i++)
		if (dup2(fd[i], i) < 0)
			_exit(126);
	if (close_range(3, ~0u, 0))
		_exit(126);
	for (sig = 1; sig < NSIG; sig++)
		if (sig != SIGKILL && sig != SIGSTOP)
			signal(sig, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	limit(RLIMIT_CORE, 0);
	limit(RLIMIT_NOFILE, l->files);
	limit(RLIMIT_FSIZE, l->file);
	limit(RLIMIT_AS, l->memory);
	execve(argv[0], argv, envp);
	_exit(127);
}

/* The environment with one more setting; one block for gv_free(). */
static char **
environment(void)
{
	static char unbuffered[] = "PYTHONUNBUFFERED=1";
	size_t n = 0, i, k = 0;
	char **env;

	while (environ[n])
		n++;
	env = gv_alloc(n + 2, sizeof *env);
	if (!env)
		return NULL;
	for (i = 0; i < n; i++)
		if (strncmp(environ[i], unbuffered, sizeof unbuffered - 2) != 0)
			env[k++] = environ[i];
	env[k] = unbuffered;
	return env;
}

/* A pipe whose ends are not 0, 1 or 2, closed on exec. */
static int
make_pipe(int fd[2])
{
	int i, up;

	if (pipe2(fd, O_CLOEXEC))
		return -1;
	for (i = 0; i < 2; i++) {
		if (fd[i] > 2)
			continue;
		up = fcntl(fd[i], F_DUPFD_CLOEXEC, 3);
		close(fd[i]);
		fd[i] = up;
	}
	if (fd[0] >= 0 && fd[1] >= 0)
		return 0;
	for (i = 0; i < 2; i++)
		if (fd[i] >= 0)
			close(fd[i]);
	return -1;
}

int
gv_coproc_start(struct gv_coproc *c, const char *command, struct gv_error *e)
{
	char sh[] = "/bin/sh", opt[] = "-c";
	char *argv[] = {sh, opt, NULL, NULL}, **env = environment();
	int p[3][2] = {{-1, -1}, {-1, -1}, {-1, -1}}, i, err = 0;
	pid_t parent = getpid();

	argv[2] = gv_strdup(command);
	if (!env || !argv[2])
		err = ENOMEM;
	for (i = 0; i < 3 && !err; i++)
		if (make_pipe(p[i]))
			err = errno;
	if (!err) {
		const int its[3] = {p[0][0], p[1][1], p[2][1]};

		c->pid = fork();
		if (!c->pid)
			become(&c->l, its, argv, env, parent);
		if (c->pid < 0)
			err = errno;
		else /* whoever comes first: it may be killed at once */
			setpgid(c->pid, c->pid);
	}
	gv_free(env);
	gv_free(argv[2]);
	for (i = 0; i < 3; i++) {
		int *mine = i ? &p[i][0] : &p[i][1];
		int *its = i ? &p[i][1] : &p[i][0];

		if (*its >= 0)
			close(*its);
		if (err && *mine >= 0)
			close(*mine);
		if (!err)
			fcntl(*mine, F_SETFL, O_NONBLOCK);
	}
	if (err) {
		c->pid = 0;
		errno = err;
		return gv_fail(e, GV_ERR_SYS, "cannot start a program:");
	}
	c->pidfd = pidfd_open(c->pid, 0);
	c->in = p[0][1];
	c->out = p[1][0];
	c->err = p[2][0];
	return 0;
}
