/* Models of tests/golden/model and tests/golden/family with their batches and
 * what PyTorch says about them; tests/golden/make_model.py and make_family.py
 * made them.
 */
#ifndef GOLDEN_H
#define GOLDEN_H

#include "model.h"
#include "must.h"

#include <stdlib.h>
#include <unistd.h>

#define MOST_DIR 4096

/* Writes the directory tests/golden/SET/NAME to dir: below the environment's
 * variable, the current directory, or the root that the path of this program
 * leads to. */
static inline void
golden_find(char dir[MOST_DIR], const char *argv0, const char *variable,
    const char *set, const char *name)
{
	const char *env = getenv(variable), *slash = strrchr(argv0, '/');
	int n = slash ? (int)(slash - argv0) : 0;

	if (env)
		snprintf(dir, MOST_DIR, "%s/%s", env, name);
	else
		snprintf(dir, MOST_DIR, "tests/golden/%s/%s", set, name);
	if (!env && access(dir, R_OK))
		snprintf(dir, MOST_DIR, "%.*s/../../../tests/golden/%s/%s",
		    n ? n : 1, n ? argv0 : ".", set, name);
	if (access(dir, R_OK))
		bail(dir, "no such directory; run this from the source tree");
}

static inline void
golden_dir(char dir[MOST_DIR], const char *argv0, const char *name)
{
	golden_find(dir, argv0, "GV_GOLDEN", "model", name);
}

/* A copy of a golden tensor as int32 or as float; the mapping need not be
 * aligned. */
static inline void *
golden_get(
    const struct gv_st *st, const char *name, enum gv_dtype want, size_t *n)
{
	const struct gv_tensor *t = gv_st_find(st, name);
	void *p;

	if (!t || t->dtype != want)
		bail(name, "not in the golden file");
	p = malloc(t->bytes + 1);
	if (!p)
		bail(name, "out of memory");
	if (t->bytes)
		memcpy(p, t->data, t->bytes);
	if (n)
		*n = t->bytes / gv_dtype_size(want);
	return p;
}

/* A batch in one of its two packings, "shared" or "flat"; arrays are owned. */
struct golden_batch {
	struct gv_batch b;
	void *own[9];
};

static inline int32_t *
golden_ids(
    const struct gv_st *st, const char *kind, const char *name, size_t *n)
{
	char path[64];

	snprintf(path, sizeof path, "%s.%s", kind, name);
	return golden_get(st, path, GV_I32, n);
}

static inline void
golden_batch(struct golden_batch *g, const struct gv_st *st, const char *kind)
{
	const struct gv_tensor *px = gv_st_find(st, "pixels");
	struct gv_batch *b = &g->b;
	size_t n = 0, s = 0, m = 0;
	float *grad;
	int64_t i;

	memset(g, 0, sizeof *g);
	b->id = g->own[0] = golden_ids(st, kind, "id", &n);
	b->pos = g->own[1] = golden_ids(st, kind, "pos", NULL);
	b->q_at = g->own[2] = golden_ids(st, kind, "q_at", &s);
	b->p_at = g->own[3] = golden_ids(st, kind, "p_at", NULL);
	b->p_len = g->own[4] = golden_ids(st, kind, "p_len", NULL);
	b->out = g->own[5] = golden_ids(st, kind, "out", &m);
	b->target = g->own[6] = golden_get(st, "target", GV_I32, NULL);
	b->g = g->own[7] = grad = calloc(m, sizeof *grad);
	if (!grad)
		bail("batch", "out of memory");
	if (px) {
		b->input = GV_IN_IMAGE;
		b->B = px->shape[0];
		b->image = g->own[8] = golden_get(st, "pixels", GV_U8, NULL);
	}
	b->N = (int64_t)n;
	b->S = (int64_t)s - 1;
	b->M = (int64_t)m;
	for (i = 0; i < b->M; i++)
		grad[i] = -1 / (float)m; /* the mean's gradient */
	for (i = 0; i < b->S; i++) {
		int32_t q = b->q_at[i + 1] - b->q_at[i];

		if (q > b->max_q)
			b->max_q = q;
		if (q + b->p_len[i] > b->max_k)
			b->max_k = q + b->p_len[i];
	}
}

static inline void
golden_batch_free(struct golden_batch *g)
{
	size_t i;

	for (i = 0; i < sizeof g->own / sizeof *g->own; i++)
		free(g->own[i]);
}

/* What a batch needs. */
static inline struct gv_limits
limits_of(const struct gv_batch *b, bool backward)
{
	struct gv_limits l = {0};

	l.backward = backward;
	l.images = b->B;
	l.tokens = b->N;
	l.seqs = b->S;
	l.outs = b->M;
	l.max_q = b->max_q;
	l.max_k = b->max_k;
	l.logits = true;
	return l;
}

/* |got - want| / (|want| + floor) by Euclidean norms; NaN stays NaN. */
static inline double
distance(const float *got, const float *want, size_t n, double floor)
{
	double d = 0, w = 0;
	size_t i;

	for (i = 0; i < n; i++) {
		double x = (double)got[i] - (double)want[i];

		d += x * x;
		w += (double)want[i] * (double)want[i];
	}
	return sqrt(d) / (sqrt(w) + floor);
}

/* Passes if err <= bound, which NaN doesn't; says what was measured. */
static inline void
within(double err, double bound, const char *what, const char *model)
{
	ok(err <= bound, "%s: %s within %.1e", model, what, bound);
	printf("# %-10s %-28s %.2e\n", model, what, err);
}

#endif
