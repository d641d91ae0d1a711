/* The images of a line of input: how many, and where in its messages. */
#ifndef GV_RENDER_IMAGES_H
#define GV_RENDER_IMAGES_H

#include "err.h"

#include <jansson.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/* How many pictures the line's "image" names, in the forms of image_refs.h. */
int gv_line_images(
    const json_t *line, size_t *n, struct gv_error *e) GV_USE_RESULT;

/* How many parts of the messages are images. */
size_t gv_images_placed(const json_t *messages);

/* Makes *out the messages with the line's images in them: `messages` itself
 * (a new reference) where they are, or a copy with all of them at the beginning
 * of the first user's.  GV_ERR_MATCH where there are more or fewer than the
 * line names; *out is NULL after an error. */
int gv_images_place(json_t *messages, size_t images, json_t **out,
    struct gv_error *e) GV_USE_RESULT;

#ifdef __cplusplus
}
#endif
#endif
