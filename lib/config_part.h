/* Configurations of models that are made out of others.
 */
#ifndef GV_CONFIG_PART_H
#define GV_CONFIG_PART_H

#include "config.h"
#include "err.h"
#include "model.h"
#include "tensor.h"

#include <jansson.h>

#ifdef __cplusplus
extern "C" {
#endif

/* config.json's object of one part alone (GV_LANGUAGE or GV_VISION), new: the
 * text model's, or the tower's with what its features are.  The towers of
 * Idefics's kind are SigLIP's, which they equal where an image is whole. */
int gv_config_of_part(json_t **out, const struct gv_config *c,
    enum gv_part part, struct gv_error *e) GV_USE_RESULT;

/* Names the class of Hugging Face's library that reads such a model; a type
 * that only we know (nano) becomes the one that everybody does. */
void gv_config_put_class(json_t *o);

/* Gives `to`, just parsed, what `from` has in other files: the rule of pixels
 * for its images' size, if both have a tower; end ids and the law to draw by,
 * if both have a decoder. */
int gv_config_carry(struct gv_config *to, const struct gv_config *from,
    struct gv_error *e) GV_USE_RESULT;

/* Says in c->json which type the weights have that are written: BF16, F16, or
 * F32 for any other. */
int gv_config_put_dtype(struct gv_config *c, enum gv_dtype t,
    struct gv_error *e) GV_USE_RESULT;

#ifdef __cplusplus
}
#endif
#endif
