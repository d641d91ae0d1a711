/* Inside libgvk: what a backend gives, and what the dispatcher (gvk.c) keeps.
 *
 * A backend is two tables: `struct gvk_backend`, its memory, streams and
 * copies, and `struct gvk_ops`, its kernels; entries have the signatures of
 * gvk.h.  Its opener fills a `struct gvk`.  gvk.c owns the handles, picks the
 * backend, keeps the profile and calls through the tables.
 *
 * The CPU backend's tables are in host.c and cpu/table.c.  Any other is a
 * shared library that knows this header and nothing else of libgvk.
 */
#ifndef GVK_BACKEND_H
#define GVK_BACKEND_H

#include "gvk.h"

struct gvk_pool; /* worker threads, kernels/pool.c */

/* One row an op: X(name, parameters after the stream, their names). */
#define GVK_OPS(X) \
	X(linear, (struct gvk_stream *s, void *y, void *pre, const void *x, \
	    const void *w, const void *b, const void *r, enum gvk_act act, \
	    int64_t N, int64_t C, int64_t O), \
	    (s, y, pre, x, w, b, r, act, N, C, O)) \
	X(linear_bwd, (struct gvk_stream *s, void *dx, float *dw, float *db, \
	    const void *dy, const void *x, const void *pre, const void *w, \
	    enum gvk_act act, bool add, int64_t N, int64_t C, int64_t O), \
	    (s, dx, dw, db, dy, x, pre, w, act, add, N, C, O)) \
	X(gated, (struct gvk_stream *s, void *y, void *gu, bool keep, \
	    const void *x, const void *w, int64_t N, int64_t C, int64_t F), \
	    (s, y, gu, keep, x, w, N, C, F)) \
	X(norm_linear, (struct gvk_stream *s, void *y, void *h, \
	    const void *x, const void *wn, float eps, const void *w, \
	    const void *b, int64_t N, int64_t C, int64_t O), \
	    (s, y, h, x, wn, eps, w, b, N, C, O)) \
	X(norm_gated, (struct gvk_stream *s, void *y, void *gu, void *h, \
	    const void *x, const void *wn, float eps, const void *w, \
	    int64_t N, int64_t C, int64_t F), \
	    (s, y, gu, h, x, wn, eps, w, N, C, F)) \
	X(gated_bwd, (struct gvk_stream *s, void *dgu, void *y, void *dy, \
	    const void *dz, const void *gu, const void *w, int64_t N, \
	    int64_t F, int64_t C), (s, dgu, y, dy, dz, gu, w, N, F, C)) \
	X(logits, (struct gvk_stream *s, float *logits, const void *x, \
	    const void *w, float cap, int64_t N, int64_t C, int64_t V), \
	    (s, logits, x, w, cap, N, C, V)) \
	X(layernorm, (struct gvk_stream *s, void *y, void *h, float *mean, \
	    float *rstd, const void *x, const void *r, const void *w, \
	    const void *b, float eps, int64_t N, int64_t C), \
	    (s, y, h, mean, rstd, x, r, w, b, eps, N, C)) \
	X(layernorm_bwd, (struct gvk_stream *s, void *dh, float *dw, \
	    float *db, const void *dy, const void *dres, const void *h, \
	    const float *mean, const float *rstd, const void *w, int64_t N, \
	    int64_t C), (s, dh, dw, db, dy, dres, h, mean, rstd, w, N, C)) \
	X(rmsnorm, (struct gvk_stream *s, void *y, void *h, float *rstd, \
	    const void *x, const void *r, const void *w, float eps, \
	    int64_t N, int64_t C), (s, y, h, rstd, x, r, w, eps, N, C)) \
	X(rmsnorm_bwd, (struct gvk_stream *s, void *dh, float *dw, \
	    void *y, const void *dy, const void *dres, const void *h, \
	    const float *rstd, const void *w, int64_t N, int64_t C), \
	    (s, dh, dw, y, dy, dres, h, rstd, w, N, C)) \
	X(headnorm, (struct gvk_stream *s, void *y, const void *x, \
	    const void *w, float eps, int64_t N, int64_t heads, int64_t D, \
	    int64_t ldy, int64_t ldx), \
	    (s, y, x, w, eps, N, heads, D, ldy, ldx)) \
	X(headnorm_bwd, (struct gvk_stream *s, void *dx, float *dw, \
	    const void *dy, const void *x, const void *w, float eps, \
	    int64_t N, int64_t heads, int64_t D, int64_t lddx, int64_t lddy, \
	    int64_t ldx), \
	    (s, dx, dw, dy, x, w, eps, N, heads, D, lddx, lddy, ldx)) \
	X(rope, (struct gvk_stream *s, void *x, const int32_t *pos, \
	    const float *freq, bool inverse, int64_t N, int64_t heads, \
	    int64_t D, int64_t ld), \
	    (s, x, pos, freq, inverse, N, heads, D, ld)) \
	X(rope_cache, (struct gvk_stream *s, void *qkv, void *kc, void *vc, \
	    const int32_t *pos, const float *freq, const int32_t *kv_row, \
	    int64_t N, int64_t H, int64_t G, int64_t D), \
	    (s, qkv, kc, vc, pos, freq, kv_row, N, H, G, D)) \
	X(norm_rope_cache, (struct gvk_stream *s, void *qkv, void *kc, \
	    void *vc, const void *wq, const void *wk, float eps, \
	    const int32_t *pos, const float *freq, const int32_t *kv_row, \
	    int64_t N, int64_t H, int64_t G, int64_t D), \
	    (s, qkv, kc, vc, wq, wk, eps, pos, freq, kv_row, N, H, G, D)) \
	X(add_pos, (struct gvk_stream *s, void *y, const void *pos, \
	    int64_t N, int64_t P, int64_t C), (s, y, pos, N, P, C)) \
	X(add_pos_bwd, (struct gvk_stream *s, float *dpos, const void *dy, \
	    int64_t N, int64_t P, int64_t C), (s, dpos, dy, N, P, C)) \
	X(attention, (struct gvk_stream *s, void *o, float *lse, \
	    const void *q, const void *k, const void *v, \
	    const struct gvk_attn *a), (s, o, lse, q, k, v, a)) \
	X(attention_bwd, (struct gvk_stream *s, void *dq, void *dk, \
	    void *dv, const void *dout, const void *o, const float *lse, \
	    const void *q, const void *k, const void *v, \
	    const struct gvk_attn *a, void *ws), \
	    (s, dq, dk, dv, dout, o, lse, q, k, v, a, ws)) \
	X(gelu, (struct gvk_stream *s, void *y, const void *x, \
	    enum gvk_act act, int64_t n), (s, y, x, act, n)) \
	X(gelu_bwd, (struct gvk_stream *s, void *dx, const void *dy, \
	    const void *x, enum gvk_act act, int64_t n), \
	    (s, dx, dy, x, act, n)) \
	X(add, (struct gvk_stream *s, void *y, const void *x, int64_t n), \
	    (s, y, x, n)) \
	X(embedding, (struct gvk_stream *s, void *y, const void *w, \
	    const void *e, const int32_t *id, int64_t N, int64_t C), \
	    (s, y, w, e, id, N, C)) \
	X(embedding_bwd, (struct gvk_stream *s, float *dw, void *de, \
	    const void *dy, const int32_t *id, int64_t N, int64_t C, \
	    int64_t V, int64_t E), (s, dw, de, dy, id, N, C, V, E)) \
	X(gather, (struct gvk_stream *s, void *y, const void *x, \
	    const int32_t *at, int64_t M, int64_t C, int64_t ldy, \
	    int64_t ldx), (s, y, x, at, M, C, ldy, ldx)) \
	X(scatter, (struct gvk_stream *s, void *y, const void *x, \
	    const int32_t *at, int64_t M, int64_t C, int64_t ldy, \
	    int64_t ldx), (s, y, x, at, M, C, ldy, ldx)) \
	X(patchify, (struct gvk_stream *s, void *y, const uint8_t *image, \
	    const float *mul_host, const float *add_host, int64_t B, \
	    int64_t H, int64_t W, int64_t p), \
	    (s, y, image, mul_host, add_host, B, H, W, p)) \
	X(avgpool, (struct gvk_stream *s, void *y, const void *x, int64_t B, \
	    int64_t gh, int64_t gw, int64_t oh, int64_t ow, int64_t C), \
	    (s, y, x, B, gh, gw, oh, ow, C)) \
	X(avgpool_bwd, (struct gvk_stream *s, void *dx, const void *dy, \
	    int64_t B, int64_t gh, int64_t gw, int64_t oh, int64_t ow, \
	    int64_t C), (s, dx, dy, B, gh, gw, oh, ow, C)) \
	X(xent, (struct gvk_stream *s, float *logp, float *entropy, \
	    void *dx, float *dw, const void *x, const void *w, \
	    const int32_t *target, const float *g, float cap, int64_t N, \
	    int64_t C, int64_t V, void *ws), \
	    (s, logp, entropy, dx, dw, x, w, target, g, cap, N, C, V, ws)) \
	X(sumsq, (struct gvk_stream *s, double *sum, const float *x, \
	    int64_t n, bool add), (s, sum, x, n, add)) \
	X(clip, (struct gvk_stream *s, float scale[2], const double *sum, \
	    float max_norm), (s, scale, sum, max_norm)) \
	X(adamw, (struct gvk_stream *s, void *p, float *master, void *m, \
	    void *v, float *g, const float *scale, \
	    const struct gvk_range *range, int64_t ranges, \
	    const struct gvk_adamw *o), \
	    (s, p, master, m, v, g, scale, range, ranges, o)) \
	X(sample, (struct gvk_stream *s, int32_t *id, float *logp, \
	    const float *logits, const uint8_t *ban, uint32_t *seen, \
	    const uint64_t *seed, const uint64_t *counter, \
	    const struct gvk_sampler *law, int64_t B, int64_t V, void *ws), \
	    (s, id, logp, logits, ban, seen, seed, counter, law, B, V, ws)) \
	X(seen, (struct gvk_stream *s, uint32_t *seen, const int32_t *id, \
	    const int32_t *at, int64_t B, int64_t V), \
	    (s, seen, id, at, B, V)) \
	X(convert, (struct gvk_stream *s, void *dst, enum gvk_dtype to, \
	    const void *src, enum gvk_dtype from, size_t n), \
	    (s, dst, to, src, from, n))

