/* Matrix products: parts over blocks of C, panels of B packed for the tile
 * kernel, tiles of registers inside.
 *
 * A part owns a block of rows and columns of C, so that nothing is shared and
 * the sum over K has one order.  How C is cut depends on the shape only.  B's
 * panel (K_BLOCK rows, at most PANEL floats) is packed into the thread's
 * scratch as strips of TILE_N columns and stays in the second-level cache,
 * while 12 rows of A at a time stay in the first.
 *
 * With few rows (decoding), packing B would cost more than the product: NT
 * then takes dot products of A's and B's rows, the others read B in place.
 *
 * A B of BF16 is widened on its way: into the panel, or into the registers of
 * the dot products.  These wait for memory, so half the bytes are half the
 * time.
 */
#include "gemm.h"
#include "tile.h"

#include <assert.h>
#include <string.h>

#define PARTS         8 /* wanted, if the work is enough for them */
#define PART_WORK     (1 << 19) /* multiply-adds worth a part of its own */
#define ROWS          256 /* of C in a part; packing costs 1/ROWS */
#define K_BLOCK       512 /* inner index, of a packed panel */
#define K_BLOCK_TN    128 /* and in place */
#define PANEL         (96 * 1024) /* floats of a packed panel */
#define PACK_RUN      64 /* inner index, of a strip that is being packed */
#define IN_PLACE_ROWS 32 /* NN: with at most so many B isn't packed */
#define SPLIT_ROWS    256 /* TN: of K in a part, at least */
#define SPLIT_OWN     16384 /* floats of scratch that a part uses itself */
#define JOIN_ROWS     16 /* of C in a part of the last sum */

/* NT: at most so many rows are dot products.  Sixteen sums at a time take all
 * registers but AVX-512's, so packing pays earlier without it: measured on a
 * Zen 4 core, 32 rows of 896 run at 103 and 95 GFLOP/s (AVX-512, dot products
 * and packed), 12 rows at 66 and 70 (AVX2). */
#if TILE_V == 16
#define DOT_ROWS 32
#elif TILE_V == 8
#define DOT_ROWS 12
#else
#define DOT_ROWS 8
#endif

struct job {
	const struct gemm *g;
	struct gvk_pool *pool;
	int64_t row_parts, col_parts;
};

/* The part's rows or columns: `parts` even shares of n in units of `unit`. */
static void
share(int64_t n, int64_t parts, int64_t i, int64_t unit, int64_t *from,
    int64_t *to)
{
	int64_t units = (n + unit - 1) / unit;

	*from = cpu_min(n, units * i / parts * unit);
	*to = cpu_min(n, units * (i + 1) / parts * unit);
}

/* Columns are cut first when rows are few, because each part packs its own
 * columns of B: rows cut twice pack twice. */
static void
cut(struct job *j)
{
	const struct gemm *g = j->g;
	double work = (double)g->M * (double)g->N * (double)g->K;
	int64_t rows =
	    g->kind == GEMM_TN ? (g->M + 95) / 96 : (g->M + ROWS - 1) / ROWS;
	int64_t cols = 1;

	if (rows > 4)
		rows = tile_up(rows, 4);
	while (rows * cols < PARTS && g->N >= 2 * cols * TILE_N * 2 &&
	       work >= 2.0 * PART_WORK * (double)(rows * cols))
		cols *= 2;
	while (rows * cols < PARTS && g->M >= 2 * rows * TILE_M &&
	       work >= 2.0 * PART_WORK * (double)(rows * cols))
		rows *= 2;
	j->row_parts = rows;
	j->col_parts = cols;
}

/* ---- packing ------------------------------------------------------------ */

/* Asks for `run` numbers from element `at` on of `rows` rows of B: runs are too
 * short for the processor to see what comes next. */
static void
fetch_b(const struct gemm *g, int64_t at, int64_t rows, int64_t run)
{
	uintptr_t size = g->b_type == GVK_BF16 ? 2 : 4, line, r;

	for (r = 0; r < (uintptr_t)rows; r++, at += g->ldb)
		for (line = 0; line < (uintptr_t)run * size; line += 64)
			__builtin_prefetch(
			    (const void *)((uintptr_t)g->b +
					   (uintptr_t)at * size + line),
			    0, 2);
}

