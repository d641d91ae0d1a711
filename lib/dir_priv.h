/* What dir*.c share: removing, and what a dying process must remove. */
#ifndef GV_DIR_PRIV_H
#define GV_DIR_PRIV_H

#include "dir.h"

/* Removes a name in the open directory `at` and what is below it, links not
 * followed; 0, or -1 with errno.  Async-signal-safe. */
int gv_remove_at(int at, const char *name);

/* Has gv_dir_cleanup() remove this path, whose memory stays the caller's.  The
 * slot to be given back, or -1 if all are taken: then nothing is done. */
int gv_cleanup_add(char *path);
void gv_cleanup_drop(int slot);

/* gv_dir_sweep() of BASE.tmp.PID and BASE.trash.PID only; NULL: of any. */
void gv_dir_sweep_of(const char *parent, const char *base);

#endif
