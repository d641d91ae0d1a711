/* Rows by id from a table or from outside, and the gradients of both.
 *
 * Forward is a copy, 4 bytes an element; a thread has the loads of AHEAD rows
 * under way.  Backward, the rows are put in order of (id, n) first, so that
 * those of an id stand next to each other:
 *
 *	key[n] = id[n] << 32 | n	all different, so any sort is the same
 *	tiles of TILE keys are sorted by counting; runs are merged, WAYS at a
 *	time: the place of a key is the sum of how many keys of each run are
 *	below it, by binary search
 *
 *	one warp PLACES places and 32 V columns: where a run of keys with one
 *		id starts, it adds dy[n] of the run's keys, in order
 *	one block 8 V columns of some long runs: all threads load, a thread a
 *		column adds
 *
 * The sort takes three short launches for N up to 65,536.  The rest is bound by
 * memory: 2 bytes an element of dy and 8 of each row of dw that is met.  A long
 * run must not be cut, for the contract's order of additions, but its rows can
 * be under way long before they are added.
 *
 * On an H100 (November 2026), 16,384 rows of 1536: forward 36 us, 95 % of a
 * copy's speed; backward 106 us, 69 %, for ids that seldom repeat (20 us of it
 * before the first sum), 112 us for ids like words, 222 us for one id only.
 * The next rung: more rows of short runs under way.
 */
#include "cuda.h"

#define AHEAD     4
#define TILE      256 /* keys sorted by a block */
#define WAYS      16 /* runs merged at a time; divides a warp */
#define DEEP      4 /* rows of a short run under way */
#define PLACES    8 /* where runs may start, of a warp */
#define LONG      64 /* see long_from() */
#define LONG_ROWS 128 /* of a long run under way */
#define SHARE     8 /* blocks that divide the long runs */
#define THREADS   256

/* ---- forward ------------------------------------------------------------ */

template <class T>
static __global__ void
__launch_bounds__(THREADS) embedding_kernel(T *__restrict__ y, const T *__restrict__ w,
    const T *__restrict__ e, const int32_t *__restrict__ id, int64_t N, int64_t C, unsigned per_row)
{
	struct cuda_place p = row_at<1>(per_row);
	int64_t n = p.row * AHEAD;
	T row[AHEAD];

	cuda_follow();
	if (p.col >= C)
		return;
#pragma unroll
	for (int i = 0; i < AHEAD; i++) {
		int64_t from;

		if (n + i >= N)
			break;
		from = id[n + i];
		row[i] = from >= 0 ? w[from * C + p.col] : e[~from * C + p.col];
	}
	cuda_lead();
#pragma unroll
	for (int i = 0; i < AHEAD; i++)
		if (n + i < N)
			y[(n + i) * C + p.col] = row[i];
}

template <class T>
static void
forward(struct gvk_stream *s, void *y, const void *w, const void *e, const int32_t *id, int64_t N,
    int64_t C)
{
	struct cuda_rows g = cuda_grid(cuda_div_up(N, AHEAD), C, 1);

	CUDA_LAUNCH_SOON(s, embedding_kernel<T>, g.blocks, g.threads, 0, (T *)y, (const T *)w,
	    (const T *)e, id, N, C, g.per_row);
}

void
gvk_cuda_embedding(struct gvk_stream *s, void *y, const void *w, const void *e, const int32_t *id,
    int64_t N, int64_t C)
{
	if (N <= 0 || C <= 0)
		return;
	cuda_of(s);
	if (cuda_vec8(y, C) && cuda_vec8(w, C) && cuda_vec8(e, C))
		forward<uint4>(s, y, w, e, id, N, C / 8);
	else
		forward<uint16_t>(s, y, w, e, id, N, C);
}

/* ---- sorting ------------------------------------------------------------ */

typedef long long order; /* id << 32 | n */

/* Sorts TILE ids by counting: the place of thread t's is how many are smaller,
 * or equal and before it. */
