/* The digest of a part of a model: which weights made these numbers?
 *
 * SHA-256 over the part's tensors in order of name: for each its name within
 * the part, as gv_name_read() gives it, a NUL, its dtype as safetensors
 * spells it, a NUL, its shape as "(3,4)", a NUL, and its bytes.  So a vision
 * tower or text model has the same digest alone and joined into a model, in
 * every spelling of its tensors.  Tensors that change no result are left out.
 * A name that no rule knows counts as text's.
 *
 * Hashing a large model takes seconds, so the digest is remembered in
 * DIR/.gv-digests.json together with size, inode, mtime and ctime of each
 * weights file, and believed only while all of them are the same.  Files that
 * changed within the last two seconds are hashed again the next time, since a
 * change to come might not move their times.  Where the directory can't be
 * written nothing is remembered, and nothing is said.
 */
#ifndef GV_DIGEST_H
#define GV_DIGEST_H

#include "err.h"
#include "model.h"
#include "safetensors.h"
#include "sha.h"

#ifdef __cplusplus
extern "C" {
#endif

/* The digest of a part of the model directory `dir`, in hex; "" if it has no
 * tensors of that part.  A model of text alone is all GV_LANGUAGE. */
int gv_digest_part(const char *dir, enum gv_part part, char out[GV_DIGEST],
    struct gv_error *e) GV_USE_RESULT;

/* The same for weights that are open already.  dir is where to remember it, or
 * NULL. */
int gv_digest_weights(const struct gv_st *s, const char *dir, enum gv_part part,
    char out[GV_DIGEST], struct gv_error *e) GV_USE_RESULT;

#ifdef __cplusplus
}
#endif
#endif
