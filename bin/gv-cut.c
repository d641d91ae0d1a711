/* gv-cut: chooses fields and records of streams. */
#include "cli.h"
#include "inputs.h"
#include "mem.h"
#include "selection.h"

#include <inttypes.h>
#include <string.h>

static struct gv_opt_common common;
static const char *fields, *drop;
static struct gv_opt_list key;
static struct gv_selection_law law;

static const struct gv_opt opts[] = {
    {"fields", 0, GV_OPT_STR, &fields, "NAME,...", "keep these fields only", 0,
	0, NULL},
    {"drop", 0, GV_OPT_STR, &drop, "NAME,...", "keep all other fields", 0, 0,
	NULL},
    {"records", 0, GV_OPT_STR, &law.records, "N-M,...",
	"keep the records of these numbers, from 0", 0, 0, NULL},
    {"key", 0, GV_OPT_LIST, &key, "KEY",
	"keep the records of this key; may be repeated", 0, 0, NULL},
    {"keys", 0, GV_OPT_STR, &law.key_file, "FILE",
	"... of the keys in this file, a line each", 0, 0, NULL},
    {"except", 0, GV_OPT_FLAG, &law.except, NULL, "keep the other records", 0,
	0, NULL},
    {0}};

static const struct gv_opt_prog prog = {
    "gv-cut",
    "[--fields NAME,... | --drop NAME,...] [--records N-M,...]\n"
    "              [--key KEY] [--keys FILE] [--except] [-o FILE] [FILE ...]",
    "choose fields and records of streams",
    GV_OPT_C_OUTPUT,
    opts,
};

/* ---- fields -------------------------------------------------------------- */

/* Which fields of the input stay: a flag each. */
static int
choose(bool **keep, const struct gv_reader *r, struct gv_error *e)
{
	const struct gv_schema *s = gv_reader_schema(r);
	const char *list = fields ? fields : drop;
	size_t i, left = 0;

	*keep = gv_alloc(s->nfields + 1, sizeof **keep);
	if (!*keep)
		return gv_fail(e, GV_ERR_NOMEM, "out of memory");
	if (list && gv_fields_named(s, list, *keep, e))
		return gv_fail_in(e, "cannot cut '%s'", gv_reader_name(r));
	for (i = 0; i < s->nfields; i++) {
		(*keep)[i] = (*keep)[i] != !fields;
		left += (*keep)[i];
	}
	if (!left)
		gv_fail(e, GV_ERR_MATCH,
		    "cannot cut '%s': no field would be left",
		    gv_reader_name(r));
	return e->code;
}

/* ---- the output ---------------------------------------------------------- */

static int
add(json_t *args, const char *name, const char *value)
{
	return json_array_append_new(args, json_string(name)) ||
	       (value && json_array_append_new(args, json_string(value)));
}

/* The arguments that matter; the keys of a file by their digest. */
static json_t *
arguments(const struct gv_selection *sel, struct gv_error *e)
{
	json_t *args = json_array();
	char digest[GV_DIGEST];
	size_t i;
	int bad = !args;

	bad |= fields && add(args, "--fields", fields);
	bad |= drop && add(args, "--drop", drop);
	bad |= law.records && add(args, "--records", law.records);
	for (i = 0; i < key.n; i++)
		bad |= add(args, "--key", key.v[i]);
	if (law.key_file && !gv_selection_digest(sel, digest, e))
		bad |= add(args, "--keys", digest);
	bad |= law.except && add(args, "--except", NULL);
	if (bad)
		gv_fail(e, GV_ERR_NOMEM, "out of memory");
	return args;
}

/* Starts the output: the fields that stay, everything that made the input, and
 * this program. */
static int
begin(struct gv_writer **w, struct gv_out *o, const struct gv_schema *in,
    const bool *keep, const struct gv_selection *sel, struct gv_error *e)
{
	json_t *args = arguments(sel, e);
	struct gv_schema s;
	size_t i;

	if (e->code || gv_schema_init(&s, in->kind, e)) {
		json_decref(args);
		return e->code;
	}
	for (i = 0; i < in->nfields && !e->code; i++)
		if (keep[i])
			(void)!gv_schema_add_field(&s, &in->fields[i], e);
	if (e->code || gv_schema_merge_progs(&s, in, e))
		json_decref(args);
	else if (!gv_schema_prog(&s, "gv-cut", args, NULL, e))
		(void)!gv_writer_open(w, o, &s, e);
	gv_schema_free(&s);
	return e->code;
}

static int
put(struct gv_writer *w, const struct gv_schema *s, const bool *keep,
    const struct gv_rec *rec, struct gv_error *e)
{
	size_t i;

	if (gv_writer_begin(w, rec->key, e))
		return e->code;
	for (i = 0; i < s->nfields; i++)
		if (keep[i] &&
		    gv_writer_value(w, s->fields[i].name, &rec->v[i], e))
			return e->code;
	return gv_writer_end_rec(w, e);
}

/* Copies what is chosen; nothing is read behind the last such record. */
static int
cut(struct gv_writer *w, struct gv_inputs *in, const bool *keep,
    struct gv_selection *sel, struct gv_error *e)
{
	const struct gv_schema *s = gv_reader_schema(in->first);
	uint64_t kept = 0;
	struct gv_rec rec;

	while (!gv_selection_done(sel, in->records) &&
	       gv_inputs_next(in, &rec, e) > 0) {
		if (!gv_selection_takes(sel, &rec))
			continue;
		if (put(w, s, keep, &rec, e))
			return e->code;
		kept++;
		cli_progress(
		    "record %" PRIu64 ", %" PRIu64 " kept", rec.n, kept);
	}
	cli_say(
	    1, "%" PRIu64 " of %" PRIu64 " records kept", kept, in->records);
	return e->code ? e->code : gv_selection_check(sel, e);
}

int
main(int argc, char **argv)
{
	int n = cli_start(&prog, &common, argc, argv);
	struct gv_selection *sel = NULL;
	struct gv_writer *w = NULL;
	struct gv_inputs in = {0};
	struct gv_error e = {0};
	struct gv_out *o = NULL;
	bool *keep = NULL;

	law.key = key.v;
	law.nkeys = key.n;
	if (fields && drop)
		cli_usage("--fields and --drop exclude each other");
	if (law.except && !law.records && !law.nkeys && !law.key_file)
		cli_usage("--except goes with --records, --key or --keys");
	if (!fields && !drop && !law.records && !law.nkeys && !law.key_file)
		cli_usage("nothing is chosen (see --help)");
	if (gv_selection_open(&sel, &law, &e) ||
	    gv_inputs_open(&in, argv + 1, n, &e) ||
	    choose(&keep, in.first, &e) ||
	    gv_out_open(&o, common.output, true, common.force, &e))
		cli_die(&e);
	gv_inputs_tie(&in, o);
	if (begin(&w, o, gv_reader_schema(in.first), keep, sel, &e) ||
	    cut(w, &in, keep, sel, &e) || gv_writer_close(&w, in.bad, &e) ||
	    gv_out_commit(&o, &e))
		cli_die(&e);
	gv_inputs_close(&in);
	gv_selection_close(&sel);
	gv_free(keep);
	gv_free(key.v);
	return cli_finish();
}
