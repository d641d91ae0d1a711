/* MMMU: what option, or what number or phrase, does a text choose?
 *
 * The parser and judge of MMMU-Benchmark/MMMU (eval_utils.py), to the letter:
 * also that open texts are made lower case before they are cut before capital
 * letters, so that only lines are cut; that an empty phrase counts as none
 * found; and that where no option is found one is drawn by a Mersenne twister
 * of seed 42, in the order of the texts.
 */
#include "reward_priv.h"

#include "mem.h"
#include "utf8.h"
#include "banned.h"

#include <math.h>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#define MOST_OPTIONS 26 /* letters */

/* ---- a random option ----------------------------------------------------- */

/* MT19937 (Matsumoto, Nishimura 1998), seeded as Python's random.seed(42). */
#define MT_N 624
#define MT_M 397

struct twister {
	uint32_t x[MT_N];
	size_t at;
};

static void
twister_seed(struct twister *t, uint32_t seed)
{
	uint32_t i, k;

	t->x[0] = 19650218u;
	for (i = 1; i < MT_N; i++)
		t->x[i] = 1812433253u * (t->x[i - 1] ^ t->x[i - 1] >> 30) + i;
	/* its init_by_array(), for a key of one word */
	for (i = 1, k = 0; k < MT_N; k++) {
		t->x[i] =
		    (t->x[i] ^ (t->x[i - 1] ^ t->x[i - 1] >> 30) * 1664525u) +
		    seed;
		if (++i == MT_N) {
			t->x[0] = t->x[MT_N - 1];
			i = 1;
		}
	}
	for (k = 0; k < MT_N - 1; k++) {
		t->x[i] = (t->x[i] ^
			      (t->x[i - 1] ^ t->x[i - 1] >> 30) * 1566083941u) -
			  i;
		if (++i == MT_N) {
			t->x[0] = t->x[MT_N - 1];
			i = 1;
		}
	}
	t->x[0] = 0x80000000u;
	t->at = MT_N;
}

static uint32_t
twister_next(struct twister *t)
{
	uint32_t y;
	size_t i;

	if (t->at == MT_N) {
		for (i = 0; i < MT_N; i++) {
			y = (t->x[i] & 0x80000000u) |
			    (t->x[(i + 1) % MT_N] & 0x7fffffffu);
			t->x[i] = t->x[(i + MT_M) % MT_N] ^ y >> 1 ^
				  (y & 1 ? 0x9908b0dfu : 0);
		}
		t->at = 0;
	}
	y = t->x[t->at++];
	y ^= y >> 11;
	y ^= y << 7 & 0x9d2c5680u;
	y ^= y << 15 & 0xefc60000u;
	return y ^ y >> 18;
}

/* random.choice() of n things: as many bits as n has, until they are less. */
static size_t
twister_choice(struct twister *t, size_t n)
{
	int bits = 0;
	uint32_t r;

	while (n >> bits)
		bits++;
	do
		r = twister_next(t) >> (32 - bits);
	while (r >= n);
	return r;
}

/* ---- what a task keeps --------------------------------------------------- */

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

struct mmmu {
	bool guess;
	struct twister random;
	struct gv_bytes text, lower, option, plain;
	struct list found, wanted;
	pcre2_code *re[PATTERNS];
	pcre2_match_data *md;
};

/* ---- multiple choice ----------------------------------------------------- */

static struct gv_span
strip_char(struct gv_span s, char c)
{
	while (s.n && *s.s == c) {
		s.s++;
		s.n--;
	}
	while (s.n && s.s[s.n - 1] == c)
		s.n--;
	return s;
}

/* Sets *last to where an option's letter stands last, with what goes around it;
 * returns how many options there are so. */
static size_t
letters(struct gv_span text, size_t n, char before, char after, size_t *chosen)
{
	size_t i, count = 0, last = 0;

	for (i = 0; i < n; i++) {
		const char mark[] = {before, (char)('A' + i), after};
		size_t at =
		    gv_py_rfind(text, (struct gv_span){mark, sizeof mark});

		if (at == SIZE_MAX)
			continue;
		if (!count++ || at > last) {
			last = at;
			*chosen = i;
		}
	}
	return count;
}

static size_t
count_words(struct gv_span s)
{
	size_t n = 0, at = 0;

	while (gv_py_word(s, &at).n)
		n++;
	return n;
}

/* The same by the options' own words. */
static int
contents(struct mmmu *m, const struct gv_judged *in, size_t *count,
    size_t *chosen, struct gv_error *e)
{
	size_t i, last = 0;

	m->lower.n = 0;
	if (gv_py_lower(&m->lower, gv_span_of(&m->text), e))
		return e->code;
	for (i = 0; i < in->noptions; i++) {
		size_t at;

		m->option.n = 0;
		if (gv_py_lower(&m->option, in->options[i], e))
			return e->code;
		at = gv_py_rfind(gv_span_of(&m->lower), gv_span_of(&m->option));
		if (at == SIZE_MAX)
			continue;
		if (!(*count)++ || at > last) {
			last = at;
			*chosen = i;
		}
	}
	return 0;
}

