/* Inside the model: values from a file's mapping into parameters, fast.
 *
 * Tensors are cut into pieces of about a million numbers, which threads read
 * from the mapping and convert: straight into the parameters where the device
 * is the host, else into pinned memory, from which they are copied while the
 * next ones are being read.
 */
#ifndef GV_MODEL_LOAD_H
#define GV_MODEL_LOAD_H

#include "model_priv.h"
#include "names.h"

/* Reads the tensors of `parts`, one source a parameter as gv_names_match()
 * gives them, and waits.  Numbers are rounded to the type of the weights, and
 * exact in the masters where there are some. */
int gv_load_tensors(struct gv_model *m, const struct gv_source *src,
    unsigned parts, struct gv_error *e) GV_USE_RESULT;

#endif
