/* The head of a GGUF file, read within the bytes that are there. */
#include "gguf_priv.h"

#include "blocks.h"
#include "io.h"
#include "mem.h"
#include "banned.h"

#define ALIGNMENT     32 /* unless general.alignment says another */
#define MAX_ALIGNMENT 65536
#define MIN_PAIR      13 /* bytes: an empty key, a type, a value of one byte */
#define MAX_INT       ((uint64_t)1 << 53)
#define MIN_TENSOR    32 /* an empty name and one dimension */

struct pair {
	const char *key; /* not NUL-terminated */
	size_t len;
	struct gguf_value v;
};

struct entry {
	char *name;
	struct gv_tensor t;
	uint64_t at; /* in the data */
};

struct gv_gguf {
	char *path;
	struct gv_map map;
	struct pair *pair; /* sorted by key */
	size_t pairs;
	struct entry *entry; /* sorted by offset once opening is done */
	size_t n;
};

/* What is left to read. */
struct cursor {
	const uint8_t *p;
	size_t left;
	const char *path;
	struct gv_error *e;
};

/* ---- numbers and strings ------------------------------------------------- */

static uint64_t
number_at(const uint8_t *p, size_t bytes)
{
	uint64_t v = 0;

	while (bytes-- > 0)
		v = v << 8 | p[bytes];
	return v;
}

/* The next `n` bytes, or NULL. */
static const uint8_t *
take(struct cursor *c, uint64_t n)
{
	const uint8_t *p = c->p;

	if (n > c->left) {
		gv_fail(c->e, GV_ERR_CUT,
		    "'%s' ends in its head: %llu bytes expected, %zu there",
		    c->path, (unsigned long long)n, c->left);
		return NULL;
	}
	c->p += n;
	c->left -= (size_t)n;
	return p;
}

static int
take_number(struct cursor *c, size_t bytes, uint64_t *v)
{
	const uint8_t *p = take(c, bytes);

	if (!p)
		return c->e->code;
	*v = number_at(p, bytes);
	return 0;
}

/* A string of at most `max` bytes, called `what`. */
static int
take_string(
    struct cursor *c, uint64_t max, const char *what, const char **s, size_t *n)
{
	const uint8_t *p;
	uint64_t len = 0;

	if (take_number(c, 8, &len))
		return c->e->code;
	if (len > max)
		return gv_fail(c->e, GV_ERR_LIMIT,
		    "'%s': %s of %llu bytes, the limit is %llu", c->path, what,
		    (unsigned long long)len, (unsigned long long)max);
	p = take(c, len);
	if (!p)
		return c->e->code;
	*s = (const char *)p;
	*n = (size_t)len;
	return 0;
}

/* Memory for n things of `size` that the head promises, if there may be so many
 * and the file has the `least` bytes that each takes. */
static void *
promised(struct cursor *c, uint64_t n, const char *what, uint64_t most,
    size_t least, size_t size)
{
	void *p;

	if (n > most || n > c->left / least) {
		gv_fail(c->e, n > most ? GV_ERR_LIMIT : GV_ERR_CUT,
		    "'%s': its head promises %llu %s", c->path,
		    (unsigned long long)n, what);
		return NULL;
	}
	p = gv_alloc((size_t)n, size);
	if (!p)
		gv_fail(c->e, GV_ERR_NOMEM, "out of memory for '%s'", c->path);
	return p;
}

