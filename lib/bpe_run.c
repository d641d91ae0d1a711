/* BPE of one byte again and again: rules of dashes, indentation, blank lines.
 *
 * Such a piece stays a few runs of equal tokens all the while it is merged, so
 * it takes as many steps as there are merges in its tokens, however long it is.
 * A search from the left would try all of a vocabulary's lengths at each place.
 */
#include "bpe_priv.h"

#include "mem.h"
#include "banned.h"

#define MOST_RUNS 32

struct run {
	int32_t id;
	size_t count;
};

struct runs {
	struct run r[MOST_RUNS];
	int n;
};

/* Replaces run i by these, of which those with a count of 0 are none; false if
 * there is no room. */
static bool
replace(struct runs *x, int i, int gone, const struct run *by, int n)
{
	struct run keep[3];
	int k, left = 0;

	for (k = 0; k < n; k++)
		if (by[k].count)
			keep[left++] = by[k];
	if (x->n - gone + left > MOST_RUNS)
		return false;
	memmove(x->r + i + left, x->r + i + gone,
	    (size_t)(x->n - i - gone) * sizeof *x->r);
	memcpy(x->r + i, keep, (size_t)left * sizeof *keep);
	x->n += left - gone;
	return true;
}

/* The lowest rank, and the leftmost run that it is in: with itself, or with
 * the next one. */
static uint32_t
lowest(const struct gv_tokenizer *t, const struct runs *x, int *at, bool *self)
{
	uint32_t best = GV_NO_RANK, rank;
	int i;

	for (i = 0; i < x->n; i++) {
		int32_t id = x->r[i].id;

		rank =
		    x->r[i].count > 1 ? gv_token_rank(t, id, id) : GV_NO_RANK;
		if (rank < best) {
			best = rank;
			*at = i;
			*self = true;
		}
		rank = i + 1 < x->n ? gv_token_rank(t, id, x->r[i + 1].id)
				    : GV_NO_RANK;
		if (rank < best) {
			best = rank;
			*at = i;
			*self = false;
		}
	}
	return best;
}

/* Merges all there is to merge; false if the runs become too many. */
static bool
merge_runs(const struct gv_tokenizer *t, struct runs *x)
{
	uint32_t rank;
	bool self;
	int i;

	while ((rank = lowest(t, x, &i, &self)) != GV_NO_RANK) {
		struct run a = x->r[i], b, made = {t->merged[rank], 1};

		if (self) {
			made.count = a.count / 2;
			a.count %= 2;
			if (!replace(x, i, 1, (struct run[]){made, a}, 2))
				return false;
		} else {
			b = x->r[i + 1];
			a.count--;
			b.count--;
			if (!replace(x, i, 2, (struct run[]){a, made, b}, 3))
				return false;
		}
	}
	return true;
}

int
gv_bpe_run(const struct gv_tokenizer *t, char c, size_t n, struct gv_ids *out,
    bool *done, struct gv_error *e)
{
	struct runs x = {{{t->byte_id[(unsigned char)c], n}}, 1};
	size_t k;
	int i;

	*done = x.r[0].id >= 0 && merge_runs(t, &x);
	for (i = 0; i < x.n && *done; i++) {
		if (gv_ids_room(out, x.r[i].count, e))
			return e->code;
		for (k = 0; k < x.r[i].count; k++)
			out->id[out->n++] = x.r[i].id;
	}
	return 0;
}
