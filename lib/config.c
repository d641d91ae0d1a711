/* Facts of a model from its JSON files, checked, and back into them. */
#include "config.h"

#include "io.h"
#include "json.h"
#include "banned.h"

#include <errno.h>
#include <math.h>
#include <unistd.h>

#define MAX_JSON ((size_t)1 << 20)

/* ---- values by key ------------------------------------------------------- */

/* An object and how messages call it: "text_config." or "". */
struct obj {
	const json_t *o;
	const char *at;
	struct gv_error *e;
};

/* The value, or NULL if it is absent or null. */
static json_t *
look(const struct obj *s, const char *key)
{
	json_t *v = json_object_get(s->o, key);

	return json_is_null(v) ? NULL : v;
}

static int
bad(const struct obj *s, const char *key, const char *what)
{
	return gv_fail(
	    s->e, GV_ERR_FORMAT, "'%s%s' is not %s", s->at, key, what);
}

/* An optional whole number; *v keeps its default. */
static int
get_int(
    const struct obj *s, const char *key, int64_t lo, int64_t hi, int64_t *v)
{
	const json_t *j = look(s, key);
	int64_t x = json_integer_value(j);

	if (!j)
		return 0;
	if (!json_is_integer(j))
		return bad(s, key, "a whole number");
	if (x < lo || x > hi)
		return gv_fail(s->e, GV_ERR_LIMIT,
		    "'%s%s' is %lld, not between %lld and %lld", s->at, key,
		    (long long)x, (long long)lo, (long long)hi);
	*v = x;
	return 0;
}

/* A size that must be there, 1..hi. */
static int
need_int(const struct obj *s, const char *key, int64_t hi, int64_t *v)
{
	if (!look(s, key))
		return gv_fail(
		    s->e, GV_ERR_FORMAT, "'%s%s' is missing", s->at, key);
	return get_int(s, key, 1, hi, v);
}

static int
get_f64(const struct obj *s, const char *key, double lo, double hi, double *v)
{
	const json_t *j = look(s, key);
	double x = json_number_value(j);

	if (!j)
		return 0;
	if (!json_is_number(j))
		return bad(s, key, "a number");
	if (!(x >= lo && x <= hi))
		return gv_fail(s->e, GV_ERR_LIMIT,
		    "'%s%s' is %g, not between %g and %g", s->at, key, x, lo,
		    hi);
	*v = x;
	return 0;
}

static int
get_bool(const struct obj *s, const char *key, bool *v)
{
	const json_t *j = look(s, key);

	if (j && !json_is_boolean(j))
		return bad(s, key, "true or false");
	if (j)
		*v = json_is_true(j);
	return 0;
}

static int
get_text(const struct obj *s, const char *key, const char **v)
{
	const json_t *j = look(s, key);

	if (j && !json_is_string(j))
		return bad(s, key, "text");
	if (j)
		*v = json_string_value(j);
	return 0;
}

/* A member that is an object itself. */
static int
need_obj(const struct obj *s, const char *key, const char *at, struct obj *out)
{
	out->o = look(s, key);
	out->at = at;
	out->e = s->e;
	if (!out->o)
		return gv_fail(
		    s->e, GV_ERR_FORMAT, "'%s%s' is missing", s->at, key);
	return json_is_object(out->o) ? 0 : bad(s, key, "an object");
}

static int
unsupported(const struct obj *s, const char *key, const char *value)
{
	char q[64];

	return gv_fail(s->e, GV_ERR_NOSUP, "'%s%s' of '%s' is not supported",
	    s->at, key, gv_quote(q, sizeof q, value, strlen(value)));
}

/* ---- the decoder --------------------------------------------------------- */

