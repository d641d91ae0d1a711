/* Tiles have the bytes of transformers' processors
 * (tests/golden/image/tiles.txt). */
#include "pattern.h"
#include "rule_options.h"
#include "tap.h"

#include <stdlib.h>
#include <zlib.h>

#define GOLDEN "tests/golden/image/tiles.txt"
#define LINES  157

static const struct gv_image_limits *
limits(void)
{
	static struct gv_image_limits l;

	gv_image_limits_default(&l);
	return &l;
}

/* CRC-32 of the squares; 0 if they can't be made. */
static unsigned
made(const struct gv_tiles *t, const struct gv_image *im,
    const struct gv_image_rule *rule, enum gv_tile_way way)
{
	size_t n = (size_t)(t->n * rule->height * rule->width * 3);
	struct gv_error e = {0};
	uint8_t *px = malloc(n);
	unsigned crc = 0;

	if (px && !gv_tiles_make(px, t, im, rule, way, &e))
		crc = (unsigned)crc32(0, px, (uInt)n);
	free(px);
	return crc;
}

static void
golden(void)
{
	FILE *f = fopen(GOLDEN, "r");
	char kind[16], way[8], arg[128], side[8];
	int w, h, rows, cols, n, lines = 0;
	unsigned seed, want;

	ok(f != NULL, "%s is there", GOLDEN);
	while (f && fscanf(f, "%d %d %15s %u %7s %7s %127s %d %d %d %x", &w, &h,
			kind, &seed, side, way, arg, &rows, &cols, &n,
			&want) == 11) {
		bool split = !strcmp(way, "split");
		struct gv_rule_options o = {.size = side,
		    .fit = GV_FIT_WORD_TILE,
		    .filter = split ? GV_LANCZOS : GV_BICUBIC,
		    .longest = split ? atoi(arg) : 0,
		    .grids = split ? NULL : arg};
		struct gv_image im = pattern(w, h, kind, seed);
		struct gv_tile_rule tiles;
		struct gv_image_rule rule;
		struct gv_error e = {0};
		struct gv_tiles t = {0};
		bool good =
		    !gv_rule_of_options(&rule, &tiles, &o, &e) &&
		    !gv_tiles_plan(&t, &rule, &tiles, h, w, limits(), &e);

		ok(good && t.rows == rows && t.cols == cols && t.n == n &&
			made(&t, &im, &rule, tiles.way) == want,
		    "%dx%d %s: %s %s of %s, %dx%d", w, h, kind, way, arg, side,
		    rows, cols);
		if (t.rows != rows || t.cols != cols)
			printf("# got %dx%d, %s\n", t.rows, t.cols, e.msg);
		gv_image_free(&im);
		lines++;
	}
	is_int(lines, LINES, "all lines of the table were read");
	if (f)
		fclose(f);
}

static int
plan(const struct gv_rule_options *o, int h, int w, struct gv_tiles *t)
{
	struct gv_tile_rule tiles;
	struct gv_image_rule rule;
	struct gv_error e = {0};

	if (gv_rule_of_options(&rule, &tiles, o, &e))
		return e.code;
	return gv_tiles_plan(t, &rule, &tiles, h, w, limits(), &e);
}

static void
extremes(void)
{
	struct gv_rule_options split = {
	    .size = "8", .fit = GV_FIT_WORD_TILE, .filter = -1, .longest = 512};
	struct gv_rule_options grid = {
	    .size = "16384", .fit = GV_FIT_WORD_TILE, .filter = -1};
	struct gv_tiles t = {.n = 77};

	is_int(plan(&split, 1, 30000, &t), 0, "a line");
	ok(t.rows == 1 && t.cols == 64, "is a row of 64 tiles");
	split.longest = 520;
	is_int(plan(&split, 1, 30000, &t), GV_ERR_LIMIT, "65 are too many");
	is_int(t.cols, 64, "which says nothing else");
	split.longest = 4096;
	split.size = "512";
	is_int(plan(&split, 1, 1, &t), 0, "a dot becomes 64 tiles");
	is_int(t.n, 65, "and a dot");
	is_int(plan(&grid, 9, 9, &t), GV_ERR_LIMIT, "a grid of many pixels");
	grid.size = "64";
	is_int(plan(&grid, 1, 32768, &t), 0, "a line in a grid");
	ok(t.rows == 1 && t.cols == 2 && t.size[0] == 1 && t.at[0] == 31,
	    "lies in its middle, one pixel high");
}

static void
text(const char *want, const struct gv_rule_options *o)
{
	struct gv_tile_rule tiles;
	struct gv_image_rule rule;
	struct gv_error e = {0};
	char got[GV_RULE_TEXT];

	ok(!gv_rule_of_options(&rule, &tiles, o, &e), "a rule: %s", want);
	is_str(
	    gv_tile_rule_text(got, sizeof got, &rule, &tiles), want, "as text");
}

static void
refused(const struct gv_rule_options *o, const char *what)
{
	struct gv_tile_rule tiles;
	struct gv_image_rule rule;
	struct gv_error e = {0};

	is_int(gv_rule_of_options(&rule, &tiles, o, &e), GV_ERR_USAGE,
	    "refused: %s", what);
	printf("# %s\n", e.msg);
}

static void
options(void)
{
	static const char *const bad[] = {"", "1", "1x", "x1", "0x1", "1x65",
	    "1x1,", ",1x1", "1x1;2x2", "1x1x1", " 1x1", "1x-1", "+1x1",
	    "99999999999999999999x1"};
	struct gv_rule_options o = {
	    .size = "336", .fit = GV_FIT_WORD_TILE, .filter = -1};
	char many[65 * 4] = "";
	size_t i;

	text("336x336 tile bicubic 1x2 2x1 2x2 3x1 1x3", &o);
	o.grids = "64x64,64x64,64x64,64x64,64x64,64x64";
	o.size = "16384";
	text(
	    "16384x16384 tile bicubic 64x64 64x64 64x64 64x64 64x64 64x64", &o);
	o.grids = "1x1,1x2,1x3,1x4,1x5,1x6,1x7";
	text("16384x16384 tile bicubic 7 grids 84b3240c", &o);
	for (i = 0; i < sizeof bad / sizeof *bad; i++) {
		o.grids = bad[i];
		refused(&o, bad[i]);
	}
	for (i = 0; i < 65; i++)
		snprintf(many + strlen(many), sizeof many - strlen(many),
		    "%s1x1", i ? "," : "");
	o.grids = many;
	refused(&o, "65 grids");
	o.grids = "1x1";
	o.longest = 20000;
	refused(&o, "two ways");
	o.grids = NULL;
	o.longest = 16383;
	refused(&o, "less than a tile");
	o.size = "512";
	o.longest = 2048;
	o.filter = GV_LANCZOS;
	text("512x512 tile lanczos of 2048", &o);
	o.size = "512x511";
	refused(&o, "no square");
	o.fit = GV_FIT_SQUASH;
	refused(&o, "--longest without tiles");
}

int
main(void)
{
	golden();
	extremes();
	options();
	return done();
}
