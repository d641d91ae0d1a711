/* Images: from JPEG or PNG bytes to upright 8-bit RGB of a wanted size, with
 * the pixels that Pillow gives:
 *
 *	im = ImageOps.exif_transpose(Image.open(file)).convert("RGB")
 *	im = im.resize((width, height), Image.BICUBIC)
 *
 * What is read of a picture is its pixels and its orientation: ICC profiles,
 * gamma and thumbnails are ignored, as Pillow does.
 *
 * All functions may be called from several threads at once.
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

/* Limits on untrusted input, checked before pixels are allocated.  Exceeding
 * one is GV_ERR_LIMIT.  Beside them a file may have 1 GiB.
 *
 * lenient: what libjpeg only warns about (missing data become grey or wrong
 * pixels) and bad checksums of PNG chunks that hold no pixels pass.
 *
 * over: transparent pictures are laid over the colour `under`, as Pillow's
 * Image.alpha_composite() does it; else alpha is dropped. */
struct gv_image_limits {
	uint64_t max_pixels; /* width x height, default 64 Mi */
	uint32_t max_side; /* default 32768 */
	unsigned max_scans; /* of a progressive JPEG, default 100 */
	uint64_t max_bytes; /* of a decoder's memory, default 512 MiB */
	double max_seconds; /* of CPU time for a picture, default 10 */
	bool lenient;
	bool over;
	uint8_t under[3]; /* red, green, blue */
};
void gv_image_limits_default(struct gv_image_limits *l);

/* 8-bit RGB, (height, width, 3).  px is freed with gv_image_free(). */
struct gv_image {
	int32_t width, height;
	uint8_t *px;
};

/* Decodes `n` bytes of JPEG (grey, YCbCr, RGB, CMYK, YCCK; baseline or
 * progressive) or PNG (all types), told apart by their first bytes, and turns
 * the picture upright by its EXIF orientation.  16-bit samples lose their low
 * byte, except that 16-bit grey is clipped at 255, as Pillow's convert("RGB")
 * does.  A file that ends early is GV_ERR_CUT, a damaged one GV_ERR_FORMAT; a
 * kind of JPEG that libjpeg can't read, and WebP and other formats, by name
 * and with a command that converts them, GV_ERR_NOSUP.  *im is overwritten on
 * success only.  `l` NULL stands for the default limits. */
int gv_image_decode(struct gv_image *im, const void *data, size_t n,
    const struct gv_image_limits *l, struct gv_error *e) GV_USE_RESULT;

/* Frees the pixels and clears *im. */
void gv_image_free(struct gv_image *im);

/* Reads and decodes a file (regular, at most 1 GiB).  Messages name it. */
int gv_image_read(struct gv_image *im, const char *path,
    const struct gv_image_limits *l, struct gv_error *e) GV_USE_RESULT;

/* Reads a file's bytes (regular, at most 1 GiB) into *buf, which has room for
 * *cap and grows; *buf is freed with gv_free().  Messages don't name it. */
int gv_image_load(uint8_t **buf, size_t *cap, size_t *n, const char *path,
    struct gv_error *e) GV_USE_RESULT;

/* The orientation in EXIF data (a TIFF file's header and first directory;
 * `n` bytes).  1 where there is none or the data makes no sense: no damage
 * here is worth refusing a picture for.  EXIF 2.32, 4.6.5. */
int gv_exif_orientation(const void *tiff, size_t n);

/* Turns the picture as its orientation 1..8 asks, so that row 0 is its top.
 * 5 to 8 exchange width and height. */
int gv_image_orient(
    struct gv_image *im, int orientation, struct gv_error *e) GV_USE_RESULT;

/* How pictures of other proportions fit:
 *
 *	squash	exactly H x W, whatever the proportions
 *	crop	resized so that the shorter side has `edge` pixels and the
 *		longer floor(edge * long / short); of that the H x W pixels in
 *		the middle, from row floor((h - H) / 2) on, columns likewise
 *		(CLIP)
 *	pad	laid on a square of the colour `fill` as large as its longer
 *		side, floor(difference / 2) from its left or upper edge; then
 *		as crop (LLaVA)
 */
