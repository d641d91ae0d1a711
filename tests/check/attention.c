/* Packed attention: full, causal, grouped, shared prefixes, cross, decoding,
 * and lengths beyond a block, forward and backward.  What nobody may read, in
 * all inputs, is NaN: key rows that no sequence sees, and columns behind the
 * heads. */
#include "check.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define MAX_S 48

struct attn {
	struct gvk_attn a;
	int32_t q_at[MAX_S + 1], k_at[MAX_S], k_len[MAX_S];
	int32_t p_at[MAX_S], p_len[MAX_S];
	int64_t Nq, Nk;
	double *q, *k, *v, *dout;
	double *o, *lse, *dq, *dk, *dv;
};

/* ---- reference ---------------------------------------------------------- */

/* The rows that query i of sequence s sees, in rows[]; how many. */
static int64_t
visible(const struct attn *t, int64_t s, int64_t i, int64_t *rows)
{
	int64_t n = 0, j, nq = t->q_at[s + 1] - t->q_at[s];

	for (j = 0; t->a.p_len && j < t->p_len[s]; j++)
		rows[n++] = t->p_at[s] + j;
	for (j = 0; j < t->k_len[s]; j++)
		if (!t->a.causal || j <= i + t->k_len[s] - nq)
			rows[n++] = t->k_at[s] + j;
	return n;
}

static double
dot(const double *x, const double *y, int64_t n)
{
	double sum = 0;

	for (int64_t i = 0; i < n; i++)
		sum += x[i] * y[i];
	return sum;
}

static void
add_row(double *y, double f, const double *x, int64_t n)
{
	for (int64_t i = 0; i < n; i++)
		y[i] = (isnan(y[i]) ? 0 : y[i]) + f * x[i];
}

/* One query and head: o, lse, and if t->dq the gradients. */
static void
ref_query(struct attn *t, int64_t r, int64_t h, const int64_t *rows, int64_t n,
    double *p)
{
	const struct gvk_attn *a = &t->a;
	int64_t D = a->D, g = h / (a->H / a->G);
	const double *q = t->q + r * a->ldq + h * D, *dout;
	double *o = t->o + r * a->ldo + h * D, max = -INFINITY, sum = 0;
	double delta;

	for (int64_t j = 0; j < n; j++) {
		p[j] = (double)a->scale *
		       dot(q, t->k + rows[j] * a->ldk + g * D, D);
		max = fmax(max, p[j]);
	}
	for (int64_t j = 0; j < n; j++)
		sum += p[j] = exp(p[j] - max);
	t->lse[r * a->H + h] = n ? max + log(sum) : -INFINITY;
	memset(o, 0, (size_t)D * sizeof *o);
	for (int64_t j = 0; j < n; j++)
		add_row(o, p[j] /= sum, t->v + rows[j] * a->ldv + g * D, D);
	if (!t->dq)
		return;
	dout = t->dout + r * a->ldo + h * D;
	delta = dot(o, dout, D);
	memset(t->dq + r * a->ldq + h * D, 0, (size_t)D * sizeof *o);
	for (int64_t j = 0; j < n; j++) {
		int64_t at_k = rows[j] * a->ldk + g * D;
		int64_t at_v = rows[j] * a->ldv + g * D;
		double ds = p[j] * (dot(dout, t->v + at_v, D) - delta) *
			    (double)a->scale;

		add_row(t->dv + at_v, p[j], dout, D);
		add_row(t->dk + at_k, ds, q, D);
		add_row(t->dq + r * a->ldq + h * D, ds, t->k + at_k, D);
	}
}

/* Rows that are owned or seen are overwritten even if no query is left. */
static void
touch(struct attn *t, int64_t at, int64_t n)
{
	for (int64_t r = at; r < at + n; r++)
		for (int64_t d = 0; d < t->a.G * t->a.D; d++) {
			double *dk = &t->dk[r * t->a.ldk + d];
			double *dv = &t->dv[r * t->a.ldv + d];

			*dk = isnan(*dk) ? 0 : *dk;
			*dv = isnan(*dv) ? 0 : *dv;
		}
}

