/* Sums over judged texts: intervals, groups and pass@k against known values. */
#include "reward_tally.h"
#include "tap.h"

static struct gv_reward *one, *sum;

/* Newcombe, Statistics in Medicine 17 (1998), table I, method 3; and the ends
 * by symmetry. */
static void
wilson(void)
{
	static const struct {
		double k, n, low, high;
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
		gv_wilson(row[i].n > 0 ? row[i].k / row[i].n : 0, row[i].n,
		    &low, &high);
		near(low, row[i].low, 5.1e-5, "low end, row %zu", i);
		near(high, row[i].high, 5.1e-5, "high end, row %zu", i);
	}
}

static double
choose(int n, int k)
{
	double c = 1;
	int i;

	for (i = 1; i <= k; i++)
		c = c * (n - k + i) / i;
	return k > n ? 0 : c;
}

static void
pass_at(void)
{
	int n, c, k, bad = 0;

	for (n = 1; n <= 16; n++)
		for (c = 0; c <= n; c++)
			for (k = 1; k <= n; k++)
				bad += !(fabs(gv_pass_at((uint64_t)n,
						  (uint64_t)c, (uint64_t)k) -
					      (1 - choose(n - c, k) /
						       choose(n, k))) <= 1e-14);
	is_int(bad, 0, "pass@k as by its definition");
	near(gv_pass_at(1000000, 1, 10), 1e-5, 1e-12, "of many");
}

static struct gv_tally *
fresh(const int64_t *k, size_t nk)
{
	struct gv_tally_opts o = {1, k, nk};
	struct gv_error e = {0};
	struct gv_tally *t = NULL;

	is_int(gv_tally_open(&t, &o, &e), 0, "a tally");
	return t;
}

static int
add(struct gv_tally *t, const struct gv_reward *r, double x, const char *group,
    const char *type, struct gv_error *e)
{
	struct gv_verdict v = {
	    .reward = x, .nparts = gv_reward_parts(r), .part = {x, x / 2}};
	struct gv_counted c = {.reward = r,
	    .verdict = &v,
	    .group = group,
	    .nby = (size_t)(type != NULL),
	    .by = {{"answer_type", type}}};

	return gv_tally_add(t, &c, e);
}

static json_t *
close_tally(struct gv_tally *t)
{
	struct gv_error e = {0};
	json_t *o = NULL;

	is_int(gv_tally_json(t, &o, &e), 0, "as JSON");
	gv_tally_close(&t);
	return o;
}

static double
real(const json_t *o, const char *key)
{
	const json_t *v = json_object_get(o, key);

	return v ? json_number_value(v) : (double)NAN;
}

static void
rows(void)
{
	struct gv_tally *t = fresh(NULL, 0);
	struct gv_error e = {0};
	double low, high;
	json_t *o, *task;
	int i, r = 0;

	for (i = 0; i < 8; i++) {
		r |= add(t, sum, i % 2, NULL, i % 2 ? "yes/no" : "number", &e);
		r |= add(t, one, i < 6, NULL, NULL, &e);
	}
	is_int(r, 0, "sixteen rewards");
	o = close_tally(t);
	is_int(json_integer_value(json_object_get(o, "n")), 16, "in all");
	near(real(o, "accuracy"), 10. / 16, 1e-15, "their mean");
	gv_wilson(10. / 16, 16, &low, &high);
	near(real(o, "low"), low, 1e-15, "and interval");
	near(real(o, "high"), high, 1e-15, "at both ends");
	ok(!json_object_get(o, "pass"), "no groups, no pass@k");
	task = json_array_get(json_object_get(o, "tasks"), 0);
	is_str(json_string_value(json_object_get(task, "task")), "exact",
	    "tasks in order");
	near(real(task, "accuracy"), 0.75, 1e-15, "with their mean");
	ok(!json_object_get(task, "types"), "and no types where none were");
	ok(!json_object_get(task, "parts"), "and no parts");
	task = json_array_get(json_object_get(o, "tasks"), 1);
	near(real(json_object_get(task, "parts"), "gsm8k"), 0.25, 1e-15,
	    "or parts");
	is_int((long long)json_array_size(json_object_get(task, "types")), 2,
	    "or types");
	task = json_array_get(json_object_get(task, "types"), 1);
	is_str(json_string_value(json_object_get(task, "type")), "yes/no",
	    "by name");
	is_str(json_string_value(json_object_get(task, "field")), "answer_type",
	    "and field");
	near(real(task, "accuracy"), 1, 0, "with their mean");
	json_decref(o);
}