/* A strip of B transposed: row p of `strip` is inner index p of `real` columns
 * of B, from element `at` on.  A run of it at a time stays in the first-level
 * cache until all columns are there. */
static void
pack_transposed(const struct gemm *g, float *strip, int64_t at, int64_t real,
    int64_t k, int64_t width)
{
	int64_t p, run;

	for (p = 0; p < k; p += run, strip += run * width) {
		run = cpu_min(k - p, PACK_RUN);
		fetch_b(g, at + p + width * g->ldb, width, run);
		if (g->b_type == GVK_BF16)
			tile_transpose_raw(strip, width,
			    (const uint16_t *)g->b + at + p, g->ldb, real, run,
			    width);
		else
			tile_transpose(strip, width,
			    (const float *)g->b + at + p, g->ldb, real, run,
			    width);
	}
}

/* Packs columns n0..n1-1, inner k0..k1-1 of B as strips; the last strip is
 * padded with zeros to a multiple of TILE_H. */
static void
pack_panel(const struct gemm *g, float *panel, int64_t n0, int64_t n1,
    int64_t k0, int64_t k1)
{
	int64_t k = k1 - k0, n = n0, width, real;

	for (; n < n1; n += width) {
		width = tile_width(n1 - n);
		real = cpu_min(width, n1 - n);
		if (g->kind == GEMM_NT)
			pack_transposed(
			    g, panel, n * g->ldb + k0, real, k, width);
		else
			tile_copy(panel, width,
			    (const float *)g->b + k0 * g->ldb + n, g->ldb, k,
			    real, width);
		panel += width * k;
	}
}

/* ---- one block ---------------------------------------------------------- */

/* A's rows from m on, inner index from k on. */
static void
set_a(const struct gemm *g, struct tile *t, int64_t m, int64_t k)
{
	bool trans = g->kind == GEMM_TN;

	t->rs = trans ? 1 : g->lda;
	t->cs = trans ? g->lda : 1;
	t->a = g->a + m * t->rs + k * t->cs;
}

/* One strip that is narrower than its vectors: through a copy of C. */
static void
strip_edge(struct tile t, int64_t m, int width, int64_t real)
{
	float edge[TILE_M * TILE_N];
	float *c = t.c;
	int64_t ldc = t.ldc, i, h;
	bool add = t.add;

	t.c = edge;
	t.ldc = width;
	t.add = false;
	for (; m > 0; m -= h, c += h * ldc, t.a += h * t.rs) {
		h = cpu_min(m, TILE_M);
		tile_strip(t, h, width);
		for (i = 0; i < h * real; i++) {
			float *to = c + i / real * ldc + i % real;
			float v = edge[i / real * width + i % real];

			*to = add ? *to + v : v;
		}
	}
}

/* Asks for the lines of C that a strip is about to write: the product takes
 * longer than memory does. */
static inline void
fetch_c(const float *c, int64_t ldc, int64_t m, int width)
{
	int64_t i;

	for (i = 0; i < m; i++, c += ldc) {
		__builtin_prefetch(c, 1);
		__builtin_prefetch(c + width - 1, 1);
	}
}

/* Rows m0..m1-1, columns n0..n1-1 with a packed panel of inner k0..k1-1. */
static void
mul_panel(const struct gemm *g, const float *panel, int64_t m0, int64_t m1,
    int64_t n0, int64_t n1, int64_t k0, int64_t k1)
{
	struct tile t = {.ldc = g->ldc, .k = k1 - k0, .add = g->add || k0 > 0};
	int64_t m, n, h, r;
	int width;

	for (m = m0; m < m1; m += h) {
		h = cpu_min(m1 - m, TILE_M);
		set_a(g, &t, m, k0);
		t.b = panel;
		for (n = n0; n < n1; n += width) {
			width = tile_width(n1 - n);
			t.ldb = width;
			t.c = g->c + m * g->ldc + n;
			fetch_c(t.c, g->ldc, h, width);
			if (n + width <= n1)
				tile_strip(t, h, width);
			else
				strip_edge(t, h, width, n1 - n);
			t.b += width * t.k;
		}
		for (r = m; g->epilogue && k1 == g->K && r < m + h; r++)
			g->epilogue(g->arg, g->c + r * g->ldc, r, n0, n1 - n0);
	}
}