/* rope_theta, at the top or in rope_parameters; only plain rotation. */
static int
parse_rope(struct gv_text_config *t, const struct obj *s)
{
	static const char *const nest[] = {"rope_parameters", "rope_scaling"};
	size_t i;

	t->rope_theta = 10000;
	if (get_f64(s, "rope_theta", 1, 1e12, &t->rope_theta))
		return s->e->code;
	for (i = 0; i < 2; i++) {
		struct obj in = {look(s, nest[i]), s->at, s->e};
		const char *type = "default";

		if (in.o && !json_is_object(in.o))
			return bad(s, nest[i], "an object");
		if (get_text(&in, "type", &type) ||
		    get_text(&in, "rope_type", &type) ||
		    get_f64(&in, "rope_theta", 1, 1e12, &t->rope_theta))
			return s->e->code;
		if (strcmp(type, "default"))
			return unsupported(s, nest[i], type);
	}
	return 0;
}

/* What a qwen2 config can ask for that this decoder doesn't do. */
static int
refuse_text(const struct obj *s)
{
	const char *act = "silu";
	bool window = false;
	size_t i;
	const json_t *kinds = look(s, "layer_types");

	if (get_text(s, "hidden_act", &act) ||
	    get_bool(s, "use_sliding_window", &window))
		return s->e->code;
	if (strcmp(act, "silu"))
		return unsupported(s, "hidden_act", act);
	if (window)
		return unsupported(s, "use_sliding_window", "true");
	if (look(s, "quantization_config"))
		return gv_fail(s->e, GV_ERR_NOSUP,
		    "'%squantization_config' is not supported", s->at);
	for (i = 0; i < json_array_size(kinds); i++) {
		const char *k = json_string_value(json_array_get(kinds, i));

		if (!k || strcmp(k, "full_attention"))
			return unsupported(s, "layer_types", k ? k : "?");
	}
	return 0;
}

static int
parse_text(struct gv_text_config *t, const struct obj *s)
{
	const char *type = "";

	if (get_text(s, "model_type", &type))
		return s->e->code;
	/* qwen3, llama and nano take their places here, each with its facts */
	if (strcmp(type, "qwen2"))
		return unsupported(s, "model_type", type);
	snprintf(t->type, sizeof t->type, "%s", type);
	t->qkv_bias = true;
	t->eps = 1e-6;
	t->init_std = 0.02;
	t->tied = false;
	if (need_int(s, "vocab_size", GV_MAX_VOCAB, &t->V) ||
	    need_int(s, "hidden_size", GV_MAX_WIDTH, &t->C) ||
	    need_int(s, "num_hidden_layers", GV_MAX_LAYERS, &t->L) ||
	    need_int(s, "num_attention_heads", GV_MAX_HEADS, &t->H) ||
	    need_int(s, "intermediate_size", GV_MAX_FFN, &t->F) ||
	    need_int(s, "max_position_embeddings", GV_MAX_POSITIONS, &t->max_T))
		return s->e->code;
	t->G = t->H;
	t->D = t->C / t->H;
	if (get_int(s, "num_key_value_heads", 1, GV_MAX_HEADS, &t->G) ||
	    get_int(s, "head_dim", 1, GV_MAX_WIDTH, &t->D) ||
	    get_f64(s, "rms_norm_eps", 1e-20, 1, &t->eps) ||
	    get_f64(s, "initializer_range", 0, 10, &t->init_std) ||
	    get_bool(s, "tie_word_embeddings", &t->tied) || parse_rope(t, s) ||
	    refuse_text(s))
		return s->e->code;
	if (!look(s, "head_dim") && t->C % t->H)
		return gv_fail(s->e, GV_ERR_MATCH,
		    "%lld heads don't divide '%shidden_size' %lld",
		    (long long)t->H, s->at, (long long)t->C);
	if (t->H % t->G)
		return gv_fail(s->e, GV_ERR_MATCH,
		    "%lld key/value heads don't divide the %lld heads of "
		    "'%snum_attention_heads'",
		    (long long)t->G, (long long)t->H, s->at);
	if (t->D % 2)
		return gv_fail(s->e, GV_ERR_MATCH,
		    "head width %lld is odd, rotation needs pairs",
		    (long long)t->D);
	return 0;
}

