/* What forward and backward of attention share: tiles of rows in shared
 * memory, products of tiles, and which rows see which keys.
 *
 * A "pair" is (query row, head of the group), numbered row by row, so that
 * the heads that share a key/value head share its tile.
 *
 * A block is 16 x 16 threads, ty = thread / 16 and tx = thread % 16; a warp
 * holds two ty.  In a product of tiles, thread (ty,tx) makes the elements
 *	rows ty R .. ty R + R-1		columns tx, tx + 16, tx + 32, tx + 48
 * of a score tile (16R x 64), and of a result (16R x D), rows alike,
 *	column pairs tx, tx + 16, ...	(pair c: columns 2c and 2c + 1).
 * So a row of scores belongs to one half of a warp, which reduces it by
 * shuffles, and writes and reads it in shared memory without a block barrier.
 *
 * Tiles are bf16 in pairs ("words"), rows MAX/2 + 1 words apart: 16 rows that
 * are read at once lie in 16 banks.
 */
#ifndef GVK_CUDA_ATTENTION_CUH
#define GVK_CUDA_ATTENTION_CUH

#include "cuda.h"

#define ATTN_THREADS 256
#define ATTN_COLS 64	   /* columns of a score tile */
#define ATTN_LDP (64 + 4)  /* floats: its row stride, 16-byte aligned */
#define ATTN_LOG2E 1.4426950408889634f

/* Sequence-wide numbers that every tile function needs. */
struct attn_shape {
	int D;	   /* head width */
	int words; /* (D + 1) / 2 */
	int full;  /* words up to the next multiple of 16: what tiles hold */
	int hg;	   /* query heads a key/value head */
	bool vec;  /* rows can be read 16 bytes at a time */
};

/* A run of pairs: its first pair is the head `head` (0..hg-1) of the row at x,
 * where the group's first head lies.  For keys and values hg is 1. */
struct attn_pairs {
	const bf16 *x;
	int64_t ld;
	int head, hg;
};

static __device__ __forceinline__ struct attn_pairs
attn_pairs(const bf16 *x, int64_t ld, int64_t row, int64_t first, int hg)
{
	return {x + (row + first / hg) * ld, ld, (int)(first % hg), hg};
}

static __device__ __forceinline__ struct attn_pairs
attn_keys(const bf16 *x, int64_t ld, int64_t row)
{
	return {x + row * ld, ld, 0, 1};
}

static __device__ __forceinline__ float2
attn_two(unsigned w)
{
	return make_float2(__uint_as_float(w << 16), __uint_as_float(w & 0xffff0000u));
}

static __device__ __forceinline__ unsigned
attn_word(const bf16 *x, int at, int end)
{
	unsigned lo = at < end ? __bfloat16_as_ushort(x[at]) : 0u;
	unsigned hi = at + 1 < end ? __bfloat16_as_ushort(x[at + 1]) : 0u;

	return hi << 16 | lo;
}

/* `rows` rows of a tile from a run of pairs, of which `there` are there, the
 * others cleared. */
template <int MAX>
static __device__ __forceinline__ void
attn_load(unsigned *tile, int rows, int64_t there, const struct attn_pairs p,
    const struct attn_shape &h)
{
	const int step = h.vec ? 4 : 1, units = h.full / step;

	for (int i = threadIdx.x; i < rows * units; i += ATTN_THREADS) {
		int r = i / units, w = (i - r * units) * step;
		unsigned *to = tile + r * (MAX / 2 + 1) + w;
		bool in = r < there && 2 * w < h.D;
		int pair = in ? p.head + r : 0, row = p.hg == 1 ? pair : pair / p.hg;
		const bf16 *from = p.x + row * p.ld + (pair - row * p.hg) * h.D;

		if (h.vec) {
			uint4 v = make_uint4(0, 0, 0, 0);

			if (in)
				v = *reinterpret_cast<const uint4 *>(from + 2 * w);
			to[0] = v.x;
			to[1] = v.y;
			to[2] = v.z;
			to[3] = v.w;
		} else {
			to[0] = in ? attn_word(from, 2 * w, h.D) : 0u;
		}
	}
}

/* sc[i][j] = row ty R + i of a, times row tx + 16 j of b. */
template <int MAX, int R>
static __device__ __forceinline__ void
attn_scores(float (&sc)[R][4], const unsigned *a, const unsigned *b, int words)
{
	const int tx = threadIdx.x % 16, ty = threadIdx.x / 16, W = MAX / 2 + 1;

	a += ty * R * W;
	b += tx * W;
#pragma unroll
	for (int i = 0; i < R; i++)
#pragma unroll
		for (int j = 0; j < 4; j++)
			sc[i][j] = 0;
#pragma unroll 4
	for (int w = 0; w < words; w++) {
		float2 x[R], y[4];

#pragma unroll
		for (int i = 0; i < R; i++)
			x[i] = attn_two(a[i * W + w]);
#pragma unroll
		for (int j = 0; j < 4; j++)
			y[j] = attn_two(b[j * 16 * W + w]);
#pragma unroll
		for (int i = 0; i < R; i++)
#pragma unroll
			for (int j = 0; j < 4; j++)
				sc[i][j] += x[i].x * y[j].x + x[i].y * y[j].y;
	}
}

