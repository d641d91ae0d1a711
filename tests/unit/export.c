/* Exports: every part keeps its digest and so its numbers, names are those that
 * a reader of the part alone knows, shards keep to their size, rows of GGUF's
 * order come out in everybody's; and nothing is made of what is wrong. */
#include "export.h"
#include "files.h"

#include "blocks.h"
#include "digest.h"
#include "mem.h"
#include "scratch.h"

#include <sys/stat.h>

static const char *argv0;

static const struct family {
	const char *name, *text, *tower; /* types of the parts alone */
} families[] = {
    {"llama2", "llama", NULL},
    {"qwen3", "qwen3", NULL},
    {"nanochat", "nanochat", NULL},
    {"siglip", NULL, "siglip_vision_model"},
    {"clip-both", NULL, "clip_vision_model"},
    {"llava", "llama", "clip_vision_model"},
    {"idefics2", "mistral", "siglip_vision_model"},
    {"idefics3", "llama", "siglip_vision_model"},
};

static void
digest(char out[GV_DIGEST], const char *dir, enum gv_part part)
{
	struct gv_error e = {0};

	must(gv_digest_part(dir, part, out, &e), &e);
}

/* Whether the model of `dir` is of this type, and may be opened as a whole. */
static bool
opens_as(const char *dir, const char *type)
{
	struct gv_error e = {0};
	struct gv_origin *o = NULL;
	struct gvk *k = NULL;
	bool same;

	must(gv_backend_open(&k, "cpu", 1, &e), &e);
	if (gv_origin_open(&o, dir, k, &e))
		printf("# %s\n", e.msg);
	same = o && !strcmp(gv_origin_config(o)->model_type, type);
	gv_origin_close(&o);
	gvk_close(&k);
	return same;
}

static void
part_alone(const struct family *f, const char *dir, enum gv_part part)
{
	struct gv_export_law law = {.part = part};
	char to[GV_PATH_MAX], was[GV_DIGEST], now[GV_DIGEST];
	const char *type = part == GV_LANGUAGE ? f->text : f->tower;
	struct gv_error e = {0};

	in_scratch(to, "part");
	if (!type) {
		is_int(gv_export(dir, to, &law, NULL, &e), GV_ERR_MATCH,
		    "%s has no %s part", f->name, gv_part_name(part));
		ok(access(to, F_OK), "nothing is made of it");
		return;
	}
	is_int(gv_export(dir, to, &law, NULL, &e), 0, "%s: its %s part%s%s",
	    f->name, gv_part_name(part), e.code ? ": " : "", e.msg);
	ok(opens_as(to, type), "is a %s", type);
	digest(was, dir, part);
	digest(now, to, part);
	is_str(now, was, "of the same numbers");
	must(gv_remove_tree(to, &e), &e);
}

static void
whole(const struct family *f, const char *dir, const char *to)
{
	struct gv_export_law law = {.part = GV_PARTS};
	char was[GV_DIGEST], now[GV_DIGEST];
	struct gv_error e = {0};
	struct gv_config c;
	int i;

	is_int(gv_export(dir, to, &law, NULL, &e), 0, "%s: all of it%s%s",
	    f->name, e.code ? ": " : "", e.msg);
	must(gv_config_open(&c, dir, &e), &e);
	ok(opens_as(to, c.model_type), "is a %s", c.model_type);
	gv_config_free(&c);
	for (i = 0; i < GV_PARTS; i++) {
		digest(was, dir, (enum gv_part)i);
		digest(now, to, (enum gv_part)i);
		is_str(now, was, "%s has the same numbers",
		    gv_part_name((enum gv_part)i));
	}
}

static void
test_families(void)
{
	char dir[MOST_DIR], to[GV_PATH_MAX];
	size_t i;

	for (i = 0; i < sizeof families / sizeof *families; i++) {
		golden_find(
		    dir, argv0, "GV_FAMILY", "family", families[i].name);
		in_scratch(to, "whole");
		whole(&families[i], dir, to);
		part_alone(&families[i], to, GV_LANGUAGE);
		part_alone(&families[i], to, GV_VISION);
	}
}

/* ---- dtypes and shards --------------------------------------------------- */

/* Sums how far the numbers of two models of the same names are apart, each
 * rounded to `t`. */
static double
apart(const char *a, const char *b, enum gv_dtype t)
{
	struct gv_st *x, *y;
	struct gv_error e = {0};
	double sum = 0;
	size_t i, k;

	must(gv_st_open_dir(&x, a, &e), &e);
	must(gv_st_open_dir(&y, b, &e), &e);
	if (gv_st_count(x) != gv_st_count(y))
		sum = NAN;
	for (i = 0; i < gv_st_count(x); i++) {
		const struct gv_tensor *p = gv_st_tensor(x, i);
		const struct gv_tensor *q = gv_st_find(y, gv_st_name(x, i));
		size_t n = p->bytes / gv_dtype_size(p->dtype);
		float *u = gv_alloc(n, sizeof *u), *v = gv_alloc(n, sizeof *v);
		void *r = gv_alloc(n, sizeof *u);

		if (!q || q->dtype != t || !u || !v || !r)
			bail(gv_st_name(x, i), "not there, or of another type");
		must(gv_to_f32(u, p->data, p->dtype, n, &e), &e);
		must(gv_from_f32(r, t, u, n, &e), &e);
		must(gv_to_f32(u, r, t, n, &e), &e);
		must(gv_to_f32(v, q->data, t, n, &e), &e);
		for (k = 0; k < n; k++)
			sum += fabs((double)u[k] - (double)v[k]);
		gv_free(u);
		gv_free(v);
		gv_free(r);
	}
	gv_st_close(&x);
	gv_st_close(&y);
	return sum;
}

