/* gv-shuf: shuffles the records of streams, and mixes streams by weight.
 *
 * Without weights the inputs are one pool, and a pass gives each record once.
 * With weights each input is a pool of its own, shuffled anew whenever it is
 * used up, and each record is drawn from the input that chance picks.
 */
#include "cli.h"
#include "mem.h"
#include "philox.h"
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
	double weight;
	uint64_t first, count; /* its records in the pool of all */
};

/* Records in an order that passes through them again and again. */
struct pool {
	uint64_t *order;
	uint64_t first, count; /* records first .. first + count - 1 */
	uint64_t at; /* next in order */
	uint64_t pass;
	uint64_t stream; /* of random numbers */
};

static struct input *in;
static int nin;
static struct pool *pools;
static int npools;

/* ---- inputs -------------------------------------------------------------- */

/* "FILE:WEIGHT", unless a file has that very name. */
static void
split_weight(char *arg, struct input *i)
{
	char *colon = strrchr(arg, ':');
	double w;

	if (!colon || gv_opt_f64(colon + 1, &w) || !access(arg, F_OK))
		return;
	if (!(w > 0))
		cli_usage("the weight of '%s' is not above 0", arg);
	*colon = '\0';
	i->weight_text = colon + 1;
	i->weight = w;
}

static void
open_all(char **args, struct gv_error *e)
{
	const struct gv_schema *s;
	uint64_t total = 0;
	int i, weighted = 0, standard = 0;

	for (i = 0; i < nin; i++) {
		split_weight(args[i], &in[i]);
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
		    gv_reader_index(in[i].r, &in[i].count, e))
			return;
		s = gv_reader_schema(in[0].r);
		if (gv_schema_same(s, gv_reader_schema(in[i].r), e) ||
		    gv_schema_agree(s, gv_reader_schema(in[i].r), e)) {
			gv_fail_in(e, "cannot mix '%s' with '%s'",
			    gv_reader_name(in[i].r), gv_reader_name(in[0].r));
			return;
		}
		cli_say(1, "'%s': %" PRIu64 " records", gv_reader_name(in[i].r),
		    in[i].count);
		in[i].first = total;
		total += in[i].count;
	}
}

/* The input that holds record `i` of all. */
static struct input *
holder(uint64_t i)
{
	int lo = 0, hi = nin - 1;

	while (lo < hi) {
		int mid = (lo + hi + 1) / 2;

		if (in[mid].first <= i)
			lo = mid;
		else
			hi = mid - 1;
	}
	return &in[lo];
}

/* ---- order --------------------------------------------------------------- */

/* Random numbers of a pool (0: of the draws) and pass: both are part of the
 * purpose, so that no two share numbers. */
static void
numbers(struct gv_rng *g, uint64_t stream, uint64_t pass)
{
	gv_rng_init(g, (uint64_t)common.seed,
	    GV_PURPOSE_SHUFFLE | stream << 8 | pass << 32);
}

/* Fisher and Yates.  Each pass starts from the records' own order, so that it
 * depends on nothing but seed and number. */
static void
shuffle(struct pool *p)
{
	struct gv_rng g;
	uint64_t i, j, t;

	numbers(&g, p->stream, p->pass++);
	for (i = 0; i < p->count; i++)
		p->order[i] = p->first + i;
	for (i = p->count; i > 1; i--) {
		j = gv_rng_below(&g, i);
		t = p->order[i - 1];
		p->order[i - 1] = p->order[j];
		p->order[j] = t;
	}
	p->at = 0;
}

static int
make_pools(struct gv_error *e)
{
	int i;

	npools = in[0].weight_text ? nin : 1;
	pools = gv_alloc((size_t)npools, sizeof *pools);
	if (!pools)
		return gv_fail(e, GV_ERR_NOMEM, "out of memory");
	for (i = 0; i < npools; i++) {
		struct pool *p = &pools[i];

		p->stream = (uint64_t)i + 1;
		p->first = in[i].first;
		p->count = npools > 1 || nin == 1
			       ? in[i].count
			       : in[nin - 1].first + in[nin - 1].count;
		p->order = gv_alloc((size_t)p->count, sizeof *p->order);
		if (!p->order)
			return gv_fail(e, GV_ERR_NOMEM,
			    "out of memory for %" PRIu64 " records", p->count);
		p->at = p->count;
		if (records && !p->count)
			return gv_fail(e, GV_ERR_MATCH,
			    "'%s' has no records to draw from",
			    gv_reader_name(in[i].r));
	}
	return 0;
}

static struct pool *
draw(struct gv_rng *g)
{
	double sum = 0, x;
	int i;

	for (i = 0; i < npools; i++)
		sum += in[i].weight;
	x = npools > 1 ? gv_rng_f64(g) * sum : 0;
	for (i = 0; i < npools - 1 && x >= in[i].weight; i++)
		x -= in[i].weight;
	return &pools[i];
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
write_all(struct gv_writer *w, struct gv_error *e)
{
	uint64_t want =
	    records ? (uint64_t)records : (uint64_t)epochs * pools->count;
	struct gv_rng draws;
	struct gv_rec rec;
	uint64_t n;

	if (head && (uint64_t)head < want)
		want = (uint64_t)head;
	numbers(&draws, 0, 0);
	for (n = 0; n < want; n++) {
		struct pool *p = draw(&draws);
		struct input *i;
		uint64_t k;

		if (p->at == p->count)
			shuffle(p);
		k = p->order[p->at++];
		i = holder(k);
		if (gv_reader_at(i->r, k - i->first, &rec, e) ||
		    gv_writer_rec(w, &rec, e))
			return e->code;
		cli_progress("record %" PRIu64 " of %" PRIu64, n, want);
	}
	return 0;
}

int
main(int argc, char **argv)
{
	static char standard[] = "-", *none[] = {standard};
	struct gv_schema s = {0};
	struct gv_writer *w = NULL;
	struct gv_error e = {0};
	struct gv_out *o = NULL;
	uint64_t bad = 0;
	int n = cli_start(&prog, &common, argc, argv), i;

	nin = n ? n : 1;
	in = gv_alloc((size_t)nin, sizeof *in);
	if (!in) {
		gv_fail(&e, GV_ERR_NOMEM, "out of memory");
		cli_die(&e);
	}
	if (epochs && records)
		cli_usage("--epochs and --records exclude each other");
	open_all(n ? argv + 1 : none, &e);
	if (!epochs && !records)
		epochs = 1;
	if (e.code || make_pools(&e) || begin(&s, &e) ||
	    gv_out_open(&o, common.output, true, common.force, &e) ||
	    gv_writer_open(&w, o, &s, &e) || write_all(w, &e))
		cli_die(&e);
	for (i = 0; i < nin; i++)
		bad += gv_reader_bad(in[i].r);
	if (gv_writer_close(&w, bad, &e) || gv_out_commit(&o, &e))
		cli_die(&e);
	for (i = 0; i < npools; i++)
		gv_free(pools[i].order);
	for (i = 0; i < nin; i++)
		gv_reader_close(&in[i].r);
	gv_schema_free(&s);
	gv_free(pools);
	gv_free(in);
	return cli_finish();
}
