/* The pairs in the head of a GGUF file: keys and their values. */
#include "gguf_read.h"

#include "banned.h"

#define MIN_PAIR 13 /* bytes: an empty key, a type, a value of one byte */
#define MAX_INT  ((uint64_t)1 << 53)

/* ---- reading ------------------------------------------------------------- */

static size_t
type_bytes(enum gguf_type t)
{
	static const uint8_t bytes[GGUF_TYPES] = {[GGUF_U8] = 1,
	    [GGUF_I8] = 1,
	    [GGUF_U16] = 2,
	    [GGUF_I16] = 2,
	    [GGUF_U32] = 4,
	    [GGUF_I32] = 4,
	    [GGUF_F32] = 4,
	    [GGUF_BOOL] = 1,
	    [GGUF_U64] = 8,
	    [GGUF_I64] = 8,
	    [GGUF_F64] = 8};

	return bytes[t];
}

static int
take_type(struct gguf_cursor *c, const struct gguf_pair *p, enum gguf_type *t)
{
	char q[64];
	uint64_t v = 0;

	if (gguf_take_number(c, 4, &v))
		return c->e->code;
	if (v >= GGUF_TYPES)
		return gv_fail(c->e, GV_ERR_FORMAT,
		    "'%s': '%s' is of the unknown type %llu", c->path,
		    gv_quote(q, sizeof q, p->key, p->len),
		    (unsigned long long)v);
	*t = (enum gguf_type)v;
	return 0;
}

static int
take_list(struct gguf_cursor *c, struct gguf_pair *p)
{
	struct gguf_value *v = &p->v;
	const char *s;
	char q[64];
	uint64_t i;
	size_t n;

	if (take_type(c, p, &v->of) || gguf_take_number(c, 8, &v->count))
		return c->e->code;
	v->data = c->p;
	if (v->of == GGUF_LIST)
		return gv_fail(c->e, GV_ERR_NOSUP,
		    "'%s': '%s', a list of lists, is not supported", c->path,
		    gv_quote(q, sizeof q, p->key, p->len));
	if (v->of == GGUF_STRING) {
		for (i = 0; i < v->count; i++)
			if (gguf_take_string(c, UINT64_MAX, "a string", &s, &n))
				return c->e->code;
	} else if (v->count > c->left / type_bytes(v->of)) {
		return gv_fail(c->e, GV_ERR_CUT,
		    "'%s' ends in its head: '%s' has %llu values", c->path,
		    gv_quote(q, sizeof q, p->key, p->len),
		    (unsigned long long)v->count);
	} else {
		(void)!gguf_take(c, v->count * type_bytes(v->of));
	}
	v->bytes = (size_t)(c->p - v->data);
	return c->e->code;
}

static int
take_pair(struct gguf_cursor *c, struct gguf_pair *p)
{
	struct gguf_value *v = &p->v;
	const char *s;

	if (gguf_take_string(c, GV_GGUF_MAX_KEY, "a key", &p->key, &p->len) ||
	    take_type(c, p, &v->type))
		return c->e->code;
	v->count = 1;
	if (v->type == GGUF_LIST)
		return take_list(c, p);
	if (v->type == GGUF_STRING) {
		if (gguf_take_string(c, UINT64_MAX, "a string", &s, &v->bytes))
			return c->e->code;
		v->data = (const uint8_t *)s;
		return 0;
	}
	v->bytes = type_bytes(v->type);
	v->data = gguf_take(c, v->bytes);
	return v->data ? 0 : c->e->code;
}

static int
by_key(const void *a, const void *b)
{
	const struct gguf_pair *x = a, *y = b;
	size_t n = x->len < y->len ? x->len : y->len;
	int r = n ? memcmp(x->key, y->key, n) : 0;

	return r ? r : (x->len > y->len) - (x->len < y->len);
}

int
gguf_read_pairs(struct gv_gguf *g, struct gguf_cursor *c, uint64_t n)
{
	char q[64];
	size_t i;

	g->pair = gguf_promised(
	    c, n, "pairs", GV_GGUF_MAX_PAIRS, MIN_PAIR, sizeof *g->pair);
	if (!g->pair)
		return c->e->code;
	for (; g->pairs < n; g->pairs++)
		if (take_pair(c, &g->pair[g->pairs]))
			return c->e->code;
	qsort(g->pair, g->pairs, sizeof *g->pair, by_key);
	for (i = 1; i < g->pairs; i++)
		if (!by_key(&g->pair[i - 1], &g->pair[i]))
			return gv_fail(c->e, GV_ERR_FORMAT,
			    "'%s': the key '%s' is there twice", c->path,
			    gv_quote(
				q, sizeof q, g->pair[i].key, g->pair[i].len));
	return 0;
}

