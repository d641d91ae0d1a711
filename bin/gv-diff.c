/* gv-diff: compares two streams, number by number. */
#include "cli.h"
#include "compare.h"
#include "mem.h"
#include "selection.h"

#include <float.h>
#include <inttypes.h>
#include <math.h>
#include <string.h>

static struct gv_opt_common common;
static struct gv_tolerance tolerance;
static int64_t ulp;
static const char *fields;

static const struct gv_opt opts[] = {
    {"fields", 0, GV_OPT_STR, &fields, "NAME,...", "compare these only", 0, 0,
	NULL},
    {"ulp", 0, GV_OPT_INT, &ulp, "N",
	"numbers N steps of their type apart are the same (0)", 0, 1e9, NULL},
    {"atol", 0, GV_OPT_F64, &tolerance.absolute, "X", "... or X apart (0)", 0,
	1e300, NULL},
    {"rtol", 0, GV_OPT_F64, &tolerance.relative, "X",
	"... or X times the larger one, added to that (0)", 0, 1, NULL},
    {0}};

static const struct gv_opt_prog prog = {
    "gv-diff",
    "[--fields NAME,...] [--ulp N] [--atol X] [--rtol X] [--json] FILE FILE",
    "compare two streams",
    GV_OPT_C_JSON,
    opts,
};

/* A field that is compared, and what has been found. */
struct pair {
	const char *name;
	size_t a, b; /* its indices */
	struct gv_difference d;
};

static struct gv_reader *in[2];
static struct pair *pair;
static size_t pairs;
static struct gv_difference keys;
static uint64_t records[2];
static const char *alone[2 * GV_MAX_FIELDS]; /* fields that one has */
static size_t alones;

/* ---- what is compared ---------------------------------------------------- */

/* Marks the fields of stream k that are compared. */
static int
name_fields(bool **named, int k, struct gv_error *e)
{
	const struct gv_schema *s = gv_reader_schema(in[k]);

	*named = gv_alloc(s->nfields + 1, sizeof **named);
	if (!*named)
		return gv_fail(e, GV_ERR_NOMEM, "out of memory");
	if (!fields)
		memset(*named, true, s->nfields);
	else if (gv_fields_named(s, fields, *named, e))
		gv_fail_in(e, "cannot compare '%s'", gv_reader_name(in[k]));
	return e->code;
}

/* Pairs the fields that are marked. */
static int
pair_fields(const bool *of_a, const bool *of_b, struct gv_error *e)
{
	const struct gv_schema *a = gv_reader_schema(in[0]);
	const struct gv_schema *b = gv_reader_schema(in[1]);
	size_t i;
	int at;

	pair = gv_alloc(a->nfields + 1, sizeof *pair);
	if (!pair)
		return gv_fail(e, GV_ERR_NOMEM, "out of memory");
	for (i = 0; i < a->nfields; i++) {
		at = gv_reader_has(in[1], a->fields[i].name);
		if (of_a[i] && at < 0)
			alone[alones++] = a->fields[i].name;
		else if (of_a[i])
			pair[pairs++] = (struct pair){
			    .name = a->fields[i].name, .a = i, .b = (size_t)at};
	}
	for (i = 0; i < b->nfields; i++)
		if (of_b[i] && gv_reader_has(in[0], b->fields[i].name) < 0)
			alone[alones++] = b->fields[i].name;
	return 0;
}

static int
choose(struct gv_error *e)
{
	bool *of_a = NULL, *of_b = NULL;

	if (!name_fields(&of_a, 0, e) && !name_fields(&of_b, 1, e))
		(void)!pair_fields(of_a, of_b, e);
	gv_free(of_a);
	gv_free(of_b);
	return e->code;
}

/* ---- comparing ----------------------------------------------------------- */

/* Reads the next record of both: whether there are any. */
static int
next(struct gv_rec rec[2], struct gv_error *e)
{
	int got[2], k;

	for (k = 0; k < 2; k++) {
		got[k] = gv_reader_next(in[k], &rec[k], e);
		if (got[k] < 0)
			return got[k];
		records[k] += (uint64_t)got[k];
	}
	if (got[0] && got[1])
		return 1;
	for (k = 0; k < 2; k++)
		while (got[k] > 0) {
			got[k] = gv_reader_next(in[k], &rec[k], e);
			if (got[k] < 0)
				return got[k];
			records[k] += (uint64_t)got[k];
		}
	return 0;
}

static int
compare(struct gv_error *e)
{
	struct gv_rec rec[2];
	size_t i;
	int got;

	while ((got = next(rec, e)) > 0) {
		gv_compare_text(&keys, &rec[0], rec[0].key, rec[1].key);
		for (i = 0; i < pairs; i++)
			if (gv_compare(&pair[i].d, &rec[0],
				&rec[0].v[pair[i].a], &rec[1].v[pair[i].b],
				&tolerance, e))
				return e->code;
		cli_progress("record %" PRIu64, rec[0].n);
	}
	return got;
}

