/* Frequencies of rotary positions. */
#ifndef GV_ROPE_H
#define GV_ROPE_H

#include "config.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Radians a position by which pair i of a head of width D turns, 0 <= i < D/2;
 * negative where a model turns the other way.  `attention` is not in it: a
 * factor of all sines and cosines is one of the logits, squared. */
double gv_rope(const struct gv_rope_config *r, int64_t i, int64_t D);

#ifdef __cplusplus
}
#endif
#endif
