/* Text models: the facts of each family as published files spell them, what is
 * refused, rotation as transformers computes it, and sampling defaults.
 */
#include "config_priv.h"
#include "configs.h"
#include "model.h"
#include "philox.h"
#include "rope.h"

#include <fcntl.h>
#include <unistd.h>

static char root[] = "/tmp/gv-config-text-XXXXXX";

/* As published, but for keys that say nothing here. */
static const char qwen3[] = /* Qwen3-0.6B */
    "{'model_type':'qwen3','vocab_size':151936,'hidden_size':1024,"
    "'num_hidden_layers':28,'num_attention_heads':16,"
    "'num_key_value_heads':8,'head_dim':128,'intermediate_size':3072,"
    "'max_position_embeddings':40960,'rope_theta':1000000,"
    "'rope_scaling':null,'rms_norm_eps':1e-06,'tie_word_embeddings':true,"
    "'attention_bias':false,'hidden_act':'silu','sliding_window':null,"
    "'use_sliding_window':false,'max_window_layers':28,"
    "'initializer_range':0.02,'eos_token_id':151645}";
static const char llama32[] = /* Llama-3.2-1B */
    "{'model_type':'llama','vocab_size':128256,'hidden_size':2048,"
    "'num_hidden_layers':16,'num_attention_heads':32,"
    "'num_key_value_heads':8,'head_dim':64,'intermediate_size':8192,"
    "'max_position_embeddings':131072,'rope_theta':500000.0,"
    "'rope_scaling':{'factor':32.0,'high_freq_factor':4.0,"
    "'low_freq_factor':1.0,'original_max_position_embeddings':8192,"
    "'rope_type':'llama3'},'rms_norm_eps':1e-05,"
    "'tie_word_embeddings':true,'attention_bias':false,'mlp_bias':false,"
    "'hidden_act':'silu','pretraining_tp':1,'initializer_range':0.02,"
    "'eos_token_id':[128001,128008,128009]}";
static const char smollm2[] = /* SmolLM2-135M */
    "{'model_type':'llama','vocab_size':49152,'hidden_size':576,"
    "'num_hidden_layers':30,'num_attention_heads':9,"
    "'num_key_value_heads':3,'intermediate_size':1536,"
    "'max_position_embeddings':8192,'rope_theta':100000,"
    "'rope_scaling':null,'rope_interleaved':false,'rms_norm_eps':1e-05,"
    "'tie_word_embeddings':true,'attention_bias':false,'mlp_bias':false,"
    "'initializer_range':0.041666666666666664,'eos_token_id':0}";
static const char mistral[] = /* Mistral-7B-v0.3 */
    "{'model_type':'mistral','vocab_size':32768,'hidden_size':4096,"
    "'num_hidden_layers':32,'num_attention_heads':32,"
    "'num_key_value_heads':8,'intermediate_size':14336,"
    "'max_position_embeddings':32768,'rope_theta':1000000.0,"
    "'rms_norm_eps':1e-05,'tie_word_embeddings':false,"
    "'sliding_window':null,'hidden_act':'silu','initializer_range':0.02,'eos_"
    "token_id':2}";
static const char nano[] = /* nanochat-d32 */
    "{'model_type':'nanochat','vocab_size':65536,'hidden_size':2048,"
    "'num_hidden_layers':32,'num_attention_heads':16,"
    "'num_key_value_heads':16,'intermediate_size':8192,"
    "'max_position_embeddings':2048,'rope_theta':10000.0,"
    "'rms_norm_eps':1e-06,'tie_word_embeddings':false,"
    "'attention_bias':false,'hidden_act':'relu2',"
    "'final_logit_softcapping':15.0,'initializer_range':0.02,'eos_token_id':"
    "65527}";

/* Parses and says so. */
static void
take(const char *text, const char *patch, struct gv_config *c, const char *what)
{
	struct gv_error e = {0};

	is_int(parse(json(text), patch, c, &e), 0, "%s %s", what, e.msg);
}

