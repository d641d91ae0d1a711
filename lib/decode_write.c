/* The stream of decoded pictures. */
#include "decode_write.h"

#include "banned.h"

#include <stdio.h>
#include <string.h>

static void
add_colour(json_t *args, const char *option, const uint8_t c[3])
{
	char text[16];

	snprintf(text, sizeof text, "%d,%d,%d", c[0], c[1], c[2]);
	json_array_append_new(args, json_string(option));
	json_array_append_new(args, json_string(text));
}

static void
add_tiles(json_t *args, const struct gv_tile_rule *t)
{
	char text[GV_MAX_GRIDS * 6] = "";
	size_t n = 0;
	int32_t i;

	if (t->way == GV_TILE_SPLIT)
		snprintf(text, sizeof text, "%d", t->longest);
	for (i = 0; i < t->grids; i++, n = strlen(text))
		snprintf(text + n, sizeof text - n, "%s%dx%d", n ? "," : "",
		    t->grid[i].rows, t->grid[i].cols);
	if (!t->way)
		return;
	json_array_append_new(args,
	    json_string(t->way == GV_TILE_SPLIT ? "--longest" : "--grids"));
	json_array_append_new(args, json_string(text));
}

/* What would do the same by options, but for an edge longer than the sides,
 * which only models have. */
static json_t *
arguments(const struct gv_decode_law *law)
{
	const struct gv_image_rule *rule = &law->rule;
	char wanted[24];
	json_t *args;

	snprintf(wanted, sizeof wanted, "%dx%d", rule->height, rule->width);
	args = json_pack("[s, s, s, s, s, s]", "--size", wanted, "--fit",
	    law->tiles.way ? "tile" : gv_fit_name(rule->fit), "--filter",
	    gv_filter_name(rule->filter));
	add_tiles(args, &law->tiles);
	if (rule->fit == GV_FIT_PAD)
		add_colour(args, "--fill", rule->fill);
	if (!law->limits.over) {
		json_array_append_new(args, json_string("--background"));
		json_array_append_new(args, json_string("none"));
	} else if (memcmp(law->limits.under, "\377\377\377", 3) != 0) {
		add_colour(args, "--background", law->limits.under);
	}
	if (rule->fast)
		json_array_append_new(args, json_string("--fast"));
	if (law->limits.lenient)
		json_array_append_new(args, json_string("--lenient"));
	return args;
}

static const char *
rule_text(char *dst, size_t cap, const struct gv_decode_law *law)
{
	if (law->tiles.way == GV_TILE_NONE)
		return gv_image_rule_text(dst, cap, &law->rule);
	return gv_tile_rule_text(dst, cap, &law->rule, &law->tiles);
}

int
gv_decode_begin(struct gv_writer **w, struct gv_out *o,
    const struct gv_decode_law *law, const char *prog, struct gv_error *e)
{
	const struct gv_image_rule *rule = &law->rule;
	char spec[48], text[GV_RULE_TEXT];
	struct gv_schema s;
	size_t i;

	if (gv_schema_init(&s, "image", e))
		return e->code;
	snprintf(
	    spec, sizeof spec, "U8 (N,%d,%d,3)", rule->height, rule->width);
	(void)!gv_schema_field(&s, "image", spec, "", e);
	(void)!gv_schema_field(&s, "image_size",
	    law->tiles.way ? "I32 (P,2)" : "I32 (N,2)", "px", e);
	if (law->tiles.way)
		(void)!gv_schema_field(&s, "tiles", "I32 (P,2)", "", e);
	if (law->id)
		(void)!gv_schema_field(&s, "image_id", "plain", "", e);
	for (i = 0; i < law->nkeep; i++)
		(void)!gv_schema_field(&s, law->keep[i], "plain", "", e);
	if (!e->code && !gv_schema_prog(&s, prog, arguments(law),
			    json_pack("{s: s}", "preprocess",
				rule_text(text, sizeof text, law)),
			    e))
		(void)!gv_writer_open(w, o, &s, e);
	gv_schema_free(&s);
	return e->code;
}

int
gv_decode_put(struct gv_writer *w, const struct gv_decode_law *law,
    const struct gv_decoded *d, struct gv_error *e)
{
	const int64_t image[4] = {d->n, law->rule.height, law->rule.width, 3};
	const int64_t each[2] = {d->pictures, 2};
	json_t *none = json_null();
	size_t i;

	if (gv_writer_begin(w, d->key, e) ||
	    gv_writer_tensor(w, "image", 4, image, d->px, e) ||
	    gv_writer_tensor(w, "image_size", 2, each, d->before, e) ||
	    (law->tiles.way &&
		gv_writer_tensor(w, "tiles", 2, each, d->tiles, e)) ||
	    (law->id && gv_writer_json(w, "image_id", d->id, e)))
		return e->code;
	for (i = 0; i < law->nkeep; i++)
		if (gv_writer_json(
			w, law->keep[i], d->kept[i] ? d->kept[i] : none, e))
			return e->code;
	return gv_writer_end_rec(w, e);
}

void
gv_decode_where(struct gv_error *e, const struct gv_source_rec *r,
    const struct gv_decoded *d, uint64_t n)
{
	char key[128], where[160] = "", line[32] = "";

	if (r->line)
		snprintf(line, sizeof line, "line %llu of ",
		    (unsigned long long)r->line);
	if (r->list)
		snprintf(where, sizeof where, ", %s'%.100s'",
		    r->line ? line : "of ",
		    strcmp(r->list, "-") ? r->list : "standard input");
	gv_quote(key, sizeof key, d->key, strlen(d->key));
	gv_fail_in(e, "record %llu '%s'%s", (unsigned long long)n, key, where);
}