/* The thread's part of a score tile goes to shared memory, for its half warp:
 * the call stands between two uses of p by attn_times(). */
template <int R>
static __device__ __forceinline__ void
attn_put(float *p, const float (&sc)[R][4])
{
	const int tx = threadIdx.x % 16, ty = threadIdx.x / 16;

	__syncwarp(); /* p has been read */
#pragma unroll
	for (int i = 0; i < R; i++)
#pragma unroll
		for (int j = 0; j < 4; j++)
			p[(ty * R + i) * ATTN_LDP + tx + 16 * j] = sc[i][j];
	__syncwarp();
}

/* acc += p b over n columns of p, rounded up to four, = rows of b (both zero
 * from n on).  Column pairs behind the width are not summed. */
template <int MAX, int R>
static __device__ __forceinline__ void
attn_times(float2 (&acc)[R][MAX / 32], const float *p, const unsigned *b, int n, int words)
{
	const int tx = threadIdx.x % 16, ty = threadIdx.x / 16, W = MAX / 2 + 1;

	p += ty * R * ATTN_LDP;
	b += tx;
	for (int k = 0; k < n; k += 4) {
		float4 x[R];

#pragma unroll
		for (int i = 0; i < R; i++)
			x[i] = *reinterpret_cast<const float4 *>(p + i * ATTN_LDP + k);
#pragma unroll
		for (int t = 0; t < 4; t++)
#pragma unroll
			for (int j = 0; j < MAX / 32; j++) {
				float2 y;

				if (16 * j >= words)
					continue;
				y = attn_two(b[(k + t) * W + 16 * j]);
#pragma unroll
				for (int i = 0; i < R; i++) {
					float f = t == 0 ? x[i].x
					    : t == 1	 ? x[i].y
					    : t == 2	 ? x[i].z
							 : x[i].w;

					acc[i][j].x += f * y.x;
					acc[i][j].y += f * y.y;
				}
			}
	}
}

template <int MAX, int R>
static __device__ __forceinline__ void
attn_clear(float2 (&acc)[R][MAX / 32])
{
#pragma unroll
	for (int i = 0; i < R; i++)
#pragma unroll
		for (int j = 0; j < MAX / 32; j++)
			acc[i][j] = make_float2(0, 0);
}

/* acc[j] times f becomes the row at `to`, D wide. */
template <int MAX>
static __device__ __forceinline__ void
attn_store(bf16 *to, const float2 (&acc)[MAX / 32], float f, const struct attn_shape &h)
{
	const int tx = threadIdx.x % 16;

#pragma unroll
	for (int j = 0; j < MAX / 32; j++) {
		int d = 2 * (tx + 16 * j);

		if (d >= h.D)
			continue;
		if (h.vec) {
			*reinterpret_cast<unsigned *>(to + d) =
			    pack2(acc[j].x * f, acc[j].y * f);
			continue;
		}
		to[d] = to_b(acc[j].x * f);
		if (d + 1 < h.D)
			to[d + 1] = to_b(acc[j].y * f);
	}
}

/* Key rows [at, at + n). */
struct attn_range {
	int at, n;
};

static __device__ __forceinline__ struct attn_range
attn_own(const struct gvk_attn &a, int64_t s)
{
	return {a.k_at[s], a.k_len[s]};
}

static __device__ __forceinline__ struct attn_range
attn_prefix(const struct gvk_attn &a, int64_t s)
{
	if (!a.p_len || a.p_len[s] <= 0)
		return {0, 0};
	return {a.p_at[s], a.p_len[s]};
}

static __device__ __forceinline__ bool
attn_same(struct attn_range x, struct attn_range y)
{
	return x.n == y.n && (x.n == 0 || x.at == y.at);
}

/* The own keys that query i (0..nq-1) of a sequence sees: the first ones. */
static __device__ __forceinline__ int
attn_seen(bool causal, int i, int nq, int n)
{
	int seen = causal ? i + n - nq + 1 : n;

	return seen < 0 ? 0 : seen < n ? seen : n;
}

static inline struct attn_shape
attn_shape(const struct gvk_attn *a, bool vec)
{
	struct attn_shape h;

	h.D = a->D;
	h.words = (a->D + 1) / 2;
	h.full = (h.words + 15) / 16 * 16;
	h.hg = a->H / a->G;
	h.vec = vec && a->D % 8 == 0;
	return h;
}

static inline size_t
attn_tile_bytes(int rows, int max)
{
	return (size_t)rows * (size_t)(max / 2 + 1) * sizeof(unsigned);
}

/* Calls f(MAX, ...) with the smallest MAX that holds a head of width D. */
#define ATTN_FOR_WIDTH(D, f, ...) \
	do { \
		if ((D) <= 32) \
			f(32, __VA_ARGS__); \
		else if ((D) <= 64) \
			f(64, __VA_ARGS__); \
		else if ((D) <= 128) \
			f(128, __VA_ARGS__); \
		else \
			f(256, __VA_ARGS__); \
	} while (0)

#endif
