/* Weights of BF16 on a backend whose storage is F32: every op that reads
 * weights gives the bits that it gives with the same numbers in F32. */
#include "check.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct shape {
	int64_t N, C, O;
};

/* Operands of one call; ops take what they need. */
struct call {
	struct gvk_stream *s;
	struct shape a;
	enum gvk_act act;
	const void *x, *r; /* (N,C), (N,O) */
	const int32_t *id; /* (N) below O */
	void *w, *wn, *b; /* weights (2O,C), (C), (max(C,O)) */
	void *y, *h, *gu; /* (N,2O or C): result, scratch */
	void *ws;
};

/* An op's call, and how many numbers a row of its result has: both of `a`. */
struct op {
	const char *name;
	void (*run)(const struct call *t);
	int64_t (*width)(const struct shape *a);
};

static int64_t
of_O(const struct shape *a)
{
	return a->O;
}

static int64_t
of_C(const struct shape *a)
{
	return a->C;
}

static int64_t
of_one(const struct shape *a)
{
	(void)a;
	return 1;
}

static void
linear(const struct call *t)
{
	gvk_linear(t->s, t->y, NULL, t->x, t->w, t->b, NULL, t->act, t->a.N,
	    t->a.C, t->a.O);
}

static void
linear_bare(const struct call *t)
{
	gvk_linear(t->s, t->y, NULL, t->x, t->w, NULL, NULL, GVK_ACT_NONE,
	    t->a.N, t->a.C, t->a.O);
}

static void
linear_residual(const struct call *t)
{
	gvk_linear(t->s, t->y, NULL, t->x, t->w, t->b, t->r, GVK_ACT_NONE,
	    t->a.N, t->a.C, t->a.O);
}

static void
gated(const struct call *t)
{
	gvk_gated(t->s, t->y, t->gu, false, t->x, t->w, t->a.N, t->a.C, t->a.O);
}

static void
norm_linear(const struct call *t)
{
	gvk_norm_linear(t->s, t->y, t->h, t->x, t->wn, 1e-6f, t->w, t->b,
	    t->a.N, t->a.C, t->a.O);
}

static void
norm_gated(const struct call *t)
{
	gvk_norm_gated(t->s, t->y, t->gu, t->h, t->x, t->wn, 1e-6f, t->w,
	    t->a.N, t->a.C, t->a.O);
}

static void
logits(const struct call *t)
{
	gvk_logits(t->s, t->y, t->x, t->w, 30, t->a.N, t->a.C, t->a.O);
}

static void
xent(const struct call *t)
{
	gvk_xent(t->s, t->y, NULL, NULL, NULL, t->x, t->w, t->id, NULL, 0,
	    t->a.N, t->a.C, t->a.O, t->ws);
}

static void
layernorm(const struct call *t)
{
	gvk_layernorm(t->s, t->y, NULL, NULL, NULL, t->x, NULL, t->wn, t->b,
	    1e-5f, t->a.N, t->a.C);
}

static void
rmsnorm(const struct call *t)
{
	gvk_rmsnorm(
	    t->s, t->y, NULL, NULL, t->x, NULL, t->wn, 1e-6f, t->a.N, t->a.C);
}

static void
headnorm(const struct call *t)
{
	gvk_headnorm(
	    t->s, t->y, t->x, t->wn, 1e-6f, t->a.N, 1, t->a.C, t->a.C, t->a.C);
}

static void
embedding(const struct call *t)
{
	gvk_embedding(t->s, t->y, t->w, NULL, t->id, t->a.N, t->a.C);
}

/* Positions 0..P-1, P = 1: the only one that divides any N. */
static void
add_pos(const struct call *t)
{
	gvk_copy(t->s, t->y, t->x, (size_t)(t->a.N * t->a.C) * sizeof(float));
	gvk_add_pos(t->s, t->y, t->w, t->a.N, 1, t->a.C);
}

static const struct op ops[] = {{"linear", linear, of_O},
    {"linear without bias", linear_bare, of_O},
    {"linear with residual", linear_residual, of_O}, {"gated", gated, of_O},
    {"norm_linear", norm_linear, of_O}, {"norm_gated", norm_gated, of_O},
    {"logits", logits, of_O}, {"xent", xent, of_one},
    {"layernorm", layernorm, of_C}, {"rmsnorm", rmsnorm, of_C},
    {"headnorm", headnorm, of_C}, {"embedding", embedding, of_C},
    {"add_pos", add_pos, of_C}};

/* The same weights three times: as F32, as BF16, and as BF16 that are half or
 * twice as large. */
enum { WIDE, RAW, WRONG, WAYS };

