/* RMSNorm of each head of a row, forward and backward.
 *
 *	head i   |8|8|8| ... |8|	a group of L lanes, 8 elements a lane:
 *	head i+1 |8|8|8| ... |8|	a warp has 32 / L groups, and the sums of
 *	 ...				a head are shuffles within its group
 *
 * A group loads R heads before it uses the first, backward the next head while
 * it works on the present one.  dw is summed in registers over the heads that a
 * group walks, in shared memory over the groups of a block, and by colsum.cu
 * over blocks, whose number depends on the shape only.  The order of a head's
 * sums depends on D.
 *
 * Heads that are not aligned to 16 bytes, or wider than 256, take a warp each
 * and are read once a pass, out of the first-level cache.
 *
 * Bound by memory: 4 bytes an element forward, 6 backward.  On an H100 (November
 * 2026), in shares of what a copy of the same bytes reaches (2.9 TB/s), 16,384
 * rows, forward, backward with dw, and without: 16 heads of 128 98 %, 95 %, 95 %;
 * 14 of 64 95 %, 89 %, 95 %; 10 of 80, where 6 of a group's 16 lanes have
 * nothing, 85 %, 78 %, 69 %.  A row in a chain of small kernels takes 1.3 us.
 * The next rung: one kernel with gvk_rope, which reads and writes the same, as
 * gvk_norm_rope_cache is for decoding.
 */
#include "cuda.h"

#define THREADS 256
#define WARPS   (THREADS / CUDA_WARP)
#define WIDEST  256 /* D of heads in registers */
#define MANY    (132 * 64) /* heads a multiprocessor of an H100 has a few of */
#define BLOCKS  (132 * 4) /* of a backward pass with dw, at most */

struct headnorm {
	bf16 *y;
	const bf16 *x, *w; /* w or NULL */
	float eps, share; /* 1/D */
	int D;
	unsigned heads, total; /* of a row, of all */
	int64_t ldy, ldx;
};

struct headnorm_bwd {
	bf16 *dx; /* or NULL */
	float *part; /* (parts, D) or NULL */
	const bf16 *dy, *x, *w;
	float eps, share;
	int D;
	unsigned heads, total;
	unsigned parts; /* of the kernel for any head */
	int64_t lddx, lddy, ldx;
};

/* Where head i of all begins. */
static __device__ __forceinline__ int64_t
head_at(unsigned i, unsigned heads, int D, int64_t ld)
{
	unsigned n = i / heads;

	return (int64_t)n * ld + (int64_t)(i - n * heads) * D;
}

/* The sum over a group of L lanes. */
template <int L>
static __device__ __forceinline__ float
lanes_sum(float x)
{
#pragma unroll
	for (int i = L / 2; i > 0; i >>= 1)
		x += __shfl_xor_sync(CUDA_ALL, x, i);
	return x;
}

static __device__ __forceinline__ void
unpack8(float f[8], const uint4 &u)
{
	load8(f, reinterpret_cast<const bf16 *>(&u));
}

/* The lane's eight weights; those behind the head's end are 0. */
static __device__ __forceinline__ void
load_weight(float f[8], const bf16 *w, int c, int D)
{
#pragma unroll
	for (int j = 0; j < 8; j++)
		f[j] = c < D ? 1 : 0;
	if (w && c < D)
		load8(f, w + c);
}

/* ---- forward ------------------------------------------------------------ */

template <int L, int R>
static __global__ void
__launch_bounds__(THREADS) headnorm_kernel(struct headnorm a)
{
	const unsigned first = (blockIdx.x * (THREADS / L) + threadIdx.x / L) * R;
	const int c = threadIdx.x % L * 8;
	float w[8], v[8], rstd;
	uint4 x[R];

	load_weight(w, a.w, c, a.D);
	cuda_follow();
#pragma unroll
	for (int i = 0; i < R; i++) {
		x[i] = make_uint4(0, 0, 0, 0);
		if (first + i < a.total && c < a.D)
			x[i] = *reinterpret_cast<const uint4 *>(
			    a.x + head_at(first + i, a.heads, a.D, a.ldx) + c);
	}
	cuda_lead();
#pragma unroll
	for (int i = 0; i < R; i++) {
		float sum = 0;

		unpack8(v, x[i]);
#pragma unroll
		for (int j = 0; j < 8; j++)
			sum += v[j] * v[j];
		rstd = rsqrtf(lanes_sum<L>(sum) * a.share + a.eps);
#pragma unroll
		for (int j = 0; j < 8; j++)
			v[j] *= rstd * w[j];
		if (first + i < a.total && c < a.D)
			store8(a.y + head_at(first + i, a.heads, a.D, a.ldy) + c, v);
	}
}

