/* gv-rollout: samples answers to prompt records, or scores given tokens. */
#include "cli.h"
#include "mem.h"
#include "rollout.h"

#include <string.h>

static struct gv_opt_common common;
static struct gv_opt_list stops;
static struct gv_rollout_opts o = {.batch = 64,
    .patience = -1,
    .logits = -1,
    .law = {.temperature = 1,
	.top_p = 1,
	.repetition_penalty = 1,
	.group = 1,
	.max_tokens = 256}};

static const struct gv_opt opts[] = {{"model", 'm', GV_OPT_STR, &o.model, "DIR",
					 "the model's directory", 0, 0, NULL},
    {"group", 0, GV_OPT_INT, &o.law.group, "G", "samples a prompt (1)", 1,
	65536, NULL},
    {"temperature", 0, GV_OPT_F64, &o.law.temperature, "T",
	"divides the logits; 0 takes the largest (1)", 0, 1e6, NULL},
    {"top-k", 0, GV_OPT_INT, &o.law.top_k, "K",
	"draw among the K likeliest; 0: all (0)", 0, GV_MAX_VOCAB, NULL},
    {"top-p", 0, GV_OPT_F64, &o.law.top_p, "P",
	"draw among the likeliest of mass P; 1: all (1)", 1e-9, 1, NULL},
    {"min-p", 0, GV_OPT_F64, &o.law.min_p, "P",
	"draw what is at least P times as likely as the likeliest (0)", 0, 1,
	NULL},
    {"repetition-penalty", 0, GV_OPT_F64, &o.law.repetition_penalty, "F",
	"make ids that are there already less likely (1)", 0.001, 1000, NULL},
    {"max-tokens", 0, GV_OPT_INT, &o.law.max_tokens, "N",
	"tokens of a sample at most (256)", 1, GV_MAX_POSITIONS, NULL},
    {"stop", 0, GV_OPT_LIST, &stops, "TEXT",
	"end a sample before TEXT; may be repeated", 0, 0, NULL},
    {"tool", 0, GV_OPT_STR, &o.law.tool, "NAME",
	"a tool that the model may call: calculator, or a command", 0, 0, NULL},
    {"tool-timeout", 0, GV_OPT_F64, &o.law.tool_timeout, "S",
	"seconds that a command may take to answer a call (3)", 0.001, 86400,
	NULL},
    {"tool-start", 0, GV_OPT_STR, &o.law.marks.start, "TEXT",
	"begins a call (<|python_start|>)", 0, 0, NULL},
    {"tool-end", 0, GV_OPT_STR, &o.law.marks.end, "TEXT",
	"ends a call (<|python_end|>)", 0, 0, NULL},
    {"tool-output-start", 0, GV_OPT_STR, &o.law.marks.out_start, "TEXT",
	"stands before what the tool says (<|output_start|>)", 0, 0, NULL},
    {"tool-output-end", 0, GV_OPT_STR, &o.law.marks.out_end, "TEXT",
	"stands behind it (<|output_end|>)", 0, 0, NULL},
    {"batch", 0, GV_OPT_INT, &o.batch, "N", "samples that decode together (64)",
	1, 65536, NULL},
    {"follow", 0, GV_OPT_STR, &o.follow, "RUN",
	"sample with the weights that gv-train --publish RUN has now", 0, 0,
	NULL},
    {"wait", 0, GV_OPT_F64, &o.patience, "S",
	"seconds that the first of them may take (600)", 0, 1e9, NULL},
    {"images", 0, GV_OPT_FLAG, &o.images, NULL,
	"pass on what the prompts have of images, for gv-train", 0, 0, NULL},
    {"score", 0, GV_OPT_FLAG, &o.score, NULL,
	"add the log-probabilities of the records' own tokens", 0, 0, NULL},
    {"score-as", 0, GV_OPT_STR, &o.score_as, "NAME",
	"the field that --score writes (logp)", 0, 0, NULL},
    {"logits", 0, GV_OPT_INT, &o.logits, "K",
	"add the K largest logits of every position; 0: all", 0, GV_MAX_VOCAB,
	NULL},
    {0}};

static const struct gv_opt_prog prog = {
    "gv-rollout",
    "-m MODEL [--group G] [-o FILE] [FILE ...]",
    "sample answers to prompts, or score given ones",
    GV_OPT_C_OUTPUT | GV_OPT_C_SEED | GV_OPT_C_DEVICE | GV_OPT_C_THREADS |
	GV_OPT_C_ERRORS,
    opts,
};

static void
progress(uint64_t records, uint64_t tokens)
{
	cli_progress("%llu records read, %llu tokens",
	    (unsigned long long)records, (unsigned long long)tokens);
}

/* Options that contradict each other, or do nothing. */
static void
check_options(void)
{
	const struct gv_tool_marks *k = &o.law.marks;
	bool marked = k->start || k->end || k->out_start || k->out_end;
	bool reads = o.score || o.logits >= 0;

	if (!o.model)
		cli_usage("no model: -m DIR");
	if (reads && (o.follow || o.law.tool || o.law.stops || o.images ||
			 o.law.group > 1))
		cli_usage("--follow, --tool, --stop, --images and --group are "
			  "for sampling");
	if (o.patience >= 0 && !o.follow)
		cli_usage("--wait needs --follow");
	if (o.score_as && !o.score)
		cli_usage("--score-as needs --score");
	if (o.law.tool_timeout > 0 && !o.law.tool)
		cli_usage("--tool-timeout needs --tool");
	if (marked && !o.law.tool)
		cli_usage("marks of a call, but no --tool");
	if (!k->start != !k->end)
		cli_usage("--tool-start and --tool-end go together");
}

int
main(int argc, char **argv)
{
	int n = cli_start(&prog, &common, argc, argv);
	struct gv_rollout *r = NULL;
	struct gv_inputs in = {0};
	struct gv_error e = {0};

	o.device = common.device;
	o.threads = common.threads;
	o.output = common.output;
	o.force = common.force;
	o.max_errors = (uint64_t)common.max_errors;
	o.law.seed = common.seed;
	o.law.stop = stops.v;
	o.law.stops = stops.n;
	o.say = cli_line;
	o.progress = progress;
	check_options();
	o.patience = o.patience < 0 ? 600 : o.patience;
	o.score_as = o.score_as ? o.score_as : "logp";
	if (o.law.tool_timeout <= 0)
		o.law.tool_timeout = 3;
	if (gv_inputs_open(&in, argv + 1, n, &e) ||
	    gv_rollout_open(&r, &in, &o, &e) || gv_rollout_run(r, &e))
		cli_die(&e);
	gv_rollout_close(&r);
	gv_inputs_close(&in);
	gv_free(stops.v);
	return cli_finish();
}
