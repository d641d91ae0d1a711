/* The pictures of tests/golden/make_image.py, made again. */
#ifndef PATTERN_H
#define PATTERN_H

#include "image.h"
#include "mem.h"

/* The next byte of a linear congruential generator. */
static inline uint8_t
pattern_next(uint32_t *lcg)
{
	*lcg = *lcg * 1664525u + 1013904223u;
	return (uint8_t)(*lcg >> 24);
}

/* "noise", "hard" or "smooth"; freed with gv_image_free(). */
static inline struct gv_image
pattern(int w, int h, const char *kind, uint32_t seed)
{
	struct gv_image im = {w, h, gv_alloc((size_t)(w * h), 3)};
	uint32_t lcg = seed;
	int x, y, c;
	uint8_t *p = im.px;

	for (y = 0; y < h; y++)
		for (x = 0; x < w; x++)
			for (c = 0; c < 3; c++) {
				int edge = (x / 9 + y / 6 + (int)seed) % 3 == c;

				if (*kind == 's')
					*p++ =
					    (uint8_t)(x * (c + 1) +
						      y * (3 - c) + edge * 96);
				else if (*kind == 'h')
					*p++ =
					    pattern_next(&lcg) & 128 ? 255 : 0;
				else
					*p++ = pattern_next(&lcg);
			}
	return im;
}

#endif
