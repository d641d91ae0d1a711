/* gv-model: makes fresh model directories, and shows what is in one. */
#include "checkpoint.h"
#include "cli.h"
#include "config.h"
#include "config_edit.h"
#include "dir.h"
#include "inspect.h"
#include "json.h"
#include "mem.h"
#include "model.h"
#include "token.h"

#include <stdlib.h>
#include <string.h>

static struct gv_opt_common common;
static const char *tokenizer_dir, *output, *tower;
static struct gv_opt_list sets;
static int dtype_word;
static bool list_tensors, digests;

static const struct gv_opt opts[] = {
    {"tokenizer", 0, GV_OPT_STR, &tokenizer_dir, "DIR",
	"init: take the vocabulary from this directory", 0, 0, NULL},
    {"output", 'o', GV_OPT_STR, &output, "DIR",
	"init: the directory to make (made whole, then renamed)", 0, 0, NULL},
    {"set", 0, GV_OPT_LIST, &sets, "KEY=VALUE",
	"init: change the configuration; may be repeated", 0, 0, NULL},
    {"vision", 0, GV_OPT_STR, &tower, "NAME",
	"init: take this vision tower's sizes", 0, 0, NULL},
    {"dtype", 0, GV_OPT_WORD, &dtype_word, NULL,
	"init: how weights are stored (f32)", 0, 0, "f32|bf16"},
    {"tensors", 0, GV_OPT_FLAG, &list_tensors, NULL, "show: list every tensor",
	0, 0, NULL},
    {"digest", 0, GV_OPT_FLAG, &digests, NULL,
	"show: the SHA-256 of each part's weights", 0, 0, NULL},
    {0}};

static const struct gv_opt_prog prog = {
    "gv-model",
    "init CONFIG|PRESET --tokenizer DIR -o MODEL [--set KEY=VALUE ...]\n"
    "       gv-model show [--tensors] [--digest] [--json] MODEL",
    "make a fresh model, or show what is in one",
    GV_OPT_C_SEED | GV_OPT_C_JSON,
    opts,
};

/* ---- init ---------------------------------------------------------------- */

static int
make_config(struct gv_config *c, const char *name, const struct gv_tokenizer *t,
    struct gv_error *e)
{
	json_t *o;
	int32_t stop[8];
	size_t n, i;

	if (gv_config_read(&o, name, e))
		return e->code;
	if (!t && gv_config_wants_tokenizer(o))
		gv_fail(e, GV_ERR_USAGE, "it needs --tokenizer");
	if (!e->code && (!tower || !gv_config_take_tower(o, tower, e)) &&
	    (!t || !gv_config_fit(o, t, e)) &&
	    !gv_config_set(o, sets.v, sets.n, e))
		(void)!gv_config_parse(c, o, e);
	if (e->code)
		gv_fail_in(e, "'%s'", name);
	json_decref(o);
	if (e->code || !t || c->neos)
		return e->code;
	n = gv_tokenizer_stops(t, stop, 8);
	for (i = 0; i < n && i < 8; i++)
		c->eos[c->neos++] = stop[i];
	return 0;
}

static int
fill(struct gv_model *m, const char *dir, struct gv_error *e)
{
	if (gv_model_init(m, (uint64_t)common.seed, e) ||
	    gv_model_save(m, dir, dtype_word ? GV_BF16 : GV_F32, e))
		return e->code;
	return tokenizer_dir ? gv_model_copy_files(tokenizer_dir, dir, e) : 0;
}

static int
write_model(struct gv_config *c, struct gv_error *e)
{
	struct gv_model *m = NULL;
	struct gvk *k = NULL;
	struct gv_dir *d;
	int r;

	r = gv_backend_open(&k, "cpu", 1, e);
	if (!r)
		r = gv_model_new(&m, k, c, ~0u, e);
	if (!r)
		r = gv_dir_begin(&d, output, e);
	if (!r) {
		r = fill(m, gv_dir_tmp(d), e);
		if (r)
			gv_dir_abort(&d);
		else
			r = gv_dir_commit(&d, e);
	}
	gv_model_close(&m);
	gvk_close(&k);
	return r;
}

static int
init(const char *name, struct gv_error *e)
{
	struct gv_tokenizer *t = NULL;
	struct gv_config c = {0};
	int r = 0;

	if (tokenizer_dir)
		r = gv_tokenizer_open(&t, tokenizer_dir, e);
	if (!r)
		r = make_config(&c, name, t, e);
	if (!r && c.has_text && !t)
		r = gv_fail(
		    e, GV_ERR_USAGE, "a model with text needs --tokenizer");
	if (!r)
		r = write_model(&c, e);
	gv_config_free(&c);
	gv_tokenizer_close(&t);
	return r;
}

/* ---- show ---------------------------------------------------------------- */

