/* What is in a model directory: its parts, their sizes, their tensors.
 *
 * The directory is checked on the way: every rule of safetensors and of the
 * configuration, and that both agree about each tensor's name and shape.  No
 * weight is read but for digests.
 */
#ifndef GV_INSPECT_H
#define GV_INSPECT_H

#include "err.h"

#include <jansson.h>

#ifdef __cplusplus
extern "C" {
#endif

enum {
	GV_INSPECT_TENSORS = 1, /* "list": every tensor */
	GV_INSPECT_DIGESTS = 2 /* "digest" in each part, see digest.h */
};

/* A new object:
 *	{"parts": [{"part", "tensors", "parameters", "bytes", "dtype"}],
 *	 "tensors", "parameters", "bytes",
 *	 "config": config.json,
 *	 "list": [{"name", "dtype", "shape"}]}
 * Parts are "vision", "resampler", "projector", "language", and "unused" for
 * tensors that a published file has and the model doesn't need; those without
 * tensors are left out.  dtype is "mixed" where tensors differ. */
int gv_inspect(json_t **out, const char *dir, unsigned what,
    struct gv_error *e) GV_USE_RESULT;

#ifdef __cplusplus
}
#endif
#endif
