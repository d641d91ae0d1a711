/* How much threads help the tokenizer.
 *
 *	token_threads [DIR [FILE]]
 *
 * With one thread, two and one a core, in MB/s (10^6 bytes of text) by the
 * clock and in CPU seconds of the process: FILE, repeated to 32 MB, as one
 * text that becomes ids; and as documents of 64 bytes, a line each, that become
 * a stream of records, which is written to /dev/null.  The machine should have
 * nothing else to do.
 *
 * Without a FILE that is this repository's C, and without a DIR the vocabulary
 * is learned from that: run it in the source tree.
 */
#include "clock.h"
#include "render_files.h"
#include "texts.h"
#include "token_stream.h"

#include <time.h>

#define RUNS 5
#define LONG ((size_t)32 << 20)
#define LINE 65 /* bytes of a short document, with its newline */

struct work {
	const struct gv_tokenizer *t;
	struct text x;
	const char *path; /* of a file of short documents */
};

/* ---- what is timed ------------------------------------------------------- */

static void
one_text(const struct work *w, size_t threads)
{
	struct gv_error e = {0};
	struct gv_ids ids = {0};

	must(gv_encode_threads(w->t, w->x.s, w->x.n, false, threads, &ids, &e),
	    &e);
	gv_ids_free(&ids);
}

/* What gv-tokenize --text does. */
static void
short_documents(const struct work *w, size_t threads)
{
	struct gv_render how = {.tokenizer = w->t, .mode = GV_RENDER_TEXT};
	const struct gv_render_some *some;
	struct gv_error e = {0};
	struct gv_render_files *f;
	struct gv_writer *to;
	struct gv_out *out;
	int got;

	must(gv_out_open(&out, "/dev/null", true, true, &e), &e);
	must(gv_tokens_open(&to, out, &how, GV_DOCS_LINES, &e), &e);
	must(gv_render_open(
		 &f, &how, &w->path, 1, GV_DOCS_LINES, threads, to, NULL, &e),
	    &e);
	while ((got = gv_render_next(f, &some, &e)) > 0)
		must(gv_writer_join(to, some->part, &e), &e);
	must(got, &e);
	gv_render_close(&f);
	must(gv_writer_close(&to, 0, &e), &e);
	must(gv_out_commit(&out, &e), &e);
}

/* ---- timing -------------------------------------------------------------- */

/* The fastest of some runs: seconds by the clock, and those of the CPU. */
static double
fastest(void (*run)(const struct work *, size_t), const struct work *w,
    size_t threads, double *cpu)
{
	double best = 0;
	int i;

	for (i = 0; i < RUNS; i++) {
		clock_t busy = clock();
		double took = -gv_now();

		run(w, threads);
		took += gv_now();
		if (!i || took < best) {
			best = took;
			*cpu = (double)(clock() - busy) / CLOCKS_PER_SEC;
		}
	}
	return best;
}

static void
compare(const char *name, void (*run)(const struct work *, size_t),
    const struct work *w)
{
	cpu_set_t set;
	size_t cores = sched_getaffinity(0, sizeof set, &set)
			   ? 1
			   : (size_t)CPU_COUNT(&set);
	size_t threads[] = {1, 2, cores}, i;
	double one = 0, took, cpu;

	for (i = 0; i < (cores > 2 ? 3 : 2); i++) {
		took = fastest(run, w, threads[i], &cpu);
		one = i ? one : took;
		printf("%-16s %3zu threads %8.1f MB/s x%-5.2f %6.2f s of CPU\n",
		    name, threads[i], (double)w->x.n / took * 1e-6, one / took,
		    cpu);
	}
}

/* Makes each LINE bytes a line. */
static void
cut_lines(struct text x, const char *path)
{
	struct gv_error e = {0};
	struct gv_out *out;
	size_t i;

	for (i = 0; i < x.n; i++)
		if (i % LINE == LINE - 1)
			x.s[i] = '\n';
		else if (x.s[i] == '\n')
			x.s[i] = ' ';
	must(gv_out_open(&out, path, false, true, &e), &e);
	must(gv_out_write(out, x.s, x.n, &e), &e);
	must(gv_out_commit(&out, &e), &e);
}

int
main(int argc, char **argv)
{
	struct text x = argc > 2 ? from_file(argv[2]) : from_sources();
	const char *dir = argc > 1 ? argv[1] : learn(x);
	char path[] = "/tmp/bench-lines.XXXXXX";
	struct gv_error e = {0};
	struct gv_tokenizer *t;
	struct work w = {.x = {room(LONG), 0}, .path = path};
	int fd = mkstemp(path);

	if (fd < 0 || close(fd)) {
		perror(path);
		return 1;
	}
	for (; x.n && w.x.n < LONG; w.x.n += x.n) {
		x.n = x.n < LONG - w.x.n ? x.n : LONG - w.x.n;
		memcpy(w.x.s + w.x.n, x.s, x.n);
	}
	must(gv_tokenizer_open(&t, dir, &e), &e);
	w.t = t;
	compare("one text", one_text, &w);
	cut_lines(w.x, path);
	compare("short documents", short_documents, &w);
	gv_tokenizer_close(&t);
	unlink(path);
	gv_free(w.x.s);
	gv_free(x.s);
	if (argc < 2)
		forget(dir);
	return 0;
}
