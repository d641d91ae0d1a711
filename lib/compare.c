/* Tensors and plain data against each other, number by number. */
#include "compare.h"

#include "json.h"
#include "mem.h"
#include "summary.h"
#include "banned.h"

#include <math.h>

/* Notes a pair that differs; the texts of the first are kept. */
static void
differ(struct gv_difference *d, const struct gv_rec *rec, const char *at,
    const char *a, const char *b)
{
	if (d->different++)
		return;
	d->record = rec->n;
	snprintf(d->key, sizeof d->key, "%s", rec->key);
	snprintf(d->at, sizeof d->at, "%s", at);
	snprintf(d->a, sizeof d->a, "%s", a);
	snprintf(d->b, sizeof d->b, "%s", b);
}

void
gv_compare_text(struct gv_difference *d, const struct gv_rec *rec,
    const char *a, const char *b)
{
	char p[sizeof d->a], q[sizeof d->b];

	d->values++;
	if (strcmp(a, b))
		differ(d, rec, "", gv_quote(p, sizeof p, a, strlen(a)),
		    gv_quote(q, sizeof q, b, strlen(b)));
}

/* ---- numbers ------------------------------------------------------------- */

/* |a - b|, exact also where the integers are no doubles. */
static double
gap_of_integers(int64_t a, int64_t b)
{
	return a < b ? (double)((uint64_t)b - (uint64_t)a)
		     : (double)((uint64_t)a - (uint64_t)b);
}

static double
gap_of(double a, double b)
{
	return a == b ? 0 : fabs(a - b); /* infinities, too */
}

/* Are a and b, which are `gap` apart, the same?  ulp: their distance in steps,
 * UINT64_MAX if that has no meaning.  Notes how far they are apart. */
static bool
same_number(struct gv_difference *d, double a, double b, double gap,
    uint64_t ulp, const struct gv_tolerance *t)
{
	if (isnan(a) || isnan(b))
		return isnan(a) && isnan(b);
	if (gap == 0)
		return true;
	if (gap > d->max_abs)
		d->max_abs = gap;
	if (ulp != UINT64_MAX && ulp > d->max_ulp)
		d->max_ulp = ulp;
	return (t->ulp && ulp <= t->ulp) || gap <= t->absolute ||
	       (isfinite(gap) &&
		   gap <= t->absolute + t->relative * fmax(fabs(a), fabs(b)));
}

/* ---- tensors ------------------------------------------------------------- */

/* Bits of a fraction: by these the coarser of two types is found; 0 for what
 * is no floating point. */
static int
fraction(enum gv_dtype t)
{
	switch (t) {
	case GV_F8_E4M3:
		return 3;
	case GV_BF16:
		return 7;
	case GV_F16:
		return 10;
	case GV_F32:
		return 23;
	case GV_F64:
		return 52;
	default:
		return 0;
	}
}

/* The place of a number among those of its type, in order: its sign and
 * magnitude as an integer, in which neighbours are one apart. */
static int64_t
rung(uint64_t bits, int width)
{
	uint64_t sign = (uint64_t)1 << (width - 1);
	int64_t magnitude = (int64_t)(bits & (sign - 1));

	return bits & sign ? -magnitude : magnitude;
}

static int64_t
rung_of(enum gv_dtype t, double x)
{
	float f = (float)x;
	uint32_t w;
	uint64_t b;

	switch (t) {
	case GV_BF16:
		return rung(gv_f32_to_bf16(f), 16);
	case GV_F16:
		return rung(gv_f32_to_f16(f), 16);
	case GV_F32:
		memcpy(&w, &f, sizeof w);
		return rung(w, 32);
	default:
		memcpy(&b, &x, sizeof b);
		return rung(b, 64);
	}
}

/* F8 has few enough numbers that the bits themselves are asked for. */
static uint64_t
steps(const struct gv_tensor *a, const struct gv_tensor *b, size_t i, double x,
    double y)
{
	enum gv_dtype t =
	    fraction(a->dtype) < fraction(b->dtype) ? a->dtype : b->dtype;
	int64_t p, q;

	if (!fraction(t))
		return UINT64_MAX;
	if (t == GV_F8_E4M3) {
		if (a->dtype != b->dtype)
			return UINT64_MAX;
		p = rung(((const uint8_t *)a->data)[i], 8);
		q = rung(((const uint8_t *)b->data)[i], 8);
	} else {
		p = rung_of(t, x);
		q = rung_of(t, y);
	}
	/* of opposite signs they are up to 2^64 apart */
	return p < q ? (uint64_t)q - (uint64_t)p : (uint64_t)p - (uint64_t)q;
}

/* "(0,17)" */
static void
place(char *dst, size_t cap, const struct gv_tensor *t, size_t i)
{
	int64_t index[GV_MAX_RANK];
	int a;

	for (a = t->rank; a-- > 0;) {
		index[a] = (int64_t)(i % (size_t)t->shape[a]);
		i /= (size_t)t->shape[a];
	}
	gv_shape_text(dst, cap, index, t->rank);
}

static void
compare_elements(struct gv_difference *d, const struct gv_rec *rec,
    const struct gv_tensor *a, const struct gv_tensor *b, size_t n,
    const struct gv_tolerance *t)
{
	const int64_t *u = a->dtype == GV_I64 ? a->data : NULL, *v = b->data;
	char at[sizeof d->at] = "", p[32] = "", q[32] = "";
	size_t i;

	for (i = 0; i < n; i++) {
		double x = gv_element(a, i), y = gv_element(b, i);
		double gap = u ? gap_of_integers(u[i], v[i]) : gap_of(x, y);

		if (same_number(d, x, y, gap, steps(a, b, i, x, y), t))
			continue;
		if (!d->different) {
			place(at, sizeof at, a, i);
			snprintf(p, sizeof p, "%.17g", x);
			snprintf(q, sizeof q, "%.17g", y);
		}
		differ(d, rec, at, p, q);
	}
}

