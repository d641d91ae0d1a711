/* A program beside this one that answers lines with lines: judges of texts,
 * tools of a model.
 *
 *	gv_coproc_open(&c, "python3 judge.py", &limits, e)
 *	gv_coproc_ask(c, line, n, &answer, &m, e)	again and again
 *	gv_coproc_finish(c, e)				it ends well
 *	gv_coproc_close(&c)				kills what is left
 *
 * A question is a line, an answer is a line; the program must flush its output
 * after each.  It is started by /bin/sh -c.
 *
 * What is promised:
 *	- No call takes longer than `timeout` seconds, plus what it takes to
 *	  end the program: one that doesn't answer, or doesn't end when
 *	  its input does, is killed.
 *	- After an error or gv_coproc_close() nothing of the program's process
 *	  group is left.  It is killed, too, when the thread that opened it
 *	  ends, in whatever way; its children then see their input end.
 *	- It has no descriptors but 0, 1 and 2.  What it writes to 2 is read
 *	  here; the last line is part of messages.
 *	- It can't gain privileges (no_new_privs); no core is dumped; address
 *	  space, size of a file that it writes and number of descriptors are
 *	  limited.  Signals have their default actions, none is blocked.
 *	- PYTHONUNBUFFERED=1 is set, so that Python flushes.
 * What isn't: it runs as the same user, with the same files, network and
 * environment.  It is restricted against accidents, not confined: run only
 * programs that you would run.
 *
 * One thread at a time may use a coprocess.  SIGPIPE is not raised; SIGCHLD, if
 * it was ignored, is so no more.
 */
#ifndef GV_COPROC_H
#define GV_COPROC_H

#include "err.h"

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct gv_coproc;

/* Zeros are the defaults. */
struct gv_coproc_limits {
	double timeout; /* seconds for one answer, or for the end: 10 */
	uint64_t memory; /* bytes of address space: 4 GiB */
	uint64_t file; /* bytes of a file that it writes: 64 MiB */
	uint64_t files; /* open descriptors: 256 */
	size_t answer; /* bytes of a line that it answers: 1 MiB */
};

/* Starts a program.  That there is none such shows when it is asked. */
int gv_coproc_open(struct gv_coproc **c, const char *command,
    const struct gv_coproc_limits *limits, struct gv_error *e) GV_USE_RESULT;

/* Sends n bytes, which hold no line feed, and one line feed; waits for a line.
 * *answer is that line without its feed, NUL-terminated (it may hold other NUL
 * bytes), until the next call.  A program that dies, doesn't answer in time,
 * says too much or a second line is GV_ERR_SYS, with a line that says so; it is
 * then killed, and every later call fails. */
int gv_coproc_ask(struct gv_coproc *c, const char *line, size_t n,
    const char **answer, size_t *m, struct gv_error *e) GV_USE_RESULT;

/* Ends its input, and waits for it to end: with status 0 and no more output, or
 * it is GV_ERR_SYS. */
int gv_coproc_finish(struct gv_coproc *c, struct gv_error *e) GV_USE_RESULT;

void gv_coproc_close(struct gv_coproc **c);

/* Kills the groups of all programs that run; async-signal-safe, for a handler
 * that is about to end the process. */
void gv_coproc_cleanup(void);

#ifdef __cplusplus
}
#endif
#endif
