/* gv-encode-vision: pixels to what a model's vision tower makes of them. */
#include "cli.h"
#include "encoding.h"

enum stage { ENCODER, FULL };

static struct gv_opt_common common;
static const char *model_dir;
static int stage = -1, dtype;
static int64_t batch; /* 0: as the device likes it */

static const struct gv_opt opts[] = {
    {"model", 'm', GV_OPT_STR, &model_dir, "DIR", "the model's directory", 0, 0,
	NULL},
    {"stage", 0, GV_OPT_WORD, &stage, NULL,
	"stop at the tower's features, or go on to embeds", 0, 0,
	"encoder|full"},
    {"dtype", 0, GV_OPT_WORD, &dtype, NULL, "of the output (f32)", 0, 0,
	"f32|bf16"},
    {"batch", 0, GV_OPT_INT, &batch, "N",
	"images in a forward pass (64; on the CPU 16)", 1, 65536, NULL},
    {0}};

static const struct gv_opt_prog prog = {
    "gv-encode-vision",
    "-m MODEL --stage encoder|full [-o FILE] [FILE ...]",
    "run images through a model's vision tower",
    GV_OPT_C_OUTPUT | GV_OPT_C_DEVICE | GV_OPT_C_THREADS,
    opts,
};

static void
progress(uint64_t records, uint64_t images)
{
	cli_progress("%llu records, %llu images encoded",
	    (unsigned long long)records, (unsigned long long)images);
}

int
main(int argc, char **argv)
{
	int n = cli_start(&prog, &common, argc, argv);
	const struct gv_encoding_opts o = {.model = model_dir,
	    .device = common.device,
	    .threads = common.threads,
	    .output = common.output,
	    .force = common.force,
	    .full = stage == FULL,
	    .dtype = dtype ? GV_BF16 : GV_F32,
	    .batch = batch,
	    .say = cli_line,
	    .progress = progress};
	struct gv_encoding *r = NULL;
	struct gv_inputs in = {0};
	struct gv_error e = {0};

	if (!model_dir)
		cli_usage("no model: -m DIR");
	if (stage < 0)
		cli_usage("no stage: --stage encoder|full");
	if (gv_inputs_open(&in, argv + 1, n, &e) ||
	    gv_encoding_open(&r, &in, &o, &e) || gv_encoding_run(r, &e))
		cli_die(&e);
	gv_encoding_close(&r);
	gv_inputs_close(&in);
	return cli_finish();
}
