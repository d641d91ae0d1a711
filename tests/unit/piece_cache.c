/* What is remembered of pieces is what they give: of every length and number
 * of ids that the tables have entries for, and of those that they haven't. */
#include "tokens.h"
#include "token_impl.h"

#define PIECES  4000
#define LONGEST 40

/* A blank and letters: often of few kinds, which merge. */
static size_t
draw_piece(struct draw *r, char *s)
{
	uint32_t n = 1 + draw(r, LONGEST), kinds = 1 + draw(r, 26), i;

	s[0] = ' ';
	for (i = 1; i < n; i++)
		s[i] = (char)('a' + draw(r, kinds));
	return n;
}

int
main(int argc, char **argv)
{
	static char text[PIECES * LONGEST];
	struct gv_ids want = {0}, got = {0};
	int of[13] = {0}, i, pass;
	struct gv_error e = {0};
	struct gv_tokenizer *t;
	struct draw r = {7};
	size_t n = 0, len, had;

	(void)argc;
	make_scratch();
	t = learn_corpus(argv[0], 2000, NULL);
	for (i = 0; i < PIECES; i++, n += len) {
		len = draw_piece(&r, text + n);
		had = want.n;
		must(gv_bpe_merge(t, text + n, len, &want, &e), &e);
		of[want.n - had < 12 ? want.n - had : 12]++;
	}
	for (i = 1, len = 0; i < 13; i++)
		len += of[i] > 20;
	is_int((long long)len, 12, "pieces of 1 to 12 ids and more are there");
	for (pass = 1; pass < 4; pass++) {
		got.n = 0;
		must(gv_encode(t, text, n, false, &got, &e), &e);
		ok(got.n == want.n &&
			!memcmp(got.id, want.id, want.n * sizeof *want.id),
		    "pass %d: the ids that merging gives", pass);
	}
	gv_ids_free(&want);
	gv_ids_free(&got);
	gv_tokenizer_close(&t);
	cleanup();
	return done();
}
