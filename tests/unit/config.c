/* Configurations: facts read right, faults named, files that come back. */
#include "configs.h"
#include "model.h"
#include "philox.h"

#include <fcntl.h>
#include <unistd.h>

static char root[] = "/tmp/gv-config-XXXXXX";

static const char qwen[] =
    "{'model_type':'qwen2','vocab_size':151936,'hidden_size':1536,"
    "'num_hidden_layers':28,'num_attention_heads':12,"
    "'num_key_value_heads':2,'intermediate_size':8960,"
    "'max_position_embeddings':131072,'rope_theta':1000000.0,"
    "'rms_norm_eps':1e-06,'tie_word_embeddings':true,'hidden_act':'silu',"
    "'use_sliding_window':false,'sliding_window':131072,"
    "'eos_token_id':151643,'initializer_range':0.02,'use_mrope':false}";

static const char small[] =
    "{'model_type':'ghostvis','text_config':{'model_type':'qwen2',"
    "'vocab_size':512,'hidden_size':128,'intermediate_size':384,"
    "'num_hidden_layers':2,'num_attention_heads':4,"
    "'num_key_value_heads':4,'max_position_embeddings':2048},"
    "'vision_config':{'image_size':64,'patch_size':4,'hidden_size':96,"
    "'intermediate_size':384,'num_hidden_layers':3,"
    "'num_attention_heads':3},"
    "'resampler':{'type':'avgpool','rows':16},"
    "'projector':{'hidden_size':128,'act':'gelu'},"
    "'image_token_id':500,'vision_feature_layer':-1,"
    "'vision_post_norm':true}";

static json_t *
tiny(void)
{
	return json(small);
}

/* Bytes changed at random: refused in one line, or a model within limits that
 * is read back as it is written. */
static void
mutations(void)
{
	struct gv_error e = {0};
	struct gv_config c;
	struct gv_rng rng;
	int i, taken = 0, parsed = 0, bad = 0;
	char text[sizeof small];
	size_t k;

	gv_rng_init(&rng, 2, GV_PURPOSE_TEST);
	for (i = 0; i < 20000; i++) {
		json_t *o;

		memcpy(text, small, sizeof small);
		for (k = 0; k < sizeof small; k++)
			if (text[k] == '\'')
				text[k] = '"';
		for (k = gv_rng_below(&rng, 3) + 1; k > 0; k--)
			text[gv_rng_below(&rng, sizeof small - 1)] =
			    "0123456789-.eE{}[],:\"ntrual_ x"[gv_rng_below(
				&rng, 30)];
		o = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
		if (!o)
			continue;
		parsed++;
		gv_error_clear(&e);
		if (!gv_config_parse(&c, o, &e)) {
			json_t *again = gv_config_json(&c);

			taken++;
			bad += c.text.V > GV_MAX_VOCAB || c.R > c.vision.P ||
			       c.image_token < 0 || c.image_token >= c.text.V ||
			       c.text.C > GV_MAX_WIDTH || !again;
			json_decref(again);
			gv_config_free(&c);
		} else {
			bad += !e.msg[0] || strchr(e.msg, '\n');
		}
		json_decref(o);
	}
	ok(parsed > 1000 && taken > 100 && taken < parsed,
	    "%d of 20000 mutations are JSON, %d of them models", parsed, taken);
	is_int(bad, 0, "all others are refused in one line");
}

