/* JPEG through libjpeg, where every warning is an error unless asked for. */
#include "image_priv.h"

#include "mem.h"
#include "ycc.h"

#include <ctype.h>
#include <setjmp.h>
#include <stdio.h>

#include <jpeglib.h>
#include <jerror.h>

#include "banned.h" /* jerror.h has macros with banned names */

/* Rows of the components as they are stored, from libjpeg's "raw" interface:
 * of luma 16 v of them, of chroma 16, where v is 2 if chroma has half as many
 * rows.  Row y of component c is row[c][y % how many]: two rows of blocks, as
 * the first and last rows of one are made with chroma of its neighbours. */
struct planes {
	const struct gv_ycc *ycc; /* NULL: libjpeg makes pixels itself */
	int v;
	uint8_t *row[3][4 * DCTSIZE];
	uint8_t *wide[2]; /* a row of chroma at full width */
	uint16_t *sum; /* see gv_ycc */
	uint8_t *memory; /* of all that */
};

/* A decoder's life.  What must survive longjmp() is in here, not in locals
 * that a register may hold. */
struct job {
	struct jpeg_decompress_struct c;
	struct jpeg_error_mgr err;
	struct jpeg_source_mgr src;
	struct jpeg_progress_mgr progress;
	jmp_buf out;
	const struct gv_image_limits *l;
	struct gv_error *e;
	uint64_t deadline; /* as gv_image_deadline() has it */
	unsigned calls; /* of on_progress() */
	int orientation;
	struct gv_taker *to;
	uint8_t *cmyk; /* GV_STRIP rows of 4 samples a pixel */
	struct planes planes;
};

static _Noreturn void
leave(struct job *j)
{
	longjmp(j->out, 1);
}

/* libjpeg's own words, as the tail of a message of ours. */
static void
describe(struct job *j, int code, const char *what)
{
	char text[JMSG_LENGTH_MAX];

	j->err.format_message((j_common_ptr)&j->c, text);
	text[0] = (char)tolower((unsigned char)text[0]);
	gv_fail(j->e, code, "%s (%s)", what, text);
}

static void
on_error(j_common_ptr c)
{
	struct job *j = c->client_data;

	switch (c->err->msg_code) {
	case JERR_OUT_OF_MEMORY:
		gv_fail(j->e, GV_ERR_NOMEM, "out of memory");
		break;
	case JERR_NO_BACKING_STORE:
		gv_fail(j->e, GV_ERR_LIMIT,
		    "decoding takes more than %llu bytes of memory",
		    (unsigned long long)j->l->max_bytes);
		break;
	case JERR_BAD_PRECISION:
	case JERR_SOF_UNSUPPORTED:
	case JERR_CONVERSION_NOTIMPL:
	case JERR_NOT_COMPILED:
		describe(j, GV_ERR_NOSUP, "JPEG of a kind not supported");
		break;
	default:
		describe(j, GV_ERR_FORMAT, "damaged JPEG");
	}
	leave(j);
}

static void
on_message(j_common_ptr c, int level)
{
	struct job *j = c->client_data;

	if (level >= 0 || j->l->lenient)
		return;
	describe(j, GV_ERR_FORMAT, "damaged JPEG");
	leave(j);
}

/* A bomb is a small file of very many scans, each of which touches every
 * coefficient. */
static void
on_progress(j_common_ptr c)
{
	struct job *j = c->client_data;

	if (j->c.input_scan_number > (int)j->l->max_scans)
		gv_fail(
		    j->e, GV_ERR_LIMIT, "more than %u scans", j->l->max_scans);
	else if (++j->calls % 64 || !gv_image_late(j->deadline, j->l, j->e))
		return; /* the clock is a system call */
	leave(j);
}

static void
src_nothing(j_decompress_ptr c)
{
	(void)c;
}

/* The whole file was given at once, so asking for more is its early end. */
static boolean
src_fill(j_decompress_ptr c)
{
	static const JOCTET eoi[2] = {0xff, JPEG_EOI};
	struct job *j = c->client_data;

	if (!j->l->lenient) {
		gv_fail(j->e, GV_ERR_CUT, "the JPEG ends early");
		leave(j);
	}
	j->src.next_input_byte = eoi;
	j->src.bytes_in_buffer = sizeof eoi;
	return TRUE;
}

static void
src_skip(j_decompress_ptr c, long n)
{
	struct job *j = c->client_data;

	if (n <= 0)
		return;
	if ((size_t)n > j->src.bytes_in_buffer) {
		src_fill(c);
		return;
	}
	j->src.next_input_byte += n;
	j->src.bytes_in_buffer -= (size_t)n;
}

