/* PNG through libpng's row-by-row interface, pixels and nothing else. */
#include "image_priv.h"

#include "mem.h"
#include "banned.h"

#include <setjmp.h>

#include <png.h>

#define MAX_CHUNK ((png_alloc_size_t)1 << 20) /* bytes kept of a chunk */

/* A reader's or writer's life; see longjmp() in image_jpeg.c. */
struct job {
	png_struct *png;
	png_info *info;
	jmp_buf out;
	struct gv_error *e;
	const uint8_t *data; /* reading: what is left of the file */
	size_t n;
	size_t may; /* bytes that libpng may still ask for */
	int orientation;
	const struct gv_image_limits *l;
	uint64_t deadline; /* as gv_image_deadline() has it */
	uint8_t key[3]; /* see enum kind */
	struct gv_taker *to;
	uint8_t *wide; /* a row, or all if interlaced, that is not RGB yet */
	png_bytep *row; /* of an interlaced picture */
	uint8_t *buf; /* writing: the file so far */
	size_t fill, cap;
};

static _Noreturn void
leave(struct job *j)
{
	longjmp(j->out, 1);
}

static _Noreturn void
on_error(png_structp png, png_const_charp msg)
{
	struct job *j = png_get_error_ptr(png);

	gv_fail(j->e, GV_ERR_FORMAT, "damaged PNG (%s)", msg);
	leave(j);
}

/* What libpng only warns about concerns chunks that we don't use. */
static void
on_warning(png_structp png, png_const_charp msg)
{
	(void)png;
	(void)msg;
}

static void
on_read(png_structp png, png_bytep dst, size_t n)
{
	struct job *j = png_get_io_ptr(png);

	if (n > j->n) {
		gv_fail(j->e, GV_ERR_CUT, "the PNG ends early");
		leave(j);
	}
	if (n > j->may) {
		gv_fail(j->e, GV_ERR_FORMAT,
		    "damaged PNG (far more image data than its rows)");
		leave(j);
	}
	memcpy(dst, j->data, n);
	j->data += n;
	j->n -= n;
	j->may -= n;
}

static int
on_chunk(png_structp png, png_unknown_chunkp c)
{
	struct job *j = png_get_user_chunk_ptr(png);

	if (!memcmp(c->name, "eXIf", 4))
		j->orientation = gv_exif_orientation(c->data, c->size);
	return 1;
}

/* Chunks that don't change the pixels that convert("RGB") gives, and those
 * whose parsers have been libpng's weak spot, are skipped by their length. */
static void
choose_chunks(struct job *j)
{
	static const png_byte exif[] = "eXIf", trns[] = "tRNS";

	png_set_user_limits(j->png, PNG_UINT_31_MAX, PNG_UINT_31_MAX);
	png_set_chunk_malloc_max(j->png, MAX_CHUNK);
	png_set_chunk_cache_max(j->png, 1); /* none; 0 would be any number */
	png_set_keep_unknown_chunks(j->png, PNG_HANDLE_CHUNK_NEVER, NULL, -1);
	png_set_keep_unknown_chunks(j->png,
	    j->l->over ? PNG_HANDLE_CHUNK_AS_DEFAULT : PNG_HANDLE_CHUNK_NEVER,
	    trns, 1);
	png_set_keep_unknown_chunks(j->png, PNG_HANDLE_CHUNK_ALWAYS, exif, 1);
	png_set_read_user_chunk_fn(j->png, j, on_chunk);
}

/* What rows are when libpng hands them over. */
enum kind {
	RGB,
	GREY16, /* big-endian, opaque whatever tRNS says, as in Pillow */
	RGBA,
	KEYED /* RGB where one colour, job.key, is transparent */
};

static const size_t bytes_of[] = {/* a pixel */
    [RGB] = 3,
    [GREY16] = 2,
    [RGBA] = 4,
    [KEYED] = 3};

/* The colour that tRNS makes transparent, as Pillow understands it: the low
 * bytes of its samples, whatever the depth, are compared with 8-bit pixels. */
static bool
find_key(struct job *j, int type, int depth)
{
	png_color_16p c;
	png_bytep alpha;
	int n;

	if (!png_get_tRNS(j->png, j->info, &alpha, &n, &c))
		return false;
	j->key[0] = (uint8_t)c->red;
	j->key[1] = (uint8_t)c->green;
	j->key[2] = (uint8_t)c->blue;
	if (type == PNG_COLOR_TYPE_GRAY && depth == 1)
		memset(j->key, c->gray ? 255 : 0, 3);
	else if (type == PNG_COLOR_TYPE_GRAY)
		memset(j->key, c->gray & 255, 3);
	return true;
}

