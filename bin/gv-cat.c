/* gv-cat: joins streams end to end into one, and checks every byte of them. */
#include "cli.h"
#include "stream.h"

#include <inttypes.h>

static struct gv_opt_common common;

static const struct gv_opt_prog prog = {
    "gv-cat",
    "[-o FILE] [FILE ...]",
    "join streams end to end into one",
    GV_OPT_C_OUTPUT,
    NULL,
};

/* The HEAD of the output: that of the first input, and this program. */
static int
begin(struct gv_writer **w, struct gv_out *o, const struct gv_schema *in,
    struct gv_error *e)
{
	struct gv_schema s;

	if (gv_schema_copy(&s, in, e))
		return e->code;
	if (gv_schema_prog(&s, "gv-cat", NULL, NULL, e) ||
	    gv_writer_open(w, o, &s, e))
		*w = NULL;
	gv_schema_free(&s);
	return e->code;
}

static int
copy(struct gv_writer *w, struct gv_reader *r, struct gv_error *e)
{
	struct gv_rec rec;
	uint64_t n = 0;
	int got;

	while ((got = gv_reader_next(r, &rec, e)) > 0) {
		if (gv_writer_rec(w, &rec, e))
			return e->code;
		cli_progress("%s: record %" PRIu64, gv_reader_name(r), ++n);
	}
	cli_say(1, "'%s': %" PRIu64 " records, %" PRIu64 " bytes",
	    gv_reader_name(r), n, gv_reader_offset(r));
	return got;
}

int
main(int argc, char **argv)
{
	int n = cli_start(&prog, &common, argc, argv), i;
	struct gv_reader *first = NULL, *r;
	struct gv_writer *w = NULL;
	struct gv_error e = {0};
	struct gv_out *o = NULL;
	uint64_t bad = 0;

	for (i = 1; i <= (n ? n : 1) && !e.code; i++) {
		if (gv_reader_open(&r, n ? argv[i] : NULL, &e))
			break;
		if (!first) {
			first = r;
			if (gv_out_open(
				&o, common.output, true, common.force, &e) ||
			    begin(&w, o, gv_reader_schema(r), &e))
				break;
		} else if (gv_schema_same(gv_reader_schema(first),
			       gv_reader_schema(r), &e) ||
			   gv_schema_agree(gv_reader_schema(first),
			       gv_reader_schema(r), &e)) {
			gv_fail_in(&e, "cannot join '%s' to '%s'",
			    gv_reader_name(r), gv_reader_name(first));
			break;
		}
		gv_reader_tie(r, o);
		if (copy(w, r, &e))
			break;
		bad += gv_reader_bad(r);
		if (r != first)
			gv_reader_close(&r);
	}
	if (e.code || gv_writer_close(&w, bad, &e) || gv_out_commit(&o, &e))
		cli_die(&e);
	gv_reader_close(&first);
	return cli_finish();
}