static void
families(void)
{
	struct gv_config c;
	const struct gv_text_config *t = &c.text;

	take(qwen3, "{}", &c, "Qwen3-0.6B");
	ok(t->D == 128 && t->G == 8 && t->qk_norm && !t->qkv_bias &&
		!t->o_bias && !t->bare_norm && !t->embed_norm && t->gated &&
		t->tied && t->softcap == 0 && t->rope.theta == 1e6 &&
		t->rope.type == GV_ROPE_DEFAULT && !t->rope.reversed,
	    "norms of queries and keys, no bias, wide heads");
	gv_config_free(&c);
	take(qwen3, "{'head_dim':'DELETE','attention_bias':true}", &c,
	    "and with biases");
	ok(t->D == 128 && t->qkv_bias && t->o_bias, "of qkv and o");
	gv_config_free(&c);

	take(llama32, "{}", &c, "Llama-3.2-1B");
	ok(!t->qk_norm && !t->qkv_bias && !t->o_bias && t->gated && t->tied &&
		t->D == 64 && t->eps == 1e-5 && c.neos == 3 &&
		t->rope.type == GV_ROPE_LLAMA3 && t->rope.factor == 32 &&
		t->rope.original == 8192 && t->rope.low == 1 &&
		t->rope.high == 4 && t->rope.attention == 1,
	    "scaled rotation");
	gv_config_free(&c);
	take(llama32, "{'attention_bias':true,'hidden_act':'swish'}", &c,
	    "with biases, and another name of SiLU");
	ok(t->qkv_bias && t->o_bias, "of qkv and o");
	gv_config_free(&c);
	take(smollm2, "{}", &c, "SmolLM2-135M");
	ok(t->D == 64 && t->G == 3 && t->tied && t->rope.theta == 1e5 &&
		t->init_std == 0.041666666666666664,
	    "its facts");
	gv_config_free(&c);

	take(mistral, "{}", &c, "Mistral-7B-v0.3");
	ok(!t->tied && !t->qkv_bias && !t->o_bias && t->G == 8 && t->gated,
	    "its facts");
	gv_config_free(&c);
	take(mistral, "{'num_key_value_heads':'DELETE','attention_bias':true}",
	    &c, "Mistral without key/value heads, and with a key of others");
	ok(t->G == 8 && !t->qkv_bias, "has 8, and no biases");
	gv_config_free(&c);

	take(nano, "{}", &c, "nanochat-d32");
	ok(t->qk_norm && t->bare_norm && t->embed_norm && !t->gated &&
		!t->tied && t->softcap == 15 && t->rope.reversed &&
		!t->qkv_bias,
	    "bare norms, no gate, a soft cap, rotation the other way");
	gv_config_free(&c);
	take(nano,
	    "{'model_type':'nano','final_logit_softcapping':null,"
	    "'hidden_act':'DELETE'}",
	    &c, "nano, whose cap is null");
	ok(t->softcap == 0 && !strcmp(c.model_type, "nano"), "has none");
	gv_config_free(&c);
	take(nano, "{'final_logit_softcapping':'DELETE'}", &c,
	    "nano, whose cap is absent");
	ok(t->softcap == 15, "has the usual one");
	gv_config_free(&c);
}

/* As many parameters as transformers' classes have. */
static void
counts(void)
{
	static const struct {
		const char *text, *patch;
		long long n;
	} want[] = {
	    {qwen3, "{}", 596049920},
	    {llama32, "{}", 1235814400},
	    {smollm2, "{}", 134515008},
	    {mistral, "{}", 7248023552},
	    {nano, "{}", 1879048192},
	    {smollm2,
		"{'vocab_size':1000,'hidden_size':64,'num_hidden_layers':2,"
		"'num_attention_heads':4,'num_key_value_heads':2,"
		"'intermediate_size':100,'tie_word_embeddings':false,"
		"'attention_bias':true}",
		191680},
	};
	struct gv_error e = {0};
	struct gv_model *m;
	struct gv_config c;
	struct gvk *k;
	size_t i;

	if (gv_backend_open(&k, "cpu", 1, &e))
		printf("Bail out! %s\n", e.msg);
	for (i = 0; i < sizeof want / sizeof *want && !e.code; i++) {
		size_t n = 0, j;

		take(want[i].text, want[i].patch, &c, "parameters");
		if (gv_model_new(&m, k, &c, 0, &e))
			break;
		for (j = 0; j < m->nparams; j++)
			n += m->param[j].n;
		is_int((long long)n, want[i].n, "are counted");
		gv_model_close(&m);
	}
	ok(!e.code, "all of them %s", e.msg);
	gvk_close(&k);
}

/* ---- refusals ------------------------------------------------------------ */

/* A window that leaves positions out is the most positions there are, and the
 * file that is written has both numbers as they were. */
