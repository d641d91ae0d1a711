/* Chroma to full size and YCbCr to RGB, 32 pixels at a time.
 *
 * vpmulhrsw gives [(a b + 2^14) / 2^15] of words, where [x] is the floor of x.
 * With a = 2 v and the factors below that is [1.402 v + 1/2] and
 * [1.772 v + 1/2] for all v from -128 to 127, as tests/unit/ycc.c makes sure:
 * 22970 to 22973 would do, and nothing but 29033.
 */
#include "ycc.h"

#if defined(__x86_64__) && defined(__GNUC__)
#include <immintrin.h>
#define X86 1
#endif

#include "banned.h"

enum { R_V = 91881, B_U = 116130, G_U = -22554, G_V = -46802, ONE = 65536 };

static void
edges(uint16_t *sum, size_t n)
{
	sum[0] = sum[1];
	sum[n + 1] = sum[n];
}

/* ---- C ------------------------------------------------------------------ */

static void
sum_c(uint16_t *sum, const uint8_t *near, const uint8_t *far, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		sum[i + 1] = (uint16_t)(far ? 3 * near[i] + far[i] : near[i]);
	edges(sum, n);
}

static void
spread_c(uint8_t *dst, const uint16_t *sum, size_t n, bool far)
{
	int shift = far ? 4 : 2, even = far ? 8 : 1, odd = far ? 7 : 2;

	for (; n--; dst += 2) {
		const uint16_t *s = ++sum;

		dst[0] = (uint8_t)((3 * s[0] + s[-1] + even) >> shift);
		dst[1] = (uint8_t)((3 * s[0] + s[1] + odd) >> shift);
	}
}

static uint8_t
clip(int v)
{
	return (uint8_t)(v < 0 ? 0 : v > 255 ? 255 : v);
}

static void
rgb_c(uint8_t *dst, const uint8_t *y, const uint8_t *cb, const uint8_t *cr,
    size_t n)
{
	size_t i;

	for (i = 0; i < n; i++, dst += 4) {
		int u = cb[i] - 128, v = cr[i] - 128;

		dst[0] = clip(y[i] + ((R_V * v + ONE / 2) >> 16));
		dst[1] = clip(y[i] + ((G_U * u + G_V * v + ONE / 2) >> 16));
		dst[2] = clip(y[i] + ((B_U * u + ONE / 2) >> 16));
	}
}

#ifdef X86

/* ---- AVX2 --------------------------------------------------------------- */

#define AVX2 __attribute__((target("avx2")))

AVX2 static inline __m256i
load32(const void *s)
{
	return _mm256_loadu_si256(s);
}

AVX2 static inline void
store32(void *d, __m256i v)
{
	_mm256_storeu_si256(d, v);
}

AVX2 static inline __m256i
widen(const uint8_t *s)
{
	return _mm256_cvtepu8_epi16(
	    _mm_loadu_si128((const __m128i *)(const void *)s));
}

AVX2 static inline __m256i
thrice(__m256i v)
{
	return _mm256_add_epi16(v, _mm256_add_epi16(v, v));
}

AVX2 static void
sum_avx2(uint16_t *sum, const uint8_t *near, const uint8_t *far, size_t n)
{
	size_t i;

	for (i = 0; i < n; i += 16) {
		__m256i v = widen(near + i);

		if (far)
			v = _mm256_add_epi16(thrice(v), widen(far + i));
		store32(sum + 1 + i, v);
	}
	edges(sum, n);
}

AVX2 static void
spread_avx2(uint8_t *dst, const uint16_t *sum, size_t n, bool far)
{
	const __m256i even = _mm256_set1_epi16(far ? 8 : 1);
	const __m256i odd = _mm256_set1_epi16(far ? 7 : 2);
	const __m128i shift = _mm_cvtsi32_si128(far ? 4 : 2);
	size_t i;

	for (i = 0; i < n; i += 16) {
		__m256i v = thrice(load32(sum + i + 1));
		__m256i a = _mm256_add_epi16(v, load32(sum + i));
		__m256i b = _mm256_add_epi16(v, load32(sum + i + 2));

		a = _mm256_srl_epi16(_mm256_add_epi16(a, even), shift);
		b = _mm256_srl_epi16(_mm256_add_epi16(b, odd), shift);
		store32(
		    dst + 2 * i, _mm256_or_si256(a, _mm256_slli_epi16(b, 8)));
	}
}

/* 16 pixels, a word each. */
struct words {
	__m256i r, g, b;
};

