/* AdamW over ranges of flat buffers, in one launch.
 *
 *	ranges:	|chunk|chunk|ch| |chunk| |chunk|chunk|c|	block b of B
 *		   0     1   2      3       4     5   6		does b, b + B, ...
 *
 * Ranges are on the device, so the host doesn't know how many chunks there
 * are: as many blocks as the device holds at once walk them, each forwards
 * through the ranges once.  Elements go four at a time where the range starts
 * at a multiple of four; they share one Philox block.
 *
 * Bound by memory: 34 bytes an element with a master (master, m, v, g read and
 * written; p written), 26 with BF16 state, 4 fewer of each without a master.
 * An H100 moves 2.80 TB/s, 93 % of what a copy does (3.01), with either state
 * (2026-11-23).  The next rung: none by this contract; fewer bytes need another
 * (gradients handed over by the products that finish them).
 */
#include "cuda.h"

#define inline __host__ __device__ __inline__
#include "rounding.h"
#undef inline

#define THREADS 256
#define CHUNK   4096

struct adamw {
	bf16 *p;
	float *master;
	void *m, *v;
	float *g;
	const float *scale;
	const struct gvk_range *range;
	int64_t ranges;
	float b1, b2, b1c, b2c; /* b1c = 1 - b1 */
	float eps, m_fix, v_fix; /* bias corrections, as factors */
	int64_t t;
	uint64_t seed;
	bool wide;
};

/* One element's m and v; returns p's new value.  Every rounding is spelt out,
 * so that elements get the same bits alone and by fours.  The root and the
 * quotient are right to 2 units in the last place. */
static __device__ __forceinline__ float
update(const struct adamw &a, float p, float *m, float *v, float g, float step, float decay)
{
	float root, change;

	*m = __fmaf_rn(a.b1, *m, __fmul_rn(a.b1c, g));
	*v = __fmaf_rn(a.b2, *v, __fmul_rn(a.b2c, __fmul_rn(g, g)));
	asm("sqrt.approx.f32 %0, %1;" : "=f"(root) : "f"(__fmul_rn(*v, a.v_fix)));
	change = __fdividef(__fmul_rn(step, *m), __fadd_rn(root, a.eps));
	return __fsub_rn(p, __fmaf_rn(decay, p, change));
}

/* ---- state: element i, and elements i..i+3 with i a multiple of 4 -------- */

static __device__ __forceinline__ float
from_state(const float *x)
{
	return *x;
}

static __device__ __forceinline__ float
from_state(const bf16 *x)
{
	return to_f(*x);
}

static __device__ __forceinline__ void
to_state(float *x, float f, uint32_t)
{
	*x = f;
}

static __device__ __forceinline__ void
to_state(bf16 *x, float f, uint32_t r)
{
	*reinterpret_cast<uint16_t *>(x) = (uint16_t)gvk_round_up_at(__float_as_uint(f), r);
}

static __device__ __forceinline__ void
from_state4(float f[4], const float *x)
{
	float4 u = __ldcs(reinterpret_cast<const float4 *>(x));

	f[0] = u.x;
	f[1] = u.y;
	f[2] = u.z;
	f[3] = u.w;
}

static __device__ __forceinline__ void
from_state4(float f[4], const bf16 *x)
{
	uint2 u = __ldcs(reinterpret_cast<const uint2 *>(x));

	f[0] = __uint_as_float(u.x << 16);
	f[1] = __uint_as_float(u.x & 0xffff0000u);
	f[2] = __uint_as_float(u.y << 16);
	f[3] = __uint_as_float(u.y & 0xffff0000u);
}

static __device__ __forceinline__ void
to_state4(float *x, const float f[4], const uint32_t *, int)
{
	__stcs(reinterpret_cast<float4 *>(x), make_float4(f[0], f[1], f[2], f[3]));
}

/* With 16 bits of each word of r, from bit `at` on. */
static __device__ __forceinline__ void
to_state4(bf16 *x, const float f[4], const uint32_t r[4], int at)
{
	uint32_t h[4];

#pragma unroll
	for (int j = 0; j < 4; j++)
		h[j] = gvk_round_up_at(__float_as_uint(f[j]), r[j] >> at & 0xffff);
	__stcs(reinterpret_cast<uint2 *>(x), make_uint2(h[0] | h[1] << 16, h[2] | h[3] << 16));
}

/* ---- updates ------------------------------------------------------------- */

template <class T>
static __device__ __forceinline__ void
update_one(const struct adamw &a, int64_t i, float scale, float step, float decay)
{
	T *pm = (T *)a.m + i, *pv = (T *)a.v + i;
	float p = a.master ? a.master[i] : to_f(a.p[i]);
	float m = from_state(pm), v = from_state(pv);
	uint32_t r[4] = {}, mine;

	p = update(a, p, &m, &v, __fmul_rn(a.g[i], scale), step, decay);
	if (sizeof(T) == 2)
		gvk_adamw_bits(a.seed, a.t, i / 4, r);
	mine = i % 4 == 0 ? r[0] : i % 4 == 1 ? r[1] : i % 4 == 2 ? r[2] : r[3];
	to_state(pm, m, mine & 0xffff);
	to_state(pv, v, mine >> 16);
	a.g[i] = 0;
	a.p[i] = to_b(p);
	if (a.master)
		a.master[i] = p;
}

