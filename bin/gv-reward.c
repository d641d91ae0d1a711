/* gv-reward: judges sampled texts by their reference answers, or sums up how
 * good they are.
 */
#include "cli.h"
#include "inputs.h"
#include "json.h"
#include "mem.h"
#include "reward.h"

#include <string.h>

#define MAX_REWARDS 64 /* different tasks in one run */

static struct gv_opt_common common;
static const char *task_name, *by_name;
static bool summary;

static const struct gv_opt opts[] = {
    {"task", 0, GV_OPT_STR, &task_name, "NAME",
	"judge by NAME: exact (each record's field task)", 0, 0, NULL},
    {"summary", 0, GV_OPT_FLAG, &summary, NULL,
	"print accuracies instead of records", 0, 0, NULL},
    {"by", 0, GV_OPT_STR, &by_name, "FIELD",
	"with --summary: also by this field (answer_type, if present)", 0, 0,
	NULL},
    {0}};

static const struct gv_opt_prog prog = {
    "gv-reward",
    "[--task NAME] [--summary [--by FIELD]] [-o FILE] [FILE ...]",
    "judge sampled texts by their reference answers",
    GV_OPT_C_OUTPUT | GV_OPT_C_JSON | GV_OPT_C_ERRORS,
    opts,
};

struct run {
	struct gv_inputs in;
	size_t text, answers;
	int task, by; /* field numbers, -1 if absent */
	struct gv_reward *reward[MAX_REWARDS];
	size_t nrewards;
	struct gv_tally tally;
	struct gv_out *o;
	struct gv_writer *w;
	uint64_t bad;
};

/* ---- one record ---------------------------------------------------------- */

/* The opened reward of that name. */
static int
reward_of(
    struct run *r, const char *name, struct gv_reward **out, struct gv_error *e)
{
	size_t i;

	for (i = 0; i < r->nrewards; i++)
		if (!strcmp(gv_reward_name(r->reward[i]), name)) {
			*out = r->reward[i];
			return 0;
		}
	if (r->nrewards == MAX_REWARDS)
		return gv_fail(e, GV_ERR_LIMIT, "more than %d different tasks",
		    MAX_REWARDS);
	if (gv_reward_open(&r->reward[r->nrewards], name, e))
		return e->code;
	*out = r->reward[r->nrewards++];
	return 0;
}

static int
task_of(struct run *r, const struct gv_rec *rec, struct gv_reward **out,
    struct gv_error *e)
{
	char name[256];
	const char *s;
	size_t n;

	if (task_name)
		return reward_of(r, task_name, out, e);
	if (gv_value_text(&rec->v[r->task], &s, &n) || n >= sizeof name ||
	    memchr(s, '\0', n))
		return gv_fail(
		    e, GV_ERR_FORMAT, "field 'task' is not a task's name");
	memcpy(name, s, n);
	name[n] = '\0';
	return reward_of(r, name, out, e);
}

/* The reference answers as spans into `o`: a list of texts, or one. */
static int
spans_of(const json_t *o, struct gv_span **out, size_t *n, struct gv_error *e)
{
	bool list = json_is_array(o);
	struct gv_span *a;
	size_t i;

	*n = list ? json_array_size(o) : 1;
	a = gv_alloc(*n, sizeof *a);
	if (!a)
		return gv_fail(e, GV_ERR_NOMEM, "out of memory");
	for (i = 0; i < *n; i++) {
		const json_t *v = list ? json_array_get(o, i) : o;

		if (!json_is_string(v)) {
			gv_free(a);
			return gv_fail(e, GV_ERR_FORMAT,
			    "field 'answers' is not a text or a list of "
			    "texts");
		}
		a[i].s = json_string_value(v);
		a[i].n = json_string_length(v);
	}
	*out = a;
	return 0;
}

static int
judge(struct run *r, const struct gv_rec *rec, struct gv_reward **reward,
    struct gv_verdict *v, struct gv_error *e)
{
	struct gv_judged in;
	struct gv_span *answers = NULL;
	json_t *o = NULL;

	if (task_of(r, rec, reward, e))
		return e->code;
	if (gv_value_text(&rec->v[r->text], &in.text.s, &in.text.n))
		return gv_fail(e, GV_ERR_FORMAT, "field 'text' is not text");
	if (gv_value_json(&rec->v[r->answers], &o))
		gv_fail(e, GV_ERR_FORMAT, "field 'answers' is not plain text");
	else if (!spans_of(o, &answers, &in.nanswers, e)) {
		in.answers = answers;
		(void)!gv_reward_judge(*reward, &in, v, e);
	}
	gv_free(answers);
	json_decref(o);
	return e->code;
}

