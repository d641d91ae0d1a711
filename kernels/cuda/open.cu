/* The CUDA backend around its ops: the device, memory, streams and copies, and
 * the two tables that gvk.c calls through.
 *
 * A stream is a non-blocking CUDA stream with scratch of its own (cuda.h), so
 * that ops allocate nothing.  Copies of pinned memory (gvk_host_alloc) run
 * beside kernels of other streams; those of ordinary memory are staged by the
 * driver and may make the caller wait.
 */
#include "cuda.h"

#include <stdlib.h>

/* ---- memory ------------------------------------------------------------- */

static void
cuda_close(struct gvk *k)
{
	struct cuda_device *d = (struct cuda_device *)k->priv;

	cudaSetDevice(d->n);
	cublasLtDestroy(d->lt);
	free(d);
}

/* A failure is told by NULL and must not show up as a later launch's. */
static void *
cuda_alloc(struct gvk *k, size_t bytes)
{
	void *p = NULL;

	cudaSetDevice(cuda_device_of(k)->n);
	if (bytes > SIZE_MAX / 2 || cudaMalloc(&p, bytes ? bytes : 1) != cudaSuccess) {
		cudaGetLastError();
		return NULL;
	}
	return p;
}

/* Waits for the device, so memory of queued ops is not taken away. */
static void
cuda_free(struct gvk *k, void *p)
{
	cudaSetDevice(cuda_device_of(k)->n);
	if (cudaFree(p) != cudaSuccess)
		cudaGetLastError();
}

static void *
cuda_host_alloc(struct gvk *k, size_t bytes)
{
	void *p = NULL;

	cudaSetDevice(cuda_device_of(k)->n);
	if (bytes > SIZE_MAX / 2 ||
	    cudaHostAlloc(&p, bytes ? bytes : 1, cudaHostAllocPortable) != cudaSuccess) {
		cudaGetLastError();
		return NULL;
	}
	return p;
}

static void
cuda_host_free(struct gvk *k, void *p)
{
	cudaSetDevice(cuda_device_of(k)->n);
	if (cudaFreeHost(p) != cudaSuccess)
		cudaGetLastError();
}

static void
cuda_memory(struct gvk *k, size_t *total, size_t *avail)
{
	cudaSetDevice(cuda_device_of(k)->n);
	if (cudaMemGetInfo(avail, total) != cudaSuccess) {
		cudaGetLastError();
		*total = *avail = 0;
	}
}

/* ---- streams ------------------------------------------------------------ */

static void
release(struct cuda_stream *c)
{
	if (c->scratch)
		cudaFree(c->scratch);
	if (c->ticket)
		cudaFree(c->ticket);
	if (c->lt_ws)
		cudaFree(c->lt_ws);
	if (c->mark)
		cudaEventDestroy(c->mark);
	if (c->st)
		cudaStreamDestroy(c->st);
	cudaGetLastError();
	free(c);
}

static int
cuda_stream_open(struct gvk_stream *s)
{
	struct cuda_device *d = (struct cuda_device *)s->k->priv;
	struct cuda_stream *c = (struct cuda_stream *)calloc(1, sizeof *c);

	if (!c)
		return -1;
	c->dev = d;
	c->lt = d->lt;
	cudaSetDevice(d->n);
	if (cudaStreamCreateWithFlags(&c->st, cudaStreamNonBlocking) != cudaSuccess ||
	    cudaEventCreateWithFlags(&c->mark, cudaEventDisableTiming) != cudaSuccess ||
	    cudaMalloc(&c->scratch, CUDA_SCRATCH) != cudaSuccess ||
	    cudaMalloc(&c->lt_ws, CUDA_LT_WS) != cudaSuccess ||
	    cudaMalloc(&c->ticket, CUDA_TICKETS * sizeof *c->ticket) != cudaSuccess ||
	    cudaMemset(c->ticket, 0, CUDA_TICKETS * sizeof *c->ticket) != cudaSuccess) {
		release(c);
		return -1;
	}
	s->priv = c;
	return 0;
}

static void
cuda_stream_close(struct gvk_stream *s)
{
	struct cuda_stream *c = cuda_of(s);

	cudaStreamSynchronize(c->st);
	release(c);
	s->priv = NULL;
}

/* What `on` has failed to compute, `s` would use. */
static void
cuda_wait(struct gvk_stream *s, struct gvk_stream *on)
{
	struct cuda_stream *c = cuda_of(s);
	struct cuda_stream *other = (struct cuda_stream *)on->priv;

	if (on->err[0])
		gvk_stream_fail(s, on->err);
	if (c == other)
		return;
	c->soon = false;
	if (cuda_ok(s, cudaEventRecord(other->mark, other->st), "wait"))
		cuda_ok(s, cudaStreamWaitEvent(c->st, other->mark, 0), "wait");
}

static void
cuda_sync(struct gvk_stream *s)
{
	struct cuda_stream *c = cuda_of(s);

	cuda_ok(s, cudaStreamSynchronize(c->st), "sync");
}

