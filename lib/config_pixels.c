/* How a tower's images are prepared: preprocessor_config.json. */
#include "config_priv.h"

#include "json.h"
#include "banned.h"

#include <math.h>

/* Processor classes by the start of their names, which end in ImageProcessor,
 * FeatureExtractor or those with Fast or Pil: what holds where their files say
 * nothing. */
static const struct processor {
	const char *name;
	bool crop; /* resize the shorter side and cut out the centre */
	bool any_size; /* images of many sizes; we squash to one */
	enum gv_tile_way tiles; /* or divide them, where that is asked for */
	enum gv_filter filter;
} processors[] = {
    {"Siglip", false, false, GV_TILE_NONE, GV_BICUBIC},
    {"CLIP", true, false, GV_TILE_NONE, GV_BICUBIC},
    {"Llava", true, false, GV_TILE_NONE, GV_BICUBIC},
    {"LlavaNext", false, true, GV_TILE_GRID, GV_BICUBIC},
    {"Bit", true, false, GV_TILE_NONE, GV_BICUBIC},
    {"ViT", false, false, GV_TILE_NONE, GV_BILINEAR},
    {"Idefics2", false, true, GV_TILE_NONE, GV_BILINEAR},
    {"Idefics3", false, true, GV_TILE_SPLIT, GV_LANCZOS},
    {"SmolVLM", false, true, GV_TILE_SPLIT, GV_LANCZOS},
};
#define NPROCESSORS (sizeof processors / sizeof *processors)

/* A processor of exactly this name; no name stands for the tower's own. */
static const struct processor *
processor_of(const struct gv_vision_config *v, const char *name)
{
	static const char *const tails[] = {"ImageProcessor",
	    "ImageProcessorFast", "ImageProcessorPil", "FeatureExtractor"};
	static const struct {
		const char *tower;
		int processor;
	} own[] = {{"clip_vision_model", 1}, {"idefics2", 6}, {"idefics3", 7},
	    {"smolvlm", 8}};
	size_t i, j;

	for (i = 0; !name && i < sizeof own / sizeof *own; i++)
		if (!strncmp(v->type, own[i].tower, strlen(own[i].tower)))
			return &processors[own[i].processor];
	for (i = 0; name && i < NPROCESSORS; i++) {
		size_t n = strlen(processors[i].name);

		for (j = 0; j < sizeof tails / sizeof *tails; j++)
			if (!strncmp(name, processors[i].name, n) &&
			    !strcmp(name + n, tails[j]))
				return &processors[i];
	}
	return name ? NULL : processors;
}

/* Pillow's numbers of the filters. */
static const enum gv_filter by_pillow[] = {
    GV_NEAREST, GV_LANCZOS, GV_BILINEAR, GV_BICUBIC, GV_BOX, GV_HAMMING};

void
gv_config_rule(struct gv_config *c)
{
	const struct processor *p = processor_of(&c->vision, NULL);
	int32_t side = (int32_t)c->vision.image;

	memset(&c->rule, 0, sizeof c->rule);
	memset(&c->tiles, 0, sizeof c->tiles);
	c->rule.height = c->rule.width = side;
	c->rule.fit = p->crop ? GV_FIT_CROP : GV_FIT_SQUASH;
	c->rule.filter = p->filter;
	c->rule.edge = p->crop ? side : 0;
}

/* ---- sizes --------------------------------------------------------------- */

/* A file that still says the size that the tower's positions were made for
 * means the one that they are interpolated to. */
static void
as_interpolated(const struct gv_config *c, int64_t *n)
{
	if (c->vision.from && *n == c->vision.from)
		*n = c->vision.image;
}

