/* Chroma to full size and colours: every version gives what the formulas in
 * ycc.h say, for all colours, and writes no further than it may.
 */
#include "tap.h"
#include "ycc.h"

#include <math.h>
#include <stdlib.h>

static const char *const isa_name[] = {"best", "C", "AVX2", "AVX-512"};

/* 0.71414 and so on in 16 bits behind the point, as JFIF's decoders have it. */
static int
fixed(double f)
{
	return (int)floor(f * 65536 + 0.5);
}

static int
colour(int y, int product)
{
	int v = y + (int)floor((product + 32768) / 65536.0);

	return v < 0 ? 0 : v > 255 ? 255 : v;
}

/* All pairs of chroma, with a luma that changes: wrong pixels. */
static int
wrong_colours(const struct gv_ycc *k)
{
	uint8_t y[256 + GV_YCC_SLACK], cb[256 + GV_YCC_SLACK];
	uint8_t cr[256 + GV_YCC_SLACK], px[4 * 256];
	int round, u, v, wrong = 0;

	for (round = 0; round < 8; round++)
		for (u = 0; u < 256; u++) {
			for (v = 0; v < 256; v++) {
				y[v] = (uint8_t)(u * 7 + v * 13 + round * 37);
				cb[v] = (uint8_t)u;
				cr[v] = (uint8_t)v;
			}
			k->rgb(px, y, cb, cr, 256);
			for (v = 0; v < 256; v++) {
				int a = u - 128, b = v - 128;
				int g = -fixed(.34414) * a - fixed(.71414) * b;

				wrong += px[4 * v] !=
					     colour(y[v], fixed(1.402) * b) ||
					 px[4 * v + 1] != colour(y[v], g) ||
					 px[4 * v + 2] !=
					     colour(y[v], fixed(1.772) * a);
			}
		}
	return wrong;
}

/* A row of n chroma samples between guards: wrong samples of twice as many. */
static int
wrong_row(const struct gv_ycc *k, size_t n, bool two)
{
	enum { MOST = 100 };
	uint8_t near[MOST + GV_YCC_SLACK], far[MOST + GV_YCC_SLACK];
	uint8_t dst[2 * MOST + GV_YCC_SLACK + 1];
	uint16_t sum[MOST + GV_YCC_SLACK + 1];
	size_t i, end = 2 * n + GV_YCC_SLACK;
	int s[MOST + 2], wrong = 0;

	for (i = 0; i < sizeof near; i++) {
		near[i] = (uint8_t)(rand() >> 5);
		far[i] = (uint8_t)(rand() >> 5);
	}
	dst[end] = 77;
	sum[n + GV_YCC_SLACK] = 777;
	k->sum(sum, near, two ? far : NULL, n);
	k->spread(dst, sum, n, two);
	for (i = 1; i <= n; i++)
		s[i] = two ? 3 * near[i - 1] + far[i - 1] : near[i - 1];
	s[0] = s[1];
	s[n + 1] = s[n];
	for (i = 1; i <= n; i++) {
		int even = 3 * s[i] + s[i - 1], odd = 3 * s[i] + s[i + 1];

		even = two ? (even + 8) / 16 : (even + 1) / 4;
		odd = two ? (odd + 7) / 16 : (odd + 2) / 4;
		wrong += dst[2 * i - 2] != even || dst[2 * i - 1] != odd;
	}
	return wrong + (dst[end] != 77) + (sum[n + GV_YCC_SLACK] != 777);
}

int
main(void)
{
	unsigned seed = 3;
	int isa, two;
	size_t n;

	srand(seed);
	printf("# seed %u\n", seed);
	for (isa = GV_IMAGE_BEST; isa <= GV_IMAGE_AVX2; isa++) {
		const struct gv_ycc *k = gv_ycc((enum gv_image_isa)isa);

		if (!k) {
			printf("# this machine lacks %s\n", isa_name[isa]);
			continue;
		}
		is_int(wrong_colours(k), 0, "all colours, %s", isa_name[isa]);
		for (two = 0; two < 2; two++) {
			int wrong = 0;

			for (n = 1; n <= 100; n++)
				wrong += wrong_row(k, n, two);
			is_int(wrong, 0, "rows of 1 to 100 of %d, %s", two + 1,
			    isa_name[isa]);
		}
	}
	return done();
}
