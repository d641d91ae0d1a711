/* gv-train: trains any parts of a model on a stream of records. */
#include "cli.h"

#include "clock.h"
#include "dir.h"
#include "json.h"
#include "mem.h"
#include "prov.h"
#include "publish.h"
#include "train.h"
#include "banned.h"

#include <math.h>
#include <signal.h>
#include <unistd.h>

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
static struct gv_error err;

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

static int64_t
share(double x, int64_t steps)
{
	return x < 1 ? (int64_t)(x * (double)steps + 0.5) : (int64_t)x;
}

/* How many steps a mapped input has, when --steps doesn't say. */
static int64_t
count_steps(struct gv_reader *in)
{
	uint64_t n;

	if (o.steps)
		return o.steps;
	if (o.batch_tokens || !o.batch || o.objective != GV_LM ||
	    !gv_reader_mapped(in))
		cli_usage("--steps is needed: the input's length in steps "
			  "can't be told");
	if (gv_reader_index(in, &n, &err))
		cli_die(&err);
	return ((int64_t)n + o.batch - 1) / o.batch;
}

/* Refuses tokens of another vocabulary, and features of other weights, than
 * those of the model in `dir`. */
static void
check_input(
    const struct gv_reader *in, const struct gv_model *m, const char *dir)
{
	const struct gv_schema *s = gv_reader_schema(in);
	struct gv_tokenizer *tok = NULL;
	struct gv_facts f = {dir, &m->cfg, NULL};
	enum gv_input form = gv_reader_has(in, "embeds") >= 0 ? GV_IN_EMBEDS
			     : gv_reader_has(in, "features") >= 0
				 ? GV_IN_FEATURES
			     : gv_reader_has(in, "image") >= 0 ? GV_IN_IMAGE
							       : GV_IN_NONE;
	char path[GV_PATH_MAX];

	snprintf(path, sizeof path, "%s/tokenizer.json", dir);
	if (!access(path, F_OK) && gv_tokenizer_open(&tok, dir, &err))
		cli_die(&err);
	f.tokenizer = tok;
	if (gv_prov_check_input(s, &f, form, &err)) {
		gv_fail_in(
		    &err, "cannot train '%s' on '%s'", dir, gv_reader_name(in));
		cli_die(&err);
	}
	gv_tokenizer_close(&tok);
}

