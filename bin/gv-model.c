/* gv-model: makes model directories, fresh or out of others, and shows what is
 * in one. */
#include "cli.h"
#include "config.h"
#include "export.h"
#include "fresh.h"
#include "inspect.h"
#include "join.h"
#include "json.h"
#include "mem.h"
#include "show.h"

#include <stdlib.h>
#include <string.h>

#define DTYPES "keep|f32|bf16|f16"
static const enum gv_dtype dtypes[] = {GV_NONE, GV_F32, GV_BF16, GV_F16};
#define PARTS "all|language|vision"
static const enum gv_part parts[] = {GV_PARTS, GV_LANGUAGE, GV_VISION};

static struct gv_opt_common common;
static const char *tokenizer_dir, *output, *tower, *image_token, *resampler;
static const char *device;
static struct gv_opt_list sets;
static int dtype_word, part_word;
static int64_t shard_bytes, tokens;
static bool list_tensors, digests;

static const struct gv_opt opts[] = {
    {"output", 'o', GV_OPT_STR, &output, "DIR",
	"the directory to make (made whole, then renamed)", 0, 0, NULL},
    {"tokenizer", 0, GV_OPT_STR, &tokenizer_dir, "DIR",
	"init: take the vocabulary from this directory", 0, 0, NULL},
    {"vision", 0, GV_OPT_STR, &tower, "NAME",
	"init: take this vision tower's sizes", 0, 0, NULL},
    {"resampler", 0, GV_OPT_STR, &resampler, "TYPE",
	"join: perceiver (default), avgpool, pixelshuffle, none or idefics2", 0,
	0, NULL},
    {"image-token", 0, GV_OPT_STR, &image_token, "TEXT",
	"join: what stands for an image row; appended if it is new", 0, 0,
	NULL},
    {"set", 0, GV_OPT_LIST, &sets, "KEY=VALUE",
	"init, join: change the configuration; may be repeated", 0, 0, NULL},
    {"part", 0, GV_OPT_WORD, &part_word, NULL, "export: only this part (all)",
	0, 0, PARTS},
    {"dtype", 0, GV_OPT_WORD, &dtype_word, NULL,
	"how weights are stored (init: f32; else keep)", 0, 0, DTYPES},
    {"shard-size", 0, GV_OPT_INT, &shard_bytes, "BYTES",
	"join, export: files of at most this size (one file)", 1, 1e15, NULL},
    {"tensors", 0, GV_OPT_FLAG, &list_tensors, NULL, "list every tensor", 0, 0,
	NULL},
    {"digest", 0, GV_OPT_FLAG, &digests, NULL,
	"show: the SHA-256 of each part's weights", 0, 0, NULL},
    {"tokens", 0, GV_OPT_INT, &tokens, "N",
	"show: of the batch whose memory is counted (4096)", 1, 1 << 24, NULL},
    {"device", 0, GV_OPT_STR, &device, "DEVICE",
	"show: whose memory is counted: auto, cpu, cuda[:N]", 0, 0, NULL},
    {0}};

static const struct gv_opt_prog prog = {
    "gv-model",
    "init CONFIG|PRESET --tokenizer DIR -o MODEL [--set KEY=VALUE ...]\n"
    "       gv-model join TEXT VISION -o MODEL [--resampler TYPE] [--set ...]\n"
    "       gv-model export MODEL -o DIR [--part PART] [--dtype TYPE]\n"
    "       gv-model show [--tensors] [--digest] [--json] MODEL",
    "make models, fresh or out of others, and show what is in one",
    GV_OPT_C_SEED | GV_OPT_C_JSON,
    opts,
};

/* ---- the four commands --------------------------------------------------- */

static int
init(const char *config, struct gv_error *e)
{
	struct gv_fresh_law law = {config, tokenizer_dir, tower, sets.v, sets.n,
	    (uint64_t)common.seed, dtype_word ? dtypes[dtype_word] : GV_F32};

	return gv_fresh(output, &law, e);
}

/* One line of JSON. */
static void
put_json(const json_t *o, struct gv_error *e)
{
	char *s = gv_json_text(o, JSON_COMPACT);

	if (s)
		puts(s);
	else
		gv_fail(e, GV_ERR_NOMEM, "out of memory");
	gv_free(s);
}

