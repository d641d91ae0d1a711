/* What the tests of the generator share: a small model with random weights, its
 * prompts, and runs over them.
 */
#ifndef GENERATE_H
#define GENERATE_H

#include "chat.h"
#include "bpe_train.h"
#include "config.h"
#include "gen_priv.h"
#include "mem.h"
#include "philox.h"
#include "tap.h"
#include "token.h"

#include <stdlib.h>
#include <unistd.h>

#define SIDE    64
#define PIXELS  (SIDE * SIDE * 3)
#define PROMPTS 9

static struct gvk *k;
static struct gv_model *m;
static struct gv_tokenizer *t;
static struct gv_error e;
static int32_t stop_id, stops[8], image_id;
static size_t nstops;
static bool ahead; /* run() has passes queued as for a device */
static uint8_t px[3][2 * PIXELS]; /* three pictures, the last two in a row */

/* What the tests prompt with: no image, one, two; neighbours share images and
 * prefixes, and don't. */
static struct {
	const char *text;
	int images, picture;
} asks[PROMPTS] = {
    {"what is the shape in the image", 1, 0},
    {"what colour is it", 1, 0},
    {"is there a red circle", 1, 0},
    {"what colour is it", 1, 1},
    {"say something long about the blue square", 0, 0},
    {"which of these two is larger", 2, 1},
    {"which of these two is a triangle", 2, 1},
    {"no", 0, 0},
    {"what is the shape in the image", 1, 0},
};
static struct gv_rendered prompt[PROMPTS];
static struct gv_tensor visual[PROMPTS];

static inline void
fatal(const char *what)
{
	printf("Bail out! %s: %s\n", what, e.msg);
	exit(1);
}

/* ---- set-up -------------------------------------------------------------- */

static inline void
make_tokenizer(const char *dir)
{
	static const char text[] =
	    "what is the shape in the image? what colour is it? red green "
	    "blue circle square triangle rectangle yes no there is a which of "
	    "these two is larger say something long about the blue square";
	struct gv_bpe_law law = {.vocab = 300, .chat_template = "nano"};
	struct gv_bpe_result result;
	struct gv_bpe_train *b;

	if (gv_bpe_train_open(&b, &law, &e) ||
	    gv_bpe_train_add(b, text, sizeof text - 1, &e) ||
	    gv_bpe_train_learn(b, &result, &e) ||
	    gv_bpe_train_write(b, dir, &e) || gv_tokenizer_open(&t, dir, &e))
		fatal("tokenizer");
	gv_bpe_train_close(&b);
	image_id = gv_tokenizer_image(t);
}

/* A model with random weights; some ids beyond the tokenizer's. */
static inline struct gv_model *
make_model(void)
{
	json_t *o = gv_config_preset("vlm_tiny");
	struct gv_config c = {0};
	struct gv_model *out;

	json_object_set_new(json_object_get(o, "text_config"), "vocab_size",
	    json_integer(gv_tokenizer_size(t) + 5));
	json_object_set_new(o, "image_token_id", json_integer(image_id));
	if (gv_config_parse(&c, o, &e) || gv_model_new(&out, k, &c, ~0u, &e) ||
	    gv_model_init(out, 7, &e))
		fatal("model");
	json_decref(o);
	return out;
}

static inline void
make_prompts(void)
{
	const struct gv_chat_how how = {
	    .image_rows = (int)m->cfg.R, .prompt = true};
	struct gv_rng r;
	size_t i, j;

	gv_rng_init(&r, 1, GV_PURPOSE_TEST);
	for (i = 0; i < 3; i++)
		for (j = 0; j < sizeof px[i]; j++)
			px[i][j] = (uint8_t)gv_rng_below(&r, 256);
	for (i = 0; i < PROMPTS; i++) {
		int64_t shape[4] = {asks[i].images, SIDE, SIDE, 3};
		json_t *part = json_array(), *list;
		int n;

		for (n = 0; n < asks[i].images; n++)
			json_array_append_new(
			    part, json_pack("{ss}", "type", "image"));
		json_array_append_new(part,
		    json_pack("{ssss}", "type", "text", "text", asks[i].text));
		list = json_pack("[{ssso}]", "role", "user", "content", part);
		if (gv_chat(t, &how, list, NULL, &prompt[i], &e) ||
		    gv_tensor_set(
			&visual[i], GV_U8, 4, shape, px[asks[i].picture], &e))
			fatal("prompt");
		json_decref(list);
	}
}

