/* Rewards by their definition; sums and intervals against known values. */
#include "reward.h"
#include "tap.h"

#include <stdlib.h>

static double
judge(const char *text, const char *a, const char *b)
{
	struct gv_span answers[2] = {
	    {a, strlen(a)}, {b ? b : "", b ? strlen(b) : 0}};
	struct gv_judged in = {
	    {text, strlen(text)}, answers, (size_t)(b ? 2 : 1)};
	struct gv_error e = {0};
	struct gv_reward *r;
	struct gv_verdict v = {.reward = -1};

	if (gv_reward_open(&r, "exact", &e))
		return -2;
	if (gv_reward_judge(r, &in, &v, &e) || v.nparts != 1 ||
	    strcmp(v.part[0].name, "exact") || v.part[0].value != v.reward)
		v.reward = -3;
	gv_reward_close(&r);
	return v.reward;
}

static void
exact(void)
{
	static const struct {
		const char *text, *a, *b;
		double want;
	} row[] = {
	    {"yes", "yes", NULL, 1},
	    {"yes", "no", NULL, 0},
	    {"yes", "no", "yes", 1},
	    {"yes", "yes", "no", 1},
	    {" Yes.\n", "yes", NULL, 1},
	    {"yes", "\tYES .", NULL, 1},
	    {"yes .", "yes", NULL, 1},
	    {"yes..", "yes", NULL, 0},
	    {"yes..", "yes.", NULL, 0},
	    {"yes!", "yes", NULL, 0},
	    {"yes it is", "yes", NULL, 0},
	    {"yes", "yes it is", NULL, 0},
	    {"ye s", "yes", NULL, 0},
	    {"", "", NULL, 0},
	    {" \n", "", "yes", 0},
	    {".", ".", NULL, 0},
	    {"", "yes", NULL, 0},
	    {"3.14", "3.14.", NULL, 1},
	    {"\303\211t\303\251", "\303\251t\303\251", NULL, 0},
	    {"\303\251T\303\251", "\303\251t\303\251", NULL, 1},
	    {"steel blue", "Steel Blue", NULL, 1},
	};
	size_t i;

	for (i = 0; i < sizeof row / sizeof *row; i++)
		near(judge(row[i].text, row[i].a, row[i].b), row[i].want, 0,
		    "exact row %zu", i);
}

/* NUL bytes are content. */
static void
binary(void)
{
	struct gv_span a = {"a\0c", 3};
	struct gv_judged in = {{"a\0b", 3}, &a, 1};
	struct gv_error e = {0};
	struct gv_reward *r = NULL;
	struct gv_verdict v = {.reward = -1};

	is_int(gv_reward_open(&r, "exact", &e), 0, "open");
	is_str(gv_reward_name(r), "exact", "its name");
	is_int(gv_reward_judge(r, &in, &v, &e), 0, "judge");
	near(v.reward, 0, 0, "bytes behind a NUL count");
	in.nanswers = 0;
	is_int(gv_reward_judge(r, &in, &v, &e), GV_ERR_FORMAT, "no answers");
	near(v.reward, 0, 0, "leave the verdict as it was");
	gv_reward_close(&r);
	gv_reward_close(&r);
	gv_error_clear(&e);
	is_int(gv_reward_open(&r, "exac", &e), GV_ERR_NOSUP, "no such task");
	is_str(e.msg, "no task is called 'exac' (there is exact)", "is said");
}

/* Newcombe, Statistics in Medicine 17 (1998), table I, method 3; and the ends
 * by symmetry. */
static void
wilson(void)
{
	static const struct {
		double k;
		uint64_t n;
		double low, high;
	} row[] = {
	    {81, 263, 0.2553, 0.3662},
	    {15, 148, 0.0624, 0.1605},
	    {0, 20, 0, 0.1611},
	    {20, 20, 0.8389, 1},
	    {1, 29, 0.0061, 0.1718},
	    {0, 0, 0, 1},
	};
	double low, high;
	size_t i;

	for (i = 0; i < sizeof row / sizeof *row; i++) {
		gv_wilson(row[i].k, row[i].n, &low, &high);
		near(low, row[i].low, 5.1e-5, "low end, row %zu", i);
		near(high, row[i].high, 5.1e-5, "high end, row %zu", i);
	}
}

static void
tally(void)
{
	struct gv_tally t = {0};
	struct gv_error e = {0};
	json_t *o, *task;
	char name[32];
	int i, r = 0;

	for (i = 0; i < 8; i++) {
		r |= gv_tally_add(
		    &t, "vqa", i % 2 ? "yes/no" : "number", i % 2, &e);
		r |= gv_tally_add(&t, "exact", NULL, i < 6, &e);
	}
	is_int(r, 0, "sixteen rewards");
	o = gv_tally_json(&t);
	is_int(json_integer_value(json_object_get(o, "n")), 16, "in all");
	near(json_real_value(json_object_get(o, "accuracy")), 10.0 / 16, 1e-15,
	    "their mean");
	task = json_array_get(json_object_get(o, "tasks"), 0);
	is_str(json_string_value(json_object_get(task, "task")), "exact",
	    "tasks in order");
	near(json_real_value(json_object_get(task, "accuracy")), 0.75, 1e-15,
	    "with their mean");
	ok(!json_object_get(task, "types"), "and no types where none were");
	task = json_array_get(json_object_get(o, "tasks"), 1);
	is_int((long long)json_array_size(json_object_get(task, "types")), 2,
	    "or with types");
	task = json_array_get(json_object_get(task, "types"), 1);
	is_str(json_string_value(json_object_get(task, "type")), "yes/no",
	    "by name");
	near(json_real_value(json_object_get(task, "accuracy")), 1, 0,
	    "with their mean");
	json_decref(o);
	gv_tally_free(&t);
	o = gv_tally_json(&t);
	ok(json_is_null(json_object_get(o, "accuracy")), "no mean of nothing");
	json_decref(o);
	for (i = 0; i <= GV_TALLY_ROWS && !e.code; i++) {
		snprintf(name, sizeof name, "%d", i);
		r = gv_tally_add(&t, "exact", name, 1, &e);
	}
	is_int(r, GV_ERR_LIMIT, "too many types");
	is_int(i, GV_TALLY_ROWS + 1, "after as many as may be");
	gv_tally_free(&t);
}

int
main(void)
{
	exact();
	binary();
	wilson();
	tally();
	return done();
}
