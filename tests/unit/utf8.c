/* UTF-8, character classes and NFC. */
#include "utf8.h"

#include "tokens.h"

#include <time.h>
#include <utf8proc.h>

static void
decoding(void)
{
	static const struct {
		const char *s;
		size_t n, len;
		uint32_t c;
	} t[] = {{"A", 1, 1, 'A'}, {"\xc3\xa9", 2, 2, 0xe9},
	    {"\xc3", 1, 1, GV_UTF8_BAD}, {"\xc3g", 2, 1, GV_UTF8_BAD},
	    {"\xc1\x81", 2, 1, GV_UTF8_BAD}, {"\x80", 1, 1, GV_UTF8_BAD},
	    {"\xe0\x9f\xbf", 3, 1, GV_UTF8_BAD}, {"\xe0\xa0\x80", 3, 3, 0x800},
	    {"\xed\xa0\x80", 3, 1, GV_UTF8_BAD}, {"\xed\x9f\xbf", 3, 3, 0xd7ff},
	    {"\xef\xbf\xbf", 3, 3, 0xffff}, {"\xe4\xb8", 2, 1, GV_UTF8_BAD},
	    {"\xf0\x8f\xbf\xbf", 4, 1, GV_UTF8_BAD},
	    {"\xf0\x90\x80\x80", 4, 4, 0x10000},
	    {"\xf4\x8f\xbf\xbf", 4, 4, 0x10ffff},
	    {"\xf4\x90\x80\x80", 4, 1, GV_UTF8_BAD},
	    {"\xf0\x9f\x99", 3, 1, GV_UTF8_BAD}, {"\xff", 1, 1, GV_UTF8_BAD},
	    {"\0", 1, 1, 0}};
	size_t i;
	uint32_t c, bad = 0;
	char b[4];

	for (i = 0; i < sizeof t / sizeof *t; i++) {
		size_t len = gv_utf8_next(t[i].s, t[i].n, &c);

		ok(len == t[i].len && c == t[i].c, "decode row %zu", i);
	}
	for (i = 0; i < 0x110000; i++) {
		size_t n = gv_utf8_put((uint32_t)i, b);
		bool surrogate = i >= 0xd800 && i < 0xe000;

		if (!surrogate)
			bad += gv_utf8_next(b, n, &c) != n || c != i;
	}
	is_int(bad, 0, "every character comes back");
}

static void
whole(void)
{
	const char *s = "a\xf0\x9f\x99\x82z\xc3\xa9";
	static const size_t want[] = {0, 1, 1, 1, 1, 5, 6, 6, 8};
	size_t n;

	for (n = 0; n <= 8; n++)
		is_int((long long)gv_utf8_whole(s, n), (long long)want[n],
		    "of %zu bytes, whole characters", n);
	is_int((long long)gv_utf8_whole("\x80\x80\x80\x80", 4), 4,
	    "bytes that no character starts wait for nothing");
	is_int((long long)gv_utf8_whole("a\xff", 2), 2, "nor does 0xff");
}

/* Counted with tokenizers 0.23.3 and tiktoken 0.14.0, but for U+1171E, a mark
 * to all of them. */
static void
categories(void)
{
	static const int want[] = {0, 1858, 2258, 31, 404, 136477, 2021, 467,
	    13, 760, 236, 915, 10, 27, 79, 77, 12, 10, 640, 950, 63, 125, 7376};
	int n[GV_CO + 1] = {0}, k;
	uint32_t c;

	for (c = 0; c < 0x110000; c++)
		n[gv_utf8_category(c)]++;
	for (k = GV_LU; k <= GV_SO; k++)
		is_int(n[k], want[k], "characters of category %d", k);
}

/* What tokenizers' Lowercase makes of some. */
static void
cases(void)
{
	size_t n;
	char *s = gv_utf8_lower("A\xff\xc4\xb0\xce\xa3\xc8\xba"
				"\xea\x9f\x8b\xf0\x90\xb5\x90\xe1\xba\x9e!",
	    19, &n);

	ok(s && n == 19 &&
		!memcmp(s,
		    "a\xffi\xcc\x87\xcf\x83\xe2\xb1\xa5\xc9\xa4"
		    "\xf0\x90\xb5\xb0\xc3\x9f!",
		    19),
	    "lower case");
	gv_free(s);
	is_int((long long)gv_utf8_check("a\xc3\xa9", 3), 3, "all UTF-8");
	is_int((long long)gv_utf8_check("a\xed\xa0\x80", 4), 1,
	    "a surrogate is not");
}

