/* SHA-256 and CRC-32 against published values and zlib. */
#include "sha.h"

#include "crc.h"
#include "mem.h"
#include "philox.h"
#include "tap.h"

#include <zlib.h>

static void
test_sha(void)
{
	char hex[GV_DIGEST], thousand[1000];
	struct gv_sha *s;
	int i;

	ok(gv_sha_of("", 0, hex), "of nothing");
	is_str(hex,
	    "e3b0c44298fc1c149afbf4c8996fb924"
	    "27ae41e4649b934ca495991b7852b855",
	    "FIPS 180-4: nothing");
	ok(gv_sha_of("abc", 3, hex), "of abc");
	is_str(hex,
	    "ba7816bf8f01cfea414140de5dae2223"
	    "b00361a396177a9cb410ff61f20015ad",
	    "FIPS 180-4: abc");
	memset(thousand, 'a', sizeof thousand);
	s = gv_sha_open();
	ok(s != NULL, "opened");
	for (i = 0; i < 1000; i++)
		gv_sha_add(s, thousand, sizeof thousand);
	gv_sha_close(&s, hex);
	is_str(hex,
	    "cdc76e5c9914fb9281a1c7e284d73e67"
	    "f1809a48a497200e046d39ccc7112cd0",
	    "FIPS 180-4: a million of a");
	ok(s == NULL, "closed");
	gv_sha_close(&s, hex);
}

static void
test_crc(void)
{
	enum { N = 70000 };
	uint8_t *p = gv_alloc(N, 1);
	struct gv_rng g;
	int i, same = 1, cut = 1;

	gv_rng_init(&g, 20, GV_PURPOSE_TEST);
	for (i = 0; i < N; i++)
		p[i] = (uint8_t)gv_rng_u32(&g);
	is_int(gv_crc(0, "123456789", 9), 0xcbf43926, "the check value");
	for (i = 0; i < 600; i++)
		same &= gv_crc(0, p + i % 67, (size_t)i) ==
			crc32_z(0, p + i % 67, (size_t)i);
	ok(same, "zlib's for lengths to 600, at any alignment");
	same = 1;
	for (i = 0; i < 3000; i++) {
		size_t at = gv_rng_below(&g, N), mid;
		size_t n = gv_rng_below(&g, N - at + 1);
		uint32_t from = gv_rng_u32(&g), crc;

		crc = gv_crc(from, p + at, n);
		same &= crc == crc32_z(from, p + at, n);
		mid = gv_rng_below(&g, n + 1);
		cut &= crc ==
		       gv_crc(gv_crc(from, p + at, mid), p + at + mid, n - mid);
	}
	ok(same, "zlib's for 3000 spans, seed 20");
	ok(cut, "the same in two parts");
	gv_free(p);
}

int
main(void)
{
	test_sha();
	test_crc();
	return done();
}
