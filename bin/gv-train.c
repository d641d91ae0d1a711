/* gv-train: trains any parts of a model on a stream of records. */
#include "cli.h"
#include "mem.h"
#include "training.h"

#include <string.h>

/* The command line, as the table below fills it in. */
static struct {
	const char *model, *output, *eval, *log, *dump_grads, *reference,
	    *publish;
	struct gv_opt_list train;
	int objective, schedule, dtype, state;
	int64_t batch, batch_tokens, micro_tokens, micro_images, max_length;
	int64_t steps, eval_every, save_every, keep;
	double warmup, flat, floor, beta1, beta2, eps, decay, clip;
	bool recompute, resume, plan, keep_run;
	/* of objectives on samples; what is not given is the objective's */
	int scale, equal, old, correct;
	int64_t longest, minibatches, epochs, max_lag;
	double clip_low, clip_high, kl, correct_low, correct_high;
	bool leave_one_out;
} o = {.batch = 16,
    .scale = -1,
    .equal = -1,
    .old = -1,
    .minibatches = 1,
    .epochs = 1,
    .clip_low = -1,
    .clip_high = -1,
    .correct_low = -1,
    .correct_high = -1,
    .micro_tokens = 4096,
    .micro_images = 16,
    .keep = 2,
    .warmup = 0.03,
    .beta1 = 0.9,
    .beta2 = 0.95,
    .eps = 1e-8,
    .clip = 1,
    .schedule = GV_COSINE};

