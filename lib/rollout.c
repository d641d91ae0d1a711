/* The start and the end of what gv-rollout does. */
#include "clock.h"
#include "mem.h"
#include "prov.h"
#include "rollout_priv.h"
#include "say.h"
#include "utf8.h"
#include "visual.h"
#include "banned.h"

bool
gv_rollout_reads(const struct gv_rollout *r)
{
	return r->o.score || r->o.logits >= 0;
}

int
gv_rollout_bad(struct gv_rollout *r, uint64_t n, struct gv_error *e)
{
	gv_fail_in(e, "cannot use '%s': record %llu",
	    gv_reader_name(r->in->now), (unsigned long long)n);
	if ((e->code != GV_ERR_MATCH && e->code != GV_ERR_FORMAT &&
		e->code != GV_ERR_LIMIT) ||
	    r->bad >= r->o.max_errors)
		return e->code;
	gv_say(r->o.say, 0, "%s", e->msg);
	gv_error_clear(e);
	r->bad++;
	return 0;
}

int
gv_rollout_put_kept(
    struct gv_rollout *r, const struct gv_kept *k, struct gv_error *e)
{
	const struct gv_schema *s = gv_reader_schema(r->in->first);
	size_t i;

	for (i = 0; i < k->nfields; i++)
		if (r->keep[i] &&
		    gv_writer_value(r->w, s->fields[i].name, &k->v[i], e))
			break;
	return e->code;
}

/* ---- the start ----------------------------------------------------------- */

static int
open_tool(struct gv_rollout *r, struct gv_error *e)
{
	const struct gv_rollout_law *l = &r->o.law;
	const struct gv_tool_opts o = {
	    .name = l->tool, .timeout = l->tool_timeout, .marks = l->marks};

	if (!l->tool || gv_rollout_reads(r))
		return 0;
	return gv_tool_open(&r->tool, &o, r->t, e);
}

static int
open_weights(struct gv_rollout *r, struct gv_error *e)
{
	unsigned parts = gv_visual_parts(r->fields.input);

	if (gv_backend_open(&r->k, r->o.device, r->o.threads, e))
		return e->code;
	if (r->o.follow)
		return gv_rollout_open_followed(r, parts, e);
	return gv_model_open_forward(&r->m, r->k, r->o.model, parts, e);
}

static int
open_model(struct gv_rollout *r, struct gv_error *e)
{
	const struct gv_reader *in = r->in->first;
	struct gv_config c;
	struct gv_facts f;

	if (gv_prompt_fields(&r->fields, in, e))
		return e->code;
	if (r->o.score && r->fields.loss_mask < 0 && r->fields.targets < 0)
		return gv_fail(e, GV_ERR_MATCH,
		    "'%s' has neither 'loss_mask' nor 'targets' to score",
		    gv_reader_name(in));
	/* all that may be wrong with the input is found before the weights
	 * are read */
	if (gv_config_open(&c, r->o.model, e))
		return e->code;
	if (!gv_tokenizer_open(&r->t, r->o.model, e)) {
		f = (struct gv_facts){r->o.model, &c, r->t};
		if (gv_prov_check_input(
			gv_reader_schema(in), &f, r->fields.input, e))
			gv_fail_in(e, "cannot use '%s'", gv_reader_name(in));
		else if (r->o.logits > c.text.V)
			gv_fail(e, GV_ERR_MATCH,
			    "--logits %lld, but the model has %lld ids",
			    (long long)r->o.logits, (long long)c.text.V);
		else if (!open_tool(r, e) && !gv_rollout_begin(r, &f, e) &&
			 !open_weights(r, e))
			gv_say(r->o.say, 1, "%s", gvk_name(r->k));
	}
	gv_config_free(&c);
	return e->code;
}

/* What is recorded must be text. */
static int
check_text(const char *option, const char *s, struct gv_error *e)
{
	size_t n = s ? strlen(s) : 0, at, k;
	uint32_t c;

	for (at = 0; at < n; at += k) {
		k = gv_utf8_next(s + at, n - at, &c);
		if (c == GV_UTF8_BAD)
			return gv_fail(
			    e, GV_ERR_USAGE, "option '%s': not UTF-8", option);
	}
	return 0;
}

static int
check_texts(const struct gv_rollout_law *l, struct gv_error *e)
{
	size_t i;

	for (i = 0; i < l->stops; i++)
		if (check_text("--stop", l->stop[i], e))
			return e->code;
	if (check_text("--tool", l->tool, e) ||
	    check_text("--tool-start", l->marks.start, e) ||
	    check_text("--tool-end", l->marks.end, e) ||
	    check_text("--tool-output-start", l->marks.out_start, e))
		return e->code;
	return check_text("--tool-output-end", l->marks.out_end, e);
}

int
gv_rollout_open(struct gv_rollout **out, struct gv_inputs *in,
    const struct gv_rollout_opts *o, struct gv_error *e)
{
	struct gv_rollout *r;

	if (check_texts(&o->law, e))
		return e->code;
	r = gv_alloc(1, sizeof *r);
	if (!r)
		return gv_fail(e, GV_ERR_NOMEM, "out of memory");
	r->o = *o;
	r->in = in;
	r->start = gv_now();
	if (open_model(r, e)) {
		gv_rollout_close(&r);
		return e->code;
	}
	*out = r;
	return 0;
}

void
gv_rollout_close(struct gv_rollout **rp)
{
	struct gv_rollout *r = *rp;

	*rp = NULL;
	if (!r)
		return;
	gv_gen_close(&r->g);
	gv_tool_close(&r->tool);
	gv_follow_close(&r->follow);
	gv_model_close(&r->m);
	gv_tokenizer_close(&r->t);
	gvk_close(&r->k);
	gv_inputs_tie(r->in, NULL);
	gv_writer_abort(&r->w);
	gv_out_abort(&r->out);
	gv_free(r);
}

/* ---- the whole ----------------------------------------------------------- */

static void
report(struct gv_rollout *r)
{
	struct gv_gen_stats s = {0};

	if (!r->g)
		return;
	gv_gen_stats(r->g, &s);
	gv_say(r->o.say, 1,
	    "%llu passes; %llu prompt tokens computed, %llu shared; "
	    "%llu images encoded",
	    (unsigned long long)s.passes, (unsigned long long)s.prefill,
	    (unsigned long long)s.shared, (unsigned long long)s.images);
	if (r->tool)
		gv_say(r->o.say, 1,
		    "%llu calls of the tool, %llu tokens forced",
		    (unsigned long long)s.calls, (unsigned long long)s.forced);
}

int
gv_rollout_run(struct gv_rollout *r, struct gv_error *e)
{
	if (gv_rollout_reads(r) ? gv_rollout_read(r, e)
				: gv_rollout_sample(r, e))
		return e->code;
	gv_say(r->o.say, 1, "%llu records, %llu tokens %s in %.2f s",
	    (unsigned long long)r->in->records, (unsigned long long)r->tokens,
	    gv_rollout_reads(r) ? "read" : "sampled", gv_now() - r->start);
	report(r);
	gv_inputs_tie(r->in, NULL);
	if (gv_writer_close(&r->w, r->bad + r->in->bad, e) ||
	    gv_out_commit(&r->out, e))
		return e->code;
	return 0;
}
