/* Inside images: resizing as rows come, of which only a part is computed. */
#ifndef GV_RESIZE_H
#define GV_RESIZE_H

#include "image.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Along one axis: of `total` pixels that the picture is resized to, those from
 * `first` on, n of them. */
struct gv_window {
	int32_t total, first, n;
};

/* What is given, and what is wanted: pictures of h x w pixels of 3 bytes, or of
 * 4 of which the last does not matter, become (y.n, x.n, 3) with the pixels
 * that Pillow's Image.resize() to (x.total, y.total) has in both windows.
 * Sizes are the caller's duty: 1..2^24, windows inside.
 *
 * flip_y, flip_x: what is resized is the picture from below, or from the right,
 * and the result is turned back: so the last row of the window comes first.
 * rows_first: rows are resized before columns, as if it lay on its side. */
struct gv_resize {
	int32_t h, w, px_bytes;
	struct gv_window y, x;
	bool flip_y, flip_x, rows_first;
	enum gv_filter filter;
	enum gv_image_isa isa; /* as in image.h */
};

/* A picture whose rows come one after the other, from the top: of them, only
 * what rows of the result that are yet to come are made of is kept. */
struct gv_resizer;

/* *r is NULL, or one that has been used: its memory is used again, and its
 * weights where they would be the same.  dst is written as rows come. */
int gv_resizer_open(struct gv_resizer **r, const struct gv_resize *what,
    uint8_t *dst, struct gv_error *e) GV_USE_RESULT;
void gv_resizer_close(struct gv_resizer **r);

/* Where the next rows go: room for *n of them, w * px_bytes bytes each, with
 * nothing in between.  At first that is GV_STRIP rows, or h; what has been
 * written there stays until it is written over. */
uint8_t *gv_resizer_room(struct gv_resizer *r, int32_t *n);

/* The next n rows are there, at most as many as there was room for.  The result
 * is complete with the last one of the picture. */
void gv_resizer_take(struct gv_resizer *r, int32_t n);

/* The same by a rule: what gv_image_resize() does, row by row, to a picture
 * that is stored as its EXIF orientation says; h and w are those of the rows
 * that come.  *f is NULL or one that has been used, as above.
 *
 * gv_fitter_room() also gives the bytes from a row to the next.  The result is
 * complete with gv_fitter_end(), which must follow the last row. */
struct gv_fitter;
int gv_fitter_open(struct gv_fitter **f, int32_t h, int32_t w, int32_t px_bytes,
    int orientation, const struct gv_image_rule *rule, enum gv_image_isa isa,
    uint8_t *dst, struct gv_error *e) GV_USE_RESULT;

/* By how much a picture may be smaller already, each side divided by this and
 * rounded up, if the rule is a fast one: 1, 2, 4 or 8. */
int gv_fitter_shrink(
    int32_t h, int32_t w, int orientation, const struct gv_image_rule *rule);

uint8_t *gv_fitter_room(struct gv_fitter *f, int32_t *n, size_t *stride);
void gv_fitter_take(struct gv_fitter *f, int32_t n);
void gv_fitter_end(struct gv_fitter *f);

/* All of a picture of 3 bytes a pixel, with its end. */
void gv_fitter_whole(struct gv_fitter *f, const struct gv_image *im);
void gv_fitter_close(struct gv_fitter **f);

#ifdef __cplusplus
}
#endif
#endif
