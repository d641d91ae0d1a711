/* gvk: the kernels of vision-language models, forward and backward.
 *
 * One interface, one shared library a backend.  The CPU backend (F32 storage)
 * is the reference and works everywhere; the CUDA backend (BF16 storage, F32
 * accumulation) is `libgvk-cuda.so`, opened when it is asked for.
 *
 * RULES FOR ALL OPS
 *
 * Asynchrony.  An op is queued on a stream and returns at once; ops of one
 *	stream run in order.  Pointers are device pointers of the stream's
 *	backend (gvk_alloc) unless a parameter is called "host"; nothing is
 *	read or written through them before the op runs, and they must stay
 *	valid until it has.  Parameter structs (struct gvk_attn, gvk_adamw,
 *	gvk_sampler) are host memory and are read before the call returns; the
 *	arrays that they point to are on the device.  On the CPU backend an op
 *	has run when it returns.
 * Allocation.  Ops allocate nothing.  Where one needs scratch memory it takes
 *	`ws`, of the size that the op's `_ws` function gives for its shapes;
 *	that size never falls as a shape grows, so what the largest batch needs
 *	serves all.
 * Errors.  Ops return nothing.  The first failure of a stream (a launch, a
 *	device fault) stays with the stream; gvk_sync() reports it.  Shapes are
 *	the caller's duty: they are asserted, not reported.
 * Storage.  `void *` tensors of floating point have the backend's storage
 *	type, gvk_dtype(k): F32 on the CPU, BF16 on CUDA.  What is declared
 *	`float *` is F32 on both: parameter gradients, statistics,
 *	log-probabilities, optimizer state.  Sums are accumulated in F32 or
 *	better.  Ids and positions are int32_t.
 * Weights.  What an op takes as `w`, `wn`, `wq`, `wk`, `b` or (gvk_add_pos)
 *	`pos` is a weight and has the type of weights of the stream,
 *	gvk_wtype(s): the storage type, unless gvk_set_wtype() makes it BF16 on
 *	the CPU.  Then each number is widened, exactly, when it is read, and
 *	results have the bits that they have with the same numbers in F32; what
 *	reads many weights for few rows, as decoding does, takes half the time.
 *	A `_bwd` op, and gvk_xent() with a gradient, asserts that weights have
 *	the storage type: who trains leaves it alone.
 * Layout.  Row-major and dense unless a row stride `ld...` (in elements) is
 *	given.  Base pointers are aligned to 64 bytes, except where a row of a
 *	larger buffer is meant, which is aligned to 16.
 * Aliasing.  Outputs don't overlap inputs unless the op says "in place".
 * Gradients.  A `_bwd` op overwrites gradients of activations (dx) and adds to
 *	gradients of parameters (dw, db: F32).  A NULL gradient is not computed.
 * Empty.  Zero rows are valid and do nothing.
 * Determinism.  Equal inputs give equal bits, whatever the number of threads.
 *
 * SIZES: B batch, T tokens, N rows (usually all tokens of a batch), C
 * channels, O outputs, H query heads, G key/value heads, D head width, F
 * feed-forward width, V vocabulary, P patches, R rows of a resampler,
 * S sequences.
 */
#ifndef GVK_H
#define GVK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- backends, memory, streams ---------------------------------------- */

struct gvk;        /* an opened backend: one device */
struct gvk_stream; /* a queue of ops on it */

enum gvk_dtype { GVK_F32, GVK_BF16, GVK_I32, GVK_U8 };

/* Opens "cpu", "cuda", "cuda:N" or "auto" (CUDA if a device answers, else the
 * CPU).  `threads` is for the CPU backend; 0 takes one a core.  Returns 0, or
 * -1 with one line in err (cap bytes). */
int gvk_open(const char *device, int threads, struct gvk **k, char *err,
    size_t cap);
void gvk_close(struct gvk **k); /* after its streams; NULL is allowed */
const char *gvk_name(const struct gvk *k); /* "cpu: 2 threads, avx512" */
bool gvk_is_host(const struct gvk *k); /* device memory is host memory */
enum gvk_dtype gvk_dtype(const struct gvk *k);
size_t gvk_dtype_size(enum gvk_dtype t);
int gvk_threads(const struct gvk *k);

