/* safetensors: mapped reading with every rule checked, atomic writing, shards
 * with an index.
 */
#ifndef GV_SAFETENSORS_H
#define GV_SAFETENSORS_H

#include "err.h"
#include "tensor.h"

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Limits. */
#define GV_ST_MAX_HEADER  ((size_t)16 << 20)
#define GV_ST_MAX_TENSORS 65536

struct gv_st; /* an opened file, or all shards of a directory */

/* Opens one .safetensors file. */
int gv_st_open(struct gv_st **s, const char *path, struct gv_error *e)
    GV_USE_RESULT;

/* Opens DIR/model.safetensors, or the shards that
 * DIR/model.safetensors.index.json names. */
int gv_st_open_dir(struct gv_st **s, const char *dir, struct gv_error *e)
    GV_USE_RESULT;
void gv_st_close(struct gv_st **s);

size_t gv_st_count(const struct gv_st *s);
/* The i-th tensor in order of name.  Data points into the mapping. */
const char *gv_st_name(const struct gv_st *s, size_t i);
const struct gv_tensor *gv_st_tensor(const struct gv_st *s, size_t i);
/* By name, or NULL. */
const struct gv_tensor *gv_st_find(const struct gv_st *s, const char *name);
/* A value of __metadata__, or NULL. */
const char *gv_st_meta(const struct gv_st *s, const char *key);

/* Writing: tensors are declared, then their data is given in the same order.
 * Data starts at a multiple of 64 bytes in the file.  meta: n pairs key,
 * value, may be NULL. */
struct gv_st_writer;
struct gv_st_entry {
	const char *name;
	enum gv_dtype dtype;
	int rank;
	int64_t shape[GV_MAX_RANK];
};
int gv_st_writer_open(struct gv_st_writer **w, const char *path,
    const struct gv_st_entry *t, size_t n, const char *const (*meta)[2],
    size_t nmeta, struct gv_error *e) GV_USE_RESULT;
/* The next piece of data, in declaration order, of any size. */
int gv_st_writer_data(struct gv_st_writer *w, const void *data, size_t bytes,
    struct gv_error *e) GV_USE_RESULT;
/* Renames into place if all data was given, else GV_ERR_CUT; frees. */
int gv_st_writer_close(struct gv_st_writer **w, struct gv_error *e)
    GV_USE_RESULT;
void gv_st_writer_abort(struct gv_st_writer **w);

#ifdef __cplusplus
}
#endif
#endif
