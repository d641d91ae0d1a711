/* The operands of a program, or standard input, as one sequence of records. */
#ifndef GV_INPUTS_H
#define GV_INPUTS_H

#include "err.h"
#include "stream.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Streams one after the other.  All have the kind, fields and digests of the
 * first, or gv_inputs_next() fails with GV_ERR_MATCH at the one that hasn't. */
struct gv_inputs {
	struct gv_reader *first, *now; /* now is first at first */
	char *const *path;
	int n, at; /* operands, and how many have been opened */
	struct gv_out *tied; /* as gv_reader_tie() has it */
	const struct gv_out *watched; /* and gv_reader_watch() */
	uint64_t records; /* read so far */
	uint64_t bad; /* that earlier programs let pass, of read inputs */
};

/* Opens the first of `n` paths, which must outlive the inputs; n = 0 is
 * standard input. */
int gv_inputs_open(struct gv_inputs *in, char *const *path, int n,
    struct gv_error *e) GV_USE_RESULT;

/* gv_reader_tie() and gv_reader_watch() for all of them. */
void gv_inputs_tie(struct gv_inputs *in, struct gv_out *o);
void gv_inputs_watch(struct gv_inputs *in, const struct gv_out *o);

/* As gv_reader_next(), through all inputs; rec->n counts through them, too.
 * The record is valid until the next call. */
int gv_inputs_next(
    struct gv_inputs *in, struct gv_rec *rec, struct gv_error *e) GV_USE_RESULT;

void gv_inputs_close(struct gv_inputs *in);

/* A record's values as memory of our own, to be kept while others are read. */
struct gv_kept {
	char *key;
	uint64_t n; /* as in struct gv_rec */
	size_t nfields;
	struct gv_value *v; /* as in struct gv_rec; not kept: not present */
	void *all; /* the block that the values point into */
};

/* Copies the fields of a record for which keep[i] is set (nfields of them are
 * looked at). */
int gv_keep(struct gv_kept *k, const struct gv_rec *rec, const bool *keep,
    size_t nfields, struct gv_error *e) GV_USE_RESULT;
void gv_kept_free(struct gv_kept *k);

#ifdef __cplusplus
}
#endif
#endif
