/* Values and records as text to look at. */
#include "preview.h"

#include "mem.h"
#include "banned.h"

#include <ctype.h>
#include <stdlib.h>

#define PREVIEW 8 /* numbers of a tensor that are printed */
#define SHORT   200 /* bytes of a plain value, cut */
#define LONG    (1 << 20) /* ... and whole */

/* ---- values -------------------------------------------------------------- */

const struct gv_value *
gv_preview_field(
    const struct gv_reader *r, const struct gv_rec *rec, const char *name)
{
	int i = gv_reader_has(r, name);

	return i >= 0 && rec->v[i].present ? &rec->v[i] : NULL;
}

bool
gv_preview_number(const struct gv_value *v, double *out)
{
	struct gv_error e = {0};
	size_t n;
	float f;

	if (!v)
		return false;
	if (v->plain)
		return !gv_value_f64(v, out);
	if (!gv_shape_count(v->t.shape, v->t.rank, &n) || n != 1 ||
	    gv_to_f32(&f, v->t.data, v->t.dtype, 1, &e))
		return false;
	*out = (double)f;
	return true;
}

/* A JSON value as text to read: strings without quotes, the text parts of a
 * message, lists joined.  Appends to `dst`. */
static void
flatten(char *dst, size_t cap, const json_t *o)
{
	size_t n = strlen(dst), i;
	const json_t *part;
	char *s;

	if (json_is_string(o)) {
		gv_quote(dst + n, cap - n, json_string_value(o),
		    json_string_length(o));
	} else if (json_is_array(o)) {
		json_array_foreach(o, i, part)
		{
			n = strlen(dst);
			if (n && n + 3 < cap && !json_is_object(part))
				memcpy(dst + n, ", ", 3);
			flatten(dst, cap, part);
		}
	} else if (json_is_object(o)) {
		flatten(dst, cap, json_object_get(o, "text"));
	} else if (o) {
		s = json_dumps(o, JSON_ENCODE_ANY | JSON_REAL_PRECISION(6));
		snprintf(dst + n, cap - n, "%s", s ? s : "");
		free(s);
	}
}

/* Newlines become spaces, or gv_quote() would show them as \x0a. */
void
gv_preview_text(char *dst, size_t cap, const struct gv_value *v)
{
	const char *s;
	size_t n, i;
	json_t *o;
	char *copy;

	dst[0] = '\0';
	if (!v || !v->plain)
		return;
	if (!gv_value_text(v, &s, &n)) {
		copy = gv_strndup(s, n);
		for (i = 0; copy && i < n; i++)
			if (isspace((unsigned char)copy[i]))
				copy[i] = ' ';
		if (copy)
			gv_quote(dst, cap, copy, n);
		gv_free(copy);
	} else if (!gv_value_json(v, &o)) {
		flatten(dst, cap, o);
		json_decref(o);
	}
}

void
gv_preview_question(
    char *dst, size_t cap, const struct gv_reader *r, const struct gv_rec *rec)
{
	const struct gv_value *v = gv_preview_field(r, rec, "messages");
	const json_t *m;
	json_t *o;
	size_t i;

	gv_preview_text(dst, cap, gv_preview_field(r, rec, "question"));
	if (dst[0] || !v || !v->plain || gv_value_json(v, &o))
		return;
	json_array_foreach(o, i, m)
	{
		const char *role =
		    json_string_value(json_object_get(m, "role"));

		if (role && !strcmp(role, "user")) {
			dst[0] = '\0';
			flatten(dst, cap, json_object_get(m, "content"));
		}
	}
	json_decref(o);
}

/* ---- records ------------------------------------------------------------- */

static double
element(const struct gv_tensor *t, size_t i)
{
	const uint8_t *p = t->data;
	struct gv_error e = {0};
	int64_t wide;
	float f = 0;

	p += i * gv_dtype_size(t->dtype);
	switch (t->dtype) {
	case GV_BOOL:
		return *p;
	case GV_I8:
		return *(const int8_t *)p;
	case GV_I64:
		memcpy(&wide, p, sizeof wide);
		return (double)wide;
	default:
		(void)!gv_to_f32(&f, p, t->dtype, 1, &e);
		return (double)f;
	}
}

static int
print_tensor(struct gv_out *o, const struct gv_tensor *t, struct gv_error *e)
{
	char shape[128];
	size_t n, i;
	int r = gv_out_printf(o, e, "%s %s", gv_dtype_name(t->dtype),
	    gv_shape_text(shape, sizeof shape, t->shape, t->rank));

	if (!gv_shape_count(t->shape, t->rank, &n) || t->dtype == GV_F8_E4M3)
		n = 0;
	for (i = 0; !r && i < n && i < PREVIEW; i++)
		r = gv_out_printf(o, e, " %.6g", element(t, i));
	if (!r && n > PREVIEW)
		r = gv_out_printf(o, e, " ...");
	return r;
}

static int
print_plain(
    struct gv_out *o, const struct gv_value *v, bool whole, struct gv_error *e)
{
	size_t n, cap = whole ? LONG : SHORT;
	char *s = NULL, *line;
	json_t *j;
	int r;

	if (gv_value_json(v, &j))
		return gv_out_printf(o, e, "(binary)");
	s = json_dumps(j, JSON_ENCODE_ANY | JSON_REAL_PRECISION(9));
	json_decref(j);
	line = gv_alloc(cap, 1);
	if (!s || !line) {
		r = gv_fail(e, GV_ERR_NOMEM, "out of memory");
	} else {
		n = strlen(s);
		r = gv_out_printf(o, e, "%s", gv_quote(line, cap, s, n));
	}
	free(s);
	gv_free(line);
	return r;
}

int
gv_preview_record(struct gv_out *o, const struct gv_schema *s,
    const struct gv_rec *rec, bool whole, struct gv_error *e)
{
	char key[GV_MAX_KEY + 1];
	size_t i;

	if (gv_out_printf(o, e, "record %llu '%s'\n",
		(unsigned long long)rec->n,
		gv_quote(key, sizeof key, rec->key, strlen(rec->key))))
		return e->code;
	for (i = 0; i < s->nfields; i++) {
		const struct gv_value *v = &rec->v[i];

		if (gv_out_printf(o, e, "  %-12s ", s->fields[i].name) ||
		    (!v->present   ? gv_out_printf(o, e, "-")
			: v->plain ? print_plain(o, v, whole, e)
				   : print_tensor(o, &v->t, e)) ||
		    gv_out_printf(o, e, "\n"))
			return e->code;
	}
	return 0;
}
