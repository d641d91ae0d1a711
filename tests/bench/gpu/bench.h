/* What the GPU benchmarks share: operands of random numbers, timing, rows.
 *
 * A row of output is
 *	name <TAB> value <TAB> unit <TAB> seconds <TAB> FLOP <TAB> bytes
 * for one run of what is timed: the work that it has to do, whoever does it.
 * tests/bench/gpu/table.awk sets these rows beside those of peer.py, which
 * have the same names, and beside the limits that the two have measured.
 */
#ifndef BENCH_H
#define BENCH_H

#include "gvk.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static struct gvk *k;
static struct gvk_stream *s;

static inline void __attribute__((format(printf, 1, 2), noreturn))
die(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	fputs("bench: ", stderr);
	vfprintf(stderr, fmt, ap);
	fputc('\n', stderr);
	va_end(ap);
	exit(1);
}

static inline void
finish(void)
{
	char err[256];

	if (gvk_sync(s, err, sizeof err))
		die("%s", err);
}

static inline double
now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static inline void
open_device(void)
{
	char err[256];

	if (gvk_open("cuda", 0, &k, err, sizeof err))
		die("%s", err);
	if (gvk_stream_open(k, &s))
		die("no stream");
	fprintf(stderr, "# %s\n", gvk_name(k));
}

static inline void *
device(size_t bytes)
{
	void *p = gvk_alloc(k, bytes);

	if (!p)
		die("no device memory for %zu bytes", bytes);
	return p;
}

/* n numbers of about this size, neither equal nor in a pattern. */
static inline void *
numbers(size_t n, enum gvk_dtype t, float size)
{
	const size_t some = (size_t)1 << 20;
	float *host = malloc(some * sizeof *host);
	void *tmp = device(some * sizeof *host);
	void *p = device(n * gvk_dtype_size(t));
	uint32_t x = 2463534242u + (uint32_t)n;
	size_t at, i;

	for (i = 0; host && i < some; i++) {
		x ^= x << 13;
		x ^= x >> 17;
		x ^= x << 5;
		host[i] = ((float)(x >> 8) / 8388608.f - 1) * size * 1.7f;
	}
	if (!host)
		die("no memory");
	gvk_put(s, tmp, host, some * sizeof *host);
	for (at = 0; at < n; at += some)
		gvk_convert(s, (char *)p + at * gvk_dtype_size(t), t, tmp,
		    GVK_F32, n - at < some ? n - at : some);
	finish();
	gvk_free(k, tmp);
	free(host);
	return p;
}

static inline int
by_size(const void *a, const void *b)
{
	double u = *(const double *)a, v = *(const double *)b;

	return (u > v) - (u < v);
}

#define TURNS 12

/* Median seconds of one run(arg), `each` runs queued at a time.  What is short
 * is replayed from a graph, so that the device's time is seen and not the
 * host's. */
static inline double
seconds(void (*run)(void *arg), void *arg, int each)
{
	struct gvk_graph *g = NULL;
	double t[TURNS], start;
	int i, j;

	run(arg);
	run(arg);
	finish();
	if (each > 1 && gvk_graph_begin(s)) {
		for (j = 0; j < each; j++)
			run(arg);
		if (!gvk_graph_end(s, &g))
			die("no graph");
		gvk_graph_run(s, g);
		finish();
	}
	for (i = 0; i < TURNS; i++) {
		start = now();
		if (g)
			gvk_graph_run(s, g);
		else
			for (j = 0; j < each; j++)
				run(arg);
		finish();
		t[i] = (now() - start) / each;
	}
	gvk_graph_free(k, &g);
	qsort(t, TURNS, sizeof *t, by_size);
	return t[TURNS / 2];
}

static inline void
report(const char *name, double value, const char *unit, double sec,
    double flops, double bytes)
{
	printf("%s\t%.6g\t%s\t%.6g\t%.6g\t%.6g\n", name, value, unit, sec,
	    flops, bytes);
	fflush(stdout);
}

#endif