/* ---- the vision tower ---------------------------------------------------- */

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
parse_act(const struct obj *s, enum gv_act *act)
{
	const char *name = "gelu_pytorch_tanh";
	size_t i;

	if (get_text(s, "hidden_act", &name))
		return s->e->code;
	for (i = 0; i < NACTS; i++)
		if (!strcmp(activations[i].name, name)) {
			*act = activations[i].act;
			return 0;
		}
	return unsupported(s, "hidden_act", name);
}

static int
check_vision(struct gv_vision_config *v, const struct obj *s)
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

static int
parse_vision(struct gv_vision_config *v, const struct obj *s)
{
	const char *type = "siglip_vision_model";
	int64_t channels = 3;
	int i;

	if (get_text(s, "model_type", &type))
		return s->e->code;
	/* clip_vision_model takes its place here */
	if (strcmp(type, "siglip_vision_model"))
		return unsupported(s, "model_type", type);
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
	if (get_int(s, "image_size", 1, 16384, &v->image) ||
	    get_int(s, "patch_size", 1, 1024, &v->patch) ||
	    get_int(s, "num_channels", 3, 3, &channels) ||
	    get_int(s, "hidden_size", 1, GV_MAX_WIDTH, &v->C) ||
	    get_int(s, "num_hidden_layers", 1, GV_MAX_LAYERS, &v->L) ||
	    get_int(s, "num_attention_heads", 1, GV_MAX_HEADS, &v->H) ||
	    get_int(s, "intermediate_size", 1, GV_MAX_FFN, &v->F) ||
	    get_f64(s, "layer_norm_eps", 1e-20, 1, &v->eps) ||
	    get_f64(s, "initializer_range", 0, 10, &v->init_std) ||
	    parse_act(s, &v->act))
		return s->e->code;
	return check_vision(v, s);
}

/* Which layer's output the features are; the keys stand at the top. */
static int
parse_layer(struct gv_vision_config *v, const struct obj *s)
{
	const char *select = "full";
	int64_t i = -1;

	if (get_int(s, "vision_feature_layer", -v->L, v->L, &i) ||
	    get_text(s, "vision_feature_select_strategy", &select))
		return s->e->code;
	if (!i)
		return gv_fail(s->e, GV_ERR_NOSUP,
		    "'vision_feature_layer' of 0, no layer, is not supported");
	if (strcmp(select, "full"))
		return unsupported(s, "vision_feature_select_strategy", select);
	v->layer = i < 0 ? v->L + 1 + i : i;
	v->post_norm = v->layer == v->L;
	return get_bool(s, "vision_post_norm", &v->post_norm);
}

/* ---- between the two ----------------------------------------------------- */

static int
parse_perceiver(struct gv_config *c, const struct obj *s)
{
	c->rs_L = 1;
	c->rs_H = c->vision.H;
	if (need_int(s, "rows", GV_MAX_ROWS, &c->R) ||
	    get_int(s, "blocks", 1, GV_MAX_LAYERS, &c->rs_L) ||
	    get_int(s, "heads", 1, GV_MAX_HEADS, &c->rs_H))
		return s->e->code;
	if (c->vision.C % c->rs_H)
		return gv_fail(s->e, GV_ERR_MATCH,
		    "'resampler.heads' %lld don't divide the vision width "
		    "%lld",
		    (long long)c->rs_H, (long long)c->vision.C);
	return 0;
}

static int
parse_avgpool(struct gv_config *c, const struct obj *s)
{
	int64_t side = 1;

	if (need_int(s, "rows", GV_MAX_ROWS, &c->R))
		return s->e->code;
	while (side * side < c->R)
		side++;
	if (side * side != c->R || c->R > c->vision.P)
		return gv_fail(s->e, GV_ERR_MATCH,
		    "'resampler.rows' is %lld, not a square of at most %lld "
		    "patches",
		    (long long)c->R, (long long)c->vision.P);
	return 0;
}

