/* Conversion between storage types.
 *
 * To BF16 is rounding to nearest even on the bits of the F32; a NaN keeps its
 * sign and upper bits and is made quiet.  I32 to BF16 goes through F32 after
 * folding the bits that F32 can't hold into one sticky bit, so that it rounds
 * once.
 */
#include <assert.h>

#include "part.h"

struct convert {
	void *dst;
	const void *src;
	int64_t n;
	enum gvk_dtype to, from;
};

static inline float
float_of_bf16(uint16_t b)
{
	uint32_t u = (uint32_t)b << 16;
	float f;

	memcpy(&f, &u, sizeof f);
	return f;
}

static inline uint16_t
bf16_of_float(float f)
{
	uint32_t u, rounded;

	memcpy(&u, &f, sizeof u);
	rounded = u + 0x7fff + (u >> 16 & 1);
	rounded = (u & 0x7fffffff) > 0x7f800000 ? u | 0x400000 : rounded;
	return (uint16_t)(rounded >> 16);
}

static inline float
sticky_float(int32_t i)
{
	uint32_t u = i < 0 ? 0 - (uint32_t)i : (uint32_t)i;
	float f;

	if (u >> 24)
		u = (u & ~0xffu) | (u & 0xff ? 0x80 : 0);
	f = (float)u;
	return i < 0 ? -f : f;
}

static void
to_f32(float *d, const void *src, enum gvk_dtype from, int64_t i, int64_t end)
{
	const uint16_t *bf16 = src;
	const int32_t *i32 = src;
	const uint8_t *u8 = src;

	if (from == GVK_BF16) {
#pragma omp simd
		for (int64_t k = i; k < end; k++)
			d[k] = float_of_bf16(bf16[k]);
	} else if (from == GVK_I32) {
#pragma omp simd
		for (int64_t k = i; k < end; k++)
			d[k] = (float)i32[k];
	} else {
#pragma omp simd
		for (int64_t k = i; k < end; k++)
			d[k] = (float)u8[k];
	}
}

static void
to_bf16(
    uint16_t *d, const void *src, enum gvk_dtype from, int64_t i, int64_t end)
{
	const float *f32 = src;
	const int32_t *i32 = src;
	const uint8_t *u8 = src;

	if (from == GVK_F32) {
#pragma omp simd
		for (int64_t k = i; k < end; k++)
			d[k] = bf16_of_float(f32[k]);
	} else if (from == GVK_I32) {
#pragma omp simd
		for (int64_t k = i; k < end; k++)
			d[k] = bf16_of_float(sticky_float(i32[k]));
	} else {
#pragma omp simd
		for (int64_t k = i; k < end; k++)
			d[k] = bf16_of_float((float)u8[k]);
	}
}

static void
convert_part(void *arg, int64_t part, int thread)
{
	const struct convert *a = arg;
	int64_t begin = part * CPU_CHUNK;
	int64_t end = cpu_min(a->n, begin + CPU_CHUNK);

	(void)thread;
	if (a->to == a->from) {
		size_t size = gvk_dtype_size(a->to), at = (size_t)begin * size;

		memcpy((char *)a->dst + at, (const char *)a->src + at,
		    (size_t)(end - begin) * size);
	} else if (a->to == GVK_F32) {
		to_f32(a->dst, a->src, a->from, begin, end);
	} else {
		to_bf16(a->dst, a->src, a->from, begin, end);
	}
}

void
CPU(convert)(struct gvk_stream *s, void *dst, enum gvk_dtype to,
    const void *src, enum gvk_dtype from, size_t n)
{
	struct convert a = {dst, src, (int64_t)n, to, from};

	assert(to == from || to == GVK_F32 || to == GVK_BF16);
	gvk_pool_run(
	    gvk_pool_of(s), cpu_parts(a.n, CPU_CHUNK), convert_part, &a);
}