static void
facts(void)
{
	struct gv_error e = {0};
	struct gv_config c;

	is_int(parse(json(qwen), "{}", &c, &e), 0, "Qwen2.5-1.5B: %s", e.msg);
	ok(c.has_text && !c.has_vision && c.text.V == 151936 &&
		c.text.C == 1536 && c.text.L == 28 && c.text.H == 12 &&
		c.text.G == 2 && c.text.D == 128 && c.text.F == 8960 &&
		c.text.max_T == 131072 && c.text.rope.theta == 1e6 &&
		c.text.eps == 1e-6 && c.text.tied && c.text.qkv_bias,
	    "its facts");
	ok(c.neos == 1 && c.eos[0] == 151643 && c.image_token == -1,
	    "its end id, no image id");
	gv_config_free(&c);

	is_int(parse(json(qwen),
		   "{'rope_theta':'DELETE','rope_parameters':"
		   "{'rope_type':'default','rope_theta':5000},"
		   "'num_key_value_heads':null,'head_dim':64,"
		   "'eos_token_id':[1,2]}",
		   &c, &e),
	    0, "newer spellings");
	ok(c.text.rope.theta == 5000 && c.text.G == 12 && c.text.D == 64 &&
		c.neos == 2 && c.eos[1] == 2,
	    "are understood");
	gv_config_free(&c);

	is_int(parse(json("{'model_type':'siglip','vision_config':{}}"), "{}",
		   &c, &e),
	    0, "SigLIP base, whose file leaves out the defaults: %s", e.msg);
	ok(!c.has_text && c.has_vision && c.vision.C == 768 &&
		c.vision.L == 12 && c.vision.H == 12 && c.vision.F == 3072 &&
		c.vision.image == 224 && c.vision.patch == 16 &&
		c.vision.grid == 14 && c.vision.P == 196 &&
		c.vision.act == GV_ACT_GELU_TANH && c.vision.eps == 1e-6 &&
		c.vision.layer == 12 && c.vision.post_norm &&
		c.vision.mean[0] == 0.5 && c.vision.std[2] == 0.5,
	    "its facts");
	ok(c.rule.height == 224 && c.rule.width == 224 &&
		c.rule.fit == GV_FIT_SQUASH && c.rule.filter == GV_BICUBIC,
	    "its rule");
	gv_config_free(&c);

	is_int(parse(json("{'model_type':'siglip_vision_model',"
			  "'image_size':384,'patch_size':14,"
			  "'hidden_size':1152,'num_attention_heads':16}"),
		   "{}", &c, &e),
	    0, "so400m-p14-384");
	ok(c.vision.grid == 27 && c.vision.P == 729, "384 / 14 is 27 patches");
	gv_config_free(&c);
}

static void
presets(void)
{
	struct gv_error e = {0};
	struct gv_config c;

	fresh();
	is_int(parse(tiny(), "{}", &c, &e), 0, "a small model: %s", e.msg);
	ok(c.vision.image == 64 && c.vision.patch == 4 && c.vision.P == 256 &&
		c.vision.C == 96 && c.vision.L == 3 && c.vision.H == 3 &&
		c.vision.F == 384 && c.resampler == GV_RESAMPLER_AVGPOOL &&
		c.R == 16 && c.pj_C == 128 && c.text.C == 128 &&
		c.text.L == 2 && c.text.H == 4 && c.text.G == 4 &&
		c.text.D == 32 && c.text.F == 384 && c.text.max_T == 2048 &&
		c.text.rope.theta == 1e4 && !c.text.tied &&
		c.image_token == 500,
	    "its facts");
	gv_config_free(&c);
	is_int(parse(gv_config_preset("vlm_tiny"), "{}", &c, &e), GV_ERR_FORMAT,
	    "vlm_tiny waits for a vocabulary");
	is_int(parse(gv_config_preset("vlm_tiny"),
		   "{'text_config':{'vocab_size':300},'image_token_id':299}",
		   &c, &e),
	    0, "and then is a model: %s", e.msg);
	ok(c.vision.image == 64 && c.vision.P == 256 && c.R == 16 &&
		c.text.V == 300 && c.text.L == 2,
	    "of 64 pixels, 256 patches, 16 rows");
	back(&c, "it");
	gv_config_free(&c);
	is_int(parse(gv_config_preset("vlm_small"),
		   "{'text_config':{'vocab_size':9000},'image_token_id':1}", &c,
		   &e),
	    0, "vlm_small: %s", e.msg);
	ok(c.text.C == 896 && c.text.L == 24 && c.text.H == 14 &&
		c.text.G == 2 && c.text.F == 4864 && c.vision.C == 768 &&
		c.R == 64 && c.rs_L == 1 && c.rs_H == 12,
	    "its facts");
	gv_config_free(&c);
	is_int(parse(gv_config_preset("vlm_1.5b"), "{}", &c, &e), 0,
	    "vlm_1.5b: %s", e.msg);
	ok(c.text.V == 151936 && c.text.C == 1536 && c.vision.C == 1024 &&
		c.vision.L == 24 && c.vision.P == 256 && c.R == 64 &&
		c.resampler == GV_RESAMPLER_PERCEIVER && c.pj_C == 1536 &&
		c.image_token == 151655 && c.eos[0] == 151645,
	    "its facts");
	gv_config_free(&c);
	ok(!gv_config_preset("vlm") && !gv_config_preset(""),
	    "no other presets");
}

