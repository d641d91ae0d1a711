/* AdamW over ranges of flat buffers: 28 bytes of memory traffic an element.
 *
 * Ranges are cut into chunks.  A part walks along the ranges to its chunk,
 * which takes less than a hundredth of the time that the chunk takes.
 */
#include <assert.h>
#include <math.h>

#include "part.h"

struct adamw {
	float *p, *m, *v;
	const float *g;
	const struct gvk_range *range;
	float scale, b1, b2, b1c, b2c; /* b1c = 1 - b1 */
	float eps, m_fix, v_fix; /* bias corrections, as factors */
};

static void
update(
    const struct adamw *a, const struct gvk_range *r, int64_t at, int64_t end)
{
	float *p = a->p, *m = a->m, *v = a->v;
	const float *g = a->g;
	float scale = a->scale, b1 = a->b1, b2 = a->b2;
	float b1c = a->b1c, b2c = a->b2c, eps = a->eps, v_fix = a->v_fix;
	float step = r->lr * a->m_fix, decay = r->lr * r->wd;

#pragma omp simd
	for (int64_t i = at; i < end; i++) {
		float gi = g[i] * scale;
		float mi = b1 * m[i] + b1c * gi;
		float vi = b2 * v[i] + b2c * (gi * gi);

		m[i] = mi;
		v[i] = vi;
		p[i] -= decay * p[i] + step * mi / (sqrtf(vi * v_fix) + eps);
	}
}

static void
adamw_part(void *arg, int64_t part, int thread)
{
	const struct adamw *a = arg;
	const struct gvk_range *r = a->range;
	int64_t at;

	(void)thread;
	for (; part >= cpu_parts(r->n, CPU_CHUNK); r++)
		part -= cpu_parts(r->n, CPU_CHUNK);
	at = part * CPU_CHUNK;
	update(a, r, r->at + at, r->at + cpu_min(r->n, at + CPU_CHUNK));
}

void
CPU(adamw)(struct gvk_stream *s, void *p, float *master, float *m, float *v,
    const float *g, const float *scale, const struct gvk_range *range,
    int64_t ranges, const struct gvk_adamw *o)
{
	double b1 = (double)o->beta1, b2 = (double)o->beta2;
	struct adamw a = {p, m, v, g, range, scale[0], o->beta1, o->beta2,
	    (float)(1 - b1), (float)(1 - b2), o->eps,
	    (float)(1 / (1 - pow(b1, (double)o->t))),
	    (float)(1 / (1 - pow(b2, (double)o->t)))};
	int64_t parts = 0;

	assert(!master && o->t > 0);
	(void)master;
	if (scale[0] == 0)
		return;
	for (int64_t i = 0; i < ranges; i++)
		parts += cpu_parts(range[i].n, CPU_CHUNK);
	gvk_pool_run(gvk_pool_of(s), parts, adamw_part, &a);
}
