/* Fuzz: any bytes as a JPEG or PNG, as gv-decode makes pixels of them.  Row by
 * row or whole, the pixels must be the same, and so must be the refusal.
 *
 * Limits are small, so that most of the time is spent on what is odd.
 */
#include "image.h"

#include <stdlib.h>
#include <string.h>

enum { SIDE = 24 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void
must(bool sound)
{
	if (!sound)
		abort();
}

static void
said(const struct gv_error *e, int r)
{
	must((r != 0) == (e->code != 0));
	must((r != 0) == (e->msg[0] != '\0'));
	must(!strchr(e->msg, '\n'));
}

/* Whole, then resized: what gv_maker_make() promises the pixels of. */
static int
whole(uint8_t *px, int32_t size[2], const void *data, size_t n,
    const struct gv_image_rule *rule, const struct gv_image_limits *l)
{
	struct gv_error e = {0};
	struct gv_image im = {0};
	int r = gv_image_decode(&im, data, n, l, &e);

	said(&e, r);
	if (r)
		return r;
	must(im.width > 0 && im.height > 0);
	must((uint64_t)im.width * (uint64_t)im.height <= l->max_pixels);
	size[0] = im.height;
	size[1] = im.width;
	r = gv_image_resize(px, &im, rule, &e);
	said(&e, r);
	gv_image_free(&im);
	return r;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static const enum gv_fit fits[] = {
	    GV_FIT_SQUASH, GV_FIT_CROP, GV_FIT_PAD};
	static uint8_t a[SIDE * SIDE * 3], b[sizeof a];
	struct gv_image_rule rule = {.height = SIDE, .width = SIDE};
	struct gv_image_limits l;
	struct gv_maker *m = NULL;
	struct gv_error e = {0};
	int32_t as[2] = {0}, bs[2] = {0};
	int ra, rb;

	/* the same bytes always mean the same: choices come from them */
	unsigned pick = n ? data[n / 2] ^ data[n - 1] : 0;

	gv_image_limits_default(&l);
	l.max_pixels = 1 << 12;
	l.max_side = 4096;
	l.max_scans = 8;
	l.max_bytes = 8 << 20;
	l.max_seconds = 1e6; /* a slow machine refuses nothing */
	l.lenient = pick & 1;
	l.over = pick & 2;
	memcpy(l.under, "\377\200\1", 3);
	rule.fit = fits[pick / 4 % 3];
	rule.filter = pick & 128 ? GV_LANCZOS : GV_BICUBIC;
	rule.edge = rule.fit == GV_FIT_SQUASH ? 0 : SIDE;

	ra = whole(a, as, data, n, &rule, &l);
	memset(b, 77, sizeof b);
	must(gv_maker_open(&m, &rule, &l, &e) == 0);
	rb = gv_maker_make(m, b, bs, data, n, &e);
	said(&e, rb);
	gv_maker_close(&m);
	must((ra != 0) == (rb != 0));
	if (!ra) {
		must(!memcmp(as, bs, sizeof as));
		must(!memcmp(a, b, sizeof a));
	}
	return 0;
}
