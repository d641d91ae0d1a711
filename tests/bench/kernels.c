/* Times the kernels at the shapes of the demo's model and a larger one, next to
 * OpenBLAS's own sgemm in the same run.
 *
 *	kernels [threads [substring of a row's name]]
 *
 * Ours and OpenBLAS's product take turns, so that both see the same machine;
 * times are the best of many, the ratio is the median of the turns'.  One
 * thread is the default: with more, OpenBLAS's workers go on spinning after a
 * call and take the cores from ours, and the ratio says little. */
#include "gvk.h"

#include <cblas.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define FLOATS  ((size_t)8 << 20) /* of each operand */
#define WEIGHTS ((size_t)32 << 20) /* of w: more than a cache holds */
#define TURNS   400 /* at most */

void openblas_set_num_threads(int n) __attribute__((weak));

static struct gvk *k;
static struct gvk_stream *s;
static float *x, *w, *y, *z, *b, *dw; /* operands, of small numbers */
static float *ws;
static uint16_t *w_raw; /* w rounded to BF16 */
static const char *only;

static double
now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* ---- one row ------------------------------------------------------------ */

struct shape {
	int64_t N, C, O;
	const struct gvk_attn *attn;
};

typedef void run_fn(const struct shape *h);

static double
once(run_fn *run, const struct shape *h)
{
	double t = now();

	run(h);
	if (gvk_sync(s, NULL, 0))
		exit(1);
	return now() - t;
}

static bool
wanted(const char *name)
{
	return !only || strstr(name, only);
}

static void
blas(const struct shape *h)
{
	cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, (int)h->N,
	    (int)h->O, (int)h->C, 1, x, (int)h->C, w, (int)h->C, 0, y,
	    (int)h->O);
}

static int
by_size(const void *a, const void *c)
{
	double u = *(const double *)a, v = *(const double *)c;

	return (u > v) - (u < v);
}

/* sgemm on as many threads as we have. */
static double
time_blas(const struct shape *h)
{
	double t;

	if (openblas_set_num_threads)
		openblas_set_num_threads(gvk_threads(k));
	t = once(blas, h);
	if (openblas_set_num_threads)
		openblas_set_num_threads(1);
	return t;
}

/* A row with work in FLOP or bytes; with `peer`, the FLOP of an sgemm of that
 * shape that takes turns. */
static void
row(const char *name, const char *shape, run_fn *run, const struct shape *h,
    double work, const char *unit, double peer)
{
	double best = 1e9, other = 1e9, t, u, end = now() + 0.3;
	double ratio[TURNS];
	int n = 0;

	if (!wanted(name))
		return;
	once(run, h);
	for (; n < 3 || (now() < end && n < TURNS); n++) {
		t = once(run, h);
		best = t < best ? t : best;
		if (peer <= 0)
			continue;
		u = time_blas(h);
		other = u < other ? u : other;
		ratio[n] = (work / t) / (peer / u);
	}
	printf("%-14s %-22s %9.0f %8.1f %s", name, shape, best * 1e6,
	    work / best * 1e-9, unit);
	if (peer > 0) {
		qsort(ratio, (size_t)n, sizeof *ratio, by_size);
		printf(" %8.1f %6.2f", peer / other * 1e-9, ratio[n / 2]);
	}
	printf("\n");
	fflush(stdout);
}

/* ---- products ----------------------------------------------------------- */

static void
linear(const struct shape *h)
{
	gvk_linear(s, y, NULL, x, w, b, NULL, GVK_ACT_NONE, h->N, h->C, h->O);
}

static void
linear_raw(const struct shape *h)
{
	gvk_set_wtype(s, GVK_BF16);
	gvk_linear(
	    s, y, NULL, x, w_raw, NULL, NULL, GVK_ACT_NONE, h->N, h->C, h->O);
	gvk_set_wtype(s, GVK_F32);
}

static void
linear_gelu(const struct shape *h)
{
	gvk_linear(s, y, z, x, w, b, NULL, GVK_GELU_TANH, h->N, h->C, h->O);
}

