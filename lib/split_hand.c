/* Split patterns by hand: exactly the matches that a backtracking engine finds,
 * in linear time. */
#include "split_priv.h"

#include "utf8.h"
#include "banned.h"

#ifdef __SSE2__
#include <emmintrin.h>
#endif

/* ---- patterns ------------------------------------------------------------ */

#define FAMILY(numbers) \
	"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|" numbers \
	"| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"

const char gv_split_gpt2[] = "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| "
			     "?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";
const char gv_split_qwen2[] = FAMILY("\\p{N}");
const char gv_split_llama3[] = FAMILY("\\p{N}{1,3}");
const char gv_split_smollm[] =
    "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+"
    "|\\s+(?![^\\s\\p{N}])|\\s+";
/* tiktoken's, but for a + behind {1,3}, which the reference reads otherwise */
const char gv_split_cl100k[] =
    "'(?i:[sdmt]|ll|ve|re)|[^\\r\\n\\p{L}\\p{N}]?+\\p{L}++|\\p{N}{1,3}"
    "| ?[^\\s\\p{L}\\p{N}]++[\\r\\n]*+|\\s++$|\\s*[\\r\\n]|\\s+(?!\\S)|\\s";
const char gv_split_o200k[] =
    "[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]*"
    "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
    "|[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]+"
    "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
    "|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+"
    "|\\s+(?!\\S)|\\s+";
const char gv_split_words[] = " *[^ ]+| +";
const char gv_split_blanks[] = " [^ ]*|[^ ]+";
const char gv_split_ends[] = "[^ ]* |[^ ]+";

/* tiktoken's spelling of GPT-2's: the same pieces */
static const char r50k[] =
    "'(?:[sdmt]|ll|ve|re)| ?\\p{L}++| ?\\p{N}++| ?[^\\s\\p{L}\\p{N}]++"
    "|\\s++$|\\s+(?!\\S)|\\s";

bool
gv_stage_known(struct gv_stage *g, const char *pattern)
{
	static const struct {
		const char *pattern;
		struct gv_stage stage;
	} known[] = {
	    {gv_split_gpt2, {GV_CUT_GPT2, 0, false, NULL}},
	    {r50k, {GV_CUT_GPT2, 0, false, NULL}},
	    {gv_split_smollm, {GV_CUT_GPT2, 1, false, NULL}},
	    {gv_split_qwen2, {GV_CUT_QWEN2, 1, false, NULL}},
	    {gv_split_llama3, {GV_CUT_QWEN2, 3, false, NULL}},
	    {gv_split_cl100k, {GV_CUT_QWEN2, 3, true, NULL}},
	    {gv_split_o200k, {GV_CUT_O200K, 3, false, NULL}},
	    {gv_split_words, {GV_CUT_WORDS, 0, false, NULL}},
	    {gv_split_blanks, {GV_CUT_BLANKS, 0, false, NULL}},
	    {gv_split_ends, {GV_CUT_ENDS, 0, false, NULL}},
	};
	size_t i;

	for (i = 0; i < sizeof known / sizeof *known; i++)
		if (!strcmp(pattern, known[i].pattern)) {
			*g = known[i].stage;
			return true;
		}
	return false;
}

/* ---- characters ---------------------------------------------------------- */

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

size_t
gv_contraction(const char *s, size_t n, bool fold)
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

/* With `digits`, SmolLM's: each number is alone, and what stands before it is
 * cut as at the end of a text. */
static inline size_t
gpt2(const char *s, size_t i, size_t n, int digits)
{
	size_t len, at = i, next;
	enum gv_class c, d;

	if (s[i] == '\'') {
		len = gv_contraction(s + i, n - i, false);
		if (len)
			return i + len;
	}
	c = class_at(s, i, n, &len);
	if (s[i] == ' ' && i + 1 < n) {
		d = class_at(s, i + 1, n, &next);
		if (!digits || d != GV_CLASS_NUMBER) {
			c = d;
			at = i + 1;
			len = next;
		}
	}
	if (c == GV_CLASS_LETTER)
		return letters(s, at + len, n);
	if (c == GV_CLASS_NUMBER && digits)
		return at + len;
	if (c != GV_CLASS_SPACE)
		return run(s, at, n, c);
	at = run(s, i, n, GV_CLASS_SPACE);
	if (digits && at < n && class_at(s, at, n, &len) == GV_CLASS_NUMBER)
		return at;
	return spaces(s, i, n);
}

/* [^\s\p{L}\p{N}]+[\r\n]*, or with slashes among the last */
static size_t
others(const char *s, size_t i, size_t n, bool slashes)
{
	i = run(s, i, n, GV_CLASS_OTHER);
	while (
	    i < n && (s[i] == '\r' || s[i] == '\n' || (slashes && s[i] == '/')))
		i++;
	return i;
}

/* \s*[\r\n]+|\s+(?!\S)|\s+, with \s+$ before these if `tail` */
static size_t
lines(const char *s, size_t i, size_t n, bool tail)
{
	size_t end = run(s, i, n, GV_CLASS_SPACE), j = end;

	if (tail && end == n)
		return n;
	while (j > i && s[j - 1] != '\r' && s[j - 1] != '\n')
		j--;
	return j > i ? j : spaces(s, i, n);
}

/* \p{N}{1,most} */
static inline size_t
numbers(const char *s, size_t i, size_t n, int most)
{
	size_t len;

	for (; most-- > 0 && i < n; i += len)
		if (class_at(s, i, n, &len) != GV_CLASS_NUMBER)
			break;
	return i;
}

