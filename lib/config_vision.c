/* The vision tower's facts. */
#include "config_priv.h"

#include "banned.h"

/* What sets a family apart, and the sizes of its class in Hugging Face's
 * library: files leave out what is equal to them. */
static const struct family {
	const char *type;
	int64_t image, patch, C, L, H, F;
	double eps;
	enum gv_act act;
	bool class_token, patch_bias, pre_norm;
	bool post_norm; /* its own last hidden state is normalised */
	bool clip_pixels; /* else mean and deviation are .5 */
} families[] = {
    {"siglip_vision_model", 224, 16, 768, 12, 12, 3072, 1e-6, GV_ACT_GELU_TANH,
	false, true, false, true, false},
    {"clip_vision_model", 224, 32, 768, 12, 12, 3072, 1e-5, GV_ACT_GELU_QUICK,
	true, false, true, false, true},
    {"idefics2_vision", 224, 32, 768, 12, 12, 3072, 1e-6, GV_ACT_GELU_TANH,
	false, true, false, true, false},
    {"idefics3_vision", 224, 32, 1152, 12, 16, 3072, 1e-6, GV_ACT_GELU_TANH,
	false, true, false, true, false},
    {"smolvlm_vision", 224, 32, 1152, 12, 16, 3072, 1e-6, GV_ACT_GELU_TANH,
	false, true, false, true, false},
};
#define NFAMILIES (sizeof families / sizeof *families)

static const double clip_mean[3] = {0.48145466, 0.4578275, 0.40821073};
static const double clip_std[3] = {0.26862954, 0.26130258, 0.27577711};

static const struct family *
family_of(const char *type)
{
	size_t i;

	/* hub files call the towers of these two like the whole */
	if (!strcmp(type, "idefics2") || !strcmp(type, "idefics3"))
		return family_of(!strcmp(type, "idefics2") ? "idefics2_vision"
							   : "idefics3_vision");
	for (i = 0; i < NFAMILIES; i++)
		if (!strcmp(families[i].type, type))
			return &families[i];
	return NULL;
}

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

int
gv_config_act(const struct gv_obj *s, const char *key, enum gv_act *act)
{
	const char *name = NULL;
	size_t i;

	if (gv_obj_text(s, key, &name))
		return s->e->code;
	if (!name)
		return 0;
	for (i = 0; i < NACTS; i++)
		if (!strcmp(activations[i].name, name)) {
			*act = activations[i].act;
			return 0;
		}
	return gv_obj_nosup(s, key, name);
}

const char *
gv_config_act_name(enum gv_act act)
{
	size_t i;

	for (i = 0; i < NACTS && activations[i].act != act; i++)
		;
	return i < NACTS ? activations[i].name : NULL;
}

static int
check_vision(struct gv_vision_config *v, const struct gv_obj *s)
{
	if (v->patch > v->image)
		return gv_fail(s->e, GV_ERR_MATCH,
		    "'%spatch_size' %lld is larger than the image, %lld", s->at,
		    (long long)v->patch, (long long)v->image);
	if (v->from && v->patch > v->from)
		return gv_fail(s->e, GV_ERR_MATCH,
		    "'%spatch_size' %lld is larger than "
		    "'%sinterpolate_from', %lld",
		    s->at, (long long)v->patch, s->at, (long long)v->from);
	if (v->C % v->H)
		return gv_fail(s->e, GV_ERR_MATCH,
		    "%lld heads don't divide '%shidden_size' %lld",
		    (long long)v->H, s->at, (long long)v->C);
	v->grid = v->image / v->patch;
	v->T = v->grid * v->grid + v->class_token;
	v->P = v->grid * v->grid;
	if (v->grid > GV_MAX_GRID || v->from / v->patch > GV_MAX_GRID)
		return gv_fail(s->e, GV_ERR_LIMIT,
		    "'%s%s' %lld is %lld patches a side, the limit is %d",
		    s->at,
		    v->grid > GV_MAX_GRID ? "image_size" : "interpolate_from",
		    (long long)(v->grid > GV_MAX_GRID ? v->image : v->from),
		    (long long)(v->grid > GV_MAX_GRID ? v->grid
						      : v->from / v->patch),
		    GV_MAX_GRID);
	/* the same size: nothing to do */
	if (v->from / v->patch == v->grid)
		v->from = 0;
	return 0;
}

