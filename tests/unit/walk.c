/* The walker against msgpack-c's packer, and against everything malformed. */
#include "walk.h"

#include "pack.h"
#include "philox.h"
#include "tap.h"

static void
test_numbers(void)
{
	static const int64_t v[] = {0, 1, 127, 128, 255, 256, 65535, 65536,
	    4294967295, 4294967296, INT64_MAX, -1, -32, -33, -128, -129, -32768,
	    -32769, -2147483648, -2147483649, INT64_MIN};
	struct gv_pack p;
	struct gv_walk w;
	struct gv_item it;
	size_t i;
	int same = 1;

	gv_pack_init(&p);
	for (i = 0; i < sizeof v / sizeof *v; i++)
		msgpack_pack_int64(&p.pk, v[i]);
	/* the longest forms of a small number are numbers as well */
	gv_pack_raw(&p, "\xcf\0\0\0\0\0\0\0\5\xd3\0\0\0\0\0\0\0\6", 18);
	gv_walk_init(&w, p.p, p.n);
	for (i = 0; i < sizeof v / sizeof *v; i++) {
		same &= gv_walk_item(&w, &it);
		if (v[i] < 0)
			same &= it.type == GV_ITEM_INT && it.i == v[i];
		else
			same &=
			    it.type == GV_ITEM_UINT && it.u == (uint64_t)v[i];
	}
	ok(same, "integers of every width");
	ok(gv_walk_item(&w, &it) && it.type == GV_ITEM_UINT && it.u == 5 &&
		gv_walk_item(&w, &it) && it.type == GV_ITEM_UINT && it.u == 6,
	    "wide forms of small numbers");
	ok(!gv_walk_item(&w, &it) && w.code == GV_ERR_CUT, "and no more");
	p.n = 0;
	msgpack_pack_float(&p.pk, 0.25f);
	msgpack_pack_double(&p.pk, -1e300);
	msgpack_pack_true(&p.pk);
	msgpack_pack_nil(&p.pk);
	gv_walk_init(&w, p.p, p.n);
	ok(gv_walk_item(&w, &it) && it.type == GV_ITEM_F64 && it.f >= 0.25 &&
		it.f <= 0.25 && gv_walk_item(&w, &it) && it.f <= -1e300,
	    "floats of both widths");
	ok(gv_walk_item(&w, &it) && it.type == GV_ITEM_BOOL && it.u == 1 &&
		gv_walk_item(&w, &it) && it.type == GV_ITEM_NIL,
	    "true and nil");
	gv_pack_free(&p);
}

/* What each first byte is: against the table of the specification. */
static void
test_tags(void)
{
	uint8_t b[16] = {0};
	struct gv_walk w;
	struct gv_item it;
	int t, right = 1, refused = 0;

	for (t = 0; t < 256; t++) {
		bool good;

		b[0] = (uint8_t)t;
		gv_walk_init(&w, b, sizeof b);
		good = gv_walk_item(&w, &it);
		if (t == 0xc1 || (t >= 0xc7 && t <= 0xc9) ||
		    (t >= 0xd4 && t <= 0xd8)) {
			refused += !good && w.code == GV_ERR_FORMAT;
			continue;
		}
		if (t >= 0xa0 + 16 && t < 0xc0) /* longer than what is there */
			right &= !good && w.code == GV_ERR_CUT;
		else if (t >= 0x88 && t < 0x90) /* 2 * 8 .. 15 in 15 bytes */
			right &= !good && w.code == GV_ERR_CUT;
		else
			right &= good;
	}
	ok(right, "every first byte");
	is_int(refused, 9, "ext types and c1 are refused");
}

