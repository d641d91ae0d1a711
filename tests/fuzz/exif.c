/* Fuzz: any bytes as EXIF data: an orientation in any case, of nothing that
 * lies outside them.  A reader of the plainest kind must find the same. */
#include "image.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

/* A number of `bytes` bytes at `at`, or 0 beyond the end, which is told. */
static uint32_t
number(const uint8_t *p, size_t n, uint64_t at, int bytes, bool little,
    bool *inside)
{
	uint32_t v = 0;
	int i;

	if (at + (uint64_t)bytes > n) {
		*inside = false;
		return 0;
	}
	for (i = 0; i < bytes; i++)
		v = v << 8 | p[at + (uint64_t)(little ? bytes - 1 - i : i)];
	return v;
}

/* The last entry that is one number of a fitting type counts. */
static uint32_t
plain(const uint8_t *p, size_t n)
{
	bool little = n && *p == 'I', in = true;
	uint32_t v = 1, count, i;
	uint64_t at;

	if (n < 8 || (memcmp(p, "II*\0", 4) && memcmp(p, "MM\0*", 4)))
		return 1;
	at = number(p, n, 4, 4, little, &in);
	count = number(p, n, at, 2, little, &in);
	for (i = 0, at += 2; i < count && at + 12 <= n; i++, at += 12) {
		uint32_t type = number(p, n, at + 2, 2, little, &in);

		if (number(p, n, at, 2, little, &in) == 0x112 &&
		    number(p, n, at + 4, 4, little, &in) == 1 &&
		    (type == 3 || type == 4))
			v = number(
			    p, n, at + 8, type == 3 ? 2 : 4, little, &in);
	}
	return in && v >= 1 && v <= 8 ? v : 1;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	if ((uint32_t)gv_exif_orientation(data, n) != plain(data, n))
		abort();
	return 0;
}
