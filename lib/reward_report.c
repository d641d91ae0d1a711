/* A tally as a table to read. */
#include "reward_tally.h"

#include "banned.h"

#define WIDTH 20 /* of the names */

static int
print_line(struct gv_out *o, const json_t *v, int indent, const char *name,
    struct gv_error *e)
{
	const json_t *mean = json_object_get(v, "accuracy");
	const json_t *low = json_object_get(v, "low"), *k;
	json_t *pass = json_object_get(v, "pass");
	char text[2][24] = {"-", "-"};
	const char *key;

	if (json_is_real(mean))
		snprintf(
		    text[0], sizeof text[0], "%.4f", json_real_value(mean));
	if (gv_out_printf(o, e, "%*s%-*s %9lld %9s  ", indent, "",
		WIDTH - indent, name,
		(long long)json_integer_value(json_object_get(v, "n")),
		text[0]) ||
	    (json_is_real(low)
		    ? gv_out_printf(o, e, "%.4f to %.4f\n",
			  json_real_value(low),
			  json_real_value(json_object_get(v, "high")))
		    : gv_out_printf(o, e, "-\n")))
		return e->code;
	json_object_foreach(pass, key, k)
	{
		snprintf(text[1], sizeof text[1], "pass@%s", key);
		if (gv_out_printf(o, e, "%*s%-*s %9lld %9.4f\n", indent + 2, "",
			WIDTH - indent - 2, text[1],
			(long long)json_integer_value(
			    json_object_get(v, "groups")),
			json_real_value(k)))
			return e->code;
	}
	return 0;
}

static int
print_task(struct gv_out *o, json_t *task, bool fields, struct gv_error *e)
{
	json_t *parts = json_object_get(task, "parts"), *v;
	const json_t *types = json_object_get(task, "types");
	long long n = json_integer_value(json_object_get(task, "n"));
	const char *key;
	char name[256];
	size_t i;

	if (print_line(o, task, 0,
		json_string_value(json_object_get(task, "task")), e))
		return e->code;
	json_object_foreach(parts, key, v)
	{
		snprintf(name, sizeof name, "mean %s", key);
		if (gv_out_printf(o, e, "  %-*s %9lld %9.4f\n", WIDTH - 2, name,
			n, json_real_value(v)))
			return e->code;
	}
	for (i = 0; i < json_array_size(types); i++) {
		const json_t *t = json_array_get(types, i);

		snprintf(name, sizeof name, "%s%s%s",
		    fields ? json_string_value(json_object_get(t, "field"))
			   : "",
		    fields ? "=" : "",
		    json_string_value(json_object_get(t, "type")));
		if (print_line(o, t, 2, name, e))
			return e->code;
	}
	return 0;
}

/* Do types come from several fields? */
static bool
several_fields(const json_t *tasks)
{
	const char *first = NULL;
	size_t i, j;

	for (i = 0; i < json_array_size(tasks); i++) {
		const json_t *types =
		    json_object_get(json_array_get(tasks, i), "types");

		for (j = 0; j < json_array_size(types); j++) {
			const char *f = json_string_value(
			    json_object_get(json_array_get(types, j), "field"));

			first = first ? first : f;
			if (strcmp(first, f) != 0)
				return true;
		}
	}
	return false;
}

int
gv_tally_print(const json_t *all, struct gv_out *o, struct gv_error *e)
{
	const json_t *tasks = json_object_get(all, "tasks");
	long long bad = json_integer_value(json_object_get(all, "bad"));
	bool fields = several_fields(tasks);
	size_t i;

	if (gv_out_printf(o, e, "%-*s %9s %9s  %s\n", WIDTH, "task", "n",
		"accuracy", "95 % interval"))
		return e->code;
	for (i = 0; i < json_array_size(tasks); i++)
		if (print_task(o, json_array_get(tasks, i), fields, e))
			return e->code;
	if (print_line(o, all, 0, "all", e) || !bad)
		return e->code;
	return gv_out_printf(o, e, "%-*s %9lld\n", WIDTH, "bad", bad);
}
