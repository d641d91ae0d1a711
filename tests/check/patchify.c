/* Images cut into normalised patches. */
#include "check.h"

struct shape {
	int64_t B, H, W, p;
};

static const float mul[3] = {1 / 58.f, 1 / 57.f, -2.f};
static const float add[3] = {-2.1f, .25f, 0};

static void
reference(const struct shape *a, double *y, const uint8_t *image)
{
	int64_t p = a->p, down = a->H / p, across = a->W / p;

	for (int64_t i = 0; i < a->B * down * across * 3 * p * p; i++) {
		int64_t patch = i / (3 * p * p), ch = i / (p * p) % 3;
		int64_t row = i / p % p + patch / across % down * p;
		int64_t column = i % p + patch % across * p;
		int64_t b = patch / (down * across);
		uint8_t v = image[((b * a->H + row) * a->W + column) * 3 + ch];

		y[i] = (double)v * (double)mul[ch] + (double)add[ch];
	}
}

static void
check_shape(struct chk *c, struct shape a)
{
	size_t bytes = (size_t)(a.B * a.H * a.W * 3);
	size_t n = (size_t)(a.B * (a.H / a.p) * (a.W / a.p) * 3 * a.p * a.p);
	int32_t *v = chk_rand_ids(c, bytes, 256);
	uint8_t *image = (uint8_t *)v; /* packed in place */
	double *y = chk_zeros(c, n);
	struct chk_buf *IMAGE, *Y = chk_out(c, n);

	for (size_t i = 0; i < bytes; i++)
		image[i] = (uint8_t)v[i];
	IMAGE = chk_in_u8(c, image, bytes);
	gvk_patchify(c->s, Y->p, IMAGE->p, mul, add, a.B, a.H, a.W, a.p);
	if (c->ref)
		reference(&a, y, image);
	chk_near(c, Y, y, CHK_ELEM, "B %d, H %d, W %d, p %d", (int)a.B,
	    (int)a.H, (int)a.W, (int)a.p);
	chk_end(c);
}

static void
check(struct chk *c)
{
	static const struct shape shape[] = {{0, 8, 8, 4}, {1, 1, 1, 1},
	    {2, 8, 8, 4}, {1, 13, 10, 4}, {3, 7, 29, 3}, {1, 33, 65, 16},
	    {2, 30, 43, 14}, {1, 3, 9, 4}, {5, 64, 64, 8}, {2, 49, 64, 16},
	    {3, 47, 64, 14}, {1, 16, 640, 16}, {2, 28, 528, 14}};

	for (size_t i = 0; i < sizeof shape / sizeof *shape; i++)
		check_shape(c, shape[i]);
}

int
main(int argc, char **argv)
{
	return chk_main(argc, argv, check);
}
