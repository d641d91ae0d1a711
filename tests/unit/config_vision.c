/* Towers, what joins them to decoders, and how their pixels are prepared: each
 * family's facts, what is refused, and files that come back.
 */
#include "config_edit.h"
#include "configs.h"
#include "model.h"
#include "philox.h"

#include <fcntl.h>
#include <unistd.h>

static char root[] = "/tmp/gv-config-XXXXXX";

static void
put_json(const char *path, const char *text)
{
	json_t *o = json(text);

	if (json_dump_file(o, path, 0))
		printf("# cannot write %s\n", path);
	json_decref(o);
}

/* ---- towers -------------------------------------------------------------- */

static void
towers(void)
{
	struct gv_error e = {0};
	struct gv_config c;

	is_int(parse(json("{'model_type':'clip_vision_model'}"), "{}", &c, &e),
	    0, "CLIP: %s", e.msg);
	ok(c.has_vision && !c.has_text && c.vision.image == 224 &&
		c.vision.patch == 32 && c.vision.C == 768 && c.vision.L == 12 &&
		c.vision.eps == 1e-5 && c.vision.act == GV_ACT_GELU_QUICK,
	    "has its class's sizes");
	ok(c.vision.class_token && !c.vision.patch_bias && c.vision.pre_norm,
	    "a class token, no bias of patches, a norm in front");
	ok(c.vision.T == 50 && c.vision.P == 49 && c.vision.layer == 12 &&
		!c.vision.post_norm,
	    "features are its last hidden state's patches");
	ok(c.rule.fit == GV_FIT_CROP && c.rule.edge == 224 &&
		c.rule.filter == GV_BICUBIC && c.vision.mean[0] == 0.48145466 &&
		c.vision.std[2] == 0.27577711,
	    "its pixels");
	gv_config_free(&c);

	is_int(parse(json("{'model_type':'clip','vision_config':{}}"),
		   "{'vision_feature_select_strategy':'full',"
		   "'vision_feature_layer':-2}",
		   &c, &e),
	    0, "of both towers: %s", e.msg);
	ok(c.vision.P == 50 && c.vision.T == 50 && c.vision.layer == 11,
	    "with the class token, before the last layer");
	gv_config_free(&c);

	is_int(parse(json("{'model_type':'siglip','vision_config':{"
			  "'image_size':[256,256],'patch_size':16}}"),
		   "{}", &c, &e),
	    0, "SigLIP 2 of one size: %s", e.msg);
	ok(c.vision.P == 256 && c.vision.T == 256 && c.vision.post_norm &&
		!c.vision.class_token && c.vision.patch_bias &&
		!c.vision.pre_norm,
	    "is SigLIP");
	gv_config_free(&c);

	is_int(parse(json("{'model_type':'clip_vision_model'}"),
		   "{'image_size':448,'patch_size':14,'interpolate_from':336}",
		   &c, &e),
	    0, "other positions: %s", e.msg);
	ok(c.vision.from == 336 && c.vision.P == 1024, "are 32 a side");
	gv_config_free(&c);
	is_int(parse(json("{'model_type':'clip_vision_model'}"),
		   "{'image_size':224,'interpolate_from':230}", &c, &e),
	    0, "as many of them: %s", e.msg);
	is_int(c.vision.from, 0, "need no interpolation");
	gv_config_free(&c);
}

/* ---- families ------------------------------------------------------------ */

static const char llava[] =
    "{'model_type':'llava','image_token_index':32000,"
    "'projector_hidden_act':'gelu','text_config':{'model_type':'llama',"
    "'vocab_size':32064,'max_position_embeddings':4096,"
    "'rms_norm_eps':1e-05},'vision_config':{'hidden_size':1024,"
    "'image_size':336,'intermediate_size':4096,"
    "'model_type':'clip_vision_model','num_attention_heads':16,"
    "'num_hidden_layers':24,'patch_size':14,'projection_dim':768},"
    "'vision_feature_layer':-2,'vision_feature_select_strategy':'default'}";

