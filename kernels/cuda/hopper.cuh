/* Hopper's own instructions (sm_90a) as functions: barriers in shared memory,
 * tensor copies (TMA), products of a warpgroup (wgmma), registers that move
 * between warpgroups, and on the host the maps that tensor copies need.
 *
 * A kernel that uses them keeps its body under `#if HOPPER`, so that the pass
 * for other architectures compiles to nothing, and the host launches it only
 * where dev->sm is 90.
 *
 * SHARED MEMORY is addressed as the hardware does, by 32-bit addresses
 * (hopper_smem()), because descriptors and swizzles are functions of them.
 *
 * PANELS.  Everything here holds matrices in panels: rows of 128 bytes (64
 * bf16), as many as wanted, panels aligned to 1024 bytes.  The 16-byte chunk c
 * of row r lies at chunk c ^ (r % 8) of its row (hopper_at()): that is
 * CU_TENSOR_MAP_SWIZZLE_128B, what a tensor copy with a box of 64 bf16 writes.
 * A matrix wider than 64 is several panels, behind each other.
 *
 * PROXIES.  wgmma and tensor copies reach shared memory by another way (the
 * async proxy) than loads and stores.  What ordinary instructions, stmatrix or
 * cp.async wrote is seen by them only after hopper_fence_async() in each
 * thread that wrote it (for cp.async: after its wait) and then a barrier.
 * The other way round, and from copy to copy, the barrier alone is enough.
 *
 * A RING.  Producer and consumers share stages, each with a barrier `full`
 * and one `empty`.  Stage i % STAGES is used for the (i / STAGES)-th time:
 *	producer	wait(empty, (i / STAGES & 1) ^ 1)  passes at once the
 *			first time;  expect(full, bytes);  copies
 *	consumer	wait(full, i / STAGES & 1);  reads;  arrive(empty)
 */
#ifndef GVK_CUDA_HOPPER_CUH
#define GVK_CUDA_HOPPER_CUH

#include <cuda.h>
#include <cudaTypedefs.h>

#include "cuda.h"

/* CUDA 12 and later say so in the device pass of an `a` architecture. */
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
#define HOPPER 1
#else
#define HOPPER 0
#endif

#define HOPPER_GROUP 128 /* threads of a warpgroup */
#define HOPPER_PANEL 64	 /* bf16 of a panel's row */

/* ---- maps for tensor copies, on the host -------------------------------- */

/* Describes a tensor of `rank` (1..5) dimensions in device memory, dimension 0
 * the dense one: sizes and the box that one copy moves in elements, strides of
 * dimensions 1.. in bytes (multiples of 16).  The base is aligned to 16 bytes.
 * A box's elements outside of the sizes are read as zero and not written, so
 * a size is a mask; and nothing outside of boxes that are asked for is ever
 * touched, so a size may be larger than the memory if no box is.
 * The map goes to the kernel by value, as `const __grid_constant__
 * CUtensorMap`.  False and a failure of the stream if there is no such map. */
struct hopper_tensor {
	const void *p;
	CUtensorMapDataType type;
	CUtensorMapSwizzle swizzle;
	int rank;
	uint64_t size[5], stride[5]; /* stride[0] is not read */
	uint32_t box[5];
};

/* The function that makes maps, from the driver itself, since nothing links
 * with libcuda; NULL and a failure of the stream if it has none. */
static inline PFN_cuTensorMapEncodeTiled_v12000
hopper_encoder(struct gvk_stream *s)
{
	cudaDriverEntryPointQueryResult found;
	void *fn = NULL;

	if (!cuda_ok(s, cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled",
			    &fn, 12000, cudaEnableDefault, &found), "tensor map"))
		return NULL;
	if (!fn || found != cudaDriverEntryPointSuccess) {
		gvk_stream_fail(s, "cuda: the driver has no tensor maps");
		return NULL;
	}
	return (PFN_cuTensorMapEncodeTiled_v12000)fn;
}

