/* The optimizer: AdamW with one learning rate a part, clipping by the global
 * norm, and schedules.
 *
 * Matrices decay (token embeddings and patch weights too); vectors, position
 * embeddings and latents don't.
 */
#ifndef GV_OPTIM_H
#define GV_OPTIM_H

#include "model.h"

#ifdef __cplusplus
extern "C" {
#endif

enum gv_schedule { GV_CONSTANT, GV_LINEAR, GV_COSINE };

/* How the learning rate moves: it rises linearly from 0 over `warmup` steps
 * (step i, from 0, has (i+1)/warmup of it), stays for `flat` steps, and falls
 * to `floor` times the peak at step `total`. */
struct gv_schedule_law {
	enum gv_schedule kind;
	int64_t warmup, flat, total;
	double floor;
};

/* The factor of the peak rate at a step, 0-based. */
double gv_schedule_at(const struct gv_schedule_law *s, int64_t step);

struct gv_optim_law {
	double lr[GV_PARTS]; /* peak rates; a part without one is frozen */
	double beta1, beta2, eps, weight_decay;
	double clip; /* global norm; 0: no clipping */
	enum gvk_dtype state; /* of the moments: GVK_F32, or GVK_BF16 with
	                       * stochastic rounding */
	uint64_t seed; /* of that rounding */
};

struct gv_optim;

/* Takes state memory for the parts of `m` that train: 2 moments a parameter,
 * all zeros, and where the backend's storage rounds (BF16) the exact
 * parameters in F32, which start as the stored ones and are the parts'
 * `master` until gv_optim_close().  `m` stays the caller's and must outlive
 * it. */
int gv_optim_open(struct gv_optim **o, struct gv_model *m,
    const struct gv_optim_law *law, struct gv_error *e) GV_USE_RESULT;
void gv_optim_close(struct gv_optim **o);

/* Bytes of device memory that gv_optim_open() would take. */
size_t gv_optim_need(const struct gv_model *m, const struct gv_optim_law *law);

/* One update from the gradients, which it then clears.  `factor` multiplies
 * all rates.  *norm is the gradients' norm before clipping.  If that is not
 * finite nothing changes and the result is GV_ERR_FORMAT.  Waits. */
int gv_optim_step(struct gv_optim *o, double factor, double *norm,
    struct gv_error *e) GV_USE_RESULT;

/* The moments as tensors "m.PART" and "v.PART", of the type in the law, in one
 * file; the exact parameters are in the model's own, and the count of steps is
 * the caller's to keep.  A file of another type is GV_ERR_MATCH. */
int gv_optim_save(
    struct gv_optim *o, const char *path, struct gv_error *e) GV_USE_RESULT;
int gv_optim_load(struct gv_optim *o, const char *path, int64_t step,
    struct gv_error *e) GV_USE_RESULT;

#ifdef __cplusplus
}
#endif
#endif
