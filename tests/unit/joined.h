/* Small vision-language models of every combination of tower, resampler and
 * projector, with random weights, and a batch for them.
 */
#ifndef JOINED_H
#define JOINED_H

#include "golden.h"
#include "philox.h"

/* config.json's pieces; single quotes stand for double ones.  Towers have 4 x 4
 * patches of width 12 (16 px and one that is dropped), the text model is 12
 * wide. */
#define JOINED_TOWER(type, act) \
	"'vision_config':{'model_type':'" type "','hidden_act':'" act "'," \
	"'image_size':17,'patch_size':4,'hidden_size':12," \
	"'intermediate_size':20,'num_hidden_layers':2,'num_attention_heads':" \
	"2}"

static const struct {
	const char *name, *json;
	bool class_row; /* among the features */
} joined_tower[] = {
    {"siglip", JOINED_TOWER("siglip_vision_model", "gelu_pytorch_tanh"), false},
    {"clip",
	JOINED_TOWER(
	    "clip_vision_model", "quick_gelu") ",'vision_feature_layer':-2",
	false},
    {"clip-norm",
	JOINED_TOWER("clip_vision_model", "gelu") ",'vision_post_norm':true",
	false},
    {"clip-full",
	JOINED_TOWER("clip_vision_model",
	    "quick_gelu") ","
			  "'vision_feature_select_strategy':'full'",
	true},
};

static const struct {
	const char *json;
	bool grid; /* takes no class row */
	int width; /* of its rows */
} joined_resampler[] = {
    {"{'type':'none'}", false, 12},
    {"{'type':'avgpool','rows':9}", true, 12},
    {"{'type':'pixelshuffle','factor':2}", true, 48},
    {"{'type':'perceiver','rows':3,'blocks':2,'heads':3}", false, 12},
    {"{'type':'idefics2','rows':3,'blocks':2,'heads':4,'key_value_heads':2,"
     "'head_dim':5,'hidden_size':10,'front_size':14}",
	false, 10},
    {"{'type':'idefics2','rows':2,'blocks':1,'heads':3,'key_value_heads':3,"
     "'head_dim':4,'hidden_size':12,'front_size':9}",
	false, 12},
};

static const struct {
	const char *json;
	bool none;
} joined_projector[] = {
    {"{'hidden_size':14,'act':'gelu'}", false},
    {"{'hidden_size':14,'act':'silu','bias':false}", false},
    {"{'type':'linear'}", false},
    {"{'type':'linear','bias':true}", false},
    {"{'type':'none'}", true},
};

#define JOINED_TOWERS     4
#define JOINED_RESAMPLERS 6
#define JOINED_PROJECTORS 5

/* The three fit each other. */
static inline bool
joined_fits(int t, int r, int p)
{
	return !(joined_tower[t].class_row && joined_resampler[r].grid) &&
	       !(joined_projector[p].none && joined_resampler[r].width != 12);
}

/* The model, its weights of some size everywhere. */
static inline struct gv_model *
joined_model(struct gvk *k, int t, int r, int p, struct gv_error *e)
{
	char text[2048], *q;
	struct gv_config c;
	struct gv_model *m;
	struct gv_rng rng;
	json_t *o;
	size_t i, j;

	snprintf(text, sizeof text,
	    "{'model_type':'ghostvis','text_config':{'model_type':'qwen2',"
	    "'vocab_size':23,'hidden_size':12,'intermediate_size':16,"
	    "'num_hidden_layers':1,'num_attention_heads':2,"
	    "'max_position_embeddings':64},%s,'resampler':%s,'projector':%s,"
	    "'image_token_id':22}",
	    joined_tower[t].json, joined_resampler[r].json,
	    joined_projector[p].json);
	for (q = text; *q; q++)
		if (*q == '\'')
			*q = '"';
	o = json_loads(text, 0, NULL);
	if (!o)
		bail(text, "not JSON");
	must(gv_config_parse(&c, o, e), e);
	json_decref(o);
	must(gv_model_new(&m, k, &c, ~0u, e), e);
	gv_rng_init(&rng, 7, GV_PURPOSE_TEST);
	for (i = 0; i < m->nparams; i++) {
		const struct gv_param *x = &m->param[i];
		float *w = (float *)m->part[x->part].w + x->at;
		double std = x->rank > 1 ? 1 / sqrt((double)x->shape[1]) : 0.2;

		if (x->rank == 4)
			std /= 4;
		for (j = 0; j < x->n; j++)
			w[j] = (float)(std * gv_rng_normal(&rng) +
				       (x->init == GV_INIT_ONE));
	}
	return m;
}

/* Two sequences, each about an image of its own, and one about the second. */
struct joined_batch {
	struct gv_batch b;
	int32_t id[160], pos[160], q_at[4], out[12], target[12];
	float g[12];
	uint8_t image[2 * 17 * 17 * 3];
};

static inline void
joined_batch(struct joined_batch *x, const struct gv_model *m)
{
	int32_t R = (int32_t)m->cfg.R, n = 0, s, i;
	struct gv_rng rng;
	size_t k;

	memset(x, 0, sizeof *x);
	gv_rng_init(&rng, 8, GV_PURPOSE_TEST);
	for (k = 0; k < sizeof x->image; k++)
		x->image[k] = (uint8_t)gv_rng_below(&rng, 256);
	for (s = 0; s < 3; s++) {
		int32_t row = s ? R : 0, start = n;

		for (i = 0; i < R + 6; i++, n++) {
			x->pos[n] = i;
			x->id[n] = i >= 2 && i < R + 2
				       ? ~(row + i - 2)
				       : (int32_t)gv_rng_below(&rng, 22);
		}
		for (i = 0; i < 4; i++) {
			x->out[4 * s + i] = start + R + 2 + i;
			x->target[4 * s + i] = (int32_t)gv_rng_below(&rng, 23);
			x->g[4 * s + i] = (float)(i + 1) / -8;
		}
		x->q_at[s + 1] = n;
	}
	x->b = (struct gv_batch){.input = GV_IN_IMAGE,
	    .B = 2,
	    .image = x->image,
	    .N = n,
	    .id = x->id,
	    .pos = x->pos,
	    .S = 3,
	    .q_at = x->q_at,
	    .max_q = R + 6,
	    .max_k = R + 6,
	    .M = 12,
	    .out = x->out,
	    .target = x->target,
	    .g = x->g};
}

#endif