static inline bool
hopper_map(struct gvk_stream *s, CUtensorMap *m, const struct hopper_tensor *t)
{
	static PFN_cuTensorMapEncodeTiled_v12000 known; /* asked for once */
	PFN_cuTensorMapEncodeTiled_v12000 encode = __atomic_load_n(&known, __ATOMIC_RELAXED);
	const cuuint32_t step[5] = {1, 1, 1, 1, 1};
	CUresult r;

	if (!encode)
		encode = hopper_encoder(s);
	if (!encode)
		return false;
	__atomic_store_n(&known, encode, __ATOMIC_RELAXED);
	r = encode(m, t->type, (cuuint32_t)t->rank,
	    (void *)t->p, t->size, t->stride + 1, t->box, step,
	    CU_TENSOR_MAP_INTERLEAVE_NONE, t->swizzle,
	    CU_TENSOR_MAP_L2_PROMOTION_L2_256B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
	if (r != CUDA_SUCCESS)
		gvk_stream_fail(s, "cuda: a tensor map was refused");
	return r == CUDA_SUCCESS;
}

/* A matrix of bf16 (rows, cols) of row stride ld, in boxes of box_rows (to 256)
 * rows and 64 columns, which become panels. */
static inline bool
hopper_map_panels(struct gvk_stream *s, CUtensorMap *m, const bf16 *p, int64_t rows,
    int64_t cols, int64_t ld, int box_rows)
{
	struct hopper_tensor t = {};

	t.p = p;
	t.type = CU_TENSOR_MAP_DATA_TYPE_BFLOAT16;
	t.swizzle = CU_TENSOR_MAP_SWIZZLE_128B;
	t.rank = 2;
	t.size[0] = (uint64_t)cols;
	t.size[1] = (uint64_t)rows;
	t.stride[1] = (uint64_t)ld * sizeof(bf16);
	t.box[0] = HOPPER_PANEL;
	t.box[1] = (uint32_t)box_rows;
	return hopper_map(s, m, &t);
}

#if HOPPER

/* ---- addresses, fences, barriers of a block ----------------------------- */

static __device__ __forceinline__ unsigned
hopper_smem(const void *p)
{
	return (unsigned)__cvta_generic_to_shared(p);
}

/* Byte offset of the 16-byte chunk c (0..7) of row r in a panel. */
static __device__ __forceinline__ unsigned
hopper_at(unsigned r, unsigned c)
{
	return r * 128 + ((c ^ (r & 7)) << 4);
}

/* See PROXIES above: after writing, before the barrier. */
static __device__ __forceinline__ void
hopper_fence_async(void)
{
	asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
}

/* Barrier `id` (1..15; 0 is __syncthreads) of `threads`, a multiple of 32:
 * sync waits for the others, arrive only counts. */
static __device__ __forceinline__ void
hopper_sync(int id, int threads)
{
	asm volatile("bar.sync %0, %1;" ::"r"(id), "r"(threads) : "memory");
}

static __device__ __forceinline__ void
hopper_arrive(int id, int threads)
{
	asm volatile("bar.arrive %0, %1;" ::"r"(id), "r"(threads) : "memory");
}

/* A warpgroup's registers a thread become R, a multiple of 8 from 24 to 240:
 * take more after another has given back.  All its warps run it; the kernel
 * has __launch_bounds__(threads, 1), and the sum over warpgroups is at most
 * what it was launched with. */
template <int R>
static __device__ __forceinline__ void
hopper_regs_take(void)
{
	asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(R));
}

template <int R>
static __device__ __forceinline__ void
hopper_regs_give(void)
{
	asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(R));
}

/* ---- barriers in shared memory (mbarrier) ------------------------------- */

/* A barrier is 8 bytes, aligned to 8.  Its phase ends when `count` have arrived
 * and all announced bytes have come.  One thread makes the barriers, then calls
 * hopper_bar_made(), then the block (or the cluster) synchronizes. */
static __device__ __forceinline__ void
hopper_bar_init(unsigned bar, unsigned count)
{
	asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(bar), "r"(count) : "memory");
}

static __device__ __forceinline__ void
hopper_bar_made(void)
{
	asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
	hopper_fence_async();
}

static __device__ __forceinline__ void
hopper_bar_arrive(unsigned bar)
{
	asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(bar) : "memory");
}

