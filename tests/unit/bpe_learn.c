/* Merges against counting all pairs anew before each: random words of few
 * letters, where ties are many. */
#include "bpe_train_priv.h"

#include "tap.h"
#include "tokens.h"

#define WORDS 60
#define MOST  24 /* letters of a word */

/* Words as they are read, and as the reference merges them. */
struct words {
	struct gv_bpe_words w;
	int32_t id[WORDS * MOST];
	uint32_t n[WORDS];
};

static void
draw_words(struct words *v, struct draw *r, unsigned letters, bool many)
{
	size_t at = 0, i, k;

	v->w.word = calloc(WORDS, sizeof *v->w.word);
	v->w.id = calloc(WORDS * MOST, sizeof *v->w.id);
	if (!v->w.word || !v->w.id)
		bail("draw_words", "out of memory");
	v->w.words = WORDS;
	for (i = 0; i < WORDS; i++) {
		struct gv_bpe_word *x = &v->w.word[i];

		x->at = at;
		x->n = v->n[i] = 1 + draw(r, MOST);
		x->count = 1 + draw(r, 3);
		if (many)
			x->count += (uint64_t)draw(r, 1000) << 40;
		for (k = 0; k < x->n; k++)
			v->id[i * MOST + k] = v->w.id[at++] =
			    gv_bpe_byte_id((uint8_t)('a' + draw(r, letters)));
	}
}

static void
free_words(struct words *v)
{
	free(v->w.word);
	free(v->w.id);
}

/* ---- the reference ------------------------------------------------------- */

/* The most frequent pair, the lower ids of equals; its count.  `size` ids are
 * there; `skip` says which pairs don't count. */
static uint64_t
best(const struct words *v, int32_t size, const bool *skip, int32_t *x,
    int32_t *y)
{
	uint64_t *count = calloc((size_t)size * (size_t)size, sizeof *count);
	uint64_t most = 0;
	size_t i;
	uint32_t k;
	int32_t a, b;

	if (!count)
		bail("best", "out of memory");
	for (i = 0; i < WORDS; i++)
		for (k = 0; k + 1 < v->n[i]; k++)
			count[v->id[i * MOST + k] * size +
			      v->id[i * MOST + k + 1]] += v->w.word[i].count;
	for (a = 0; a < size; a++)
		for (b = 0; b < size; b++)
			if (count[a * size + b] > most && !skip[a * size + b]) {
				most = count[a * size + b];
				*x = a;
				*y = b;
			}
	free(count);
	return most;
}

static void
join(struct words *v, int32_t x, int32_t y, int32_t z)
{
	size_t i;

	for (i = 0; i < WORDS; i++) {
		int32_t *id = v->id + i * MOST;
		uint32_t k, n = 0;

		for (k = 0; k < v->n[i]; k++)
			if (k + 1 < v->n[i] && id[k] == x && id[k + 1] == y) {
				id[n++] = z;
				k++;
			} else {
				id[n++] = id[k];
			}
		v->n[i] = n;
	}
}

/* Follows what was learned: how many merges are not what the reference does.
 */
static size_t
wrong_merges(struct words *v, const struct gv_learned *l, int32_t vocab,
    const char *special)
{
	bool *skip = calloc((size_t)vocab * (size_t)vocab, sizeof *skip);
	int32_t size = 256, x = 0, y = 0, z;
	size_t wrong = 0, m = 0, n;
	char both[2 * MOST + 1];

	if (!skip)
		bail("wrong_merges", "out of memory");
	while (size < vocab && best(v, vocab, skip, &x, &y) >= 2) {
		n = l->off[x + 1] - l->off[x];
		memcpy(both, l->s + l->off[x], n);
		memcpy(both + n, l->s + l->off[y], l->off[y + 1] - l->off[y]);
		n += l->off[y + 1] - l->off[y];
		both[n] = '\0';
		if (special && !strcmp(both, special)) {
			skip[x * vocab + y] = true;
			continue;
		}
		if (m == l->merges || l->left[m] != x || l->right[m] != y) {
			wrong++;
			break;
		}
		m++;
		for (z = 0; z < size; z++)
			if (l->off[z + 1] - l->off[z] == n &&
			    !memcmp(l->s + l->off[z], both, n))
				break;
		if (z == size)
			size++;
		join(v, x, y, z);
	}
	free(skip);
	return wrong + (m != l->merges) + (size != l->n);
}

/* ---- cases --------------------------------------------------------------- */

static void
random_words(unsigned letters, bool many, const char *special)
{
	struct gv_bpe_special list = {&special, special ? 1 : 0};
	struct draw r = {letters + 100 * many};
	struct gv_error e = {0};
	size_t wrong = 0, merges = 0, i;

	for (i = 0; i < 12; i++) {
		int32_t vocab = 256 + (int32_t)draw(&r, 120);
		struct gv_learned l;
		struct words v;

		draw_words(&v, &r, letters, many);
		must(gv_bpe_learn(&l, &v.w, vocab, &list, &e), &e);
		wrong += wrong_merges(&v, &l, vocab, special);
		merges += l.merges;
		gv_learned_free(&l);
		free_words(&v);
	}
	ok(!wrong && merges > 100, "%u letters%s%s%s: %zu merges", letters,
	    many ? ", often" : "", special ? " without " : "",
	    special ? special : "", merges);
}

int
main(void)
{
	unsigned i;
	int b, bad = 0;

	for (b = 0; b < 256; b++)
		bad += gv_bpe_byte_id((uint8_t)b) < 0 ||
		       gv_bpe_byte_id((uint8_t)b) > 255;
	ok(!bad && gv_bpe_byte_id('!') == 0 && gv_bpe_byte_id(' ') == 220,
	    "ids of bytes");
	for (i = 1; i <= 4; i++) {
		random_words(i, false, NULL);
		random_words(i, true, NULL);
	}
	random_words(2, false, "ab");
	random_words(3, true, "aa");
	return done();
}