static const char smolvlm[] =
    "{'model_type':'idefics3','image_token_id':49190,'scale_factor':4,"
    "'tie_word_embeddings':false,'text_config':{'model_type':'llama',"
    "'vocab_size':49280,'hidden_size':576,'intermediate_size':1536,"
    "'num_hidden_layers':30,'num_attention_heads':9,"
    "'num_key_value_heads':3,'max_position_embeddings':8192},"
    "'vision_config':{'hidden_size':768,'image_size':512,"
    "'intermediate_size':3072,'max_image_size':{'longest_edge':512},"
    "'model_type':'idefics3','num_attention_heads':12,'patch_size':16,"
    "'size':{'longest_edge':2048}}}";

static const char idefics2[] =
    "{'model_type':'idefics2','image_token_id':32001,"
    "'perceiver_config':{'model_type':'idefics2'},"
    "'text_config':{'model_type':'mistral','vocab_size':32003,"
    "'max_position_embeddings':32768,'rms_norm_eps':1e-05,"
    "'sliding_window':null},"
    "'vision_config':{'hidden_size':1152,'image_size':980,"
    "'intermediate_size':4304,'model_type':'idefics2',"
    "'num_attention_heads':16,'num_hidden_layers':27,'patch_size':14}}";

static void
families(void)
{
	struct gv_error e = {0};
	struct gv_config c;

	is_int(parse(json(llava), "{}", &c, &e), 0, "LLaVA-1.5: %s", e.msg);
	ok(c.text.C == 4096 && c.text.F == 11008 && c.vision.P == 576 &&
		c.vision.T == 577 && c.R == 576 && c.rs_C == 1024 &&
		c.vision.layer == 23 && !c.vision.post_norm,
	    "its sizes");
	ok(c.resampler == GV_RESAMPLER_NONE &&
		c.projector == GV_PROJECTOR_MLP && c.pj_C == 4096 &&
		c.pj_bias && c.pj_act == GV_ACT_GELU_ERF &&
		c.image_token == 32000,
	    "its projector");
	gv_config_free(&c);
	is_int(parse(json(llava),
		   "{'vision_feature_layer':'DELETE','vision_feature_select_"
		   "strategy':'DELETE','multimodal_projector_bias':false,"
		   "'image_token_index':'DELETE','image_token_id':7}",
		   &c, &e),
	    0, "without the keys: %s", e.msg);
	ok(c.vision.layer == 23 && c.vision.P == 576 && !c.pj_bias &&
		c.image_token == 7,
	    "it is the same");
	gv_config_free(&c);
	is_int(parse(json(llava), "{'vision_feature_layer':-1}", &c, &e), 0,
	    "the last layer: %s", e.msg);
	ok(c.vision.layer == 24 && !c.vision.post_norm, "has no norm");
	gv_config_free(&c);

	is_int(parse(json(smolvlm), "{}", &c, &e), 0, "SmolVLM: %s", e.msg);
	ok(c.vision.P == 1024 && c.factor == 4 && c.R == 64 &&
		c.rs_C == 12288 && c.vision.L == 12 && c.vision.post_norm &&
		c.resampler == GV_RESAMPLER_SHUFFLE &&
		c.projector == GV_PROJECTOR_LINEAR && !c.pj_bias &&
		!c.text.tied,
	    "its facts");
	ok(c.rule.fit == GV_FIT_SQUASH && c.rule.filter == GV_LANCZOS,
	    "its pixels");
	gv_config_free(&c);

	is_int(parse(json(idefics2), "{}", &c, &e), 0, "Idefics2: %s", e.msg);
	ok(c.vision.P == 4900 && c.R == 64 && c.rs_L == 3 && c.rs_H == 16 &&
		c.rs_G == 4 && c.rs_D == 96 && c.rs_C == 4096 &&
		c.rs_F == 16384 && c.rs_front == 14336 && c.rs_eps == 1e-6 &&
		c.resampler == GV_RESAMPLER_IDEFICS2 &&
		c.projector == GV_PROJECTOR_NONE,
	    "its facts");
	gv_config_free(&c);
	is_int(parse(json(idefics2),
		   "{'text_config':{'hidden_size':2048},"
		   "'perceiver_config':{'resampler_n_latents':32}}",
		   &c, &e),
	    0, "with a narrower text model: %s", e.msg);
	ok(c.rs_C == 2048 && c.rs_eps == 1e-5 && c.R == 32,
	    "the resampler has its width and its epsilon");
	gv_config_free(&c);
}