/* {"height", "width"}, or a number for both; *found if it says a size. */
static int
read_sides(const struct gv_obj *s, const char *key, const char *at, int64_t *h,
    int64_t *w, bool *found)
{
	const json_t *v = gv_obj_get(s, key);
	struct gv_obj in = {v, at, s->e};

	*found = v && (json_is_integer(v) || gv_obj_get(&in, "height") ||
			  gv_obj_get(&in, "width"));
	if (!v)
		return 0;
	if (json_is_integer(v)) {
		if (gv_obj_int(s, key, 1, GV_MAX_SIDE, h))
			return s->e->code;
		*w = *h;
		return 0;
	}
	if (!json_is_object(v))
		return gv_obj_bad(s, key, "a size");
	return gv_obj_int(&in, "height", 1, GV_MAX_SIDE, h) ||
		       gv_obj_int(&in, "width", 1, GV_MAX_SIDE, w)
		   ? s->e->code
		   : 0;
}

static int
two_sides(const struct gv_config *c, const struct gv_obj *s, const char *key,
    const char *at, int64_t *h, int64_t *w, bool *found)
{
	int r = read_sides(s, key, at, h, w, found);

	as_interpolated(c, h);
	as_interpolated(c, w);
	return r;
}

static int
wrong_size(const struct gv_config *c, const struct gv_obj *s, const char *key,
    int64_t h, int64_t w)
{
	return gv_fail(s->e, GV_ERR_MATCH,
	    "'%s' is %lldx%lld, the encoder takes %lldx%lld", key, (long long)h,
	    (long long)w, (long long)c->vision.image,
	    (long long)c->vision.image);
}

/* The shorter side is resized to `edge`, then the centre cut out. */
static int
parse_crop(struct gv_config *c, const struct gv_obj *s, int64_t edge, bool crop)
{
	int64_t h = c->vision.image, w = h;
	bool found;

	if (two_sides(c, s, "crop_size", "crop_size.", &h, &w, &found))
		return s->e->code;
	if (!crop)
		h = w = edge; /* of a square: nothing is cut off */
	if (h != c->vision.image || w != c->vision.image)
		return wrong_size(c, s, crop ? "crop_size" : "size", h, w);
	if (edge < h)
		return gv_fail(s->e, GV_ERR_NOSUP,
		    "'size.shortest_edge' of %lld, less than 'crop_size' %lld, "
		    "is not supported",
		    (long long)edge, (long long)h);
	c->rule.edge = (int32_t)edge;
	return 0;
}

/* Images of any size, which we squash to one: that of the tower. */
static int
parse_any_size(
    struct gv_config *c, const struct gv_obj *s, const struct processor *p)
{
	bool grids = p->tiles == GV_TILE_GRID;
	const char *key = grids ? "crop_size" : "max_image_size";
	struct gv_obj in = {gv_obj_get(s, key), "", s->e};
	int64_t side = c->vision.image;

	if (grids && json_is_integer(in.o))
		side = json_integer_value(in.o);
	else if (in.o && !json_is_object(in.o))
		return gv_obj_bad(s, key, "a size");
	else if (gv_obj_int(&in, grids ? "height" : "longest_edge", 1,
		     GV_MAX_SIDE, &side))
		return gv_fail_in(s->e, "'%s'", key);
	as_interpolated(c, &side);
	if (side != c->vision.image)
		return wrong_size(c, s, key, side, side);
	return grids      ? gv_config_grids(c, s)
	       : p->tiles ? gv_config_split(c, s)
			  : 0;
}

