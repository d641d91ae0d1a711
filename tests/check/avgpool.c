/* Adaptive average pooling, forward and backward. */
#include "check.h"

struct pool {
	int64_t B, gh, gw, oh, ow, C;
	double *x, *y, *dy, *dx;
};

/* The windows of torch.nn.AdaptiveAvgPool2d. */
static int64_t
first(int64_t i, int64_t in, int64_t out)
{
	return i * in / out;
}

static int64_t
last(int64_t i, int64_t in, int64_t out)
{
	return ((i + 1) * in + out - 1) / out;
}

/* One output row y or, backward, its share of dx. */
static void
ref_window(struct pool *a, int64_t b, int64_t i, int64_t j, bool backward)
{
	int64_t r0 = first(i, a->gh, a->oh), r1 = last(i, a->gh, a->oh);
	int64_t c0 = first(j, a->gw, a->ow), c1 = last(j, a->gw, a->ow);
	double area = (double)((r1 - r0) * (c1 - c0));
	int64_t to = ((b * a->oh + i) * a->ow + j) * a->C;

	for (int64_t k = 0; k < a->C && !backward; k++)
		a->y[to + k] = 0;
	for (int64_t r = r0; r < r1; r++)
		for (int64_t c = c0; c < c1; c++)
			for (int64_t k = 0; k < a->C; k++) {
				int64_t from =
				    ((b * a->gh + r) * a->gw + c) * a->C + k;

				if (backward)
					a->dx[from] += a->dy[to + k] / area;
				else
					a->y[to + k] += a->x[from] / area;
			}
}

static void
reference(struct pool *a, bool backward)
{
	for (int64_t b = 0; b < a->B; b++)
		for (int64_t i = 0; i < a->oh; i++)
			for (int64_t j = 0; j < a->ow; j++)
				ref_window(a, b, i, j, backward);
}

static double
loss(void *arg)
{
	struct pool *a = arg;
	double sum = 0;

	reference(a, false);
	for (int64_t i = 0; i < a->B * a->oh * a->ow * a->C; i++)
		sum += a->dy[i] * a->y[i];
	return sum;
}

static void
check_shape(struct chk *c, struct pool a)
{
	size_t n = (size_t)(a.B * a.gh * a.gw * a.C);
	size_t m = (size_t)(a.B * a.oh * a.ow * a.C);
	struct chk_buf *X, *Y = chk_out(c, m), *DY, *DX = chk_out(c, n);

	a.x = chk_rand(c, n, 1);
	a.dy = chk_rand(c, m, 1);
	a.y = chk_zeros(c, m);
	a.dx = chk_zeros(c, n);
	X = chk_in(c, a.x, n);
	DY = chk_in(c, a.dy, m);
	gvk_avgpool(c->s, Y->p, X->p, a.B, a.gh, a.gw, a.oh, a.ow, a.C);
	gvk_avgpool_bwd(c->s, DX->p, DY->p, a.B, a.gh, a.gw, a.oh, a.ow, a.C);
	if (c->ref) {
		reference(&a, false);
		reference(&a, true);
	}
	chk_near(c, Y, a.y, CHK_SUM, "y, B %d, %dx%d to %dx%d, C %d", (int)a.B,
	    (int)a.gh, (int)a.gw, (int)a.oh, (int)a.ow, (int)a.C);
	chk_near(c, DX, a.dx, CHK_SUM, "dx");
	if (n < 1000)
		chk_fd(c, loss, &a, a.x, a.dx, n, "differences");
	chk_end(c);
}

static void
check(struct chk *c)
{
	static const struct pool shape[] = {
	    {.B = 0, .gh = 4, .gw = 4, .oh = 2, .ow = 2, .C = 7},
	    {.B = 1, .gh = 1, .gw = 1, .oh = 1, .ow = 1, .C = 1},
	    {.B = 2, .gh = 4, .gw = 4, .oh = 2, .ow = 2, .C = 7},
	    {.B = 3, .gh = 7, .gw = 5, .oh = 3, .ow = 2, .C = 3},
	    {.B = 1, .gh = 5, .gw = 9, .oh = 1, .ow = 1, .C = 33},
	    {.B = 2, .gh = 16, .gw = 16, .oh = 4, .ow = 4, .C = 96},
	    {.B = 1, .gh = 13, .gw = 14, .oh = 5, .ow = 13, .C = 130},
	    {.B = 2, .gh = 3, .gw = 2, .oh = 5, .ow = 7, .C = 2},
	};

	for (size_t i = 0; i < sizeof shape / sizeof *shape; i++)
		check_shape(c, shape[i]);
}

int
main(int argc, char **argv)
{
	return chk_main(argc, argv, check);
}
