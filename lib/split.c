/* Cutting text into pieces by the split patterns of tokenizers. */
#include "split.h"

#include "mem.h"
#include "utf8.h"
#include "banned.h"

#include <stdbool.h>

#ifdef __SSE2__
#include <emmintrin.h>
#endif
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

const char gv_split_gpt2[] = "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| "
			     "?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";

#define FAMILY(numbers) \
	"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|" numbers \
	"| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"

const char gv_split_qwen2[] = FAMILY("\\p{N}");
static const char llama3[] = FAMILY("\\p{N}{1,3}");

const char gv_split_words[] = " *[^ ]+| +";
const char gv_split_blanks[] = " [^ ]*|[^ ]+";

enum kind { GPT2, QWEN2, WORDS, BLANKS, REGEX };

struct gv_split {
	enum kind kind;
	int digits; /* QWEN2: numbers a piece has at most */
	char *pattern;
	pcre2_code *re;
};

/* One match of PCRE2 may try this often; a text that needs more is refused
 * rather than waited for. */
#define MATCH_LIMIT 50000000u
#define JIT_STACK   ((size_t)8 << 20)

struct matcher {
	pcre2_match_data *md;
	pcre2_match_context *mc;
	pcre2_jit_stack *stack;
};

/* ---- patterns ------------------------------------------------------------ */

#define MAX_PATTERN ((size_t)64 << 10)
#define MAX_CLASS   1200 /* bytes that one escape can turn into */

/* Appends the inside of a class: what \s, \p{L} or \p{N} is to the reference
 * engine.  PCRE2 counts U+180E as a space, Unicode (since 6.3) and Oniguruma
 * don't; and its tables are older. */
static size_t
put_class(char *out, size_t cap, char which)
{
	const struct gv_utf8_range *r;
	size_t n, i, k;

	if (which == 's')
		return (size_t)snprintf(out, cap, "%s",
		    "\\x09-\\x0d \\x{85}\\x{a0}\\x{1680}\\x{2000}-\\x{200a}"
		    "\\x{2028}\\x{2029}\\x{202f}\\x{205f}\\x{3000}");
	n = gv_utf8_new(which == 'L' ? GV_CLASS_LETTER : GV_CLASS_NUMBER, &r);
	k = (size_t)snprintf(out, cap, "\\p{%c}", which);
	for (i = 0; i < n; i++)
		k += (size_t)snprintf(out + k, cap - k, "\\x{%x}-\\x{%x}",
		    (unsigned)r[i].lo, (unsigned)r[i].hi);
	return k;
}

/* Which of them stands at p: 's', 'S', 'L', 'N' and its length, or 0. */
static char
class_escape(const char *p, size_t *n)
{
	*n = 2;
	if (p[1] == 's' || p[1] == 'S')
		return p[1];
	*n = 5;
	if (!strncmp(p, "\\p{L}", 5) || !strncmp(p, "\\p{N}", 5))
		return p[3];
	return 0;
}

/* Copies the pattern with its classes as the reference engine reads them.  \S
 * within a class can't be spelled otherwise and stays. */
static char *
translate(const char *p)
{
	size_t cap = strlen(p) + 1, k = 0, n;
	char *out, which;
	bool class = false;
	const char *q;

	for (q = p; *q; q++)
		cap += *q == '\\' ? MAX_CLASS : 0;
	out = gv_alloc(cap, 1);
	for (; out && *p; p++) {
		if (*p != '\\' || !p[1]) {
			class = *p == '[' || (class && *p != ']');
			out[k++] = *p;
			continue;
		}
		which = class_escape(p, &n);
		if (!which || (which == 'S' && class)) {
			out[k++] = *p++;
			out[k++] = *p;
			continue;
		}
		if (!class)
			out[k++] = '[';
		if (which == 'S')
			out[k++] = '^';
		k += put_class(out + k, cap - k, which == 'S' ? 's' : which);
		if (!class)
			out[k++] = ']';
		p += n - 1;
	}
	return out;
}

