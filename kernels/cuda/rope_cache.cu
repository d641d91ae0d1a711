/* Rotary embedding of queries and keys, and keys and values into their caches.
 *
 *	block (X,Y): X units of a head, Y heads of one row; blocks over rows and
 *	heads, so that one row alone is on several multiprocessors
 *	unit: V neighbouring pairs (i, i + D/2)
 *
 * Bound by its start and two trips to memory for the few rows of decoding, so
 * it starts before its predecessor ends and every thread reads all that it
 * needs at once; by memory, 4 bytes an element, for many.  The next rung is
 * the end of the product that makes qkv.
 */
#include "rope.cuh"

struct rope_cache {
	bf16 *qkv, *kc, *vc;
	const int32_t *pos;
	const float *freq;
	const int32_t *kv_row;
	int H, G, D, parts; /* parts: blocks a row */
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

template <int V> static __global__ void __launch_bounds__(256) rope_cache(const struct rope_cache r)
{
	typedef struct rope_unit<V> unit;
	const unsigned row = blockIdx.x / r.parts, part = blockIdx.x - row * r.parts;
	const int head = part * blockDim.y + threadIdx.y, half = r.D / 2;
	const int64_t to = (int64_t)r.G * r.D;
	bf16 *x = r.qkv + ((int64_t)row * (r.H + 2 * r.G) + head) * r.D, *y = x;
	const bool turn = head < r.H + r.G;

	cuda_follow();
	cuda_lead();
	if (head >= r.H + 2 * r.G)
		return;
	if (!turn)
		y = r.vc + r.kv_row[row] * to + (head - r.H - r.G) * r.D;
	else if (head >= r.H)
		y = r.kc + r.kv_row[row] * to + (head - r.H) * r.D;
	for (int i = threadIdx.x * V; i < half; i += blockDim.x * V) {
		unit lo = *reinterpret_cast<const unit *>(x + i);
		unit hi = *reinterpret_cast<const unit *>(x + half + i);

#pragma unroll
		for (int j = 0; j < V && turn; j++) {
			float a = to_f(lo.at[j]), b = to_f(hi.at[j]), s, c;

			rope_sincos(__fmul_rn((float)r.pos[row], r.freq[i + j]), &s, &c);
			lo.at[j] = to_b(a * c - b * s);
			hi.at[j] = to_b(b * c + a * s);
		}
		*reinterpret_cast<unit *>(y + i) = lo;
		*reinterpret_cast<unit *>(y + half + i) = hi;
	}
}

void
gvk_cuda_rope_cache(struct gvk_stream *s, void *qkv, void *kc, void *vc, const int32_t *pos,
    const float *freq, const int32_t *kv_row, int64_t N, int64_t H, int64_t G, int64_t D)
{
	const int V = D % 4 == 0 ? 2 : 1;
	const int64_t heads = H + 2 * G, units = D / 2 / V;
	const unsigned across = (unsigned)cuda_min(128, cuda_div_up(units, 32) * 32);
	const dim3 block(across, 128 / across);
	struct rope_cache r = {(bf16 *)qkv, (bf16 *)kc, (bf16 *)vc, pos, freq, kv_row, (int)H,
	    (int)G, (int)D, (int)cuda_div_up(heads, block.y)};

	assert(D % 2 == 0);
	cuda_of(s);
	if (N <= 0 || heads <= 0 || D <= 0)
		return;
	if (V == 2)
		CUDA_LAUNCH_SOON(s, rope_cache<2>, cuda_blocks(N * r.parts, 1), block, 0, r);
	else
		CUDA_LAUNCH_SOON(s, rope_cache<1>, cuda_blocks(N * r.parts, 1), block, 0, r);
}
