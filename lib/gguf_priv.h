/* Inside GGUF: the pairs of its head, by key. */
#ifndef GV_GGUF_PRIV_H
#define GV_GGUF_PRIV_H

#include "gguf.h"

#include <stdint.h>

enum gguf_type {
	GGUF_U8,
	GGUF_I8,
	GGUF_U16,
	GGUF_I16,
	GGUF_U32,
	GGUF_I32,
	GGUF_F32,
	GGUF_BOOL,
	GGUF_STRING,
	GGUF_LIST,
	GGUF_U64,
	GGUF_I64,
	GGUF_F64,
	GGUF_TYPES
};

/* A value whose bytes are all there.  A string's are its own, a list's those
 * of its elements. */
struct gguf_value {
	enum gguf_type type, of; /* `of` is a list's element type */
	uint64_t count; /* elements of a list, else 1 */
	const uint8_t *data;
	size_t bytes;
};

/* The value of a key, or NULL. */
const struct gguf_value *gguf_get(const struct gv_gguf *g, const char *key);
const char *gguf_path(const struct gv_gguf *g); /* for messages */

/* An optional number or text; *v keeps its default if the key is absent.  A
 * value of another type, or a whole number outside 0..2^53, is GV_ERR_FORMAT
 * with its key. */
int gguf_get_int(const struct gv_gguf *g, const char *key, int64_t *v,
    struct gv_error *e) GV_USE_RESULT;
int gguf_get_f64(const struct gv_gguf *g, const char *key, double *v,
    struct gv_error *e) GV_USE_RESULT;
int gguf_get_bool(const struct gv_gguf *g, const char *key, bool *v,
    struct gv_error *e) GV_USE_RESULT;
/* Not NUL-terminated; *s NULL if it is absent. */
int gguf_get_text(const struct gv_gguf *g, const char *key, const char **s,
    size_t *n, struct gv_error *e) GV_USE_RESULT;

/* A list of strings, one after the other: at points to the next. */
struct gguf_strings {
	const uint8_t *at;
	uint64_t left;
};
/* The list of a key that must be there. */
int gguf_get_strings(const struct gv_gguf *g, const char *key,
    struct gguf_strings *l, struct gv_error *e) GV_USE_RESULT;
/* The next string; false at the end. */
bool gguf_next_string(struct gguf_strings *l, const char **s, size_t *n);

#endif
