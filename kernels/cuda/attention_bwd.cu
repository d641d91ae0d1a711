/* Attention backward without atomics: a pass over query tiles for dq and
 * delta, and a pass over key tiles for dk and dv; the probabilities are
 * recomputed from lse in both.
 *
 *	dq:	block = (sequence, key/value head, 16 R pairs); keys stream past
 *		S = Q K^T, dP = dO V^T, A += (P dP) K, B += P K
 *		delta = rowsum(P dP), dQ = A - delta B
 *	dk, dv:	block = (range of keys, key/value head, 16 R keys); pairs
 *		stream past.  Rows and columns exchanged:
 *		S' = K Q^T, dP' = V dO^T, dS' = P' (dP' - delta),
 *		dV += P' dO, dK += dS' Q
 *
 * delta is rowsum(dO o) too, but o has been rounded to bf16: where P is near
 * one key, dP - delta cancels, and that rounding would be most of dQ and dK.
 *
 * A range of keys is a sequence's own (kind 0) or a prefix that nobody owns
 * (kind 1, at the first sequence of its family).  The family of a range, the
 * sequences that have it as their prefix, stand next to each other behind its
 * owner: their query rows are one run, all of which sees all of its keys.
 *
 * Bound by the FMA units, 16 D FLOP a pair and key it sees (10 were enough if
 * P were computed once and delta were taken from o).
 *
 * Next rung: one pass over key tiles with mma, dq summed in F32 per split of
 * the keys.
 */
#include "attention.cuh"
#include "attention_ways.cuh"

struct backward {
	bf16 *dq, *dk, *dv;
	const bf16 *dout, *q, *k, *v;
	const float *lse;
	float *delta; /* (Nq,H), in ws: the first pass writes it */
	struct gvk_attn a;
	struct attn_shape h;
	int64_t tiles; /* of a sequence or range, and key head */
	int kinds; /* 2 if there are prefixes */
	float scale2; /* scale in powers of two */
};

size_t
gvk_cuda_attention_bwd_ws(const struct gvk *k, const struct gvk_attn *a, int64_t Nq)
{
	size_t plain = (size_t)(Nq * a->H) * sizeof(float);
	size_t wgmma = cuda_attention_bwd_wgmma_ws(k, a, Nq);

	return plain > wgmma ? plain : wgmma;
}

/* ---- both passes -------------------------------------------------------- */

/* lse of the pair at this query row and head, in powers of two; infinity, which
 * makes its P zero, if it sees nothing or is not there. */
static __device__ __forceinline__ float
lse2_of(const struct backward &f, bool there, int64_t row, int64_t head)
{
	float lse = there ? f.lse[row * f.a.H + head] : -INFINITY;

	return lse == -INFINITY ? INFINITY : lse * ATTN_LOG2E;
}

/* ---- dq ----------------------------------------------------------------- */