static void
draw(struct chk *c, void *w[WAYS], int64_t n, double std)
{
	double *v = chk_rand_f32(c, (size_t)n, std);
	uint16_t *raw = calloc((size_t)n + 1, sizeof *raw);
	uint32_t u;
	float f;
	int64_t i;
	int way;

	for (i = 0; i < n && raw; i++) {
		f = (float)v[i];
		memcpy(&u, &f, sizeof u);
		raw[i] = (uint16_t)(u >> 16);
		u &= 0xffff0000u;
		memcpy(&f, &u, sizeof f);
		v[i] = (double)f;
	}
	if (!raw)
		abort();
	w[WIDE] = chk_in_f32(c, v, (size_t)n)->p;
	for (way = RAW; way < WAYS; way++) {
		w[way] = chk_in_bytes(c, raw, (size_t)n * sizeof *raw)->p;
		for (i = 0; i < n; i++)
			raw[i] ^= 0x80;
	}
	free(raw);
}

static bool
all_numbers(const double *y, int64_t n)
{
	while (n > 0 && isfinite(y[n - 1]))
		n--;
	return !n;
}

static void
check_op(struct chk *c, const struct op *op, const struct shape *a)
{
	int64_t most = a->C > a->O ? a->C : a->O, n = a->N * op->width(a);
	size_t size = (size_t)(a->N * (2 * a->O > most ? 2 * a->O : most));
	struct chk_buf *y[WAYS];
	void *w[WAYS], *wn[WAYS], *b[WAYS], *want;
	struct call t = {.s = c->s, .a = *a};
	int way;

	t.act = (enum gvk_act)(a->O % (GVK_RELU2 + 1));
	t.x = chk_in_f32(
	    c, chk_rand_f32(c, (size_t)(a->N * a->C), 1), (size_t)(a->N * a->C))
		  ->p;
	t.r = chk_in_f32(
	    c, chk_rand_f32(c, (size_t)(a->N * a->O), 1), (size_t)(a->N * a->O))
		  ->p;
	t.id = chk_in_i32(
	    c, chk_rand_ids(c, (size_t)a->N, (int32_t)a->O), (size_t)a->N)
		   ->p;
	t.h = chk_ws(c, (size_t)(a->N * a->C) * sizeof(float))->p;
	t.gu = chk_ws(c, (size_t)(2 * a->N * a->O) * sizeof(float))->p;
	t.ws = chk_ws(c, gvk_xent_ws(c->k, a->N, a->C, a->O))->p;
	draw(c, w, 2 * a->O * a->C, 1 / sqrt((double)a->C));
	draw(c, wn, a->C, 1);
	draw(c, b, most, 1);
	for (way = 0; way < WAYS; way++) {
		y[way] = chk_out_f32(c, size);
		t.y = y[way]->p;
		t.w = w[way];
		t.wn = wn[way];
		t.b = b[way];
		gvk_set_wtype(c->s, way == WIDE ? GVK_F32 : GVK_BF16);
		op->run(&t);
	}
	gvk_set_wtype(c->s, GVK_F32);
	want = calloc(size + 1, sizeof(float));
	if (!want)
		abort();
	gvk_get(c->s, want, y[WIDE]->p, size * sizeof(float));
	chk_same_bytes(c, y[RAW], want, "%s, N %d, C %d, O %d", op->name,
	    (int)a->N, (int)a->C, (int)a->O);
	chk_ok(c, all_numbers(chk_get(c, y[RAW]), n), "all are there");
	/* one class has the likelihood 1 with any weights */
	chk_ok(c,
	    !n || (op->run == xent && a->O == 1) ||
		memcmp(want, y[WRONG]->p, size * sizeof(float)) != 0,
	    "and other weights give others");
	free(want);
	chk_end(c);
}

static void
check(struct chk *c)
{
	static const struct shape shape[] = {{0, 8, 8}, {1, 1, 1}, {1, 896, 33},
	    {2, 17, 5}, {3, 130, 67}, {4, 64, 4}, {5, 513, 10}, {6, 48, 7},
	    {7, 1040, 35}, {8, 264, 255}, {9, 128, 33}, {16, 520, 50},
	    {33, 31, 13}, {70, 600, 21}, {300, 24, 97}, {12, 1100, 40},
	    {9, 600, 213}, {40, 9, 143}};
	size_t i, j;

	chk_ok(c, gvk_wtype(c->s) == gvk_dtype(c->k), "as storage, at first");
	chk_ok(c,
	    !gvk_set_wtype(c->s, GVK_U8) && gvk_wtype(c->s) == gvk_dtype(c->k),
	    "weights are no bytes");
	if (gvk_dtype(c->k) != GVK_F32) {
		chk_ok(c,
		    !gvk_set_wtype(c->s, GVK_F32) &&
			gvk_wtype(c->s) == GVK_BF16,
		    "BF16 stays BF16");
		return;
	}
	chk_ok(c, gvk_set_wtype(c->s, GVK_BF16) && gvk_wtype(c->s) == GVK_BF16,
	    "but may be BF16");
	for (i = 0; i < sizeof ops / sizeof *ops; i++)
		for (j = 0; j < sizeof shape / sizeof *shape; j++)
			check_op(c, &ops[i], &shape[j]);
}

int
main(int argc, char **argv)
{
	return chk_main(argc, argv, check);
}
