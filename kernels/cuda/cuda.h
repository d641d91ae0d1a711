/* Inside the CUDA backend: what a stream holds, how errors are kept, and the
 * small device functions that every op uses.
 *
 * Every op is a C++ function gvk_cuda_NAME in NAME.cu with the signature of
 * gvk.h, declared here from GVK_OPS.  An op starts with
 *
 *	struct cuda_stream *c = cuda_of(s);
 *
 * (which makes the stream's device the thread's current one), launches with
 * CUDA_LAUNCH(), and returns nothing: the first failure stays with the stream
 * (cuda_ok(), cuda_lt_ok()).  Zero rows launch nothing: an empty grid is an
 * error to CUDA.
 *
 * Numbers: storage is `bf16`, arithmetic F32 (F64 where the contract says so).
 * Alignment: base pointers are aligned to 64 bytes, rows of larger buffers to
 * 16, but C may be odd, so that rows of a dense matrix are aligned to 2 only:
 * 16-byte loads need cuda_vec8() of pointer and row stride.
 * Determinism: no float atomics.  A sum over threads is warp_sum() or
 * block_sum(), whose order is fixed; a sum over blocks goes through
 * c->scratch in a fixed number of parts that depends on the shape only, never
 * on the device's number of processors.
 * Scratch: each stream owns CUDA_SCRATCH bytes from its opening on.  Its
 * content does not outlive one op.  An op whose parts would not fit takes
 * fewer parts.
 */
#ifndef GVK_CUDA_H
#define GVK_CUDA_H

#include <assert.h>
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cublasLt.h>
#include <cuda_bf16.h>
#include <cuda_runtime.h>

#include "backend.h"

/* random.h is C for the host; its two functions serve the device as well. */
#define inline __host__ __device__ __inline__
#include "random.h"
#undef inline

typedef __nv_bfloat16 bf16;

#define CUDA_SCRATCH ((size_t)64 << 20) /* bytes a stream, for ops */
#define CUDA_LT_WS ((size_t)64 << 20)	/* bytes a stream, for cuBLASLt */

#define CUDA_TICKETS 64

struct cuda_device {	     /* gvk->priv */
	int n;		     /* CUDA's number */
	int sm;		     /* 80, 90, ...: compute capability */
	int processors;	     /* multiprocessors */
	size_t smem;	     /* most dynamic shared memory a block may have */
	cublasLtHandle_t lt; /* may be used from any thread */
};

struct cuda_stream { /* gvk_stream->priv */
	struct cuda_device *dev;
	cudaStream_t st;
	cudaEvent_t mark;  /* for gvk_wait */
	cublasLtHandle_t lt; /* = dev->lt */
	void *lt_ws;	   /* CUDA_LT_WS bytes, for cublasLtMatmul only */
	void *scratch;	   /* CUDA_SCRATCH bytes, aligned to 256 */
	unsigned *ticket;  /* device: zeros, CUDA_TICKETS of them; a kernel
			    * that counts in them leaves zeros behind */
	bool soon;	   /* the last op was a kernel of CUDA_LAUNCH_SOON */
};

/* Every op of the backend: gvk_cuda_linear, gvk_cuda_rope, ... */
#define X(name, params, args) void gvk_cuda_##name params;
GVK_OPS(X)
#undef X
size_t gvk_cuda_attention_bwd_ws(const struct gvk *k, const struct gvk_attn *a,
    int64_t Nq);
size_t gvk_cuda_xent_ws(const struct gvk *k, int64_t N, int64_t C, int64_t V);
size_t gvk_cuda_sample_ws(const struct gvk *k, int64_t B, int64_t V);

/* ---- the host's side ---------------------------------------------------- */

/* The stream's own; its device becomes the calling thread's. */
static inline struct cuda_stream *
cuda_of(struct gvk_stream *s)
{
	struct cuda_stream *c = (struct cuda_stream *)s->priv;

	cudaSetDevice(c->dev->n);
	return c;
}

static inline const struct cuda_device *
cuda_device_of(const struct gvk *k)
{
	return (const struct cuda_device *)k->priv;
}

/* True if e is no error; else the failure stays with the stream.  Example:
 *	if (!cuda_ok(s, cudaMemsetAsync(p, 0, n, c->st), "xent"))
 *		return;
 */
static inline bool
cuda_ok(struct gvk_stream *s, cudaError_t e, const char *what)
{
	char line[sizeof s->err];

	if (e == cudaSuccess)
		return true;
	snprintf(line, sizeof line, "cuda: %s: %s", what,
	    cudaGetErrorString(e));
	gvk_stream_fail(s, line);
	return false;
}

