/* Errors are values: a code, and one line that says what went wrong where.
 *
 * Every function of libgv that can fail takes a `struct gv_error *e` as its
 * last argument and returns 0 or a negative `enum gv_err`.  The first failure
 * recorded in `e` stays (later ones only return their code), so a sequence of
 * calls may be checked once at the end.  `e` is never NULL.  After an error
 * the outputs of the call are untouched and ownership stays with the caller
 * unless a header says otherwise.
 *
 * Messages are lower case, without a full stop, the fault first, what the
 * user named in 'quotes', and for streams: record, field and byte offset.
 * Control bytes that came from input are escaped.  They hold no pointers.
 * Nothing in libgv prints or exits; bin/cli.c does.
 */
#ifndef GV_ERR_H
#define GV_ERR_H

#include <stdarg.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define GV_USE_RESULT __attribute__((warn_unused_result))
#define GV_PRINTF(f, a) __attribute__((format(printf, f, a)))
#else
#define GV_USE_RESULT
#define GV_PRINTF(f, a)
#endif

enum gv_err {
	GV_OK = 0,
	GV_ERR_USAGE = -1,   /* the command line is wrong: exit 2 */
	GV_ERR_SYS = -2,     /* a system call, or another program, failed */
	GV_ERR_NOMEM = -3,   /* no memory, or a size that overflows */
	GV_ERR_FORMAT = -4,  /* input that breaks its format */
	GV_ERR_CUT = -5,     /* input that ends before its end */
	GV_ERR_LIMIT = -6,   /* input larger than a stated limit */
	GV_ERR_MATCH = -7,   /* well-formed parts that don't belong together */
	GV_ERR_NOSUP = -8,   /* valid, but not supported; named */
	GV_ERR_DEVICE = -9,  /* the accelerator or a peer failed: exit 75 */
	GV_ERR_PIPE = -10,   /* the reader of our output went away (EPIPE) */
	GV_ERR_STOP = -11    /* a signal asked to stop */
};

struct gv_error {
	int code;      /* enum gv_err of the first failure, 0 if none */
	int sys_errno; /* errno of a failed system call, else 0 */
	char msg[512]; /* one line, NUL-terminated, "" if none */
};

/* Records a failure in `e` unless it already holds one; returns `code`.
 * A format that ends in ':' has strerror(errno) appended, so
 *	return gv_fail(e, GV_ERR_SYS, "cannot open '%s':", path);
 * There EPIPE turns GV_ERR_SYS into GV_ERR_PIPE, ENOMEM into GV_ERR_NOMEM; a
 * format without the colon has nothing to do with errno.
 */
int gv_fail(struct gv_error *e, int code, const char *fmt, ...)
    GV_PRINTF(3, 4);

/* Puts "prefix: " in front of the message in `e`; returns its code.  For a
 * caller that knows the file or record that the callee didn't. */
int gv_fail_in(struct gv_error *e, const char *fmt, ...) GV_PRINTF(2, 3);

/* Forgets the failure, so that `e` can be used again. */
void gv_error_clear(struct gv_error *e);

/* Copies at most `cap` - 1 bytes of `s` (`n` bytes, any content) to `dst` as
 * printable text: control bytes and invalid UTF-8 as \xNN, a cut marked by
 * "...".  Returns dst.  For quoting input in messages. */
char *gv_quote(char *dst, size_t cap, const char *s, size_t n);

#ifdef __cplusplus
}
#endif
#endif
