/* A configuration on its way to a fresh model. */
#include "config_edit.h"

#include "config.h"
#include "io.h"
#include "json.h"
#include "mem.h"
#include "banned.h"

#include <unistd.h>

#define MAX_CONFIG ((size_t)1 << 20)

int
gv_config_read(json_t **out, const char *name, struct gv_error *e)
{
	json_t *o = gv_config_preset(name);
	char *text;
	size_t n;

	if (o) {
		*out = o;
		return 0;
	}
	if (!strchr(name, '/') && access(name, F_OK))
		return gv_fail(e, GV_ERR_USAGE,
		    "'%s' is neither a preset (%s) nor a file", name,
		    gv_config_presets());
	if (gv_slurp(name, MAX_CONFIG, &text, &n, e))
		return e->code;
	if (gv_json_parse(&o, text, n, e))
		gv_fail_in(e, "'%s'", name);
	gv_free(text);
	if (e->code)
		return e->code;
	if (!json_is_object(o)) {
		json_decref(o);
		return gv_fail(e, GV_ERR_FORMAT,
		    "'%s' is no configuration: not a JSON object", name);
	}
	*out = o;
	return 0;
}

bool
gv_config_wants_tokenizer(const json_t *o)
{
	const char *type = json_string_value(json_object_get(o, "model_type"));

	return !type ||
	       (strncmp(type, "siglip", 6) && strncmp(type, "clip", 4));
}

int
gv_config_fit(json_t *o, const struct gv_tokenizer *t, struct gv_error *e)
{
	json_t *text = json_object_get(o, "text_config");
	int32_t size = gv_tokenizer_size(t), image = gv_tokenizer_image(t);
	const json_t *v;

	if (!gv_config_wants_tokenizer(o))
		return 0;
	if (!text)
		text = o;
	v = json_object_get(text, "vocab_size");
	if (!v)
		json_object_set_new(text, "vocab_size", json_integer(size));
	else if (json_integer_value(v) < size)
		return gv_fail(e, GV_ERR_MATCH,
		    "the tokenizer has %d tokens, more than vocab_size %lld",
		    size, (long long)json_integer_value(v));
	if (text == o)
		return 0;
	v = json_object_get(o, "image_token_id");
	if (!v && image < 0)
		return gv_fail(e, GV_ERR_MATCH,
		    "the tokenizer has no token that stands for an image row");
	if (!v)
		json_object_set_new(o, "image_token_id", json_integer(image));
	else if (image >= 0 && json_integer_value(v) != image)
		return gv_fail(e, GV_ERR_MATCH,
		    "image_token_id is %lld, the tokenizer's is %d",
		    (long long)json_integer_value(v), image);
	return 0;
}

int
gv_config_take_tower(json_t *o, const char *tower, struct gv_error *e)
{
	json_t *v = gv_config_tower(tower);

	if (!v)
		return gv_fail(e, GV_ERR_USAGE,
		    "no vision tower is called '%s' (there are %s)", tower,
		    gv_config_towers());
	if (!json_object_get(o, "vision_config")) {
		json_decref(v);
		return gv_fail(e, GV_ERR_MATCH,
		    "the configuration has no vision tower that '%s' could "
		    "replace",
		    tower);
	}
	json_object_del(o, "vision_feature_layer");
	json_object_del(o, "vision_feature_select_strategy");
	json_object_del(o, "vision_post_norm");
	/* what LLaVA and others found best in CLIP: one layer less, no norm */
	if (!strncmp(tower, "clip", 4)) {
		json_object_set_new(
		    o, "vision_feature_layer", json_integer(-2));
		json_object_set_new(o, "vision_post_norm", json_false());
	}
	json_object_set_new(o, "vision_config", v);
	/* the number of heads followed the old width */
	json_object_del(json_object_get(o, "resampler"), "heads");
	return 0;
}

/* Keys that a configuration may have without having a value for them yet; those
 * of a text model may stand at the top or in text_config. */
