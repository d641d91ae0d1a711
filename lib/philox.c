/* Philox4x32-10 and a walk over its blocks. */
#include "philox.h"

#include <math.h>

void
gv_philox(uint64_t seed, uint64_t hi, uint64_t lo, uint32_t out[4])
{
	uint32_t k0 = (uint32_t)seed, k1 = (uint32_t)(seed >> 32);
	uint32_t c0 = (uint32_t)lo, c1 = (uint32_t)(lo >> 32);
	uint32_t c2 = (uint32_t)hi, c3 = (uint32_t)(hi >> 32);
	int i;

	for (i = 0; i < 10; i++) {
		uint64_t p0 = (uint64_t)0xD2511F53u * c0;
		uint64_t p1 = (uint64_t)0xCD9E8D57u * c2;

		c0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0;
		c1 = (uint32_t)p1;
		c2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
		c3 = (uint32_t)p0;
		k0 += 0x9E3779B9u;
		k1 += 0xBB67AE85u;
	}
	out[0] = c0;
	out[1] = c1;
	out[2] = c2;
	out[3] = c3;
}

void
gv_rng_init(struct gv_rng *r, uint64_t seed, uint64_t purpose)
{
	r->seed = seed;
	r->hi = purpose;
	r->lo = 0;
	r->left = 0;
}

uint32_t
gv_rng_u32(struct gv_rng *r)
{
	if (!r->left) {
		gv_philox(r->seed, r->hi, r->lo++, r->buf);
		r->left = 4;
	}
	return r->buf[4 - r->left--];
}

/* Rejection keeps every value equally likely. */
uint64_t
gv_rng_below(struct gv_rng *r, uint64_t n)
{
	uint64_t limit, x;

	if (n < 2)
		return 0;
	limit = UINT64_MAX - UINT64_MAX % n;
	do {
		x = (uint64_t)gv_rng_u32(r) << 32;
		x |= gv_rng_u32(r);
	} while (x >= limit);
	return x % n;
}

double
gv_rng_f64(struct gv_rng *r)
{
	uint64_t x = (uint64_t)gv_rng_u32(r) << 32;

	x |= gv_rng_u32(r);
	return (double)(x >> 11) * 0x1p-53;
}

/* Box and Muller; 1 - u keeps the logarithm finite. */
double
gv_rng_normal(struct gv_rng *r)
{
	double u = 1.0 - gv_rng_f64(r), v = gv_rng_f64(r);

	return sqrt(-2.0 * log(u)) * cos(6.283185307179586 * v);
}