/* Arrives, and announces bytes that copies will bring in this phase. */
static __device__ __forceinline__ void
hopper_bar_expect(unsigned bar, unsigned bytes)
{
	asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(bar),
	    "r"(bytes)
	    : "memory");
}

/* Arrives at the barrier at the same address in block `rank` of the cluster: a
 * stage that was read there is free.  It publishes no writes of the thread to
 * that block (a release of the cluster's scope would: it waits for all of the
 * thread's stores). */
static __device__ __forceinline__ void
hopper_bar_arrive_at(unsigned bar, unsigned rank)
{
	asm volatile("{\n"
		     ".reg .b32 there;\n"
		     "mapa.shared::cluster.u32 there, %0, %1;\n"
		     "mbarrier.arrive.shared::cluster.b64 _, [there];\n"
		     "}" ::"r"(bar),
	    "r"(rank)
	    : "memory");
}

/* Waits until the phase of this parity is over: 0 the first, 1 the second, 0
 * the third, ...; parity 1 passes at once on a new barrier. */
static __device__ __forceinline__ bool
hopper_bar_try(unsigned bar, unsigned parity)
{
	unsigned done;

	asm volatile("{\n"
		     ".reg .pred p;\n"
		     "mbarrier.try_wait.parity.shared::cta.b64 p, [%1], %2;\n"
		     "selp.u32 %0, 1, 0, p;\n"
		     "}"
		     : "=r"(done)
		     : "r"(bar), "r"(parity)
		     : "memory");
	return done;
}

static __device__ __forceinline__ void
hopper_bar_wait(unsigned bar, unsigned parity)
{
	while (!hopper_bar_try(bar, parity))
		;
}

/* ---- clusters ----------------------------------------------------------- */

static __device__ __forceinline__ unsigned
hopper_cluster_rank(void)
{
	unsigned r;

	asm("mov.u32 %0, %%cluster_ctarank;" : "=r"(r));
	return r;
}

/* All threads of all blocks of the cluster: after the barriers are made, and
 * before a block whose memory others reach ends. */
static __device__ __forceinline__ void
hopper_cluster_sync(void)
{
	asm volatile("barrier.cluster.arrive.release.aligned;\n"
		     "barrier.cluster.wait.acquire.aligned;" ::
			 : "memory");
}

/* ---- tensor copies (TMA), by one thread --------------------------------- */

/* How the second-level cache shall treat what is copied. */
#define HOPPER_ONCE 0x12f0000000000000ull /* evict first */
#define HOPPER_KEEP 0x14f0000000000000ull /* evict last */
#define HOPPER_NORMAL 0x1000000000000000ull

static __device__ __forceinline__ void
hopper_prefetch_map(const CUtensorMap *m)
{
	asm volatile("prefetch.tensormap [%0];" ::"l"(m) : "memory");
}

/* Loads the box at element (x, y[, z]) to `to`, aligned to 1024 bytes; the
 * bytes of the whole box are counted at `bar`, zeros too. */
static __device__ __forceinline__ void
hopper_load(unsigned to, const CUtensorMap *m, unsigned bar, int x, int y,
    uint64_t cache = HOPPER_NORMAL)
{
	asm volatile("cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes"
		     ".L2::cache_hint [%0], [%1, {%3, %4}], [%2], %5;" ::"r"(to),
	    "l"(m), "r"(bar), "r"(x), "r"(y), "l"(cache)
	    : "memory");
}

static __device__ __forceinline__ void
hopper_load(unsigned to, const CUtensorMap *m, unsigned bar, int x, int y, int z,
    uint64_t cache = HOPPER_NORMAL)
{
	asm volatile("cp.async.bulk.tensor.3d.shared::cluster.global.mbarrier::complete_tx::bytes"
		     ".L2::cache_hint [%0], [%1, {%3, %4, %5}], [%2], %6;" ::"r"(to),
	    "l"(m), "r"(bar), "r"(x), "r"(y), "r"(z), "l"(cache)
	    : "memory");
}

/* The same to the blocks of the cluster whose bits are set in `blocks`, at the
 * same addresses, counted at each one's own barrier. */