/* ---- looking ------------------------------------------------------------- */

const char *
gguf_path(const struct gv_gguf *g)
{
	return g->path;
}

const struct gguf_value *
gguf_get(const struct gv_gguf *g, const char *key)
{
	struct gguf_pair want = {.key = key, .len = strlen(key)};
	const struct gguf_pair *p;

	if (!g->pairs)
		return NULL;
	p = bsearch(&want, g->pair, g->pairs, sizeof *g->pair, by_key);
	return p ? &p->v : NULL;
}

static int
bad(const struct gv_gguf *g, const char *key, const char *what,
    struct gv_error *e)
{
	return gv_fail(
	    e, GV_ERR_FORMAT, "'%s': '%s' is not %s", g->path, key, what);
}

static bool
is_signed(enum gguf_type t)
{
	return t == GGUF_I8 || t == GGUF_I16 || t == GGUF_I32 || t == GGUF_I64;
}

int
gguf_get_int(
    const struct gv_gguf *g, const char *key, int64_t *v, struct gv_error *e)
{
	const struct gguf_value *x = gguf_get(g, key);
	uint64_t u;

	if (!x)
		return 0;
	if (x->type == GGUF_F32 || x->type == GGUF_F64 ||
	    x->type == GGUF_BOOL || x->type == GGUF_STRING ||
	    x->type == GGUF_LIST)
		return bad(g, key, "a whole number", e);
	u = gguf_number_at(x->data, x->bytes);
	if (u > MAX_INT || (is_signed(x->type) && x->data[x->bytes - 1] & 0x80))
		return bad(g, key, "between 0 and 2^53", e);
	*v = (int64_t)u;
	return 0;
}

int
gguf_get_f64(
    const struct gv_gguf *g, const char *key, double *v, struct gv_error *e)
{
	const struct gguf_value *x = gguf_get(g, key);
	int64_t whole = 0;
	float f;

	if (!x)
		return 0;
	if (x->type == GGUF_F32) {
		memcpy(&f, x->data, sizeof f);
		*v = (double)f;
	} else if (x->type == GGUF_F64) {
		memcpy(v, x->data, sizeof *v);
	} else {
		if (gguf_get_int(g, key, &whole, e))
			return e->code;
		*v = (double)whole;
	}
	return 0;
}

int
gguf_get_bool(
    const struct gv_gguf *g, const char *key, bool *v, struct gv_error *e)
{
	const struct gguf_value *x = gguf_get(g, key);

	if (!x)
		return 0;
	if (x->type != GGUF_BOOL)
		return bad(g, key, "true or false", e);
	*v = x->data[0] != 0;
	return 0;
}

int
gguf_get_text(const struct gv_gguf *g, const char *key, const char **s,
    size_t *n, struct gv_error *e)
{
	const struct gguf_value *x = gguf_get(g, key);

	*s = NULL;
	if (!x)
		return 0;
	if (x->type != GGUF_STRING)
		return bad(g, key, "text", e);
	*s = (const char *)x->data;
	*n = x->bytes;
	return 0;
}

int
gguf_get_strings(const struct gv_gguf *g, const char *key,
    struct gguf_strings *l, struct gv_error *e)
{
	const struct gguf_value *x = gguf_get(g, key);

	if (!x)
		return gv_fail(
		    e, GV_ERR_FORMAT, "'%s' has no '%s'", g->path, key);
	if (x->type != GGUF_LIST || x->of != GGUF_STRING)
		return bad(g, key, "a list of texts", e);
	*l = (struct gguf_strings){x->data, x->count};
	return 0;
}

bool
gguf_next_string(struct gguf_strings *l, const char **s, size_t *n)
{
	if (!l->left)
		return false;
	l->left--;
	*n = (size_t)gguf_number_at(l->at, 8);
	*s = (const char *)l->at + 8;
	l->at += 8 + *n;
	return true;
}
