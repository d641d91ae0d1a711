/* AdamW over ranges of flat buffers, in one launch.
 *
 *	ranges:	|chunk|chunk|ch| |chunk| |chunk|chunk|c|	block b of B
 *		   0     1   2      3       4     5   6		does b, b + B, ...
 *
 * Ranges are on the device, so the host doesn't know how many chunks there
 * are: a fixed grid walks them, each block forwards through the ranges once.
 * Bound by memory: 30 bytes an element with a master (p 2 written; master, m,
 * v read and written; g read), 22 without.  Elements go four at a time where
 * the range starts at a multiple of four.  The next rung: rounding of a state
 * without master that is stochastic, and g cleared in the same pass.
 */
#include "cuda.h"

#define THREADS 256
#define CHUNK   4096
#define BLOCKS  1056 /* 8 for each of the 132 processors of an H100 */

struct adamw {
	bf16 *p;
	float *master, *m, *v;
	const float *g, *scale;
	const struct gvk_range *range;
	int64_t ranges;
	float b1, b2, b1c, b2c; /* b1c = 1 - b1 */
	float eps, m_fix, v_fix; /* bias corrections, as factors */
	bool wide;
};

/* One element's m and v; returns p's new value. */
static __device__ __forceinline__ float
update(const struct adamw &a, float p, float *m, float *v, float g, float step, float decay)
{
	*m = a.b1 * *m + a.b1c * g;
	*v = a.b2 * *v + a.b2c * (g * g);
	return p - (decay * p + step * *m / (sqrtf(*v * a.v_fix) + a.eps));
}

static __device__ __forceinline__ void
update_one(const struct adamw &a, int64_t i, float scale, float step, float decay)
{
	float p = a.master ? a.master[i] : to_f(a.p[i]);
	float m = a.m[i], v = a.v[i];

	p = update(a, p, &m, &v, a.g[i] * scale, step, decay);
	a.m[i] = m;
	a.v[i] = v;
	a.p[i] = to_b(p);
	if (a.master)
		a.master[i] = p;
}

/* Elements i..i+3, i a multiple of 4. */
static __device__ __forceinline__ void
update_four(const struct adamw &a, int64_t i, float scale, float step, float decay)
{
	float4 m = *reinterpret_cast<float4 *>(a.m + i);
	float4 v = *reinterpret_cast<float4 *>(a.v + i);
	float4 g = *reinterpret_cast<const float4 *>(a.g + i), p;
	uint2 half;

	if (a.master) {
		p = *reinterpret_cast<float4 *>(a.master + i);
	} else {
		half = *reinterpret_cast<uint2 *>(a.p + i);
		p.x = __uint_as_float(half.x << 16);
		p.y = __uint_as_float(half.x & 0xffff0000u);
		p.z = __uint_as_float(half.y << 16);
		p.w = __uint_as_float(half.y & 0xffff0000u);
	}
	p.x = update(a, p.x, &m.x, &v.x, g.x * scale, step, decay);
	p.y = update(a, p.y, &m.y, &v.y, g.y * scale, step, decay);
	p.z = update(a, p.z, &m.z, &v.z, g.z * scale, step, decay);
	p.w = update(a, p.w, &m.w, &v.w, g.w * scale, step, decay);
	*reinterpret_cast<float4 *>(a.m + i) = m;
	*reinterpret_cast<float4 *>(a.v + i) = v;
	if (a.master)
		*reinterpret_cast<float4 *>(a.master + i) = p;
	half.x = pack2(p.x, p.y);
	half.y = pack2(p.z, p.w);
	*reinterpret_cast<uint2 *>(a.p + i) = half;
}

static __global__ void
__launch_bounds__(THREADS) adamw_kernel(struct adamw a)
{
	float scale = a.scale[0];
	int64_t before = 0; /* chunks of ranges before r */
	int64_t chunk = blockIdx.x;

	if (scale == 0)
		return;
	for (int64_t r = 0; r < a.ranges; r++) {
		struct gvk_range range = a.range[r];
		int64_t chunks = (range.n + CHUNK - 1) / CHUNK;
		float step = range.lr * a.m_fix, decay = range.lr * range.wd;
		bool wide = a.wide && range.at % 4 == 0;

		for (; chunk < before + chunks; chunk += gridDim.x) {
			int64_t at = (chunk - before) * CHUNK;
			int64_t end = at + CHUNK < range.n ? at + CHUNK : range.n;
			int64_t i = range.at + at + threadIdx.x;

			end += range.at;
			at += range.at;
			if (wide) {
				int64_t fours = at + (end - at) / 4 * 4;

				for (int64_t k = at + threadIdx.x * 4; k < fours; k += THREADS * 4)
					update_four(a, k, scale, step, decay);
				i = fours + threadIdx.x;
			}
			for (; i < end; i += THREADS)
				update_one(a, i, scale, step, decay);
		}
		before += chunks;
	}
}

void
gvk_cuda_adamw(struct gvk_stream *s, void *p, float *master, float *m, float *v, const float *g,
    const float *scale, const struct gvk_range *range, int64_t ranges, const struct gvk_adamw *o)
{
	double b1 = (double)o->beta1, b2 = (double)o->beta2;
	bool wide = cuda_vec8(p, 0) && cuda_vec8(master, 0) && cuda_vec8(m, 0) && cuda_vec8(v, 0) &&
		    cuda_vec8(g, 0);
	struct adamw a = {(bf16 *)p, master, m, v, g, scale, range, ranges, o->beta1, o->beta2,
	    (float)(1 - b1), (float)(1 - b2), o->eps, (float)(1 / (1 - pow(b1, (double)o->t))),
	    (float)(1 / (1 - pow(b2, (double)o->t))), wide};

	assert(o->t > 0);
	if (ranges <= 0)
		return;
	cuda_of(s);
	CUDA_LAUNCH(s, adamw_kernel, BLOCKS, THREADS, 0, a);
}
