/* MMMU's open questions: numbers and phrases in texts.
 *
 * As eval_utils.py, to the letter: also that texts are made lower case before
 * they are cut before capital letters, so that only lines are cut; and that an
 * empty phrase counts as none found.
 */
#include "reward_priv.h"

#include "mem.h"
#include "utf8.h"
#include "banned.h"

#include <math.h>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

enum { COMMAS, SCIENTIFIC, SIMPLE, PATTERNS };

/* What an open text or answer comes to: a number, or a phrase. */
struct value {
	bool number;
	double x;
	size_t at, n; /* of the phrase, in the list's bytes */
};

struct list {
	struct value *v;
	size_t n, cap;
	struct gv_bytes bytes;
};

struct gv_mmmu_open {
	struct gv_bytes text, bare, plain;
	struct list found, wanted;
	pcre2_code *re[PATTERNS];
	pcre2_match_data *md;
};

/* ---- values -------------------------------------------------------------- */

static struct gv_span
phrase(const struct list *l, const struct value *v)
{
	return (struct gv_span){l->bytes.s + v->at, v->n};
}

static struct value *
add_value(struct list *l, struct gv_error *e)
{
	void *p = l->v;

	if (gv_grow(&p, &l->cap, l->n + 1, sizeof *l->v)) {
		gv_fail(e, GV_ERR_NOMEM, "out of memory");
		return NULL;
	}
	l->v = p;
	l->v[l->n] = (struct value){.at = l->bytes.n};
	return &l->v[l->n++];
}

/* The value of Unicode's decimal digit c, or -1.  They come in tens that start
 * at a multiple of 16 or 6 behind it, but for the mathematical ones. */
static int
digit_value(uint32_t c)
{
	uint32_t low = c % 16;

	if (!gv_py_digit(c))
		return -1;
	if (c >= 0x1d7ce && c <= 0x1d7ff)
		return (int)((c - 0x1d7ce) % 10);
	if (low >= 6 && !gv_py_digit(c - low + 5))
		return (int)low - 6;
	return (int)low;
}

/* Copies a text to b as strtod() takes it: Unicode's digits as ASCII's, and
 * underscores between digits dropped.  False if that can't be a float. */
static bool
plain_number(struct gv_bytes *b, struct gv_span s)
{
	bool digit = false, under = false;
	size_t i, k;

	b->n = 0;
	for (i = 0; i < s.n; i += k) {
		uint32_t c;
		int d;

		k = gv_utf8_next(s.s + i, s.n - i, &c);
		d = digit_value(c);
		if (c == '_') {
			if (!digit)
				return false;
			digit = false;
			under = true;
			continue;
		}
		if ((under && d < 0) || (d < 0 && c >= 0x80) || !c)
			return false;
		digit = d >= 0;
		under = false;
		b->s[b->n++] = digit ? (char)('0' + d) : (char)c;
	}
	b->s[b->n] = '\0';
	return !under && b->n > 0;
}

/* Is that float()'s grammar?  strtod() takes more: hex, and nan(...). */
static bool
is_float(const char *s)
{
	static const char *const word[] = {"inf", "infinity", "nan"};
	size_t i, digits;

	s += *s == '+' || *s == '-';
	for (i = 0; i < sizeof word / sizeof *word; i++)
		if (!strcasecmp(s, word[i]))
			return true;
	digits = strspn(s, "0123456789");
	s += digits;
	if (*s == '.') {
		size_t n = strspn(++s, "0123456789");

		digits += n;
		s += n;
	}
	if (!digits)
		return false;
	if (*s == 'e' || *s == 'E') {
		s++;
		s += *s == '+' || *s == '-';
		digits = strspn(s, "0123456789");
		s += digits;
		if (!digits)
			return false;
	}
	return !*s;
}

/* round(x, 2): the decimal next to x, which printf finds exactly. */
static double
round_2(double x)
{
	char text[400];

	if (!isfinite(x))
		return x;
	snprintf(text, sizeof text, "%.2f", x);
	return strtod(text, NULL);
}

static int
add_phrase(
    struct list *l, struct gv_span s, bool front, bool back, struct gv_error *e)
{
	struct value *v = add_value(l, e);

