/* Schemas: what every record of a stream holds, and who made it. */
#include "pack.h"

#include "json.h"
#include "mem.h"
#include "version.h"
#include "banned.h"

bool
gv_name_valid(const char *s, size_t n, size_t max)
{
	size_t i;

	for (i = 0; i < n; i++)
		if (!((s[i] >= 'a' && s[i] <= 'z') ||
			(s[i] >= 'A' && s[i] <= 'Z') ||
			(s[i] >= '0' && s[i] <= '9') ||
			(s[i] && strchr("_-.", s[i]))))
			return false;
	return n > 0 && n <= max;
}

int
gv_schema_init(struct gv_schema *s, const char *kind, struct gv_error *e)
{
	char q[64];

	memset(s, 0, sizeof *s);
	if (!gv_name_valid(kind, strlen(kind), sizeof s->kind - 1))
		return gv_fail(e, GV_ERR_USAGE, "'%s' cannot name a kind",
		    gv_quote(q, sizeof q, kind, strlen(kind)));
	memcpy(s->kind, kind, strlen(kind) + 1);
	return 0;
}

void
gv_schema_free(struct gv_schema *s)
{
	size_t i;

	for (i = 0; i < s->nprogs; i++) {
		gv_free(s->progs[i].name);
		gv_free(s->progs[i].ver);
		json_decref(s->progs[i].args);
		json_decref(s->progs[i].digests);
	}
	gv_free(s->progs);
	gv_free(s->fields);
	memset(s, 0, sizeof *s);
}

/* Room for one more in an array without a capacity of its own: powers of two
 * are the moments to move. */
static int
room(void **p, size_t n, size_t size)
{
	void *q;

	if (n & (n - 1) && n)
		return 0;
	q = gv_alloc(n ? 2 * n : 1, size);
	if (!q)
		return GV_ERR_NOMEM;
	if (n)
		memcpy(q, *p, n * size);
	gv_free(*p);
	*p = q;
	return 0;
}

static bool
reserved(const char *name)
{
	return !strcmp(name, "gv") || !strcmp(name, "n") ||
	       !strcmp(name, "key") || !strcmp(name, "pad") ||
	       !strcmp(name, "crc");
}

int
gv_schema_add_field(
    struct gv_schema *s, const struct gv_field *f, struct gv_error *e)
{
	void *p = s->fields;
	char q[80];
	int i;

	gv_quote(q, sizeof q, f->name, strlen(f->name));
	if (!gv_name_valid(f->name, strlen(f->name), sizeof f->name - 1) ||
	    reserved(f->name))
		return gv_fail(e, GV_ERR_FORMAT, "'%s' cannot name a field", q);
	if (gv_schema_find(s, f->name))
		return gv_fail(e, GV_ERR_MATCH, "two fields '%s'", q);
	if (s->nfields == GV_MAX_FIELDS)
		return gv_fail(
		    e, GV_ERR_LIMIT, "more than %d fields", GV_MAX_FIELDS);
	if (f->dtype == GV_NONE && f->rank)
		return gv_fail(
		    e, GV_ERR_FORMAT, "field '%s' is plain, with a shape", q);
	for (i = 0; i < f->rank; i++)
		if (f->shape[i] == GV_ANY &&
		    !gv_name_valid(
			f->dim[i], strlen(f->dim[i]), sizeof f->dim[i] - 1))
			return gv_fail(e, GV_ERR_FORMAT,
			    "field '%s' has a dimension without a name", q);
	if (room(&p, s->nfields, sizeof *f))
		return gv_fail(e, GV_ERR_NOMEM, "out of memory");
	s->fields = p;
	s->fields[s->nfields++] = *f;
	return 0;
}

/* "(N,64,64,3)" */
static bool
parse_shape(const char *p, struct gv_field *f)
{
	if (*p++ != '(')
		return false;
	if (*p == ')')
		return !p[1];
	for (;; p++) {
		size_t n = strcspn(p, ",)");
		int64_t v = 0;
		size_t i;

		if (f->rank == GV_MAX_RANK || !n)
			return false;
		for (i = 0; i < n && p[i] >= '0' && p[i] <= '9'; i++) {
			if (v > INT64_MAX / 10 - 1)
				return false;
			v = 10 * v + (p[i] - '0');
		}
		if (i < n) {
			v = GV_ANY;
			if (n >= sizeof f->dim[0] || (*p >= '0' && *p <= '9'))
				return false;
			memcpy(f->dim[f->rank], p, n);
		}
		f->shape[f->rank++] = v;
		p += n;
		if (*p != ',')
			return *p == ')' && !p[1];
	}
}

