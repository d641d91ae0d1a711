/* The ends of pictures: a PNG's chunks and a JPEG's segments say how long they
 * are; a JPEG's scan ends at the first marker that no scan can hold. */
#include "frames.h"

#include "banned.h"

#include <stdbool.h>

#define MAX_FILE ((size_t)1 << 30) /* bytes */

/* The bytes from our place on, at least n; *p is set anew by each call. */
static int
need(struct gv_feed *f, size_t n, const uint8_t **p, size_t *got,
    struct gv_error *e)
{
	if (n > MAX_FILE)
		return gv_fail(e, GV_ERR_LIMIT,
		    "a picture of more than %zu bytes", MAX_FILE);
	if (gv_feed_peek(f, n, p, got, e))
		return e->code;
	if (*got < n)
		return gv_fail(e, GV_ERR_CUT, "the last picture ends early");
	return 0;
}

static int
png_end(struct gv_feed *f, size_t *end, struct gv_error *e)
{
	const uint8_t *p;
	size_t at = 8, got, len;
	bool last;

	do {
		if (need(f, at + 12, &p, &got, e))
			return e->code;
		p += at;
		len = (size_t)p[0] << 24 | (size_t)p[1] << 16 |
		      (size_t)p[2] << 8 | p[3];
		last = !memcmp(p + 4, "IEND", 4);
		at += 12 + len;
	} while (!last);
	*end = at;
	return need(f, at, &p, &got, e);
}

/* From `at`, which is inside a scan, to the marker behind it. */
static int
scan_end(struct gv_feed *f, size_t *at, struct gv_error *e)
{
	const uint8_t *p, *ff;
	size_t got;

	for (;;) {
		if (need(f, *at + 2, &p, &got, e))
			return e->code;
		ff = memchr(p + *at, 0xff, got - 1 - *at);
		if (!ff) {
			*at = got - 1;
			continue;
		}
		*at = (size_t)(ff - p);
		if (ff[1] == 0xff) /* a marker may have any number of them */
			++*at;
		else if (ff[1] == 0 || (ff[1] >= 0xd0 && ff[1] <= 0xd7))
			*at += 2; /* a byte of 255, or a restart */
		else
			return 0;
	}
}

static int
jpeg_end(struct gv_feed *f, size_t *end, struct gv_error *e)
{
	enum { EOI = 0xd9, SOS = 0xda };
	const uint8_t *p;
	size_t at = 2, got, len;
	int marker;

	for (;;) {
		if (need(f, at + 2, &p, &got, e))
			return e->code;
		marker = p[at + 1];
		if (p[at] != 0xff || !marker)
			return gv_fail(e, GV_ERR_FORMAT,
			    "a damaged JPEG: no marker where one must be");
		at += marker == 0xff ? 1 : 2;
		if (marker == EOI)
			break;
		if (marker == 0xff || marker == 1 ||
		    (marker >= 0xd0 && marker <= 0xd8))
			continue;
		if (need(f, at + 2, &p, &got, e))
			return e->code;
		len = (size_t)p[at] << 8 | p[at + 1];
		if (len < 2)
			return gv_fail(e, GV_ERR_FORMAT,
			    "a damaged JPEG: a segment of %zu bytes", len);
		at += len;
		if (marker == SOS && scan_end(f, &at, e))
			return e->code;
	}
	*end = at;
	return 0;
}

int
gv_frame_next(struct gv_feed *f, size_t *n, struct gv_error *e)
{
	const uint8_t *p;
	size_t got;
	int r;

	if (gv_feed_peek(f, 8, &p, &got, e))
		return e->code;
	if (!got)
		return 0;
	if (got >= 2 && p[0] == 0xff && p[1] == 0xd8)
		r = jpeg_end(f, n, e);
	else if (got >= 8 && !memcmp(p, "\x89PNG\r\n\x1a\n", 8))
		r = png_end(f, n, e);
	else
		r = gv_fail(e, GV_ERR_FORMAT, "neither JPEG nor PNG");
	if (!r)
		return 1;
	return gv_fail_in(
	    e, "offset %llu", (unsigned long long)gv_feed_offset(f));
}
