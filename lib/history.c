/* What the rows of a batch have seen. */
#include "history.h"

#include <assert.h>
#include <string.h>

#include "banned.h"

int
gv_history_open(struct gv_history *h, struct gvk *k, int64_t rows, int64_t most,
    int64_t V, struct gv_error *e)
{
	size_t n = (size_t)(rows * most) * sizeof *h->id;
	size_t words = (size_t)(V + 31) / 32;

	*h = (struct gv_history){.k = k, .rows = rows, .most = most, .V = V};
	if (rows > INT32_MAX / most)
		return gv_fail(e, GV_ERR_LIMIT,
		    "histories of %lld rows: take a smaller batch or length",
		    (long long)rows);
	h->seen = gvk_alloc(k, (size_t)rows * words * sizeof *h->seen);
	h->id = gvk_alloc(k, n);
	h->at = gvk_alloc(k, ((size_t)rows + 1) * sizeof *h->at);
	h->id_host = gvk_host_alloc(k, n);
	h->at_host = gvk_host_alloc(k, ((size_t)rows + 1) * sizeof *h->at);
	if (!h->seen || !h->id || !h->at || !h->id_host || !h->at_host) {
		gv_history_close(h);
		return gv_fail(e, GV_ERR_NOMEM,
		    "no device memory for what %lld rows have seen",
		    (long long)rows);
	}
	h->put = true; /* there are none yet */
	return 0;
}

void
gv_history_close(struct gv_history *h)
{
	if (!h->k)
		return;
	gvk_free(h->k, h->seen);
	gvk_free(h->k, h->id);
	gvk_free(h->k, h->at);
	gvk_host_free(h->k, h->id_host);
	gvk_host_free(h->k, h->at_host);
	*h = (struct gv_history){0};
}

/* The ends of rows before `row` are known then, and its own so far. */
static void
go_to(struct gv_history *h, int64_t row)
{
	if (h->put) {
		h->put = false;
		h->row = 0;
		h->at_host[0] = h->at_host[1] = 0;
	}
	assert(row >= h->row && row < h->rows);
	for (; h->row < row; h->row++)
		h->at_host[h->row + 2] = h->at_host[h->row + 1];
}

void
gv_history_add(
    struct gv_history *h, int64_t row, const int32_t *token, size_t n)
{
	int32_t *end;

	go_to(h, row);
	end = &h->at_host[row + 1];
	assert((int64_t)n <= h->rows * h->most - *end);
	if (n)
		memcpy(h->id_host + *end, token, n * sizeof *token);
	*end += (int32_t)n;
}

void
gv_history_put(struct gv_history *h, struct gvk_stream *s, int64_t M)
{
	if (M <= 0)
		return;
	go_to(h, M - 1);
	gvk_put(
	    s, h->id, h->id_host, (size_t)h->at_host[M] * sizeof *h->id_host);
	gvk_put(s, h->at, h->at_host, ((size_t)M + 1) * sizeof *h->at_host);
	gvk_seen(s, h->seen, h->id, h->at, M, h->V);
	h->put = true;
}
