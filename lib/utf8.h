/* UTF-8, the character classes of split patterns, and Unicode's NFC.
 *
 * "Exact" in a tokenizer means: as the engines of Hugging Face tokenizers
 * define it.  Classes are those of Unicode 16 (Oniguruma 6.9.10), composition
 * and ordering those of Unicode 9 (the crate unicode-normalization-alignments
 * 0.1): both are tested against tokenizers 0.23 over all code points.
 */
#ifndef GV_UTF8_H
#define GV_UTF8_H

#include "err.h"

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What gv_utf8_next() gives for a byte that no character of RFC 3629 starts
 * with: a code point that doesn't exist. */
#define GV_UTF8_BAD 0xffffffffu

/* Decodes the character at s[0..n), n > 0: its length in bytes, 1 to 4, and
 * its code point in *c; or 1 and GV_UTF8_BAD.  Surrogates and overlong forms
 * are bad. */
size_t gv_utf8_next(const char *s, size_t n, uint32_t *c);

/* Of bytes that gv_utf8_next() calls bad: how many, 1 to 3, one U+FFFD stands
 * for.  That is the longest beginning of a character, or one byte that can't
 * begin any, as tokenizers, Python and browsers count.  Source: Unicode 15,
 * section 3.9, "maximal subpart"; table 3-7. */
size_t gv_utf8_broken(const char *s, size_t n);

/* The text with U+FFFD for what isn't UTF-8: new memory for gv_free() of *len
 * bytes and a NUL, or NULL without memory. */
char *gv_utf8_clean(const char *s, size_t n, size_t *len);

/* Writes c (at most 0x10ffff) as UTF-8; returns 1 to 4. */
size_t gv_utf8_put(uint32_t c, char out[4]);

/* General categories, numbered as utf8proc does it. */
enum gv_category {
	GV_CN, /* not assigned; what is no character, too */
	GV_LU,
	GV_LL,
	GV_LT,
	GV_LM,
	GV_LO,
	GV_MN,
	GV_MC,
	GV_ME,
	GV_ND,
	GV_NL,
	GV_NO,
	GV_PC,
	GV_PD,
	GV_PS,
	GV_PE,
	GV_PI,
	GV_PF,
	GV_PO,
	GV_SM,
	GV_SC,
	GV_SK,
	GV_SO,
	GV_ZS,
	GV_ZL,
	GV_ZP,
	GV_CC,
	GV_CF,
	GV_CS,
	GV_CO
};
enum gv_category gv_utf8_category(uint32_t c);

enum gv_class {
	GV_CLASS_OTHER, /* neither of these; bad bytes too */
	GV_CLASS_LETTER, /* \p{L} */
	GV_CLASS_NUMBER, /* \p{N} */
	GV_CLASS_SPACE /* \s: White_Space */
};
enum gv_class gv_utf8_class(uint32_t c);

/* The characters of Unicode 15 to 16, which a library with tables of Unicode
 * 14 or 15 may not know.  Returns how many ranges there are, ascending. */
struct gv_utf8_range {
	uint32_t lo, hi;
	enum gv_category category;
};
size_t gv_utf8_recent(const struct gv_utf8_range **r);

/* The first byte of s[0..n) that is not UTF-8, or n. */
size_t gv_utf8_check(const char *s, size_t n);

/* For streaming output: of `n` bytes, how many end on a whole UTF-8
 * character (the rest may become one with the bytes to come). */
size_t gv_utf8_whole(const char *s, size_t n);

/* Writes the characters in lower case, each by itself (the full mapping, as
 * tokenizers' Lowercase does it): new memory for gv_free() of *len bytes, or
 * NULL without memory.  Bad bytes are copied. */
char *gv_utf8_lower(const char *s, size_t n, size_t *len);

/* Normalises n bytes to NFC.  *out is NULL where the text is surely normal
 * already, else new memory for gv_free() of *len bytes (not NUL-terminated).
 * Bad bytes are copied, and separate what they stand between.  Linear in n,
 * whatever the order of combining marks. */
int gv_nfc(const char *s, size_t n, char **out, size_t *len,
    struct gv_error *e) GV_USE_RESULT;

#ifdef __cplusplus
}
#endif
#endif
