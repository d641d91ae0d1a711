/* The vision tower's facts, and how its images are prepared. */
#include "config_priv.h"

#include "banned.h"

#include <math.h>

static const struct {
	const char *name;
	enum gv_act act;
} activations[] = {
    {"gelu_pytorch_tanh", GV_ACT_GELU_TANH},
    {"gelu_new", GV_ACT_GELU_TANH},
    {"gelu", GV_ACT_GELU_ERF},
    {"quick_gelu", GV_ACT_GELU_QUICK},
    {"silu", GV_ACT_SILU},
};
#define NACTS (sizeof activations / sizeof *activations)

static int
parse_act(const struct gv_obj *s, enum gv_act *act)
{
	const char *name = "gelu_pytorch_tanh";
	size_t i;

	if (gv_obj_text(s, "hidden_act", &name))
		return s->e->code;
	for (i = 0; i < NACTS; i++)
		if (!strcmp(activations[i].name, name)) {
			*act = activations[i].act;
			return 0;
		}
	return gv_obj_nosup(s, "hidden_act", name);
}

static int
check_vision(struct gv_vision_config *v, const struct gv_obj *s)
{
	if (v->patch > v->image)
		return gv_fail(s->e, GV_ERR_MATCH,
		    "'%spatch_size' %lld is larger than the image, %lld", s->at,
		    (long long)v->patch, (long long)v->image);
	if (v->C % v->H)
		return gv_fail(s->e, GV_ERR_MATCH,
		    "%lld heads don't divide '%shidden_size' %lld",
		    (long long)v->H, s->at, (long long)v->C);
	v->grid = v->image / v->patch;
	v->P = v->grid * v->grid;
	if (v->grid > GV_MAX_GRID)
		return gv_fail(s->e, GV_ERR_LIMIT,
		    "'%simage_size' %lld is %lld patches a side, the limit "
		    "is %d",
		    s->at, (long long)v->image, (long long)v->grid,
		    GV_MAX_GRID);
	return 0;
}

int
gv_config_vision(struct gv_vision_config *v, const struct gv_obj *s)
{
	const char *type = "siglip_vision_model";
	int64_t channels = 3;
	int i;

	if (gv_obj_text(s, "model_type", &type))
		return s->e->code;
	/* clip_vision_model takes its place here */
	if (strcmp(type, "siglip_vision_model"))
		return gv_obj_nosup(s, "model_type", type);
	snprintf(v->type, sizeof v->type, "%s", type);
	v->image = 224;
	v->patch = 16;
	v->C = 768;
	v->L = v->H = 12;
	v->F = 3072;
	v->eps = 1e-6;
	v->init_std = 0.02;
	for (i = 0; i < 3; i++)
		v->mean[i] = v->std[i] = 0.5;
	if (gv_obj_int(s, "image_size", 1, 16384, &v->image) ||
	    gv_obj_int(s, "patch_size", 1, 1024, &v->patch) ||
	    gv_obj_int(s, "num_channels", 3, 3, &channels) ||
	    gv_obj_int(s, "hidden_size", 1, GV_MAX_WIDTH, &v->C) ||
	    gv_obj_int(s, "num_hidden_layers", 1, GV_MAX_LAYERS, &v->L) ||
	    gv_obj_int(s, "num_attention_heads", 1, GV_MAX_HEADS, &v->H) ||
	    gv_obj_int(s, "intermediate_size", 1, GV_MAX_FFN, &v->F) ||
	    gv_obj_f64(s, "layer_norm_eps", 1e-20, 1, &v->eps) ||
	    gv_obj_f64(s, "initializer_range", 0, 10, &v->init_std) ||
	    parse_act(s, &v->act))
		return s->e->code;
	return check_vision(v, s);
}

/* Which layer's output the features are; the keys stand at the top. */
int
gv_config_layer(struct gv_vision_config *v, const struct gv_obj *s)
{
	const char *select = "full";
	int64_t i = -1;

	if (gv_obj_int(s, "vision_feature_layer", -v->L, v->L, &i) ||
	    gv_obj_text(s, "vision_feature_select_strategy", &select))
		return s->e->code;
	if (!i)
		return gv_fail(s->e, GV_ERR_NOSUP,
		    "'vision_feature_layer' of 0, no layer, is not supported");
	if (strcmp(select, "full"))
		return gv_obj_nosup(
		    s, "vision_feature_select_strategy", select);
	v->layer = i < 0 ? v->L + 1 + i : i;
	v->post_norm = v->layer == v->L;
	return gv_obj_bool(s, "vision_post_norm", &v->post_norm);
}

