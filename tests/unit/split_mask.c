/* Qwen2's and Llama 3's patterns over ASCII, which are cut by the window, give
 * the pieces that PCRE2 finds. */
#include "split.h"
#include "tokens.h"

#define MOST 400

/* Parts of text, so that what stands beside what is as nasty as it gets. */
static const char *const part[] = {"a", "b", "Zq", "the", "'s", "'S", "'re",
    "'ll", "'LL", "'", "''", "'x", "'t", "0", "12", "123456", "1", " ", "  ",
    "    ", " ", "\t", "\n", "\n", "\r\n", "\r", "\n\n\n", " \n", "\n ",
    "\n\t\t", "\v", "\f", "\x1c", "\0", ".", "(", "-", "--", "==", "\"", "{",
    ");", " (", " .", "_", "\x7f", "                    ",
    "abcdefghijklmnopqrstuvwxyz", "--------------------",
    "\n\n\n\n\n\n\n\n\n\n\n\n"};
static const char *const strange[] = {"\xc3\xa9", "\xc5\xbf", "\xe4\xb8\xad",
    "\xc2\xa0", "\xe3\x80\x80", "\xd9\xa3", "\xf0\x9f\x99\x82", "\xff",
    "'\xc5\xbf"};

/* A NUL in a part is the part. */
static size_t
put(char *s, const char *p)
{
	size_t n = *p ? strlen(p) : 1;

	memcpy(s, p, n);
	return n;
}

static size_t
text(struct draw *r, char *s)
{
	uint32_t few = 2 + draw(r, 12), base = draw(r, 64);
	uint32_t parts = sizeof part / sizeof *part;
	size_t n = 0, want = 1 + draw(r, MOST - 40);

	while (n < want)
		if (!draw(r, 60))
			n += put(s + n,
			    strange[draw(r, sizeof strange / sizeof *strange)]);
		else
			n += put(s + n, part[(base + draw(r, few)) % parts]);
	return n;
}

/* The ends of all pieces. */
static int
cut(const struct gv_split *split, const char *s, size_t n, size_t *at, int most)
{
	struct gv_splitter w;
	struct gv_error e = {0};
	int k = 0, got;

	must(gv_splitter_open(&w, split, s, n, &e), &e);
	while ((got = gv_splitter_fill(&w, at + k, most, &e)) > 0)
		k += got;
	must(got, &e);
	gv_splitter_close(&w);
	return k;
}

static void
compare(const char *name, const char *pattern)
{
	struct gv_split *hand, *regex;
	struct gv_error e = {0};
	struct draw r = {4};
	size_t a[MOST + 2], b[MOST + 2], n, i;
	char same[512], s[MOST];
	int k, na, nb, wrong = 0, pieces = 0;

	snprintf(same, sizeof same, "(?:%s)", pattern);
	must(gv_split_open(&hand, pattern, &e), &e);
	must(gv_split_open(&regex, same, &e), &e);
	for (k = 0; k < 20000; k++) {
		n = text(&r, s);
		for (i = 0; i < n && (unsigned char)s[i] != 0xff; i++)
			;
		/* PCRE2 sees no character in what isn't UTF-8 */
		n = i;
		na = cut(hand, s, n, a, 1 + (int)draw(&r, 100));
		nb = cut(regex, s, n, b, 100);
		pieces += nb;
		if (na == nb && !memcmp(a, b, (size_t)(na + 1) * sizeof *a))
			continue;
		for (i = 0; i < (size_t)na && a[i] == b[i]; i++)
			;
		if (wrong++ < 3)
			printf("# %s: text %d, piece %zu: %zu, not %zu\n", name,
			    k, i, a[i], b[i]);
	}
	is_int(wrong, 0, "%s: the same %d pieces in %d texts", name, pieces, k);
	gv_split_close(&hand);
	gv_split_close(&regex);
}

int
main(void)
{
	compare("Qwen2", gv_split_qwen2);
	compare("Llama 3", gv_split_llama3);
	return done();
}
