/* Position embeddings of another size: torch's numbers, and a tower that is
 * read with them.
 */
#include "positions.h"

#include "configs.h"
#include "golden.h"

#include <unistd.h>

static char root[] = "/tmp/gv-positions-XXXXXX";

/* (in,in,2) to (out,out,2), what interpolate(size=(out, out), mode="bicubic",
 * align_corners=False) of torch 2.15.0 makes in F64 of number(). */
static const struct {
	int in, out;
	float want[50];
} t[] = {
    {3, 5,
	{-1.797496F, 0.182496F, -0.735912F, -0.64146F, 0.423F, -1.353F,
	    -0.119628F, -0.21396F, -0.81F, 0.867496F, -0.478412F, -0.157088F,
	    -0.07541F, -0.20737F, 0.217F, -0.1675F, -0.5525F, 0.22013F,
	    -1.242872F, 0.527912F, 1.108F, -0.668F, 0.6445F, 0.26F, -0.125F,
	    1.25F, -0.8945F, 0.6875F, -1.358F, 0.017F, 0.992872F, -1.029872F,
	    0.3025F, 0.01322F, -0.467F, 1.115F, -0.17459F, 0.44072F, 0.228412F,
	    -0.344872F, 0.56F, -1.216F, -0.130372F, -0.288F, -0.673F, 0.702F,
	    0.485912F, 0.1395F, 1.547496F, -0.531F}},
    {5, 2,
	{0.1806641F, -0.9711914F, 1.013184F, -0.06997299F, 0.5136719F,
	    -0.6381836F, 0.7737007F, -0.4570312F}},
    {1, 3,
	{-1.375F, 0.0F, -1.375F, 0.0F, -1.375F, 0.0F, -1.375F, 0.0F, -1.375F,
	    0.0F, -1.375F, 0.0F, -1.375F, 0.0F, -1.375F, 0.0F, -1.375F, 0.0F}},
    {4, 4,
	{-1.375F, 0.0F, 0.375F, -1.125F, -0.75F, 0.625F, 1.0F, -0.5F, -0.125F,
	    1.25F, -1.25F, 0.125F, 0.5F, -1.0F, -0.625F, 0.75F, 1.125F, -0.375F,
	    0.0F, 1.375F, -1.125F, 0.25F, 0.625F, -0.875F, -0.5F, 0.875F, 1.25F,
	    -0.25F, 0.125F, -1.375F, -1.0F, 0.375F}},
};

/* Channel c of row i. */
static float
number(int i, int c)
{
	return (float)((i * 37 + c * 11) % 23 - 11) / 8;
}

static void
interpolation(void)
{
	float src[50], got[50];
	size_t k, n;
	int i;

	for (k = 0; k < sizeof t / sizeof *t; k++) {
		for (i = 0; i < 2 * t[k].in * t[k].in; i++)
			src[i] = number(i / 2, i % 2);
		n = (size_t)(2 * t[k].out * t[k].out);
		gv_bicubic_grid(got, t[k].out, src, t[k].in, 2);
		ok(distance(got, t[k].want, n, 0) <= 2e-7, "%d to %d a side",
		    t[k].in, t[k].out);
		got[n - 1] += 1e-5F;
		ok(!(distance(got, t[k].want, n, 0) <= 2e-7),
		    "... which a small fault is not");
	}
}

/* ---- a tower ------------------------------------------------------------- */

static const char small[] =
    "{'model_type':'clip_vision_model','image_size':12,'patch_size':4,"
    "'hidden_size':8,'intermediate_size':8,'num_hidden_layers':1,"
    "'num_attention_heads':2}";

static const float *
positions(const struct gv_model *m)
{
	return param(m, GV_VISION, m->priv->at.pos);
}

static void
tower(struct gvk *k, struct gv_error *e)
{
	struct gv_model *old, *m = NULL;
	float want[25 * 8];
	struct gv_config c;
	json_t *o;

	fresh();
	must(parse(json(small), "{}", &c, e), e);
	must(gv_model_new(&old, k, &c, ~0u, e), e);
	must(gv_model_init(old, 3, e), e);
	must(gv_model_save(old, "m", GV_F32, e), e);
	o = json(small);
	json_object_set_new(o, "image_size", json_integer(20));
	unlink("m/preprocessor_config.json");
	ok(!json_dump_file(o, "m/config.json", 0), "images of 20 pixels");
	is_int(gv_model_open(&m, k, "m", ~0u, e), GV_ERR_MATCH, "are refused");
	ok(strstr(e->msg, "position_embedding.weight' is (10,8), config.json "
			  "asks for (26,8)") != NULL,
	    "by name: %s", e->msg);
	gv_error_clear(e);
	json_object_set_new(o, "interpolate_from", json_integer(12));
	ok(!json_dump_file(o, "m/config.json", 0), "unless they are asked for");
	must(gv_model_open(&m, k, "m", ~0u, e), e);
	gv_bicubic_grid(want, 5, positions(old) + 8, 3, 8);
	ok(!memcmp(positions(m), positions(old), 8 * sizeof(float)),
	    "the class token's position stays");
	ok(!memcmp(positions(m) + 8, want, sizeof want),
	    "the others are interpolated");
	must(gv_model_save(m, "m", GV_F32, e), e);
	gv_model_close(&old);
	must(gv_model_open(&old, k, "m", ~0u, e), e);
	ok(!old->cfg.vision.from &&
		!memcmp(positions(m), positions(old), 26 * 8 * sizeof(float)),
	    "and saved as such");
	gv_model_close(&old);
	gv_model_close(&m);
	json_decref(o);
}

int
main(void)
{
	struct gv_error e = {0};
	struct gvk *k;

	if (!mkdtemp(root) || chdir(root))
		return 1;
	interpolation();
	must(gv_backend_open(&k, "cpu", 1, &e), &e);
	tower(k, &e);
	gvk_close(&k);
	ok(!chdir("/") && !gv_remove_tree(root, &e), "remove everything");
	return done();
}
