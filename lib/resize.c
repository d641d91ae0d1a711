/* Resizing with Pillow's arithmetic: per axis a weighted mean of neighbours,
 * weights in 22-bit fixed point, columns first, 8 bits between the passes.
 *
 * For output x on an axis scaled by s = in / out, with filter f of support u
 * stretched by t = max(s, 1) when shrinking (antialias):
 *
 *	c     = (x + 0.5) s                       the centre, in input pixels
 *	i     = floor(c - u t + 0.5) .. floor(c + u t + 0.5) - 1, inside only
 *	w_i   = f((i - c + 0.5) / t), divided by their sum
 *	out_x = clamp((2^21 + sum_i round(2^22 w_i) in_i) >> 22, 0, 255)
 *
 * All sums are exact in 32 bits, so their order is free (resize_pass.c).  Rows
 * are taken in strips of 16, whose columns are resized at once, into a ring of
 * rows; each row of the result is made as soon as the ring has what it needs.
 *
 * 640x480 to 256x256 bicubic on a Zen 4 core (November 2026): 2.6, 0.33 and
 * 0.14 ms in C, with AVX2 and with AVX-512; Pillow 13.0 takes 3.1.
 */
#include "resize.h"

#include "mem.h"
#include "resize_priv.h"
#include "banned.h"

#include <math.h>

/* ---- weights ---------------------------------------------------------- */

static double
triangle(double x)
{
	x = fabs(x);
	return x < 1 ? 1 - x : 0;
}

/* Keys' cubic convolution with a = -1/2 (IEEE ASSP 29(6), 1981, eq. 15). */
static double
cubic(double x)
{
	const double a = -0.5;

	x = fabs(x);
	if (x < 1)
		return ((a + 2) * x - (a + 3)) * x * x + 1;
	if (x < 2)
		return (((x - 5) * x + 8) * x - 4) * a;
	return 0;
}

static double
sinc(double x)
{
	const double pi = 3.14159265358979323846;

	return x == 0 ? 1 : sin(x * pi) / (x * pi);
}

static double
lanczos3(double x)
{
	return -3 <= x && x < 3 ? sinc(x) * sinc(x / 3) : 0;
}

static double
box(double x)
{
	return -0.5 < x && x <= 0.5;
}

/* A sinc under Hamming's window, one lobe of it. */
static double
hamming(double x)
{
	const double pi = 3.14159265358979323846;

	x = fabs(x);
	return x < 1 ? sinc(x) * (0.54 + 0.46 * cos(x * pi)) : 0;
}

/* GV_NEAREST has no weights. */
static const struct {
	double (*f)(double);
	double support;
} filters[] = {
    [GV_BICUBIC] = {cubic, 2},
    [GV_BILINEAR] = {triangle, 1},
    [GV_LANCZOS] = {lanczos3, 3},
    [GV_NEAREST] = {NULL, 0.5},
    [GV_BOX] = {box, 0.5},
    [GV_HAMMING] = {hamming, 1},
};

/* The strip begins at no multiple of 32 bytes: there libjpeg's AVX2 loops would
 * write past the caches, and reading it would take as long as resizing. */
#define ASKEW 16

/* What an axis was made for. */
struct wanted {
	int32_t in;
	struct gv_window out;
	bool flip;
	enum gv_filter filter;
	const struct gv_passes *passes;
};

static bool
same(const struct wanted *a, const struct wanted *b)
{
	return a->in == b->in && a->out.total == b->out.total &&
	       a->out.first == b->out.first && a->out.n == b->out.n &&
	       a->flip == b->flip && a->filter == b->filter &&
	       a->passes == b->passes;
}

static void
axis_free(struct gv_axis *a)
{
	gv_free(a->first);
	gv_free(a->quads);
	gv_free(a->end);
	gv_free(a->coef);
	*a = (struct gv_axis){0};
}

/* The inputs of one output: from .. end - 1, whose weights are w[0] on. */
struct taps {
	int32_t from, end, *w;
	double *k; /* the weights as real numbers */
};

/* The weights of the output that is `at` of the whole. */
static void
weigh(struct taps *t, const struct wanted *g, double at)
{
	double scale = (double)g->in / g->out.total;
	double stretch = scale < 1 ? 1 : scale, centre = (at + 0.5) * scale;
	double support = filters[g->filter].support * stretch, sum = 0;
	int32_t i;

	t->from = (int32_t)(centre - support + 0.5);
	t->end = (int32_t)(centre + support + 0.5);
	t->from = t->from < 0 ? 0 : t->from;
	t->end = t->end > g->in ? g->in : t->end;
	for (i = 0; i < t->end - t->from; i++) {
		t->k[i] = filters[g->filter].f(
		    (i + t->from - centre + 0.5) * (1 / stretch));
		sum += t->k[i];
	}
	for (i = 0; i < t->end - t->from; i++) {
		double v = sum != 0 ? t->k[i] / sum : t->k[i];

		t->w[i] = (int32_t)((v < 0 ? -0.5 : 0.5) + v * (1 << GV_BITS));
	}
}