static __global__ void
__launch_bounds__(TILE)
    sort_kernel(order *__restrict__ out, const int32_t *__restrict__ id, int64_t N)
{
	__shared__ __align__(16) int32_t all[TILE];
	int64_t at = (int64_t)blockIdx.x * TILE, n = at + threadIdx.x;
	int count = N - at < TILE ? (int)(N - at) : TILE, t = threadIdx.x, below = 0;
	int32_t own;

	cuda_follow();
	own = all[t] = n < N ? id[n] : INT32_MAX; /* which is no id */
	__syncthreads();
	if (t >= count)
		return;
#pragma unroll 4
	for (int j = 0; j < TILE; j += 4) {
		int4 four = *reinterpret_cast<const int4 *>(all + j);

		below += four.x < own || (four.x == own && j < t);
		below += four.y < own || (four.y == own && j + 1 < t);
		below += four.z < own || (four.z == own && j + 2 < t);
		below += four.w < own || (four.w == own && j + 3 < t);
	}
	out[at + below] = (order)own << 32 | n;
}

/* Merges each WAYS runs of `run` keys, a power of two.  WAYS threads a key: the
 * place of a key is the sum of how many keys of each run are below it. */
static __global__ void
__launch_bounds__(THREADS)
    merge_kernel(order *__restrict__ out, const order *__restrict__ in, int N, int run)
{
	int64_t t = (int64_t)blockIdx.x * THREADS + threadIdx.x;
	int i = (int)(t / WAYS), first = i / (run * WAYS) * (run * WAYS);
	int start = first + (int)(t % WAYS) * run, below = 0;
	order key;

	cuda_follow();
	key = i < N ? in[i] : 0;
	for (int step = run; step > 0 && i < N; step /= 2) {
		int next = below + step;

		if (next <= run && start + next <= N && in[start + next - 1] < key)
			below = next;
	}
#pragma unroll
	for (int lane = WAYS / 2; lane > 0; lane /= 2)
		below += __shfl_xor_sync(CUDA_ALL, below, lane);
	if (i < N && t % WAYS == 0)
		out[first + below] = key;
}

/* Returns the ordered keys, in the stream's scratch. */
static const order *
sort(struct gvk_stream *s, const int32_t *id, int64_t N)
{
	order *a = (order *)cuda_of(s)->scratch, *b = a + N, *t;

	assert(2 * N * sizeof *a <= CUDA_SCRATCH); /* so ints hold what follows */
	CUDA_LAUNCH_SOON(s, sort_kernel, cuda_blocks(N, TILE), TILE, 0, a, id, N);
	for (int run = TILE; run < N; run *= WAYS) {
		CUDA_LAUNCH_SOON(
		    s, merge_kernel, cuda_blocks(N * WAYS, THREADS), THREADS, 0, b, a, (int)N, run);
		t = a;
		a = b;
		b = t;
	}
	return a;
}

/* ---- backward ----------------------------------------------------------- */

template <int V> struct alignas(V * sizeof(bf16)) stored {
	bf16 x[V];
};

/* Columns of a gradient's row as they are added up. */
template <int V> struct alignas(V < 4 ? 4 : 16) exact {
	float x[V];
};

struct embedding_bwd {
	float *dw;
	bf16 *de;
	const bf16 *dy;
	const order *key;
	int64_t N, C;
	unsigned slabs, long_slabs; /* of 32 V and of 8 V columns */
};

static __device__ __forceinline__ int32_t
id_of(order key)
{
	return (int32_t)(key >> 32);
}

static __device__ __forceinline__ bool
wanted(const struct embedding_bwd &a, int32_t id)
{
	return id >= 0 ? a.dw != NULL : a.de != NULL;
}

template <int V>
static __device__ __forceinline__ exact<V>
row_before(const struct embedding_bwd &a, int32_t id, int64_t col)
{
	if (id < 0)
		return {};
	return *reinterpret_cast<const exact<V> *>(a.dw + id * a.C + col);
}

template <int V>
static __device__ __forceinline__ void
row_after(const struct embedding_bwd &a, int32_t id, int64_t col, const exact<V> &sum)
{
	if (id >= 0)
		*reinterpret_cast<exact<V> *>(a.dw + id * a.C + col) = sum;
	else
		store<V>(a.de + ~(int64_t)id * a.C + col, sum.x);
}

/* Adds the rows of keys first..end-1 of the 32 that the lanes hold. */
template <int V>
static __device__ __forceinline__ void
add_rows(exact<V> &sum, const struct embedding_bwd &a, order key, int first, int end, int64_t col)
{
	for (int j = first; j < end; j += DEEP) {
		stored<V> row[DEEP];

#pragma unroll
		for (int d = 0; d < DEEP; d++) {
			int64_t n = __shfl_sync(CUDA_ALL, (uint32_t)key, (j + d) % CUDA_WARP);

			if (j + d < end && col < a.C)
				row[d] = *reinterpret_cast<const stored<V> *>(a.dy + n * a.C + col);
		}
#pragma unroll
		for (int d = 0; d < DEEP; d++)
			if (j + d < end && col < a.C)
#pragma unroll
				for (int v = 0; v < V; v++)
					sum.x[v] += to_f(row[d].x[v]);
	}
}

