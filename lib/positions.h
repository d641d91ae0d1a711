/* Position embeddings of a tower for images of another size than it was made
 * for, where its configuration asks for that ("interpolate_from"): the table on
 * disk, of grid^2 rows behind that of a class token, becomes one of the grid
 * that the images have, by bicubic interpolation of each channel over the grid.
 *
 * The numbers are those of torch.nn.functional.interpolate(mode="bicubic",
 * align_corners=False), which transformers' interpolate_pos_encoding takes:
 * Keys' kernel with a = -3/4, output y at (y + 1/2) in / out - 1/2, no
 * antialiasing, the border repeated.
 */
#ifndef GV_POSITIONS_H
#define GV_POSITIONS_H

#include "model_priv.h"

/* Whether parameter p is a table that must be interpolated; then *rows is how
 * many rows it has on disk. */
bool gv_positions_differ(
    const struct gv_model *m, const struct gv_param *p, int64_t *rows);

/* *out = the table of m's grid, F32, from the one on disk, whose shape was
 * checked.  Its numbers are *data, freed with gv_free(). */
int gv_positions_resize(struct gv_tensor *out, float **data,
    const struct gv_model *m, const struct gv_tensor *disk,
    struct gv_error *e) GV_USE_RESULT;

/* The interpolation itself: (in,in,C) to (out,out,C). */
void gv_bicubic_grid(
    float *dst, int64_t out, const float *src, int64_t in, int64_t C);

#endif
