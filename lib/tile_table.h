/* How the pictures of records were cut into tiles, by the records' keys. */
#ifndef GV_TILE_TABLE_H
#define GV_TILE_TABLE_H

#include "err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct gv_tile_table; /* immutable after opening; safe to share by threads */

/* Reads the field `tiles` of a stream, as gv-decode writes it, to its end.  Two
 * records with one key are GV_ERR_MATCH, a negative number of tiles, or more
 * than 4096 of a picture, GV_ERR_FORMAT. */
int gv_tile_table_open(struct gv_tile_table **t, const char *path,
    struct gv_error *e) GV_USE_RESULT;
void gv_tile_table_close(struct gv_tile_table **t); /* NULL is allowed */

/* Rows and columns of each picture of the record with that key, two numbers a
 * picture, 0 and 0 for one that wasn't cut; false if there is none. */
bool gv_tile_table_find(const struct gv_tile_table *t, const char *key,
    const int32_t **tiles, size_t *pictures);

#ifdef __cplusplus
}
#endif
#endif
