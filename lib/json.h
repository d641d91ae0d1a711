/* JSON by jansson, sure of memory.
 *
 * Jansson reports a want of memory where a value can't be made, but not
 * everywhere (2.14): reading it may drop a digit or abort, writing it may drop
 * a key, copying a member, and call that success.  Here its allocator is
 * watched, so each of these is GV_ERR_NOMEM instead.  Values that are built by
 * hand are safe if every json_..._new() is checked.
 *
 * The allocator is replaced before main() by one that calls malloc() and
 * free(); a program that sets another one loses the watch and nothing else.
 */
#ifndef GV_JSON_H
#define GV_JSON_H

#include "err.h"
#include "io.h"

#include <jansson.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Reads the JSON value in n bytes, a new reference.  A key twice in an object,
 * bytes that are not UTF-8, text with U+0000 or half a pair of surrogates, and
 * anything behind the value are GV_ERR_FORMAT; the message is "not valid JSON:
 * ..." with the byte, and the line where there are several, for the caller to
 * put a name in front of. */
int gv_json_parse(
    json_t **out, const char *s, size_t n, struct gv_error *e) GV_USE_RESULT;

/* The same with integers as real numbers, which have no largest. */
int gv_json_parse_reals(
    json_t **out, const char *s, size_t n, struct gv_error *e) GV_USE_RESULT;

/* The object in a regular file of at most `max` bytes, a new reference.  The
 * message begins with the path. */
int gv_json_load(json_t **out, const char *path, size_t max,
    struct gv_error *e) GV_USE_RESULT;

/* The value as NUL-terminated text, with jansson's JSON_... flags; freed with
 * gv_free().  NULL without memory. */
char *gv_json_text(const json_t *v, size_t flags);

/* Writes it to `o`, and a newline. */
int gv_json_write(struct gv_out *o, const json_t *v, size_t flags,
    struct gv_error *e) GV_USE_RESULT;

/* A deep copy; NULL without memory. */
json_t *gv_json_copy(const json_t *v);

#ifdef __cplusplus
}
#endif
#endif
