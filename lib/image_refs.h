/* The pictures that a JSON value names, in the forms that data sets and
 * conversations have them:
 *
 *	null					none
 *	"TEXT"					a path, or a data URL
 *	{"path": "TEXT"}, {"url": "TEXT"}, {"image": ...}
 *	{"bytes": "BASE64", "path": ...}	its bytes, unless null
 *	{"type": "image_url", "image_url": "TEXT" or {"url": "TEXT"}}
 *	[..., ...]				all of them, in order
 *	{"role": ..., "content": [..., ...]}	those of a message's parts
 *
 * so that a conversation may be given whole: of an object with a "type" other
 * than image, image_url and input_image, there are none.
 */
#ifndef GV_IMAGE_REFS_H
#define GV_IMAGE_REFS_H

#include "err.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

struct gv_image_ref {
	const char *text; /* the value's; never empty */
	bool bytes; /* it is base64, else a path or a URL */
};

/* A list that is used again and again; zeroed memory is an empty one, and
 * gv_free(l->ref) all that it takes to free it. */
struct gv_image_refs {
	struct gv_image_ref *ref;
	size_t n, cap;
};

/* Is a part of a message of this type a picture: image, image_url, or
 * input_image? */
bool gv_image_part(const char *type);

/* Fills *l.  GV_ERR_FORMAT where a value names no picture in any of these
 * forms, GV_ERR_LIMIT for nesting deeper than 8.  Texts point into *v. */
int gv_image_refs(
    struct gv_image_refs *l, const json_t *v, struct gv_error *e) GV_USE_RESULT;

#ifdef __cplusplus
}
#endif
#endif