static inline bool
cuda_lt_ok(struct gvk_stream *s, cublasStatus_t e, const char *what)
{
	char line[sizeof s->err];

	if (e == CUBLAS_STATUS_SUCCESS)
		return true;
	snprintf(line, sizeof line, "cublas: %s: %s", what,
	    cublasLtGetStatusString(e));
	gvk_stream_fail(s, line);
	return false;
}

/* Launches kernel(...) on stream s and records a failure to launch.  A name
 * with a comma goes in parentheses: (k<1, true>). */
#define CUDA_LAUNCH(s, kernel, grid, block, smem, ...) \
	do { \
		((struct cuda_stream *)(s)->priv)->soon = false; \
		kernel<<<(grid), (block), (smem), \
		    ((struct cuda_stream *)(s)->priv)->st>>>(__VA_ARGS__); \
		cuda_ok((s), cudaGetLastError(), #kernel); \
	} while (0)

/* Launches a kernel that calls cuda_follow() before it touches what another op
 * writes: the device may start its blocks while the kernel before still runs
 * (programmatic dependent launch), which hides the start of short kernels
 * behind their predecessors.  Not for kernels without that call.
 *
 * Weights may be read before cuda_follow().  That is safe because a kernel is
 * launched so only if the op before was launched so, too, none of these kernels
 * writes weights, and each calls cuda_lead() after its own cuda_follow(): so
 * when blocks start early, everything but the kernel right before has ended.
 * Behind cuBLASLt's kernels that holds, too.  What queues work by other means
 * (copies, <<<>>>) clears `soon`. */
#define CUDA_LAUNCH_SOON(s, kernel, grid, block, smem, ...) \
	do { \
		struct cuda_stream *soon_ = (struct cuda_stream *)(s)->priv; \
		cudaLaunchAttribute attr_[1] = {}; \
		cudaLaunchConfig_t to_ = {}; \
\
		attr_[0].id = \
		    cudaLaunchAttributeProgrammaticStreamSerialization; \
		attr_[0].val.programmaticStreamSerializationAllowed = 1; \
		to_.gridDim = dim3(grid); \
		to_.blockDim = dim3(block); \
		to_.dynamicSmemBytes = (smem); \
		to_.stream = soon_->st; \
		to_.attrs = attr_; \
		to_.numAttrs = soon_->dev->sm >= 90 && soon_->soon; \
		soon_->soon = true; \
		cuda_ok((s), cudaLaunchKernelEx(&to_, kernel, __VA_ARGS__), \
		    #kernel); \
	} while (0)

/* Allows `kernel` so much dynamic shared memory; false if the device has not as
 * much, and then the failure is recorded.  Small sizes ask, too: what a kernel
 * declares as static counts towards the 48 KiB that need no allowance. */
#define CUDA_SMEM(s, kernel, bytes) \
	cuda_ok((s), \
	    cudaFuncSetAttribute(kernel, \
		cudaFuncAttributeMaxDynamicSharedMemorySize, (int)(bytes)), \
	    #kernel)

static inline int64_t
cuda_div_up(int64_t n, int64_t by)
{
	return (n + by - 1) / by;
}

static inline int64_t
cuda_min(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

static inline int64_t
cuda_max(int64_t a, int64_t b)
{
	return a > b ? a : b;
}

/* Blocks for n things, `per` a block, in grid.x, which goes to 2^31-1. */
static inline unsigned
cuda_blocks(int64_t n, int64_t per)
{
	int64_t b = cuda_div_up(n, per);

	assert(b > 0 && b <= INT32_MAX);
	return (unsigned)b;
}

/* Eight bf16 of each row can be moved at once: the pointer (NULL counts as
 * aligned) and the row stride in elements are multiples of 16 bytes. */
static inline bool
cuda_vec8(const void *p, int64_t stride)
{
	return (uintptr_t)p % 16 == 0 && stride % 8 == 0;
}

/* Grids of row ops: a block works on one row, or on a part of one, each thread
 * on V neighbours; row_at() gives the thread its place.
 *	struct cuda_rows g = cuda_grid(N, C, V);
 *	CUDA_LAUNCH(s, kernel<V>, g.blocks, g.threads, 0, ..., g.per_row);
 */
struct cuda_rows {
	unsigned blocks, threads, per_row;
};

static inline struct cuda_rows
cuda_grid(int64_t N, int64_t C, int V)
{
	int64_t chunks = cuda_div_up(C, V);
	int64_t threads = cuda_min(256, cuda_div_up(chunks, 32) * 32);
	int64_t per_row = cuda_div_up(chunks, threads);
	struct cuda_rows g;

	g.threads = (unsigned)threads;
	g.per_row = (unsigned)per_row;
	g.blocks = cuda_blocks(N * per_row, 1);
	return g;
}

/* Sums of columns, in a fixed order (colsum.cu).
 * cuda_colsum: out[c] += sum over n of x[n ld + c], x (N,ld), c < C.
 *	Overwrites the scratch.
 * cuda_colsum_add: out[c] += sum over p of part[p ld + c], p < parts. */
void cuda_colsum(struct gvk_stream *s, float *out, const bf16 *x, int64_t N,
    int64_t C, int64_t ld);
void cuda_colsum_add(struct gvk_stream *s, float *out, const float *part,
    int64_t parts, int64_t C, int64_t ld);

/* ---- the device's side -------------------------------------------------- */

#define CUDA_WARP 32

/* Waits until everything queued before this kernel has run and its writes are
 * seen: the first thing that a kernel of CUDA_LAUNCH_SOON does, except for
 * work on its parameters and reading weights. */
static __device__ __forceinline__ void
cuda_follow(void)
{
#if __CUDA_ARCH__ >= 900
	asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
}

/* Lets the blocks of the next kernel start as soon as all blocks of this one
 * have said so or ended; its cuda_follow() still waits for this one's end.
 * Only after this kernel's cuda_follow(). */
static __device__ __forceinline__ void
cuda_lead(void)
{
#if __CUDA_ARCH__ >= 900
	asm volatile("griddepcontrol.launch_dependents;");
#endif
}

#define CUDA_ALL 0xffffffffu

static __device__ __forceinline__ float
to_f(bf16 x)
{
	return __bfloat162float(x);
}

/* To nearest even. */
static __device__ __forceinline__ bf16
to_b(float x)
{
	return __float2bfloat16_rn(x);
}

/* The float that the storage keeps of x. */
static __device__ __forceinline__ float
rounded(float x)
{
	return to_f(to_b(x));
}

/* Row and first column of a thread in a cuda_rows grid; the column may lie at
 * or behind the row's end. */
struct cuda_place {
	int64_t row, col;
};

template <int V>
static __device__ __forceinline__ struct cuda_place
row_at(unsigned per_row)
{
	unsigned row = blockIdx.x / per_row, part = blockIdx.x - row * per_row;
	struct cuda_place p;

	p.row = row;
	p.col = ((int64_t)part * blockDim.x + threadIdx.x) * V;
	return p;
}

/* Eight elements of storage at p, which is aligned to 16 bytes. */
static __device__ __forceinline__ void
load8(float f[8], const bf16 *p)
{
	uint4 u = *reinterpret_cast<const uint4 *>(p);

	f[0] = __uint_as_float(u.x << 16);
	f[1] = __uint_as_float(u.x & 0xffff0000u);
	f[2] = __uint_as_float(u.y << 16);
	f[3] = __uint_as_float(u.y & 0xffff0000u);
	f[4] = __uint_as_float(u.z << 16);
	f[5] = __uint_as_float(u.z & 0xffff0000u);
	f[6] = __uint_as_float(u.w << 16);
	f[7] = __uint_as_float(u.w & 0xffff0000u);
}

static __device__ __forceinline__ unsigned
pack2(float lo, float hi)
{
	__nv_bfloat162 v = __floats2bfloat162_rn(lo, hi);

	return *reinterpret_cast<unsigned *>(&v);
}

/* To global memory. */
static __device__ __forceinline__ void
store8(bf16 *p, const float f[8])
{
	uint4 u;

	u.x = pack2(f[0], f[1]);
	u.y = pack2(f[2], f[3]);
	u.z = pack2(f[4], f[5]);
	u.w = pack2(f[6], f[7]);
	__stwb(reinterpret_cast<uint4 *>(p), u); /* one store, not four */
}

/* load<V>, store<V>: V = 8 as above, V = 1 one element, so that a kernel has
 * one text for both. */
template <int V>
static __device__ __forceinline__ void
load(float f[V], const bf16 *p)
{
	if constexpr (V == 8)
		load8(f, p);
	else
		f[0] = to_f(*p);
}

template <int V>
static __device__ __forceinline__ void
store(bf16 *p, const float f[V])
{
	if constexpr (V == 8)
		store8(p, f);
	else
		*p = to_b(f[0]);
}

/* Sums and maxima over a warp and over a block, given to every thread, in an
 * order that depends on the block's size only.  All threads of the warp or
 * block call them.  `shared` has 32 places; block functions may follow each
 * other with the same `shared`.  Threads of a block: a multiple of 32. */
template <class T>
static __device__ __forceinline__ T
warp_sum(T x)
{
#pragma unroll
	for (int i = 16; i > 0; i >>= 1)
		x += __shfl_xor_sync(CUDA_ALL, x, i);
	return x;
}

/* NaN is passed over, as by fmaxf. */
static __device__ __forceinline__ float
warp_max(float x)
{
#pragma unroll
	for (int i = 16; i > 0; i >>= 1)
		x = fmaxf(x, __shfl_xor_sync(CUDA_ALL, x, i));
	return x;
}

template <class T>
static __device__ __forceinline__ T
block_sum(T x, T *shared)
{
	int lane = threadIdx.x % CUDA_WARP, warp = threadIdx.x / CUDA_WARP;
	int warps = blockDim.x / CUDA_WARP;

	x = warp_sum(x);
	__syncthreads(); /* shared may still be read from before */
	if (lane == 0)
		shared[warp] = x;
	__syncthreads();
	return warp_sum(lane < warps ? shared[lane] : (T)0);
}

static __device__ __forceinline__ float
block_max(float x, float *shared)
{
	int lane = threadIdx.x % CUDA_WARP, warp = threadIdx.x / CUDA_WARP;
	int warps = blockDim.x / CUDA_WARP;

	x = warp_max(x);
	__syncthreads();
	if (lane == 0)
		shared[warp] = x;
	__syncthreads();
	return warp_max(lane < warps ? shared[lane] : -INFINITY);
}

/* ---- activations -------------------------------------------------------- */

/* To 1e-6 of its value for |x| < 8 and 1e-5 beyond; 0 or 1 far out, also where
 * the exponential overflows; NaN for NaN. */
static __device__ __forceinline__ float
sigmoid(float x)
{
	float e, r;

	/* .ftz: the others test for denormals, one after the other */
	asm("ex2.approx.ftz.f32 %0, %1;"
	    : "=f"(e)
	    : "f"(x * -1.4426950408889634f));
	asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(r) : "f"(1 + e));
	return r;
}

/* Tanh's GELU is x sigmoid(z): here z, and below z'.  x is cut at +-20, where
 * the sigmoid is 0 or 1 already, so that no cube overflows. */
static __device__ __forceinline__ float
gelu_cut(float x)
{
	return fabsf(x) > 20 ? copysignf(20, x) : x; /* NaN stays */
}

static __device__ __forceinline__ float
gelu_sigmoid(float x)
{
	float c = gelu_cut(x);

	return sigmoid(1.5957691216057308f * (c + 0.044715f * c * c * c));
}

/* act(x) and act'(x) for gelu, linear's `act` and linear_bwd's `pre`. */
static __device__ __forceinline__ float
act_fwd(enum gvk_act act, float x)
{
	switch (act) {
	case GVK_GELU_TANH: /* x^3 that overflows gives 0 or 1 */
		return x * sigmoid(x * (1.5957691216057308f +
		    0.07135481282f * x * x));
	case GVK_GELU_ERF:
		return x * normcdff(x);
	case GVK_GELU_QUICK:
		return x * sigmoid(1.702f * x);
	case GVK_SILU:
		return x * sigmoid(x);
	case GVK_RELU2:
		return x <= 0 ? 0 : x * x; /* NaN stays */
	default:
		return x;
	}
}

static __device__ __forceinline__ float
act_slope(enum gvk_act act, float x)
{
	float s, c;

	switch (act) {
	case GVK_GELU_TANH:
		c = gelu_cut(x);
		s = gelu_sigmoid(x);
		return s + c * s * (1 - s) * 1.5957691216057308f *
		    (1 + 3 * 0.044715f * c * c);
	case GVK_GELU_ERF:
		return normcdff(x) + x * 0.3989422804014327f *
		    __expf(-0.5f * x * x);
	case GVK_GELU_QUICK:
		s = sigmoid(1.702f * x);
		return s + 1.702f * x * s * (1 - s);
	case GVK_SILU:
		s = sigmoid(x);
		return s + x * s * (1 - s);
	case GVK_RELU2:
		return x <= 0 ? 0 : 2 * x;
	default:
		return 1;
	}
}

/* Calls f<act>(...) for an activation that is none of GVK_ACT_NONE. */
#define CUDA_BY_ACT(act, f, ...) \
	do { \
		switch (act) { \
		case GVK_ACT_NONE: \
			break; \
		case GVK_GELU_TANH: \
			f<GVK_GELU_TANH>(__VA_ARGS__); \
			break; \
		case GVK_GELU_ERF: \
			f<GVK_GELU_ERF>(__VA_ARGS__); \
			break; \
		case GVK_GELU_QUICK: \
			f<GVK_GELU_QUICK>(__VA_ARGS__); \
			break; \
		case GVK_SILU: \
			f<GVK_SILU>(__VA_ARGS__); \
			break; \
		case GVK_RELU2: \
			f<GVK_RELU2>(__VA_ARGS__); \
			break; \
		} \
	} while (0)

#endif
