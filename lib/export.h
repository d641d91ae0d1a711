/* A model, or one part of it, as the model directory of another.
 *
 * A decoder leaves a vision-language model as the text model that it is, a
 * tower as `siglip_vision_model` or `clip_vision_model`, both under the names
 * that Hugging Face's library has for them; a whole model stays what it is,
 * under its family's names, also if it was a GGUF file or spelled in another
 * way.  Numbers are converted from the files, a piece at a time: nothing is
 * held in memory, nothing computed, and without a dtype nothing rounded.
 *
 * What else there is (pixels' rule, end ids, the law to draw by, vocabulary)
 * goes along with the part that it is for.
 */
#ifndef GV_EXPORT_H
#define GV_EXPORT_H

#include "err.h"
#include "origin.h"
#include "shards.h"

#include <jansson.h>

#ifdef __cplusplus
extern "C" {
#endif

struct gv_export_law {
	enum gv_part part; /* GV_LANGUAGE, GV_VISION; GV_PARTS: all of it */
	enum gv_dtype dtype; /* F32, BF16, F16; GV_NONE: as they are, and
	                      * quantised numbers in F32 */
	int64_t shard_bytes; /* as in gv_shards_write() */
};

/* Makes the directory `to` (gv_dir_begin()'s rules) from a model directory or
 * GGUF file.  A part that the model doesn't have is GV_ERR_MATCH, a resampler
 * or projector GV_ERR_NOSUP.  *report, if it is not NULL, is a new object as
 * gv_items_report() makes it. */
int gv_export(const char *from, const char *to, const struct gv_export_law *law,
    json_t **report, struct gv_error *e) GV_USE_RESULT;

/* What was done, as a new object:
 *	{"parts": [{"part", "tensors", "parameters", "bytes", "dtype",
 *	    "fresh"}], "tensors", "parameters", "bytes",
 *	 "list": [{"name", "dtype", "shape", "fresh"}]}
 * with a list only if `tensors`; NULL without memory.  Items without a part
 * are "unused". */
json_t *gv_items_report(const struct gv_items *list, bool tensors);

#ifdef __cplusplus
}
#endif
#endif
