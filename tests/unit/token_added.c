/* Added tokens in text, against a search that tries all of them everywhere. */
#include "tokens.h"

#include "token_impl.h"

/* Texts over two letters, so that many begin alike and some are the same. */
static size_t
draw_text(struct draw *r, char *s, uint32_t most)
{
	size_t n = 1 + draw(r, most), i;

	for (i = 0; i < n; i++)
		s[i] = draw(r, 3) ? 'a' : (char)(draw(r, 2) ? 'b' : 0xff);
	return n;
}

/* The leftmost, longest, of equals the first; -1 without one. */
static int32_t
plainly(const struct gv_added *set, const char *s, size_t n, size_t *at)
{
	size_t i, best;

	for (; *at < n; ++*at) {
		for (best = set->n, i = 0; i < set->n; i++) {
			const struct gv_added_item *it = &set->item[i];

			if (it->len <= n - *at &&
			    !memcmp(it->text, s + *at, it->len) &&
			    (best == set->n || it->len > set->item[best].len))
				best = i;
		}
		if (best < set->n)
			return set->item[best].id;
	}
	return -1;
}

static void
compare(struct draw *r, uint32_t tokens)
{
	struct gv_added set = {0};
	struct gv_error e = {0};
	char s[256];
	size_t n, at, want_at;
	uint32_t i;
	int wrong = 0;

	for (i = 0; i < tokens; i++) {
		n = draw_text(r, s, 1 + tokens);
		must(gv_token_enter(&set, (int32_t)i, s, n, &e), &e);
	}
	must(gv_token_sort_added(&set, &e), &e);
	for (i = 0; i < 200; i++) {
		n = draw_text(r, s, 100);
		for (at = want_at = 0; want_at < n; at++, want_at++) {
			int32_t want = plainly(&set, s, n, &want_at);
			const struct gv_added_item *got =
			    gv_token_find_added(&set, s, n, &at);

			wrong += (got ? got->id : -1) != want;
			if (!got || want < 0)
				break;
			wrong += at != want_at;
		}
	}
	is_int(
	    wrong, 0, "%u tokens are found as by trying all", (unsigned)tokens);
	gv_token_free_added(&set);
}

int
main(void)
{
	struct draw r = {20261124};
	uint32_t tokens;

	for (tokens = 0; tokens < 40; tokens += 1 + tokens / 4)
		compare(&r, tokens);
	return done();
}
