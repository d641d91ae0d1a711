/* The two norms, LayerNorm (CENTER) and RMSNorm, in one text.
 *
 *	a group of T threads, R rows, the rows in registers:
 *	row n    |8|8|8| ... |8|	thread t: chunks t, t + T, ... (K)
 *	row n+1  |8|8|8| ... |8|	sums: warps, then the group's warps in
 *	 ...				order through shared memory
 *
 * Loads of all R rows are issued before the first is used, which is what fills
 * the memory pipes; each operand crosses memory once.  Statistics and y are of
 * the exact x + r, not of what h keeps of it.  The order of a row's sums
 * depends on C only, so a row has the same bits in any batch.
 *
 * Backward, a group walks its part of the rows and sums the parameters' terms
 * of its columns in registers; a second launch adds the parts (colsum.cu).
 * How many parts there are depends on the shape only.
 *
 * Rows that are not aligned to 16 bytes, or longer than NORM_MOST, take a
 * block a row and read it once a pass, out of the first-level cache.
 */
#ifndef GVK_CUDA_NORM_CUH
#define GVK_CUDA_NORM_CUH

#include "colsum.cuh"

#define NORM_THREADS 256 /* of a block, at most */
#define NORM_WARPS   (NORM_THREADS / CUDA_WARP)
#define NORM_MOST    (8 * 4 * NORM_THREADS) /* columns in registers */

struct norm {
	bf16 *y, *h;
	float *mean, *rstd;
	const bf16 *x, *r, *w, *b;
	float eps, share; /* 1/C */
	int64_t N, C;
};

struct norm_bwd {
	bf16 *dh, *y; /* dh may be dres */
	float *part;
	const bf16 *dy, *dres, *h, *w;
	const float *mean, *rstd;
	float share; /* 1/C */
	int64_t N, C;
	int64_t parts;
};

/* How rows lie on threads: blockDim is (a row's threads, groups). */
struct norm_shape {
	int chunks; /* a thread, K */
	unsigned threads, groups;
};

static inline struct norm_shape
norm_shape(int64_t C)
{
	struct norm_shape s;

	s.chunks = C <= 8 * NORM_THREADS ? 1 : C <= 16 * NORM_THREADS ? 2 : 4;
	s.threads = (unsigned)cuda_div_up(C, 8 * 32 * s.chunks) * 32;
	s.groups = s.threads < 128 ? 128 / s.threads : 1;
	return s;
}

/* Eight floats of packed storage. */
static __device__ __forceinline__ void
unpack8(float f[8], const uint4 &u)
{
	load8(f, reinterpret_cast<const bf16 *>(&u));
}

/* The thread's chunk k of a row; zeros if the row is NULL or ends before. */
static __device__ __forceinline__ uint4
norm_chunk(const bf16 *row, int64_t C, int k)
{
	int64_t c = 8 * (threadIdx.x + k * blockDim.x);

	if (!row || c >= C)
		return make_uint4(0, 0, 0, 0);
	return *reinterpret_cast<const uint4 *>(row + c);
}

static __device__ __forceinline__ void
norm_store(float *to, const float f[8])
{
	reinterpret_cast<float4 *>(to)[0] = make_float4(f[0], f[1], f[2], f[3]);
	reinterpret_cast<float4 *>(to)[1] = make_float4(f[4], f[5], f[6], f[7]);
}

/* Sums R values over a group of blockDim.x threads; shared (NORM_WARPS, R) must
 * not be in use from a call before the last one. */
template <int R>
static __device__ __forceinline__ void
group_sum(float sum[R], float (*shared)[R])
{
	int warps = blockDim.x / CUDA_WARP, warp = threadIdx.x / CUDA_WARP;

#pragma unroll
	for (int i = 0; i < R; i++)
		sum[i] = warp_sum(sum[i]);
	if (warps == 1)
		return;
	shared += threadIdx.y * warps;
	if (threadIdx.x % CUDA_WARP == 0)
#pragma unroll
		for (int i = 0; i < R; i++)
			shared[warp][i] = sum[i];
	__syncthreads();
#pragma unroll
	for (int i = 0; i < R; i++)
		sum[i] = shared[0][i];
	constexpr int ahead = R == 1 ? NORM_WARPS : 1; /* spare registers */
#pragma unroll ahead
	for (int w = 1; w < NORM_WARPS; w++)
		if (w < warps)
#pragma unroll
			for (int i = 0; i < R; i++)
				sum[i] += shared[w][i];
}

