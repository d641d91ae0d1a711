/* Philox4x32-10: 128 random bits as a pure function of (seed, hi, lo).
 *
 * The same numbers as lib/philox.h and as every backend.  Source: Salmon,
 * Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011.
 */
#ifndef GVK_RANDOM_H
#define GVK_RANDOM_H

#include <stdint.h>

static inline void
gvk_philox(uint64_t seed, uint64_t hi, uint64_t lo, uint32_t out[4])
{
	uint32_t k0 = (uint32_t)seed, k1 = (uint32_t)(seed >> 32);
	int round;

	out[0] = (uint32_t)lo;
	out[1] = (uint32_t)(lo >> 32);
	out[2] = (uint32_t)hi;
	out[3] = (uint32_t)(hi >> 32);
	for (round = 0; round < 10; round++) {
		uint64_t a = (uint64_t)0xD2511F53u * out[0];
		uint64_t b = (uint64_t)0xCD9E8D57u * out[2];

		out[0] = (uint32_t)(b >> 32) ^ out[1] ^ k0;
		out[1] = (uint32_t)b;
		out[2] = (uint32_t)(a >> 32) ^ out[3] ^ k1;
		out[3] = (uint32_t)a;
		k0 += 0x9E3779B9u; /* Weyl sequence of the key */
		k1 += 0xBB67AE85u;
	}
}

/* Uniform on [0, 1) from words 0 and 1: 53 bits. */
static inline double
gvk_philox_uniform(uint64_t seed, uint64_t hi, uint64_t lo)
{
	uint32_t r[4];

	gvk_philox(seed, hi, lo, r);
	return (double)(((uint64_t)r[0] << 32 | r[1]) >> 11) * 0x1p-53;
}

#endif
