/* Text as Python's str takes it: white space, digits, words, lower case. */
#include "reward_priv.h"

#include "mem.h"
#include "utf8.h"
#include "banned.h"

#include <utf8proc.h>

int
gv_bytes_room(struct gv_bytes *b, size_t more, struct gv_error *e)
{
	void *p = b->s;
	size_t need;

	if (!gv_add(b->n, more, &need) || gv_grow(&p, &b->cap, need + 1, 1))
		return gv_fail(e, GV_ERR_NOMEM, "out of memory");
	b->s = p;
	return 0;
}

int
gv_bytes_add(struct gv_bytes *b, const char *s, size_t n, struct gv_error *e)
{
	if (gv_bytes_room(b, n, e))
		return e->code;
	if (n)
		memcpy(b->s + b->n, s, n);
	b->n += n;
	return 0;
}

/* ---- classes ------------------------------------------------------------- */

bool
gv_py_space(uint32_t c)
{
	return (c >= 0x09 && c <= 0x0d) || (c >= 0x1c && c <= 0x20) ||
	       c == 0x85 || c == 0xa0 || c == 0x1680 ||
	       (c >= 0x2000 && c <= 0x200a) || c == 0x2028 || c == 0x2029 ||
	       c == 0x202f || c == 0x205f || c == 0x3000;
}

static utf8proc_category_t
category(uint32_t c)
{
	return c > 0x10ffff ? UTF8PROC_CATEGORY_CN
			    : utf8proc_category((utf8proc_int32_t)c);
}

bool
gv_py_digit(uint32_t c)
{
	if (c < 0x80)
		return c >= '0' && c <= '9';
	return category(c) == UTF8PROC_CATEGORY_ND;
}

/* Where the character that ends before s[at], at > 0, starts. */
static size_t
back(const char *s, size_t at)
{
	size_t from = at - 1;

	while (from && at - from < 4 && (s[from] & 0xc0) == 0x80)
		from--;
	return from;
}

bool
gv_py_digit_before(const char *s, size_t at)
{
	uint32_t c;
	size_t from;

	if (!at)
		return false;
	from = back(s, at);
	return gv_utf8_next(s + from, at - from, &c) == at - from &&
	       gv_py_digit(c);
}

bool
gv_py_digit_at(const char *s, size_t n, size_t at)
{
	uint32_t c;

	if (at >= n)
		return false;
	gv_utf8_next(s + at, n - at, &c);
	return gv_py_digit(c);
}

/* ---- pieces -------------------------------------------------------------- */

struct gv_span
gv_py_strip(struct gv_span s)
{
	uint32_t c;
	size_t k;

	while (s.n) {
		k = gv_utf8_next(s.s, s.n, &c);
		if (!gv_py_space(c))
			break;
		s.s += k;
		s.n -= k;
	}
	while (s.n) {
		k = back(s.s, s.n);
		gv_utf8_next(s.s + k, s.n - k, &c);
		if (!gv_py_space(c))
			break;
		s.n = k;
	}
	return s;
}

struct gv_span
gv_py_strip_char(struct gv_span s, char c)
{
	while (s.n && *s.s == c) {
		s.s++;
		s.n--;
	}
	while (s.n && s.s[s.n - 1] == c)
		s.n--;
	return s;
}

struct gv_span
gv_py_word(struct gv_span s, size_t *at)
{
	struct gv_span w = {s.s, 0};
	uint32_t c;
	size_t k;

	for (; *at < s.n; *at += k) {
		k = gv_utf8_next(s.s + *at, s.n - *at, &c);
		if (!gv_py_space(c))
			break;
	}
	w.s = s.s + *at;
	for (; *at < s.n; *at += k, w.n += k) {
		k = gv_utf8_next(s.s + *at, s.n - *at, &c);
		if (gv_py_space(c))
			break;
	}
	return w;
}

