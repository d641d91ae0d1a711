/* Vocabularies that are no tokenizer.json: tiktoken's, CLIP's list, several
 * files in a directory, what is wrong with them, and their compiled form. */
#include "tokens.h"

#include <time.h>
#include <zlib.h>

static const char *const files[] = {"cl100k_base.tiktoken", "other.tiktoken",
    "tokenizer.model", "tokenizer_config.json", "tokenizer.json",
    "bpe_simple_vocab_16e6.txt.gz", ".cl100k_base.tiktoken.gv-tokenizer",
    ".bpe_simple_vocab_16e6.txt.gz.gv-tokenizer"};

/* An empty scratch directory. */
static void
clear(void)
{
	char path[MOST_PATH];
	size_t i;

	for (i = 0; i < sizeof files / sizeof *files; i++)
		unlink(in_scratch(path, files[i]));
}

static void
put(const char *name, const void *data, size_t n)
{
	char path[MOST_PATH];

	write_file(in_scratch(path, name), data, n);
}

static void
put_config(const char *text)
{
	put("tokenizer_config.json", text, strlen(text));
}

/* What lies at `name` in the scratch directory is refused, with these words. */
static void
refuse(const char *name, int code, const char *words)
{
	char path[MOST_PATH];
	struct gv_tokenizer *t = NULL;
	struct gv_error e = {0};

	ok(gv_tokenizer_open(
	       &t, *name ? in_scratch(path, name) : scratch, &e) == code &&
		strstr(e.msg, words) && !t,
	    "refused: %s", e.msg);
	gv_error_clear(&e);
	gv_tokenizer_close(&t);
}

/* The ids of a text as decimal numbers, in a static buffer. */
static const char *
ids_of(const struct gv_tokenizer *t, const char *s)
{
	static char out[400];
	struct gv_ids ids = {0};
	struct gv_error e = {0};
	size_t i, k = 0;

	must(gv_encode(t, s, strlen(s), true, &ids, &e), &e);
	*out = '\0';
	for (i = 0; i < ids.n && k < sizeof out - 16; i++)
		k += (size_t)snprintf(out + k, sizeof out - k, "%s%d",
		    i ? " " : "", (int)ids.id[i]);
	gv_ids_free(&ids);
	return out;
}

static const char *
text_of(const struct gv_tokenizer *t, const char *s)
{
	static char out[400];
	struct gv_ids ids = {0};
	struct gv_error e = {0};
	char *back;
	size_t n;

	must(gv_encode(t, s, strlen(s), true, &ids, &e), &e);
	must(gv_decode(t, ids.id, ids.n, true, &back, &n, &e), &e);
	snprintf(out, sizeof out, "%s", back);
	gv_free(back);
	gv_ids_free(&ids);
	return out;
}

/* ---- tiktoken ------------------------------------------------------------ */

/* The golden ranks, with a line more. */
static char *
ranks(const char *argv0, const char *more, size_t *n)
{
	char path[MOST_PATH], *s, *all;
	struct gv_error e = {0};

	must(gv_slurp(golden(path, argv0, "cl100k/cl100k_base.tiktoken"),
		 1 << 20, &s, n, &e),
	    &e);
	all = malloc(*n + strlen(more) + 1);
	if (!all)
		bail("ranks", "out of memory");
	memcpy(all, s, *n);
	memcpy(all + *n, more, strlen(more) + 1);
	*n += strlen(more);
	gv_free(s);
	return all;
}