/* The one input `at`, as it is. */
static void
pick(struct taps *t, int32_t at)
{
	t->from = at;
	t->end = at + 1;
	t->w[0] = 1 << GV_BITS;
}

/* The same, counted from the other end. */
static void
mirror(struct taps *t, int32_t in)
{
	int32_t from = in - t->end, n = t->end - t->from, i;

	t->end = in - t->from;
	t->from = from;
	for (i = 0; i < n / 2; i++) {
		int32_t w = t->w[i];

		t->w[i] = t->w[n - 1 - i];
		t->w[n - 1 - i] = w;
	}
}

/* Lays an output's weights over quads. */
static void
axis_set(struct gv_axis *a, int32_t i, const struct taps *t,
    void (*coef)(uint32_t *, const int32_t *))
{
	uint32_t *c = a->coef + (size_t)i * (size_t)a->cap * GV_COEF;
	int32_t q, k;

	a->first[i] = t->from / 4;
	a->end[i] = t->end;
	a->quads[i] = (t->end + 3) / 4 - t->from / 4;
	for (q = t->from / 4 * 4; q < t->end; q += 4, c += GV_COEF) {
		int32_t w[4];

		for (k = 0; k < 4; k++)
			w[k] = q + k < t->from || q + k >= t->end
				   ? 0
				   : t->w[q + k - t->from];
		coef(c, w);
	}
}

/* All outputs.  For the nearest input Pillow walks in steps of the scale from
 * the first output of the whole on, and so do we: the sums' rounding decides
 * which input it is. */
static void
axis_fill(struct gv_axis *a, const struct wanted *g, struct taps *t)
{
	double scale = (double)g->in / g->out.total, at = scale * 0.5;
	int32_t i, n;

	for (i = -g->out.first; i < a->out; i++, at += scale) {
		if (g->filter != GV_NEAREST && i < 0)
			continue;
		n = g->out.first + i;
		if (g->in == g->out.total)
			pick(t, n);
		else if (g->filter == GV_NEAREST)
			pick(t, (int32_t)at < g->in ? (int32_t)at : g->in - 1);
		else
			weigh(t, g, n);
		if (i < 0)
			continue;
		if (g->flip)
			mirror(t, g->in);
		axis_set(a, g->flip ? a->out - 1 - i : i, t, g->passes->coef);
	}
}

/* Makes an axis.  Three outputs too many are there, without a quad, where the
 * last one is: columns are made four at a time. */
static int
axis_init(struct gv_axis *a, const struct wanted *g, struct gv_error *e)
{
	double scale = (double)g->in / g->out.total;
	int32_t taps =
	    (int32_t)ceil(filters[g->filter].support * (scale < 1 ? 1 : scale));
	size_t n = (size_t)g->out.n + 3;
	struct taps t = {0};
	int i;

	taps = 2 * taps + 1;
	a->out = g->out.n;
	a->cap = (taps + 6) / 4;
	t.w = gv_alloc((size_t)taps, sizeof *t.w);
	t.k = gv_alloc((size_t)taps, sizeof *t.k);
	a->first = gv_alloc(n, sizeof *a->first);
	a->quads = gv_alloc(n, sizeof *a->quads);
	a->end = gv_alloc(n, sizeof *a->end);
	a->coef = gv_alloc(n * (size_t)a->cap, GV_COEF * sizeof *a->coef);
	if (!t.w || !t.k || !a->first || !a->quads || !a->end || !a->coef) {
		axis_free(a);
		gv_fail(e, GV_ERR_NOMEM, "out of memory");
	} else {
		axis_fill(a, g, &t);
		for (i = 0; i < 3; i++)
			a->first[a->out + i] = a->first[a->out - 1];
	}
	gv_free(t.w);
	gv_free(t.k);
	return e->code;
}

/* ---- both passes -------------------------------------------------------- */

/* Memory that is kept from one picture to the next. */
struct room {
	uint8_t *p;
	size_t cap;
};

/* Axes are kept: most pictures of a set have one of a few sizes. */
#define AXES 8
struct made {
	struct wanted of;
	struct gv_axis axis;
	uint64_t used; /* when; 0: there is none */
};

