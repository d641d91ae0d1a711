/* Times the ops of the CUDA backend at the shapes of Qwen2.5-1.5B and SigLIP.
 *
 *	ops ops|attention [substring of a row's name]
 */
#include "bench.h"

#define BIG ((size_t)320 << 20) /* elements of the largest operand */

static void *x, *w, *y, *z, *gu; /* of storage type */
static float *f, *g, *stat;
static int32_t *ids, *pos;
static void *ws;
static size_t ws_bytes;
static const char *only;

struct shape {
	int64_t N, C, O;
	struct gvk_attn attn;
	bool back;
	struct gvk_sampler law;
};

static void
time_op(const char *name, void (*run)(void *), const struct shape *h,
    double flops, double bytes)
{
	double t;

	if (only && !strstr(name, only))
		return;
	t = seconds(run, (void *)(uintptr_t)h, flops > 1e12 ? 1 : 10);
	if (flops > 0)
		report(name, flops / t * 1e-12, "TFLOP/s", t, flops, bytes);
	else
		report(name, bytes / t * 1e-9, "GB/s", t, flops, bytes);
}

/* ---- products ------------------------------------------------------------ */

static void
linear(void *arg)
{
	const struct shape *h = arg;

	gvk_linear(s, y, NULL, x, w, z, NULL, GVK_ACT_NONE, h->N, h->C, h->O);
}

static void
residual(void *arg)
{
	const struct shape *h = arg;

	gvk_linear(s, y, NULL, x, w, NULL, z, GVK_ACT_NONE, h->N, h->C, h->O);
}

static void
gelu(void *arg)
{
	const struct shape *h = arg;

	gvk_linear(s, y, NULL, x, w, z, NULL, GVK_GELU_TANH, h->N, h->C, h->O);
}

static void
gated(void *arg)
{
	const struct shape *h = arg;

	gvk_gated(s, y, gu, h->back, x, w, h->N, h->C, h->O);
}

static void
gated_bwd(void *arg)
{
	const struct shape *h = arg;

	gvk_gated_bwd(s, x, y, z, y, gu, w, h->N, h->O, h->C);
}

static void
dgrad(void *arg)
{
	const struct shape *h = arg;

	gvk_linear_bwd(s, y, NULL, NULL, x, NULL, NULL, w, GVK_ACT_NONE, false,
	    h->N, h->C, h->O);
}

static void
wgrad(void *arg)
{
	const struct shape *h = arg;

	gvk_linear_bwd(s, NULL, f, NULL, x, y, NULL, NULL, GVK_ACT_NONE, false,
	    h->N, h->C, h->O);
}

static void
logits(void *arg)
{
	const struct shape *h = arg;

	gvk_logits(s, f, x, w, 0, h->N, h->C, h->O);
}

static void
product(const char *name, void (*run)(void *), int64_t N, int64_t C, int64_t O,
    bool back)
{
	struct shape h = {.N = N, .C = C, .O = O, .back = back};
	bool is_gated = run == gated;
	double wide = is_gated ? 2 : 1;
	double flops = 2 * wide * (double)N * (double)C * (double)O;
	double bytes =
	    2 * ((double)N * (double)(C + O) + wide * (double)C * (double)O);

	if (run == wgrad)
		bytes += 6 * (double)C * (double)O;
	if (run == logits)
		bytes += 2 * (double)N * (double)O;
	time_op(name, run, &h, flops, bytes);
}

static void
products(void)
{
	product("matmul 8192", linear, 8192, 8192, 8192, false);
	product("qkv 16384x2048x1536", linear, 16384, 1536, 2048, false);
	product("o 16384x1536x1536", residual, 16384, 1536, 1536, false);
	product("swiglu 16384x8960x1536", gated, 16384, 1536, 8960, false);
	product("swiglu keep 16384x8960x1536", gated, 16384, 1536, 8960, true);
	product(
	    "swiglu bwd 16384x8960x1536", gated_bwd, 16384, 1536, 8960, true);
	product("down 16384x1536x8960", residual, 16384, 8960, 1536, false);
	product(
	    "gate/up dgrad 16384x1536x17920", dgrad, 16384, 1536, 17920, false);
	product(
	    "gate/up wgrad 17920x1536x16384", wgrad, 16384, 1536, 17920, false);
	product("down wgrad 1536x8960x16384", wgrad, 16384, 8960, 1536, false);
	product("vit qkv 8192x3072x1024", linear, 8192, 1024, 3072, false);
	product("vit fc1 gelu 8192x4096x1024", gelu, 8192, 1024, 4096, false);
	product("vit fc2 8192x1024x4096", residual, 8192, 4096, 1024, false);
	product("row gate/up 1x17920x1536", gated, 1, 1536, 8960, false);
	product("row down 1x1536x8960", residual, 1, 8960, 1536, false);
	product("rows down 64x1536x8960", residual, 64, 8960, 1536, false);
	product("row head 1x151936x1536", logits, 1, 1536, 151936, false);
	product("rows head 64x151936x1536", logits, 64, 1536, 151936, false);
}