/* As many parameters as the published models. */
static void
counts(void)
{
	static const struct {
		const char *name;
		enum gv_part part;
		size_t n;
	} want[] = {
	    {"vlm_1.5b", GV_LANGUAGE, 1543714304}, /* Qwen2.5-1.5B */
	    {"vlm_1.5b", GV_RESAMPLER, 12661760},
	    {"siglip-base-p16-224", GV_VISION, 85797120},
	    {"siglip-large-p16-256", GV_VISION, 303361024},
	    {"siglip-so400m-p14-384", GV_VISION, 412988544},
	};
	struct gv_error e = {0};
	struct gv_config c;
	struct gv_model *m;
	struct gvk *k = NULL;
	size_t i;

	ok(!gv_backend_open(&k, "cpu", 1, &e), "a backend %s", e.msg);
	for (i = 0; i < sizeof want / sizeof *want && k; i++) {
		json_t *o = gv_config_preset(want[i].name);

		if (!o)
			o = gv_config_tower(want[i].name);
		if (!gv_config_parse(&c, o, &e) &&
		    !gv_model_new(&m, k, &c, 0, &e)) {
			is_int((long long)m->part[want[i].part].n,
			    (long long)want[i].n, "parameters of %s's %s",
			    want[i].name, gv_part_name(want[i].part));
			gv_model_close(&m);
		}
		json_decref(o);
	}
	ok(!e.code, "all were counted %s", e.msg);
	ok(!gv_config_tower("clip"), "no other towers");
	gvk_close(&k);
}

static void
layers(void)
{
	struct gv_error e = {0};
	struct gv_config c;

	is_int(parse(tiny(),
		   "{'vision_feature_layer':-2,'vision_post_norm':'DELETE'}",
		   &c, &e),
	    0, "the layer before the last");
	ok(c.vision.layer == 2 && !c.vision.post_norm,
	    "is two layers, without the norm behind the last");
	gv_config_free(&c);
	is_int(
	    parse(tiny(), "{'vision_feature_layer':3,'vision_post_norm':false}",
		&c, &e),
	    0, "layer 3");
	ok(c.vision.layer == 3 && !c.vision.post_norm,
	    "counts as hidden_states do");
	gv_config_free(&c);
	is_int(parse(tiny(), "{'resampler':{'type':'none','rows':'DELETE'}}",
		   &c, &e),
	    0, "no resampler");
	ok(c.resampler == GV_RESAMPLER_NONE && c.R == 256,
	    "gives every patch a row");
	gv_config_free(&c);
}

