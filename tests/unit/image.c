/* Decoding gives Pillow's pixels (tests/golden/image/decode.txt), turns them
 * upright, and refuses whatever is cut, damaged or too large.
 */
#include "image.h"
#include "mem.h"
#include "tap.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <jpeglib.h>
#include <zlib.h>

#define GOLDEN "tests/golden/image"

struct bytes {
	uint8_t *p;
	size_t n;
};

static struct bytes
slurp(const char *name)
{
	char path[256];
	struct bytes b = {malloc(1 << 16), 0};
	FILE *f;

	snprintf(path, sizeof path, GOLDEN "/%s", name);
	f = fopen(path, "rb");
	if (f) {
		b.n = fread(b.p, 1, 1 << 16, f);
		fclose(f);
	}
	return b;
}

/* Decodes; returns the code, and checks the promises about outputs. */
static int
try(const void *p, size_t n, const struct gv_image_limits *l,
    struct gv_image *im)
{
	struct gv_error e = {0};
	struct gv_image got = {-7, -8, NULL};
	int r = gv_image_decode(&got, p, n, l, &e);

	if (!r) {
		if (im)
			*im = got;
		else
			gv_image_free(&got);
		return 0;
	}
	if (got.width != -7 || got.height != -8 || got.px || e.code != r ||
	    !e.msg[0] || strchr(e.msg, '\n'))
		return 99;
	return r;
}

static void
golden(void)
{
	FILE *f = fopen(GOLDEN "/decode.txt", "r");
	char name[64];
	unsigned want;
	int w, h, lines = 0;

	while (f && fscanf(f, "%63s %d %d %x", name, &w, &h, &want) == 4) {
		char path[128];
		struct gv_image im = {0};
		struct gv_error e = {0};
		uint32_t got = 0;

		snprintf(path, sizeof path, GOLDEN "/%s", name);
		if (!gv_image_read(&im, path, NULL, &e))
			got = (uint32_t)crc32(0, im.px, (uInt)(w * h * 3));
		ok(im.width == w && im.height == h && got == want,
		    "%s has Pillow's pixels", name);
		if (e.code)
			printf("# %s\n", e.msg);
		gv_image_free(&im);
		lines++;
	}
	is_int(lines, 50, "all lines of the table were read");
	if (f)
		fclose(f);
}

/* ---- orientation ------------------------------------------------------ */

/* A TIFF header with one directory of `count` entries, the last of which is
 * the orientation. */
static size_t
tiff(uint8_t *p, bool big, int count, int type, uint32_t v)
{
	uint8_t *at = p;
	int i;
#define PUT2(x) \
	(at[big] = (uint8_t)(x), at[!big] = (uint8_t)((x) >> 8), at += 2)
#define PUT4(x) \
	do { \
		uint32_t x_ = (x); \
		PUT2(big ? x_ >> 16 : x_ & 0xffff); \
		PUT2(big ? x_ & 0xffff : x_ >> 16); \
	} while (0)

	memcpy(at, big ? "MM" : "II", 2);
	at += 2;
	PUT2(42);
	PUT4(8);
	PUT2(count);
	for (i = 0; i < count; i++) {
		PUT2(i + 1 < count ? 0x0100 + i : 0x0112);
		PUT2(type);
		PUT4(1);
		if (type == 3) {
			PUT2(v);
			PUT2(0);
		} else {
			PUT4(v);
		}
	}
	PUT4(0);
	return (size_t)(at - p);
}

/* Inserts `n` bytes at offset `at`. */
static struct bytes
insert(struct bytes b, size_t at, const uint8_t *s, size_t n)
{
	struct bytes r = {malloc(b.n + n), b.n + n};

	memcpy(r.p, b.p, at);
	memcpy(r.p + at, s, n);
	memcpy(r.p + at + n, b.p + at, b.n - at);
	return r;
}

static struct bytes
jpeg_exif(struct bytes b, const uint8_t *s, size_t n)
{
	uint8_t m[512] = {0xff, 0xe1, (uint8_t)((n + 8) >> 8), (uint8_t)(n + 8),
	    'E', 'x', 'i', 'f', 0, 0};

	memcpy(m + 10, s, n);
	return insert(b, 2, m, n + 10);
}

static void
put32(uint8_t *p, uint32_t v)
{
	int i;

	for (i = 0; i < 4; i++)
		p[i] = (uint8_t)(v >> (24 - 8 * i));
}

