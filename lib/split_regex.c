/* Split patterns that PCRE2 matches.
 *
 * The reference engine is Oniguruma.  Where PCRE2 reads a pattern otherwise it
 * is rewritten, or refused; and since it backtracks, each step is counted, so
 * that no pattern and no text keeps it busy for ever.
 */
#include "split_priv.h"

#include "mem.h"
#include "utf8.h"
#include "banned.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#define MAX_PATTERN ((size_t)64 << 10)
#define JIT_STACK   ((size_t)8 << 20)

/* Steps that a byte of text may take: patterns in use take five.  A step is an
 * item of the pattern tried, or a byte gone forth or back. */
#define STEPS_A_BYTE 1000
#define STEPS_FREE   1000000

struct gv_regex {
	pcre2_code *re;
};

struct gv_matcher {
	const struct gv_regex *regex;
	pcre2_match_data *md;
	pcre2_match_context *mc;
	pcre2_jit_stack *stack;
	const char *s;
	size_t n, lo, hi; /* the text, and the match ahead, if lo >= at */
	uint64_t steps, most;
	size_t last; /* where the last step was */
};

/* ---- patterns ------------------------------------------------------------ */

static const char names[] =
    "CnLuLlLtLmLoMnMcMeNdNlNoPcPdPsPePiPfPoSmScSkSoZsZlZpCcCfCsCo";

/* A pattern under rewriting. */
struct text {
	char *s;
	size_t n, cap;
	bool failed;
};

static void
put(struct text *t, const char *s, size_t n)
{
	void *p = t->s;

	if (t->failed || gv_grow(&p, &t->cap, t->n + n + 1, 1)) {
		t->failed = true;
		return;
	}
	t->s = p;
	memcpy(t->s + t->n, s, n);
	t->n += n;
	t->s[t->n] = '\0';
}

static void
puts_in(struct text *t, const char *s)
{
	put(t, s, strlen(s));
}

/* The inside of a class: a general category, of which PCRE2's tables may be
 * older than the reference's; `k` is "Lu", or "L" and a NUL. */
static void
put_category(struct text *t, const char *k)
{
	const struct gv_utf8_range *r;
	size_t n = gv_utf8_recent(&r), i;
	char s[40];

	snprintf(s, sizeof s, "\\p{%.2s}", k);
	puts_in(t, s);
	for (i = 0; i < n; i++) {
		const char *name = names + 2 * (size_t)r[i].category;

		if (name[0] != k[0] || (k[1] && name[1] != k[1]))
			continue;
		snprintf(s, sizeof s, "\\x{%x}-\\x{%x}", (unsigned)r[i].lo,
		    (unsigned)r[i].hi);
		puts_in(t, s);
	}
}

/* \s, \d and \w by their letters.  PCRE2 counts U+180E as a space, Unicode
 * (since 6.3) doesn't; its words are of letters and numbers alone. */
static void
put_class(struct text *t, char which)
{
	static const char *const word[] = {"L", "M", "Nd", "Nl", "Pc"};
	size_t i;

	if (which == 's')
		puts_in(t, "\\x09-\\x0d \\x{85}\\x{a0}\\x{1680}\\x{2000}-"
			   "\\x{200a}\\x{2028}\\x{2029}\\x{202f}\\x{205f}"
			   "\\x{3000}");
	if (which == 'd')
		put_category(t, "Nd");
	for (i = 0; which == 'w' && i < 5; i++)
		put_category(t, word[i]);
	if (which == 'w')
		puts_in(t, "\\x{b2}\\x{b3}\\x{b9}\\x{bc}-\\x{be}"
			   "\\x{24b6}-\\x{24e9}\\x{1f130}-\\x{1f149}"
			   "\\x{1f150}-\\x{1f169}\\x{1f170}-\\x{1f189}");
}

/* One escape that stands for a class. */
struct escape {
	char name[3]; /* of a category; else "" */
	char letter; /* s, d or w */
	bool negated;
	size_t bytes;
};

