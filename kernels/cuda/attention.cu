/* Attention forward: a block holds a tile of (query row, head) pairs, tiles of
 * 64 keys stream past it, and the softmax runs along (online).
 *
 *	block = (sequence, key/value head, 16 R pairs)
 *	shared: Q (16R,D), K (64,D), V (64,D) bf16, P (16R,64) F32
 *	a tile of keys: S = Q K^T -> row maxima -> P = exp -> O += P V
 *
 * Bound by the FMA units, 4 D FLOP a pair and key it sees, of which a tenth of
 * the tensor cores' rate is the most; R = 4, or 1 for decoding, where a
 * sequence has few pairs and reading K and V, 4D bytes a key, is the bound.
 *
 * The running sum stays a thread's own until the end; the maximum is the
 * row's, over the half warp.  P stays F32, so o is rounded once.
 *
 * This is the way that takes everything; attention_ways.cuh lists the faster
 * ones.  Next rung: mma.sync on bf16 tiles with P in registers, for sm_80.
 */
#include "attention.cuh"
#include "attention_ways.cuh"

struct forward {
	bf16 *o;
	float *lse; /* or NULL */
	const bf16 *q, *k, *v;
	struct gvk_attn a;
	struct attn_shape h;
	int64_t tiles; /* of a sequence and key head */
	float scale2; /* scale in powers of two */
};

/* The block's place. */
struct place {
	int64_t s, g;
	int first, n; /* pairs first..first + n - 1 of the sequence and group */
	int q0, nq;
};

/* Scores of keys j..j+63 become exp2(score - max); max and the thread's sum
 * move along, and what has been summed before is rescaled. */
template <int MAX, int R>
static __device__ __forceinline__ void
softmax(float (&sc)[R][4], float (&max)[R], float (&sum)[R], float2 (&acc)[R][MAX / 32],
    const int (&seen)[R], int j, float scale2)
{
	const int tx = threadIdx.x % 16;

#pragma unroll
	for (int i = 0; i < R; i++) {
		float m = max[i], base, f;

#pragma unroll
		for (int c = 0; c < 4; c++) {
			bool in = j + tx + 16 * c < seen[i];

			sc[i][c] = in ? sc[i][c] * scale2 : -INFINITY;
			m = fmaxf(m, sc[i][c]);
		}
#pragma unroll
		for (int x = 8; x > 0; x >>= 1)
			m = fmaxf(m, __shfl_xor_sync(CUDA_ALL, m, x));
		base = m > -INFINITY ? m : 0.f; /* nothing seen: exp2 = 0 */
		f = exp2f(max[i] - base);
		max[i] = m;
		sum[i] *= f;
#pragma unroll
		for (int c = 0; c < 4; c++) {
			sc[i][c] = exp2f(sc[i][c] - base);
			sum[i] += sc[i][c];
		}
#pragma unroll
		for (int c = 0; c < MAX / 32; c++) {
			acc[i][c].x *= f;
			acc[i][c].y *= f;
		}
	}
}

template <int MAX, int R>
static __device__ __forceinline__ void
store_rows(const struct forward &f, const struct place &b, const float (&max)[R],
    const float (&sum)[R], const float2 (&acc)[R][MAX / 32])
{
	const int tx = threadIdx.x % 16, ty = threadIdx.x / 16;

#pragma unroll
	for (int i = 0; i < R; i++) {
		int pair = b.first + ty * R + i;
		int64_t row = b.q0 + pair / f.h.hg, head = b.g * f.h.hg + pair % f.h.hg;
		float l = sum[i];
		float2 none[MAX / 32] = {};

#pragma unroll
		for (int x = 8; x > 0; x >>= 1)
			l += __shfl_xor_sync(CUDA_ALL, l, x);
		if (ty * R + i >= b.n)
			continue;
		if (l == 0)
			attn_store<MAX>(f.o + row * f.a.ldo + head * f.h.D, none, 0, f.h);
		else
			attn_store<MAX>(f.o + row * f.a.ldo + head * f.h.D, acc[i], 1 / l, f.h);
		if (f.lse && tx == 0)
			f.lse[row * f.a.H + head] =
			    l == 0 ? -INFINITY : (max[i] + log2f(l)) * (1 / ATTN_LOG2E);
	}
}

