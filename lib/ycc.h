/* YCbCr with chroma of half the size to RGB: what libjpeg does by default
 * behind its inverse transforms ("fancy upsampling", and JFIF's colours), to
 * the last bit, for rows that stay in cache.
 */
#ifndef GV_YCC_H
#define GV_YCC_H

#include "image.h"

#ifdef __cplusplus
extern "C" {
#endif

/* All buffers have room for this many bytes (or elements) more than they hold:
 * loops take 32 at a time and finish what they began. */
#define GV_YCC_SLACK 64

struct gv_ycc {
	/* sum[1 + i] = 3 near[i] + far[i], or near[i] where far is NULL,
	 * i < n; with what stands at both ends once more beyond them. */
	void (*sum)(
	    uint16_t *sum, const uint8_t *near, const uint8_t *far, size_t n);

	/* To twice the width, by the triangle: of s = sum + 1,
	 *
	 *	dst[2 i]     = (3 s[i] + s[i - 1] + even) >> shift
	 *	dst[2 i + 1] = (3 s[i] + s[i + 1] + odd) >> shift
	 *
	 * where shift, even, odd are 2, 1, 2 or, if sum had far, 4, 8, 7. */
	void (*spread)(uint8_t *dst, const uint16_t *sum, size_t n, bool far);

	/* dst: n pixels of 4 bytes, R, G, B and one that does not matter;
	 * with u = cb - 128, v = cr - 128 and floor() of what is in brackets,
	 *
	 *	R = y + [1.40200 v + 1/2]
	 *	G = y + [-0.34414 u - 0.71414 v + 1/2]
	 *	B = y + [1.77200 u + 1/2]
	 *
	 * between 0 and 255, all factors rounded to 16 bits behind the
	 * point. */
	void (*rgb)(uint8_t *dst, const uint8_t *y, const uint8_t *cb,
	    const uint8_t *cr, size_t n);
};

/* The loops for this machine, or those of an instruction set, NULL if it has
 * not. */
const struct gv_ycc *gv_ycc(enum gv_image_isa isa);

#ifdef __cplusplus
}
#endif
#endif
