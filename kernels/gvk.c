/* The front of libgvk: opens a backend, and passes each call on to its tables,
 * timing it if asked. */
#include "backend.h"

#include <assert.h>
#include <dlfcn.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static const char *const op_name[GVK_OP_COUNT] = {
#define X(name, params, args) #name,
    GVK_OPS(X)
#undef X
};

/* ---- opening ------------------------------------------------------------ */

/* Looks for the CUDA backend in ../lib of the running program, then where the
 * loader looks.  It stays loaded: a driver does not survive unloading. */
static gvk_open_fn *
load_cuda(char *err, size_t cap)
{
	static const char lib[] = "libgvk-cuda.so";
	char path[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", path,
	    sizeof path - sizeof "/../lib/" - sizeof lib);
	void *so = NULL;
	gvk_open_fn *open_fn = NULL;

	/* Without the driver's library there is no device, and cuBLAS need not
	 * be loaded to find that out. */
	if (!dlopen("libcuda.so.1", RTLD_LAZY | RTLD_LOCAL)) {
		snprintf(err, cap, "no CUDA driver: %s", dlerror());
		return NULL;
	}
	if (n > 0) {
		while (n > 0 && path[n - 1] != '/')
			n--;
		snprintf(path + n, sizeof path - (size_t)n, "../lib/%s", lib);
		so = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	}
	if (!so)
		so = dlopen(lib, RTLD_NOW | RTLD_LOCAL);
	if (!so) {
		snprintf(err, cap, "no CUDA backend: %s", dlerror());
		return NULL;
	}
	/* POSIX allows this conversion, ISO C has no notation for it. */
	*(void **)&open_fn = dlsym(so, "gvk_cuda_open");
	if (!open_fn)
		snprintf(err, cap, "'%s' is not a gvk backend", lib);
	return open_fn;
}

/* The number in "cuda" or "cuda:N"; -1 if the name is none of these. */
static int
cuda_number(const char *device)
{
	char *end;
	long n;

	if (strcmp(device, "cuda") == 0)
		return 0;
	if (strncmp(device, "cuda:", 5) != 0 || device[5] < '0' ||
	    device[5] > '9')
		return -1;
	n = strtol(device + 5, &end, 10);
	return *end || n > 1023 ? -1 : (int)n;
}

static int
open_backend(
    struct gvk *k, const char *device, int threads, char *err, size_t cap)
{
	bool any = strcmp(device, "auto") == 0;
	int n = any ? 0 : cuda_number(device);
	gvk_open_fn *open_cuda;

	if (n >= 0) {
		open_cuda = load_cuda(err, cap);
		if (open_cuda &&
		    open_cuda(k, GVK_BACKEND_ABI, n, err, cap) == 0)
			return 0;
		if (!any)
			return -1;
		memset(k, 0, sizeof *k);
	} else if (strcmp(device, "cpu") != 0) {
		snprintf(err, cap, "unknown device '%s'", device);
		return -1;
	}
	if (gvk_cpu_open(k, threads, err, cap))
		return -1;
	if (cap)
		err[0] = 0;
	return 0;
}

int
gvk_open(
    const char *device, int threads, struct gvk **out, char *err, size_t cap)
{
	struct gvk *k = calloc(1, sizeof *k);
	int i;

	if (!k) {
		snprintf(err, cap, "out of memory");
		return -1;
	}
	if (open_backend(k, device, threads, err, cap)) {
		free(k);
		return -1;
	}
	for (i = 0; i < GVK_OP_COUNT; i++)
		k->prof[i].op = op_name[i];
	*out = k;
	return 0;
}

void
gvk_close(struct gvk **k)
{
	if (!*k)
		return;
	(*k)->backend->close(*k);
	free(*k);
	*k = NULL;
}

const char *
gvk_name(const struct gvk *k)
{
	return k->name;
}

bool
gvk_is_host(const struct gvk *k)
{
	return k->host;
}

enum gvk_dtype
gvk_dtype(const struct gvk *k)
{
	return k->dtype;
}

size_t
gvk_dtype_size(enum gvk_dtype t)
{
	switch (t) {
	case GVK_F32:
	case GVK_I32:
		return 4;
	case GVK_BF16:
		return 2;
	case GVK_U8:
		return 1;
	}
	return 0;
}

int
gvk_threads(const struct gvk *k)
{
	return k->threads;
}

/* ---- memory and streams ------------------------------------------------- */

void *
gvk_alloc(struct gvk *k, size_t bytes)
{
	return k->backend->alloc(k, bytes);
}

void
gvk_free(struct gvk *k, void *p)
{
	if (p)
		k->backend->free(k, p);
}

void *
gvk_host_alloc(struct gvk *k, size_t bytes)
{
	return k->backend->host_alloc(k, bytes);
}

