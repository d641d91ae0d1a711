/* Activations element by element, and their gradients. */
#include "part.h"
#include "vmath.h"

struct gelu {
	float *y;
	const float *dy, *x; /* dy NULL: forward */
	enum gvk_act act;
	int64_t n;
};

static void
gelu_part(void *arg, int64_t part, int thread)
{
	const struct gelu *a = arg;
	int64_t i = part * CPU_CHUNK, n = cpu_min(CPU_CHUNK, a->n - i);

	(void)thread;
	if (a->dy)
		vm_act_bwd(a->act, a->y + i, a->dy + i, a->x + i, n);
	else
		vm_act(a->act, a->y + i, a->x + i, n);
}

void
CPU(gelu)(
    struct gvk_stream *s, void *y, const void *x, enum gvk_act act, int64_t n)
{
	struct gelu a = {y, NULL, x, act, n};

	gvk_pool_run(gvk_pool_of(s), cpu_parts(n, CPU_CHUNK), gelu_part, &a);
}

void
CPU(gelu_bwd)(struct gvk_stream *s, void *dx, const void *dy, const void *x,
    enum gvk_act act, int64_t n)
{
	struct gelu a = {dx, dy, x, act, n};

	if (dx)
		gvk_pool_run(
		    gvk_pool_of(s), cpu_parts(n, CPU_CHUNK), gelu_part, &a);
}
