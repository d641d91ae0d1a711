/* Images cut into patches, a row each, with the channels normalised.
 *
 * A part is one row of patches of one image.
 */
#include "part.h"

struct patchify {
	float *y;
	const uint8_t *image;
	const float *mul, *add;
	int64_t H, W, p;
};

static void
patchify_part(void *arg, int64_t part, int thread)
{
	const struct patchify *a = arg;
	int64_t p = a->p, down = a->H / p, across = a->W / p;
	const uint8_t *top =
	    a->image + (part / down * a->H + part % down * p) * a->W * 3;
	float *y = a->y + part * across * 3 * p * p;

	(void)thread;
	for (int64_t j = 0; j < across; j++)
		for (int64_t c = 0; c < 3; c++) {
			float mul = a->mul[c], add = a->add[c];

			for (int64_t i = 0; i < p; i++, y += p) {
				const uint8_t *x =
				    top + (i * a->W + j * p) * 3 + c;

#pragma omp simd
				for (int64_t k = 0; k < p; k++)
					y[k] = (float)x[3 * k] * mul + add;
			}
		}
}

void
CPU(patchify)(struct gvk_stream *s, void *y, const uint8_t *image,
    const float *mul_host, const float *add_host, int64_t B, int64_t H,
    int64_t W, int64_t p)
{
	struct patchify a = {y, image, mul_host, add_host, H, W, p};

	gvk_pool_run(gvk_pool_of(s), B * (H / p), patchify_part, &a);
}
