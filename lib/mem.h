/* Memory whose size cannot overflow, aligned for SIMD and for mapping.
 *
 * All of libgv allocates through these.  A size that overflows or a heap that
 * is exhausted gives NULL; the caller reports GV_ERR_NOMEM.
 */
#ifndef GV_MEM_H
#define GV_MEM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define GV_ALIGN 64 /* alignment of every allocation and payload, bytes */

/* n * size bytes of zeros, aligned to GV_ALIGN; NULL if that overflows or
 * there is no memory.  Zero bytes give a valid pointer.  gv_free() frees. */
void *gv_alloc(size_t n, size_t size);
void gv_free(void *p); /* NULL is allowed */

/* Makes room for `need` elements of `size` bytes in the array *p that has room
 * for *cap, growing by half.  The content is kept, new elements are not
 * cleared.  Returns 0, or GV_ERR_NOMEM with *p and *cap untouched. */
int gv_grow(void **p, size_t *cap, size_t need, size_t size);

/* gv_grow() for a pointer of whatever type, whose address `array` is; without
 * memory *e says so, too. */
struct gv_error;
int gv_room(
    void *array, size_t *cap, size_t need, size_t size, struct gv_error *e);

/* *out = a * b or a + b; false, with *out untouched, if it overflows. */
bool gv_mul(size_t a, size_t b, size_t *out);
bool gv_add(size_t a, size_t b, size_t *out);

/* Rounds up to a multiple of GV_ALIGN.  n is at most SIZE_MAX - 63. */
static inline size_t
gv_align(size_t n)
{
	return (n + (GV_ALIGN - 1)) & ~(size_t)(GV_ALIGN - 1);
}

/* A copy of a NUL-terminated string; NULL without memory. */
char *gv_strdup(const char *s);
char *gv_strndup(const char *s, size_t n);

#ifdef __cplusplus
}
#endif
#endif
