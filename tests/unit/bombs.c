/* Small files that unpack to much: what isn't refused must not be unpacked. */
#include "image.h"
#include "tap.h"

#include <stdint.h>
#include <stdlib.h>
#include <time.h>
#include <zlib.h>

struct bytes {
	uint8_t *p;
	size_t n;
};

static void
put(struct bytes *b, const void *p, size_t n)
{
	b->p = realloc(b->p, b->n + n);
	if (!b->p)
		abort();
	memcpy(b->p + b->n, p, n);
	b->n += n;
}

static void
put32(struct bytes *b, uint32_t v)
{
	uint8_t p[4] = {(uint8_t)(v >> 24), (uint8_t)(v >> 16),
	    (uint8_t)(v >> 8), (uint8_t)v};

	put(b, p, 4);
}

static void
put_chunk(struct bytes *b, const char *name, struct bytes data)
{
	size_t at = b->n + 4;

	put32(b, (uint32_t)data.n);
	put(b, name, 4);
	put(b, data.p, data.n);
	put32(b, (uint32_t)crc32(0, b->p + at, (uInt)(data.n + 4)));
}

/* zlib's format of `mib` MiB of zeros: one that ends at a byte, repeated. */
static struct bytes
zeros(size_t mib)
{
	enum { MIB = 1 << 20 };
	static uint8_t none[MIB], packed[8192];
	struct bytes b = {0};
	z_stream z = {0};
	size_t i, n;

	if (deflateInit(&z, 9) != Z_OK)
		abort();
	z.next_in = none;
	z.avail_in = MIB;
	z.next_out = packed;
	z.avail_out = sizeof packed;
	if (deflate(&z, Z_FULL_FLUSH) != Z_OK)
		abort();
	n = sizeof packed - z.avail_out;
	put(&b, packed, n);
	for (i = 1; i < mib; i++)
		put(&b, packed + 2, n - 2); /* without zlib's header */
	z.next_out = packed;
	z.avail_out = sizeof packed;
	if (deflate(&z, Z_FINISH) != Z_STREAM_END)
		abort();
	put(&b, packed, sizeof packed - z.avail_out - 4);
	put32(&b, (uint32_t)(mib * MIB % 65521 << 16 | 1)); /* of zeros */
	deflateEnd(&z);
	return b;
}

/* A PNG of 4 x 3 zeros, with `extra` in front of its rows if named. */
static struct bytes
picture(const char *extra, struct bytes more, struct bytes rows)
{
	static const uint8_t head[8] = {137, 80, 78, 71, 13, 10, 26, 10};
	static uint8_t size[13] = {0, 0, 0, 4, 0, 0, 0, 3, 8, 2};
	struct bytes b = {0}, none = {size, 0};

	put(&b, head, sizeof head);
	put_chunk(&b, "IHDR", (struct bytes){size, sizeof size});
	if (extra)
		put_chunk(&b, extra, more);
	put_chunk(&b, "IDAT", rows);
	put_chunk(&b, "IEND", none);
	return b;
}

static double
seconds(void)
{
	return (double)clock() / CLOCKS_PER_SEC;
}

static int
decode(struct bytes b, struct gv_image *im, const char *what)
{
	struct gv_error e = {0};
	double t = seconds();
	int r;

	gv_image_free(im);
	r = gv_image_decode(im, b.p, b.n, NULL, &e);
	t = seconds() - t;
	printf("# %s: %zu bytes, %.4f s: %s\n", what, b.n, t, e.msg);
	ok(t < .5, "half a second is enough: %s", what);
	return r;
}

int
main(void)
{
	static const char *const texts[] = {"zTXt", "iTXt", "iCCP", "xYZz"};
	struct bytes gib = zeros(1024), some = zeros(1), b, text = {0};
	struct gv_image im = {0};
	size_t i, flip;

	put(&text, "name\0", 6);
	put(&text, gib.p, gib.n);
	is_int(decode(picture(NULL, gib, gib), &im, "a GiB behind the rows"),
	    GV_ERR_FORMAT, "is no picture");
	is_int(decode(picture(NULL, some, some), &im, "a MiB behind the rows"),
	    0, "may be");
	ok(im.width == 4 && im.height == 3 && !im.px[35], "as pixels");
	for (i = 0; i < 4; i++)
		is_int(decode(picture(texts[i], text, some), &im, texts[i]), 0,
		    "a GiB of what is no pixels");

	/* what isn't unpacked is checked all the same */
	b = picture(NULL, some, some);
	flip = b.n - 12 - 4 - 5;
	b.p[flip] ^= 1;
	is_int(decode(b, &im, "a wrong bit behind the rows"), GV_ERR_FORMAT,
	    "is damage");
	b.p[flip] ^= 1;
	is_int(decode(b, &im, "the bit as it was"), 0, "is none");
	b.n -= 1;
	is_int(decode(b, &im, "a missing byte"), GV_ERR_CUT, "is a cut");
	b.n -= 12;
	is_int(decode(b, &im, "no end"), GV_ERR_CUT, "is a cut");
	gv_image_free(&im);
	return done();
}
