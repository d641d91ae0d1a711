/* Philox against the authors' vectors, and the distributions made of it. */
#include "philox.h"

#include "tap.h"

static void
test_vectors(void)
{
	/* Random123's kat_vectors: philox4x32 10 rounds */
	static const struct {
		uint64_t seed, hi, lo;
		uint32_t want[4];
	} kat[] = {
	    {0, 0, 0, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
	    {UINT64_MAX, UINT64_MAX, UINT64_MAX,
		{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
	    {0x299f31d0a4093822, 0x0370734413198a2e, 0x85a308d3243f6a88,
		{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
	};
	uint32_t got[4];
	size_t i;

	for (i = 0; i < sizeof kat / sizeof *kat; i++) {
		gv_philox(kat[i].seed, kat[i].hi, kat[i].lo, got);
		ok(!memcmp(got, kat[i].want, sizeof got), "vector %zu", i);
	}
}

static void
test_walk(void)
{
	struct gv_rng g, h;
	uint32_t block[4];
	int i, same = 1, differ = 0;

	gv_rng_init(&g, 5, 7);
	for (i = 0; i < 12; i++) {
		if (i % 4 == 0)
			gv_philox(5, 7, (uint64_t)i / 4, block);
		same &= gv_rng_u32(&g) == block[i % 4];
	}
	ok(same, "a walk gives block after block");
	gv_rng_init(&g, 5, 7);
	gv_rng_init(&h, 5, 8);
	for (i = 0; i < 100; i++)
		differ += gv_rng_u32(&g) != gv_rng_u32(&h);
	ok(differ >= 99, "two purposes share no numbers");
}

static void
test_distributions(void)
{
	enum { N = 200000 };
	double sum = 0, square = 0, cube = 0, x;
	uint64_t count[7] = {0}, wide = 0;
	struct gv_rng g;
	int i, inside = 1, even = 1;

	gv_rng_init(&g, 1, GV_PURPOSE_TEST);
	for (i = 0; i < N; i++) {
		x = gv_rng_f64(&g);
		inside &= x >= 0 && x < 1;
		sum += x;
		square += x * x;
	}
	ok(inside, "f64 in [0,1)");
	/* five standard errors: sqrt(1/12/N), sqrt(4/45/N) */
	near(sum / N, 0.5, 5 * 0.000646, "its mean");
	near(square / N, 1.0 / 3, 5 * 0.000667, "its square's mean");
	for (i = 0; i < N; i++)
		count[gv_rng_below(&g, 7)]++;
	for (i = 0; i < 7; i++)
		even &= fabs((double)count[i] - N / 7.0) < 5 * sqrt(N / 7.0);
	ok(even, "below 7: seven equal parts");
	for (i = 0; i < N; i++)
		wide += gv_rng_below(&g, 3ull << 62) >> 63;
	near((double)wide / N, 1.0 / 3, 5 * 0.00106, "below 3 * 2^62");
	is_int((long long)gv_rng_below(&g, 1), 0, "below 1");
	is_int((long long)gv_rng_below(&g, 0), 0, "below 0");
	sum = square = 0;
	for (i = 0; i < N; i++) {
		x = gv_rng_normal(&g);
		sum += x;
		square += x * x;
		cube += x * x * x;
	}
	near(sum / N, 0, 5 / sqrt(N), "normal: mean");
	near(square / N, 1, 5 * sqrt(2.0 / N), "normal: variance");
	near(cube / N, 0, 5 * sqrt(15.0 / N), "normal: skew");
}

int
main(void)
{
	test_vectors();
	test_walk();
	test_distributions();
	return done();
}