static __device__ __forceinline__ void
hopper_load_to(unsigned to, const CUtensorMap *m, unsigned bar, int x, int y,
    unsigned short blocks, uint64_t cache = HOPPER_NORMAL)
{
	asm volatile("cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes"
		     ".multicast::cluster.L2::cache_hint [%0], [%1, {%3, %4}], [%2], %5, %6;" ::"r"(
			 to),
	    "l"(m), "r"(bar), "r"(x), "r"(y), "h"(blocks), "l"(cache)
	    : "memory");
}

/* Plain runs of bytes (multiples of 16, aligned to 16). */
static __device__ __forceinline__ void
hopper_load_bytes(unsigned to, const void *from, unsigned bytes, unsigned bar)
{
	asm volatile("cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes"
		     " [%0], [%1], %2, [%3];" ::"r"(to),
	    "l"(from), "r"(bytes), "r"(bar)
	    : "memory");
}

/* Stores a box, or adds it (in the tensor's type; the order of additions to one
 * element is the hardware's, so blocks that add to the same elements must take
 * turns for results to be the same each time).  The thread then commits, and
 * waits with N = 0 before the shared memory is used again (_read) or before
 * others are told that the result is there (without). */
static __device__ __forceinline__ void
hopper_store(const CUtensorMap *m, unsigned from, int x, int y)
{
	asm volatile("cp.async.bulk.tensor.2d.global.shared::cta.bulk_group"
		     " [%0, {%2, %3}], [%1];" ::"l"(m),
	    "r"(from), "r"(x), "r"(y)
	    : "memory");
}

static __device__ __forceinline__ void
hopper_store(const CUtensorMap *m, unsigned from, int x, int y, int z)
{
	asm volatile("cp.async.bulk.tensor.3d.global.shared::cta.bulk_group"
		     " [%0, {%2, %3, %4}], [%1];" ::"l"(m),
	    "r"(from), "r"(x), "r"(y), "r"(z)
	    : "memory");
}

static __device__ __forceinline__ void
hopper_add(const CUtensorMap *m, unsigned from, int x, int y)
{
	asm volatile("cp.reduce.async.bulk.tensor.2d.global.shared::cta.add.bulk_group"
		     " [%0, {%2, %3}], [%1];" ::"l"(m),
	    "r"(from), "r"(x), "r"(y)
	    : "memory");
}

static __device__ __forceinline__ void
hopper_add(const CUtensorMap *m, unsigned from, int x, int y, int z)
{
	asm volatile("cp.reduce.async.bulk.tensor.3d.global.shared::cta.add.bulk_group"
		     " [%0, {%2, %3, %4}], [%1];" ::"l"(m),
	    "r"(from), "r"(x), "r"(y), "r"(z)
	    : "memory");
}

static __device__ __forceinline__ void
hopper_add_bytes(float *to, unsigned from, unsigned bytes) /* F32 */
{
	asm volatile("cp.reduce.async.bulk.global.shared::cta.bulk_group.add.f32"
		     " [%0], [%1], %2;" ::"l"(to),
	    "r"(from), "r"(bytes)
	    : "memory");
}

static __device__ __forceinline__ void
hopper_store_commit(void)
{
	asm volatile("cp.async.bulk.commit_group;" ::: "memory");
}

template <int N>
static __device__ __forceinline__ void
hopper_store_wait_read(void)
{
	asm volatile("cp.async.bulk.wait_group.read %0;" ::"n"(N) : "memory");
}

template <int N>
static __device__ __forceinline__ void
hopper_store_wait(void)
{
	asm volatile("cp.async.bulk.wait_group %0;" ::"n"(N) : "memory");
}

/* ---- small copies and matrices, as on sm_80 ----------------------------- */

/* 16 bytes, or zeros if not `there` (then `from` is not read, but must be a
 * valid address).  A thread's copies since the last commit are a group; wait
 * leaves at most N of its groups open. */
static __device__ __forceinline__ void
hopper_copy16(unsigned to, const void *from, bool there)
{
	asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(to), "l"(from),
	    "r"(there ? 16 : 0)
	    : "memory");
}

