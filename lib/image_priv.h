/* Between the decoders and what becomes of their rows. */
#ifndef GV_IMAGE_PRIV_H
#define GV_IMAGE_PRIV_H

#include "image.h"

#ifdef __cplusplus
extern "C" {
#endif

#define GV_STRIP 16 /* rows that are resized at a time */

/* Who takes the rows of a picture, stored from the top whatever its
 * orientation says.  All of it is called from within one decoding. */
struct gv_taker {
	/* It takes pixels of 4 bytes, too, the last of which does not matter:
	 * libjpeg is quicker to write them. */
	bool wide;
	/* Of a picture of these sides: what they may be divided by, 1, 2, 4 or
	 * 8, and rounded up.  NULL: all pixels are wanted. */
	int (*shrink)(
	    struct gv_taker *t, int32_t h, int32_t w, int orientation);
	/* Before the first row, with sizes that the limits allow and the
	 * orientation as far as it is known. */
	int (*begin)(struct gv_taker *t, int32_t h, int32_t w, int32_t px_bytes,
	    int orientation, struct gv_error *e);
	/* Where the next rows go: room for *n of them, at least one, each
	 * *stride bytes behind the one before. */
	uint8_t *(*room)(struct gv_taker *t, int32_t *n, size_t *stride);
	/* They are there, n of them, no more than the picture has. */
	void (*take)(struct gv_taker *t, int32_t n);
};

/* Decodes into *t, and sets the orientation that the file asks for, also where
 * it says so only behind its pixels, as a PNG may. */
typedef int gv_image_decoder(struct gv_taker *t, int *orientation,
    const void *data, size_t n, const struct gv_image_limits *l,
    struct gv_error *e);
gv_image_decoder gv_jpeg_decode GV_USE_RESULT;
gv_image_decoder gv_png_decode GV_USE_RESULT;

/* What an orientation asks for: bit 0, columns from the right; bit 1, rows from
 * below; bit 2, rows become columns before that. */
int gv_orientation_how(int orientation);

/* dst = the picture src of h x w pixels, upright. */
void gv_image_turn(
    uint8_t *dst, const uint8_t *src, int32_t h, int32_t w, int orientation);

/* The thread's CPU time, ns; that at which max_seconds from now will have
 * passed; and GV_ERR_LIMIT once they have. */
uint64_t gv_image_clock(void);
uint64_t gv_image_deadline(const struct gv_image_limits *l);
int gv_image_late(uint64_t deadline, const struct gv_image_limits *l,
    struct gv_error *e) GV_USE_RESULT;

/* Checks a width and height against the limits. */
int gv_image_check(uint32_t width, uint32_t height,
    const struct gv_image_limits *l, struct gv_error *e) GV_USE_RESULT;

#ifdef __cplusplus
}
#endif
#endif
