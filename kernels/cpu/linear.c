/* Linear layers: one product forward, two backward, with bias, activation and
 * its derivative applied to rows that have just been computed. */
#include "gemm.h"
#include "vmath.h"

#include <assert.h>

struct forward {
	const float *b;
	float *pre;
	enum gvk_act act;
	int64_t O;
};

static void
bias_act(const void *arg, float *y, int64_t row, int64_t at, int64_t n)
{
	const struct forward *f = arg;
	int64_t i;

	y += at;
	if (f->b) {
		const float *b = f->b + at;

#pragma omp simd
		for (i = 0; i < n; i++)
			y[i] += b[i];
	}
	if (f->pre) {
		float *pre = f->pre + row * f->O + at;

#pragma omp simd
		for (i = 0; i < n; i++)
			pre[i] = y[i];
	}
	if (f->act != GVK_ACT_NONE)
		vm_act(f->act, y, y, n);
}

void
CPU(linear)(struct gvk_stream *s, void *y, void *pre, const void *x,
    const void *w, const void *b, enum gvk_act act, int64_t N, int64_t C,
    int64_t O)
{
	struct forward f = {b, act == GVK_ACT_NONE ? NULL : pre, act, O};
	struct gemm g = {
	    .kind = GEMM_NT,
	    .M = N,
	    .N = O,
	    .K = C,
	    .a = x,
	    .lda = C,
	    .b = w,
	    .ldb = C,
	    .c = y,
	    .ldc = O,
	    .epilogue = b || act != GVK_ACT_NONE ? bias_act : NULL,
	    .arg = &f,
	};

	assert(N >= 0 && C > 0 && O > 0);
	CPU(gemm)(gvk_pool_of(s), &g);
}

struct backward {
	const float *pre;
	enum gvk_act act;
	int64_t C;
};

static void
act_bwd(const void *arg, float *dx, int64_t row, int64_t at, int64_t n)
{
	const struct backward *f = arg;

	vm_act_bwd(f->act, dx + at, dx + at, f->pre + row * f->C + at, n);
}

/* Column sums alone, for a frozen weight with a bias that trains. */
struct sums {
	float *db;
	const float *dy;
	int64_t N, O;
};

#define SUM_COLUMNS 64 /* of a part */

static void
sum_part(void *arg, int64_t part, int thread)
{
	const struct sums *f = arg;
	int64_t from = part * SUM_COLUMNS;
	int64_t to = cpu_min(f->O, from + SUM_COLUMNS), n, o;

	(void)thread;
	for (n = 0; n < f->N; n++) {
		const float *dy = f->dy + n * f->O;

#pragma omp simd
		for (o = from; o < to; o++)
			f->db[o] += dy[o];
	}
}

void
CPU(linear_bwd)(struct gvk_stream *s, void *dx, float *dw, float *db,
    const void *dy, const void *x, const void *pre, const void *w,
    enum gvk_act act, bool add, int64_t N, int64_t C, int64_t O)
{
	struct gvk_pool *pool = gvk_pool_of(s);
	struct backward f = {pre, act, C};
	struct sums sums = {db, dy, N, O};

	assert(N >= 0 && C > 0 && O > 0 && !(add && pre));
	if (N == 0)
		return;
	if (dx)
		CPU(gemm)
		(pool,
		    &(struct gemm){
			.kind = GEMM_NN,
			.M = N,
			.N = C,
			.K = O,
			.a = dy,
			.lda = O,
			.b = w,
			.ldb = C,
			.c = dx,
			.ldc = C,
			.add = add,
			.epilogue = pre && act != GVK_ACT_NONE ? act_bwd : NULL,
			.arg = &f,
		    });
	if (dw)
		CPU(gemm)
		(pool, &(struct gemm){
			   .kind = GEMM_TN,
			   .M = O,
			   .N = C,
			   .K = N,
			   .a = dy,
			   .lda = O,
			   .b = x,
			   .ldb = C,
			   .c = dw,
			   .ldc = C,
			   .add = true,
			   .a_sum = db,
		       });
	else if (db)
		gvk_pool_run(
		    pool, (O + SUM_COLUMNS - 1) / SUM_COLUMNS, sum_part, &sums);
}