static bool
same_kind(void)
{
	return !strcmp(
	    gv_reader_schema(in[0])->kind, gv_reader_schema(in[1])->kind);
}

static bool
same(void)
{
	bool all = same_kind() && records[0] == records[1] && !alones &&
		   !keys.different;
	size_t i;

	for (i = 0; i < pairs; i++)
		all = all && !pair[i].d.different;
	return all;
}

/* ---- the report ---------------------------------------------------------- */

static void
print_row(const char *name, const struct gv_difference *d)
{
	char q[4 * GV_MAX_KEY];

	if (!d->different && !common.verbose)
		return;
	printf("%-12s %12" PRIu64 " %12" PRIu64, name, d->values, d->different);
	if (d->max_abs > 0)
		printf(" %10.3g", d->max_abs);
	else
		printf(" %10s", "");
	if (d->max_ulp)
		printf(" %10" PRIu64, d->max_ulp);
	else
		printf(" %10s", "");
	if (d->different)
		printf("  record %" PRIu64 " '%s'%s%s: %s, %s", d->record,
		    gv_quote(q, sizeof q, d->key, strlen(d->key)),
		    *d->at ? " " : "", d->at, d->a, d->b);
	putchar('\n');
}

static void
print_text(void)
{
	size_t i;
	int k;

	if (!same_kind())
		printf("kind: %s, %s\n", gv_reader_schema(in[0])->kind,
		    gv_reader_schema(in[1])->kind);
	if (records[0] != records[1])
		printf("records: %" PRIu64 ", %" PRIu64 "\n", records[0],
		    records[1]);
	for (i = 0; i < alones; i++) {
		k = gv_reader_has(in[0], alone[i]) < 0;
		printf("field %s: only in '%s'\n", alone[i],
		    gv_reader_name(in[k]));
	}
	if (!common.verbose && !keys.different) {
		for (i = 0; i < pairs && !pair[i].d.different; i++)
			;
		if (i == pairs)
			return;
	}
	printf("%-12s %12s %12s %10s %10s  %s\n", "field", "values",
	    "different", "max |a-b|", "max ulp", "the first");
	print_row("(key)", &keys);
	for (i = 0; i < pairs; i++)
		print_row(pair[i].name, &pair[i].d);
}

static json_t *
json_row(const char *name, const struct gv_difference *d)
{
	json_t *o = json_pack("{s:s,s:I,s:I,s:f,s:I}", "name", name, "values",
	    (json_int_t)d->values, "different", (json_int_t)d->different,
	    "max_abs", isfinite(d->max_abs) ? d->max_abs : DBL_MAX, "max_ulp",
	    (json_int_t)d->max_ulp);

	if (o && d->different)
		json_object_set_new(o, "first",
		    json_pack("{s:I,s:s,s:s,s:s,s:s}", "record",
			(json_int_t)d->record, "key", d->key, "at", d->at, "a",
			d->a, "b", d->b));
	return o;
}

static int
print_json(struct gv_error *e)
{
	json_t *rows = json_array(), *only = json_array(), *o;
	size_t i;

	json_array_append_new(rows, json_row("", &keys));
	for (i = 0; i < pairs; i++)
		json_array_append_new(rows, json_row(pair[i].name, &pair[i].d));
	for (i = 0; i < alones; i++)
		json_array_append_new(only, json_string(alone[i]));
	o = json_pack("{s:b,s:[s,s],s:[I,I],s:o,s:o}", "same", same(), "kind",
	    gv_reader_schema(in[0])->kind, gv_reader_schema(in[1])->kind,
	    "records", (json_int_t)records[0], (json_int_t)records[1],
	    "only_in_one", only, "fields", rows);
	return cli_json(o, e);
}

int
main(int argc, char **argv)
{
	struct gv_error e = {0};
	bool equal;
	int n, k;

	cli_answers();
	n = cli_start(&prog, &common, argc, argv);
	if (n != 2)
		cli_usage("two streams are needed (see --help)");
	if (!strcmp(argv[1], "-") && !strcmp(argv[2], "-"))
		cli_usage("standard input can be read only once");
	tolerance.ulp = (uint64_t)ulp;
	if (gv_reader_open(&in[0], argv[1], &e) ||
	    gv_reader_open(&in[1], argv[2], &e) || choose(&e) || compare(&e))
		cli_die(&e);
	cli_progress_end();
	equal = same();
	if (common.json && print_json(&e))
		cli_die(&e);
	if (!common.json && !common.quiet)
		print_text();
	for (k = 0; k < 2; k++)
		gv_reader_close(&in[k]);
	gv_free(pair);
	return cli_finish() || !equal;
}