static void
copy(struct gvk_stream *s, void *dst, const void *src, size_t bytes, enum cudaMemcpyKind kind,
    const char *what)
{
	struct cuda_stream *c = cuda_of(s);

	c->soon = false;
	if (bytes)
		cuda_ok(s, cudaMemcpyAsync(dst, src, bytes, kind, c->st), what);
}

static void
cuda_put(struct gvk_stream *s, void *dst, const void *host, size_t bytes)
{
	copy(s, dst, host, bytes, cudaMemcpyHostToDevice, "put");
}

static void
cuda_get(struct gvk_stream *s, void *host, const void *src, size_t bytes)
{
	copy(s, host, src, bytes, cudaMemcpyDeviceToHost, "get");
}

#define COPY_THREADS 256
#define COPY_EACH    4 /* loads of 16 bytes that a thread has under way */

/* Faster by a fifth than CUDA's own copy within a device, whatever its size. */
static __global__ void
__launch_bounds__(COPY_THREADS) copy_kernel(uint4 *dst, const uint4 *src, size_t n)
{
	size_t at = (size_t)blockIdx.x * COPY_THREADS * COPY_EACH + threadIdx.x;
	uint4 v[COPY_EACH];

#pragma unroll
	for (int i = 0; i < COPY_EACH; i++)
		if (at + i * COPY_THREADS < n)
			v[i] = src[at + i * COPY_THREADS];
#pragma unroll
	for (int i = 0; i < COPY_EACH; i++)
		if (at + i * COPY_THREADS < n)
			dst[at + i * COPY_THREADS] = v[i];
}

static void
cuda_copy(struct gvk_stream *s, void *dst, const void *src, size_t bytes)
{
	const size_t n = bytes / sizeof(uint4);

	cuda_of(s);
	if (n && ((uintptr_t)dst | (uintptr_t)src | bytes) % sizeof(uint4) == 0)
		CUDA_LAUNCH(s, copy_kernel, cuda_blocks((int64_t)n, COPY_THREADS * COPY_EACH),
		    COPY_THREADS, 0, (uint4 *)dst, (const uint4 *)src, n);
	else
		copy(s, dst, src, bytes, cudaMemcpyDeviceToDevice, "copy");
}

static void
cuda_zero(struct gvk_stream *s, void *dst, size_t bytes)
{
	struct cuda_stream *c = cuda_of(s);

	c->soon = false;
	if (bytes)
		cuda_ok(s, cudaMemsetAsync(dst, 0, bytes, c->st), "zero");
}

/* ---- graphs ------------------------------------------------------------- */

/* What gvk_graph points to is CUDA's own executable graph. */

static bool
cuda_graph_begin(struct gvk_stream *s)
{
	struct cuda_stream *c = cuda_of(s);

	if (s->err[0])
		return false;
	c->soon = false;
	if (cudaStreamBeginCapture(c->st, cudaStreamCaptureModeThreadLocal) == cudaSuccess)
		return true;
	cudaGetLastError();
	return false;
}

static bool
cuda_graph_end(struct gvk_stream *s, struct gvk_graph **g)
{
	struct cuda_stream *c = cuda_of(s);
	cudaGraph_t graph = NULL;
	cudaGraphExec_t exec = NULL;
	cudaError_t e = cudaStreamEndCapture(c->st, &graph);

	if (e == cudaSuccess && !s->err[0])
		e = cudaGraphInstantiate(&exec, graph, 0);
	if (graph)
		cudaGraphDestroy(graph);
	cudaGetLastError();
	c->soon = false;
	*g = (struct gvk_graph *)exec;
	return e == cudaSuccess && exec;
}

static void
cuda_graph_run(struct gvk_stream *s, struct gvk_graph *g)
{
	struct cuda_stream *c = cuda_of(s);

	c->soon = false;
	cuda_ok(s, cudaGraphLaunch((cudaGraphExec_t)g, c->st), "graph");
}

static void
cuda_graph_free(struct gvk *k, struct gvk_graph *g)
{
	cudaSetDevice(cuda_device_of(k)->n);
	if (cudaGraphExecDestroy((cudaGraphExec_t)g) != cudaSuccess)
		cudaGetLastError();
}

/* ---- memory of other processes ------------------------------------------ */

/* What a handle holds: CUDA's, and the device that it is of. */
struct shared {
	cudaIpcMemHandle_t mem;
	cudaUUID_t device;
};

static_assert(sizeof(struct shared) <= GVK_HANDLE, "GVK_HANDLE is too small");

static int
shared_fail(char *err, size_t cap, const char *what, cudaError_t e)
{
	cudaGetLastError();
	snprintf(err, cap, "%s: %s", what, cudaGetErrorString(e));
	return -1;
}

static int
cuda_share(struct gvk *k, void *p, unsigned char handle[GVK_HANDLE], char *err, size_t cap)
{
	struct cudaDeviceProp prop;
	struct shared h;
	cudaError_t e;

	memset(handle, 0, GVK_HANDLE);
	cudaSetDevice(cuda_device_of(k)->n);
	e = cudaIpcGetMemHandle(&h.mem, p);
	if (e == cudaSuccess)
		e = cudaGetDeviceProperties(&prop, cuda_device_of(k)->n);
	if (e != cudaSuccess)
		return shared_fail(err, cap, "device memory cannot be shared", e);
	h.device = prop.uuid;
	memcpy(handle, &h, sizeof h);
	return 0;
}

