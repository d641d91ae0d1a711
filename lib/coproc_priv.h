/* What coproc.c and coproc_start.c share. */
#ifndef GV_COPROC_PRIV_H
#define GV_COPROC_PRIV_H

#include "coproc.h"

#include <stdbool.h>
#include <sys/types.h>

#define GV_LAST_WORDS 160 /* bytes of its standard error that a message has */

struct gv_coproc {
	struct gv_coproc_limits l;
	pid_t pid; /* and its group's; 0 once it is waited for */
	int pidfd; /* readable when it has ended; -1 where there are none */
	int in, out, err; /* our ends: its 0, 1 and 2; -1 if closed */
	bool failed;
	int status; /* of waitpid(), once pid is 0 */
	char *buf; /* what it said: the last answer, and what came behind */
	size_t n, cap, used; /* bytes there, and those of the last answer */
	char said[GV_LAST_WORDS]; /* the end of its standard error */
	size_t nsaid;
};

/* Starts the program with its limits: sets pid, pidfd and our ends of the
 * pipes, which don't block.  Nothing is left open after an error. */
int gv_coproc_start(struct gv_coproc *c, const char *command,
    struct gv_error *e) GV_USE_RESULT;

#endif
