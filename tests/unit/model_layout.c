/* Every array of the activation block is as long as what is written to it: the
 * layout is built again here with gaps between arrays, which stay as they are.
 */
#include "joined.h"
#include "mem.h"
#include "model_priv.h"

#define GAP        256
#define MOST_GAPS  4096
#define UNTOUCHED  0xa5
#define MOST_BYTES ((size_t)64 << 20)

/* The arrays of the last layout, in order: gv_take() in layout_priv.h rounds
 * the size of each by gv_align(), and adds what that returns.  None lies over
 * others. */
static struct {
	size_t at, used, size;
} array[MOST_GAPS];
static size_t arrays, end;

static size_t
with_gap(size_t n)
{
	size_t size = gv_align(n) + GAP;

	if (arrays == MOST_GAPS)
		bail("layout", "has more arrays than this test expects");
	array[arrays].at = end;
	array[arrays].used = n;
	array[arrays++].size = size;
	end += size;
	return size;
}

#define gv_align(n)           with_gap(n)
#define gv_overlay(start, at) ((void)(start), (at))
/* instead of the library's */
#include "layout.c"
#include "layout_text.c"
#include "layout_vision.c"
#undef gv_align
#undef gv_overlay

struct test {
	const char *name;
	struct gv_model *m;
	struct gv_error *e;
};

/* Reserves memory for limits; arrays are NaN, ids -1. */
static void
reserve(struct test *t, const struct gv_limits *l)
{
	struct gv_model_priv *p = t->m->priv;
	size_t i;

	must(gv_model_reserve(t->m, l, t->e), t->e);
	arrays = end = 0;
	gv_layout(t->m, l, &p->a, p->block);
	if (end != p->block_bytes || end > MOST_BYTES)
		bail(t->name, "this test misunderstands the layout");
	for (i = 0; i < arrays; i++) {
		char *at = (char *)p->block + array[i].at;

		/* reserve wrote the first ones */
		if (array[i].at >= p->a.fixed_bytes)
			memset(at, 0xff, array[i].used);
		memset(at + array[i].used, UNTOUCHED,
		    array[i].size - array[i].used);
	}
}

static void
check_gaps(struct test *t, const char *what, unsigned parts)
{
	const unsigned char *block = t->m->priv->block;
	size_t i, j;
	int bad = 0;

	for (i = 0; i < arrays; i++)
		for (j = array[i].used; j < array[i].size; j++)
			if (block[array[i].at + j] != UNTOUCHED) {
				printf("# array %zu of %zu bytes, at %zu\n", i,
				    array[i].used, j);
				bad++;
				break;
			}
	is_int(bad, 0, "%s: %s (%x) stays in its %zu arrays", t->name, what,
	    parts, arrays);
}

/* Everything that a batch can be used for, without a cache. */
static void
test_batch(struct test *t, const struct gv_batch *b, unsigned parts)
{
	const struct gv_config *c = &t->m->cfg;
	size_t n = (size_t)(b->B * c->vision.P * c->vision.C);
	size_t r = (size_t)(b->B * c->R * c->text.C);
	float *out = calloc(n + r + 2 * (size_t)b->M, sizeof *out), *logits;
	struct gv_limits l = limits_of(b, true);

	if (!out)
		bail(t->name, "out of memory");
	must(gv_model_train(t->m, parts, t->e), t->e);
	reserve(t, &l);
	if (b->B) {
		must(gv_model_vision(t->m, b, GV_IN_FEATURES, out, t->e), t->e);
		must(gv_model_vision(t->m, b, GV_IN_EMBEDS, out, t->e), t->e);
	}
	must(gv_model_logits(t->m, b, &logits, t->e), t->e);
	must(gv_model_loss(t->m, b, true, out, out + b->M, t->e), t->e);
	check_gaps(t, "a step", parts);
	free(out);
}

