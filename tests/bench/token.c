/* How fast a vocabulary opens and encodes.
 *
 *	token [DIR [FILE ...]]
 *
 * Opening: the first time, which compiles a large tokenizer.json, and later
 * ones.  Encoding, in MB/s (10^6 bytes) of CPU time, so of one core: the first
 * pass over a text with a fresh cache of pieces, and the fastest of later ones;
 * of each FILE, and of texts that are the worst that we know.
 *
 * Without a FILE that is this repository's C, and without a DIR the vocabulary
 * is learned from that: run it in the source tree.
 */
#include "clock.h"
#include "philox.h"
#include "texts.h"

#include <time.h>

#define RUNS  5
#define WORST ((size_t)2 << 20) /* bytes of a made text */

/* The thread's own time: the machine may be busy with others. */
static double
worked(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* ---- texts --------------------------------------------------------------- */

static size_t
put_char(char *s, uint32_t c)
{
	s[0] = (char)(0xe0 | c >> 12);
	s[1] = (char)(0x80 | (c >> 6 & 63));
	s[2] = (char)(0x80 | (c & 63));
	return 3;
}

/* Texts without end or reason. */
enum worst {
	ONE_LETTER,
	FOUR_LETTERS,
	LETTERS,
	DIGITS,
	WORDS,
	PAIRS,
	BASE64,
	MINIFIED,
	RULES,
	SPACES,
	SIGNS,
	CHINESE,
	KOREAN,
	MARKS,
	EMOJI,
	BYTES,
	KINDS
};
static const char *const worst_name[KINDS] = {"one letter", "four letters",
    "26 letters, no blank", "digits", "random words", "aaaa bbbb", "base64",
    "C without blanks", "rules of dashes", "blanks of any number", "signs",
    "random Chinese", "random Korean", "combining marks", "emoji sequences",
    "random bytes"};

static size_t
add_some(enum worst kind, struct gv_rng *r, char *s)
{
	static const char of_base64[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijk"
					"lmnopqrstuvwxyz0123456789+/";
	static const char signs[] = "!\"#$%&()*+,-./:;<=>?@[]^_{|}~";
	static const char *const emoji[] = {"\xf0\x9f\x98\x80",
	    "\xf0\x9f\x91\xa8\xe2\x80\x8d\xf0\x9f\x91\xa9",
	    "\xf0\x9f\x91\x8d\xf0\x9f\x8f\xbd",
	    "\xf0\x9f\x87\xa9\xf0\x9f\x87\xaa", "\xe2\x9d\xa4\xef\xb8\x8f"};
	size_t n = 1, i;

#define BELOW(k) ((uint32_t)gv_rng_below(r, (k)))
	*s = 'a';
	if (kind == FOUR_LETTERS) {
		*s = "ACGT"[BELOW(4)];
	} else if (kind == LETTERS) {
		*s = (char)('a' + BELOW(26));
	} else if (kind == DIGITS) {
		*s = (char)('0' + BELOW(10));
	} else if (kind == WORDS) {
		n = 2 + BELOW(12);
		for (i = 0; i < n - 1; i++)
			s[i] = (char)('a' + BELOW(26));
		s[n - 1] = ' ';
	} else if (kind == PAIRS) {
		memcpy(s, BELOW(2) ? "aaaa " : "bbbb ", n = 5);
	} else if (kind == BASE64) {
		*s = of_base64[BELOW(64)];
	} else if (kind == RULES || kind == SPACES) {
		n = 2 + BELOW(150);
		memset(s, kind == RULES ? '-' : ' ', n);
		s[n - 1] = kind == RULES ? '+' : 'x';
	} else if (kind == SIGNS) {
		*s = signs[BELOW(sizeof signs - 1)];
	} else if (kind == CHINESE) {
		n = put_char(s, 0x4e00 + BELOW(0x5200));
	} else if (kind == KOREAN) {
		n = put_char(s, 0xac00 + BELOW(11172));
	} else if (kind == MARKS) {
		*s = "aeiou"[BELOW(5)];
		for (i = BELOW(8); i; i--) {
			uint32_t c = 0x300 + BELOW(0x6f);

			s[n++] = (char)(0xc0 | c >> 6);
			s[n++] = (char)(0x80 | (c & 63));
		}
	} else if (kind == EMOJI) {
		const char *p = emoji[BELOW(sizeof emoji / sizeof *emoji)];

		memcpy(s, p, n = strlen(p));
	} else if (kind == BYTES) {
		*s = (char)BELOW(256);
	}
#undef BELOW
	return n;
}

static struct text
make_worst(enum worst kind, struct text code)
{
	struct text x = {room(WORST + 256), 0};
	struct gv_rng r;
	size_t i;

	gv_rng_init(&r, 1, GV_PURPOSE_TEST);
	for (i = 0; kind == MINIFIED && i < code.n && x.n < WORST; i++)
		if ((unsigned char)code.s[i] > ' ')
			x.s[x.n++] = code.s[i];
	while (kind != MINIFIED && x.n < WORST)
		x.n += add_some(kind, &r, x.s + x.n);
	return x;
}

/* ---- timing -------------------------------------------------------------- */

static void
opening(const char *dir)
{
	struct gv_error e = {0};
	struct gv_tokenizer *t;
	double first = 0, best = 0;
	int i, size = 0;

	for (i = 0; i < RUNS; i++) {
		double took = -gv_now();

		must(gv_tokenizer_open(&t, dir, &e), &e);
		took += gv_now();
		size = gv_tokenizer_size(t);
		gv_tokenizer_close(&t);
		first = i ? first : took;
		best = !i || took < best ? took : best;
	}
	printf("%d ids, opened in %.1f ms, later %.1f ms\n", size, first * 1e3,
	    best * 1e3);
}

/* With a vocabulary of its own, whose cache is empty. */
static void
encoding(const char *dir, const char *name, struct text x)
{
	struct gv_error e = {0};
	struct gv_ids ids = {0};
	struct gv_tokenizer *t;
	double first = 0, best = 0;
	int i;

	must(gv_tokenizer_open(&t, dir, &e), &e);
	for (i = 0; i < RUNS; i++) {
		double took = -worked();

		ids.n = 0;
		must(gv_encode(t, x.s, x.n, false, &ids, &e), &e);
		took += worked();
		first = i ? first : took;
		best = !i || took < best ? took : best;
	}
	printf("%-24.24s %8.1f %8.1f %8.1f %8.2f\n", name, (double)x.n * 1e-6,
	    (double)x.n / first * 1e-6, (double)x.n / best * 1e-6,
	    (double)x.n / (double)(ids.n ? ids.n : 1));
	gv_ids_free(&ids);
	gv_tokenizer_close(&t);
}

int
main(int argc, char **argv)
{
	struct text code = from_sources(), x;
	const char *dir = argc > 1 ? argv[1] : learn(code);
	int i;

	opening(dir);
	printf("%-24s %8s %8s %8s %8s\n", "MB/s a core", "MB", "first", "later",
	    "B/token");
	for (i = 2; i < argc; i++) {
		const char *slash = strrchr(argv[i], '/');

		x = from_file(argv[i]);
		encoding(dir, slash ? slash + 1 : argv[i], x);
		gv_free(x.s);
	}
	encoding(dir, "lib/*.[ch]", code);
	for (i = 0; i < KINDS; i++) {
		x = make_worst((enum worst)i, code);
		encoding(dir, worst_name[i], x);
		gv_free(x.s);
	}
	gv_free(code.s);
	if (argc < 2)
		forget(dir);
	return 0;
}