static void
test_lengths(void)
{
	static const struct {
		const char *b;
		size_t n;
		int code;
	} bad[] = {
	    {"\xdb\xff\xff\xff\xff", 5, GV_ERR_LIMIT},
	    {"\xc6\x80\x00\x00\x00", 5, GV_ERR_LIMIT},
	    {"\xdd\x0f\xff\xff\xff", 5, GV_ERR_CUT},
	    {"\xdf\x0f\xff\xff\xff", 5, GV_ERR_LIMIT},
	    {"\xde\x01\x01", 3, GV_ERR_LIMIT},
	    {"\xde\x01", 2, GV_ERR_CUT},
	    {"\xa5hell", 5, GV_ERR_CUT},
	};
	struct gv_walk w;
	size_t i;

	for (i = 0; i < sizeof bad / sizeof *bad; i++) {
		gv_walk_init(&w, bad[i].b, bad[i].n);
		ok(!gv_walk_skip(&w, 8, true) && w.code == bad[i].code,
		    "a length of more than is there (%zu)", i);
	}
	gv_walk_init(&w, "\xa5hello", 6);
	w.limit = 5;
	ok(!gv_walk_skip(&w, 8, true) && w.code == GV_ERR_LIMIT,
	    "a length beyond the limit");
}

static void
test_depth(void)
{
	uint8_t nested[20000];
	struct gv_walk w;
	int d;

	memset(nested, 0x91, sizeof nested);
	for (d = 1; d <= 8; d++) {
		nested[d] = 0xc0;
		gv_walk_init(&w, nested, sizeof nested);
		if (!gv_walk_skip(&w, d, false) || w.at != (size_t)d + 1)
			break;
		gv_walk_init(&w, nested, sizeof nested);
		if (gv_walk_skip(&w, d - 1, false) || w.code != GV_ERR_LIMIT)
			break;
		nested[d] = 0x91;
	}
	is_int(d, 9, "depths 1 to 8, allowed and not");
	gv_walk_init(&w, nested, sizeof nested);
	ok(!gv_walk_skip(&w, 8, false) && w.code == GV_ERR_LIMIT,
	    "20,000 lists in each other");
}

static void
test_utf8(void)
{
	static const struct {
		const char *s;
		int valid;
	} t[] = {{"", 1}, {"plain ascii, longer than eight", 1}, {"\x7f", 1},
	    {"\x80", 0}, {"\xc1\xbf", 0}, {"\xc2\x80", 1}, {"\xdf\xbf", 1},
	    {"\xe0\x9f\xbf", 0}, {"\xe0\xa0\x80", 1}, {"\xed\x9f\xbf", 1},
	    {"\xed\xa0\x80", 0}, {"\xef\xbf\xbf", 1}, {"\xf0\x8f\xbf\xbf", 0},
	    {"\xf0\x90\x80\x80", 1}, {"\xf4\x8f\xbf\xbf", 1},
	    {"\xf4\x90\x80\x80", 0}, {"\xf5", 0}, {"\xff", 0},
	    {"1234567\xc3", 0}, {"12345678\xc3\xa9", 1}, {"\xe2\x82", 0},
	    {"\xe2\x28\xa1", 0}, {"a\xcc\x81", 1}};
	size_t i;

	for (i = 0; i < sizeof t / sizeof *t; i++)
		is_int(gv_utf8_valid(t[i].s, strlen(t[i].s)), t[i].valid,
		    "UTF-8 (%zu)", i);
}

/* Random bytes: never beyond the end, always an answer. */
static void
test_random(void)
{
	enum { N = 200000 };
	struct gv_rng g;
	struct gv_walk w;
	int i, n, fine = 1, whole = 0;

	gv_rng_init(&g, 4, GV_PURPOSE_TEST);
	for (i = 0; i < N; i++) {
		uint8_t b[24];

		for (n = 0; n < 24; n++)
			b[n] = (uint8_t)gv_rng_u32(&g);
		gv_walk_init(&w, b, sizeof b);
		if (gv_walk_skip(&w, 8, true))
			whole++;
		else
			fine &= w.code < 0 && w.why != NULL;
		fine &= w.at <= sizeof b;
	}
	ok(fine, "%d random spans, seed 4", N);
	ok(whole > N / 4 && whole < N, "of which some are objects");
}

int
main(void)
{
	test_numbers();
	test_tags();
	test_lengths();
	test_depth();
	test_utf8();
	test_random();
	return done();
}
