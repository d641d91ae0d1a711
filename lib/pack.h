/* Writing msgpack into memory, for the writer of streams: a buffer that grows,
 * a msgpack-c packer on it, and the parts that all records share.
 *
 * A failure (no memory) is remembered in `failed`, so a sequence of calls is
 * checked once at the end.
 */
#ifndef GV_PACK_H
#define GV_PACK_H

#include "stream.h"
#include "walk.h"

#include <msgpack/pack.h>

#ifdef __cplusplus
extern "C" {
#endif

struct gv_pack {
	uint8_t *p;
	size_t n, cap;
	bool failed;
	msgpack_packer pk;
};

void gv_pack_init(struct gv_pack *p);
void gv_pack_free(struct gv_pack *p);

void gv_pack_raw(struct gv_pack *p, const void *data, size_t n);
void gv_pack_text(struct gv_pack *p, const char *s, size_t n);
void gv_pack_str(struct gv_pack *p, const char *s);
void gv_pack_key(struct gv_pack *p, const char *s); /* as bin */

/* 0, or GV_ERR_LIMIT if it holds more than `depth` containers in each other or
 * a map of too many keys. */
int gv_pack_json(struct gv_pack *p, const json_t *v, int depth);

/* A `pad` pair, its key str or bin, that brings a position `at` (from the start
 * of the record) to a multiple of 64 after `then` more bytes. */
void gv_pack_pad(struct gv_pack *p, size_t at, size_t then, bool bin_key);

/* What a tensor begins with, up to the sizes of its shape: the same in each
 * record. */
void gv_pack_tensor(struct gv_pack *p, const struct gv_field *f);

/* The last pair of every record: `crc`. */
#define GV_CRC_PAIR 9
void gv_pack_crc(struct gv_pack *p, uint32_t crc);

/* `pad` and `crc` after the n bytes of a whole HEAD or END. */
void gv_pack_seal(struct gv_pack *p);

/* A whole HEAD. */
void gv_pack_head(struct gv_pack *p, const struct gv_schema *s);

/* How numpy calls a dtype: "<f4". */
const char *gv_dtype_wire(enum gv_dtype t);

/* Reads what follows the pair gv:"head" up to `pad` into an empty schema. */
bool gv_walk_head(struct gv_walk *w, struct gv_schema *s, struct gv_error *e);

/* A `pad` pair and a check that it is as gv_pack_pad() writes it. */
bool gv_walk_pad(struct gv_walk *w, bool bin_key);

/* A new reference for one object; bin and numbers that JSON lacks are
 * refused. */
bool gv_walk_json(struct gv_walk *w, int depth, json_t **out);

/* Appends a program with its version; takes over args and digests. */
int gv_schema_add_prog(struct gv_schema *s, const char *name, const char *ver,
    json_t *args, json_t *digests, struct gv_error *e) GV_USE_RESULT;

/* May a field or kind be called so: letters, digits, '_', '-' and '.'? */
bool gv_name_valid(const char *s, size_t n, size_t max);

#ifdef __cplusplus
}
#endif
#endif