/* A chunk after IHDR, or before IEND. */
static struct bytes
png_chunk(
    struct bytes b, bool late, const char *type, const uint8_t *s, size_t n)
{
	uint8_t m[512];

	put32(m, (uint32_t)n);
	memcpy(m + 4, type, 4);
	memcpy(m + 8, s, n);
	put32(m + 8 + n, (uint32_t)crc32(0, m + 4, (uInt)n + 4));
	return insert(b, late ? b.n - 12 : 33, m, n + 12);
}

/* Is `im` what orientation o makes of `a`?  By the meaning of row 0 and column
 * 0 in EXIF 2.32, table 4.6.5. */
static bool
turned(const struct gv_image *im, const struct gv_image *a, int o)
{
	int w = a->width, h = a->height, x, y;

	if (im->width != (o < 5 ? w : h) || im->height != (o < 5 ? h : w))
		return false;
	for (y = 0; y < h; y++)
		for (x = 0; x < w; x++) {
			int r = w - 1 - x, b = h - 1 - y;
			const int to[9][2] = {{0, 0}, {x, y}, {r, y}, {r, b},
			    {x, b}, {y, x}, {b, x}, {b, r}, {y, r}};
			const uint8_t *p = a->px + (y * w + x) * 3;
			const uint8_t *q =
			    im->px + (to[o][1] * im->width + to[o][0]) * 3;

			if (memcmp(p, q, 3) != 0)
				return false;
		}
	return true;
}

static bool
turns(struct bytes b, const struct gv_image *base, int o)
{
	struct gv_image im = {0};
	bool good = !try(b.p, b.n, NULL, &im) && turned(&im, base, o);

	gv_image_free(&im);
	free(b.p);
	return good;
}

static void
orientation(void)
{
	struct bytes j = slurp("base-420.jpg"), p = slurp("rgb8.png");
	struct gv_image ji, pi;
	uint8_t t[256];
	int o, big;
	size_t n;

	ok(!try(j.p, j.n, NULL, &ji) && !try(p.p, p.n, NULL, &pi),
	    "the upright pictures decode");
	for (o = 0; o <= 9; o++)
		for (big = 0; big < 2; big++) {
			int want = o >= 1 && o <= 8 ? o : 1;
			const char *end = big ? "big" : "little";

			n = tiff(t, big, 3, 3, (uint32_t)o);
			ok(turns(jpeg_exif(j, t, n), &ji, want),
			    "JPEG, orientation %d, %s-endian", o, end);
			ok(turns(png_chunk(p, false, "eXIf", t, n), &pi, want),
			    "PNG, orientation %d, %s-endian", o, end);
			n = tiff(t, big, 1, 4, (uint32_t)o);
			ok(turns(png_chunk(p, true, "eXIf", t, n), &pi, want),
			    "... as a long, after the pixels");
		}
	n = tiff(t, true, 2, 3, 6);
	for (o = 0; o < (int)n; o++)
		if (gv_exif_orientation(t, (size_t)o) !=
		    (o < 2 + 8 + 2 * 12 ? 1 : 6))
			break;
	is_int(o, (int)n, "EXIF cut anywhere is upright or whole");
	t[0] = 'X';
	is_int(gv_exif_orientation(t, n), 1, "EXIF without a byte order");
	memcpy(t, "MM\0\052\377\377\377\377", 8);
	is_int(gv_exif_orientation(t, n), 1, "a directory beyond the end");
	memset(t, 0xff, sizeof t);
	ok(turns(jpeg_exif(j, t, 200), &ji, 1), "EXIF that makes no sense");
	gv_image_free(&ji);
	gv_image_free(&pi);
	free(j.p);
	free(p.p);
}

/* ---- damage ----------------------------------------------------------- */

static void
cuts(const char *name)
{
	struct bytes b = slurp(name);
	size_t n, cut = 0, other = 0;
	int r;

	for (n = 0; n < b.n; n++) {
		/* an exact allocation, so that a sanitizer sees overreads */
		uint8_t *p = malloc(n + !n);

		memcpy(p, b.p, n);
		r = try(p, n, NULL, NULL);
		cut += r == GV_ERR_CUT;
		other += r == GV_ERR_FORMAT;
		free(p);
	}
	ok(b.n > 50 && cut + other == b.n, "%s cut at %zu offsets is refused",
	    name, b.n);
	ok(cut == b.n, "... each time as one that ends early (%zu)", cut);
	is_int(try(b.p, b.n, NULL, NULL), 0, "... and the whole is taken");
	free(b.p);
}