/* ---- preprocessor_config.json -------------------------------------------- */

/* Pillow's numbers of the filters. */
enum { PIL_LANCZOS = 1, PIL_BILINEAR, PIL_BICUBIC };

static int
parse_size(struct gv_config *c, const struct gv_obj *s)
{
	const json_t *v = gv_obj_get(s, "size");
	struct gv_obj in = {v, "size.", s->e};
	int64_t h = c->vision.image, w = c->vision.image;

	if (json_is_integer(v)) {
		if (gv_obj_int(s, "size", 1, 32768, &h))
			return s->e->code;
		w = h;
	} else if (v && !json_is_object(v)) {
		return gv_obj_bad(s, "size", "a size");
	} else if (gv_obj_get(&in, "shortest_edge") ||
		   gv_obj_get(&in, "longest_edge")) {
		return gv_obj_nosup(s, "size", "shortest_edge");
	} else if (gv_obj_int(&in, "height", 1, 32768, &h) ||
		   gv_obj_int(&in, "width", 1, 32768, &w)) {
		return s->e->code;
	}
	if (h != c->vision.image || w != c->vision.image)
		return gv_fail(s->e, GV_ERR_MATCH,
		    "'size' is %lldx%lld, the encoder takes %lldx%lld",
		    (long long)h, (long long)w, (long long)c->vision.image,
		    (long long)c->vision.image);
	return 0;
}

static int
parse_three(const struct gv_obj *s, const char *key, double lo, double v[3])
{
	const json_t *j = gv_obj_get(s, key);
	size_t i;

	if (!j)
		return 0;
	if (json_array_size(j) != 3)
		return gv_obj_bad(s, key, "a list of three numbers");
	for (i = 0; i < 3; i++) {
		const json_t *x = json_array_get(j, i);
		double d = json_number_value(x);

		if (!json_is_number(x) || !(d >= lo && d <= 1000))
			return gv_obj_bad(
			    s, key, "a list of three sane numbers");
		v[i] = d;
	}
	return 0;
}

/* Steps that must be on or off for our pixels to be the reference's. */
static int
check_steps(const struct gv_obj *s)
{
	static const struct {
		const char *key;
		bool must;
	} step[] = {{"do_resize", true}, {"do_rescale", true},
	    {"do_center_crop", false}, {"do_pad", false}};
	double factor = 1.0 / 255;
	size_t i;

	for (i = 0; i < sizeof step / sizeof *step; i++) {
		bool on = step[i].must;

		if (gv_obj_bool(s, step[i].key, &on))
			return s->e->code;
		if (on != step[i].must)
			return gv_obj_nosup(
			    s, step[i].key, on ? "true" : "false");
	}
	if (gv_obj_f64(s, "rescale_factor", 0, 1e6, &factor))
		return s->e->code;
	if (!(fabs(factor * 255 - 1) < 1e-6))
		return gv_fail(s->e, GV_ERR_NOSUP,
		    "'rescale_factor' of %g is not supported, 1/255 is",
		    factor);
	return 0;
}

int
gv_config_preprocessor(struct gv_config *c, const struct gv_obj *s)
{
	struct gv_vision_config *v = &c->vision;
	int64_t pil = PIL_BICUBIC;
	bool normalize = true;
	int i;

	if (check_steps(s) || parse_size(c, s) ||
	    gv_obj_int(s, "resample", 0, 5, &pil) ||
	    parse_three(s, "image_mean", -1000, v->mean) ||
	    parse_three(s, "image_std", 1e-6, v->std) ||
	    gv_obj_bool(s, "do_normalize", &normalize))
		return s->e->code;
	if (pil < PIL_LANCZOS || pil > PIL_BICUBIC)
		return gv_fail(s->e, GV_ERR_NOSUP,
		    "'resample' of %lld is not supported (1 lanczos, 2 "
		    "bilinear, 3 bicubic)",
		    (long long)pil);
	c->rule.filter = pil == PIL_BICUBIC    ? GV_BICUBIC
			 : pil == PIL_BILINEAR ? GV_BILINEAR
					       : GV_LANCZOS;
	for (i = 0; i < 3 && !normalize; i++) {
		v->mean[i] = 0;
		v->std[i] = 1;
	}
	return 0;
}
