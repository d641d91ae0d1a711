/* Reports about models as text. */
#include "show.h"

#include "config_priv.h"
#include "banned.h"

static long long
num(const json_t *o, const char *key)
{
	return (long long)json_integer_value(json_object_get(o, key));
}

static const char *
text(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s ? s : "";
}

/* ---- facts --------------------------------------------------------------- */

static void
show_vision(FILE *f, const struct gv_vision_config *v)
{
	const char *act = gv_config_act_name(v->act);

	fprintf(f,
	    "vision: %lldx%lld pixels, %lld patches of %lld, %lld of %lld "
	    "layers x %lld, %lld heads\n",
	    (long long)v->image, (long long)v->image,
	    (long long)(v->grid * v->grid), (long long)v->patch,
	    (long long)v->layer, (long long)v->L, (long long)v->C,
	    (long long)v->H);
	fprintf(f, "        %s: LayerNorm (eps %g), %s MLP of %lld%s%s%s\n",
	    v->type, v->eps, act ? act : "?", (long long)v->F,
	    v->class_token ? ", class token" : "",
	    v->P > v->grid * v->grid ? " (a feature)" : "",
	    v->post_norm ? ", features normalised" : "");
	if (v->from)
		fprintf(f, "        positions of %lld pixels, interpolated\n",
		    (long long)v->from);
}

static void
show_between(FILE *f, const struct gv_config *c)
{
	static const char *const how[] = {"no resampler", "average pooling",
	    "pixel shuffle", "a Perceiver", "Idefics2's Perceiver"};
	static const char *const to[] = {"two layers", "one layer", "none"};

	fprintf(f, "rows: %lld an image, by %s; placeholder %d\n",
	    (long long)c->R, how[c->resampler], c->image_token);
	fprintf(f, "projector: %s", to[c->projector]);
	if (c->projector == GV_PROJECTOR_MLP)
		fprintf(f, " with %s between them, %lld wide",
		    gv_config_act_name(c->pj_act), (long long)c->pj_C);
	fputc('\n', f);
}

static void
show_rope(FILE *f, const struct gv_rope_config *r)
{
	fprintf(f, "RoPE %s, theta %g", gv_rope_name[r->type], r->theta);
	if (r->type != GV_ROPE_DEFAULT)
		fprintf(f, ", factor %g", r->factor);
}

static void
show_language(FILE *f, const struct gv_config *c)
{
	const struct gv_text_config *t = &c->text;
	int i;

	fprintf(f,
	    "language: vocabulary %lld, %lld layers x %lld, %lld heads, %lld "
	    "key/value heads of %lld\n",
	    (long long)t->V, (long long)t->L, (long long)t->C, (long long)t->H,
	    (long long)t->G, (long long)t->D);
	fprintf(f, "        %s: RMSNorm%s (eps %g)%s, %s MLP of %lld, %s head",
	    t->type, t->bare_norm ? " without weights" : "", t->eps,
	    t->qk_norm ? ", QK-norm" : "", t->gated ? "SiLU-gated" : "ReLU^2",
	    (long long)t->F, t->tied ? "tied" : "own");
	if (t->softcap > 0)
		fprintf(f, " capped at %g", t->softcap);
	fprintf(f, "%s\n        ",
	    t->o_bias     ? ", attention biases"
	    : t->qkv_bias ? ", q/k/v biases"
			  : "");
	show_rope(f, &t->rope);
	fprintf(f, ", %lld positions", (long long)t->max_T);
	for (i = 0; i < c->neos; i++)
		fprintf(f, "%s%d", i ? " " : "; ends at ", c->eos[i]);
	fputc('\n', f);
}

void
gv_show_facts(FILE *f, const struct gv_config *c)
{
	fprintf(f, "%s\n", c->model_type);
	if (c->has_vision)
		show_vision(f, &c->vision);
	if (c->has_vision && c->has_text)
		show_between(f, c);
	if (c->has_text)
		show_language(f, c);
}

/* ---- tensors ------------------------------------------------------------- */

static void
put_shape(FILE *f, const json_t *shape)
{
	size_t k;

	fputc('(', f);
	for (k = 0; k < json_array_size(shape); k++)
		fprintf(f, "%s%lld", k ? "," : "",
		    (long long)json_integer_value(json_array_get(shape, k)));
	fputc(')', f);
}

static void
put_name(FILE *f, const json_t *t)
{
	const char *name = text(t, "name");
	char q[200];

	fputs(gv_quote(q, sizeof q, name, strlen(name)), f);
}

/* Where the last word of a dotted name starts, "weight" and "bias" being half
 * of one. */
static const char *
last_word(const char *name)
{
	const char *dot = strrchr(name, '.'), *p;

	if (!dot)
		return name;
	if (strcmp(dot, ".weight") && strcmp(dot, ".bias"))
		return dot + 1;
	for (p = dot; p > name && p[-1] != '.'; p--)
		;
	return p;
}

/* The levels above the last word, of `name`, that `was` has as well: their
 * length. */
static size_t
common_levels(const char *was, const char *name)
{
	size_t most = (size_t)(last_word(was) - was), n = 0, i;

	if (most > (size_t)(last_word(name) - name))
		most = (size_t)(last_word(name) - name);
	for (i = 0; i < most && was[i] == name[i]; i++)
		if (name[i] == '.')
			n = i + 1;
	return n;
}

/* A name without what it has in common with the one before; a line for each
 * level that is new. */
