/* Pictures as tiles. */
#include "tile.h"

#include "crc.h"
#include "mem.h"
#include "banned.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define MAX_SPLIT 4096 /* a side in front of Idefics 3's division */

/* ---- sizes --------------------------------------------------------------- */

/* Sums and quotients are in double and are cut off where Python's are. */

static int32_t
trunc32(double v)
{
	return v > INT32_MAX ? INT32_MAX : (int32_t)v;
}

static int32_t
least(int32_t a, int32_t b)
{
	return a < b ? a : b;
}

/* The grid that keeps most of h x w. */
static struct gv_grid
best_grid(const struct gv_image_rule *rule, const struct gv_tile_rule *tiles,
    int32_t h, int32_t w)
{
	int64_t most = -1, least_waste = 0;
	struct gv_grid best = {1, 1};
	int32_t i;

	for (i = 0; i < tiles->grids; i++) {
		struct gv_grid g = tiles->grid[i];
		int32_t H = g.rows * rule->height, W = g.cols * rule->width;
		double sw = (double)W / w, sh = (double)H / h;
		double scale = sw < sh ? sw : sh;
		int64_t kept = (int64_t)trunc32(w * scale) * trunc32(h * scale);
		int64_t own = (int64_t)h * w, waste;

		kept = kept < own ? kept : own;
		waste = (int64_t)H * W - kept;
		if (kept > most || (kept == most && waste < least_waste)) {
			most = kept;
			least_waste = waste;
			best = g;
		}
	}
	return best;
}

static void
plan_grid(struct gv_tiles *t, const struct gv_image_rule *rule,
    const struct gv_tile_rule *tiles, int32_t h, int32_t w)
{
	struct gv_grid g = best_grid(rule, tiles, h, w);
	int32_t H = g.rows * rule->height, W = g.cols * rule->width;
	double sw = (double)W / w, sh = (double)H / h;

	t->rows = g.rows;
	t->cols = g.cols;
	t->size[0] = sw < sh ? least(trunc32(ceil(h * sw)), H) : H;
	t->size[1] = sw < sh ? W : least(trunc32(ceil(w * sh)), W);
	t->at[0] = (H - t->size[0]) / 2;
	t->at[1] = (W - t->size[1]) / 2;
}

/* The shorter side for a longer one, whichever is which. */
static void
follow(int32_t size[2], bool wide, int32_t longer)
{
	double aspect = (double)size[1] / size[0];

	if (wide) {
		size[1] = longer;
		size[0] = trunc32(longer / aspect);
	} else {
		size[0] = longer;
		size[1] = trunc32(longer * aspect);
	}
}

static int32_t
multiple(int32_t n, int32_t of)
{
	return (n + of - 1) / of * of;
}

static void
plan_split(struct gv_tiles *t, const struct gv_image_rule *rule,
    const struct gv_tile_rule *tiles, int32_t h, int32_t w)
{
	int32_t side = rule->height, s[2] = {h, w};
	bool wide = w >= h;

	follow(s, wide, tiles->longest);
	s[!wide] += s[!wide] & 1;
	s[!wide] = s[!wide] ? s[!wide] : 1;
	wide = s[1] >= s[0];
	if (s[wide] > MAX_SPLIT)
		follow(s, wide, MAX_SPLIT);
	s[!wide] = s[!wide] ? s[!wide] : 1;
	memcpy(t->first, s, sizeof s);

	wide = s[1] >= s[0];
	follow(s, wide, multiple(s[wide], side));
	s[!wide] = multiple(s[!wide], side);
	memcpy(t->size, s, sizeof s);
	if (s[0] > side || s[1] > side) {
		t->rows = s[0] / side;
		t->cols = s[1] / side;
	}
}

static bool
too_large(const int32_t size[2], const struct gv_image_limits *l)
{
	return (int64_t)size[0] * size[1] > (int64_t)l->max_pixels;
}

int
gv_tiles_plan(struct gv_tiles *t, const struct gv_image_rule *rule,
    const struct gv_tile_rule *tiles, int32_t height, int32_t width,
    const struct gv_image_limits *l, struct gv_error *e)
{
	struct gv_tiles mine = {0};

	if (tiles->way == GV_TILE_GRID)
		plan_grid(&mine, rule, tiles, height, width);
	else
		plan_split(&mine, rule, tiles, height, width);
	mine.n = mine.rows * mine.cols + 1;
	if (mine.rows > GV_MAX_TILES || mine.cols > GV_MAX_TILES ||
	    too_large(mine.first, l) || too_large(mine.size, l))
		return gv_fail(e, GV_ERR_LIMIT,
		    "%dx%d pixels would be tiles of %dx%d", height, width,
		    mine.size[0], mine.size[1]);
	*t = mine;
	return 0;
}

