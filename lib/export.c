/* Parts of models as models of their own. */
#include "export.h"

#include "config_part.h"
#include "dir.h"
#include "files.h"
#include "json.h"
#include "mem.h"
#include "banned.h"

/* ---- the report ---------------------------------------------------------- */

struct sum {
	size_t tensors, parameters, bytes;
	enum gv_dtype dtype; /* of all; GV_DTYPES if they differ */
	bool fresh;
};

static void
count(struct sum *s, const struct gv_item *it)
{
	size_t n = 0;

	(void)gv_shape_count(it->shape, it->rank, &n);
	s->dtype = !s->tensors || s->dtype == it->dtype ? it->dtype : GV_DTYPES;
	s->tensors++;
	s->parameters += n;
	s->bytes += n * gv_dtype_size(it->dtype);
	s->fresh = it->fresh;
}

static json_t *
parts_json(const struct sum sum[GV_PARTS + 1])
{
	json_t *list = json_array();
	int i, bad = !list;

	for (i = 0; i <= GV_PARTS; i++)
		if (sum[i].tensors)
			bad |= json_array_append_new(list,
			    json_pack("{s:s, s:I, s:I, s:I, s:s, s:b}", "part",
				i < GV_PARTS ? gv_part_name((enum gv_part)i)
					     : "unused",
				"tensors", (json_int_t)sum[i].tensors,
				"parameters", (json_int_t)sum[i].parameters,
				"bytes", (json_int_t)sum[i].bytes, "dtype",
				sum[i].dtype == GV_DTYPES
				    ? "mixed"
				    : gv_dtype_name(sum[i].dtype),
				"fresh", sum[i].fresh));
	if (!bad)
		return list;
	json_decref(list);
	return NULL;
}

static json_t *
tensors_json(const struct gv_items *items)
{
	json_t *list = json_array();
	int bad = !list, k;
	size_t i;

	for (i = 0; i < items->n; i++) {
		const struct gv_item *it = &items->v[i];
		json_t *shape = json_array();

		for (k = 0; k < it->rank; k++)
			bad |= json_array_append_new(
			    shape, json_integer(it->shape[k]));
		bad |= json_array_append_new(
		    list, json_pack("{s:s, s:s, s:o, s:b}", "name", it->name,
			      "dtype", gv_dtype_name(it->dtype), "shape", shape,
			      "fresh", it->fresh));
	}
	if (!bad)
		return list;
	json_decref(list);
	return NULL;
}

json_t *
gv_items_report(const struct gv_items *list, bool tensors)
{
	struct sum sum[GV_PARTS + 1] = {0}, all = {0};
	json_t *o;
	size_t i;

	for (i = 0; i < list->n; i++) {
		count(&sum[list->v[i].part], &list->v[i]);
		count(&all, &list->v[i]);
	}
	o = json_pack("{s:o, s:I, s:I, s:I}", "parts", parts_json(sum),
	    "tensors", (json_int_t)all.tensors, "parameters",
	    (json_int_t)all.parameters, "bytes", (json_int_t)all.bytes);
	if (o && tensors &&
	    json_object_set_new(o, "list", tensors_json(list))) {
		json_decref(o);
		o = NULL;
	}
	return o;
}

/* ---- export -------------------------------------------------------------- */

struct job {
	const struct gv_export_law *law;
	struct gvk *k;
	struct gv_origin *from;
	struct gv_model *m; /* the new model's table */
	struct gv_items list;
};

static int
check_part(const struct gv_config *c, const struct gv_export_law *law,
    const char *dir, struct gv_error *e)
{
	if (law->part == GV_RESAMPLER || law->part == GV_PROJECTOR)
		return gv_fail(e, GV_ERR_NOSUP,
		    "a %s is no model of its own: vision and language are",
		    gv_part_name(law->part));
	if ((law->part == GV_LANGUAGE && !c->has_text) ||
	    (law->part == GV_VISION && !c->has_vision))
		return gv_fail(e, GV_ERR_MATCH, "'%s' has no %s part", dir,
		    gv_part_name(law->part));
	return 0;
}

/* Tensors that change no result but belong to the class: all but those that it
 * makes for itself. */
