/* Rows by id from a table or from outside, and the gradients of both.
 *
 * Ids repeat, so the backward pass is cut by columns: a part adds its columns
 * of every row, in ascending n, and shares none with another part.
 */
#include <assert.h>

#include "part.h"
#include "weights.h"

#define COLUMNS 32 /* in a part: two cache lines, which are fetched together */

struct fwd {
	float *y;
	const void *w;
	enum gvk_dtype w_type;
	const float *e;
	const int32_t *id;
	int64_t N, C;
};

static void
fwd_part(void *arg, int64_t part, int thread)
{
	const struct fwd *a = arg;
	int64_t C = a->C, rows = cpu_rows(C);
	int64_t end = cpu_min(a->N, (part + 1) * rows);

	(void)thread;
	for (int64_t n = part * rows; n < end; n++) {
		int64_t id = a->id[n];
		float *y = a->y + n * C;
		const float *row =
		    id >= 0 ? cpu_weights(y, a->w, a->w_type, id * C, C)
			    : a->e + ~id * C;

		if (row != y)
			memcpy(y, row, (size_t)C * sizeof *y);
	}
}

void
CPU(embedding)(struct gvk_stream *s, void *y, const void *w, const void *e,
    const int32_t *id, int64_t N, int64_t C)
{
	struct fwd a = {y, w, s->wtype, e, id, N, C};

	gvk_pool_run(gvk_pool_of(s), cpu_parts(N, cpu_rows(C)), fwd_part, &a);
}

struct bwd {
	float *dw, *de;
	const float *dy;
	const int32_t *id;
	int64_t N, C, V, E;
};

static void
bwd_part(void *arg, int64_t part, int thread)
{
	const struct bwd *a = arg;
	int64_t C = a->C, at = part * COLUMNS, m = cpu_min(COLUMNS, C - at);

	(void)thread;
	for (int64_t i = 0; a->de && i < a->E; i++)
		memset(a->de + i * C + at, 0, (size_t)m * sizeof *a->de);
	for (int64_t n = 0; n < a->N; n++) {
		int64_t id = a->id[n];
		float *to = id >= 0 ? a->dw : a->de;
		const float *dy = a->dy + n * C + at;

		assert(id >= 0 ? id < a->V : !to || ~id < a->E);
		if (!to)
			continue;
		to += (id >= 0 ? id : ~id) * C + at;
#pragma omp simd
		for (int64_t c = 0; c < m; c++)
			to[c] += dy[c];
	}
}

void
CPU(embedding_bwd)(struct gvk_stream *s, float *dw, void *de, const void *dy,
    const int32_t *id, int64_t N, int64_t C, int64_t V, int64_t E)
{
	struct bwd a = {dw, de, dy, id, N, C, V, E};

	gvk_pool_run(gvk_pool_of(s), cpu_parts(C, COLUMNS), bwd_part, &a);
}