static void
wrong_ranks(const char *argv0)
{
	static const struct {
		const char *line, *words;
		int code;
	} t[] = {{"dGhl\n", "line 701 is no token", GV_ERR_FORMAT},
	    {"d*** 700\n", "line 701 is no token", GV_ERR_FORMAT},
	    {" 700\n", "line 701 is no token", GV_ERR_FORMAT},
	    {"enp6 12x\n", "line 701 is no token", GV_ERR_FORMAT},
	    {"enp6 -1\n", "between 0 and", GV_ERR_LIMIT},
	    {"enp6 99999999999\n", "between 0 and", GV_ERR_LIMIT},
	    {"enp6 7\n", "stands for two tokens", GV_ERR_FORMAT},
	    {"IQ== 700\n", "the same as another", GV_ERR_FORMAT},
	    {"enp6 100257\n", "stands for two tokens", GV_ERR_FORMAT}};
	size_t n, i;
	char *s;

	for (i = 0; i < sizeof t / sizeof *t; i++) {
		s = ranks(argv0, t[i].line, &n);
		put("cl100k_base.tiktoken", s, n);
		refuse("cl100k_base.tiktoken", t[i].code, t[i].words);
		free(s);
	}
	put("cl100k_base.tiktoken", "", 0);
	refuse("", GV_ERR_FORMAT, "no tokens");
	put("cl100k_base.tiktoken", "YQ== 0\n", 7);
	refuse("", GV_ERR_FORMAT, "byte 0x00 has no token");
	put("cl100k_base.tiktoken", "\n\x05<unk>", 7);
	refuse("", GV_ERR_NOSUP, "SentencePiece");
}

/* Tokens of a kilobyte each: the pairs that make them are too many to find. */
static void
long_tokens(void)
{
	size_t n = 0, cap = (size_t)4 << 20, i;
	char *s = malloc(cap + 65600);
	int id;

	if (!s)
		bail("long tokens", "out of memory");
	for (id = 0; n < cap; id++) {
		for (i = 0; i < 65536; i++)
			s[n++] = 'A';
		n += (size_t)sprintf(s + n, " %d\n", id);
	}
	s[0] = 'B';
	put("cl100k_base.tiktoken", s, 65536 + 3);
	refuse("", GV_ERR_FORMAT, "has no token");
	s[65540] = 'A';
	put("cl100k_base.tiktoken", s, n);
	refuse("", GV_ERR_FORMAT, "the same as another");
	memset(s, 'A', 131072);
	memcpy(s + 131072, " 0\n", 3);
	put("cl100k_base.tiktoken", s, 131075);
	refuse("", GV_ERR_LIMIT, "more than 65536 bytes");
	free(s);
}

static void
tiktoken(const char *argv0)
{
	static const char config[] =
	    "{\"tiktoken\": {\"pat_str\": \"[a-z]+|.\", \"special_tokens\": "
	    "{\"<s>\": 900}}}";
	struct gv_tokenizer *t;
	char path[MOST_PATH], *s;
	size_t n;

	wrong_ranks(argv0);
	long_tokens();
	clear();
	s = ranks(argv0, "", &n);
	put("cl100k_base.tiktoken", s, n);
	t = open_tokenizer(scratch);
	is_int(gv_tokenizer_special(t, "<|endofprompt|>"), 100276,
	    "special tokens come with the name");
	is_int(gv_tokenizer_size(t), 100277, "and count");
	ok(!gv_token_bytes(t, 50000, &n), "what lies between is no token");
	is_str(text_of(t, "a <|endoftext|> b"), "a <|endoftext|> b", "back");
	gv_tokenizer_close(&t);

	free(s);
	s = ranks(argv0, "", &n);
	put("other.tiktoken", s, n);
	refuse("", GV_ERR_MATCH, "several");
	refuse("other.tiktoken", GV_ERR_NOSUP, "'other' is no encoding");
	put_config(config);
	t = open_tokenizer(in_scratch(path, "other.tiktoken"));
	is_int(gv_tokenizer_special(t, "<s>"), 900,
	    "tokenizer_config.json says what the name doesn't");
	gv_tokenizer_close(&t);
	put_config("{\"tiktoken\": {\"name\": \"gpt2\"}}");
	t = open_tokenizer(in_scratch(path, "other.tiktoken"));
	is_int(
	    gv_tokenizer_special(t, "<|endoftext|>"), 50256, "or another name");
	gv_tokenizer_close(&t);
	put_config("{\"tiktoken\": {}}");
	refuse("other.tiktoken", GV_ERR_FORMAT, "neither 'name' nor");
	put_config("{\"tiktoken\": {\"pat_str\": \"a\", \"special_tokens\": "
		   "{\"x\": 1e9}}}");
	refuse("other.tiktoken", GV_ERR_FORMAT, "'x' has no id");
	free(s);
	clear();
}

