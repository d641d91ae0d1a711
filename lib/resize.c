/* Resizing with Pillow's arithmetic: per axis a weighted mean of neighbours,
 * weights in 22-bit fixed point, columns first, 8 bits between the passes.
 *
 * For output x on an axis scaled by s = in / out, with filter f of support u
 * stretched by t = max(s, 1) when shrinking (antialias):
 *
 *	c     = (x + 0.5) s                       the centre, in input pixels
 *	i     = floor(c - u t + 0.5) .. floor(c + u t + 0.5) - 1, inside only
 *	w_i   = f((i - c + 0.5) / t), divided by their sum
 *	out_x = clamp((2^21 + sum_i round(2^22 w_i) in_i) >> 22, 0, 255)
 *
 * All sums are exact in 32 bits, so their order is free.  Both passes compute
 * 16 samples at once: the vertical pass 16 neighbours of a row, the horizontal
 * pass 4 rows of 4 bytes, the fourth of which is thrown away.  Three versions
 * of each give the same bytes:
 *
 *	C         16 sums in an array
 *	AVX2      16 products by vpmulld a weight
 *	AVX-512   64 products by vpdpbusd: four weights, each written as
 *	          d0 + 2^8 d1 + 2^16 d2 with digits in -128..127, go through
 *	          three sums of bytes
 *
 * 640x480 to 256x256 bicubic on a Zen 4 core (tests/bench/image.c, November
 * 2026): 2.1, 0.47 and 0.33 ms; Pillow 11.3 takes 3.1.
 */
#include "resize.h"

#include "mem.h"
#include "banned.h"

#include <math.h>

#if defined(__x86_64__) && defined(__GNUC__)
#include <immintrin.h>
#define X86 1
#endif

#define BITS  22
#define HALF  (1 << (BITS - 1))
#define LANE  16 /* samples that are computed together */
#define ROWS  4 /* rows that the horizontal pass takes together */
#define GROUP 4 /* weights that vpdpbusd takes together */

/* The weights of one axis: output x, 0..out-1 of a window, is made of inputs
 * from[x] .. from[x] + count[x] - 1 with weights w[x * cap ..], zero from
 * count[x] on; cap is a multiple of GROUP.  digit[(x * cap / GROUP + g) * 3 +
 * i] holds digit i of the four weights of group g. */
struct axis {
	int32_t in, out, cap;
	int32_t *from, *count, *w;
	uint32_t *digit;
};

/* The two passes in one version.  Both write 16 samples at a time.
 * columns: dst rows 0..3 of `pitch` bytes = t weighted by `a`; t is made by
 * interleave().
 * rows: dst[i] = sum_j w[j] src[j * stride + i], i < n, for output y of `a`. */
struct passes {
	void (*columns)(uint8_t *restrict dst, size_t pitch,
	    const uint8_t *restrict t, const struct axis *a);
	void (*rows)(uint8_t *restrict dst, const uint8_t *restrict src,
	    size_t stride, const struct axis *a, int32_t y, size_t n);
};

/* ---- weights ---------------------------------------------------------- */

static double
triangle(double x)
{
	x = fabs(x);
	return x < 1 ? 1 - x : 0;
}

/* Keys' cubic convolution with a = -1/2 (IEEE ASSP 29(6), 1981, eq. 15). */
static double
cubic(double x)
{
	const double a = -0.5;

	x = fabs(x);
	if (x < 1)
		return ((a + 2) * x - (a + 3)) * x * x + 1;
	if (x < 2)
		return (((x - 5) * x + 8) * x - 4) * a;
	return 0;
}

static double
sinc(double x)
{
	const double pi = 3.14159265358979323846;

	return x == 0 ? 1 : sin(x * pi) / (x * pi);
}

static double
lanczos3(double x)
{
	return -3 <= x && x < 3 ? sinc(x) * sinc(x / 3) : 0;
}

static double
box(double x)
{
	return -0.5 < x && x <= 0.5;
}

/* A sinc under Hamming's window, one lobe of it. */
static double
hamming(double x)
{
	const double pi = 3.14159265358979323846;

	x = fabs(x);
	return x < 1 ? sinc(x) * (0.54 + 0.46 * cos(x * pi)) : 0;
}