/* A patch of the small model, and what is said about it. */
static const struct {
	const char *patch;
	int code;
	const char *says;
} fault[] = {
    {"{'model_type':'gemma2'}", GV_ERR_NOSUP,
	"model type 'gemma2' is not supported"},
    {"{'model_type':'qwen3_moe'}", GV_ERR_NOSUP, "'qwen3_moe'"},
    {"{'model_type':'siglip2'}", GV_ERR_NOSUP, "'siglip2'"},
    {"{'model_type':'llava_next'}", GV_ERR_NOSUP, "'llava_next'"},
    {"{'model_type':'DELETE','vit_hidden_dim':768}", GV_ERR_NOSUP, "nanoVLM"},
    {"{'model_type':'phi3'}", GV_ERR_NOSUP, "'phi3'"},
    {"{'model_type':'\\u001b[2J'}", GV_ERR_NOSUP, "'\\x1b[2J'"},
    {"{'model_type':3}", GV_ERR_FORMAT, "'model_type' is not text"},
    {"{'model_type':'DELETE'}", GV_ERR_FORMAT, "'model_type' is missing"},
    {"{'text_config':'DELETE'}", GV_ERR_FORMAT, "'text_config' is missing"},
    {"{'text_config':[]}", GV_ERR_FORMAT, "'text_config' is not an object"},
    {"{'vision_config':3}", GV_ERR_FORMAT, "'vision_config' is not"},
    {"{'text_config':{'model_type':'gemma2'}}", GV_ERR_NOSUP,
	"'text_config.model_type' of 'gemma2' is not supported"},
    {"{'vision_config':{'model_type':'siglip2_vision_model'}}", GV_ERR_NOSUP,
	"'vision_config.model_type' of 'siglip2_vision_model'"},
    {"{'vision_config':{'image_size':[64,32]}}", GV_ERR_FORMAT,
	"'vision_config.image_size' is not the size of a square"},
    {"{'vision_config':{'interpolate_from':3}}", GV_ERR_MATCH,
	"larger than 'vision_config.interpolate_from', 3"},
    {"{'vision_config':{'interpolate_from':5000}}", GV_ERR_LIMIT,
	"'vision_config.interpolate_from' 5000 is 1250 patches"},
    {"{'text_config':{'vocab_size':'DELETE'}}", GV_ERR_FORMAT,
	"'text_config.vocab_size' is missing"},
    {"{'text_config':{'vocab_size':512.0}}", GV_ERR_FORMAT,
	"'text_config.vocab_size' is not a whole number"},
    {"{'text_config':{'vocab_size':0}}", GV_ERR_LIMIT,
	"'text_config.vocab_size' is 0, not between 1 and 1048576"},
    {"{'text_config':{'vocab_size':1048577}}", GV_ERR_LIMIT, "1048577"},
    {"{'text_config':{'num_hidden_layers':1025}}", GV_ERR_LIMIT,
	"not between 1 and 1024"},
    {"{'text_config':{'num_hidden_layers':-1}}", GV_ERR_LIMIT, "is -1"},
    {"{'text_config':{'hidden_size':65537}}", GV_ERR_LIMIT, "65536"},
    {"{'text_config':{'hidden_size':9223372036854775807}}", GV_ERR_LIMIT,
	"65536"},
    {"{'text_config':{'hidden_size':130}}", GV_ERR_MATCH,
	"4 heads don't divide 'text_config.hidden_size' 130"},
    {"{'text_config':{'num_key_value_heads':3}}", GV_ERR_MATCH,
	"3 key/value heads don't divide the 4 heads"},
    {"{'text_config':{'hidden_size':12}}", GV_ERR_MATCH, "head width 3 is odd"},
    {"{'text_config':{'head_dim':33}}", GV_ERR_MATCH, "head width 33 is odd"},
    {"{'text_config':{'intermediate_size':1048577}}", GV_ERR_LIMIT,
	"intermediate_size"},
    {"{'text_config':{'max_position_embeddings':16777217}}", GV_ERR_LIMIT,
	"max_position_embeddings"},
    {"{'text_config':{'rms_norm_eps':0}}", GV_ERR_LIMIT, "rms_norm_eps"},
    {"{'text_config':{'rms_norm_eps':'x'}}", GV_ERR_FORMAT,
	"'text_config.rms_norm_eps' is not a number"},
    {"{'text_config':{'rope_theta':0.5}}", GV_ERR_LIMIT, "rope_theta"},
    {"{'text_config':{'rope_scaling':{'type':'su','factor':4.0}}}",
	GV_ERR_NOSUP, "'text_config.rope_scaling.type' of 'su'"},
    {"{'text_config':{'hidden_act':'gelu'}}", GV_ERR_NOSUP,
	"'text_config.hidden_act' of 'gelu'"},
    {"{'text_config':{'layer_types':['full_attention','sliding_attention']}}",
	GV_ERR_NOSUP, "sliding_attention"},
    {"{'text_config':{'quantization_config':{}}}", GV_ERR_NOSUP,
	"quantization_config"},
    {"{'text_config':{'tie_word_embeddings':1}}", GV_ERR_FORMAT,
	"is not true or false"},
    {"{'vision_config':{'hidden_act':'relu'}}", GV_ERR_NOSUP, "relu"},
    {"{'vision_config':{'num_channels':1}}", GV_ERR_LIMIT, "num_channels"},
    {"{'vision_config':{'num_attention_heads':5}}", GV_ERR_MATCH,
	"5 heads don't divide 'vision_config.hidden_size' 96"},
    {"{'vision_config':{'patch_size':65}}", GV_ERR_MATCH,
	"larger than the image"},
    {"{'vision_config':{'image_size':4100}}", GV_ERR_LIMIT,
	"1025 patches a side"},
    {"{'vision_config':{'image_size':0}}", GV_ERR_LIMIT, "image_size"},
    {"{'vision_feature_layer':0}", GV_ERR_NOSUP, "no layer"},
    {"{'vision_feature_layer':4}", GV_ERR_LIMIT, "vision_feature_layer"},
    {"{'vision_feature_layer':-4}", GV_ERR_LIMIT, "vision_feature_layer"},
    {"{'vision_feature_layer':[-2,-1]}", GV_ERR_NOSUP,
	"'vision_feature_layer' of 'a list'"},
    {"{'vision_feature_layer':'last'}", GV_ERR_FORMAT,
	"'vision_feature_layer' is not a whole number"},
    {"{'vision_feature_select_strategy':'mean'}", GV_ERR_NOSUP, "'mean'"},
    {"{'vision_config':{'model_type':'clip_vision_model'},"
     "'vision_feature_select_strategy':'full'}",
	GV_ERR_MATCH, "keeps the class token"},
    {"{'vision_feature_select_strategy':'default'}", GV_ERR_NOSUP, "'default'"},
    {"{'resampler':'DELETE'}", GV_ERR_FORMAT, "'resampler' is missing"},
    {"{'resampler':{'type':'qformer'}}", GV_ERR_NOSUP,
	"'resampler.type' of 'qformer'"},
    {"{'resampler':{'type':'pixelshuffle'}}", GV_ERR_MATCH,
	"'resampler.rows' is 16, from 256 patches it is 64"},
    {"{'resampler':{'type':'pixelshuffle','factor':3}}", GV_ERR_MATCH,
	"'resampler.factor' 3 doesn't divide the 16 patches"},
    {"{'resampler':{'type':'pixelshuffle','factor':0}}", GV_ERR_LIMIT,
	"resampler.factor"},
    {"{'resampler':{'type':'idefics2','heads':6,'key_value_heads':4}}",
	GV_ERR_MATCH, "4 key/value heads"},
    {"{'resampler':{'type':'idefics2','hidden_size':0}}", GV_ERR_LIMIT,
	"resampler.hidden_size"},
    {"{'projector':{'type':'qformer'}}", GV_ERR_NOSUP, "'projector.type'"},
    {"{'projector':{'type':'none'}}", GV_ERR_MATCH,
	"resampler's width 96 is not the text model's, 128"},
    {"{'projector':{'bias':1}}", GV_ERR_FORMAT, "'projector.bias'"},
    {"{'resampler':{'rows':15}}", GV_ERR_MATCH,
	"'resampler.rows' is 15, not a square of at most 256 patches"},
    {"{'resampler':{'rows':289}}", GV_ERR_MATCH, "is 289"},
    {"{'resampler':{'rows':0}}", GV_ERR_LIMIT, "resampler.rows"},
    {"{'resampler':{'type':'none'}}", GV_ERR_MATCH, "256 patches"},
    {"{'resampler':{'type':'perceiver','heads':7}}", GV_ERR_MATCH,
	"'resampler.heads' 7 don't divide the vision width 96"},
    {"{'resampler':{'type':'perceiver','blocks':0}}", GV_ERR_LIMIT,
	"resampler.blocks"},
    {"{'resampler':{'type':'perceiver','rows':65537}}", GV_ERR_LIMIT,
	"resampler.rows"},
    {"{'projector':{'act':'relu'}}", GV_ERR_NOSUP, "'projector.act'"},
    {"{'projector':'DELETE'}", GV_ERR_FORMAT, "'projector' is missing"},
    {"{'image_token_id':'DELETE'}", GV_ERR_FORMAT,
	"'image_token_id' is missing"},
    {"{'image_token_id':512}", GV_ERR_LIMIT, "'image_token_id' is 512"},
    {"{'init':{}}", GV_ERR_FORMAT, "'init.gain' is missing"},
    {"{'init':{'gain':0}}", GV_ERR_LIMIT, "'init.gain' is 0"},
    {"{'init':{'gain':1,'patch':-1}}", GV_ERR_LIMIT, "'init.patch'"},
    {"{'eos_token_id':512}", GV_ERR_MATCH,
	"'eos_token_id' 512 is not in the vocabulary of 512"},
    {"{'eos_token_id':[1,2,3,4,5,6,7,8,9]}", GV_ERR_LIMIT, "more than 8"},
    {"{'eos_token_id':'x'}", GV_ERR_FORMAT, "an id or a list of ids"},
};

