/* Checked, aligned allocation. */
#include "mem.h"

#include "err.h"

#include <stdlib.h>
#include <string.h>

bool
gv_mul(size_t a, size_t b, size_t *out)
{
	if (b && a > SIZE_MAX / b)
		return false;
	*out = a * b;
	return true;
}

bool
gv_add(size_t a, size_t b, size_t *out)
{
	if (a > SIZE_MAX - b)
		return false;
	*out = a + b;
	return true;
}

void *
gv_alloc(size_t n, size_t size)
{
	size_t bytes;
	void *p;

	if (!gv_mul(n, size, &bytes) || bytes > PTRDIFF_MAX - GV_ALIGN)
		return NULL;
	bytes = gv_align(bytes ? bytes : 1);
	p = aligned_alloc(GV_ALIGN, bytes);
	if (p)
		memset(p, 0, bytes);
	return p;
}

void
gv_free(void *p)
{
	free(p);
}

int
gv_grow(void **p, size_t *cap, size_t need, size_t size)
{
	size_t want = *cap, bytes, old;
	void *q;

	if (need <= want)
		return 0;
	want = want > SIZE_MAX / 2 ? need : want + want / 2;
	if (want < need)
		want = need;
	if (want < 16)
		want = 16;
	if (!gv_mul(want, size, &bytes) || bytes > PTRDIFF_MAX - GV_ALIGN)
		return GV_ERR_NOMEM;
	q = aligned_alloc(GV_ALIGN, gv_align(bytes));
	if (!q)
		return GV_ERR_NOMEM;
	old = *cap * size;
	if (old)
		memcpy(q, *p, old);
	free(*p);
	*p = q;
	*cap = want;
	return 0;
}

int
gv_room(void *array, size_t *cap, size_t need, size_t size, struct gv_error *e)
{
	void *p;

	memcpy(&p, array, sizeof p);
	if (gv_grow(&p, cap, need, size))
		return gv_fail(e, GV_ERR_NOMEM, "out of memory");
	memcpy(array, &p, sizeof p);
	return 0;
}

char *
gv_strndup(const char *s, size_t n)
{
	char *p = gv_alloc(n + 1, 1);

	if (p)
		memcpy(p, s, n);
	return p;
}

char *
gv_strdup(const char *s)
{
	return gv_strndup(s, strlen(s));
}