static enum kind
choose_transforms(struct job *j)
{
	int depth = png_get_bit_depth(j->png, j->info);
	int type = png_get_color_type(j->png, j->info);

	bool alpha = type & PNG_COLOR_MASK_ALPHA;
	enum kind kind = RGB;

	if (type == PNG_COLOR_TYPE_GRAY && depth == 16)
		return GREY16;
	if (type == PNG_COLOR_TYPE_PALETTE) {
		png_set_palette_to_rgb(j->png); /* with the alpha of tRNS */
		alpha = png_get_valid(j->png, j->info, PNG_INFO_tRNS);
	} else if (!alpha && j->l->over && find_key(j, type, depth)) {
		kind = KEYED;
	}
	if (alpha && j->l->over)
		kind = RGBA;
	else if (alpha)
		png_set_strip_alpha(j->png);
	if (depth < 8 && type == PNG_COLOR_TYPE_GRAY)
		png_set_expand_gray_1_2_4_to_8(j->png);
	if (depth == 16)
		png_set_strip_16(j->png);
	if (!(type & PNG_COLOR_MASK_COLOR))
		png_set_gray_to_rgb(j->png);
	return kind;
}

/* RGBA over an opaque colour: Pillow's Image.alpha_composite(), whose quotients
 * by 255 are those of v + 128 in fixed point with 7 more bits. */
static void
over_row(uint8_t *d, const uint8_t *s, size_t n, const uint8_t under[3])
{
	for (; n--; s += 4, d += 3) {
		uint32_t a = s[3];
		int c;

		for (c = 0; c < 3; c++) {
			uint32_t v = (s[c] * a + under[c] * (255 - a)) << 7;

			v += 128u << 7;
			d[c] = (uint8_t)(((v >> 8) + v) >> 15);
		}
	}
}

/* One colour of a row by another. */
static void
key_row(uint8_t *px, size_t n, const uint8_t key[3], const uint8_t under[3])
{
	for (; n--; px += 3)
		if (!memcmp(px, key, 3))
			memcpy(px, under, 3);
}

/* 16-bit grey as 8-bit RGB: Pillow clips at 255 instead of dropping the low
 * byte, so all but the darkest 1/256 is white. */
static void
clip_row(uint8_t *d, const uint8_t *s, size_t n)
{
	for (; n--; s += 2, d += 3)
		d[0] = d[1] = d[2] = s[0] ? 255 : s[1];
}

/* An interlaced picture comes in passes over all its rows. */
static void
read_interlaced(struct job *j, size_t stride, size_t h)
{
	size_t i;

	j->wide = gv_alloc(stride, h);
	j->row = gv_alloc(h, sizeof *j->row);
	if (!j->wide || !j->row) {
		gv_fail(j->e, GV_ERR_NOMEM, "out of memory");
		leave(j);
	}
	for (i = 0; i < h; i++)
		j->row[i] = j->wide + i * stride;
	png_read_image(j->png, j->row);
}

/* A row as libpng gives it, at s, becomes RGB at d. */
static void
convert(
    const struct job *j, uint8_t *d, const uint8_t *s, size_t w, enum kind kind)
{
	if (kind == GREY16)
		clip_row(d, s, w);
	else if (kind == RGBA)
		over_row(d, s, w, j->l->under);
	else if (d != s)
		memcpy(d, s, w * 3);
	if (kind == KEYED)
		key_row(d, w, j->key, j->l->under);
}

/* With its last row libpng inflates all that follows the rows, too, of which a
 * small file may hold gigabytes.  Of the `raw` bytes that are still to come,
 * deflate can't make more than these, but for what a careless writer adds. */
static void
ration(struct job *j, size_t raw)
{
	j->may = raw + raw / 64 + (1 << 16);
}

static void
read_pixels(struct job *j, size_t w, size_t h, enum kind kind)
{
	bool whole =
	    png_get_interlace_type(j->png, j->info) != PNG_INTERLACE_NONE;
	size_t stride = w * bytes_of[kind], y, i, n, step;
	bool apart = bytes_of[kind] != 3;
	int32_t room;

	/* rows of up to eight bytes a pixel, in seven passes if interlaced */
	if (whole) {
		ration(j, (w * 8 + 7) * h);
		read_interlaced(j, stride, h);
	} else if (apart && !(j->wide = gv_alloc(stride, 1))) {
		gv_fail(j->e, GV_ERR_NOMEM, "out of memory");
		leave(j);
	}
	for (y = 0; y < h; y += n) {
		uint8_t *d = j->to->room(j->to, &room, &step);

		n = h - y < GV_STRIP ? h - y : GV_STRIP;
		n = n < (size_t)room ? n : (size_t)room;
		if (gv_image_late(j->deadline, j->l, j->e))
			leave(j);
		for (i = 0; i < n; i++, d += step) {
			uint8_t *s = whole   ? j->row[y + i]
				     : apart ? j->wide
					     : d;

			if (y + i + 1 == h && !whole)
				ration(j, w * 8 + 1);
			if (!whole)
				png_read_row(j->png, s, NULL);
			convert(j, d, s, w, kind);
		}
		j->to->take(j->to, (int32_t)n);
	}
	j->may = SIZE_MAX;
}

