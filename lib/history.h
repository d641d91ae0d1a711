/* What the rows of a batch have seen, for gvk_sample's penalty: tokens are
 * collected on the host, and become a bitmap a row on the device.
 *
 *	gv_history_open(&h, k, rows, most, V, e);
 *	for (row = 0; row < M; row++)		... ascending
 *		gv_history_add(&h, row, token, n);	any number of times
 *	gv_history_put(&h, s, M);
 *	gvk_sample(s, ..., h.seen, ...);	which adds what it draws
 *
 * Between a put and the next add the stream must have been waited for.
 */
#ifndef GV_HISTORY_H
#define GV_HISTORY_H

#include "err.h"
#include "gvk.h"

struct gv_history {
	struct gvk *k;
	uint32_t *seen; /* device (rows,(V+31)/32); NULL: not open */
	int64_t rows, most, V;
	int64_t row; /* the last with tokens */
	bool put; /* the next tokens are of new histories */
	int32_t *id, *at; /* device (rows*most), (rows+1) */
	int32_t *id_host, *at_host;
};

/* For rows of at most `most` tokens each.  After an error it is closed. */
int gv_history_open(struct gv_history *h, struct gvk *k, int64_t rows,
    int64_t most, int64_t V, struct gv_error *e) GV_USE_RESULT;
void gv_history_close(struct gv_history *h); /* twice is allowed */

void gv_history_add(
    struct gv_history *h, int64_t row, const int32_t *token, size_t n);

/* Queues the bitmaps of rows 0..M-1; those without tokens are empty. */
void gv_history_put(struct gv_history *h, struct gvk_stream *s, int64_t M);

#endif
