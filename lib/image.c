/* What JPEG and PNG have in common: limits, files, and which way is up. */
#include "image_priv.h"

#include "io.h"
#include "mem.h"
#include "resize.h"
#include "banned.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAX_FILE ((size_t)1 << 30) /* bytes */

static const struct gv_image_limits default_limits = {
    .max_pixels = (uint64_t)64 << 20,
    .max_side = 32768,
    .max_scans = 100,
    .max_bytes = (uint64_t)512 << 20,
    .max_seconds = 10,
    .under = {255, 255, 255},
};

void
gv_image_limits_default(struct gv_image_limits *l)
{
	*l = default_limits;
}

int
gv_image_check(uint32_t width, uint32_t height, const struct gv_image_limits *l,
    struct gv_error *e)
{
	if (!width || !height)
		return gv_fail(e, GV_ERR_FORMAT, "the image has no pixels");
	if (width > l->max_side || height > l->max_side)
		return gv_fail(e, GV_ERR_LIMIT,
		    "%ux%u pixels: a side is longer than %u", width, height,
		    l->max_side);
	if ((uint64_t)width * height > l->max_pixels)
		return gv_fail(e, GV_ERR_LIMIT,
		    "%ux%u pixels are more than %llu", width, height,
		    (unsigned long long)l->max_pixels);
	return 0;
}

