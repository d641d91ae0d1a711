/* Counter-based random numbers: Philox4x32-10.
 *
 * A number is a pure function of (seed, counter), so any thread, batch size or
 * backend gets the same ones and a resume needs no state but the counter.
 * Source: Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as
 * 1, 2, 3", SC 2011.  kernels/ computes the same function on the device.
 */
#ifndef GV_PHILOX_H
#define GV_PHILOX_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* out[4] = the block of 128 random bits for this seed and counter.  `hi` is
 * the high half of the 128-bit counter: by convention the purpose, so that
 * two uses of one seed never share numbers. */
void gv_philox(uint64_t seed, uint64_t hi, uint64_t lo, uint32_t out[4]);

/* A walk over the blocks of one (seed, purpose). */
struct gv_rng {
	uint64_t seed, hi, lo;
	uint32_t buf[4];
	unsigned left; /* unused words of buf */
};

void gv_rng_init(struct gv_rng *r, uint64_t seed, uint64_t purpose);
uint32_t gv_rng_u32(struct gv_rng *r);
uint64_t gv_rng_below(struct gv_rng *r, uint64_t n); /* 0..n-1, unbiased */
double gv_rng_f64(struct gv_rng *r);                 /* [0,1), 53 bits */
double gv_rng_normal(struct gv_rng *r); /* mean 0, variance 1; one block */

/* Purposes in use. */
enum gv_purpose {
	GV_PURPOSE_INIT = 1,    /* fresh weights; lo starts at 0 a tensor */
	GV_PURPOSE_SHUFFLE = 2, /* permutations of records */
	GV_PURPOSE_SAMPLE = 3,  /* tokens drawn by gv-rollout and gv-sample */
	GV_PURPOSE_TEST = 4
};

#ifdef __cplusplus
}
#endif
#endif
