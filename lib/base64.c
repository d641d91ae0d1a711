/* Base64: four characters of 6 bits are three bytes. */
#include "base64.h"

#include "banned.h"

/* 0..63, or 64 for a character that is not of the alphabet. */
static unsigned
value(char c)
{
	if (c >= 'A' && c <= 'Z')
		return (unsigned)(c - 'A');
	if (c >= 'a' && c <= 'z')
		return (unsigned)(c - 'a') + 26;
	if (c >= '0' && c <= '9')
		return (unsigned)(c - '0') + 52;
	return c == '+' ? 62 : c == '/' ? 63 : 64;
}

bool
gv_base64_decode(uint8_t *dst, size_t *bytes, const char *s, size_t n)
{
	uint8_t of[256], *d = dst;
	uint32_t v = 0;
	unsigned bits = 0;
	size_t i;

	for (i = 0; i < 256; i++)
		of[i] = (uint8_t)value((char)(unsigned char)i);
	for (i = 0; i < 2 && n % 4 == 0 && n && s[n - 1] == '='; i++)
		if (s[n - 1 - i] != '=')
			break;
	n -= i;
	if (n % 4 == 1)
		return false;
	for (i = 0; i < n; i++) {
		uint8_t six = of[(unsigned char)s[i]];

		if (six > 63)
			return false;
		v = v << 6 | six;
		bits += 6;
		if (bits >= 8) {
			bits -= 8;
			*d++ = (uint8_t)(v >> bits);
		}
	}
	*bytes = (size_t)(d - dst);
	return !(v & ((1u << bits) - 1));
}