/* GV_NEAREST has no weights. */
static const struct {
	double (*f)(double);
	double support;
} filters[] = {
    [GV_BICUBIC] = {cubic, 2},
    [GV_BILINEAR] = {triangle, 1},
    [GV_LANCZOS] = {lanczos3, 3},
    [GV_NEAREST] = {NULL, 0.5},
    [GV_BOX] = {box, 0.5},
    [GV_HAMMING] = {hamming, 1},
};

static void
axis_free(struct axis *a)
{
	gv_free(a->from);
	gv_free(a->count);
	gv_free(a->w);
	gv_free(a->digit);
	*a = (struct axis){0};
}

/* The weights of output x, which is `at` of the whole, first as real numbers
 * in `k`. */
static void
axis_weights(struct axis *a, int32_t x, double at, double scale,
    enum gv_filter filter, double *k)
{
	double stretch = scale < 1 ? 1 : scale, centre = (at + 0.5) * scale;
	double support = filters[filter].support * stretch, sum = 0;
	int32_t from = (int32_t)(centre - support + 0.5);
	int32_t end = (int32_t)(centre + support + 0.5), i;
	int32_t *w = a->w + (size_t)x * (size_t)a->cap;

	from = from < 0 ? 0 : from;
	end = end > a->in ? a->in : end;
	for (i = 0; i < end - from; i++) {
		k[i] = filters[filter].f(
		    (i + from - centre + 0.5) * (1 / stretch));
		sum += k[i];
	}
	for (i = 0; i < end - from; i++) {
		double v = sum != 0 ? k[i] / sum : k[i];

		w[i] = (int32_t)((v < 0 ? -0.5 : 0.5) + v * (1 << BITS));
	}
	a->from[x] = from;
	a->count[x] = end - from;
}

/* The digits of all n weights: signed bytes, the third takes the rest. */
static void
axis_digits(struct axis *a, size_t n)
{
	size_t i;
	int d;

	for (i = 0; i < n; i++) {
		uint8_t *to = (uint8_t *)(a->digit + i / GROUP * 3) + i % GROUP;
		int32_t v = a->w[i];

		for (d = 0; d < 3; d++, to += GROUP) {
			int32_t low = ((v + 128) & 255) - 128;

			*to = (uint8_t)low;
			v = (v - low) / 256;
		}
	}
}

/* The one input that each output is.  Pillow walks there in steps of the scale
 * from the first output on, and so do we: the sums' rounding decides. */
static void
axis_nearest(struct axis *a, double scale, int32_t first)
{
	double at = scale * 0.5;
	int32_t x;

	for (x = -first; x < a->out; x++, at += scale) {
		if (x < 0)
			continue;
		a->from[x] = (int32_t)at < a->in ? (int32_t)at : a->in - 1;
		a->count[x] = 1;
		a->w[(size_t)x * (size_t)a->cap] = 1 << BITS;
	}
}

/* `out` outputs from `first` on, of `total`. */
static int
axis_init(struct axis *a, int32_t in, struct gv_window o, enum gv_filter filter,
    struct gv_error *e)
{
	double scale = (double)in / o.total, *k;
	size_t n, out = (size_t)o.n;
	int32_t x;

	*a = (struct axis){.in = in, .out = o.n};
	a->cap =
	    (int32_t)ceil(filters[filter].support * (scale < 1 ? 1 : scale)) *
		2 +
	    1;
	if (filter == GV_NEAREST)
		a->cap = 1;
	a->cap = (a->cap + GROUP - 1) / GROUP * GROUP;
	k = gv_alloc((size_t)a->cap, sizeof *k);
	a->from = gv_alloc(out, sizeof *a->from);
	a->count = gv_alloc(out, sizeof *a->count);
	n = out * (size_t)a->cap;
	a->w = gv_alloc(n, sizeof *a->w);
	a->digit = gv_alloc(n / GROUP * 3, sizeof *a->digit);
	if (!k || !a->from || !a->count || !a->w || !a->digit) {
		gv_free(k);
		axis_free(a);
		return gv_fail(e, GV_ERR_NOMEM, "out of memory");
	}
	if (filter == GV_NEAREST)
		axis_nearest(a, scale, o.first);
	for (x = 0; filter != GV_NEAREST && x < a->out; x++)
		axis_weights(a, x, o.first + x, scale, filter, k);
	axis_digits(a, n);
	gv_free(k);
	return 0;
}

