/* The inner loops of resizing: sums of bytes with weights of 22 bits behind the
 * point, exact, in three versions that give the same bytes.
 *
 *	C         16 sums in an array
 *	AVX2      a weight is 2^11 h + l, and vpmaddwd adds two products of each
 *	AVX-512   a weight is d0 + 2^8 d1 + 2^16 d2 with digits in -128..127,
 *	          and vpdpbusd adds four products of each
 *
 * A sum is below 2^31, so what the halves and digits overflow on their way
 * cancels modulo 2^32.
 */
#include "resize_priv.h"

#include <string.h>

#if defined(__x86_64__) && defined(__GNUC__)
#include <immintrin.h>
#define X86 1
#endif

#include "banned.h"

#define HALF (1 << (GV_BITS - 1))

/* ---- C ------------------------------------------------------------------ */

static void
coef_c(uint32_t c[GV_COEF], const int32_t w[4])
{
	memcpy(c, w, 4 * sizeof *w);
}

static void
lanes_c(uint8_t *restrict lanes, size_t plane, const uint8_t *restrict rows,
    size_t stride, int32_t px_bytes, int32_t n)
{
	size_t px = (size_t)px_bytes, c, r, k;

	for (; n > 0; n--, lanes += GV_VECTOR, rows += 4 * px)
		for (r = 0; r < GV_LANES; r++)
			for (k = 0; k < 4; k++)
				for (c = 0; c < 3; c++)
					lanes[c * plane + 4 * r + k] =
					    rows[r * stride + k * px + c];
}

static inline void
add_c(int32_t sum[GV_LANES], const uint8_t *v, const uint32_t *coef)
{
	int32_t w[4];
	int i;

	memcpy(w, coef, sizeof w);
	for (i = 0; i < GV_LANES; i++, v += 4)
		sum[i] += w[0] * v[0] + w[1] * v[1] + w[2] * v[2] + w[3] * v[3];
}

static uint8_t
finish(int32_t v)
{
	v >>= GV_BITS;
	return (uint8_t)(v < 0 ? 0 : v > 255 ? 255 : v);
}

static void
columns_c(uint8_t *const mid[4], const uint8_t *restrict lanes, size_t plane,
    int32_t left, const struct gv_axis *a, int32_t x, int32_t end)
{
	size_t pitch = 4 * gv_plane(a->out), c;
	int32_t q, i;

	for (; x < end; x++)
		for (c = 0; c < 3; c++) {
			const uint32_t *w =
			    a->coef + (size_t)x * (size_t)a->cap * GV_COEF;
			const uint8_t *v =
			    lanes + c * plane +
			    (size_t)(a->first[x] - left) * GV_VECTOR;
			size_t to = c * pitch + 4 * (size_t)x;
			int32_t sum[GV_LANES];

			for (i = 0; i < GV_LANES; i++)
				sum[i] = HALF;
			for (q = 0; q < a->quads[x]; q++, w += GV_COEF)
				add_c(sum, v + (size_t)q * GV_VECTOR, w);
			for (i = 0; i < GV_LANES; i++)
				mid[i / 4][to + (size_t)i % 4] = finish(sum[i]);
		}
}

static void
rows_c(uint8_t *restrict line, const uint8_t *const *q, size_t n,
    const struct gv_axis *a, int32_t y)
{
	size_t at;
	int32_t k, i;

	for (at = 0; at < n; at += GV_LANES) {
		const uint32_t *w =
		    a->coef + (size_t)y * (size_t)a->cap * GV_COEF;
		int32_t sum[GV_LANES];

		for (i = 0; i < GV_LANES; i++)
			sum[i] = HALF;
		for (k = 0; k < a->quads[y]; k++, w += GV_COEF)
			add_c(sum, q[k] + 4 * at, w);
		for (i = 0; i < GV_LANES; i++)
			line[at + (size_t)i] = finish(sum[i]);
	}
}

static void
weave_c(
    uint8_t *restrict dst, const uint8_t *restrict line, size_t plane, size_t n)
{
	size_t i, c;

	for (i = 0; i < n; i++)
		for (c = 0; c < 3; c++)
			*dst++ = line[c * plane + i];
}

#ifdef X86

/* ---- AVX2 --------------------------------------------------------------- */

#define AVX2 __attribute__((target("avx2")))

AVX2 static inline __m128i
load16(const uint8_t *s)
{
	return _mm_loadu_si128((const __m128i *)(const void *)s);
}

