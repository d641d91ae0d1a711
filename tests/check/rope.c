/* Rotary embedding: against sines in double, far positions, and inverted. */
#include "check.h"

#include <math.h>
#include <stdio.h>

struct rope {
	int64_t N, heads, D, ld;
	const int32_t *pos;
	const double *freq; /* F32 values */
};

/* x rotated in place; elements that must stay become NaN. */
static void
ref_rope(const struct rope *a, double *x, bool inverse)
{
	int64_t half = a->D / 2;

	for (int64_t n = 0; n < a->N; n++) {
		double *row = x + n * a->ld;

		for (int64_t h = 0; h < a->heads; h++)
			for (int64_t i = 0; i < half; i++) {
				float angle =
				    (float)a->pos[n] * (float)a->freq[i];
				double s = sin((double)angle);
				double *lo = row + h * a->D + i;
				double *hi = lo + half, l = *lo;

				s = inverse ? -s : s;
				*lo = l * cos((double)angle) - *hi * s;
				*hi = *hi * cos((double)angle) + l * s;
			}
		for (int64_t c = a->heads * a->D; c < a->ld; c++)
			row[c] = (double)NAN;
	}
}

static void
check_shape(struct chk *c, struct rope a, int32_t max_pos, bool inverse)
{
	size_t n = (size_t)(a.N * a.ld), half = (size_t)a.D / 2;
	double *x = chk_rand(c, n, 1), *freq = chk_zeros(c, half);
	int32_t *pos = chk_rand_ids(c, (size_t)a.N, max_pos);
	struct chk_buf *X = chk_inout(c, x, n), *P, *F;

	for (size_t i = 0; i < half; i++)
		freq[i] = (double)(float)pow(1e4, -(double)i / (double)half);
	if (a.N > 0)
		pos[a.N - 1] = max_pos - 1;
	P = chk_in_i32(c, pos, (size_t)a.N);
	F = chk_in_f32(c, freq, half);
	a.pos = pos;
	a.freq = freq;
	gvk_rope(c->s, X->p, P->p, F->p, inverse, a.N, a.heads, a.D, a.ld);
	if (c->ref)
		ref_rope(&a, x, inverse);
	chk_near(c, X, x, CHK_ELEM, "N %d, heads %d, D %d, ld %d, pos < %d%s",
	    (int)a.N, (int)a.heads, (int)a.D, (int)a.ld, max_pos,
	    inverse ? ", inverse" : "");
	chk_end(c);
}

/* On (1, 0) the op leaves the cosine and the sine: to 1e-6 up to the longest
 * context, to 1e-5 on a device that rounds to storage. */
static void
check_angles(struct chk *c)
{
	const int32_t N = 131072;
	double *x = chk_zeros(c, (size_t)N * 2), freq[] = {1}, worst = 0, *got;
	double most = gvk_dtype(c->k) == GVK_F32 ? 1e-6 : 4e-3;
	int32_t *pos = chk_rand_ids(c, (size_t)N, 1);
	struct chk_buf *X, *P, *F = chk_in_f32(c, freq, 1);

	for (int32_t n = 0; n < N; n++) {
		pos[n] = n;
		x[2 * n] = 1;
	}
	X = chk_inout(c, x, (size_t)N * 2);
	P = chk_in_i32(c, pos, (size_t)N);
	gvk_rope(c->s, X->p, P->p, F->p, false, N, 1, 2, 2);
	got = chk_get(c, X);
	for (int32_t n = 0; n < N && c->ref; n++) {
		double e =
		    fabs(got[2 * n] - cos(n)) + fabs(got[2 * n + 1] - sin(n));

		if (!(e <= worst))
			worst = e;
	}
	chk_ok(c, worst <= most, "sine and cosine of 0..131071");
	if (!(worst <= most))
		printf("# largest error %g\n", worst);
	chk_end(c);
}

/* Forward, then inverse, gives x again; a rotation keeps lengths. */
static void
check_inverse(struct chk *c)
{
	struct rope a = {33, 3, 34, 110, NULL, NULL};
	size_t n = (size_t)(a.N * a.ld);
	double *x = chk_rand(c, n, 1), *freq = chk_rand_f32(c, 17, 1);
	int32_t *pos = chk_rand_ids(c, 33, 5000);
	struct chk_buf *X = chk_inout(c, x, n), *P = chk_in_i32(c, pos, 33);
	struct chk_buf *F = chk_in_f32(c, freq, 17);

	gvk_rope(c->s, X->p, P->p, F->p, false, a.N, a.heads, a.D, a.ld);
	gvk_rope(c->s, X->p, P->p, F->p, true, a.N, a.heads, a.D, a.ld);
	chk_near(c, X, x, CHK_STORED, "forward and inverse cancel");
	chk_end(c);
}

static void
check(struct chk *c)
{
	static const int64_t rows[] = {0, 1, 3, 257};
	static const struct rope shape[] = {
	    {.heads = 1, .D = 2, .ld = 2},
	    {.heads = 3, .D = 6, .ld = 32},
	    {.heads = 2, .D = 32, .ld = 96},
	    {.heads = 4, .D = 66, .ld = 4 * 66 + 8},
	    {.heads = 1, .D = 128, .ld = 128},
	};

	for (int i = 0; i < 4; i++)
		for (int j = 0; j < 5; j++) {
			struct rope a = shape[j];

			a.N = rows[i];
			check_shape(c, a, j & 1 ? 131072 : 300, (i + j) & 1);
		}
	check_shape(c, (struct rope){.N = 2, .heads = 1, .D = 4098, .ld = 4098},
	    1 << 24, false);
	check_angles(c);
	check_inverse(c);
}

int
main(int argc, char **argv)
{
	return chk_main(argc, argv, check);
}