struct gvk_ops {
#define X(name, params, args) void (*name) params;
	GVK_OPS(X)
#undef X
	size_t (*attention_bwd_ws)(const struct gvk *k,
	    const struct gvk_attn *a, int64_t Nq);
	size_t (*xent_ws)(const struct gvk *k, int64_t N, int64_t C,
	    int64_t V);
	size_t (*sample_ws)(const struct gvk *k, int64_t B, int64_t V);
};

enum gvk_op {
#define X(name, params, args) GVK_OP_##name,
	GVK_OPS(X)
#undef X
	GVK_OP_COUNT
};

/* Everything but the ops.  A function that can fail after opening records the
 * failure with gvk_stream_fail(); `sync` then reports it. */
struct gvk_backend {
	void (*close)(struct gvk *k);
	void *(*alloc)(struct gvk *k, size_t bytes);
	void (*free)(struct gvk *k, void *p);
	void *(*host_alloc)(struct gvk *k, size_t bytes);
	void (*host_free)(struct gvk *k, void *p);
	void (*memory)(struct gvk *k, size_t *total, size_t *avail);
	int (*stream_open)(struct gvk_stream *s); /* sets s->priv; 0 or -1 */
	void (*stream_close)(struct gvk_stream *s);
	void (*wait)(struct gvk_stream *s, struct gvk_stream *on);
	void (*sync)(struct gvk_stream *s); /* may set s->err */
	void (*put)(struct gvk_stream *s, void *dst, const void *host,
	    size_t bytes);
	void (*get)(struct gvk_stream *s, void *host, const void *src,
	    size_t bytes);
	void (*copy)(struct gvk_stream *s, void *dst, const void *src,
	    size_t bytes);
	void (*zero)(struct gvk_stream *s, void *dst, size_t bytes);
	bool (*graph_begin)(struct gvk_stream *s);
	bool (*graph_end)(struct gvk_stream *s, struct gvk_graph **g);
	void (*graph_run)(struct gvk_stream *s, struct gvk_graph *g);
	void (*graph_free)(struct gvk *k, struct gvk_graph *g);
	/* NULL, all three, where memory can't be shared */
	int (*share)(struct gvk *k, void *p, unsigned char handle[GVK_HANDLE],
	    char *err, size_t cap);
	void *(*shared_open)(struct gvk *k,
	    const unsigned char handle[GVK_HANDLE], char *err, size_t cap);
	void (*shared_close)(struct gvk *k, void *p);
};

