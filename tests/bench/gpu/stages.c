/* Times whole stages of the full-size models with random weights.
 *
 *	stages encode|train|align|sft|decode|prefill
 *
 * Training runs the loop of gv-train over a stream in a temporary file, so
 * that reading, packing and upload are in the times; encoding goes from host
 * memory to host memory, decoding has what the host does for a token in it.
 * peer.py has its batches on the device and leaves its results there.
 */
#include "bench.h"
#include "draw.h"
#include "encode.h"
#include "mem.h"
#include "train.h"

#include <unistd.h>

static struct gv_error e;

static void
check(int r)
{
	if (r < 0)
		die("%s", e.msg);
}

/* ---- models -------------------------------------------------------------- */

/* Fills a part with numbers that look like weights: norms near 1 in a real
 * model are small here, which changes no time. */
static void
fill(struct gv_model *m)
{
	const size_t some = (size_t)1 << 20;
	void *tile = numbers(some, gvk_dtype(k), .02f);
	size_t esize = gvk_dtype_size(gvk_dtype(k)), at, n;
	int p;

	for (p = 0; p < GV_PARTS; p++)
		for (at = 0; m->part[p].w && at < m->part[p].n; at += n) {
			n = m->part[p].n - at < some ? m->part[p].n - at : some;
			gvk_copy(m->s, (char *)m->part[p].w + at * esize, tile,
			    n * esize);
		}
	check(gv_model_sync(m, &e));
	gvk_free(k, tile);
}

static struct gv_model *
model_of(json_t *o)
{
	struct gv_config c = {0};
	struct gv_model *m;

	if (!o)
		die("no memory");
	check(gv_config_parse(&c, o, &e));
	json_decref(o);
	check(gv_model_new(&m, k, &c, ~0u, &e));
	fill(m);
	return m;
}

/* The decoder of vlm_1.5b alone. */
static struct gv_model *
text_model(void)
{
	json_t *vlm = gv_config_preset("vlm_1.5b");
	json_t *o = json_deep_copy(json_object_get(vlm, "text_config"));

	json_decref(vlm);
	json_object_set_new(o, "model_type", json_string("qwen2"));
	return model_of(o);
}

/* ---- streams ------------------------------------------------------------- */

/* What a record of a training stage holds. */
struct kind {
	const char *name, *unit;
	enum gv_input input;
	int64_t batch;
	int32_t text; /* tokens after the image rows */
	unsigned parts; /* that train */
};

static struct gv_writer *w;
static uint32_t lot = 1234567;

static uint32_t
draw_lot(void)
{
	lot ^= lot << 13;
	lot ^= lot >> 17;
	lot ^= lot << 5;
	return lot;
}

static void
put_record(
    const struct gv_config *c, const struct kind *kind, int32_t *t, void *image)
{
	int64_t rows = kind->input ? c->R : 0, T = rows + kind->text, i;
	int64_t pixels[4] = {1, c->vision.image, c->vision.image, 3};
	int64_t patches[3] = {1, c->vision.P, c->vision.C}, one = 1;
	int32_t *target = t + T, at = 0;
	size_t bytes, j;

	for (i = 0; i < T; i++)
		t[i] =
		    i < rows ? c->image_token : (int32_t)(draw_lot() % 151000);
	for (i = 0; i < T; i++)
		target[i] = i + 1 < T && i + 1 >= rows ? t[i + 1] : -1;
	check(gv_writer_begin(w, "r", &e));
	check(gv_writer_tensor(w, "tokens", 1, &T, t, &e));
	check(gv_writer_tensor(w, "targets", 1, &T, target, &e));
	if (kind->input) {
		check(gv_writer_tensor(w, "image_at", 1, &one, &at, &e));
		bytes = kind->input == GV_IN_IMAGE
			    ? (size_t)(pixels[1] * pixels[2] * 3)
			    : (size_t)(patches[1] * patches[2]) * 2;
		/* small BF16 numbers, any pixels */
		for (j = 0; j < bytes / 2; j++)
			((uint16_t *)image)[j] =
			    (uint16_t)(draw_lot() & 0xbfff & ~0x4000u);
	}
	if (kind->input == GV_IN_IMAGE)
		check(gv_writer_tensor(w, "image", 4, pixels, image, &e));
	else if (kind->input == GV_IN_FEATURES)
		check(gv_writer_tensor(w, "features", 3, patches, image, &e));
	check(gv_writer_end_rec(w, &e));
}

