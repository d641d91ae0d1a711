/* Files and pipes: whole transfers, outputs that appear complete or not at
 * all, inputs that are mapped where they can be.
 */
#ifndef GV_IO_H
#define GV_IO_H

#include "err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Reads until `n` bytes or the end of input; EINTR and O_NONBLOCK are handled.
 * Returns the count (less than n only at the end), or -1 with errno. */
ssize_t gv_read_full(int fd, void *buf, size_t n);

/* Writes all `n` bytes; 0, or -1 with errno (EPIPE included). */
int gv_write_full(int fd, const void *buf, size_t n);

/* ---- outputs ---------------------------------------------------------- */

/* A file under construction, or standard output.  With a path, data goes to a
 * temporary file beside it (".NAME.PID.tmp"), which gv_out_commit() flushes to
 * disk and renames; until then a reader sees the old file or none.  Writes are
 * buffered (1 MiB), so `fd` is not for the caller. */
struct gv_out;

/* path NULL or "-" is standard output, whose pipe is enlarged to 1 MiB.
 * `binary` output to a terminal is refused unless `force`.  A path that is not
 * a regular file (a FIFO, /dev/null) is written in place. */
int gv_out_open(struct gv_out **o, const char *path, bool binary, bool force,
    struct gv_error *e) GV_USE_RESULT;

/* Appends.  Large spans skip the buffer.  Errors are sticky. */
int gv_out_write(struct gv_out *o, const void *buf, size_t n,
    struct gv_error *e) GV_USE_RESULT;
int gv_out_printf(struct gv_out *o, struct gv_error *e, const char *fmt, ...)
    GV_PRINTF(3, 4);
int gv_out_flush(struct gv_out *o, struct gv_error *e) GV_USE_RESULT;
uint64_t gv_out_offset(const struct gv_out *o); /* bytes written so far */
const char *gv_out_name(const struct gv_out *o); /* for messages */

/* GV_ERR_PIPE if nobody will read what is written: a pipe whose other end is
 * closed.  A program that waits asks so, since it would find out by writing
 * only. */
int gv_out_unread(const struct gv_out *o, struct gv_error *e) GV_USE_RESULT;

/* Waits until `fd` has something to read, or has ended; as above if before
 * that nobody reads `o` any more.  What is in the buffer stays there. */
int gv_out_wait(
    const struct gv_out *o, int fd, struct gv_error *e) GV_USE_RESULT;

/* Flushes, syncs, renames, closes and frees: the only way to success.  On
 * failure the temporary is removed and *o is freed all the same.  Standard
 * output is left open: cli_finish() closes and checks it. */
int gv_out_commit(struct gv_out **o, struct gv_error *e) GV_USE_RESULT;

/* Closes and removes what was written; NULL is allowed. */
void gv_out_abort(struct gv_out **o);

/* Removes the temporaries of all open outputs; async-signal-safe, for a
 * handler that is about to end the process. */
void gv_out_cleanup(void);

/* ---- inputs ----------------------------------------------------------- */

/* The bytes of a regular file.  The mapping is private and read-only. */
struct gv_map {
	const uint8_t *data; /* page aligned; not NULL even if size is 0 */
	size_t size;
	void *priv;
};

/* Maps a regular file.  A directory, FIFO or device is GV_ERR_SYS or
 * GV_ERR_FORMAT with its name. */
int gv_map_open(
    struct gv_map *m, const char *path, struct gv_error *e) GV_USE_RESULT;
void gv_map_close(struct gv_map *m);

/* Opens a file, or for NULL or "-" standard input, to read: a descriptor, and a
 * name for messages, which is the path or a constant.  A directory is
 * GV_ERR_SYS. */
int gv_input_open(const char *path, const char **name, int *fd,
    struct gv_error *e) GV_USE_RESULT;

/* Reads a whole file or pipe into memory, at most `limit` bytes, plus a NUL
 * that is not counted.  path NULL or "-" is standard input.  *out is freed
 * with gv_free(). */
int gv_slurp(const char *path, size_t limit, char **out, size_t *n,
    struct gv_error *e) GV_USE_RESULT;

/* Lines of text from a file or pipe of any length, without their newline. */
struct gv_lines;
int gv_lines_open(struct gv_lines **l, const char *path, size_t max_line,
    struct gv_error *e) GV_USE_RESULT;
/* 1 and a line (valid until the next call, NUL-terminated), 0 at the end, or
 * an error.  *line may hold NUL bytes; n counts them. */
int gv_lines_next(struct gv_lines *l, const char **line, size_t *n,
    struct gv_error *e) GV_USE_RESULT;
/* From now on lines are waited for no longer than somebody reads `o`, else
 * gv_lines_next() fails with GV_ERR_PIPE; any thread may call that.  `o` must
 * stay until the last line; NULL watches nothing. */
void gv_lines_watch(struct gv_lines *l, const struct gv_out *o);
/* Would gv_lines_next() have to wait for what its input gives next? */
bool gv_lines_rests(const struct gv_lines *l);
uint64_t gv_lines_number(const struct gv_lines *l); /* of the last line, 1.. */
const char *gv_lines_name(const struct gv_lines *l);
void gv_lines_close(struct gv_lines **l);

#ifdef __cplusplus
}
#endif
#endif
