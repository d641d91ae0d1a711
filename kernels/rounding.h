/* Stochastic rounding to BF16, for the optimizer's state.
 *
 * A moving average of rate 1 - b moves by less than half a unit in the last
 * place of BF16 (2^-9) as soon as b > 1 - 2^-9 or so; rounded to nearest it
 * would stand still.  Rounded up with the probability of the part that is cut
 * off, it is right on average.
 *
 * The random numbers are a function of (seed, t, i): element i has 32 bits at
 * update t, word i % 4 of a Philox block, the low 16 for m, the high for v.
 * So they are the same on every backend, and however the elements are divided
 * among ranges and threads.  Source: Gupta et al. 2015, arXiv 1502.02551.
 */
#ifndef GVK_ROUNDING_H
#define GVK_ROUNDING_H

#include "random.h"

#define GVK_ADAMW_PURPOSE 5

/* out[j]: the bits of element 4 four + j at update t. */
static inline void
gvk_adamw_bits(uint64_t seed, int64_t t, int64_t four, uint32_t out[4])
{
	gvk_philox(
	    seed, (uint64_t)t << 8 | GVK_ADAMW_PURPOSE, (uint64_t)four, out);
}

/* The BF16 below (in magnitude) or above the F32 with the bits `u`: above if
 * what is cut off and r, 0..65535, reach 65536.  Numbers that BF16 has stay,
 * infinity and NaN too. */
static inline uint32_t
gvk_round_up_at(uint32_t u, uint32_t r)
{
	uint32_t finite = (u & 0x7fffffffu) < 0x7f800000u;
	uint32_t nan = (u & 0x7fffffffu) > 0x7f800000u;

	return (u + (finite ? r : 0)) >> 16 | (nan ? 0x40u : 0);
}

#endif
