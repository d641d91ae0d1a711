/* The decoder's facts, family by family. */
#include "config_priv.h"

#include "banned.h"

/* Sizes that a config may leave out. */
struct sizes {
	int64_t V, C, L, H, F, max_T;
};

/* Which layers see a window of positions only. */
enum window {
	WINDOW_NONE, /* no key says so */
	WINDOW_QWEN, /* use_sliding_window; from max_window_layers on */
	WINDOW_ALL /* sliding_window, unless null */
};

/* What a model type means beyond its keys. */
struct family {
	const char *type, *also; /* its names */
	struct sizes sizes; /* of Hugging Face's class */
	int64_t G, D; /* where it is absent; 0: all heads, C / H */
	bool qkv_bias; /* always */
	bool attention_bias; /* a key decides: qkv and o */
	bool qk_norm;
	bool nano; /* no norm weights, another norm, no gate, a soft cap */
	enum window window;
};

static const struct family families[] = {
    {.type = "qwen2",
	.sizes = {151936, 4096, 32, 32, 22016, 32768},
	.qkv_bias = true,
	.window = WINDOW_QWEN},
    {.type = "qwen3",
	.sizes = {151936, 4096, 32, 32, 22016, 32768},
	.D = 128,
	.attention_bias = true,
	.qk_norm = true,
	.window = WINDOW_QWEN},
    {.type = "llama",
	.sizes = {32000, 4096, 32, 32, 11008, 2048},
	.attention_bias = true},
    {.type = "mistral",
	.sizes = {32000, 4096, 32, 32, 14336, 131072},
	.G = 8,
	.window = WINDOW_ALL},
    {.type = "nanochat",
	.also = "nano",
	.sizes = {50304, 768, 12, 6, 8192, 2048},
	.attention_bias = true,
	.qk_norm = true,
	.nano = true},
};

static const struct family *
find(const char *type)
{
	size_t i;

	for (i = 0; i < sizeof families / sizeof *families; i++) {
		const struct family *f = &families[i];

		if (!strcmp(f->type, type) ||
		    (f->also && !strcmp(f->also, type)))
			return f;
	}
	return NULL;
}

bool
gv_config_is_text(const char *type)
{
	return find(type) != NULL;
}

bool
gv_config_has_bias_key(const char *type)
{
	const struct family *f = find(type);

	return f && f->attention_bias;
}

/* ---- what is refused ----------------------------------------------------- */

/* Kinds of layers by name: full attention, and windows where there are some. */
static int
check_kinds(const struct gv_obj *s, int64_t L, bool windows, bool *slides)
{
	const json_t *kinds = gv_obj_get(s, "layer_types");
	size_t i;

	if (kinds && !json_is_array(kinds))
		return gv_obj_bad(s, "layer_types", "a list");
	if (kinds && json_array_size(kinds) != (size_t)L)
		return gv_fail(s->e, GV_ERR_MATCH,
		    "'%slayer_types' names %zu layers, there are %lld", s->at,
		    json_array_size(kinds), (long long)L);
	for (i = 0; i < json_array_size(kinds); i++) {
		const char *k = json_string_value(json_array_get(kinds, i));

		*slides = *slides || (k && !strcmp(k, "sliding_attention"));
		if (!k || (strcmp(k, "full_attention") &&
			      !(windows && !strcmp(k, "sliding_attention"))))
			return gv_obj_nosup(s, "layer_types", k ? k : "?");
	}
	return 0;
}

/* A window changes nothing for sequences that fit it: it is the most positions
 * that there are here. */
static int
limit_window(
    struct gv_text_config *t, const struct family *f, const struct gv_obj *s)
{
	const json_t *given = json_object_get(s->o, "sliding_window");
	bool use = false, slides = false;
	int64_t window = 4096, full = 28;

	if (f->window == WINDOW_NONE)
		return check_kinds(s, t->L, false, &slides);
	if (gv_obj_bool(s, "use_sliding_window", &use) ||
	    gv_obj_int(s, "sliding_window", 1, INT64_MAX, &window) ||
	    gv_obj_int(s, "max_window_layers", 0, INT64_MAX, &full))
		return s->e->code;
	if (f->window == WINDOW_ALL) {
		use = true;
		full = 0;
	}
	use = use && !json_is_null(given);
	if (check_kinds(s, t->L, use, &slides))
		return s->e->code;
	if (f->window == WINDOW_ALL || !gv_obj_get(s, "layer_types"))
		slides = full < t->L;
	if (use && slides && window < t->max_T)
		t->max_T = t->window = window;
	return 0;
}

