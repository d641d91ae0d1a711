/* What the products with few rows share: copies ahead into shared memory, and
 * ends.  Two kernels make them:
 *	skinny.cu	up to 16 rows: warps share K
 *	skinny_tile.cu	17 to 32 rows: warps share the rows of b, blocks K
 */
#ifndef GVK_CUDA_SKINNY_CUH
#define GVK_CUDA_SKINNY_CUH

#include "product.cuh"

/* The product of p with the rows of a normalised first, as by gvk_rmsnorm with
 * the weight w (K): queues it and returns true, or does nothing and returns
 * false if it is not for it. */
bool cuda_skinny_norm(struct gvk_stream *s, const struct product *p, const bf16 *w, float eps);

/* Up to 32 rows; that p is for us has been checked by cuda_skinny(). */
void cuda_skinny_tile(struct gvk_stream *s, const struct product *p);

/* 16 bytes to shared memory, or zeros, and then `from` isn't read.  Through L1
 * goes what a block reads again. */
static __device__ __forceinline__ void
copy_past(uint4 *to, const bf16 *from, bool in)
{
	asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(
			 (unsigned)__cvta_generic_to_shared(to)),
	    "l"(from), "r"(in ? 16 : 0)
	    : "memory");
}

static __device__ __forceinline__ void
copy_through(uint4 *to, const bf16 *from, bool in)
{
	asm volatile("cp.async.ca.shared.global [%0], [%1], 16, %2;" ::"r"(
			 (unsigned)__cvta_generic_to_shared(to)),
	    "l"(from), "r"(in ? 16 : 0)
	    : "memory");
}

static __device__ __forceinline__ void
copy_commit(void)
{
	asm volatile("cp.async.commit_group;" ::: "memory");
}

/* Waits until at most `left` of the newest groups are on their way. */
template <int left>
static __device__ __forceinline__ void
copy_wait(void)
{
	asm volatile("cp.async.wait_group %0;" ::"n"(left) : "memory");
}

/* Column n of row m of c, and what is added there; nothing unless `in`. */
struct ending {
	int64_t m, n;
	bool in;
	float bias, r;
};

static __device__ __forceinline__ struct ending
ending_at(const struct product &p, int64_t m, int64_t n, bool in)
{
	struct ending e;

	e.m = m;
	e.n = n;
	e.in = in && m < p.M && n < p.N;
	e.bias = e.in && p.bias ? to_f(p.bias[n]) : 0.f;
	e.r = e.in && p.r ? to_f(p.r[m * p.ldc + n]) : 0.f;
	return e;
}

/* z is the product there. */
static __device__ __forceinline__ void
end_plain(const struct product &p, const struct ending &e, float z)
{
	int64_t at = e.m * p.ldc + e.n;

	if (p.f32) {
		((float *)p.c)[at] = z;
		return;
	}
	z += e.bias;
	if (p.end == PRODUCT_ACT) {
		if (p.pre)
			p.pre[at] = to_b(z);
		z = act_fwd(p.act, z);
	}
	((bf16 *)p.c)[at] = to_b(z + e.r);
}

static __device__ __forceinline__ void
end_gated(const struct product &p, const struct ending &e, float g, float u)
{
	if (p.gu) {
		p.gu[e.m * 2 * p.N + e.n] = to_b(g);
		p.gu[e.m * 2 * p.N + p.N + e.n] = to_b(u);
	}
	((bf16 *)p.c)[e.m * p.ldc + e.n] = to_b(act_fwd(GVK_SILU, g) * u);
}

#endif