void
gvk_host_free(struct gvk *k, void *p)
{
	if (p)
		k->backend->host_free(k, p);
}

void
gvk_memory(struct gvk *k, size_t *total, size_t *avail)
{
	k->backend->memory(k, total, avail);
}

int
gvk_stream_open(struct gvk *k, struct gvk_stream **out)
{
	struct gvk_stream *s = calloc(1, sizeof *s);

	if (!s)
		return -1;
	s->k = k;
	s->wtype = k->dtype;
	if (k->backend->stream_open(s)) {
		free(s);
		return -1;
	}
	*out = s;
	return 0;
}

void
gvk_stream_close(struct gvk_stream **s)
{
	if (!*s)
		return;
	(*s)->k->backend->stream_close(*s);
	free(*s);
	*s = NULL;
}

struct gvk *
gvk_stream_backend(const struct gvk_stream *s)
{
	return s->k;
}

enum gvk_dtype
gvk_wtype(const struct gvk_stream *s)
{
	return s->wtype;
}

bool
gvk_set_wtype(struct gvk_stream *s, enum gvk_dtype t)
{
	/* storage of F32 is the CPU's, whose ops widen what they read */
	if (t != s->k->dtype && (t != GVK_BF16 || s->k->dtype != GVK_F32))
		return false;
	s->wtype = t;
	return true;
}

void
gvk_wait(struct gvk_stream *s, struct gvk_stream *on)
{
	assert(s->k == on->k);
	s->k->backend->wait(s, on);
}

int
gvk_sync(struct gvk_stream *s, char *err, size_t cap)
{
	s->k->backend->sync(s);
	if (!s->err[0])
		return 0;
	snprintf(err, cap, "%s", s->err);
	return -1;
}

void
gvk_put(struct gvk_stream *s, void *dst, const void *host, size_t bytes)
{
	s->k->backend->put(s, dst, host, bytes);
}

void
gvk_get(struct gvk_stream *s, void *host, const void *src, size_t bytes)
{
	s->k->backend->get(s, host, src, bytes);
}

void
gvk_copy(struct gvk_stream *s, void *dst, const void *src, size_t bytes)
{
	s->k->backend->copy(s, dst, src, bytes);
}

void
gvk_zero(struct gvk_stream *s, void *dst, size_t bytes)
{
	s->k->backend->zero(s, dst, bytes);
}

bool
gvk_graph_begin(struct gvk_stream *s)
{
	/* a profile waits after each op, which a recording can't */
	return !s->k->profiling && s->k->backend->graph_begin(s);
}

bool
gvk_graph_end(struct gvk_stream *s, struct gvk_graph **g)
{
	return s->k->backend->graph_end(s, g);
}

void
gvk_graph_run(struct gvk_stream *s, struct gvk_graph *g)
{
	s->k->backend->graph_run(s, g);
}

void
gvk_graph_free(struct gvk *k, struct gvk_graph **g)
{
	if (*g)
		k->backend->graph_free(k, *g);
	*g = NULL;
}

int
gvk_share(struct gvk *k, void *p, unsigned char handle[GVK_HANDLE], char *err,
    size_t cap)
{
	if (k->backend->share)
		return k->backend->share(k, p, handle, err, cap);
	snprintf(err, cap, "%s has no memory to share", gvk_name(k));
	return -1;
}

void *
gvk_shared_open(struct gvk *k, const unsigned char handle[GVK_HANDLE],
    char *err, size_t cap)
{
	if (k->backend->shared_open)
		return k->backend->shared_open(k, handle, err, cap);
	snprintf(err, cap, "%s has no memory to share", gvk_name(k));
	return NULL;
}

void
gvk_shared_close(struct gvk *k, void *p)
{
	if (p && k->backend->shared_close)
		k->backend->shared_close(k, p);
}

/* ---- profile ------------------------------------------------------------ */

static uint64_t
now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* A device array of n int32 on the host, to be freed; NULL without memory. */
static int32_t *
fetch(struct gvk_stream *s, const int32_t *p, int32_t n)
{
	int32_t *host = malloc((size_t)n * sizeof *host + 1);

	if (host) {
		gvk_get(s, host, p, (size_t)n * sizeof *host);
		s->k->backend->sync(s);
	}
	return host;
}

/* Query-key pairs that attention visits. */
static double
attn_pairs(struct gvk_stream *s, const struct gvk_attn *a)
{
	int32_t *q = fetch(s, a->q_at, a->S + 1), *k = fetch(s, a->k_len, a->S);
	int32_t *p = a->p_len ? fetch(s, a->p_len, a->S) : NULL;
	double pairs = 0;
	int32_t i;

	for (i = 0; q && k && i < a->S; i++) {
		double nq = q[i + 1] - q[i], nk = k[i];
		double own = nq * nk;

		/* Query i of nq lacks the last nq-1-i own keys. */
		if (a->causal && nk >= nq)
			own -= nq * (nq - 1) / 2;
		else if (a->causal)
			own = nk * (nk + 1) / 2;
		pairs += own + (p ? nq * p[i] : 0);
	}
	free(q);
	free(k);
	free(p);
	return pairs;
}

