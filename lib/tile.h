/* A picture as several squares of the size that a tower sees: a grid of tiles
 * out of it, enlarged or reduced to fit, and all of it once more, the overview.
 *
 *	grid	LLaVA-NeXT's way ("any resolution").  Of the rule's grids that
 *		one is taken in which most of the picture's own pixels survive,
 *		and among such the smallest; the picture is resized into it
 *		with its proportions, in the middle of black.  The overview,
 *		squashed, comes first.
 *	split	Idefics 3's and SmolVLM's way.  The longer side is resized to
 *		`longest`, and then both to multiples of the square's; what is
 *		one square then stays one.  The overview comes last.
 *
 * Pixels are those of transformers' LlavaNextImageProcessorPil,
 * Idefics3ImageProcessorPil and SmolVLMImageProcessorPil (5.23).
 */
#ifndef GV_TILE_H
#define GV_TILE_H

#include "image.h"

#ifdef __cplusplus
extern "C" {
#endif

#define GV_MAX_GRIDS 64
#define GV_MAX_TILES 64 /* rows or columns of a grid */

enum gv_tile_way { GV_TILE_NONE, GV_TILE_GRID, GV_TILE_SPLIT };

struct gv_grid {
	uint8_t rows, cols;
};

/* What goes on top of a rule that squashes. */
struct gv_tile_rule {
	enum gv_tile_way way;
	int32_t longest; /* split: pixels; else 0 */
	int32_t grids; /* grid: how many, 1 to GV_MAX_GRIDS; else 0 */
	struct gv_grid grid[GV_MAX_GRIDS]; /* in the order of preference */
};

/* "336x336 tile bicubic 1x2 2x1", "512x512 tile lanczos of 2048": the rule of
 * both, as recorded in a stream; of many grids the number and a checksum.
 * GV_RULE_TEXT bytes are enough.  Returns dst. */
char *gv_tile_rule_text(char *dst, size_t cap, const struct gv_image_rule *rule,
    const struct gv_tile_rule *tiles);

/* What becomes of a picture. */
struct gv_tiles {
	int32_t rows, cols; /* 0, 0: it isn't divided */
	int32_t n; /* squares: rows * cols + 1 */
	int32_t first[2]; /* height and width between; 0, 0: no such step */
	int32_t size[2]; /* height and width on the grid */
	int32_t at[2]; /* its row and column there */
};

/* The plan for a picture of this height and width, by a rule that squashes it
 * to a square.  GV_ERR_LIMIT if what it is resized to had more than
 * l->max_pixels, or more than GV_MAX_TILES tiles in a row or column. */
int gv_tiles_plan(struct gv_tiles *t, const struct gv_image_rule *rule,
    const struct gv_tile_rule *tiles, int32_t height, int32_t width,
    const struct gv_image_limits *l, struct gv_error *e) GV_USE_RESULT;

/* Makes its t->n squares, (n,height,width,3) of the rule. */
int gv_tiles_make(uint8_t *dst, const struct gv_tiles *t,
    const struct gv_image *im, const struct gv_image_rule *rule,
    enum gv_tile_way way, struct gv_error *e) GV_USE_RESULT;

#ifdef __cplusplus
}
#endif
#endif
