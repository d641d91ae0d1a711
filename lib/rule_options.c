/* Rules of pixels out of options. */
#include "rule_options.h"

#include "banned.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_SIZE = 16384 }; /* pixels a side of the result */

static bool
digit(char c)
{
	return c >= '0' && c <= '9';
}

static int
parse_size(struct gv_image_rule *rule, const char *s, struct gv_error *e)
{
	char *end;
	long h = strtol(s, &end, 10), w = h;

	if (*end == 'x' && digit(end[1]))
		w = strtol(end + 1, &end, 10);
	if (!digit(*s) || *end)
		return gv_fail(
		    e, GV_ERR_USAGE, "--size '%.60s' is neither HxW nor N", s);
	if (h < 1 || w < 1 || h > MAX_SIZE || w > MAX_SIZE)
		return gv_fail(e, GV_ERR_USAGE,
		    "--size '%.60s' is not between 1 and %d pixels", s,
		    MAX_SIZE);
	rule->height = (int32_t)h;
	rule->width = (int32_t)w;
	return 0;
}

int
gv_rule_colour(
    uint8_t to[3], const char *option, const char *s, struct gv_error *e)
{
	int n = 0, i;
	unsigned c[3];

	if (strlen(s) > 11 ||
	    sscanf(s, "%u,%u,%u%n", &c[0], &c[1], &c[2], &n) != 3 || s[n] ||
	    strpbrk(s, "+- \t") || c[0] > 255 || c[1] > 255 || c[2] > 255)
		return gv_fail(e, GV_ERR_USAGE,
		    "%s '%.60s' is not R,G,B of 0 to 255", option, s);
	for (i = 0; i < 3; i++)
		to[i] = (uint8_t)c[i];
	return 0;
}

/* A number of 1 to GV_MAX_TILES, and what follows it. */
static const char *
tiles_of(uint8_t *n, const char *s)
{
	char *end;
	long v = strtol(s, &end, 10);

	if (!digit(*s) || v < 1 || v > GV_MAX_TILES)
		return NULL;
	*n = (uint8_t)v;
	return end;
}

static int
parse_grids(struct gv_tile_rule *t, const char *list, struct gv_error *e)
{
	const char *s = list;

	for (t->grids = 0; t->grids < GV_MAX_GRIDS; s++) {
		struct gv_grid *g = &t->grid[t->grids++];

		s = tiles_of(&g->rows, s);
		if (s && *s == 'x')
			s = tiles_of(&g->cols, s + 1);
		else
			s = NULL;
		if (s && !*s)
			return 0;
		if (!s || *s != ',')
			break;
	}
	return gv_fail(e, GV_ERR_USAGE,
	    "--grids '%.60s' is no list of at most %d RxC of 1 to %d", list,
	    GV_MAX_GRIDS, GV_MAX_TILES);
}

static int
tile(const struct gv_image_rule *rule, struct gv_tile_rule *t,
    const struct gv_rule_options *o, struct gv_error *e)
{
	if (o->longest && o->grids)
		return gv_fail(e, GV_ERR_USAGE,
		    "--longest and --grids are two ways to make tiles");
	if (o->longest && o->longest < rule->height)
		return gv_fail(e, GV_ERR_USAGE,
		    "--longest %lld is less than a tile",
		    (long long)o->longest);
	t->way = o->longest ? GV_TILE_SPLIT : GV_TILE_GRID;
	t->longest = (int32_t)o->longest;
	if (t->way == GV_TILE_SPLIT)
		return 0;
	return parse_grids(t, o->grids ? o->grids : "1x2,2x1,2x2,3x1,1x3", e);
}

int
gv_rule_of_options(struct gv_image_rule *rule, struct gv_tile_rule *tiles,
    const struct gv_rule_options *o, struct gv_error *e)
{
	bool tiled = o->fit == GV_FIT_WORD_TILE;

	memset(rule, 0, sizeof *rule);
	memset(tiles, 0, sizeof *tiles);
	if (parse_size(rule, o->size, e))
		return e->code;
	rule->fit = o->fit < 0 || tiled ? GV_FIT_SQUASH : (enum gv_fit)o->fit;
	rule->filter = o->filter < 0 ? GV_BICUBIC : (enum gv_filter)o->filter;
	if ((tiled || rule->fit != GV_FIT_SQUASH) &&
	    rule->height != rule->width)
		return gv_fail(e, GV_ERR_USAGE,
		    "--fit %s makes squares, not %dx%d",
		    tiled ? "tile" : gv_fit_name(rule->fit), rule->height,
		    rule->width);
	rule->edge = rule->fit == GV_FIT_SQUASH ? 0 : rule->height;
	if (!tiled && (o->grids || o->longest))
		return gv_fail(e, GV_ERR_USAGE, "%s is for --fit tile",
		    o->grids ? "--grids" : "--longest");
	if (tiled && tile(rule, tiles, o, e))
		return e->code;
	if (o->fill && rule->fit != GV_FIT_PAD)
		return gv_fail(e, GV_ERR_USAGE, "--fill is for --fit pad");
	if (rule->fit != GV_FIT_PAD)
		return 0;
	return gv_rule_colour(
	    rule->fill, "--fill", o->fill ? o->fill : "122,116,104", e);
}
