/* How far two values of a field are from each other. */
#ifndef GV_COMPARE_H
#define GV_COMPARE_H

#include "stream.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Two numbers are the same if they are equal, both NaN, at most `ulp` steps of
 * their dtype apart (floating point; of the coarser one of two), or
 * |a - b| <= absolute + relative max(|a|, |b|). */
struct gv_tolerance {
	uint64_t ulp;
	double absolute, relative;
};

/* What all comparisons of a field have found.  Starts as zeros. */
struct gv_difference {
	uint64_t values, different; /* elements; of plain data whole values */
	double max_abs; /* of all pairs, also those that count as the same */
	uint64_t max_ulp; /* the same, of floating-point tensors */
	/* the first pair that differs: where, and what it is */
	uint64_t record;
	char key[GV_MAX_KEY + 1];
	char at[64]; /* "(0,17)", ".content[2]", or "" */
	char a[64], b[64];
};

/* Compares the values that record `n`, of key `key`, has in both streams.
 * Tensors of two shapes, or of two dtypes that aren't both floating-point, are
 * different as a whole. */
int gv_compare(struct gv_difference *d, const struct gv_rec *rec,
    const struct gv_value *a, const struct gv_value *b,
    const struct gv_tolerance *t, struct gv_error *e) GV_USE_RESULT;

/* Counts a pair of texts that differ, if they do. */
void gv_compare_text(struct gv_difference *d, const struct gv_rec *rec,
    const char *a, const char *b);

#ifdef __cplusplus
}
#endif
#endif
