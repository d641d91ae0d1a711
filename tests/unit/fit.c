/* Cropped and padded pictures have the bytes of transformers' processors
 * (tests/golden/image/fit.txt), with every instruction set.
 */
#include "pattern.h"
#include "resize.h"
#include "tap.h"

#include <stdlib.h>
#include <zlib.h>

#define GOLDEN "tests/golden/image/fit.txt"
#define LINES  135

static bool
set_words(struct gv_image_rule *r, const char *fit, const char *filter)
{
	int i, j;

	for (i = 0; i < 3 && strcmp(fit, gv_fit_name((enum gv_fit)i)); i++)
		;
	for (j = 0; j < 6 && strcmp(filter, gv_filter_name((enum gv_filter)j));
	     j++)
		;
	r->fit = (enum gv_fit)i;
	r->filter = (enum gv_filter)j;
	return i < 3 && j < 6;
}

static void
golden(void)
{
	FILE *f = fopen(GOLDEN, "r");
	struct gv_image_rule r = {.fill = {122, 116, 104}};
	char kind[16], fit[16], filter[16];
	struct gv_error e = {0};
	unsigned seed, want;
	int w, h, isa, lines = 0;
	uint8_t out[64 * 64 * 3];

	ok(f != NULL, "%s is there", GOLDEN);
	while (f && fscanf(f, "%d %d %15s %u %15s %d %d %15s %x", &w, &h, kind,
			&seed, fit, &r.width, &r.edge, filter, &want) == 9) {
		struct gv_image im = pattern(w, h, kind, seed);
		size_t n = (size_t)(r.width * r.width) * 3;
		bool good = set_words(&r, fit, filter) && n <= sizeof out;

		r.height = r.width;
		for (isa = GV_IMAGE_BEST; isa <= GV_IMAGE_AVX512; isa++) {
			gv_error_clear(&e);
			if (gv_image_resize_isa(out, &im, &r,
				(enum gv_image_isa)isa, &e) == GV_ERR_NOSUP)
				continue; /* not on this machine */
			good =
			    good && !e.code && crc32(0, out, (uInt)n) == want;
		}
		ok(good, "%dx%d %s: %s to %d of %d, %s", w, h, kind, fit,
		    r.width, r.edge, filter);
		gv_image_free(&im);
		lines++;
	}
	is_int(lines, LINES, "all lines of the table were read");
	if (f)
		fclose(f);
}

/* Pictures that lie on their sides or are mirrored are resized as their rows
 * come, to what they give when they are turned first. */
static void
turned(void)
{
	uint8_t want[23 * 23 * 3], got[23 * 23 * 3];
	int i, o, bad = 0, differ = 0;

	for (i = 0; i < 240; i++)
		for (o = 1; o <= 8; o++) {
			struct gv_image_rule r = {.height = 1 + i % 23,
			    .width = 1 + i * 7 % 23,
			    .fit = (enum gv_fit)(i % 3),
			    .filter = (enum gv_filter)(i / 3 % 6),
			    .fill = {122, 116, 104}};
			struct gv_image im = pattern(
			    1 + i * 5 % 61, 1 + i * 11 % 67, "noise", 9);
			struct gv_fitter *f = NULL;
			struct gv_error e = {0};

			if (r.fit != GV_FIT_SQUASH)
				r.edge = 2 + (r.width = r.height);
			bad += gv_fitter_open(&f, im.height, im.width, 3, o, &r,
				   GV_IMAGE_BEST, got, &e) != 0;
			gv_fitter_whole(f, &im);
			gv_fitter_close(&f);
			bad += gv_image_orient(&im, o, &e) != 0;
			bad += gv_image_resize(want, &im, &r, &e) != 0;
			differ += memcmp(want, got,
				      (size_t)(r.height * r.width) * 3) != 0;
			gv_image_free(&im);
		}
	is_int(bad, 0, "240 pictures in 8 orientations");
	is_int(differ, 0, "... have the pixels of upright ones");
}