/* Device memory, aligned to 256 bytes, not cleared; NULL if there is none. */
void *gvk_alloc(struct gvk *k, size_t bytes);
void gvk_free(struct gvk *k, void *p);
/* Host memory that transfers run from at full speed (pinned on CUDA). */
void *gvk_host_alloc(struct gvk *k, size_t bytes);
void gvk_host_free(struct gvk *k, void *p);
/* Bytes of device memory: all of it, and what is free now. */
void gvk_memory(struct gvk *k, size_t *total, size_t *avail);

/* Device memory shared with other processes on the same device.  gvk_share()
 * describes the block p of gvk_alloc(), which must be of 2 MiB at least
 * (smaller ones lie within blocks of the driver's) and live as long as anybody
 * uses it: 0, or -1 with one line in err (a host's memory is not shared this
 * way).
 * gvk_shared_open() gives another process that memory, or NULL with a line;
 * gvk_shared_close() gives it back. */
#define GVK_HANDLE 96
int gvk_share(struct gvk *k, void *p, unsigned char handle[GVK_HANDLE],
    char *err, size_t cap);
void *gvk_shared_open(struct gvk *k, const unsigned char handle[GVK_HANDLE],
    char *err, size_t cap);
void gvk_shared_close(struct gvk *k, void *p);

int gvk_stream_open(struct gvk *k, struct gvk_stream **s);
void gvk_stream_close(struct gvk_stream **s);
struct gvk *gvk_stream_backend(const struct gvk_stream *s);
/* The type of the weights that ops of this stream read (Storage, above).
 * Setting it to one that the backend doesn't read gives false and changes
 * nothing: the CPU reads F32 and BF16, CUDA BF16. */
enum gvk_dtype gvk_wtype(const struct gvk_stream *s);
bool gvk_set_wtype(struct gvk_stream *s, enum gvk_dtype t);
/* Later ops of `s` wait for all ops queued on `on` so far. */
void gvk_wait(struct gvk_stream *s, struct gvk_stream *on);
/* Waits until all ops of `s` have run.  0, or -1 with one line in err. */
int gvk_sync(struct gvk_stream *s, char *err, size_t cap);

/* Copies in stream order.  Host memory must stay untouched until then. */
void gvk_put(struct gvk_stream *s, void *dst, const void *host, size_t bytes);
void gvk_get(struct gvk_stream *s, void *host, const void *src, size_t bytes);
void gvk_copy(struct gvk_stream *s, void *dst, const void *src, size_t bytes);
void gvk_zero(struct gvk_stream *s, void *dst, size_t bytes);
/* dst[i] = src[i] for n elements, rounding to nearest even.  To F32 or BF16
 * from any type, or between equal types. */
void gvk_convert(struct gvk_stream *s, void *dst, enum gvk_dtype to,
    const void *src, enum gvk_dtype from, size_t n);

/* Time and work by op since the last reset, for `gv-train -v`.  Switching it
 * on makes CUDA streams synchronous. */
struct gvk_profile {
	const char *op;
	uint64_t calls, ns;
	double flops; /* multiply-adds count 2; 0 for ops without products */
};
void gvk_profile_on(struct gvk *k, bool on);
/* Fills at most `cap` rows, most time first; returns how many there are. */
size_t gvk_profile_get(const struct gvk *k, struct gvk_profile *row,
    size_t cap);

/* A graph: ops of one stream, recorded once and run many times with one call,
 * which spares the host the queueing of each.  Between begin and end ops are
 * recorded, not run; puts, gets and copies, too.  Run repeats them with the
 * same pointers and sizes: what changes from run to run must be in memory that
 * they read.  gvk_sync() and gvk_alloc() are not allowed between the two, and
 * every op must have run once before with the same shapes.
 * begin and end return false where the backend has no graphs (the CPU) or
 * where recording failed; after a false end nothing has been recorded, and the
 * stream is as it was. */
struct gvk_graph;
bool gvk_graph_begin(struct gvk_stream *s);
bool gvk_graph_end(struct gvk_stream *s, struct gvk_graph **g);
void gvk_graph_run(struct gvk_stream *s, struct gvk_graph *g);
void gvk_graph_free(struct gvk *k, struct gvk_graph **g);

