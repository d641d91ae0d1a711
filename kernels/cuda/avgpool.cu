/* Adaptive average pooling of a grid of rows, forward and backward.
 *
 *	a block: one place of the grid that is written, V channels a thread;
 *	it walks the window of places that are read
 *
 * Window i of a side of length `in` cut into `out` covers [first(i, in, out),
 * last(i, in, out)), and the same two formulas with the lengths swapped give
 * the windows that cover a place: so the backward pass gathers too.  Bound by
 * memory: 2 bytes an element of x and of y; windows overlap by a line at most.
 * A thread has AHEAD places of its window under way.
 */
#include "cuda.h"

#define AHEAD 4

struct pool {
	bf16 *y; /* dx backward */
	const bf16 *x; /* dy backward */
	unsigned gh, gw, oh, ow;
	int64_t C;
	unsigned per_row;
};

static __device__ __forceinline__ unsigned
first(unsigned i, unsigned in, unsigned out)
{
	return i * in / out;
}

static __device__ __forceinline__ unsigned
last(unsigned i, unsigned in, unsigned out)
{
	return ((i + 1) * in + out - 1) / out;
}

static __device__ __forceinline__ unsigned
length(unsigned i, unsigned in, unsigned out)
{
	return last(i, in, out) - first(i, in, out);
}

/* A window: places top..end-1 by left..right-1 of a grid that is `width` wide. */
struct window {
	unsigned top, left, across, places, width;
};

static __device__ __forceinline__ struct window
window_of(unsigned i, unsigned j, unsigned in_h, unsigned in_w, unsigned out_h, unsigned out_w)
{
	struct window w;

	w.top = first(i, in_h, out_h);
	w.left = first(j, in_w, out_w);
	w.across = length(j, in_w, out_w);
	w.places = length(i, in_h, out_h) * w.across;
	w.width = in_w;
	return w;
}

/* sum = the window's rows of x, each times share(row, column), in order. */
template <int V, class F>
static __device__ __forceinline__ void
add_window(float sum[V], const struct window &w, const bf16 *x, int64_t C, F share)
{
	unsigned r = w.top, c = w.left;

#pragma unroll
	for (int k = 0; k < V; k++)
		sum[k] = 0;
	for (unsigned n = 0; n < w.places; n += AHEAD) {
		float v[AHEAD][V], by[AHEAD];

#pragma unroll
		for (int a = 0; a < AHEAD; a++) {
			if (n + a >= w.places)
				break;
			load<V>(v[a], x + (int64_t)(r * w.width + c) * C);
			by[a] = share(r, c);
			if (++c == w.left + w.across) {
				c = w.left;
				r++;
			}
		}
#pragma unroll
		for (int a = 0; a < AHEAD; a++)
#pragma unroll
			for (int k = 0; k < V; k++)
				if (n + a < w.places)
					sum[k] += by[a] * v[a][k];
	}
}

template <int V> static __global__ void __launch_bounds__(256) avgpool_kernel(struct pool a)
{
	struct cuda_place p = row_at<V>(a.per_row);
	unsigned place = (unsigned)p.row, j = place % a.ow;
	unsigned i = place / a.ow % a.oh, b = place / a.ow / a.oh;
	struct window w = window_of(i, j, a.gh, a.gw, a.oh, a.ow);
	const bf16 *x = a.x + (int64_t)b * a.gh * a.gw * a.C + p.col;
	float sum[V];

	cuda_follow();
	if (p.col >= a.C)
		return;
	add_window<V>(sum, w, x, a.C, [](unsigned, unsigned) { return 1.f; });
#pragma unroll
	for (int k = 0; k < V; k++)
		sum[k] /= (float)w.places;
	store<V>(a.y + p.row * a.C + p.col, sum);
}

template <int V> static __global__ void __launch_bounds__(256) avgpool_bwd_kernel(struct pool a)
{
	struct cuda_place p = row_at<V>(a.per_row);
	unsigned place = (unsigned)p.row, c = place % a.gw;
	unsigned r = place / a.gw % a.gh, b = place / a.gw / a.gh;
	struct window w = window_of(r, c, a.oh, a.ow, a.gh, a.gw);
	const bf16 *dy = a.x + (int64_t)b * a.oh * a.ow * a.C + p.col;
	float sum[V];

	cuda_follow();
	if (p.col >= a.C)
		return;
	add_window<V>(sum, w, dy, a.C, [&](unsigned i, unsigned j) {
		return 1 / (float)(length(i, a.gh, a.oh) * length(j, a.gw, a.ow));
	});
	store<V>(a.y + p.row * a.C + p.col, sum);
}

template <int V>
static void
launch(struct gvk_stream *s, struct pool a, bool backward, int64_t places)
{
	struct cuda_rows g = cuda_grid(places, a.C, V);

	a.per_row = g.per_row;
	if (backward)
		CUDA_LAUNCH_SOON(s, avgpool_bwd_kernel<V>, g.blocks, g.threads, 0, a);
	else
		CUDA_LAUNCH_SOON(s, avgpool_kernel<V>, g.blocks, g.threads, 0, a);
}

static void
run(struct gvk_stream *s, void *y, const void *x, bool backward, int64_t B, int64_t gh, int64_t gw,
    int64_t oh, int64_t ow, int64_t C)
{
	struct pool a = {(bf16 *)y, (const bf16 *)x, (unsigned)gh, (unsigned)gw, (unsigned)oh,
	    (unsigned)ow, C, 1};
	int64_t places = B * (backward ? gh * gw : oh * ow);

	assert(gh < 32768 && gw < 32768 && oh < 32768 && ow < 32768);
	if (places <= 0 || C <= 0)
		return;
	cuda_of(s);
	if (cuda_vec8(y, C) && cuda_vec8(x, C))
		launch<8>(s, a, backward, places);
	else
		launch<1>(s, a, backward, places);
}

void
gvk_cuda_avgpool(struct gvk_stream *s, void *y, const void *x, int64_t B, int64_t gh, int64_t gw,
    int64_t oh, int64_t ow, int64_t C)
{
	run(s, y, x, false, B, gh, gw, oh, ow, C);
}

void
gvk_cuda_avgpool_bwd(struct gvk_stream *s, void *dx, const void *dy, int64_t B, int64_t gh,
    int64_t gw, int64_t oh, int64_t ow, int64_t C)
{
	if (dx)
		run(s, dx, dy, true, B, gh, gw, oh, ow, C);
}
