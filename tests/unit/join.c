/* Joining: both parts keep their numbers, what is between them is the seed's, a
 * new token comes behind all others and starts as their mean, features are the
 * family's; and what doesn't fit is refused by name, with nothing made. */
#include "join.h"

#include "bpe_train.h"
#include "export.h"
#include "mem.h"
#include "positions.h"
#include "scratch.h"
#include "token.h"

#include <sys/stat.h>

static const char *argv0;

static const char words[] =
    "what is the shape in the image? what colour is it? red green blue";

static void
tower(char dir[MOST_DIR], const char *name)
{
	golden_find(dir, argv0, "GV_FAMILY", "family", name);
}

/* A text model ROOT/name with a vocabulary and `padding` rows behind it. */
static void
make_text(const char *name, bool tied, int padding)
{
	struct gv_bpe_law law = {.vocab = 300, .chat_template = "nano"};
	struct gv_bpe_result result;
	struct gv_bpe_train *b = NULL;
	struct gv_tokenizer *t = NULL;
	struct gv_model *m = NULL;
	struct gv_config c;
	struct gv_error e = {0};
	struct gvk *k = NULL;
	char dir[GV_PATH_MAX];
	json_t *o;

	in_scratch(dir, name);
	must(mkdir(dir, 0777), &e);
	must(gv_bpe_train_open(&b, &law, &e), &e);
	must(gv_bpe_train_add(b, words, sizeof words - 1, &e), &e);
	must(gv_bpe_train_learn(b, &result, &e), &e);
	must(gv_bpe_train_write(b, dir, &e), &e);
	gv_bpe_train_close(&b);
	must(gv_tokenizer_open(&t, dir, &e), &e);
	o = json_pack("{s:s, s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:b}",
	    "model_type", "qwen2", "vocab_size", gv_tokenizer_size(t) + padding,
	    "hidden_size", 16, "num_hidden_layers", 2, "num_attention_heads", 2,
	    "num_key_value_heads", 1, "intermediate_size", 24,
	    "max_position_embeddings", 64, "tie_word_embeddings", tied);
	must(gv_config_parse(&c, o, &e), &e);
	json_decref(o);
	must(gv_backend_open(&k, "cpu", 1, &e), &e);
	must(gv_model_new(&m, k, &c, ~0u, &e), &e);
	must(gv_model_init(m, 3, &e), &e);
	must(gv_model_save(m, dir, GV_F32, &e), &e);
	gv_model_close(&m);
	gvk_close(&k);
	gv_tokenizer_close(&t);
}

static int
join(const char *text, const char *vision, const char *to,
    const struct gv_join_law *law, json_t **report, struct gv_error *e)
{
	char a[GV_PATH_MAX], b[MOST_DIR], c[GV_PATH_MAX];
	json_t *o = NULL;
	int r;

	in_scratch(a, text);
	tower(b, vision);
	in_scratch(c, to);
	r = gv_join(a, b, c, law, &o, e);
	if (report)
		*report = o;
	else
		json_decref(o);
	return r;
}

/* ---- numbers ------------------------------------------------------------- */

static struct gv_st *
open_st(const char *dir)
{
	struct gv_error e = {0};
	struct gv_st *st;

	must(gv_st_open_dir(&st, dir, &e), &e);
	return st;
}

/* How many tensors of `in`, behind a prefix, `of` has not or in another way;
 * an embedding may have other rows. */
static int
differing(const struct gv_st *of, const char *prefix, const struct gv_st *in)
{
	char name[256];
	int bad = 0;
	size_t i;

	for (i = 0; i < gv_st_count(in); i++) {
		const struct gv_tensor *a = gv_st_tensor(in, i), *b;
		const char *own = gv_st_name(in, i);

		if (!strncmp(own, "head.", 5) || strstr(own, "embed_tokens") ||
		    strstr(own, "lm_head"))
			continue;
		snprintf(name, sizeof name, "%s%s", prefix, own);
		b = gv_st_find(of, name);
		bad += !b || b->dtype != a->dtype || b->bytes != a->bytes ||
		       memcmp(a->data, b->data, a->bytes);
	}
	return bad;
}