static const struct gv_opt opts[] = {{"model", 'm', GV_OPT_STR, &o.model, "DIR",
					 "the model to start from", 0, 0, NULL},
    {"output", 'o', GV_OPT_STR, &o.output, "DIR",
	"the trained model, made whole at the end", 0, 0, NULL},
    {"train", 0, GV_OPT_LIST, &o.train, "PART=LR,...",
	"what trains, at which peak rate: language, vision, resampler, "
	"projector; the rest is frozen",
	0, 0, NULL},
    {"objective", 0, GV_OPT_WORD, &o.objective, NULL,
	"lm: next-token cross-entropy; the others: samples with rewards (lm)",
	0, 0, "lm|reinforce|grpo|dr-grpo|dapo|gspo|cispo"},
    {"scale", 0, GV_OPT_WORD, &o.scale, NULL,
	"what an advantage is divided by: the deviation of the rewards of "
	"its group, or of the batch (the objective's)",
	0, 0, "none|group|batch"},
    {"leave-one-out", 0, GV_OPT_FLAG, &o.leave_one_out, NULL,
	"compare a sample with the mean of the others of its group", 0, 0,
	NULL},
    {"clip-low", 0, GV_OPT_F64, &o.clip_low, "X",
	"a ratio counts down to 1 - X (the objective's)", 0, 1, NULL},
    {"clip-high", 0, GV_OPT_F64, &o.clip_high, "X",
	"... and up to 1 + X (the objective's)", 0, 1e6, NULL},
    {"kl", 0, GV_OPT_F64, &o.kl, "X",
	"weight of the divergence from the reference (0)", 0, 1e6, NULL},
    {"reference", 0, GV_OPT_STR, &o.reference, "DIR",
	"the reference model (the records' logp_ref)", 0, 0, NULL},
    {"longest", 0, GV_OPT_INT, &o.longest, "N",
	"dr-grpo: the tokens that a sample can have", 1, 1 << 26, NULL},
    {"minibatches", 0, GV_OPT_INT, &o.minibatches, "N",
	"updates over a step's groups (1)", 1, 1 << 20, NULL},
    {"epochs", 0, GV_OPT_INT, &o.epochs, "N",
	"times that a step's groups are gone through (1)", 1, 1 << 20, NULL},
    {"equal-groups", 0, GV_OPT_WORD, &o.equal, NULL,
	"groups whose rewards are all equal: part of a step, or passed over "
	"(keep; dapo: drop)",
	0, 0, "keep|drop"},
    {"old", 0, GV_OPT_WORD, &o.old, NULL,
	"log-probabilities that ratios start from: as recorded, or computed "
	"again (sampler; gspo: trainer)",
	0, 0, "sampler|trainer"},
    {"correct", 0, GV_OPT_WORD, &o.correct, NULL,
	"with --old trainer, what becomes of tokens whose ratio of trainer to "
	"sampler is out of range (none)",
	0, 0, "none|truncate|mask|mask-sample"},
    {"correct-low", 0, GV_OPT_F64, &o.correct_low, "X",
	"lower end of that range (0)", 0, 1, NULL},
    {"correct-high", 0, GV_OPT_F64, &o.correct_high, "X",
	"upper end of that range (2)", 1, 1e6, NULL},
    {"max-lag", 0, GV_OPT_INT, &o.max_lag, "N",
	"steps that the weights which sampled may be behind, -1: any (0)", -1,
	1e9, NULL},
    {"publish", 0, GV_OPT_STR, &o.publish, "RUN",
	"give the weights to gv-rollout --follow RUN after every step", 0, 0,
	NULL},
    {"steps", 0, GV_OPT_INT, &o.steps, "N",
	"steps of the whole run (from the input's length if it is a file)", 1,
	1e12, NULL},
    {"batch", 0, GV_OPT_INT, &o.batch, "N",
	"records, or groups of samples, a step, 0: any (16)", 0, 1e9, NULL},
    {"batch-tokens", 0, GV_OPT_INT, &o.batch_tokens, "N",
	"close a step at this many trained tokens, 0: don't (0)", 0, 1e12,
	NULL},
    {"micro-tokens", 0, GV_OPT_INT, &o.micro_tokens, "N",
	"rows of a micro-batch at most: memory (4096)", 1, 1 << 26, NULL},
    {"micro-images", 0, GV_OPT_INT, &o.micro_images, "N",
	"images of a micro-batch at most (16)", 1, 1 << 20, NULL},
    {"recompute", 0, GV_OPT_FLAG, &o.recompute, NULL,
	"keep only the inputs of the decoder's layers, and run each again on "
	"the way back: less memory, more time",
	0, 0, NULL},
    {"max-length", 0, GV_OPT_INT, &o.max_length, "N",
	"cut longer sequences (the model's positions)", 1, 1 << 26, NULL},
    {"schedule", 0, GV_OPT_WORD, &o.schedule, NULL,
	"course of the rate after warm-up (cosine)", 0, 0,
	"constant|linear|cosine"},
    {"warmup", 0, GV_OPT_F64, &o.warmup, "X",
	"steps of warm-up, or below 1 their share of all (0.03)", 0, 1e12,
	NULL},
    {"flat", 0, GV_OPT_F64, &o.flat, "X",
	"steps at the peak before the fall, or their share (0)", 0, 1e12, NULL},
    {"min-lr", 0, GV_OPT_F64, &o.floor, "X",
	"last rate as a share of the peak (0)", 0, 1, NULL},
    {"beta1", 0, GV_OPT_F64, &o.beta1, "X", "AdamW's beta1 (0.9)", 0, 0.999999,
	NULL},
    {"beta2", 0, GV_OPT_F64, &o.beta2, "X", "AdamW's beta2 (0.95)", 0, 0.999999,
	NULL},
    {"eps", 0, GV_OPT_F64, &o.eps, "X", "AdamW's epsilon (1e-8)", 1e-30, 1,
	NULL},
    {"weight-decay", 0, GV_OPT_F64, &o.decay, "X",
	"decoupled decay of matrices (0)", 0, 1e3, NULL},
    {"optimizer-state", 0, GV_OPT_WORD, &o.state, NULL,
	"of AdamW's moments; bf16 is rounded at random (f32)", 0, 0,
	"f32|bf16"},
    {"clip", 0, GV_OPT_F64, &o.clip, "X",
	"largest norm of the gradient, 0: any (1)", 0, 1e9, NULL},
    {"eval", 0, GV_OPT_STR, &o.eval, "FILE",
	"stream to evaluate: loss and bits per byte", 0, 0, NULL},
    {"eval-every", 0, GV_OPT_INT, &o.eval_every, "N",
	"evaluate every N steps, 0: at the end (0)", 0, 1e12, NULL},
    {"save-every", 0, GV_OPT_INT, &o.save_every, "N",
	"checkpoint into DIR.run every N steps, 0: none (0)", 0, 1e12, NULL},
    {"keep", 0, GV_OPT_INT, &o.keep, "N", "checkpoints that are kept (2)", 1,
	1e6, NULL},
    {"keep-run", 0, GV_OPT_FLAG, &o.keep_run, NULL,
	"leave DIR.run when the run has finished", 0, 0, NULL},
    {"resume", 0, GV_OPT_FLAG, &o.resume, NULL,
	"go on from the newest checkpoint, if there is one", 0, 0, NULL},
    {"dtype", 0, GV_OPT_WORD, &o.dtype, NULL, "of the saved weights (f32)", 0,
	0, "f32|bf16"},
    {"log", 0, GV_OPT_STR, &o.log, "FILE", "append a JSON line a step", 0, 0,
	NULL},
    {"plan", 0, GV_OPT_FLAG, &o.plan, NULL,
	"print memory and time of the run, and don't run", 0, 0, NULL},
    {"dump-grads", 0, GV_OPT_STR, &o.dump_grads, "FILE",
	"write the first step's gradients as safetensors, and stop", 0, 0,
	NULL},
    {0}};

