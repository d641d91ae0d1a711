/* Quantised blocks into floating point. */
#include "blocks.h"

#include "banned.h"

static const struct {
	size_t numbers, bytes;
} block[] = {
    [GV_Q4_0 - GV_Q4_0] = {32, 18},
    [GV_Q4_1 - GV_Q4_0] = {32, 20},
    [GV_Q8_0 - GV_Q4_0] = {32, 34},
    [GV_Q6_K - GV_Q4_0] = {256, 210},
};

static bool
has_blocks(enum gv_dtype t)
{
	return t >= GV_Q4_0 && t <= GV_Q6_K;
}

size_t
gv_block_numbers(enum gv_dtype t)
{
	return has_blocks(t) ? block[t - GV_Q4_0].numbers : 1;
}

size_t
gv_block_bytes(enum gv_dtype t)
{
	return has_blocks(t) ? block[t - GV_Q4_0].bytes : gv_dtype_size(t);
}

static float
f16_at(const uint8_t *p)
{
	return gv_f16_to_f32((uint16_t)(p[0] | p[1] << 8));
}

static void
q8_0(float *y, const uint8_t *b)
{
	float d = f16_at(b);
	int i;

	for (i = 0; i < 32; i++)
		y[i] = d * (float)(int8_t)b[2 + i];
}

static void
q4_0(float *y, const uint8_t *b)
{
	float d = f16_at(b);
	int i;

	for (i = 0; i < 16; i++) {
		y[i] = d * (float)((b[2 + i] & 15) - 8);
		y[16 + i] = d * (float)((b[2 + i] >> 4) - 8);
	}
}

static void
q4_1(float *y, const uint8_t *b)
{
	float d = f16_at(b), m = f16_at(b + 2);
	int i;

	for (i = 0; i < 16; i++) {
		y[i] = d * (float)(b[4 + i] & 15) + m;
		y[16 + i] = d * (float)(b[4 + i] >> 4) + m;
	}
}

static void
q6_k(float *y, const uint8_t *b)
{
	const uint8_t *low = b, *high = b + 128;
	const uint8_t *scale = b + 192;
	float d = f16_at(b + 208);
	int half, k, i;

	for (half = 0; half < 2; half++) {
		for (k = 0; k < 4; k++)
			for (i = 0; i < 32; i++) {
				int lo = low[32 * (k % 2) + i];
				int hi = high[i] >> (2 * k) & 3;
				int q = (k < 2 ? lo & 15 : lo >> 4) | hi << 4;
				int s = (int8_t)scale[2 * k + i / 16];

				y[32 * k + i] = d * (float)s * (float)(q - 32);
			}
		y += 128;
		low += 64;
		high += 32;
		scale += 8;
	}
}

/* gv_to_f32() wants its elements aligned: a file need not have them so. */
static int
plain(float *dst, const uint8_t *src, enum gv_dtype from, size_t n,
    struct gv_error *e)
{
	enum { PIECE = 4096 };
	size_t size = gv_dtype_size(from), i, k;
	_Alignas(8) uint8_t tmp[PIECE];

	if (!size || !((uintptr_t)src % size))
		return gv_to_f32(dst, src, from, n, e);
	for (i = 0; i < n; i += k) {
		k = n - i < PIECE / size ? n - i : PIECE / size;
		memcpy(tmp, src + i * size, k * size);
		if (gv_to_f32(dst + i, tmp, from, k, e))
			return e->code;
	}
	return 0;
}

int
gv_blocks_to_f32(float *dst, const void *src, enum gv_dtype from, size_t n,
    struct gv_error *e)
{
	static void (*const decode[])(float *, const uint8_t *) = {
	    q4_0, q4_1, q8_0, q6_k};
	const uint8_t *b = src;
	size_t numbers, i;

	if (!has_blocks(from))
		return plain(dst, src, from, n, e);
	numbers = gv_block_numbers(from);
	for (i = 0; i < n / numbers; i++)
		decode[from - GV_Q4_0](
		    dst + i * numbers, b + i * gv_block_bytes(from));
	return 0;
}