/* ---- forward ------------------------------------------------------------ */

/* v = x + r of R rows from row n on, K chunks of each, zeros outside.  With r,
 * h is written. */
template <int R, int K>
static __device__ __forceinline__ void
norm_load(float v[R][K][8], const struct norm &a, int64_t n)
{
	uint4 x[R][K], r[R][K];

#pragma unroll
	for (int i = 0; i < R; i++)
#pragma unroll
		for (int k = 0; k < K; k++) {
			int64_t at = (n + i) * a.C;
			bool in = n + i < a.N;

			x[i][k] = norm_chunk(in ? a.x + at : NULL, a.C, k);
			r[i][k] = norm_chunk(in && a.r ? a.r + at : NULL, a.C, k);
		}
#pragma unroll
	for (int i = 0; i < R; i++)
#pragma unroll
		for (int k = 0; k < K; k++) {
			int64_t c = 8 * (threadIdx.x + k * blockDim.x);
			float f[8];

			unpack8(v[i][k], x[i][k]);
			if (!a.r)
				continue;
			unpack8(f, r[i][k]);
#pragma unroll
			for (int j = 0; j < 8; j++)
				v[i][k][j] += f[j];
			if (n + i < a.N && c < a.C)
				store8(a.h + (n + i) * a.C + c, v[i][k]);
		}
}

/* v -= mean (CENTER) and rstd of R rows in registers. */
template <bool CENTER, int R, int K>
static __device__ __forceinline__ void
norm_statistics(float mean[R], float rstd[R], float v[R][K][8], const struct norm &a)
{
	__shared__ float shared[2][NORM_WARPS][R];

#pragma unroll
	for (int i = 0; i < R && CENTER; i++) {
		mean[i] = 0;
#pragma unroll
		for (int k = 0; k < K; k++)
#pragma unroll
			for (int j = 0; j < 8; j++)
				mean[i] += v[i][k][j];
	}
	if constexpr (CENTER)
		group_sum<R>(mean, shared[0]);
#pragma unroll
	for (int i = 0; i < R; i++) {
		mean[i] = CENTER ? mean[i] * a.share : 0;
		rstd[i] = 0;
#pragma unroll
		for (int k = 0; k < K; k++) {
			bool in = 8 * (threadIdx.x + k * blockDim.x) < a.C;

#pragma unroll
			for (int j = 0; j < 8; j++) {
				if (CENTER)
					v[i][k][j] -= in ? mean[i] : 0;
				rstd[i] += v[i][k][j] * v[i][k][j];
			}
		}
	}
	group_sum<R>(rstd, shared[1]);
#pragma unroll
	for (int i = 0; i < R; i++)
		rstd[i] = rsqrtf(rstd[i] * a.share + a.eps);
}

template <bool CENTER, int R, int K>
static __global__ void
__launch_bounds__(NORM_THREADS) norm_kernel(struct norm a)
{
	int64_t n = ((int64_t)blockIdx.x * blockDim.y + threadIdx.y) * R;
	float v[R][K][8], mean[R], rstd[R];
	uint4 w_raw[K], b_raw[K];

#pragma unroll
	for (int k = 0; k < K; k++) {
		w_raw[k] = norm_chunk(a.w, a.C, k);
		b_raw[k] = norm_chunk(CENTER ? a.b : NULL, a.C, k);
	}
	cuda_follow();
	norm_load<R, K>(v, a, n);
	cuda_lead();
	norm_statistics<CENTER, R, K>(mean, rstd, v, a);
#pragma unroll
	for (int k = 0; k < K; k++) {
		int64_t c = 8 * (threadIdx.x + k * blockDim.x);
		float w[8], b[8];

		if (c >= a.C)
			continue;
		unpack8(w, w_raw[k]);
		unpack8(b, b_raw[k]);
#pragma unroll
		for (int i = 0; i < R; i++) {
			if (n + i >= a.N)
				continue;
#pragma unroll
			for (int j = 0; j < 8; j++) {
				v[i][k][j] *= rstd[i];
				v[i][k][j] = CENTER ? v[i][k][j] * w[j] + b[j] : v[i][k][j] * w[j];
			}
			store8(a.y + (n + i) * a.C + c, v[i][k]);
		}
	}
#pragma unroll
	for (int i = 0; i < R; i++) {
		if (threadIdx.x > 0 || n + i >= a.N)
			continue;
		if (CENTER && a.mean)
			a.mean[n + i] = mean[i];
		if (a.rstd)
			a.rstd[n + i] = rstd[i];
	}
}