static const struct gv_opt_prog prog = {"gv-train",
    "-m DIR -o DIR --train PART=LR,... [FILE]",
    "train any parts of a model on a stream of records",
    GV_OPT_C_JSON | GV_OPT_C_DEVICE | GV_OPT_C_THREADS, opts};

static struct gv_opt_common common;

/* ---- command line -------------------------------------------------------- */

/* "language=1e-3,vision=1e-4" into rates; returns the set of parts. */
static unsigned
parse_parts(double lr[GV_PARTS])
{
	unsigned parts = 0;
	char word[64];
	size_t i;
	int p;

	for (i = 0; i < o.train.n; i++) {
		const char *s = o.train.v[i];

		while (*s) {
			size_t n = strcspn(s, ",");
			char *eq;

			snprintf(word, sizeof word, "%.*s", (int)n, s);
			eq = strchr(word, '=');
			if (!eq || n >= sizeof word)
				cli_usage("--train '%s' is not PART=LR", word);
			*eq = '\0';
			for (p = 0; p < GV_PARTS; p++)
				if (!strcmp(
					word, gv_part_name((enum gv_part)p)))
					break;
			if (p == GV_PARTS)
				cli_usage(
				    "--train: there is no part '%s'", word);
			if (gv_opt_f64(eq + 1, &lr[p]) || !(lr[p] >= 0))
				cli_usage("--train %s: '%s' is not a rate",
				    word, eq + 1);
			parts |= 1u << p;
			s += n + (s[n] == ',');
		}
	}
	return parts;
}

/* Options that contradict the objective, or would do nothing. */
static void
check_policy(void)
{
	bool samples = o.objective != GV_LM;
	bool clip = o.clip_low >= 0 || o.clip_high >= 0;
	bool range = o.correct_low >= 0 || o.correct_high >= 0;

	if (!samples &&
	    (o.scale >= 0 || o.equal >= 0 || o.old >= 0 || o.correct || range ||
		o.longest || o.minibatches > 1 || o.epochs > 1 || o.max_lag ||
		clip || o.kl > 0 || o.reference || o.publish ||
		o.leave_one_out))
		cli_usage("an option of objectives on samples, but the "
			  "objective is lm");
	if (samples && (!o.batch || o.batch_tokens))
		cli_usage("a step of --objective takes --batch groups");
	if (o.objective == GV_DR_GRPO && !o.longest)
		cli_usage("dr-grpo needs --longest N: the tokens that a "
			  "sample can have (gv-rollout's --max-tokens)");
	if (o.objective != GV_DR_GRPO && o.longest)
		cli_usage("--longest is for dr-grpo");
	if (o.objective == GV_REINFORCE && clip)
		cli_usage("reinforce has no ratios to clip");
	if (o.objective == GV_CISPO && o.clip_low >= 0)
		cli_usage("cispo bounds ratios above: --clip-high");
	if (o.reference && !(o.kl > 0))
		cli_usage("--reference needs --kl, its weight");
	if (range && !o.correct)
		cli_usage("--correct-low and --correct-high are the range of "
			  "--correct");
}

/* The objective's own law, with what the command line changes. */
static void
fill_policy(struct gv_policy_run *p)
{
	struct gv_policy_law *w = &p->law;

	*p = gv_policy_run((enum gv_objective)o.objective);
	if (o.scale >= 0)
		w->scale = (enum gv_scale)o.scale;
	if (o.clip_low >= 0)
		w->low = o.clip_low;
	if (o.clip_high >= 0)
		w->high = o.clip_high;
	if (o.longest)
		w->longest = o.longest;
	w->leave_one_out = o.leave_one_out;
	w->kl = o.kl;
	w->correct = (enum gv_correct)o.correct;
	if (o.correct_low >= 0)
		w->correct_low = o.correct_low;
	if (o.correct_high >= 0)
		w->correct_high = o.correct_high;
	p->minibatches = o.minibatches;
	p->epochs = o.epochs;
	if (o.equal >= 0)
		p->drop_equal = o.equal == 1;
	if (o.old >= 0)
		p->old = (enum gv_old)o.old;
	p->max_lag = o.max_lag;
	if (w->correct != GV_CORRECT_NONE && p->old != GV_OLD_TRAINER)
		cli_usage("--correct needs --old trainer");
}