static void
linear_bwd(const struct shape *h)
{
	gvk_linear_bwd(
	    s, z, w, b, y, x, NULL, w, GVK_ACT_NONE, false, h->N, h->C, h->O);
}

/* O is the width behind the gate. */
static void
gated(const struct shape *h)
{
	gvk_gated(s, y, z, true, x, w, h->N, h->C, h->O);
}

static void
gated_bwd(const struct shape *h)
{
	gvk_gated_bwd(s, dw, NULL, y, x, z, w, h->N, h->O, h->C);
}

static void
gates(int64_t N, int64_t C, int64_t F)
{
	struct shape h = {N, C, F, NULL};
	double flop = 2.0 * (double)N * (double)C * (double)F;
	char name[40];

	snprintf(name, sizeof name, "%dx%dx%d", (int)N, (int)C, (int)F);
	row("gated", name, gated, &h, 2 * flop, "GF/s", flop);
	row("gated_bwd", name, gated_bwd, &h, flop, "GF/s", flop);
}

static void
products(int64_t N, int64_t C, int64_t O)
{
	struct shape h = {N, C, O, NULL};
	double flop = 2.0 * (double)N * (double)C * (double)O;
	char name[40];

	snprintf(name, sizeof name, "%dx%dx%d", (int)N, (int)C, (int)O);
	row("linear", name, linear, &h, flop, "GF/s", flop);
	row("linear+gelu", name, linear_gelu, &h, flop, "GF/s", flop);
	row("linear_bwd", name, linear_bwd, &h, 2 * flop, "GF/s", flop);
}

/* A product whose weights come from memory, as in decoding. */
static void
decode(int64_t N, int64_t C, int64_t O)
{
	struct shape h = {N, C, O, NULL};
	double flop = 2.0 * (double)N * (double)C * (double)O;
	char name[40];

	snprintf(name, sizeof name, "%dx%dx%d", (int)N, (int)C, (int)O);
	row("linear", name, linear, &h, flop, "GF/s", flop);
	row("linear bf16", name, linear_raw, &h, flop, "GF/s", flop);
}

static void
logits(const struct shape *h)
{
	gvk_logits(s, y, x, w, 0, h->N, h->C, h->O);
}

static void
xent(const struct shape *h)
{
	gvk_xent(s, b, NULL, z, dw, x, w, (const int32_t *)(void *)ws, b, 0,
	    h->N, h->C, h->O, ws + h->N);
}

static void
head(int64_t N, int64_t C, int64_t V)
{
	struct shape h = {N, C, V, NULL};
	double flop = 2.0 * (double)N * (double)C * (double)V;
	char name[40];

	memset(ws, 0, (size_t)N * sizeof *ws); /* targets */
	snprintf(name, sizeof name, "%dx%dx%d", (int)N, (int)C, (int)V);
	row("logits", name, logits, &h, flop, "GF/s", flop);
	row("xent", name, xent, &h, 3 * flop, "GF/s", flop);
}

/* ---- attention ---------------------------------------------------------- */

static int32_t q_at[513], k_at[512], k_len[512], p_at[512], p_len[512];

static void
attention(const struct shape *h)
{
	const struct gvk_attn *a = h->attn;

	gvk_attention(s, y, b, x, x + a->H * a->D, x + (a->H + a->G) * a->D, a);
}

static void
attention_bwd(const struct shape *h)
{
	const struct gvk_attn *a = h->attn;
	int64_t at_k = a->H * a->D, at_v = at_k + a->G * a->D;

	gvk_attention_bwd(
	    s, z, z + at_k, z + at_v, w, y, b, x, x + at_k, x + at_v, a, ws);
}

