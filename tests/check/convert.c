/* Conversion: every BF16 pattern, every rounding case, bit for bit. */
#include "check.h"

#include <math.h>
#include <string.h>

/* A copy of the buffer's bits, through chk_get for guards and digests. */
static void
fetch(struct chk *c, struct chk_buf *b, void *bits, size_t bytes)
{
	char err[256];

	chk_get(c, b);
	gvk_get(c->s, bits, b->p, bytes);
	chk_ok(c, gvk_sync(c->s, err, sizeof err) == 0, "results arrive");
}

static bool
is_nan16(uint16_t b)
{
	return (b & 0x7fff) > 0x7f80;
}

/* BF16 to F32 appends zeros; a NaN may be made quiet. */
static void
widen(struct chk *c)
{
	enum { N = 65536 };
	uint16_t *from = (uint16_t *)chk_rand_ids(c, N, 1);
	uint32_t *got = (uint32_t *)chk_rand_ids(c, N, 1);
	struct chk_buf *X, *Y = chk_out_f32(c, N);
	int bad = 0;

	for (uint32_t i = 0; i < N; i++)
		from[i] = (uint16_t)i;
	X = chk_in_bytes(c, from, N * sizeof *from);
	gvk_convert(c->s, Y->p, GVK_F32, X->p, GVK_BF16, N);
	fetch(c, Y, got, N * sizeof *got);
	for (uint32_t i = 0; i < N; i++)
		bad += is_nan16((uint16_t)i)
			   ? !is_nan16((uint16_t)(got[i] >> 16))
			   : got[i] != i << 16;
	chk_ok(c, bad == 0, "BF16 to F32, all patterns");
	chk_end(c);
}

/* F32 to BF16: all upper halves with the lower halves around a tie. */
static void
narrow(struct chk *c)
{
	static const uint32_t low[] = {0, 1, 0x7fff, 0x8000, 0x8001, 0xffff};
	enum { N = 6 * 65536 };
	uint32_t *from = (uint32_t *)chk_rand_ids(c, N, 1);
	uint16_t *got = (uint16_t *)chk_rand_ids(c, N, 1);
	struct chk_buf *X, *Y = chk_out_bytes(c, N * sizeof *got);
	int bad = 0, loud = 0;

	for (uint32_t i = 0; i < N; i++)
		from[i] = i / 6 << 16 | low[i % 6];
	X = chk_in_bytes(c, from, N * sizeof *from);
	gvk_convert(c->s, Y->p, GVK_BF16, X->p, GVK_F32, N);
	fetch(c, Y, got, N * sizeof *got);
	for (uint32_t i = 0; i < N; i++) {
		uint32_t high = i / 6, cut = low[i % 6];
		/* Down, up, and at a tie to the even one.  The carry runs into
		 * the exponent, and from the largest number to infinity. */
		uint32_t want =
		    high + (cut > 0x8000 || (cut == 0x8000 && (high & 1)));

		if ((from[i] & 0x7fffffff) > 0x7f800000)
			loud += !is_nan16(got[i]) || !(got[i] & 0x40);
		else
			bad += got[i] != (want & 0xffff);
	}
	chk_ok(c, bad == 0, "F32 to BF16, to nearest, ties to even");
	chk_ok(c, loud == 0, "F32 to BF16, NaN stays, quiet");
	chk_end(c);
}

/* Nearest number with `bits` significant bits, ties to even. */
static double
round_bits(double x, int bits)
{
	int e;
	double m = frexp(x, &e);

	return ldexp(nearbyint(ldexp(m, bits)), e - bits);
}

static int32_t *
draw_i32(struct chk *c, size_t n)
{
	static const int32_t edge[] = {0, 1, -1, INT32_MAX, INT32_MIN,
	    INT32_MIN + 1, 1 << 24, (1 << 24) + 1, (1 << 24) + 3, 257, 258, 259,
	    /* Just over a tie of BF16, which F32 would round down to it. */
	    0x40800001, 0x40400001, -0x40400001, 0x40c00000, 0x40400000};
	int32_t *x = chk_rand_ids(c, n, INT32_MAX);

	for (size_t i = 0; i < n; i++) {
		x[i] >>= i % 31;
		x[i] = i & 1 ? -x[i] : x[i];
	}
	memcpy(x, edge, sizeof edge);
	return x;
}