size_t
gv_py_find(struct gv_span s, struct gv_span what)
{
	const char *p;

	if (!what.n)
		return 0;
	p = s.n ? memmem(s.s, s.n, what.s, what.n) : NULL;
	return p ? (size_t)(p - s.s) : SIZE_MAX;
}

size_t
gv_py_rfind(struct gv_span s, struct gv_span what)
{
	size_t at;

	if (what.n > s.n)
		return SIZE_MAX;
	for (at = s.n - what.n + 1; at-- > 0;)
		if (!what.n || !memcmp(s.s + at, what.s, what.n))
			return at;
	return SIZE_MAX;
}

/* ---- lower case ---------------------------------------------------------- */

#define CAPITAL_SIGMA 0x3a3u
#define SMALL_SIGMA   0x3c3u
#define FINAL_SIGMA   0x3c2u
#define DOTTED_I      0x130u

static bool
cased(uint32_t c)
{
	utf8proc_category_t k = category(c);

	return k == UTF8PROC_CATEGORY_LU || k == UTF8PROC_CATEGORY_LL ||
	       k == UTF8PROC_CATEGORY_LT;
}

/* Unicode's Case_Ignorable: marks, modifiers, formats, and the characters that
 * stand inside words. */
static bool
case_ignorable(uint32_t c)
{
	switch (category(c)) {
	case UTF8PROC_CATEGORY_MN:
	case UTF8PROC_CATEGORY_ME:
	case UTF8PROC_CATEGORY_CF:
	case UTF8PROC_CATEGORY_LM:
	case UTF8PROC_CATEGORY_SK:
		return true;
	default:
		return c == '\'' || c == '.' || c == ':' || c == 0xb7 ||
		       c == 0x387 || c == 0x55f || c == 0x5f4 || c == 0x2018 ||
		       c == 0x2019 || c == 0x2024 || c == 0x2027 ||
		       c == 0xfe13 || c == 0xfe52 || c == 0xfe55 ||
		       c == 0xff07 || c == 0xff0e || c == 0xff1a;
	}
}

/* A capital sigma at s[at], two bytes, is final behind a cased letter and not
 * before one. */
static bool
is_final(struct gv_span s, size_t at)
{
	uint32_t c = 0;
	size_t i = at;

	while (i) {
		size_t from = back(s.s, i);

		gv_utf8_next(s.s + from, i - from, &c);
		if (!case_ignorable(c))
			break;
		i = from;
	}
	if (!i || !cased(c))
		return false;
	for (i = at + 2; i < s.n;) {
		i += gv_utf8_next(s.s + i, s.n - i, &c);
		if (!case_ignorable(c))
			return !cased(c);
	}
	return true;
}

int
gv_py_lower(struct gv_bytes *b, struct gv_span s, struct gv_error *e)
{
	size_t i, k;

	/* the longest: two bytes to three */
	if (s.n > SIZE_MAX / 2 || gv_bytes_room(b, 2 * s.n, e))
		return gv_fail(e, GV_ERR_NOMEM, "out of memory");
	for (i = 0; i < s.n; i += k) {
		unsigned char a = (unsigned char)s.s[i];
		uint32_t c;

		k = 1;
		if (a < 0x80) {
			b->s[b->n++] =
			    (char)(a >= 'A' && a <= 'Z' ? a - 'A' + 'a' : a);
			continue;
		}
		k = gv_utf8_next(s.s + i, s.n - i, &c);
		if (c == GV_UTF8_BAD) {
			b->s[b->n++] = (char)a;
			continue;
		}
		if (c == DOTTED_I) { /* an i and a dot above */
			memcpy(b->s + b->n, "i\314\207", 3);
			b->n += 3;
			continue;
		}
		if (c == CAPITAL_SIGMA)
			c = is_final(s, i) ? FINAL_SIGMA : SMALL_SIGMA;
		else
			c = (uint32_t)utf8proc_tolower((utf8proc_int32_t)c);
		b->n += gv_utf8_put(c, b->s + b->n);
	}
	return 0;
}