static const struct {
	const char *base, *patch;
	int code;
	const char *says;
} fault[] = {
    {llava, "{'vision_feature_layer':[-2,-5]}", GV_ERR_NOSUP,
	"'vision_feature_layer' of 'a list'"},
    {llava, "{'vision_feature_select_strategy':'cls'}", GV_ERR_NOSUP, "'cls'"},
    {llava, "{'vision_config':{'model_type':'siglip_vision_model'}}",
	GV_ERR_NOSUP, "'vision_feature_select_strategy' of 'default'"},
    {llava, "{'vision_config':{'model_type':'pixtral'}}", GV_ERR_NOSUP,
	"'vision_config.model_type' of 'pixtral'"},
    {llava, "{'projector_hidden_act':'relu'}", GV_ERR_NOSUP,
	"'projector_hidden_act' of 'relu'"},
    {llava, "{'multimodal_projector_bias':1}", GV_ERR_FORMAT,
	"'multimodal_projector_bias' is not"},
    {llava, "{'image_token_index':32064}", GV_ERR_LIMIT,
	"'image_token_index' is 32064"},
    {llava, "{'image_token_index':'DELETE'}", GV_ERR_FORMAT,
	"'image_token_id' is missing"},
    {llava, "{'text_config':'DELETE'}", GV_ERR_FORMAT, "'text_config'"},
    {smolvlm, "{'scale_factor':5}", GV_ERR_MATCH,
	"'scale_factor' 5 doesn't divide the 32 patches"},
    {smolvlm, "{'scale_factor':0}", GV_ERR_LIMIT, "'scale_factor' is 0"},
    {idefics2, "{'perceiver_config':{'hidden_act':'gelu'}}", GV_ERR_NOSUP,
	"'perceiver_config.hidden_act' of 'gelu'"},
    {idefics2, "{'perceiver_config':{'num_key_value_heads':3}}", GV_ERR_MATCH,
	"3 key/value heads"},
    {idefics2, "{'perceiver_config':[]}", GV_ERR_FORMAT,
	"'perceiver_config' is not an object"},
    {idefics2, "{'perceiver_config':{'resampler_depth':2000}}", GV_ERR_LIMIT,
	"'perceiver_config.resampler_depth'"},
};

static void
faults(void)
{
	struct gv_error e = {0};
	struct gv_config c;
	size_t i;

	for (i = 0; i < sizeof fault / sizeof *fault; i++) {
		int r = parse(json(fault[i].base), fault[i].patch, &c, &e);

		refused(r, &c, &e, fault[i].code, fault[i].says, "refused",
		    fault[i].patch);
	}
}

static void
round_trips(void)
{
	static const char *const models[] = {llava, smolvlm, idefics2,
	    "{'model_type':'clip','vision_config':{'patch_size':16},"
	    "'vision_feature_layer':3,'vision_post_norm':true}"};
	struct gv_error e = {0};
	struct gv_config c;
	char what[16];
	size_t i;

	for (i = 0; i < sizeof models / sizeof *models; i++) {
		fresh();
		snprintf(what, sizeof what, "model %zu", i);
		is_int(parse(json(models[i]), "{}", &c, &e), 0, "%s: %s", what,
		    e.msg);
		back(&c, what);
		if (c.has_text)
			c.text.tied = !c.text.tied;
		c.vision.layer = 2;
		c.vision.post_norm = true;
		c.rule.filter = GV_HAMMING;
		back(&c, "what a program changed");
		gv_config_free(&c);
	}
}

/* Bytes changed at random: refused in one line, or a model within limits that
 * comes back as it is written. */