static void
flips(const char *name, bool all)
{
	struct bytes b = slurp(name);
	size_t i, refused = 0;
	int bit, r, strange = 0;

	for (i = 0; i < b.n; i++)
		for (bit = 0; bit < 8; bit++) {
			b.p[i] ^= (uint8_t)(1 << bit);
			r = try(b.p, b.n, NULL, NULL);
			b.p[i] ^= (uint8_t)(1 << bit);
			refused += r != 0;
			strange += r == 99;
		}
	is_int(strange, 0, "%s, every bit flipped: %zu of %zu refused", name,
	    refused, 8 * b.n);
	if (all)
		is_int((long long)refused, (long long)(8 * b.n),
		    "... all of them, thanks to its checksums");
	free(b.p);
}

static void
lenient(void)
{
	struct gv_image_limits l;
	struct bytes b = slurp("base-420.jpg"), p = slurp("rgb8-i.png");
	struct gv_image im = {0};

	gv_image_limits_default(&l);
	l.lenient = true;
	is_int(try(b.p, b.n - 20, &l, &im), 0, "lenient takes a cut JPEG");
	ok(im.width == 37 && im.height == 27 && im.px, "... in its full size");
	gv_image_free(&im);
	ok(try(b.p, 100, &l, NULL) < 0, "... but not one without a picture");
	p.p[33 + 8] ^= 1; /* in gAMA */
	is_int(try(p.p, p.n, NULL, NULL), GV_ERR_FORMAT,
	    "a bad checksum of gAMA is an error");
	is_int(try(p.p, p.n, &l, NULL), 0, "... lenient lets it pass");
	p.p[p.n - 20] ^= 1; /* in IDAT */
	ok(try(p.p, p.n, &l, NULL) < 0, "... but not one of IDAT");
	free(b.p);
	free(p.p);
}

static void
nonsense(void)
{
	static const char *const text[] = {"GIF89a...", "\377\330", "\377",
	    "\211PNG\r\n\032\n", "\211PNG\r\n\032", "hello", "\377\331\377"};
	uint8_t noise[4096];
	size_t i, k;
	int bad = 0;

	is_int(try("", 0, NULL, NULL), GV_ERR_CUT, "an empty file");
	for (i = 0; i < sizeof text / sizeof *text; i++) {
		int r = try(text[i], strlen(text[i]), NULL, NULL);

		ok(i ? r == GV_ERR_CUT || r == GV_ERR_FORMAT
		     : r == GV_ERR_NOSUP,
		    "nonsense %zu", i);
	}
	srand(7);
	for (k = 0; k < 300; k++) {
		for (i = 0; i < sizeof noise; i++)
			noise[i] = (uint8_t)(rand() >> 7);
		if (k % 3 == 1)
			memcpy(noise, "\377\330\377", 3);
		if (k % 3 == 2)
			memcpy(noise, "\211PNG\r\n\032\n", 8);
		bad += try(noise, sizeof noise, NULL, NULL) >= 0;
	}
	is_int(bad, 0, "300 random files, some with the right start");
}

/* ---- limits ----------------------------------------------------------- */

/* A PNG that declares a size and has next to no pixels. */
static struct bytes
declared(uint32_t w, uint32_t h)
{
	struct bytes b = slurp("rgb8.png");

	put32(b.p + 16, w);
	put32(b.p + 20, h);
	put32(b.p + 29, (uint32_t)crc32(0, b.p + 12, 17));
	return b;
}

/* A valid grey JPEG of `n` scans, none of which is empty of meaning: DC, then
 * AC coefficients one by one, bit by bit. */
