/* A GGUF file: its head, and where its tensors are. */
#include "gguf_read.h"

#include "blocks.h"
#include "mem.h"
#include "banned.h"

#define ALIGNMENT     32 /* unless general.alignment says another */
#define MAX_ALIGNMENT 65536
#define MIN_TENSOR    32 /* an empty name and one dimension */

/* ---- numbers and strings ------------------------------------------------- */

uint64_t
gguf_number_at(const uint8_t *p, size_t bytes)
{
	uint64_t v = 0;

	while (bytes-- > 0)
		v = v << 8 | p[bytes];
	return v;
}

const uint8_t *
gguf_take(struct gguf_cursor *c, uint64_t n)
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

int
gguf_take_number(struct gguf_cursor *c, size_t bytes, uint64_t *v)
{
	const uint8_t *p = gguf_take(c, bytes);

	if (!p)
		return c->e->code;
	*v = gguf_number_at(p, bytes);
	return 0;
}

int
gguf_take_string(struct gguf_cursor *c, uint64_t max, const char *what,
    const char **s, size_t *n)
{
	const uint8_t *p;
	uint64_t len = 0;

	if (gguf_take_number(c, 8, &len))
		return c->e->code;
	if (len > max)
		return gv_fail(c->e, GV_ERR_LIMIT,
		    "'%s': %s of %llu bytes, the limit is %llu", c->path, what,
		    (unsigned long long)len, (unsigned long long)max);
	p = gguf_take(c, len);
	if (!p)
		return c->e->code;
	*s = (const char *)p;
	*n = (size_t)len;
	return 0;
}

void *
gguf_promised(struct gguf_cursor *c, uint64_t n, const char *what,
    uint64_t most, size_t least, size_t size)
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
tensor_type(struct gguf_cursor *c, struct gguf_entry *en)
{
	const char *name = NULL;
	char number[24];
	uint64_t v = 0;

	if (gguf_take_number(c, 4, &v))
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
tensor_shape(struct gguf_cursor *c, struct gguf_entry *en)
{
	uint64_t rank = 0, size = 0;
	int i;

	if (gguf_take_number(c, 4, &rank))
		return c->e->code;
	if (rank < 1 || rank > 4)
		return gv_fail(c->e, GV_ERR_FORMAT,
		    "'%s': tensor '%s' has rank %llu, expected 1 to 4", c->path,
		    en->name, (unsigned long long)rank);
	en->t.rank = (int)rank;
	for (i = en->t.rank; i-- > 0;) {
		if (gguf_take_number(c, 8, &size))
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
tensor_bytes(struct gguf_cursor *c, struct gguf_entry *en)
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
take_tensor(struct gguf_cursor *c, struct gguf_entry *en)
{
	const char *s;
	size_t n;

	if (gguf_take_string(c, GV_GGUF_MAX_NAME, "a tensor's name", &s, &n))
		return c->e->code;
	/* as it may be printed: a sound name is not changed by this */
	en->name = gv_alloc(4 * n + 4, 1);
	if (!en->name)
		return gv_fail(
		    c->e, GV_ERR_NOMEM, "out of memory for '%s'", c->path);
	gv_quote(en->name, 4 * n + 4, s, n);
	if (tensor_shape(c, en) || tensor_type(c, en) ||
	    gguf_take_number(c, 8, &en->at))
		return c->e->code;
	return tensor_bytes(c, en);
}

static int
by_name(const void *a, const void *b)
{
	return strcmp(((const struct gguf_entry *)a)->name,
	    ((const struct gguf_entry *)b)->name);
}

static int
by_offset(const void *a, const void *b)
{
	const struct gguf_entry *x = a, *y = b;

	return (x->at > y->at) - (x->at < y->at);
}

static int
read_tensors(struct gv_gguf *g, struct gguf_cursor *c, uint64_t n)
{
	size_t i;

	g->entry = gguf_promised(
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
place_tensors(struct gv_gguf *g, struct gguf_cursor *c, size_t alignment)
{
	size_t head = (size_t)(c->p - g->map.data), pad, i;
	uint64_t at = 0;

	pad = (alignment - head % alignment) % alignment;
	if (!g->n)
		pad = pad < c->left ? pad : c->left;
	if (!gguf_take(c, pad))
		return c->e->code;
	qsort(g->entry, g->n, sizeof *g->entry, by_offset);
	for (i = 0; i < g->n; i++) {
		struct gguf_entry *en = &g->entry[i];

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
read_start(struct gguf_cursor *c, uint64_t *tensors, uint64_t *pairs)
{
	const uint8_t *magic = gguf_take(c, 4);
	uint64_t version = 0;

	if (!magic || memcmp(magic, "GGUF", 4)) {
		gv_error_clear(c->e);
		return gv_fail(c->e, GV_ERR_FORMAT,
		    "'%s' is no GGUF file: it does not start with 'GGUF'",
		    c->path);
	}
	if (gguf_take_number(c, 4, &version))
		return c->e->code;
	if (version && !(version & 0xffff))
		return gv_fail(c->e, GV_ERR_NOSUP,
		    "'%s': GGUF in big-endian is not supported", c->path);
	if (version != 2 && version != 3)
		return gv_fail(c->e, GV_ERR_NOSUP,
		    "'%s': version %llu of GGUF is not supported (2 and 3 are)",
		    c->path, (unsigned long long)version);
	return gguf_take_number(c, 8, tensors) || gguf_take_number(c, 8, pairs)
		   ? c->e->code
		   : 0;
}

static int
read_file(struct gv_gguf *g, struct gv_error *e)
{
	struct gguf_cursor c = {g->map.data, g->map.size, g->path, e};
	int64_t alignment = ALIGNMENT;
	uint64_t tensors = 0, pairs = 0;

	if (read_start(&c, &tensors, &pairs) || gguf_read_pairs(g, &c, pairs) ||
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