/* ---- the passes in C --------------------------------------------------- */

static uint8_t
finish(int32_t v)
{
	v >>= BITS;
	return (uint8_t)(v < 0 ? 0 : v > 255 ? 255 : v);
}

/* The ROWS pixels of column x to their rows.  The fourth byte of each is
 * overwritten by the next pixel; pitch has room for the last one's. */
static inline void
scatter(uint8_t *restrict dst, size_t pitch, const uint8_t px[LANE])
{
	memcpy(dst, px, 4);
	memcpy(dst + pitch, px + 4, 4);
	memcpy(dst + 2 * pitch, px + 8, 4);
	memcpy(dst + 3 * pitch, px + 12, 4);
}

static void
columns_c(uint8_t *restrict dst, size_t pitch, const uint8_t *restrict t,
    const struct axis *a)
{
	int32_t x, j, i, sum[LANE];
	uint8_t px[LANE];

	for (x = 0; x < a->out; x++) {
		const int32_t *w = a->w + (size_t)x * (size_t)a->cap;
		const uint8_t *s = t + (size_t)a->from[x] * LANE;

		for (i = 0; i < LANE; i++)
			sum[i] = HALF;
		for (j = 0; j < a->count[x]; j++, s += LANE)
			for (i = 0; i < LANE; i++)
				sum[i] += w[j] * s[i];
		for (i = 0; i < LANE; i++)
			px[i] = finish(sum[i]);
		scatter(dst + 3 * (size_t)x, pitch, px);
	}
}

static void
rows_c(uint8_t *restrict dst, const uint8_t *restrict src, size_t stride,
    const struct axis *a, int32_t y, size_t n)
{
	const int32_t *w = a->w + (size_t)y * (size_t)a->cap;
	int32_t j, v;
	size_t i;

	for (i = 0; i < n; i++) {
		for (v = HALF, j = 0; j < a->count[y]; j++)
			v += w[j] * src[(size_t)j * stride + i];
		dst[i] = finish(v);
	}
}

#ifdef X86

/* ---- the passes in AVX2 ------------------------------------------------ */

#define AVX2 __attribute__((target("avx2")))

AVX2 static inline __m128i
load16(const uint8_t *s)
{
	return _mm_loadu_si128((const __m128i *)(const void *)s);
}

/* scatter() for the x86 versions: out of a register. */
AVX2 static inline void
scatter16(uint8_t *restrict dst, size_t pitch, __m128i v)
{
	int32_t px[ROWS] = {_mm_cvtsi128_si32(v), _mm_extract_epi32(v, 1),
	    _mm_extract_epi32(v, 2), _mm_extract_epi32(v, 3)};

	memcpy(dst, &px[0], 4);
	memcpy(dst + pitch, &px[1], 4);
	memcpy(dst + 2 * pitch, &px[2], 4);
	memcpy(dst + 3 * pitch, &px[3], 4);
}

AVX2 static inline void
add_avx2(__m256i sum[2], const uint8_t *s, int32_t weight)
{
	__m256i w = _mm256_set1_epi32(weight);
	__m128i v = load16(s);
	__m256i a = _mm256_cvtepu8_epi32(v);
	__m256i b = _mm256_cvtepu8_epi32(_mm_srli_si128(v, 8));

	sum[0] = _mm256_add_epi32(sum[0], _mm256_mullo_epi32(a, w));
	sum[1] = _mm256_add_epi32(sum[1], _mm256_mullo_epi32(b, w));
}

