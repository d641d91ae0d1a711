/* What a user's program says of a text: records as lines of JSON in, numbers
 * out.
 */
#include "reward_priv.h"

#include "coproc.h"
#include "mem.h"
#include "banned.h"

#include <math.h>

#define MAX_ANSWER ((size_t)4096)

static int
open_exec(void **own, const struct gv_reward_opts *o, const char *arg,
    struct gv_error *e)
{
	const char *command = arg ? arg : o->command;
	struct gv_coproc_limits l = {.timeout = o->timeout,
	    .memory = (uint64_t)o->memory,
	    .answer = MAX_ANSWER};
	struct gv_coproc *c;

	if (!command || !*command)
		return gv_fail(e, GV_ERR_USAGE,
		    "task 'exec' needs a command (exec:COMMAND, or --exec)");
	if (gv_coproc_open(&c, command, &l, e))
		return e->code;
	*own = c;
	return 0;
}

/* A finite number, and nothing but spaces beside it. */
static bool
number(const char *s, size_t n, double *out)
{
	char *end;

	while (n && (s[n - 1] == ' ' || s[n - 1] == '\r'))
		n--;
	while (n && *s == ' ') {
		s++;
		n--;
	}
	if (!n || strspn(s, "+-.0123456789eE") < n)
		return false;
	*out = strtod(s, &end);
	return end == s + n && isfinite(*out);
}

static int
judge_exec(
    void *own, const struct gv_judged *in, double *out, struct gv_error *e)
{
	struct gv_coproc *c = own;
	const char *answer;
	char q[80];
	size_t n;

	if (gv_coproc_ask(c, in->record.s, in->record.n, &answer, &n, e)) {
		if (e->code != GV_ERR_NOMEM)
			e->code = GV_ERR_SYS;
		return gv_fail_in(e, "task 'exec'");
	}
	if (number(answer, n, out))
		return 0;
	return gv_fail(e, GV_ERR_SYS,
	    "task 'exec': the program answered '%s', which is no "
	    "number",
	    gv_quote(q, sizeof q, answer, n));
}

static int
finish_exec(void *own, struct gv_error *e)
{
	if (!gv_coproc_finish(own, e))
		return 0;
	return gv_fail_in(e, "task 'exec'");
}

static void
close_exec(void *own)
{
	struct gv_coproc *c = own;

	gv_coproc_close(&c);
}

const struct gv_task gv_task_exec = {.name = "exec",
    .needs = GV_NEED_RECORD,
    .blank = true,
    .open = open_exec,
    .judge = judge_exec,
    .finish = finish_exec,
    .close = close_exec};
