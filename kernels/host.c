/* The CPU backend outside of its ops: memory, streams and copies, which on the
 * host are plain memory and calls that have happened when they return. */
#include "backend.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define ALIGN     256
#define HUGE_PAGE ((size_t)2 << 20)

#if defined(__x86_64__)
extern const struct gvk_ops gvk_cpu_ops_v2, gvk_cpu_ops_v3, gvk_cpu_ops_v4;
#else
extern const struct gvk_ops gvk_cpu_ops_base;
#endif

static void
host_close(struct gvk *k)
{
	struct gvk_pool *pool = k->priv;

	gvk_pool_close(&pool);
}

/* Large blocks lie on huge pages: matrices stride through them. */
static void *
host_alloc(struct gvk *k, size_t bytes)
{
	size_t align = bytes >= 2 * HUGE_PAGE ? HUGE_PAGE : ALIGN;
	void *p;

	(void)k;
	if (bytes > SIZE_MAX / 2)
		return NULL;
	bytes = (bytes + align - 1) / align * align;
	p = aligned_alloc(align, bytes ? bytes : align);
	if (p && align == HUGE_PAGE)
		madvise(p, bytes, MADV_HUGEPAGE);
	return p;
}

static void
host_free(struct gvk *k, void *p)
{
	(void)k;
	free(p);
}

static void
host_memory(struct gvk *k, size_t *total, size_t *avail)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);

	(void)k;
	*total = (size_t)sysconf(_SC_PHYS_PAGES) * page;
	*avail = (size_t)sysconf(_SC_AVPHYS_PAGES) * page;
}

static int
host_stream_open(struct gvk_stream *s)
{
	(void)s;
	return 0;
}

static void
host_stream_close(struct gvk_stream *s)
{
	(void)s;
}

static void
host_wait(struct gvk_stream *s, struct gvk_stream *on)
{
	(void)s;
	(void)on;
}

static void
host_sync(struct gvk_stream *s)
{
	(void)s;
}

static void
host_copy(struct gvk_stream *s, void *dst, const void *src, size_t bytes)
{
	(void)s;
	if (bytes)
		memcpy(dst, src, bytes);
}

static void
host_zero(struct gvk_stream *s, void *dst, size_t bytes)
{
	(void)s;
	if (bytes)
		memset(dst, 0, bytes);
}

/* No graphs, so nobody comes to call the other three. */
static bool
host_graph_begin(struct gvk_stream *s)
{
	(void)s;
	return false;
}

static const struct gvk_backend host_backend = {
    .close = host_close,
    .alloc = host_alloc,
    .free = host_free,
    .host_alloc = host_alloc,
    .host_free = host_free,
    .memory = host_memory,
    .stream_open = host_stream_open,
    .stream_close = host_stream_close,
    .wait = host_wait,
    .sync = host_sync,
    .put = host_copy,
    .get = host_copy,
    .copy = host_copy,
    .zero = host_zero,
    .graph_begin = host_graph_begin,
};

/* An instruction set that the ops are compiled for. */
struct isa {
	const char *name; /* as in GVK_ISA */
	const char *what; /* for people */
	const struct gvk_ops *ops;
	bool here; /* this machine has it */
};

/* Fills `isa`, the best first; returns how many there are. */
static int
list_isas(struct isa isa[3])
{
#if defined(__x86_64__)
	bool v2, v3, v4;

	__builtin_cpu_init();
	v2 = __builtin_cpu_supports("sse4.2") &&
	     __builtin_cpu_supports("ssse3") &&
	     __builtin_cpu_supports("popcnt");
	v3 = v2 && __builtin_cpu_supports("avx2") &&
	     __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi") &&
	     __builtin_cpu_supports("bmi2");
	v4 = v3 && __builtin_cpu_supports("avx512f") &&
	     __builtin_cpu_supports("avx512bw") &&
	     __builtin_cpu_supports("avx512cd") &&
	     __builtin_cpu_supports("avx512dq") &&
	     __builtin_cpu_supports("avx512vl");
	isa[0] = (struct isa){"v4", "avx512", &gvk_cpu_ops_v4, v4};
	isa[1] = (struct isa){"v3", "avx2", &gvk_cpu_ops_v3, v3};
	isa[2] = (struct isa){"v2", "sse4.2", &gvk_cpu_ops_v2, v2};
	return 3;
#else
	isa[0] = (struct isa){"base", "portable", &gvk_cpu_ops_base, true};
	return 1;
#endif
}

/* The best instruction set of this machine, or the one that GVK_ISA names. */
static int
pick_isa(struct isa *picked, char *err, size_t cap)
{
	const char *want = getenv("GVK_ISA");
	struct isa isa[3];
	int i, n = list_isas(isa);

	if (want && !*want)
		want = NULL;
	for (i = 0; i < n; i++) {
		if (want && strcmp(isa[i].name, want) != 0)
			continue;
		if (isa[i].here) {
			*picked = isa[i];
			return 0;
		}
		if (want)
			break;
	}
	if (!want)
		snprintf(err, cap, "this processor lacks x86-64-v2");
	else if (i < n)
		snprintf(err, cap, "this processor lacks GVK_ISA '%s'", want);
	else
		snprintf(
		    err, cap, "unknown instruction set GVK_ISA '%s'", want);
	return -1;
}

int
gvk_cpu_open(struct gvk *k, int threads, char *err, size_t cap)
{
	struct gvk_pool *pool;
	struct isa isa;
	long cores = sysconf(_SC_NPROCESSORS_ONLN);

	if (pick_isa(&isa, err, cap))
		return -1;
	if (threads <= 0)
		threads = cores > 0 && cores < 1024 ? (int)cores : 1;
	if (gvk_pool_open(&pool, threads)) {
		snprintf(err, cap, "cannot start %d threads", threads);
		return -1;
	}
	k->backend = &host_backend;
	k->ops = isa.ops;
	k->dtype = GVK_F32;
	k->host = true;
	k->threads = threads;
	k->priv = pool;
	snprintf(k->name, sizeof k->name, "cpu: %d thread%s, %s", threads,
	    threads == 1 ? "" : "s", isa.what);
	return 0;
}

struct gvk_pool *
gvk_pool_of(const struct gvk_stream *s)
{
	return s->k->priv;
}