static void
classes(void)
{
	static const struct {
		uint32_t c;
		enum gv_class want;
	} t[] = {{'a', GV_CLASS_LETTER}, {'Z', GV_CLASS_LETTER},
	    {'5', GV_CLASS_NUMBER}, {' ', GV_CLASS_SPACE},
	    {0x0b, GV_CLASS_SPACE}, {0x1c, GV_CLASS_OTHER},
	    {0x85, GV_CLASS_SPACE}, {0xa0, GV_CLASS_SPACE},
	    {0x180e, GV_CLASS_OTHER}, {0x200b, GV_CLASS_OTHER},
	    {0x2028, GV_CLASS_SPACE}, {0x3000, GV_CLASS_SPACE},
	    {0xaa, GV_CLASS_LETTER}, {0x2b0, GV_CLASS_LETTER},
	    {0x301, GV_CLASS_OTHER}, {0xbd, GV_CLASS_NUMBER},
	    {0x2167, GV_CLASS_NUMBER}, {0x4e2d, GV_CLASS_LETTER},
	    {0x1f642, GV_CLASS_OTHER}, {0x2ebf0, GV_CLASS_LETTER},
	    {0x10d40, GV_CLASS_NUMBER}, {GV_UTF8_BAD, GV_CLASS_OTHER},
	    {0x10ffff, GV_CLASS_OTHER}};
	size_t i, n[4] = {0};
	uint32_t c;

	for (i = 0; i < sizeof t / sizeof *t; i++)
		is_int(gv_utf8_class(t[i].c), t[i].want, "class of U+%04X",
		    t[i].c);
	for (c = 0; c < 0x110000; c++)
		n[gv_utf8_class(c)]++;
	/* counted with tokenizers 0.23.3 over all code points */
	is_int((long long)n[GV_CLASS_LETTER], 141028, "letters");
	is_int((long long)n[GV_CLASS_NUMBER], 1911, "numbers");
	categories();
	cases();
	is_int((long long)n[GV_CLASS_SPACE], 25, "spaces");
}

/* ---- NFC ----------------------------------------------------------------- */

static void
nfc_is(
    const char *s, size_t n, const char *want, size_t want_n, const char *what)
{
	struct gv_error e = {0};
	char *out;
	size_t len;

	must(gv_nfc(s, n, &out, &len, &e), &e);
	ok(len == want_n && !memcmp(out ? out : s, want, len), "NFC: %s", what);
	gv_free(out);
}
#define NFC(s, want, what) \
	nfc_is(s, sizeof(s) - 1, want, sizeof(want) - 1, what)

static void
nfc_table(void)
{
	NFC("plain", "plain", "ASCII");
	NFC("", "", "nothing");
	NFC("e\xcc\x81", "\xc3\xa9", "a mark composes");
	NFC("\xc3\xa9", "\xc3\xa9", "composed stays");
	NFC("a\0e\xcc\x81\0", "a\0\xc3\xa9\0", "NUL bytes stay");
	NFC("e\xff\xcc\x81", "e\xff\xcc\x81", "a bad byte separates");
	NFC("\xcc\x81", "\xcc\x81", "a mark alone");
	NFC("q\xcc\x87\xcc\xa3", "q\xcc\xa3\xcc\x87", "marks are ordered");
	NFC("\xe2\x84\xab", "\xc3\x85", "a singleton");
	NFC("\xe1\x84\x80\xe1\x85\xa1\xe1\x86\xa8", "\xea\xb0\x81",
	    "Hangul from jamo");
	NFC("\xea\xb0\x80\xe1\x86\xa8", "\xea\xb0\x81",
	    "a syllable takes a final");
	NFC("\xe0\xa5\x98", "\xe0\xa4\x95\xe0\xa4\xbc",
	    "an excluded composition");
	NFC("\xd0\xb8\xcc\x86 \xd0\xb9", "\xd0\xb9 \xd0\xb9",
	    "a mark behind a frequent letter");
	NFC("\xe1\xaa\xbf\xcc\x81", "\xe1\xaa\xbf\xcc\x81",
	    "a mark younger than the reference stays put");
}

/* Against utf8proc's own NFC, which orders marks in quadratic time but knows
 * nothing of our short cuts.  Marks younger than Unicode 9 are left out. */
