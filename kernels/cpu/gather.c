/* Rows copied from, and to, the places of an index. */
#include "part.h"

struct move {
	float *y;
	const float *x;
	const int32_t *at;
	int64_t M, C, ldy, ldx;
};

static void
gather_part(void *arg, int64_t part, int thread)
{
	const struct move *a = arg;
	int64_t rows = cpu_rows(a->C);
	int64_t end = cpu_min(a->M, (part + 1) * rows);

	(void)thread;
	for (int64_t m = part * rows; m < end; m++)
		memcpy(a->y + m * a->ldy, a->x + a->at[m] * a->ldx,
		    (size_t)a->C * sizeof *a->y);
}

void
CPU(gather)(struct gvk_stream *s, void *y, const void *x, const int32_t *at,
    int64_t M, int64_t C, int64_t ldy, int64_t ldx)
{
	struct move a = {y, x, at, M, C, ldy, ldx};

	gvk_pool_run(
	    gvk_pool_of(s), cpu_parts(M, cpu_rows(C)), gather_part, &a);
}

static void
scatter_part(void *arg, int64_t part, int thread)
{
	const struct move *a = arg;
	int64_t rows = cpu_rows(a->C);
	int64_t end = cpu_min(a->M, (part + 1) * rows);

	(void)thread;
	for (int64_t m = part * rows; m < end; m++)
		memcpy(a->y + a->at[m] * a->ldy, a->x + m * a->ldx,
		    (size_t)a->C * sizeof *a->y);
}

void
CPU(scatter)(struct gvk_stream *s, void *y, const void *x, const int32_t *at,
    int64_t M, int64_t C, int64_t ldy, int64_t ldx)
{
	struct move a = {y, x, at, M, C, ldy, ldx};

	gvk_pool_run(
	    gvk_pool_of(s), cpu_parts(M, cpu_rows(C)), scatter_part, &a);
}