template <int MAX, int R>
static __global__ void
__launch_bounds__(ATTN_THREADS, 1) attention(const struct forward f)
{
	extern __shared__ float4 smem[];
	float *p = reinterpret_cast<float *>(smem);
	unsigned *q = reinterpret_cast<unsigned *>(p + 16 * R * ATTN_LDP);
	unsigned *k = q + 16 * R * (MAX / 2 + 1), *v = k + ATTN_COLS * (MAX / 2 + 1);
	const int ty = threadIdx.x / 16;
	int64_t at = blockIdx.x;
	struct place b;
	float sc[R][4], max[R], sum[R];
	float2 acc[R][MAX / 32];

	b.first = (int)(at % f.tiles) * (16 * R);
	at /= f.tiles;
	b.g = at % f.a.G;
	b.s = at / f.a.G;
	b.q0 = f.a.q_at[b.s];
	b.nq = f.a.q_at[b.s + 1] - b.q0;
	b.n = b.nq * f.h.hg - b.first;
	if (b.n <= 0)
		return;
	b.n = b.n < 16 * R ? b.n : 16 * R;
	attn_clear<MAX, R>(acc);
#pragma unroll
	for (int i = 0; i < R; i++) {
		max[i] = -INFINITY;
		sum[i] = 0;
	}
	attn_load<MAX>(q, 16 * R, b.n,
	    attn_pairs(f.q + b.g * f.h.hg * f.h.D, f.a.ldq, b.q0, b.first, f.h.hg), f.h);
	for (int part = 0; part < 2; part++) { /* the prefix, own keys */
		const bool own = part == 1;
		const struct attn_range keys = own ? attn_own(f.a, b.s) : attn_prefix(f.a, b.s);
		const bool causal = own && f.a.causal;
		const int last = (b.first + b.n - 1) / f.h.hg;
		const int end = attn_seen(causal, last, b.nq, keys.n);
		int seen[R];

#pragma unroll
		for (int i = 0; i < R; i++) {
			int row = (b.first + ty * R + i) / f.h.hg;

			seen[i] = attn_seen(causal, row < last ? row : last, b.nq, keys.n);
		}
		for (int j = 0; j < end; j += ATTN_COLS) {
			const int left = end - j;

			__syncthreads(); /* k and v have been read */
			attn_load<MAX>(k, ATTN_COLS, left,
			    attn_keys(f.k + b.g * f.h.D, f.a.ldk, keys.at + j), f.h);
			attn_load<MAX>(v, ATTN_COLS, left,
			    attn_keys(f.v + b.g * f.h.D, f.a.ldv, keys.at + j), f.h);
			__syncthreads();
			attn_scores<MAX, R>(sc, q, k, f.h.words);
			softmax<MAX, R>(sc, max, sum, acc, seen, j, f.scale2);
			attn_put<R>(p, sc);
			attn_times<MAX, R>(
			    acc, p, v, left < ATTN_COLS ? left : ATTN_COLS, f.h.words);
		}
	}
	store_rows<MAX, R>(f, b, max, sum, acc);
}

#define FORWARD(MAX, R) \
	do { \
		const size_t bytes = 16 * (R)*ATTN_LDP * sizeof(float) + \
				     attn_tile_bytes(16 * (R) + 2 * ATTN_COLS, MAX); \
\
		f.tiles = cuda_div_up((int64_t)a->max_q * f.h.hg, 16 * (R)); \
		if (CUDA_SMEM(s, (attention<MAX, R>), bytes)) \
			CUDA_LAUNCH(s, (attention<MAX, R>), \
			    cuda_blocks((int64_t)a->S * a->G * f.tiles, 1), ATTN_THREADS, bytes, \
			    f); \
	} while (0)

void
gvk_cuda_attention(struct gvk_stream *s, void *o, float *lse, const void *q, const void *k,
    const void *v, const struct gvk_attn *a)
{
	struct forward f;

	assert(a->S >= 0 && a->G > 0 && a->H % a->G == 0);
	assert(a->D > 0 && a->D <= 256);
	cuda_of(s);
	if (a->S == 0 || a->max_q <= 0)
		return;
	f.o = (bf16 *)o;
	f.lse = lse;
	f.q = (const bf16 *)q;
	f.k = (const bf16 *)k;
	f.v = (const bf16 *)v;
	if (cuda_attention_few(s, f.o, lse, f.q, f.k, f.v, a) ||
	    cuda_attention_wgmma(s, f.o, lse, f.q, f.k, f.v, a))
		return;
	f.a = *a;
	f.h = attn_shape(a, cuda_vec8(q, a->ldq) && cuda_vec8(k, a->ldk) && cuda_vec8(v, a->ldv) &&
				cuda_vec8(o, a->ldo));
	f.scale2 = a->scale * ATTN_LOG2E;
	if ((int64_t)a->max_q * f.h.hg <= 16)
		ATTN_FOR_WIDTH(a->D, FORWARD, 1);
	else
		ATTN_FOR_WIDTH(a->D, FORWARD, 4);
}
