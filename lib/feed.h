/* A file or pipe of any length, looked at piece by piece: what a parser of
 * tar files or of pictures end to end reads from.
 */
#ifndef GV_FEED_H
#define GV_FEED_H

#include "err.h"

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct gv_feed;

/* path "-" is standard input. */
int gv_feed_open(
    struct gv_feed **f, const char *path, struct gv_error *e) GV_USE_RESULT;
void gv_feed_close(struct gv_feed **f);

/* The bytes at our place: *got of them, at least n unless the input ends
 * before.  They stay valid until the next call.  Memory grows as bytes arrive,
 * to at most twice what has arrived; no more is waited for than asked. */
int gv_feed_peek(struct gv_feed *f, size_t n, const uint8_t **p, size_t *got,
    struct gv_error *e) GV_USE_RESULT;

/* Moves on by n bytes, which are read and forgotten where they have not been
 * looked at.  GV_ERR_CUT if the input ends before. */
int gv_feed_skip(
    struct gv_feed *f, uint64_t n, struct gv_error *e) GV_USE_RESULT;

/* Our place: bytes from the beginning. */
uint64_t gv_feed_offset(const struct gv_feed *f);

#ifdef __cplusplus
}
#endif
#endif
