/* Counting the distinct pieces of any amount of text in bounded memory.
 *
 *	gv_pieces_open(&p, threads, memory, e);
 *	... in each of up to `threads` threads at a time:
 *	gv_pieces_take(p, &c, e);
 *	gv_pieces_count(c, s, n, e); ... as often as there are pieces
 *	gv_pieces_give(p, c);
 *	... then, in one thread:
 *	gv_pieces_walk(p, e);
 *	while ((got = gv_pieces_next(p, &piece, e)) > 0)
 *		... each distinct piece once, with its count ...
 *	gv_pieces_close(&p);
 *
 * Counts are exact, whatever the order of the pieces and the number of threads:
 * a table that would exceed its share of the memory is written to a nameless
 * file in TMPDIR (/tmp if not set) in the order of its pieces' hashes, and the
 * walk merges what was written and what is in memory.
 */
#ifndef GV_PIECE_COUNT_H
#define GV_PIECE_COUNT_H

#include "err.h"

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define GV_MAX_PIECE ((size_t)1024) /* bytes of a piece that is counted */

struct gv_pieces;
struct gv_piece_counter; /* a table, of one thread as long as it is taken */

/* The tables together take at most `memory` bytes, or 1 MiB each if that is
 * more. */
int gv_pieces_open(struct gv_pieces **p, size_t threads, size_t memory,
    struct gv_error *e) GV_USE_RESULT;
void gv_pieces_close(struct gv_pieces **p);

/* A table to count in, until it is given back. */
int gv_pieces_take(struct gv_pieces *p, struct gv_piece_counter **c,
    struct gv_error *e) GV_USE_RESULT;
void gv_pieces_give(struct gv_pieces *p, struct gv_piece_counter *c);

/* Counts a piece of 1 to GV_MAX_PIECE bytes once more. */
int gv_piece_count(struct gv_piece_counter *c, const char *s, size_t n,
    struct gv_error *e) GV_USE_RESULT;

/* A distinct piece, valid until the next one is asked for. */
struct gv_piece {
	const char *s;
	size_t n;
	uint64_t count;
};

/* Starts a walk over all pieces, once or again, when all tables have been
 * given back; they come in an order that depends on the pieces alone. */
int gv_pieces_walk(struct gv_pieces *p, struct gv_error *e) GV_USE_RESULT;
/* 1 and the next piece, 0 at the end, or an error. */
int gv_pieces_next(struct gv_pieces *p, struct gv_piece *piece,
    struct gv_error *e) GV_USE_RESULT;

/* A choice of the more frequent pieces: all that were counted at least `least`
 * times, and of those that were counted once less the first `also` of a walk.
 */
struct gv_pieces_fit {
	uint64_t least; /* 1: all pieces */
	size_t also;
	size_t pieces, bytes; /* how many, and how long together */
	uint64_t total, left; /* pieces of the text, and how many of them are
			       * not of the choice */
};

/* As many as fit into `memory`, where a piece of n bytes takes each + n * byte.
 * GV_ERR_LIMIT if not even those fit that were counted 65536 times or more. */
int gv_pieces_fit(struct gv_pieces *p, size_t memory, size_t each, size_t byte,
    struct gv_pieces_fit *fit, struct gv_error *e) GV_USE_RESULT;

#ifdef __cplusplus
}
#endif
#endif
