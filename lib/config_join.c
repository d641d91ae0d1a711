/* What stands between the tower and the decoder, in our own models and in
 * those of Hugging Face's library. */
#include "config_priv.h"

#include "banned.h"

/* ---- resamplers ---------------------------------------------------------- */

static int
check_heads(const struct gv_config *c, const struct gv_obj *s)
{
	if (c->rs_H % c->rs_G)
		return gv_fail(s->e, GV_ERR_MATCH,
		    "%lld key/value heads of the resampler don't divide its "
		    "%lld heads",
		    (long long)c->rs_G, (long long)c->rs_H);
	return 0;
}

static int
parse_perceiver(struct gv_config *c, const struct gv_obj *s)
{
	c->rs_L = 1;
	c->rs_H = c->vision.H;
	c->rs_eps = c->vision.eps;
	c->rs_F = 4 * c->rs_C;
	if (gv_obj_need_int(s, "rows", GV_MAX_ROWS, &c->R) ||
	    gv_obj_int(s, "blocks", 1, GV_MAX_LAYERS, &c->rs_L) ||
	    gv_obj_int(s, "heads", 1, GV_MAX_HEADS, &c->rs_H))
		return s->e->code;
	if (c->vision.C % c->rs_H)
		return gv_fail(s->e, GV_ERR_MATCH,
		    "'resampler.heads' %lld don't divide the vision width "
		    "%lld",
		    (long long)c->rs_H, (long long)c->vision.C);
	c->rs_G = c->rs_H;
	c->rs_D = c->vision.C / c->rs_H;
	return 0;
}

/* Idefics2's Perceiver by our keys; the sizes that are absent are its own. */
static int
parse_idefics2_resampler(struct gv_config *c, const struct gv_obj *s)
{
	c->rs_C = c->text.C;
	c->rs_L = 3;
	c->rs_H = 16;
	c->rs_G = 4;
	c->rs_D = 96;
	c->rs_front = c->text.F;
	c->rs_eps = 1e-6;
	if (gv_obj_need_int(s, "rows", GV_MAX_ROWS, &c->R) ||
	    gv_obj_int(s, "hidden_size", 1, GV_MAX_WIDTH, &c->rs_C) ||
	    gv_obj_int(s, "front_size", 1, GV_MAX_FFN, &c->rs_front) ||
	    gv_obj_int(s, "blocks", 1, GV_MAX_LAYERS, &c->rs_L) ||
	    gv_obj_int(s, "heads", 1, GV_MAX_HEADS, &c->rs_H) ||
	    gv_obj_int(s, "key_value_heads", 1, GV_MAX_HEADS, &c->rs_G) ||
	    gv_obj_int(s, "head_dim", 1, GV_MAX_WIDTH, &c->rs_D) ||
	    gv_obj_f64(s, "rms_norm_eps", 1e-20, 1, &c->rs_eps))
		return s->e->code;
	c->rs_F = 4 * c->rs_C;
	return check_heads(c, s);
}

/* The grid of patches, if it is all that the tower gives. */
static int
need_grid(const struct gv_config *c, const struct gv_obj *s)
{
	if (c->vision.P == c->vision.grid * c->vision.grid)
		return 0;
	return gv_fail(s->e, GV_ERR_MATCH,
	    "this resampler takes a grid of patches, but "
	    "'vision_feature_select_strategy' keeps the class token");
}

