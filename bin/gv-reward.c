/* gv-reward: judges sampled texts, or sums up how good they are. */
#include "cli.h"
#include "inputs.h"
#include "json.h"
#include "mem.h"
#include "reward.h"
#include "reward_df.h"
#include "reward_record.h"
#include "reward_tally.h"

#include <string.h>

#define MAX_REWARDS 64 /* different tasks in one run */

static struct gv_opt_common common;
static const char *task_name;
static bool summary, make_df;
static struct gv_reward_opts opts_of_tasks = {.timeout = 10};
static struct gv_tally_opts tally_opts = {.pass = 1};
static struct gv_opt_list by;

static const struct gv_opt opts[] = {
    {"task", 0, GV_OPT_STR, &task_name, "TASK[:WEIGHT],...",
	"judge by this task, or sum (each record's field task)", 0, 0, NULL},
    {"format", 0, GV_OPT_STR, &opts_of_tasks.pattern, "REGEX",
	"what the task format looks for", 0, 0, NULL},
    {"df", 0, GV_OPT_STR, &opts_of_tasks.df, "FILE",
	"document frequencies for the task cider", 0, 0, NULL},
    {"make-df", 0, GV_OPT_FLAG, &make_df, NULL,
	"write document frequencies of the answers instead", 0, 0, NULL},
    {"max-length", 0, GV_OPT_INT, &opts_of_tasks.max_length, "N",
	"tokens of an answer that the task length allows", 1, 9e15, NULL},
    {"length-margin", 0, GV_OPT_INT, &opts_of_tasks.length_margin, "N",
	"its penalty grows over the last N of them (0)", 0, 9e15, NULL},
    {"exec", 0, GV_OPT_STR, &opts_of_tasks.command, "COMMAND",
	"the program of the task exec: JSON lines in, numbers out", 0, 0, NULL},
    {"timeout", 0, GV_OPT_F64, &opts_of_tasks.timeout, "SECONDS",
	"how long it may take for an answer (10)", 1e-3, 1e6, NULL},
    {"memory", 0, GV_OPT_INT, &opts_of_tasks.memory, "BYTES",
	"how much address space it may have (4Gi)", 1 << 20, 9e15, NULL},
    {"summary", 0, GV_OPT_FLAG, &summary, NULL,
	"print means instead of records", 0, 0, NULL},
    {"by", 0, GV_OPT_LIST, &by, "FIELD",
	"with --summary: also by this field (answer_type, question_type)", 0, 0,
	NULL},
    {"pass", 0, GV_OPT_F64, &tally_opts.pass, "REWARD",
	"with --summary: from which reward on a text passes (1)", -1e30, 1e30,
	NULL},
    {0}};

static const struct gv_opt_prog prog = {
    "gv-reward",
    "[--task TASK] [--summary [--by FIELD] ...] [-o FILE] [FILE ...]",
    "judge sampled texts by their reference answers",
    GV_OPT_C_OUTPUT | GV_OPT_C_JSON | GV_OPT_C_ERRORS,
    opts,
};

struct run {
	struct gv_inputs in;
	struct gv_reward_fields fields;
	struct gv_reward_record rec;
	struct {
		const char *name;
		int at;
	} by[GV_TALLY_BY];
	size_t nby;
	struct gv_reward *reward[MAX_REWARDS];
	size_t nrewards;
	struct gv_tally *tally;
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
	if (gv_reward_open(&r->reward[r->nrewards], name, &opts_of_tasks,
		task_name != NULL, e))
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
	if (gv_value_text(&rec->v[r->fields.task], &s, &n) ||
	    n >= sizeof name || memchr(s, '\0', n))
		return gv_fail(
		    e, GV_ERR_FORMAT, "field 'task' is not a task's name");
	memcpy(name, s, n);
	name[n] = '\0';
	return reward_of(r, name, out, e);
}

static int
judge(struct run *r, const struct gv_rec *rec, struct gv_reward **reward,
    struct gv_verdict *v, struct gv_error *e)
{
	if (task_of(r, rec, reward, e) || gv_reward_take(&r->rec, &r->fields,
					      rec, gv_reward_needs(*reward), e))
		return e->code;
	return gv_reward_judge(*reward, &r->rec.in, v, e);
}

/* ---- what comes out ------------------------------------------------------ */

static int
count(struct run *r, const struct gv_rec *rec, const struct gv_reward *reward,
    const struct gv_verdict *v, struct gv_error *e)
{
	struct gv_counted c = {.reward = reward, .verdict = v};
	char group[512], label[GV_TALLY_BY][256];
	size_t i;

	if (gv_reward_group(group, sizeof group, &r->fields, rec))
		c.group = group;
	for (i = 0; i < r->nby; i++) {
		if (!gv_reward_label(
			label[i], sizeof label[i], &rec->v[r->by[i].at]))
			return gv_fail(e, GV_ERR_FORMAT,
			    "field '%s' is neither text nor a whole number",
			    r->by[i].name);
		c.by[i].field = r->by[i].name;
		c.by[i].value = label[i];
	}
	c.nby = r->nby;
	return gv_tally_add(r->tally, &c, e);
}

/* The fields that this program sets; older ones of the name are replaced. */
static bool
is_ours(const char *field)
{
	return !strcmp(field, "reward") || !strcmp(field, "rewards");
}

static int
write_record(struct run *r, const struct gv_rec *rec,
    const struct gv_reward *reward, const struct gv_verdict *v,
    struct gv_error *e)
{
	const struct gv_schema *s = r->fields.schema;
	const float f = (float)v->reward;
	json_t *parts = json_object();
	size_t i;
	int err = gv_writer_begin(r->w, rec->key, e);