/* "I32 (T)"; *rest of "F32|BF16 (T)" is what follows the '|'. */
static bool
parse_spec(const char *spec, struct gv_field *f, const char **rest)
{
	size_t n = strcspn(spec, "| ");
	const char *shape = strchr(spec, ' ');

	*rest = spec[n] == '|' ? spec + n + 1 : NULL;
	if (!strcmp(spec, "plain"))
		return true;
	f->dtype = gv_dtype_parse(spec, n);
	return f->dtype && shape && parse_shape(shape + 1, f);
}

int
gv_schema_field(struct gv_schema *s, const char *name, const char *spec,
    const char *unit, struct gv_error *e)
{
	struct gv_field f = {0};
	const char *rest;

	if (strlen(name) >= sizeof f.name ||
	    (unit && strlen(unit) >= sizeof f.unit))
		return gv_fail(e, GV_ERR_LIMIT, "a field's name is too long");
	memcpy(f.name, name, strlen(name));
	if (unit)
		memcpy(f.unit, unit, strlen(unit));
	if (!parse_spec(spec, &f, &rest) || rest)
		return gv_fail(e, GV_ERR_USAGE, "'%s' of field '%s' is no type",
		    spec, name);
	return gv_schema_add_field(s, &f, e);
}

const struct gv_field *
gv_schema_find(const struct gv_schema *s, const char *name)
{
	size_t i;

	for (i = 0; i < s->nfields; i++)
		if (!strcmp(s->fields[i].name, name))
			return &s->fields[i];
	return NULL;
}

int
gv_schema_add_prog(struct gv_schema *s, const char *name, const char *ver,
    json_t *args, json_t *digests, struct gv_error *e)
{
	struct gv_prog g = {NULL, NULL, args, digests};
	void *p = s->progs;

	if (!g.args)
		g.args = json_array();
	if (!g.digests)
		g.digests = json_object();
	g.name = gv_strdup(name);
	g.ver = gv_strdup(ver);
	if (s->nprogs == GV_MAX_KEYS) {
		gv_fail(e, GV_ERR_LIMIT, "more than %d programs", GV_MAX_KEYS);
	} else if (!g.args || !g.digests || !g.name || !g.ver ||
		   room(&p, s->nprogs, sizeof g)) {
		gv_fail(e, GV_ERR_NOMEM, "out of memory");
	} else {
		s->progs = p;
		s->progs[s->nprogs++] = g;
		return 0;
	}
	gv_free(g.name);
	gv_free(g.ver);
	json_decref(g.args);
	json_decref(g.digests);
	return e->code;
}

int
gv_schema_prog(struct gv_schema *s, const char *name, json_t *args,
    json_t *digests, struct gv_error *e)
{
	return gv_schema_add_prog(s, name, GV_VERSION, args, digests, e);
}

int
gv_schema_copy(
    struct gv_schema *dst, const struct gv_schema *src, struct gv_error *e)
{
	struct gv_schema s = {0};
	size_t i;

	memcpy(s.kind, src->kind, sizeof s.kind);
	for (i = 0; i < src->nfields; i++)
		if (gv_schema_add_field(&s, &src->fields[i], e))
			goto fail;
	if (gv_schema_merge_progs(&s, src, e))
		goto fail;
	*dst = s;
	return 0;
fail:
	gv_schema_free(&s);
	return e->code;
}

static bool
same_prog(const struct gv_prog *a, const struct gv_prog *b)
{
	return !strcmp(a->name, b->name) && !strcmp(a->ver, b->ver) &&
	       json_equal(a->args, b->args) &&
	       json_equal(a->digests, b->digests);
}

int
gv_schema_merge_progs(
    struct gv_schema *dst, const struct gv_schema *src, struct gv_error *e)
{
	size_t i, j, had = dst->nprogs;

	for (i = 0; i < src->nprogs; i++) {
		const struct gv_prog *g = &src->progs[i];
		json_t *args, *digests;

		for (j = 0; j < had; j++)
			if (same_prog(&dst->progs[j], g))
				break;
		if (j < had)
			continue;
		args = gv_json_copy(g->args);
		digests = gv_json_copy(g->digests);
		if (!args || !digests) {
			json_decref(args);
			json_decref(digests);
			return gv_fail(e, GV_ERR_NOMEM, "out of memory");
		}
		if (gv_schema_add_prog(dst, g->name, g->ver, args, digests, e))
			return e->code;
	}
	return 0;
}

const char *
gv_schema_digest(const struct gv_schema *s, const char *key)
{
	size_t i;

	for (i = s->nprogs; i-- > 0;) {
		json_t *d = json_object_get(s->progs[i].digests, key);

		if (d)
			return json_string_value(d);
	}
	return NULL;
}

