/* How pictures become pixels, as options spell it: gv-decode(1). */
#ifndef GV_RULE_OPTIONS_H
#define GV_RULE_OPTIONS_H

#include "tile.h"

#ifdef __cplusplus
extern "C" {
#endif

/* --fit, with what gv_fit_name() has first. */
#define GV_FIT_WORDS    "squash|crop|pad|tile"
#define GV_FILTER_WORDS "bicubic|bilinear|lanczos|nearest|box|hamming"
enum { GV_FIT_WORD_TILE = 3 };

/* What was given; NULL, -1 or 0 for what wasn't. */
struct gv_rule_options {
	const char *size; /* "HxW", height first, or "N" */
	const char *fill; /* "R,G,B" */
	const char *grids; /* "RxC,RxC,...": rows and columns */
	int64_t longest; /* pixels */
	int fit, filter; /* of the words above */
};

/* The rule of options that have a size.  What pads is, if not given, the mean
 * colour of CLIP's pictures, as LLaVA rounds it; grids are LLaVA-NeXT's.
 * GV_ERR_USAGE if they make no sense. */
int gv_rule_of_options(struct gv_image_rule *rule, struct gv_tile_rule *tiles,
    const struct gv_rule_options *o, struct gv_error *e) GV_USE_RESULT;

/* "R,G,B", each 0 to 255, of this option. */
int gv_rule_colour(uint8_t to[3], const char *option, const char *s,
    struct gv_error *e) GV_USE_RESULT;

#ifdef __cplusplus
}
#endif
#endif
