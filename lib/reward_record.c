/* The fields of a record that a reward looks at, and those that it gives. */
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

/* ---- in a tally ---------------------------------------------------------- */

int
gv_reward_by(struct gv_reward_by *b, const struct gv_reader *in,
    const char *field, bool must, struct gv_error *e)
{
	int at = gv_reader_has(in, field);

	if (at < 0 && !must)
		return 0;
	if (at < 0)
		return gv_fail(e, GV_ERR_MATCH, "'%s' has no field '%s'",
		    gv_reader_name(in), field);
	if (b->n == GV_TALLY_BY)
		return gv_fail(e, GV_ERR_LIMIT,
		    "more than %d fields to break down by", GV_TALLY_BY);
	b->by[b->n].field = field;
	b->by[b->n++].at = at;
	return 0;
}

/* Writes a text or whole number so that it fits a line. */
static bool
label(char *dst, size_t cap, const struct gv_value *v)
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

int
gv_reward_count(struct gv_tally *t, const struct gv_reward_by *b,
    const struct gv_reward_fields *f, const struct gv_rec *rec,
    const struct gv_reward *reward, const struct gv_verdict *v,
    struct gv_error *e)
{
	struct gv_counted c = {.reward = reward, .verdict = v, .nby = b->n};
	char group[GV_MAX_KEY + 32], value[GV_TALLY_BY][256];
	int64_t number;
	size_t i;

	if (f->group >= 0 && !gv_value_int(&rec->v[f->group], &number)) {
		snprintf(group, sizeof group, "%lld %s", (long long)number,
		    rec->key);
		c.group = group;
	}
	for (i = 0; i < b->n; i++) {
		c.by[i].field = b->by[i].field;
		c.by[i].value = value[i];
		if (!label(value[i], sizeof value[i], &rec->v[b->by[i].at]))
			return gv_fail(e, GV_ERR_FORMAT,
			    "field '%s' is neither text nor a whole number",
			    b->by[i].field);
	}
	return gv_tally_add(t, &c, e);
}

/* ---- judged records ------------------------------------------------------ */

/* The fields that are set here; older ones of the name are replaced. */
static bool
is_ours(const char *field)
{
	return !strcmp(field, "reward") || !strcmp(field, "rewards");
}

int
gv_rewards_begin(struct gv_writer **w, struct gv_out *o,
    const struct gv_schema *in, json_t *args, json_t *digests,
    struct gv_error *e)
{
	struct gv_schema s;
	size_t i;

	if (gv_schema_copy(&s, in, e)) {
		json_decref(args);
		json_decref(digests);
		return e->code;
	}
	s.nfields = 0;
	for (i = 0; i < in->nfields && !e->code; i++)
		if (!is_ours(in->fields[i].name))
			(void)!gv_schema_add_field(&s, &in->fields[i], e);
	snprintf(s.kind, sizeof s.kind, "rewards");
	if (!gv_schema_prog(&s, "gv-reward", args, digests, e) &&
	    !gv_schema_field(&s, "reward", "F32 ()", "", e) &&
	    !gv_schema_field(&s, "rewards", "plain", "", e))
		(void)!gv_writer_open(w, o, &s, e);
	gv_schema_free(&s);
	return e->code;
}

int
gv_rewards_put(struct gv_writer *w, const struct gv_schema *in,
    const struct gv_rec *rec, const struct gv_reward *reward,
    const struct gv_verdict *v, struct gv_error *e)
{
	const float x = (float)v->reward;
	json_t *parts = json_object();
	size_t i;
	int err = gv_writer_begin(w, rec->key, e);

	for (i = 0; i < in->nfields && !err; i++)
		if (!is_ours(in->fields[i].name))
			err = gv_writer_value(
			    w, in->fields[i].name, &rec->v[i], e);
	for (i = 0; i < v->nparts && !err; i++)
		if (json_object_set_new(parts, gv_reward_part(reward, i, NULL),
			json_real(v->part[i])))
			err = gv_fail(e, GV_ERR_NOMEM, "out of memory");
	if (!err)
		err = gv_writer_tensor(w, "reward", 0, NULL, &x, e);
	if (!err)
		err = gv_writer_json(w, "rewards", parts, e);
	json_decref(parts);
	return err ? err : gv_writer_end_rec(w, e);
}
