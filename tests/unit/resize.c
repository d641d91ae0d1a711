/* Resizing gives Pillow's bytes (tests/golden/image/resize.txt), the same ones
 * with every instruction set, and writes nowhere else.
 */
#include "pattern.h"
#include "tap.h"

#include <stdlib.h>
#include <zlib.h>

#define GOLDEN "tests/golden/image/resize.txt"
#define GUARD  64 /* bytes before and after an output */

static const char *const isa_name[] = {"best", "c", "avx2", "avx512"};
static const char *const filter_name[] = {"bicubic", "bilinear", "lanczos"};

/* Resizes between guard bytes into out; false if one was touched. */
static bool
guarded(uint8_t *out, const struct gv_image *im,
    const struct gv_image_rule *rule, enum gv_image_isa isa)
{
	size_t n = (size_t)rule->width * (size_t)rule->height * 3, i;
	uint8_t *buf = malloc(n + 2 * GUARD);
	struct gv_error e = {0};
	bool good = buf != NULL;

	memset(buf, 0xa5, n + 2 * GUARD);
	if (gv_image_resize_isa(buf + GUARD, im, rule, isa, &e)) {
		printf("# %s\n", e.msg);
		good = false;
	}
	for (i = 0; i < GUARD; i++)
		good = good && buf[i] == 0xa5 && buf[GUARD + n + i] == 0xa5;
	memcpy(out, buf + GUARD, n);
	free(buf);
	return good;
}

static bool
has(enum gv_image_isa isa)
{
	uint8_t px[3] = {1, 2, 3};
	struct gv_image im = {1, 1, px};
	struct gv_image_rule rule = {.height = 1, .width = 1};
	struct gv_error e = {0};

	return !gv_image_resize_isa(px, &im, &rule, isa, &e);
}

static void
golden(void)
{
	FILE *f = fopen(GOLDEN, "r");
	struct gv_image_rule r = {0};
	unsigned seed, want;
	char kind[16], filter[16];
	int w, h, isa, lines = 0, k;

	ok(f != NULL, "%s is there", GOLDEN);
	while (f && fscanf(f, "%d %d %15s %u %d %d %15s %x", &w, &h, kind,
			&seed, &r.width, &r.height, filter, &want) == 8) {
		struct gv_image im = pattern(w, h, kind, seed);
		size_t n = (size_t)r.width * (size_t)r.height * 3;
		uint8_t *out = malloc(n);

		for (k = 0; k < 3; k++)
			if (!strcmp(filter, filter_name[k]))
				r.filter = (enum gv_filter)k;
		for (isa = GV_IMAGE_BEST; isa <= GV_IMAGE_AVX512; isa++) {
			if (!has((enum gv_image_isa)isa))
				continue;
			ok(guarded(out, &im, &r, (enum gv_image_isa)isa) &&
				crc32(0, out, (uInt)n) == want,
			    "%dx%d %s to %dx%d %s, %s", w, h, kind, r.width,
			    r.height, filter, isa_name[isa]);
		}
		free(out);
		gv_image_free(&im);
		lines++;
	}
	is_int(lines, 75, "all lines of the table were read");
	if (f)
		fclose(f);
}

/* Random sizes: the fast versions against the plain one. */
static void
versions(void)
{
	unsigned seed = 20;
	int i, isa, bad[4] = {0};

	srand(seed);
	printf("# seed %u\n", seed);
	for (i = 0; i < 150; i++) {
		int w = 1 + rand() % 70, h = 1 + rand() % 70;
		struct gv_image im = pattern(w, h, "noise", (uint32_t)i);
		struct gv_image_rule r = {.height = 1 + rand() % 70,
		    .width = 1 + rand() % 70,
		    .filter = (enum gv_filter)(rand() % 6)};
		size_t n = (size_t)(r.width * r.height) * 3;
		uint8_t *a = malloc(n), *b = malloc(n);

		bad[1] += !guarded(a, &im, &r, GV_IMAGE_C);
		for (isa = GV_IMAGE_AVX2; isa <= GV_IMAGE_AVX512; isa++)
			if (has((enum gv_image_isa)isa))
				bad[isa] += !guarded(b, &im, &r,
						(enum gv_image_isa)isa) ||
					    memcmp(a, b, n) != 0;
		free(a);
		free(b);
		gv_image_free(&im);
	}
	for (isa = GV_IMAGE_C; isa <= GV_IMAGE_AVX512; isa++)
		is_int(bad[isa], 0, "150 random sizes with %s%s", isa_name[isa],
		    has((enum gv_image_isa)isa) ? ""
						: " (not on this machine)");
}

static void
refusals(void)
{
	static const struct {
		struct gv_image_rule rule;
		int want;
	} t[] = {
	    {{.height = 0, .width = 4}, GV_ERR_USAGE},
	    {{.height = 4, .width = 0}, GV_ERR_USAGE},
	    {{.height = -1, .width = 4}, GV_ERR_USAGE},
	    {{.height = 1, .width = (1 << 24) + 1}, GV_ERR_LIMIT},
	    {{.height = 1, .width = 1, .fit = GV_FIT_CROP}, GV_ERR_USAGE},
	    {{.height = 3, .width = 1, .fit = GV_FIT_PAD, .edge = 2},
		GV_ERR_USAGE},
	};
	uint8_t px[3] = {1, 2, 3}, dst[3] = {9, 9, 9};
	struct gv_image im = {1, 1, px};
	size_t i;

	for (i = 0; i < sizeof t / sizeof *t; i++) {
		struct gv_error e = {0};
		int r = gv_image_resize(dst, &im, &t[i].rule, &e);

		is_int(r, t[i].want, "%dx%d is refused", t[i].rule.height,
		    t[i].rule.width);
		ok(e.code == r && e.msg[0] && dst[0] == 9,
		    "... with a message, and nothing is written");
	}
}

int
main(void)
{
	char text[GV_RULE_TEXT];
	struct gv_image_rule r = {
	    .height = 48, .width = 64, .filter = GV_LANCZOS};

	golden();
	versions();
	refusals();
	is_str(gv_image_rule_text(text, sizeof text, &r),
	    "48x64 squash lanczos", "a rule as text: height first");
	return done();
}