template <int MAX, int R>
static __global__ void
__launch_bounds__(ATTN_THREADS, 1) attention_dq(const struct backward f)
{
	extern __shared__ float4 smem[];
	float *p = reinterpret_cast<float *>(smem);
	unsigned *q = reinterpret_cast<unsigned *>(p + 16 * R * ATTN_LDP);
	unsigned *dout = q + 16 * R * (MAX / 2 + 1), *k = dout + 16 * R * (MAX / 2 + 1);
	unsigned *v = k + ATTN_COLS * (MAX / 2 + 1);
	const int tx = threadIdx.x % 16, ty = threadIdx.x / 16;
	const int64_t at = blockIdx.x, g = at / f.tiles % f.a.G, s = at / f.tiles / f.a.G;
	const int first = (int)(at % f.tiles) * (16 * R);
	const int q0 = f.a.q_at[s], nq = f.a.q_at[s + 1] - q0;
	const int there = nq * f.h.hg - first, n = there < 16 * R ? there : 16 * R;
	const int last = (first + n - 1) / f.h.hg;
	const int64_t from = g * f.h.hg * f.h.D;
	float sc[R][4], dp[R][4], lse2[R], delta[R];
	float2 acc[R][MAX / 32], base[R][MAX / 32]; /* A, B */

	if (n <= 0)
		return;
	attn_clear<MAX, R>(acc);
	attn_clear<MAX, R>(base);
	attn_load<MAX>(q, 16 * R, n, attn_pairs(f.q + from, f.a.ldq, q0, first, f.h.hg), f.h);
	attn_load<MAX>(dout, 16 * R, n, attn_pairs(f.dout + from, f.a.ldo, q0, first, f.h.hg), f.h);
#pragma unroll
	for (int i = 0; i < R; i++) {
		int pair = first + ty * R + i;

		lse2[i] =
		    lse2_of(f, ty * R + i < n, q0 + pair / f.h.hg, g * f.h.hg + pair % f.h.hg);
		delta[i] = 0;
	}
	for (int part = 0; part < 2; part++) { /* the prefix, own keys */
		const bool own = part == 1, causal = own && f.a.causal;
		const struct attn_range keys = own ? attn_own(f.a, s) : attn_prefix(f.a, s);
		const int end = attn_seen(causal, last, nq, keys.n);

		for (int j = 0; j < end; j += ATTN_COLS) {
			const int left = end - j;

			__syncthreads(); /* k and v have been read */
			attn_load<MAX>(k, ATTN_COLS, left,
			    attn_keys(f.k + g * f.h.D, f.a.ldk, keys.at + j), f.h);
			attn_load<MAX>(v, ATTN_COLS, left,
			    attn_keys(f.v + g * f.h.D, f.a.ldv, keys.at + j), f.h);
			__syncthreads();
			attn_scores<MAX, R>(sc, q, k, f.h.words);
			attn_scores<MAX, R>(dp, dout, v, f.h.words);
#pragma unroll
			for (int i = 0; i < R; i++) {
				int row = (first + ty * R + i) / f.h.hg;
				int seen = attn_seen(causal, row < last ? row : last, nq, keys.n);

#pragma unroll
				for (int c = 0; c < 4; c++) {
					bool in = j + tx + 16 * c < seen;
					float e = exp2f(sc[i][c] * f.scale2 - lse2[i]);

					sc[i][c] = in ? e : 0.f;
					dp[i][c] = in ? e * dp[i][c] : 0.f;
					delta[i] += dp[i][c];
				}
			}
			attn_put<R>(p, sc);
			attn_times<MAX, R>(
			    base, p, k, left < ATTN_COLS ? left : ATTN_COLS, f.h.words);
			attn_put<R>(p, dp);
			attn_times<MAX, R>(
			    acc, p, k, left < ATTN_COLS ? left : ATTN_COLS, f.h.words);
		}
	}
#pragma unroll
	for (int i = 0; i < R; i++) {
		int pair = first + ty * R + i;

		int64_t row = q0 + pair / f.h.hg, head = g * f.h.hg + pair % f.h.hg;

#pragma unroll
		for (int x = 8; x > 0; x >>= 1)
			delta[i] += __shfl_xor_sync(CUDA_ALL, delta[i], x);
#pragma unroll
		for (int c = 0; c < MAX / 32; c++) {
			acc[i][c].x -= delta[i] * base[i][c].x;
			acc[i][c].y -= delta[i] * base[i][c].y;
		}
		if (ty * R + i >= n)
			continue;
		attn_store<MAX>(f.dq + row * f.a.ldq + head * f.h.D, acc[i], f.a.scale, f.h);
		if (tx == 0)
			f.delta[row * f.a.H + head] = delta[i];
	}
}

/* ---- dk, dv ------------------------------------------------------------- */

/* Is s the first sequence of a family whose prefix no sequence owns? */
static __device__ __forceinline__ bool
begins_family(const struct gvk_attn &a, int64_t s, struct attn_range p)
{
	if (p.n == 0)
		return false;
	return s == 0 || !(attn_same(p, attn_prefix(a, s - 1)) || attn_same(p, attn_own(a, s - 1)));
}

/* The sequences s, s+1, ... that have `keys` as their prefix end here. */
static __device__ __forceinline__ int64_t
family_end(const struct gvk_attn &a, int64_t s, struct attn_range keys)
{
	while (s < a.S && keys.n > 0 && attn_same(keys, attn_prefix(a, s)))
		s++;
	return s;
}

/* A run of query rows that meets the block's keys: all of them, or, with `own`,
 * only keys j <= (row - q0) + gap. */
struct viewers {
	int row, end; /* rows row..end-1 */
	bool own;
	int q0, gap;
};

/* Shared memory of a block. */
struct tiles {
	float *p, *lse2, *delta; /* (16R,64), (64), (64) */
	unsigned *k, *v, *q, *dout;
};

