/* Linear layers: one product forward, two backward, with bias, residual,
 * activation and its derivative applied to rows that have just been computed.
 * A residual in place is what the product adds to. */
#include "gemm.h"
#include "vmath.h"
#include "weights.h"

#include <assert.h>

#define AHEAD 12 /* rows: the next tile's */
#define WIDE  512 /* columns whose bias is widened at a time */

struct forward {
	const void *b; /* or NULL */
	enum gvk_dtype b_type;
	const float *r; /* or NULL */
	float *pre; /* or NULL */
	enum gvk_act act;
	int64_t N, O;
};

/* Asks for a row's part of a matrix that a later call will touch. */
static inline void
fetch(const float *x, int64_t n)
{
	int64_t i;

	for (i = 0; i < n; i += 16)
		__builtin_prefetch(x + i);
}

static inline __attribute__((always_inline)) void
bias_act_loop(
    const enum gvk_act act, float *y, float *pre, const float *b, int64_t n)
{
	int64_t i;

	if (b && pre) {
#pragma omp simd
		for (i = 0; i < n; i++) {
			float v = y[i] + b[i];

			pre[i] = v;
			y[i] = vm_act_one(act, v);
		}
	} else if (b) {
#pragma omp simd
		for (i = 0; i < n; i++)
			y[i] = vm_act_one(act, y[i] + b[i]);
	} else if (pre) {
#pragma omp simd
		for (i = 0; i < n; i++) {
			pre[i] = y[i];
			y[i] = vm_act_one(act, y[i]);
		}
	} else {
#pragma omp simd
		for (i = 0; i < n; i++)
			y[i] = vm_act_one(act, y[i]);
	}
}

static void
bias_act(const void *arg, float *y, int64_t row, int64_t at, int64_t n)
{
	const struct forward *f = arg;
	float *pre = f->pre ? f->pre + row * f->O + at : NULL, wide[WIDE];
	int64_t m;

	if (pre && row + AHEAD < f->N)
		fetch(pre + AHEAD * f->O, n);
	for (; n > 0; n -= m, at += m, pre = pre ? pre + m : NULL) {
		const float *b = NULL;

		m = cpu_min(n, WIDE);
		if (f->b)
			b = cpu_weights(wide, f->b, f->b_type, at, m);
		VM_FOR_ACT(f->act, bias_act_loop, y + at, pre, b, m);
	}
}

/* y += b + r, either of which may be missing. */
static void
bias_residual(const void *arg, float *y_row, int64_t row, int64_t at, int64_t n)
{
	const struct forward *f = arg;
	const float *r = f->r ? f->r + row * f->O + at : NULL;
	float wide[WIDE];
	int64_t i, m;

	if (r && row + AHEAD < f->N)
		fetch(r + AHEAD * f->O, n);
	for (; n > 0; n -= m, at += m, r = r ? r + m : NULL) {
		const float *b = r;
		float *y = y_row + at;

		m = cpu_min(n, WIDE);
		if (f->b)
			b = cpu_weights(wide, f->b, f->b_type, at, m);
		if (f->b && r) {
#pragma omp simd
			for (i = 0; i < m; i++)
				y[i] += b[i] + r[i];
		} else {
#pragma omp simd
			for (i = 0; i < m; i++)
				y[i] += b[i];
		}
	}
}

void
CPU(linear)(struct gvk_stream *s, void *y, void *pre, const void *x,
    const void *w, const void *b, const void *r, enum gvk_act act, int64_t N,
    int64_t C, int64_t O)
{
	bool plain = act == GVK_ACT_NONE;
	struct forward f = {
	    b, s->wtype, r == y ? NULL : r, plain ? NULL : pre, act, N, O};
	struct gemm g = {
	    .kind = GEMM_NT,
	    .M = N,
	    .N = O,
	    .K = C,
	    .a = x,
	    .lda = C,
	    .b = w,
	    .b_type = s->wtype,
	    .ldb = C,
	    .c = y,
	    .ldc = O,
	    .add = r && r == y,
	    .arg = &f,
	};

	assert(N >= 0 && C > 0 && O > 0 && (plain || !r));
	if (!plain)
		g.epilogue = bias_act;
	else if (f.b || f.r)
		g.epilogue = bias_residual;
	CPU(gemm)(gvk_pool_of(s), &g);
}

struct backward {
	const float *pre;
	enum gvk_act act;
	int64_t N, C;
};

static void
act_bwd(const void *arg, float *dx, int64_t row, int64_t at, int64_t n)
{
	const struct backward *f = arg;
	const float *pre = f->pre + row * f->C + at;

	if (row + AHEAD < f->N)
		fetch(pre + AHEAD * f->C, n);
	vm_act_bwd(f->act, dx + at, dx + at, pre, n);
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
	struct backward f = {pre, act, N, C};
	struct sums sums = {db, dy, N, O};

	assert(N >= 0 && C > 0 && O > 0 && !(add && pre));
	assert(!dx || s->wtype == GVK_F32);
	if (N == 0)
		return;
	if (dx)
		CPU(gemm)
	(pool, &(struct gemm){
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
	else if (db) gvk_pool_run(
	    pool, (O + SUM_COLUMNS - 1) / SUM_COLUMNS, sum_part, &sums);
}