struct gv_resizer {
	const struct gv_passes *passes;
	int32_t h, at, done; /* rows of the picture; that have come; of the
			      * result that are there */
	int32_t need[2]; /* of the picture's rows: first, and end */
	int32_t left, quads; /* of columns that are needed */
	struct made made[AXES];
	uint64_t clock; /* the last number in made[].used */
	const struct gv_axis *ax, *ay; /* two of them */
	struct room strip; /* GV_STRIP rows as they come, then 15 bytes */
	struct room lanes; /* the same as quads of columns */
	struct room ring; /* quads of rows, by their number modulo `quads` */
	struct room line; /* a row of the result, by channel */
	const uint8_t **q; /* what it is made of */
	size_t q_cap;
	int32_t mask; /* quads of rows in the ring, a power of two, less 1 */
	int32_t px_bytes;
	size_t stride; /* of the strip, bytes */
	uint8_t *dst; /* where the next row goes, if not into `next` */
	struct gv_resizer *next; /* takes the rows and resizes columns */
	bool chained; /* `next` is in use */
};

/* An axis that is there, or a new one in place of that which has been used
 * longest ago; NULL without memory. */
static const struct gv_axis *
axis_for(struct gv_resizer *r, const struct wanted *g, struct gv_error *e)
{
	struct made *m = r->made, *oldest = m;

	for (; m < r->made + AXES && (!m->used || !same(&m->of, g)); m++)
		if (m->used < oldest->used)
			oldest = m;
	if (m == r->made + AXES) {
		m = oldest;
		axis_free(&m->axis);
		m->used = 0;
		if (axis_init(&m->axis, g, e))
			return NULL;
		m->of = *g;
	}
	m->used = ++r->clock;
	return &m->axis;
}

/* Room for n things of so many bytes, of which nothing is kept. */
static bool
make_room(struct room *r, size_t n, size_t size)
{
	size_t bytes;

	if (!gv_mul(n, size, &bytes))
		return false;
	if (bytes <= r->cap)
		return true;
	gv_free(r->p);
	r->p = gv_alloc(bytes, 1);
	r->cap = r->p ? bytes : 0;
	return r->p;
}

/* Which rows and columns the windows are made of. */
static void
find_needs(struct gv_resizer *r)
{
	const struct gv_axis *x = r->ax, *y = r->ay;
	int32_t right = 0, i;

	r->need[0] = r->h;
	r->need[1] = 0;
	r->left = INT32_MAX;
	for (i = 0; i < y->out; i++) {
		if (4 * y->first[i] < r->need[0])
			r->need[0] = 4 * y->first[i];
		if (y->end[i] > r->need[1])
			r->need[1] = y->end[i];
	}
	for (i = 0; i < x->out; i++) {
		if (x->first[i] < r->left)
			r->left = x->first[i];
		if (x->first[i] + x->quads[i] > right)
			right = x->first[i] + x->quads[i];
	}
	r->quads = right - r->left;
}

/* A ring of as many quads of rows as an output needs, and a strip's. */
static int
reserve(struct gv_resizer *r, struct gv_error *e)
{
	size_t line = 3 * gv_plane(r->ax->out), ring = 1;
	void *q = r->q;

	while (ring < (size_t)r->ay->cap + GV_STRIP / 4)
		ring *= 2;
	r->mask = (int32_t)ring - 1;
	if (!make_room(&r->strip, r->stride + 2, GV_STRIP) ||
	    !make_room(&r->lanes, (size_t)r->quads * 3, GV_VECTOR) ||
	    !make_room(&r->line, line, 1) ||
	    !make_room(&r->ring, line * 4, ring) ||
	    gv_grow(&q, &r->q_cap, (size_t)r->ay->cap, sizeof *r->q))
		return gv_fail(e, GV_ERR_NOMEM, "out of memory");
	r->q = q;
	return 0;
}

/* All but what is chained. */
static int
open_one(struct gv_resizer *r, const struct gv_resize *what, uint8_t *dst,
    struct gv_error *e)
{
	const struct gv_passes *p = gv_passes_of(what->isa);
	struct wanted x = {what->w, what->x, what->flip_x, what->filter, p};
	struct wanted y = {what->h, what->y, what->flip_y, what->filter, p};

	if (!p)
		return gv_fail(
		    e, GV_ERR_NOSUP, "this machine lacks the instructions");
	r->passes = p;
	r->h = what->h;
	r->at = r->done = 0;
	r->px_bytes = what->px_bytes;
	r->stride = (size_t)what->w * (size_t)what->px_bytes;
	r->dst = dst;
	if (!(r->ax = axis_for(r, &x, e)) || !(r->ay = axis_for(r, &y, e)))
		return e->code;
	find_needs(r);
	return reserve(r, e);
}

