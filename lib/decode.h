/* From a record of gv_source_next() to pixels: all that a worker thread of
 * gv-decode does. */
#ifndef GV_DECODE_H
#define GV_DECODE_H

#include "image.h"
#include "image_refs.h"
#include "source.h"
#include "tile.h"

#ifdef __cplusplus
extern "C" {
#endif

struct gv_decode_law {
	struct gv_image_rule rule;
	struct gv_tile_rule tiles; /* way GV_TILE_NONE: a picture is one */
	struct gv_image_limits limits;
	const char *root; /* where relative paths start */
	const char *field; /* of a JSON line: what names its pictures */
	const char *const *keep; /* plain values that are carried along */
	size_t nkeep;
	bool id; /* hash the files */
};

/* A record's pixels.  Buffers are kept from one to the next; zeroed memory is
 * an empty one. */
struct gv_decoded {
	char key[GV_MAX_KEY + 1];
	int64_t n; /* squares: more than pictures where there are tiles */
	uint8_t *px; /* (n,H,W,3) */
	int64_t pictures;
	int32_t *before; /* (pictures,2), height and width of each as it was */
	int32_t *tiles; /* (pictures,2), rows and columns; 0, 0: one square */
	json_t *id; /* a text of each: "sha256:" and the file's hash */
	json_t **kept; /* nkeep values, JSON's null where there is none */
	struct gv_error error; /* why there are none */
	uint64_t bytes; /* of picture files that were read */
	uint64_t read_ns, decode_ns, resize_ns; /* of this thread's CPU time */
	size_t px_cap, before_cap, tiles_cap; /* what the buffers hold */
	struct gv_image_refs refs;
	size_t nkept;
};

/* Decodes by one law, in any number of threads. */
struct gv_decoder;

/* Points to what is in *law. */
int gv_decoder_open(struct gv_decoder **c, const struct gv_decode_law *law,
    struct gv_error *e) GV_USE_RESULT;
void gv_decoder_close(struct gv_decoder **c);

/* Decodes a record.  A failure is in d->error.
 *
 * A JSON line is an object: "id", text or a whole number, is the key; under
 * law->field there is what image_refs.h reads, or nothing, for no pictures.  A
 * text is a path or a data URL in base64, whatever type that names; other URLs
 * are GV_ERR_NOSUP.  Of it and of a tar file's .json, law->keep names what is
 * carried along by key; a tar file's other members by what follows their dot,
 * as text, which must be UTF-8. */
void gv_decoder_rec(
    struct gv_decoder *c, struct gv_decoded *d, const struct gv_source_rec *r);
void gv_decoded_free(struct gv_decoded *d);

#ifdef __cplusplus
}
#endif
#endif
