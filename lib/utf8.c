/* UTF-8 decoding, character classes and normalisation. */
#include "utf8.h"

#include "mem.h"
#include "banned.h"

#include <stdbool.h>
#include <utf8proc.h>

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
gv_utf8_check(const char *s, size_t n)
{
	size_t at, len;
	uint32_t c;

	for (at = 0; at < n; at += len) {
		len = gv_utf8_next(s + at, n - at, &c);
		if (c == GV_UTF8_BAD)
			break;
	}
	return at;
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

static const struct gv_utf8_range recent[] = {{0x897, 0x897, GV_MN},
    {0xcf3, 0xcf3, GV_MC}, {0xece, 0xece, GV_MN}, {0x1b4e, 0x1b4f, GV_PO},
    {0x1b7f, 0x1b7f, GV_PO}, {0x1c89, 0x1c89, GV_LU}, {0x1c8a, 0x1c8a, GV_LL},
    {0x2427, 0x2429, GV_SO}, {0x2ffc, 0x2fff, GV_SO}, {0x31e4, 0x31e5, GV_SO},
    {0x31ef, 0x31ef, GV_SO}, {0xa7cb, 0xa7cc, GV_LU}, {0xa7cd, 0xa7cd, GV_LL},
    {0xa7da, 0xa7da, GV_LU}, {0xa7db, 0xa7db, GV_LL}, {0xa7dc, 0xa7dc, GV_LU},
    {0x105c0, 0x105f3, GV_LO}, {0x10d40, 0x10d49, GV_ND},
    {0x10d4a, 0x10d4d, GV_LO}, {0x10d4e, 0x10d4e, GV_LM},
    {0x10d4f, 0x10d4f, GV_LO}, {0x10d50, 0x10d65, GV_LU},
    {0x10d69, 0x10d6d, GV_MN}, {0x10d6e, 0x10d6e, GV_PD},
    {0x10d6f, 0x10d6f, GV_LM}, {0x10d70, 0x10d85, GV_LL},
    {0x10d8e, 0x10d8f, GV_SM}, {0x10ec2, 0x10ec4, GV_LO},
    {0x10efc, 0x10eff, GV_MN}, {0x1123f, 0x11240, GV_LO},
    {0x11241, 0x11241, GV_MN}, {0x11380, 0x11389, GV_LO},
    {0x1138b, 0x1138b, GV_LO}, {0x1138e, 0x1138e, GV_LO},
    {0x11390, 0x113b5, GV_LO}, {0x113b7, 0x113b7, GV_LO},
    {0x113b8, 0x113ba, GV_MC}, {0x113bb, 0x113c0, GV_MN},
    {0x113c2, 0x113c2, GV_MC}, {0x113c5, 0x113c5, GV_MC},
    {0x113c7, 0x113ca, GV_MC}, {0x113cc, 0x113cd, GV_MC},
    {0x113ce, 0x113ce, GV_MN}, {0x113cf, 0x113cf, GV_MC},
    {0x113d0, 0x113d0, GV_MN}, {0x113d1, 0x113d1, GV_LO},
    {0x113d2, 0x113d2, GV_MN}, {0x113d3, 0x113d3, GV_LO},
    {0x113d4, 0x113d5, GV_PO}, {0x113d7, 0x113d8, GV_PO},
    {0x113e1, 0x113e2, GV_MN}, {0x116d0, 0x116e3, GV_ND},
    {0x11b00, 0x11b09, GV_PO}, {0x11bc0, 0x11be0, GV_LO},
    {0x11be1, 0x11be1, GV_PO}, {0x11bf0, 0x11bf9, GV_ND},
    {0x11f00, 0x11f01, GV_MN}, {0x11f02, 0x11f02, GV_LO},
    {0x11f03, 0x11f03, GV_MC}, {0x11f04, 0x11f10, GV_LO},
    {0x11f12, 0x11f33, GV_LO}, {0x11f34, 0x11f35, GV_MC},
    {0x11f36, 0x11f3a, GV_MN}, {0x11f3e, 0x11f3f, GV_MC},
    {0x11f40, 0x11f40, GV_MN}, {0x11f41, 0x11f41, GV_MC},
    {0x11f42, 0x11f42, GV_MN}, {0x11f43, 0x11f4f, GV_PO},
    {0x11f50, 0x11f59, GV_ND}, {0x11f5a, 0x11f5a, GV_MN},
    {0x1342f, 0x1342f, GV_LO}, {0x13439, 0x1343f, GV_CF},
    {0x13440, 0x13440, GV_MN}, {0x13441, 0x13446, GV_LO},
    {0x13447, 0x13455, GV_MN}, {0x13460, 0x143fa, GV_LO},
    {0x16100, 0x1611d, GV_LO}, {0x1611e, 0x16129, GV_MN},
    {0x1612a, 0x1612c, GV_MC}, {0x1612d, 0x1612f, GV_MN},
    {0x16130, 0x16139, GV_ND}, {0x16d40, 0x16d42, GV_LM},
    {0x16d43, 0x16d6a, GV_LO}, {0x16d6b, 0x16d6c, GV_LM},
    {0x16d6d, 0x16d6f, GV_PO}, {0x16d70, 0x16d79, GV_ND},
    {0x18cff, 0x18cff, GV_LO}, {0x1b132, 0x1b132, GV_LO},
    {0x1b155, 0x1b155, GV_LO}, {0x1cc00, 0x1ccef, GV_SO},
    {0x1ccf0, 0x1ccf9, GV_ND}, {0x1cd00, 0x1ceb3, GV_SO},
    {0x1d2c0, 0x1d2d3, GV_NO}, {0x1df25, 0x1df2a, GV_LL},
    {0x1e030, 0x1e06d, GV_LM}, {0x1e08f, 0x1e08f, GV_MN},
    {0x1e4d0, 0x1e4ea, GV_LO}, {0x1e4eb, 0x1e4eb, GV_LM},
    {0x1e4ec, 0x1e4ef, GV_MN}, {0x1e4f0, 0x1e4f9, GV_ND},
    {0x1e5d0, 0x1e5ed, GV_LO}, {0x1e5ee, 0x1e5ef, GV_MN},
    {0x1e5f0, 0x1e5f0, GV_LO}, {0x1e5f1, 0x1e5fa, GV_ND},
    {0x1e5ff, 0x1e5ff, GV_PO}, {0x1f6dc, 0x1f6dc, GV_SO},
    {0x1f774, 0x1f776, GV_SO}, {0x1f77b, 0x1f77f, GV_SO},
    {0x1f7d9, 0x1f7d9, GV_SO}, {0x1f8b2, 0x1f8bb, GV_SO},
    {0x1f8c0, 0x1f8c1, GV_SO}, {0x1fa75, 0x1fa77, GV_SO},
    {0x1fa87, 0x1fa89, GV_SO}, {0x1fa8f, 0x1fa8f, GV_SO},
    {0x1faad, 0x1faaf, GV_SO}, {0x1fabb, 0x1fabf, GV_SO},
    {0x1fac6, 0x1fac6, GV_SO}, {0x1face, 0x1facf, GV_SO},
    {0x1fada, 0x1fadc, GV_SO}, {0x1fadf, 0x1fadf, GV_SO},
    {0x1fae8, 0x1fae9, GV_SO}, {0x1faf7, 0x1faf8, GV_SO},
    {0x1fbcb, 0x1fbef, GV_SO}, {0x2b739, 0x2b739, GV_LO},
    {0x2ebf0, 0x2ee5d, GV_LO}, {0x31350, 0x323af, GV_LO}};

size_t
gv_utf8_recent(const struct gv_utf8_range **r)
{
	*r = recent;
	return sizeof recent / sizeof *recent;
}

enum gv_category
gv_utf8_category(uint32_t c)
{
	utf8proc_category_t k;
	size_t lo = 0, hi = sizeof recent / sizeof *recent;

	if (c > 0x10ffff)
		return GV_CN;
	k = utf8proc_category((utf8proc_int32_t)c);
	if (k != UTF8PROC_CATEGORY_CN)
		return (enum gv_category)k;
	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (c > recent[mid].hi)
			lo = mid + 1;
		else if (c < recent[mid].lo)
			hi = mid;
		else
			return recent[mid].category;
	}
	return GV_CN;
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
	switch (gv_utf8_category(c)) {
	case GV_LU:
	case GV_LL:
	case GV_LT:
	case GV_LM:
	case GV_LO:
		return GV_CLASS_LETTER;
	case GV_ND:
	case GV_NL:
	case GV_NO:
		return GV_CLASS_NUMBER;
	default:
		return is_space(c) ? GV_CLASS_SPACE : GV_CLASS_OTHER;
	}
}

