/* Spellings of tensors lead to one name, and files in other spellings are
 * read as the same model. */
#include "names.h"

#include "scratch.h"

#include <sys/stat.h>

/* As transformers 5.23 and 4 write them, the hub has them, llama.cpp and
 * nanochat spell them. */
static const struct {
	const char *spelled;
	enum gv_part part;
	const char *name;
} known[] = {
    {"model.embed_tokens.weight", GV_LANGUAGE, "model.embed_tokens.weight"},
    {"embed_tokens.weight", GV_LANGUAGE, "model.embed_tokens.weight"},
    {"layers.11.mlp.fc1.weight", GV_LANGUAGE, "model.layers.11.mlp.fc1.weight"},
    {"norm.weight", GV_LANGUAGE, "model.norm.weight"},
    {"lm_head.weight", GV_LANGUAGE, "lm_head.weight"},
    {"language_model.model.norm.weight", GV_LANGUAGE, "model.norm.weight"},
    {"language_model.lm_head.weight", GV_LANGUAGE, "lm_head.weight"},
    {"language_model.norm.weight", GV_LANGUAGE, "model.norm.weight"},
    {"model.language_model.layers.0.self_attn.q_norm.weight", GV_LANGUAGE,
	"model.layers.0.self_attn.q_norm.weight"},
    {"model.language_model.lm_head.weight", GV_LANGUAGE, "lm_head.weight"},
    {"model.text_model.layers.0.mlp.up_proj.weight", GV_LANGUAGE,
	"model.layers.0.mlp.up_proj.weight"},
    {"token_embd.weight", GV_LANGUAGE, "model.embed_tokens.weight"},
    {"output_norm.weight", GV_LANGUAGE, "model.norm.weight"},
    {"output.weight", GV_LANGUAGE, "lm_head.weight"},
    {"blk.0.attn_norm.weight", GV_LANGUAGE,
	"model.layers.0.input_layernorm.weight"},
    {"blk.7.attn_q.bias", GV_LANGUAGE, "model.layers.7.self_attn.q_proj.bias"},
    {"blk.12.attn_output.weight", GV_LANGUAGE,
	"model.layers.12.self_attn.o_proj.weight"},
    {"blk.3.ffn_norm.weight", GV_LANGUAGE,
	"model.layers.3.post_attention_layernorm.weight"},
    {"blk.3.ffn_down.weight", GV_LANGUAGE,
	"model.layers.3.mlp.down_proj.weight"},
    {"transformer.wte.weight", GV_LANGUAGE, "model.embed_tokens.weight"},
    {"transformer.h.5.attn.c_proj.weight", GV_LANGUAGE,
	"model.layers.5.self_attn.o_proj.weight"},
    {"transformer.h.5.mlp.c_proj.weight", GV_LANGUAGE,
	"model.layers.5.mlp.fc2.weight"},

    {"vision_model.post_layernorm.bias", GV_VISION,
	"vision_model.post_layernorm.bias"},
    {"post_layernorm.bias", GV_VISION, "vision_model.post_layernorm.bias"},
    {"pre_layrnorm.weight", GV_VISION, "vision_model.pre_layrnorm.weight"},
    {"embeddings.class_embedding", GV_VISION,
	"vision_model.embeddings.class_embedding"},
    {"encoder.layers.2.mlp.fc1.bias", GV_VISION,
	"vision_model.encoder.layers.2.mlp.fc1.bias"},
    {"vision_tower.encoder.layers.2.mlp.fc1.bias", GV_VISION,
	"vision_model.encoder.layers.2.mlp.fc1.bias"},
    {"vision_tower.vision_model.encoder.layers.2.mlp.fc1.bias", GV_VISION,
	"vision_model.encoder.layers.2.mlp.fc1.bias"},
    {"model.vision_tower.vision_model.post_layernorm.bias", GV_VISION,
	"vision_model.post_layernorm.bias"},
    {"model.vision_model.post_layernorm.bias", GV_VISION,
	"vision_model.post_layernorm.bias"},

    {"projector.fc1.weight", GV_PROJECTOR, "fc1.weight"},
    {"multi_modal_projector.linear_1.bias", GV_PROJECTOR, "linear_1.bias"},
    {"model.multi_modal_projector.linear_1.bias", GV_PROJECTOR,
	"linear_1.bias"},
    {"model.connector.modality_projection.proj.weight", GV_PROJECTOR,
	"proj.weight"},
    {"model.connector.perceiver_resampler.latents", GV_RESAMPLER,
	"perceiver_resampler.latents"},
    {"model.connector.modality_projection.up_proj.weight", GV_RESAMPLER,
	"modality_projection.up_proj.weight"},
    {"resampler.layers.0.norm_mlp.bias", GV_RESAMPLER,
	"layers.0.norm_mlp.bias"},
    {"w", GV_PARTS, "w"},
};

