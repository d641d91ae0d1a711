/* The ids that end a text, and how the model's makers draw from it. */
#include "config_priv.h"

#include "banned.h"

static int
push_eos(struct gv_config *c, const json_t *v, const struct gv_obj *s)
{
	int64_t id = json_integer_value(v);

	if (!json_is_integer(v))
		return gv_obj_bad(s, "eos_token_id", "an id or a list of ids");
	if (id < 0 || id >= c->text.V)
		return gv_fail(s->e, GV_ERR_MATCH,
		    "'%seos_token_id' %lld is not in the vocabulary of %lld",
		    s->at, (long long)id, (long long)c->text.V);
	if (c->neos == (int)(sizeof c->eos / sizeof *c->eos))
		return gv_fail(s->e, GV_ERR_LIMIT,
		    "'%seos_token_id' has more than %d ids", s->at, c->neos);
	c->eos[c->neos++] = (int32_t)id;
	return 0;
}

/* Takes the object's end ids if it has any. */
int
gv_config_eos(struct gv_config *c, const struct gv_obj *s)
{
	const json_t *v = gv_obj_get(s, "eos_token_id");
	size_t i;

	if (!v)
		return 0;
	c->neos = 0;
	if (!json_is_array(v))
		return push_eos(c, v, s);
	for (i = 0; i < json_array_size(v); i++)
		if (push_eos(c, json_array_get(v, i), s))
			return s->e->code;
	return 0;
}

void
gv_config_sampling_init(struct gv_sampling_config *g)
{
	memset(g, 0, sizeof *g);
	g->temperature = g->top_p = g->penalty = 1;
	g->top_k = 50;
}

int
gv_config_sampling(struct gv_sampling_config *g, const struct gv_obj *s)
{
	static const char *const keys[] = {"do_sample", "temperature", "top_k",
	    "top_p", "min_p", "repetition_penalty"};
	size_t i;

	for (i = 0; i < sizeof keys / sizeof *keys; i++)
		g->given = g->given || gv_obj_get(s, keys[i]);
	if (gv_obj_bool(s, "do_sample", &g->sample) ||
	    gv_obj_f64(s, "temperature", 0, 100, &g->temperature) ||
	    gv_obj_int(s, "top_k", 0, GV_MAX_VOCAB, &g->top_k) ||
	    gv_obj_f64(s, "top_p", 1e-6, 1, &g->top_p) ||
	    gv_obj_f64(s, "min_p", 0, 1, &g->min_p) ||
	    gv_obj_f64(s, "repetition_penalty", 1e-3, 1e3, &g->penalty))
		return s->e->code;
	return 0;
}