/* ---- matrix products --------------------------------------------------- */

enum gvk_act {
	GVK_ACT_NONE,
	GVK_GELU_TANH,  /* x/2 (1 + tanh(sqrt(2/pi) (x + .044715 x^3))) */
	GVK_GELU_ERF,   /* x/2 (1 + erf(x / sqrt 2)) */
	GVK_GELU_QUICK, /* x sigmoid(1.702 x) */
	GVK_SILU,       /* x sigmoid(x) */
	GVK_RELU2       /* max(0, x)^2: So et al. 2021, arXiv 2109.08668 */
};

/* y = act(x w^T + b) + r:  x (N,C), w (O,C), b (O) or NULL, y (N,O), r (N,O)
 * or NULL, which may be y.  With an activation r is NULL, and `pre` (N,O), if
 * not NULL, keeps x w^T + b for the backward pass.  2NCO FLOP. */
void gvk_linear(struct gvk_stream *s, void *y, void *pre, const void *x,
    const void *w, const void *b, const void *r, enum gvk_act act, int64_t N,
    int64_t C, int64_t O);

/* dx = dy w, dw += dy^T x, db += column sums of dy:  dy (N,O).
 * With `pre` (N,C) the input was x = act(pre) and dx is the gradient of pre:
 * dx = (dy w) * act'(pre).  With `add`, dx += instead (not with pre).
 * Any of dx, dw, db may be NULL.  4NCO FLOP. */
void gvk_linear_bwd(struct gvk_stream *s, void *dx, float *dw, float *db,
    const void *dy, const void *x, const void *pre, const void *w,
    enum gvk_act act, bool add, int64_t N, int64_t C, int64_t O);

/* SwiGLU behind its product:  gu = x w^T,  y = silu(g) * u, with g the first F
 * columns of gu (N,2F) and u the others; x (N,C), w (2F,C), y (N,F).  gu must
 * be given; it holds what the backward pass needs if `keep`, else anything.
 * 4NCF FLOP.  Source: Shazeer 2020, arXiv 2002.05202. */
void gvk_gated(struct gvk_stream *s, void *y, void *gu, bool keep,
    const void *x, const void *w, int64_t N, int64_t C, int64_t F);

/* A norm and the product behind it, where nothing is kept for a backward pass:
 *	h = gvk_rmsnorm(x; wn, eps)
 *	norm_linear: y = h w^T + b	norm_gated: gvk_gated of h
 * h (N,C) and gu hold anything afterwards.  For few rows that is one kernel. */
void gvk_norm_linear(struct gvk_stream *s, void *y, void *h, const void *x,
    const void *wn, float eps, const void *w, const void *b, int64_t N,
    int64_t C, int64_t O);
void gvk_norm_gated(struct gvk_stream *s, void *y, void *gu, void *h,
    const void *x, const void *wn, float eps, const void *w, int64_t N,
    int64_t C, int64_t F);

/* The backward pass of y = silu(g) * u behind a linear layer of weight w (C,F)
 * that took y in, from the gradient dz (N,C) of that layer's output:
 *	dy = dz w	dgu = gradient of gu (N,2F), from dy and gu
 * dgu may be gu.  y (N,F), if not NULL, is computed again from gu (the weight
 * gradient of w needs it).  dy (N,F) is scratch.  2NCF FLOP. */
void gvk_gated_bwd(struct gvk_stream *s, void *dgu, void *y, void *dy,
    const void *dz, const void *gu, const void *w, int64_t N, int64_t F,
    int64_t C);

/* logits = x w^T in F32, soft-capped to cap * tanh(logits / cap) if cap > 0:
 * x (N,C), w (V,C), logits (N,V). */
void gvk_logits(struct gvk_stream *s, float *logits, const void *x,
    const void *w, float cap, int64_t N, int64_t C, int64_t V);

/* ---- norms --------------------------------------------------------------- */