/* ---- CLIP ---------------------------------------------------------------- */

static void
put_packed(const char *s, size_t n)
{
	char path[MOST_PATH];
	gzFile f =
	    gzopen(in_scratch(path, "bpe_simple_vocab_16e6.txt.gz"), "wb");

	if (!f || gzwrite(f, s, (unsigned)n) != (int)n || gzclose(f) != Z_OK)
		bail(path, "cannot be written");
}
#define PACKED(s) put_packed(s, sizeof(s) - 1)

static void
clip(void)
{
	char *bomb = calloc(80 << 20, 1);
	struct gv_tokenizer *t;

	PACKED("#version: 0.2\nt h\nth e</w>\ni n\n' s</w>\n");
	t = open_tokenizer(scratch);
	is_int(gv_tokenizer_size(t), 518, "bytes twice, merges, two marks");
	is_str(ids_of(t, " The\n IN<|endoftext|>"), "513 72 333 517",
	    "words in lower case; their last byte is another");
	is_str(ids_of(t, "the's 12"), "513 515 272 273",
	    "endings and digits are words");
	is_str(text_of(t, "It's  FINE!"), "it 's fine !", "what comes back");
	gv_tokenizer_close(&t);
	PACKED("#version: 0.2\nt h\nth\n");
	refuse("", GV_ERR_FORMAT, "line 3: it is no pair");
	PACKED("#version: 0.2\nth e\n");
	refuse("", GV_ERR_FORMAT, "not in the vocabulary");
	PACKED("#version: 0.2\na\xff b\n");
	refuse("", GV_ERR_FORMAT, "line 2");
	put("bpe_simple_vocab_16e6.txt.gz", "#version", 8);
	refuse("", GV_ERR_FORMAT, "no gzip file");
	if (!bomb)
		bail("clip", "out of memory");
	put_packed(bomb, 80 << 20);
	refuse("", GV_ERR_LIMIT, "unpacks to more than");
	free(bomb);
	clear();
}

/* ---- compiled ------------------------------------------------------------ */

/* A list that is long enough to be compiled, of a file that is old enough. */
static void
compiled(const char *argv0)
{
	struct timespec nap = {2, 50000000};
	struct gv_tokenizer *t;
	char path[MOST_PATH], first[65], *s, *m;
	size_t n, k, i;

	s = ranks(argv0, "", &n);
	m = malloc(n + (1 << 20));
	if (!m)
		bail("compiled", "out of memory");
	memcpy(m, s, n);
	for (k = n, i = 700; i < 60000; i++) { /* of four bytes each */
		char b[5] = {0};
		static const char digit[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
					    "abcdefghijklmnopqrstuvwxyz";

		b[0] = digit[i % 52];
		b[1] = digit[i / 52 % 52];
		b[2] = digit[i / 2704 % 52];
		b[3] = 'A';
		k += (size_t)sprintf(m + k, "%s/w== %zu\n", b, i);
	}
	put("cl100k_base.tiktoken", m, k);
	if (nanosleep(&nap, NULL))
		bail("compiled", "cannot wait");
	t = open_tokenizer(scratch);
	snprintf(first, sizeof first, "%s", gv_tokenizer_digest(t));
	gv_tokenizer_close(&t);
	ok(!access(
	       in_scratch(path, ".cl100k_base.tiktoken.gv-tokenizer"), R_OK),
	    "a large list of ranks is compiled");
	t = open_tokenizer(scratch);
	is_str(gv_tokenizer_digest(t), first, "and is the same then");
	is_str(text_of(t, "The quick <|fim_prefix|>"),
	    "The quick <|fim_prefix|>", "and can be used");
	gv_tokenizer_close(&t);
	put_config("{\"tiktoken\": {\"name\": \"p50k_edit\"}}");
	refuse("", GV_ERR_FORMAT, "id 50256 stands for two tokens");
	free(m);
	free(s);
	clear();
}

int
main(int argc, char **argv)
{
	(void)argc;
	make_scratch();
	tiktoken(argv[0]);
	clip();
	compiled(argv[0]);
	rmdir(scratch);
	return done();
}