static bool
is_optional(const char *key)
{
	static const char *const keys[] = {"resampler.rows", "resampler.factor",
	    "resampler.blocks", "resampler.heads", "resampler.key_value_heads",
	    "resampler.head_dim", "resampler.hidden_size",
	    "resampler.front_size", "resampler.rms_norm_eps", "projector.type",
	    "projector.bias", "projector.hidden_size", "projector.act",
	    "interpolate_from", "vision_config.interpolate_from",
	    "vision_feature_layer", "vision_post_norm",
	    "vision_feature_select_strategy", "init.gain", "init.patch",
	    "init.position", "init.embedding", NULL};
	static const char *const text[] = {"head_dim", "rope_scaling",
	    "rope_scaling.rope_type", "rope_scaling.factor",
	    "rope_scaling.low_freq_factor", "rope_scaling.high_freq_factor",
	    "rope_scaling.original_max_position_embeddings",
	    "rope_scaling.beta_fast", "rope_scaling.beta_slow",
	    "rope_scaling.truncate", "rope_scaling.attention_factor",
	    "eos_token_id", NULL};
	static const char inside[] = "text_config.";
	size_t i;

	for (i = 0; keys[i]; i++)
		if (!strcmp(keys[i], key))
			return true;
	if (!strncmp(key, inside, sizeof inside - 1))
		key += sizeof inside - 1;
	for (i = 0; text[i]; i++)
		if (!strcmp(text[i], key))
			return true;
	return false;
}

/* The object that holds the last part of "a.b.c", whose name is put in *key;
 * NULL if there is none.  A missing object is made if `make`. */
static json_t *
holder(json_t *o, const char *path, const char **key, bool make)
{
	const char *dot;

	while (o && (dot = strchr(path, '.'))) {
		char name[64] = "";
		json_t *next;

		if ((size_t)(dot - path) >= sizeof name)
			return NULL;
		memcpy(name, path, (size_t)(dot - path));
		next = json_object_get(o, name);
		if (!next && make)
			json_object_set_new(o, name, next = json_object());
		o = next;
		path = dot + 1;
	}
	*key = path;
	return json_is_object(o) ? o : NULL;
}

/* KEY=VALUE: the value is JSON, or else text.  `all` has every key that means
 * something, so that a misspelt one is not ignored. */
static int
set_one(json_t *o, json_t *all, const char *arg, struct gv_error *e)
{
	const char *eq = strchr(arg, '='), *key, *name;
	char path[160] = "";
	json_t *in, *v;

	if (!eq || eq == arg || !eq[1] || (size_t)(eq - arg) >= sizeof path)
		return gv_fail(e, GV_ERR_USAGE, "'%s' is not KEY=VALUE", arg);
	memcpy(path, arg, (size_t)(eq - arg));
	in = holder(all, path, &key, false);
	if (!is_optional(path) && !json_object_get(in, key))
		return gv_fail(
		    e, GV_ERR_USAGE, "the configuration has no key '%s'", path);
	v = json_loads(eq + 1, JSON_DECODE_ANY, NULL);
	if (!v)
		v = json_string(eq + 1);
	in = holder(o, path, &name, true);
	if (!v || !in || json_object_set_new(in, name, v))
		return gv_fail(e, GV_ERR_USAGE, "'%s' cannot be set", arg);
	return 0;
}

/* A resampler whose number of rows follows from the patches takes none over;
 * one that the user gives is held against it. */
static void
drop_rows(json_t *o, const char *const *set, size_t n, size_t at)
{
	size_t i;

	if (strcmp(set[at], "resampler.type=none") &&
	    strcmp(set[at], "resampler.type=pixelshuffle"))
		return;
	for (i = 0; i < n; i++)
		if (!strncmp(set[i], "resampler.rows=", 15))
			return;
	json_object_del(json_object_get(o, "resampler"), "rows");
}

/* All keys that mean something to `o` as it is now; where it is between two
 * states that can be read, *all stays. */
static int
list_keys(json_t **all, const json_t *o, struct gv_error *e)
{
	struct gv_error between = {0};
	struct gv_config c;
	json_t *keys;

	if (gv_config_parse(&c, o, *all ? &between : e))
		return e->code;
	keys = gv_config_json(&c);
	gv_config_free(&c);
	if (!keys)
		return gv_fail(e, GV_ERR_NOMEM, "out of memory");
	json_decref(*all);
	*all = keys;
	return 0;
}

int
gv_config_set(json_t *o, const char *const *set, size_t n, struct gv_error *e)
{
	json_t *all = NULL;
	size_t i;

	if (!n || list_keys(&all, o, e))
		return e->code;
	for (i = 0; i < n && !set_one(o, all, set[i], e); i++) {
		drop_rows(o, set, n, i);
		if (list_keys(&all, o, e))
			break;
	}
	json_decref(all);
	return e->code;
}