/* The same for any C and alignment, a block a row. */
template <bool CENTER>
static __global__ void
__launch_bounds__(NORM_THREADS) norm_any_kernel(struct norm a)
{
	__shared__ float shared[32];
	int64_t n = blockIdx.x, at = n * a.C;
	float sum = 0, mean = 0, rstd;

	auto value = [&](int64_t c) { return to_f(a.x[at + c]) + (a.r ? to_f(a.r[at + c]) : 0); };

	cuda_follow();
	if constexpr (CENTER) {
		for (int64_t c = threadIdx.x; c < a.C; c += blockDim.x)
			sum += value(c);
		mean = block_sum(sum, shared) * a.share;
		sum = 0;
	}
	for (int64_t c = threadIdx.x; c < a.C; c += blockDim.x)
		sum += (value(c) - mean) * (value(c) - mean);
	rstd = rsqrtf(block_sum(sum, shared) * a.share + a.eps);
	for (int64_t c = threadIdx.x; c < a.C; c += blockDim.x) {
		float v = value(c), y = (v - mean) * rstd * to_f(a.w[c]);

		if (a.r)
			a.h[at + c] = to_b(v);
		a.y[at + c] = to_b(CENTER ? y + to_f(a.b[c]) : y);
	}
	if (threadIdx.x > 0)
		return;
	if (CENTER && a.mean)
		a.mean[n] = mean;
	if (a.rstd)
		a.rstd[n] = rstd;
}

template <bool CENTER, int R, int K>
static void
norm_launch(struct gvk_stream *s, const struct norm *a, const struct norm_shape *p)
{
	CUDA_LAUNCH_SOON(s, (norm_kernel<CENTER, R, K>), cuda_blocks(a->N, R * p->groups),
	    dim3(p->threads, p->groups), 0, *a);
}

/* Few rows are spread over more threads: there it is latency that counts. */
#define NORM_FEW 2048

template <bool CENTER>
static void
norm_forward(struct gvk_stream *s, const struct norm *a)
{
	struct norm_shape p = norm_shape(a->C);
	bool few = a->N <= NORM_FEW;

	if (a->N <= 0)
		return;
	cuda_of(s);
	if (a->C > NORM_MOST || !cuda_vec8(a->y, a->C) || (a->r && !cuda_vec8(a->h, a->C)) ||
	    !cuda_vec8(a->x, a->C) || !cuda_vec8(a->r, a->C) || !cuda_vec8(a->w, a->C) ||
	    !cuda_vec8(a->b, a->C))
		CUDA_LAUNCH_SOON(
		    s, norm_any_kernel<CENTER>, cuda_blocks(a->N, 1), NORM_THREADS, 0, *a);
	else if (p.chunks == 1 && few)
		norm_launch<CENTER, 1, 1>(s, a, &p);
	else if (p.chunks == 1)
		norm_launch<CENTER, 4, 1>(s, a, &p);
	else if (p.chunks == 2)
		norm_launch<CENTER, 2, 2>(s, a, &p);
	else
		norm_launch<CENTER, 1, 4>(s, a, &p);
}

/* ---- backward ----------------------------------------------------------- */