/* ---- case ---------------------------------------------------------------- */

/* Capitals that utf8proc doesn't know, up to Unicode 17. */
static uint32_t
lower(uint32_t c)
{
	static const struct {
		uint32_t lo, hi, to;
	} young[] = {{0x1c89, 0x1c89, 0x1c8a}, {0xa7cb, 0xa7cb, 0x264},
	    {0xa7cc, 0xa7cc, 0xa7cd}, {0xa7ce, 0xa7ce, 0xa7cf},
	    {0xa7d2, 0xa7d2, 0xa7d3}, {0xa7d4, 0xa7d4, 0xa7d5},
	    {0xa7da, 0xa7da, 0xa7db}, {0xa7dc, 0xa7dc, 0x19b},
	    {0x10d50, 0x10d65, 0x10d70}, {0x16ea0, 0x16eb8, 0x16ebb}};
	size_t i;

	for (i = 0; c >= 0x1c89 && i < sizeof young / sizeof *young; i++)
		if (c >= young[i].lo && c <= young[i].hi)
			return young[i].to + (c - young[i].lo);
	return (uint32_t)utf8proc_tolower((utf8proc_int32_t)c);
}

char *
gv_utf8_lower(const char *s, size_t n, size_t *len)
{
	/* no lower case takes more than half as much again: U+023A does */
	char *out = gv_alloc(n + n / 2 + 4, 1);
	size_t at, k, put = 0;
	uint32_t c;

	for (at = 0; out && at < n; at += k) {
		k = gv_utf8_next(s + at, n - at, &c);
		if (c == GV_UTF8_BAD) {
			out[put++] = s[at];
			continue;
		}
		if (c == 0x130) { /* alone in becoming two characters */
			memcpy(out + put, "i\xcc\x87", 3);
			put += 3;
			continue;
		}
		put += gv_utf8_put(lower(c), out + put);
	}
	*len = put;
	return out;
}

