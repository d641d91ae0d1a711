/* gv-view: records to look at, as text or as a sheet of pictures. */
#include "cli.h"
#include "image.h"
#include "mem.h"
#include "preview.h"

#include <cairo.h>
#include <string.h>

static struct gv_opt_common common;
static int64_t sheet, columns, head = -1;
static const char *title;

static const struct gv_opt opts[] = {
    {"sheet", 0, GV_OPT_INT, &sheet, "N", "draw the first N records as a PNG",
	1, 1000, NULL},
    {"columns", 0, GV_OPT_INT, &columns, "N",
	"tiles side by side (what looks best)", 1, 100, NULL},
    {"title", 0, GV_OPT_STR, &title, "TEXT", "what the sheet's top says", 0, 0,
	NULL},
    {"head", 0, GV_OPT_INT, &head, "N", "print the first N records only", 0,
	9e15, NULL},
    {0},
};

static const struct gv_opt_prog prog = {
    "gv-view",
    "[--head N] [--sheet N [--title TEXT]] [-o FILE] [FILE ...]",
    "look at records, as text or as a sheet of pictures",
    GV_OPT_C_OUTPUT,
    opts,
};

/* ---- as a sheet -------------------------------------------------------- */

/* Sizes in pixels of the sheet. */
enum {
	MARGIN = 40,
	GAP = 28, /* between tiles */
	PICTURE = 192, /* a multiple of 16, 24, 32, 48, 64, 96 */
	LINE = 20, /* between baselines */
	TITLE = 26, /* font sizes */
	BODY = 14,
	SMALL = 12,
	MAX_LINES = 3, /* of a question */
	BADGE = 8 /* radius of the verdict */
};

struct tile {
	struct gv_image im; /* px NULL if the record has none */
	char question[512], answer[256], right[256];
	double reward;
	bool judged;
};

/* What the sheet says of all records, those without a tile included. */
struct total {
	uint64_t records, judged, right, wrong; /* reward 1, reward 0 */
	double reward;
};

static void
ink(cairo_t *c, unsigned rgb)
{
	cairo_set_source_rgb(
	    c, (rgb >> 16) / 255., (rgb >> 8 & 255) / 255., (rgb & 255) / 255.);
}

#define INK   0x1f2328u
#define QUIET 0x656d76u
#define RULE  0xd8dee4u
#define PAPER 0xf3f4f6u
#define GOOD  0x1a7f37u
#define BAD   0xcf222eu

static void
font(cairo_t *c, double px, bool bold)
{
	cairo_select_font_face(c, "DejaVu Sans", CAIRO_FONT_SLANT_NORMAL,
	    bold ? CAIRO_FONT_WEIGHT_BOLD : CAIRO_FONT_WEIGHT_NORMAL);
	cairo_set_font_size(c, px);
}

static double
width(cairo_t *c, const char *s)
{
	cairo_text_extents_t x;

	cairo_text_extents(c, s, &x);
	return x.x_advance;
}

/* Bytes of the longest prefix of s that fits, ending between characters. */
static size_t
fitting(cairo_t *c, const char *s, double room)
{
	char part[512];
	size_t n = strlen(s);

	for (;; n--) {
		while (n && ((unsigned char)s[n] & 0xc0) == 0x80)
			n--;
		snprintf(part, sizeof part, "%.*s", (int)n, s);
		if (!n || width(c, part) <= room)
			return n;
	}
}

/* Writes s at a baseline, cut with an ellipsis to fit. */
static void
line_of(cairo_t *c, double x, double y, const char *s, double room)
{
	char part[600];
	size_t n = strlen(s);

	if (width(c, s) > room)
		n = fitting(c, s, room - width(c, "\u2026"));
	snprintf(part, sizeof part, "%.*s%s", (int)n, s, s[n] ? "\u2026" : "");
	cairo_move_to(c, x, y);
	cairo_show_text(c, part);
}

/* Breaks s into lines at spaces and writes them, unless `dry`; returns how
 * many there are.  What is left goes on the last line and is cut. */
static int
paragraph(cairo_t *c, double x, double y, const char *s, double room, bool dry)
{
	int lines = 0;

	while (*s) {
		char part[512];
		size_t n = fitting(c, s, room), end = n;

		if (s[n] && ++lines < MAX_LINES) {
			while (end && s[end] != ' ')
				end--;
			n = end ? end : n ? n : 1;
			snprintf(part, sizeof part, "%.*s", (int)n, s);
		} else {
			snprintf(part, sizeof part, "%s", s);
			lines += !s[n];
			n = strlen(s);
		}
		if (!dry)
			line_of(c, x, y, part, room);
		y += LINE;
		for (s += n; *s == ' ';)
			s++;
	}
	return lines;
}

