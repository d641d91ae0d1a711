/* UTF-8 decoding, character classes and normalisation. */
#include "utf8.h"

#include "mem.h"
#include "token.h"
#include "banned.h"

#include <stdbool.h>
#include <utf8proc.h>

static bool
in_ranges(const struct gv_utf8_range *r, size_t n, uint32_t c)
{
	size_t lo = 0, hi = n;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (c > r[mid].hi)
			lo = mid + 1;
		else if (c < r[mid].lo)
			hi = mid;
		else
			return true;
	}
	return false;
}
#define IN(table, c) in_ranges(table, sizeof(table) / sizeof *(table), c)

static bool
tail(const char *s, size_t i)
{
	return ((unsigned char)s[i] & 0xc0) == 0x80;
}

size_t
gv_utf8_next(const char *s, size_t n, uint32_t *c)
{
	uint32_t b = (unsigned char)s[0], v;

#define T(i) ((uint32_t)(unsigned char)s[i] & 0x3f)
	*c = b;
	if (b < 0x80)
		return 1;
	*c = GV_UTF8_BAD;
	if (b < 0xc2 || b > 0xf4 || n < 2 || !tail(s, 1))
		return 1;
	if (b < 0xe0) {
		*c = (b & 0x1f) << 6 | T(1);
		return 2;
	}
	if (n < 3 || !tail(s, 2))
		return 1;
	if (b < 0xf0) {
		v = (b & 0xf) << 12 | T(1) << 6 | T(2);
		if (v < 0x800 || (v >= 0xd800 && v < 0xe000))
			return 1;
		*c = v;
		return 3;
	}
	if (n < 4 || !tail(s, 3))
		return 1;
	v = (b & 7) << 18 | T(1) << 12 | T(2) << 6 | T(3);
	if (v < 0x10000 || v > 0x10ffff)
		return 1;
	*c = v;
	return 4;
#undef T
}

size_t
gv_utf8_broken(const char *s, size_t n)
{
	unsigned b = (unsigned char)s[0],
		 next = n > 1 ? (unsigned char)s[1] : 0;
	/* what may stand behind the first byte */
	unsigned lo = b == 0xe0 ? 0xa0 : b == 0xf0 ? 0x90 : 0x80;
	unsigned hi = b == 0xed ? 0x9f : b == 0xf4 ? 0x8f : 0xbf;

	if (b < 0xe0 || b > 0xf4 || next < lo || next > hi)
		return 1;
	return b >= 0xf0 && n > 2 && tail(s, 2) ? 3 : 2;
}

char *
gv_utf8_clean(const char *s, size_t n, size_t *len)
{
	/* a byte becomes three at most */
	char *out = gv_alloc(n + 1, 3);
	size_t at, k, put = 0;
	uint32_t c;

	for (at = 0; out && at < n; at += k) {
		k = gv_utf8_next(s + at, n - at, &c);
		if (c == GV_UTF8_BAD) {
			k = gv_utf8_broken(s + at, n - at);
			put += gv_utf8_put(0xfffd, out + put);
		} else {
			memcpy(out + put, s + at, k);
			put += k;
		}
	}
	*len = put;
	return out;
}

size_t
gv_utf8_put(uint32_t c, char out[4])
{
	return (size_t)utf8proc_encode_char(
	    (utf8proc_int32_t)c, (utf8proc_uint8_t *)out);
}

size_t
gv_utf8_whole(const char *s, size_t n)
{
	size_t back = 1;

	/* Only a lead byte among the last three can wait for more. */
	for (; back <= 3 && back <= n; back++) {
		unsigned char b = (unsigned char)s[n - back];
		size_t want = b >= 0xf0 ? 4 : b >= 0xe0 ? 3 : b >= 0xc2 ? 2 : 1;

		if ((b & 0xc0) == 0x80)
			continue;
		return b <= 0xf4 && want > back ? n - back : n;
	}
	return n;
}

/* ---- classes ------------------------------------------------------------- */

static const struct gv_utf8_range new_letters[] = {{0x1c89, 0x1c8a},
    {0xa7cb, 0xa7cd}, {0xa7da, 0xa7dc}, {0x105c0, 0x105f3}, {0x10d4a, 0x10d65},
    {0x10d6f, 0x10d85}, {0x10ec2, 0x10ec4}, {0x1123f, 0x11240},
    {0x11380, 0x11389}, {0x1138b, 0x1138b}, {0x1138e, 0x1138e},
    {0x11390, 0x113b5}, {0x113b7, 0x113b7}, {0x113d1, 0x113d1},
    {0x113d3, 0x113d3}, {0x11bc0, 0x11be0}, {0x11f02, 0x11f02},
    {0x11f04, 0x11f10}, {0x11f12, 0x11f33}, {0x1342f, 0x1342f},
    {0x13441, 0x13446}, {0x13460, 0x143fa}, {0x16100, 0x1611d},
    {0x16d40, 0x16d6c}, {0x18cff, 0x18cff}, {0x1b132, 0x1b132},
    {0x1b155, 0x1b155}, {0x1df25, 0x1df2a}, {0x1e030, 0x1e06d},
    {0x1e4d0, 0x1e4eb}, {0x1e5d0, 0x1e5ed}, {0x1e5f0, 0x1e5f0},
    {0x2b739, 0x2b739}, {0x2ebf0, 0x2ee5d}, {0x31350, 0x323af}};
