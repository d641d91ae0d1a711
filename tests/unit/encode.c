/* The encoder against the model's own pass: batches of any size, in flight two
 * at a time, as F32 and BF16. */
#include "encode.h"

#include "mem.h"
#include "philox.h"
#include "tap.h"

#include <stdlib.h>

#define IMAGES 7
#define PIXELS (64 * 64 * 3)

static struct gvk *k;
static struct gv_model *m;
static struct gv_error e;
static uint8_t px[IMAGES * PIXELS];

static void
fatal(const char *what)
{
	printf("Bail out! %s: %s\n", what, e.msg);
	exit(1);
}

static void
make_model(unsigned of)
{
	json_t *o = gv_config_preset("vlm_tiny");
	struct gv_config c = {0};
	struct gv_rng r;
	size_t i;

	json_object_set_new(
	    json_object_get(o, "text_config"), "vocab_size", json_integer(50));
	json_object_set_new(o, "image_token_id", json_integer(49));
	json_object_set_new(o, "resampler",
	    json_pack("{sssisisi}", "type", "perceiver", "rows", 5, "blocks", 2,
		"heads", 4));
	if (gv_config_parse(&c, o, &e) || gv_model_new(&m, k, &c, of, &e) ||
	    gv_model_init(m, 3, &e))
		fatal("model");
	json_decref(o);
	gv_rng_init(&r, 2, GV_PURPOSE_TEST);
	for (i = 0; i < sizeof px; i++)
		px[i] = (uint8_t)gv_rng_below(&r, 256);
}

/* What gv_model_vision() gives for all images, one by one. */
static float *
expected(enum gv_input to, size_t row)
{
	const struct gv_limits l = {.images = 1};
	struct gv_batch b = {.input = GV_IN_IMAGE, .B = 1};
	float *out = gv_alloc(IMAGES * row, sizeof *out);
	size_t i;

	if (!out || gv_model_reserve(m, &l, &e))
		fatal("gv_model_reserve");
	for (i = 0; i < IMAGES; i++) {
		b.image = px + i * PIXELS;
		if (gv_model_vision(m, &b, to, out + i * row, &e))
			fatal("gv_model_vision");
	}
	return out;
}

/* The largest difference of n rows from the images from `first` on. */
static double
apart(const void *rows, enum gv_dtype as, const float *want, size_t row,
    int64_t first, int64_t n)
{
	float *got = gv_alloc((size_t)n * row, sizeof *got);
	double most = 0;
	size_t i;

	if (!got || gv_to_f32(got, rows, as, (size_t)n * row, &e))
		fatal("gv_to_f32");
	for (i = 0; i < (size_t)n * row; i++)
		most = fmax(most, fabs((double)got[i] -
				       (double)want[(size_t)first * row + i]));
	gv_free(got);
	return most;
}

/* Batches of some sizes through an encoder of `batch` images a pass. */
static void
encode(enum gv_input to, enum gv_dtype as, int64_t batch)
{
	static const int64_t size[] = {2, 3, 0, 7, 3, 3, 1, 7, 7};
	const int n = sizeof size / sizeof *size;
	size_t row =
	    (size_t)(to == GV_IN_FEATURES ? m->cfg.vision.P * m->cfg.vision.C
					  : m->cfg.R * m->cfg.text.C);
	float *want = expected(to, row);
	struct gv_encoder *x;
	const void *rows;
	double most = 0;
	int i;

	if (gv_encoder_open(&x, m, to, as, batch, &e))
		fatal("gv_encoder_open");
	for (i = 0; i <= n; i++) {
		if (i < n &&
		    gv_encoder_put(
			x, px + i % 2 * PIXELS * (size[i] < 7), size[i], &e))
			fatal("gv_encoder_put");
		if (!i)
			continue;
		if (gv_encoder_take(x, &rows, &e))
			fatal("gv_encoder_take");
		most = fmax(
		    most, apart(rows, as, want, row,
			      (i - 1) % 2 * (size[i - 1] < 7), size[i - 1]));
	}
	gv_encoder_close(&x);
	gv_free(want);
	near(most, 0, as == GV_BF16 ? 0.02 : 1e-5, "%s in %s, %d images a pass",
	    to == GV_IN_FEATURES ? "features" : "embeds",
	    as == GV_BF16 ? "BF16" : "F32", (int)batch);
}

/* A model that was read without its projector. */
static void
parts(void)
{
	const unsigned some = 1u << GV_VISION | 1u << GV_RESAMPLER;
	struct gv_encoder *x = NULL;
	struct gv_model *whole = m;

	make_model(some);
	is_int(gv_encoder_open(&x, m, GV_IN_EMBEDS, GV_F32, 2, &e),
	    GV_ERR_MATCH, "no embeds without a projector (%s)", e.msg);
	gv_error_clear(&e);
	is_int(gv_encoder_open(&x, m, GV_IN_FEATURES, GV_F32, 2, &e), 0,
	    "features need the tower alone");
	gv_encoder_close(&x);
	gv_model_close(&m);
	m = whole;
}

int
main(void)
{
	if (gv_backend_open(&k, "cpu", 2, &e))
		fatal("start");
	make_model(~0u);
	encode(GV_IN_FEATURES, GV_F32, 3);
	encode(GV_IN_FEATURES, GV_BF16, 1);
	encode(GV_IN_EMBEDS, GV_F32, 2);
	encode(GV_IN_EMBEDS, GV_F32, 16);
	encode(GV_IN_EMBEDS, GV_BF16, 3);
	parts();
	gv_model_close(&m);
	gvk_close(&k);
	return done();
}