/* With z = (h - mean) rstd and g = dy w, the gradient through the norm is
 *	rstd (g - mean g - z mean(g z))
 * where RMSNorm has neither mean; dw is the sum of dy z over rows, db that of
 * dy, which is summed where dw is.  PARAMS: whether they are wanted. */

/* What a thread holds of R rows. */
template <int R, int K> struct norm_rows {
	uint4 dy[R][K], h[R][K], dres[R][K];
	float mean[R], rstd[R];
};

template <bool CENTER, int R, int K>
static __device__ __forceinline__ void
norm_bwd_load(struct norm_rows<R, K> &q, const struct norm_bwd &a, int64_t n)
{
#pragma unroll
	for (int i = 0; i < R; i++) {
		bool in = n + i < a.N;

		q.mean[i] = CENTER && in ? a.mean[n + i] : 0;
		q.rstd[i] = in ? a.rstd[n + i] : 0;
#pragma unroll
		for (int k = 0; k < K; k++) {
			int64_t at = (n + i) * a.C;

			q.dy[i][k] = norm_chunk(in ? a.dy + at : NULL, a.C, k);
			q.h[i][k] = norm_chunk(in ? a.h + at : NULL, a.C, k);
			q.dres[i][k] = norm_chunk(in && a.dres ? a.dres + at : NULL, a.C, k);
		}
	}
}

/* The sums of a thread's columns: of each row g and g z, of all rows dy z and
 * dy.  sum[0..R-1] are those of g z. */
template <bool CENTER, int R, int K, bool PARAMS, int S>
static __device__ __forceinline__ void
norm_bwd_sum(
    float sum[S], float dw[K][8], float db[K][8], const struct norm_rows<R, K> &q, const uint4 w[K])
{
#pragma unroll
	for (int i = 0; i < S; i++)
		sum[i] = 0;
#pragma unroll
	for (int k = 0; k < K; k++) {
		float f[8];

		unpack8(f, w[k]);
#pragma unroll
		for (int i = 0; i < R; i++) {
			float d[8], z[8];

			unpack8(d, q.dy[i][k]);
			unpack8(z, q.h[i][k]);
#pragma unroll
			for (int j = 0; j < 8; j++) {
				z[j] = (z[j] - q.mean[i]) * q.rstd[i];
				sum[i] += d[j] * f[j] * z[j];
				if constexpr (CENTER)
					sum[R + i] += d[j] * f[j];
				if constexpr (PARAMS)
					dw[k][j] += d[j] * z[j];
				if constexpr (PARAMS && CENTER)
					db[k][j] += d[j];
			}
		}
	}
}

/* What was unpacked for the sums is to be unpacked again, not kept: that halves
 * the registers. */
template <int R, int K>
static __device__ __forceinline__ void
norm_bwd_forget(struct norm_rows<R, K> &q, uint4 w[K])
{
	auto forget = [](uint4 &u) {
		asm volatile("" : "+r"(u.x), "+r"(u.y), "+r"(u.z), "+r"(u.w));
	};

#pragma unroll
	for (int k = 0; k < K; k++) {
		forget(w[k]);
#pragma unroll
		for (int i = 0; i < R; i++) {
			forget(q.dy[i][k]);
			forget(q.h[i][k]);
		}
	}
}

template <bool CENTER, int R, int K, int S>
static __device__ __forceinline__ void
norm_bwd_store(const struct norm_bwd &a, const struct norm_rows<R, K> &q, const float sum[S],
    const uint4 w[K], int64_t n)
{
#pragma unroll
	for (int k = 0; k < K; k++) {
		int64_t c = 8 * (threadIdx.x + k * blockDim.x);
		float f[8];

		unpack8(f, w[k]);
#pragma unroll
		for (int i = 0; i < R; i++) {
			int64_t at = (n + i) * a.C + c;
			float mean_gz = sum[i] * a.share;
			float mean_g = CENTER ? sum[S - R + i] * a.share : 0;
			float d[8], z[8], dh[8];

			if (n + i >= a.N || c >= a.C)
				continue;
			unpack8(d, q.dy[i][k]);
			unpack8(z, q.h[i][k]);
			unpack8(dh, q.dres[i][k]);
#pragma unroll
			for (int j = 0; j < 8; j++) {
				z[j] = (z[j] - q.mean[i]) * q.rstd[i];
				dh[j] += q.rstd[i] * (d[j] * f[j] - mean_g - z[j] * mean_gz);
				z[j] *= f[j];
			}
			if (a.dh)
				store8(a.dh + at, dh);
			if (!CENTER && a.y)
				store8(a.y + at, z);
		}
	}
}