/* ---- pairs --------------------------------------------------------------- */

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
take_type(struct cursor *c, const struct pair *p, enum gguf_type *t)
{
	char q[64];
	uint64_t v = 0;

	if (take_number(c, 4, &v))
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
take_list(struct cursor *c, struct pair *p)
{
	struct gguf_value *v = &p->v;
	const char *s;
	char q[64];
	uint64_t i;
	size_t n;

	if (take_type(c, p, &v->of) || take_number(c, 8, &v->count))
		return c->e->code;
	v->data = c->p;
	if (v->of == GGUF_LIST)
		return gv_fail(c->e, GV_ERR_NOSUP,
		    "'%s': '%s', a list of lists, is not supported", c->path,
		    gv_quote(q, sizeof q, p->key, p->len));
	if (v->of == GGUF_STRING) {
		for (i = 0; i < v->count; i++)
			if (take_string(c, UINT64_MAX, "a string", &s, &n))
				return c->e->code;
	} else if (v->count > c->left / type_bytes(v->of)) {
		return gv_fail(c->e, GV_ERR_CUT,
		    "'%s' ends in its head: '%s' has %llu values", c->path,
		    gv_quote(q, sizeof q, p->key, p->len),
		    (unsigned long long)v->count);
	} else {
		(void)!take(c, v->count * type_bytes(v->of));
	}
	v->bytes = (size_t)(c->p - v->data);
	return c->e->code;
}

static int
take_pair(struct cursor *c, struct pair *p)
{
	struct gguf_value *v = &p->v;
	const char *s;

	if (take_string(c, GV_GGUF_MAX_KEY, "a key", &p->key, &p->len) ||
	    take_type(c, p, &v->type))
		return c->e->code;
	v->count = 1;
	if (v->type == GGUF_LIST)
		return take_list(c, p);
	if (v->type == GGUF_STRING) {
		if (take_string(c, UINT64_MAX, "a string", &s, &v->bytes))
			return c->e->code;
		v->data = (const uint8_t *)s;
		return 0;
	}
	v->bytes = type_bytes(v->type);
	v->data = take(c, v->bytes);
	return v->data ? 0 : c->e->code;
}

static int
by_key(const void *a, const void *b)
{
	const struct pair *x = a, *y = b;
	size_t n = x->len < y->len ? x->len : y->len;
	int r = n ? memcmp(x->key, y->key, n) : 0;

	return r ? r : (x->len > y->len) - (x->len < y->len);
}

static int
read_pairs(struct gv_gguf *g, struct cursor *c, uint64_t n)
{
	char q[64];
	size_t i;

	g->pair = promised(
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

/* ---- tensors ------------------------------------------------------------- */

/* ggml's number of a type; the names of those that are not read are for the
 * message. */
static const struct {
	const char *name;
	enum gv_dtype is; /* GV_NONE: not read */
} ggml[] = {{"F32", GV_F32}, {"F16", GV_F16}, {"Q4_0", GV_Q4_0},
    {"Q4_1", GV_Q4_1}, {NULL, 0}, {NULL, 0}, {"Q5_0", 0}, {"Q5_1", 0},
    {"Q8_0", GV_Q8_0}, {"Q8_1", 0}, {"Q2_K", 0}, {"Q3_K", 0}, {"Q4_K", 0},
    {"Q5_K", 0}, {"Q6_K", GV_Q6_K}, {"Q8_K", 0}, {"IQ2_XXS", 0}, {"IQ2_XS", 0},
    {"IQ3_XXS", 0}, {"IQ1_S", 0}, {"IQ4_NL", 0}, {"IQ3_S", 0}, {"IQ2_S", 0},
    {"IQ4_XS", 0}, {"I8", 0}, {"I16", 0}, {"I32", 0}, {"I64", 0}, {"F64", 0},
    {"IQ1_M", 0}, {"BF16", GV_BF16}};

static int
tensor_type(struct cursor *c, struct entry *en)
{
	const char *name = NULL;
	char number[24];
	uint64_t v = 0;

	if (take_number(c, 4, &v))
		return c->e->code;
	if (v < sizeof ggml / sizeof *ggml) {
		name = ggml[v].name;
		en->t.dtype = ggml[v].is;
	}
	if (en->t.dtype)
		return 0;
	snprintf(number, sizeof number, "%llu", (unsigned long long)v);
	return gv_fail(c->e, GV_ERR_NOSUP,
	    "'%s': tensor '%s': type %s is not supported (F32, F16, BF16, "
	    "Q8_0, Q4_0, Q4_1 and Q6_K are)",
	    c->path, en->name, name ? name : number);
}

static int
tensor_shape(struct cursor *c, struct entry *en)
{
	uint64_t rank = 0, size = 0;
	int i;

	if (take_number(c, 4, &rank))
		return c->e->code;
	if (rank < 1 || rank > 4)
		return gv_fail(c->e, GV_ERR_FORMAT,
		    "'%s': tensor '%s' has rank %llu, expected 1 to 4", c->path,
		    en->name, (unsigned long long)rank);
	en->t.rank = (int)rank;
	for (i = en->t.rank; i-- > 0;) {
		if (take_number(c, 8, &size))
			return c->e->code;
		if (!size || size > INT64_MAX)
			return gv_fail(c->e, GV_ERR_FORMAT,
			    "'%s': tensor '%s': dimension %d is not a size",
			    c->path, en->name, i);
		en->t.shape[i] = (int64_t)size;
	}
	return 0;
}

/* Bytes of the shape in whole blocks. */
static int
tensor_bytes(struct cursor *c, struct entry *en)
{
	size_t per = gv_block_numbers(en->t.dtype), n;
	char shape[128];

	gv_shape_text(shape, sizeof shape, en->t.shape, en->t.rank);
	if (!gv_shape_count(en->t.shape, en->t.rank, &n) ||
	    !gv_mul(n / per, gv_block_bytes(en->t.dtype), &en->t.bytes))
		return gv_fail(c->e, GV_ERR_FORMAT,
		    "'%s': tensor '%s': its shape %s overflows", c->path,
		    en->name, shape);
	if ((size_t)en->t.shape[en->t.rank - 1] % per)
		return gv_fail(c->e, GV_ERR_FORMAT,
		    "'%s': tensor '%s' %s: its rows are no whole blocks of %zu",
		    c->path, en->name, shape, per);
	return 0;
}

static int
take_tensor(struct cursor *c, struct entry *en)
{
	const char *s;
	size_t n;

	if (take_string(c, GV_GGUF_MAX_NAME, "a tensor's name", &s, &n))
		return c->e->code;
	/* as it may be printed: a sound name is not changed by this */
	en->name = gv_alloc(4 * n + 4, 1);
	if (!en->name)
		return gv_fail(
		    c->e, GV_ERR_NOMEM, "out of memory for '%s'", c->path);
	gv_quote(en->name, 4 * n + 4, s, n);
	if (tensor_shape(c, en) || tensor_type(c, en) ||
	    take_number(c, 8, &en->at))
		return c->e->code;
	return tensor_bytes(c, en);
}

static int
by_name(const void *a, const void *b)
{
	return strcmp(
	    ((const struct entry *)a)->name, ((const struct entry *)b)->name);
}

static int
by_offset(const void *a, const void *b)
{
	const struct entry *x = a, *y = b;

	return (x->at > y->at) - (x->at < y->at);
}

static int
read_tensors(struct gv_gguf *g, struct cursor *c, uint64_t n)
{
	size_t i;

	g->entry = promised(
	    c, n, "tensors", GV_GGUF_MAX_TENSORS, MIN_TENSOR, sizeof *g->entry);
	if (!g->entry)
		return c->e->code;
	while (g->n < n)
		if (take_tensor(c, &g->entry[g->n++]))
			return c->e->code;
	qsort(g->entry, g->n, sizeof *g->entry, by_name);
	for (i = 1; i < g->n; i++)
		if (!by_name(&g->entry[i - 1], &g->entry[i]))
			return gv_fail(c->e, GV_ERR_FORMAT,
			    "'%s': tensor '%s' is there twice", c->path,
			    g->entry[i].name);
	return 0;
}

/* The tensors take the data one after the other, each from a multiple of the
 * alignment on. */
static int
place_tensors(struct gv_gguf *g, struct cursor *c, size_t alignment)
{
	size_t head = (size_t)(c->p - g->map.data), pad, i;
	uint64_t at = 0;

	pad = (alignment - head % alignment) % alignment;
	if (!g->n)
		pad = pad < c->left ? pad : c->left;
	if (!take(c, pad))
		return c->e->code;
	qsort(g->entry, g->n, sizeof *g->entry, by_offset);
	for (i = 0; i < g->n; i++) {
		struct entry *en = &g->entry[i];

		if (en->at != at)
			return gv_fail(c->e, GV_ERR_FORMAT,
			    "'%s': tensor '%s' starts at byte %llu of the "
			    "data, expected %llu",
			    c->path, en->name, (unsigned long long)en->at,
			    (unsigned long long)at);
		if (at > c->left || en->t.bytes > c->left - at)
			return gv_fail(c->e, GV_ERR_CUT,
			    "'%s': tensor '%s' takes %zu bytes, only %llu are "
			    "there",
			    c->path, en->name, en->t.bytes,
			    (unsigned long long)(at > c->left ? 0
							      : c->left - at));
		en->t.data = c->p + at;
		at += en->t.bytes;
		at += (alignment - at % alignment) % alignment;
	}
	if (at < c->left)
		return gv_fail(c->e, GV_ERR_FORMAT,
		    "'%s': %llu bytes behind the last tensor", c->path,
		    (unsigned long long)(c->left - at));
	return 0;
}

/* ---- the file ------------------------------------------------------------ */

bool
gv_gguf_named(const char *path)
{
	size_t n = strlen(path);

	return n > 5 && !strcmp(path + n - 5, ".gguf");
}

/* Magic, version, and how much there is. */
static int
read_start(struct cursor *c, uint64_t *tensors, uint64_t *pairs)
{
	const uint8_t *magic = take(c, 4);
	uint64_t version = 0;

	if (!magic || memcmp(magic, "GGUF", 4)) {
		gv_error_clear(c->e);
		return gv_fail(c->e, GV_ERR_FORMAT,
		    "'%s' is no GGUF file: it does not start with 'GGUF'",
		    c->path);
	}
	if (take_number(c, 4, &version))
		return c->e->code;
	if (version && !(version & 0xffff))
		return gv_fail(c->e, GV_ERR_NOSUP,
		    "'%s': GGUF in big-endian is not supported", c->path);
	if (version != 2 && version != 3)
		return gv_fail(c->e, GV_ERR_NOSUP,
		    "'%s': version %llu of GGUF is not supported (2 and 3 are)",
		    c->path, (unsigned long long)version);
	return take_number(c, 8, tensors) || take_number(c, 8, pairs)
		   ? c->e->code
		   : 0;
}

static int
read_file(struct gv_gguf *g, struct gv_error *e)
{
	struct cursor c = {g->map.data, g->map.size, g->path, e};
	int64_t alignment = ALIGNMENT;
	uint64_t tensors = 0, pairs = 0;

	if (read_start(&c, &tensors, &pairs) || read_pairs(g, &c, pairs) ||
	    gguf_get_int(g, "general.alignment", &alignment, e) ||
	    read_tensors(g, &c, tensors))
		return e->code;
	if (alignment < 1 || alignment > MAX_ALIGNMENT ||
	    (alignment & (alignment - 1)))
		return gv_fail(e, GV_ERR_FORMAT,
		    "'%s': general.alignment of %lld is no power of two up to "
		    "%d",
		    g->path, (long long)alignment, MAX_ALIGNMENT);
	return place_tensors(g, &c, (size_t)alignment);
}

int
gv_gguf_open(struct gv_gguf **out, const char *path, struct gv_error *e)
{
	struct gv_gguf *g = gv_alloc(1, sizeof *g);

	if (g)
		g->path = gv_strdup(path);
	if (!g || !g->path) {
		gv_free(g);
		return gv_fail(e, GV_ERR_NOMEM, "out of memory for '%s'", path);
	}
	if (gv_map_open(&g->map, path, e) || read_file(g, e)) {
		gv_gguf_close(&g);
		return e->code;
	}
	*out = g;
	return 0;
}

void
gv_gguf_close(struct gv_gguf **out)
{
	struct gv_gguf *g = *out;
	size_t i;

	if (!g)
		return;
	*out = NULL;
	for (i = 0; i < g->n; i++)
		gv_free(g->entry[i].name);
	gv_map_close(&g->map);
	gv_free(g->pair);
	gv_free(g->entry);
	gv_free(g->path);
	gv_free(g);
}

/* ---- looking ------------------------------------------------------------- */

size_t
gv_gguf_count(const struct gv_gguf *g)
{
	return g->n;
}

const char *
gv_gguf_name(const struct gv_gguf *g, size_t i)
{
	return g->entry[i].name;
}

const struct gv_tensor *
gv_gguf_tensor(const struct gv_gguf *g, size_t i)
{
	return &g->entry[i].t;
}

const char *
gguf_path(const struct gv_gguf *g)
{
	return g->path;
}

const struct gguf_value *
gguf_get(const struct gv_gguf *g, const char *key)
{
	struct pair want = {.key = key, .len = strlen(key)};
	const struct pair *p;

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
	u = number_at(x->data, x->bytes);
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
	*n = (size_t)number_at(l->at, 8);
	*s = (const char *)l->at + 8;
	l->at += 8 + *n;
	return true;
}

int64_t
gv_gguf_paired(const struct gv_gguf *g, size_t i)
{
	const char *name = g->entry[i].name, *s, *end;
	struct gv_error quiet = {0};
	int64_t heads = 0;
	size_t n;

	if (gguf_get_text(g, "general.architecture", &s, &n, &quiet) || !s ||
	    n != 5 || memcmp(s, "llama", 5) || strncmp(name, "blk.", 4))
		return 0;
	end = strchr(name + 4, '.');
	if (!end ||
	    (strncmp(end, ".attn_q.", 8) && strncmp(end, ".attn_k.", 8)))
		return 0;
	if (gguf_get_int(g, "llama.attention.head_count", &heads, &quiet))
		return 0;
	if (end[6] == 'k' &&
	    gguf_get_int(g, "llama.attention.head_count_kv", &heads, &quiet))
		return 0;
	return heads;
}
