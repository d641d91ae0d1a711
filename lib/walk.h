/* A bounded walk over msgpack that comes from outside.
 *
 * The walker reads one header at a time and allocates nothing, so a header
 * that promises four billion elements costs nothing: each count and length is
 * held against the bytes that are there, or, where more can come, against the
 * limit of the whole, before anybody uses it.  Bytes may arrive while the walk
 * goes on: `more` is asked for them, and may move `base`; positions are
 * therefore offsets.
 *
 * Functions return false on failure, with `code` and `why` set and `at` near
 * the fault.  Ext types and the byte c1 are refused.
 */
#ifndef GV_WALK_H
#define GV_WALK_H

#include "err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum gv_item_type {
	GV_ITEM_NIL,
	GV_ITEM_BOOL, /* u: 0 or 1 */
	GV_ITEM_UINT, /* u */
	GV_ITEM_INT, /* i, negative */
	GV_ITEM_F64, /* f; float 32 as well */
	GV_ITEM_STR, /* u: length in bytes */
	GV_ITEM_BIN, /* u: length in bytes */
	GV_ITEM_ARRAY, /* u: elements */
	GV_ITEM_MAP /* u: pairs of key and value */
};

struct gv_item {
	enum gv_item_type type;
	uint8_t tag; /* the header's first byte */
	uint64_t u;
	int64_t i;
	double f;
};

struct gv_walk {
	const uint8_t *base;
	size_t have; /* bytes at base */
	size_t at; /* bytes walked over */
	size_t limit; /* most that `at` may become */
	/* Gets bytes until have >= need; false at the end of input or, with
	 * code and why set, on a failure.  NULL: base is all there is. */
	bool (*more)(struct gv_walk *w, size_t need);
	void *arg;
	int code; /* enum gv_err, 0 so far */
	const char *why;
};

/* A walk over n bytes in memory. */
void gv_walk_init(struct gv_walk *w, const void *data, size_t n);

/* Records the failure and returns false. */
bool gv_walk_fail(struct gv_walk *w, int code, const char *why);

/* Makes sure that n bytes follow `at`. */
bool gv_walk_need(struct gv_walk *w, size_t n);

/* Reads a header (and the value of a number).  For str and bin `at` is then at
 * their bytes, which gv_walk_span() steps over: it makes sure of them and
 * gives their offset. */
bool gv_walk_item(struct gv_walk *w, struct gv_item *it);
bool gv_walk_span(struct gv_walk *w, size_t n, size_t *off);

/* A str, UTF-8 checked, or bin, whole: offset and length. */
bool gv_walk_text(struct gv_walk *w, size_t *off, size_t *n);
bool gv_walk_bin(struct gv_walk *w, size_t *off, size_t *n);

/* A str (or bin) of just these bytes; `why` if it is another. */
bool gv_walk_is(struct gv_walk *w, const char *s, const char *why);
bool gv_walk_is_bin(struct gv_walk *w, const char *s, const char *why);

bool gv_walk_uint(struct gv_walk *w, uint64_t *u, const char *why);

/* Steps over one object that may hold containers `depth` deep.  Map keys are
 * str, or bin where `bin_keys`. */
bool gv_walk_skip(struct gv_walk *w, int depth, bool bin_keys);

/* Are the n bytes UTF-8 (RFC 3629: no surrogates, nothing overlong)? */
bool gv_utf8_valid(const void *s, size_t n);

#ifdef __cplusplus
}
#endif
#endif