	for (i = 0; i < s->nfields && !err; i++)
		if (!is_ours(s->fields[i].name))
			err = gv_writer_value(
			    r->w, s->fields[i].name, &rec->v[i], e);
	for (i = 0; i < v->nparts && !err; i++)
		if (json_object_set_new(parts, gv_reward_part(reward, i, NULL),
			json_real(v->part[i])))
			err = gv_fail(e, GV_ERR_NOMEM, "out of memory");
	if (!err)
		err = gv_writer_tensor(r->w, "reward", 0, NULL, &f, e);
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
	if (e->code == GV_ERR_NOMEM || e->code == GV_ERR_SYS ||
	    r->bad == (uint64_t)common.max_errors)
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
		if (!summary && write_record(r, &rec, reward, &v, e))
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
	const struct gv_schema *in = r->fields.schema;
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
	static const char *const usual[] = {"answer_type", "question_type"};
	const struct gv_reader *in = r->in.first;
	const char *const *name = by.n ? by.v : usual;
	size_t i, n = by.n ? by.n : 2;

	if (gv_reward_fields(&r->fields, in, e))
		return e->code;
	if (make_df)
		return 0;
	if (r->fields.text < 0)
		return gv_fail(e, GV_ERR_MATCH, "'%s' has no field 'text'",
		    gv_reader_name(in));
	if (!task_name && r->fields.task < 0)
		return gv_fail(e, GV_ERR_MATCH,
		    "'%s' has no field 'task' (name one with --task)",
		    gv_reader_name(in));
	for (i = 0; i < n && summary; i++) {
		int at = gv_reader_has(in, name[i]);

		if (at < 0 && by.n)
			return gv_fail(e, GV_ERR_MATCH,
			    "'%s' has no field '%s'", gv_reader_name(in),
			    name[i]);
		if (at < 0)
			continue;
		r->by[r->nby].name = name[i];
		r->by[r->nby++].at = at;
	}
	return 0;
}

static int
report(struct run *r, struct gv_error *e)
{
	json_t *all = NULL;
	char *s = NULL;

	if (gv_tally_json(r->tally, &all, e))
		return e->code;
	if (json_object_set_new(all, "bad", json_integer((json_int_t)r->bad))) {
		json_decref(all);
		return gv_fail(e, GV_ERR_NOMEM, "out of memory");
	}
	if (!common.json) {
		if (!gv_tally_print(all, r->o, e) && r->bad)
			(void)!gv_out_printf(r->o, e, "%-20s %9llu\n", "bad",
			    (unsigned long long)r->bad);
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

/* Counts the words of all answers.  Records of one key that follow each other
 * are of one image. */
static int
count_words(struct run *r, struct gv_error *e)
{
	struct gv_df *df = NULL;
	struct gv_rec rec;
	char *key = NULL;
	size_t i;
	int got;

	if (gv_df_open(&df, e))
		return e->code;
	while ((got = gv_inputs_next(&r->in, &rec, e)) > 0) {
		bool next = !key || !*key || strcmp(key, rec.key) != 0;

		if (gv_reward_answers(&r->rec, &r->fields, &rec, e)) {
			if (bad_record(r, &rec, e))
				break;
			continue;
		}
		for (i = 0; i < r->rec.in.nanswers && !e->code; i++)
			(void)!gv_df_add(
			    df, r->rec.in.answers[i], next && !i, e);
		gv_free(key);
		key = gv_strdup(rec.key);
		if (!key)
			gv_fail(e, GV_ERR_NOMEM, "out of memory");
		if (e->code)
			break;
	}
	if (!got && !e->code && !gv_df_write(df, r->o, e))
		(void)!gv_out_commit(&r->o, e);
	gv_free(key);
	gv_df_close(&df);
	return e->code;
}

static void
check_options(struct run *r, struct gv_error *e)
{
	struct gv_reward *known;

	if (common.json && !summary)
		cli_usage("--json needs --summary");
	if (by.n && !summary)
		cli_usage("--by needs --summary");
	if (by.n > GV_TALLY_BY)
		cli_usage("more than %d times --by", GV_TALLY_BY);
	if (make_df && (summary || task_name))
		cli_usage("--make-df has nothing to do with --summary or "
			  "--task");
	if (task_name && reward_of(r, task_name, &known, e)) {
		if (e->code == GV_ERR_NOSUP || e->code == GV_ERR_LIMIT)
			e->code = GV_ERR_USAGE;
		cli_die(e);
	}
}

static int
finish(struct run *r, struct gv_error *e)
{
	size_t i;

	for (i = 0; i < r->nrewards; i++)
		if (gv_reward_finish(r->reward[i], e))
			return e->code;
	r->bad += r->in.bad;
	if (summary ? report(r, e) : gv_writer_close(&r->w, r->bad, e))
		return e->code;
	return gv_out_commit(&r->o, e);
}

int
main(int argc, char **argv)
{
	int n = cli_start(&prog, &common, argc, argv);
	struct gv_error e = {0};
	struct run r = {0};
	size_t i;

	check_options(&r, &e);
	if (gv_inputs_open(&r.in, argv + 1, n, &e) || find_fields(&r, &e) ||
	    gv_out_open(
		&r.o, common.output, !summary && !make_df, common.force, &e))
		cli_die(&e);
	gv_inputs_tie(&r.in, r.o);
	if (make_df ? count_words(&r, &e)
		    : (summary ? gv_tally_open(&r.tally, &tally_opts, &e)
			       : begin(&r, &e)) ||
			  each_record(&r, &e) || finish(&r, &e))
		cli_die(&e);
	gv_tally_close(&r.tally);
	gv_reward_record_free(&r.rec);
	for (i = 0; i < r.nrewards; i++)
		gv_reward_close(&r.reward[i]);
	gv_inputs_close(&r.in);
	gv_free(by.v);
	return cli_finish();
}