static const struct gv_utf8_range new_numbers[] = {{0x10d40, 0x10d49},
    {0x116d0, 0x116e3}, {0x11bf0, 0x11bf9}, {0x11f50, 0x11f59},
    {0x16130, 0x16139}, {0x16d70, 0x16d79}, {0x1ccf0, 0x1ccf9},
    {0x1d2c0, 0x1d2d3}, {0x1e4f0, 0x1e4f9}, {0x1e5f1, 0x1e5fa}};

size_t
gv_utf8_new(enum gv_class k, const struct gv_utf8_range **r)
{
	bool letter = k == GV_CLASS_LETTER;

	*r = letter ? new_letters : new_numbers;
	return letter ? sizeof new_letters / sizeof *new_letters
		      : sizeof new_numbers / sizeof *new_numbers;
}

static bool
is_space(uint32_t c)
{
	return (c >= 0x09 && c <= 0x0d) || c == 0x20 || c == 0x85 ||
	       c == 0xa0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200a) ||
	       c == 0x2028 || c == 0x2029 || c == 0x202f || c == 0x205f ||
	       c == 0x3000;
}

enum gv_class
gv_utf8_class(uint32_t c)
{
	if (c < 0x80) {
		uint32_t l = c | 0x20;

		if (l >= 'a' && l <= 'z')
			return GV_CLASS_LETTER;
		if (c >= '0' && c <= '9')
			return GV_CLASS_NUMBER;
		return is_space(c) ? GV_CLASS_SPACE : GV_CLASS_OTHER;
	}
	if (c > 0x10ffff)
		return GV_CLASS_OTHER;
	switch (utf8proc_category((utf8proc_int32_t)c)) {
	case UTF8PROC_CATEGORY_LU:
	case UTF8PROC_CATEGORY_LL:
	case UTF8PROC_CATEGORY_LT:
	case UTF8PROC_CATEGORY_LM:
	case UTF8PROC_CATEGORY_LO:
		return GV_CLASS_LETTER;
	case UTF8PROC_CATEGORY_ND:
	case UTF8PROC_CATEGORY_NL:
	case UTF8PROC_CATEGORY_NO:
		return GV_CLASS_NUMBER;
	case UTF8PROC_CATEGORY_CN:
		return IN(new_letters, c)   ? GV_CLASS_LETTER
		       : IN(new_numbers, c) ? GV_CLASS_NUMBER
					    : GV_CLASS_OTHER;
	default:
		return is_space(c) ? GV_CLASS_SPACE : GV_CLASS_OTHER;
	}
}

/* ---- NFC ----------------------------------------------------------------- */

/* Starters that are their own NFC and never the second of a composition: what
 * lies between them can be normalised alone.  All below U+0300 are such; these
 * are the frequent ones above. */
static const struct gv_utf8_range stable[] = {{0x0400, 0x0482},
    {0x048a, 0x052f}, {0x05d0, 0x05ea}, {0x0620, 0x064a}, {0x1e00, 0x1eff},
    {0x2010, 0x2027}, {0x2030, 0x205e}, {0x3001, 0x3029}, {0x3041, 0x3096},
    {0x30a1, 0x30fa}, {0x3400, 0x9fff}, {0xac00, 0xd7a3}, {0xff01, 0xff9d},
    {0x1f300, 0x1faff}};

/* Marks younger than the reference's tables (Unicode 9): to it they are
 * unknown, so they neither move nor compose. */
static const struct gv_utf8_range inert[] = {{0x7fd, 0x7fd}, {0x898, 0x89f},
    {0x8ca, 0x8d3}, {0x9fe, 0x9fe}, {0xc3c, 0xc3c}, {0xd3b, 0xd3c},
    {0xeba, 0xeba}, {0x1715, 0x1715}, {0x1abf, 0x1ace}, {0x1df6, 0x1dfa},
    {0xa82c, 0xa82c}, {0x10d24, 0x10d27}, {0x10eab, 0x10eac},
    {0x10efd, 0x10eff}, {0x10f46, 0x10f50}, {0x10f82, 0x10f85},
    {0x11070, 0x11070}, {0x1133b, 0x1133b}, {0x1145e, 0x1145e},
    {0x11839, 0x1183a}, {0x11930, 0x11930}, {0x1193d, 0x1193e},
    {0x11943, 0x11943}, {0x119e0, 0x119e0}, {0x11a34, 0x11a34},
    {0x11a47, 0x11a47}, {0x11a99, 0x11a99}, {0x11d42, 0x11d42},
    {0x11d44, 0x11d45}, {0x11d97, 0x11d97}, {0x11f41, 0x11f42},
    {0x16ff0, 0x16ff1}, {0x1e08f, 0x1e08f}, {0x1e130, 0x1e136},
    {0x1e2ae, 0x1e2ae}, {0x1e2ec, 0x1e2ef}, {0x1e4ec, 0x1e4ef}};

