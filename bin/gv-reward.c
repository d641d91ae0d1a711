/* gv-reward: judges sampled texts, or sums up how good they are. */
#include "cli.h"
#include "inputs.h"
#include "json.h"
#include "mem.h"
#include "reward_df.h"
#include "reward_record.h"
#include "reward_set.h"
#include "reward_tally.h"
#include "sha.h"

#include <string.h>

static struct gv_opt_common common;
static const char *task;
static bool summary, make_df;
static struct gv_reward_opts task_opts = {.timeout = 10};
static struct gv_tally_opts tally_opts = {.pass = 1};
static struct gv_opt_list by, pass_at;

static const struct gv_opt opts[] = {
    {"task", 0, GV_OPT_STR, &task, "TASK[:WEIGHT],...",
	"judge by this task, or sum (each record's field task)", 0, 0, NULL},
    {"df", 0, GV_OPT_STR, &task_opts.df, "FILE",
	"document frequencies for the task cider", 0, 0, NULL},
    {"make-df", 0, GV_OPT_FLAG, &make_df, NULL,
	"write document frequencies of the answers instead", 0, 0, NULL},
    {"format", 0, GV_OPT_STR, &task_opts.pattern, "REGEX",
	"what the task format looks for", 0, 0, NULL},
    {"max-length", 0, GV_OPT_INT, &task_opts.max_length, "N",
	"tokens of an answer that the task length allows", 1, 9e15, NULL},
    {"length-margin", 0, GV_OPT_INT, &task_opts.length_margin, "N",
	"its penalty grows over the last N of them (0)", 0, 9e15, NULL},
    {"exec", 0, GV_OPT_STR, &task_opts.command, "COMMAND",
	"the program of the task exec: JSON lines in, numbers out", 0, 0, NULL},
    {"timeout", 0, GV_OPT_F64, &task_opts.timeout, "SECONDS",
	"how long it may take for an answer (10)", 1e-3, 1e6, NULL},
    {"memory", 0, GV_OPT_INT, &task_opts.memory, "BYTES",
	"how much address space it may have (4Gi)", 1 << 20, 9e15, NULL},
    {"summary", 0, GV_OPT_FLAG, &summary, NULL,
	"print means instead of records", 0, 0, NULL},
    {"by", 0, GV_OPT_LIST, &by, "FIELD",
	"with --summary: also by this field (answer_type, question_type)", 0, 0,
	NULL},
    {"pass", 0, GV_OPT_F64, &tally_opts.pass, "REWARD",
	"with --summary: from which reward on a text passes (1)", -1e30, 1e30,
	NULL},
    {"pass-at", 0, GV_OPT_LIST, &pass_at, "K",
	"with --summary: tell pass@K (1, 2, 4 ... the smallest group)", 0, 0,
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
	struct gv_reward_by by;
	struct gv_reward_set *rewards;
	struct gv_tally *tally;
	struct gv_out *o;
	struct gv_writer *w;
	uint64_t bad;
};

/* ---- records ------------------------------------------------------------- */

/* Lets a bad record pass if it may; else its error stays. */
static int
bad_record(struct run *r, const struct gv_rec *rec, struct gv_error *e)
{
	gv_fail_in(e, "'%s': record %llu", gv_reader_name(r->in.now),
	    (unsigned long long)rec->n);
	if (e->code == GV_ERR_NOMEM || e->code == GV_ERR_SYS ||
	    e->code == GV_ERR_LIMIT || r->bad == (uint64_t)common.max_errors)
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
		const struct gv_reward *reward;
		struct gv_verdict v;

		if (gv_reward_set_judge(
			r->rewards, &r->fields, &rec, &reward, &v, e) ||
		    (summary && gv_reward_count(r->tally, &r->by, &r->fields,
				    &rec, reward, &v, e))) {
			if (bad_record(r, &rec, e))
				return e->code;
			continue;
		}
		if (!summary &&
		    gv_rewards_put(r->w, r->fields.schema, &rec, reward, &v, e))
			return e->code;
		cli_progress("%llu records", (unsigned long long)rec.n + 1);
	}
	return got;
}

/* Counts the words of all answers.  Records of one key that follow each other
 * are of one image. */
static int
count_words(struct run *r, struct gv_df *df, struct gv_error *e)
{
	char last[GV_MAX_KEY + 1] = "";
	struct gv_reward_record x = {0};
	struct gv_rec rec;
	size_t i;
	int got;

	while ((got = gv_inputs_next(&r->in, &rec, e)) > 0) {
		bool next = !*last || strcmp(last, rec.key) != 0;

		snprintf(last, sizeof last, "%s", rec.key);
		if (gv_reward_answers(&x, &r->fields, &rec, e)) {
			*last = '\0'; /* what follows is not of this one */
			if (bad_record(r, &rec, e))
				break;
			continue;
		}
		for (i = 0; i < x.in.nanswers && !e->code; i++)
			(void)!gv_df_add(df, x.in.answers[i], next && !i, e);
		if (e->code)
			break;
	}
	gv_reward_record_free(&x);
	return e->code;
}

static int
write_df(struct run *r, struct gv_error *e)
{
	struct gv_df *df = NULL;

	if (!gv_df_open(&df, e) && !count_words(r, df, e) &&
	    !gv_df_write(df, r->o, e))
		(void)!gv_out_commit(&r->o, e);
	gv_df_close(&df);
	return e->code;
}

/* ---- the beginning and the end ------------------------------------------- */