static void
fill_law(struct gv_train_law *w)
{
	*w = (struct gv_train_law){.batch = o.batch,
	    .batch_tokens = o.batch_tokens,
	    .micro_tokens = o.micro_tokens,
	    .micro_images = o.micro_images,
	    .recompute = o.recompute,
	    .max_length = (int32_t)o.max_length,
	    .keep = (int)o.keep};
	w->optim = (struct gv_optim_law){.beta1 = o.beta1,
	    .beta2 = o.beta2,
	    .eps = o.eps,
	    .weight_decay = o.decay,
	    .clip = o.clip,
	    .state = o.state ? GVK_BF16 : GVK_F32};
	w->schedule.kind = (enum gv_schedule)o.schedule;
	w->schedule.total = o.steps;
	w->schedule.floor = o.floor;
	fill_policy(&w->policy);
}

/* ---- the run ------------------------------------------------------------- */

static void
progress(const struct gv_train_step *s, int64_t steps)
{
	if (o.objective)
		cli_progress("step %lld/%lld  reward %.4f  entropy %.3f  "
			     "length %.1f  gap %.1e",
		    (long long)s->step, (long long)steps, s->policy.reward,
		    s->policy.entropy, s->policy.length, s->policy.gap);
	else
		cli_progress("step %lld/%lld  loss %.4f  norm %.3f  %.0f "
			     "rows/s  %.1f GFLOP/s",
		    (long long)s->step, (long long)steps, s->loss, s->norm,
		    (double)s->rows / s->seconds, s->flops / s->seconds * 1e-9);
}

static void
fill_run(struct gv_training_opts *r)
{
	*r = (struct gv_training_opts){.model = o.model,
	    .output = o.plan || o.dump_grads ? NULL : o.output,
	    .device = common.device,
	    .threads = common.threads,
	    .warmup = o.warmup,
	    .flat = o.flat,
	    .reference = o.reference,
	    .publish = o.publish,
	    .eval = o.eval,
	    .eval_every = o.eval_every,
	    .save_every = o.save_every,
	    .log = o.log,
	    .dtype = o.dtype ? GV_BF16 : GV_F32,
	    .resume = o.resume,
	    .keep_run = o.keep_run,
	    .profile = common.verbose > 0,
	    .say = cli_line,
	    .stopped = cli_stopped,
	    .progress = progress};
	fill_law(&r->law);
	r->parts = parse_parts(r->law.optim.lr);
	if (!r->parts)
		cli_usage("--train must name at least one part");
}

static int
plan(struct gv_training *r, struct gv_error *e)
{
	struct gv_out *out;

	if (gv_out_open(&out, NULL, false, false, e))
		return e->code;
	if (!gv_training_plan(r, out, common.json, e))
		return gv_out_commit(&out, e);
	gv_out_abort(&out);
	return e->code;
}

int
main(int argc, char **argv)
{
	int n = cli_start(&prog, &common, argc, argv), r;
	struct gv_training_opts x;
	struct gv_training *t = NULL;
	struct gv_error e = {0};

	if (!o.model || n > 1 || (!o.output && !o.plan && !o.dump_grads))
		cli_usage("usage: gv-train %s", prog.synopsis);
	if (o.eval_every && !o.eval)
		cli_usage("--eval-every needs --eval");
	check_policy();
	fill_run(&x);
	x.input = n ? argv[1] : NULL;
	if (gv_training_open(&t, &x, &e))
		cli_die(&e);
	if (x.output)
		cli_catch_stop();
	r = o.plan         ? plan(t, &e)
	    : o.dump_grads ? gv_training_grads(t, o.dump_grads, &e)
			   : gv_training_run(t, &e);
	if (r < 0)
		cli_die(&e);
	if (cli_stopped() && !r) /* what reads ahead may wait for input still */
		cli_die_of(cli_stopped());
	gv_training_close(&t);
	gv_free(o.train.v);
	return cli_finish();
}
