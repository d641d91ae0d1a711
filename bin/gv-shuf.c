/* gv-shuf: shuffles the records of streams, and mixes streams by weight.
 *
 * Without weights the inputs are one pool, and a pass gives each record once.
 * With weights each input is a pool of its own, shuffled anew whenever it is
 * used up, and each record is drawn from the input that chance picks.
 */
#include "cli.h"
#include "mem.h"
#include "mix.h"
#include "stream.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct gv_opt_common common;
static int64_t epochs, records, head;

static const struct gv_opt opts[] = {
    {"epochs", 0, GV_OPT_INT, &epochs, "N",
	"passes over the records, each in another order (1)", 1, 1e9, NULL},
    {"records", 0, GV_OPT_INT, &records, "N",
	"write N records, in as many passes as that takes", 1, 9e15, NULL},
    {"head", 0, GV_OPT_INT, &head, "N",
	"stop after N records; fewer are no error", 1, 9e15, NULL},
    {0}};

static const struct gv_opt_prog prog = {
    "gv-shuf",
    "[--epochs N | --records N] [--head N] [-o FILE] [FILE[:WEIGHT] ...]",
    "shuffle records, mix streams by weight",
    GV_OPT_C_OUTPUT | GV_OPT_C_SEED,
    opts,
};

struct input {
	struct gv_reader *r;
	const char *weight_text; /* as given, or NULL */
};

/* By input. */
static struct input *in;
static double *weight;
static uint64_t *count;
static int nin;

/* ---- inputs -------------------------------------------------------------- */

/* "FILE:WEIGHT", unless a file has that very name. */
static void
split_weight(char *arg, int i)
{
	char *colon = strrchr(arg, ':');
	double w;

	if (!colon || gv_opt_f64(colon + 1, &w) || !access(arg, F_OK))
		return;
	if (!(w > 0))
		cli_usage("the weight of '%s' is not above 0", arg);
	*colon = '\0';
	in[i].weight_text = colon + 1;
	weight[i] = w;
}

static void
open_all(char **args, struct gv_error *e)
{
	const struct gv_schema *s;
	int i, weighted = 0, standard = 0;

	for (i = 0; i < nin; i++) {
		split_weight(args[i], i);
		weighted += in[i].weight_text != NULL;
		standard += !strcmp(args[i], "-");
	}
	if (weighted && weighted < nin)
		cli_usage("either all inputs have a weight or none has");
	if (weighted && !records)
		cli_usage("weights need --records");
	if (standard > 1)
		cli_usage("standard input can be read only once");
	for (i = 0; i < nin; i++) {
		if (gv_reader_open(&in[i].r, args[i], e) ||
		    gv_reader_spool(in[i].r, e) ||
		    gv_reader_index(in[i].r, &count[i], e))
			return;
		s = gv_reader_schema(in[0].r);
		if (gv_schema_same(s, gv_reader_schema(in[i].r), e) ||
		    gv_schema_agree(s, gv_reader_schema(in[i].r), e)) {
			gv_fail_in(e, "cannot mix '%s' with '%s'",
			    gv_reader_name(in[i].r), gv_reader_name(in[0].r));
			return;
		}
		cli_say(1, "'%s': %" PRIu64 " records", gv_reader_name(in[i].r),
		    count[i]);
	}
}

/* What there is to draw from: it may be nothing if nothing is wanted. */
static int
open_mix(struct gv_mix **m, uint64_t *total, struct gv_error *e)
{
	bool weighted = in[0].weight_text != NULL;
	int i;

	for (*total = 0, i = 0; i < nin; i++) {
		*total += count[i];
		if (weighted && !count[i])
			return gv_fail(e, GV_ERR_MATCH,
			    "'%s' has no records to draw from",
			    gv_reader_name(in[i].r));
	}
	if (records && !*total)
		return gv_fail(e, GV_ERR_MATCH,
		    "'%s' has no records to draw from",
		    gv_reader_name(in[0].r));
	return gv_mix_open(m, count, weighted ? weight : NULL, (size_t)nin,
	    (uint64_t)common.seed, e);
}