static void
start(struct job *j, const void *data, size_t n)
{
	j->c.err = jpeg_std_error(&j->err);
	j->err.error_exit = on_error;
	j->err.emit_message = on_message;
	j->c.client_data = j;
	jpeg_create_decompress(&j->c);
	j->c.mem->max_memory_to_use = (long)j->l->max_bytes;
	j->progress.progress_monitor = on_progress;
	j->c.progress = &j->progress;
	j->src.init_source = src_nothing;
	j->src.fill_input_buffer = src_fill;
	j->src.skip_input_data = src_skip;
	j->src.resync_to_restart = jpeg_resync_to_restart;
	j->src.term_source = src_nothing;
	j->src.next_input_byte = data;
	j->src.bytes_in_buffer = n;
	j->c.src = &j->src;
	jpeg_save_markers(&j->c, JPEG_APP0 + 1, 0xffff);
}

static int
exif(const struct job *j)
{
	const struct jpeg_marker_struct *m;

	for (m = j->c.marker_list; m; m = m->next)
		if (m->marker == JPEG_APP0 + 1 && m->data_length > 6 &&
		    !memcmp(m->data, "Exif\0", 6))
			return gv_exif_orientation(
			    m->data + 6, m->data_length - 6);
	return 1;
}

/* a * b / 255, rounded. */
static uint32_t
mul255(uint32_t a, uint32_t b)
{
	uint32_t v = a * b + 128;

	return (v + (v >> 8)) >> 8;
}

/* CMYK to RGB without colour management: each of cyan, magenta and yellow
 * takes its share of what black leaves.  All four are stored inverted, as
 * Adobe does, whether there is an Adobe marker or not. */
static void
cmyk_row(uint8_t *d, const uint8_t *s, size_t n)
{
	int c;

	for (; n--; s += 4, d += 3)
		for (c = 0; c < 3; c++)
			d[c] = (uint8_t)(s[3] - mul255(255u - s[c], s[3]));
}

static void
read_rows(struct job *j)
{
	bool cmyk = j->c.out_color_space == JCS_CMYK;
	JSAMPROW row[GV_STRIP];
	JDIMENSION got, i, n;
	size_t stride;
	int32_t room;

	while (j->c.output_scanline < j->c.output_height) {
		uint8_t *d = j->to->room(j->to, &room, &stride);

		n = j->c.output_height - j->c.output_scanline;
		n = n < (JDIMENSION)room ? n : (JDIMENSION)room;
		n = n < GV_STRIP ? n : GV_STRIP;
		for (i = 0; i < n; i++)
			row[i] =
			    cmyk ? j->cmyk + 4 * (size_t)i * j->c.output_width
				 : d + i * stride;
		for (got = 0; got < n;)
			got += jpeg_read_scanlines(&j->c, row + got, n - got);
		for (i = 0; cmyk && i < n; i++)
			cmyk_row(d + i * stride, row[i], j->c.output_width);
		j->to->take(j->to, (int32_t)n);
	}
}

/* Whether the picture is of the usual kind, whose chroma has half the columns,
 * half of both, or all.  Below three columns libjpeg doesn't interpolate. */
static bool
usual(const struct jpeg_decompress_struct *c)
{
	const jpeg_component_info *luma, *cb, *cr;

	if (c->jpeg_color_space != JCS_YCbCr || c->num_components != 3)
		return false;
	luma = c->comp_info;
	cb = luma + 1;
	cr = luma + 2;
	return cb->h_samp_factor == 1 && cb->v_samp_factor == 1 &&
	       cr->h_samp_factor == 1 && cr->v_samp_factor == 1 &&
	       luma->h_samp_factor <= 2 &&
	       luma->v_samp_factor <= luma->h_samp_factor &&
	       (luma->h_samp_factor == 1 || c->image_width > 4);
}

/* Memory for planes: what libjpeg writes, and what is made of a row. */
static int
open_planes(struct job *j)
{
	const jpeg_component_info *comp = j->c.comp_info;
	struct planes *p = &j->planes;
	size_t w[3], at = 0, all = 0;
	int rows[3], c, i;

	p->v = comp[0].v_samp_factor;
	for (c = 0; c < 3; c++) {
		rows[c] = 2 * DCTSIZE * comp[c].v_samp_factor;
		w[c] = (size_t)comp[c].width_in_blocks * DCTSIZE + GV_YCC_SLACK;
		all += (size_t)rows[c] * w[c];
	}
	p->memory = gv_alloc(all + 6 * w[1], 1);
	if (!p->memory)
		return gv_fail(j->e, GV_ERR_NOMEM, "out of memory");
	for (c = 0; c < 3; c++)
		for (i = 0; i < rows[c]; i++, at += w[c])
			p->row[c][i] = p->memory + at;
	p->sum = (uint16_t *)(void *)(p->memory + at);
	p->wide[0] = p->memory + at + 2 * w[1];
	p->wide[1] = p->wide[0] + 2 * w[1];
	p->ycc = gv_ycc(GV_IMAGE_BEST);
	return 0;
}