static void
short_windows(void)
{
	static const struct {
		const char *text, *patch;
		int64_t window;
	} w[] = {
	    {qwen3,
		"{'use_sliding_window':true,'sliding_window':4096,"
		"'max_window_layers':27}",
		4096},
	    {qwen3,
		"{'use_sliding_window':true,'sliding_window':'DELETE',"
		"'max_window_layers':'DELETE','num_hidden_layers':29}",
		4096},
	    {qwen3,
		"{'use_sliding_window':true,'sliding_window':64,"
		"'num_hidden_layers':1,'layer_types':['sliding_attention']}",
		64},
	    {mistral, "{'sliding_window':4096}", 4096},
	    {mistral, "{'sliding_window':'DELETE'}", 4096},
	};
	struct gv_config c;
	json_t *o;
	size_t i;

	for (i = 0; i < sizeof w / sizeof *w; i++) {
		take(w[i].text, w[i].patch, &c, "a window");
		is_int(c.text.max_T, w[i].window, "... limits the positions");
		o = gv_config_json(&c);
		ok(json_integer_value(json_object_get(
		       o, "max_position_embeddings")) > w[i].window,
		    "... and is written as it was");
		json_decref(o);
		gv_config_free(&c);
	}
}

/* Windows that hold all there is to see. */
static void
windows(void)
{
	struct gv_config c;

	take(qwen3,
	    "{'use_sliding_window':true,'sliding_window':40960,"
	    "'max_window_layers':0}",
	    &c, "a window of all positions");
	gv_config_free(&c);
	take(qwen3,
	    "{'use_sliding_window':true,'sliding_window':100,"
	    "'max_window_layers':28}",
	    &c, "windows from a layer on that isn't there");
	gv_config_free(&c);
	take(qwen3, "{'use_sliding_window':true}", &c, "a window of null");
	gv_config_free(&c);
	take(qwen3,
	    "{'num_hidden_layers':2,"
	    "'layer_types':['full_attention','full_attention']}",
	    &c, "layers by name");
	gv_config_free(&c);
	take(mistral, "{'sliding_window':32768}", &c, "Mistral's of all");
	gv_config_free(&c);
	take(llama32, "{'sliding_window':10}", &c,
	    "a key that means nothing to Llama");
	gv_config_free(&c);
}

