/* What stands between the tower and the decoder. */
#include "config_priv.h"

#include "banned.h"

static int
parse_perceiver(struct gv_config *c, const struct gv_obj *s)
{
	c->rs_L = 1;
	c->rs_H = c->vision.H;
	if (gv_obj_need_int(s, "rows", GV_MAX_ROWS, &c->R) ||
	    gv_obj_int(s, "blocks", 1, GV_MAX_LAYERS, &c->rs_L) ||
	    gv_obj_int(s, "heads", 1, GV_MAX_HEADS, &c->rs_H))
		return s->e->code;
	if (c->vision.C % c->rs_H)
		return gv_fail(s->e, GV_ERR_MATCH,
		    "'resampler.heads' %lld don't divide the vision width "
		    "%lld",
		    (long long)c->rs_H, (long long)c->vision.C);
	return 0;
}

static int
parse_avgpool(struct gv_config *c, const struct gv_obj *s)
{
	int64_t side = 1;

	if (gv_obj_need_int(s, "rows", GV_MAX_ROWS, &c->R))
		return s->e->code;
	while (side * side < c->R)
		side++;
	if (side * side != c->R || c->R > c->vision.P)
		return gv_fail(s->e, GV_ERR_MATCH,
		    "'resampler.rows' is %lld, not a square of at most %lld "
		    "patches",
		    (long long)c->R, (long long)c->vision.P);
	return 0;
}

static int
parse_resampler(struct gv_config *c, const struct gv_obj *top)
{
	struct gv_obj s;
	const char *type = "";

	if (gv_obj_need(top, "resampler", "resampler.", &s) ||
	    gv_obj_text(&s, "type", &type))
		return top->e->code;
	if (!strcmp(type, "perceiver")) {
		c->resampler = GV_RESAMPLER_PERCEIVER;
		return parse_perceiver(c, &s);
	}
	if (!strcmp(type, "avgpool")) {
		c->resampler = GV_RESAMPLER_AVGPOOL;
		return parse_avgpool(c, &s);
	}
	/* pixelshuffle takes its place here */
	if (strcmp(type, "none"))
		return gv_obj_nosup(&s, "type", type);
	c->resampler = GV_RESAMPLER_NONE;
	c->R = c->vision.P;
	if (gv_obj_int(&s, "rows", 1, GV_MAX_GRID * GV_MAX_GRID, &c->R))
		return top->e->code;
	if (c->R != c->vision.P)
		return gv_fail(top->e, GV_ERR_MATCH,
		    "'resampler.rows' is %lld, without a resampler it is the "
		    "%lld patches",
		    (long long)c->R, (long long)c->vision.P);
	return 0;
}

int
gv_config_between(struct gv_config *c, const struct gv_obj *top)
{
	struct gv_obj s;
	const char *act = "gelu";
	int64_t id = -1;

	if (parse_resampler(c, top) ||
	    gv_obj_need(top, "projector", "projector.", &s))
		return top->e->code;
	c->pj_C = c->text.C;
	if (gv_obj_int(&s, "hidden_size", 1, GV_MAX_WIDTH, &c->pj_C) ||
	    gv_obj_text(&s, "act", &act))
		return top->e->code;
	if (strcmp(act, "gelu"))
		return gv_obj_nosup(&s, "act", act);
	if (!gv_obj_get(top, "image_token_id"))
		return gv_fail(
		    top->e, GV_ERR_FORMAT, "'image_token_id' is missing");
	if (gv_obj_int(top, "image_token_id", 0, c->text.V - 1, &id))
		return top->e->code;
	c->image_token = (int32_t)id;
	return 0;
}