static void
time_attention(const char *name, struct gvk_attn *a)
{
	struct shape h = {.attn = a};
	double pairs = 0;

	for (int i = 0; i < a->S; i++) {
		double nq = q_at[i + 1] - q_at[i], nk = k_len[i];

		pairs += nq * nk + (a->p_len ? nq * p_len[i] : 0);
		pairs -= a->causal && nq > 1 ? nq * (nq - 1) / 2 : 0;
	}
	pairs *= 4.0 * a->H * a->D;
	a->q_at = q_at;
	a->k_at = k_at;
	a->k_len = k_len;
	a->scale = 1 / sqrtf((float)a->D);
	a->ldq = a->ldk = a->ldv = (a->H + 2 * a->G) * a->D;
	a->ldo = a->H * a->D;
	row("attention", name, attention, &h, pairs, "GF/s", 0);
	if (a->max_q > 1)
		row("attention_bwd", name, attention_bwd, &h, 2.5 * pairs,
		    "GF/s", 0);
}

/* S sequences of T tokens, their own keys. */
static void
self_attention(const char *name, int S, int T, int H, int G, int D, bool causal)
{
	struct gvk_attn a = {.S = S,
	    .H = H,
	    .G = G,
	    .D = D,
	    .max_q = T,
	    .max_k = T,
	    .causal = causal};

	for (int i = 0; i < S; i++) {
		q_at[i + 1] = (i + 1) * T;
		k_at[i] = i * T;
		k_len[i] = T;
	}
	time_attention(name, &a);
}

/* 16 prompts of 18 rows, each with 10 sequences of 14 behind it. */
static void
family_attention(void)
{
	struct gvk_attn a = {.S = 176,
	    .H = 4,
	    .G = 4,
	    .D = 32,
	    .max_q = 18,
	    .max_k = 32,
	    .causal = true,
	    .p_at = p_at,
	    .p_len = p_len};

	for (int i = 0; i < a.S; i++) {
		int n = i % 11 ? 14 : 18;

		k_at[i] = q_at[i];
		k_len[i] = n;
		q_at[i + 1] = q_at[i] + n;
		p_at[i] = q_at[i / 11 * 11];
		p_len[i] = i % 11 ? 18 : 0;
	}
	time_attention("160x14 after 16x18", &a);
}

/* 64 sequences decode: 12 own keys in a cache, a prompt of 18 for all. */
static void
decode_attention(void)
{
	struct gvk_attn a = {.S = 64,
	    .H = 4,
	    .G = 4,
	    .D = 32,
	    .max_q = 1,
	    .max_k = 30,
	    .causal = true,
	    .p_at = p_at,
	    .p_len = p_len};

	for (int i = 0; i < a.S; i++) {
		q_at[i + 1] = i + 1;
		k_at[i] = 18 + 16 * i;
		k_len[i] = 12;
		p_at[i] = 0;
		p_len[i] = 18;
	}
	time_attention("64x1 on 18+12", &a);
}

/* ---- memory ------------------------------------------------------------- */

static void
layernorm(const struct shape *h)
{
	gvk_layernorm(
	    s, y, y + FLOATS / 2, b, b + h->N, x, z, w, w, 1e-6f, h->N, h->C);
}

static void
layernorm_bwd(const struct shape *h)
{
	gvk_layernorm_bwd(s, y, dw, dw + h->C, x, z, x + FLOATS / 2, b,
	    b + h->N, w, h->N, h->C);
}

static void
rmsnorm(const struct shape *h)
{
	gvk_rmsnorm(s, y, y + FLOATS / 2, b, x, z, w, 1e-6f, h->N, h->C);
}

static void
rmsnorm_bwd(const struct shape *h)
{
	gvk_rmsnorm_bwd(s, y, dw, NULL, x, z, x + FLOATS / 2, b, w, h->N, h->C);
}

static void
gelu(const struct shape *h)
{
	gvk_gelu(s, y, x, GVK_GELU_TANH, h->N * h->C);
}

static void
add(const struct shape *h)
{
	gvk_add(s, y, x, h->N * h->C);
}

static void
adamw(const struct shape *h)
{
	static const struct gvk_adamw o = {.9f, .98f, 1e-8f, 10, GVK_F32, 0};
	static const float scale[2] = {1, 1};
	struct gvk_range r = {0, h->N * h->C, 1e-3f, .05f};

	gvk_adamw(s, dw, NULL, z, w, x, scale, &r, 1, &o);
}