/* ---- attention ----------------------------------------------------------- */

static void
attention(void *arg)
{
	const struct shape *h = arg;

	gvk_attention(s, y, stat, x, (char *)x + 2 * h->attn.H * h->attn.D,
	    (char *)x + 2 * (h->attn.H + h->attn.G) * h->attn.D, &h->attn);
}

static void
attention_bwd(void *arg)
{
	const struct shape *h = arg;
	int64_t q = 2 * h->attn.H * h->attn.D, kv = 2 * h->attn.G * h->attn.D;

	gvk_attention_bwd(s, gu, (char *)gu + q, (char *)gu + q + kv, z, y,
	    stat, x, (char *)x + q, (char *)x + q + kv, &h->attn, ws);
}

/* S sequences of T rows, q, k and v beside each other as the model has them. */
static void
attend(const char *name, int32_t S, int32_t T, int32_t H, int32_t G, int32_t D,
    bool causal, bool back)
{
	struct shape h = {.N = (int64_t)S * T};
	struct gvk_attn *a = &h.attn;
	int32_t *at = malloc((size_t)(2 * S + 1) * sizeof *at), i;
	int32_t *dev = device((size_t)(2 * S + 1) * sizeof *at);
	double flops = 4.0 * S * H * T * (double)T * D * (causal ? .5 : 1);
	char full[80];

	for (i = 0; at && i <= S; i++)
		at[i] = i * T;
	for (i = 0; at && i < S; i++)
		at[S + 1 + i] = T;
	if (!at)
		die("no memory");
	gvk_put(s, dev, at, (size_t)(2 * S + 1) * sizeof *at);
	finish();
	*a = (struct gvk_attn){.S = S,
	    .H = H,
	    .G = G,
	    .D = D,
	    .max_q = T,
	    .max_k = T,
	    .q_at = dev,
	    .k_at = dev,
	    .k_len = dev + S + 1,
	    .causal = causal,
	    .scale = 1 / sqrtf((float)D)};
	a->ldq = a->ldk = a->ldv = (H + 2 * G) * D;
	a->ldo = H * D;
	if (gvk_attention_bwd_ws(k, a, h.N) > ws_bytes)
		die("scratch");
	snprintf(full, sizeof full, "attention %s", name);
	time_op(full, attention, &h, flops, 0);
	snprintf(full, sizeof full, "attention bwd %s", name);
	attention(&h);
	if (back)
		time_op(full, attention_bwd, &h, 2.5 * flops, 0);
	finish();
	gvk_free(k, dev);
	free(at);
}

static void
attentions(void)
{
	attend("8x12x2048x128 causal", 8, 2048, 12, 12, 128, true, true);
	attend("8x12/2x2048x128 causal", 8, 2048, 12, 2, 128, true, true);
	attend("16x12/2x1024x128 causal", 16, 1024, 12, 2, 128, true, true);
	attend("128x12/2x128x128 causal", 128, 128, 12, 2, 128, true, true);
	attend("2x12x8192x128 causal", 2, 8192, 12, 12, 128, true, true);
	attend("256x16x256x64", 256, 256, 16, 16, 64, false, true);
	attend("64x16x729x72", 64, 729, 16, 16, 72, false, true);
}

/* ---- the rest ------------------------------------------------------------ */

static void
rmsnorm(void *arg)
{
	const struct shape *h = arg;

	gvk_rmsnorm(s, y, NULL, stat, x, NULL, w, 1e-6f, h->N, h->C);
}

static void
rmsnorm_bwd(void *arg)
{
	const struct shape *h = arg;

	gvk_rmsnorm_bwd(s, y, f, NULL, x, z, gu, stat, w, h->N, h->C);
}

static void
layernorm(void *arg)
{
	const struct shape *h = arg;

	gvk_layernorm(
	    s, y, NULL, stat, stat + h->N, x, NULL, w, z, 1e-6f, h->N, h->C);
}

static void
layernorm_bwd(void *arg)
{
	const struct shape *h = arg;

	gvk_layernorm_bwd(
	    s, y, f, f + h->C, x, z, gu, stat, stat + h->N, w, h->N, h->C);
}

static void
rope(void *arg)
{
	const struct shape *h = arg;

	gvk_rope(s, y, pos, stat, false, h->N, 14, 128, 2048);
}

static void
embedding_bwd(void *arg)
{
	const struct shape *h = arg;

	gvk_embedding_bwd(s, f, NULL, x, ids, h->N, h->C, 151936, 0);
}

static void
xent(void *arg)
{
	const struct shape *h = arg;

	gvk_xent(s, stat, NULL, y, f, x, w, ids, stat + h->N, 0, h->N, h->C,
	    h->O, ws);
}

