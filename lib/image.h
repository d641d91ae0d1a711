/* Images: from JPEG or PNG bytes to upright 8-bit RGB of a wanted size, with
 * the pixels that Pillow gives.
 */
#ifndef GV_IMAGE_H
#define GV_IMAGE_H

#include "err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Limits on untrusted input, checked before pixels are allocated. */
struct gv_image_limits {
	uint64_t max_pixels; /* width x height, default 64 Mi */
	uint32_t max_side;   /* default 32768 */
	unsigned max_scans;  /* of a progressive JPEG, default 100 */
	bool lenient;        /* accept what libjpeg only warns about */
};
void gv_image_limits_default(struct gv_image_limits *l);

/* 8-bit RGB, (height, width, 3).  px is freed with gv_image_free(). */
struct gv_image {
	int32_t width, height;
	uint8_t *px;
};

/* Decodes `n` bytes of JPEG (grey, YCbCr, CMYK/YCCK) or PNG (all types; alpha
 * composited as Pillow's convert("RGB") does: dropped), upright by EXIF
 * orientation.  A truncated or damaged file is GV_ERR_CUT or GV_ERR_FORMAT.
 * *im is overwritten on success only. */
int gv_image_decode(struct gv_image *im, const void *data, size_t n,
    const struct gv_image_limits *l, struct gv_error *e) GV_USE_RESULT;
void gv_image_free(struct gv_image *im);

/* Reads and decodes a file (regular, at most 1 GiB). */
int gv_image_read(struct gv_image *im, const char *path,
    const struct gv_image_limits *l, struct gv_error *e) GV_USE_RESULT;

enum gv_fit {
	GV_FIT_SQUASH /* exactly H x W, whatever the proportions */
};
enum gv_filter { GV_BICUBIC, GV_BILINEAR, GV_LANCZOS };

/* How a model wants its pixels. */
struct gv_image_rule {
	int32_t height, width;
	enum gv_fit fit;
	enum gv_filter filter;
};

/* Resizes into dst (height, width, 3): separable, antialiased, 8 bits between
 * the passes, bit-identical to Pillow's Image.resize(). */
int gv_image_resize(uint8_t *dst, const struct gv_image *im,
    const struct gv_image_rule *rule, struct gv_error *e) GV_USE_RESULT;

/* "64x64 squash bicubic": the rule as recorded in a stream's provenance. */
char *gv_image_rule_text(char *dst, size_t cap,
    const struct gv_image_rule *rule);

/* Writes 8-bit RGB as PNG bytes, freed with gv_free(). */
int gv_image_png(const struct gv_image *im, uint8_t **out, size_t *n,
    struct gv_error *e) GV_USE_RESULT;

#ifdef __cplusplus
}
#endif
#endif
