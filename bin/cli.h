/* What every program does around its loop: the only code that prints errors
 * and exits.
 *
 *	int
 *	main(int argc, char **argv)
 *	{
 *		int n = cli_start(&prog, &common, argc, argv);
 *		... operands are argv[1] .. argv[n] ...
 *		if (gv_thing(..., &e))
 *			cli_die(&e);
 *		return cli_finish();
 *	}
 */
#ifndef CLI_H
#define CLI_H

#include "err.h"
#include "opt.h"

#include <jansson.h>

/* Parses the command line; ends the process for --help, --version and wrong
 * usage.  Returns the number of operands.  SIGINT, SIGTERM and SIGHUP remove
 * unfinished outputs, and kill programs that were started, before they end the
 * process; SIGPIPE stays the silent death of a filter. */
int cli_start(const struct gv_opt_prog *p, struct gv_opt_common *c, int argc,
    char **argv);

/* From now on SIGTERM and SIGINT only set what cli_stopped() returns, the
 * signal or 0: for programs that save their state first, and then end by
 * cli_die_of() as they would have.  A second signal ends the process as
 * usual. */
void cli_catch_stop(void);
int cli_stopped(void);
void cli_die_of(int sig); /* by the signal's default action */

/* Ends with "prog: message" and the exit code that belongs to the error: 2
 * for GV_ERR_USAGE, 75 for GV_ERR_DEVICE, else 1.  GV_ERR_PIPE dies as by
 * SIGPIPE.  Removes unfinished outputs, and kills programs that were started.
 */
_Noreturn void cli_die(const struct gv_error *e);
_Noreturn void cli_usage(const char *fmt, ...) GV_PRINTF(1, 2);

/* Before cli_start(): what fails ends with 2, in a program whose 1 is an
 * answer, as cmp(1)'s is. */
void cli_answers(void);

/* "prog: message" on stderr, and go on.  For records that --max-errors lets
 * pass. */
void cli_warn(const char *fmt, ...) GV_PRINTF(1, 2);
/* The same if -v was given at least `level` times. */
void cli_say(int level, const char *fmt, ...) GV_PRINTF(2, 3);
void cli_line(int level, const char *line);

/* A progress line, at most ten times a second, only on a terminal and without
 * -q.  cli_progress_end() clears it. */
void cli_progress(const char *fmt, ...) GV_PRINTF(1, 2);
void cli_progress_end(void);

/* Prints a report as a line of JSON and takes its reference; NULL, as memory
 * that ends, is GV_ERR_NOMEM.  Why stdout fails is for cli_finish() to say. */
int cli_json(json_t *o, struct gv_error *e);

/* Flushes and closes stdout; a full disk is an error here.  Returns 0. */
int cli_finish(void);

#endif