static const struct {
	const char *text, *patch;
	int code;
	const char *says;
} fault[] = {
    {qwen3, "{'num_hidden_layers':1,'layer_types':['sliding_attention']}",
	GV_ERR_NOSUP, "'layer_types' of 'sliding_attention'"},
    {qwen3, "{'layer_types':['full_attention']}", GV_ERR_MATCH,
	"'layer_types' names 1 layers, there are 28"},
    {qwen3, "{'num_hidden_layers':1,'layer_types':['linear_attention']}",
	GV_ERR_NOSUP, "'linear_attention'"},
    {qwen3, "{'layer_types':3}", GV_ERR_FORMAT, "'layer_types' is not a list"},
    {qwen3, "{'num_hidden_layers':1,'layer_types':[3]}", GV_ERR_NOSUP,
	"'layer_types' of '?'"},
    {mistral, "{'sliding_window':0}", GV_ERR_LIMIT, "'sliding_window' is 0"},
    {llama32, "{'mlp_bias':true}", GV_ERR_NOSUP, "'mlp_bias' of 'true'"},
    {llama32, "{'attention_bias':1}", GV_ERR_FORMAT,
	"'attention_bias' is not true or false"},
    {llama32, "{'hidden_act':'gelu'}", GV_ERR_NOSUP, "'hidden_act' of 'gelu'"},
    {llama32, "{'hidden_size':'DELETE'}", GV_ERR_FORMAT,
	"'hidden_size' is missing"},
    {llama32, "{'head_dim':1048576}", GV_ERR_LIMIT, "'head_dim' is 1048576"},
    {llama32, "{'num_key_value_heads':5}", GV_ERR_MATCH,
	"5 key/value heads don't divide the 32 heads"},
    {llama32, "{'quantization_config':{'quant_method':'awq'}}", GV_ERR_NOSUP,
	"quantization_config"},
    {nano, "{'hidden_act':'silu'}", GV_ERR_NOSUP, "'hidden_act' of 'silu'"},
    {nano, "{'final_logit_softcapping':0}", GV_ERR_LIMIT,
	"'final_logit_softcapping' is 0"},
    {nano, "{'final_logit_softcapping':'x'}", GV_ERR_FORMAT,
	"'final_logit_softcapping' is not a number"},
    {nano, "{'rope_scaling':{'type':'yarn','factor':2.0}}", GV_ERR_NOSUP,
	"'rope_type' of 'yarn'"},
    /* rotation */
    {llama32, "{'rope_scaling':{'rope_type':'longrope'}}", GV_ERR_NOSUP,
	"'rope_scaling.rope_type' of 'longrope' is not supported"},
    {llama32, "{'rope_scaling':{'rope_type':'DELETE','type':'mrope'}}",
	GV_ERR_NOSUP, "'rope_scaling.type' of 'mrope'"},
    {llama32, "{'rope_scaling':[]}", GV_ERR_FORMAT,
	"'rope_scaling' is not an object"},
    {llama32, "{'rope_scaling':{'rope_type':7}}", GV_ERR_FORMAT,
	"'rope_scaling.rope_type' is not text"},
    {llama32, "{'rope_scaling':{'factor':'DELETE'}}", GV_ERR_FORMAT,
	"'rope_scaling.factor' is missing"},
    {llama32, "{'rope_scaling':{'factor':0}}", GV_ERR_LIMIT,
	"'rope_scaling.factor' is 0"},
    {llama32, "{'rope_scaling':{'low_freq_factor':'DELETE'}}", GV_ERR_FORMAT,
	"'rope_scaling.low_freq_factor' is missing"},
    {llama32, "{'rope_scaling':{'high_freq_factor':'DELETE'}}", GV_ERR_FORMAT,
	"'rope_scaling.high_freq_factor' is missing"},
    {llama32, "{'rope_scaling':{'low_freq_factor':4.0}}", GV_ERR_MATCH,
	"'rope_scaling.low_freq_factor' 4 is not below 'high_freq_factor' 4"},
    {llama32,
	"{'rope_scaling':{'original_max_position_embeddings':99999999999}}",
	GV_ERR_LIMIT, "original_max_position_embeddings"},
    {qwen3, "{'rope_scaling':{'type':'yarn','factor':4.0,'beta_slow':33}}",
	GV_ERR_MATCH, "'rope_scaling.beta_slow' 33 is above 'beta_fast' 32"},
    {qwen3, "{'rope_theta':1,'rope_scaling':{'type':'yarn','factor':4.0}}",
	GV_ERR_MATCH, "'rope_theta' of 1"},
    {qwen3, "{'rope_parameters':{'full_attention':{'rope_type':'default'}}}",
	GV_ERR_NOSUP, "'rope_parameters.full_attention' of 'an object'"},
    {qwen3, "{'rope_parameters':{'rope_theta':0}}", GV_ERR_LIMIT,
	"'rope_parameters.rope_theta' is 0"},
    {qwen3, "{'partial_rotary_factor':0.5}", GV_ERR_NOSUP,
	"'partial_rotary_factor' of 0.5"},
    {qwen3, "{'rope_parameters':{'partial_rotary_factor':0.25}}", GV_ERR_NOSUP,
	"'rope_parameters.partial_rotary_factor' of 0.25"},
};

static void
faults(void)
{
	struct gv_error e = {0};
	struct gv_config c;
	size_t i;

	for (i = 0; i < sizeof fault / sizeof *fault; i++) {
		int r = parse(json(fault[i].text), fault[i].patch, &c, &e);

		refused(r, &c, &e, fault[i].code, fault[i].says, "refused",
		    fault[i].patch);
	}
}

/* ---- rotation ------------------------------------------------------------ */

/* transformers 5.23.0: ROPE_INIT_FUNCTIONS of a LlamaConfig with theta 10000,
 * heads of 24 and 2048 positions, and the attention factor.  It computes in
 * F32. */