/* Whether a run of `id` that starts at place i is long: two multiples of LONG
 * are in it. */
static __device__ __forceinline__ bool
long_from(const struct embedding_bwd &a, int64_t i, int32_t id)
{
	int64_t second = (i + LONG - 1) / LONG * LONG + LONG;

	return second < a.N && id_of(a.key[second]) == id;
}

/* A warp: the short runs that start at places i..i+PLACES-1, 32 V columns from
 * `col` on.  Lane l holds key i + l. */
template <int V>
static __device__ __forceinline__ void
short_runs(const struct embedding_bwd &a, int64_t i, int64_t col)
{
	int lane = threadIdx.x % CUDA_WARP;
	bool in = i + lane < a.N;
	order key = in ? a.key[i + lane] : 0;
	int32_t id = id_of(key);
	bool starts = in && lane < PLACES && wanted(a, id) &&
		      (i + lane == 0 || id_of(a.key[i + lane - 1]) != id) &&
		      !long_from(a, i + lane, id);
	unsigned left = __ballot_sync(CUDA_ALL, starts);

	col += lane * V;
	for (; left; left &= left - 1) {
		int first = __ffs((int)left) - 1, end;
		int32_t own = __shfl_sync(CUDA_ALL, id, first);
		order held = key;
		int64_t at = i;
		exact<V> sum = {};

		if (col < a.C)
			sum = row_before<V>(a, own, col);
		for (;;) {
			bool same = lane >= first && at + lane < a.N && id_of(held) == own;

			end = first + __popc(__ballot_sync(CUDA_ALL, same));
			add_rows<V>(sum, a, held, first, end, col);
			if (end < CUDA_WARP)
				break;
			first = 0;
			at += CUDA_WARP;
			held = at + lane < a.N ? a.key[at + lane] : 0;
		}
		if (col < a.C)
			row_after<V>(a, own, col, sum);
	}
}

/* Where the run ends, by a search with all threads. */
static __device__ __forceinline__ int64_t
long_run_end(const struct embedding_bwd &a, int64_t start, int32_t id)
{
	int64_t left = a.N - start, step;

	do {
		int64_t j;

		step = (left + THREADS - 1) / THREADS;
		j = start + threadIdx.x * step;
		j = __syncthreads_count(threadIdx.x * step < left && id_of(a.key[j]) == id);
		start += (j - 1) * step;
		left = left - (j - 1) * step < step ? left - (j - 1) * step : step;
	} while (step > 1);
	return start + 1;
}

/* A block: the long run whose first multiple of LONG is `place`, 8 V columns
 * from `col` on.  All threads load, LONG_ROWS rows at a time, the first 8 V of
 * them add. */
template <int V>
static __device__ __forceinline__ void
long_run(const struct embedding_bwd &a, int64_t place, int64_t col)
{
	constexpr int per_thread = LONG_ROWS * 8 / THREADS;
	__shared__ stored<V> rows[LONG_ROWS][8];
	int32_t id = id_of(a.key[place]);
	int64_t j = place - threadIdx.x;
	int64_t start =
	    place + 1 -
	    __syncthreads_count(threadIdx.x < LONG && j >= 0 && id_of(a.key[j < 0 ? 0 : j]) == id);
	int64_t end = long_run_end(a, start, id);
	int64_t from = col + threadIdx.x % 8 * V, mine = col + threadIdx.x;
	bool adds = threadIdx.x < 8 * V && mine < a.C;
	stored<V> next[per_thread];
	exact<1> sum = {};

	auto fetch = [&](int64_t at) {
#pragma unroll
		for (int i = 0; i < per_thread; i++) {
			int64_t k = at + (i * THREADS + threadIdx.x) / 8;

			if (k < end && from < a.C)
				next[i] = *reinterpret_cast<const stored<V> *>(
				    a.dy + (int64_t)(uint32_t)a.key[k] * a.C + from);
		}
	};

	if (adds)
		sum = row_before<1>(a, id, mine);
	fetch(start);
	for (; start < end; start += LONG_ROWS) {
		int count = (int)(end - start < LONG_ROWS ? end - start : LONG_ROWS);

		__syncthreads();
#pragma unroll
		for (int i = 0; i < per_thread; i++)
			(&rows[0][0])[i * THREADS + threadIdx.x] = next[i];
		__syncthreads();
		fetch(start + LONG_ROWS);
		if (adds)
#pragma unroll 16
			for (int k = 0; k < count; k++)
				sum.x[0] += to_f((&rows[k][0].x[0])[threadIdx.x]);
	}
	if (adds)
		row_after<1>(a, id, mine, sum);
}

