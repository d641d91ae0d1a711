/* What is in a model directory, once configuration and weights agree. */
#include "inspect.h"

#include "blocks.h"
#include "config.h"
#include "digest.h"
#include "model.h"
#include "names.h"
#include "safetensors.h"
#include "banned.h"

struct part_sum {
	size_t tensors, parameters, bytes;
	enum gv_dtype dtype; /* of all; GV_DTYPES if they differ */
};

/* The part that a tensor counts for; GV_PARTS for what the model leaves out,
 * such as SigLIP's text tower. */
static enum gv_part
part_of(const char *name)
{
	struct gv_name at;

	gv_name_read(&at, name);
	return at.idle ? GV_PARTS : at.part;
}

static void
sum_up(const struct gv_st *st, struct part_sum sum[GV_PARTS + 1])
{
	size_t i;

	for (i = 0; i < gv_st_count(st); i++) {
		const struct gv_tensor *t = gv_st_tensor(st, i);
		struct part_sum *s = &sum[part_of(gv_st_name(st, i))];

		s->dtype =
		    !s->tensors || s->dtype == t->dtype ? t->dtype : GV_DTYPES;
		s->tensors++;
		s->bytes += t->bytes;
		s->parameters += t->bytes / gv_block_bytes(t->dtype) *
				 gv_block_numbers(t->dtype);
	}
}

static json_t *
part_json(const char *name, const struct part_sum *s)
{
	return json_pack("{s:s, s:I, s:I, s:I, s:s}", "part", name, "tensors",
	    (json_int_t)s->tensors, "parameters", (json_int_t)s->parameters,
	    "bytes", (json_int_t)s->bytes, "dtype",
	    s->dtype == GV_DTYPES ? "mixed" : gv_dtype_name(s->dtype));
}

static json_t *
tensors_json(const struct gv_st *st)
{
	json_t *list = json_array();
	size_t i;
	int k, bad = 0;

	for (i = 0; i < gv_st_count(st); i++) {
		const struct gv_tensor *t = gv_st_tensor(st, i);
		json_t *shape = json_array();

		for (k = 0; k < t->rank; k++)
			bad |= json_array_append_new(
			    shape, json_integer(t->shape[k]));
		bad |= json_array_append_new(list,
		    json_pack("{s:s, s:s, s:o}", "name", gv_st_name(st, i),
			"dtype", gv_dtype_name(t->dtype), "shape", shape));
	}
	if (!bad)
		return list;
	json_decref(list);
	return NULL;
}

/* The list of parts that have tensors, and their sum. */
static json_t *
parts_json(const struct part_sum sum[GV_PARTS + 1], const struct gv_st *st,
    const char *dir, unsigned what, struct gv_error *e)
{
	json_t *list = json_array();
	char hex[GV_DIGEST];
	int i, bad = 0;

	for (i = 0; i <= GV_PARTS && !e->code; i++) {
		const char *name =
		    i < GV_PARTS ? gv_part_name((enum gv_part)i) : "unused";
		json_t *p;

		if (!sum[i].tensors)
			continue;
		p = part_json(name, &sum[i]);
		if (what & GV_INSPECT_DIGESTS && i < GV_PARTS &&
		    !gv_digest_weights(st, dir, (enum gv_part)i, hex, e))
			bad |=
			    json_object_set_new(p, "digest", json_string(hex));
		bad |= json_array_append_new(list, p);
	}
	if (bad)
		gv_fail(e, GV_ERR_NOMEM, "out of memory");
	if (!e->code)
		return list;
	json_decref(list);
	return NULL;
}

static json_t *
facts(const struct gv_model *m, const struct gv_st *st, const char *dir,
    unsigned what, struct gv_error *e)
{
	struct part_sum sum[GV_PARTS + 1] = {0}, all = {0};
	json_t *o, *parts;
	int i;

	sum_up(st, sum);
	for (i = 0; i <= GV_PARTS; i++) {
		all.tensors += sum[i].tensors;
		all.parameters += sum[i].parameters;
		all.bytes += sum[i].bytes;
	}
	parts = parts_json(sum, st, dir, what, e);
	if (!parts)
		return NULL;
	o = json_pack("{s:o, s:I, s:I, s:I, s:o}", "parts", parts, "tensors",
	    (json_int_t)all.tensors, "parameters", (json_int_t)all.parameters,
	    "bytes", (json_int_t)all.bytes, "config", gv_config_json(&m->cfg));
	if (o && what & GV_INSPECT_TENSORS &&
	    json_object_set_new(o, "list", tensors_json(st))) {
		json_decref(o);
		o = NULL;
	}
	if (!o)
		gv_fail(e, GV_ERR_NOMEM, "out of memory");
	return o;
}

int
gv_inspect(json_t **out, const char *dir, unsigned what, struct gv_error *e)
{
	struct gv_st *st = NULL;
	struct gv_model *m = NULL;
	struct gv_config c = {0};
	struct gvk *k = NULL;
	json_t *o = NULL;
	int r = gv_config_open(&c, dir, e);

	if (!r)
		r = gv_st_open_dir(&st, dir, e);
	if (!r)
		r = gv_backend_open(&k, "cpu", 1, e);
	if (!r)
		r = gv_model_new(&m, k, &c, 0, e);
	if (!r && gv_model_load(m, st, 0, e))
		r = gv_fail_in(e, "'%s'", dir);
	if (!r && !(o = facts(m, st, dir, what, e)))
		r = e->code;
	if (!r)
		*out = o;
	gv_model_close(&m);
	gvk_close(&k);
	gv_st_close(&st);
	gv_config_free(&c);
	return r;
}
