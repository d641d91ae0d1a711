/* What the targets of the tokenizer share: a directory of their own, in memory
 * where there is one, and small vocabularies in it. */
#ifndef VOCAB_H
#define VOCAB_H

#include "mem.h"
#include "token.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static inline void
must(bool sound)
{
	if (!sound)
		abort();
}

static char work_dir[64];

static inline void
remove_work(void)
{
	static const char *const name[] = {"tokenizer.json", ".gv-tokenizer",
	    "r50k_base.tiktoken", "v.tiktoken", "tokenizer_config.json",
	    "chat_template.jinja", "v.txt.gz", "v.gguf", "lines"};
	char path[128];
	size_t i;

	for (i = 0; i < sizeof name / sizeof *name; i++) {
		snprintf(path, sizeof path, "%s/%s", work_dir, name[i]);
		unlink(path);
	}
	rmdir(work_dir);
}

/* The path of a file in a directory that goes when the program ends. */
static inline const char *
in_work(char path[128], const char *name)
{
	if (!*work_dir) {
		snprintf(work_dir, sizeof work_dir, "%s/gv-fuzz.XXXXXX",
		    access("/dev/shm", W_OK) ? "/tmp" : "/dev/shm");
		must(mkdtemp(work_dir) != NULL);
		atexit(remove_work);
	}
	snprintf(path, 128, "%s%s%s", work_dir, *name ? "/" : "", name);
	return path;
}

static inline void
put_file(const char *name, const void *data, size_t n)
{
	char path[128];
	FILE *f = fopen(in_work(path, name), "wb");

	must(f && fwrite(data, 1, n, f) == n && !fclose(f));
}

/* Opens what lies at `name` in that directory, "": the directory itself. */
static inline int
open_work(struct gv_tokenizer **t, const char *name, struct gv_error *e)
{
	char path[128];

	return gv_tokenizer_open(t, in_work(path, name), e);
}

/* GPT-2's alphabet: a byte as JSON text. */
static inline size_t
spell_byte(char *to, unsigned b)
{
	unsigned c = b;

	if (b <= 0x20)
		c = 0x100 + b;
	else if (b >= 0x7f && b <= 0xa0)
		c = 0x121 + b - 0x7f;
	else if (b == 0xad)
		c = 0x143;
	return (size_t)sprintf(to, "\\u%04x", c);
}

#endif