static int
parse_resampler(struct gv_config *c, const struct obj *top)
{
	struct obj s;
	const char *type = "";

	if (need_obj(top, "resampler", "resampler.", &s) ||
	    get_text(&s, "type", &type))
		return top->e->code;
	if (!strcmp(type, "perceiver")) {
		c->resampler = GV_RESAMPLER_PERCEIVER;
		return parse_perceiver(c, &s);
	}
	if (!strcmp(type, "avgpool")) {
		c->resampler = GV_RESAMPLER_AVGPOOL;
		return parse_avgpool(c, &s);
	}
	/* pixelshuffle takes its place here */
	if (strcmp(type, "none"))
		return unsupported(&s, "type", type);
	c->resampler = GV_RESAMPLER_NONE;
	c->R = c->vision.P;
	if (get_int(&s, "rows", 1, GV_MAX_GRID * GV_MAX_GRID, &c->R))
		return top->e->code;
	if (c->R != c->vision.P)
		return gv_fail(top->e, GV_ERR_MATCH,
		    "'resampler.rows' is %lld, without a resampler it is the "
		    "%lld patches",
		    (long long)c->R, (long long)c->vision.P);
	return 0;
}

static int
parse_between(struct gv_config *c, const struct obj *top)
{
	struct obj s;
	const char *act = "gelu";
	int64_t id = -1;

	if (parse_resampler(c, top) ||
	    need_obj(top, "projector", "projector.", &s))
		return top->e->code;
	c->pj_C = c->text.C;
	if (get_int(&s, "hidden_size", 1, GV_MAX_WIDTH, &c->pj_C) ||
	    get_text(&s, "act", &act))
		return top->e->code;
	if (strcmp(act, "gelu"))
		return unsupported(&s, "act", act);
	if (!look(top, "image_token_id"))
		return gv_fail(
		    top->e, GV_ERR_FORMAT, "'image_token_id' is missing");
	if (get_int(top, "image_token_id", 0, c->text.V - 1, &id))
		return top->e->code;
	c->image_token = (int32_t)id;
	return 0;
}

/* ---- end ids ------------------------------------------------------------- */

static int
push_eos(struct gv_config *c, const json_t *v, const struct obj *s)
{
	int64_t id = json_integer_value(v);

	if (!json_is_integer(v))
		return bad(s, "eos_token_id", "an id or a list of ids");
	if (id < 0 || id >= c->text.V)
		return gv_fail(s->e, GV_ERR_MATCH,
		    "'%seos_token_id' %lld is not in the vocabulary of %lld",
		    s->at, (long long)id, (long long)c->text.V);
	if (c->neos == (int)(sizeof c->eos / sizeof *c->eos))
		return gv_fail(s->e, GV_ERR_LIMIT,
		    "'%seos_token_id' has more than %d ids", s->at, c->neos);
	c->eos[c->neos++] = (int32_t)id;
	return 0;
}

/* Takes the object's end ids if it has any. */
static int
parse_eos(struct gv_config *c, const struct obj *s)
{
	const json_t *v = look(s, "eos_token_id");
	size_t i;

	if (!v)
		return 0;
	c->neos = 0;
	if (!json_is_array(v))
		return push_eos(c, v, s);
	for (i = 0; i < json_array_size(v); i++)
		if (push_eos(c, json_array_get(v, i), s))
			return s->e->code;
	return 0;
}

/* ---- preprocessor_config.json -------------------------------------------- */

/* Pillow's numbers of the filters. */
enum { PIL_LANCZOS = 1, PIL_BILINEAR, PIL_BICUBIC };