/* Component c for row y of the picture. */
static const uint8_t *
chroma(struct job *j, int c, JDIMENSION y)
{
	const jpeg_component_info *comp = &j->c.comp_info[c];
	const struct planes *p = &j->planes;
	JDIMENSION last = comp->downsampled_height - 1;
	JDIMENSION near = y / (JDIMENSION)p->v, far = near;
	size_t n = comp->downsampled_width;

	if (j->c.max_h_samp_factor == 1)
		return p->row[c][y % (2 * DCTSIZE)];
	if (y % 2 && near < last)
		far++;
	else if (y % 2 == 0 && near > 0)
		far--;
	p->ycc->sum(p->sum, p->row[c][near % (2 * DCTSIZE)],
	    p->v == 2 ? p->row[c][far % (2 * DCTSIZE)] : NULL, n);
	p->ycc->spread(p->wide[c - 1], p->sum, n, p->v == 2);
	return p->wide[c - 1];
}

/* Makes pixels of rows y .. end - 1 and hands them over. */
static void
give_rows(struct job *j, JDIMENSION y, JDIMENSION end)
{
	struct planes *p = &j->planes;
	JDIMENSION luma = 2 * DCTSIZE * (JDIMENSION)p->v, i, n;
	size_t stride;
	int32_t room;

	for (; y < end; y += n) {
		uint8_t *d = j->to->room(j->to, &room, &stride);

		n = end - y < (JDIMENSION)room ? end - y : (JDIMENSION)room;
		for (i = 0; i < n; i++, d += stride) {
			const uint8_t *cb = chroma(j, 1, y + i);
			const uint8_t *cr = chroma(j, 2, y + i);

			p->ycc->rgb(d, p->row[0][(y + i) % luma], cb, cr,
			    j->c.output_width);
		}
		j->to->take(j->to, (int32_t)n);
	}
}

/* The last row of a row of blocks waits for the chroma of the next one, where
 * there is one. */
static void
read_planes(struct job *j)
{
	struct planes *p = &j->planes;
	JDIMENSION lines = DCTSIZE * (JDIMENSION)p->v, y = 0, end;
	JSAMPARRAY half[3];
	int odd, c;

	for (odd = 0; y < j->c.output_height; odd ^= 1, y = end) {
		for (c = 0; c < 3; c++)
			half[c] = p->row[c] + odd * DCTSIZE * (c ? 1 : p->v);
		jpeg_read_raw_data(&j->c, half, lines);
		end = j->c.output_scanline - (p->v == 2);
		if (j->c.output_scanline >= j->c.output_height)
			end = j->c.output_height;
		give_rows(j, y, end);
	}
}

/* Before the first row: what rows shall be like. */
static int
choose_output(struct job *j)
{
	int32_t h = (int32_t)j->c.image_height, w = (int32_t)j->c.image_width;
	bool cmyk = j->c.num_components == 4;
	unsigned shrink = 1;

	j->orientation = exif(j);
	j->c.out_color_space = cmyk          ? JCS_CMYK
			       : j->to->wide ? JCS_EXT_RGBX
					     : JCS_RGB;
	if (j->to->shrink)
		shrink = (unsigned)j->to->shrink(j->to, h, w, j->orientation);
	j->c.scale_denom *= shrink;
	j->c.raw_data_out = j->to->wide && shrink == 1 && usual(&j->c);
	if (cmyk && !(j->cmyk = gv_alloc((size_t)w * GV_STRIP, 4)))
		return gv_fail(j->e, GV_ERR_NOMEM, "out of memory");
	return 0;
}

static int
decode(struct job *j, const void *data, size_t n)
{
	bool four;
	int r;

	if (setjmp(j->out))
		return j->e->code;
	start(j, data, n);
	jpeg_read_header(&j->c, TRUE);
	if (gv_image_check(j->c.image_width, j->c.image_height, j->l, j->e) ||
	    choose_output(j))
		return j->e->code;
	jpeg_start_decompress(&j->c);
	four = j->c.out_color_space == JCS_EXT_RGBX;
	r = j->to->begin(j->to, (int32_t)j->c.output_height,
	    (int32_t)j->c.output_width, four ? 4 : 3, j->orientation, j->e);
	if (r)
		return r;
	if (j->c.raw_data_out && open_planes(j))
		return j->e->code;
	if (j->c.raw_data_out)
		read_planes(j);
	else
		read_rows(j);
	jpeg_finish_decompress(&j->c);
	return 0;
}

int
gv_jpeg_decode(struct gv_taker *to, int *orientation, const void *data,
    size_t n, const struct gv_image_limits *l, struct gv_error *e)
{
	struct gv_error mine = {0};
	struct job j = {0};
	int r;

	j.l = l;
	j.e = &mine;
	j.to = to;
	j.deadline = gv_image_deadline(l);
	r = decode(&j, data, n);
	if (mine.code && !e->code)
		*e = mine;
	*orientation = j.orientation;
	gv_free(j.cmyk);
	gv_free(j.planes.memory);
	jpeg_destroy_decompress(&j.c);
	return r;
}