static void
reference(struct attn *t)
{
	size_t most = (size_t)t->Nk * 2 + 1;
	int64_t *rows = malloc(most * sizeof *rows);
	double *p = malloc(most * sizeof *p);

	for (int64_t s = 0; s < t->a.S; s++) {
		for (int64_t r = t->q_at[s]; r < t->q_at[s + 1]; r++) {
			int64_t n = visible(t, s, r - t->q_at[s], rows);

			for (int64_t h = 0; h < t->a.H; h++)
				ref_query(t, r, h, rows, n, p);
		}
		if (t->dq) {
			touch(t, t->k_at[s], t->k_len[s]);
			if (t->a.p_len)
				touch(t, t->p_at[s], t->p_len[s]);
		}
	}
	free(rows);
	free(p);
}

/* ---- one case ----------------------------------------------------------- */

static double *
unset(struct chk *c, size_t n)
{
	double *x = chk_zeros(c, n);

	for (size_t i = 0; i < n; i++)
		x[i] = (double)NAN;
	return x;
}

/* Sums t's lengths up. */
static void
measure(struct attn *t)
{
	struct gvk_attn *a = &t->a;

	t->Nq = t->q_at[a->S];
	for (int s = 0; s < a->S; s++) {
		int32_t own = t->k_at[s] + t->k_len[s];
		int32_t pre = a->p_len ? t->p_at[s] + t->p_len[s] : 0;
		int32_t nq = t->q_at[s + 1] - t->q_at[s];
		int32_t nk = t->k_len[s] + (a->p_len ? t->p_len[s] : 0);

		t->Nk = own > t->Nk ? own : t->Nk;
		t->Nk = pre > t->Nk ? pre : t->Nk;
		a->max_q = nq > a->max_q ? nq : a->max_q;
		a->max_k = nk > a->max_k ? nk : a->max_k;
	}
	t->Nk += 2; /* rows of nobody */
	a->scale = 1 / sqrtf((float)a->D);
}

/* Rows of x (rows, ld), of which columns from `width` on are NaN, and of the
 * rows those that no sequence sees, if `keys`. */
static void
hide(const struct attn *t, double *x, int64_t rows, int64_t width, int64_t ld,
    bool keys)
{
	for (int64_t r = 0; r < rows; r++) {
		bool seen = !keys;

		for (int s = 0; s < t->a.S && !seen; s++)
			seen =
			    (r >= t->k_at[s] && r < t->k_at[s] + t->k_len[s]) ||
			    (t->a.p_len && r >= t->p_at[s] &&
				r < t->p_at[s] + t->p_len[s]);
		for (int64_t i = seen ? width : 0; i < ld; i++)
			x[r * ld + i] = (double)NAN;
	}
}

static void
set_up(struct chk *c, struct attn *t, double std)
{
	struct gvk_attn *a = &t->a;
	size_t q, k, v, o;

	measure(t);
	a->ldq = a->H * a->D + 8;
	a->ldk = a->G * a->D + 16;
	a->ldv = a->G * a->D;
	a->ldo = a->H * a->D + 24;
	q = (size_t)(t->Nq * a->ldq);
	k = (size_t)(t->Nk * a->ldk);
	v = (size_t)(t->Nk * a->ldv);
	o = (size_t)(t->Nq * a->ldo);
	t->q = chk_rand(c, q, std);
	t->k = chk_rand(c, k, std);
	t->v = chk_rand(c, v, 1);
	t->dout = chk_rand(c, o, 1);
	t->o = unset(c, o);
	t->lse = unset(c, (size_t)(t->Nq * a->H));
	t->dq = unset(c, q);
	t->dk = unset(c, k);
	t->dv = unset(c, v);
}

