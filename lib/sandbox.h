/* Containment of a program that reads what strangers made: what it does not
 * need is taken from it by the kernel, so that a fault in a decoder is worth
 * little to whoever provokes it.
 *
 * Afterwards the process can read files, use memory, start threads, and finish
 * one output.  It can't run programs, start processes, open sockets, trace or
 * signal others, make memory executable, or write, make or remove files except
 * in the directory of that output.
 *
 * Two means, each for itself: seccomp filters system calls (Linux 3.17), and
 * Landlock rules over paths (Linux 5.13, if it is enabled).  Both are a page of
 * code on the kernel's own interface, so no library is needed for them.
 */
#ifndef GV_SANDBOX_H
#define GV_SANDBOX_H

#include "err.h"

#ifdef __cplusplus
extern "C" {
#endif

enum {
	GV_SANDBOX_CALLS = 1, /* system calls are filtered */
	GV_SANDBOX_PATHS = 2, /* paths are ruled over */
	GV_SANDBOX_WHOLE = 3
};

/* Enters, for good: before any thread is started, since only those started
 * later are under it, too, and with all but what is read already open.
 * `output` is what gv_out_open() was given, NULL or "-" for standard output.
 * *in_force gets the means that this kernel granted; a program built with a
 * sanitizer, whose runtime needs more, is granted none.  GV_ERR_SYS if one is
 * there and fails. */
int gv_sandbox_enter(const char *output, unsigned *in_force,
    struct gv_error *e) GV_USE_RESULT;

/* Calls that only an intruder makes (another program, a process, a socket,
 * tracing) end the process by SIGSYS; others that are not allowed fail with
 * EPERM. */

#ifdef __cplusplus
}
#endif
#endif
