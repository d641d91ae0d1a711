/* Arithmetic as people write it, on exact fractions, by recursive descent. */
#include "tool.h"

#include "utf8.h"
#include "banned.h"

#define MAX_TEXT   4096 /* bytes of an expression */
#define MAX_DEPTH  64 /* parentheses and signs within each other */
#define MAX_PLACES 36 /* decimals of a number that is read */
#define MAX_BITS   123 /* of a denominator that is written: times 10 fits */
#define DIGITS     12 /* significant, of a number that is no integer */

__extension__ typedef __int128 wide;
__extension__ typedef unsigned __int128 uwide;

/* n/d in lowest terms, d > 0. */
struct ratio {
	wide n, d;
};

struct reader {
	const char *s, *end;
	int depth;
};

/* ---- fractions ----------------------------------------------------------- */

static uwide
size_of(wide x)
{
	return x < 0 ? -(uwide)x : (uwide)x;
}

static wide
gcd(wide a, wide b)
{
	uwide x = size_of(a), y = size_of(b), z;

	while (y) {
		z = x % y;
		x = y;
		y = z;
	}
	return x > (uwide)(~(uwide)0 >> 1) ? 1 : (wide)x;
}

static bool
mul(wide a, wide b, wide *to)
{
	return !__builtin_mul_overflow(a, b, to);
}

static bool
times(struct ratio *a, struct ratio b)
{
	wide g = gcd(a->n, b.d), h = gcd(b.n, a->d);

	return mul(a->n / g, b.n / h, &a->n) && mul(a->d / h, b.d / g, &a->d);
}

static bool
divide(struct ratio *a, struct ratio b)
{
	if (!b.n)
		return false;
	if (b.n < 0 && (!mul(b.n, -1, &b.n) || !mul(a->n, -1, &a->n)))
		return false;
	return times(a, (struct ratio){b.d, b.n});
}

static bool
plus(struct ratio *a, struct ratio b)
{
	wide g = gcd(a->d, b.d), x, y;

	if (!mul(a->n, b.d / g, &x) || !mul(b.n, a->d / g, &y) ||
	    __builtin_add_overflow(x, y, &a->n) || !mul(a->d, b.d / g, &a->d))
		return false;
	g = gcd(a->n, a->d);
	a->n /= g;
	a->d /= g;
	return true;
}

static void
round_down(struct ratio *a)
{
	wide q = a->n / a->d;

	*a = (struct ratio){q - (a->n % a->d < 0), 1};
}

/* ---- reading ------------------------------------------------------------- */

static bool sum(struct reader *r, struct ratio *to);

static void
skip(struct reader *r)
{
	while (r->s < r->end && *r->s == ' ')
		r->s++;
}

static bool
take(struct reader *r, char c)
{
	skip(r);
	if (r->s == r->end || *r->s != c)
		return false;
	r->s++;
	return true;
}

static bool
number(struct reader *r, struct ratio *to)
{
	int digits = 0, places = -1;

	skip(r);
	*to = (struct ratio){0, 1};
	for (; r->s < r->end; r->s++) {
		if (*r->s == '.' && places < 0) {
			places = 0;
			continue;
		}
		if (*r->s < '0' || *r->s > '9')
			break;
		if (!mul(to->n, 10, &to->n) ||
		    __builtin_add_overflow(to->n, *r->s - '0', &to->n))
			return false;
		digits++;
		if (places >= 0 &&
		    (++places > MAX_PLACES || !mul(to->d, 10, &to->d)))
			return false;
	}
	return digits && plus(to, (struct ratio){0, 1});
}

static bool
factor(struct reader *r, struct ratio *to)
{
	bool good;

	if (++r->depth > MAX_DEPTH)
		return false;
	if (take(r, '+')) {
		good = factor(r, to);
	} else if (take(r, '-')) {
		good = factor(r, to) && mul(to->n, -1, &to->n);
	} else if (take(r, '(')) {
		good = sum(r, to) && take(r, ')');
	} else {
		good = number(r, to);
	}
	r->depth--;
	return good;
}

static bool
product(struct reader *r, struct ratio *to)
{
	struct ratio b;

	if (!factor(r, to))
		return false;
	for (;;) {
		if (take(r, '*')) {
			if (!factor(r, &b) || !times(to, b))
				return false;
		} else if (take(r, '/')) {
			bool whole = r->s < r->end && *r->s == '/';

			r->s += whole;
			if (!factor(r, &b) || !divide(to, b))
				return false;
			if (whole)
				round_down(to);
		} else {
			return true;
		}
	}
}