static const char *const idle[] = {"model.layers.0.self_attn.rotary_emb."
				   "inv_freq",
    "model.rotary_emb.inv_freq", "vision_model.embeddings.position_ids",
    "embeddings.position_ids", "vision_tower.vision_model.head.probe",
    "head.mlp.fc1.bias", "text_model.embeddings.token_embedding.weight",
    "text_projection.weight", "visual_projection.weight", "logit_scale",
    "logit_bias"};

static void
spellings(void)
{
	struct gv_name n;
	char name[400];
	size_t i;

	for (i = 0; i < sizeof known / sizeof *known; i++) {
		gv_name_read(&n, known[i].spelled);
		ok(n.part == known[i].part && !n.idle &&
			!strcmp(n.name, known[i].name),
		    "%s", known[i].spelled);
	}
	for (i = 0; i < sizeof idle / sizeof *idle; i++) {
		gv_name_read(&n, idle[i]);
		ok(n.idle, "%s changes nothing", idle[i]);
	}
	memset(name, 'x', sizeof name);
	memcpy(name, "blk.", 4);
	name[sizeof name - 1] = '\0';
	gv_name_read(&n, name);
	ok(n.part == GV_PARTS && !n.name[0], "a name that is too long");
}

/* ---- files --------------------------------------------------------------- */

/* How a copy of a checkpoint departs from it. */
struct change {
	const char *from, *to; /* front of names; NULL: as they are */
	const char *drop, *add; /* a tensor that is left out; one more, of */
	const char *like; /* the values of this one, ... */
	bool off; /* ... the last of them but for its lowest bit */
	enum gv_dtype as; /* of all; GV_NONE: F32 as they are */
};

static const char *
respell(const struct change *x, const char *name, char out[256])
{
	size_t n = x->from ? strlen(x->from) : 0;

	if (!x->from || strncmp(name, x->from, n) != 0)
		snprintf(out, 256, "%s", name);
	else
		snprintf(out, 256, "%s%s", x->to, name + n);
	return out;
}

static void
put(struct gv_st_writer *w, const struct gv_tensor *t, enum gv_dtype as,
    bool off)
{
	size_t n = t->bytes / sizeof(float), bytes = n * gv_dtype_size(as);
	struct gv_error e = {0};
	void *p = calloc(bytes + 1, 1);
	float *v = malloc(t->bytes + 1);

	if (!p || !v)
		bail("put", "out of memory");
	memcpy(v, t->data, t->bytes);
	((uint8_t *)v)[t->bytes - sizeof *v] ^= off;
	if (as == GV_F16 || as == GV_BF16)
		must(gv_from_f32(p, as, v, n, &e), &e);
	must(gv_st_writer_data(w, as == GV_F32 ? (void *)v : p, bytes, &e), &e);
	free(p);
	free(v);
}