static void
compare_tensors(struct gv_difference *d, const struct gv_rec *rec,
    const struct gv_tensor *a, const struct gv_tensor *b,
    const struct gv_tolerance *t)
{
	bool numbers =
	    a->dtype == b->dtype || (fraction(a->dtype) && fraction(b->dtype));
	char p[64], q[64], shape[48];
	size_t n = a->bytes / gv_dtype_size(a->dtype);

	if (!numbers || a->rank != b->rank ||
	    memcmp(a->shape, b->shape, (size_t)a->rank * sizeof *a->shape)) {
		d->values++;
		snprintf(p, sizeof p, "%s %s", gv_dtype_name(a->dtype),
		    gv_shape_text(shape, sizeof shape, a->shape, a->rank));
		snprintf(q, sizeof q, "%s %s", gv_dtype_name(b->dtype),
		    gv_shape_text(shape, sizeof shape, b->shape, b->rank));
		differ(d, rec, "", p, q);
		return;
	}
	d->values += n;
	if (a->dtype == b->dtype && (!n || !memcmp(a->data, b->data, a->bytes)))
		return;
	compare_elements(d, rec, a, b, n, t);
}

/* ---- plain data ---------------------------------------------------------- */

/* A way through two values.  What differs stays in it. */
struct walk {
	struct gv_difference *d;
	const struct gv_tolerance *t;
	struct gv_error *e;
	char at[64];
	char a[64], b[64];
};

static void
text_of(struct walk *w, char *dst, size_t cap, const json_t *v)
{
	char *s = v ? gv_json_text(v, JSON_COMPACT | JSON_ENCODE_ANY) : NULL;

	if (v && !s)
		gv_fail(w->e, GV_ERR_NOMEM, "out of memory");
	gv_quote(dst, cap, s ? s : "nothing", strlen(s ? s : "nothing"));
	gv_free(s);
}

static bool same_json(struct walk *w, const json_t *a, const json_t *b);

static bool
same_arrays(struct walk *w, const json_t *a, const json_t *b)
{
	size_t at = strlen(w->at), i;
	json_t *v;

	json_array_foreach(a, i, v)
	{
		snprintf(w->at + at, sizeof w->at - at, "[%zu]", i);
		if (!same_json(w, v, json_array_get(b, i)))
			return false;
		w->at[at] = '\0';
	}
	return true;
}

static bool
same_objects(struct walk *w, json_t *a, const json_t *b)
{
	size_t at = strlen(w->at);
	const char *key;
	json_t *v;

	json_object_foreach(a, key, v)
	{
		snprintf(w->at + at, sizeof w->at - at, ".%s", key);
		if (!same_json(w, v, json_object_get(b, key)))
			return false;
		w->at[at] = '\0';
	}
	return true;
}

/* Values nest no deeper than a stream's.  b may be NULL. */
static bool
same_json(struct walk *w, const json_t *a, const json_t *b)
{
	double gap;

	if (json_is_number(a) && json_is_number(b)) {
		gap = json_is_integer(a) && json_is_integer(b)
			  ? gap_of_integers(
				json_integer_value(a), json_integer_value(b))
			  : gap_of(json_number_value(a), json_number_value(b));
		if (same_number(w->d, json_number_value(a),
			json_number_value(b), gap, UINT64_MAX, w->t))
			return true;
	} else if (json_is_array(a) && json_is_array(b) &&
		   json_array_size(a) == json_array_size(b)) {
		return same_arrays(w, a, b);
	} else if (json_is_object(a) && json_is_object(b) &&
		   json_object_size(a) == json_object_size(b)) {
		return same_objects(w, (json_t *)a, b);
	} else if (json_equal(a, b)) {
		return true;
	}
	text_of(w, w->a, sizeof w->a, a);
	text_of(w, w->b, sizeof w->b, b);
	return false;
}

/* What JSON doesn't have, bytes and NaN, is compared as a whole. */
static int
compare_plain(struct gv_difference *d, const struct gv_rec *rec,
    const struct gv_value *a, const struct gv_value *b,
    const struct gv_tolerance *t, struct gv_error *e)
{
	struct walk w = {.d = d, .t = t, .e = e};
	json_t *x = NULL, *y = NULL;
	char q[sizeof w.at];
	int r;

	d->values++;
	if (a->plain_bytes == b->plain_bytes &&
	    !memcmp(a->plain, b->plain, a->plain_bytes))
		return 0;
	r = gv_value_json(a, &x);
	if (!r)
		r = gv_value_json(b, &y);
	if (r == GV_ERR_NOMEM)
		gv_fail(e, r, "out of memory");
	else if (r)
		differ(d, rec, "", "bytes", "others");
	else if (!same_json(&w, x, y))
		differ(d, rec, gv_quote(q, sizeof q, w.at, strlen(w.at)), w.a,
		    w.b);
	json_decref(x);
	json_decref(y);
	return e->code;
}

int
gv_compare(struct gv_difference *d, const struct gv_rec *rec,
    const struct gv_value *a, const struct gv_value *b,
    const struct gv_tolerance *t, struct gv_error *e)
{
	if (a->plain && b->plain)
		return compare_plain(d, rec, a, b, t, e);
	if (a->plain || b->plain) {
		d->values++;
		differ(d, rec, "", a->plain ? "plain" : "a tensor",
		    b->plain ? "plain" : "a tensor");
		return 0;
	}
	compare_tensors(d, rec, &a->t, &b->t, t);
	return 0;
}