static bool
sum(struct reader *r, struct ratio *to)
{
	struct ratio b;
	bool minus;

	if (!product(r, to))
		return false;
	for (;;) {
		minus = take(r, '-');
		if (!minus && !take(r, '+'))
			return true;
		if (!product(r, &b) || (minus && !mul(b.n, -1, &b.n)) ||
		    !plus(to, b))
			return false;
	}
}

/* ---- writing ------------------------------------------------------------- */

/* Decimal digits of x, first to last; how many. */
static int
digits_of(uwide x, char *to)
{
	char back[48];
	int n = 0, i;

	do
		back[n++] = (char)('0' + (int)(x % 10));
	while (x /= 10);
	for (i = 0; i < n; i++)
		to[i] = back[n - 1 - i];
	return n;
}

/* The decimals of x/d, 0 < x < d, until there are `significant` digits, zeros
 * in front not counted unless `lead`; rounded, without zeros at the end.
 * Returns how many, and in *carry whether they became 1. */
static int
decimals(uwide x, uwide d, int significant, bool lead, char *to, bool *carry)
{
	int n = 0, used = 0, i;

	while (x && used < significant) {
		x *= 10;
		to[n] = (char)('0' + (int)(x / d));
		used += lead || to[n] != '0';
		lead = used > 0;
		n++;
		x %= d;
	}
	*carry = 2 * x >= d;
	for (i = n; *carry && i-- > 0;) {
		*carry = to[i] == '9';
		to[i] = *carry ? '0' : (char)(to[i] + 1);
	}
	while (n && to[n - 1] == '0')
		n--;
	return n;
}

static bool
write_ratio(struct ratio a, char *out)
{
	uwide n = size_of(a.n), d = (uwide)a.d;
	char whole[48], part[64];
	bool carry = false;
	int k, places = 0;

	if (d >> MAX_BITS)
		return false;
	k = digits_of(n / d, whole);
	if (n % d)
		places = decimals(n % d, d,
		    n >= d ? k < DIGITS ? DIGITS - k : 0 : DIGITS, n >= d, part,
		    &carry);
	if (carry)
		k = digits_of(n / d + 1, whole);
	snprintf(out, GV_CALC_TEXT, "%s%.*s%s%.*s", a.n < 0 ? "-" : "", k,
	    whole, places ? "." : "", places, part);
	return true;
}

/* ---- counting ------------------------------------------------------------ */

/* A string literal, written to `to` (there is room for all of it). */
static bool
literal(struct reader *r, char *to, size_t *n)
{
	static const char *const from = "\\'\"nt", *const as = "\\'\"\n\t";
	const char *escape;
	char quote;

	skip(r);
	*n = 0;
	if (r->s == r->end || (*r->s != '\'' && *r->s != '"'))
		return false;
	for (quote = *r->s++; r->s < r->end && *r->s != quote; r->s++) {
		if (*r->s != '\\') {
			to[(*n)++] = *r->s;
			continue;
		}
		if (++r->s == r->end || !*r->s)
			return false;
		escape = strchr(from, *r->s);
		if (!escape)
			return false;
		to[(*n)++] = as[escape - from];
	}
	return r->s < r->end && *r->s++ == quote;
}

static bool
word(struct reader *r, const char *w)
{
	size_t n = strlen(w);

	skip(r);
	if ((size_t)(r->end - r->s) < n || memcmp(r->s, w, n) != 0)
		return false;
	r->s += n;
	return true;
}

static size_t
characters(const char *s, size_t n)
{
	size_t at, count = 0;
	uint32_t c;

	for (at = 0; at < n; count++)
		at += gv_utf8_next(s + at, n - at, &c);
	return count;
}

static bool
count(struct reader *r, struct ratio *to)
{
	char in[MAX_TEXT], what[MAX_TEXT];
	const char *p = in, *hit;
	size_t n, m;

	if (!literal(r, in, &n) || !take(r, '.') || !word(r, "count") ||
	    !take(r, '(') || !literal(r, what, &m) || !take(r, ')'))
		return false;
	*to = (struct ratio){0, 1};
	if (!m)
		to->n = (wide)characters(in, n) + 1;
	for (; m; p = hit + m, to->n++) {
		hit = memmem(p, n - (size_t)(p - in), what, m);
		if (!hit)
			break;
	}
	return true;
}

bool
gv_calculate(const char *s, size_t n, char out[GV_CALC_TEXT])
{
	struct reader r = {s, s + n, 0};
	struct ratio value;
	bool good;

	if (n > MAX_TEXT)
		return false;
	skip(&r);
	if (r.s == r.end)
		return false;
	good =
	    *r.s == '\'' || *r.s == '"' ? count(&r, &value) : sum(&r, &value);
	skip(&r);
	return good && r.s == r.end && write_ratio(value, out);
}
