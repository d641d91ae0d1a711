/* The HEAD of what gv-rollout writes: fields, arguments, digests. */
#include "prov.h"
#include "rollout_priv.h"
#include "visual.h"
#include "banned.h"

/* ---- fields -------------------------------------------------------------- */

static bool
rewritten(const struct gv_rollout *r, const struct gv_field *f)
{
	const struct gv_rollout_field *own;
	size_t n, i;

	own = gv_rollout_fields(&n);
	for (i = 0; i < n; i++)
		if (!strcmp(f->name, own[i].name))
			return true;
	return gv_prompt_spent(f) && !(r->o.images && gv_visual_is(f->name));
}

/* What --score and --logits write, whether the input has it or not. */
static bool
added(const struct gv_rollout *r, const struct gv_field *f)
{
	if (r->o.score && !strcmp(f->name, r->o.score_as))
		return true;
	return r->o.logits >= 0 &&
	       (!strcmp(f->name, "logits") || !strcmp(f->name, "logit_ids"));
}

static int
add_fields(const struct gv_rollout *r, struct gv_schema *s, struct gv_error *e)
{
	const struct gv_rollout_field *f;
	size_t n, i;

	f = gv_rollout_fields(&n);
	for (i = 0; i < n && !gv_rollout_reads(r); i++)
		if (gv_schema_field(s, f[i].name, f[i].spec, f[i].unit, e))
			return e->code;
	if (r->o.score &&
	    gv_schema_field(s, r->o.score_as, "F32 (T)", "nat", e))
		return gv_fail_in(e, "cannot write field '%s'", r->o.score_as);
	if (r->o.logits >= 0 &&
	    gv_schema_field(
		s, "logits", r->o.logits ? "F32 (T,K)" : "F32 (T,V)", "", e))
		return e->code;
	if (r->o.logits > 0)
		return gv_schema_field(s, "logit_ids", "I32 (T,K)", "", e);
	return 0;
}

/* Leaves in `s` the fields that are passed on, and marks them. */
static void
choose_fields(struct gv_rollout *r, struct gv_schema *s)
{
	size_t i, n = 0;

	for (i = 0; i < s->nfields; i++) {
		const struct gv_field *f = &s->fields[i];

		r->keep[i] = gv_rollout_reads(r)
				 ? !gv_visual_is(f->name) && !added(r, f)
				 : !rewritten(r, f);
		if (r->keep[i])
			s->fields[n++] = *f;
	}
	s->nfields = n;
}

/* ---- provenance ---------------------------------------------------------- */

/* Appends an option and its value, where there is one.  What fails leaves *a
 * NULL. */
static void
add_text(json_t **a, const char *option, const char *s)
{
	if (!s || !*a)
		return;
	if (!json_array_append_new(*a, json_string(option)) &&
	    !json_array_append_new(*a, json_string(s)))
		return;
	json_decref(*a);
	*a = NULL;
}

static void
add_f64(json_t **a, const char *option, double x)
{
	char s[32];

	snprintf(s, sizeof s, "%.17g", x);
	add_text(a, option, s);
}

static void
add_int(json_t **a, const char *option, int64_t x)
{
	char s[32];

	snprintf(s, sizeof s, "%lld", (long long)x);
	add_text(a, option, s);
}

/* The arguments that decide what comes out; NULL without memory. */
static json_t *
read_args(const struct gv_rollout_opts *o)
{
	json_t *a = json_array();

	if (o->score)
		add_text(&a, "--score-as", o->score_as);
	if (o->logits >= 0)
		add_int(&a, "--logits", o->logits);
	return a;
}

static json_t *
sample_args(const struct gv_rollout_law *l)
{
	json_t *a = json_array();
	size_t i;

	add_int(&a, "--group", l->group);
	add_f64(&a, "--temperature", l->temperature);
	add_int(&a, "--top-k", l->top_k);
	add_f64(&a, "--top-p", l->top_p);
	add_f64(&a, "--min-p", l->min_p);
	add_f64(&a, "--repetition-penalty", l->repetition_penalty);
	add_int(&a, "--max-tokens", l->max_tokens);
	add_int(&a, "--seed", l->seed);
	for (i = 0; i < l->stops; i++)
		add_text(&a, "--stop", l->stop[i]);
	add_text(&a, "--tool", l->tool);
	add_text(&a, "--tool-start", l->marks.start);
	add_text(&a, "--tool-end", l->marks.end);
	add_text(&a, "--tool-output-start", l->marks.out_start);
	add_text(&a, "--tool-output-end", l->marks.out_end);
	return a;
}

/* What the model's part in the output depends on. */
static int
add_digests(const struct gv_rollout *r, json_t *digests,
    const struct gv_facts *f, struct gv_error *e)
{
	enum gv_input in = r->fields.input;

	if (gv_prov_add(digests, f, "language", e) ||
	    gv_prov_add(digests, f, "tokenizer", e))
		return e->code;
	if (in == GV_IN_IMAGE && gv_prov_add(digests, f, "vision", e))
		return e->code;
	if ((in == GV_IN_IMAGE || in == GV_IN_FEATURES) &&
	    (gv_prov_add(digests, f, "resampler", e) ||
		gv_prov_add(digests, f, "projector", e)))
		return e->code;
	return 0;
}

static int
write_head(struct gv_rollout *r, json_t *args, json_t *digests,
    const struct gv_facts *f, struct gv_error *e)
{
	struct gv_schema s;

	if (gv_schema_copy(&s, gv_reader_schema(r->in->first), e))
		return e->code;
	choose_fields(r, &s);
	if (!gv_rollout_reads(r))
		snprintf(s.kind, sizeof s.kind, "samples");
	if (!add_fields(r, &s, e) && !add_digests(r, digests, f, e) &&
	    !gv_schema_prog(
		&s, "gv-rollout", json_incref(args), json_incref(digests), e) &&
	    !gv_out_open(&r->out, r->o.output, true, r->o.force, e) &&
	    gv_writer_open(&r->w, r->out, &s, e))
		r->w = NULL;
	if (!e->code)
		gv_inputs_tie(r->in, r->out);
	gv_schema_free(&s);
	return e->code;
}

int
gv_rollout_begin(
    struct gv_rollout *r, const struct gv_facts *f, struct gv_error *e)
{
	json_t *digests, *args = gv_rollout_reads(r) ? read_args(&r->o)
						     : sample_args(&r->o.law);

	digests = json_object();
	if (!args || !digests)
		gv_fail(e, GV_ERR_NOMEM, "out of memory");
	else
		write_head(r, args, digests, f, e);
	json_decref(args);
	json_decref(digests);
	return e->code;
}
