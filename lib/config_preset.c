/* Models that users call by name: Qwen2.5 blocks, SigLIP and CLIP towers. */
#include "config.h"

#include "mem.h"
#include "banned.h"

#define SIGLIP_LARGE \
	"{'model_type':'siglip_vision_model','image_size':256," \
	"'patch_size':16,'hidden_size':1024,'intermediate_size':4096," \
	"'num_hidden_layers':24,'num_attention_heads':16}"
#define SIGLIP_BASE \
	"{'model_type':'siglip_vision_model','image_size':224," \
	"'patch_size':16,'hidden_size':768,'intermediate_size':3072," \
	"'num_hidden_layers':12,'num_attention_heads':12}"
#define SIGLIP_SO400M \
	"{'model_type':'siglip_vision_model','image_size':384," \
	"'patch_size':14,'hidden_size':1152,'intermediate_size':4304," \
	"'num_hidden_layers':27,'num_attention_heads':16}"
#define CLIP_LARGE(size) \
	"{'model_type':'clip_vision_model','image_size':" size "," \
	"'patch_size':14,'hidden_size':1024,'intermediate_size':4096," \
	"'num_hidden_layers':24,'num_attention_heads':16}"
#define SIGLIP_TINY \
	"{'model_type':'siglip_vision_model','image_size':64," \
	"'patch_size':4,'hidden_size':64,'intermediate_size':128," \
	"'num_hidden_layers':2,'num_attention_heads':4}"
#define OF_QWEN \
	"'model_type':'qwen2','hidden_act':'silu','rms_norm_eps':1e-6," \
	"'tie_word_embeddings':true,"

struct named {
	const char *name, *text;
};

static const struct named presets[] = {
    {"vlm_tiny",
	"{'model_type':'ghostvis','text_config':{" OF_QWEN
	"'hidden_size':96,'intermediate_size':256,'num_hidden_layers':2,"
	"'num_attention_heads':4,'num_key_value_heads':2,"
	"'max_position_embeddings':2048,'rope_theta':10000.0},"
	"'vision_config':" SIGLIP_TINY ","
	"'vision_feature_layer':-1,'vision_post_norm':true,"
	"'resampler':{'type':'avgpool','rows':16},"
	"'projector':{'hidden_size':96,'act':'gelu'},"
	"'init':{'gain':1.5,'patch':0.4,'position':0.02,'embedding':0.3}}"},
    {"vlm_small",
	"{'model_type':'ghostvis','text_config':{" OF_QWEN
	"'hidden_size':896,'intermediate_size':4864,'num_hidden_layers':24,"
	"'num_attention_heads':14,'num_key_value_heads':2,"
	"'max_position_embeddings':32768,'rope_theta':1000000.0},"
	"'vision_config':" SIGLIP_BASE ","
	"'vision_feature_layer':-1,'vision_post_norm':true,"
	"'resampler':{'type':'perceiver','rows':64,'blocks':1,'heads':12},"
	"'projector':{'hidden_size':896,'act':'gelu'}}"},
    {"vlm_1.5b",
	"{'model_type':'ghostvis','text_config':{" OF_QWEN
	"'vocab_size':151936,'eos_token_id':151645,"
	"'hidden_size':1536,'intermediate_size':8960,"
	"'num_hidden_layers':28,'num_attention_heads':12,"
	"'num_key_value_heads':2,'max_position_embeddings':32768,"
	"'rope_theta':1000000.0},'vision_config':" SIGLIP_LARGE ","
	"'vision_feature_layer':-1,'vision_post_norm':true,"
	"'resampler':{'type':'perceiver','rows':64,'blocks':1,'heads':16},"
	"'projector':{'hidden_size':1536,'act':'gelu'},"
	"'image_token_id':151655}"},
};

static const struct named towers[] = {
    {"siglip-base-p16-224", SIGLIP_BASE},
    {"siglip-large-p16-256", SIGLIP_LARGE},
    {"siglip-so400m-p14-384", SIGLIP_SO400M},
    {"clip-large-p14-224", CLIP_LARGE("224")},
    {"clip-large-p14-336", CLIP_LARGE("336")},
};

const char *
gv_config_presets(void)
{
	return "vlm_tiny, vlm_small, vlm_1.5b";
}

const char *
gv_config_towers(void)
{
	return "siglip-base-p16-224, siglip-large-p16-256, "
	       "siglip-so400m-p14-384, clip-large-p14-224, clip-large-p14-336";
}

/* The object of that name; its text has single quotes for double ones. */
static json_t *
find(const struct named *t, size_t n, const char *name)
{
	json_t *o;
	char *s, *p;

	while (n && strcmp(t->name, name))
		n--, t++;
	s = n ? gv_strdup(t->text) : NULL;
	if (!s)
		return NULL;
	for (p = s; *p; p++)
		if (*p == '\'')
			*p = '"';
	o = json_loads(s, 0, NULL);
	gv_free(s);
	return o;
}

json_t *
gv_config_preset(const char *name)
{
	return find(presets, sizeof presets / sizeof *presets, name);
}

json_t *
gv_config_tower(const char *name)
{
	return find(towers, sizeof towers / sizeof *towers, name);
}