static struct bytes
many_scans(int n)
{
	enum { TOP = 5 };
	struct jpeg_compress_struct c;
	struct jpeg_error_mgr err;
	jpeg_scan_info *s = calloc((size_t)n, sizeof *s);
	JSAMPLE row[3 * 16];
	JSAMPROW rows[1] = {row};
	unsigned char *out = NULL;
	unsigned long size = 0;
	int i = 1, comp, k, al, y;

	s[0] = (jpeg_scan_info){3, {0, 1, 2}, 0, 0, 0, 0};
	for (comp = 0; comp < 3; comp++)
		for (k = 1; k < 64; k++)
			for (al = TOP; al >= 0 && i < n; al--)
				s[i++] = (jpeg_scan_info){1, {comp}, k, k,
				    al == TOP ? 0 : al + 1, al};
	c.err = jpeg_std_error(&err);
	jpeg_create_compress(&c);
	jpeg_mem_dest(&c, &out, &size);
	c.image_width = c.image_height = 16;
	c.input_components = 3;
	c.in_color_space = JCS_RGB;
	jpeg_set_defaults(&c);
	c.scan_info = s;
	c.num_scans = i;
	jpeg_start_compress(&c, TRUE);
	for (y = 0; y < 16; y++) {
		for (k = 0; k < 48; k++)
			row[k] = (JSAMPLE)(rand() >> 7);
		jpeg_write_scanlines(&c, rows, 1);
	}
	jpeg_finish_compress(&c);
	jpeg_destroy_compress(&c);
	free(s);
	return (struct bytes){out, i == n ? size : 0};
}

static void
scans(void)
{
	struct gv_image_limits l;
	struct bytes b = many_scans(100);

	gv_image_limits_default(&l);
	is_int(l.max_scans, 100, "100 scans are the limit");
	is_int(try(b.p, b.n, NULL, NULL), 0, "a JPEG of 100 scans");
	l.max_scans = 99;
	is_int(try(b.p, b.n, &l, NULL), GV_ERR_LIMIT, "... over a limit of 99");
	free(b.p);
	b = many_scans(101);
	is_int(try(b.p, b.n, NULL, NULL), GV_ERR_LIMIT, "one of 101");
	free(b.p);
	b = many_scans(1000);
	is_int(try(b.p, b.n, NULL, NULL), GV_ERR_LIMIT, "one of 1000");
	l.max_scans = 1000;
	is_int(try(b.p, b.n, &l, NULL), 0, "... which is a valid file");
	free(b.p);
}

/* A progressive JPEG of 8192x8192 and four components wants 512 MiB for
 * coefficients alone; there is nothing after its header. */
static void
heap(void)
{
	static const uint8_t head[] = {0xff, 0xd8, 0xff, 0xc2, 0, 20, 8, 0x20,
	    0, 0x20, 0, 4, 1, 0x11, 0, 2, 0x11, 0, 3, 0x11, 0, 4, 0x11, 0, 0xff,
	    0xda, 0, 8, 1, 1, 0, 0, 0, 0};

	is_int(try(head, sizeof head, NULL, NULL), GV_ERR_LIMIT,
	    "a JPEG that takes more than 512 MiB to decode");
}

static long
peak_kib(void)
{
	struct rusage u;

	getrusage(RUSAGE_SELF, &u);
	return u.ru_maxrss;
}

static void
limits(void)
{
	static const char *const name[] = {"base-420.jpg", "rgb8.png"};
	static const uint32_t size[][2] = {{37, 27}, {13, 11}};
	static const uint32_t bomb[][2] = {{20000, 20000}, {32769, 1},
	    {1, 32769}, {1u << 30, 1u << 30}, {8193, 8192}};
	struct gv_image_limits l;
	long before = peak_kib();
	size_t i;

	for (i = 0; i < 2; i++) {
		struct bytes b = slurp(name[i]);

		gv_image_limits_default(&l);
		l.max_pixels = (uint64_t)size[i][0] * size[i][1];
		is_int(try(b.p, b.n, &l, NULL), 0, "%s at max_pixels", name[i]);
		l.max_pixels--;
		is_int(try(b.p, b.n, &l, NULL), GV_ERR_LIMIT, "... over it");
		gv_image_limits_default(&l);
		l.max_side = size[i][0];
		is_int(try(b.p, b.n, &l, NULL), 0, "%s at max_side", name[i]);
		l.max_side--;
		is_int(try(b.p, b.n, &l, NULL), GV_ERR_LIMIT, "... over it");
		free(b.p);
	}
	for (i = 0; i < sizeof bomb / sizeof *bomb; i++) {
		struct bytes b = declared(bomb[i][0], bomb[i][1]);

		is_int(try(b.p, b.n, NULL, NULL), GV_ERR_LIMIT,
		    "a PNG that declares %ux%u", bomb[i][0], bomb[i][1]);
		free(b.p);
	}
	heap();
	ok(peak_kib() - before < 16 * 1024, "... all in less than 16 MiB");
	for (i = 0; i < 2; i++) {
		struct bytes b = declared((uint32_t)i, 1 - (uint32_t)i);

		is_int(try(b.p, b.n, NULL, NULL), GV_ERR_FORMAT,
		    "a PNG without pixels");
		free(b.p);
	}
	scans();
}

