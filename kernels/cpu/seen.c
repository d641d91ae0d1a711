/* Bitmaps of the ids that rows have seen, a row a part. */
#include "cpu.h"

#include <assert.h>
#include <string.h>

struct job {
	uint32_t *seen;
	const int32_t *id, *at;
	int64_t V, words;
};

static void
seen_row(void *arg, int64_t b, int thread)
{
	const struct job *j = arg;
	uint32_t *row = j->seen + b * j->words;
	int32_t i;

	(void)thread;
	memset(row, 0, (size_t)j->words * sizeof *row);
	for (i = j->at[b]; i < j->at[b + 1]; i++) {
		int32_t id = j->id[i];

		if (id >= 0 && id < j->V)
			row[id / 32] |= (uint32_t)1 << id % 32;
	}
}

void
CPU(seen)(struct gvk_stream *s, uint32_t *seen, const int32_t *id,
    const int32_t *at, int64_t B, int64_t V)
{
	struct job j = {seen, id, at, V, (V + 31) / 32};

	assert(B >= 0 && V > 0);
	gvk_pool_run(gvk_pool_of(s), B, seen_row, &j);
}
