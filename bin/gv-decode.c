/* gv-decode: pictures in files become records of upright, resized RGB. */
#include "cli.h"
#include "clock.h"
#include "config.h"
#include "decode.h"
#include "decode_write.h"
#include "ordered.h"
#include "rule_options.h"
#include "sandbox.h"

#include <malloc.h>
#include <stdlib.h>
#include <string.h>

static struct gv_opt_common common;
static const char *model, *background;
static struct gv_rule_options given = {.fit = -1, .filter = -1};
static bool jsonl, paths, nul, tar, pipes, stats, contained, fast;
static struct gv_opt_list keep;
static int64_t max_pixels, max_side, max_scans, max_memory;
static int64_t every = 1, frames = 1;
static struct gv_source_law source;
static struct gv_decode_law law = {.root = ".", .field = NULL};

static const struct gv_opt opts[] = {
    {"size", 's', GV_OPT_STR, &given.size, "HxW",
	"height and width of the result; N is NxN", 0, 0, NULL},
    {"model", 'm', GV_OPT_STR, &model, "DIR", "take all of it from this model",
	0, 0, NULL},
    {"fit", 0, GV_OPT_WORD, &given.fit, NULL,
	"how pictures of other proportions fit (squash)", 0, 0, GV_FIT_WORDS},
    {"fill", 0, GV_OPT_STR, &given.fill, "R,G,B",
	"colour beside a padded picture (122,116,104)", 0, 0, NULL},
    {"filter", 0, GV_OPT_WORD, &given.filter, NULL, "what resizes (bicubic)", 0,
	0, GV_FILTER_WORDS},
    {"grids", 0, GV_OPT_STR, &given.grids, "RxC,...",
	"--fit tile: rows and columns to choose from", 0, 0, NULL},
    {"longest", 0, GV_OPT_INT, &given.longest, "N",
	"--fit tile: Idefics 3's way, from a longer side of N", 1, 4096, NULL},
    {"fast", 0, GV_OPT_FLAG, &fast, NULL,
	"decode large JPEGs to a part of their size: not exact", 0, 0, NULL},
    {"background", 0, GV_OPT_STR, &background, "COLOUR",
	"R,G,B, white or black behind transparent pictures, or none", 0, 0,
	NULL},
    {"jsonl", 0, GV_OPT_FLAG, &jsonl, NULL,
	"all operands are JSON lines, whatever their names", 0, 0, NULL},
    {"paths", 0, GV_OPT_FLAG, &paths, NULL,
	"all operands are lists of paths, one a line", 0, 0, NULL},
    {"null", '0', GV_OPT_FLAG, &nul, NULL,
	"all operands are lists of paths, ended by NULs", 0, 0, NULL},
    {"tar", 0, GV_OPT_FLAG, &tar, NULL,
	"all operands are tar files, whatever their names", 0, 0, NULL},
    {"pipe", 0, GV_OPT_FLAG, &pipes, NULL,
	"all operands are JPEGs and PNGs end to end", 0, 0, NULL},
    {"every", 0, GV_OPT_INT, &every, "N", "--pipe: take every Nth picture (1)",
	1, 1e9, NULL},
    {"frames", 0, GV_OPT_INT, &frames, "N", "--pipe: pictures a record (1)", 1,
	65536, NULL},
    {"field", 0, GV_OPT_STR, &law.field, "NAME",
	"what names the pictures in a line (image) or tar file", 0, 0, NULL},
    {"keep", 0, GV_OPT_LIST, &keep, "NAME",
	"carry this key of lines, or member of tar files, along", 0, 0, NULL},
    {"image-id", 0, GV_OPT_FLAG, &law.id, NULL,
	"add the hash of each picture's file", 0, 0, NULL},
    {"root", 0, GV_OPT_STR, &law.root, "DIR", "where relative paths start (.)",
	0, 0, NULL},
    {"max-pixels", 0, GV_OPT_INT, &max_pixels, "N",
	"refuse pictures of more pixels (64Mi)", 1, 4294967296., NULL},
    {"max-side", 0, GV_OPT_INT, &max_side, "N", "refuse longer sides (32768)",
	1, 16777216., NULL},
    {"max-scans", 0, GV_OPT_INT, &max_scans, "N",
	"refuse JPEGs of more scans (100)", 1, 1e6, NULL},
    {"max-memory", 0, GV_OPT_INT, &max_memory, "N",
	"bytes that decoding may take (512Mi)", 1048576, 1e12, NULL},
    {"max-seconds", 0, GV_OPT_F64, &law.limits.max_seconds, "S",
	"CPU time that a picture may take (10)", 1e-3, 1e6, NULL},
    {"lenient", 0, GV_OPT_FLAG, &law.limits.lenient, NULL,
	"accept damaged JPEGs where libjpeg only warns", 0, 0, NULL},
    {"require-sandbox", 0, GV_OPT_FLAG, &contained, NULL,
	"fail where the kernel can't contain this program", 0, 0, NULL},
    {"stats", 0, GV_OPT_FLAG, &stats, NULL, "say at the end what took how long",
	0, 0, NULL},
    {0},
};

