/* Dtypes, shapes and the conversions between floating-point formats. */
#include "tensor.h"

#include "mem.h"
#include "banned.h"

#include <math.h>

static const struct {
	const char *name;
	size_t size;
} types[] = {
    [GV_NONE] = {"plain", 0},
    [GV_BOOL] = {"BOOL", 1},
    [GV_U8] = {"U8", 1},
    [GV_I8] = {"I8", 1},
    [GV_I32] = {"I32", 4},
    [GV_I64] = {"I64", 8},
    [GV_F16] = {"F16", 2},
    [GV_BF16] = {"BF16", 2},
    [GV_F32] = {"F32", 4},
    [GV_F64] = {"F64", 8},
    [GV_F8_E4M3] = {"F8_E4M3", 1},
    [GV_Q4_0] = {"Q4_0", 0},
    [GV_Q4_1] = {"Q4_1", 0},
    [GV_Q8_0] = {"Q8_0", 0},
    [GV_Q6_K] = {"Q6_K", 0},
};

size_t
gv_dtype_size(enum gv_dtype t)
{
	return (unsigned)t < GV_DTYPES ? types[t].size : 0;
}

const char *
gv_dtype_name(enum gv_dtype t)
{
	return (unsigned)t <= GV_Q6_K ? types[t].name : "?";
}

enum gv_dtype
gv_dtype_parse(const char *s, size_t n)
{
	int t;

	for (t = GV_NONE + 1; t < GV_DTYPES; t++)
		if (strlen(types[t].name) == n && !memcmp(types[t].name, s, n))
			return (enum gv_dtype)t;
	return GV_NONE;
}

/* A zero dimension makes the count zero, but the others must still be sane:
 * their product is checked as if the zeros were ones. */
bool
gv_shape_count(const int64_t *shape, int rank, size_t *n)
{
	size_t all = 1;
	bool zero = false;
	int i;

	if (rank < 0 || rank > GV_MAX_RANK)
		return false;
	for (i = 0; i < rank; i++) {
		if (shape[i] < 0)
			return false;
		if (!shape[i])
			zero = true;
		else if (!gv_mul(all, (size_t)shape[i], &all))
			return false;
	}
	if (all > PTRDIFF_MAX)
		return false;
	*n = zero ? 0 : all;
	return true;
}

bool
gv_shape_bytes(enum gv_dtype t, const int64_t *shape, int rank, size_t *bytes)
{
	size_t n, all;

	if (!gv_shape_count(shape, rank, &n) ||
	    !gv_mul(n, gv_dtype_size(t), &all) || all > PTRDIFF_MAX)
		return false;
	*bytes = all;
	return true;
}

int
gv_tensor_set(struct gv_tensor *t, enum gv_dtype dtype, int rank,
    const int64_t *shape, const void *data, struct gv_error *e)
{
	char text[128];
	size_t bytes;

	if (rank < 0 || rank > GV_MAX_RANK)
		return gv_fail(e, GV_ERR_LIMIT,
		    "a tensor of rank %d (the limit is %d)", rank, GV_MAX_RANK);
	if (!gv_shape_bytes(dtype, shape, rank, &bytes))
		return gv_fail(e, GV_ERR_LIMIT, "shape %s of %s is too large",
		    gv_shape_text(text, sizeof text, shape, rank),
		    gv_dtype_name(dtype));
	memset(t, 0, sizeof *t);
	t->dtype = dtype;
	t->rank = rank;
	if (rank)
		memcpy(t->shape, shape, (size_t)rank * sizeof *shape);
	t->data = data;
	t->bytes = bytes;
	return 0;
}

char *
gv_shape_text(char *dst, size_t cap, const int64_t *shape, int rank)
{
	size_t n = 0;
	int i;

	if (!cap)
		return dst;
	dst[0] = '\0';
	for (i = 0; i < rank && n < cap; i++)
		n += (size_t)snprintf(dst + n, cap - n, "%c%lld", i ? ',' : '(',
		    (long long)shape[i]);
	if (n < cap)
		snprintf(dst + n, cap - n, rank > 0 ? ")" : "()");
	return dst;
}

static float
from_bits(uint32_t u)
{
	float f;

	memcpy(&f, &u, sizeof f);
	return f;
}

static uint32_t
to_bits(float f)
{
	uint32_t u;

	memcpy(&u, &f, sizeof u);
	return u;
}

float
gv_bf16_to_f32(uint16_t x)
{
	return from_bits((uint32_t)x << 16);
}

uint16_t
gv_f32_to_bf16(float x)
{
	uint32_t u = to_bits(x);

	/* rounding could carry a NaN into infinity: keep it quiet instead */
	if ((u & 0x7fffffff) > 0x7f800000)
		return (uint16_t)(u >> 16 | 0x40);
	return (uint16_t)((u + 0x7fff + (u >> 16 & 1)) >> 16);
}

float
gv_f16_to_f32(uint16_t x)
{
	uint32_t sign = (uint32_t)(x & 0x8000) << 16;
	uint32_t exp = x >> 10 & 31, frac = x & 0x3ff;

	if (exp == 31)
		return from_bits(sign | 0x7f800000 | frac << 13);
	if (exp)
		return from_bits(sign | (exp + 112) << 23 | frac << 13);
	/* subnormal: frac * 2^-24 is exact in F32 */
	return from_bits(sign | to_bits((float)frac * 0x1p-24f));
}