static void
put_lengths(struct chk *c, const struct attn *t, struct gvk_attn *a)
{
	size_t S = (size_t)a->S;

	a->q_at = chk_in_i32(c, t->q_at, S + 1)->p;
	a->k_at = chk_in_i32(c, t->k_at, S)->p;
	a->k_len = chk_in_i32(c, t->k_len, S)->p;
	if (!a->p_len)
		return;
	a->p_at = chk_in_i32(c, t->p_at, S)->p;
	a->p_len = chk_in_i32(c, t->p_len, S)->p;
}

static void
run_case(
    struct chk *c, struct attn *t, bool backward, double std, const char *what)
{
	struct gvk_attn a;
	struct chk_buf *q, *k, *v, *o, *lse, *dq, *dk, *dv, *dout;

	set_up(c, t, std);
	a = t->a;
	hide(t, t->q, t->Nq, a.H * a.D, a.ldq, false);
	hide(t, t->k, t->Nk, a.G * a.D, a.ldk, true);
	hide(t, t->v, t->Nk, a.G * a.D, a.ldv, true);
	hide(t, t->dout, t->Nq, a.H * a.D, a.ldo, false);
	put_lengths(c, t, &a);
	q = chk_in(c, t->q, (size_t)(t->Nq * a.ldq));
	k = chk_in(c, t->k, (size_t)(t->Nk * a.ldk));
	v = chk_in(c, t->v, (size_t)(t->Nk * a.ldv));
	o = chk_out(c, (size_t)(t->Nq * a.ldo));
	lse = chk_out_f32(c, (size_t)(t->Nq * a.H));
	gvk_attention(c->s, o->p, lse->p, q->p, k->p, v->p, &a);
	if (!backward)
		t->dq = NULL;
	if (c->ref)
		reference(t);
	chk_near_rows(c, o, t->o, (size_t)a.ldo, CHK_DEEP, "o, %s", what);
	chk_near(c, lse, t->lse, CHK_DEEP, "lse");
	if (backward) {
		dq = chk_out(c, q->n);
		dk = chk_out(c, k->n);
		dv = chk_out(c, v->n);
		dout = chk_in(c, t->dout, o->n);
		gvk_attention_bwd(c->s, dq->p, dk->p, dv->p, dout->p, o->p,
		    lse->p, q->p, k->p, v->p, &a,
		    chk_ws(c, gvk_attention_bwd_ws(c->k, &a, t->Nq))->p);
		chk_near_rows(c, dq, t->dq, (size_t)a.ldq, CHK_CANCEL, "dq");
		chk_near_rows(c, dk, t->dk, (size_t)a.ldk, CHK_CANCEL, "dk");
		chk_near_rows(c, dv, t->dv, (size_t)a.ldv, CHK_DEEP, "dv");
	}
	chk_end(c);
}

/* ---- cases -------------------------------------------------------------- */

static struct attn
heads(int32_t H, int32_t G, int32_t D, bool causal)
{
	struct attn t;

	memset(&t, 0, sizeof t);
	t.a.H = H;
	t.a.G = G;
	t.a.D = D;
	t.a.causal = causal;
	return t;
}

/* A sequence whose own keys are its own rows, at the same place. */
static void
add_self(struct attn *t, int32_t n)
{
	int32_t s = t->a.S++, at = t->q_at[s];

	t->q_at[s + 1] = at + n;
	t->k_at[s] = at;
	t->k_len[s] = n;
}

static void
self(struct chk *c, int32_t H, int32_t G, int32_t D, bool causal,
    const int32_t *len, int n, const char *what)
{
	struct attn t = heads(H, G, D, causal);

	for (int i = 0; i < n; i++)
		add_self(&t, len[i]);
	run_case(c, &t, true, 1, what);
}

