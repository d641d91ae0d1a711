/* Dtypes, shapes and roundings. */
#include "tensor.h"

#include "tap.h"

static struct gv_error e;

static float
bits(uint32_t u)
{
	float f;

	memcpy(&f, &u, sizeof f);
	return f;
}

static void
test_names(void)
{
	int t, same = 1;

	for (t = GV_NONE + 1; t < GV_DTYPES; t++) {
		const char *n = gv_dtype_name((enum gv_dtype)t);

		same &= gv_dtype_parse(n, strlen(n)) == (enum gv_dtype)t &&
			gv_dtype_size((enum gv_dtype)t) > 0;
	}
	ok(same, "every dtype has a name and a size");
	is_int(gv_dtype_parse("F3", 2), GV_NONE, "an unknown name");
	is_int(gv_dtype_parse("F32x", 3), GV_F32, "a name within a text");
	is_int((long long)gv_dtype_size(GV_NONE), 0, "no type has no size");
}

static void
test_shapes(void)
{
	const int64_t big[3] = {INT64_MAX, 2, 0},
		      wrap[2] = {(1ll << 32) + 1, 1ll << 32}, two[2] = {3, 5},
		      minus[1] = {-1};
	struct gv_tensor t;
	char text[64], tiny[6];
	size_t n = 77;

	ok(gv_shape_count(two, 2, &n) && n == 15, "a count");
	ok(gv_shape_count(NULL, 0, &n) && n == 1, "a scalar counts one");
	n = 77;
	ok(!gv_shape_count(big, 3, &n) && n == 77,
	    "a zero does not excuse what overflows");
	ok(!gv_shape_count(wrap, 2, &n), "a product that wraps");
	ok(!gv_shape_count(minus, 1, &n), "a negative size");
	ok(!gv_shape_bytes(GV_F32, (int64_t[]){1ll << 61}, 1, &n) && n == 77,
	    "bytes that overflow");
	ok(!gv_tensor_set(&t, GV_BF16, 2, two, text, &e) && t.bytes == 30 &&
		t.data == text && t.shape[1] == 5,
	    "a view");
	ok(gv_tensor_set(&t, GV_BF16, 2, wrap, NULL, &e) == GV_ERR_LIMIT &&
		strstr(e.msg, "(4294967297,4294967296)") && t.bytes == 30,
	    "a view that can't be, left alone");
	gv_error_clear(&e);
	ok(gv_tensor_set(&t, GV_U8, 9, two, NULL, &e) == GV_ERR_LIMIT,
	    "a rank of 9");
	gv_error_clear(&e);
	is_str(gv_shape_text(text, sizeof text, two, 2), "(3,5)", "as text");
	is_str(gv_shape_text(text, sizeof text, two, 0), "()", "a scalar");
	is_str(gv_shape_text(tiny, sizeof tiny, wrap, 2), "(4294", "cut short");
}

/* Both sides of every boundary between neighbours, and the boundary itself,
 * which goes to the even one. */
static void
test_rounding(uint16_t inf, float (*up)(uint16_t), uint16_t (*down)(float),
    const char *name)
{
	int exact = 1, nearest = 1, sign = 1;
	uint32_t x;

	for (x = 0; x < inf; x++) {
		float a = up((uint16_t)x), b = up((uint16_t)(x + 1)), mid;

		exact &= down(a) == x;
		sign &= down(-a) == (x | 0x8000);
		if (x + 1u == inf)
			break;
		mid = (float)(((double)a + (double)b) / 2);
		nearest &= down(mid) == x + (x & 1);
		nearest &= down(nextafterf(mid, 0)) == x;
		nearest &= down(nextafterf(mid, INFINITY)) == x + 1;
	}
	ok(exact, "%s: every value survives", name);
	ok(sign, "%s: negative ones as well", name);
	ok(nearest, "%s: the nearest, ties to even", name);
	is_int(down(INFINITY), inf, "%s: infinity", name);
	is_int(down(-INFINITY), inf | 0x8000, "%s: minus infinity", name);
	ok(isnan(up(down(NAN))), "%s: NaN", name);
	ok(isnan(up(down(bits(0x7f800001)))), "%s: a signalling NaN", name);
	ok(isnan(up(down(bits(0xffffffff)))), "%s: a negative NaN", name);
	is_int(down(bits(0x7f7fffff)), inf, "%s: too large", name);
}

static void
test_arrays(void)
{
	const uint8_t u8[3] = {0, 7, 255};
	const int32_t i32[3] = {-5, 0, 1 << 20};
	const double f64[3] = {0.5, -1e300, 3};
	const float f[3] = {1, -2.5f, 3e38f};
	uint16_t h[3];
	float g[3];

	ok(!gv_to_f32(g, u8, GV_U8, 3, &e) && g[2] >= 255 && g[1] <= 7, "U8");
	ok(!gv_to_f32(g, i32, GV_I32, 3, &e) && g[0] <= -5 && g[2] >= 1 << 20,
	    "I32");
	ok(!gv_to_f32(g, f64, GV_F64, 3, &e) && isinf(g[1]) && g[2] >= 3,
	    "F64");
	ok(!gv_from_f32(h, GV_BF16, f, 3, &e) &&
		!gv_to_f32(g, h, GV_BF16, 3, &e),
	    "BF16 and back");
	near((double)g[1], -2.5, 0, "its value");
	ok(!gv_from_f32(h, GV_F16, f, 3, &e) &&
		!gv_to_f32(g, h, GV_F16, 3, &e) && isinf(g[2]),
	    "F16 and back");
	ok(!gv_from_f32(g, GV_F32, f, 3, &e) && !memcmp(f, g, sizeof f), "F32");
	ok(gv_to_f32(g, u8, GV_BOOL, 3, &e) == GV_ERR_NOSUP, "from BOOL");
	gv_error_clear(&e);
	ok(gv_from_f32(g, GV_I32, f, 3, &e) == GV_ERR_NOSUP, "to I32");
}

int
main(void)
{
	test_names();
	test_shapes();
	test_rounding(0x7c00, gv_f16_to_f32, gv_f32_to_f16, "F16");
	test_rounding(0x7f80, gv_bf16_to_f32, gv_f32_to_bf16, "BF16");
	test_arrays();
	return done();
}