static void
faults(void)
{
	struct gv_error e = {0};
	struct gv_config c;
	size_t i;

	for (i = 0; i < sizeof fault / sizeof *fault; i++) {
		int r = parse(tiny(), fault[i].patch, &c, &e);

		refused(r, &c, &e, fault[i].code, fault[i].says, "refused",
		    fault[i].patch);
	}
}

/* At each limit a configuration is still taken. */
static void
at_limits(void)
{
	static const char *const patch[] = {
	    "{'text_config':{'vocab_size':1048576}}",
	    "{'text_config':{'num_hidden_layers':1024}}",
	    "{'text_config':{'hidden_size':65536}}",
	    "{'text_config':{'intermediate_size':1048576}}",
	    "{'text_config':{'max_position_embeddings':16777216}}",
	    "{'vision_config':{'image_size':4096}}",
	    "{'resampler':{'rows':256}}",
	    "{'resampler':{'type':'perceiver','rows':65536}}",
	    "{'image_token_id':511}",
	    "{'eos_token_id':[1,2,3,4,5,6,7,8]}",
	};
	struct gv_error e = {0};
	struct gv_config c;
	size_t i;

	for (i = 0; i < sizeof patch / sizeof *patch; i++) {
		int r = parse(tiny(), patch[i], &c, &e);

		ok(!r, "taken: %s %s", patch[i], e.msg);
		if (!r)
			gv_config_free(&c);
	}
}