static int
parse_size(struct gv_config *c, const struct obj *s)
{
	const json_t *v = look(s, "size");
	struct obj in = {v, "size.", s->e};
	int64_t h = c->vision.image, w = c->vision.image;

	if (json_is_integer(v)) {
		if (get_int(s, "size", 1, 32768, &h))
			return s->e->code;
		w = h;
	} else if (v && !json_is_object(v)) {
		return bad(s, "size", "a size");
	} else if (look(&in, "shortest_edge") || look(&in, "longest_edge")) {
		return unsupported(s, "size", "shortest_edge");
	} else if (get_int(&in, "height", 1, 32768, &h) ||
		   get_int(&in, "width", 1, 32768, &w)) {
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
parse_three(const struct obj *s, const char *key, double lo, double v[3])
{
	const json_t *j = look(s, key);
	size_t i;

	if (!j)
		return 0;
	if (json_array_size(j) != 3)
		return bad(s, key, "a list of three numbers");
	for (i = 0; i < 3; i++) {
		const json_t *x = json_array_get(j, i);
		double d = json_number_value(x);

		if (!json_is_number(x) || !(d >= lo && d <= 1000))
			return bad(s, key, "a list of three sane numbers");
		v[i] = d;
	}
	return 0;
}

/* Steps that must be on or off for our pixels to be the reference's. */
static int
check_steps(const struct obj *s)
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

		if (get_bool(s, step[i].key, &on))
			return s->e->code;
		if (on != step[i].must)
			return unsupported(
			    s, step[i].key, on ? "true" : "false");
	}
	if (get_f64(s, "rescale_factor", 0, 1e6, &factor))
		return s->e->code;
	if (!(fabs(factor * 255 - 1) < 1e-6))
		return gv_fail(s->e, GV_ERR_NOSUP,
		    "'rescale_factor' of %g is not supported, 1/255 is",
		    factor);
	return 0;
}