static const struct gv_opt_prog prog = {
    "gv-decode",
    "-s HxW|-m MODEL [options] [IMAGE|LIST.jsonl|SHARD.tar|- ...]",
    "decode and resize pictures into a stream of RGB",
    GV_OPT_C_OUTPUT | GV_OPT_C_THREADS | GV_OPT_C_ERRORS,
    opts,
};

/* ---- decoding, in many threads ----------------------------------------- */

struct item {
	struct gv_source_rec rec;
	struct gv_decoded out;
};

/* What all threads share. */
struct shared {
	struct gv_source *in;
	struct gv_decoder *decoder;
};

static int
next(void *ctx, void *p, struct gv_error *e)
{
	struct shared *s = ctx;
	struct item *it = p;

	return gv_source_next(s->in, &it->rec, e);
}

static void
work(void *ctx, void *p)
{
	struct shared *s = ctx;
	struct item *it = p;

	gv_decoder_rec(s->decoder, &it->out, &it->rec);
}

static void
drop(void *p)
{
	struct item *it = p;

	gv_source_rec_free(&it->rec);
	gv_decoded_free(&it->out);
}

/* ---- the stream -------------------------------------------------------- */

/* A bad record: named and let pass, or the end. */
static int
bad(const struct item *it, uint64_t n, uint64_t *count, struct gv_error *e)
{
	struct gv_error why = it->out.error;

	gv_decode_where(&why, &it->rec, &it->out, n);
	if (why.code == GV_ERR_NOMEM || *count >= (uint64_t)common.max_errors) {
		*e = why;
		return why.code;
	}
	++*count;
	cli_warn("%s", why.msg);
	return 0;
}

/* What all records together took. */
struct total {
	uint64_t records, bad, pictures, bytes, read_ns, decode_ns, resize_ns;
};

static void
say_stats(const struct total *t, double s)
{
	double all = (double)(t->read_ns + t->decode_ns + t->resize_ns);

	cli_say(0,
	    "%llu pictures in %.3f s: %.0f pictures/s, %.1f MB/s; CPU time "
	    "%.3f s: reading %.0f %%, decoding %.0f %%, resizing %.0f %%",
	    (unsigned long long)t->pictures, s, (double)t->pictures / s,
	    (double)t->bytes / s * 1e-6, all * 1e-9,
	    100 * (double)t->read_ns / (all + 1),
	    100 * (double)t->decode_ns / (all + 1),
	    100 * (double)t->resize_ns / (all + 1));
}

static void
count(struct total *t, const struct gv_decoded *d)
{
	t->records++;
	t->pictures += (uint64_t)d->n;
	t->bytes += d->bytes;
	t->read_ns += d->read_ns;
	t->decode_ns += d->decode_ns;
	t->resize_ns += d->resize_ns;
}

static int
decode(struct shared *s, struct gv_out *o, struct gv_error *e)
{
	struct gv_ordered *items = NULL;
	struct gv_writer *w = NULL;
	struct total t = {0};
	double start = gv_now();
	void *p;
	int r;

	if (gv_decode_begin(&w, o, &law, prog.name, e) ||
	    gv_ordered_open(&items, (size_t)common.threads, sizeof(struct item),
		next, work, drop, s, e))
		return e->code;
	while ((r = gv_ordered_take(items, &p, e)) > 0) {
		const struct item *it = p;

		r = it->out.error.code ? bad(it, t.records, &t.bad, e)
				       : gv_decode_put(w, &law, &it->out, e);
		/* what is made of a list that rests isn't held back */
		if (!r && it->rec.rests)
			r = gv_out_flush(o, e);
		if (r)
			return r;
		count(&t, &it->out);
		cli_progress("%llu records", (unsigned long long)t.records);
	}
	if (r)
		return r;
	gv_ordered_close(&items);
	cli_say(1, "%llu records, %llu bad", (unsigned long long)t.records,
	    (unsigned long long)t.bad);
	if (stats)
		say_stats(&t, gv_now() - start);
	return gv_writer_close(&w, t.bad, e);
}

/* ---- the command line -------------------------------------------------- */

static void
choose_rule(void)
{
	struct gv_config c;
	struct gv_error e = {0};
	bool tiled;

	if (!given.size == !model)
		cli_usage("needs one of --size and --model (see --help)");
	tiled = given.fit == GV_FIT_WORD_TILE;
	if (model && ((given.fit >= 0 && !tiled) || given.filter >= 0 ||
			 given.fill || given.grids || given.longest))
		cli_usage("--model brings its own fit, fill and filter");
	if (given.size) {
		if (gv_rule_of_options(&law.rule, &law.tiles, &given, &e))
			cli_die(&e);
		return;
	}
	if (gv_config_open(&c, model, &e))
		cli_die(&e);
	if (!c.has_vision) {
		gv_fail(&e, GV_ERR_MATCH, "'%s' has no vision part", model);
		cli_die(&e);
	}
	law.rule = c.rule;
	if (tiled && c.tiles.way == GV_TILE_NONE) {
		gv_fail(&e, GV_ERR_MATCH,
		    "'%s' was not made for tiles, as its processor says",
		    model);
		cli_die(&e);
	}
	if (tiled)
		law.tiles = c.tiles;
	gv_config_free(&c);
}