/* Copies DIR's model to "d" with a change. */
static void
copy(const char *dir, const struct change *x)
{
	struct gv_error e = {0};
	struct gv_st_entry entry[256];
	char name[256][256], path[MOST_DIR + 32];
	const struct gv_tensor *from[256];
	struct gv_st_writer *w;
	struct gv_st *st;
	size_t i, n = 0;

	snprintf(path, sizeof path, "%s/config.json", dir);
	must(gv_copy_file(path, "d/config.json", &e), &e);
	must(gv_st_open_dir(&st, dir, &e), &e);
	for (i = 0; i <= gv_st_count(st) && n < 256; i++) {
		bool more = i == gv_st_count(st);
		const char *is = more ? x->add : gv_st_name(st, i);

		if (!is || (x->drop && !strcmp(is, x->drop)))
			continue;
		from[n] = more ? gv_st_find(st, x->like) : gv_st_tensor(st, i);
		if (!from[n] || from[n]->dtype != GV_F32)
			bail(is, "is no F32 tensor of the golden model");
		entry[n].name = more ? is : respell(x, is, name[n]);
		entry[n].dtype = x->as ? x->as : GV_F32;
		entry[n].rank = from[n]->rank;
		memcpy(entry[n].shape, from[n]->shape, sizeof from[n]->shape);
		n++;
	}
	must(
	    gv_st_writer_open(&w, "d/model.safetensors", entry, n, NULL, 0, &e),
	    &e);
	for (i = 0; i < n; i++)
		put(w, from[i], entry[i].dtype, x->off && i == n - 1);
	must(gv_st_writer_close(&w, &e), &e);
	gv_st_close(&st);
}

/* Parameters of the copy that differ from the original's, each rounded to what
 * the file held. */
static int
differing(const struct gv_model *a, const struct gv_model *b, enum gv_dtype as)
{
	int n = a->nparams != b->nparams;
	size_t i, j;

	for (i = 0; i < a->nparams && i < b->nparams; i++) {
		const struct gv_param *p = &a->param[i], *q = &b->param[i];
		const float *x = (const float *)a->part[p->part].w + p->at;
		const float *y = (const float *)b->part[q->part].w + q->at;

		for (j = 0; j < p->n; j++) {
			float v =
			    as == GV_BF16 ? gv_bf16_to_f32(gv_f32_to_bf16(x[j]))
			    : as == GV_F16 ? gv_f16_to_f32(gv_f32_to_f16(x[j]))
					   : x[j];

			n += memcmp(&v, &y[j], sizeof v) != 0;
		}
	}
	return n;
}

static void
same(struct gvk *k, const char *dir, const struct change *x, const char *what)
{
	struct gv_error e = {0};
	struct gv_model *a, *b;

	copy(dir, x);
	must(gv_model_open(&a, k, dir, ~0u, &e), &e);
	must(gv_model_open(&b, k, "d", ~0u, &e), &e);
	is_int(differing(a, b, x->as), 0, "%s", what);
	gv_model_close(&a);
	gv_model_close(&b);
}

static void
refused(struct gvk *k, const char *dir, const struct change *x, int code,
    const char *says)
{
	struct gv_error e = {0};
	struct gv_model *m;
	int r;

	copy(dir, x);
	r = gv_model_open(&m, k, "d", ~0u, &e);
	ok(r == code && strstr(e.msg, says), "refused: %s", e.msg);
}

static void
files(struct gvk *k, const char *tied, const char *untied, const char *vlm)
{
#define EMBED "model.embed_tokens.weight"
	same(k, tied, &(struct change){.from = "model.", .to = ""},
	    "a base model's file, without the prefix");
	same(k, tied,
	    &(struct change){.from = "model.", .to = "model.language_model."},
	    "one out of a vision-language model");
	same(k, tied, &(struct change){.add = "lm_head.weight", .like = EMBED},
	    "a tied head's copy besides");
	same(k, tied,
	    &(struct change){
		.drop = EMBED, .add = "lm_head.weight", .like = EMBED},
	    "a tied head instead of the embedding");
	same(k, tied, &(struct change){.as = GV_BF16}, "BF16 widened");
	same(k, tied, &(struct change){.as = GV_F16}, "F16 widened");
	same(k, vlm,
	    &(struct change){
		.from = "vision_tower.vision_model.", .to = "vision_tower."},
	    "a tower without the prefix of its class");
	same(k, vlm,
	    &(struct change){
		.from = "language_model.model.", .to = "model.language_model."},
	    "a decoder with its prefixes turned");
	refused(k, tied, &(struct change){.as = GV_I8}, GV_ERR_NOSUP,
	    "is of I8; weights are read from F32, F16 and BF16");
	refused(
	    k, tied, &(struct change){.as = GV_F64}, GV_ERR_NOSUP, "is of F64");
	refused(k, tied,
	    &(struct change){.add = "norm.weight", .like = "model.norm.weight"},
	    GV_ERR_MATCH,
	    "'model.norm.weight' and 'norm.weight' are two spellings");
	refused(k, tied,
	    &(struct change){.from = "model.embed_tokens.",
		.to = "lm_head.",
		.add = "model.language_model.lm_head.weight",
		.like = EMBED},
	    GV_ERR_MATCH,
	    "'lm_head.weight' and 'model.language_model.lm_head.weight' are");
	refused(k, tied,
	    &(struct change){
		.add = "lm_head.weight", .like = EMBED, .off = true},
	    GV_ERR_MATCH,
	    "'" EMBED "' and 'lm_head.weight' differ, and config.json");
	refused(k, tied,
	    &(struct change){
		.add = "model.norm.bias", .like = "model.norm.weight"},
	    GV_ERR_MATCH, "unexpected tensor 'model.norm.bias'");
	refused(k, tied, &(struct change){.drop = EMBED}, GV_ERR_MATCH,
	    "tensor 'model.embed_tokens.weight' (53,24) is missing");
	refused(k, untied,
	    &(struct change){
		.drop = EMBED, .add = "embed.weight", .like = EMBED},
	    GV_ERR_MATCH, "unexpected tensor 'embed.weight'");
#undef EMBED
}

