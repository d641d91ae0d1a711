/* How a picture comes into the shape that a model wants: squashed, cropped, or
 * padded to a square first. */
#include "image_priv.h"

#include "mem.h"
#include "resize.h"
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
	snprintf(dst, cap, "%dx%d %s%s %s%s%s", rule->height, rule->width,
	    gv_fit_name(rule->fit), fill, gv_filter_name(rule->filter), of,
	    rule->fast ? " fast" : "");
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
	int32_t h, w; /* of the result as it is stored */
	int32_t left, bottom; /* of the square's colour: pixels, rows */
	int32_t side; /* of the square, 0 if there is none */
	int32_t px_bytes;
	size_t stride; /* bytes from a row to the next */
	uint8_t fill[3];
	int orientation;
	uint8_t *dst;
	uint8_t *stored; /* the result before it is turned */
	size_t stored_cap;
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

/* The windows of a crop out of h x w, which has been padded already: so many
 * pixels as they have so far. */
static int
crop(struct gv_resize *what, const struct gv_image_rule *rule,
    struct gv_error *e)
{
	int32_t h = what->h, w = what->w, shorter = w < h ? w : h;

	what->y = middle(h, shorter, rule->edge, what->y.n);
	what->x = middle(w, shorter, rule->edge, what->x.n);
	if (what->y.total > MAX_SIDE || what->x.total > MAX_SIDE)
		return gv_fail(e, GV_ERR_LIMIT,
		    "%dx%d with a shorter side of %d pixels would be longer "
		    "than %d",
		    w, h, rule->edge, MAX_SIDE);
	return 0;
}

/* Colours all rows that there is room for. */
static int32_t
colour(struct gv_fitter *f)
{
	int32_t n, i;
	uint8_t *d = gv_resizer_room(f->r, &n);

	for (i = 0; i < n * f->side; i++, d += f->px_bytes)
		memcpy(d, f->fill, sizeof f->fill);
	return n;
}

/* n rows of the square's colour alone. */
static void
blank(struct gv_fitter *f, int32_t n)
{
	int32_t k;

	for (; n > 0; n -= k) {
		k = colour(f);
		k = n < k ? n : k;
		gv_resizer_take(f->r, k);
	}
}

/* Lays the picture on a square, upright in its middle. */
static int
pad(struct gv_fitter *f, struct gv_resize *what, struct gv_error *e)
{
	int32_t h = what->h, w = what->w, side = w > h ? w : h;
	int32_t top = (side - h) / 2, left = (side - w) / 2;

	if ((int64_t)side * side > MAX_SQUARE)
		return gv_fail(e, GV_ERR_LIMIT,
		    "%dx%d padded to a square has more than %lld pixels", w, h,
		    (long long)MAX_SQUARE);
	f->side = what->h = what->w = side;
	f->left = what->flip_x ? side - w - left : left;
	f->bottom = what->flip_y ? top : side - h - top;
	return 0;
}

/* Windows and directions are upright until here. */
static void
turn(struct gv_resize *what, int orientation)
{
	int how = gv_orientation_how(orientation);
	struct gv_window y = what->y;

	what->flip_y = how & (how & 4 ? 1 : 2);
	what->flip_x = how & (how & 4 ? 2 : 1);
	what->rows_first = how & 4;
	if (how & 4) {
		what->y = what->x;
		what->x = y;
	}
}

/* What the resizer does with a picture as it is stored. */
static int
plan(struct gv_fitter *f, struct gv_resize *what, int orientation,
    const struct gv_image_rule *rule, struct gv_error *e)
{
	what->y = (struct gv_window){rule->height, 0, rule->height};
	what->x = (struct gv_window){rule->width, 0, rule->width};
	what->filter = rule->filter;
	turn(what, orientation);
	f->side = f->left = f->bottom = 0;
	if (check(what->h, what->w, rule, e))
		return e->code;
	if (rule->fit == GV_FIT_PAD && what->w != what->h && pad(f, what, e))
		return e->code;
	return rule->fit == GV_FIT_SQUASH ? 0 : crop(what, rule, e);
}