static void
block_packed(const struct gemm *g, float *panel, int64_t m0, int64_t m1,
    int64_t n0, int64_t n1)
{
	int64_t k_block = cpu_min(g->K, K_BLOCK), n, k, n_end, k_end;
	int64_t n_block = PANEL / k_block / TILE_N * TILE_N;

	for (n = n0; n < n1; n = n_end) {
		n_end = cpu_min(n1, n + n_block);
		for (k = 0; k < g->K; k = k_end) {
			k_end = cpu_min(g->K, k + k_block);
			pack_panel(g, panel, n, n_end, k, k_end);
			mul_panel(g, panel, m0, m1, n, n_end, k, k_end);
		}
	}
}

/* += the sums of A's rows (TN), inner k0..k1-1. */
static void
sum_a(const struct gemm *g, int64_t m0, int64_t m1, int64_t k0, int64_t k1)
{
	int64_t k, m;

	for (k = k0; k < k1; k++) {
		const float *a = g->a + k * g->lda;

#pragma omp simd
		for (m = m0; m < m1; m++)
			g->a_sum[m] += a[m];
	}
}

/* The same with B in place; only its last columns, which don't fill a vector,
 * are packed.  TN walks B for each tile of A, whose lines are far apart; NN
 * has few rows, so each strip of B is read once for all of them. */
static void
block_in_place(const struct gemm *g, float *edge, int64_t m0, int64_t m1,
    int64_t n0, int64_t n1)
{
	struct tile t = {.ldc = g->ldc};
	int64_t k, m, n, h, r, full = n0 + (n1 - n0) / TILE_H * TILE_H;
	int width;

	for (k = 0; k < g->K; k += t.k) {
		const float *b = (const float *)g->b + k * g->ldb;

		t.k = cpu_min(g->K - k, K_BLOCK_TN);
		t.add = g->add || k > 0;
		if (g->a_sum && n0 == 0)
			sum_a(g, m0, m1, k, k + t.k);
		if (full < n1)
			tile_copy(edge, TILE_H, b + full, g->ldb, t.k,
			    n1 - full, TILE_H);
		for (m = m0; m < m1; m += h) {
			h = g->kind == GEMM_TN ? cpu_min(m1 - m, TILE_M)
					       : m1 - m;
			set_a(g, &t, m, k);
			t.c = g->c + m * g->ldc + n0;
			t.ldb = g->ldb;
			for (n = n0; n < full; n += width, t.c += width) {
				width = tile_width(full - n);
				t.b = b + n;
				tile_strip(t, h, width);
			}
			t.b = edge;
			t.ldb = TILE_H;
			if (full < n1)
				strip_edge(t, h, TILE_H, n1 - full);
		}
	}
	for (r = m0; g->epilogue && r < m1; r++)
		g->epilogue(g->arg, g->c + r * g->ldc, r, n0, n1 - n0);
}

/* ---- dot products ------------------------------------------------------- */

/* The sum of the lanes: halves are added until one is left. */
TILE_INLINE float
sum_vec(tile_vec v)
{
	int w;

	_Pragma("GCC unroll 4") for (w = TILE_V / 2; w > 0; w /= 2) v +=
	    __builtin_shuffle(v, tile_lane ^ w);
	return v[0];
}

/* The vector that begins at element `at` of B. */
TILE_INLINE tile_vec
b_vec(const void *b, const bool raw, int64_t at)
{
	return raw ? tile_widen((const uint16_t *)b + at)
		   : *(const tile_vec *)((const float *)b + at);
}

/* The same where only n numbers are left, with zeros behind them. */
static inline tile_vec
last_vec(const float *p, int64_t n)
{
	tile_vec v = {0};

	memcpy(&v, p, (size_t)n * sizeof *p);
	return v;
}

static inline tile_vec
last_b(const void *b, const bool raw, int64_t at, int64_t n)
{
	uint16_t bits[TILE_V] = {0};

	if (!raw)
		return last_vec((const float *)b + at, n);
	memcpy(bits, (const uint16_t *)b + at, (size_t)n * sizeof *bits);
	return tile_widen(bits);
}

/* Asks for it.  Rows are read four at a time and are often shorter than what
 * the processor needs to see that they are read in order: asking for the next
 * four, at the same place, is up to twice as fast. */
TILE_INLINE void
b_fetch(const void *b, const bool raw, int64_t at)
{
	uintptr_t size = raw ? sizeof(uint16_t) : sizeof(float);

	__builtin_prefetch(
	    (const void *)((uintptr_t)b + (uintptr_t)at * size), 0, 2);
}

