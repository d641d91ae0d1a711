/* The stream of pictures that gv-decode writes: gv-fields(5), kind image. */
#ifndef GV_DECODE_WRITE_H
#define GV_DECODE_WRITE_H

#include "decode.h"
#include "io.h"
#include "stream.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Opens the stream; its head says what `prog` made it by. */
int gv_decode_begin(struct gv_writer **w, struct gv_out *o,
    const struct gv_decode_law *law, const char *prog,
    struct gv_error *e) GV_USE_RESULT;

/* A record of what gv_decoder_rec() made, which has no error. */
int gv_decode_put(struct gv_writer *w, const struct gv_decode_law *law,
    const struct gv_decoded *d, struct gv_error *e) GV_USE_RESULT;

/* Puts in front of the message in *e which record it is about: number `n` of
 * the stream, its key, and where it was named. */
void gv_decode_where(struct gv_error *e, const struct gv_source_rec *r,
    const struct gv_decoded *d, uint64_t n);

#ifdef __cplusplus
}
#endif
#endif