static const struct {
	const char *what;
	double freq[12], attention;
} rope[] = {
    {"{'rope_type':'linear','factor':2.5}",
	{0.40000001, 0.18566355, 0.086177379, 0.039999999, 0.018566353,
	    0.0086177392, 0.0039999997, 0.0018566359, 0.00086177373,
	    0.00040000002, 0.00018566358, 8.6177366e-05},
	1},
    {"{'rope_type':'llama3','factor':8.0,'low_freq_factor':1.0,"
     "'high_freq_factor':4.0,'original_max_position_embeddings':512}",
	{1, 0.46415889, 0.21544345, 0.1, 0.043468755, 0.0074410047, 0.00125,
	    0.00058019871, 0.00026930429, 0.00012500001, 5.8019868e-05,
	    2.6930427e-05},
	1},
    {"{'rope_type':'yarn','factor':4.0,"
     "'original_max_position_embeddings':512}",
	{1, 0.46415889, 0.18312693, 0.07, 0.025528736, 0.0086177392,
	    0.0024999999, 0.0011603974, 0.00053860858, 0.00025000001,
	    0.00011603974, 5.3860855e-05},
	1.138629436111989},
    {"{'rope_type':'yarn','factor':4.0,"
     "'original_max_position_embeddings':512,'beta_fast':20.0,"
     "'beta_slow':2.0,'truncate':false,'attention_factor':1.25}",
	{1, 0.46415889, 0.20629682, 0.070754506, 0.021237358, 0.0053860871,
	    0.0024999999, 0.0011603974, 0.00053860858, 0.00025000001,
	    0.00011603974, 5.3860855e-05},
	1.25},
    {"{'type':'yarn','factor':4.0,'original_max_position_embeddings':512,"
     "'mscale':0.7,'mscale_all_dim':1.1}",
	{1, 0.46415889, 0.18312693, 0.07, 0.025528736, 0.0086177392,
	    0.0024999999, 0.0011603974, 0.00053860858, 0.00025000001,
	    0.00011603974, 5.3860855e-05},
	0.9518853439550599},
    {"{'rope_type':'yarn','factor':null,"
     "'original_max_position_embeddings':256}",
	{1, 0.38293111, 0.14003824, 0.047499999, 0.013924764, 0.0026930436,
	    0.00125, 0.00058019871, 0.00026930429, 0.00012500001, 5.8019868e-05,
	    2.6930427e-05},
	1.2079441541679836},
    {"{'type':'dynamic','factor':4.0}",
	{1, 0.46415889, 0.21544345, 0.1, 0.046415884, 0.021544348, 0.0099999998,
	    0.0046415897, 0.0021544343, 0.001, 0.00046415895, 0.00021544342},
	1},
};

static void
check_rope(const struct gv_config *c, size_t n, const char *where)
{
	double worst = 0;
	int64_t i;

	for (i = 0; i < 12; i++) {
		double d = gv_rope(&c->text.rope, i, 24) / rope[n].freq[i] - 1;

		if (!(fabs(d) <= worst))
			worst = fabs(d);
	}
	ok(worst <= 1e-6 &&
		fabs(c->text.rope.attention - rope[n].attention) <= 1e-12,
	    "%s %s: frequencies within 1e-6 (%.1e)", where, rope[n].what,
	    worst);
}

/* Both spellings, and again after writing. */
static void
rotation(void)
{
	static const char *const where[] = {"rope_scaling", "rope_parameters"};
	static const char plain[] =
	    "{'head_dim':24,'max_position_embeddings':2048,"
	    "'rope_theta':10000.0,'rope_scaling':'DELETE'}";
	struct gv_error e = {0};
	struct gv_config c;
	size_t i, j;

	for (i = 0; i < 2 * sizeof rope / sizeof *rope; i++) {
		json_t *o = json(llama32), *p = json(plain);

		j = i / 2;
		merge(o, p);
		json_decref(p);
		json_object_set_new(o, where[i % 2], json(rope[j].what));
		fresh();
		gv_error_clear(&e);
		is_int(parse(o, "{}", &c, &e), 0, "%s %s", where[i % 2], e.msg);
		if (e.code)
			continue;
		check_rope(&c, j, where[i % 2]);
		back(&c, "it");
		gv_config_free(&c);
	}
	take(nano, "{}", &c, "nanochat");
	ok(gv_rope(&c.text.rope, 0, 4) == -1 &&
		fabs(gv_rope(&c.text.rope, 1, 4) + 0.01) < 1e-15,
	    "turns the other way");
	gv_config_free(&c);
	take(llama32,
	    "{'rope_scaling':{'rope_type':'default','rope_theta':5000},"
	    "'rope_parameters':{'rope_type':'linear'}}",
	    &c, "both objects");
	ok(c.text.rope.type == GV_ROPE_DEFAULT && c.text.rope.theta == 5000,
	    "rope_scaling counts, with its own theta");
	gv_config_free(&c);
	take(qwen3,
	    "{'original_max_position_embeddings':32768,'rope_scaling':"
	    "{'type':'yarn','factor':4.0,'original_max_position_embeddings':"
	    "9}}",
	    &c, "original positions beside the sizes");
	ok(c.text.rope.original == 32768, "go first");
	c.text.rope.original = 16384;
	fresh();
	back(&c, "another value");
	gv_config_free(&c);
}