/* ---- decoding and resizing in one --------------------------------------- */

/* A smooth picture with edges as a JPEG whose chroma is h x v times smaller. */
static struct bytes
sampled(int width, int height, int h, int v, bool progressive)
{
	struct jpeg_compress_struct c;
	struct jpeg_error_mgr err;
	unsigned char *out = NULL;
	unsigned long size = 0;
	JSAMPLE *row = malloc((size_t)width * 3);
	int y, i;

	c.err = jpeg_std_error(&err);
	jpeg_create_compress(&c);
	jpeg_mem_dest(&c, &out, &size);
	c.image_width = (JDIMENSION)width;
	c.image_height = (JDIMENSION)height;
	c.input_components = 3;
	c.in_color_space = JCS_RGB;
	jpeg_set_defaults(&c);
	jpeg_set_quality(&c, 85, TRUE);
	c.comp_info[0].h_samp_factor = h;
	c.comp_info[0].v_samp_factor = v;
	if (progressive)
		jpeg_simple_progression(&c);
	jpeg_start_compress(&c, TRUE);
	for (y = 0; y < height; y++) {
		for (i = 0; i < width * 3; i++)
			row[i] = (JSAMPLE)(i / 3 / 9 % 2 == y / 7 % 2
					       ? 255 * (i % 3 == y / 20 % 3)
					       : 60 * (i % 3) + i / 4 + y);
		jpeg_write_scanlines(&c, &row, 1);
	}
	jpeg_finish_compress(&c);
	jpeg_destroy_compress(&c);
	free(row);
	return (struct bytes){out, size};
}

enum { SIDE = 19 };

/* By gv_maker_make() and in two steps: the largest difference of a sample, in
 * *mean the average, or -1 if a size is wrong. */
static int
made(struct gv_maker *m, const struct bytes *b,
    const struct gv_image_rule *rule, double *mean)
{
	uint8_t got[SIDE * SIDE * 3], want[SIDE * SIDE * 3];
	struct gv_image im = {0};
	struct gv_error e = {0};
	int32_t size[2];
	int i, far, worst = 0, sum = 0;
	const int n = rule->height * rule->width * 3;

	if (gv_maker_make(m, got, size, b->p, b->n, &e) ||
	    gv_image_decode(&im, b->p, b->n, NULL, &e) ||
	    gv_image_resize(want, &im, rule, &e))
		printf("# %s\n", e.msg);
	if (e.code || size[0] != im.height || size[1] != im.width)
		worst = -1;
	for (i = 0; i < n && worst >= 0; i++) {
		far = abs(got[i] - want[i]);
		worst = far > worst ? far : worst;
		sum += far;
	}
	*mean = (double)sum / n;
	gv_image_free(&im);
	return worst;
}

static const int factors[][2] = {
    {1, 1}, {2, 1}, {2, 2}, {1, 2}, {4, 1}, {4, 2}};

/* One maker for pictures of all sizes and kinds. */
static void
makers(void)
{
	struct gv_image_rule rule = {.height = SIDE, .width = SIDE - 6};
	struct gv_maker *m = NULL;
	struct gv_error e = {0};
	unsigned seed = 7;
	double mean;
	int i, k, differ;

	srand(seed);
	printf("# seed %u\n", seed);
	ok(!gv_maker_open(&m, &rule, NULL, &e), "a maker");
	for (k = 0; k < (int)(sizeof factors / sizeof *factors); k++) {
		for (differ = 0, i = 0; i < 80; i++) {
			struct bytes b =
			    sampled(1 + rand() % 100, 1 + rand() % 100,
				factors[k][0], factors[k][1], i % 4 == 0);

			differ += made(m, &b, &rule, &mean) != 0;
			free(b.p);
		}
		is_int(differ, 0, "80 pictures with chroma %dx%d smaller",
		    factors[k][0], factors[k][1]);
	}
	gv_maker_close(&m);
}

