/* A configuration back into the files it came from, or into new ones. */
#include "config_priv.h"

#include "io.h"
#include "json.h"
#include "mem.h"
#include "banned.h"

void
gv_config_put_int(json_t *o, const char *key, int64_t v)
{
	const json_t *was = json_object_get(o, key);

	if (!json_is_integer(was) || json_integer_value(was) != v)
		json_object_set_new(o, key, json_integer(v));
}

/* As gv_config_put_int(). */
static void
put_f64(json_t *o, const char *key, double v)
{
	const json_t *was = json_object_get(o, key);

	if (!json_is_number(was) || json_number_value(was) != v)
		json_object_set_new(o, key, json_real(v));
}

static void
put_name(json_t *o, const char *key, const char *v)
{
	json_object_set_new(o, key, json_string(v));
}

json_t *
gv_config_member(json_t *o, const char *key)
{
	json_t *v = json_object_get(o, key);

	if (!json_is_object(v)) {
		v = json_object();
		json_object_set_new(o, key, v);
	}
	return v;
}

#define ORIGINAL "original_max_position_embeddings"

static void
put_scaling(json_t *o, const struct gv_rope_config *r)
{
	bool old =
	    json_object_get(o, "type") && !json_object_get(o, "rope_type");

	put_name(o, old ? "type" : "rope_type", gv_rope_name[r->type]);
	if (r->type == GV_ROPE_DEFAULT)
		return;
	put_f64(o, "factor", r->factor);
	if (r->original)
		gv_config_put_int(o, ORIGINAL, r->original);
	if (r->type == GV_ROPE_LLAMA3) {
		put_f64(o, "low_freq_factor", r->low);
		put_f64(o, "high_freq_factor", r->high);
	} else if (r->type == GV_ROPE_YARN) {
		put_f64(o, "beta_slow", r->low);
		put_f64(o, "beta_fast", r->high);
		put_f64(o, "attention_factor", r->attention);
		json_object_set_new(o, "truncate", json_boolean(r->truncate));
	}
}

/* In the spelling that is there: rope_theta goes where the others are in
 * rope_parameters. */
static void
put_rope(json_t *o, const struct gv_rope_config *r)
{
	json_t *old = json_object_get(o, "rope_scaling");
	json_t *in = json_object_get(o, "rope_parameters");
	bool scaled = r->type != GV_ROPE_DEFAULT;

	if (json_object_size(old)) {
		put_scaling(old, r);
		in = json_object_get(old, "rope_theta") ? old : o;
	} else if (json_is_object(in)) {
		put_scaling(in, r);
	} else {
		in = o;
		if (scaled)
			put_scaling(gv_config_member(o, "rope_scaling"), r);
	}
	put_f64(in, "rope_theta", r->theta);
	if (r->original && json_object_get(o, ORIGINAL))
		gv_config_put_int(o, ORIGINAL, r->original);
}

static void
put_text(json_t *o, const struct gv_text_config *t)
{
	put_name(o, "model_type", t->type);
	gv_config_put_int(o, "vocab_size", t->V);
	gv_config_put_int(o, "hidden_size", t->C);
	gv_config_put_int(o, "num_hidden_layers", t->L);
	gv_config_put_int(o, "num_attention_heads", t->H);
	gv_config_put_int(o, "num_key_value_heads", t->G);
	/* qwen3's heads are 128 wide where nothing is said */
	if (json_object_get(o, "head_dim") || t->D * t->H != t->C ||
	    !strcmp(t->type, "qwen3"))
		gv_config_put_int(o, "head_dim", t->D);
	gv_config_put_int(o, "intermediate_size", t->F);
	if (!t->window)
		gv_config_put_int(o, "max_position_embeddings", t->max_T);
	put_rope(o, &t->rope);
	put_f64(o, "rms_norm_eps", t->eps);
	put_f64(o, "initializer_range", t->init_std);
	json_object_set_new(o, "tie_word_embeddings", json_boolean(t->tied));
	if (gv_config_has_bias_key(t->type))
		json_object_set_new(
		    o, "attention_bias", json_boolean(t->o_bias));
	if (t->softcap > 0)
		put_f64(o, "final_logit_softcapping", t->softcap);
	else if (t->bare_norm)
		json_object_set_new(o, "final_logit_softcapping", json_null());
}

static void
put_vision(json_t *o, const struct gv_vision_config *v)
{
	json_object_set_new(o, "model_type", json_string(v->type));
	gv_config_put_int(o, "image_size", v->image);
	gv_config_put_int(o, "patch_size", v->patch);
	gv_config_put_int(o, "hidden_size", v->C);
	gv_config_put_int(o, "num_hidden_layers", v->L);
	gv_config_put_int(o, "num_attention_heads", v->H);
	gv_config_put_int(o, "intermediate_size", v->F);
	put_f64(o, "layer_norm_eps", v->eps);
	put_f64(o, "initializer_range", v->init_std);
	json_object_set_new(
	    o, "hidden_act", json_string(gv_config_act_name(v->act)));
	/* what is written has the positions of this size */
	json_object_del(o, "interpolate_from");
}

/* -1 is spelled out only where a reader would expect the key. */
static void
put_layer(json_t *o, const struct gv_config *c)
{
	const struct gv_vision_config *v = &c->vision;
	const char *select = "vision_feature_select_strategy";
	bool ours = !strcmp(c->model_type, "ghostvis");
	int64_t was =
	    json_integer_value(json_object_get(o, "vision_feature_layer"));

	if (ours || v->layer != v->L || was)
		if ((was < 0 ? v->L + 1 + was : was) != v->layer)
			json_object_set_new(o, "vision_feature_layer",
			    json_integer(v->layer - v->L - 1));
	if (ours || v->post_norm != gv_config_post_norm(c) ||
	    json_object_get(o, "vision_post_norm"))
		json_object_set_new(
		    o, "vision_post_norm", json_boolean(v->post_norm));
	if (v->class_token &&
	    (ours || v->P == v->T || json_object_get(o, select)))
		json_object_set_new(
		    o, select, json_string(v->P == v->T ? "full" : "default"));
}