static void
adamw(void *arg)
{
	static const struct gvk_adamw law = {.beta1 = .9f,
	    .beta2 = .95f,
	    .eps = 1e-8f,
	    .t = 10,
	    .state = GVK_F32};
	const struct shape *h = arg;
	float *m = f + h->N, *v = m + h->N, *master = v + h->N;

	gvk_adamw(
	    s, y, master, m, v, f, stat, (const struct gvk_range *)ws, 1, &law);
}

static void
sumsq(void *arg)
{
	const struct shape *h = arg;

	gvk_sumsq(s, ws, f, h->N, false);
}

static void
copy(void *arg)
{
	const struct shape *h = arg;

	gvk_copy(s, f, g, (size_t)h->N);
}

static void
sample(void *arg)
{
	const struct shape *h = arg;

	gvk_sample(s, pos, stat, f, NULL, NULL, (const uint64_t *)gu,
	    (const uint64_t *)gu + h->N, &h->law, h->N, 151936, ws);
}

static void
others(void)
{
	const struct gvk_range r = {0, 80000000, 1e-5f, .1f};
	struct shape a = {.N = 16384, .C = 1536, .O = 151936};
	struct shape v = {.N = 65536, .C = 1024};
	struct shape p = {.N = r.n};
	struct shape c = {.N = (int64_t)1 << 30};
	struct shape t = {.N = 8192, .C = 1536, .O = 151936};
	struct shape m = {.law = {.temperature = 1, .top_p = .95f}};
	double row2 = 2.0 * 16384 * 1536, vit = 2.0 * 65536 * 1024;

	time_op("copy 1 GiB", copy, &c, 0, 2.0 * (double)c.N);
	time_op("rmsnorm 16384x1536", rmsnorm, &a, 0, 2 * row2);
	time_op("rmsnorm bwd 16384x1536", rmsnorm_bwd, &a, 0, 4 * row2);
	time_op("layernorm 65536x1024", layernorm, &v, 0, 2 * vit);
	time_op("layernorm bwd 65536x1024", layernorm_bwd, &v, 0, 4 * vit);
	time_op("rope 16384x14x128", rope, &a, 0, 4.0 * 16384 * 14 * 128);
	time_op("embedding bwd 16384x1536", embedding_bwd, &a, 0,
	    16384.0 * 1536 * 10);
	time_op("cross-entropy 8192x151936x1536", xent, &t,
	    6.0 * 8192 * 151936 * 1536, 0);
	gvk_put(s, ws, &r, sizeof r);
	finish();
	time_op("adamw 80e6", adamw, &p, 0, 34.0 * (double)p.N);
	time_op("sumsq 80e6", sumsq, &p, 0, 4.0 * (double)p.N);
	for (m.N = 1; m.N <= 64; m.N *= 64) {
		char name[80];

		snprintf(name, sizeof name, "sample top-p %dx151936", (int)m.N);
		time_op(name, sample, &m, 0, 4.0 * (double)m.N * 151936);
	}
}

int
main(int argc, char **argv)
{
	struct gvk_attn widest = {
	    .S = 256, .H = 16, .G = 16, .D = 128, .max_q = 8192, .max_k = 8192};
	int32_t *host = calloc(65536, sizeof *host);
	int i;

	if (argc < 2 ||
	    (!strcmp(argv[1], "ops") == !strcmp(argv[1], "attention")))
		die("usage: ops ops|attention [substring]");
	only = argc > 2 ? argv[2] : NULL;
	if (!host)
		die("no memory");
	open_device();
	x = numbers(BIG, GVK_BF16, 1);
	w = numbers((size_t)151936 * 1536, GVK_BF16, .02f);
	y = numbers(BIG, GVK_BF16, 1);
	z = numbers(BIG, GVK_BF16, 1);
	gu = numbers(BIG, GVK_BF16, 1);
	f = numbers(BIG, GVK_F32, .01f);
	g = numbers(BIG, GVK_F32, .01f);
	stat = numbers((size_t)1 << 21, GVK_F32, 1);
	ws_bytes = gvk_attention_bwd_ws(k, &widest, 65536);
	if (gvk_xent_ws(k, 16384, 1536, 151936) > ws_bytes)
		ws_bytes = gvk_xent_ws(k, 16384, 1536, 151936);
	if (gvk_sample_ws(k, 64, 151936) > ws_bytes)
		ws_bytes = gvk_sample_ws(k, 64, 151936);
	ws = device(ws_bytes);
	for (i = 0; i < 65536; i++)
		host[i] = (int32_t)((uint32_t)i * 2654435761u % 151936);
	ids = device(65536 * sizeof *ids);
	gvk_put(s, ids, host, 65536 * sizeof *ids);
	for (i = 0; i < 65536; i++)
		host[i] = i % 1024;
	pos = device(65536 * sizeof *pos);
	finish();
	gvk_put(s, pos, host, 65536 * sizeof *pos);
	finish();
	if (!strcmp(argv[1], "ops")) {
		products();
		others();
	} else {
		attentions();
	}
	free(host);
	gvk_stream_close(&s);
	gvk_close(&k);
	return 0;
}