char *
gv_tile_rule_text(char *dst, size_t cap, const struct gv_image_rule *rule,
    const struct gv_tile_rule *tiles)
{
	uint32_t crc =
	    gv_crc(0, tiles->grid, (size_t)tiles->grids * sizeof *tiles->grid);
	size_t n;
	int32_t i;

	snprintf(dst, cap, "%dx%d tile %s", rule->height, rule->width,
	    gv_filter_name(rule->filter));
	n = strlen(dst);
	if (tiles->way == GV_TILE_SPLIT)
		snprintf(dst + n, cap - n, " of %d", tiles->longest);
	else if (tiles->grids > 6)
		snprintf(dst + n, cap - n, " %d grids %08x", tiles->grids, crc);
	else
		for (i = 0; i < tiles->grids; i++, n = strlen(dst))
			snprintf(dst + n, cap - n, " %dx%d",
			    tiles->grid[i].rows, tiles->grid[i].cols);
	return dst;
}

/* ---- pixels -------------------------------------------------------------- */

static int
resize(uint8_t *dst, const struct gv_image *im, int32_t h, int32_t w,
    enum gv_filter filter, struct gv_error *e)
{
	const struct gv_image_rule plain = {
	    .height = h, .width = w, .fit = GV_FIT_SQUASH, .filter = filter};

	return gv_image_resize(dst, im, &plain, e);
}

/* A new picture of that size, freed by the caller. */
static int
resized(struct gv_image *to, const struct gv_image *im, const int32_t size[2],
    enum gv_filter filter, struct gv_error *e)
{
	to->height = size[0];
	to->width = size[1];
	to->px = gv_alloc((size_t)size[0] * (size_t)size[1], 3);
	if (!to->px)
		return gv_fail(e, GV_ERR_NOMEM, "out of memory");
	return resize(to->px, im, size[0], size[1], filter, e);
}

/* The tile at (row, col) of the grid; black where the picture isn't. */
static void
cut(uint8_t *dst, const struct gv_image *im, const struct gv_tiles *t,
    const struct gv_image_rule *rule, int32_t row, int32_t col)
{
	int32_t S = rule->width, y, left = col * S - t->at[1];
	int32_t from = left < 0 ? 0 : left, to = least(left + S, im->width);

	for (y = 0; y < rule->height; y++, dst += (size_t)S * 3) {
		int32_t in = row * rule->height + y - t->at[0];

		memset(dst, 0, (size_t)S * 3);
		if (in < 0 || in >= im->height || from >= to)
			continue;
		memcpy(dst + (size_t)(from - left) * 3,
		    im->px +
			((size_t)in * (size_t)im->width + (size_t)from) * 3,
		    (size_t)(to - from) * 3);
	}
}

int
gv_tiles_make(uint8_t *dst, const struct gv_tiles *t, const struct gv_image *im,
    const struct gv_image_rule *rule, enum gv_tile_way way, struct gv_error *e)
{
	size_t each = (size_t)rule->height * (size_t)rule->width * 3;
	bool last = way == GV_TILE_SPLIT;
	uint8_t *overview = last ? dst + each * (size_t)(t->n - 1) : dst;
	uint8_t *tile = last ? dst : dst + each;
	struct gv_image first = {0}, grid = {0};
	const struct gv_image *from = im;
	int32_t r, c;

	if (t->first[0]) {
		if (resized(&first, im, t->first, rule->filter, e))
			goto out;
		from = &first;
	}
	if (resized(&grid, from, t->size, rule->filter, e))
		goto out;
	if (resize(overview, last ? &grid : im, rule->height, rule->width,
		rule->filter, e))
		goto out;
	for (r = 0; r < t->rows; r++)
		for (c = 0; c < t->cols; c++, tile += each)
			cut(tile, &grid, t, rule, r, c);
out:
	gv_free(first.px);
	gv_free(grid.px);
	return e->code;
}