static void *
cuda_shared_open(struct gvk *k, const unsigned char handle[GVK_HANDLE], char *err, size_t cap)
{
	struct cudaDeviceProp prop;
	struct shared h;
	void *p = NULL;
	cudaError_t e;

	memcpy(&h, handle, sizeof h);
	cudaSetDevice(cuda_device_of(k)->n);
	e = cudaGetDeviceProperties(&prop, cuda_device_of(k)->n);
	if (e == cudaSuccess && memcmp(&prop.uuid, &h.device, sizeof h.device)) {
		snprintf(err, cap, "it is on another device");
		return NULL;
	}
	if (e == cudaSuccess)
		e = cudaIpcOpenMemHandle(&p, h.mem, cudaIpcMemLazyEnablePeerAccess);
	if (e == cudaSuccess)
		return p;
	shared_fail(err, cap, "shared device memory cannot be opened", e);
	return NULL;
}

static void
cuda_shared_close(struct gvk *k, void *p)
{
	cudaSetDevice(cuda_device_of(k)->n);
	if (cudaIpcCloseMemHandle(p) != cudaSuccess)
		cudaGetLastError();
}

/* ---- tables ------------------------------------------------------------- */

/* In the order of struct gvk_backend. */
static const struct gvk_backend cuda_backend = {
    cuda_close,
    cuda_alloc,
    cuda_free,
    cuda_host_alloc,
    cuda_host_free,
    cuda_memory,
    cuda_stream_open,
    cuda_stream_close,
    cuda_wait,
    cuda_sync,
    cuda_put,
    cuda_get,
    cuda_copy,
    cuda_zero,
    cuda_graph_begin,
    cuda_graph_end,
    cuda_graph_run,
    cuda_graph_free,
    cuda_share,
    cuda_shared_open,
    cuda_shared_close,
};

/* In the order of GVK_OPS. */
static const struct gvk_ops cuda_ops = {
#define X(name, params, args) gvk_cuda_##name,
    GVK_OPS(X)
#undef X
	gvk_cuda_attention_bwd_ws,
    gvk_cuda_xent_ws,
    gvk_cuda_sample_ws,
};

/* ---- opening ------------------------------------------------------------ */

__global__ void
probe_kernel(void)
{
}

/* One line in err, with CUDA's words if there are any; -1. */
static int
refuse(char *err, size_t cap, const char *what, cudaError_t e)
{
	cudaGetLastError();
	if (e == cudaSuccess)
		snprintf(err, cap, "%s", what);
	else
		snprintf(err, cap, "%s: %s", what, cudaGetErrorString(e));
	return -1;
}

/* Fills *d from device n, which is made to run a kernel of this library: an
 * older GPU, or a driver that is too old, is found here. */
static int
examine(struct cuda_device *d, int n, char *name, size_t name_cap, char *err, size_t cap)
{
	struct cudaDeviceProp prop;
	struct cudaFuncAttributes attr;
	cudaError_t e;
	int count = 0;

	e = cudaGetDeviceCount(&count);
	if (e != cudaSuccess || count < 1)
		return refuse(err, cap, "no CUDA device", e);
	if (n >= count) {
		snprintf(err, cap, "no CUDA device %d: there %s %d", n, count == 1 ? "is" : "are",
		    count);
		return -1;
	}
	e = cudaSetDevice(n);
	if (e == cudaSuccess)
		e = cudaGetDeviceProperties(&prop, n);
	if (e != cudaSuccess)
		return refuse(err, cap, "cannot use the CUDA device", e);
	e = cudaFuncGetAttributes(&attr, probe_kernel);
	if (e != cudaSuccess)
		return refuse(err, cap, "cannot run on the CUDA device", e);
	d->n = n;
	d->sm = 10 * prop.major + prop.minor;
	d->processors = prop.multiProcessorCount;
	d->smem = prop.sharedMemPerBlockOptin;
	snprintf(name, name_cap, "cuda:%d: %.70s", n, prop.name);
	return 0;
}

extern "C" int
gvk_cuda_open(struct gvk *k, int abi, int n, char *err, size_t cap)
{
	struct cuda_device *d;

	if (abi != GVK_BACKEND_ABI)
		return refuse(err, cap, "the CUDA backend is of another version", cudaSuccess);
	d = (struct cuda_device *)calloc(1, sizeof *d);
	if (!d)
		return refuse(err, cap, "out of memory", cudaSuccess);
	if (examine(d, n, k->name, sizeof k->name, err, cap)) {
		free(d);
		return -1;
	}
	if (cublasLtCreate(&d->lt) != CUBLAS_STATUS_SUCCESS) {
		free(d);
		return refuse(err, cap, "cannot start cublas", cudaSuccess);
	}
	k->backend = &cuda_backend;
	k->ops = &cuda_ops;
	k->dtype = GVK_BF16;
	k->host = false;
	k->threads = 1;
	k->priv = d;
	if (cap)
		err[0] = 0;
	return 0;
}