/* A block: of the long runs each SHARE-th from `first` on.  The threads look
 * at THREADS multiples of LONG at a time. */
template <int V>
static __device__ __forceinline__ void
long_runs(const struct embedding_bwd &a, unsigned first, int64_t col)
{
	__shared__ unsigned found[THREADS / CUDA_WARP];
	unsigned met = 0;

	for (int64_t at = 0; at < a.N; at += (int64_t)THREADS * LONG) {
		int64_t place = at + threadIdx.x * LONG;
		int32_t id = place < a.N ? id_of(a.key[place]) : 0;
		bool starts = place < a.N && wanted(a, id) && long_from(a, place, id) &&
			      (place == 0 || id_of(a.key[place - LONG]) != id);
		unsigned bits = __ballot_sync(CUDA_ALL, starts);

		__syncthreads();
		if (threadIdx.x % CUDA_WARP == 0)
			found[threadIdx.x / CUDA_WARP] = bits;
		__syncthreads();
		for (int w = 0; w < THREADS / CUDA_WARP; w++)
			for (unsigned left = found[w]; left; left &= left - 1)
				if (met++ % SHARE == first)
					long_run<V>(a,
					    at + (w * CUDA_WARP + __ffs((int)left) - 1) * LONG,
					    col);
	}
}

/* The blocks of the long runs come first: they take longest. */
template <int V>
static __global__ void
__launch_bounds__(THREADS, 4) embedding_bwd_kernel(struct embedding_bwd a)
{
	unsigned long_blocks = a.long_slabs * SHARE;

	cuda_follow();
	cuda_lead();
	if (blockIdx.x < long_blocks) {
		unsigned slab = blockIdx.x / SHARE;

		long_runs<V>(a, blockIdx.x - slab * SHARE, (int64_t)slab * (8 * V));
	} else {
		int64_t warp = (int64_t)(blockIdx.x - long_blocks) * (THREADS / CUDA_WARP) +
			       threadIdx.x / CUDA_WARP;
		int64_t group = warp / a.slabs, slab = warp - group * a.slabs;

		if (group * PLACES < a.N)
			short_runs<V>(a, group * PLACES, slab * (32 * V));
	}
}

template <int V>
static void
backward(struct gvk_stream *s, struct embedding_bwd a)
{
	int64_t groups = cuda_div_up(a.N, PLACES);

	a.slabs = (unsigned)cuda_div_up(a.C, 32 * V);
	a.long_slabs = (unsigned)cuda_div_up(a.C, 8 * V);
	CUDA_LAUNCH_SOON(s, embedding_bwd_kernel<V>,
	    a.long_slabs * SHARE + cuda_blocks(groups * a.slabs, THREADS / CUDA_WARP), THREADS, 0,
	    a);
}

void
gvk_cuda_embedding_bwd(struct gvk_stream *s, float *dw, void *de, const void *dy, const int32_t *id,
    int64_t N, int64_t C, int64_t V, int64_t E)
{
	struct cuda_stream *c = cuda_of(s);
	struct embedding_bwd a = {dw, (bf16 *)de, (const bf16 *)dy, NULL, N, C, 0, 0};
	size_t bytes = (size_t)(E * C) * sizeof(bf16);

	(void)V;
	if (de && bytes) {
		c->soon = false;
		if (!cuda_ok(s, cudaMemsetAsync(de, 0, bytes, c->st), "embedding_bwd"))
			return;
	}
	if (N <= 0 || C <= 0 || (!dw && !de))
		return;
	a.key = sort(s, id, N);
	if (cuda_vec8(dw, 0) && cuda_vec8(de, C) && cuda_vec8(dy, C))
		backward<8>(s, a);
	else
		backward<1>(s, a);
}