static inline size_t
qwen2(const struct gv_stage *g, const char *s, size_t i, size_t n)
{
	size_t len, next_len;
	enum gv_class c, next;

	if (s[i] == '\'') {
		len = gv_contraction(s + i, n - i, true);
		if (len)
			return i + len;
	}
	c = class_at(s, i, n, &len);
	if (c == GV_CLASS_LETTER)
		return letters(s, i + len, n);
	if (c == GV_CLASS_NUMBER)
		return numbers(s, i, n, g->digits);
	if (i + len < n && s[i] != '\r' && s[i] != '\n') {
		next = class_at(s, i + len, n, &next_len);
		if (next == GV_CLASS_LETTER)
			return letters(s, i + len + next_len, n);
		if (s[i] == ' ' && next == GV_CLASS_OTHER)
			return others(s, i + 1, n, false);
	}
	return c == GV_CLASS_OTHER ? others(s, i, n, false)
				   : lines(s, i, n, g->tail);
}

/* ---- o200k_base ---------------------------------------------------------- */

/* What a character can be in its words, which are of the upper kind first and
 * then of the lower: letters without case and marks are both. */
enum { UPPER = 1, LOWER = 2, LETTER = 4, NUMBER = 8 };

static inline unsigned
case_at(const char *s, size_t i, size_t n, size_t *len)
{
	unsigned char b = (unsigned char)s[i];
	uint32_t c;

	if (b < 0x80) {
		*len = 1;
		if (ascii[b] == GV_CLASS_LETTER)
			return LETTER | (b & 0x20 ? LOWER : UPPER);
		return ascii[b] == GV_CLASS_NUMBER ? NUMBER : 0;
	}
	*len = gv_utf8_next(s + i, n - i, &c);
	switch (gv_utf8_category(c)) {
	case GV_LU:
	case GV_LT:
		return LETTER | UPPER;
	case GV_LL:
		return LETTER | LOWER;
	case GV_LM:
	case GV_LO:
		return LETTER | UPPER | LOWER;
	case GV_MN:
	case GV_MC:
	case GV_ME:
		return UPPER | LOWER;
	case GV_ND:
	case GV_NL:
	case GV_NO:
		return NUMBER;
	default:
		return 0;
	}
}

static size_t
case_run(const char *s, size_t i, size_t n, unsigned want)
{
	size_t len;

	while (i < n && case_at(s, i, n, &len) & want)
		i += len;
	return i;
}

/* [upper]*[lower]+ from i, or 0: where no lower one follows the run of upper
 * ones, the match goes back to the last of these that is both. */
static size_t
lower_word(const char *s, size_t i, size_t n)
{
	size_t len, both = 0;
	unsigned k = 0;

	for (; i < n && (k = case_at(s, i, n, &len)) & UPPER; i += len)
		if (k & LOWER)
			both = i + len;
	return i < n && k & LOWER ? case_run(s, i, n, LOWER) : both;
}

/* [upper]+[lower]* from i, or 0 */
static size_t
upper_word(const char *s, size_t i, size_t n)
{
	size_t end = case_run(s, i, n, UPPER);

	return end > i ? case_run(s, end, n, LOWER) : 0;
}

static size_t
o200k(const char *s, size_t i, size_t n)
{
	size_t len, end, behind;
	unsigned k = case_at(s, i, n, &len);
	/* one character that is none of these may lead a word */
	bool lead = !(k & (LETTER | NUMBER)) && s[i] != '\r' && s[i] != '\n';

	behind = i + len;
	end = lead ? lower_word(s, behind, n) : 0;
	end = end ? end : lower_word(s, i, n);
	end = end || !lead ? end : upper_word(s, behind, n);
	end = end ? end : upper_word(s, i, n);
	if (end)
		return end < n && s[end] == '\''
			   ? end + gv_contraction(s + end, n - end, true)
			   : end;
	if (k & NUMBER)
		return numbers(s, i, n, 3);
	if (class_at(s, i, n, &len) == GV_CLASS_OTHER)
		return others(s, i, n, true);
	if (s[i] == ' ' && behind < n &&
	    class_at(s, behind, n, &len) == GV_CLASS_OTHER)
		return others(s, behind, n, true);
	return lines(s, i, n, false);
}

/* ---- SentencePiece and CLIP ---------------------------------------------- */

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

static size_t
ends(const char *s, size_t i, size_t n)
{
	i = word_end(s, i, n);
	return i < n ? i + 1 : n;
}

/* ---- the walk ------------------------------------------------------------ */

int
gv_stage_cut(
    const struct gv_stage *g, const char *s, size_t n, size_t *at, int most)
{
	int k = 0;

/* a loop each, so that the cut is inlined */
#define CUT(next) \
	for (; k < most && at[k] < n; k++) \
	at[k + 1] = (next)
	if (g->cut == GV_CUT_QWEN2)
		while (k < most && at[k] < n) {
			int got = gv_mask_cut(g, s, n, at + k, most - k);

			k += got;
			if (!got) {
				at[k + 1] = qwen2(g, s, at[k], n);
				k++;
			}
		}
	else if (g->cut == GV_CUT_GPT2)
		CUT(gpt2(s, at[k], n, g->digits));
	else if (g->cut == GV_CUT_O200K)
		CUT(o200k(s, at[k], n));
	else if (g->cut == GV_CUT_WORDS)
		CUT(words(s, at[k], n));
	else if (g->cut == GV_CUT_BLANKS)
		CUT(word_end(s, at[k] + 1, n));
	else
		CUT(ends(s, at[k], n));
#undef CUT
	return k;
}