/* The option that the text names; *chosen stays if there is none. */
static int
choose(struct mmmu *m, const struct gv_judged *in, size_t *chosen,
    struct gv_error *e)
{
	static const char marks[] = ",.!?;:'";
	struct gv_span s = in->text;
	const char *p;
	size_t count = 0;

	for (p = marks; *p; p++)
		s = strip_char(s, *p);
	m->text.n = 0;
	if (gv_bytes_add(&m->text, " ", 1, e) ||
	    gv_bytes_add(&m->text, s.s, s.n, e) ||
	    gv_bytes_add(&m->text, " ", 1, e))
		return e->code;
	s = gv_span_of(&m->text);
	if (letters(s, in->noptions, '(', ')', chosen) ||
	    letters(s, in->noptions, ' ', ' ', chosen))
		return 0;
	if (count_words(s) > 5 && contents(m, in, &count, chosen, e))
		return e->code;
	/* drawn also where it isn't asked for: texts to come need the same */
	if (!count && m->guess)
		*chosen = twister_choice(&m->random, in->noptions);
	return 0;
}

static int
judge_choice(
    struct mmmu *m, const struct gv_judged *in, double *out, struct gv_error *e)
{
	size_t chosen = SIZE_MAX, i;

	if (in->noptions > MOST_OPTIONS)
		return gv_fail(e, GV_ERR_FORMAT,
		    "%zu options, and there are %d letters", in->noptions,
		    MOST_OPTIONS);
	if (choose(m, in, &chosen, e))
		return e->code;
	for (i = 0; i < in->nanswers && chosen < in->noptions; i++)
		if (in->answers[i].n == 1 &&
		    *in->answers[i].s == (char)('A' + chosen))
			*out = 1;
	return 0;
}

/* ---- open questions: values ---------------------------------------------- */

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
add_normal(struct mmmu *m, struct list *l, struct gv_span s, struct gv_error *e)
{
	struct gv_span stripped = gv_py_strip(s);
	struct value *v;
	size_t i;

	m->plain.n = m->option.n = 0;
	if (gv_bytes_room(&m->plain, stripped.n, e) ||
	    gv_bytes_room(&m->option, stripped.n, e))
		return e->code;
	for (i = 0; i < stripped.n; i++)
		if (stripped.s[i] != ',')
			m->option.s[m->option.n++] = stripped.s[i];
	if (plain_number(&m->plain, gv_py_strip(gv_span_of(&m->option))) &&
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

/* ---- open questions: texts ----------------------------------------------- */

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
add_numbers(struct mmmu *m, struct gv_span s, struct gv_error *e)
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
add_key(struct mmmu *m, struct gv_span s, struct gv_error *e)
{
	return add_normal(m, &m->found, s, e) ? e->code : add_numbers(m, s, e);
}

/* parse_open_response(): fills `found`. */
static int
parse_open(struct mmmu *m, struct gv_span s, struct gv_error *e)
{
	struct gv_span line, key;
	size_t at = 0;
	bool any = false;

	m->found.n = m->found.bytes.n = m->text.n = 0;
	if (gv_py_lower(&m->text, strip_char(gv_py_strip(s), '.'), e))
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
static int
judge_open(
    struct mmmu *m, const struct gv_judged *in, double *out, struct gv_error *e)
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

/* ---- the tasks ----------------------------------------------------------- */

static void
close_mmmu(void *own)
{
	struct mmmu *m = own;
	size_t i;

	if (!m)
		return;
	gv_free(m->text.s);
	gv_free(m->lower.s);
	gv_free(m->option.s);
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

static int
open_strict(void **own, const struct gv_reward_opts *o, const char *arg,
    struct gv_error *e)
{
	/* numbers with commas, with exponents, and others */
	static const char *const pattern[PATTERNS] = {
	    "-?\\b\\d{1,3}(?:,\\d{3})+\\b", "-?\\d+(?:\\.\\d+)?[eE][+-]?\\d+",
	    "-?(?:\\d+\\.\\d+|\\.\\d+|\\d+\\b)(?![eE][+-]?\\d+)(?![,\\d])"};
	struct mmmu *m = *own = gv_alloc(1, sizeof *m);
	PCRE2_SIZE at;
	size_t i;
	int code;

	(void)o;
	(void)arg;
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

static int
open_guess(void **own, const struct gv_reward_opts *o, const char *arg,
    struct gv_error *e)
{
	struct mmmu *m;

	if (open_strict(own, o, arg, e))
		return e->code;
	m = *own;
	m->guess = true;
	twister_seed(&m->random, 42);
	return 0;
}

static int
judge_mmmu(
    void *own, const struct gv_judged *in, double *out, struct gv_error *e)
{
	return in->options ? judge_choice(own, in, out, e)
			   : judge_open(own, in, out, e);
}

const struct gv_task gv_task_mmmu = {.name = "mmmu",
    .needs = GV_NEED_ANSWERS,
    .open = open_guess,
    .judge = judge_mmmu,
    .close = close_mmmu};

const struct gv_task gv_task_mmmu_strict = {.name = "mmmu-strict",
    .needs = GV_NEED_ANSWERS,
    .open = open_strict,
    .judge = judge_mmmu,
    .close = close_mmmu};
