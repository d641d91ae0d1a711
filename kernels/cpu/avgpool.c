/* Adaptive average pooling of a grid of rows, forward and backward.
 *
 * A part is one line of the grid that it writes.  Window i of a side of length
 * `in` cut into `out` covers [first(i, in, out), last(i, in, out)), and the
 * same two formulas with the lengths swapped give the windows that cover a
 * place: so the backward pass gathers too.
 */
#include "part.h"

struct pool {
	float *y;
	const float *x;
	int64_t gh, gw, oh, ow, C;
};

static inline int64_t
first(int64_t i, int64_t in, int64_t out)
{
	return i * in / out;
}

static inline int64_t
last(int64_t i, int64_t in, int64_t out)
{
	return ((i + 1) * in + out - 1) / out;
}

static inline int64_t
length(int64_t i, int64_t in, int64_t out)
{
	return last(i, in, out) - first(i, in, out);
}

/* y += a x */
static inline void
add_row(float *y, float a, const float *x, int64_t C)
{
#pragma omp simd
	for (int64_t c = 0; c < C; c++)
		y[c] += a * x[c];
}

static void
fwd_part(void *arg, int64_t part, int thread)
{
	const struct pool *a = arg;
	int64_t C = a->C, i = part % a->oh;
	const float *x = a->x + part / a->oh * a->gh * a->gw * C;
	int64_t top = first(i, a->gh, a->oh), end = last(i, a->gh, a->oh);

	(void)thread;
	for (int64_t j = 0; j < a->ow; j++) {
		float *y = a->y + (part * a->ow + j) * C;
		int64_t left = first(j, a->gw, a->ow);
		int64_t right = last(j, a->gw, a->ow);
		float n = (float)((end - top) * (right - left));

		memset(y, 0, (size_t)C * sizeof *y);
		for (int64_t r = top; r < end; r++)
			for (int64_t c = left; c < right; c++)
				add_row(y, 1, x + (r * a->gw + c) * C, C);
#pragma omp simd
		for (int64_t c = 0; c < C; c++)
			y[c] /= n;
	}
}

void
CPU(avgpool)(struct gvk_stream *s, void *y, const void *x, int64_t B,
    int64_t gh, int64_t gw, int64_t oh, int64_t ow, int64_t C)
{
	struct pool a = {y, x, gh, gw, oh, ow, C};

	gvk_pool_run(gvk_pool_of(s), B * oh, fwd_part, &a);
}

/* Here y is dx, x is dy. */
static void
bwd_part(void *arg, int64_t part, int thread)
{
	const struct pool *a = arg;
	int64_t C = a->C, r = part % a->gh;
	const float *dy = a->x + part / a->gh * a->oh * a->ow * C;
	int64_t top = first(r, a->oh, a->gh), end = last(r, a->oh, a->gh);

	(void)thread;
	for (int64_t c = 0; c < a->gw; c++) {
		float *dx = a->y + (part * a->gw + c) * C;
		int64_t right = last(c, a->ow, a->gw);

		memset(dx, 0, (size_t)C * sizeof *dx);
		for (int64_t i = top; i < end; i++) {
			int64_t high = length(i, a->gh, a->oh);

			for (int64_t j = first(c, a->ow, a->gw); j < right;
			     j++) {
				int64_t wide = length(j, a->gw, a->ow);

				add_row(dx, 1 / (float)(high * wide),
				    dy + (i * a->ow + j) * C, C);
			}
		}
	}
}

void
CPU(avgpool_bwd)(struct gvk_stream *s, void *dx, const void *dy, int64_t B,
    int64_t gh, int64_t gw, int64_t oh, int64_t ow, int64_t C)
{
	struct pool a = {dx, dy, gh, gw, oh, ow, C};

	if (dx)
		gvk_pool_run(gvk_pool_of(s), B * gh, bwd_part, &a);
}