uint64_t
gv_image_clock(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

uint64_t
gv_image_deadline(const struct gv_image_limits *l)
{
	return gv_image_clock() + (uint64_t)(l->max_seconds * 1e9);
}

int
gv_image_late(
    uint64_t deadline, const struct gv_image_limits *l, struct gv_error *e)
{
	if (gv_image_clock() <= deadline)
		return 0;
	return gv_fail(e, GV_ERR_LIMIT,
	    "decoding takes more than %g seconds of CPU time", l->max_seconds);
}

void
gv_image_free(struct gv_image *im)
{
	gv_free(im->px);
	memset(im, 0, sizeof *im);
}

/* ---- which way is up -------------------------------------------------- */

/* A TIFF file, whose header says which byte comes first. */
struct tiff {
	const uint8_t *p;
	size_t n;
	bool big;
};

static uint32_t
get16(const struct tiff *t, size_t at)
{
	const uint8_t *p = t->p + at;

	return t->big ? (uint32_t)(p[0] << 8 | p[1])
		      : (uint32_t)(p[1] << 8 | p[0]);
}

static uint32_t
get32(const struct tiff *t, size_t at)
{
	uint32_t a = get16(t, at), b = get16(t, at + 2);

	return t->big ? a << 16 | b : b << 16 | a;
}

int
gv_exif_orientation(const void *tiff, size_t n)
{
	enum { TAG = 0x0112, SHORT = 3, LONG = 4, ENTRY = 12 };
	struct tiff t = {tiff, n, false};
	uint32_t count, i, v = 1;
	size_t at;

	if (n < 8 || (memcmp(t.p, "II", 2) != 0 && memcmp(t.p, "MM", 2) != 0))
		return 1;
	t.big = t.p[0] == 'M';
	at = get32(&t, 4);
	if (get16(&t, 2) != 42 || at > n - 2)
		return 1;
	count = get16(&t, at);
	for (i = 0, at += 2; i < count && at + ENTRY <= n; i++, at += ENTRY) {
		if (get16(&t, at) != TAG || get32(&t, at + 4) != 1)
			continue;
		if (get16(&t, at + 2) == SHORT)
			v = get16(&t, at + 8);
		else if (get16(&t, at + 2) == LONG)
			v = get32(&t, at + 8);
	}
	return v >= 1 && v <= 8 ? (int)v : 1;
}

int
gv_orientation_how(int orientation)
{
	static const uint8_t how[9] = {0, 0, 1, 3, 2, 4, 5, 7, 6};

	return orientation >= 1 && orientation <= 8 ? how[orientation] : 0;
}

void
gv_image_turn(uint8_t *dst, const uint8_t *src, int32_t height, int32_t width,
    int orientation)
{
	int how = gv_orientation_how(orientation);
	ptrdiff_t w = width, h = height, x, y;
	/* bytes from a pixel of the result to its right, and to the one below,
	 * in the source */
	ptrdiff_t right = 3, below = 3 * w;

	if (how & 4) {
		right = 3 * w;
		below = 3;
		x = w;
		w = h;
		h = x;
	}
	if (how & 1) {
		src += right * (w - 1);
		right = -right;
	}
	if (how & 2) {
		src += below * (h - 1);
		below = -below;
	}
	for (y = 0; y < h; y++, src += below) {
		const uint8_t *s = src;

		for (x = 0; x < w; x++, s += right, dst += 3) {
			dst[0] = s[0];
			dst[1] = s[1];
			dst[2] = s[2];
		}
	}
}

int
gv_image_orient(struct gv_image *im, int orientation, struct gv_error *e)
{
	int how = gv_orientation_how(orientation);
	struct gv_image to = *im;

	if (!how)
		return 0;
	to.px = gv_alloc((size_t)im->width * (size_t)im->height, 3);
	if (!to.px)
		return gv_fail(e, GV_ERR_NOMEM, "out of memory");
	gv_image_turn(to.px, im->px, im->height, im->width, orientation);
	if (how & 4) {
		to.width = im->height;
		to.height = im->width;
	}
	gv_free(im->px);
	*im = to;
	return 0;
}

/* ---- what kind of file ------------------------------------------------- */

static bool
starts(const uint8_t *p, size_t n, const char *magic, size_t k)
{
	return n >= k && !memcmp(p, magic, k);
}

/* A format that is not read, and what reads it.  ISO media files (HEIC, AVIF)
 * have their brand at byte 8. */
static int
refuse(const uint8_t *p, size_t n, struct gv_error *e)
{
	static const struct {
		const char *magic;
		size_t n, at;
		const char *name, *command;
	} known[] = {
	    {"WEBP", 4, 8, "WebP", "dwebp IN -o OUT.png"},
	    {"GIF8", 4, 0, "GIF", "magick IN[0] OUT.png"},
	    {"BM", 2, 0, "BMP", "magick IN OUT.png"},
	    {"II*\0", 4, 0, "TIFF", "magick IN OUT.png"},
	    {"MM\0*", 4, 0, "TIFF", "magick IN OUT.png"},
	    {"ftypavif", 8, 4, "AVIF", "avifdec IN OUT.png"},
	    {"ftyphei", 7, 4, "HEIC", "heif-convert IN OUT.png"},
	    {"ftypmif1", 8, 4, "HEIC", "heif-convert IN OUT.png"},
	    {"\xff\x0a", 2, 0, "JPEG XL", "djxl IN OUT.png"},
	    {"JXL \r\n\x87\n", 8, 4, "JPEG XL", "djxl IN OUT.png"},
	    {"jP  \r\n\x87\n", 8, 4, "JPEG 2000",
		"opj_decompress -i IN -o OUT.png"},
	    {"\xff\x4f\xff\x51", 4, 0, "JPEG 2000",
		"opj_decompress -i IN -o OUT.png"},
	    {"8BPS", 4, 0, "Photoshop", "magick IN[0] OUT.png"},
	    {"<svg", 4, 0, "SVG", "rsvg-convert IN -o OUT.png"},
	    {"P6", 2, 0, "PPM", "pnmtopng IN >OUT.png"},
	    {"P5", 2, 0, "PGM", "pnmtopng IN >OUT.png"},
	    {"qoif", 4, 0, "QOI", "magick IN OUT.png"},
	    {"%PDF", 4, 0, "PDF", "pdftoppm -png IN OUT"},
	};
	size_t i;

	for (i = 0; i < sizeof known / sizeof known[0]; i++)
		if (n > known[i].at && starts(p + known[i].at, n - known[i].at,
					   known[i].magic, known[i].n))
			return gv_fail(e, GV_ERR_NOSUP,
			    "%s is not read; convert it by `%s`", known[i].name,
			    known[i].command);
	return gv_fail(e, GV_ERR_FORMAT, "neither JPEG nor PNG");
}

/* Who decodes it, or NULL and the reason. */
static gv_image_decoder *
decoder_of(const void *data, size_t n, struct gv_error *e)
{
	static const char jpeg[] = "\xff\xd8\xff";
	static const char png[] = "\x89PNG\r\n\x1a\n";

	if (!n)
		gv_fail(e, GV_ERR_CUT, "the file is empty");
	else if (!memcmp(data, jpeg, n < 3 ? n : 3))
		return gv_jpeg_decode;
	else if (!memcmp(data, png, n < 8 ? n : 8))
		return gv_png_decode;
	else
		refuse(data, n, e);
	return NULL;
}

/* ---- whole pictures ---------------------------------------------------- */

/* A picture as it is stored. */
struct whole {
	struct gv_taker taker; /* first */
	struct gv_image im;
	int32_t at; /* rows that are there */
};

static int
whole_begin(struct gv_taker *t, int32_t h, int32_t w, int32_t px_bytes,
    int orientation, struct gv_error *e)
{
	struct whole *v = (struct whole *)t;

	(void)orientation; /* turned later */
	v->im = (struct gv_image){
	    w, h, gv_alloc((size_t)w * (size_t)h, (size_t)px_bytes)};
	if (!v->im.px)
		return gv_fail(e, GV_ERR_NOMEM, "out of memory");
	return 0;
}

static uint8_t *
whole_room(struct gv_taker *t, int32_t *n, size_t *stride)
{
	struct whole *v = (struct whole *)t;

	*n = v->im.height - v->at;
	*stride = (size_t)v->im.width * 3;
	return v->im.px + (size_t)v->at * *stride;
}

static void
whole_take(struct gv_taker *t, int32_t n)
{
	((struct whole *)t)->at += n;
}

int
gv_image_decode(struct gv_image *im, const void *data, size_t n,
    const struct gv_image_limits *l, struct gv_error *e)
{
	gv_image_decoder *decode = decoder_of(data, n, e);
	struct whole v = {
	    .taker = {false, NULL, whole_begin, whole_room, whole_take},
	};
	int orientation = 1, r;

	if (!decode)
		return e->code;
	r = decode(&v.taker, &orientation, data, n, l ? l : &default_limits, e);
	if (!r)
		r = gv_image_orient(&v.im, orientation, e);
	if (r) {
		gv_image_free(&v.im);
		return r;
	}
	*im = v.im;
	return 0;
}

/* ---- pictures through the resizer ------------------------------------- */

struct gv_maker {
	struct gv_taker taker; /* first */
	struct gv_image_rule rule;
	struct gv_image_limits l;
	struct gv_fitter *fitter;
	int32_t h, w;
	int orientation; /* 0: as the file says before its pixels */
	uint8_t *dst;
	uint64_t resize_ns; /* of the picture under way */
	struct gv_image_cost cost;
};

/* The sides of the upright picture, said once: before it is shrunk. */
static void
maker_size(struct gv_maker *m, int32_t h, int32_t w, int orientation)
{
	bool lies;

	if (!m->orientation)
		m->orientation = orientation;
	lies = gv_orientation_how(m->orientation) & 4;
	m->h = lies ? w : h;
	m->w = lies ? h : w;
}

static int
maker_shrink(struct gv_taker *t, int32_t h, int32_t w, int orientation)
{
	struct gv_maker *m = (struct gv_maker *)t;

	maker_size(m, h, w, orientation);
	return gv_fitter_shrink(h, w, m->orientation, &m->rule);
}

static int
maker_begin(struct gv_taker *t, int32_t h, int32_t w, int32_t px_bytes,
    int orientation, struct gv_error *e)
{
	struct gv_maker *m = (struct gv_maker *)t;

	if (!m->h)
		maker_size(m, h, w, orientation);
	return gv_fitter_open(&m->fitter, h, w, px_bytes, m->orientation,
	    &m->rule, GV_IMAGE_BEST, m->dst, e);
}

static uint8_t *
maker_room(struct gv_taker *t, int32_t *n, size_t *stride)
{
	return gv_fitter_room(((struct gv_maker *)t)->fitter, n, stride);
}

/* For the many strips of a picture: this clock asks the kernel for nothing. */
static uint64_t
wall(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void
maker_take(struct gv_taker *t, int32_t n)
{
	struct gv_maker *m = (struct gv_maker *)t;
	uint64_t start = wall();

	gv_fitter_take(m->fitter, n);
	m->resize_ns += wall() - start;
}

int
gv_maker_open(struct gv_maker **out, const struct gv_image_rule *rule,
    const struct gv_image_limits *l, struct gv_error *e)
{
	struct gv_maker *m = gv_alloc(1, sizeof *m);

	if (!m)
		return gv_fail(e, GV_ERR_NOMEM, "out of memory");
	m->taker = (struct gv_taker){
	    true, maker_shrink, maker_begin, maker_room, maker_take};
	m->rule = *rule;
	m->l = l ? *l : default_limits;
	*out = m;
	return 0;
}

int
gv_maker_make(struct gv_maker *m, uint8_t *dst, int32_t size[2],
    const void *data, size_t n, struct gv_error *e)
{
	gv_image_decoder *decode = decoder_of(data, n, e);
	uint64_t start = gv_image_clock(), all;
	int orientation = 1, r;

	if (!decode)
		return e->code;
	m->resize_ns = 0;
	m->dst = dst;
	m->orientation = 0;
	m->h = m->w = 0;
	r = decode(&m->taker, &orientation, data, n, &m->l, e);
	if (!r && orientation != m->orientation) {
		m->orientation = orientation; /* of a PNG that says so late */
		m->h = m->w = 0;
		r = decode(&m->taker, &orientation, data, n, &m->l, e);
	}
	if (r)
		return r;
	gv_fitter_end(m->fitter);
	size[0] = m->h;
	size[1] = m->w;
	all = gv_image_clock() - start;
	if (m->resize_ns > all)
		m->resize_ns = all;
	m->cost.resize_ns += m->resize_ns;
	m->cost.decode_ns += all - m->resize_ns;
	return 0;
}

struct gv_image_cost
gv_maker_cost(const struct gv_maker *m)
{
	return m->cost;
}

void
gv_maker_close(struct gv_maker **mp)
{
	struct gv_maker *m = *mp;

	if (!m)
		return;
	gv_fitter_close(&m->fitter);
	gv_free(m);
	*mp = NULL;
}

/* ---- files -------------------------------------------------------------- */

/* Reads a regular file into memory: a mapping would turn a file that shrinks
 * meanwhile into SIGBUS. */
int
gv_image_load(
    uint8_t **buf, size_t *cap, size_t *n, const char *path, struct gv_error *e)
{
	struct gv_error mine = {0};
	struct stat st;
	void *p = *buf;
	ssize_t got;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

	if (fd < 0)
		return gv_fail(e, GV_ERR_SYS, "cannot open:");
	if (fstat(fd, &st))
		gv_fail(&mine, GV_ERR_SYS, "cannot read:");
	else if (!S_ISREG(st.st_mode))
		gv_fail(&mine, GV_ERR_FORMAT, "not a regular file");
	else if ((uint64_t)st.st_size > MAX_FILE)
		gv_fail(&mine, GV_ERR_LIMIT, "larger than %zu bytes", MAX_FILE);
	else if (gv_grow(&p, cap, (size_t)st.st_size + 1, 1))
		gv_fail(&mine, GV_ERR_NOMEM, "out of memory");
	else if (*buf = p, (got = gv_read_full(fd, p, (size_t)st.st_size)) < 0)
		gv_fail(&mine, GV_ERR_SYS, "cannot read:");
	else
		*n = (size_t)got;
	close(fd);
	if (mine.code && !e->code)
		*e = mine;
	return mine.code;
}

int
gv_image_read(struct gv_image *im, const char *path,
    const struct gv_image_limits *l, struct gv_error *e)
{
	struct gv_error mine = {0};
	char q[300];
	uint8_t *data = NULL;
	size_t n = 0, cap = 0;
	int r = gv_image_load(&data, &cap, &n, path, &mine);

	if (!r)
		r = gv_image_decode(im, data, n, l, &mine);
	gv_free(data);
	if (!r)
		return 0;
	gv_fail_in(&mine, "'%s'", gv_quote(q, sizeof q, path, strlen(path)));
	if (!e->code)
		*e = mine;
	return r;
}
