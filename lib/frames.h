/* JPEGs and PNGs end to end in one input, as `ffmpeg -f image2pipe` writes
 * them: where each ends, without decoding it.
 */
#ifndef GV_FRAMES_H
#define GV_FRAMES_H

#include "feed.h"

#ifdef __cplusplus
extern "C" {
#endif

/* 1 and the size in bytes of the picture at the feed's place, which a
 * gv_feed_peek() of so many bytes gives and a gv_feed_skip() leaves; 0 at the
 * end of the input.  GV_ERR_FORMAT where there is no picture, GV_ERR_CUT if the
 * input ends inside one, GV_ERR_LIMIT above 1 GiB. */
int gv_frame_next(
    struct gv_feed *f, size_t *n, struct gv_error *e) GV_USE_RESULT;

#ifdef __cplusplus
}
#endif
#endif
