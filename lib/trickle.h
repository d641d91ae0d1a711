/* Text that comes in pieces, written as whole characters while it comes: bytes
 * that aren't UTF-8 become U+FFFD, and on a terminal control characters but for
 * line feeds and tabs are spelled out, \x1b, so that no model steers it.
 *
 *	struct gv_trickle t = {.f = stdout, .terminal = isatty(1)};
 *	gv_trickle_put(&t, s, n)	... any number of bytes, any number of
 *	gv_trickle_end(&t)		times
 *
 * After each call `f` is flushed; who calls checks it for errors.
 */
#ifndef GV_TRICKLE_H
#define GV_TRICKLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#ifdef __cplusplus
extern "C" {
#endif

struct gv_trickle {
	FILE *f;
	bool terminal;
	char held[8]; /* (n) bytes of a character that isn't whole yet */
	size_t n;
};

void gv_trickle_put(struct gv_trickle *t, const char *s, size_t n);

/* The text ends: what is held is no character.  Another text may follow. */
void gv_trickle_end(struct gv_trickle *t);

#ifdef __cplusplus
}
#endif
#endif