/* A model's processor drops alpha; people expect white behind it. */
static void
choose_background(void)
{
	const char *s = background ? background : model ? "none" : "white";
	struct gv_error e = {0};

	law.limits.over = strcmp(s, "none") != 0;
	if (!law.limits.over)
		return;
	s = !strcmp(s, "white")   ? "255,255,255"
	    : !strcmp(s, "black") ? "0,0,0"
				  : s;
	if (gv_rule_colour(law.limits.under, "--background", s, &e))
		cli_die(&e);
}

static void
choose_source(int n, char **operand)
{
	static const char *const tar_keeps[] = {"json", "txt"};
	bool any_tar = tar;
	int i;

	if (jsonl + paths + nul + tar + pipes > 1)
		cli_usage("one of --jsonl, --paths, --null, --tar and --pipe "
			  "is enough");
	if (!pipes && (every > 1 || frames > 1))
		cli_usage("--every and --frames are for --pipe");
	source.form = jsonl   ? GV_SOURCE_JSONL
		      : paths ? GV_SOURCE_PATHS
		      : nul   ? GV_SOURCE_PATHS0
		      : tar   ? GV_SOURCE_TAR
		      : pipes ? GV_SOURCE_FRAMES
			      : GV_SOURCE_NAMED;
	for (i = 0; i < n && source.form == GV_SOURCE_NAMED; i++)
		any_tar |= gv_source_form(operand[i]) == GV_SOURCE_TAR;
	law.keep = keep.n ? keep.v : tar_keeps;
	law.nkeep = keep.n ? keep.n : any_tar ? 2 : 0;
	source.field = law.field;
	law.field = law.field ? law.field : "image";
	source.keep = law.keep;
	source.nkeep = law.nkeep;
	source.every = (uint64_t)every;
	source.frames = (uint64_t)frames;
}

/* With all but pictures open, what decoding doesn't need is given up. */
static int
contain(struct gv_error *e)
{
	unsigned got;

	if (gv_sandbox_enter(common.output, &got, e))
		return e->code;
	if (contained && got != GV_SANDBOX_WHOLE)
		return gv_fail(e, GV_ERR_NOSUP,
		    "--require-sandbox: this kernel offers no %s",
		    got & GV_SANDBOX_CALLS ? "Landlock" : "seccomp");
	cli_say(1, "sandbox: system calls %s, paths %s",
	    got & GV_SANDBOX_CALLS ? "filtered" : "free",
	    got & GV_SANDBOX_PATHS ? "ruled over" : "free");
	return 0;
}

int
main(int argc, char **argv)
{
	static char stdin_name[] = "-", *only_stdin[] = {stdin_name};
	struct gv_image_limits *l = &law.limits;
	struct shared s = {0};
	struct gv_error e = {0};
	char **operand = argv + 1;
	struct gv_out *o;
	int n;

	gv_image_limits_default(l);
	max_pixels = (int64_t)l->max_pixels;
	max_side = l->max_side;
	max_scans = l->max_scans;
	max_memory = (int64_t)l->max_bytes;
#ifdef M_MMAP_THRESHOLD
	/* What is larger, as a progressive picture's coefficients are, goes
	 * back when it is freed: each thread would keep some. */
	mallopt(M_MMAP_THRESHOLD, 4 << 20);
#endif
	n = cli_start(&prog, &common, argc, argv);
	if (!n) {
		operand = only_stdin;
		n = 1;
	}
	choose_rule();
	if (fast && law.tiles.way)
		cli_usage("--fast is not for tiles");
	law.rule.fast = fast;
	choose_background();
	choose_source(n, operand);
	l->max_pixels = (uint64_t)max_pixels;
	l->max_side = (uint32_t)max_side;
	l->max_scans = (unsigned)max_scans;
	l->max_bytes = (uint64_t)max_memory;
	if (gv_source_open(&s.in, &source, operand, n, &e) ||
	    gv_decoder_open(&s.decoder, &law, &e) ||
	    gv_out_open(&o, common.output, true, common.force, &e) ||
	    contain(&e))
		cli_die(&e);
	gv_source_watch(s.in, o);
	if (decode(&s, o, &e) || gv_out_commit(&o, &e))
		cli_die(&e);
	gv_decoder_close(&s.decoder);
	gv_source_close(&s.in);
	return cli_finish();
}
