/* What is in a model directory, once configuration and weights agree. */
#include "inspect.h"

#include "banned.h"
#include "blocks.h"
#include "config.h"
#include "digest.h"
#include "mem.h"
#include "model_priv.h"
#include "names.h"
#include "plan.h"
#include "safetensors.h"

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

/* ---- the tree ------------------------------------------------------------ */

struct leaf {
	enum gv_part part;
	char name[GV_NAME_MAX]; /* numbers are "*" */
	const struct gv_tensor *t;
};

/* A name without its numbers; one that is too long is cut. */
static void
pattern(char out[GV_NAME_MAX], const char *name)
{
	size_t n = 0;

	while (*name && n < GV_NAME_MAX - 2) {
		size_t digits = strspn(name, "0123456789");

		if (digits && (!n || out[n - 1] == '.') &&
		    (!name[digits] || name[digits] == '.')) {
			out[n++] = '*';
			name += digits;
			continue;
		}
		out[n++] = *name++;
	}
	out[n] = '\0';
}

static int
by_pattern(const void *a, const void *b)
{
	const struct leaf *x = a, *y = b;
	int r = (x->part > y->part) - (x->part < y->part);

	if (!r)
		r = strcmp(x->name, y->name);
	if (!r)
		r = (x->t->dtype > y->t->dtype) - (x->t->dtype < y->t->dtype);
	if (!r)
		r = (x->t->rank > y->t->rank) - (x->t->rank < y->t->rank);
	return r ? r
		 : memcmp(x->t->shape, y->t->shape,
		       (size_t)x->t->rank * sizeof *x->t->shape);
}

static json_t *
shape_json(const struct gv_tensor *t)
{
	json_t *shape = json_array();
	int k, bad = !shape;

	for (k = 0; k < t->rank; k++)
		bad |= json_array_append_new(shape, json_integer(t->shape[k]));
	if (!bad)
		return shape;
	json_decref(shape);
	return NULL;
}

static json_t *
tree_json(const struct gv_st *st)
{
	size_t n = gv_st_count(st), i, end;
	struct leaf *leaf = gv_alloc(n, sizeof *leaf);
	json_t *list = json_array();
	int bad = !leaf || !list;

	for (i = 0; i < n && !bad; i++) {
		leaf[i].part = part_of(gv_st_name(st, i));
		leaf[i].t = gv_st_tensor(st, i);
		pattern(leaf[i].name, gv_st_name(st, i));
	}
	if (n && !bad)
		qsort(leaf, n, sizeof *leaf, by_pattern);
	for (i = 0; i < n && !bad; i = end) {
		for (end = i + 1; end < n && !by_pattern(&leaf[i], &leaf[end]);
		     end++)
			;
		bad |= json_array_append_new(list,
		    json_pack("{s:s, s:s, s:I, s:s, s:o}", "part",
			leaf[i].part < GV_PARTS ? gv_part_name(leaf[i].part)
						: "unused",
			"name", leaf[i].name, "tensors", (json_int_t)(end - i),
			"dtype", gv_dtype_name(leaf[i].t->dtype), "shape",
			shape_json(leaf[i].t)));
	}
	gv_free(leaf);
	if (!bad)
		return list;
	json_decref(list);
	return NULL;
}

static json_t *
tensors_json(const struct gv_st *st)
{
	json_t *list = json_array();
	size_t i;
	int bad = !list;

	for (i = 0; i < gv_st_count(st); i++) {
		const struct gv_tensor *t = gv_st_tensor(st, i);

		bad |= json_array_append_new(
		    list, json_pack("{s:s, s:s, s:o}", "name",
			      gv_st_name(st, i), "dtype",
			      gv_dtype_name(t->dtype), "shape", shape_json(t)));
	}
	if (!bad)
		return list;
	json_decref(list);
	return NULL;
}

/* ---- memory -------------------------------------------------------------- */

/* Bytes a parameter when the model only runs forward, see
 * gv_model_open_forward(). */
static size_t
forward_size(const struct gv_model *m, const struct part_sum sum[GV_PARTS])
{
	bool bf16 = true;
	int i;

	if (!gvk_is_host(m->k))
		return gvk_dtype_size(gvk_dtype(m->k));
	for (i = 0; i < GV_PARTS; i++)
		bf16 = bf16 && (!sum[i].tensors || sum[i].dtype == GV_BF16);
	return bf16 ? 2 : 4;
}

static int
need_inference(const struct gv_model *m, int64_t tokens, int64_t images,
    size_t *cache, size_t *rest, struct gv_error *e)
{
	const struct gv_text_config *t = &m->cfg.text;
	struct gv_limits l = {.images = images,
	    .tokens = tokens,
	    .seqs = tokens ? 1 : 0,
	    .outs = tokens ? 1 : 0,
	    .max_q = tokens,
	    .max_k = tokens,
	    .logits = tokens > 0,
	    .kv_rows = tokens};
	size_t all;

	if (gv_model_need(m, &l, &all, e))
		return e->code;
	*cache = (size_t)(2 * t->L * tokens * t->G * t->D) *
		 gvk_dtype_size(gvk_dtype(m->k));
	*rest = all - *cache;
	return 0;
}