template <class T>
static __device__ __forceinline__ void
update_four(const struct adamw &a, int64_t i, float scale, float step, float decay)
{
	T *pm = (T *)a.m + i, *pv = (T *)a.v + i;
	float p[4], m[4], v[4], g[4];
	uint32_t r[4] = {};

	from_state4(m, pm);
	from_state4(v, pv);
	from_state4(g, a.g + i);
	if (a.master)
		from_state4(p, a.master + i);
	else
		from_state4(p, a.p + i);
	if (sizeof(T) == 2)
		gvk_adamw_bits(a.seed, a.t, i / 4, r);
#pragma unroll
	for (int j = 0; j < 4; j++)
		p[j] = update(a, p[j], &m[j], &v[j], __fmul_rn(g[j], scale), step, decay);
	to_state4(pm, m, r, 0);
	to_state4(pv, v, r, 16);
	if (a.master)
		to_state4(a.master + i, p, r, 0);
	__stcs(
	    reinterpret_cast<uint2 *>(a.p + i), make_uint2(pack2(p[0], p[1]), pack2(p[2], p[3])));
	/* Last: right behind its load it would wait for that in the L1 cache. */
	__stcs(reinterpret_cast<float4 *>(a.g + i), make_float4(0, 0, 0, 0));
}

/* Elements at..end-1 of a range: updated, or with scale 0 cleared gradients
 * only. */
template <class T>
static __device__ __forceinline__ void
update_chunk(
    const struct adamw &a, const struct gvk_range &range, int64_t at, int64_t end, float scale)
{
	const float step = range.lr * a.m_fix, decay = range.lr * range.wd;
	int64_t i = at + threadIdx.x;

	if (scale == 0) {
		for (; i < end; i += THREADS)
			a.g[i] = 0;
		return;
	}
	if (a.wide && at % 4 == 0) {
		const int64_t fours = at + (end - at) / 4 * 4;

#pragma unroll 1
		for (i = at + threadIdx.x * 4; i < fours; i += THREADS * 4)
			update_four<T>(a, i, scale, step, decay);
		i = fours + threadIdx.x;
	}
#pragma unroll 1
	for (; i < end; i += THREADS)
		update_one<T>(a, i, scale, step, decay);
}

template <class T>
static __global__ void
__launch_bounds__(THREADS) adamw_kernel(const struct adamw a)
{
	const float scale = a.scale[0];
	int64_t before = 0; /* chunks of ranges before r */
	int64_t chunk = blockIdx.x;

	for (int64_t r = 0; r < a.ranges; r++) {
		const struct gvk_range range = a.range[r];
		const int64_t chunks = (range.n + CHUNK - 1) / CHUNK;

		for (; chunk < before + chunks; chunk += gridDim.x) {
			int64_t at = (chunk - before) * CHUNK;
			int64_t n = min((int64_t)CHUNK, range.n - at);

			at += range.at;
			update_chunk<T>(a, range, at, at + n, scale);
		}
		before += chunks;
	}
}

template <class T>
static void
launch(struct gvk_stream *s, const struct adamw &a)
{
	const struct cuda_device *dev = ((struct cuda_stream *)s->priv)->dev;
	int blocks = 0; /* of a processor */

	if (cuda_ok(s,
		cudaOccupancyMaxActiveBlocksPerMultiprocessor(&blocks, adamw_kernel<T>, THREADS, 0),
		"adamw"))
		CUDA_LAUNCH(
		    s, adamw_kernel<T>, (unsigned)(blocks * dev->processors), THREADS, 0, a);
}

void
gvk_cuda_adamw(struct gvk_stream *s, void *p, float *master, void *m, void *v, float *g,
    const float *scale, const struct gvk_range *range, int64_t ranges, const struct gvk_adamw *o)
{
	double b1 = (double)o->beta1, b2 = (double)o->beta2;
	bool wide = cuda_vec8(p, 0) && cuda_vec8(master, 0) && cuda_vec8(m, 0) && cuda_vec8(v, 0) &&
		    cuda_vec8(g, 0);
	struct adamw a = {(bf16 *)p, master, m, v, g, scale, range, ranges, o->beta1, o->beta2,
	    (float)(1 - b1), (float)(1 - b2), o->eps, (float)(1 / (1 - pow(b1, (double)o->t))),
	    (float)(1 / (1 - pow(b2, (double)o->t))), o->t, o->seed, wide};

	assert(o->t > 0 && (o->state == GVK_F32 || o->state == GVK_BF16));
	if (ranges <= 0)
		return;
	cuda_of(s);
	if (o->state == GVK_BF16)
		launch<bf16>(s, a);
	else
		launch<float>(s, a);
}