/* May c change, or change what stands before it? */
static bool
unstable(uint32_t c)
{
	return c >= 0x300 && c <= 0x10ffff && !IN(stable, c) && !IN(inert, c);
}

/* Is c, which is not unstable, also untouched by what stands after it? */
static bool
alone(uint32_t c)
{
	return c >= 0x300 && (c > 0x10ffff || IN(inert, c));
}

static int
ccc(utf8proc_int32_t c)
{
	return (int)utf8proc_get_property(c)->combining_class;
}

/* Stable counting sort of a run of marks by combining class. */
static int
sort_long(utf8proc_int32_t *c, size_t n, struct gv_error *e)
{
	size_t at[257] = {0}, i;
	utf8proc_int32_t *tmp = gv_alloc(n, sizeof *tmp);

	if (!tmp)
		return gv_fail(e, GV_ERR_NOMEM, "out of memory");
	for (i = 0; i < n; i++)
		at[(ccc(c[i]) & 255) + 1]++;
	for (i = 1; i < 257; i++)
		at[i] += at[i - 1];
	for (i = 0; i < n; i++)
		tmp[at[ccc(c[i]) & 255]++] = c[i];
	memcpy(c, tmp, n * sizeof *c);
	gv_free(tmp);
	return 0;
}

static int
sort_marks(utf8proc_int32_t *c, size_t n, struct gv_error *e)
{
	size_t i, j;

	if (n > 32)
		return sort_long(c, n, e);
	for (i = 1; i < n; i++) {
		utf8proc_int32_t x = c[i];

		for (j = i; j && ccc(c[j - 1]) > ccc(x); j--)
			c[j] = c[j - 1];
		c[j] = x;
	}
	return 0;
}

struct nfc {
	utf8proc_int32_t *c;
	size_t cap;
	char *out;
	size_t len, out_cap;
};

static int
append(struct nfc *f, const char *s, size_t n, struct gv_error *e)
{
	void *p = f->out;

	if (gv_grow(&p, &f->out_cap, f->len + n, 1))
		return gv_fail(e, GV_ERR_NOMEM, "out of memory");
	f->out = p;
	if (n)
		memcpy(f->out + f->len, s, n);
	f->len += n;
	return 0;
}

/* Decomposes, orders and composes valid UTF-8. */
static int
region(struct nfc *f, const char *s, size_t n, struct gv_error *e)
{
	size_t i = 0, k = 0, run;
	utf8proc_ssize_t got, j;
	int bound = 0;
	void *p = f->c;

	/* a character of two bytes or more has at most four parts */
	if (gv_grow(&p, &f->cap, 2 * n + 32, sizeof *f->c))
		return gv_fail(e, GV_ERR_NOMEM, "out of memory");
	f->c = p;
	while (i < n) {
		uint32_t c;

		i += gv_utf8_next(s + i, n - i, &c);
		k += (size_t)utf8proc_decompose_char((utf8proc_int32_t)c,
		    f->c + k, 32, UTF8PROC_STABLE | UTF8PROC_COMPOSE, &bound);
	}
	for (i = 0; i < k; i += run + 1) {
		for (run = 0; i + run < k && ccc(f->c[i + run]); run++)
			;
		if (run > 1 && sort_marks(f->c + i, run, e))
			return e->code;
	}
	got = utf8proc_normalize_utf32(
	    f->c, (utf8proc_ssize_t)k, UTF8PROC_STABLE | UTF8PROC_COMPOSE);
	for (j = 0; j < got; j++) {
		char u[4];
		size_t len = gv_utf8_put((uint32_t)f->c[j], u);

		if (append(f, u, len, e))
			return e->code;
	}
	return 0;
}

int
gv_nfc(const char *s, size_t n, char **out, size_t *len, struct gv_error *e)
{
	struct nfc f = {0};
	size_t i = 0, done = 0, before = 0, l;
	bool any = false;
	uint32_t c;

	/* `before` is where the character before i starts, or i. */
	while (i < n) {
		if ((unsigned char)s[i] < 0x80) {
			before = i++;
			continue;
		}
		l = gv_utf8_next(s + i, n - i, &c);
		if (!unstable(c)) {
			before = alone(c) ? i + l : i;
			i += l;
			continue;
		}
		any = true;
		if (append(&f, s + done, before - done, e))
			goto fail;
		for (i += l; i < n; i += l) {
			l = gv_utf8_next(s + i, n - i, &c);
			if (!unstable(c))
				break;
		}
		if (region(&f, s + before, i - before, e))
			goto fail;
		done = before = i;
	}
	if (any && append(&f, s + done, n - done, e))
		goto fail;
	gv_free(f.c);
	*out = any ? f.out : NULL;
	*len = any ? f.len : n;
	return 0;
fail:
	gv_free(f.c);
	gv_free(f.out);
	return e->code;
}
