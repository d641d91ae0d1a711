/* Rows of a key/value cache, handed out as contiguous ranges. */
#ifndef GV_ROWS_H
#define GV_ROWS_H

#include "err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct gv_range {
	int32_t at, n;
};

/* What is free, in ascending order, never two ranges that touch.  Zero it
 * first. */
struct gv_rows {
	struct gv_range *free;
	size_t n, cap, taken; /* free ranges, their room, ranges taken */
};

/* Starts over with the rows 0..total-1 free. */
int gv_rows_reset(
    struct gv_rows *r, int32_t total, struct gv_error *e) GV_USE_RESULT;

/* Takes the lowest range of `n` rows (n = 0: an empty range at 0).  False, and
 * *at untouched, if no free range is that long (or there is no memory to
 * remember it): the caller gives others back and tries again.  After
 * everything has been given back all rows are one range. */
bool gv_rows_take(struct gv_rows *r, int32_t n, int32_t *at);

/* Gives back a range that was taken, whole; never fails.  One that wasn't
 * taken is the caller's fault, and asserted. */
void gv_rows_give(struct gv_rows *r, int32_t at, int32_t n);

void gv_rows_free(struct gv_rows *r);

#ifdef __cplusplus
}
#endif
#endif