static void
test_numbers(void)
{
	static const char *const wide[] = {"resampler.rows=5"};
	struct gv_join_law law = {.set = wide, .nset = 1, .seed = 4};
	char dir[GV_PATH_MAX], text[GV_PATH_MAX], vision[MOST_DIR];
	struct gv_st *all, *again, *t, *v;
	const struct gv_tensor *a, *b;
	struct gv_error e = {0};
	json_t *o = NULL;

	is_int(join("text", "siglip", "both", &law, &o, &e), 0,
	    "a text model and a SigLIP%s%s", e.code ? ": " : "", e.msg);
	ok(!json_is_true(
	       json_object_get(json_object_get(o, "image_token"), "new")),
	    "no new token");
	is_int(json_integer_value(json_object_get(o, "rows")), 0, "no row");
	json_decref(o);
	in_scratch(text, "text");
	in_scratch(dir, "both");
	tower(vision, "siglip");
	all = open_st(dir);
	t = open_st(text);
	v = open_st(vision);
	is_int(
	    differing(all, "language_model.", t), 0, "the decoder's numbers");
	is_int(
	    differing(all, "vision_tower.vision_model.", v), 0, "the tower's");
	a = gv_st_find(all, "language_model.model.embed_tokens.weight");
	b = gv_st_find(t, "model.embed_tokens.weight");
	ok(a->bytes == b->bytes && !memcmp(a->data, b->data, a->bytes),
	    "and the embedding's");
	a = gv_st_find(all, "resampler.latents");
	is_int((long long)a->shape[0], 5, "as many latents as --set says");

	in_scratch(dir, "again");
	must(join("text", "siglip", "again", &law, NULL, &e), &e);
	again = open_st(dir);
	is_int(differing(again, "", all), 0, "the same seed, the same numbers");
	gv_st_close(&again);
	law.seed = 5;
	must(join("text", "siglip", "again", &law, NULL, &e), &e);
	again = open_st(dir);
	ok(differing(again, "", all) > 3, "another one, others");
	gv_st_close(&again);
	gv_st_close(&all);
	gv_st_close(&t);
	gv_st_close(&v);
}

/* ---- a new token --------------------------------------------------------- */

/* Rows of `after` are those of `before`, but for `id` and those behind it that
 * were not there: these are means of the first n. */
static void
check_rows(const struct gv_tensor *after, const struct gv_tensor *before,
    int64_t id, int64_t n, const char *what)
{
	int64_t C = before->shape[1], r, c, bad = 0;
	const float *x = after->data, *y = before->data;
	double worst = 0;

	for (r = 0; r < after->shape[0]; r++) {
		if (r != id && r < before->shape[0]) {
			bad += memcmp(x + r * C, y + r * C,
				   (size_t)C * sizeof *x) != 0;
			continue;
		}
		for (c = 0; c < C; c++) {
			double sum = 0;
			int64_t i;

			for (i = 0; i < n; i++)
				sum += (double)y[i * C + c];
			worst = fmax(worst,
			    fabs(sum / (double)n - (double)x[r * C + c]));
		}
	}
	is_int(bad, 0, "%s: old rows stay", what);
	near(worst, 0, 1e-9, "%s: new ones are means", what);
}

/* The vocabulary after is that before and one token more. */
static int32_t
check_tokens(const char *after, const char *before)
{
	struct gv_tokenizer *a, *b;
	struct gv_error e = {0};
	int32_t n, id, i;
	int bad = 0;

	must(gv_tokenizer_open(&a, after, &e), &e);
	must(gv_tokenizer_open(&b, before, &e), &e);
	n = gv_tokenizer_size(b);
	id = gv_tokenizer_special(a, "<picture>");
	is_int(id, n, "the new token comes last");
	is_int(gv_tokenizer_image(a), id, "and stands for images");
	ok(gv_tokenizer_is_special(a, id), "it is special");
	for (i = 0; i < n; i++) {
		size_t x = 0, y = 0;
		const char *s = gv_token_bytes(a, i, &x);
		const char *t = gv_token_bytes(b, i, &y);

		bad += x != y || (x && memcmp(s, t, x));
	}
	is_int(bad, 0, "the others are what they were");
	gv_tokenizer_close(&a);
	gv_tokenizer_close(&b);
	return id;
}