static bool
is_wanted(const struct job *j, const struct gv_name *at)
{
	if (!at->idle || strstr(at->name, "inv_freq") ||
	    strstr(at->name, "position_ids"))
		return false;
	return j->law->part == GV_PARTS ||
	       (j->law->part == GV_VISION &&
		   !strncmp(at->name, "vision_model.head.", 18));
}

/* Adds them, and says whether there is a pooling head. */
static int
add_idle(struct job *j, bool *head, struct gv_error *e)
{
	const struct gv_st *st = gv_origin_tensors(j->from);
	size_t i;

	*head = false;
	for (i = 0; i < gv_st_count(st); i++) {
		const char *name = gv_st_name(st, i);
		struct gv_source src = {gv_st_tensor(st, i), 0, false};
		struct gv_name at;

		gv_name_read(&at, name);
		if (!is_wanted(j, &at))
			continue;
		if (at.part == GV_VISION)
			*head = true;
		/* a tower's own spelling is that of the others */
		if (gv_items_add(&j->list,
			at.part == GV_VISION && !j->m->cfg.has_text ? at.name
								    : name,
			&src, j->law->dtype, e))
			return e->code;
	}
	return 0;
}

/* The new configuration, complete but for dtype and head. */
static int
make_config(struct gv_config *c, const struct job *j, struct gv_error *e)
{
	const struct gv_config *was = gv_origin_config(j->from);
	json_t *o = NULL;

	if (j->law->part < GV_PARTS) {
		if (gv_config_of_part(&o, was, j->law->part, e))
			return e->code;
	} else {
		o = gv_json_copy(was->json);
		if (!o)
			return gv_fail(e, GV_ERR_NOMEM, "out of memory");
		gv_config_put_class(o);
	}
	if (!gv_config_parse(c, o, e) && gv_config_carry(c, was, e))
		gv_config_free(c);
	json_decref(o);
	return e->code;
}

static int
gather(struct job *j, struct gv_error *e)
{
	const struct gv_origin *from[GV_PARTS];
	struct gv_config c, *made;
	bool head;
	int i;

	for (i = 0; i < GV_PARTS; i++)
		from[i] = j->from;
	if (make_config(&c, j, e))
		return e->code;
	if (gv_model_new(&j->m, j->k, &c, 0, e)) {
		gv_config_free(&c);
		return e->code;
	}
	made = &j->m->cfg;
	if (gv_items_model(&j->list, j->m, from, j->law->dtype, e) ||
	    add_idle(j, &head, e) ||
	    gv_config_put_dtype(made, gv_items_dtype(&j->list), e))
		return e->code;
	/* Hugging Face's class has one unless this is said */
	if (!strcmp(made->model_type, "siglip_vision_model") && !head &&
	    json_object_set_new(made->json, "vision_use_head", json_false()))
		return gv_fail(e, GV_ERR_NOMEM, "out of memory");
	return 0;
}

static int
write_all(const struct job *j, const char *dir, struct gv_error *e)
{
	if (gv_shards_write(dir, &j->list, j->law->shard_bytes, e) ||
	    gv_config_write(&j->m->cfg, dir, e))
		return e->code;
	return j->m->cfg.has_text
		   ? gv_copy_tokenizer(gv_origin_dir(j->from), dir, e)
		   : 0;
}

int
gv_export(const char *from, const char *to, const struct gv_export_law *law,
    json_t **report, struct gv_error *e)
{
	struct job j = {.law = law};
	struct gv_dir *d;
	json_t *o = NULL;

	if (!gv_backend_open(&j.k, "cpu", 1, e) &&
	    !gv_origin_open(&j.from, from, j.k, e) &&
	    !check_part(gv_origin_config(j.from), law, from, e) &&
	    !gather(&j, e)) {
		o = gv_items_report(&j.list, true);
		if (!o)
			gv_fail(e, GV_ERR_NOMEM, "out of memory");
		else if (!gv_dir_begin(&d, to, e)) {
			if (write_all(&j, gv_dir_tmp(d), e))
				gv_dir_abort(&d);
			else
				(void)!gv_dir_commit(&d, e);
		}
	}
	if (!e->code && report)
		*report = o;
	else
		json_decref(o);
	gv_items_free(&j.list);
	gv_model_close(&j.m);
	gv_origin_close(&j.from);
	gvk_close(&j.k);
	return e->code;
}