/* Residual and norm in one pass, for x (N,C):
 *	h = x + r		(r NULL: h = x, and h is not written)
 *	LayerNorm: y = (h - mean h) rstd w + b,  rstd = 1/sqrt(var h + eps)
 *	RMSNorm:   y = h rstd w,                 rstd = 1/sqrt(mean h^2 + eps)
 * mean and rstd (N) are kept for the backward pass (may be NULL).  w, b (C).
 * h may be x or r (in place).  Statistics are computed in two passes.
 *
 * Backward: dh = dres + (gradient through the norm), with dres (N,C) the
 * gradient that reaches h along the residual path, or NULL.  `h` is the
 * normalised input.  dh may be dres (in place); not dy.  dh is the gradient of
 * both x and r.  dw, db NULL: not computed.  rmsnorm_bwd gives the output y of
 * the forward pass again if `y` is not NULL.
 * Source: Ba et al. 2016, arXiv 1607.06450; Zhang, Sennrich 2019,
 * arXiv 1910.07467. */
void gvk_layernorm(struct gvk_stream *s, void *y, void *h, float *mean,
    float *rstd, const void *x, const void *r, const void *w, const void *b,
    float eps, int64_t N, int64_t C);
void gvk_layernorm_bwd(struct gvk_stream *s, void *dh, float *dw, float *db,
    const void *dy, const void *dres, const void *h, const float *mean,
    const float *rstd, const void *w, int64_t N, int64_t C);
void gvk_rmsnorm(struct gvk_stream *s, void *y, void *h, float *rstd,
    const void *x, const void *r, const void *w, float eps, int64_t N,
    int64_t C);
void gvk_rmsnorm_bwd(struct gvk_stream *s, void *dh, float *dw, void *y,
    const void *dy, const void *dres, const void *h, const float *rstd,
    const void *w, int64_t N, int64_t C);

/* RMSNorm of each head, as of queries and keys before attention.  A row of
 * x (N,ldx) begins with `heads` heads of width D, and y (N,ldy) likewise; what
 * follows them is neither read nor written:
 *	y = h rstd w,  rstd = 1/sqrt(mean h^2 + eps)	for each head h
 * w (D), the same for all heads, or NULL: ones.  y may be x (in place).
 *
 * Backward: dx (N,lddx) is the gradient of x (N,ldx) for dy (N,lddy), with the
 * statistics computed again from x, which the forward pass must have left.  dx
 * may be dy (in place); not x.  dw (D) += the sum over all heads.
 * Source: Dehghani et al. 2023, arXiv 2302.05442; Yang et al. 2025,
 * arXiv 2505.09388. */
void gvk_headnorm(struct gvk_stream *s, void *y, const void *x, const void *w,
    float eps, int64_t N, int64_t heads, int64_t D, int64_t ldy, int64_t ldx);
void gvk_headnorm_bwd(struct gvk_stream *s, void *dx, float *dw,
    const void *dy, const void *x, const void *w, float eps, int64_t N,
    int64_t heads, int64_t D, int64_t lddx, int64_t lddy, int64_t ldx);

/* ---- positions ----------------------------------------------------------- */

/* Rotary embedding in place on the first `heads` heads of width D of each row
 * of x (N, ld), in the half-split convention (Hugging Face): for i < D/2,
 * a = pos[n] * freq[i]:
 *	x[i], x[i+D/2] = x[i] cos a - x[i+D/2] sin a,
 *	                 x[i+D/2] cos a + x[i] sin a
 * pos (N), freq (D/2) F32.  With `inverse` the angle is -a: that is the
 * backward pass.  Angles are computed in F32 from exact integer positions,
 * sines and cosines to 1e-6.  Source: Su et al. 2021, arXiv 2104.09864. */
void gvk_rope(struct gvk_stream *s, void *x, const int32_t *pos,
    const float *freq, bool inverse, int64_t N, int64_t heads, int64_t D,
    int64_t ld);

/* What decoding does between the product and attention, for rows qkv
 * (N, (H+2G)D) that hold H query, G key and G value heads: gvk_rope on queries
 * and keys, queries in place; keys and values of row n become row kv_row[n] of
 * the caches kc, vc (rows, GD).  Whether keys are rotated in qkv as well is
 * not said.  kv_row (N) without repeats.
 * norm_rope_cache: the same behind gvk_headnorm of the queries by wq and of
 * the keys by wk (D, or NULL: ones). */