	if (!v || (front && gv_bytes_add(&l->bytes, " ", 1, e)) ||
	    gv_py_lower(&l->bytes, s, e) ||
	    (back && gv_bytes_add(&l->bytes, " ", 1, e)))
		return e->code;
	v->n = l->bytes.n - v->at;
	return 0;
}

static size_t
count_characters(struct gv_span s)
{
	size_t i, n = 0;

	for (i = 0; i < s.n; i++)
		n += (s.s[i] & 0xc0) != 0x80;
	return n;
}

/* normalize_str(): a number of two decimals, or the text in lower case, which
 * if it is one character stands with a space before it and with one behind. */
static int
add_normal(struct gv_mmmu_open *m, struct list *l, struct gv_span s,
    struct gv_error *e)
{
	struct gv_span stripped = gv_py_strip(s);
	struct value *v;
	size_t i;

	m->plain.n = m->bare.n = 0;
	if (gv_bytes_room(&m->plain, stripped.n, e) ||
	    gv_bytes_room(&m->bare, stripped.n, e))
		return e->code;
	for (i = 0; i < stripped.n; i++)
		if (stripped.s[i] != ',')
			m->bare.s[m->bare.n++] = stripped.s[i];
	if (plain_number(&m->plain, gv_py_strip(gv_span_of(&m->bare))) &&
	    is_float(m->plain.s)) {
		v = add_value(l, e);
		if (!v)
			return e->code;
		v->number = true;
		v->x = round_2(strtod(m->plain.s, NULL));
		return 0;
	}
	m->plain.n = 0;
	if (gv_py_lower(&m->plain, stripped, e))
		return e->code;
	stripped = gv_span_of(&m->plain);
	if (count_characters(stripped) != 1)
		return add_phrase(l, stripped, false, false, e);
	if (add_phrase(l, stripped, true, false, e))
		return e->code;
	return add_phrase(l, stripped, false, true, e);
}

/* ---- texts --------------------------------------------------------------- */

/* What stands behind the last `what` in s, stripped. */
static bool
tail(struct gv_span s, const char *what, struct gv_span *out)
{
	struct gv_span w = {what, strlen(what)};
	size_t at = gv_py_rfind(s, w);

	if (at == SIZE_MAX)
		return false;
	at += w.n;
	*out = gv_py_strip((struct gv_span){s.s + at, s.n - at});
	return true;
}

/* The shortest of what follows the words that announce an answer; n = 0 for
 * none.  Lengths are in characters; the first of equals is taken. */
static struct gv_span
key_of(struct gv_span line, bool last)
{
	static const char *const words[] = {"could be ", "so ", "is ", "thus ",
	    "therefore ", "final ", "answer ", "result ", "="};
	struct gv_span key = {line.s, 0}, t;
	size_t i, n = sizeof words / sizeof *words - !last;

	for (i = 0; i < n; i++)
		if (tail(line, words[i], &t) &&
		    (!key.n || count_characters(t) < count_characters(key)))
			key = t;
	if (key.n == 1 && memchr(":,.!?;'", *key.s, 7))
		key.n = 0;
	return key;
}

static int
no_match(int r, struct gv_error *e)
{
	if (r == PCRE2_ERROR_NOMEMORY)
		return gv_fail(e, GV_ERR_NOMEM, "out of memory");
	return gv_fail(
	    e, GV_ERR_FORMAT, "no numbers can be looked for (PCRE2: %d)", r);
}

static int
add_numbers(struct gv_mmmu_open *m, struct gv_span s, struct gv_error *e)
{
	const PCRE2_SIZE *at = pcre2_get_ovector_pointer(m->md);
	size_t i, from;
	int r;

	for (i = 0; i < PATTERNS; i++) {
		for (from = 0; from <= s.n; from = at[1]) {
			r = pcre2_match(m->re[i], (PCRE2_SPTR)s.s, s.n, from, 0,
			    m->md, NULL);
			if (r == PCRE2_ERROR_NOMATCH)
				break;
			if (r < 0)
				return no_match(r, e);
			if (add_normal(m, &m->found,
				(struct gv_span){s.s + at[0], at[1] - at[0]},
				e))
				return e->code;
		}
	}
	return 0;
}

