/* Text in pieces: however it is cut, what is written is the text. */
#include "tap.h"
#include "trickle.h"

#include <stdlib.h>

/* What is written of s[0..n) in pieces of `step` bytes; to be freed. */
static char *
pour(const char *s, size_t n, size_t step, bool terminal)
{
	struct gv_trickle t = {.terminal = terminal};
	size_t size, at, k;
	char *out;

	t.f = open_memstream(&out, &size);
	if (!t.f) {
		printf("Bail out! no memory\n");
		exit(1);
	}
	for (at = 0; at < n; at += k) {
		k = n - at < step ? n - at : step;
		gv_trickle_put(&t, s + at, k);
	}
	gv_trickle_end(&t);
	fclose(t.f);
	return out;
}

static void
same(const char *s, size_t n, bool terminal, const char *want, const char *what)
{
	size_t step, wrong = 0;

	for (step = 1; step <= n; step++) {
		char *got = pour(s, n, step, terminal);

		wrong += strcmp(got, want) != 0;
		free(got);
	}
	is_int((long long)wrong, 0, "%s, in pieces of any size", what);
}

static void
test_flush(void)
{
	struct gv_trickle t = {0};
	size_t size;
	char *out;

	t.f = open_memstream(&out, &size);
	gv_trickle_put(&t, "a\xc3", 2);
	is_str(out, "a", "half a character waits");
	gv_trickle_put(&t, "\xa9", 1);
	is_str(out, "a\xc3\xa9", "... and comes when it is whole");
	gv_trickle_put(&t, "\xe2\x82", 2);
	gv_trickle_end(&t);
	is_str(out, "a\xc3\xa9\xef\xbf\xbd", "... or never");
	fclose(t.f);
	free(out);
}

int
main(void)
{
	char large[1000], *got;
	size_t i;

#define TEXT "a\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80z"
	same(TEXT, sizeof TEXT - 1, false, TEXT, "characters of 1 to 4 bytes");
	same("a\xff\xe2\x82z\xc3", 6, false,
	    "a\xef\xbf\xbd\xef\xbf\xbdz\xef\xbf\xbd", "broken ones");
	same("\x1b[2J\n\t\xc2\x9b\x7f", 9, true, "\\x1b[2J\n\t\\x9b\\x7f",
	    "what steers a terminal");
	same("\x1b[2J", 4, false, "\x1b[2J", "... goes into a file");
	test_flush();
	for (i = 0; i + 3 < sizeof large; i += 3)
		memcpy(large + i, "\xe2\x82\xac", 4);
	got = pour(large, i, i, false);
	is_str(got, large, "a piece larger than any buffer");
	free(got);
	return done();
}