/* A long picture would need a square of a billion pixels, or a longer side
 * than any. */
static void
refusals(void)
{
	static const struct gv_image_rule
	    pad = {.height = 2, .width = 2, .edge = 2, .fit = GV_FIT_PAD},
	    crop = {.height = 2, .width = 2, .edge = 4096, .fit = GV_FIT_CROP};
	uint8_t *px = calloc(32768, 3), dst[12] = {9};
	struct gv_image im = {32768, 1, px};
	struct gv_error e = {0};

	is_int(gv_image_resize(dst, &im, &pad, &e), GV_ERR_LIMIT, "%s", e.msg);
	gv_error_clear(&e);
	is_int(gv_image_resize(dst, &im, &crop, &e), GV_ERR_LIMIT, "%s", e.msg);
	ok(dst[0] == 9, "nothing is written");
	free(px);
}

static void
words(void)
{
	struct gv_image_rule r = {.height = 224,
	    .width = 224,
	    .edge = 224,
	    .fit = GV_FIT_CROP,
	    .filter = GV_BICUBIC};
	char text[GV_RULE_TEXT];

	is_str(gv_image_rule_text(text, sizeof text, &r),
	    "224x224 crop bicubic", "a rule in words");
	r.edge = 256;
	is_str(gv_image_rule_text(text, sizeof text, &r),
	    "224x224 crop bicubic of 256", "an edge that is longer");
	r = (struct gv_image_rule){.height = 336,
	    .width = 336,
	    .edge = 336,
	    .fit = GV_FIT_PAD,
	    .filter = GV_LANCZOS,
	    .fill = {122, 116, 104}};
	is_str(gv_image_rule_text(text, sizeof text, &r),
	    "336x336 pad 122 116 104 lanczos", "a colour");
	r = (struct gv_image_rule){.height = 16384,
	    .width = 16384,
	    .edge = 16777216,
	    .fit = GV_FIT_PAD,
	    .filter = GV_LANCZOS,
	    .fill = {255, 255, 255}};
	is_str(gv_image_rule_text(text, sizeof text, &r),
	    "16384x16384 pad 255 255 255 lanczos of 16777216", "long");
	r.fast = true;
	is_str(gv_image_rule_text(text, sizeof text, &r),
	    "16384x16384 pad 255 255 255 lanczos of 16777216 fast",
	    "the longest");
}

/* A fast rule lets decoders drop what leaves two pixels for one. */
static void
shrinking(void)
{
	struct gv_image_rule r = {.height = 64, .width = 64, .fast = true};

	is_int(gv_fitter_shrink(1024, 1024, 1, &r), 8, "1024 to 64: an eighth");
	is_int(gv_fitter_shrink(1023, 1024, 1, &r), 4, "1023: a quarter");
	is_int(gv_fitter_shrink(255, 5000, 1, &r), 1, "255: all");
	r.width = 128;
	is_int(gv_fitter_shrink(256, 256, 1, &r), 1, "256x256 to 64x128: all");
	is_int(gv_fitter_shrink(512, 256, 1, &r), 1, "512x256: all");
	is_int(gv_fitter_shrink(512, 256, 6, &r), 2,
	    "512x256 on its side: a half");
	r.width = 64;
	r.fit = GV_FIT_CROP;
	r.edge = 80;
	is_int(gv_fitter_shrink(1024, 1300, 1, &r), 4,
	    "a crop counts from its edge");
	r.fit = GV_FIT_PAD;
	r.edge = 64;
	is_int(gv_fitter_shrink(100, 1024, 1, &r), 8,
	    "a padded picture has its longer side twice");
	r.fast = false;
	is_int(gv_fitter_shrink(1024, 1024, 1, &r), 1, "an exact rule: all");
}

int
main(void)
{
	golden();
	turned();
	shrinking();
	refusals();
	words();
	return done();
}
