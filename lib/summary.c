/* Ranges, means and counts of a field's values. */
#include "summary.h"

#include "banned.h"

#include <math.h>

static void
add(struct gv_summary *s, double x)
{
	if (isnan(x)) {
		s->nan++;
	} else if (isinf(x)) {
		s->inf++;
	} else {
		if (!s->values || x < s->min)
			s->min = x;
		if (!s->values || x > s->max)
			s->max = x;
		s->values++;
		s->sum += x;
	}
}

/* 8 bits: sign, 4 of exponent with bias 7, 3 of fraction; no infinity. */
static double
from_f8_e4m3(uint8_t x)
{
	int exp = x >> 3 & 15, frac = x & 7;
	double v;

	if ((x & 0x7f) == 0x7f)
		return (double)NAN;
	v = exp ? ldexp(8 + frac, exp - 10) : ldexp(frac, -9);
	return x & 0x80 ? -v : v;
}

double
gv_element(const struct gv_tensor *t, size_t i)
{
	switch (t->dtype) {
	case GV_BOOL:
	case GV_U8:
		return ((const uint8_t *)t->data)[i];
	case GV_I8:
		return ((const int8_t *)t->data)[i];
	case GV_I32:
		return ((const int32_t *)t->data)[i];
	case GV_I64:
		return (double)((const int64_t *)t->data)[i];
	case GV_F16:
		return (double)gv_f16_to_f32(((const uint16_t *)t->data)[i]);
	case GV_BF16:
		return (double)gv_bf16_to_f32(((const uint16_t *)t->data)[i]);
	case GV_F32:
		return (double)((const float *)t->data)[i];
	case GV_F64:
		return ((const double *)t->data)[i];
	case GV_F8_E4M3:
		return from_f8_e4m3(((const uint8_t *)t->data)[i]);
	default: /* none that a stream has */
		return (double)NAN;
	}
}

/* Bytes are most of what there is (pixels): count them instead. */
static void
add_bytes(struct gv_summary *s, const uint8_t *p, size_t n)
{
	uint64_t sum = 0;
	uint8_t lo = 255, hi = 0;
	size_t i;

	for (i = 0; i < n; i++) {
		lo = p[i] < lo ? p[i] : lo;
		hi = p[i] > hi ? p[i] : hi;
		sum += p[i];
	}
	if (!n)
		return;
	s->min = s->values && s->min < lo ? s->min : lo;
	s->max = s->values && s->max > hi ? s->max : hi;
	s->values += n;
	s->sum += (double)sum;
}

static void
add_tensor(struct gv_summary *s, const struct gv_tensor *t)
{
	size_t n = t->bytes / gv_dtype_size(t->dtype), i;
	int a;

	for (a = 0; a < t->rank; a++) {
		if (!s->recs || t->shape[a] < s->lo[a])
			s->lo[a] = t->shape[a];
		if (!s->recs || t->shape[a] > s->hi[a])
			s->hi[a] = t->shape[a];
	}
	s->numbers = true;
	if (t->dtype == GV_U8 || t->dtype == GV_BOOL) {
		add_bytes(s, t->data, n);
		return;
	}
	for (i = 0; i < n; i++)
		add(s, gv_element(t, i));
}

static void
add_plain(struct gv_summary *s, const struct gv_value *v)
{
	const char *text;
	size_t n;
	double x;

	if (!gv_value_f64(v, &x) && !s->texts) {
		s->numbers = true;
		add(s, x);
	} else if (!gv_value_text(v, &text, &n) && !s->numbers) {
		s->texts = true;
		add(s, (double)n);
	} else {
		s->others++;
	}
}

void
gv_summary_add(struct gv_summary *s, const struct gv_value *v)
{
	if (v->plain)
		add_plain(s, v);
	else
		add_tensor(s, &v->t);
	s->recs++;
}

const char *
gv_summary_type(const struct gv_summary *s, const struct gv_field *f)
{
	if (f->dtype != GV_NONE)
		return gv_dtype_name(f->dtype);
	if (s->others)
		return s->texts || s->numbers ? "mixed" : "plain";
	return s->texts ? "text" : s->numbers ? "number" : "plain";
}

char *
gv_summary_shape(
    const struct gv_summary *s, const struct gv_field *f, char *dst, size_t cap)
{
	size_t n = 0;
	int a;

	if (cap)
		dst[0] = '\0';
	if (f->dtype == GV_NONE)
		return dst;
	for (a = 0; a < f->rank && n < cap; a++) {
		n += (size_t)snprintf(dst + n, cap - n, "%c%lld", a ? ',' : '(',
		    (long long)s->lo[a]);
		if (s->hi[a] != s->lo[a] && n < cap)
			n += (size_t)snprintf(
			    dst + n, cap - n, "-%lld", (long long)s->hi[a]);
	}
	if (n < cap)
		snprintf(dst + n, cap - n, f->rank ? ")" : "()");
	return dst;
}