/* ---- what comes out ------------------------------------------------------ */

static int
count(struct run *r, const struct gv_rec *rec, const struct gv_reward *reward,
    const struct gv_verdict *v, struct gv_error *e)
{
	char type[256] = "";
	json_t *o;

	if (r->by >= 0) {
		if (gv_value_json(&rec->v[r->by], &o))
			return gv_fail(e, GV_ERR_FORMAT,
			    "field '%s' is not plain data", by_name);
		if (json_is_integer(o))
			snprintf(type, sizeof type, "%lld",
			    (long long)json_integer_value(o));
		else if (json_is_string(o))
			gv_quote(type, sizeof type, json_string_value(o),
			    json_string_length(o));
		else
			gv_fail(e, GV_ERR_FORMAT,
			    "field '%s' is neither text nor a whole number",
			    by_name);
		json_decref(o);
		if (e->code)
			return e->code;
	}
	return gv_tally_add(
	    &r->tally, gv_reward_name(reward), type, v->reward, e);
}

/* The fields that this program sets; older ones of the name are replaced. */
static bool
is_ours(const char *field)
{
	return !strcmp(field, "reward") || !strcmp(field, "rewards");
}

static int
write_record(struct run *r, const struct gv_rec *rec,
    const struct gv_verdict *v, struct gv_error *e)
{
	const struct gv_schema *s = gv_reader_schema(r->in.first);
	const float reward = (float)v->reward;
	json_t *parts = json_object();
	size_t i;
	int err = gv_writer_begin(r->w, rec->key, e);

	for (i = 0; i < s->nfields && !err; i++)
		if (!is_ours(s->fields[i].name))
			err = gv_writer_value(
			    r->w, s->fields[i].name, &rec->v[i], e);
	for (i = 0; i < v->nparts && !err; i++)
		if (json_object_set_new(
			parts, v->part[i].name, json_real(v->part[i].value)))
			err = gv_fail(e, GV_ERR_NOMEM, "out of memory");
	if (!err)
		err = gv_writer_tensor(r->w, "reward", 0, NULL, &reward, e);
	if (!err)
		err = gv_writer_json(r->w, "rewards", parts, e);
	json_decref(parts);
	return err ? err : gv_writer_end_rec(r->w, e);
}

/* Lets a bad record pass if it may; else its error stays. */
static int
bad_record(struct run *r, const struct gv_rec *rec, struct gv_error *e)
{
	gv_fail_in(e, "'%s': record %llu", gv_reader_name(r->in.now),
	    (unsigned long long)rec->n);
	if (e->code == GV_ERR_NOMEM || r->bad == (uint64_t)common.max_errors)
		return e->code;
	r->bad++;
	cli_warn("%s", e->msg);
	gv_error_clear(e);
	return 0;
}

static int
each_record(struct run *r, struct gv_error *e)
{
	struct gv_rec rec;
	int got;

	while ((got = gv_inputs_next(&r->in, &rec, e)) > 0) {
		struct gv_reward *reward;
		struct gv_verdict v;

		if (judge(r, &rec, &reward, &v, e) ||
		    (summary && count(r, &rec, reward, &v, e))) {
			if (bad_record(r, &rec, e))
				return e->code;
			continue;
		}
		if (!summary && write_record(r, &rec, &v, e))
			return e->code;
		cli_progress("%llu records", (unsigned long long)rec.n + 1);
	}
	return got;
}

/* ---- the beginning and the end ------------------------------------------- */

/* The output's HEAD: the input's fields but ours, then ours. */
static int
begin(struct run *r, struct gv_error *e)
{
	const struct gv_schema *in = gv_reader_schema(r->in.first);
	struct gv_schema s;
	json_t *args;
	size_t i;

	if (gv_schema_copy(&s, in, e))
		return e->code;
	s.nfields = 0;
	for (i = 0; i < in->nfields && !e->code; i++)
		if (!is_ours(in->fields[i].name))
			(void)!gv_schema_add_field(&s, &in->fields[i], e);
	snprintf(s.kind, sizeof s.kind, "rewards");
	args = task_name ? json_pack("[s,s]", "--task", task_name) : NULL;
	if (!gv_schema_prog(&s, "gv-reward", args, NULL, e) &&
	    !gv_schema_field(&s, "reward", "F32 ()", "", e) &&
	    !gv_schema_field(&s, "rewards", "plain", "", e))
		(void)!gv_writer_open(&r->w, r->o, &s, e);
	gv_schema_free(&s);
	return e->code;
}