static void
put_init(json_t *o, const struct gv_init_config *c)
{
	put_f64(o, "gain", c->gain);
	put_f64(o, "patch", c->patch);
	put_f64(o, "position", c->position);
	put_f64(o, "embedding", c->embedding);
}

json_t *
gv_config_json(const struct gv_config *c)
{
	json_t *o = gv_json_copy(c->json);
	bool joined = c->has_text && c->has_vision;

	if (!o)
		return NULL;
	if (c->has_text)
		put_text(
		    joined ? gv_config_member(o, "text_config") : o, &c->text);
	if (c->has_vision) {
		bool top = !joined && !strcmp(c->model_type, c->vision.type);

		put_vision(
		    top ? o : gv_config_member(o, "vision_config"), &c->vision);
		put_layer(o, c);
	}
	if (joined) {
		gv_config_put_between(o, c);
		if (strcmp(c->model_type, "ghostvis"))
			json_object_set_new(o, "tie_word_embeddings",
			    json_boolean(c->text.tied));
	}
	if (c->init.gain > 0)
		put_init(gv_config_member(o, "init"), &c->init);
	return o;
}

/* `o`, or NULL if any member could not be set. */
static json_t *
unless(int failed, json_t *o)
{
	if (!failed)
		return o;
	json_decref(o);
	return NULL;
}

static bool
same_law(const struct gv_sampling_config *a, const struct gv_sampling_config *b)
{
	return a->given == b->given && a->sample == b->sample &&
	       a->temperature == b->temperature && a->top_k == b->top_k &&
	       a->top_p == b->top_p && a->min_p == b->min_p &&
	       a->penalty == b->penalty;
}

/* A law to draw by, unless it is the one that was read. */
static int
put_sampling(json_t *o, const struct gv_sampling_config *g)
{
	struct gv_sampling_config was;
	struct gv_error e = {0};
	struct gv_obj s = {o, "", &e};
	json_t *law;
	int r;

	gv_config_sampling_init(&was);
	if (!gv_config_sampling(&was, &s) && same_law(&was, g))
		return 0;
	law = json_pack("{s:b, s:f, s:I, s:f, s:f, s:f}", "do_sample",
	    g->sample, "temperature", g->temperature, "top_k",
	    (json_int_t)g->top_k, "top_p", g->top_p, "min_p", g->min_p,
	    "repetition_penalty", g->penalty);
	r = json_object_update(o, law);
	json_decref(law);
	return r;
}

static json_t *
make_generation(const struct gv_config *c)
{
	json_t *o = c->generation ? gv_json_copy(c->generation) : json_object();
	json_t *ids = json_array();
	int i, bad = put_sampling(o, &c->sampling);

	for (i = 0; i < c->neos; i++)
		bad |= json_array_append_new(ids, json_integer(c->eos[i]));
	if (c->neos == 1)
		bad |=
		    json_object_set(o, "eos_token_id", json_array_get(ids, 0));
	else
		bad |= json_object_set(o, "eos_token_id", ids);
	json_decref(ids);
	return unless(bad, o);
}

/* Takes `o` over. */
static int
save(json_t *o, const char *dir, const char *name, struct gv_error *e)
{
	struct gv_out *out;
	char path[4096], *text;
	int r;

	text = o ? gv_json_text(o, JSON_INDENT(2) | JSON_REAL_PRECISION(17))
		 : NULL;
	json_decref(o);
	if (!text)
		return gv_fail(
		    e, GV_ERR_NOMEM, "out of memory for '%s/%s'", dir, name);
	snprintf(path, sizeof path, "%s/%s", dir, name);
	r = gv_out_open(&out, path, false, false, e);
	if (!r) {
		r = gv_out_printf(out, e, "%s\n", text);
		if (r)
			gv_out_abort(&out);
		else
			r = gv_out_commit(&out, e);
	}
	gv_free(text);
	return r;
}

/* What was built says all that the struct says: reading it and building again
 * gives the same.  A key that was lost for want of memory, or a value that no
 * reader would take, is found here. */
static int
check(const json_t *o, struct gv_error *e)
{
	struct gv_config back;
	json_t *again;
	bool same;

	if (!o)
		return gv_fail(e, GV_ERR_NOMEM, "out of memory");
	if (gv_config_parse(&back, o, e))
		return gv_fail_in(e, "cannot write 'config.json'");
	again = gv_config_json(&back);
	gv_config_free(&back);
	same = again && json_equal(again, o);
	json_decref(again);
	return same ? 0 : gv_fail(e, GV_ERR_NOMEM, "out of memory");
}

int
gv_config_write(const struct gv_config *c, const char *dir, struct gv_error *e)
{
	json_t *o = gv_config_json(c);
	int r = check(o, e);

	if (r)
		json_decref(o);
	else
		r = save(o, dir, "config.json", e);
	if (!r && c->has_vision)
		r = save(
		    gv_config_put_rule(c), dir, "preprocessor_config.json", e);
	if (!r && c->has_text &&
	    (c->neos || c->sampling.given || c->generation))
		r = save(make_generation(c), dir, "generation_config.json", e);
	return r;
}
