/* How vocabularies spell bytes: GPT-2's alphabet, SentencePiece's marks, the
 * ends of CLIP's words. */
#include "token_impl.h"

#include "utf8.h"
#include "banned.h"

static bool
printable(uint32_t b)
{
	return (b >= 0x21 && b <= 0x7e) || (b >= 0xa1 && b <= 0xac) ||
	       (b >= 0xae && b <= 0xff);
}

/* The others follow U+00FF in their order: 00-20, 7f-a0, ad. */
uint32_t
gv_byte_to_char(uint8_t b)
{
	if (printable(b))
		return b;
	if (b <= 0x20)
		return 0x100u + b;
	return b == 0xad ? 0x143 : 0x121u + (b - 0x7fu);
}

int
gv_char_to_byte(uint32_t c)
{
	if (c < 0x100)
		return printable(c) ? (int)c : -1;
	if (c <= 0x120)
		return (int)(c - 0x100);
	if (c <= 0x142)
		return (int)(c - 0x121 + 0x7f);
	return c == 0x143 ? 0xad : -1;
}

int
gv_token_byte(const char *s, size_t n)
{
	static const char hex[] = "0123456789ABCDEF";
	const char *hi, *lo;

	if (n != 6 || memcmp(s, "<0x", 3) || s[5] != '>' || !s[3] || !s[4])
		return -1;
	hi = strchr(hex, s[3]);
	lo = strchr(hex, s[4]);
	return hi && lo ? (int)(hi - hex) << 4 | (int)(lo - hex) : -1;
}

/* A token of characters: U+2581 is a blank.  Text leads to none with a true
 * blank, and to bytes only by falling back. */
static size_t
spell_chars(const struct gv_tokenizer *t, char *dst, const char *s, size_t n,
    uint8_t *flags)
{
	int byte = t->byte_fallback ? gv_token_byte(s, n) : -1;
	size_t i, k = 0;

	*flags = memchr(s, ' ', n) ? GV_TOK_RAW : 0;
	if (byte >= 0) {
		*flags = GV_TOK_RAW;
		*dst = (char)byte;
		return 1;
	}
	for (i = 0; i < n; k++) {
		if (n - i >= 3 && !memcmp(s + i, "\xe2\x96\x81", 3)) {
			dst[k] = ' ';
			i += 3;
		} else {
			dst[k] = s[i++];
		}
	}
	return k;
}

size_t
gv_token_spell(const struct gv_tokenizer *t, char *dst, const char *s, size_t n,
    uint8_t *flags)
{
	size_t i = 0, k = 0, end = n;

	if (t->chars)
		return spell_chars(t, dst, s, n, flags);
	*flags = 0;
	if (t->clip && n > 4 && !memcmp(s + n - 4, GV_WORD_END, 4))
		end -= 4;
	while (i < end) {
		uint32_t c = (unsigned char)s[i];
		int b;

		/* ASCII stands for itself, or for nothing */
		i += c < 0x80 ? 1 : gv_utf8_next(s + i, end - i, &c);
		b = gv_char_to_byte(c);
		if (b < 0) {
			memcpy(dst, s, n);
			*flags = GV_TOK_RAW;
			return n;
		}
		dst[k++] = (char)b;
	}
	if (end < n)
		dst[k++] = ' ';
	return k;
}
