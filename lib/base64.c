/* Base64: four characters of 6 bits are three bytes. */
#include "base64.h"

#include "banned.h"

/* One more than the number that a character stands for; 0 if it is not of the
 * alphabet. */
#define FROM(c, v) \
	[(c)] = (v) + 1, [(c) + 1] = (v) + 2, [(c) + 2] = (v) + 3, \
	[(c) + 3] = (v) + 4, [(c) + 4] = (v) + 5
static const uint8_t alphabet[256] = {FROM('A', 0), FROM('F', 5), FROM('K', 10),
    FROM('P', 15), FROM('U', 20), ['Z'] = 26, FROM('a', 26), FROM('f', 31),
    FROM('k', 36), FROM('p', 41), FROM('u', 46), ['z'] = 52, FROM('0', 52),
    FROM('5', 57), ['+'] = 63, ['/'] = 64};

/* The six bits of each of n characters, one after the other; false if one isn't
 * of the alphabet. */
static bool
gather(const char *s, size_t n, uint32_t *v)
{
	bool fine = true;
	size_t i;

	for (*v = 0, i = 0; i < n; i++) {
		uint8_t c = alphabet[(unsigned char)s[i]];

		fine &= c != 0;
		*v = *v << 6 | ((c - 1u) & 63);
	}
	return fine;
}

bool
gv_base64_decode(uint8_t *dst, size_t *bytes, const char *s, size_t n)
{
	uint8_t *d = dst;
	uint32_t v;
	size_t i;

	for (i = 0; i < 2 && n % 4 == 0 && n && s[n - 1] == '='; i++)
		if (s[n - 1 - i] != '=')
			break;
	n -= i;
	if (n % 4 == 1)
		return false;
	for (i = 0; i + 4 <= n; i += 4, d += 3) {
		if (!gather(s + i, 4, &v))
			return false;
		d[0] = (uint8_t)(v >> 16);
		d[1] = (uint8_t)(v >> 8);
		d[2] = (uint8_t)v;
	}
	/* two or three characters are left: one byte or two, and zeros */
	n -= i;
	if (!gather(s + i, n, &v))
		return false;
	if (n == 3)
		*d++ = (uint8_t)(v >> 10);
	if (n)
		*d++ = (uint8_t)(v >> (n == 3 ? 2 : 4));
	*bytes = (size_t)(d - dst);
	return !(v & (n == 3 ? 3 : 15) && n);
}