/* The same for any D and alignment, a warp a head. */
static __global__ void
__launch_bounds__(THREADS) headnorm_any_kernel(struct headnorm a)
{
	const unsigned i = blockIdx.x * WARPS + threadIdx.x / CUDA_WARP;
	const int lane = threadIdx.x % CUDA_WARP;
	float sum = 0, rstd;
	const bf16 *x;
	bf16 *y;

	cuda_follow();
	if (i >= a.total)
		return;
	x = a.x + head_at(i, a.heads, a.D, a.ldx);
	y = a.y + head_at(i, a.heads, a.D, a.ldy);
	for (int c = lane; c < a.D; c += CUDA_WARP)
		sum += to_f(x[c]) * to_f(x[c]);
	rstd = rsqrtf(warp_sum(sum) * a.share + a.eps);
	for (int c = lane; c < a.D; c += CUDA_WARP)
		y[c] = to_b(to_f(x[c]) * rstd * (a.w ? to_f(a.w[c]) : 1));
}

template <int L>
static void
forward(struct gvk_stream *s, const struct headnorm &a)
{
	if (a.total > MANY)
		CUDA_LAUNCH_SOON(s, (headnorm_kernel<L, 4>), cuda_blocks(a.total, THREADS / L * 4),
		    THREADS, 0, a);
	else
		CUDA_LAUNCH_SOON(
		    s, (headnorm_kernel<L, 1>), cuda_blocks(a.total, THREADS / L), THREADS, 0, a);
}

static bool
in_registers(int64_t D, const void *w)
{
	return D <= WIDEST && D % 8 == 0 && cuda_vec8(w, 0);
}

void
gvk_cuda_headnorm(struct gvk_stream *s, void *y, const void *x, const void *w, float eps, int64_t N,
    int64_t heads, int64_t D, int64_t ldy, int64_t ldx)
{
	struct headnorm a = {(bf16 *)y, (const bf16 *)x, (const bf16 *)w, eps, 1 / (float)D, (int)D,
	    (unsigned)heads, (unsigned)(N * heads), ldy, ldx};

	assert(N >= 0 && heads >= 0 && D > 0 && D <= INT32_MAX && N * heads <= INT32_MAX);
	assert(ldy >= heads * D && ldx >= heads * D);
	if (a.total == 0)
		return;
	cuda_of(s);
	if (!in_registers(D, w) || !cuda_vec8(y, ldy) || !cuda_vec8(x, ldx))
		CUDA_LAUNCH_SOON(
		    s, headnorm_any_kernel, cuda_blocks(a.total, WARPS), THREADS, 0, a);
	else if (D <= 8 * 8)
		forward<8>(s, a);
	else if (D <= 8 * 16)
		forward<16>(s, a);
	else
		forward<32>(s, a);
}

/* ---- backward ----------------------------------------------------------- */

/* With z = h rstd and g = dy w, dh = rstd (g - z mean(g z)); dw is the sum of
 * dy z over all heads. */

/* What a lane holds of a head; zeros behind the last one. */
struct held {
	uint4 dy, x;
};

static __device__ __forceinline__ struct held
load_held(const struct headnorm_bwd &a, unsigned i, int c)
{
	struct held q = {make_uint4(0, 0, 0, 0), make_uint4(0, 0, 0, 0)};

	if (i < a.total && c < a.D) {
		q.dy =
		    *reinterpret_cast<const uint4 *>(a.dy + head_at(i, a.heads, a.D, a.lddy) + c);
		q.x = *reinterpret_cast<const uint4 *>(a.x + head_at(i, a.heads, a.D, a.ldx) + c);
	}
	return q;
}

/* One head; adds to dw. */
template <int L>
static __device__ __forceinline__ void
backward_head(const struct headnorm_bwd &a, const struct held &q, unsigned i, int c,
    const float w[8], float *dw)
{
	float d[8], z[8], sum = 0, rstd;

	unpack8(d, q.dy);
	unpack8(z, q.x);
#pragma unroll
	for (int j = 0; j < 8; j++)
		sum += z[j] * z[j];
	rstd = rsqrtf(lanes_sum<L>(sum) * a.share + a.eps);
	rstd = i < a.total ? rstd : 0; /* adds nothing to dw, whatever eps is */
	sum = 0;
#pragma unroll
	for (int j = 0; j < 8; j++) {
		z[j] *= rstd;
		dw[j] += d[j] * z[j];
		d[j] *= w[j];
		sum += d[j] * z[j];
	}
	if (!a.dx)
		return;
	sum = lanes_sum<L>(sum) * a.share;
#pragma unroll
	for (int j = 0; j < 8; j++)
		d[j] = rstd * (d[j] - z[j] * sum);
	if (i < a.total && c < a.D)
		store8(a.dx + head_at(i, a.heads, a.D, a.lddx) + c, d);
}