void gvk_rope_cache(struct gvk_stream *s, void *qkv, void *kc, void *vc,
    const int32_t *pos, const float *freq, const int32_t *kv_row, int64_t N,
    int64_t H, int64_t G, int64_t D);
void gvk_norm_rope_cache(struct gvk_stream *s, void *qkv, void *kc, void *vc,
    const void *wq, const void *wk, float eps, const int32_t *pos,
    const float *freq, const int32_t *kv_row, int64_t N, int64_t H, int64_t G,
    int64_t D);

/* y[n] += pos[n mod P]: y (N,C), pos (P,C), N a multiple of P, in place.
 * Backward: dpos[p] += sum of dy[n], n mod P = p. */
void gvk_add_pos(struct gvk_stream *s, void *y, const void *pos, int64_t N,
    int64_t P, int64_t C);
void gvk_add_pos_bwd(struct gvk_stream *s, float *dpos, const void *dy,
    int64_t N, int64_t P, int64_t C);

/* ---- attention ----------------------------------------------------------- */

/* Packed attention over S sequences.  Sequence s has the query rows
 * [q_at[s], q_at[s+1]) and sees two ranges of key/value rows: its prefix
 * [p_at[s], p_at[s] + p_len[s]) (all of it), and its own [k_at[s], k_at[s] +
 * k_len[s]): all of it, or if causal, query i (0..nq-1) sees own keys
 * j <= i + k_len - nq.  So one description serves
 *	self-attention		own keys = own rows, no prefix
 *	a shared prefix		many sequences with one image or prompt before
 *				them; its rows are computed once
 *	cross-attention		own keys = the latents, prefix = the patches
 *	decoding		q one row, own keys in a cache, prefix = the
 *				prompt that a group of samples shares
 * Query head h uses key/value head h / (H/G).
 *	o = softmax(scale q k^T) v		lse = log sum exp(scale q k^T)
 * A query that sees no key gets zeros and lse = -infinity.
 * Source: Vaswani et al. 2017; Dao 2023, arXiv 2307.08691. */
struct gvk_attn {
	int32_t S, H, G, D;
	int32_t max_q, max_k;  /* most queries, most prefix + own keys */
	const int32_t *q_at;   /* (S+1), ascending */
	const int32_t *k_at, *k_len; /* (S) */
	const int32_t *p_at, *p_len; /* (S), or both NULL: no prefixes */
	bool causal;
	float scale;
	int64_t ldq, ldk, ldv, ldo; /* row strides in elements */
};

/* q (Nq, ldq) with H heads of D, k and v with G heads of D, o (Nq, ldo);
 * lse (Nq,H), or NULL when there is no backward pass. */
void gvk_attention(struct gvk_stream *s, void *o, float *lse, const void *q,
    const void *k, const void *v, const struct gvk_attn *a);

/* dq, dk, dv have the strides of q, k, v; `dout` (gradient of o) that of o.
 * All rows that some sequence owns or sees are overwritten; the others stay
 * untouched.  Here sequences with the same prefix must stand next to each
 * other, own ranges must not overlap, and a prefix range is either nobody's
 * own range or exactly that of the sequence right before the first that uses
 * it.  ws: gvk_attention_bwd_ws() bytes for Nq query rows. */
size_t gvk_attention_bwd_ws(const struct gvk *k, const struct gvk_attn *a,
    int64_t Nq);
void gvk_attention_bwd(struct gvk_stream *s, void *dq, void *dk, void *dv,
    const void *dout, const void *o, const float *lse, const void *q,
    const void *k, const void *v, const struct gvk_attn *a, void *ws);

/* ---- activations --------------------------------------------------------- */

/* y = act(x), dx = dy act'(x), n elements, in place allowed (y = x, dx = dy).
 * Source: Hendrycks, Gimpel 2016, arXiv 1606.08415. */
void gvk_gelu(struct gvk_stream *s, void *y, const void *x, enum gvk_act act,
    int64_t n);
void gvk_gelu_bwd(struct gvk_stream *s, void *dx, const void *dy,
    const void *x, enum gvk_act act, int64_t n);

/* y += x, n elements. */
void gvk_add(struct gvk_stream *s, void *y, const void *x, int64_t n);

/* ---- rows ---------------------------------------------------------------- */