static json_t *
training_json(struct gv_model *m, int64_t tokens, struct gv_error *e)
{
	struct gv_train_law law = {.micro_tokens = tokens};
	size_t weights = 0;
	struct gv_plan p;
	int i;

	law.micro_images = m->cfg.has_vision ? tokens / m->cfg.R : 0;
	if (m->cfg.has_vision && !law.micro_images)
		law.micro_images = 1;
	for (i = 0; i < GV_PARTS; i++)
		weights += m->part[i].n * gvk_dtype_size(gvk_dtype(m->k));
	if (gv_plan(m, ~0u, &law, &p, e))
		return NULL;
	return json_pack("{s:I, s:I, s:I, s:I, s:I}", "weights",
	    (json_int_t)weights, "gradients", (json_int_t)p.gradients,
	    "optimizer", (json_int_t)p.optimizer, "activations",
	    (json_int_t)p.activations, "images", (json_int_t)law.micro_images);
}

static json_t *
memory_json(struct gv_model *m, const struct part_sum sum[GV_PARTS],
    int64_t tokens, struct gv_error *e)
{
	static const char *const names[] = {"F32", "BF16"};
	size_t weights = 0, cache = 0, rest = 0, size = forward_size(m, sum);
	int64_t images = m->cfg.has_vision, most = m->cfg.text.max_T;
	json_t *o, *t = NULL;
	int i;

	if (!tokens)
		tokens = 4096;
	tokens = tokens < most ? tokens : most;
	for (i = 0; i < GV_PARTS; i++)
		weights += m->part[i].n * size;
	/* counted as if all parts had buffers */
	m->priv->alloc = ~0u;
	if (need_inference(m, tokens, images, &cache, &rest, e))
		return NULL;
	if (m->cfg.has_text && !(t = training_json(m, tokens, e)))
		return NULL;
	o = json_pack("{s:s, s:s, s:s, s:I, s:I, s:{s:I, s:I, s:I}}", "device",
	    gvk_name(m->k), "dtype", names[gvk_dtype(m->k)], "weights_dtype",
	    size == 2 ? "BF16" : "F32", "tokens", (json_int_t)tokens, "images",
	    (json_int_t)images, "inference", "weights", (json_int_t)weights,
	    "cache", (json_int_t)cache, "activations", (json_int_t)rest);
	if (t && json_object_set_new(o, "training", t)) {
		json_decref(o);
		return NULL;
	}
	return o;
}

/* ---- all of it ----------------------------------------------------------- */

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

/* What stands beside the parts. */
static int
put_rest(json_t *o, struct gv_model *m, const struct gv_st *st,
    const struct part_sum *sum, const struct gv_inspect_law *law,
    struct gv_error *e)
{
	json_t *memory = memory_json(m, sum, law->tokens, e);
	int bad = json_object_set_new(o, "config", gv_config_json(&m->cfg)) |
		  json_object_set_new(o, "tree", tree_json(st));

	if (law->what & GV_INSPECT_TENSORS)
		bad |= json_object_set_new(o, "list", tensors_json(st));
	bad |= json_object_set_new(o, "memory", memory);
	return bad && !e->code ? gv_fail(e, GV_ERR_NOMEM, "out of memory")
			       : e->code;
}

static json_t *
facts(struct gv_model *m, const struct gv_st *st, const char *dir,
    const struct gv_inspect_law *law, struct gv_error *e)
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
	parts = parts_json(sum, st, dir, law->what, e);
	if (!parts)
		return NULL;
	o = json_pack("{s:o, s:I, s:I, s:I}", "parts", parts, "tensors",
	    (json_int_t)all.tensors, "parameters", (json_int_t)all.parameters,
	    "bytes", (json_int_t)all.bytes);
	if (!o)
		gv_fail(e, GV_ERR_NOMEM, "out of memory");
	if (o && put_rest(o, m, st, sum, law, e)) {
		json_decref(o);
		o = NULL;
	}
	return o;
}

int
gv_inspect(json_t **out, const char *dir, const struct gv_inspect_law *law,
    struct gv_error *e)
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
		r = gv_backend_open(&k, law->device, 0, e);
	if (!r)
		r = gv_model_new(&m, k, &c, 0, e);
	if (!r && gv_model_load(m, st, 0, e))
		r = gv_fail_in(e, "'%s'", dir);
	if (!r && !(o = facts(m, st, dir, law, e)))
		r = e->code;
	if (!r)
		*out = o;
	gv_model_close(&m);
	gvk_close(&k);
	gv_st_close(&st);
	gv_config_free(&c);
	return r;
}
