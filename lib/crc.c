/* CRC-32 by folding 64 bytes at a time with carry-less multiplication. */
#include "crc.h"

#include "banned.h"

#include <zlib.h>

#if defined(__x86_64__)
#include <immintrin.h>

/* Moves a 128-bit remainder over the distance that `k` stands for: its low
 * half is x^(d+32) mod P and its high half x^(d-32) mod P, bit-reflected. */
__attribute__((target("pclmul,sse4.1"))) static inline __m128i
fold(__m128i x, __m128i k, __m128i next)
{
	__m128i lo = _mm_clmulepi64_si128(x, k, 0x00);
	__m128i hi = _mm_clmulepi64_si128(x, k, 0x11);

	return _mm_xor_si128(_mm_xor_si128(lo, hi), next);
}

/* n is a multiple of 64, at least 64.  Four remainders hide the latency of
 * the multiplier; in the end they are one of 16 bytes, which is as good as a
 * message and goes through zlib. */
__attribute__((target("pclmul,sse4.1"))) static uint32_t
crc_folded(uint32_t crc, const uint8_t *p, size_t n)
{
	const __m128i by64 = _mm_set_epi64x(0x01c6e41596, 0x0154442bd4);
	const __m128i by16 = _mm_set_epi64x(0x00ccaa009e, 0x01751997d0);
	const __m128i *v = (const __m128i *)(const void *)p;
	__m128i x0 = _mm_loadu_si128(v), x1 = _mm_loadu_si128(v + 1);
	__m128i x2 = _mm_loadu_si128(v + 2), x3 = _mm_loadu_si128(v + 3);
	uint8_t rest[16];

	x0 = _mm_xor_si128(x0, _mm_cvtsi32_si128((int)~crc));
	for (v += 4, n -= 64; n; v += 4, n -= 64) {
		x0 = fold(x0, by64, _mm_loadu_si128(v));
		x1 = fold(x1, by64, _mm_loadu_si128(v + 1));
		x2 = fold(x2, by64, _mm_loadu_si128(v + 2));
		x3 = fold(x3, by64, _mm_loadu_si128(v + 3));
	}
	x1 = fold(x0, by16, x1);
	x2 = fold(x1, by16, x2);
	x3 = fold(x2, by16, x3);
	_mm_storeu_si128((__m128i *)(void *)rest, x3);
	/* ~0 makes zlib start from a register of zero */
	return (uint32_t)crc32_z(0xffffffff, rest, sizeof rest);
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
	const uint8_t *p = data;
	size_t whole = n & ~(size_t)63;

	if (whole >= 128 && can_fold()) {
		crc = crc_folded(crc, p, whole);
		p += whole;
		n -= whole;
	}
	return n ? (uint32_t)crc32_z(crc, p, n) : crc;
}
