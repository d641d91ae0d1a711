/* Rows by id from a table or from outside, and the gradients of both.
 *
 * Forward is a copy, 4 bytes an element; a thread has the loads of AHEAD rows
 * under way.  Backward, the rows are put in order of (id, n) first, so that
 * those of an id stand next to each other:
 *
 *	key[n] = id[n] << 32 | n	all different, so any sort is the same
 *	tiles of TILE keys are sorted by a block each, in shared memory;
 *	runs are merged, WAYS at a time: the place of a key is the sum of how
 *	many keys of each run are below it, by binary search
 *
 *	one warp a place i and slab of 32 V columns:
 *		id of key[i] = id of key[i-1]?  leave
 *		else add dy[n] of the run's keys to the row, in order
 *
 * The sort takes three short launches for N up to 32,768.  The rest is bound
 * by memory: 2 bytes an element of dy and 8 of each row of dw that is met.  An
 * id that fills much of the batch is the work of C / 32 V warps; the contract's
 * order of additions forbids to cut it.
 */
#include "cuda.h"

#define AHEAD   4
#define TILE    2048 /* keys sorted by a block */
#define WAYS    16 /* runs merged at a time */
#define DEEP    4 /* rows of a run under way */
#define SLABS   8 /* warps of a block, at most */
#define THREADS 256

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

typedef unsigned long long key_t64;

/* Exchanges the pair of thread t at distance `step`, upwards or downwards. */
static __device__ __forceinline__ void
exchange(key_t64 *key, int step, int size)
{
	int t = threadIdx.x, i = 2 * t - (t & (step - 1));
	key_t64 a = key[i], b = key[i + step];

	if ((a > b) == ((i & size) == 0)) {
		key[i] = b;
		key[i + step] = a;
	}
}

/* Sorts a tile of `size` keys, a power of two, by a bitonic network.  Steps up
 * to 32 stay inside the 64 keys of a warp. */
static __global__ void
__launch_bounds__(TILE / 2)
    sort_kernel(key_t64 *__restrict__ out, const int32_t *__restrict__ id, int64_t N, int size)
{
	__shared__ key_t64 key[TILE];
	int64_t at = (int64_t)blockIdx.x * size;

	cuda_follow();
	for (int i = threadIdx.x; i < size; i += blockDim.x) {
		int64_t n = at + i;

		key[i] = n < N ? (key_t64)(uint32_t)id[n] << 32 | (uint32_t)n : ~0ull;
	}
	__syncthreads();
	for (int run = 2; run <= size; run *= 2)
		for (int step = run / 2; step > 0; step /= 2) {
			exchange(key, step, run);
			if (step > 32 || (step == 1 && run > 32))
				__syncthreads();
			else
				__syncwarp();
		}
	__syncthreads();
	for (int i = threadIdx.x; i < size; i += blockDim.x)
		if (at + i < N)
			out[at + i] = key[i];
}

/* Merges each WAYS runs of `run` keys, a power of two. */
static __global__ void
__launch_bounds__(THREADS)
    merge_kernel(key_t64 *__restrict__ out, const key_t64 *__restrict__ in, int64_t N, int64_t run)
{
	int64_t i = (int64_t)blockIdx.x * THREADS + threadIdx.x;
	int64_t first = i / (run * WAYS) * (run * WAYS), to = first;
	int64_t below[WAYS] = {};
	key_t64 key;

	cuda_follow();
	if (i >= N)
		return;
	key = in[i];
	for (int64_t step = run; step > 0; step /= 2)
#pragma unroll
		for (int w = 0; w < WAYS; w++) {
			int64_t j = below[w] + step, at = first + w * run + j - 1;

			if (j <= run && at < N && in[at] < key)
				below[w] = j;
		}
#pragma unroll
	for (int w = 0; w < WAYS; w++)
		to += below[w];
	out[to] = key;
}