static void
write_stream(const char *path, const struct gv_config *c,
    const struct kind *kind, int64_t records)
{
	int32_t *t = gv_alloc((size_t)(2 * (c->R + kind->text)), sizeof *t);
	void *image = gv_alloc((size_t)4 << 20, 1);
	struct gv_schema schema;
	struct gv_out *o;
	char spec[64];

	if (!t || !image)
		die("no memory");
	check(gv_schema_init(&schema, "tokens", &e));
	check(gv_schema_field(&schema, "tokens", "I32 (T)", "", &e));
	check(gv_schema_field(&schema, "targets", "I32 (T)", "", &e));
	if (kind->input)
		check(gv_schema_field(&schema, "image_at", "I32 (M)", "", &e));
	snprintf(spec, sizeof spec, "U8 (N,%d,%d,3)", (int)c->vision.image,
	    (int)c->vision.image);
	if (kind->input == GV_IN_IMAGE)
		check(gv_schema_field(&schema, "image", spec, "", &e));
	snprintf(spec, sizeof spec, "BF16 (N,%d,%d)", (int)c->vision.P,
	    (int)c->vision.C);
	if (kind->input == GV_IN_FEATURES)
		check(gv_schema_field(&schema, "features", spec, "", &e));
	check(gv_out_open(&o, path, true, true, &e));
	check(gv_writer_open(&w, o, &schema, &e));
	gv_schema_free(&schema);
	while (records-- > 0)
		put_record(c, kind, t, image);
	check(gv_writer_close(&w, 0, &e));
	check(gv_out_commit(&o, &e));
	gv_free(t);
	gv_free(image);
}

/* ---- training ------------------------------------------------------------ */

#define WARM  3
#define STEPS 7

static double
gib_in_use(void)
{
	size_t total, avail;

	gvk_memory(k, &total, &avail);
	return (double)(total - avail) / (1 << 30);
}

static void
time_training(struct gv_model *m, const struct kind *kind, double before)
{
	struct gv_train_law law = {
	    .schedule = {.kind = GV_CONSTANT, .total = WARM + STEPS},
	    .optim = {.beta1 = .9, .beta2 = .95, .eps = 1e-8, .clip = 1},
	    .batch = kind->batch};
	int64_t rows = (kind->input ? m->cfg.R : 0) + kind->text;
	char path[] = "/tmp/gv-bench-XXXXXX", name[80];
	struct gv_reader *in;
	struct gv_train *t;
	struct gv_train_step step;
	double times[STEPS], gib;
	int i, fd = mkstemp(path);

	if (fd < 0)
		die("no temporary file");
	close(fd);
	for (i = 0; i < GV_PARTS; i++)
		law.optim.lr[i] = kind->parts & 1u << i ? 1e-5 : 0;
	law.micro_tokens = kind->batch * rows;
	law.micro_images = kind->input ? kind->batch : 1;
	law.max_length = (int32_t)rows;
	write_stream(path, &m->cfg, kind, kind->batch * (WARM + STEPS));
	check(gv_reader_open(&in, path, &e));
	unlink(path);
	check(gv_model_train(m, kind->parts, &e));
	check(gv_train_open(&t, m, in, &law, &e));
	for (i = 0; i < WARM + STEPS; i++) {
		double start = now();

		check(gv_train_step(t, &step, &e));
		if (i >= WARM)
			times[i - WARM] = now() - start;
	}
	gib = gib_in_use() - before;
	qsort(times, STEPS, sizeof *times, by_size);
	snprintf(name, sizeof name, "%s 1.5b %dx%s%d%s", kind->name,
	    (int)kind->batch, kind->input ? "(64+" : "", (int)kind->text,
	    kind->input ? ")" : "");
	report(name,
	    (double)(kind->input ? kind->batch : kind->batch * rows) /
		times[STEPS / 2],
	    kind->unit, times[STEPS / 2], step.flops, 0);
	if (!kind->input) {
		strcat(name, " memory");
		report(name, gib, "GiB", 0, 0, 0);
	}
	fprintf(stderr, "# %s: loss %.4f, %.1f GiB\n", name, step.loss, gib);
	gv_train_close(&t);
	gv_reader_close(&in);
}

static void
train(void)
{
	static const struct kind kinds[] = {
	    {"train", "tokens/s", GV_IN_NONE, 16, 1024, 1u << GV_LANGUAGE},
	    {"train", "tokens/s", GV_IN_NONE, 8, 2048, 1u << GV_LANGUAGE},
	};
	double before = gib_in_use();
	int i;

	for (i = 0; i < 2; i++) {
		struct gv_model *m = text_model();

		time_training(m, &kinds[i], before);
		gv_model_close(&m);
	}
}

