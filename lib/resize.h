/* Inside images: resizing of which only a part is computed. */
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

/* Pixels of both windows into dst (y.n, x.n, 3): those that Pillow's
 * Image.resize() to (x.total, y.total) has there.  Sizes are the caller's duty:
 * 1..2^24, windows inside. */
int gv_resize_window(uint8_t *dst, const struct gv_image *im,
    struct gv_window y, struct gv_window x, enum gv_filter filter,
    enum gv_image_isa isa, struct gv_error *e) GV_USE_RESULT;

#ifdef __cplusplus
}
#endif
#endif