static __device__ __forceinline__ void
hopper_copy_commit(void)
{
	asm volatile("cp.async.commit_group;" ::: "memory");
}

template <int N>
static __device__ __forceinline__ void
hopper_copy_wait(void)
{
	asm volatile("cp.async.wait_group %0;" ::"n"(N) : "memory");
}

/* Four 8 x 8 matrices of bf16: lane 8 i + j gives the address of row j of
 * matrix i; of each matrix a lane holds columns 2 (lane % 4) and the next of
 * row lane / 4, or with _t that of the transposed one. */
static __device__ __forceinline__ void
hopper_put4(unsigned to, unsigned a, unsigned b, unsigned c, unsigned d)
{
	asm volatile("stmatrix.sync.aligned.m8n8.x4.shared.b16 [%0], {%1, %2, %3, %4};" ::"r"(to),
	    "r"(a), "r"(b), "r"(c), "r"(d)
	    : "memory");
}

static __device__ __forceinline__ void
hopper_put4_t(unsigned to, unsigned a, unsigned b, unsigned c, unsigned d)
{
	asm volatile("stmatrix.sync.aligned.m8n8.x4.trans.shared.b16 [%0], {%1, %2, %3, %4};" ::"r"(
			 to),
	    "r"(a), "r"(b), "r"(c), "r"(d)
	    : "memory");
}

static __device__ __forceinline__ void
hopper_get4(unsigned (&x)[4], unsigned from)
{
	asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
		     : "=r"(x[0]), "=r"(x[1]), "=r"(x[2]), "=r"(x[3])
		     : "r"(from)
		     : "memory");
}

static __device__ __forceinline__ void
hopper_get4_t(unsigned (&x)[4], unsigned from)
{
	asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
		     : "=r"(x[0]), "=r"(x[1]), "=r"(x[2]), "=r"(x[3])
		     : "r"(from)
		     : "memory");
}

/* ---- products of a warpgroup (wgmma) ------------------------------------ */

/* D (64,N) F32 += A (64,16) B (16,N), bf16.  D lies in registers: with t the
 * thread of the warpgroup (0..127), w = t / 32, l = t % 32,
 *	d[4 j], d[4 j + 1]	row 16 w + l / 4,	columns 8 j + 2 (l % 4), + 1
 *	d[4 j + 2], d[4 j + 3]	row 16 w + l / 4 + 8,	the same columns
 * A, if in registers, likewise, as four pairs (low half the first column):
 *	a[0] row l / 4, columns 2 (l % 4), + 1	a[1] row + 8
 *	a[2], a[3] the same rows, columns + 8
 * so that d[8 k .. 8 k + 7], rounded and packed in order, is a[0..3] of columns
 * 16 k .. 16 k + 15.
 *
 * Operands in shared memory are given by descriptors (one a panel):
 *
 * hopper_rows(): K along the panel's row: A (rows m, 64 of k) or B as (rows n,
 *	64 of k).  The next 16 of k: + HOPPER_ROWS_STEP; 64 rows on: + the
 *	address's (64 * 128) >> 4.
 * hopper_cols(): K down the rows: B as (rows k, 64 of n), or A as (rows k, 64
 *	of m), to be used with TB (TA) = 1.  The next 16 of k: +
 *	HOPPER_COLS_STEP.  For N > 64, `panel` is the bytes from a panel to the
 *	next.
 * A descriptor holds 14 bits of address / 16, so steps may simply be added.
 *
 * Order: hopper_mma_fence() before the first product of a group that touches
 * registers which ordinary instructions wrote (D, or A); products; commit;
 * hopper_mma_wait<N>() leaves at most N groups running.  Between the first
 * product and the wait D and A in registers must stay untouched;
 * hopper_mma_hold() after the wait keeps the compiler from moving uses of D
 * before it.  `add` false: D = A B. */
#define HOPPER_ROWS_STEP 2
#define HOPPER_COLS_STEP 128

static __device__ __forceinline__ uint64_t
hopper_rows(unsigned at)
{
	return (uint64_t)1 << 62 | (uint64_t)(1024 >> 4) << 32 | (uint64_t)1 << 16 |
	       (at & 0x3ffff) >> 4;
}

