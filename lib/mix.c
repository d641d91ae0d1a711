/* Passes and draws. */
#include "mix.h"

#include "mem.h"
#include "philox.h"
#include "banned.h"

/* Records in an order that passes through them again and again. */
struct pool {
	uint64_t *order;
	uint64_t first, count; /* records first .. first + count - 1 of all */
	uint64_t at; /* next in order */
	uint64_t pass;
	uint64_t stream; /* of random numbers */
	double weight;
};

struct gv_mix {
	uint64_t seed;
	uint64_t *first; /* (n) of each input, among all records */
	size_t n;
	struct pool *pool;
	size_t pools;
	double weights; /* sum */
	struct gv_rng draws;
};

/* Random numbers of a pool (0: of the draws) and pass: both are part of the
 * purpose, so that no two share numbers. */
static void
numbers(
    const struct gv_mix *m, struct gv_rng *g, uint64_t stream, uint64_t pass)
{
	gv_rng_init(g, m->seed, GV_PURPOSE_SHUFFLE | stream << 8 | pass << 32);
}

/* Each pass starts from the records' own order. */
static void
shuffle(const struct gv_mix *m, struct pool *p)
{
	struct gv_rng g;
	uint64_t i, j, t;

	numbers(m, &g, p->stream, p->pass++);
	for (i = 0; i < p->count; i++)
		p->order[i] = p->first + i;
	for (i = p->count; i > 1; i--) {
		j = gv_rng_below(&g, i);
		t = p->order[i - 1];
		p->order[i - 1] = p->order[j];
		p->order[j] = t;
	}
	p->at = 0;
}

static int
fill(struct gv_mix *m, const uint64_t *count, const double *weight,
    struct gv_error *e)
{
	uint64_t total = 0;
	size_t i;

	for (i = 0; i < m->n; i++) {
		m->first[i] = total;
		total += count[i];
	}
	for (i = 0; i < m->pools; i++) {
		struct pool *p = &m->pool[i];

		p->stream = i + 1;
		p->first = m->first[i];
		p->count = p->at = weight ? count[i] : total;
		p->weight = weight ? weight[i] : 1;
		m->weights += p->weight;
		p->order = gv_alloc((size_t)p->count, sizeof *p->order);
		if (!p->order)
			return gv_fail(e, GV_ERR_NOMEM,
			    "out of memory for %llu records",
			    (unsigned long long)p->count);
	}
	numbers(m, &m->draws, 0, 0);
	return 0;
}

int
gv_mix_open(struct gv_mix **out, const uint64_t *count, const double *weight,
    size_t n, uint64_t seed, struct gv_error *e)
{
	struct gv_mix *m = gv_alloc(1, sizeof *m);

	if (!m)
		return gv_fail(e, GV_ERR_NOMEM, "out of memory");
	*out = m;
	m->seed = seed;
	m->n = n;
	m->pools = weight ? n : 1;
	m->first = gv_alloc(n, sizeof *m->first);
	m->pool = gv_alloc(m->pools, sizeof *m->pool);
	if (!m->first || !m->pool)
		gv_fail(e, GV_ERR_NOMEM, "out of memory");
	if (e->code || fill(m, count, weight, e))
		gv_mix_close(out);
	return e->code;
}

void
gv_mix_close(struct gv_mix **out)
{
	struct gv_mix *m = *out;
	size_t i;

	if (!m)
		return;
	*out = NULL;
	for (i = 0; m->pool && i < m->pools; i++)
		gv_free(m->pool[i].order);
	gv_free(m->pool);
	gv_free(m->first);
	gv_free(m);
}

static struct pool *
draw(struct gv_mix *m)
{
	double x = m->pools > 1 ? gv_rng_f64(&m->draws) * m->weights : 0;
	size_t i;

	for (i = 0; i + 1 < m->pools && x >= m->pool[i].weight; i++)
		x -= m->pool[i].weight;
	return &m->pool[i];
}

/* The input that holds record k of all. */
static size_t
holder(const struct gv_mix *m, uint64_t k)
{
	size_t lo = 0, hi = m->n - 1;

	while (lo < hi) {
		size_t mid = (lo + hi + 1) / 2;

		if (m->first[mid] <= k)
			lo = mid;
		else
			hi = mid - 1;
	}
	return lo;
}

void
gv_mix_next(struct gv_mix *m, size_t *input, uint64_t *record)
{
	struct pool *p = draw(m);
	uint64_t k;

	if (p->at == p->count)
		shuffle(m, p);
	k = p->order[p->at++];
	*input = holder(m, k);
	*record = k - m->first[*input];
}