static void
argument(json_t *list, const char *name, const char *value)
{
	if (value) {
		json_array_append_new(list, json_string(name));
		json_array_append_new(list, json_string(value));
	}
}

/* What in the command line decides what comes out. */
static json_t *
arguments(void)
{
	json_t *a = json_array();
	char n[2][24];

	argument(a, "--task", task);
	argument(a, "--exec", task_opts.command);
	argument(a, "--format", task_opts.pattern);
	snprintf(n[0], 24, "%lld", (long long)task_opts.max_length);
	snprintf(n[1], 24, "%lld", (long long)task_opts.length_margin);
	argument(a, "--max-length", task_opts.max_length ? n[0] : NULL);
	argument(a, "--length-margin", task_opts.max_length ? n[1] : NULL);
	return a;
}

static int
begin(struct run *r, struct gv_error *e)
{
	char digest[GV_DIGEST];
	json_t *digests;
	struct gv_map m;

	if (summary)
		return gv_tally_open(&r->tally, &tally_opts, e);
	digests = json_object();
	if (task_opts.df && !gv_map_open(&m, task_opts.df, e)) {
		if (gv_sha_of(m.data, m.size, digest))
			json_object_set_new(digests, "df", json_string(digest));
		else
			gv_fail(e, GV_ERR_NOMEM, "out of memory");
		gv_map_close(&m);
	}
	if (!e->code)
		return gv_rewards_begin(
		    &r->w, r->o, r->fields.schema, arguments(), digests, e);
	json_decref(digests);
	return e->code;
}

static int
find_fields(struct run *r, struct gv_error *e)
{
	const struct gv_reader *in = r->in.first;
	size_t i;

	if (gv_reward_fields(&r->fields, in, e))
		return e->code;
	if (!make_df && r->fields.text < 0)
		return gv_fail(e, GV_ERR_MATCH, "'%s' has no field 'text'",
		    gv_reader_name(in));
	if (!make_df && !task && r->fields.task < 0)
		return gv_fail(e, GV_ERR_MATCH,
		    "'%s' has no field 'task' (name one with --task)",
		    gv_reader_name(in));
	for (i = 0; i < by.n && !e->code; i++)
		(void)!gv_reward_by(&r->by, in, by.v[i], true, e);
	if (!by.n && !gv_reward_by(&r->by, in, "answer_type", false, e))
		(void)!gv_reward_by(&r->by, in, "question_type", false, e);
	return e->code;
}

static int
report(struct run *r, struct gv_error *e)
{
	json_t *all = NULL;
	char *s = NULL;

	if (gv_tally_json(r->tally, &all, e))
		return e->code;
	json_object_set_new(all, "bad", json_integer((json_int_t)r->bad));
	if (!common.json)
		(void)!gv_tally_print(all, r->o, e);
	else if ((s = gv_json_text(all, JSON_COMPACT | JSON_REAL_PRECISION(9))))
		(void)!gv_out_printf(r->o, e, "%s\n", s);
	else
		gv_fail(e, GV_ERR_NOMEM, "out of memory");
	gv_free(s);
	json_decref(all);
	return e->code;
}

static int
finish(struct run *r, struct gv_error *e)
{
	if (gv_reward_set_finish(r->rewards, e))
		return e->code;
	r->bad += r->in.bad;
	if (summary ? report(r, e) : gv_writer_close(&r->w, r->bad, e))
		return e->code;
	return gv_out_commit(&r->o, e);
}

static int64_t ks[GV_TALLY_KS];

static void
check_options(void)
{
	size_t i;

	if (common.json && !summary)
		cli_usage("--json needs --summary");
	if (by.n && !summary)
		cli_usage("--by needs --summary");
	if (pass_at.n && !summary)
		cli_usage("--pass-at needs --summary");
	if (make_df && (summary || task))
		cli_usage("--make-df doesn't go with --summary or --task");
	if (pass_at.n > GV_TALLY_KS)
		cli_usage("more than %d times --pass-at", GV_TALLY_KS);
	for (i = 0; i < pass_at.n; i++)
		if (gv_opt_i64(pass_at.v[i], &ks[i]) || ks[i] < 1 ||
		    (i && ks[i] <= ks[i - 1]))
			cli_usage("--pass-at: not a whole number above those "
				  "before it");
	tally_opts.k = ks;
	tally_opts.nk = pass_at.n;
}

int
main(int argc, char **argv)
{
	int n = cli_start(&prog, &common, argc, argv);
	struct gv_error e = {0};
	struct run r = {0};

	check_options();
	if (gv_reward_set_open(&r.rewards, task, &task_opts, &e)) {
		if (e.code == GV_ERR_NOSUP || e.code == GV_ERR_LIMIT)
			e.code = GV_ERR_USAGE;
		cli_die(&e);
	}
	if (gv_inputs_open(&r.in, argv + 1, n, &e) || find_fields(&r, &e) ||
	    gv_out_open(
		&r.o, common.output, !summary && !make_df, common.force, &e))
		cli_die(&e);
	gv_inputs_tie(&r.in, r.o);
	if (make_df ? write_df(&r, &e)
		    : begin(&r, &e) || each_record(&r, &e) || finish(&r, &e))
		cli_die(&e);
	gv_tally_close(&r.tally);
	gv_reward_set_close(&r.rewards);
	gv_inputs_close(&r.in);
	gv_free(by.v);
	gv_free(pass_at.v);
	return cli_finish();
}