static void
start_as(struct gv_vision_config *v, const struct family *f)
{
	int i;

	v->image = f->image;
	v->patch = f->patch;
	v->C = f->C;
	v->L = f->L;
	v->H = f->H;
	v->F = f->F;
	v->eps = f->eps;
	v->act = f->act;
	v->class_token = f->class_token;
	v->patch_bias = f->patch_bias;
	v->pre_norm = f->pre_norm;
	v->post_norm = f->post_norm;
	v->init_std = 0.02;
	for (i = 0; i < 3; i++) {
		v->mean[i] = f->clip_pixels ? clip_mean[i] : 0.5;
		v->std[i] = f->clip_pixels ? clip_std[i] : 0.5;
	}
}

/* A size of images or patches; two of them, or a list, are another matter. */
static int
square(const struct gv_obj *s, const char *key, int64_t hi, int64_t *v)
{
	const json_t *j = gv_obj_get(s, key);
	json_int_t h, w;

	if (!json_is_array(j))
		return gv_obj_int(s, key, 1, hi, v);
	h = json_integer_value(json_array_get(j, 0));
	w = json_integer_value(json_array_get(j, 1));
	if (json_array_size(j) != 2 || h < 1 || h > hi || h != w)
		return gv_obj_bad(s, key, "the size of a square");
	*v = h;
	return 0;
}

int
gv_config_vision(
    struct gv_vision_config *v, const struct gv_obj *s, const char *type)
{
	const struct family *f;
	int64_t channels = 3;

	if (gv_obj_text(s, "model_type", &type))
		return s->e->code;
	f = family_of(type);
	if (!f)
		return gv_obj_nosup(s, "model_type", type);
	snprintf(v->type, sizeof v->type, "%s", type);
	start_as(v, f);
	if (square(s, "image_size", 16384, &v->image) ||
	    square(s, "patch_size", 1024, &v->patch) ||
	    gv_obj_int(s, "interpolate_from", 1, 16384, &v->from) ||
	    gv_obj_int(s, "num_channels", 3, 3, &channels) ||
	    gv_obj_int(s, "hidden_size", 1, GV_MAX_WIDTH, &v->C) ||
	    gv_obj_int(s, "num_hidden_layers", 1, GV_MAX_LAYERS, &v->L) ||
	    gv_obj_int(s, "num_attention_heads", 1, GV_MAX_HEADS, &v->H) ||
	    gv_obj_int(s, "intermediate_size", 1, GV_MAX_FFN, &v->F) ||
	    gv_obj_f64(s, "layer_norm_eps", 1e-20, 1, &v->eps) ||
	    gv_obj_f64(s, "initializer_range", 0, 10, &v->init_std) ||
	    gv_config_act(s, "hidden_act", &v->act))
		return s->e->code;
	return check_vision(v, s);
}

bool
gv_config_post_norm(const struct gv_config *c)
{
	const struct gv_vision_config *v = &c->vision;

	return v->layer == v->L && strcmp(c->model_type, "llava") &&
	       family_of(v->type)->post_norm;
}

/* The keys stand at the top.  `i` is the layer where they are absent. */
static int
parse_layer(
    struct gv_config *c, const struct gv_obj *s, int64_t i, const char *select)
{
	const char *key = "vision_feature_select_strategy";
	struct gv_vision_config *v = &c->vision;
	bool full;

	if (json_is_array(gv_obj_get(s, "vision_feature_layer")))
		return gv_obj_nosup(s, "vision_feature_layer", "a list");
	if (gv_obj_int(s, "vision_feature_layer", -v->L, v->L, &i) ||
	    gv_obj_text(s, key, &select))
		return s->e->code;
	if (!i)
		return gv_fail(s->e, GV_ERR_NOSUP,
		    "'vision_feature_layer' of 0, no layer, is not supported");
	full = !strcmp(select, "full");
	/* where there is no class token, "default" would drop a patch */
	if (!full && (strcmp(select, "default") || !v->class_token))
		return gv_obj_nosup(s, key, select);
	v->P = v->grid * v->grid + (full && v->class_token);
	v->layer = i < 0 ? v->L + 1 + i : i;
	v->post_norm = gv_config_post_norm(c);
	return gv_obj_bool(s, "vision_post_norm", &v->post_norm);
}

int
gv_config_layer(struct gv_config *c, const struct gv_obj *s)
{
	return parse_layer(
	    c, s, -1, c->vision.class_token ? "default" : "full");
}

int
gv_config_layer_llava(struct gv_config *c, const struct gv_obj *s)
{
	return parse_layer(c, s, -2, "default");
}