int
gv_fitter_shrink(
    int32_t h, int32_t w, int orientation, const struct gv_image_rule *rule)
{
	struct gv_resize what = {.h = h, .w = w};
	struct gv_error e = {0};
	struct gv_fitter f;
	int s = 8;

	if (!rule->fast || plan(&f, &what, orientation, rule, &e))
		return 1;
	while (s > 1 && (what.h / s < 2 * (int64_t)what.y.total ||
			    what.w / s < 2 * (int64_t)what.x.total))
		s /= 2;
	return s;
}

/* Where the resizer writes: the result, or what is turned into it. */
static uint8_t *
target(struct gv_fitter *f, struct gv_error *e)
{
	size_t n = (size_t)f->h * (size_t)f->w * 3;

	if (f->orientation == 1)
		return f->dst;
	if (n > f->stored_cap) {
		gv_free(f->stored);
		f->stored = gv_alloc(n, 1);
		f->stored_cap = f->stored ? n : 0;
	}
	if (!f->stored)
		gv_fail(e, GV_ERR_NOMEM, "out of memory");
	return f->stored;
}

int
gv_fitter_open(struct gv_fitter **fp, int32_t h, int32_t w, int32_t px_bytes,
    int orientation, const struct gv_image_rule *rule, enum gv_image_isa isa,
    uint8_t *dst, struct gv_error *e)
{
	struct gv_resize what = {
	    .h = h, .w = w, .px_bytes = px_bytes, .isa = isa};
	struct gv_fitter *f = *fp;
	uint8_t *to;

	if (!f && !(f = *fp = gv_alloc(1, sizeof *f)))
		return gv_fail(e, GV_ERR_NOMEM, "out of memory");
	f->px_bytes = px_bytes;
	f->orientation = orientation;
	f->dst = dst;
	memcpy(f->fill, rule->fill, sizeof f->fill);
	if (plan(f, &what, orientation, rule, e))
		return e->code;
	f->stride = (size_t)what.w * (size_t)px_bytes;
	f->h = what.y.n;
	f->w = what.x.n;
	if (!(to = target(f, e)) || gv_resizer_open(&f->r, &what, to, e))
		return e->code;
	if (f->side)
		(void)colour(f); /* for the picture's rows, beside them */
	blank(f, f->side ? f->side - h - f->bottom : 0);
	return 0;
}

uint8_t *
gv_fitter_room(struct gv_fitter *f, int32_t *n, size_t *stride)
{
	*stride = f->stride;
	return gv_resizer_room(f->r, n) + (size_t)f->left * (size_t)f->px_bytes;
}

void
gv_fitter_take(struct gv_fitter *f, int32_t n)
{
	gv_resizer_take(f->r, n);
}

void
gv_fitter_end(struct gv_fitter *f)
{
	blank(f, f->bottom);
	if (f->orientation != 1)
		gv_image_turn(f->dst, f->stored, f->h, f->w, f->orientation);
}

void
gv_fitter_close(struct gv_fitter **fp)
{
	struct gv_fitter *f = *fp;

	if (!f)
		return;
	gv_resizer_close(&f->r);
	gv_free(f->stored);
	gv_free(f);
	*fp = NULL;
}

void
gv_fitter_whole(struct gv_fitter *f, const struct gv_image *im)
{
	size_t bytes = (size_t)im->width * 3, stride;
	const uint8_t *row = im->px;
	int32_t y, n, i;

	for (y = 0; y < im->height; y += n) {
		uint8_t *d = gv_fitter_room(f, &n, &stride);

		n = n < im->height - y ? n : im->height - y;
		for (i = 0; i < n; i++, row += bytes)
			memcpy(d + (size_t)i * stride, row, bytes);
		gv_fitter_take(f, n);
	}
	gv_fitter_end(f);
}

int
gv_image_resize_isa(uint8_t *dst, const struct gv_image *im,
    const struct gv_image_rule *rule, enum gv_image_isa isa, struct gv_error *e)
{
	struct gv_fitter *f = NULL;
	int r =
	    gv_fitter_open(&f, im->height, im->width, 3, 1, rule, isa, dst, e);

	if (!r)
		gv_fitter_whole(f, im);
	gv_fitter_close(&f);
	return r;
}

int
gv_image_resize(uint8_t *dst, const struct gv_image *im,
    const struct gv_image_rule *rule, struct gv_error *e)
{
	return gv_image_resize_isa(dst, im, rule, GV_IMAGE_BEST, e);
}