static void
test_dtypes(void)
{
	static const enum gv_dtype types[] = {GV_F32, GV_BF16, GV_F16};
	static const char *const names[] = {"float32", "bfloat16", "float16"};
	char dir[MOST_DIR], to[GV_PATH_MAX];
	struct gv_error e = {0};
	struct gv_config c;
	int i;

	golden_find(dir, argv0, "GV_FAMILY", "family", "qwen3");
	in_scratch(to, "dtype");
	for (i = 0; i < 3; i++) {
		struct gv_export_law law = {GV_PARTS, types[i], 0};

		must(gv_export(dir, to, &law, NULL, &e), &e);
		near(apart(dir, to, types[i]), 0, 0, "as %s", names[i]);
		must(gv_config_open(&c, to, &e), &e);
		is_str(json_string_value(json_object_get(c.json, "dtype")),
		    names[i], "which config.json says");
		gv_config_free(&c);
	}
}

static void
test_shards(void)
{
	struct gv_export_law law = {GV_PARTS, GV_NONE, 4000};
	char dir[MOST_DIR], to[GV_PATH_MAX], a[GV_DIGEST], b[GV_DIGEST];
	struct gv_error e = {0};
	struct gv_st *st;
	size_t i, n;
	json_t *report = NULL;

	golden_find(dir, argv0, "GV_FAMILY", "family", "qwen3");
	in_scratch(to, "shards");
	must(gv_export(dir, to, &law, &report, &e), &e);
	must(gv_st_open_dir(&st, to, &e), &e);
	n = gv_st_files(st);
	ok(n > 2, "%zu shards", n);
	for (i = 0; i < n; i++)
		ok(gv_st_file(st, i)->bytes < 4000 + 4096, "shard %zu is small",
		    i);
	is_int(json_integer_value(json_object_get(report, "tensors")),
	    (long long)gv_st_count(st), "the report counts the tensors");
	json_decref(report);
	gv_st_close(&st);
	digest(a, dir, GV_LANGUAGE);
	digest(b, to, GV_LANGUAGE);
	is_str(b, a, "they hold the same numbers");

	law.shard_bytes = 0;
	in_scratch(dir, "single");
	must(gv_export(to, dir, &law, NULL, &e), &e);
	must(gv_st_open_dir(&st, dir, &e), &e);
	is_int((long long)gv_st_files(st), 1, "one file again");
	gv_st_close(&st);
	digest(b, dir, GV_LANGUAGE);
	is_str(b, a, "with the same numbers");

	law.shard_bytes = 1;
	in_scratch(to, "each");
	must(gv_export(dir, to, &law, &report, &e), &e);
	must(gv_st_open_dir(&st, to, &e), &e);
	is_int((long long)gv_st_files(st), (long long)gv_st_count(st),
	    "a tensor is never cut");
	gv_st_close(&st);
	json_decref(report);
}

/* ---- rows ---------------------------------------------------------------- */

enum { HEADS = 3, D = 8, C = 32 };

/* Rows of a GGUF file's order, and blocks. */
static void
test_rows(void)
{
	static float v[HEADS * D][C];
	static const float mean[C] = {7};
	uint8_t block[34] = {0x00, 0x3c}; /* d = 1 */
	int64_t shape[2] = {HEADS * D, C};
	struct gv_error e = {0};
	struct gv_tensor t, q = {GV_Q8_0, 2, {1, 32}, block, sizeof block};
	struct gv_source src = {&t, HEADS, false}, blocks = {&q, 0, false};
	struct gv_items list = {0};
	const struct gv_tensor *out;
	struct gv_st *st;
	const float *got;
	int i, bad = 0;

	for (i = 0; i < HEADS * D * C; i++)
		v[i / C][i % C] = (float)i;
	for (i = 0; i < 32; i++)
		block[2 + i] = (uint8_t)(i - 16);
	must(gv_tensor_set(&t, GV_F32, 2, shape, v, &e), &e);
	must(gv_items_add(&list, "paired", &src, GV_NONE, &e), &e);
	must(gv_items_add(&list, "blocks", &blocks, GV_NONE, &e), &e);
	src.paired = 0;
	must(gv_items_add(&list, "grown", &src, GV_NONE, &e), &e);
	list.v[2].shape[0] += 2;
	list.v[2].row = mean;
	list.v[2].fill = 5;
	must(gv_shards_write(scratch, &list, 0, &e), &e);
	must(gv_st_open_dir(&st, scratch, &e), &e);

	/* head h, half s, pair j: row (j,s) of the file is row (s,j) */
	out = gv_st_find(st, "paired");
	got = out->data;
	for (i = 0; i < HEADS * D; i++)
		bad += got[i * C] !=
		       v[i / D * D + i % (D / 2) * 2 + i % D / (D / 2)][0];
	is_int(bad, 0, "rows in pairs come out in halves");
	out = gv_st_find(st, "blocks");
	got = out->data;
	ok(out->dtype == GV_F32, "blocks become F32");
	for (bad = i = 0; i < 32; i++)
		bad += got[i] != (float)(i - 16);
	is_int(bad, 0, "exactly");
	out = gv_st_find(st, "grown");
	got = out->data;
	is_int((long long)out->shape[0], HEADS * D + 2, "rows are added");
	for (bad = i = 0; i < HEADS * D + 2; i++)
		bad += got[i * C] !=
		       (i == 5 || i >= HEADS * D ? 7 : v[i % (HEADS * D)][0]);
	is_int(bad, 0, "and one is replaced");
	gv_st_close(&st);
	gv_items_free(&list);
}

