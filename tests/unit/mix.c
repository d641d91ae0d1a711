/* Orders: each pass has every record once, passes and seeds differ, a longer
 * order begins with a shorter one, and shares are those of the weights. */
#include "golden.h"
#include "mix.h"

#define MOST 64

static struct gv_error e;

/* Records by input and number of the next n, into got[2 * i]. */
static void
order(uint64_t *got, size_t n, const uint64_t *count, const double *weight,
    size_t inputs, uint64_t seed)
{
	struct gv_mix *m;
	size_t i, input;

	must(gv_mix_open(&m, count, weight, inputs, seed, &e), &e);
	for (i = 0; i < n; i++) {
		gv_mix_next(m, &input, &got[2 * i + 1]);
		got[2 * i] = input;
	}
	gv_mix_close(&m);
}

/* How many of the records of `count` are not there exactly once. */
static int
missing(const uint64_t *got, const uint64_t *count, size_t inputs)
{
	size_t seen[4][MOST] = {{0}}, total = 0, i;
	int wrong = 0;

	for (i = 0; i < inputs; i++)
		total += count[i];
	for (i = 0; i < total; i++)
		seen[got[2 * i]][got[2 * i + 1]]++;
	for (i = 0; i < inputs; i++)
		for (size_t k = 0; k < count[i]; k++)
			wrong += seen[i][k] != 1;
	return wrong;
}

static void
test_passes(void)
{
	static const uint64_t count[4] = {7, 0, 1, 12};
	uint64_t a[2 * 60], b[2 * 60];

	order(a, 60, count, NULL, 4, 1);
	is_int(missing(a, count, 4), 0, "a pass has every record once");
	is_int(missing(a + 40, count, 4), 0, "so has the second");
	is_int(missing(a + 80, count, 4), 0, "and the third");
	ok(memcmp(a, a + 40, 40 * sizeof *a), "in another order");
	order(b, 60, count, NULL, 4, 1);
	ok(!memcmp(a, b, sizeof a), "the same seed gives the same");
	order(b, 20, count, NULL, 4, 2);
	ok(memcmp(a, b, 40 * sizeof *a), "another one another");
	is_int(missing(b, count, 4), 0, "... of the same records");
}

static void
test_weights(void)
{
	static const uint64_t count[3] = {5, 3, 2};
	static const double weight[3] = {2, 1, 1};
	enum { N = 4000 };
	static uint64_t got[2 * N];
	uint64_t mine[2 * N];
	size_t share[3] = {0}, i, n = 0;
	struct gv_mix *m;

	order(got, N, count, weight, 3, 1);
	for (i = 0; i < N; i++) {
		share[got[2 * i]]++;
		if (got[2 * i])
			continue;
		mine[2 * n] = 0;
		mine[2 * n++ + 1] = got[2 * i + 1];
	}
	ok(share[0] > N * 46 / 100 && share[0] < N * 54 / 100,
	    "an input of half the weight has half of the draws");
	ok(share[1] > N * 22 / 100 && share[1] < N * 28 / 100,
	    "one of a quarter a quarter");
	for (i = 0; i + 5 <= n; i += 5)
		if (missing(mine + 2 * i, count, 1))
			break;
	ok(i + 5 > n, "an input's own records come in passes");
	must(gv_mix_open(&m, count, weight, 1, 1, &e), &e);
	gv_mix_close(&m);
	gv_mix_close(&m);
	ok(!m, "closed twice");
}

int
main(void)
{
	test_passes();
	test_weights();
	return done();
}
