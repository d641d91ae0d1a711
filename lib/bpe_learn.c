/* Learning merges from counted words.
 *
 * Every pair of neighbours has its count and lists of the words that may hold
 * it; a merge visits only these.  Merging x and y changes the counts of pairs
 * with their neighbours alone, so what changes is summed by neighbour first and
 * looked up once for each.  A heap gives the next pair: counts there may be too
 * large, never too small, and are put right when they come up.
 */
#include "bpe_train_priv.h"

#include "mem.h"
#include "piece_count.h"
#include "token_impl.h"
#include "utf8.h"

#include "banned.h"

/* A pair that a pass over words comes upon. */
struct found {
	int64_t count;
	struct gv_bpe_list *list;
	uint32_t words, last; /* how many hold it; the last of these, from 1 */
	uint32_t pair;
};

/* That a word belongs to the list of found[key]. */
struct entry {
	uint32_t key, word;
};

struct learner {
	struct gv_learned *out;
	const struct gv_bpe_words *w;
	int32_t *token_slot; /* hash table of learned ids + 1 */
	size_t token_mask;

	struct gv_bpe_pairs pairs;

	/* While x and y are merged: the neighbour i in front of them is
	 * found[2 * i], the one behind is found[2 * i + 1]. */
	struct found *found;
	uint32_t *touched; /* those that aren't zero */
	size_t touches, touched_cap;
	struct entry *entry;
	size_t entries, entry_cap;
};

static int
no_memory(struct gv_error *e)
{
	return gv_fail(e, GV_ERR_NOMEM, "out of memory");
}

/* ---- tokens -------------------------------------------------------------- */

static size_t
token_place(const struct learner *b, const char *s, size_t n)
{
	const struct gv_learned *l = b->out;
	size_t i = gv_token_hash(s, n) & b->token_mask;

	for (; b->token_slot[i]; i = (i + 1) & b->token_mask) {
		int32_t k = b->token_slot[i] - 1;

		if (l->off[k + 1] - l->off[k] == n &&
		    !memcmp(l->s + l->off[k], s, n))
			break;
	}
	return i;
}

/* The id of these bytes, new or old: two different merges can spell the same
 * token. */
static int32_t
token(struct learner *b, const char *s, size_t n, struct gv_error *e)
{
	struct gv_learned *l = b->out;
	size_t i = token_place(b, s, n);

	if (b->token_slot[i])
		return b->token_slot[i] - 1;
	if (gv_room(&l->s, &l->s_cap, l->off[l->n] + n, 1, e) ||
	    gv_room(&l->off, &l->off_cap, (size_t)l->n + 2, sizeof *l->off, e))
		return e->code;
	memcpy(l->s + l->off[l->n], s, n);
	l->off[l->n + 1] = l->off[l->n] + n;
	b->token_slot[i] = ++l->n;
	return l->n - 1;
}

/* The byte tokens. */
static int
alphabet(struct learner *b, int32_t vocab, struct gv_error *e)
{
	size_t size = 1 << 10;
	uint32_t c;

	while (size < 2 * (size_t)vocab)
		size *= 2;
	b->token_mask = size - 1;
	b->token_slot = gv_alloc(size, sizeof *b->token_slot);
	if (!b->token_slot)
		return no_memory(e);
	if (gv_room(&b->out->off, &b->out->off_cap, 2, sizeof *b->out->off, e))
		return e->code;
	b->out->off[0] = 0;
	for (c = 0; b->out->n < 256; c++) {
		char byte = (char)gv_char_to_byte(c);

		if (gv_char_to_byte(c) >= 0 && token(b, &byte, 1, e) < 0)
			return e->code;
	}
	return 0;
}

int32_t
gv_bpe_byte_id(uint8_t byte)
{
	uint32_t c = gv_byte_to_char(byte), i;
	int32_t id = 0;

	for (i = 0; i < c; i++)
		id += gv_char_to_byte(i) >= 0;
	return id;
}

void
gv_learned_free(struct gv_learned *l)
{
	gv_free(l->s);
	gv_free(l->off);
	gv_free(l->left);
	gv_free(l->right);
	memset(l, 0, sizeof *l);
}

/* ---- the pairs of bytes -------------------------------------------------- */

/* Word w holds the pair that f stands for, `count` times more; whether that is
 * new. */
static bool
find(struct found *f, uint32_t w, int64_t count)
{
	f->count += count;
	if (f->last == w + 1)
		return false;
	f->last = w + 1;
	f->words++;
	return true;
}