/* \p{L}, \p{Lu}, \p{^L}, \P{L}; \s and the like. */
static bool
read_escape(const char *p, struct escape *x)
{
	const char *q = p + 3;
	size_t n, i;

	memset(x, 0, sizeof *x);
	x->bytes = 2;
	if (strchr("sdwSDW", p[1])) {
		x->negated = p[1] < 'a';
		x->letter = (char)(p[1] | 0x20);
		return true;
	}
	if ((p[1] != 'p' && p[1] != 'P') || p[2] != '{')
		return false;
	x->negated = p[1] == 'P';
	if (*q == '^') {
		x->negated = !x->negated;
		q++;
	}
	n = strcspn(q, "}");
	if (q[n] != '}' || n < 1 || n > 2)
		return false;
	memcpy(x->name, q, n);
	x->bytes = (size_t)(q + n + 1 - p);
	for (i = 0; names[i]; i += 2)
		if (names[i] == x->name[0] &&
		    (n == 1 || names[i + 1] == x->name[1]))
			return true;
	return false;
}

/* What the reference reads otherwise of an interval: {1,3}+ is one that is
 * repeated, {2}? one that may be absent, and {,3} one from 0.  NULL if this is
 * no such interval. */
static const char *
unlike_interval(const char *p)
{
	static const char digits[] = "0123456789";
	size_t n = strspn(p + 1, digits), m = 0;
	bool comma = p[1 + n] == ',';
	const char *end;

	if (comma)
		m = strspn(p + 2 + n, digits);
	end = p + 1 + n + comma + m;
	if (*end != '}' || n + m == 0)
		return NULL;
	if (!n)
		return "{,n}";
	if (end[1] == '+')
		return "{n}+";
	return end[1] == '?' && !comma ? "{n}?" : NULL;
}

/* What means something else to the reference, or can't be said of it. */
static const char *
unlike(const char *p, bool class)
{
	static const char *const out[] = {"(?m", "(?C", "(?R", "(*", "\\h",
	    "\\H", "\\R", "\\X", "\\K", "\\G", "\\y", "\\Y", "\\k", "\\g",
	    "\\C", "\\N", "\\Q", "\\E"};
	static const char *const in[] = {"&&", "[", "\\h", "\\H", "\\R"};
	const char *const *no = class ? in : out;
	size_t n = class ? sizeof in / sizeof *in : sizeof out / sizeof *out;
	size_t i;

	for (i = 0; i < n; i++)
		if (!strncmp(p, no[i], strlen(no[i])))
			return no[i];
	return *p == '{' && !class ? unlike_interval(p) : NULL;
}

/* The bytes of an escape, with what is in braces behind it: \x{b5} */
static size_t
escaped(const char *p)
{
	size_t n = 2;

	if (strchr("xopP", p[1]) && p[2] == '{')
		n += strcspn(p + 2, "}");
	return n + (p[n] == '}' && n > 2);
}

/* Copies the pattern with its classes as the reference reads them.  A negated
 * one within a class can't be spelled otherwise and stays. */
static int
rewrite(struct text *t, const char *p, struct gv_error *e)
{
	const char *no;
	struct escape x;
	bool class = false;

	for (; *p && !t->failed; p += x.bytes) {
		no = unlike(p, class);
		if (no)
			return gv_fail(e, GV_ERR_NOSUP,
			    "split pattern: '%s'%s is not supported", no,
			    class ? " in a class" : "");
		x.bytes = 1;
		if (*p != '\\' || !p[1]) {
			class = *p == '[' || (class && *p != ']');
			put(t, p, 1);
			continue;
		}
		if (!read_escape(p, &x) || (x.negated && class)) {
			x.bytes = escaped(p);
			put(t, p, x.bytes);
			continue;
		}
		if (!class)
			puts_in(t, x.negated ? "[^" : "[");
		if (x.letter)
			put_class(t, x.letter);
		else
			put_category(t, x.name);
		if (!class)
			puts_in(t, "]");
	}
	return t->failed ? gv_fail(e, GV_ERR_NOMEM, "out of memory") : 0;
}

static int
compile(struct gv_regex *r, const char *pattern, struct gv_error *e)
{
	PCRE2_SIZE at;
	int code;

	/* for Ruby's syntax, which the reference takes, ^ and $ are a line's */
	r->re = pcre2_compile((PCRE2_SPTR)pattern, PCRE2_ZERO_TERMINATED,
	    PCRE2_UTF | PCRE2_UCP | PCRE2_MATCH_INVALID_UTF | PCRE2_MULTILINE |
		PCRE2_DOLLAR_ENDONLY | PCRE2_AUTO_CALLOUT,
	    &code, &at, NULL);
	if (!r->re) {
		char why[128];

		pcre2_get_error_message(code, (PCRE2_UCHAR *)why, sizeof why);
		return gv_fail(e, GV_ERR_NOSUP, "split pattern: %s", why);
	}
	/* without JIT (an unusual machine) matching is slow, not wrong */
	(void)pcre2_jit_compile(r->re, PCRE2_JIT_COMPLETE);
	return 0;
}