/* What a config can ask for that this decoder doesn't do. */
static int
refuse(struct gv_text_config *t, const struct family *f, const struct gv_obj *s)
{
	const char *does = f->nano ? "relu2" : "silu", *act = does;
	bool bias = false;

	if (gv_obj_text(s, "hidden_act", &act) ||
	    gv_obj_bool(s, "mlp_bias", &bias))
		return s->e->code;
	if (strcmp(act, does) && (f->nano || strcmp(act, "swish")))
		return gv_obj_nosup(s, "hidden_act", act);
	if (bias)
		return gv_obj_nosup(s, "mlp_bias", "true");
	if (gv_obj_get(s, "quantization_config"))
		return gv_fail(s->e, GV_ERR_NOSUP,
		    "'%squantization_config' is not supported", s->at);
	return limit_window(t, f, s);
}

/* ---- facts --------------------------------------------------------------- */

/* A size that must be there, unless there is one to take instead. */
static int
size(const struct gv_obj *s, const char *key, int64_t hi, int64_t instead,
    int64_t *v)
{
	if (!instead)
		return gv_obj_need_int(s, key, hi, v);
	*v = instead;
	return gv_obj_int(s, key, 1, hi, v);
}

static int
parse_sizes(struct gv_text_config *t, const struct family *f,
    const struct sizes * or, const struct gv_obj *s)
{
	if (size(s, "vocab_size", GV_MAX_VOCAB, or->V, &t->V) ||
	    size(s, "hidden_size", GV_MAX_WIDTH, or->C, &t->C) ||
	    size(s, "num_hidden_layers", GV_MAX_LAYERS, or->L, &t->L) ||
	    size(s, "num_attention_heads", GV_MAX_HEADS, or->H, &t->H) ||
	    size(s, "intermediate_size", GV_MAX_FFN, or->F, &t->F) ||
	    size(s, "max_position_embeddings", GV_MAX_POSITIONS, or->max_T,
		&t->max_T))
		return s->e->code;
	t->G = t->H;
	if (f->G && !json_object_get(s->o, "num_key_value_heads"))
		t->G = f->G;
	t->D = f->D ? f->D : t->C / t->H;
	if (gv_obj_int(s, "num_key_value_heads", 1, GV_MAX_HEADS, &t->G) ||
	    gv_obj_int(s, "head_dim", 1, GV_MAX_WIDTH, &t->D))
		return s->e->code;
	if (!f->D && !gv_obj_get(s, "head_dim") && t->C % t->H)
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

static int
parse_facts(
    struct gv_text_config *t, const struct family *f, const struct gv_obj *s)
{
	bool bias = false;

	if (f->attention_bias && gv_obj_bool(s, "attention_bias", &bias))
		return s->e->code;
	t->qkv_bias = f->qkv_bias || bias;
	t->o_bias = bias;
	t->qk_norm = f->qk_norm;
	t->bare_norm = t->embed_norm = f->nano;
	t->gated = !f->nano;
	t->softcap = 0;
	if (!f->nano)
		return 0;
	/* null is no cap, absent is the class's */
	if (!json_object_get(s->o, "final_logit_softcapping"))
		t->softcap = 15;
	return gv_obj_f64(s, "final_logit_softcapping", 1e-3, 1e6, &t->softcap);
}

static int
parse(struct gv_text_config *t, const struct gv_obj *s, bool class)
{
	static const struct sizes none;
	const struct family *f;
	const char *type = "";

	if (gv_obj_text(s, "model_type", &type))
		return s->e->code;
	f = find(type);
	if (!f)
		return gv_obj_nosup(s, "model_type", type);
	snprintf(t->type, sizeof t->type, "%s", type);
	t->eps = 1e-6;
	t->init_std = 0.02;
	t->tied = false;
	if (parse_sizes(t, f, class ? &f->sizes : &none, s) ||
	    gv_obj_f64(s, "rms_norm_eps", 1e-20, 1, &t->eps) ||
	    gv_obj_f64(s, "initializer_range", 0, 10, &t->init_std) ||
	    gv_obj_bool(s, "tie_word_embeddings", &t->tied) ||
	    parse_facts(t, f, s) || gv_config_rope(t, s))
		return s->e->code;
	t->rope.reversed = f->nano;
	/* its norms come behind the rotation and would take the factor back */
	if (f->nano && t->rope.attention != 1)
		return gv_obj_nosup(s, "rope_type", "yarn");
	return refuse(t, f, s);
}

int
gv_config_text(struct gv_text_config *t, const struct gv_obj *s)
{
	return parse(t, s, false);
}

int
gv_config_text_class(struct gv_text_config *t, const struct gv_obj *s)
{
	return parse(t, s, true);
}
