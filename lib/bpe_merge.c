/* BPE as it is defined: always the pair of the lowest rank, the leftmost of
 * equals.
 *
 * For vocabularies and pieces that bpe_match.c leaves alone.  Short pieces are
 * merged by searching a row of ranks, long ones with a heap, so that a megabyte
 * of one letter takes n log n.
 */
#include "token_impl.h"

#include "utf8.h"
#include "banned.h"

#define SHORT_PIECE 48 /* bytes that are merged without a heap */

/* rank[i] is that of the pair (id[i], id[i + 1]). */
static size_t
merge_short(const struct gv_tokenizer *t, int32_t *id, size_t n)
{
	uint32_t rank[SHORT_PIECE];
	size_t i, best;

	for (i = 0; i + 1 < n; i++)
		rank[i] = gv_token_rank(t, id[i], id[i + 1]);
	while (n > 1) {
		for (best = 0, i = 1; i + 1 < n; i++)
			if (rank[i] < rank[best])
				best = i;
		if (rank[best] == GV_NO_RANK)
			break;
		id[best] = t->merged[rank[best]];
		n--;
		for (i = best + 1; i < n; i++) {
			id[i] = id[i + 1];
			rank[i - 1] = rank[i];
		}
		if (best + 1 < n)
			rank[best] = gv_token_rank(t, id[best], id[best + 1]);
		if (best)
			rank[best - 1] =
			    gv_token_rank(t, id[best - 1], id[best]);
	}
	return n;
}

/* A long piece is a doubly linked list in arrays; the heap holds candidate
 * merges, of which those whose pair has changed meanwhile are passed over.  A
 * candidate is its rank and, in the lower half, its place: the smallest number
 * goes first.  Each node of the heap has four children, which are one line of
 * memory. */
struct list {
	int32_t *id; /* -1: merged into its left neighbour */
	uint32_t *next, *prev;
	uint64_t *heap;
	size_t n;
};

static uint64_t
candidate(const struct list *l, const struct gv_tokenizer *t, uint32_t at,
    uint32_t right)
{
	uint32_t rank = gv_token_rank(t, l->id[at], l->id[right]);

	return rank == GV_NO_RANK ? UINT64_MAX : (uint64_t)rank << 32 | at;
}

/* Each merge adds at most two candidates and takes one away, and there are
 * fewer merges than bytes: the heap was made large enough. */
static void
offer(struct list *l, const struct gv_tokenizer *t, uint32_t at, uint32_t right)
{
	uint64_t c = candidate(l, t, at, right);
	size_t i, up;

	if (c == UINT64_MAX)
		return;
	for (i = l->n++; i; i = up) {
		up = (i - 1) / 4;
		if (c >= l->heap[up])
			break;
		l->heap[i] = l->heap[up];
	}
	l->heap[i] = c;
}

/* Puts c at i or below it. */
static void
sink(struct list *l, size_t i, uint64_t c)
{
	size_t kid, k, least;

	for (; (kid = 4 * i + 1) < l->n; i = least) {
		size_t end = kid + 4 < l->n ? kid + 4 : l->n;

		for (least = kid, k = kid + 1; k < end; k++)
			least = l->heap[k] < l->heap[least] ? k : least;
		if (l->heap[least] >= c)
			break;
		l->heap[i] = l->heap[least];
	}
	l->heap[i] = c;
}

static uint64_t
take(struct list *l)
{
	uint64_t top = l->heap[0];

	l->n--;
	if (l->n)
		sink(l, 0, l->heap[l->n]);
	return top;
}