int
gv_regex_open(struct gv_regex **out, const char *pattern, struct gv_error *e)
{
	struct gv_regex *r;
	struct text t = {0};

	if (strlen(pattern) > MAX_PATTERN)
		return gv_fail(e, GV_ERR_LIMIT,
		    "a split pattern of more than %zu bytes", MAX_PATTERN);
	r = gv_alloc(1, sizeof *r);
	put(&t, "", 0);
	if (!r)
		gv_fail(e, GV_ERR_NOMEM, "out of memory");
	else if (!rewrite(&t, pattern, e))
		(void)!compile(r, t.s, e);
	gv_free(t.s);
	if (e->code)
		gv_regex_close(&r);
	else
		*out = r;
	return e->code;
}

void
gv_regex_close(struct gv_regex **r)
{
	if (!*r)
		return;
	pcre2_code_free((*r)->re);
	gv_free(*r);
	*r = NULL;
}

/* ---- matching ------------------------------------------------------------ */

/* PCRE2 calls this before each item of the pattern that it tries. */
static int
count_step(pcre2_callout_block *b, void *data)
{
	struct gv_matcher *m = data;
	size_t at = b->current_position;

	m->steps += 1 + (at > m->last ? at - m->last : m->last - at);
	m->last = at;
	return m->steps > m->most ? PCRE2_ERROR_MATCHLIMIT : 0;
}

int
gv_matcher_open(struct gv_matcher **out, const struct gv_regex *r, size_t bytes,
    struct gv_error *e)
{
	struct gv_matcher *m = gv_alloc(1, sizeof *m);

	if (m) {
		m->regex = r;
		m->most = STEPS_FREE + (uint64_t)bytes * STEPS_A_BYTE;
		m->md = pcre2_match_data_create(1, NULL);
		m->mc = pcre2_match_context_create(NULL);
		m->stack = pcre2_jit_stack_create(32 << 10, JIT_STACK, NULL);
	}
	if (!m || !m->md || !m->mc || !m->stack) {
		gv_matcher_close(&m);
		return gv_fail(e, GV_ERR_NOMEM, "out of memory");
	}
	pcre2_set_callout(m->mc, count_step, m);
	pcre2_set_match_limit(m->mc, UINT32_MAX);
	pcre2_jit_stack_assign(m->mc, NULL, m->stack);
	*out = m;
	return 0;
}

void
gv_matcher_close(struct gv_matcher **m)
{
	if (!*m)
		return;
	pcre2_match_data_free((*m)->md);
	pcre2_match_context_free((*m)->mc);
	pcre2_jit_stack_free((*m)->stack);
	gv_free(*m);
	*m = NULL;
}

void
gv_matcher_text(struct gv_matcher *m, const char *s, size_t n)
{
	m->s = s;
	m->n = n;
	m->lo = m->hi = 0;
	m->last = 0;
}

/* Finds the match ahead: [lo, hi), or [n, n) if there is none.  Empty matches
 * cut nothing and are passed over. */
static int
find(struct gv_matcher *m, size_t at, struct gv_error *e)
{
	PCRE2_SIZE *v;
	int got = pcre2_match(m->regex->re, (PCRE2_SPTR)m->s, m->n, at,
	    PCRE2_NOTEMPTY, m->md, m->mc);

	if (got == PCRE2_ERROR_NOMATCH) {
		m->lo = m->hi = m->n;
		return 0;
	}
	if (got < 0) {
		char why[128];

		pcre2_get_error_message(got, (PCRE2_UCHAR *)why, sizeof why);
		return gv_fail(e, GV_ERR_LIMIT, "split pattern: %s", why);
	}
	v = pcre2_get_ovector_pointer(m->md);
	m->lo = v[0];
	m->hi = v[1];
	return 0;
}

int
gv_matcher_cut(struct gv_matcher *m, size_t at, size_t *end, struct gv_error *e)
{
	if ((m->lo < at || m->hi <= at) && find(m, at, e))
		return e->code;
	*end = m->lo > at ? m->lo : m->hi;
	return 0;
}