AVX2 static inline void
store16(uint8_t *d, __m128i v)
{
	_mm_storeu_si128((__m128i *)(void *)d, v);
}

/* What makes 4 pixels out of 3 or 4 bytes each into three quads. */
AVX2 static inline __m128i
by_channel(int32_t px_bytes)
{
	return px_bytes == 3 ? _mm_setr_epi8(0, 3, 6, 9, 1, 4, 7, 10, 2, 5, 8,
				   11, -1, -1, -1, -1)
			     : _mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10,
				   14, -1, -1, -1, -1);
}

/* Two products stand together: of inputs 0 and 2, and of 1 and 3; first the
 * upper parts of their weights, then the lower ones. */
static void
coef_avx2(uint32_t c[GV_COEF], const int32_t w[4])
{
	uint32_t h[4], l[4];
	int i;

	for (i = 0; i < 4; i++) {
		int32_t low = ((w[i] + 1024) & 2047) - 1024;

		l[i] = (uint32_t)low & 0xffff;
		h[i] = (uint32_t)((w[i] - low) / 2048) & 0xffff;
	}
	c[0] = h[0] | h[2] << 16;
	c[1] = h[1] | h[3] << 16;
	c[2] = l[0] | l[2] << 16;
	c[3] = l[1] | l[3] << 16;
}

AVX2 static void
lanes_avx2(uint8_t *restrict lanes, size_t plane, const uint8_t *restrict rows,
    size_t stride, int32_t px_bytes, int32_t n)
{
	const __m128i order = by_channel(px_bytes);
	int r;

	for (; n > 0; n--, lanes += GV_VECTOR, rows += 4 * px_bytes)
		for (r = 0; r < GV_LANES; r += 4) {
			const uint8_t *s = rows + (size_t)r * stride;
			uint8_t *d = lanes + 4 * r;
			__m128i v0 = _mm_shuffle_epi8(load16(s), order);
			__m128i v1 =
			    _mm_shuffle_epi8(load16(s + stride), order);
			__m128i v2 =
			    _mm_shuffle_epi8(load16(s + 2 * stride), order);
			__m128i v3 =
			    _mm_shuffle_epi8(load16(s + 3 * stride), order);
			__m128i rg01 = _mm_unpacklo_epi32(v0, v1);
			__m128i rg23 = _mm_unpacklo_epi32(v2, v3);
			__m128i b01 = _mm_unpackhi_epi32(v0, v1);
			__m128i b23 = _mm_unpackhi_epi32(v2, v3);

			store16(d, _mm_unpacklo_epi64(rg01, rg23));
			store16(d + plane, _mm_unpackhi_epi64(rg01, rg23));
			store16(d + 2 * plane, _mm_unpacklo_epi64(b01, b23));
		}
}

/* The sums of 8 lanes: of the upper parts and of the lower ones. */
struct pair {
	__m256i h, l;
};

AVX2 static inline void
add_avx2(struct pair *s, const uint8_t *p, const uint32_t *coef)
{
	const __m256i bytes = _mm256_set1_epi16(255);
	__m256i v = _mm256_loadu_si256((const __m256i *)(const void *)p);
	__m256i even = _mm256_and_si256(v, bytes);
	__m256i odd = _mm256_srli_epi16(v, 8);
	__m256i w[4];
	int i;

	for (i = 0; i < 4; i++)
		w[i] = _mm256_set1_epi32((int32_t)coef[i]);
	s->h = _mm256_add_epi32(s->h, _mm256_madd_epi16(even, w[0]));
	s->h = _mm256_add_epi32(s->h, _mm256_madd_epi16(odd, w[1]));
	s->l = _mm256_add_epi32(s->l, _mm256_madd_epi16(even, w[2]));
	s->l = _mm256_add_epi32(s->l, _mm256_madd_epi16(odd, w[3]));
}

AVX2 static inline __m256i
whole_avx2(const struct pair *s)
{
	return _mm256_srai_epi32(
	    _mm256_add_epi32(_mm256_slli_epi32(s->h, 11), s->l), GV_BITS);
}

