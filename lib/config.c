/* Facts of a model from its JSON files, checked. */
#include "config_priv.h"

#include "gguf.h"
#include "io.h"
#include "json.h"
#include "banned.h"

#include <errno.h>
#include <unistd.h>

#define MAX_JSON ((size_t)1 << 20)

static int
parse_type(struct gv_config *c, const struct gv_obj *top, const char *type)
{
	struct gv_obj in = *top;

	if (gv_config_joins(type))
		return gv_config_joined(c, top);
	if (gv_config_is_text(type)) {
		c->has_text = true;
		return gv_config_text(&c->text, top) ? top->e->code
						     : gv_config_eos(c, top);
	}
	c->has_vision = true;
	if ((!strcmp(type, "siglip") || !strcmp(type, "clip")) &&
	    gv_obj_need(top, "vision_config", "vision_config.", &in))
		return top->e->code;
	if (gv_config_vision(&c->vision, &in,
		!strcmp(type, "clip") ? "clip_vision_model"
				      : "siglip_vision_model"))
		return top->e->code;
	return gv_config_layer(c, top);
}

/* "init", for gv-model init; a deviation that is not given is .02. */
static int
parse_init(struct gv_init_config *c, const struct gv_obj *top)
{
	struct gv_obj s;

	if (!gv_obj_get(top, "init"))
		return 0;
	if (gv_obj_need(top, "init", "init.", &s) ||
	    gv_obj_f64(&s, "gain", 1e-3, 1e3, &c->gain))
		return top->e->code;
	if (!gv_obj_get(&s, "gain"))
		return gv_fail(top->e, GV_ERR_FORMAT, "'init.gain' is missing");
	c->patch = c->position = c->embedding = 0.02;
	if (gv_obj_f64(&s, "patch", 0, 1e3, &c->patch) ||
	    gv_obj_f64(&s, "position", 0, 1e3, &c->position) ||
	    gv_obj_f64(&s, "embedding", 0, 1e3, &c->embedding))
		return top->e->code;
	return 0;
}

int
gv_config_parse(struct gv_config *out, const json_t *o, struct gv_error *e)
{
	static const char *const towers[] = {
	    "siglip", "siglip_vision_model", "clip", "clip_vision_model"};
	const size_t n = sizeof towers / sizeof *towers;
	struct gv_obj top = {o, "", e};
	struct gv_config c;
	const char *type = NULL;
	char q[64];
	size_t i;

	memset(&c, 0, sizeof c);
	c.image_token = -1;
	gv_config_sampling_init(&c.sampling);
	if (!json_is_object(o))
		return gv_fail(e, GV_ERR_FORMAT, "not a JSON object");
	if (gv_obj_text(&top, "model_type", &type))
		return e->code;
	if (!type && gv_obj_get(&top, "vit_hidden_dim"))
		return gv_fail(e, GV_ERR_NOSUP,
		    "nanoVLM's own layout ('vit_hidden_dim') is not supported");
	if (!type)
		return gv_fail(e, GV_ERR_FORMAT, "'model_type' is missing");
	if (!strncmp(type, "siglip2", 7))
		return gv_fail(e, GV_ERR_NOSUP,
		    "model type '%s', for images of any proportions, is not "
		    "supported (SigLIP 2 of one size has the type siglip)",
		    gv_quote(q, sizeof q, type, strlen(type)));
	for (i = 0; i < n && strcmp(towers[i], type); i++)
		;
	if (i == n && !gv_config_is_text(type) && !gv_config_joins(type))
		return gv_fail(e, GV_ERR_NOSUP,
		    "model type '%s' is not supported (gv-model(5) lists "
		    "those that are)",
		    gv_quote(q, sizeof q, type, strlen(type)));
	snprintf(c.model_type, sizeof c.model_type, "%s", type);
	if (parse_type(&c, &top, type) || parse_init(&c.init, &top))
		return e->code;
	if (c.has_vision)
		gv_config_rule(&c);
	c.json = gv_json_copy(o);
	if (!c.json)
		return gv_fail(e, GV_ERR_NOMEM, "out of memory");
	*out = c;
	return 0;
}

/* DIR/name as JSON.  An optional file that is absent gives NULL and 0. */
static int
load(json_t **out, const char *dir, const char *name, bool optional,
    struct gv_error *e)
{
	char path[4096];

	*out = NULL;
	snprintf(path, sizeof path, "%s/%s", dir, name);
	if (optional && access(path, F_OK) && errno == ENOENT)
		return 0;
	return gv_json_load(out, path, MAX_JSON, e);
}

/* What says how pixels are prepared: a file of its own, or as transformers 5
 * writes it a part of the processor's. */
static int
open_preprocessor(struct gv_config *c, const char *dir, struct gv_error *e)
{
	struct gv_obj s = {NULL, "", e};
	const char *name = "preprocessor_config.json";
	json_t *all = NULL;

	if (load(&c->preprocessor, dir, name, true, e))
		return e->code;
	if (!c->preprocessor) {
		name = "processor_config.json";
		if (load(&all, dir, name, true, e))
			return e->code;
		c->preprocessor =
		    json_incref(json_object_get(all, "image_processor"));
		json_decref(all);
	}
	s.o = c->preprocessor;
	if (s.o && !json_is_object(s.o))
		gv_fail(e, GV_ERR_FORMAT, "not a JSON object");
	else if (s.o)
		(void)!gv_config_preprocessor(c, &s);
	return e->code ? gv_fail_in(e, "'%s/%s'", dir, name) : 0;
}

/* The files beside config.json. */
static int
open_rest(struct gv_config *c, const char *dir, struct gv_error *e)
{
	struct gv_obj s = {NULL, "", e};

	if (c->has_vision && open_preprocessor(c, dir, e))
		return e->code;
	if (c->has_text) {
		if (load(
			&c->generation, dir, "generation_config.json", true, e))
			return e->code;
		s.o = c->generation;
		if (s.o && (gv_config_eos(c, &s) ||
			       gv_config_sampling(&c->sampling, &s)))
			return gv_fail_in(
			    e, "'%s/generation_config.json'", dir);
	}
	return 0;
}

/* What a model in one GGUF file says of itself; it has no other files. */
static int
open_gguf(struct gv_config *c, const char *path, struct gv_error *e)
{
	struct gv_gguf *g;
	json_t *o = NULL;

	if (gv_gguf_open(&g, path, e))
		return e->code;
	if (!gv_gguf_config(g, &o, e) && gv_config_parse(c, o, e))
		gv_fail_in(e, "'%s'", path);
	json_decref(o);
	gv_gguf_close(&g);
	return e->code;
}

int
gv_config_open(struct gv_config *out, const char *dir, struct gv_error *e)
{
	struct gv_config c;
	json_t *o;
	int r;

	if (gv_gguf_named(dir))
		return open_gguf(out, dir, e);
	if (load(&o, dir, "config.json", false, e))
		return e->code;
	r = gv_config_parse(&c, o, e);
	json_decref(o);
	if (r)
		return gv_fail_in(e, "'%s/config.json'", dir);
	if (open_rest(&c, dir, e)) {
		gv_config_free(&c);
		return e->code;
	}
	*out = c;
	return 0;
}

void
gv_config_free(struct gv_config *c)
{
	json_decref(c->json);
	json_decref(c->preprocessor);
	json_decref(c->generation);
	memset(c, 0, sizeof *c);
}