template <int MAX, int R>
static __device__ __forceinline__ void
meet(const struct backward &f, const struct tiles &t, const struct viewers &w, int64_t g, int j0,
    float2 (&dk)[R][MAX / 32], float2 (&dv)[R][MAX / 32])
{
	const int tx = threadIdx.x % 16, ty = threadIdx.x / 16;
	const int64_t pairs = (int64_t)(w.end - w.row) * f.h.hg, from = g * f.h.hg * f.h.D;
	float sc[R][4], dp[R][4];

	for (int64_t first = 0; first < pairs; first += ATTN_COLS) {
		const int64_t left = pairs - first;
		const int n = left < ATTN_COLS ? (int)left : ATTN_COLS;
		const int row = w.row + (int)(first / f.h.hg), head = (int)(first % f.h.hg);

		__syncthreads(); /* q, dout, lse2, delta have been read */
		attn_load<MAX>(
		    t.q, ATTN_COLS, n, attn_pairs(f.q + from, f.a.ldq, w.row, first, f.h.hg), f.h);
		attn_load<MAX>(t.dout, ATTN_COLS, n,
		    attn_pairs(f.dout + from, f.a.ldo, w.row, first, f.h.hg), f.h);
		if (threadIdx.x < ATTN_COLS) {
			const bool there = (int)threadIdx.x < n;
			const int pair = head + (int)threadIdx.x;
			const int64_t at = row + pair / f.h.hg, h = g * f.h.hg + pair % f.h.hg;

			t.lse2[threadIdx.x] = lse2_of(f, there, at, h);
			t.delta[threadIdx.x] = there ? f.delta[at * f.a.H + h] : 0.f;
		}
		__syncthreads();
		attn_scores<MAX, R>(sc, t.k, t.q, f.h.words);
		attn_scores<MAX, R>(dp, t.v, t.dout, f.h.words);
#pragma unroll
		for (int c = 0; c < 4; c++) {
			const int col = tx + 16 * c;
			const int i = row - w.q0 + (head + col) / f.h.hg;
			const float lse2 = t.lse2[col], delta = t.delta[col];

#pragma unroll
			for (int r = 0; r < R; r++) {
				bool in = col < n && (!w.own || j0 + ty * R + r <= i + w.gap);
				float e = exp2f(sc[r][c] * f.scale2 - lse2);

				sc[r][c] = in ? e : 0.f;
				dp[r][c] = in ? e * (dp[r][c] - delta) : 0.f;
			}
		}
		attn_put<R>(t.p, sc);
		attn_times<MAX, R>(dv, t.p, t.dout, n, f.h.words);
		attn_put<R>(t.p, dp);
		attn_times<MAX, R>(dk, t.p, t.q, n, f.h.words);
	}
}

template <int MAX, int R>
static __global__ void
__launch_bounds__(ATTN_THREADS, 1) attention_dkv(const struct backward f)
{
	extern __shared__ float4 smem[];
	const int64_t at = blockIdx.x, g = at / f.tiles % f.a.G;
	const int j0 = (int)(at % f.tiles) * (16 * R);
	const int kind = (int)(at / f.tiles / f.a.G % f.kinds);
	const int64_t s = at / f.tiles / f.a.G / f.kinds, first = kind == 0 ? s + 1 : s;
	const int ty = threadIdx.x / 16;
	struct attn_range keys;
	struct viewers w;
	struct tiles t;
	float2 dk[R][MAX / 32], dv[R][MAX / 32];

	keys = kind == 0 ? attn_own(f.a, s) : attn_prefix(f.a, s);
	if (j0 >= keys.n || (kind == 1 && !begins_family(f.a, s, keys)))
		return;
	t.p = reinterpret_cast<float *>(smem);
	t.lse2 = t.p + 16 * R * ATTN_LDP;
	t.delta = t.lse2 + ATTN_COLS;
	t.k = reinterpret_cast<unsigned *>(t.delta + ATTN_COLS);
	t.v = t.k + 16 * R * (MAX / 2 + 1);
	t.q = t.v + 16 * R * (MAX / 2 + 1);
	t.dout = t.q + ATTN_COLS * (MAX / 2 + 1);
	attn_clear<MAX, R>(dk);
	attn_clear<MAX, R>(dv);
	attn_load<MAX>(
	    t.k, 16 * R, keys.n - j0, attn_keys(f.k + g * f.h.D, f.a.ldk, keys.at + j0), f.h);
	attn_load<MAX>(
	    t.v, 16 * R, keys.n - j0, attn_keys(f.v + g * f.h.D, f.a.ldv, keys.at + j0), f.h);
	w.own = false;
	w.q0 = w.gap = 0;
	if (kind == 0) { /* the owner's queries, from the first that sees j0 */
		w.q0 = f.a.q_at[s];
		w.end = f.a.q_at[s + 1];
		w.own = f.a.causal;
		w.gap = keys.n - (w.end - w.q0);
		w.row = w.q0;
		if (w.own && j0 > w.gap)
			w.row += j0 - w.gap;
		meet<MAX, R>(f, t, w, g, j0, dk, dv);
	}
	w.own = false;
	w.row = f.a.q_at[first < f.a.S ? first : f.a.S];
	w.end = f.a.q_at[family_end(f.a, first, keys)];
	meet<MAX, R>(f, t, w, g, j0, dk, dv);
#pragma unroll
	for (int i = 0; i < R; i++) {
		int j = j0 + ty * R + i;
		int64_t row = keys.at + j;

		if (j >= keys.n)
			continue;
		attn_store<MAX>(f.dk + row * f.a.ldk + g * f.h.D, dk[i], f.a.scale, f.h);
		attn_store<MAX>(f.dv + row * f.a.ldv + g * f.h.D, dv[i], 1, f.h);
	}
}

