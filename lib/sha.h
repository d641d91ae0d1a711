/* SHA-256 as the digest of weights, vocabularies and rules (Nettle's). */
#ifndef GV_SHA_H
#define GV_SHA_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

#define GV_DIGEST 65 /* 64 hex digits and a NUL */

struct gv_sha;

/* NULL without memory. */
struct gv_sha *gv_sha_open(void);
void gv_sha_add(struct gv_sha *s, const void *data, size_t n);
/* Writes the digest in lower-case hex and frees; out may be NULL. */
void gv_sha_close(struct gv_sha **s, char out[GV_DIGEST]);

/* In one call; false without memory. */
int gv_sha_of(const void *data, size_t n, char out[GV_DIGEST]);

#ifdef __cplusplus
}
#endif
#endif