static void
mutations(void)
{
	static const char *const from[] = {llava, smolvlm, idefics2,
	    "{'model_type':'ghostvis','text_config':{'model_type':'qwen2',"
	    "'vocab_size':512,'hidden_size':96,'intermediate_size':384,"
	    "'num_hidden_layers':2,'num_attention_heads':4,"
	    "'max_position_embeddings':2048},'vision_config':{'model_type':"
	    "'clip_vision_model','image_size':64,'patch_size':8,"
	    "'interpolate_from':48},'resampler':{'type':'idefics2','rows':9,"
	    "'head_dim':8,'heads':4,'key_value_heads':2},'projector':"
	    "{'type':'linear','bias':true},'image_token_id':500,"
	    "'vision_feature_select_strategy':'full'}"};
	struct gv_error e = {0};
	struct gv_config c, d;
	struct gv_rng rng;
	int n, taken = 0, parsed = 0, bad = 0;
	char text[MUTATED];

	gv_rng_init(&rng, 5, GV_PURPOSE_TEST);
	for (n = 0; n < 20000; n++) {
		json_t *o, *again;

		o = mutated(&rng, from[n % 4], text);
		if (!o)
			continue;
		parsed++;
		gv_error_clear(&e);
		if (gv_config_parse(&c, o, &e)) {
			bad += !e.msg[0] || strchr(e.msg, '\n');
			json_decref(o);
			continue;
		}
		taken++;
		bad += c.R < 1 || c.R > GV_MAX_GRID * GV_MAX_GRID + 1 ||
		       c.vision.P > c.vision.T || c.rs_C < 1 ||
		       c.rs_C > GV_MAX_FFN || c.image_token >= c.text.V ||
		       (c.rs_L && c.rs_H % c.rs_G);
		again = gv_config_json(&c);
		if (gv_config_parse(&d, again, &e)) {
			printf("# %s: %s\n", e.msg, text);
			bad++;
		} else {
			d.vision.from = c.vision.from; /* is not written */
			bad += !same(&c, &d);
			gv_config_free(&d);
		}
		json_decref(again);
		gv_config_free(&c);
		json_decref(o);
	}
	ok(parsed > 1000 && taken > 100 && taken < parsed,
	    "%d of 20000 mutations are JSON, %d of them models", parsed, taken);
	is_int(bad, 0, "all others are refused in one line");
}

/* ---- our own ------------------------------------------------------------- */

static const char ours[] =
    "{'model_type':'ghostvis','text_config':{'model_type':'qwen2',"
    "'vocab_size':512,'hidden_size':96,'intermediate_size':384,"
    "'num_hidden_layers':2,'num_attention_heads':4,"
    "'max_position_embeddings':2048},"
    "'vision_config':{'model_type':'clip_vision_model','image_size':64,"
    "'patch_size':4,'hidden_size':96,'intermediate_size':384,"
    "'num_hidden_layers':3,'num_attention_heads':3},"
    "'resampler':{'type':'none'},'projector':{},'image_token_id':500}";

static void
combinations(void)
{
	static const struct {
		const char *patch;
		int64_t R, rs_C;
		enum gv_projector projector;
	} t[] = {
	    {"{}", 256, 96, GV_PROJECTOR_MLP},
	    {"{'vision_feature_select_strategy':'full'}", 257, 96,
		GV_PROJECTOR_MLP},
	    {"{'resampler':{'type':'pixelshuffle','factor':4},"
	     "'projector':{'type':'linear'}}",
		16, 1536, GV_PROJECTOR_LINEAR},
	    {"{'resampler':{'type':'perceiver','rows':7},"
	     "'vision_feature_select_strategy':'full',"
	     "'projector':{'type':'none'}}",
		7, 96, GV_PROJECTOR_NONE},
	    {"{'resampler':{'type':'idefics2','rows':9,'head_dim':8},"
	     "'projector':{'type':'linear','bias':true}}",
		9, 96, GV_PROJECTOR_LINEAR},
	    {"{'resampler':{'type':'idefics2','rows':9,'hidden_size':40},"
	     "'projector':{'act':'silu','bias':false}}",
		9, 40, GV_PROJECTOR_MLP},
	};
	struct gv_error e = {0};
	struct gv_config c;
	size_t i;

	for (i = 0; i < sizeof t / sizeof *t; i++) {
		fresh();
		is_int(parse(json(ours), t[i].patch, &c, &e), 0, "%s: %s",
		    t[i].patch, e.msg);
		if (e.code)
			continue;
		ok(c.R == t[i].R && c.rs_C == t[i].rs_C &&
			c.projector == t[i].projector,
		    "rows, their width, the projector");
		back(&c, "it");
		gv_config_free(&c);
	}
}