static int
parse_avgpool(struct gv_config *c, const struct gv_obj *s)
{
	int64_t side = 1;

	if (need_grid(c, s) || gv_obj_need_int(s, "rows", GV_MAX_ROWS, &c->R))
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

/* `key` says how many patches a side become one row. */
static int
parse_shuffle(struct gv_config *c, const struct gv_obj *s, const char *key)
{
	const struct gv_vision_config *v = &c->vision;
	int64_t f = 2;

	if (need_grid(c, s) || gv_obj_int(s, key, 1, GV_MAX_GRID, &f))
		return s->e->code;
	if (v->grid % f)
		return gv_fail(s->e, GV_ERR_MATCH,
		    "'%s%s' %lld doesn't divide the %lld patches a side", s->at,
		    key, (long long)f, (long long)v->grid);
	if (v->C * f * f > GV_MAX_FFN)
		return gv_fail(s->e, GV_ERR_LIMIT,
		    "'%s%s' %lld makes rows of width %lld, the limit is %d",
		    s->at, key, (long long)f, (long long)(v->C * f * f),
		    GV_MAX_FFN);
	c->factor = f;
	c->R = v->P / (f * f);
	c->rs_C = v->C * f * f;
	return 0;
}

/* The number of rows may be there although it follows from the rest. */
static int
check_rows(const struct gv_config *c, const struct gv_obj *s)
{
	int64_t rows = c->R;

	if (gv_obj_int(
		s, "rows", 1, (int64_t)GV_MAX_GRID * GV_MAX_GRID + 1, &rows))
		return s->e->code;
	if (rows == c->R)
		return 0;
	return gv_fail(s->e, GV_ERR_MATCH,
	    "'resampler.rows' is %lld, from %lld patches it is %lld",
	    (long long)rows, (long long)c->vision.P, (long long)c->R);
}

static const char *const resampler_name[] = {
    [GV_RESAMPLER_NONE] = "none",
    [GV_RESAMPLER_AVGPOOL] = "avgpool",
    [GV_RESAMPLER_SHUFFLE] = "pixelshuffle",
    [GV_RESAMPLER_PERCEIVER] = "perceiver",
    [GV_RESAMPLER_IDEFICS2] = "idefics2",
};

static int
parse_resampler(struct gv_config *c, const struct gv_obj *top)
{
	struct gv_obj s;
	const char *type = "";
	size_t i, n = sizeof resampler_name / sizeof *resampler_name;

	if (gv_obj_need(top, "resampler", "resampler.", &s) ||
	    gv_obj_text(&s, "type", &type))
		return top->e->code;
	for (i = 0; i < n && strcmp(type, resampler_name[i]); i++)
		;
	if (i == n)
		return gv_obj_nosup(&s, "type", type);
	c->resampler = (enum gv_resampler)i;
	c->R = c->vision.P;
	c->rs_C = c->vision.C;
	switch (c->resampler) {
	case GV_RESAMPLER_PERCEIVER:
		return parse_perceiver(c, &s);
	case GV_RESAMPLER_AVGPOOL:
		return parse_avgpool(c, &s);
	case GV_RESAMPLER_IDEFICS2:
		return parse_idefics2_resampler(c, &s);
	case GV_RESAMPLER_SHUFFLE:
		return parse_shuffle(c, &s, "factor") ? top->e->code
						      : check_rows(c, &s);
	case GV_RESAMPLER_NONE:
		break;
	}
	return check_rows(c, &s);
}

/* ---- projectors ---------------------------------------------------------- */

static const char *const projector_name[] = {
    [GV_PROJECTOR_MLP] = "mlp",
    [GV_PROJECTOR_LINEAR] = "linear",
    [GV_PROJECTOR_NONE] = "none",
};

static int
parse_projector(struct gv_config *c, const struct gv_obj *top)
{
	struct gv_obj s;
	const char *type = "mlp";
	size_t i, n = sizeof projector_name / sizeof *projector_name;

	if (gv_obj_need(top, "projector", "projector.", &s) ||
	    gv_obj_text(&s, "type", &type))
		return top->e->code;
	for (i = 0; i < n && strcmp(type, projector_name[i]); i++)
		;
	if (i == n)
		return gv_obj_nosup(&s, "type", type);
	c->projector = (enum gv_projector)i;
	if (c->projector == GV_PROJECTOR_NONE && c->rs_C != c->text.C)
		return gv_fail(top->e, GV_ERR_MATCH,
		    "without a projector the resampler's width %lld is not "
		    "the text model's, %lld",
		    (long long)c->rs_C, (long long)c->text.C);
	c->pj_bias = c->projector == GV_PROJECTOR_MLP;
	if (c->projector != GV_PROJECTOR_NONE &&
	    gv_obj_bool(&s, "bias", &c->pj_bias))
		return top->e->code;
	if (c->projector != GV_PROJECTOR_MLP)
		return 0;
	c->pj_C = c->text.C;
	c->pj_act = GV_ACT_GELU_ERF;
	return gv_obj_int(&s, "hidden_size", 1, GV_MAX_WIDTH, &c->pj_C) ||
		       gv_config_act(&s, "act", &c->pj_act)
		   ? top->e->code
		   : 0;
}

/* ---- families ------------------------------------------------------------ */

static int
ghostvis(struct gv_config *c, const struct gv_obj *top)
{
	return parse_resampler(c, top) || parse_projector(c, top) ? top->e->code
								  : 0;
}

static int
llava(struct gv_config *c, const struct gv_obj *top)
{
	c->resampler = GV_RESAMPLER_NONE;
	c->R = c->vision.P;
	c->rs_C = c->vision.C;
	c->projector = GV_PROJECTOR_MLP;
	c->pj_C = c->text.C;
	c->pj_act = GV_ACT_GELU_ERF;
	c->pj_bias = true;
	return gv_config_act(top, "projector_hidden_act", &c->pj_act) ||
		       gv_obj_bool(
			   top, "multimodal_projector_bias", &c->pj_bias)
		   ? top->e->code
		   : 0;
}

/* idefics3 and smolvlm. */
static int
idefics3(struct gv_config *c, const struct gv_obj *top)
{
	c->resampler = GV_RESAMPLER_SHUFFLE;
	c->projector = GV_PROJECTOR_LINEAR;
	c->pj_bias = false;
	return parse_shuffle(c, top, "scale_factor");
}

/* The library's rule for a perceiver_config of another width than the text
 * model's: that it was never written, and means the text model's. */
static int
idefics2(struct gv_config *c, const struct gv_obj *top)
{
	struct gv_obj s = {
	    gv_obj_get(top, "perceiver_config"), "perceiver_config.", top->e};
	enum gv_act act = GV_ACT_SILU;

	c->resampler = GV_RESAMPLER_IDEFICS2;
	c->projector = GV_PROJECTOR_NONE;
	c->rs_C = 4096;
	c->R = 64;
	c->rs_L = 3;
	c->rs_H = 16;
	c->rs_G = 4;
	c->rs_D = 96;
	c->rs_eps = 1e-6;
	c->rs_front = c->text.F;
	if (s.o && !json_is_object(s.o))
		return gv_obj_bad(top, "perceiver_config", "an object");
	if (gv_obj_int(&s, "hidden_size", 1, GV_MAX_WIDTH, &c->rs_C) ||
	    gv_obj_f64(&s, "rms_norm_eps", 1e-20, 1, &c->rs_eps) ||
	    gv_obj_int(&s, "resampler_n_latents", 1, GV_MAX_ROWS, &c->R) ||
	    gv_obj_int(&s, "resampler_depth", 1, GV_MAX_LAYERS, &c->rs_L) ||
	    gv_obj_int(&s, "resampler_n_heads", 1, GV_MAX_HEADS, &c->rs_H) ||
	    gv_obj_int(&s, "resampler_head_dim", 1, GV_MAX_WIDTH, &c->rs_D) ||
	    gv_obj_int(&s, "num_key_value_heads", 1, GV_MAX_HEADS, &c->rs_G) ||
	    gv_config_act(&s, "hidden_act", &act))
		return top->e->code;
	if (act != GV_ACT_SILU)
		return gv_obj_nosup(&s, "hidden_act", gv_config_act_name(act));
	if (c->rs_C != c->text.C) {
		c->rs_C = c->text.C;
		c->rs_eps = c->text.eps;
	}
	c->rs_F = 4 * c->rs_C;
	return check_heads(c, top);
}

static const struct {
	const char *type, *tower; /* of a vision_config without model_type */
	int (*text)(struct gv_text_config *t, const struct gv_obj *s);
	int (*layer)(struct gv_config *c, const struct gv_obj *s);
	int (*between)(struct gv_config *c, const struct gv_obj *top);
} families[] = {
    {"ghostvis", "siglip_vision_model", gv_config_text, gv_config_layer,
	ghostvis},
    {"llava", "clip_vision_model", gv_config_text_class, gv_config_layer_llava,
	llava},
    {"idefics2", "idefics2_vision", gv_config_text_class, gv_config_layer,
	idefics2},
    {"idefics3", "idefics3_vision", gv_config_text_class, gv_config_layer,
	idefics3},
    {"smolvlm", "smolvlm_vision", gv_config_text_class, gv_config_layer,
	idefics3},
};
#define NFAMILIES (sizeof families / sizeof *families)

bool
gv_config_joins(const char *type)
{
	size_t i;

	for (i = 0; i < NFAMILIES && strcmp(families[i].type, type); i++)
		;
	return i < NFAMILIES;
}

static int
parse_image_token(struct gv_config *c, const struct gv_obj *top)
{
	const char *key = "image_token_id";
	int64_t id = -1;

	/* LLaVA's older name */
	if (!gv_obj_get(top, key) && gv_obj_get(top, "image_token_index"))
		key = "image_token_index";
	if (!gv_obj_get(top, key))
		return gv_fail(
		    top->e, GV_ERR_FORMAT, "'image_token_id' is missing");
	if (gv_obj_int(top, key, 0, c->text.V - 1, &id))
		return top->e->code;
	c->image_token = (int32_t)id;
	return 0;
}

/* Whether the head is tied: the library's classes ask the whole; LLaVA's takes
 * the text model's word, too. */
static int
parse_tied(struct gv_config *c, const struct gv_obj *top)
{
	bool tied = false;

	if (!strcmp(c->model_type, "ghostvis"))
		return 0;
	if (gv_obj_bool(top, "tie_word_embeddings", &tied))
		return top->e->code;
	c->text.tied =
	    tied || (c->text.tied && !strcmp(c->model_type, "llava"));
	return 0;
}

int
gv_config_joined(struct gv_config *c, const struct gv_obj *top)
{
	struct gv_obj text, vision;
	size_t i;

	for (i = 0; strcmp(families[i].type, c->model_type); i++)
		;
	c->has_text = c->has_vision = true;
	if (gv_obj_need(top, "text_config", "text_config.", &text) ||
	    gv_obj_need(top, "vision_config", "vision_config.", &vision) ||
	    families[i].text(&c->text, &text) ||
	    gv_config_vision(&c->vision, &vision, families[i].tower) ||
	    families[i].layer(c, top) || families[i].between(c, top) ||
	    parse_image_token(c, top) || gv_config_eos(c, &text))
		return top->e->code;
	return parse_tied(c, top) || gv_config_eos(c, top) ? top->e->code : 0;
}

/* ---- the way back -------------------------------------------------------- */

static void
put_resampler(json_t *s, const struct gv_config *c)
{
	bool own = c->resampler == GV_RESAMPLER_IDEFICS2;

	json_object_set_new(
	    s, "type", json_string(resampler_name[c->resampler]));
	gv_config_put_int(s, "rows", c->R);
	if (c->resampler == GV_RESAMPLER_SHUFFLE)
		gv_config_put_int(s, "factor", c->factor);
	if (own || c->resampler == GV_RESAMPLER_PERCEIVER) {
		gv_config_put_int(s, "blocks", c->rs_L);
		gv_config_put_int(s, "heads", c->rs_H);
	}
	if (!own)
		return;
	gv_config_put_int(s, "hidden_size", c->rs_C);
	gv_config_put_int(s, "front_size", c->rs_front);
	gv_config_put_int(s, "key_value_heads", c->rs_G);
	gv_config_put_int(s, "head_dim", c->rs_D);
	json_object_set_new(s, "rms_norm_eps", json_real(c->rs_eps));
}

static void
put_projector(json_t *s, const struct gv_config *c)
{
	bool mlp = c->projector == GV_PROJECTOR_MLP;

	if (!mlp || json_object_get(s, "type"))
		json_object_set_new(
		    s, "type", json_string(projector_name[c->projector]));
	if (c->projector != GV_PROJECTOR_NONE &&
	    (c->pj_bias != mlp || json_object_get(s, "bias")))
		json_object_set_new(s, "bias", json_boolean(c->pj_bias));
	if (!mlp)
		return;
	gv_config_put_int(s, "hidden_size", c->pj_C);
	json_object_set_new(
	    s, "act", json_string(gv_config_act_name(c->pj_act)));
}

void
gv_config_put_between(json_t *o, const struct gv_config *c)
{
	if (!strcmp(c->model_type, "ghostvis")) {
		put_resampler(gv_config_member(o, "resampler"), c);
		put_projector(gv_config_member(o, "projector"), c);
		gv_config_put_int(o, "image_token_id", c->image_token);
	} else if (!json_object_get(o, "image_token_index")) {
		gv_config_put_int(o, "image_token_id", c->image_token);
	}
}