/* Packing saturates, first to 16 bits and then to 0..255, within each half. */
AVX2 static inline __m128i
finish_avx2(const struct pair s[2])
{
	__m256i v = _mm256_permute4x64_epi64(
	    _mm256_packs_epi32(whole_avx2(&s[0]), whole_avx2(&s[1])), 0xd8);

	return _mm_packus_epi16(
	    _mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
}

AVX2 static inline void
clear_avx2(struct pair s[2])
{
	s[0].h = s[1].h = _mm256_setzero_si256();
	s[0].l = s[1].l = _mm256_set1_epi32(HALF);
}

AVX2 static void
columns_avx2(uint8_t *const mid[4], const uint8_t *restrict lanes, size_t plane,
    int32_t left, const struct gv_axis *a, int32_t x, int32_t end)
{
	size_t pitch = 4 * gv_plane(a->out), c;
	int32_t q;
	int i;

	for (; x < end; x++)
		for (c = 0; c < 3; c++) {
			const uint32_t *w =
			    a->coef + (size_t)x * (size_t)a->cap * GV_COEF;
			const uint8_t *v =
			    lanes + c * plane +
			    (size_t)(a->first[x] - left) * GV_VECTOR;
			struct pair s[2];
			__m128i px;
			int32_t quad[4];

			clear_avx2(s);
			for (q = 0; q < a->quads[x]; q++, w += GV_COEF) {
				add_avx2(&s[0], v, w);
				add_avx2(&s[1], v + GV_VECTOR / 2, w);
				v += GV_VECTOR;
			}
			px = finish_avx2(s);
			memcpy(quad, &px, sizeof quad);
			for (i = 0; i < 4; i++)
				memcpy(mid[i] + c * pitch + 4 * (size_t)x,
				    &quad[i], 4);
		}
}

AVX2 static void
rows_avx2(uint8_t *restrict line, const uint8_t *const *q, size_t n,
    const struct gv_axis *a, int32_t y)
{
	size_t at;
	int32_t k;

	for (at = 0; at < n; at += GV_LANES) {
		const uint32_t *w =
		    a->coef + (size_t)y * (size_t)a->cap * GV_COEF;
		struct pair s[2];

		clear_avx2(s);
		for (k = 0; k < a->quads[y]; k++, w += GV_COEF) {
			const uint8_t *v = q[k] + 4 * at;

			add_avx2(&s[0], v, w);
			add_avx2(&s[1], v + GV_VECTOR / 2, w);
		}
		store16(line + at, finish_avx2(s));
	}
}

/* 16 samples of each channel, which stand 16 apart, as 16 pixels. */
static const uint8_t woven[48] = {0, 16, 32, 1, 17, 33, 2, 18, 34, 3, 19, 35, 4,
    20, 36, 5, 21, 37, 6, 22, 38, 7, 23, 39, 8, 24, 40, 9, 25, 41, 10, 26, 42,
    11, 27, 43, 12, 28, 44, 13, 29, 45, 14, 30, 46, 15, 31, 47};

/* Those of channel c in 16 bytes of `woven`, zeros where the others are. */
AVX2 static inline __m128i
of_channel(__m128i v, const uint8_t *order, int c)
{
	__m128i at = _mm_sub_epi8(load16(order), _mm_set1_epi8((char)(16 * c)));
	__m128i other = _mm_cmpgt_epi8(at, _mm_set1_epi8(15));

	return _mm_shuffle_epi8(v, _mm_or_si128(at, other));
}

AVX2 static void
weave_avx2(
    uint8_t *restrict dst, const uint8_t *restrict line, size_t plane, size_t n)
{
	size_t i;
	int k;

	for (i = 0; i + 16 <= n; i += 16) {
		__m128i r = load16(line + i);
		__m128i g = load16(line + plane + i);
		__m128i b = load16(line + 2 * plane + i);

		for (k = 0; k < 48; k += 16, dst += 16) {
			__m128i v = of_channel(r, woven + k, 0);

			v = _mm_or_si128(v, of_channel(g, woven + k, 1));
			v = _mm_or_si128(v, of_channel(b, woven + k, 2));
			store16(dst, v);
		}
	}
	weave_c(dst, line + i, plane, n - i);
}

/* ---- AVX-512 (Ice Lake, Zen 4 and later) -------------------------------- */

#define AVX512 __attribute__((target("avx512f,avx512bw,avx512vbmi,avx512vnni")))

/* The digits are signed bytes; the third takes the rest. */
static void
coef_avx512(uint32_t c[GV_COEF], const int32_t w[4])
{
	uint8_t digit[3][4];
	int i, d;

	for (i = 0; i < 4; i++) {
		int32_t v = w[i];

		for (d = 0; d < 3; d++) {
			int32_t low = ((v + 128) & 255) - 128;

			digit[d][i] = (uint8_t)low;
			v = (v - low) / 256;
		}
	}
	memcpy(c, digit, sizeof digit);
	c[3] = 0;
}

/* 16 bytes of each of rows 0, 4, 8 and 12. */
AVX512 static inline __m512i
four_rows(const uint8_t *s, size_t stride)
{
	__m512i v = _mm512_castsi128_si512(load16(s));

	v = _mm512_mask_broadcast_i32x4(v, 0x00f0, load16(s + 4 * stride));
	v = _mm512_mask_broadcast_i32x4(v, 0x0f00, load16(s + 8 * stride));
	return _mm512_mask_broadcast_i32x4(v, 0xf000, load16(s + 12 * stride));
}

AVX512 static void
lanes_avx512(uint8_t *restrict lanes, size_t plane,
    const uint8_t *restrict rows, size_t stride, int32_t px_bytes, int32_t n)
{
	const __m512i order = _mm512_broadcast_i32x4(by_channel(px_bytes));
	int r;

	for (; n > 0; n--, lanes += GV_VECTOR, rows += 4 * px_bytes) {
		__m512i v[4], rg[2], b[2];

#pragma GCC unroll 4
		for (r = 0; r < 4; r++)
			v[r] = _mm512_shuffle_epi8(
			    four_rows(rows + (size_t)r * stride, stride),
			    order);
		rg[0] = _mm512_unpacklo_epi32(v[0], v[1]);
		rg[1] = _mm512_unpacklo_epi32(v[2], v[3]);
		b[0] = _mm512_unpackhi_epi32(v[0], v[1]);
		b[1] = _mm512_unpackhi_epi32(v[2], v[3]);
		_mm512_storeu_si512(lanes, _mm512_unpacklo_epi64(rg[0], rg[1]));
		_mm512_storeu_si512(
		    lanes + plane, _mm512_unpackhi_epi64(rg[0], rg[1]));
		_mm512_storeu_si512(
		    lanes + 2 * plane, _mm512_unpacklo_epi64(b[0], b[1]));
	}
}

/* The sums of 16 lanes, one a digit; and a quad's weights, likewise. */
struct digits {
	__m512i a, b, c;
};

AVX512 static inline struct digits
half_avx512(void)
{
	return (struct digits){_mm512_set1_epi32(HALF), _mm512_setzero_si512(),
	    _mm512_setzero_si512()};
}

AVX512 static inline struct digits
weights_avx512(const uint32_t *coef)
{
	return (struct digits){_mm512_set1_epi32((int32_t)coef[0]),
	    _mm512_set1_epi32((int32_t)coef[1]),
	    _mm512_set1_epi32((int32_t)coef[2])};
}

AVX512 static inline struct digits
add_avx512(struct digits s, const uint8_t *p, struct digits w)
{
	__m512i v = _mm512_loadu_si512(p);

	return (struct digits){_mm512_dpbusd_epi32(s.a, v, w.a),
	    _mm512_dpbusd_epi32(s.b, v, w.b), _mm512_dpbusd_epi32(s.c, v, w.c)};
}

AVX512 static inline __m512i
whole_avx512(struct digits s)
{
	__m512i v = _mm512_add_epi32(s.b, _mm512_slli_epi32(s.c, 8));

	v = _mm512_add_epi32(s.a, _mm512_slli_epi32(v, 8));
	return _mm512_srai_epi32(v, GV_BITS);
}

/* Four vectors to bytes: in each 128 bits, four of the first, of the second and
 * so on. */
AVX512 static inline __m512i
pack_avx512(const __m512i v[4])
{
	return _mm512_packus_epi16(
	    _mm512_packs_epi32(v[0], v[1]), _mm512_packs_epi32(v[2], v[3]));
}

/* One output of three channels. */
AVX512 static inline void
column_avx512(__m512i out[3][4], int i, const uint8_t *p, size_t plane,
    const uint32_t *coef, int32_t quads)
{
	struct digits r = half_avx512(), g = r, b = r;

	for (; quads > 0; quads--, p += GV_VECTOR, coef += GV_COEF) {
		struct digits w = weights_avx512(coef);

		r = add_avx512(r, p, w);
		g = add_avx512(g, p + plane, w);
		b = add_avx512(b, p + 2 * plane, w);
	}
	out[0][i] = whole_avx512(r);
	out[1][i] = whole_avx512(g);
	out[2][i] = whole_avx512(b);
}

/* Four outputs at a time: behind the last one come some that nothing reads. */
AVX512 static void
columns_avx512(uint8_t *const mid[4], const uint8_t *restrict lanes,
    size_t plane, int32_t left, const struct gv_axis *a, int32_t x, int32_t end)
{
	size_t pitch = 4 * gv_plane(a->out);
	int i;

	for (; x < end; x += 4) {
		size_t to = 4 * (size_t)x;
		__m512i out[3][4];

#pragma GCC unroll 4
		for (i = 0; i < 4; i++)
			column_avx512(out, i,
			    lanes +
				(size_t)(a->first[x + i] - left) * GV_VECTOR,
			    plane,
			    a->coef +
				(size_t)(x + i) * (size_t)a->cap * GV_COEF,
			    a->quads[x + i]);
#pragma GCC unroll 3
		for (i = 0; i < 3; i++, to += pitch) {
			__m512i v = pack_avx512(out[i]);

			store16(mid[0] + to, _mm512_castsi512_si128(v));
			store16(mid[1] + to, _mm512_extracti32x4_epi32(v, 1));
			store16(mid[2] + to, _mm512_extracti32x4_epi32(v, 2));
			store16(mid[3] + to, _mm512_extracti32x4_epi32(v, 3));
		}
	}
}

AVX512 static void
rows_avx512(uint8_t *restrict line, const uint8_t *const *q, size_t n,
    const struct gv_axis *a, int32_t y)
{
	const __m512i order = _mm512_setr_epi32(
	    0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
	const uint32_t *coef = a->coef + (size_t)y * (size_t)a->cap * GV_COEF;
	int32_t quads = a->quads[y], k;
	size_t at;

	for (at = 0; at < n; at += GV_VECTOR) {
		struct digits s0 = half_avx512(), s1 = s0, s2 = s0, s3 = s0;
		__m512i out[4];

		for (k = 0; k < quads; k++) {
			const uint8_t *p = q[k] + 4 * at;
			struct digits w = weights_avx512(coef + k * GV_COEF);

			s0 = add_avx512(s0, p, w);
			s1 = add_avx512(s1, p + GV_VECTOR, w);
			s2 = add_avx512(s2, p + 2 * GV_VECTOR, w);
			s3 = add_avx512(s3, p + 3 * GV_VECTOR, w);
		}
		out[0] = whole_avx512(s0);
		out[1] = whole_avx512(s1);
		out[2] = whole_avx512(s2);
		out[3] = whole_avx512(s3);
		_mm512_storeu_si512(line + at,
		    _mm512_permutexvar_epi32(order, pack_avx512(out)));
	}
}

AVX512 static void
weave_avx512(
    uint8_t *restrict dst, const uint8_t *restrict line, size_t plane, size_t n)
{
	const __mmask64 all = ((__mmask64)1 << sizeof woven) - 1;
	const __m512i order = _mm512_maskz_loadu_epi8(all, woven);
	size_t i;

	for (i = 0; i < n; i += 16, dst += sizeof woven, line += 16) {
		__m512i v = _mm512_castsi128_si512(load16(line));

		v = _mm512_inserti32x4(v, load16(line + plane), 1);
		v = _mm512_inserti32x4(v, load16(line + 2 * plane), 2);
		v = _mm512_permutexvar_epi8(order, v);
		if (n - i >= 16)
			_mm512_mask_storeu_epi8(dst, all, v);
		else
			_mm512_mask_storeu_epi8(
			    dst, ((__mmask64)1 << 3 * (n - i)) - 1, v);
	}
}

#endif

const struct gv_passes *
gv_passes_of(enum gv_image_isa isa)
{
	static const struct gv_passes c = {
	    coef_c, lanes_c, columns_c, rows_c, weave_c};
#ifdef X86
	static const struct gv_passes avx2 = {
	    coef_avx2, lanes_avx2, columns_avx2, rows_avx2, weave_avx2};
	static const struct gv_passes avx512 = {coef_avx512, lanes_avx512,
	    columns_avx512, rows_avx512, weave_avx512};
	bool has_avx2 = __builtin_cpu_supports("avx2");
	bool has_avx512 = __builtin_cpu_supports("avx512bw") &&
			  __builtin_cpu_supports("avx512vbmi") &&
			  __builtin_cpu_supports("avx512vnni");

	if (has_avx512 && (isa == GV_IMAGE_BEST || isa == GV_IMAGE_AVX512))
		return &avx512;
	if (has_avx2 && (isa == GV_IMAGE_BEST || isa == GV_IMAGE_AVX2))
		return &avx2;
#endif
	return isa == GV_IMAGE_BEST || isa == GV_IMAGE_C ? &c : NULL;
}
