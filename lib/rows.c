/* First fit in a sorted list: a cache has some hundred ranges at most, and a
 * forward pass costs far more than a walk over them. */
#include "rows.h"

#include "mem.h"
#include "banned.h"

#include <assert.h>

/* k taken ranges leave at most k + 1 free ones between them: with room for
 * that many, giving back can't fail. */
static int
make_room(struct gv_rows *r)
{
	return gv_grow(
	    (void **)&r->free, &r->cap, r->taken + 2, sizeof *r->free);
}

int
gv_rows_reset(struct gv_rows *r, int32_t total, struct gv_error *e)
{
	r->taken = 0;
	if (make_room(r))
		return gv_fail(e, GV_ERR_NOMEM, "no memory");
	r->free[0] = (struct gv_range){0, total};
	r->n = total > 0;
	return 0;
}

static void
drop(struct gv_rows *r, size_t i)
{
	r->n--;
	memmove(r->free + i, r->free + i + 1, (r->n - i) * sizeof *r->free);
}

bool
gv_rows_take(struct gv_rows *r, int32_t n, int32_t *at)
{
	size_t i;

	if (n == 0) {
		*at = 0;
		return true;
	}
	for (i = 0; i < r->n && r->free[i].n < n; i++)
		;
	if (i == r->n || make_room(r))
		return false;
	r->taken++;
	*at = r->free[i].at;
	r->free[i].at += n;
	r->free[i].n -= n;
	if (r->free[i].n == 0)
		drop(r, i);
	return true;
}

void
gv_rows_give(struct gv_rows *r, int32_t at, int32_t n)
{
	struct gv_range *f;
	size_t i;

	if (n == 0)
		return;
	assert(r->taken > 0);
	r->taken--;
	for (i = 0; i < r->n && r->free[i].at < at; i++)
		;
	f = r->free + i; /* the first free range after ours */
	assert(i == r->n || at + n <= f->at);
	assert(i == 0 || f[-1].at + f[-1].n <= at);
	if (i > 0 && f[-1].at + f[-1].n == at) {
		f[-1].n += n;
		if (i < r->n && f[-1].at + f[-1].n == f->at) {
			f[-1].n += f->n;
			drop(r, i);
		}
	} else if (i < r->n && at + n == f->at) {
		f->at = at;
		f->n += n;
	} else {
		memmove(f + 1, f, (r->n - i) * sizeof *f);
		*f = (struct gv_range){at, n};
		r->n++;
	}
}

void
gv_rows_free(struct gv_rows *r)
{
	gv_free(r->free);
	*r = (struct gv_rows){0};
}
