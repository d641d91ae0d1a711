/* Learning a byte-level BPE vocabulary.
 *
 * Pieces are counted, so that each distinct one is merged once however often
 * it occurs.  Every pair of neighbours has its count and the words that may
 * hold it; a merge visits only these.  A heap of (count, pair) gives the next
 * merge: counts there may be too large, never too small, and are put right
 * when they come up.
 */
#include "bpe_train.h"

#include "mem.h"
#include "split.h"
#include "token_impl.h"
#include "utf8.h"
#include "banned.h"

#define MAX_PIECE     ((size_t)1024) /* bytes of a word */
#define MIN_FREQUENCY 2

/* A distinct piece.  While pieces are counted it is bytes, then ids. */
struct word {
	size_t at; /* in bytes[], later in id[] */
	uint32_t n;
	uint64_t count;
};

struct pair {
	int32_t a, b;
	int64_t count;
	uint32_t *word; /* words that hold it, or did; some twice */
	size_t words, cap;
};

struct top {
	int64_t count;
	int32_t a, b;
	uint32_t pair;
};

struct gv_bpe_train {
	int32_t vocab;
	const struct gv_chat_template *tmpl;
	struct gv_split *split;

	char *bytes;
	size_t used, bytes_cap;
	struct word *word;
	size_t words, word_cap;
	uint32_t *word_slot; /* hash table of word + 1 */
	size_t word_mask;

	int32_t *id;
	struct pair *pair;
	size_t pairs, pair_cap;
	uint32_t *pair_slot; /* hash table of pair + 1 */
	size_t pair_mask;
	struct top *heap;
	size_t tops, heap_cap;
	uint32_t *seen; /* the merge that last visited a word */
	uint32_t *risen; /* pairs that this merge made more frequent */
	size_t risens, risen_cap;

	struct gv_learned out;
	int32_t *token_slot; /* hash table of learned ids + 1 */
	size_t token_mask;
};

static int
no_memory(struct gv_error *e)
{
	return gv_fail(e, GV_ERR_NOMEM, "out of memory");
}

#define GROW(list, cap, need, e) \
	gv_room(&(list), &(cap), need, sizeof *(list), e)

int
gv_bpe_train_open(struct gv_bpe_train **out, int32_t vocab,
    const char *chat_template, struct gv_error *e)
{
	const struct gv_chat_template *tmpl =
	    gv_chat_template_find(chat_template);
	struct gv_bpe_train *b;
	int32_t least = 256;
	size_t i;

	if (!tmpl)
		return gv_fail(e, GV_ERR_USAGE,
		    "chat template '%s' is neither nano nor chatml",
		    chat_template);
	for (i = 0; tmpl->special[i]; i++)
		least++;
	if (vocab < least || vocab > GV_MAX_IDS)
		return gv_fail(e, GV_ERR_USAGE,
		    "a vocabulary of %d ids is not between %d (256 bytes and "
		    "%d special tokens) and %d",
		    (int)vocab, (int)least, (int)least - 256, GV_MAX_IDS);
	b = gv_alloc(1, sizeof *b);
	if (!b)
		return no_memory(e);
	b->vocab = vocab - (least - 256);
	b->tmpl = tmpl;
	if (gv_split_open(&b->split, gv_split_qwen2, e)) {
		gv_bpe_train_close(&b);
		return e->code;
	}
	*out = b;
	return 0;
}

void
gv_bpe_train_close(struct gv_bpe_train **bp)
{
	struct gv_bpe_train *b = *bp;
	size_t i;

	if (!b)
		return;
	for (i = 0; i < b->pairs; i++)
		gv_free(b->pair[i].word);
	gv_split_close(&b->split);
	gv_free(b->bytes);
	gv_free(b->word);
	gv_free(b->word_slot);
	gv_free(b->id);
	gv_free(b->pair);
	gv_free(b->pair_slot);
	gv_free(b->heap);
	gv_free(b->seen);
	gv_free(b->risen);
	gv_free(b->token_slot);
	gv_free(b->out.s);
	gv_free(b->out.off);
	gv_free(b->out.left);
	gv_free(b->out.right);
	gv_free(b);
	*bp = NULL;
}

/* ---- counting pieces ----------------------------------------------------- */

static size_t
word_place(const struct gv_bpe_train *b, const char *s, size_t n)
{
	size_t i = gv_token_hash(s, n) & b->word_mask;

	for (; b->word_slot[i]; i = (i + 1) & b->word_mask) {
		const struct word *w = &b->word[b->word_slot[i] - 1];

		if (w->n == n && !memcmp(b->bytes + w->at, s, n))
			break;
	}
	return i;
}

