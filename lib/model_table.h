/* Inside the model: how its parameter table is made. */
#ifndef GV_MODEL_TABLE_H
#define GV_MODEL_TABLE_H

#include "model_priv.h"

/* The table of `m` as it grows. */
struct gv_table {
	struct gv_model *m;
	size_t cap;
	bool failed; /* out of memory; nothing is added any more */
	bool used; /* the forward pass reads the tensors that follow */
	const size_t *place; /* offsets by parameter, or NULL: one behind the
	                      * other */
};

/* A tensor's start, shape and first values. */
struct gv_spec {
	enum gv_part part;
	enum gv_init init;
	double std;
	bool joined; /* right behind the one before */
};

struct gv_spec gv_spec_normal(enum gv_part part, double std);
/* A matrix that reads C channels; one that writes to the residual stream of a
 * tower of `layers` layers starts smaller (0: it doesn't). */
struct gv_spec gv_spec_matrix(
    const struct gv_config *c, enum gv_part part, int64_t C, int64_t layers);
/* A table of rows, by its own standard deviation. */
struct gv_spec gv_spec_rows(
    const struct gv_config *c, enum gv_part part, double std);
struct gv_spec gv_spec_ones(enum gv_part part);
struct gv_spec gv_spec_zeros(enum gv_part part);
struct gv_spec gv_spec_joined(struct gv_spec s);

/* Appends a tensor of (d0), or (d0,d1) if d1 is not 0; returns its offset. */
size_t gv_table_add(struct gv_table *t, struct gv_spec s, int64_t d0,
    int64_t d1, const char *fmt, ...) GV_PRINTF(5, 6);

/* model_text.c, model_vision.c: the tensors of each part. */
void gv_table_decoder(struct gv_table *t);
void gv_table_vision(struct gv_table *t);
void gv_table_resampler(struct gv_table *t);
void gv_table_projector(struct gv_table *t);

/* Makes the table again with other offsets, or with the usual ones (NULL);
 * the parts' counts of elements are the usual ones either way. */
int gv_table_place(struct gv_model *m, const size_t *place,
    struct gv_error *e) GV_USE_RESULT;

/* Makes the whole table of m->cfg. */
int gv_table_build(struct gv_model *m, struct gv_error *e) GV_USE_RESULT;

#endif