/* The sentence in front of the table. */
static void
print_config(const struct gv_config *c)
{
	static const char *const how[] = {"no resampler", "average pooling",
	    "pixel shuffle", "a Perceiver", "Idefics2's Perceiver"};
	const struct gv_vision_config *v = &c->vision;
	const struct gv_text_config *t = &c->text;

	printf("%s\n", c->model_type);
	if (c->has_vision)
		printf("vision: %lldx%lld pixels, %lld patches of %lld, "
		       "%lld of %lld layers x %lld, %lld heads\n",
		    (long long)v->image, (long long)v->image, (long long)v->P,
		    (long long)v->patch, (long long)v->layer, (long long)v->L,
		    (long long)v->C, (long long)v->H);
	if (c->has_vision && c->has_text)
		printf("rows: %lld an image, by %s; placeholder %d\n",
		    (long long)c->R, how[c->resampler], c->image_token);
	if (c->has_text)
		printf("language: vocabulary %lld, %lld layers x %lld, %lld "
		       "heads, %lld key/value heads of %lld\n",
		    (long long)t->V, (long long)t->L, (long long)t->C,
		    (long long)t->H, (long long)t->G, (long long)t->D);
}

static long long
num(const json_t *o, const char *key)
{
	return (long long)json_integer_value(json_object_get(o, key));
}

static void
print_table(const json_t *o)
{
	const json_t *parts = json_object_get(o, "parts"), *p;
	const char *hex;
	size_t i;

	printf("\n%-10s %8s %13s %14s  %s\n", "part", "tensors", "parameters",
	    "bytes", "dtype");
	for (i = 0; i < json_array_size(parts); i++) {
		p = json_array_get(parts, i);
		printf("%-10s %8lld %13lld %14lld  %s\n",
		    json_string_value(json_object_get(p, "part")),
		    num(p, "tensors"), num(p, "parameters"), num(p, "bytes"),
		    json_string_value(json_object_get(p, "dtype")));
	}
	printf("%-10s %8lld %13lld %14lld\n", "all", num(o, "tensors"),
	    num(o, "parameters"), num(o, "bytes"));
	for (i = 0; i < json_array_size(parts); i++) {
		p = json_array_get(parts, i);
		hex = json_string_value(json_object_get(p, "digest"));
		if (hex)
			printf("%s%-10s %s\n", i ? "" : "\n",
			    json_string_value(json_object_get(p, "part")), hex);
	}
}

static void
print_tensors(const json_t *list)
{
	size_t i, k;

	for (i = 0; i < json_array_size(list); i++) {
		const json_t *t = json_array_get(list, i);
		const json_t *shape = json_object_get(t, "shape");
		const char *name =
		    json_string_value(json_object_get(t, "name"));
		char q[200];

		printf("%s%s %s (", i ? "" : "\n",
		    gv_quote(q, sizeof q, name, strlen(name)),
		    json_string_value(json_object_get(t, "dtype")));
		for (k = 0; k < json_array_size(shape); k++)
			printf("%s%lld", k ? "," : "",
			    (long long)json_integer_value(
				json_array_get(shape, k)));
		puts(")");
	}
}

static int
show(const char *dir, struct gv_error *e)
{
	unsigned what = (list_tensors ? GV_INSPECT_TENSORS : 0) |
			(digests ? GV_INSPECT_DIGESTS : 0);
	struct gv_config c;
	json_t *o;
	char *s;

	if (gv_inspect(&o, dir, what, e))
		return e->code;
	if (common.json) {
		s = gv_json_text(o, JSON_COMPACT);
		if (s)
			puts(s);
		else
			gv_fail(e, GV_ERR_NOMEM, "out of memory");
		gv_free(s);
	} else if (!gv_config_open(&c, dir, e)) {
		print_config(&c);
		print_table(o);
		print_tensors(json_object_get(o, "list"));
		gv_config_free(&c);
	}
	json_decref(o);
	return e->code;
}

/* ---- the beginning ------------------------------------------------------- */

/* An option of the other command is a mistake. */
static void
check_init(int n)
{
	if (n != 2)
		cli_usage("init takes one configuration (see --help)");
	if (!output)
		cli_usage("init needs -o DIR");
	if (list_tensors || digests || common.json)
		cli_usage("--tensors, --digest and --json are for show");
}

static void
check_show(int n)
{
	if (n != 2)
		cli_usage("show takes one model directory (see --help)");
	if (output || tokenizer_dir || tower || sets.n || dtype_word ||
	    common.seed)
		cli_usage("show takes only --tensors, --digest and --json");
}

int
main(int argc, char **argv)
{
	int n = cli_start(&prog, &common, argc, argv), r;
	const char *what = n ? argv[1] : "";
	struct gv_error e = {0};

	if (!strcmp(what, "init")) {
		check_init(n);
		r = init(argv[2], &e);
	} else if (!strcmp(what, "show")) {
		check_show(n);
		r = show(argv[2], &e);
	} else {
		cli_usage("the first operand is init or show (see --help)");
	}
	if (r)
		cli_die(&e);
	gv_free(sets.v);
	return cli_finish();
}