/* The numbers of the rows from k on, which don't fill a vector. */
TILE_INLINE void
dot_rest(const struct gemm *g, const int R, const int J, const bool raw,
    int64_t m, int64_t n, int64_t k, tile_vec acc[4][4])
{
	int64_t some = g->K - k;
	int i, j;

	_Pragma("GCC unroll 4") for (j = 0; j < J; j++)
	{
		tile_vec bv = last_b(g->b, raw, (n + j) * g->ldb + k, some);

		_Pragma("GCC unroll 4") for (i = 0; i < R; i++) acc[i][j] +=
		    last_vec(g->a + (m + i) * g->lda + k, some) * bv;
	}
}

/* c[i][j] (+)= a row i . b row j for R rows of A and J of B, which are BF16 if
 * `raw`.  A sum runs over TILE_V lanes, whose own sums are added up last. */
TILE_INLINE void
dot_rows(const struct gemm *g, const int R, const int J, const bool raw,
    int64_t m, int64_t n)
{
	const float *a = g->a + m * g->lda;
	const int64_t b = n * g->ldb;
	tile_vec acc[4][4];
	int64_t k;
	int i, j;

	_Pragma("GCC unroll 4") for (i = 0; i < R; i++) _Pragma(
	    "GCC unroll 4") for (j = 0; j < J; j++) acc[i][j] = (tile_vec){0};
	for (k = 0; k + TILE_V <= g->K; k += TILE_V) {
		tile_vec bv[4];

		_Pragma("GCC unroll 4") for (j = 0; j < J; j++) bv[j] =
		    b_vec(g->b, raw, b + j * g->ldb + k);
		if (m == 0 && k % (raw ? 32 : 16) == 0) /* a line */
			_Pragma("GCC unroll 4") for (j = 0; j < J; j++)
			    b_fetch(g->b, raw, b + (j + J) * g->ldb + k);
		_Pragma("GCC unroll 4") for (i = 0; i < R; i++)
		{
			tile_vec av = *(const tile_vec *)(a + i * g->lda + k);

			_Pragma("GCC unroll 4") for (j = 0; j < J; j++)
			    acc[i][j] += av * bv[j];
		}
	}
	if (k < g->K)
		dot_rest(g, R, J, raw, m, n, k, acc);
	_Pragma("GCC unroll 4") for (i = 0; i < R; i++)
	    _Pragma("GCC unroll 4") for (j = 0; j < J; j++)
	{
		float *c = g->c + (m + i) * g->ldc + n + j;
		float sum = sum_vec(acc[i][j]);

		*c = g->add ? *c + sum : sum;
	}
}

/* All of A's rows, with J rows of B. */
TILE_INLINE void
dot_all_rows(const struct gemm *g, const int J, const bool raw, int64_t n)
{
	int64_t m;

	for (m = 0; m + 4 <= g->M; m += 4)
		dot_rows(g, 4, J, raw, m, n);
	if (g->M - m == 3)
		dot_rows(g, 3, J, raw, m, n);
	else if (g->M - m == 2)
		dot_rows(g, 2, J, raw, m, n);
	else if (g->M - m == 1)
		dot_rows(g, 1, J, raw, m, n);
}

TILE_INLINE void
dot_columns(const struct gemm *g, const bool raw, int64_t n0, int64_t n1)
{
	int64_t n;

	for (n = n0; n + 4 <= n1; n += 4)
		dot_all_rows(g, 4, raw, n);
	for (; n < n1; n++)
		dot_all_rows(g, 1, raw, n);
}

static void
block_dot(const struct gemm *g, int64_t n0, int64_t n1)
{
	int64_t m;

	if (g->b_type == GVK_BF16)
		dot_columns(g, true, n0, n1);
	else
		dot_columns(g, false, n0, n1);
	for (m = 0; g->epilogue && m < g->M; m++)
		g->epilogue(g->arg, g->c + m * g->ldc, m, n0, n1 - n0);
}

/* ---- parts -------------------------------------------------------------- */