/* A key, and the numbers in it. */
static int
add_key(struct gv_mmmu_open *m, struct gv_span s, struct gv_error *e)
{
	return add_normal(m, &m->found, s, e) ? e->code : add_numbers(m, s, e);
}

/* parse_open_response(): fills `found`. */
static int
parse_open(struct gv_mmmu_open *m, struct gv_span s, struct gv_error *e)
{
	struct gv_span line, key;
	size_t at = 0;
	bool any = false;

	m->found.n = m->found.bytes.n = m->text.n = 0;
	if (gv_py_lower(&m->text, gv_py_strip_char(gv_py_strip(s), '.'), e))
		return e->code;
	s = gv_span_of(&m->text);
	while (at <= s.n) {
		const char *end =
		    at < s.n ? memchr(s.s + at, '\n', s.n - at) : NULL;

		line.s = s.s + at;
		line.n = end ? (size_t)(end - line.s) : s.n - at;
		at += line.n + 1;
		key = key_of(line, !end);
		if (!key.n)
			continue;
		any = true;
		if (add_key(m, key, e))
			return e->code;
	}
	return any ? 0 : add_key(m, s, e);
}

/* eval_open(): a phrase must hold a wanted one, a number be one. */
int
gv_mmmu_open_judge(struct gv_mmmu_open *m, const struct gv_judged *in,
    double *out, struct gv_error *e)
{
	size_t i, j;

	m->wanted.n = m->wanted.bytes.n = 0;
	for (i = 0; i < in->nanswers; i++)
		if (add_normal(m, &m->wanted, in->answers[i], e))
			return e->code;
	if (parse_open(m, in->text, e))
		return e->code;
	for (i = 0; i < m->found.n; i++)
		for (j = 0; j < m->wanted.n; j++) {
			const struct value *f = &m->found.v[i];
			const struct value *w = &m->wanted.v[j];

			if (f->number != w->number)
				continue;
			if (f->number ? f->x == w->x
				      : gv_py_find(phrase(&m->found, f),
					    phrase(&m->wanted, w)) != SIZE_MAX)
				*out = 1;
		}
	return 0;
}

/* ---- the whole ----------------------------------------------------------- */

void
gv_mmmu_open_free(struct gv_mmmu_open **out)
{
	struct gv_mmmu_open *m = *out;
	size_t i;

	if (!m)
		return;
	*out = NULL;
	gv_free(m->text.s);
	gv_free(m->bare.s);
	gv_free(m->plain.s);
	gv_free(m->found.v);
	gv_free(m->found.bytes.s);
	gv_free(m->wanted.v);
	gv_free(m->wanted.bytes.s);
	for (i = 0; i < PATTERNS; i++)
		pcre2_code_free(m->re[i]);
	pcre2_match_data_free(m->md);
	gv_free(m);
}

int
gv_mmmu_open_new(struct gv_mmmu_open **out, struct gv_error *e)
{
	/* numbers with commas, with exponents, and others */
	static const char *const pattern[PATTERNS] = {
	    "-?\\b\\d{1,3}(?:,\\d{3})+\\b", "-?\\d+(?:\\.\\d+)?[eE][+-]?\\d+",
	    "-?(?:\\d+\\.\\d+|\\.\\d+|\\d+\\b)(?![eE][+-]?\\d+)(?![,\\d])"};
	struct gv_mmmu_open *m = *out = gv_alloc(1, sizeof *m);
	PCRE2_SIZE at;
	size_t i;
	int code;

	if (m)
		m->md = pcre2_match_data_create(1, NULL);
	if (!m || !m->md)
		return gv_fail(e, GV_ERR_NOMEM, "out of memory");
	for (i = 0; i < PATTERNS; i++) {
		m->re[i] =
		    pcre2_compile((PCRE2_SPTR)pattern[i], PCRE2_ZERO_TERMINATED,
			PCRE2_UTF | PCRE2_UCP, &code, &at, NULL);
		if (!m->re[i])
			return gv_fail(e, GV_ERR_NOMEM, "out of memory");
	}
	return 0;
}