/* Returns the ordered keys, in the stream's scratch. */
static const key_t64 *
sort(struct gvk_stream *s, const int32_t *id, int64_t N)
{
	key_t64 *a = (key_t64 *)cuda_of(s)->scratch, *b = a + N, *t;
	int64_t run = 64;

	assert(2 * N * sizeof *a <= CUDA_SCRATCH);
	while (run < N && run < TILE)
		run *= 2;
	CUDA_LAUNCH_SOON(
	    s, sort_kernel, cuda_blocks(N, run), (unsigned)run / 2, 0, a, id, N, (int)run);
	for (; run < N; run *= WAYS) {
		CUDA_LAUNCH_SOON(
		    s, merge_kernel, cuda_blocks(N, THREADS), THREADS, 0, b, a, N, run);
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

/* Adds dy's rows of the run that starts at key[i], in order. */
template <int V>
static __device__ __forceinline__ void
add_run(
    float sum[V], const bf16 *dy, const key_t64 *key, int64_t i, int64_t N, int64_t C, int64_t col)
{
	uint32_t own = (uint32_t)(key[i] >> 32);
	int lane = threadIdx.x, count;

	do {
		key_t64 k = i + lane < N ? key[i + lane] : 0;
		bool same = i + lane < N && (uint32_t)(k >> 32) == own;

		count = __ffs((int)~__ballot_sync(CUDA_ALL, same)) - 1;
		count = count < 0 ? 32 : count;
		for (int j = 0; j < count; j += DEEP) {
			stored<V> row[DEEP];

#pragma unroll
			for (int d = 0; d < DEEP; d++) {
				int64_t n = __shfl_sync(CUDA_ALL, (uint32_t)k, (j + d) % 32);

				if (j + d < count && col < C)
					row[d] =
					    *reinterpret_cast<const stored<V> *>(dy + n * C + col);
			}
#pragma unroll
			for (int d = 0; d < DEEP; d++)
#pragma unroll
				for (int v = 0; v < V; v++)
					if (j + d < count && col < C)
						sum[v] += to_f(row[d].x[v]);
		}
		i += 32;
	} while (count == 32);
}

/* blockDim is (32, warps), a warp a slab. */
template <int V>
static __global__ void __launch_bounds__(32 * SLABS) embedding_bwd_kernel(float *dw, bf16 *de,
    const bf16 *__restrict__ dy, const key_t64 *__restrict__ key, int64_t N, int64_t C)
{
	int64_t i = blockIdx.x;
	int64_t col = (((int64_t)blockIdx.y * blockDim.y + threadIdx.y) * 32 + threadIdx.x) * V;
	struct alignas(V < 4 ? 4 : 16) exact {
		float x[V];
	} sum = {};
	int32_t own;

	cuda_follow();
	own = (int32_t)(key[i] >> 32);
	if ((i > 0 && (int32_t)(key[i - 1] >> 32) == own) || (own >= 0 ? !dw : !de))
		return;
	if (own >= 0 && col < C)
		sum = *reinterpret_cast<const exact *>(dw + (int64_t)own * C + col);
	add_run<V>(sum.x, dy, key, i, N, C, col);
	if (col >= C)
		return;
	if (own >= 0)
		*reinterpret_cast<exact *>(dw + (int64_t)own * C + col) = sum;
	else
		store<V>(de + (int64_t)~own * C + col, sum.x);
}

template <int V>
static void
backward(struct gvk_stream *s, float *dw, bf16 *de, const bf16 *dy, const key_t64 *key, int64_t N,
    int64_t C)
{
	int64_t slabs = cuda_div_up(C, 32 * V), warps = cuda_min(slabs, SLABS);

	CUDA_LAUNCH_SOON(s, embedding_bwd_kernel<V>,
	    dim3(cuda_blocks(N, 1), cuda_blocks(slabs, warps)), dim3(32, (unsigned)warps), 0, dw,
	    de, dy, key, N, C);
}

void
gvk_cuda_embedding_bwd(struct gvk_stream *s, float *dw, void *de, const void *dy, const int32_t *id,
    int64_t N, int64_t C, int64_t V, int64_t E)
{
	struct cuda_stream *c = cuda_of(s);
	size_t bytes = (size_t)(E * C) * sizeof(bf16);
	const key_t64 *key;

	(void)V;
	if (de && bytes && !cuda_ok(s, cudaMemsetAsync(de, 0, bytes, c->st), "embedding_bwd"))
		return;
	if (N <= 0 || C <= 0 || (!dw && !de))
		return;
	key = sort(s, id, N);
	if (cuda_vec8(dw, 0) && cuda_vec8(de, C) && cuda_vec8(dy, C))
		backward<8>(s, dw, (bf16 *)de, (const bf16 *)dy, key, N, C);
	else
		backward<1>(s, dw, (bf16 *)de, (const bf16 *)dy, key, N, C);
}