/* Part p takes rows p R to p R + R - 1 of each `parts` R rows, so that all
 * parts go through memory together; the next rows are on their way while the
 * present ones are worked on.  Without PARAMS a part has R rows. */
template <bool CENTER, int R, int K, bool PARAMS, int B>
static __global__ void
__launch_bounds__(NORM_THREADS, B) norm_bwd_kernel(struct norm_bwd a)
{
	constexpr int S = CENTER ? 2 * R : R;
	__shared__ float shared[2][NORM_WARPS][S];
	int64_t p = (int64_t)blockIdx.x * blockDim.y + threadIdx.y, step = a.parts * R;
	float dw[K][8] = {}, db[K][8] = {}, sum[S];
	struct norm_rows<R, K> q, next;
	int phase = 0;
	uint4 w[K];

#pragma unroll
	for (int k = 0; k < K; k++)
		w[k] = norm_chunk(a.w, a.C, k);
	cuda_follow();
	norm_bwd_load<CENTER, R, K>(q, a, p * R);
	/* All groups of a block go round together, for the barriers. */
	for (int64_t first = 0, n = p * R; first < a.N; first += step, n += step) {
		if (PARAMS)
			norm_bwd_load<CENTER, R, K>(next, a, n + step);
		norm_bwd_sum<CENTER, R, K, PARAMS, S>(sum, dw, db, q, w);
		if (a.dh || a.y) {
			group_sum<S>(sum, shared[phase ^= 1]);
			norm_bwd_forget<R, K>(q, w);
			norm_bwd_store<CENTER, R, K, S>(a, q, sum, w, n);
		}
		if (!PARAMS)
			break;
		q = next;
	}
	cuda_lead();
	if constexpr (PARAMS)
#pragma unroll
		for (int k = 0; k < K; k++) {
			int64_t c = 8 * (threadIdx.x + k * blockDim.x);
			float *to = a.part + p * a.C * (CENTER ? 2 : 1) + c;

			if (p >= a.parts || c >= a.C)
				continue;
			norm_store(to, dw[k]);
			if constexpr (CENTER)
				norm_store(to + a.C, db[k]);
		}
}

/* The same for any C and alignment, a block a row, without parameters. */
template <bool CENTER>
static __global__ void
__launch_bounds__(NORM_THREADS) norm_bwd_any_kernel(struct norm_bwd a)
{
	__shared__ float shared[32];
	int64_t n = blockIdx.x, at = n * a.C;
	float mean, rstd, sum_g = 0, sum_gz = 0;

	auto gradient = [&](int64_t c) { return to_f(a.dy[at + c]) * to_f(a.w[c]); };
	auto normal = [&](int64_t c) { return (to_f(a.h[at + c]) - mean) * rstd; };

	cuda_follow();
	mean = CENTER ? a.mean[n] : 0;
	rstd = a.rstd[n];
	for (int64_t c = threadIdx.x; c < a.C; c += blockDim.x) {
		sum_g += gradient(c);
		sum_gz += gradient(c) * normal(c);
	}
	sum_g = CENTER ? block_sum(sum_g, shared) * a.share : 0;
	sum_gz = block_sum(sum_gz, shared) * a.share;
	for (int64_t c = threadIdx.x; c < a.C; c += blockDim.x) {
		float d = a.dres ? to_f(a.dres[at + c]) : 0, z = normal(c);

		if (a.dh)
			a.dh[at + c] = to_b(d + rstd * (gradient(c) - sum_g - z * sum_gz));
		if (!CENTER && a.y)
			a.y[at + c] = to_b(z * to_f(a.w[c]));
	}
}