/* Options that contradict the objective, or would do nothing. */
static void
check_policy(bool samples)
{
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
fill_policy(struct gv_policy_run *p, struct gv_model *reference)
{
	bool samples = o.objective != GV_LM;
	struct gv_policy_law *w = &p->law;

	*w = gv_policy_law((enum gv_objective)o.objective);
	check_policy(samples);
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
	p->drop_equal = o.equal >= 0 ? o.equal == 1 : o.objective == GV_DAPO;
	p->old = o.old >= 0               ? (enum gv_old)o.old
		 : o.objective == GV_GSPO ? GV_OLD_TRAINER
					  : GV_OLD_SAMPLER;
	p->max_lag = o.max_lag;
	p->ref = reference;
	if (w->correct != GV_CORRECT_NONE && p->old != GV_OLD_TRAINER)
		cli_usage("--correct needs --old trainer");
}

static void
fill_law(struct gv_train_law *w, const struct gv_model *m, struct gv_reader *in,
    const double lr[GV_PARTS])
{
	int64_t steps = count_steps(in);

	memset(w, 0, sizeof *w);
	memcpy(w->optim.lr, lr, sizeof w->optim.lr);
	w->optim.beta1 = o.beta1;
	w->optim.beta2 = o.beta2;
	w->optim.eps = o.eps;
	w->optim.weight_decay = o.decay;
	w->optim.clip = o.clip;
	w->optim.state = o.state ? GVK_BF16 : GVK_F32;
	w->schedule.kind = (enum gv_schedule)o.schedule;
	w->schedule.total = steps;
	w->schedule.warmup = share(o.warmup, steps);
	w->schedule.flat = share(o.flat, steps);
	w->schedule.floor = o.floor;
	w->batch = o.batch;
	w->batch_tokens = o.batch_tokens;
	w->micro_tokens = o.micro_tokens;
	w->micro_images = o.micro_images;
	w->recompute = o.recompute;
	w->max_length =
	    (int32_t)(o.max_length ? o.max_length : m->cfg.text.max_T);
	if (w->max_length > m->cfg.text.max_T)
		cli_usage("--max-length %d is more than the model's %lld "
			  "positions",
		    w->max_length, (long long)m->cfg.text.max_T);
	w->keep = (int)o.keep;
}

struct run {
	struct gv_train *t;
	struct gv_model *m;
	struct gv_log *log;
	struct gv_publish *publish;
	uint64_t before; /* groups used up by the run that is resumed */
	json_t *args;
	char dir[GV_PATH_MAX]; /* of checkpoints */
};

/* ---- reports ------------------------------------------------------------- */

/* What a step on samples adds to its line. */
static void
add_policy(json_t *j, const struct gv_policy_step *p)
{
	json_t *v = json_pack(
	    "{s:f,s:f,s:O,s:I,s:I,s:I,s:I,s:f,s:f,s:f,s:f,s:f,s:f,s:f,s:f,s:f,"
	    "s:f}",
	    "reward", p->reward, "reward_std", p->reward_std, "rewards",
	    p->parts, "groups", (json_int_t)p->groups, "samples",
	    (json_int_t)p->samples, "dropped", (json_int_t)p->dropped,
	    "updates", (json_int_t)p->updates, "length", p->length, "entropy",
	    p->entropy, "clip_low", p->clip_low, "clip_high", p->clip_high,
	    "ratio_max", p->ratio, "gap", p->gap, "gap_k3", p->gap_k3,
	    "gap_max", p->gap_max, "corrected", p->corrected, "lag", p->lag);

	if (v && isfinite(p->kl))
		json_object_set_new(v, "kl", json_real(p->kl));
	json_object_update(j, v);
	json_decref(v);
}

static void
log_step(struct run *u, const struct gv_train_step *s)
{
	json_t *j = json_pack("{s:I,s:f,s:f,s:f,s:I,s:I,s:I,s:f,s:f,s:f}",
	    "step", (json_int_t)s->step, "loss", s->loss, "lr", s->lr, "norm",
	    s->norm, "tokens", (json_int_t)s->tokens, "images",
	    (json_int_t)s->images, "records", (json_int_t)s->records, "flops",
	    s->flops, "seconds", s->seconds, "waited", s->waited);

	if (j && isfinite(s->bpb))
		json_object_set_new(j, "bpb", json_real(s->bpb));
	if (j && o.objective != GV_LM)
		add_policy(j, &s->policy);
	if (j && u->publish)
		json_object_set_new(j, "publish_seconds",
		    json_real(gv_publish_seconds(u->publish)));
	if (!j || gv_log_line(u->log, j, &err)) {
		gv_fail(&err, GV_ERR_NOMEM, "out of memory");
		cli_die(&err);
	}
	json_decref(j);
}

static void
evaluate(struct gv_train *t, struct gv_log *log)
{
	struct gv_eval v;
	json_t *j;

	if (gv_train_eval(t, o.eval, &v, &err))
		cli_die(&err);
	j = json_pack("{s:I,s:f,s:I}", "step", (json_int_t)gv_train_steps(t),
	    "eval_loss", v.loss, "eval_tokens", (json_int_t)v.tokens);
	if (j && isfinite(v.bpb))
		json_object_set_new(j, "eval_bpb", json_real(v.bpb));
	if (!j || gv_log_line(log, j, &err)) {
		gv_fail(&err, GV_ERR_NOMEM, "out of memory");
		cli_die(&err);
	}
	json_decref(j);
	if (isfinite(v.bpb))
		cli_warn("step %lld: eval loss %.4f, %.4f bits a byte",
		    (long long)gv_train_steps(t), v.loss, v.bpb);
	else
		cli_warn("step %lld: eval loss %.4f",
		    (long long)gv_train_steps(t), v.loss);
}

/* -v: where the time of the steps went. */
static void
print_profile(const struct gv_model *m)
{
	struct gvk_profile row[64];
	size_t n = gvk_profile_get(m->k, row, 64), i;
	double all = 0;

	n = n < 64 ? n : 64;
	for (i = 0; i < n; i++)
		all += (double)row[i].ns;
	for (i = 0; i < n && all > 0; i++)
		cli_say(1,
		    "%-16s %5.1f %%  %8.3f s  %9llu calls  %7.1f "
		    "GFLOP/s",
		    row[i].op, 100 * (double)row[i].ns / all,
		    1e-9 * (double)row[i].ns, (unsigned long long)row[i].calls,
		    row[i].flops / (double)(row[i].ns + 1));
}

static double
mib(size_t bytes)
{
	return (double)bytes / 1048576;
}

static void
print_json(json_t *j)
{
	char *text =
	    j ? gv_json_text(j, JSON_INDENT(2) | JSON_REAL_PRECISION(6)) : NULL;

	if (!text) {
		gv_fail(&err, GV_ERR_NOMEM, "out of memory");
		cli_die(&err);
	}
	printf("%s\n", text);
	gv_free(text);
	json_decref(j);
}

static void
plan_text(const struct gv_plan *p, const struct gv_train_step *s, double sec,
    int64_t steps)
{
	size_t sum = p->weights + p->gradients + p->optimizer + p->activations;
	int i;

	for (i = 0; i < GV_PARTS; i++)
		if (p->params[i])
			printf("%-12s %14lld parameters, %s\n",
			    gv_part_name((enum gv_part)i),
			    (long long)p->params[i],
			    p->trains[i] ? "trained" : "frozen");
	printf("weights      %14.1f MiB\ngradients    %14.1f MiB\n"
	       "optimizer    %14.1f MiB\nactivations  %14.1f MiB\n"
	       "memory       %14.1f MiB\n",
	    mib(p->weights), mib(p->gradients), mib(p->optimizer),
	    mib(p->activations), mib(sum));
	printf("steps        %14lld\nwork         %14.3f TFLOP\n"
	       "time         %14.0f s, by the first step's %.3f s\n",
	    (long long)steps, s->flops * (double)steps * 1e-12,
	    sec * (double)steps, sec);
}

/* --plan: memory is exact; time is that of one real step (forward and
 * backward, no update) times the steps. */
static void
print_plan(struct gv_train *t, const struct gv_plan *p, int64_t steps)
{
	struct gv_train_step s;
	double sec = gv_now();

	if (gv_train_grads(t, &s, &err) < 0)
		cli_die(&err);
	sec = gv_now() - sec;
	if (common.json)
		print_json(gv_plan_json(p, s.flops, sec, steps));
	else
		plan_text(p, &s, sec, steps);
}

/* ---- the run ------------------------------------------------------------- */

static void
checkpoint(struct run *u)
{
	if (gv_train_save(u->t, u->dir, u->args, o.model, &err))
		cli_die(&err);
}

static void
resume(struct run *u)
{
	char warning[512];
	uint64_t next;
	int r = gv_train_resume(
	    u->t, u->dir, u->args, warning, sizeof warning, &err);

	if (r < 0)
		cli_die(&err);
	if (warning[0])
		cli_warn("%s", warning);
	u->before = gv_train_groups(u->t, &next);
	if (r)
		cli_say(1, "resumed after step %lld",
		    (long long)gv_train_steps(u->t));
}

/* The weights as they are now, for those who follow. */
static void
publish(struct run *u)
{
	uint64_t next, groups = gv_train_groups(u->t, &next);

	if (u->publish &&
	    gv_publish(u->publish, gv_train_steps(u->t), groups, next, &err))
		cli_die(&err);
}

/* Samplers may be ahead by the lag's steps. */
static int
want(void *arg, uint64_t groups, struct gv_error *e)
{
	struct run *u = arg;

	(void)e;
	if (u->publish)
		gv_publish_want(u->publish,
		    u->before + groups +
			(uint64_t)(o.max_lag > 0 ? o.max_lag * o.batch : 0));
	return 0;
}

static void
train(struct run *u, int64_t total)
{
	struct gv_train_step s;
	int r = 1;

	while (gv_train_steps(u->t) < total &&
	       (r = gv_train_step(u->t, &s, &err)) > 0) {
		bool eval = o.eval && o.eval_every &&
			    s.step % o.eval_every == 0 && s.step < total;

		publish(u);
		log_step(u, &s);
		if (o.objective != GV_LM)
			cli_progress("step %lld/%lld  reward %.4f  entropy "
				     "%.3f  length %.1f  gap %.1e",
			    (long long)s.step, (long long)total,
			    s.policy.reward, s.policy.entropy, s.policy.length,
			    s.policy.gap);
		else
			cli_progress(
			    "step %lld/%lld  loss %.4f  norm %.3f  %.0f "
			    "rows/s  %.1f GFLOP/s",
			    (long long)s.step, (long long)total, s.loss, s.norm,
			    (double)s.rows / s.seconds,
			    s.flops / s.seconds * 1e-9);
		if (cli_stopped()) {
			checkpoint(u);
			cli_warn("stopped after step %lld; --resume goes on",
			    (long long)s.step);
			cli_die_of(cli_stopped());
		}
		if (eval || (o.save_every && s.step % o.save_every == 0))
			checkpoint(u);
		if (eval)
			evaluate(u->t, u->log);
	}
	if (r < 0)
		cli_die(&err);
	if (u->publish)
		gv_publish_finish(u->publish);
	/* an input used to its end is checked to its end */
	if (gv_train_steps(u->t) >= total) {
		if (gv_train_drain(u->t, &err) < 0)
			cli_die(&err);
	} else {
		cli_warn("the input ended after step %lld of %lld",
		    (long long)gv_train_steps(u->t), (long long)total);
	}
}

/* Takes the output for this run.  One that can't be written is better known
 * before the run than after it. */
static void
claim_output(struct run *u, struct gv_lock **lock)
{
	struct gv_dir *d;

	if (gv_dir_begin(&d, o.output, &err))
		cli_die(&err);
	gv_dir_abort(&d);
	snprintf(u->dir, sizeof u->dir, "%s.run", o.output);
	/* the new run's checkpoints would mix with the old one's */
	if (!o.resume && !access(u->dir, F_OK)) {
		gv_fail(&err, GV_ERR_MATCH,
		    "'%s' holds an earlier run: go on with --resume, or "
		    "remove it",
		    u->dir);
		cli_die(&err);
	}
	if (gv_lock(lock, o.output, &err))
		cli_die(&err);
}

/* The model appears whole; then the run's checkpoints are of no more use. */
static void
finish(struct run *u)
{
	struct gv_dir *d;

	if (gv_dir_begin(&d, o.output, &err))
		cli_die(&err);
	if (gv_model_save(
		u->m, gv_dir_tmp(d), o.dtype ? GV_BF16 : GV_F32, &err) ||
	    gv_model_copy_files(o.model, gv_dir_tmp(d), &err)) {
		gv_dir_abort(&d);
		cli_die(&err);
	}
	if (gv_dir_commit(&d, &err))
		cli_die(&err);
	if (!o.keep_run && gv_dir_remove(u->dir, &err))
		cli_die(&err);
}

static void
dump_grads(struct run *u)
{
	struct gv_train_step s;

	if (gv_train_grads(u->t, &s, &err) < 0 ||
	    gv_model_save_grads(u->m, o.dump_grads, &err))
		cli_die(&err);
}

static void
run(struct run *u, const struct gv_train_law *law)
{
	if (gv_train_exact(u->t, o.model, &err) ||
	    gv_train_args(&u->args, law, o.model, o.reference, &err) ||
	    (o.log && gv_log_open(&u->log, o.log, &err)))
		cli_die(&err);
	cli_catch_stop();
	if (o.resume)
		resume(u);
	if (o.publish &&
	    gv_publish_open(&u->publish, u->m, o.publish, o.model, &err))
		cli_die(&err);
	publish(u);
	train(u, law->schedule.total);
	if (gv_train_cut(u->t))
		cli_warn("%llu sequences with images lost their end to "
			 "--max-length",
		    (unsigned long long)gv_train_cut(u->t));
	if (o.eval) {
		checkpoint(u);
		evaluate(u->t, u->log);
	}
	finish(u);
	print_profile(u->m);
	json_decref(u->args);
	gv_publish_close(&u->publish);
	if (gv_log_close(&u->log, &err))
		cli_die(&err);
}

int
main(int argc, char **argv)
{
	struct run u = {0};
	struct gv_lock *lock = NULL;
	struct gv_model *reference = NULL;
	struct gv_train_law law;
	struct gv_plan plan;
	struct gv_reader *in, *eval;
	struct gvk *k;
	double lr[GV_PARTS] = {0};
	unsigned parts;
	int n = cli_start(&prog, &common, argc, argv);

	if (!o.model || n > 1 || (!o.output && !o.plan && !o.dump_grads))
		cli_usage("usage: gv-train %s", prog.synopsis);
	if (o.eval_every && !o.eval)
		cli_usage("--eval-every needs --eval");
	parts = parse_parts(lr);
	if (!parts)
		cli_usage("--train must name at least one part");
	if (gv_reader_open(&in, n ? argv[1] : NULL, &err) ||
	    gv_backend_open(&k, common.device, common.threads, &err) ||
	    gv_model_open(&u.m, k, o.model, ~0u, &err) ||
	    (o.reference &&
		gv_model_open(&reference, k, o.reference, ~0u, &err)))
		cli_die(&err);
	cli_say(1, "%s", gvk_name(k));
	check_input(in, u.m, o.model);
	if (reference)
		check_input(in, reference, o.reference);
	if (o.eval) {
		if (gv_reader_open(&eval, o.eval, &err))
			cli_die(&err);
		check_input(eval, u.m, o.model);
		gv_reader_close(&eval);
	}
	fill_law(&law, u.m, in, lr);
	fill_policy(&law.policy, reference);
	law.live = o.publish != NULL;
	law.policy.want = want;
	law.policy.arg = &u;
	if (!o.plan && !o.dump_grads)
		claim_output(&u, &lock);
	if (gv_train_plan(u.m, parts, &law, &plan, &err) ||
	    gv_plan_fits(u.m, &plan, &err) ||
	    gv_model_train(u.m, parts, &err) ||
	    gv_train_open(&u.t, u.m, in, &law, &err))
		cli_die(&err);
	gvk_profile_on(k, common.verbose > 0);
	if (o.plan)
		print_plan(u.t, &plan, law.schedule.total);
	else if (o.dump_grads)
		dump_grads(&u);
	else
		run(&u, &law);
	gv_train_close(&u.t);
	gv_model_close(&u.m);
	gv_model_close(&reference);
	gvk_close(&k);
	gv_reader_close(&in);
	gv_unlock(&lock);
	return cli_finish();
}