static void
test_token(const char *name, bool tied, int padding, const char *vocab)
{
	struct gv_join_law law = {
	    .image_token = "<picture>", .set = &vocab, .nset = vocab != NULL};
	char text[GV_PATH_MAX], dir[GV_PATH_MAX];
	struct gv_st *all, *t;
	struct gv_error e = {0};
	struct gv_config c;
	int32_t id;

	make_text(name, tied, padding);
	in_scratch(text, name);
	in_scratch(dir, "token");
	is_int(join(name, "clip", "token", &law, NULL, &e), 0, "%s%s%s", name,
	    e.code ? ": " : "", e.msg);
	id = check_tokens(dir, text);
	must(gv_config_open(&c, dir, &e), &e);
	is_int(c.image_token, id, "config.json says the id");
	is_int((long long)c.text.V,
	    vocab     ? atoll(strchr(vocab, '=') + 1)
	    : padding ? id + padding
		      : id + 1,
	    "and the vocabulary's size");
	all = open_st(dir);
	t = open_st(text);
	check_rows(gv_st_find(all, "language_model.model.embed_tokens.weight"),
	    gv_st_find(t, "model.embed_tokens.weight"), id, id, "embedding");
	if (!tied)
		check_rows(gv_st_find(all, "language_model.lm_head.weight"),
		    gv_st_find(t, "lm_head.weight"), id, id, "head");
	gv_config_free(&c);
	gv_st_close(&all);
	gv_st_close(&t);
}

/* ---- features ------------------------------------------------------------ */

static void
test_features(void)
{
	static const char *const set[] = {
	    "vision_feature_layer=-1", "vision_post_norm=true"};
	struct gv_join_law law = {.resampler = "none"};
	char dir[GV_PATH_MAX];
	struct gv_error e = {0};
	struct gv_config c;

	in_scratch(dir, "features");
	must(join("text", "clip", "features", &law, NULL, &e), &e);
	must(gv_config_open(&c, dir, &e), &e);
	is_int((long long)(c.vision.L - c.vision.layer), 1,
	    "CLIP: the last layer but one");
	ok(!c.vision.post_norm, "without norm");
	is_int((long long)c.vision.P, (long long)c.vision.T - 1,
	    "without class token");
	near(c.vision.mean[0], 0.48145466, 1e-9, "and its own pixels");
	is_int(c.rule.fit, GV_FIT_CROP, "which are cropped");
	gv_config_free(&c);
	must(join("text", "siglip", "features", &law, NULL, &e), &e);
	must(gv_config_open(&c, dir, &e), &e);
	is_int((long long)c.vision.layer, (long long)c.vision.L,
	    "SigLIP: the last layer");
	ok(c.vision.post_norm, "behind its norm");
	gv_config_free(&c);
	must(join("text", "llava", "features", &law, NULL, &e), &e);
	must(gv_config_open(&c, dir, &e), &e);
	is_int((long long)(c.vision.L - c.vision.layer), 1, "LLaVA's own");
	gv_config_free(&c);
	law.set = set;
	law.nset = 2;
	must(join("text", "clip", "features", &law, NULL, &e), &e);
	must(gv_config_open(&c, dir, &e), &e);
	ok(c.vision.layer == c.vision.L && c.vision.post_norm, "or as asked");
	gv_config_free(&c);
}

/* A tower that leaves gives the features that it gave within. */
static void
test_leaving(void)
{
	static const struct {
		const char *tower, *set[3];
		size_t n;
	} cases[] = {
	    {"clip", {"vision_feature_layer=-1", "vision_post_norm=true"}, 2},
	    {"clip", {"vision_feature_select_strategy=full"}, 1},
	    {"siglip", {"vision_post_norm=false"}, 1},
	    {"siglip", {"vision_feature_layer=1"}, 1},
	};
	struct gv_export_law out = {.part = GV_VISION};
	char dir[GV_PATH_MAX], alone[GV_PATH_MAX];
	struct gv_error e = {0};
	struct gv_config a, b;
	size_t i;

	in_scratch(dir, "within");
	in_scratch(alone, "alone");
	for (i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct gv_join_law law = {.resampler = "none",
		    .set = cases[i].set,
		    .nset = cases[i].n};

		must(
		    join("text", cases[i].tower, "within", &law, NULL, &e), &e);
		must(gv_export(dir, alone, &out, NULL, &e), &e);
		must(gv_config_open(&a, dir, &e), &e);
		must(gv_config_open(&b, alone, &e), &e);
		ok(a.vision.layer == b.vision.layer &&
			a.vision.post_norm == b.vision.post_norm &&
			a.vision.P == b.vision.P &&
			a.vision.mean[1] == b.vision.mean[1],
		    "%s with %s leaves with it", cases[i].tower,
		    cases[i].set[0]);
		gv_config_free(&a);
		gv_config_free(&b);
	}
}

