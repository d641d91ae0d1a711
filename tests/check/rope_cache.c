/* Rotary embedding into caches, with and without a norm before it: against
 * sines in double; rows that nobody names stay as they were. */
#include "check.h"

#include <math.h>

struct shape {
	int64_t N, H, G, D, rows;
	int32_t max_pos;
};

#define EPS 1e-5f

/* The norm of one head, in place; w (D) or NULL. */
static void
norm(double *x, const double *w, int64_t D)
{
	double sum = 0;

	for (int64_t i = 0; i < D; i++)
		sum += x[i] * x[i] / (double)D;
	for (int64_t i = 0; i < D; i++)
		x[i] *= (w ? w[i] : 1) / sqrt(sum + (double)EPS);
}

/* One head of x, turned by the position, to y. */
static void
turn(double *y, const double *x, const double *freq, int32_t pos, int64_t D)
{
	for (int64_t i = 0; i < D / 2; i++) {
		float angle = (float)pos * (float)freq[i];
		double s = sin((double)angle), c = cos((double)angle);
		double lo = x[i], hi = x[i + D / 2];

		y[i] = lo * c - hi * s;
		y[i + D / 2] = hi * c + lo * s;
	}
}

/* Queries in place; keys and values to rows of k and v. */
static void
reference(const struct shape *a, double *qkv, double *k, double *v,
    const int32_t *pos, const double *freq, const int32_t *kv_row)
{
	const int64_t D = a->D, GD = a->G * D;

	for (int64_t n = 0; n < a->N; n++) {
		double *x = qkv + n * (a->H + 2 * a->G) * D;
		double *key = x + a->H * D;

		for (int64_t h = 0; h < a->H; h++)
			turn(x + h * D, x + h * D, freq, pos[n], D);
		for (int64_t g = 0; g < a->G; g++)
			turn(k + kv_row[n] * GD + g * D, key + g * D, freq,
			    pos[n], D);
		for (int64_t i = 0; i < GD; i++)
			v[kv_row[n] * GD + i] = key[GD + i];
	}
}

/* The queries of all rows, side by side: keys in qkv are anybody's. */
static struct chk_buf *
queries(struct chk *c, const struct shape *a, struct chk_buf *qkv)
{
	const int64_t C = a->H * a->D;
	int32_t *at = chk_rand_ids(c, (size_t)a->N, 1);
	struct chk_buf *y = chk_out(c, (size_t)(a->N * C)), *AT;

	for (int64_t n = 0; n < a->N; n++)
		at[n] = (int32_t)n;
	AT = chk_in_i32(c, at, (size_t)a->N);
	gvk_gather(
	    c->s, y->p, qkv->p, AT->p, a->N, C, C, (a->H + 2 * a->G) * a->D);
	return y;
}

/* With `normed`, behind norms; wq and wk may then be NULL. */
static void
op(struct chk *c, const struct shape *a, struct chk_buf *const b[6],
    const double *wq, const double *wk, bool normed)
{
	size_t D = (size_t)a->D;

	if (normed)
		gvk_norm_rope_cache(c->s, b[0]->p, b[1]->p, b[2]->p,
		    wq ? chk_in(c, wq, D)->p : NULL,
		    wk ? chk_in(c, wk, D)->p : NULL, EPS, b[3]->p, b[4]->p,
		    b[5]->p, a->N, a->H, a->G, a->D);
	else
		gvk_rope_cache(c->s, b[0]->p, b[1]->p, b[2]->p, b[3]->p,
		    b[4]->p, b[5]->p, a->N, a->H, a->G, a->D);
}

static void
check_shape(struct chk *c, struct shape a, bool normed, bool ones)
{
	const int64_t ld = (a.H + 2 * a.G) * a.D, C = a.H * a.D;
	enum chk_tol tol = normed ? CHK_DEEP : CHK_ELEM;
	double *wq = ones ? NULL : chk_rand(c, (size_t)a.D, 1);
	double *wk = ones ? NULL : chk_rand(c, (size_t)a.D, 1);
	size_t n = (size_t)(a.N * ld), cached = (size_t)(a.rows * a.G * a.D);
	size_t half = (size_t)a.D / 2;
	double *x = chk_rand(c, n, 1), *freq = chk_zeros(c, half);
	double *k = chk_zeros(c, cached), *v = chk_zeros(c, cached);
	double *q = chk_zeros(c, (size_t)(a.N * C));
	int32_t *pos = chk_rand_ids(c, (size_t)a.N, a.max_pos);
	int32_t *row = chk_shuffle(c, (size_t)a.rows);
	struct chk_buf *QKV = chk_inout(c, x, n), *K = chk_out(c, cached);
	struct chk_buf *V = chk_out(c, cached), *P, *F, *ROW, *Q;

	for (size_t i = 0; i < half; i++)
		freq[i] = (double)(float)pow(1e6, -(double)i / (double)half);
	for (size_t i = 0; i < cached; i++)
		k[i] = v[i] = (double)NAN;
	P = chk_in_i32(c, pos, (size_t)a.N);
	F = chk_in_f32(c, freq, half);
	ROW = chk_in_i32(c, row, (size_t)a.N);
	op(c, &a, (struct chk_buf *[]){QKV, K, V, P, F, ROW}, wq, wk, normed);
	Q = queries(c, &a, QKV);
	for (int64_t i = 0; i < a.N * (a.H + a.G) && normed; i++) {
		int64_t head = i % (a.H + a.G);

		norm(x + i / (a.H + a.G) * ld + head * a.D,
		    head < a.H ? wq : wk, a.D);
	}
	if (c->ref)
		reference(&a, x, k, v, pos, freq, row);
	for (int64_t i = 0; i < a.N * C; i++)
		q[i] = x[i / C * ld + i % C];
	chk_near(c, Q, q, tol, "queries: N %d, H %d, G %d, D %d%s%s", (int)a.N,
	    (int)a.H, (int)a.G, (int)a.D, normed ? ", norm" : "",
	    normed && ones ? " of ones" : "");
	chk_near(c, K, k, tol, "keys into %d rows", (int)a.rows);
	chk_near(c, V, v, CHK_EXACT, "values into %d rows", (int)a.rows);
	chk_end(c);
}

static void
check(struct chk *c)
{
	static const struct shape shape[] = {
	    {0, 2, 1, 8, 3, 10},
	    {1, 1, 1, 2, 1, 10},
	    {1, 12, 2, 128, 300, 32768},
	    {3, 3, 1, 6, 5, 300},
	    {8, 14, 2, 64, 40, 4096},
	    {5, 4, 4, 66, 5, 131072},
	    {7, 3, 3, 80, 9, 1000},
	    {65, 6, 2, 96, 200, 131072},
	    {2, 1, 1, 514, 3, 1 << 24},
	};

	for (size_t i = 0; i < sizeof shape / sizeof *shape; i++)
		for (int norms = 0; norms < 3; norms++)
			check_shape(c, shape[i], norms > 0, norms == 1);
}

int
main(int argc, char **argv)
{
	return chk_main(argc, argv, check);
}