/* Tells the pairs of all words; found[256 * x + y] is that of x and y. */
static void
count_bytes(const struct gv_bpe_words *w, struct found *found)
{
	size_t i;
	uint32_t k;

	for (i = 0; i < w->words; i++) {
		const struct gv_bpe_word *v = &w->word[i];
		const int32_t *id = w->id + v->at;

		for (k = 0; k + 1 < v->n; k++)
			(void)find(&found[256 * id[k] + id[k + 1]], (uint32_t)i,
			    (int64_t)v->count);
	}
}

static void
list_bytes(const struct gv_bpe_words *w, struct found *found)
{
	size_t i;
	uint32_t k;

	for (i = 0; i < w->words; i++) {
		const struct gv_bpe_word *v = &w->word[i];
		const int32_t *id = w->id + v->at;

		for (k = 0; k + 1 < v->n; k++) {
			struct gv_bpe_list *l =
			    found[256 * id[k] + id[k + 1]].list;

			if (!l->n || l->word[l->n - 1] != i)
				l->word[l->n++] = (uint32_t)i;
		}
	}
}

static int
start(struct learner *b, struct gv_error *e)
{
	struct found *found = gv_alloc(256 * 256, sizeof *found);
	struct gv_bpe_pairs *p = &b->pairs;
	int32_t i;

	if (!found)
		return no_memory(e);
	count_bytes(b->w, found);
	for (i = 0; i < 256 * 256 && !e->code; i++) {
		struct found *f = &found[i];

		if (!f->words)
			continue;
		if (!gv_bpe_pairs_add(
			p, i / 256, i % 256, f->count, &f->pair, e))
			f->list = gv_bpe_pairs_list(p, f->pair, f->words, e);
		if (f->list)
			(void)!gv_bpe_pairs_push(p, f->pair, e);
	}
	if (!e->code)
		list_bytes(b->w, found);
	gv_free(found);
	return e->code;
}

/* ---- merging ------------------------------------------------------------- */

/* Notes a neighbour of x y in word w, which occurs c times.  There is room. */
static void
note(struct learner *b, uint32_t key, uint32_t w, int64_t c)
{
	struct found *f = &b->found[key];

	if (!f->words)
		b->touched[b->touches++] = key;
	if (find(f, w, c)) {
		b->entry[b->entries].key = key;
		b->entry[b->entries++].word = w;
	}
}

/* Replaces x y by z throughout word w, left to right. */
static int
merge_word(struct learner *b, uint32_t w, int32_t x, int32_t y, int32_t z,
    struct gv_error *e)
{
	struct gv_bpe_word *v = &b->w->word[w];
	int32_t *id = b->w->id + v->at;
	int64_t c = (int64_t)v->count;
	uint32_t n = v->n, i, k = 0;

	if (gv_room(&b->entry, &b->entry_cap, b->entries + n, sizeof *b->entry,
		e) ||
	    gv_room(&b->touched, &b->touched_cap, b->touches + n,
		sizeof *b->touched, e))
		return e->code;
	/* id[0..k) is done, id[i..n) is to come */
	for (i = 0; i < n; i++) {
		if (id[i] != x || i + 1 == n || id[i + 1] != y) {
			id[k++] = id[i];
			continue;
		}
		if (k)
			note(b, 2 * (uint32_t)id[k - 1], w, c);
		if (i + 2 < n)
			note(b, 2 * (uint32_t)id[i + 2] + 1, w, c);
		id[k++] = z;
		i++;
	}
	v->n = k;
	return 0;
}

/* Words are far apart: they are asked for from memory some steps ahead, and
 * their ids when they have come. */
static int
merge_list(struct learner *b, const struct gv_bpe_list *list, int32_t x,
    int32_t y, int32_t z, struct gv_error *e)
{
	const struct gv_bpe_words *w = b->w;
	uint32_t i;

	for (i = 0; i < list->n; i++) {
		if (list->n - i > 16)
			__builtin_prefetch(&w->word[list->word[i + 16]]);
		if (list->n - i > 8)
			__builtin_prefetch(
			    &w->id[w->word[list->word[i + 8]].at]);
		if (merge_word(b, list->word[i], x, y, z, e))
			return e->code;
	}
	return 0;
}

/* Moves what was found to the counts and lists of pairs: of x and y with their
 * neighbours it becomes less, of z with these more. */
