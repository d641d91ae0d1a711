/* Digests of model parts in the provenance of streams. */
#include "prov.h"

#include "digest.h"
#include "mem.h"
#include "banned.h"

#define NAMES 7

static const struct name {
	const char *name;
	int part; /* enum gv_part, or -1 */
	const char *whose; /* for "made with another ..." */
} names[NAMES] = {
    {"vision", GV_VISION, "vision tower"},
    {"resampler", GV_RESAMPLER, "resampler"},
    {"projector", GV_PROJECTOR, "projector"},
    {"language", GV_LANGUAGE, "language model"},
    {"tokenizer", -1, "tokenizer"},
    {"features", -1, "reading of the vision tower"},
    {"preprocess", -1, "rule for images"},
};

static const struct name *
find(const char *name)
{
	size_t i;

	for (i = 0; i < NAMES - 1 && strcmp(names[i].name, name); i++)
		;
	return &names[i];
}

/* What the features are beyond the tower's weights: which layer's output, with
 * what behind it, of pixels scaled how. */
static void
reading(char out[GV_DIGEST], const struct gv_vision_config *v)
{
	bool class_row = v->class_token && v->P == v->T;
	char text[160];

	snprintf(text, sizeof text,
	    "layer %lld/%lld%s%s %.3g %.3g %.3g %.3g %.3g %.3g",
	    (long long)v->layer, (long long)v->L, v->post_norm ? " norm" : "",
	    class_row ? " class" : "", v->mean[0], v->mean[1], v->mean[2],
	    v->std[0], v->std[1], v->std[2]);
	snprintf(out, GV_DIGEST, "%.*s", GV_DIGEST - 1, text);
}

/* The model's digest, "" if it has nothing of that name. */
static int
value(char out[GV_DIGEST], const struct gv_facts *f, const struct name *n,
    struct gv_error *e)
{
	const struct gv_config *c = f->config;

	if (n->part >= 0)
		return gv_digest_part(f->dir, (enum gv_part)n->part, out, e);
	out[0] = '\0';
	if (!strcmp(n->name, "tokenizer") && f->tokenizer)
		snprintf(
		    out, GV_DIGEST, "%s", gv_tokenizer_digest(f->tokenizer));
	if (!strcmp(n->name, "features") && c->has_vision)
		reading(out, &c->vision);
	if (!strcmp(n->name, "preprocess") && c->has_vision)
		gv_image_rule_text(out, GV_DIGEST, &c->rule);
	return 0;
}

int
gv_prov_add(json_t *digests, const struct gv_facts *f, const char *name,
    struct gv_error *e)
{
	char out[GV_DIGEST];

	if (value(out, f, find(name), e))
		return e->code;
	if (*out && json_object_set_new(digests, name, json_string(out)))
		return gv_fail(e, GV_ERR_NOMEM, "no memory for digests");
	return 0;
}

/* A digest as a message shows it: hex is cut to what a reader compares. */
static const char *
shorten(char out[GV_DIGEST], const char *digest)
{
	size_t n = strlen(digest);
	bool hex = strspn(digest, "0123456789abcdef") == n;

	return gv_quote(out, GV_DIGEST, digest, hex && n > 12 ? 12 : n);
}

/* Pixels that the model takes besides those of its rule: the tiles that its own
 * processor makes, and those of its rule that somebody wanted fast. */
static bool
takes(const struct gv_config *c, const char *name, const char *have)
{
	struct gv_image_rule fast = c->rule;
	char a[GV_DIGEST] = "", b[GV_DIGEST];

	if (strcmp(name, "preprocess") != 0)
		return false;
	fast.fast = true;
	gv_image_rule_text(b, sizeof b, &fast);
	if (c->tiles.way != GV_TILE_NONE)
		gv_tile_rule_text(a, sizeof a, &c->rule, &c->tiles);
	return !strcmp(have, a) || !strcmp(have, b);
}

int
gv_prov_check(const struct gv_schema *s, const struct gv_facts *f,
    const char *name, struct gv_error *e)
{
	const char *have = gv_schema_digest(s, name);
	char want[GV_DIGEST], a[GV_DIGEST], b[GV_DIGEST];
	const struct name *n = find(name);

	if (!have)
		return 0;
	if (value(want, f, n, e))
		return e->code;
	if (!*want || !strcmp(want, have) || takes(f->config, name, have))
		return 0;
	return gv_fail(e, GV_ERR_MATCH,
	    "made with another %s (%s) than the model's (%s)", n->whose,
	    shorten(a, have), shorten(b, want));
}

int
gv_prov_check_input(const struct gv_schema *s, const struct gv_facts *f,
    enum gv_input input, struct gv_error *e)
{
	if (gv_prov_check(s, f, "tokenizer", e))
		return e->code;
	if (input != GV_IN_NONE && gv_prov_check(s, f, "preprocess", e))
		return e->code;
	if ((input == GV_IN_FEATURES || input == GV_IN_EMBEDS) &&
	    (gv_prov_check(s, f, "vision", e) ||
		gv_prov_check(s, f, "features", e)))
		return e->code;
	if (input == GV_IN_EMBEDS && (gv_prov_check(s, f, "resampler", e) ||
					 gv_prov_check(s, f, "projector", e)))
		return e->code;
	return 0;
}