static int
compile(struct gv_split *s, struct gv_error *e)
{
	PCRE2_SIZE at;
	int code;
	char *p;

	if (strlen(s->pattern) > MAX_PATTERN)
		return gv_fail(e, GV_ERR_LIMIT,
		    "a split pattern of more than %zu bytes", MAX_PATTERN);
	p = translate(s->pattern);
	if (!p)
		return gv_fail(e, GV_ERR_NOMEM, "out of memory");
	s->re = pcre2_compile((PCRE2_SPTR)p, PCRE2_ZERO_TERMINATED,
	    PCRE2_UTF | PCRE2_UCP | PCRE2_MATCH_INVALID_UTF, &code, &at, NULL);
	gv_free(p);
	if (!s->re) {
		char why[128];

		pcre2_get_error_message(code, (PCRE2_UCHAR *)why, sizeof why);
		return gv_fail(e, GV_ERR_NOSUP, "split pattern: %s", why);
	}
	/* without JIT (an unusual machine) matching is slow, not wrong */
	(void)pcre2_jit_compile(s->re, PCRE2_JIT_COMPLETE);
	return 0;
}

int
gv_split_open(struct gv_split **out, const char *pattern, struct gv_error *e)
{
	struct gv_split *s = gv_alloc(1, sizeof *s);

	if (s)
		s->pattern = gv_strdup(pattern);
	if (!s || !s->pattern) {
		gv_free(s);
		return gv_fail(e, GV_ERR_NOMEM, "out of memory");
	}
	s->digits = 1;
	if (!strcmp(pattern, gv_split_gpt2)) {
		s->kind = GPT2;
	} else if (!strcmp(pattern, gv_split_words)) {
		s->kind = WORDS;
	} else if (!strcmp(pattern, gv_split_blanks)) {
		s->kind = BLANKS;
	} else if (!strcmp(pattern, gv_split_qwen2)) {
		s->kind = QWEN2;
	} else if (!strcmp(pattern, llama3)) {
		s->kind = QWEN2;
		s->digits = 3;
	} else {
		s->kind = REGEX;
		if (compile(s, e)) {
			gv_split_close(&s);
			return e->code;
		}
	}
	*out = s;
	return 0;
}

void
gv_split_close(struct gv_split **s)
{
	if (!*s)
		return;
	pcre2_code_free((*s)->re);
	gv_free((*s)->pattern);
	gv_free(*s);
	*s = NULL;
}

const char *
gv_split_pattern(const struct gv_split *s)
{
	return s->pattern;
}

/* ---- by hand ------------------------------------------------------------- */

/* The class of ASCII, by the byte. */
#define O GV_CLASS_OTHER
#define L GV_CLASS_LETTER
#define N GV_CLASS_NUMBER
#define S GV_CLASS_SPACE
static const uint8_t ascii[128] = {O, O, O, O, O, O, O, O, O, S, S, S, S, S, O,
    O, O, O, O, O, O, O, O, O, O, O, O, O, O, O, O, O, S, O, O, O, O, O, O, O,
    O, O, O, O, O, O, O, O, N, N, N, N, N, N, N, N, N, N, O, O, O, O, O, O, O,
    L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L,
    L, O, O, O, O, O, O, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L,
    L, L, L, L, L, L, L, L, O, O, O, O, O};
#undef O
#undef L
#undef N
#undef S

static inline enum gv_class
class_at(const char *s, size_t i, size_t n, size_t *len)
{
	unsigned char b = (unsigned char)s[i];
	uint32_t c;

	if (b < 0x80) {
		*len = 1;
		return (enum gv_class)ascii[b];
	}
	*len = gv_utf8_next(s + i, n - i, &c);
	return gv_utf8_class(c);
}

/* The end of the run of one class from i. */
static inline size_t
run(const char *s, size_t i, size_t n, enum gv_class want)
{
	size_t len;

	while (i < n && class_at(s, i, n, &len) == want)
		i += len;
	return i;
}

/* The end of the run of ASCII letters from i: sixteen bytes at a time, since
 * a loop over bytes is guessed wrong at the end of nearly every word. */
static inline size_t
ascii_letters(const char *s, size_t i, size_t n)
{
#ifdef __SSE2__
	for (; n - i >= 16; i += 16) {
		__m128i v = _mm_loadu_si128((const __m128i *)(s + i));
		unsigned no;

		v = _mm_or_si128(v, _mm_set1_epi8(0x20));
		v = _mm_sub_epi8(v, _mm_set1_epi8('a'));
		v = _mm_cmpeq_epi8(_mm_min_epu8(v, _mm_set1_epi8(25)), v);
		no = ~(unsigned)_mm_movemask_epi8(v) & 0xffff;
		if (no)
			return i + (unsigned)__builtin_ctz(no);
	}
#endif
	while (i < n && (unsigned char)s[i] < 0x80 &&
	       ascii[(unsigned char)s[i]] == GV_CLASS_LETTER)
		i++;
	return i;
}