/* `families` prompts, each followed by `children` that see it. */
static void
families(struct chk *c, int32_t H, int32_t G, int32_t D, int families_,
    int children, int32_t prompt, int32_t own)
{
	struct attn t = heads(H, G, D, true);

	t.a.p_at = t.p_at;
	t.a.p_len = t.p_len;
	for (int f = 0; f < families_; f++) {
		int32_t at = t.q_at[t.a.S];

		add_self(&t, prompt + f);
		for (int i = 0; i < children; i++) {
			t.p_at[t.a.S] = at;
			t.p_len[t.a.S] = prompt + f;
			add_self(&t, own + (int32_t)chk_below(c, 5));
		}
	}
	run_case(c, &t, true, 1, "prompts with children");
}

/* A prefix that has no queries (cross-attention), and one seen by several:
 * sequence 2 has that of sequence 1. */
static void
cross(struct chk *c, int32_t H, int32_t D, bool causal, const int32_t nq[4],
    const int32_t np[4])
{
	struct attn t = heads(H, H, D, causal);
	int32_t at = 0, kv = 0;

	t.a.p_at = t.p_at;
	t.a.p_len = t.p_len;
	for (int s = 0; s < 4; s++) {
		t.p_at[s] = s == 2 ? t.p_at[1] : kv;
		t.p_len[s] = np[s];
		kv += s == 2 ? 0 : np[s];
		t.k_at[s] = kv;
		t.k_len[s] = nq[s];
		kv += nq[s];
		t.q_at[s + 1] = at += nq[s];
	}
	t.a.S = 4;
	run_case(c, &t, true, 1, "latents with patches as prefix");
}

/* More own keys than queries (a prompt in parts), and fewer; between the own
 * ranges are rows of nobody. */
static void
parts(struct chk *c, int32_t H, int32_t G, int32_t D, bool causal)
{
	struct attn t = heads(H, G, D, causal);
	static const int32_t nq[] = {40, 130, 3}, nk[] = {170, 70, 200};
	int32_t at = 0, kv = 5;

	for (int s = 0; s < 3; s++) {
		t.k_at[s] = kv;
		t.k_len[s] = nk[s];
		kv += nk[s] + 3;
		t.q_at[s + 1] = at += nq[s];
	}
	t.a.S = 3;
	run_case(c, &t, true, 1, "more and fewer keys than queries");
}

/* Queries, keys and values side by side in the rows of one buffer, and their
 * gradients likewise. */
static void
side_by_side(
    struct chk *c, int32_t H, int32_t G, int32_t D, const int32_t *len, int n)
{
	struct attn t = heads(H, G, D, true);
	struct gvk_attn a;
	struct chk_buf *x, *dx, *o, *lse, *dout;
	int64_t ld = (H + 2 * G) * D, at_k = H * D, at_v = (H + G) * D;
	int64_t b = (int64_t)gvk_dtype_size(gvk_dtype(c->k));
	char *q, *dq;

	for (int i = 0; i < n; i++)
		add_self(&t, len[i]);
	measure(&t);
	t.a.ldq = t.a.ldk = t.a.ldv = ld;
	t.a.ldo = H * D;
	t.q = chk_rand(c, (size_t)(t.Nq * ld), 1);
	t.dq = unset(c, (size_t)(t.Nq * ld));
	t.k = t.q + at_k;
	t.v = t.q + at_v;
	t.dk = t.dq + at_k;
	t.dv = t.dq + at_v;
	t.o = unset(c, (size_t)(t.Nq * t.a.ldo));
	t.lse = unset(c, (size_t)(t.Nq * H));
	t.dout = chk_rand(c, (size_t)(t.Nq * t.a.ldo), 1);
	a = t.a;
	put_lengths(c, &t, &a);
	x = chk_in(c, t.q, (size_t)(t.Nq * ld));
	dx = chk_out(c, x->n);
	o = chk_out(c, (size_t)(t.Nq * a.ldo));
	lse = chk_out_f32(c, (size_t)(t.Nq * H));
	dout = chk_in(c, t.dout, o->n);
	q = x->p;
	dq = dx->p;
	gvk_attention(c->s, o->p, lse->p, q, q + b * at_k, q + b * at_v, &a);
	gvk_attention_bwd(c->s, dq, dq + b * at_k, dq + b * at_v, dout->p, o->p,
	    lse->p, q, q + b * at_k, q + b * at_v, &a,
	    chk_ws(c, gvk_attention_bwd_ws(c->k, &a, t.Nq))->p);
	if (c->ref)
		reference(&t);
	chk_near_rows(
	    c, o, t.o, (size_t)a.ldo, CHK_DEEP, "o, q k v side by side");
	chk_near(c, lse, t.lse, CHK_DEEP, "lse");
	chk_near_rows(c, dx, t.dq, (size_t)D, CHK_CANCEL, "dq dk dv");
	chk_end(c);
}