/* Groups of 4, 4 and 2: 4, 1 and 0 pass. */
static void
groups(void)
{
	static const struct {
		const char *group;
		double reward;
	} row[] = {{"a", 1}, {"b", 0}, {"a", 1}, {"c", 0}, {"b", 1}, {"a", 1},
	    {"b", 0}, {"c", 0}, {"a", 1}, {"b", 0}};
	static const int64_t three = 3;
	struct gv_tally *t = fresh(NULL, 0);
	struct gv_error e = {0};
	double low, high, spread;
	json_t *o, *pass;
	size_t i;

	for (i = 0; i < 10; i++)
		if (add(t, one, row[i].reward, row[i].group, NULL, &e))
			break;
	is_int((long long)i, 10, "ten rewards");
	o = close_tally(t);
	is_int(json_integer_value(json_object_get(o, "groups")), 3, "3 groups");
	pass = json_object_get(o, "pass");
	is_int((long long)json_object_size(pass), 2, "k up to the smallest");
	near(real(pass, "1"), (1 + .25 + 0) / 3, 1e-15, "pass@1");
	near(real(pass, "2"), (1 + .5 + 0) / 3, 1e-15, "pass@2");
	/* sum over groups of (s - n / 2)^2 */
	spread = 2. * 2 + 1. * 1 + 1. * 1;
	gv_wilson(0.5, 0.25 * 100 / spread, &low, &high);
	near(real(o, "low"), low, 1e-12, "the interval knows of groups");
	near(real(o, "high"), high, 1e-12, "at both ends");
	json_decref(o);

	t = fresh(&three, 1);
	for (i = 0; i < 10; i++)
		if (add(t, one, row[i].reward, row[i].group, NULL, &e))
			break;
	is_int(gv_tally_json(t, &o, &e), GV_ERR_MATCH, "pass@3 of two");
	is_str(e.msg, "pass@3 of a group of 2 texts", "is said");
	gv_tally_close(&t);
}

static void
wide(void)
{
	struct gv_tally *t = fresh(NULL, 0);
	struct gv_error e = {0};
	json_t *o;

	is_int(add(t, one, -1, NULL, NULL, &e), 0, "a penalty");
	o = close_tally(t);
	ok(json_is_null(json_object_get(o, "interval")), "one has no interval");
	json_decref(o);
	t = fresh(NULL, 0);
	is_int(add(t, one, -1, NULL, NULL, &e) + add(t, one, 3, NULL, NULL, &e),
	    0, "two");
	o = close_tally(t);
	is_str(json_string_value(json_object_get(o, "interval")), "normal",
	    "have one");
	/* standard error 2 */
	near(real(o, "low"), 1 - 2 * 1.959963984540054, 1e-12, "its low end");
	near(real(o, "high"), 1 + 2 * 1.959963984540054, 1e-12, "and high");
	json_decref(o);
	o = close_tally(fresh(NULL, 0));
	ok(json_is_null(json_object_get(o, "accuracy")), "no mean of nothing");
	json_decref(o);
}

static void
limits(void)
{
	struct gv_tally *t = fresh(NULL, 0);
	struct gv_error e = {0};
	char name[32];
	int i, r = 0;

	for (i = 0; i <= GV_TALLY_ROWS && !e.code; i++) {
		snprintf(name, sizeof name, "%d", i);
		r = add(t, one, 1, NULL, name, &e);
	}
	is_int(r, GV_ERR_LIMIT, "too many types");
	is_int(i, GV_TALLY_ROWS, "after as many as may be");
	gv_tally_close(&t);
	gv_tally_close(&t);
}

int
main(void)
{
	struct gv_reward_opts none = {0};
	struct gv_error e = {0};

	is_int(gv_reward_open(&one, "exact", &none, false, &e), 0, "exact");
	is_int(gv_reward_open(&sum, "exact,gsm8k:0", &none, false, &e), 0,
	    "a sum");
	wilson();
	pass_at();
	rows();
	groups();
	wide();
	limits();
	gv_reward_close(&one);
	gv_reward_close(&sum);
	return done();
}
