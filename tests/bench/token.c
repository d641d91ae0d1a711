/* How fast a vocabulary opens and encodes:
 *
 *	token DIR FILE [RUNS]
 *
 * prints how long opening took, the first time and the fastest of RUNS (5);
 * then for the text of FILE the rate of the first pass, which fills the cache
 * of pieces, and of the fastest later one, in MB/s (10^6 bytes) of one core,
 * and the number of ids.
 */
#include "io.h"
#include "mem.h"
#include "token.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static double
now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* The thread's own time: the machine may be busy with others. */
static double
worked(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void
must(int result, const struct gv_error *e)
{
	if (!result)
		return;
	fprintf(stderr, "token: %s\n", e->msg);
	exit(1);
}

static struct gv_tokenizer *
open_timed(const char *dir, int runs)
{
	struct gv_tokenizer *t;
	struct gv_error e = {0};
	double from = now(), first, best, took;
	int i;

	must(gv_tokenizer_open(&t, dir, &e), &e);
	first = best = (now() - from) * 1e3;
	for (i = 1; i < runs; i++) {
		gv_tokenizer_close(&t);
		from = now();
		must(gv_tokenizer_open(&t, dir, &e), &e);
		took = (now() - from) * 1e3;
		best = took < best ? took : best;
	}
	printf("open    %8.1f ms, then %.1f ms (%d ids)\n", first, best,
	    (int)gv_tokenizer_size(t));
	return t;
}

int
main(int argc, char **argv)
{
	int runs = argc > 3 ? atoi(argv[3]) : 5, i;
	struct gv_tokenizer *t;
	struct gv_error e = {0};
	struct gv_ids ids = {0};
	double took, best = 0, first = 0;
	size_t n;
	char *s;

	if (argc < 3 || runs < 1) {
		fprintf(stderr, "usage: token DIR FILE [RUNS]\n");
		return 2;
	}
	t = open_timed(argv[1], runs);
	must(gv_slurp(argv[2], (size_t)1 << 30, &s, &n, &e), &e);
	for (i = 0; i < runs; i++) {
		ids.n = 0;
		took = -worked();
		must(gv_encode(t, s, n, false, &ids, &e), &e);
		took += worked();
		first = i ? first : took;
		best = !i || took < best ? took : best;
	}
	printf("encode  %8.1f MB/s, then %.1f MB/s (%.1f MB, %zu ids)\n",
	    (double)n / first * 1e-6, (double)n / best * 1e-6, (double)n * 1e-6,
	    ids.n);
	gv_ids_free(&ids);
	gv_free(s);
	gv_tokenizer_close(&t);
	return 0;
}