/* ---- faults -------------------------------------------------------------- */

static void
test_faults(void)
{
	struct gv_export_law law = {.part = GV_RESAMPLER};
	struct gv_items list = {0};
	float v[2][3] = {{0}};
	int64_t shape[2] = {2, 3};
	struct gv_tensor t;
	struct gv_source src = {&t, 0, false};
	char dir[MOST_DIR], to[GV_PATH_MAX], path[GV_PATH_MAX + 32];
	struct gv_error e = {0};

	v[1][2] = 65519;
	must(gv_tensor_set(&t, GV_F32, 2, shape, v, &e), &e);
	must(gv_items_add(&list, "large", &src, GV_F16, &e), &e);
	is_int(gv_shards_write(scratch, &list, 0, &e), 0, "F16 holds 65519");
	v[1][2] = -65520;
	is_int(gv_shards_write(scratch, &list, 0, &e), GV_ERR_LIMIT,
	    "but not -65520");
	ok(strstr(e.msg, "'large'") != NULL, "which is named");
	gv_error_clear(&e);
	gv_items_free(&list);

	golden_find(dir, argv0, "GV_FAMILY", "family", "idefics2");
	in_scratch(to, "fault");
	is_int(gv_export(dir, to, &law, NULL, &e), GV_ERR_NOSUP,
	    "a resampler is no model");
	gv_error_clear(&e);
	law.part = GV_PARTS;
	is_int(gv_export("/nowhere", to, &law, NULL, &e), GV_ERR_SYS,
	    "no such model");
	gv_error_clear(&e);
	in_scratch(to, "full");
	must(mkdir(to, 0777), &e);
	snprintf(path, sizeof path, "%s/thesis", to);
	fclose(fopen(path, "w"));
	is_int(gv_export(dir, to, &law, NULL, &e), GV_ERR_MATCH,
	    "a directory of other things is not replaced");
	ok(!access(path, F_OK), "and keeps them");
}

static void
touch(const char *dir, const char *name)
{
	char path[GV_PATH_MAX];
	FILE *f;

	in_scratch(path, dir);
	(void)mkdir(path, 0777);
	snprintf(path + strlen(path), sizeof path - strlen(path), "/%s", name);
	f = fopen(path, "w");
	if (!f || fclose(f))
		bail(path, "cannot be written");
}

/* Whatever form a vocabulary has, it goes with the model. */
static void
test_vocabularies(void)
{
	static const char *const files[] = {"tokenizer.json", "any.tiktoken",
	    "tokenizer.model", "bpe_simple_vocab_16e6.txt.gz"};
	char from[GV_PATH_MAX], to[GV_PATH_MAX], path[GV_PATH_MAX + 64];
	char a[] = "v0", b[] = "w0";
	struct gv_error e = {0};
	size_t i;

	for (i = 0; i < sizeof files / sizeof *files; i++) {
		a[1] = b[1] = (char)('0' + i);
		in_scratch(from, a);
		touch(a, files[i]);
		touch(a, "chat_template.jinja");
		in_scratch(to, b);
		must(mkdir(to, 0777), &e);
		is_int(
		    gv_model_copy_files(from, to, &e), 0, "files of a model");
		snprintf(path, sizeof path, "%s/%s", to, files[i]);
		ok(!access(path, F_OK), "%s among them", files[i]);
		snprintf(path, sizeof path, "%s/chat_template.jinja", to);
		ok(!access(path, F_OK), "and its template");
	}
	touch("v1", "another.tiktoken");
	in_scratch(from, "v1");
	is_int(gv_model_copy_files(from, to, &e), GV_ERR_MATCH,
	    "two vocabularies are none");
}

int
main(int argc, char **argv)
{
	argv0 = argc > 0 ? argv[0] : "";
	scratch_make();
	test_families();
	test_dtypes();
	test_shards();
	test_rows();
	test_faults();
	test_vocabularies();
	scratch_remove();
	return done();
}
