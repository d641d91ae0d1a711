/* AdamW over ranges of flat buffers: 32 bytes of memory traffic an element, 24
 * with BF16 state.
 *
 * Ranges are cut into chunks.  A part walks along the ranges to its chunk,
 * which takes less than a hundredth of the time that the chunk takes.
 */
#include <assert.h>
#include <math.h>

#include "part.h"
#include "rounding.h"
#include "vmath.h"

#define TILE 256 /* elements whose BF16 state is widened at a time */

struct adamw {
	float *p;
	void *m, *v;
	float *g;
	const struct gvk_range *range;
	float scale, b1, b2, b1c, b2c; /* b1c = 1 - b1 */
	float eps, m_fix, v_fix; /* bias corrections, as factors */
	const struct gvk_adamw *law;
};

static void
update(const struct adamw *a, const struct gvk_range *r, float *p, float *m,
    float *v, float *g, int64_t n)
{
	float scale = a->scale, b1 = a->b1, b2 = a->b2;
	float b1c = a->b1c, b2c = a->b2c, eps = a->eps, v_fix = a->v_fix;
	float step = r->lr * a->m_fix, decay = r->lr * r->wd;

#pragma omp simd
	for (int64_t i = 0; i < n; i++) {
		float gi = g[i] * scale;
		float mi = b1 * m[i] + b1c * gi;
		float vi = b2 * v[i] + b2c * (gi * gi);

		m[i] = mi;
		v[i] = vi;
		g[i] = 0;
		p[i] -= decay * p[i] + step * mi / (sqrtf(vi * v_fix) + eps);
	}
}

static void
widen(float *to, const uint16_t *from, int64_t n)
{
#pragma omp simd
	for (int64_t i = 0; i < n; i++)
		to[i] = vm_from_bits((int32_t)((uint32_t)from[i] << 16));
}

/* Elements at..at+n-1 of m and v from their F32. */
static void
narrow(const struct adamw *a, const float *m, const float *v, int64_t at,
    int64_t n)
{
	uint16_t *to_m = (uint16_t *)a->m + at, *to_v = (uint16_t *)a->v + at;
	uint32_t bits[4];

	for (int64_t i = 0; i < n; i++) {
		uint32_t r;

		if (i == 0 || (at + i) % 4 == 0)
			gvk_adamw_bits(
			    a->law->seed, a->law->t, (at + i) / 4, bits);
		r = bits[(at + i) % 4];
		to_m[i] = (uint16_t)gvk_round_up_at(
		    (uint32_t)vm_bits(m[i]), r & 0xffff);
		to_v[i] =
		    (uint16_t)gvk_round_up_at((uint32_t)vm_bits(v[i]), r >> 16);
	}
}

static void
update_chunk(
    const struct adamw *a, const struct gvk_range *r, int64_t at, int64_t end)
{
	float m[TILE], v[TILE];

	if (a->scale == 0) {
		memset(a->g + at, 0, (size_t)(end - at) * sizeof *a->g);
		return;
	}
	if (a->law->state == GVK_F32) {
		update(a, r, a->p + at, (float *)a->m + at, (float *)a->v + at,
		    a->g + at, end - at);
		return;
	}
	for (int64_t n; at < end; at += n) {
		n = cpu_min(TILE, end - at);
		widen(m, (const uint16_t *)a->m + at, n);
		widen(v, (const uint16_t *)a->v + at, n);
		update(a, r, a->p + at, m, v, a->g + at, n);
		narrow(a, m, v, at, n);
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
	update_chunk(a, r, r->at + at, r->at + cpu_min(r->n, at + CPU_CHUNK));
}

void
CPU(adamw)(struct gvk_stream *s, void *p, float *master, void *m, void *v,
    float *g, const float *scale, const struct gvk_range *range, int64_t ranges,
    const struct gvk_adamw *o)
{
	double b1 = (double)o->beta1, b2 = (double)o->beta2;
	struct adamw a = {p, m, v, g, range, scale[0], o->beta1, o->beta2,
	    (float)(1 - b1), (float)(1 - b2), o->eps,
	    (float)(1 / (1 - pow(b1, (double)o->t))),
	    (float)(1 / (1 - pow(b2, (double)o->t))), o};
	int64_t parts = 0;

	assert(!master && o->t > 0);
	assert(o->state == GVK_F32 || o->state == GVK_BF16);
	(void)master;
	for (int64_t i = 0; i < ranges; i++)
		parts += cpu_parts(range[i].n, CPU_CHUNK);
	gvk_pool_run(gvk_pool_of(s), parts, adamw_part, &a);
}
