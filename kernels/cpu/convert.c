/* Conversion between storage types.
 *
 * To BF16 is rounding to nearest even on the bits of the F32; a NaN keeps its
 * sign and upper bits and is made quiet.  I32 to BF16 goes through F32 after
 * folding the bits that F32 can't hold into one sticky bit, so that it rounds
 * once.
 */
#include <assert.h>

#include "split.h"

struct convert {
	void *dst;
	const void *src;
	size_t n;
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

#define LOOP(to_type, from_type, expr) \
	do { \
		to_type *d = (to_type *)a->dst + begin; \
		const from_type *x = (const from_type *)a->src + begin; \
\
		_Pragma("omp simd") for (size_t i = 0; i < n; i++) d[i] = \
		    expr; \
	} while (0)

static void
to_f32(const struct convert *a, size_t begin, size_t n)
{
	switch (a->from) {
	case GVK_BF16:
		LOOP(float, uint16_t, float_of_bf16(x[i]));
		break;
	case GVK_I32:
		LOOP(float, int32_t, (float)x[i]);
		break;
	case GVK_U8:
		LOOP(float, uint8_t, (float)x[i]);
		break;
	case GVK_F32:
		break;
	}
}

static void
to_bf16(const struct convert *a, size_t begin, size_t n)
{
	switch (a->from) {
	case GVK_F32:
		LOOP(uint16_t, float, bf16_of_float(x[i]));
		break;
	case GVK_I32:
		LOOP(uint16_t, int32_t, bf16_of_float(sticky_float(x[i])));
		break;
	case GVK_U8:
		LOOP(uint16_t, uint8_t, bf16_of_float((float)x[i]));
		break;
	case GVK_BF16:
		break;
	}
}

static void
convert_part(void *arg, int64_t part, int thread)
{
	const struct convert *a = arg;
	size_t begin = (size_t)part * CPU_CHUNK;
	size_t n = a->n - begin < CPU_CHUNK ? a->n - begin : CPU_CHUNK;

	(void)thread;
	if (a->to == a->from) {
		size_t size = gvk_dtype_size(a->to);

		memcpy((char *)a->dst + begin * size,
		    (const char *)a->src + begin * size, n * size);
	} else if (a->to == GVK_F32) {
		to_f32(a, begin, n);
	} else {
		to_bf16(a, begin, n);
	}
}

void
CPU(convert)(struct gvk_stream *s, void *dst, enum gvk_dtype to,
    const void *src, enum gvk_dtype from, size_t n)
{
	struct convert a = {dst, src, n, to, from};

	assert(to == from || to == GVK_F32 || to == GVK_BF16);
	gvk_pool_run(
	    gvk_pool_of(s), cpu_parts((int64_t)n, CPU_CHUNK), convert_part, &a);
}
