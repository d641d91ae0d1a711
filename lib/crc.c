/* CRC-32 by folding 64 bytes at a time with carry-less multiplication. */
#include "crc.h"

#include "banned.h"

#include <zlib.h>

#define FEW 16 /* bytes that are left to zlib */

#if defined(__x86_64__)
#include <immintrin.h>

#define TARGET __attribute__((target("pclmul,sse4.1")))

TARGET static inline __m128i
load(const uint8_t *p)
{
	return _mm_loadu_si128((const __m128i *)(const void *)p);
}

/* Moves a 128-bit remainder over the distance that `k` stands for: its low
 * half is x^(d+32) mod P and its high half x^(d-32) mod P, bit-reflected. */
TARGET static inline __m128i
fold(__m128i x, __m128i k, __m128i next)
{
	__m128i lo = _mm_clmulepi64_si128(x, k, 0x00);
	__m128i hi = _mm_clmulepi64_si128(x, k, 0x11);

	return _mm_xor_si128(_mm_xor_si128(lo, hi), next);
}

/* The remainder over the n < 16 bytes that end at `end`: its own first n bytes
 * go over the 16 that its others make with these. */
TARGET static inline __m128i
fold_last(__m128i x, __m128i k, const uint8_t *end, size_t n)
{
	/* a shuffle by what is at n moves up by 16 - n bytes, and by what is
	 * 16 further moves down by n; 0x80 gives zero */
	static const uint8_t by[48] = {0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80,
	    0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0, 1, 2, 3, 4,
	    5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 0x80, 0x80, 0x80, 0x80, 0x80,
	    0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80};
	__m128i up = load(by + n), down = load(by + n + 16);

	return fold(_mm_shuffle_epi8(x, up), k,
	    _mm_blendv_epi8(load(end - 16), _mm_shuffle_epi8(x, down), up));
}

/* A remainder of 128 bits, and 32 zeros behind it, to one of 32: by 64 bits, by
 * 32, and by Barrett's method. */
TARGET static inline uint32_t
reduce(__m128i x, __m128i by16)
{
	const __m128i by8 = _mm_set_epi64x(0, 0x0163cd6124);
	const __m128i barrett = _mm_set_epi64x(0x01f7011641, 0x01db710641);
	const __m128i low = _mm_set_epi32(0, -1, 0, -1);
	__m128i q;

	x = _mm_xor_si128(
	    _mm_clmulepi64_si128(x, by16, 0x10), _mm_srli_si128(x, 8));
	x = _mm_xor_si128(
	    _mm_clmulepi64_si128(_mm_and_si128(x, low), by8, 0x00),
	    _mm_srli_si128(x, 4));
	q = _mm_clmulepi64_si128(_mm_and_si128(x, low), barrett, 0x10);
	q = _mm_clmulepi64_si128(_mm_and_si128(q, low), barrett, 0x00);
	return (uint32_t)_mm_extract_epi32(_mm_xor_si128(x, q), 1);
}

/* n is at least 16.  Four remainders hide the latency of the multiplier. */
TARGET static uint32_t
crc_folded(uint32_t crc, const uint8_t *p, size_t n)
{
	const __m128i by64 = _mm_set_epi64x(0x01c6e41596, 0x0154442bd4);
	const __m128i by16 = _mm_set_epi64x(0x00ccaa009e, 0x01751997d0);
	const uint8_t *end = p + n;
	__m128i x = _mm_xor_si128(load(p), _mm_cvtsi32_si128((int)~crc));

	if (n >= 128) {
		__m128i x1 = load(p + 16), x2 = load(p + 32);
		__m128i x3 = load(p + 48);

		for (p += 64; end - p >= 64; p += 64) {
			x = fold(x, by64, load(p));
			x1 = fold(x1, by64, load(p + 16));
			x2 = fold(x2, by64, load(p + 32));
			x3 = fold(x3, by64, load(p + 48));
		}
		x = fold(fold(fold(x, by16, x1), by16, x2), by16, x3);
	} else {
		p += 16;
	}
	for (; end - p >= 16; p += 16)
		x = fold(x, by16, load(p));
	if (end > p)
		x = fold_last(x, by16, end, (size_t)(end - p));
	return ~reduce(x, by16);
}

static int
can_fold(void)
{
	return __builtin_cpu_supports("pclmul") &&
	       __builtin_cpu_supports("sse4.1");
}
#else
static uint32_t
crc_folded(uint32_t crc, const uint8_t *p, size_t n)
{
	return (uint32_t)crc32_z(crc, p, n);
}

static int
can_fold(void)
{
	return 0;
}
#endif

uint32_t
gv_crc(uint32_t crc, const void *data, size_t n)
{
	if (n >= FEW && can_fold())
		return crc_folded(crc, data, n);
	return n ? (uint32_t)crc32_z(crc, data, n) : crc;
}
