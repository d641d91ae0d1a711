/* Base64 against RFC 4648's vectors, and what is none. */
#include "base64.h"

#include "tap.h"

/* Is s, of n characters, the base64 of `want`? */
static bool
gives(const char *s, size_t n, const void *want, size_t bytes)
{
	uint8_t got[64];
	size_t k = 99;

	memset(got, 0xa5, sizeof got);
	return gv_base64_decode(got, &k, s, n) && k == bytes &&
	       !memcmp(got, want, bytes) && got[GV_BASE64_ROOM(n)] == 0xa5;
}

static bool
refused(const char *s)
{
	uint8_t got[64];
	size_t k;

	return !gv_base64_decode(got, &k, s, strlen(s));
}

static void
test_vectors(void)
{
	/* section 10 */
	static const char *const text = "foobar", *const code[] = {"",
						      "Zg==", "Zm8=", "Zm9v",
						      "Zm9vYg==", "Zm9vYmE=",
						      "Zm9vYmFy"};
	size_t n;

	for (n = 0; n < 7; n++) {
		size_t bare = strcspn(code[n], "=");

		ok(gives(code[n], strlen(code[n]), text, n), "'%s'", code[n]);
		ok(gives(code[n], bare, text, n), "'%s' without padding",
		    code[n]);
	}
}

static void
test_alphabet(void)
{
	static const char all[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
				  "abcdefghijklmnopqrstuvwxyz0123456789+/";
	uint8_t want[48], got[64];
	size_t i, k, bad = 0;
	char s[4] = "AAAA";

	/* 0, 1, 2 ... in six bits each */
	for (i = 0; i < 16; i++) {
		uint32_t v = (uint32_t)(4 * i << 18 | (4 * i + 1) << 12 |
					(4 * i + 2) << 6 | (4 * i + 3));

		want[3 * i] = (uint8_t)(v >> 16);
		want[3 * i + 1] = (uint8_t)(v >> 8);
		want[3 * i + 2] = (uint8_t)v;
	}
	ok(gives(all, 64, want, 48), "all characters");
	for (i = 0; i < 256 * 4; i++) {
		memcpy(s, "AAAA", 4);
		s[i % 4] = (char)(i / 4);
		bad += gv_base64_decode(got, &k, s, 4) !=
		       (i / 4 && strchr(all, (char)(i / 4)) != NULL);
	}
	/* at the end '=' is padding */
	ok(bad == 1, "no others, wherever they stand: %zu", bad);
}

static void
test_bad(void)
{
	static const char *const bad[] = {"A", "AAAAA", "A===", "====", "=",
	    "Zg=", "Zm8==", "Z=g=", "Zm 9v", "Zm9_", "Zh==", "Zm9=", "Zm9vYh",
	    "Zm9vYmF"};
	size_t i;

	for (i = 0; i < sizeof bad / sizeof *bad; i++)
		ok(refused(bad[i]), "not '%s'", bad[i]);
}

int
main(void)
{
	test_vectors();
	test_alphabet();
	test_bad();
	return done();
}
