/* A model directory, or GGUF file, whose tensors go into another model: opened
 * and checked, not read.
 */
#ifndef GV_ORIGIN_H
#define GV_ORIGIN_H

#include "err.h"
#include "model.h"
#include "names.h"

#ifdef __cplusplus
extern "C" {
#endif

struct gv_origin; /* immutable once it is open */

/* Checks all that gv_names_match() does about the whole directory.  The
 * backend serves for tables only, no weight is held. */
int gv_origin_open(struct gv_origin **o, const char *dir, struct gvk *k,
    struct gv_error *e) GV_USE_RESULT;
void gv_origin_close(struct gv_origin **o);

const char *gv_origin_dir(const struct gv_origin *o); /* as it was given */
const struct gv_config *gv_origin_config(const struct gv_origin *o);
/* The files, for tensors that the model has no use for. */
const struct gv_st *gv_origin_tensors(const struct gv_origin *o);

/* The values of a tensor by its part and name within it (gv_name_read()), or
 * NULL if the model has no such parameter. */
const struct gv_source *gv_origin_find(
    const struct gv_origin *o, const struct gv_name *at);

#ifdef __cplusplus
}
#endif
#endif
