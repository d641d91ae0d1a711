/* safetensors: mapped reading with every rule checked, atomic writing, shards
 * with an index.
 *
 * A file is the length of its header (8 bytes, little-endian), the header (a
 * JSON object: name -> dtype, shape, data_offsets) and the data.  All of it is
 * checked when the file is opened, so a view that this module hands out lies
 * within the mapping and has the size that its shape asks for:
 *
 *	header		at most 16 MiB, within the file, starts with '{', UTF-8,
 *			no key twice, at most 65,536 tensors of rank <= 8
 *	tensor		a dtype of tensor.h (another one is GV_ERR_NOSUP by
 *			name), sizes >= 0, exactly shape x size bytes
 *	data		no hole, no overlap, nothing behind the last tensor
 *
 * A tensor without elements is valid.  A file that ends early is GV_ERR_CUT,
 * one beyond a limit GV_ERR_LIMIT, any other fault GV_ERR_FORMAT; messages name
 * file, tensor, and what was expected and found.
 *
 * Source: the format's description in huggingface/safetensors; the checks are
 * those of its tensor.rs and RELIABILITY's additions (duplicate keys, limits).
 */
#ifndef GV_SAFETENSORS_H
#define GV_SAFETENSORS_H

#include "err.h"
#include "tensor.h"

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Limits.  Tensors are counted over all shards. */
#define GV_ST_MAX_HEADER  ((size_t)16 << 20)
#define GV_ST_MAX_TENSORS 65536
#define GV_ST_MAX_SHARDS  1024

struct gv_st; /* an opened file, or all shards of a directory */

/* Opens one .safetensors file. */
int gv_st_open(
    struct gv_st **s, const char *path, struct gv_error *e) GV_USE_RESULT;

/* Opens DIR/model.safetensors or, where that is missing, the shards that
 * DIR/model.safetensors.index.json names.  Shards must be plain names of files
 * in DIR; index and shards must agree about every tensor (GV_ERR_MATCH).
 * Where `dir` ends in ".gguf" it is a file, see gguf.h.  PyTorch's .bin files
 * are GV_ERR_NOSUP, with the command that converts them. */
int gv_st_open_dir(
    struct gv_st **s, const char *dir, struct gv_error *e) GV_USE_RESULT;
void gv_st_close(struct gv_st **s);

size_t gv_st_count(const struct gv_st *s);
/* The i-th tensor in order of name (bytewise).  Data points into the mapping,
 * which lives until gv_st_close().  It is as aligned as the file has it: at
 * least to its element in our files and in those of the reference writer, but
 * a reader must not count on that (use gv_to_f32 or memcpy). */
const char *gv_st_name(const struct gv_st *s, size_t i);
const struct gv_tensor *gv_st_tensor(const struct gv_st *s, size_t i);
/* Heads of a tensor whose rows stand in pairs, see gv_gguf_paired(); else 0. */
int64_t gv_st_paired(const struct gv_st *s, size_t i);
/* By name, or NULL. */
const struct gv_tensor *gv_st_find(const struct gv_st *s, const char *name);
/* A value of __metadata__, or NULL. */
const char *gv_st_meta(const struct gv_st *s, const char *key);

/* The files behind it: one, or the shards in order of name.  The facts are from
 * before the file was mapped, so a cache keyed by them is never newer than the
 * data. */
struct gv_st_file {
	const char *path;
	uint64_t bytes, inode;
	int64_t mtime_ns, ctime_ns;
};
size_t gv_st_files(const struct gv_st *s);
const struct gv_st_file *gv_st_file(const struct gv_st *s, size_t i);

/* Writing: tensors are declared, then their data is given in the same order.
 * Data starts at a multiple of 64 bytes in the file, the header is
 * padded with spaces.  Names are UTF-8, differ, and are not "__metadata__".
 * meta: nmeta pairs key, value; may be NULL if nmeta is 0.  Nothing is kept of
 * the arguments.  The file appears when it is complete, as gv_out's do. */
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
/* The next piece of data, in declaration order, of any size; more than was
 * declared is GV_ERR_MATCH. */
int gv_st_writer_data(struct gv_st_writer *w, const void *data, size_t bytes,
    struct gv_error *e) GV_USE_RESULT;
/* Flushes, syncs and renames if all data was given, else GV_ERR_CUT; frees
 * either way. */
int gv_st_writer_close(
    struct gv_st_writer **w, struct gv_error *e) GV_USE_RESULT;
void gv_st_writer_abort(struct gv_st_writer **w);

#ifdef __cplusplus
}
#endif
#endif
