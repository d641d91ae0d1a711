/* Two models become one. */
#include "join.h"

#include "blocks.h"
#include "config_edit.h"
#include "config_part.h"
#include "dir.h"
#include "export.h"
#include "files.h"
#include "json.h"
#include "mem.h"
#include "token.h"
#include "banned.h"

struct job {
	const struct gv_join_law *law;
	struct gvk *k;
	struct gv_origin *text, *vision;
	struct gv_tokenizer *t;
	char image[64]; /* the placeholder's text */
	int32_t id;
	bool new_token;
	int64_t mean_rows; /* of the embedding that are means */
	struct gv_model *m; /* its table; between the two, weights */
	struct gv_items list;
	float *mean[2]; /* (C) of embedding and head */
};

/* ---- configuration ------------------------------------------------------- */

/* A new token must not be spelled like an ordinary one. */
static int
check_new(const struct gv_tokenizer *t, const char *text, struct gv_error *e)
{
	size_t n = strlen(text), k;
	const char *s;
	int32_t i;

	for (i = 0; i < gv_tokenizer_size(t); i++) {
		s = gv_token_bytes(t, i, &k);
		if (s && k == n && !memcmp(s, text, n))
			return gv_fail(e, GV_ERR_MATCH,
			    "the image token '%s' is an ordinary token of the "
			    "vocabulary, %d",
			    text, (int)i);
	}
	return 0;
}

/* The token of image rows: which, and whether it must be made. */
static int
choose_token(struct job *j, const char *text, struct gv_error *e)
{
	const char *name = j->law->image_token;
	size_t n = 0;

	j->id =
	    name ? gv_tokenizer_special(j->t, name) : gv_tokenizer_image(j->t);
	if (!name && j->id < 0)
		name = gv_tokenizer_special(j->t, "<|im_start|>") >= 0
			   ? "<|image_pad|>"
			   : "<|image|>";
	if (!name)
		name = gv_token_bytes(j->t, j->id, &n);
	n = n ? n : strlen(name);
	if (n >= sizeof j->image)
		return gv_fail(e, GV_ERR_LIMIT,
		    "an image token of %zu bytes, the limit is %zu", n,
		    sizeof j->image - 1);
	memcpy(j->image, name, n);
	j->new_token = j->id < 0;
	if (!j->new_token)
		return 0;
	j->id = gv_tokenizer_size(j->t);
	return gv_check_extendable(text, e) ? e->code
					    : check_new(j->t, j->image, e);
}

/* Sizes that suit the grid, to be changed by --set. */
static json_t *
new_resampler(const char *type, const struct gv_vision_config *v)
{
	int64_t P = v->grid * v->grid, f = 2;

	if (!strcmp(type, "avgpool"))
		return json_pack("{s:s, s:I}", "type", type, "rows",
		    (json_int_t)(P < 64 ? P : 64));
	if (!strcmp(type, "pixelshuffle")) {
		while (f < v->grid && v->grid % f)
			f++;
		return json_pack("{s:s, s:I}", "type", type, "factor",
		    (json_int_t)(v->grid % f ? 1 : f));
	}
	if (!strcmp(type, "none"))
		return json_pack("{s:s}", "type", type);
	return json_pack("{s:s, s:i}", "type", type, "rows", 64);
}

/* Where the tower leaves open which layer's features it gives. */
static void
choose_features(json_t *o, const struct gv_config *v)
{
	static const char *const keys[] = {"vision_feature_layer",
	    "vision_post_norm", "vision_feature_select_strategy"};
	json_t *in = json_object_get(o, "vision_config");
	bool said = v->has_text || json_object_get(v->json, keys[0]);
	size_t i;

	for (i = 0; i < sizeof keys / sizeof *keys; i++) {
		json_t *x = json_object_get(in, keys[i]);

		if (x)
			json_object_set(o, keys[i], x);
		json_object_del(in, keys[i]);
	}
	if (v->vision.class_token && !said && v->vision.L > 1)
		json_object_set_new(o, keys[0], json_integer(-2));
}

/* A vocabulary of at least so many ids. */
static void
widen(json_t *text, int32_t id)
{
	json_t *v = json_object_get(text, "vocab_size");

	if (json_integer_value(v) <= id)
		json_object_set_new(text, "vocab_size", json_integer(id + 1));
}

