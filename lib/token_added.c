/* Added tokens: a set of texts, and the next of them in a text.
 *
 * They are sorted by their bytes, so that a place costs little more with a
 * million of them.
 */
#include "token_impl.h"

#include "mem.h"
#include "banned.h"

int
gv_token_enter(struct gv_added *set, int32_t id, const char *s, size_t n,
    struct gv_error *e)
{
	struct gv_added_item *it;

	if (gv_room(&set->item, &set->cap, set->n + 1, sizeof *set->item, e))
		return e->code;
	it = &set->item[set->n];
	it->text = gv_strndup(s, n);
	if (!it->text)
		return gv_fail(e, GV_ERR_NOMEM, "out of memory");
	it->id = id;
	it->len = (uint32_t)n;
	set->n++;
	return 0;
}

void
gv_token_free_added(struct gv_added *set)
{
	size_t i;

	for (i = 0; i < set->n; i++)
		gv_free(set->item[i].text);
	gv_free(set->item);
	gv_free(set->sorted);
}

/* By bytes, a beginning before what goes on; equals as they were entered. */
static int
by_bytes(const void *a, const void *b, void *items)
{
	const struct gv_added_item *item = items;
	const struct gv_added_item *x = &item[*(const uint32_t *)a];
	const struct gv_added_item *y = &item[*(const uint32_t *)b];
	int way = memcmp(x->text, y->text, x->len < y->len ? x->len : y->len);

	if (!way)
		way = (x->len > y->len) - (x->len < y->len);
	return way ? way : (x > y) - (x < y);
}

static bool
begins(const struct gv_added_item *it, const char *s, size_t n)
{
	return it->len <= n && !memcmp(it->text, s, it->len);
}

/* Links each to the one before it, or what that begins with, that it begins
 * with; of equals only the first is kept. */
static size_t
link_sorted(struct gv_added *set)
{
	const struct gv_added_item *last = NULL;
	size_t i, k = 0;

	for (i = 0; i < set->n; i++) {
		struct gv_added_item *it = &set->item[set->sorted[i]];

		while (last && !begins(last, it->text, it->len))
			last = last->shorter;
		if (last && last->len == it->len)
			continue;
		it->shorter = last;
		set->sorted[k++] = set->sorted[i];
		last = it;
	}
	return k;
}

int
gv_token_sort_added(struct gv_added *set, struct gv_error *e)
{
	size_t i, k = 0, n;
	int c;

	set->sorted = gv_alloc(set->n, sizeof *set->sorted);
	if (!set->sorted)
		return gv_fail(e, GV_ERR_NOMEM, "out of memory");
	for (i = 0; i < set->n; i++)
		set->sorted[i] = (uint32_t)i;
	qsort_r(set->sorted, set->n, sizeof *set->sorted, by_bytes, set->item);
	n = link_sorted(set);
	for (c = 0; c < 256; c++) {
		set->first[c] = (uint32_t)k;
		while (k < n &&
		       (unsigned char)set->item[set->sorted[k]].text[0] == c)
			k++;
		if (k > set->first[c]) {
			set->starts++;
			set->start = (char)c;
		}
	}
	set->first[256] = (uint32_t)k;
	return 0;
}

/* The longest that s[0..n) begins with, or NULL: the last that isn't behind it
 * in the order, or one that this begins with. */
static const struct gv_added_item *
longest(const struct gv_added *set, const char *s, size_t n)
{
	size_t from = set->first[(unsigned char)*s], lo = from;
	size_t hi = set->first[(unsigned char)*s + 1];
	const struct gv_added_item *it;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		int way;

		it = &set->item[set->sorted[mid]];
		way = memcmp(it->text, s, it->len < n ? it->len : n);
		if (way < 0 || (!way && it->len <= n))
			lo = mid + 1;
		else
			hi = mid;
	}
	it = lo > from ? &set->item[set->sorted[lo - 1]] : NULL;
	while (it && !begins(it, s, n))
		it = it->shorter;
	return it;
}

const struct gv_added_item *
gv_token_find_added(
    const struct gv_added *set, const char *s, size_t n, size_t *at)
{
	const struct gv_added_item *it;
	size_t i;

	for (i = *at; i < n; i++) {
		if (set->starts == 1) {
			const char *p = memchr(s + i, set->start, n - i);

			if (!p)
				return NULL;
			i = (size_t)(p - s);
		}
		it = longest(set, s + i, n - i);
		if (it) {
			*at = i;
			return it;
		}
	}
	return NULL;
}
