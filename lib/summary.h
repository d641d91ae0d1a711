/* What the values of a field are like, gathered record by record: ranges of
 * its shape and numbers, and how many are no numbers.
 */
#ifndef GV_SUMMARY_H
#define GV_SUMMARY_H

#include "stream.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Starts as zeros.  The elements of a tensor and plain numbers count as they
 * are; of plain texts the length in bytes counts.  A plain field is judged by
 * its first number or text: what is neither then, is among `others`. */
struct gv_summary {
	uint64_t recs; /* values of the field */
	uint64_t values; /* finite numbers, in min, max and sum */
	uint64_t nan, inf; /* and those left out of them */
	uint64_t others;
	double min, max, sum;
	bool texts, numbers;
	int64_t lo[GV_MAX_RANK], hi[GV_MAX_RANK]; /* range of each dimension */
};

/* Element i of a tensor of any dtype that streams have. */
double gv_element(const struct gv_tensor *t, size_t i);

void gv_summary_add(struct gv_summary *s, const struct gv_value *v);

/* A dtype's name; for plain fields "text", "number", "mixed" or "plain". */
const char *gv_summary_type(
    const struct gv_summary *s, const struct gv_field *f);

/* "(1,20-31)", or "" for a plain field. */
char *gv_summary_shape(const struct gv_summary *s, const struct gv_field *f,
    char *dst, size_t cap);

#ifdef __cplusplus
}
#endif
#endif