enum gv_fit { GV_FIT_SQUASH, GV_FIT_CROP, GV_FIT_PAD };
enum gv_filter {
	GV_BICUBIC,
	GV_BILINEAR,
	GV_LANCZOS,
	GV_NEAREST,
	GV_BOX,
	GV_HAMMING
};

/* How a model wants its pixels. */
struct gv_image_rule {
	int32_t height, width;
	enum gv_fit fit;
	enum gv_filter filter;
	int32_t edge; /* crop, pad: pixels, at least height and width; else 0 */
	uint8_t fill[3]; /* pad: red, green, blue; else 0 */
	/* gv_maker_make() lets libjpeg give a half, a quarter or an eighth of
	 * a JPEG, of which each side still has at least two pixels for one of
	 * the result: quicker, and other pixels (gv-decode(1) says how far). */
	bool fast;
};

/* "crop", "bicubic": as --fit and --filter name them. */
const char *gv_fit_name(enum gv_fit fit);
const char *gv_filter_name(enum gv_filter filter);

/* Resizes into dst (height, width, 3): separable, antialiased, 8 bits between
 * the passes, bit-identical to Pillow's Image.resize() and, where it crops or
 * pads, to transformers' processors in front of and behind it.  dst and im->px
 * don't overlap.  Sides below 1 and an edge shorter than height or width are
 * GV_ERR_USAGE; sides above 2^24, and padding to a square of more than 64 Mi
 * pixels, GV_ERR_LIMIT. */
int gv_image_resize(uint8_t *dst, const struct gv_image *im,
    const struct gv_image_rule *rule, struct gv_error *e) GV_USE_RESULT;

/* gv_image_decode() and gv_image_resize() in one, of many pictures: rows go
 * through the resizer as they are decoded, whichever way they must be turned,
 * so no picture is held whole but interlaced PNGs and the coefficients of
 * progressive JPEGs.  Memory, and the weights of a few sizes, are kept from one
 * to the next.  One thread at a time. */
struct gv_maker;
int gv_maker_open(struct gv_maker **m, const struct gv_image_rule *rule,
    const struct gv_image_limits *l, struct gv_error *e) GV_USE_RESULT;

/* A file's bytes into dst (rule->height, rule->width, 3); size gets height and
 * width of the upright picture.  After an error dst holds anything. */
int gv_maker_make(struct gv_maker *m, uint8_t *dst, int32_t size[2],
    const void *data, size_t n, struct gv_error *e) GV_USE_RESULT;
void gv_maker_close(struct gv_maker **m);

/* What all of them took, nanoseconds of the thread's CPU time.  The part of
 * resizing is measured by the clock on the wall, which takes no system call. */
struct gv_image_cost {
	uint64_t decode_ns, resize_ns;
};
struct gv_image_cost gv_maker_cost(const struct gv_maker *m);

/* The same with a version of the inner loops that the caller names, for tests
 * and benchmarks: all give the same bytes.  GV_ERR_NOSUP where the machine
 * lacks the instructions. */
enum gv_image_isa {
	GV_IMAGE_BEST,
	GV_IMAGE_C,
	GV_IMAGE_AVX2,
	GV_IMAGE_AVX512 /* with VBMI and VNNI */
};
int gv_image_resize_isa(uint8_t *dst, const struct gv_image *im,
    const struct gv_image_rule *rule, enum gv_image_isa isa,
    struct gv_error *e) GV_USE_RESULT;

/* "64x64 squash bicubic", "224x224 crop bicubic of 256", "336x336 pad 122 116
 * 104 bicubic fast": the rule as recorded in a stream's provenance (height x
 * width; the edge if it is another).  GV_RULE_TEXT bytes are enough.
 * Returns dst. */
#define GV_RULE_TEXT 64
char *gv_image_rule_text(
    char *dst, size_t cap, const struct gv_image_rule *rule);

/* Writes 8-bit RGB as PNG bytes, freed with gv_free().  The same picture gives
 * the same bytes. */
int gv_image_png(const struct gv_image *im, uint8_t **out, size_t *n,
    struct gv_error *e) GV_USE_RESULT;

#ifdef __cplusplus
}
#endif
#endif
