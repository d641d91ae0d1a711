/* Orders of records: shuffled passes through the records of several inputs, or
 * draws among the inputs by weight, each passing through its own.
 *
 *	gv_mix_open(&m, count, weight, n, seed, e);
 *	gv_mix_next(m, &input, &record)		... as often as wanted
 *	gv_mix_close(&m);
 *
 * A pass is a permutation that depends on the seed, the input and the pass's
 * number alone (Fisher and Yates, by Philox); the next one begins when all its
 * records have been given.
 */
#ifndef GV_MIX_H
#define GV_MIX_H

#include "err.h"

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct gv_mix;

/* Of n > 0 inputs with so many records.  With weights, all above 0, none may be
 * empty; with NULL they are one, and not all may be.  Eight bytes a record. */
int gv_mix_open(struct gv_mix **m, const uint64_t *count, const double *weight,
    size_t n, uint64_t seed, struct gv_error *e) GV_USE_RESULT;
void gv_mix_close(struct gv_mix **m); /* NULL is allowed */

/* The next record, by its input and its number there. */
void gv_mix_next(struct gv_mix *m, size_t *input, uint64_t *record);

#ifdef __cplusplus
}
#endif
#endif
