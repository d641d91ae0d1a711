/* BPE in linear time: the longest match, and backtracking where it is wrong.
 *
 * Merging by rank has one result, and a row of tokens is that result just when
 * each two neighbours are the result for their own bytes.  So a piece is read
 * from the left, always the longest token that fits behind the last one; where
 * none fits the last one is taken back, and nothing ends at that place again,
 * since the tokens up to a place are the only ones that can stand there.
 *
 *	trie		the longest token at a place
 *	made[].shorter	the next shorter one there
 *	gv_bpe_fits()	are two neighbours merged to just themselves?
 *
 * gv_bpe_fits() undoes the merges of both tokens at their common border, the
 * latest first, and looks whether one across the border would have come before.
 *
 * Source: van Antwerpen, Neubeck, "So many tokens, so little time" (2024), for
 * ranks that are ids; Berglund, van der Merwe, "Formalizing BPE tokenization"
 * (2023).  Here ranks are those of merges, which need not be one a token; the
 * vocabularies that this holds for are told from the others when the tables
 * are made.
 */
#include "bpe_priv.h"

#include "mem.h"
#include "utf8.h"
#include "banned.h"

/* The longest token that s[0..n) begins with, and its length; or -1. */
static inline int32_t
longest(const struct gv_tokenizer *t, const char *s, size_t n, size_t *len)
{
	size_t base = GV_TRIE_ROOT, i;
	int32_t found = -1;

	for (i = 0; i < n; i++) {
		unsigned char c = (unsigned char)s[i];
		uint64_t slot = t->trie[base ^ c];

		if (GV_SLOT_LABEL(slot) != c)
			break;
		if (GV_SLOT_TOKEN(slot) >= 0) {
			found = GV_SLOT_TOKEN(slot);
			*len = i + 1;
		}
		base = GV_SLOT_BASE(slot);
	}
	return found;
}

static inline size_t
length(const struct gv_tokenizer *t, int32_t token)
{
	return token < 0 ? 0 : t->made[token].len;
}

#define FEW_WORDS 16 /* of 64 places, on the stack */
#define SHORT_RUN 15 /* bytes that the search is as fast for */

static bool
is_dead(const uint64_t *dead, size_t at)
{
	return dead[at / 64] >> at % 64 & 1;
}

/* Appends the tokens of s from *at on, until no token begins there, which is
 * then the new *at.  `dead` has a bit for each place. */
static int
match_run(const struct gv_tokenizer *t, const char *s, size_t n, size_t *at,
    uint64_t *dead, struct gv_ids *out, struct gv_error *e)
{
	const struct gv_made *p = t->made;
	size_t first = out->n, pos = *at, len = 0;
	int32_t tok = longest(t, s + pos, n - pos, &len), last = -1;

	while (tok >= 0 || out->n > first) {
		for (; tok >= 0; tok = p[tok].shorter, len = length(t, tok))
			if (len <= n - pos && !is_dead(dead, pos + len) &&
			    (last < 0 ||
				gv_bpe_fits(t, last, tok, GV_NO_LIMIT)))
				break;
		if (tok < 0) {
			dead[pos / 64] |= (uint64_t)1 << pos % 64;
			/* never, if the tables are those that were made */
			if (last < 0 || p[last].len > pos)
				break;
			pos -= p[last].len;
			tok = p[last].shorter;
			len = length(t, tok);
			out->n--;
			last = out->n > first ? out->id[out->n - 1] : -1;
			continue;
		}
		if (gv_ids_room(out, 1, e))
			return e->code;
		out->id[out->n++] = tok;
		last = tok;
		pos += len;
		tok = pos < n ? longest(t, s + pos, n - pos, &len) : -1;
		if (tok < 0)
			break;
	}
	*at = pos;
	return 0;
}

/* A character that no token begins with, as bytes; 0 if that can't be. */
static size_t
as_bytes(const struct gv_tokenizer *t, const char *s, size_t n,
    struct gv_ids *out, struct gv_error *e)
{
	uint32_t c;
	size_t len = gv_utf8_next(s, n, &c), i;

	for (i = 0; i < len; i++)
		if (!t->byte_fallback || t->byte_id[(unsigned char)s[i]] < 0)
			return 0;
	if (gv_ids_room(out, len, e))
		return 0;
	for (i = 0; i < len; i++)
		out->id[out->n++] = t->byte_id[(unsigned char)s[i]];
	return len;
}

int
gv_bpe_match(const struct gv_tokenizer *t, const char *s, size_t n,
    struct gv_ids *out, bool *done, struct gv_error *e)
{
	uint64_t few[FEW_WORDS], *dead = few;
	size_t words = n / 64 + 1, at = 0, first = out->n, step = 1;

	*done = false;
	if (n > SHORT_RUN && !t->chars && !memcmp(s, s + 1, n - 1) &&
	    (gv_bpe_run(t, *s, n, out, done, e) || *done))
		return e->code;
	if (words > FEW_WORDS && !(dead = gv_alloc(words, sizeof *dead)))
		return gv_fail(e, GV_ERR_NOMEM, "out of memory");
	if (dead == few)
		memset(few, 0, words * sizeof *few);
	while (!match_run(t, s, n, &at, dead, out, e) && at < n && step) {
		step = t->chars ? as_bytes(t, s + at, n - at, out, e) : 0;
		at += step;
	}
	if (dead != few)
		gv_free(dead);
	*done = at == n;
	if (!*done)
		out->n = first;
	return e->code;
}