static __device__ __forceinline__ uint64_t
hopper_cols(unsigned at, unsigned panel)
{
	return (uint64_t)1 << 62 | (uint64_t)(1024 >> 4) << 32 | (uint64_t)(panel >> 4) << 16 |
	       (at & 0x3ffff) >> 4;
}

static __device__ __forceinline__ void
hopper_mma_fence(void)
{
	asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
}

static __device__ __forceinline__ void
hopper_mma_commit(void)
{
	asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
}

template <int N>
static __device__ __forceinline__ void
hopper_mma_wait(void)
{
	asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(N) : "memory");
}

template <int K>
static __device__ __forceinline__ void
hopper_mma_hold(float (&d)[K])
{
#pragma unroll
	for (int i = 0; i < K; i++)
		asm volatile("" : "+f"(d[i])::"memory");
}

template <int K>
static __device__ __forceinline__ void
hopper_mma_hold(unsigned (&a)[K])
{
#pragma unroll
	for (int i = 0; i < K; i++)
		asm volatile("" : "+r"(a[i])::"memory");
}

/* The operands of D: HOPPER_R its names in the instruction, HOPPER_D its
 * registers. */
#define HOPPER_R8 "%0, %1, %2, %3"
#define HOPPER_R16 HOPPER_R8 ", " "%4, %5, %6, %7"
#define HOPPER_R24 HOPPER_R16 ", " "%8, %9, %10, %11"
#define HOPPER_R32 HOPPER_R24 ", " "%12, %13, %14, %15"
#define HOPPER_R40 HOPPER_R32 ", " "%16, %17, %18, %19"
#define HOPPER_R48 HOPPER_R40 ", " "%20, %21, %22, %23"
#define HOPPER_R56 HOPPER_R48 ", " "%24, %25, %26, %27"
#define HOPPER_R64 HOPPER_R56 ", " "%28, %29, %30, %31"
#define HOPPER_R72 HOPPER_R64 ", " "%32, %33, %34, %35"
#define HOPPER_R80 HOPPER_R72 ", " "%36, %37, %38, %39"
#define HOPPER_R88 HOPPER_R80 ", " "%40, %41, %42, %43"
#define HOPPER_R96 HOPPER_R88 ", " "%44, %45, %46, %47"
#define HOPPER_R104 HOPPER_R96 ", " "%48, %49, %50, %51"
#define HOPPER_R112 HOPPER_R104 ", " "%52, %53, %54, %55"
#define HOPPER_R120 HOPPER_R112 ", " "%56, %57, %58, %59"
#define HOPPER_R128 HOPPER_R120 ", " "%60, %61, %62, %63"
#define HOPPER_R136 HOPPER_R128 ", " "%64, %65, %66, %67"
#define HOPPER_R144 HOPPER_R136 ", " "%68, %69, %70, %71"
#define HOPPER_R152 HOPPER_R144 ", " "%72, %73, %74, %75"
#define HOPPER_R160 HOPPER_R152 ", " "%76, %77, %78, %79"
#define HOPPER_R168 HOPPER_R160 ", " "%80, %81, %82, %83"
#define HOPPER_R176 HOPPER_R168 ", " "%84, %85, %86, %87"
#define HOPPER_R184 HOPPER_R176 ", " "%88, %89, %90, %91"
#define HOPPER_R192 HOPPER_R184 ", " "%92, %93, %94, %95"
#define HOPPER_R200 HOPPER_R192 ", " "%96, %97, %98, %99"
#define HOPPER_R208 HOPPER_R200 ", " "%100, %101, %102, %103"
#define HOPPER_R216 HOPPER_R208 ", " "%104, %105, %106, %107"
#define HOPPER_R224 HOPPER_R216 ", " "%108, %109, %110, %111"
#define HOPPER_R232 HOPPER_R224 ", " "%112, %113, %114, %115"
#define HOPPER_R240 HOPPER_R232 ", " "%116, %117, %118, %119"
#define HOPPER_R248 HOPPER_R240 ", " "%120, %121, %122, %123"
#define HOPPER_R256 HOPPER_R248 ", " "%124, %125, %126, %127"
#define HOPPER_D8 "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
#define HOPPER_D16 HOPPER_D8, "+f"(d[4]), "+f"(d[5]), "+f"(d[6]), "+f"(d[7])
#define HOPPER_D24 HOPPER_D16, "+f"(d[8]), "+f"(d[9]), "+f"(d[10]), "+f"(d[11])
#define HOPPER_D32 HOPPER_D24, "+f"(d[12]), "+f"(d[13]), "+f"(d[14]), "+f"(d[15])
#define HOPPER_D40 HOPPER_D32, "+f"(d[16]), "+f"(d[17]), "+f"(d[18]), "+f"(d[19])
#define HOPPER_D48 HOPPER_D40, "+f"(d[20]), "+f"(d[21]), "+f"(d[22]), "+f"(d[23])
#define HOPPER_D56 HOPPER_D48, "+f"(d[24]), "+f"(d[25]), "+f"(d[26]), "+f"(d[27])
#define HOPPER_D64 HOPPER_D56, "+f"(d[28]), "+f"(d[29]), "+f"(d[30]), "+f"(d[31])
#define HOPPER_D72 HOPPER_D64, "+f"(d[32]), "+f"(d[33]), "+f"(d[34]), "+f"(d[35])
#define HOPPER_D80 HOPPER_D72, "+f"(d[36]), "+f"(d[37]), "+f"(d[38]), "+f"(d[39])
#define HOPPER_D88 HOPPER_D80, "+f"(d[40]), "+f"(d[41]), "+f"(d[42]), "+f"(d[43])
#define HOPPER_D96 HOPPER_D88, "+f"(d[44]), "+f"(d[45]), "+f"(d[46]), "+f"(d[47])
#define HOPPER_D104 HOPPER_D96, "+f"(d[48]), "+f"(d[49]), "+f"(d[50]), "+f"(d[51])
#define HOPPER_D112 HOPPER_D104, "+f"(d[52]), "+f"(d[53]), "+f"(d[54]), "+f"(d[55])
#define HOPPER_D120 HOPPER_D112, "+f"(d[56]), "+f"(d[57]), "+f"(d[58]), "+f"(d[59])
#define HOPPER_D128 HOPPER_D120, "+f"(d[60]), "+f"(d[61]), "+f"(d[62]), "+f"(d[63])
#define HOPPER_D136 HOPPER_D128, "+f"(d[64]), "+f"(d[65]), "+f"(d[66]), "+f"(d[67])
#define HOPPER_D144 HOPPER_D136, "+f"(d[68]), "+f"(d[69]), "+f"(d[70]), "+f"(d[71])
#define HOPPER_D152 HOPPER_D144, "+f"(d[72]), "+f"(d[73]), "+f"(d[74]), "+f"(d[75])
#define HOPPER_D160 HOPPER_D152, "+f"(d[76]), "+f"(d[77]), "+f"(d[78]), "+f"(d[79])
#define HOPPER_D168 HOPPER_D160, "+f"(d[80]), "+f"(d[81]), "+f"(d[82]), "+f"(d[83])
#define HOPPER_D176 HOPPER_D168, "+f"(d[84]), "+f"(d[85]), "+f"(d[86]), "+f"(d[87])
#define HOPPER_D184 HOPPER_D176, "+f"(d[88]), "+f"(d[89]), "+f"(d[90]), "+f"(d[91])
#define HOPPER_D192 HOPPER_D184, "+f"(d[92]), "+f"(d[93]), "+f"(d[94]), "+f"(d[95])
#define HOPPER_D200 HOPPER_D192, "+f"(d[96]), "+f"(d[97]), "+f"(d[98]), "+f"(d[99])
#define HOPPER_D208 HOPPER_D200, "+f"(d[100]), "+f"(d[101]), "+f"(d[102]), "+f"(d[103])
#define HOPPER_D216 HOPPER_D208, "+f"(d[104]), "+f"(d[105]), "+f"(d[106]), "+f"(d[107])
#define HOPPER_D224 HOPPER_D216, "+f"(d[108]), "+f"(d[109]), "+f"(d[110]), "+f"(d[111])
#define HOPPER_D232 HOPPER_D224, "+f"(d[112]), "+f"(d[113]), "+f"(d[114]), "+f"(d[115])
#define HOPPER_D240 HOPPER_D232, "+f"(d[116]), "+f"(d[117]), "+f"(d[118]), "+f"(d[119])
#define HOPPER_D248 HOPPER_D240, "+f"(d[120]), "+f"(d[121]), "+f"(d[122]), "+f"(d[123])
#define HOPPER_D256 HOPPER_D248, "+f"(d[124]), "+f"(d[125]), "+f"(d[126]), "+f"(d[127])