/* A cache of exactly the rows that are put there. */
static void
test_cache(struct test *t, const struct gv_batch *flat)
{
	struct gv_limits l = limits_of(flat, false);
	struct gv_batch b = *flat;
	int32_t *row = calloc((size_t)b.N, sizeof *row);
	int32_t *len = calloc((size_t)b.S, sizeof *len);
	float *logits;
	int64_t i;

	if (!row || !len)
		bail(t->name, "out of memory");
	for (i = 0; i < b.N; i++)
		row[i] = (int32_t)i;
	for (i = 0; i < b.S; i++)
		len[i] = b.q_at[i + 1] - b.q_at[i];
	b.kv_row = row;
	b.k_at = b.q_at;
	b.k_len = len;
	l.kv_rows = b.N;
	must(gv_model_train(t->m, 0, t->e), t->e);
	reserve(t, &l);
	must(gv_model_logits(t->m, &b, &logits, t->e), t->e);
	check_gaps(t, "a cache", 0);
	free(row);
	free(len);
}

static void
test_model(struct test *t, struct gvk *k, const char *argv0)
{
	char dir[MOST_DIR], path[MOST_DIR + 32];
	struct golden_batch shared, flat;
	struct gv_st *gold;
	unsigned parts;

	golden_dir(dir, argv0, t->name);
	snprintf(path, sizeof path, "%s/golden.safetensors", dir);
	must(gv_st_open(&gold, path, t->e), t->e);
	must(gv_model_open(&t->m, k, dir, ~0u, t->e), t->e);
	golden_batch(&shared, gold, "shared");
	golden_batch(&flat, gold, "flat");
	for (parts = 0; parts < 1u << GV_PARTS; parts++) {
		bool there = true;
		int i;

		for (i = 0; i < GV_PARTS; i++)
			there =
			    there && (!(parts & 1u << i) || t->m->part[i].n);
		if (there)
			test_batch(t, &shared.b, parts);
	}
	test_cache(t, &flat.b);
	golden_batch_free(&shared);
	golden_batch_free(&flat);
	gv_model_close(&t->m);
	gv_st_close(&gold);
}

/* Every combination of what stands between pixels and text; each part alone,
 * none, and all. */
static void
test_joined(struct gvk *k, struct gv_error *e, int tower, int resampler, int p)
{
	char name[64];
	struct test t = {.name = name, .e = e};
	struct joined_batch x;
	unsigned all = 0, i;

	snprintf(name, sizeof name, "%s %d %d", joined_tower[tower].name,
	    resampler, p);
	t.m = joined_model(k, tower, resampler, p, e);
	joined_batch(&x, t.m);
	for (i = 0; i < GV_PARTS; i++)
		all |= t.m->part[i].n ? 1u << i : 0;
	test_batch(&t, &x.b, 0);
	test_batch(&t, &x.b, all);
	for (i = 0; i < GV_PARTS; i++)
		if (all & 1u << i)
			test_batch(&t, &x.b, 1u << i);
	gv_model_close(&t.m);
}

int
main(int argc, char **argv)
{
	static const char *const names[] = {"tied", "untied", "avgpool",
	    "perceiver", "none", "../family/qwen3", "../family/nanochat"};
	struct gv_error e = {0};
	struct gvk *k;
	size_t i;
	int tower, r, p;

	must(gv_backend_open(&k, "cpu", 0, &e), &e);
	for (i = 0; i < sizeof names / sizeof *names; i++) {
		struct test t = {.name = names[i], .e = &e};

		test_model(&t, k, argc ? argv[0] : "");
	}
	for (tower = 0; tower < JOINED_TOWERS; tower++)
		for (r = 0; r < JOINED_RESAMPLERS; r++)
			for (p = 0; p < JOINED_PROJECTORS; p += 2)
				if (joined_fits(tower, r, p))
					test_joined(k, &e, tower, r, p);
	gvk_close(&k);
	return done();
}
