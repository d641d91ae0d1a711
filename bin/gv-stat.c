/* gv-stat: checks streams and says what is in them. */
#include "cli.h"
#include "mem.h"
#include "stream.h"
#include "summary.h"

#include <inttypes.h>
#include <string.h>

static struct gv_opt_common common;
static bool check_only;

static const struct gv_opt opts[] = {
    {"check", 0, GV_OPT_FLAG, &check_only, NULL,
	"print nothing: exit 0 if the streams are valid, else 1", 0, 0, NULL},
    {0}};

static const struct gv_opt_prog prog = {
    "gv-stat",
    "[--check | --json] [FILE ...]",
    "check streams and summarise them",
    GV_OPT_C_JSON,
    opts,
};

static int
read_all(struct gv_reader *r, struct gv_summary *f, uint64_t *recs,
    struct gv_error *e)
{
	size_t nf = gv_reader_schema(r)->nfields, i;
	struct gv_rec rec;
	int got;

	while ((got = gv_reader_next(r, &rec, e)) > 0) {
		for (i = 0; i < nf && !check_only; i++)
			gv_summary_add(&f[i], &rec.v[i]);
		++*recs;
		cli_progress("%s: record %llu", gv_reader_name(r),
		    (unsigned long long)rec.n);
	}
	return got;
}

/* ---- the report ---------------------------------------------------------- */

static void
print_field(const struct gv_field *f, const struct gv_summary *s)
{
	char shape[200];

	gv_summary_shape(s, f, shape, sizeof shape);
	if (s->values || s->nan || s->inf || f->unit[0])
		printf("  %-14s %-7s %-16s", f->name, gv_summary_type(s, f),
		    shape);
	else
		printf(
		    "  %-14s %-7s %s", f->name, gv_summary_type(s, f), shape);
	if (s->values)
		printf(" %s%.10g to %.10g, mean %.6g", s->texts ? "bytes " : "",
		    s->min, s->max, s->sum / (double)s->values);
	if (s->nan)
		printf(", %" PRIu64 " NaN", s->nan);
	if (s->inf)
		printf(", %" PRIu64 " infinite", s->inf);
	if (f->unit[0])
		printf(" [%s]", f->unit);
	putchar('\n');
}

static void
print_prog(const struct gv_prog *g)
{
	const char *key;
	char q[256];
	json_t *x;
	size_t i;

	printf("  by %s", gv_quote(q, sizeof q, g->name, strlen(g->name)));
	printf(" %s", gv_quote(q, sizeof q, g->ver, strlen(g->ver)));
	json_array_foreach(g->args, i, x)
	{
		printf(" %s", gv_quote(q, sizeof q, json_string_value(x),
				  json_string_length(x)));
	}
	json_object_foreach(g->digests, key, x)
	{
		printf(" [%s", gv_quote(q, sizeof q, key, strlen(key)));
		printf(" %s]", gv_quote(q, 17, json_string_value(x),
				   json_string_length(x)));
	}
	putchar('\n');
}

static void
print_text(struct gv_reader *r, const struct gv_summary *f, uint64_t recs)
{
	const struct gv_schema *s = gv_reader_schema(r);
	char q[512];
	size_t i;

	printf("%s: %s, %" PRIu64 " records, %" PRIu64 " bytes",
	    gv_quote(q, sizeof q, gv_reader_name(r), strlen(gv_reader_name(r))),
	    s->kind, recs, gv_reader_offset(r));
	if (gv_reader_bad(r))
		printf(", %" PRIu64 " bad left out", gv_reader_bad(r));
	putchar('\n');
	for (i = 0; i < s->nfields; i++)
		print_field(&s->fields[i], &f[i]);
	for (i = 0; i < s->nprogs; i++)
		print_prog(&s->progs[i]);
}

static json_t *
json_field(const struct gv_field *f, const struct gv_summary *s)
{
	json_t *o = json_pack("{s:s,s:s,s:s}", "name", f->name, "dtype",
	    gv_dtype_name(f->dtype), "unit", f->unit);
	json_t *shape = json_array();
	int a;

	for (a = 0; a < f->rank && s->recs; a++)
		json_array_append_new(
		    shape, json_pack("[I,I]", (json_int_t)s->lo[a],
			       (json_int_t)s->hi[a]));
	json_object_set_new(o, "shape", shape);
	if (f->dtype == GV_NONE)
		json_object_set_new(
		    o, "holds", json_string(gv_summary_type(s, f)));
	json_object_set_new(o, "values", json_integer((json_int_t)s->values));
	if (s->values) {
		json_object_set_new(o, "min", json_real(s->min));
		json_object_set_new(o, "max", json_real(s->max));
		json_object_set_new(
		    o, "mean", json_real(s->sum / (double)s->values));
	}
	json_object_set_new(o, "nan", json_integer((json_int_t)s->nan));
	json_object_set_new(o, "inf", json_integer((json_int_t)s->inf));
	return o;
}

static int
print_json(struct gv_reader *r, const struct gv_summary *f, uint64_t recs,
    struct gv_error *e)
{
	const struct gv_schema *s = gv_reader_schema(r);
	json_t *fields = json_array(), *progs = json_array(), *o;
	char q[4096];
	size_t i;

	for (i = 0; i < s->nfields; i++)
		json_array_append_new(fields, json_field(&s->fields[i], &f[i]));
	for (i = 0; i < s->nprogs; i++)
		json_array_append_new(progs,
		    json_pack("{s:s,s:s,s:O,s:O}", "name", s->progs[i].name,
			"ver", s->progs[i].ver, "args", s->progs[i].args,
			"digests", s->progs[i].digests));
	gv_quote(q, sizeof q, gv_reader_name(r), strlen(gv_reader_name(r)));
	o = json_pack("{s:s,s:s,s:I,s:I,s:I,s:o,s:o}", "file", q, "kind",
	    s->kind, "records", (json_int_t)recs, "bad",
	    (json_int_t)gv_reader_bad(r), "bytes",
	    (json_int_t)gv_reader_offset(r), "fields", fields, "prog", progs);
	return cli_json(o, e);
}

static int
summarise(const char *path, struct gv_error *e)
{
	struct gv_summary *f;
	struct gv_reader *r;
	uint64_t recs = 0;

	if (gv_reader_open(&r, path, e))
		return e->code;
	f = gv_alloc(gv_reader_schema(r)->nfields, sizeof *f);
	if (!f) {
		gv_fail(e, GV_ERR_NOMEM, "out of memory");
	} else if (!read_all(r, f, &recs, e) && !check_only) {
		cli_progress_end();
		if (!common.json)
			print_text(r, f, recs);
		else if (print_json(r, f, recs, e))
			gv_fail_in(
			    e, "cannot report on '%s'", gv_reader_name(r));
	}
	if (!e->code)
		cli_say(1, "'%s': %" PRIu64 " records checked, %s",
		    gv_reader_name(r), recs,
		    gv_reader_mapped(r) ? "mapped" : "read");
	gv_free(f);
	gv_reader_close(&r);
	return e->code;
}

int
main(int argc, char **argv)
{
	int n = cli_start(&prog, &common, argc, argv), i;
	struct gv_error e = {0};

	if (check_only && common.json)
		cli_usage("--check prints nothing, so --json has no use");
	for (i = 1; i <= (n ? n : 1); i++)
		if (summarise(n ? argv[i] : NULL, &e))
			cli_die(&e);
	return cli_finish();
}
