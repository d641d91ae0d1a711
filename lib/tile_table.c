/* How the pictures of records were cut into tiles, by the records' keys. */
#include "tile_table.h"

#include "mem.h"
#include "stream.h"
#include "banned.h"

#include <inttypes.h>
#include <stdlib.h>

#define MOST_TILES 4096

struct entry {
	char *key;
	size_t at, pictures; /* in `tiles`, in pairs */
};

struct gv_tile_table {
	struct entry *entry;
	int32_t *tiles;
	size_t n, cap, pairs, tiles_cap;
};

static int
by_key(const void *a, const void *b)
{
	const struct entry *x = a, *y = b;

	return strcmp(x->key, y->key);
}

static int
add(struct gv_tile_table *t, const struct gv_rec *rec, size_t field,
    struct gv_error *e)
{
	const int32_t *v = rec->v[field].t.data;
	size_t pictures = rec->v[field].t.bytes / (2 * sizeof *v), i;
	struct entry *x;

	for (i = 0; i < pictures; i++)
		if (v[2 * i] < 0 || v[2 * i + 1] < 0 ||
		    !v[2 * i] != !v[2 * i + 1] ||
		    (int64_t)v[2 * i] * v[2 * i + 1] > MOST_TILES)
			return gv_fail(e, GV_ERR_FORMAT,
			    "record %" PRIu64 ": a picture of %d x %d tiles",
			    rec->n, (int)v[2 * i], (int)v[2 * i + 1]);
	if (gv_room(&t->entry, &t->cap, t->n + 1, sizeof *t->entry, e) ||
	    gv_room(&t->tiles, &t->tiles_cap, 2 * (t->pairs + pictures) + 1,
		sizeof *t->tiles, e))
		return e->code;
	x = &t->entry[t->n];
	*x = (struct entry){gv_strdup(rec->key), t->pairs, pictures};
	if (!x->key)
		return gv_fail(e, GV_ERR_NOMEM, "out of memory");
	if (pictures)
		memcpy(t->tiles + 2 * t->pairs, v, 2 * pictures * sizeof *v);
	t->pairs += pictures;
	t->n++;
	return 0;
}

static int
fill(struct gv_tile_table *t, struct gv_reader *r, struct gv_error *e)
{
	struct gv_rec rec;
	size_t field, i;
	char q[64];

	if (gv_reader_need(r, "tiles", "I32 (P,2)", &field, e))
		return e->code;
	while (gv_reader_next(r, &rec, e) > 0)
		if (add(t, &rec, field, e))
			return gv_fail_in(e, "'%s'", gv_reader_name(r));
	if (!e->code && t->n)
		qsort(t->entry, t->n, sizeof *t->entry, by_key);
	for (i = 1; i < t->n && !e->code; i++)
		if (!by_key(&t->entry[i - 1], &t->entry[i]))
			return gv_fail(e, GV_ERR_MATCH,
			    "'%s' has two records '%s'", gv_reader_name(r),
			    gv_quote(q, sizeof q, t->entry[i].key,
				strlen(t->entry[i].key)));
	return e->code;
}

int
gv_tile_table_open(
    struct gv_tile_table **t, const char *path, struct gv_error *e)
{
	struct gv_reader *r;

	*t = gv_alloc(1, sizeof **t);
	if (!*t)
		return gv_fail(e, GV_ERR_NOMEM, "out of memory");
	if (!gv_reader_open(&r, path, e)) {
		(void)!fill(*t, r, e);
		gv_reader_close(&r);
	}
	if (e->code)
		gv_tile_table_close(t);
	return e->code;
}

void
gv_tile_table_close(struct gv_tile_table **t)
{
	size_t i;

	if (!*t)
		return;
	for (i = 0; i < (*t)->n; i++)
		gv_free((*t)->entry[i].key);
	gv_free((*t)->entry);
	gv_free((*t)->tiles);
	gv_free(*t);
	*t = NULL;
}

bool
gv_tile_table_find(const struct gv_tile_table *t, const char *key,
    const int32_t **tiles, size_t *pictures)
{
	size_t lo = 0, hi = t->n;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		int c = strcmp(key, t->entry[mid].key);

		if (!c) {
			*tiles = t->tiles + 2 * t->entry[mid].at;
			*pictures = t->entry[mid].pictures;
			return true;
		}
		if (c < 0)
			hi = mid;
		else
			lo = mid + 1;
	}
	return false;
}