static void
align(void)
{
	static const struct kind kind = {"align", "examples/s", GV_IN_IMAGE,
	    128, 64, 1u << GV_RESAMPLER | 1u << GV_PROJECTOR};
	double before = gib_in_use();
	struct gv_model *m = model_of(gv_config_preset("vlm_1.5b"));

	time_training(m, &kind, before);
	gv_model_close(&m);
}

static void
sft(void)
{
	static const struct kind kind = {"sft", "examples/s", GV_IN_FEATURES,
	    64, 256,
	    1u << GV_RESAMPLER | 1u << GV_PROJECTOR | 1u << GV_LANGUAGE};
	double before = gib_in_use();
	struct gv_model *m = model_of(gv_config_preset("vlm_1.5b"));

	time_training(m, &kind, before);
	gv_model_close(&m);
}

/* ---- encoding ------------------------------------------------------------ */

static double
tower_flops(const struct gv_config *c)
{
	const struct gv_vision_config *v = &c->vision;
	double P = (double)v->P, C = (double)v->C, F = (double)v->F;

	return P * (2.0 * 3 * (double)(v->patch * v->patch) * C +
		       (double)v->L * (8 * C * C + 4 * C * F + 4 * P * C));
}

static void
take_rows(struct gv_encoder *x)
{
	const void *rows;

	check(gv_encoder_take(x, &rows, &e));
}

/* Seconds a batch of n images, with two of them under way: from pinned host
 * memory, where gv-encode-vision reads them to, to where it writes them from.
 * One image alone is timed from end to end. */
static double
encode_seconds(struct gv_encoder *x, const uint8_t *px, int64_t n)
{
	double t[TURNS], start;
	int i;

	for (i = 0; i < 3; i++) {
		check(gv_encoder_put(x, px, n, &e));
		take_rows(x);
	}
	if (n > 1)
		check(gv_encoder_put(x, px, n, &e));
	for (i = 0; i < TURNS; i++) {
		start = now();
		check(gv_encoder_put(x, px, n, &e));
		take_rows(x);
		t[i] = now() - start;
	}
	if (n > 1)
		take_rows(x);
	qsort(t, TURNS, sizeof *t, by_size);
	return t[TURNS / 2];
}

static void
time_tower(const char *preset, const char *short_name, int64_t images)
{
	struct gv_model *m = model_of(gv_config_tower(preset));
	const struct gv_vision_config *v = &m->cfg.vision;
	size_t bytes = (size_t)(images * v->image * v->image * 3), i;
	uint8_t *px = gvk_host_alloc(k, bytes);
	int64_t n;

	if (!px)
		die("no memory");
	for (i = 0; i < bytes; i++)
		px[i] = (uint8_t)(draw_lot() >> 13);
	for (n = images; n > 0; n = n > 1 ? 1 : 0) {
		struct gv_encoder *x;
		char name[80];
		double t;

		check(gv_encoder_open(&x, m, GV_IN_FEATURES, GV_BF16, n, &e));
		t = encode_seconds(x, px, n);
		snprintf(
		    name, sizeof name, "encode %s x%d", short_name, (int)n);
		report(name, (double)n / t, "images/s", t,
		    (double)n * tower_flops(&m->cfg),
		    2 * (double)m->part[GV_VISION].n);
		gv_encoder_close(&x);
	}
	gvk_host_free(k, px);
	gv_model_close(&m);
}

static void
encode(void)
{
	time_tower("siglip-large-p16-256", "large16-256", 256);
	time_tower("siglip-so400m-p14-384", "so400m14-384", 128);
}

/* ---- decoding ------------------------------------------------------------ */

#define PROMPT 192
#define NEW    128
#define ROWS   (PROMPT + NEW + 16) /* of the cache, a sequence */

/* `n` sequences of random tokens, their batch, and where they stand. */
struct decoding {
	struct gv_draw *d;
	struct gv_batch b;
	int32_t id[64 * PROMPT], pos[64 * PROMPT], kv_row[64 * PROMPT];
	int32_t q_at[65], k_at[64], k_len[64], none[64], out[64];
	uint64_t seed[64], counter[64];
	int32_t n;
};