/* hopper_mma<TA, TB>(d, a, b, add): both in shared memory.
 * hopper_mma<TB>(d, a, b, add): A in registers.  N is twice d's length. */
#define HOPPER_MMA(N, i0, i1, i2, i3, i4, i5, i6) \
	template <int TA, int TB> \
	static __device__ __forceinline__ void hopper_mma( \
	    float (&d)[N / 2], uint64_t a, uint64_t b, bool add) \
	{ \
		asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, %" #i2 ", 0;\n" \
			     "wgmma.mma_async.sync.aligned.m64n" #N "k16.f32.bf16.bf16 " \
			     "{" HOPPER_R##N "}, %" #i0 ", %" #i1 ", p, 1, 1, %" #i3 ", %" #i4 \
			     ";\n}" \
			     : HOPPER_D##N \
			     : "l"(a), "l"(b), "r"((int)add), "n"(TA), "n"(TB)); \
	} \
	template <int TB> \
	static __device__ __forceinline__ void hopper_mma( \
	    float (&d)[N / 2], const unsigned (&a)[4], uint64_t b, bool add) \
	{ \
		asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, %" #i5 ", 0;\n" \
			     "wgmma.mma_async.sync.aligned.m64n" #N "k16.f32.bf16.bf16 " \
			     "{" HOPPER_R##N "}, {%" #i0 ", %" #i1 ", %" #i2 ", %" #i3 "}, %" #i4 \
			     ", p, 1, 1, %" #i6 ";\n}" \
			     : HOPPER_D##N \
			     : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "r"((int)add), \
			     "n"(TB)); \
	}
