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
 * exact in the masters where there are some.  Parameters whose source has no
 * tensor stay as they are. */
int gv_load_tensors(struct gv_model *m, const struct gv_source *src,
    unsigned parts, struct gv_error *e) GV_USE_RESULT;

/* Brings bytes of a file's mapping into the page table; where the kernel can't,
 * they come when they are used. */
void gv_load_touch(const void *data, size_t bytes);

/* Runs fn(arg) on as many threads as `jobs` can use, this one among them. */
void gv_load_run(
    const struct gv_model *m, size_t jobs, void *(*fn)(void *), void *arg);

/* model_map.c: instead of gv_model_alloc() and gv_load_tensors(), for a model
 * that only runs forward, on a host.  A parameter whose numbers stand in the
 * file in the type of the weights is used where it is mapped: its offset from
 * the part's buffer leads there.  The others (matrices that are joined here and
 * apart in the file, other types, rows in pairs) are copied into buffers of
 * their own.  `st` must stay open as long as the model. */
int gv_map_tensors(struct gv_model *m, const struct gv_source *src,
    unsigned parts, struct gv_error *e) GV_USE_RESULT;

/* model_map.c: gives a model whose parameters are mapped buffers that can be
 * written to, with nothing in them. */
int gv_map_end(struct gv_model *m, struct gv_error *e) GV_USE_RESULT;

#endif
