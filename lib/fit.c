/* How a picture comes into the shape that a model wants: squashed, cropped, or
 * padded to a square first. */
#include "resize.h"

#include "mem.h"
#include "banned.h"

#define MAX_SIDE   (1 << 24)
#define MAX_SQUARE ((int64_t)64 << 20) /* pixels of a padded picture */

const char *
gv_fit_name(enum gv_fit fit)
{
	static const char *const name[] = {"squash", "crop", "pad"};

	return name[fit];
}

const char *
gv_filter_name(enum gv_filter filter)
{
	static const char *const name[] = {
	    "bicubic", "bilinear", "lanczos", "nearest", "box", "hamming"};

	return name[filter];
}

char *
gv_image_rule_text(char *dst, size_t cap, const struct gv_image_rule *rule)
{
	const uint8_t *f = rule->fill;
	char fill[16] = "", of[16] = "";

	if (rule->fit == GV_FIT_PAD)
		snprintf(fill, sizeof fill, " %d %d %d", f[0], f[1], f[2]);
	if (rule->fit != GV_FIT_SQUASH &&
	    (rule->edge != rule->height || rule->edge != rule->width))
		snprintf(of, sizeof of, " of %d", rule->edge);
	snprintf(dst, cap, "%dx%d %s%s %s%s", rule->height, rule->width,
	    gv_fit_name(rule->fit), fill, gv_filter_name(rule->filter), of);
	return dst;
}

/* The middle of an axis whose `in` pixels are resized as `edge` stands to the
 * shorter side: in real numbers and cut off, as the reference does. */
static struct gv_window
middle(int32_t in, int32_t shorter, int32_t edge, int32_t n)
{
	double total = (double)((int64_t)edge * in) / shorter;
	struct gv_window w = {edge, 0, n};

	if (in != shorter)
		w.total = total > MAX_SIDE ? MAX_SIDE + 1 : (int32_t)total;
	w.first = (w.total - n) / 2;
	return w;
}

static int
crop(uint8_t *dst, const struct gv_image *im, const struct gv_image_rule *rule,
    enum gv_image_isa isa, struct gv_error *e)
{
	int32_t shorter = im->width < im->height ? im->width : im->height;
	struct gv_window y =
	    middle(im->height, shorter, rule->edge, rule->height);
	struct gv_window x =
	    middle(im->width, shorter, rule->edge, rule->width);

	if (y.total > MAX_SIDE || x.total > MAX_SIDE)
		return gv_fail(e, GV_ERR_LIMIT,
		    "%dx%d with a shorter side of %d pixels would be longer "
		    "than %d",
		    im->width, im->height, rule->edge, MAX_SIDE);
	return gv_resize_window(dst, im, y, x, rule->filter, isa, e);
}

/* The picture in the middle of a square of one colour. */
static int
pad(uint8_t *dst, const struct gv_image *im, const struct gv_image_rule *rule,
    enum gv_image_isa isa, struct gv_error *e)
{
	size_t w = (size_t)im->width, h = (size_t)im->height, i;
	size_t side = w > h ? w : h, from = side * ((side - h) / 2);
	struct gv_image square = {(int32_t)side, (int32_t)side, NULL};
	int r;

	if (w == h)
		return crop(dst, im, rule, isa, e);
	if ((int64_t)(side * side) > MAX_SQUARE)
		return gv_fail(e, GV_ERR_LIMIT,
		    "%dx%d padded to a square has more than %lld pixels",
		    im->width, im->height, (long long)MAX_SQUARE);
	square.px = gv_alloc(side * side, 3);
	if (!square.px)
		return gv_fail(e, GV_ERR_NOMEM, "out of memory");
	for (i = 0; i < side * side; i++)
		memcpy(square.px + 3 * i, rule->fill, 3);
	from += (side - w) / 2;
	for (i = 0; i < h; i++)
		memcpy(square.px + 3 * (from + i * side), im->px + 3 * i * w,
		    3 * w);
	r = crop(dst, &square, rule, isa, e);
	gv_free(square.px);
	return r;
}

static int
check(const struct gv_image *im, const struct gv_image_rule *rule,
    struct gv_error *e)
{
	if (rule->width < 1 || rule->height < 1 || im->width < 1 ||
	    im->height < 1)
		return gv_fail(e, GV_ERR_USAGE, "cannot resize %dx%d to %dx%d",
		    im->width, im->height, rule->width, rule->height);
	if (rule->width > MAX_SIDE || rule->height > MAX_SIDE ||
	    im->width > MAX_SIDE || im->height > MAX_SIDE)
		return gv_fail(e, GV_ERR_LIMIT,
		    "cannot resize %dx%d to %dx%d: a side is longer than %d",
		    im->width, im->height, rule->width, rule->height, MAX_SIDE);
	if (rule->fit == GV_FIT_SQUASH)
		return 0;
	if (rule->edge < rule->height || rule->edge < rule->width ||
	    rule->edge > MAX_SIDE)
		return gv_fail(e, GV_ERR_USAGE,
		    "cannot cut %dx%d out of a shorter side of %d pixels",
		    rule->width, rule->height, rule->edge);
	return 0;
}

int
gv_image_resize_isa(uint8_t *dst, const struct gv_image *im,
    const struct gv_image_rule *rule, enum gv_image_isa isa, struct gv_error *e)
{
	if (check(im, rule, e))
		return e->code;
	if (rule->fit == GV_FIT_CROP)
		return crop(dst, im, rule, isa, e);
	if (rule->fit == GV_FIT_PAD)
		return pad(dst, im, rule, isa, e);
	return gv_resize_window(dst, im,
	    (struct gv_window){rule->height, 0, rule->height},
	    (struct gv_window){rule->width, 0, rule->width}, rule->filter, isa,
	    e);
}

int
gv_image_resize(uint8_t *dst, const struct gv_image *im,
    const struct gv_image_rule *rule, struct gv_error *e)
{
	return gv_image_resize_isa(dst, im, rule, GV_IMAGE_BEST, e);
}