/* An opened backend.  The opener sets all but the profile. */
struct gvk {
	const struct gvk_backend *backend;
	const struct gvk_ops *ops;
	char name[96];
	enum gvk_dtype dtype; /* of storage */
	bool host;            /* device memory is host memory */
	int threads;          /* 1 on a device */
	void *priv;           /* the backend's own */

	bool profiling;
	struct gvk_profile prof[GVK_OP_COUNT];
};

struct gvk_stream {
	struct gvk *k;
	enum gvk_dtype wtype; /* of weights; gvk_stream_open() sets it */
	char err[256]; /* the first failure, "" if none */
	void *priv;    /* the backend's own */
};

/* Records the first failure of a stream. */
static inline void
gvk_stream_fail(struct gvk_stream *s, const char *why)
{
	size_t i;

	if (s->err[0])
		return;
	for (i = 0; why[i] && i + 1 < sizeof s->err; i++)
		s->err[i] = why[i];
	s->err[i] = 0;
}

/* libgvk-cuda.so gives `gvk_cuda_open` of this type.  `abi` must equal the
 * library's own GVK_BACKEND_ABI, which changes with this file's structs or
 * with GVK_OPS.  Device n is opened into *k.  Returns 0, or -1 with one line
 * in err; then *k may be filled partly and close is not called. */