static inline size_t
letters(const char *s, size_t i, size_t n)
{
	i = ascii_letters(s, i, n);
	return i < n && (unsigned char)s[i] >= 0x80
		   ? run(s, i, n, GV_CLASS_LETTER)
		   : i;
}

/* 's 't 're 've 'm 'll 'd at s[0] == '\'': bytes, or 0.  Without regard to
 * case, U+017F is an s. */
static size_t
contraction(const char *s, size_t n, bool fold)
{
	char a, b;

	if (n < 2)
		return 0;
	if (fold && n > 2 && s[1] == '\xc5' && s[2] == '\xbf')
		return 3;
	a = s[1];
	b = n > 2 ? s[2] : 0;
	if (fold) {
		a = (char)(a >= 'A' && a <= 'Z' ? a + 32 : a);
		b = (char)(b >= 'A' && b <= 'Z' ? b + 32 : b);
	}
	if (a == 's' || a == 't' || a == 'm' || a == 'd')
		return 2;
	if ((a == 'r' && b == 'e') || (a == 'v' && b == 'e') ||
	    (a == 'l' && b == 'l'))
		return 3;
	return 0;
}

/* \s+(?!\S)|\s+ from i: a run of spaces leaves its last to what follows. */
static size_t
spaces(const char *s, size_t i, size_t n)
{
	size_t j = i, last = i, len;

	while (j < n && class_at(s, j, n, &len) == GV_CLASS_SPACE) {
		last = j;
		j += len;
	}
	return j == n || last == i ? j : last;
}

static inline size_t
gpt2(const char *s, size_t i, size_t n)
{
	size_t len, at = i;
	enum gv_class c;

	if (s[i] == '\'') {
		len = contraction(s + i, n - i, false);
		if (len)
			return i + len;
	}
	c = class_at(s, i, n, &len);
	if (s[i] == ' ' && i + 1 < n) {
		at = i + 1;
		c = class_at(s, at, n, &len);
	}
	if (c == GV_CLASS_LETTER)
		return letters(s, at + len, n);
	if (c != GV_CLASS_SPACE)
		return run(s, at, n, c);
	return spaces(s, i, n);
}

/* [^\s\p{L}\p{N}]+[\r\n]* */
static size_t
others(const char *s, size_t i, size_t n)
{
	i = run(s, i, n, GV_CLASS_OTHER);
	while (i < n && (s[i] == '\r' || s[i] == '\n'))
		i++;
	return i;
}

/* \s*[\r\n]+|\s+(?!\S)|\s+ */
static size_t
lines(const char *s, size_t i, size_t n)
{
	size_t end = run(s, i, n, GV_CLASS_SPACE), j = end;

	while (j > i && s[j - 1] != '\r' && s[j - 1] != '\n')
		j--;
	return j > i ? j : spaces(s, i, n);
}

static inline size_t
qwen2(const char *s, size_t i, size_t n, int digits)
{
	size_t len, next_len, j;
	enum gv_class c, next;
	int d;

	if (s[i] == '\'') {
		len = contraction(s + i, n - i, true);
		if (len)
			return i + len;
	}
	c = class_at(s, i, n, &len);
	if (c == GV_CLASS_LETTER)
		return letters(s, i + len, n);
	if (c == GV_CLASS_NUMBER) {
		for (d = 0, j = i; d < digits && j < n; d++, j += len)
			if (class_at(s, j, n, &len) != c)
				break;
		return j;
	}
	if (i + len < n && s[i] != '\r' && s[i] != '\n') {
		next = class_at(s, i + len, n, &next_len);
		if (next == GV_CLASS_LETTER)
			return letters(s, i + len + next_len, n);
		if (s[i] == ' ' && next == GV_CLASS_OTHER)
			return others(s, i + 1, n);
	}
	return c == GV_CLASS_OTHER ? others(s, i, n) : lines(s, i, n);
}