static void
round_trips(void)
{
	struct gv_error e = {0};
	struct gv_config c;
	json_t *o;

	fresh();
	is_int(parse(tiny(), "{'eos_token_id':3}", &c, &e), 0, "a model");
	back(&c, "it");
	c.text.V = 777;
	c.text.D = 48;
	c.text.rope.theta = 12345.678;
	c.text.init_std = 0.1 / 3;
	c.text.tied = false;
	c.init.gain = 1.25;
	c.init.patch = 0.5;
	c.init.position = 0.125;
	c.vision.layer = 2;
	c.vision.post_norm = true;
	c.vision.act = GV_ACT_GELU_ERF;
	c.vision.mean[1] = 0.48145466;
	c.vision.std[2] = 0.1 + 0.2;
	c.vision.eps = 1e-5;
	c.rule.filter = GV_LANCZOS;
	c.R = 64;
	c.pj_C = 192;
	c.image_token = 700;
	c.eos[1] = 5;
	c.neos = 2;
	back(&c, "what a program changed");
	gv_config_free(&c);
	is_int(
	    parse(gv_config_preset("vlm_1.5b"), "{}", &c, &e), 0, "vlm_1.5b");
	c.rs_L = 3;
	back(&c, "it");
	gv_config_free(&c);

	fresh();
	o = json(qwen);
	is_int(parse(json_incref(o), "{}", &c, &e), 0, "Qwen2.5-1.5B");
	back(&c, "it");
	gv_config_free(&c);
	is_int(gv_config_open(&c, "m", &e), 0, "opened again");
	ok(json_equal(c.json, o), "config.json is as it was read");
	json_decref(o);
	gv_config_free(&c);

	fresh();
	is_int(parse(json("{'model_type':'siglip','vision_config':{},"
			  "'text_config':{'x':1}}"),
		   "{}", &c, &e),
	    0, "SigLIP");
	back(&c, "it");
	gv_config_free(&c);
	is_int(gv_config_open(&c, "m", &e), 0, "opened again");
	ok(json_object_get(json_object_get(c.json, "text_config"), "x") != NULL,
	    "its text tower's keys are kept");
	gv_config_free(&c);
}

/* ---- the files beside it ------------------------------------------------- */

