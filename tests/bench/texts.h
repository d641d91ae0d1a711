/* What benchmarks of tokenizers share: texts from files, and a vocabulary for
 * those who name none. */
#ifndef BENCH_TEXTS_H
#define BENCH_TEXTS_H

#include "bpe_train.h"
#include "io.h"
#include "mem.h"
#include "token.h"

#include <glob.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MAX_FILE   ((size_t)1 << 30)
#define LEARN_SIZE 8192

static inline void
must(int result, const struct gv_error *e)
{
	if (!result)
		return;
	fprintf(stderr, "bench: %s\n", e->msg);
	exit(1);
}

static inline void *
room(size_t n)
{
	struct gv_error e = {0};
	void *p = gv_alloc(n, 1);

	must(!p && gv_fail(&e, GV_ERR_NOMEM, "out of memory"), &e);
	return p;
}

struct text {
	char *s;
	size_t n;
};

static inline struct text
from_file(const char *path)
{
	struct gv_error e = {0};
	struct text x;

	must(gv_slurp(path, MAX_FILE, &x.s, &x.n, &e), &e);
	return x;
}

static inline struct text
from_sources(void)
{
	struct gv_error e = {0};
	struct text x = {NULL, 0};
	size_t cap = 0, i;
	glob_t g;

	if (glob("lib/*.[ch]", 0, NULL, &g)) {
		fprintf(stderr, "bench: no lib/*.[ch] here; give a "
				"directory and a file\n");
		exit(1);
	}
	for (i = 0; i < g.gl_pathc; i++) {
		struct text f = from_file(g.gl_pathv[i]);

		must(gv_room(&x.s, &cap, x.n + f.n, 1, &e), &e);
		memcpy(x.s + x.n, f.s, f.n);
		x.n += f.n;
		gv_free(f.s);
	}
	globfree(&g);
	return x;
}

/* ---- vocabularies -------------------------------------------------------- */

/* Learns one in a new directory. */
static inline const char *
learn(struct text code)
{
	static char dir[] = "/tmp/bench-token.XXXXXX";
	struct gv_bpe_law law = {.vocab = LEARN_SIZE, .chat_template = "nano"};
	struct gv_bpe_result result;
	struct gv_error e = {0};
	struct gv_bpe_train *b;

	if (!mkdtemp(dir)) {
		perror(dir);
		exit(1);
	}
	must(gv_bpe_train_open(&b, &law, &e), &e);
	must(gv_bpe_train_add(b, code.s, code.n, &e), &e);
	must(gv_bpe_train_learn(b, &result, &e), &e);
	must(gv_bpe_train_write(b, dir, &e), &e);
	gv_bpe_train_close(&b);
	return dir;
}

static inline void
forget(const char *dir)
{
	static const char *const name[] = {
	    "tokenizer.json", "tokenizer_config.json", ".gv-tokenizer"};
	char path[64];
	size_t i;

	for (i = 0; i < 3; i++) {
		snprintf(path, sizeof path, "%s/%s", dir, name[i]);
		unlink(path);
	}
	rmdir(dir);
}

#endif
