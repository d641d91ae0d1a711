/* Learned positions: added to every sequence, their gradient summed over all.
 *
 * The gradient is cut into runs of its P x C numbers; each is summed over the
 * sequences in order.
 */
#include "part.h"
#include "weights.h"

#define RUN 256

struct add_pos {
	struct gvk_pool *pool;
	float *y;
	const void *pos;
	enum gvk_dtype pos_type;
	int64_t N, P, C;
};

static void
fwd_part(void *arg, int64_t part, int thread)
{
	const struct add_pos *a = arg;
	int64_t C = a->C, rows = cpu_rows(C);
	int64_t end = cpu_min(a->N, (part + 1) * rows);
	float *wide = gvk_pool_scratch(a->pool, thread);

	for (int64_t n = part * rows; n < end; n++) {
		float *y = a->y + n * C;
		const float *pos =
		    cpu_weights(wide, a->pos, a->pos_type, n % a->P * C, C);

#pragma omp simd
		for (int64_t c = 0; c < C; c++)
			y[c] += pos[c];
	}
}

void
CPU(add_pos)(struct gvk_stream *s, void *y, const void *pos, int64_t N,
    int64_t P, int64_t C)
{
	struct gvk_pool *pool = gvk_pool_of(s);
	struct add_pos a = {pool, y, pos, s->wtype, N, P, C};

	assert((size_t)C * sizeof(float) <= GVK_SCRATCH);
	gvk_pool_run(pool, cpu_parts(N, cpu_rows(C)), fwd_part, &a);
}

struct add_pos_bwd {
	float *dpos;
	const float *dy;
	int64_t B, PC; /* sequences, numbers in one */
};

static void
bwd_part(void *arg, int64_t part, int thread)
{
	const struct add_pos_bwd *a = arg;
	int64_t at = part * RUN, m = cpu_min(RUN, a->PC - at);
	float *dpos = a->dpos + at, sum[RUN] = {0};

	(void)thread;
	for (int64_t b = 0; b < a->B; b++) {
		const float *dy = a->dy + b * a->PC + at;

#pragma omp simd
		for (int64_t i = 0; i < m; i++)
			sum[i] += dy[i];
	}
#pragma omp simd
	for (int64_t i = 0; i < m; i++)
		dpos[i] += sum[i];
}

void
CPU(add_pos_bwd)(struct gvk_stream *s, float *dpos, const void *dy, int64_t N,
    int64_t P, int64_t C)
{
	struct add_pos_bwd a = {dpos, dy, N / P, P * C};

	if (dpos && N > 0)
		gvk_pool_run(
		    gvk_pool_of(s), cpu_parts(a.PC, RUN), bwd_part, &a);
}