/* A model that only runs forward uses the file where it is, and takes other
 * weights later. */
static void
mapped(struct gvk *k, const char *dir)
{
	static const enum gv_dtype as[] = {GV_BF16, GV_F32, GV_F16};
	struct gv_error e = {0};
	struct gv_model *m;
	struct gv_st *st;
	size_t t;

	for (t = 0; t < 3; t++) {
		struct gv_model *full, *other;
		float *v, *w;
		size_t i, differ = 0, in_file = 0;

		copy(dir, &(struct change){.as = as[t]});
		must(gv_st_open_dir(&st, "d", &e), &e);
		must(gv_model_open_forward(&m, k, "d", ~0u, &e), &e);
		must(gv_model_open(&full, k, "d", ~0u, &e), &e);
		for (i = 0; i < m->nparams; i++) {
			const struct gv_param *p = &m->param[i];
			const struct gv_param *q = &full->param[i];
			enum gv_dtype is =
			    m->wtype == GVK_BF16 ? GV_BF16 : GV_F32;
			size_t size = gv_dtype_size(is);
			uintptr_t at = (uintptr_t)m->part[p->part].w;

			at += p->at * size;
			in_file += p->at >= m->part[p->part].n;
			v = malloc(p->n * sizeof *v + 1);
			w = (float *)full->part[q->part].w + q->at;
			if (!v)
				bail(p->name, "out of memory");
			must(gv_to_f32(v, (const void *)at, is, p->n, &e), &e);
			differ += memcmp(v, w, p->n * sizeof *v) != 0;
			free(v);
		}
		is_int((long long)differ, 0, "%s: the numbers of a whole model",
		    gv_dtype_name(as[t]));
		is_int(in_file > 0, as[t] != GV_F16,
		    "%s: some of them where the file is mapped: %zu",
		    gv_dtype_name(as[t]), in_file);
		must(gv_model_open(&other, k, dir, ~0u, &e), &e);
		must(gv_model_load(m, st, ~0u, &e), &e);
		is_int(m->param[0].at < m->part[m->param[0].part].n, 1,
		    "%s: weights that come later have memory of their own",
		    gv_dtype_name(as[t]));
		gv_st_close(&st);
		gv_model_close(&other);
		gv_model_close(&full);
		gv_model_close(&m);
	}
}

int
main(int argc, char **argv)
{
	const char *self = argc ? argv[0] : "";
	const char *tied = golden_path(self, "GV_GOLDEN", "model", "tied");
	const char *untied = golden_path(self, "GV_GOLDEN", "model", "untied");
	const char *vlm = golden_path(self, "GV_GOLDEN", "model", "perceiver");
	struct gv_error e = {0};
	struct gvk *k;

	scratch_enter();
	must(mkdir("d", 0777), &e);
	spellings();
	must(gv_backend_open(&k, "cpu", 2, &e), &e);
	files(k, tied, untied, vlm);
	mapped(k, tied);
	mapped(k, vlm);
	gvk_close(&k);
	scratch_remove();
	return done();
}
