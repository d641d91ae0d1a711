/* What the parts of safetensors.h share: files, their tensors' names and
 * places, and the steps by which a set of files is opened. */
#ifndef GV_SAFETENSORS_PRIV_H
#define GV_SAFETENSORS_PRIV_H

#include "safetensors.h"

#include "io.h"

#include <jansson.h>

#define GV_ST_PREFIX 8 /* bytes of the length in front of a header */

struct gv_gguf;

struct gv_st_named {
	char *name;
	struct gv_tensor t;
	size_t begin, end; /* in the data of its file */
	size_t file;
	int64_t paired; /* see gv_st_paired() */
};

struct gv_st_opened {
	struct gv_st_file facts;
	struct gv_map map;
	char *path;
};

struct gv_st {
	struct gv_st_opened *file;
	size_t nfiles, file_cap;
	struct gv_st_named *entry; /* sorted by name once opening is done */
	size_t n, entry_cap;
	json_t *meta; /* __metadata__ of the first file that has one */
	struct gv_gguf *gguf; /* or where all of it comes from */
};

/* GV_ERR_NOMEM, naming the file. */
int gv_st_no_memory(struct gv_error *e, const char *path);

/* Parses JSON that must be an object of at most GV_ST_MAX_TENSORS entries,
 * counting what it holds first; NULL on error.  `what` names it in messages. */
json_t *gv_st_object(const char *s, size_t n, const char *path,
    const char *what, struct gv_error *e);

/* A place for a file, with the facts of before it is opened. */
int gv_st_begin(
    struct gv_st *s, const char *path, struct gv_error *e) GV_USE_RESULT;

/* One more entry of the file that was begun last; NULL on error. */
struct gv_st_named *gv_st_new(
    struct gv_st *s, const char *name, const char *path, struct gv_error *e);

/* Maps a file, checks its header and adds its tensors.  What was added before
 * an error is freed by gv_st_close(). */
int gv_st_add(
    struct gv_st *s, const char *path, struct gv_error *e) GV_USE_RESULT;

/* Sorts the entries by name: the end of opening. */
void gv_st_sort(struct gv_st *s);

/* Opens what `add` adds of one path. */
int gv_st_open_by(struct gv_st **out, const char *path,
    int (*add)(struct gv_st *s, const char *path, struct gv_error *e),
    struct gv_error *e) GV_USE_RESULT;

#endif
