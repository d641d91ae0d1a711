/* Bicubic interpolation of position embeddings. */
#include "positions.h"

#include "mem.h"
#include "banned.h"

#include <math.h>

/* Keys' kernel with a = -3/4 (IEEE ASSP 29(6), 1981, eq. 4) at distance x. */
static double
keys(double x)
{
	const double a = -0.75;

	x = fabs(x);
	if (x <= 1)
		return ((a + 2) * x - (a + 3)) * x * x + 1;
	return x < 2 ? ((x - 5) * x + 8) * x * a - 4 * a : 0;
}

/* The four inputs that output x of `out` is made of, and their weights. */
static void
taps(int64_t at[4], double w[4], int64_t x, int64_t out, int64_t in)
{
	double centre = ((double)x + 0.5) * (double)in / (double)out - 0.5;
	double from = floor(centre);
	int i;

	for (i = 0; i < 4; i++) {
		int64_t k = (int64_t)from - 1 + i;

		w[i] = keys(centre - (double)k);
		at[i] = k < 0 ? 0 : k < in ? k : in - 1;
	}
}

void
gv_bicubic_grid(
    float *dst, int64_t out, const float *src, int64_t in, int64_t C)
{
	int64_t row[4], col[4], y, x, c;
	double wy[4], wx[4];
	int i, j;

	for (y = 0; y < out; y++) {
		taps(row, wy, y, out, in);
		for (x = 0; x < out; x++, dst += C) {
			taps(col, wx, x, out, in);
			for (c = 0; c < C; c++) {
				double sum = 0;

				for (i = 0; i < 4; i++)
					for (j = 0; j < 4; j++)
						sum +=
						    wy[i] * wx[j] *
						    (double)src[(row[i] * in +
								    col[j]) *
								    C +
								c];
				dst[c] = (float)sum;
			}
		}
	}
}

bool
gv_positions_differ(
    const struct gv_model *m, const struct gv_param *p, int64_t *rows)
{
	const struct gv_vision_config *v = &m->cfg.vision;
	int64_t from;

	/* a model without a tower has no patches to divide by */
	if (!v->from || p->part != GV_VISION || p->at != m->priv->at.pos)
		return false;
	from = v->from / v->patch;
	*rows = from * from + v->class_token;
	return true;
}

int
gv_positions_resize(struct gv_tensor *out, float **data,
    const struct gv_model *m, const struct gv_tensor *disk, struct gv_error *e)
{
	const struct gv_vision_config *v = &m->cfg.vision;
	int64_t C = v->C, from = v->from / v->patch, front = v->class_token * C;
	size_t n = (size_t)(from * from * C + front);
	float *src = gv_alloc(n, sizeof *src);
	float *dst = gv_alloc((size_t)(v->T * C), sizeof *dst);

	if (!src || !dst)
		gv_fail(e, GV_ERR_NOMEM, "out of memory");
	else
		(void)!gv_to_f32(src, disk->data, disk->dtype, n, e);
	if (e->code) {
		gv_free(src);
		gv_free(dst);
		return e->code;
	}
	memcpy(dst, src, (size_t)front * sizeof *dst);
	gv_bicubic_grid(dst + front, v->grid, src + front, from, C);
	gv_free(src);
	*out = *disk;
	out->dtype = GV_F32;
	out->shape[0] = v->T;
	out->data = *data = dst;
	out->bytes = (size_t)(v->T * C) * sizeof *dst;
	return 0;
}