/* Groups walk the heads together; each block leaves one part of dw. */
template <int L>
static __global__ void
__launch_bounds__(THREADS) headnorm_bwd_kernel(struct headnorm_bwd a)
{
	constexpr int groups = THREADS / L;
	__shared__ float shared[groups][8 * L];
	const unsigned group = threadIdx.x / L, step = gridDim.x * groups;
	const int c = threadIdx.x % L * 8;
	float w[8], dw[8] = {};
	struct held q, next;

	load_weight(w, a.w, c, a.D);
	cuda_follow();
	q = load_held(a, blockIdx.x * groups + group, c);
	for (unsigned i = blockIdx.x * groups; i < a.total; i += step) {
		next = load_held(a, i + step + group, c);
		backward_head<L>(a, q, i + group, c, w, dw);
		q = next;
	}
	cuda_lead();
	if (!a.part)
		return;
#pragma unroll
	for (int j = 0; j < 8; j++)
		shared[group][c + j] = dw[j];
	__syncthreads();
	if ((int)threadIdx.x < a.D) {
		float sum = 0;

#pragma unroll
		for (int g = 0; g < groups; g++)
			sum += shared[g][threadIdx.x];
		a.part[(int64_t)blockIdx.x * a.D + threadIdx.x] = sum;
	}
}

/* The same for any D and alignment: a warp walks heads p, p + parts, ... and
 * sums its part of dw in memory, each lane its own columns. */
static __global__ void
__launch_bounds__(THREADS) headnorm_bwd_any_kernel(struct headnorm_bwd a)
{
	const unsigned p = blockIdx.x * WARPS + threadIdx.x / CUDA_WARP;
	const int lane = threadIdx.x % CUDA_WARP;
	float *part = a.part ? a.part + (int64_t)p * a.D : NULL;

	cuda_follow();
	for (unsigned i = p; p < a.parts && i < a.total; i += a.parts) {
		const bf16 *dy = a.dy + head_at(i, a.heads, a.D, a.lddy);
		const bf16 *x = a.x + head_at(i, a.heads, a.D, a.ldx);
		float rstd, sum = 0, mean = 0;

		for (int c = lane; c < a.D; c += CUDA_WARP)
			sum += to_f(x[c]) * to_f(x[c]);
		rstd = rsqrtf(warp_sum(sum) * a.share + a.eps);
		for (int c = lane; c < a.D; c += CUDA_WARP)
			mean += to_f(dy[c]) * (a.w ? to_f(a.w[c]) : 1) * (to_f(x[c]) * rstd);
		mean = warp_sum(mean) * a.share;
		for (int c = lane; c < a.D; c += CUDA_WARP) {
			float d = to_f(dy[c]), z = to_f(x[c]) * rstd;
			float g = d * (a.w ? to_f(a.w[c]) : 1);

			if (part)
				part[c] = i == p ? d * z : part[c] + d * z;
			if (a.dx)
				a.dx[head_at(i, a.heads, a.D, a.lddx) + c] =
				    to_b(rstd * (g - z * mean));
		}
	}
}

/* Returns how many parts the scratch holds then, if dw is wanted. */
static int64_t
backward_any(struct gvk_stream *s, struct headnorm_bwd a)
{
	int64_t room = (int64_t)(CUDA_SCRATCH / sizeof(float)) / a.D;

	assert(room > 0);
	a.parts = (unsigned)(a.part ? cuda_min(cuda_min(a.total, BLOCKS * WARPS), room) : a.total);
	CUDA_LAUNCH_SOON(s, headnorm_bwd_any_kernel, cuda_blocks(a.parts, WARPS), THREADS, 0, a);
	return a.parts;
}

template <int L>
static int64_t
backward(struct gvk_stream *s, const struct headnorm_bwd &a)
{
	int64_t blocks = cuda_div_up(a.total, THREADS / L);

	if (a.part)
		blocks = cuda_min(blocks, BLOCKS);
	CUDA_LAUNCH_SOON(s, headnorm_bwd_kernel<L>, cuda_blocks(blocks, 1), THREADS, 0, a);
	return blocks;
}

void
gvk_cuda_headnorm_bwd(struct gvk_stream *s, void *dx, float *dw, const void *dy, const void *x,
    const void *w, float eps, int64_t N, int64_t heads, int64_t D, int64_t lddx, int64_t lddy,
    int64_t ldx)
{
	float *part = dw ? (float *)cuda_of(s)->scratch : NULL;
	struct headnorm_bwd a = {(bf16 *)dx, part, (const bf16 *)dy, (const bf16 *)x,
	    (const bf16 *)w, eps, 1 / (float)D, (int)D, (unsigned)heads, (unsigned)(N * heads), 0,
	    lddx, lddy, ldx};
	int64_t parts;

	assert(N >= 0 && heads >= 0 && D > 0 && D <= INT32_MAX && N * heads <= INT32_MAX);
	assert(lddx >= heads * D && lddy >= heads * D && ldx >= heads * D);
	if (a.total == 0 || (!dx && !dw))
		return;
	cuda_of(s);
	if (!in_registers(D, w) || !cuda_vec8(dx, lddx) || !cuda_vec8(dy, lddy) ||
	    !cuda_vec8(x, ldx))
		parts = backward_any(s, a);
	else if (D <= 8 * 8)
		parts = backward<8>(s, a);
	else if (D <= 8 * 16)
		parts = backward<16>(s, a);
	else
		parts = backward<32>(s, a);
	if (dw)
		cuda_colsum_add(s, dw, part, parts, D, D);
}
