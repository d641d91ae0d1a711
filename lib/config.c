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
parse_ghostvis(struct gv_config *c, const struct gv_obj *top)
{
	struct gv_obj text, vision;

	c->has_text = c->has_vision = true;
	if (gv_obj_need(top, "text_config", "text_config.", &text) ||
	    gv_obj_need(top, "vision_config", "vision_config.", &vision) ||
	    gv_config_text(&c->text, &text) ||
	    gv_config_vision(&c->vision, &vision) ||
	    gv_config_layer(&c->vision, top) || gv_config_between(c, top) ||
	    gv_config_eos(c, &text))
		return top->e->code;
	return gv_config_eos(c, top);
}

static int
parse_type(struct gv_config *c, const struct gv_obj *top, const char *type)
{
	struct gv_obj in = *top;

	if (!strcmp(type, "ghostvis"))
		return parse_ghostvis(c, top);
	if (gv_config_is_text(type)) {
		c->has_text = true;
		return gv_config_text(&c->text, top) ? top->e->code
						     : gv_config_eos(c, top);
	}
	c->has_vision = true;
	if (!strcmp(type, "siglip") &&
	    gv_obj_need(top, "vision_config", "vision_config.", &in))
		return top->e->code;
	if (gv_config_vision(&c->vision, &in))
		return top->e->code;
	return gv_config_layer(&c->vision, top);
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
	static const char *const known[] = {
	    "ghostvis", "siglip", "siglip_vision_model"};
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
	if (!type)
		return gv_fail(e, GV_ERR_FORMAT, "'model_type' is missing");
	for (i = 0; i < 3 && strcmp(known[i], type); i++)
		;
	if (i == 3 && !gv_config_is_text(type))
		return gv_fail(e, GV_ERR_NOSUP,
		    "model type '%s' is not supported (ghostvis, qwen2, "
		    "qwen3, llama, mistral, nanochat, siglip and "
		    "siglip_vision_model are)",
		    gv_quote(q, sizeof q, type, strlen(type)));
	snprintf(c.model_type, sizeof c.model_type, "%s", type);
	if (parse_type(&c, &top, type) || parse_init(&c.init, &top))
		return e->code;
	if (c.has_vision)
		c.rule = (struct gv_image_rule){(int32_t)c.vision.image,
		    (int32_t)c.vision.image, GV_FIT_SQUASH, GV_BICUBIC};
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

/* The two files beside config.json. */
static int
open_rest(struct gv_config *c, const char *dir, struct gv_error *e)
{
	struct gv_obj s = {NULL, "", e};

	if (c->has_vision) {
		if (load(&c->preprocessor, dir, "preprocessor_config.json",
			true, e))
			return e->code;
		s.o = c->preprocessor;
		if (s.o && gv_config_preprocessor(c, &s))
			return gv_fail_in(
			    e, "'%s/preprocessor_config.json'", dir);
	}
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
