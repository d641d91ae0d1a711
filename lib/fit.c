/* How a picture comes into the shape that a model wants: squashed, cropped, or
 * padded to a square first. */
#include "resize.h"

#include "mem.h"
#include "banned.h"

#define MAX_SIDE   (1 << 24)
#define STRIP      16 /* rows that are laid on a square at a time */
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

struct gv_fitter {
	struct gv_resizer *r;
	int32_t h, w; /* of the picture */
	int32_t side, top, left; /* of the square it lies on, if padded */
	bool padded;
	uint8_t fill[3];
	uint8_t *strip; /* STRIP rows of the square, see colour() */
	size_t strip_cap;
};

static int
check(
    int32_t h, int32_t w, const struct gv_image_rule *rule, struct gv_error *e)
{
	if (rule->width < 1 || rule->height < 1 || w < 1 || h < 1)
		return gv_fail(e, GV_ERR_USAGE, "cannot resize %dx%d to %dx%d",
		    w, h, rule->width, rule->height);
	if (rule->width > MAX_SIDE || rule->height > MAX_SIDE || w > MAX_SIDE ||
	    h > MAX_SIDE)
		return gv_fail(e, GV_ERR_LIMIT,
		    "cannot resize %dx%d to %dx%d: a side is longer than %d", w,
		    h, rule->width, rule->height, MAX_SIDE);
	if (rule->fit == GV_FIT_SQUASH)
		return 0;
	if (rule->edge < rule->height || rule->edge < rule->width ||
	    rule->edge > MAX_SIDE)
		return gv_fail(e, GV_ERR_USAGE,
		    "cannot cut %dx%d out of a shorter side of %d pixels",
		    rule->width, rule->height, rule->edge);
	return 0;
}

/* The window of a crop out of h x w, which has been padded already. */
static int
crop(struct gv_fitter *f, int32_t h, int32_t w,
    const struct gv_image_rule *rule, enum gv_image_isa isa, struct gv_error *e)
{
	int32_t shorter = w < h ? w : h;
	struct gv_window y = middle(h, shorter, rule->edge, rule->height);
	struct gv_window x = middle(w, shorter, rule->edge, rule->width);

	if (y.total > MAX_SIDE || x.total > MAX_SIDE)
		return gv_fail(e, GV_ERR_LIMIT,
		    "%dx%d with a shorter side of %d pixels would be longer "
		    "than %d",
		    w, h, rule->edge, MAX_SIDE);
	return gv_resizer_open(&f->r, h, w, y, x, rule->filter, isa, e);
}

/* Makes the strip all of the square's colour. */
static void
colour(struct gv_fitter *f)
{
	size_t i, n = (size_t)f->side * STRIP;

	for (i = 0; i < n; i++)
		memcpy(f->strip + 3 * i, f->fill, sizeof f->fill);
}

/* n rows of the square's colour alone, which the strip has. */
static void
blank(struct gv_fitter *f, int32_t n)
{
	for (; n > 0; n -= STRIP)
		gv_resizer_rows(f->r, f->strip, n < STRIP ? n : STRIP);
}

/* The picture in the middle of a square of one colour. */
static int
pad(struct gv_fitter *f, const struct gv_image_rule *rule,
    enum gv_image_isa isa, struct gv_error *e)
{
	size_t n;

	f->side = f->w > f->h ? f->w : f->h;
	f->top = (f->side - f->h) / 2;
	f->left = (f->side - f->w) / 2;
	if ((int64_t)f->side * f->side > MAX_SQUARE)
		return gv_fail(e, GV_ERR_LIMIT,
		    "%dx%d padded to a square has more than %lld pixels", f->w,
		    f->h, (long long)MAX_SQUARE);
	n = (size_t)f->side * STRIP;
	if (n * 3 > f->strip_cap) {
		gv_free(f->strip);
		f->strip = gv_alloc(n, 3);
		f->strip_cap = f->strip ? n * 3 : 0;
	}
	if (!f->strip)
		return gv_fail(e, GV_ERR_NOMEM, "out of memory");
	memcpy(f->fill, rule->fill, sizeof f->fill);
	colour(f);
	if (crop(f, f->side, f->side, rule, isa, e))
		return e->code;
	blank(f, f->top);
	return 0;
}

int
gv_fitter_open(struct gv_fitter **fp, int32_t h, int32_t w,
    const struct gv_image_rule *rule, enum gv_image_isa isa, struct gv_error *e)
{
	struct gv_fitter *f = *fp;

	if (check(h, w, rule, e))
		return e->code;
	if (!f && !(f = *fp = gv_alloc(1, sizeof *f)))
		return gv_fail(e, GV_ERR_NOMEM, "out of memory");
	f->h = h;
	f->w = w;
	f->padded = rule->fit == GV_FIT_PAD && w != h;
	if (f->padded)
		return pad(f, rule, isa, e);
	if (rule->fit != GV_FIT_SQUASH)
		return crop(f, h, w, rule, isa, e);
	return gv_resizer_open(&f->r, h, w,
	    (struct gv_window){rule->height, 0, rule->height},
	    (struct gv_window){rule->width, 0, rule->width}, rule->filter, isa,
	    e);
}

void
gv_fitter_rows(struct gv_fitter *f, const uint8_t *rows, int32_t n)
{
	size_t stride = (size_t)f->w * 3, side = (size_t)f->side * 3;
	int32_t i, k;

	if (!f->padded)
		gv_resizer_rows(f->r, rows, n);
	/* onto the strip, beside whose middle the colour stays */
	for (; f->padded && n > 0; n -= k) {
		k = n < STRIP ? n : STRIP;
		for (i = 0; i < k; i++, rows += stride)
			memcpy(
			    f->strip + (size_t)i * side + (size_t)f->left * 3,
			    rows, stride);
		gv_resizer_rows(f->r, f->strip, k);
	}
}

void
gv_fitter_finish(struct gv_fitter *f, uint8_t *dst)
{
	if (f->padded) {
		colour(f);
		blank(f, f->side - f->top - f->h);
	}
	gv_resizer_finish(f->r, dst);
}

size_t
gv_fitter_bytes(const struct gv_fitter *f)
{
	return f->strip_cap + (f->r ? gv_resizer_bytes(f->r) : 0);
}

void
gv_fitter_close(struct gv_fitter **fp)
{
	struct gv_fitter *f = *fp;

	if (!f)
		return;
	gv_resizer_close(&f->r);
	gv_free(f->strip);
	gv_free(f);
	*fp = NULL;
}

int
gv_image_resize_isa(uint8_t *dst, const struct gv_image *im,
    const struct gv_image_rule *rule, enum gv_image_isa isa, struct gv_error *e)
{
	struct gv_fitter *f = NULL;
	int r = gv_fitter_open(&f, im->height, im->width, rule, isa, e);

	if (!r) {
		gv_fitter_rows(f, im->px, im->height);
		gv_fitter_finish(f, dst);
	}
	gv_fitter_close(&f);
	return r;
}

int
gv_image_resize(uint8_t *dst, const struct gv_image *im,
    const struct gv_image_rule *rule, struct gv_error *e)
{
	return gv_image_resize_isa(dst, im, rule, GV_IMAGE_BEST, e);
}
