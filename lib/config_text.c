/* The decoder's facts, and the ids that end a text. */
#include "config_priv.h"

#include "banned.h"

/* rope_theta, at the top or in rope_parameters; only plain rotation. */
static int
parse_rope(struct gv_text_config *t, const struct gv_obj *s)
{
	static const char *const nest[] = {"rope_parameters", "rope_scaling"};
	size_t i;

	t->rope_theta = 10000;
	if (gv_obj_f64(s, "rope_theta", 1, 1e12, &t->rope_theta))
		return s->e->code;
	for (i = 0; i < 2; i++) {
		struct gv_obj in = {gv_obj_get(s, nest[i]), s->at, s->e};
		const char *type = "default";

		if (in.o && !json_is_object(in.o))
			return gv_obj_bad(s, nest[i], "an object");
		if (gv_obj_text(&in, "type", &type) ||
		    gv_obj_text(&in, "rope_type", &type) ||
		    gv_obj_f64(&in, "rope_theta", 1, 1e12, &t->rope_theta))
			return s->e->code;
		if (strcmp(type, "default"))
			return gv_obj_nosup(s, nest[i], type);
	}
	return 0;
}

/* What a qwen2 config can ask for that this decoder doesn't do. */
static int
refuse_text(const struct gv_obj *s)
{
	const char *act = "silu";
	bool window = false;
	size_t i;
	const json_t *kinds = gv_obj_get(s, "layer_types");

	if (gv_obj_text(s, "hidden_act", &act) ||
	    gv_obj_bool(s, "use_sliding_window", &window))
		return s->e->code;
	if (strcmp(act, "silu"))
		return gv_obj_nosup(s, "hidden_act", act);
	if (window)
		return gv_obj_nosup(s, "use_sliding_window", "true");
	if (gv_obj_get(s, "quantization_config"))
		return gv_fail(s->e, GV_ERR_NOSUP,
		    "'%squantization_config' is not supported", s->at);
	for (i = 0; i < json_array_size(kinds); i++) {
		const char *k = json_string_value(json_array_get(kinds, i));

		if (!k || strcmp(k, "full_attention"))
			return gv_obj_nosup(s, "layer_types", k ? k : "?");
	}
	return 0;
}

int
gv_config_text(struct gv_text_config *t, const struct gv_obj *s)
{
	const char *type = "";

	if (gv_obj_text(s, "model_type", &type))
		return s->e->code;
	/* qwen3, llama and nano take their places here, each with its facts */
	if (strcmp(type, "qwen2"))
		return gv_obj_nosup(s, "model_type", type);
	snprintf(t->type, sizeof t->type, "%s", type);
	t->qkv_bias = true;
	t->eps = 1e-6;
	t->init_std = 0.02;
	t->tied = false;
	if (gv_obj_need_int(s, "vocab_size", GV_MAX_VOCAB, &t->V) ||
	    gv_obj_need_int(s, "hidden_size", GV_MAX_WIDTH, &t->C) ||
	    gv_obj_need_int(s, "num_hidden_layers", GV_MAX_LAYERS, &t->L) ||
	    gv_obj_need_int(s, "num_attention_heads", GV_MAX_HEADS, &t->H) ||
	    gv_obj_need_int(s, "intermediate_size", GV_MAX_FFN, &t->F) ||
	    gv_obj_need_int(
		s, "max_position_embeddings", GV_MAX_POSITIONS, &t->max_T))
		return s->e->code;
	t->G = t->H;
	t->D = t->C / t->H;
	if (gv_obj_int(s, "num_key_value_heads", 1, GV_MAX_HEADS, &t->G) ||
	    gv_obj_int(s, "head_dim", 1, GV_MAX_WIDTH, &t->D) ||
	    gv_obj_f64(s, "rms_norm_eps", 1e-20, 1, &t->eps) ||
	    gv_obj_f64(s, "initializer_range", 0, 10, &t->init_std) ||
	    gv_obj_bool(s, "tie_word_embeddings", &t->tied) ||
	    parse_rope(t, s) || refuse_text(s))
		return s->e->code;
	if (!gv_obj_get(s, "head_dim") && t->C % t->H)
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

/* ---- end ids ------------------------------------------------------------- */

static int
push_eos(struct gv_config *c, const json_t *v, const struct gv_obj *s)
{
	int64_t id = json_integer_value(v);

	if (!json_is_integer(v))
		return gv_obj_bad(s, "eos_token_id", "an id or a list of ids");
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
int
gv_config_eos(struct gv_config *c, const struct gv_obj *s)
{
	const json_t *v = gv_obj_get(s, "eos_token_id");
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