/* Rows first: one resizer keeps the columns as they are, and the next one the
 * rows that it gets. */
int
gv_resizer_open(struct gv_resizer **rp, const struct gv_resize *what,
    uint8_t *dst, struct gv_error *e)
{
	struct gv_resize rows = *what, columns = *what;
	struct gv_resizer *r = *rp;

	if (!r && !(r = *rp = gv_alloc(1, sizeof *r)))
		return gv_fail(e, GV_ERR_NOMEM, "out of memory");
	r->chained = what->rows_first;
	if (!r->chained)
		return open_one(r, what, dst, e);
	rows.x = (struct gv_window){what->w, 0, what->w};
	rows.flip_x = false;
	columns.h = what->y.n;
	columns.y = (struct gv_window){what->y.n, 0, what->y.n};
	columns.flip_y = columns.rows_first = false;
	columns.px_bytes = 3;
	if (open_one(r, &rows, NULL, e))
		return e->code;
	return gv_resizer_open(&r->next, &columns, dst, e);
}

uint8_t *
gv_resizer_room(struct gv_resizer *r, int32_t *n)
{
	int32_t here = r->at % GV_STRIP;

	*n = GV_STRIP - here < r->h - r->at ? GV_STRIP - here : r->h - r->at;
	return r->strip.p + ASKEW + (size_t)here * r->stride;
}

/* A quad of rows in the ring. */
static uint8_t *
in_ring(struct gv_resizer *r, int32_t quad)
{
	return r->ring.p + (size_t)(quad & r->mask) * 12 * gv_plane(r->ax->out);
}

/* The strip that ends with the last row that came, into the ring: a few columns
 * at a time, which stay in the nearest cache from one pass to the other. */
static void
across(struct gv_resizer *r)
{
	enum { SOME = 16 };
	const struct gv_axis *a = r->ax;
	int32_t y = (r->at - 1) / GV_STRIP * GV_STRIP, x, end, have, want, i;
	size_t plane = (size_t)r->quads * GV_VECTOR;
	size_t step = 4 * (size_t)r->px_bytes;
	uint8_t *mid[4];

	if (r->at <= r->need[0] || y >= r->need[1])
		return;
	for (i = 0; i < 4; i++)
		mid[i] = in_ring(r, y / 4 + i);
	for (x = 0, have = r->left; x < a->out; x = end, have = want) {
		end = x + SOME < a->out ? x + SOME : a->out;
		for (want = have, i = x; i < end; i++)
			if (a->first[i] + a->quads[i] > want)
				want = a->first[i] + a->quads[i];
		r->passes->lanes(
		    r->lanes.p + (size_t)(have - r->left) * GV_VECTOR, plane,
		    r->strip.p + ASKEW + (size_t)have * step, r->stride,
		    r->px_bytes, want - have);
		r->passes->columns(mid, r->lanes.p, plane, r->left, a, x, end);
	}
}

/* The next row of the result, out of the ring. */
static void
down(struct gv_resizer *r)
{
	size_t plane = gv_plane(r->ax->out), n = (size_t)r->ax->out;
	int32_t y = r->done++, i;
	uint8_t *dst = r->chained ? gv_resizer_room(r->next, &i) : r->dst;

	for (i = 0; i < r->ay->quads[y]; i++)
		r->q[i] = in_ring(r, r->ay->first[y] + i);
	r->passes->rows(r->line.p, r->q, 3 * plane, r->ay, y);
	r->passes->weave(dst, r->line.p, plane, n);
	if (r->chained)
		gv_resizer_take(r->next, 1);
	else
		r->dst += 3 * n;
}

void
gv_resizer_take(struct gv_resizer *r, int32_t n)
{
	r->at += n;
	if (r->at % GV_STRIP && r->at < r->h)
		return;
	across(r);
	while (r->done < r->ay->out && r->ay->end[r->done] <= r->at)
		down(r);
}

void
gv_resizer_close(struct gv_resizer **rp)
{
	struct gv_resizer *r = *rp;
	int i;

	if (!r)
		return;
	gv_resizer_close(&r->next);
	for (i = 0; i < AXES; i++)
		axis_free(&r->made[i].axis);
	gv_free(r->strip.p);
	gv_free(r->lanes.p);
	gv_free(r->ring.p);
	gv_free(r->line.p);
	gv_free(r->q);
	gv_free(r);
	*rp = NULL;
}
