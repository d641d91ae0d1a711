/* What the tests of tokenizers share: golden files, temporary directories. */
#ifndef TOKENS_H
#define TOKENS_H

#include "bpe_train.h"
#include "io.h"
#include "mem.h"
#include "must.h"
#include "token.h"

#include <jansson.h>
#include <stdlib.h>
#include <unistd.h>

#define MOST_PATH 4096

/* The value that a text is. */
static inline json_t *
json(const char *text)
{
	json_error_t je;
	json_t *o = json_loads(text, 0, &je);

	if (!o)
		bail(text, je.text);
	return o;
}

/* The path of a golden file, from the source tree or the test's own place. */
static inline const char *
golden(char path[MOST_PATH], const char *argv0, const char *name)
{
	const char *slash = strrchr(argv0, '/');
	int n = slash ? (int)(slash - argv0) : 0;

	snprintf(path, MOST_PATH, "tests/golden/tokens/%s", name);
	if (access(path, R_OK))
		snprintf(path, MOST_PATH,
		    "%.*s/../../../tests/golden/tokens/%s", n ? n : 1,
		    n ? argv0 : ".", name);
	if (access(path, R_OK))
		bail(path, "not found; run this from the source tree");
	return path;
}

static inline json_t *
golden_json(const char *argv0, const char *name)
{
	char path[MOST_PATH];
	json_error_t je;
	json_t *o =
	    json_load_file(golden(path, argv0, name), JSON_ALLOW_NUL, &je);

	if (!o)
		bail(path, je.text);
	return o;
}

static inline struct gv_tokenizer *
open_tokenizer(const char *dir)
{
	struct gv_error e = {0};
	struct gv_tokenizer *t = NULL;

	must(gv_tokenizer_open(&t, dir, &e), &e);
	return t;
}

/* A directory that cleanup() removes again. */
static char scratch[MOST_PATH];

static inline const char *
make_scratch(void)
{
	const char *tmp = getenv("TMPDIR");

	snprintf(
	    scratch, sizeof scratch, "%s/gv-test.XXXXXX", tmp ? tmp : "/tmp");
	if (!mkdtemp(scratch))
		bail(scratch, "cannot be made");
	return scratch;
}

static inline const char *
in_scratch(char path[MOST_PATH], const char *name)
{
	if (snprintf(path, MOST_PATH, "%s/%s", scratch, name) >= MOST_PATH)
		bail(scratch, "too long");
	return path;
}

static inline void
write_file(const char *path, const void *data, size_t n)
{
	FILE *f = fopen(path, "wb");

	if (!f || fwrite(data, 1, n, f) != n || fclose(f))
		bail(path, "cannot be written");
}

static inline void
cleanup(void)
{
	static const char *const name[] = {
	    "tokenizer.json", "tokenizer_config.json", ".gv-tokenizer"};
	char path[MOST_PATH];
	size_t i;

	for (i = 0; i < 3; i++)
		unlink(in_scratch(path, name[i]));
	rmdir(scratch);
}

/* Learns a vocabulary from the golden corpus, writes it to the scratch
 * directory and opens it. */
static inline struct gv_tokenizer *
learn_corpus(const char *argv0, int32_t vocab, const char *tmpl)
{
	char path[MOST_PATH], *s;
	struct gv_error e = {0};
	struct gv_bpe_law law = {.vocab = vocab, .chat_template = tmpl};
	struct gv_bpe_result result;
	struct gv_bpe_train *b;
	size_t n;

	must(gv_slurp(golden(path, argv0, "corpus.txt"), 1 << 20, &s, &n, &e),
	    &e);
	must(gv_bpe_train_open(&b, &law, &e), &e);
	must(gv_bpe_train_add(b, s, n, &e), &e);
	must(gv_bpe_train_learn(b, &result, &e), &e);
	must(gv_bpe_train_write(b, scratch, &e), &e);
	gv_bpe_train_close(&b);
	gv_free(s);
	return open_tokenizer(scratch);
}

/* splitmix64, as in tests/golden/make_tokens.py. */
struct draw {
	uint64_t s;
};

static inline uint32_t
draw(struct draw *r, uint32_t n)
{
	uint64_t z;

	r->s += 0x9e3779b97f4a7c15u;
	z = r->s;
	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return (uint32_t)((z ^ z >> 31) % n);
}

#endif