/* With a fast rule sizes are those of the file, and pixels are near. */
static void
fast(void)
{
	struct gv_image_rule rule = {.height = SIDE, .width = SIDE};
	struct gv_maker *m = NULL;
	struct gv_error e = {0};
	double mean;
	int k, worst;

	rule.fast = true;
	ok(!gv_maker_open(&m, &rule, NULL, &e), "a fast maker");
	for (k = 0; k < (int)(sizeof factors / sizeof *factors); k++) {
		struct bytes b =
		    sampled(333, 301, factors[k][0], factors[k][1], k % 2);

		worst = made(m, &b, &rule, &mean);
		ok(worst > 0 && mean < 12,
		    "an eighth, chroma %dx%d smaller: %d, on average %.2f",
		    factors[k][0], factors[k][1], worst, mean);
		free(b.p);
		b = sampled(
		    2 * SIDE - 1, 333, factors[k][0], factors[k][1], false);
		is_int(made(m, &b, &rule, &mean), 0, "too small to shrink");
		free(b.p);
	}
	gv_maker_close(&m);
}

/* ---- files ------------------------------------------------------------ */

static void
files(void)
{
	char dir[] = "/tmp/gv-image-XXXXXX", path[64];
	struct gv_image im = {0};
	struct gv_error e = {0};
	int fd;

	ok(mkdtemp(dir) != NULL, "a directory to work in");
	is_int(gv_image_read(&im, dir, NULL, &e), GV_ERR_FORMAT,
	    "a directory is no picture");
	snprintf(path, sizeof path, "'%s': not a regular file", dir);
	is_str(e.msg, path, "... which the message says");
	gv_error_clear(&e);
	snprintf(path, sizeof path, "%s/none", dir);
	is_int(
	    gv_image_read(&im, path, NULL, &e), GV_ERR_SYS, "a missing file");
	ok(strstr(e.msg, path) && strstr(e.msg, "No such file"),
	    "... is named: %s", e.msg);
	gv_error_clear(&e);
	ok(!mkfifo(path, 0600), "a FIFO");
	is_int(gv_image_read(&im, path, NULL, &e), GV_ERR_FORMAT,
	    "... is refused without waiting for a writer");
	unlink(path);
	gv_error_clear(&e);
	fd = open(path, O_CREAT | O_WRONLY, 0600);
	ok(fd >= 0 && !ftruncate(fd, (off_t)(1 << 30) + 1), "1 GiB + 1");
	close(fd);
	is_int(gv_image_read(&im, path, NULL, &e), GV_ERR_LIMIT,
	    "... is too much");
	unlink(path);
	rmdir(dir);
}

static void
write_png(void)
{
	struct bytes b = slurp("base-420.jpg");
	struct gv_image a = {0}, c = {0}, none = {0};
	struct gv_error e = {0};
	uint8_t *p = NULL, *q = NULL;
	size_t n = 0, m = 0;

	ok(!try(b.p, b.n, NULL, &a) && !gv_image_png(&a, &p, &n, &e) &&
		!try(p, n, NULL, &c),
	    "a picture goes through PNG");
	ok(c.width == a.width && c.height == a.height &&
		!memcmp(a.px, c.px, (size_t)(a.width * a.height) * 3),
	    "... and is the same");
	ok(!gv_image_png(&a, &q, &m, &e) && n == m && !memcmp(p, q, n),
	    "... twice the same bytes");
	is_int(gv_image_png(&none, &q, &m, &e), GV_ERR_USAGE,
	    "nothing can't be written");
	gv_free(p);
	gv_free(q);
	gv_image_free(&a);
	gv_image_free(&c);
	free(b.p);
}

int
main(void)
{
	golden();
	orientation();
	cuts("base-420.jpg");
	cuts("progressive.jpg");
	cuts("restart.jpg");
	cuts("cmyk.jpg");
	cuts("rgb8.png");
	cuts("rgba16-i.png");
	cuts("palette4.png");
	flips("rgb8.png", true);
	flips("palette2-i.png", true);
	flips("grey.jpg", false);
	flips("grey-progressive.jpg", false);
	lenient();
	nonsense();
	limits();
	makers();
	fast();
	files();
	write_png();
	return done();
}
