/* A fuzz target without a fuzzer: runs it on every file of its corpus,
 * tests/fuzz/corpus/NAME, or of the files and directories given.  What a target
 * finds wrong ends the program. */
#include "tap.h"

#include <dirent.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/stat.h>

#define MAX_FILE ((size_t)16 << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

/* From memory of its size exactly, so that valgrind sees what reads past it. */
static void
file(const char *path)
{
	FILE *f = fopen(path, "rb");
	uint8_t *p = malloc(MAX_FILE), *q;
	size_t n = f && p ? fread(p, 1, MAX_FILE, f) : 0;

	if (!f || !p || !feof(f) || !(q = malloc(n ? n : 1))) {
		ok(0, "%s cannot be read", path);
		exit(1);
	}
	fclose(f);
	memcpy(q, p, n);
	free(p);
	ok(LLVMFuzzerTestOneInput(q, n) == 0, "%s", path);
	free(q);
}

static void
any(const char *path)
{
	struct dirent **at;
	struct stat st;
	char name[4096];
	int n, i;

	if (stat(path, &st) || !S_ISDIR(st.st_mode)) {
		file(path);
		return;
	}
	n = scandir(path, &at, NULL, alphasort);
	for (i = 0; i < n; i++) {
		snprintf(name, sizeof name, "%s/%s", path, at[i]->d_name);
		if (*at[i]->d_name != '.')
			any(name);
		free(at[i]);
	}
	if (n >= 0)
		free(at);
}

int
main(int argc, char **argv)
{
	const char *slash = strrchr(argv[0], '/');
	char corpus[256];
	int i;

	for (i = 1; i < argc; i++)
		any(argv[i]);
	if (argc == 1) {
		snprintf(corpus, sizeof corpus, "tests/fuzz/corpus/%s",
		    slash ? slash + 1 : argv[0]);
		if (strlen(corpus) > 2)
			corpus[strlen(corpus) - 2] = '\0'; /* ".t" */
		any(corpus);
	}
	return done();
}