/* Doubles the table before it is half full. */
static int
word_table(struct gv_bpe_train *b, struct gv_error *e)
{
	size_t size = b->word_slot ? 2 * (b->word_mask + 1) : 1 << 12, i;

	if (b->word_slot && 2 * b->words <= b->word_mask)
		return 0;
	if (b->words >= UINT32_MAX / 4)
		return gv_fail(
		    e, GV_ERR_LIMIT, "more than 2^30 different words");
	gv_free(b->word_slot);
	b->word_slot = gv_alloc(size, sizeof *b->word_slot);
	if (!b->word_slot)
		return no_memory(e);
	b->word_mask = size - 1;
	for (i = 0; i < b->words; i++) {
		const struct word *w = &b->word[i];

		b->word_slot[word_place(b, b->bytes + w->at, w->n)] =
		    (uint32_t)i + 1;
	}
	return 0;
}

static int
count(struct gv_bpe_train *b, const char *s, size_t n, struct gv_error *e)
{
	struct word *w;
	size_t i;

	if (word_table(b, e))
		return e->code;
	i = word_place(b, s, n);
	if (b->word_slot[i]) {
		b->word[b->word_slot[i] - 1].count++;
		return 0;
	}
	if (GROW(b->bytes, b->bytes_cap, b->used + n, e) ||
	    GROW(b->word, b->word_cap, b->words + 1, e))
		return e->code;
	memcpy(b->bytes + b->used, s, n);
	w = &b->word[b->words++];
	w->at = b->used;
	w->n = (uint32_t)n;
	w->count = 1;
	b->used += n;
	b->word_slot[i] = (uint32_t)b->words;
	return 0;
}

int
gv_bpe_train_add(
    struct gv_bpe_train *b, const char *s, size_t n, struct gv_error *e)
{
	struct gv_splitter w;
	char *norm;
	size_t len, at, end;
	int got = 0;

	if (b->out.off)
		return gv_fail(
		    e, GV_ERR_USAGE, "the vocabulary has been learned");
	if (gv_nfc(s, n, &norm, &len, e))
		return e->code;
	if (gv_splitter_open(&w, b->split, norm ? norm : s, len, e))
		got = e->code;
	while (!got && (got = gv_splitter_next(&w, &at, &end, e)) > 0)
		for (got = 0; at < end && !got; at += MAX_PIECE)
			got = count(b, w.s + at,
			    end - at < MAX_PIECE ? end - at : MAX_PIECE, e);
	gv_splitter_close(&w);
	gv_free(norm);
	return got;
}

/* ---- tokens -------------------------------------------------------------- */

static size_t
token_place(const struct gv_bpe_train *b, const char *s, size_t n)
{
	const struct gv_learned *l = &b->out;
	size_t i = gv_token_hash(s, n) & b->token_mask;

	for (; b->token_slot[i]; i = (i + 1) & b->token_mask) {
		int32_t k = b->token_slot[i] - 1;

		if (l->off[k + 1] - l->off[k] == n &&
		    !memcmp(l->s + l->off[k], s, n))
			break;
	}
	return i;
}

/* The id of these bytes (which may lie in the learned tokens), new or old: two
 * different merges can spell the same token. */
static int32_t
token(struct gv_bpe_train *b, const char *s, size_t n, struct gv_error *e)
{
	struct gv_learned *l = &b->out;
	size_t i = token_place(b, s, n);

	if (b->token_slot[i])
		return b->token_slot[i] - 1;
	if (GROW(l->s, l->s_cap, l->off[l->n] + n, e) ||
	    GROW(l->off, l->off_cap, (size_t)l->n + 2, e))
		return e->code;
	memcpy(l->s + l->off[l->n], s, n);
	l->off[l->n + 1] = l->off[l->n] + n;
	b->token_slot[i] = ++l->n;
	return l->n - 1;
}

/* Makes the 256 byte tokens, in the order of their characters. */
static int
alphabet(struct gv_bpe_train *b, struct gv_error *e)
{
	size_t size = 1 << 10;
	uint32_t c;

	while (size < 2 * (size_t)b->vocab)
		size *= 2;
	b->token_mask = size - 1;
	b->token_slot = gv_alloc(size, sizeof *b->token_slot);
	if (!b->token_slot)
		return no_memory(e);
	if (GROW(b->out.off, b->out.off_cap, 2, e))
		return e->code;
	b->out.off[0] = 0;
	for (c = 0; b->out.n < 256; c++) {
		char byte = (char)gv_char_to_byte(c);

		if (gv_char_to_byte(c) >= 0 && token(b, &byte, 1, e) < 0)
			return e->code;
	}
	return 0;
}