/* Called by the wrappers of ops with products, with their arguments. */
#define FLOPS_linear 2.0 * (double)N *(double)C *(double)O
#define FLOPS_linear_bwd \
	2.0 * ((dx != NULL) + (dw != NULL)) * (double)N *(double)C *(double)O
#define FLOPS_gated       4.0 * (double)N *(double)C *(double)F
#define FLOPS_gated_bwd   2.0 * (double)N *(double)C *(double)F
#define FLOPS_norm_linear 2.0 * (double)N *(double)C *(double)O
#define FLOPS_norm_gated  4.0 * (double)N *(double)C *(double)F
#define FLOPS_logits      2.0 * (double)N *(double)C *(double)V
#define FLOPS_xent \
	2.0 * (1 + (dx != NULL) + (dw != NULL)) * \
	    (double)N *(double)C *(double)V
#define FLOPS_attention       4.0 * a->H * a->D *attn_pairs(s, a)
#define FLOPS_attention_bwd   10.0 * a->H * a->D *attn_pairs(s, a)
#define FLOPS_layernorm       0
#define FLOPS_layernorm_bwd   0
#define FLOPS_rmsnorm         0
#define FLOPS_rmsnorm_bwd     0
#define FLOPS_headnorm        0
#define FLOPS_headnorm_bwd    0
#define FLOPS_rope            0
#define FLOPS_rope_cache      0
#define FLOPS_norm_rope_cache 0
#define FLOPS_add_pos         0
#define FLOPS_add_pos_bwd     0
#define FLOPS_gelu            0
#define FLOPS_gelu_bwd        0
#define FLOPS_add             0
#define FLOPS_embedding       0
#define FLOPS_embedding_bwd   0
#define FLOPS_gather          0
#define FLOPS_scatter         0
#define FLOPS_patchify        0
#define FLOPS_avgpool         0
#define FLOPS_avgpool_bwd     0
#define FLOPS_sumsq           0
#define FLOPS_clip            0
#define FLOPS_adamw           0
#define FLOPS_sample          0
#define FLOPS_seen            0
#define FLOPS_convert         0

void
gvk_profile_on(struct gvk *k, bool on)
{
	int i;

	k->profiling = on;
	for (i = 0; on && i < GVK_OP_COUNT; i++)
		k->prof[i] = (struct gvk_profile){.op = op_name[i]};
}

static int
by_time(const void *a, const void *b)
{
	const struct gvk_profile *x = a, *y = b;

	if (x->ns != y->ns)
		return x->ns < y->ns ? 1 : -1;
	return strcmp(x->op, y->op);
}

size_t
gvk_profile_get(const struct gvk *k, struct gvk_profile *row, size_t cap)
{
	struct gvk_profile all[GVK_OP_COUNT];
	size_t i, n = 0;

	for (i = 0; i < GVK_OP_COUNT; i++)
		if (k->prof[i].calls)
			all[n++] = k->prof[i];
	qsort(all, n, sizeof *all, by_time);
	for (i = 0; i < n && i < cap; i++)
		row[i] = all[i];
	return n;
}

/* ---- ops ---------------------------------------------------------------- */

static void
record(struct gvk_stream *s, enum gvk_op op, uint64_t start, double flops)
{
	struct gvk_profile *p = &s->k->prof[op];

	s->k->backend->sync(s);
	p->ns += now_ns() - start;
	p->calls++;
	p->flops += flops;
}

#define X(name, params, args) \
	void gvk_##name params \
	{ \
		double flops; \
		uint64_t start; \
\
		if (!s->k->profiling) { \
			s->k->ops->name args; \
			return; \
		} \
		flops = FLOPS_##name; \
		start = now_ns(); \
		s->k->ops->name args; \
		record(s, GVK_OP_##name, start, flops); \
	}
GVK_OPS(X)
#undef X

size_t
gvk_attention_bwd_ws(const struct gvk *k, const struct gvk_attn *a, int64_t Nq)
{
	return k->ops->attention_bwd_ws(k, a, Nq);
}

size_t
gvk_xent_ws(const struct gvk *k, int64_t N, int64_t C, int64_t V)
{
	return k->ops->xent_ws(k, N, C, V);
}

size_t
gvk_sample_ws(const struct gvk *k, int64_t B, int64_t V)
{
	return k->ops->sample_ws(k, B, V);
}
