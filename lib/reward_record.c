/* The fields of a record that a reward looks at. */
#include "reward_record.h"

#include "json.h"
#include "mem.h"
#include "banned.h"

static int
optional(const struct gv_reader *in, const char *name, const char *spec,
    int *at, struct gv_error *e)
{
	size_t i;

	*at = gv_reader_has(in, name);
	return *at < 0 ? 0 : gv_reader_need(in, name, spec, &i, e);
}

int
gv_reward_fields(
    struct gv_reward_fields *f, const struct gv_reader *in, struct gv_error *e)
{
	if (optional(in, "text", "plain", &f->text, e) ||
	    optional(in, "answers", "plain", &f->answers, e) ||
	    optional(in, "options", "plain", &f->options, e) ||
	    optional(in, "loss_mask", "U8 (T)", &f->loss_mask, e) ||
	    optional(in, "task", "plain", &f->task, e) ||
	    optional(in, "group", "plain", &f->group, e))
		return e->code;
	f->schema = gv_reader_schema(in);
	return 0;
}

/* ---- lists --------------------------------------------------------------- */

/* A text, or a list of texts, as spans into *o. */
static int
spans(struct gv_span **span, size_t *cap, size_t *n, const json_t *o,
    const char *field, struct gv_error *e)
{
	bool list = json_is_array(o);
	void *p = *span;
	size_t i;

	*n = list ? json_array_size(o) : 1;
	if (gv_grow(&p, cap, *n + 1, sizeof **span))
		return gv_fail(e, GV_ERR_NOMEM, "out of memory");
	*span = p;
	for (i = 0; i < *n; i++) {
		const json_t *v = list ? json_array_get(o, i) : o;

		if (!json_is_string(v))
			return gv_fail(e, GV_ERR_FORMAT,
			    "field '%s' is not a text or a list of texts",
			    field);
		(*span)[i].s = json_string_value(v);
		(*span)[i].n = json_string_length(v);
	}
	return 0;
}

/* Replaces *o by the value of a field. */
static int
take_json_value(
    json_t **o, const struct gv_value *v, const char *field, struct gv_error *e)
{
	json_decref(*o);
	*o = NULL;
	if (gv_value_json(v, o))
		return gv_fail(
		    e, GV_ERR_FORMAT, "field '%s' is not plain text", field);
	return 0;
}

int
gv_reward_answers(struct gv_reward_record *r, const struct gv_reward_fields *f,
    const struct gv_rec *rec, struct gv_error *e)
{
	if (f->answers < 0)
		return gv_fail(e, GV_ERR_MATCH, "there is no field 'answers'");
	if (take_json_value(&r->answers, &rec->v[f->answers], "answers", e) ||
	    spans(&r->span[0], &r->cap[0], &r->in.nanswers, r->answers,
		"answers", e))
		return e->code;
	r->in.answers = r->span[0];
	if (f->options < 0)
		return 0;
	if (take_json_value(&r->options, &rec->v[f->options], "options", e))
		return e->code;
	if (json_is_null(r->options))
		return 0;
	if (!json_is_array(r->options))
		return gv_fail(
		    e, GV_ERR_FORMAT, "field 'options' is not a list of texts");
	if (!json_array_size(r->options))
		return 0;
	if (spans(&r->span[1], &r->cap[1], &r->in.noptions, r->options,
		"options", e))
		return e->code;
	r->in.options = r->span[1];
	return 0;
}

/* ---- the rest ------------------------------------------------------------ */

static int
take_length(struct gv_reward_record *r, const struct gv_reward_fields *f,
    const struct gv_rec *rec, struct gv_error *e)
{
	const struct gv_tensor *t;
	const uint8_t *chosen;

	if (f->loss_mask < 0)
		return gv_fail(e, GV_ERR_MATCH,
		    "there is no field 'loss_mask' to tell the length by");
	t = &rec->v[f->loss_mask].t;
	chosen = t->bytes ? memchr(t->data, 1, t->bytes) : NULL;
	r->in.length =
	    chosen ? (int64_t)t->bytes - (chosen - (const uint8_t *)t->data)
		   : 0;
	return 0;
}

/* The record's plain fields and its key as one line of JSON. */
static int
take_json(struct gv_reward_record *r, const struct gv_reward_fields *f,
    const struct gv_rec *rec, struct gv_error *e)
{
	json_t *o = json_object(), *v;
	size_t i;
	int bad = json_object_set_new(o, "key", json_string(rec->key));

	for (i = 0; i < f->schema->nfields && !bad; i++) {
		if (!rec->v[i].plain || gv_value_json(&rec->v[i], &v))
			continue; /* binary data has no JSON */
		bad = json_object_set_new(o, f->schema->fields[i].name, v);
	}
	gv_free(r->json);
	r->json = bad ? NULL : gv_json_text(o, JSON_COMPACT);
	json_decref(o);
	if (!r->json)
		return gv_fail(e, GV_ERR_NOMEM, "out of memory");
	r->in.record.s = r->json;
	r->in.record.n = strlen(r->json);
	return 0;
}

int
gv_reward_take(struct gv_reward_record *r, const struct gv_reward_fields *f,
    const struct gv_rec *rec, unsigned needs, struct gv_error *e)
{
	memset(&r->in, 0, sizeof r->in);
	if (f->text < 0)
		return gv_fail(e, GV_ERR_MATCH, "there is no field 'text'");
	if (gv_value_text(&rec->v[f->text], &r->in.text.s, &r->in.text.n))
		return gv_fail(e, GV_ERR_FORMAT, "field 'text' is not text");
	if (((needs & GV_NEED_ANSWERS) && gv_reward_answers(r, f, rec, e)) ||
	    ((needs & GV_NEED_LENGTH) && take_length(r, f, rec, e)) ||
	    ((needs & GV_NEED_RECORD) && take_json(r, f, rec, e)))
		return e->code;
	return 0;
}

void
gv_reward_record_free(struct gv_reward_record *r)
{
	json_decref(r->answers);
	json_decref(r->options);
	gv_free(r->span[0]);
	gv_free(r->span[1]);
	gv_free(r->json);
	*r = (struct gv_reward_record){0};
}

bool
gv_reward_label(char *dst, size_t cap, const struct gv_value *v)
{
	const char *s;
	int64_t i;
	size_t n;

	if (!gv_value_text(v, &s, &n))
		gv_quote(dst, cap, s, n);
	else if (!gv_value_int(v, &i))
		snprintf(dst, cap, "%lld", (long long)i);
	else
		return false;
	return true;
}

bool
gv_reward_group(char *dst, size_t cap, const struct gv_reward_fields *f,
    const struct gv_rec *rec)
{
	int64_t i;

	if (f->group < 0 || gv_value_int(&rec->v[f->group], &i))
		return false;
	snprintf(dst, cap, "%lld %s", (long long)i, rec->key);
	return true;
}
