/* Rotary position embedding in place, sines and cosines once a row.
 *
 * The angle is the F32 product that the interface names; from there on the
 * reduction is F64, because the angle of position 131071 has no more than
 * 2^-7 of precision to give away, and the polynomials are F32.
 */
#include <math.h>

#include "part.h"

#define FREQS 1024 /* frequencies of a row done at a time */

struct rope {
	float *x;
	const int32_t *pos;
	const float *freq;
	float sign;
	int64_t N, heads, D, ld;
};

/* Sine and cosine of a F32 angle, |a| < 2^31: a = q pi/2 + t, |t| <= pi/4.
 * Adding 1.5 * 2^52 rounds to an integer and leaves it in the low bits. */
static inline void
sincos_one(float a, float *sine, float *cosine)
{
	const double round = 0x1.8p52;
	double v = (double)a * 0.63661977236758134308 + round;
	float t = (float)((double)a - (v - round) * 1.57079632679489661923);
	float t2 = t * t, s, c, swap;
	uint64_t q;

	memcpy(&q, &v, sizeof q);
	s = -1 / 5040.f + t2 * (1 / 362880.f);
	s = t + t * t2 * (-1 / 6.f + t2 * (1 / 120.f + t2 * s));
	c = -1 / 720.f + t2 * (1 / 40320.f - t2 * (1 / 3628800.f));
	c = 1 + t2 * (-.5f + t2 * (1 / 24.f + t2 * c));
	swap = s;
	s = q & 1 ? c : s;
	c = q & 1 ? swap : c;
	*sine = q & 2 ? -s : s;
	*cosine = (q + 1) & 2 ? -c : c;
}

/* One row: frequencies at..at+m-1 of every head. */
static inline void
rotate(const struct rope *r, int64_t n, int64_t at, int64_t m)
{
	float sine[FREQS], cosine[FREQS], pos = (float)r->pos[n];
	const float *freq = r->freq + at;
	int64_t half = r->D / 2;

#pragma omp simd
	for (int64_t i = 0; i < m; i++) {
		float s, c;

		sincos_one(pos * freq[i], &s, &c);
		sine[i] = r->sign * s;
		cosine[i] = c;
	}
	for (int64_t h = 0; h < r->heads; h++) {
		float *lo = r->x + n * r->ld + h * r->D + at, *hi = lo + half;

#pragma omp simd
		for (int64_t i = 0; i < m; i++) {
			float a = lo[i], b = hi[i];

			lo[i] = a * cosine[i] - b * sine[i];
			hi[i] = b * cosine[i] + a * sine[i];
		}
	}
}

static void
rope_part(void *arg, int64_t part, int thread)
{
	const struct rope *r = arg;
	int64_t rows = cpu_rows(r->heads * r->D);
	int64_t end = cpu_min(r->N, (part + 1) * rows);

	(void)thread;
	for (int64_t n = part * rows; n < end; n++)
		for (int64_t at = 0; at < r->D / 2; at += FREQS)
			rotate(r, n, at, cpu_min(FREQS, r->D / 2 - at));
}

void
CPU(rope)(struct gvk_stream *s, void *x, const int32_t *pos, const float *freq,
    bool inverse, int64_t N, int64_t heads, int64_t D, int64_t ld)
{
	struct rope r = {x, pos, freq, inverse ? -1 : 1, N, heads, D, ld};

	gvk_pool_run(
	    gvk_pool_of(s), cpu_parts(N, cpu_rows(heads * D)), rope_part, &r);
}
