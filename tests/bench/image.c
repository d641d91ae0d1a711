/* Pictures a second and core: decoding, and resizing with each version.
 *
 *	image [SIZE [FILE ...]]
 *
 * Without files: noise of 640x480, resized only.
 */
#include "image.h"
#include "mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

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
	struct gv_image_rule rule = {size, size, GV_FIT_SQUASH, GV_BICUBIC};
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

static void
files(int n, char **path, int size)
{
	uint8_t *dst = gv_alloc((size_t)size * (size_t)size, 3);
	struct gv_image_rule rule = {size, size, GV_FIT_SQUASH, GV_BICUBIC};
	double t, decode = 0, resize = 0;
	int i, count = 0;

	while (dst && decode + resize < 2)
		for (i = 0; i < n; i++, count++) {
			struct gv_error e = {0};
			struct gv_image im = {0};

			t = seconds();
			if (gv_image_read(&im, path[i], NULL, &e))
				die(&e);
			decode += seconds() - t;
			t = seconds();
			if (gv_image_resize(dst, &im, &rule, &e))
				die(&e);
			resize += seconds() - t;
			gv_image_free(&im);
		}
	printf("decode %.3f ms, resize to %d %.3f ms: %.0f pictures/s/core\n",
	    decode / count * 1e3, size, resize / count * 1e3,
	    count / (decode + resize));
	gv_free(dst);
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
