/* Cutting: by hand, by PCRE2, and both alike. */
#include "split.h"

#include "tokens.h"
#include "utf8.h"

#include <time.h>

/* The pieces of s with '|' between, in a static buffer; `len` bytes are the
 * patterns. */
static const char *
pieces_by(const char *pattern, size_t len, const char *s, size_t n)
{
	static char out[1000];
	struct gv_error e = {0};
	struct gv_splitter w;
	struct gv_split *p;
	size_t at, end, k = 0;
	int got;

	must(gv_split_open_chain(&p, pattern, len, &e), &e);
	must(gv_splitter_open(&w, p, s, n, &e), &e);
	while ((got = gv_splitter_next(&w, &at, &end, &e)) > 0) {
		if (k)
			out[k++] = '|';
		memcpy(out + k, s + at, end - at);
		k += end - at;
	}
	must(got, &e);
	out[k] = '\0';
	gv_splitter_close(&w);
	gv_split_close(&p);
	return out;
}

static const char *
pieces(const char *pattern, const char *s, size_t n)
{
	return pieces_by(pattern, strlen(pattern), s, n);
}
#define CUT(pattern, s, want) \
	is_str( \
	    pieces(pattern, s, sizeof(s) - 1), want, "%s: '%s'", #pattern, #s)

static void
tables(void)
{
	CUT(gv_split_qwen2, "Hello world", "Hello| world");
	CUT(gv_split_qwen2, "it's IT'S we'LL", "it|'s| IT|'S| we|'LL");
	CUT(gv_split_qwen2,
	    "a'\xc5\xbf"
	    "b",
	    "a|'\xc5\xbf|b");
	CUT(gv_split_qwen2, "don'K", "don|'K");
	CUT(gv_split_qwen2, "123 45", "1|2|3| |4|5");
	CUT(gv_split_qwen2, "a  b   ", "a| | b|   ");
	CUT(gv_split_qwen2, "a\n\n b", "a|\n\n| b");
	CUT(gv_split_qwen2, "a \n\t\n  b", "a| \n\t\n| | b");
	CUT(gv_split_qwen2, "x();\r\n\r\ny", "x|();\r\n\r\n|y");
	CUT(gv_split_qwen2, " !? #a", " !?| #|a");
	CUT(gv_split_qwen2, "\tx\ny", "\tx|\n|y");
	CUT(gv_split_qwen2,
	    "\xff\xfe"
	    "a b",
	    "\xff\xfe|a| b");
	CUT(gv_split_qwen2, "", "");
	CUT(gv_split_llama3, "1234567", "123|456|7");
	CUT(gv_split_gpt2, "it's IT'S 123 45", "it|'s| IT|'|S| 123| 45");
	CUT(gv_split_gpt2, "a\n\n b !!c", "a|\n\n| b| !!|c");
	CUT(gv_split_gpt2, "a  \n b  ", "a|  \n| b|  ");
	CUT("b+", "abbbcb", "a|bbb|c|b");
	CUT("x*", "axxb", "a|xx|b");
	CUT("\\s|[\\s.]+", "a\xe1\xa0\x8e b.", "a\xe1\xa0\x8e| |b|.");
	CUT("\\S+", "a\xe1\xa0\x8e b", "a\xe1\xa0\x8e| |b");
}

static size_t
random_text(struct draw *r, char *s)
{
	static const char *const odd[] = {"'", "'s", "'LL", "'\xc5\xbf", " ",
	    "  ", "\n", "\r\n", "\t", "\xc2\xa0", "\xe3\x80\x80",
	    "\xe1\xa0\x8e", "a", "Z", "\xc3\xa9", "\xe4\xb8\xad", "\xcc\x81",
	    "1", "\xd9\xa3", "\xc2\xbd", "!", "...", "/", "AB", "ab",
	    "\xca\xb0", "\xc7\x85", "\xf0\x9f\x99\x82"};
	size_t n = 0, k = draw(r, 20), i;

	for (i = 0; i < k; i++) {
		const char *o = odd[draw(r, sizeof odd / sizeof *odd)];

		memcpy(s + n, o, strlen(o));
		n += strlen(o);
	}
	s[n] = '\0';
	return n;
}

/* A pattern in a group is unknown, so PCRE2 runs it. */
static void
alike(const char *pattern, const char *name)
{
	char group[800], s[200], hand[1000];
	struct draw r = {11};
	int bad = 0, i;

	snprintf(group, sizeof group, "(?:%s)", pattern);
	for (i = 0; i < 1000; i++) {
		size_t n = random_text(&r, s);

		snprintf(hand, sizeof hand, "%s", pieces(pattern, s, n));
		bad += strcmp(hand, pieces(group, s, n)) != 0;
	}
	is_int(bad, 0, "%s: by hand as by PCRE2", name);
}

static void
chains(void)
{
	static const char two[] = "\\p{N}{1,2}\0[a-c]+\0\\s+(?!\\S)|\\S+";
	static const char digits[] = "\\p{N}\0's|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+"
				     "| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+"
				     "|\\s+(?!\\S)|\\s+";
	static const char slow[] = "(?:\\p{N})\0(?:'s|'t|'re|'ve|'m|'ll|'d"
				   "| ?\\p{L}+| ?\\p{N}+"
				   "| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)"
				   "|\\s+)";
	char s[200], hand[1000];
	struct draw r = {12};
	int bad = 0, i;

	is_str(pieces_by(two, sizeof two - 1, "abcx  123y ", 11),
	    "abc|x|  |12|3|y| ", "each pattern cuts the pieces of the last");
	for (i = 0; i < 1000; i++) {
		size_t n = random_text(&r, s);

		snprintf(hand, sizeof hand, "%s",
		    pieces_by(digits, sizeof digits - 1, s, n));
		bad +=
		    strcmp(hand, pieces_by(slow, sizeof slow - 1, s, n)) != 0;
	}
	is_int(bad, 0, "digits and then GPT-2's: by hand as by PCRE2");
}

/* Ruby's syntax, and PCRE2's, where they differ. */
static void
refused(void)
{
	static const char *const no[] = {"\\h+", "[a&&b]", "[a[b]]", "(?m:.)",
	    "\\R", "(*ACCEPT)", "[\\h]", "\\p{N}{1,3}+", "a{2}?", "a{,3}"};
	struct gv_error e = {0};
	struct gv_split *p;
	char nine[18];
	size_t i;

	for (i = 0; i < sizeof no / sizeof *no; i++) {
		ok(gv_split_open(&p, no[i], &e) == GV_ERR_NOSUP &&
			strstr(e.msg, "is not supported"),
		    "%s: %s", no[i], e.msg);
		gv_error_clear(&e);
	}
	for (i = 0; i < sizeof nine; i++)
		nine[i] = i % 2 ? '\0' : 'a';
	ok(gv_split_open_chain(&p, nine, sizeof nine - 1, &e) == GV_ERR_NOSUP,
	    "nine patterns: %s", e.msg);
	gv_error_clear(&e);
	CUT("^b", "a\nb", "a\n|b");
	CUT("\\x{61}+|b{1,2}?|[{1}]+|c{2,}", "aabb{}ccc", "aa|b|b|{}|ccc");
	CUT("\\w+", "a\xcc\x81_1\xe2\x93\x90-b", "a\xcc\x81_1\xe2\x93\x90|-|b");
	CUT("\\p{Lu}+|[^\\p{^Nd}]", "aB1\xf0\x90\xb5\x90",
	    "a|B|1|\xf0\x90\xb5\x90");
}

/* A pattern that looks at the rest of the text from each of its bytes. */
static void
hostile(const char *pattern)
{
	struct gv_error e = {0};
	struct gv_splitter w;
	struct gv_split *p;
	size_t n = 1 << 16, at, end;
	char *s = malloc(n);
	clock_t t = clock();
	int got;

	if (!s)
		bail("hostile", "out of memory");
	memset(s, 'a', n);
	must(gv_split_open(&p, pattern, &e), &e);
	must(gv_splitter_open(&w, p, s, n, &e), &e);
	while ((got = gv_splitter_next(&w, &at, &end, &e)) > 0)
		;
	ok(got == GV_ERR_LIMIT && (double)(clock() - t) / CLOCKS_PER_SEC < 5,
	    "%s is stopped: %s", pattern, e.msg);
	gv_error_clear(&e);
	gv_splitter_close(&w);
	gv_split_close(&p);
	free(s);
}

static void
limits(void)
{
	struct gv_error e = {0};
	struct gv_split *p;
	size_t n = 1 << 20, at, end, count = 0;
	struct gv_splitter w;
	char *s = malloc(n);
	clock_t t = clock();
	int got, i;

	ok(gv_split_open(&p, "(", &e) == GV_ERR_NOSUP &&
		strstr(e.msg, "split pattern"),
	    "a broken pattern: %s", e.msg);
	gv_error_clear(&e);
	if (!s)
		bail("limits", "out of memory");
	for (i = 0; i < 2; i++) {
		memset(s, i ? '\n' : ' ', n);
		must(gv_split_open(&p, gv_split_qwen2, &e), &e);
		must(gv_splitter_open(&w, p, s, n, &e), &e);
		while (gv_splitter_next(&w, &at, &end, &e) > 0)
			count++;
		gv_splitter_close(&w);
		gv_split_close(&p);
	}
	ok(count == 2 && (double)(clock() - t) / CLOCKS_PER_SEC < 2,
	    "megabytes of blanks take no time");
	memset(s, 'a', n);
	must(gv_split_open(&p, "(a|aa)+$b", &e), &e);
	must(gv_splitter_open(&w, p, s, n, &e), &e);
	t = clock();
	got = gv_splitter_next(&w, &at, &end, &e);
	ok(got == GV_ERR_LIMIT && (double)(clock() - t) / CLOCKS_PER_SEC < 20,
	    "a pattern that explodes is stopped: %s", e.msg);
	gv_splitter_close(&w);
	gv_split_close(&p);
	free(s);
}

int
main(void)
{
	tables();
	alike(gv_split_qwen2, "Qwen2");
	alike(gv_split_gpt2, "GPT-2");
	alike(gv_split_llama3, "Llama 3");
	alike(gv_split_smollm, "SmolLM");
	alike(gv_split_cl100k, "cl100k_base");
	alike(gv_split_o200k, "o200k_base");
	chains();
	refused();
	limits();
	hostile("a+(?!.|$)");
	hostile("a*a*a*[^a]");
	hostile("a(?=a*+b)");
	hostile("(?:(?=(a*))){9}b|a");
	return done();
}
