/* Base64 (RFC 4648, section 4), as data URLs (RFC 2397) hold pictures. */
#ifndef GV_BASE64_H
#define GV_BASE64_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Room that n characters of base64 need, in bytes. */
#define GV_BASE64_ROOM(n) ((n) / 4 * 3 + 3)

/* Decodes n characters into dst and counts the bytes.  Padding may be left out;
 * false for any other character, a wrong length, or bits behind the end. */
bool gv_base64_decode(uint8_t *dst, size_t *bytes, const char *s, size_t n);

#ifdef __cplusplus
}
#endif
#endif