static void
from_i32(struct chk *c)
{
	enum { N = 40001 };
	int32_t *x = draw_i32(c, N);
	double *want = chk_zeros(c, N);
	uint16_t *got = (uint16_t *)chk_rand_ids(c, N, 1);
	struct chk_buf *X = chk_in_i32(c, x, N), *F = chk_out_f32(c, N);
	struct chk_buf *H = chk_out_bytes(c, N * sizeof *got);
	struct chk_buf *COPY = chk_out_i32(c, N);
	int bad = 0;

	gvk_convert(c->s, F->p, GVK_F32, X->p, GVK_I32, N);
	gvk_convert(c->s, H->p, GVK_BF16, X->p, GVK_I32, N);
	gvk_convert(c->s, COPY->p, GVK_I32, X->p, GVK_I32, N);
	for (int i = 0; i < N; i++)
		want[i] = round_bits(x[i], 24);
	chk_near(c, F, want, CHK_EXACT, "I32 to F32");
	chk_same_i32(c, COPY, x, "I32 to I32");
	fetch(c, H, got, N * sizeof *got);
	for (int i = 0; i < N; i++) {
		uint32_t u = (uint32_t)got[i] << 16;
		float f;

		memcpy(&f, &u, sizeof f);
		bad += (double)f != round_bits(x[i], 8);
	}
	chk_ok(c, bad == 0, "I32 to BF16 rounds once");
	chk_end(c);
}

static void
from_u8(struct chk *c)
{
	uint8_t x[256];
	uint16_t h[256];
	double want[256];
	struct chk_buf *X, *F = chk_out_f32(c, 256);
	struct chk_buf *H = chk_out_bytes(c, sizeof h);
	struct chk_buf *COPY = chk_out_bytes(c, 256);

	for (int i = 0; i < 256; i++) {
		float f = (float)i;
		uint32_t u;

		memcpy(&u, &f, sizeof u);
		x[i] = (uint8_t)i;
		want[i] = i;
		h[i] = (uint16_t)(u >> 16); /* eight bits: exact */
	}
	X = chk_in_u8(c, x, 256);
	gvk_convert(c->s, F->p, GVK_F32, X->p, GVK_U8, 256);
	gvk_convert(c->s, H->p, GVK_BF16, X->p, GVK_U8, 256);
	gvk_convert(c->s, COPY->p, GVK_U8, X->p, GVK_U8, 256);
	chk_near(c, F, want, CHK_EXACT, "U8 to F32");
	chk_same_bytes(c, H, h, "U8 to BF16");
	chk_same_bytes(c, COPY, x, "U8 to U8");
	chk_end(c);
}

static void
sizes(struct chk *c)
{
	static const size_t size[] = {0, 1, 7, 33, 257, 16384, 40001};

	for (int i = 0; i < 7; i++) {
		size_t n = size[i];
		double *x = chk_rand_f32(c, n, 1);
		struct chk_buf *X = chk_in_f32(c, x, n), *Y = chk_out_f32(c, n);
		struct chk_buf *H = chk_out_bytes(c, 2 * n);

		gvk_convert(c->s, Y->p, GVK_F32, X->p, GVK_F32, n);
		chk_near(c, Y, x, CHK_EXACT, "F32 to F32, n %zu", n);
		gvk_convert(c->s, H->p, GVK_BF16, X->p, GVK_F32, n);
		gvk_convert(c->s, Y->p, GVK_F32, H->p, GVK_BF16, n);
		for (size_t k = 0; k < n; k++)
			x[k] = round_bits(x[k], 8);
		chk_get(c, H);
		chk_near(c, Y, x, CHK_EXACT, "to BF16 and back");
		chk_end(c);
	}
}

static void
check(struct chk *c)
{
	widen(c);
	narrow(c);
	from_i32(c);
	from_u8(c);
	sizes(c);
}

int
main(int argc, char **argv)
{
	return chk_main(argc, argv, check);
}