/* ---- output -------------------------------------------------------------- */

static int
arg_int(json_t *args, const char *name, int64_t v)
{
	char text[32];

	snprintf(text, sizeof text, "%" PRId64, v);
	return json_array_append_new(args, json_string(name)) ||
	       json_array_append_new(args, json_string(text));
}

static int
begin(struct gv_schema *s, struct gv_error *e)
{
	json_t *args = json_array();
	int i, bad;

	if (gv_schema_copy(s, gv_reader_schema(in[0].r), e)) {
		json_decref(args);
		return e->code;
	}
	for (i = 1; i < nin && !e->code; i++)
		if (gv_schema_merge_progs(s, gv_reader_schema(in[i].r), e))
			break;
	bad = arg_int(args, "--seed", common.seed) ||
	      (epochs && arg_int(args, "--epochs", epochs)) ||
	      (records && arg_int(args, "--records", records)) ||
	      (head && arg_int(args, "--head", head));
	for (i = 0; i < nin && in[i].weight_text && !bad; i++)
		bad =
		    json_array_append_new(args, json_string(in[i].weight_text));
	if (gv_schema_prog(s, "gv-shuf", args, NULL, e))
		return e->code;
	return bad ? gv_fail(e, GV_ERR_NOMEM, "out of memory") : e->code;
}

static int
write_all(
    struct gv_mix *m, uint64_t total, struct gv_writer *w, struct gv_error *e)
{
	uint64_t want = records ? (uint64_t)records : (uint64_t)epochs * total;
	struct gv_rec rec;
	uint64_t n, k;
	size_t i;

	if (head && (uint64_t)head < want)
		want = (uint64_t)head;
	for (n = 0; n < want; n++) {
		gv_mix_next(m, &i, &k);
		if (gv_reader_at(in[i].r, k, &rec, e) ||
		    gv_writer_rec(w, &rec, e))
			return e->code;
		cli_progress("record %" PRIu64 " of %" PRIu64, n, want);
	}
	return 0;
}

static void
make_inputs(int n)
{
	struct gv_error e = {0};

	nin = n;
	in = gv_alloc((size_t)n, sizeof *in);
	weight = gv_alloc((size_t)n, sizeof *weight);
	count = gv_alloc((size_t)n, sizeof *count);
	if (in && weight && count)
		return;
	gv_fail(&e, GV_ERR_NOMEM, "out of memory");
	cli_die(&e);
}

int
main(int argc, char **argv)
{
	static char standard[] = "-", *none[] = {standard};
	struct gv_schema s = {0};
	struct gv_writer *w = NULL;
	struct gv_error e = {0};
	struct gv_out *o = NULL;
	struct gv_mix *m = NULL;
	uint64_t bad = 0, total;
	int n = cli_start(&prog, &common, argc, argv), i;

	make_inputs(n ? n : 1);
	if (epochs && records)
		cli_usage("--epochs and --records exclude each other");
	open_all(n ? argv + 1 : none, &e);
	if (!epochs && !records)
		epochs = 1;
	if (e.code || open_mix(&m, &total, &e) || begin(&s, &e) ||
	    gv_out_open(&o, common.output, true, common.force, &e) ||
	    gv_writer_open(&w, o, &s, &e) || write_all(m, total, w, &e))
		cli_die(&e);
	for (i = 0; i < nin; i++)
		bad += gv_reader_bad(in[i].r);
	if (gv_writer_close(&w, bad, &e) || gv_out_commit(&o, &e))
		cli_die(&e);
	for (i = 0; i < nin; i++)
		gv_reader_close(&in[i].r);
	gv_mix_close(&m);
	gv_schema_free(&s);
	gv_free(in);
	gv_free(weight);
	gv_free(count);
	return cli_finish();
}
