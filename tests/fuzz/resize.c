/* Fuzz: any pixels of any small size, resized to any other by any rule: all
 * versions of the inner loops must give the same bytes, and squashing those of
 * a plain one here, written from Pillow's definition: weights in double, then
 * rounded to 22 bits, 8 bits between the passes.
 *
 * Input: eight bytes that choose (height, width, rows, columns, filter, fit and
 * edge, whether the plain one is made, which is slow; one unused), then pixels,
 * repeated as often as it takes.
 */
#include "image.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MOST = 24, BITS = 22 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void
must(bool sound)
{
	if (!sound)
		abort();
}

/* ---- the plain version --------------------------------------------------- */

static double
sinc(double x)
{
	return x == 0 ? 1 : sin(x * M_PI) / (x * M_PI);
}

static double
weight(enum gv_filter f, double x)
{
	x = fabs(x);
	switch (f) {
	case GV_BOX: /* the one that isn't even: see passes() */
		return x <= .5;
	case GV_BILINEAR:
		return x < 1 ? 1 - x : 0;
	case GV_HAMMING:
		return x == 0   ? 1
		       : x >= 1 ? 0
				: sinc(x) * (.54 + .46 * cos(x * M_PI));
	case GV_BICUBIC:
		return x < 1   ? (1.5 * x - 2.5) * x * x + 1
		       : x < 2 ? ((x - 5) * x + 8) * x * -.5 + 2
			       : 0;
	default:
		return x < 3 ? sinc(x) * sinc(x / 3) : 0;
	}
}

static const double supports[] = {[GV_BICUBIC] = 2,
    [GV_BILINEAR] = 1,
    [GV_LANCZOS] = 3,
    [GV_BOX] = .5,
    [GV_HAMMING] = 1};

/* One pass over `lines` lines of `from` pixels that stand `step` bytes apart,
 * lines `line` bytes apart; in dst the same with its own. */
static void
pass(uint8_t *dst, size_t dline, size_t dstep, int to, const uint8_t *src,
    size_t line, size_t step, int from, int lines, enum gv_filter f)
{
	double scale = (double)from / to, wide = scale < 1 ? 1 : scale;
	double support = supports[f] * wide, w[MOST], sum;
	int o, i, l, c;

	for (o = 0; o < to; o++) {
		double centre = (o + .5) * scale;
		int lo = (int)(centre - support + .5);
		int hi = (int)(centre + support + .5);

		lo = lo < 0 ? 0 : lo;
		hi = hi > from ? from : hi;
		for (i = lo, sum = 0; i < hi; i++) {
			double x = (i - centre + .5) * (1 / wide);

			/* Pillow's box takes (-.5, .5] */
			w[i] = f == GV_BOX && x <= -.5 ? 0 : weight(f, x);
			sum += w[i];
		}
		for (l = 0; l < lines; l++) {
			for (c = 0; c < 3; c++) {
				int64_t v = 1 << (BITS - 1);

				for (i = lo; i < hi; i++) {
					double k = sum != 0 ? w[i] / sum : w[i];

					k = k * (1 << BITS);
					v += src[(size_t)l * line +
						 (size_t)i * step + (size_t)c] *
					     (int64_t)(k < 0 ? k - .5 : k + .5);
				}
				v >>= BITS;
				dst[(size_t)l * dline + (size_t)o * dstep +
				    (size_t)c] = v < 0     ? 0
						 : v > 255 ? 255
							   : (uint8_t)v;
			}
		}
	}
}

static void
plain(uint8_t *dst, int H, int W, const uint8_t *src, int h, int w,
    enum gv_filter f)
{
	static uint8_t between[MOST * MOST * 3];
	size_t wide = (size_t)W * 3;

	if (W != w)
		pass(between, wide, 3, W, src, (size_t)w * 3, 3, w, h, f);
	else
		memcpy(between, src, (size_t)h * wide);
	if (H != h)
		pass(dst, 3, wide, H, between, 3, wide, h, W, f);
	else
		memcpy(dst, between, (size_t)h * wide);
}

/* ---- the target ---------------------------------------------------------- */

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static uint8_t src[MOST * MOST * 3], out[4][MOST * MOST * 3];
	struct gv_image_rule rule = {0};
	struct gv_image im = {.px = src};
	struct gv_error e = {0};
	size_t all, i, bytes;
	int isa, fit;

	if (n < 9)
		return 0;
	im.height = data[0] % MOST + 1;
	im.width = data[1] % MOST + 1;
	rule.height = data[2] % MOST + 1;
	rule.width = data[3] % MOST + 1;
	rule.filter = (enum gv_filter)(data[4] % 6);
	fit = data[5] % 3;
	rule.fit = (enum gv_fit)fit;
	if (fit != GV_FIT_SQUASH) {
		rule.width = rule.height;
		rule.edge = rule.height + data[5] / 3 % 32;
		memcpy(rule.fill, data + 5, 3);
	}
	all = (size_t)im.height * (size_t)im.width * 3;
	for (i = 0; i < all; i++)
		src[i] = data[8 + i % (n - 8)];
	bytes = (size_t)rule.height * (size_t)rule.width * 3;
	memset(out, 0, sizeof out);
	must(!gv_image_resize(out[0], &im, &rule, &e));
	for (isa = GV_IMAGE_C; isa <= GV_IMAGE_AVX512; isa++) {
		int r = gv_image_resize_isa(
		    out[1], &im, &rule, (enum gv_image_isa)isa, &e);

		must(r == 0 || r == GV_ERR_NOSUP);
		must(r || !memcmp(out[0], out[1], bytes));
		gv_error_clear(&e);
	}
	if (fit == GV_FIT_SQUASH && rule.filter != GV_NEAREST &&
	    data[6] % 4 == 0) {
		plain(out[2], rule.height, rule.width, src, im.height, im.width,
		    rule.filter);
		must(!memcmp(out[0], out[2], bytes));
	}
	return 0;
}