/* A tower for larger images. */
static void
test_positions(void)
{
	static const char *const set[] = {
	    "vision_config.image_size=20", "vision_config.interpolate_from=12"};
	struct gv_join_law law = {.resampler = "none", .set = set, .nset = 2};
	char dir[GV_PATH_MAX], vision[MOST_DIR];
	const struct gv_tensor *a, *b;
	struct gv_error e = {0};
	struct gv_st *all, *v;
	float want[25 * 24], table[10 * 24];
	struct gv_config c;

	is_int(join("text", "clip", "larger", &law, NULL, &e), 0,
	    "larger images%s%s", e.code ? ": " : "", e.msg);
	in_scratch(dir, "larger");
	tower(vision, "clip");
	all = open_st(dir);
	v = open_st(vision);
	a = gv_st_find(all, "vision_tower.vision_model.embeddings."
			    "position_embedding.weight");
	b = gv_st_find(v, "embeddings.position_embedding.weight");
	if (!a || !b || a->shape[0] != 26 || b->shape[0] != 10 ||
	    b->shape[1] != 24)
		bail("clip", "the fixture is another one");
	must(gv_to_f32(table, b->data, b->dtype, 240, &e), &e);
	gv_bicubic_grid(want, 5, table + 24, 3, 24);
	ok(a->dtype == GV_F32 && !memcmp(a->data, table, 24 * 4) &&
		!memcmp((const float *)a->data + 24, want, sizeof want),
	    "have interpolated positions");
	must(gv_config_open(&c, dir, &e), &e);
	ok(c.rule.height == 20 && !c.vision.from,
	    "and the directory says nothing but its size");
	gv_config_free(&c);
	gv_st_close(&all);
	gv_st_close(&v);
}

/* ---- faults -------------------------------------------------------------- */

static void
refused(int code, const char *text, const char *vision, const char *set,
    const char *resampler, const char *why)
{
	struct gv_join_law law = {
	    .resampler = resampler, .set = &set, .nset = set != NULL};
	char dir[GV_PATH_MAX];
	struct gv_error e = {0};

	is_int(join(text, vision, "refused", &law, NULL, &e), code,
	    "refused: %s", why);
	ok(strstr(e.msg, why) != NULL, "by name");
	if (!strstr(e.msg, why))
		printf("# %s\n", e.msg);
	in_scratch(dir, "refused");
	ok(access(dir, F_OK), "and nothing is there");
}

static void
test_faults(void)
{
	refused(GV_ERR_MATCH, "text", "qwen3", NULL, NULL, "no vision tower");
	refused(GV_ERR_SYS, "nothing", "siglip", NULL, NULL, "nothing");
	refused(GV_ERR_NOSUP, "text", "siglip", NULL, "magic", "'magic'");
	refused(GV_ERR_MATCH, "text", "siglip", "text_config.hidden_size=32",
	    NULL, "the new model's is");
	refused(GV_ERR_LIMIT, "text", "siglip", "text_config.vocab_size=200",
	    NULL, "image_token_id");
	refused(GV_ERR_MATCH, "text", "siglip",
	    "vision_config.num_hidden_layers=9", NULL, "is not in");
	refused(GV_ERR_MATCH, "text", "clip", "vision_config.image_size=20",
	    NULL, "position_embedding");
	refused(GV_ERR_USAGE, "text", "siglip", "resampler.rose=3", NULL,
	    "resampler.rose");
}

int
main(int argc, char **argv)
{
	argv0 = argc > 0 ? argv[0] : "";
	scratch_make();
	make_text("text", true, 0);
	test_numbers();
	test_token("tied", true, 0, NULL);
	test_token("untied", false, 0, NULL);
	test_token("padded", false, 7, NULL);
	test_token("rounded", false, 0, "text_config.vocab_size=320");
	test_features();
	test_leaving();
	test_positions();
	test_faults();
	scratch_remove();
	return done();
}