/* y[n] = w[id[n]] if id[n] >= 0, else e[~id[n]]: token rows from the table
 * w (V,C), and rows given from outside (image rows) from e (E,C), which may be
 * NULL if no id is negative.  id (N), y (N,C).
 * Backward: dw[id] += dy[n]; de is cleared (E rows) and de[~id] += dy[n].
 * Additions run in ascending n. */
void gvk_embedding(struct gvk_stream *s, void *y, const void *w,
    const void *e, const int32_t *id, int64_t N, int64_t C);
void gvk_embedding_bwd(struct gvk_stream *s, float *dw, void *de,
    const void *dy, const int32_t *id, int64_t N, int64_t C, int64_t V,
    int64_t E);

/* gather: y[m] = x[at[m]];  scatter: y[at[m]] = x[m], at without repeats;
 * rows of C elements with strides ldy and ldx; at (M). */
void gvk_gather(struct gvk_stream *s, void *y, const void *x,
    const int32_t *at, int64_t M, int64_t C, int64_t ldy, int64_t ldx);
void gvk_scatter(struct gvk_stream *s, void *y, const void *x,
    const int32_t *at, int64_t M, int64_t C, int64_t ldy, int64_t ldx);

/* ---- images -------------------------------------------------------------- */

/* Cuts images (B,H,W,3) U8 into non-overlapping p x p patches, row by row;
 * what is left at the right and bottom is dropped ("valid").
 *	y (B*P, 3*p*p), P = (H/p)(W/p), a row in the order channel, y, x:
 *	y = x * mul[channel] + add[channel]
 * mul and add are host arrays of 3, read before the call returns.  With the
 * normalisation (x/255 - mean)/std as mul and add, a linear op with a
 * convolution's weight (C,3,p,p) is the patch embedding. */
void gvk_patchify(struct gvk_stream *s, void *y, const uint8_t *image,
    const float *mul_host, const float *add_host, int64_t B, int64_t H,
    int64_t W, int64_t p);

/* Adaptive 2-D average pooling of x (B, gh*gw, C) to y (B, oh*ow, C), with
 * the windows of torch.nn.AdaptiveAvgPool2d: rows floor(i*gh/oh) to
 * ceil((i+1)*gh/oh) exclusive, columns likewise.  dx is overwritten. */
void gvk_avgpool(struct gvk_stream *s, void *y, const void *x, int64_t B,
    int64_t gh, int64_t gw, int64_t oh, int64_t ow, int64_t C);
void gvk_avgpool_bwd(struct gvk_stream *s, void *dx, const void *dy,
    int64_t B, int64_t gh, int64_t gw, int64_t oh, int64_t ow, int64_t C);

/* ---- loss ---------------------------------------------------------------- */

/* The output head and its loss, in chunks of rows, so that N x V logits never
 * exist.  x (N,C), w (V,C), target (N) with 0 <= target < V:
 *	z = x w^T, soft-capped as in gvk_logits
 *	logp[n] = z[target] - log sum exp z	entropy[n] = -sum p log p
 * logp, entropy (N) F32 may be NULL.  If dx or dw is not NULL the same pass
 * adds the backward of sum_n g[n] logp[n], with g (N) F32 given in advance
 * (for mean cross-entropy g = -1/count): dx (N,C) is overwritten, dw (V,C) +=.
 * For losses whose g depends on logp, call it twice.
 * ws: gvk_xent_ws() bytes.  6NCV FLOP with gradients.
 * Source: arXiv 2411.09009 (cut cross-entropy). */
size_t gvk_xent_ws(const struct gvk *k, int64_t N, int64_t C, int64_t V);
void gvk_xent(struct gvk_stream *s, float *logp, float *entropy, void *dx,
    float *dw, const void *x, const void *w, const int32_t *target,
    const float *g, float cap, int64_t N, int64_t C, int64_t V, void *ws);

/* ---- optimizer ----------------------------------------------------------- */

/* *sum (+)= sum of x[i]^2 over n elements of F32, in a fixed order, F64 on the
 * device.  Cleared first unless `add`. */
void gvk_sumsq(struct gvk_stream *s, double *sum, const float *x, int64_t n,
    bool add);

