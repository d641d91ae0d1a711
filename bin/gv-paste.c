/* gv-paste: joins the records of several streams that have the same key. */
#include "cli.h"
#include "mem.h"
#include "stream.h"

#include <string.h>

static struct gv_opt_common common;
static bool many, prefer_first;

static const struct gv_opt opts[] = {
    {"many", 0, GV_OPT_FLAG, &many, NULL,
	"records of the first stream in a row may share a key", 0, 0, NULL},
    {"prefer-first", 0, GV_OPT_FLAG, &prefer_first, NULL,
	"of a field in several streams, take the first stream's", 0, 0, NULL},
    {0}};

static const struct gv_opt_prog prog = {
    "gv-paste",
    "[--many] [-o FILE] FILE FILE ...",
    "join records by key, field beside field",
    GV_OPT_C_OUTPUT,
    opts,
};

/* An input and the record it is at. */
struct input {
	struct gv_reader *r;
	struct gv_rec rec;
	bool have;
};

static struct input *in;
static int nin;

static void
open_all(char **paths, struct gv_error *e)
{
	int i, standard = 0;

	in = gv_alloc((size_t)nin, sizeof *in);
	if (!in)
		gv_fail(e, GV_ERR_NOMEM, "out of memory");
	for (i = 0; i < nin; i++)
		standard += !strcmp(paths[i], "-");
	if (standard > 1)
		cli_usage("standard input can be read only once");
	for (i = 0; i < nin && !e->code; i++)
		if (gv_reader_open(&in[i].r, paths[i], e))
			return;
}

/* Does an earlier input give the field? */
static bool
taken(int upto, const char *name)
{
	int i;

	for (i = 0; i < upto; i++)
		if (gv_reader_has(in[i].r, name) >= 0)
			return true;
	return false;
}

static int
add_input(struct gv_schema *s, int i, struct gv_error *e)
{
	const struct gv_schema *t = gv_reader_schema(in[i].r);
	const char *name = gv_reader_name(in[i].r);
	size_t f;

	if (gv_schema_agree(s, t, e) || gv_schema_merge_progs(s, t, e))
		return gv_fail_in(e, "cannot join '%s'", name);
	for (f = 0; f < t->nfields; f++) {
		if (taken(i, t->fields[f].name)) {
			if (prefer_first)
				continue;
			return gv_fail(e, GV_ERR_MATCH,
			    "cannot join '%s': an earlier stream has a field "
			    "'%s', too (see --prefer-first)",
			    name, t->fields[f].name);
		}
		if (gv_schema_add_field(s, &t->fields[f], e))
			return gv_fail_in(e, "cannot join '%s'", name);
	}
	return 0;
}

/* The HEAD of the output: all fields, everything that made any input. */
static int
unite(struct gv_schema *s, struct gv_error *e)
{
	json_t *args = json_array();
	int i;

	if (gv_schema_copy(s, gv_reader_schema(in[0].r), e)) {
		json_decref(args);
		return e->code;
	}
	for (i = 1; i < nin && !e->code; i++)
		(void)add_input(s, i, e);
	if (many)
		json_array_append_new(args, json_string("--many"));
	if (prefer_first)
		json_array_append_new(args, json_string("--prefer-first"));
	if (gv_schema_prog(s, "gv-paste", args, NULL, e))
		return e->code;
	return e->code; /* of add_input */
}

static int
next(struct input *i, struct gv_error *e)
{
	int got = gv_reader_next(i->r, &i->rec, e);

	i->have = got > 0;
	return got < 0 ? got : 0;
}

/* Brings input i to the key of the first input's record. */
static int
follow(struct input *i, bool again, struct gv_error *e)
{
	const char *key = in[0].rec.key;
	const char *a = gv_reader_name(in[0].r), *b = gv_reader_name(i->r);
	char q[300], p[300];

	if (!again && next(i, e))
		return e->code;
	gv_quote(q, sizeof q, key, strlen(key));
	if (!i->have)
		return gv_fail(e, GV_ERR_MATCH,
		    "record %llu of '%s' has key '%s', but '%s' has no more "
		    "records",
		    (unsigned long long)in[0].rec.n, a, q, b);
	if (strcmp(key, i->rec.key))
		return gv_fail(e, GV_ERR_MATCH,
		    "record %llu of '%s' has key '%s', but record %llu of "
		    "'%s' has key '%s'",
		    (unsigned long long)in[0].rec.n, a, q,
		    (unsigned long long)i->rec.n, b,
		    gv_quote(p, sizeof p, i->rec.key, strlen(i->rec.key)));
	return 0;
}

static int
put(struct gv_writer *w, struct gv_error *e)
{
	size_t f;
	int i;

	if (gv_writer_begin(w, in[0].rec.key, e))
		return e->code;
	for (i = 0; i < nin; i++) {
		const struct gv_schema *s = gv_reader_schema(in[i].r);

		for (f = 0; f < s->nfields; f++)
			if (!taken(i, s->fields[f].name) &&
			    gv_writer_value(
				w, s->fields[f].name, &in[i].rec.v[f], e))
				return e->code;
	}
	return gv_writer_end_rec(w, e);
}

static int
paste(struct gv_writer *w, struct gv_error *e)
{
	char key[GV_MAX_KEY + 1] = "", q[300];
	bool again;
	int i;

	while (!next(&in[0], e) && in[0].have) {
		again = many && in[0].rec.n && !strcmp(key, in[0].rec.key);
		for (i = 1; i < nin; i++)
			if (follow(&in[i], again, e))
				return e->code;
		if (put(w, e))
			return gv_fail_in(e, "record %llu of '%s'",
			    (unsigned long long)in[0].rec.n,
			    gv_reader_name(in[0].r));
		memcpy(key, in[0].rec.key, strlen(in[0].rec.key) + 1);
		cli_progress("record %llu", (unsigned long long)in[0].rec.n);
	}
	for (i = 1; i < nin && !e->code; i++)
		if (!next(&in[i], e) && in[i].have)
			return gv_fail(e, GV_ERR_MATCH,
			    "record %llu of '%s' has key '%s', but '%s' has "
			    "no more records",
			    (unsigned long long)in[i].rec.n,
			    gv_reader_name(in[i].r),
			    gv_quote(q, sizeof q, in[i].rec.key,
				strlen(in[i].rec.key)),
			    gv_reader_name(in[0].r));
	return e->code;
}

int
main(int argc, char **argv)
{
	struct gv_schema s = {0};
	struct gv_writer *w = NULL;
	struct gv_error e = {0};
	struct gv_out *o = NULL;
	uint64_t bad = 0;
	int i;

	nin = cli_start(&prog, &common, argc, argv);
	if (nin < 2)
		cli_usage("two streams or more are needed (see --help)");
	open_all(argv + 1, &e);
	if (e.code || unite(&s, &e) ||
	    gv_out_open(&o, common.output, true, common.force, &e))
		cli_die(&e);
	for (i = 0; i < nin; i++)
		gv_reader_tie(in[i].r, o);
	if (gv_writer_open(&w, o, &s, &e) || paste(w, &e))
		cli_die(&e);
	for (i = 0; i < nin; i++) {
		cli_say(1, "'%s': %llu bytes", gv_reader_name(in[i].r),
		    (unsigned long long)gv_reader_offset(in[i].r));
		bad += gv_reader_bad(in[i].r);
		gv_reader_close(&in[i].r);
	}
	if (gv_writer_close(&w, bad, &e) || gv_out_commit(&o, &e))
		cli_die(&e);
	gv_schema_free(&s);
	gv_free(in);
	return cli_finish();
}