/* --vision: the sizes of a tower, and what of it the features are. */
static void
taken(void)
{
	struct gv_error e = {0};
	json_t *o = gv_config_preset("vlm_1.5b");
	struct gv_config c;

	is_int(gv_config_take_tower(o, "clip-large-p14-336", &e), 0, "CLIP");
	is_int(gv_config_parse(&c, o, &e), 0, "for SigLIP: %s", e.msg);
	ok(c.vision.class_token && c.vision.P == 576 && c.vision.layer == 23 &&
		!c.vision.post_norm && c.rs_H == 16,
	    "the last layer but one, no class token, no norm");
	gv_config_free(&c);
	is_int(
	    gv_config_take_tower(o, "siglip-base-p16-224", &e), 0, "and back");
	is_int(gv_config_parse(&c, o, &e), 0, "for CLIP: %s", e.msg);
	ok(!c.vision.class_token && c.vision.layer == 12 && c.vision.post_norm,
	    "the last layer and the norm");
	gv_config_free(&c);
	json_decref(o);
	o = gv_config_tower("clip-large-p14-224");
	ok(o && !gv_config_wants_tokenizer(o), "a tower needs no tokenizer");
	json_decref(o);
}

/* As many parameters as OpenAI's. */
static void
counted(void)
{
	struct gv_error e = {0};
	struct gv_config c;
	struct gv_model *m;
	struct gvk *k;
	json_t *o = gv_config_tower("clip-large-p14-336");

	ok(!gv_backend_open(&k, "cpu", 1, &e) && !gv_config_parse(&c, o, &e) &&
		!gv_model_new(&m, k, &c, 0, &e),
	    "CLIP large %s", e.msg);
	is_int((long long)m->part[GV_VISION].n, 303507456,
	    "has 303.5 million parameters");
	gv_model_close(&m);
	gvk_close(&k);
	json_decref(o);
}

/* ---- pixels -------------------------------------------------------------- */

/* Of a CLIP tower of 64 pixels: files, and the rule in words or what is said
 * about the fault. */
static const struct {
	const char *text, *says;
} pixels[] = {
    {"{}", "64x64 crop bicubic"},
    {"{'image_processor_type':'CLIPImageProcessor','size':64,'resample':2}",
	"64x64 crop bilinear"},
    {"{'image_processor_type':'CLIPImageProcessorFast',"
     "'size':{'shortest_edge':72},'crop_size':64}",
	"64x64 crop bicubic of 72"},
    {"{'feature_extractor_type':'CLIPFeatureExtractor',"
     "'crop_size':{'height':64,'width':64},'do_center_crop':true}",
	"64x64 crop bicubic"},
    {"{'image_processor_type':'SiglipImageProcessor','resample':5}",
	"64x64 squash hamming"},
    {"{'image_processor_type':'ViTFeatureExtractor'}", "64x64 squash bilinear"},
    {"{'image_processor_type':'CLIPImageProcessor',"
     "'size':{'height':64,'width':64},'resample':0}",
	"64x64 squash nearest"},
    {"{'do_center_crop':false,'size':{'height':64,'width':64},'resample':4}",
	"64x64 squash box"},
    {"{'image_processor_type':'LlavaImageProcessorFast','do_pad':true}",
	"64x64 pad 122 116 104 bicubic"},
    {"{'image_processor_type':'LlavaImageProcessor','do_pad':true,"
     "'image_mean':[0.5,0.25,0.999],'size':{'shortest_edge':70}}",
	"64x64 pad 127 63 254 bicubic of 70"},
    {"{'image_processor_type':'LlavaImageProcessor','do_pad':false,"
     "'size':{'height':null,'width':null,'shortest_edge':64}}",
	"64x64 crop bicubic"},
    {"{'image_processor_type':'Idefics3ImageProcessor','do_pad':true,"
     "'do_image_splitting':true,'size':{'longest_edge':2048},"
     "'max_image_size':{'longest_edge':64},'resample':1}",
	"64x64 squash lanczos"},
    {"{'image_processor_type':'SmolVLMImageProcessor',"
     "'max_image_size':{'longest_edge':32}}",
	"'max_image_size' is 32x32, the encoder takes 64x64"},
    {"{'do_center_crop':false,'size':{'shortest_edge':64}}",
	"'size.shortest_edge' without 'do_center_crop'"},
    {"{'size':{'shortest_edge':60}}", "'size.shortest_edge' of 60"},
    {"{'size':{'shortest_edge':64,'longest_edge':90}}", "longest_edge"},
    {"{'crop_size':{'height':64,'width':60}}", "'crop_size' is 64x60"},
    {"{'crop_size':'64'}", "'crop_size' is not a size"},
    {"{'image_processor_type':'CLIPImage'}", "'CLIPImage' is not supported"},
    {"{'image_processor_type':7}", "is not text"},
};