/* One query a sequence, own keys in a cache: `grow` more for each. */
static void
decode(struct chk *c, int32_t H, int32_t G, int32_t D, int32_t prompt,
    int32_t grow)
{
	struct attn t = heads(H, G, D, true);

	t.a.S = 20;
	t.a.p_at = t.p_at;
	t.a.p_len = t.p_len;
	for (int32_t s = 0; s < 20; s++) {
		t.q_at[s + 1] = s + 1;
		t.p_len[s] = s < 12 ? prompt : 7;
		t.p_at[s] = s < 12 ? 0 : prompt;
		t.k_at[s] = prompt + 7 + 20 * grow * s;
		t.k_len[s] = s * grow;
	}
	run_case(c, &t, false, 1, "decoding from a cache");
}

/* Queries that see nothing: more queries than own keys; no keys at all. */
static void
blind(struct chk *c, bool prefix)
{
	struct attn t = heads(2, 1, 8, true);
	static const int32_t nq[] = {7, 3, 4}, nk[] = {4, 0, 4};
	int32_t at = 0, kv = 3;

	if (prefix) {
		t.a.p_at = t.p_at;
		t.a.p_len = t.p_len;
		t.p_len[1] = 3;
	}
	for (int s = 0; s < 3; s++) {
		t.k_at[s] = kv;
		t.k_len[s] = nk[s];
		kv += nk[s];
		t.q_at[s + 1] = at += nq[s];
	}
	t.a.S = 3;
	run_case(c, &t, true, 1, "queries that see no key");
}

/* ---- the reference against differences ---------------------------------- */

static double
loss(void *arg)
{
	struct attn *t = arg;
	double sum = 0;

	reference(t);
	for (int64_t r = 0; r < t->Nq; r++)
		sum += dot(t->o + r * t->a.ldo, t->dout + r * t->a.ldo,
		    t->a.H * t->a.D);
	return sum;
}

static void
check_reference(struct chk *c)
{
	struct attn t = heads(4, 2, 4, true);
	double *dq, *dk, *dv;
	size_t i, nq, nk, nv;

	t.a.p_at = t.p_at;
	t.a.p_len = t.p_len;
	add_self(&t, 5);
	t.p_len[1] = t.p_len[2] = 5;
	add_self(&t, 4);
	add_self(&t, 3);
	set_up(c, &t, 1);
	reference(&t);
	dq = t.dq;
	dk = t.dk;
	dv = t.dv;
	t.dq = NULL; /* forward only from here */
	nq = (size_t)(t.Nq * t.a.ldq);
	nk = (size_t)(t.Nk * t.a.ldk);
	nv = (size_t)(t.Nk * t.a.ldv);
	for (i = 0; i < nq; i++)
		dq[i] = isnan(dq[i]) ? 0 : dq[i];
	for (i = 0; i < nk; i++)
		dk[i] = isnan(dk[i]) ? 0 : dk[i];
	for (i = 0; i < nv; i++)
		dv[i] = isnan(dv[i]) ? 0 : dv[i];
	chk_fd(c, loss, &t, t.q, dq, nq, "reference dq");
	chk_fd(c, loss, &t, t.k, dk, nk, "reference dk");
	chk_fd(c, loss, &t, t.v, dv, nv, "reference dv");
	chk_end(c);
}