/* ---- writing ------------------------------------------------------------- */

static void
round_trips(void)
{
	static const char *const as_read[] = {
	    qwen3, llama32, smollm2, nano, mistral};
	struct gv_error e = {0};
	struct gv_config c;
	size_t i;

	for (i = 0; i < sizeof as_read / sizeof *as_read; i++) {
		json_t *o = json(as_read[i]);

		fresh();
		take(as_read[i], "{}", &c, "a published configuration");
		back(&c, "it");
		gv_config_free(&c);
		if (!gv_config_open(&c, "m", &e)) {
			ok(json_equal(c.json, o), "as it was");
			gv_config_free(&c);
		}
		json_decref(o);
	}
	fresh();
	take(qwen3, "{}", &c, "Qwen3");
	c.text.D = 64;
	back(&c, "narrow heads");
	c.text.qkv_bias = c.text.o_bias = true;
	c.text.rope = (struct gv_rope_config){
	    GV_ROPE_YARN, false, false, 5e5, 3, 4096, 0.5, 40, 1.5};
	back(&c, "biases and rotation that a program changed");
	gv_config_free(&c);
	take(nano, "{}", &c, "nano");
	c.text.softcap = 0;
	back(&c, "no cap");
	c.text.softcap = 30;
	c.text.rope.theta = 77;
	back(&c, "another cap");
	gv_config_free(&c);
}

/* Files of vision-language models leave the sizes of their text model out. */
static void
class_sizes(void)
{
	struct gv_error e = {0};
	struct gv_text_config t = {0};
	/* as in LLaVA-1.5-7B */
	json_t *o = json("{'model_type':'llama','vocab_size':32064,"
			 "'max_position_embeddings':4096,"
			 "'rms_norm_eps':1e-05}");
	struct gv_obj s = {o, "text_config.", &e};

	is_int(gv_config_text_class(&t, &s), 0, "LLaVA's text model %s", e.msg);
	ok(t.V == 32064 && t.C == 4096 && t.L == 32 && t.H == 32 && t.G == 32 &&
		t.D == 128 && t.F == 11008 && t.max_T == 4096 && !t.tied,
	    "has the sizes of the class");
	is_int(gv_config_text(&t, &s), GV_ERR_FORMAT, "a text model alone");
	is_str(e.msg, "'text_config.hidden_size' is missing", "must say them");
	json_decref(o);
}

/* ---- sampling ------------------------------------------------------------ */

static const struct {
	const char *text;
	int code;
	const char *says;
} law[] = {
    {"{\"do_sample\":1}", GV_ERR_FORMAT,
	"'m/generation_config.json': 'do_sample' is not true or false"},
    {"{\"temperature\":-0.5}", GV_ERR_LIMIT, "'temperature' is -0.5"},
    {"{\"temperature\":\"hot\"}", GV_ERR_FORMAT, "'temperature' is not a"},
    {"{\"top_k\":2.5}", GV_ERR_FORMAT, "'top_k' is not a whole number"},
    {"{\"top_k\":-1}", GV_ERR_LIMIT, "'top_k' is -1"},
    {"{\"top_p\":0}", GV_ERR_LIMIT, "'top_p' is 0"},
    {"{\"top_p\":1.5}", GV_ERR_LIMIT, "'top_p' is 1.5"},
    {"{\"min_p\":2}", GV_ERR_LIMIT, "'min_p' is 2"},
    {"{\"repetition_penalty\":0}", GV_ERR_LIMIT, "'repetition_penalty' is 0"},
};

