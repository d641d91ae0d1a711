/* Rotary embedding of queries and keys, with NORM behind the norm of each head,
 * and keys and values into their caches.
 *
 *	block (X,Y): X units of a head, Y heads of one row; blocks over rows and
 *	heads, so that one row alone is on several multiprocessors
 *	unit: V neighbouring pairs (i, i + D/2)
 *
 * With NORM a head is a warp's, which reads it twice, the second time out of
 * the first-level cache; what the norm gives is rounded as gvk_headnorm does.
 *
 * Bound by its start and two trips to memory for the few rows of decoding, so
 * it starts before its predecessor ends and every thread reads all that it
 * needs at once; by memory, 4 bytes an element, for many.  On an H100 (November
 * 2026) 1 and 64 rows of 16 + 2 x 8 heads of 128 take 1.6 and 1.9 us in a graph,
 * with NORM 1.9 and 2.4, where norms of their own would make it 3.5 and 4.1.
 * The next rung is the end of the product that makes qkv.
 */
#include "rope.cuh"

struct rope_cache {
	bf16 *qkv, *kc, *vc;
	const int32_t *pos;
	const float *freq;
	const int32_t *kv_row;
	int H, G, D, parts; /* parts: blocks a row */
	const bf16 *wq, *wk; /* with NORM; NULL: ones */
	float eps;
};

/* V neighbours, 2 V bytes, aligned to as much. */
template <int V> struct rope_unit;
template <> struct rope_unit<1> {
	bf16 at[1];
};
template <> struct __align__(4) rope_unit<2>
{
	bf16 at[2];
};

/* 1 / the root mean square of a warp's head; all its reads have been done when
 * it returns. */
template <int V>
static __device__ __forceinline__ float
head_rstd(const struct rope_cache &r, const bf16 *x)
{
	typedef struct rope_unit<V> unit;
	const int half = r.D / 2;
	float sum = 0;

	for (int i = threadIdx.x * V; i < half; i += CUDA_WARP * V) {
		unit lo = *reinterpret_cast<const unit *>(x + i);
		unit hi = *reinterpret_cast<const unit *>(x + half + i);

#pragma unroll
		for (int j = 0; j < V; j++)
			sum += to_f(lo.at[j]) * to_f(lo.at[j]) + to_f(hi.at[j]) * to_f(hi.at[j]);
	}
	return rsqrtf(warp_sum(sum) / (float)r.D + r.eps);
}

template <int V, bool NORM>
static __global__ void __launch_bounds__(256) rope_cache(const struct rope_cache r)
{
	typedef struct rope_unit<V> unit;
	const unsigned row = blockIdx.x / r.parts, part = blockIdx.x - row * r.parts;
	const int head = part * blockDim.y + threadIdx.y, half = r.D / 2;
	const int64_t to = (int64_t)r.G * r.D;
	bf16 *x = r.qkv + ((int64_t)row * (r.H + 2 * r.G) + head) * r.D, *y = x;
	const bool turn = head < r.H + r.G;
	const bf16 *w = head < r.H ? r.wq : r.wk;
	float rstd = 1;

	cuda_follow();
	cuda_lead();
	if (head >= r.H + 2 * r.G)
		return;
	if (!turn)
		y = r.vc + r.kv_row[row] * to + (head - r.H - r.G) * r.D;
	else if (head >= r.H)
		y = r.kc + r.kv_row[row] * to + (head - r.H) * r.D;
	if (NORM && turn)
		rstd = head_rstd<V>(r, x);
	for (int i = threadIdx.x * V; i < half; i += blockDim.x * V) {
		unit lo = *reinterpret_cast<const unit *>(x + i);
		unit hi = *reinterpret_cast<const unit *>(x + half + i);

#pragma unroll
		for (int j = 0; j < V && turn; j++) {
			float a = to_f(lo.at[j]), b = to_f(hi.at[j]), s, c;

			if (NORM) {
				a = rounded(a * rstd * (w ? to_f(w[i + j]) : 1));
				b = rounded(b * rstd * (w ? to_f(w[half + i + j]) : 1));
			}
			rope_sincos(__fmul_rn((float)r.pos[row], r.freq[i + j]), &s, &c);
			lo.at[j] = to_b(a * c - b * s);
			hi.at[j] = to_b(b * c + a * s);
		}
		*reinterpret_cast<unit *>(y + i) = lo;
		*reinterpret_cast<unit *>(y + half + i) = hi;
	}
}

template <bool NORM>
static void
launch(struct gvk_stream *s, struct rope_cache r, int64_t N)
{
	const int V = r.D % 4 == 0 ? 2 : 1, heads = r.H + 2 * r.G;
	const int units = r.D / 2 / V;
	const unsigned across =
	    NORM ? CUDA_WARP : (unsigned)cuda_min(128, cuda_div_up(units, 32) * 32);
	const dim3 block(across, 128 / across);

	assert(r.D % 2 == 0);
	cuda_of(s);
	if (N <= 0 || heads <= 0 || r.D <= 0)
		return;
	r.parts = (int)cuda_div_up(heads, block.y);
	if (V == 2)
		CUDA_LAUNCH_SOON(
		    s, (rope_cache<2, NORM>), cuda_blocks(N * r.parts, 1), block, 0, r);
	else
		CUDA_LAUNCH_SOON(
		    s, (rope_cache<1, NORM>), cuda_blocks(N * r.parts, 1), block, 0, r);
}

void
gvk_cuda_rope_cache(struct gvk_stream *s, void *qkv, void *kc, void *vc, const int32_t *pos,
    const float *freq, const int32_t *kv_row, int64_t N, int64_t H, int64_t G, int64_t D)
{
	launch<false>(s,
	    {(bf16 *)qkv, (bf16 *)kc, (bf16 *)vc, pos, freq, kv_row, (int)H, (int)G, (int)D, 0,
		NULL, NULL, 0},
	    N);
}

void
gvk_cuda_norm_rope_cache(struct gvk_stream *s, void *qkv, void *kc, void *vc, const void *wq,
    const void *wk, float eps, const int32_t *pos, const float *freq, const int32_t *kv_row,
    int64_t N, int64_t H, int64_t G, int64_t D)
{
	launch<true>(s,
	    {(bf16 *)qkv, (bf16 *)kc, (bf16 *)vc, pos, freq, kv_row, (int)H, (int)G, (int)D, 0,
		(const bf16 *)wq, (const bf16 *)wk, eps},
	    N);
}