static int
find_fields(struct run *r, struct gv_error *e)
{
	const struct gv_reader *in = r->in.first;

	if (gv_reader_need(in, "text", "plain", &r->text, e) ||
	    gv_reader_need(in, "answers", "plain", &r->answers, e))
		return e->code;
	r->task = gv_reader_has(in, "task");
	if (!task_name && r->task < 0)
		return gv_fail(e, GV_ERR_MATCH,
		    "'%s' has no field 'task' (name one with --task)",
		    gv_reader_name(in));
	r->by = gv_reader_has(in, by_name ? by_name : "answer_type");
	if (by_name && r->by < 0)
		return gv_fail(e, GV_ERR_MATCH, "'%s' has no field '%s'",
		    gv_reader_name(in), by_name);
	if (!by_name)
		by_name = "answer_type";
	return 0;
}

static int
print_line(struct gv_out *o, const json_t *v, const char *indent,
    const char *name, struct gv_error *e)
{
	const json_t *mean = json_object_get(v, "accuracy");
	char accuracy[16] = "-";

	if (json_is_real(mean))
		snprintf(
		    accuracy, sizeof accuracy, "%.4f", json_real_value(mean));
	return gv_out_printf(o, e, "%s%-*s %9lld %9s  %.4f to %.4f\n", indent,
	    20 - (int)strlen(indent), name,
	    (long long)json_integer_value(json_object_get(v, "n")), accuracy,
	    json_real_value(json_object_get(v, "low")),
	    json_real_value(json_object_get(v, "high")));
}

static int
print_task(struct gv_out *o, const json_t *task, struct gv_error *e)
{
	const json_t *types = json_object_get(task, "types");
	const char *name = json_string_value(json_object_get(task, "task"));
	int r = print_line(o, task, "", name, e);
	size_t i;

	for (i = 0; i < json_array_size(types) && !r; i++) {
		const json_t *v = json_array_get(types, i);

		name = json_string_value(json_object_get(v, "type"));
		r = print_line(o, v, "  ", name, e);
	}
	return r;
}

static int
print_text(struct run *r, const json_t *all, struct gv_error *e)
{
	const json_t *tasks = json_object_get(all, "tasks");
	size_t i;

	if (gv_out_printf(r->o, e, "%-20s %9s %9s  %s\n", "task", "n",
		"accuracy", "95 % interval"))
		return e->code;
	for (i = 0; i < json_array_size(tasks); i++)
		if (print_task(r->o, json_array_get(tasks, i), e))
			return e->code;
	if (print_line(r->o, all, "", "all", e))
		return e->code;
	if (r->bad)
		return gv_out_printf(r->o, e, "%-20s %9llu\n", "bad",
		    (unsigned long long)r->bad);
	return 0;
}

static int
report(struct run *r, struct gv_error *e)
{
	json_t *all = gv_tally_json(&r->tally);
	char *s = NULL;

	if (json_object_set_new(all, "bad", json_integer((json_int_t)r->bad))) {
		json_decref(all);
		return gv_fail(e, GV_ERR_NOMEM, "out of memory");
	}
	if (!common.json) {
		(void)!print_text(r, all, e);
	} else {
		s = gv_json_text(all, JSON_COMPACT | JSON_REAL_PRECISION(9));
		if (s)
			(void)!gv_out_printf(r->o, e, "%s\n", s);
		else
			gv_fail(e, GV_ERR_NOMEM, "out of memory");
	}
	gv_free(s);
	json_decref(all);
	return e->code;
}

int
main(int argc, char **argv)
{
	int n = cli_start(&prog, &common, argc, argv);
	struct gv_error e = {0};
	struct run r = {.task = -1, .by = -1};
	struct gv_reward *known;
	size_t i;

	if (common.json && !summary)
		cli_usage("--json needs --summary");
	if (by_name && !summary)
		cli_usage("--by needs --summary");
	if (task_name && reward_of(&r, task_name, &known, &e)) {
		e.code = GV_ERR_USAGE;
		cli_die(&e);
	}
	if (gv_inputs_open(&r.in, argv + 1, n, &e) || find_fields(&r, &e) ||
	    gv_out_open(&r.o, common.output, !summary, common.force, &e) ||
	    (!summary && begin(&r, &e)) || each_record(&r, &e))
		cli_die(&e);
	r.bad += r.in.bad;
	if (summary ? report(&r, &e) : gv_writer_close(&r.w, r.bad, &e))
		cli_die(&e);
	if (gv_out_commit(&r.o, &e))
		cli_die(&e);
	for (i = 0; i < r.nrewards; i++)
		gv_reward_close(&r.reward[i]);
	gv_tally_free(&r.tally);
	gv_inputs_close(&r.in);
	return cli_finish();
}