static void
merge_list(const struct gv_tokenizer *t, struct list *l, uint32_t n)
{
	uint32_t i;
	size_t k;

	for (i = 0; i < n; i++) {
		l->next[i] = i + 1;
		l->prev[i] = i - 1;
	}
	for (i = 0; i + 1 < n; i++) {
		l->heap[l->n] = candidate(l, t, i, i + 1);
		l->n += l->heap[l->n] != UINT64_MAX;
	}
	for (k = l->n / 4 + 1; k-- > 0;)
		if (k < l->n)
			sink(l, k, l->heap[k]);
	while (l->n) {
		uint64_t c = take(l);
		uint32_t rank = (uint32_t)(c >> 32), at = (uint32_t)c;
		uint32_t r = l->next[at];

		if (l->id[at] < 0 || r >= n ||
		    gv_token_rank(t, l->id[at], l->id[r]) != rank)
			continue;
		l->id[at] = t->merged[rank];
		l->id[r] = -1;
		l->next[at] = l->next[r];
		if (l->next[r] < n) {
			l->prev[l->next[r]] = at;
			offer(l, t, at, l->next[r]);
		}
		if (at)
			offer(l, t, l->prev[at], at);
	}
}

/* The ids of the bytes of a character, if the vocabulary has all of them;
 * false if not. */
static bool
fall_back(const struct gv_tokenizer *t, const char *s, size_t n, int32_t *id)
{
	size_t i;

	for (i = 0; t->byte_fallback && i < n; i++) {
		id[i] = t->byte_id[(unsigned char)s[i]];
		if (id[i] < 0)
			return false;
	}
	return t->byte_fallback;
}

/* The ids of single characters.  An unknown one is held back until a known one
 * follows, so bytes that were fallen back to overtake it, and those that are
 * held are one if the vocabulary fuses them: it is the reference that does so,
 * and models have learned from it. */
static size_t
ids_of_chars(const struct gv_tokenizer *t, const char *s, size_t n, int32_t *id)
{
	bool held = false;
	size_t k = 0, len;
	uint32_t c;

	for (; n; s += len, n -= len) {
		int32_t known;

		len = gv_utf8_next(s, n, &c);
		known = gv_token_find(t, s, len);
		if (known >= 0) {
			if (held)
				id[k++] = t->unk;
			held = false;
			id[k++] = known;
		} else if (fall_back(t, s, len, id + k)) {
			k += len;
		} else if (t->unk >= 0) {
			if (held && !t->fuse_unk)
				id[k++] = t->unk;
			held = true;
		}
	}
	if (held)
		id[k++] = t->unk;
	return k;
}

/* The ids of single bytes; one that the vocabulary lacks is left out, as
 * Hugging Face does (SmolLM's lacks control bytes).  Returns how many. */
static size_t
first_ids(const struct gv_tokenizer *t, const char *s, size_t n, int32_t *id)
{
	size_t i, k = 0;

	if (t->chars)
		return ids_of_chars(t, s, n, id);
	for (i = 0; i < n; i++) {
		id[k] = t->byte_id[(unsigned char)s[i]];
		k += id[k] >= 0;
	}
	return k;
}

static int
merge_long(const struct gv_tokenizer *t, const char *s, size_t n,
    struct gv_ids *out, struct gv_error *e)
{
	struct list l = {0};
	int rc = 0;
	size_t i;

	l.id = gv_alloc(n, sizeof *l.id);
	l.next = gv_alloc(n, sizeof *l.next);
	l.prev = gv_alloc(n, sizeof *l.prev);
	l.heap = gv_alloc(2 * n, sizeof *l.heap);
	if (!l.id || !l.next || !l.prev || !l.heap) {
		rc = gv_fail(e, GV_ERR_NOMEM, "out of memory");
	} else {
		n = first_ids(t, s, n, l.id);
		merge_list(t, &l, (uint32_t)n);
	}
	for (i = 0; i < n && !rc; i++)
		if (l.id[i] >= 0)
			rc = gv_ids_push(out, l.id[i], e);
	gv_free(l.id);
	gv_free(l.next);
	gv_free(l.prev);
	gv_free(l.heap);
	return rc;
}

int
gv_bpe_merge(const struct gv_tokenizer *t, const char *s, size_t n,
    struct gv_ids *out, struct gv_error *e)
{
	if (n > SHORT_PIECE)
		return merge_long(t, s, n, out, e);
	if (gv_ids_room(out, n, e))
		return e->code;
	out->n += merge_short(
	    t, out->id + out->n, first_ids(t, s, n, out->id + out->n));
	return 0;
}