static const struct {
	const char *text;
	int code;
	const char *says;
} pre[] = {
    {"{}", 0, ""},
    {"{\"size\":{\"height\":64,\"width\":64},\"resample\":2}", 0, ""},
    {"{\"size\":64,\"resample\":1,\"do_convert_rgb\":null}", 0, ""},
    {"{\"rescale_factor\":0.00392156862745098}", 0, ""},
    {"{\"size\":{\"height\":64,\"width\":32}}", GV_ERR_MATCH,
	"'m/preprocessor_config.json': 'size' is 64x32, the encoder takes "
	"64x64"},
    {"{\"size\":{\"shortest_edge\":64}}", GV_ERR_NOSUP,
	"'size.shortest_edge' without 'do_center_crop'"},
    {"{\"size\":{\"longest_edge\":64}}", GV_ERR_NOSUP, "longest_edge"},
    {"{\"size\":{\"shortest_edge\":60},\"do_center_crop\":true}", GV_ERR_NOSUP,
	"less than 'crop_size' 64"},
    {"{\"do_center_crop\":true,\"crop_size\":32}", GV_ERR_MATCH,
	"'crop_size' is 32x32"},
    {"{\"image_processor_type\":\"Siglip2ImageProcessor\"}", GV_ERR_NOSUP,
	"'Siglip2ImageProcessor'"},
    {"{\"do_convert_rgb\":false}", GV_ERR_NOSUP, "'do_convert_rgb'"},
    {"{\"size\":\"big\"}", GV_ERR_FORMAT, "'size' is not a size"},
    {"{\"resample\":0}", 0, ""},
    {"{\"resample\":6}", GV_ERR_LIMIT, "'resample' is 6"},
    {"{\"do_resize\":false}", GV_ERR_NOSUP, "'do_resize' of 'false'"},
    {"{\"do_center_crop\":true}", 0, ""},
    {"{\"rescale_factor\":1.0}", GV_ERR_NOSUP, "'rescale_factor' of 1"},
    {"{\"image_mean\":[0.5,0.5]}", GV_ERR_FORMAT, "'image_mean' is not"},
    {"{\"image_std\":[0.5,0.5,0]}", GV_ERR_FORMAT, "'image_std' is not"},
    {"[]", GV_ERR_FORMAT, "is not a JSON object"},
    {"{\"size\":64,\"size\":64}", GV_ERR_FORMAT, "duplicate object key"},
    {"{", GV_ERR_FORMAT, "'m/preprocessor_config.json': not valid JSON"},
    {"", GV_ERR_FORMAT, "not valid JSON"},
};

static void
beside(void)
{
	struct gv_error e = {0};
	struct gv_config c;
	size_t i;

	fresh();
	is_int(gv_config_open(&c, "m", &e), GV_ERR_SYS, "no config.json");
	ok(strstr(e.msg, "'m/config.json'") != NULL, "is named: %s", e.msg);
	parse(tiny(), "{}", &c, &e);
	is_int(gv_config_write(&c, "m", &e), 0, "write");
	gv_config_free(&c);
	for (i = 0; i < sizeof pre / sizeof *pre; i++) {
		int r;

		put("m/preprocessor_config.json", pre[i].text);
		gv_error_clear(&e);
		r = gv_config_open(&c, "m", &e);
		refused(r, &c, &e, pre[i].code, pre[i].says,
		    "preprocessor_config.json", pre[i].text);
	}
	gv_error_clear(&e);
	put("m/preprocessor_config.json",
	    "{\"do_normalize\":false,\"resample\":2}");
	put("m/generation_config.json", "{\"eos_token_id\":[7,8]}");
	is_int(gv_config_open(&c, "m", &e), 0, "pixels as they are: %s", e.msg);
	ok(c.vision.mean[0] == 0 && c.vision.std[0] == 1 &&
		c.rule.filter == GV_BILINEAR && c.neos == 2 && c.eos[0] == 7,
	    "mean 0, deviation 1, bilinear; end ids");
	back(&c, "it");
	gv_config_free(&c);
	put("m/config.json", "{\"model_type\":\"gpt2\"}");
	is_int(gv_config_open(&c, "m", &e), GV_ERR_NOSUP, "another type");
	ok(strstr(e.msg, "'m/config.json': model type 'gpt2'") != NULL,
	    "is named with its file: %s", e.msg);
}

int
main(void)
{
	struct gv_error e = {0};

	if (!mkdtemp(root) || chdir(root))
		return 1;
	facts();
	presets();
	counts();
	layers();
	faults();
	at_limits();
	mutations();
	round_trips();
	beside();
	gv_error_clear(&e);
	ok(!chdir("/") && !gv_remove_tree(root, &e), "remove everything");
	return done();
}