static void
part(void *arg, int64_t i, int thread)
{
	const struct job *j = arg;
	const struct gemm *g = j->g;
	float *scratch = gvk_pool_scratch(j->pool, thread);
	int64_t m0, m1, n0, n1;

	share(g->M, j->row_parts, i / j->col_parts, TILE_M, &m0, &m1);
	share(g->N, j->col_parts, i % j->col_parts, TILE_N, &n0, &n1);
	if (m0 >= m1 || n0 >= n1)
		return;
	if (g->kind == GEMM_NT && g->M <= DOT_ROWS)
		block_dot(g, n0, n1);
	else if (g->kind == GEMM_TN ||
		 (g->kind == GEMM_NN && m1 - m0 <= IN_PLACE_ROWS))
		block_in_place(g, scratch, m0, m1, n0, n1);
	else
		block_packed(g, scratch, m0, m1, n0, n1);
}

/* ---- parts of the inner index ------------------------------------------- */

/* TN with a C that is small next to K, as weight gradients are: each part
 * reads its own rows of A and B, all of them, and has a C of its own.  These
 * lie in the scratch of thread 0, behind what a part itself uses of it. */
struct split {
	const struct gemm *g;
	struct gvk_pool *pool;
	int64_t parts, stride; /* floats of a part's C and row sums */
	float *c;
};

static int64_t
split_parts(const struct gemm *g)
{
	int64_t room = (int64_t)(GVK_SCRATCH / sizeof(float)) - SPLIT_OWN;
	int64_t parts = cpu_min(PARTS, g->K / SPLIT_ROWS);

	return g->kind == GEMM_TN && parts * (g->M * g->N + g->M + 16) <= room
		   ? parts
		   : 1;
}

static void
split_part(void *arg, int64_t i, int thread)
{
	const struct split *s = arg;
	struct gemm g = *s->g;
	float *c = s->c + i * s->stride;
	int64_t k0, k1;

	share(g.K, s->parts, i, 1, &k0, &k1);
	g.a += k0 * g.lda;
	g.b = (const float *)g.b + k0 * g.ldb;
	g.K = k1 - k0;
	g.c = c;
	g.ldc = g.N;
	g.add = false;
	g.epilogue = NULL;
	if (g.a_sum) {
		g.a_sum = c + g.M * g.N;
		memset(g.a_sum, 0, (size_t)g.M * sizeof *g.a_sum);
	}
	block_in_place(&g, gvk_pool_scratch(s->pool, thread), 0, g.M, 0, g.N);
}

static void
add_splits(const struct split *s, float *c, bool add, int64_t at, int64_t n)
{
	int64_t i, j;

	for (i = 0; i < s->parts; i++) {
		const float *from = s->c + i * s->stride + at;

		if (i == 0 && !add)
			memcpy(c, from, (size_t)n * sizeof *c);
		else {
#pragma omp simd
			for (j = 0; j < n; j++)
				c[j] += from[j];
		}
	}
}

static void
join_part(void *arg, int64_t part, int thread)
{
	const struct split *s = arg;
	const struct gemm *g = s->g;
	int64_t m = part * JOIN_ROWS, end = cpu_min(g->M, m + JOIN_ROWS);

	(void)thread;
	if (g->a_sum)
		add_splits(s, g->a_sum + m, true, g->M * g->N + m, end - m);
	for (; m < end; m++) {
		float *c = g->c + m * g->ldc;

		add_splits(s, c, g->add, m * g->N, g->N);
		if (g->epilogue)
			g->epilogue(g->arg, c, m, 0, g->N);
	}
}

void
CPU(gemm)(struct gvk_pool *pool, const struct gemm *g)
{
	struct job j = {.g = g, .pool = pool};
	struct split s = {.g = g, .pool = pool};

	assert(g->b_type == GVK_F32 ||
	       (g->b_type == GVK_BF16 && g->kind == GEMM_NT));
	if (g->M <= 0 || g->N <= 0)
		return;
	s.parts = split_parts(g);
	if (s.parts > 1) {
		s.stride = tile_up(g->M * g->N + g->M, 16);
		s.c = (float *)gvk_pool_scratch(pool, 0) + SPLIT_OWN;
		gvk_pool_run(pool, s.parts, split_part, &s);
		gvk_pool_run(
		    pool, (g->M + JOIN_ROWS - 1) / JOIN_ROWS, join_part, &s);
		return;
	}
	cut(&j);
	if (g->kind == GEMM_NT && g->M <= DOT_ROWS)
		j.row_parts = 1;
	gvk_pool_run(pool, j.row_parts * j.col_parts, part, &j);
}