/* ---- NFC ----------------------------------------------------------------- */

/* Starters that are their own NFC and never the second of a composition: what
 * lies between them can be normalised alone.  All below U+0300 are such; these
 * are the frequent ones above. */
struct range {
	uint32_t lo, hi;
};
static const struct range stable[] = {{0x0400, 0x0482}, {0x048a, 0x052f},
    {0x05d0, 0x05ea}, {0x0620, 0x064a}, {0x1e00, 0x1eff}, {0x2010, 0x2027},
    {0x2030, 0x205e}, {0x3001, 0x3029}, {0x3041, 0x3096}, {0x30a1, 0x30fa},
    {0x3400, 0x9fff}, {0xac00, 0xd7a3}, {0xff01, 0xff9d}, {0x1f300, 0x1faff}};

/* Marks younger than the reference's tables (Unicode 9): to it they are
 * unknown, so they neither move nor compose. */
static const struct range inert[] = {{0x7fd, 0x7fd}, {0x898, 0x89f},
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

static bool
in_ranges(const struct range *r, size_t n, uint32_t c)
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

/* Makes room for n more bytes of output. */
static int
reserve(struct nfc *f, size_t n, struct gv_error *e)
{
	void *p = f->out;

	if (gv_grow(&p, &f->out_cap, f->len + n, 1))
		return gv_fail(e, GV_ERR_NOMEM, "out of memory");
	f->out = p;
	return 0;
}

static int
append(struct nfc *f, const char *s, size_t n, struct gv_error *e)
{
	if (reserve(f, n, e))
		return e->code;
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
	if (reserve(f, 4 * (size_t)(got > 0 ? got : 0), e))
		return e->code;
	for (j = 0; j < got; j++)
		f->len += gv_utf8_put((uint32_t)f->c[j], f->out + f->len);
	return 0;
}

/* How many bytes at the start are ASCII. */
static size_t
ascii(const char *s, size_t n)
{
	uint64_t w;
	size_t i;

	for (i = 0; i + sizeof w <= n; i += sizeof w) {
		memcpy(&w, s + i, sizeof w);
		if (w & 0x8080808080808080)
			break;
	}
	while (i < n && (unsigned char)s[i] < 0x80)
		i++;
	return i;
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
			i += ascii(s + i, n - i);
			before = i - 1;
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
