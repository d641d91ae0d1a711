/* The output head and its loss, a chunk of rows at a time: logits, softmax,
 * and the gradient in the logits' place, which two products carry on.
 *
 * A chunk has as many rows as make about 8 MB of logits, but no fewer than 64:
 * each chunk reads w from memory once more. */
#include "gemm.h"
#include "vmath.h"

#include <assert.h>
#include <math.h>

#define CHUNK_FLOATS (2 << 20)
#define CHUNK_LEAST  64
#define CHUNK_MOST   1024
#define PART_FLOATS  16384 /* logits of a part of the softmax */
#define BLOCK        1024 /* summed in F32, blocks in F64 */

static int64_t
chunk_rows(int64_t N, int64_t V)
{
	int64_t rows = CHUNK_FLOATS / V;

	if (rows < CHUNK_LEAST)
		rows = CHUNK_LEAST;
	if (rows > CHUNK_MOST)
		rows = CHUNK_MOST;
	return cpu_min(rows, N);
}

size_t
CPU(xent_ws)(const struct gvk *k, int64_t N, int64_t C, int64_t V)
{
	(void)k;
	(void)C;
	return (size_t)(chunk_rows(N, V) * V) * sizeof(float);
}

struct chunk {
	float *z; /* (rows, V) raw logits, then gradients if `grad` */
	float *logp, *entropy; /* (rows) or NULL */
	const int32_t *target;
	const float *g;
	float cap;
	bool grad;
	int64_t rows, V, part_rows;
};

struct stats {
	float max;
	double sum, dot; /* of e, and of e (z - max), e = exp(z - max) */
};

static struct stats
row_stats(const float *z, int64_t V)
{
	struct stats s = {-INFINITY, 0, 0};
	float max = -INFINITY;
	int64_t i, at, end;

#pragma omp simd reduction(max : max)
	for (i = 0; i < V; i++)
		max = z[i] > max ? z[i] : max;
	s.max = max;
	for (at = 0; at < V; at = end) {
		float sum = 0, dot = 0;

		end = cpu_min(V, at + BLOCK);
#pragma omp simd reduction(+ : sum, dot)
		for (i = at; i < end; i++) {
			float d = z[i] - max, e = vm_exp_flush(d);

			sum += e;
			dot += d < -87.f ? 0.f : e * d; /* -inf: 0 */
		}
		s.sum += (double)sum;
		s.dot += (double)dot;
	}
	return s;
}

/* z = d(g logp)/d(raw logit) = g (1[target] - p) (1 - (z/cap)^2). */
static void
row_grad(const struct chunk *c, float *z, int64_t row, struct stats s)
{
	const float max = s.max, inv = (float)(1 / s.sum), g = c->g[row];
	const float icap = c->cap > 0 ? 1.f / c->cap : 0.f;
	float *t = &z[c->target[row]];
	float at_target = g * (1.f - *t * icap * (*t * icap));
	int64_t i, V = c->V;

#pragma omp simd
	for (i = 0; i < V; i++) {
		float u = z[i] * icap;

		z[i] = -g * (vm_exp_flush(z[i] - max) * inv) * (1.f - u * u);
	}
	*t += at_target;
}

static void
softmax_part(void *arg, int64_t part, int thread)
{
	const struct chunk *c = arg;
	int64_t row = part * c->part_rows, i;
	int64_t end = cpu_min(c->rows, row + c->part_rows);

	(void)thread;
	for (; row < end; row++) {
		float *z = c->z + row * c->V;
		struct stats s;

		if (c->cap > 0) {
			const float cap = c->cap, icap = 1.f / cap;

#pragma omp simd
			for (i = 0; i < c->V; i++)
				z[i] = cap * vm_tanh(z[i] * icap);
		}
		s = row_stats(z, c->V);
		if (c->logp)
			c->logp[row] = (float)((double)z[c->target[row]] -
					       (double)s.max - log(s.sum));
		if (c->entropy)
			c->entropy[row] = (float)(log(s.sum) - s.dot / s.sum);
		if (c->grad)
			row_grad(c, z, row, s);
	}
}

static void
gradients(struct gvk_pool *pool, float *z, float *dx, float *dw, const float *x,
    const float *w, int64_t rows, int64_t C, int64_t V)
{
	struct gemm g = {.kind = GEMM_NN,
	    .M = rows,
	    .N = C,
	    .K = V,
	    .a = z,
	    .lda = V,
	    .b = w,
	    .ldb = C,
	    .c = dx,
	    .ldc = C};

	if (dx)
		CPU(gemm)(pool, &g);
	if (!dw)
		return;
	g.kind = GEMM_TN;
	g.M = V;
	g.K = rows;
	g.b = x;
	g.c = dw;
	g.add = true;
	CPU(gemm)(pool, &g);
}

void
CPU(xent)(struct gvk_stream *s, float *logp, float *entropy, void *dx,
    float *dw, const void *x, const void *w, const int32_t *target,
    const float *g, float cap, int64_t N, int64_t C, int64_t V, void *ws)
{
	struct gvk_pool *pool = gvk_pool_of(s);
	int64_t most = chunk_rows(N, V), at;

	assert(N >= 0 && C > 0 && V > 0);
	assert(!(dx || dw) || s->wtype == GVK_F32);
	for (at = 0; at < N; at += most) {
		const float *xc = (const float *)x + at * C;
		struct chunk c = {
		    .z = ws,
		    .logp = logp ? logp + at : NULL,
		    .entropy = entropy ? entropy + at : NULL,
		    .target = target + at,
		    .g = g ? g + at : NULL,
		    .cap = cap,
		    .grad = dx || dw,
		    .rows = cpu_min(most, N - at),
		    .V = V,
		    .part_rows = (PART_FLOATS + V - 1) / V,
		};

		CPU(gemm)
		(pool, &(struct gemm){
			   .kind = GEMM_NT,
			   .M = c.rows,
			   .N = V,
			   .K = C,
			   .a = xc,
			   .lda = C,
			   .b = w,
			   .b_type = s->wtype,
			   .ldb = C,
			   .c = ws,
			   .ldc = V,
		       });
		gvk_pool_run(pool, (c.rows + c.part_rows - 1) / c.part_rows,
		    softmax_part, &c);
		gradients(pool, ws, dx ? (float *)dx + at * C : NULL, dw, xc, w,
		    c.rows, C, V);
	}
}