int
gv_schema_agree(
    const struct gv_schema *a, const struct gv_schema *b, struct gv_error *e)
{
	size_t i;

	for (i = 0; i < b->nprogs; i++) {
		const char *key, *x, *y;
		json_t *d;
		char q[64];

		json_object_foreach(b->progs[i].digests, key, d)
		{
			x = gv_schema_digest(a, key);
			y = gv_schema_digest(b, key);
			if (x && y && strcmp(x, y))
				return gv_fail(e, GV_ERR_MATCH,
				    "made with another '%s' (%.12s, not %.12s)",
				    gv_quote(q, sizeof q, key, strlen(key)), y,
				    x);
		}
	}
	return 0;
}

static bool
same_field(const struct gv_field *a, const struct gv_field *b)
{
	int i;

	if (strcmp(a->name, b->name) || strcmp(a->unit, b->unit) ||
	    a->dtype != b->dtype || a->rank != b->rank)
		return false;
	for (i = 0; i < a->rank; i++)
		if (a->shape[i] != b->shape[i] ||
		    (a->shape[i] == GV_ANY && strcmp(a->dim[i], b->dim[i])))
			return false;
	return true;
}

/* "'image' U8 (N,64,64,3)" */
static const char *
field_text(const struct gv_field *f, char *dst, size_t cap)
{
	size_t n;
	int i;

	n = (size_t)snprintf(
	    dst, cap, "'%s' %s", f->name, gv_dtype_name(f->dtype));
	for (i = 0; i < f->rank && n < cap; i++) {
		const char *sep = i ? "," : " (";

		n += (size_t)(f->shape[i] == GV_ANY
				  ? snprintf(dst + n, cap - n, "%s%s", sep,
					f->dim[i])
				  : snprintf(dst + n, cap - n, "%s%lld", sep,
					(long long)f->shape[i]));
	}
	if (f->dtype != GV_NONE && n < cap)
		n += (size_t)snprintf(dst + n, cap - n, f->rank ? ")" : " ()");
	if (f->unit[0] && n < cap)
		snprintf(dst + n, cap - n, " [%s]", f->unit);
	return dst;
}

int
gv_schema_same(
    const struct gv_schema *a, const struct gv_schema *b, struct gv_error *e)
{
	char x[200], y[200];
	size_t i;

	if (strcmp(a->kind, b->kind))
		return gv_fail(
		    e, GV_ERR_MATCH, "kind '%s', not '%s'", b->kind, a->kind);
	for (i = 0; i < a->nfields && i < b->nfields; i++)
		if (!same_field(&a->fields[i], &b->fields[i]))
			return gv_fail(e, GV_ERR_MATCH, "field %s, not %s",
			    field_text(&b->fields[i], x, sizeof x),
			    field_text(&a->fields[i], y, sizeof y));
	if (a->nfields != b->nfields)
		return gv_fail(e, GV_ERR_MATCH, "%zu fields, not %zu",
		    b->nfields, a->nfields);
	return 0;
}

static bool
fits(const struct gv_field *have, const struct gv_field *want)
{
	int i;

	if (have->dtype != want->dtype || have->rank != want->rank)
		return false;
	for (i = 0; i < have->rank; i++)
		if (want->shape[i] != GV_ANY &&
		    want->shape[i] != have->shape[i])
			return false;
	return true;
}

int
gv_reader_need(const struct gv_reader *r, const char *name, const char *spec,
    size_t *i, struct gv_error *e)
{
	const struct gv_schema *s = gv_reader_schema(r);
	const struct gv_field *f = gv_schema_find(s, name);
	const char *at = spec;

	if (!f)
		return gv_fail(e, GV_ERR_MATCH,
		    "cannot use '%s': kind '%s' without a field '%s' (%s)",
		    gv_reader_name(r), s->kind, name, spec);
	while (at) {
		struct gv_field want = {0};

		if (!parse_spec(at, &want, &at))
			return gv_fail(e, GV_ERR_USAGE,
			    "'%s' of field '%s' is no type", spec, name);
		if (fits(f, &want)) {
			*i = (size_t)(f - s->fields);
			return 0;
		}
	}
	return gv_fail(e, GV_ERR_MATCH,
	    "cannot use '%s': field '%s' is %s of rank %d, not %s",
	    gv_reader_name(r), name, gv_dtype_name(f->dtype), f->rank, spec);
}

int
gv_reader_has(const struct gv_reader *r, const char *name)
{
	const struct gv_schema *s = gv_reader_schema(r);
	const struct gv_field *f = gv_schema_find(s, name);

	return f ? (int)(f - s->fields) : -1;
}