uint16_t
gv_f32_to_f16(float x)
{
	uint32_t u = to_bits(x), a = u & 0x7fffffff, sign = u >> 16 & 0x8000;

	if (a > 0x7f800000)
		return (uint16_t)(sign | 0x7e00 | (a >> 13 & 0x3ff));
	if (a >= 0x477ff000) /* 65520 rounds to infinity */
		return (uint16_t)(sign | 0x7c00);
	if (a < 0x38800000) {
		/* below 2^-14: in units of 2^-24, rounded by the addition of
		 * 1.5 * 2^23, which leaves no room for a fraction */
		float r = from_bits(a) * 0x1p24f + 0x1.8p23f;

		return (uint16_t)(sign | (to_bits(r) & 0x7ff));
	}
	a += 0xfff + (a >> 13 & 1);
	return (uint16_t)(sign | ((a >> 13) - (112u << 10)));
}

/* ---- many at a time ------------------------------------------------------ */

/* Loops over LANES are of a length that the compiler knows, and without
 * branches, so that it makes vectors of them. */
#define LANES 16

/* gv_f16_to_f32() by selection: the exponent moves from bias 15 to 127; what
 * has none is put in front of 2^-14, which is then taken away; infinity and
 * NaN move once more. */
static uint32_t
widen_f16(uint16_t x)
{
	uint32_t u = (uint32_t)(x & 0x7fff) << 13, exp = u & 0x0f800000;
	uint32_t normal = u + 0x38000000;
	uint32_t small = to_bits(from_bits(u + 0x38800000) - 0x1p-14f);

	normal += exp == 0x0f800000 ? 0x38000000 : 0;
	return (exp ? normal : small) | (uint32_t)(x & 0x8000) << 16;
}

/* gv_f32_to_bf16() by selection. */
static uint16_t
narrow_bf16(uint32_t u)
{
	uint32_t rounded = u + 0x7fff + (u >> 16 & 1);

	rounded = (u & 0x7fffffff) > 0x7f800000 ? u | 0x400000 : rounded;
	return (uint16_t)(rounded >> 16);
}

static void
from_bf16(float *dst, const uint16_t *src, size_t n)
{
	size_t i = 0, j;

	for (; n - i >= LANES; i += LANES) {
		uint32_t v[LANES];

		for (j = 0; j < LANES; j++)
			v[j] = (uint32_t)src[i + j] << 16;
		memcpy(dst + i, v, sizeof v);
	}
	for (; i < n; i++)
		dst[i] = gv_bf16_to_f32(src[i]);
}

static void
from_f16(float *dst, const uint16_t *src, size_t n)
{
	size_t i = 0, j;

	for (; n - i >= LANES; i += LANES) {
		uint32_t v[LANES];

		for (j = 0; j < LANES; j++)
			v[j] = widen_f16(src[i + j]);
		memcpy(dst + i, v, sizeof v);
	}
	for (; i < n; i++)
		dst[i] = gv_f16_to_f32(src[i]);
}

static void
to_bf16(uint16_t *dst, const float *src, size_t n)
{
	size_t i = 0, j;

	for (; n - i >= LANES; i += LANES) {
		uint32_t v[LANES];
		uint16_t h[LANES];

		memcpy(v, src + i, sizeof v);
		for (j = 0; j < LANES; j++)
			h[j] = narrow_bf16(v[j]);
		memcpy(dst + i, h, sizeof h);
	}
	for (; i < n; i++)
		dst[i] = gv_f32_to_bf16(src[i]);
}

int
gv_to_f32(float *dst, const void *src, enum gv_dtype from, size_t n,
    struct gv_error *e)
{
	const uint8_t *b = src;
	const int32_t *w = src;
	const double *d = src;
	size_t i;

	switch (from) {
	case GV_F32:
		if (n)
			memmove(dst, src, n * sizeof *dst);
		return 0;
	case GV_BF16:
		from_bf16(dst, src, n);
		return 0;
	case GV_F16:
		from_f16(dst, src, n);
		return 0;
	case GV_F64:
		for (i = 0; i < n; i++)
			dst[i] = (float)d[i];
		return 0;
	case GV_U8:
		for (i = 0; i < n; i++)
			dst[i] = (float)b[i];
		return 0;
	case GV_I32:
		for (i = 0; i < n; i++)
			dst[i] = (float)w[i];
		return 0;
	default:
		return gv_fail(e, GV_ERR_NOSUP, "cannot convert %s to F32",
		    gv_dtype_name(from));
	}
}

int
gv_from_f32(
    void *dst, enum gv_dtype to, const float *src, size_t n, struct gv_error *e)
{
	uint16_t *h = dst;
	size_t i;

	switch (to) {
	case GV_F32:
		if (n)
			memmove(dst, src, n * sizeof *src);
		return 0;
	case GV_BF16:
		to_bf16(dst, src, n);
		return 0;
	case GV_F16:
		for (i = 0; i < n; i++)
			h[i] = gv_f32_to_f16(src[i]);
		return 0;
	default:
		return gv_fail(e, GV_ERR_NOSUP, "cannot convert F32 to %s",
		    gv_dtype_name(to));
	}
}
