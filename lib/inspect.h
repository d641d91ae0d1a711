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

struct gv_inspect_law {
	unsigned what; /* GV_INSPECT_... */
	const char *device; /* whose memory to count, as --device has it */
	int64_t tokens; /* of a batch; 0: 4096, or as many as the model takes */
};

/* A new object:
 *	{"parts": [{"part", "tensors", "parameters", "bytes", "dtype"}],
 *	 "tensors", "parameters", "bytes",
 *	 "config": config.json,
 *	 "tree": [{"part", "name", "tensors", "dtype", "shape"}],
 *	 "memory": {"device", "dtype", "weights_dtype", "tokens", "images",
 *	     "inference": {"weights", "cache", "activations"},
 *	     "training": {"weights", "gradients", "optimizer", "activations"}},
 *	 "list": [{"name", "dtype", "shape"}]}
 * Parts are "vision", "resampler", "projector", "language", and "unused" for
 * tensors that a published file has and the model doesn't need; those without
 * tensors are left out.  dtype is "mixed" where tensors differ.
 *
 * The tree takes tensors together whose names differ in numbers only, which it
 * has "*" for, if dtype and shape are the same.
 *
 * Memory is in bytes, of the device.  Inference: one sequence of so many
 * tokens, with its cache, and an image.  Training: all parts, with AdamW's
 * moments in F32, in batches of so many tokens and as many images as fit among
 * them.  A tower alone has images instead of tokens, and no training. */
int gv_inspect(json_t **out, const char *dir, const struct gv_inspect_law *law,
    struct gv_error *e) GV_USE_RESULT;

#ifdef __cplusplus
}
#endif
#endif