/* The next blank from i. */
static size_t
word_end(const char *s, size_t i, size_t n)
{
	const char *p = memchr(s + i, ' ', n - i);

	return p ? (size_t)(p - s) : n;
}

static size_t
words(const char *s, size_t i, size_t n)
{
	while (i < n && s[i] == ' ')
		i++;
	return word_end(s, i, n);
}

/* ---- the walk ------------------------------------------------------------ */

static int
matcher_open(struct gv_splitter *w, struct gv_error *e)
{
	struct matcher *m = gv_alloc(1, sizeof *m);

	w->md = m;
	if (m) {
		m->md = pcre2_match_data_create(1, NULL);
		m->mc = pcre2_match_context_create(NULL);
		m->stack = pcre2_jit_stack_create(32 << 10, JIT_STACK, NULL);
	}
	if (!m || !m->md || !m->mc || !m->stack) {
		gv_splitter_close(w);
		return gv_fail(e, GV_ERR_NOMEM, "out of memory");
	}
	pcre2_set_match_limit(m->mc, MATCH_LIMIT);
	pcre2_jit_stack_assign(m->mc, NULL, m->stack);
	return 0;
}

int
gv_splitter_open(struct gv_splitter *w, const struct gv_split *split,
    const char *s, size_t n, struct gv_error *e)
{
	struct gv_splitter z = {.split = split, .s = s, .n = n};

	*w = z;
	return split->kind == REGEX ? matcher_open(w, e) : 0;
}

void
gv_splitter_close(struct gv_splitter *w)
{
	struct matcher *m = w->md;

	if (!m)
		return;
	pcre2_match_data_free(m->md);
	pcre2_match_context_free(m->mc);
	pcre2_jit_stack_free(m->stack);
	gv_free(m);
	w->md = NULL;
}

/* Finds the match ahead: [lo, hi), or [n, n) if there is none.  Empty matches
 * cut nothing and are passed over. */
static int
find(struct gv_splitter *w, struct gv_error *e)
{
	struct matcher *m = w->md;
	PCRE2_SIZE *v;
	int got = pcre2_match(w->split->re, (PCRE2_SPTR)w->s, w->n, w->at,
	    PCRE2_NOTEMPTY, m->md, m->mc);

	if (got == PCRE2_ERROR_NOMATCH) {
		w->lo = w->hi = w->n;
		return 0;
	}
	if (got < 0) {
		char why[128];

		pcre2_get_error_message(got, (PCRE2_UCHAR *)why, sizeof why);
		return gv_fail(e, GV_ERR_LIMIT, "split pattern: %s", why);
	}
	v = pcre2_get_ovector_pointer(m->md);
	w->lo = v[0];
	w->hi = v[1];
	return 0;
}

/* The end of the piece at w->at. */
static int
cut_regex(struct gv_splitter *w, struct gv_error *e)
{
	if ((w->lo < w->at || w->hi <= w->at) && find(w, e))
		return e->code;
	w->at = w->lo > w->at ? w->lo : w->hi;
	return 0;
}

int
gv_splitter_fill(
    struct gv_splitter *w, size_t *at, int most, struct gv_error *e)
{
	const struct gv_split *split = w->split;
	int k = 0;

	at[0] = w->at;
	if (split->kind == QWEN2)
		for (; k < most && at[k] < w->n; k++)
			at[k + 1] = qwen2(w->s, at[k], w->n, split->digits);
	else if (split->kind == GPT2)
		for (; k < most && at[k] < w->n; k++)
			at[k + 1] = gpt2(w->s, at[k], w->n);
	else if (split->kind == WORDS)
		for (; k < most && at[k] < w->n; k++)
			at[k + 1] = words(w->s, at[k], w->n);
	else if (split->kind == BLANKS)
		for (; k < most && at[k] < w->n; k++)
			at[k + 1] = word_end(w->s, at[k] + 1, w->n);
	else
		for (; k < most && w->at < w->n; k++) {
			if (cut_regex(w, e))
				return e->code;
			at[k + 1] = w->at;
		}
	w->at = at[k];
	return k;
}

int
gv_splitter_next(
    struct gv_splitter *w, size_t *at, size_t *end, struct gv_error *e)
{
	size_t cut[2];
	int got = gv_splitter_fill(w, cut, 1, e);

	if (got > 0) {
		*at = cut[0];
		*end = cut[1];
	}
	return got;
}