/* A tick or a cross on a disc. */
static void
badge(cairo_t *c, double x, double y, bool good)
{
	const double a = 3.2;

	ink(c, good ? GOOD : BAD);
	cairo_arc(c, x, y, BADGE, 0, 2 * 3.14159265358979323846);
	cairo_fill(c);
	ink(c, 0xffffff);
	cairo_set_line_width(c, 1.8);
	cairo_set_line_cap(c, CAIRO_LINE_CAP_ROUND);
	cairo_set_line_join(c, CAIRO_LINE_JOIN_ROUND);
	if (good) {
		cairo_move_to(c, x - 3.7, y + .3);
		cairo_line_to(c, x - 1.1, y + 2.9);
		cairo_line_to(c, x + 3.7, y - 2.5);
	} else {
		cairo_move_to(c, x - a, y - a);
		cairo_line_to(c, x + a, y + a);
		cairo_move_to(c, x - a, y + a);
		cairo_line_to(c, x + a, y - a);
	}
	cairo_stroke(c);
}

/* RGB bytes as a surface that cairo can paint; NULL without memory. */
static cairo_surface_t *
surface_of(const struct gv_image *im)
{
	cairo_surface_t *s = cairo_image_surface_create(
	    CAIRO_FORMAT_RGB24, im->width, im->height);
	uint8_t *to = cairo_image_surface_get_data(s);
	int stride = cairo_image_surface_get_stride(s), x, y;
	const uint8_t *p = im->px;

	if (cairo_surface_status(s)) {
		cairo_surface_destroy(s);
		return NULL;
	}
	for (y = 0; y < im->height; y++)
		for (x = 0; x < im->width; x++, p += 3) {
			uint32_t v = (uint32_t)(p[0] << 16 | p[1] << 8 | p[2]);

			memcpy(to + (ptrdiff_t)y * stride + 4 * x, &v, 4);
		}
	cairo_surface_mark_dirty(s);
	return s;
}

/* The picture in its square: small ones enlarged by a whole number, others
 * smoothly. */
static void
picture(cairo_t *c, double x, double y, const struct gv_image *im)
{
	cairo_surface_t *s = im->px ? surface_of(im) : NULL;
	double side, k, w, h;

	ink(c, PAPER);
	cairo_rectangle(c, x, y, PICTURE, PICTURE);
	cairo_fill(c);
	if (s) {
		side = im->width > im->height ? im->width : im->height;
		k = PICTURE / side;
		k = k >= 2 ? (int)k : k;
		w = k * im->width;
		h = k * im->height;
		cairo_save(c);
		cairo_translate(
		    c, x + (PICTURE - w) / 2, y + (PICTURE - h) / 2);
		cairo_rectangle(c, 0, 0, w, h);
		cairo_clip(c);
		cairo_scale(c, k, k);
		cairo_set_source_surface(c, s, 0, 0);
		cairo_pattern_set_filter(cairo_get_source(c),
		    k >= 2 ? CAIRO_FILTER_NEAREST : CAIRO_FILTER_GOOD);
		cairo_paint(c);
		cairo_restore(c);
		cairo_surface_destroy(s);
	} else {
		font(c, SMALL, false);
		ink(c, QUIET);
		cairo_move_to(c, x + (PICTURE - width(c, "no image")) / 2,
		    y + PICTURE / 2.);
		cairo_show_text(c, "no image");
	}
	ink(c, RULE);
	cairo_set_line_width(c, 1);
	cairo_rectangle(c, x - .5, y - .5, PICTURE + 1, PICTURE + 1);
	cairo_stroke(c);
}

/* A tile whose question takes at most `lines` lines. */
static void
draw_tile(cairo_t *c, double x, double y, const struct tile *t, int lines)
{
	double left = t->judged ? 2 * BADGE + 7 : 0;
	bool good = t->judged && t->reward >= .5;
	char right[300];

	picture(c, x, y, &t->im);
	y += PICTURE + LINE + 4;
	font(c, BODY, false);
	ink(c, INK);
	paragraph(c, x, y, t->question, PICTURE, false);
	y += lines * LINE + 4;
	if (t->judged)
		badge(c, x + BADGE, y - 5, good);
	font(c, BODY, true);
	ink(c, !t->judged ? INK : good ? GOOD : BAD);
	line_of(c, x + left, y, t->answer[0] ? t->answer : "\u2014",
	    PICTURE - left);
	if (t->judged && !good && t->right[0]) {
		snprintf(right, sizeof right, "right: %s", t->right);
		font(c, SMALL, false);
		ink(c, QUIET);
		line_of(c, x + left, y + LINE, right, PICTURE - left);
	}
}