/* ---- pairs --------------------------------------------------------------- */

static size_t
pair_place(const struct gv_bpe_train *b, int32_t x, int32_t y)
{
	uint64_t h =
	    ((uint64_t)(uint32_t)x << 32 | (uint32_t)y) * 0x9e3779b97f4a7c15u;
	size_t i = (size_t)(h >> 32) & b->pair_mask;

	for (; b->pair_slot[i]; i = (i + 1) & b->pair_mask) {
		const struct pair *p = &b->pair[b->pair_slot[i] - 1];

		if (p->a == x && p->b == y)
			break;
	}
	return i;
}

static int
pair_table(struct gv_bpe_train *b, struct gv_error *e)
{
	size_t size = b->pair_slot ? 2 * (b->pair_mask + 1) : 1 << 12, i;

	if (b->pair_slot && 2 * b->pairs <= b->pair_mask)
		return 0;
	gv_free(b->pair_slot);
	b->pair_slot = gv_alloc(size, sizeof *b->pair_slot);
	if (!b->pair_slot)
		return no_memory(e);
	b->pair_mask = size - 1;
	for (i = 0; i < b->pairs; i++)
		b->pair_slot[pair_place(b, b->pair[i].a, b->pair[i].b)] =
		    (uint32_t)i + 1;
	return 0;
}

/* `delta` more of the pair (x, y), in word w; those that rise are noted. */
static int
change(struct gv_bpe_train *b, int32_t x, int32_t y, int64_t delta, uint32_t w,
    struct gv_error *e)
{
	struct pair *p;
	size_t i;

	if (pair_table(b, e))
		return e->code;
	i = pair_place(b, x, y);
	if (!b->pair_slot[i]) {
		if (GROW(b->pair, b->pair_cap, b->pairs + 1, e))
			return e->code;
		p = &b->pair[b->pairs++];
		memset(p, 0, sizeof *p);
		p->a = x;
		p->b = y;
		b->pair_slot[i] = (uint32_t)b->pairs;
	}
	p = &b->pair[b->pair_slot[i] - 1];
	p->count += delta;
	if (delta < 0)
		return 0;
	if (!p->words || p->word[p->words - 1] != w) {
		if (GROW(p->word, p->cap, p->words + 1, e))
			return e->code;
		p->word[p->words++] = w;
	}
	if (GROW(b->risen, b->risen_cap, b->risens + 1, e))
		return e->code;
	b->risen[b->risens++] = b->pair_slot[i] - 1;
	return 0;
}

/* ---- the heap ------------------------------------------------------------ */

static bool
goes_first(const struct top *x, const struct top *y)
{
	if (x->count != y->count)
		return x->count > y->count;
	return x->a != y->a ? x->a < y->a : x->b < y->b;
}

static int
push(struct gv_bpe_train *b, uint32_t pair, struct gv_error *e)
{
	const struct pair *p = &b->pair[pair];
	struct top t = {p->count, p->a, p->b, pair};
	size_t i, up;

	if (p->count < MIN_FREQUENCY)
		return 0;
	if (GROW(b->heap, b->heap_cap, b->tops + 1, e))
		return e->code;
	for (i = b->tops++; i; i = up) {
		up = (i - 1) / 2;
		if (!goes_first(&t, &b->heap[up]))
			break;
		b->heap[i] = b->heap[up];
	}
	b->heap[i] = t;
	return 0;
}

static struct top
pop(struct gv_bpe_train *b)
{
	struct top first = b->heap[0], t = b->heap[--b->tops];
	size_t i = 0, kid;

	for (; (kid = 2 * i + 1) < b->tops; i = kid) {
		if (kid + 1 < b->tops &&
		    goes_first(&b->heap[kid + 1], &b->heap[kid]))
			kid++;
		if (!goes_first(&b->heap[kid], &t))
			break;
		b->heap[i] = b->heap[kid];
	}
	b->heap[i] = t;
	return first;
}

static int
by_pair(const void *x, const void *y)
{
	uint32_t a = *(const uint32_t *)x, b = *(const uint32_t *)y;

	return a < b ? -1 : a > b;
}

