/* How positions turn queries and keys, from either spelling: rope_theta with
 * rope_scaling (transformers up to 4), or rope_parameters.
 */
#include "config_priv.h"

#include "banned.h"

#include <math.h>

const char *const gv_rope_name[] = {[GV_ROPE_DEFAULT] = "default",
    [GV_ROPE_LINEAR] = "linear",
    [GV_ROPE_DYNAMIC] = "dynamic",
    [GV_ROPE_LLAMA3] = "llama3",
    [GV_ROPE_YARN] = "yarn"};

/* The object that says how, or NULL: rope_scaling goes first, as there. */
static int
find(const struct gv_obj *s, json_t **o, const char **key)
{
	static const char *const nest[] = {"rope_scaling", "rope_parameters"};
	size_t i;

	*o = NULL;
	for (i = 0; i < 2 && !*o; i++) {
		*key = nest[i];
		*o = gv_obj_get(s, nest[i]);
		if (*o && !json_is_object(*o))
			return gv_obj_bad(s, nest[i], "an object");
		if (*o && !json_object_size(*o))
			*o = NULL;
	}
	return 0;
}

static int
parse_type(struct gv_rope_config *r, const struct gv_obj *in)
{
	const char *type = "default";
	const char *key = gv_obj_get(in, "rope_type") ? "rope_type" : "type";
	size_t i;

	if (gv_obj_text(in, key, &type))
		return in->e->code;
	for (i = 0; i <= GV_ROPE_YARN; i++)
		if (!strcmp(gv_rope_name[i], type)) {
			r->type = (enum gv_rope_type)i;
			return 0;
		}
	return gv_obj_nosup(in, key, type);
}

/* The positions that the unscaled model was made for: beside the sizes, in the
 * object, or those it has. */
static int
parse_original(
    struct gv_text_config *t, const struct gv_obj *s, const struct gv_obj *in)
{
	static const char key[] = "original_max_position_embeddings";

	t->rope.original = t->max_T;
	return gv_obj_int(gv_obj_get(s, key) ? s : in, key, 1, GV_MAX_POSITIONS,
	    &t->rope.original);
}

static int
parse_llama3(struct gv_rope_config *r, const struct gv_obj *in)
{
	if (!gv_obj_get(in, "low_freq_factor"))
		return gv_obj_missing(in, "low_freq_factor");
	if (!gv_obj_get(in, "high_freq_factor"))
		return gv_obj_missing(in, "high_freq_factor");
	if (gv_obj_f64(in, "low_freq_factor", 1e-3, 1e6, &r->low) ||
	    gv_obj_f64(in, "high_freq_factor", 1e-3, 1e6, &r->high))
		return in->e->code;
	if (r->low >= r->high)
		return gv_fail(in->e, GV_ERR_MATCH,
		    "'%slow_freq_factor' %g is not below 'high_freq_factor' %g",
		    in->at, r->low, r->high);
	return 0;
}

static double
mscale(double factor, double m)
{
	return factor <= 1 ? 1 : 0.1 * m * log(factor) + 1;
}

static int
parse_yarn(struct gv_rope_config *r, const struct gv_obj *in)
{
	double m = 0, all = 0;

	r->low = 1;
	r->high = 32;
	r->truncate = true;
	if (gv_obj_f64(in, "beta_slow", 1e-3, 1e6, &r->low) ||
	    gv_obj_f64(in, "beta_fast", 1e-3, 1e6, &r->high) ||
	    gv_obj_bool(in, "truncate", &r->truncate) ||
	    gv_obj_f64(in, "mscale", 0, 1e3, &m) ||
	    gv_obj_f64(in, "mscale_all_dim", 0, 1e3, &all))
		return in->e->code;
	if (r->theta <= 1)
		return gv_fail(in->e, GV_ERR_MATCH,
		    "'rope_theta' of %g does not go with '%srope_type' yarn",
		    r->theta, in->at);
	if (r->low > r->high)
		return gv_fail(in->e, GV_ERR_MATCH,
		    "'%sbeta_slow' %g is above 'beta_fast' %g", in->at, r->low,
		    r->high);
	r->attention = m > 0 && all > 0
			   ? mscale(r->factor, m) / mscale(r->factor, all)
			   : mscale(r->factor, 1);
	return gv_obj_f64(in, "attention_factor", 1e-3, 1e3, &r->attention);
}

/* What belongs to a type other than the default. */
static int
parse_scaling(
    struct gv_text_config *t, const struct gv_obj *s, const struct gv_obj *in)
{
	struct gv_rope_config *r = &t->rope;
	bool ramp = r->type == GV_ROPE_LLAMA3 || r->type == GV_ROPE_YARN;

	if (ramp && parse_original(t, s, in))
		return s->e->code;
	if (r->type == GV_ROPE_YARN)
		r->factor = (double)t->max_T / (double)r->original;
	else if (!gv_obj_get(in, "factor"))
		return gv_obj_missing(in, "factor");
	/* smaller ones turn the last position by more than gvk_rope takes */
	if (gv_obj_f64(in, "factor", 0.01, 1e6, &r->factor))
		return s->e->code;
	if (r->type == GV_ROPE_LLAMA3)
		return parse_llama3(r, in);
	return r->type == GV_ROPE_YARN ? parse_yarn(r, in) : 0;
}

/* Whether only a part of a head turns. */
static int
refuse_partial(const struct gv_obj *s)
{
	double part = 1;

	if (gv_obj_f64(s, "partial_rotary_factor", 0, 1, &part))
		return s->e->code;
	return part == 1 ? 0
			 : gv_fail(s->e, GV_ERR_NOSUP,
			       "'%spartial_rotary_factor' of %g is not "
			       "supported",
			       s->at, part);
}

/* Layers of different rotations. */
static int
refuse_nested(const struct gv_obj *in)
{
	const char *key;
	json_t *v;

	json_object_foreach((json_t *)in->o, key, v)
	{
		if (json_is_object(v))
			return gv_obj_nosup(in, key, "an object");
	}
	return 0;
}

int
gv_config_rope(struct gv_text_config *t, const struct gv_obj *s)
{
	struct gv_rope_config *r = &t->rope;
	struct gv_obj in = *s;
	const char *key;
	json_t *o;
	char at[64];

	r->type = GV_ROPE_DEFAULT;
	r->theta = 10000;
	r->factor = r->attention = 1;
	if (gv_obj_f64(s, "rope_theta", 1, 1e12, &r->theta) ||
	    refuse_partial(s) || find(s, &o, &key))
		return s->e->code;
	if (!o)
		return 0;
	snprintf(at, sizeof at, "%s%s.", s->at, key);
	in.o = o;
	in.at = at;
	if (refuse_nested(&in) || parse_type(r, &in) ||
	    gv_obj_f64(&in, "rope_theta", 1, 1e12, &r->theta) ||
	    refuse_partial(&in))
		return s->e->code;
	return r->type == GV_ROPE_DEFAULT ? 0 : parse_scaling(t, s, &in);
}
