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

/* A picture whose rows come one after the other, from the top: only what the
 * passes need of them is kept, x.n pixels of each row. */
struct gv_resizer;

/* For pictures of h x w pixels; the result is dst (y.n, x.n, 3) with the pixels
 * that Pillow's Image.resize() to (x.total, y.total) has in both windows.
 * Sizes are the caller's duty: 1..2^24, windows inside.  `isa` as in image.h.
 *
 * *r is NULL, or one that has been used: its memory is used again, and its
 * weights where they would be the same. */
int gv_resizer_open(struct gv_resizer **r, int32_t h, int32_t w,
    struct gv_window y, struct gv_window x, enum gv_filter filter,
    enum gv_image_isa isa, struct gv_error *e) GV_USE_RESULT;

/* The next n rows, w * 3 bytes each.  Multiples of four are quickest. */
void gv_resizer_rows(struct gv_resizer *r, const uint8_t *rows, int32_t n);

/* Writes the result, once all h rows have come.  The resizer is kept. */
void gv_resizer_finish(struct gv_resizer *r, uint8_t *dst);
void gv_resizer_close(struct gv_resizer **r);

/* The bytes that it holds. */
size_t gv_resizer_bytes(const struct gv_resizer *r);

/* The same by a rule: what gv_image_resize() does, row by row.  *f is NULL or
 * one that has been used, as above. */
struct gv_fitter;
int gv_fitter_open(struct gv_fitter **f, int32_t h, int32_t w,
    const struct gv_image_rule *rule, enum gv_image_isa isa,
    struct gv_error *e) GV_USE_RESULT;
void gv_fitter_rows(struct gv_fitter *f, const uint8_t *rows, int32_t n);
void gv_fitter_finish(struct gv_fitter *f, uint8_t *dst);
void gv_fitter_close(struct gv_fitter **f);
size_t gv_fitter_bytes(const struct gv_fitter *f);

#ifdef __cplusplus
}
#endif
#endif