static void
put_levels(FILE *f, const char *was, const char *name)
{
	const char *p = name + common_levels(was, name), *last, *dot;
	const char *at;
	int depth = 1;
	char q[200];

	last = last_word(name);
	for (at = name; at < p; at++)
		depth += *at == '.';
	for (; p < last; p = dot + 1) {
		dot = strchr(p, '.');
		fprintf(f, "%*s%s\n", 2 * depth++, "",
		    gv_quote(q, sizeof q, p, (size_t)(dot - p)));
	}
	fprintf(f, "%*s%s  ", 2 * depth, "",
	    gv_quote(q, sizeof q, last, strlen(last)));
}

void
gv_show_tree(FILE *f, const json_t *report)
{
	const json_t *tree = json_object_get(report, "tree");
	const char *was = "";
	size_t i;

	for (i = 0; i < json_array_size(tree); i++) {
		const json_t *t = json_array_get(tree, i);

		put_levels(f, was, text(t, "name"));
		was = text(t, "name");
		if (num(t, "tensors") > 1)
			fprintf(f, "%lld x ", num(t, "tensors"));
		fprintf(f, "%s ", text(t, "dtype"));
		put_shape(f, json_object_get(t, "shape"));
		fputc('\n', f);
	}
}

void
gv_show_tensors(FILE *f, const json_t *report)
{
	const json_t *list = json_object_get(report, "list");
	size_t i;

	for (i = 0; i < json_array_size(list); i++) {
		const json_t *t = json_array_get(list, i);

		put_name(f, t);
		fprintf(f, " %s ", text(t, "dtype"));
		put_shape(f, json_object_get(t, "shape"));
		fputs(json_is_true(json_object_get(t, "fresh")) ? " fresh\n"
								: "\n",
		    f);
	}
}

/* ---- sums ---------------------------------------------------------------- */

void
gv_show_parts(FILE *f, const json_t *o)
{
	const json_t *parts = json_object_get(o, "parts"), *p;
	bool some = false;
	size_t i;

	fprintf(f, "%-10s %8s %13s %14s  %s\n", "part", "tensors", "parameters",
	    "bytes", "dtype");
	for (i = 0; i < json_array_size(parts); i++) {
		p = json_array_get(parts, i);
		fprintf(f, "%-10s %8lld %13lld %14lld  %s%s\n", text(p, "part"),
		    num(p, "tensors"), num(p, "parameters"), num(p, "bytes"),
		    text(p, "dtype"),
		    json_is_true(json_object_get(p, "fresh")) ? ", fresh" : "");
	}
	fprintf(f, "%-10s %8lld %13lld %14lld\n", "all", num(o, "tensors"),
	    num(o, "parameters"), num(o, "bytes"));
	for (i = 0; i < json_array_size(parts); i++) {
		p = json_array_get(parts, i);
		if (!json_object_get(p, "digest"))
			continue;
		fprintf(f, "%s%-10s %s\n", some ? "" : "\n", text(p, "part"),
		    text(p, "digest"));
		some = true;
	}
}

static void
put_memory(FILE *f, const json_t *o, const char *what)
{
	static const char *const keys[] = {
	    "weights", "gradients", "optimizer", "cache", "activations"};
	const json_t *m = json_object_get(o, what);
	double all = 0;
	size_t i;

	if (!m)
		return;
	fprintf(f, "%s:", what);
	for (i = 0; i < sizeof keys / sizeof *keys; i++) {
		if (!json_object_get(m, keys[i]))
			continue;
		fprintf(
		    f, " %s %.1f,", keys[i], (double)num(m, keys[i]) / 1048576);
		all += (double)num(m, keys[i]);
	}
	fprintf(f, " all %.1f MiB\n", all / 1048576);
}

void
gv_show_memory(FILE *f, const json_t *report)
{
	const json_t *m = json_object_get(report, "memory");

	if (!m)
		return;
	fprintf(f, "memory on %s, %s weights, %s activations",
	    text(m, "device"), text(m, "weights_dtype"), text(m, "dtype"));
	if (num(m, "tokens"))
		fprintf(f, ", %lld tokens", num(m, "tokens"));
	if (num(m, "images"))
		fprintf(f, ", %lld image%s", num(m, "images"),
		    num(m, "images") == 1 ? "" : "s");
	fputc('\n', f);
	put_memory(f, m, "inference");
	put_memory(f, m, "training");
}

void
gv_show_join(FILE *f, const json_t *report)
{
	const json_t *from = json_object_get(report, "from");
	const json_t *left = json_object_get(report, "unused");
	const json_t *t = json_object_get(report, "image_token");
	static const char *const parts[] = {"vision", "language"};
	long long rows = num(report, "rows");
	char q[80];
	size_t i;

	for (i = 0; i < 2; i++) {
		fprintf(f, "%s is from %s", parts[i], text(from, parts[i]));
		if (num(left, parts[i]))
			fprintf(f, "; %lld other tensors there are left out",
			    num(left, parts[i]));
		fputc('\n', f);
	}
	fprintf(f, "an image row is %s, id %lld%s",
	    gv_quote(q, sizeof q, text(t, "text"), strlen(text(t, "text"))),
	    num(t, "id"),
	    json_is_true(json_object_get(t, "new")) ? ", a new token" : "");
	if (rows)
		fprintf(f, "; %lld row%s the mean of the others", rows,
		    rows == 1 ? " is" : "s are");
	fputc('\n', f);
}