/* ---- running ------------------------------------------------------------- */

/* Samples of a run: at most 64 tokens each. */
struct got {
	int32_t token[64];
	float logp[64];
	uint8_t mask[64];
	size_t n;
	enum gv_gen_stop stop;
	char text[1024];
};

static inline struct gv_gen_law
law_of(int32_t group, int64_t rows, float temperature)
{
	return (struct gv_gen_law){.temperature = temperature,
	    .top_p = 1,
	    .group = group,
	    .max_tokens = 12,
	    .rows = rows,
	    .seed = 5};
}

static inline struct gv_gen_prompt
prompt_of(size_t i)
{
	return (struct gv_gen_prompt){.number = i,
	    .token = prompt[i].token,
	    .n = prompt[i].n,
	    .image_at = prompt[i].image_at,
	    .images = prompt[i].images,
	    .input = GV_IN_IMAGE,
	    .visual = &visual[i]};
}

static inline void
keep(struct got *g, const struct gv_gen_sample *s)
{
	memset(g, 0, sizeof *g);
	g->n = s->n;
	g->stop = s->stop;
	memcpy(g->token, s->token, s->n * sizeof *g->token);
	memcpy(g->logp, s->logp, s->n * sizeof *g->logp);
	memcpy(g->mask, s->mask, s->n);
	snprintf(g->text, sizeof g->text, "%s", s->text);
}

/* Runs p[0..n) and keeps what came, prompt by prompt.  True if in order. */
static inline bool
run(const struct gv_gen_law *law, const struct gv_gen_prompt *p, size_t n,
    struct got *got, struct gv_gen_stats *stats)
{
	struct gv_gen_result r;
	struct gv_gen *g;
	size_t in = 0, out = 0;
	bool order = true;
	int32_t i;

	if (gv_gen_open(&g, m, t, law, &e))
		fatal("gv_gen_open");
	g->ahead = ahead;
	for (;;) {
		for (; in < n && gv_gen_room(g); in++)
			if (gv_gen_submit(g, &p[in], &e))
				fatal("gv_gen_submit");
		if (!gv_gen_pending(g))
			break;
		if (gv_gen_step(g, &e))
			fatal("gv_gen_step");
		for (; gv_gen_take(g, &r); out++) {
			order = order && r.number == p[out].number &&
				r.n == p[out].n;
			for (i = 0; i < law->group; i++)
				keep(&got[out * (size_t)law->group + (size_t)i],
				    &r.sample[i]);
		}
	}
	if (stats)
		gv_gen_stats(g, stats);
	gv_gen_close(&g);
	return order && out == n;
}

static inline bool
same(const struct got *a, const struct got *b, size_t n)
{
	size_t i, j;

	for (i = 0; i < n; i++) {
		if (a[i].n != b[i].n || a[i].stop != b[i].stop ||
		    memcmp(a[i].token, b[i].token, sizeof a[i].token) != 0 ||
		    memcmp(a[i].mask, b[i].mask, sizeof a[i].mask) != 0 ||
		    strcmp(a[i].text, b[i].text) != 0)
			return false;
		for (j = 0; j < a[i].n; j++)
			if (!(fabsf(a[i].logp[j] - b[i].logp[j]) < 1e-4f))
				return false;
	}
	return true;
}

static inline void
all_prompts(struct gv_gen_prompt *p)
{
	size_t i;

	for (i = 0; i < PROMPTS; i++)
		p[i] = prompt_of(i);
}

/* ---- the start and the end ----------------------------------------------- */

static inline void
gen_start(const char *device)
{
	char dir[] = "/tmp/gv-gen-XXXXXX", path[64];

	if (!mkdtemp(dir) || gv_backend_open(&k, device, 2, &e))
		fatal("start");
	make_tokenizer(dir);
	m = make_model();
	nstops = gv_gen_stops(m, t, stops, 8);
	stop_id = gv_tokenizer_special(t, "<|assistant_end|>");
	make_prompts();
	snprintf(path, sizeof path, "%s/tokenizer.json", dir);
	unlink(path);
	snprintf(path, sizeof path, "%s/tokenizer_config.json", dir);
	unlink(path);
	rmdir(dir);
}

static inline void
gen_end(void)
{
	size_t i;

	for (i = 0; i < PROMPTS; i++)
		gv_rendered_free(&prompt[i]);
	gv_model_close(&m);
	gv_tokenizer_close(&t);
	gvk_close(&k);
}

#endif