static int
settle(struct learner *b, int32_t x, int32_t y, int32_t z, struct gv_error *e)
{
	struct gv_bpe_pairs *p = &b->pairs;
	uint32_t old;
	size_t i;

	for (i = 0; i < b->touches; i++) {
		struct found *f = &b->found[b->touched[i]];
		int32_t o = (int32_t)(b->touched[i] / 2);
		bool front = !(b->touched[i] & 1);

		if (gv_bpe_pairs_add(
			p, front ? o : y, front ? x : o, -f->count, &old, e) ||
		    gv_bpe_pairs_add(
			p, front ? o : z, front ? z : o, f->count, &f->pair, e))
			return e->code;
		f->list = gv_bpe_pairs_list(p, f->pair, f->words, e);
		if (!f->list)
			return e->code;
	}
	for (i = 0; i < b->entries; i++) {
		struct gv_bpe_list *l = b->found[b->entry[i].key].list;

		l->word[l->n++] = b->entry[i].word;
	}
	for (i = 0; i < b->touches; i++) {
		struct found *f = &b->found[b->touched[i]];

		if (gv_bpe_pairs_push(p, f->pair, e))
			return e->code;
		memset(f, 0, sizeof *f);
	}
	b->touches = b->entries = 0;
	return 0;
}

/* The bytes of both tokens of a pair, in `both` of 2 * GV_MAX_PIECE. */
static size_t
spell(const struct gv_learned *l, const struct gv_bpe_pair *v, char *both)
{
	size_t na = l->off[v->a + 1] - l->off[v->a];
	size_t nb = l->off[v->b + 1] - l->off[v->b];

	memcpy(both, l->s + l->off[v->a], na);
	memcpy(both + na, l->s + l->off[v->b], nb);
	return na + nb;
}

/* Makes the pair a token, which is spelled so. */
static int
merge(struct learner *b, uint32_t pair, const char *both, size_t n,
    struct gv_error *e)
{
	const struct gv_bpe_pair v = b->pairs.pair[pair];
	struct gv_learned *l = b->out;
	const struct gv_bpe_list *list;
	int32_t z = token(b, both, n, e);

	if (z < 0)
		return e->code;
	if (gv_room(
		&l->left, &l->left_cap, l->merges + 1, sizeof *l->left, e) ||
	    gv_room(
		&l->right, &l->right_cap, l->merges + 1, sizeof *l->right, e))
		return e->code;
	l->left[l->merges] = v.a;
	l->right[l->merges] = v.b;
	l->merges++;
	for (list = v.first; list; list = list->next)
		if (merge_list(b, list, v.a, v.b, z, e))
			return e->code;
	if (settle(b, v.a, v.b, z, e))
		return e->code;
	b->pairs.pair[pair].first = NULL;
	b->pairs.pair[pair].count = 0;
	return 0;
}

/* ---- special tokens ------------------------------------------------------ */

/* Is this how one of them is spelled in a vocabulary? */
static bool
spells_special(const struct gv_bpe_special *special, const char *s, size_t n)
{
	size_t i, k;

	for (i = 0; i < special->n; i++) {
		const char *t = special->text[i];
		char c[4];

		for (k = 0; k < n; k++) {
			size_t len =
			    gv_utf8_put(gv_byte_to_char((uint8_t)s[k]), c);

			if (strncmp(t, c, len))
				break;
			t += len;
		}
		if (k == n && !*t)
			return true;
	}
	return false;
}

/* ---- all of it ----------------------------------------------------------- */

static int
learn(struct learner *b, int32_t vocab, const struct gv_bpe_special *special,
    struct gv_error *e)
{
	char both[2 * GV_MAX_PIECE];
	uint32_t pair;
	size_t n;
	int got = 0;

	b->found = gv_alloc(2 * (size_t)vocab, sizeof *b->found);
	if (!b->found)
		return no_memory(e);
	if (alphabet(b, vocab, e) || start(b, e))
		return e->code;
	while (b->out->n < vocab &&
	       (got = gv_bpe_pairs_pop(&b->pairs, &pair, e)) > 0) {
		n = spell(b->out, &b->pairs.pair[pair], both);
		if (!spells_special(special, both, n) &&
		    merge(b, pair, both, n, e))
			return e->code;
	}
	return got < 0 ? got : 0;
}

int
gv_bpe_learn(struct gv_learned *out, struct gv_bpe_words *w, int32_t vocab,
    const struct gv_bpe_special *special, struct gv_error *e)
{
	struct learner b = {.out = out, .w = w};

	memset(out, 0, sizeof *out);
	if (w->words >= UINT32_MAX)
		return gv_fail(
		    e, GV_ERR_LIMIT, "more than 2^32 different words");
	(void)!learn(&b, vocab, special, e); /* the code is in e */
	gv_bpe_pairs_free(&b.pairs);
	gv_free(b.token_slot);
	gv_free(b.found);
	gv_free(b.touched);
	gv_free(b.entry);
	return e->code;
}
