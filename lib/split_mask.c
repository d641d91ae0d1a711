/* Qwen2's pattern over ASCII, 64 bytes at a time.
 *
 * A piece's end follows from its text and a character or two behind it, so from
 * the start of a piece the ends of all pieces in a window are found at once: a
 * word of 64 bits for each class of characters, and shifts and additions for
 * what stands beside what.  Where the window ends nothing is decided that
 * might depend on what comes.
 *
 * Source: bit-parallel text streams, Cameron et al., "High performance XML
 * parsing using parallel bit stream technology" (2008); a run of ones is
 * followed to its end by adding its first.
 */
#include "split_priv.h"

#include "banned.h"

#ifdef __SSE2__
#include <emmintrin.h>

#define WINDOW ((size_t)64)
#define FEW    12 /* bytes of ASCII that a window isn't worth it for */

/* The classes of a window: bit i is of byte i. */
struct masks {
	uint64_t letter, digit, space, newline, blank, quote, high;
};

static inline __m128i
within(__m128i v, char first, char last)
{
	v = _mm_sub_epi8(v, _mm_set1_epi8(first));
	return _mm_cmpeq_epi8(
	    _mm_min_epu8(v, _mm_set1_epi8((char)(last - first))), v);
}

static inline uint64_t
bits(__m128i v, int at)
{
	return (uint64_t)(uint32_t)_mm_movemask_epi8(v) << at;
}

static inline struct masks
classify(const char *s)
{
	struct masks m = {0, 0, 0, 0, 0, 0, 0};
	int i;

	for (i = 0; i < (int)WINDOW; i += 16) {
		__m128i v = _mm_loadu_si128((const __m128i *)(s + i));
		__m128i blank = _mm_cmpeq_epi8(v, _mm_set1_epi8(' '));
		__m128i low = _mm_or_si128(v, _mm_set1_epi8(0x20));
		__m128i line =
		    _mm_or_si128(_mm_cmpeq_epi8(v, _mm_set1_epi8('\n')),
			_mm_cmpeq_epi8(v, _mm_set1_epi8('\r')));

		m.letter |= bits(within(low, 'a', 'z'), i);
		m.digit |= bits(within(v, '0', '9'), i);
		m.space |= bits(_mm_or_si128(within(v, '\t', '\r'), blank), i);
		m.newline |= bits(line, i);
		m.blank |= bits(blank, i);
		m.quote |= bits(_mm_cmpeq_epi8(v, _mm_set1_epi8('\'')), i);
		m.high |= bits(v, i);
	}
	return m;
}

/* Where digits start pieces: all of them, or each third of a run. */
static inline uint64_t
digit_starts(uint64_t digit, int most)
{
	uint64_t three = digit & digit << 1 & digit << 2, at, all;

	if (most == 1)
		return digit;
	at = all = digit & ~(digit << 1);
	while ((at = at << 3 & three))
		all |= at;
	return all;
}

/* Where whitespace starts pieces, but for the first of a run, `eaten` being
 * the newlines that belong to what stands before them.  A run is cut behind its
 * last newline, and before its last character if that isn't one. */
static inline uint64_t
space_starts(uint64_t space, uint64_t newline, uint64_t eaten)
{
	uint64_t gap = space & ~newline, free = space & ~eaten;
	uint64_t last = gap & ~(gap >> 1) & ~(newline >> 1);
	uint64_t behind = gap & newline << 1; /* a newline */
	uint64_t wrong = (gap + behind) & ~gap & newline;

	/* not the last newline: the next run of them follows */
	for (; wrong; wrong &= wrong - 1) {
		uint64_t below = behind & ((wrong & -wrong) - 1);

		behind &= ~((uint64_t)1 << 63 >> __builtin_clzll(below));
	}
	return (free & ~(free << 1)) | behind | last;
}

/* The ends of 's, 're and the like, where a quote in `quote` starts a piece. */
static inline uint64_t
contractions(uint64_t quote, const char *s, size_t n)
{
	uint64_t ends = 0;

	for (; quote; quote &= quote - 1) {
		size_t i = (size_t)__builtin_ctzll(quote);
		size_t len = gv_contraction(s + i, n - i, true);

		if (len && i + len < WINDOW)
			ends |= (uint64_t)1 << (i + len);
	}
	return ends;
}

/* Where pieces start in a window of `low` characters, which are ASCII. */
static inline uint64_t
piece_starts(
    const struct masks *m, uint64_t low, const char *s, size_t n, int digits)
{
	uint64_t letter = m->letter & low, space = m->space & low;
	uint64_t digit = m->digit & low, newline = m->newline & low;
	uint64_t other = low & ~(letter | digit | space);
	uint64_t first, eaten, alone, taken;

	/* a run of others takes a blank before it, and newlines behind it */
	first = other & ~(other << 1) & ~(m->blank << 1);
	eaten = newline & other << 1;
	eaten = newline & ~(newline + eaten);
	/* one that is alone before letters is theirs, as the end of a gap is */
	alone = first & letter >> 1;
	taken = alone | (space & ~newline);
	return (first | digit_starts(digit, digits) |
		   space_starts(space, newline, eaten) |
		   (letter & ~(letter << 1) & ~(taken << 1)) |
		   contractions(alone & m->quote, s, n)) &
	       low;
}

int
gv_mask_cut(
    const struct gv_stage *g, const char *s, size_t n, size_t *at, int most)
{
	size_t from = at[0];
	uint64_t low = ~(uint64_t)0, starts, dense;
	struct masks m;
	int k = 0;

	s += from;
	n -= from;
	if (n < WINDOW ||
	    bits(_mm_loadu_si128((const __m128i *)s), 0) & ((1 << FEW) - 1))
		return 0;
	m = classify(s);
	if (m.high)
		low = (m.high & -m.high) - 1;
	starts = piece_starts(&m, low, s, n, g->digits);
	/* a gap at the end may go on: nothing behind its start is known */
	dense = low & ~m.space;
	if (!dense)
		return 0;
	if (m.space & low & ~(low >> 1))
		starts &=
		    ((uint64_t)2 << (63 - __builtin_clzll(dense)) << 1) - 1;
	for (starts &= ~(uint64_t)1; starts && k < most; starts &= starts - 1)
		at[++k] = from + (size_t)__builtin_ctzll(starts);
	return k;
}
#else
int
gv_mask_cut(
    const struct gv_stage *g, const char *s, size_t n, size_t *at, int most)
{
	(void)g, (void)s, (void)n, (void)at, (void)most;
	return 0;
}
#endif