/* Puts each pair that rose on the heap, once. */
static int
push_risen(struct gv_bpe_train *b, struct gv_error *e)
{
	size_t i;

	if (!b->risens)
		return 0;
	qsort(b->risen, b->risens, sizeof *b->risen, by_pair);
	for (i = 0; i < b->risens; i++)
		if (!i || b->risen[i] != b->risen[i - 1])
			if (push(b, b->risen[i], e))
				return e->code;
	b->risens = 0;
	return 0;
}

/* ---- learning ------------------------------------------------------------ */

/* Turns bytes into ids and counts the pairs of all words. */
static int
start(struct gv_bpe_train *b, struct gv_error *e)
{
	size_t i;
	uint32_t k;

	b->id = gv_alloc(b->used, sizeof *b->id);
	b->seen = gv_alloc(b->words, sizeof *b->seen);
	if (!b->id || !b->seen)
		return no_memory(e);
	for (i = 0; i < b->used; i++)
		b->id[i] = token(b, b->bytes + i, 1, e);
	for (i = 0; i < b->words; i++) {
		const struct word *w = &b->word[i];

		for (k = 0; k + 1 < w->n; k++)
			if (change(b, b->id[w->at + k], b->id[w->at + k + 1],
				(int64_t)w->count, (uint32_t)i, e))
				return e->code;
	}
	return push_risen(b, e);
}

/* Replaces x y by z throughout word w, left to right. */
static int
merge_word(struct gv_bpe_train *b, uint32_t w, int32_t x, int32_t y, int32_t z,
    struct gv_error *e)
{
	int32_t *id = b->id + b->word[w].at;
	uint32_t n = b->word[w].n, i, k = 0;
	int64_t c = (int64_t)b->word[w].count;

	/* id[0..k) is done, id[i..n) is to come */
	for (i = 0; i < n; i++) {
		if (i + 1 == n || id[i] != x || id[i + 1] != y) {
			id[k++] = id[i];
			continue;
		}
		if (k && (change(b, id[k - 1], x, -c, w, e) ||
			     change(b, id[k - 1], z, c, w, e)))
			return e->code;
		if (i + 2 < n && (change(b, y, id[i + 2], -c, w, e) ||
				     change(b, z, id[i + 2], c, w, e)))
			return e->code;
		id[k++] = z;
		i++;
	}
	b->word[w].n = k;
	return 0;
}

static int
merge(struct gv_bpe_train *b, uint32_t pair, struct gv_error *e)
{
	struct gv_learned *l = &b->out;
	int32_t x = b->pair[pair].a, y = b->pair[pair].b, z;
	size_t nx = l->off[x + 1] - l->off[x];
	size_t ny = l->off[y + 1] - l->off[y], i;
	char both[2 * MAX_PIECE];

	memcpy(both, l->s + l->off[x], nx);
	memcpy(both + nx, l->s + l->off[y], ny);
	z = token(b, both, nx + ny, e);
	if (z < 0)
		return e->code;
	if (GROW(l->left, l->left_cap, l->merges + 1, e) ||
	    GROW(l->right, l->right_cap, l->merges + 1, e))
		return e->code;
	l->left[l->merges] = x;
	l->right[l->merges] = y;
	l->merges++;
	for (i = 0; i < b->pair[pair].words; i++) {
		uint32_t w = b->pair[pair].word[i];

		if (b->seen[w] == l->merges)
			continue;
		b->seen[w] = (uint32_t)l->merges;
		if (merge_word(b, w, x, y, z, e))
			return e->code;
	}
	gv_free(b->pair[pair].word);
	b->pair[pair].word = NULL;
	b->pair[pair].words = b->pair[pair].cap = 0;
	b->pair[pair].count = 0;
	return push_risen(b, e);
}

int
gv_bpe_train_learn(struct gv_bpe_train *b, int32_t *size, struct gv_error *e)
{
	size_t i;

	if (b->out.off)
		return gv_fail(
		    e, GV_ERR_USAGE, "the vocabulary has been learned");
	if (alphabet(b, e) || start(b, e))
		return e->code;
	while (b->out.n < b->vocab && b->tops) {
		struct top t = pop(b);
		int64_t now = b->pair[t.pair].count;

		if (now != t.count ? push(b, t.pair, e) : merge(b, t.pair, e))
			return e->code;
	}
	*size = b->out.n;
	for (i = 0; b->tmpl->special[i]; i++)
		++*size;
	return 0;
}

int
gv_bpe_train_write(struct gv_bpe_train *b, const char *dir, struct gv_error *e)
{
	if (!b->out.off)
		return gv_fail(
		    e, GV_ERR_USAGE, "no vocabulary has been learned");
	return gv_learned_write(&b->out, b->tmpl, dir, e);
}
