/* How long a model takes from its files to the first token that it could give:
 *
 *	load MODEL [DEVICE [RUNS]]
 *
 * prints what each step took, in milliseconds by the clock and of all
 * processors, the fastest of RUNS (3); the rate of the weights, which are
 * opened for a forward pass; and how much memory the process had at most.
 * What stands in the page cache before the first run counts.
 */
#include "model.h"
#include "token.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static double
now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e3 + (double)t.tv_nsec * 1e-6;
}

static double
worked(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec * 1e3 + (double)t.tv_nsec * 1e-6;
}

/* A line of /proc/self/status in MiB: VmHWM, RssFile ... */
static double
memory(const char *what)
{
	FILE *f = fopen("/proc/self/status", "r");
	char line[256];
	double kib = 0;

	while (f && fgets(line, sizeof line, f))
		if (!strncmp(line, what, strlen(what)))
			kib = strtod(line + strlen(what) + 1, NULL);
	if (f)
		fclose(f);
	return kib / 1024;
}

static void
must(int r, const struct gv_error *e)
{
	if (!r)
		return;
	fprintf(stderr, "load: %s\n", e->msg);
	exit(1);
}

enum { BACKEND, FILES, MODEL, TOKENIZER, STEPS };

static void
mark(double at[2][STEPS + 1], int i)
{
	at[0][i] = now();
	at[1][i] = worked();
}

static size_t
run(const char *dir, const char *device, double ms[2][STEPS])
{
	struct gv_error e = {0};
	struct gv_tokenizer *t;
	struct gv_model *m;
	struct gv_st *st;
	struct gvk *k;
	double at[2][STEPS + 1];
	size_t bytes = 0, i;
	int c;

	mark(at, 0);
	must(gv_backend_open(&k, device, 0, &e), &e);
	mark(at, 1);
	must(gv_st_open_dir(&st, dir, &e), &e);
	for (i = 0; i < gv_st_count(st); i++)
		bytes += gv_st_tensor(st, i)->bytes;
	gv_st_close(&st);
	mark(at, 2);
	must(gv_model_open_forward(&m, k, dir, ~0u, &e), &e);
	mark(at, 3);
	must(gv_tokenizer_open(&t, dir, &e), &e);
	mark(at, 4);
	for (c = 0; c < 2; c++)
		for (i = 0; i < STEPS; i++)
			if (ms[c][i] <= 0 || at[c][i + 1] - at[c][i] < ms[c][i])
				ms[c][i] = at[c][i + 1] - at[c][i];
	gv_tokenizer_close(&t);
	gv_model_close(&m);
	gvk_close(&k);
	return bytes;
}

int
main(int argc, char **argv)
{
	static const char *const step[] = {
	    "backend", "safetensors", "model", "tokenizer"};
	double ms[2][STEPS] = {{0}}, all = 0;
	long runs = argc > 3 ? strtol(argv[3], NULL, 10) : 3, i;
	size_t bytes = 0;

	if (argc < 2)
		return 0; /* nothing to measure */
	for (i = 0; i < runs; i++)
		bytes = run(argv[1], argc > 2 ? argv[2] : "cpu", ms);
	for (i = 0; i < STEPS; i++) {
		printf("%-12s %8.1f ms, %8.1f of work\n", step[i], ms[0][i],
		    ms[1][i]);
		all += ms[0][i];
	}
	printf("%-12s %8.1f ms\n%.2f GB of weights at %.2f GB/s\n", "all", all,
	    (double)bytes * 1e-9, (double)bytes * 1e-6 / ms[0][MODEL]);
	printf("%.0f MiB at most, of which the files are %.0f\n",
	    memory("VmHWM"), (double)bytes / 1048576);
	return 0;
}