static void
sumsq(const struct shape *h)
{
	double sum;

	gvk_sumsq(s, &sum, x, h->N * h->C, false);
}

static void
sample(const struct shape *h)
{
	static const struct gvk_sampler law = {
	    .temperature = 1, .top_p = .9f, .top_k = 40};

	gvk_sample(s, (int32_t *)(void *)y, b, x, NULL, NULL,
	    (const uint64_t *)(void *)w, (const uint64_t *)(void *)w, &law,
	    h->N, h->C, ws);
}

/* `passes`: how often an element of (N,C) is read or written. */
static void
memory(const char *name, run_fn *run, int64_t N, int64_t C, double passes)
{
	struct shape h = {N, C, 0, NULL};
	char shape[40];

	snprintf(shape, sizeof shape, "%dx%d", (int)N, (int)C);
	row(name, shape, run, &h, 4.0 * passes * (double)(N * C), "GB/s", 0);
}

/* ---- the table ---------------------------------------------------------- */

static float *
operand(size_t n)
{
	float *p = gvk_alloc(k, n * sizeof *p);
	size_t i;

	if (!p) {
		fprintf(stderr, "kernels: out of memory\n");
		exit(1);
	}
	for (i = 0; i < n; i++)
		p[i] = (float)(i * 7919 % 1000) * 1e-3f - .45f;
	return p;
}

static void
table(void)
{
	printf("%-14s %-22s %9s %8s %4s %8s %6s\n", "op", "shape", "us", "rate",
	    "", "OpenBLAS", "ratio");
	products(4096, 48, 96);
	products(4096, 96, 96);
	products(4096, 96, 288);
	products(4096, 96, 384);
	products(4096, 384, 96);
	products(5600, 128, 384);
	products(5600, 128, 683);
	products(5600, 384, 128);
	products(5600, 512, 128);
	products(64, 128, 384);
	products(1, 1536, 1536);
	decode(1, 896, 32768);
	decode(8, 896, 32768);
	decode(32, 896, 32768);
	decode(512, 896, 4864);
	gates(2400, 128, 352);
	head(2400, 128, 512);
	self_attention("16x256 D24 full", 16, 256, 4, 4, 24, false);
	self_attention("16x256 D32 full", 16, 256, 3, 3, 32, false);
	family_attention();
	decode_attention();
	self_attention("2048 D64 12/2 causal", 1, 2048, 12, 2, 64, true);
	self_attention("2048 D128 12/2 causal", 1, 2048, 12, 2, 128, true);
	memory("layernorm", layernorm, 4096, 96, 4);
	memory("layernorm_bwd", layernorm_bwd, 4096, 96, 4);
	memory("rmsnorm", rmsnorm, 2400, 128, 4);
	memory("rmsnorm_bwd", rmsnorm_bwd, 2400, 128, 4);
	memory("gelu", gelu, 4096, 384, 2);
	memory("add", add, 4096, 384, 3);
	memory("adamw", adamw, 1000, 1000, 7);
	memory("sumsq", sumsq, 1000, 1000, 1);
	memory("sample", sample, 64, 512, 1);
}

int
main(int argc, char **argv)
{
	char err[200];

	only = argc > 2 ? argv[2] : NULL;
	if (gvk_open(
		"cpu", argc > 1 ? atoi(argv[1]) : 1, &k, err, sizeof err) ||
	    gvk_stream_open(k, &s)) {
		fprintf(stderr, "kernels: %s\n", err);
		return 1;
	}
	x = operand(FLOATS);
	w = operand(WEIGHTS);
	w_raw = gvk_alloc(k, WEIGHTS * sizeof *w_raw);
	if (!w_raw)
		return 1;
	gvk_convert(s, w_raw, GVK_BF16, w, GVK_F32, WEIGHTS);
	y = operand(FLOATS);
	z = operand(FLOATS);
	b = operand(1 << 20);
	dw = operand(FLOATS);
	ws = operand(FLOATS);
	printf("%s\n", gvk_name(k));
	table();
	gvk_stream_close(&s);
	gvk_close(&k);
	return 0;
}