/* What was put together, after it is there. */
static void
report(json_t *o, struct gv_error *e)
{
	if (!list_tensors)
		json_object_del(o, "list");
	if (common.json) {
		put_json(o, e);
	} else if (!common.quiet) {
		gv_show_tensors(stdout, o);
		if (json_object_get(o, "from"))
			gv_show_join(stdout, o);
		gv_show_parts(stdout, o);
	}
	json_decref(o);
}

static int
join(char **dir, struct gv_error *e)
{
	struct gv_join_law law = {resampler, image_token, sets.v, sets.n,
	    (uint64_t)common.seed, dtypes[dtype_word], shard_bytes};
	json_t *o;

	if (!gv_join(dir[0], dir[1], output, &law, &o, e))
		report(o, e);
	return e->code;
}

static int export(const char *dir, struct gv_error *e)
{
	struct gv_export_law law = {
	    parts[part_word], dtypes[dtype_word], shard_bytes};
	json_t *o;

	if (!gv_export(dir, output, &law, &o, e))
		report(o, e);
	return e->code;
}

static int
show(const char *dir, struct gv_error *e)
{
	struct gv_inspect_law law = {.tokens = tokens};
	const char *env = getenv("GV_DEVICE");
	struct gv_config c;
	json_t *o;

	law.what = (list_tensors ? GV_INSPECT_TENSORS : 0) |
		   (digests ? GV_INSPECT_DIGESTS : 0);
	law.device = device ? device : env && *env ? env : "auto";
	if (gv_inspect(&o, dir, &law, e))
		return e->code;
	if (common.json) {
		put_json(o, e);
	} else if (!gv_config_open(&c, dir, e)) {
		gv_show_facts(stdout, &c);
		putchar('\n');
		gv_show_tree(stdout, o);
		putchar('\n');
		gv_show_memory(stdout, o);
		putchar('\n');
		gv_show_parts(stdout, o);
		if (list_tensors)
			putchar('\n');
		gv_show_tensors(stdout, o);
		gv_config_free(&c);
	}
	json_decref(o);
	return e->code;
}

/* ---- the beginning ------------------------------------------------------- */

enum { INIT = 1, JOIN = 2, EXPORT = 4, SHOW = 8 };

/* An option of another command is a mistake. */
static void
check(const char *what, unsigned command, int operands, int n)
{
	const struct {
		const char *name;
		bool given;
		unsigned of;
	} all[] = {{"-o", output, INIT | JOIN | EXPORT},
	    {"--tokenizer", tokenizer_dir, INIT}, {"--vision", tower, INIT},
	    {"--resampler", resampler, JOIN},
	    {"--image-token", image_token, JOIN},
	    {"--set", sets.n > 0, INIT | JOIN},
	    {"--seed", common.seed != 0, INIT | JOIN},
	    {"--part", part_word != 0, EXPORT},
	    {"--dtype", dtype_word != 0, INIT | JOIN | EXPORT},
	    {"--shard-size", shard_bytes > 0, JOIN | EXPORT},
	    {"--tensors", list_tensors, JOIN | EXPORT | SHOW},
	    {"--json", common.json, JOIN | EXPORT | SHOW},
	    {"--digest", digests, SHOW}, {"--tokens", tokens > 0, SHOW},
	    {"--device", device, SHOW}};
	size_t i;

	if (n - 1 != operands)
		cli_usage("%s takes %d operand%s (see --help)", what, operands,
		    operands > 1 ? "s" : "");
	for (i = 0; i < sizeof all / sizeof *all; i++)
		if (all[i].given && !(all[i].of & command))
			cli_usage("%s has no option %s", what, all[i].name);
	if (!output && command != SHOW)
		cli_usage("%s needs -o DIR", what);
}

int
main(int argc, char **argv)
{
	int n = cli_start(&prog, &common, argc, argv), r;
	const char *what = n ? argv[1] : "";
	struct gv_error e = {0};

	if (!strcmp(what, "init")) {
		check(what, INIT, 1, n);
		r = init(argv[2], &e);
	} else if (!strcmp(what, "join")) {
		check(what, JOIN, 2, n);
		r = join(argv + 2, &e);
	} else if (!strcmp(what, "export")) {
		check(what, EXPORT, 1, n);
		r = export(argv[2], &e);
	} else if (!strcmp(what, "show")) {
		check(what, SHOW, 1, n);
		r = show(argv[2], &e);
	} else {
		cli_usage("the first operand is init, join, export or show "
			  "(see --help)");
	}
	if (r)
		cli_die(&e);
	gv_free(sets.v);
	return cli_finish();
}