static json_t *
put_together(const struct job *j, json_t *text, json_t *vision)
{
	const struct gv_config *v = gv_origin_config(j->vision);
	const struct gv_config *t = gv_origin_config(j->text);
	const char *type = j->law->resampler;
	json_t *o = json_pack("{s:s, s:O, s:O, s:o, s:{s:I, s:s}, s:i}",
	    "model_type", "ghostvis", "text_config", text, "vision_config",
	    vision, "resampler",
	    new_resampler(type ? type : "perceiver", &v->vision), "projector",
	    "hidden_size", (json_int_t)t->text.C, "act", "gelu",
	    "image_token_id", (int)j->id);

	if (o)
		choose_features(o, v);
	return o;
}

static int
make_config(struct gv_config *c, const struct job *j, struct gv_error *e)
{
	const struct gv_config *t = gv_origin_config(j->text);
	const struct gv_config *v = gv_origin_config(j->vision);
	json_t *text = NULL, *vision = NULL, *o = NULL;

	if (!gv_config_of_part(&text, t, GV_LANGUAGE, e) &&
	    !gv_config_of_part(&vision, v, GV_VISION, e)) {
		json_object_del(text, "architectures");
		json_object_del(vision, "architectures");
		widen(text, j->id);
		o = put_together(j, text, vision);
		if (!o)
			gv_fail(e, GV_ERR_NOMEM, "out of memory");
		else if (!gv_config_set(o, j->law->set, j->law->nset, e) &&
			 !gv_config_parse(c, o, e) &&
			 (gv_config_carry(c, t, e) || gv_config_carry(c, v, e)))
			gv_config_free(c);
	}
	json_decref(text);
	json_decref(vision);
	json_decref(o);
	return e->code;
}

/* ---- rows of new tokens -------------------------------------------------- */

/* The mean of rows 0 .. n-1. */
static int
mean_of(float **out, const struct gv_tensor *t, int64_t n, struct gv_error *e)
{
	size_t C = (size_t)t->shape[1], c;
	size_t row = C / gv_block_numbers(t->dtype) * gv_block_bytes(t->dtype);
	double *sum = gv_alloc(C, sizeof *sum);
	float *v = gv_alloc(C, sizeof *v);
	int64_t i;

	if (!sum || !v)
		gv_fail(e, GV_ERR_NOMEM, "out of memory");
	for (i = 0; i < n && !e->code; i++) {
		if (gv_blocks_to_f32(v, (const char *)t->data + (size_t)i * row,
			t->dtype, C, e))
			break;
		for (c = 0; c < C; c++)
			sum[c] += (double)v[c];
	}
	for (c = 0; c < C && !e->code; c++)
		v[c] = (float)(sum[c] / (double)n);
	gv_free(sum);
	if (e->code)
		gv_free(v);
	else
		*out = v;
	return e->code;
}

/* Means where the vocabulary has grown, or its padding is put to use. */
static int
fill_rows(struct job *j, struct gv_error *e)
{
	int64_t V = j->m->cfg.text.V, was = 0, old = gv_tokenizer_size(j->t);
	size_t i, k = 0;

	for (i = 0; i < j->list.n; i++) {
		struct gv_item *it = &j->list.v[i];
		struct gv_name at;

		gv_name_read(&at, it->name);
		if (strcmp(at.name, "lm_head.weight") &&
		    strcmp(at.name, "model.embed_tokens.weight"))
			continue;
		was = it->t.shape[0];
		if (was == V && !j->new_token)
			continue;
		if (mean_of(&j->mean[k], &it->t, old < was ? old : was, e))
			return e->code;
		it->row = j->mean[k++];
		it->fill = j->new_token ? j->id : -1;
	}
	j->mean_rows = V - was + (j->new_token && j->id < was);
	return 0;
}

/* ---- joining ------------------------------------------------------------- */

