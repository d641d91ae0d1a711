/* How a tower's images are divided: preprocessor_config.json. */
#include "config_priv.h"

#include "banned.h"

int
gv_config_split(struct gv_config *c, const struct gv_obj *s)
{
	struct gv_obj in = {gv_obj_get(s, "size"), "size.", s->e};
	int64_t longest = 4 * c->vision.image;
	bool on = true;

	if (in.o && !json_is_object(in.o))
		return gv_obj_bad(s, "size", "an object");
	if (gv_obj_bool(s, "do_image_splitting", &on) ||
	    gv_obj_int(&in, "longest_edge", 1, GV_MAX_SIDE, &longest))
		return s->e->code;
	if (on && longest >= c->vision.image) {
		c->tiles.way = GV_TILE_SPLIT;
		c->tiles.longest = (int32_t)longest;
	}
	return 0;
}

/* [height, width] in pixels, a multiple of a tile's. */
static bool
grid_of(struct gv_grid *g, const json_t *v, int64_t side)
{
	json_int_t h = json_integer_value(json_array_get(v, 0));
	json_int_t w = json_integer_value(json_array_get(v, 1));

	if (json_array_size(v) != 2 || h < side || w < side || h % side ||
	    w % side || h / side > GV_MAX_TILES || w / side > GV_MAX_TILES)
		return false;
	g->rows = (uint8_t)(h / side);
	g->cols = (uint8_t)(w / side);
	return true;
}

int
gv_config_grids(struct gv_config *c, const struct gv_obj *s)
{
	static const char key[] = "image_grid_pinpoints";
	const json_t *v = gv_obj_get(s, key);
	size_t n = json_array_size(v), i;

	if (!n || n > GV_MAX_GRIDS)
		return gv_obj_bad(s, key, "a list of at most 64 sizes");
	c->tiles.way = GV_TILE_GRID;
	c->tiles.grids = (int32_t)n;
	for (i = 0; i < n; i++)
		if (!grid_of(&c->tiles.grid[i], json_array_get(v, i),
			c->vision.image))
			return gv_obj_bad(s, key,
			    "a list of multiples of the encoder's size");
	return 0;
}