/* ---- the op ------------------------------------------------------------- */

/* R: wide heads leave registers for half the rows. */
#define BWD_ROWS(MAX) ((MAX) > 128 ? 2 : 4)
#define BWD_Q(MAX, unused) \
	do { \
		const int rows = 16 * BWD_ROWS(MAX); \
		const size_t bytes = (size_t)(rows * ATTN_LDP) * sizeof(float) + \
				     attn_tile_bytes(2 * rows + 2 * ATTN_COLS, MAX); \
\
		f.tiles = cuda_div_up((int64_t)a->max_q * f.h.hg, rows); \
		if (CUDA_SMEM(s, (attention_dq<MAX, BWD_ROWS(MAX)>), bytes)) \
			CUDA_LAUNCH(s, (attention_dq<MAX, BWD_ROWS(MAX)>), \
			    cuda_blocks((int64_t)a->S * a->G * f.tiles, 1), ATTN_THREADS, bytes, \
			    f); \
	} while (0)

#define BWD_KV(MAX, unused) \
	do { \
		const int rows = 16 * BWD_ROWS(MAX); \
		const size_t bytes = (size_t)(rows * ATTN_LDP + 2 * ATTN_COLS) * sizeof(float) + \
				     attn_tile_bytes(2 * rows + 2 * ATTN_COLS, MAX); \
\
		f.tiles = cuda_div_up(a->max_k, rows); \
		if (CUDA_SMEM(s, (attention_dkv<MAX, BWD_ROWS(MAX)>), bytes)) \
			CUDA_LAUNCH(s, (attention_dkv<MAX, BWD_ROWS(MAX)>), \
			    cuda_blocks((int64_t)a->S *f.kinds * a->G * f.tiles, 1), ATTN_THREADS, \
			    bytes, f); \
	} while (0)

static bool
all_vec(const struct backward *f)
{
	const struct gvk_attn *a = &f->a;

	return cuda_vec8(f->q, a->ldq) && cuda_vec8(f->k, a->ldk) && cuda_vec8(f->v, a->ldv) &&
	       cuda_vec8(f->dq, a->ldq) && cuda_vec8(f->dk, a->ldk) && cuda_vec8(f->dv, a->ldv) &&
	       cuda_vec8(f->dout, a->ldo);
}

void
gvk_cuda_attention_bwd(struct gvk_stream *s, void *dq, void *dk, void *dv, const void *dout,
    const void *o, const float *lse, const void *q, const void *k, const void *v,
    const struct gvk_attn *a, void *ws)
{
	struct backward f;

	assert(a->S >= 0 && a->G > 0 && a->H % a->G == 0);
	assert(a->D > 0 && a->D <= 256);
	cuda_of(s);
	if (a->S == 0)
		return;
	if (cuda_attention_bwd_wgmma(s, (bf16 *)dq, (bf16 *)dk, (bf16 *)dv, (const bf16 *)dout,
		(const bf16 *)o, lse, (const bf16 *)q, (const bf16 *)k, (const bf16 *)v, a, ws))
		return;
	f.dq = (bf16 *)dq;
	f.dk = (bf16 *)dk;
	f.dv = (bf16 *)dv;
	f.dout = (const bf16 *)dout;
	f.q = (const bf16 *)q;
	f.k = (const bf16 *)k;
	f.v = (const bf16 *)v;
	f.lse = lse;
	f.delta = (float *)ws;
	f.a = *a;
	f.h = attn_shape(a, all_vec(&f));
	f.kinds = a->p_len ? 2 : 1;
	f.scale2 = a->scale * ATTN_LOG2E;
	if (a->max_q > 0)
		ATTN_FOR_WIDTH(a->D, BWD_Q, 0);
	if (a->max_k > 0)
		ATTN_FOR_WIDTH(a->D, BWD_KV, 0);
}