AVX2 static inline __m256i
green(__m256i u, __m256i v)
{
	const __m256i f = _mm256_set1_epi32(
	    (int)((uint32_t)(G_V + ONE) << 16 | (uint16_t)G_U));
	const __m256i half = _mm256_set1_epi32(ONE / 2);
	__m256i a = _mm256_madd_epi16(_mm256_unpacklo_epi16(u, v), f);
	__m256i b = _mm256_madd_epi16(_mm256_unpackhi_epi16(u, v), f);

	a = _mm256_srai_epi32(_mm256_add_epi32(a, half), 16);
	b = _mm256_srai_epi32(_mm256_add_epi32(b, half), 16);
	return _mm256_sub_epi16(_mm256_packs_epi32(a, b), v);
}

AVX2 static inline struct words
to_rgb(__m256i y, __m256i u, __m256i v)
{
	const __m256i zero = _mm256_set1_epi16(128);
	__m256i r, g, b;

	u = _mm256_sub_epi16(u, zero);
	v = _mm256_sub_epi16(v, zero);
	r = _mm256_mulhrs_epi16(
	    _mm256_add_epi16(v, v), _mm256_set1_epi16(22971));
	g = green(u, v);
	b = _mm256_mulhrs_epi16(
	    _mm256_add_epi16(u, u), _mm256_set1_epi16(29033));
	return (struct words){_mm256_add_epi16(y, r), _mm256_add_epi16(y, g),
	    _mm256_add_epi16(y, b)};
}

/* Pixels 0..3 and 16..19. */
AVX2 static inline void
store_pixels(uint8_t *d, __m256i v)
{
	_mm_storeu_si128((__m128i *)(void *)d, _mm256_castsi256_si128(v));
	_mm_storeu_si128(
	    (__m128i *)(void *)(d + 64), _mm256_extracti128_si256(v, 1));
}

/* Of 32 pixels the even ones and the odd ones, joined. */
AVX2 static inline void
store_rgb(uint8_t *d, const struct words *e, const struct words *o)
{
	__m256i r = _mm256_packus_epi16(e->r, o->r); /* 8 even, 8 odd ... */
	__m256i g = _mm256_packus_epi16(e->g, o->g);
	__m256i b = _mm256_packus_epi16(e->b, o->b);
	__m256i erg = _mm256_unpacklo_epi8(r, g);
	__m256i org = _mm256_unpackhi_epi8(r, g);
	__m256i eb = _mm256_unpacklo_epi8(b, b);
	__m256i ob = _mm256_unpackhi_epi8(b, b);
	__m256i e0 = _mm256_unpacklo_epi16(erg, eb);
	__m256i e4 = _mm256_unpackhi_epi16(erg, eb);
	__m256i o0 = _mm256_unpacklo_epi16(org, ob);
	__m256i o4 = _mm256_unpackhi_epi16(org, ob);

	store_pixels(d, _mm256_unpacklo_epi32(e0, o0));
	store_pixels(d + 16, _mm256_unpackhi_epi32(e0, o0));
	store_pixels(d + 32, _mm256_unpacklo_epi32(e4, o4));
	store_pixels(d + 48, _mm256_unpackhi_epi32(e4, o4));
}

AVX2 static void
rgb_avx2(uint8_t *dst, const uint8_t *y, const uint8_t *cb, const uint8_t *cr,
    size_t n)
{
	const __m256i low = _mm256_set1_epi16(255);
	size_t i;

	for (i = 0; i + 32 <= n; i += 32) {
		__m256i a = load32(y + i), u = load32(cb + i);
		__m256i v = load32(cr + i);
		struct words even = to_rgb(_mm256_and_si256(a, low),
		    _mm256_and_si256(u, low), _mm256_and_si256(v, low));
		struct words odd = to_rgb(_mm256_srli_epi16(a, 8),
		    _mm256_srli_epi16(u, 8), _mm256_srli_epi16(v, 8));

		store_rgb(dst + 4 * i, &even, &odd);
	}
	rgb_c(dst + 4 * i, y + i, cb + i, cr + i, n - i);
}

#endif

const struct gv_ycc *
gv_ycc(enum gv_image_isa isa)
{
	static const struct gv_ycc c = {sum_c, spread_c, rgb_c};
#ifdef X86
	static const struct gv_ycc avx2 = {sum_avx2, spread_avx2, rgb_avx2};

	if (isa != GV_IMAGE_C && __builtin_cpu_supports("avx2"))
		return &avx2;
#endif
	return isa == GV_IMAGE_BEST || isa == GV_IMAGE_C ? &c : NULL;
}