static int
decode(struct job *j)
{
	uint32_t w, h;
	enum kind kind;
	int r;

	if (setjmp(j->out))
		return j->e->code;
	j->png = png_create_read_struct(
	    PNG_LIBPNG_VER_STRING, j, on_error, on_warning);
	if (!j->png || !(j->info = png_create_info_struct(j->png)))
		return gv_fail(j->e, GV_ERR_NOMEM, "out of memory");
	png_set_read_fn(j->png, j, on_read);
	png_set_crc_action(j->png, PNG_CRC_ERROR_QUIT,
	    j->l->lenient ? PNG_CRC_QUIET_USE : PNG_CRC_ERROR_QUIT);
	choose_chunks(j);
	png_read_info(j->png, j->info);
	w = png_get_image_width(j->png, j->info);
	h = png_get_image_height(j->png, j->info);
	if (gv_image_check(w, h, j->l, j->e))
		return j->e->code;
	kind = choose_transforms(j);
	png_set_interlace_handling(j->png);
	png_read_update_info(j->png, j->info);
	if (png_get_rowbytes(j->png, j->info) != (size_t)w * bytes_of[kind])
		return gv_fail(j->e, GV_ERR_NOSUP, "PNG of a kind not known");
	r = j->to->begin(
	    j->to, (int32_t)h, (int32_t)w, 3, j->orientation, j->e);
	if (r)
		return r;
	read_pixels(j, w, h, kind);
	png_read_end(j->png, j->info);
	return 0;
}

int
gv_png_decode(struct gv_taker *to, int *orientation, const void *data, size_t n,
    const struct gv_image_limits *l, struct gv_error *e)
{
	struct gv_error mine = {0};
	struct job j = {0};
	int r;

	j.e = &mine;
	j.data = data;
	j.n = n;
	j.may = SIZE_MAX;
	j.orientation = 1;
	j.l = l;
	j.to = to;
	j.deadline = gv_image_deadline(l);
	r = decode(&j);
	if (mine.code && !e->code)
		*e = mine;
	*orientation = j.orientation;
	gv_free(j.wide);
	gv_free(j.row);
	png_destroy_read_struct(&j.png, &j.info, NULL);
	return r;
}

/* ---- writing ---------------------------------------------------------- */

static void
on_write(png_structp png, png_bytep src, size_t n)
{
	struct job *j = png_get_io_ptr(png);
	void *p = j->buf;

	if (gv_grow(&p, &j->cap, j->fill + n, 1)) {
		gv_fail(j->e, GV_ERR_NOMEM, "out of memory");
		leave(j);
	}
	j->buf = p;
	memcpy(j->buf + j->fill, src, n);
	j->fill += n;
}

static void
on_flush(png_structp png)
{
	(void)png;
}

static int
encode(struct job *j, const struct gv_image *im)
{
	size_t stride = (size_t)im->width * 3;
	int32_t y;

	if (setjmp(j->out))
		return j->e->code;
	j->png = png_create_write_struct(
	    PNG_LIBPNG_VER_STRING, j, on_error, on_warning);
	if (!j->png || !(j->info = png_create_info_struct(j->png)))
		return gv_fail(j->e, GV_ERR_NOMEM, "out of memory");
	png_set_write_fn(j->png, j, on_write, on_flush);
	png_set_IHDR(j->png, j->info, (png_uint_32)im->width,
	    (png_uint_32)im->height, 8, PNG_COLOR_TYPE_RGB, PNG_INTERLACE_NONE,
	    PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
	png_write_info(j->png, j->info);
	for (y = 0; y < im->height; y++)
		png_write_row(j->png, im->px + (size_t)y * stride);
	png_write_end(j->png, NULL);
	return 0;
}

int
gv_image_png(
    const struct gv_image *im, uint8_t **out, size_t *n, struct gv_error *e)
{
	struct gv_error mine = {0};
	struct job j = {0};
	int r;

	if (im->width < 1 || im->height < 1)
		return gv_fail(e, GV_ERR_USAGE, "an image without pixels");
	j.e = &mine;
	r = encode(&j, im);
	png_destroy_write_struct(&j.png, &j.info);
	if (r) {
		gv_free(j.buf);
		if (!e->code)
			*e = mine;
		return r;
	}
	*out = j.buf;
	*n = j.fill;
	return 0;
}