/* Packing saturates, first to 16 bits and then to 0..255, within each half. */
AVX2 static inline __m128i
finish_avx2(const __m256i sum[2])
{
	__m256i a = _mm256_srai_epi32(sum[0], BITS);
	__m256i b = _mm256_srai_epi32(sum[1], BITS);
	__m256i v = _mm256_permute4x64_epi64(_mm256_packs_epi32(a, b), 0xd8);

	return _mm_packus_epi16(
	    _mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
}

AVX2 static void
columns_avx2(uint8_t *restrict dst, size_t pitch, const uint8_t *restrict t,
    const struct axis *a)
{
	int32_t x, j;

	for (x = 0; x < a->out; x++) {
		const int32_t *w = a->w + (size_t)x * (size_t)a->cap;
		const uint8_t *s = t + (size_t)a->from[x] * LANE;
		__m256i sum[2] = {
		    _mm256_set1_epi32(HALF), _mm256_set1_epi32(HALF)};

		for (j = 0; j < a->count[x]; j++, s += LANE)
			add_avx2(sum, s, w[j]);
		scatter16(dst + 3 * (size_t)x, pitch, finish_avx2(sum));
	}
}

/* The last block of a row overlaps the one before. */
AVX2 static void
rows_avx2(uint8_t *restrict dst, const uint8_t *restrict src, size_t stride,
    const struct axis *a, int32_t y, size_t n)
{
	const int32_t *w = a->w + (size_t)y * (size_t)a->cap;
	size_t i;
	int32_t j;

	if (n < LANE) {
		rows_c(dst, src, stride, a, y, n);
		return;
	}
	for (i = 0; i < n; i += LANE) {
		size_t at = i + LANE <= n ? i : n - LANE;
		const uint8_t *s = src + at;
		__m256i sum[2] = {
		    _mm256_set1_epi32(HALF), _mm256_set1_epi32(HALF)};

		for (j = 0; j < a->count[y]; j++, s += stride)
			add_avx2(sum, s, w[j]);
		_mm_storeu_si128(
		    (__m128i *)(void *)(dst + at), finish_avx2(sum));
	}
}

/* ---- the passes in AVX-512 (Ice Lake, Zen 4 and later) ------------------ */

#define AVX512 __attribute__((target("avx512f,avx512bw,avx512vbmi,avx512vnni")))

/* 4 inputs of 16 samples: byte 16 j + i goes to byte 4 i + j, so that the four
 * factors of a weight group stand together. */
AVX512 static inline __m512i
by_sample(void)
{
	const __m512i step = _mm512_set_epi32(
	    15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
	const __m512i one = _mm512_set1_epi32(0x01010101);
	const __m512i input = _mm512_set1_epi32(0x30201000);

	return _mm512_add_epi32(input, _mm512_mullo_epi32(step, one));
}

AVX512 static inline void
add_avx512(__m512i sum[3], __m512i v, const uint32_t *digit)
{
	int i;

	for (i = 0; i < 3; i++)
		sum[i] = _mm512_dpbusd_epi32(
		    sum[i], v, _mm512_set1_epi32((int32_t)digit[i]));
}

AVX512 static inline __m128i
finish_avx512(const __m512i sum[3])
{
	__m512i v = _mm512_add_epi32(
	    sum[0], _mm512_add_epi32(_mm512_slli_epi32(sum[1], 8),
			_mm512_slli_epi32(sum[2], 16)));

	v = _mm512_max_epi32(
	    _mm512_srai_epi32(v, BITS), _mm512_setzero_si512());
	return _mm512_cvtusepi32_epi8(v);
}

AVX512 static void
columns_avx512(uint8_t *restrict dst, size_t pitch, const uint8_t *restrict t,
    const struct axis *a)
{
	const __m512i order = by_sample();
	const uint32_t *digit = a->digit;
	int32_t x, j;

	for (x = 0; x < a->out; x++) {
		const uint32_t *d = digit;
		const uint8_t *s = t + (size_t)a->from[x] * LANE;
		__m512i sum[3] = {_mm512_set1_epi32(HALF),
		    _mm512_setzero_si512(), _mm512_setzero_si512()};

		for (j = 0; j < a->count[x]; j += GROUP, d += 3) {
			__m512i v = _mm512_loadu_si512(s + j * LANE);

			add_avx512(sum, _mm512_permutexvar_epi8(order, v), d);
		}
		scatter16(dst + 3 * (size_t)x, pitch, finish_avx512(sum));
		digit += a->cap / GROUP * 3;
	}
}

/* 16 samples at s of each of 4 rows, of which `left` exist. */
AVX512 static inline __m512i
four_rows(const uint8_t *s, size_t stride, int32_t left)
{
	const uint8_t *r1 = s + (left > 1 ? stride : 0);
	const uint8_t *r2 = s + (left > 2 ? 2 * stride : 0);
	const uint8_t *r3 = s + (left > 3 ? 3 * stride : 0);
	__m512i v = _mm512_castsi128_si512(load16(s));

	v = _mm512_inserti32x4(v, load16(r1), 1);
	v = _mm512_inserti32x4(v, load16(r2), 2);
	return _mm512_inserti32x4(v, load16(r3), 3);
}

AVX512 static void
rows_avx512(uint8_t *restrict dst, const uint8_t *restrict src, size_t stride,
    const struct axis *a, int32_t y, size_t n)
{
	const __m512i order = by_sample();
	const uint32_t *digit =
	    a->digit + (size_t)y * (size_t)a->cap / GROUP * 3;
	size_t i;
	int32_t j;

	if (n < LANE) {
		rows_c(dst, src, stride, a, y, n);
		return;
	}
	for (i = 0; i < n; i += LANE) {
		size_t at = i + LANE <= n ? i : n - LANE;
		const uint32_t *d = digit;
		__m512i sum[3] = {_mm512_set1_epi32(HALF),
		    _mm512_setzero_si512(), _mm512_setzero_si512()};

		for (j = 0; j < a->count[y]; j += GROUP, d += 3) {
			__m512i v = four_rows(src + (size_t)j * stride + at,
			    stride, a->count[y] - j);

			add_avx512(sum, _mm512_permutexvar_epi8(order, v), d);
		}
		_mm_storeu_si128(
		    (__m128i *)(void *)(dst + at), finish_avx512(sum));
	}
}

#endif

/* The passes of an instruction set, or NULL if this machine has it not. */
static const struct passes *
passes_of(enum gv_image_isa isa)
{
	static const struct passes c = {columns_c, rows_c};
#ifdef X86
	static const struct passes avx2 = {columns_avx2, rows_avx2};
	static const struct passes avx512 = {columns_avx512, rows_avx512};
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

/* ---- both passes -------------------------------------------------------- */

/* Interleaves ROWS rows: pixel x of each, 4 bytes long, one after the other.
 * The fourth byte is the next pixel's red and does not matter. */
static void
interleave(uint8_t *restrict t, const uint8_t *const row[ROWS], size_t w)
{
	const uint8_t *a = row[0], *b = row[1], *c = row[2], *d = row[3];
	const uint8_t *last = a + 3 * (w - 1);

	for (; a < last; a += 3, b += 3, c += 3, d += 3, t += LANE) {
		memcpy(t, a, 4);
		memcpy(t + 4, b, 4);
		memcpy(t + 8, c, 4);
		memcpy(t + 12, d, 4);
	}
	memcpy(t, a, 3);
	memcpy(t + 4, b, 3);
	memcpy(t + 8, c, 3);
	memcpy(t + 12, d, 3);
}

/* What an axis was made for. */
struct wanted {
	int32_t in;
	struct gv_window out;
	enum gv_filter filter;
};

struct gv_resizer {
	const struct passes *passes;
	int32_t h, w, at; /* of the picture; rows that have come */
	int32_t first, end; /* rows that are needed of it */
	struct gv_window y, x;
	struct wanted made_x, made_y; /* what ax and ay hold */
	struct axis ax, ay;
	bool across, down; /* which passes there are */
	uint8_t *mid; /* rows first..end-1 behind the horizontal pass, and up
		       * to ROWS - 1 more */
	size_t pitch; /* of mid, bytes */
	uint8_t *lane; /* interleaved rows */
	size_t mid_cap, lane_cap;
};

/* Makes an axis, or keeps it if it is the same. */
static int
axis_for(struct axis *a, struct wanted *made, int32_t in, struct gv_window o,
    enum gv_filter filter, struct gv_error *e)
{
	if (a->w && made->in == in && made->out.total == o.total &&
	    made->out.first == o.first && made->out.n == o.n &&
	    made->filter == filter)
		return 0;
	axis_free(a);
	*made = (struct wanted){in, o, filter};
	return axis_init(a, in, o, filter, e);
}

/* Which rows the window's rows are made of. */
static void
rows_needed(struct gv_resizer *r)
{
	int32_t i;

	r->first = r->down ? r->h : r->y.first;
	r->end = r->down ? 0 : r->y.first + r->y.n;
	for (i = 0; r->down && i < r->ay.out; i++) {
		int32_t from = r->ay.from[i], last = from + r->ay.count[i];

		r->first = from < r->first ? from : r->first;
		r->end = last > r->end ? last : r->end;
	}
}

/* Room for `n` bytes, of which nothing is kept. */
static int
room(uint8_t **p, size_t *cap, size_t n, struct gv_error *e)
{
	if (n <= *cap)
		return 0;
	gv_free(*p);
	*cap = 0;
	*p = gv_alloc(n, 1);
	if (!*p)
		return gv_fail(e, GV_ERR_NOMEM, "out of memory");
	*cap = n;
	return 0;
}

int
gv_resizer_open(struct gv_resizer **rp, int32_t h, int32_t w,
    struct gv_window y, struct gv_window x, enum gv_filter filter,
    enum gv_image_isa isa, struct gv_error *e)
{
	const struct passes *p = passes_of(isa);
	struct gv_resizer *r = *rp;
	size_t rows;

	if (!p)
		return gv_fail(
		    e, GV_ERR_NOSUP, "this machine lacks the instructions");
	if (!r && !(r = *rp = gv_alloc(1, sizeof *r)))
		return gv_fail(e, GV_ERR_NOMEM, "out of memory");
	r->passes = p;
	r->h = h;
	r->w = w;
	r->at = 0;
	r->y = y;
	r->x = x;
	r->across = x.total != w;
	r->down = y.total != h;
	if ((r->across && axis_for(&r->ax, &r->made_x, w, x, filter, e)) ||
	    (r->down && axis_for(&r->ay, &r->made_y, h, y, filter, e)))
		return e->code;
	rows_needed(r);
	r->pitch = gv_align((size_t)x.n * 3 + 1);
	rows = (size_t)(r->end - r->first) + ROWS - 1;
	if (r->pitch > SIZE_MAX / rows)
		return gv_fail(e, GV_ERR_NOMEM, "out of memory");
	if (room(&r->mid, &r->mid_cap, rows * r->pitch, e) ||
	    (r->across &&
		room(&r->lane, &r->lane_cap, ((size_t)w + GROUP) * LANE, e)))
		return e->code;
	return 0;
}

void
gv_resizer_rows(struct gv_resizer *r, const uint8_t *rows, int32_t n)
{
	size_t stride = (size_t)r->w * 3;
	int32_t y = r->at, end = r->at + n, last = end - 1, i;

	r->at = end;
	if (y < r->first)
		y = r->first;
	if (end > r->end)
		end = r->end;
	for (; y < end; y += r->across ? ROWS : 1) {
		uint8_t *d = r->mid + (size_t)(y - r->first) * r->pitch;
		const uint8_t *row[ROWS], *s;

		s = rows + (size_t)(y - (last + 1 - n)) * stride;
		if (!r->across) {
			memcpy(
			    d, s + (size_t)r->x.first * 3, (size_t)r->x.n * 3);
			continue;
		}
		for (i = 0; i < ROWS; i++) /* behind the last one: again */
			row[i] =
			    s + (size_t)(y + i < last ? i : last - y) * stride;
		interleave(r->lane, row, (size_t)r->w);
		r->passes->columns(d, r->pitch, r->lane, &r->ax);
	}
}

void
gv_resizer_finish(struct gv_resizer *r, uint8_t *dst)
{
	size_t stride = (size_t)r->x.n * 3;
	int32_t y;

	for (y = 0; y < r->y.n; y++, dst += stride) {
		int32_t from = r->down ? r->ay.from[y] - r->first : y;
		const uint8_t *s = r->mid + (size_t)from * r->pitch;

		if (r->down)
			r->passes->rows(dst, s, r->pitch, &r->ay, y, stride);
		else
			memcpy(dst, s, stride);
	}
}

size_t
gv_resizer_bytes(const struct gv_resizer *r)
{
	return r->mid_cap + r->lane_cap;
}

void
gv_resizer_close(struct gv_resizer **rp)
{
	struct gv_resizer *r = *rp;

	if (!r)
		return;
	axis_free(&r->ax);
	axis_free(&r->ay);
	gv_free(r->mid);
	gv_free(r->lane);
	gv_free(r);
	*rp = NULL;
}