static void
sampling(void)
{
	struct gv_error e = {0};
	struct gv_config c;
	const struct gv_sampling_config *g = &c.sampling;
	size_t i;

	fresh();
	take(qwen3, "{}", &c, "Qwen3");
	ok(!g->given && !g->sample && g->temperature == 1 && g->top_k == 50 &&
		g->top_p == 1 && g->min_p == 0 && g->penalty == 1,
	    "without a file nothing is given");
	is_int(gv_config_write(&c, "m", &e), 0, "write %s", e.msg);
	gv_config_free(&c);
	put("m/generation_config.json",
	    "{\"do_sample\":true,\"eos_token_id\":[151645,151643],"
	    "\"temperature\":0.6,\"top_k\":20,\"top_p\":0.95}");
	is_int(gv_config_open(&c, "m", &e), 0, "Qwen3's file %s", e.msg);
	ok(g->given && g->sample && g->temperature == 0.6 && g->top_k == 20 &&
		g->top_p == 0.95 && g->min_p == 0 && g->penalty == 1 &&
		c.neos == 2,
	    "says how to draw");
	back(&c, "it");
	c.sampling.penalty = 1.05;
	c.sampling.temperature = 0.7;
	back(&c, "another law");
	gv_config_free(&c);
	put("m/generation_config.json", "{\"eos_token_id\":3}");
	is_int(gv_config_open(&c, "m", &e), 0, "a file of end ids %s", e.msg);
	ok(!g->given && c.neos == 1, "gives no law");
	c.sampling.given = c.sampling.sample = true;
	c.sampling.min_p = 0.1;
	back(&c, "a new one");
	gv_config_free(&c);
	for (i = 0; i < sizeof law / sizeof *law; i++) {
		int r;

		put("m/generation_config.json", law[i].text);
		gv_error_clear(&e);
		r = gv_config_open(&c, "m", &e);
		refused(r, &c, &e, law[i].code, law[i].says, "refused",
		    law[i].text);
	}
}

/* ---- chance -------------------------------------------------------------- */

/* Angles that gvk_rope takes, and nothing that is not a number. */
static bool
sound(const struct gv_text_config *t)
{
	double a = t->rope.attention;
	int64_t i;

	for (i = 0; i < t->D / 2; i++)
		if (!(fabs(gv_rope(&t->rope, i, t->D)) * (double)t->max_T <
			2147483648.0))
			return false;
	return a > 0 && a <= 1e3 && t->H % t->G == 0 && t->D % 2 == 0;
}

/* Bytes changed at random: refused in one line, or a sound model that comes
 * back as it is written. */
static void
mutations(void)
{
	static const char *const from[] = {qwen3, llama32, mistral, nano,
	    "{'model_type':'qwen2','vocab_size':9,'hidden_size':64,"
	    "'num_hidden_layers':2,'num_attention_heads':4,"
	    "'intermediate_size':8,'max_position_embeddings':32768,"
	    "'rope_parameters':{'rope_type':'yarn','factor':4.0,"
	    "'rope_theta':10.0,'original_max_position_embeddings':8192,"
	    "'beta_fast':32,'beta_slow':1,'truncate':false,'mscale':0.7,"
	    "'mscale_all_dim':0.7}}"};
	struct gv_error e = {0};
	struct gv_config c;
	struct gv_rng rng;
	int n, taken = 0, parsed = 0, bad = 0;
	char text[MUTATED];

	gv_rng_init(&rng, 4, GV_PURPOSE_TEST);
	for (n = 0; n < 30000; n++) {
		json_t *o, *again;

		o = mutated(&rng, from[n % 5], text);
		if (!o)
			continue;
		parsed++;
		gv_error_clear(&e);
		if (gv_config_parse(&c, o, &e)) {
			bad += !e.msg[0] || strchr(e.msg, '\n');
		} else {
			struct gv_config d;

			taken++;
			again = gv_config_json(&c);
			bad += !sound(&c.text);
			if (gv_config_parse(&d, again, &e)) {
				printf("# %s: %s\n", e.msg, text);
				bad++;
			} else {
				bad += !same(&c, &d);
				gv_config_free(&d);
			}
			json_decref(again);
			gv_config_free(&c);
		}
		json_decref(o);
	}
	ok(parsed > 1000 && taken > 100 && taken < parsed,
	    "%d of 30000 mutations are JSON, %d of them models", parsed, taken);
	is_int(bad, 0, "all others are refused in one line");
}

int
main(void)
{
	struct gv_error e = {0};

	if (!mkdtemp(root) || chdir(root))
		return 1;
	families();
	counts();
	windows();
	short_windows();
	faults();
	rotation();
	round_trips();
	class_sizes();
	sampling();
	mutations();
	ok(!chdir("/") && !gv_remove_tree(root, &e), "remove everything");
	return done();
}