static int
parse_size(struct gv_config *c, const struct gv_obj *s,
    const struct processor *p, bool crop, bool pad)
{
	const json_t *v = gv_obj_get(s, "size");
	struct gv_obj in = {v, "size.", s->e};
	int64_t h = c->vision.image, w = h, edge = h;
	bool found, shortest = json_is_integer(v) && p->crop;

	if (p->any_size)
		return parse_any_size(c, s, p);
	if (two_sides(c, s, "size", "size.", &h, &w, &found))
		return s->e->code;
	if (shortest) {
		edge = h;
	} else if (gv_obj_get(&in, "shortest_edge")) {
		if (gv_obj_int(&in, "shortest_edge", 1, GV_MAX_SIDE, &edge))
			return s->e->code;
		as_interpolated(c, &edge);
		if (gv_obj_get(&in, "longest_edge"))
			return gv_obj_nosup(s, "size", "longest_edge");
		shortest = true;
	} else if (gv_obj_get(&in, "longest_edge")) {
		return gv_obj_nosup(s, "size", "longest_edge");
	} else if (!found) {
		shortest = crop || pad;
	}
	if (shortest && !crop && !pad)
		return gv_fail(s->e, GV_ERR_NOSUP,
		    "'size.shortest_edge' without 'do_center_crop' is not "
		    "supported: images must have one size");
	if (shortest)
		return parse_crop(c, s, edge, crop);
	/* exactly so large: there is nothing to cut off */
	c->rule.fit = pad ? GV_FIT_PAD : GV_FIT_SQUASH;
	c->rule.edge = pad ? (int32_t)c->vision.image : 0;
	if (h != c->vision.image || w != c->vision.image)
		return wrong_size(c, s, "size", h, w);
	h = w = c->vision.image;
	if (crop && two_sides(c, s, "crop_size", "crop_size.", &h, &w, &found))
		return s->e->code;
	return h == c->vision.image && w == h
		   ? 0
		   : wrong_size(c, s, "crop_size", h, w);
}

/* ---- the other steps ----------------------------------------------------- */

static int
parse_three(const struct gv_obj *s, const char *key, double lo, double v[3])
{
	const json_t *j = gv_obj_get(s, key);
	size_t i;

	if (!j)
		return 0;
	if (json_array_size(j) != 3)
		return gv_obj_bad(s, key, "a list of three numbers");
	for (i = 0; i < 3; i++) {
		const json_t *x = json_array_get(j, i);
		double d = json_number_value(x);

		if (!json_is_number(x) || !(d >= lo && d <= 1000))
			return gv_obj_bad(
			    s, key, "a list of three sane numbers");
		v[i] = d;
	}
	return 0;
}

/* Steps that must be done for our pixels to be the reference's. */
static int
check_steps(const struct gv_obj *s)
{
	static const char *const must[] = {
	    "do_resize", "do_rescale", "do_convert_rgb"};
	double factor = 1.0 / 255;
	size_t i;

	for (i = 0; i < sizeof must / sizeof *must; i++) {
		bool on = true;

		if (gv_obj_bool(s, must[i], &on))
			return s->e->code;
		if (!on)
			return gv_obj_nosup(s, must[i], "false");
	}
	if (gv_obj_f64(s, "rescale_factor", 0, 1e6, &factor))
		return s->e->code;
	if (!(fabs(factor * 255 - 1) < 1e-6))
		return gv_fail(s->e, GV_ERR_NOSUP,
		    "'rescale_factor' of %g is not supported, 1/255 is",
		    factor);
	return 0;
}

/* What the square is filled with: LLaVA's rounding of the mean. */
static void
fill_with_mean(struct gv_image_rule *r, const double mean[3])
{
	int i;

	for (i = 0; i < 3; i++) {
		double x = mean[i] * 255;

		r->fill[i] = (uint8_t)(x < 0 ? 0 : x > 255 ? 255 : x);
	}
}

static int
parse_processor(const struct processor **p, const struct gv_config *c,
    const struct gv_obj *s)
{
	const char *name = NULL, *key = "image_processor_type";

	if (!gv_obj_get(s, key))
		key = "feature_extractor_type";
	if (gv_obj_text(s, key, &name))
		return s->e->code;
	*p = processor_of(&c->vision, name);
	return *p ? 0 : gv_obj_nosup(s, key, name);
}