/* The next batch: `fresh` prompts, or one token each. */
static void
set_batch(struct decoding *x, bool fresh)
{
	int32_t some = fresh ? PROMPT : 1, i, j, at;

	for (i = 0; i < x->n; i++) {
		x->k_at[i] = i * ROWS;
		at = fresh ? 0 : x->k_len[i];
		x->k_len[i] = at + some;
		x->q_at[i] = i * some;
		x->out[i] = (i + 1) * some - 1;
		x->counter[i] = (uint64_t)x->k_len[i];
		for (j = 0; j < some; j++) {
			x->id[i * some + j] = (int32_t)(draw_lot() % 151000);
			x->pos[i * some + j] = at + j;
			x->kv_row[i * some + j] = i * ROWS + at + j;
		}
	}
	x->q_at[x->n] = x->n * some;
	x->b = (struct gv_batch){.N = x->n * some,
	    .id = x->id,
	    .pos = x->pos,
	    .S = x->n,
	    .q_at = x->q_at,
	    .p_at = x->none,
	    .p_len = x->none,
	    .k_at = x->k_at,
	    .k_len = x->k_len,
	    .kv_row = x->kv_row,
	    .max_q = some,
	    .max_k = x->k_len[0],
	    .M = x->n,
	    .out = x->out,
	    .seed = x->seed,
	    .counter = x->counter};
}

static void
take(struct decoding *x)
{
	const int32_t *id;
	const float *logp;

	check(gv_draw_take(x->d, &id, &logp, &e));
}

static struct decoding *
open_decoding(struct gv_model *m, int32_t n)
{
	static const struct gvk_sampler law = {.temperature = 0, .top_p = 1};
	struct gv_limits l = {.tokens = n * PROMPT,
	    .seqs = n,
	    .outs = n,
	    .max_q = PROMPT,
	    .max_k = ROWS,
	    .kv_rows = n * ROWS};
	struct decoding *x = gv_alloc(1, sizeof *x);
	uint8_t *ban = gv_alloc((size_t)m->cfg.text.V, 1);

	if (!x || !ban)
		die("no memory");
	x->n = n;
	check(gv_draw_open(&x->d, m, &l, ban, &law, &e));
	gv_free(ban);
	return x;
}

/* Decoding as gv-rollout does it: the next pass is queued before the ids of
 * the one under way are looked at. */
static void
time_decoding(struct gv_model *m, int32_t n)
{
	struct decoding *x = open_decoding(m, n);
	double start = 0, bytes = 2 * (double)m->part[GV_LANGUAGE].n, t;
	char name[80];
	int i;

	set_batch(x, true);
	check(gv_draw_put(x->d, &x->b, false, &e));
	for (i = 0; i < 8 + NEW; i++) {
		if (i == 8)
			start = now();
		set_batch(x, false);
		check(gv_draw_put(x->d, &x->b, true, &e));
		take(x);
	}
	take(x);
	t = (now() - start) / NEW;
	bytes += 4.0 * n * (PROMPT + 8 + NEW / 2) *
		 (double)(m->cfg.text.L * m->cfg.text.G * m->cfg.text.D);
	snprintf(name, sizeof name, "decode 1.5b x%d", (int)n);
	report(name, n / t, "tokens/s", t, 2.0 * n * 1.54e9, bytes);
	gv_draw_close(&x->d);
	gv_free(x);
}

static void
time_prefill(struct gv_model *m, int32_t n)
{
	struct decoding *x = open_decoding(m, n);
	double t[TURNS], tokens = (double)n * PROMPT, start;
	char name[80];
	int i;

	for (i = -2; i < TURNS; i++) {
		set_batch(x, true);
		start = now();
		check(gv_draw_put(x->d, &x->b, false, &e));
		take(x);
		if (i >= 0)
			t[i] = now() - start;
	}
	qsort(t, TURNS, sizeof *t, by_size);
	snprintf(name, sizeof name, "prefill 1.5b %dx%d", (int)n, PROMPT);
	report(name, tokens / t[TURNS / 2], "tokens/s", t[TURNS / 2],
	    2 * tokens * 1.31e9, 2 * (double)m->part[GV_LANGUAGE].n);
	gv_draw_close(&x->d);
	gv_free(x);
}

static void
decode(void)
{
	struct gv_model *m = text_model();

	time_decoding(m, 1);
	time_decoding(m, 8);
	time_decoding(m, 64);
	gv_model_close(&m);
}

static void
prefill(void)
{
	struct gv_model *m = text_model();

	time_prefill(m, 1);
	time_prefill(m, 64);
	gv_model_close(&m);
}

int
main(int argc, char **argv)
{
	static const struct {
		const char *name;
		void (*run)(void);
	} all[] = {
	    {"encode", encode},
	    {"train", train},
	    {"align", align},
	    {"sft", sft},
	    {"decode", decode},
	    {"prefill", prefill},
	};
	size_t i, n = sizeof all / sizeof *all;

	for (i = 0; argc == 2 && i < n && strcmp(argv[1], all[i].name); i++)
		;
	if (argc != 2 || i == n)
		die("usage: stages encode|train|align|sft|decode|prefill");
	open_device();
	all[i].run();
	gvk_stream_close(&s);
	gvk_close(&k);
	return 0;
}
