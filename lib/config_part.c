/* The configuration of a part as that of a model of its own. */
#include "config_part.h"

#include "json.h"
#include "banned.h"

/* Hugging Face's class of a type. */
static const struct {
	const char *type, *class;
} classes[] = {
    {"qwen2", "Qwen2ForCausalLM"},
    {"qwen3", "Qwen3ForCausalLM"},
    {"llama", "LlamaForCausalLM"},
    {"mistral", "MistralForCausalLM"},
    {"nanochat", "NanoChatForCausalLM"},
    {"siglip_vision_model", "SiglipVisionModel"},
    {"clip_vision_model", "CLIPVisionModel"},
    {"siglip", "SiglipModel"},
    {"clip", "CLIPModel"},
    {"llava", "LlavaForConditionalGeneration"},
    {"idefics2", "Idefics2ForConditionalGeneration"},
    {"idefics3", "Idefics3ForConditionalGeneration"},
    {"smolvlm", "SmolVLMForConditionalGeneration"},
};

void
gv_config_put_class(json_t *o)
{
	const char *type = json_string_value(json_object_get(o, "model_type"));
	size_t i, n = sizeof classes / sizeof *classes;

	if (type && !strcmp(type, "nano")) {
		json_object_set_new(o, "model_type", json_string("nanochat"));
		type = "nanochat";
	}
	for (i = 0; i < n && type && strcmp(classes[i].type, type); i++)
		;
	if (i < n)
		json_object_set_new(
		    o, "architectures", json_pack("[s]", classes[i].class));
}

/* What a file says of itself and not of the model. */
static void
strip(json_t *o)
{
	static const char *const keys[] = {"architectures", "auto_map", "dtype",
	    "torch_dtype", "transformers_version", "_name_or_path", "init"};
	size_t i;

	for (i = 0; i < sizeof keys / sizeof *keys; i++)
		json_object_del(o, keys[i]);
}

/* Which layer the features are of, where a tower alone would mean another. */
static int
put_features(json_t *o, const struct gv_vision_config *v)
{
	bool clip = v->class_token, post = v->layer == v->L && !clip;
	int bad = 0;

	if (v->layer != v->L)
		bad |= json_object_set_new(o, "vision_feature_layer",
		    json_integer(v->layer - v->L - 1));
	if (v->post_norm != post)
		bad |= json_object_set_new(
		    o, "vision_post_norm", json_boolean(v->post_norm));
	if (clip && v->P == v->T)
		bad |= json_object_set_new(
		    o, "vision_feature_select_strategy", json_string("full"));
	return bad;
}

/* The towers of Idefics's kind are SigLIP's where images are whole. */
static int
finish_tower(json_t *o, const struct gv_vision_config *v)
{
	int bad = json_object_set_new(o, "model_type",
	    json_string(
		v->class_token ? "clip_vision_model" : "siglip_vision_model"));

	/* gv_config_json() leaves away what saving a model would make true */
	if (v->from)
		bad |= json_object_set_new(
		    o, "interpolate_from", json_integer(v->from));
	return bad | put_features(o, v);
}

int
gv_config_of_part(json_t **out, const struct gv_config *c, enum gv_part part,
    struct gv_error *e)
{
	const char *key = part == GV_VISION ? "vision_config" : "text_config";
	json_t *all = gv_config_json(c), *in = json_object_get(all, key), *o;
	bool alone = part == GV_LANGUAGE ? !c->has_vision : !in;
	int bad;

	o = gv_json_copy(alone ? all : in);
	json_decref(all);
	bad = !o;
	if (o)
		strip(o);
	if (o && part == GV_VISION)
		bad |= finish_tower(o, &c->vision);
	if (!bad) {
		gv_config_put_class(o);
		*out = o;
		return 0;
	}
	json_decref(o);
	return gv_fail(e, GV_ERR_NOMEM, "out of memory");
}

/* A rule for images of another size, of the same shape. */
static void
carry_rule(struct gv_config *to, const struct gv_config *from)
{
	int32_t was = from->rule.height, side = (int32_t)to->vision.image;

	to->rule = from->rule;
	to->rule.height = to->rule.width = side;
	if (was > 0)
		to->rule.edge =
		    (int32_t)((int64_t)from->rule.edge * side / was);
	memcpy(to->vision.mean, from->vision.mean, sizeof to->vision.mean);
	memcpy(to->vision.std, from->vision.std, sizeof to->vision.std);
}

int
gv_config_carry(
    struct gv_config *to, const struct gv_config *from, struct gv_error *e)
{
	const char *type = from->vision.type;
	/* their processors cut images up, and no other tower's file says so */
	bool others =
	    !strcmp(to->vision.type, type) ||
	    (strncmp(type, "idefics", 7) && strncmp(type, "smolvlm", 7));

	if (to->has_vision && from->has_vision) {
		carry_rule(to, from);
		if (from->preprocessor && others)
			to->preprocessor = gv_json_copy(from->preprocessor);
		if (from->preprocessor && others && !to->preprocessor)
			return gv_fail(e, GV_ERR_NOMEM, "out of memory");
	}
	if (to->has_text && from->has_text) {
		memcpy(to->eos, from->eos, sizeof to->eos);
		to->neos = from->neos;
		to->sampling = from->sampling;
		if (from->generation)
			to->generation = gv_json_copy(from->generation);
		if (from->generation && !to->generation)
			return gv_fail(e, GV_ERR_NOMEM, "out of memory");
	}
	return 0;
}

int
gv_config_put_dtype(struct gv_config *c, enum gv_dtype t, struct gv_error *e)
{
	static const char *const in[] = {"text_config", "vision_config"};
	static const char *const keys[] = {"dtype", "torch_dtype"};
	const char *name = t == GV_BF16  ? "bfloat16"
			   : t == GV_F16 ? "float16"
					 : "float32";
	size_t i, k;

	json_object_del(c->json, keys[1]);
	for (i = 0; i < 2; i++)
		for (k = 0; k < 2; k++)
			json_object_del(
			    json_object_get(c->json, in[i]), keys[k]);
	return json_object_set_new(c->json, keys[0], json_string(name))
		   ? gv_fail(e, GV_ERR_NOMEM, "out of memory")
		   : 0;
}
