/* MT19937 (Matsumoto, Nishimura 1998) as Python's random uses it. */
#include "reward_priv.h"

#include "banned.h"

#define MT_M 397

void
gv_twister_seed(struct gv_twister *t, uint32_t seed)
{
	uint32_t i, k;

	t->x[0] = 19650218u;
	for (i = 1; i < GV_TWISTER; i++)
		t->x[i] = 1812433253u * (t->x[i - 1] ^ t->x[i - 1] >> 30) + i;
	/* its init_by_array(), for a key of one word */
	for (i = 1, k = 0; k < GV_TWISTER; k++) {
		t->x[i] =
		    (t->x[i] ^ (t->x[i - 1] ^ t->x[i - 1] >> 30) * 1664525u) +
		    seed;
		if (++i == GV_TWISTER) {
			t->x[0] = t->x[GV_TWISTER - 1];
			i = 1;
		}
	}
	for (k = 0; k < GV_TWISTER - 1; k++) {
		t->x[i] = (t->x[i] ^
			      (t->x[i - 1] ^ t->x[i - 1] >> 30) * 1566083941u) -
			  i;
		if (++i == GV_TWISTER) {
			t->x[0] = t->x[GV_TWISTER - 1];
			i = 1;
		}
	}
	t->x[0] = 0x80000000u;
	t->at = GV_TWISTER;
}

static uint32_t
next(struct gv_twister *t)
{
	uint32_t y;
	size_t i;

	if (t->at == GV_TWISTER) {
		for (i = 0; i < GV_TWISTER; i++) {
			y = (t->x[i] & 0x80000000u) |
			    (t->x[(i + 1) % GV_TWISTER] & 0x7fffffffu);
			t->x[i] = t->x[(i + MT_M) % GV_TWISTER] ^ y >> 1 ^
				  (y & 1 ? 0x9908b0dfu : 0);
		}
		t->at = 0;
	}
	y = t->x[t->at++];
	y ^= y >> 11;
	y ^= y << 7 & 0x9d2c5680u;
	y ^= y << 15 & 0xefc60000u;
	return y ^ y >> 18;
}

/* random.choice() of n things: as many bits as n has, until they are less. */
size_t
gv_twister_choice(struct gv_twister *t, size_t n)
{
	int bits = 0;
	uint32_t r;

	while (n >> bits)
		bits++;
	do
		r = next(t) >> (32 - bits);
	while (r >= n);
	return r;
}