#define GVK_BACKEND_ABI 5
typedef int gvk_open_fn(struct gvk *k, int abi, int n, char *err, size_t cap);

/* The CPU backend (host.c). */
int gvk_cpu_open(struct gvk *k, int threads, char *err, size_t cap);

/* Worker threads of the CPU backend (pool.c), the calling thread included.
 * Runs fn(arg, part, thread) for part = 0..parts-1 and returns when all are
 * done.  Which thread runs which part is not fixed, so a result must depend
 * on `part` only; `thread` (0..threads-1) indexes scratch.  Calls from several
 * threads wait for each other; fn must not call it.  With one part it runs on
 * the caller alone. */
void gvk_pool_run(struct gvk_pool *p, int64_t parts,
    void (*fn)(void *arg, int64_t part, int thread), void *arg);
int gvk_pool_threads(const struct gvk_pool *p);
/* Scratch of a thread: at least GVK_SCRATCH bytes, aligned to 64.  To be used
 * inside fn only; its content does not outlive a part. */
#define GVK_SCRATCH ((size_t)8 << 20)
void *gvk_pool_scratch(struct gvk_pool *p, int thread);
struct gvk_pool *gvk_pool_of(const struct gvk_stream *s);
int gvk_pool_open(struct gvk_pool **p, int threads); /* 0, or -1 */
void gvk_pool_close(struct gvk_pool **p);

#endif
