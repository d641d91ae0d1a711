/* The inside of counting pieces, shared by piece_count.c (tables) and
 * piece_walk.c (what was counted, in order).  Not part of the interface.
 *
 * Both keep pieces in one order: by hash, then length, then bytes.  A table is
 * an array in that order with gaps: a piece with the hash h stands at slot
 * h >> shift or behind it, with no gap between.  So it is searched as any hash
 * table with linear probing is, and read, grown and written out in a pass.
 */
#ifndef GV_PIECE_PRIV_H
#define GV_PIECE_PRIV_H

#include "piece_count.h"

#include <pthread.h>
#include <stdbool.h>
#include <string.h>

#define GV_SHORT_PIECE 16 /* longer ones are kept outside of their slots */

struct gv_piece_slot {
	uint64_t count; /* 0: a gap */
	uint32_t hash, n;
	union {
		char in[GV_SHORT_PIECE]; /* padded by zeros */
		size_t at; /* in text[] */
	} u;
};

struct gv_piece_counter {
	struct gv_pieces *all;
	struct gv_piece_counter *next; /* another that nobody has taken */
	struct gv_piece_slot *slot; /* the last one is always a gap */
	size_t slots, used;
	int shift;
	char *text; /* of long pieces */
	size_t bytes, cap;
};

/* Pieces that were written to the file: [at, end). */
struct gv_piece_run {
	uint64_t at, end;
};

/* How a piece stands there, its bytes behind it. */
struct gv_piece_head {
	uint64_t count;
	uint32_t hash, n;
};

struct gv_piece_source;

struct gv_pieces {
	size_t share; /* bytes that a table may take */
	pthread_mutex_t lock; /* for what follows, until the walk */
	struct gv_piece_counter *idle;
	int fd; /* -1 until something is written */
	uint64_t end;
	struct gv_piece_run *run;
	size_t runs, run_cap;

	struct gv_piece_source *source; /* of a walk */
	size_t sources;
	struct gv_piece_source **heap; /* the ones that aren't at their end */
	size_t heaped;
	char piece[GV_MAX_PIECE];
};

static inline const char *
gv_piece_bytes(const struct gv_piece_counter *c, const struct gv_piece_slot *x)
{
	return x->n > GV_SHORT_PIECE ? c->text + x->u.at : x->u.in;
}

#endif
