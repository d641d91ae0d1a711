/* What every program does around its loop: options, errors, exit. */
#include "cli.h"

#include "clock.h"
#include "coproc.h"
#include "dir.h"
#include "io.h"
#include "version.h"
#include "banned.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <signal.h>
#include <stdarg.h>
#include <unistd.h>

static const char *name = "gv";
static bool quiet;
static int verbose;
static int failed = 1; /* the status of an error */
static bool progress_shown;
static double progress_last;
static volatile sig_atomic_t stop_seen;

static void
clean_up(void)
{
	gv_coproc_cleanup();
	gv_out_cleanup();
	gv_dir_cleanup();
}

static void
on_fatal(int sig)
{
	clean_up();
	cli_die_of(sig);
}

/* A mapped file that someone cut: its pages are gone, and so is the run. */
static void
on_bus_error(int sig)
{
	static const char text[] =
	    ": an input file became shorter while it was read\n";

	(void)sig;
	clean_up();
	(void)!write(STDERR_FILENO, name, strlen(name));
	(void)!write(STDERR_FILENO, text, sizeof text - 1);
	_exit(failed);
}

static void
on_stop(int sig)
{
	stop_seen = sig;
	signal(sig, on_fatal);
}

static void catch (int sig, void (*fn)(int))
{
	struct sigaction a;

	if (!sigaction(sig, NULL, &a) && a.sa_handler == SIG_IGN)
		return;
	memset(&a, 0, sizeof a);
	a.sa_handler = fn;
	sigemptyset(&a.sa_mask);
	sigaction(sig, &a, NULL);
}

void
cli_catch_stop(void)
{
	catch (SIGINT, on_stop);
	catch (SIGTERM, on_stop);
}

int
cli_stopped(void)
{
	return stop_seen;
}

void
cli_die_of(int sig)
{
	signal(sig, SIG_DFL);
	raise(sig);
}

/* A closed descriptor 0, 1 or 2 would be reused by the next open(), and data
 * written into the wrong file. */
static void
hold_standard_fds(void)
{
	int fd;

	for (fd = 0; fd <= 2; fd++)
		if (fcntl(fd, F_GETFD) < 0 && errno == EBADF) {
			struct gv_error e = {0};
			int got = open("/dev/null", fd ? O_RDONLY : O_WRONLY);

			if (got != fd || fd < 2) {
				errno = EBADF;
				gv_fail(&e, GV_ERR_SYS,
				    "standard %s:", fd ? "output" : "input");
				cli_die(&e);
			}
		}
}

/* JSON is built in many small steps, and a step that is left out would go
 * unseen: so here, where the end of the process is allowed, none can fail. */
static void *
json_memory(size_t n)
{
	void *p = malloc(n);
	struct gv_error e = {0};

	if (!p) {
		gv_fail(&e, GV_ERR_NOMEM, "out of memory");
		cli_die(&e);
	}
	return p;
}

int
cli_start(
    const struct gv_opt_prog *p, struct gv_opt_common *c, int argc, char **argv)
{
	struct gv_error e = {0};
	int n;

	name = p->name;
	json_set_alloc_funcs(json_memory, free);
	hold_standard_fds();
	catch (SIGINT, on_fatal);
	catch (SIGTERM, on_fatal);
	catch (SIGHUP, on_fatal);
	catch (SIGBUS, on_bus_error);
	catch (SIGXFSZ, SIG_IGN); /* EFBIG is a better message */
	if (gv_opt_parse(p, c, argc, argv, &n, &e))
		cli_die(&e);
	quiet = c->quiet;
	verbose = c->verbose;
	if (c->help)
		gv_opt_help(p, stdout);
	if (c->version)
		printf("%s (GhostVis) %s\n", p->name, GV_VERSION);
	if (c->help || c->version)
		exit(cli_finish());
	return n;
}

static void
print(const char *fmt, va_list ap)
{
	char line[1024];

	cli_progress_end();
	vsnprintf(line, sizeof line, fmt, ap);
	fprintf(stderr, "%s: %s\n", name, line);
}

void
cli_die(const struct gv_error *e)
{
	cli_progress_end();
	clean_up();
	if (e->code == GV_ERR_PIPE)
		cli_die_of(SIGPIPE);
	fprintf(stderr, "%s: %s\n", name, e->msg);
	_exit(e->code == GV_ERR_USAGE    ? 2
	      : e->code == GV_ERR_DEVICE ? 75
					 : failed);
}

void
cli_answers(void)
{
	failed = 2;
}

void
cli_usage(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	print(fmt, ap);
	va_end(ap);
	clean_up();
	_exit(2);
}

void
cli_warn(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	print(fmt, ap);
	va_end(ap);
}

void
cli_say(int level, const char *fmt, ...)
{
	va_list ap;

	if (verbose < level)
		return;
	va_start(ap, fmt);
	print(fmt, ap);
	va_end(ap);
}

void
cli_line(int level, const char *line)
{
	cli_say(level, "%s", line);
}

void
cli_progress(const char *fmt, ...)
{
	static int terminal = -1; /* asked for once: this is called often */
	double now;
	va_list ap;

	if (terminal < 0)
		terminal = isatty(STDERR_FILENO);
	if (quiet || !terminal)
		return;
	now = gv_now();
	if (now - progress_last < 0.1)
		return;
	progress_last = now;
	progress_shown = true;
	fputc('\r', stderr);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputs("\033[K", stderr);
}

void
cli_progress_end(void)
{
	if (progress_shown)
		fputs("\r\033[K", stderr);
	progress_shown = false;
}

int
cli_json(json_t *o, struct gv_error *e)
{
	int bad =
	    !o || json_dumpf(o, stdout, JSON_COMPACT | JSON_REAL_PRECISION(15));

	json_decref(o);
	if (bad && !ferror(stdout))
		return gv_fail(e, GV_ERR_NOMEM, "out of memory");
	putchar('\n');
	return 0;
}

int
cli_finish(void)
{
	struct gv_error e = {0};

	cli_progress_end();
	if (fflush(stdout) || ferror(stdout) || close(STDOUT_FILENO)) {
		gv_fail(&e, GV_ERR_SYS, "cannot write 'standard output':");
		cli_die(&e);
	}
	return 0;
}