HOPPER_MMA(8, 4, 5, 6, 7, 8, 9, 10)
HOPPER_MMA(16, 8, 9, 10, 11, 12, 13, 14)
HOPPER_MMA(24, 12, 13, 14, 15, 16, 17, 18)
HOPPER_MMA(32, 16, 17, 18, 19, 20, 21, 22)
HOPPER_MMA(40, 20, 21, 22, 23, 24, 25, 26)
HOPPER_MMA(48, 24, 25, 26, 27, 28, 29, 30)
HOPPER_MMA(56, 28, 29, 30, 31, 32, 33, 34)
HOPPER_MMA(64, 32, 33, 34, 35, 36, 37, 38)
HOPPER_MMA(72, 36, 37, 38, 39, 40, 41, 42)
HOPPER_MMA(80, 40, 41, 42, 43, 44, 45, 46)
HOPPER_MMA(88, 44, 45, 46, 47, 48, 49, 50)
HOPPER_MMA(96, 48, 49, 50, 51, 52, 53, 54)
HOPPER_MMA(112, 56, 57, 58, 59, 60, 61, 62)
HOPPER_MMA(128, 64, 65, 66, 67, 68, 69, 70)
HOPPER_MMA(144, 72, 73, 74, 75, 76, 77, 78)
HOPPER_MMA(160, 80, 81, 82, 83, 84, 85, 86)
HOPPER_MMA(176, 88, 89, 90, 91, 92, 93, 94)
HOPPER_MMA(192, 96, 97, 98, 99, 100, 101, 102)
HOPPER_MMA(208, 104, 105, 106, 107, 108, 109, 110)
HOPPER_MMA(224, 112, 113, 114, 115, 116, 117, 118)
HOPPER_MMA(240, 120, 121, 122, 123, 124, 125, 126)
HOPPER_MMA(256, 128, 129, 130, 131, 132, 133, 134)

#endif /* HOPPER */
#endif