static int
open_sources(
    struct job *j, const char *text, const char *vision, struct gv_error *e)
{
	if (gv_backend_open(&j->k, "cpu", 1, e) ||
	    gv_origin_open(&j->text, text, j->k, e) ||
	    gv_origin_open(&j->vision, vision, j->k, e))
		return e->code;
	if (!gv_origin_config(j->text)->has_text)
		return gv_fail(e, GV_ERR_MATCH,
		    "'%s' is no text model and has none", text);
	if (!gv_origin_config(j->vision)->has_vision)
		return gv_fail(e, GV_ERR_MATCH,
		    "'%s' is no vision tower and has none", vision);
	if (gv_tokenizer_open(&j->t, text, e) || choose_token(j, text, e))
		return e->code;
	if (gv_tokenizer_size(j->t) > gv_origin_config(j->text)->text.V)
		return gv_fail(e, GV_ERR_MATCH,
		    "'%s': the vocabulary has %d ids, the model %lld", text,
		    (int)gv_tokenizer_size(j->t),
		    (long long)gv_origin_config(j->text)->text.V);
	return 0;
}

static int
gather(struct job *j, struct gv_error *e)
{
	const struct gv_origin *from[GV_PARTS] = {
	    [GV_VISION] = j->vision, [GV_LANGUAGE] = j->text};
	const unsigned fresh = 1u << GV_RESAMPLER | 1u << GV_PROJECTOR;
	struct gv_config c;

	if (make_config(&c, j, e))
		return e->code;
	if (gv_model_new(&j->m, j->k, &c, fresh, e)) {
		gv_config_free(&c);
		return e->code;
	}
	if (gv_model_init(j->m, j->law->seed, e) ||
	    gv_items_model(&j->list, j->m, from, j->law->dtype, e) ||
	    fill_rows(j, e))
		return e->code;
	return gv_config_put_dtype(&j->m->cfg, gv_items_dtype(&j->list), e);
}

static int
write_all(const struct job *j, const char *dir, struct gv_error *e)
{
	if (gv_shards_write(dir, &j->list, j->law->shard_bytes, e) ||
	    gv_config_write(&j->m->cfg, dir, e) ||
	    gv_copy_tokenizer(gv_origin_dir(j->text), dir, e))
		return e->code;
	return j->new_token ? gv_append_image_token(dir, j->image, j->id, e)
			    : 0;
}

/* How many tensors of an origin stay behind. */
static json_int_t
left(const struct job *j, const struct gv_origin *o, enum gv_part part)
{
	size_t n = gv_st_count(gv_origin_tensors(o)), i;

	for (i = 0; i < j->list.n; i++)
		n -= j->list.v[i].part == part;
	return (json_int_t)n;
}

static int
make_report(json_t **out, const struct job *j, struct gv_error *e)
{
	json_t *o = gv_items_report(&j->list, true);
	json_t *more = json_pack(
	    "{s:{s:s, s:i, s:b}, s:{s:s, s:s}, s:I, s:{s:I, s:I}}",
	    "image_token", "text", j->image, "id", (int)j->id, "new",
	    j->new_token, "from", "language", gv_origin_dir(j->text), "vision",
	    gv_origin_dir(j->vision), "rows", (json_int_t)j->mean_rows,
	    "unused", "language", left(j, j->text, GV_LANGUAGE), "vision",
	    left(j, j->vision, GV_VISION));
	int bad = !o || !more || json_object_update(o, more);

	json_decref(more);
	if (!bad) {
		*out = o;
		return 0;
	}
	json_decref(o);
	return gv_fail(e, GV_ERR_NOMEM, "out of memory");
}

int
gv_join(const char *text, const char *vision, const char *to,
    const struct gv_join_law *law, json_t **report, struct gv_error *e)
{
	struct job j = {.law = law};
	struct gv_dir *d;
	json_t *o = NULL;

	if (!open_sources(&j, text, vision, e) && !gather(&j, e) &&
	    !make_report(&o, &j, e) && !gv_dir_begin(&d, to, e)) {
		if (write_all(&j, gv_dir_tmp(d), e))
			gv_dir_abort(&d);
		else
			(void)!gv_dir_commit(&d, e);
	}
	if (e->code)
		json_decref(o);
	else
		*report = o;
	gv_items_free(&j.list);
	gv_free(j.mean[0]);
	gv_free(j.mean[1]);
	gv_model_close(&j.m);
	gv_tokenizer_close(&j.t);
	gv_origin_close(&j.vision);
	gv_origin_close(&j.text);
	gvk_close(&j.k);
	return e->code;
}
