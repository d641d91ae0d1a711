/* Directories that appear complete or not at all: models and checkpoints.
 *
 *	struct gv_dir *d;
 *	char buf[GV_PATH_MAX];
 *
 *	if (gv_dir_begin(&d, "out", e))
 *		return e->code;
 *	if (write_it(gv_dir_path(d, "config.json", buf), e))
 *		gv_dir_abort(&d);
 *	else
 *		r = gv_dir_commit(&d, e);
 *
 * Files are written into OUT.tmp.PID, a sibling of OUT; each must be complete
 * and synced before the commit (gv_out_commit does that).  The commit syncs
 * the directory, exchanges it with an existing OUT in one step (so that at any
 * moment, also after a crash, OUT is whole: old or new), syncs the parent, and
 * only then removes the old one.  Where the file system can't exchange, OUT is
 * first renamed to OUT.trash.PID; there a crash in between leaves no OUT, but
 * both whole directories beside it.
 *
 * What a killed process leaves behind (OUT.tmp.PID, OUT.trash.PID) is removed
 * by the next gv_dir_begin() for OUT.  A directory counts as left behind if no
 * process of that number lives here and nobody holds its flock(2).
 */
#ifndef GV_DIR_H
#define GV_DIR_H

#include "err.h"

#ifdef __cplusplus
extern "C" {
#endif

#define GV_PATH_MAX 4096

/* A directory under construction. */
struct gv_dir;

/* Makes OUT.tmp.PID for OUT = `path` (a link to a directory is followed).  An
 * existing OUT is only ever replaced if it is a directory that is empty or
 * holds a file config.json, as every model and checkpoint does: anything else
 * is GV_ERR_MATCH, so that a mistyped path costs nothing.  That is checked
 * here and again by the commit. */
int gv_dir_begin(
    struct gv_dir **d, const char *path, struct gv_error *e) GV_USE_RESULT;

/* The path under which the directory is built, for functions that take a
 * directory; valid until commit or abort. */
const char *gv_dir_tmp(const struct gv_dir *d);

/* The path of a file in it, at most 255 bytes of name; returns buf. */
char *gv_dir_path(
    const struct gv_dir *d, const char *name, char buf[GV_PATH_MAX]);

/* Puts the directory in OUT's place and frees *d, on failure too (then the
 * directory under construction is removed and OUT is the old one, unless the
 * message says that only the last sync failed). */
int gv_dir_commit(struct gv_dir **d, struct gv_error *e) GV_USE_RESULT;

/* Removes what was built and frees; NULL is allowed. */
void gv_dir_abort(struct gv_dir **d);

/* From now on gv_dir_cleanup() leaves the directory alone: it holds something
 * that must not be lost.  gv_dir_leave() frees and leaves it, too. */
void gv_dir_hold(struct gv_dir *d);
void gv_dir_leave(struct gv_dir **d);

/* Removes all directories under construction and the files of locks that are
 * held; async-signal-safe, for a handler that is about to end the process. */
void gv_dir_cleanup(void);

/* ---- keeping house ------------------------------------------------------- */

/* Removes a directory so that nobody sees half of it: renamed to
 * PATH.trash.PID first; what dead processes left of such removals goes, too.
 * Nothing there is no error. */
int gv_dir_remove(const char *path, struct gv_error *e) GV_USE_RESULT;

/* Removes what dead processes left in the directory `parent`: any
 * NAME.tmp.PID and NAME.trash.PID.  For a directory of checkpoints, all of
 * whose content is ours.  Faults are ignored: the next sweep tries again. */
void gv_dir_sweep(const char *parent);

/* Removes a file, or a directory with all that is in it.  Links are removed,
 * not followed.  Nothing there is no error.  Async-signal-safe but for the
 * message. */
int gv_remove_tree(const char *path, struct gv_error *e) GV_USE_RESULT;

/* Has a directory's names on disk: what was made, renamed and removed in it. */
int gv_dir_sync(const char *path, struct gv_error *e) GV_USE_RESULT;

/* Copies a regular file; the copy appears complete. */
int gv_copy_file(
    const char *from, const char *to, struct gv_error *e) GV_USE_RESULT;

/* Makes `link` a symbolic link to `target` (text as given: a sibling's name is
 * best), replacing an old link in one step; for "latest". */
int gv_link_replace(
    const char *link, const char *target, struct gv_error *e) GV_USE_RESULT;

/* ---- one writer ---------------------------------------------------------- */

/* An advisory lock, flock(2) on PATH.lock: it ends with the process, however
 * that ends, so nothing stale can block a restart, and no boot or process
 * number has to be believed.  The file holds the owner's process number, for
 * the message, and is removed by gv_unlock().  Held by somebody else, it is
 * GV_ERR_SYS, at once. */
struct gv_lock;
int gv_lock(
    struct gv_lock **l, const char *path, struct gv_error *e) GV_USE_RESULT;
void gv_unlock(struct gv_lock **l); /* NULL is allowed */

#ifdef __cplusplus
}
#endif
#endif