static void
processors(void)
{
	struct gv_error e = {0};
	struct gv_config c;
	char rule[GV_RULE_TEXT];
	size_t i;

	for (i = 0; i < sizeof pixels / sizeof *pixels; i++) {
		bool bad;

		fresh();
		put_json("m/config.json",
		    "{'model_type':'clip_vision_model','image_size':64}");
		put_json("m/preprocessor_config.json", pixels[i].text);
		gv_error_clear(&e);
		bad = gv_config_open(&c, "m", &e) != 0;
		if (!bad)
			gv_image_rule_text(rule, sizeof rule, &c.rule);
		ok(strstr(bad ? e.msg : rule, pixels[i].says) != NULL, "%s",
		    pixels[i].text);
		if (!strstr(bad ? e.msg : rule, pixels[i].says))
			printf("# %s\n", bad ? e.msg : rule);
		if (bad)
			continue;
		back(&c, rule);
		gv_config_free(&c);
	}
}

static void
elsewhere(void)
{
	struct gv_error e = {0};
	struct gv_config c;

	fresh();
	put_json("m/config.json",
	    "{'model_type':'clip_vision_model','image_size':64}");
	put_json("m/processor_config.json",
	    "{'processor_class':'CLIPProcessor','image_processor':"
	    "{'image_processor_type':'CLIPImageProcessor','resample':1}}");
	is_int(gv_config_open(&c, "m", &e), 0, "transformers 5: %s", e.msg);
	is_int(c.rule.filter, GV_LANCZOS, "has it in the processor's file");
	gv_config_free(&c);
	put_json(
	    "m/processor_config.json", "{'image_processor':{'resample':9}}");
	is_int(gv_config_open(&c, "m", &e), GV_ERR_LIMIT, "a fault there");
	ok(strstr(e.msg, "'m/processor_config.json': 'resample' is 9") != NULL,
	    "is named: %s", e.msg);
	gv_error_clear(&e);
	put_json("m/processor_config.json", "{'image_processor':3}");
	is_int(gv_config_open(&c, "m", &e), GV_ERR_FORMAT, "%s", e.msg);
	gv_error_clear(&e);
	put_json("m/preprocessor_config.json", "{'resample':2}");
	is_int(gv_config_open(&c, "m", &e), 0, "its own file: %s", e.msg);
	is_int(c.rule.filter, GV_BILINEAR, "comes first");
	gv_config_free(&c);

	fresh();
	put_json("m/config.json", "{'model_type':'clip_vision_model',"
				  "'image_size':96,'interpolate_from':64}");
	put_json("m/preprocessor_config.json",
	    "{'size':{'shortest_edge':64},'crop_size':64}");
	is_int(gv_config_open(&c, "m", &e), 0,
	    "the size before interpolation: %s", e.msg);
	ok(c.rule.height == 96 && c.rule.edge == 96, "means that behind it");
	gv_config_free(&c);
}

int
main(void)
{
	struct gv_error e = {0};

	if (!mkdtemp(root) || chdir(root))
		return 1;
	towers();
	families();
	faults();
	fresh();
	round_trips();
	mutations();
	combinations();
	taken();
	counted();
	processors();
	elsewhere();
	gv_error_clear(&e);
	ok(!chdir("/") && !gv_remove_tree(root, &e), "remove everything");
	return done();
}
