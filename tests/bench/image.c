/* Pictures a second and core: decoding, and resizing with each version.
 *
 *	image [SIZE [FILE ...]]
 *
 * Without files: noise of 640x480, resized only.  With files: CPU time from
 * file bytes to pixels of that size, and, of JPEGs, the same beside libjpeg
 * alone, which decodes into rows that stay in cache, by turns.
 */
#include "image.h"
#include "mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <jpeglib.h>

static double
seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void
die(const struct gv_error *e)
{
	fprintf(stderr, "bench/image: %s\n", e->msg);
	exit(1);
}

/* Milliseconds a picture; the best of five runs. */
static double
resizing(
    const struct gv_image *im, uint8_t *dst, int size, enum gv_image_isa isa)
{
	struct gv_image_rule rule = {.height = size, .width = size};
	double best = 1e9, t;
	int i, k, n = isa == GV_IMAGE_C ? 5 : 40;

	for (k = 0; k < 5; k++) {
		t = seconds();
		for (i = 0; i < n; i++) {
			struct gv_error e = {0};

			if (gv_image_resize_isa(dst, im, &rule, isa, &e))
				return -1;
		}
		t = (seconds() - t) / n;
		best = t < best ? t : best;
	}
	return best * 1e3;
}

static void
versions(const struct gv_image *im, int size)
{
	static const char *const name[] = {"best", "C", "AVX2", "AVX-512"};
	uint8_t *dst = gv_alloc((size_t)size * (size_t)size, 3);
	int isa;

	for (isa = GV_IMAGE_C; dst && isa <= GV_IMAGE_AVX512; isa++) {
		double ms = resizing(im, dst, size, (enum gv_image_isa)isa);

		if (ms >= 0)
			printf("resize %dx%d to %dx%d bicubic, %-7s %8.3f ms\n",
			    im->width, im->height, size, size, name[isa], ms);
	}
	gv_free(dst);
}

/* Decodes to RGB and forgets it. */
static void
libjpeg_alone(const uint8_t *data, size_t n)
{
	struct jpeg_decompress_struct c;
	struct jpeg_error_mgr err;
	JSAMPARRAY rows;

	c.err = jpeg_std_error(&err);
	jpeg_create_decompress(&c);
	jpeg_mem_src(&c, data, (unsigned long)n);
	jpeg_read_header(&c, TRUE);
	c.out_color_space = JCS_RGB;
	jpeg_start_decompress(&c);
	rows = c.mem->alloc_sarray(
	    (j_common_ptr)&c, JPOOL_IMAGE, c.output_width * 3, 16);
	while (c.output_scanline < c.output_height)
		(void)jpeg_read_scanlines(&c, rows, 16);
	jpeg_finish_decompress(&c);
	jpeg_destroy_decompress(&c);
}

static int
by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

#define TURNS 41

static void
files(int n, char **path, int size)
{
	struct gv_image_rule rule = {.height = size, .width = size};
	uint8_t *dst = gv_alloc((size_t)size * (size_t)size, 3);
	static double ours[TURNS], alone[TURNS];
	uint8_t **data = calloc((size_t)n, sizeof *data);
	size_t *bytes = calloc((size_t)n, sizeof *bytes), cap;
	struct gv_maker *m = NULL;
	struct gv_error e = {0};
	bool jpeg = true;
	int32_t was[2];
	double t;
	int i, k;

	if (!dst || !data || !bytes || gv_maker_open(&m, &rule, NULL, &e))
		die(&e);
	for (i = 0; i < n; i++) {
		cap = 0;
		if (gv_image_load(&data[i], &cap, &bytes[i], path[i], &e))
			die(&e);
		jpeg = jpeg && data[i][0] == 0xff;
	}
	for (k = 0; k < TURNS; k++) {
		t = seconds();
		for (i = 0; i < n; i++)
			if (gv_maker_make(m, dst, was, data[i], bytes[i], &e))
				die(&e);
		ours[k] = (seconds() - t) / n * 1e3;
		t = seconds();
		for (i = 0; i < n && jpeg; i++)
			libjpeg_alone(data[i], bytes[i]);
		alone[k] = (seconds() - t) / n * 1e3;
	}
	qsort(ours, TURNS, sizeof *ours, by_value);
	qsort(alone, TURNS, sizeof *alone, by_value);
	printf("%d pictures to %d: %.3f ms, of which resizing %.3f\n", n, size,
	    ours[TURNS / 2],
	    (double)gv_maker_cost(m).resize_ns * 1e-6 / n / TURNS);
	if (jpeg)
		printf("libjpeg alone %.3f ms: we have %.0f %% of its speed\n",
		    alone[TURNS / 2], 100 * alone[TURNS / 2] / ours[TURNS / 2]);
	for (i = 0; i < n; i++)
		gv_free(data[i]);
	free(data);
	free(bytes);
	gv_free(dst);
	gv_maker_close(&m);
}

int
main(int argc, char **argv)
{
	int size = argc > 1 ? (int)strtol(argv[1], NULL, 10) : 256, i;
	struct gv_image im = {640, 480, gv_alloc(640 * 480, 3)};

	if (!im.px || size < 1 || size > 16384)
		return 1;
	for (i = 0; i < 640 * 480 * 3; i++)
		im.px[i] = (uint8_t)((unsigned)i * 2654435761u >> 13);
	versions(&im, size);
	gv_image_free(&im);
	if (argc > 2)
		files(argc - 2, argv + 2, size);
	return 0;
}