/* Head widths and lengths of the models: several tiles of 64 to 256 rows, and
 * parts of one. */
static void
large_tiles(struct chk *c)
{
	static const int32_t image[] = {256, 130, 1, 64}, odd[] = {217, 89};
	static const int32_t text[] = {129, 0, 63, 128, 7}, few[] = {140, 37};
	static const int32_t lon[] = {390}, nq[] = {64, 64, 5, 64};
	static const int32_t np[] = {256, 100, 100, 0};

	self(c, 2, 2, 64, false, image, 4, "images, width 64");
	self(c, 2, 1, 72, false, odd, 2, "images, width 72");
	self(c, 2, 2, 80, true, text, 5, "texts, width 80");
	self(c, 3, 1, 96, true, text, 5, "texts, width 96");
	self(c, 12, 2, 128, true, few, 2, "texts, 12 heads on 2, width 128");
	self(c, 1, 1, 128, true, lon, 1, "390 tokens, width 128");
	self(c, 2, 1, 64, true, lon, 1, "390 tokens, width 64");
	self(c, 2, 1, 160, true, odd, 2, "texts, width 160");
	self(c, 1, 1, 256, false, few, 2, "texts, width 256");
	families(c, 6, 1, 128, 2, 3, 67, 30);
	families(c, 2, 2, 64, 1, 2, 150, 140);
	cross(c, 2, 64, false, nq, np);
	cross(c, 1, 128, true, nq, np);
	parts(c, 2, 1, 128, true);
	parts(c, 2, 2, 72, true);
	parts(c, 1, 1, 64, false);
	side_by_side(c, 6, 1, 128, few, 2);
	side_by_side(c, 2, 2, 64, text, 5);
	side_by_side(c, 1, 1, 72, odd, 2);
}

static void
check(struct chk *c)
{
	static const int32_t some[] = {5, 17, 1, 0, 33};
	static const int32_t many[] = {9, 3, 12, 14, 1, 2, 7, 8, 15, 16, 17, 4,
	    6, 11, 13, 10, 5, 18, 19, 20};
	static const int32_t two[] = {70, 200}, one_[] = {300}, lon[] = {530};
	static const int32_t latents[] = {6, 4, 4, 9};
	static const int32_t patches[] = {50, 33, 33, 0};
	struct attn t = heads(2, 1, 16, false);

	check_reference(c);
	large_tiles(c);
	self(c, 3, 3, 24, false, some, 5, "5 sequences, full, width 24");
	self(c, 4, 4, 32, true, some, 5, "5 sequences, causal, width 32");
	self(c, 4, 2, 20, true, many, 20, "20 sequences, grouped, width 20");
	self(c, 6, 1, 64, false, two, 2, "one key head, width 64");
	self(c, 2, 2, 13, true, one_, 1, "300 tokens, width 13");
	self(c, 4, 2, 40, true, lon, 1, "530 tokens, grouped, width 40");
	self(c, 40, 1, 8, true, some, 5, "40 heads on one");
	families(c, 4, 4, 32, 3, 10, 18, 12);
	families(c, 4, 1, 24, 1, 20, 9, 3);
	families(c, 2, 2, 16, 1, 3, 280, 4);
	families(c, 2, 1, 16, 1, 3, 30, 290); /* own keys past a block */
	cross(c, 2, 24, false, latents, patches);
	cross(c, 2, 24, true, latents, patches);
	decode(c, 4, 4, 32, 21, 2);
	decode(c, 2, 1, 16, 21, 23); /* own keys past a block */
	decode(c, 12, 2, 128, 270, 2);
	blind(c, false);
	blind(c, true);
	/* Scores up to a hundred: the running maximum must hold. */
	add_self(&t, 290);
	run_case(c, &t, false, 6, "large scores");
}

int
main(int argc, char **argv)
{
	return chk_main(argc, argv, check);
}