/* Lines of the longest question in a row of tiles. */
static int
row_lines(cairo_t *c, const struct tile *t, size_t n)
{
	int most = 0, k;
	size_t i;

	font(c, BODY, false);
	for (i = 0; i < n; i++) {
		k = paragraph(c, 0, 0, t[i].question, PICTURE, true);
		most = k > most ? k : most;
	}
	return most;
}

static double
row_height(int lines)
{
	return PICTURE + 4 + (lines + 2) * LINE + 4 + GAP;
}

/* As many columns as make the sheet half again as wide as high, without a
 * nearly empty last row. */
static size_t
choose_columns(size_t n)
{
	size_t c, best = 1;
	double least = 1e9;

	for (c = 1; c <= n; c++) {
		size_t rows = (n + c - 1) / c;
		double w = (double)c * (PICTURE + GAP);
		double h = (double)rows * row_height(1);
		double cost = (w > 1.35 * h ? w / h / 1.35 : 1.35 * h / w) +
			      1.2 * (double)(rows * c - n) / (double)c;

		if (cost < least) {
			least = cost;
			best = c;
		}
	}
	return best;
}

static void
draw_head(cairo_t *c, const struct total *all, size_t n)
{
	char s[160];
	int k = snprintf(s, sizeof s, "%zu of %llu records", n,
	    (unsigned long long)all->records);

	if (n == all->records)
		k = snprintf(s, sizeof s, "%zu record%s", n, n == 1 ? "" : "s");
	if (all->judged && all->right + all->wrong == all->judged)
		snprintf(s + k, sizeof s - (size_t)k,
		    "  \u00b7  %llu right, %llu wrong",
		    (unsigned long long)all->right,
		    (unsigned long long)all->wrong);
	else if (all->judged)
		snprintf(s + k, sizeof s - (size_t)k,
		    "  \u00b7  mean reward %.3g",
		    all->reward / (double)all->judged);
	if (title) {
		char safe[256];

		gv_quote(safe, sizeof safe, title, strlen(title));
		font(c, TITLE, true);
		ink(c, INK);
		cairo_move_to(c, MARGIN, MARGIN + TITLE - 4);
		cairo_show_text(c, safe);
	}
	font(c, BODY, false);
	ink(c, QUIET);
	cairo_move_to(c, MARGIN, MARGIN + (title ? TITLE + 26 : 12));
	cairo_show_text(c, s);
}

/* Draws everything and returns the height that it takes. */
static double
draw_sheet(cairo_t *c, const struct tile *t, size_t n, size_t cols,
    const struct total *all)
{
	double y = MARGIN + (title ? TITLE + 26 : 12) + 24;
	size_t i, k;

	draw_head(c, all, n);
	for (i = 0; i < n; i += cols) {
		size_t here = n - i < cols ? n - i : cols;
		int lines = row_lines(c, t + i, here);

		for (k = 0; k < here; k++)
			draw_tile(c, MARGIN + (double)k * (PICTURE + GAP), y,
			    &t[i + k], lines);
		y += row_height(lines);
	}
	return y - GAP + MARGIN - 8;
}

/* The surface's pixels as RGB. */
static int
pixels(cairo_surface_t *s, struct gv_image *im, struct gv_error *e)
{
	int w = cairo_image_surface_get_width(s), x, y;
	int h = cairo_image_surface_get_height(s);
	int stride = cairo_image_surface_get_stride(s);
	const uint8_t *p;
	uint8_t *d;

	cairo_surface_flush(s);
	p = cairo_image_surface_get_data(s);
	d = gv_alloc((size_t)w * (size_t)h, 3);
	if (!d)
		return gv_fail(e, GV_ERR_NOMEM, "out of memory");
	*im = (struct gv_image){w, h, d};
	for (y = 0; y < h; y++)
		for (x = 0; x < w; x++, d += 3) {
			uint32_t v;

			memcpy(&v, p + (ptrdiff_t)y * stride + 4 * x, 4);
			d[0] = (uint8_t)(v >> 16);
			d[1] = (uint8_t)(v >> 8);
			d[2] = (uint8_t)v;
		}
	return 0;
}

/* Draws twice: onto one pixel for the height, then for good. */
static int
render(const struct tile *t, size_t n, const struct total *all,
    struct gv_image *im, struct gv_error *e)
{
	size_t cols = columns ? (size_t)columns : choose_columns(n);
	int w, h = 1, pass, r = 0;

	cols = cols > n ? n : cols;
	w = (int)(2 * MARGIN + cols * (PICTURE + GAP) - GAP);
	for (pass = 0; !r && pass < 2; pass++) {
		cairo_surface_t *s = cairo_image_surface_create(
		    CAIRO_FORMAT_RGB24, pass ? w : 1, h);
		cairo_t *c = cairo_create(s);

		ink(c, 0xffffff);
		cairo_paint(c);
		h = (int)draw_sheet(c, t, n, cols, all);
		if (cairo_status(c))
			r = gv_fail(e, GV_ERR_LIMIT, "cannot draw: %s",
			    cairo_status_to_string(cairo_status(c)));
		else if (pass)
			r = pixels(s, im, e);
		cairo_destroy(c);
		cairo_surface_destroy(s);
	}
	return r;
}