int
gv_config_preprocessor(struct gv_config *c, const struct gv_obj *s)
{
	struct gv_vision_config *v = &c->vision;
	bool normalize = true, crop, pad = false;
	const struct processor *p;
	int64_t pil = -1;
	int i;

	if (parse_processor(&p, c, s) || check_steps(s))
		return s->e->code;
	crop = p->crop;
	if (gv_obj_bool(s, "do_center_crop", &crop) ||
	    gv_obj_bool(s, "do_pad", &pad))
		return s->e->code;
	pad = pad && !p->any_size;
	c->rule.fit = pad ? GV_FIT_PAD : crop ? GV_FIT_CROP : GV_FIT_SQUASH;
	c->rule.filter = p->filter;
	c->rule.edge = 0;
	memset(&c->tiles, 0, sizeof c->tiles);
	if (parse_size(c, s, p, crop, pad) ||
	    gv_obj_int(s, "resample", 0, 5, &pil) ||
	    parse_three(s, "image_mean", -1000, v->mean) ||
	    parse_three(s, "image_std", 1e-6, v->std) ||
	    gv_obj_bool(s, "do_normalize", &normalize))
		return s->e->code;
	if (pil >= 0)
		c->rule.filter = by_pillow[pil];
	if (c->rule.fit == GV_FIT_PAD)
		fill_with_mean(&c->rule, v->mean);
	for (i = 0; i < 3 && !normalize; i++) {
		v->mean[i] = 0;
		v->std[i] = 1;
	}
	return 0;
}

/* ---- the way back -------------------------------------------------------- */

/* By our numbers of the filters. */
static int
pillow_of(enum gv_filter f)
{
	int i;

	for (i = 0; by_pillow[i] != f; i++)
		;
	return i;
}

/* Sets a member and counts failures. */
static int
put(json_t *o, const char *key, json_t *v)
{
	return json_object_set_new(o, key, v);
}

static int
put_bool(json_t *o, const char *key, bool on)
{
	/* what is off need not be said, unless the class has it on */
	if (!on && !json_object_get(o, key))
		return 0;
	return put(o, key, json_boolean(on));
}

static json_t *
new_preprocessor(const struct gv_image_rule *r)
{
	static const char *const type[] = {"SiglipImageProcessor",
	    "CLIPImageProcessor", "LlavaImageProcessor"};

	return json_pack("{s:s, s:b, s:b, s:b, s:b, s:f}",
	    "image_processor_type", type[r->fit], "do_convert_rgb", 1,
	    "do_resize", 1, "do_center_crop", r->fit != GV_FIT_SQUASH,
	    "do_rescale", 1, "rescale_factor", 1.0 / 255);
}

static json_t *
sides(int height, int width)
{
	return json_pack("{s:i, s:i}", "height", height, "width", width);
}

static json_t *
three(const double v[3])
{
	return json_pack("[f,f,f]", v[0], v[1], v[2]);
}

json_t *
gv_config_put_rule(const struct gv_config *c)
{
	const struct gv_image_rule *r = &c->rule;
	bool squash = r->fit == GV_FIT_SQUASH;
	struct gv_error e = {0};
	const struct processor *p;
	json_t *o = c->preprocessor ? gv_json_copy(c->preprocessor)
				    : new_preprocessor(r);
	struct gv_obj s = {o, "", &e};
	int bad = 0;

	if (!o || parse_processor(&p, c, &s)) {
		json_decref(o);
		return NULL;
	}
	if (!p->any_size) {
		bad |= put(o, "size",
		    squash ? sides(r->height, r->width)
			   : json_pack("{s:i}", "shortest_edge", r->edge));
		if (!squash)
			bad |= put(o, "crop_size", sides(r->height, r->width));
		if (p->crop || !squash)
			bad |= put(o, "do_center_crop", json_boolean(!squash));
		else
			bad |= put_bool(o, "do_center_crop", false);
		bad |= put_bool(o, "do_pad", r->fit == GV_FIT_PAD);
	}
	bad |= put(o, "resample", json_integer(pillow_of(r->filter)));
	bad |= put(o, "image_mean", three(c->vision.mean));
	bad |= put(o, "image_std", three(c->vision.std));
	/* mean 0 and std 1 say in numbers what false would */
	bad |= put(o, "do_normalize", json_true());
	if (!bad)
		return o;
	json_decref(o);
	return NULL;
}