/* dw and db by colsum.cuh. */
template <bool CENTER> struct norm_params {
	struct item {
		float d, h, mean, rstd;
	};
	const bf16 *dy, *h;
	const float *mean, *rstd;
	int64_t C;

	__device__ __forceinline__ item load(int64_t n, int64_t c) const
	{
		return {to_f(dy[n * C + c]), to_f(h[n * C + c]), CENTER ? mean[n] : 0, rstd[n]};
	}

	__device__ __forceinline__ void add(float acc[CENTER ? 2 : 1][1], const item &q) const
	{
		acc[0][0] += q.d * ((q.h - q.mean) * q.rstd);
		if constexpr (CENTER)
			acc[1][0] += q.d;
	}
};

/* Returns how many parts the scratch holds then, if `params`. */
template <bool CENTER>
static int64_t
norm_bwd_any(struct gvk_stream *s, const struct norm_bwd *a, bool params)
{
	constexpr int sums = CENTER ? 2 : 1;
	struct norm_params<CENTER> f = {
		a->dy, a->h, a->mean, a->rstd, a->C
	};
	int64_t parts = params ? colsum_parts<1, sums>(s, NULL, f, a->N, a->C) : 0;

	if (a->dh || a->y)
		CUDA_LAUNCH_SOON(
		    s, norm_bwd_any_kernel<CENTER>, cuda_blocks(a->N, 1), NORM_THREADS, 0, *a);
	return parts;
}

/* Parts that fill 132 processors of an H100, which hold 8 B warps each. */
static inline int64_t
norm_parts(int64_t N, const struct norm_shape *p, int R, int B)
{
	int64_t blocks = 132 * (B * NORM_THREADS / (p->threads * p->groups));

	return cuda_min(cuda_div_up(N, R), blocks * p->groups);
}

template <bool CENTER, int R, int K, int B>
static int64_t
norm_bwd_rows(struct gvk_stream *s, struct norm_bwd a, const struct norm_shape *p, bool params)
{
	dim3 block(p->threads, p->groups);

	a.parts = params ? norm_parts(a.N, p, R, B) : cuda_div_up(a.N, R);
	if (params)
		CUDA_LAUNCH_SOON(s, (norm_bwd_kernel<CENTER, R, K, true, B>),
		    cuda_blocks(a.parts, p->groups), block, 0, a);
	else
		CUDA_LAUNCH_SOON(s, (norm_bwd_kernel<CENTER, R, K, false, B>),
		    cuda_blocks(a.parts, p->groups), block, 0, a);
	return a.parts;
}

template <bool CENTER>
static void
norm_backward(struct gvk_stream *s, struct norm_bwd *a, float *dw, float *db)
{
	struct norm_shape p = norm_shape(a->C);
	int64_t C = a->C, parts, ld = CENTER ? 2 * C : C;
	bool params = dw || db;

	if (a->N <= 0 || (!params && !a->dh && !a->y))
		return;
	a->part = (float *)cuda_of(s)->scratch;
	if (C > NORM_MOST || !cuda_vec8(a->dh, C) || !cuda_vec8(a->y, C) || !cuda_vec8(a->dy, C) ||
	    !cuda_vec8(a->dres, C) || !cuda_vec8(a->h, C) || !cuda_vec8(a->w, C))
		parts = norm_bwd_any<CENTER>(s, a, params);
	else if (p.chunks == 1)
		parts = norm_bwd_rows < CENTER, CENTER ? 2 : 1, 1,
		CENTER ? 2 : 3 > (s, *a, &p, params);
	else if (p.chunks == 2)
		parts = norm_bwd_rows<CENTER, 1, 2, 2>(s, *a, &p, params);
	else
		parts = norm_bwd_rows<CENTER, 1, 4, 1>(s, *a, &p, params);
	if (dw)
		colsum_add(s, {dw, db, C, ld}, a->part, parts);
	else if (db)
		colsum_add(s, {db, NULL, C, ld}, a->part + C, parts);
}

#endif