static int
parse_preprocessor(struct gv_config *c, const struct obj *s)
{
	struct gv_vision_config *v = &c->vision;
	int64_t pil = PIL_BICUBIC;
	bool normalize = true;
	int i;

	if (check_steps(s) || parse_size(c, s) ||
	    get_int(s, "resample", 0, 5, &pil) ||
	    parse_three(s, "image_mean", -1000, v->mean) ||
	    parse_three(s, "image_std", 1e-6, v->std) ||
	    get_bool(s, "do_normalize", &normalize))
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

/* ---- reading ------------------------------------------------------------- */

static int
parse_ghostvis(struct gv_config *c, const struct obj *top)
{
	struct obj text, vision;

	c->has_text = c->has_vision = true;
	if (need_obj(top, "text_config", "text_config.", &text) ||
	    need_obj(top, "vision_config", "vision_config.", &vision) ||
	    parse_text(&c->text, &text) || parse_vision(&c->vision, &vision) ||
	    parse_layer(&c->vision, top) || parse_between(c, top) ||
	    parse_eos(c, &text))
		return top->e->code;
	return parse_eos(c, top);
}

static int
parse_type(struct gv_config *c, const struct obj *top, const char *type)
{
	struct obj in = *top;

	if (!strcmp(type, "ghostvis"))
		return parse_ghostvis(c, top);
	if (!strcmp(type, "qwen2")) {
		c->has_text = true;
		return parse_text(&c->text, top) ? top->e->code
						 : parse_eos(c, top);
	}
	c->has_vision = true;
	if (!strcmp(type, "siglip") &&
	    need_obj(top, "vision_config", "vision_config.", &in))
		return top->e->code;
	if (parse_vision(&c->vision, &in))
		return top->e->code;
	return parse_layer(&c->vision, top);
}

/* "init", for gv-model init; a deviation that is not given is .02. */
static int
parse_init(struct gv_init_config *c, const struct obj *top)
{
	struct obj s;

	if (!look(top, "init"))
		return 0;
	if (need_obj(top, "init", "init.", &s) ||
	    get_f64(&s, "gain", 1e-3, 1e3, &c->gain))
		return top->e->code;
	if (!look(&s, "gain"))
		return gv_fail(top->e, GV_ERR_FORMAT, "'init.gain' is missing");
	c->patch = c->position = c->embedding = 0.02;
	if (get_f64(&s, "patch", 0, 1e3, &c->patch) ||
	    get_f64(&s, "position", 0, 1e3, &c->position) ||
	    get_f64(&s, "embedding", 0, 1e3, &c->embedding))
		return top->e->code;
	return 0;
}

int
gv_config_parse(struct gv_config *out, const json_t *o, struct gv_error *e)
{
	static const char *const known[] = {
	    "ghostvis", "qwen2", "siglip", "siglip_vision_model"};
	struct obj top = {o, "", e};
	struct gv_config c;
	const char *type = NULL;
	char q[64];
	size_t i;

	memset(&c, 0, sizeof c);
	c.image_token = -1;
	if (!json_is_object(o))
		return gv_fail(e, GV_ERR_FORMAT, "not a JSON object");
	if (get_text(&top, "model_type", &type))
		return e->code;
	if (!type)
		return gv_fail(e, GV_ERR_FORMAT, "'model_type' is missing");
	for (i = 0; i < 4 && strcmp(known[i], type); i++)
		;
	if (i == 4)
		return gv_fail(e, GV_ERR_NOSUP,
		    "model type '%s' is not supported (ghostvis, qwen2, "
		    "siglip and siglip_vision_model are)",
		    gv_quote(q, sizeof q, type, strlen(type)));
	snprintf(c.model_type, sizeof c.model_type, "%s", type);
	if (parse_type(&c, &top, type) || parse_init(&c.init, &top))
		return e->code;
	if (c.has_vision)
		c.rule = (struct gv_image_rule){(int32_t)c.vision.image,
		    (int32_t)c.vision.image, GV_FIT_SQUASH, GV_BICUBIC};
	c.json = gv_json_copy(o);
	if (!c.json)
		return gv_fail(e, GV_ERR_NOMEM, "out of memory");
	*out = c;
	return 0;
}

/* DIR/name as JSON.  An optional file that is absent gives NULL and 0. */
static int
load(json_t **out, const char *dir, const char *name, bool optional,
    struct gv_error *e)
{
	char path[4096];

	*out = NULL;
	snprintf(path, sizeof path, "%s/%s", dir, name);
	if (optional && access(path, F_OK) && errno == ENOENT)
		return 0;
	return gv_json_load(out, path, MAX_JSON, e);
}

/* The two files beside config.json. */
static int
open_rest(struct gv_config *c, const char *dir, struct gv_error *e)
{
	struct obj s = {NULL, "", e};

	if (c->has_vision) {
		if (load(&c->preprocessor, dir, "preprocessor_config.json",
			true, e))
			return e->code;
		s.o = c->preprocessor;
		if (s.o && parse_preprocessor(c, &s))
			return gv_fail_in(
			    e, "'%s/preprocessor_config.json'", dir);
	}
	if (c->has_text) {
		if (load(
			&c->generation, dir, "generation_config.json", true, e))
			return e->code;
		s.o = c->generation;
		if (s.o && parse_eos(c, &s))
			return gv_fail_in(
			    e, "'%s/generation_config.json'", dir);
	}
	return 0;
}

int
gv_config_open(struct gv_config *out, const char *dir, struct gv_error *e)
{
	struct gv_config c;
	json_t *o;
	int r;

	if (load(&o, dir, "config.json", false, e))
		return e->code;
	r = gv_config_parse(&c, o, e);
	json_decref(o);
	if (r)
		return gv_fail_in(e, "'%s/config.json'", dir);
	if (open_rest(&c, dir, e)) {
		gv_config_free(&c);
		return e->code;
	}
	*out = c;
	return 0;
}

void
gv_config_free(struct gv_config *c)
{
	json_decref(c->json);
	json_decref(c->preprocessor);
	json_decref(c->generation);
	memset(c, 0, sizeof *c);
}