/* ---- both -------------------------------------------------------------- */

static int
fill_tile(struct tile *t, const struct gv_reader *r, const struct gv_rec *rec,
    struct gv_error *e)
{
	const struct gv_value *v = gv_preview_field(r, rec, "image");
	size_t bytes;

	if (v && (v->plain || v->t.dtype != GV_U8 || v->t.rank != 4 ||
		     v->t.shape[3] != 3))
		return gv_fail(e, GV_ERR_MATCH,
		    "'%s': field 'image' is not U8 (N,H,W,3)",
		    gv_reader_name(r));
	if (v && v->t.bytes && v->t.shape[1] <= 16384 &&
	    v->t.shape[2] <= 16384) {
		t->im.height = (int32_t)v->t.shape[1];
		t->im.width = (int32_t)v->t.shape[2];
		bytes = (size_t)(v->t.shape[1] * v->t.shape[2] * 3);
		t->im.px = gv_alloc(bytes, 1);
		if (!t->im.px)
			return gv_fail(e, GV_ERR_NOMEM, "out of memory");
		memcpy(t->im.px, v->t.data, bytes);
	}
	gv_preview_question(t->question, sizeof t->question, r, rec);
	gv_preview_text(
	    t->answer, sizeof t->answer, gv_preview_field(r, rec, "text"));
	gv_preview_text(
	    t->right, sizeof t->right, gv_preview_field(r, rec, "answers"));
	t->judged =
	    gv_preview_number(gv_preview_field(r, rec, "reward"), &t->reward);
	return 0;
}

/* Everything there is to see.  All input is read, so that a stream that is
 * cut is never shown as a whole one. */
struct view {
	struct gv_out *o;
	struct tile *tile;
	size_t tiles;
	struct total all;
};

static int
look(struct view *v, const char *path, struct gv_error *e)
{
	struct gv_reader *r;
	struct gv_rec rec;
	double reward;
	int got;

	if (gv_reader_open(&r, path, e))
		return e->code;
	while ((got = gv_reader_next(r, &rec, e)) > 0) {
		uint64_t n = v->all.records++;

		if (gv_preview_number(
			gv_preview_field(r, &rec, "reward"), &reward)) {
			v->all.reward += reward;
			v->all.judged++;
			v->all.right += reward == 1;
			v->all.wrong += reward == 0;
		}
		if (sheet && n < (uint64_t)sheet)
			got = fill_tile(&v->tile[v->tiles++], r, &rec, e);
		else if (!sheet && (head < 0 || n < (uint64_t)head))
			got = gv_preview_record(v->o, gv_reader_schema(r), &rec,
			    common.verbose > 0, e);
		if (got < 0)
			break;
	}
	gv_reader_close(&r);
	return got;
}

static int
write_sheet(const struct view *v, struct gv_error *e)
{
	struct gv_image im = {0};
	uint8_t *png = NULL;
	size_t n = 0;

	if (!v->tiles)
		return gv_fail(e, GV_ERR_MATCH, "there is no record to draw");
	if (!render(v->tile, v->tiles, &v->all, &im, e) &&
	    !gv_image_png(&im, &png, &n, e))
		(void)!gv_out_write(v->o, png, n, e);
	gv_image_free(&im);
	gv_free(png);
	return e->code;
}

int
main(int argc, char **argv)
{
	int n = cli_start(&prog, &common, argc, argv), i;
	struct gv_error e = {0};
	struct view v = {0};

	if (!sheet && (title || columns))
		cli_usage("--title and --columns are for --sheet");
	if (sheet && head >= 0)
		cli_usage("--head is for text; --sheet N draws N records");
	if (sheet && !(v.tile = gv_alloc((size_t)sheet, sizeof *v.tile)))
		gv_fail(&e, GV_ERR_NOMEM, "out of memory");
	if (e.code ||
	    gv_out_open(&v.o, common.output, sheet != 0, common.force, &e))
		cli_die(&e);
	for (i = 1; i <= (n ? n : 1); i++)
		if (look(&v, n ? argv[i] : NULL, &e))
			cli_die(&e);
	if ((sheet && write_sheet(&v, &e)) || gv_out_commit(&v.o, &e))
		cli_die(&e);
	for (i = 0; i < (int)v.tiles; i++)
		gv_image_free(&v.tile[i].im);
	gv_free(v.tile);
	return cli_finish();
}