static void
nfc_random(void)
{
	static const uint32_t base[] = {0x41, 0xc0, 0x300, 0x340, 0x390, 0x430,
	    0x5b0, 0x620, 0x930, 0x9c0, 0x1100, 0x1160, 0x11a8, 0x1e00, 0x1f00,
	    0x2120, 0x3040, 0x3090, 0xac00, 0xf900, 0xfb20, 0x1d15e};
	struct draw r = {5};
	int bad = 0, k;

	for (k = 0; k < 20000; k++) {
		struct gv_error e = {0};
		size_t n = 0, len, i, m = 1 + draw(&r, 30);
		utf8proc_uint8_t *want;
		char s[200], *out;

		for (i = 0; i < m; i++)
			n += gv_utf8_put(
			    base[draw(&r, sizeof base / sizeof *base)] +
				draw(&r, 24),
			    s + n);
		s[n] = '\0';
		want = utf8proc_NFC((utf8proc_uint8_t *)s);
		must(gv_nfc(s, n, &out, &len, &e), &e);
		bad += !want || strlen((char *)want) != len ||
		       memcmp(want, out ? out : s, len);
		free(want);
		gv_free(out);
	}
	is_int(bad, 0, "NFC of 20000 random texts is utf8proc's");
}

/* What gv_nfc() takes for stable must be: every character alone, and behind a
 * letter that many marks compose with. */
static void
nfc_stable(void)
{
	struct gv_error e = {0};
	uint32_t c, bad = 0;

	for (c = 1; c < 0x30000; c++) {
		char s[8] = "A", *out;
		size_t n, len;
		utf8proc_uint8_t *want;

		if (c >= 0xd800 && c < 0xe000)
			continue;
		n = 1 + gv_utf8_put(c, s + 1);
		s[n] = '\0';
		must(gv_nfc(s, n, &out, &len, &e), &e);
		want = utf8proc_NFC((utf8proc_uint8_t *)s);
		bad += !want || strlen((char *)want) != len ||
		       memcmp(want, out ? out : s, len);
		free(want);
		gv_free(out);
	}
	is_int(bad, 0, "NFC of every character behind A");
}

static void
nfc_linear(void)
{
	size_t n = 1 << 20, i, len = 0;
	struct gv_error e = {0};
	char *s = malloc(n), *out;
	clock_t t = clock();

	if (!s)
		bail("nfc_linear", "out of memory");
	for (i = 0; i < n; i += 4)
		memcpy(s + i, "\xcc\x81\xcc\x96", 4); /* classes 230, 220 */
	must(gv_nfc(s, n, &out, &len, &e), &e);
	ok((double)(clock() - t) / CLOCKS_PER_SEC < 2 && len == n && out &&
		!memcmp(out, "\xcc\x96\xcc\x96", 4) &&
		!memcmp(out + n - 4, "\xcc\x81\xcc\x81", 4),
	    "a megabyte of marks in the wrong order takes no time");
	gv_free(out);
	free(s);
}

/* One U+FFFD a maximal subpart: the examples of Unicode 15, tables 3-8 to 3-11,
 * with R for it, and ends that are cut. */
static void
cleaning(void)
{
	static const struct {
		const char *in, *out;
	} table[] = {
	    {"\xc0\xaf\xe0\x80\xbf\xf0\x81\x82\x41", "RRRRRRRRA"},
	    {"\xed\xa0\x80\xed\xbf\xbf\xed\xaf\x41", "RRRRRRRRA"},
	    {"\xf4\x91\x92\x93\xff\x41\x80\xbf\x42", "RRRRRARRB"},
	    {"\xe1\x80\xe2\xf0\x91\x92\xf1\xbf\x41", "RRRRA"},
	    {"a\xf0\x9f\x98", "aR"},
	    {"a\xf0\x9f\x98\x80z\xe2\x82", "a\xf0\x9f\x98\x80zR"},
	    {"\xc3", "R"},
	    {"\xf1\x80\x80\xc3\xa9", "R\xc3\xa9"},
	    {"", ""},
	};
	size_t i, j, k, n;

	for (i = 0; i < sizeof table / sizeof *table; i++) {
		char want[64], *got;

		for (j = k = 0; table[i].out[j]; j++) {
			bool bad = table[i].out[j] == 'R';

			memcpy(want + k,
			    bad ? "\xef\xbf\xbd" : &table[i].out[j],
			    bad ? 3 : 1);
			k += bad ? 3 : 1;
		}
		got = gv_utf8_clean(table[i].in, strlen(table[i].in), &n);
		ok(got && n == k && !memcmp(got, want, k) && !got[n],
		    "broken text %zu reads %s", i, table[i].out);
		gv_free(got);
	}
}

int
main(void)
{
	cleaning();
	decoding();
	whole();
	classes();
	nfc_table();
	nfc_random();
	nfc_stable();
	nfc_linear();
	return done();
}