/* scale[0] = min(1, max_norm / (sqrt(*sum) + 1e-6)) (torch's rule; 1 if
 * max_norm <= 0), scale[1] = sqrt(*sum): the clip factor and the norm.  A norm
 * that is not finite gives scale[0] = 0 and stays visible in scale[1]. */
void gvk_clip(struct gvk_stream *s, float scale[2], const double *sum,
    float max_norm);

/* AdamW over ranges of flat buffers.  For each i of range r, with
 * gi = g[i] * scale[0]:
 *	m = b1 m + (1-b1) gi;  v = b2 v + (1-b2) gi^2
 *	p = p (1 - lr wd) - lr (m / (1-b1^t)) / (sqrt(v / (1-b2^t)) + eps)
 * `master` F32 holds the exact parameters and p their rounded copy; on a
 * backend with F32 storage master is NULL and p is exact.  m, v have the type
 * `state`: F32, or BF16 with stochastic rounding, whose random numbers depend
 * on (seed, t, i) alone.  `range` is a device array; t counts from 1.  The
 * gradients of all ranges are zero afterwards.  If scale[0] is 0 nothing else
 * changes.  Source: Loshchilov, Hutter, arXiv 1711.05101. */
struct gvk_range {
	int64_t at, n; /* elements at..at+n-1 */
	float lr, wd;
};
struct gvk_adamw {
	float beta1, beta2, eps;
	int64_t t;
	enum gvk_dtype state;
	uint64_t seed;
};
void gvk_adamw(struct gvk_stream *s, void *p, float *master, void *m, void *v,
    float *g, const float *scale, const struct gvk_range *range,
    int64_t ranges, const struct gvk_adamw *o);

/* ---- sampling ------------------------------------------------------------ */

/* Draws one id a row from logits (B,V) F32.  The law: the logits of ids that
 * the row has seen are divided by `repetition` if positive, else multiplied by
 * it (0 or 1 = off); banned ids (ban (V) U8, 1 = never; may be NULL) get no
 * mass; logits are divided by temperature; the top_k largest stay (0 = all;
 * ties by lower id); of those the smallest set whose mass reaches top_p stays
 * (1 = all); of those the ones stay whose probability is at least min_p times
 * the largest, that is, whose logit is at least max + temperature ln(min_p),
 * in F32 (0 = all); one is drawn by inverse transform with the Philox number
 * (seed, GVK_SAMPLE_PURPOSE, counter[b]).
 * Temperature 0 takes the largest logit after the penalty, lowest id first.
 *	seen (B,(V+31)/32)	the row's history: id i is bit i % 32 of word
 * i / 32.  The bit of id[b] is set.  May be NULL: nothing is penalised.
 *	id[b]	the id		logp[b]	 log-probability of id[b] under the
 * full softmax of the logits as given (temperature 1, no penalty, nothing
 * banned).  The same (seed, counter), logits and history give the same id in
 * any batch.  seed (B) and counter (B) are device arrays.  ws:
 * gvk_sample_ws() bytes.  Source: Holtzman et al. 2019, arXiv 1904.09751
 * (top-p); Nguyen et al. 2024, arXiv 2407.01082 (min-p); Keskar et al. 2019,
 * arXiv 1909.05858 (penalty). */
#define GVK_SAMPLE_PURPOSE 3
struct gvk_sampler {
	float temperature, top_p;
	int32_t top_k;
	float min_p, repetition;
};
size_t gvk_sample_ws(const struct gvk *k, int64_t B, int64_t V);
void gvk_sample(struct gvk_stream *s, int32_t *id, float *logp,
    const float *logits, const uint8_t *ban, uint32_t *seen,
    const uint64_t *seed, const uint64_t *counter,
    const struct gvk_sampler *law, int64_t B, int64_t V, void *ws);

/* Histories for gvk_sample: row b of seen (B,(V+31)/32) gets exactly the bits
 * of id[at[b]] .. id[at[b+1] - 1]; ids outside 0..V-1 (rows of images) have
 * none.  at (B+1) ascending. */
void gvk_seen(struct gvk_stream *s, uint32_t *seen, const int32_t *id,
    const int32_t *at, int64_t B, int64_t V);

#ifdef __cplusplus
}
#endif
#endif
